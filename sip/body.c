/* sip/body.c -- see body.h. In: a message's body. Out: spans of it, or a new body in the caller's buffer. Owns nothing. */
#include "sip/body.h"

#include <errno.h>
#include <stdio.h>

static bool body_type_is(struct span v, struct span type)
{
	return v.n >= type.n && span_ieq(span_cut(v, 0, type.n), type) &&
	       (v.n == type.n || v.p[type.n] == ';' || v.p[type.n] == ' ' || v.p[type.n] == '\t');
}

static ssize_t body_seek(struct span s, struct span what, size_t from)
{
	const uint8_t *p = from <= s.n ? memmem(s.p + from, s.n - from, what.p, what.n) : NULL;

	return p ? p - s.p : -1;
}

/* One part's header lines: is it a session description as it stands? 1 yes, 0 no, -EBADMSG one in an encoding. */
static int body_part_is_sdp(struct span head)
{
	bool is = false, encoded = false;

	while (head.n) {
		ssize_t end = body_seek(head, SPAN("\r\n"), 0);
		struct span line = span_cut(head, 0, end < 0 ? head.n : (size_t)end);
		const uint8_t *colon = memchr(line.p, ':', line.n);
		struct span name, value;

		head = span_cut(head, line.n + 2, head.n);
		if (!colon)
			continue;
		name = span_of(line.p, (size_t)(colon - line.p));
		value = span_cut(line, name.n + 1, line.n);
		while (value.n && (value.p[0] == ' ' || value.p[0] == '\t'))
			value = span_cut(value, 1, value.n);
		if (span_ieq(name, SPAN("Content-Type")))
			is = body_type_is(value, SPAN("application/sdp"));
		if (span_ieq(name, SPAN("Content-Transfer-Encoding")) &&
		    !span_ieq(value, SPAN("binary")) && !span_ieq(value, SPAN("8bit")) &&
		    !span_ieq(value, SPAN("7bit")))
			encoded = true;
		if (span_ieq(name, SPAN("Content-Length")) ||
		    span_ieq(name, SPAN("Content-Encoding")))
			encoded = true; /* would be wrong once the part is rewritten */
	}
	return is && encoded ? -EBADMSG : is;
}

/* The one description in a multipart body (RFC 2046 5.1, RFC 5621). */
static int body_multipart(const struct sip_msg *m, struct span type, struct span *out)
{
	struct sip_param p;
	struct span b = m->body;
	const uint8_t *params = memchr(type.p, ';', type.n);
	char mark[80];
	ssize_t at, end, head;
	int n = 0;

	if (!params || !sip_param_find(span_of(params, type.n - (size_t)(params - type.p)),
				       SPAN("boundary"), &p))
		return -EBADMSG;
	if (p.value.n >= 2 && p.value.p[0] == '"')
		p.value = span_cut(p.value, 1, p.value.n - 2);
	if (p.value.n == 0 || p.value.n > 70)
		return -EBADMSG;
	(void)snprintf(mark, sizeof(mark), "\r\n--%.*s", (int)p.value.n, (const char *)p.value.p);
	at = body_seek(b, span_cut(span_str(mark), 2, 80), 0);
	while (at >= 0 && (at = body_seek(b, SPAN("\r\n"), (size_t)at + 2)) >= 0) {
		end = body_seek(b, span_str(mark), (size_t)at);
		head = body_seek(b, SPAN("\r\n\r\n"), (size_t)at);
		if (end < 0 || head < 0 || head + 4 > end)
			break;
		switch (body_part_is_sdp(
			span_of(b.p + at + 2, (size_t)(head - at > 2 ? head - at - 2 : 0)))) {
		case 1:
			*out = span_of(b.p + head + 4, (size_t)(end - head - 4));
			n++;
			break;
		case 0:
			break;
		default:
			return -EBADMSG;
		}
		at = end + 2;
	}
	return n > 1 ? -EBADMSG : n;
}

int body_sdp(const struct sip_msg *m, struct span *out)
{
	const struct sip_header *type = sip_header_find(m, SIP_H_CONTENT_TYPE, 0, NULL);
	const struct sip_header *enc = sip_header_find(m, SIP_H_CONTENT_ENCODING, 0, NULL);

	if (m->body.n == 0)
		return 0;
	if (!type || (enc && !span_ieq(enc->value, SPAN("identity"))))
		return -EBADMSG; /* what it holds cannot be known, and it may be a description */
	if (body_type_is(type->value, SPAN("application/sdp"))) {
		*out = m->body;
		return 1;
	}
	if (type->value.n > 10 && span_ieq(span_cut(type->value, 0, 10), SPAN("multipart/")))
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
