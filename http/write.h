/* http/write.h -- heads and chunk framing into a bounded buffer; nothing that the parser would refuse can come out.
 *
 * In: a start line, then fields, then how the body is framed. Out: bytes in the caller's buffer. Each value is judged when
 * it is added (a line end in it would make a second field), and the whole head once more by the parser of msg.h at its
 * end, so what was written is what will be read. No allocation: the first fault is remembered, nothing is written behind
 * it, and the end tells it. The caller owns the buffer; a struct http_out writes one head, then any number of chunks if it
 * likes. */
#ifndef SALLYPORT_HTTP_WRITE_H
#define SALLYPORT_HTTP_WRITE_H

#include "http/conn.h"

enum http_out_state { HTTP_OUT_START, HTTP_OUT_FIELDS, HTTP_OUT_BODY };

struct http_out { /* a bounded writer */
	uint8_t *p;
	size_t n, cap;
	enum http_out_state state;
	bool request, framed;
	int fault; /* 0, -E2BIG: did not fit; -EINVAL: would not be HTTP; -EPROTO: called out of order */
};

void http_out_init(struct http_out *o, void *buf, size_t cap);
/* "METHOD TARGET HTTP/1.1"; the target in any form that the method allows. */
void http_out_request(struct http_out *o, struct span method, struct span target);
/* The reason phrase of RFC 9110 15 for the statuses that we answer with; else "". */
const char *http_reason(unsigned status);
/* "HTTP/1.1 STATUS REASON"; the reason may be empty. */
void http_out_response(struct http_out *o, unsigned status, struct span reason);
/* "Name: value". The value may be empty; white space around it, control characters and what frames a message (Content-Length,
 * Transfer-Encoding) are refused. */
void http_out_field(struct http_out *o, struct span name, struct span value);
/* The fields of @h that do not end at this hop, in their order, without Content-Length, Host and @except (HTTP_H_OTHER: no
 * more). */
void http_out_fields(struct http_out *o, const struct http_head *h, enum http_hdr except);
/* At most one of the two: "Content-Length: N", "Transfer-Encoding: chunked". */
void http_out_length(struct http_out *o, uint64_t n);
void http_out_chunked(struct http_out *o);
/* The blank line. Returns the head's length; or -E2BIG, -EPROTO, or -EINVAL with what the parser has against it in *why
 * (why->why is HTTP_OK if a single value was at fault). */
ssize_t http_out_end(struct http_out *o, struct http_refusal *why);

/* Framing behind the head, in the same or another buffer. What comes before a chunk of @n > 0 bytes, behind it, and behind
 * the last one (no trailers). Length or -E2BIG; -EINVAL for a chunk of 0 bytes or more than INT64_MAX. */
#define HTTP_CHUNK_MAX 18 /* bytes of any of the three */
ssize_t http_chunk_begin(void *buf, size_t cap, uint64_t n);
ssize_t http_chunk_end(void *buf, size_t cap);
ssize_t http_chunk_last(void *buf, size_t cap);

#endif
