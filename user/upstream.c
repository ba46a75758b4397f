/* user/upstream.c -- requests to servers inside: which target and connection, failover, time. See upstream.h.
 *
 * In: calls of the modules, what connections and look-ups met. Out: ops. Owner: the upstream owns requests; one that is told
 * its end is freed right after. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "user/upstream_impl.h"

const char *upstream_why_text(enum upstream_why why)
{
	static const char *const texts[UPSTREAM_WHYS] = {
		[UPSTREAM_OK] = "ok",
		[UPSTREAM_NAME] = "no address",
		[UPSTREAM_CONNECT] = "not to be reached",
		[UPSTREAM_CERTIFICATE] = "certificate refused",
		[UPSTREAM_TLS] = "TLS failed",
		[UPSTREAM_TIMEOUT] = "no answer in time",
		[UPSTREAM_BUSY] = "too many requests at once",
		[UPSTREAM_CUT] = "connection ended early",
		[UPSTREAM_ANSWER] = "malformed answer",
	};

	return why < UPSTREAM_WHYS ? texts[why] : "";
}

unsigned upstream_why_status(enum upstream_why why)
{
	return why == UPSTREAM_TIMEOUT ? 504 : why == UPSTREAM_BUSY ? 503 : 502;
}

/* ---- queues ---- */

void up_queue_add(struct up_queue *q, struct upstream_req *r)
{
	r->q = q;
	r->q_next = NULL;
	r->q_prev = q->last;
	*(q->last ? &q->last->q_next : &q->first) = r;
	q->last = r;
}

void up_queue_del(struct upstream_req *r)
{
	if (!r->q)
		return;
	*(r->q_prev ? &r->q_prev->q_next : &r->q->first) = r->q_next;
	*(r->q_next ? &r->q_next->q_prev : &r->q->last) = r->q_prev;
	if (r->state == UP_QUEUED)
		r->u->stats.waiters--;
	r->q = NULL;
}

void up_kick(struct upstream *u)
{
	loop_timer_set(u->p.loop, &u->kick, 0);
}

bool up_op(struct upstream_req *r, void (*fn)(void *arg))
{
	r->in_op = true;
	if (fn)
		fn(r->arg);
	r->in_op = false;
	if (!r->gone)
		return true;
	free(r);
	return false;
}

/* ---- choice ---- */

void up_req_note(struct upstream_req *r, enum upstream_why why, const char *text)
{
	r->why = why;
	(void)snprintf(r->text, sizeof(r->text), "%s", text);
}

void up_req_fail(struct upstream_req *r)
{
	up_queue_del(r);
	r->state = UP_FAILED;
	up_queue_add(&r->u->failed, r);
	up_kick(r->u);
}

static void req_wait(struct upstream_req *r, struct up_target *t, bool for_room)
{
	struct upstream *u = r->u;

	if (for_room && u->stats.waiters >= UPSTREAM_WAITERS) {
		u->stats.waiters_full++;
		up_req_note(r, UPSTREAM_BUSY, "too many requests wait for a connection");
		up_req_fail(r);
		return;
	}
	if (for_room && !r->waited)
		r->due_ms = loop_now_ms(u->p.loop) + UPSTREAM_WAIT_MS;
	r->waited |= for_room;
	r->state = UP_QUEUED;
	u->stats.waiters++;
	up_queue_add(&t->queue, r);
}

static void note_name(struct upstream_req *r, const struct up_target *t, int err)
{
	char text[UPSTREAM_TEXT];

	(void)snprintf(text, sizeof(text), "%s: %s", t->pub.host,
		       err == -ENOENT	   ? "no such name, or no address"
		       : err == -ETIMEDOUT ? "DNS did not answer"
					   : "DNS failed");
	up_req_note(r, UPSTREAM_NAME, text);
	up_target_failed(r->list[r->at], text);
}

/* The list's next target. False: there is none, its failure is owed. */
static bool req_next(struct upstream_req *r)
{
	if (r->at + 1 >= r->n_list) {
		up_req_fail(r);
		return false;
	}
	r->at++;
	r->addrs_tried = 0;
	r->again = false;
	r->u->stats.failed_over++;
	return true;
}

/* One target: 1: a connection is the request's; 0: it waits for something; -EHOSTUNREACH: the next one, please. */
static int req_target(struct upstream_req *r)
{
	struct up_target *t = r->list[r->at];
	int err, i;

	if (!r->again && up_conn_reuse(r))
		return 1;
	err = up_target_addrs(t);
	if (err == -EAGAIN) {
		req_wait(r, t, false);
		return 0;
	}
	if (err) {
		note_name(r, t, err);
		return -EHOSTUNREACH;
	}
	if (!up_conns_room(r->u, t)) {
		req_wait(r, t, true);
		return 0;
	}
	while ((i = up_target_pick(t, r->addrs_tried)) >= 0) {
		r->addrs_tried |= 1u << i;
		if (up_conn_dial(r, (unsigned)i) == 0)
			return 0;
	}
	return -EHOSTUNREACH;
}

