/* selftests/net/srtpkit.c -- see srtpkit.h. */
#include "selftests/net/srtpkit.h"

#include <errno.h>
#include <math.h>
#include <netdb.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const struct suite {
	const char *name;
	size_t n; /* master key and salt */
	void (*rtp)(srtp_crypto_policy_t *);
	void (*rtcp)(srtp_crypto_policy_t *);
} suites[] = {
	{"AEAD_AES_256_GCM", 44, srtp_crypto_policy_set_aes_gcm_256_16_auth,
	 srtp_crypto_policy_set_aes_gcm_256_16_auth},
	{"AEAD_AES_128_GCM", 28, srtp_crypto_policy_set_aes_gcm_128_16_auth,
	 srtp_crypto_policy_set_aes_gcm_128_16_auth},
	{"AES_CM_128_HMAC_SHA1_80", 30, srtp_crypto_policy_set_rtp_default,
	 srtp_crypto_policy_set_rtcp_default},
	{"AES_CM_128_HMAC_SHA1_32", 30, srtp_crypto_policy_set_aes_cm_128_hmac_sha1_32,
	 srtp_crypto_policy_set_rtcp_default}, /* SRTCP keeps the long tag: RFC 4568 section 6.2.2 */
};

static const struct suite *suite_find(const char *name)
{
	size_t i;

	for (i = 0; i < sizeof(suites) / sizeof(suites[0]); i++)
		if (!strcmp(suites[i].name, name))
			return &suites[i];
	return NULL;
}

static int base64_value(char c)
{
	static const char set[] =
		"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
	const char *at = c ? strchr(set, c) : NULL;

	return at ? (int)(at - set) : -1;
}

int kit_key_parse(const char *suite, const char *base64, struct kit_key *out)
{
	const struct suite *s = suite_find(suite);
	struct kit_key k = {0};
	uint32_t bits = 0;
	unsigned have = 0;
	int v;

	if (!s)
		return -EINVAL;
	for (; (v = base64_value(*base64)) >= 0; base64++) {
		bits = bits << 6 | (uint32_t)v;
		have += 6;
		if (have < 8)
			continue;
		have -= 8;
		if (k.n >= sizeof(k.key))
			return -EINVAL;
		k.key[k.n++] = (uint8_t)(bits >> have);
	}
	if (k.n != s->n)
		return -EINVAL;
	snprintf(k.suite, sizeof(k.suite), "%s", s->name);
	*out = k;
	return 0;
}

int kit_session(const struct kit_key *k, bool inbound, srtp_t *out)
{
	const struct suite *s = suite_find(k->suite);
	srtp_policy_t p = {0};
	uint8_t key[KIT_KEY_MAX];

	memcpy(key, k->key, sizeof(key));
	s->rtp(&p.rtp);
	s->rtcp(&p.rtcp);
	p.ssrc.type = inbound ? ssrc_any_inbound : ssrc_any_outbound;
	p.key = key;
	p.window_size = 1024;
	return srtp_create(out, &p) == srtp_err_status_ok ? 0 : -EIO;
}

int kit_addr(const char *text, struct sockaddr_storage *out, socklen_t *out_n)
{
	struct addrinfo hints = {.ai_flags = AI_NUMERICHOST | AI_NUMERICSERV,
				 .ai_socktype = SOCK_DGRAM},
			*ai;
	char host[64], port[8];

	if (sscanf(text, "[%63[0-9a-fA-F:.]]:%7[0-9]", host, port) != 2 &&
	    sscanf(text, "%63[0-9.]:%7[0-9]", host, port) != 2)
		return -EINVAL;
	if (getaddrinfo(host, port, &hints, &ai))
		return -EINVAL;
	memcpy(out, ai->ai_addr, ai->ai_addrlen);
	*out_n = ai->ai_addrlen;
	freeaddrinfo(ai);
	return 0;
}

size_t kit_rtp_header(const uint8_t *p, size_t n)
{
	size_t h;

	if (n < 12 || p[0] >> 6 != 2 || kit_is_rtcp(p, n))
		return 0;
	h = 12 + 4u * (p[0] & 15);
	if (p[0] & 0x10) {
		if (n < h + 4)
			return 0;
		h += 4 + 4u * (size_t)(p[h + 2] << 8 | p[h + 3]);
	}
	return h <= n ? h : 0;
}

bool kit_is_stun(const uint8_t *p, size_t n)
{
	return n >= 20 && p[0] < 4 && p[4] == 0x21 && p[5] == 0x12 && p[6] == 0xa4 && p[7] == 0x42;
}

bool kit_is_rtcp(const uint8_t *p, size_t n)
{
	return n >= 8 && p[0] >> 6 == 2 && p[1] >= 192 && p[1] <= 223; /* RFC 5761 section 4 */
}

static int16_t ulaw_decode(uint8_t u)
{
	int t;

	u = (uint8_t)~u;
	t = (((u & 15) << 3) + 0x84) << ((u & 0x70) >> 4);
	return (int16_t)(u & 0x80 ? 0x84 - t : t - 0x84);
}

uint8_t kit_ulaw(int16_t sample)
{
	int v = sample, sign = 0, exponent = 7, bit;

	if (v < 0) {
		v = -v;
		sign = 0x80;
	}
	v = (v > 32635 ? 32635 : v) + 0x84;
	for (bit = 0x4000; !(v & bit) && exponent; bit >>= 1)
		exponent--;
	return (uint8_t) ~(sign | exponent << 4 | (v >> (exponent + 3) & 15));
}

/* Goertzel: the share of the frame's energy at each candidate; a dominant one has two thirds. */
static void meter_frame(struct kit_meter *m)
{
	const unsigned n = sizeof(m->frame) / sizeof(m->frame[0]);
	double e = 0, best = 0;
	unsigned i, t, which = 0;

	for (i = 0; i < n; i++)
		e += (double)m->frame[i] * m->frame[i];
	if (e < 250.0 * 250.0 * n)
		return;
	for (t = 0; t < KIT_TONES; t++) {
		double w = 2 * cos(2 * M_PI * (300 + 100.0 * t) / 8000), s1 = 0, s2 = 0, s;

		for (i = 0; i < n; i++) {
			s = m->frame[i] + w * s1 - s2;
			s2 = s1;
			s1 = s;
		}
		s = 2 * (s1 * s1 + s2 * s2 - w * s1 * s2) / (n * e);
		if (s > best) {
			best = s;
			which = t;
		}
	}
	if (best > 0.66)
		m->frames[which]++;
}

void kit_meter_add(struct kit_meter *m, const uint8_t *ulaw, size_t n)
{
	while (n--) {
		m->frame[m->fill++] = ulaw_decode(*ulaw++);
		if (m->fill == sizeof(m->frame) / sizeof(m->frame[0])) {
			meter_frame(m);
			m->fill = 0;
		}
	}
}

unsigned kit_meter_hz(const struct kit_meter *m, double *out_seconds)
{
	unsigned t, which = 0;

	for (t = 1; t < KIT_TONES; t++)
		if (m->frames[t] > m->frames[which])
			which = t;
	*out_seconds = m->frames[which] * 0.05;
	return m->frames[which] ? 300 + 100 * which : 0;
}
