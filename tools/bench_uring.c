/* tools/bench_uring.c -- what this kernel's io_uring costs for what the daemons do with it: accept, echo, timers. See bench_uring.h.
 *
 * In: rounds. Out: CPU of an operation by lane, and each lane's cost of user/loop's in the same round; a table, or JSON. The lanes of a round
 * run in turns. The lane has a CPU to itself, the peer another one. CPU is the process's: io_uring's threads count. */
#include <arpa/inet.h>
#include <errno.h>
#include <jansson.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/utsname.h>
#include <time.h>
#include <unistd.h>

#include "tools/bench_stat.h"
#include "tools/bench_uring.h"

#define RUN_S 60 /* SIGALRM ends what hangs */

static const struct kind {
	const char *name, *unit;
	uint64_t ops; /* a run */
	struct {
		const char *name;
		bench_uring_fn *run;
	} lane[4]; /* the first is ours; epoll's is the last */
} kinds[] = {
	{"accept",
	 "connection",
	 20000,
	 {{"loop", bench_uring_accept_loop},
	  {"multishot", bench_uring_accept_multi},
	  {"single-shot", bench_uring_accept_single},
	  {"epoll", bench_uring_accept_epoll}}},
	{"echo",
	 "echo",
	 200000,
	 {{"loop", bench_uring_echo_loop},
	  {"multishot", bench_uring_echo_multi},
	  {"single-shot", bench_uring_echo_single},
	  {"epoll", bench_uring_echo_epoll}}},
	{"timers",
	 "timer",
	 200000,
	 {{"loop", bench_uring_timer_loop},
	  {"an operation each", bench_uring_timer_ops},
	  {"timerfd each, epoll", bench_uring_timer_fds}}},
};
#define KINDS (sizeof(kinds) / sizeof(kinds[0]))
#define LANES 4

struct result {
	double us[BENCH_ROUNDS_MAX];
	int err; /* of the first round; not to be had here */
};

static void pin(unsigned cpu)
{
	cpu_set_t set;

	CPU_ZERO(&set);
	CPU_SET(cpu, &set);
	if (sysconf(_SC_NPROCESSORS_ONLN) > 1 && sched_setaffinity(0, sizeof(set), &set))
		fprintf(stderr, "bench: not pinned to CPU %u: %s\n", cpu, strerror(errno));
}

/* ---- the peer ---- */

static int dial(const struct sockaddr_in *to)
{
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	if (fd >= 0 && connect(fd, (const struct sockaddr *)to, sizeof(*to))) {
		close(fd);
		fd = -1;
	}
	return fd;
}

/* Connections that are connected again as soon as the other side has dropped them, until it is told to end. */
static void peer_connect(const struct sockaddr_in *to)
{
	int fd[BENCH_URING_CONNS];
	unsigned i;
	char c;

	for (i = 0; i < BENCH_URING_CONNS; i++)
		fd[i] = dial(to);
	for (;; i++) {
		unsigned k = i % BENCH_URING_CONNS;

		if (fd[k] >= 0) {
			(void)!read(fd[k], &c, 1); /* its reset */
			close(fd[k]);
		}
		fd[k] = dial(to);
	}
}

/* Each connection has one message under way. */
static void peer_echo(const struct sockaddr_in *to)
{
	char out[BENCH_URING_BYTES], in[BENCH_URING_BYTES];
	int fd[BENCH_URING_CONNS];
	uint32_t round, i;

	for (i = 0; i < BENCH_URING_CONNS; i++)
		fd[i] = dial(to);
	for (round = 0;; round++) {
		for (i = 0; i < BENCH_URING_CONNS; i++) {
			memset(out, (int)(round + i), sizeof(out));
			if (send(fd[i], out, sizeof(out), MSG_NOSIGNAL) != sizeof(out))
				_exit(0); /* the run is over */
		}
		for (i = 0; i < BENCH_URING_CONNS; i++) {
			memset(out, (int)(round + i), sizeof(out));
			if (recv(fd[i], in, sizeof(in), MSG_WAITALL) != sizeof(in))
				_exit(0);
			if (memcmp(in, out, sizeof(in)) != 0) {
				fprintf(stderr, "bench: an echo of other bytes\n");
				_exit(1);
			}
		}
	}
}

static pid_t peer_start(const struct sockaddr_in *to, void (*fn)(const struct sockaddr_in *))
{
	pid_t pid = fork();

	if (pid == 0) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		alarm(RUN_S);
		pin(0);
		fn(to);
		_exit(0);
	}
	return pid;
}

/* ---- a run ---- */

static double cpu_us(void)
{
	struct timespec t;

	clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
	return (double)t.tv_sec * 1e6 + (double)t.tv_nsec / 1e3;
}

