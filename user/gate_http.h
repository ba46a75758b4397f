/* user/gate_http.h -- the HTTP gate. See gate.h and stream_service.h.
 *
 * In: the bytes of an HTTPS stream that is not admitted, from a message boundary on. Out: gate.h's verdict on the next piece. A head is read
 * by the core's own parser (http/msg.h) and forwarded whole, its body behind it as it comes, framing checked (http/body.h). The
 * path's first segment names the domain (http/descriptor.h), and the domain the core; /.well-known/sallyport has the domain of its Host: the
 * longest served one that ends it, else the only one there is.
 *
 * The first request that is to go to a core must be able to bring an Admit: by a session's token of that domain (the edge has the
 * public keys: http_token.h), or by logging on: with Authorization, or to one of the services that everybody may ask. What is neither gets
 * 401 here. From then on the core answers, in order, so the gate only forwards or ends: every request that is well-formed and for a domain of
 * that core, token or not, for the core authorises each by itself; up to requests_max of them. After Admit nobody asks the gate, and there is
 * no way back: the edge does not know any more where a message ends. Behind the handshake of a WebSocket what is no HTTP may be its frames,
 * where 101 came ahead of the Admit: such a refusal may be held. A core that takes its Admit back answers 401 and ends the stream, which
 * goes on to the client behind that answer; Revoke and CloseStream do so within a second.
 *
 * Refusals: 400, 414, 431, 501, 505 as the parser says, and 408 (too slow), 421 (another core's domain), 429 (budget), 503 with
 * Retry-After (no core): "Connection: close", and closed. 401, 403 (a domain that nobody serves), 404 (no path of ours): the
 * connection goes on where the request has no body, and ends at the third of the last two.
 * Owner: the stream has the struct, which points at nothing. */
#ifndef SALLYPORT_GATE_HTTP_H
#define SALLYPORT_GATE_HTTP_H

#include "http/body.h"
#include "user/http_token.h"
#include "user/stream_service.h"

#define GATE_HTTP_WORK_MAX \
	(4u << 20) /* bytes read again and again because a head comes in dribbles */
#define GATE_HTTP_CHALLENGE "Basic realm=\"sallyport\"" /* as the core's */

struct gate_http_config {
	struct http_limits limits;
	unsigned requests_max;
	bool (*served)(void *served_arg, struct span domain);
	/* Judge the text of a session's token for @domain. TOKEN_VERDICTS: no core of it has told its keys, so only that core can. */
	enum http_token_verdict (*token)(void *token_arg, struct span domain, struct span text);
	struct span only_domain; /* where all cores together serve just one; else empty */
	void *served_arg, *token_arg;
};

struct gate_http {	       /* one stream's; zeroed */
	struct http_body body; /* of the request that is being forwarded */
	bool in_body;
	bool forwarded; /* the core has something to answer */
	bool old; /* HTTP/1.0 among that: its answers may last until the connection's end, so nothing may follow them */
	bool websocket; /* ... and a handshake for a WebSocket among that */
	unsigned requests, unserved;
	size_t tried; /* length of the input at the last try that wanted more; 0: none of this head */
	uint64_t work; /* bytes parsed in vain so far */
	/* What becomes so with gate_http_sent(). */
	struct http_body next;
	bool next_old, next_head, next_websocket; /* HTTP/1.0; HEAD; a handshake */
	char domain[256];
};

/* Look at @in and fill @out; gate_http_sent() when a GATE_FORWARD was. See stream_service.h. */
enum gate_verdict gate_http_next(struct gate_http *g, const struct gate_http_config *c,
				 struct span in, struct gate_out *out);
void gate_http_sent(struct gate_http *g);

/* The service; its config is a struct gate_http_config. */
extern const struct stream_service gate_http_service;

#endif
