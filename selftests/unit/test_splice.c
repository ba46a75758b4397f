/* selftests/unit/test_splice.c -- a stream's bytes between two TLS connections, as the edge moves them: A = B relay C = D on one loop.
 *
 * A and D are the ends, B and C the relay's two connections, which climb to kernel TLS where there is any (selftests/vm) and then pass bytes
 * through a pipe; elsewhere they are read and written. SPLICE_MIB: how much goes each way in the bulk case (default 1); SPLICE_SECONDS: how
 * long the random one lasts (default 3): connections that are opened, climb, carry, end, are cut off, at any time. Everything must be back where
 * it was afterwards: descriptors, pipes, and memory, which AddressSanitizer tells. */
#include <arpa/inet.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>
#include <cmocka.h>

#include "selftests/unit/certs.h"
#include "user/conn.h"
#include "user/ktls.h"
#include "user/tls_impl.h"

#define QUEUE	  65536
#define ROOM_MIN  4096
#define CHAINS	  40
#define PIPE_TINY 4096

static struct loop *loop;
static struct cert ca, leaf;
static struct ktls_probe probe;
static bool kernel;
static struct tls_ctx *server, *client, *plain_server, *plain_client; /* plain: without a climb */
static struct conn_pipes pipes;
static uint64_t spliced, copied;

enum { A, B, C, D, ENDS };

struct chain;
struct end {
	struct chain *chain;
	struct conn *c;
	int i;
	bool up, paused, sending;
	uint64_t sent, got, want; /* want: to send; UINT64_MAX: without end */
	int over;		  /* 0: not; 1: clean end seen; -1: cut off */
};
struct chain {
	struct end end[ENDS];
	struct conn_pipe pipe[2]; /* B -> C, C -> B */
	bool cut, slow, done;	  /* cut: nothing is said of what arrives */
	struct loop_timer wake;
};

static uint8_t pattern(uint64_t at, int way)
{
	return (uint8_t)(at * 131 + (at >> 8) * 7 + (at >> 16) + (unsigned)way * 85);
}

/* ---- the ends ---- */

static void end_send(struct end *e)
{
	static uint8_t buf[30000];
	size_t n, i;

	while (e->c && e->up && e->sending) {
		n = conn_room(e->c) < sizeof(buf) ? conn_room(e->c) : sizeof(buf);
		if (e->want - e->sent < n)
			n = (size_t)(e->want - e->sent);
		if (n == 0 || (n < ROOM_MIN && e->want - e->sent > n))
			return;
		for (i = 0; i < n; i++)
			buf[i] = pattern(e->sent + i, e->i);
		if (conn_write(e->c, span_of(buf, n)))
			return;
		e->sent += n;
	}
}

static void end_readable(struct end *e)
{
	static uint8_t buf[70000];
	ssize_t n;
	size_t max, i;
	int from = e->i == A ? D : A;

	for (;;) {
		max = e->chain->slow ? 1 + (size_t)random() % 20000 : sizeof(buf);
		n = conn_read(e->c, buf, max);
		if (n <= 0)
			break;
		for (i = 0; i < (size_t)n; i++)
			if (buf[i] != pattern(e->got + i, from))
				fail_msg("byte %llu from end %d is wrong",
					 (unsigned long long)(e->got + i), from);
		e->got += (uint64_t)n;
		if (e->chain->slow && random() % 4 == 0) {
			conn_pause(e->c, true);
			e->paused = true;
			return;
		}
	}
	if (n == -EAGAIN)
		return;
	/* Nothing of what the other end sent before a clean end may be missing. */
	if (n == 0 && !e->chain->cut && e->got != e->chain->end[from].sent)
		fail_msg("end %d: a clean end at byte %llu of %llu", e->i,
			 (unsigned long long)e->got, (unsigned long long)e->chain->end[from].sent);
	e->over = n == 0 ? 1 : -1;
}

/* ---- the relay ---- */

static void relay_over(struct chain *c, bool clean)
{
	int i;

	for (i = B; i <= C; i++) {
		(clean ? conn_close : conn_abort)(c->end[i].c);
		c->end[i].c = NULL;
		conn_pipe_put(&pipes, &c->pipe[i - B]);
	}
}

