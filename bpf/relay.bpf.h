/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/* bpf/relay.bpf.h -- the inline core: one packet in, one reason out; the packet is rewritten when the reason is FORWARD_*
 * or PUNCH.
 *
 *   frame -> parse -> side and slot by destination -> flow on? -> source allowed? -> rewrite -> FORWARD
 *                          \-- none -> banned? -> drop, else pass
 *
 * Memory touched for an IPv4 packet: conf and sides (shared, hot), one line of flows, two of flow_state, a next hop. RTP that went on
 * its way costs a look at the clock besides, for its jitter (now_exact).
 * Counters are plain additions: a NIC's RSS keeps a 5-tuple on one queue, so one CPU writes one direction of a flow. */
#ifndef SALLYPORT_RELAY_BPF_H
#define SALLYPORT_RELAY_BPF_H

#include "bpf/maps.bpf.h"
#include "bpf/quality.h"
#include "bpf/tap.bpf.h"
#include "bpf/translate.bpf.h"

struct spot { /* what a destination address and port stand for */
	const struct relay_side *side;
	__u32 offset; /* of the port in its range */
};

static __always_inline enum shape payload_shape(const struct cursor *c, const struct packet *p)
{
	return shape_of((void *)(p->udp + 1), c->end, p->payload);
}

static __always_inline int side_matches(const struct relay_side *s, const struct packet *p,
					__u16 port)
{
	if ((__u16)(port - s->base) >= s->range)
		return 0;
	if (p->is6)
		return s->ipv6 && ip_eq(&s->ip, (void *)&p->ip6->daddr);
	return !s->ipv6;
}

static __always_inline int spot_find(const struct relay_conf *cf, const struct packet *p,
				     struct spot *out)
{
	__be32 key = p->is6 ? ((__be32 *)&p->ip6->daddr)[3] : p->ip4->daddr;
	__u16 port = bpf_ntohs(p->udp->dest);

	for (__u32 i = 0; i < SP_SIDES_MAX && i < cf->sides; i++) {
		const struct relay_side *s;
		__u32 index = i;

		if (cf->key[i] != key)
			continue;
		s = bpf_map_lookup_elem(&sides, &index);
		if (!s || !side_matches(s, p, port))
			continue;
		out->side = s;
		out->offset = (__u16)(port - s->base);
		return 1;
	}
	return 0;
}

static __always_inline struct source source_of(const struct packet *p)
{
	struct source src = {.ep = {.port = p->udp->source}};

	src.is6 = p->is6;
	if (p->is6)
		src.ip6 = (void *)&p->ip6->saddr;
	else
		src.ep.ip = p->ip4->saddr;
	return src;
}

static __always_inline void target_from(struct target *t, const struct spot *spot)
{
	t->from4 = spot->side->peer_ip.w[3];
	t->from6 = spot->side->peer_ip.w;
	t->sport = bpf_htons(spot->side->peer_base + spot->offset);
	t->is6 = spot->side->peer_ipv6;
}

static __always_inline int has_tag(const struct cursor *c, const struct packet *p)
{
	return p->l2_len != ETH_HLEN || c->tagged;
}

static __always_inline int tellable(const struct cursor *c, const struct packet *p)
{
	if (has_tag(c, p))
		return 0;
	return p->is6 ||
	       (p->ip_header == sizeof(struct iphdr) && p->ip4->frag_off & bpf_htons(IP4_DF));
}

static __always_inline enum relay_reason forward(struct cursor *c, struct packet *p,
						 struct egress *out)
{
	const struct target *t = &out->t;
	int across = p->is6 != t->is6;
	__u32 mtu, len;

