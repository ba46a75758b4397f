/* sip/lines.c -- see lines.h. In: confirmed registrations, what was lost, time. Out: streams to close. Owns the queue. */
#include "sip/lines.h"

#include <errno.h>
#include <stdio.h>

#include "sip/binding.h"
#include "sip/target.h"

/* A line of @s that is lost while another AOR's at the same call server stands; NULL: none. A line that is reached by a newer
 * stream is that stream's affair. */
static const struct binding *lines_lost(const struct stream *s)
{
	unsigned i, k;

	for (i = 0; i < s->n_bindings; i++) {
		const struct binding *b = s->bindings[i];

		if (!b->lost || binding_stream(b) != s)
			continue;
		for (k = 0; k < s->n_bindings; k++)
			if (s->bindings[k]->server == b->server &&
			    s->bindings[k]->user != b->user && !s->bindings[k]->lost)
				return b;
	}
	return NULL;
}

static bool lines_in_call(const struct stream *s)
{
	unsigned i;

	for (i = 0; i < s->n_bindings; i++)
		if (s->bindings[i]->user->calls)
			return true;
	return false;
}

/* ---- the queue ---- */

/* Those that wait are in the order of their times, since each waits equally long. */
static void lines_queue(struct engine *e, struct stream *s)
{
	struct lines *q = &e->lines;

	s->half.due = e->now + LINES_WAIT_MS;
	s->half.next = NULL;
	s->half.prev = q->last;
	*q->last = s;
	q->last = &s->half.next;
}

static void lines_unqueue(struct engine *e, struct stream *s)
{
	struct lines *q = &e->lines;

	*s->half.prev = s->half.next;
	if (s->half.next)
		s->half.next->half.prev = s->half.prev;
	else
		q->last = s->half.prev;
	s->half.prev = NULL;
}

static void lines_plan(struct engine *e)
{
	struct lines *q = &e->lines;

	if (!q->first)
		timer_stop(&e->timers, &q->timer);
	else
		timer_set(&e->timers, &q->timer,
			  q->first->half.due > q->next ? q->first->half.due : q->next);
}

/* ---- the end of a stream ---- */

static void lines_close(struct engine *e, struct stream *s, const struct binding *lost)
{
	struct engine_action *a = engine_action(e, ENGINE_CLOSE_STREAM, SPAN(""));
	char esc[128];

	if (!a)
		return; /* no memory: counted there; the next refresh asks again */
	a->stream = s->id;
	(void)snprintf(a->text, sizeof(a->text), "half registered");
	s->half.told = true;
	e->stats.half_registered++;
	engine_log(e, 1, "half-registered", "stream=%llx server=%s lost=%s lines=%u",
		   (unsigned long long)s->id, e->c.servers[lost->server].name,
		   engine_esc(span_str(lost->user->aor), esc, sizeof(esc)), s->n_bindings);
}

static void lines_tick(struct engine *e, void *owner)
{
	struct lines *q = owner;
	struct stream *s;

	while ((s = q->first) && s->half.due <= e->now && q->next <= e->now) {
		const struct binding *lost = lines_lost(s);

		lines_unqueue(e, s);
		if (!lost)
			continue; /* it has come by itself, or is no line of this stream any more */
		if (lines_in_call(s) && e->now - s->half.since < LINES_CALL_MS) {
			lines_queue(e, s);
			continue;
		}
		lines_close(e, s, lost);
		q->next = e->now + LINES_GAP_MS;
	}
	lines_plan(e);
}

void lines_confirmed(struct engine *e, struct stream *s)
{
	if (s->half.told || s->half.prev || !lines_lost(s))
		return;
	s->half.since = e->now;
	lines_queue(e, s);
	lines_plan(e);
}

void lines_gone(struct engine *e, struct stream *s)
{
	if (!s->half.prev)
		return;
	lines_unqueue(e, s);
	lines_plan(e);
}

int lines_init(struct engine *e)
{
	e->lines.last = &e->lines.first;
	timer_init(&e->lines.timer, lines_tick, &e->lines);
	return timers_reserve(&e->timers, 1);
}

void lines_fini(struct engine *e)
{
	timer_stop(&e->timers, &e->lines.timer);
}
