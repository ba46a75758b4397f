/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/* bpf/rewrite.bpf.h -- from "this packet goes there" to changed headers.
 *
 * In: a parsed packet, the new addresses and ports, the next hop. Out: the bytes of a packet that a router has forwarded:
 * addresses, ports, TTL, both checksums by difference, Ethernet header. Whether the frame fits was asked before. */
#ifndef SALLYPORT_REWRITE_BPF_H
#define SALLYPORT_REWRITE_BPF_H

#include "bpf/csum.bpf.h"
#include "bpf/parse.bpf.h"

/* Where a packet goes: from our address and port on the other side to the target. */
struct target {
	const __be32 *from6, *to6; /* four words each, in maps; IPv6 only */
	__be32 from4, to4;
	__be16 sport, dport;
	__u32 next_hop, mtu;
	__u8 is6;
};

/* What the program has to do after the core said FORWARD. */
struct egress {
	struct target t;
	const struct next_hop *nh;
	__s32 shift;	/* move of the frame's front: > 0 cuts (tags), < 0 makes room */
	__u32 ip_len;	/* the rest is for translate_end() */
	__u32 tell_mtu; /* of a packet that is too big: 0: not to be told */
	__u8 hairpin, translate, tos, ttl, tell6;
};

static __always_inline void rewrite_udp(struct packet *p, const struct target *t, __u64 sum)
{
	struct udphdr *udp = p->udp;

	sum = csum_swap(sum, udp->source, t->sport);
	sum = csum_swap(sum, udp->dest, t->dport);
	udp->source = t->sport;
	udp->dest = t->dport;
	if (udp->check) /* IPv4 without checksum stays without */
		udp->check = csum_apply_udp(udp->check, sum);
}

static __always_inline void rewrite_ip4(struct packet *p, const struct target *t)
{
	struct iphdr *ip = p->ip4;
	__u16 *ttl_word = (void *)&ip->ttl; /* TTL and protocol: one word of the checksum */
	__u64 sum = 0;
	__u16 old;

	sum = csum_swap(sum, ip->saddr, t->from4);
	sum = csum_swap(sum, ip->daddr, t->to4);
	ip->saddr = t->from4;
	ip->daddr = t->to4;
	rewrite_udp(p, t, sum);
	old = *ttl_word;
	ip->ttl--;
	sum = csum_swap(sum, old, *ttl_word);
	ip->check = csum_apply(ip->check, sum);
}

static __always_inline void rewrite_ip6(struct packet *p, const struct target *t)
{
	__be32 *src = (void *)&p->ip6->saddr, *dst = (void *)&p->ip6->daddr;
	__u64 sum = 0;

	for (int i = 0; i < 4; i++) {
		sum = csum_swap(sum, src[i], t->from6[i]);
		sum = csum_swap(sum, dst[i], t->to6[i]);
		src[i] = t->from6[i];
		dst[i] = t->to6[i];
	}
	p->ip6->hop_limit--;
	rewrite_udp(p, t, sum);
}

/* A tag is kept where the packet leaves by the interface it came in by (same VLAN), else the Ethernet header moves up to the
 * IP header and the tags are cut off. */
static __always_inline void rewrite_l2(struct cursor *c, struct packet *p, struct egress *out)
{
	struct ethhdr *eth = c->data;

	out->shift = out->hairpin ? 0 : p->l2_len - sizeof(*eth);
	if (out->shift) {
		eth = c->data + p->l2_len - sizeof(*eth);
		eth->h_proto = p->is6 ? bpf_htons(ETH_P_IPV6) : bpf_htons(ETH_P_IP);
	}
	__builtin_memcpy(eth->h_dest, out->nh->dst_mac, 2 * ETH_ALEN);
}

static __always_inline enum relay_reason rewrite(struct cursor *c, struct packet *p,
						 struct egress *out)
{
	if (p->is6) {
		if (!p->udp->check) /* RFC 8200 section 8.1 */
			return R_DROP_ZERO_CHECKSUM;
		rewrite_ip6(p, &out->t);
	} else {
		rewrite_ip4(p, &out->t);
	}
	rewrite_l2(c, p, out);
	return PARSED;
}

#endif
