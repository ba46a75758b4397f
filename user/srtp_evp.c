/* user/srtp_evp.c -- crypto for the fast back end by OpenSSL EVP: where ipsec-mb is not, and the second opinion in tests.
 *
 * In: jobs of one key each. Out: key stream applied, HMAC-SHA1 or GCM tag. A key holds two EVP contexts with the key set, so a packet
 * costs only the IV. Keys are owned by the session; OpenSSL wipes contexts when it frees them. */
#include "user/srtp_int.h"

#include <errno.h>
#include <stdlib.h>

#include <openssl/core_names.h>
#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/params.h>

struct evp_key {
	EVP_CIPHER_CTX *cipher;
	EVP_MAC_CTX *hmac; /* AES-CM only */
};

static const char *evp_text(void)
{
	return OpenSSL_version(OPENSSL_VERSION_STRING)[0] ? "OpenSSL EVP" : "EVP";
}

static void evp_key_free(enum srtp_suite s, void *key)
{
	struct evp_key *k = key;

	(void)s;
	EVP_CIPHER_CTX_free(k->cipher);
	EVP_MAC_CTX_free(k->hmac);
	free(k);
}

static EVP_MAC_CTX *hmac_new(const uint8_t key[20])
{
	char digest[] = "SHA1";
	OSSL_PARAM params[] = {OSSL_PARAM_utf8_string(OSSL_MAC_PARAM_DIGEST, digest, 0),
			       OSSL_PARAM_END};
	EVP_MAC *mac = EVP_MAC_fetch(NULL, "HMAC", NULL);
	EVP_MAC_CTX *c = mac ? EVP_MAC_CTX_new(mac) : NULL;

	EVP_MAC_free(mac); /* the context holds a reference */
	if (c && EVP_MAC_init(c, key, 20, params) != 1) {
		EVP_MAC_CTX_free(c);
		return NULL;
	}
	return c;
}

static int evp_key_new(enum srtp_suite s, const struct srtp_keys *keys, void **out)
{
	struct evp_key *k = calloc(1, sizeof(*k));
	const EVP_CIPHER *type = s == SRTP_AEAD_AES_256_GCM   ? EVP_aes_256_gcm()
				 : s == SRTP_AEAD_AES_128_GCM ? EVP_aes_128_gcm()
							      : EVP_aes_128_ctr();

	if (!k)
		return -ENOMEM;
	k->cipher = EVP_CIPHER_CTX_new();
	if (!srtp_suite_gcm(s))
		k->hmac = hmac_new(keys->auth);
	if (!k->cipher || (!srtp_suite_gcm(s) && !k->hmac) ||
	    EVP_EncryptInit_ex(k->cipher, type, NULL, keys->cipher, NULL) != 1) {
		evp_key_free(s, k);
		return -EIO;
	}
	*out = k;
	return 0;
}

static void evp_prefetch(enum srtp_suite s, const void *key)
{
	(void)s;
	__builtin_prefetch(key);
}

static bool evp_ctr(struct srtp_job *j, unsigned n)
{
	const struct evp_key *k;
	unsigned i;
	int got;

	for (i = 0; i < n; i++) {
		k = j[i].key;
		if (EVP_EncryptInit_ex(k->cipher, NULL, NULL, NULL, j[i].iv) != 1 ||
		    EVP_EncryptUpdate(k->cipher, j[i].p, &got, j[i].p, (int)j[i].n) != 1)
			return false;
	}
	return true;
}

static bool evp_hmac(struct srtp_job *j, unsigned n)
{
	const struct evp_key *k;
	unsigned i;
	size_t got;

	for (i = 0; i < n; i++) {
		k = j[i].key;
		if (EVP_MAC_init(k->hmac, NULL, 0, NULL) != 1 ||
		    EVP_MAC_update(k->hmac, j[i].p, j[i].n) != 1 ||
		    EVP_MAC_final(k->hmac, j[i].tag, &got, sizeof(j[i].tag)) != 1 ||
		    got != sizeof(j[i].tag))
			return false;
	}
	return true;
}

static bool evp_gcm_seal(EVP_CIPHER_CTX *c, const struct srtp_gcm *g, uint8_t tag[16])
{
	int got;

	return EVP_EncryptInit_ex(c, NULL, NULL, NULL, g->iv) == 1 &&
	       EVP_EncryptUpdate(c, NULL, &got, g->aad, (int)g->aad_n) == 1 &&
	       (!g->n || EVP_EncryptUpdate(c, g->p, &got, g->p, (int)g->n) == 1) &&
	       EVP_EncryptFinal_ex(c, tag, &got) == 1 &&
	       EVP_CIPHER_CTX_ctrl(c, EVP_CTRL_AEAD_GET_TAG, 16, tag) == 1;
}

/* EVP does not tell the tag it wants, only whether a given one is right: the tag behind the packet becomes @tag, and on
 * failure @tag is made to differ from it. */
static bool evp_gcm_open(EVP_CIPHER_CTX *c, const struct srtp_gcm *g, uint8_t tag[16])
{
	uint8_t last[16];
	int got;

	memcpy(tag, g->p + g->n, 16);
	if (EVP_DecryptInit_ex(c, NULL, NULL, NULL, g->iv) != 1 ||
	    EVP_CIPHER_CTX_ctrl(c, EVP_CTRL_AEAD_SET_TAG, 16, tag) != 1 ||
	    EVP_DecryptUpdate(c, NULL, &got, g->aad, (int)g->aad_n) != 1 ||
	    (g->n && EVP_DecryptUpdate(c, g->p, &got, g->p, (int)g->n) != 1))
		return false;
	if (EVP_DecryptFinal_ex(c, last, &got) != 1)
		tag[0] ^= 1;
	return true;
}

static bool evp_gcm(enum srtp_suite s, bool seal, const struct srtp_gcm *g, uint8_t tag[16])
{
	const struct evp_key *k = g->key;

	(void)s;
	return seal ? evp_gcm_seal(k->cipher, g, tag) : evp_gcm_open(k->cipher, g, tag);
}

const struct srtp_provider srtp_evp = {
	.text = evp_text,
	.key_new = evp_key_new,
	.key_free = evp_key_free,
	.prefetch = evp_prefetch,
	.ctr = evp_ctr,
	.hmac = evp_hmac,
	.gcm = evp_gcm,
};
