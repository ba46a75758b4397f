/* user/tls_cert.c -- certificates: PEM texts into an SSL_CTX, and the names in a certificate.
 *
 * In: PEM bytes that the caller owns (and wipes). Out: a loaded context, or the reason why not; names as text.
 * Owner: the SSL_CTX owns what is loaded. The common name is never looked at (RFC 6125 section 6.4.4). */
#include <arpa/inet.h>
#include <errno.h>
#include <limits.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <stdio.h>
#include <string.h>

#include "user/addr.h"
#include "user/tls_impl.h"

#define CERTS_MAX 200 /* of one PEM text: a chain or the trusted roots */

static int pem_fail(char *why, const char *what)
{
	unsigned long e = ERR_peek_error();
	const char *reason = e ? ERR_reason_error_string(e) : NULL;

	snprintf(why, TLS_WHY_MAX, "%s: %s", what, reason ? reason : "unusable");
	ERR_clear_error();
	return -EINVAL;
}

/* OpenSSL would ask on the terminal. */
static int no_password(char *buf, int size, int rw, void *arg)
{
	(void)buf, (void)size, (void)rw, (void)arg;
	return -1;
}

static BIO *pem_bio(struct span pem)
{
	return pem.n > INT_MAX ? NULL : BIO_new_mem_buf(pem.p, (int)pem.n);
}

static X509 *pem_next(BIO *bio)
{
	return PEM_read_bio_X509(bio, NULL, no_password, NULL);
}

static int chain_load(SSL_CTX *ssl, struct span pem, char *why)
{
	BIO *bio = pem_bio(pem);
	X509 *cert = bio ? pem_next(bio) : NULL;
	int n, ret = 0;

	if (!cert || SSL_CTX_use_certificate(ssl, cert) != 1)
		ret = pem_fail(why, "certificate");
	X509_free(cert);
	for (n = 1; !ret && n < CERTS_MAX && (cert = pem_next(bio)) != NULL; n++) {
		if (SSL_CTX_add0_chain_cert(ssl, cert) != 1) {
			X509_free(cert);
			ret = pem_fail(why, "certificate chain");
		}
	}
	BIO_free(bio);
	ERR_clear_error(); /* the end of the text is reported as an error */
	return ret;
}

static int key_load(SSL_CTX *ssl, struct span pem, char *why)
{
	BIO *bio = pem_bio(pem);
	EVP_PKEY *key = bio ? PEM_read_bio_PrivateKey(bio, NULL, no_password, NULL) : NULL;
	int ret = 0;

	if (!key)
		ret = pem_fail(why, "key");
	else if (SSL_CTX_use_PrivateKey(ssl, key) != 1 || SSL_CTX_check_private_key(ssl) != 1)
		ret = pem_fail(why, "key does not belong to the certificate");
	EVP_PKEY_free(key);
	BIO_free(bio);
	return ret;
}

static int ca_load(struct tls_ctx *c, struct span pem, char *why)
{
	X509_STORE *store = SSL_CTX_get_cert_store(c->ssl);
	BIO *bio = pem_bio(pem);
	X509 *cert;
	int n, ret = 0;

	for (n = 0; bio && !ret && n < CERTS_MAX && (cert = pem_next(bio)) != NULL; n++) {
		if (X509_STORE_add_cert(store, cert) != 1)
			ret = pem_fail(why, "CA");
		if (!ret && c->server && SSL_CTX_add_client_CA(c->ssl, cert) != 1)
			ret = pem_fail(why, "CA");
		X509_free(cert);
	}
	BIO_free(bio);
	if (!ret && n == 0)
		ret = pem_fail(why, "CA");
	ERR_clear_error();
	return ret;
}

int tls_pem_load(struct tls_ctx *c, const struct tls_params *p, char why[TLS_WHY_MAX])
{
	int ret = 0;

	if (p->cert_pem.n || p->key_pem.n || p->server) {
		ret = chain_load(c->ssl, p->cert_pem, why);
		if (!ret)
			ret = key_load(c->ssl, p->key_pem, why);
	}
	if (!ret && p->ca_pem.n)
		ret = ca_load(c, p->ca_pem, why);
	return ret;
}

static void name_put(char *buf, size_t n, size_t *len, const char *s, size_t slen)
{
	size_t i;

	if (*len) {
		if (*len + 2 >= n)
			return;
		buf[(*len)++] = ',';
		buf[(*len)++] = ' ';
	}
	for (i = 0; i < slen && *len + 1 < n; i++)
		buf[(*len)++] = s[i] > 0x20 && s[i] < 0x7f ? s[i] : '?';
}

static void ip_put(char *buf, size_t n, size_t *len, const ASN1_OCTET_STRING *ip)
{
	char text[INET6_ADDRSTRLEN] = "?";
	int size = ASN1_STRING_length(ip);

	if (size == 4 || size == 16)
		inet_ntop(size == 4 ? AF_INET : AF_INET6, ASN1_STRING_get0_data(ip), text,
			  sizeof(text));
	name_put(buf, n, len, text, strlen(text));
}

const char *tls_cert_names(const X509 *cert, char *buf, size_t n)
{
	GENERAL_NAMES *names =
		cert ? X509_get_ext_d2i(cert, NID_subject_alt_name, NULL, NULL) : NULL;
	const GENERAL_NAME *g;
	size_t len = 0;
	int i;

	for (i = 0; names && i < sk_GENERAL_NAME_num(names); i++) {
		g = sk_GENERAL_NAME_value(names, i);
		if (g->type == GEN_DNS)
			name_put(buf, n, &len, (const char *)ASN1_STRING_get0_data(g->d.dNSName),
				 (size_t)ASN1_STRING_length(g->d.dNSName));
		else if (g->type == GEN_IPADD)
			ip_put(buf, n, &len, g->d.iPAddress);
	}
	GENERAL_NAMES_free(names);
	if (n)
		buf[len] = 0;
	return buf;
}

bool tls_cert_has_name(X509 *cert, const char *name)
{
	struct addr a;

	if (!cert || !*name)
		return false;
	if (addr_parse(span_str(name), &a) == 0 && a.port == 0)
		return X509_check_ip_asc(cert, name, 0) == 1;
	return X509_check_host(cert, name, 0, X509_CHECK_FLAG_NEVER_CHECK_SUBJECT, NULL) == 1;
}
