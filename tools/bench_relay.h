/* tools/bench_relay.h -- the flows that the media benches send through a relay, whatever its rung, and rtpengine beside it.
 *
 * In: a layout (pairs of addresses, ports a side). Out: pairs for the loader, flows in its records, a frame for each flow, from a client of its
 * own: 198.18.0.0/16 -> 203.0.113.1.. -> 172.31.0.1.. -> the core at 172.31.0.100. Plain functions; no owner. */
#ifndef SALLYPORT_BENCH_RELAY_H
#define SALLYPORT_BENCH_RELAY_H

#include "tools/bench_lab.h"
#include "user/maps.h"

#define BENCH_CALLS	  1000
#define BENCH_CLIENT_PORT 20000

struct bench_layout {
	unsigned pairs;
	uint16_t range;
};

void bench_pairs(const struct bench_layout *l, struct maps_pair *out);
uint32_t bench_slot(const struct bench_layout *l, unsigned flow);
/* @lane: where the next hop is, for the rungs that need one. 0 or negative errno. */
int bench_install(const struct bench_layout *l, struct maps *m, const struct lab_lane *lane,
		  unsigned flows);
void bench_frames(const struct bench_layout *l, struct lab *lab, const struct lab_lane *lane,
		  unsigned flows);
/* The highest rate at which a fresh rtpengine in lane 2, bridging BENCH_CALLS SRTP calls, loses less than 0.1 %. Frames are its own after it. */
int bench_rtpengine_best(struct lab *lab, struct lab_result *out);

#endif
