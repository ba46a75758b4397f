/* http/field.c -- field and method names, character classes, comma lists.
 *
 * In: spans of a message. Out: enums, flags or slices of the same bytes. Names: the IANA registries of HTTP fields and
 * methods. Nothing is kept. */
#include "http/scan.h"

#include <errno.h>

/* Short names for the tables only. */
enum {
	T = HTTP_C_TOKEN,
	P = HTTP_C_PATH | HTTP_C_QUERY,
	Q = HTTP_C_QUERY,
	H = HTTP_C_HOST,
	X = HTTP_C_TEXT | HTTP_C_QDTEXT,
	LETTER = T | P | H | X | HTTP_C_ALPHA,
};

const uint16_t http_classes[256] = {
	['\t'] = X,
	[' '] = X,
	['!'] = T | P | X,
	['"'] = HTTP_C_TEXT,
	['#'] = T | X,
	['$'] = T | P | X,
	['%'] = T | X,
	['&'] = T | P | X,
	['\''] = T | P | X,
	['('] = P | X,
	[')'] = P | X,
	['*'] = T | P | X,
	['+'] = T | P | X,
	[','] = P | X,
	['-'] = T | P | H | X,
	['.'] = T | P | H | X,
	['/'] = P | X,
	['0' ... '9'] = T | P | H | X | HTTP_C_DIGIT | HTTP_C_HEX,
	[':'] = P | X,
	[';'] = P | X,
	['<'] = X,
	['='] = P | X,
	['>'] = X,
	['?'] = Q | X,
	['@'] = P | X,
	['A' ... 'F'] = LETTER | HTTP_C_HEX,
	['G' ... 'Z'] = LETTER,
	['['] = Q | X,
	['\\'] = HTTP_C_TEXT,
	[']'] = Q | X,
	['^'] = T | Q | X,
	['_'] = T | P | H | X,
	['`'] = T | Q | X,
	['a' ... 'f'] = LETTER | HTTP_C_HEX,
	['g' ... 'z'] = LETTER,
	['{'] = Q | X,
	['|'] = T | Q | X,
	['}'] = Q | X,
	['~'] = T | P | X,
	[0x80 ... 0xff] = X,
};

static const char *const methods[HTTP_METHODS] = {
	[HTTP_M_OTHER] = "",	      [HTTP_M_GET] = "GET",	    [HTTP_M_HEAD] = "HEAD",
	[HTTP_M_POST] = "POST",	      [HTTP_M_PUT] = "PUT",	    [HTTP_M_DELETE] = "DELETE",
	[HTTP_M_CONNECT] = "CONNECT", [HTTP_M_OPTIONS] = "OPTIONS", [HTTP_M_TRACE] = "TRACE",
	[HTTP_M_PATCH] = "PATCH",
};

const char *http_method_name(enum http_method m)
{
	return (unsigned)m < HTTP_METHODS ? methods[m] : "";
}

enum http_method http_method_from_text(struct span s)
{
	unsigned i;

	for (i = HTTP_M_OTHER + 1; i < HTTP_METHODS; i++)
		if (span_eq(s, span_str(methods[i])))
			return (enum http_method)i;
	return HTTP_M_OTHER;
}

enum {
	ONE = 1 << 0,  /* single */
	HOP = 1 << 1,  /* hop by hop */
	NOTR = 1 << 2, /* not in trailers */
	ALL = 1 << 3,  /* for all recipients: not to be named by Connection */
};

