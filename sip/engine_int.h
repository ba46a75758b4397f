/* sip/engine_int.h -- what the engine's files share: the engine itself, streams, actions, logs, scratch buffers.
 *
 * In: nothing from outside sip/. Out: helpers of engine.c. The engine owns every object reached from struct engine;
 * each is in one table that finds it and is freed by the file that made it. */
#ifndef SALLYPORT_SIP_ENGINE_INT_H
#define SALLYPORT_SIP_ENGINE_INT_H

#include "sip/engine.h"
#include "sip/table.h"
#include "sip/timer.h"
#include "sip/token.h"

#define STREAM_BINDINGS_MAX 16
#define STREAM_TXNS_MAX	    64 /* pending requests of one client; 8 before it is admitted */
#define STREAM_TXNS_NEW	    8
#define STREAM_TXNS_KEPT    512 /* with those that are answered and live on for what may still come */
#define AOR_MAX		    256
#define URI_MAX		    1024 /* a recorded URI, From or To value */

#define T1_MS	   500
#define T2_MS	   4000
#define T4_MS	   5000
#define TIMEOUT_MS (64 * T1_MS) /* timers B, D, F, H, J, L, M */
#define TIMER_C_MS 180000

struct binding;
struct call;
struct nonces;
struct targets;
struct txn;

struct blob { /* bytes of our own */
	uint8_t *p;
	size_t n;
};

enum peer_kind { PEER_NONE, PEER_STREAM, PEER_INSIDE };

struct peer { /* the other end of a hop: where it came from or where it goes */
	enum peer_kind kind;
	uint64_t stream;
	unsigned server;
	enum engine_transport transport;
	struct addr
		to; /* a request's target (target.h; port 0: none is known), the source of what is answered */
	uint64_t conn; /* answers over TCP and TLS */
};

struct edge_names { /* of an edge, held once for all its streams */
	struct edge_names *next;
	unsigned refs, drain; /* ENGINE_DRAIN_ON, ... */
	uint16_t port;
	const char *host; /* in .name, behind its NUL */
	char name[];
};

struct stream {
	struct tnode node;
	uint64_t id; /* grows: the newest wins */
	struct edge_names *edge;
	struct addr client;
	bool admitted, closing;
	bool drain_asked, drain_told;	     /* to go elsewhere; to close it: drain.h */
	uint32_t in_call;		     /* engine.drain.turn: it carries one */
	struct half {			     /* registered: lines.h */
		struct stream *next, **prev; /* prev NULL: not queued */
		uint64_t since, due;
		bool told;
	} half;
	unsigned n_bindings;
	struct binding **bindings; /* with room for the next power of two */
	struct txn *txns;	   /* those with one end here */
	unsigned n_txns;	   /* of them, requests of the client that go on */
	unsigned n_kept;	   /* and those that are answered */
};

struct record { /* of something that is kept: sip/record.h */
	struct record *next;
	uint64_t id;
	enum engine_record kind;
	bool queued, kept, refused;
};
#define record_owner(ptr, type) table_entry(ptr, type, record)

struct pending { /* an action in the queue; data is freed with it */
	struct pending *next;
	struct engine_action a;
	struct blob data;
};

struct lines { /* streams that are to be closed: lines.h */
	struct stream *first, **last;
	uint64_t next; /* not before */
	struct timer timer;
};

struct drain_edge;
struct drains { /* drain.h */
	struct drain_edge *edges;
	uint32_t turn;
	struct timer timer;
};

struct engine {
	struct engine_config c;
	uint64_t now, seed;
	uint8_t core_id[4];
	char inside_host[256]; /* as in a URI: IPv6 in brackets */
	struct engine_stats stats;
	struct pending *first, **last, *popped;
	struct edge_names *edges;
	struct record *touched;
	struct timers timers;
	struct table streams, bindings, users, txns_branch, txns_name, calls, media;
	struct nonces *nonces;
	struct targets *targets; /* by call server */
	struct lines lines;
	struct drains drain;
	unsigned calls_lingering;
	uint8_t *out, *sdp, *body,
		*record; /* scratch: a message, a description, a body with parts; buf_cap bytes each */
	size_t buf_cap;
	char aors[1024];
};

/* ---- engine.c ---- */
uint64_t engine_hash(const struct engine *e, struct span s);
uint64_t engine_random64(struct engine *e);			/* never 0 */
void engine_random_text(struct engine *e, char *buf, size_t n); /* n - 1 hex digits */

/* Append an action; NULL when there is no memory (then it is counted as refused_full). */
struct engine_action *engine_action(struct engine *e, enum engine_action_kind kind,
				    struct span data);
void engine_send(struct engine *e, const struct peer *to, struct span data);
void engine_log(struct engine *e, int level, const char *event, const char *fmt, ...)
	__attribute__((format(printf, 4, 5)));
/* Quoted, escaped and cut to fit @buf. */
const char *engine_esc(struct span s, char *buf, size_t n);

struct stream *engine_stream(const struct engine *e, uint64_t id);
/* The server that serves @domain (ASCII case-insensitive), or -1. */
int engine_server_of(const struct engine *e, struct span domain);
struct peer engine_peer_server(const struct engine *e, unsigned server);
static inline struct peer engine_peer_stream(uint64_t id)
{
	return (struct peer){.kind = PEER_STREAM, .stream = id};
}

/* @host as a URI and Via want it: an IPv6 literal gets brackets. Returns @buf. */
const char *engine_uri_host(const char *host, char *buf, size_t n);

int blob_set(struct blob *b, struct span s); /* 0 or -ENOMEM */
void blob_free(struct blob *b);
static inline struct span blob_span(const struct blob *b)
{
	return span_of(b->p, b->n);
}

#endif
