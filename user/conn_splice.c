/* user/conn_splice.c -- a connection's climb to kernel TLS, and moving bytes between two that are there. See conn.h.
 *
 * In: the wish to climb; two connections and a pipe. Out: bytes that never were in user space. Owner: the connection; a pipe is
 * its stream's while it holds bytes, else the pool's.
 *
 * Kernel TLS gives one record a call to a pipe, and a pipe that is not empty could make some kernels drop a part of it: so it is
 * emptied before each. */
#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

#include "user/conn_impl.h"
#include "user/ktls.h"

/* ---- climbing ---- */

void conn_climb_try(struct conn *c)
{
	int ret;

	if (c->state != CONN_UP || c->eof)
		return;
	if (queue_len(&c->queue) || c->due_ms) {
		c->climb_why = "bytes wait to be sent";
		return;
	}
	ret = tls_climb(c->tls, c->climb_tx, &c->climb_why);
	if (ret == -EAGAIN)
		return;
	c->climb = false;
	if (ret == -ENOTRECOVERABLE) {
		conn_fail(c, -EPROTO, "kernel TLS took one half of the keys and refused the other");
		return;
	}
	if (ret)
		return;
	/* What came in between gave its edge to OpenSSL's reader. */
	c->rd_ready = true;
	conn_kick(c);
	if (c->ops->climbed && tls_rung(c->tls) == TLS_RUNG_A)
		conn_op(c, c->ops->climbed);
}

void conn_climb(struct conn *c, bool tx_only)
{
	if (!c->tls || tls_rung(c->tls) != TLS_RUNG_C || c->climb)
		return;
	c->climb = true;
	c->climb_tx = tx_only;
	c->climb_why = "it climbs when nothing is on its way";
	if (c->state == CONN_UP)
		conn_kick(c);
}

enum tls_rung conn_rung(const struct conn *c, const char **why)
{
	enum tls_rung r = c->pair ? TLS_RUNG_C : c->tls ? tls_rung(c->tls) : TLS_RUNG_A;

	*why = r == TLS_RUNG_A ? ""
	       : c->pair       ? "an older worker keeps its TLS"
	       : c->climb_why  ? c->climb_why
			       : "kernel TLS was not asked for";
	if (r == TLS_RUNG_B)
		*why = c->climb_tx ? "kernel TLS is configured for sending only"
				   : "the kernel does not receive with this version and cipher";
	return r;
}

/* ---- pipes ---- */

int conn_pipe_get(struct conn_pipes *pool, struct conn_pipe *pipe)
{
	int fd[2];

	if (pool->n_idle) {
		pool->n_idle--;
		fd[0] = pool->idle[pool->n_idle][0];
		fd[1] = pool->idle[pool->n_idle][1];
	} else if (pipe2(fd, O_CLOEXEC | O_NONBLOCK)) {
		return -errno;
	}
	pool->n_used++;
	*pipe = (struct conn_pipe){.out = fd[0], .in = fd[1]};
	return 0;
}

void conn_pipe_put(struct conn_pipes *pool, struct conn_pipe *pipe)
{
	if (pipe->in < 0)
		return;
	pool->n_used--;
	if (!pipe->n && pool->n_idle < CONN_PIPES_IDLE) {
		pool->idle[pool->n_idle][0] = pipe->out;
		pool->idle[pool->n_idle][1] = pipe->in;
		pool->n_idle++;
	} else {
		close(pipe->in);
		close(pipe->out);
	}
	*pipe = (struct conn_pipe){.in = -1, .out = -1};
}

void conn_pipes_fini(struct conn_pipes *pool)
{
	while (pool->n_idle) {
		pool->n_idle--;
		close(pool->idle[pool->n_idle][0]);
		close(pool->idle[pool->n_idle][1]);
	}
}

/* ---- moving ---- */

static bool in_kernel(const struct conn *c)
{
	return c->state == CONN_UP && (!c->tls || tls_rung(c->tls) == TLS_RUNG_A);
}

/* What the pipe holds goes to @dst. 0: it is empty; -ENOBUFS; -EOPNOTSUPP: @dst is over, which its down() tells. */
static int pipe_empty(struct conn *dst, struct conn_pipe *pipe)
{
	struct ktls *k = dst->tls ? tls_kernel(dst->tls) : NULL;
	const char *why = NULL;
	ssize_t ret;

	while (pipe->n) {
		ret = k ? ktls_sending(k, dst->fd, pipe->n, &why) : 0;
		if (!ret) {
			ret = splice(pipe->out, NULL, dst->fd, NULL, pipe->n,
				     SPLICE_F_MOVE | SPLICE_F_NONBLOCK);
			ret = ret < 0 ? -errno : ret;
		}
		if (ret == -EAGAIN) {
			dst->was_queued = true; /* drained() is owed */
			return -ENOBUFS;
		}
		if (ret <= 0) {
			conn_fail(dst, ret ? (int)ret : -EPIPE, why);
			return -EOPNOTSUPP;
		}
		pipe->n -= (size_t)ret;
		dst->sent += (uint64_t)ret;
		if (dst->keep)
			dst->keep->sent = dst->sent;
	}
	if (dst->keep)
		conn_busy_set(&dst->keep->tx_busy, false);
	return 0;
}

/* Told once: a read behind it would find the end of the stream, as if that had ended in order. */
static bool lost(int err)
{
	return err == ECONNRESET || err == EPIPE || err == ETIMEDOUT || err == EHOSTUNREACH ||
	       err == ENETUNREACH;
}

ssize_t conn_splice(struct conn *src, struct conn *dst, struct conn_pipe *pipe)
{
	ssize_t n;
	int ret;

	if (!in_kernel(dst) || queue_len(&dst->queue) || dst->due_ms)
		return -EOPNOTSUPP;
	ret = pipe_empty(dst, pipe);
	if (ret)
		return ret;
	if (!in_kernel(src) || src->eof)
		return -EOPNOTSUPP;
	if (src->in_op && src->budget == 0)
		return -EAGAIN;
	if (src->keep)
		conn_busy_set(&src->keep->rx_busy, true);
	n = splice(src->fd, NULL, pipe->in, NULL, CONN_SPLICE_MAX,
		   SPLICE_F_MOVE | SPLICE_F_NONBLOCK);
	if (n < 0 && errno == EAGAIN) {
		src->rd_ready = false;
		return -EAGAIN;
	}
	if (n < 0 && lost(errno))
		conn_fail(src, -errno, NULL);
	if (n <= 0)
		return -EOPNOTSUPP; /* whatever else it is, a read tells it better */
	pipe->n = (size_t)n;
	if (dst->keep)
		conn_busy_set(&dst->keep->tx_busy, true);
	src->progress = true;
	src->received += (uint64_t)n;
	if (src->keep)
		src->keep->received = src->received;
	src->budget -= (size_t)n < src->budget ? (uint32_t)n : src->budget;
	ret = pipe_empty(dst, pipe);
	return ret == -EOPNOTSUPP ? ret : n;
}
