/* sip/txn.c -- see txn.h. In: messages of one transaction and its timers. Out: messages, route_response(),
 * route_failed(). Owns struct txn. An ended transaction is freed by its timer in the next engine_tick(), so that
 * nobody up the call chain holds a freed one. */
#include "sip/txn.h"

#include <errno.h>
#include <stdlib.h>

#include "sip/call.h"
#include "sip/forward.h"
#include "sip/record.h"
#include "sip/route.h"
#include "sip/target.h"

#define TXN_TIMERS 4

static bool txn_unreliable(const struct peer *p)
{
	return p->kind == PEER_INSIDE && p->transport == ENGINE_UDP;
}

static bool txn_over(enum txn_state s)
{
	return s == TXN_NONE || s == TXN_ENDED;
}

bool txn_unanswered(const struct txn *t)
{
	return t->server == TXN_TRYING || t->server == TXN_PROCEEDING;
}

/* Its client has its final answer, or is gone: it may send another. */
static void txn_uncount(const struct engine *e, struct txn *t)
{
	struct stream *s = t->counted ? engine_stream(e, t->up.stream) : NULL;

	if (s)
		s->n_txns--;
	t->counted = false;
}

static void txn_unlink_stream(const struct engine *e, struct txn *t)
{
	struct stream *s = t->kept ? engine_stream(e, t->up.stream) : NULL;

	txn_uncount(e, t);
	if (s)
		s->n_kept--;
	t->kept = false;
	if (!t->stream_prev)
		return;
	*t->stream_prev = t->stream_next;
	if (t->stream_next)
		t->stream_next->stream_prev = t->stream_prev;
	t->stream_prev = NULL;
	t->stream_next = NULL;
}

void txn_link_stream(struct engine *e, struct txn *t, const struct peer *p)
{
	struct stream *s = p->kind == PEER_STREAM ? engine_stream(e, p->stream) : NULL;

	if (!s || t->stream_prev)
		return;
	t->stream_next = s->txns;
	t->stream_prev = &s->txns;
	if (s->txns)
		s->txns->stream_prev = &t->stream_next;
	s->txns = t;
}

void txn_free(struct engine *e, struct txn *t)
{
	if (e->c.keep) /* else the engine ends, and what is kept stays */
		record_forget(e, &t->record);
	record_unlink(e, &t->record);
	call_txn_gone(e, t);
	txn_unlink_stream(e, t);
	timer_stop(&e->timers, &t->server_again);
	timer_stop(&e->timers, &t->server_end);
	timer_stop(&e->timers, &t->client_again);
	timer_stop(&e->timers, &t->client_end);
	timers_release(&e->timers, TXN_TIMERS);
	table_del(&e->txns_branch, &t->by_branch);
	if (t->named)
		table_del(&e->txns_name, &t->by_name);
	blob_free(&t->name);
	blob_free(&t->req);
	blob_free(&t->sent);
	blob_free(&t->last);
	blob_free(&t->held_response);
	free(t);
	e->stats.transactions = e->txns_branch.n;
}

static void txn_settle(struct engine *e, struct txn *t)
{
	if (txn_over(t->server) && txn_over(t->client) && !t->held)
		timer_set(&e->timers, &t->server_end, e->now);
}

/* ---- timers ---- */

static void txn_server_again(struct engine *e, void *owner)
{
	struct txn *t = owner;

	if (t->server != TXN_COMPLETED)
		return;
	e->stats.retransmits++;
	engine_send(e, &t->up, blob_span(&t->last));
	t->server_wait = t->server_wait * 2 > T2_MS ? T2_MS : t->server_wait * 2;
	timer_set(&e->timers, &t->server_again, e->now + t->server_wait);
}

static void txn_server_end(struct engine *e, void *owner)
{
	struct txn *t = owner;

	if (t->server != TXN_NONE)
		t->server = TXN_ENDED;
	timer_stop(&e->timers, &t->server_again);
	if (txn_over(t->server) && txn_over(t->client) && !t->held)
		txn_free(e, t);
}

