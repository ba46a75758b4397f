/* user/loop_timer.c -- the loop's timers: a binary heap of the modules' own structs, ordered by due time.
 *
 * In: loop_timer_set/cancel at any time, also from inside a timer's function. Out: each due timer's function, once.
 * The heap owns only its array of pointers; a timer knows its place (pos), so that moving and cancelling are O(log n). */
#include <errno.h>
#include <stdlib.h>
#include <time.h>

#include "user/loop_impl.h"

uint64_t loop_clock_ms(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (uint64_t)ts.tv_sec * 1000u + (uint64_t)ts.tv_nsec / 1000000u;
}

static void heap_put(struct loop *l, uint32_t i, struct loop_timer *t)
{
	l->heap[i] = t;
	t->pos = i + 1;
}

static void heap_up(struct loop *l, uint32_t i, struct loop_timer *t)
{
	while (i > 0 && l->heap[(i - 1) / 2]->due_ms > t->due_ms) {
		heap_put(l, i, l->heap[(i - 1) / 2]);
		i = (i - 1) / 2;
	}
	heap_put(l, i, t);
}

static void heap_down(struct loop *l, uint32_t i, struct loop_timer *t)
{
	uint32_t child;

	while ((child = 2 * i + 1) < l->n_heap) {
		if (child + 1 < l->n_heap && l->heap[child + 1]->due_ms < l->heap[child]->due_ms)
			child++;
		if (l->heap[child]->due_ms >= t->due_ms)
			break;
		heap_put(l, i, l->heap[child]);
		i = child;
	}
	heap_put(l, i, t);
}

static void heap_fix(struct loop *l, uint32_t i, struct loop_timer *t)
{
	if (i > 0 && l->heap[(i - 1) / 2]->due_ms > t->due_ms)
		heap_up(l, i, t);
	else
		heap_down(l, i, t);
}

static int heap_grow(struct loop *l)
{
	uint32_t max = l->heap_max ? l->heap_max * 2 : 64;
	struct loop_timer **heap = reallocarray(l->heap, max, sizeof(*heap));

	if (!heap)
		return -ENOMEM;
	l->heap = heap;
	l->heap_max = max;
	return 0;
}

int loop_timer_set(struct loop *l, struct loop_timer *t, uint64_t in_ms)
{
	/* What a timer's function sets to "at once" waits for the next round: a reader that always has more must not keep the others,
	 * and the media, waiting for as many turns as there are timers. */
	t->due_ms = l->now_ms + (in_ms || !l->in_timers ? in_ms : 1);
	if (t->pos) {
		heap_fix(l, t->pos - 1, t);
		return 0;
	}
	if (l->n_heap == l->heap_max && heap_grow(l))
		return -ENOMEM;
	l->n_heap++;
	heap_up(l, l->n_heap - 1, t);
	return 0;
}

void loop_timer_cancel(struct loop *l, struct loop_timer *t)
{
	struct loop_timer *last;
	uint32_t i = t->pos - 1;

	if (!t->pos)
		return;
	t->pos = 0;
	last = l->heap[--l->n_heap];
	if (last != t)
		heap_fix(l, i, last);
}

uint64_t loop_timers_wait(const struct loop *l, uint64_t now_ms)
{
	if (!l->n_heap)
		return UINT64_MAX;
	return l->heap[0]->due_ms > now_ms ? l->heap[0]->due_ms - now_ms : 0;
}

void loop_timers_run(struct loop *l)
{
	/* No more fire than were set. */
	uint32_t budget = l->n_heap;
	struct loop_timer *t;

	l->in_timers = true;
	while (budget-- > 0 && l->n_heap && l->heap[0]->due_ms <= l->now_ms) {
		t = l->heap[0];
		loop_timer_cancel(l, t);
		t->fn(t->arg);
	}
	l->in_timers = false;
}