static const struct {
	const char *name;
	uint8_t n, flags;
} fields[HTTP_HDRS] = {
#define NAME(id, text, flags) [HTTP_H_##id] = {text, sizeof(text) - 1, flags}
	NAME(OTHER, "", 0),
	NAME(AGE, "Age", NOTR),
	NAME(AUTHORIZATION, "Authorization", ONE | NOTR | ALL),
	NAME(CACHE_CONTROL, "Cache-Control", NOTR | ALL),
	NAME(CONNECTION, "Connection", HOP | NOTR),
	NAME(CONTENT_ENCODING, "Content-Encoding", NOTR | ALL),
	NAME(CONTENT_LENGTH, "Content-Length", ONE | NOTR | ALL),
	NAME(CONTENT_RANGE, "Content-Range", ONE | NOTR | ALL),
	NAME(CONTENT_TYPE, "Content-Type", ONE | NOTR | ALL),
	NAME(COOKIE, "Cookie", ONE | NOTR | ALL),
	NAME(DATE, "Date", NOTR | ALL),
	NAME(EXPECT, "Expect", ONE | NOTR | ALL),
	NAME(EXPIRES, "Expires", NOTR),
	NAME(FORWARDED, "Forwarded", NOTR | ALL),
	NAME(HOST, "Host", ONE | NOTR | ALL),
	NAME(HTTP2_SETTINGS, "HTTP2-Settings", HOP | NOTR),
	NAME(IF_MATCH, "If-Match", NOTR | ALL),
	NAME(IF_MODIFIED_SINCE, "If-Modified-Since", NOTR | ALL),
	NAME(IF_NONE_MATCH, "If-None-Match", NOTR | ALL),
	NAME(IF_RANGE, "If-Range", NOTR | ALL),
	NAME(IF_UNMODIFIED_SINCE, "If-Unmodified-Since", NOTR | ALL),
	NAME(KEEP_ALIVE, "Keep-Alive", HOP | NOTR),
	NAME(LOCATION, "Location", ONE | NOTR | ALL),
	NAME(MAX_FORWARDS, "Max-Forwards", ONE | NOTR | ALL),
	NAME(ORIGIN, "Origin", ONE | NOTR | ALL),
	NAME(PRAGMA, "Pragma", NOTR | ALL),
	NAME(PROXY_AUTHENTICATE, "Proxy-Authenticate", HOP | NOTR),
	NAME(PROXY_AUTHENTICATION_INFO, "Proxy-Authentication-Info", HOP | NOTR),
	NAME(PROXY_AUTHORIZATION, "Proxy-Authorization", ONE | HOP | NOTR),
	NAME(PROXY_CONNECTION, "Proxy-Connection", HOP | NOTR),
	NAME(RANGE, "Range", ONE | NOTR | ALL),
	NAME(REFERER, "Referer", NOTR),
	NAME(RETRY_AFTER, "Retry-After", NOTR),
	NAME(SEC_WEBSOCKET_ACCEPT, "Sec-WebSocket-Accept", ONE | NOTR | ALL),
	NAME(SEC_WEBSOCKET_EXTENSIONS, "Sec-WebSocket-Extensions", NOTR | ALL),
	NAME(SEC_WEBSOCKET_KEY, "Sec-WebSocket-Key", ONE | NOTR | ALL),
	NAME(SEC_WEBSOCKET_PROTOCOL, "Sec-WebSocket-Protocol", NOTR | ALL),
	NAME(SEC_WEBSOCKET_VERSION, "Sec-WebSocket-Version", NOTR | ALL),
	NAME(SERVER, "Server", NOTR),
	NAME(SET_COOKIE, "Set-Cookie", NOTR | ALL),
	NAME(TE, "TE", HOP | NOTR),
	NAME(TRAILER, "Trailer", HOP | NOTR),
	NAME(TRANSFER_ENCODING, "Transfer-Encoding", ONE | HOP | NOTR | ALL),
	NAME(UPGRADE, "Upgrade", HOP | NOTR),
	NAME(USER_AGENT, "User-Agent", NOTR),
	NAME(VARY, "Vary", NOTR | ALL),
	NAME(VIA, "Via", NOTR | ALL),
	NAME(WWW_AUTHENTICATE, "WWW-Authenticate", NOTR | ALL),
	NAME(X_FORWARDED_FOR, "X-Forwarded-For", NOTR | ALL),
	NAME(X_FORWARDED_HOST, "X-Forwarded-Host", NOTR | ALL),
	NAME(X_FORWARDED_PROTO, "X-Forwarded-Proto", NOTR | ALL),
	NAME(X_REAL_IP, "X-Real-IP", NOTR | ALL),
#undef NAME
};

