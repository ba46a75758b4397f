/* tools/bench_lab.c -- lanes, generator, sink and cost accounting of the bench. See bench_lab.h. */
#include "tools/bench_lab.h"

#include <arpa/inet.h>
#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <net/if.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "bpf/bench.skel.h"

#define LAB_LINKS 16

struct lab {
	struct bench_bpf *skel;
	struct bench_frame *frames;
	struct lab_lane lanes[LAB_LANES];
	struct bpf_link *links[LAB_LINKS];
	unsigned n_links;
	int ns_gen, ns_lane[LAB_LANES];
};

struct lab_lane *lab_lane(struct lab *l, unsigned i)
{
	return &l->lanes[i];
}

struct bench_frame *lab_frames(struct lab *l)
{
	return l->frames;
}

static double lab_now(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

/* ---- namespaces, interfaces, kthreads ------------------------------------------------------------------------------------ */

int lab_enter(struct lab *l, const struct lab_lane *lane)
{
	int fd = lane ? l->ns_lane[lane - l->lanes] : l->ns_gen;

	return setns(fd, CLONE_NEWNET) ? -errno : 0;
}

static int lab_ns_open(const char *name)
{
	char path[64];

	snprintf(path, sizeof(path), "/run/netns/%s", name);
	return open(path, O_RDONLY | O_CLOEXEC);
}

static int lab_if_info(const char *name, unsigned *index, uint8_t mac[6])
{
	int s = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0), err;
	struct ifreq r = {};

	snprintf(r.ifr_name, sizeof(r.ifr_name), "%s", name);
	err = s < 0 || ioctl(s, SIOCGIFHWADDR, &r) ? -errno : 0;
	if (s >= 0)
		close(s);
	memcpy(mac, r.ifr_hwaddr.sa_data, 6);
	*index = if_nametoindex(name);
	return err ? err : *index ? 0 : -ENODEV;
}

/* The kthread "napi/IF-ID" of an interface, or 0. */
static pid_t lab_napi_of(const char *ifname)
{
	char want[24], path[300], comm[32];
	struct dirent *e;
	pid_t found = 0;
	DIR *d = opendir("/proc");

	snprintf(want, sizeof(want), "napi/%s-", ifname);
	want[15] = 0; /* the kernel cuts names at 15 bytes */
	while (d && !found && (e = readdir(d))) {
		FILE *f;

		if (e->d_name[0] < '0' || e->d_name[0] > '9')
			continue;
		snprintf(path, sizeof(path), "/proc/%s/comm", e->d_name);
		f = fopen(path, "re");
		if (!f)
			continue;
		if (fgets(comm, sizeof(comm), f) && !strncmp(comm, want, strlen(want)))
			found = (pid_t)atoi(e->d_name);
		fclose(f);
	}
	if (d)
		closedir(d);
	return found;
}

static int lab_pin(pid_t pid, int cpu, bool fifo)
{
	struct sched_param sp = {.sched_priority = 1};
	cpu_set_t set;

	CPU_ZERO(&set);
	CPU_SET(cpu, &set);
	if (sched_setaffinity(pid, sizeof(set), &set) ||
	    (fifo && sched_setscheduler(pid, SCHED_FIFO, &sp)))
		return -errno;
	return 0;
}

/* The other way's: eN receives, gN sinks. */
static int lab_find_napi_back(struct lab_lane *lane)
{
	lane->napi_out = lab_napi_of(lane->out_if);
	lane->napi_gen = lab_napi_of(lane->gen_if);
	if (!lane->napi_out || !lane->napi_gen || lab_pin(lane->napi_out, 1, true) ||
	    lab_pin(lane->napi_gen, 0, true)) {
		fprintf(stderr, "bench: no threaded NAPI on %s or %s, or it cannot be pinned\n",
			lane->out_if, lane->gen_if);
		return -ENOENT;
	}
	return 0;
}

int lab_find_napi(struct lab_lane *lane)
{
	lane->napi_in = lab_napi_of(lane->in_if);
	lane->napi_sink = lab_napi_of(lane->sink_if);
	if (!lane->napi_in || !lane->napi_sink) {
		fprintf(stderr, "bench: no threaded NAPI on %s or %s\n", lane->in_if,
			lane->sink_if);
		return -ENOENT;
	}
	if (lab_pin(lane->napi_in, 1, true) || lab_pin(lane->napi_sink, 0, true)) {
		fprintf(stderr, "bench: cannot pin NAPI threads: %s\n", strerror(errno));
		return -errno;
	}
	return lane->both ? lab_find_napi_back(lane) : 0;
}

