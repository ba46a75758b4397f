/* user/http_token.h -- session tokens of HTTPS: reading and judging them. Making one: http_token_sign.h, on the core only.
 *
 * Data flow: logon.c signs a token after a good log on -> Set-Cookie: X-Auth=TOKEN -> the client repeats it in Cookie -> the
 * edge judges the first request of a connection, the core every request. A token is a compact JWS (RFC 7515) by Ed25519
 * (RFC 8037), "HEADER.PAYLOAD.SIGNATURE" in base64url without padding:
 *   {"alg":"EdDSA","kid":"KID"}                                   KID: first 8 bytes of SHA-256 of the public key, base64url
 *   {"sub":"USER","dom":"DOMAIN","iat":N,"exp":N,"jti":"ID"}      UTC seconds; ID: 16 random bytes, base64url
 * Both have just this spelling: keys in this order, no white space, escapes only for " and \. Anything else is malformed, so two
 * readers cannot differ. The signature is checked before the payload is looked at. There is no other algorithm, and none to
 * choose. Rotation: a set holds the keys that are good now; the core signs with its first, and the others verify until they
 * are taken away.
 *
 * Owner rules: a key set owns its keys, public ones only (the edge has nothing else). The token's text and what is read from it
 * belong to the caller. No clock: @now_s comes from wall.h. Allocates for keys and in OpenSSL, never by a peer's lengths. */
#ifndef SALLYPORT_HTTP_TOKEN_H
#define SALLYPORT_HTTP_TOKEN_H

#include <stdint.h>

#include "http/msg.h"

#define HTTP_TOKEN_USER_MAX   128 /* bytes with the NUL; UTF-8, no control characters */
#define HTTP_TOKEN_DOMAIN_MAX 256
#define HTTP_TOKEN_TEXT_MAX   1024 /* every token fits, with its NUL */
#define HTTP_TOKEN_KEYS_MAX   8	   /* of one set: one core's */
#define HTTP_TOKEN_KID	      8
#define HTTP_TOKEN_PUBLIC     32
#define HTTP_TOKEN_SKEW_S     300 /* how far the signer's clock may be ahead of ours */

struct http_token {
	char user[HTTP_TOKEN_USER_MAX];
	char domain[HTTP_TOKEN_DOMAIN_MAX];
	uint64_t issued_s, expires_s; /* UTC; good while issued_s - skew <= now < expires_s */
	uint8_t id[16];
};

enum http_token_verdict {
	TOKEN_OK,
	TOKEN_MALFORMED,
	TOKEN_UNKNOWN_KEY,
	TOKEN_BAD_SIGNATURE,
	TOKEN_EXPIRED,
	TOKEN_NOT_YET,
	TOKEN_OTHER_DOMAIN,
	TOKEN_VERDICTS
};
const char *http_token_verdict_text(
	enum http_token_verdict v); /* "bad signature", for logs and counters */

struct http_token_key {
	uint8_t kid[HTTP_TOKEN_KID], public_key[HTTP_TOKEN_PUBLIC];
};
struct http_token_keys;

int http_token_keys_new(struct http_token_keys **out); /* empty; 0 or -ENOMEM */
void http_token_keys_free(struct http_token_keys *k);
/* Add a public key. @kid: what the peer calls it (8 bytes, checked against the key), or empty. 0, -EINVAL (lengths, another
 * kid, not a key), -EEXIST, -ENOSPC, -ENOMEM. */
int http_token_keys_add(struct http_token_keys *k, struct span kid, struct span public_key);
void http_token_keys_clear(struct http_token_keys *k);
/* In the order added; NULL behind the last. */
const struct http_token_key *http_token_keys_at(const struct http_token_keys *k, unsigned i);
/* The kid of a public key. */
void http_token_kid(const uint8_t public_key[HTTP_TOKEN_PUBLIC], uint8_t out[HTTP_TOKEN_KID]);

/* Judge @text. @domain: whose services are asked for (ASCII case-insensitive); empty: any. *out is written with TOKEN_OK, and
 * with TOKEN_EXPIRED, TOKEN_NOT_YET and TOKEN_OTHER_DOMAIN, whose signature was good: whom to log, and that it is no attack. */
enum http_token_verdict http_token_check(const struct http_token_keys *k, struct span text,
					 struct span domain, uint64_t now_s,
					 struct http_token *out);

/* What a user name may be made of, in tokens and towards UDS: 1..127 bytes of UTF-8 without control characters (C0, DEL, C1). */
bool http_token_user_good(struct span user);

/* The value of the cookie X-Auth. 0; -ENOENT: there is none; -EBADMSG: more than one, or an empty one, or two Cookie fields.
 * Other cookies are the services' own and not judged. */
int http_token_cookie(const struct http_head *h, struct span *out);
/* A Cookie field's @value without X-Auth, for the services behind us: a session's token is nobody's there. Length (0: nothing
 * is left, then send no Cookie) or -E2BIG. */
ssize_t http_token_cookie_strip(struct span value, char *out, size_t cap);

#endif
