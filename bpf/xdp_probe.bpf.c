// SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only
/* bpf/xdp_probe.bpf.c -- sends the loader's probe frames out of one interface, to see that redirected frames cross it.
 *
 * xdp_probe is run by BPF_PROG_TEST_RUN with live frames; never attached. xdp_pass is attached meanwhile where nothing of ours
 * is yet: some drivers make the queues for redirected frames only then. The target comes in as the run's ingress interface, because
 * a map or a setting of its own would need a load for each interface. */
#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>

SEC("xdp")
int xdp_probe(struct xdp_md *ctx)
{
	return bpf_redirect(ctx->ingress_ifindex, 0);
}

SEC("xdp")
int xdp_pass(struct xdp_md *ctx)
{
	return XDP_PASS;
}

char _license[] SEC("license")
= "Dual BSD/GPL";
