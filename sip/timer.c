/* sip/timer.c -- see timer.h. In: timers and times. Out: the earliest. Owns the heap's array of pointers. */
#include "sip/timer.h"

#include <errno.h>
#include <stdlib.h>

int timers_reserve(struct timers *t, size_t n)
{
	size_t cap = t->cap ? t->cap : 256;
	struct timer **v;

	while (cap < t->reserved + n)
		cap *= 2;
	if (cap != t->cap) {
		v = realloc(t->v, cap * sizeof(struct timer *));
		if (!v)
			return -ENOMEM;
		t->v = v;
		t->cap = cap;
	}
	t->reserved += n;
	return 0;
}

void timers_release(struct timers *t, size_t n)
{
	t->reserved -= n;
}

void timers_fini(struct timers *t)
{
	free(t->v);
	*t = (struct timers){0};
}

void timer_init(struct timer *tm, void (*fn)(struct engine *e, void *owner), void *owner)
{
	*tm = (struct timer){.fn = fn, .owner = owner};
}

static void timer_put(struct timers *t, size_t i, struct timer *tm)
{
	t->v[i] = tm;
	tm->pos = i + 1;
}

static void timer_up(struct timers *t, size_t i)
{
	struct timer *tm = t->v[i];

	while (i > 0 && t->v[(i - 1) / 2]->due > tm->due) {
		timer_put(t, i, t->v[(i - 1) / 2]);
		i = (i - 1) / 2;
	}
	timer_put(t, i, tm);
}

static void timer_down(struct timers *t, size_t i)
{
	struct timer *tm = t->v[i];
	size_t c;

	while ((c = 2 * i + 1) < t->n) {
		if (c + 1 < t->n && t->v[c + 1]->due < t->v[c]->due)
			c++;
		if (t->v[c]->due >= tm->due)
			break;
		timer_put(t, i, t->v[c]);
		i = c;
	}
	timer_put(t, i, tm);
}

void timer_set(struct timers *t, struct timer *tm, uint64_t due)
{
	tm->due = due;
	if (tm->pos == 0)
		timer_put(t, t->n++, tm);
	timer_up(t, tm->pos - 1);
	timer_down(t, tm->pos - 1);
}

void timer_stop(struct timers *t, struct timer *tm)
{
	size_t i = tm->pos;
	struct timer *last;

	if (i == 0)
		return;
	tm->pos = 0;
	last = t->v[--t->n];
	if (last == tm)
		return;
	timer_put(t, i - 1, last);
	timer_up(t, i - 1);
	timer_down(t, last->pos - 1);
}

struct timer *timers_due(struct timers *t, uint64_t now)
{
	struct timer *tm;

	if (t->n == 0 || t->v[0]->due > now)
		return NULL;
	tm = t->v[0];
	timer_stop(t, tm);
	return tm;
}

uint64_t timers_next(const struct timers *t)
{
	return t->n ? t->v[0]->due : UINT64_MAX;
}
