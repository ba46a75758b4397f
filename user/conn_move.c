/* user/conn_move.c -- see conn_move.h.
 *
 * In: two connections and what is known of the direction. Out: bytes moved, the reader paused. Owner: the caller's. */
#include "user/conn_move.h"

#include <errno.h>

#define TURN_BYTES (256u << 10)
/* From so many reads of so many bytes in a row on, bytes go through a pipe; a record smaller than SMALL ends that. */
#define BULK	    4
#define CHUNK_LARGE 8192
#define CHUNK_SMALL 4096

static void wait_for_room(const struct conn_way *w)
{
	*w->paused = true;
	conn_pause(w->src, true);
}

static bool worth_a_pipe(const struct conn_mover *m, const struct conn_way *w)
{
	const char *why;

	if (m->by == CONN_MOVE_COPY || (m->by == CONN_MOVE_AUTO && *w->bulk < BULK))
		return false;
	return conn_rung(w->src, &why) == TLS_RUNG_A && conn_rung(w->dst, &why) == TLS_RUNG_A;
}

/* A turn through a pipe. > 0 bytes; -EAGAIN, -ENOBUFS: nothing more now; -EOPNOTSUPP: copy. */
static ssize_t splice_some(struct conn_mover *m, const struct conn_way *w)
{
	ssize_t n;

	if (!w->pipe->n && !worth_a_pipe(m, w))
		return -EOPNOTSUPP;
	if (w->pipe->in < 0 && conn_pipe_get(&m->pipes, w->pipe))
		return -EOPNOTSUPP; /* out of descriptors: bytes can still be copied */
	n = conn_splice(w->src, w->dst, w->pipe);
	if (n > 0) {
		*w->count += (uint64_t)n;
		m->spliced += (uint64_t)n;
		if (n < CHUNK_SMALL)
			*w->bulk = 0;
	}
	if (!w->pipe->n)
		conn_pipe_put(&m->pipes, w->pipe);
	return n;
}

ssize_t conn_move(struct conn_mover *m, const struct conn_way *w)
{
	size_t room, turn = 0;
	ssize_t n;

	while (turn < TURN_BYTES) {
		n = splice_some(m, w);
		if (n == -ENOBUFS || w->pipe->n) {
			wait_for_room(w);
			return 1;
		}
		if (n > 0) {
			turn += (size_t)n;
			continue;
		}
		if (n == -EAGAIN)
			return 1;
		room = conn_room(w->dst);
		if (room < CONN_MOVE_ROOM_MIN) {
			wait_for_room(w);
			return 1;
		}
		n = conn_read(w->src, m->buf, room < sizeof(m->buf) ? room : sizeof(m->buf));
		if (n <= 0)
			return n == -EAGAIN ? 1 : n;
		*w->bulk = n < CHUNK_LARGE ? 0 : *w->bulk < BULK ? (uint8_t)(*w->bulk + 1) : BULK;
		*w->count += (uint64_t)n;
		turn += (size_t)n;
		if (conn_write(w->dst, span_of(m->buf, (size_t)n)))
			return 1; /* .dst is over; its own down() follows */
	}
	conn_pause(w->src, false); /* others get their turn; readable() follows */
	return 1;
}
