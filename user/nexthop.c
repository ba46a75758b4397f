/* user/nexthop.c -- the table of next hops: found, counted, kept fresh. See nexthop.h.
 *
 * In: addresses that flows go to, netlink events. Out: entries of the next_hops map. An entry belongs to a route (its prefix) and
 * gateway, not to the gateway alone: when that route moves to another gateway, the entry is rewritten and takes just the flows of
 * that prefix with it. A learned MAC is kept when the kernel's neighbour entry fails or is collected: the kernel sees nothing of
 * the packets that XDP carries, and one lost ARP answer must not cut calls. It is asked for again every second then. */
#include "user/nexthop.h"

#include <errno.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "bpf/abi.h"
#include "user/log.h"
#include "user/nexthop_nl.h"

#define ASK_MS	     20000 /* a gateway that is known */
#define ASK_AGAIN_MS 1000  /* one that is not */
#define TICK_MS	     1000
#define SOON_MS	     50	  /* after a route event: the rest of the burst comes too */
#define APART_MS     1000 /* and full passes are at least so far apart */

#define KERNEL_ROUTES 1 /* the one entry where there is no map */

enum entry_state { NH_RESOLVING, NH_RESOLVED, NH_KEPT, NH_NO_ROUTE, NH_NO_MAC };

struct entry {
	uint32_t refs;
	bool reserved;
	bool synced;	/* the map holds .map */
	bool found;	/* the map holds what a former worker wrote, not .map */
	bool mac_known; /* map.dst_mac is this gateway's */
	enum entry_state state;
	struct addr probe; /* the address this entry was made for: stands for all that share it */
	struct nexthop_route route;
	struct maps_next_hop map;
	uint64_t ask_due_ms;
};

struct nexthop {
	struct loop *loop;
	struct maps *maps;
	struct nexthop_nl *nl;
	struct loop_handle poll;
	struct loop_timer tick, pass;
	uint64_t last_pass_ms;
	int ask4, ask6;
	struct entry e[SP_NEXT_HOPS];
};

static const char *const state_text[] = {
	[NH_RESOLVING] = "resolving", [NH_RESOLVED] = "resolved", [NH_KEPT] = "kept",
	[NH_NO_ROUTE] = "no-route",   [NH_NO_MAC] = "no-mac",
};

static bool same_way(const struct nexthop_route *a, const struct nexthop_route *b)
{
	return a->ifindex == b->ifindex && addr_ip_eq(&a->gateway, &b->gateway);
}

static bool same_route(const struct nexthop_route *a, const struct nexthop_route *b)
{
	return same_way(a, b) && a->prefix_len == b->prefix_len &&
	       addr_ip_eq(&a->prefix, &b->prefix);
}

/* To an address of our own no frame ever goes out, so neither XDP nor tc can send one there. */
static int route_of(const struct nexthop *n, const struct addr *to, struct nexthop_route *out)
{
	int err = nexthop_nl_route(n->nl, to, out);

	return !err && out->local && n->maps ? -EADDRINUSE : err;
}

/* An empty datagram to port 9 makes the kernel look for the neighbour. Whether it arrives does not matter. */
static void ask_gateway(struct nexthop *n, const struct nexthop_route *r)
{
	union {
		char buf[CMSG_SPACE(sizeof(struct in6_pktinfo))];
		struct cmsghdr align;
	} control = {};
	struct sockaddr_storage ss;
	struct addr to = r->gateway;
	struct msghdr msg = {.msg_name = &ss, .msg_control = control.buf};
	struct cmsghdr *c = (struct cmsghdr *)control.buf;
	struct in6_pktinfo p6 = {.ipi6_ifindex = r->ifindex};
	struct in_pktinfo p4 = {.ipi_ifindex = (int)r->ifindex};
	bool v4 = addr_is_v4(&to);

	to.port = 9;
	msg.msg_namelen = addr_to_sockaddr(&to, &ss);
	msg.msg_controllen = v4 ? CMSG_SPACE(sizeof(p4)) : CMSG_SPACE(sizeof(p6));
	c->cmsg_level = v4 ? IPPROTO_IP : IPPROTO_IPV6;
	c->cmsg_type = v4 ? IP_PKTINFO : IPV6_PKTINFO;
	c->cmsg_len = v4 ? CMSG_LEN(sizeof(p4)) : CMSG_LEN(sizeof(p6));
	memcpy(CMSG_DATA(c), v4 ? (void *)&p4 : (void *)&p6, v4 ? sizeof(p4) : sizeof(p6));
	if (!v4)
		((struct sockaddr_in6 *)&ss)->sin6_scope_id = r->ifindex;
	if (sendmsg(v4 ? n->ask4 : n->ask6, &msg, MSG_DONTWAIT | MSG_NOSIGNAL) < 0 &&
	    errno != EAGAIN)
		log_event(LOG_L_DEBUG, "next-hop-ask", "error=\"%s\"", strerror(errno));
}

