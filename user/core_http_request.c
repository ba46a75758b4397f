/* user/core_http_request.c -- one request of a stream: what it asks for, who asks, whether it may, and the answers that are our
 * own. See core_http.h.
 *
 * In: a head at the front of the stream's buffer; what log on and edge config say. Out: an answer, or a request for
 * core_http_relay.c. */
#include <errno.h>
#include <openssl/crypto.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "http/write.h"
#include "user/core_http_impl.h"
#include "user/trace.h"
#include "user/log.h"
#include "user/wall.h"

/* ---- our own answers ---- */

/* "GET 200 https://cucm1.in.example.com:8443 uds-user hq" */
static void trace_request(const struct core_http_stream *s)
{
	const struct core_http_work *w = s->w;
	char who[HTTP_TOKEN_USER_MAX + HTTP_TOKEN_DOMAIN_MAX + 1] = "", port[8] = "";

	if (*w->who)
		(void)snprintf(who, sizeof(who), "%s@%s", w->who, w->domain);
	if (w->d.port)
		(void)snprintf(port, sizeof(port), ":%u", w->d.port);
	trace_put(TRACE_HTTP,
		  &(struct trace_ids){.user = trace_user(span_str(who)), .stream = s->edge_stream},
		  w->status, "%s %u %s%s%s%s", http_method_name(w->asked.method), w->status,
		  w->d.what == HTTP_PATH_RELAY ? w->d.host : "own service", port,
		  w->rule[0] ? " rule " : "", w->rule);
}

void core_http_over(struct core_http_stream *s, enum core_http_outcome o)
{
	struct core_http_work *w = s->w;

	trace_request(s);
	s->h->stats.outcomes[o]++;
	core_http_user_give(s->h, w->user);
	w->user = NULL;
	w->up = NULL;
	w->head_there = false;
	w->tried = 0;
	w->n -= w->used;
	memmove(w->buf, w->buf + w->used, w->n);
	w->used = 0;
	s->phase = HTTP_IDLE;
	s->due_ms = 0;
}

/* The rest of the request's body is here already: skip it. Else the connection cannot go on behind an answer. */
static bool body_skip(struct core_http_work *w)
{
	struct http_refusal why;
	struct http_piece piece;

	while (!w->body.done && w->used < w->n) {
		struct span in = span_of(w->buf + w->used, w->n - w->used);

		if (http_body_next(&w->body, in, &piece, &why))
			return false;
		w->used += piece.framing + piece.content;
	}
	return w->body.done;
}

static bool reply_typed(struct core_http_stream *s, unsigned status, enum core_http_outcome o,
			const char *fields, const char *type, struct span body)
{
	struct core_http_work *w = s->w;
	bool head_only = w->asked.method == HTTP_M_HEAD;
	bool keep = w->keep && body_skip(w);
	int n;

	w->status = status;
	n = snprintf((char *)w->out_bytes, sizeof(w->out_bytes),
		     "HTTP/1.1 %u %s\r\nContent-Type: %s\r\nContent-Length: %zu\r\n"
		     "Cache-Control: no-store\r\n%s%s%s%s%s\r\n",
		     status, http_reason(status), type, body.n, fields,
		     w->set_cookie_n ? "Set-Cookie: " : "", w->set_cookie_n ? w->set_cookie : "",
		     w->set_cookie_n ? "\r\n" : "",
		     !keep    ? "Connection: close\r\n"
		     : w->old ? "Connection: keep-alive\r\n"
			      : "");
	w->set_cookie_n = 0;
	w->out.n = (size_t)n;
	w->out.full = false;
	if (!head_only)
		core_http_put(&w->out, body);
	if (!core_http_write(s, span_of(w->out.p, w->out.n)))
		return false;
	if (w->out.full && !core_http_write(s, body)) /* it did not fit behind the head */
		return false;
	w->out.n = 0;
	w->out.full = false;
	core_http_over(s, o);
	if (keep)
		return true;
	core_http_end(s, true, "answered, and closed");
	return false;
}

bool core_http_reply(struct core_http_stream *s, unsigned status, enum core_http_outcome o,
		     const char *fields, const char *text)
{
	char body[512];
	int n = snprintf(body, sizeof(body), "%s\n", text);

	return reply_typed(s, status, o, fields, "text/plain; charset=utf-8",
			   span_of(body, n < (int)sizeof(body) ? (size_t)n : sizeof(body) - 1));
}

/* After an answer that did not come from core_http_step(): go on with the next request. */
static void went_on(struct core_http_stream *s, bool there)
{
	if (there)
		core_http_step(s);
}

