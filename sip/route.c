/* sip/route.c -- see route.h. In: parsed messages of clients and of call servers. Out: transactions, refusals. Owns
 * nothing. */
#include "sip/route.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>

#include "sip/call.h"
#include "sip/contact.h"
#include "sip/drain.h"
#include "sip/target.h"

#define SESSION_EXPIRES_S 1800
#define ROUTE_LINE	  1024
#define ROUTE_CONTACTS	  4096 /* the Contact fields of one message */
/* Fields that we may add: Via, two Record-Route, Path, ..., and a Route for each element of a list. */
#define ADDED_MAX (ROUTES_MAX + 8)
/* Below 2^31: for BYEs of our own in the name of either party. */
#define CSEQ_ROOM 1024

const char *route_transport(enum engine_transport t, bool upper)
{
	static const char *const names[][2] = {{"udp", "UDP"}, {"tcp", "TCP"}, {"tls", "TLS"}};

	return names[t][upper];
}

const char *route_via(const struct engine *e, const struct peer *down, uint64_t id, char *buf,
		      size_t n)
{
	struct token t = {.kind = TOKEN_BRANCH, .id = id};
	char tok[TOKEN_TEXT_MAX], host[256];
	const struct stream *s = down->kind == PEER_STREAM ? engine_stream(e, down->stream) : NULL;

	token_make(e, &t, tok);
	if (down->kind == PEER_STREAM)
		(void)snprintf(buf, n, "Via: SIP/2.0/TLS %s:%u;branch=z9hG4bK%s\r\n",
			       engine_uri_host(s ? s->edge->host : "", host, sizeof(host)),
			       s ? s->edge->port : 0, tok);
	else
		(void)snprintf(buf, n, "Via: SIP/2.0/%s %s:%u;branch=z9hG4bK%s;rport\r\n",
			       route_transport(down->transport, true), e->inside_host,
			       down->transport == ENGINE_TLS ? e->c.inside_tls_port
							     : e->c.inside_port,
			       tok);
	return buf;
}

const char *route_uri_inside(const struct engine *e, unsigned server, const char *tok, char *buf,
			     size_t n)
{
	enum engine_transport t = e->c.servers[server].transport;

	(void)snprintf(buf, n, "<sip:%s@%s:%u;transport=%s;lr>", tok, e->inside_host,
		       t == ENGINE_TLS ? e->c.inside_tls_port : e->c.inside_port,
		       route_transport(t, false));
	return buf;
}

const char *route_uri_edge(const struct stream *s, const char *tok, char *buf, size_t n)
{
	char host[256];

	(void)snprintf(buf, n, "<sip:%s@%s:%u;transport=tls;lr>", tok,
		       engine_uri_host(s->edge->host, host, sizeof(host)), s->edge->port);
	return buf;
}

void route_refuse(struct engine *e, const struct peer *up, const struct sip_msg *m, unsigned status,
		  const char *text, const char *reason)
{
	char from[96], call[64];

	engine_log(e, 1, "refused", "stream=%llx method=%s status=%u reason=%s from=%s call-id=%s",
		   up->kind == PEER_STREAM ? (unsigned long long)up->stream : 0ull,
		   sip_method_name(m->method), status, reason,
		   engine_esc(m->from.uri.whole, from, sizeof(from)),
		   engine_esc(m->call_id, call, sizeof(call)));
	txn_stateless(e, up, m, status, text, status == 503 ? ROUTE_RETRY_AFTER : NULL);
}

/* ---- sending on ---- */

/* RFC 5658: what faces the next hop goes on top. */
static size_t route_record(const struct engine *e, const struct txn *t, char *buf, size_t n)
{
	const struct call *c = t->call;
	struct token tok = {.kind = TOKEN_CALL, .id = c->id, .binding = c->binding};
	char text[TOKEN_TEXT_MAX], in[512], out[512];
	const struct stream *s =
		engine_stream(e, t->down.kind == PEER_STREAM ? t->down.stream : t->up.stream);
	int len;

	if (!s)
		return 0;
	token_make(e, &tok, text);
	route_uri_inside(e, c->server, text, in, sizeof(in));
	route_uri_edge(s, text, out, sizeof(out));
	len = snprintf(buf, n, "Record-Route: %s\r\nRecord-Route: %s\r\n",
		       t->down.kind == PEER_STREAM ? out : in,
		       t->down.kind == PEER_STREAM ? in : out);
	return len > 0 && (size_t)len < n ? (size_t)len : 0;
}

