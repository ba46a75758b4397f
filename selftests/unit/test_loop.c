/* selftests/unit/test_loop.c -- the loop on the real kernel: order of timers, readiness, accepts, datagrams and their buffers,
 * calls from inside callbacks, descriptors that are closed at once, and what the ring refuses to do. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>
#include <cmocka.h>

#include "user/loop_impl.h"

static struct loop *loop_make(unsigned ops, unsigned recv_bufs, unsigned send_bufs)
{
	struct loop_params p = {.entries = 8,
				.ops_max = ops,
				.recv_bufs = recv_bufs,
				.send_bufs = send_bufs,
				.buf_size = 512};
	struct loop *l;

	assert_int_equal(loop_new(&p, &l), 0);
	return l;
}

static void stop_fn(void *arg)
{
	loop_stop(arg);
}

static void run_ms(struct loop *l, unsigned ms)
{
	struct loop_timer t = {.fn = stop_fn, .arg = l};

	assert_int_equal(loop_timer_set(l, &t, ms), 0);
	assert_int_equal(loop_run(l), 0);
	loop_timer_cancel(l, &t);
}

static int socket_on_loopback(int type, struct addr *out)
{
	struct sockaddr_storage ss;
	int fd = socket(AF_INET, type | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	socklen_t n;

	assert_true(fd >= 0);
	assert_int_equal(addr_parse(SPAN("127.0.0.1"), out), 0);
	n = addr_to_sockaddr(out, &ss);
	assert_int_equal(bind(fd, (struct sockaddr *)&ss, n), 0);
	n = sizeof(ss);
	assert_int_equal(getsockname(fd, (struct sockaddr *)&ss, &n), 0);
	assert_int_equal(addr_from_sockaddr((struct sockaddr *)&ss, out), 0);
	return fd;
}

/* ---- timers ---- */

struct ticks {
	struct loop *l;
	char order[32];
	unsigned n, again;
	struct loop_timer t[8];
	uint64_t at[8];
};

static struct ticks ticks;

static void tick(void *arg)
{
	size_t i = (size_t)((struct loop_timer *)arg - ticks.t);

	assert_int_equal(ticks.t[i].pos, 0);
	ticks.at[i] = loop_now_ms(ticks.l);
	if (i == 0) { /* from inside: cancel another, move another, set itself again */
		loop_timer_cancel(ticks.l, &ticks.t[1]);
		loop_timer_set(ticks.l, &ticks.t[2], 60);
		if (++ticks.again < 3)
			loop_timer_set(ticks.l, &ticks.t[0], 0);
	} else {
		ticks.order[ticks.n++] = (char)('a' + i);
	}
	if (i == 2)
		loop_stop(ticks.l);
}

static void test_loop_timers(void **state)
{
	static const unsigned in[8] = {5, 6, 7, 30, 20, 10, 40, 20000};
	uint64_t start;
	size_t i;

	(void)state;
	memset(&ticks, 0, sizeof(ticks));
	ticks.l = loop_make(1, 0, 0);
	start = loop_now_ms(ticks.l);
	for (i = 0; i < 8; i++) {
		ticks.t[i] = (struct loop_timer){.fn = tick, .arg = &ticks.t[i]};
		assert_int_equal(loop_timer_set(ticks.l, &ticks.t[i], in[7 - i] + 100), 0);
		assert_int_equal(loop_timer_set(ticks.l, &ticks.t[i], in[i]), 0);
	}
	assert_int_equal(loop_run(ticks.l), 0);
	assert_string_equal(ticks.order,
			    "fedgc"); /* also where a slow machine finds several due at once */
	assert_int_equal(ticks.again, 3);
	for (i = 3; i < 7; i++)
		assert_true(ticks.at[i] >= start + in[i]);
	assert_true(ticks.t[7].pos != 0);
	loop_free(ticks.l);
}

static unsigned many_fired;
static uint64_t many_last;

static void many_fn(void *arg)
{
	struct loop_timer *t = arg;

	assert_true(t->due_ms >= many_last);
	many_last = t->due_ms;
	many_fired++;
}

static void test_loop_timers_many(void **state)
{
	static struct loop_timer t[1000];
	struct loop *l = loop_make(1, 0, 0);
	unsigned i;

	(void)state;
	many_fired = 0;
	many_last = 0;
	for (i = 0; i < 1000; i++) {
		t[i] = (struct loop_timer){.fn = many_fn, .arg = &t[i]};
		assert_int_equal(loop_timer_set(l, &t[i], i * 7919 % 50), 0);
	}
	for (i = 0; i < 1000; i += 3)
		loop_timer_cancel(l, &t[i]);
	run_ms(l, 80);
	assert_int_equal(many_fired, 1000 - 334);
	loop_free(l);
}

