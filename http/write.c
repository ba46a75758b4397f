/* http/write.c -- the writer of heads and chunk framing. See write.h.
 *
 * In: slices. Out: bytes in the caller's buffer. Once something did not fit or was refused, nothing more is written, and
 * the end tells it. */
#include "http/write.h"

#include <errno.h>
#include <stdio.h>

#include "http/scan.h"

void http_out_init(struct http_out *o, void *buf, size_t cap)
{
	*o = (struct http_out){.p = buf, .cap = cap};
}

static void fault(struct http_out *o, int err)
{
	if (!o->fault)
		o->fault = err;
}

static void put(struct http_out *o, struct span s)
{
	if (o->fault || s.n > o->cap - o->n) {
		fault(o, -E2BIG);
		return;
	}
	if (s.n)
		memcpy(o->p + o->n, s.p, s.n);
	o->n += s.n;
}

static bool in_state(struct http_out *o, enum http_out_state state)
{
	if (o->state != state)
		fault(o, -EPROTO);
	return !o->fault;
}

void http_out_request(struct http_out *o, struct span method, struct span target)
{
	struct http_target t;

	if (!in_state(o, HTTP_OUT_START))
		return;
	o->request = true;
	o->state = HTTP_OUT_FIELDS;
	if (!http_is_token(method) || http_target_parse(target, http_method_from_text(method), &t))
		fault(o, -EINVAL);
	put(o, method);
	put(o, SPAN(" "));
	put(o, target);
	put(o, SPAN(" HTTP/1.1\r\n"));
}

const char *http_reason(unsigned status)
{
	static const struct {
		unsigned status;
		const char *text;
	} reasons[] = {
		{200, "OK"},
		{400, "Bad Request"},
		{401, "Unauthorized"},
		{403, "Forbidden"},
		{404, "Not Found"},
		{405, "Method Not Allowed"},
		{408, "Request Timeout"},
		{413, "Content Too Large"},
		{414, "URI Too Long"},
		{417, "Expectation Failed"},
		{421, "Misdirected Request"},
		{426, "Upgrade Required"},
		{429, "Too Many Requests"},
		{431, "Request Header Fields Too Large"},
		{501, "Not Implemented"},
		{502, "Bad Gateway"},
		{503, "Service Unavailable"},
		{504, "Gateway Timeout"},
		{505, "HTTP Version Not Supported"},
	};
	size_t i;

	for (i = 0; i < sizeof(reasons) / sizeof(reasons[0]); i++)
		if (reasons[i].status == status)
			return reasons[i].text;
	return "";
}

void http_out_response(struct http_out *o, unsigned status, struct span reason)
{
	char text[32];

	if (!in_state(o, HTTP_OUT_START))
		return;
	o->state = HTTP_OUT_FIELDS;
	if (status < 100 || status > 599 || http_run(reason, HTTP_C_TEXT) != reason.n)
		fault(o, -EINVAL);
	(void)snprintf(text, sizeof(text), "HTTP/1.1 %u ", status);
	put(o, span_str(text));
	put(o, reason);
	put(o, SPAN("\r\n"));
}

static void field(struct http_out *o, struct span name, struct span value)
{
	put(o, name);
	put(o, SPAN(": "));
	put(o, value);
	put(o, SPAN("\r\n"));
}

void http_out_field(struct http_out *o, struct span name, struct span value)
{
	enum http_hdr id = http_hdr_from_name(name);

	if (!in_state(o, HTTP_OUT_FIELDS))
		return;
	if (!http_is_token(name) || http_run(value, HTTP_C_TEXT) != value.n ||
	    http_trim(value).n != value.n || id == HTTP_H_CONTENT_LENGTH ||
	    id == HTTP_H_TRANSFER_ENCODING)
		fault(o, -EINVAL);
	field(o, name, value);
}

void http_out_fields(struct http_out *o, const struct http_head *h, enum http_hdr except)
{
	unsigned i;

	for (i = 0; i < h->n_fields; i++) {
		const struct http_field *f = &h->fields[i];

		if (f->id == HTTP_H_CONTENT_LENGTH || f->id == HTTP_H_HOST ||
		    (f->id && f->id == except) || http_hop_by_hop(h, f))
			continue;
		http_out_field(o, f->name, f->value);
	}
}

static bool frame_once(struct http_out *o)
{
	if (o->framed)
		fault(o, -EPROTO);
	o->framed = true;
	return in_state(o, HTTP_OUT_FIELDS);
}

void http_out_length(struct http_out *o, uint64_t n)
{
	char text[32];

	if (!frame_once(o))
		return;
	if (n > INT64_MAX)
		fault(o, -EINVAL);
	(void)snprintf(text, sizeof(text), "%llu", (unsigned long long)n);
	field(o, SPAN("Content-Length"), span_str(text));
}

void http_out_chunked(struct http_out *o)
{
	if (frame_once(o))
		field(o, SPAN("Transfer-Encoding"), SPAN("chunked"));
}

ssize_t http_out_end(struct http_out *o, struct http_refusal *why)
{
	/* How long it may be, the buffer says. */
	const struct http_limits all = {.head_max = SIZE_MAX,
					.start_max = SIZE_MAX,
					.field_max = SIZE_MAX,
					.fields_max = HTTP_FIELDS_MAX};
	struct span written;
	struct http_head h;
	ssize_t n;

	*why = (struct http_refusal){};
	(void)in_state(o, HTTP_OUT_FIELDS);
	put(o, SPAN("\r\n"));
	if (o->fault)
		return o->fault;
	o->state = HTTP_OUT_BODY;
	written = span_of(o->p, o->n);
	n = o->request ? http_request_parse(written, &all, &h, why)
		       : http_response_parse(written, &all, &h, why);
	if (n != (ssize_t)o->n) {
		fault(o, -EINVAL);
		return o->fault;
	}
	return n;
}

static ssize_t out_text(void *buf, size_t cap, const char *text)
{
	size_t n = strlen(text);

	if (n > cap)
		return -E2BIG;
	memcpy(buf, text, n);
	return (ssize_t)n;
}

ssize_t http_chunk_begin(void *buf, size_t cap, uint64_t n)
{
	char text[HTTP_CHUNK_MAX + 1];

	if (n == 0 || n > INT64_MAX)
		return -EINVAL;
	(void)snprintf(text, sizeof(text), "%llx\r\n", (unsigned long long)n);
	return out_text(buf, cap, text);
}

ssize_t http_chunk_end(void *buf, size_t cap)
{
	return out_text(buf, cap, "\r\n");
}

ssize_t http_chunk_last(void *buf, size_t cap)
{
	return out_text(buf, cap, "0\r\n\r\n");
}
