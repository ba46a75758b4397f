/* user/nexthop_nl.c -- netlink questions and events by libnl. See nexthop_nl.h. */
#include "user/nexthop_nl.h"

#include <errno.h>
#include <linux/neighbour.h>
#include <linux/rtnetlink.h>
#include <net/if.h>
#include <netlink/msg.h>
#include <netlink/netlink.h>
#include <netlink/route/link.h>
#include <netlink/route/neighbour.h>
#include <netlink/route/route.h>
#include <stdlib.h>
#include <string.h>

#define NL_EVENTS_MAX 4096
#define NL_EVENTS_BUF (1 << 20)
#define NUD_USABLE    (NUD_PERMANENT | NUD_NOARP | NUD_REACHABLE | NUD_PROBE | NUD_STALE | NUD_DELAY)

struct nexthop_nl {
	struct nl_sock *ask, *events;
	const struct nexthop_nl_ops *ops;
	void *arg;
	/* What the question that is under way wants: one of these, and whether it came. */
	struct nexthop_route *route;
	struct nexthop_neigh *neigh;
	bool answered;
};

static int nl_errno(int nle)
{
	switch (-nle) {
	case NLE_OBJ_NOTFOUND:
		return -ENOENT;
	case NLE_NOMEM:
		return -ENOMEM;
	case NLE_PERM:
		return -EPERM;
	case NLE_AGAIN:
		return -EAGAIN;
	default:
		return -EIO;
	}
}

static int addr_of(const struct nl_addr *a, struct addr *out)
{
	struct sockaddr_storage ss;
	socklen_t len = sizeof(ss);

	if (!a || nl_addr_fill_sockaddr(a, (struct sockaddr *)&ss, &len))
		return -EAFNOSUPPORT;
	if (addr_from_sockaddr((struct sockaddr *)&ss, out))
		return -EAFNOSUPPORT;
	out->port = 0;
	return 0;
}

static void mac_of(const struct nl_addr *a, uint8_t mac[6], bool *out_is)
{
	*out_is = a && nl_addr_get_len(a) == 6;
	if (*out_is)
		memcpy(mac, nl_addr_get_binary_addr(a), 6);
}

static bool neigh_of(struct nlmsghdr *h, struct nexthop_neigh *out)
{
	struct rtnl_neigh *k = NULL;
	bool ok, mac = false;

	memset(out, 0, sizeof(*out));
	if (rtnl_neigh_parse(h, &k) < 0)
		return false;
	ok = addr_of(rtnl_neigh_get_dst(k), &out->ip) == 0;
	out->ifindex = (uint32_t)rtnl_neigh_get_ifindex(k);
	mac_of(rtnl_neigh_get_lladdr(k), out->mac, &mac);
	out->valid = mac && rtnl_neigh_get_state(k) > 0 && (rtnl_neigh_get_state(k) & NUD_USABLE) &&
		     h->nlmsg_type == RTM_NEWNEIGH;
	rtnl_neigh_put(k);
	return ok;
}

/* The kernel gives no destination for a default route. */
static void route_prefix(struct rtnl_route *r, bool v4, struct nexthop_route *out)
{
	struct nl_addr *dst = rtnl_route_get_dst(r);
	unsigned len = dst ? nl_addr_get_prefixlen(dst) : 0;

	memset(&out->prefix, 0, sizeof(out->prefix));
	if (!len || addr_of(dst, &out->prefix))
		len = 0;
	out->prefix_len = len + (v4 ? 96 : 0);
}

