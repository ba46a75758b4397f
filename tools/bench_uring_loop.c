/* tools/bench_uring_loop.c -- the lanes of user/loop: multishot accept, multishot readiness with recv and send, timers of the heap. See
 * bench_uring.h. In: a job. Out: its work done. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "tools/bench_uring.h"
#include "user/loop.h"

struct lane {
	struct loop *loop;
	const struct bench_uring_job *job;
	uint64_t done;
	uint32_t seed;
	int err;
};

static int lane_run(struct lane *l)
{
	int err = l->err ? l->err : loop_run(l->loop);

	loop_free(l->loop);
	return err ? err : l->err;
}

static void lane_end(struct lane *l, int err)
{
	l->err = err;
	loop_stop(l->loop);
}

/* ---- accept ---- */

static void on_accepted(void *arg, int fd)
{
	struct lane *l = arg;

	if (fd < 0) {
		lane_end(l, fd);
		return;
	}
	bench_uring_drop(fd);
	if (++l->done == l->job->ops)
		loop_stop(l->loop);
}

int bench_uring_accept_loop(const struct bench_uring_job *j)
{
	struct loop_params p = {.entries = 256, .ops_max = 4};
	struct lane l = {.job = j};
	struct loop_handle h;
	int err = loop_new(&p, &l.loop);

	if (err)
		return err;
	l.err = loop_accept(l.loop, j->listener, on_accepted, &l, &h);
	return lane_run(&l);
}

/* ---- echo ---- */

struct peer {
	struct lane *lane;
	int fd;
};

static void on_readable(void *arg, int revents)
{
	struct peer *p = arg;
	struct lane *l = p->lane;
	uint8_t buf[4096];
	ssize_t n;

	if (revents < 0) {
		lane_end(l, revents);
		return;
	}
	while ((n = recv(p->fd, buf, sizeof(buf), 0)) > 0) {
		if (send(p->fd, buf, (size_t)n, MSG_NOSIGNAL) != n) {
			lane_end(l, -EIO);
			return;
		}
		l->done += (uint64_t)n / BENCH_URING_BYTES;
		if (l->done >= l->job->ops)
			loop_stop(l->loop);
		if ((size_t)n < sizeof(buf)) /* what comes next makes it readable again */
			return;
	}
	if (n == 0 || errno != EAGAIN)
		lane_end(l, n ? -errno : -EPIPE);
}

int bench_uring_echo_loop(const struct bench_uring_job *j)
{
	struct loop_params p = {.entries = 256, .ops_max = 2 * BENCH_URING_CONNS};
	struct lane l = {.job = j};
	struct peer peers[BENCH_URING_CONNS];
	struct loop_handle h;
	unsigned i;
	int err = loop_new(&p, &l.loop);

	if (err)
		return err;
	for (i = 0; i < BENCH_URING_CONNS && !l.err; i++) {
		peers[i] = (struct peer){&l, j->fd[i]};
		l.err = loop_poll(l.loop, j->fd[i], POLLIN, true, on_readable, &peers[i], &h);
	}
	return lane_run(&l);
}

/* ---- timers ---- */

struct clock {
	struct loop_timer t;
	struct lane *lane;
};

static void on_time(void *arg)
{
	struct clock *c = arg;
	struct lane *l = c->lane;
	int err = loop_timer_set(l->loop, &c->t, bench_uring_ms(&l->seed));

	if (err)
		lane_end(l, err);
	else if (++l->done == l->job->ops)
		loop_stop(l->loop);
}

int bench_uring_timer_loop(const struct bench_uring_job *j)
{
	struct clock *clocks = calloc(BENCH_URING_TIMERS, sizeof(*clocks));
	struct loop_params p = {.entries = 256, .ops_max = 4};
	struct lane l = {.job = j, .seed = 1};
	unsigned i;
	int err = clocks ? loop_new(&p, &l.loop) : -ENOMEM;

	for (i = 0; i < BENCH_URING_TIMERS && !err && !l.err; i++) {
		clocks[i].t = (struct loop_timer){.fn = on_time, .arg = &clocks[i]};
		clocks[i].lane = &l;
		l.err = loop_timer_set(l.loop, &clocks[i].t, bench_uring_ms(&l.seed));
	}
	if (!err)
		err = lane_run(&l);
	free(clocks);
	return err;
}
