/* sip/body.c -- see body.h. In: a message's body. Out: spans of it, or a new body in the caller's buffer. Owns
 * nothing. */
#include "sip/body.h"

#include <errno.h>
#include <stdio.h>

#include "sip/scan.h"

/* "type/subtype" at the front of @v, white space round the slash allowed (RFC 3261 25.1 SLASH); an empty @sub
 * matches any. */
static bool body_type_is(struct span v, struct span type, struct span sub)
{
	struct span s = scan_trim(v), t, u;

	if (!scan_token(&s, &t))
		return false;
	scan_lws(&s);
	if (!scan_byte(&s, '/'))
		return false;
	scan_lws(&s);
	return scan_token(&s, &u) && span_ieq(t, type) && (sub.n == 0 || span_ieq(u, sub));
}

static ssize_t body_seek(struct span s, struct span what, size_t from)
{
	const uint8_t *p = from <= s.n ? memmem(s.p + from, s.n - from, what.p, what.n) : NULL;

	return p ? p - s.p : -1;
}

struct body_part { /* what its header lines say */
	bool sdp, nested, encoded;
};

static void body_part_field(struct span name, struct span value, struct body_part *p)
{
	value = scan_trim(value);
	if (span_ieq(name, SPAN("Content-Type"))) {
		p->sdp |= body_type_is(value, SPAN("application"), SPAN("sdp"));
		p->nested |= body_type_is(value, SPAN("multipart"), SPAN("")) ||
			     body_type_is(value, SPAN("message"), SPAN("sip"));
	} else if (span_ieq(name, SPAN("Content-Transfer-Encoding"))) {
		p->encoded |= !span_ieq(value, SPAN("binary")) && !span_ieq(value, SPAN("8bit")) &&
			      !span_ieq(value, SPAN("7bit"));
	} else if (span_ieq(name, SPAN("Content-Length")) ||
		   span_ieq(name, SPAN("Content-Encoding"))) {
		p->encoded = true; /* would be wrong once the part is rewritten */
	}
}

/* One part's header lines: is it a session description as it stands? 1 yes, 0 no, -EBADMSG what another reader could
 * take for one: in an encoding, in parts of its own, behind a line that is no field (a folded one too). */
static int body_part_is_sdp(struct span head)
{
	struct body_part part = {};

	while (head.n) {
		ssize_t end = body_seek(head, SPAN("\r\n"), 0);
		struct span line = span_cut(head, 0, end < 0 ? head.n : (size_t)end), name;

		head = span_cut(head, line.n + 2, head.n);
		if (!scan_token(&line, &name))
			return -EBADMSG;
		scan_lws(&line);
		if (!scan_byte(&line, ':'))
			return -EBADMSG;
		body_part_field(name, line, &part);
	}
	if (part.nested || (part.sdp && part.encoded))
		return -EBADMSG;
	return part.sdp;
}

static int body_boundary(struct span type, char *mark, size_t n)
{
	const uint8_t *params = memchr(type.p, ';', type.n);
	struct sip_param p;

	if (!params || !sip_param_find(span_of(params, type.n - (size_t)(params - type.p)),
				       SPAN("boundary"), &p))
		return -EBADMSG;
	if (p.value.n >= 2 && p.value.p[0] == '"')
		p.value = span_cut(p.value, 1, p.value.n - 2);
	if (p.value.n == 0 || p.value.n > 70 || memchr(p.value.p, '\\', p.value.n))
		return -EBADMSG;
	(void)snprintf(mark, n, "\r\n--%.*s", (int)p.value.n, (const char *)p.value.p);
	return 0;
}

/* Behind a boundary: 1 a part follows at *at, 0 it was the last one, -EBADMSG neither: "--mark" as the beginning of a
 * longer line is a boundary to some readers and text to others. */