static void route_answer(struct nexthop_nl *n, struct nlmsghdr *h)
{
	struct nexthop_route *out = n->route;
	struct rtnl_route *r = NULL;
	struct rtnl_nexthop *hop;
	struct nl_addr *gw;
	uint8_t type;

	if (rtnl_route_parse(h, &r) < 0)
		return;
	hop = rtnl_route_nexthop_n(r, 0); /* of several, the first: one flow, one way */
	type = rtnl_route_get_type(r);
	if (hop && (type == RTN_UNICAST || type == RTN_LOCAL)) {
		out->local = type == RTN_LOCAL;
		gw = rtnl_route_nh_get_gateway(hop);
		if (!gw)
			gw = rtnl_route_nh_get_via(hop); /* IPv4 by way of an IPv6 neighbour */
		route_prefix(r, rtnl_route_get_family(r) == AF_INET, out);
		out->ifindex = (uint32_t)rtnl_route_nh_get_ifindex(hop);
		n->answered = !gw || addr_of(gw, &out->gateway) == 0;
	}
	rtnl_route_put(r);
}

static int on_answer(struct nl_msg *msg, void *arg)
{
	struct nexthop_nl *n = arg;
	struct nlmsghdr *h = nlmsg_hdr(msg);

	if (n->route && h->nlmsg_type == RTM_NEWROUTE)
		route_answer(n, h);
	else if (n->neigh && h->nlmsg_type == RTM_NEWNEIGH)
		n->answered = neigh_of(h, n->neigh);
	return NL_OK;
}

static int on_event(struct nl_msg *msg, void *arg)
{
	struct nexthop_nl *n = arg;
	struct nlmsghdr *h = nlmsg_hdr(msg);
	struct nexthop_neigh k;

	if (h->nlmsg_type != RTM_NEWNEIGH && h->nlmsg_type != RTM_DELNEIGH)
		n->ops->changed(n->arg);
	else if (neigh_of(h, &k))
		n->ops->neigh(n->arg, &k);
	return NL_OK;
}

static int events_open(struct nexthop_nl *n)
{
	int rc;

	nl_socket_disable_seq_check(n->events);
	rc = nl_socket_modify_cb(n->events, NL_CB_VALID, NL_CB_CUSTOM, on_event, n);
	if (!rc)
		rc = nl_connect(n->events, NETLINK_ROUTE);
	if (!rc)
		rc = nl_socket_add_memberships(n->events, RTNLGRP_NEIGH, RTNLGRP_IPV4_ROUTE,
					       RTNLGRP_IPV6_ROUTE, RTNLGRP_LINK, 0);
	if (!rc)
		rc = nl_socket_set_nonblocking(n->events);
	/* A smaller buffer only means more resyncs. */
	if (!rc)
		nl_socket_set_buffer_size(n->events, NL_EVENTS_BUF, 0);
	return rc;
}

int nexthop_nl_open(const struct nexthop_nl_ops *ops, void *arg, struct nexthop_nl **out)
{
	struct nexthop_nl *n = calloc(1, sizeof(*n));
	int rc = -NLE_NOMEM;

	if (!n)
		return -ENOMEM;
	n->ops = ops;
	n->arg = arg;
	n->ask = nl_socket_alloc();
	n->events = nl_socket_alloc();
	if (n->ask && n->events) {
		nl_socket_disable_auto_ack(n->ask);
		rc = nl_socket_modify_cb(n->ask, NL_CB_VALID, NL_CB_CUSTOM, on_answer, n);
		if (!rc)
			rc = nl_connect(n->ask, NETLINK_ROUTE);
		/* Never a wait: the answer is there when the send returns. */
		if (!rc)
			rc = nl_socket_set_nonblocking(n->ask);
		if (!rc)
			rc = events_open(n);
	}
	if (!rc) {
		*out = n;
		return 0;
	}
	nexthop_nl_close(n);
	return nl_errno(rc);
}

void nexthop_nl_close(struct nexthop_nl *n)
{
	if (!n)
		return;
	nl_socket_free(n->ask);
	nl_socket_free(n->events);
	free(n);
}

int nexthop_nl_fd(const struct nexthop_nl *n)
{
	return nl_socket_get_fd(n->events);
}

