/* user/link_impl.h -- what the files of user/link* share: reading frames from a connection, a peer's control connection.
 *
 * In: nothing; only user/link*.c and their test include it. Out: struct link_peer and the calls between those files.
 * Owner: see user/link.h. */
#ifndef SALLYPORT_LINK_IMPL_H
#define SALLYPORT_LINK_IMPL_H

#include "user/link.h"

#define LINK_HEAD	    4
#define LINK_DOMAINS_MAX    160 /* with their lengths and the flows below they fit a frame */
#define LINK_DOMAIN_LEN	    253
#define LINK_FLOWS_MAX	    200000
#define LINK_FLOWS_A_HELLO  2500
#define LINK_POOL_MAX	    1024
#define LINK_PENDING_MAX    64
#define LINK_LISTENERS_MAX  8
#define LINK_CONTROL_QUEUE  (4u << 20)
#define LINK_DATA_QUEUE	    (256u << 10)
#define LINK_NAMES_TEXT	    512 /* escaped names in a log line */
#define LINK_REASON_MAX	    256
#define LINK_ABORT_MAX	    64
#define LINK_BYTES_MAX	    (1ull << 62)
#define LINK_STREAM_BUCKETS 2048 /* power of two */
#define LINK_LATER_MS	    5	 /* what StreamEnd and StreamIdle may wait for others */
#define LINK_EARLY_MAX	    256

/* Times in milliseconds, and how many streams a data connection may carry; tests make them smaller. */
struct link_times {
	unsigned hello, health, silence, retry_min, retry_max, steady, end, trim, uses;
};
extern const struct link_times link_times_default;

/* A frame on its way in. Exactly the frame's bytes are read: what follows belongs to the next owner of the connection. */
struct link_rx {
	uint8_t head[LINK_HEAD];
	uint8_t *body;
	uint32_t got, need; /* got counts the head too; need: length of the body */
};
/* 0 and *out (to be freed), -EAGAIN, -ENODATA (clean end), -EBADMSG, or an errno of conn_read(). */
int link_rx_read(struct link_rx *rx, struct conn *c, Sallyport__Link **out);
void link_rx_fini(struct link_rx *rx);
/* Pack and write. 0, -EMSGSIZE, -ENOBUFS, -EPIPE. */
int link_write(struct conn *c, const Sallyport__Link *m);
int link_write_later(struct conn *c, const Sallyport__Link *m, unsigned ms); /* conn.h */
/* Tell why, then end the connection. */
void link_refuse(struct conn *c, const char *reason);
/* One line for a link that did not come up, which is kept as the last in @s. The side that checks: @wanted, and @names that it saw (NULL: none to tell). The
 * other side: @wanted NULL, @names of its own certificate. */
void link_log_refused(struct link_stats *s, uint64_t now_ms, const char *event,
		      const struct addr *peer, const char *reason, const char *wanted,
		      const char *names);
const char *link_conn_why(struct conn *c, int err);

/* ENDING is the edge's only: StreamEnd is told, StreamIdle or some of the core's bytes are not here yet. */
enum link_data_state { LINK_DIALING, LINK_IDLE, LINK_USED, LINK_ENDING };

/* A data connection, all its life: dialling and idle in its owner's pool, then under its stream's id in the peer's table. */
struct link_data {
	struct link_data *prev, *next; /* in the pool, or in its chain of the table */
	struct conn *conn;
	struct loop *loop;
	void *owner;		/* of the pool; edge: link_peer; core: core_edge */
	struct link_peer *peer; /* of the stream; NULL: its control connection is over */
	union {
		struct { /* LINK_DIALING, LINK_IDLE */
			struct link_rx rx;
			uint64_t idle_ms; /* since when */
		};
		struct loop_timer timer; /* the others: the end is half agreed on */
	};
	/* the stream */
	uint64_t stream, in_0, out_0; /* conn_received() and conn_sent() behind its Open */
	uint64_t end;		      /* what the other side has written in all, once it said so */
	char *abort;		      /* NULL: a clean end; link_data_abort() */
	const struct conn_ops *ops;   /* the stream's */
	void *arg;
	unsigned uses;
	uint8_t state; /* enum link_data_state */
	bool end_known;
	bool half; /* edge: StreamEnd is out, and the stream still reads */
};
/* user/link_data.c: out of a pool and into @p's table as the connection of @stream, counts from here; and out of it again, and no
 * stream's. */
