/* sip/call.c -- see call.h: life of a call and what passes in its dialog.
 *
 * In: requests and answers from route.c, media events from offer.c. Out: rewritten messages, ends. Owns struct call,
 * which lives on for CALL_LINGER_MS after its end, for late messages, and as long as a transaction names it. */
#include "sip/call.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "sip/body.h"
#include "sip/record.h"
#include "sip/route.h"

#define USER_DIALOGS_MAX 32
#define USER_CALLS_KEPT	 16 /* times calls_user_max: with those that have ended and linger */
#define MEDIA_WAIT_MS	 10000

/* ---- life ---- */

struct call *call_find(const struct engine *e, uint64_t id)
{
	struct tnode *n = table_find(&e->calls, id);

	return n ? table_entry(n, struct call, node) : NULL;
}

static void call_free(struct engine *e, struct call *c)
{
	offer_close_all(e, c);
	record_unlink(e, &c->record);
	timer_stop(&e->timers, &c->timer);
	timers_release(&e->timers, 1);
	table_del(&e->calls, &c->node);
	leg_free(&c->leg[0]);
	leg_free(&c->leg[1]);
	user_put(e, c->user);
	free(c->call_id);
	free(c->to_tag);
	free(c);
}

static void call_arm(struct engine *e, struct call *c)
{
	uint64_t idle = e->now + CALL_IDLE_MS;

	timer_set(&e->timers, &c->timer,
		  c->session_end && c->session_end < idle ? c->session_end : idle);
}

static void call_hang_up(struct engine *e, struct call *c, const char *reason)
{
	dialog_bye(e, c, SIDE_CLIENT);
	dialog_bye(e, c, SIDE_INSIDE);
	call_end(e, c, reason);
}

/* A call that silence does not end, since it is on hold or has no media, ends when neither media nor its dialog have
 * shown life. */
static void call_idle(struct engine *e, struct call *c)
{
	if (c->plain) {
		call_end(e, c, "expired");
	} else if (c->session_end && c->session_end <= e->now) {
		call_hang_up(e, c, "session-expired");
	} else if (offer_silent(c)) {
		call_hang_up(e, c, offer_held(c) ? "silence-on-hold" : "idle");
	} else {
		call_arm(e, c);
	}
}

static void call_timer(struct engine *e, void *owner)
{
	struct call *c = owner;

	if (c->state != CALL_ENDED)
		call_idle(e, c);
	else if (c->n_txns == 0)
		call_free(e, c);
	else
		c->over = true;
}

static void call_drop_oldest(struct engine *e, const struct user *u)
{
	struct call *old = NULL;
	struct tnode *n = NULL;

	while ((n = table_walk(&e->calls, n))) {
		struct call *c = table_entry(n, struct call, node);

		if (c->user == u && c->plain && c->state != CALL_ENDED &&
		    (!old || c->since < old->since))
			old = c;
	}
	if (old)
		call_end(e, old, "replaced");
}

static bool call_allowed(struct engine *e, const struct call_from *f)
{
	const struct user *u = f->b ? f->b->user : NULL;

	if (!u || e->stats.calls >= e->c.calls_max || e->calls.n >= 2ull * e->c.calls_max ||
	    u->refs >= USER_BINDINGS_MAX + USER_DIALOGS_MAX +
			       (uint64_t)USER_CALLS_KEPT * e->c.calls_user_max)
		return false;
	if (f->plain && u->dialogs >= USER_DIALOGS_MAX)
		call_drop_oldest(e, u);
	return f->plain || u->calls < e->c.calls_user_max;
}

static void call_count(struct engine *e, struct call *c, int by)
{
	*(c->plain ? &c->user->dialogs : &c->user->calls) += (unsigned)by;
	e->stats.calls += (uint64_t)by;
}

struct call *call_alloc(struct engine *e, uint64_t id)
{
	struct call *c;

	if (timers_reserve(&e->timers, 1))
		return NULL;
	c = calloc(1, sizeof(*c));
	if (!c) {
		timers_release(&e->timers, 1);
		return NULL;
	}
	c->id = id;
	c->record = (struct record){.kind = ENGINE_RECORD_CALL, .id = id};
	timer_init(&c->timer, call_timer, c);
	table_add(&e->calls, &c->node, id);
	return c;
}

