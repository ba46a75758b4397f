/* user/link.h -- both ends of the link: control connections, the pool of warm data connections, framing.
 *
 * Data flow: core dials -> mutual TLS 1.3 -> Hello -> (control) HelloAck, then messages both ways; (data) idle until Open.
 * To open a stream the edge takes an idle data connection and writes Open: no round trip; the connection then carries that stream. When
 * the stream has ended, both sides agree over the control connection on how many bytes it had each way, and the connection is idle
 * again (link.proto tells the rules). It is closed instead where anything about it is not in order, and then as the stream ended: in
 * order or by a reset. A pool grows by what comes back; of those that nobody needed for 30 s, the edge closes what is above the core's pool.
 *
 * Owner rules: a link_edge or link_core owns its control connections and the records of its data connections. Who opened a stream, by
 * link_edge_open() or ops.open(), reads and writes its connection until it gives it back by link_edge_end() or link_core_end(), which
 * must be the last thing it does with it, after ops.down() of the connection as well; it never closes the connection itself. Streams outlive
 * the control connection, and link_core_free(). Messages passed to ops live until the op returns. A peer that came back is a
 * new struct link_peer; ops.down() is called once for each ops.up().
 *
 * Limits: frame 64 KiB; 160 domains, 200,000 live flows a Hello (2,500 a frame; where there are more, Hello.more says that another
 * Hello of the same session follows, and ops.up() gets them merged into one); control queue 4 MiB (then the connection is
 * dropped: a peer that does not read is dead); pool at most 1,024 a core, with those whose stream is just ending; 10,000 streams
 * one after the other on a data connection; 10 s for the two sides to agree on an end; 256 StreamEnds that overtook their Open; 64 connections
 * without a valid Hello, each at most 5 s; one more takes the place of the oldest that has shown no core's certificate.
 *
 * link_edge_free() and link_core_free() call no op, and must not be called from within one. */
#ifndef SALLYPORT_LINK_H
#define SALLYPORT_LINK_H

#include <stdbool.h>
#include <stdint.h>

#include "user/conn.h"
#include "user/conn_keep.h"
#include "user/ktls_policy.h"
#include "user/link.pb-c.h"
#include "user/loop.h"
#include "user/span.h"
#include "user/tls.h"

#define LINK_VERSION   2u
#define LINK_FRAME_MAX 65536u
/* What the other end may be sent though LINK_VERSION does not know it: it said so in its Hello. */
#define LINK_F_REPORT	1u /* NodeReport */
#define LINK_F_ASK	2u /* Ask */
#define LINK_F_CLOCKS	4u /* Clocks */
#define LINK_FEATURES	(LINK_F_REPORT | LINK_F_ASK | LINK_F_CLOCKS)
#define LINK_REPORT_MAX 32768u /* bytes of a NodeReport */
/* TokenKeys: keys a core, bytes of a key's id, bytes of a key. */
#define LINK_TOKEN_KEYS_MAX 8
#define LINK_TOKEN_KID	    8
#define LINK_TOKEN_KEY	    32
/* Clocks: payload types a direction, and the slowest clock. */
#define LINK_CLOCKS_MAX	  8
#define LINK_CLOCK_HZ_MIN 1000u

/* Pack @m behind its length into @buf. Returns bytes or -EMSGSIZE. */
ssize_t link_frame_pack(const Sallyport__Link *m, uint8_t *buf, size_t n);
/* Unpack one frame at the start of @in: bytes consumed and *out (free with sallyport__link__free_unpacked), -EAGAIN, or
 * -EBADMSG (length 0 or over the limit, no known message, address fields of a wrong size). */
ssize_t link_frame_unpack(struct span in, Sallyport__Link **out);

/* What peers made us do; counted since start. */
#define LINK_ERROR_MAX 600
struct link_stats {
	uint64_t accepted, over_pending, refused,
		no_hello;     /* edge: connections; beyond 64 pending; refused by Hello, by time */
	uint64_t banned;      /* edge: closed unread */
	uint64_t early_bytes; /* edge: idle data connections that spoke before Open */
	uint64_t bad_frames, silent, replaced; /* control connections that ended so */
	uint64_t data_lost, pool_empty;	    /* idle data connections lost; opens that found none */
	uint64_t dials, dial_errors, opens; /* core: control and data */
	/* Data connections after their stream: idle again; idle and closed since there were too many. */
	uint64_t recycled, trimmed;
	/* Closed instead: not fit for another stream, or the other side did it; the pool is full; 10,000 streams were enough. */
	uint64_t ends_closed, ends_full, ends_worn;
	/* Half agreed for too long; counts that cannot be; of no stream that we know. */
	uint64_t ends_late, ends_bad, ends_unknown;
	/* The last link that did not come up: whose, why, the names wanted and seen; "": none yet. Safe to print. */
	uint64_t error_ms; /* loop time */
	char error[LINK_ERROR_MAX];
};

