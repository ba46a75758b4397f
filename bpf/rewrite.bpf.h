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
	/* skb only: what the program applies by helper, which know what the device has summed or will sum. */
	__u8 tags;	     /* in the bytes */
	__u8 no_check;	     /* UDP without checksum */
	__u32 udp_at;	     /* of the UDP header in the frame as it came */
	__u64 sum_addresses; /* change of the pseudo header, */
	__u64 sum_ports;     /* of the UDP header, */
	__u64 tap;	     /* XDP only: the flow, if it is tapped */
	__u8 tap_inside;     /* and the side by which the packet leaves */
	__u64 sum_ip;	     /* of an IPv6 header: no checksum of its own evens it out */
};

/* IPv4 without checksum stays without. */
static __always_inline void change_checksum(const struct cursor *c, struct packet *p,
					    struct egress *out, __u64 addresses, __u64 ports)
{
	struct udphdr *udp = p->udp;

	if (c->skb) {
		out->no_check = !udp->check;
		out->udp_at = p->l2_len + p->ip_header;
		out->sum_addresses = addresses;
		out->sum_ports = ports;
	} else if (udp->check) {
		udp->check = csum_apply_udp(udp->check, addresses + ports);
	}
}

static __always_inline void rewrite_udp(const struct cursor *c, struct packet *p,
					struct egress *out, __u64 addresses)
{
	const struct target *t = &out->t;
	struct udphdr *udp = p->udp;
	__u64 sum = 0;

	sum = csum_swap(sum, udp->source, t->sport);
	sum = csum_swap(sum, udp->dest, t->dport);
	udp->source = t->sport;
	udp->dest = t->dport;
	change_checksum(c, p, out, addresses, sum);
}

static __always_inline void rewrite_ip4(const struct cursor *c, struct packet *p,
					struct egress *out)
{
	const struct target *t = &out->t;
	struct iphdr *ip = p->ip4;
	__u16 *ttl_word = (void *)&ip->ttl; /* TTL and protocol: one word of the checksum */
	__u64 sum = 0;
	__u16 old;

	sum = csum_swap(sum, ip->saddr, t->from4);
	sum = csum_swap(sum, ip->daddr, t->to4);
	ip->saddr = t->from4;
	ip->daddr = t->to4;
	rewrite_udp(c, p, out, sum);
	old = *ttl_word;
	ip->ttl--;
	sum = csum_swap(sum, old, *ttl_word);
	ip->check = csum_apply(ip->check, sum);
}

static __always_inline void rewrite_ip6(const struct cursor *c, struct packet *p,
					struct egress *out)
{
	__u16 *hop_word = (void *)&p->ip6->nexthdr, old = *hop_word;
	const struct target *t = &out->t;
	__be32 *src = (void *)&p->ip6->saddr, *dst = (void *)&p->ip6->daddr;
	__u64 sum = 0;

	for (int i = 0; i < 4; i++) {
		sum = csum_swap(sum, src[i], t->from6[i]);
		sum = csum_swap(sum, dst[i], t->to6[i]);
		src[i] = t->from6[i];
		dst[i] = t->to6[i];
	}
	p->ip6->hop_limit--;
	out->sum_ip = csum_swap(sum, old, *hop_word);
	rewrite_udp(c, p, out, sum);
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
		rewrite_ip6(c, p, out);
	} else {
		rewrite_ip4(c, p, out);
	}
	if (!c->skb)
		rewrite_l2(c, p, out);
	return PARSED;
}

#endif