static bool needs_asking(const struct entry *e)
{
	return e->state == NH_RESOLVING || e->state == NH_KEPT;
}

/* Ask for the gateway of @e when it is due; entries with the same gateway are served by the same question. */
static void ask_when_due(struct nexthop *n, struct entry *e, uint64_t now)
{
	uint32_t i;

	if (e->state == NH_NO_ROUTE || e->state == NH_NO_MAC || now < e->ask_due_ms)
		return;
	ask_gateway(n, &e->route);
	for (i = 1; i < SP_NEXT_HOPS; i++)
		if (n->e[i].refs && same_way(&n->e[i].route, &e->route))
			n->e[i].ask_due_ms = now + (needs_asking(e) ? ASK_AGAIN_MS : ASK_MS);
}

static void write_map(struct nexthop *n, struct entry *e, const struct maps_next_hop *nh)
{
	uint32_t index = (uint32_t)(e - n->e);
	int err;

	if (e->synced && memcmp(&e->map, nh, sizeof(*nh)) == 0)
		return;
	/* A new worker leaves what it found until it knows better: packets go on meanwhile. */
	if (e->found && !nh->ifindex && e->state == NH_RESOLVING)
		return;
	err = maps_next_hop_set(n->maps, index, nh);
	if (err) {
		log_event(LOG_L_ERROR, "next-hop-write", "index=%u error=\"%s\"", index,
			  strerror(-err));
		return;
	}
	e->map = *nh;
	e->synced = true;
	e->found = false;
}

static void set_state(struct nexthop *n, struct entry *e, enum entry_state state)
{
	char gw[ADDR_TEXT_MAX];

	if (e->state == state)
		return;
	e->state = state;
	log_event(LOG_L_INFO, "next-hop", "index=%u gateway=%s ifindex=%u state=%s",
		  (uint32_t)(e - n->e), addr_text(&e->route.gateway, gw), e->route.ifindex,
		  state_text[state]);
}

/* What the kernel says about the gateway goes into the map. @k: its neighbour entry, valid or not. */
static void apply(struct nexthop *n, struct entry *e, const struct nexthop_link *link,
		  const struct nexthop_neigh *k)
{
	struct maps_next_hop nh = {};

	if (!link->has_mac) {
		set_state(n, e, NH_NO_MAC);
		write_map(n, e, &nh);
		return;
	}
	memcpy(nh.src_mac, link->mac, 6);
	nh.mtu = link->mtu;
	if (k->valid)
		memcpy(nh.dst_mac, k->mac, 6);
	else if (e->mac_known)
		memcpy(nh.dst_mac, e->map.dst_mac, 6);
	set_state(n, e, k->valid ? NH_RESOLVED : e->mac_known ? NH_KEPT : NH_RESOLVING);
	if (k->valid || e->mac_known)
		nh.ifindex = e->route.ifindex;
	else
		memset(&nh, 0, sizeof(nh));
	write_map(n, e, &nh);
	if (k->valid)
		e->mac_known = true;
	else
		ask_when_due(n, e, loop_now_ms(n->loop));
}

