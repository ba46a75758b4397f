/* user/tls_sni.c -- a server with several certificates: the name that the client asks for (SNI, RFC 6066 3) chooses.
 *
 * In: PEM pairs at start; the server name of each handshake. Out: the first certificate that has the name, the default one before the others
 * and where none has it. The SSL_CTX stays one, so tickets, ALPN and all else are the same under each. Owner: the context. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "user/tls_impl.h"

struct tls_cert {
	X509 *cert;
	STACK_OF(X509) * chain;
	EVP_PKEY *key;
};

/* Asked for when a certificate is about to be shown: not in a resumed session. */
static int choose(SSL *ssl, void *arg)
{
	const char *name = SSL_get_servername(ssl, TLSEXT_NAMETYPE_host_name);
	const struct tls_ctx *c = arg;
	unsigned i;

	if (!name || tls_cert_has_name(SSL_CTX_get0_certificate(c->ssl), name))
		return 1;
	for (i = 0; i < c->n_more; i++) {
		if (!tls_cert_has_name(c->more[i].cert, name))
			continue;
		/* The default may be of another kind of key, and would be shown to who prefers that. */
		SSL_certs_clear(ssl);
		return SSL_use_cert_and_key(ssl, c->more[i].cert, c->more[i].key, c->more[i].chain,
					    1) == 1;
	}
	return 1;
}

/* By a context of its own: the same rules as for the default. */
static int take(struct tls_ctx *c, const struct tls_pair *p, char why[TLS_WHY_MAX])
{
	struct tls_params one = {.server = true, .cert_pem = p->cert_pem, .key_pem = p->key_pem};
	struct tls_cert *to = &c->more[c->n_more];
	struct tls_ctx *alone = NULL;
	STACK_OF(X509) *chain = NULL;
	int err = tls_ctx_new(&one, &alone, why);

	if (err)
		return err;
	SSL_CTX_get0_chain_certs(alone->ssl, &chain);
	to->cert = SSL_CTX_get0_certificate(alone->ssl);
	to->key = SSL_CTX_get0_privatekey(alone->ssl);
	X509_up_ref(to->cert);
	EVP_PKEY_up_ref(to->key);
	to->chain = chain ? X509_chain_up_ref(chain) : NULL;
	c->n_more++;
	tls_ctx_free(alone);
	return 0;
}

int tls_sni_load(struct tls_ctx *c, const struct tls_params *p, char why[TLS_WHY_MAX])
{
	unsigned i;
	int err = 0;

	if (!p->n_more)
		return 0;
	c->more = calloc(p->n_more, sizeof(*c->more));
	if (!c->more) {
		snprintf(why, TLS_WHY_MAX, "out of memory");
		return -ENOMEM;
	}
	for (i = 0; i < p->n_more && !err; i++) {
		err = take(c, &p->more[i], why);
		if (err) {
			char text[TLS_WHY_MAX];

			memcpy(text, why, sizeof(text));
			snprintf(why, TLS_WHY_MAX, "certificate %u of the list: %.200s", i + 2,
				 text);
		}
	}
	SSL_CTX_set_cert_cb(c->ssl, choose, c);
	return err;
}

void tls_sni_free(struct tls_ctx *c)
{
	while (c->n_more) {
		struct tls_cert *k = &c->more[--c->n_more];

		X509_free(k->cert);
		EVP_PKEY_free(k->key);
		sk_X509_pop_free(k->chain, X509_free);
	}
	free(c->more);
	c->more = NULL;
}

X509 *tls_own_cert(const struct tls_ctx *c, unsigned i)
{
	return i == 0		? SSL_CTX_get0_certificate(c->ssl)
	       : i <= c->n_more ? c->more[i - 1].cert
				: NULL;
}
