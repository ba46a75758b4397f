/* user/core_cdr.h -- call records of this core.
 *
 * In: ENGINE_CALL with ENGINE_CALL_ENDED, while the call's media are still open. Out: cdr_row() into cdr_put(). One line for each call, also for
 * one that an earlier worker began: what is kept of it says when. A call that only rang when its worker died has none.
 * Packets, bytes and quality are as the core and the edge counted them: those of the core since this worker, those of the edge since the
 * flow began, as its last report (2 s) says. */
#ifndef SALLYPORT_CORE_CDR_H
#define SALLYPORT_CORE_CDR_H

#include "user/core_int.h"

/* Nothing where no call records are wanted, or no line is due. */
void core_cdr(struct core *c, const struct engine_action *a);

#endif
