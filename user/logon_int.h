/* user/logon_int.h -- what logon.c (asks, caches, limits, answers) and logon_check.c (questions to clusters) share. Owner
 * rules: logon.h.
 *
 * An ask waits for a check, or is ready and waits for the loop. A check belongs to all asks with the same domain, user and
 * password; it goes on without asks, for its verdict is worth keeping. A check that only looks for a home has waiters in place
 * of asks. */
#ifndef SALLYPORT_LOGON_INT_H
#define SALLYPORT_LOGON_INT_H

#include "user/basic.h"
#include "user/logon.h"
#include "user/recent.h"

struct logon_reply { /* what an ask is answered with; strings are copies */
	enum logon_why why;
	char user[HTTP_TOKEN_USER_MAX];
	uint64_t expires_s;
	unsigned retry_after_s;
	char reason[LOGON_REASON_MAX];
};

struct ask {
	struct ask *next, *prev; /* of its list: a check's, or the ready ones */
	struct check *check;	 /* NULL: ready */
	logon_done_fn *done;
	void *arg;
	uint64_t now_s;
	char domain[HTTP_TOKEN_DOMAIN_MAX], claimed[HTTP_TOKEN_USER_MAX], edge_host[256];
	uint8_t pair[RECENT_KEY], user[RECENT_KEY]; /* limits taken from */
	bool taken, taken_user;
	struct logon_reply reply;
};

struct home_ask {
	struct home_ask *next;
	logon_home_fn *fn;
	void *arg;
	const struct cluster *home;
};

enum check_stage { CHECK_CLUSTER_USER, CHECK_USER };

struct check {
	struct check *next, *prev;
	struct logon *logon;
	uint8_t key[RECENT_KEY];
	struct ask *asks;
	struct home_ask *home_ask; /* only the home is wanted */
	struct basic who;	   /* wiped at its end */
	char domain[HTTP_TOKEN_DOMAIN_MAX];
	uint64_t started_ms;
	enum check_stage stage;
	bool home_known;	 /* from memory: may have moved */
	struct cluster *cluster; /* asked now */
	struct cluster_node *order[CLUSTER_NODES_MAX];
	unsigned n_order, at;
	uint64_t tried;		       /* clusters, by their place: CLUSTERS_MAX bits */
	bool unanswered;	       /* by all nodes of a cluster */
	char reason[LOGON_REASON_MAX]; /* of the last failure */
};

struct verdict { /* cached */
	uint64_t until_ms;
	bool good;
	char user[HTTP_TOKEN_USER_MAX];
};
struct home {
	uint64_t until_ms;
	struct cluster *cluster;
};
struct pace { /* failures: the time at which all of them are forgotten */
	uint64_t over_ms;
};
struct friend
{ /* let in from this address before */
	uint64_t until_ms;
};

struct logon {
	struct logon_params p;
	uint8_t secret[32];
	struct recent *verdicts, *homes, *pairs, *users, *friends;
	struct ask *ready_first, *ready_last;
	struct home_ask *homes_ready;
	struct check *checks;
	struct loop_timer timer; /* ready ones are answered */
	struct logon_stats stats;
};

/* logon_known.c. A key of kind, domain and user (both without regard to ASCII case) and @third, at most BASIC_PASSWORD_MAX
 * bytes. */
void logon_key(const struct logon *l, char kind, const char *domain, const char *user,
	       struct span third, uint8_t out[RECENT_KEY]);
/* Before a password goes to a cluster. LOGON_PASSWORD: go on; else with a->reply.retry_after_s. What was taken is given back
 * unless the password was wrong. */
enum logon_why logon_limits_take(struct logon *l, struct ask *a);
void logon_limits_give(struct logon *l, struct ask *a);
void logon_verdict_keep(struct logon *l, const struct check *c, enum logon_why why,
			const char *user);
struct cluster *logon_home_kept(struct logon *l, const char *domain, const char *user);
void logon_home_keep(struct logon *l, const char *domain, const char *user, struct cluster *home);
void logon_home_drop(struct logon *l, const char *domain, const char *user);
/* logon_check.c */
int check_new(struct logon *l, const struct basic *who, const char *domain,
	      const uint8_t key[RECENT_KEY], struct check **out);
void check_start(struct check *c);
void check_free(struct check *c); /* forgets its question */
/* logon.c: @c is over, with @why of LOGON_PASSWORD, _BAD_PASSWORD, _NO_USER, _REFUSED, _NO_ANSWER, _NO_HOME; @user as the
 * cluster spells it. The check is freed. */
void logon_checked(struct check *c, enum logon_why why, const char *user);

#endif
