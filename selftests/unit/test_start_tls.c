/* selftests/unit/test_start_tls.c -- TLS behind a plain beginning, over loopback: the handshake, and what must not be taken for it. */
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>
#include <cmocka.h>

#include "selftests/unit/certs.h"
#include "user/conn.h"

static struct cert ca, leaf;

/* The server reads the word "go", says "ok" and begins TLS; then each side says a text. */
struct world {
	struct loop *l;
	struct tls_ctx *server, *client;
	struct conn *a, *b; /* a: accepted, b: the client's, once it is TLS */
	int raw;	    /* the client's socket while it is plain */
	int ret;	    /* of conn_start_tls() */
	unsigned handshake_ms, a_ups, b_ups;
	bool called, down;
	int err;
	char a_got[64], b_got[64];
	size_t a_n, b_n;
	struct loop_timer limit;
	bool late;
};

static void on_limit(void *arg)
{
	struct world *w = arg;

	w->late = true;
	loop_stop(w->l);
}

/* Until an op stops the loop. */
static void run(struct world *w)
{
	w->limit = (struct loop_timer){.fn = on_limit, .arg = w};
	loop_timer_set(w->l, &w->limit, 10000);
	assert_int_equal(loop_run(w->l), 0);
	loop_timer_cancel(w->l, &w->limit);
	assert_false(w->late);
}

static void read_all(struct conn *c, char *got, size_t *n)
{
	ssize_t ret;

	while ((ret = conn_read(c, got + *n, 63 - *n)) > 0)
		*n += (size_t)ret;
	assert_int_equal(ret, -EAGAIN);
}

static void a_readable(void *arg)
{
	struct world *w = arg;

	if (w->a_ups == 2) {
		read_all(w->a, w->a_got, &w->a_n);
		if (w->a_n == 5 && w->b_n == 5)
			loop_stop(w->l);
		return;
	}
	if (w->called || conn_read(w->a, w->a_got, 2) <= 0)
		return;
	assert_memory_equal(w->a_got, "go", 2);
	w->ret = conn_start_tls(w->a, w->server, SPAN("ok"), w->handshake_ms);
	w->called = true;
	if (!w->ret)
		assert_int_equal(conn_read(w->a, w->a_got, 2), -EAGAIN);
	loop_stop(w->l);
}

static void a_up(void *arg)
{
	struct world *w = arg;

	if (++w->a_ups == 2) {
		assert_non_null(conn_tls(w->a));
		assert_int_equal(conn_write(w->a, SPAN("right")), 0);
	}
}

static void a_down(void *arg, int err, const char *why)
{
	struct world *w = arg;

	assert_true(why && *why);
	w->down = true;
	w->err = err;
	loop_stop(w->l);
}

static void b_readable(void *arg)
{
	struct world *w = arg;

	read_all(w->b, w->b_got, &w->b_n);
	if (w->a_n == 5 && w->b_n == 5)
		loop_stop(w->l);
}

static void b_up(void *arg)
{
	struct world *w = arg;

	w->b_ups++;
	assert_int_equal(conn_write(w->b, SPAN("under")), 0);
}

static const struct conn_ops a_ops = {.up = a_up, .readable = a_readable, .down = a_down};
static const struct conn_ops b_ops = {.up = b_up, .readable = b_readable};

static void contexts(struct world *w)
{
	struct tls_params s = {
		.server = true, .cert_pem = cert_pem(&leaf), .key_pem = cert_key(&leaf)};
	struct tls_params c = {.ca_pem = cert_pem(&ca)};
	char why[TLS_WHY_MAX];

	assert_int_equal(tls_ctx_new(&s, &w->server, why), 0);
	assert_int_equal(tls_ctx_new(&c, &w->client, why), 0);
}

static void sockets(int fd[2])
{
	struct sockaddr_storage ss;
	struct addr local;
	socklen_t n;
	int l = socket(AF_INET, SOCK_STREAM, 0);

	assert_int_equal(addr_parse(SPAN("127.0.0.1"), &local), 0);
	n = addr_to_sockaddr(&local, &ss);
	assert_int_equal(bind(l, (struct sockaddr *)&ss, n), 0);
	assert_int_equal(listen(l, 1), 0);
	n = sizeof(ss);
	assert_int_equal(getsockname(l, (struct sockaddr *)&ss, &n), 0);
	fd[1] = socket(AF_INET, SOCK_STREAM, 0);
	assert_int_equal(connect(fd[1], (struct sockaddr *)&ss, n), 0);
	fd[0] = accept4(l, NULL, NULL, SOCK_NONBLOCK);
	assert_true(fd[0] >= 0);
	close(l);
}