void call_adopted(struct engine *e, struct call *c)
{
	call_count(e, c, 1);
}

void call_discard(struct engine *e, struct call *c)
{
	call_free(e, c);
}

struct call *call_new(struct engine *e, const struct call_from *f, const struct sip_msg *m,
		      unsigned *status)
{
	struct call *c;

	*status = 503;
	if (!call_allowed(e, f)) {
		e->stats.refused_full++;
		return NULL;
	}
	c = call_alloc(e, engine_random64(e));
	if (c)
		c->user = user_get(e, f->b->user->aor);
	if (!c || !c->user) {
		if (c)
			call_discard(e, c);
		return NULL;
	}
	c->binding = f->b->id;
	c->stream = f->s->id;
	c->server = f->server;
	c->plain = f->plain;
	c->outbound = f->outbound;
	c->since = e->now;
	call_count(e, c, 1);
	dialog_from_request(e, c, f->outbound ? SIDE_CLIENT : SIDE_INSIDE, m);
	if (c->plain)
		timer_set(&e->timers, &c->timer, e->now + DIALOG_LIFE_MS);
	else
		e->stats.calls_total++;
	return c;
}

static void call_log(struct engine *e, const struct call *c, int level, const char *event,
		     const char *reason)
{
	char user[80], id[80];

	if (c->plain)
		return;
	engine_log(e, level, event, "call=%llx stream=%llx direction=%s user=%s call-id=%s%s%s",
		   (unsigned long long)c->id, (unsigned long long)c->stream,
		   c->outbound ? "out-in" : "in-out",
		   engine_esc(span_str(c->user->aor), user, sizeof(user)),
		   engine_esc(span_str(c->call_id ? c->call_id : ""), id, sizeof(id)),
		   reason ? " reason=" : "", reason ? reason : "");
}

void call_end(struct engine *e, struct call *c, const char *reason)
{
	bool was_up = c->state == CALL_UP;

	if (c->state == CALL_ENDED)
		return;
	call_log(e, c, 2, "call-ended", reason);
	record_forget(e, &c->record);
	c->state = CALL_ENDED;
	c->waiting = NULL;
	offer_close_all(e, c);
	call_count(e, c, -1);
	timer_set(&e->timers, &c->timer, e->now + (was_up ? CALL_LINGER_MS : 0));
}

void call_txn_attach(struct call *c, struct txn *t)
{
	t->call = c;
	c->n_txns++;
}

void call_txn_gone(struct engine *e, struct txn *t)
{
	struct call *c = t->call;

	if (!c)
		return;
	t->call = NULL;
	if (c->waiting == t) {
		c->waiting = NULL;
		offer_abort(e, c);
	}
	if (t->initial && (c->state == CALL_NEW || c->state == CALL_EARLY) && !c->plain)
		call_end(
			e, c,
			"no-answer"); /* whatever way its INVITE went: a call does not outlive it */
	if (--c->n_txns == 0 && c->state == CALL_ENDED && c->over)
		call_free(e, c);
}

void call_free_all(struct engine *e)
{
	struct tnode *n;

	while ((n = table_walk(&e->calls, NULL)))
		call_free(e, table_entry(n, struct call, node));
}

struct stream *call_stream(const struct engine *e, const struct call *c)
{
	const struct binding *b = binding_find(e, c->binding);
	struct stream *s = b ? binding_stream(b) : NULL;

	return s ? s : engine_stream(e, c->stream);
}

void call_client_moved(struct engine *e, uint64_t id, const struct stream *s)
{
	struct tnode *n = NULL;

	while ((n = table_walk(&e->calls, n))) {
		struct call *c = table_entry(n, struct call, node);

		if (c->binding == id && c->state == CALL_UP && !c->plain)
			offer_moved(e, c, &s->client);
	}
}

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
	if (t->initial)
		call_log(e, c, 2, "call-started", NULL);
	else
		dialog_seen(c, from, m);
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
