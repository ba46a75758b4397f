/* user/upstream_conn.c -- connections to servers inside: dialled, lent to a request, read as answers, idle in the pool. See
 * upstream.h.
 *
 * In: user/conn.h's ops. Out: heads and bodies of answers for ops, failures for upstream.c. Owner: a connection is its
 * request's from dialling to the answer's end, then its target's; with its end it is freed here. Behind an op of a module the
 * request may be gone, and its connection with it. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "user/upstream_impl.h"

static const struct conn_ops up_conn_ops;

/* ---- pool ---- */

static void idle_add(struct up_conn *c)
{
	struct up_target *t = c->t;

	c->prev = NULL;
	c->next = t->idle;
	if (t->idle)
		t->idle->prev = c;
	t->idle = c;
	t->n_idle++;
	t->u->stats.idle++;
	c->since_ms = loop_now_ms(t->u->p.loop);
}

static void idle_del(struct up_conn *c)
{
	struct up_target *t = c->t;

	*(c->prev ? &c->prev->next : &t->idle) = c->next;
	if (c->next)
		c->next->prev = c->prev;
	t->n_idle--;
	t->u->stats.idle--;
}

void up_conn_drop(struct up_conn *c, bool orderly)
{
	struct up_target *t = c->t;

	if (!c->req) {
		idle_del(c);
		t->n_conns--;
	} else if (c->req->tunnel) {
		t->n_tunnels--;
		t->u->stats.tunnels--;
		c->req->conn = NULL;
	} else {
		t->n_conns--;
		c->req->conn = NULL;
	}
	t->u->stats.conns--;
	if (c->conn)
		(orderly ? conn_close : conn_abort)(c->conn);
	free(c);
	up_target_serve(t);
}

/* All are in use somewhere: an idle one of another target makes room. */
static bool drop_some_idle(struct upstream *u)
{
	struct up_target *t;
	unsigned i;

	for (i = 0; u->stats.idle && i < UPSTREAM_BUCKETS; i++)
		for (t = u->bucket[i]; t; t = t->next)
			if (t->idle) {
				up_conn_drop(t->idle, true);
				return true;
			}
	return false;
}

bool up_conns_room(struct upstream *u, struct up_target *t)
{
	if (t->n_conns >= u->p.per_target)
		return false;
	if (u->stats.conns < UPSTREAM_CONNS || drop_some_idle(u))
		return true;
	u->stats.conns_full++;
	return false;
}

static void req_opened(struct upstream_req *r, struct up_conn *c)
{
	r->state = UP_OPEN;
	r->conn = c;
	c->req = r;
	r->due_ms = loop_now_ms(r->u->p.loop) + r->answer_ms;
	r->paused = false;
}

bool up_conn_reuse(struct upstream_req *r)
{
	struct up_target *t = r->list[r->at];
	struct up_conn *c;

	while ((c = t->idle) && !conn_fit(c->conn))
		up_conn_drop(c, false);
	if (!c)
		return false;
	idle_del(c);
	req_opened(r, c);
	r->u->stats.reused++;
	return true;
}

/* ---- dialling ---- */

/* What we have no more of says nothing of the target. */
static bool our_own(int err)
{
	return err == -EMFILE || err == -ENFILE || err == -ENOBUFS || err == -ENOMEM ||
	       err == -EADDRNOTAVAIL;
}

static enum upstream_why why_of(int err)
{
	if (our_own(err))
		return UPSTREAM_BUSY;
	switch (err) {
	case -EKEYREJECTED:
		return UPSTREAM_CERTIFICATE;
	case -EPROTO:
		return UPSTREAM_TLS;
	case -ETIMEDOUT:
		return UPSTREAM_TIMEOUT;
	default:
		return UPSTREAM_CONNECT;
	}
}

