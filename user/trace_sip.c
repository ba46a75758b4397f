/* user/trace_sip.c -- see trace_sip.h. */
#include "user/trace_sip.h"

#include <string.h>

static struct span trim(struct span s)
{
	while (s.n && (s.p[0] == ' ' || s.p[0] == '\t'))
		s = span_cut(s, 1, s.n);
	while (s.n && (s.p[s.n - 1] == ' ' || s.p[s.n - 1] == '\t' || s.p[s.n - 1] == '\r'))
		s.n--;
	return s;
}

/* "Name" <sip:user@host:5060;x>;tag=y: sip:user@host */
static struct span uri_of(struct span v)
{
	const uint8_t *open = NULL, *at;
	bool quoted = false;
	size_t i;

	for (i = 0; i < v.n && !open; i++) {
		if (v.p[i] == '"' && (!i || v.p[i - 1] != '\\'))
			quoted = !quoted;
		else if (v.p[i] == '<' && !quoted)
			open = v.p + i;
	}
	if (open)
		v = span_cut(v, (size_t)(open - v.p) + 1, v.n);
	for (i = 0; i < v.n && v.p[i] != '>' && v.p[i] != ' '; i++)
		;
	v.n = i;
	at = v.n ? memchr(v.p, '@', v.n) : NULL;
	i = at ? (size_t)(at - v.p) + 1 : 0;
	if (i < v.n && v.p[i] == '[') /* IPv6 */
		while (i < v.n && v.p[i] != ']')
			i++;
	for (; at && i < v.n && v.p[i] != ':' && v.p[i] != ';' && v.p[i] != '?'; i++)
		;
	v.n = at ? i : v.n;
	return v;
}

static bool named(struct span name, const char *full, char compact)
{
	return span_ieq(name, span_str(full)) ||
	       (name.n == 1 && compact && span_lower(name.p[0]) == (uint8_t)compact);
}

static void field(struct span line, struct trace_sip *o)
{
	const uint8_t *colon = line.n ? memchr(line.p, ':', line.n) : NULL;
	struct span name, value;
	size_t i;

	if (!colon)
		return;
	name = trim(span_of(line.p, (size_t)(colon - line.p)));
	value = trim(span_cut(line, name.n ? (size_t)(colon - line.p) + 1 : line.n, line.n));
	switch (name.n ? span_lower(name.p[0]) : 0) {
	case 'f':
		if (!o->from.n && named(name, "From", 'f'))
			o->from = uri_of(value);
		break;
	case 't':
		if (!o->to.n && named(name, "To", 't'))
			o->to = uri_of(value);
		break;
	case 'i':
		if (!o->call_id.n && named(name, "i", 'i'))
			o->call_id = value;
		break;
	case 'c':
		if (!o->call_id.n && named(name, "Call-ID", 0)) {
			o->call_id = value;
		} else if (!o->method.n && named(name, "CSeq", 0)) {
			for (i = 0; i < value.n && value.p[i] >= '0' && value.p[i] <= '9'; i++)
				;
			o->number = span_of(value.p, i);
			o->method = trim(span_cut(value, i, value.n));
		}
		break;
	default:
		break;
	}
}

static bool start(struct span line, struct trace_sip *o)
{
	if (line.n > 12 && !memcmp(line.p, "SIP/2.0 ", 8)) {
		o->code = (unsigned)(line.p[8] - '0') * 100 + (unsigned)(line.p[9] - '0') * 10 +
			  (unsigned)(line.p[10] - '0');
		return o->code >= 100 && o->code < 700;
	}
	o->request = true;
	return line.n && memchr(line.p, ' ', line.n);
}

static bool whole(const struct trace_sip *o)
{
	return o->method.n && o->call_id.n && o->from.n && o->to.n;
}

bool trace_sip_scan(struct span msg, struct trace_sip *out)
{
	size_t at = 0, n;
	bool first = true;

	*out = (struct trace_sip){.request = false};
	while (at < msg.n && !whole(out)) {
		const uint8_t *nl = memchr(msg.p + at, '\n', msg.n - at);
		struct span line = span_of(msg.p + at, nl ? (size_t)(nl - msg.p) - at : msg.n - at);

		n = line.n + 1;
		line = trim(line);
		if (first && line.n && !start(line, out))
			return false;
		if (!first && !line.n)
			break;
		if (!first)
			field(line, out);
		first = first && !line.n; /* CRLFs may stand in front */
		at += n;
	}
	return whole(out);
}