static void log_refused(const struct core_http_stream *s, const char *what, const char *detail)
{
	const struct core_http_work *w = s->w;
	char who[HTTP_TOKEN_USER_MAX * 4], path[512], target[300] = "";
	bool relay = w->d.what == HTTP_PATH_RELAY;
	struct span rest = relay ? w->d.rest : w->head.target.path;
	const uint8_t *query = rest.n ? memchr(rest.p, '?', rest.n) : NULL; /* may hold secrets */

	if (query)
		rest.n = (size_t)(query - rest.p);
	if (relay)
		(void)snprintf(target, sizeof(target), "%s://%s:%u", w->d.https ? "https" : "http",
			       w->d.host, w->d.port);
	log_event(LOG_L_INFO, "http-refused",
		  "stream=%llx client=%s user=%s domain=%s method=%.*s target=%s path=%s "
		  "reason=\"%s\" %s",
		  (unsigned long long)s->id, s->client_text,
		  log_esc(span_str(w->who), who, sizeof(who)), w->d.domain,
		  (int)w->head.method_text.n, (const char *)w->head.method_text.p, target,
		  log_esc(rest, path, sizeof(path)), what, detail);
}

/* ---- may it ---- */

/* Who stands in for the target; it first. Strings live as the policy and the head do. */
static unsigned targets_of(const struct core_http_stream *s, const struct allow_rule *rule,
			   struct upstream_target out[UPSTREAM_LIST])
{
	struct policy_host hosts[UPSTREAM_LIST];
	const struct http_descriptor *d = &s->w->d;
	unsigned n = policy_group(s->h->p.policy, rule, hosts, UPSTREAM_LIST), i;

	out[0] = (struct upstream_target){.host = d->host, .port = d->port, .tls = d->https};
	if (!n || strcmp(hosts[0].host, d->host) || hosts[0].port != d->port)
		return 1;
	for (i = 1; i < n; i++)
		out[i] = (struct upstream_target){
			.host = hosts[i].host, .port = hosts[i].port, .tls = hosts[i].https};
	return n;
}

static bool deny(struct core_http_stream *s, const struct allow_verdict *v)
{
	char detail[256], rule[200], text[256];

	(void)snprintf(detail, sizeof(detail), "rule=%s%s%s%s",
		       v->nearest ? log_esc(span_str(v->nearest->name), rule, sizeof(rule))
				  : "\"no rule\"",
		       *v->detail ? " detail=\"" : "", v->detail, *v->detail ? "\"" : "");
	log_refused(s, allow_why_text(v->why), detail);
	(void)snprintf(text, sizeof(text), "Not allowed: %s.", allow_why_text(v->why));
	return core_http_reply(s, 403, CORE_HTTP_DENIED, "", text);
}

static bool admitted_relay(struct core_http_stream *s)
{
	struct upstream_target targets[UPSTREAM_LIST];
	struct core_http_work *w = s->w;
	const struct allow_ask q = {
		.user = span_str(w->who),
		.domain = span_str(w->domain),
		.method = w->head.method,
		.https = w->d.https,
		.host = span_str(w->d.host),
		.port = w->d.port,
		.path = span_cut(
			w->d.rest, 0,
			w->d.rest.n - (w->head.target.has_query ? 1 + w->head.target.query.n : 0)),
		.query = w->head.target.query};
	struct allow_verdict v;

	allow_match(policy_allow(s->h->p.policy), &q, &v);
	(void)snprintf(w->rule, sizeof(w->rule), "%s",
		       v.rule	   ? v.rule->name
		       : v.nearest ? v.nearest->name
				   : "");
	if (!v.rule)
		return deny(s, &v);
	return core_http_relay(s, targets, targets_of(s, v.rule, targets));
}

/* ---- edge config ---- */

static void on_config(void *arg, unsigned status, const char *type, struct span body)
{
	struct core_http_stream *s = arg;
	enum core_http_outcome o = status == 200   ? CORE_HTTP_CONFIGURED
				   : status == 403 ? CORE_HTTP_DENIED
				   : status == 503 ? CORE_HTTP_BUSY
						   : CORE_HTTP_MALFORMED;

	went_on(s,
		reply_typed(s, status, o, status == 503 ? "Retry-After: 1\r\n" : "", type, body));
}

