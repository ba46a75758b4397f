/* selftests/unit/test_conn.c -- both ends of real connections in one loop: bytes, back-pressure, ends, time limits, ops. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <netinet/tcp.h>
#include <unistd.h>
#include <cmocka.h>

#include "selftests/unit/certs.h"
#include "user/conn.h"

#define BULK (8u << 20)

static struct cert ca, leaf;

/* One end. What it does is set by the case. */
struct end {
	struct conn *c;
	struct world *w;
	size_t sent, got, goal; /* goal: bytes to send; each end stops reading at its peer's goal */
	unsigned ups, downs, drained, reads;
	int err;
	ssize_t last;
	char why[TLS_WHY_MAX];
	bool abort_in_up, abort_in_read, pause_first;
};

struct world {
	struct loop *l;
	struct tls_ctx *server, *client;
	struct end a, b; /* a: accepted, b: connected */
	struct loop_handle accept;
	struct loop_timer limit, tick;
	int fd;
	struct addr addr;
	bool (*done)(struct world *w);
	bool late;
	size_t queue_max;
	unsigned handshake_ms;
};

static uint8_t pattern(size_t i)
{
	return (uint8_t)(i * 131u + (i >> 8) * 17u);
}

static void pump(struct end *e)
{
	uint8_t buf[5000];
	size_t n, i;

	while (e->c && e->sent < e->goal) {
		n = conn_room(e->c);
		n = n < sizeof(buf) ? n : sizeof(buf);
		n = n < e->goal - e->sent ? n : e->goal - e->sent;
		if (n == 0)
			return;
		for (i = 0; i < n; i++)
			buf[i] = pattern(e->sent + i);
		assert_int_equal(conn_write(e->c, span_of(buf, n)), 0);
		e->sent += n;
		assert_true(conn_queued(e->c) <= e->w->queue_max);
	}
}

static void end_up(void *arg)
{
	struct end *e = arg;

	e->ups++;
	if (e->abort_in_up) {
		conn_abort(e->c);
		e->c = NULL;
		return;
	}
	if (e->pause_first)
		conn_pause(e->c, true);
	pump(e);
}

static void end_readable(void *arg)
{
	struct end *e = arg;
	uint8_t buf[3000];
	ssize_t n, i;

	e->reads++;
	if (e->abort_in_read) {
		conn_abort(e->c);
		e->c = NULL;
		return;
	}
	while ((n = conn_read(e->c, buf, sizeof(buf))) > 0) {
		for (i = 0; i < n; i++)
			assert_int_equal(buf[i], pattern(e->got + (size_t)i));
		e->got += (size_t)n;
	}
	if (n != -EAGAIN)
		e->last = n;
}

static void end_drained(void *arg)
{
	struct end *e = arg;

	e->drained++;
	pump(e);
}

static void end_down(void *arg, int err, const char *why)
{
	struct end *e = arg;

	e->downs++;
	e->err = err;
	snprintf(e->why, sizeof(e->why), "%s", why);
	conn_abort(e->c);
	e->c = NULL;
}

static const struct conn_ops end_ops = {
	.up = end_up, .readable = end_readable, .drained = end_drained, .down = end_down};

static void on_accept(void *arg, int fd)
{
	struct world *w = arg;
	struct conn_params p = {.loop = w->l,
				.tls = w->server,
				.queue_max = w->queue_max,
				.handshake_ms = w->handshake_ms,
				.ops = &end_ops,
				.arg = &w->a};

	assert_true(fd >= 0);
	assert_int_equal(conn_accept(&p, fd, &w->a.c), 0);
}

static void on_limit(void *arg)
{
	struct world *w = arg;

	w->late = true;
	loop_stop(w->l);
}

static void on_tick(void *arg)
{
	struct world *w = arg;

	if (w->done(w))
		loop_stop(w->l);
	else
		loop_timer_set(w->l, &w->tick, 1);
}

