/* tools/bench_ktls.c -- what the edge's relay costs on each rung: CPU of this process for moving streams between two TLS connections.
 *
 * Data flow: a client (bench_ktls_peer.c, another process) -> TLS server side of user/conn -> user/conn_move, as user/stream_relay.c
 * uses it -> TLS client side -> a sink in that process. Bulk: 4 streams of 16 KiB writes, one way. Messages: 16 streams, each a
 * message of 500 bytes and the same one back, one under way. Every run makes its connections anew, climbs, asks conn_rung() of both
 * sides, and only then lets the clients go; CPU is getrusage() from there to the last byte out (of which the kernel divides user
 * from system by its ticks). The rungs of a round are measured in turns.
 * Out: a table, or JSON. Owner rules: bench owns loop and contexts; a pair its connections, for a run.
 *
 * By pipe and by copy are both forced here, also where the relay would do the other. Where the kernel has no TLS only rung C is
 * measured, and the reason is told. TCP is 127.0.0.1's: delivery to the sink happens within the relay's send, on every rung. */
#include <arpa/inet.h>
#include <errno.h>
#include <getopt.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#include "tools/bench_ktls.h"
#include "user/conn_move.h"

#define QUEUE_MAX 65536 /* as the edge's streams */
#define RUN_MS	  300000
#define FIRST_US  20000 /* of CPU: a first run that took less says too little */

static const struct {
	const char *name;
	enum tls_rung rung;
	enum conn_move_by by;
} lanes[BENCH_LANES] = {
	{"A by pipe", TLS_RUNG_A, CONN_MOVE_PIPE},
	{"A by copy", TLS_RUNG_A, CONN_MOVE_COPY},
	{"B", TLS_RUNG_B, CONN_MOVE_COPY},
	{"C", TLS_RUNG_C, CONN_MOVE_COPY},
};
#define LANE_C (BENCH_LANES - 1)

struct bench;
struct pair {
	struct bench *b;
	struct side {
		struct pair *pair;
		struct conn *c;
		bool up, paused;
		uint64_t moved; /* from here to the other */
		struct conn_pipe pipe;
		uint8_t bulk;
	} side[2]; /* client, sink */
};

struct bench {
	struct loop *loop;
	struct tls_ctx *tls[2]; /* server, client */
	struct ktls_probe probe;
	struct bench_peer peer;
	struct conn_mover mover;
	struct loop_timer timer;
	struct loop_handle accepts;
	struct pair pairs[BENCH_STREAMS_MAX];
	unsigned n; /* pairs */
	/* the run */
	const struct bench_job *now;
	unsigned lane;
	bool going;
	char failed[256];
	unsigned budget_ms, lanes_n, order[BENCH_LANES]; /* lanes to be had here */
	struct bench_table table;
};

/* ---- the relay ---- */

static void failed(struct bench *b, const char *what, const char *why)
{
	if (!b->failed[0])
		snprintf(b->failed, sizeof(b->failed), "%s: %s", what, why ? why : "");
	loop_stop(b->loop);
}

static void on_readable(void *arg)
{
	struct side *s = arg;
	struct side *to = &s->pair->side[s == s->pair->side];
	const struct conn_way w = {s->c, to->c, &s->paused, &s->moved, &s->pipe, &s->bulk};
	ssize_t n = conn_move(&s->pair->b->mover, &w);

	if (n <= 0)
		failed(s->pair->b, "a connection ended", n ? strerror((int)-n) : "in order");
}

static void on_drained(void *arg)
{
	struct side *s = arg;
	struct side *from = &s->pair->side[s == s->pair->side];

	if (!from->paused)
		return;
	from->paused = false;
	conn_pause(from->c, false);
}

static void on_down(void *arg, int err, const char *why)
{
	struct side *s = arg;

	(void)err;
	failed(s->pair->b, s == s->pair->side ? "client's connection" : "sink's connection", why);
}

static void on_up(void *arg)
{
	struct side *s = arg;
	struct bench *b = s->pair->b;

	s->up = true;
	if (lanes[b->lane].rung != TLS_RUNG_C)
		conn_climb(s->c, lanes[b->lane].rung == TLS_RUNG_B);
}

static const struct conn_ops side_ops = {
	.up = on_up, .readable = on_readable, .drained = on_drained, .down = on_down};

