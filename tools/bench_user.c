/* tools/bench_user.c -- the edge's rung on sockets beside its XDP relay and beside rtpengine, in one run, alternating.
 *
 * In: the namespaces that tools/bench made (--lab NAME). Lane 0: the XDP relay, lane 1: media_user in a process of its own, with the same
 * flows, lane 2: rtpengine. Out: a table, or with -j one JSON object: xdp_ratio and pps_per_cpu_s by number of flows, rtpengine_ratio, loss,
 * p50_us, p99_us (medians over the rounds). A rate is what a CPU-second does at the highest rate that loses less than 0.1 % and leaves no
 * queue; more than 1000 flows would be more sockets than this rung takes.
 * Owner rules: the lab owns frames and programs; the relay's process ends with its parent. */
#include <errno.h>
#include <getopt.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <jansson.h>

#include "tools/bench_relay.h"
#include "tools/bench_stat.h"
#include "user/bpf_load.h"
#include "user/maps_memory.h"
#include "user/media_user.h"
#include "user/sockpool.h"
#include "user/srtp.h"

#define FLOWS	  1000
#define SIZES	  2
#define XDP_PPS	  1000000u
#define LOSS_MAX  0.001
#define QUEUE_MAX 0.02

static const unsigned flow_counts[SIZES] = {1, FLOWS};
static const struct bench_layout layout = {1, FLOWS};

struct bench {
	struct lab *lab;
	struct maps *maps;
	const char *instance;
	pid_t relay;
	unsigned rounds;
	struct lab_result xdp[SIZES][BENCH_ROUNDS_MAX], user[SIZES][BENCH_ROUNDS_MAX],
		rtpengine[BENCH_ROUNDS_MAX], latency[BENCH_ROUNDS_MAX];
};

/* ---- the relays ---------------------------------------------------------------------------------------------------------- */

static int xdp_start(struct bench *b)
{
	struct lab_lane *lane = lab_lane(b->lab, 0);
	struct maps_pair pair;
	struct bpf_load_params lp = {.instance = b->instance,
				     .pairs = &pair,
				     .n_pairs = 1,
				     .punch_port = 2777,
				     .rung = RUNG_XDP};
	struct media_rung rungs[RUNG_PAIRS_MAX];
	struct maps_fds fds;
	char why[256] = "";
	int err = lab_enter(b->lab, lane);

	bench_pairs(&layout, &pair);
	if (!err)
		err = bpf_load(&lp, &fds, rungs, why, sizeof(why));
	if (!err)
		err = maps_open(&fds, &pair, 1, &b->maps);
	if (!err)
		err = bench_install(&layout, b->maps, lane, FLOWS);
	if (err)
		fprintf(stderr, "bench: XDP relay: %s %s\n", strerror(-err), why);
	return err;
}

static int sockets_bind(struct media_user_params *p, char *why, size_t why_n)
{
	static struct keeper_plan plan;
	static const char *const names[2] = {"out", "in"};
	unsigned i, k;
	int err = 0;

	for (i = 0; i < 2 && !err; i++) {
		struct sockpool_wish w = {.name = names[i],
					  .setting = "FLOWS",
					  .first = i ? p->pairs[0].inside : p->pairs[0].outside,
					  .n = FLOWS,
					  .step = 1,
					  .rcvbuf = MEDIA_USER_RCVBUF};

		w.first.port = i ? p->pairs[0].inside_base : p->pairs[0].outside_base;
		w.end = w.first.port + FLOWS;
		err = sockpool_bind(&plan, &w, why, why_n);
		for (k = 0; k < FLOWS && !err; k++)
			err = media_user_socket(plan.fds[i].fd + (int)k, true);
		p->side[0][i].first_fd = plan.fds[i].fd;
	}
	return err;
}

static void punched(void *arg, const struct addr *from, struct span data)
{
	(void)arg;
	(void)from;
	(void)data;
}