static bool run_until(struct world *w, bool (*done)(struct world *w), unsigned ms)
{
	w->done = done;
	w->late = false;
	loop_timer_set(w->l, &w->limit, ms);
	loop_timer_set(w->l, &w->tick, 0);
	assert_int_equal(loop_run(w->l), 0);
	loop_timer_cancel(w->l, &w->limit);
	loop_timer_cancel(w->l, &w->tick);
	return !w->late;
}

static bool never(struct world *w)
{
	(void)w;
	return false;
}

static void contexts(struct world *w)
{
	struct tls_params s = {.server = true,
			       .cert_pem = cert_pem(&leaf),
			       .key_pem = cert_key(&leaf),
			       .alpn = "sip"};
	struct tls_params c = {.ca_pem = cert_pem(&ca), .alpn = "sip"};
	char why[TLS_WHY_MAX];

	assert_int_equal(tls_ctx_new(&s, &w->server, why), 0);
	assert_int_equal(tls_ctx_new(&c, &w->client, why), 0);
}

static void world_open(struct world *w, bool tls)
{
	struct loop_params lp = {.entries = 64, .ops_max = 64};
	struct sockaddr_storage ss;
	socklen_t n;
	int small = 8192;

	memset(w, 0, sizeof(*w));
	assert_int_equal(loop_new(&lp, &w->l), 0);
	if (tls)
		contexts(w);
	w->a.w = w->b.w = w;
	w->queue_max = 16384;
	w->limit = (struct loop_timer){.fn = on_limit, .arg = w};
	w->tick = (struct loop_timer){.fn = on_tick, .arg = w};
	assert_int_equal(addr_parse(SPAN("127.0.0.1"), &w->addr), 0);
	n = addr_to_sockaddr(&w->addr, &ss);
	w->fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
	/* Small buffers, so that both directions block many times. Accepted sockets inherit them. */
	setsockopt(w->fd, SOL_SOCKET, SO_RCVBUF, &small, sizeof(small));
	setsockopt(w->fd, SOL_SOCKET, SO_SNDBUF, &small, sizeof(small));
	assert_int_equal(bind(w->fd, (struct sockaddr *)&ss, n), 0);
	assert_int_equal(listen(w->fd, 16), 0);
	n = sizeof(ss);
	getsockname(w->fd, (struct sockaddr *)&ss, &n);
	addr_from_sockaddr((struct sockaddr *)&ss, &w->addr);
	assert_int_equal(loop_accept(w->l, w->fd, on_accept, w, &w->accept), 0);
}

static void world_connect(struct world *w)
{
	struct conn_params p = {.loop = w->l,
				.tls = w->client,
				.peer_name = w->client ? "gate.example" : NULL,
				.queue_max = w->queue_max,
				.handshake_ms = w->handshake_ms,
				.ops = &end_ops,
				.arg = &w->b};

	assert_int_equal(conn_connect(&p, &w->addr, &w->b.c), 0);
}

static void world_close(struct world *w)
{
	loop_cancel(w->l, &w->accept);
	close(w->fd);
	conn_abort(w->a.c);
	conn_abort(w->b.c);
	loop_free(w->l);
	tls_ctx_free(w->server);
	tls_ctx_free(w->client);
}

static bool all_there(struct world *w)
{
	return w->a.got == w->b.goal && w->b.got == w->a.goal && w->a.sent == w->a.goal &&
	       w->b.sent == w->b.goal;
}

static bool both_up(struct world *w)
{
	return w->a.ups && w->b.ups;
}

static void bulk(bool tls)
{
	struct world w;

	world_open(&w, tls);
	w.a.goal = w.b.goal = BULK;
	world_connect(&w);
	assert_true(run_until(&w, all_there, 20000));
	assert_true(w.a.drained > 3);
	assert_true(w.b.drained > 3);
	assert_int_equal(w.a.downs + w.b.downs, 0);
	assert_int_equal(w.a.ups, 1);
	world_close(&w);
}

static void test_conn_bulk_plain(void **state)
{
	(void)state;
	bulk(false);
}

static void test_conn_bulk_tls(void **state)
{
	(void)state;
	bulk(true);
}

static bool b_stuck(struct world *w)
{
	return w->b.ups && w->a.ups && w->b.sent > w->queue_max &&
	       conn_queued(w->b.c) == w->queue_max;
}