/* "uds.in.example.com:8443 (10.0.0.5:8443): ...", with both names where the certificate is at fault. */
static void note_dial(struct upstream_req *r, struct up_conn *c, int err, const char *why)
{
	const struct upstream_target *t = &c->t->pub;
	const char *seen = err == -EKEYREJECTED ? tls_refused_names(conn_tls(c->conn)) : "";
	char text[UPSTREAM_TEXT], at[ADDR_TEXT_MAX];

	if (err == -EKEYREJECTED)
		(void)snprintf(text, sizeof(text),
			       "%s:%u (%s): %.120s; wanted %.100s, the certificate has %.100s",
			       t->host, t->port, addr_text(&c->addr, at), why, t->tls_name,
			       *seen ? seen : "no names");
	else
		(void)snprintf(text, sizeof(text), "%s:%u (%s): %.200s", t->host, t->port,
			       addr_text(&c->addr, at), why);
	up_req_note(r, why_of(err), text);
}

int up_conn_dial(struct upstream_req *r, unsigned addr)
{
	struct up_target *t = r->list[r->at];
	struct upstream *u = r->u;
	struct conn_params cp = {.loop = u->p.loop,
				 .tls = t->pub.tls ? u->p.tls : NULL,
				 .peer_name = t->pub.tls ? t->pub.tls_name : NULL,
				 .queue_max = UPSTREAM_QUEUE,
				 .handshake_ms = UPSTREAM_DIAL_MS,
				 .ops = &up_conn_ops};
	struct up_conn *c;
	int err = 0;

	if (t->pub.tls && !u->p.tls) {
		up_req_note(r, UPSTREAM_TLS,
			    "https.tls.ca is not set, so no server can be verified");
		return -ENOKEY;
	}
	c = calloc(1, sizeof(*c));
	if (!c)
		return -ENOMEM;
	c->t = t;
	c->addr = t->addrs[addr].addr;
	cp.arg = c;
	err = conn_connect(&cp, &c->addr, &c->conn);
	if (err) {
		note_dial(r, c, err == -EKEYREJECTED ? -EPROTO : err, strerrordesc_np(-err));
		if (!our_own(err)) {
			up_addr_failed(t, &c->addr);
			up_target_failed(t, r->text);
		}
		free(c);
		return err;
	}
	u->stats.dialed++;
	u->stats.conns++;
	t->n_conns++;
	r->state = UP_DIAL;
	r->conn = c;
	c->req = r;
	if (r->waited) /* for room, which had a time of its own */
		r->due_ms = loop_now_ms(u->p.loop) + UPSTREAM_OPEN_MS;
	r->waited = false;
	return 0;
}

static void on_up(void *arg)
{
	struct up_conn *c = arg;

	c->up = true;
	req_opened(c->req, c);
	up_op(c->req, c->req->ops->ready);
}

static void dial_failed(struct up_conn *c, int err, const char *why)
{
	struct upstream_req *r = c->req;
	struct up_target *t = c->t;

	note_dial(r, c, err, why);
	up_addr_failed(t, &c->addr);
	if (up_target_pick(t, r->addrs_tried) < 0)
		up_target_failed(t, r->text);
	up_conn_drop(c, false);
	up_req_step(r);
}

/* ---- the end of an exchange ---- */

/* The answer is whole; @c may carry another request. False, always: nothing is left to be read here. */
static bool answer_done(struct up_conn *c, bool leftover)
{
	struct upstream_req *r = c->req;
	struct up_target *t = c->t;
	bool sent = r->sent, keep = sent && !leftover && !r->tunnel && r->keep;
	uint8_t probe[1];

	keep = keep && !conn_queued(c->conn);
	/* Nothing may come before it is asked; and a server that closes it behind the answer without a word is seen here. */
	if (keep && conn_read(c->conn, probe, 1) != -EAGAIN)
		keep = false;
	if (keep) {
		if (r->paused)
			conn_pause(c->conn, false);
		c->used = true;
		c->req = NULL;
		r->conn = NULL;
		idle_add(c);
		up_target_serve(t);
	} else {
		up_conn_drop(c, true);
	}
	r->state = UP_NEW;
	r->in_op = true;
	r->ops->done(r->arg, sent);
	r->in_op = false;
	if (r->gone)
		free(r);
	else
		up_req_free(r);
	return false;
}

