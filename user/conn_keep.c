/* user/conn_keep.c -- connections from one worker to the next. See conn_keep.h.
 *
 * In: a connection and a record; or a descriptor and a record of an earlier process. Out: the same connection. Owner: conn.h's rules. */
#include "user/conn_keep.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include "user/conn_impl.h"

bool conn_keepable(const struct conn *c)
{
	return conn_fit(c) && (!c->tls || tls_rung(c->tls) == TLS_RUNG_A);
}

void conn_keep(struct conn *c, struct conn_keep *k)
{
	c->keep = k;
	k->received = c->received;
	k->sent = c->sent;
	k->peer = c->peer;
	k->local = c->local;
	k->link = c->link;
	k->pair = c->pair;
	if (c->tls)
		tls_kernel_place(c->tls, &k->tls);
	/* In the middle of readable() more may be read than was dealt with. */
	conn_busy_set(&k->tx_busy, queue_len(&c->queue) > 0);
	conn_busy_set(&k->rx_busy, c->in_op || c->held);
	__atomic_store_n(&k->tx_along, 0, __ATOMIC_RELEASE);
}

bool conn_rekeys(const struct conn *c)
{
	const struct ktls *k = c->tls ? tls_kernel(c->tls) : NULL;

	return k && k->rekey;
}

void conn_keep_secrets(struct conn_keep *k, struct ktls_secrets *where)
{
	ktls_secrets_at(&k->tls, where);
}

void conn_unkeep(struct conn *c)
{
	if (!c->keep)
		return;
	c->keep = NULL;
	if (c->tls)
		tls_kernel_place(c->tls, NULL);
}

bool conn_relayed(const struct conn *c)
{
	return c->pair;
}

int conn_fd(const struct conn *c)
{
	return c->fd;
}

void conn_hold(struct conn *c, bool holds)
{
	c->held = holds;
	if (!c->keep)
		return;
	if (!c->in_op)
		conn_busy_set(&c->keep->rx_busy, holds);
	__atomic_store_n(&c->keep->rx_along, 0, __ATOMIC_RELEASE);
}

bool conn_keep_idle(const struct conn_keep *k)
{
	return !__atomic_load_n(&k->rx_busy, __ATOMIC_ACQUIRE) &&
	       !__atomic_load_n(&k->tx_busy, __ATOMIC_ACQUIRE) && !k->tls.changing;
}

/* What ktls.c takes for granted of its struct, and whoever indexes by it. */
bool conn_keep_good(const struct conn_keep *k)
{
	const struct ktls *t = &k->tls;

	if (!t->has[KTLS_RX] && !t->has[KTLS_TX])
		return true;
	return t->has[KTLS_RX] && t->has[KTLS_TX] && t->version < KTLS_VERSIONS &&
	       t->cipher < KTLS_CIPHERS && t->secret_n <= KTLS_SECRET_MAX &&
	       (!t->rekey || t->secret_n) && t->head_n <= sizeof(t->head) &&
	       t->alert_n < sizeof(t->alert);
}

/* ---- bytes in a pipe ---- */

int conn_carry(struct span bytes)
{
	size_t done = 0;
	ssize_t n = 0;
	int fd[2], err;

	if (bytes.n > CONN_CARRY_MAX)
		return -ENOBUFS;
	if (pipe2(fd, O_CLOEXEC | O_NONBLOCK))
		return -errno;
	/* As many pages as the bytes take, not the 16 that a pipe has: those of all a user's pipes together are limited, and behind that
	 * (fs.pipe-user-pages-soft) a new one has two. Smaller is always granted. */
	if (fcntl(fd[1], F_SETPIPE_SZ, (int)bytes.n) < 0) {
		err = -errno;
		goto failed;
	}
	while (done < bytes.n) {
		n = write(fd[1], bytes.p + done, bytes.n - done);
		if (n < 0 && errno != EINTR)
			break;
		done += n > 0 ? (size_t)n : 0;
	}
	err = done < bytes.n ? -errno : 0;
failed:
	close(fd[1]);
	if (!err)
		return fd[0];
	close(fd[0]);
	return err;
}

ssize_t conn_carried(int pipe, void *buf, size_t max)
{
	size_t done = 0;
	uint8_t more;
	ssize_t n;

	/* Its writing end is closed: it is read to its end. */
	while ((n = done < max ? read(pipe, (uint8_t *)buf + done, max - done)
			       : read(pipe, &more, 1)) != 0) {
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0 || done == max) {
			close(pipe);
			return n < 0 ? -errno : -ENOBUFS;
		}
		done += (size_t)n;
	}
	close(pipe);
	return (ssize_t)done;
}

/* ---- from one process to the next ---- */

static int queue_carried(struct conn *c, int pipe, bool wanted)
{
	uint8_t *buf;
	ssize_t n;
	int ret;

	if (pipe < 0)
		return 0;
	buf = malloc(CONN_CARRY_MAX);
	if (!buf) {
		close(pipe);
		return -ENOMEM;
	}
	n = conn_carried(pipe, buf, CONN_CARRY_MAX);
	ret = n < 0	     ? (int)n
	      : !n && wanted ? -ECANCELED /* who read it did not live long enough to say so */
	      : queue_add(&c->queue, span_of(buf, (size_t)n)) ? -ENOMEM
							      : 0;
	c->was_queued |= n > 0;
	conn_set_queue_max(c, c->queue_max); /* at least what there is */
	free(buf);
	return ret;
}

int conn_adopt(const struct conn_params *p, int fd, int pipe, struct conn_keep *k,
	       struct conn **out)
{
	static const struct linger rst = {.l_onoff = 1};
	struct conn_params plain = *p;
	struct conn *c = NULL;
	bool along = k->tx_along;
	int ret = !conn_keep_good(k)			      ? -EBADMSG
		  : !conn_keep_idle(k) || (along && pipe < 0) ? -ECANCELED
							      : 0;

	plain.tls = NULL;
	plain.link = k->link;
	if (ret) {
		setsockopt(fd, SOL_SOCKET, SO_LINGER, &rst, sizeof(rst));
		close(fd);
	} else {
		ret = conn_new(&plain, fd, &k->peer, &c);
	}
	if (ret) {
		if (pipe >= 0)
			close(pipe);
		return ret;
	}
	c->pair = k->pair;
	c->local = k->local;
	c->received = k->received;
	c->sent = k->sent;
	conn_set_up(c);
	if (k->tls.has[KTLS_TX])
		ret = tls_conn_adopt(p->tls, fd, &k->tls, &c->tls);
	if (!ret)
		ret = queue_carried(c, pipe, along);
	else if (pipe >= 0)
		close(pipe);
	if (ret) {
		conn_abort(c);
		return ret;
	}
	conn_keep(c, k);
	conn_kick(c);
	*out = c;
	return 0;
}

int conn_leave(struct conn *c, int *out_pipe)
{
	*out_pipe = queue_len(&c->queue) ? conn_carry(queue_bytes(&c->queue)) : -1;
	if (queue_len(&c->queue) && *out_pipe < 0) {
		int ret = *out_pipe;

		*out_pipe = -1;
		conn_abort(c);
		return ret;
	}
	/* First what the next one must find, then that nothing is in our hands. */
	c->keep->tx_along = queue_len(&c->queue) > 0;
	c->keep->rx_along = c->held;
	conn_busy_set(&c->keep->tx_busy, false);
	conn_busy_set(&c->keep->rx_busy, false);
	c->keep = NULL;
	if (c->tls)
		tls_kernel_leave(c->tls);
	conn_gone(c);
	return 0;
}
