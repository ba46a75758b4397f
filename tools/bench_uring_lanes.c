/* tools/bench_uring_lanes.c -- the same work by io_uring's operations one by one, and by epoll. See bench_uring.h. In: a job. Out: its work
 * done. The rings are as the daemons': no SQPOLL, one submission a round. */
#include <errno.h>
#include <liburing.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/timerfd.h>
#include <unistd.h>

#include "tools/bench_uring.h"

#define ENTRIES	 4096
#define EVENTS	 256
#define BUFS	 256 /* of the ring of receive buffers; a power of two */
#define BUF_SIZE 2048
#define GROUP	 1
#define TAG_SEND (1ull << 32)

void bench_uring_drop(int fd)
{
	struct linger rst = {1, 0};

	setsockopt(fd, SOL_SOCKET, SO_LINGER, &rst, sizeof(rst));
	close(fd);
}

unsigned bench_uring_ms(uint32_t *seed)
{
	*seed = *seed * 1664525u + 1013904223u;
	return 1 + (*seed >> 16) % BENCH_URING_MS;
}

static struct io_uring_sqe *sqe_of(struct io_uring *r)
{
	struct io_uring_sqe *s = io_uring_get_sqe(r);

	if (!s) {
		io_uring_submit(r);
		s = io_uring_get_sqe(r);
	}
	return s;
}

/* ---- accept ---- */

static void accept_arm(struct io_uring *r, const struct bench_uring_job *j, bool multi)
{
	struct io_uring_sqe *s = sqe_of(r);

	if (multi)
		io_uring_prep_multishot_accept(s, j->listener, NULL, NULL, SOCK_CLOEXEC);
	else
		io_uring_prep_accept(s, j->listener, NULL, NULL, SOCK_CLOEXEC);
}

static int accept_ring(const struct bench_uring_job *j, bool multi)
{
	struct io_uring_cqe *c;
	struct io_uring r;
	uint64_t done = 0;
	unsigned head, n;
	int err = io_uring_queue_init(ENTRIES, &r, 0);

	if (err)
		return err;
	accept_arm(&r, j, multi);
	while (!err && done < j->ops) {
		err = io_uring_submit_and_wait(&r, 1);
		if (err < 0 && err != -EINTR)
			break;
		err = n = 0;
		io_uring_for_each_cqe(&r, head, c)
		{
			n++;
			if (c->res >= 0) {
				bench_uring_drop(c->res);
				done++;
			} else {
				err = c->res;
			}
			if (!err && done < j->ops && !(multi && (c->flags & IORING_CQE_F_MORE)))
				accept_arm(&r, j, multi);
		}
		io_uring_cq_advance(&r, n);
	}
	io_uring_queue_exit(&r);
	return err;
}

int bench_uring_accept_multi(const struct bench_uring_job *j)
{
	return accept_ring(j, true);
}

int bench_uring_accept_single(const struct bench_uring_job *j)
{
	return accept_ring(j, false);
}

int bench_uring_accept_epoll(const struct bench_uring_job *j)
{
	struct epoll_event e = {.events = EPOLLIN | EPOLLET};
	uint64_t done = 0;
	int ep = epoll_create1(EPOLL_CLOEXEC), fd, err = 0;

	if (ep < 0)
		return -errno;
	if (epoll_ctl(ep, EPOLL_CTL_ADD, j->listener, &e))
		err = -errno;
	while (!err && done < j->ops) {
		if (epoll_wait(ep, &e, 1, -1) < 0 && errno != EINTR)
			err = -errno;
		while (!err &&
		       (fd = accept4(j->listener, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK)) >= 0) {
			bench_uring_drop(fd);
			done++;
		}
		if (!err && errno != EAGAIN)
			err = -errno;
	}
	close(ep);
	return err;
}

/* ---- echo ---- */

struct echo {
	const struct bench_uring_job *j;
	struct io_uring r;
	struct io_uring_buf_ring *ring; /* multishot */
	uint8_t *bufs;
	bool multi;
	uint64_t done;
	int err;
};

