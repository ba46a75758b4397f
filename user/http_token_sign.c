/* user/http_token_sign.c -- see http_token_sign.h. In: a key and values. Out: texts. */
#include "user/http_token_sign.h"

#include <errno.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "user/wall.h"
#include "user/base64.h"

struct http_token_signer {
	EVP_PKEY *pkey;
	struct http_token_key key;
};

/* ---- the key -------- */

static int no_passphrase(char *buf, int size, int rw, void *arg)
{
	(void)buf, (void)size, (void)rw, (void)arg;
	return -1; /* not from the terminal */
}

int http_token_signer_new(struct span pem, struct http_token_signer **out, char *why, size_t why_n)
{
	BIO *bio = pem.n && pem.n <= 65536 ? BIO_new_mem_buf(pem.p, (int)pem.n) : NULL;
	EVP_PKEY *pkey = bio ? PEM_read_bio_PrivateKey(bio, NULL, no_passphrase, NULL) : NULL;
	struct http_token_signer *s;
	size_t n = HTTP_TOKEN_PUBLIC;

	BIO_free(bio);
	ERR_clear_error();
	if (!pkey || EVP_PKEY_get_base_id(pkey) != EVP_PKEY_ED25519) {
		snprintf(why, why_n,
			 "wanted an Ed25519 private key in PEM without a passphrase (openssl "
			 "genpkey -algorithm "
			 "ed25519), got %s",
			 pkey ? "a key of another kind" : "no private key that can be read");
		EVP_PKEY_free(pkey);
		return -EINVAL;
	}
	s = calloc(1, sizeof(*s));
	if (!s || EVP_PKEY_get_raw_public_key(pkey, s->key.public_key, &n) != 1) {
		snprintf(why, why_n, "out of memory");
		EVP_PKEY_free(pkey);
		free(s);
		return -ENOMEM;
	}
	s->pkey = pkey;
	http_token_kid(s->key.public_key, s->key.kid);
	*out = s;
	return 0;
}

void http_token_signer_free(struct http_token_signer *s)
{
	if (!s)
		return;
	EVP_PKEY_free(s->pkey); /* OpenSSL wipes it */
	free(s);
}

const struct http_token_key *http_token_signer_key(const struct http_token_signer *s)
{
	return &s->key;
}

/* ---- texts -------- */

struct text { /* bounded; what does not fit is remembered by n > cap */
	char *p;
	size_t n, cap;
};

static void text_put(struct text *t, char c)
{
	if (t->n < t->cap)
		t->p[t->n] = c;
	t->n++;
}

static void text_base64(struct text *t, const void *bytes, size_t n)
{
	size_t chars = BASE64URL_CHARS(n);

	if (t->n + chars <= t->cap)
		base64url_write(bytes, n, t->p + t->n);
	t->n += chars;
}

static void text_str(struct text *t, const char *s)
{
	while (*s)
		text_put(t, *s++);
}

static void text_quoted(struct text *t, const char *s)
{
	text_put(t, '"');
	for (; *s; s++) {
		if (*s == '"' || *s == '\\')
			text_put(t, '\\');
		text_put(t, *s);
	}
	text_put(t, '"');
}

static bool domain_good(const char *s)
{
	size_t n = strlen(s);

	return n &&
	       strspn(s, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_.") == n;
}

static bool signed_by(EVP_PKEY *key, struct span what, uint8_t out[64])
{
	EVP_MD_CTX *ctx = EVP_MD_CTX_new();
	size_t n = 64;
	bool good = ctx && EVP_DigestSignInit(ctx, NULL, NULL, NULL, key) == 1 &&
		    EVP_DigestSign(ctx, out, &n, what.p, what.n) == 1 && n == 64;

	EVP_MD_CTX_free(ctx);
	return good;
}

ssize_t http_token_sign(const struct http_token_signer *s, const struct http_token *t,
			char out[HTTP_TOKEN_TEXT_MAX])
{
	char json_buf[HTTP_TOKEN_TEXT_MAX], number[64];
	struct text json = {json_buf, 0, sizeof(json_buf)};
	struct text o = {out, 0, HTTP_TOKEN_TEXT_MAX - 1};
	uint8_t signature[64];

	if (!http_token_user_good(span_str(t->user)) || !domain_good(t->domain) ||
	    t->expires_s <= t->issued_s)
		return -EINVAL;
	text_str(&json, "{\"alg\":\"EdDSA\",\"kid\":\"");
	text_base64(&json, s->key.kid, sizeof(s->key.kid));
	text_str(&json, "\"}");
	text_base64(&o, json.p, json.n);
	text_put(&o, '.');
	json.n = 0;
	text_str(&json, "{\"sub\":");
	text_quoted(&json, t->user);
	text_str(&json, ",\"dom\":");
	text_quoted(&json, t->domain);
	snprintf(number, sizeof(number), ",\"iat\":%llu,\"exp\":%llu",
		 (unsigned long long)t->issued_s, (unsigned long long)t->expires_s);
	text_str(&json, number);
	text_str(&json, ",\"jti\":\"");
	text_base64(&json, t->id, sizeof(t->id));
	text_str(&json, "\"}");
	if (json.n > json.cap)
		return -EINVAL;
	text_base64(&o, json.p, json.n);
	if (o.n > o.cap)
		return -EINVAL;
	if (!signed_by(s->pkey, span_of(out, o.n), signature))
		return -ENOMEM;
	text_put(&o, '.');
	text_base64(&o, signature, sizeof(signature));
	if (o.n > o.cap)
		return -EINVAL;
	out[o.n] = 0;
	return (ssize_t)o.n;
}

/* @host is below @domain: a client at @host takes a cookie for it (RFC 6265 5.1.3). */
static bool below(const char *host, const char *domain)
{
	size_t h = strlen(host), d = strlen(domain);

	return h > d && host[h - d - 1] == '.' && !strcasecmp(host + h - d, domain);
}

const char *http_token_set_cookie(const struct http_token *t, const char *text, const char *host,
				  char out[HTTP_TOKEN_COOKIE_MAX])
{
	bool wide = below(host, t->domain);
	char date[WALL_DATE_MAX];

	snprintf(out, HTTP_TOKEN_COOKIE_MAX,
		 "X-Auth=%s; Expires=%s;%s%s%s Path=/; Secure; HttpOnly", text,
		 wall_date(t->expires_s, date), wide ? " Domain=." : "", wide ? t->domain : "",
		 wide ? ";" : "");
	return out;
}
