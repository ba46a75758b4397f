/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/* bpf/too_big.bpf.h -- answers a packet over the egress MTU with Fragmentation Needed or Packet Too Big.
 *
 * In: the frame, to which the program has made room, the MTU to tell. Out: the answer, to go back where it came from: Ethernet, IP, ICMP, then
 * the offending IP header and 8 bytes of UDP (RFC 792; RFC 4443 section 3.2 would like more, sockets need no more).
 * At most one a jiffy and CPU. Only for IPv4 with DF and without options, and untagged frames: others are just dropped. */
#ifndef SALLYPORT_TOO_BIG_BPF_H
#define SALLYPORT_TOO_BIG_BPF_H

#include "bpf/relay.bpf.h"

#define QUOTED_UDP 8
#define TOLD_TTL   64

#define ICMP4_UNREACHABLE 3
#define ICMP4_FRAG_NEEDED 4
#define ICMP6_TOO_BIG	  2

/* Both families' message has this form; linux/icmp.h would bring in socket headers. */
struct told_icmp {
	__u8 type, code;
	__u16 check;
	__be32 mtu;
};

/* What the frame grows by. */
#define TOLD_FRONT4 (sizeof(struct iphdr) + sizeof(struct told_icmp))
#define TOLD_FRONT6 (sizeof(struct ipv6hdr) + sizeof(struct told_icmp))

struct told4 {
	struct ethhdr eth;
	struct iphdr ip;
	struct told_icmp icmp;
	struct iphdr quoted_ip;
	__u8 quoted_udp[QUOTED_UDP];
} __attribute__((packed));

struct told6 {
	struct ethhdr eth;
	struct ipv6hdr ip;
	struct told_icmp icmp;
	struct ipv6hdr quoted_ip;
	__u8 quoted_udp[QUOTED_UDP];
} __attribute__((packed));

static __always_inline void told_macs(struct ethhdr *to, const struct ethhdr *from)
{
	struct ethhdr old = *from; /* may overlap what is written */

	__builtin_memcpy(to->h_dest, old.h_source, ETH_ALEN);
	__builtin_memcpy(to->h_source, old.h_dest, ETH_ALEN);
	to->h_proto = old.h_proto;
}

static __always_inline int told4_write(void *data, void *end, int skb, __u32 mtu)
{
	struct told4 *t = data;
	__u64 sum;

	if ((void *)(t + 1) > end)
		return 0;
	told_macs(&t->eth, data + (skb ? 0 : TOLD_FRONT4));
	*(__be16 *)(void *)&t->ip = bpf_htons(0x45c0);
	t->ip.tot_len = bpf_htons(sizeof(*t) - sizeof(t->eth));
	t->ip.id = 0;
	t->ip.frag_off = bpf_htons(IP4_DF);
	t->ip.ttl = TOLD_TTL;
	t->ip.protocol = IPPROTO_ICMP;
	t->ip.saddr = t->quoted_ip.daddr;
	t->ip.daddr = t->quoted_ip.saddr;
	t->ip.check = 0;
	t->ip.check = csum_apply(0xffff, bpf_csum_diff(NULL, 0, (void *)&t->ip, sizeof(t->ip), 0));
	t->icmp.type = ICMP4_UNREACHABLE;
	t->icmp.code = ICMP4_FRAG_NEEDED;
	t->icmp.check = 0;
	t->icmp.mtu = bpf_htonl(mtu);
	sum = bpf_csum_diff(NULL, 0, (void *)&t->icmp, sizeof(*t) - ETH_HLEN - sizeof(t->ip), 0);
	t->icmp.check = csum_apply(0xffff, sum);
	return 1;
}

static __always_inline int told6_write(void *data, void *end, int skb, __u32 mtu)
{
	struct told6 *t = data;
	__u32 len;
	__u64 sum;

	if ((void *)(t + 1) > end)
		return 0;
	len = sizeof(*t) - ETH_HLEN - sizeof(t->ip);
	told_macs(&t->eth, data + (skb ? 0 : TOLD_FRONT6));
	*(__be32 *)(void *)&t->ip = bpf_htonl(6u << 28);
	t->ip.payload_len = bpf_htons(len);
	t->ip.nexthdr = IPPROTO_ICMPV6;
	t->ip.hop_limit = TOLD_TTL;
	t->ip.saddr = t->quoted_ip.daddr;
	t->ip.daddr = t->quoted_ip.saddr;
	t->icmp.type = ICMP6_TOO_BIG;
	t->icmp.code = 0;
	t->icmp.check = 0;
	t->icmp.mtu = bpf_htonl(mtu);
	/* Pseudo header: both addresses, length, protocol; then the message. */
	sum = bpf_csum_diff(NULL, 0, (void *)&t->ip.saddr, sizeof(*t) - ETH_HLEN - 8, 0);
	sum += bpf_htons(len) + bpf_htons(IPPROTO_ICMPV6);
	t->icmp.check = csum_apply(0xffff, sum);
	return 1;
}

static __always_inline int told_allowed(void)
{
	struct relay_tick *t;
	__u32 zero = 0;

	t = bpf_map_lookup_elem(&ticks, &zero);
	if (!t || t->told_jiffies == t->jiffies)
		return 0;
	t->told_jiffies = t->jiffies;
	return 1;
}

/* Into a frame that is TOLD_FRONT bytes longer before its Ethernet header (XDP) or behind it (skb), and cut to the answer's size.
 * 1, or 0 when it is too short. */
static __always_inline int told_write(void *data, void *end, int skb, const struct egress *out)
{
	return out->tell6 ? told6_write(data, end, skb, out->tell_mtu)
			  : told4_write(data, end, skb, out->tell_mtu);
}

#endif
