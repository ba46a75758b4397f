/* user/trace_plan.h -- the memory of the trace (user/trace.h), held by the keeper so that it outlives a worker.
 *
 * In: the number of records. Out: a memfd "trace" in the keeper's plan, all zero, its size sealed; one of the same size that an earlier
 * keeper has left with the manager goes on. The keeper never reads it. */
#ifndef SALLYPORT_TRACE_PLAN_H
#define SALLYPORT_TRACE_PLAN_H

#include "user/keeper.h"

/* 0 or negative errno with @why. */
int trace_plan(struct keeper_plan *p, unsigned records, char *why, size_t why_n);

#endif
