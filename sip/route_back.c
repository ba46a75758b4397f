/* sip/route_back.c -- answers on their way back, and what is said where none will come.
 *
 * In: answers of a transaction from txn.c, from call.c with another body; failures. Out: answers upstream. Owns nothing. See
 * route.h. */
#include "sip/call.h"
#include "sip/contact.h"
#include "sip/credentials.h"
#include "sip/route.h"
#include "sip/scan.h"

#define SESSION_REFRESH_S 1800
#define SESSION_REFRESH	  "Session-Expires: 1800;refresher=uac\r\nRequire: timer\r\n"

/* RFC 4028 8.2: the callee does not know the extension, the caller does: so it refreshes. */
static bool route_session_added(const struct txn *t, const struct sip_msg *m)
{
	return t->timer_added && t->timer_uac && m->status / 100 == 2 &&
	       !sip_header_find(m, SIP_H_SESSION_EXPIRES, 0, NULL);
}

uint32_t route_session_expires(const struct txn *t, const struct sip_msg *m)
{
	const struct sip_header *h = sip_header_find(m, SIP_H_SESSION_EXPIRES, 0, NULL);
	uint32_t s;

	if (!h)
		return route_session_added(t, m) ? SESSION_REFRESH_S : 0;
	return sip_number(span_cut(h->value, 0, scan_run(h->value, SCAN_DIGIT)), UINT32_MAX, &s)
		       ? 0
		       : s;
}

/* What a client may not say in an answer: who it is, and which way the answer and the dialog's later requests go
 * inside (call servers follow the Via and the Record-Route of what they get). A challenge would have the inside phone
 * prove its password to the client; only NOTIFY of a call server has reasons to be challenged. False: the request is
 * no longer there, as it was answered. */
static bool route_client_answer(const struct engine *e, const struct txn *t,
				const struct sip_msg *m, struct edit *ed, struct sip_msg *req,
				struct sip_msg *sent)
{
	enum sip_why why;

	if (sip_msg_parse(blob_span(&t->req), false, t->req.n, req, &why) <= 0 ||
	    sip_msg_parse(blob_span(&t->sent), false, t->sent.n, sent, &why) <= 0)
		return false;
	ed->drop = IDENTITY_DROP | SIP_BIT(SIP_H_RECORD_ROUTE);
	if (t->method != SIP_M_NOTIFY)
		ed->drop |= SIP_BIT(SIP_H_WWW_AUTHENTICATE) | SIP_BIT(SIP_H_PROXY_AUTHENTICATE);
	ed->trusted = t->up.kind == PEER_INSIDE ? &e->c.servers[t->up.server] : NULL;
	ed->received = txn_source(e, &t->up);
	ed->way_back = req;
	ed->records = m->status < 300 ? sent : NULL;
	return true;
}

/* Mode `contact`: of a client's answer ours, of the answer to its REGISTER its own. */
static bool route_answer_contacts(struct engine *e, const struct txn *t, const struct sip_msg *m,
				  struct edit *ed, char *buf, size_t n)
{
	if (t->use == TXN_REGISTER)
		return register_contacts(e, t, m, ed);
	return t->down.kind != PEER_STREAM || t->up.kind != PEER_INSIDE ||
	       !e->c.servers[t->up.server].contact_mode ||
	       contact_hide(e, t->up.server, t->call ? t->call->binding : t->binding, m, ed, buf,
			    n);
}

void route_back(struct engine *e, struct txn *t, const struct sip_msg *m, bool new_body,
		struct span body)
{
	struct edit ed = EDIT_INIT;
	struct sip_msg req, sent;
	char values[4096];
	ssize_t n;

	ed.new_body = new_body;
	ed.body = body;
	if (route_session_added(t, m))
		ed.first = SESSION_REFRESH;
	if (t->down.kind == PEER_STREAM && !route_client_answer(e, t, m, &ed, &req, &sent))
		return;
	if (!route_answer_contacts(e, t, m, &ed, values, sizeof(values))) {
		txn_reply(e, t, 513, "Message Too Large", NULL);
		return;
	}
	if (t->down.kind != PEER_STREAM && (m->status == 401 || m->status == 407))
		credentials_challenge(e, t->down.server, m, t->reg_stale, &ed, values,
				      sizeof(values));
	if (t->use == TXN_REGISTER)
		/* Hosts of the inside that a client has no use for: requests go to its call server anyway, and of Path a
		 * UA knows nothing it could do (RFC 3327 5.4). */
		ed.drop |= SIP_BIT(SIP_H_SERVICE_ROUTE) | SIP_BIT(SIP_H_PATH);
	n = forward_response(m, &ed, e->out, e->buf_cap);
	if (n > 0)
		txn_respond(e, t, m->status, span_of(e->out, (size_t)n));
	else
		txn_reply(e, t, 513, "Message Too Large", NULL);
}

void route_response(struct engine *e, struct txn *t, const struct sip_msg *m)
{
	e->stats.responses++;
	if (t->call && t->initial && t->down.kind == PEER_INSIDE && m->status < 300)
		t->call->inside_at = t->down.to;
	if (t->use == TXN_REGISTER)
		register_response(e, t, m);
	else if (t->call)
		call_response(e, t, m);
	else
		route_back(e, t, m, false, SPAN(""));
}

void route_failed(struct engine *e, struct txn *t, unsigned status, const char *reason)
{
	struct binding *b = t->binding ? binding_find(e, t->binding) : NULL;

	if (t->use == TXN_OWN || t->use == TXN_PING)
		return;
	if (status == 430 && !(b && b->outbound)) {
		status = 480;
		reason = "Temporarily Unavailable";
	}
	t->held = false;
	txn_reply(e, t, status, reason, status == 503 ? ROUTE_RETRY_AFTER : NULL);
	if (t->call)
		call_failed(e, t, status);
}