static int lab_lane_open(struct lab *l, const char *name, const char *tail, unsigned i)
{
	struct lab_lane *n = &l->lanes[i];
	int err;

	snprintf(n->ns, sizeof(n->ns), "%s-%u", name, i);
	snprintf(n->gen_if, sizeof(n->gen_if), "g%u%.8s", i, tail);
	snprintf(n->in_if, sizeof(n->in_if), "d%u%.8s", i, tail);
	snprintf(n->out_if, sizeof(n->out_if), "e%u%.8s", i, tail);
	snprintf(n->sink_if, sizeof(n->sink_if), "s%u%.8s", i, tail);
	l->ns_lane[i] = lab_ns_open(n->ns);
	if (l->ns_lane[i] < 0)
		return -errno;
	err = lab_enter(l, NULL);
	if (!err)
		err = lab_if_info(n->gen_if, &n->gen_index, n->gen_mac);
	if (!err)
		err = lab_if_info(n->sink_if, &n->sink_index, n->sink_mac);
	if (!err)
		err = lab_enter(l, n);
	if (!err)
		err = lab_if_info(n->in_if, &n->in_index, n->in_mac);
	if (!err)
		err = lab_if_info(n->out_if, &n->out_index, n->out_mac);
	return err;
}

/* ---- programs ------------------------------------------------------------------------------------------------------------ */

static int lab_attach(struct lab *l, struct bpf_program *p, unsigned ifindex)
{
	struct bpf_link *k = bpf_program__attach_xdp(p, (int)ifindex);

	if (!k) {
		fprintf(stderr, "bench: attach %s: %s\n", bpf_program__name(p), strerror(errno));
		return -errno;
	}
	l->links[l->n_links++] = k;
	return 0;
}

int lab_attach_bare(struct lab *l, const struct lab_lane *lane)
{
	uint32_t key = 0, out = lane->out_index;
	int err = lab_enter(l, lane);

	if (!err)
		err = bpf_map_update_elem(bpf_map__fd(l->skel->maps.bare_tx), &key, &out, BPF_ANY);
	return err ? err : lab_attach(l, l->skel->progs.bench_bare, lane->in_index);
}

int lab_attach_pass(struct lab *l, const struct lab_lane *lane)
{
	int err = lab_enter(l, lane);

	return err ? err : lab_attach(l, l->skel->progs.bench_pass, lane->in_index);
}

int lab_attach_both(struct lab *l, struct lab_lane *lane)
{
	int err = lab_attach_pass(l, lane);

	if (!err)
		err = lab_attach(l, l->skel->progs.bench_pass, lane->out_index);
	if (!err)
		err = lab_enter(l, NULL);
	if (!err)
		err = lab_attach(l, l->skel->progs.bench_sink, lane->gen_index);
	lane->both = !err;
	return err;
}

static int lab_load(struct lab *l)
{
	int err;

	l->skel = bench_bpf__open();
	if (!l->skel)
		return -errno;
	bpf_map__set_max_entries(l->skel->maps.frames, LAB_FRAMES_MAX);
	err = bench_bpf__load(l->skel);
	if (err)
		return err;
	l->frames = mmap(NULL, sizeof(struct bench_frame) * LAB_FRAMES_MAX, PROT_READ | PROT_WRITE,
			 MAP_SHARED, bpf_map__fd(l->skel->maps.frames), 0);
	return l->frames == MAP_FAILED ? -errno : 0;
}

int lab_open(const char *name, struct lab **out)
{
	const char *tail = strrchr(name, '-');
	struct lab *l = calloc(1, sizeof(*l));
	char gen[40];
	unsigned i;
	int err;

	if (!l || !tail)
		return -EINVAL;
	libbpf_set_strict_mode(LIBBPF_STRICT_ALL);
	snprintf(gen, sizeof(gen), "%s-g", name);
	l->ns_gen = lab_ns_open(gen);
	err = l->ns_gen < 0 ? -errno : lab_load(l);
	for (i = 0; !err && i < LAB_LANES; i++)
		err = lab_lane_open(l, name, tail + 1, i);
	for (i = 0; !err && i < LAB_LANES; i++) {
		err = lab_enter(l, NULL);
		if (!err)
			err = lab_attach(l, l->skel->progs.bench_sink, l->lanes[i].sink_index);
	}
	if (!err)
		err = lab_pin(0, 0, false);
	if (err) {
		fprintf(stderr, "bench: laboratory %s: %s\n", name, strerror(-err));
		lab_close(l);
		return err;
	}
	*out = l;
	return 0;
}

