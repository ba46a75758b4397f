/* sip/pass.c -- see pass.h. In: parsed m-lines. Out: lines that may pass, verdicts. Owns nothing. */
#include "sip/pass.h"

#include <string.h>

bool pass_secure(const struct sdp_media *sm)
{
	return sm->proto == SDP_RTP_SAVP || sm->proto == SDP_RTP_SAVPF;
}

/* By the cipher at the front of the name (RFC 4568 6.2, 5669, 6188, 7714, 8269): a suite that we do not know may be one that does not
 * encrypt. */
static bool suite_encrypts(struct span name)
{
	static const char *const ciphers[] = {"AES_",  "AEAD_AES_",  "F8_128_",
					      "SEED_", "AEAD_ARIA_", "ARIA_"};
	size_t i, n;

	for (i = 0; i < sizeof(ciphers) / sizeof(ciphers[0]); i++) {
		n = strlen(ciphers[i]);
		if (name.n > n && memcmp(name.p, ciphers[i], n) == 0)
			return true;
	}
	return false;
}

static bool params_encrypt(struct span params)
{
	static const char *const off[] = {"UNENCRYPTED_SRTP", "UNENCRYPTED_SRTCP",
					  "UNAUTHENTICATED_SRTP"};
	struct span one;
	size_t i;

	while (params.n) {
		for (i = 0; i < params.n && params.p[i] != ' '; i++)
			;
		one = span_cut(params, 0, i);
		params = span_cut(params, i + 1, params.n);
		/* "-" in front asks only that a reader may pass it over; one that does not would obey it. */
		if (one.n && one.p[0] == '-')
			one = span_cut(one, 1, one.n);
		for (i = 0; i < sizeof(off) / sizeof(off[0]); i++)
			if (span_ieq(one, span_str(off[i])))
				return false;
	}
	return true;
}

static bool line_passes(const struct sdp_crypto *c)
{
	return c->suite.n <= sizeof(((struct pass_offer *)0)->suite[0].text) &&
	       suite_encrypts(c->suite) && params_encrypt(c->params);
}

unsigned pass_lines(const struct sdp_media *sm, struct span out[SDP_CRYPTO_MAX])
{
	unsigned i, n = 0;

	for (i = 0; i < sm->n_crypto; i++)
		if (line_passes(&sm->crypto[i]))
			out[n++] = sm->crypto[i].line;
	return n;
}

bool pass_offer_read(const struct sdp_media *sm, struct pass_offer *out)
{
	unsigned i;

	out->n = 0;
	for (i = 0; i < sm->n_crypto; i++) {
		const struct sdp_crypto *c = &sm->crypto[i];

		if (!line_passes(c))
			continue;
		out->tag[out->n] = c->tag;
		out->suite[out->n].n = (uint8_t)c->suite.n;
		memcpy(out->suite[out->n].text, c->suite.p, c->suite.n);
		out->n++;
	}
	return out->n > 0;
}

bool pass_answer_ok(const struct pass_offer *o, const struct sdp_media *sm)
{
	const struct sdp_crypto *c = &sm->crypto[0];
	unsigned i;

	if (!pass_secure(sm) || sm->n_crypto != 1 || !line_passes(c))
		return false;
	for (i = 0; i < o->n; i++)
		if (o->tag[i] == c->tag &&
		    span_eq(c->suite, span_of(o->suite[i].text, o->suite[i].n)))
			return true;
	return false;
}
