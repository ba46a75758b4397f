/* user/nexthop.h -- which interface and MAC lead to an address, kept fresh from netlink.
 *
 * Data flow: nexthop_get(address) -> route look-up, neighbour look-up -> an entry of the next_hops map; route and neighbour
 * events rewrite entries in place, so flows follow without being touched. An unresolved gateway is asked for by an empty
 * datagram to its port 9, repeated every 20 s a gateway (RTM_NEWNEIGH needs a privilege that the worker dropped).
 * Owner rules: owns its netlink sockets and the reference counts of entries; writes maps by maps_next_hop_set(). */
#ifndef SALLYPORT_NEXTHOP_H
#define SALLYPORT_NEXTHOP_H

#include <stdint.h>

#include "user/addr.h"
#include "user/loop.h"
#include "user/maps.h"

struct nexthop;

/* @m NULL: the kernel routes (the rung on sockets). Then only the question whether there is a route is asked, and one entry serves all. */
int nexthop_new(struct loop *l, struct maps *m, struct nexthop **out);
void nexthop_free(struct nexthop *n);
/* The entry (1..1023) that leads to @to, shared by all addresses with the same gateway and interface. It may still be
 * unresolved. -EHOSTUNREACH (no route), -EADDRINUSE (an address of this host, where only sockets reach), -ENOSPC (1,023 gateways). Balance with nexthop_put(). */
int nexthop_get(struct nexthop *n, const struct addr *to, uint32_t *out_index);
void nexthop_put(struct nexthop *n, uint32_t index);
/* A worker that follows another one: entries that live flows use keep their numbers and what is in them, so that not one packet
 * takes a wrong way. First reserve all of them, then adopt one by one (as nexthop_get(), but it may be another number if the
 * route changed meanwhile), then end the reservation. */
void nexthop_reserve(struct nexthop *n, uint32_t index);
int nexthop_adopt(struct nexthop *n, uint32_t index, const struct addr *to, uint32_t *out_index);
void nexthop_reserve_end(struct nexthop *n);
/* For status: gateway, ifindex, state text of an entry; false when it is not in use. */
bool nexthop_show(const struct nexthop *n, uint32_t index, struct addr *gateway, uint32_t *ifindex,
		  const char **state);

#endif