void lab_close(struct lab *l)
{
	unsigned i;

	for (i = 0; i < l->n_links; i++)
		bpf_link__destroy(l->links[i]);
	bench_bpf__destroy(l->skel);
	for (i = 0; i < LAB_LANES; i++)
		if (l->ns_lane[i] > 0)
			close(l->ns_lane[i]);
	free(l);
}

pid_t lab_spawn(struct lab *l, const struct lab_lane *lane, char *const argv[], const char *log,
		const char *dir)
{
	int err = lab_enter(l, lane), out, null;
	char path[512];
	pid_t pid;

	if (err)
		return err;
	snprintf(path, sizeof(path), "%s/%s", dir, log);
	pid = fork();
	if (pid == 0) {
		null = open("/dev/null", O_RDONLY);
		out = open(path, O_WRONLY | O_CREAT | O_APPEND, 0600);
		lab_pin(0, 1, false);
		dup2(null, 0);
		dup2(out, 1);
		dup2(out, 2);
		execvp(argv[0], argv);
		_exit(127);
	}
	return pid < 0 ? -errno : pid;
}

/* ---- one measurement ------------------------------------------------------------------------------------------------------ */

static uint64_t lab_runtime(const char *path)
{
	unsigned long long ns = 0;
	FILE *f = fopen(path, "re");

	if (f && fscanf(f, "%llu", &ns) != 1)
		ns = 0;
	if (f)
		fclose(f);
	return ns;
}

/* CPU time in ns of the in-side kthread and all threads of @dut. */
static uint64_t lab_cost(const struct lab_lane *lane, pid_t dut)
{
	char path[320];
	uint64_t sum;
	struct dirent *e;
	DIR *d;

	snprintf(path, sizeof(path), "/proc/%d/schedstat", lane->napi_in);
	sum = lab_runtime(path);
	if (lane->both) {
		snprintf(path, sizeof(path), "/proc/%d/schedstat", lane->napi_out);
		sum += lab_runtime(path);
	}
	if (!dut)
		return sum;
	snprintf(path, sizeof(path), "/proc/%d/task", dut);
	d = opendir(path);
	while (d && (e = readdir(d))) {
		if (e->d_name[0] == '.')
			continue;
		snprintf(path, sizeof(path), "/proc/%d/task/%.16s/schedstat", dut, e->d_name);
		sum += lab_runtime(path);
	}
	if (d)
		closedir(d);
	return sum;
}

static double lab_percentile(const struct bench_sink_state *s, double share)
{
	uint64_t total = 0, seen = 0;
	unsigned i;

	for (i = 0; i < BENCH_BUCKETS; i++)
		total += s->buckets[i];
	for (i = 0; i < BENCH_BUCKETS; i++) {
		seen += s->buckets[i];
		if (total && (double)seen >= share * (double)total)
			return (i + 0.5) * BENCH_BUCKET_NS / 1000.0;
	}
	return 0;
}

/* Wait until no packet has arrived for 20 ms, at most 1 s. */
static void lab_drain(const volatile struct bench_sink_state *s)
{
	uint64_t last;
	unsigned i;

	for (i = 0; i < 50; i++) {
		last = s->packets;
		usleep(20000);
		if (s->packets == last)
			return;
	}
}

