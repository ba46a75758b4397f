/* http/body.c -- a body's framing, byte by byte where it is chunked. See body.h.
 *
 * In: heads and spans. Out: lengths. The states follow the grammar of RFC 9112 7.1, without its "bad white space": a size,
 * extensions and their values stand without space around them. */
#include "http/body.h"

#include <errno.h>

#include "http/scan.h"

enum state {
	CHUNK_SIZE,
	CHUNK_EXT_NAME_FIRST, /* behind ';' */
	CHUNK_EXT_NAME,
	CHUNK_EXT_VALUE_FIRST, /* behind '=' */
	CHUNK_EXT_VALUE,
	CHUNK_EXT_QUOTED,
	CHUNK_EXT_ESCAPED, /* behind '\' in quotes */
	CHUNK_EXT_END,	   /* behind the closing quote */
	CHUNK_SIZE_LF,
	CHUNK_DATA,
	CHUNK_DATA_CR,
	CHUNK_DATA_LF,
	TRAILER_FIRST, /* at the start of a trailer line */
	TRAILER_NAME,
	TRAILER_VALUE,
	TRAILER_LF,
	TRAILER_END_LF,
};

const char *http_framing_text(enum http_framing f)
{
	static const char *const texts[] = {
		[HTTP_BODY_NONE] = "none",	 [HTTP_BODY_LENGTH] = "length",
		[HTTP_BODY_CHUNKED] = "chunked", [HTTP_BODY_CLOSE] = "until-close",
		[HTTP_BODY_TUNNEL] = "tunnel",
	};

	return (unsigned)f < sizeof(texts) / sizeof(texts[0]) ? texts[f] : "unknown";
}

static void body_begin(struct http_body *b, const struct http_head *h,
		       const struct http_limits *limits, enum http_framing framing)
{
	*b = (struct http_body){.framing = framing, .request = h->request, .limits = *limits};
	if (framing == HTTP_BODY_LENGTH)
		b->left = h->length;
	b->done = framing == HTTP_BODY_NONE || (framing == HTTP_BODY_LENGTH && h->length == 0);
}

void http_body_request(const struct http_head *h, const struct http_limits *limits,
		       struct http_body *out)
{
	enum http_framing f = HTTP_BODY_NONE;

	if (h->chunked)
		f = HTTP_BODY_CHUNKED;
	else if (h->has_length)
		f = HTTP_BODY_LENGTH;
	body_begin(out, h, limits, f);
}

static int refuse(struct http_refusal *why, enum http_why reason, bool request, struct span came)
{
	*why = (struct http_refusal){reason, request ? http_why_status(reason) : 502, 0, came};
	return reason == HTTP_WHY_CHUNK_EXT_LONG || reason == HTTP_WHY_TRAILER_LONG ||
			       reason == HTTP_WHY_CHUNK_LARGE
		       ? -E2BIG
		       : -EBADMSG;
}

/* RFC 9110 7.8, 15.2.2: the server names what it switches to, and only to a client that asked. */
static bool switch_ok(const struct http_head *h, const struct http_asked *asked)
{
	return asked->upgrade && h->minor == 1 && h->says_upgrade &&
	       http_field_find(h, HTTP_H_UPGRADE, 0, NULL);
}

int http_body_response(const struct http_head *h, const struct http_asked *asked,
		       const struct http_limits *limits, struct http_body *out,
		       struct http_refusal *why)
{
	bool tunnel = asked->method == HTTP_M_CONNECT && h->status >= 200 && h->status < 300;
	enum http_framing f = HTTP_BODY_CLOSE;

	if (h->status == 101 && !switch_ok(h, asked))
		return refuse(why, HTTP_WHY_SWITCH, false, h->start_line);
	/* A client must ignore both there (RFC 9110 9.3.6), and whoever does not is out of step. */
	if (tunnel && (h->chunked || h->length))
		return refuse(why, HTTP_WHY_CONTENT, false, h->start_line);
	if (tunnel || h->status == 101)
		f = HTTP_BODY_TUNNEL;
	else if (asked->method == HTTP_M_HEAD || h->status < 200 || h->status == 204 ||
		 h->status == 304)
		f = HTTP_BODY_NONE;
	else if (h->chunked)
		f = HTTP_BODY_CHUNKED;
	else if (h->has_length)
		f = HTTP_BODY_LENGTH;
	body_begin(out, h, limits, f);
	return 0;
}

