/* user/gate_http.c -- the HTTP gate. See gate_http.h.
 *
 * Bytes come in from stream_gate.c, verdicts go back; nothing is kept but the struct gate_http that the stream owns. RFC 9110, 9112. */
#include "user/gate_http.h"

#include <errno.h>
#include <stdio.h>

#include "http/conn.h"
#include "http/descriptor.h"
#include "http/write.h"
#include "user/drain.h"

#define RETRY_SECONDS "5"

/* ---- replies ---- */

struct reply {
	unsigned status;
	const char *name, *value; /* one field more; NULL: none */
	const char *text;	  /* of the body */
	bool head;		  /* to HEAD: without the body */
	bool close;
};

/* The reply into @out; nothing where it cannot be made. */
static void reply_write(const struct reply *r, struct gate_out *out)
{
	char text[HTTP_REFUSAL_TEXT + 2];
	size_t n = (size_t)snprintf(text, sizeof(text), "%s\n", r->text);
	struct http_refusal why;
	struct http_out o;
	ssize_t len;

	if (n >= sizeof(text))
		n = sizeof(text) - 1;
	http_out_init(&o, out->reply, sizeof(out->reply) - sizeof(text));
	http_out_response(&o, r->status, span_str(http_reason(r->status)));
	if (r->name)
		http_out_field(&o, span_str(r->name), span_str(r->value));
	http_out_field(&o, SPAN("Content-Type"), SPAN("text/plain"));
	http_out_field(&o, SPAN("Cache-Control"), SPAN("no-store"));
	if (r->close)
		http_out_field(&o, SPAN("Connection"), SPAN("close"));
	http_out_length(&o, n);
	len = http_out_end(&o, &why);
	out->reply_n = len > 0 ? (size_t)len : 0;
	if (len > 0 && !r->head) {
		memcpy(out->reply + len, text, n);
		out->reply_n += n;
	}
}

/* The last answer on this connection. One that cannot be the client's, as it would stand inside another, is left out. */
static enum gate_verdict close_with(const struct gate_http *g, struct gate_out *out,
				    enum gate_reason reason, const struct reply *r)
{
	struct reply last = *r;

	out->reason = reason;
	last.close = true;
	last.head = g->next_head;
	if (!g->old && !g->in_body)
		reply_write(&last, out);
	return GATE_CLOSE;
}

/* An answer to the request @h, which went nowhere. What has a body ends the connection: there is no need to read it. */
static enum gate_verdict refuse(struct gate_http *g, struct gate_out *out, enum gate_reason reason,
				const struct http_head *h, const struct reply *r)
{
	struct reply a = *r;

	a.close |= !http_persistent(h) || h->chunked || h->length || g->forwarded;
	if (a.close)
		return close_with(g, out, reason, &a);
	out->reason = reason;
	a.head = g->next_head;
	reply_write(&a, out);
	g->requests++;
	return GATE_REPLY;
}

static enum gate_verdict unauthorized(struct gate_http *g, struct gate_out *out,
				      enum gate_reason reason, const struct http_head *h,
				      const char *text)
{
	const struct reply r = {.status = 401,
				.name = "WWW-Authenticate",
				.value = GATE_HTTP_CHALLENGE,
				.text = text};

	out->detail = text;
	return refuse(g, out, reason, h, &r);
}

/* ---- whose domain ---- */

/* The longest end of the Host's name, at a dot, that is served. */
static bool host_domain(const struct gate_http_config *c, const struct http_head *h,
			struct span *out)
{
	struct span s = h->host.host;
	const uint8_t *dot;

	while (s.n && !h->host.host_is_v6) {
		if (c->served(c->served_arg, s)) {
			*out = s;
			return true;
		}
		dot = memchr(s.p, '.', s.n);
		s = dot ? span_cut(s, (size_t)(dot + 1 - s.p), s.n) : (struct span){};
	}
	*out = c->only_domain;
	return out->n > 0;
}

/* GATE_OK with the domain in g->domain. */
static enum gate_reason domain_find(struct gate_http *g, const struct gate_http_config *c,
				    const struct http_head *h, struct http_descriptor *d,
				    const char **why_text)
{
	enum http_descriptor_why why = HTTP_DESCRIPTOR_OK;
	struct span s;

	if (http_descriptor_parse(&h->target, d, &why)) {
		*why_text = http_descriptor_why_text(why);
		return GATE_NO_DOMAIN;
	}
	s = span_str(d->domain);
	*why_text = "no domain of ours";
	if (d->what == HTTP_PATH_WELL_KNOWN && !host_domain(c, h, &s))
		return GATE_NO_DOMAIN;
	if (s.n >= sizeof(g->domain) || !c->served(c->served_arg, s))
		return GATE_UNSERVED;
	snprintf(g->domain, sizeof(g->domain), "%.*s", (int)s.n, (const char *)s.p);
	return GATE_OK;
}

