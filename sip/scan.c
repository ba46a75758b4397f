/* sip/scan.c -- character classes and the small steps of the SIP parsers. See scan.h.
 *
 * In: spans of a message that somebody else owns. Out: cuts of them. Grammar: RFC 3261 section 25.1. */
#include "sip/scan.h"

#include "user/addr.h"

/* Short names for the table only. */
enum {
	T = SCAN_TOKEN,
	U = SCAN_UNRESERVED,
	R = SCAN_RESERVED,
	S = SCAN_USER,
	K = SCAN_PASSWORD,
	P = SCAN_PARAM,
	H = SCAN_HEADER,
	W = SCAN_WORD,
	B = SCAN_BASE64,
	LETTER = T | U | W | B | SCAN_ALPHA,
};

const uint16_t scan_classes[256] = {
	['0' ... '9'] = T | U | W | B | SCAN_DIGIT | SCAN_HEX,
	['A' ... 'F'] = LETTER | SCAN_HEX,
	['G' ... 'Z'] = LETTER,
	['a' ... 'f'] = LETTER | SCAN_HEX,
	['g' ... 'z'] = LETTER,
	['!'] = T | U | W,
	['"'] = W,
	['$'] = R | S | K | P | H,
	['%'] = T | W,
	['&'] = R | S | K | P,
	['\''] = T | U | W,
	['('] = U | W,
	[')'] = U | W,
	['*'] = T | U | W,
	['+'] = T | W | R | S | K | P | H | B,
	[','] = R | S | K,
	['-'] = T | U | W,
	['.'] = T | U | W,
	['/'] = W | R | S | P | H | B,
	[':'] = W | R | P | H | SCAN_HOST,
	[';'] = R | S,
	['<'] = W,
	['='] = R | S | K,
	['>'] = W,
	['?'] = W | R | S | H,
	['@'] = R,
	['['] = W | P | H | SCAN_HOST,
	['\\'] = W,
	[']'] = W | P | H | SCAN_HOST,
	['_'] = T | U | W,
	['`'] = T | W,
	['{'] = W,
	['}'] = W,
	['~'] = T | U | W,
};

static bool is_wsp(uint8_t c)
{
	return c == ' ' || c == '\t';
}

size_t scan_lws_run(struct span s)
{
	size_t i = 0;

	for (;;) {
		if (i < s.n && is_wsp(s.p[i]))
			i++;
		else if (s.n - i >= 3 && s.p[i] == '\r' && s.p[i + 1] == '\n' && is_wsp(s.p[i + 2]))
			i += 3;
		else
			return i;
	}
}

void scan_lws(struct span *s)
{
	scan_skip(s, scan_lws_run(*s));
}

struct span scan_trim(struct span s)
{
	scan_lws(&s);
	while (s.n && is_wsp(s.p[s.n - 1])) {
		s.n--;
		while (s.n >= 2 && s.p[s.n - 2] == '\r' && s.p[s.n - 1] == '\n')
			s.n -= 2;
	}
	return s;
}

struct span scan_until(struct span s, char c)
{
	const uint8_t *hit = s.n ? memchr(s.p, c, s.n) : NULL;

	return hit ? span_cut(s, 0, (size_t)(hit - s.p)) : s;
}

bool scan_token(struct span *s, struct span *out)
{
	size_t n = scan_run(*s, SCAN_TOKEN);

	if (n == 0)
		return false;
	*out = span_cut(*s, 0, n);
	scan_skip(s, n);
	return true;
}

bool scan_quoted(struct span *s, struct span *out)
{
	size_t i = 1, lws;

	if (s->n < 2 || s->p[0] != '"')
		return false;
	while (i < s->n && s->p[i] != '"') {
		lws = scan_lws_run(span_cut(*s, i, s->n));
		if (lws) {
			i += lws;
			continue;
		}
		if (s->p[i] == '\\')
			i++;
		if (i >= s->n || s->p[i] < 0x20 || s->p[i] == 0x7f)
			return false;
		i++;
	}
	if (i >= s->n)
		return false;
	*out = span_cut(*s, 0, i + 1);
	scan_skip(s, i + 1);
	return true;
}

int scan_hex(uint8_t c)
{
	if (!scan_is(c, SCAN_HEX))
		return -1;
	return c <= '9' ? c - '0' : span_lower(c) - 'a' + 10;
}

bool scan_escaped(struct span s, unsigned classes)
{
	size_t i = 0;

	while (i < s.n) {
		if (s.p[i] == '%') {
			if (s.n - i < 3 || !scan_is(s.p[i + 1], SCAN_HEX) ||
			    !scan_is(s.p[i + 2], SCAN_HEX))
				return false;
			i += 3;
		} else if (scan_is(s.p[i], classes)) {
			i++;
		} else {
			return false;
		}
	}
	return true;
}

unsigned scan_unit(struct span s, size_t *i)
{
	unsigned c = s.p[(*i)++];

	if (c != '%' || s.n - *i < 2 || !scan_is(s.p[*i], SCAN_HEX) ||
	    !scan_is(s.p[*i + 1], SCAN_HEX))
		return c;
	c = (unsigned)(scan_hex(s.p[*i]) << 4 | scan_hex(s.p[*i + 1])) & 0xff;
	*i += 2;
	return scan_is((uint8_t)c, SCAN_RESERVED) ? c | 0x100 : c;
}

