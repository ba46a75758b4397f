/* sip/msg.c -- one SIP message: framing, start line, header fields, and the fields that every message must have.
 *
 * In: bytes of a stream or one datagram. Out: struct sip_msg, whose spans point into them; on failure its contents mean nothing. Every
 * list of addresses and Vias is read to its end here, so nobody behind meets a malformed one. Owns nothing. */
#include "sip/scan.h"

#include <errno.h>
#include <stddef.h>

_Static_assert(SIP_HDRS <= 64, "a bit each in one word");

/* One value in a message, or two readers could take different ones. */
static const uint64_t single_headers =
	1ULL << SIP_H_FROM | 1ULL << SIP_H_TO | 1ULL << SIP_H_CALL_ID | 1ULL << SIP_H_CSEQ |
	1ULL << SIP_H_MAX_FORWARDS | 1ULL << SIP_H_CONTENT_LENGTH | 1ULL << SIP_H_CONTENT_TYPE |
	1ULL << SIP_H_EXPIRES | 1ULL << SIP_H_MIN_EXPIRES | 1ULL << SIP_H_RACK |
	1ULL << SIP_H_RSEQ | 1ULL << SIP_H_SESSION_EXPIRES | 1ULL << SIP_H_MIN_SE |
	1ULL << SIP_H_REFER_TO | 1ULL << SIP_H_REFERRED_BY | 1ULL << SIP_H_REPLACES |
	1ULL << SIP_H_EVENT | 1ULL << SIP_H_SUBSCRIPTION_STATE;

static const uint64_t required_headers = 1ULL << SIP_H_VIA | 1ULL << SIP_H_FROM | 1ULL << SIP_H_TO |
					 1ULL << SIP_H_CALL_ID | 1ULL << SIP_H_CSEQ;

struct reading { /* of one message */
	struct sip_msg *m;
	uint64_t seen; /* a bit for each header id */
	bool has_length;
	uint64_t length; /* Content-Length */
	bool star;	 /* Contact: * */
	unsigned contacts;
};

ssize_t sip_keepalive(struct span in, bool *ping)
{
	static const char crlf[] = "\r\n\r\n";
	size_t same = 0;

	while (same < 4 && same < in.n && in.p[same] == (uint8_t)crlf[same])
		same++;
	if (same == 4 || (same >= 2 && same < in.n)) {
		*ping = same == 4;
		return same == 4 ? 4 : 2;
	}
	return same == in.n ? -EAGAIN : 0;
}

static enum sip_why request_line(struct span s, struct sip_msg *m)
{
	struct span method = scan_until(s, ' '), uri, version;

	if (method.n == s.n)
		return SIP_WHY_START_LINE;
	if (method.n == 0 || scan_run(method, SCAN_TOKEN) != method.n)
		return SIP_WHY_METHOD;
	scan_skip(&s, method.n + 1);
	uri = scan_until(s, ' ');
	if (uri.n == s.n)
		return SIP_WHY_START_LINE;
	version = span_cut(s, uri.n + 1, s.n);
	if (!span_ieq(version, SPAN("SIP/2.0")))
		return SIP_WHY_VERSION;
	/* Headers in a Request-URI are forbidden (RFC 3261 table 1): one hop would act on them, another would not. */
	if (sip_uri_parse(uri, &m->ruri) || m->ruri.headers.n)
		return SIP_WHY_URI;
	m->request = true;
	m->method_text = method;
	m->method = sip_method_from_text(method);
	return SIP_OK;
}

static enum sip_why status_line(struct span s, struct sip_msg *m)
{
	struct span version = scan_until(s, ' '), code;
	uint32_t status;

	if (!span_ieq(version, SPAN("SIP/2.0")))
		return SIP_WHY_VERSION;
	scan_skip(&s, version.n + 1);
	code = scan_until(s, ' ');
	if (code.n != 3 || code.n == s.n || sip_number(code, 699, &status) || status < 100)
		return SIP_WHY_STATUS;
	m->status = status;
	m->reason = span_cut(s, 4, s.n);
	return SIP_OK;
}

static enum sip_why start_line(struct span s, struct sip_msg *m)
{
	m->start_line = s;
	if (span_ieq(span_cut(s, 0, 4), SPAN("SIP/")))
		return status_line(s, m);
	return request_line(s, m);
}

/* Take a line off @s; @line is without its CRLF. */
static enum sip_why line_next(struct span *s, struct span *line)
{
	const uint8_t *lf = s->n ? memchr(s->p, '\n', s->n) : NULL;
	size_t i, n = lf ? (size_t)(lf - s->p) : 0;