static void txn_client_again(struct engine *e, void *owner)
{
	struct txn *t = owner;

	if (t->client != TXN_TRYING && (t->client != TXN_PROCEEDING || t->method == SIP_M_INVITE))
		return;
	e->stats.retransmits++;
	engine_send(e, &t->down, blob_span(&t->sent));
	t->client_wait *= 2;
	if (t->method != SIP_M_INVITE && (t->client_wait > T2_MS || t->client == TXN_PROCEEDING))
		t->client_wait = T2_MS;
	timer_set(&e->timers, &t->client_again, e->now + t->client_wait);
}

static void txn_client_timeout(struct engine *e, void *owner)
{
	struct txn *t = owner;

	if (t->use == TXN_PING && (t->client == TXN_TRYING || t->client == TXN_PROCEEDING)) {
		txn_client_end(e, t);
		target_pong(e, t, NULL);
		return;
	}
	if (t->client == TXN_PROCEEDING && t->method == SIP_M_INVITE && !t->cancelled) {
		txn_cancel(e, t); /* timer C: RFC 3261 16.8 */
		return;
	}
	if (t->held) {
		t->held = false;
		e->stats.timeouts++;
		route_failed(e, t, 503, "Media Ports Timed Out");
	} else if (t->client == TXN_TRYING || t->client == TXN_PROCEEDING) {
		bool cancelled = t->cancelled;

		e->stats.timeouts++;
		txn_client_end(e, t);
		route_failed(e, t, cancelled ? 487 : 408,
			     cancelled ? "Request Terminated" : "Request Timeout");
	} else {
		t->client = TXN_ENDED;
		if (t->server == TXN_TRYING ||
		    t->server == TXN_PROCEEDING) /* an answer that waited for media */
			route_failed(e, t, 503, "Media Ports Timed Out");
	}
	txn_settle(e, t);
}

/* ---- making ---- */

struct txn *txn_alloc(struct engine *e, enum sip_method method, uint64_t id)
{
	struct txn *t;

	if (e->txns_branch.n >= e->c.transactions_max || timers_reserve(&e->timers, TXN_TIMERS)) {
		e->stats.refused_full++;
		return NULL;
	}
	t = calloc(1, sizeof(*t));
	if (!t) {
		timers_release(&e->timers, TXN_TIMERS);
		return NULL;
	}
	t->id = id ? id : engine_random64(e);
	t->method = method;
	timer_init(&t->server_again, txn_server_again, t);
	timer_init(&t->server_end, txn_server_end, t);
	timer_init(&t->client_again, txn_client_again, t);
	timer_init(&t->client_end, txn_client_timeout, t);
	table_add(&e->txns_branch, &t->by_branch, engine_hash(e, span_of(&t->id, sizeof(t->id))));
	e->stats.transactions = e->txns_branch.n;
	return t;
}

int txn_name_set(struct engine *e, struct txn *t, const struct sip_msg *m)
{
	char name[TXN_NAME_MAX];
	ssize_t n = txn_name(&t->up, m, m->method, name, sizeof(name));

	if (n <= 0)
		return -E2BIG;
	if (blob_set(&t->name, span_of(name, (size_t)n)) || blob_set(&t->req, m->whole))
		return -ENOMEM;
	table_add(&e->txns_name, &t->by_name, engine_hash(e, blob_span(&t->name)));
	t->named = true;
	return 0;
}

struct txn *txn_new_server(struct engine *e, const struct peer *up, const struct sip_msg *m)
{
	struct stream *s = up->kind == PEER_STREAM ? engine_stream(e, up->stream) : NULL;
	struct txn *t;
	ssize_t n;

