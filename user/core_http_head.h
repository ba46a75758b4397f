/* user/core_http_head.h -- heads on their way through the relay: what is taken away, set and rewritten, in one pass over the
 * fields.
 *
 * In: a parsed head, where it goes. Out: bytes in the caller's buffer. Names and values that are passed on were judged by
 * http/msg.h and are copied as they stand, so nothing here can make a second field of one. Owns nothing; no allocation, no I/O.
 *
 * Requests: target without the descriptor's segment, Host of the target. Taken away: what ends at this hop (RFC 9110 7.6.1);
 * our session's cookie X-Auth (other cookies stay, they are the service's own); what a client could claim about itself and a
 * server inside might believe: Forwarded, X-Forwarded-*, X-Real-IP, X-Client-IP, X-Original-*, X-Rewrite-*, X-Remote-*,
 * X-SSL-*, Remote-User and the like; X-HTTP-Method-Override and its kin, with which a server would do what the rules did not judge. Set: X-Forwarded-For with the client's address as the edge saw it, and Via (7.6.3).
 * Authorization passes: it is the service's.
 *
 * Answers: no Via (9110 lets a gateway leave it away; it would only tell what stands inside). Taken away besides what ends here: Alt-Svc (leads past us), Strict-Transport-Security, Clear-Site-Data and
 * Service-Worker-Allowed (would reach beyond the one service, since all share the edge's name), and cookies called X-Auth or nothing.
 * Rewritten so that a plain client finds its way:
 *   Location     of a target that may be asked (or the same one): "/SEGMENT/path" of the edge; "/path": behind the segment that was asked;
 *                relative ones and those that lead elsewhere stay
 *   Set-Cookie   Domain goes, Path=/x becomes /SEGMENT/x: the client sends it back through us, and only to that target
 * A client that makes edge URLs of inside ones itself meets such answers as it would from a server at the edge's address. */
#ifndef SALLYPORT_CORE_HTTP_HEAD_H
#define SALLYPORT_CORE_HTTP_HEAD_H

#include "http/body.h"
#include "http/descriptor.h"
#include "user/upstream.h"

#define CORE_HTTP_HEAD_GROWTH 8192 /* bytes by which a head may grow; more of them are refused */

struct core_http_buf { /* bytes being put together; a fault sticks */
	uint8_t *p;
	size_t n, cap;
	bool full;
};
void core_http_put(struct core_http_buf *b, struct span s);

/* The request @h for @to. @rest: path?query; @client: X-Forwarded-For; @upgrade: it is a whole
 * handshake for a WebSocket, else what it says of an upgrade ends here. 0 or -E2BIG. */
int core_http_request_head(struct core_http_buf *b, const struct http_head *h, struct span rest,
			   const struct upstream_target *to, const char *client, bool upgrade);

struct core_http_answer { /* how an answer is passed on */
	enum http_framing framing;
	struct span segment; /* "/BASE64" as it was asked */
	const char *domain;
	bool https; /* of the target */
	struct span host;
	uint16_t port;
	bool close;		/* the client's connection ends behind it */
	bool keep_alive;	/* to be said: the client speaks HTTP/1.0 */
	bool dechunk;		/* the client cannot read chunks */
	const char *set_cookie; /* ours; "" or NULL: none */
	/* Whether another target may be asked, for Location. */
	bool (*may)(void *arg, bool https, struct span host, uint16_t port, struct span path);
	void *arg;
};
int core_http_answer_head(struct core_http_buf *b, const struct http_head *h,
			  const struct core_http_answer *a);

#endif
