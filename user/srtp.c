/* user/srtp.c -- SRTP as the rest of the core sees it: choice of the back end, sessions, header checks, limits.
 *
 * In: batches of packets of any sessions. Out: the same packets transformed by the back end, each with its result; what has a
 * bad header or is over a limit never reaches a back end. See srtp.h for who owns what. */
#include "user/srtp_int.h"

#include <errno.h>
#include <stdlib.h>
#include <time.h>

#include <openssl/crypto.h>

static const struct srtp_back *back; /* chosen once by srtp_init() */

static uint64_t clock_coarse(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC_COARSE, &ts);
	return (uint64_t)ts.tv_sec * 1000 + (uint64_t)ts.tv_nsec / 1000000;
}

uint64_t (*srtp_clock)(void) = clock_coarse;

const char *srtp_result_name(enum srtp_result r)
{
	static const char *const names[SRTP_RESULTS] = {
		[SRTP_OK] = "ok",
		[SRTP_SHORT] = "short",
		[SRTP_MALFORMED] = "malformed",
		[SRTP_AUTH] = "auth",
		[SRTP_REPLAY] = "replay",
		[SRTP_OLD] = "old",
		[SRTP_SSRC_LIMIT] = "ssrc-limit",
		[SRTP_KEY_LIMIT] = "key-limit",
		[SRTP_NO_ROOM] = "no-room",
		[SRTP_CRYPTO] = "crypto",
	};

	return names[r];
}

/* A session of every suite, made and freed: what the libraries load or open for it is there before seccomp. */
static int suites_try(void)
{
	static const uint8_t zero[SRTP_KEY_MAX];
	struct srtp_session *s = NULL;
	unsigned i;
	int r = 0;

	for (i = 0; i < SRTP_SUITES && !r; i++) {
		r = srtp_session_new((enum srtp_suite)i,
				     span_of(zero, srtp_suite_key_len((enum srtp_suite)i)), true,
				     &s);
		if (!r)
			srtp_session_free(s);
	}
	return r;
}

int srtp_init(enum srtp_backend want)
{
	const struct srtp_back *old = back,
			       *b = want == SRTP_LIBSRTP2 ? &srtp_back_lib : &srtp_back_fast;

	if (b->init())
		return -ENOTSUP;
	back = b;
	if (suites_try()) {
		back = old;
		return -ENOTSUP;
	}
	return 0;
}

enum srtp_backend srtp_backend(void)
{
	return back ? back->id : SRTP_AUTO;
}

const char *srtp_backend_text(void)
{
	return back ? back->text() : "none";
}

int srtp_session_new(enum srtp_suite s, struct span key, bool seal, struct srtp_session **out)
{
	struct srtp_session *n;
	int r;

	if (!back || (unsigned)s >= SRTP_SUITES || key.n != srtp_suite_key_len(s))
		return -EINVAL;
	n = calloc(1, sizeof(*n));
	if (!n)
		return -ENOMEM;
	n->back = back;
	n->suite = s;
	n->streams = &n->own;
	n->seal = n->own.seal = seal;
	n->tag[0] = (uint8_t)srtp_suite_tag_len(s, false);
	n->tag[1] = (uint8_t)srtp_suite_tag_len(s, true);
	r = back->session_new(n, key);
	if (r) {
		srtp_session_free(n);
		return r;
	}
	*out = n;
	return 0;
}

void srtp_session_free(struct srtp_session *s)
{
	if (!s)
		return;
	s->back->session_free(s);
	OPENSSL_cleanse(s, sizeof(*s));
	free(s);
}

static bool state_ok(const struct srtp_session *s, const struct srtp_streams *t)
{
	return t->n <= SRTP_SSRC_MAX && t->last < SRTP_SSRC_MAX &&
	       t->n_forgotten <= SRTP_FORGOTTEN_MAX && t->seal == s->seal;
}

int srtp_session_place(struct srtp_session *s, struct span key, void *place, bool resume)
{
	struct srtp_streams *t = place;
	int r;

	if (resume) {
		if (!state_ok(s, t))
			return -EBADMSG;
		s->streams = t;
		r = s->back->resume ? s->back->resume(s, key) : 0;
		if (r)
			s->streams = &s->own;
		return r;
	}
	*t = *s->streams;
	s->streams = t;
	return 0;
}