static int listener_open(struct sockaddr_in *at)
{
	socklen_t n = sizeof(*at);
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

	*at = (struct sockaddr_in){.sin_family = AF_INET,
				   .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	if (fd < 0 || bind(fd, (struct sockaddr *)at, n) || listen(fd, 2 * BENCH_URING_CONNS) ||
	    getsockname(fd, (struct sockaddr *)at, &n)) {
		fprintf(stderr, "bench: listener on 127.0.0.1: %s\n", strerror(errno));
		exit(1);
	}
	return fd;
}

/* Microseconds an operation, or a negative errno in *err. */
static double run(const struct kind *k, unsigned lane, uint64_t ops, int *err)
{
	int fd[BENCH_URING_CONNS], listener = -1;
	struct bench_uring_job j = {.fd = fd, .ops = ops};
	bool echo = !strcmp(k->name, "echo");
	struct sockaddr_in at;
	unsigned i, n = 0;
	pid_t peer = 0;
	double us;

	if (strcmp(k->name, "timers") != 0) {
		listener = listener_open(&at);
		peer = peer_start(&at, echo ? peer_echo : peer_connect);
	}
	j.listener = listener;
	while (echo && n < BENCH_URING_CONNS) {
		fd[n] = accept4(listener, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
		n += fd[n] >= 0;
		if (n == 0 || fd[n - 1] < 0)
			usleep(1000);
	}
	alarm(RUN_S);
	us = cpu_us();
	*err = k->lane[lane].run(&j);
	us = cpu_us() - us;
	alarm(0);
	if (peer > 0)
		kill(peer, SIGKILL);
	for (i = 0; i < n; i++)
		close(fd[i]);
	if (listener >= 0)
		close(listener);
	return us / (double)ops;
}

/* ---- results ---- */

static struct bench_spread ratio(const struct result *a, const struct result *of, unsigned rounds)
{
	double v[BENCH_ROUNDS_MAX];
	unsigned r;

	for (r = 0; r < rounds; r++)
		v[r] = a->us[r] / of->us[r];
	return bench_spread(v, rounds);
}

static void print_table(struct result res[KINDS][LANES], unsigned rounds)
{
	unsigned k, l;

	for (k = 0; k < KINDS; k++) {
		printf("%-9s%-21sus CPU a %-13s  user/loop's = 1\n", kinds[k].name, "",
		       kinds[k].unit);
		for (l = 0; l < LANES && kinds[k].lane[l].name; l++) {
			const struct result *r = &res[k][l];
			struct bench_spread us, x;

			if (r->err) {
				printf("  %-26s  not here: %s\n", kinds[k].lane[l].name,
				       strerror(-r->err));
				continue;
			}
			us = bench_spread(r->us, rounds);
			x = ratio(r, &res[k][0], rounds);
			printf("  %-26s  %6.3f (%.3f-%.3f)      %.2f (%.2f-%.2f)\n",
			       kinds[k].lane[l].name, us.median, us.min, us.max, x.median, x.min,
			       x.max);
		}
	}
}

static void print_json(struct result res[KINDS][LANES], unsigned rounds)
{
	json_t *all = json_object(), *ratios = json_object(), *of, *lanes;
	struct utsname u = {};
	unsigned k, l;

	uname(&u);
	for (k = 0; k < KINDS; k++) {
		lanes = json_object();
		of = json_object();
		for (l = 0; l < LANES && kinds[k].lane[l].name; l++) {
			const char *name = kinds[k].lane[l].name;
			const struct result *r = &res[k][l];

			if (r->err) {
				json_object_set_new(
					lanes, name,
					json_pack("{s:s}", "missing", strerror(-r->err)));
				continue;
			}
			json_object_set_new(lanes, name,
					    bench_spread_json(bench_spread(r->us, rounds)));
			json_object_set_new(of, name,
					    bench_spread_json(ratio(r, &res[k][0], rounds)));
		}
		json_object_set_new(all, kinds[k].name, lanes);
		json_object_set_new(ratios, kinds[k].name, of);
	}
	all = json_pack("{s:s,s:s,s:i,s:i,s:i,s:o,s:o}", "bench", "uring", "kernel", u.release,
			"rounds", (int)rounds, "connections", BENCH_URING_CONNS, "bytes",
			BENCH_URING_BYTES, "us_per_op", all, "loop_ratio", ratios);
	json_dumpf(all, stdout, JSON_INDENT(1) | JSON_REAL_PRECISION(4));
	putchar('\n');
	json_decref(all);
}

static int usage(void)
{
	fprintf(stderr, "usage: tools/bench uring [-j] [-q] [-r ROUNDS, 1 to %d]\n",
		BENCH_ROUNDS_MAX);
	return 2;
}

int main(int argc, char **argv)
{
	static struct result res[KINDS][LANES];
	unsigned rounds = 5, r, k, l, at, n;
	bool json = false, quick = false;
	int c, err;

	while ((c = getopt(argc, argv, "jqr:")) != -1) {
		if (c == 'j')
			json = true;
		else if (c == 'q')
			quick = true;
		else if (c != 'r' || (rounds = (unsigned)atoi(optarg)) < 1 ||
			 rounds > BENCH_ROUNDS_MAX)
			return usage();
	}
	if (optind != argc)
		return usage();
	if (quick)
		rounds = 1;
	signal(SIGCHLD, SIG_IGN);
	pin(1);
	for (r = 0; r < rounds; r++)
		for (k = 0; k < KINDS; k++) {
			for (n = 0; n < LANES && kinds[k].lane[n].name; n++)
				;
			for (l = 0; l < n; l++) {
				at = (l + r) % n;
				if (res[k][at].err)
					continue;
				res[k][at].us[r] =
					run(&kinds[k], at, kinds[k].ops / (quick ? 4 : 1), &err);
				res[k][at].err = err;
			}
			if (res[k][0].err) {
				fprintf(stderr, "bench: %s by the loop: %s\n", kinds[k].name,
					strerror(-res[k][0].err));
				return 1;
			}
		}
	if (json)
		print_json(res, rounds);
	else
		print_table(res, rounds);
	return 0;
}
