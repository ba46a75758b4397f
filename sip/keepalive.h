/* sip/keepalive.h -- keepalives that clients send inside their SIP stream: CRLF (RFC 5626 3.5.1) and STUN binding requests.
 *
 * In: the bytes at the front of the stream. Out: how many belong to a keepalive, and the answer to write. Used by the edge's gate
 * before a stream is admitted and by the core afterwards, so both read alike. Pure functions, no owner. */
#ifndef SALLYPORT_SIP_KEEPALIVE_H
#define SALLYPORT_SIP_KEEPALIVE_H

#include "user/addr.h"
#include "user/span.h"

#define SIP_KEEPALIVE_MAX \
	64 /* longest answer: STUN success with an IPv6 XOR-MAPPED-ADDRESS is 44 */

/* Returns bytes to consume (> 0) with the answer in @answer (*answer_n may be 0: a lone CRLF), 0 when the stream goes on with something
 * else, -EAGAIN when a keepalive has begun and is not complete. A STUN message that is no binding request or longer than 128
 * bytes is 0: the SIP parser then refuses it. @peer: the client, told back in XOR-MAPPED-ADDRESS (RFC 5389 15.2). */
ssize_t sip_stream_keepalive(struct span in, const struct addr *peer,
			     uint8_t answer[SIP_KEEPALIVE_MAX], size_t *answer_n);

#endif
