/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/* bpf/flow.h -- what a flow does with a datagram: the rules of all rungs, compiled into the BPF programs and into user/media_user.c.
 *
 * In: flow (what may latch, which window is open), flow_state (what has latched), the datagram's source, the first bytes of its payload.
 * Out: PARSED when it may pass, R_PUNCH, or the reason for dropping it. No map, no packet header, no clock is touched here.
 * The leg is taken by compare-and-swap of one word, claimed -> written -> valid, so of two CPUs one wins; a word of an earlier
 * generation counts as not latched. Readers on weakly ordered CPUs may see the word before the address: they then drop one packet,
 * never send it astray, since the IPv4 address and port are one aligned word and an all-zero port is refused. */
#ifndef SALLYPORT_FLOW_H
#define SALLYPORT_FLOW_H

#include <bpf/bpf_endian.h>
#include "bpf/abi.h"

#define PARSED	     RELAY_REASON_COUNT /* no exit yet */
#define MEDIA_PEEK   8			/* payload bytes that shape tests read */
#define STUN_REQUEST bpf_htons(0x0001)
#define STUN_COOKIE  bpf_htonl(0x2112a442)

enum shape { SHAPE_OTHER, SHAPE_MEDIA, SHAPE_STUN_REQUEST, SHAPE_RTP };

struct source {
	struct sp_ep4 ep;  /* IPv6: only the port */
	const __be32 *ip6; /* in the packet, if is6 */
	__u8 is6;
};

/* RFC 7983's first byte, RFC 5761's second; MEDIA is RTCP, DTLS and STUN's other messages. @b: the payload, @n bytes of which those before @end can be read. */
static __always_inline enum shape shape_of(const __u8 *b, const void *end, __u32 n)
{
	if (n < MEDIA_PEEK || (const void *)(b + MEDIA_PEEK) > end)
		return SHAPE_OTHER;
	if (b[0] >= 128 && b[0] <= 191) {
		if (b[1] >= 192 && b[1] <= 223)
			return SHAPE_MEDIA;
		return n >= 12 ? SHAPE_RTP : SHAPE_OTHER;
	}
	if (b[0] >= 20 && b[0] <= 63)
		return n >= 13 ? SHAPE_MEDIA : SHAPE_OTHER;
	if (b[0] > 3 || n < 20 || *(const __be32 *)(b + 4) != STUN_COOKIE)
		return SHAPE_OTHER;
	return *(const __be16 *)b == STUN_REQUEST ? SHAPE_STUN_REQUEST : SHAPE_MEDIA;
}

static __always_inline int ip_eq(const struct sp_ip *a, const __be32 *w)
{
	return !((a->w[0] ^ w[0]) | (a->w[1] ^ w[1]) | (a->w[2] ^ w[2]) | (a->w[3] ^ w[3]));
}

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

static __always_inline enum relay_reason latch_take(const struct flow *f, __u64 *latch,
						    struct sp_ep4 *ep, struct sp_ip *ip6,
						    __u64 word, const struct source *src)
{
	__u64 claimed = LATCH_WORD(f->generation, f->window, LATCH_CLAIMED);

	if (__sync_val_compare_and_swap(latch, word, claimed) != word)
		return R_DROP_LATCHING;
	*ep = src->ep;
	if (src->is6)
		__builtin_memcpy(ip6, src->ip6, sizeof(*ip6));
	__sync_lock_test_and_set(latch, LATCH_WORD(f->generation, f->window, LATCH_VALID));
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
	return latch_take(f, &s->latch, &s->latched, &s->latched6, word, src);
}

/* An inside party that sends from elsewhere than it said it listens: the first such source has the leg beside it, until user space names
 * another party and clears the word. */
static __always_inline enum relay_reason inside_check(const struct flow *f, struct flow_state *s,
						      const struct source *src)
{
	__u64 word = s->inside_latch;

	if (!(f->flags & FLOW_LOOSE))
		return R_DROP_CORE;
	if (latch_valid(f, word))
		return ep4_eq(&s->inside, &src->ep) && (!src->is6 || ip_eq(&s->inside6, src->ip6))
			       ? PARSED
			       : R_DROP_CORE;
	if (word >> 32 == f->generation && (word & LATCH_STEP_MASK) == LATCH_CLAIMED)
		return R_DROP_LATCHING;
	return latch_take(f, &s->inside_latch, &s->inside, &s->inside6, word, src);
}

/* client -> core, or on a core: edge -> inside. PARSED: it goes to f->core. */
static __always_inline enum relay_reason flow_in(const struct flow *f, struct flow_state *s,
						 __u64 now, const struct source *src,
						 enum shape shape)
{
	enum relay_reason why;

	/* A request that a core let pass could reach an edge again, whose punch socket it would fill. */
	if (shape == SHAPE_OTHER || (shape == SHAPE_STUN_REQUEST && f->flags & FLOW_NO_STUN))
		return R_DROP_SHAPE;
	why = latch_check(f, s, now, src);
	if (why != PARSED)
		return why;
	return f->core.port ? PARSED : R_DROP_NO_CORE;
}

/* core -> client. PARSED: it goes to s->latched. A core's binding request goes to the one punch socket, whatever its source: it is how
 * the source gets known. */
static __always_inline enum relay_reason flow_out(const struct flow *f, struct flow_state *s,
						  const struct source *src, enum shape shape)
{
	enum relay_reason why;

	if (shape == SHAPE_STUN_REQUEST)
		return f->flags & FLOW_NO_STUN ? R_DROP_SHAPE : R_PUNCH;
	if (shape == SHAPE_OTHER)
		return R_DROP_SHAPE;
	if (!f->core.port)
		return R_DROP_NO_CORE;
	if (!ep4_eq(&f->core, &src->ep) || (src->is6 && !ip_eq(&f->core6, src->ip6))) {
		why = inside_check(f, s, src);
		if (why != PARSED)
			return why;
	}
	if (!latch_valid(f, s->latch) || !s->latched.port)
		return R_DROP_NOT_LATCHED;
	return PARSED;
}

static __always_inline void flow_count_in(struct flow_state *s, __u64 now, __u32 ip_len)
{
	s->packets_in++;
	s->bytes_in += ip_len;
	s->last_in_ns = now;
}

static __always_inline void flow_count_out(struct flow_state *s, __u64 now, __u32 ip_len)
{
	s->packets_out++;
	s->bytes_out += ip_len;
	s->last_out_ns = now;
}

#endif
