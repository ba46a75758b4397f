/* tools/bench_core.c -- SRTP <-> RTP through the real core, beside rtpengine bridging the same calls, in one run, alternating.
 *
 * In: the namespaces and files that tools/bench made (--lab NAME, --dir DIR with core.yaml and pki/). Out: a table, or with -j one JSON
 * object: rtpengine_ratio, pps_per_cpu_s, loss, calls, rounds (medians; spread: min and max). 1,000 calls each (or --calls), set up by SIP
 * through the core and by the NG protocol through rtpengine; half of the packets are SRTP from outside, half RTP from inside. A measurement
 * is one second at the highest rate, by steps of 8 %, at which less than 0.1 % is lost and less than 1 % still queued at its end;
 * rtpengine is started afresh for each. Counted: all threads of the core's worker or of rtpengine, and the NAPI threads of its two devices.
 * --joined: calls between two outside users instead, core alone. Owner rules: the lab owns frames and programs, the bridge the calls. */
#include <arpa/inet.h>
#include <errno.h>
#include <getopt.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include <jansson.h>

#include "tools/bench_bridge.h"
#include "tools/bench_lab.h"
#include "tools/bench_stat.h"
#include "user/srtp.h"

#define CALLS_MAX  1000
#define CALLS_MIN  10
#define STEP	   0.92
#define LOSS_MAX   0.001
#define BEHIND_MAX 0.01 /* a thousand sockets' buffers hide an overload for a second */
#define PPS_MIN	   10000u
#define LINK_IP	   "172.30.1.1" /* of the core, lane 1 */
#define EDGE_IP	   "172.30.1.2"
#define PHONE_IP   "198.20.0.1"

struct core_call {
	struct srtp_session *client;
	uint16_t out_seq, in_seq;
};

struct bench {
	struct lab *lab;
	struct bridge *bridge;
	const char *dir;
	pid_t keeper, worker;
	bool joined, json;
	unsigned rounds, calls;
	struct core_call call[CALLS_MAX];
	struct lab_result core[BENCH_ROUNDS_MAX], rtpengine[BENCH_ROUNDS_MAX];
	double core_pps[BENCH_ROUNDS_MAX], rtpengine_pps[BENCH_ROUNDS_MAX];
};

/* ---- the core and its calls ---- */

static struct addr bench_addr(const char *text)
{
	struct addr a;

	if (addr_parse(span_str(text), &a))
		abort();
	return a;
}

/* The only child of the keeper. */
static pid_t bench_worker(pid_t keeper)
{
	char path[64];
	int pid = 0;
	FILE *f;

	snprintf(path, sizeof(path), "/proc/%d/task/%d/children", keeper, keeper);
	f = fopen(path, "re");
	if (!f || fscanf(f, "%d", &pid) != 1)
		pid = 0;
	if (f)
		fclose(f);
	return pid;
}

static int bench_core_start(struct bench *b)
{
	char config[512], pki[512];
	char *const argv[] = {(char *)"build/sallyport-core", (char *)"-c", config, NULL};
	struct bridge_params p = {.pki = pki,
				  .edge = "edge.bench.example",
				  .core = "core.bench.example",
				  .domain = "bench.example",
				  .link_listen = bench_addr("172.29.0.2:7001"),
				  .sip = bench_addr("172.29.0.2:5060"),
				  .edge_inside = bench_addr(EDGE_IP),
				  .phones = bench_addr(PHONE_IP),
				  .calls = b->calls,
				  .joined = b->joined};
	int err;

	snprintf(config, sizeof(config), "%s/core.yaml", b->dir);
	snprintf(pki, sizeof(pki), "%s/pki", b->dir);
	err = lab_enter(b->lab, NULL);
	if (!err)
		err = bridge_open(&p, &b->bridge);
	if (err)
		return err;
	b->keeper = lab_spawn(b->lab, lab_lane(b->lab, 1), argv, "core.log", b->dir);
	if (b->keeper < 0)
		return b->keeper;
	err = bridge_up(b->bridge, 60);
	b->worker = bench_worker(b->keeper);
	return err ? err : b->worker ? 0 : -ESRCH;
}

