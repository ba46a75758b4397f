/* sip/scan.h -- the small steps that the SIP parsers share: character classes, white space, quoted strings, escapes.
 *
 * In: spans. Out: how far a class of characters reaches. Private to sip/. Linear white space is SP, HTAB and a fold (CRLF followed
 * by SP or HTAB; RFC 3261 25.1), so that values may be read with their folds in them. No allocation, no owner. */
#ifndef SALLYPORT_SIP_SCAN_H
#define SALLYPORT_SIP_SCAN_H

#include "sip/sip.h"

enum scan_class {
	SCAN_TOKEN = 1 << 0,	  /* token */
	SCAN_UNRESERVED = 1 << 1, /* unreserved: letters, digits, mark */
	SCAN_RESERVED = 1 << 2,	  /* reserved */
	SCAN_USER = 1 << 3,	  /* user-unreserved */
	SCAN_PASSWORD = 1 << 4,	  /* what password allows beside unreserved */
	SCAN_PARAM = 1 << 5,	  /* param-unreserved */
	SCAN_HEADER = 1 << 6,	  /* hnv-unreserved */
	SCAN_WORD = 1 << 7,	  /* word, as in Call-ID */
	SCAN_DIGIT = 1 << 8,
	SCAN_ALPHA = 1 << 9,
	SCAN_HEX = 1 << 10,
	SCAN_HOST =
		1 << 11, /* what a gen-value may hold beside a token: [ : ] of an IPv6 address */
	SCAN_BASE64 = 1 << 12,
};
extern const uint16_t scan_classes[256];

static inline bool scan_is(uint8_t c, unsigned classes)
{
	return scan_classes[c] & classes;
}

/* How many bytes at the start of @s are in @classes. */
static inline size_t scan_run(struct span s, unsigned classes)
{
	size_t i = 0;

	while (i < s.n && scan_is(s.p[i], classes))
		i++;
	return i;
}

static inline void scan_skip(struct span *s, size_t n)
{
	*s = span_cut(*s, n, s->n);
}

/* Take the first byte if it is @c. */
static inline bool scan_byte(struct span *s, char c)
{
	if (s->n == 0 || s->p[0] != (uint8_t)c)
		return false;
	scan_skip(s, 1);
	return true;
}

/* Length of the linear white space at the start of @s. */
size_t scan_lws_run(struct span s);
void scan_lws(struct span *s);
struct span scan_trim(struct span s);
/* Up to the first @c, or all of @s. */
struct span scan_until(struct span s, char c);
/* A token of at least one byte off the front of @s. */
bool scan_token(struct span *s, struct span *out);
/* A quoted string off the front of @s; @out keeps its quotes. Control characters in it are refused, folds are not. */
bool scan_quoted(struct span *s, struct span *out);
/* All of @s is in @classes or %HH. */
bool scan_escaped(struct span s, unsigned classes);
/* The unit of @s at *i, a byte or a decoded %HH, for comparison: an escaped reserved character differs from the bare one (RFC 3261
 * 19.1.4), so it gets a code above 255. */
unsigned scan_unit(struct span s, size_t *i);
/* Equal unit by unit; @fold: without regard to ASCII case. */
bool scan_equal(struct span a, struct span b, bool fold);
/* 0..15, or -1. */
int scan_hex(uint8_t c);
/* A host name, IPv4 or (in brackets) IPv6 address off the front of @s; @out without brackets. */
bool scan_host(struct span *s, struct span *out, bool *v6);
/* 1..65535, all of @s. */
bool scan_port(struct span s, uint16_t *out);

#define SCAN_PARAMS_MAX 64 /* parameters of one URI or header element; more are refused */

/* The parameters at the front of @rest, up to a byte that starts none. Each name once; @uri: by the grammar of URI parameters (no
 * white space, no quotes), else of header parameters. @out spans all of them, without white space at the end. */
bool scan_params(struct span *rest, bool uri, struct span *out);

#endif