	if (s && (s->n_txns >= (s->admitted ? STREAM_TXNS_MAX : STREAM_TXNS_NEW) ||
		  s->n_kept >= STREAM_TXNS_KEPT)) {
		e->stats.refused_full++;
		return NULL;
	}
	t = txn_alloc(e, m->method, 0);
	if (!t)
		return NULL;
	t->up = *up;
	t->counted = t->kept = s != NULL;
	if (s) {
		s->n_txns++;
		s->n_kept++;
	}
	if (txn_name_set(e, t, m)) {
		txn_free(e, t);
		return NULL;
	}
	t->server = TXN_TRYING;
	txn_link_stream(e, t, up);
	if (m->method == SIP_M_INVITE) {
		n = forward_answer(m, txn_source(e, up), 100, "Trying", NULL, NULL, e->out,
				   e->buf_cap);
		if (n > 0)
			txn_respond(e, t, 100, span_of(e->out, (size_t)n));
	}
	return t;
}

struct txn *txn_new_own(struct engine *e, enum sip_method method)
{
	struct txn *t = txn_alloc(e, method, 0);

	if (t)
		t->use = TXN_OWN;
	return t;
}

/* ---- server side ---- */

void txn_retransmitted(struct engine *e, struct txn *t)
{
	e->stats.retransmits++;
	if (t->last.n && t->server != TXN_CONFIRMED && t->server != TXN_ENDED &&
	    t->server != TXN_ACCEPTED)
		engine_send(e, &t->up, blob_span(&t->last));
}

void txn_acked(struct engine *e, struct txn *t)
{
	if (t->server != TXN_COMPLETED || t->method != SIP_M_INVITE)
		return;
	t->server = TXN_CONFIRMED;
	timer_stop(&e->timers, &t->server_again);
	timer_set(&e->timers, &t->server_end, e->now + (txn_unreliable(&t->up) ? T4_MS : 0));
}

static void txn_server_final(struct engine *e, struct txn *t, unsigned status)
{
	bool udp = txn_unreliable(&t->up) || (t->orphan && t->up.kind == PEER_INSIDE);
	uint32_t life = TIMEOUT_MS;

	txn_uncount(e, t);
	if (t->method == SIP_M_INVITE && status < 300) {
		t->server = TXN_ACCEPTED; /* L */
	} else {
		t->server = TXN_COMPLETED; /* H or J */
		if (t->method == SIP_M_INVITE && udp) {
			t->server_wait = T1_MS;
			timer_set(&e->timers, &t->server_again, e->now + T1_MS);
		}
		if (t->method != SIP_M_INVITE && !udp)
			life = 0;
	}
	timer_set(&e->timers, &t->server_end, e->now + life);
	txn_keep_over(e, t);
}

void txn_respond(struct engine *e, struct txn *t, unsigned status, struct span data)
{
	bool again = t->server == TXN_ACCEPTED && status >= 200 && status < 300;

	if (t->server != TXN_TRYING && t->server != TXN_PROCEEDING && !again)
		return;
	engine_send(e, &t->up, data);
	if (again)
		return;
	/* Without memory for the copy a retransmission goes unanswered and the sender's own timer ends it. */
	if (blob_set(&t->last, data) == 0)
		t->last_status = status;
	if (status < 200)
		t->server = TXN_PROCEEDING;
	else
		txn_server_final(e, t, status);
}

void txn_reply(struct engine *e, struct txn *t, unsigned status, const char *reason,
	       const char *more)
{
	struct sip_msg m;
	enum sip_why why;
	char tag[17];
	ssize_t n;

	if (t->up.kind == PEER_NONE ||
	    sip_msg_parse(blob_span(&t->req), false, t->req.n, &m, &why) <= 0)
		return;
	engine_random_text(e, tag, sizeof(tag));
	n = forward_answer(&m, txn_source(e, &t->up), status, reason, tag, more, e->out,
			   e->buf_cap);
	if (n > 0)
		txn_respond(e, t, status, span_of(e->out, (size_t)n));
}

const struct addr *txn_source(const struct engine *e, const struct peer *up)
{
	const struct stream *s;

	if (up->kind == PEER_INSIDE)
		return &up->to;
	s = engine_stream(e, up->stream);
	return s ? &s->client : NULL;
}