int up_req_go(struct upstream_req *r)
{
	int ret;

	up_queue_del(r);
	r->state = UP_NEW;
	do {
		ret = req_target(r);
		if (ret >= 0)
			return ret;
	} while (req_next(r));
	return 0;
}

void up_req_step(struct upstream_req *r)
{
	if (up_req_go(r) == 1)
		up_op(r, r->ops->ready);
}

void up_req_lost(struct upstream_req *r, bool stale)
{
	if (r->seen || !r->repeatable) {
		up_req_fail(r);
		return;
	}
	r->sent = false;
	if (stale && !r->again) /* it had just been closed: that says nothing of the target */
		r->again = true;
	else if (!req_next(r))
		return;
	r->u->stats.repeated++;
	up_req_step(r);
}

/* ---- from the loop ---- */

static void serve(struct up_target *t)
{
	struct upstream_req *r;
	unsigned n = 0;

	t->serve = false;
	for (r = t->queue.first; r; r = r->q_next)
		n++;
	for (; n && t->queue.first; n--) /* those that find no room are behind the others again */
		up_req_step(t->queue.first);
}

static void serve_all(struct upstream *u)
{
	struct up_target *t;
	unsigned i;

	u->serve = false;
	for (i = 0; i < UPSTREAM_BUCKETS; i++)
		for (t = u->bucket[i]; t; t = t->next) {
			t->refs++; /* what a module does from within ready() must not free it */
			if (t->serve)
				serve(t);
			t->refs--;
		}
}

static void on_kick(void *arg)
{
	struct upstream *u = arg;
	struct upstream_req *r;

	if (u->serve)
		serve_all(u);
	while ((r = u->failed.first)) {
		enum upstream_why why = r->why ? r->why : UPSTREAM_CONNECT;

		up_queue_del(r);
		u->stats.failures[why]++;
		r->in_op = true;
		r->ops->failed(r->arg, why, r->text);
		r->in_op = false;
		up_req_free(r);
	}
}

static void req_late(struct upstream_req *r)
{
	const struct up_target *t = r->list[r->at];
	char text[UPSTREAM_TEXT];

	if (r->state == UP_QUEUED && !t->asking) {
		up_req_note(r, UPSTREAM_BUSY, "no connection became free in time");
		r->u->stats.waiters_full++;
	} else {
		(void)snprintf(text, sizeof(text), "%s:%u: %s in time", t->pub.host, t->pub.port,
			       r->state == UP_QUEUED ? "no address"
			       : r->state == UP_DIAL ? "no connection"
			       : r->tunnel	     ? "not a byte in the tunnel"
						     : "no answer");
		up_req_note(r, UPSTREAM_TIMEOUT, text);
	}
	if (r->conn)
		up_conn_drop(r->conn, false);
	up_req_fail(r);
}

static void on_sweep(void *arg)
{
	struct upstream *u = arg;
	uint64_t now = loop_now_ms(u->p.loop);
	struct upstream_req *r;

	loop_timer_set(u->p.loop, &u->sweep, UPSTREAM_SWEEP_MS);
	for (r = u->reqs; r; r = r->next) /* nothing here frees one */
		if (r->state != UP_FAILED && r->due_ms && now >= r->due_ms)
			req_late(r);
	up_target_sweep(u, now);
	on_kick(u); /* where there was no memory to set that timer */
}

/* ---- the modules' side ---- */

/* Those that are well first, each kind in the order given. */
static int req_list(struct upstream_req *r, const struct upstream_want *w)
{
	struct up_target *all[UPSTREAM_LIST];
	unsigned i, n = w->n_targets < UPSTREAM_LIST ? w->n_targets : UPSTREAM_LIST, down;
	int err;

	for (i = 0; i < n; i++) {
		err = up_target_get(r->u, &w->targets[i], &all[i]);
		if (err)
			break;
		all[i]->refs++; /* so that room for the next one is not made here */
	}
	if (i == 0)
		return err;
	n = i;
	for (down = 0; down < 2; down++)
		for (i = 0; i < n; i++)
			if (up_target_down(all[i]) == (down == 1))
				r->list[r->n_list++] = all[i];
	r->list[0]->requests++;
	return 0;
}