/* ---- who may come in ---- */

/* GATE_OK: it can bring an Admit. A forged token is never passed on; what else is wrong with one does not matter where the request can do
 * without. */
static enum gate_reason credentials(const struct gate_http *g, const struct gate_http_config *c,
				    const struct http_head *h, enum http_service_path what,
				    struct span token, const char **why_text)
{
	bool without = what != HTTP_PATH_RELAY && what != HTTP_PATH_EDGE_CONFIG;
	enum http_token_verdict v;

	without |= http_field_find(h, HTTP_H_AUTHORIZATION, 0, NULL) != NULL;
	*why_text = "wanted: a session's token or a password";
	if (!token.n) /* the core asks for a password where it can be had */
		return without || what == HTTP_PATH_EDGE_CONFIG ? GATE_OK : GATE_NO_TOKEN;
	v = c->token(c->token_arg, span_str(g->domain), token);
	if (v == TOKEN_OK || v == TOKEN_VERDICTS)
		return GATE_OK;
	*why_text = http_token_verdict_text(v);
	switch (v) {
	case TOKEN_BAD_SIGNATURE:
		return GATE_TOKEN_FORGED;
	case TOKEN_EXPIRED:
	case TOKEN_NOT_YET:
		return without ? GATE_OK : GATE_TOKEN_TIME;
	case TOKEN_OTHER_DOMAIN:
		return without ? GATE_OK : GATE_TOKEN_DOMAIN;
	default:
		return without ? GATE_OK : GATE_TOKEN_KEY;
	}
}

/* ---- a request ---- */

static enum gate_verdict malformed(const struct gate_http *g, struct gate_out *out, bool large,
				   const struct http_refusal *why)
{
	char text[HTTP_REFUSAL_TEXT];
	const struct reply r = {.status = why->status,
				.text = http_refusal_text(why, text, sizeof(text))};

	out->detail = http_why_text(why->why);
	out->may_hold = g->websocket;
	return close_with(g, out, large ? GATE_TOO_LARGE : GATE_MALFORMED, &r);
}

static enum gate_verdict not_found(struct gate_http *g, struct gate_out *out,
				   enum gate_reason reason, const struct http_head *h,
				   const char *text)
{
	struct reply r = {.status = reason == GATE_UNSERVED ? 403 : 404, .text = text};

	out->detail = text;
	if (h->method == HTTP_M_CONNECT) { /* what follows is no HTTP */
		r = (struct reply){.status = 405,
				   .name = "Allow",
				   .value = "GET, HEAD, POST, PUT, DELETE, OPTIONS",
				   .text = "wanted: a path, not a tunnel",
				   .close = true};
	}
	r.close |= ++g->unserved >= GATE_UNSERVED_MAX;
	return refuse(g, out, reason, h, &r);
}

static enum gate_verdict request_next(struct gate_http *g, const struct gate_http_config *c,
				      const struct http_head *h, struct span whole,
				      struct gate_out *out)
{
	static const struct reply budget = {.status = 429,
					    .name = "Retry-After",
					    .value = RETRY_SECONDS,
					    .text = "too many requests before a log on"},
				  twice = {
					  .status = 400,
					  .text = "wanted: one X-Auth cookie, in one Cookie field"};
	struct http_descriptor d;
	enum gate_reason reason;
	struct span token = {};
	const char *why;

	if (g->requests >= c->requests_max) {
		out->may_hold = true;
		return close_with(g, out, GATE_BUDGET, &budget);
	}
	if (http_token_cookie(h, &token) == -EBADMSG) {
		out->detail = twice.text;
		return close_with(g, out, GATE_MALFORMED, &twice);
	}
	reason = domain_find(g, c, h, &d, &why);
	if (reason != GATE_OK)
		return not_found(g, out, reason, h, why);
	if (!g->forwarded) {
		reason = credentials(g, c, h, d.what, token, &why);
		if (reason != GATE_OK)
			return unauthorized(g, out, reason, h, why);
	}
	http_body_request(h, &c->limits, &g->next);
	g->next_old = h->minor == 0;
	g->next_websocket = http_websocket_request(h) == HTTP_WS_OK;
	out->forward = whole;
	out->domain = span_str(g->domain);
	out->may_admit = true;
	return GATE_FORWARD;
}