static void on_accepted(void *arg, int fd)
{
	struct bench *b = arg;
	struct pair *p = &b->pairs[b->n];
	struct addr sink;
	struct conn_params cp = {
		.loop = b->loop, .queue_max = QUEUE_MAX, .handshake_ms = RUN_MS, .ops = &side_ops};
	int i, err = fd < 0 ? fd : 0;

	addr_parse(span_str("127.0.0.1"), &sink);
	sink.port = b->peer.sink_port;
	if (err || b->n == b->now->streams) {
		failed(b, "accept", err ? strerror(-err) : "one connection too many");
		return;
	}
	b->n++;
	*p = (struct pair){.b = b};
	for (i = 0; i < 2 && !err; i++) {
		p->side[i].pair = p;
		p->side[i].pipe = (struct conn_pipe){.in = -1, .out = -1};
		cp.tls = b->tls[i];
		cp.arg = &p->side[i];
		err = i ? conn_connect(&cp, &sink, &p->side[i].c)
			: conn_accept(&cp, fd, &p->side[i].c);
	}
	if (err)
		failed(b, "a connection", strerror(-err));
}

static bool all_ready(struct bench *b)
{
	const char *why;
	unsigned i;

	for (i = 0; i < 2 * b->n; i++) {
		const struct side *s = &b->pairs[i / 2].side[i % 2];

		if (!s->up ||
		    (lanes[b->lane].rung != TLS_RUNG_C && conn_rung(s->c, &why) == TLS_RUNG_C))
			return false;
	}
	return b->n == b->now->streams;
}

static bool all_moved(const struct bench *b)
{
	uint64_t bytes = (uint64_t)b->now->size * b->now->writes;
	unsigned i;

	for (i = 0; i < b->n; i++) {
		const struct side *s = b->pairs[i].side;

		if (s[0].moved != bytes || s[1].moved != (b->now->echo ? bytes : 0) ||
		    s[0].pipe.n || s[1].pipe.n || conn_queued(s[0].c) || conn_queued(s[1].c))
			return false;
	}
	return true;
}

static void on_round(void *arg)
{
	struct bench *b = arg;

	if (b->now && (b->going ? all_moved(b) : all_ready(b)))
		loop_stop(b->loop);
}

static void on_time(void *arg)
{
	struct bench *b = arg;
	const char *why = "", *one;
	unsigned i;

	for (i = 0; i < 2 * b->n; i++) {
		const struct side *s = &b->pairs[i / 2].side[i % 2];

		if (s->up && conn_rung(s->c, &one) == TLS_RUNG_C)
			why = one;
	}
	failed(b,
	       b->going ? "the bytes did not arrive in time"
			: "the connections did not come up, or not onto their rung, in time",
	       why);
}

/* ---- runs ---- */

static int run_loop(struct bench *b)
{
	int err = loop_timer_set(b->loop, &b->timer, RUN_MS);

	if (!err)
		err = loop_run(b->loop);
	loop_timer_cancel(b->loop, &b->timer);
	return err ? err : b->failed[0] ? -EPROTO : 0;
}

/* The rung that both sides of every stream are on, as conn_rung() says; 0 and a message when it is not the one wanted. */
static char rung_reached(struct bench *b)
{
	static const char letters[] = "ABC";
	char text[200];
	const char *why;
	unsigned i;

	for (i = 0; i < 2 * b->n; i++) {
		enum tls_rung r = conn_rung(b->pairs[i / 2].side[i % 2].c, &why);

		if (r == lanes[b->lane].rung)
			continue;
		snprintf(text, sizeof(text), "wanted rung %c, got %c: %s",
			 letters[lanes[b->lane].rung], letters[r], why);
		failed(b, lanes[b->lane].name, text);
		return 0;
	}
	return letters[lanes[b->lane].rung];
}

static double us_of(struct timeval a, struct timeval b)
{
	return (double)(b.tv_sec - a.tv_sec) * 1e6 + (double)(b.tv_usec - a.tv_usec);
}

