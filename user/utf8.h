/* user/utf8.h -- UTF-8 a byte at a time (RFC 3629 section 4): overlong forms, surrogates and anything above U+10FFFF are errors.
 *
 * In: bytes. Out: code points. The state is two words that the caller owns; zeroed, it stands between two characters. */
#ifndef SALLYPORT_UTF8_H
#define SALLYPORT_UTF8_H

#include "user/span.h"

struct utf8 {
	uint32_t code;	  /* of the character so far; whole when .left is 0 */
	uint8_t left;	  /* continuation bytes to come */
	uint8_t from, to; /* what the next one must be in */
};

/* Take @c. False: it is no UTF-8, and the state is of no more use. */
static inline bool utf8_byte(struct utf8 *u, uint8_t c)
{
	if (u->left) {
		if (c < u->from || c > u->to)
			return false;
		u->code = u->code << 6 | (c & 0x3f);
		u->left--;
		u->from = 0x80;
		u->to = 0xbf;
		return true;
	}
	if (c < 0x80) {
		u->code = c;
		return true;
	}
	if (c < 0xc2 || c > 0xf4)
		return false;
	u->left = c < 0xe0 ? 1 : c < 0xf0 ? 2 : 3;
	u->code = c & (0x3f >> u->left);
	u->from = c == 0xe0 ? 0xa0 : c == 0xf0 ? 0x90 : 0x80;
	u->to = c == 0xed ? 0x9f : c == 0xf4 ? 0x8f : 0xbf;
	return true;
}

/* Bytes of the character at the start of @s that is no control character (C0, DEL, C1), or 0: such a one, no UTF-8, or nothing there. */
static inline size_t utf8_char(struct span s)
{
	struct utf8 u = {};
	size_t i;

	for (i = 0; i < s.n && utf8_byte(&u, s.p[i]); i++)
		if (!u.left)
			return u.code < 0x20 || (u.code >= 0x7f && u.code < 0xa0) ? 0 : i + 1;
	return 0;
}

#endif
