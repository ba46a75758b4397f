/* tools/bench_flows.c -- what it costs to set flows up and down: the real edge, and the core's link and media modules in this process.
 *
 * Data flow: media_core_open() -> Allocate -> the edge's ports and map entries -> Allocated -> our punch -> verified by the edge, map entry
 * -> Punched -> media_core_close() -> Free. No SIP, no keys. -w media at a time, -n flows a run; every round one run of media whose RTCP is
 * on the RTP flow, one of media with two flows. CPU is schedstat of all threads of this process and of those named by -p, the
 * edge's; the packets' softirqs run on them, too. Out: a line of JSON a run.
 * Owner rules: bench owns loop, link and media; a medium is known by its number. */
#include <dirent.h>
#include <errno.h>
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

#include "user/keep.h"
#include "user/media_core_int.h"

#define PIDS_MAX   16
#define RUN_MS_MAX 30000
#define MEDIA_MAX  4000 /* two sockets each, as a core has them by default */
#define SETTLE_MS  300	/* Frees under way at the end of a run */
#define ROUND_MS \
	(MC_PORT_REST_MS + 500) /* between rounds: ports rest, 5 s on the core, 30 s on the edge */

struct bench {
	struct loop *loop;
	struct tls_ctx *tls;
	struct link_core *link;
	struct link_peer *edge;
	struct media_core *media;
	struct keeper_plan plan; /* of the inside sockets */
	struct loop_timer timer;
	struct addr client; /* the first one; a medium has the next */
	pid_t pids[PIDS_MAX];
	unsigned n_pids, rounds, flows, window;
	uint64_t medium; /* last number given */
	unsigned wanted, begun, done, failed;
	bool rtcp;
	char why[80];
};

/* ---- CPU ---- */

