/* user/srtp_lib.c -- the SRTP back end on libsrtp2: complete and trusted, the reference for ours.
 *
 * In: packets with a good header. Out: each transformed by srtp_protect() and its like, with its status as our result. libsrtp2
 * keeps ROC, indices and windows; we keep them beside it, as in the other back end, since its own cannot be read back: a context that
 * follows another (resume) is told the ROC of each SSRC when its first packet comes, is brought to the next SRTCP index, and
 * what it has not seen our window refuses. */
#include "user/srtp_int.h"

#include <errno.h>
#include <stdio.h>

#include <arpa/inet.h>

#include <openssl/crypto.h>

/* libsrtp2's srtp_init() and ours have one C name and two symbols. */
#define srtp_init lib_srtp_init
#include <srtp2/srtp.h>
#undef srtp_init
srtp_err_status_t lib_srtp_init(void) __asm__("srtp_init");

static srtp_t
	first; /* NSS opens its files when the first context is made: before seccomp, then kept */
static bool ready;

#define LATE_RTCP_MAX \
	20000 /* SRTCP packets that a new context may be made to count: a day of them */

/* @fn makes use of the policy of @s under @key: a context, or an SSRC more in one. */
static int lib_policy(enum srtp_suite s, struct span key, srtp_ssrc_t ssrc,
		      srtp_err_status_t (*fn)(srtp_t *c, const srtp_policy_t *policy), srtp_t *c)
{
	static const srtp_profile_t profiles[SRTP_SUITES] = {
		[SRTP_AEAD_AES_256_GCM] = srtp_profile_aead_aes_256_gcm,
		[SRTP_AEAD_AES_128_GCM] = srtp_profile_aead_aes_128_gcm,
		[SRTP_AES_CM_128_HMAC_SHA1_80] = srtp_profile_aes128_cm_sha1_80,
		[SRTP_AES_CM_128_HMAC_SHA1_32] = srtp_profile_aes128_cm_sha1_32,
	};
	unsigned char copy[SRTP_KEY_MAX] = {};
	srtp_policy_t policy = {};
	srtp_err_status_t st;

	if (srtp_crypto_policy_set_from_profile_for_rtp(&policy.rtp, profiles[s]) ||
	    srtp_crypto_policy_set_from_profile_for_rtcp(&policy.rtcp, profiles[s]))
		return -ENOTSUP;
	memcpy(copy, key.p, key.n);
	policy.ssrc = ssrc;
	policy.key = copy;
	policy.window_size = SRTP_WINDOW;
	st = fn(c, &policy);
	OPENSSL_cleanse(copy, sizeof(copy));
	return st == srtp_err_status_ok ? 0 : st == srtp_err_status_alloc_fail ? -ENOMEM : -EIO;
}

static srtp_err_status_t context_add(srtp_t *c, const srtp_policy_t *policy)
{
	return srtp_add_stream(*c, policy);
}

static int lib_context(enum srtp_suite s, struct span key, bool seal, srtp_t *out)
{
	srtp_ssrc_t any = {.type = seal ? ssrc_any_outbound : ssrc_any_inbound};

	return lib_policy(s, key, any, srtp_create, out);
}

static int lib_init(void)
{
	static const uint8_t zero[SRTP_KEY_MAX];

	if (!ready && lib_srtp_init() != srtp_err_status_ok)
		return -ENOTSUP;
	ready = true;
	if (first)
		return 0;
	return lib_context(SRTP_AEAD_AES_256_GCM,
			   span_of(zero, srtp_suite_key_len(SRTP_AEAD_AES_256_GCM)), true, &first);
}

static const char *lib_text(void)
{
	static char text[64];

	snprintf(text, sizeof(text), "libsrtp2 (%.40s)", srtp_get_version_string());
	return text;
}

static int lib_session_new(struct srtp_session *s, struct span key)
{
	return lib_context(s->suite, key, s->seal, (srtp_t *)&s->key[0]);
}

static void lib_session_free(struct srtp_session *s)
{
	if (s->key[0])
		srtp_dealloc(s->key[0]);
	if (s->key[1])
		OPENSSL_clear_free(s->key[1], SRTP_KEY_MAX);
}

static int lib_resume(struct srtp_session *s, struct span key)
{
	s->key[1] = OPENSSL_zalloc(SRTP_KEY_MAX);
	if (!s->key[1])
		return -ENOMEM;
	memcpy(s->key[1], key.p, key.n);
	s->late[0] = s->late[1] = (uint8_t)((1u << s->streams->n) - 1);
	return 0;
}

static enum srtp_result result_of(srtp_err_status_t st)
{
	switch (st) {
	case srtp_err_status_ok:
		return SRTP_OK;
	case srtp_err_status_auth_fail:
		return SRTP_AUTH;
	case srtp_err_status_replay_fail:
		return SRTP_REPLAY;
	case srtp_err_status_replay_old:
	case srtp_err_status_pkt_idx_old:
		return SRTP_OLD;
	case srtp_err_status_key_expired:
		return SRTP_KEY_LIMIT;
	case srtp_err_status_bad_param:
	case srtp_err_status_parse_err:
	case srtp_err_status_cant_check: /* SRTCP without the E bit */
		return SRTP_MALFORMED;
	default:
		return SRTP_CRYPTO;
	}
}

