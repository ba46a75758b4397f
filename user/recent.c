/* user/recent.c -- see recent.h: chained hash and a list in the order of use, by indices into one array. */
#include "user/recent.h"

#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#define NONE 0 /* indices are 1 + place */

struct entry {
	uint8_t key[RECENT_KEY];
	uint32_t chain;	       /* next of its bucket, or of the free ones */
	uint32_t older, newer; /* in the order of use */
	uint32_t pad;	       /* values behind it are aligned as malloc() does */
};

_Static_assert(sizeof(struct entry) == 32, "values are aligned");

struct recent {
	uint8_t *entries;
	size_t stride, value_size;
	uint32_t *buckets;
	uint32_t mask, max, n, fresh; /* fresh: entries never used yet begin here */
	uint32_t spare, newest, oldest;
	uint64_t pushed_out;
};

static struct entry *at(const struct recent *r, uint32_t i)
{
	return (struct entry *)(void *)(r->entries + (i - 1) * r->stride);
}

static void *value(struct entry *e)
{
	return e + 1;
}

int recent_new(unsigned max, size_t value_size, struct recent **out)
{
	struct recent *r;
	uint32_t buckets = 16;

	if (!max || max > 1u << 24 || value_size > 65536)
		return -EINVAL;
	r = calloc(1, sizeof(*r));
	if (!r)
		return -ENOMEM;
	while (buckets < max)
		buckets *= 2;
	r->max = max;
	r->mask = buckets - 1;
	r->value_size = value_size;
	r->stride = (sizeof(struct entry) + value_size + 15) & ~(size_t)15;
	r->buckets = calloc(buckets, sizeof(*r->buckets));
	r->entries = calloc(max, r->stride);
	if (!r->buckets || !r->entries) {
		free(r->buckets);
		free(r->entries);
		free(r);
		return -ENOMEM;
	}
	*out = r;
	return 0;
}

void recent_free(struct recent *r)
{
	if (!r)
		return;
	explicit_bzero(r->entries, r->fresh * r->stride);
	free(r->entries);
	free(r->buckets);
	free(r);
}

static uint32_t *bucket(struct recent *r, const uint8_t *key)
{
	uint32_t h;

	memcpy(&h, key, sizeof(h));
	return &r->buckets[h & r->mask];
}

static uint32_t find(struct recent *r, const uint8_t *key)
{
	uint32_t i = *bucket(r, key);

	while (i != NONE && memcmp(at(r, i)->key, key, RECENT_KEY) != 0)
		i = at(r, i)->chain;
	return i;
}

static void order_out(struct recent *r, uint32_t i)
{
	struct entry *e = at(r, i);

	if (e->older != NONE)
		at(r, e->older)->newer = e->newer;
	else
		r->oldest = e->newer;
	if (e->newer != NONE)
		at(r, e->newer)->older = e->older;
	else
		r->newest = e->older;
}

static void order_in(struct recent *r, uint32_t i)
{
	struct entry *e = at(r, i);

	e->older = r->newest;
	e->newer = NONE;
	if (r->newest != NONE)
		at(r, r->newest)->newer = i;
	else
		r->oldest = i;
	r->newest = i;
}

void *recent_find(struct recent *r, const uint8_t key[RECENT_KEY])
{
	uint32_t i = find(r, key);

	if (i == NONE)
		return NULL;
	order_out(r, i);
	order_in(r, i);
	return value(at(r, i));
}

static void drop(struct recent *r, uint32_t i)
{
	struct entry *e = at(r, i);
	uint32_t *p = bucket(r, e->key);

	while (*p != i)
		p = &at(r, *p)->chain;
	*p = e->chain;
	order_out(r, i);
	explicit_bzero(e, r->stride);
	e->chain = r->spare;
	r->spare = i;
	r->n--;
}

void recent_drop(struct recent *r, const uint8_t key[RECENT_KEY])
{
	uint32_t i = find(r, key);

	if (i != NONE)
		drop(r, i);
}

void *recent_put(struct recent *r, const uint8_t key[RECENT_KEY])
{
	void *have = recent_find(r, key);
	uint32_t i, *b = bucket(r, key);
	struct entry *e;

	if (have)
		return have;
	if (r->n == r->max) {
		drop(r, r->oldest);
		r->pushed_out++;
	}
	if (r->spare != NONE) {
		i = r->spare;
		r->spare = at(r, i)->chain;
	} else {
		i = ++r->fresh;
	}
	e = at(r, i);
	memcpy(e->key, key, RECENT_KEY);
	e->chain = *b;
	*b = i;
	order_in(r, i);
	r->n++;
	return value(e);
}

unsigned recent_n(const struct recent *r)
{
	return r->n;
}

uint64_t recent_pushed_out(const struct recent *r)
{
	return r->pushed_out;
}
