/* sip/timer.h -- the engine's timers: a binary heap over timers that live inside their owners.
 *
 * In: due times in ms. Out: the earliest one. Memory is reserved when an owner is made (timers_reserve), so that
 * setting a timer cannot fail. The owner stops its timers before it goes. */
#ifndef SALLYPORT_SIP_TIMER_H
#define SALLYPORT_SIP_TIMER_H

#include <stddef.h>
#include <stdint.h>

struct engine;

struct timer {
	uint64_t due;
	size_t pos; /* 1-based place in the heap; 0: not running */
	void (*fn)(struct engine *e, void *owner);
	void *owner;
};

struct timers {
	struct timer **v;
	size_t n, cap, reserved;
};

/* Room for @n more timers: 0 or -ENOMEM. timers_release() gives it back with the owner. */
int timers_reserve(struct timers *t, size_t n);
void timers_release(struct timers *t, size_t n);
void timers_fini(struct timers *t);

void timer_init(struct timer *tm, void (*fn)(struct engine *e, void *owner), void *owner);
/* Start or move. */
void timer_set(struct timers *t, struct timer *tm, uint64_t due);
void timer_stop(struct timers *t, struct timer *tm);
/* The earliest timer that is due at @now, stopped; NULL: none. */
struct timer *timers_due(struct timers *t, uint64_t now);
uint64_t timers_next(const struct timers *t); /* UINT64_MAX: none */

#endif
