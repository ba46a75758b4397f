// SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only
/* bpf/xdp_relay.bpf.c -- the XDP program of the edge: media goes on, bans bite, everything else passes to the stack.
 *
 * In: frames of each interface that carries a configured media address. Out: XDP_REDIRECT (forwarded), XDP_PASS,
 * XDP_DROP, each counted under its reason. What leaves by the interface it came in by is redirected there as well: that way is probed at
 * the start, and veth lets frames of XDP_TX lie until the next one comes if its peer has no XDP program (6.18). The work is in relay.bpf.h; here is only what knows xdp_md. */
#include "bpf/entry.bpf.h"
#include "bpf/too_big.bpf.h"

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
	verdict = bpf_redirect_map(&tx, ifindex, XDP_DROP);
out:
	if (verdict != XDP_REDIRECT)
		*why = R_DROP_NO_TX;
	return verdict;
}

/* Make room in front for @front bytes and cut the frame to @size. 0: not possible. */
static __always_inline int told_resize(struct xdp_md *ctx, int front, int size)
{
	int len = (int)(ctx->data_end - ctx->data) + front;

	if (len < size || bpf_xdp_adjust_head(ctx, -front))
		return 0;
	return !bpf_xdp_adjust_tail(ctx, size - len);
}

/* 1: the frame is the answer. 0: not told; the frame is to be dropped. */
static __always_inline int too_big_tell(struct xdp_md *ctx, const struct egress *out)
{
	if (!out->tell_mtu || !told_allowed())
		return 0;
	if (!(out->tell6 ? told_resize(ctx, TOLD_FRONT6, sizeof(struct told6))
			 : told_resize(ctx, TOLD_FRONT4, sizeof(struct told4))))
		return 0;
	return told_write((void *)(long)ctx->data, (void *)(long)ctx->data_end, 0, out);
}

static __always_inline int drop_or_tell(struct xdp_md *ctx, const struct egress *out,
					enum relay_reason *why)
{
	if (*why != R_DROP_TOO_BIG || !too_big_tell(ctx, out))
		return XDP_DROP;
	if (bpf_redirect_map(&tx, ctx->ingress_ifindex, XDP_DROP) != XDP_REDIRECT)
		return XDP_DROP;
	*why = R_TOLD_TOO_BIG;
	return XDP_REDIRECT;
}

SEC("xdp")
int xdp_relay(struct xdp_md *ctx)
{
	struct relay_tick *tick = tick_here();
	struct cursor c = {.data = (void *)(long)ctx->data,
			   .end = (void *)(long)ctx->data_end,
			   .ctx = ctx,
			   .ifindex = ctx->ingress_ifindex,
			   .now_ns = now_coarse(tick),
			   .tick = tick};
	struct egress out = {};
	enum relay_reason why = relay_packet(&c, &out);
	int verdict = XDP_PASS;

	if (why <= R_FORWARD_OUT)
		verdict = send_out(ctx, &out, &why);
	else if (why >= R_DROP_LENGTH)
		verdict = drop_or_tell(ctx, &out, &why);
	if (out.tap && verdict == XDP_REDIRECT)
		tap_frame(ctx, out.tap, out.tap_inside, 1);
	count(why);
	return verdict;
}

char _license[] SEC("license")
= "Dual BSD/GPL";
