/* user/upstream.h -- requests to servers inside: targets with their addresses and health, pooled connections, one exchange
 * after the other on each (HTTP/1.1, RFC 9112 9).
 *
 * Data flow: upstream_open(list of targets) -> the first that is well -> an idle connection of it, or a new one: name ->
 * addresses (user/dns.h, kept for their TTL) -> TCP, TLS -> ops.ready(): the module writes the request's head and body -> the
 * answer's head is parsed (http/msg.h) and given to ops.head(), its body as it comes to ops.body(), then ops.done(); the
 * connection is idle again, for whoever is next. No body is ever held: the module pauses an answer that it cannot pass on, and
 * writes a body as far as it is taken.
 *
 * Failover: until the request's first byte is written, and beyond if it may be repeated (@repeatable: it has no content and its
 * method is idempotent), what fails is tried elsewhere: the next address, the next target, or anew if an idle connection turned
 * out to be closed. ops.ready() is then called once more, and the request must be written from its start (with
 * upstream_req_target()'s Host). Once a byte of the answer was seen nothing is repeated, but for 503 where the list has another
 * target. A target that fails is passed over for 1 s, doubling to 30 s while it goes on to fail, unless all of a list are down:
 * then all are tried, so a failure that is known is never the reason of another.
 *
 * Owner rules: the upstream owns targets, connections and requests. A module holds its struct upstream_req until ops.done() or
 * ops.failed() returns, or upstream_close(); spans given to ops live until the op returns. No op is called from inside a call
 * of the module, but ops.ready() may be answered at once by upstream_open() returning 1. Strings of a struct upstream_target
 * are copied.
 *
 * TLS: by the trust of upstream_params.tls, chain and name. A refused certificate's text says which name was wanted and which
 * came; it is logged, and kept as the target's last failure for sallyctl.
 *
 * Limits: see UPSTREAM_*; each with a counter. Single thread, one loop. */
#ifndef SALLYPORT_UPSTREAM_H
#define SALLYPORT_UPSTREAM_H

#include <jansson.h>

#include "http/conn.h"
#include "user/conn.h"
#include "user/dns.h"

#define UPSTREAM_TARGETS \
	512 /* known at once; those without connections are forgotten after 10 minutes, or for room */
#define UPSTREAM_LIST	    8	 /* of a failover list; further ones are not looked at */
#define UPSTREAM_ADDRS	    8	 /* of a name */
#define UPSTREAM_CONNS	    4096 /* in all, with tunnels */
#define UPSTREAM_PER_TARGET 128	 /* to one target, without tunnels */
#define UPSTREAM_WAITERS \
	1024 /* requests that wait for a connection of a full target, each in its turn */
#define UPSTREAM_WAIT_MS 5000  /* and how long: UPSTREAM_BUSY */
#define UPSTREAM_DIAL_MS 3000  /* TCP and TLS of one address */
#define UPSTREAM_OPEN_MS 12000 /* look-up, all addresses and targets together */
#define UPSTREAM_IDLE_MS \
	15000 /* an unused connection is closed; servers close theirs after 20 s or more */
#define UPSTREAM_ANSWER_MS \
	60000 /* from the end of the request to the final head, and between two pieces of a body */
#define UPSTREAM_TUNNEL_MS 3600000	/* silence in a tunnel */
#define UPSTREAM_QUEUE	   (128u << 10) /* bytes of a request that wait for the server */

struct upstream;
struct upstream_req;

struct upstream_target {
	const char *host; /* name, or address without brackets */
	uint16_t port;
	bool tls;
	const char *tls_name; /* verified instead of @host; NULL: @host */
};

enum upstream_why { /* what a request failed of */
		    UPSTREAM_OK,
		    UPSTREAM_NAME,	  /* no address: 502 */
		    UPSTREAM_CONNECT,	  /* refused or unreachable: 502 */
		    UPSTREAM_CERTIFICATE, /* 502 */
		    UPSTREAM_TLS,	  /* 502 */
		    UPSTREAM_TIMEOUT,	  /* no connection or no answer in time: 504 */
		    UPSTREAM_BUSY,	  /* a limit of ours: 503 */
		    UPSTREAM_CUT,	  /* the connection ended before the answer did: 502 */
		    UPSTREAM_ANSWER, /* an answer that is no HTTP, or that nobody may get: 502 */
		    UPSTREAM_WHYS
};
const char *upstream_why_text(enum upstream_why why); /* "certificate refused" */
unsigned upstream_why_status(enum upstream_why why);

