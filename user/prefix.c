/* user/prefix.c -- counts a source prefix under a limit. See prefix.h.
 *
 * A chained hash of small entries, made at the first count and freed at the last one; owned by the module that counts. */
#include "user/prefix.h"

#include <errno.h>
#include <stdlib.h>

#define BUCKETS 4096

struct entry {
	struct entry *next;
	struct addr prefix;
	uint32_t tag, count;
};

struct prefix_counts {
	uint64_t seed;
	struct entry *buckets[BUCKETS];
};

unsigned prefix_cut(const struct addr *a, unsigned v4_len, unsigned v6_len, struct addr *out)
{
	unsigned len = addr_is_v4(a) ? v4_len : v6_len;
	unsigned bits = addr_is_v4(a) ? v4_len + 96 : v6_len, i;

	*out = *a;
	out->port = 0;
	for (i = 0; i < 16; i++) {
		if (bits >= 8 * (i + 1))
			continue;
		out->ip[i] &= bits <= 8 * i ? 0 : (uint8_t)(0xff00u >> (bits - 8 * i));
	}
	return len;
}

static unsigned bucket_of(const struct prefix_counts *t, const struct addr *a, uint32_t tag)
{
	uint64_t h = t->seed ^ tag;
	unsigned i;

	for (i = 0; i < 16; i++)
		h = (h ^ a->ip[i]) * 0x100000001b3u;
	return (unsigned)((h ^ h >> 32) % BUCKETS);
}

static struct entry **find(struct prefix_counts *t, const struct addr *prefix, uint32_t tag)
{
	struct entry **e = &t->buckets[bucket_of(t, prefix, tag)];

	while (*e && ((*e)->tag != tag || !addr_ip_eq(&(*e)->prefix, prefix)))
		e = &(*e)->next;
	return e;
}

int prefix_counts_new(uint64_t seed, struct prefix_counts **out)
{
	struct prefix_counts *t = calloc(1, sizeof(*t));

	if (!t)
		return -ENOMEM;
	t->seed = seed;
	*out = t;
	return 0;
}

void prefix_counts_free(struct prefix_counts *t)
{
	struct entry *e;
	unsigned i;

	for (i = 0; t && i < BUCKETS; i++) {
		while ((e = t->buckets[i])) {
			t->buckets[i] = e->next;
			free(e);
		}
	}
	free(t);
}

int prefix_counts_add(struct prefix_counts *t, const struct addr *prefix, uint32_t tag,
		      uint32_t limit)
{
	struct entry **e = find(t, prefix, tag);

	if ((*e ? (*e)->count : 0) >= limit)
		return -EDQUOT;
	if (!*e) {
		*e = calloc(1, sizeof(**e));
		if (!*e)
			return -ENOMEM;
		(*e)->prefix = *prefix;
		(*e)->tag = tag;
	}
	(*e)->count++;
	return 0;
}

void prefix_counts_sub(struct prefix_counts *t, const struct addr *prefix, uint32_t tag)
{
	struct entry **e = find(t, prefix, tag), *gone = *e;

	if (!gone || --gone->count)
		return;
	*e = gone->next;
	free(gone);
}

uint32_t prefix_counts_get(const struct prefix_counts *t, const struct addr *prefix, uint32_t tag)
{
	const struct entry *e = t->buckets[bucket_of(t, prefix, tag)];

	for (; e; e = e->next)
		if (e->tag == tag && addr_ip_eq(&e->prefix, prefix))
			return e->count;
	return 0;
}
