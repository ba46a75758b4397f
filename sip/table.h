/* sip/table.h -- an intrusive hash table with chaining, for the engine's bounded tables.
 *
 * In: nodes that live inside the caller's objects, and 64-bit hashes made by engine_hash() (keyed, so that a peer
 * cannot aim at a bucket). Out: candidates of a hash; only the caller's own comparison of names decides. The caller
 * owns the objects. */
#ifndef SALLYPORT_SIP_TABLE_H
#define SALLYPORT_SIP_TABLE_H

#include <stddef.h>
#include <stdint.h>

struct tnode {
	struct tnode *next;
	uint64_t hash;
};

struct table {
	struct tnode **slots;
	size_t mask, n;
};

#define table_entry(ptr, type, member) ((type *)(void *)((char *)(ptr)-offsetof(type, member)))

/* 0 or -ENOMEM. */
int table_init(struct table *t);
void table_fini(struct table *t);

/* Grows by doubling; when there is no memory for that, chains grow instead. */
void table_add(struct table *t, struct tnode *n, uint64_t hash);
void table_del(struct table *t, struct tnode *n);

/* First node of @hash, then the following ones of the same hash; NULL: no more. */
struct tnode *table_find(const struct table *t, uint64_t hash);
struct tnode *table_find_next(const struct tnode *n);

/* Walk all: NULL starts, NULL ends. The table must not change on the way. */
struct tnode *table_walk(const struct table *t, const struct tnode *after);

#endif
