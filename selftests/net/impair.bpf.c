// SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only
/* selftests/net/impair.bpf.c -- a bad network by plan, at the egress of a test's wire: t_quality.sh.
 *
 * In: frames; of UDP over IPv4 to ports 36000..37999 the RTP packets, numbered for each source from its first one. Out: by its number each is
 * dropped, sent twice, or kept back until the second one after it has gone; after PLAN_END nothing more comes, so that what was counted stays
 * still to be compared. Everything else passes. */
#include <linux/bpf.h>
#include <linux/if_ether.h>
#include <linux/in.h>
#include <linux/ip.h>
#include <linux/pkt_cls.h>
#include <linux/udp.h>
#include <bpf/bpf_endian.h>
#include <bpf/bpf_helpers.h>

#define PLAN_END  200
#define CLONED	  0x5a11
#define HELD_MAX  256
#define L4_AT	  (ETH_HLEN + sizeof(struct iphdr))
#define PORT_LOW  36000
#define PORT_HIGH 37999

struct source {
	__u32 held; /* bytes of a packet that is kept back, from its UDP header on; 0: none */
	__u16 first, held_number;
	__u8 bytes[HELD_MAX];
};

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 16);
	__type(key, __u32);
	__type(value, struct source);
} sources SEC(".maps");

/* A new source's first value: too large for the stack. */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct source);
} empty SEC(".maps");

static __always_inline struct source *source_of(__u32 ssrc, __u16 seq)
{
	struct source *s = bpf_map_lookup_elem(&sources, &ssrc);
	__u32 zero = 0;

	if (s)
		return s;
	s = bpf_map_lookup_elem(&empty, &zero);
	if (!s || bpf_map_update_elem(&sources, &ssrc, s, BPF_NOEXIST))
		return 0;
	s = bpf_map_lookup_elem(&sources, &ssrc);
	if (s)
		s->first = seq;
	return s;
}

static __always_inline __u32 l4_length(const struct __sk_buff *skb)
{
	__u32 n = skb->len - L4_AT;

	return n > HELD_MAX || n < 20 ? 0 : n;
}

static __always_inline int keep_back(struct __sk_buff *skb, struct source *s, __u16 number)
{
	__u32 n = l4_length(skb);

	if (!n || bpf_skb_load_bytes(skb, L4_AT, s->bytes, n))
		return TC_ACT_OK;
	s->held = n;
	s->held_number = number;
	return TC_ACT_SHOT;
}

/* This one goes as a copy; what it was becomes the one that was kept back. */
static __always_inline int let_go(struct __sk_buff *skb, struct source *s)
{
	__u32 n = s->held;

	s->held = 0;
	if (n != l4_length(skb) || n > HELD_MAX || n < 20)
		return TC_ACT_OK;
	skb->mark = CLONED;
	bpf_clone_redirect(skb, skb->ifindex, 0);
	return bpf_skb_store_bytes(skb, L4_AT, s->bytes, n, 0) ? TC_ACT_SHOT : TC_ACT_OK;
}

static __always_inline int plan(struct __sk_buff *skb, struct source *s, __u16 number)
{
	if (number > PLAN_END || number % 29 == 11 || (number >= 100 && number < 105))
		return TC_ACT_SHOT;
	if (s->held && (__u16)(number - s->held_number) == 2)
		return let_go(skb, s);
	if (number % 10 == 3)
		return keep_back(skb, s, number);
	if (number % 31 == 17) {
		skb->mark = CLONED;
		bpf_clone_redirect(skb, skb->ifindex, 0);
	}
	return TC_ACT_OK;
}

SEC("tc")
int impair(struct __sk_buff *skb)
{
	struct {
		struct udphdr udp;
		__u8 rtp[12];
	} h;
	struct source *s;
	struct iphdr ip;
	__u32 ssrc;
	__u16 seq;

	if (skb->mark == CLONED || skb->protocol != bpf_htons(ETH_P_IP) ||
	    bpf_skb_load_bytes(skb, ETH_HLEN, &ip, sizeof(ip)) || ip.protocol != IPPROTO_UDP ||
	    ip.ihl != 5 || bpf_skb_load_bytes(skb, L4_AT, &h, sizeof(h)))
		return TC_ACT_OK;
	if (bpf_ntohs(h.udp.dest) < PORT_LOW || bpf_ntohs(h.udp.dest) > PORT_HIGH ||
	    h.rtp[0] >> 6 != 2 || (h.rtp[1] >= 192 && h.rtp[1] <= 223))
		return TC_ACT_OK;
	seq = (__u16)(h.rtp[2] << 8 | h.rtp[3]);
	__builtin_memcpy(&ssrc, h.rtp + 8, 4);
	s = source_of(ssrc, seq);
	return s ? plan(skb, s, (__u16)(seq - s->first)) : TC_ACT_OK;
}

char _license[] SEC("license")
= "Dual BSD/GPL";
