/* user/nexthop.c -- gateways and their MACs, from netlink into the next_hops map. See nexthop.h.
 *
 * Two netlink sockets: one asks (the kernel answers within the system call's pair, so nothing blocks), one listens to events. An
 * entry stands for one gateway on one interface and remembers one address that is reached through it: on a route change that
 * address is looked up again, and the entry is rewritten in place. A narrower route that moves only some of the addresses behind a gateway is
 * followed by flows made afterwards. */
#include "user/nexthop.h"

#include <errno.h>
#include <linux/neighbour.h>
#include <linux/rtnetlink.h>
#include <netlink/msg.h>
#include <netlink/netlink.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define NEXTHOPS      1024
#define PROBE_PORT    9 /* discard: nobody listens, and the neighbour is asked for on the way */
#define PROBE_MS      20000
#define PROBE_SOON_MS 500 /* while a gateway is unresolved */
#define RESYNC_MS     50  /* a burst of route events is one look-up */
#define NUD_USABLE    (NUD_REACHABLE | NUD_STALE | NUD_DELAY | NUD_PROBE | NUD_PERMANENT | NUD_NOARP)

struct hop {
	uint32_t refs; /* 0: the entry is free */
	bool reserved; /* ... unless live flows of an earlier worker use it */
	struct addr gateway, sample;
	struct maps_next_hop nh; /* as written to the map */
	uint32_t ifindex;	 /* of the route, also while unresolved */
	uint64_t probed_ms;
	const char *state;
};

struct nexthop {
	struct loop *loop;
	struct maps *maps;
	struct nl_sock *ask, *events;
	struct loop_handle op;
	struct loop_timer probe, resync;
	int udp4, udp6;
	struct hop hops[NEXTHOPS]; /* 0 is never used: it means unresolved */
};

/* ---- questions ------------------------------------------------------------------------------------------------------------ */

struct answer { /* of any of the three questions */
	bool found;
	uint32_t ifindex, mtu;
	uint16_t state;
	bool has_gateway, has_mac;
	struct addr gateway;
	uint8_t mac[6];
};

static int family_of(const struct addr *a)
{
	return addr_is_v4(a) ? AF_INET : AF_INET6;
}

static const uint8_t *ip_of(const struct addr *a, int *n)
{
	*n = addr_is_v4(a) ? 4 : 16;
	return addr_is_v4(a) ? a->ip + 12 : a->ip;
}

static bool addr_from_nla(const struct nlattr *a, struct addr *out)
{
	struct sockaddr_in in = {.sin_family = AF_INET};
	struct sockaddr_in6 in6 = {.sin6_family = AF_INET6};

	if (nla_len(a) == 4) {
		memcpy(&in.sin_addr, nla_data(a), 4);
		return addr_from_sockaddr((struct sockaddr *)&in, out) == 0;
	}
	if (nla_len(a) != 16)
		return false;
	memcpy(&in6.sin6_addr, nla_data(a), 16);
	return addr_from_sockaddr((struct sockaddr *)&in6, out) == 0;
}

static void parse_route(struct nlmsghdr *h, struct answer *out)
{
	struct nlattr *tb[RTA_MAX + 1];
	const struct rtmsg *r = nlmsg_data(h);

	if (nlmsg_parse(h, sizeof(*r), tb, RTA_MAX, NULL) || r->rtm_type != RTN_UNICAST ||
	    !tb[RTA_OIF])
		return;
	out->ifindex = nla_get_u32(tb[RTA_OIF]);
	out->has_gateway = tb[RTA_GATEWAY] && addr_from_nla(tb[RTA_GATEWAY], &out->gateway);
	out->found = true;
}

static void parse_neigh(struct nlmsghdr *h, struct answer *out)
{
	struct nlattr *tb[NDA_MAX + 1];
	const struct ndmsg *n = nlmsg_data(h);

	if (nlmsg_parse(h, sizeof(*n), tb, NDA_MAX, NULL) || !tb[NDA_DST])
		return;
	out->ifindex = (uint32_t)n->ndm_ifindex;
	out->state = n->ndm_state;
	out->found = addr_from_nla(tb[NDA_DST], &out->gateway);
	if (tb[NDA_LLADDR] && nla_len(tb[NDA_LLADDR]) == 6) {
		memcpy(out->mac, nla_data(tb[NDA_LLADDR]), 6);
		out->has_mac = true;
	}
}