/* A timer that is always due must not keep completions away. */
static struct loop_timer busy;

static void busy_fn(void *arg)
{
	loop_timer_set(arg, &busy, 0);
}

static unsigned eager_fired, eager_rounds;

static void eager_fn(void *arg)
{
	eager_fired++;
	loop_timer_set(arg, &busy, 0);
}

static void eager_round(void *arg)
{
	(void)arg;
	eager_rounds++;
}

/* Once a round, however many other timers there are: a reader that always has more takes its turns like that. */
static void test_loop_eager_timer_takes_turns(void **state)
{
	static struct loop_timer t[500];
	struct loop *l = loop_make(1, 0, 0);
	unsigned i;

	(void)state;
	eager_fired = eager_rounds = 0;
	busy = (struct loop_timer){.fn = eager_fn, .arg = l};
	for (i = 0; i < 500; i++) {
		t[i] = (struct loop_timer){.fn = many_fn, .arg = &t[i]};
		assert_int_equal(loop_timer_set(l, &t[i], 100000 + i), 0);
	}
	assert_int_equal(loop_on_round(l, eager_round, NULL), 0);
	assert_int_equal(loop_timer_set(l, &busy, 0), 0);
	run_ms(l, 30);
	assert_in_range(eager_fired, 2, eager_rounds);
	loop_free(l);
}

static void poll_stop(void *arg, int revents)
{
	assert_true(revents & POLLIN);
	loop_stop(arg);
}

static void test_loop_busy_timer_starves_nobody(void **state)
{
	struct loop *l = loop_make(4, 0, 0);
	struct loop_handle h;
	int p[2];

	(void)state;
	assert_int_equal(pipe(p), 0);
	busy = (struct loop_timer){.fn = busy_fn, .arg = l};
	loop_timer_set(l, &busy, 0);
	assert_int_equal(loop_poll(l, p[0], POLLIN, false, poll_stop, l, &h), 0);
	assert_int_equal(write(p[1], "x", 1), 1);
	assert_int_equal(loop_run(l), 0);
	loop_timer_cancel(l, &busy);
	close(p[0]);
	close(p[1]);
	loop_free(l);
}

/* ---- readiness ---- */

struct watch {
	struct loop *l;
	struct loop_handle h, *other;
	unsigned calls;
	int last, fd;
	bool cancel_self, arm_again;
};

static void watch_fn(void *arg, int revents)
{
	struct watch *w = arg;

	w->calls++;
	w->last = revents;
	if (w->cancel_self)
		loop_cancel(w->l, &w->h);
	if (w->other)
		loop_cancel(w->l, w->other);
	if (w->arm_again && w->calls < 3)
		assert_int_equal(loop_poll(w->l, w->fd, POLLIN, false, watch_fn, w, &w->h), 0);
}

static void test_loop_poll_single_and_multi(void **state)
{
	struct loop *l = loop_make(4, 0, 0);
	struct watch one = {.l = l}, multi = {.l = l};
	int p[2], i;

	(void)state;
	assert_int_equal(pipe(p), 0);
	assert_int_equal(loop_poll(l, p[0], POLLIN, false, watch_fn, &one, &one.h), 0);
	assert_int_equal(loop_poll(l, p[0], POLLIN, true, watch_fn, &multi, &multi.h), 0);
	for (i = 0; i < 3; i++) {
		assert_int_equal(write(p[1], "x", 1), 1);
		run_ms(l, 10);
	}
	assert_int_equal(one.calls, 1);
	assert_int_equal(multi.calls, 3);
	assert_true(multi.last & POLLIN);
	close(p[1]);
	run_ms(l, 10);
	assert_true(multi.last & POLLHUP);
	loop_cancel(l, &one.h); /* long over: ignored */
	loop_cancel(l, &multi.h);
	assert_int_equal(multi.h.gen, 0);
	close(p[0]);
	loop_free(l);
}

