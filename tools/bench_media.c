/* tools/bench_media.c -- the edge's XDP relay beside a bare XDP redirect and beside rtpengine, in one run, alternating.
 *
 * In: the namespaces that tools/bench made (--lab NAME). Out: a table, or with -j one JSON object: bare_ratio by number of flows,
 * rtpengine_ratio, pps_per_cpu_s, loss, p50_us, p99_us (medians over the rounds). The relay runs as the edge loads it: same loader, same
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
#include "tools/bench_stat.h"
#include "user/bpf_load.h"
#include "user/maps.h"
#include "user/srtp.h"

#define PAIRS	    5
#define RANGE	    24000
#define BASE_PORT   36000
#define OFFERED_PPS 1000000u
#define CALLS	    1000
#define SIZES	    3
#define CLIENT_NET  0xc6120000u
#define CLIENT_PORT 20000

static const unsigned flow_counts[SIZES] = {1, 1000, 100000};

struct bench {
	struct lab *lab;
	struct maps *maps;
	const char *instance;
	unsigned rounds, seconds_x10;
	enum rung rung; /* of the relay */
	struct lab_result bare[SIZES][BENCH_ROUNDS_MAX], relay[SIZES][BENCH_ROUNDS_MAX],
		rtpengine[BENCH_ROUNDS_MAX], latency[BENCH_ROUNDS_MAX];
	uint64_t rtpengine_pps[BENCH_ROUNDS_MAX];
};

static struct addr bench_addr(const char *net, unsigned last, uint16_t port)
{
	char text[32];
	struct addr a = {};

	snprintf(text, sizeof(text), "%s%u", net, last);
	if (addr_parse(span_str(text), &a))
		abort();
	a.port = port;
	return a;
}

static uint32_t bench_slot(unsigned flow)
{
	return (flow % PAIRS) * RANGE + flow / PAIRS;
}

/* A plausible encrypted payload: RTP header, then bytes that differ from flow to flow. The relay does not look behind the header. */
static void bench_payload(uint8_t *p, unsigned flow)
{
	unsigned i;

	memset(p, 0, 12);
	p[0] = 0x80;
	p[8] = (uint8_t)(flow >> 24);
	p[9] = (uint8_t)(flow >> 16);
	p[10] = (uint8_t)(flow >> 8);
	p[11] = (uint8_t)flow;
	for (i = 12; i < BENCH_FRAME_LEN - 42; i++)
		p[i] = (uint8_t)(i * 131 + flow * 17);
}

static void bench_relay_frames(struct bench *b, const struct lab_lane *lane, unsigned flows)
{
	uint8_t payload[BENCH_FRAME_LEN - 42];
	unsigned i;

	for (i = 0; i < flows; i++) {
		bench_payload(payload, i);
		lab_frame_build(&lab_frames(b->lab)[i], lane, CLIENT_NET + 1 + i, CLIENT_PORT,
				ntohl(inet_addr("203.0.113.1")) + i % PAIRS,
				(uint16_t)(BASE_PORT + i / PAIRS), payload);
	}
}

static int bench_install(struct bench *b, const struct lab_lane *lane, unsigned flows)
{
	struct maps_next_hop nh = {.ifindex = lane->out_index, .mtu = 1500};
	unsigned i;
	int err;

	memcpy(nh.src_mac, lane->out_mac, 6);
	memcpy(nh.dst_mac, lane->sink_mac, 6);
	err = maps_next_hop_set(b->maps, 1, &nh);
	for (i = 0; !err && i < flows; i++) {
		struct in_addr client = {.s_addr = htonl(CLIENT_NET + 1 + i)};
		struct maps_flow f = {.id = i + 1, .nh_out = 1, .nh_in = 1};
		char text[INET_ADDRSTRLEN];

		inet_ntop(AF_INET, &client, text, sizeof(text));
		if (addr_parse(span_str(text), &f.client))
			return -EINVAL;
		f.core = bench_addr("172.31.0.", 100, 2776);
		err = maps_flow_install(b->maps, bench_slot(i), &f);
	}
	return err;
}

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
	unsigned i;
	int err = lab_enter(b->lab, lane);

	for (i = 0; i < PAIRS; i++)
		pairs[i] = (struct maps_pair){.outside = bench_addr("203.0.113.", i + 1, 0),
					      .inside = bench_addr("172.31.0.", i + 1, 0),
					      .outside_base = BASE_PORT,
					      .inside_base = BASE_PORT,
					      .range = RANGE};
	if (!err)
		err = bpf_load(&lp, &fds, rungs, why, sizeof(why));
	if (!err)
		err = maps_open(&fds, pairs, PAIRS, &b->maps);
	if (!err)
		err = bench_install(b, lane, flow_counts[SIZES - 1]);
	if (err)
		fprintf(stderr, "bench: relay: %s %s\n", strerror(-err), why);
	return err;
}