static void test_conn_pause_holds_the_sender(void **state)
{
	struct world w;
	size_t sent;
	uint64_t rounds;

	(void)state;
	world_open(&w, true);
	w.a.pause_first = true;
	w.b.goal = BULK;
	world_connect(&w);
	assert_true(run_until(&w, b_stuck, 5000));
	sent = w.b.sent;
	rounds = loop_stats(w.l)->rounds;
	w.tick.fn = on_limit; /* no ticks: count the loop's own rounds */
	assert_false(run_until(&w, never, 300));
	assert_true(loop_stats(w.l)->rounds - rounds < 20);
	w.tick.fn = on_tick;
	assert_int_equal(w.b.sent, sent);
	assert_int_equal(w.a.got, 0);
	conn_pause(w.a.c, false);
	assert_true(run_until(&w, all_there, 20000));
	world_close(&w);
}

static bool a_ended(struct world *w)
{
	return w->a.last != 1;
}

static void clean_close(bool tls)
{
	struct world w;

	world_open(&w, tls);
	w.a.last = 1;
	w.b.goal = 100000; /* more than fits: conn_close() must flush it */
	w.queue_max = 200000;
	world_connect(&w);
	assert_true(run_until(&w, both_up, 5000));
	conn_close(w.b.c);
	w.b.c = NULL;
	assert_true(run_until(&w, a_ended, 5000));
	assert_int_equal(w.a.last, 0);
	assert_int_equal(w.a.got, 100000);
	assert_int_equal(w.a.downs, 0);
	world_close(&w);
}

static void test_conn_close_flushes(void **state)
{
	(void)state;
	clean_close(true);
	clean_close(false);
}

/* FIN without close_notify: the descriptor is shut behind TLS's back. */
static void test_conn_truncation(void **state)
{
	struct world w;
	int fd, i;

	(void)state;
	world_open(&w, true);
	w.a.last = 1;
	w.b.goal = 1000;
	world_connect(&w);
	assert_true(run_until(&w, all_there, 5000));
	for (i = 3, fd = -1; i < 64 && fd < 0; i++) {
		struct sockaddr_storage ss;
		socklen_t n = sizeof(ss);
		struct addr a;

		if (getpeername(i, (struct sockaddr *)&ss, &n) == 0 &&
		    addr_from_sockaddr((struct sockaddr *)&ss, &a) == 0 && addr_eq(&a, &w.addr))
			fd = i;
	}
	assert_true(fd >= 0);
	shutdown(fd, SHUT_WR);
	assert_true(run_until(&w, a_ended, 5000));
	assert_int_equal(w.a.last, -EPIPE);
	assert_int_equal(w.a.downs, 0);
	world_close(&w);
}

static bool a_down(struct world *w)
{
	return w->a.downs > 0;
}

static void test_conn_handshake_timeout(void **state)
{
	struct world w;
	struct sockaddr_storage ss;
	int fd;

	(void)state;
	world_open(&w, true);
	w.handshake_ms = 80;
	fd = socket(AF_INET, SOCK_STREAM, 0);
	assert_int_equal(connect(fd, (struct sockaddr *)&ss, addr_to_sockaddr(&w.addr, &ss)), 0);
	assert_true(run_until(&w, a_down, 2000));
	assert_int_equal(w.a.err, -ETIMEDOUT);
	assert_string_equal(w.a.why, "TLS handshake timed out");
	assert_int_equal(w.a.ups, 0);
	close(fd);
	world_close(&w);
}

static bool b_down(struct world *w)
{
	return w->b.downs > 0;
}

static void test_conn_connect_refused(void **state)
{
	struct world w;

	(void)state;
	world_open(&w, false);
	w.addr.port = 1;
	world_connect(&w);
	assert_true(run_until(&w, b_down, 2000));
	assert_int_equal(w.b.err, -ECONNREFUSED);
	world_close(&w);
}

static bool b_ended(struct world *w)
{
	return w->b.last != 1 || w->b.downs;
}

