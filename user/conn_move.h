/* user/conn_move.h -- what one connection gives goes to another, with back-pressure: through a pipe inside the kernel, or copied.
 *
 * Data flow: readable() of .src -> conn_move() -> conn_splice(), or conn_read() and conn_write(), as far as .dst has room; then
 * .src is paused, and drained() of .dst, which is the caller's, sets *.paused to false and conn_pause(src, false).
 * By pipe only where both are in the kernel (rung A) and the chunks are large: it takes two system calls a record, and a copy two
 * for several records. `tools/bench ktls` measures both.
 * Owner rules: the mover owns idle pipes and the copies' buffer, the caller both connections and what a way points at; one mover
 * serves all streams of a loop. */
#ifndef SALLYPORT_CONN_MOVE_H
#define SALLYPORT_CONN_MOVE_H

#include "user/conn.h"

#define CONN_MOVE_BUF 65536 /* bytes a read */
#define CONN_MOVE_ROOM_MIN \
	4096 /* less room than this: the reader is paused until the queue is empty */

enum conn_move_by {
	CONN_MOVE_AUTO,
	CONN_MOVE_COPY,
	CONN_MOVE_PIPE
}; /* others than AUTO: to measure */

struct conn_mover { /* zeroed */
	struct conn_pipes pipes;
	uint64_t spliced; /* bytes that never were in user space */
	enum conn_move_by by;
	uint8_t buf[CONN_MOVE_BUF];
};

/* One direction of a stream. */
struct conn_way {
	struct conn *src, *dst;
	bool *paused;		/* .src waits for .dst's queue */
	uint64_t *count;	/* bytes so far */
	struct conn_pipe *pipe; /* {.in = -1, .out = -1}; while it holds bytes */
	uint8_t *bulk;		/* how often in a row a read was worth a pipe */
};

/* From within .src's readable(). 1: nothing more now, or .dst is over, which its own down() tells; 0: clean end of .src; or the
 * negative errno of its end. */
ssize_t conn_move(struct conn_mover *m, const struct conn_way *w);

#endif
