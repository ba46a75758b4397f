/* selftests/unit/certs.c -- see certs.h. P-256 keys, made by OpenSSL's API, so that tests carry no files. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/rand.h>
#include <openssl/x509v3.h>

#include "selftests/unit/certs.h"

static size_t bio_take(BIO *bio, char *buf, size_t n)
{
	int got = BIO_read(bio, buf, (int)n - 1);

	assert_true(got > 0 && (size_t)got < n - 1);
	buf[got] = 0;
	BIO_free(bio);
	return (size_t)got;
}

static void ext_add(X509 *x, X509 *issuer, int nid, const char *value)
{
	X509_EXTENSION *e;
	X509V3_CTX v;

	X509V3_set_ctx(&v, issuer, x, NULL, NULL, 0);
	e = X509V3_EXT_conf_nid(NULL, &v, nid, value);
	assert_non_null(e);
	assert_int_equal(X509_add_ext(x, e, -1), 1);
	X509_EXTENSION_free(e);
}

static X509 *x509_base(EVP_PKEY *key, const char *cn, bool expired)
{
	X509 *x = X509_new();
	uint32_t serial;

	assert_non_null(x);
	assert_int_equal(RAND_bytes((unsigned char *)&serial, sizeof(serial)), 1);
	X509_set_version(x, 2);
	ASN1_INTEGER_set(X509_get_serialNumber(x), serial >> 1);
	X509_gmtime_adj(X509_getm_notBefore(x), -7200);
	X509_gmtime_adj(X509_getm_notAfter(x), expired ? -3600 : 86400);
	X509_NAME_add_entry_by_txt(X509_get_subject_name(x), "CN", MBSTRING_UTF8,
				   (const unsigned char *)cn, -1, -1, 0);
	assert_int_equal(X509_set_pubkey(x, key), 1);
	return x;
}

static void cert_finish(X509 *x, EVP_PKEY *signer, EVP_PKEY *key, struct cert *out)
{
	BIO *bio = BIO_new(BIO_s_mem());

	assert_true(X509_sign(x, signer, EVP_sha256()) > 0);
	assert_int_equal(PEM_write_bio_X509(bio, x), 1);
	out->n_cert = bio_take(bio, out->cert, sizeof(out->cert));
	bio = BIO_new(BIO_s_mem());
	assert_int_equal(PEM_write_bio_PrivateKey(bio, key, NULL, NULL, 0, NULL, NULL), 1);
	out->n_key = bio_take(bio, out->key, sizeof(out->key));
	X509_free(x);
	EVP_PKEY_free(key);
}

void cert_make_ca(const char *cn, struct cert *out)
{
	EVP_PKEY *key = EVP_EC_gen("P-256");
	X509 *x = x509_base(key, cn, false);

	X509_set_issuer_name(x, X509_get_subject_name(x));
	ext_add(x, x, NID_basic_constraints, "critical,CA:TRUE");
	ext_add(x, x, NID_key_usage, "critical,keyCertSign,cRLSign");
	cert_finish(x, key, key, out);
}

void cert_make(const struct cert *ca, const char *cn, const char *san, bool expired,
	       struct cert *out)
{
	BIO *bio = BIO_new_mem_buf(ca->cert, (int)ca->n_cert);
	X509 *issuer = PEM_read_bio_X509(bio, NULL, NULL, NULL), *x;
	EVP_PKEY *key = EVP_EC_gen("P-256"), *signer;

	BIO_free(bio);
	bio = BIO_new_mem_buf(ca->key, (int)ca->n_key);
	signer = PEM_read_bio_PrivateKey(bio, NULL, NULL, NULL);
	BIO_free(bio);
	assert_non_null(issuer);
	assert_non_null(signer);
	x = x509_base(key, cn, expired);
	X509_set_issuer_name(x, X509_get_subject_name(issuer));
	ext_add(x, issuer, NID_basic_constraints, "CA:FALSE");
	ext_add(x, issuer, NID_ext_key_usage, "serverAuth,clientAuth");
	if (san)
		ext_add(x, issuer, NID_subject_alt_name, san);
	cert_finish(x, signer, key, out);
	X509_free(issuer);
	EVP_PKEY_free(signer);
}

struct span cert_pem(const struct cert *c)
{
	return span_of(c->cert, c->n_cert);
}

struct span cert_key(const struct cert *c)
{
	return span_of(c->key, c->n_key);
}
