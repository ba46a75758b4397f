/* user/http_token_sign.h -- making session tokens: the core's half of http_token.h.
 *
 * In: a private key's PEM text, a token's values. Out: the token's text, and the Set-Cookie that carries it. Owner rules: a
 * signer owns its key, which leaves it in no form; the PEM text is the caller's, to be wiped. The edge does not link this file
 * (selftests/unit/edge-nm). No clock and no random here. */
#ifndef SALLYPORT_HTTP_TOKEN_SIGN_H
#define SALLYPORT_HTTP_TOKEN_SIGN_H

#include "user/http_token.h"

struct http_token_signer;

/* An Ed25519 private key in PEM ("openssl genpkey -algorithm ed25519"), without a passphrase. 0, or -EINVAL, -ENOMEM with
 * @why. */
int http_token_signer_new(struct span pem, struct http_token_signer **out, char *why, size_t why_n);
void http_token_signer_free(struct http_token_signer *s);
const struct http_token_key *http_token_signer_key(
	const struct http_token_signer *s); /* its public half */

/* The text of @t. Length, or -EINVAL: a user or domain that a token cannot hold, times out of order; -ENOMEM. */
ssize_t http_token_sign(const struct http_token_signer *s, const struct http_token *t,
			char out[HTTP_TOKEN_TEXT_MAX]);

/* "X-Auth=TOKEN; Expires=DATE; Domain=.DOMAIN; Path=/; Secure; HttpOnly", the value of a Set-Cookie. The Domain attribute is
 * there where @host, the edge's name, lies below the domain: other edges of it get the cookie, too; elsewhere clients would
 * refuse it. Returns @out. */
#define HTTP_TOKEN_COOKIE_MAX (HTTP_TOKEN_TEXT_MAX + 400)
const char *http_token_set_cookie(const struct http_token *t, const char *text, const char *host,
				  char out[HTTP_TOKEN_COOKIE_MAX]);

#endif