static void test_conn_abort_in_up(void **state)
{
	struct world w;

	(void)state;
	world_open(&w, true);
	w.a.abort_in_up = true;
	world_connect(&w);
	w.b.last = 1;
	assert_true(run_until(&w, b_ended, 5000));
	assert_int_equal(w.a.ups, 1);
	assert_int_equal(w.a.reads, 0);
	assert_null(w.a.c);
	assert_int_equal(w.b.last, -ECONNRESET);
	world_close(&w);
}

static bool a_read(struct world *w)
{
	return w->a.reads > 0;
}

static void test_conn_abort_in_readable(void **state)
{
	struct world w;

	(void)state;
	world_open(&w, true);
	w.a.abort_in_read = true;
	w.b.goal = 1000;
	world_connect(&w);
	assert_true(run_until(&w, a_read, 5000));
	run_until(&w, never, 20);
	assert_int_equal(w.a.reads, 1);
	assert_null(w.a.c);
	world_close(&w);
}

static void test_conn_reset_while_paused(void **state)
{
	struct world w;

	(void)state;
	world_open(&w, false);
	w.a.pause_first = true;
	world_connect(&w);
	assert_true(run_until(&w, both_up, 2000));
	conn_abort(w.b.c);
	w.b.c = NULL;
	assert_true(run_until(&w, a_down, 2000));
	assert_int_equal(w.a.err, -ECONNRESET);
	world_close(&w);
}

static void test_conn_queue_limit(void **state)
{
	struct world w;
	static uint8_t big[20000];

	(void)state;
	world_open(&w, false);
	world_connect(&w);
	assert_int_equal(conn_write(w.b.c, span_of(big, 20000)), -ENOBUFS);
	assert_int_equal(conn_room(w.b.c), 16384);
	assert_int_equal(conn_write(w.b.c, span_of(big, 16384)), 0); /* before up: queued */
	assert_int_equal(conn_room(w.b.c), 0);
	assert_int_equal(conn_write(w.b.c, span_of(big, 1)), -ENOBUFS);
	conn_set_queue_max(w.b.c, 20000);
	assert_int_equal(conn_room(w.b.c), 20000 - 16384);
	world_close(&w);
}

static unsigned other_reads;

static void other_readable(void *arg)
{
	struct end *e = arg;
	uint8_t b[64];

	other_reads++;
	while (conn_read(e->c, b, sizeof(b)) > 0)
		e->got += sizeof(b);
}

static void take_one(void *arg)
{
	static const struct conn_ops other = {.readable = other_readable, .down = end_down};
	struct end *e = arg;
	uint8_t b[10];

	e->reads++;
	assert_int_equal(conn_read(e->c, b, sizeof(b)), 10);
	conn_set_ops(e->c, &other, e);
}

static bool got_rest(struct world *w)
{
	return w->a.got >= 990;
}

/* The rest is decrypted already or in the socket, and no new edge comes: readable() must follow all the same. */
static void test_conn_set_ops_with_bytes_waiting(void **state)
{
	static const struct conn_ops first = {.readable = take_one, .down = end_down};
	struct world w;

	(void)state;
	other_reads = 0;
	world_open(&w, true);
	w.a.pause_first = true;
	w.b.goal = 1000;
	world_connect(&w);
	assert_true(run_until(&w, both_up, 2000));
	run_until(&w, never, 50);
	conn_set_ops(w.a.c, &first, &w.a);
	conn_pause(w.a.c, false);
	assert_true(run_until(&w, got_rest, 2000));
	assert_int_equal(w.a.reads, 1);
	assert_true(other_reads > 0);
	world_close(&w);
}

static int tcp_option(int fd, int name)
{
	socklen_t n = sizeof(int);
	int v = -1;

	assert_int_equal(getsockopt(fd, IPPROTO_TCP, name, &v, &n), 0);
	return v;
}

