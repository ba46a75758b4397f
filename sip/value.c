/* sip/value.c -- elements of the structured header values: addresses (From, Contact, Route, ...) and Via.
 *
 * In: a header's value, folds and all. Out: one element of its comma list as slices. The list is cut by its grammar, so commas in
 * quoted strings and in <URIs> do not count (RFC 3261 7.3.1, 20). */
#include "sip/scan.h"

#include <errno.h>

#include "user/addr.h"

/* Behind an element: the end, or a comma with another element behind it. */
static bool list_step(struct span *s)
{
	scan_lws(s);
	if (s->n == 0)
		return true;
	if (!scan_byte(s, ','))
		return false;
	scan_lws(s);
	return s->n > 0;
}

/* The display name, up to the '<' of a name-addr: a quoted string or tokens. False: @s does not begin a name-addr. */
static bool addr_display(struct span *s, struct span *out)
{
	struct span rest = *s, token;
	const uint8_t *end = s->p;

	if (scan_quoted(&rest, out)) {
		scan_lws(&rest);
	} else {
		while (scan_token(&rest, &token)) {
			end = rest.p;
			if (scan_lws_run(rest) == 0)
				break;
			scan_lws(&rest);
		}
		*out = span_of(s->p, (size_t)(end - s->p));
	}
	if (!scan_byte(&rest, '<'))
		return false;
	*s = rest;
	return true;
}

/* An addr-spec ends at the first white space, comma or semicolon: parameters behind it are the header's, and a URI with a
 * comma, a question mark or a semicolon must stand in <> (RFC 3261 20). */
static bool addr_bare_uri(struct span *s, struct sip_uri *uri)
{
	struct span text;
	size_t n = 0;

	while (n < s->n && !memchr(" \t\r\n,;<>\"?", s->p[n], 10))
		n++;
	text = span_cut(*s, 0, n);
	if (sip_uri_parse(text, uri))
		return false;
	scan_skip(s, n);
	return true;
}

static bool addr_one(struct span *s, struct sip_addr *a)
{
	const uint8_t *start = s->p;
	struct span text;

	if (addr_display(s, &a->display)) {
		text = scan_until(*s, '>');
		if (text.n == s->n || sip_uri_parse(text, &a->uri))
			return false;
		scan_skip(s, text.n + 1);
	} else {
		a->display = span_cut(*s, 0, 0);
		if (!addr_bare_uri(s, &a->uri))
			return false;
	}
	if (!scan_params(s, false, &a->params))
		return false;
	a->whole = span_of(start, (size_t)(s->p - start));
	return true;
}

int sip_addr_next(struct span *rest, struct sip_addr *out)
{
	struct span s = scan_trim(*rest);
	struct sip_addr a = {};

	if (s.n == 0) {
		*rest = s;
		return 0;
	}
	if (!addr_one(&s, &a) || !list_step(&s))
		return -EBADMSG;
	*rest = s;
	*out = a;
	return 1;
}

int sip_addr_parse(struct span s, struct sip_addr *out)
{
	struct sip_addr a = {};

	s = scan_trim(s);
	if (s.n == 0 || !addr_one(&s, &a) || s.n)
		return -EBADMSG;
	*out = a;
	return 0;
}

/* sent-protocol: "SIP" SLASH "2.0" SLASH transport, white space allowed around the slashes. */
static bool via_protocol(struct span *s, struct span *transport)
{
	struct span name, version;

	if (!scan_token(s, &name) || !span_ieq(name, SPAN("SIP")))
		return false;
	scan_lws(s);
	if (!scan_byte(s, '/'))
		return false;
	scan_lws(s);
	if (!scan_token(s, &version) || !span_eq(version, SPAN("2.0")))
		return false;
	scan_lws(s);
	if (!scan_byte(s, '/'))
		return false;
	scan_lws(s);
	return scan_token(s, transport);
}

/* host [ COLON port ]; white space may stand around the colon. */
static bool via_sent_by(struct span *s, struct sip_via *v)
{
	struct span back;
	size_t n;

	if (!scan_host(s, &v->host, &v->host_is_v6))
		return false;
	back = *s;
	scan_lws(s);
	if (!scan_byte(s, ':')) {
		*s = back;
		return true;
	}
	scan_lws(s);
	n = scan_run(*s, SCAN_DIGIT);
	if (!scan_port(span_cut(*s, 0, n), &v->port))
		return false;
	scan_skip(s, n);
	return true;
}

/* Whether all of @s is a token. */
static bool is_token(struct span s)
{
	return s.n && scan_run(s, SCAN_TOKEN) == s.n;
}

static bool via_params(struct sip_via *v)
{
	struct span rest = v->params;
	struct sip_param p;
	struct addr a;

	v->branch = v->received = span_cut(rest, 0, 0);
	while (sip_param_next(&rest, &p) == 1) {
		if (span_ieq(p.name, SPAN("branch"))) {
			v->branch = p.value;
			if (!is_token(p.value))
				return false;
		} else if (span_ieq(p.name, SPAN("received"))) {
			v->received = p.value;
			if (addr_parse(p.value, &a) || a.port)
				return false;
		} else if (span_ieq(p.name, SPAN("rport"))) {
			v->has_rport = true;
			if (p.has_value && !scan_port(p.value, &v->rport))
				return false;
		}
	}
	return true;
}

static bool via_one(struct span *s, struct sip_via *v)
{
	const uint8_t *start = s->p;

	if (!via_protocol(s, &v->protocol) || scan_lws_run(*s) == 0)
		return false;
	scan_lws(s);
	if (!via_sent_by(s, v) || !scan_params(s, false, &v->params))
		return false;
	v->whole = span_of(start, (size_t)(s->p - start));
	return via_params(v);
}

int sip_via_next(struct span *rest, struct sip_via *out)
{
	struct span s = scan_trim(*rest);
	struct sip_via v = {};

	if (s.n == 0) {
		*rest = s;
		return 0;
	}
	if (!via_one(&s, &v) || !list_step(&s))
		return -EBADMSG;
	*rest = s;
	*out = v;
	return 1;
}
