/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/* bpf/translate.bpf.h -- a packet that leaves in the other address family than it came in.
 *
 * Before the program moves the front of the frame: UDP is rewritten where it is, and what the new headers need is kept in
 * struct egress, since pointers into the packet end with the move. After it: Ethernet and IP are written anew.
 * Traffic class and TTL are carried over; IPv4 options, the flow label and VLAN tags are not (RFC 7915 sections 4.1, 5.1). */
#ifndef SALLYPORT_TRANSLATE_BPF_H
#define SALLYPORT_TRANSLATE_BPF_H

#include "bpf/rewrite.bpf.h"

static __always_inline __u64 sum_words(__u64 sum, const __be32 *w)
{
	return sum + w[0] + w[1] + w[2] + w[3];
}

static __always_inline __u64 sum_words_off(__u64 sum, const __be32 *w)
{
	return sum + (__u32)~w[0] + (__u32)~w[1] + (__u32)~w[2] + (__u32)~w[3];
}

static __always_inline __u32 translated_len(const struct packet *p, const struct target *t)
{
	return p->payload + sizeof(struct udphdr) +
	       (t->is6 ? sizeof(struct ipv6hdr) : sizeof(struct iphdr));
}

/* The pseudo header changes in its addresses only: lengths and protocol count the same in both families. */
static __always_inline enum relay_reason translate_begin(const struct cursor *c, struct packet *p,
							 struct egress *out)
{
	const struct target *t = &out->t;
	__u64 sum = 0;

	if (!p->udp->check) /* IPv4's "none" would have to be computed over the payload */
		return R_DROP_ZERO_CHECKSUM;
	if (!p->is6) { /* not by t->is6: the verifier does not see that it is the opposite */
		sum = csum_swap(sum, p->ip4->saddr, 0);
		sum = csum_swap(sum, p->ip4->daddr, 0);
		sum = sum_words(sum_words(sum, t->from6), t->to6);
		out->tos = p->ip4->tos;
		out->ttl = p->ip4->ttl - 1;
	} else {
		sum = sum_words_off(sum, (void *)&p->ip6->saddr);
		sum = sum_words_off(sum, (void *)&p->ip6->daddr);
		sum += (__u64)t->from4 + t->to4;
		out->tos = bpf_ntohs(*(__be16 *)p->ip6) >> 4;
		out->ttl = p->ip6->hop_limit - 1;
	}
	rewrite_udp(c, p, out, sum);
	out->translate = 1;
	out->ip_len = translated_len(p, t);
	out->shift = p->l2_len + p->ip_header + sizeof(struct udphdr) + p->payload - ETH_HLEN -
		     out->ip_len;
	return PARSED;
}

static __always_inline void translated_ip4(struct iphdr *ip, const struct egress *out)
{
	__u64 sum = 0;

	*(__be16 *)ip = bpf_htons(0x4500 | out->tos);
	ip->tot_len = bpf_htons(out->ip_len);
	ip->id = 0; /* never fragmented: RFC 6864 section 4.1 */
	ip->frag_off = bpf_htons(IP4_DF);
	ip->ttl = out->ttl;
	ip->protocol = IPPROTO_UDP;
	ip->saddr = out->t.from4;
	ip->daddr = out->t.to4;
	sum = *(__u16 *)ip + ip->tot_len + ip->frag_off + *(__u16 *)&ip->ttl;
	sum += (__u64)ip->saddr + ip->daddr;
	ip->check = csum_apply(0xffff, sum);
}

static __always_inline void translated_ip6(struct ipv6hdr *ip, const struct egress *out)
{
	*(__be32 *)ip = bpf_htonl(6u << 28 | (__u32)out->tos << 20);
	ip->payload_len = bpf_htons(out->ip_len - sizeof(*ip));
	ip->nexthdr = IPPROTO_UDP;
	ip->hop_limit = out->ttl;
	__builtin_memcpy(&ip->saddr, out->t.from6, 16);
	__builtin_memcpy(&ip->daddr, out->t.to6, 16);
}

/* @data: the frame after the move. 0 when it is too short, which it never is. */
static __always_inline int translate_end(void *data, void *end, const struct egress *out)
{
	struct ethhdr *eth = data;

	if (data + sizeof(*eth) + (out->t.is6 ? sizeof(struct ipv6hdr) : sizeof(struct iphdr)) >
	    end)
		return 0;
	__builtin_memcpy(eth->h_dest, out->nh->dst_mac, 2 * ETH_ALEN);
	eth->h_proto = out->t.is6 ? bpf_htons(ETH_P_IPV6) : bpf_htons(ETH_P_IP);
	if (out->t.is6) {
		if (data + sizeof(*eth) + sizeof(struct ipv6hdr) > end)
			return 0;
		translated_ip6((void *)(eth + 1), out);
	} else {
		if (data + sizeof(*eth) + sizeof(struct iphdr) > end)
			return 0;
		translated_ip4((void *)(eth + 1), out);
	}
	return 1;
}

#endif