static void test_loop_poll_arm_again_inside(void **state)
{
	struct loop *l =
		loop_make(1, 0, 0); /* one slot: it must be free already when the function runs */
	struct watch w = {.l = l, .arm_again = true};
	int p[2];

	(void)state;
	assert_int_equal(pipe(p), 0);
	w.fd = p[0];
	assert_int_equal(write(p[1], "x", 1), 1);
	assert_int_equal(loop_poll(l, p[0], POLLIN, false, watch_fn, &w, &w.h), 0);
	run_ms(l, 10);
	assert_int_equal(w.calls, 3);
	close(p[0]);
	close(p[1]);
	loop_free(l);
}

static void test_loop_poll_bad_descriptor(void **state)
{
	struct loop *l = loop_make(2, 0, 0);
	struct watch w = {.l = l};

	(void)state;
	assert_int_equal(loop_poll(l, 987, POLLIN, true, watch_fn, &w, &w.h), 0);
	run_ms(l, 10);
	assert_int_equal(w.calls, 1);
	assert_int_equal(w.last, -EBADF);
	loop_free(l);
}

/* Both are ready in one round; whoever runs first cancels the other, whose completion is then stale. */
static void test_loop_cancel_inside(void **state)
{
	struct loop *l = loop_make(4, 0, 0);
	struct watch a = {.l = l, .cancel_self = true}, b = {.l = l, .cancel_self = true};
	int p[2];

	(void)state;
	assert_int_equal(pipe(p), 0);
	a.other = &b.h;
	b.other = &a.h;
	assert_int_equal(loop_poll(l, p[0], POLLIN, true, watch_fn, &a, &a.h), 0);
	assert_int_equal(loop_poll(l, p[0], POLLIN, true, watch_fn, &b, &b.h), 0);
	assert_int_equal(write(p[1], "x", 1), 1);
	run_ms(l, 10);
	assert_int_equal(a.calls + b.calls, 1);
	assert_true(loop_stats(l)->stale >= 1);
	close(p[0]);
	close(p[1]);
	loop_free(l);
}

static void test_loop_slots_are_bounded(void **state)
{
	struct loop *l =
		loop_make(40, 0, 0); /* five times the SQ, more than the CQ: both overflow */
	struct loop_handle h;
	struct watch w[40];
	unsigned total = 0;
	int p[2], i;

	(void)state;
	assert_int_equal(pipe(p), 0);
	for (i = 0; i < 40; i++) {
		w[i] = (struct watch){.l = l};
		assert_int_equal(loop_poll(l, p[0], POLLIN, true, watch_fn, &w[i], &w[i].h), 0);
	}
	assert_int_equal(loop_poll(l, p[0], POLLIN, true, watch_fn, &w[0], &h), -ENOBUFS);
	loop_cancel(l, &w[7].h);
	assert_int_equal(loop_poll(l, p[0], POLLIN, true, watch_fn, &w[7], &w[7].h), 0);
	assert_int_equal(write(p[1], "x", 1), 1);
	run_ms(l, 10);
	for (i = 0; i < 40; i++) {
		assert_in_range(w[i].calls, 1,
				3); /* one that the full CQ ended is armed again, and told again */
		loop_cancel(l, &w[i].h);
		total += w[i].calls;
	}
	assert_int_equal(write(p[1], "x", 1), 1);
	run_ms(l, 10);
	for (i = 0; i < 40; i++)
		total -= w[i].calls;
	assert_int_equal(total, 0);
	close(p[0]);
	close(p[1]);
	loop_free(l);
}

/* ---- accepts, and descriptors that are closed at once ---- */

struct listener {
	unsigned accepted, errors;
	int last_errno;
};

static void accept_fn(void *arg, int fd)
{
	struct listener *s = arg;

	if (fd < 0) {
		s->errors++;
		s->last_errno = -fd;
		return;
	}
	s->accepted++;
	assert_true(fcntl(fd, F_GETFL) & O_NONBLOCK);
	assert_true(fcntl(fd, F_GETFD) & FD_CLOEXEC);
	close(fd);
}

static int client_connect(const struct addr *to)
{
	struct sockaddr_storage ss;
	int fd = socket(AF_INET, SOCK_STREAM, 0);

	assert_int_equal(connect(fd, (struct sockaddr *)&ss, addr_to_sockaddr(to, &ss)), 0);
	return fd;
}

