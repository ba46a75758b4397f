/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/* bpf/entry.bpf.h -- what each program does around the inline core, whatever its context: the time, the counting.
 *
 * In: nothing of the packet. Out: this CPU's struct relay_tick, CLOCK_MONOTONIC to a jiffy; one count under a reason. */
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

/* What a packet of a burst may be wrong about its arrival by, on average. */
#define TICK_SHARE_NS 20000

/* A jiffy is over: how many packets came within TICK_SHARE_NS of each other in it? */
static __always_inline void tick_turn(struct relay_tick *t, __u64 jiffies)
{
	__u64 now = bpf_ktime_get_coarse_ns(), elapsed = now - t->now_ns;

	t->share = elapsed ? (__u64)t->packets * TICK_SHARE_NS / elapsed : 0;
	t->packets = t->left = 0;
	t->jiffies = jiffies;
	t->now_ns = now;
}

/* CLOCK_MONOTONIC to a jiffy. Asking the kernel costs 20 ns a packet even for its coarse clock; reading jiffies costs one
 * load (the verifier inlines it), so the clock is asked for when that has moved on. */
static __always_inline __u64 now_coarse(struct relay_tick *t)
{
	__u64 jiffies = bpf_jiffies64();

	if (!t)
		return bpf_ktime_get_coarse_ns();
	if (t->jiffies != jiffies)
		tick_turn(t, jiffies);
	t->packets++;
	return t->now_ns;
}

static __always_inline struct relay_tick *tick_here(void)
{
	__u32 zero = 0;

	return bpf_map_lookup_elem(&ticks, &zero);
}

#endif
