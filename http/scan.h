/* http/scan.h -- the small steps that the HTTP parsers share: character classes and runs of them. Private to http/.
 *
 * In: spans. Out: how far a class of characters reaches. No allocation, no owner. Grammar: RFC 9110 5.6, RFC 3986 appendix A. */
#ifndef SALLYPORT_HTTP_SCAN_H
#define SALLYPORT_HTTP_SCAN_H

#include "http/msg.h"

enum http_class {
	HTTP_C_TOKEN = 1 << 0, /* tchar */
	HTTP_C_PATH = 1 << 1,  /* pchar and '/', without '%' */
	HTTP_C_QUERY = 1 << 2, /* the same, '?', and what browsers leave unescaped: [ ] { } | ^ ` */
	HTTP_C_HOST = 1 << 3,  /* letters, digits, '-', '_', '.' */
	HTTP_C_DIGIT = 1 << 4,
	HTTP_C_HEX = 1 << 5,
	HTTP_C_ALPHA = 1 << 6,
	HTTP_C_TEXT = 1 << 7,	/* field-content: VCHAR, obs-text, SP, HTAB */
	HTTP_C_QDTEXT = 1 << 8, /* inside quotes: the same without '"' and '\' */
};
extern const uint16_t http_classes[256];

static inline bool http_is(uint8_t c, unsigned classes)
{
	return http_classes[c] & classes;
}

/* How many bytes at the start of @s are in @classes. */
static inline size_t http_run(struct span s, unsigned classes)
{
	size_t i = 0;

	while (i < s.n && http_is(s.p[i], classes))
		i++;
	return i;
}

static inline void http_skip(struct span *s, size_t n)
{
	*s = span_cut(*s, n, s->n);
}

static inline bool http_is_space(uint8_t c)
{
	return c == ' ' || c == '\t';
}

/* Without the optional white space around it. */
static inline struct span http_trim(struct span s)
{
	while (s.n && http_is_space(s.p[0]))
		http_skip(&s, 1);
	while (s.n && http_is_space(s.p[s.n - 1]))
		s.n--;
	return s;
}

/* Up to the first @c, or all of @s. */
static inline struct span http_until(struct span s, char c)
{
	const uint8_t *hit = s.n ? memchr(s.p, c, s.n) : NULL;

	return hit ? span_cut(s, 0, (size_t)(hit - s.p)) : s;
}

static inline bool http_is_token(struct span s)
{
	return s.n && http_run(s, HTTP_C_TOKEN) == s.n;
}

/* 0..15, or -1. */
static inline int http_hex(uint8_t c)
{
	if (!http_is(c, HTTP_C_HEX))
		return -1;
	return c <= '9' ? c - '0' : span_lower(c) - 'a' + 10;
}

unsigned http_why_status(enum http_why why); /* of an answer to a request that was refused for it */

#endif