/* The relay as the edge's worker runs it, but for TLS and the link. Returns only on failure. */
static int relay_run(struct bench *b, int ready)
{
	struct loop_params lp = {.entries = 4096,
				 .ops_max = 4096,
				 .recv_bufs = MEDIA_USER_BUFS,
				 .send_bufs = MEDIA_USER_SENDS,
				 .buf_size = 2048,
				 .recv_control = MEDIA_USER_CONTROL};
	struct rlimit files = {8192, 8192};
	struct maps_pair pair;
	struct media_user_params p = {.pairs = &pair, .n_pairs = 1, .punch = punched};
	struct media_user *user = NULL;
	char why[256] = "";
	int err, fd;

	setrlimit(RLIMIT_NOFILE, &files);
	bench_pairs(&layout, &pair);
	err = lab_enter(b->lab, lab_lane(b->lab, 1));
	if (!err)
		err = sockets_bind(&p, why, sizeof(why));
	if (!err)
		err = loop_new(&lp, &p.loop);
	if (!err) {
		fd = maps_memory_make(&pair, 1);
		err = fd < 0 ? fd : maps_memory_open(fd, &pair, 1, &p.maps);
	}
	if (!err)
		err = bench_install(&layout, p.maps, lab_lane(b->lab, 1), FLOWS);
	if (!err)
		err = media_user_new(&p, &user);
	if (!err)
		err = write(ready, "", 1) == 1 ? loop_run(p.loop) : -EPIPE;
	fprintf(stderr, "bench: relay on sockets: %s %s\n", strerror(-err), why);
	return err;
}

static int relay_start(struct bench *b)
{
	int ready[2];
	cpu_set_t set;
	char c;

	if (pipe(ready))
		return -errno;
	b->relay = fork();
	if (b->relay == 0) {
		CPU_ZERO(&set);
		CPU_SET(1, &set);
		sched_setaffinity(0, sizeof(set), &set);
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		close(ready[0]);
		relay_run(b, ready[1]);
		_exit(1);
	}
	close(ready[1]);
	if (b->relay < 0 || read(ready[0], &c, 1) != 1)
		return -ECHILD;
	return close(ready[0]);
}

/* ---- measuring ----------------------------------------------------------------------------------------------------------- */

/* From low to high, so that no queue of an overload is left to the next rate. */
static int user_best(struct bench *b, unsigned flows, struct lab_result *out)
{
	static const unsigned rates[] = {50000,	 70000,	 100000, 130000, 160000,
					 200000, 250000, 300000, 350000};
	struct lab_result r;
	unsigned i, tries = 3; /* of the first rate: a pause of the machine may fall into it */
	int err = 0;

	for (i = 0; i < sizeof(rates) / sizeof(rates[0]) && !err; i++) {
		struct lab_run run = {.lane = lab_lane(b->lab, 1),
				      .packets = rates[i],
				      .pps = rates[i],
				      .frames = flows,
				      .random = true,
				      .rtp = true,
				      .dut = b->relay};

		do
			err = lab_measure(b->lab, &run, &r);
		while (!err && !i && (r.loss > LOSS_MAX || r.behind > QUEUE_MAX) && --tries);
		if (err || r.loss > LOSS_MAX || r.behind > QUEUE_MAX)
			break;
		*out = r;
	}
	if (!err && !i) {
		fprintf(stderr, "bench: sockets lost %.3f %% at %u packets a second\n",
			100 * r.loss, rates[0]);
		return -EPROTO;
	}
	sleep(1); /* what the last one left */
	return err;
}

static int xdp_best(struct bench *b, unsigned flows, struct lab_result *out)
{
	struct lab_run run = {.lane = lab_lane(b->lab, 0),
			      .packets = XDP_PPS,
			      .pps = XDP_PPS,
			      .frames = flows,
			      .random = true,
			      .rtp = true};

	bench_frames(&layout, b->lab, lab_lane(b->lab, 0), flows);
	return lab_measure(b->lab, &run, out);
}

