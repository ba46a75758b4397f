// SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only
/* bpf/xdp_relay.bpf.c -- the XDP program of the edge: media goes on, bans bite, everything else passes to the stack.
 *
 * In: frames of each interface that carries a configured media address. Out: XDP_REDIRECT or XDP_TX (forwarded), XDP_PASS,
 * XDP_DROP, each counted under its reason. The work is in relay.bpf.h; here is only what knows xdp_md. */
#include "bpf/too_big.bpf.h"

static __always_inline void count(enum relay_reason why)
{
	__u32 key = why;
	__u64 *n = bpf_map_lookup_elem(&reasons, &key);

	if (n)
		(*n)++;
}

/* CLOCK_MONOTONIC to a jiffy. Asking the kernel costs 20 ns a packet even for its coarse clock; reading jiffies costs one
 * load (the verifier inlines it), so the clock is asked for when that has moved on. */
static __always_inline __u64 now_coarse(void)
{
	__u64 jiffies = bpf_jiffies64();
	struct relay_tick *t;
	__u32 zero = 0;

	t = bpf_map_lookup_elem(&ticks, &zero);
	if (!t)
		return bpf_ktime_get_coarse_ns();
	if (t->jiffies != jiffies) {
		t->jiffies = jiffies;
		t->now_ns = bpf_ktime_get_coarse_ns();
	}
	return t->now_ns;
}

static __always_inline int front_move(struct xdp_md *ctx, const struct egress *out)
{
	if (out->shift && bpf_xdp_adjust_head(ctx, out->shift))
		return 0;
	if (!out->translate)
		return 1;
	return translate_end((void *)(long)ctx->data, (void *)(long)ctx->data_end, out);
}

static __always_inline int send_out(struct xdp_md *ctx, const struct egress *out,
				    enum relay_reason *why)
{
	__u32 ifindex =
		out->nh ? out->nh->ifindex : 0; /* always there; the verifier wants to see it */
	int verdict = XDP_DROP;

	if (!ifindex || !front_move(ctx, out))
		goto out;
	if (out->hairpin)
		return XDP_TX;
	verdict = bpf_redirect_map(&tx, ifindex, XDP_DROP);
out:
	if (verdict != XDP_REDIRECT)
		*why = R_DROP_NO_TX;
	return verdict;
}

static __always_inline int drop_or_tell(struct xdp_md *ctx, const struct egress *out,
					enum relay_reason *why)
{
	if (*why != R_DROP_TOO_BIG || !too_big_tell(ctx, out))
		return XDP_DROP;
	*why = R_TOLD_TOO_BIG;
	return XDP_TX;
}

SEC("xdp")
int xdp_relay(struct xdp_md *ctx)
{
	struct cursor c = {.data = (void *)(long)ctx->data,
			   .end = (void *)(long)ctx->data_end,
			   .ifindex = ctx->ingress_ifindex,
			   .now_ns = now_coarse()};
	struct egress out = {};
	enum relay_reason why = relay_packet(&c, &out);
	int verdict = XDP_PASS;

	if (why <= R_FORWARD_OUT)
		verdict = send_out(ctx, &out, &why);
	else if (why >= R_DROP_LENGTH)
		verdict = drop_or_tell(ctx, &out, &why);
	count(why);
	return verdict;
}

char _license[] SEC("license")
= "Dual BSD/GPL";