	if (n == 0 || s->p[n - 1] != '\r')
		return SIP_WHY_BARE_LF;
	*line = span_cut(*s, 0, n - 1);
	for (i = 0; i < line->n; i++) {
		uint8_t c = line->p[i];

		if (c == '\r')
			return SIP_WHY_BARE_LF;
		if ((c < 0x20 && c != '\t') || c == 0x7f)
			return SIP_WHY_HEADER_VALUE;
	}
	scan_skip(s, n + 1);
	return SIP_OK;
}

/* One header field with its folds off @s. */
static enum sip_why header_next(struct span *s, struct sip_header *h)
{
	struct span line, field, rest = *s;
	enum sip_why why = line_next(&rest, &line);

	if (why)
		return why;
	if (!scan_token(&line, &h->name))
		return SIP_WHY_HEADER_NAME;
	while (line.n && (line.p[0] == ' ' || line.p[0] == '\t'))
		scan_skip(&line, 1);
	if (!scan_byte(&line, ':'))
		return SIP_WHY_HEADER_NAME;
	field = line;
	while (rest.n && (rest.p[0] == ' ' || rest.p[0] == '\t')) {
		why = line_next(&rest, &line);
		if (why)
			return why;
		field.n = (size_t)(line.p + line.n - field.p);
	}
	h->id = sip_hdr_from_name(h->name);
	/* One letter is a compact form; one that nobody registered would be guessed at. */
	if (h->id == SIP_H_OTHER && h->name.n == 1 &&
	    !memchr("adjnsuy", span_lower(h->name.p[0]), 7))
		return SIP_WHY_HEADER_NAME;
	h->value = scan_trim(field);
	h->line = span_cut(*s, 0, s->n - rest.n);
	*s = rest;
	return SIP_OK;
}

static bool one_address(struct span value, struct sip_addr *a, struct span *tag)
{
	struct sip_param p;

	if (sip_addr_parse(value, a))
		return false;
	*tag = span_cut(a->params, 0, 0);
	if (sip_param_find(a->params, SPAN("tag"), &p)) {
		if (p.value.n == 0 || scan_run(p.value, SCAN_TOKEN) != p.value.n)
			return false;
		*tag = p.value;
	}
	return true;
}

/* Contact, Route and their kin; @brackets: only name-addr is allowed. Returns the number of elements, 0 for malformed. */
static unsigned addresses(struct span value, bool brackets)
{
	struct sip_addr a;
	unsigned n = 0;
	int r;

	while ((r = sip_addr_next(&value, &a)) == 1) {
		if (brackets && (a.uri.whole.p == a.whole.p || a.uri.whole.p[-1] != '<'))
			return 0;
		n++;
	}
	return r ? 0 : n;
}

static bool vias(struct span value, struct sip_msg *m, bool topmost)
{
	struct sip_via v;
	unsigned n = 0;
	int r;

	while ((r = sip_via_next(&value, &v)) == 1)
		if (n++ == 0 && topmost)
			m->via = v;
	return r == 0 && n;
}

/* word [ "@" word ] */
static bool call_id(struct span s)
{
	size_t n = scan_run(s, SCAN_WORD);

	if (n == s.n)
		return n > 0;
	return n && s.p[n] == '@' && n + 1 < s.n &&
	       scan_run(span_cut(s, n + 1, s.n), SCAN_WORD) == s.n - n - 1;
}

static bool cseq(struct span s, struct sip_msg *m)
{
	size_t n = scan_run(s, SCAN_DIGIT);

	/* Below 2^31 (RFC 3261 8.1.1.5). */
	if (sip_number(span_cut(s, 0, n), INT32_MAX, &m->cseq))
		return false;
	scan_skip(&s, n);
	if (scan_lws_run(s) == 0)
		return false;
	scan_lws(&s);
	m->cseq_method = s;
	return s.n && scan_run(s, SCAN_TOKEN) == s.n;
}

static bool content_type(struct span s)
{
	struct span t;

	if (!scan_token(&s, &t))
		return false;
	scan_lws(&s);
	if (!scan_byte(&s, '/'))
		return false;
	scan_lws(&s);
	if (!scan_token(&s, &t))
		return false;
	scan_lws(&s);
	return s.n == 0 || s.p[0] == ';';
}

/* Up to 10 digits; a length that does not fit 32 bits is still a length, and too long. */
static bool content_length(struct span s, uint64_t *out)
{
	size_t i;

	*out = 0;
	if (s.n == 0 || s.n > 10 || scan_run(s, SCAN_DIGIT) != s.n)
		return false;
	for (i = 0; i < s.n; i++)
		*out = *out * 10 + (unsigned)(s.p[i] - '0');
	return true;
}