static int bench_round(struct bench *b, unsigned round)
{
	struct lab_run half = {.lane = lab_lane(b->lab, 1),
			       .frames = FLOWS,
			       .random = true,
			       .stamp = true,
			       .rtp = true,
			       .dut = b->relay};
	unsigned s, k;
	int err = 0;

	for (s = 0; s < SIZES && !err; s++)
		for (k = 0; k < 2 && !err; k++) {
			if ((round + k) & 1) {
				err = xdp_best(b, flow_counts[s], &b->xdp[s][round]);
				continue;
			}
			bench_frames(&layout, b->lab, lab_lane(b->lab, 1), flow_counts[s]);
			err = user_best(b, flow_counts[s], &b->user[s][round]);
		}
	if (err)
		return err;
	bench_frames(&layout, b->lab, lab_lane(b->lab, 1), FLOWS);
	half.pps = (uint64_t)(b->user[1][round].pps_per_cpu_s / 2);
	half.packets = half.pps;
	err = lab_measure(b->lab, &half, &b->latency[round]);
	return err ? err : bench_rtpengine_best(b->lab, &b->rtpengine[round]);
}

static int bench_run(struct bench *b)
{
	unsigned i;
	int err = srtp_init(SRTP_AUTO);

	if (!err)
		err = xdp_start(b);
	if (!err)
		err = lab_attach_pass(b->lab, lab_lane(b->lab, 1));
	if (!err)
		err = lab_attach_pass(b->lab, lab_lane(b->lab, 2));
	if (!err)
		err = relay_start(b);
	for (i = 0; !err && i < LAB_LANES; i++)
		err = lab_find_napi(lab_lane(b->lab, i));
	for (i = 0; !err && i < b->rounds; i++) {
		fprintf(stderr, "bench: round %u of %u\n", i + 1, b->rounds);
		err = bench_round(b, i);
	}
	return err;
}

/* ---- results ------------------------------------------------------------------------------------------------------------- */

static double percentile(const struct bench *b, bool p99)
{
	double v[BENCH_ROUNDS_MAX];
	unsigned i;

	for (i = 0; i < b->rounds; i++)
		v[i] = p99 ? b->latency[i].p99_us : b->latency[i].p50_us;
	return bench_spread(v, b->rounds).median;
}

static void print_table(const struct bench *b)
{
	struct bench_spread x = bench_rate(b->rtpengine, b->rounds),
			    q = bench_ratio(b->user[1], b->rtpengine, b->rounds);
	unsigned s;

	printf("thousand packets per CPU-second of the device under test, min-median-max of %u "
	       "rounds; 224-byte frames, one way\n",
	       b->rounds);
	printf("%-8s %-20s %-20s %-22s %s\n", "flows", "sockets", "XDP relay", "ratio",
	       "loss sockets, XDP");
	for (s = 0; s < SIZES; s++) {
		struct bench_spread u = bench_rate(b->user[s], b->rounds),
				    y = bench_rate(b->xdp[s], b->rounds),
				    r = bench_ratio(b->user[s], b->xdp[s], b->rounds);

		printf("%-8u %5.0f-%5.0f-%5.0f    %5.0f-%5.0f-%5.0f    %.3f-%.3f-%.3f      "
		       "%.3f %%, %.3f %%\n",
		       flow_counts[s], u.min / 1e3, u.median / 1e3, u.max / 1e3, y.min / 1e3,
		       y.median / 1e3, y.max / 1e3, r.min, r.median, r.max,
		       100 * bench_loss(b->user[s], b->rounds),
		       100 * bench_loss(b->xdp[s], b->rounds));
	}
	printf("rtpengine, %u SRTP calls: %.0f-%.0f-%.0f, loss %.3f %%; sockets at %u flows are "
	       "%.2f-%.2f-%.2f times that\n",
	       BENCH_CALLS, x.min / 1e3, x.median / 1e3, x.max / 1e3,
	       100 * bench_loss(b->rtpengine, b->rounds), FLOWS, q.min, q.median, q.max);
	printf("latency through the sockets at half load, %u flows: p50 %.1f us, p99 %.1f us\n",
	       FLOWS, percentile(b, false), percentile(b, true));
}

/* all[name] = {flows: spread}, of rates, or of their ratios to @of's. */
static void spread_flows(json_t *all, const char *name,
			 const struct lab_result r[SIZES][BENCH_ROUNDS_MAX],
			 const struct lab_result of[SIZES][BENCH_ROUNDS_MAX], unsigned rounds)
{
	json_t *o = json_object();
	char key[16];
	unsigned s;

	for (s = 0; s < SIZES; s++) {
		snprintf(key, sizeof(key), "%u", flow_counts[s]);
		json_object_set_new(o, key,
				    bench_spread_json(of ? bench_ratio(r[s], of[s], rounds)
							 : bench_rate(r[s], rounds)));
	}
	json_object_set_new(all, name, o);
}

