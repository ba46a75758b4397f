/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/* bpf/tap.bpf.h -- copies of a tapped flow's packets for "sallyctl capture". See abi.h: FLOW_TAP, maps tap and tap_lost.
 *
 * In: an XDP frame as it is now. Out: a struct tap_packet in the ring buffer, or one more in tap_lost. A function of its own, so that the way of
 * all other packets is not longer by more than a test of a bit in a word that they read anyway. */
#ifndef SALLYPORT_TAP_BPF_H
#define SALLYPORT_TAP_BPF_H

#include <linux/if_ether.h>

#include "bpf/maps.bpf.h"

static __noinline int tap_frame(struct xdp_md *ctx, __u64 flow, __u32 inside, __u32 out)
{
	__u32 n = ctx->data_end - ctx->data, zero = 0;
	struct tap_packet *p = bpf_ringbuf_reserve(&tap, sizeof(*p), 0);
	__u64 *lost;

	if (!p) {
		lost = bpf_map_lookup_elem(&tap_lost, &zero);
		if (lost)
			__sync_fetch_and_add(lost, 1);
		return 0;
	}
	p->flow = flow;
	p->at_ns = bpf_ktime_get_ns();
	p->len = n;
	p->inside = inside;
	p->out = out;
	p->pad = 0;
	p->pad1 = 0;
	if (n > TAP_SNAP)
		n = TAP_SNAP;
	if (n < ETH_HLEN || bpf_xdp_load_bytes(ctx, 0, p->data, n))
		n = 0;
	p->kept = n;
	bpf_ringbuf_submit(p, 0);
	return 0;
}

#endif