static void test_loop_accept_and_retry(void **state)
{
	struct loop *l = loop_make(4, 0, 0);
	struct listener s = {};
	struct loop_handle h;
	struct rlimit was, low;
	struct addr a;
	int fd = socket_on_loopback(SOCK_STREAM, &a), c[3], probe;

	(void)state;
	assert_int_equal(listen(fd, 8), 0);
	assert_int_equal(loop_accept(l, fd, accept_fn, &s, &h), 0);
	c[0] = client_connect(&a);
	c[1] = client_connect(&a);
	run_ms(l, 10);
	assert_int_equal(s.accepted, 2);
	c[2] = client_connect(&a);
	/* No descriptor left: told once a try, and it goes on by itself. (The kernel takes the limit when it arms.) */
	loop_cancel(l, &h);
	probe = dup(0);
	close(probe);
	getrlimit(RLIMIT_NOFILE, &was);
	low = was;
	low.rlim_cur = (rlim_t)probe;
	setrlimit(RLIMIT_NOFILE, &low);
	assert_int_equal(loop_accept(l, fd, accept_fn, &s, &h), 0);
	run_ms(l, 150);
	setrlimit(RLIMIT_NOFILE, &was);
	assert_int_equal(s.last_errno, EMFILE);
	assert_in_range(s.errors, 1, 3);
	assert_int_equal(loop_stats(l)->accept_errors, s.errors);
	run_ms(l, 150);
	assert_int_equal(s.accepted, 3);
	loop_cancel(l, &h);
	close(fd);
	close(c[0]);
	close(c[1]);
	close(c[2]);
	loop_free(l);
}

/* Armed, cancelled and closed before anything was submitted; the number comes back as another listener at once. The first
 * accept must not take the connection of the second. */
static void test_loop_descriptor_number_comes_back(void **state)
{
	struct loop *l = loop_make(4, 0, 0);
	struct listener old = {}, new = {};
	struct loop_handle h1, h2;
	struct addr a, b;
	int fd1 = socket_on_loopback(SOCK_STREAM, &a), fd2, c;

	(void)state;
	assert_int_equal(listen(fd1, 8), 0);
	assert_int_equal(loop_accept(l, fd1, accept_fn, &old, &h1), 0);
	loop_cancel(l, &h1);
	close(fd1);
	fd2 = socket_on_loopback(SOCK_STREAM, &b);
	assert_int_equal(fd2, fd1);
	assert_int_equal(listen(fd2, 8), 0);
	c = client_connect(&b);
	assert_int_equal(loop_accept(l, fd2, accept_fn, &new, &h2), 0);
	run_ms(l, 10);
	assert_int_equal(old.accepted + old.errors, 0);
	assert_int_equal(new.accepted, 1);
	loop_cancel(l, &h2);
	close(fd2);
	close(c);
	loop_free(l);
}

/* A connection that was accepted by a cancelled operation is closed, not leaked. */
static void test_loop_stale_accept_is_closed(void **state)
{
	struct loop *l = loop_make(4, 0, 0);
	struct listener s = {};
	struct loop_handle h;
	struct addr a;
	int fd = socket_on_loopback(SOCK_STREAM, &a), c, low, high;

	(void)state;
	assert_int_equal(listen(fd, 8), 0);
	assert_int_equal(loop_accept(l, fd, accept_fn, &s, &h), 0);
	run_ms(l, 5);
	c = client_connect(&a);
	low = dup(0);
	close(low);
	io_uring_get_events(&l->ring); /* the accept completes, and nobody has looked yet */
	assert_true(io_uring_cq_ready(&l->ring) > 0);
	loop_cancel(l, &h);
	close(fd);
	run_ms(l, 5);
	assert_int_equal(s.accepted, 0);
	assert_true(loop_stats(l)->stale >= 1);
	high = dup(0);
	close(high);
	assert_true(high <= low);
	close(c);
	loop_free(l);
}

/* ---- datagrams ---- */

struct dgrams {
	struct loop *l;
	struct loop_handle h;
	unsigned n, keep;
	uint32_t kept[16];
	unsigned n_kept, bytes;
	struct addr from;
	char last[512];
	bool cancel_inside;
};

static void dgram_fn(void *arg, struct loop_dgram *d)
{
	struct dgrams *g = arg;

	g->n++;
	g->bytes += d->n;
	g->from = d->from;
	assert_true(d->n <= d->cap);
	memcpy(g->last, d->p, d->n);
	memset(d->p, 0xee,
	       d->cap); /* all of it is the module's, under ASan and with neighbours watching */
	if (g->keep > g->n_kept) {
		d->kept = true;
		g->kept[g->n_kept++] = d->buf;
	}
	if (g->cancel_inside)
		loop_cancel(g->l, &g->h);
}

