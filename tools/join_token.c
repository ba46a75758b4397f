/* tools/join_token.c -- see join_token.h. In: a token. Out: its text, and back. */
#include "tools/join_token.h"

#include <ctype.h>
#include <errno.h>
#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define PREFIX	  "sallyport1-"
#define FIXED	  (8 + JOIN_HASH + JOIN_SECRET)
#define BYTES_MAX (FIXED + 1 + ADDR_TEXT_MAX + 1 + JOIN_NAME_MAX + 6)
_Static_assert(sizeof(PREFIX) + BYTES_MAX / 3 * 4 + 4 < JOIN_TOKEN_MAX, "token's text");

static void digest(const void *p, size_t n, uint8_t out[JOIN_HASH])
{
	if (EVP_Digest(p, n, out, NULL, EVP_sha256(), NULL) != 1)
		abort(); /* no SHA-256: nothing here can be right */
}

void join_hex(const uint8_t *p, size_t n, char *out)
{
	size_t i;

	for (i = 0; i < n; i++)
		snprintf(out + 2 * i, 3, "%02x", p[i]);
}

static int hex_digit(char c)
{
	return c >= '0' && c <= '9' ? c - '0' : c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

int join_unhex(const char *text, uint8_t *out, size_t n)
{
	size_t i;

	if (!text || strlen(text) != 2 * n)
		return -EINVAL;
	for (i = 0; i < n; i++) {
		int high = hex_digit(text[2 * i]), low = hex_digit(text[2 * i + 1]);

		if (high < 0 || low < 0)
			return -EINVAL;
		out[i] = (uint8_t)(high << 4 | low);
	}
	return 0;
}

static size_t put_text(uint8_t *at, const char *s)
{
	size_t n = strlen(s);

	at[0] = (uint8_t)n;
	memcpy(at + 1, s, n);
	return n + 1;
}

/* Bytes of the check behind @n of content. */
static size_t check_bytes(size_t n)
{
	return 4 + (3 - (n + 4) % 3) % 3;
}

int join_token_write(const struct join_token *t, char out[JOIN_TOKEN_MAX])
{
	uint8_t bytes[BYTES_MAX], hash[JOIN_HASH];
	size_t n = 0, check, i;
	char *p = out + sizeof(PREFIX) - 1;

	if (strlen(t->address) >= ADDR_TEXT_MAX || strlen(t->core) >= JOIN_NAME_MAX || !*t->core)
		return -EINVAL;
	for (i = 0; i < 8; i++)
		bytes[n++] = (uint8_t)(t->expires >> (56 - 8 * i));
	memcpy(bytes + n, t->pin, JOIN_HASH);
	n += JOIN_HASH;
	memcpy(bytes + n, t->secret, JOIN_SECRET);
	n += JOIN_SECRET;
	n += put_text(bytes + n, t->address);
	n += put_text(bytes + n, t->core);
	check = check_bytes(n);
	digest(bytes, n, hash);
	memcpy(bytes + n, hash, check);
	memcpy(out, PREFIX, sizeof(PREFIX));
	EVP_EncodeBlock((unsigned char *)p, bytes, (int)(n + check));
	for (; *p; p++)
		*p = *p == '+' ? '-' : *p == '/' ? '_' : *p;
	OPENSSL_cleanse(bytes, sizeof(bytes));
	return 0;
}

/* base64url without padding to bytes; -EINVAL for anything else. */
static int decode(const char *text, size_t n, uint8_t out[BYTES_MAX + 3])
{
	char plain[JOIN_TOKEN_MAX];
	size_t i;

	if (!n || n % 4 || n / 4 * 3 > BYTES_MAX)
		return -EINVAL;
	for (i = 0; i < n; i++) {
		char c = text[i];

		if (!isalnum((unsigned char)c) && c != '-' && c != '_')
			return -EINVAL;
		plain[i] = c == '-' ? '+' : c == '_' ? '/' : c;
	}
	return EVP_DecodeBlock(out, (const unsigned char *)plain, (int)n) == (int)(n / 4 * 3)
		       ? (int)(n / 4 * 3)
		       : -EINVAL;
}

static size_t take_text(const uint8_t *p, size_t n, char *out, size_t max)
{
	size_t len = n ? p[0] : 0, i;

	if (!len || len >= max || len + 1 > n)
		return 0;
	for (i = 0; i < len; i++)
		if (!isgraph(p[1 + i]))
			return 0;
	memcpy(out, p + 1, len);
	out[len] = 0;
	return len + 1;
}

static int token_parse(const uint8_t *p, size_t n, struct join_token *t)
{
	size_t at = FIXED, len, i;
	struct addr a;

	for (i = 0; i < 8; i++)
		t->expires = t->expires << 8 | p[i];
	memcpy(t->pin, p + 8, JOIN_HASH);
	memcpy(t->secret, p + 8 + JOIN_HASH, JOIN_SECRET);
	len = take_text(p + at, n - at, t->address, sizeof(t->address));
	at += len;
	if (!len || addr_parse(span_str(t->address), &a) || !a.port)
		return -EINVAL;
	len = take_text(p + at, n - at, t->core, sizeof(t->core));
	return len && at + len == n ? 0 : -EINVAL;
}

/* How long the content is that ends with its check in @n bytes: the length bytes say so. */
static size_t content_of(const uint8_t *p, size_t n)
{
	size_t at = FIXED;

	at += at < n ? 1u + p[at] : 1u;
	at += at < n ? 1u + p[at] : 1u;
	return at < n && at + check_bytes(at) == n ? at : 0;
}

int join_token_read(const char *text, struct join_token *out, const char **why)
{
	uint8_t bytes[BYTES_MAX + 3], hash[JOIN_HASH];
	struct join_token t = {};
	size_t n, content;
	int got;

	text += strspn(text, " \t\r\n");
	n = strcspn(text, " \t\r\n");
	*why = "more than one word";
	if (text[n + strspn(text + n, " \t\r\n")])
		return -EINVAL;
	*why = "it does not begin with \"" PREFIX "\"";
	if (n < sizeof(PREFIX) || strncmp(text, PREFIX, sizeof(PREFIX) - 1) != 0)
		return -EINVAL;
	*why = "characters are missing or wrong";
	got = decode(text + sizeof(PREFIX) - 1, n - (sizeof(PREFIX) - 1), bytes);
	content = got > FIXED ? content_of(bytes, (size_t)got) : 0;
	if (!content)
		goto bad;
	digest(bytes, content, hash);
	if (CRYPTO_memcmp(bytes + content, hash, (size_t)got - content) != 0 ||
	    token_parse(bytes, content, &t))
		goto bad;
	*out = t;
	OPENSSL_cleanse(&t, sizeof(t));
	OPENSSL_cleanse(bytes, sizeof(bytes));
	return 0;
bad:
	OPENSSL_cleanse(&t, sizeof(t));
	OPENSSL_cleanse(bytes, sizeof(bytes));
	return -EINVAL;
}

void join_token_id(const uint8_t secret[JOIN_SECRET], char out[JOIN_ID_MAX])
{
	static const char label[] = "sallyport join id";
	uint8_t in[sizeof(label) + JOIN_SECRET], hash[JOIN_HASH];

	memcpy(in, label, sizeof(label));
	memcpy(in + sizeof(label), secret, JOIN_SECRET);
	digest(in, sizeof(in), hash);
	join_hex(hash, JOIN_ID_MAX / 2, out);
	OPENSSL_cleanse(in, sizeof(in));
}

void join_proof(const uint8_t secret[JOIN_SECRET], const uint8_t exporter[JOIN_HASH],
		struct span request, uint8_t out[JOIN_HASH])
{
	static const char label[] = "sallyport join proof";
	uint8_t in[sizeof(label) + 2 * JOIN_HASH];

	memcpy(in, label, sizeof(label));
	memcpy(in + sizeof(label), exporter, JOIN_HASH);
	digest(request.p, request.n, in + sizeof(label) + JOIN_HASH);
	if (!HMAC(EVP_sha256(), secret, JOIN_SECRET, in, sizeof(in), out, NULL))
		abort();
}
