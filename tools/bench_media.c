/* tools/bench_media.c -- the edge's XDP relay beside a bare XDP redirect and beside rtpengine, in one run, alternating.
 *
 * In: the namespaces that tools/bench made (--lab NAME). Out: a table, or with -j one JSON object: bare_ratio by number of flows,
 * rtpengine_ratio, pps_per_cpu_s, loss, p50_us, p99_us (medians over the rounds; spread: min and max). The relay runs as the edge loads it: same loader, same
 * maps, flows installed through user/maps.h; the outside addresses are five, so that 100,000 flows have ports.
 * Owner rules: the lab owns frames and programs; flows live in maps pinned under an instance of the bench's own. */
#include <arpa/inet.h>
#include <errno.h>
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <jansson.h>

#include "tools/bench_lab.h"
#include "tools/bench_relay.h"
#include "tools/bench_stat.h"
#include "user/bpf_load.h"
#include "user/maps.h"
#include "user/srtp.h"

#define LATCH_TRIES 3
#define PAIRS	    5
#define RANGE	    24000
#define OFFERED_PPS 1000000u
#define SIZES	    3

static const unsigned flow_counts[SIZES] = {1, 1000, 100000};
static const struct bench_layout layout = {PAIRS, RANGE};

struct bench {
	struct lab *lab;
	struct maps *maps;
	const char *instance;
	unsigned rounds, seconds_x10;
	enum rung rung; /* of the relay */
	struct lab_result bare[SIZES][BENCH_ROUNDS_MAX], relay[SIZES][BENCH_ROUNDS_MAX],
		rtpengine[BENCH_ROUNDS_MAX], latency[BENCH_ROUNDS_MAX];
};

static int bench_relay_start(struct bench *b)
{
	struct lab_lane *lane = lab_lane(b->lab, 1);
	struct maps_pair pairs[PAIRS];
	struct bpf_load_params lp = {.instance = b->instance,
				     .pairs = pairs,
				     .n_pairs = PAIRS,
				     .punch_port = 2777,
				     .rung = b->rung};
	struct media_rung rungs[RUNG_PAIRS_MAX];
	struct maps_fds fds;
	char why[256] = "";
	int err = lab_enter(b->lab, lane);

	bench_pairs(&layout, pairs);
	if (!err)
		err = bpf_load(&lp, &fds, rungs, why, sizeof(why));
	if (!err)
		err = maps_open(&fds, pairs, PAIRS, &b->maps);
	if (!err)
		err = bench_install(&layout, b->maps, lane, flow_counts[SIZES - 1]);
	if (err)
		fprintf(stderr, "bench: relay: %s %s\n", strerror(-err), why);
	return err;
}

static unsigned bench_latched(const struct bench *b)
{
	struct maps_flow_report rep;
	unsigned i, n = 0;

	for (i = 0; i < flow_counts[SIZES - 1]; i++)
		if (maps_flow_read(b->maps, bench_slot(&layout, i), &rep) == 0 &&
		    rep.latched.port == BENCH_CLIENT_PORT)
			n++;
	return n;
}

/* Every flow, until each is latched: a burst that finds the receiving thread asleep is lost in veth's ring. */
static int bench_latch(struct bench *b)
{
	struct lab_run r = {.lane = lab_lane(b->lab, 1),
			    .packets = flow_counts[SIZES - 1],
			    .frames = flow_counts[SIZES - 1],
			    .pps = 200000,
			    .rtp = true};
	struct lab_result out;
	unsigned try, latched = 0;
	int err = 0;

	for (try = 0; !err && try < LATCH_TRIES && latched < flow_counts[SIZES - 1]; try++) {
		err = lab_measure(b->lab, &r, &out);
		latched = bench_latched(b);
	}
	if (err || latched != flow_counts[SIZES - 1]) {
		fprintf(stderr, "bench: %u of %u flows latched (sent %llu, received %llu): %s\n",
			latched, flow_counts[SIZES - 1], (unsigned long long)out.sent,
			(unsigned long long)out.received, strerror(-err));
		return err ? err : -EPROTO;
	}
	return 0;
}

