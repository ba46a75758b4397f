/* http/msg.c -- the head of one message: lines, start line, fields, and what they say about the body. See msg.h.
 *
 * In: bytes of a stream. Out: struct http_head, whose spans point into them. Every byte is judged where it stands: first
 * its line's bytes in their order, then the line, then the next; at the blank line what the fields say together. So any
 * prefix gives "more" or the same refusal as the whole. Owns nothing. */
#include "http/scan.h"

#include <errno.h>
#include <stddef.h>

#define RETRY_STEP 2048 /* bytes without a line's end after which a head is looked at again */

_Static_assert(HTTP_HDRS <= 64, "a bit each in one word");

const struct http_limits http_limits_default = {
	.head_max = 32768,
	.start_max = 8192,
	.field_max = 16384,
	.fields_max = HTTP_FIELDS_MAX,
	.chunk_ext_max = 4096,
	.trailer_max = 8192,
	.trailer_fields = 32,
};

struct reading { /* of one head */
	struct span in;
	const struct http_limits *limits;
	struct http_head *h;
	size_t at;     /* behind the last whole line */
	unsigned line; /* number of the line being read */
	uint64_t seen; /* a bit for each field id */
	struct span came;
};

enum line { LINE_MORE, LINE_WHOLE, LINE_BAD };

static enum http_why byte_why(uint8_t c)
{
	if (c == '\n')
		return HTTP_WHY_BARE_LF;
	return c ? HTTP_WHY_CONTROL : HTTP_WHY_NUL;
}

/* The next line, without its CRLF. Its bytes are judged one after the other, so that a cut anywhere changes nothing. */
static enum line line_next(struct reading *r, struct span *line, enum http_why *why)
{
	const struct http_limits *l = r->limits;
	size_t max = r->line == 1 ? l->start_max : l->field_max, i;

	for (i = r->at; i < r->in.n && i < l->head_max; i++) {
		uint8_t c = r->in.p[i];

		if (c == '\r') {
			if (i + 1 >= r->in.n || i + 1 >= l->head_max)
				break;
			*line = span_cut(r->in, r->at, i - r->at);
			r->came = span_cut(r->in, r->at, i + 2 - r->at);
			*why = HTTP_WHY_BARE_CR;
			if (r->in.p[i + 1] != '\n')
				return LINE_BAD;
			r->at = i + 2;
			return LINE_WHOLE;
		}
		r->came = span_cut(r->in, r->at, i + 1 - r->at);
		*why = byte_why(c);
		if (!http_is(c, HTTP_C_TEXT))
			return LINE_BAD;
		*why = r->line == 1 ? HTTP_WHY_START_LONG : HTTP_WHY_FIELD_LONG;
		if (i - r->at >= max)
			return LINE_BAD;
	}
	if (r->in.n < l->head_max)
		return LINE_MORE;
	r->came = span_cut(r->in, 0, 0);
	*why = r->line == 1 ? HTTP_WHY_START_LONG : HTTP_WHY_HEAD_LONG;
	return LINE_BAD;
}

/* ---- start line ---- */

static enum http_why version_parse(struct span s, struct http_head *h)
{
	if (s.n != 8 || memcmp(s.p, "HTTP/", 5) != 0 || !http_is(s.p[5], HTTP_C_DIGIT) ||
	    s.p[6] != '.' || !http_is(s.p[7], HTTP_C_DIGIT))
		return HTTP_WHY_VERSION_FORM;
	if (s.p[5] != '1' || s.p[7] > '1')
		return HTTP_WHY_VERSION;
	h->minor = s.p[7] - '0';
	return HTTP_OK;
}

/* "head" is another method than HEAD for us, and might be the same for who is behind us: then the bodies differ. */
static bool method_misspelt(struct span s)
{
	unsigned i;

	for (i = HTTP_M_OTHER + 1; i < HTTP_METHODS; i++)
		if (span_ieq(s, span_str(http_method_name((enum http_method)i))))
			return true;
	return false;
}

