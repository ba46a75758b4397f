/* tools/join_token.h -- what lets one core join an edge, once: the token that an operator carries from the one to the other.
 *
 * Data flow: the edge makes a token (end, its key's hash, a secret, its address, the core's name) -> text -> operator -> the core reads it,
 * dials, checks the key, and proves that it knows the secret: join_proof(), good for this one TLS connection and this one request.
 * Format: "sallyport1-" and base64url of: end (8 bytes, seconds since 1970), key hash (32), secret (16), length (1) and text of the
 * address, length (1) and the core's name, then the first 4 to 6 bytes of the SHA-256 of all that (as many as make a multiple of 3),
 * so that a mistyped token is told from a wrong one.
 * Plain values, no owner, no I/O. The secret is to be wiped by whoever had it. */
#ifndef SALLYPORT_JOIN_TOKEN_H
#define SALLYPORT_JOIN_TOKEN_H

#include <stdint.h>

#include "user/addr.h"
#include "user/span.h"

#define JOIN_SECRET    16
#define JOIN_HASH      32
#define JOIN_NAME_MAX  254 /* a DNS name and its NUL */
#define JOIN_ID_MAX    17  /* 16 hex digits and NUL */
#define JOIN_TOKEN_MAX 640 /* of the text, with NUL */

struct join_token {
	uint64_t expires;
	uint8_t pin[JOIN_HASH]; /* pki_key_hash() of the edge's link certificate */
	uint8_t secret[JOIN_SECRET];
	char address[ADDR_TEXT_MAX]; /* with a port */
	char core[JOIN_NAME_MAX];
};

/* 0 or -EINVAL (an address or name that does not fit). */
int join_token_write(const struct join_token *t, char out[JOIN_TOKEN_MAX]);
/* White space around it is skipped. 0 or -EINVAL with *why (static). */
int join_token_read(const char *text, struct join_token *out, const char **why);

/* By what the edge knows it, without the secret in it. */
void join_token_id(const uint8_t secret[JOIN_SECRET], char out[JOIN_ID_MAX]);
/* HMAC-SHA-256 under the secret, over the connection's exporter (RFC 8446 7.5) and the hash of the certificate request. */
void join_proof(const uint8_t secret[JOIN_SECRET], const uint8_t exporter[JOIN_HASH],
		struct span request, uint8_t out[JOIN_HASH]);

void join_hex(const uint8_t *p, size_t n, char *out); /* 2 n + 1 bytes */
int join_unhex(const char *text, uint8_t *out, size_t n);

#endif