static void print_json(const struct bench *b)
{
	json_t *ratio = json_object(), *pps = json_object(), *xdp = json_object(),
	       *loss = json_object(), *all = json_object(), *o;
	char key[16];
	unsigned s;

	for (s = 0; s < SIZES; s++) {
		snprintf(key, sizeof(key), "%u", flow_counts[s]);
		json_object_set_new(
			ratio, key,
			json_real(bench_ratio(b->user[s], b->xdp[s], b->rounds).median));
		json_object_set_new(pps, key, json_real(bench_rate(b->user[s], b->rounds).median));
		json_object_set_new(xdp, key, json_real(bench_rate(b->xdp[s], b->rounds).median));
		json_object_set_new(loss, key, json_real(bench_loss(b->user[s], b->rounds)));
	}
	spread_flows(all, "xdp_ratio", b->user, b->xdp, b->rounds);
	spread_flows(all, "pps_per_cpu_s", b->user, NULL, b->rounds);
	spread_flows(all, "xdp_pps_per_cpu_s", b->xdp, NULL, b->rounds);
	json_object_set_new(all, "rtpengine_ratio",
			    bench_spread_json(bench_ratio(b->user[1], b->rtpengine, b->rounds)));
	json_object_set_new(all, "rtpengine_pps_per_cpu_s",
			    bench_spread_json(bench_rate(b->rtpengine, b->rounds)));
	o = json_pack("{s:s, s:s, s:i, s:o, s:f, s:o, s:o, s:o, s:f, s:f, s:f, s:f, s:o}", "bench",
		      "media", "rung", "user", "rounds", (int)b->rounds, "xdp_ratio", ratio,
		      "rtpengine_ratio", bench_ratio(b->user[1], b->rtpengine, b->rounds).median,
		      "pps_per_cpu_s", pps, "xdp_pps_per_cpu_s", xdp, "loss", loss,
		      "rtpengine_pps_per_cpu_s", bench_rate(b->rtpengine, b->rounds).median,
		      "rtpengine_loss", bench_loss(b->rtpengine, b->rounds), "p50_us",
		      percentile(b, false), "p99_us", percentile(b, true), "spread", all);
	json_dumpf(o, stdout, JSON_INDENT(1) | JSON_REAL_PRECISION(6));
	putchar('\n');
	json_decref(o);
}

int main(int argc, char **argv)
{
	static const struct option longs[] = {
		{"lab", required_argument, NULL, 'L'}, {"rung", required_argument, NULL, 'R'}, {0}};
	static struct bench b = {.rounds = 5};
	const char *lab = NULL;
	char instance[64];
	bool json = false;
	int c, err;

	while ((c = getopt_long(argc, argv, "jqr:", longs, NULL)) != -1) {
		if (c == 'L')
			lab = optarg;
		else if (c == 'R' && !strcmp(optarg, "user"))
			continue; /* why this program was chosen */
		else if (c == 'j')
			json = true;
		else if (c == 'q')
			b.rounds = 1;
		else if (c == 'r')
			b.rounds = (unsigned)strtoul(optarg, NULL, 10);
		else
			return 2;
	}
	if (!lab || !b.rounds || b.rounds > BENCH_ROUNDS_MAX) {
		fprintf(stderr,
			"bench-user is run by tools/bench media --rung user [-j] [-q] [-r 1..%u]\n",
			BENCH_ROUNDS_MAX);
		return 2;
	}
	snprintf(instance, sizeof(instance), "bench%s", strrchr(lab, '-') ? strrchr(lab, '-') : "");
	b.instance = instance;
	err = lab_open(lab, &b.lab);
	if (err)
		return 1;
	err = bench_run(&b);
	if (err)
		fprintf(stderr, "bench: %s\n", strerror(-err));
	else if (json)
		print_json(&b);
	else
		print_table(&b);
	if (b.relay > 0) {
		kill(b.relay, SIGKILL);
		waitpid(b.relay, NULL, 0);
	}
	maps_close(b.maps);
	bpf_unload(instance);
	lab_close(b.lab);
	return err ? 1 : 0;
}