static void test_loop_datagrams(void **state)
{
	struct loop *l = loop_make(4, 8, 8);
	struct dgrams g = {.l = l};
	struct addr a, b;
	int fa = socket_on_loopback(SOCK_DGRAM, &a), fb = socket_on_loopback(SOCK_DGRAM, &b), i;

	(void)state;
	assert_int_equal(loop_recv(l, fa, dgram_fn, &g, &g.h), 0);
	for (i = 0; i < 5; i++)
		assert_int_equal(loop_send(l, fb, &a, SPAN("media")), 0);
	assert_int_equal(loop_send(l, fb, &a, SPAN("")), 0); /* empty datagrams are datagrams */
	run_ms(l, 10);
	assert_int_equal(g.n, 6);
	assert_int_equal(g.bytes, 25);
	assert_true(addr_eq(&g.from, &b));
	assert_memory_equal(g.last, "media", 5);
	loop_cancel(l, &g.h);
	close(fa);
	close(fb);
	loop_free(l);
}

static void test_loop_datagram_limits(void **state)
{
	static uint8_t big[600];
	struct loop *l = loop_make(4, 8, 3);
	struct dgrams g = {.l = l};
	struct addr a, b;
	int fa = socket_on_loopback(SOCK_DGRAM, &a), fb = socket_on_loopback(SOCK_DGRAM, &b), i;

	(void)state;
	assert_int_equal(loop_recv(l, fa, dgram_fn, &g, &g.h), 0);
	assert_int_equal(loop_send(l, fb, &a, span_of(big, 513)), -EMSGSIZE);
	for (i = 0; i < 3; i++)
		assert_int_equal(loop_send(l, fb, &a, SPAN("x")), 0);
	assert_int_equal(loop_send(l, fb, &a, SPAN("x")), -ENOBUFS);
	assert_int_equal(loop_stats(l)->no_send_buf, 1);
	run_ms(l, 10);
	assert_int_equal(g.n, 3);
	/* 512 bytes less the kernel's header and the sender's address: one byte more is cut, counted and dropped */
	assert_int_equal(loop_send(l, fb, &a, span_of(big, 464)), 0);
	assert_int_equal(loop_send(l, fb, &a, span_of(big, 465)), 0);
	run_ms(l, 10);
	assert_int_equal(g.n, 4);
	assert_int_equal(loop_stats(l)->truncated, 1);
	/* refused by the kernel, later: counted */
	b.port = 0;
	assert_int_equal(loop_send(l, fb, &b, SPAN("x")), 0);
	run_ms(l, 10);
	assert_int_equal(loop_stats(l)->send_errors, 1);
	close(fa);
	close(fb);
	loop_free(l);
}

/* ---- control messages, and what became of a datagram ---- */

struct controls {
	unsigned n, ttl, tos;
	struct addr from;
	char last[16];
};

static void controls_fn(void *arg, struct loop_dgram *d)
{
	struct controls *g = arg;
	struct msghdr m = {.msg_control = (void *)(uintptr_t)d->control,
			   .msg_controllen = d->control_n};
	struct cmsghdr *c;
	int v;

	assert_true((uintptr_t)d->control % _Alignof(struct cmsghdr) == 0);
	g->n++;
	g->from = d->from;
	g->ttl = g->tos = 0;
	memcpy(g->last, d->p, d->n);
	for (c = CMSG_FIRSTHDR(&m); c; c = CMSG_NXTHDR(&m, c)) {
		assert_int_equal(c->cmsg_level, IPPROTO_IP);
		if (c->cmsg_type == IP_TTL) {
			memcpy(&v, CMSG_DATA(c), sizeof(v));
			g->ttl = (unsigned)v;
		} else if (c->cmsg_type == IP_TOS) {
			g->tos = *CMSG_DATA(c);
		}
	}
}

struct sents {
	unsigned n;
	uint64_t tag;
	int res;
};

static void sent_fn(void *arg, uint64_t tag, int res)
{
	struct sents *s = arg;

	s->n++;
	s->tag = tag;
	s->res = res;
}

static size_t control_int(uint8_t *buf, size_t at, int type, int value)
{
	struct cmsghdr c = {
		.cmsg_level = IPPROTO_IP, .cmsg_type = type, .cmsg_len = CMSG_LEN(sizeof(value))};

	memcpy(buf + at, &c, sizeof(c));
	memcpy(buf + at + CMSG_LEN(0), &value, sizeof(value));
	return at + CMSG_SPACE(sizeof(value));
}

