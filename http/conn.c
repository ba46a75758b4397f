/* http/conn.c -- connection rules. See conn.h.
 *
 * In: heads that the parser accepted, so Connection lists are well-formed. Out: answers. Owns nothing. */
#include "http/conn.h"

#include "http/scan.h"
#include "user/base64.h"

bool http_persistent(const struct http_head *h)
{
	if (h->says_close)
		return false;
	return h->minor == 1 || h->says_keep_alive;
}

bool http_persists(const struct http_head *req, const struct http_head *resp,
		   enum http_framing framing)
{
	return framing != HTTP_BODY_CLOSE && framing != HTTP_BODY_TUNNEL && http_persistent(req) &&
	       http_persistent(resp);
}

bool http_hop_by_hop(const struct http_head *h, const struct http_field *f)
{
	if (f->id != HTTP_H_OTHER && http_hdr_hop_by_hop(f->id))
		return true;
	return http_field_has(h, HTTP_H_CONNECTION, f->name);
}

enum http_expect http_expect(const struct http_head *req)
{
	const struct http_field *f = http_field_find(req, HTTP_H_EXPECT, 0, NULL);

	if (!f || req->minor == 0)
		return HTTP_EXPECT_NONE;
	if (!span_ieq(f->value, SPAN("100-continue")))
		return HTTP_EXPECT_UNKNOWN;
	return req->chunked || req->length ? HTTP_EXPECT_CONTINUE : HTTP_EXPECT_NONE;
}

static bool asks_websocket(const struct http_head *h)
{
	return http_field_has(h, HTTP_H_UPGRADE, SPAN("websocket"));
}

/* One Upgrade field with just that, or the two sides could switch to different things. */
static bool upgrade_alone(const struct http_head *h)
{
	const struct http_field *f;
	unsigned at;

	f = http_field_find(h, HTTP_H_UPGRADE, 0, &at);
	return f && span_ieq(f->value, SPAN("websocket")) &&
	       !http_field_find(h, HTTP_H_UPGRADE, at + 1, NULL);
}

static bool field_base64(const struct http_head *h, enum http_hdr id, size_t bytes)
{
	const struct http_field *f = http_field_find(h, id, 0, NULL);

	uint8_t raw[20];

	return f && bytes <= sizeof(raw) &&
	       base64_read(f->value, BASE64, raw, bytes) == (ssize_t)bytes;
}

enum http_websocket http_websocket_request(const struct http_head *req)
{
	const struct http_field *version;
	unsigned at;

	if (!asks_websocket(req))
		return HTTP_WS_NONE;
	if (req->method != HTTP_M_GET || req->minor != 1 || !req->says_upgrade || req->chunked ||
	    req->length || !upgrade_alone(req))
		return HTTP_WS_BAD;
	version = http_field_find(req, HTTP_H_SEC_WEBSOCKET_VERSION, 0, &at);
	if (!version || http_field_find(req, HTTP_H_SEC_WEBSOCKET_VERSION, at + 1, NULL))
		return HTTP_WS_BAD;
	if (!span_eq(version->value, SPAN("13")))
		return HTTP_WS_VERSION;
	return field_base64(req, HTTP_H_SEC_WEBSOCKET_KEY, 16) ? HTTP_WS_OK : HTTP_WS_BAD;
}

enum http_websocket http_websocket_response(const struct http_head *resp)
{
	if (resp->status != 101 || !asks_websocket(resp))
		return HTTP_WS_NONE;
	if (resp->minor != 1 || !resp->says_upgrade || !upgrade_alone(resp) ||
	    !field_base64(resp, HTTP_H_SEC_WEBSOCKET_ACCEPT, 20))
		return HTTP_WS_BAD;
	return HTTP_WS_OK;
}

struct http_asked http_asked(const struct http_head *req)
{
	return (struct http_asked){
		.method = req->method,
		.upgrade = req->minor == 1 && req->says_upgrade &&
			   http_field_find(req, HTTP_H_UPGRADE, 0, NULL),
	};
}