static void bench_core_stop(struct bench *b)
{
	unsigned i;

	bridge_close(b->bridge);
	if (b->keeper > 0) {
		kill(b->keeper, SIGTERM);
		waitpid(b->keeper, NULL, 0);
	}
	for (i = 0; i < b->calls; i++)
		srtp_session_free(b->call[i].client);
}

static int bench_clients(struct bench *b)
{
	unsigned i;
	int err = 0;

	for (i = 0; i < b->calls && !err; i++)
		err = srtp_session_new(SRTP_AES_CM_128_HMAC_SHA1_80,
				       span_of(bridge_call(b->bridge, i)->client_key, BRIDGE_KEY),
				       true, &b->call[i].client);
	return err;
}

/* The client's next packet, as it comes from the edge. */
static int bench_frame_out(struct bench *b, unsigned i, struct bench_frame *f)
{
	uint8_t rtp[256];
	struct srtp_packet p = {
		.session = b->call[i].client, .p = rtp, .n = LAB_PAYLOAD - 10, .cap = sizeof(rtp)};

	lab_rtp(rtp, ++b->call[i].out_seq, i);
	srtp_seal(&p, 1);
	lab_frame_build(f, lab_lane(b->lab, 1), ntohl(inet_addr(EDGE_IP)),
			bridge_call(b->bridge, i)->edge_port, ntohl(inet_addr(LINK_IP)), 2776, rtp);
	return p.result == SRTP_OK ? 0 : -EPROTO;
}

/* The phone's next packet. */
static void bench_frame_in(struct bench *b, unsigned i, struct bench_frame *f)
{
	const struct bridge_call *c = bridge_call(b->bridge, i);
	uint8_t rtp[LAB_PAYLOAD];
	uint32_t to;

	memcpy(&to, c->core.ip + 12, 4);
	lab_rtp(rtp, ++b->call[i].in_seq, i);
	lab_frame_build(f, lab_lane(b->lab, 1), ntohl(inet_addr(PHONE_IP)), c->phone_port,
			ntohl(to), c->core.port, rtp);
	lab_frame_turn(f, lab_lane(b->lab, 1));
}

static int bench_core_frames(struct bench *b, unsigned n)
{
	struct bench_frame *f = lab_frames(b->lab);
	unsigned i, call = 0;
	int err = 0;

	for (i = 0; i < n && !err; i++) {
		if (b->joined || i % 2 == 0)
			err = bench_frame_out(b, call, &f[i]);
		else
			bench_frame_in(b, call, &f[i]);
		if (b->joined || i % 2)
			call = (call + 1) % b->calls;
	}
	return err;
}

/* ---- measuring ---- */

static int bench_core_at(struct bench *b, unsigned pps, struct lab_result *out)
{
	struct lab_run r = {.lane = lab_lane(b->lab, 1),
			    .packets = pps,
			    .pps = pps,
			    .frames = pps,
			    .dut = b->worker};
	int err = bench_core_frames(b, pps);

	bridge_run(b->bridge, 20);
	return err ? err : lab_measure(b->lab, &r, out);
}

static int bench_rtpengine_at(struct bench *b, unsigned pps, struct lab_result *out)
{
	unsigned per_call = pps / b->calls / 2 + 1;
	struct lab_run r = {.lane = lab_lane(b->lab, 2),
			    .packets = pps,
			    .pps = pps,
			    .frames = per_call * b->calls * 2};
	int err;

	r.dut = bench_rtpengine_start(b->lab, b->calls, per_call, true);
	if (r.dut < 0)
		return r.dut;
	err = lab_measure(b->lab, &r, out);
	bench_rtpengine_stop(r.dut);
	return err;
}