static bool admitted_config(struct core_http_stream *s)
{
	struct core_http_work *w = s->w;
	struct edge_config_edge edges[EDGE_CONFIG_EDGES];
	struct edge_config_ask ask = {.what = w->d.what,
				      .domain = w->d.domain,
				      .user = *w->who ? w->who : NULL,
				      .query = w->head.target.query,
				      .edges = edges};

	ask.n_edges = s->h->p.ops->edges(s->h->p.arg, s->edge, edges, EDGE_CONFIG_EDGES);
	s->phase = HTTP_CONFIG;
	if (edge_config_make(s->h->p.edge_config, &ask, on_config, s)) {
		s->phase = HTTP_IDLE;
		return core_http_reply(s, 503, CORE_HTTP_BUSY, "Retry-After: 1\r\n",
				       "Too much is asked at once.");
	}
	return false;
}

/* ---- who asks ---- */

static bool identified(struct core_http_stream *s)
{
	struct core_http_work *w = s->w;
	int err = 0;

	if (*w->who)
		err = core_http_user_take(s->h, w->who, w->domain, &w->user);
	if (err) {
		s->phase = HTTP_IDLE;
		log_refused(s,
			    err == -EAGAIN ? "too many requests a second"
					   : "too many requests at once",
			    "");
		return err == -EAGAIN
			       ? core_http_reply(s, 429, CORE_HTTP_TOO_MANY, "Retry-After: 1\r\n",
						 "Too many requests of this user.")
			       : core_http_reply(s, 503, CORE_HTTP_BUSY, "Retry-After: 1\r\n",
						 "Too many requests of this user at once.");
	}
	return w->d.what == HTTP_PATH_RELAY ? admitted_relay(s) : admitted_config(s);
}

static void admit(struct core_http_stream *s)
{
	if (s->admitted)
		return;
	s->admitted = true;
	s->h->p.ops->tell(s->h->p.arg, s->edge, s->edge_stream, NULL);
}

/* 401, 403, 429, 502 of the log on. */
static bool logon_refused(struct core_http_stream *s, const struct logon_answer *a)
{
	static const char challenge[] = "WWW-Authenticate: " LOGON_CHALLENGE "\r\n";
	struct core_http_work *w = s->w;
	char fields[160] = "", detail[400], esc[380], text[128];
	enum core_http_outcome o = a->status == 401   ? CORE_HTTP_UNAUTHORISED
				   : a->status == 403 ? CORE_HTTP_DENIED
				   : a->status == 429 ? CORE_HTTP_TOO_MANY
						      : CORE_HTTP_LOGON_FAILED;

	(void)snprintf(w->who, sizeof(w->who), "%s", a->user);
	(void)snprintf(detail, sizeof(detail), "rule=\"log on\" detail=%s",
		       log_esc(span_str(a->reason), esc, sizeof(esc)));
	log_refused(s, logon_why_text(a->why), detail);
	if (a->status == 401)
		(void)snprintf(fields, sizeof(fields), "%s", challenge);
	else if (a->retry_after_s)
		(void)snprintf(fields, sizeof(fields), "Retry-After: %u\r\n", a->retry_after_s);
	(void)snprintf(text, sizeof(text), "%s: %s.", http_reason(a->status),
		       logon_why_text(a->why));
	if (a->status == 401 && s->admitted) {
		s->admitted = false;
		s->h->stats.revoked++;
		s->h->p.ops->tell(s->h->p.arg, s->edge, s->edge_stream,
				  "a request without a good token");
		w->keep = false;
	}
	return core_http_reply(s, a->status, o, fields, text);
}

static void on_logon(void *arg, const struct logon_answer *a)
{
	struct core_http_stream *s = arg;
	struct core_http_work *w = s->w;
	size_t n = a->set_cookie ? strlen(a->set_cookie) : 0;

	s->phase = HTTP_IDLE;
	if (a->status != 200) {
		went_on(s, logon_refused(s, a));
		return;
	}
	(void)snprintf(w->who, sizeof(w->who), "%s", a->user);
	(void)snprintf(w->domain, sizeof(w->domain), "%s", a->domain);
	if (n && n < sizeof(w->set_cookie)) {
		memcpy(w->set_cookie, a->set_cookie, n + 1);
		w->set_cookie_n = n;
	}
	if (a->admitted)
		admit(s);
	went_on(s, identified(s));
}

static bool ask_logon(struct core_http_stream *s)
{
	struct edge_config_edge edge = {};
	struct core_http_work *w = s->w;
	struct logon_ask ask = {.domain = span_str(w->d.domain),
				.client = &s->client,
				.head = &w->head,
				.what = w->d.what,
				.now_s = wall_now_s()};

	(void)s->h->p.ops->edges(s->h->p.arg, s->edge, &edge, 1);
	ask.edge_host = edge.https_host ? edge.https_host : "";
	s->phase = HTTP_LOGON;
	if (logon_check(s->h->p.logon, &ask, on_logon, s)) {
		s->phase = HTTP_IDLE;
		return core_http_reply(s, 503, CORE_HTTP_BUSY, "Retry-After: 1\r\n",
				       "Too much is asked at once.");
	}
	return false;
}