static void test_loop_control_and_sent(void **state)
{
	struct loop_params lp = {.entries = 8,
				 .ops_max = 4,
				 .recv_bufs = 8,
				 .send_bufs = 2,
				 .buf_size = 512,
				 .recv_control = 64};
	uint8_t control[LOOP_CONTROL_MAX + 1] = {0};
	struct controls g = {0};
	struct sents sent = {0};
	struct loop_handle h;
	struct addr a, b;
	int fa = socket_on_loopback(SOCK_DGRAM, &a), fb = socket_on_loopback(SOCK_DGRAM, &b),
	    on = 1;
	struct loop_packet p = {.to = &a,
				.data = SPAN("media"),
				.control = control,
				.fn = sent_fn,
				.arg = &sent,
				.tag = UINT64_MAX - 1};
	struct loop *l;

	(void)state;
	assert_int_equal(loop_new(&lp, &l), 0);
	assert_int_equal(setsockopt(fa, IPPROTO_IP, IP_RECVTTL, &on, sizeof(on)), 0);
	assert_int_equal(setsockopt(fa, IPPROTO_IP, IP_RECVTOS, &on, sizeof(on)), 0);
	assert_int_equal(loop_recv(l, fa, controls_fn, &g, &h), 0);
	p.control_n = control_int(control, 0, IP_TTL, 9);
	p.control_n = control_int(control, p.control_n, IP_TOS, 0xb8);
	assert_int_equal(loop_send_packet(l, fb, &p), 0);
	memset(control, 0xff, sizeof(control)); /* it was copied */
	run_ms(l, 10);
	assert_int_equal(g.n, 1);
	assert_int_equal(g.ttl, 9);
	assert_int_equal(g.tos, 0xb8);
	assert_true(addr_eq(&g.from, &b));
	assert_memory_equal(g.last, "media", 5);
	assert_int_equal(sent.n, 1);
	assert_true(sent.tag == UINT64_MAX - 1);
	assert_int_equal(sent.res, 5);
	/* Without them, next to it; and a kernel that refuses. */
	p.control_n = 0;
	assert_int_equal(loop_send_packet(l, fb, &p), 0);
	b.port = 0;
	p.to = &b;
	p.tag = 7;
	assert_int_equal(loop_send_packet(l, fb, &p), 0);
	run_ms(l, 10);
	assert_int_equal(g.n, 2);
	assert_true(g.ttl > 9 && g.tos == 0);
	assert_int_equal(sent.n, 3);
	assert_int_equal(sent.tag, 7);
	assert_int_equal(sent.res, -EINVAL);
	p.control_n = sizeof(control);
	assert_int_equal(loop_send_packet(l, fb, &p), -EMSGSIZE);
	loop_cancel(l, &h);
	close(fa);
	close(fb);
	loop_free(l);
}

/* All eight buffers are kept by the module; the datagrams behind them wait in the socket until one comes back. */
static void test_loop_kept_buffers(void **state)
{
	struct loop *l = loop_make(4, 8, 16);
	struct dgrams g = {.l = l, .keep = 8};
	struct addr a, b;
	int fa = socket_on_loopback(SOCK_DGRAM, &a), fb = socket_on_loopback(SOCK_DGRAM, &b), i;

	(void)state;
	assert_int_equal(loop_recv(l, fa, dgram_fn, &g, &g.h), 0);
	for (i = 0; i < 12; i++)
		assert_int_equal(loop_send(l, fb, &a, SPAN("media")), 0);
	run_ms(l, 20);
	assert_int_equal(g.n, 8);
	assert_int_equal(g.n_kept, 8);
	assert_true(loop_stats(l)->no_recv_buf >= 1);
	loop_buf_put(l, g.kept[3]);
	run_ms(l, 20);
	assert_int_equal(g.n, 12); /* one buffer is enough for the rest, one after the other */
	for (i = 0; i < 8; i++)
		if (i != 3)
			loop_buf_put(l, g.kept[i]);
	for (i = 0; i < 12; i++)
		assert_int_equal(loop_send(l, fb, &a, SPAN("again")), 0);
	run_ms(l, 20);
	assert_int_equal(g.n, 24);
	assert_int_equal(l->bufs_out, 0);
	close(fa);
	close(fb);
	loop_free(l);
}