void txn_stateless(struct engine *e, const struct peer *up, const struct sip_msg *m,
		   unsigned status, const char *reason, const char *more)
{
	char tag[17];
	ssize_t n;

	if (m->method == SIP_M_ACK)
		return;
	engine_random_text(e, tag, sizeof(tag));
	memcpy(tag, "spl-", 4); /* route.c knows the ACK to it by this */
	n = forward_answer(m, txn_source(e, up), status, reason, tag, more, e->out, e->buf_cap);
	if (n > 0)
		engine_send(e, up, span_of(e->out, (size_t)n));
}

/* ---- client side ---- */

void txn_client_start(struct engine *e, struct txn *t)
{
	t->client = TXN_TRYING;
	if (t->down.kind == PEER_INSIDE && t->n_tried < TXN_TRIES_MAX)
		t->tried[t->n_tried++] = t->down.to;
	txn_keep(e, t);
	engine_send(e, &t->down, blob_span(&t->sent));
	if (t->down.kind == PEER_INSIDE && t->use != TXN_PING)
		target_asked(e, t->down.server, &t->down.to);
	if (!txn_unreliable(&t->down))
		return;
	t->client_wait = T1_MS;
	timer_set(&e->timers, &t->client_again, e->now + T1_MS);
}

void txn_send(struct engine *e, struct txn *t, struct span data)
{
	if (blob_set(&t->sent, data)) {
		route_failed(e, t, 500, "Server Internal Error");
		return;
	}
	txn_link_stream(e, t, &t->down);
	if (t->down.kind == PEER_INSIDE) {
		t->pinned = t->down.to.port != 0;
		if (!t->pinned)
			(void)target_pick(e, t->down.server, t->key, NULL, 0, &t->down.to);
	}
	timer_set(&e->timers, &t->client_end,
		  e->now + (t->use == TXN_PING ? TARGET_PING_MS : TIMEOUT_MS));
	txn_client_start(e, t);
}

void txn_send_hop(struct engine *e, struct txn *t, const char *method, struct span to,
		  struct txn *with)
{
	struct sip_msg m;
	enum sip_why why;
	ssize_t n;

	if (sip_msg_parse(blob_span(&t->sent), false, t->sent.n, &m, &why) <= 0)
		return;
	n = forward_hop(&m, method, to, e->out, e->buf_cap);
	if (n <= 0)
		return;
	if (with)
		txn_send(e, with, span_of(e->out, (size_t)n));
	else
		engine_send(e, &t->down, span_of(e->out, (size_t)n));
}

void txn_cancel(struct engine *e, struct txn *t)
{
	struct txn *c;

	t->cancelled = true;
	if (t->client != TXN_PROCEEDING || t->cancel_sent || t->method != SIP_M_INVITE)
		return; /* RFC 3261 9.1: not before a provisional answer */
	t->cancel_sent = true;
	timer_set(&e->timers, &t->client_end, e->now + TIMEOUT_MS);
	c = txn_alloc(e, SIP_M_CANCEL, t->id);
	if (!c)
		return;
	c->is_cancel = true;
	c->use = TXN_OWN;
	c->down = t->down;
	txn_send_hop(e, t, "CANCEL", SPAN(""), c);
	if (c->client == TXN_NONE)
		txn_settle(e, c);
}

static bool txn_provisional(struct engine *e, struct txn *t, unsigned status)
{
	if (t->client != TXN_TRYING && t->client != TXN_PROCEEDING)
		return false;
	if (t->client == TXN_TRYING) { /* a restored one may be cancelled at once from now on */
		t->client = TXN_PROCEEDING;
		if (t->record.kept)
			txn_keep(e, t);
	}
	if (t->method == SIP_M_INVITE) {
		timer_stop(&e->timers, &t->client_again);
		if (!t->cancelled)
			timer_set(&e->timers, &t->client_end, e->now + TIMER_C_MS);
		else if (!t->cancel_sent)
			txn_cancel(e, t);
	}
	return status > 100;
}

