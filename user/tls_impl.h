/* user/tls_impl.h -- what the files of user/tls* share. Nobody else includes this.
 *
 * In: OpenSSL's types. Out: the two structs. Owner: see user/tls.h. */
#ifndef SALLYPORT_TLS_IMPL_H
#define SALLYPORT_TLS_IMPL_H

#include <openssl/ssl.h>
#include <openssl/x509v3.h>

#include "user/ktls.h"
#include "user/tls.h"

#define TLS_ALPN_MAX 256 /* wire form */

struct tls_ctx {
	SSL_CTX *ssl;
	BIO_METHOD *socket;
	const struct ktls_probe *kernel; /* NULL: connections stay with OpenSSL */
	bool server, verify;
	uint8_t alpn[TLS_ALPN_MAX]; /* wire form, in order of preference */
	unsigned n_alpn;
	char alpn_text
		[TLS_ALPN_MAX +
		 1]; /* the same with each name ended by NUL, at the offset of its length byte */
};

struct tls_conn {
	SSL *ssl;		 /* NULL on rung A */
	struct ktls *kernel;	 /* rungs A and B */
	bool placed;		 /* and that is the caller's memory */
	struct tls_track *track; /* while the connection may climb, and on rung B */
	const char *version_name, *cipher_name, *alpn_name; /* once it climbed */
	struct tls_ctx *ctx;
	int fd;
	bool fin;    /* the socket's end was read */
	char *want;  /* name asked for, for the text of a refusal */
	char *seen;  /* names in a refused certificate */
	short wants; /* of the last -EAGAIN */
	int over; /* errno of the failure that ended it: no further call of OpenSSL may follow one */
	bool refused;	  /* why was set while the peer's certificate was checked */
	bool established; /* OpenSSL's own answer is lost once an error occurred */
	char *why;	  /* TLS_WHY_MAX bytes, only once something went wrong */
};

/* user/tls.c */
struct tls_conn *tls_conn_of(const SSL *ssl);
__attribute__((format(printf, 2, 3))) void tls_why_set(struct tls_conn *t, const char *fmt, ...);

/* user/tls_climb.c: note secrets and record numbers of a context's connections; of one, and forget them. */
void tls_track_ctx(struct tls_ctx *c);
int tls_track_new(struct tls_conn *t);
void tls_track_free(struct tls_conn *t);
/* Rung B: to be asked after each read of OpenSSL. 0 or -EKEYEXPIRED. */
int tls_climbed_read(struct tls_conn *t);

/* user/tls_bio.c: for a context; and give @t's SSL the socket. 0 or -ENOMEM. */
int tls_bio_init(BIO_METHOD **out);
int tls_bio_attach(struct tls_conn *t, int fd);

/* The SAN names of @cert, comma separated, cut to @n; bytes outside printable ASCII become '?'. */
const char *tls_cert_names(const X509 *cert, char *buf, size_t n);
bool tls_cert_has_name(X509 *cert, const char *name);
/* Load certificate chain, key and trust into @c. 0 or -EINVAL with @why. */
int tls_pem_load(struct tls_ctx *c, const struct tls_params *p, char why[TLS_WHY_MAX]);

#endif