static void route_edit(const struct engine *e, const struct peer *up, const struct peer *down,
		       const struct sip_msg *m, struct edit *ed)
{
	ed->drop |= SIP_BIT(SIP_H_ROUTE);
	if (up->kind == PEER_STREAM && down->kind == PEER_INSIDE) {
		ed->drop |= IDENTITY_DROP;
		ed->trusted = &e->c.servers[down->server];
	}
	/* A digest that the call server did not take out is as good as the password's hash to who guesses. */
	if (down->kind == PEER_STREAM && m->method != SIP_M_NOTIFY)
		ed->drop |= SIP_BIT(SIP_H_AUTHORIZATION) | SIP_BIT(SIP_H_PROXY_AUTHORIZATION);
	ed->received = txn_source(e, up);
	ed->max_forwards = m->max_forwards < 0 ? 70 : m->max_forwards - 1;
}

/* RFC 4028 8.1: a call without Session-Expires gets one, so that a party which knows the extension keeps proving
 * that it lives. */
static void route_session_timer(struct txn *t, const struct sip_msg *m, char *buf, size_t n)
{
	size_t o = strlen(buf);

	if (!t->initial || t->method != SIP_M_INVITE ||
	    sip_header_find(m, SIP_H_SESSION_EXPIRES, 0, NULL))
		return;
	t->timer_added = true;
	t->timer_uac = sip_option_has(m, SIP_H_SUPPORTED, SPAN("timer"));
	(void)snprintf(buf + o, n - o, "Session-Expires: %d\r\n", SESSION_EXPIRES_S);
}

/* Mode `contact`: what a client gives as its Contact becomes ours, what the inside knows of it its own again. */
static bool route_contact(const struct engine *e, const struct call *c, uint64_t binding,
			  const struct peer *down, const struct sip_msg *m, struct edit *ed,
			  char *buf, size_t n)
{
	if (down->kind == PEER_STREAM) {
		ed->ruri = contact_target(e, c, &m->ruri);
		return true;
	}
	return !e->c.servers[down->server].contact_mode ||
	       contact_hide(e, down->server, binding, m, ed, buf, n);
}

void route_forward(struct engine *e, struct txn *t, const struct sip_msg *m, bool new_body,
		   struct span body)
{
	struct edit ed = EDIT_INIT;
	char first[ROUTE_LINE * 2], contacts[ROUTE_CONTACTS];
	struct routes ri;
	ssize_t n;
	size_t o;

	if (t->down.kind == PEER_STREAM && !engine_stream(e, t->down.stream)) {
		route_failed(e, t, 430, "Flow Failed"); /* left while we waited for ports */
		return;
	}
	(void)identity_routes(e, t->up.kind == PEER_STREAM ? engine_stream(e, t->up.stream) : NULL,
			      m, &ri);
	route_via(e, &t->down, t->id, first, ROUTE_LINE);
	o = strlen(first);
	if (t->record_route && t->call)
		(void)route_record(e, t, first + o, sizeof(first) - o);
	route_session_timer(t, m, first, sizeof(first));
	if (!route_contact(e, t->call, t->call ? t->call->binding : t->binding, &t->down, m, &ed,
			   contacts, sizeof(contacts))) {
		route_failed(e, t, 513, "Message Too Large");
		return;
	}
	ed.first = first;
	ed.new_body = new_body;
	ed.body = body;
	ed.routes = ri.r + t->skip_routes;
	ed.n_routes = ri.n > t->skip_routes ? ri.n - t->skip_routes : 0;
	route_edit(e, &t->up, &t->down, m, &ed);
	n = forward_request(m, &ed, e->out, e->buf_cap);
	if (n <= 0)
		route_failed(e, t, 513, "Message Too Large");
	else
		txn_send(e, t, span_of(e->out, (size_t)n));
}