static enum http_why method_parse(struct span s, struct http_head *h)
{
	size_t n = http_run(s, HTTP_C_TOKEN);

	if (n == 0 || (n < s.n && s.p[n] != ' '))
		return HTTP_WHY_METHOD;
	if (n == s.n)
		return HTTP_WHY_START_LINE;
	if (n > HTTP_METHOD_MAX)
		return HTTP_WHY_METHOD_LONG;
	h->method_text = span_cut(s, 0, n);
	h->method = http_method_from_text(h->method_text);
	if (h->method == HTTP_M_OTHER && method_misspelt(h->method_text))
		return HTTP_WHY_METHOD_CASE;
	return HTTP_OK;
}

static enum http_why request_line(struct span s, struct http_head *h)
{
	struct span target, version;
	enum http_why why;

	if (span_eq(s, SPAN("PRI * HTTP/2.0")))
		return HTTP_WHY_PREFACE;
	why = method_parse(s, h);
	if (why)
		return why;
	http_skip(&s, h->method_text.n + 1);
	target = http_until(s, ' ');
	if (target.n == 0)
		return HTTP_WHY_START_LINE;
	if (target.n == s.n)
		return HTTP_WHY_HTTP09;
	version = span_cut(s, target.n + 1, s.n);
	if (version.n == 0 || memchr(version.p, ' ', version.n))
		return HTTP_WHY_START_LINE;
	why = version_parse(version, h);
	return why ? why : http_target_parse(target, h->method, &h->target);
}

static enum http_why status_line(struct span s, struct http_head *h)
{
	struct span version = http_until(s, ' ');
	enum http_why why = version_parse(version, h);
	unsigned i;

	if (why)
		return why;
	http_skip(&s, version.n + 1);
	if (s.n < 4 || s.p[3] != ' ')
		return HTTP_WHY_STATUS;
	for (i = 0; i < 3; i++) {
		if (!http_is(s.p[i], HTTP_C_DIGIT))
			return HTTP_WHY_STATUS;
		h->status = h->status * 10 + (unsigned)(s.p[i] - '0');
	}
	if (h->status < 100 || h->status > 599)
		return HTTP_WHY_STATUS;
	h->reason = span_cut(s, 4, s.n);
	return HTTP_OK;
}

/* ---- fields ---- */

static enum http_why length_read(struct span s, struct http_head *h)
{
	uint64_t v = 0;
	size_t i;

	if (s.n && memchr(s.p, ',', s.n))
		return HTTP_WHY_LENGTHS;
	if (s.n == 0 || s.n > 19 || (s.p[0] == '0' && s.n > 1))
		return HTTP_WHY_LENGTH;
	for (i = 0; i < s.n; i++) {
		if (!http_is(s.p[i], HTTP_C_DIGIT))
			return HTTP_WHY_LENGTH;
		v = v * 10 + (unsigned)(s.p[i] - '0');
	}
	if (v > INT64_MAX)
		return HTTP_WHY_LENGTH;
	h->has_length = true;
	h->length = v;
	return HTTP_OK;
}

/* Just "chunked". Known form, but a coding of the content as well, chunked last: 501; anything else leaves the body's end
 * in doubt: 400 (RFC 9112 6.1, 6.3). */
static enum http_why coding_read(struct span s, struct http_head *h)
{
	bool other = false, last_chunked = false;
	unsigned chunked = 0;
	struct span one;
	int r;

	if (span_eq(s, SPAN("chunked"))) {
		h->chunked = true;
		return HTTP_OK;
	}
	while ((r = http_token_next(&s, &one)) == 1) {
		last_chunked = span_eq(one, SPAN("chunked"));
		chunked += last_chunked;
		other |= !last_chunked;
	}
	return r == 0 && other && last_chunked && chunked == 1 ? HTTP_WHY_CODING
							       : HTTP_WHY_CODING_FORM;
}

static enum http_why connection_read(struct span s, struct http_head *h)
{
	struct span one;
	int r;