/* Datagrams that arrive for a cancelled receive give their buffers back. */
static void test_loop_cancelled_receive_returns_buffers(void **state)
{
	struct loop *l = loop_make(4, 4, 16);
	struct dgrams g = {.l = l, .cancel_inside = true};
	struct addr a, b;
	int fa = socket_on_loopback(SOCK_DGRAM, &a), fb = socket_on_loopback(SOCK_DGRAM, &b), i,
	    round;

	(void)state;
	for (round = 0; round < 10; round++) {
		g.n = 0;
		assert_int_equal(loop_recv(l, fa, dgram_fn, &g, &g.h), 0);
		for (i = 0; i < 3; i++)
			assert_int_equal(loop_send(l, fb, &a, SPAN("media")), 0);
		run_ms(l, 5);
		assert_int_equal(g.n, 1);
		assert_int_equal(l->bufs_out, 0);
	}
	assert_true(loop_stats(l)->stale > 0);
	close(fa);
	close(fb);
	loop_free(l);
}

/* A fast stream is gathered; what is left of one that stopped is told all the same, and soon one by one again. */
static void test_loop_batches_end(void **state)
{
	struct loop *l = loop_make(4, 64, 64);
	struct dgrams g = {.l = l};
	struct addr a, b;
	int fa = socket_on_loopback(SOCK_DGRAM, &a), fb = socket_on_loopback(SOCK_DGRAM, &b), i;

	(void)state;
	assert_int_equal(loop_recv(l, fa, dgram_fn, &g, &g.h), 0);
	run_ms(l, 1);
	l->batch = 16;
	l->batch_n = 1u << 20; /* in the window that ends now: many a millisecond */
	l->batch_since_ms = loop_clock_ms() - LOOP_BATCH_WINDOW_MS;
	for (i = 0; i < 3; i++)
		assert_int_equal(loop_send(l, fb, &a, SPAN("media")), 0);
	run_ms(l, 0); /* one round */
	assert_int_equal(l->batch, LOOP_BATCH_MAX);
	run_ms(l, 5 * LOOP_BATCH_WINDOW_MS);
	assert_int_equal(g.n, 3);
	assert_int_equal(l->batch, 1);
	close(fa);
	close(fb);
	loop_free(l);
}

/* What was given to loop_send() goes out even when the descriptor is cancelled and closed in the same round. */
static void test_loop_send_then_close(void **state)
{
	struct loop *l = loop_make(4, 8, 8);
	struct dgrams g = {.l = l}, none = {.l = l};
	struct addr a, b;
	int fa = socket_on_loopback(SOCK_DGRAM, &a), fb = socket_on_loopback(SOCK_DGRAM, &b);

	(void)state;
	assert_int_equal(loop_recv(l, fa, dgram_fn, &g, &g.h), 0);
	assert_int_equal(loop_recv(l, fb, dgram_fn, &none, &none.h), 0);
	assert_int_equal(loop_send(l, fb, &a, SPAN("bye")), 0);
	loop_cancel(l, &none.h);
	close(fb);
	run_ms(l, 10);
	assert_int_equal(g.n, 1);
	assert_true(addr_eq(&g.from, &b));
	close(fa);
	loop_free(l);
}

/* ---- the ring's own limits ---- */

static void test_loop_ring_is_restricted(void **state)
{
	static const uint8_t ops[] = {IORING_OP_NOP,	IORING_OP_OPENAT,  IORING_OP_CONNECT,
				      IORING_OP_SOCKET, IORING_OP_READ,	   IORING_OP_WRITE,
				      IORING_OP_SPLICE, IORING_OP_TIMEOUT, IORING_OP_UNLINKAT,
				      IORING_OP_CLOSE};
	static const unsigned regs[] = {IORING_REGISTER_BUFFERS,      IORING_REGISTER_FILES,
					IORING_REGISTER_RESTRICTIONS, IORING_REGISTER_PBUF_RING,
					IORING_REGISTER_EVENTFD,      IORING_REGISTER_RING_FDS};
	struct loop *l = loop_make(4, 0, 0);
	struct io_uring_cqe *cqe;
	size_t i;

	(void)state;
	for (i = 0; i < sizeof(ops); i++) {
		struct io_uring_sqe *sqe = io_uring_get_sqe(&l->ring);

		io_uring_prep_rw(ops[i], sqe, -1, NULL, 0, 0);
		assert_int_equal(io_uring_submit(&l->ring), 1);
		assert_int_equal(io_uring_wait_cqe(&l->ring, &cqe), 0);
		assert_int_equal(cqe->res, -EACCES);
		io_uring_cqe_seen(&l->ring, cqe);
	}
	for (i = 0; i < sizeof(regs) / sizeof(regs[0]); i++)
		assert_int_equal(io_uring_register((unsigned)l->ring.ring_fd, regs[i], NULL, 0),
				 -EACCES);
	loop_free(l);
}