void link_data_use(struct link_data *d, struct link_peer *p, uint64_t stream);
void link_data_unuse(struct link_data *d);
/* It is cut off, by that (cut to LINK_ABORT_MAX - 1); "": it ends cleanly. Forgotten by link_data_unuse(). */
void link_data_abort(struct link_data *d, const char *why);
struct link_data *link_data_find(struct link_peer *p, uint64_t stream);
/* @p ends: its streams go on alone, and will end by closing. Those whose end is under way are given to @ending instead. */
void link_data_orphan(struct link_peer *p, void (*ending)(struct link_data *d));
/* Bytes of the stream so far. */
uint64_t link_data_in(const struct link_data *d);
uint64_t link_data_out(const struct link_data *d);

/* Kernel TLS as configured, as soon as nothing is in the way. */
void link_climb(struct conn *c, enum ktls_mode mode);

struct link_peer {
	struct link_peer *prev, *next;
	struct loop *loop;
	struct conn *control;
	char *name;
	uint64_t session, up_ms, seq, last_rx_ms, last_health_ms;
	struct addr addr;
	struct link_rx rx;
	struct loop_timer timer;
	const struct link_times *times;
	struct link_stats *stats;
	enum ktls_mode ktls;
	uint64_t accepts;	/* bit a message case that this side takes */
	uint32_t features;	/* what the other one takes beyond LINK_VERSION */
	bool draining;		/* it said so */
	int send_err;		/* a send failed: ended from the timer */
	struct link_data *data; /* edge: the pool, newest first */
	unsigned n_idle, n_ending;
	unsigned pool,
		idle_low; /* edge: what the core wants idle; the fewest since the last trim */
	struct loop_timer trim;
	struct link_data *streams[LINK_STREAM_BUCKETS]; /* used and ending */
	char **domains;					/* edge: announced and accepted */
	unsigned n_domains;
	const struct link_ops *ops;
	void *arg;
	/* The control connection is over (still there, to be closed by this). Frees the peer. */
	void (*lost)(struct link_peer *p, const char *why);
	/* StreamEnd or StreamIdle; these are the link's own. */
	void (*end)(struct link_peer *p, const Sallyport__Link *m);
	void *owner; /* edge: link_edge; core: core_edge */
	uint64_t (*wall_s)(void);
	int64_t ahead_s; /* our clock, of the peer's */
	bool clock_told;
};

/* A peer for @c, whose ops are taken over. The caller fills in the last group. NULL: out of memory (@c is untouched). */
struct link_peer *link_peer_new(struct loop *loop, struct conn *c, const char *name,
				uint64_t session);
void link_peer_free(struct link_peer *p); /* not the control connection */
#define LINK_BIT(which) (1ull << SALLYPORT__LINK__M_##which)

struct link_pending;
struct link_edge {
	struct link_edge_params p;
	struct link_times times;
	struct link_stats stats;
	struct loop_handle listeners[LINK_LISTENERS_MAX];
	struct {				 /* user/link_join.c */
		void (*take)(void *arg, int fd); /* NULL: nobody waits */
		void *arg;
		struct link_look *looks;
		unsigned n;
	} join;
	unsigned n_listeners, n_pending;
	struct link_pending *pending;
	struct link_peer *peers;
	uint64_t seq; /* newest hello wins */
};
void link_accept(void *arg, int fd);		    /* loop_accept_fn of a link_edge */
void link_accept_core(struct link_edge *l, int fd); /* the same without a look at who it is */
void link_pending_free_all(struct link_edge *l);
/* user/link_join.c: true: @fd goes on from there. */
bool link_join_look(struct link_edge *l, int fd);
void link_join_free_all(struct link_edge *l);
struct link_peer *link_edge_peer(struct link_edge *l, const char *name);
/* @c becomes the control connection of a new peer, or an idle data connection of @p. 0 or -ENOMEM (@c is the caller's). */
int link_edge_peer_up(struct link_edge *l, struct conn *c, const struct link_edge_core *cfg,
		      const Sallyport__Link *hello);
int link_edge_data_add(struct link_peer *p, struct conn *c);
void link_edge_data_close(struct link_peer *p); /* idle and ending ones; streams go on alone */
void link_edge_data_trim(void *arg);		/* the peer's timer */
void link_edge_data_idle(struct link_peer *p, const Sallyport__Link *m); /* StreamIdle */

void link_edge_set_times(struct link_edge *l, const struct link_times *t);
void link_core_set_times(struct link_core *l, const struct link_times *t);

#endif
