/* selftests/unit/test_conn_keep.c -- connections from one worker to the next, and bytes from one to the other inside the kernel, on plain
 * TCP, whose state is all in the kernel as rung A's is. What kernel TLS adds: test_ktls, in selftests/vm. */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <poll.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>
#include <cmocka.h>

#include "user/conn_keep.h"

static struct loop *loop;

struct end {
	struct conn *c;
	struct conn_keep k;
	char got[256];
	size_t n, take; /* take: bytes to read a readable(), 0: all */
	bool up, down, drained, hold;
	uint32_t busy_seen;
	struct conn *to; /* splice there instead */
	struct conn_pipe pipe;
	ssize_t last;
	int err;
};

static void end_up(void *arg)
{
	((struct end *)arg)->up = true;
}

static void end_readable(void *arg)
{
	struct end *e = arg;
	ssize_t n;

	if (e->to) {
		while ((e->last = conn_splice(e->c, e->to, &e->pipe)) > 0)
			e->n += (size_t)e->last;
		if (e->last == -ENOBUFS)
			conn_pause(e->c, true);
		return;
	}
	while (e->n < sizeof(e->got) &&
	       (n = conn_read(e->c, e->got + e->n, sizeof(e->got) - e->n)) > 0)
		e->n += (size_t)n;
	e->busy_seen |= e->k.rx_busy;
	conn_hold(e->c, e->hold);
}

static void end_drained(void *arg)
{
	((struct end *)arg)->drained = true;
}

static void end_down(void *arg, int err, const char *why)
{
	struct end *e = arg;

	(void)why;
	e->down = true;
	e->err = err;
	conn_abort(e->c);
	e->c = NULL;
}

static const struct conn_ops ops = {
	.up = end_up, .readable = end_readable, .drained = end_drained, .down = end_down};

static struct conn_params params(struct end *e)
{
	return (struct conn_params){.loop = loop, .queue_max = 1 << 20, .ops = &ops, .arg = e};
}

static void stop(void *arg)
{
	(void)arg;
	loop_stop(loop);
}

static void run(unsigned ms)
{
	struct loop_timer t = {.fn = stop};

	assert_int_equal(loop_timer_set(loop, &t, ms), 0);
	assert_int_equal(loop_run(loop), 0);
}