/* A link connection that is idle outlives two lost probes: the kernel ends it at the first unanswered one past TCP_USER_TIMEOUT. */
static void test_conn_link_survives_a_lost_probe(void **state)
{
	struct sockaddr_in at = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	int l = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), fd, idle, interval, timeout;
	int peer = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	struct loop_params lp = {.entries = 8, .ops_max = 8};
	struct conn_params p = {.queue_max = 4096, .link = true, .ops = &end_ops};
	socklen_t n = sizeof(at);
	struct conn *c;

	(void)state;
	assert_int_equal(bind(l, (struct sockaddr *)&at, n), 0);
	assert_int_equal(listen(l, 1), 0);
	assert_int_equal(getsockname(l, (struct sockaddr *)&at, &n), 0);
	assert_int_equal(connect(peer, (struct sockaddr *)&at, n), 0);
	fd = accept4(l, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
	assert_true(fd >= 0);
	assert_int_equal(loop_new(&lp, &p.loop), 0);
	assert_int_equal(conn_accept(&p, fd, &c), 0);
	idle = tcp_option(fd, TCP_KEEPIDLE);
	interval = tcp_option(fd, TCP_KEEPINTVL);
	timeout = tcp_option(fd, TCP_USER_TIMEOUT);
	assert_int_equal(timeout, 20000);
	assert_true((idle + 2 * interval) * 1000 < timeout);
	assert_true((idle + 3 * interval) * 1000 >= timeout); /* nor later than that */
	conn_abort(c);
	loop_free(p.loop);
	close(peer);
	close(l);
}

/* A connection that is closing has no owner: loop_free() must not leak it. */
static void test_conn_closing_at_loop_free(void **state)
{
	struct world w;

	(void)state;
	world_open(&w, true);
	world_connect(&w);
	assert_true(run_until(&w, both_up, 2000));
	conn_close(w.a.c);
	conn_close(w.b.c);
	w.a.c = w.b.c = NULL;
	world_close(&w);
}

/* ---- bytes that wait for company ---- */

static struct {
	struct conn *c;
	unsigned reads;
	size_t size[8];
	char text[64];
} together;

static void together_readable(void *arg)
{
	size_t have = strlen(together.text);
	ssize_t n;

	(void)arg;
	while ((n = conn_read(together.c, together.text + have, sizeof(together.text) - have - 1)) >
	       0) {
		assert_true(together.reads < 8);
		together.size[together.reads++] = (size_t)n;
		have += (size_t)n;
	}
	together.text[have] = 0;
}

static bool together_there(struct world *w)
{
	(void)w;
	return strlen(together.text) >= 6;
}

static const struct conn_ops together_ops = {.readable = together_readable, .down = end_down};

static void together_open(struct world *w)
{
	memset(&together, 0, sizeof(together));
	world_open(w, true);
	world_connect(w);
	assert_true(run_until(w, both_up, 3000));
	together.c = w->a.c;
	conn_set_ops(w->a.c, &together_ops, &w->a);
}

/* A read of TLS gives one record. */
static void test_conn_later_goes_with_the_next(void **state)
{
	struct world w;

	(void)state;
	together_open(&w);
	assert_int_equal(conn_write_later(w.b.c, SPAN("ab"), 60000), 0);
	assert_int_equal(conn_write_later(w.b.c, SPAN("cd"), 60000), 0);
	run_until(&w, never, 30);
	assert_int_equal(together.reads, 0);
	assert_int_equal(conn_queued(w.b.c), 4);
	assert_int_equal(conn_write(w.b.c, SPAN("ef")), 0);
	assert_int_equal(conn_queued(w.b.c), 0);
	assert_true(run_until(&w, together_there, 2000));
	assert_string_equal(together.text, "abcdef");
	assert_int_equal(together.reads, 1);
	assert_int_equal(conn_sent(w.b.c), 6);
	assert_int_equal(conn_received(w.a.c), 6);
	/* and what follows does not wait */
	assert_int_equal(conn_write(w.b.c, SPAN("gh")), 0);
	assert_int_equal(conn_queued(w.b.c), 0);
	world_close(&w);
}