/* The client sent @word in one segment, the server acted on it. */
static void world_open(struct world *w, const char *word, unsigned handshake_ms)
{
	const struct loop_params lp = {.entries = 64, .ops_max = 64};
	struct conn_params p = {.queue_max = 16384, .ops = &a_ops, .arg = w};
	int fd[2];

	memset(w, 0, sizeof(*w));
	w->handshake_ms = handshake_ms;
	assert_int_equal(loop_new(&lp, &w->l), 0);
	contexts(w);
	sockets(fd);
	w->raw = fd[1];
	assert_int_equal(send(w->raw, word, strlen(word), 0), strlen(word));
	p.loop = w->l;
	assert_int_equal(conn_accept(&p, fd[0], &w->a), 0);
	run(w);
	assert_true(w->called && w->a_ups == 1);
}

static void world_close(struct world *w)
{
	conn_abort(w->a);
	conn_abort(w->b);
	if (!w->b)
		close(w->raw);
	loop_free(w->l);
	tls_ctx_free(w->server);
	tls_ctx_free(w->client);
}

static void test_start_tls_goes_on(void **state)
{
	struct world w;
	struct conn_params p = {
		.peer_name = "gate.example", .queue_max = 16384, .ops = &b_ops, .arg = &w};
	char ok[8];

	(void)state;
	world_open(&w, "go", 0);
	assert_int_equal(w.ret, 0);
	assert_int_equal(recv(w.raw, ok, sizeof(ok), 0), 2);
	assert_memory_equal(ok, "ok", 2);
	p.loop = w.l;
	p.tls = w.client;
	assert_int_equal(conn_start_tls(w.a, w.server, SPAN("ok"), 0), -EINVAL);
	/* The same socket, from here on by a client that begins with TLS. */
	fcntl(w.raw, F_SETFL, O_NONBLOCK);
	assert_int_equal(conn_accept(&p, w.raw, &w.b), 0);
	run(&w);
	assert_memory_equal(w.a_got, "under", 5);
	assert_memory_equal(w.b_got, "right", 5);
	assert_true(w.a_ups == 2 && w.b_ups == 1 && !w.down);
	assert_int_equal(conn_start_tls(w.a, w.server, SPAN("ok"), 0), -EINVAL);
	world_close(&w);
}

/* Bytes behind the word, in its segment: TLS does not begin, and our own word was not said. */
static void test_start_tls_injection(void **state)
{
	static const char *const words[] = {"go ", "go<iq/>", "go\x16\x03\x01"};
	struct world w;
	char ok[8];
	size_t i;

	(void)state;
	for (i = 0; i < sizeof(words) / sizeof(words[0]); i++) {
		world_open(&w, words[i], 0);
		assert_int_equal(w.ret, -EPROTO);
		assert_int_equal(recv(w.raw, ok, sizeof(ok), MSG_DONTWAIT), -1);
		assert_int_equal(errno, EAGAIN);
		assert_null(conn_tls(w.a));
		world_close(&w);
	}
}

/* What comes after our word is TLS, or the connection is over. So it is by silence. */
static void test_start_tls_plain_goes_on(void **state)
{
	struct world w;

	(void)state;
	world_open(&w, "go", 0);
	assert_int_equal(w.ret, 0);
	assert_int_equal(send(w.raw, "<iq type='get' id='1'/>", 23, 0), 23);
	run(&w);
	assert_true(w.down);
	assert_int_equal(w.err, -EPROTO);
	assert_int_equal(w.a_ups, 1);
	world_close(&w);
	world_open(&w, "go", 50);
	assert_int_equal(w.ret, 0);
	run(&w);
	assert_true(w.down);
	assert_int_equal(w.err, -ETIMEDOUT);
	world_close(&w);
}

/* What is still queued plain would go out under TLS. */
static void test_start_tls_queued(void **state)
{
	static const uint8_t zeros[1 << 16];
	struct world w;

	(void)state;
	world_open(&w, "go ", 0);
	conn_set_queue_max(w.a, 1 << 24);
	while (!conn_queued(w.a))
		assert_int_equal(conn_write(w.a, span_of(zeros, sizeof(zeros))), 0);
	assert_int_equal(conn_start_tls(w.a, w.server, SPAN("ok"), 0), -EBUSY);
	world_close(&w);
}

static int certs_make(void **state)
{
	(void)state;
	cert_make_ca("test CA", &ca);
	cert_make(&ca, "gate", "DNS:gate.example", false, &leaf);
	return 0;
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_start_tls_goes_on),
		cmocka_unit_test(test_start_tls_injection),
		cmocka_unit_test(test_start_tls_plain_goes_on),
		cmocka_unit_test(test_start_tls_queued),
	};

	return cmocka_run_group_tests(tests, certs_make, NULL);
}
