/* http/allow_path.c -- paths that have one reading only; see allow.h. In: a path as written. Out: it decoded, or what is wrong
 * with it.
 *
 * What is refused, and who would read it differently: ".", ".." in any spelling (removed by some, kept by others), "//"
 * (merged by some), '\' (a '/' on some systems), ';' (begins a parameter of a segment: "..;x" is ".." then), escaped '/', '\',
 * '.', ';', '%' (decoded before or after the path is cut, once or twice), control characters and NUL (end of a C string),
 * overlong UTF-8 (an old '.' or '/'). */
#include <errno.h>

#include "http/allow.h"
#include "http/scan.h"
#include "user/utf8.h"

static const char *text_fault(struct span s)
{
	size_t n;

	while (s.n) {
		n = utf8_char(s);
		if (!n)
			return s.p[0] < 0x80 ? "a control character" : "bytes that are no UTF-8";
		http_skip(&s, n);
	}
	return NULL;
}

/* Of a decoded path; @rule: braces are not looked at here. */
static const char *segments_fault(struct span path)
{
	struct span one;

	if (!path.n || path.p[0] != '/')
		return "no '/' in front";
	while (path.n) {
		http_skip(&path, 1);
		one = http_until(path, '/');
		http_skip(&path, one.n);
		if (!one.n && path.n)
			return "an empty segment";
		if (span_eq(one, SPAN(".")) || span_eq(one, SPAN("..")))
			return "a dot segment";
	}
	return NULL;
}

/* One escape at the start of @s; its byte, or -1 with *detail. */
static int escape(struct span s, const char **detail)
{
	int high = s.n > 2 ? http_hex(s.p[1]) : -1, low = s.n > 2 ? http_hex(s.p[2]) : -1;
	int c = high < 0 || low < 0 ? -1 : high << 4 | low;

	if (c < 0) {
		*detail = "an escape without two hex digits";
	} else if (c == '.' || c == '/' || c == '\\' || c == '%' || c == ';') {
		*detail = c == '.'   ? "an escaped dot"
			  : c == '%' ? "an escaped '%'"
				     : "an escaped separator";
		c = -1;
	}
	return c;
}

ssize_t allow_path_decode(struct span path, char *out, size_t cap, const char **detail)
{
	size_t i, n = 0;

	for (i = 0; i < path.n; i++) {
		int c = path.p[i];

		if (c == '\\' || c == ';' || c == '?' || c == '#') {
			*detail = "a separator of another kind";
			return -EBADMSG;
		}
		if (c == '%') {
			c = escape(span_cut(path, i, path.n), detail);
			if (c < 0)
				return -EBADMSG;
			i += 2;
		}
		if (n + 1 >= cap || i >= ALLOW_PATH_MAX) {
			*detail = "too long";
			return -E2BIG;
		}
		out[n++] = (char)c;
	}
	*detail = text_fault(span_of(out, n));
	if (!*detail)
		*detail = segments_fault(span_of(out, n));
	if (*detail)
		return -EBADMSG;
	out[n] = 0;
	return (ssize_t)n;
}

const char *allow_path_fault(const char *path)
{
	struct span p = span_str(path), one;
	const char *fault = text_fault(p);

	if (!fault)
		fault = segments_fault(p);
	if (!fault && (strpbrk(path, ";\\?#%") || p.n > ALLOW_PATH_MAX))
		fault = "';', '\\', '?', '#', '%' or more than 4096 bytes";
	while (!fault && p.n) {
		http_skip(&p, 1);
		one = http_until(p, '/');
		http_skip(&p, one.n);
		if ((http_until(one, '{').n < one.n || http_until(one, '}').n < one.n) &&
		    !span_eq(one, SPAN("{user}")) && !span_eq(one, SPAN("{file}")) &&
		    !span_eq(one, SPAN("{any}")))
			fault = "braces that are not a whole segment {user}, {file} or {any}";
	}
	return fault;
}
