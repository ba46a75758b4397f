/* selftests/unit/test_conn_relay.c -- TLS that stays behind: a client, the process that has its TLS, and the next one (heir),
 * all in one loop. What is asserted: every byte once and in order, with slow readers and a hand-over in the middle; and that
 * no cut looks like a clean end. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>
#include <cmocka.h>

#include "selftests/unit/certs.h"
#include "user/conn_impl.h"
#include "user/conn_relay.h"

#define BULK (4u << 20)
#define WAIT 20000

static struct cert ca, leaf;

struct end {
	struct conn *c;
	struct conn_keep k;
	size_t sent, got, goal; /* goal: bytes to send */
	size_t take;		/* bytes a millisecond to read; 0: all */
	ssize_t last;		/* what ended the reading; 1: nothing yet */
	unsigned ups, downs;
	int err;
	bool stop; /* read nothing */
};

static struct world {
	struct loop *l;
	struct tls_ctx *server, *client;
	struct conn_relays *relays;
	struct end srv, cli, heir;
	struct loop_handle accept;
	struct loop_timer limit, tick;
	int fd;
	struct addr addr;
	bool (*done)(void);
	bool late;
	unsigned overs;
} w;

static uint8_t pattern(size_t i)
{
	return (uint8_t)(i * 131u + (i >> 8) * 17u + (i >> 16) * 5u);
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
		if (conn_write(e->c, span_of(buf, n)))
			return;
		e->sent += n;
	}
}

static void end_up(void *arg)
{
	((struct end *)arg)->ups++;
	pump(arg);
}

static void end_readable(void *arg)
{
	struct end *e = arg;
	uint8_t buf[7000];
	size_t turn = 0;
	ssize_t n = -EAGAIN, i;

	while (!e->stop && (!e->take || turn < e->take)) {
		n = conn_read(e->c, buf, sizeof(buf));
		if (n <= 0)
			break;
		for (i = 0; i < n; i++)
			if (buf[i] != pattern(e->got + (size_t)i))
				fail_msg("byte %zu is wrong", e->got + (size_t)i);
		e->got += (size_t)n;
		turn += (size_t)n;
	}
	if (e->stop || (e->take && turn >= e->take))
		conn_pause(e->c, true); /* until the next tick */
	else if (n != -EAGAIN)
		e->last = n;
}

static void end_drained(void *arg)
{
	pump(arg);
}

static void end_down(void *arg, int err, const char *why)
{
	struct end *e = arg;

	(void)why;
	e->downs++;
	e->err = err;
	conn_abort(e->c);
	e->c = NULL;
}

static const struct conn_ops end_ops = {
	.up = end_up, .readable = end_readable, .drained = end_drained, .down = end_down};

static struct conn_params params(struct end *e, struct tls_ctx *tls)
{
	e->last = 1;
	return (struct conn_params){.loop = w.l,
				    .tls = tls,
				    .peer_name = tls == w.client ? "gate.example" : NULL,
				    .queue_max = 65536,
				    .ops = &end_ops,
				    .arg = e};
}

static void on_accept(void *arg, int fd)
{
	struct conn_params p = params(&w.srv, w.server);

	(void)arg;
	assert_true(fd >= 0);
	assert_int_equal(conn_accept(&p, fd, &w.srv.c), 0);
}

static void on_limit(void *arg)
{
	(void)arg;
	w.late = true;
	loop_stop(w.l);
}

static void on_tick(void *arg)
{
	struct end *ends[] = {&w.cli, &w.srv, &w.heir};
	size_t i;

	(void)arg;
	for (i = 0; i < 3; i++)
		if (ends[i]->c && !ends[i]->stop)
			conn_pause(ends[i]->c, false);
	if (w.done())
		loop_stop(w.l);
	else
		loop_timer_set(w.l, &w.tick, 1);
}

static bool until(bool (*done)(void), unsigned ms)
{
	w.done = done;
	w.late = false;
	loop_timer_set(w.l, &w.limit, ms);
	loop_timer_set(w.l, &w.tick, 0);
	assert_int_equal(loop_run(w.l), 0);
	loop_timer_cancel(w.l, &w.limit);
	loop_timer_cancel(w.l, &w.tick);
	return !w.late;
}

static bool never(void)
{
	return false;
}

