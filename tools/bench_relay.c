/* tools/bench_relay.c -- see bench_relay.h. */
#include "tools/bench_relay.h"

#include <arpa/inet.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "bpf/abi.h"

#define BASE_PORT  36000
#define CLIENT_NET 0xc6120000u

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

void bench_pairs(const struct bench_layout *l, struct maps_pair *out)
{
	unsigned i;

	for (i = 0; i < l->pairs; i++)
		out[i] = (struct maps_pair){.outside = bench_addr("203.0.113.", i + 1, 0),
					    .inside = bench_addr("172.31.0.", i + 1, 0),
					    .outside_base = BASE_PORT,
					    .inside_base = BASE_PORT,
					    .range = l->range};
}

uint32_t bench_slot(const struct bench_layout *l, unsigned flow)
{
	return (flow % l->pairs) * l->range + flow / l->pairs;
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

void bench_frames(const struct bench_layout *l, struct lab *lab, const struct lab_lane *lane,
		  unsigned flows)
{
	uint8_t payload[BENCH_FRAME_LEN - 42];
	unsigned i;

	for (i = 0; i < flows; i++) {
		bench_payload(payload, i);
		lab_frame_build(&lab_frames(lab)[i], lane, CLIENT_NET + 1 + i, BENCH_CLIENT_PORT,
				ntohl(inet_addr("203.0.113.1")) + i % l->pairs,
				(uint16_t)(BASE_PORT + i / l->pairs), payload);
	}
}

int bench_install(const struct bench_layout *l, struct maps *m, const struct lab_lane *lane,
		  unsigned flows)
{
	const uint32_t pcmu = FLOW_CLOCK(0, 8000);
	struct maps_next_hop nh = {.ifindex = lane->out_index, .mtu = 1500};
	unsigned i;
	int err;

	memcpy(nh.src_mac, lane->out_mac, 6);
	memcpy(nh.dst_mac, lane->sink_mac, 6);
	err = maps_next_hop_set(m, 1, &nh);
	for (i = 0; !err && i < flows; i++) {
		struct in_addr client = {.s_addr = htonl(CLIENT_NET + 1 + i)};
		struct maps_flow f = {.id = i + 1, .nh_out = 1, .nh_in = 1};
		char text[INET_ADDRSTRLEN];

		inet_ntop(AF_INET, &client, text, sizeof(text));
		if (addr_parse(span_str(text), &f.client))
			return -EINVAL;
		f.core = bench_addr("172.31.0.", 100, 2776);
		err = maps_flow_install(m, bench_slot(l, i), &f);
		if (!err)
			err = maps_flow_clocks(m, bench_slot(l, i), &pcmu, 1, &pcmu, 1);
	}
	return err;
}

/* rtpengine gives streams up after an overload, so each rate is tried on a fresh process, from high to low, until less than
 * 0.1 % is lost. */
int bench_rtpengine_best(struct lab *lab, struct lab_result *out)
{
	static const unsigned rates[] = {100000, 90000, 80000, 70000, 60000,
					 50000,	 40000, 30000, 20000};
	unsigned i, per_call = 160;

	for (i = 0; i < sizeof(rates) / sizeof(rates[0]); i++) {
		struct lab_run r = {.lane = lab_lane(lab, 2),
				    .packets = rates[i],
				    .pps = rates[i],
				    .frames = BENCH_CALLS * per_call};
		pid_t pid = bench_rtpengine_start(lab, BENCH_CALLS, per_call, false);
		int err;

		if (pid < 0)
			return pid;
		r.dut = pid;
		err = lab_measure(lab, &r, out);
		bench_rtpengine_stop(pid);
		if (err)
			return err;
		if (out->loss < 0.001)
			return 0;
	}
	fprintf(stderr, "bench: rtpengine lost more than 0.1 %% at every rate\n");
	return -EPROTO;
}