/* Connections up and on their rung, the clients' bytes through, and down again. */
static int run(struct bench *b, unsigned lane, const struct bench_job *j, struct bench_cost *out)
{
	struct rusage before, after;
	unsigned i;
	double per = bench_units(j);
	int err;

	b->lane = lane;
	b->now = j;
	b->n = 0;
	b->going = false;
	b->failed[0] = 0;
	b->mover.by = lanes[lane].by;
	err = bench_peer_job(&b->peer, j);
	if (!err)
		err = run_loop(b);
	if (!err)
		b->table.lane[lane].reached = rung_reached(b);
	if (!err && !b->table.lane[lane].reached)
		err = -EPROTO;
	b->going = true;
	getrusage(RUSAGE_SELF, &before);
	if (!err)
		err = bench_peer_go(&b->peer);
	if (!err)
		err = run_loop(b);
	getrusage(RUSAGE_SELF, &after);
	b->now = NULL;
	if (!err)
		err = bench_peer_end(&b->peer);
	for (i = 0; i < 2 * b->n; i++) {
		conn_pipe_put(&b->mover.pipes, &b->pairs[i / 2].side[i % 2].pipe);
		conn_abort(b->pairs[i / 2].side[i % 2].c);
	}
	out->user = us_of(before.ru_utime, after.ru_utime) / per;
	out->system = us_of(before.ru_stime, after.ru_stime) / per;
	return err;
}

/* So much that a run takes about the budget on rung C. */
static int calibrate(struct bench *b, struct bench_job *j)
{
	struct bench_cost c;
	double us, units;
	int err;

	for (;;) {
		err = run(b, LANE_C, j, &c);
		if (err)
			return err;
		units = bench_units(j);
		us = (c.user + c.system) * units;
		if (us >= FIRST_US)
			break;
		j->writes *= 4;
	}
	j->writes = (uint32_t)(j->writes * (b->budget_ms * 1000.0 / us)) + 1;
	return 0;
}

static int measure(struct bench *b)
{
	unsigned r, k, i;
	int err = 0;

	for (k = 0; k < BENCH_KINDS && !err; k++)
		err = calibrate(b, &b->table.job[k]);
	for (r = 0; r < b->table.rounds && !err; r++)
		for (i = 0; i < b->lanes_n && !err; i++)
			for (k = 0; k < BENCH_KINDS && !err; k++) {
				unsigned lane = b->order[(i + r) % b->lanes_n];

				err = run(b, lane, &b->table.job[k],
					  &b->table.lane[lane].cost[k][r]);
			}
	if (err)
		fprintf(stderr, "bench: %s: %s\n", lanes[b->lane].name,
			b->failed[0] ? b->failed : strerror(-err));
	return err;
}

/* ---- start ---- */

/* The relay on one CPU, its peers on another, where there are two. */
static void pin(unsigned cpu)
{
	cpu_set_t set;

	CPU_ZERO(&set);
	CPU_SET(cpu, &set);
	if (sysconf(_SC_NPROCESSORS_ONLN) > 1 && sched_setaffinity(0, sizeof(set), &set))
		fprintf(stderr, "bench: not pinned to CPU %u: %s\n", cpu, strerror(errno));
}

static int start(struct bench *b)
{
	struct sockaddr_in a = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	struct loop_params lp = {.entries = 256, .ops_max = 4 * BENCH_STREAMS_MAX};
	struct tls_params tp = {.kernel = &b->probe};
	socklen_t n = sizeof(a);
	char why[TLS_WHY_MAX] = "";
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0), err, i;

	if (fd < 0 || bind(fd, (struct sockaddr *)&a, n) || listen(fd, BENCH_STREAMS_MAX) ||
	    getsockname(fd, (struct sockaddr *)&a, &n))
		return -errno;
	pin(0);
	err = bench_peer_start(&b->peer, ntohs(a.sin_port));
	pin(1);
	for (i = 0; i < 2 && !err; i++) {
		tp.server = i == 0;
		tp.cert_pem = i ? span_of(NULL, 0) : span_str(b->peer.cert);
		tp.key_pem = i ? span_of(NULL, 0) : span_str(b->peer.key);
		err = tls_ctx_new(&tp, &b->tls[i], why);
	}
	if (why[0])
		fprintf(stderr, "bench: TLS: %s\n", why);
	if (!err)
		err = loop_new(&lp, &b->loop);
	if (err)
		return err;
	b->timer = (struct loop_timer){.fn = on_time, .arg = b};
	err = loop_on_round(b->loop, on_round, b);
	return err ? err : loop_accept(b->loop, fd, on_accepted, b, &b->accepts);
}

