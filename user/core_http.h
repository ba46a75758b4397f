/* user/core_http.h -- a client's HTTPS stream on the core: its requests in order, each judged by itself and relayed.
 *
 * Data flow: the data connection that an edge's Open turned into a stream (service "https") -> request head (http/msg.h) ->
 * what its path names (http/descriptor.h) -> who asks: the token of its cookie, else user/logon.h -> may it: http/allow.h -> a
 * server inside (user/upstream.h), from the group that stands in for the one asked -> the answer, its head rewritten
 * (core_http_head.h), its body as it comes. get_edge_config, get_edge_sso and /.well-known/sallyport are answered by
 * user/edge_config.h.
 *
 * Order and back-pressure: one request at a time; the next head is looked at when the answer before has left. What a client
 * sends ahead waits in CORE_HTTP_IN bytes and then in TCP. A body is read only as fast as the server takes it, an answer only
 * as fast as the client does; of each at most CORE_HTTP_IN, and UPSTREAM_QUEUE or the link's queue, are in memory. An idle
 * stream holds no buffer. Expect: 100-continue goes on to the server, whose 100 comes back; a refusal is an answer like any
 * other. Of what is answered here without having read the body, the connection ends behind the answer. A WebSocket (RFC 6455)
 * becomes a tunnel, both ways with back-pressure; it ends with either side's end. A client that ends its half is still answered
 * what it has asked in whole.
 *
 * Authorisation: every request by its own token, never by its stream. A token that was good is not checked again for 1 s: one
 * that is the same byte for byte is as good, on whichever stream. A request without one on an admitted stream gets 401, the
 * stream's admission is revoked, and the stream ended. A refusal by the rules gets 403 and a log line that names user, target
 * and the rule that came nearest.
 *
 * Owner rules: the module owns streams and their buffers; a stream borrows its connection from the link until its end. A stream
 * that ends takes its request to the server, and its questions to log on and edge config, with it. Streams end with the worker.
 * One thread, one loop.
 *
 * Limits, each with a counter: CORE_HTTP_STREAMS streams, CORE_HTTP_USER_ACTIVE requests of a user at once (503), requests per
 * second of a user (429 with Retry-After), CORE_HTTP_HEAD_MS for a head, CORE_HTTP_BODY_MS for CORE_HTTP_BODY_MIN
 * bytes of a body, CORE_HTTP_WRITE_MS without the client taking anything, CORE_HTTP_IDLE_MS between requests; heads as http_limits_default. */
#ifndef SALLYPORT_CORE_HTTP_H
#define SALLYPORT_CORE_HTTP_H

#include <jansson.h>

#include "user/edge_config.h"
#include "user/link.h"
#include "user/logon.h"
#include "user/policy.h"
#include "user/upstream.h"

#define CORE_HTTP_STREAMS     10000
#define CORE_HTTP_IN	      (64u << 10) /* bytes of a stream read ahead */
#define CORE_HTTP_USERS	      4096	  /* with requests now or in the last seconds */
#define CORE_HTTP_USER_ACTIVE 112  /* of UPSTREAM_PER_TARGET: nobody has a server for themselves */
#define CORE_HTTP_USER_RATE   2000 /* requests a second of a user; twice as many at once */
#define CORE_HTTP_HEAD_MS     10000
#define CORE_HTTP_BODY_MS     30000
#define CORE_HTTP_BODY_MIN    1024
#define CORE_HTTP_WRITE_MS    60000
#define CORE_HTTP_IDLE_MS     120000

struct core_http;

struct core_http_ops {
	/* The stream's edge may let it through (@revoke NULL), or no longer. */
	void (*tell)(void *arg, const char *edge, uint64_t edge_stream, const char *revoke);
	/* What the edges serve, the stream's own first. How many, at most @max. */
	unsigned (*edges)(void *arg, const char *edge, struct edge_config_edge *out, unsigned max);
	/* Whether each connection of @edge is to end with its next answer (drain.h). NULL: never. */
	bool (*ending)(void *arg, const char *edge);
};

struct core_http_params {
	struct loop *loop;
	struct upstream *upstream;
	struct logon *logon;
	struct clusters *clusters;
	const struct policy *policy;
	struct edge_config *edge_config;
	unsigned user_rate; /* 0: CORE_HTTP_USER_RATE */
	const struct core_http_ops *ops;
	void *arg;
};
int core_http_new(const struct core_http_params *p, struct core_http **out);
void core_http_free(struct core_http *h); /* before the parts it was given, and the link */

/* Take over @d; a stream that cannot be (full, bad Open) is ended at once. */
void core_http_open(struct core_http *h, const char *edge, struct link_data *d,
		    const Sallyport__Open *o);

enum core_http_outcome {		       /* of requests, each a counter */
			 CORE_HTTP_RELAYED,    /* to its end */
			 CORE_HTTP_CONFIGURED, /* edge config and its like */
			 CORE_HTTP_TUNNELLED,
			 CORE_HTTP_MALFORMED,	  /* 400, 417, 431, ... */
			 CORE_HTTP_NO_SERVICE,	  /* 404: the path names none */
			 CORE_HTTP_UNAUTHORISED,  /* 401 */
			 CORE_HTTP_DENIED,	  /* 403 */
			 CORE_HTTP_TOO_MANY,	  /* 429 */
			 CORE_HTTP_LOGON_FAILED,  /* 502: of the log on */
			 CORE_HTTP_SERVER_FAILED, /* 502, 504: of the target */
			 CORE_HTTP_BUSY,	  /* 503 */
			 CORE_HTTP_CUT,		  /* the answer ended before it was whole */
			 CORE_HTTP_CLIENT_GONE,	  /* the client did, or did not go on */
			 CORE_HTTP_OUTCOMES
};
struct core_http_stats {
	uint64_t requests, outcomes[CORE_HTTP_OUTCOMES];
	uint64_t streams_total, streams_refused, revoked;
	uint64_t slow_heads, slow_bodies, slow_readers; /* clients given up */
	uint64_t bytes_in, bytes_out, tokens_checked, tokens_remembered;
	unsigned streams, active, users;
};
const struct core_http_stats *core_http_stats(const struct core_http *h);
/* For sallyctl: the "https" block of status (counters by outcome, upstream counters, targets, nodes, log on), rows of `streams`. */
struct summary_streams;
void core_http_sum(const struct core_http *h, struct summary_streams *out); /* adds them; a walk */
const char *core_http_outcome_name(enum core_http_outcome o);		    /* "denied" */
json_t *core_http_show(const struct core_http *h);
void core_http_streams(const struct core_http *h, json_t *list);

#endif
