/* sip/sdes.c -- see sdes.h. In: a=crypto lines. Out: suites and keys, or lines to write. Owns nothing. */
#include "sip/sdes.h"

#include <string.h>

#include "sip/token.h"
#include "user/base64.h"

static const struct sdes_suite { /* in our order of preference, by enum engine_suite */
	const char *name;
	size_t key_len;
} sdes_suites[ENGINE_SUITES] = {
	{"AEAD_AES_256_GCM", 44},
	{"AEAD_AES_128_GCM", 28},
	{"AES_CM_128_HMAC_SHA1_80", 30},
	{"AES_CM_128_HMAC_SHA1_32", 30},
};

const char *sdes_name(enum engine_suite suite)
{
	return sdes_suites[suite].name;
}

size_t sdes_key_len(enum engine_suite suite)
{
	return sdes_suites[suite].key_len;
}

static bool sdes_params_ok(struct span params)
{
	while (params.n) {
		size_t i = 0;
		struct span one;

		while (i < params.n && params.p[i] != ' ')
			i++;
		one = span_cut(params, 0, i);
		params = span_cut(params, i + 1, params.n);
		/* RFC 4568 6.3: WSH is a hint; an unknown one with "-" in front may be ignored; all others change
		 * the stream. */
		if (one.n && one.p[0] != '-' && !(one.n > 4 && memcmp(one.p, "WSH=", 4) == 0))
			return false;
	}
	return true;
}

bool sdes_read(const struct sdp_crypto *cr, enum engine_suite suite, uint8_t key[SDES_KEY_MAX])
{
	const struct sdes_suite *su = &sdes_suites[suite];
	uint8_t raw[SDES_KEY_MAX] = {
		0}; /* keys are compared whole: nothing of another line may stay behind a short one */

	if (!span_eq(cr->suite, span_str(su->name)) || cr->has_mki || !sdes_params_ok(cr->params) ||
	    base64_read(cr->key_b64, BASE64_LOOSE, raw, SDES_KEY_MAX) != (ssize_t)su->key_len)
		return false;
	memcpy(key, raw, SDES_KEY_MAX);
	explicit_bzero(raw, sizeof(raw));
	return true;
}

bool sdes_pick(const struct sdp_media *sm, uint32_t *tag, enum engine_suite *suite,
	       uint8_t key[SDES_KEY_MAX])
{
	unsigned s, i;

	for (s = 0; s < ENGINE_SUITES; s++)
		for (i = 0; i < sm->n_crypto; i++)
			if (sdes_read(&sm->crypto[i], (enum engine_suite)s, key)) {
				*tag = sm->crypto[i].tag;
				*suite = (enum engine_suite)s;
				return true;
			}
	return false;
}

struct sdp_crypto_out sdes_line(uint32_t tag, enum engine_suite s, const uint8_t *key)
{
	return (struct sdp_crypto_out){tag, sdes_suites[s].name, key, sdes_suites[s].key_len};
}