void route_ack(struct engine *e, const struct call *c, const struct peer *up,
	       const struct peer *down, const struct sip_msg *m, const struct routes *ri,
	       bool new_body, struct span body)
{
	struct edit ed = EDIT_INIT;
	char first[ROUTE_LINE], contacts[ROUTE_CONTACTS];
	ssize_t n;

	if (!route_contact(e, c, c ? c->binding : 0, down, m, &ed, contacts, sizeof(contacts)))
		return;
	ed.first = route_via(e, down, engine_random64(e), first, sizeof(first));
	ed.new_body = new_body;
	ed.body = body;
	ed.routes = ri->r + ri->ours;
	ed.n_routes = ri->n - ri->ours;
	route_edit(e, up, down, m, &ed);
	n = forward_request(m, &ed, e->out, e->buf_cap);
	if (n > 0)
		engine_send(e, down, span_of(e->out, (size_t)n));
}

/* ---- requests, both sides ---- */

/* A new call or dialog is record-routed and known by a token. */
static bool route_makes_dialog(enum sip_method m)
{
	return m == SIP_M_INVITE || m == SIP_M_SUBSCRIBE || m == SIP_M_REFER;
}

static void route_start(struct engine *e, const struct peer *up, const struct peer *down,
			const struct sip_msg *m, const struct routes *ri, const struct call_from *f,
			struct call *c)
{
	struct txn *t;
	unsigned status = 503;
	bool fresh = !c && route_makes_dialog(m->method);

	/* A description in a dialog that has no media of ours would pass as it came. */
	if ((c && c->plain && call_bears_sdp(m->method)) ||
	    (!c && !fresh && m->body.n && call_bears_sdp(m->method))) {
		txn_stateless(e, up, m, 481, "Call/Transaction Does Not Exist", NULL);
		return;
	}
	if (fresh) {
		const struct target *at =
			up->kind == PEER_INSIDE ? target_of(e, up->server, &up->to) : NULL;

		c = call_new(e, f, m, &status);
		if (!c) {
			route_refuse(e, up, m, status,
				     status == 503 ? "Service Unavailable" : "Busy Here",
				     "calls-full");
			return;
		}
		if (at)
			c->inside_at = at->addr;
	}
	t = txn_new_server(e, up, m);
	if (!t) {
		if (fresh)
			call_end(e, c, "transactions-full");
		route_refuse(e, up, m, 503, "Service Unavailable", "transactions-full");
		return;
	}
	t->down = *down;
	if (down->kind == PEER_INSIDE)
		t->key = target_key(c ? c->user->aor : f->b->user->aor);
	t->skip_routes = ri->ours;
	t->binding = f->b ? f->b->id : 0;
	t->record_route = t->initial = fresh;
	if (!c) {
		route_forward(e, t, m, false, SPAN(""));
		return;
	}
	call_txn_attach(c, t);
	if (up->kind == PEER_INSIDE)
		txn_keep(e, t); /* it has its 100, and repeats nothing any more */
	call_request(e, c, t, m);
}

static void route_cancel(struct engine *e, const struct peer *up, const struct sip_msg *m)
{
	struct txn *t = txn_match(e, up, m, SIP_M_INVITE);

	if (!t) {
		txn_stateless(e, up, m, 481, "Call/Transaction Does Not Exist", NULL);
		return;
	}
	txn_stateless(e, up, m, 200, "OK", NULL);
	if (t->server != TXN_TRYING && t->server != TXN_PROCEEDING)
		return;
	if (t->held)
		route_failed(e, t, 487, "Request Terminated");
	else
		txn_cancel(e, t);
}

static void route_bad_extension(struct engine *e, const struct peer *up, const struct sip_msg *m)
{
	const struct sip_header *h = sip_header_find(m, SIP_H_PROXY_REQUIRE, 0, NULL);
	char more[256];

	(void)snprintf(more, sizeof(more), "Unsupported: %.*s\r\n",
		       h->value.n > 200 ? 200 : (int)h->value.n, (const char *)h->value.p);
	txn_stateless(e, up, m, 420, "Bad Extension",
		      memchr(h->value.p, '\n', h->value.n) ? NULL : more);
}