void up_req_free(struct upstream_req *r)
{
	struct upstream *u = r->u;
	unsigned i;

	up_queue_del(r);
	*(r->prev ? &r->prev->next : &u->reqs) = r->next;
	if (r->next)
		r->next->prev = r->prev;
	for (i = 0; i < r->n_list; i++)
		r->list[i]->refs--;
	free(r->part);
	r->part = NULL;
	if (r->in_op)
		r->gone = true;
	else
		free(r);
}

/* Others wait for the target already: whoever comes now comes behind them, or who asks the most would have it all. */
static bool req_behind(struct upstream_req *r)
{
	struct up_target *t = r->list[r->at];

	if (!t->queue.first)
		return false;
	req_wait(r, t, !t->asking);
	if (!t->asking)
		up_target_serve(t);
	return true;
}

int upstream_open(struct upstream *u, const struct upstream_want *w, const struct upstream_ops *ops,
		  void *arg, struct upstream_req **out)
{
	struct upstream_req *r;
	int err = 0;

	if (!w->n_targets)
		return -EINVAL;
	r = calloc(1, sizeof(*r));
	if (!r)
		return -ENOMEM;
	r->u = u;
	r->ops = ops;
	r->arg = arg;
	r->repeatable = w->repeatable;
	r->content = w->content;
	r->asked = w->asked;
	r->answer_ms = w->answer_ms ? w->answer_ms : UPSTREAM_ANSWER_MS;
	r->due_ms = loop_now_ms(u->p.loop) + UPSTREAM_OPEN_MS;
	r->next = u->reqs;
	if (u->reqs)
		u->reqs->prev = r;
	u->reqs = r;
	u->stats.requests++;
	*out = r;
	err = req_list(r, w);
	if (err == -ENOBUFS) {
		up_req_note(r, UPSTREAM_BUSY, "too many targets are known");
		up_req_fail(r);
		return 0;
	}
	if (err) {
		up_req_free(r);
		return err;
	}
	return req_behind(r) ? 0 : up_req_go(r);
}

const struct upstream_target *upstream_req_target(const struct upstream_req *r)
{
	return &r->list[r->at]->pub;
}

size_t upstream_room(const struct upstream_req *r)
{
	return r->state == UP_OPEN ? conn_room(r->conn->conn) : 0;
}

int upstream_write(struct upstream_req *r, struct span data)
{
	if (r->state != UP_OPEN)
		return -EPIPE;
	if (r->tunnel || r->due_ms) /* each piece that is taken shows that the client is there */
		r->due_ms =
			loop_now_ms(r->u->p.loop) + (r->tunnel ? UPSTREAM_TUNNEL_MS : r->answer_ms);
	return conn_write(r->conn->conn, data);
}

bool upstream_queued(const struct upstream_req *r)
{
	return r->state == UP_OPEN && conn_queued(r->conn->conn) > 0;
}

void upstream_sent(struct upstream_req *r)
{
	r->sent = true;
	r->due_ms = loop_now_ms(r->u->p.loop) + r->answer_ms;
}

void upstream_pause(struct upstream_req *r, bool paused)
{
	if (r->paused == paused)
		return;
	r->paused = paused;
	if (r->state != UP_OPEN)
		return;
	conn_pause(r->conn->conn, paused);
	/* A client that does not read is not the server's fault; the relay has its own time for that. */
	r->due_ms = paused ? 0
			   : loop_now_ms(r->u->p.loop) +
				     (r->tunnel ? UPSTREAM_TUNNEL_MS : r->answer_ms);
}

void upstream_close(struct upstream_req *r, bool orderly)
{
	if (!r)
		return;
	if (r->conn)
		up_conn_drop(r->conn, orderly && r->tunnel);
	up_req_free(r);
}

const struct upstream_stats *upstream_stats(const struct upstream *u)
{
	return &u->stats;
}

int upstream_new(const struct upstream_params *p, struct upstream **out)
{
	struct upstream *u = calloc(1, sizeof(*u));
	int err;

	if (!u)
		return -ENOMEM;
	u->p = *p;
	if (!u->p.per_target)
		u->p.per_target = UPSTREAM_PER_TARGET;
	u->kick = (struct loop_timer){.fn = on_kick, .arg = u};
	u->sweep = (struct loop_timer){.fn = on_sweep, .arg = u};
	err = loop_timer_set(p->loop, &u->sweep, UPSTREAM_SWEEP_MS);
	if (err) {
		free(u);
		return err;
	}
	*out = u;
	return 0;
}

void upstream_free(struct upstream *u)
{
	if (!u)
		return;
	up_gets_free(u);
	while (u->reqs)
		upstream_close(u->reqs, false);
	up_targets_free(u);
	loop_timer_cancel(u->p.loop, &u->kick);
	loop_timer_cancel(u->p.loop, &u->sweep);
	free(u);
}
