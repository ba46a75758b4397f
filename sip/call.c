/* sip/call.c -- see call.h: what passes in a call's dialog.
 *
 * In: requests and answers from route.c, media events from offer.c. Out: rewritten messages, ends. A call is call_life.c's. */
#include "sip/call.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "sip/body.h"
#include "sip/record.h"
#include "sip/route.h"

#define MEDIA_WAIT_MS 10000

/* ---- requests ---- */

static enum side call_side(const struct peer *p)
{
	return p->kind == PEER_STREAM ? SIDE_CLIENT : SIDE_INSIDE;
}

bool call_bears_sdp(enum sip_method m)
{
	return m == SIP_M_INVITE || m == SIP_M_UPDATE || m == SIP_M_PRACK;
}

static void call_refuse_offer(struct engine *e, struct call *c, struct txn *t, enum offer_result r)
{
	char user[96];

	switch (r) {
	case OFFER_PENDING:
		txn_reply(e, t, 491, "Request Pending", NULL);
		break;
	case OFFER_FULL:
		e->stats.refused_full++;
		txn_reply(e, t, 503, "Service Unavailable", "Retry-After: 10\r\n");
		break;
	default:
		if (r == OFFER_PLAIN)
			e->stats.refused_plain_rtp++;
		engine_log(e, 1, "call-refused", "reason=%s call=%llx stream=%llx user=%s",
			   r == OFFER_PLAIN    ? "plain-rtp"
			   : r == OFFER_SECURE ? "srtp-inside"
					       : "bad-sdp",
			   (unsigned long long)c->id, (unsigned long long)c->stream,
			   engine_esc(span_str(c->user->aor), user, sizeof(user)));
		txn_reply(e, t, 488, "Not Acceptable Here", NULL);
	}
	if (t->initial)
		call_end(e, c, r == OFFER_PLAIN ? "plain-rtp" : "offer");
}

static void call_wait(struct engine *e, struct call *c, struct txn *t)
{
	c->waiting = t;
	t->held = true;
	txn_keep(e, t);
	timer_set(&e->timers, &t->client_end, e->now + MEDIA_WAIT_MS);
}

static void call_forward_offer(struct engine *e, struct call *c, struct txn *t,
			       const struct sip_msg *m, struct span sdp)
{
	struct span body = offer_write(e, c, m, sdp);

	if (body.n)
		route_forward(e, t, m, true, body);
	else
		route_failed(e, t, 513, "Message Too Large");
}

static void call_request_sdp(struct engine *e, struct call *c, struct txn *t,
			     const struct sip_msg *m, struct span sdp)
{
	enum side from = call_side(&t->up);
	enum offer_result r;
	struct span body;

	if (m->method == SIP_M_PRACK && offer_pending(c) && offer_from(c, !from)) {
		r = offer_answer(e, c, from, m, sdp, &body);
		if (r == OFFER_READY) {
			offer_finish(e, c);
			route_forward(e, t, m, true, body);
		} else {
			call_refuse_offer(e, c, t, r);
		}
		return;
	}
	r = offer_take(e, c, from, sdp);
	t->had_offer = r == OFFER_READY || r == OFFER_WAIT;
	if (r == OFFER_READY)
		call_forward_offer(e, c, t, m, sdp);
	else if (r == OFFER_WAIT)
		call_wait(e, c, t);
	else
		call_refuse_offer(e, c, t, r);
}

static bool call_unsubscribed(const struct sip_msg *m)
{
	const struct sip_header *h = sip_header_find(m, SIP_H_SUBSCRIPTION_STATE, 0, NULL);

	return m->method == SIP_M_NOTIFY && h &&
	       span_ieq(span_cut(h->value, 0, 10), SPAN("terminated"));
}

void call_request(struct engine *e, struct call *c, struct txn *t, const struct sip_msg *m)
{
	enum side from = call_side(&t->up);
	struct span sdp;
	int has;

	record_touch(e, &c->record);
	if (t->initial) {
		call_log(e, c, 2, "call-started", NULL);
		call_tell(e, c, ENGINE_CALL_STARTED, "");
	} else {
		dialog_seen(c, from, m);
	}
	if (m->method == SIP_M_BYE)
		call_end(e, c, from == SIDE_CLIENT ? "bye-client" : "bye-inside");
	if (c->state == CALL_UP)
		call_arm(e, c);
	if (c->plain && c->state != CALL_ENDED)
		timer_set(&e->timers, &c->timer,
			  e->now + (call_unsubscribed(m) ? CALL_LINGER_MS : DIALOG_LIFE_MS));
	has = call_bears_sdp(m->method) ? body_sdp(m, &sdp) : 0;
	if (has == 1) {
		call_request_sdp(e, c, t, m, sdp);
	} else if (has == 0) {
		route_forward(e, t, m, false, SPAN(""));
	} else {
		txn_reply(e, t, 415, "Unsupported Media Type",
			  "Accept: application/sdp, multipart/mixed\r\n");
		call_failed(e, t, 415);
	}
}

/* ---- answers ---- */