static void echo_arm(struct echo *e, unsigned i)
{
	struct io_uring_sqe *s = sqe_of(&e->r);

	if (e->multi) {
		io_uring_prep_recv_multishot(s, e->j->fd[i], NULL, 0, 0);
		s->flags |= IOSQE_BUFFER_SELECT;
		s->buf_group = GROUP;
	} else {
		io_uring_prep_recv(s, e->j->fd[i], e->bufs + (size_t)i * BUF_SIZE, BUF_SIZE, 0);
	}
	s->user_data = i;
}

static void buf_give(struct echo *e, unsigned id)
{
	io_uring_buf_ring_add(e->ring, e->bufs + (size_t)id * BUF_SIZE, BUF_SIZE,
			      (unsigned short)id, io_uring_buf_ring_mask(BUFS), 0);
	io_uring_buf_ring_advance(e->ring, 1);
}

static void echo_received(struct echo *e, const struct io_uring_cqe *c)
{
	unsigned i = (unsigned)c->user_data,
		 id = e->multi ? c->flags >> IORING_CQE_BUFFER_SHIFT : i;
	struct io_uring_sqe *s;

	if (c->res <= 0) {
		e->err = c->res ? c->res : -EPIPE;
		return;
	}
	s = sqe_of(&e->r);
	io_uring_prep_send(s, e->j->fd[i], e->bufs + (size_t)id * BUF_SIZE, (size_t)c->res,
			   MSG_NOSIGNAL | MSG_WAITALL);
	s->user_data = TAG_SEND | (uint64_t)id << 16 | i;
	if (e->multi && !(c->flags & IORING_CQE_F_MORE))
		echo_arm(e, i);
}

static void echo_sent(struct echo *e, const struct io_uring_cqe *c)
{
	if (c->res < 0) {
		e->err = c->res;
		return;
	}
	e->done += (uint64_t)c->res / BENCH_URING_BYTES;
	if (e->multi)
		buf_give(e, (unsigned)(c->user_data >> 16 & 0xffff));
	else if (e->done < e->j->ops)
		echo_arm(e, (unsigned)(c->user_data & 0xffff));
}

static int echo_bufs(struct echo *e)
{
	struct io_uring_buf_reg reg = {.ring_entries = BUFS, .bgid = GROUP};
	void *at = NULL;
	unsigned i;
	int err;

	if (posix_memalign(&at, 4096, (size_t)BUFS * (BUF_SIZE + sizeof(struct io_uring_buf))))
		return -ENOMEM;
	e->ring = at; /* page-aligned; the buffers behind it */
	e->bufs = (uint8_t *)at + BUFS * sizeof(struct io_uring_buf);
	if (!e->multi)
		return 0;
	reg.ring_addr = (uintptr_t)at;
	err = io_uring_register_buf_ring(&e->r, &reg, 0);
	if (err)
		return err;
	io_uring_buf_ring_init(e->ring);
	for (i = 0; i < BUFS; i++)
		buf_give(e, i);
	return 0;
}

static int echo_ring(const struct bench_uring_job *j, bool multi)
{
	struct echo e = {.j = j, .multi = multi};
	struct io_uring_cqe *c;
	unsigned head, n, i;

	e.err = io_uring_queue_init(ENTRIES, &e.r, 0);
	if (e.err)
		return e.err;
	e.err = echo_bufs(&e);
	for (i = 0; i < BENCH_URING_CONNS && !e.err; i++)
		echo_arm(&e, i);
	while (!e.err && e.done < j->ops) {
		int got = io_uring_submit_and_wait(&e.r, 1);

		if (got < 0 && got != -EINTR)
			e.err = got;
		n = 0;
		io_uring_for_each_cqe(&e.r, head, c)
		{
			n++;
			if (c->user_data & TAG_SEND)
				echo_sent(&e, c);
			else
				echo_received(&e, c);
		}
		io_uring_cq_advance(&e.r, n);
	}
	io_uring_queue_exit(&e.r); /* ends what is armed */
	free(e.ring);
	return e.err;
}

int bench_uring_echo_multi(const struct bench_uring_job *j)
{
	return echo_ring(j, true);
}

int bench_uring_echo_single(const struct bench_uring_job *j)
{
	return echo_ring(j, false);
}

