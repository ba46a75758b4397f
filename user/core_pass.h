/* user/core_pass.h -- the core's part in calls that pass as SRTP: what its keeper loads, what its worker makes of it.
 *
 * Data flow: keeper: media.relay -> core_pass_plan() -> programs attached, maps pinned, descriptors in the plan; worker:
 * core_pass_start() -> maps, next hops, media_pass, which goes on with the flows that it finds.
 * Owner rules: struct core owns all three; without media.relay they are NULL, and nothing here needs a privilege. */
#ifndef SALLYPORT_CORE_PASS_H
#define SALLYPORT_CORE_PASS_H

#include "user/config.h"
#include "user/keeper.h"
#include "user/media_core.h"

struct core;

/* Keeper. What an earlier start with media.relay left attached goes when it is not configured any more. 0 or negative errno with @why. */
int core_pass_plan(struct keeper_plan *p, const struct config_core *cfg, char *why, size_t why_n);
/* Whether a reload may go from @a to @b. */
bool core_pass_same(const struct config_core *a, const struct config_core *b);

/* Worker. */
int core_pass_start(struct core *c, const struct media_core_ops *ops, char *why, size_t why_n);
void core_pass_stop(struct core *c);

#endif
