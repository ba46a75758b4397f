/* user/slots.c -- free slots of the flow maps, as queues of couples. See slots.h.
 *
 * Each pair's free couples form a queue through an array; the head is the one that was freed first. Called by media_edge.c only. */
#include "user/slots.h"

#include <errno.h>
#include <stdlib.h>

#define NONE UINT32_MAX

struct couple {
	uint32_t next;	  /* in the queue of its pair */
	uint8_t used;	  /* bit 0: RTP, bit 1: RTCP */
	uint64_t rest_ms; /* free for use from here on */
};

struct pair {
	uint32_t slot0, range; /* its slots */
	uint32_t first;	       /* its first couple's slot: an odd first port is left out */
	uint32_t couple0, n;
	uint32_t head, tail;
};

struct slots {
	unsigned n_pairs;
	uint32_t used;
	struct pair *pairs;
	struct couple *couples;
};

static void queue_add(struct slots *s, struct pair *p, uint32_t c)
{
	s->couples[c].next = NONE;
	if (p->head == NONE)
		p->head = c;
	else
		s->couples[p->tail].next = c;
	p->tail = c;
}

static void pair_fill(struct slots *s, struct pair *p, uint32_t from)
{
	uint32_t i;

	p->head = p->tail = NONE;
	for (i = 0; i < p->n; i++)
		if (!s->couples[p->couple0 + (from + i) % p->n].used)
			queue_add(s, p, p->couple0 + (from + i) % p->n);
}

int slots_new(const struct slots_pair *pairs, unsigned n_pairs, struct slots **out)
{
	struct slots *s = calloc(1, sizeof(*s));
	uint32_t slot = 0, couples = 0;
	unsigned i;

	if (!s)
		return -ENOMEM;
	s->n_pairs = n_pairs;
	s->pairs = calloc(n_pairs, sizeof(*s->pairs));
	for (i = 0; s->pairs && i < n_pairs; i++) {
		struct pair *p = &s->pairs[i];
		uint32_t odd = pairs[i].outside_base & 1;

		*p = (struct pair){.slot0 = slot,
				   .range = pairs[i].range,
				   .first = slot + odd,
				   .couple0 = couples};
		if (pairs[i].range < 2 + odd) {
			slots_free(s);
			return -EINVAL;
		}
		p->n = (pairs[i].range - odd) / 2;
		slot += pairs[i].range;
		couples += p->n;
	}
	s->couples = calloc(couples, sizeof(*s->couples));
	if (!s->pairs || !s->couples) {
		slots_free(s);
		return -ENOMEM;
	}
	for (i = 0; i < n_pairs; i++)
		s->pairs[i].head = s->pairs[i].tail = NONE;
	*out = s;
	return 0;
}

void slots_free(struct slots *s)
{
	if (!s)
		return;
	free(s->pairs);
	free(s->couples);
	free(s);
}

void slots_start(struct slots *s, uint64_t seed)
{
	unsigned i;

	for (i = 0; i < s->n_pairs; i++)
		pair_fill(s, &s->pairs[i], (uint32_t)(seed % s->pairs[i].n));
}

unsigned slots_pair_of(const struct slots *s, uint32_t slot)
{
	unsigned i;

	for (i = 0; i < s->n_pairs; i++)
		if (slot - s->pairs[i].slot0 < s->pairs[i].range)
			break;
	return i;
}

uint32_t slots_used(const struct slots *s)
{
	return s->used;
}

/* The couple of @slot and its bit in it; NONE for a slot that belongs to none. */
static uint32_t couple_of(const struct slots *s, uint32_t slot, uint8_t *bit, struct pair **out)
{
	unsigned i = slots_pair_of(s, slot);
	uint32_t in;

	if (i == s->n_pairs || slot < s->pairs[i].first)
		return NONE;
	in = slot - s->pairs[i].first;
	*bit = in & 1 ? 2 : 1;
	*out = &s->pairs[i];
	return in / 2 < s->pairs[i].n ? s->pairs[i].couple0 + in / 2 : NONE;
}

int slots_adopt(struct slots *s, uint32_t slot)
{
	struct pair *p = NULL;
	uint8_t bit = 0;
	uint32_t c = couple_of(s, slot, &bit, &p);

	if (c == NONE)
		return -ERANGE;
	if (s->couples[c].used & bit)
		return -EEXIST;
	s->couples[c].used |= bit;
	s->used++;
	return 0;
}

int slots_take(struct slots *s, unsigned pair, uint64_t now_ms, uint32_t *out_slot)
{
	struct pair *p = &s->pairs[pair];
	uint32_t c = p->head;

	if (c == NONE || s->couples[c].rest_ms > now_ms)
		return -ENOSPC;
	p->head = s->couples[c].next;
	s->couples[c].used = 1;
	s->used++;
	*out_slot = p->first + 2 * (c - p->couple0);
	return 0;
}

int slots_take_next(struct slots *s, uint32_t rtp, uint32_t *out_slot)
{
	struct pair *p = NULL;
	uint8_t bit = 0;
	uint32_t c = couple_of(s, rtp, &bit, &p);

	if (c == NONE || bit != 1)
		return -ERANGE;
	if (s->couples[c].used != 1)
		return -EEXIST;
	s->couples[c].used = 3;
	s->used++;
	*out_slot = rtp + 1;
	return 0;
}

void slots_give(struct slots *s, uint32_t slot, uint64_t now_ms)
{
	struct pair *p = NULL;
	uint8_t bit = 0;
	uint32_t c = couple_of(s, slot, &bit, &p);

	if (c == NONE || !(s->couples[c].used & bit))
		return;
	s->couples[c].used &= (uint8_t)~bit;
	s->used--;
	if (s->couples[c].used)
		return;
	s->couples[c].rest_ms = now_ms + SLOTS_REST_MS;
	queue_add(s, p, c);
}