/* By the end of the signature, which nobody can choose. */
static struct core_http_memory **memory_of(struct core_http *h, struct span token)
{
	uint32_t v = 2166136261u;
	size_t i;

	for (i = token.n > 16 ? token.n - 16 : 0; i < token.n; i++)
		v = (v ^ token.p[i]) * 16777619u;
	return &h->memories[(v ^ v >> 16) & (CORE_HTTP_MEMORIES - 1)];
}

/* The very token that was good a moment ago, of which nothing can have changed. */
static bool remembered(struct core_http_stream *s, struct span token)
{
	const struct core_http_memory *m = *memory_of(s->h, token);

	if (!m || m->until_ms <= loop_now_ms(s->h->p.loop) || m->n != token.n ||
	    CRYPTO_memcmp(m->token, token.p, token.n) ||
	    !span_ieq(span_str(m->domain), span_str(s->w->d.domain)))
		return false;
	memcpy(s->w->who, m->who, sizeof(m->who));
	memcpy(s->w->domain, m->domain, sizeof(m->domain));
	s->h->stats.tokens_remembered++;
	return true;
}

static void remember(struct core_http_stream *s, struct span token)
{
	struct core_http_memory **at = memory_of(s->h, token), *m = *at;

	if (!m || m->n != token.n) {
		free(m);
		m = *at = malloc(sizeof(*m) + token.n);
	}
	if (!m)
		return;
	m->n = token.n;
	memcpy(m->token, token.p, token.n);
	memcpy(m->who, s->w->who, sizeof(m->who));
	memcpy(m->domain, s->w->domain, sizeof(m->domain));
	m->until_ms = loop_now_ms(s->h->p.loop) + CORE_HTTP_MEMORY_MS;
}

/* A relayed request whose cookie is good goes on without waiting; everything else is for the log on to judge. */
static bool ask_token(struct core_http_stream *s)
{
	struct core_http_work *w = s->w;
	struct http_token t;
	struct span token;

	if (http_token_cookie(&w->head, &token))
		return ask_logon(s);
	if (!remembered(s, token)) {
		s->h->stats.tokens_checked++;
		if (logon_token(s->h->p.logon, &w->head, span_str(w->d.domain), wall_now_s(), &t) !=
		    TOKEN_OK)
			return ask_logon(s);
		memcpy(w->who, t.user, sizeof(w->who));
		memcpy(w->domain, t.domain, sizeof(w->domain));
		remember(s, token);
	}
	admit(s);
	return identified(s);
}

/* ---- what it asks for ---- */

/* The domain of a client that knows only a name of ours: the name, or what it lies below. */
static void domain_of_host(const struct core_http_stream *s, struct http_descriptor *d)
{
	struct span name = s->w->head.host.host;
	const struct clusters *all = s->h->p.clusters;

	while (name.n && !clusters_serve(all, name)) {
		const uint8_t *dot = memchr(name.p, '.', name.n);

		name = dot ? span_cut(name, (size_t)(dot - name.p) + 1, name.n) : SPAN("");
	}
	if (!name.n && clusters_n(all) && clusters_at(s->h->p.clusters, 0)->n_domains)
		name = span_str(clusters_at(s->h->p.clusters, 0)->domains[0]);
	(void)span_copy(name, d->domain, sizeof(d->domain));
}

static bool bad_service(struct core_http_stream *s, enum http_descriptor_why why)
{
	char text[160];

	(void)snprintf(text, sizeof(text), "No service is at this path: %s.",
		       http_descriptor_why_text(why));
	log_refused(s, http_descriptor_why_text(why), "rule=\"no service\"");
	return core_http_reply(s, 404, CORE_HTTP_NO_SERVICE, "", text);
}

static bool begin_service(struct core_http_stream *s)
{
	struct core_http_work *w = s->w;
	const struct http_head *h = &w->head;

	if (w->d.what == HTTP_PATH_RELAY)
		return ask_token(s);
	if (h->method != HTTP_M_GET && h->method != HTTP_M_HEAD)
		return core_http_reply(s, 405, CORE_HTTP_MALFORMED, "Allow: GET, HEAD\r\n",
				       "Only GET and HEAD are to be had here.");
	if (w->d.what == HTTP_PATH_WELL_KNOWN)
		domain_of_host(s, &w->d);
	(void)snprintf(w->domain, sizeof(w->domain), "%s", w->d.domain);
	if (w->d.what == HTTP_PATH_EDGE_CONFIG ||
	    (w->d.what == HTTP_PATH_WELL_KNOWN &&
	     (http_field_find(h, HTTP_H_AUTHORIZATION, 0, NULL) ||
	      http_field_find(h, HTTP_H_COOKIE, 0, NULL))))
		return ask_logon(s);
	return identified(s);
}

