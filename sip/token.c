/* sip/token.c -- see token.h. In: ids or text. Out: text or ids. No state but the engine's key. */
#include "sip/token.h"

#include <errno.h>
#include <string.h>

#include "sip/engine_int.h"

#define TOKEN_MAC  12
#define TOKEN_CORE 4
#define TOKEN_RAW  (1 + TOKEN_CORE + 16 + TOKEN_MAC)

static const char token_digits[] =
	"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";

static size_t token_body_len(unsigned kind)
{
	switch (kind) {
	case TOKEN_PATH:
	case TOKEN_BRANCH:
	case TOKEN_CONTACT:
		return 1 + TOKEN_CORE + 8;
	case TOKEN_CALL:
		return 1 + TOKEN_CORE + 16;
	default:
		return 0;
	}
}

static void token_put64(uint8_t *p, uint64_t v)
{
	int i;

	for (i = 7; i >= 0; i--, v >>= 8)
		p[i] = (uint8_t)v;
}

static uint64_t token_get64(const uint8_t *p)
{
	uint64_t v = 0;
	int i;

	for (i = 0; i < 8; i++)
		v = v << 8 | p[i];
	return v;
}

static void token_mac(const struct engine *e, const uint8_t *body, size_t n, uint8_t out[32])
{
	uint8_t in[6 + TOKEN_RAW] = "token";

	memcpy(in + 6, body, n);
	e->c.hmac(e->c.arg, e->c.token_key, span_of(in, 6 + n), out);
}

const char *token_make(const struct engine *e, const struct token *t, char out[TOKEN_TEXT_MAX])
{
	uint8_t raw[TOKEN_RAW + 2] = {0}, mac[32];
	size_t n = token_body_len(t->kind), i, o = 0;

	raw[0] = (uint8_t)t->kind;
	memcpy(raw + 1, e->core_id, TOKEN_CORE);
	token_put64(raw + 1 + TOKEN_CORE, t->id);
	if (t->kind == TOKEN_CALL)
		token_put64(raw + 1 + TOKEN_CORE + 8, t->binding);
	token_mac(e, raw, n, mac);
	memcpy(raw + n, mac, TOKEN_MAC);
	n += TOKEN_MAC;
	for (i = 0; i < n; i += 3) {
		uint32_t v = (uint32_t)raw[i] << 16 | (uint32_t)raw[i + 1] << 8 | raw[i + 2];
		size_t left = n - i;

		out[o++] = token_digits[v >> 18];
		out[o++] = token_digits[v >> 12 & 63];
		if (left > 1)
			out[o++] = token_digits[v >> 6 & 63];
		if (left > 2)
			out[o++] = token_digits[v & 63];
	}
	out[o] = 0;
	return out;
}

/* One digit of the base64 alphabet that ends in @c62 and @c63, or -1. */
static int token_digit(uint8_t c, char c62, char c63)
{
	if (c >= 'A' && c <= 'Z')
		return c - 'A';
	if (c >= 'a' && c <= 'z')
		return c - 'a' + 26;
	if (c >= '0' && c <= '9')
		return c - '0' + 52;
	if (c == (uint8_t)c62)
		return 62;
	return c == (uint8_t)c63 ? 63 : -1;
}

/* Strict: bits that the last digit has too many must be zero, so that a value has one spelling only. */
static ssize_t token_decode(struct span s, char c62, char c63, uint8_t *out, size_t cap)
{
	uint32_t acc = 0;
	unsigned bits = 0;
	size_t i, n = 0;

	if (s.n % 4 == 1)
		return -EBADMSG;
	for (i = 0; i < s.n; i++) {
		int d = token_digit(s.p[i], c62, c63);

		if (d < 0)
			return -EBADMSG;
		acc = acc << 6 | (uint32_t)d;
		bits += 6;
		if (bits < 8)
			continue;
		bits -= 8;
		if (n == cap)
			return -EBADMSG;
		out[n++] = (uint8_t)(acc >> bits);
		acc &= (1u << bits) - 1;
	}
	return acc ? -EBADMSG : (ssize_t)n;
}

int token_read(const struct engine *e, struct span text, struct token *out)
{
	uint8_t raw[TOKEN_RAW], mac[32], diff = 0;
	struct token t = {0};
	ssize_t n;
	size_t body, i;

	n = token_decode(text, '-', '_', raw, sizeof(raw));
	if (n < 1)
		return -EBADMSG;
	body = token_body_len(raw[0]);
	if (body == 0 || (size_t)n != body + TOKEN_MAC)
		return -EBADMSG;
	token_mac(e, raw, body, mac);
	for (i = 0; i < TOKEN_MAC; i++)
		diff |= mac[i] ^ raw[body + i];
	if (diff)
		return -EBADMSG;
	if (memcmp(raw + 1, e->core_id, TOKEN_CORE) != 0)
		return -ENOENT;
	t.kind = (enum token_kind)raw[0];
	t.id = token_get64(raw + 1 + TOKEN_CORE);
	if (t.kind == TOKEN_CALL)
		t.binding = token_get64(raw + 1 + TOKEN_CORE + 8);
	*out = t;
	return 0;
}

ssize_t token_base64(struct span text, uint8_t *out, size_t n)
{
	size_t pad = 0;

	while (pad < 2 && text.n > 0 && text.p[text.n - 1] == '=') {
		text.n--;
		pad++;
	}
	if (pad && (text.n + pad) % 4 != 0)
		return -EBADMSG;
	return token_decode(text, '+', '/', out, n);
}