/* Over before the answer was whole. */
static void exchange_lost(struct up_conn *c, int err, const char *why)
{
	struct upstream_req *r = c->req;
	struct up_target *t = c->t;
	char text[UPSTREAM_TEXT], at[ADDR_TEXT_MAX];
	bool stale = c->used && !r->seen;

	(void)snprintf(text, sizeof(text), "%s:%u (%s): %s: %.200s", t->pub.host, t->pub.port,
		       addr_text(&c->addr, at),
		       r->tunnel  ? "cut off"
		       : r->final ? "cut short"
				  : "closed without an answer",
		       why);
	up_req_note(r, err == -ETIMEDOUT ? UPSTREAM_TIMEOUT : UPSTREAM_CUT, text);
	if (!stale && !r->final)
		up_target_failed(t, text);
	up_conn_drop(c, false);
	up_req_lost(r, stale);
}

static bool answer_bad(struct up_conn *c, const char *why)
{
	struct upstream_req *r = c->req;
	char text[UPSTREAM_TEXT];

	(void)snprintf(text, sizeof(text), "%s:%u: %.300s", c->t->pub.host, c->t->pub.port, why);
	up_req_note(r, UPSTREAM_ANSWER, text);
	up_target_failed(c->t, text);
	up_conn_drop(c, false);
	up_req_fail(r);
	return false;
}

static bool answer_refused(struct up_conn *c, const struct http_refusal *why)
{
	char text[HTTP_REFUSAL_TEXT];

	return answer_bad(c, http_refusal_text(why, text, sizeof(text)));
}

/* ---- reading answers; each returns false when nothing more is to be done with the connection in this turn ---- */

static bool keep_part(struct up_conn *c, struct span in)
{
	struct upstream_req *r = c->req;

	if (!r->part)
		r->part = malloc(UPSTREAM_HEAD);
	if (!r->part || in.n > UPSTREAM_HEAD) {
		up_req_note(r, UPSTREAM_BUSY, "out of memory");
		up_conn_drop(c, false);
		up_req_fail(r);
		return false;
	}
	memmove(r->part, in.p, in.n);
	r->part_n = in.n;
	return true;
}

static void tunnel_begin(struct up_conn *c)
{
	struct up_target *t = c->t;

	c->req->tunnel = true;
	t->n_conns--;
	t->n_tunnels++;
	t->u->stats.tunnels++;
	c->req->due_ms = loop_now_ms(t->u->p.loop) + UPSTREAM_TUNNEL_MS;
	up_target_serve(t);
}

/* A node that says that it cannot just now, where another one can be asked and the client has heard nothing yet. */
static bool try_another(struct up_conn *c, unsigned status)
{
	struct upstream_req *r = c->req;
	char text[UPSTREAM_TEXT];

	if (status != 503 || !r->repeatable || r->interims || r->at + 1 >= r->n_list)
		return false;
	(void)snprintf(text, sizeof(text), "%s:%u: answered 503", c->t->pub.host, c->t->pub.port);
	up_req_note(r, UPSTREAM_ANSWER, text);
	up_target_failed(c->t, text);
	up_conn_drop(c, true);
	r->seen = false;
	up_req_lost(r, false);
	return true;
}

/* One head at the front of @in. */
static bool take_head(struct up_conn *c, struct span *in)
{
	struct upstream_req *r = c->req;
	struct upstream *u = r->u;
	struct http_head *h = &u->head;
	struct http_refusal why = {};
	ssize_t n = http_response_parse(*in, &http_limits_default, h, &why);

	if (n == -EAGAIN) {
		if (!keep_part(c, *in))
			return false;
		in->n = 0;
		return true;
	}
	if (n < 0 || http_body_response(h, &r->asked, &http_limits_default, &r->body, &why))
		return answer_refused(c, &why);
	if (try_another(c, h->status))
		return false;
	*in = span_cut(*in, (size_t)n, in->n);
	r->final = h->status >= 200 || h->status == 101;
	if (!r->final && ++r->interims > UPSTREAM_INTERIMS)
		return answer_bad(c, "too many interim answers");
	if (r->final) {
		r->keep = http_persistent(h) && r->body.framing != HTTP_BODY_CLOSE;
		up_target_good(c->t, &c->addr);
	}
	if (r->body.framing == HTTP_BODY_TUNNEL)
		tunnel_begin(c);
	r->in_op = true;
	r->ops->head(r->arg, h, r->body.framing);
	r->in_op = false;
	if (!r->gone)
		return true;
	free(r);
	return false;
}

