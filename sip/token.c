/* sip/token.c -- see token.h. In: ids or text. Out: text or ids. No state but the engine's key. */
#include "sip/token.h"

#include <errno.h>
#include <string.h>

#include "sip/engine_int.h"
#include "user/base64.h"

#define TOKEN_MAC  12
#define TOKEN_CORE 4
#define TOKEN_RAW  (1 + TOKEN_CORE + 16 + TOKEN_MAC)

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
	uint8_t raw[TOKEN_RAW] = {0}, mac[32];
	size_t n = token_body_len(t->kind);

	raw[0] = (uint8_t)t->kind;
	memcpy(raw + 1, e->core_id, TOKEN_CORE);
	token_put64(raw + 1 + TOKEN_CORE, t->id);
	if (t->kind == TOKEN_CALL)
		token_put64(raw + 1 + TOKEN_CORE + 8, t->binding);
	token_mac(e, raw, n, mac);
	memcpy(raw + n, mac, TOKEN_MAC);
	n += TOKEN_MAC;
	out[base64url_write(raw, n, out)] = 0;
	return out;
}

int token_read(const struct engine *e, struct span text, struct token *out)
{
	uint8_t raw[TOKEN_RAW], mac[32], diff = 0;
	struct token t = {0};
	ssize_t n;
	size_t body, i;

	n = base64_read(text, BASE64URL, raw, sizeof(raw));
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