static bool both_up(void)
{
	return w.cli.ups && w.srv.ups;
}

static void connect_one(void)
{
	struct conn_params p = params(&w.cli, w.client);
	int size = 65536;

	w.cli.ups = w.srv.ups = 0;
	assert_int_equal(conn_connect(&p, &w.addr, &w.cli.c), 0);
	setsockopt(conn_fd(w.cli.c), SOL_SOCKET, SO_RCVBUF, &size, sizeof(size));
	setsockopt(conn_fd(w.cli.c), SOL_SOCKET, SO_SNDBUF, &size, sizeof(size));
	assert_true(until(both_up, 5000));
}

static void world_open(void)
{
	struct loop_params lp = {.entries = 64, .ops_max = 64};
	struct tls_params s = {
		.server = true, .cert_pem = cert_pem(&leaf), .key_pem = cert_key(&leaf)};
	struct tls_params c = {.ca_pem = cert_pem(&ca)};
	char why[TLS_WHY_MAX];
	struct sockaddr_storage ss;
	socklen_t n;
	int small = 8192;

	memset(&w, 0, sizeof(w));
	assert_int_equal(loop_new(&lp, &w.l), 0);
	assert_int_equal(tls_ctx_new(&s, &w.server, why), 0);
	assert_int_equal(tls_ctx_new(&c, &w.client, why), 0);
	assert_int_equal(conn_relays_new(w.l, &w.relays), 0);
	w.limit.fn = on_limit;
	w.tick.fn = on_tick;
	assert_int_equal(addr_parse(SPAN("127.0.0.1"), &w.addr), 0);
	n = addr_to_sockaddr(&w.addr, &ss);
	w.fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
	setsockopt(w.fd, SOL_SOCKET, SO_RCVBUF, &small, sizeof(small));
	setsockopt(w.fd, SOL_SOCKET, SO_SNDBUF, &small, sizeof(small));
	assert_int_equal(bind(w.fd, (struct sockaddr *)&ss, n), 0);
	assert_int_equal(listen(w.fd, 16), 0);
	n = sizeof(ss);
	getsockname(w.fd, (struct sockaddr *)&ss, &n);
	addr_from_sockaddr((struct sockaddr *)&ss, &w.addr);
	assert_int_equal(loop_accept(w.l, w.fd, on_accept, NULL, &w.accept), 0);
	connect_one();
}

static void world_close(void)
{
	loop_cancel(w.l, &w.accept);
	close(w.fd);
	conn_abort(w.cli.c);
	conn_abort(w.heir.c);
	conn_relays_free(w.relays);
	loop_free(w.l);
	tls_ctx_free(w.server);
	tls_ctx_free(w.client);
}

/* The heir gets the server's connection, and goes on where that was. */
static void hand_over(void)
{
	struct conn_params p = params(&w.heir, NULL);
	uint64_t received = conn_received(w.srv.c), sent = conn_sent(w.srv.c);
	const char *why;
	int fd;

	assert_int_equal(conn_relay(w.relays, w.srv.c, &w.heir.k, &fd), 0);
	assert_true(conn_keep_idle(&w.heir.k));
	w.heir.got = w.srv.got;
	w.heir.sent = w.srv.sent;
	w.srv.c = NULL;
	assert_int_equal(conn_adopt(&p, fd, -1, &w.heir.k, &w.heir.c), 0);
	assert_int_equal(conn_received(w.heir.c), received);
	assert_int_equal(conn_sent(w.heir.c), sent);
	assert_true(conn_relayed(w.heir.c));
	assert_true(conn_keepable(w.heir.c));
	assert_int_equal(conn_rung(w.heir.c, &why), TLS_RUNG_C);
	assert_string_equal(why, "an older worker keeps its TLS");
	assert_true(addr_eq(conn_peer(w.heir.c), &w.heir.k.peer));
}

static void start(void)
{
	world_open();
	hand_over();
}

static bool all_there(void)
{
	return w.heir.got == w.cli.goal && w.cli.got == w.heir.goal && w.cli.sent == w.cli.goal &&
	       w.heir.sent == w.heir.goal;
}

static bool cli_over(void)
{
	return w.cli.last != 1 || w.cli.downs;
}

static bool heir_over(void)
{
	return w.heir.last != 1 || w.heir.downs;
}

