/* tools/load.c -- the load generator's program: options, pacing, counting, summary. See tools/load.h.
 *
 * Set-up: every client connects and registers once (its challenge is kept). Run, for -t seconds: refreshes, round robin over the
 * registered clients, or with -c clients that connect, register with the challenge they know and reset the connection; -w of them at once,
 * -r a second. CPU time of the processes named by -p (all their threads, from schedstat) is read at both ends of the run. */
#include "tools/load.h"
#include "tools/load_calls.h"

#include <errno.h>
#include <dirent.h>
#include <getopt.h>
#include <inttypes.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/random.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

#define TICK_MS	     10
#define DRAIN_US     1000000ull
#define SETUP_WINDOW 16
#define SECONDS_MAX  86400
#define CA_MAX	     65536
#define SETUP_FAILS  100 /* then the run is given up */

uint64_t load_now_us(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000000u + (uint64_t)t.tv_nsec / 1000u;
}

/* ---- CPU time of the devices under test ---------------------------------------------------------------------------------- */

static uint64_t cpu_of(pid_t pid)
{
	unsigned long long ns;
	char path[320];
	uint64_t sum = 0;
	struct dirent *e;
	FILE *f;
	DIR *d;

	snprintf(path, sizeof(path), "/proc/%d/task", (int)pid);
	d = opendir(path);
	while (d && (e = readdir(d))) {
		snprintf(path, sizeof(path), "/proc/%d/task/%.16s/schedstat", (int)pid, e->d_name);
		f = e->d_name[0] == '.' ? NULL : fopen(path, "re");
		if (f && fscanf(f, "%llu", &ns) == 1)
			sum += ns;
		if (f)
			fclose(f);
	}
	if (d)
		closedir(d);
	return sum;
}

uint64_t load_cpu_ns(const struct load *l)
{
	uint64_t sum = 0;
	unsigned i;

	for (i = 0; i < l->o.n_duts; i++)
		sum += cpu_of(l->o.duts[i]);
	return sum;
}

/* ---- pacing -------------------------------------------------------------------------------------------------------------- */

static void load_begin(struct load *l, enum load_phase phase)
{
	l->phase = phase;
	l->started = 0;
	l->next = 0;
	if (phase == LOAD_RUN) {
		l->run_us = load_now_us();
		l->cpu_ns = load_cpu_ns(l);
	} else if (phase == LOAD_DRAIN) {
		l->cpu_ns = load_cpu_ns(l) - l->cpu_ns;
		l->seconds = (double)(load_now_us() - l->run_us) / 1e6;
	}
}

void load_latency(struct load_count *n, uint64_t us)
{
	uint64_t b = us / 100;

	n->latency[b < LOAD_BUCKETS ? b : LOAD_BUCKETS - 1]++;
}

void load_done(struct load_client *c, bool ok)
{
	struct load *l = c->load;

	l->outstanding--;
	if (l->calls) {
		load_calls_done(c, ok);
		return;
	}
	if (l->phase == LOAD_SETUP) {
		l->setup_ok += ok;
		l->setup_failed += !ok;
	} else if (l->phase == LOAD_RUN) {
		l->run.ok += ok;
		l->run.failed += !ok;
		if (ok)
			load_latency(&l->run, load_now_us() - c->started_us);
	}
	if (ok && l->o.churn)
		load_client_end(c);
}

static void load_connect(struct load *l, struct load_client *c)
{
	int err = load_client_connect(c);

	l->outstanding++;
	if (!err)
		return;
	snprintf(l->last_why, sizeof(l->last_why), "connect: %s", strerrordesc_np(-err));
	load_done(c, false);
}

static void load_setup_pump(struct load *l)
{
	while (l->next < l->o.clients && l->outstanding < SETUP_WINDOW)
		load_connect(l, &l->clients[l->next++]);
	if (l->setup_failed >= SETUP_FAILS)
		loop_stop(l->loop);
	else if (l->next == l->o.clients && !l->outstanding)
		load_begin(l, LOAD_RUN);
}

/* The next client that has nothing under way, or NULL. */
static struct load_client *load_pick(struct load *l)
{
	enum load_state want = l->o.churn ? LOAD_IDLE : LOAD_READY;
	unsigned i;

	for (i = 0; i < l->o.clients; i++) {
		struct load_client *c = &l->clients[l->next];

		l->next = (l->next + 1) % l->o.clients;
		if (c->state == want)
			return c;
	}
	return NULL;
}

static void load_run_pump(struct load *l)
{
	uint64_t ran = load_now_us() - l->run_us;
	struct load_client *c;
	unsigned begun = 0;

	/* At most a window a round: an exchange may fail at once. */
	while (l->outstanding < l->o.window && begun++ < l->o.window) {
		if (l->o.rate && l->started >= ran * l->o.rate / 1000000u)
			break;
		c = load_pick(l);
		if (!c)
			break;
		l->started++;
		if (l->o.churn) {
			load_connect(l, c);
		} else {
			l->outstanding++;
			load_client_refresh(c);
		}
	}
	if (ran >= l->o.seconds * 1000000ull)
		load_begin(l, LOAD_DRAIN);
}