static bool tell_body(struct upstream_req *r, struct span bytes)
{
	r->in_op = true;
	r->ops->body(r->arg, bytes);
	r->in_op = false;
	if (!r->gone)
		return true;
	free(r);
	return false;
}

/* As much of the body as @in has. */
static bool take_body(struct up_conn *c, struct span *in)
{
	struct upstream_req *r = c->req;
	struct http_refusal why = {};
	struct span run = {in->p, 0};
	struct http_piece piece;

	while (in->n && !r->body.done) {
		if (http_body_next(&r->body, *in, &piece, &why))
			return answer_refused(c, &why);
		if (r->content && piece.content &&
		    !tell_body(r, span_cut(*in, piece.framing, piece.content)))
			return false;
		run.n += piece.framing + piece.content;
		*in = span_cut(*in, piece.framing + piece.content, in->n);
	}
	return r->content || !run.n || tell_body(r, run);
}

static bool take(struct up_conn *c, struct span in)
{
	struct upstream_req *r = c->req;

	while (in.n && !(r->final && r->body.done))
		if (!(r->final ? take_body(c, &in) : take_head(c, &in)))
			return false;
	if (r->final && r->body.done)
		return answer_done(c, in.n > 0);
	return up_op(r, r->ops->flush);
}

static void idle_event(struct up_conn *c)
{
	uint8_t probe[1];

	if (conn_read(c->conn, probe, 1) != -EAGAIN)
		up_conn_drop(c, true);
}

static bool read_end(struct up_conn *c, ssize_t n)
{
	struct upstream_req *r = c->req;

	if (n == 0 && r->final &&
	    (r->body.framing == HTTP_BODY_CLOSE || r->body.framing == HTTP_BODY_TUNNEL))
		return answer_done(c, true);
	exchange_lost(c, (int)n,
		      n == 0		  ? "closed"
		      : conn_tls(c->conn) ? tls_why(conn_tls(c->conn))
					  : strerrordesc_np((int)-n));
	return false;
}

static void on_readable(void *arg)
{
	struct up_conn *c = arg;
	struct upstream *u = c->t->u;
	struct upstream_req *r = c->req;
	ssize_t n;

	if (!r) {
		idle_event(c);
		return;
	}
	while (!r->paused) {
		size_t have = r->part_n;

		if (have)
			memcpy(u->buf, r->part, have);
		n = conn_read(c->conn, u->buf + have, UPSTREAM_READ);
		if (n == -EAGAIN)
			return;
		if (n <= 0) {
			(void)read_end(c, n);
			return;
		}
		r->part_n = 0;
		r->seen = true;
		if (r->due_ms)
			r->due_ms = loop_now_ms(u->p.loop) +
				    (r->tunnel ? UPSTREAM_TUNNEL_MS : r->answer_ms);
		if (!take(c, span_of(u->buf, have + (size_t)n)))
			return;
	}
}

static void on_drained(void *arg)
{
	struct up_conn *c = arg;

	if (c->req)
		up_op(c->req, c->req->ops->writable);
}

static void on_down(void *arg, int err, const char *why)
{
	struct up_conn *c = arg;

	if (!c->req)
		up_conn_drop(c, false);
	else if (!c->up)
		dial_failed(c, err ? err : -ECONNRESET, why ? why : "closed");
	else
		exchange_lost(c, err ? err : -ECONNRESET, why ? why : "closed");
}

static const struct conn_ops up_conn_ops = {
	.up = on_up,
	.readable = on_readable,
	.drained = on_drained,
	.down = on_down,
};