int lab_measure(struct lab *l, const struct lab_run *r, struct lab_result *out)
{
	static uint8_t frame[BENCH_FRAME_LEN];
	struct bench_gen_state *g = &l->skel->bss->gen;
	struct bench_sink_state *s = &l->skel->bss->sink;
	LIBBPF_OPTS(bpf_test_run_opts, opts, .data_in = frame, .data_size_in = sizeof(frame),
		    .repeat = (int)r->packets, .flags = BPF_F_TEST_XDP_LIVE_FRAMES,
		    .batch_size = 64);
	uint64_t before;
	double start;
	int err = lab_enter(l, NULL);

	if (err)
		return err;
	memset(s, 0, sizeof(*s));
	s->stamp = r->stamp;
	*g = (struct bench_gen_state){.burst_ns = r->pps ? 1000000000ull * BENCH_BURST / r->pps : 0,
				      .frames = r->frames,
				      .random = r->random,
				      .ifindex = r->lane->gen_index,
				      .stamp = r->stamp,
				      .rtp = r->rtp};
	before = lab_cost(r->lane, r->dut);
	start = lab_now();
	err = bpf_prog_test_run_opts(bpf_program__fd(l->skel->progs.bench_gen), &opts);
	if (err)
		return err;
	out->seconds = lab_now() - start;
	out->behind = g->sent ? 1.0 - (double)s->packets / (double)g->sent : 1.0;
	lab_drain(s);
	out->cpu_s = (double)(lab_cost(r->lane, r->dut) - before) / 1e9;
	out->sent = g->sent;
	out->received = s->packets;
	out->loss = out->sent ? 1.0 - (double)out->received / (double)out->sent : 1.0;
	out->pps_per_cpu_s = out->cpu_s > 0 ? (double)out->received / out->cpu_s : 0;
	out->p50_us = r->stamp ? lab_percentile(s, 0.50) : 0;
	out->p99_us = r->stamp ? lab_percentile(s, 0.99) : 0;
	return 0;
}

/* ---- frames --------------------------------------------------------------------------------------------------------------- */

static uint32_t lab_sum(const uint8_t *p, size_t n, uint32_t sum)
{
	size_t i;

	for (i = 0; i + 1 < n; i += 2)
		sum += (uint32_t)p[i] << 8 | p[i + 1];
	return sum;
}

static void lab_put_sum(uint8_t *at, uint32_t sum)
{
	uint16_t v;

	while (sum >> 16)
		sum = (sum & 0xffff) + (sum >> 16);
	v = (uint16_t)~sum;
	if (!v)
		v = 0xffff;
	at[0] = (uint8_t)(v >> 8);
	at[1] = (uint8_t)v;
}

static void lab_put(uint8_t *at, uint32_t v, unsigned n)
{
	for (; n; v >>= 8)
		at[--n] = (uint8_t)v;
}

void lab_frame_build(struct bench_frame *f, const struct lab_lane *lane, uint32_t saddr,
		     uint16_t sport, uint32_t daddr, uint16_t dport, const uint8_t *payload)
{
	uint8_t *eth = f->bytes, *ip = eth + 14, *udp = ip + 20;
	unsigned udp_n = BENCH_FRAME_LEN - 34;

	memset(f, 0, sizeof(*f));
	memcpy(eth, lane->in_mac, 6);
	memcpy(eth + 6, lane->gen_mac, 6);
	lab_put(eth + 12, 0x0800, 2);
	ip[0] = 0x45;
	lab_put(ip + 2, BENCH_FRAME_LEN - 14, 2);
	ip[8] = 64;
	ip[9] = IPPROTO_UDP;
	lab_put(ip + 12, saddr, 4);
	lab_put(ip + 16, daddr, 4);
	lab_put_sum(ip + 10, lab_sum(ip, 20, 0));
	lab_put(udp, sport, 2);
	lab_put(udp + 2, dport, 2);
	lab_put(udp + 4, udp_n, 2);
	memcpy(udp + 8, payload, BENCH_FRAME_LEN - 42);
	lab_put_sum(udp + 6, lab_sum(udp, udp_n, lab_sum(ip + 12, 8, IPPROTO_UDP + udp_n)));
}

void lab_rtp(uint8_t *p, uint16_t seq, uint32_t ssrc)
{
	memset(p, 0xd5, LAB_PAYLOAD);
	p[0] = 0x80;
	p[1] = 0;
	lab_put(p + 2, seq, 2);
	lab_put(p + 4, seq * 160u, 4);
	lab_put(p + 8, ssrc, 4);
}

void lab_frame_turn(struct bench_frame *f, const struct lab_lane *lane)
{
	memcpy(f->bytes, lane->out_mac, 6);
	memcpy(f->bytes + 6, lane->sink_mac, 6);
	f->ifindex = lane->sink_index;
}