/* What needs no routing. True: done. */
static bool route_common(struct engine *e, const struct peer *up, const struct sip_msg *m)
{
	char name[TXN_NAME_MAX];
	struct txn *t;

	if (m->method == SIP_M_CANCEL) {
		route_cancel(e, up, m);
		return true;
	}
	if (m->method == SIP_M_ACK) {
		t = txn_match(e, up, m, SIP_M_INVITE);
		if (t && t->server == TXN_COMPLETED)
			txn_acked(e, t);
		return m->max_forwards == 0 || (t && t->server != TXN_ACCEPTED) ||
		       (m->to_tag.n > 4 && memcmp(m->to_tag.p, "spl-", 4) == 0);
	}
	t = txn_match(e, up, m, m->method);
	if (t) {
		txn_retransmitted(e, t);
		return true;
	}
	e->stats.requests++;
	if (txn_name(up, m, m->method, name, sizeof(name)) < 0) {
		route_refuse(e, up, m, 400, "Branch Or Method Too Long", "name-too-long");
		return true;
	}
	/* We read our own copy again, for its answers: ours must still fit into it. */
	if (m->n_headers + ADDED_MAX > SIP_HEADERS_MAX) {
		route_refuse(e, up, m, 513, "Too Many Header Fields", "too-many-headers");
		return true;
	}
	if (m->max_forwards == 0 && m->method == SIP_M_OPTIONS) { /* RFC 3261 11 */
		txn_stateless(e, up, m, 200, "OK", "Accept: application/sdp\r\n");
		return true;
	}
	if (m->max_forwards == 0) {
		route_refuse(e, up, m, 483, "Too Many Hops", "max-forwards");
		return true;
	}
	if (m->cseq > INT32_MAX - CSEQ_ROOM && m->method != SIP_M_REGISTER) {
		route_refuse(e, up, m, 400, "CSeq Too High", "cseq");
		return true;
	}
	if (sip_header_find(m, SIP_H_PROXY_REQUIRE, 0,
			    NULL)) { /* RFC 3261 16.3: we know no extension that asks for it */
		route_bad_extension(e, up, m);
		return true;
	}
	return false;
}

/* ---- from a client ---- */

static bool route_options_to_us(struct engine *e, const struct stream *s, const struct sip_msg *m)
{
	return m->method == SIP_M_OPTIONS && m->ruri.user.n == 0 && m->to_tag.n == 0 &&
	       (engine_server_of(e, m->ruri.host) >= 0 ||
		span_ieq(m->ruri.host, span_str(s->edge->host)));
}

static const char *route_in_dialog_why(const struct stream *s, const struct call *c,
				       const struct routes *ri, const struct sip_msg *m)
{
	bool exempt = m->method == SIP_M_BYE || m->method == SIP_M_ACK;
	const char *why = NULL;

	if (m->to_tag.n == 0)
		return "no-to-tag";
	if (!exempt && (!s->admitted || !binding_of_stream(s, c->user->aor)))
		return "not-admitted";
	if (!exempt && !identity_from(s, m, &why) && !dialog_from_ok(c, SIDE_CLIENT, m))
		return "from";
	if (!exempt && !identity_preferred(s, m))
		return "preferred-identity";
	if (!dialog_routes_ok(c, SIDE_INSIDE, ri))
		return "route";
	return dialog_target_ok(c, SIDE_INSIDE, &m->ruri) ? NULL : "target";
}

static void route_client_dialog(struct engine *e, struct stream *s, const struct peer *up,
				const struct sip_msg *m, const struct routes *ri)
{
	struct call *c = call_find(e, ri->token.id);
	const char *why = c ? route_in_dialog_why(s, c, ri, m) : NULL;
	struct peer down;

	if (!c || (c->state == CALL_ENDED && m->method != SIP_M_BYE && m->method != SIP_M_ACK)) {
		txn_stateless(e, up, m, 481, "Call/Transaction Does Not Exist", NULL);
		return;
	}
	if (why) {
		if (strcmp(why, "route") == 0 || strcmp(why, "target") == 0)
			e->stats.refused_route++;
		else
			e->stats.refused_identity++;
		route_refuse(e, up, m, 403,
			     strcmp(why, "not-admitted") == 0 ? "Register First" : "Forbidden",
			     why);
		return;
	}
	if (!dialog_tags_ok(c, SIDE_CLIENT, m)) {
		txn_stateless(e, up, m, 481, "Call/Transaction Does Not Exist", NULL);
		return;
	}
	/* ACK and BYE are believed for their token alone: that is not enough to get the dialog's requests. */
	if (binding_of_stream(s, c->user->aor))
		c->stream = s->id;
	down = target_peer(e, c->server, ri->ours < ri->n ? &ri->r[ri->ours].uri : &m->ruri,
			   &c->inside_at, target_key(c->user->aor));
	if (m->method == SIP_M_ACK) {
		bool new_body = false;
		struct span body = SPAN("");

		if (call_ack(e, c, SIDE_CLIENT, m, &new_body, &body) == 0)
			route_ack(e, c, up, &down, m, ri, new_body, body);
		return;
	}
	route_start(e, up, &down, m, ri, &(struct call_from){.s = s, .server = c->server}, c);
}