/* From @from downwards. */
static int bench_search(struct bench *b, int (*at)(struct bench *, unsigned, struct lab_result *),
			double from, struct lab_result *out, double *out_pps)
{
	double pps = from < LAB_FRAMES_MAX - 2 * b->calls ? from : LAB_FRAMES_MAX - 2 * b->calls;
	int err;

	for (; pps >= PPS_MIN; pps *= STEP) {
		err = at(b, (unsigned)pps, out);
		if (err)
			return err;
		if (getenv("BENCH_VERBOSE"))
			fprintf(stderr,
				"bench: %s %.0f pps: loss %.3f %%, behind %.2f %%, %.0f a "
				"CPU-second\n",
				at == bench_core_at ? "core" : "rtpengine", pps, 100 * out->loss,
				100 * out->behind, out->pps_per_cpu_s);
		if (out->loss < LOSS_MAX && out->behind < BEHIND_MAX) {
			*out_pps = pps;
			return 0;
		}
	}
	fprintf(stderr, "bench: more than 0.1 %% lost, or 1 %% queued, at every rate\n");
	return -EPROTO;
}

/* Later rounds begin two steps above what the last one found. */
static double bench_from(const double *pps, unsigned round, double first)
{
	return round ? pps[round - 1] / (STEP * STEP) : first;
}

static int bench_round(struct bench *b, unsigned round)
{
	unsigned i;
	int err = 0;

	for (i = 0; i < 2 && !err; i++) {
		if ((i + round) % 2 == 0)
			err = bench_search(b, bench_core_at, bench_from(b->core_pps, round, 180000),
					   &b->core[round], &b->core_pps[round]);
		else if (!b->joined)
			err = bench_search(b, bench_rtpengine_at,
					   bench_from(b->rtpengine_pps, round, 110000),
					   &b->rtpengine[round], &b->rtpengine_pps[round]);
	}
	return err;
}

static int bench_run(struct bench *b)
{
	unsigned i;
	struct lab_result warm;
	int err = srtp_init(SRTP_AUTO);

	for (i = 1; i < LAB_LANES && !err; i++) {
		err = lab_attach_both(b->lab, lab_lane(b->lab, i));
		if (!err)
			err = lab_find_napi(lab_lane(b->lab, i));
	}
	if (!err)
		err = bench_core_start(b);
	if (!err)
		err = bench_clients(b);
	if (!err)
		err = bench_core_at(b, 20000, &warm);
	if (!err && warm.loss > 0.01) {
		fprintf(stderr, "bench: %llu of %llu packets came through the core\n",
			(unsigned long long)warm.received, (unsigned long long)warm.sent);
		err = -EPROTO;
	}
	for (i = 0; !err && i < b->rounds; i++) {
		fprintf(stderr, "bench: round %u of %u\n", i + 1, b->rounds);
		err = bench_round(b, i);
	}
	return err;
}

/* ---- results ---- */

static void bench_print_table(const struct bench *b)
{
	struct bench_spread c = bench_rate(b->core, b->rounds),
			    cp = bench_spread(b->core_pps, b->rounds);

	printf("thousand packets per CPU-second at the highest rate with < 0.1 %% loss; %u "
	       "calls%s; "
	       "min-median-max of %u rounds\n",
	       b->calls, b->joined ? " between outside users" : ", both ways", b->rounds);
	printf("%-10s %5.0f-%.0f-%-8.0f at %.0f-%.0f-%.0f kpps, loss %.3f %%\n", "core",
	       c.min / 1e3, c.median / 1e3, c.max / 1e3, cp.min / 1e3, cp.median / 1e3,
	       cp.max / 1e3, 100 * bench_loss(b->core, b->rounds));
	if (b->joined)
		return;
	c = bench_rate(b->rtpengine, b->rounds);
	cp = bench_spread(b->rtpengine_pps, b->rounds);
	printf("%-10s %5.0f-%.0f-%-8.0f at %.0f-%.0f-%.0f kpps, loss %.3f %%\n", "rtpengine",
	       c.min / 1e3, c.median / 1e3, c.max / 1e3, cp.min / 1e3, cp.median / 1e3,
	       cp.max / 1e3, 100 * bench_loss(b->rtpengine, b->rounds));
	c = bench_ratio(b->core, b->rtpengine, b->rounds);
	printf("%-10s %5.2f-%.2f-%.2f\n", "ratio", c.min, c.median, c.max);
}

