/* selftests/unit/test_drain.c -- one loop lets go of sockets, the next goes on with them: nothing that was sent is lost,
 * nobody who connects is refused.
 *
 * A child sends numbered datagrams, or connects, without a pause; here loops follow one another on the same sockets. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <netinet/in.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "user/loop.h"

#define DATAGRAMS 20000
#define CONNECTS  400
#define TURNS	  20

static struct loop *loop_make(void)
{
	struct loop_params p = {
		.entries = 64, .ops_max = 64, .recv_bufs = 256, .send_bufs = 256, .buf_size = 512};
	struct loop *l = NULL;

	assert_int_equal(loop_new(&p, &l), 0);
	return l;
}

/* A bound socket on the loopback, and its address. */
static int socket_at(int type, struct sockaddr_in *sa)
{
	int fd = socket(AF_INET, type | SOCK_NONBLOCK | SOCK_CLOEXEC, 0), size = 4 << 20;
	socklen_t n = sizeof(*sa);

	*sa = (struct sockaddr_in){.sin_family = AF_INET,
				   .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	assert_true(fd >= 0);
	setsockopt(fd, SOL_SOCKET, SO_RCVBUFFORCE, &size, sizeof(size));
	assert_int_equal(bind(fd, (struct sockaddr *)sa, n), 0);
	assert_int_equal(getsockname(fd, (struct sockaddr *)sa, &n), 0);
	return fd;
}

static void loop_leaves(void *arg)
{
	loop_stop(arg);
}

/* ---- datagrams ---- */

static struct {
	struct loop *l;
	uint8_t seen[DATAGRAMS];
	unsigned n, turn_at, answers;
	struct loop_timer idle;
	bool draining;
} d;

static void datagram(void *arg, struct loop_dgram *g)
{
	uint32_t i;

	(void)arg;
	assert_int_equal(g->n, sizeof(i));
	memcpy(&i, g->p, sizeof(i));
	assert_true(i < DATAGRAMS);
	d.seen[i]++;
	d.n++;
	d.answers += loop_send(d.l, *(int *)arg, &g->from, span_of(g->p, g->n)) == 0;
	if (d.n >= d.turn_at && !d.draining) {
		d.draining = true;
		loop_drain(d.l, true, loop_leaves, d.l);
	}
}

/* The child: as fast as the answers come, 32 on their way. Exits 0 when each was answered. */
static _Noreturn void send_all(const struct sockaddr_in *to)
{
	int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	uint32_t i, sent = 0, back;
	struct timeval tv = {.tv_sec = 10};

	if (connect(fd, (const struct sockaddr *)to, sizeof(*to)) ||
	    setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &tv, sizeof(tv)))
		_exit(2);
	for (i = 0; i < DATAGRAMS; i++) {
		for (; sent < DATAGRAMS && sent < i + 32; sent++)
			if (send(fd, &sent, sizeof(sent), 0) != sizeof(sent))
				_exit(3);
		if (recv(fd, &back, sizeof(back), 0) != sizeof(back))
			_exit(4);
	}
	_exit(0);
}

static void test_drain_loses_no_datagram(void **state)
{
	struct loop_handle h;
	struct sockaddr_in sa;
	int fd = socket_at(SOCK_DGRAM, &sa), status;
	unsigned i, turn;
	pid_t pid;

	(void)state;
	memset(&d, 0, sizeof(d));
	pid = fork();
	assert_true(pid >= 0);
	if (pid == 0)
		send_all(&sa);
	for (turn = 1; turn <= TURNS; turn++) {
		d.l = loop_make();
		d.draining = false;
		d.turn_at = DATAGRAMS / TURNS * turn;
		assert_int_equal(loop_recv(d.l, fd, datagram, &fd, &h), 0);
		assert_int_equal(loop_run(d.l), 0);
		assert_int_equal(loop_recv(d.l, fd, datagram, &fd, &h), -ESHUTDOWN);
		assert_int_equal(loop_stats(d.l)->recv_errors, 0);
		loop_free(d.l);
	}
	for (i = 0; i < DATAGRAMS; i++)
		if (d.seen[i] != 1)
			fail_msg("datagram %u came %u times", i, d.seen[i]);
	assert_int_equal(d.answers, DATAGRAMS);
	/* Every answer left before its loop did. */
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_int_equal(status, 0);
	close(fd);
}

/* ---- connections ---- */

static struct {
	struct loop *l;
	unsigned n, turn_at, left_at;
	bool draining;
} c;