static void route_client_new(struct engine *e, struct stream *s, const struct peer *up,
			     const struct sip_msg *m, const struct routes *ri)
{
	const char *why = NULL;
	struct binding *b;
	struct peer down;

	if (m->method == SIP_M_ACK)
		return;
	b = identity_from(s, m, &why);
	if (!b) {
		e->stats.refused_identity++;
		route_refuse(e, up, m, 403, s->admitted ? "Forbidden" : "Register First", why);
		return;
	}
	if (ri->n != ri->ours || ri->has_token) {
		e->stats.refused_route++;
		route_refuse(e, up, m, 403, "Forbidden", "route");
		return;
	}
	if (m->to_tag.n) {
		txn_stateless(e, up, m, 481, "Call/Transaction Does Not Exist", NULL);
		return;
	}
	if (drain_refused(e, s, m))
		return;
	down = engine_peer_server(e, b->server);
	route_start(e, up, &down, m, ri,
		    &(struct call_from){.s = s,
					.b = b,
					.server = b->server,
					.outbound = true,
					.plain = m->method != SIP_M_INVITE},
		    NULL);
}

void engine_stream_recv(struct engine *e, uint64_t stream, const struct sip_msg *m, uint64_t now_ms)
{
	struct stream *s = engine_stream(e, stream);
	struct peer up = engine_peer_stream(stream);
	struct routes ri;
	struct txn *t;

	e->now = now_ms;
	if (!s)
		return;
	if (!m->request) {
		t = txn_match_response(e, &up, m);
		if (t)
			txn_response(e, t, m);
		else
			e->stats.refused_token++;
		return;
	}
	if (route_common(e, &up, m))
		return;
	if (m->method == SIP_M_REGISTER) {
		register_request(e, s, m);
	} else if (route_options_to_us(e, s, m)) {
		txn_stateless(e, &up, m, 200, "OK", "Accept: application/sdp\r\n");
	} else if (identity_routes(e, s, m, &ri)) {
		e->stats.refused_route++;
		e->stats.refused_token += ri.forged;
		route_refuse(e, &up, m, 403, "Forbidden", ri.forged ? "token" : "route");
	} else if (ri.has_token && ri.token.kind == TOKEN_CALL) {
		route_client_dialog(e, s, &up, m, &ri);
	} else {
		route_client_new(e, s, &up, m, &ri);
	}
}

/* ---- from inside ---- */

static void route_unavailable(struct engine *e, const struct peer *up, const struct sip_msg *m,
			      bool outbound)
{
	if (outbound)
		txn_stateless(e, up, m, 430, "Flow Failed", NULL);
	else
		txn_stateless(e, up, m, 480, "Temporarily Unavailable", NULL);
}

