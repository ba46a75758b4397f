/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/* bpf/quality.h -- what a listener would hear, from the RTP headers: loss, order, duplicates and jitter of one direction of a flow.
 *
 * In: the first 12 bytes of a payload that flow.h calls RTP (SRTP leaves them clear, RFC 3711 3.1; RTCP, STUN and DTLS are told apart by
 * RFC 7983 and RFC 5761), the time it came, the clocks of the payload types. Out: a struct flow_quality, one cache line, changed in place.
 * The same code in the BPF programs, on sockets (user/media_user.c) and in a core that ends the media (user/media_core_quality.c). No map,
 * no clock is touched here. Only what went on its way is counted, so a packet that was dropped here is a lost one.
 *
 * Sequence (RFC 3550 A.1, without probation: the source is latched): a packet ahead of the highest by less than 3,000 moves it; one behind by
 * less than 100 is late or, if the last 64 remember it, a duplicate (older ones cannot be told apart: late). Anything further is a jump, believed
 * when the packet after it follows (A.1: bad_seq); till then it is not counted. A believed jump or another SSRC begins anew, and what was
 * expected so far stays in the account: base moves so that highest - base + 1 goes on. What a jump leapt over counts for nothing.
 *	lost = expected - (received - duplicates)		RFC 3550 A.3; not below 0 (a late first packet is not expected)
 *
 * Jitter (6.4.1, A.8): of every packet that counts, in order of arrival, against the one before it: D = time between arrivals - time between
 * timestamps, J += (|D| - J) / 16, scaled by 16 as A.8 has it, in units of 1,024 ns. D counts up to 137 s. The clock is the payload type's, from the
 * media description; a type without one (unknown, or telephone-event, whose timestamps stand still: RFC 4733) has no part in it. With another
 * type, SSRC or after a jump the comparison begins anew; with another SSRC the mean as well. */
#ifndef SALLYPORT_QUALITY_H
#define SALLYPORT_QUALITY_H

#include <bpf/bpf_endian.h>
#include "bpf/abi.h"

#define QUALITY_DROPOUT	 3000 /* RFC 3550 A.1: MAX_DROPOUT, MAX_MISORDER */
#define QUALITY_MISORDER 100
#define QUALITY_NO_BAD	 0x10000
#define QUALITY_D_MAX	 (1 << 27)

#define RTP_HEADER 12

struct rtp { /* as in the packet */
	__be32 word[3];
};

/* 0: the header cannot be read. @b: a payload that is RTP by its first bytes. */
static __always_inline int rtp_peek(const __u8 *b, const void *end, struct rtp *out)
{
	const __be32 *w = (const void *)b;

	if ((const void *)(b + RTP_HEADER) > end)
		return 0;
	for (int i = 0; i < 3; i++)
		out->word[i] = w[i];
	return 1;
}

static __always_inline __u16 rtp_sequence(const struct rtp *r)
{
	return (__u16)bpf_ntohl(r->word[0]);
}

static __always_inline __u8 rtp_type(const struct rtp *r)
{
	return bpf_ntohl(r->word[0]) >> 16 & 0x7f;
}

static __always_inline void quality_begin(struct flow_quality *q, const struct rtp *r)
{
	__u32 expected = 0, seq = rtp_sequence(r);

	if (q->received) {
		expected = q->highest - q->base + 1;
		q->restarts++;
	}
	q->base = seq - expected;
	q->highest = seq;
	q->window = 0;
	q->bad = QUALITY_NO_BAD;
	q->at_ns = 0;
	if (q->ssrc != r->word[2])
		q->jitter = 0;
	q->ssrc = r->word[2];
}

/* A packet behind the highest, or the highest itself, by @behind < QUALITY_MISORDER. */
static __always_inline void quality_late(struct flow_quality *q, __u32 behind)
{
	__u64 bit = behind < 64 ? 1ull << behind : 0;

	if (q->window & bit) {
		q->duplicates++;
		return;
	}
	q->window |= bit;
	q->reordered++;
}

/* 1: it counts, 0: a jump that nothing has confirmed yet. */
static __always_inline int quality_count(struct flow_quality *q, const struct rtp *r)
{
	__u16 seq = rtp_sequence(r), ahead;

	if (!q->received || q->ssrc != r->word[2])
		quality_begin(q, r);
	ahead = seq - (__u16)q->highest;
	if (ahead - 1u < QUALITY_DROPOUT - 1) {
		q->window = ahead < 64 ? q->window << ahead | 1 : 1;
		q->highest += ahead;
	} else if (!q->window) {
		q->window = 1; /* just begun */
	} else if ((__u16)-ahead < QUALITY_MISORDER) {
		quality_late(q, (__u16)-ahead);
	} else if (seq != q->bad) {
		q->bad = (__u16)(seq + 1);
		return 0;
	} else {
		quality_begin(q, r);
		q->window = 1;
	}
	q->received++;
	return 1;
}

/* The type's clock, kept while the type stays. 1: there is one, so the time of arrival matters. */
static __always_inline int quality_clock(struct flow_quality *q, const __u32 *clocks,
					 const struct rtp *r)
{
	__u8 type = rtp_type(r);
	__u32 hz = 0;

	if (q->tick && q->type == type)
		return 1;
	for (int i = 0; i < FLOW_CLOCKS && clocks[i]; i++)
		if ((clocks[i] & 0xff) == (0x80 | type))
			hz = clocks[i] >> 8;
	q->type = type;
	q->tick = hz ? QUALITY_TICK(hz) : 0;
	q->at_ns = 0;
	return !!q->tick;
}

/* After quality_count() and quality_clock() said 1. @now: CLOCK_MONOTONIC, exact. */
static __always_inline void quality_time(struct flow_quality *q, const struct rtp *r, __u64 now)
{
	__u32 timestamp = bpf_ntohl(r->word[1]);
	__s64 d;

	if (q->at_ns) {
		d = (__s64)(now - q->at_ns) -
		    ((__s64)(__s32)(timestamp - q->timestamp) * q->tick >> 8);
		d = ((d < 0 ? -d : d) + 512) >> 10;
		if (d > QUALITY_D_MAX)
			d = QUALITY_D_MAX;
		q->jitter += (__u32)d - ((q->jitter + 8) >> 4);
	}
	q->at_ns = now;
	q->timestamp = timestamp;
}

#endif
