/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/* bpf/entry.bpf.h -- what each program does around the inline core, whatever its context: the time, the counting.
 *
 * In: nothing of the packet. Out: CLOCK_MONOTONIC to a jiffy; one count under a reason. */
#ifndef SALLYPORT_ENTRY_BPF_H
#define SALLYPORT_ENTRY_BPF_H

#include "bpf/maps.bpf.h"

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

#endif
