/* user/quality_show.h -- struct quality as JSON and as a message of the link. See quality.h.
 *
 * In: numbers, or what an edge told. Out: JSON of `flows` and `calls` (the caller's), fields of a FlowReport, numbers. Plain functions. */
#ifndef SALLYPORT_QUALITY_SHOW_H
#define SALLYPORT_QUALITY_SHOW_H

#include <jansson.h>

#include "user/link.pb-c.h"
#include "user/quality.h"

/* {"in": ..., "out": ...}, each null or an object with received, expected, lost, reordered, duplicates, restarts, jitter_ms (unknown:
 * null), ssrc ("0x%08x"); mixed: true in place of what it makes unknown. */
json_t *quality_json(const struct quality *in, const struct quality *out);

/* "lost 3/0, jitter 1.2/- ms": in and out, "-" where it is not known. Returns @out. */
#define QUALITY_TEXT_MAX 64
const char *quality_text(const struct quality *in, const struct quality *out,
			 char buf[QUALITY_TEXT_MAX]);

void quality_to_link(const struct quality *q, Sallyport__Quality *out);
/* NULL: nothing was told. */
void quality_from_link(const Sallyport__Quality *q, struct quality *out);

#endif
