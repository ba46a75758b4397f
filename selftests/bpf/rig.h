/* selftests/bpf/rig.h -- the relay programs loaded but attached nowhere, with four pairs and flows in every state.
 *
 * In: a frame. Out: verdict, reason that was counted (exactly one), frame after. Maps are written by user/maps.c; the XDP
 * and the tc program share them. A test run makes the skb for tc itself: linear, tags in the bytes, no checksum of a device. */
#ifndef SALLYPORT_TEST_RIG_H
#define SALLYPORT_TEST_RIG_H

#include <stdbool.h>
#include <stdint.h>

#include "bpf/abi.h"
#include "selftests/bpf/frame.h"
#include "user/maps.h"

#define RIG_PAIRS   4 /* IPv4, IPv6, IPv4 outside and IPv6 inside, the other way round */
#define RIG_RANGE   100
#define RIG_OUTSIDE 36000 /* ports */
#define RIG_INSIDE  46000
#define RIG_PUNCH   2777
#define RIG_SIP	    5061
#define RIG_LO	    1  /* where test runs come in */
#define RIG_FAR	    77 /* another interface */
#define RIG_MTU	    160

/* Flows of a pair, slot = pair x RIG_RANGE + this. */
enum rig_flow {
	FLOW_FRESH,
	FLOW_LATCHED,
	FLOW_REOPENED,
	FLOW_EXPIRED, /* reopened, time over */
	FLOW_CLAIMED,
	FLOW_CLAIMED_STALE, /* claimed in an earlier generation */
	FLOW_STALE,	    /* latched in an earlier generation */
	FLOW_NO_CORE,
	FLOW_NO_HOP,
	FLOW_NO_TX,
	FLOW_NARROW, /* MTU RIG_MTU */
	FLOW_HAIRPIN,
	FLOW_FREED,
	FLOW_ONE_PORT, /* only client port 5004 may latch */
	RIG_FLOWS,
};

enum rig_hop { HOP_FAR = 1, HOP_LO, HOP_NO_TX, HOP_NONE, HOP_NARROW };

struct rig {
	struct xdp_relay_bpf *skel;
	struct tc_relay_bpf *tc_skel;
	bool tc; /* which of them frames go through */
	struct maps *maps;
	struct maps_fds fds;
	struct addr outside[RIG_PAIRS], inside[RIG_PAIRS];
	struct addr client[RIG_PAIRS], core[RIG_PAIRS], stranger[RIG_PAIRS];
};

struct rig_result {
	uint32_t verdict; /* XDP's; tc knows only one redirect */
	int reason;	  /* -1: none or more than one */
	uint8_t frame[FRAME_MAX];
	size_t n;
};

/* 0 or negative errno (-EPERM: may not load). */
int rig_open(struct rig *r);
void rig_close(struct rig *r);
/* One flow, or all, anew as described above. */
void rig_flow(struct rig *r, int pair, enum rig_flow i);
void rig_reset(struct rig *r);
/* Without looking at the counters. */
int rig_fire(struct rig *r, const uint8_t *frame, size_t n, struct rig_result *out);
/* The verdict of what goes back by the interface it came in by. */
uint32_t rig_back(const struct rig *r);
int rig_run(struct rig *r, const uint8_t *frame, size_t n, struct rig_result *out);
void rig_macs(enum rig_hop hop, uint8_t src[6], uint8_t dst[6]);
void rig_latch(struct rig *r, uint32_t slot, uint64_t word, const struct addr *a);
void rig_side_ifindex(struct rig *r, uint32_t side, uint32_t ifindex);
struct addr rig_addr(const char *text, uint16_t port);
uint64_t rig_now(void);

#endif