int bench_uring_echo_epoll(const struct bench_uring_job *j)
{
	struct epoll_event ev[EVENTS], e = {.events = EPOLLIN};
	int ep = epoll_create1(EPOLL_CLOEXEC), err = 0, n, k;
	uint8_t buf[4096];
	uint64_t done = 0;
	unsigned i;

	if (ep < 0)
		return -errno;
	for (i = 0; i < BENCH_URING_CONNS && !err; i++) {
		e.data.u32 = i;
		if (epoll_ctl(ep, EPOLL_CTL_ADD, j->fd[i], &e))
			err = -errno;
	}
	while (!err && done < j->ops) {
		n = epoll_wait(ep, ev, EVENTS, -1);
		if (n < 0 && errno != EINTR)
			err = -errno;
		for (k = 0; k < n && !err; k++) {
			int fd = j->fd[ev[k].data.u32];
			ssize_t got = recv(fd, buf, sizeof(buf), 0);

			if (got <= 0 || send(fd, buf, (size_t)got, MSG_NOSIGNAL) != got)
				err = got < 0 && errno == EAGAIN ? 0 : -EIO;
			else
				done += (uint64_t)got / BENCH_URING_BYTES;
		}
	}
	close(ep);
	return err;
}

/* ---- timers ---- */

int bench_uring_timer_ops(const struct bench_uring_job *j)
{
	struct __kernel_timespec *at = calloc(BENCH_URING_TIMERS, sizeof(*at));
	struct io_uring_cqe *c;
	struct io_uring_sqe *s;
	struct io_uring r;
	uint32_t seed = 1;
	uint64_t done = 0;
	unsigned head, n, i;
	int err = at ? io_uring_queue_init(ENTRIES, &r, 0) : -ENOMEM;

	if (err)
		goto out;
	for (i = 0; i < BENCH_URING_TIMERS; i++) {
		at[i].tv_nsec = bench_uring_ms(&seed) * 1000000;
		s = sqe_of(&r);
		io_uring_prep_timeout(s, &at[i], 0, 0);
		s->user_data = i;
	}
	while (!err && done < j->ops) {
		int got = io_uring_submit_and_wait(&r, 1);

		if (got < 0 && got != -EINTR)
			err = got;
		n = 0;
		io_uring_for_each_cqe(&r, head, c)
		{
			i = (unsigned)c->user_data;
			n++;
			done++;
			if (c->res != -ETIME)
				err = c->res ? c->res : -EIO;
			at[i].tv_nsec = bench_uring_ms(&seed) * 1000000;
			s = sqe_of(&r);
			io_uring_prep_timeout(s, &at[i], 0, 0);
			s->user_data = i;
		}
		io_uring_cq_advance(&r, n);
	}
	io_uring_queue_exit(&r);
out:
	free(at);
	return err;
}

static int timer_set(int fd, uint32_t *seed)
{
	struct itimerspec at = {.it_value.tv_nsec = bench_uring_ms(seed) * 1000000};

	return timerfd_settime(fd, 0, &at, NULL) ? -errno : 0;
}

int bench_uring_timer_fds(const struct bench_uring_job *j)
{
	int ep = epoll_create1(EPOLL_CLOEXEC), *fds = calloc(BENCH_URING_TIMERS, sizeof(*fds));
	struct epoll_event ev[EVENTS], e = {.events = EPOLLIN};
	int err = ep < 0 || !fds ? -ENOMEM : 0, n, k;
	uint64_t done = 0, fired;
	uint32_t seed = 1;
	unsigned i, made = 0;

	for (i = 0; i < BENCH_URING_TIMERS && !err; i++) {
		fds[i] = timerfd_create(CLOCK_MONOTONIC, TFD_NONBLOCK | TFD_CLOEXEC);
		e.data.fd = fds[i];
		if (fds[i] < 0 || epoll_ctl(ep, EPOLL_CTL_ADD, fds[i], &e))
			err = -errno;
		else
			err = timer_set(fds[i], &seed);
		made += fds[i] >= 0;
	}
	while (!err && done < j->ops) {
		n = epoll_wait(ep, ev, EVENTS, -1);
		if (n < 0 && errno != EINTR)
			err = -errno;
		for (k = 0; k < n && !err; k++) {
			if (read(ev[k].data.fd, &fired, sizeof(fired)) != sizeof(fired))
				continue;
			done++;
			err = timer_set(ev[k].data.fd, &seed);
		}
	}
	for (i = 0; i < made; i++)
		close(fds[i]);
	free(fds);
	if (ep >= 0)
		close(ep);
	return err;
}