/* As user/stream_relay.c does it; every chunk is worth a pipe here. */
static void relay(struct end *e)
{
	static uint8_t buf[QUEUE];
	struct chain *c = e->chain;
	struct end *to = &c->end[e->i == B ? C : B];
	struct conn_pipe *pipe = &c->pipe[e->i - B];
	size_t room;
	ssize_t n;

	while (e->c && to->c) {
		if (pipe->in < 0) {
			assert_int_equal(conn_pipe_get(&pipes, pipe), 0);
			if (c->slow)
				fcntl(pipe->in, F_SETPIPE_SZ, PIPE_TINY);
		}
		n = conn_splice(e->c, to->c, pipe);
		if (n > 0)
			spliced += (uint64_t)n;
		if (n == -ENOBUFS || pipe->n) {
			conn_pause(e->c, true);
			e->paused = true;
			return;
		}
		if (n > 0)
			continue;
		if (n == -EAGAIN)
			break;
		room = conn_room(to->c);
		if (room < ROOM_MIN) {
			conn_pause(e->c, true);
			e->paused = true;
			return;
		}
		n = conn_read(e->c, buf, room < sizeof(buf) ? room : sizeof(buf));
		if (n == -EAGAIN)
			break;
		if (n <= 0) {
			relay_over(c, n == 0);
			return;
		}
		copied += (uint64_t)n;
		conn_write(to->c, span_of(buf, (size_t)n));
	}
	if (e->c)
		conn_pipe_put(&pipes, pipe);
}

/* ---- connections ---- */

static void on_up(void *arg)
{
	struct end *e = arg;

	e->up = true;
	if (e->i == A || e->i == D)
		end_send(e);
	else if (random() % 8)
		conn_climb(e->c, random() % 8 == 0);
}

static void on_readable(void *arg)
{
	struct end *e = arg;

	if (e->i == A || e->i == D) {
		end_readable(e);
	} else if (e->chain->end[B].up && e->chain->end[C].up) {
		relay(e);
	}
}

static void on_drained(void *arg)
{
	struct end *e = arg, *from;

	if (e->i == A || e->i == D) {
		end_send(e);
		return;
	}
	from = &e->chain->end[e->i == B ? C : B];
	if (from->c && from->paused) {
		from->paused = false;
		conn_pause(from->c, false);
	}
}

static void on_down(void *arg, int err, const char *why)
{
	struct end *e = arg;

	(void)why;
	if (e->i == A || e->i == D) {
		e->over = err ? -1 : 1;
		return;
	}
	relay_over(e->chain, err == 0);
}

static const struct conn_ops ops = {
	.up = on_up, .readable = on_readable, .drained = on_drained, .down = on_down};

static void tcp_pair(int fd[2], bool small)
{
	struct sockaddr_in a = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	socklen_t n = sizeof(a);
	int l = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), mss = 1400, buf = 16384, i;

	fd[0] = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	assert_true(l >= 0 && fd[0] >= 0);
	setsockopt(l, IPPROTO_TCP, TCP_MAXSEG, &mss, sizeof(mss));
	setsockopt(fd[0], IPPROTO_TCP, TCP_MAXSEG, &mss, sizeof(mss));
	assert_int_equal(bind(l, (struct sockaddr *)&a, n), 0);
	assert_int_equal(listen(l, 1), 0);
	assert_int_equal(getsockname(l, (struct sockaddr *)&a, &n), 0);
	assert_int_equal(connect(fd[0], (struct sockaddr *)&a, n), 0);
	fd[1] = accept4(l, NULL, NULL, SOCK_CLOEXEC);
	assert_true(fd[1] >= 0);
	close(l);
	for (i = 0; i < 2; i++) {
		assert_int_equal(fcntl(fd[i], F_SETFL, O_NONBLOCK), 0);
		if (small) {
			setsockopt(fd[i], SOL_SOCKET, SO_SNDBUF, &buf, sizeof(buf));
			setsockopt(fd[i], SOL_SOCKET, SO_RCVBUF, &buf, sizeof(buf));
		}
	}
}

static void wake(void *arg)
{
	struct chain *c = arg;
	int i;

	for (i = A; i <= D; i += D - A)
		if (c->end[i].c && c->end[i].paused) {
			c->end[i].paused = false;
			conn_pause(c->end[i].c, false);
		}
	/* A half that was up before the other is read now. */
	for (i = B; i <= C; i++)
		if (c->end[i].c && c->end[i].up && !c->end[i].paused)
			conn_pause(c->end[i].c, false);
	loop_timer_set(loop, &c->wake, 1 + (uint64_t)random() % 5);
}

