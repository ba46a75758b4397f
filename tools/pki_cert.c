/* tools/pki_cert.c -- see pki_cert.h. In: keys, names, times. Out: signed certificates.
 *
 * Peers are known by subjectAltName alone, so subjects are empty and the SAN is critical (RFC 5280 4.2.1.6); only the CA has a name. */
#include "tools/pki_cert.h"

#include <openssl/pem.h>
#include <openssl/rand.h>
#include <openssl/x509v3.h>
#include <stdlib.h>
#include <string.h>

#include "user/addr.h"

#define CLOCK_SKEW 3600 /* certificates begin an hour ago: clocks of two machines differ */

static int set_serial(X509 *x)
{
	unsigned char raw[16];
	BIGNUM *bn;
	int ok;

	if (RAND_bytes(raw, sizeof(raw)) != 1)
		return 0;
	raw[0] = (raw[0] & 0x7f) | 0x40; /* positive, and always 16 bytes */
	bn = BN_bin2bn(raw, sizeof(raw), NULL);
	ok = bn && BN_to_ASN1_INTEGER(bn, X509_get_serialNumber(x));
	BN_free(bn);
	return ok;
}

/* From an hour ago for @days, or to @not_after; a certificate that ended in the past began a day before its end. */
static int set_times(X509 *x, long days, const char *not_after)
{
	int day = 0, sec = 0;

	if (!X509_gmtime_adj(X509_getm_notBefore(x), -CLOCK_SKEW))
		return 0;
	if (!not_after)
		return X509_time_adj_ex(X509_getm_notAfter(x), (int)days, 0, NULL) != NULL;
	if (!ASN1_TIME_set_string_X509(X509_getm_notAfter(x), not_after) ||
	    !ASN1_TIME_diff(&day, &sec, X509_get0_notBefore(x), X509_get0_notAfter(x)))
		return 0;
	if (day >= 0 && sec >= 0)
		return 1;
	return X509_gmtime_adj(X509_getm_notBefore(x), (day - 1) * 86400L + sec - CLOCK_SKEW) !=
	       NULL;
}

static int add_ext(X509 *x, X509 *issuer, int nid, const char *value)
{
	X509V3_CTX ctx;
	X509_EXTENSION *e;
	int ok;

	X509V3_set_ctx(&ctx, issuer, x, NULL, NULL, 0);
	e = X509V3_EXT_conf_nid(NULL, &ctx, nid, value);
	ok = e && X509_add_ext(x, e, -1);
	X509_EXTENSION_free(e);
	return ok;
}

/* One name as bytes, not through OpenSSL's configuration syntax: a comma in it is a comma. */
static GENERAL_NAME *general_name(const char *text)
{
	GENERAL_NAME *g = GENERAL_NAME_new();
	ASN1_STRING *s;
	struct addr a;
	bool ip = addr_parse(span_str(text), &a) == 0 && !a.port, v4 = ip && addr_is_v4(&a);

	s = ip ? ASN1_OCTET_STRING_new() : ASN1_IA5STRING_new();
	if (!g || !s ||
	    !ASN1_STRING_set(s, ip ? (v4 ? a.ip + 12 : a.ip) : (const void *)text,
			     ip ? (v4 ? 4 : 16) : (int)strlen(text))) {
		GENERAL_NAME_free(g);
		ASN1_STRING_free(s);
		return NULL;
	}
	GENERAL_NAME_set0_value(g, ip ? GEN_IPADD : GEN_DNS, s);
	return g;
}

static int add_sans(X509 *x, const char *const *san, unsigned n)
{
	GENERAL_NAMES *names = GENERAL_NAMES_new();
	GENERAL_NAME *g;
	unsigned i;
	int ok = names != NULL;

	for (i = 0; ok && i < n; i++) {
		g = general_name(san[i]);
		ok = g && sk_GENERAL_NAME_push(names, g) > 0;
		if (!ok)
			GENERAL_NAME_free(g);
	}
	ok = ok && X509_add1_ext_i2d(x, NID_subject_alt_name, names, 1, 0) == 1;
	GENERAL_NAMES_free(names);
	return ok;
}

/* What CA and issued certificates have in common; the caller adds extensions and signs. */
static X509 *blank(EVP_PKEY *key, long days, const char *not_after)
{
	X509 *x = X509_new();

	if (x && X509_set_version(x, X509_VERSION_3) && set_serial(x) &&
	    set_times(x, days, not_after) && X509_set_pubkey(x, key))
		return x;
	X509_free(x);
	return NULL;
}

