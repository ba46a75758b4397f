/* user/tls_impl.h -- what the files of user/tls* share. Nobody else includes this.
 *
 * In: OpenSSL's types. Out: the two structs. Owner: see user/tls.h. */
#ifndef SALLYPORT_TLS_IMPL_H
#define SALLYPORT_TLS_IMPL_H

#include <openssl/ssl.h>
#include <openssl/x509v3.h>
#include <poll.h>

#include "user/ktls.h"
#include "user/tls.h"

#define TLS_ALPN_MAX 256 /* wire form */

struct tls_ctx {
	SSL_CTX *ssl;
	BIO_METHOD *socket;
	const struct ktls_probe *kernel; /* NULL: connections stay with OpenSSL */
	bool server, verify;
	struct tls_cert *more; /* besides the default: user/tls_sni.c */
	unsigned n_more;
	uint8_t alpn[TLS_ALPN_MAX]; /* wire form, in order of preference */
	unsigned n_alpn;
	char alpn_text
		[TLS_ALPN_MAX +
		 1]; /* the same with each name ended by NUL, at the offset of its length byte */
};

/* What went wrong, for an operator. */
struct tls_trouble {
	char why[TLS_WHY_MAX];
	char seen[160]; /* names in a refused certificate */
};

/* An idle client has three on rung A, which hold nothing but this. */
struct tls_conn {
	SSL *ssl;		 /* NULL on rung A */
	struct ktls *kernel;	 /* rungs A and B */
	struct tls_track *track; /* while the connection may climb, and on rung B */
	struct tls_ctx *ctx;
	struct tls_trouble *trouble; /* NULL: none */
	union {
		char *want;		 /* name asked for, for the text of a refusal */
		const char *cipher_name; /* with .kernel; static */
	};
	int fd;
	int16_t over; /* errno of the failure that ended it: no further call of OpenSSL may follow one */
	uint8_t alpn;	      /* with .kernel: 1 + offset in the context's alpn_text; 0: none */
	uint8_t wants : 3;    /* of the last -EAGAIN: POLLIN, POLLOUT */
	bool placed : 1;      /* .kernel is the caller's memory */
	bool fin : 1;	      /* the socket's end was read */
	bool refused : 1;     /* trouble told while the peer's certificate was checked */
	bool established : 1; /* OpenSSL's own answer is lost once an error occurred */
};
_Static_assert((POLLIN | POLLOUT) < 8, "wants");

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
/* user/tls_sni.c. 0 or a negative errno with @why. */
int tls_sni_load(struct tls_ctx *c, const struct tls_params *p, char why[TLS_WHY_MAX]);
void tls_sni_free(struct tls_ctx *c);
X509 *tls_own_cert(const struct tls_ctx *c, unsigned i); /* NULL: there is none */
/* Load certificate chain, key and trust into @c. 0 or -EINVAL with @why. */
int tls_pem_load(struct tls_ctx *c, const struct tls_params *p, char why[TLS_WHY_MAX]);

#endif
