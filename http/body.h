/* http/body.h -- where a message's body ends, and which of its bytes are content (RFC 9112 6 and 7).
 *
 * In: a parsed head (of a response: with what was asked), then the bytes behind it in any cuts. Out: for each cut how many
 * bytes at its front are framing (chunk sizes, CRLFs, trailers) and how many behind those are content. No byte is held:
 * the caller moves or drops them. The caller owns struct http_body, one a message, and it points at nothing. Counted:
 * content, framing, chunks, extensions, trailers. */
#ifndef SALLYPORT_HTTP_BODY_H
#define SALLYPORT_HTTP_BODY_H

#include "http/msg.h"

#define HTTP_TRAILER_NAME_MAX 64

enum http_framing {
	HTTP_BODY_NONE,
	HTTP_BODY_LENGTH,  /* Content-Length */
	HTTP_BODY_CHUNKED, /* Transfer-Encoding: chunked */
	HTTP_BODY_CLOSE,   /* until the connection ends; responses only */
	HTTP_BODY_TUNNEL,  /* 101, or 2xx to CONNECT: no HTTP any more behind the head */
};
const char *http_framing_text(
	enum http_framing f); /* "none", "length", "chunked", "until-close", "tunnel" */

struct http_asked { /* the request that a response answers */
	enum http_method method;
	bool upgrade; /* it held Upgrade and Connection: upgrade, so 101 may come */
};

struct http_body {
	enum http_framing framing;
	bool done; /* the next byte belongs to the next message */
	bool request;
	uint64_t left;		    /* content bytes until the end, or until the chunk's */
	uint64_t content, overhead; /* bytes so far: content, framing */
	uint64_t chunks;
	/* private to body.c */
	struct http_limits limits;
	enum http_why failed;
	uint8_t state, digits, name_n;
	uint32_t ext, trailer, trailers;
	uint8_t name[HTTP_TRAILER_NAME_MAX];
};

struct http_piece {	/* of the input, from its front */
	size_t framing; /* bytes to pass or drop */
	size_t content; /* bytes of content behind those */
};

/* Begin the body of the request @h. Never fails: the parser refused what has no clear end. */
void http_body_request(const struct http_head *h, const struct http_limits *limits,
		       struct http_body *out);
/* Begin the body of the response @h (RFC 9112 6.3). An interim response (1xx but 101) has none, and another response comes
 * behind it. 0, or -EBADMSG with *why: 101 that nobody asked for, content in a 2xx to CONNECT. */
int http_body_response(const struct http_head *h, const struct http_asked *asked,
		       const struct http_limits *limits, struct http_body *out,
		       struct http_refusal *why);
/* Take the front of @in, as far as one piece goes; call again with the rest until it is used up or b->done. At least one
 * byte is taken of a @in that is not empty, unless b->done. 0; -EBADMSG, or -E2BIG over a limit, with *why, for good. */
int http_body_next(struct http_body *b, struct span in, struct http_piece *out,
		   struct http_refusal *why);
/* The connection ended cleanly. 0: so did the message; -EBADMSG: it was cut short. */
int http_body_eof(const struct http_body *b, struct http_refusal *why);

#endif