static void load_round(void *arg)
{
	struct load *l = arg;

	if (l->phase == LOAD_SETUP)
		load_setup_pump(l);
	else if (l->phase == LOAD_RUN)
		load_run_pump(l);
	else if (!l->outstanding ||
		 load_now_us() - l->run_us > l->o.seconds * 1000000ull + DRAIN_US)
		loop_stop(l->loop);
}

/* Keeps rounds coming where nothing else happens, and ends what gets no answer. */
static void load_tick(void *arg)
{
	struct load *l = arg;
	uint64_t now = load_now_us();
	unsigned i;

	for (i = 0; i < l->o.clients; i++)
		load_client_late(&l->clients[i], now);
	loop_timer_set(l->loop, &l->tick, TICK_MS);
}

/* ---- summary ------------------------------------------------------------------------------------------------------------- */

double load_percentile(const struct load_count *n, double share)
{
	uint64_t seen = 0;
	unsigned i;

	for (i = 0; i < LOAD_BUCKETS; i++) {
		seen += n->latency[i];
		if (n->ok && (double)seen >= share * (double)n->ok)
			return (i + 0.5) / 10;
	}
	return 0;
}

static void load_print(const struct load *l)
{
	double cpu = (double)l->cpu_ns / 1e9, p50 = load_percentile(&l->run, 0.5),
	       p99 = load_percentile(&l->run, 0.99);
	double per_cpu = l->o.n_duts && cpu > 0 ? (double)l->run.ok / cpu : 0;
	json_t *j;

	if (!l->o.json) {
		printf("set up: %" PRIu64 " registered, %" PRIu64 " failed, %" PRIu64
		       " lost later\n",
		       l->setup_ok, l->setup_failed, l->lost);
		printf("%s: %" PRIu64 " ok, %" PRIu64
		       " failed in %.2f s; p50 %.1f ms, p99 %.1f ms\n",
		       l->o.churn ? "connections with registration" : "refreshes", l->run.ok,
		       l->run.failed, l->seconds, p50, p99);
		if (l->o.n_duts)
			printf("CPU of the devices under test: %.3f s, %.0f a CPU-second\n", cpu,
			       per_cpu);
		return;
	}
	j = json_pack("{s:s, s:I, s:I, s:I, s:I, s:I, s:f, s:f, s:f, s:f, s:f}", "run",
		      l->o.churn ? "connect" : "refresh", "registered", (json_int_t)l->setup_ok,
		      "setup_failed", (json_int_t)l->setup_failed, "lost", (json_int_t)l->lost,
		      "ok", (json_int_t)l->run.ok, "failed", (json_int_t)l->run.failed, "seconds",
		      l->seconds, "p50_ms", p50, "p99_ms", p99, "cpu_s", cpu, "per_cpu_s", per_cpu);
	json_dumpf(j, stdout, JSON_COMPACT | JSON_REAL_PRECISION(6));
	putchar('\n');
	json_decref(j);
}

/* ---- start --------------------------------------------------------------------------------------------------------------- */

bool load_uint(const char *s, unsigned max, unsigned *out)
{
	uint32_t v;

	if (sip_number(span_str(s), max, &v))
		return false;
	*out = v;
	return true;
}

int load_option(struct load_opts *o, int c, const char *arg)
{
	unsigned v;

	switch (c) {
	case 's':
		return addr_parse(span_str(arg), &o->server) || !o->server.port ? -EINVAL : 0;
	case 'H':
		o->name = arg;
		return 0;
	case 'D':
		o->domain = arg;
		return strlen(arg) < 256 ? 0 : -EINVAL;
	case 'u':
		o->prefix = arg;
		return strlen(arg) < 32 ? 0 : -EINVAL;
	case 'a':
		o->ca_file = arg;
		return 0;
	case 'n':
		return load_uint(arg, LOAD_CLIENTS_MAX, &o->clients) ? 0 : -EINVAL;
	case 'w':
		return load_uint(arg, LOAD_CLIENTS_MAX, &o->window) ? 0 : -EINVAL;
	case 'r':
		return load_uint(arg, 1000000, &o->rate) ? 0 : -EINVAL;
	case 't':
		return load_uint(arg, SECONDS_MAX, &o->seconds) ? 0 : -EINVAL;
	case 'p':
		if (o->n_duts == LOAD_DUTS_MAX || !load_uint(arg, 4194304, &v))
			return -EINVAL;
		o->duts[o->n_duts++] = (pid_t)v;
		return 0;
	case 'c':
		o->churn = true;
		return 0;
	case 'j':
		o->json = true;
		return 0;
	default:
		return -EINVAL;
	}
}