static void accepts_ended(void *arg)
{
	c.left_at = c.n;
	loop_stop(arg);
}

static void accepted(void *arg, int fd)
{
	(void)arg;
	if (fd < 0)
		fail_msg("accept: %s", strerror(-fd));
	assert_int_equal(send(fd, "x", 1, 0), 1);
	close(fd);
	c.n++;
	if (c.n >= c.turn_at && !c.draining) {
		c.draining = true;
		loop_drain(c.l, false, accepts_ended, c.l);
	}
}

static _Noreturn void connect_all(const struct sockaddr_in *to)
{
	struct timeval tv = {.tv_sec = 10};
	unsigned i, k;
	int fd[4];
	char b;

	for (i = 0; i < CONNECTS / 4; i++) {
		for (k = 0; k < 4; k++) {
			fd[k] = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
			setsockopt(fd[k], SOL_SOCKET, SO_RCVTIMEO, &tv, sizeof(tv));
			if (connect(fd[k], (const struct sockaddr *)to, sizeof(*to)))
				_exit(2);
		}
		for (k = 0; k < 4; k++) {
			if (recv(fd[k], &b, 1, 0) != 1)
				_exit(3);
			close(fd[k]);
		}
	}
	_exit(0);
}

static void test_drain_refuses_no_connection(void **state)
{
	struct loop_handle h;
	struct sockaddr_in sa;
	int fd = socket_at(SOCK_STREAM, &sa), status;
	unsigned turn;
	pid_t pid;

	(void)state;
	memset(&c, 0, sizeof(c));
	assert_int_equal(listen(fd, 64), 0);
	pid = fork();
	assert_true(pid >= 0);
	if (pid == 0)
		connect_all(&sa);
	for (turn = 1; turn <= TURNS; turn++) {
		c.l = loop_make();
		c.draining = false;
		c.turn_at = CONNECTS / TURNS * turn;
		assert_int_equal(loop_accept(c.l, fd, accepted, NULL, &h), 0);
		assert_int_equal(loop_run(c.l), 0);
		assert_int_equal(c.left_at, c.n);
		assert_int_equal(loop_accept(c.l, fd, accepted, NULL, &h), -ESHUTDOWN);
		loop_free(c.l);
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_int_equal(status, 0);
	assert_int_equal(c.n, CONNECTS);
	close(fd);
}

/* ---- odd moments ---- */

static unsigned calls;

static void counted(void *arg)
{
	calls++;
	loop_stop(arg);
}

static void nothing(void *arg, struct loop_dgram *g)
{
	(void)arg;
	(void)g;
}

/* Nothing to end; an operation that was not submitted yet; one that its module cancels meanwhile; first accepts, then the
 * rest. */
static void test_drain_odd_moments(void **state)
{
	struct loop *l = loop_make();
	struct loop_handle h, acc;
	struct sockaddr_in sa;
	int udp = socket_at(SOCK_DGRAM, &sa), tcp = socket_at(SOCK_STREAM, &sa);
	struct loop_timer t = {.fn = loop_leaves};

	(void)state;
	assert_int_equal(listen(tcp, 4), 0);
	calls = 0;
	loop_drain(l, true, counted, l);
	assert_int_equal(loop_run(l), 0);
	assert_int_equal(calls, 1);
	loop_free(l);

	l = loop_make();
	assert_int_equal(loop_recv(l, udp, nothing, NULL, &h), 0);
	loop_drain(l, true, counted, l);
	assert_int_equal(loop_run(l), 0);
	assert_int_equal(calls, 2);
	loop_free(l);

	l = loop_make();
	t.arg = l;
	assert_int_equal(loop_recv(l, udp, nothing, NULL, &h), 0);
	assert_int_equal(loop_accept(l, tcp, accepted, NULL, &acc), 0);
	assert_int_equal(loop_timer_set(l, &t, 5), 0);
	assert_int_equal(loop_run(l), 0);
	loop_drain(l, false, counted, l);
	loop_cancel(l, &acc);
	assert_int_equal(loop_run(l), 0);
	assert_int_equal(calls, 3);
	loop_drain(l, true, counted, l);
	loop_cancel(l, &h);
	assert_int_equal(loop_run(l), 0);
	assert_int_equal(calls, 4);
	loop_free(l);
	close(udp);
	close(tcp);
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_drain_loses_no_datagram),
		cmocka_unit_test(test_drain_refuses_no_connection),
		cmocka_unit_test(test_drain_odd_moments),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