static bool both_over(void)
{
	return cli_over() && heir_over();
}

/* What ended it: 0 is a clean end. */
static int result(const struct end *e)
{
	return e->downs ? e->err : (int)e->last;
}

static bool in_the_middle(void)
{
	/* Some of it was read by the server, and some that it wrote is stuck in its queue. */
	return w.srv.got > 100000 && w.srv.sent > 100000 && conn_queued(w.srv.c) > 30000;
}

/* ---- bytes ---- */

static void test_relay_bulk(void **state)
{
	struct conn_relays_stats s;

	(void)state;
	world_open();
	w.cli.take = 40000;
	w.srv.take = 30000;
	w.heir.take = 50000;
	w.cli.goal = w.srv.goal = w.heir.goal = BULK;
	pump(&w.cli);
	pump(&w.srv);
	assert_true(until(in_the_middle, WAIT));
	hand_over();
	pump(&w.heir);
	assert_true(until(all_there, WAIT));
	assert_int_equal(w.cli.downs + w.heir.downs, 0);
	s = conn_relays_stats(w.relays);
	assert_int_equal(s.now, 1);
	world_close();
}

static bool nothing_moves(void)
{
	static size_t before, rounds;
	size_t now = w.cli.sent + w.heir.sent;

	rounds = now == before ? rounds + 1 : 0;
	before = now;
	return rounds > 300;
}

/* Both readers stand still: what the relay takes in the meantime is bounded; then all of it comes. */
static void test_relay_back_pressure(void **state)
{
	(void)state;
	start();
	w.cli.stop = w.heir.stop = true;
	w.cli.goal = w.heir.goal = BULK;
	pump(&w.cli);
	pump(&w.heir);
	assert_true(until(nothing_moves, WAIT));
	/* The giver's own queue, the relay's, the pair's, and the sockets'. */
	assert_in_range(w.cli.sent, 100000, 800000);
	assert_in_range(w.heir.sent, 100000, 800000);
	w.cli.stop = w.heir.stop = false;
	assert_true(until(all_there, WAIT));
	world_close();
}

/* The heir hands over as well: its descriptor and what it had queued are the next one's, in the middle of everything. */
static bool heir_in_the_middle(void)
{
	return w.heir.got > 1000000 && conn_queued(w.heir.c) > 30000;
}

static void test_relay_over_two_upgrades(void **state)
{
	struct conn_params p;
	int fd, pipe;

	(void)state;
	start();
	w.cli.take = w.heir.take = 40000;
	w.cli.goal = w.heir.goal = BULK;
	pump(&w.cli);
	pump(&w.heir);
	assert_true(until(heir_in_the_middle, WAIT));
	fd = dup(conn_fd(w.heir.c));
	assert_int_equal(conn_leave(w.heir.c, &pipe), 0);
	assert_true(pipe >= 0);
	p = params(&w.heir, NULL);
	assert_int_equal(conn_adopt(&p, fd, pipe, &w.heir.k, &w.heir.c), 0);
	assert_true(conn_relayed(w.heir.c));
	assert_true(until(all_there, WAIT));
	conn_close(w.heir.c);
	w.heir.c = NULL;
	assert_true(until(cli_over, 5000));
	assert_int_equal(result(&w.cli), 0);
	world_close();
}

/* ---- ends ---- */

static bool cli_sent(void)
{
	return w.cli.sent == w.cli.goal;
}

static void test_relay_clean_ends(void **state)
{
	(void)state;
	start();
	w.cli.goal = 300000;
	w.heir.take = 20000;
	pump(&w.cli);
	assert_true(until(cli_sent, WAIT));
	conn_close(w.cli.c);
	w.cli.c = NULL;
	assert_true(until(heir_over, WAIT));
	assert_int_equal(result(&w.heir), 0);
	assert_int_equal(w.heir.got, 300000);
	assert_int_equal(conn_relays_stats(w.relays).clean, 1);
	world_close();
	/* the other way; a reader that comes to it late */
	start();
	w.heir.goal = 60000;
	w.cli.stop = true;
	pump(&w.heir);
	conn_close(w.heir.c);
	w.heir.c = NULL;
	until(never, 100);
	w.cli.stop = false;
	assert_true(until(cli_over, WAIT));
	assert_int_equal(result(&w.cli), 0);
	assert_int_equal(w.cli.got, 60000);
	assert_int_equal(conn_relays_stats(w.relays).clean, 1);
	assert_int_equal(conn_relays_stats(w.relays).cut, 0);
	world_close();
}

