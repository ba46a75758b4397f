/* sip/clocks.h -- the RTP clock rates that a media description gives its payload types (RFC 8866 6.6, RFC 3551 table 4 and 5).
 *
 * In: an m-line's section. Out: numbers for whoever measures jitter: clock rate in Hz << 8 | 0x80 | payload type; 0 ends a list. Left out: types
 * without a known clock, and telephone-event (RFC 4733), whose timestamps stand still. No allocation, no I/O. */
#ifndef SALLYPORT_SIP_CLOCKS_H
#define SALLYPORT_SIP_CLOCKS_H

#include "sip/sdp.h"

#define CLOCKS_MAX   8	/* that are told of a direction */
#define CLOCKS_OFFER 32 /* that are looked at in an offer; others have none */

/* In the order of the m-line, at most @max. Returns their number; what is behind it in @out is 0. */
unsigned clocks_read(const struct sdp_media *sm, uint32_t *out, unsigned max);
/* The first CLOCKS_MAX of @all: those that @chosen names as well go first. */
void clocks_pick(const uint32_t *all, unsigned n, const uint32_t *chosen, uint32_t out[CLOCKS_MAX]);

#endif
