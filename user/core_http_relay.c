/* user/core_http_relay.c -- a request's exchange with a server inside: bytes both ways, as fast as the slower side takes them.
 * See core_http.h.
 *
 * In: the stream's buffer, ops of user/upstream.h. Out: upstream_write(), core_http_write(). Owner: the stream owns its request
 * to the server until done(), failed(), or its own end. */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "user/core_http_impl.h"
#include "user/log.h"

/* ---- client -> server ---- */

/* How many of @in are of the request's body, at most @room: 0: none can go now. -EBADMSG: it is malformed. */
static ssize_t body_run(struct core_http_work *w, struct span in, size_t room)
{
	struct http_refusal why;
	struct http_piece piece;
	size_t run = 0;

	in = span_cut(in, 0, room);
	while (in.n && !w->body.done) {
		if (http_body_next(&w->body, in, &piece, &why))
			return -EBADMSG;
		run += piece.framing + piece.content;
		in = span_cut(in, piece.framing + piece.content, in.n);
	}
	return (ssize_t)run;
}

static void body_malformed(struct core_http_stream *s)
{
	struct core_http_work *w = s->w;
	bool told = s->phase == HTTP_ANSWER;

	upstream_close(w->up, false);
	w->up = NULL;
	w->keep = false;
	if (told) {
		core_http_over(s, CORE_HTTP_MALFORMED);
		core_http_end(s, false, "malformed body");
	} else {
		(void)core_http_reply(s, 400, CORE_HTTP_MALFORMED, "",
				      "The body of the request is malformed.");
	}
}

static void body_sent(struct core_http_work *w)
{
	if (!w->body.done || w->sent)
		return;
	w->sent = true;
	upstream_sent(w->up);
}

/* Head and what is here of the body, in one write where it fits. False: the stream is gone, or waits for an op. */
static bool write_request(struct core_http_stream *s)
{
	struct core_http_work *w = s->w;
	struct span in = span_of(w->buf + w->used, w->n - w->used);
	ssize_t n = 0;

	w->out.n = 0;
	w->out.full = false;
	if (core_http_request_head(&w->out, &w->head, w->d.rest, upstream_req_target(w->up),
				   s->client_text, w->websocket)) {
		upstream_close(w->up, false);
		w->up = NULL;
		if (core_http_reply(s, 431, CORE_HTTP_MALFORMED, "", "The head is too long."))
			core_http_step(s);
		return false;
	}
	s->phase = HTTP_SEND;
	w->sent = false; /* it may be a second try */
	if (!w->body.done)
		n = body_run(w, in, w->out.cap - w->out.n);
	if (n < 0) {
		body_malformed(s);
		return false;
	}
	core_http_put(&w->out, span_cut(in, 0, (size_t)n));
	w->used += (size_t)n;
	/* With a body it cannot be written again, so nobody needs the head any more. */
	w->head_there = w->repeatable;
	if (upstream_write(w->up, span_of(w->out.p, w->out.n)))
		return false; /* it failed: an op follows */
	w->out.n = 0;
	body_sent(w);
	return true;
}

/* The server took @n bytes more, or all there were. While the answer is stuck the time is that of a client that does not read, which
 * bytes from it do not lengthen; and a body has to come in more than dribbles. */
static void progressed(struct core_http_stream *s, size_t n)
{
	struct core_http_work *w = s->w;

	w->moved += n;
	if (w->paused || (n && !w->body.done && w->moved < CORE_HTTP_BODY_MIN))
		return;
	w->moved = 0;
	s->due_ms = 0;
}

/* What the client sent, on to the server. False: the stream is gone. */
static bool pump(struct core_http_stream *s)
{
	struct core_http_work *w = s->w;
	unsigned left = CORE_HTTP_TURN;
	ssize_t n;

	while (s->phase == HTTP_TUNNEL || !w->body.done) {
		struct span in = span_of(w->buf + w->used, w->n - w->used);

		if (upstream_queued(w->up))
			return true; /* writable() comes */
		if (!in.n && s->eof) {
			/* In order, unless half an answer would look like a whole one: the edge may have a last word for it. */
			core_http_end(s, s->phase != HTTP_ANSWER,
				      s->phase == HTTP_TUNNEL ? "the client ended the tunnel"
							      : "the client ended within a body");
			return false;
		}
		if (!in.n) {
			if (!s->more)
				break;
			if (!--left) {
				core_http_step_later(s);
				return false;
			}
			if (!core_http_fill(s))
				return false;
			continue;
		}
		n = s->phase == HTTP_TUNNEL ? (ssize_t)in.n : body_run(w, in, upstream_room(w->up));
		if (n < 0) {
			body_malformed(s);
			return false;
		}
		if (n == 0 || upstream_write(w->up, span_cut(in, 0, (size_t)n)))
			return true; /* it failed: an op follows */
		w->used += (size_t)n;
		progressed(s, (size_t)n);
	}
	body_sent(w);
	return true;
}

