/* user/http_token.c -- see http_token.h. In: a token's text, public keys, a time. Out: a verdict and what the token says. */
#include "user/http_token.h"
#include "user/base64.h"
#include "user/utf8.h"

#include <errno.h>
#include <openssl/evp.h>
#include <stdlib.h>
#include <string.h>

#define TOKEN_HEADER_1	"{\"alg\":\"EdDSA\",\"kid\":\""
#define TOKEN_HEADER_2	"\"}"
#define TOKEN_KID_TEXT	11 /* digits of 8 bytes */
#define TOKEN_ID_TEXT	22 /* of 16 bytes */
#define TOKEN_SIGNATURE 64
#define TOKEN_TIME_MAX	253402300799ULL /* the year 9999 */
#define TOKEN_COOKIE	"X-Auth"

struct http_token_keys {
	unsigned n;
	struct http_token_key keys[HTTP_TOKEN_KEYS_MAX];
	EVP_PKEY *pkeys[HTTP_TOKEN_KEYS_MAX];
};

const char *http_token_verdict_text(enum http_token_verdict v)
{
	static const char *const texts[TOKEN_VERDICTS] = {
		[TOKEN_OK] = "good",
		[TOKEN_MALFORMED] = "malformed",
		[TOKEN_UNKNOWN_KEY] = "unknown key",
		[TOKEN_BAD_SIGNATURE] = "bad signature",
		[TOKEN_EXPIRED] = "expired",
		[TOKEN_NOT_YET] = "not valid yet",
		[TOKEN_OTHER_DOMAIN] = "of another domain",
	};

	return (unsigned)v < TOKEN_VERDICTS ? texts[v] : "unknown";
}

/* ---- keys ------------------------------------------------------------------------------------------------------------------ */

int http_token_keys_new(struct http_token_keys **out)
{
	struct http_token_keys *k = calloc(1, sizeof(*k));

	if (!k)
		return -ENOMEM;
	*out = k;
	return 0;
}

void http_token_keys_clear(struct http_token_keys *k)
{
	while (k->n)
		EVP_PKEY_free(k->pkeys[--k->n]);
}

void http_token_keys_free(struct http_token_keys *k)
{
	if (!k)
		return;
	http_token_keys_clear(k);
	free(k);
}

void http_token_kid(const uint8_t public_key[HTTP_TOKEN_PUBLIC], uint8_t out[HTTP_TOKEN_KID])
{
	uint8_t hash[EVP_MAX_MD_SIZE] = {0};

	EVP_Digest(public_key, HTTP_TOKEN_PUBLIC, hash, NULL, EVP_sha256(), NULL);
	memcpy(out, hash, HTTP_TOKEN_KID);
}

static int key_find(const struct http_token_keys *k, const uint8_t *kid)
{
	unsigned i;

	for (i = 0; i < k->n; i++)
		if (!memcmp(k->keys[i].kid, kid, HTTP_TOKEN_KID))
			return (int)i;
	return -1;
}

int http_token_keys_add(struct http_token_keys *k, struct span kid, struct span public_key)
{
	struct http_token_key key;

	if (public_key.n != HTTP_TOKEN_PUBLIC || (kid.n && kid.n != HTTP_TOKEN_KID))
		return -EINVAL;
	memcpy(key.public_key, public_key.p, HTTP_TOKEN_PUBLIC);
	http_token_kid(key.public_key, key.kid);
	if (kid.n && memcmp(kid.p, key.kid, HTTP_TOKEN_KID) != 0)
		return -EINVAL;
	if (key_find(k, key.kid) >= 0)
		return -EEXIST;
	if (k->n == HTTP_TOKEN_KEYS_MAX)
		return -ENOSPC;
	k->pkeys[k->n] = EVP_PKEY_new_raw_public_key(EVP_PKEY_ED25519, NULL, key.public_key,
						     HTTP_TOKEN_PUBLIC);
	if (!k->pkeys[k->n])
		return -EINVAL;
	k->keys[k->n++] = key;
	return 0;
}

const struct http_token_key *http_token_keys_at(const struct http_token_keys *k, unsigned i)
{
	return i < k->n ? &k->keys[i] : NULL;
}

/* Base64url of exactly @n bytes. */
static bool decode_all(struct span s, uint8_t *out, size_t n)
{
	return base64_read(s, BASE64URL, out, n) == (ssize_t)n;
}