static bool hdr_flag(enum http_hdr id, unsigned flag)
{
	return (unsigned)id < HTTP_HDRS && fields[id].flags & flag;
}

bool http_hdr_single(enum http_hdr id)
{
	return hdr_flag(id, ONE);
}

bool http_hdr_hop_by_hop(enum http_hdr id)
{
	return hdr_flag(id, HOP);
}

bool http_hdr_no_trailer(enum http_hdr id)
{
	return hdr_flag(id, NOTR);
}

bool http_hdr_not_named(enum http_hdr id)
{
	return hdr_flag(id, ALL);
}

const char *http_hdr_name(enum http_hdr id)
{
	return (unsigned)id < HTTP_HDRS ? fields[id].name : "";
}

enum http_hdr http_hdr_from_name(struct span name)
{
	unsigned i;

	for (i = HTTP_H_OTHER + 1; i < HTTP_HDRS; i++)
		if (name.n == fields[i].n && span_ieq(name, span_of(fields[i].name, fields[i].n)))
			return (enum http_hdr)i;
	return HTTP_H_OTHER;
}

static bool alias_of(struct span name, const char *known)
{
	size_t i;

	for (i = 0; i < name.n; i++) {
		uint8_t c = name.p[i] == '_' ? '-' : span_lower(name.p[i]);

		if (c != span_lower((uint8_t)known[i]))
			return false;
	}
	return true;
}

bool http_hdr_alias(struct span name)
{
	unsigned i;

	if (!name.n || !memchr(name.p, '_', name.n))
		return false;
	for (i = HTTP_H_OTHER + 1; i < HTTP_HDRS; i++)
		if (name.n == fields[i].n && alias_of(name, fields[i].name))
			return true;
	return false;
}

int http_token_next(struct span *rest, struct span *out)
{
	struct span s = http_trim(*rest);
	size_t n = http_run(s, HTTP_C_TOKEN);

	if (s.n == 0) {
		*rest = s;
		return 0;
	}
	if (n == 0)
		return -EBADMSG;
	*out = span_cut(s, 0, n);
	http_skip(&s, n);
	s = http_trim(s);
	if (s.n) {
		if (s.p[0] != ',')
			return -EBADMSG;
		http_skip(&s, 1);
		s = http_trim(s);
		if (s.n == 0)
			return -EBADMSG;
	}
	*rest = s;
	return 1;
}

const struct http_field *http_field_find(const struct http_head *h, enum http_hdr id, unsigned from,
					 unsigned *at)
{
	unsigned i;

	for (i = from; i < h->n_fields; i++) {
		if (h->fields[i].id != id)
			continue;
		if (at)
			*at = i;
		return &h->fields[i];
	}
	return NULL;
}

const struct http_field *http_field_named(const struct http_head *h, struct span name,
					  unsigned from, unsigned *at)
{
	unsigned i;

	for (i = from; i < h->n_fields; i++) {
		if (!span_ieq(h->fields[i].name, name))
			continue;
		if (at)
			*at = i;
		return &h->fields[i];
	}
	return NULL;
}

bool http_field_has(const struct http_head *h, enum http_hdr id, struct span token)
{
	const struct http_field *f;
	struct span rest, one;
	unsigned at = 0;

	for (f = http_field_find(h, id, 0, &at); f; f = http_field_find(h, id, at + 1, &at)) {
		rest = f->value;
		while (http_token_next(&rest, &one) == 1)
			if (span_ieq(one, token))
				return true;
	}
	return false;
}