static void route_inside_dialog(struct engine *e, const struct peer *up, const struct sip_msg *m,
				const struct routes *ri)
{
	struct call *c = call_find(e, ri->token.id);
	struct binding *b = binding_find(e, ri->token.binding);
	struct stream *s = c ? call_stream(e, c) : b ? binding_stream(b) : NULL;
	struct peer down;
	bool new_body =
		m->body.n != 0; /* of an ACK: what it says of media is for calls known here */
	struct span body = SPAN("");

	if (c && c->server != up->server) {
		route_refuse(e, up, m, 403, "Forbidden", "server");
		return;
	}
	if (c && ((c->state == CALL_ENDED && m->method != SIP_M_BYE && m->method != SIP_M_ACK) ||
		  !dialog_tags_ok(c, SIDE_INSIDE, m))) {
		txn_stateless(e, up, m, 481, "Call/Transaction Does Not Exist", NULL);
		return;
	}
	if (!s) {
		if (c && m->method == SIP_M_BYE)
			call_end(e, c, "bye-inside");
		route_unavailable(e, up, m, b && b->outbound);
		return;
	}
	down = engine_peer_stream(s->id);
	if (m->method == SIP_M_ACK) {
		if (!c || call_ack(e, c, SIDE_INSIDE, m, &new_body, &body) == 0)
			route_ack(e, c, up, &down, m, ri, new_body, body);
		return;
	}
	/* An INVITE of a call that is not known here cannot get its media. */
	if (!c && route_makes_dialog(m->method)) {
		txn_stateless(e, up, m, 481, "Call/Transaction Does Not Exist", NULL);
		return;
	}
	route_start(e, up, &down, m, ri, &(struct call_from){.s = s, .b = b, .server = up->server},
		    c);
}

/* @id: the binding that its Route or, in mode `contact`, its Request-URI names. */
static void route_inside_new(struct engine *e, const struct peer *up, const struct sip_msg *m,
			     const struct routes *ri, uint64_t id)
{
	struct binding *b = binding_find(e, id);
	struct stream *s = NULL;
	struct peer down;

	if (m->method == SIP_M_ACK)
		return;
	if (b)
		b = drain_way(b, &s);
	if (b && b->server != up->server) {
		route_refuse(e, up, m, 403, "Forbidden", "server");
		return;
	}
	if (!s) {
		struct sip_param p;
		bool ob = b ? b->outbound
			    : ri->has_token && sip_param_find(ri->r[0].uri.params, SPAN("ob"), &p);

		route_unavailable(e, up, m, ob);
		return;
	}
	down = engine_peer_stream(s->id);
	route_start(
		e, up, &down, m, ri,
		&(struct call_from){
			.s = s, .b = b, .server = b->server, .plain = m->method != SIP_M_INVITE},
		NULL);
}

/* RFC 3261 18.2.2, RFC 3581 4: answers go to where the request came from, by Via's port without rport. */
static struct peer route_inside_peer(const struct engine_inside_src *src, const struct sip_msg *m)
{
	struct peer up = {.kind = PEER_INSIDE,
			  .server = src->server,
			  .transport = src->transport,
			  .to = src->from,
			  .conn = src->transport == ENGINE_UDP ? 0 : src->conn};

	if (m->request && src->transport == ENGINE_UDP && !m->via.has_rport)
		up.to.port = m->via.port ? m->via.port : 5060;
	return up;
}

void engine_inside_recv(struct engine *e, const struct engine_inside_src *src,
			const struct sip_msg *m, uint64_t now_ms)
{
	struct peer up = route_inside_peer(src, m);
	struct routes ri;
	struct txn *t;
	uint64_t id;

	e->now = now_ms;
	target_heard(e, src->server, &src->from);
	if (!m->request) {
		t = txn_match_response(e, &up, m);
		if (t)
			txn_response(e, t, m);
		else
			e->stats.refused_token++;
		return;
	}
	if (route_common(e, &up, m))
		return;
	if (identity_routes(e, NULL, m, &ri)) {
		e->stats.refused_route++;
		e->stats.refused_token += ri.forged;
		route_refuse(e, &up, m, 403, "Forbidden", ri.forged ? "token" : "route");
	} else if (ri.has_token && ri.token.kind == TOKEN_CALL) {
		route_inside_dialog(e, &up, m, &ri);
	} else if (ri.has_token) {
		route_inside_new(e, &up, m, &ri, ri.token.id);
	} else if (contact_read(e, &m->ruri, &id)) {
		/* RFC 3261 12.2.1.1: in a dialog it would have the Route that we recorded. */
		if (m->to_tag.n)
			route_refuse(e, &up, m, 481, "Call/Transaction Does Not Exist", "no-route");
		else
			route_inside_new(e, &up, m, &ri, id);
	} else if (m->method == SIP_M_OPTIONS) {
		txn_stateless(e, &up, m, 200, "OK", NULL);
	} else {
		route_refuse(e, &up, m, 404, "Not Found", "no-token");
	}
}