/* A reader that is later than any close of TCP's would wait for: still a clean end. */
static void test_relay_clean_end_waits_for_the_reader(void **state)
{
	(void)state;
	start();
	w.cli.goal = 20000;
	w.heir.stop = true;
	pump(&w.cli);
	until(never, 20);
	conn_close(w.cli.c);
	w.cli.c = NULL;
	until(never, 2600);
	assert_int_equal(w.heir.downs, 0);
	w.heir.stop = false;
	assert_true(until(heir_over, 5000));
	assert_int_equal(result(&w.heir), 0);
	assert_int_equal(w.heir.got, 20000);
	world_close();
}

/* What the client says before it is cut off arrives; then a reset. */
static void test_relay_truncation(void **state)
{
	(void)state;
	start();
	w.cli.goal = 5000;
	pump(&w.cli);
	assert_true(until(all_there, 5000));
	shutdown(conn_fd(w.cli.c), SHUT_WR); /* FIN, and no close_notify */
	assert_true(until(heir_over, 5000));
	assert_int_equal(result(&w.heir), -ECONNRESET);
	assert_int_equal(w.heir.got, 5000);
	assert_true(until(cli_over, 5000));
	assert_int_not_equal(result(&w.cli), 0);
	assert_int_equal(conn_relays_stats(w.relays).cut, 1);
	world_close();
}

static void test_relay_resets(void **state)
{
	(void)state;
	start();
	conn_abort(w.cli.c);
	w.cli.c = NULL;
	assert_true(until(heir_over, 5000));
	assert_int_equal(result(&w.heir), -ECONNRESET);
	world_close();
	start();
	conn_abort(w.heir.c);
	w.heir.c = NULL;
	assert_true(until(cli_over, 5000));
	assert_int_equal(result(&w.cli), -ECONNRESET);
	world_close();
	/* one that is paused hears it, too */
	start();
	w.heir.stop = true;
	conn_pause(w.heir.c, true);
	conn_abort(w.cli.c);
	w.cli.c = NULL;
	assert_true(until(heir_over, 5000));
	assert_int_equal(w.heir.err, -ECONNRESET);
	world_close();
}

/* A process that dies shuts nothing down: its descriptors are closed. */
static void test_relay_deaths(void **state)
{
	struct conn_keep k;
	int fd;

	(void)state;
	world_open();
	assert_int_equal(conn_relay(w.relays, w.srv.c, &k, &fd), 0);
	w.srv.c = NULL;
	assert_int_equal(send(fd, "\0", 1, 0), 1);
	close(fd);
	assert_true(until(cli_over, 5000));
	assert_int_not_equal(result(&w.cli), 0);
	world_close();
	/* the relay's; bytes that were on their way arrive before */
	start();
	w.cli.goal = 3000;
	w.heir.stop = true;
	conn_pause(w.heir.c, false);
	pump(&w.cli);
	until(never, 50);
	w.heir.stop = false;
	conn_relays_free(w.relays);
	w.relays = NULL;
	assert_true(until(both_over, 5000));
	assert_int_not_equal(result(&w.heir), 0);
	assert_int_not_equal(result(&w.cli), 0);
	world_close();
}

static void test_relay_refuses_what_is_over(void **state)
{
	struct conn_keep k;
	int fd;

	(void)state;
	world_open();
	conn_break(w.srv.c, -EPROTO, "over");
	assert_int_equal(conn_relay(w.relays, w.srv.c, &k, &fd), -EPIPE);
	until(never, 20); /* its own down() */
	assert_int_equal(w.srv.downs, 1);
	world_close();
}

/* ---- the rest of the process ---- */

static void over(void *arg)
{
	(void)arg;
	w.overs++;
}

static bool is_over(void)
{
	return w.overs > 0;
}

static void forbidden(void *arg)
{
	(void)arg;
	fail_msg("a timer of the module before");
}

static void forbidden_round(void *arg)
{
	if (*(bool *)arg)
		fail_msg("a round function of the module before");
}