/* ---- chunks: one byte of framing at a time ---- */

static enum http_why line_byte_why(uint8_t c, enum http_why other)
{
	if (c == '\n')
		return HTTP_WHY_BARE_LF;
	if (c == 0)
		return HTTP_WHY_NUL;
	return other;
}

static enum http_why size_digit(struct http_body *b, int v)
{
	if (b->digits == 16)
		return HTTP_WHY_CHUNK_LARGE;
	b->digits++;
	b->left = b->left << 4 | (unsigned)v;
	return HTTP_OK;
}

/* The end of a chunk-size line. */
static enum http_why size_end(struct http_body *b)
{
	if (b->left > INT64_MAX - b->content)
		return HTTP_WHY_CHUNK_LARGE;
	b->digits = 0;
	b->chunks++;
	b->state = b->left ? CHUNK_DATA : TRAILER_FIRST;
	return HTTP_OK;
}

static enum http_why size_byte(struct http_body *b, uint8_t c)
{
	int v = http_hex(c);

	if (v >= 0)
		return size_digit(b, v);
	if (b->digits == 0 || (c != ';' && c != '\r'))
		return line_byte_why(c, HTTP_WHY_CHUNK_SIZE);
	if (c == ';')
		b->ext++;
	b->state = c == ';' ? CHUNK_EXT_NAME_FIRST : CHUNK_SIZE_LF;
	return HTTP_OK;
}

/* What may follow a whole extension: another one, or the line's end. */
static bool ext_next(struct http_body *b, uint8_t c)
{
	if (c != ';' && c != '\r')
		return false;
	b->state = c == ';' ? CHUNK_EXT_NAME_FIRST : CHUNK_SIZE_LF;
	return true;
}

static bool ext_byte_ok(struct http_body *b, uint8_t c)
{
	switch (b->state) {
	case CHUNK_EXT_NAME_FIRST:
		b->state = CHUNK_EXT_NAME;
		return http_is(c, HTTP_C_TOKEN);
	case CHUNK_EXT_NAME:
		if (http_is(c, HTTP_C_TOKEN))
			return true;
		if (c == '=') {
			b->state = CHUNK_EXT_VALUE_FIRST;
			return true;
		}
		return ext_next(b, c);
	case CHUNK_EXT_VALUE_FIRST:
		b->state = c == '"' ? CHUNK_EXT_QUOTED : CHUNK_EXT_VALUE;
		return c == '"' || http_is(c, HTTP_C_TOKEN);
	case CHUNK_EXT_VALUE:
		return http_is(c, HTTP_C_TOKEN) || ext_next(b, c);
	case CHUNK_EXT_QUOTED:
		if (c == '"')
			b->state = CHUNK_EXT_END;
		else if (c == '\\')
			b->state = CHUNK_EXT_ESCAPED;
		return c == '"' || c == '\\' || http_is(c, HTTP_C_QDTEXT);
	case CHUNK_EXT_ESCAPED:
		b->state = CHUNK_EXT_QUOTED;
		return http_is(c, HTTP_C_TEXT);
	default:
		return ext_next(b, c);
	}
}

static enum http_why ext_byte(struct http_body *b, uint8_t c)
{
	if (!ext_byte_ok(b, c))
		return line_byte_why(c, HTTP_WHY_CHUNK_EXT);
	if (c != '\r' && ++b->ext > b->limits.chunk_ext_max)
		return HTTP_WHY_CHUNK_EXT_LONG;
	return HTTP_OK;
}

static enum http_why trailer_name_end(struct http_body *b)
{
	struct span name = span_of(b->name, b->name_n);

	if (http_hdr_no_trailer(http_hdr_from_name(name)) || http_hdr_alias(name))
		return HTTP_WHY_TRAILER_FORBIDDEN;
	b->state = TRAILER_VALUE;
	return HTTP_OK;
}

static enum http_why trailer_first_byte(struct http_body *b, uint8_t c)
{
	if (c == '\r') {
		b->state = TRAILER_END_LF;
		return HTTP_OK;
	}
	if (http_is_space(c))
		return b->trailers ? HTTP_WHY_FOLD : HTTP_WHY_TRAILER;
	if (!http_is(c, HTTP_C_TOKEN))
		return line_byte_why(c, HTTP_WHY_TRAILER);
	if (++b->trailers > b->limits.trailer_fields)
		return HTTP_WHY_TRAILER_LONG;
	b->name[0] = c;
	b->name_n = 1;
	b->state = TRAILER_NAME;
	return HTTP_OK;
}