static void parse_link(struct nlmsghdr *h, struct answer *out)
{
	struct nlattr *tb[IFLA_MAX + 1];
	const struct ifinfomsg *i = nlmsg_data(h);

	if (nlmsg_parse(h, sizeof(*i), tb, IFLA_MAX, NULL))
		return;
	out->ifindex = (uint32_t)i->ifi_index;
	out->mtu = tb[IFLA_MTU] ? nla_get_u32(tb[IFLA_MTU]) : 0;
	if (tb[IFLA_ADDRESS] && nla_len(tb[IFLA_ADDRESS]) == 6) {
		memcpy(out->mac, nla_data(tb[IFLA_ADDRESS]), 6);
		out->has_mac = true;
	}
	out->found = true;
}

static int on_answer(struct nl_msg *m, void *arg)
{
	struct nlmsghdr *h = nlmsg_hdr(m);

	if (h->nlmsg_type == RTM_NEWROUTE)
		parse_route(h, arg);
	else if (h->nlmsg_type == RTM_NEWNEIGH)
		parse_neigh(h, arg);
	else if (h->nlmsg_type == RTM_NEWLINK)
		parse_link(h, arg);
	return NL_OK;
}

static struct answer ask(struct nexthop *n, struct nl_msg *m)
{
	struct answer a = {};

	if (!m)
		return a;
	nl_socket_modify_cb(n->ask, NL_CB_VALID, NL_CB_CUSTOM, on_answer, &a);
	if (nl_send_auto(n->ask, m) < 0 || nl_recvmsgs_default(n->ask) < 0)
		a.found = false;
	nlmsg_free(m);
	return a;
}

static struct answer ask_route(struct nexthop *n, const struct addr *to)
{
	struct rtmsg r = {.rtm_family = (unsigned char)family_of(to)};
	struct nl_msg *m = nlmsg_alloc_simple(RTM_GETROUTE, NLM_F_REQUEST);
	int len;
	const uint8_t *ip = ip_of(to, &len);

	r.rtm_dst_len = (unsigned char)(len * 8);
	if (m && (nlmsg_append(m, &r, sizeof(r), NLMSG_ALIGNTO) || nla_put(m, RTA_DST, len, ip))) {
		nlmsg_free(m);
		m = NULL;
	}
	return ask(n, m);
}

static struct answer ask_neigh(struct nexthop *n, const struct addr *gateway, uint32_t ifindex)
{
	struct ndmsg d = {.ndm_family = (unsigned char)family_of(gateway),
			  .ndm_ifindex = (int)ifindex};
	struct nl_msg *m = nlmsg_alloc_simple(RTM_GETNEIGH, NLM_F_REQUEST);
	int len;
	const uint8_t *ip = ip_of(gateway, &len);

	if (m && (nlmsg_append(m, &d, sizeof(d), NLMSG_ALIGNTO) || nla_put(m, NDA_DST, len, ip))) {
		nlmsg_free(m);
		m = NULL;
	}
	return ask(n, m);
}

static struct answer ask_link(struct nexthop *n, uint32_t ifindex)
{
	struct ifinfomsg i = {.ifi_family = AF_UNSPEC, .ifi_index = (int)ifindex};
	struct nl_msg *m = nlmsg_alloc_simple(RTM_GETLINK, NLM_F_REQUEST);

	if (m && nlmsg_append(m, &i, sizeof(i), NLMSG_ALIGNTO)) {
		nlmsg_free(m);
		m = NULL;
	}
	return ask(n, m);
}

/* ---- entries -------------------------------------------------------------------------------------------------------------- */

static void hop_write(struct nexthop *n, struct hop *h, const struct maps_next_hop *nh)
{
	if (!memcmp(&h->nh, nh, sizeof(*nh)))
		return;
	h->nh = *nh;
	maps_next_hop_set(n->maps, (uint32_t)(h - n->hops), nh);
}

/* An empty datagram makes the kernel resolve the neighbour, and keeps it from forgetting it. */
static void hop_probe(struct nexthop *n, struct hop *h)
{
	struct addr to = h->gateway;
	struct sockaddr_storage ss;
	socklen_t len;

	to.port = PROBE_PORT;
	len = addr_to_sockaddr(&to, &ss);
	if (ss.ss_family == AF_INET6)
		((struct sockaddr_in6 *)&ss)->sin6_scope_id =
			h->ifindex; /* a gateway is often link-local */
	(void)!sendto(ss.ss_family == AF_INET ? n->udp4 : n->udp6, "", 0, MSG_DONTWAIT,
		      (struct sockaddr *)&ss, len);
	h->probed_ms = loop_now_ms(n->loop);
}

static void hop_apply(struct nexthop *n, struct hop *h, const struct answer *neigh)
{
	struct maps_next_hop nh = {};
	struct answer link;

	if (!neigh->found || !(neigh->state & NUD_USABLE) || !neigh->has_mac) {
		h->state = neigh->found && neigh->state & NUD_FAILED ? "unreachable" : "resolving";
		hop_write(n, h, &nh);
		return;
	}
	link = ask_link(n, h->ifindex);
	if (!link.found || !link.has_mac) {
		h->state = "interface-gone";
		hop_write(n, h, &nh);
		return;
	}
	nh.ifindex = h->ifindex;
	nh.mtu = link.mtu > 65535 ? 65535 : (uint16_t)link.mtu;
	memcpy(nh.src_mac, link.mac, 6);
	memcpy(nh.dst_mac, neigh->mac, 6);
	h->state = "resolved";
	hop_write(n, h, &nh);
}