/* @e's connection and the bare descriptor at its other end. */
static int end_open(struct end *e)
{
	struct sockaddr_in a = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	struct conn_params p = params(e);
	socklen_t n = sizeof(a);
	int l = socket(AF_INET, SOCK_STREAM, 0), fd = socket(AF_INET, SOCK_STREAM, 0), in;

	*e = (struct end){.pipe = {-1, -1, 0}};
	assert_int_equal(bind(l, (struct sockaddr *)&a, n), 0);
	assert_int_equal(listen(l, 1), 0);
	assert_int_equal(getsockname(l, (struct sockaddr *)&a, &n), 0);
	assert_int_equal(connect(fd, (struct sockaddr *)&a, n), 0);
	in = accept4(l, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
	assert_true(in >= 0);
	close(l);
	assert_int_equal(conn_accept(&p, in, &e->c), 0);
	run(5);
	assert_true(e->up);
	assert_true(conn_keepable(e->c));
	return fd;
}

static void test_keep_leave_and_adopt(void **state)
{
	struct end e, heir = {.pipe = {-1, -1, 0}};
	struct conn_params p = params(&heir);
	static char big[200000], in[200000];
	int fd = end_open(&e), small = 4096, copy, pipe;
	size_t n = 0, i;
	ssize_t ret;

	(void)state;
	for (i = 0; i < sizeof(big); i++)
		big[i] = (char)(i * 7 + (i >> 9));
	setsockopt(conn_fd(e.c), SOL_SOCKET, SO_SNDBUF, &small, sizeof(small));
	conn_keep(e.c, &e.k);
	assert_int_equal(write(fd, "hello", 5), 5);
	run(10);
	assert_int_equal(e.n, 5);
	assert_int_equal(e.busy_seen, 1);
	assert_true(conn_keep_idle(&e.k));
	assert_int_equal(e.k.received, 5);
	assert_int_equal(conn_write(e.c, span_of(big, sizeof(big))), 0);
	assert_true(conn_queued(e.c) > 0);
	assert_int_equal(e.k.tx_busy, 1);
	assert_int_equal(e.k.sent, sizeof(big));
	/* Over it goes, with what is queued. */
	copy = dup(conn_fd(e.c));
	assert_int_equal(conn_leave(e.c, &pipe), 0);
	assert_true(pipe >= 0);
	assert_true(conn_keep_idle(&e.k));
	heir.k = e.k;
	assert_int_equal(write(fd, "to whom?", 8), 8);
	assert_int_equal(conn_adopt(&p, copy, pipe, &heir.k, &heir.c), 0);
	assert_int_equal(heir.k.tx_busy, 1);
	fcntl(fd, F_SETFL, O_NONBLOCK);
	for (i = 0; i < 2000 && n < sizeof(big); i++) {
		run(1);
		while ((ret = read(fd, in + n, sizeof(in) - n)) > 0)
			n += (size_t)ret;
	}
	assert_int_equal(n, sizeof(big));
	assert_memory_equal(in, big, n);
	run(5);
	assert_true(heir.drained);
	assert_true(conn_keep_idle(&heir.k));
	assert_int_equal(heir.n, 8);
	assert_memory_equal(heir.got, "to whom?", 8);
	assert_int_equal(heir.k.received, 13);
	assert_int_equal(conn_received(heir.c), 13);
	conn_close(heir.c);
	close(fd);
	run(20);
}

/* Whoever reads when nobody told it to has dealt with all when it is told that there is no more. */
static void test_keep_read_unasked(void **state)
{
	static const struct conn_ops deaf = {.down = end_down};
	struct end e;
	int fd = end_open(&e);
	char buf[16];

	(void)state;
	conn_keep(e.c, &e.k);
	conn_set_ops(e.c, &deaf, &e);
	assert_int_equal(write(fd, "abc", 3), 3);
	run(5);
	assert_int_equal(conn_read(e.c, buf, sizeof(buf)), 3);
	assert_int_equal(e.k.rx_busy, 1);
	assert_int_equal(conn_read(e.c, buf, sizeof(buf)), -EAGAIN);
	assert_true(conn_keep_idle(&e.k));
	conn_abort(e.c);
	close(fd);
	run(5);
}

/* A worker that died with bytes in its hands leaves nothing to go on with; its peer hears of it by a reset. */
static void test_keep_busy_is_refused(void **state)
{
	struct end e, heir = {.pipe = {-1, -1, 0}};
	struct conn_params p = params(&heir);
	int fd = end_open(&e), copy;
	char c;

	(void)state;
	conn_keep(e.c, &e.k);
	e.hold = true;
	assert_int_equal(write(fd, "half a mess", 11), 11);
	run(10);
	assert_int_equal(e.k.rx_busy, 1);
	assert_false(conn_keep_idle(&e.k));
	copy = dup(conn_fd(e.c));
	heir.k = e.k;
	conn_unkeep(e.c);
	assert_int_equal(conn_adopt(&p, copy, -1, &heir.k, &heir.c), -ECANCELED);
	/* The dead worker's own descriptor is closed by the kernel. */
	conn_abort(e.c);
	run(5);
	assert_int_equal(read(fd, &c, 1), -1);
	assert_int_equal(errno, ECONNRESET);
	close(fd);
	/* The other half comes: all is dealt with. */
	fd = end_open(&e);
	conn_keep(e.c, &e.k);
	e.hold = true;
	assert_int_equal(write(fd, "half a mess", 11), 11);
	run(10);
	e.hold = false;
	assert_int_equal(write(fd, "age", 3), 3);
	run(10);
	assert_true(conn_keep_idle(&e.k));
	conn_abort(e.c);
	close(fd);
}

/* A worker that is killed while it hands over, before the keeper has the pipe; and one that read the pipe and died. */
static void test_keep_pipe_is_missed(void **state)
{
	struct end e, heir = {.pipe = {-1, -1, 0}};
	struct conn_params p = params(&heir);
	static char big[200000];
	int small = 4096, i;

	(void)state;
	for (i = 0; i < 2; i++) {
		int fd = end_open(&e), copy, pipe;
		ssize_t n;

		setsockopt(conn_fd(e.c), SOL_SOCKET, SO_SNDBUF, &small, sizeof(small));
		conn_keep(e.c, &e.k);
		assert_int_equal(conn_write(e.c, span_of(big, sizeof(big))), 0);
		assert_true(conn_queued(e.c) > 0);
		copy = dup(conn_fd(e.c));
		assert_int_equal(conn_leave(e.c, &pipe), 0);
		assert_true(conn_keep_idle(&e.k));
		heir.k = e.k;
		while (i && (n = read(pipe, big, sizeof(big))) > 0)
			;
		if (!i)
			close(pipe);
		assert_int_equal(conn_adopt(&p, copy, i ? pipe : -1, &heir.k, &heir.c), -ECANCELED);
		fcntl(fd, F_SETFL, O_NONBLOCK);
		while ((n = read(fd, big, sizeof(big))) > 0 || (n < 0 && errno == EAGAIN))
			run(1);
		assert_int_equal(n, -1);
		assert_int_equal(errno, ECONNRESET);
		close(fd);
	}
}

/* What another process wrote there may be anything. */
static void test_keep_bad_record(void **state)
{
	struct conn_keep k = {}, bad;

	(void)state;
	assert_true(conn_keep_good(&k));
	k.tls = (struct ktls){.version = KTLS_1_3, .has = {1, 1}, .rekey = 1, .secret_n = 48};
	assert_true(conn_keep_good(&k));
#define BAD(field, value)      \
	bad = k;               \
	bad.tls.field = value; \
	assert_false(conn_keep_good(&bad))
	BAD(version, KTLS_VERSIONS);
	BAD(cipher, KTLS_CIPHERS);
	BAD(has[KTLS_RX], 0);
	BAD(has[KTLS_TX], 0);
	BAD(secret_n, KTLS_SECRET_MAX + 1);
	BAD(secret_n, 0);
	BAD(head_n, 5);
	BAD(alert_n, 2);
#undef BAD
}

/* Secrets lie beside the state, wherever both are; without a place for them the keys cannot change any more. */
static void test_keep_secrets(void **state)
{
	struct file {
		struct conn_keep k, other;
		struct ktls_secrets s;
	} *file = calloc(1, sizeof(*file)), *moved = calloc(1, sizeof(*moved));
	struct ktls *k = ktls_new();

	(void)state;
	assert_non_null(file);
	assert_non_null(moved);
	assert_non_null(k);
	k->version = KTLS_1_3;
	k->rekey = 1;
	k->secret_n = 48;
	memset(ktls_secrets(k)->of[KTLS_TX], 7, 48);
	conn_keep_secrets(&file->k, &file->s);
	ktls_copy(&file->k.tls, k);
	assert_int_equal(file->k.tls.rekey, 1);
	assert_ptr_equal(ktls_secrets(&file->k.tls), &file->s);
	assert_int_equal(file->s.of[KTLS_TX][47], 7);
	/* The next process maps it elsewhere. */
	*moved = *file;
	ktls_wipe(k);
	assert_null(ktls_secrets(k));
	free(k);
	k = ktls_new();
	assert_non_null(k);
	conn_keep_secrets(&moved->k, &moved->s);
	ktls_copy(k, &moved->k.tls);
	assert_int_equal(k->secret_n, 48);
	assert_int_equal(ktls_secrets(k)->of[KTLS_TX][47], 7);
	ktls_wipe(&file->k.tls);
	assert_int_equal(file->s.of[KTLS_TX][47], 0);
	ktls_copy(&file->other.tls, k);
	assert_int_equal(file->other.tls.rekey, 0);
	assert_int_equal(file->s.of[KTLS_TX][47], 0);
	ktls_wipe(k);
	free(k);
	free(moved);
	free(file);
}

/* Bytes in a pipe of ours count as in our hands, and are all there in the end. */
static void test_keep_splice(void **state)
{
	struct conn_pipes pool = {};
	static char big[3 << 20], in[3 << 20];
	struct end a, b;
	int fa = end_open(&a), fb = end_open(&b), small = 16384;
	size_t sent = 0, n = 0, i;
	ssize_t ret;
	bool stuck = false;

	(void)state;
	for (i = 0; i < sizeof(big); i++)
		big[i] = (char)(i * 13 + (i >> 11));
	setsockopt(conn_fd(b.c), SOL_SOCKET, SO_SNDBUF, &small, sizeof(small));
	setsockopt(fb, SOL_SOCKET, SO_RCVBUF, &small, sizeof(small));
	conn_keep(a.c, &a.k);
	conn_keep(b.c, &b.k);
	assert_int_equal(conn_pipe_get(&pool, &a.pipe), 0);
	a.to = b.c;
	fcntl(fa, F_SETFL, O_NONBLOCK);
	fcntl(fb, F_SETFL, O_NONBLOCK);
	for (i = 0; i < 20000 && n < sizeof(big); i++) {
		if (sent < sizeof(big) && (ret = write(fa, big + sent, sizeof(big) - sent)) > 0)
			sent += (size_t)ret;
		run(1);
		if (a.last == -ENOBUFS) {
			stuck = true;
			assert_true(a.pipe.n > 0);
			assert_int_equal(b.k.tx_busy, 1);
		}
		if (i % 4 == 0 || a.last == -ENOBUFS)
			while ((ret = read(fb, in + n, sizeof(in) - n)) > 0)
				n += (size_t)ret;
		if (b.drained) {
			b.drained = false;
			conn_pause(a.c, false);
		}
	}
	assert_int_equal(n, sizeof(big));
	assert_memory_equal(in, big, n);
	assert_true(stuck);
	run(5);
	assert_int_equal(a.n, sizeof(big));
	assert_int_equal(a.k.received, sizeof(big));
	assert_int_equal(b.k.sent, sizeof(big));
	assert_true(conn_keep_idle(&a.k) && conn_keep_idle(&b.k));
	assert_int_equal(a.pipe.n, 0);
	/* The end is told by a read. */
	shutdown(fa, SHUT_WR);
	run(10);
	assert_int_equal(a.last, -EOPNOTSUPP);
	conn_pipe_put(&pool, &a.pipe);
	assert_int_equal(pool.n_used, 0);
	assert_int_equal(pool.n_idle, 1);
	conn_pipes_fini(&pool);
	conn_abort(a.c);
	conn_abort(b.c);
	run(5);
	close(fa);
	close(fb);
}

/* A reset that splice(2) meets is one, and no end of the stream. */
static void test_keep_splice_reset(void **state)
{
	static const struct linger rst = {.l_onoff = 1};
	struct conn_pipes pool = {};
	struct end a, b;
	int fa = end_open(&a), fb = end_open(&b);

	(void)state;
	assert_int_equal(conn_pipe_get(&pool, &a.pipe), 0);
	a.to = b.c;
	assert_int_equal(write(fa, "data", 4), 4);
	run(5);
	assert_int_equal(a.n, 4);
	setsockopt(fa, SOL_SOCKET, SO_LINGER, &rst, sizeof(rst));
	close(fa);
	run(5);
	assert_true(a.down);
	assert_int_equal(a.err, -ECONNRESET);
	conn_pipe_put(&pool, &a.pipe);
	conn_pipes_fini(&pool);
	conn_abort(b.c);
	run(5);
	close(fb);
}

static void test_keep_carry(void **state)
{
	static const size_t sizes[] = {0, 1, 4096, 32768, 32769, 65536, 100000, CONN_CARRY_MAX};
	char *buf = malloc(CONN_CARRY_MAX + 1), *out = malloc(CONN_CARRY_MAX + 1);
	size_t i;
	int fd;

	(void)state;
	for (i = 0; i <= CONN_CARRY_MAX; i++)
		buf[i] = (char)(i ^ i >> 8);
	for (i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
		fd = conn_carry(span_of(buf, sizes[i]));
		if (fd < 0)
			fail_msg("%zu bytes: %s", sizes[i], strerror(-fd));
		assert_int_equal(conn_carried(fd, out, CONN_CARRY_MAX), sizes[i]);
		assert_memory_equal(buf, out, sizes[i]);
	}
	assert_int_equal(conn_carry(span_of(buf, CONN_CARRY_MAX + 1)), -ENOBUFS);
	fd = conn_carry(span_of(buf, 100));
	assert_int_equal(conn_carried(fd, out, 99), -ENOBUFS);
	free(buf);
	free(out);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_keep_leave_and_adopt),
		cmocka_unit_test(test_keep_read_unasked),
		cmocka_unit_test(test_keep_busy_is_refused),
		cmocka_unit_test(test_keep_pipe_is_missed),
		cmocka_unit_test(test_keep_bad_record),
		cmocka_unit_test(test_keep_secrets),
		cmocka_unit_test(test_keep_splice),
		cmocka_unit_test(test_keep_splice_reset),
		cmocka_unit_test(test_keep_carry),
	};
	const struct loop_params lp = {.entries = 64, .ops_max = 64};
	int ret = loop_new(&lp, &loop);

	if (ret) {
		fprintf(stderr, "io_uring: %s\n", strerror(-ret));
		return 1;
	}
	ret = cmocka_run_group_tests(tests, NULL, NULL);
	loop_free(loop);
	return ret;
}