/* ---- the two JSON texts -------- */

/* Take @what off the start of *s. */
static bool take(struct span *s, struct span what)
{
	if (s->n < what.n || memcmp(s->p, what.p, what.n) != 0)
		return false;
	*s = span_cut(*s, what.n, s->n);
	return true;
}

/* A string up to and with its closing quote, unescaped into @out with a NUL. */
static bool take_string(struct span *s, char *out, size_t cap)
{
	size_t n = 0, i = 0;

	for (; i < s->n && s->p[i] != '"'; i++) {
		if (s->p[i] == '\\' && (++i == s->n || (s->p[i] != '"' && s->p[i] != '\\')))
			return false;
		if (s->p[i] < 0x20 || n + 1 >= cap)
			return false;
		out[n++] = (char)s->p[i];
	}
	if (i == s->n || !n)
		return false;
	out[n] = 0;
	*s = span_cut(*s, i + 1, s->n);
	return true;
}

static bool take_time(struct span *s, uint64_t *out)
{
	uint64_t v = 0;
	size_t i;

	for (i = 0; i < s->n && s->p[i] >= '0' && s->p[i] <= '9'; i++) {
		v = v * 10 + (s->p[i] - '0');
		if (v > TOKEN_TIME_MAX || (i && s->p[0] == '0'))
			return false;
	}
	*s = span_cut(*s, i, s->n);
	*out = v;
	return i > 0;
}

static bool read_header(struct span text, uint8_t kid[HTTP_TOKEN_KID])
{
	uint8_t raw[sizeof(TOKEN_HEADER_1) + TOKEN_KID_TEXT + sizeof(TOKEN_HEADER_2)];
	ssize_t n = base64_read(text, BASE64URL, raw, sizeof(raw));
	struct span s = span_of(raw, n > 0 ? (size_t)n : 0), k;

	if (!take(&s, SPAN(TOKEN_HEADER_1)))
		return false;
	k = span_cut(s, 0, TOKEN_KID_TEXT);
	s = span_cut(s, TOKEN_KID_TEXT, s.n);
	return decode_all(k, kid, HTTP_TOKEN_KID) && span_eq(s, SPAN(TOKEN_HEADER_2));
}

static bool read_payload(struct span text, struct http_token *out)
{
	uint8_t raw[HTTP_TOKEN_TEXT_MAX];
	ssize_t n = base64_read(text, BASE64URL, raw, sizeof(raw));
	struct span s = span_of(raw, n > 0 ? (size_t)n : 0);

	if (!take(&s, SPAN("{\"sub\":\"")) || !take_string(&s, out->user, sizeof(out->user)) ||
	    !take(&s, SPAN(",\"dom\":\"")) || !take_string(&s, out->domain, sizeof(out->domain)) ||
	    !take(&s, SPAN(",\"iat\":")) || !take_time(&s, &out->issued_s) ||
	    !take(&s, SPAN(",\"exp\":")) || !take_time(&s, &out->expires_s) ||
	    !take(&s, SPAN(",\"jti\":\"")) ||
	    !decode_all(span_cut(s, 0, TOKEN_ID_TEXT), out->id, sizeof(out->id)))
		return false;
	return span_eq(span_cut(s, TOKEN_ID_TEXT, s.n), SPAN("\"}")) &&
	       http_token_user_good(span_str(out->user));
}

/* ---- judging -------- */

static bool signature_good(EVP_PKEY *key, struct span signature, struct span what)
{
	EVP_MD_CTX *ctx = EVP_MD_CTX_new();
	bool good = ctx && EVP_DigestVerifyInit(ctx, NULL, NULL, NULL, key) == 1 &&
		    EVP_DigestVerify(ctx, signature.p, signature.n, what.p, what.n) == 1;

	EVP_MD_CTX_free(ctx);
	return good;
}

/* The part up to a dot, and the rest behind it. */
static bool part(struct span *rest, struct span *out)
{
	const uint8_t *dot = rest->n ? memchr(rest->p, '.', rest->n) : NULL;

	if (!dot)
		return false;
	*out = span_cut(*rest, 0, (size_t)(dot - rest->p));
	*rest = span_cut(*rest, out->n + 1, rest->n);
	return true;
}

