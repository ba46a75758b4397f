/* user/srtp_kdf.c -- session keys from a master key (RFC 3711 section 4.3, RFC 6188, RFC 7714 section 11).
 *
 * In: suite, master key and salt. Out: cipher key, authentication key and salt for RTP or RTCP. The caller owns and wipes them.
 * AES by OpenSSL EVP whatever the provider: this runs twice a session. */
#include "user/srtp_int.h"

#include <errno.h>

#include <openssl/crypto.h>
#include <openssl/evp.h>

static const struct {
	const char *name;
	uint8_t cipher, salt, tag_rtp, tag_rtcp;
} suites[SRTP_SUITES] = {
	[SRTP_AEAD_AES_256_GCM] = {"AEAD_AES_256_GCM", 32, 12, 16, 16},
	[SRTP_AEAD_AES_128_GCM] = {"AEAD_AES_128_GCM", 16, 12, 16, 16},
	[SRTP_AES_CM_128_HMAC_SHA1_80] = {"AES_CM_128_HMAC_SHA1_80", 16, 14, 10, 10},
	/* RFC 4568 section 6.2.2: SRTCP keeps 80 bits */
	[SRTP_AES_CM_128_HMAC_SHA1_32] = {"AES_CM_128_HMAC_SHA1_32", 16, 14, 4, 10},
};

size_t srtp_suite_cipher_len(enum srtp_suite s)
{
	return suites[s].cipher;
}

size_t srtp_suite_salt_len(enum srtp_suite s)
{
	return suites[s].salt;
}

size_t srtp_suite_tag_len(enum srtp_suite s, bool rtcp)
{
	return rtcp ? suites[s].tag_rtcp : suites[s].tag_rtp;
}

size_t srtp_suite_key_len(enum srtp_suite s)
{
	return (size_t)suites[s].cipher + suites[s].salt;
}

const char *srtp_suite_name(enum srtp_suite s)
{
	return suites[s].name;
}

bool srtp_suite_from_name(struct span name, enum srtp_suite *out)
{
	unsigned i;

	for (i = 0; i < SRTP_SUITES; i++) {
		if (span_eq(name, span_str(suites[i].name))) {
			*out = (enum srtp_suite)i;
			return true;
		}
	}
	return false;
}

/* Key stream of AES-CM from (salt XOR label) * 2^16: @n bytes. */
static bool derive(EVP_CIPHER_CTX *c, const uint8_t salt[14], uint8_t label, uint8_t *out, size_t n)
{
	uint8_t iv[16] = {}, zero[32] = {};
	int got;

	memcpy(iv, salt, 14);
	iv[7] ^= label;
	return EVP_EncryptInit_ex(c, NULL, NULL, NULL, iv) == 1 &&
	       EVP_EncryptUpdate(c, out, &got, zero, (int)n) == 1 && got == (int)n;
}

int srtp_kdf(enum srtp_suite s, struct span master, bool rtcp, struct srtp_keys *out)
{
	EVP_CIPHER_CTX *c = EVP_CIPHER_CTX_new();
	uint8_t salt[14] = {}, first = rtcp ? 3 : 0; /* labels 0..2, 3..5 */
	struct srtp_keys k = {};
	int r = -EIO;

	if (!c)
		return -EIO;
	memcpy(salt, master.p + suites[s].cipher, suites[s].salt);
	if (EVP_EncryptInit_ex(c, suites[s].cipher == 32 ? EVP_aes_256_ctr() : EVP_aes_128_ctr(),
			       NULL, master.p, NULL) == 1 &&
	    derive(c, salt, first, k.cipher, suites[s].cipher) &&
	    derive(c, salt, (uint8_t)(first + 1), k.auth, sizeof(k.auth)) &&
	    derive(c, salt, (uint8_t)(first + 2), k.salt, suites[s].salt)) {
		*out = k;
		r = 0;
	}
	OPENSSL_cleanse(&k, sizeof(k));
	OPENSSL_cleanse(salt, sizeof(salt));
	EVP_CIPHER_CTX_free(c);
	return r;
}
