// SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only
/* bpf/tc_relay.bpf.c -- the same relay at the ingress of clsact, for interfaces that redirected XDP frames do not cross.
 *
 * In: skbs of each interface that carries a configured media address. Out: TC_ACT_REDIRECT (forwarded, to the egress of the next
 * hop's interface), TC_ACT_UNSPEC (passed on, also to other filters), TC_ACT_SHOT; counted under the reasons of xdp_relay.
 * The work is in relay.bpf.h; here is what knows __sk_buff: tags beside the bytes, headers outside the linear part, and
 * checksums that a sender on this machine left to a device (CHECKSUM_PARTIAL) or a device has summed (CHECKSUM_COMPLETE).
 * A program cannot see which; the kernel's helpers can, so every change of the UDP checksum goes through them. */
#include <linux/pkt_cls.h>

#include "bpf/entry.bpf.h"
#include "bpf/too_big.bpf.h"

/* Ethernet, two tags, IPv4 with all options or IPv6, UDP or TCP, the payload bytes that are looked at. */
#define HEADERS 128
#define TAGS	3 /* one beside the bytes, two in them */

static __always_inline void *front(const struct __sk_buff *skb)
{
	return (void *)(long)skb->data;
}

static __always_inline void *end(const struct __sk_buff *skb)
{
	return (void *)(long)skb->data_end;
}

static __always_inline __u32 sum32(__u64 sum)
{
	sum = (sum & 0xffffffff) + (sum >> 32);
	sum = (sum & 0xffffffff) + (sum >> 32);
	return sum;
}

/* @udp_at: of the UDP header now. Where there is no checksum, none covers the ports: a device's sum of all bytes has to be told. */
static __always_inline void apply_checksum(struct __sk_buff *skb, const struct egress *out,
					   __u32 udp_at)
{
	__u32 at = udp_at + __builtin_offsetof(struct udphdr, check);
	__u64 bytes = out->sum_ip;

	if (out->no_check) {
		bytes += out->sum_ports;
	} else {
		bpf_l4_csum_replace(skb, at, 0, sum32(out->sum_ports), BPF_F_MARK_MANGLED_0);
		if (out->sum_addresses)
			bpf_l4_csum_replace(skb, at, 0, sum32(out->sum_addresses),
					    BPF_F_MARK_MANGLED_0 | BPF_F_PSEUDO_HDR);
	}
	if (bytes)
		bpf_csum_update(skb, sum32(bytes));
}

static __always_inline int tags_off(struct __sk_buff *skb, const struct egress *out)
{
	__u32 n = out->tags + !!skb->vlan_present;

	for (__u32 i = 0; i < TAGS && i < n; i++)
		if (bpf_skb_vlan_pop(skb))
			return 0;
	return 1;
}

/* The kernel makes the room between two header lengths without options, so these go first. */
static __always_inline int family_change(struct __sk_buff *skb, const struct egress *out)
{
	__s32 options =
		out->udp_at - ETH_HLEN - out->tags * sizeof(struct vlan_tag) - sizeof(struct iphdr);
	__u8 old[sizeof(struct ipv6hdr)];
	__u32 len = out->t.is6 ? sizeof(struct ipv6hdr) : sizeof(struct iphdr);
	__s64 sum;

	if (out->t.is6 && options && bpf_skb_adjust_room(skb, -options, BPF_ADJ_ROOM_NET, 0))
		return 0;
	if (bpf_skb_change_proto(skb, out->t.is6 ? bpf_htons(ETH_P_IPV6) : bpf_htons(ETH_P_IP), 0))
		return 0;
	if (bpf_skb_load_bytes(skb, ETH_HLEN, old, sizeof(struct iphdr)) ||
	    bpf_skb_load_bytes(skb, ETH_HLEN + 20, old + 20, 20))
		return 0;
	if (!translate_end(front(skb), end(skb), out))
		return 0;
	if (front(skb) + ETH_HLEN + sizeof(struct ipv6hdr) > end(skb))
		return 0;
	sum = bpf_csum_diff((void *)old, len, front(skb) + ETH_HLEN, len, 0);
	bpf_csum_update(skb, (__u32)sum);
	return 1;
}

static __always_inline int headers_change(struct __sk_buff *skb, const struct egress *out)
{
	struct ethhdr *eth;
	__u32 udp_at = out->udp_at;

	if (!out->hairpin) {
		udp_at -= out->tags * sizeof(struct vlan_tag);
		if (!tags_off(skb, out))
			return 0;
	}
	if (out->translate) {
		if (!family_change(skb, out))
			return 0;
		udp_at = ETH_HLEN + (out->t.is6 ? sizeof(struct ipv6hdr) : sizeof(struct iphdr));
	}
	eth = front(skb);
	if ((void *)(eth + 1) > end(skb))
		return 0;
	__builtin_memcpy(eth->h_dest, out->nh->dst_mac, 2 * ETH_ALEN);
	apply_checksum(skb, out, udp_at);
	return 1;
}

