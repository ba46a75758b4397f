/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/* bpf/parse.bpf.h -- from frame bytes to a struct packet: Ethernet, up to two VLAN tags, IPv4 or IPv6, UDP or TCP ports.
 *
 * In: a cursor (bytes, ingress interface, time), made by the program from xdp_md or __sk_buff, which are never seen here.
 * Out: a struct packet whose pointers the verifier has seen checked, or the reason why the frame is not for us. */
#ifndef SALLYPORT_PARSE_BPF_H
#define SALLYPORT_PARSE_BPF_H

#include <linux/if_ether.h>
#include <linux/in.h>
#include <linux/ip.h>
#include <linux/ipv6.h>
#include <linux/tcp.h>
#include <linux/udp.h>
#include <bpf/bpf_endian.h>
#include <bpf/bpf_helpers.h>
#include "bpf/flow.h"

#define IP4_DF	    0x4000
#define IP4_MF	    0x2000
#define IP4_OFFSET  0x1fff
#define NEXT_FRAG   44
#define MAPPED_WORD bpf_htonl(0xffff)

struct cursor {
	void *data, *end;
	void *ctx;		 /* XDP: struct xdp_md, for taps */
	__u32 ifindex;		 /* ingress */
	__u64 now_ns;		 /* CLOCK_MONOTONIC, coarse */
	struct relay_tick *tick; /* this CPU's, or NULL */
	__u32 len;		 /* skb: of the frame; what is behind end was not pulled in */
	__u8 skb;    /* Ethernet header, tags and UDP checksum are changed by the program */
	__u8 tagged; /* skb: a VLAN tag is kept beside the bytes */
};

struct vlan_tag {
	__be16 tci, next;
};

struct packet {
	struct iphdr *ip4; /* one of these two, */
	struct ipv6hdr
		*ip6; /* by is6: the verifier does not know that packet pointers are never NULL */
	struct udphdr *udp; /* one of these two, by is_tcp */
	struct tcphdr *tcp;
	__u8 is6, is_tcp;
	__u32 l2_len;	 /* Ethernet with tags: 14, 18, 22 */
	__u32 ip_header; /* with options */
	__u32 ip_len;	 /* IP packet, header included */
	__u32 payload;	 /* of UDP */
	__u8 fragment;	 /* a first fragment */
};

/* The frame is shorter than @n. A constant choice for each program. */
static __always_inline int frame_short(const struct cursor *c, __u32 n)
{
	return c->skb ? n > c->len : c->data + n > c->end;
}

static __always_inline enum relay_reason parse_l2(struct cursor *c, struct packet *p, __be16 *proto)
{
	struct ethhdr *eth = c->data;
	struct vlan_tag *tag = (void *)(eth + 1);

	if ((void *)(eth + 1) > c->end)
		return R_PASS_SHORT;
	*proto = eth->h_proto;
	p->l2_len = sizeof(*eth);
	for (int i = 0; i < 2; i++) {
		if (*proto != bpf_htons(ETH_P_8021Q) && *proto != bpf_htons(ETH_P_8021AD))
			break;
		if ((void *)(tag + 1) > c->end)
			return R_PASS_SHORT;
		*proto = tag->next;
		p->l2_len += sizeof(*tag);
		tag++;
	}
	return PARSED;
}

/* Ports of what is at @l4. The UDP length must fill the IP payload exactly: what a lenient receiver would cut off is not
 * ours to carry. A first fragment is let through to the look-up, which knows whether the port is a media port. */
static __always_inline enum relay_reason parse_l4(struct cursor *c, struct packet *p, void *l4,
						  __u8 proto, __u32 l4_len)
{
	struct tcphdr *tcp = l4;
	struct udphdr *udp = l4;

	if (proto == IPPROTO_TCP) {
		if ((void *)(tcp + 1) > c->end)
			return R_PASS_SHORT;
		p->tcp = tcp;
		p->is_tcp = 1;
		return PARSED;
	}
	if (proto != IPPROTO_UDP)
		return R_PASS_NOT_UDP;
	if ((void *)(udp + 1) > c->end)
		return R_PASS_SHORT;
	p->udp = udp;
	p->payload = 0;
	if (p->fragment)
		return PARSED;
	if (bpf_ntohs(udp->len) != l4_len || l4_len < sizeof(*udp))
		p->payload = ~0u; /* told as DROP_LENGTH if it is for a media port */
	else
		p->payload = l4_len - sizeof(*udp);
	return PARSED;
}

static __always_inline enum relay_reason parse_ip4(struct cursor *c, struct packet *p)
{
	struct iphdr *ip = c->data + p->l2_len;
	__u32 header;
	__u16 frag;

	if ((void *)(ip + 1) > c->end)
		return R_PASS_SHORT;
	header = ip->ihl * 4;
	p->ip_header = header;
	if (ip->version != 4 || header < sizeof(*ip))
		return R_PASS_HEADER;
	p->ip4 = ip;
	p->ip_len = bpf_ntohs(ip->tot_len);
	if (p->ip_len < header)
		return R_PASS_HEADER;
	if (frame_short(c, p->l2_len + p->ip_len))
		return R_PASS_SHORT;
	frag = bpf_ntohs(ip->frag_off);
	if (frag & IP4_OFFSET)
		return R_PASS_FRAGMENT;
	p->fragment = !!(frag & IP4_MF);
	return parse_l4(c, p, (void *)ip + header, ip->protocol, p->ip_len - header);
}

static __always_inline enum relay_reason parse_ip6(struct cursor *c, struct packet *p)
{
	struct ipv6hdr *ip = c->data + p->l2_len;
	__u32 len;

	if ((void *)(ip + 1) > c->end)
		return R_PASS_SHORT;
	if (ip->version != 6)
		return R_PASS_HEADER;
	p->ip6 = ip;
	p->ip_header = sizeof(*ip);
	p->is6 = 1;
	len = bpf_ntohs(ip->payload_len);
	p->ip_len = len + sizeof(*ip);
	if (frame_short(c, p->l2_len + p->ip_len))
		return R_PASS_SHORT;
	switch (ip->nexthdr) {
	case IPPROTO_UDP:
	case IPPROTO_TCP:
		return parse_l4(c, p, ip + 1, ip->nexthdr, len);
	case NEXT_FRAG:
		return R_PASS_FRAGMENT;
	case 0:	  /* hop-by-hop */
	case 43:  /* routing */
	case 51:  /* authentication */
	case 60:  /* destination options */
	case 135: /* mobility */
		return R_PASS_EXTENSION;
	default:
		return R_PASS_NOT_UDP;
	}
}

static __always_inline enum relay_reason parse_frame(struct cursor *c, struct packet *p)
{
	enum relay_reason why;
	__be16 proto = 0;

	why = parse_l2(c, p, &proto);
	if (why != PARSED)
		return why;
	if (proto == bpf_htons(ETH_P_IP))
		return parse_ip4(c, p);
	if (proto == bpf_htons(ETH_P_IPV6))
		return parse_ip6(c, p);
	return R_PASS_NOT_IP;
}

static __always_inline void packet_source(const struct packet *p, struct sp_ip *out)
{
	if (p->is6) {
		__builtin_memcpy(out, &p->ip6->saddr, sizeof(*out));
		return;
	}
	out->w[0] = 0;
	out->w[1] = 0;
	out->w[2] = MAPPED_WORD;
	out->w[3] = p->ip4->saddr;
}

#endif