static uint32_t be32(const uint8_t *p)
{
	return (uint32_t)p[0] << 24 | (uint32_t)p[1] << 16 | (uint32_t)p[2] << 8 | p[3];
}

/* RFC 3550 section 5.1 and 5.3.1. @body: bytes without what SRTP adds. */
static enum srtp_result rtp_parse(const uint8_t *p, uint32_t body, struct srtp_head *out)
{
	uint32_t len;

	if (body < 12)
		return SRTP_SHORT;
	if (p[0] >> 6 != 2)
		return SRTP_MALFORMED;
	len = 12 + 4u * (p[0] & 15);
	if (p[0] & 0x10) {
		if (len + 4 > body)
			return SRTP_MALFORMED;
		len += 4 + 4u * ((uint32_t)p[len + 2] << 8 | p[len + 3]);
	}
	if (len > body)
		return SRTP_MALFORMED;
	out->len = len;
	out->seq = (uint16_t)(p[2] << 8 | p[3]);
	out->ssrc = be32(p + 8);
	return SRTP_OK;
}

static enum srtp_result rtcp_parse(const uint8_t *p, uint32_t body, struct srtp_head *out)
{
	if (body < SRTP_RTCP_HEADER)
		return SRTP_SHORT;
	if (p[0] >> 6 != 2)
		return SRTP_MALFORMED;
	out->len = SRTP_RTCP_HEADER;
	out->seq = 0;
	out->ssrc = be32(p + 4);
	return SRTP_OK;
}

/* SRTCP that is not encrypted (E bit 0): nobody negotiated that, though libsrtp2 would take it with GCM. */
static bool rtcp_clear(const struct srtp_packet *p, uint32_t body)
{
	return !(p->p[srtp_suite_gcm(p->session->suite) ? p->n - SRTP_RTCP_INDEX : body] & 0x80);
}

static enum srtp_result packet_check(const struct srtp_packet *p, bool seal, struct srtp_head *out)
{
	const struct srtp_session *s = p->session;
	uint32_t extra = s->tag[p->rtcp] + (p->rtcp ? SRTP_RTCP_INDEX : 0u), body = p->n;

	if (seal) {
		if (p->n > UINT16_MAX || p->cap < p->n || p->cap - p->n < extra)
			return SRTP_NO_ROOM;
	} else {
		if (p->n < extra)
			return SRTP_SHORT;
		body -= extra;
		if (p->rtcp && rtcp_clear(p, body))
			return SRTP_MALFORMED;
	}
	if (s->streams->count[p->rtcp] >= (p->rtcp ? SRTP_RTCP_MAX : SRTP_RTP_MAX))
		return SRTP_KEY_LIMIT;
	return p->rtcp ? rtcp_parse(p->p, body, out) : rtp_parse(p->p, body, out);
}

/* All sessions of a batch are of one back end: it is chosen once. */
static void run(struct srtp_packet *packets, unsigned n, bool seal)
{
	struct srtp_item it[SRTP_BATCH_MAX];
	uint64_t now = srtp_clock();
	unsigned i, k = 0;

	for (i = 0; i < n; i++)
		__builtin_prefetch(packets[i].session);
	for (i = 0; i < n; i++)
		__builtin_prefetch(packets[i].session->streams);
	for (i = 0; i < n; i++) {
		packets[i].result = packet_check(&packets[i], seal, &it[k].h);
		if (packets[i].result == SRTP_OK)
			it[k++].p = &packets[i];
	}
	if (!k)
		return;
	if (seal)
		it[0].p->session->back->seal(it, k, now);
	else
		it[0].p->session->back->open(it, k, now);
	for (i = 0; i < k; i++)
		if (it[i].p->result == SRTP_OK)
			it[i].p->session->streams->count[it[i].p->rtcp]++;
}

void srtp_open(struct srtp_packet *packets, unsigned n)
{
	for (; n > SRTP_BATCH_MAX; packets += SRTP_BATCH_MAX, n -= SRTP_BATCH_MAX)
		run(packets, SRTP_BATCH_MAX, false);
	run(packets, n, false);
}

void srtp_seal(struct srtp_packet *packets, unsigned n)
{
	for (; n > SRTP_BATCH_MAX; packets += SRTP_BATCH_MAX, n -= SRTP_BATCH_MAX)
		run(packets, SRTP_BATCH_MAX, true);
	run(packets, n, true);
}