/* Connection rules that end a request right here. False with *there: it was answered. */
static bool begin_rules(struct core_http_stream *s, bool *there)
{
	struct core_http_work *w = s->w;
	enum http_websocket ws = http_websocket_request(&w->head);

	w->websocket = ws == HTTP_WS_OK;
	if (http_expect(&w->head) == HTTP_EXPECT_UNKNOWN)
		*there = core_http_reply(s, 417, CORE_HTTP_MALFORMED, "",
					 "Only 100-continue may be expected.");
	else if (w->head.method == HTTP_M_CONNECT || w->head.method == HTTP_M_TRACE)
		*there = core_http_reply(s, 405, CORE_HTTP_MALFORMED, "",
					 "CONNECT and TRACE are not relayed.");
	else if (ws == HTTP_WS_BAD)
		*there = core_http_reply(s, 400, CORE_HTTP_MALFORMED, "",
					 "This is no handshake of a WebSocket (RFC 6455 4.2.1).");
	else if (ws == HTTP_WS_VERSION)
		*there = core_http_reply(s, 426, CORE_HTTP_MALFORMED,
					 "Sec-WebSocket-Version: 13\r\n",
					 "Only version 13 of WebSocket is spoken.");
	else
		return true;
	return false;
}

static bool begin_malformed(struct core_http_stream *s, const struct http_refusal *why)
{
	char text[HTTP_REFUSAL_TEXT], esc[HTTP_REFUSAL_TEXT * 2];

	http_refusal_text(why, text, sizeof(text));
	log_event(LOG_L_INFO, "http-malformed", "stream=%llx client=%s reason=%s",
		  (unsigned long long)s->id, s->client_text,
		  log_esc(span_str(text), esc, sizeof(esc)));
	(void)snprintf(esc, sizeof(esc), "%s: wanted %s.", http_why_text(why->why),
		       http_why_wanted(why->why));
	s->w->keep = false;
	return core_http_reply(s, why->status, CORE_HTTP_MALFORMED, "", esc);
}

/* Nothing of the request before may be taken for this one's. */
void core_http_clear(struct core_http_work *w)
{
	w->asked = (struct http_asked){};
	w->body = (struct http_body){.done = true};
	w->old = w->keep = w->head_there = false;
	w->websocket = w->repeatable = w->sent = w->paused = w->close = w->dechunk = false;
	w->who[0] = w->domain[0] = 0;
	w->set_cookie_n = w->segment_n = w->moved = 0;
	w->d.what = HTTP_PATH_NONE;
	w->d.domain[0] = w->d.host[0] = 0;
	w->d.port = 0;
	w->used = 0;
	w->out.n = 0;
	w->out.full = false;
	w->rule[0] = 0;
	w->status = 0;
}

bool core_http_begin(struct core_http_stream *s)
{
	struct core_http_work *w = s->w;
	struct span in = span_of(w->buf, w->n);
	enum http_descriptor_why dwhy;
	struct http_refusal why = {};
	bool there = true;
	ssize_t n = -EAGAIN;

	if (!w->tried || http_head_retry(in, w->tried, &http_limits_default)) {
		w->tried = w->n;
		n = http_request_parse(in, &http_limits_default, &w->head, &why);
	}
	if (n == -EAGAIN && s->eof)
		core_http_end(s, true, "the client ended within a head");
	else if (n == -EAGAIN && !s->due_ms)
		core_http_due(s, s->h->head_ms);
	if (n == -EAGAIN)
		return false;
	core_http_clear(w);
	s->h->stats.requests++;
	s->requests++;
	s->due_ms = 0;
	if (n < 0)
		return begin_malformed(s, &why);
	w->used = (size_t)n;
	w->head_there = true;
	w->asked.method = w->head.method;
	w->old = w->head.minor == 0;
	w->keep = http_persistent(&w->head) &&
		  !(s->h->p.ops->ending && s->h->p.ops->ending(s->h->p.arg, s->edge));
	http_body_request(&w->head, &http_limits_default, &w->body);
	if (!begin_rules(s, &there))
		return there;
	if (http_descriptor_parse(&w->head.target, &w->d, &dwhy))
		return bad_service(s, dwhy);
	return begin_service(s);
}