struct link_peer; /* the other machine, from hello to the end of its control connection */
const char *link_peer_name(const struct link_peer *p);
uint64_t link_peer_session(const struct link_peer *p);
const struct addr *link_peer_addr(const struct link_peer *p);
unsigned link_peer_idle(const struct link_peer *p); /* data connections in the pool */
bool link_peer_takes(const struct link_peer *p, uint32_t feature); /* LINK_F_... of its Hello */
uint64_t link_peer_up_ms(const struct link_peer *p);		   /* loop time of hello */
/* It is being taken out of service (Drain): a new peer is not. Who hears it says so here; the edge's routes pass it over. */
bool link_peer_draining(const struct link_peer *p);
void link_peer_drain(struct link_peer *p, bool on);
/* How far our clock is ahead of the peer's, by its last Health, a second or so; false: it has told none yet, or we have no clock. */
bool link_peer_clock(const struct link_peer *p, int64_t *out_ahead_s);
/* 0, or -ENOBUFS/-EPIPE (the connection is then ended from the loop, ops.down() follows). */
int link_send(struct link_peer *p, const Sallyport__Link *m);
/* The same, but it may wait up to @ms for others to go with in one record, which cost one wake-up then. Order is kept. */
int link_send_later(struct link_peer *p, const Sallyport__Link *m, unsigned ms);

/* A data connection that carries a stream. */
struct link_data;
struct conn *link_data_conn(const struct link_data *d);

struct link_ops {
	/* Edge: the core's Hello, with domains and live flows. Core: the edge's HelloAck. */
	void (*up)(void *arg, struct link_peer *p, const Sallyport__Link *hello);
	void (*down)(void *arg, struct link_peer *p, const char *why);
	void (*message)(void *arg, struct link_peer *p, const Sallyport__Link *m);
	/* Core only: a data connection became stream o->stream of edge @p; the callee says link_core_end() in the end. */
	void (*open)(void *arg, struct link_peer *p, struct link_data *d, const Sallyport__Open *o);
};

/* ---- edge side ---- */
struct link_edge_core {	  /* from the configuration; lives as long as the link */
	const char *name; /* wanted in the certificate and in Hello */
	const char *const *domains;
	unsigned
		n_domains; /* which of the domains it announces are accepted; others are logged and ignored */
};
struct link_edge_params {
	struct loop *loop;
	struct tls_ctx *tls;			       /* server, tls13_only, require_peer */
	const char *name;			       /* ours */
	const char *sip_host, *https_host, *xmpp_host; /* HelloAck; NULL: no such service */
	uint16_t sip_port, https_port, xmpp_port, xmpp_tls_port;
	const struct link_edge_core *cores;
	unsigned n_cores;
	const struct link_ops *ops;
	void *arg;
	enum ktls_mode ktls; /* of all connections, once their Hello is through */
	/* Whether @peer may not even begin its handshake: told once a connection. NULL: the kernel has refused it before. */
	bool (*banned)(void *arg, const struct addr *peer);
	uint64_t (*wall_s)(
		void); /* UTC, told to the peer and compared with its own; NULL: neither */
};
struct link_edge;
int link_edge_new(const struct link_edge_params *p, struct link_edge **out);
void link_edge_free(struct link_edge *l);
int link_edge_listen(struct link_edge *l, int fd); /* a listening TCP socket, not ours to close */
struct link_peer *link_edge_find(struct link_edge *l, const char *core); /* NULL: it is not up */
/* While somebody waits for a core that has no certificate yet: connections whose ClientHello offers this ALPN go to @take, unread and as
 * they were accepted. It owns the descriptor then. NULL: no longer. See user/link_join.c. */