bool nexthop_nl_events(struct nexthop_nl *n)
{
	int i, rc;

	for (i = 0; i < NL_EVENTS_MAX; i++) {
		rc = nl_recvmsgs_default(n->events);
		if (rc == -NLE_AGAIN)
			return false;
		/* ENOBUFS reads as NOMEM: events were lost. Any other error is treated alike: what we know may be old. */
		if (rc < 0)
			n->ops->changed(n->arg);
	}
	return true;
}

/* Send @msg (freed here) and take its one answer; -ENOENT when the kernel has none. */
static int ask(struct nexthop_nl *n, struct nl_msg *msg)
{
	int rc = nl_send_auto(n->ask, msg);

	nlmsg_free(msg);
	n->answered = false;
	if (rc >= 0)
		rc = nl_recvmsgs_default(n->ask);
	n->route = NULL;
	n->neigh = NULL;
	if (rc < 0)
		return nl_errno(rc);
	return n->answered ? 0 : -ENOENT;
}

static int put_ip(struct nl_msg *msg, int attr, const struct addr *a)
{
	return addr_is_v4(a) ? nla_put(msg, attr, 4, a->ip + 12) : nla_put(msg, attr, 16, a->ip);
}

int nexthop_nl_route(struct nexthop_nl *n, const struct addr *to, struct nexthop_route *out)
{
	bool v4 = addr_is_v4(to);
	struct rtmsg m = {
		.rtm_family = v4 ? AF_INET : AF_INET6,
		.rtm_dst_len = v4 ? 32 : 128,
		.rtm_flags =
			RTM_F_FIB_MATCH, /* the route's own prefix, not the address asked for */
	};
	struct nl_msg *msg = nlmsg_alloc_simple(RTM_GETROUTE, NLM_F_REQUEST);
	int rc;

	if (!msg)
		return -ENOMEM;
	if (nlmsg_append(msg, &m, sizeof(m), NLMSG_ALIGNTO) || put_ip(msg, RTA_DST, to)) {
		nlmsg_free(msg);
		return -ENOMEM;
	}
	memset(out, 0, sizeof(*out));
	out->gateway = *to;
	out->gateway.port = 0;
	n->route = out;
	rc = ask(n, msg);
	/* The kernel's ENETUNREACH has no name of its own in libnl. */
	return rc && rc != -ENOMEM ? -EHOSTUNREACH : rc;
}

int nexthop_nl_neigh(struct nexthop_nl *n, const struct addr *ip, uint32_t ifindex,
		     struct nexthop_neigh *out)
{
	struct ndmsg m = {
		.ndm_family = addr_is_v4(ip) ? AF_INET : AF_INET6,
		.ndm_ifindex = (int)ifindex,
	};
	struct nl_msg *msg = nlmsg_alloc_simple(RTM_GETNEIGH, NLM_F_REQUEST);

	if (!msg)
		return -ENOMEM;
	if (nlmsg_append(msg, &m, sizeof(m), NLMSG_ALIGNTO) || put_ip(msg, NDA_DST, ip)) {
		nlmsg_free(msg);
		return -ENOMEM;
	}
	n->neigh = out;
	return ask(n, msg);
}

int nexthop_nl_link(struct nexthop_nl *n, uint32_t ifindex, struct nexthop_link *out)
{
	struct rtnl_link *l = NULL;
	unsigned mtu;
	int rc = rtnl_link_get_kernel(n->ask, (int)ifindex, NULL, &l);

	if (rc < 0)
		return nl_errno(rc);
	memset(out, 0, sizeof(*out));
	mac_of(rtnl_link_get_addr(l), out->mac, &out->has_mac);
	mtu = rtnl_link_get_mtu(l);
	out->mtu = mtu > UINT16_MAX ? UINT16_MAX : (uint16_t)mtu;
	if (rtnl_link_get_flags(l) & IFF_LOOPBACK)
		out->has_mac = false;
	rtnl_link_put(l);
	return 0;
}