static int bench_xdp_round(struct bench *b, unsigned round)
{
	unsigned s;
	int err = 0;

	bench_frames(&layout, b->lab, lab_lane(b->lab, 1), flow_counts[SIZES - 1]);
	if (round == 0)
		err = bench_latch(b);
	for (s = 0; !err && s < SIZES; s++) {
		struct lab_run r = {.packets = (uint64_t)OFFERED_PPS * b->seconds_x10 / 10,
				    .frames = flow_counts[s],
				    .random = true,
				    .pps = OFFERED_PPS,
				    .rtp = true};

		r.lane = lab_lane(b->lab, round % 2);
		err = lab_measure(b->lab, &r, round % 2 ? &b->relay[s][round] : &b->bare[s][round]);
		r.lane = lab_lane(b->lab, 1 - round % 2);
		if (!err)
			err = lab_measure(b->lab, &r,
					  round % 2 ? &b->bare[s][round] : &b->relay[s][round]);
	}
	if (!err) {
		struct lab_run r = {.lane = lab_lane(b->lab, 1),
				    .frames = BENCH_CALLS,
				    .random = true,
				    .stamp = true,
				    .rtp = true};

		r.pps = (uint64_t)(b->relay[1][round].pps_per_cpu_s / 2);
		r.packets = r.pps * b->seconds_x10 / 10;
		err = lab_measure(b->lab, &r, &b->latency[round]);
	}
	return err;
}

/* ---- results --------------------------------------------------------------------------------------------------------------- */

static double bench_percentile(const struct bench *b, bool p99)
{
	double v[BENCH_ROUNDS_MAX];
	unsigned i;

	for (i = 0; i < b->rounds; i++)
		v[i] = p99 ? b->latency[i].p99_us : b->latency[i].p50_us;
	return bench_spread(v, b->rounds).median;
}

static void bench_print_table(const struct bench *b)
{
	unsigned s;

	printf("thousand packets per CPU-second of the device under test, min-median-max of %u "
	       "rounds; 224-byte frames, one way; relay on %s\n",
	       b->rounds, b->rung == RUNG_TC ? "tc" : "XDP");
	printf("%-12s %-20s %-20s %-17s %s\n", "flows", "bare redirect", "sallyport relay", "ratio",
	       "loss bare, relay");
	for (s = 0; s < SIZES; s++) {
		struct bench_spread x = bench_rate(b->bare[s], b->rounds),
				    y = bench_rate(b->relay[s], b->rounds),
				    q = bench_ratio(b->relay[s], b->bare[s], b->rounds);

		printf("%-12u %5.0f-%5.0f-%5.0f    %5.0f-%5.0f-%5.0f    %.2f-%.2f-%.2f    %.3f %%, "
		       "%.3f %%\n",
		       flow_counts[s], x.min / 1e3, x.median / 1e3, x.max / 1e3, y.min / 1e3,
		       y.median / 1e3, y.max / 1e3, q.min, q.median, q.max,
		       100 * bench_loss(b->bare[s], b->rounds),
		       100 * bench_loss(b->relay[s], b->rounds));
	}
	{
		struct bench_spread x = bench_rate(b->rtpengine, b->rounds),
				    q = bench_ratio(b->relay[1], b->rtpengine, b->rounds);

		printf("rtpengine, %u SRTP calls: %.0f-%.0f-%.0f, loss %.3f %%; relay at 1000 "
		       "flows is %.1f-%.1f-%.1f times that\n",
		       BENCH_CALLS, x.min / 1e3, x.median / 1e3, x.max / 1e3,
		       100 * bench_loss(b->rtpengine, b->rounds), q.min, q.median, q.max);
	}
	printf("latency through the relay at half load, 1000 flows: p50 %.1f us, p99 %.1f us\n",
	       bench_percentile(b, false), bench_percentile(b, true));
}