static __always_inline int send_out(struct __sk_buff *skb, const struct egress *out,
				    enum relay_reason *why)
{
	__u32 ifindex =
		out->nh ? out->nh->ifindex : 0; /* always there; the verifier wants to see it */

	if (ifindex && (out->hairpin || bpf_map_lookup_elem(&tx, &ifindex)) &&
	    headers_change(skb, out))
		return bpf_redirect(ifindex, 0);
	*why = R_DROP_NO_TX;
	return TC_ACT_SHOT;
}

/* The quoted UDP header keeps its place in the kernel's eyes: if its checksum was left to a device, that device will now sum up
 * the 8 quoted bytes. A checksum f = ~(rest + f) is what it finds and what it leaves, so that the ICMP checksum holds in
 * either case. Nobody checks a quoted one. */
static __always_inline int quoted_checksum(struct __sk_buff *skb, __u32 at)
{
	struct udphdr *udp = front(skb) + at;
	__u64 sum = 0;
	__u32 half;
	__u16 old;

	if ((void *)(udp + 1) > end(skb))
		return 0;
	sum = (__u64)udp->source + udp->dest + udp->len;
	half = csum_apply(0xffff, sum);
	half = (half & 1 ? half + 0xffff : half) >> 1;
	old = udp->check;
	udp->check = half ? half : 0xffff;
	bpf_csum_update(skb, sum32(csum_swap(0, old, udp->check)));
	return 1;
}

/* The kernel makes the room behind the Ethernet header and moves that. 0: not possible, or too many of late. */
static __always_inline int too_big_tell(struct __sk_buff *skb, const struct egress *out)
{
	__u32 room = out->tell6 ? TOLD_FRONT6 : TOLD_FRONT4;
	__u32 size = out->tell6 ? sizeof(struct told6) : sizeof(struct told4);
	__s64 sum;

	if (!out->tell_mtu || !told_allowed())
		return 0;
	if (bpf_skb_change_tail(skb, size - room, 0) ||
	    bpf_skb_adjust_room(skb, room, BPF_ADJ_ROOM_MAC, 0))
		return 0;
	if (!quoted_checksum(skb, size - QUOTED_UDP) || !told_write(front(skb), end(skb), 1, out))
		return 0;
	if (front(skb) + sizeof(struct told6) > end(skb) && out->tell6)
		return 0;
	if (front(skb) + sizeof(struct told4) > end(skb))
		return 0;
	sum = bpf_csum_diff(NULL, 0, front(skb) + ETH_HLEN, room, 0);
	bpf_csum_update(skb, (__u32)sum);
	return 1;
}

static __always_inline int drop_or_tell(struct __sk_buff *skb, const struct egress *out,
					enum relay_reason *why)
{
	if (*why != R_DROP_TOO_BIG || !too_big_tell(skb, out))
		return TC_ACT_SHOT;
	*why = R_TOLD_TOO_BIG;
	return bpf_redirect(skb->ifindex, 0);
}

static __always_inline struct cursor cursor_of(struct __sk_buff *skb)
{
	struct relay_tick *tick = tick_here();
	struct cursor c = {.ifindex = skb->ifindex,
			   .now_ns = now_coarse(tick),
			   .tick = tick,
			   .len = skb->len,
			   .skb = 1};

	/* A failure leaves what is there; the parser then says PASS_SHORT. */
	if (front(skb) + HEADERS > end(skb))
		bpf_skb_pull_data(skb, c.len < HEADERS ? c.len : HEADERS);
	c.tagged = !!skb->vlan_present;
	c.data = front(skb);
	c.end = end(skb);
	return c;
}

SEC("tc")
int tc_relay(struct __sk_buff *skb)
{
	struct cursor c = cursor_of(skb);
	struct egress out = {};
	enum relay_reason why = relay_packet(&c, &out);
	int verdict = TC_ACT_UNSPEC;

	if (why <= R_FORWARD_OUT)
		verdict = send_out(skb, &out, &why);
	else if (why == R_PUNCH)
		apply_checksum(skb, &out, out.udp_at);
	else if (why >= R_DROP_LENGTH)
		verdict = drop_or_tell(skb, &out, &why);
	count(why);
	return verdict;
}

char _license[] SEC("license")
= "Dual BSD/GPL";
