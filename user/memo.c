/* user/memo.c -- see memo.h. */
#include "user/memo.h"

#include <errno.h>
#include <stdlib.h>

#define WAYS 8

int memo_init(struct memo *m, unsigned sets, uint64_t life_ms)
{
	*m = (struct memo){.sets = sets, .life_ms = life_ms};
	m->entries = calloc((size_t)sets * WAYS, sizeof(*m->entries));
	return m->entries ? 0 : -ENOMEM;
}

void memo_fini(struct memo *m)
{
	free(m->entries);
	m->entries = NULL;
	m->sets = 0;
}

static struct memo_entry *find(struct memo *m, uint64_t key)
{
	struct memo_entry *e = m->entries + (key & (m->sets - 1)) * WAYS;
	unsigned i;

	for (i = 0; i < WAYS; i++)
		if (e[i].until_ms && e[i].key == key)
			return &e[i];
	return NULL;
}

uint32_t *memo_get(struct memo *m, uint64_t key, uint64_t now_ms)
{
	struct memo_entry *e = find(m, key);

	return e && now_ms < e->until_ms ? &e->value : NULL;
}

void memo_put(struct memo *m, uint64_t key, uint32_t value, uint64_t now_ms)
{
	struct memo_entry *set = m->entries + (key & (m->sets - 1)) * WAYS, *e = find(m, key);
	unsigned i;

	for (i = 0; i < WAYS && !e; i++)
		if (now_ms >= set[i].until_ms)
			e = &set[i];
	if (!e) {
		e = set;
		for (i = 1; i < WAYS; i++)
			if (set[i].until_ms < e->until_ms)
				e = &set[i];
		m->pushed_out++;
	}
	*e = (struct memo_entry){.key = key, .value = value, .until_ms = now_ms + m->life_ms};
}

void memo_forget(struct memo *m, uint64_t key)
{
	struct memo_entry *e = find(m, key);

	if (e)
		e->until_ms = 0;
}

uint32_t memo_count(struct memo *m, uint64_t key, uint64_t now_ms)
{
	uint32_t *v = memo_get(m, key, now_ms);

	if (v)
		return ++*v;
	memo_put(m, key, 1, now_ms);
	return 1;
}
