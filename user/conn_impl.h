/* user/conn_impl.h -- what the files of user/conn* share: conn.c (life and events), conn_bytes.c (reading and writing),
 * conn_splice.c (kernel TLS), conn_keep.c (from one process to the next), conn_relay.c (TLS that stays behind). Nobody else
 * includes this.
 *
 * In: nothing. Out: struct conn and the calls between those files. Owner: see user/conn.h. */
#ifndef SALLYPORT_CONN_IMPL_H
#define SALLYPORT_CONN_IMPL_H

#include "user/conn.h"
#include "user/conn_keep.h"
#include "user/queue.h"

enum conn_state { CONN_CONNECTING, CONN_HANDSHAKE, CONN_UP, CONN_CLOSING, CONN_DOWN };

/* Three of them a registered client, so every byte here is three of what one costs: bits, and one place for what never is at once. */
struct conn {
	struct loop *loop;
	struct tls_conn *tls;
	union {
		struct {
			const struct conn_ops *ops;
			void *arg;
			const char *why, *climb_why; /* the second is static */
		};
		struct loop_at_free at_free; /* CONN_CLOSING: no module has it any more */
	};
	struct conn_keep *keep; /* NULL: it ends with us */
	struct queue queue;
	struct loop_timer timer; /* set all its life, so that moving it cannot fail */
	/* CONN_UP: when bytes that wait for company go alone (conn_later()); before and behind: of handshake or close. 0: none */
	uint64_t due_ms;
	uint64_t received, sent;
	struct loop_handle poll;
	struct addr peer, local;
	int fd, err;
	uint32_t budget, queue_max;
	uint8_t state; /* enum conn_state */
	bool link : 1, paused : 1;
	bool pair : 1;	   /* AF_UNIX: the other end is a process of ours (conn_relay.h) */
	bool rd_ready : 1; /* there may be something to read */
	bool dry : 1;	   /* plain TCP: the last read took all there was, and no edge came since */
	bool hup : 1;	   /* an edge has told of an end or an error, which a read will meet */
	bool progress : 1; /* the running readable() got bytes */
	bool eof : 1;	   /* clean end seen */
	bool was_queued : 1;	      /* drained() is owed */
	bool kicked : 1;	      /* run conn_turn() from the timer */
	bool in_op : 1, gone : 1;     /* destroyed from within an op: freed when it returns */
	bool down_pending : 1;	      /* ops.down() is owed */
	bool shut : 1;		      /* FIN sent */
	bool climb : 1, climb_tx : 1; /* wanted */
	bool refused : 1; /* the handshake failed: an alert may be on its way, do not overtake it by RST */
	bool held : 1; /* the module has bytes of a readable() before */
};

static inline uint64_t conn_later(const struct conn *c)
{
	return c->state == CONN_UP ? c->due_ms : 0;
}

/* conn.c: run conn's turn from the timer; set the timer anew; it is over, and down() is owed. */
void conn_kick(struct conn *c);
/* Call one of the module's functions (NULL: none). False: the connection is gone, or not up any more. */
bool conn_op(struct conn *c, void (*fn)(void *arg));
void conn_timer_update(struct conn *c);
void conn_fail(struct conn *c, int err, const char *why);
const char *conn_why(const struct conn *c);
/* For conn_keep.c: a connection on @fd (closed on failure); it is up, whatever it took; its end without a trace on the wire. */
int conn_new(const struct conn_params *p, int fd, const struct addr *peer, struct conn **out);
void conn_set_up(struct conn *c);
void conn_gone(struct conn *c);
/* After loop_clear(): on the loop again. 0 or -ENOBUFS. */
int conn_again(struct conn *c);
/* A word of the record, set before and cleared after what it stands for. */
static inline void conn_busy_set(uint32_t *word, bool busy)
{
	__atomic_store_n(word, busy, __ATOMIC_RELEASE);
}
/* conn_bytes.c: write from the queue until it is empty or the socket is full. 0, -EAGAIN or the failure. */
int conn_flush(struct conn *c);
/* conn_splice.c: climb if it is wanted and nothing is in the way. */
void conn_climb_try(struct conn *c);

#endif
