/* http/target.c -- request targets and authorities (RFC 9112 3.2, RFC 3986).
 *
 * In: the text of one target or Host field. Out: its parts as slices. Escapes are checked, not decoded, and dots in paths
 * are left: what is forwarded is what came, and who judges a path must look at both. Owns nothing. */
#include "http/scan.h"

#include <errno.h>

#include "user/addr.h"

/* All of @s is in @classes or %HH; @nul: %00 as well. A path with a NUL would end there for a reader in C. */
static bool escaped_ok(struct span s, unsigned classes, bool nul)
{
	size_t i = 0;

	while (i < s.n) {
		if (http_is(s.p[i], classes)) {
			i++;
			continue;
		}
		if (s.p[i] != '%' || s.n - i < 3 || !http_is(s.p[i + 1], HTTP_C_HEX) ||
		    !http_is(s.p[i + 2], HTTP_C_HEX))
			return false;
		if (!nul && s.p[i + 1] == '0' && s.p[i + 2] == '0')
			return false;
		i += 3;
	}
	return true;
}

/* Labels of at most 63 characters; a last one that begins with a digit makes it an IPv4 address or nothing, so that 0x7f.1
 * and 127.1 are no names. */
static bool name_ok(struct span s)
{
	struct span label = {}, rest = s;
	struct addr a;

	if (s.n == 0 || s.n > HTTP_HOST_MAX || http_run(s, HTTP_C_HOST) != s.n)
		return false;
	while (rest.n) {
		label = http_until(rest, '.');
		if (label.n == 0 || label.n > 63 || label.p[0] == '-' ||
		    label.p[label.n - 1] == '-')
			return false;
		http_skip(&rest, label.n + 1);
	}
	if (!http_is(label.p[0], HTTP_C_DIGIT))
		return true;
	return addr_parse(s, &a) == 0;
}

/* At least two colons, or addr_parse() would read an IPv4 address and a port. */
static bool v6_ok(struct span inside)
{
	struct span tail = span_cut(inside, http_until(inside, ':').n + 1, inside.n);
	struct addr a;

	return tail.n && inside.p[0] != '[' && memchr(tail.p, ':', tail.n) &&
	       addr_parse(inside, &a) == 0;
}

/* 1..65535 without a leading zero. */
static bool port_ok(struct span s, uint16_t *out)
{
	uint32_t v = 0;
	size_t i;

	if (s.n == 0 || s.n > 5 || s.p[0] == '0' || http_run(s, HTTP_C_DIGIT) != s.n)
		return false;
	for (i = 0; i < s.n; i++)
		v = v * 10 + (unsigned)(s.p[i] - '0');
	*out = (uint16_t)v;
	return v <= 65535;
}

int http_authority_parse(struct span s, struct http_authority *out)
{
	struct http_authority a = {.whole = s};
	struct span rest;

	a.host_is_v6 = s.n && s.p[0] == '[';
	if (a.host_is_v6) {
		a.host = http_until(span_cut(s, 1, s.n), ']');
		if (a.host.n + 2 > s.n || !v6_ok(a.host))
			return -EBADMSG;
		rest = span_cut(s, a.host.n + 2, s.n);
	} else {
		a.host = http_until(s, ':');
		if (!name_ok(a.host))
			return -EBADMSG;
		rest = span_cut(s, a.host.n, s.n);
	}
	if (rest.n && (rest.p[0] != ':' || !port_ok(span_cut(rest, 1, rest.n), &a.port)))
		return -EBADMSG;
	*out = a;
	return 0;
}

bool http_authority_same(const struct http_authority *a, const struct http_authority *b,
			 uint16_t default_port)
{
	struct addr x, y;

	if ((a->port ? a->port : default_port) != (b->port ? b->port : default_port) ||
	    a->host_is_v6 != b->host_is_v6)
		return false;
	if (a->host_is_v6 && addr_parse(a->host, &x) == 0 && addr_parse(b->host, &y) == 0)
		return addr_ip_eq(&x, &y);
	return span_ieq(a->host, b->host);
}

/* path [ "?" query ]; the path is empty or begins with '/'. */
static enum http_why path_parse(struct span s, struct http_target *t)
{
	t->path = http_until(s, '?');
	t->has_query = t->path.n < s.n;
	t->query = span_cut(s, t->path.n + 1, s.n);
	if (!escaped_ok(t->path, HTTP_C_PATH, false) || !escaped_ok(t->query, HTTP_C_QUERY, true))
		return HTTP_WHY_TARGET;
	return HTTP_OK;
}

static enum http_why absolute_parse(struct span s, struct http_target *t)
{
	struct span scheme = http_until(s, ':');
	size_t n = 0;

	t->form = HTTP_ABSOLUTE;
	t->https = span_ieq(scheme, SPAN("https"));
	if (!t->https && !span_ieq(scheme, SPAN("http")))
		return HTTP_WHY_SCHEME;
	if (!span_eq(span_cut(s, scheme.n, 3), SPAN("://")))
		return HTTP_WHY_SCHEME;
	http_skip(&s, scheme.n + 3);
	while (n < s.n && s.p[n] != '/' && s.p[n] != '?' && s.p[n] != '#')
		n++;
	/* An '@' is no character of a host, so a user name is refused here (RFC 9110 4.2.4). */
	if (http_authority_parse(span_cut(s, 0, n), &t->auth))
		return HTTP_WHY_AUTHORITY;
	return path_parse(span_cut(s, n, s.n), t);
}

enum http_why http_target_parse(struct span s, enum http_method method, struct http_target *out)
{
	struct http_target t = {.whole = s};
	enum http_why why;

	t.path = t.query = span_cut(s, 0, 0);
	if (method == HTTP_M_CONNECT) {
		t.form = HTTP_AUTHORITY;
		if (http_authority_parse(s, &t.auth) || !t.auth.port)
			return HTTP_WHY_TARGET_FORM;
		why = HTTP_OK;
	} else if (span_eq(s, SPAN("*"))) {
		t.form = HTTP_ASTERISK;
		why = method == HTTP_M_OPTIONS ? HTTP_OK : HTTP_WHY_TARGET_FORM;
	} else if (s.n && s.p[0] == '/') {
		t.form = HTTP_ORIGIN;
		why = path_parse(s, &t);
	} else if (s.n && http_is(s.p[0], HTTP_C_ALPHA) && memmem(s.p, s.n, "://", 3)) {
		why = absolute_parse(s, &t);
	} else {
		why = HTTP_WHY_TARGET_FORM;
	}
	if (why == HTTP_OK)
		*out = t;
	return why;
}