static void call_refuse_answer(struct engine *e, struct call *c, struct txn *t,
			       const struct sip_msg *m, const char *reason)
{
	enum side other = call_side(&t->down) == SIDE_CLIENT ? SIDE_INSIDE : SIDE_CLIENT;
	bool initial = t->initial;

	if (m->status < 300 && m->status >= 200)
		dialog_refuse_answer(e, c, t, m);
	else
		txn_cancel(e, t);
	txn_reply(e, t, 488, "Not Acceptable Here", NULL);
	if (!initial) /* the other leg has a dialog that has lost its far end */
		dialog_bye(e, c, other);
	call_end(e, c, reason);
}

/* RFC 4028 8.2: what a 2xx to INVITE or UPDATE says of the session's end holds until the next one. Who knows the extension
 * hangs up a little before (10); the same time behind it nobody is left who would. */
static void call_session(struct engine *e, struct call *c, const struct txn *t,
			 const struct sip_msg *m)
{
	uint64_t s = route_session_expires(t, m), grace = s / 3 < 32 ? s / 3 : 32;

	c->session_end = s ? e->now + (s + grace) * 1000 : 0;
	call_arm(e, c);
}

static void call_pass(struct engine *e, struct call *c, struct txn *t, const struct sip_msg *m,
		      bool new_body, struct span body)
{
	enum side from = call_side(&t->down);
	bool ok = m->status >= 200 && m->status < 300;

	if (t->method == SIP_M_INVITE && t->initial) {
		dialog_from_response(e, c, from, m);
		if (c->state == CALL_NEW && !ok)
			c->state = CALL_EARLY;
		if (ok && c->state != CALL_UP) {
			c->state = CALL_UP;
			c->since = e->now;
			c->to_tag = strndup((const char *)m->to_tag.p, m->to_tag.n);
			offer_unsilence(c); /* while it rang nothing had to be heard */
			call_log(e, c, 2, "call-answered", NULL);
			call_tell(e, c, ENGINE_CALL_ANSWERED, "");
		}
	} else if (ok) {
		dialog_refresh(c, from, m);
	}
	if (ok && t->had_offer)
		offer_finish(e, c);
	if (ok && (t->method == SIP_M_INVITE || t->method == SIP_M_UPDATE))
		call_session(e, c, t, m);
	route_back(e, t, m, new_body, body);
}

/* An offer in an answer: 2xx, or a reliable provisional one (RFC 3262 5), to an INVITE without. */
static void call_answer_offers(struct engine *e, struct call *c, struct txn *t,
			       const struct sip_msg *m, struct span sdp)
{
	enum side from = call_side(&t->down);
	enum offer_result r;
	struct span body;

	if (t->offered_back ||
	    (m->status < 200 && !sip_option_has(m, SIP_H_REQUIRE, SPAN("100rel")))) {
		call_pass(e, c, t, m, true, SPAN("")); /* a repetition, or not yet an offer */
		return;
	}
	r = offer_take(e, c, from, sdp);
	if (r == OFFER_WAIT && blob_set(&t->held_response, m->whole) == 0) {
		t->offered_back = true;
		c->waiting = t;
		return;
	}
	body = r == OFFER_READY ? offer_write(e, c, m, sdp) : SPAN("");
	t->offered_back = body.n != 0;
	if (body.n)
		call_pass(e, c, t, m, true, body);
	else
		call_refuse_answer(e, c, t, m, r == OFFER_PLAIN ? "plain-rtp" : "offer");
}

static void call_answer_sdp(struct engine *e, struct call *c, struct txn *t,
			    const struct sip_msg *m, struct span sdp)
{
	enum side from = call_side(&t->down);
	enum offer_result r;
	struct span body;

	if (!t->had_offer && t->method == SIP_M_INVITE)
		call_answer_offers(e, c, t, m, sdp);
	else if (!t->had_offer || !offer_from(c, !from))
		call_pass(e, c, t, m, true, SPAN(""));
	else if ((r = offer_answer(e, c, from, m, sdp, &body)) == OFFER_READY)
		call_pass(e, c, t, m, true, body);
	else
		call_refuse_answer(e, c, t, m,
				   r == OFFER_PLAIN ? "plain-rtp-answer" : "bad-answer");
}

/* True: this 2xx is not to be passed: another branch answered first, the caller has left, or it is a repetition. */
static bool call_answer_late(struct engine *e, struct call *c, struct txn *t,
			     const struct sip_msg *m)
{
	if (t->initial && c->to_tag && !span_eq(m->to_tag, span_str(c->to_tag))) {
		dialog_refuse_answer(e, c, t, m);
		return true;
	}
	if (t->server == TXN_ACCEPTED) {
		engine_send(e, &t->up, blob_span(&t->last));
		return true;
	}
	if (t->held_response.n)
		return true; /* waits for media */
	if (c->state == CALL_ENDED || t->up.kind == PEER_NONE ||
	    (t->server != TXN_TRYING && t->server != TXN_PROCEEDING)) {
		dialog_refuse_answer(e, c, t, m);
		if (t->initial)
			call_end(e, c, "caller-gone");
		return true;
	}
	return false;
}

