/* user/tls_about.c -- what a connection is asked about: rung, trouble, names. See tls.h.
 *
 * In: a connection in any state, also one that has left OpenSSL. Out: texts that live as long as the connection, its context or the
 * program. Reads only. */
#include <string.h>

#include "user/tls_impl.h"

enum tls_rung tls_rung(const struct tls_conn *t)
{
	return !t->kernel ? TLS_RUNG_C : t->ssl ? TLS_RUNG_B : TLS_RUNG_A;
}

const char *tls_why(const struct tls_conn *t)
{
	return t->trouble ? t->trouble->why : "";
}

const char *tls_refused_names(const struct tls_conn *t)
{
	return t->trouble ? t->trouble->seen : "";
}

const char *tls_version(const struct tls_conn *t)
{
	return t->kernel ? ktls_version_name(t->kernel->version) : SSL_get_version(t->ssl);
}

const char *tls_cipher(const struct tls_conn *t)
{
	return t->kernel ? t->cipher_name : SSL_get_cipher_name(t->ssl);
}

const char *tls_known(const struct tls_ctx *c, const char *name)
{
	STACK_OF(SSL_CIPHER) *all = SSL_CTX_get_ciphers(c->ssl);
	const char *of;
	int i;

	for (i = 0; i < KTLS_VERSIONS; i++)
		if (!strcmp(ktls_version_name((enum ktls_version)i), name))
			return ktls_version_name((enum ktls_version)i);
	for (i = 0; i < sk_SSL_CIPHER_num(all); i++) {
		of = SSL_CIPHER_get_name(sk_SSL_CIPHER_value(all, i));
		if (!strcmp(of, name))
			return of;
	}
	return "";
}

const char *tls_sni(const struct tls_conn *t)
{
	const char *name = t->ssl ? SSL_get_servername(t->ssl, TLSEXT_NAMETYPE_host_name) : NULL;

	return name ? name : "";
}

const char *tls_alpn(const struct tls_conn *t)
{
	const unsigned char *p;
	unsigned n, off;

	if (t->kernel)
		return t->alpn ? t->ctx->alpn_text + t->alpn - 1 : "";
	SSL_get0_alpn_selected(t->ssl, &p, &n);
	/* Both sides agree only on a name of our list, and that has a string form that lives as long as the context. */
	for (off = 0; n && off < t->ctx->n_alpn; off += 1u + t->ctx->alpn[off])
		if (t->ctx->alpn[off] == n && memcmp(t->ctx->alpn + off + 1, p, n) == 0)
			return t->ctx->alpn_text + off;
	return "";
}

bool tls_peer_has_name(const struct tls_conn *t, const char *name)
{
	return t->ssl && tls_cert_has_name(SSL_get0_peer_certificate(t->ssl), name);
}

const char *tls_peer_names(const struct tls_conn *t, char *buf, size_t n)
{
	return tls_cert_names(t->ssl ? SSL_get0_peer_certificate(t->ssl) : NULL, buf, n);
}

const char *tls_own_names(const struct tls_ctx *c, char *buf, size_t n)
{
	return tls_cert_names(SSL_CTX_get0_certificate(c->ssl), buf, n);
}

/* By days and seconds: the C library's calendar would ask for the time zone's file. */
uint64_t tls_own_not_after(const struct tls_ctx *c, unsigned i, char *buf, size_t n)
{
	const X509 *cert = tls_own_cert(c, i);
	ASN1_TIME *epoch = ASN1_TIME_set(NULL, 0);
	int days = 0, seconds = 0;
	uint64_t end = 0;

	if (cert && epoch &&
	    ASN1_TIME_diff(&days, &seconds, epoch, X509_get0_notAfter(cert)) == 1 && days >= 0 &&
	    seconds >= 0)
		end = (uint64_t)days * 86400 + (uint64_t)seconds;
	ASN1_TIME_free(epoch);
	tls_cert_names(cert, buf, n);
	return end;
}
