/* user/cdr_row.h -- a call that has ended as one line of JSON (setting "cdr"); who writes it is user/cdr.h.
 *
 * In: ENGINE_CALL with ENGINE_CALL_ENDED, rows of the call's flows as `flows` shows them. Out: an object: ids, parties, times (UTC, reckoned
 * from the monotonic clock, so that a clock that was set meanwhile makes no call longer), who ended it with which code, and a row a flow. Plain
 * functions. An INVITE that was challenged (401, 407) has none: its repetition is the call. */
#ifndef SALLYPORT_CDR_ROW_H
#define SALLYPORT_CDR_ROW_H

#include <jansson.h>

#include "sip/engine.h"

/* @now_ms: of the loop; @utc_ms: the same moment. @edge: NULL: unknown. @flows is not taken. NULL: no line is due. */
json_t *cdr_row(const struct engine_action *a, const char *server, const char *edge,
		uint64_t now_ms, uint64_t utc_ms, const json_t *flows);

#endif