struct upstream_ops {
	/* Write the request, from its start: upstream_write(), upstream_sent(). May come again, see failover. */
	void (*ready)(void *arg);
	/* All that was written has left: go on writing. */
	void (*writable)(void *arg);
	/* The answer's head, in any number of interim ones (1xx but 101) before the final one. @framing: of its body; HTTP_BODY_TUNNEL: the
	 * request asked to switch, and from here on bytes go both ways until done(). */
	void (*head)(void *arg, const struct http_head *h, enum http_framing framing);
	/* Next bytes of the body; chunked ones with their framing, unless upstream_want.content: then just content. */
	void (*body)(void *arg, struct span bytes);
	/* What came in one go has been told: time to pass it on in one write. */
	void (*flush)(void *arg);
	/* The answer is whole. @sent: so was the request; if not, the server has answered without waiting for the rest of it. */
	void (*done)(void *arg, bool sent);
	/* There will be no (more of an) answer; of several tries the last one's text. */
	void (*failed)(void *arg, enum upstream_why why, const char *text);
};

struct upstream_want { /* of one request */
	const struct upstream_target
		*targets; /* in the order of preference; at most UPSTREAM_LIST are looked at */
	unsigned n_targets;
	struct http_asked asked; /* method, and whether it asks to switch protocols */
	bool repeatable;
	bool content;	    /* chunked bodies without their framing */
	unsigned answer_ms; /* 0: UPSTREAM_ANSWER_MS */
};

struct upstream_params {
	struct loop *loop;
	struct dns *dns;
	struct tls_ctx *tls; /* client; NULL: https targets fail with that text */
	unsigned per_target; /* 0: UPSTREAM_PER_TARGET */
};
int upstream_new(const struct upstream_params *p, struct upstream **out);
void upstream_free(struct upstream *u); /* no op is called; before dns_free() */

/* 1: a connection is ready, write the request now (ops.ready() is not called for this try); 0: an op follows; -EINVAL (no targets, names
 * too long), -ENOMEM. Fails otherwise by ops.failed(). */
int upstream_open(struct upstream *u, const struct upstream_want *w, const struct upstream_ops *ops,
		  void *arg, struct upstream_req **out);
/* Who is asked now: from ready() to the end. Lives as long as the request; @tls_name is never NULL. */
const struct upstream_target *upstream_req_target(const struct upstream_req *r);
/* Bytes of the request that would be taken now without waiting: UPSTREAM_QUEUE less what waits; 0 before ready() and after an end. */
size_t upstream_room(const struct upstream_req *r);
/* All of @data is taken or none: 0; -ENOBUFS: more than upstream_room(); -EPIPE: over, an op follows. */
int upstream_write(struct upstream_req *r, struct span data);
bool upstream_queued(const struct upstream_req *r); /* writable() will come */
/* The request is whole: the time for its answer begins. */
void upstream_sent(struct upstream_req *r);
/* Stop and go on with ops.body(): back-pressure. What was read already still comes, at most 64 KiB. */
void upstream_pause(struct upstream_req *r, bool paused);
/* Nobody wants the answer any more; in a tunnel @orderly flushes what was written. No op is called. NULL is fine. */
void upstream_close(struct upstream_req *r, bool orderly);

/* One GET with its answer in memory, for the core's own questions. @path: path?query; @extra_fields: "Name: v\r\n"... or empty, as for
 * http_out_field(). Answers over @body_max bytes fail with -EMSGSIZE. @fn is called exactly once, never from inside: @err 0 with
 * status and body, which live until it returns; or -ENOENT (no address), -ECONNREFUSED, -EKEYREJECTED (certificate), -EPROTO (TLS), -ETIMEDOUT,
 * -EBUSY, -ECONNRESET (cut short), -EBADMSG (no HTTP), -ENOMEM, with @why. @ms: for all of it, at most. Returns 0, -EINVAL, -ENOMEM. */
typedef void upstream_got_fn(void *arg, int err, const char *why, unsigned status,
			     struct span body);
int upstream_get(struct upstream *u, const struct upstream_target *t, struct span path,
		 struct span extra_fields, size_t body_max, unsigned ms, upstream_got_fn *fn,
		 void *arg);
/* Forget what was asked with @arg: @fn is not called any more. */
void upstream_get_forget(struct upstream *u, void *arg);

struct upstream_stats {
	uint64_t requests, reused, dialed, failed_over,
		repeated; /* opened; on a pooled connection; connections; second tries */
	uint64_t failures[UPSTREAM_WHYS];		 /* of requests, by what they failed of */
	uint64_t targets_full, conns_full, waiters_full; /* of the limits above */
	unsigned targets, conns, idle, tunnels, waiters; /* now */
};
const struct upstream_stats *upstream_stats(const struct upstream *u);
/* For sallyctl: a row a target: host, port, scheme, state ("up", "down", "not asked yet"), addresses, connections, idle, requests,
 * failures, last_failure (text), passed_over_ms. */
json_t *upstream_show(const struct upstream *u);

#endif
