/* user/ktls_keys.c -- keys from traffic secrets (RFC 8446 section 7). See ktls.h.
 *
 * In: the secrets beside struct ktls. Out: keys for the kernel, or the next secret. Owner: nothing is kept but OpenSSL's algorithm. */
#include <errno.h>
#include <openssl/core_names.h>
#include <openssl/kdf.h>
#include <openssl/params.h>
#include <string.h>

#include "user/ktls.h"

/* HKDF-Expand-Label(@secret, @label, "", @n), section 7.1. */
static int expand_label(const char *digest, const uint8_t *secret, size_t secret_n,
			const char *label, uint8_t *out, size_t n)
{
	static EVP_KDF *hkdf; /* looked up once a process */
	int mode = EVP_KDF_HKDF_MODE_EXPAND_ONLY, ret = -ENOMEM;
	size_t label_n = strlen(label);
	uint8_t info[2 + 1 + 6 + 16 + 1] = {(uint8_t)(n >> 8),
					    (uint8_t)n,
					    (uint8_t)(6 + label_n),
					    't',
					    'l',
					    's',
					    '1',
					    '3',
					    ' '};
	OSSL_PARAM params[5] = {
		OSSL_PARAM_construct_int(OSSL_KDF_PARAM_MODE, &mode),
		OSSL_PARAM_construct_utf8_string(OSSL_KDF_PARAM_DIGEST, (char *)(uintptr_t)digest,
						 0),
		OSSL_PARAM_construct_octet_string(OSSL_KDF_PARAM_KEY, (void *)(uintptr_t)secret,
						  secret_n),
		OSSL_PARAM_construct_octet_string(OSSL_KDF_PARAM_INFO, info, 9 + label_n + 1),
		OSSL_PARAM_construct_end(),
	};
	EVP_KDF_CTX *ctx = NULL;

	memcpy(info + 9, label, label_n); /* the context after it is empty: a length of 0 */
	if (!hkdf)
		hkdf = EVP_KDF_fetch(NULL, "HKDF", NULL);
	if (hkdf)
		ctx = EVP_KDF_CTX_new(hkdf);
	if (ctx && EVP_KDF_derive(ctx, out, n, params) == 1)
		ret = 0;
	EVP_KDF_CTX_free(ctx);
	return ret;
}

static const char *digest_of(const struct ktls *k)
{
	return k->secret_n == 48 ? "SHA384" : "SHA256";
}

int ktls_keys_from_secret(const struct ktls *k, enum ktls_dir d, struct ktls_keys *out)
{
	int ret;

	out->seq = 0;
	ret = expand_label(digest_of(k), ktls_secrets(k)->of[d], k->secret_n, "key", out->key,
			   ktls_key_size(k->cipher));
	if (!ret)
		ret = expand_label(digest_of(k), ktls_secrets(k)->of[d], k->secret_n, "iv", out->iv,
				   sizeof(out->iv));
	return ret;
}

int ktls_secret_next(struct ktls *k, enum ktls_dir d)
{
	uint8_t next[KTLS_SECRET_MAX];
	int ret = expand_label(digest_of(k), ktls_secrets(k)->of[d], k->secret_n, "traffic upd",
			       next, k->secret_n);

	if (!ret)
		memcpy(ktls_secrets(k)->of[d], next, k->secret_n);
	explicit_bzero(next, sizeof(next));
	return ret;
}
