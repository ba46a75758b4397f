// SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only
/* bpf/xdp_probe.bpf.c -- sends the loader's probe frames out of one interface, to see that redirected frames cross it.
 *
 * Run by BPF_PROG_TEST_RUN with live frames; never attached. The target comes in as the run's ingress interface, because
 * a map or a setting of its own would need a load for each interface. */
#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>

SEC("xdp")
int xdp_probe(struct xdp_md *ctx)
{
	return bpf_redirect(ctx->ingress_ifindex, 0);
}

char _license[] SEC("license")
= "Dual BSD/GPL";