static enum sip_why contact(struct reading *r, struct span value)
{
	unsigned n = 1;

	if (span_eq(value, SPAN("*")))
		r->star = true;
	else
		n = addresses(value, false);
	r->contacts += n;
	/* "*" stands alone or not at all (RFC 3261 10.2.2). */
	return n == 0 || (r->star && r->contacts > 1) ? SIP_WHY_CONTACT : SIP_OK;
}

static enum sip_why header_read(struct reading *r, const struct sip_header *h)
{
	struct sip_msg *m = r->m;
	struct span v = h->value;
	uint32_t number;

	switch (h->id) {
	case SIP_H_VIA:
		return vias(v, m, !(r->seen & 1ULL << SIP_H_VIA)) ? SIP_OK : SIP_WHY_VIA;
	case SIP_H_FROM:
		return one_address(v, &m->from, &m->from_tag) ? SIP_OK : SIP_WHY_FROM;
	case SIP_H_TO:
		return one_address(v, &m->to, &m->to_tag) ? SIP_OK : SIP_WHY_TO;
	case SIP_H_CALL_ID:
		m->call_id = v;
		return call_id(v) ? SIP_OK : SIP_WHY_CALL_ID;
	case SIP_H_CSEQ:
		return cseq(v, m) ? SIP_OK : SIP_WHY_CSEQ;
	case SIP_H_MAX_FORWARDS:
		if (sip_number(v, 255, &number))
			return SIP_WHY_MAX_FORWARDS;
		m->max_forwards = (int)number;
		return SIP_OK;
	case SIP_H_CONTACT:
		return contact(r, v);
	case SIP_H_ROUTE:
	case SIP_H_RECORD_ROUTE:
	case SIP_H_PATH:
	case SIP_H_SERVICE_ROUTE:
		return addresses(v, true) ? SIP_OK : SIP_WHY_ROUTE;
	case SIP_H_CONTENT_LENGTH:
		r->has_length = true;
		return content_length(v, &r->length) ? SIP_OK : SIP_WHY_CONTENT_LENGTH;
	case SIP_H_CONTENT_TYPE:
		return content_type(v) ? SIP_OK : SIP_WHY_HEADER_VALUE;
	case SIP_H_EXPIRES:
		return sip_number(v, UINT32_MAX, &number) ? SIP_WHY_HEADER_VALUE : SIP_OK;
	default:
		return SIP_OK;
	}
}

/* From behind the start line to the blank line. */
static enum sip_why headers_read(struct reading *r, struct span s)
{
	struct sip_msg *m = r->m;
	enum sip_why why;

	while (s.n) {
		struct sip_header *h = &m->headers[m->n_headers];

		if (m->n_headers == SIP_HEADERS_MAX)
			return SIP_WHY_TOO_MANY_HEADERS;
		why = header_next(&s, h);
		if (why)
			return why;
		if (r->seen & single_headers & 1ULL << h->id)
			return SIP_WHY_DUPLICATE;
		why = header_read(r, h);
		if (why)
			return why;
		r->seen |= 1ULL << h->id;
		m->n_headers++;
	}
	return SIP_OK;
}

static enum sip_why head_check(struct reading *r, bool stream)
{
	struct sip_msg *m = r->m;

	if ((r->seen & required_headers) != required_headers)
		return SIP_WHY_MISSING;
	if (stream && !r->has_length)
		return SIP_WHY_CONTENT_LENGTH;
	if (!m->request) {
		m->method_text = m->cseq_method;
		m->method = sip_method_from_text(m->cseq_method);
	} else if (!span_eq(m->method_text, m->cseq_method)) {
		return SIP_WHY_CSEQ;
	}
	return SIP_OK;
}

/* What is wrong already with a head whose blank line has not come yet. Cheap, since it runs for every read of a slow sender; and
 * never wrong about bytes that could still become a message. */
static enum sip_why head_partial(struct span s, struct sip_msg *m)
{
	struct span first = scan_until(s, '\n'), rest = s, line;
	enum sip_why why;

	if (s.n && memchr(s.p, 0, s.n))
		return SIP_WHY_HEADER_VALUE;
	if (first.n == s.n)
		return SIP_OK;
	why = line_next(&rest, &line);
	if (!why)
		why = start_line(line, m);
	while (!why && rest.n) {
		line = scan_until(rest, '\n');
		if (line.n < rest.n && (line.n == 0 || line.p[line.n - 1] != '\r'))
			why = SIP_WHY_BARE_LF;
		scan_skip(&rest, line.n + 1);
	}
	return why;
}

