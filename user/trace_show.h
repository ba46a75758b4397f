/* user/trace_show.h -- records as JSON, and several nodes' in one time line.
 *
 * A row: {"at_ms", "node", "what", "text"} and, where it has them, "stream", "call", "flow" (hex), "code". Rows of an edge come over the
 * link: trace_row_take() lets through what has just this shape, bounded, and nothing else of it.
 * Order: by time, corrected by the node's clock (what its clock is ahead of ours is taken off at_ms); rows of one node keep their order. */
#ifndef SALLYPORT_TRACE_SHOW_H
#define SALLYPORT_TRACE_SHOW_H

#include <jansson.h>

#include "user/trace.h"

#define TRACE_ROWS_MAX	    5000 /* of an answer; the newest */
#define TRACE_EDGE_ROWS_MAX 2000 /* that an edge tells */

/* A new reference; @node may be NULL: without. NULL: no memory. */
json_t *trace_row(const struct trace_record *r, const char *node);
/* A row of another node, as ours. NULL: not of the form. */
json_t *trace_row_take(const json_t *row, const char *node, int64_t ahead_ms);
/* Takes @rows (array) and gives it back in order, cut to the newest @max; *cut: how many are left out. */
json_t *trace_merge(json_t *rows, unsigned max, unsigned *cut);
/* {"node", "reaches_ms", "records", "overwritten"} of this process. */
json_t *trace_node(const char *node);
/* Hex digits, at most 16. False: it is something else. */
bool trace_id_parse(const char *text, uint64_t *out);

#endif
