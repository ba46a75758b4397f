/* user/logon.h -- who may use HTTPS: the token of a session, else HTTP Basic checked against the user's home cluster over UDS.
 *
 * Data flow: logon_check(head of a request) -> a good token in the cookie X-Auth: answered at once. Else Authorization: Basic ->
 * policy (domain, user) -> limits -> caches -> GET clusterUser?username= of a node of the domain's clusters, the next healthy
 * one each time (user/cluster.h) -> the home cluster's host -> GET user/NAME there with the same credentials -> 200, and a new
 * token; 401; 502 when no node answered. A node that fails is passed over for some seconds, the question goes to the next one.
 * A relayed request with a cookie is judged by it alone: its Authorization is for the service behind. One for the
 * configuration is judged by its Authorization if it has one: someone logs on, maybe as another user.
 *
 * Caches: a good answer for 30 s (one client opens many connections), a bad one for 5 s; both by a keyed hash of domain, user
 * and password, no password is kept. What no node answered is cached nowhere, so a dead server never turns into a 401.
 * Limits, of failures only: of a user from one address, then of a user from anywhere (but not from where the user was let in
 * before), never of an address alone: behind one address are many people. Expired tokens count nowhere: laptops wake up.
 *
 * Owner rules: the log on owns its checks; an ask lives until done() or logon_forget(). done() is called exactly once, from
 * the loop, never from inside logon_check(). What an ask points at must live only until logon_check() returns. Free it after
 * the upstream. */
#ifndef SALLYPORT_LOGON_H
#define SALLYPORT_LOGON_H

#include <jansson.h>

#include "http/descriptor.h"
#include "user/cluster.h"
#include "user/http_token_sign.h"
#include "user/loop.h"
#include "user/policy.h"
#include "user/upstream.h"

#define LOGON_CHALLENGE	    "Basic realm=\"sallyport\"" /* WWW-Authenticate of a 401 */
#define LOGON_ASKS_MAX	    2048			/* waiting at once; further ones: 429 */
#define LOGON_CHECKS_MAX    512	  /* questions to clusters at once; further ones: 429 */
#define LOGON_CACHE_MAX	    8192  /* verdicts kept, good and bad each */
#define LOGON_LIMIT_ENTRIES 16384 /* users, and users at an address, with failures */
#define LOGON_GOOD_MS	    30000
#define LOGON_BAD_MS	    5000
#define LOGON_TRY_MS	    4000  /* one question to one node */
#define LOGON_ALL_MS	    15000 /* all of a check */
#define LOGON_REASON_MAX    512

struct logon;

enum logon_why {		  /* each a counter and a word in the log */
		 LOGON_TOKEN,	  /* 200: by its token */
		 LOGON_PASSWORD,  /* 200: by its password */
		 LOGON_NOTHING,	  /* 401: neither token nor credentials */
		 LOGON_TOKEN_BAD, /* 401: forged, malformed, unknown key, other domain, not yet */
		 LOGON_TOKEN_OLD, /* 401: expired */
		 LOGON_COOKIES,	  /* 401: two of X-Auth */
		 LOGON_FORM,	  /* 401: Authorization that is no Basic, or not well-formed */
		 LOGON_BAD_PASSWORD, /* 401: the home cluster says so */
		 LOGON_BAD_CACHED,   /* 401: it said so some seconds ago */
		 LOGON_NO_USER,	     /* 401: no cluster knows the user */
		 LOGON_NO_DOMAIN,    /* 403: no cluster of this domain */
		 LOGON_POLICY,	     /* 403: this user may not, by our policy */
		 LOGON_REFUSED,	     /* 403: by the home cluster */
		 LOGON_LIMIT_PAIR,   /* 429 */
		 LOGON_LIMIT_USER,   /* 429 */
		 LOGON_BUSY,	     /* 429: our own limits */
		 LOGON_NO_ANSWER,    /* 502: no node answered, or not in time */
		 LOGON_NO_HOME,	     /* 502: the home cluster is not in the configuration */
		 LOGON_WHYS
};
const char *logon_why_text(enum logon_why why);

struct logon_params {
	struct loop *loop;
	struct upstream *upstream;
	struct clusters *clusters;
	const struct policy *policy;
	const struct http_token_signer *signer; /* signs new tokens */
	const struct http_token_keys *keys;	/* verifies */
	uint32_t token_seconds;
	uint32_t failures_pair, failures_user, failures_seconds; /* limits; 0: none */
};
int logon_new(const struct logon_params *p, struct logon **out);
void logon_free(struct logon *l); /* no done() is called */

struct logon_ask {
	struct span domain; /* of the descriptor; "" is no domain: 403 */
	const struct addr *client;
	const char *edge_host; /* the edge's name for HTTPS: Domain of the cookie */
	const struct http_head *head;
	enum http_service_path what; /* HTTP_PATH_RELAY: the cookie first */
	uint64_t now_s;		     /* wall_now_s() */
};
struct logon_answer {
	unsigned status; /* 200, 401, 403, 429, 502 */
	enum logon_why why;
	char user
		[HTTP_TOKEN_USER_MAX]; /* 200: as the cluster spells it. Else: who was claimed, or "" */
	char domain[HTTP_TOKEN_DOMAIN_MAX];
	bool admitted;		/* the stream's user has authenticated: Admit */
	bool forget;		/* 401 on an admitted stream: Revoke */
	uint64_t expires_s;	/* 200: the token's end; ask again for the next request anyway */
	unsigned retry_after_s; /* 429, 502: Retry-After; 0: none */
	const char *set_cookie; /* value of a Set-Cookie, or "" */
	const char *reason;	/* for the log: which node said what; peer's bytes escaped */
};
/* The answer and its strings live until it returns. */
typedef void logon_done_fn(void *arg, const struct logon_answer *a);
/* 0 or -ENOMEM (then done() is not called). */
int logon_check(struct logon *l, const struct logon_ask *ask, logon_done_fn *done, void *arg);
void logon_forget(struct logon *l,
		  void *arg); /* done() is not called for what was asked with @arg */

/* Just the token of a request, without waiting: every request of a stream after the first may come this way. TOKEN_OK and
 * *out; any other verdict, or TOKEN_MALFORMED where there is no or more than one cookie. The user must still be one whom the
 * policy lets in, else TOKEN_OTHER_DOMAIN. */
enum http_token_verdict logon_token(const struct logon *l, const struct http_head *h,
				    struct span domain, uint64_t now_s, struct http_token *out);

/* The user's home cluster: from memory (10 minutes), else asked for over UDS. @fn gets it, or NULL: not known or no answer;
 * exactly once, never from inside. 0 or -ENOMEM. */
typedef void logon_home_fn(void *arg, const struct cluster *home);
int logon_home(struct logon *l, const char *domain, const char *user, logon_home_fn *fn, void *arg);

struct logon_stats {
	uint64_t answers[LOGON_WHYS];
	uint64_t asked_cluster_user, asked_user; /* questions over UDS */
	uint64_t next_node;			 /* repeated at another node */
	uint64_t joined;			 /* asks that waited for another's check */
	unsigned asks, checks;			 /* now */
};
const struct logon_stats *logon_stats(const struct logon *l);
json_t *logon_show(const struct logon *l);

#endif
