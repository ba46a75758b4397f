/* selftests/bpf/rig.h -- a relay of one of the rungs, with four pairs and flows in every state.
 *
 * In: a frame. Out: verdict, reason that was counted (exactly one), frame after. Records are written by user/maps.c. What is
 * behind it is a struct rig_kind: the BPF programs (rig_bpf.h) or sockets (rig_user.h). */
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

struct rig;
struct rig_result;
struct row;

/* What another rung does with a packet that its kind cannot express. */
struct rig_difference {
	const char *why;
	int reason; /* counted instead; -1: none */
};

struct rig_kind {
	const char *name;
	bool headers_whole; /* test runs refuse frames that end inside the IP header */
	bool quotes_sum;    /* the checksum in a quoted UDP header is another */
	bool sockets;	    /* the kernel makes the headers that go out */
	int (*fire)(struct rig *r, const uint8_t *frame, size_t n, struct rig_result *out);
	void (*state_set)(struct rig *r, uint32_t slot, const struct flow_state *s);
	uint32_t (*generation)(struct rig *r, uint32_t slot);
	void (*interface)(struct rig *r, uint32_t side,
			  uint32_t ifindex); /* of a side, from now on */
	/* NULL: there are none. */
	bool (*difference)(const struct row *row, int pair, struct rig_difference *out);
	const char *(*story_difference)(const char *story); /* why it cannot be, or NULL */
};

struct rig {
	const struct rig_kind *kind;
	struct maps *maps;
	struct addr outside[RIG_PAIRS], inside[RIG_PAIRS];
	struct addr client[RIG_PAIRS], core[RIG_PAIRS], stranger[RIG_PAIRS];
};

struct rig_result {
	uint32_t verdict; /* XDP's; tc knows only one redirect */
	int reason;	  /* -1: none or more than one */
	uint8_t frame[FRAME_MAX];
	size_t n;
};

/* One flow, or all, anew as described above. */
void rig_flow(struct rig *r, int pair, enum rig_flow i);
void rig_reset(struct rig *r);
/* For the kinds: addresses, pairs of them. */
void rig_addrs(struct rig *r);
void rig_pairs(const struct rig *r, struct maps_pair out[RIG_PAIRS]);
void rig_must(int r, const char *what); /* or exit */
int rig_run(struct rig *r, const uint8_t *frame, size_t n, struct rig_result *out);
void rig_macs(enum rig_hop hop, uint8_t src[6], uint8_t dst[6]);
void rig_latch(struct rig *r, uint32_t slot, uint64_t word, const struct addr *a);
struct addr rig_addr(const char *text, uint16_t port);
uint64_t rig_now(void);

#endif
