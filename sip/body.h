/* sip/body.h -- the session description in a message's body, alone or as a part (RFC 2046 section 5.1, RFC 5621).
 *
 * In: a parsed message. Out: where its description is; a body with another in its place. No allocation, no state. */
#ifndef SALLYPORT_SIP_BODY_H
#define SALLYPORT_SIP_BODY_H

#include "sip/sip.h"

/* 1: *out is the description; 0: there is none; -EBADMSG: encoded, of no stated type, two of them, or parts that do
 * not hold together, so that it cannot be known what passes. */
int body_sdp(const struct sip_msg *m, struct span *out);
/* The body of @m with @sdp where @old was (@old is a span of it). Empty when it does not fit @buf. */
struct span body_replace(const struct sip_msg *m, struct span old, struct span sdp, void *buf,
			 size_t cap);

#endif