/* The process is nothing but its relays; what else is in this one is put on the loop again by hand. */
static void alone(unsigned ms)
{
	conn_relays_run(w.relays, ms, over, NULL);
	if (w.cli.c)
		assert_int_equal(conn_again(w.cli.c), 0);
	if (w.heir.c)
		assert_int_equal(conn_again(w.heir.c), 0);
}

static void test_relay_runs_alone(void **state)
{
	struct loop_timer old = {.fn = forbidden};
	bool handed = false;

	(void)state;
	world_open();
	w.cli.take = w.srv.take = w.heir.take = 40000;
	w.cli.goal = w.srv.goal = w.heir.goal = BULK;
	pump(&w.cli);
	pump(&w.srv);
	assert_true(until(in_the_middle, WAIT));
	hand_over();
	assert_int_equal(loop_timer_set(w.l, &old, 5), 0);
	assert_int_equal(loop_on_round(w.l, forbidden_round, &handed), 0);
	alone(60000);
	handed = true;
	pump(&w.heir);
	assert_true(until(all_there, WAIT));
	assert_int_equal(w.overs, 0);
	conn_close(w.cli.c);
	w.cli.c = NULL;
	assert_true(until(heir_over, 5000));
	assert_int_equal(result(&w.heir), 0);
	conn_close(w.heir.c);
	w.heir.c = NULL;
	assert_true(until(is_over, 5000));
	assert_int_equal(w.overs, 1);
	assert_int_equal(conn_relays_stats(w.relays).clean, 1);
	world_close();
}

/* Its last bytes are part of a connection. */
static void test_relay_is_over_after_the_last_byte(void **state)
{
	(void)state;
	start();
	alone(60000);
	w.heir.goal = 60000;
	w.cli.stop = true;
	pump(&w.heir);
	conn_close(w.heir.c);
	w.heir.c = NULL;
	until(never, 200);
	assert_int_equal(conn_relays_stats(w.relays).now, 0);
	assert_int_equal(w.overs, 0);
	w.cli.stop = false;
	assert_true(until(cli_over, 5000));
	assert_int_equal(result(&w.cli), 0);
	assert_int_equal(w.cli.got, 60000);
	conn_close(w.cli.c);
	w.cli.c = NULL;
	assert_true(until(is_over, 5000));
	world_close();
}

/* Two of them: both are cut, one after the other. */
static void test_relay_time_limit(void **state)
{
	static struct end cli, heir;
	struct conn_relays_stats s;

	(void)state;
	start();
	cli = w.cli;
	heir = w.heir;
	conn_set_ops(cli.c, &end_ops, &cli);
	conn_set_ops(heir.c, &end_ops, &heir);
	connect_one();
	hand_over();
	alone(30);
	assert_int_equal(conn_again(cli.c), 0);
	assert_int_equal(conn_again(heir.c), 0);
	assert_true(until(is_over, 5000));
	until(never, 20);
	assert_true(both_over());
	assert_int_not_equal(result(&w.cli), 0);
	assert_int_not_equal(result(&w.heir), 0);
	assert_int_not_equal(result(&cli), 1);
	assert_int_not_equal(result(&cli), 0);
	assert_int_equal(result(&heir), -ECONNRESET);
	s = conn_relays_stats(w.relays);
	assert_int_equal(s.late, 2);
	assert_int_equal(s.cut, 2);
	assert_int_equal(s.now, 0);
	assert_int_equal(w.overs, 1);
	conn_abort(cli.c);
	conn_abort(heir.c);
	world_close();
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
		cmocka_unit_test(test_relay_bulk),
		cmocka_unit_test(test_relay_back_pressure),
		cmocka_unit_test(test_relay_over_two_upgrades),
		cmocka_unit_test(test_relay_clean_ends),
		cmocka_unit_test(test_relay_clean_end_waits_for_the_reader),
		cmocka_unit_test(test_relay_truncation),
		cmocka_unit_test(test_relay_resets),
		cmocka_unit_test(test_relay_deaths),
		cmocka_unit_test(test_relay_refuses_what_is_over),
		cmocka_unit_test(test_relay_runs_alone),
		cmocka_unit_test(test_relay_is_over_after_the_last_byte),
		cmocka_unit_test(test_relay_time_limit),
	};

	return cmocka_run_group_tests(tests, certs_make, NULL);
}
