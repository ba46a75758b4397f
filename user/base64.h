/* user/base64.h -- base64 (RFC 4648), one reader and one writer for everybody.
 *
 * In: text or bytes of the caller's. Out: bytes or text in a buffer of the caller's. Strict: no white space, and the bits that the last
 * digit has too many are zero, so that bytes have one spelling only. No allocation, nothing kept. */
#ifndef SALLYPORT_BASE64_H
#define SALLYPORT_BASE64_H

#include <errno.h>

#include "user/span.h"

enum base64_form {
	BASE64,	      /* section 4: '+' and '/', padded */
	BASE64_LOOSE, /* the same, with its padding or without any */
	BASE64URL,    /* section 5: '-' and '_', without padding (RFC 7515) */
	BASE64_ANY,   /* either alphabet; only for base64_digit() */
};

/* Characters of @n bytes as base64url. */
#define BASE64URL_CHARS(n) (((n)*8 + 5) / 6)

/* 0..63, or -1. */
static inline int base64_digit(uint8_t c, enum base64_form form)
{
	if (c >= 'A' && c <= 'Z')
		return c - 'A';
	if (c >= 'a' && c <= 'z')
		return c - 'a' + 26;
	if (c >= '0' && c <= '9')
		return c - '0' + 52;
	if (form != BASE64URL && (c == '+' || c == '/'))
		return c == '+' ? 62 : 63;
	if ((form == BASE64URL || form == BASE64_ANY) && (c == '-' || c == '_'))
		return c == '-' ? 62 : 63;
	return -1;
}

/* Bytes in @out (at most @cap), or -EBADMSG: another spelling, or more bytes than that. @out may be where @s is. */
static inline ssize_t base64_read(struct span s, enum base64_form form, void *out, size_t cap)
{
	size_t i, n = 0, pad = 0;
	uint8_t *to = out;
	unsigned bits = 0;
	uint32_t acc = 0;

	while (form != BASE64URL && pad < 2 && s.n && s.p[s.n - 1] == '=') {
		s.n--;
		pad++;
	}
	if (s.n % 4 == 1 || ((pad || form == BASE64) && (s.n + pad) % 4))
		return -EBADMSG;
	for (i = 0; i < s.n; i++) {
		int d = base64_digit(s.p[i], form);

		if (d < 0)
			return -EBADMSG;
		acc = acc << 6 | (uint32_t)d;
		bits += 6;
		if (bits < 8)
			continue;
		bits -= 8;
		if (n == cap)
			return -EBADMSG;
		to[n++] = (uint8_t)(acc >> bits);
		acc &= (1u << bits) - 1;
	}
	return acc ? -EBADMSG : (ssize_t)n;
}

/* BASE64URL_CHARS(n) characters in @out, no NUL. Returns their number. */
static inline size_t base64url_write(const void *bytes, size_t n, char *out)
{
	static const char digits[] =
		"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
	const uint8_t *p = bytes;
	unsigned bits = 0;
	uint32_t acc = 0;
	size_t i, o = 0;

	for (i = 0; i < n; i++) {
		acc = (acc << 8 | p[i]) & 0xffffu;
		for (bits += 8; bits >= 6; bits -= 6)
			out[o++] = digits[acc >> (bits - 6) & 63];
	}
	if (bits)
		out[o++] = digits[acc << (6 - bits) & 63];
	return o;
}

#endif
