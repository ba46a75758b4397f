/* user/core_keep.h -- what of the core outlives its worker: which records there are, how many, and how a worker takes them up.
 *
 * Data flow: keeper: core_keep_plan() -> state file and media sockets; worker: core_keep_open() -> struct keep -> media_core_new() takes its
 * media up -> core_lodge.c the clients' streams that the keeper held -> core_keep_restore() gives the engine its bindings and calls, and the INVITEs of calls that rang, which it ends; then it ends
 * what only one side of them knows.
 * Owner rules: the keeper owns file and sockets; struct core owns the mapping. */
#ifndef SALLYPORT_CORE_KEEP_H
#define SALLYPORT_CORE_KEEP_H

#include <jansson.h>

#include "user/config.h"
#include "user/keep.h"
#include "user/keeper.h"

enum core_record { /* the engine's first, by its own numbers */
		   CORE_RECORD_BINDING,
		   CORE_RECORD_CALL,
		   CORE_RECORD_INVITE,
		   CORE_RECORD_MEDIUM,
		   CORE_RECORD_SESSION,
		   CORE_RECORD_PEAKS, /* one */
		   CORE_RECORDS
};

struct core;

struct core_peaks { /* the most at once since the keeper has started */
	uint64_t registrations, calls;
};

void core_keep_kinds(const struct config_core *cfg, struct keep_kind out[CORE_RECORDS]);
/* Keeper: the state file, "media.link" and "media.inside". 0 or negative errno with @why. */
int core_keep_plan(struct keeper_plan *p, const struct config_core *cfg, char *why, size_t why_n);
/* Worker. */
/* Look at what is kept without touching it, say READY, wait for GO. */
int core_keep_wait(struct core *c, char *why, size_t why_n);
int core_keep_open(struct core *c, char *why, size_t why_n);
void core_keep_restore(struct core *c);
/* For sallyctl: of each kind the records now, and what was refused. A refused record leaves the one before it in place. What has none
 * will not outlive this worker: a binding waits for its device's next REGISTER, a call is cut off without BYE, one that rings goes on
 * ringing inside until its own timer ends it, a client of a stream has to connect anew. "stream" also says what became of those of the
 * worker before: taken_over, lost_busy (bytes were in its hands), lost. */
json_t *core_keep_show(const struct core *c);

#endif