/* The client's own time runs while nothing else is waited for. */
static void client_time(struct core_http_stream *s)
{
	struct core_http_work *w = s->w;

	if (s->phase == HTTP_TUNNEL || conn_queued(s->conn))
		return;
	if (w->body.done || upstream_queued(w->up))
		s->due_ms = 0;
	else if (!s->due_ms)
		core_http_due(s, s->h->body_ms);
}

void core_http_pump(struct core_http_stream *s)
{
	if (s->phase < HTTP_SEND)
		return; /* what is ahead waits in the buffer */
	if (pump(s))
		client_time(s);
}

static void on_ready(void *arg)
{
	struct core_http_stream *s = arg;

	if (write_request(s))
		core_http_pump(s);
}

static void on_writable(void *arg)
{
	struct core_http_stream *s = arg;

	progressed(s, 0);
	core_http_pump(s);
}

/* ---- server -> client ---- */

/* The targets that a Location may lead to are those that this user may ask. */
static bool may_ask(void *arg, bool https, struct span host, uint16_t port, struct span path)
{
	struct core_http_stream *s = arg;
	char name[256];
	struct allow_ask q = {.user = span_str(s->w->who),
			      .domain = span_str(s->w->domain),
			      .method = HTTP_M_GET,
			      .https = https,
			      .port = port,
			      .path = path};
	struct allow_verdict v;
	ssize_t i, n = span_copy(host, name, sizeof(name));

	for (i = 0; i < n; i++)
		name[i] = (char)span_lower((uint8_t)name[i]);
	if (n <= 0)
		return false;
	q.host = span_of(name, (size_t)n);
	allow_match(policy_allow(s->h->p.policy), &q, &v);
	return v.rule != NULL;
}

/* The answer cannot be passed on. */
static void answer_unfit(struct core_http_stream *s, const char *why)
{
	struct core_http_work *w = s->w;

	log_event(LOG_L_WARN, "http-answer-unfit", "stream=%llx target=%s:%u reason=\"%s\"",
		  (unsigned long long)s->id, w->d.host, w->d.port, why);
	upstream_close(w->up, false);
	w->up = NULL;
	w->out.n = 0;
	if (core_http_reply(s, 502, CORE_HTTP_SERVER_FAILED, "",
			    "The server's answer cannot be passed on."))
		core_http_step(s);
}

static void on_head(void *arg, const struct http_head *h, enum http_framing framing)
{
	struct core_http_stream *s = arg;
	struct core_http_work *w = s->w;
	bool final = h->status >= 200 || h->status == 101;
	struct core_http_answer a = {
		.framing = framing,
		.segment = span_of(w->segment, w->segment_n),
		.domain = w->domain,
		.https = w->d.https,
		.host = span_str(w->d.host),
		.port = w->d.port,
		.may = may_ask,
		.arg = s,
	};

	if (!final && w->old)
		return; /* HTTP/1.0 knows none (RFC 9110 15.2) */
	if (framing == HTTP_BODY_TUNNEL && http_websocket_response(h) != HTTP_WS_OK) {
		answer_unfit(s, "this is no WebSocket (RFC 6455 4.2.2)");
		return;
	}
	if (final) {
		w->status = h->status;
		w->dechunk = w->old && framing == HTTP_BODY_CHUNKED;
		w->close = !w->keep || framing == HTTP_BODY_CLOSE || w->dechunk || !w->body.done;
		a.close = w->close;
		a.dechunk = w->old;
		a.keep_alive = w->old && !w->close;
		a.set_cookie = w->set_cookie_n ? w->set_cookie : NULL;
		w->head_there =
			false; /* no repetition from here on; what is ahead of it moves up when room is needed */
		s->phase = framing == HTTP_BODY_TUNNEL ? HTTP_TUNNEL : HTTP_ANSWER;
	}
	if (core_http_answer_head(&w->out, h, &a))
		answer_unfit(s, "its head is too long");
}

static bool pass_on(struct core_http_stream *s)
{
	struct core_http_work *w = s->w;
	struct span out = span_of(w->out.p, w->out.n);

	w->out.n = 0;
	return !out.n || core_http_write(s, out);
}