	out->nh = bpf_map_lookup_elem(&next_hops, &t->next_hop);
	if (!out->nh || !out->nh->ifindex)
		return R_DROP_NO_NEXT_HOP;
	mtu = t->mtu ? t->mtu : out->nh->mtu;
	len = across ? translated_len(p, t) : p->ip_len;
	if (mtu && len > mtu) {
		out->tell6 = p->is6;
		out->tell_mtu = tellable(c, p) ? mtu - len + p->ip_len : 0;
		return R_DROP_TOO_BIG;
	}
	if ((p->is6 ? p->ip6->hop_limit : p->ip4->ttl) <= 1)
		return R_DROP_TTL;
	out->hairpin = out->nh->ifindex == c->ifindex;
	out->tags = (p->l2_len - ETH_HLEN) / sizeof(struct vlan_tag);
	if (!across)
		return rewrite(c, p, out);
	if (out->hairpin &&
	    has_tag(c, p)) /* its tag would be lost, and it would leave in another VLAN */
		return R_DROP_NO_TX;
	return translate_begin(c, p, out);
}

static __always_inline int peek(const struct cursor *c, const struct packet *p, enum shape shape,
				struct rtp *out)
{
	return shape == SHAPE_RTP && rtp_peek((void *)(p->udp + 1), c->end, out);
}

/* CLOCK_MONOTONIC as jitter wants it. Reading it costs 30 ns here, most of what quality costs. A CPU that carries less than 50,000 packets a
 * second reads it for each; one with more lets those share a reading that come within some 20 us, by the rate of the jiffy before. NAPI has
 * them wait for each other as long. However the rate may break off, a reading is not older than its jiffy. */
static __always_inline __u64 now_exact(struct relay_tick *t)
{
	if (!t)
		return bpf_ktime_get_ns();
	if (t->left) {
		t->left--;
		return t->exact_ns;
	}
	t->left = t->share;
	t->exact_ns = bpf_ktime_get_ns();
	return t->exact_ns;
}

static __always_inline void hear(const struct cursor *c, struct flow_quality *q,
				 const __u32 *clocks, const struct rtp *rtp)
{
	if (quality_count(q, rtp) && quality_clock(q, clocks, rtp))
		quality_time(q, rtp, now_exact(c->tick));
}

/* client -> core */
static __always_inline enum relay_reason relay_in(struct cursor *c, struct packet *p,
						  const struct spot *spot, const struct flow *f,
						  struct flow_state *s, struct egress *out)
{
	struct source src = source_of(p);
	struct target *t = &out->t;
	enum shape shape = payload_shape(c, p);
	enum relay_reason why;
	struct rtp rtp;
	int heard;

	why = flow_in(f, s, c->now_ns, &src, shape);
	if (why != PARSED)
		return why;
	target_from(t, spot);
	t->to4 = f->core.ip;
	t->to6 = f->core6.w;
	t->dport = f->core.port;
	t->next_hop = f->nh_in;
	t->mtu = f->mtu_in;
	heard = peek(c, p, shape, &rtp);
	why = forward(c, p, out);
	if (why != PARSED)
		return why;
	flow_count_in(s, c->now_ns, p->ip_len);
	if (heard)
		hear(c, &s->in, s->clocks.in, &rtp);
	return R_FORWARD_IN;
}

static __always_inline enum relay_reason punch(const struct relay_conf *cf, const struct cursor *c,
					       struct packet *p, struct egress *out)
{
	__u64 sum = csum_swap(0, p->udp->dest, cf->punch_port);

	p->udp->dest = cf->punch_port;
	change_checksum(c, p, out, 0, sum);
	return R_PUNCH;
}

/* core -> client */
static __always_inline enum relay_reason relay_out(const struct relay_conf *cf, struct cursor *c,
						   struct packet *p, const struct spot *spot,
						   const struct flow *f, struct flow_state *s,
						   struct egress *out)
{
	struct source src = source_of(p);
	struct target *t = &out->t;
	enum shape shape = payload_shape(c, p);
	enum relay_reason why;
	struct rtp rtp;
	int heard;