/* Ask the kernel for everything about @e, whose route is already known. */
static void fill(struct nexthop *n, struct entry *e)
{
	struct nexthop_neigh k = {};
	struct nexthop_link link = {};

	if (nexthop_nl_link(n->nl, e->route.ifindex, &link))
		link.has_mac = false;
	if (nexthop_nl_neigh(n->nl, &e->route.gateway, e->route.ifindex, &k))
		k.valid = false;
	apply(n, e, &link, &k);
}

static void refresh(struct nexthop *n, struct entry *e)
{
	static const struct maps_next_hop none;
	struct nexthop_route r;

	if (route_of(n, &e->probe, &r)) {
		e->mac_known = false;
		set_state(n, e, NH_NO_ROUTE);
		write_map(n, e, &none);
		return;
	}
	if (!same_way(&r, &e->route)) {
		e->mac_known = e->found = false;
		e->ask_due_ms = 0;
		e->state = NH_RESOLVING;
	}
	e->route = r;
	fill(n, e);
}

static void pass(void *arg)
{
	struct nexthop *n = arg;
	uint32_t i;

	n->last_pass_ms = loop_now_ms(n->loop);
	for (i = 1; i < SP_NEXT_HOPS; i++)
		if (n->e[i].refs)
			refresh(n, &n->e[i]);
}

static void on_changed(void *arg)
{
	struct nexthop *n = arg;
	uint64_t since = loop_now_ms(n->loop) - n->last_pass_ms;

	if (n->pass.pos)
		return;
	if (loop_timer_set(n->loop, &n->pass,
			   since + SOON_MS < APART_MS ? APART_MS - since : SOON_MS))
		pass(n); /* no memory for a timer: at once, then */
}

static void on_neigh(void *arg, const struct nexthop_neigh *k)
{
	struct nexthop *n = arg;
	struct nexthop_link link;
	uint32_t i;

	for (i = 1; i < SP_NEXT_HOPS; i++) {
		struct entry *e = &n->e[i];

		if (!e->refs || e->state == NH_NO_ROUTE || e->route.ifindex != k->ifindex ||
		    !addr_ip_eq(&e->route.gateway, &k->ip))
			continue;
		if (nexthop_nl_link(n->nl, k->ifindex, &link))
			link.has_mac = false;
		apply(n, e, &link, k);
	}
}

static void on_readable(void *arg, int revents);

static void arm(struct nexthop *n)
{
	n->poll = (struct loop_handle){};
	/* The tick tries again when the loop has no operation free. */
	if (loop_poll(n->loop, nexthop_nl_fd(n->nl), POLLIN, true, on_readable, n, &n->poll))
		log_event(LOG_L_ERROR, "next-hop-events", "error=\"no loop operation free\"");
}

static void on_readable(void *arg, int revents)
{
	struct nexthop *n = arg;

	if (nexthop_nl_events(n->nl))
		on_changed(
			n); /* a flood: what is left is read by the next tick, and then nothing of it matters */
	if (revents < 0) {
		arm(n);
		on_changed(n);
	}
}

static void on_tick(void *arg)
{
	struct nexthop *n = arg;
	uint64_t now = loop_now_ms(n->loop);
	uint32_t i;

	if (!n->poll.gen)
		arm(n);
	nexthop_nl_events(n->nl);
	for (i = 1; i < SP_NEXT_HOPS; i++)
		if (n->e[i].refs)
			ask_when_due(n, &n->e[i], now);
	if (loop_timer_set(n->loop, &n->tick, TICK_MS))
		log_event(LOG_L_ERROR, "next-hop-events", "error=\"no memory for a timer\"");
}

static const struct nexthop_nl_ops nl_ops = {.neigh = on_neigh, .changed = on_changed};

