/* sip/txn_record.c -- a call's first INVITE that waits for its final answer, as a record; and how it ends in an engine that
 * follows.
 *
 * In: struct txn, or bytes. Out: bytes; or CANCEL to the call server that was called, an answer to the one that calls.
 * A client's INVITE that still waits for media ports (INVITE_UNSENT) was sent nowhere: of it only the client is told.
 * Kept is what is needed of the hop to the call server: of an INVITE from a client its head as it was sent, of one to a client
 * its head as it came, without bodies; and the same of the hop to the client, with its stream. Its call cannot be carried on, since
 * the media ports that it was about went with the engine before; so a restored one is ended as if the stream had been closed:
 *   from a client: CANCEL (RFC 3261 9.1), at once if a provisional answer was there, else when one comes; the final answer that
 *   follows is ACKed, and a 2xx that crossed the CANCEL gets ACK and BYE. Over TCP and TLS a call server may send that answer to the
 *   connection that went with the engine: then we end without it, and who answered hangs up for want of an ACK (RFC 3261 13.3.1.4);
 *   to a client: 480, or 430 (RFC 5626 5.3.1) where the device registered with outbound. Not 503: a call server that hears it may
 *   pass the core, which is back, over for a while (RFC 3261 21.5.4), but may well try the user's other devices or mailbox.
 * The client hears of it where its stream has outlived the engine: one that calls by 500, one that is called by CANCEL, with ACK and BYE
 * for a 2xx that crossed it. Other requests, and INVITEs in a call that stands, are not kept.
 * Where its call is kept as well, the engine went while the 2xx was handed out: both end (invite_crossed()).
 * The call itself is over from the start (its ports are closed by the caller) and stays as long as its transaction, for its ids.
 * Refused is a record whose call server is reached in another way by now (transport): what is sent in clear must not follow what was not.
 * Owner rules: txn.c owns struct txn. The record stays until the inside has, or has given, the final answer: if this engine goes
 * before that, a further one tries again. */
#include <errno.h>
#include <stdlib.h>

#include "sip/call.h"
#include "sip/forward.h"
#include "sip/record.h"
#include "sip/route.h"

/* From a client; it had a provisional answer; the hop to the client is there; that to the call server is not. */
enum {
	INVITE_OUTBOUND = 1,
	INVITE_PROCEEDING = 2,
	INVITE_STREAM = 4,
	INVITE_UNSENT = 8,
	INVITE_FLAGS = 15
};

static bool invite_unsent(const struct txn *t)
{
	return t->held && t->up.kind == PEER_STREAM && t->down.kind == PEER_INSIDE;
}

/* The side of it that is inside has no final answer, or one that waits for media ports: a 2xx without its ACK, which comes again. */
static bool invite_pending(const struct txn *t)
{
	if (invite_unsent(t))
		return txn_unanswered(t);
	if (t->down.kind == PEER_INSIDE)
		return t->client == TXN_TRYING || t->client == TXN_PROCEEDING || t->held_response.n;
	return t->up.kind == PEER_INSIDE && txn_unanswered(t);
}

void txn_keep(struct engine *e, struct txn *t)
{
	if (!t->initial || t->method != SIP_M_INVITE || !t->call)
		return;
	t->record.kind = ENGINE_RECORD_INVITE;
	t->record.id = t->call->id;
	record_touch(e, &t->record);
}

void txn_keep_over(struct engine *e, struct txn *t)
{
	if (t->record.id && !invite_pending(t))
		record_forget(e, &t->record);
	else if (t->record.id)
		record_touch(e, &t->record);
}

/* What answers to @req are made of. */
static ssize_t invite_head(const struct sip_msg *req, void *buf, size_t cap)
{
	struct sip_out o;
	unsigned i;

	sip_out_init(&o, buf, cap);
	sip_out_span(&o, req->start_line);
	sip_out_text(&o, "\r\n");
	for (i = 0; i < req->n_headers; i++) {
		const struct sip_header *h = &req->headers[i];

		if (h->id == SIP_H_VIA || h->id == SIP_H_FROM || h->id == SIP_H_TO ||
		    h->id == SIP_H_CALL_ID || h->id == SIP_H_CSEQ)
			sip_out_span(&o, h->line);
	}
	return sip_out_body(&o, SPAN(""));
}

/* Of the hop to the call server (@inside) or to the client. */
static void invite_put_head(struct engine *e, const struct txn *t, bool inside,
			    struct record_out *o)
{
	bool sent = (t->down.kind == PEER_INSIDE) == inside;
	const struct blob *b = sent ? &t->sent : &t->req;
	struct sip_msg m;
	enum sip_why why;
	ssize_t n = -1;

	if (sip_msg_parse(blob_span(b), false, b->n, &m, &why) > 0)
		n = sent ? forward_hop(&m, "INVITE", SPAN(""), e->out, e->buf_cap)
			 : invite_head(&m, e->out, e->buf_cap);
	record_put_span(o, span_of(e->out, n > 0 ? (size_t)n : 0));
	o->overflow |= n <= 0;
}