	if (s.n == 0)
		return HTTP_WHY_CONNECTION;
	while ((r = http_token_next(&s, &one)) == 1) {
		h->says_close |= span_ieq(one, SPAN("close"));
		h->says_keep_alive |= span_ieq(one, SPAN("keep-alive"));
		h->says_upgrade |= span_ieq(one, SPAN("upgrade"));
		if (http_hdr_not_named(http_hdr_from_name(one)) || http_hdr_alias(one))
			return HTTP_WHY_CONNECTION_NAMES;
	}
	return r == 0 ? HTTP_OK : HTTP_WHY_CONNECTION;
}

static enum http_why value_read(struct http_head *h, const struct http_field *f)
{
	switch (f->id) {
	case HTTP_H_HOST:
		return h->request && http_authority_parse(f->value, &h->host) ? HTTP_WHY_HOST
									      : HTTP_OK;
	case HTTP_H_CONTENT_LENGTH:
		return length_read(f->value, h);
	case HTTP_H_TRANSFER_ENCODING:
		return coding_read(f->value, h);
	case HTTP_H_CONNECTION:
		return connection_read(f->value, h);
	default:
		return HTTP_OK;
	}
}

static enum http_why name_read(struct span line, bool first, struct span *name)
{
	size_t n = http_run(line, HTTP_C_TOKEN);

	if (http_is_space(line.p[0]))
		return first ? HTTP_WHY_SPACE_FIRST : HTTP_WHY_FOLD;
	if (line.p[0] == ':')
		return HTTP_WHY_NAME_EMPTY;
	if (!memchr(line.p, ':', line.n))
		return HTTP_WHY_NO_COLON;
	if (line.p[n] == ':') {
		*name = span_cut(line, 0, n);
		return http_hdr_alias(*name) ? HTTP_WHY_NAME_ALIAS : HTTP_OK;
	}
	if (n && http_is_space(line.p[n]) && http_trim(span_cut(line, n, line.n)).p[0] == ':')
		return HTTP_WHY_SPACE_COLON;
	return HTTP_WHY_NAME;
}

static enum http_why field_read(struct reading *r, struct span line)
{
	struct http_head *h = r->h;
	struct http_field *f;
	enum http_why why;

	if (h->n_fields >= r->limits->fields_max || h->n_fields >= HTTP_FIELDS_MAX)
		return HTTP_WHY_FIELDS;
	f = &h->fields[h->n_fields];
	why = name_read(line, h->n_fields == 0, &f->name);
	if (why)
		return why;
	f->id = http_hdr_from_name(f->name);
	f->value = http_trim(span_cut(line, f->name.n + 1, line.n));
	f->line = span_of(line.p, line.n + 2);
	if (http_hdr_single(f->id) && r->seen & 1ULL << f->id)
		return f->id == HTTP_H_CONTENT_LENGTH ? HTTP_WHY_LENGTHS : HTTP_WHY_DUPLICATE;
	r->seen |= 1ULL << f->id;
	h->n_fields++;
	return value_read(h, f);
}

/* ---- what the fields say together ---- */

/* RFC 9112 3.2: Host and target must name the same server, or two hops would choose differently. With CONNECT the Host may
 * leave the port away, which the target has. */
static enum http_why host_check(struct http_head *h)
{
	const struct http_target *t = &h->target;
	uint16_t port = 0;

	if (!h->host.whole.n)
		return h->minor ? HTTP_WHY_HOST_MISSING : HTTP_OK;
	if (t->form == HTTP_ABSOLUTE)
		port = t->https ? 443 : 80;
	else if (t->form == HTTP_AUTHORITY)
		port = t->auth.port;
	else
		return HTTP_OK;
	return http_authority_same(&t->auth, &h->host, port) ? HTTP_OK : HTTP_WHY_HOST_DIFFERS;
}

/* RFC 9110 9.3.6, 9.3.8, 15.2, 15.3.5; RFC 9112 6.1. "Content-Length: 0" is the same to every reader, and servers do send
 * it with 204. */
