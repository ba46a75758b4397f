/* user/bpf_plan.h -- the relay's maps on their way from the keeper, which may load programs, to the worker, which may not.
 *
 * Data flow: keeper: bpf_load() -> descriptors "map.*" in the plan, the rungs found as "rungs" -> worker: struct maps over these
 * descriptors. Used by both daemons: an edge on a BPF rung, a core with media.relay.
 * Owner rules: the plan owns the keeper's descriptors, the worker's process its duplicates; the caller the struct maps. */
#ifndef SALLYPORT_BPF_PLAN_H
#define SALLYPORT_BPF_PLAN_H

#include <stdbool.h>
#include <stddef.h>

#include "user/bpf_load.h"
#include "user/keeper.h"
#include "user/maps.h"
#include "user/rung.h"

/* media.rung's word, checked when the configuration was read. */
enum rung bpf_plan_wish(const char *word);
/* Load, attach, pin; add what the worker needs of the maps. 0 or negative errno with @why. */
int bpf_plan(struct keeper_plan *p, const struct bpf_load_params *bp,
	     struct media_rung out_rungs[RUNG_PAIRS_MAX], char *why, size_t why_n);
int bpf_plan_rungs(struct keeper_plan *p, const struct media_rung rungs[RUNG_PAIRS_MAX], char *why,
		   size_t why_n);

/* In the worker. 0 or negative errno. */
/* Before maps are touched: 0; -EPROTO with @why: they are of another SP_ABI than this binary's. */
int bpf_plan_check(char *why, size_t why_n);
int bpf_plan_rungs_read(struct media_rung out[RUNG_PAIRS_MAX]);
int bpf_plan_open(const struct maps_pair *pairs, unsigned n_pairs, struct maps **out);

#endif
