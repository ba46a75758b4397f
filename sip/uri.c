/* sip/uri.c -- SIP URIs: parse, compare, address of record (RFC 3261 19.1).
 *
 * In: the text of one URI. Out: its parts as slices, an answer, or canonical text in the caller's buffer. Escapes are checked when
 * parsing and decoded only for comparison, so that what is forwarded is what came. */
#include "sip/scan.h"

#include <errno.h>

#include "sip/write.h"
#include "user/addr.h"

/* hname "=" hvalue, joined by '&' (RFC 3261 25.1 "headers"). */
static bool uri_headers_ok(struct span s)
{
	unsigned n = 0;
	struct span one, name;

	do {
		one = scan_until(s, '&');
		name = scan_until(one, '=');
		if (++n > SCAN_PARAMS_MAX || name.n == 0 || name.n == one.n ||
		    !scan_escaped(name, SCAN_UNRESERVED | SCAN_HEADER) ||
		    !scan_escaped(span_cut(one, name.n + 1, one.n), SCAN_UNRESERVED | SCAN_HEADER))
			return false;
		if (one.n == s.n)
			return true;
		scan_skip(&s, one.n + 1);
	} while (s.n);
	return false;
}

/* Everything behind "sip:" or "sips:". An '@' may stand nowhere else unescaped, so the first one ends the userinfo. */
static bool uri_sip_rest(struct span s, struct sip_uri *u)
{
	struct span info = scan_until(s, '@'), host;

	u->user = u->password = u->headers = span_cut(s, 0, 0);
	if (info.n < s.n) {
		scan_skip(&s, info.n + 1);
		u->user = scan_until(info, ':');
		if (u->user.n < info.n)
			u->password = span_cut(info, u->user.n + 1, info.n);
		if (u->user.n == 0 || !scan_escaped(u->user, SCAN_UNRESERVED | SCAN_USER) ||
		    !scan_escaped(u->password, SCAN_UNRESERVED | SCAN_PASSWORD))
			return false;
	}
	if (!scan_host(&s, &host, &u->host_is_v6))
		return false;
	u->host = host;
	if (scan_byte(&s, ':')) {
		size_t n = scan_run(s, SCAN_DIGIT);

		if (!scan_port(span_cut(s, 0, n), &u->port))
			return false;
		scan_skip(&s, n);
	}
	if (!scan_params(&s, true, &u->params))
		return false;
	if (scan_byte(&s, '?')) {
		u->headers = s;
		return uri_headers_ok(s);
	}
	return s.n == 0;
}

int sip_uri_parse(struct span s, struct sip_uri *out)
{
	struct sip_uri u = {.whole = s, .scheme = scan_until(s, ':')};
	struct span rest = span_cut(s, u.scheme.n + 1, s.n);
	size_t i;

	if (u.scheme.n == 0 || u.scheme.n == s.n || !scan_is(s.p[0], SCAN_ALPHA) || rest.n == 0)
		return -EBADMSG;
	for (i = 0; i < u.scheme.n; i++)
		if (!scan_is(s.p[i], SCAN_ALPHA | SCAN_DIGIT) && !memchr("+-.", s.p[i], 3))
			return -EBADMSG;
	u.is_sips = span_ieq(u.scheme, SPAN("sips"));
	u.is_sip = !u.is_sips && span_ieq(u.scheme, SPAN("sip"));
	if (u.is_sip || u.is_sips) {
		if (!uri_sip_rest(rest, &u))
			return -EBADMSG;
	} else if (!scan_escaped(rest, SCAN_UNRESERVED | SCAN_RESERVED)) {
		return -EBADMSG;
	}
	*out = u;
	return 0;
}

static bool hosts_equal(const struct sip_uri *a, const struct sip_uri *b)
{
	struct addr x, y;

	if (a->host_is_v6 && b->host_is_v6 && !addr_parse(a->host, &x) && !addr_parse(b->host, &y))
		return addr_ip_eq(&x, &y);
	return a->host_is_v6 == b->host_is_v6 && span_ieq(a->host, b->host);
}

/* Parameters that must stand in both URIs or in neither (RFC 3261 19.1.4). */
static bool param_in_both(struct span name)
{
	return span_ieq(name, SPAN("user")) || span_ieq(name, SPAN("ttl")) ||
	       span_ieq(name, SPAN("method")) || span_ieq(name, SPAN("maddr")) ||
	       span_ieq(name, SPAN("transport"));
}