static void on_body(void *arg, struct span bytes)
{
	struct core_http_stream *s = arg;
	struct core_http_work *w = s->w;

	if (w->out.n && bytes.n <= w->out.cap - w->out.n)
		core_http_put(&w->out, bytes);
	else if (pass_on(s))
		(void)core_http_write(s, bytes);
}

static void on_flush(void *arg)
{
	struct core_http_stream *s = arg;
	struct core_http_work *w = s->w;

	if (!pass_on(s) || !conn_queued(s->conn))
		return;
	upstream_pause(w->up, true);
	w->paused = true;
	core_http_due(s, s->h->write_ms);
}

void core_http_resume(struct core_http_stream *s)
{
	struct core_http_work *w = s->w;

	s->due_ms = 0;
	if (w->paused) {
		w->paused = false;
		upstream_pause(w->up, false);
	}
	client_time(s);
}

static void on_done(void *arg, bool sent)
{
	struct core_http_stream *s = arg;
	struct core_http_work *w = s->w;
	bool tunnel = s->phase == HTTP_TUNNEL, close = w->close || !sent || !w->body.done;

	w->up = NULL; /* it is freed behind us */
	if (!pass_on(s))
		return;
	core_http_over(s, tunnel ? CORE_HTTP_TUNNELLED : CORE_HTTP_RELAYED);
	if (tunnel || close)
		core_http_end(s, true,
			      tunnel ? "the server ended the tunnel" : "answered, and closed");
	else
		core_http_step(s);
}

static void on_failed(void *arg, enum upstream_why why, const char *text)
{
	struct core_http_stream *s = arg;
	struct core_http_work *w = s->w;
	char body[200], esc[800], who[HTTP_TOKEN_USER_MAX * 4];
	bool told = s->phase >= HTTP_ANSWER;

	w->up = NULL;
	log_event(LOG_L_WARN, "http-failed",
		  "stream=%llx user=%s target=%s://%s:%u what=\"%s\" reason=%s",
		  (unsigned long long)s->id, log_esc(span_str(w->who), who, sizeof(who)),
		  w->d.https ? "https" : "http", w->d.host, w->d.port, upstream_why_text(why),
		  log_esc(span_str(text), esc, sizeof(esc)));
	if (told) {
		core_http_over(s, CORE_HTTP_CUT);
		core_http_end(s, false, "the server's answer was cut short");
		return;
	}
	(void)snprintf(body, sizeof(body), "The server inside did not answer: %s.",
		       upstream_why_text(why));
	w->out.n = 0;
	if (core_http_reply(s, upstream_why_status(why),
			    why == UPSTREAM_BUSY ? CORE_HTTP_BUSY : CORE_HTTP_SERVER_FAILED,
			    why == UPSTREAM_BUSY ? "Retry-After: 2\r\n" : "", body))
		core_http_step(s);
}

static const struct upstream_ops relay_ops = {
	.ready = on_ready,
	.writable = on_writable,
	.head = on_head,
	.body = on_body,
	.flush = on_flush,
	.done = on_done,
	.failed = on_failed,
};

/* RFC 9110 9.2.2, of what has no content: a second try changes nothing. */
static bool repeatable(const struct core_http_work *w)
{
	enum http_method m = w->head.method;

	return w->body.done && !w->websocket &&
	       (m == HTTP_M_GET || m == HTTP_M_HEAD || m == HTTP_M_OPTIONS || m == HTTP_M_PUT ||
		m == HTTP_M_DELETE);
}

bool core_http_relay(struct core_http_stream *s, const struct upstream_target *targets, unsigned n)
{
	struct core_http_work *w = s->w;
	struct upstream_want want = {.targets = targets, .n_targets = n};
	int ret;

	w->asked = http_asked(&w->head);
	w->asked.upgrade = w->websocket; /* to nothing else */
	w->repeatable = repeatable(w);
	w->segment_n = w->d.segment.n < sizeof(w->segment) ? w->d.segment.n : 0;
	memcpy(w->segment, w->d.segment.p, w->segment_n);
	want.asked = w->asked;
	want.repeatable = w->repeatable;
	want.content = w->old; /* it cannot read chunks */
	s->phase = HTTP_OPEN;
	ret = upstream_open(s->h->p.upstream, &want, &relay_ops, s, &w->up);
	if (ret < 0) {
		w->up = NULL;
		return core_http_reply(s, 503, CORE_HTTP_BUSY, "Retry-After: 2\r\n",
				       "Too much is asked at once.");
	}
	if (ret == 1)
		on_ready(s);
	return false;
}