/* Count @top SRTCP packets, which the context before has sent. */
static bool late_rtcp(srtp_t c, const struct srtp_stream *st)
{
	uint8_t buf[SRTP_RTCP_HEADER + SRTP_TRAIL_MAX + SRTP_MAX_TRAILER_LEN];
	uint8_t head[SRTP_RTCP_HEADER] = {0x80, 201, 0, 1};
	uint32_t ssrc = htonl(st->ssrc), i;
	int n;

	memcpy(head + 4, &ssrc, 4);
	for (i = 0; i < st->rtcp_top; i++) {
		memcpy(buf, head, sizeof(head));
		n = SRTP_RTCP_HEADER;
		if (i == LATE_RTCP_MAX || srtp_protect_rtcp(c, buf, &n))
			return false;
	}
	return true;
}

/* The first packet of an SSRC that the session before knew. */
static enum srtp_result lib_late(struct srtp_session *s, const struct srtp_item *it, uint64_t index)
{
	struct srtp_stream *st = srtp_streams_find(s->streams, it->h.ssrc);
	unsigned bit = st ? 1u << (st - s->streams->s) : 0;
	srtp_ssrc_t ssrc = {.type = ssrc_specific, .value = it->h.ssrc};
	srtp_t c = s->key[0];

	if (!((s->late[0] | s->late[1]) & bit))
		return SRTP_OK;
	if ((s->late[0] & s->late[1] & bit) &&
	    lib_policy(s->suite, span_of(s->key[1], srtp_suite_key_len(s->suite)), ssrc,
		       context_add, &c))
		return SRTP_CRYPTO;
	if (it->p->rtcp && (s->late[1] & bit) && s->seal && !late_rtcp(c, st))
		return SRTP_KEY_LIMIT;
	if (!it->p->rtcp && (s->late[0] & bit) && index >> 16 &&
	    srtp_set_stream_roc(c, it->h.ssrc, (uint32_t)(index >> 16)))
		return SRTP_CRYPTO;
	s->late[it->p->rtcp] &= (uint8_t)~bit;
	return SRTP_OK;
}

static enum srtp_result lib_index(const struct srtp_item *it, uint64_t now_ms, bool seal,
				  uint64_t *index)
{
	struct srtp_packet *p = it->p;
	struct srtp_session *s = p->session;
	const uint8_t *w;

	if (!p->rtcp)
		return srtp_rtp_check(s->streams, it->h.ssrc, it->h.seq, now_ms, index);
	if (seal)
		return srtp_rtcp_next(s->streams, it->h.ssrc, now_ms, index);
	w = p->p + p->n - SRTP_RTCP_INDEX - (srtp_suite_gcm(s->suite) ? 0 : s->tag[1]);
	*index = ((uint32_t)w[0] << 24 | (uint32_t)w[1] << 16 | (uint32_t)w[2] << 8 | w[3]) &
		 0x7fffffff;
	return srtp_rtcp_check(s->streams, it->h.ssrc, (uint32_t)*index, now_ms);
}

static enum srtp_result lib_one(struct srtp_item *it, uint64_t now_ms, bool seal)
{
	struct srtp_packet *p = it->p;
	struct srtp_session *s = p->session;
	srtp_t c = s->key[0];
	uint64_t index = 0;
	uint32_t gone;
	bool forgot;
	int n = (int)p->n;
	enum srtp_result r = lib_index(it, now_ms, seal, &index);

	if (r == SRTP_OK)
		r = lib_late(s, it, index);
	if (r != SRTP_OK)
		return r;
	if (seal)
		r = result_of(p->rtcp ? srtp_protect_rtcp(c, p->p, &n) : srtp_protect(c, p->p, &n));
	else
		r = result_of(p->rtcp ? srtp_unprotect_rtcp(c, p->p, &n)
				      : srtp_unprotect(c, p->p, &n));
	if (r != SRTP_OK)
		return r;
	p->n = (uint32_t)n;
	srtp_streams_take(s->streams, it->h.ssrc, now_ms, &forgot, &gone);
	if (forgot) {
		srtp_remove_stream(c, htonl(gone)); /* libsrtp2 keeps SSRCs in network order */
		s->late[0] &= (uint8_t) ~(1u << s->streams->last);
		s->late[1] &= (uint8_t) ~(1u << s->streams->last);
	}
	srtp_index_commit(s->streams, it->h.ssrc, p->rtcp, index, now_ms);
	return SRTP_OK;
}

static void lib_open(struct srtp_item *it, unsigned n, uint64_t now_ms)
{
	unsigned i;

	for (i = 0; i < n; i++)
		it[i].p->result = lib_one(&it[i], now_ms, false);
}

static void lib_seal(struct srtp_item *it, unsigned n, uint64_t now_ms)
{
	unsigned i;

	for (i = 0; i < n; i++)
		it[i].p->result = lib_one(&it[i], now_ms, true);
}

const struct srtp_back srtp_back_lib = {
	.id = SRTP_LIBSRTP2,
	.init = lib_init,
	.text = lib_text,
	.session_new = lib_session_new,
	.session_free = lib_session_free,
	.resume = lib_resume,
	.open = lib_open,
	.seal = lib_seal,
};