#define LINK_JOIN_ALPN "sallyport-join"
void link_edge_joins(struct link_edge *l, void (*take)(void *arg, int fd), void *arg);
/* The core that serves @domain now (newest hello wins; one that drains only where all do), or NULL. */
struct link_peer *link_edge_route(struct link_edge *l, struct span domain);
/* Whether @p has announced @domain, and may. */
bool link_peer_serves(const struct link_peer *p, struct span domain);
/* Take an idle data connection of @p, write Open and lend it to the caller. -EAGAIN: the pool is empty. */
int link_edge_open(struct link_peer *p, const Sallyport__Open *o, const struct conn_ops *ops,
		   void *arg, struct link_data **out);
/* A connection that carried @stream in an earlier worker (conn_adopt()): it goes on alone, with a peer that is not up. On failure both
 * descriptors are closed. And: it goes to the next worker; its connection is the caller's from here on. */
int link_edge_adopt(struct link_edge *l, int fd, int pipe, struct conn_keep *k, uint64_t stream,
		    const struct conn_ops *ops, void *arg, struct link_data **out);
void link_edge_leave(struct link_data *d);
/* The client has ended in order and still wants what the core writes: the core reads an end now, as if the stream were over, and may write
 * until it ends its half. What it writes comes by the ops of link_edge_open(); readable() is also called when the core has ended. 0;
 * -ENOTCONN: this stream can only end as a whole (its control connection is over, or its own is). Nothing may be written to it then. */
int link_edge_half(struct link_data *d);
/* After link_edge_half(): the core has ended, and all that it wrote was read. link_edge_end() is next. */
bool link_edge_half_done(const struct link_data *d);
/* The stream is over: @abort NULL: cleanly, what was written to it still arrives; else cut off by that. NULL as @d is fine. */
void link_edge_end(struct link_data *d, const char *abort);

/* ---- core side ---- */
struct link_core_edge {
	const char *name; /* wanted in the certificate and HelloAck */
	struct addr address;
	unsigned pool;
};
struct link_core_params {
	struct loop *loop;
	struct tls_ctx *tls; /* client, tls13_only */
	const char *name;
	const char *const *domains;
	unsigned n_domains;
	const struct link_core_edge *edges;
	unsigned n_edges;
	enum ktls_mode ktls; /* of all connections, once their Hello is out */
	/* Called when a Hello is made: the ids of all live flows on @edge. Returns their number, at most @max. */
	unsigned (*live_flows)(void *arg, const char *edge, uint64_t *ids, unsigned max);
	const struct link_ops *ops;
	void *arg;
	uint64_t (*wall_s)(void); /* as above */
};
struct link_core;
int link_core_new(const struct link_core_params *p,
		  struct link_core **out); /* starts dialling; retries 0.2 s doubling to 5 s */
void link_core_free(struct link_core *l);
/* A connection that carried @stream of @edge in an earlier worker (conn_adopt()): it goes on alone, with a peer that is not up, for
 * the caller as for the callee of ops.open(). -ENOENT: no such edge is configured. On failure both descriptors are closed, the
 * connection by a reset. And: it goes to
 * the next worker; its connection is the caller's from here on. */
const char *link_core_name(const struct link_core *l,
			   uint64_t hash); /* the edge whose name has it (lodge.h); NULL: none */
int link_core_adopt(struct link_core *l, const char *edge, int fd, int pipe, struct conn_keep *k,
		    uint64_t stream, const struct conn_ops *ops, void *arg, struct link_data **out);
void link_core_leave(struct link_data *d);
/* For the callee of ops.open(): have the stream's bytes told to @ops (up() is never called), read them: as conn_read(), with an end where the
 * edge says that the stream ended; -ECONNABORTED and -EPIPE: it was cut off. Writing is by conn_write(). */
void link_data_set_ops(struct link_data *d, const struct conn_ops *ops, void *arg);
ssize_t link_data_read(struct link_data *d, void *buf, size_t n);
const char *link_data_why(const struct link_data *d, int err); /* what cut it off, after an error */
/* Our half is over as well; bytes that were written still go out. The client may be there to read them still (link_edge_half()) or not:
 * after a clean end of its half, what it asked is answered all the same. Without the edge's word for the end, the connection is closed,
 * in order or by a reset. */
void link_core_end(struct link_data *d, bool orderly);

const struct link_stats *link_edge_stats(const struct link_edge *l);
const struct link_stats *link_core_stats(const struct link_core *l);
/* Iterate over peers that are up. */
void link_edge_each(struct link_edge *l, void (*fn)(void *arg, struct link_peer *p), void *arg);
void link_core_each(struct link_core *l, void (*fn)(void *arg, struct link_peer *p), void *arg);

#endif
