/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/* bpf/latch.bpf.h -- which source owns the outside leg of a flow.
 *
 * In: flow (what may latch, which window is open), flow_state (what has latched), the packet's source. Out: PARSED when the
 * packet may pass, else the reason for dropping it. The leg is taken by compare-and-swap of one word, claimed -> written ->
 * valid, so of two CPUs one wins; a word of an earlier generation counts as not latched.
 * Readers on weakly ordered CPUs may see the word before the address: they then drop one packet, never send it astray,
 * since the IPv4 address and port are one aligned word and an all-zero port is refused. */
#ifndef SALLYPORT_LATCH_BPF_H
#define SALLYPORT_LATCH_BPF_H

#include "bpf/parse.bpf.h"

struct source {
	struct sp_ep4 ep;  /* IPv6: only the port */
	const __be32 *ip6; /* in the packet, if is6 */
	__u8 is6;
};

static __always_inline int ep4_eq(const struct sp_ep4 *a, const struct sp_ep4 *b)
{
	return a->ip == b->ip && a->port == b->port;
}

static __always_inline int latch_valid(const struct flow *f, __u64 word)
{
	return word >> 32 == f->generation && (word & LATCH_STEP_MASK) == LATCH_VALID;
}

static __always_inline int latch_open(const struct flow *f, __u64 word, __u64 now)
{
	__u32 taken = word >> 2 & LATCH_WINDOW_MASK;

	return taken != (f->window & LATCH_WINDOW_MASK) && now < f->window_until_ns;
}

static __always_inline int latch_is(const struct flow_state *s, const struct source *src)
{
	if (!ep4_eq(&s->latched, &src->ep))
		return 0;
	return !src->is6 || ip_eq(&s->latched6, src->ip6);
}

/* Only the address of the client's signalling stream may take the leg. */
static __always_inline int latch_allowed(const struct flow *f, const struct source *src)
{
	if (f->client.port && f->client.port != src->ep.port)
		return 0;
	if (src->is6)
		return ip_eq(&f->client6, src->ip6);
	return f->client.ip == src->ep.ip;
}

static __always_inline enum relay_reason latch_take(const struct flow *f, struct flow_state *s,
						    __u64 word, const struct source *src)
{
	__u64 claimed = LATCH_WORD(f->generation, f->window, LATCH_CLAIMED);

	if (__sync_val_compare_and_swap(&s->latch, word, claimed) != word)
		return R_DROP_LATCHING;
	s->latched = src->ep;
	if (src->is6)
		__builtin_memcpy(&s->latched6, src->ip6, sizeof(s->latched6));
	__sync_lock_test_and_set(&s->latch, LATCH_WORD(f->generation, f->window, LATCH_VALID));
	return PARSED;
}

static __always_inline enum relay_reason latch_check(const struct flow *f, struct flow_state *s,
						     __u64 now, const struct source *src)
{
	__u64 word = s->latch;

	if (latch_valid(f, word)) {
		if (latch_is(s, src))
			return PARSED;
		if (!latch_open(f, word, now))
			return R_DROP_LATCHED;
	} else if (word >> 32 == f->generation && (word & LATCH_STEP_MASK) == LATCH_CLAIMED) {
		return R_DROP_LATCHING;
	}
	if (!latch_allowed(f, src))
		return R_DROP_CLIENT;
	return latch_take(f, s, word, src);
}

#endif
