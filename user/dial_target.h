/* user/dial_target.h -- which of a name's addresses may be dialled, and in which order.
 *
 * In: addresses as the resolver gave them, for a name that somebody else chose. Out: yes or no, and an order. Pure. */
#ifndef SALLYPORT_DIAL_TARGET_H
#define SALLYPORT_DIAL_TARGET_H

#include "user/dns.h"

/* May a server at @a be dialled? */
bool dial_target_allowed(const struct addr *a, bool private_too);
/* By priority; within one, by weight and @random (RFC 2782): each place is drawn among those that are left. */
void dial_target_order(struct dns_target *t, unsigned n, uint64_t random);

#endif