static enum gate_verdict head_next(struct gate_http *g, const struct gate_http_config *c,
				   struct span in, struct gate_out *out)
{
	static const struct reply dribble = {.status = 400,
					     .text = "wanted: a head in fewer pieces"};
	struct http_refusal why = {};
	struct http_head h;
	ssize_t n;

	out->begun = in.n > 0;
	if (!in.n || (g->tried && in.n >= g->tried && !http_head_retry(in, g->tried, &c->limits)))
		return GATE_MORE;
	n = http_request_parse(in, &c->limits, &h, &why);
	if (n == -EAGAIN) {
		g->tried = in.n;
		g->work += in.n;
		if (g->work <= GATE_HTTP_WORK_MAX)
			return GATE_MORE;
		return close_with(g, out, GATE_DRIBBLE, &dribble);
	}
	g->tried = 0;
	g->next_head = false;
	if (n <= 0)
		return malformed(g, out, n == -E2BIG, &why);
	out->used = (size_t)n;
	g->next_head = h.method == HTTP_M_HEAD;
	return request_next(g, c, &h, span_cut(in, 0, out->used), out);
}

static enum gate_verdict body_next(struct gate_http *g, struct span in, struct gate_out *out)
{
	struct http_refusal why = {};
	struct http_piece piece;
	int ret = 0;

	g->next = g->body;
	while (!g->next.done && out->used < in.n) {
		ret = http_body_next(&g->next, span_cut(in, out->used, in.n), &piece, &why);
		/* What is good goes on first, to the byte, so that it does not depend on how they came; it fails again when it is asked for
		 * the rest. */
		out->used += ret ? (size_t)(why.came.p - (in.p + out->used))
				 : piece.framing + piece.content;
		if (ret)
			break;
	}
	if (ret && !out->used)
		return malformed(g, out, ret == -E2BIG, &why);
	if (!out->used)
		return GATE_MORE;
	out->forward = span_cut(in, 0, out->used);
	return GATE_FORWARD;
}

enum gate_verdict gate_http_next(struct gate_http *g, const struct gate_http_config *c,
				 struct span in, struct gate_out *out)
{
	gate_out_init(out);
	return g->in_body ? body_next(g, in, out) : head_next(g, c, in, out);
}

void gate_http_sent(struct gate_http *g)
{
	if (!g->in_body) {
		g->requests++;
		g->forwarded = true;
		g->old |= g->next_old;
		g->websocket |= g->next_websocket;
	}
	g->body = g->next;
	g->in_body = !g->body.done;
}

/* ---- the service ---- */

static int http_init(void *gate, const void *config, const struct addr *client)
{
	(void)gate, (void)config, (void)client;
	return 0;
}

static enum gate_verdict http_next(void *gate, const void *config, struct span in,
				   struct gate_out *out)
{
	return gate_http_next(gate, config, in, out);
}

static void http_sent(void *gate)
{
	gate_http_sent(gate);
}

static enum gate_verdict http_instead(void *gate, const void *config, enum gate_reason reason,
				      struct gate_out *out)
{
	struct reply r = {.status = 503, .name = "Retry-After", .value = RETRY_SECONDS};

	(void)config;
	out->reply_n = 0;
	switch (reason) {
	case GATE_NO_CORE:
		r.text = "no core for this domain is connected now";
		break;
	case GATE_NO_IDLE:
		r.text = "no free connection to the core";
		break;
	case GATE_DRAINING:
		r.value = DRAIN_RETRY_S;
		r.text = "this node is being taken out of service; another one may serve you";
		break;
	case GATE_OTHER_CORE:
		r = (struct reply){.status = 421,
				   .text = "wanted: one core's domains on one connection"};
		break;
	case GATE_TOO_LARGE:
		r = (struct reply){.status = 431, .text = "wanted: a shorter head"};
		break;
	case GATE_CAP_BYTES:
		r = (struct reply){.status = 413, .text = "too many bytes before a log on"};
		break;
	case GATE_SLOW:
		r = (struct reply){.status = 408, .text = "wanted: a whole head, sooner"};
		break;
	default:
		return GATE_CLOSE;
	}
	out->detail = r.text;
	return close_with(gate, out, reason, &r);
}

const struct stream_service gate_http_service = {
	.id = STREAM_HTTPS,
	.name = "https",
	.gate_size = sizeof(struct gate_http),
	.in_order = true,
	.cap_waits = true,
	.init = http_init,
	.next = http_next,
	.sent = http_sent,
	.instead = http_instead,
};