/* all[name] = {flows: spread}, of rates, or of their ratios to @of's. */
static void bench_spread_flows(json_t *all, const char *name,
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

static void bench_print_json(const struct bench *b)
{
	json_t *ratio = json_object(), *pps = json_object(), *bare = json_object(),
	       *loss = json_object(), *all = json_object(), *o;
	char key[16];
	unsigned s;

	for (s = 0; s < SIZES; s++) {
		snprintf(key, sizeof(key), "%u", flow_counts[s]);
		json_object_set_new(
			ratio, key,
			json_real(bench_ratio(b->relay[s], b->bare[s], b->rounds).median));
		json_object_set_new(pps, key, json_real(bench_rate(b->relay[s], b->rounds).median));
		json_object_set_new(bare, key, json_real(bench_rate(b->bare[s], b->rounds).median));
		json_object_set_new(loss, key, json_real(bench_loss(b->relay[s], b->rounds)));
	}
	bench_spread_flows(all, "bare_ratio", b->relay, b->bare, b->rounds);
	bench_spread_flows(all, "pps_per_cpu_s", b->relay, NULL, b->rounds);
	bench_spread_flows(all, "bare_pps_per_cpu_s", b->bare, NULL, b->rounds);
	json_object_set_new(all, "rtpengine_ratio",
			    bench_spread_json(bench_ratio(b->relay[1], b->rtpengine, b->rounds)));
	json_object_set_new(all, "rtpengine_pps_per_cpu_s",
			    bench_spread_json(bench_rate(b->rtpengine, b->rounds)));
	o = json_pack("{s:s, s:s, s:i, s:o, s:f, s:o, s:o, s:o, s:f, s:f, s:f, s:f, s:o}", "bench",
		      "media", "rung", b->rung == RUNG_TC ? "tc" : "xdp", "rounds", (int)b->rounds,
		      "bare_ratio", ratio, "rtpengine_ratio",
		      bench_ratio(b->relay[1], b->rtpengine, b->rounds).median, "pps_per_cpu_s",
		      pps, "bare_pps_per_cpu_s", bare, "loss", loss, "rtpengine_pps_per_cpu_s",
		      bench_rate(b->rtpengine, b->rounds).median, "rtpengine_loss",
		      bench_loss(b->rtpengine, b->rounds), "p50_us", bench_percentile(b, false),
		      "p99_us", bench_percentile(b, true), "spread", all);
	json_dumpf(o, stdout, JSON_INDENT(1) | JSON_REAL_PRECISION(6));
	putchar('\n');
	json_decref(o);
}

static int bench_run(struct bench *b)
{
	unsigned i;
	int err = srtp_init(SRTP_AUTO);

	if (!err)
		err = lab_attach_bare(b->lab, lab_lane(b->lab, 0));
	if (!err)
		err = lab_attach_pass(b->lab, lab_lane(b->lab, 2));
	if (!err)
		err = bench_relay_start(b);
	for (i = 0; !err && i < LAB_LANES; i++)
		err = lab_find_napi(lab_lane(b->lab, i));
	for (i = 0; !err && i < b->rounds; i++) {
		fprintf(stderr, "bench: round %u of %u\n", i + 1, b->rounds);
		err = bench_xdp_round(b, i);
		if (!err)
			err = bench_rtpengine_best(b->lab, &b->rtpengine[i]);
	}
	return err;
}

int main(int argc, char **argv)
{
	static const struct option longs[] = {
		{"lab", required_argument, NULL, 'L'}, {"rung", required_argument, NULL, 'R'}, {0}};
	static struct bench b = {.rounds = 5, .seconds_x10 = 10, .rung = RUNG_XDP};
	const char *lab = NULL;
	char instance[64];
	bool json = false;
	int c, err;

	while ((c = getopt_long(argc, argv, "jqr:", longs, NULL)) != -1) {
		if (c == 'L')
			lab = optarg;
		else if (c == 'R' && (!strcmp(optarg, "tc") || !strcmp(optarg, "xdp")))
			b.rung = *optarg == 't' ? RUNG_TC : RUNG_XDP;
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
			"bench-media is run by tools/bench media [-j] [-q] [--rung xdp|tc] [-r "
			"1..%u]\n",
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
		bench_print_json(&b);
	else
		bench_print_table(&b);
	maps_close(b.maps);
	bpf_unload(instance);
	lab_close(b.lab);
	return err ? 1 : 0;
}