	why = flow_out(f, s, &src, shape);
	if (why == R_PUNCH)
		return punch(cf, c, p, out);
	if (why != PARSED)
		return why;
	target_from(t, spot);
	t->to4 = s->latched.ip;
	t->to6 = s->latched6.w;
	t->dport = s->latched.port;
	t->next_hop = f->nh_out;
	t->mtu = f->mtu_out;
	heard = peek(c, p, shape, &rtp);
	why = forward(c, p, out);
	if (why != PARSED)
		return why;
	flow_count_out(s, c->now_ns, p->ip_len);
	if (heard)
		hear(c, &s->out, s->clocks.out, &rtp);
	return R_FORWARD_OUT;
}

/* The three lines that the packet will need are asked for at once: with many flows none of them is in a cache, and the CPU waits for them
 * side by side instead of one after the other. */
static __always_inline void touch(const struct spot *spot, const struct flow *f,
				  const struct flow_state *s)
{
	(void)*(const volatile __u32 *)&f->generation;
	(void)*(const volatile __u64 *)&s->latch;
	(void)*(const volatile __u64 *)(spot->side->inside ? &s->out.window : &s->in.window);
}

static __always_inline enum relay_reason relay_spot(const struct relay_conf *cf, struct cursor *c,
						    struct packet *p, const struct spot *spot,
						    struct egress *out)
{
	__u32 slot = spot->side->first_slot + spot->offset;
	const struct flow *f = bpf_map_lookup_elem(&flows, &slot);
	struct flow_state *s = bpf_map_lookup_elem(&flow_state, &slot);

	if (f && s)
		touch(spot, f, s);
	if (p->fragment)
		return R_DROP_FRAGMENT;
	if (p->payload == ~0u)
		return R_DROP_LENGTH;
	if (spot->side->ifindex && spot->side->ifindex != c->ifindex)
		return R_DROP_INTERFACE;
	if (!f || !s || f->status != FLOW_ON)
		return R_DROP_SLOT_OFF;
	if (!c->skb &&
	    f->flags & FLOW_TAP) { /* tc's packets pass where a packet socket sees them */
		out->tap = f->id;
		out->tap_inside = !spot->side->inside;
		tap_frame(c->ctx, f->id, spot->side->inside, 0);
	}
	if (spot->side->inside)
		return relay_out(cf, c, p, spot, f, s, out);
	return relay_in(c, p, spot, f, s, out);
}

static __always_inline int banned(const struct cursor *c, const struct packet *p)
{
	struct ban_key key = {.prefix_len = 128};
	struct ban *b;

	packet_source(p, &key.ip);
	b = bpf_map_lookup_elem(&bans, &key);
	if (!b || c->now_ns >= b->until_ns)
		return 0;
	__sync_fetch_and_add(&b->hits, 1);
	return 1;
}

/* Only a SYN, and only to our ports: people behind the same address who are in already stay connected. */
static __always_inline int tcp_knocks(const struct relay_conf *cf, const struct tcphdr *tcp)
{
	if (!tcp->syn || tcp->ack)
		return 0;
	for (__u32 i = 0; i < SP_TCP_PORTS && i < cf->tcp_count; i++)
		if (cf->tcp_port[i] == tcp->dest)
			return 1;
	return 0;
}

static __always_inline enum relay_reason relay_packet(struct cursor *c, struct egress *out)
{
	const struct relay_conf *cf;
	struct packet p = {};
	struct spot spot = {};
	enum relay_reason why;
	__u32 zero = 0;

	why = parse_frame(c, &p);
	cf = bpf_map_lookup_elem(&conf, &zero);
	if (why != PARSED || !cf)
		return why == PARSED ? R_PASS_NO_FLOW : why;
	if (p.is_tcp) {
		if (tcp_knocks(cf, p.tcp) && banned(c, &p))
			return R_DROP_BAN_TCP;
		return R_PASS_NOT_UDP;
	}
	if (spot_find(cf, &p, &spot))
		return relay_spot(cf, c, &p, &spot, out);
	if (banned(c, &p))
		return R_DROP_BAN_UDP;
	return p.fragment ? R_PASS_FRAGMENT : R_PASS_NO_FLOW;
}

#endif
