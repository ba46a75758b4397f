/* user/conn_bytes.c -- a connection's bytes: pulled from the socket, pushed to it, queued where it has no room. See conn.h.
 *
 * In: reads and writes of the module. Out: bytes, and the connection's end where one is met. Owner: the connection. */
#include <errno.h>
#include <poll.h>
#include <sys/socket.h>

#include "user/conn_impl.h"

static ssize_t write_some(struct conn *c, const uint8_t *p, size_t n)
{
	ssize_t ret;

	if (c->tls)
		return tls_write(c->tls, p, n);
	do {
		ret = send(c->fd, p, n, MSG_NOSIGNAL | MSG_DONTWAIT);
	} while (ret < 0 && errno == EINTR);
	return ret < 0 ? -errno : ret;
}

int conn_flush(struct conn *c)
{
	ssize_t ret;

	if (!queue_len(&c->queue))
		return 0; /* what is busy then is a pipe */
	while (queue_len(&c->queue)) {
		ret = write_some(c, queue_bytes(&c->queue).p, queue_len(&c->queue));
		if (ret < 0)
			return (int)ret;
		queue_take(&c->queue, (size_t)ret);
	}
	if (c->keep)
		conn_busy_set(&c->keep->tx_busy, false);
	return 0;
}

/* 0, -ENOBUFS or -EPIPE: whether the connection takes @n bytes more. */
static int write_check(const struct conn *c, size_t n)
{
	if (c->state == CONN_DOWN || c->state == CONN_CLOSING)
		return -EPIPE;
	return n > c->queue_max - queue_len(&c->queue) ? -ENOBUFS : 0;
}

/* Queue @data, after what is queued already. */
static int write_queue(struct conn *c, struct span data)
{
	c->was_queued |= data.n > 0;
	if (c->keep && data.n)
		conn_busy_set(&c->keep->tx_busy, true);
	if (queue_add(&c->queue, data)) {
		conn_fail(c, -ENOMEM, NULL);
		return -EPIPE;
	}
	return 0;
}

int conn_write_later(struct conn *c, struct span data, unsigned ms)
{
	int ret = write_check(c, data.n);
	/* no room in the socket: they go when there is */
	bool stuck = queue_len(&c->queue) && !conn_later(c);
	uint64_t due = loop_now_ms(c->loop) + ms;

	if (!ret)
		ret = write_queue(c, data);
	if (ret)
		return ret;
	c->sent += data.n;
	if (c->keep)
		c->keep->sent = c->sent;
	if (c->state == CONN_UP && !stuck && (!c->due_ms || due < c->due_ms)) {
		c->due_ms = due;
		conn_timer_update(c);
	}
	return 0;
}

/* What waited for company and its company, in one. */
static int write_together(struct conn *c, struct span data)
{
	int ret = write_queue(c, data);

	if (ret)
		return ret;
	c->due_ms = 0; /* the timer finds nothing to do then */
	ret = conn_flush(c);
	if (!ret)
		c->was_queued = false;
	if (!ret || ret == -EAGAIN)
		return 0;
	conn_fail(c, ret, conn_why(c));
	return -EPIPE;
}

static int write_now(struct conn *c, struct span data)
{
	ssize_t ret = 0;

	/* A message that is half on the wire when we die cannot be gone on with. */
	if (c->keep && data.n)
		conn_busy_set(&c->keep->tx_busy, true);
	while (c->state == CONN_UP && !queue_len(&c->queue) && data.n) {
		ret = write_some(c, data.p, data.n);
		if (ret < 0)
			break;
		data = span_cut(data, (size_t)ret, data.n);
	}
	if (ret < 0 && ret != -EAGAIN) {
		conn_fail(c, (int)ret, conn_why(c));
		return -EPIPE;
	}
	return write_queue(c, data);
}

int conn_write(struct conn *c, struct span data)
{
	int ret = write_check(c, data.n);

	if (!ret)
		ret = conn_later(c) ? write_together(c, data) : write_now(c, data);
	if (!ret)
		c->sent += data.n;
	if (c->keep) {
		c->keep->sent = c->sent;
		conn_busy_set(&c->keep->tx_busy, queue_len(&c->queue) > 0);
	}
	return ret;
}

/* The other end of a pair was closed, not only shut down: see conn_relay.h. */
static bool hung_up(int fd)
{
	struct pollfd p = {.fd = fd};

	return poll(&p, 1, 0) != 0;
}

static ssize_t read_some(struct conn *c, void *buf, size_t n)
{
	ssize_t ret;

	if (c->tls)
		return tls_read(c->tls, buf, n);
	do {
		ret = recv(c->fd, buf, n, MSG_DONTWAIT);
	} while (ret < 0 && errno == EINTR);
	if (ret == 0 && c->pair && hung_up(c->fd))
		return -ECONNRESET;
	return ret < 0 ? -errno : ret;
}

ssize_t conn_read(struct conn *c, void *buf, size_t n)
{
	ssize_t ret;

	if (c->state != CONN_UP)
		return c->state == CONN_DOWN && c->err ? c->err : -EAGAIN;
	if (n == 0)
		return -EINVAL;
	if (c->eof)
		return 0;
	if (c->in_op && c->budget == 0)
		return -EAGAIN; /* rd_ready stays: readable() comes again */
	if (c->dry) {
		/* as the read would say that is spared */
		if (c->keep && !c->in_op)
			conn_busy_set(&c->keep->rx_busy, c->held);
		return -EAGAIN;
	}
	if (c->keep)
		conn_busy_set(&c->keep->rx_busy, true);
	ret = read_some(c, buf, n);
	if (c->keep && ret <= 0 && !c->in_op)
		conn_busy_set(&c->keep->rx_busy, c->held);
	if (ret > 0) {
		/* What comes from here on gives an edge, so asking once more would only be told to wait. */
		c->dry = !c->tls && !c->pair && !c->hup && (size_t)ret < n;
		if (c->dry)
			c->rd_ready = false;
		c->progress = true;
		c->received += (uint64_t)ret;
		if (c->keep)
			c->keep->received = c->received;
		c->budget -= (size_t)ret < c->budget ? (uint32_t)ret : c->budget;
		return ret;
	}
	c->rd_ready = false;
	if (ret == 0) {
		c->eof = true;
	} else if (ret != -EAGAIN) {
		conn_fail(c, (int)ret, conn_why(c));
		c->down_pending = false; /* the caller knows */
	}
	return ret;
}

void conn_set_queue_max(struct conn *c, size_t queue_max)
{
	size_t max = queue_max > queue_len(&c->queue) ? queue_max : queue_len(&c->queue);

	c->queue_max = max < UINT32_MAX ? (uint32_t)max : UINT32_MAX;
}

size_t conn_queued(const struct conn *c)
{
	return queue_len(&c->queue);
}

size_t conn_room(const struct conn *c)
{
	return c->state == CONN_DOWN || c->state == CONN_CLOSING
		       ? 0
		       : c->queue_max - queue_len(&c->queue);
}

uint64_t conn_received(const struct conn *c)
{
	return c->received;
}

uint64_t conn_sent(const struct conn *c)
{
	return c->sent;
}