/* The client waits for something: the answer to its INVITE, or its own answer is waited for. 0: not. */
static uint64_t invite_stream(const struct txn *t)
{
	if (t->down.kind == PEER_INSIDE)
		return t->up.kind == PEER_STREAM && txn_unanswered(t) ? t->up.stream : 0;
	return t->down.kind == PEER_STREAM &&
			       (t->client == TXN_TRYING || t->client == TXN_PROCEEDING)
		       ? t->down.stream
		       : 0;
}

bool txn_record(struct engine *e, const struct record *r, struct record_out *o)
{
	const struct txn *t = record_owner(r, struct txn);
	bool out = t->down.kind == PEER_INSIDE, unsent = invite_unsent(t);
	const struct peer *p = out ? &t->down : &t->up;
	uint64_t stream = invite_stream(t);

	if (!invite_pending(t) || !t->call || (!unsent && !p->to.port))
		return false;
	record_put(o,
		   (out ? INVITE_OUTBOUND : 0u) |
			   (t->client == TXN_PROCEEDING ? INVITE_PROCEEDING : 0u) |
			   (stream ? INVITE_STREAM : 0u) | (unsent ? INVITE_UNSENT : 0u),
		   1);
	record_put(o, t->call->binding, 8);
	record_put_text(o, e->c.servers[p->server].name);
	record_put_text(o, t->call->user->aor);
	if (!unsent) {
		record_put(o, p->transport, 1);
		record_put_addr(o, &p->to);
		invite_put_head(e, t, true, o);
	}
	if (!stream)
		return true;
	record_put(o, stream, 8);
	invite_put_head(e, t, false, o);
	return true;
}

/* ---- back ---- */

struct invite {
	unsigned flags;
	uint64_t binding, branch, stream;
	char *aor;
	struct peer peer;
	struct sip_msg m, client; /* the two hops */
};

/* The transaction that our own Via names. */
static bool invite_branch(const struct engine *e, const struct sip_msg *m, struct invite *v)
{
	struct span b = m->via.branch;
	struct token tok;

	if (b.n < 7 || token_read(e, span_cut(b, 7, b.n), &tok) || tok.kind != TOKEN_BRANCH)
		return false;
	v->branch = tok.id;
	return tok.id != 0;
}

static bool invite_get_head(struct record_in *in, struct sip_msg *m)
{
	struct span head = record_get_span(in);
	enum sip_why why;

	return !in->bad && sip_msg_parse(head, false, head.n, m, &why) == (ssize_t)head.n &&
	       m->request && m->method == SIP_M_INVITE;
}

/* The hop to the call server. */
static bool invite_read_peer(const struct engine *e, struct record_in *in, struct invite *v)
{
	unsigned transport = (unsigned)record_get(in, 1);

	record_get_addr(in, &v->peer.to);
	if (in->bad || transport > ENGINE_TLS || !v->peer.to.port || !invite_get_head(in, &v->m))
		return false;
	v->peer.kind = PEER_INSIDE; /* a stream that it came on has gone: no .conn */
	v->peer.transport = (enum engine_transport)transport;
	return !(v->flags & INVITE_OUTBOUND) ||
	       v->peer.transport == e->c.servers[v->peer.server].transport;
}

static bool invite_read(struct engine *e, struct record_in *in, struct invite *v)
{
	bool heads;
	int server;

	v->flags = (unsigned)record_get(in, 1);
	v->binding = record_get(in, 8);
	server = record_get_server(e, in);
	v->aor = record_get_text(in, AOR_MAX - 1);
	if (in->bad || server < 0 || !v->aor || v->flags > INVITE_FLAGS)
		return false;
	v->peer.server = (unsigned)server;
	if (v->flags & INVITE_UNSENT)
		heads = (v->flags & ~(unsigned)INVITE_UNSENT) == (INVITE_OUTBOUND | INVITE_STREAM);
	else
		heads = invite_read_peer(e, in, v);
	if (v->flags & INVITE_STREAM) {
		v->stream = record_get(in, 8);
		heads = heads && v->stream && invite_get_head(in, &v->client);
	}
	if (!heads || in->bad || in->n)
		return false;
	if (v->flags & INVITE_UNSENT)
		v->branch = engine_random64(e);
	if (v->flags & INVITE_UNSENT || !(v->flags & (INVITE_OUTBOUND | INVITE_STREAM)))
		return true;
	return invite_branch(e, v->flags & INVITE_OUTBOUND ? &v->m : &v->client, v);
}

/* Over, and for its transaction only. */
static struct call *invite_call(struct engine *e, uint64_t id, const struct invite *v)
{
	struct call *c = call_alloc(e, id);

