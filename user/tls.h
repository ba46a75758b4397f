/* user/tls.h -- TLS on the nonblocking socket itself: by OpenSSL (rung C of the streams), then by the kernel (rungs A and B).
 *
 * Data flow: socket -> SSL on a socket BIO (read-ahead off, so the TCP queue always starts at a record boundary, which is
 * what the climb to kernel TLS needs) -> plaintext by tls_read/tls_write. After tls_climb() the same calls go to the kernel.
 * Owner rules: a context is made from PEM texts or files at start and shared by its connections; a connection owns its SSL or
 * its struct ktls, never the descriptor. No early data, no renegotiation, no compression; TLS 1.2 and 1.3.
 * The only header besides ktls that knows OpenSSL, and it does not show it. */
#ifndef SALLYPORT_TLS_H
#define SALLYPORT_TLS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "user/span.h"

#define TLS_WHY_MAX 256

struct ktls;
struct ktls_probe;
struct tls_ctx;
struct tls_conn;

enum tls_rung { TLS_RUNG_A, TLS_RUNG_B, TLS_RUNG_C }; /* kernel both ways, kernel sends, OpenSSL */

struct tls_pair { /* PEM: a chain, and the key of its first certificate */
	struct span cert_pem, key_pem;
};

struct tls_params {
	bool server;
	bool tls13_only;	       /* the link */
	bool tickets;		       /* session tickets (never on the link) */
	struct span cert_pem, key_pem; /* chain and key; empty for a client without a certificate */
	const struct tls_pair *more;   /* a server's further certificates, chosen by SNI */
	unsigned n_more;
	struct span ca_pem; /* trust for peers; empty: peers are not verified */
	bool require_peer;  /* a server asks for and insists on a client certificate */
	const char *
		alpn; /* comma separated, offered (client) or accepted in this order (server); NULL: none */
	/* Connections may climb to it; it lives as long as the context. NULL: none does. */
	const struct ktls_probe *kernel;
};

/* Returns 0 or -EINVAL with @why telling which PEM is wrong and OpenSSL's reason. */
int tls_ctx_new(const struct tls_params *p, struct tls_ctx **out, char why[TLS_WHY_MAX]);
void tls_ctx_free(struct tls_ctx *c);

/* @peer_name: on a client, sent as SNI (unless an address) and checked against the certificate's SAN (DNS or IP; never CN);
 * on a server with require_peer, the check is the caller's by tls_peer_has_name() after the handshake. NULL: no check. */
int tls_conn_new(struct tls_ctx *c, int fd, const char *peer_name, struct tls_conn **out);
void tls_conn_free(struct tls_conn *t); /* wipes; does not close the descriptor */

/* 0: done; -EAGAIN: wait for tls_wants(); -EPROTO/-ECONNRESET/-EKEYREJECTED (certificate refused): over, tls_why() tells
 * what was wanted and what came, e.g. "alert received: bad certificate". */
int tls_handshake(struct tls_conn *t);
/* POLLIN and/or POLLOUT: what the last -EAGAIN waits for. */
short tls_wants(const struct tls_conn *t);
/* > 0 bytes; 0: clean close_notify; -EAGAIN; -EPIPE: FIN without close_notify (truncation); -ECONNRESET; -EPROTO. */
ssize_t tls_read(struct tls_conn *t, void *buf, size_t n);
/* > 0 bytes taken (may be fewer); -EAGAIN (call again with the same bytes first; the buffer may move); else as tls_read. */
ssize_t tls_write(struct tls_conn *t, const void *buf, size_t n);
/* Plaintext decrypted but not yet read: poll(2) does not show it. */
bool tls_pending(const struct tls_conn *t);
/* Leave OpenSSL for the kernel; @tx_only: its sending half. 0; -EAGAIN: not now, *why tells what is in the way; -ENOTRECOVERABLE:
 * the connection is lost; another negative errno: never, it goes on as it was. *why is static. */
int tls_climb(struct tls_conn *t, bool tx_only, const char **why);
enum tls_rung tls_rung(const struct tls_conn *t);
/* Of a connection on rung A or B; NULL on C. What splice(2) moves is counted there (ktls_sending()). */
struct ktls *tls_kernel(struct tls_conn *t);
/* On rung A: its struct ktls lives at @where from now on, which is the caller's, and its secrets where that says (ktls_secrets_at());
 * NULL: in its own memory again, and without any the
 * connection is over (-ENOMEM). And: what is there is left as it is, for another process. */
void tls_kernel_place(struct tls_conn *t, struct ktls *where);
void tls_kernel_leave(struct tls_conn *t);
/* A connection on rung A that another process set up: @k is copied. 0 or -ENOMEM. */
int tls_conn_adopt(struct tls_ctx *c, int fd, const struct ktls *k, struct tls_conn **out);
/* Send close_notify. 0 or -EAGAIN or another negative errno. */
int tls_close_notify(struct tls_conn *t);

const char *tls_why(const struct tls_conn *t);
/* After -EKEYREJECTED: the names in the certificate that was refused, "" when there were none. */
const char *tls_refused_names(const struct tls_conn *t);
const char *tls_version(const struct tls_conn *t); /* "TLSv1.3" */
const char *tls_cipher(const struct tls_conn *t);
/* The same string for the lifetime of the program, of a version or cipher that @c's connections may have: what those two say. "": none of
 * them. */
const char *tls_known(const struct tls_ctx *c, const char *name);
/* These three, and the peer's names, are forgotten (""; NULL-free) by a connection on rung A. */
const char *tls_sni(const struct tls_conn *t);	/* what the client sent, or "" */
const char *tls_alpn(const struct tls_conn *t); /* what was agreed, or "" */
bool tls_peer_has_name(const struct tls_conn *t, const char *name); /* SAN DNS or IP */
/* The peer's SAN names, comma separated, cut to @n; "" without a certificate. */
const char *tls_peer_names(const struct tls_conn *t, char *buf, size_t n);
/* The names in our own certificate, for the log line of a refused link. */
const char *tls_own_names(const struct tls_ctx *c, char *buf, size_t n);
/* Certificate @i of ours, 0: the default; its names, and when it ends in seconds since 1970; 0: there is none. */
uint64_t tls_own_not_after(const struct tls_ctx *c, unsigned i, char *buf, size_t n);

#endif