/* Every flow once, so that each is latched; the relay must have carried them all. */
static int bench_latch(struct bench *b)
{
	struct lab_run r = {.lane = lab_lane(b->lab, 1),
			    .packets = flow_counts[SIZES - 1],
			    .frames = flow_counts[SIZES - 1],
			    .pps = 200000};
	struct lab_result out;
	struct maps_flow_report rep;
	unsigned i, latched = 0;
	int err = lab_measure(b->lab, &r, &out);

	for (i = 0; !err && i < flow_counts[SIZES - 1]; i++)
		if (maps_flow_read(b->maps, bench_slot(i), &rep) == 0 &&
		    rep.latched.port == CLIENT_PORT)
			latched++;
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

	bench_relay_frames(b, lab_lane(b->lab, 1), flow_counts[SIZES - 1]);
	if (round == 0)
		err = bench_latch(b);
	for (s = 0; !err && s < SIZES; s++) {
		struct lab_run r = {.packets = (uint64_t)OFFERED_PPS * b->seconds_x10 / 10,
				    .frames = flow_counts[s],
				    .random = true,
				    .pps = OFFERED_PPS};

		r.lane = lab_lane(b->lab, round % 2);
		err = lab_measure(b->lab, &r, round % 2 ? &b->relay[s][round] : &b->bare[s][round]);
		r.lane = lab_lane(b->lab, 1 - round % 2);
		if (!err)
			err = lab_measure(b->lab, &r,
					  round % 2 ? &b->bare[s][round] : &b->relay[s][round]);
	}
	if (!err) {
		struct lab_run r = {.lane = lab_lane(b->lab, 1),
				    .frames = CALLS,
				    .random = true,
				    .stamp = true};

		r.pps = (uint64_t)(b->relay[1][round].pps_per_cpu_s / 2);
		r.packets = r.pps * b->seconds_x10 / 10;
		err = lab_measure(b->lab, &r, &b->latency[round]);
	}
	return err;
}

/* rtpengine gives streams up after an overload, so each rate is tried on a fresh process, from high to low, until less than
 * 0.1 % is lost. */
static int bench_rtpengine_round(struct bench *b, unsigned round)
{
	static const unsigned rates[] = {100000, 90000, 80000, 70000, 60000,
					 50000,	 40000, 30000, 20000};
	unsigned i, per_call = 160;

	for (i = 0; i < sizeof(rates) / sizeof(rates[0]); i++) {
		struct lab_run r = {.lane = lab_lane(b->lab, 2),
				    .packets = rates[i],
				    .pps = rates[i],
				    .frames = CALLS * per_call};
		pid_t pid = bench_rtpengine_start(b->lab, CALLS, per_call, false);
		int err;

		if (pid < 0)
			return pid;
		r.dut = pid;
		err = lab_measure(b->lab, &r, &b->rtpengine[round]);
		bench_rtpengine_stop(pid);
		if (err)
			return err;
		b->rtpengine_pps[round] = rates[i];
		if (b->rtpengine[round].loss < 0.001)
			return 0;
	}
	fprintf(stderr, "bench: rtpengine lost more than 0.1 %% at every rate\n");
	return -EPROTO;
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
		       CALLS, x.min / 1e3, x.median / 1e3, x.max / 1e3,
		       100 * bench_loss(b->rtpengine, b->rounds), q.min, q.median, q.max);
	}
	printf("latency through the relay at half load, 1000 flows: p50 %.1f us, p99 %.1f us\n",
	       bench_percentile(b, false), bench_percentile(b, true));
}

static void bench_print_json(const struct bench *b)
{
	json_t *ratio = json_object(), *pps = json_object(), *loss = json_object(), *o;
	char key[16];
	unsigned s;

	for (s = 0; s < SIZES; s++) {
		snprintf(key, sizeof(key), "%u", flow_counts[s]);
		json_object_set_new(
			ratio, key,
			json_real(bench_ratio(b->relay[s], b->bare[s], b->rounds).median));
		json_object_set_new(pps, key, json_real(bench_rate(b->relay[s], b->rounds).median));
		json_object_set_new(loss, key, json_real(bench_loss(b->relay[s], b->rounds)));
	}
	o = json_pack("{s:s, s:s, s:i, s:o, s:f, s:o, s:o, s:f, s:f, s:f, s:f}", "bench", "media",
		      "rung", b->rung == RUNG_TC ? "tc" : "xdp", "rounds", (int)b->rounds,
		      "bare_ratio", ratio, "rtpengine_ratio",
		      bench_ratio(b->relay[1], b->rtpengine, b->rounds).median, "pps_per_cpu_s",
		      pps, "loss", loss, "rtpengine_pps_per_cpu_s",
		      bench_rate(b->rtpengine, b->rounds).median, "rtpengine_loss",
		      bench_loss(b->rtpengine, b->rounds), "p50_us", bench_percentile(b, false),
		      "p99_us", bench_percentile(b, true));
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
			err = bench_rtpengine_round(b, i);
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