/* Leading CRLFs of a stream. Returns how many bytes, or -EBADMSG for half of one. */
static ssize_t lead_skip(struct span in)
{
	size_t i = 0;

	while (in.n - i >= 2 && in.p[i] == '\r' && in.p[i + 1] == '\n')
		i += 2;
	if (i < in.n && (in.p[i] == '\n' || (in.p[i] == '\r' && i + 1 < in.n)))
		return -EBADMSG;
	return (ssize_t)i;
}

static void msg_clear(struct sip_msg *m)
{
	/* Not the 128 header slots: n_headers guards them. */
	memset(m, 0, offsetof(struct sip_msg, headers));
	memset(&m->body, 0, sizeof(*m) - offsetof(struct sip_msg, body));
	m->max_forwards = -1;
}

/* @s begins with the start line and its head ends at @head, blank line included. Returns the message's length. */
static ssize_t whole_parse(struct span s, size_t head, bool stream, size_t max, struct sip_msg *m,
			   enum sip_why *why)
{
	struct span rest = span_cut(s, 0, head - 2), line;
	struct reading r = {.m = m};
	uint64_t length;

	*why = line_next(&rest, &line);
	if (*why == SIP_OK)
		*why = start_line(line, m);
	if (*why == SIP_OK)
		*why = headers_read(&r, rest);
	if (*why == SIP_OK)
		*why = head_check(&r, stream);
	if (*why)
		return *why == SIP_WHY_TOO_MANY_HEADERS ? -E2BIG : -EBADMSG;
	length = r.has_length ? r.length : s.n - head;
	if (head > max || length > max - head) {
		*why = SIP_WHY_TOO_LONG;
		return -E2BIG;
	}
	if (length > s.n - head) {
		*why = SIP_WHY_CONTENT_LENGTH;
		return stream ? -EAGAIN : -EBADMSG;
	}
	m->body = span_cut(s, head, (size_t)length);
	m->whole = span_cut(s, 0, head + (size_t)length);
	return (ssize_t)m->whole.n;
}

ssize_t sip_msg_parse(struct span in, bool stream, size_t max, struct sip_msg *out,
		      enum sip_why *why)
{
	ssize_t lead = stream ? lead_skip(in) : 0, n;
	enum sip_why reason = SIP_WHY_BARE_LF;
	const uint8_t *end;
	struct span s;

	n = -EBADMSG;
	if (lead < 0)
		goto refuse;
	s = span_cut(in, (size_t)lead, in.n);
	msg_clear(out);
	end = s.n ? memmem(s.p, s.n, "\r\n\r\n", 4) : NULL;
	if (end) {
		n = whole_parse(s, (size_t)(end + 4 - s.p), stream, max, out, &reason);
		if (n > 0)
			return lead + n;
		goto refuse;
	}
	reason = head_partial(s, out);
	if (reason)
		goto refuse;
	reason = SIP_WHY_TOO_LONG;
	if (s.n >= max || (size_t)lead > max) {
		n = -E2BIG;
		goto refuse;
	}
	if (stream)
		return -EAGAIN;
	reason = s.n ? SIP_WHY_MISSING : SIP_WHY_START_LINE;
refuse:
	if (n != -EAGAIN)
		*why = reason;
	return n;
}

const struct sip_header *sip_header_find(const struct sip_msg *m, enum sip_hdr id, unsigned from,
					 unsigned *at)
{
	unsigned i;

	for (i = from; i < m->n_headers; i++) {
		if (m->headers[i].id != id)
			continue;
		if (at)
			*at = i;
		return &m->headers[i];
	}
	return NULL;
}

const struct sip_header *sip_header_named(const struct sip_msg *m, struct span name, unsigned from,
					  unsigned *at)
{
	unsigned i;

	for (i = from; i < m->n_headers; i++) {
		if (!span_ieq(m->headers[i].name, name))
			continue;
		if (at)
			*at = i;
		return &m->headers[i];
	}
	return NULL;
}

bool sip_option_has(const struct sip_msg *m, enum sip_hdr id, struct span tag)
{
	const struct sip_header *h;
	struct span rest, token;
	unsigned at = 0;

	for (h = sip_header_find(m, id, 0, &at); h; h = sip_header_find(m, id, at + 1, &at)) {
		rest = h->value;
		while (sip_token_next(&rest, &token) == 1)
			if (span_ieq(token, tag))
				return true;
	}
	return false;
}
