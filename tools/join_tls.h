/* tools/join_tls.h -- the one TLS connection of a join: TLS 1.3, ALPN "sallyport-join", one message each way.
 *
 * Data flow: core: join_dial() -> the edge's key must be the token's, else nothing was sent but a ClientHello -> one message out, one in.
 * Edge: join_accept() with the link's certificate -> one message in, one out. A message is four bytes of length and JSON.
 * Owner rules: a struct join_conn owns its socket; join_close() ends it. Limits: JOIN_BYTES_MAX a message, a time for each step from the
 * caller; every wait is a poll(2) with what is left of it. Blocking, for sallyctl only. The ClientHello fits into one segment, which
 * the edge's worker relies on (user/link_join.h). */
#ifndef SALLYPORT_JOIN_TLS_H
#define SALLYPORT_JOIN_TLS_H

#include <stdbool.h>
#include <stdint.h>

#include <jansson.h>
#include <openssl/x509.h>

#include "tools/join_token.h"

#define JOIN_ALPN      "sallyport-join"
#define JOIN_BYTES_MAX 16384
#define JOIN_WHY_MAX   512

struct join_conn;

/* Connect to @to within @ms. 0; -ECONNREFUSED and other errnos of connect(2); -EKEYREJECTED: its key is not @pin; -ENOPROTOOPT: it is, but
 * nobody there waits for a core; -EPROTO, -ETIMEDOUT, -ECONNRESET. With @why. */
int join_dial(const struct addr *to, const uint8_t pin[JOIN_HASH], unsigned ms,
	      struct join_conn **out, char why[JOIN_WHY_MAX]);
/* The edge's side on the accepted socket @fd, which it takes in any case. */
int join_accept(int fd, X509 *cert, EVP_PKEY *key, unsigned ms, struct join_conn **out,
		char why[JOIN_WHY_MAX]);
void join_close(struct join_conn *c);

/* 0 or a negative errno with @why. */
int join_send(struct join_conn *c, const json_t *message, unsigned ms, char why[JOIN_WHY_MAX]);
int join_receive(struct join_conn *c, unsigned ms, json_t **out, char why[JOIN_WHY_MAX]);

/* Bound to this connection; the same on both sides. */
int join_exporter(struct join_conn *c, uint8_t out[JOIN_HASH]);
X509 *join_peer_cert(
	const struct join_conn *c); /* the edge's, at the core; it stays the connection's */
const struct addr *join_peer(const struct join_conn *c);
const struct addr *join_local(const struct join_conn *c);

#endif
