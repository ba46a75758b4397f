/* user/maps.h -- typed access of a worker to the pinned kernel maps. The worker holds descriptors that the keeper
 * opened; it can look up, update and delete, and create nothing. Without BPF the same records are in memory: user/maps_memory.h.
 *
 * Data flow: media_edge decides -> maps_flow_install() writes a slot -> XDP carries packets -> maps_flow_read() for reports.
 * Owner rules: struct maps owns its mmaps, not the descriptors. One writer: the worker's thread. A worker that starts
 * reads what is live with maps_flow_each() and goes on with it. */
#ifndef SALLYPORT_MAPS_H
#define SALLYPORT_MAPS_H

#include <stdbool.h>
#include <stdint.h>

#include "user/addr.h"
#include "user/quality.h"

struct maps;

struct maps_fds { /* from the keeper, by name; see user/keeper.h */
	int flows, flow_state, next_hops, bans, reasons, live;
};

/* One address pair of the configuration; slot = pair x range + port - base of that side. */
struct maps_pair {
	struct addr outside, inside; /* bind addresses, port 0 */
	uint16_t outside_base, inside_base;
	uint16_t range;
};

struct maps_note { /* what a worker that follows has to know; the programs do not look at it */
	uint64_t medium;
	struct addr client; /* port 0 */
	uint32_t edge, flags;
};

/* What a flow is told to do. Ports of the two local sides follow from the slot. */
struct maps_flow {
	uint64_t id;	    /* chosen by the core, never 0 */
	struct addr client; /* the only source address that may latch (port 0 = any port) */
	struct addr core; /* verified by a punch; port 0: not punched yet, nothing is sent inside */
	uint32_t nh_out,
		nh_in; /* entries of next_hops; 0: unresolved, packets are dropped and counted */
	uint32_t core_index; /* which configured core owns it: for hello and status */
	bool no_stun;	     /* nobody punches here: STUN requests end */
	bool loose; /* the inside leg takes one more source than core, the first that sends */
	bool pinned; /* client, with its port, has the outside leg from the start; nothing is learned. Not read back */
	struct maps_note note;
};

struct maps_flow_report {
	uint64_t packets_in, bytes_in;	  /* client -> core */
	uint64_t packets_out, bytes_out;  /* core -> client */
	uint64_t last_in_ns, last_out_ns; /* CLOCK_MONOTONIC; 0: none yet */
	struct addr latched;		  /* port 0: not latched */
	struct addr inside; /* who sends on a loose inside leg beside core; port 0: nobody */
	bool window_open;
	struct quality in, out; /* of the RTP that was sent on */
};

struct maps_next_hop {
	uint32_t ifindex; /* 0: unresolved */
	uint8_t src_mac[6], dst_mac[6];
	uint16_t mtu;
};

/* Returns 0 or a negative errno (a map whose size is not what the ABI says: -EPROTO). */
int maps_open(const struct maps_fds *fds, const struct maps_pair *pairs, unsigned n_pairs,
	      struct maps **out);
void maps_close(struct maps *m);
uint32_t maps_slots(const struct maps *m); /* pairs x range */
void maps_slot_addrs(const struct maps *m, uint32_t slot, struct addr *outside,
		     struct addr *inside);

/* Install on a free slot: window open, counters zero, new generation, entry in live. 0, -EEXIST (slot is on), -EINVAL. */
int maps_flow_install(struct maps *m, uint32_t slot, const struct maps_flow *f);
/* Change core address, client address or next hops of a live flow; the latch (but for a pinned flow's) and the counters stay. */
int maps_flow_update(struct maps *m, uint32_t slot, const struct maps_flow *f);
/* Open the latch window again until @until_ns (CLOCK_MONOTONIC); the pinned source keeps passing. */
int maps_flow_reopen(struct maps *m, uint32_t slot, uint64_t until_ns);
/* What its jitter is measured by from now on: FLOW_CLOCK() of payload types, at most FLOW_CLOCKS a direction (more are left out). */
int maps_flow_clocks(struct maps *m, uint32_t slot, const uint32_t *in, unsigned n_in,
		     const uint32_t *out, unsigned n_out);
/* Copies of its packets go to the map "tap", where the XDP rung carries it. -ENOENT: off. */
int maps_flow_tap(struct maps *m, uint32_t slot, bool on);
void maps_flow_free(struct maps *m, uint32_t slot);
int maps_flow_get(const struct maps *m, uint32_t slot, struct maps_flow *f); /* -ENOENT: off */
int maps_flow_read(const struct maps *m, uint32_t slot, struct maps_flow_report *out);
void maps_flow_each(const struct maps *m,
		    void (*fn)(void *arg, uint32_t slot, const struct maps_flow *f), void *arg);

int maps_next_hop_set(struct maps *m, uint32_t index,
		      const struct maps_next_hop *nh); /* index 1..1023 */
int maps_ban_set(struct maps *m, const struct addr *prefix, unsigned len, uint64_t until_ns);
int maps_ban_clear(struct maps *m, const struct addr *prefix, unsigned len);
/* Does a ban refuse this TCP connection? Counted as drop_ban_tcp. Always false where BPF has dropped its SYN already. */
bool maps_ban_hit(struct maps *m, const struct addr *source);
/* Delete entries of live that no flow stands behind: of a worker that was killed between two steps. Returns their number. */
unsigned maps_live_sweep(struct maps *m);
/* Delete bans that are over, also those of a worker that is gone. Returns their number. */
unsigned maps_bans_expire(struct maps *m, uint64_t now_ns);

/* Reason counters, summed over CPUs. */
unsigned maps_reasons(const struct maps *m);
const char *maps_reason_name(unsigned reason);
uint64_t maps_reason_count(const struct maps *m, unsigned reason);

#endif