static int load_options(struct load_opts *o, int argc, char **argv)
{
	int c;

	while ((c = getopt(argc, argv, "s:H:D:u:a:n:w:r:t:p:cj")) != -1)
		if (load_option(o, c, optarg))
			return -EINVAL;
	return optind == argc && o->server.port && o->domain && o->clients && o->window ? 0
											: -EINVAL;
}

static int load_tls(struct load *l)
{
	struct tls_params p = {};
	char why[TLS_WHY_MAX] = "";
	static uint8_t ca[CA_MAX];
	FILE *f = l->o.ca_file ? fopen(l->o.ca_file, "re") : NULL;
	int err;

	if (l->o.ca_file && !f) {
		fprintf(stderr, "load: %s: %s\n", l->o.ca_file, strerror(errno));
		return -errno;
	}
	if (f) {
		p.ca_pem = span_of(ca, fread(ca, 1, sizeof(ca), f));
		fclose(f);
	}
	err = tls_ctx_new(&p, &l->tls, why);
	if (err)
		fprintf(stderr, "load: TLS: %s\n", why);
	return err;
}

static int load_fds(const struct load *l, unsigned fds)
{
	rlim_t want = (l->o.udp ? 0 : l->o.clients) + fds + 64;
	struct rlimit r;

	if (getrlimit(RLIMIT_NOFILE, &r))
		return -errno;
	if (r.rlim_cur >= want)
		return 0;
	if (want > r.rlim_max && geteuid() != 0) {
		fprintf(stderr, "load: %ju descriptors wanted, %ju allowed (ulimit -Hn)\n",
			(uintmax_t)want, (uintmax_t)r.rlim_max);
		return -EMFILE;
	}
	r.rlim_cur = want;
	if (want > r.rlim_max)
		r.rlim_max = want;
	return setrlimit(RLIMIT_NOFILE, &r) ? -errno : 0;
}

int load_open(struct load *l, struct loop_params *lp, unsigned fds)
{
	unsigned i;
	int err = load_fds(l, fds);

	l->udp_fd = -1;
	if (err)
		return err;
	l->clients = calloc(l->o.clients, sizeof(*l->clients));
	if (!l->clients)
		return -ENOMEM;
	for (i = 0; i < l->o.clients; i++) {
		l->clients[i].load = l;
		l->clients[i].index = i;
	}
	if (getrandom(&l->run_id, sizeof(l->run_id), 0) != sizeof(l->run_id))
		return -EIO;
	lp->ops_max += l->o.clients;
	err = l->o.udp ? 0 : load_tls(l);
	if (!err)
		err = loop_new(lp, &l->loop);
	return err || !l->o.udp ? err : load_udp_open(l);
}

void load_close(struct load *l)
{
	unsigned i;

	for (i = 0; l->clients && i < l->o.clients; i++)
		load_client_end(&l->clients[i]);
	loop_free(l->loop);
	tls_ctx_free(l->tls);
	free(l->clients);
	if (l->udp_fd >= 0)
		close(l->udp_fd);
}

static int load_start(struct load *l)
{
	struct loop_params lp = {.entries = 1024, .ops_max = 16};
	int err = load_open(l, &lp, 0);

	if (!err)
		err = loop_on_round(l->loop, load_round, l);
	l->tick = (struct loop_timer){.fn = load_tick, .arg = l};
	return err ? err : loop_timer_set(l->loop, &l->tick, 0);
}

static void load_usage(void)
{
	fprintf(stderr,
		"usage: load -s ADDR:PORT -D DOMAIN [-H SERVER-NAME] [-a CA.pem] [-u USER-PREFIX] "
		"[-n CLIENTS] [-w AT-ONCE]\n"
		"            [-r PER-SECOND] [-t SECONDS] [-p PID]... [-c] [-j]\n"
		"Registers CLIENTS over TLS, then refreshes (-c: reconnects) for SECONDS.\n"
		"       load calls ...   calls with media: load calls -h\n");
}

int main(int argc, char **argv)
{
	static struct load l = {.o = {.prefix = "u", .clients = 1, .window = 16, .seconds = 3}};
	int err;

	if (argc > 1 && !strcmp(argv[1], "calls"))
		return load_calls_main(argc - 1, argv + 1);
	if (load_options(&l.o, argc, argv)) {
		load_usage();
		return 2;
	}
	err = load_start(&l);
	if (!err)
		err = loop_run(l.loop);
	if (err)
		fprintf(stderr, "load: %s\n", strerror(-err));
	else
		load_print(&l);
	if (l.setup_failed || l.run.failed || l.lost)
		fprintf(stderr, "load: last failure: %u %s\n", l.last_status, l.last_why);
	load_close(&l);
	return err || !l.run.ok ? 1 : l.setup_failed || l.run.failed || l.lost ? 1 : 0;
}