enum http_token_verdict http_token_check(const struct http_token_keys *k, struct span text,
					 struct span domain, uint64_t now_s, struct http_token *out)
{
	struct span rest = text, header, payload;
	uint8_t kid[HTTP_TOKEN_KID], signature[TOKEN_SIGNATURE];
	struct http_token t = {};
	int key;

	if (text.n >= HTTP_TOKEN_TEXT_MAX || !part(&rest, &header) || !part(&rest, &payload) ||
	    !read_header(header, kid) || !decode_all(rest, signature, sizeof(signature)))
		return TOKEN_MALFORMED;
	key = key_find(k, kid);
	if (key < 0)
		return TOKEN_UNKNOWN_KEY;
	if (!signature_good(k->pkeys[key], span_of(signature, sizeof(signature)),
			    span_cut(text, 0, header.n + 1 + payload.n)))
		return TOKEN_BAD_SIGNATURE;
	if (!read_payload(payload, &t))
		return TOKEN_MALFORMED;
	*out = t;
	if (domain.n && !span_ieq(domain, span_str(t.domain)))
		return TOKEN_OTHER_DOMAIN;
	if (now_s >= t.expires_s)
		return TOKEN_EXPIRED;
	return t.issued_s > now_s + HTTP_TOKEN_SKEW_S ? TOKEN_NOT_YET : TOKEN_OK;
}

bool http_token_user_good(struct span user)
{
	size_t n;

	if (!user.n || user.n >= HTTP_TOKEN_USER_MAX)
		return false;
	while (user.n) {
		n = utf8_char(user);
		if (!n)
			return false;
		user = span_cut(user, n, user.n);
	}
	return true;
}

/* ---- cookies -------- */

static bool blank(uint8_t c)
{
	return c == ' ' || c == '\t';
}

/* The next "name=value" of a Cookie field without the white space around it; false: no more. */
static bool cookie_next(struct span *rest, struct span *out)
{
	const uint8_t *end;

	if (!rest->n)
		return false;
	end = memchr(rest->p, ';', rest->n);
	*out = span_cut(*rest, 0, end ? (size_t)(end - rest->p) : rest->n);
	*rest = span_cut(*rest, out->n + (end ? 1 : 0), rest->n);
	while (out->n && blank(out->p[0]))
		*out = span_cut(*out, 1, out->n);
	while (out->n && blank(out->p[out->n - 1]))
		out->n--;
	return true;
}

/* Ours, and its value. White space before the '=' belongs to the name for some readers and not for others: ours too, for all. */
static bool cookie_is_ours(struct span cookie, struct span *value)
{
	struct span rest = cookie;

	if (!take(&rest, SPAN(TOKEN_COOKIE)))
		return false;
	while (rest.n && blank(rest.p[0]))
		rest = span_cut(rest, 1, rest.n);
	if (rest.n && rest.p[0] != '=')
		return false;
	*value = span_cut(rest, 1, rest.n);
	return true;
}

int http_token_cookie(const struct http_head *h, struct span *out)
{
	unsigned at = 0;
	const struct http_field *f = http_field_find(h, HTTP_H_COOKIE, 0, &at);
	struct span rest, cookie, value, found = {};
	unsigned n = 0;

	if (!f)
		return -ENOENT;
	if (http_field_find(h, HTTP_H_COOKIE, at + 1, NULL))
		return -EBADMSG;
	rest = f->value;
	while (cookie_next(&rest, &cookie)) {
		if (!cookie_is_ours(cookie, &value))
			continue;
		found = value;
		n++;
	}
	if (!n)
		return -ENOENT;
	if (n > 1 || !found.n)
		return -EBADMSG;
	*out = found;
	return 0;
}

ssize_t http_token_cookie_strip(struct span value, char *out, size_t cap)
{
	struct span cookie, mine;
	size_t n = 0;

	while (cookie_next(&value, &cookie)) {
		if (!cookie.n || cookie_is_ours(cookie, &mine))
			continue;
		if (n + 2 + cookie.n > cap)
			return -E2BIG;
		if (n) {
			memcpy(out + n, "; ", 2);
			n += 2;
		}
		memcpy(out + n, cookie.p, cookie.n);
		n += cookie.n;
	}
	return (ssize_t)n;
}