static int body_mark_ends(struct span b, size_t *at)
{
	struct span s = span_cut(b, *at, b.n);
	bool last = s.n >= 2 && s.p[0] == '-' && s.p[1] == '-';

	if (last)
		scan_skip(&s, 2);
	while (s.n && (s.p[0] == ' ' || s.p[0] == '\t'))
		scan_skip(&s, 1);
	if (last)
		return s.n == 0 || (s.n >= 2 && s.p[0] == '\r' && s.p[1] == '\n') ? 0 : -EBADMSG;
	*at = b.n - s.n;
	return s.n >= 2 && s.p[0] == '\r' && s.p[1] == '\n' ? 1 : -EBADMSG;
}

/* The part between @at (the CRLF behind its boundary) and @end: 1 a description, in *out; 0 something else;
 * -EBADMSG. */
static int body_part(struct span b, size_t at, size_t end, struct span *out)
{
	ssize_t head = body_seek(b, SPAN("\r\n\r\n"), at);
	int is;

	if (head < 0 || (size_t)head + 4 > end)
		return -EBADMSG;
	is = body_part_is_sdp(span_cut(b, at + 2, (size_t)head > at ? (size_t)head - at - 2 : 0));
	if (is == 1)
		*out = span_cut(b, (size_t)head + 4, end - (size_t)head - 4);
	return is;
}

/* The next boundary at or behind @at; -1: none. One that begins a line only for who takes a bare LF for its end is
 * none of ours, but is one to some readers: -EBADMSG. */
static ssize_t body_mark_next(struct span b, const char *mark, size_t at)
{
	ssize_t lf = body_seek(b, span_str(mark + 1), at);

	if (lf < 0)
		return -1;
	return lf > 0 && b.p[lf - 1] == '\r' ? lf - 1 : -EBADMSG;
}

/* The one description in a multipart body (RFC 2046 5.1, RFC 5621). */
static int body_multipart(const struct sip_msg *m, struct span type, struct span *out)
{
	struct span b = m->body;
	char mark[80];
	ssize_t next = -2;
	size_t at;
	int r, n = 0;

	if (body_boundary(type, mark, sizeof(mark)))
		return -EBADMSG;
	if (b.n < strlen(mark) || memcmp(b.p, mark + 2, strlen(mark) - 2) != 0)
		next = body_mark_next(b, mark, 0);
	if (next < 0 && next != -2)
		return -EBADMSG;
	at = (size_t)(next + (ssize_t)strlen(mark));
	while ((r = body_mark_ends(b, &at)) == 1) {
		next = body_mark_next(b, mark, at);
		if (next < 0)
			return -EBADMSG;
		r = body_part(b, at, (size_t)next, out);
		if (r < 0)
			return r;
		n += r;
		at = (size_t)next + strlen(mark);
	}
	return r < 0 || n > 1 || body_mark_next(b, mark, at) != -1 ? -EBADMSG : n;
}

int body_sdp(const struct sip_msg *m, struct span *out)
{
	const struct sip_header *type = sip_header_find(m, SIP_H_CONTENT_TYPE, 0, NULL);
	const struct sip_header *enc = sip_header_find(m, SIP_H_CONTENT_ENCODING, 0, NULL);

	if (m->body.n == 0)
		return 0;
	if (!type || (enc && !span_ieq(enc->value, SPAN("identity"))))
		return -EBADMSG; /* what it holds cannot be known, and it may be a description */
	if (body_type_is(type->value, SPAN("application"), SPAN("sdp"))) {
		*out = m->body;
		return 1;
	}
	if (body_type_is(type->value, SPAN("multipart"), SPAN("")))
		return body_multipart(m, type->value, out);
	return 0;
}

struct span body_replace(const struct sip_msg *m, struct span old, struct span sdp, void *buf,
			 size_t cap)
{
	uint8_t *b = buf;
	size_t before = (size_t)(old.p - m->body.p), after = m->body.n - before - old.n;

	if (before == 0 && after == 0)
		return sdp;
	if (before + sdp.n + after > cap)
		return SPAN("");
	memcpy(b, m->body.p, before);
	memcpy(b + before, sdp.p, sdp.n);
	memcpy(b + before + sdp.n, old.p + old.n, after);
	return span_of(b, before + sdp.n + after);
}
