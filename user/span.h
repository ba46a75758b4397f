/* user/span.h -- bytes in somebody else's buffer.
 *
 * In: a pointer and a length that the caller owns. Out: comparisons and cuts of it. Nobody keeps a span longer than the
 * buffer lives; a span is passed by value and is never NUL-terminated. The base of every parser: no I/O, no allocation. */
#ifndef SALLYPORT_SPAN_H
#define SALLYPORT_SPAN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <sys/types.h>

struct span {
	const uint8_t *p;
	size_t n;
};

/* A span over a string literal. */
#define SPAN(lit) ((struct span){(const uint8_t *)("" lit), sizeof(lit) - 1})

static inline struct span span_of(const void *p, size_t n)
{
	return (struct span){(const uint8_t *)p, n};
}

static inline struct span span_str(const char *s)
{
	return (struct span){(const uint8_t *)s, strlen(s)};
}

static inline bool span_eq(struct span a, struct span b)
{
	return a.n == b.n && (a.n == 0 || memcmp(a.p, b.p, a.n) == 0);
}

/* ASCII lower case; other bytes are left alone, whatever the locale. */
static inline uint8_t span_lower(uint8_t c)
{
	return c >= 'A' && c <= 'Z' ? (uint8_t)(c + 32) : c;
}

/* Equal without regard to ASCII case. */
static inline bool span_ieq(struct span a, struct span b)
{
	size_t i;

	if (a.n != b.n)
		return false;
	for (i = 0; i < a.n; i++)
		if (span_lower(a.p[i]) != span_lower(b.p[i]))
			return false;
	return true;
}

/* The bytes of @s from @from (at most s.n) on, at most @n of them. */
static inline struct span span_cut(struct span s, size_t from, size_t n)
{
	if (from > s.n)
		from = s.n;
	if (n > s.n - from)
		n = s.n - from;
	return (struct span){s.n ? s.p + from : s.p, n};
}

/* Copy @s into @buf as a NUL-terminated string. Returns the length, or -1 when it does not fit or holds a NUL (then
 * @buf holds ""). */
static inline ssize_t span_copy(struct span s, char *buf, size_t n)
{
	if (n == 0)
		return -1;
	if (s.n >= n || (s.n && memchr(s.p, 0, s.n))) {
		buf[0] = 0;
		return -1;
	}
	if (s.n)
		memcpy(buf, s.p, s.n);
	buf[s.n] = 0;
	return (ssize_t)s.n;
}

#endif
