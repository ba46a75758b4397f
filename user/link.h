/* user/link.h -- both ends of the link: control connections, the pool of warm data connections, framing.
 *
 * Data flow: core dials -> mutual TLS 1.3 -> Hello -> (control) HelloAck, then messages both ways; (data) idle until Open.
 * To open a stream the edge takes an idle data connection and writes Open: no round trip; the connection then belongs to the stream.
 *
 * Owner rules: a link_edge or link_core owns its control connections and idle data connections. link_edge_open() and
 * ops.open() give a data connection away for good: the stream owns it from then on. Messages passed to ops live until the
 * op returns. A peer that came back is a new struct link_peer; ops.down() is called once for each ops.up().
 *
 * Limits: frame 64 KiB; 64 domains, 200,000 live flows a Hello (5,000 a frame; where there are more, Hello.more says that another
 * Hello of the same session follows, and ops.up() gets them merged into one); control queue 4 MiB (then the connection is
 * dropped: a peer that does not read is dead); pool at most 1,024 a core; 64 connections without a valid Hello, each at most 5 s;
 * one more takes the place of the oldest that has shown no core's certificate.
 *
 * link_edge_free() and link_core_free() call no op, and must not be called from within one. ops.open() and link_edge_open() hand
 * over a connection whose ops are set by conn_set_ops() (link_edge_open() does that itself). */
#ifndef SALLYPORT_LINK_H
#define SALLYPORT_LINK_H

#include <stdbool.h>
#include <stdint.h>

#include "user/conn.h"
#include "user/link.pb-c.h"
#include "user/loop.h"
#include "user/span.h"
#include "user/tls.h"

#define LINK_VERSION   1u
#define LINK_FRAME_MAX 65536u

/* Pack @m behind its length into @buf. Returns bytes or -EMSGSIZE. */
ssize_t link_frame_pack(const Sallyport__Link *m, uint8_t *buf, size_t n);
/* Unpack one frame at the start of @in: bytes consumed and *out (free with sallyport__link__free_unpacked), -EAGAIN, or
 * -EBADMSG (length 0 or over the limit, no known message, address fields of a wrong size). */
ssize_t link_frame_unpack(struct span in, Sallyport__Link **out);

/* What peers made us do; counted since start. */
struct link_stats {
	uint64_t accepted, over_pending, refused,
		no_hello;     /* edge: connections; beyond 64 pending; refused by Hello, by time */
	uint64_t early_bytes; /* edge: idle data connections that spoke before Open */
	uint64_t bad_frames, silent, replaced; /* control connections that ended so */
	uint64_t data_lost, pool_empty;	    /* idle data connections lost; opens that found none */
	uint64_t dials, dial_errors, opens; /* core: control and data */
};

struct link_peer; /* the other machine, from hello to the end of its control connection */
const char *link_peer_name(const struct link_peer *p);
uint64_t link_peer_session(const struct link_peer *p);
const struct addr *link_peer_addr(const struct link_peer *p);
unsigned link_peer_idle(const struct link_peer *p);  /* data connections in the pool */
uint64_t link_peer_up_ms(const struct link_peer *p); /* loop time of hello */
/* 0, or -ENOBUFS/-EPIPE (the connection is then ended from the loop, ops.down() follows). */
int link_send(struct link_peer *p, const Sallyport__Link *m);

struct link_ops {
	/* Edge: the core's Hello, with domains and live flows. Core: the edge's HelloAck. */
	void (*up)(void *arg, struct link_peer *p, const Sallyport__Link *hello);
	void (*down)(void *arg, struct link_peer *p, const char *why);
	void (*message)(void *arg, struct link_peer *p, const Sallyport__Link *m);
	/* Core only: a data connection became stream o->stream of edge @p; @c is the callee's. */
	void (*open)(void *arg, struct link_peer *p, struct conn *c, const Sallyport__Open *o);
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
	struct tls_ctx *tls; /* server, tls13_only, require_peer */
	const char *name;    /* ours */
	const char *sip_host;
	uint16_t sip_port;
	const struct link_edge_core *cores;
	unsigned n_cores;
	const struct link_ops *ops;
	void *arg;
};
struct link_edge;
int link_edge_new(const struct link_edge_params *p, struct link_edge **out);
void link_edge_free(struct link_edge *l);
int link_edge_listen(struct link_edge *l, int fd); /* a listening TCP socket, not ours to close */
/* The core that serves @domain now (newest hello wins), or NULL. */
struct link_peer *link_edge_route(struct link_edge *l, struct span domain);
/* Take an idle data connection of @p, write Open and give it to the caller. -EAGAIN: the pool is empty. */
int link_edge_open(struct link_peer *p, const Sallyport__Open *o, const struct conn_ops *ops,
		   void *arg, struct conn **out);

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
	/* Called when a Hello is made: the ids of all live flows on @edge. Returns their number, at most @max. */
	unsigned (*live_flows)(void *arg, const char *edge, uint64_t *ids, unsigned max);
	const struct link_ops *ops;
	void *arg;
};
struct link_core;
int link_core_new(const struct link_core_params *p,
		  struct link_core **out); /* starts dialling; retries 0.2 s doubling to 5 s */
void link_core_free(struct link_core *l);

const struct link_stats *link_edge_stats(const struct link_edge *l);
const struct link_stats *link_core_stats(const struct link_core *l);
/* Iterate over peers that are up. */
void link_edge_each(struct link_edge *l, void (*fn)(void *arg, struct link_peer *p), void *arg);
void link_core_each(struct link_core *l, void (*fn)(void *arg, struct link_peer *p), void *arg);

#endif
