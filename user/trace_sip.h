/* user/trace_sip.h -- the few fields of a SIP message that a record of it needs, found without parsing all of it.
 *
 * In: bytes that were parsed already, or that we wrote: no judge of form, and never trusted with more than a trace. Out: spans into
 * them. A folded field counts up to its first line's end. No allocation, no state. */
#ifndef SALLYPORT_TRACE_SIP_H
#define SALLYPORT_TRACE_SIP_H

#include <stdbool.h>

#include "user/span.h"

struct trace_sip {
	bool request;
	unsigned code;		    /* of an answer */
	struct span method, number; /* of CSeq */
	struct span call_id;
	struct span from, to; /* URIs, from the scheme to the host's end */
};
/* False: no start line, or one of the four fields is missing. */
bool trace_sip_scan(struct span msg, struct trace_sip *out);

#endif
