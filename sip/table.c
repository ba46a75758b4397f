/* sip/table.c -- see table.h. In: nodes and hashes. Out: chains. Owns only the array of chain heads. */
#include "sip/table.h"

#include <errno.h>
#include <stdlib.h>

#define TABLE_FIRST 64

int table_init(struct table *t)
{
	t->slots = calloc(TABLE_FIRST, sizeof(*t->slots));
	if (!t->slots)
		return -ENOMEM;
	t->mask = TABLE_FIRST - 1;
	t->n = 0;
	return 0;
}

void table_fini(struct table *t)
{
	free(t->slots);
	t->slots = NULL;
	t->n = 0;
}

static void table_grow(struct table *t)
{
	size_t size = (t->mask + 1) * 2, i;
	struct tnode **slots = calloc(size, sizeof(*slots));

	if (!slots)
		return;
	for (i = 0; i <= t->mask; i++) {
		struct tnode *n, *next;

		for (n = t->slots[i]; n; n = next) {
			next = n->next;
			n->next = slots[n->hash & (size - 1)];
			slots[n->hash & (size - 1)] = n;
		}
	}
	free(t->slots);
	t->slots = slots;
	t->mask = size - 1;
}

void table_add(struct table *t, struct tnode *n, uint64_t hash)
{
	if (t->n > t->mask)
		table_grow(t);
	n->hash = hash;
	n->next = t->slots[hash & t->mask];
	t->slots[hash & t->mask] = n;
	t->n++;
}

void table_del(struct table *t, struct tnode *n)
{
	struct tnode **p;

	for (p = &t->slots[n->hash & t->mask]; *p; p = &(*p)->next) {
		if (*p != n)
			continue;
		*p = n->next;
		n->next = NULL;
		t->n--;
		return;
	}
}

struct tnode *table_find(const struct table *t, uint64_t hash)
{
	struct tnode *n = t->slots[hash & t->mask];

	while (n && n->hash != hash)
		n = n->next;
	return n;
}

struct tnode *table_find_next(const struct tnode *n)
{
	uint64_t hash = n->hash;

	for (n = n->next; n && n->hash != hash; n = n->next)
		;
	return (struct tnode *)(uintptr_t)n;
}

struct tnode *table_walk(const struct table *t, const struct tnode *after)
{
	size_t i = 0;

	if (after) {
		if (after->next)
			return after->next;
		i = (after->hash & t->mask) + 1;
	}
	for (; i <= t->mask; i++)
		if (t->slots[i])
			return t->slots[i];
	return NULL;
}
