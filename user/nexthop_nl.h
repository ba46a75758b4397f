/* user/nexthop_nl.h -- the questions to the kernel that next hops need, and its events, by libnl.
 *
 * In: an address or an interface. Out: plain values. A netlink request is answered within the send itself, so that asking never
 * waits. Owns two netlink sockets; opens nothing after nexthop_nl_open(), so that it works behind the sandbox. */
#ifndef SALLYPORT_NEXTHOP_NL_H
#define SALLYPORT_NEXTHOP_NL_H

#include <stdbool.h>
#include <stdint.h>

#include "user/addr.h"

struct nexthop_nl;

struct nexthop_route {
	struct addr prefix;  /* the matching route's destination, port 0 */
	unsigned prefix_len; /* of 128: IPv4 counts from 96 */
	struct addr gateway; /* the destination itself where it is on the link */
	uint32_t ifindex;
	bool local; /* an address of this host */
};

struct nexthop_neigh {
	struct addr ip;
	uint32_t ifindex;
	uint8_t mac[6];
	bool valid; /* the kernel would send to @mac now */
};

struct nexthop_link {
	uint8_t mac[6];
	uint16_t mtu;
	bool has_mac;
};

struct nexthop_nl_ops {
	void (*neigh)(void *arg, const struct nexthop_neigh *n); /* a neighbour changed */
	void (*changed)(
		void *arg); /* routes or links changed, or events were lost: ask again for everything */
};

int nexthop_nl_open(const struct nexthop_nl_ops *ops, void *arg, struct nexthop_nl **out);
void nexthop_nl_close(struct nexthop_nl *n);
int nexthop_nl_fd(const struct nexthop_nl *n); /* poll it for nexthop_nl_events() */
/* Take what waits, at most 4,096 messages: true when there may be more. */
bool nexthop_nl_events(struct nexthop_nl *n);

/* 0, -EHOSTUNREACH (none, or not by unicast), or another negative errno. */
int nexthop_nl_route(struct nexthop_nl *n, const struct addr *to, struct nexthop_route *out);
int nexthop_nl_neigh(struct nexthop_nl *n, const struct addr *ip, uint32_t ifindex,
		     struct nexthop_neigh *out);
int nexthop_nl_link(struct nexthop_nl *n, uint32_t ifindex, struct nexthop_link *out);

#endif