static bool txn_final(struct engine *e, struct txn *t, const struct sip_msg *m)
{
	bool udp = txn_unreliable(&t->down), invite = t->method == SIP_M_INVITE;
	const struct sip_header *to = sip_header_find(m, SIP_H_TO, 0, NULL);
	bool first = t->client == TXN_TRYING || t->client == TXN_PROCEEDING;

	if (invite && m->status >= 300 && (first || t->client == TXN_COMPLETED) && to)
		txn_send_hop(e, t, "ACK", to->value, NULL);
	if (t->client == TXN_ACCEPTED && m->status < 300)
		return true;
	if (!first)
		return false;
	timer_stop(&e->timers, &t->client_again);
	if (invite && m->status < 300) {
		t->client = TXN_ACCEPTED; /* M */
		timer_set(&e->timers, &t->client_end, e->now + TIMEOUT_MS);
	} else {
		/* D; K is 0: an answer that comes again finds no transaction and is dropped (route.c), and at thousands
		 * of REGISTERs a second five seconds each would fill the table. */
		t->client = TXN_COMPLETED;
		timer_set(&e->timers, &t->client_end, e->now + (udp && invite ? TIMEOUT_MS : 0));
	}
	return true;
}

/* After its final answer a transaction lives on for seconds only to absorb and repeat: what that does not need goes
 * now. */
static void txn_trim(struct txn *t)
{
	if (t->server < TXN_COMPLETED)
		return;
	blob_free(&t->req);
	if (t->method != SIP_M_INVITE || t->client == TXN_ACCEPTED)
		blob_free(&t->sent);
	if (t->method != SIP_M_INVITE && !txn_unreliable(&t->up))
		blob_free(&t->last);
}

void txn_response(struct engine *e, struct txn *t, const struct sip_msg *m)
{
	bool pass;

	if (txn_busy(e, t, m))
		return;
	pass = m->status < 200 ? txn_provisional(e, t, m->status) : txn_final(e, t, m);
	if (pass && t->use == TXN_PING && m->status >= 200)
		target_pong(e, t, m);
	if (!pass || t->use == TXN_OWN || t->use == TXN_PING)
		return;
	route_response(e, t, m);
	txn_keep_over(e, t);
	txn_trim(t);
	txn_settle(e, t);
}

void txn_client_end(struct engine *e, struct txn *t)
{
	timer_stop(&e->timers, &t->client_again);
	timer_stop(&e->timers, &t->client_end);
	t->client = TXN_ENDED;
	txn_keep_over(e, t);
	txn_settle(e, t);
}

/* ---- ends that go away ---- */

static void txn_up_gone(struct engine *e, struct txn *t)
{
	bool pending = txn_unanswered(t);

	t->up.kind = PEER_NONE;
	t->server = TXN_ENDED;
	timer_stop(&e->timers, &t->server_again);
	if (t->held || t->held_response.n) {
		t->held = false;
		route_failed(e, t, 487, "Request Terminated");
	} else if (pending && t->method == SIP_M_INVITE) {
		txn_cancel(e, t);
	}
	txn_settle(e, t);
}

/* Also when its answer has come but waits for media ports. */
void txn_down_gone(struct engine *e, struct txn *t, unsigned status, const char *reason)
{
	bool pending = t->client == TXN_TRYING || t->client == TXN_PROCEEDING || txn_unanswered(t);

	txn_client_end(e, t);
	if (pending)
		route_failed(e, t, status, reason);
	txn_settle(e, t);
}

void txn_stream_gone(struct engine *e, struct stream *s)
{
	struct txn *t;

	while ((t = s->txns)) {
		txn_unlink_stream(e, t);
		if (t->up.kind == PEER_STREAM && t->up.stream == s->id)
			txn_up_gone(e, t);
		else if (t->cancelled)
			txn_down_gone(e, t, 487, "Request Terminated");
		else
			txn_down_gone(e, t, 430, "Flow Failed");
	}
}

void txn_free_all(struct engine *e)
{
	struct tnode *n;

	while ((n = table_walk(&e->txns_branch, NULL)))
		txn_free(e, table_entry(n, struct txn, by_branch));
}
