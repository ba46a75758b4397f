/* selftests/unit/logon_kit.h -- a log on with nothing real below it: a clock that the test sets, and clusters that answer by a
 * table.
 *
 * In: https sections, a table of users, which nodes are dead. Out: what the log on asked whom, and its answers. The kit owns
 * everything; kit_run() delivers timers and answers until nothing is left to deliver. Its loop_*() and upstream_*() stand in
 * for the real ones. */
#ifndef SALLYPORT_SELFTESTS_LOGON_KIT_H
#define SALLYPORT_SELFTESTS_LOGON_KIT_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "user/logon.h"

#define KIT_NOW	  1800000000ULL /* UTC */
#define KIT_GETS  4096
#define KIT_HOSTS 16
#define KIT_N(a)  (sizeof(a) / sizeof((a)[0]))

struct kit_user {
	const char *name, *password, *home; /* home: the cluster's name */
};
struct kit_host {
	const char *name, *cluster;
	int err;		     /* it does not answer, with this */
	unsigned status;	     /* not 0: it answers all questions with it */
	const char *body;	     /* not NULL: it answers all questions with 200 and it */
	bool local;		     /* knows the users of its own cluster only */
	unsigned cluster_user, user; /* questions */
};
struct kit_answer {
	unsigned n; /* done() calls */
	struct logon_answer a;
	char set_cookie[HTTP_TOKEN_COOKIE_MAX], reason[LOGON_REASON_MAX];
};
struct kit {
	struct config_core *cfg;
	struct clusters *clusters;
	struct policy *policy;
	struct http_token_signer *signer;
	struct http_token_keys *keys;
	struct logon *logon;
	const struct kit_user *users;
	struct kit_host hosts[KIT_HOSTS];
	unsigned n_hosts;
};

extern uint64_t kit_ms; /* of loop_now_ms() */

/* @yaml: the https section's body, indented by two. Hosts are its nodes. */
struct kit *kit_new(const char *yaml, const struct kit_user *users);
void kit_free(struct kit *k);
struct kit_host *kit_host(struct kit *k, const char *name);
void kit_run(struct kit *k);
unsigned kit_waiting(void); /* questions that were asked and not answered yet */

/* One request: "Name: value\r\n"... in @fields. */
void kit_ask(struct kit *k, enum http_service_path what, const char *domain, const char *client,
	     const char *fields, struct kit_answer *out);
/* "Authorization: Basic ...\r\n". */
const char *kit_basic(const char *user, const char *password);
/* Ask for the configuration with a password, and run. */
struct kit_answer kit_logon(struct kit *k, const char *client, const char *user,
			    const char *password);

#endif