static int name_ca(X509 *x, const char *cn)
{
	X509_NAME *n = X509_get_subject_name(x);

	return X509_NAME_add_entry_by_txt(n, "CN", MBSTRING_UTF8, (const unsigned char *)cn, -1, -1,
					  0) &&
	       X509_set_issuer_name(x, n);
}

/* Ed25519 hashes by itself (RFC 8410 section 3). */
static bool sign(X509 *x, EVP_PKEY *key)
{
	return X509_sign(x, key, EVP_PKEY_is_a(key, "ED25519") ? NULL : EVP_sha256()) > 0;
}

EVP_PKEY *pki_key_new(void)
{
	return EVP_PKEY_Q_keygen(NULL, NULL, "ED25519");
}

X509 *pki_ca_new(EVP_PKEY *key, const char *cn, long days, const char *not_after)
{
	X509 *x = blank(key, days, not_after);

	if (x && name_ca(x, cn) &&
	    add_ext(x, x, NID_basic_constraints, "critical,CA:TRUE,pathlen:0") &&
	    add_ext(x, x, NID_key_usage, "critical,keyCertSign,cRLSign") &&
	    add_ext(x, x, NID_subject_key_identifier, "hash") && sign(x, key))
		return x;
	X509_free(x);
	return NULL;
}

X509 *pki_cert_new(EVP_PKEY *key, const struct pki_wish *w, X509 *ca, EVP_PKEY *ca_key)
{
	X509 *x = blank(key, w->days, w->not_after);

	if (x && X509_set_issuer_name(x, X509_get_subject_name(ca)) &&
	    add_sans(x, w->san, w->n_san) &&
	    add_ext(x, ca, NID_basic_constraints, "critical,CA:FALSE") &&
	    add_ext(x, ca, NID_key_usage, "critical,digitalSignature") &&
	    add_ext(x, ca, NID_ext_key_usage, "serverAuth,clientAuth") &&
	    add_ext(x, ca, NID_subject_key_identifier, "hash") &&
	    add_ext(x, ca, NID_authority_key_identifier, "keyid:always") && sign(x, ca_key))
		return x;
	X509_free(x);
	return NULL;
}

X509 *pki_self_new(EVP_PKEY *key, const struct pki_wish *w)
{
	X509 *x = blank(key, w->days, w->not_after);

	if (x && w->n_san && name_ca(x, w->san[0]) && add_sans(x, w->san, w->n_san) &&
	    add_ext(x, x, NID_basic_constraints, "critical,CA:FALSE") &&
	    add_ext(x, x, NID_key_usage, "critical,digitalSignature") &&
	    add_ext(x, x, NID_ext_key_usage, "serverAuth") &&
	    add_ext(x, x, NID_subject_key_identifier, "hash") && sign(x, key))
		return x;
	X509_free(x);
	return NULL;
}

static char *bio_text(BIO *b, int written)
{
	char *bytes = NULL, *text = NULL;
	long n = b && written ? BIO_get_mem_data(b, &bytes) : 0;

	if (n > 0)
		text = strndup(bytes, (size_t)n);
	BIO_free(b);
	return text;
}

char *pki_cert_pem(X509 *x)
{
	BIO *b = BIO_new(BIO_s_mem());

	return bio_text(b, b && PEM_write_bio_X509(b, x));
}

char *pki_key_pem(EVP_PKEY *key)
{
	BIO *b = BIO_new(BIO_s_secmem());

	return bio_text(b, b && PEM_write_bio_PrivateKey(b, key, NULL, NULL, 0, NULL, NULL));
}

/* OpenSSL would ask on the terminal. */
static int no_password(char *buf, int size, int rw, void *arg)
{
	(void)buf, (void)size, (void)rw, (void)arg;
	return -1;
}

X509 *pki_cert_parse(const char *pem)
{
	BIO *b = BIO_new_mem_buf(pem, -1);
	X509 *x = b ? PEM_read_bio_X509(b, NULL, no_password, NULL) : NULL;

	BIO_free(b);
	return x;
}

EVP_PKEY *pki_key_parse(const char *pem)
{
	BIO *b = BIO_new_mem_buf(pem, -1);
	EVP_PKEY *k = b ? PEM_read_bio_PrivateKey(b, NULL, no_password, NULL) : NULL;

	BIO_free(b);
	return k;
}

bool pki_key_hash(EVP_PKEY *key, uint8_t out[PKI_HASH])
{
	unsigned char *der = NULL;
	int n = key ? i2d_PUBKEY(key, &der) : -1;
	bool ok = n > 0 && EVP_Digest(der, (size_t)n, out, NULL, EVP_sha256(), NULL) == 1;

	OPENSSL_free(der);
	return ok;
}