	if (!c)
		return NULL;
	c->user = user_get(e, v->aor);
	if (!c->user) {
		call_discard(e, c);
		return NULL;
	}
	c->binding = v->binding;
	c->stream = v->stream;
	c->server = v->peer.server;
	c->outbound = v->flags & INVITE_OUTBOUND;
	c->since = e->now;
	c->state = CALL_ENDED;
	dialog_from_request(e, c, c->outbound ? SIDE_CLIENT : SIDE_INSIDE,
			    v->flags & INVITE_UNSENT ? &v->client : &v->m);
	timer_set(&e->timers, &c->timer, e->now);
	return c;
}

/* The client's side of it, if its stream is there. */
static int invite_client(struct engine *e, struct txn *t, const struct invite *v)
{
	if (!engine_stream(e, v->stream))
		return 0;
	if (v->flags & INVITE_OUTBOUND) {
		t->up = engine_peer_stream(v->stream);
		t->server = TXN_PROCEEDING;
		txn_link_stream(e, t, &t->up);
		return txn_name_set(e, t, &v->client);
	}
	t->down = engine_peer_stream(v->stream);
	t->client = v->flags & INVITE_PROCEEDING ? TXN_PROCEEDING : TXN_TRYING;
	txn_link_stream(e, t, &t->down);
	return blob_set(&t->sent, v->client.whole);
}

static int invite_txn(struct engine *e, struct txn *t, const struct invite *v)
{
	int err = 0;

	t->initial = t->orphan = true;
	t->binding = v->binding;
	if (v->flags & INVITE_UNSENT) {
		t->down.server = v->peer.server;
	} else if (v->flags & INVITE_OUTBOUND) {
		t->down = v->peer;
		t->server = TXN_ENDED;
		t->client = v->flags & INVITE_PROCEEDING ? TXN_PROCEEDING : TXN_TRYING;
		err = blob_set(&t->sent, v->m.whole);
	} else {
		t->up = v->peer;
		t->server = TXN_PROCEEDING;
		err = txn_name_set(e, t, &v->m);
	}
	return err ? err : invite_client(e, t, v);
}

static void invite_end(struct engine *e, struct txn *t)
{
	bool out = t->up.kind == PEER_STREAM;

	if (t->client != TXN_NONE) {
		timer_set(&e->timers, &t->client_end, e->now + TIMEOUT_MS);
		txn_cancel(e, t);
	}
	if (t->server == TXN_ENDED)
		return;
	timer_set(&e->timers, &t->server_end, e->now + TIMEOUT_MS);
	if (out)
		route_failed(e, t, 500, "Server Internal Error");
	else
		route_failed(e, t, 430, "Flow Failed");
}

static int invite_restore(struct engine *e, uint64_t id, const struct invite *v)
{
	struct call *c;
	struct txn *t;
	int err;

	if (v->flags & INVITE_UNSENT && !engine_stream(e, v->stream))
		return -ENOENT; /* nobody is left who waits for it */
	if (e->calls.n >= 2ull * e->c.calls_max)
		return -ENOBUFS;
	t = txn_alloc(e, SIP_M_INVITE, v->branch);
	if (!t)
		return -ENOBUFS;
	err = invite_txn(e, t, v);
	c = err ? NULL : invite_call(e, id, v);
	if (!c) {
		txn_free(e, t);
		return err ? err : -ENOMEM;
	}
	call_txn_attach(c, t);
	t->record = (struct record){.kind = ENGINE_RECORD_INVITE, .id = id, .kept = true};
	call_log(e, c, 2, "call-ended", "lost-with-worker");
	invite_end(e, t);
	return 0;
}

/* Its call stands, too: the engine went between the two, and whether the 2xx has left nobody knows. So the call ends on both sides, and
 * the caller hears a final answer, which one that heard the 2xx ignores (RFC 6026 7.1). Not before the caller has told of media. */
static int invite_crossed(struct engine *e, struct call *c, const struct invite *v)
{
	bool out = v->flags & INVITE_OUTBOUND;
	struct txn *t = NULL;

	c->unheard = true;
	timer_set(&e->timers, &c->timer, e->now);
	if (!out || engine_stream(e, v->stream))
		t = txn_alloc(e, SIP_M_INVITE, out ? v->branch : engine_random64(e));
	if (!t)
		return -EEXIST;
	t->orphan = true;
	t->binding = v->binding;
	t->up = out ? engine_peer_stream(v->stream) : v->peer;
	t->server = TXN_PROCEEDING;
	if (out)
		txn_link_stream(e, t, &t->up);
	if (txn_name_set(e, t, out ? &v->client : &v->m))
		txn_free(e, t);
	else
		invite_end(e, t);
	return -EEXIST;
}

int txn_restore(struct engine *e, uint64_t id, struct record_in *in)
{
	struct invite v = {.peer = {.kind = PEER_NONE}};
	struct call *c = id ? call_find(e, id) : NULL;
	int err = -EBADMSG;

	if (invite_read(e, in, &v) && id)
		err = !c		    ? invite_restore(e, id, &v)
		      : c->state == CALL_UP ? invite_crossed(e, c, &v)
					    : -EEXIST;
	free(v.aor);
	return err;
}
