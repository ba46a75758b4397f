/* user/maps_impl.h -- what maps.c (flow records) shares with the two places where the rest is kept: maps_bpf.c and maps_memory.c.
 *
 * In: nothing; only user/maps*.c include it. Out: struct maps, and the operations of a place. */
#ifndef SALLYPORT_MAPS_IMPL_H
#define SALLYPORT_MAPS_IMPL_H

#include "bpf/abi.h"
#include "user/maps.h"

struct maps_memory;

struct maps_back {
	int (*live_set)(struct maps *m, uint64_t id, const struct live_flow *v);
	void (*live_del)(struct maps *m, uint64_t id);
	unsigned (*live_sweep)(struct maps *m);
	int (*next_hop_set)(struct maps *m, uint32_t index, const struct next_hop *v);
	int (*ban_set)(struct maps *m, const struct ban_key *key, const struct ban *v);
	int (*ban_clear)(struct maps *m, const struct ban_key *key);
	unsigned (*bans_expire)(struct maps *m, uint64_t now_ns);
	bool (*ban_hit)(struct maps *m, const struct addr *source); /* NULL: not asked of us */
	uint64_t (*reason)(const struct maps *m, unsigned reason);
	void (*close)(struct maps *m);
};

struct maps {
	const struct maps_back *back;
	struct flow *flows;
	struct flow_state *state;
	size_t flows_bytes, state_bytes;
	struct maps_pair pairs[SP_PAIRS_MAX];
	uint32_t first_slot[SP_PAIRS_MAX];
	unsigned n_pairs;
	uint32_t slots;
	/* maps_bpf.c */
	struct maps_fds fds;
	int cpus;
	uint64_t *per_cpu; /* scratch: one value a possible CPU */
	/* maps_memory.c */
	struct maps_memory *memory;
	size_t memory_bytes;
};

/* Slots counted, nothing mapped. */
int maps_new(const struct maps_back *back, const struct maps_pair *pairs, unsigned n_pairs,
	     struct maps **out);

#endif
