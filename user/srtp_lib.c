/* user/srtp_lib.c -- the SRTP back end on libsrtp2: complete and trusted, the reference for ours.
 *
 * In: packets with a good header. Out: each transformed by srtp_protect() and its like, with its status as our result. libsrtp2
 * keeps ROC, indices and windows; how many SSRCs a session may hold is ours to keep, as in the other back end. */
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

static int lib_context(enum srtp_suite s, struct span key, bool seal, srtp_t *out)
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
	policy.ssrc.type = seal ? ssrc_any_outbound : ssrc_any_inbound;
	policy.key = copy;
	policy.window_size = SRTP_WINDOW;
	st = srtp_create(out, &policy);
	OPENSSL_cleanse(copy, sizeof(copy));
	return st == srtp_err_status_ok ? 0 : st == srtp_err_status_alloc_fail ? -ENOMEM : -EIO;
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

static enum srtp_result lib_one(struct srtp_item *it, uint64_t now_ms, bool seal)
{
	struct srtp_packet *p = it->p;
	struct srtp_session *s = p->session;
	enum srtp_result r = srtp_streams_admit(&s->streams, it->h.ssrc, now_ms);
	srtp_t c = s->key[0];
	uint32_t gone;
	bool forgot;
	int n = (int)p->n;

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
	srtp_streams_take(&s->streams, it->h.ssrc, now_ms, &forgot, &gone);
	if (forgot)
		srtp_remove_stream(c, htonl(gone)); /* libsrtp2 keeps SSRCs in network order */
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
	.open = lib_open,
	.seal = lib_seal,
};