int nexthop_new(struct loop *l, struct maps *m, struct nexthop **out)
{
	struct nexthop *n = calloc(1, sizeof(*n));
	int err;

	if (!n)
		return -ENOMEM;
	n->loop = l;
	n->maps = m;
	n->tick = (struct loop_timer){.fn = on_tick, .arg = n};
	n->pass = (struct loop_timer){.fn = pass, .arg = n};
	n->ask4 = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	n->ask6 = socket(AF_INET6, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	err = n->ask4 < 0 ? -errno : nexthop_nl_open(&nl_ops, n, &n->nl);
	if (!err)
		err = loop_poll(l, nexthop_nl_fd(n->nl), POLLIN, true, on_readable, n, &n->poll);
	if (!err)
		err = loop_timer_set(l, &n->tick, TICK_MS);
	if (err)
		nexthop_free(n);
	else
		*out = n;
	return err;
}

void nexthop_free(struct nexthop *n)
{
	if (!n)
		return;
	loop_cancel(n->loop, &n->poll);
	loop_timer_cancel(n->loop, &n->tick);
	loop_timer_cancel(n->loop, &n->pass);
	nexthop_nl_close(n->nl);
	if (n->ask4 >= 0)
		close(n->ask4);
	if (n->ask6 >= 0)
		close(n->ask6);
	free(n);
}

static int claim(struct nexthop *n, struct entry *e, const struct addr *to,
		 const struct nexthop_route *r)
{
	*e = (struct entry){.refs = 1,
			    .reserved = e->reserved,
			    .found = e->reserved,
			    .probe = *to,
			    .route = *r};
	e->probe.port = 0;
	fill(n, e);
	return 0;
}

int nexthop_get(struct nexthop *n, const struct addr *to, uint32_t *out_index)
{
	struct nexthop_route r;
	uint32_t i, free_one = 0;
	int err = route_of(n, to, &r);

	if (err)
		return err;
	if (!n->maps) {
		*out_index = KERNEL_ROUTES;
		return 0;
	}
	for (i = 1; i < SP_NEXT_HOPS; i++) {
		if (n->e[i].refs && same_route(&n->e[i].route, &r)) {
			n->e[i].refs++;
			*out_index = i;
			return 0;
		}
		if (!free_one && !n->e[i].refs && !n->e[i].reserved)
			free_one = i;
	}
	if (!free_one)
		return -ENOSPC;
	*out_index = free_one;
	return claim(n, &n->e[free_one], to, &r);
}

void nexthop_put(struct nexthop *n, uint32_t index)
{
	static const struct maps_next_hop none;

	if (!index || index >= SP_NEXT_HOPS || !n->e[index].refs || --n->e[index].refs)
		return;
	maps_next_hop_set(n->maps, index, &none);
	n->e[index] = (struct entry){.reserved = n->e[index].reserved};
}

void nexthop_reserve(struct nexthop *n, uint32_t index)
{
	if (n->maps && index && index < SP_NEXT_HOPS)
		n->e[index].reserved = true;
}

int nexthop_adopt(struct nexthop *n, uint32_t index, const struct addr *to, uint32_t *out_index)
{
	struct nexthop_route r;
	struct entry *e = &n->e[index < SP_NEXT_HOPS ? index : 0];
	int err;

	if (e == n->e || !e->reserved)
		return nexthop_get(n, to, out_index);
	err = route_of(n, to, &r);
	if (err)
		return err;
	if (!e->refs) {
		*out_index = index;
		return claim(n, e, to, &r);
	}
	if (!same_route(&e->route, &r))
		return nexthop_get(n, to, out_index);
	e->refs++;
	*out_index = index;
	return 0;
}

void nexthop_reserve_end(struct nexthop *n)
{
	static const struct maps_next_hop none;
	uint32_t i;

	for (i = 1; i < SP_NEXT_HOPS; i++) {
		if (n->e[i].reserved && !n->e[i].refs)
			maps_next_hop_set(n->maps, i, &none);
		n->e[i].reserved = false;
	}
}

bool nexthop_show(const struct nexthop *n, uint32_t index, struct addr *gateway, uint32_t *ifindex,
		  const char **state)
{
	const struct entry *e;

	if (!n->maps && index == KERNEL_ROUTES) {
		*gateway = (struct addr){};
		*ifindex = UINT32_MAX; /* any */
		*state = "kernel";
		return true;
	}
	if (!index || index >= SP_NEXT_HOPS || !n->e[index].refs)
		return false;
	e = &n->e[index];
	*gateway = e->route.gateway;
	*ifindex = e->map.ifindex;
	*state = state_text[e->state];
	return true;
}