static void bench_print_json(const struct bench *b)
{
	json_t *o = json_pack("{s:s, s:i, s:i, s:b, s:f, s:f, s:f}", "bench", "core", "rounds",
			      (int)b->rounds, "calls", (int)b->calls, "joined", b->joined,
			      "pps_per_cpu_s", bench_rate(b->core, b->rounds).median, "pps",
			      bench_spread(b->core_pps, b->rounds).median, "loss",
			      bench_loss(b->core, b->rounds));

	json_t *all = json_object();

	json_object_set_new(all, "pps_per_cpu_s",
			    bench_spread_json(bench_rate(b->core, b->rounds)));
	if (!b->joined) {
		json_object_set_new(
			all, "rtpengine_ratio",
			bench_spread_json(bench_ratio(b->core, b->rtpengine, b->rounds)));
		json_object_set_new(all, "rtpengine_pps_per_cpu_s",
				    bench_spread_json(bench_rate(b->rtpengine, b->rounds)));
		json_object_set_new(
			o, "rtpengine_ratio",
			json_real(bench_ratio(b->core, b->rtpengine, b->rounds).median));
		json_object_set_new(o, "rtpengine_pps_per_cpu_s",
				    json_real(bench_rate(b->rtpengine, b->rounds).median));
		json_object_set_new(o, "rtpengine_pps",
				    json_real(bench_spread(b->rtpengine_pps, b->rounds).median));
		json_object_set_new(o, "rtpengine_loss",
				    json_real(bench_loss(b->rtpengine, b->rounds)));
	}
	json_object_set_new(o, "spread", all);
	json_dumpf(o, stdout, JSON_INDENT(1) | JSON_REAL_PRECISION(6));
	putchar('\n');
	json_decref(o);
}

int main(int argc, char **argv)
{
	static const struct option longs[] = {{"lab", required_argument, NULL, 'L'},
					      {"dir", required_argument, NULL, 'D'},
					      {"joined", no_argument, NULL, 'J'},
					      {"calls", required_argument, NULL, 'C'},
					      {0}};
	static struct bench b = {.rounds = 5, .calls = CALLS_MAX};
	const char *lab = NULL;
	int c, err;

	while ((c = getopt_long(argc, argv, "jqr:", longs, NULL)) != -1) {
		if (c == 'L')
			lab = optarg;
		else if (c == 'D')
			b.dir = optarg;
		else if (c == 'J')
			b.joined = true;
		else if (c == 'C')
			b.calls = (unsigned)strtoul(optarg, NULL, 10);
		else if (c == 'j')
			b.json = true;
		else if (c == 'q')
			b.rounds = 1;
		else if (c == 'r')
			b.rounds = (unsigned)strtoul(optarg, NULL, 10);
		else
			return 2;
	}
	if (!lab || !b.dir || !b.rounds || b.rounds > BENCH_ROUNDS_MAX || b.calls % 2 ||
	    b.calls < CALLS_MIN || b.calls > CALLS_MAX) {
		fprintf(stderr,
			"bench-core is run by tools/bench core [-j] [-q] [--joined] [-r 1..%u] "
			"[--calls %u..%u, even]\n",
			BENCH_ROUNDS_MAX, CALLS_MIN, CALLS_MAX);
		return 2;
	}
	err = lab_open(lab, &b.lab);
	if (err)
		return 1;
	err = bench_run(&b);
	if (err)
		fprintf(stderr, "bench: %s\n", strerror(-err));
	else if (b.json)
		bench_print_json(&b);
	else
		bench_print_table(&b);
	bench_core_stop(&b);
	lab_close(b.lab);
	return err ? 1 : 0;
}