static void hop_refresh(struct nexthop *n, struct hop *h)
{
	struct answer neigh = ask_neigh(n, &h->gateway, h->ifindex);

	hop_apply(n, h, &neigh);
	if (!h->nh.ifindex)
		hop_probe(n, h);
}

/* Where @to leads now. 0 or -EHOSTUNREACH. */
static int route_of(struct nexthop *n, const struct addr *to, struct addr *gateway,
		    uint32_t *ifindex)
{
	struct answer r = ask_route(n, to);

	if (!r.found)
		return -EHOSTUNREACH;
	*gateway = r.has_gateway ? r.gateway : *to;
	gateway->port = 0;
	*ifindex = r.ifindex;
	return 0;
}

static void nexthop_on_resync(void *arg)
{
	struct nexthop *n = arg;
	uint32_t i;

	for (i = 1; i < NEXTHOPS; i++) {
		struct hop *h = &n->hops[i];
		struct addr gateway;
		uint32_t ifindex;

		if (!h->refs)
			continue;
		if (route_of(n, &h->sample, &gateway, &ifindex)) {
			static const struct maps_next_hop none;

			h->state = "no-route";
			hop_write(n, h, &none);
			continue;
		}
		h->gateway = gateway;
		h->ifindex = ifindex;
		hop_refresh(n, h);
	}
}

static void nexthop_on_probe(void *arg)
{
	struct nexthop *n = arg;
	uint64_t now = loop_now_ms(n->loop);
	uint32_t i;

	for (i = 1; i < NEXTHOPS; i++) {
		struct hop *h = &n->hops[i];

		if (!h->refs)
			continue;
		if (!h->nh.ifindex)
			hop_refresh(n, h);
		else if (now - h->probed_ms >= PROBE_MS)
			hop_probe(n, h);
	}
	loop_timer_set(n->loop, &n->probe, PROBE_SOON_MS);
}

int nexthop_get(struct nexthop *n, const struct addr *to, uint32_t *out_index)
{
	uint32_t i, ifindex, free_at = 0;
	struct addr gateway, sample = *to;
	int err;

	sample.port = 0;
	err = route_of(n, &sample, &gateway, &ifindex);
	if (err)
		return err;
	for (i = 1; i < NEXTHOPS; i++) {
		struct hop *h = &n->hops[i];

		if (h->refs && h->ifindex == ifindex && addr_ip_eq(&h->gateway, &gateway)) {
			h->refs++;
			*out_index = i;
			return 0;
		}
		if (!h->refs && !h->reserved && !free_at)
			free_at = i;
	}
	if (!free_at)
		return -ENOSPC;
	n->hops[free_at] = (struct hop){.refs = 1,
					.gateway = gateway,
					.sample = sample,
					.ifindex = ifindex,
					.state = "resolving"};
	maps_next_hop_set(n->maps, free_at, &n->hops[free_at].nh);
	hop_refresh(n, &n->hops[free_at]);
	*out_index = free_at;
	return 0;
}

void nexthop_reserve(struct nexthop *n, uint32_t index)
{
	if (index && index < NEXTHOPS)
		n->hops[index].reserved = true;
}

void nexthop_reserve_end(struct nexthop *n)
{
	uint32_t i;

	for (i = 1; i < NEXTHOPS; i++)
		n->hops[i].reserved = false;
}

int nexthop_adopt(struct nexthop *n, uint32_t index, const struct addr *to, uint32_t *out_index)
{
	struct addr gateway, sample = *to;
	struct hop *h = &n->hops[index < NEXTHOPS ? index : 0];
	uint32_t ifindex;
	int err;

	sample.port = 0;
	err = route_of(n, &sample, &gateway, &ifindex);
	if (err)
		return err;
	if (h == n->hops || !h->reserved ||
	    (h->refs && (h->ifindex != ifindex || !addr_ip_eq(&h->gateway, &gateway))))
		return nexthop_get(n, to, out_index);
	if (!h->refs) {
		*h = (struct hop){.reserved = true,
				  .gateway = gateway,
				  .sample = sample,
				  .ifindex = ifindex,
				  .state = "resolving"};
		/* The map keeps what it has until there is something better: packets are on their way by it. */
		hop_refresh(n, h);
	}
	h->refs++;
	*out_index = index;
	return 0;
}