static bool content_barred(const struct http_head *h)
{
	if (h->request)
		return h->method == HTTP_M_CONNECT || h->method == HTTP_M_TRACE;
	return h->status < 200 || h->status == 204;
}

static enum http_why head_check(struct reading *r)
{
	struct http_head *h = r->h;
	bool coded = r->seen & 1ULL << HTTP_H_TRANSFER_ENCODING;

	r->came = span_cut(r->in, 0, 0);
	if (coded && h->has_length)
		return HTTP_WHY_LENGTH_AND_CODING;
	if (coded && h->minor == 0)
		return HTTP_WHY_CODING_10;
	if (content_barred(h) && (coded || h->length))
		return HTTP_WHY_CONTENT;
	if (!h->request)
		return HTTP_OK;
	r->came = h->host.whole;
	return host_check(h);
}

static void head_clear(struct http_head *h, bool request)
{
	/* Not the field slots: n_fields guards them. */
	memset(h, 0, offsetof(struct http_head, fields));
	memset(&h->whole, 0, sizeof(*h) - offsetof(struct http_head, whole));
	h->request = request;
}

/* The start line, behind at most one empty line. */
static enum line start_read(struct reading *r, enum http_why *why)
{
	struct span line;
	enum line l = line_next(r, &line, why);

	if (l == LINE_WHOLE && line.n == 0 && r->h->request)
		l = line_next(r, &line, why);
	if (l != LINE_WHOLE)
		return l;
	r->h->start_line = line;
	if (line.n == 0)
		*why = HTTP_WHY_EMPTY_LINE;
	else
		*why = r->h->request ? request_line(line, r->h) : status_line(line, r->h);
	return *why ? LINE_BAD : LINE_WHOLE;
}

static enum line head_read(struct reading *r, enum http_why *why)
{
	enum line l = start_read(r, why);
	struct span line;

	while (l == LINE_WHOLE) {
		r->line++;
		l = line_next(r, &line, why);
		if (l != LINE_WHOLE)
			return l;
		*why = line.n ? field_read(r, line) : head_check(r);
		if (*why)
			return LINE_BAD;
		if (line.n == 0)
			return LINE_WHOLE;
	}
	return l;
}

static bool over_limit(enum http_why why)
{
	return why == HTTP_WHY_START_LONG || why == HTTP_WHY_METHOD_LONG ||
	       why == HTTP_WHY_FIELDS || why == HTTP_WHY_FIELD_LONG || why == HTTP_WHY_HEAD_LONG;
}

static ssize_t head_parse(struct span in, bool request, const struct http_limits *limits,
			  struct http_head *out, struct http_refusal *why)
{
	struct reading r = {.in = in, .limits = limits, .h = out, .line = 1};
	enum http_why reason = HTTP_OK;

	head_clear(out, request);
	switch (head_read(&r, &reason)) {
	case LINE_MORE:
		return -EAGAIN;
	case LINE_WHOLE:
		out->whole = span_of(out->start_line.p, (size_t)(in.p + r.at - out->start_line.p));
		return (ssize_t)r.at;
	default:
		*why = (struct http_refusal){reason, request ? http_why_status(reason) : 502,
					     r.line, r.came};
		return over_limit(reason) ? -E2BIG : -EBADMSG;
	}
}

ssize_t http_request_parse(struct span in, const struct http_limits *limits, struct http_head *out,
			   struct http_refusal *why)
{
	return head_parse(in, true, limits, out, why);
}

ssize_t http_response_parse(struct span in, const struct http_limits *limits, struct http_head *out,
			    struct http_refusal *why)
{
	return head_parse(in, false, limits, out, why);
}

bool http_head_retry(struct span in, size_t tried, const struct http_limits *limits)
{
	if (tried == 0 || in.n < tried || in.n >= limits->head_max)
		return true;
	return in.n - tried >= RETRY_STEP || memchr(in.p + tried, '\n', in.n - tried);
}