static void test_loop_params_refused(void **state)
{
	static const struct loop_params bad[] = {
		{.entries = 8, .ops_max = 0},
		{.entries = 8, .ops_max = 1u << 25},
		{.entries = 8, .ops_max = 4, .recv_bufs = 6, .buf_size = 512}, /* no power of two */
		{.entries = 8, .ops_max = 4, .recv_bufs = 8, .buf_size = 64},
		{.entries = 8, .ops_max = 4, .recv_bufs = 65536, .buf_size = 512},
		{.entries = 8, .ops_max = 4, .send_bufs = 8, .buf_size = 1u << 20},
		{.entries = 8, .ops_max = 4, .recv_bufs = 8, .buf_size = 512, .recv_control = 8},
		{.entries = 8, .ops_max = 4, .recv_bufs = 8, .buf_size = 256, .recv_control = 144},
	};
	struct loop *l;
	size_t i;

	(void)state;
	for (i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		assert_int_equal(loop_new(&bad[i], &l), -EINVAL);
}

/* ---- the round ---- */

static char round_order[64];

static void round_a(void *arg)
{
	(void)arg;
	strncat(round_order, "a", sizeof(round_order) - strlen(round_order) - 1);
}

static void round_b(void *arg)
{
	strncat(round_order, "b", sizeof(round_order) - strlen(round_order) - 1);
	loop_stop(arg);
}

static unsigned freed;

static void at_free_fn(void *arg)
{
	(void)arg;
	freed++;
}

static void test_loop_round_and_free_hooks(void **state)
{
	struct loop *l = loop_make(4, 0, 0);
	struct loop_at_free f1 = {.fn = at_free_fn}, f2 = {.fn = at_free_fn};
	struct loop_timer t = {.fn = round_a};
	int i;

	(void)state;
	round_order[0] = 0;
	freed = 0;
	assert_int_equal(loop_on_round(l, round_a, l), 0);
	assert_int_equal(loop_on_round(l, round_b, l), 0);
	loop_timer_set(l, &t, 0); /* timers come before the round's end */
	assert_int_equal(loop_run(l), 0);
	assert_string_equal(round_order, "aab");
	for (i = 2; i < 8; i++)
		assert_int_equal(loop_on_round(l, round_a, l), 0);
	assert_int_equal(loop_on_round(l, round_a, l), -ENOBUFS);
	loop_stop(l);
	assert_int_equal(loop_run(l), 0); /* stopped before it began: no round */
	assert_string_equal(round_order, "aab");
	loop_at_free_add(l, &f1);
	loop_at_free_add(l, &f2);
	loop_at_free_del(&f1);
	loop_at_free_del(&f1);
	loop_free(l);
	assert_int_equal(freed, 1);
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_loop_timers),
		cmocka_unit_test(test_loop_timers_many),
		cmocka_unit_test(test_loop_busy_timer_starves_nobody),
		cmocka_unit_test(test_loop_eager_timer_takes_turns),
		cmocka_unit_test(test_loop_poll_single_and_multi),
		cmocka_unit_test(test_loop_poll_arm_again_inside),
		cmocka_unit_test(test_loop_poll_bad_descriptor),
		cmocka_unit_test(test_loop_cancel_inside),
		cmocka_unit_test(test_loop_slots_are_bounded),
		cmocka_unit_test(test_loop_accept_and_retry),
		cmocka_unit_test(test_loop_descriptor_number_comes_back),
		cmocka_unit_test(test_loop_stale_accept_is_closed),
		cmocka_unit_test(test_loop_datagrams),
		cmocka_unit_test(test_loop_datagram_limits),
		cmocka_unit_test(test_loop_control_and_sent),
		cmocka_unit_test(test_loop_kept_buffers),
		cmocka_unit_test(test_loop_cancelled_receive_returns_buffers),
		cmocka_unit_test(test_loop_batches_end),
		cmocka_unit_test(test_loop_send_then_close),
		cmocka_unit_test(test_loop_ring_is_restricted),
		cmocka_unit_test(test_loop_params_refused),
		cmocka_unit_test(test_loop_round_and_free_hooks),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
