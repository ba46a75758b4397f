/* http/conn.h -- what a head says about its connection: how long it lives, what is asked of it, what ends at this hop.
 *
 * In: parsed heads. Out: answers; nothing is kept. RFC 9110 7.6, 7.8, 10.1.1; RFC 9112 9; RFC 6455 4. */
#ifndef SALLYPORT_HTTP_CONN_H
#define SALLYPORT_HTTP_CONN_H

#include "http/body.h"

/* Whether the sender of @h lets the connection live on behind this message (RFC 9112 9.3). "close" wins over "keep-alive";
 * HTTP/1.0 lives on only with "keep-alive". */
bool http_persistent(const struct http_head *h);
/* Whether the connection may carry another request once @resp, framed so, has ended: both said so, and its end was told by
 * framing. Not for interim responses. */
bool http_persists(const struct http_head *req, const struct http_head *resp,
		   enum http_framing framing);

/* Whether @f of @h ends at this hop: by its name, or because Connection names it. A relay leaves these away. */
bool http_hop_by_hop(const struct http_head *h, const struct http_field *f);

enum http_expect {
	HTTP_EXPECT_NONE,
	HTTP_EXPECT_CONTINUE, /* 100-continue, and there is content to wait for */
	HTTP_EXPECT_UNKNOWN,  /* anything else: 417 */
};
/* RFC 9110 10.1.1. Of HTTP/1.0 it is ignored. */
enum http_expect http_expect(const struct http_head *req);

enum http_websocket {
	HTTP_WS_NONE, /* no switch to websocket is asked for (or made) */
	HTTP_WS_OK,   /* a whole handshake */
	HTTP_WS_BAD, /* Upgrade: websocket, but not a handshake of RFC 6455 4.2.1: 400 (of a response: 502) */
	HTTP_WS_VERSION, /* another version than 13: 426 with Sec-WebSocket-Version: 13 */
};
/* The opening handshake of a client: GET in HTTP/1.1 without content, websocket alone in Upgrade, "upgrade" in Connection,
 * a key of 16 bytes in base64, version 13. */
enum http_websocket http_websocket_request(const struct http_head *req);
/* The server's: 101, websocket alone in Upgrade, an accept value of 20 bytes in base64. Whether it answers the key, the
 * client checks. */
enum http_websocket http_websocket_response(const struct http_head *resp);
/* What body.h wants to know of a request when its response comes. */
struct http_asked http_asked(const struct http_head *req);

#endif