bool scan_equal(struct span a, struct span b, bool fold)
{
	size_t i = 0, j = 0;

	while (i < a.n && j < b.n) {
		unsigned x = scan_unit(a, &i), y = scan_unit(b, &j);

		if (fold) {
			x = (x & 0x100) | span_lower((uint8_t)x);
			y = (y & 0x100) | span_lower((uint8_t)y);
		}
		if (x != y)
			return false;
	}
	return i == a.n && j == b.n;
}

bool scan_port(struct span s, uint16_t *out)
{
	uint32_t v;

	if (s.n > 5 || sip_number(s, 65535, &v) || v == 0)
		return false;
	*out = (uint16_t)v;
	return true;
}

/* hostname = *( domainlabel "." ) toplabel [ "." ]; a name whose last label begins with a digit is an IPv4 address or nothing. */
static bool host_name_ok(struct span s)
{
	struct span label = {}, rest = s;
	struct addr a;

	if (s.n == 0 || s.n > 255)
		return false;
	while (rest.n) {
		label = scan_until(rest, '.');
		if (label.n == 0 || label.n > 63 || label.p[0] == '-' ||
		    label.p[label.n - 1] == '-')
			return false;
		scan_skip(&rest, label.n + 1);
	}
	if (scan_is(label.p[0], SCAN_ALPHA))
		return true;
	return addr_parse(s, &a) == 0;
}

static bool host_v6(struct span *s, struct span *out)
{
	struct span inside = scan_until(span_cut(*s, 1, s->n), ']');
	size_t colon = scan_until(inside, ':').n + 1;
	struct addr a;

	/* Two colons: "192.0.2.1:0" is an address, too, but not one of IPv6. */
	if (inside.n + 2 > s->n || addr_parse(inside, &a) || a.port || colon >= inside.n ||
	    !memchr(inside.p + colon, ':', inside.n - colon) || inside.p[0] == '[')
		return false;
	*out = inside;
	scan_skip(s, inside.n + 2);
	return true;
}

bool scan_host(struct span *s, struct span *out, bool *v6)
{
	struct span name;
	size_t n = 0;

	*v6 = s->n && s->p[0] == '[';
	if (*v6)
		return host_v6(s, out);
	while (n < s->n &&
	       (scan_is(s->p[n], SCAN_ALPHA | SCAN_DIGIT) || s->p[n] == '-' || s->p[n] == '.'))
		n++;
	name = span_cut(*s, 0, n);
	if (!host_name_ok(name))
		return false;
	*out = name;
	scan_skip(s, n);
	return true;
}

static bool param_value(struct span *s, bool uri, struct span *out)
{
	size_t n;

	if (!uri && s->n && s->p[0] == '"')
		return scan_quoted(s, out);
	n = scan_run(*s, uri ? SCAN_UNRESERVED | SCAN_PARAM | SCAN_TOKEN : SCAN_TOKEN | SCAN_HOST);
	*out = span_cut(*s, 0, n);
	scan_skip(s, n);
	return n && (!uri || scan_escaped(*out, SCAN_UNRESERVED | SCAN_PARAM));
}

/* One ";name[=value]" off the front of @s. White space before and behind belongs to it, so *@end is where the text ends. */
static bool param_one(struct span *s, bool uri, struct span *name, const uint8_t **end)
{
	struct span value, back;
	size_t n;

	if (!uri)
		scan_lws(s);
	n = scan_run(*s, uri ? SCAN_UNRESERVED | SCAN_PARAM | SCAN_TOKEN : SCAN_TOKEN);
	*name = span_cut(*s, 0, n);
	if (n == 0 || (uri && !scan_escaped(*name, SCAN_UNRESERVED | SCAN_PARAM)))
		return false;
	scan_skip(s, n);
	*end = s->p;
	back = *s;
	if (!uri)
		scan_lws(s);
	if (!scan_byte(s, '=')) {
		*s = back;
		return true;
	}
	if (!uri)
		scan_lws(s);
	if (!param_value(s, uri, &value))
		return false;
	*end = s->p;
	return true;
}

bool scan_params(struct span *rest, bool uri, struct span *out)
{
	struct span names[SCAN_PARAMS_MAX], s = *rest, back;
	const uint8_t *start = NULL, *end = NULL;
	unsigned i, n = 0;

	for (;;) {
		back = s;
		if (!uri)
			scan_lws(&s);
		if (s.n == 0 || s.p[0] != ';')
			break;
		if (!start)
			start = s.p;
		scan_skip(&s, 1);
		if (n == SCAN_PARAMS_MAX || !param_one(&s, uri, &names[n], &end))
			return false;
		for (i = 0; i < n; i++)
			if (uri ? scan_equal(names[i], names[n], true)
				: span_ieq(names[i], names[n]))
				return false;
		n++;
	}
	*out = start ? span_of(start, (size_t)(end - start)) : span_cut(back, 0, 0);
	*rest = back;
	return true;
}