static void test_conn_later_goes_alone(void **state)
{
	struct world w;
	unsigned ms;

	(void)state;
	for (ms = 0; ms <= 20; ms += 20) {
		together_open(&w);
		assert_int_equal(conn_write_later(w.b.c, SPAN("abc"), ms), 0);
		assert_int_equal(conn_write_later(w.b.c, SPAN("def"), 60000),
				 0); /* no later than the first */
		assert_true(run_until(&w, together_there, 2000));
		assert_string_equal(together.text, "abcdef");
		assert_int_equal(together.reads, 1);
		world_close(&w);
	}
}

static void test_conn_later_is_flushed_by_close(void **state)
{
	struct world w;

	(void)state;
	together_open(&w);
	assert_int_equal(conn_write_later(w.b.c, SPAN("abcdef"), 60000), 0);
	conn_close(w.b.c);
	w.b.c = NULL;
	assert_true(run_until(&w, together_there, 2000));
	world_close(&w);
}

static void test_conn_later_has_the_same_limits(void **state)
{
	struct world w;

	(void)state;
	together_open(&w);
	conn_set_queue_max(w.b.c, 4);
	assert_int_equal(conn_write_later(w.b.c, SPAN("abc"), 60000), 0);
	assert_int_equal(conn_write_later(w.b.c, SPAN("de"), 60000), -ENOBUFS);
	assert_int_equal(conn_write(w.b.c, SPAN("de")), -ENOBUFS);
	assert_int_equal(conn_sent(w.b.c), 3);
	assert_int_equal(conn_write(w.b.c, SPAN("d")), 0);
	world_close(&w);
}

/* From plain TCP to TLS in the middle of a connection, as STARTTLS has it. */
static void start_tls(struct world *w, const char *name)
{
	world_open(w, false);
	world_connect(w);
	assert_true(run_until(w, both_up, 5000));
	contexts(w);
	w->a.goal = w->b.goal = BULK / 8;
	assert_int_equal(conn_start_tls(w->a.c, w->server, SPAN(""), 0), 0);
	assert_int_equal(conn_start_tls_to(w->b.c, w->client, name, 0), 0);
	assert_int_equal(conn_start_tls_to(w->b.c, w->client, name, 0), -EINVAL);
}

static void test_conn_start_tls(void **state)
{
	struct world w;

	(void)state;
	start_tls(&w, "gate.example");
	assert_true(run_until(&w, all_there, 20000));
	assert_int_equal(w.a.ups, 2);
	assert_int_equal(w.b.ups, 2);
	assert_string_equal(tls_version(conn_tls(w.a.c)), "TLSv1.3");
	world_close(&w);
}

static void test_conn_start_tls_checks_the_name(void **state)
{
	struct world w;

	(void)state;
	start_tls(&w, "another.example");
	assert_true(run_until(&w, b_down, 5000));
	assert_int_equal(w.b.err, -EKEYREJECTED);
	assert_int_equal(w.b.ups, 1);
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
		cmocka_unit_test(test_conn_bulk_plain),
		cmocka_unit_test(test_conn_bulk_tls),
		cmocka_unit_test(test_conn_pause_holds_the_sender),
		cmocka_unit_test(test_conn_close_flushes),
		cmocka_unit_test(test_conn_truncation),
		cmocka_unit_test(test_conn_handshake_timeout),
		cmocka_unit_test(test_conn_connect_refused),
		cmocka_unit_test(test_conn_abort_in_up),
		cmocka_unit_test(test_conn_abort_in_readable),
		cmocka_unit_test(test_conn_reset_while_paused),
		cmocka_unit_test(test_conn_queue_limit),
		cmocka_unit_test(test_conn_set_ops_with_bytes_waiting),
		cmocka_unit_test(test_conn_link_survives_a_lost_probe),
		cmocka_unit_test(test_conn_closing_at_loop_free),
		cmocka_unit_test(test_conn_later_goes_with_the_next),
		cmocka_unit_test(test_conn_later_goes_alone),
		cmocka_unit_test(test_conn_later_is_flushed_by_close),
		cmocka_unit_test(test_conn_later_has_the_same_limits),
		cmocka_unit_test(test_conn_start_tls),
		cmocka_unit_test(test_conn_start_tls_checks_the_name),
	};

	return cmocka_run_group_tests(tests, certs_make, NULL);
}