/* conn_accept() is told whose side of TLS it is by the context. */
static void chain_open(struct chain *c, bool slow)
{
	struct tls_ctx *ctx[ENDS] = {plain_client, server, client, plain_server};
	int fd[4], i;

	*c = (struct chain){.slow = slow, .pipe = {{-1, -1, 0}, {-1, -1, 0}}};
	tcp_pair(fd, slow);
	tcp_pair(fd + 2, slow);
	for (i = 0; i < ENDS; i++) {
		struct conn_params p = {.loop = loop,
					.tls = ctx[i],
					.peer_name = i == A || i == C ? "gate.example" : NULL,
					.queue_max = QUEUE,
					.ops = &ops,
					.arg = &c->end[i]};

		c->end[i].chain = c;
		c->end[i].i = i;
		assert_int_equal(conn_accept(&p, fd[i], &c->end[i].c), 0);
	}
	c->wake = (struct loop_timer){.fn = wake, .arg = c};
	loop_timer_set(loop, &c->wake, 1);
}

static void chain_free(struct chain *c)
{
	int i;

	relay_over(c, false);
	for (i = 0; i < ENDS; i++)
		conn_abort(c->end[i].c);
	loop_timer_cancel(loop, &c->wake);
	c->done = true;
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

static unsigned fds(void)
{
	DIR *d = opendir("/proc/self/fd");
	unsigned n = 0;

	assert_non_null(d);
	while (readdir(d))
		n++;
	closedir(d);
	return n;
}

static uint64_t number(const char *name, uint64_t def)
{
	const char *s = getenv(name);

	return s ? strtoull(s, NULL, 10) : def;
}

/* ---- cases ---- */

/* Both ways at once, readers that stop and go, pipes of one page, small sockets. */
static void test_splice_bulk(void **state)
{
	uint64_t total = number("SPLICE_MIB", 1) << 20;
	static struct chain c;
	unsigned before = fds(), i, k;
	const char *why;

	(void)state;
	for (k = 0; k < 3; k++) {
		spliced = copied = 0;
		srandom(1); /* on_up(): both climb */
		chain_open(&c, true);
		for (i = A; i <= D; i += D - A) {
			c.end[i].want = total;
			c.end[i].sending = true;
		}
		for (i = 0; i < 100 && !(c.end[B].up && c.end[C].up && c.end[A].up && c.end[D].up);
		     i++)
			run(5);
		conn_climb(c.end[B].c, false);
		conn_climb(c.end[C].c, false);
		for (i = 0; i < 1000000 && (c.end[A].got < total || c.end[D].got < total); i++) {
			run(20);
			assert_true(!c.end[A].over && !c.end[D].over);
		}
		assert_int_equal(c.end[A].got, total);
		assert_int_equal(c.end[D].got, total);
		print_message(
			"    %llu MiB each way: rungs %d and %d (0 is A), %llu KiB through pipes, "
			"%llu KiB copied\n",
			(unsigned long long)(total >> 20), (int)conn_rung(c.end[B].c, &why),
			(int)conn_rung(c.end[C].c, &why), (unsigned long long)spliced >> 10,
			(unsigned long long)copied >> 10);
		assert_int_equal(conn_rung(c.end[B].c, &why), kernel ? TLS_RUNG_A : TLS_RUNG_C);
		assert_int_equal(conn_rung(c.end[C].c, &why), kernel ? TLS_RUNG_A : TLS_RUNG_C);
		assert_true(kernel ? spliced > total / 4
				   : !spliced); /* what was copied came before the climb */
		/* An end that closes is passed on as one. */
		conn_close(c.end[A].c);
		c.end[A].c = NULL;
		for (i = 0; i < 500 && !c.end[D].over; i++)
			run(5);
		assert_int_equal(c.end[D].over, 1);
		chain_free(&c);
		run(2100); /* what flushes its last bytes has two seconds */
	}
	assert_int_equal(pipes.n_used, 0);
	conn_pipes_fini(&pipes);
	assert_int_equal(fds(), before);
}

static void act(struct chain *c)
{
	struct end *e = &c->end[random() & 1 ? A : D];

	switch (random() % 24) {
	case 0: /* a clean end */
		if (e->c && e->up) {
			conn_close(e->c);
			e->c = NULL;
		}
		break;
	case 1: /* cut off */
		conn_abort(e->c);
		e->c = NULL;
		break;
	case 2: /* the relay itself has enough */
		c->cut = true;
		relay_over(c, random() & 1);
		break;
	case 3:
		if (c->end[B].c)
			conn_climb(c->end[B].c, random() % 8 == 0);
		if (c->end[C].c)
			conn_climb(c->end[C].c, false);
		break;
	case 4: /* out of a pause that nobody asked for */
		if (e->c)
			conn_pause(e->c, e->paused = random() & 1);
		break;
	default:
		e->sending = true;
		e->want = e->sent + (uint64_t)random() % 200000;
		end_send(e);
	}
}

static void test_splice_random(void **state)
{
	uint64_t seconds = number("SPLICE_SECONDS", 3), start = loop_now_ms(loop);
	static struct chain c[CHAINS];
	unsigned before = fds(), opened = 0, i;

	(void)state;
	srandom((unsigned)number("SPLICE_SEED", 1));
	spliced = copied = 0;
	for (i = 0; i < CHAINS; i++)
		c[i].done = true;
	/* So long, and until as many were there as a slow machine manages in a while. */
	while (loop_now_ms(loop) - start < seconds * 1000 || opened <= CHAINS) {
		for (i = 0; i < CHAINS; i++) {
			if (c[i].done && random() % 8 == 0) {
				chain_open(&c[i], random() & 1);
				opened++;
			} else if (!c[i].done && random() % 4 == 0) {
				act(&c[i]);
			}
			if (!c[i].done && (c[i].end[A].over || !c[i].end[A].c) &&
			    (c[i].end[D].over || !c[i].end[D].c))
				chain_free(&c[i]);
			else if (!c[i].done && random() % 400 == 0)
				chain_free(&c[i]);
		}
		run(2);
	}
	for (i = 0; i < CHAINS; i++)
		if (!c[i].done)
			chain_free(&c[i]);
	run(2100);
	print_message("    %u relays opened, %llu KiB through pipes, %llu KiB copied\n", opened,
		      (unsigned long long)spliced >> 10, (unsigned long long)copied >> 10);
	assert_true(copied > 0);
	assert_true(!kernel || spliced > 0);
	assert_int_equal(pipes.n_used, 0);
	conn_pipes_fini(&pipes);
	assert_int_equal(fds(), before);
}

static struct tls_ctx *ctx_make(bool is_server, const struct ktls_probe *p)
{
	struct tls_params tp = {.server = is_server, .tickets = is_server, .kernel = p};
	char why[TLS_WHY_MAX];
	struct tls_ctx *c = NULL;

	if (is_server) {
		tp.cert_pem = cert_pem(&leaf);
		tp.key_pem = cert_key(&leaf);
	} else {
		tp.ca_pem = cert_pem(&ca);
	}
	assert_int_equal(tls_ctx_new(&tp, &c, why), 0);
	return c;
}

static int setup(void **state)
{
	const struct loop_params lp = {.entries = 512, .ops_max = 4096};

	(void)state;
	if (loop_new(&lp, &loop))
		return -1;
	cert_make_ca("test CA", &ca);
	cert_make(&ca, "gate", "DNS:gate.example", false, &leaf);
	server = ctx_make(true, &probe);
	client = ctx_make(false, &probe);
	plain_server = ctx_make(true, NULL);
	plain_client = ctx_make(false, NULL);
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	loop_free(loop);
	tls_ctx_free(server);
	tls_ctx_free(client);
	tls_ctx_free(plain_server);
	tls_ctx_free(plain_client);
	return 0;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_splice_bulk),
		cmocka_unit_test(test_splice_random),
	};
	const char *expect = getenv("KTLS_EXPECT");

	signal(SIGPIPE, SIG_IGN);
	ktls_probe(&probe);
	kernel = ktls_usable(&probe);
	if (expect && *expect == '1' && !kernel) {
		fprintf(stderr, "KTLS_EXPECT=1, but the kernel's TLS does not work: %s\n",
			strerrorname_np(probe.ulp));
		return 1;
	}
	return cmocka_run_group_tests(tests, setup, teardown);
}