static bool param_lookup(struct span params, struct span name, struct sip_param *out)
{
	while (sip_param_next(&params, out) == 1)
		if (scan_equal(out->name, name, true))
			return true;
	return false;
}

/* Every parameter of @a agrees with @b. */
static bool params_agree(struct span a, struct span b)
{
	struct sip_param p, q;

	while (sip_param_next(&a, &p) == 1) {
		if (!param_lookup(b, p.name, &q)) {
			if (param_in_both(p.name))
				return false;
		} else if (p.has_value != q.has_value || !scan_equal(p.value, q.value, true)) {
			return false;
		}
	}
	return true;
}

static struct span header_next(struct span *rest)
{
	struct span one = scan_until(*rest, '&');

	scan_skip(rest, one.n + 1);
	return one;
}

static bool header_same(struct span x, struct span y)
{
	struct span xn = scan_until(x, '='), yn = scan_until(y, '=');

	return scan_equal(xn, yn, true) &&
	       scan_equal(span_cut(x, xn.n, x.n), span_cut(y, yn.n, y.n), false);
}

static unsigned headers_count(struct span in, struct span one)
{
	unsigned n = 0;

	while (in.n)
		n += header_same(header_next(&in), one);
	return n;
}

/* The same headers the same number of times, in any order. */
static bool headers_equal(struct span a, struct span b)
{
	struct span rest;

	for (rest = a; rest.n;) {
		struct span one = header_next(&rest);

		if (headers_count(a, one) != headers_count(b, one))
			return false;
	}
	for (rest = b; rest.n;)
		if (headers_count(a, header_next(&rest)) == 0)
			return false;
	return true;
}

bool sip_uri_equal(const struct sip_uri *a, const struct sip_uri *b)
{
	if (!span_ieq(a->scheme, b->scheme))
		return false;
	if (!a->is_sip && !a->is_sips)
		return span_eq(span_cut(a->whole, a->scheme.n, a->whole.n),
			       span_cut(b->whole, b->scheme.n, b->whole.n));
	/* "sip:a:@h" has a password, though an empty one; "sip:a@h" has none. No server tells them apart, so neither do we. */
	return scan_equal(a->user, b->user, false) && scan_equal(a->password, b->password, false) &&
	       hosts_equal(a, b) && a->port == b->port && params_agree(a->params, b->params) &&
	       params_agree(b->params, a->params) && headers_equal(a->headers, b->headers);
}

/* A decoded user: only what may stand bare in a user part is decoded, so the text parses again to the same user, and an escaped
 * '@', NUL or control character can never end or split it. */
static void aor_user(struct sip_out *o, struct span user)
{
	size_t i = 0;

	while (i < user.n) {
		bool escaped = user.p[i] == '%';
		uint8_t c = (uint8_t)scan_unit(user, &i);

		if (!escaped || scan_is(c, SCAN_UNRESERVED | SCAN_USER))
			sip_out_span(o, span_of(&c, 1));
		else
			sip_out_text(o, "%%%02X", c);
	}
}

static void aor_lower(struct sip_out *o, struct span s)
{
	size_t i;

	for (i = 0; i < s.n; i++) {
		uint8_t c = span_lower(s.p[i]);

		sip_out_span(o, span_of(&c, 1));
	}
}

ssize_t sip_uri_aor(const struct sip_uri *u, char *buf, size_t n)
{
	char text[ADDR_TEXT_MAX];
	struct sip_out o;
	struct addr a;

	sip_out_init(&o, buf, n);
	aor_lower(&o, u->scheme);
	sip_out_span(&o, SPAN(":"));
	if (!u->is_sip && !u->is_sips) {
		sip_out_span(&o, span_cut(u->whole, u->scheme.n + 1, u->whole.n));
	} else {
		aor_user(&o, u->user);
		if (u->user.n)
			sip_out_span(&o, SPAN("@"));
		if (u->host_is_v6 && addr_parse(u->host, &a) == 0)
			sip_out_text(&o, "[%s]", addr_ip_text(&a, text));
		else
			aor_lower(&o, u->host);
	}
	/* Room for the NUL that callers who print it want. */
	if (o.overflow || o.n >= n)
		return -E2BIG;
	buf[o.n] = 0;
	return (ssize_t)o.n;
}