static uint64_t bench_cpu_of(pid_t pid)
{
	char path[320];
	unsigned long long ns;
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

static uint64_t bench_cpu(const struct bench *b)
{
	uint64_t sum = bench_cpu_of(getpid());
	unsigned i;

	for (i = 0; i < b->n_pids; i++)
		sum += bench_cpu_of(b->pids[i]);
	return sum;
}

/* ---- media ---- */

static void bench_failed(struct bench *b, const char *why)
{
	snprintf(b->why, sizeof(b->why), "%s", why);
	b->failed++;
	loop_stop(b->loop);
}

static void bench_more(struct bench *b)
{
	struct addr client = b->client;
	unsigned host;
	int err;

	while (b->begun < b->wanted && b->begun - b->done < b->window) {
		host = (unsigned)(++b->medium % 60000) + 1;
		client.ip[14] = (uint8_t)(host >> 8);
		client.ip[15] = (uint8_t)host;
		err = media_core_open(b->media, b->medium, b->edge, &client, b->rtcp);
		if (err) {
			bench_failed(b, strerror(-err));
			return;
		}
		b->begun++;
	}
}

static void on_opened(void *arg, uint64_t medium, const struct media_addrs *a)
{
	(void)arg, (void)medium, (void)a; /* the punch is under way */
}

static void on_failed(void *arg, uint64_t medium, const char *reason)
{
	(void)medium;
	bench_failed(arg, reason);
}

static void on_silent(void *arg, uint64_t medium, uint32_t idle_ms)
{
	(void)arg, (void)medium, (void)idle_ms;
}

static const struct media_core_ops media_ops = {on_opened, on_failed, on_silent};

static void on_punched(struct bench *b, uint64_t id)
{
	struct mc_flow *f = mc_flow_find(b->media, id);

	if (!f || !f->medium->flow[0].punched ||
	    (f->medium->flows == 2 && !f->medium->flow[1].punched))
		return;
	media_core_close(b->media, f->medium->id);
	b->done++;
	if (b->done == b->wanted)
		loop_stop(b->loop);
	else
		bench_more(b);
}

/* ---- link ---- */

static void on_up(void *arg, struct link_peer *p, const Sallyport__Link *hello)
{
	struct bench *b = arg;

	(void)hello;
	b->edge = p;
	media_core_link_up(b->media, p);
	loop_stop(b->loop);
}

static void on_down(void *arg, struct link_peer *p, const char *why)
{
	struct bench *b = arg;

	media_core_link_down(b->media, p);
	b->edge = NULL;
	bench_failed(b, why);
}

static void on_message(void *arg, struct link_peer *p, const Sallyport__Link *m)
{
	struct bench *b = arg;

	media_core_message(b->media, p, m);
	if (m->m_case == SALLYPORT__LINK__M_PUNCHED)
		on_punched(b, m->punched->flow);
}

static void on_open(void *arg, struct link_peer *p, struct link_data *d, const Sallyport__Open *o)
{
	(void)arg, (void)p, (void)o;
	link_core_end(d, false); /* no streams here */
}

static const struct link_ops link_ops = {on_up, on_down, on_message, on_open};

static unsigned live_flows(void *arg, const char *edge, uint64_t *ids, unsigned max)
{
	return media_core_live(((struct bench *)arg)->media, edge, ids, max);
}

/* ---- runs ---- */

static void on_timer(void *arg)
{
	loop_stop(((struct bench *)arg)->loop);
}

static int bench_wait(struct bench *b, unsigned ms)
{
	int err = loop_timer_set(b->loop, &b->timer, ms);

	if (!err)
		err = loop_run(b->loop);
	loop_timer_cancel(b->loop, &b->timer);
	return err;
}

/* CPU microseconds a flow, or a negative errno after a message. */
static int bench_run(struct bench *b, bool rtcp, unsigned flows, double *out)
{
	uint64_t before;
	int err;

	b->rtcp = rtcp;
	b->wanted = flows / (rtcp ? 2 : 1);
	b->begun = b->done = b->failed = 0;
	before = bench_cpu(b);
	bench_more(b);
	err = b->failed ? 0 : bench_wait(b, RUN_MS_MAX);
	if (!err && (b->failed || b->done != b->wanted)) {
		fprintf(stderr, "bench: %u of %u media set up; %s\n", b->done, b->wanted, b->why);
		err = -EPROTO;
	}
	if (!err)
		err = bench_wait(b, SETTLE_MS);
	*out = (double)(bench_cpu(b) - before) / 1e3 / flows;
	return err;
}

static int bench_rounds(struct bench *b)
{
	double us = 0;
	unsigned r, rtcp;
	int err = bench_run(b, true, b->flows / 4, &us); /* warm */

	for (r = 0; r < b->rounds && !err; r++) {
		err = r ? bench_wait(b, ROUND_MS) : 0;
		for (rtcp = 0; rtcp < 2 && !err; rtcp++) {
			err = bench_run(b, rtcp, b->flows, &us);
			if (!err)
				printf("{\"round\": %u, \"flows\": %u, \"rtcp\": %u, "
				       "\"us_per_flow\": "
				       "%.2f}\n",
				       r + 1, b->flows, rtcp, us);
		}
	}
	return err;
}

/* ---- start ---- */

static char *bench_text(const char *dir, const char *name, const char *end)
{
	char path[512], *text = NULL;
	size_t n = 0;
	FILE *f;

	snprintf(path, sizeof(path), "%s/%s%s", dir, name, end);
	f = fopen(path, "re");
	if (!f || getdelim(&text, &n, 0, f) <= 0) {
		fprintf(stderr, "bench: %s: %s\n", path, strerror(errno));
		exit(1);
	}
	fclose(f);
	return text;
}

static struct addr bench_addr(const char *text)
{
	struct addr a;

	if (addr_parse(span_str(text), &a)) {
		fprintf(stderr, "bench: wanted an address, got %s\n", text);
		exit(2);
	}
	return a;
}

/* The sockets and the memory that a core's keeper has ready. */
static int bench_keeper(struct bench *b, struct media_core_params *mp)
{
	struct sockpool_wish wish = {.name = "media.inside",
				     .setting = "ulimit -n",
				     .first = mp->inside,
				     .end = 65536,
				     .n = 2 * MEDIA_MAX,
				     .step = 2,
				     .rcvbuf = 128 << 10};
	struct keep_kind kinds[2] = {{"medium", MEDIA_MAX, mc_keep_medium_max, 0},
				     {"session", 2 * MEDIA_MAX, mc_keep_session_max, 0}};
	int fd = memfd_create("bench-flows", MFD_CLOEXEC), err;
	struct sockaddr_storage ss;
	socklen_t n = addr_to_sockaddr(&mp->link_bind, &ss);
	char why[256] = "";
	bool fresh;

	wish.first.port = 20000;
	err = sockpool_bind(&b->plan, &wish, why, sizeof(why));
	if (err)
		fprintf(stderr, "bench: %s\n", why);
	if (!err && (fd < 0 || ftruncate(fd, (off_t)keep_size(kinds, 2))))
		err = -errno;
	if (!err)
		err = keep_open(fd, kinds, 2, &mp->keep, &fresh);
	mp->keep_session = 1;
	mp->inside_sockets = (struct sockpool){b->plan.fds[0].fd, 2 * MEDIA_MAX};
	mp->link_fd = socket(ss.ss_family, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (!err && (mp->link_fd < 0 || bind(mp->link_fd, (struct sockaddr *)&ss, n)))
		err = -errno;
	return err;
}

static int bench_start(struct bench *b, struct link_core_params *lp, struct media_core_params *mp,
		       const char *pki)
{
	struct loop_params p = {.entries = 1024,
				.ops_max = 2 * MEDIA_MAX + 64,
				.recv_bufs = 1024,
				.send_bufs = 1024,
				.buf_size = 2048};
	struct tls_params tp = {.tls13_only = true};
	char why[TLS_WHY_MAX] = "";
	int err;

	tp.cert_pem = span_str(bench_text(pki, lp->name, ".crt"));
	tp.key_pem = span_str(bench_text(pki, lp->name, ".key"));
	tp.ca_pem = span_str(bench_text(pki, "ca", ".crt"));
	err = tls_ctx_new(&tp, &b->tls, why);
	if (err)
		fprintf(stderr, "bench: TLS: %s\n", why);
	if (!err)
		err = loop_new(&p, &b->loop);
	if (err)
		return err;
	b->timer = (struct loop_timer){.fn = on_timer, .arg = b};
	mp->loop = lp->loop = b->loop;
	lp->tls = b->tls;
	err = bench_keeper(b, mp);
	if (!err)
		err = media_core_new(mp, &b->media);
	return err ? err : link_core_new(lp, &b->link);
}

static int bench_usage(void)
{
	fprintf(stderr, "bench-flows is run by tools/bench flows [-j] [-q] [-r ROUNDS]\n");
	return 2;
}

int main(int argc, char **argv)
{
	static struct bench b = {.rounds = 5, .flows = 2000, .window = 32};
	struct link_core_edge edge = {.pool = 1};
	struct link_core_params lp = {.edges = &edge,
				      .n_edges = 1,
				      .n_domains = 1,
				      .live_flows = live_flows,
				      .ops = &link_ops};
	struct media_core_params mp = {.media_max = MEDIA_MAX, .ops = &media_ops};
	const char *pki = NULL, *domain = NULL;
	int c, err;

	lp.arg = mp.arg = &b;
	while ((c = getopt(argc, argv, "E:e:c:d:k:l:i:C:n:r:w:p:")) != -1) {
		if (c == 'E')
			edge.name = optarg;
		else if (c == 'e')
			edge.address = bench_addr(optarg);
		else if (c == 'c')
			lp.name = optarg;
		else if (c == 'd')
			domain = optarg;
		else if (c == 'k')
			pki = optarg;
		else if (c == 'l')
			mp.link_bind = bench_addr(optarg);
		else if (c == 'i')
			mp.inside = bench_addr(optarg);
		else if (c == 'C')
			b.client = bench_addr(optarg);
		else if (c == 'n')
			b.flows = (unsigned)strtoul(optarg, NULL, 10);
		else if (c == 'r')
			b.rounds = (unsigned)strtoul(optarg, NULL, 10);
		else if (c == 'w')
			b.window = (unsigned)strtoul(optarg, NULL, 10);
		else if (c == 'p' && b.n_pids < PIDS_MAX)
			b.pids[b.n_pids++] = (pid_t)strtol(optarg, NULL, 10);
		else
			return bench_usage();
	}
	if (!edge.name || !lp.name || !domain || !pki || !mp.link_bind.port || !b.n_pids ||
	    b.flows < 8 || !b.window || b.window > mp.media_max)
		return bench_usage();
	lp.domains = &domain;
	setvbuf(stdout, NULL, _IOLBF, 0);
	err = bench_start(&b, &lp, &mp, pki);
	if (!err)
		err = bench_wait(&b, 10000);
	if (!err && !b.edge) {
		fprintf(stderr, "bench: no link: %s\n", b.why);
		err = -ENOTCONN;
	}
	if (!err)
		err = bench_rounds(&b);
	if (err)
		fprintf(stderr, "bench: %s\n", strerror(-err));
	link_core_free(b.link);
	media_core_free(b.media);
	loop_free(b.loop);
	tls_ctx_free(b.tls);
	return err ? 1 : 0;
}