static void call_rejected(struct engine *e, struct call *c, struct txn *t, const struct sip_msg *m)
{
	char reason[32];

	route_back(e, t, m, false, SPAN(""));
	if (t->had_offer || t->offered_back)
		offer_abort(e, c);
	if (!t->initial)
		return;
	(void)snprintf(reason, sizeof(reason), "status-%u", m->status);
	call_end(e, c, reason);
}

static void call_plain_response(struct engine *e, struct call *c, struct txn *t,
				const struct sip_msg *m)
{
	if (t->initial && m->status >= 200 && m->status < 300) {
		dialog_from_response(e, c, call_side(&t->down), m);
		c->answered = true;
	}
	route_back(e, t, m, false, SPAN(""));
	if (t->initial && m->status >= 300)
		call_end(e, c, "refused");
}

void call_response(struct engine *e, struct txn *t, const struct sip_msg *m)
{
	struct call *c = t->call;
	struct span sdp;
	int has;

	if (c->state != CALL_ENDED)
		record_touch(e, &c->record);
	if (c->plain) {
		call_plain_response(e, c, t, m);
	} else if (m->status >= 300) {
		call_rejected(e, c, t, m);
	} else if (m->status >= 200 && t->method == SIP_M_INVITE && call_answer_late(e, c, t, m)) {
		return;
	} else if (c->state == CALL_ENDED || !call_bears_sdp(t->method)) {
		route_back(e, t, m, false, SPAN(""));
	} else {
		has = body_sdp(m, &sdp);
		if (has == 1)
			call_answer_sdp(e, c, t, m, sdp);
		else
			call_pass(e, c, t, m, has < 0,
				  SPAN("")); /* what cannot be read does not pass */
	}
}

/* ---- ACK, failures, media ---- */

int call_ack(struct engine *e, struct call *c, enum side from, const struct sip_msg *m,
	     bool *new_body, struct span *body)
{
	struct span sdp;
	int has = c->plain || c->state == CALL_ENDED ? 0 : body_sdp(m, &sdp);
	bool wanted = offer_pending(c) && offer_from(c, !from);

	record_touch(e, &c->record);
	*new_body = m->body.n != 0;
	*body = SPAN("");
	if (has == 1 && offer_from(c, !from) &&
	    offer_answer(e, c, from, m, sdp, body) == OFFER_READY) {
		offer_finish(e, c);
		return 0;
	}
	if (!wanted)
		return 0;
	call_hang_up(e, c, "bad-answer");
	return -EBADMSG;
}

void call_failed(struct engine *e, struct txn *t, unsigned status)
{
	struct call *c = t->call;
	struct sip_msg m;
	enum sip_why why;
	char reason[32];

	if (c->waiting == t)
		c->waiting = NULL;
	if (t->held_response.n) {
		if (sip_msg_parse(blob_span(&t->held_response), false, t->held_response.n, &m,
				  &why) > 0 &&
		    m.status < 300 && m.status >= 200)
			dialog_refuse_answer(e, c, t, &m);
		blob_free(&t->held_response);
		if (!t->initial)
			call_hang_up(e, c, "media");
	}
	if (t->had_offer || t->offered_back)
		offer_abort(e, c);
	if (!t->initial)
		return;
	(void)snprintf(reason, sizeof(reason), "status-%u", status);
	call_end(e, c, reason);
}

void call_resume(struct engine *e, struct call *c)
{
	struct txn *t = c->waiting;
	struct blob held;
	struct sip_msg m;
	enum sip_why why;
	struct span sdp, body;

	c->waiting = NULL;
	if (!t)
		return;
	if (!t->held_response.n) {
		t->held = false;
		timer_stop(&e->timers, &t->client_end);
		if (sip_msg_parse(blob_span(&t->req), false, t->req.n, &m, &why) > 0 &&
		    body_sdp(&m, &sdp) == 1)
			call_forward_offer(e, c, t, &m, sdp);
		return;
	}
	held = t->held_response;
	t->held_response = (struct blob){0};
	if (sip_msg_parse(blob_span(&held), false, held.n, &m, &why) > 0 &&
	    body_sdp(&m, &sdp) == 1) {
		body = offer_write(e, c, &m, sdp);
		if (body.n)
			call_pass(e, c, t, &m, true, body);
		else
			call_refuse_answer(e, c, t, &m, "offer");
	}
	blob_free(&held);
}

void call_media_failed(struct engine *e, struct call *c, const char *reason)
{
	struct txn *t = c->waiting;
	char why[64];

	engine_log(e, 1, "media-failed", "call=%llx reason=%s", (unsigned long long)c->id,
		   engine_esc(span_str(reason ? reason : ""), why, sizeof(why)));
	if (t)
		route_failed(e, t, 503, "Service Unavailable");
	else if (c->state == CALL_UP)
		call_hang_up(e, c, "media");
}

void call_silent(struct engine *e, struct call *c)
{
	if (c->state == CALL_UP && offer_silent(c) && !offer_held(c))
		call_hang_up(e, c, "silence");
}