void nexthop_put(struct nexthop *n, uint32_t index)
{
	if (index && index < NEXTHOPS && n->hops[index].refs)
		n->hops[index].refs--;
}

bool nexthop_show(const struct nexthop *n, uint32_t index, struct addr *gateway, uint32_t *ifindex,
		  const char **state)
{
	if (!index || index >= NEXTHOPS || !n->hops[index].refs)
		return false;
	*gateway = n->hops[index].gateway;
	*ifindex = n->hops[index].ifindex;
	*state = n->hops[index].state;
	return true;
}

/* ---- events --------------------------------------------------------------------------------------------------------------- */

static void nexthop_neigh_event(struct nexthop *n, struct nlmsghdr *msg)
{
	struct answer a = {};
	uint32_t i;

	parse_neigh(msg, &a);
	for (i = 1; a.found && i < NEXTHOPS; i++) {
		struct hop *h = &n->hops[i];

		if (!h->refs || h->ifindex != a.ifindex || !addr_ip_eq(&h->gateway, &a.gateway))
			continue;
		if (msg->nlmsg_type ==
		    RTM_DELNEIGH) /* forgotten, not wrong: ask again and keep sending meanwhile */
			hop_probe(n, h);
		else if (!(a.state & NUD_INCOMPLETE) || !h->nh.ifindex)
			hop_apply(n, h, &a);
	}
}

static int nexthop_on_event(struct nl_msg *m, void *arg)
{
	struct nexthop *n = arg;
	struct nlmsghdr *h = nlmsg_hdr(m);

	if (h->nlmsg_type == RTM_NEWNEIGH || h->nlmsg_type == RTM_DELNEIGH)
		nexthop_neigh_event(n, h);
	else if (!n->resync.pos)
		loop_timer_set(n->loop, &n->resync, RESYNC_MS);
	return NL_OK;
}

static void nexthop_on_readable(void *arg, int revents)
{
	struct nexthop *n = arg;

	(void)revents;
	/* Anything but "no more" is an overrun or worse: events were lost, so everything is looked up again. */
	if (nl_recvmsgs_default(n->events) < 0 && !n->resync.pos)
		loop_timer_set(n->loop, &n->resync, RESYNC_MS);
	loop_poll(n->loop, nl_socket_get_fd(n->events), POLLIN, false, nexthop_on_readable, n,
		  &n->op);
}

static int nexthop_open(struct nexthop *n)
{
	n->ask = nl_socket_alloc();
	n->events = nl_socket_alloc();
	if (!n->ask || !n->events)
		return -ENOMEM;
	nl_socket_disable_seq_check(n->events);
	nl_socket_disable_auto_ack(n->ask);
	if (nl_connect(n->ask, NETLINK_ROUTE) || nl_connect(n->events, NETLINK_ROUTE) ||
	    nl_socket_add_memberships(n->events, RTNLGRP_NEIGH, RTNLGRP_IPV4_ROUTE,
				      RTNLGRP_IPV6_ROUTE, RTNLGRP_LINK, 0) ||
	    nl_socket_modify_cb(n->events, NL_CB_VALID, NL_CB_CUSTOM, nexthop_on_event, n) ||
	    nl_socket_set_nonblocking(n->events))
		return -EIO;
	n->udp4 = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	n->udp6 = socket(AF_INET6, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	return n->udp4 < 0 ? -errno : 0; /* a host without IPv6 has no IPv6 gateways either */
}

int nexthop_new(struct loop *l, struct maps *m, struct nexthop **out)
{
	struct nexthop *n = calloc(1, sizeof(*n));
	int err;

	if (!n)
		return -ENOMEM;
	n->loop = l;
	n->maps = m;
	n->udp4 = n->udp6 = -1;
	n->probe = (struct loop_timer){.fn = nexthop_on_probe, .arg = n};
	n->resync = (struct loop_timer){.fn = nexthop_on_resync, .arg = n};
	err = nexthop_open(n);
	if (!err)
		err = loop_poll(l, nl_socket_get_fd(n->events), POLLIN, false, nexthop_on_readable,
				n, &n->op);
	if (!err)
		err = loop_timer_set(l, &n->probe, PROBE_SOON_MS);
	if (err) {
		nexthop_free(n);
		return err;
	}
	*out = n;
	return 0;
}

void nexthop_free(struct nexthop *n)
{
	if (!n)
		return;
	loop_cancel(n->loop, &n->op);
	loop_timer_cancel(n->loop, &n->probe);
	loop_timer_cancel(n->loop, &n->resync);
	nl_socket_free(n->ask);
	nl_socket_free(n->events);
	if (n->udp4 >= 0)
		close(n->udp4);
	if (n->udp6 >= 0)
		close(n->udp6);
	free(n);
}
