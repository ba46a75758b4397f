/* user/punch.h -- the core's STUN binding request towards a flow's inside port, and its check on the edge.
 *
 * In: flow id, rising counter, the flow's key from Allocate. Out: one datagram (RFC 5389 binding request with two comprehension-optional
 * attributes, flow id 0xC5A0 and counter 0xC5A1 of 8 bytes each, then MESSAGE-INTEGRITY as the last), or the verdict on one.
 * Nothing is answered on the wire. Pure functions, no owner. An older counter than the last good one is refused by the caller. */
#ifndef SALLYPORT_PUNCH_H
#define SALLYPORT_PUNCH_H

#include <stdint.h>
#include <sys/types.h>

#include "user/span.h"

#define PUNCH_KEY_LEN 20
#define PUNCH_MAX     96

struct punch {
	uint64_t flow, counter;
};

/* Returns the length written into @buf; 0: the crypto library failed. */
size_t punch_build(const struct punch *p, const uint8_t key[PUNCH_KEY_LEN],
		   const uint8_t transaction[12], uint8_t buf[PUNCH_MAX]);
/* Read the attributes without trusting them (to find the key). 0 or -EBADMSG. */
int punch_parse(struct span in, struct punch *out);
/* MESSAGE-INTEGRITY right, compared in constant time. */
int punch_verify(struct span in, const uint8_t key[PUNCH_KEY_LEN]); /* 0 or -EKEYREJECTED */

#endif
