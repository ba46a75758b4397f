/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/* bpf/csum.bpf.h -- incremental Internet checksums (RFC 1624, equation 3: HC' = ~(~HC + ~m + m')).
 *
 * A change is collected as a 64-bit sum of complemented old and new words of 16 or 32 bits in any mix (2^32 = 2^16 = 1
 * modulo 0xffff), and folded once. */
#ifndef SALLYPORT_CSUM_BPF_H
#define SALLYPORT_CSUM_BPF_H

#include <linux/types.h>
#include <bpf/bpf_helpers.h>

static __always_inline __u64 csum_swap(__u64 sum, __u32 from, __u32 to)
{
	return sum + (__u32)~from + to;
}

/* The checksum field @check after the change @sum. */
static __always_inline __u16 csum_apply(__u16 check, __u64 sum)
{
	sum += (__u16)~check;
	sum = (sum & 0xffffffff) + (sum >> 32);
	sum = (sum & 0xffff) + (sum >> 16);
	sum = (sum & 0xffff) + (sum >> 16);
	sum = (sum & 0xffff) + (sum >> 16);
	return (__u16)~sum;
}

/* For UDP: 0 means "none" on the wire, so a sum of 0 is sent as 0xffff (RFC 768). */
static __always_inline __u16 csum_apply_udp(__u16 check, __u64 sum)
{
	__u16 c = csum_apply(check, sum);

	return c ? c : 0xffff;
}

#endif