/* Which lanes this kernel has; the table tells why not all. */
static void lanes_here(struct bench *b)
{
	enum ktls_version v = b->table.job[0].version;
	enum ktls_cipher c = b->table.job[0].cipher;
	bool tx = !b->probe.of[v][c].dir[KTLS_TX], rx = !b->probe.of[v][c].dir[KTLS_RX];
	unsigned i;

	for (i = 0; i < BENCH_LANES; i++) {
		b->table.lane[i].name = lanes[i].name;
		if (lanes[i].rung == TLS_RUNG_C || (tx && (rx || lanes[i].rung == TLS_RUNG_B)))
			b->order[b->lanes_n++] = i;
	}
	if (b->lanes_n < BENCH_LANES)
		ktls_why(&b->probe, v, c, tx ? KTLS_RX : KTLS_TX, b->table.missing);
}

static int usage(void)
{
	fprintf(stderr,
		"usage: tools/bench ktls [-j] [-q] [-r ROUNDS, 1 to %d] [-b MS] [-m BYTES] [-w "
		"BYTES] [--tls 1.2|1.3] [--cipher aes-128-gcm|aes-256-gcm|chacha20]\n"
		"  -b  CPU milliseconds a run on rung C (300); -m, -w  bytes of a message (500), "
		"of a bulk write (16384), 16 to 16384\n",
		BENCH_ROUNDS_MAX);
	return 2;
}

static int word(const char *w, const char *const *words, int n)
{
	int i;

	for (i = 0; i < n && strcmp(w, words[i]); i++)
		;
	return i < n ? i : -1;
}

int main(int argc, char **argv)
{
	static const struct option longs[] = {{"tls", required_argument, NULL, 't'},
					      {"cipher", required_argument, NULL, 'c'},
					      {}};
	static const char *const versions[] = {"1.2", "1.3"}, *const ciphers[] = {"aes-128-gcm",
										  "aes-256-gcm",
										  "chacha20"};
	static struct bench b = {.budget_ms = 300, .table.rounds = 5};
	int o, version = KTLS_1_3, cipher = KTLS_AES_128_GCM, err;
	uint32_t size[BENCH_KINDS] = {16384, 500};
	bool json = false;

	while ((o = getopt_long(argc, argv, "jqr:b:m:w:t:c:", longs, NULL)) != -1) {
		if (o == 'j')
			json = true;
		else if (o == 'q')
			b.table.rounds = 1, b.budget_ms = 50;
		else if (o == 'r')
			b.table.rounds = (unsigned)strtoul(optarg, NULL, 10);
		else if (o == 'b')
			b.budget_ms = (unsigned)strtoul(optarg, NULL, 10);
		else if (o == 'm')
			size[BENCH_MESSAGES] = (uint32_t)strtoul(optarg, NULL, 10);
		else if (o == 'w')
			size[BENCH_BULK] = (uint32_t)strtoul(optarg, NULL, 10);
		else if (o == 't')
			version = word(optarg, versions, KTLS_VERSIONS);
		else if (o == 'c')
			cipher = word(optarg, ciphers, KTLS_CIPHERS);
		else
			return usage();
	}
	if (optind != argc || !b.table.rounds || b.table.rounds > BENCH_ROUNDS_MAX ||
	    !b.budget_ms || b.budget_ms > 60000 || version < 0 || cipher < 0)
		return usage();
	for (o = 0; o < BENCH_KINDS; o++) {
		if (size[o] < 16 || size[o] > BENCH_SIZE_MAX)
			return usage();
		b.table.job[o] = (struct bench_job){.version = (enum ktls_version)version,
						    .cipher = (enum ktls_cipher)cipher,
						    .echo = o == BENCH_MESSAGES,
						    .streams = o == BENCH_MESSAGES ? 16 : 4,
						    .size = size[o],
						    .writes = 16};
	}
	signal(SIGPIPE, SIG_IGN);
	ktls_probe(&b.probe);
	lanes_here(&b);
	err = start(&b);
	if (err)
		fprintf(stderr, "bench: %s\n", strerror(-err));
	if (!err)
		err = measure(&b);
	if (!err)
		bench_show(&b.table, json);
	if (b.peer.pid > 0)
		kill(b.peer.pid, SIGKILL);
	return err ? 1 : 0;
}