static enum http_why trailer_byte(struct http_body *b, uint8_t c)
{
	if (++b->trailer > b->limits.trailer_max)
		return HTTP_WHY_TRAILER_LONG;
	switch (b->state) {
	case TRAILER_FIRST:
		return trailer_first_byte(b, c);
	case TRAILER_NAME:
		if (c == ':')
			return trailer_name_end(b);
		if (!http_is(c, HTTP_C_TOKEN) || b->name_n == HTTP_TRAILER_NAME_MAX)
			return line_byte_why(c, HTTP_WHY_TRAILER);
		b->name[b->name_n++] = c;
		return HTTP_OK;
	default:
		if (c == '\r')
			b->state = TRAILER_LF;
		else if (!http_is(c, HTTP_C_TEXT))
			return line_byte_why(c, HTTP_WHY_CONTROL);
		return HTTP_OK;
	}
}

/* Behind a CR. */
static enum http_why lf_byte(struct http_body *b, uint8_t c)
{
	if (c != '\n')
		return b->state == CHUNK_DATA_LF ? HTTP_WHY_CHUNK_END : HTTP_WHY_BARE_CR;
	switch (b->state) {
	case CHUNK_SIZE_LF:
		return size_end(b);
	case CHUNK_DATA_LF:
		b->state = CHUNK_SIZE;
		return HTTP_OK;
	case TRAILER_LF:
		b->state = TRAILER_FIRST;
		return HTTP_OK;
	default:
		b->done = true;
		return HTTP_OK;
	}
}

static enum http_why chunk_byte(struct http_body *b, uint8_t c)
{
	switch (b->state) {
	case CHUNK_SIZE:
		return size_byte(b, c);
	case CHUNK_DATA_CR:
		b->state = CHUNK_DATA_LF;
		return c == '\r' ? HTTP_OK : HTTP_WHY_CHUNK_END;
	case CHUNK_SIZE_LF:
	case CHUNK_DATA_LF:
	case TRAILER_LF:
	case TRAILER_END_LF:
		return lf_byte(b, c);
	case TRAILER_FIRST:
	case TRAILER_NAME:
	case TRAILER_VALUE:
		return trailer_byte(b, c);
	default:
		return ext_byte(b, c);
	}
}

static enum http_why chunked_next(struct http_body *b, struct span in, struct http_piece *out)
{
	enum http_why why;
	size_t i = 0;

	while (i < in.n && !b->done && b->state != CHUNK_DATA) {
		why = chunk_byte(b, in.p[i]);
		if (why) {
			out->framing = i;
			return why;
		}
		i++;
	}
	out->framing = i;
	if (b->state != CHUNK_DATA || b->done)
		return HTTP_OK;
	out->content = in.n - i < b->left ? in.n - i : (size_t)b->left;
	b->left -= out->content;
	if (b->left == 0)
		b->state = CHUNK_DATA_CR;
	return HTTP_OK;
}

int http_body_next(struct http_body *b, struct span in, struct http_piece *out,
		   struct http_refusal *why)
{
	struct http_piece p = {};

	if (b->failed)
		return refuse(why, b->failed, b->request, span_cut(in, 0, 0));
	switch (b->framing) {
	case HTTP_BODY_LENGTH:
		p.content = in.n < b->left ? in.n : (size_t)b->left;
		b->left -= p.content;
		b->done = b->left == 0;
		break;
	case HTTP_BODY_CHUNKED:
		b->failed = chunked_next(b, in, &p);
		break;
	case HTTP_BODY_CLOSE:
	case HTTP_BODY_TUNNEL:
		p.content = in.n;
		break;
	case HTTP_BODY_NONE:
		break;
	}
	b->content += p.content;
	b->overhead += p.framing;
	if (b->failed)
		return refuse(why, b->failed, b->request, span_cut(in, p.framing, 1));
	*out = p;
	return 0;
}

int http_body_eof(const struct http_body *b, struct http_refusal *why)
{
	if (!b->failed &&
	    (b->done || b->framing == HTTP_BODY_CLOSE || b->framing == HTTP_BODY_TUNNEL))
		return 0;
	return refuse(why, b->failed ? b->failed : HTTP_WHY_CUT_SHORT, b->request, (struct span){});
}
