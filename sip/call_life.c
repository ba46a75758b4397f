/* sip/call_life.c -- see call.h: a call from its first request to its end.
 *
 * In: the request that makes it, what ends it, time. Out: BYEs, media closed, its record kept and forgotten. Owns struct call,
 * which lives on for CALL_LINGER_MS after its end, for late messages, and as long as a transaction names it. */
#include "sip/call.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "sip/record.h"
#include "sip/txn.h"

#define USER_DIALOGS_MAX 32
#define USER_CALLS_KEPT	 16 /* times calls_user_max: with those that have ended and linger */

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

void call_arm(struct engine *e, struct call *c)
{
	uint64_t idle = e->now + CALL_IDLE_MS;

	timer_set(&e->timers, &c->timer,
		  c->session_end && c->session_end < idle ? c->session_end : idle);
}

void call_hang_up(struct engine *e, struct call *c, const char *reason)
{
	dialog_bye(e, c, SIDE_CLIENT);
	dialog_bye(e, c, SIDE_INSIDE);
	call_end(e, c, reason);
}

/* A call that silence does not end, since it is on hold or has no media, ends when neither media nor its dialog have
 * shown life. */
static void call_idle(struct engine *e, struct call *c)
{
	if (c->unheard) {
		call_hang_up(e, c, "lost-with-worker");
	} else if (c->plain) {
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
	c->since = c->started = e->now;
	call_count(e, c, 1);
	dialog_from_request(e, c, f->outbound ? SIDE_CLIENT : SIDE_INSIDE, m);
	if (c->plain)
		timer_set(&e->timers, &c->timer, e->now + DIALOG_LIFE_MS);
	else
		e->stats.calls_total++;
	return c;
}

void call_log(struct engine *e, const struct call *c, int level, const char *event,
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

/* Strings one behind the other, each with its NUL. Returns where the next one begins. */
static char *tell_put(char *at, const char *s)
{
	size_t n = strlen(s) + 1;

	memcpy(at, s, n);
	return at + n;
}

void call_tell(struct engine *e, const struct call *c, enum engine_call_what what,
	       const char *reason)
{
	const struct leg *caller = &c->leg[c->outbound ? SIDE_CLIENT : SIDE_INSIDE];
	const struct leg *callee = &c->leg[c->outbound ? SIDE_INSIDE : SIDE_CLIENT];
	const char *from = caller->uri ? caller->uri : "", *to = callee->uri ? callee->uri : "";
	const char *id = c->call_id ? c->call_id : "";
	size_t n = strlen(c->user->aor) + strlen(from) + strlen(to) + strlen(id) + 4;
	struct engine_action *a;
	char *text;

	if (c->plain || !e->c.calls)
		return;
	text = malloc(n);
	if (!text)
		return;
	tell_put(tell_put(tell_put(tell_put(text, c->user->aor), from), to), id);
	a = engine_action(e, ENGINE_CALL, span_of(text, n));
	free(text);
	if (!a)
		return;
	a->id = c->id;
	a->stream = c->stream;
	a->server = c->server;
	a->call = (struct engine_call_event){
		.what = what,
		.outbound = c->outbound,
		.started_ms = c->started,
		.answered_ms = c->state == CALL_UP ? c->since : 0,
		.user = (const char *)a->data.p,
	};
	a->call.from = a->call.user + strlen(a->call.user) + 1;
	a->call.to = a->call.from + strlen(from) + 1;
	a->call.call_id = a->call.to + strlen(to) + 1;
	a->call.n_media = offer_media(c, a->call.media);
	(void)snprintf(a->text, sizeof(a->text), "%s", reason);
}

void call_end(struct engine *e, struct call *c, const char *reason)
{
	bool was_up = c->state == CALL_UP;

	if (c->state == CALL_ENDED)
		return;
	call_log(e, c, 2, "call-ended", reason);
	call_tell(e, c, ENGINE_CALL_ENDED, reason);
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
