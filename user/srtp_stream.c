/* user/srtp_stream.c -- what a session knows of its SSRCs: highest index, replay window, last use.
 *
 * In: SSRC and sequence number or SRTCP index, time. Out: the packet index, or why it is refused; the table changes only in
 * srtp_streams_take() and srtp_index_commit(), that is after a packet authenticated. Owned by the session, no I/O, no clock. */
#include "user/srtp_int.h"

static const struct srtp_stream no_stream;

struct srtp_stream *srtp_streams_find(struct srtp_streams *t, uint32_t ssrc)
{
	unsigned i;

	if (t->n && t->s[t->last].ssrc == ssrc)
		return &t->s[t->last];
	for (i = 0; i < t->n; i++) {
		if (t->s[i].ssrc == ssrc) {
			t->last = (uint8_t)i;
			return &t->s[i];
		}
	}
	return NULL;
}

static unsigned oldest(const struct srtp_streams *t)
{
	unsigned i, o = 0;

	for (i = 1; i < t->n; i++)
		if (t->s[i].used_ms < t->s[o].used_ms)
			o = i;
	return o;
}

enum srtp_result srtp_streams_admit(struct srtp_streams *t, uint32_t ssrc, uint64_t now_ms)
{
	unsigned i;

	if (srtp_streams_find(t, ssrc))
		return SRTP_OK;
	for (i = 0; i < t->n_forgotten; i++)
		if (t->forgotten[i] == ssrc)
			return SRTP_SSRC_LIMIT;
	if (t->n < SRTP_SSRC_MAX)
		return SRTP_OK;
	if (t->s[oldest(t)].used_ms + SRTP_FORGET_MS > now_ms ||
	    t->n_forgotten == SRTP_FORGOTTEN_MAX)
		return SRTP_SSRC_LIMIT;
	return SRTP_OK;
}

struct srtp_stream *srtp_streams_take(struct srtp_streams *t, uint32_t ssrc, uint64_t now_ms,
				      bool *out_forgot, uint32_t *out_ssrc)
{
	struct srtp_stream *s = srtp_streams_find(t, ssrc);
	bool full;
	unsigned i;

	*out_forgot = false;
	if (!s) {
		full = t->n == SRTP_SSRC_MAX;
		i = full ? oldest(t) : t->n++;
		s = &t->s[i];
		if (full) {
			*out_forgot = true;
			*out_ssrc = s->ssrc;
			if (t->seal)
				t->forgotten[t->n_forgotten++] = s->ssrc;
		}
		*s = no_stream;
		s->ssrc = ssrc;
		t->last = (uint8_t)i;
	}
	s->used_ms = now_ms;
	return s;
}

static bool bit_test(const uint64_t *bits, uint64_t i)
{
	return bits[i / 64] >> (i % 64) & 1;
}

static enum srtp_result window_check(const uint64_t *bits, uint64_t top, uint64_t index)
{
	if (index > top)
		return SRTP_OK;
	if (top - index >= SRTP_WINDOW)
		return SRTP_OLD;
	return bit_test(bits, index % SRTP_WINDOW) ? SRTP_REPLAY : SRTP_OK;
}

/* The process may be killed between any two stores, and whoever follows reads the table: the compiler must not swap them. */
static void in_order(void)
{
	__atomic_signal_fence(__ATOMIC_SEQ_CST);
}

/* Ring of bits: what the window moves over is cleared, at most SRTP_WINDOW bits. The top first: a bit that is cleared under the old one
 * would let in what it stood for again. */
static void window_add(uint64_t *bits, uint64_t *top, uint64_t index)
{
	uint64_t i;

	if (index > *top) {
		i = index - *top > SRTP_WINDOW ? index - SRTP_WINDOW + 1 : *top + 1;
		*top = index;
		in_order();
		for (; i <= index; i++)
			bits[i % SRTP_WINDOW / 64] &= ~(1ULL << (i % 64));
	}
	bits[index % SRTP_WINDOW / 64] |= 1ULL << (index % 64);
}

/* RFC 3711 section 3.3.1 and appendix A; there is no ROC before 0. SRTP_RTP_MAX: past the last index. */
static uint64_t index_guess(uint64_t top, uint16_t seq)
{
	uint32_t last = top & 0xffff;
	uint64_t roc = top >> 16;

	if (last < 0x8000) {
		if (seq > last + 0x8000 && roc)
			roc--;
	} else if (last - 0x8000 > seq) {
		roc++;
	}
	return roc << 16 | seq;
}

enum srtp_result srtp_rtp_check(struct srtp_streams *t, uint32_t ssrc, uint16_t seq,
				uint64_t now_ms, uint64_t *out_index)
{
	const struct srtp_stream *s = srtp_streams_find(t, ssrc);
	enum srtp_result r;
	uint64_t index;

	if (!s) {
		r = srtp_streams_admit(t, ssrc, now_ms);
		if (r != SRTP_OK)
			return r;
		s = &no_stream;
	}
	index = index_guess(s->rtp_top, seq);
	if (index >= SRTP_RTP_MAX)
		return SRTP_KEY_LIMIT;
	r = window_check(s->rtp_seen, s->rtp_top, index);
	if (r == SRTP_OK)
		*out_index = index;
	return r;
}

enum srtp_result srtp_rtcp_check(struct srtp_streams *t, uint32_t ssrc, uint32_t index,
				 uint64_t now_ms)
{
	const struct srtp_stream *s = srtp_streams_find(t, ssrc);

	if (!s)
		return srtp_streams_admit(t, ssrc, now_ms);
	return window_check(s->rtcp_seen, s->rtcp_top, index);
}

enum srtp_result srtp_rtcp_next(struct srtp_streams *t, uint32_t ssrc, uint64_t now_ms,
				uint64_t *out_index)
{
	const struct srtp_stream *s = srtp_streams_find(t, ssrc);
	enum srtp_result r;

	if (!s) {
		r = srtp_streams_admit(t, ssrc, now_ms);
		if (r != SRTP_OK)
			return r;
		s = &no_stream;
	}
	if (s->rtcp_top >= SRTP_RTCP_MAX - 1)
		return SRTP_KEY_LIMIT;
	*out_index = s->rtcp_top + 1ULL;
	return SRTP_OK;
}

void srtp_index_commit(struct srtp_streams *t, uint32_t ssrc, bool rtcp, uint64_t index,
		       uint64_t now_ms)
{
	uint64_t top;
	uint32_t gone;
	bool forgot;
	struct srtp_stream *s = srtp_streams_take(t, ssrc, now_ms, &forgot, &gone);

	if (!rtcp) {
		window_add(s->rtp_seen, &s->rtp_top, index);
		return;
	}
	top = s->rtcp_top;
	window_add(s->rtcp_seen, &top, index);
	s->rtcp_top = (uint32_t)top;
}
