/* user/memo.h -- a small memory of recent things by key: a bounded table that forgets what is oldest. Plain values.
 *
 * Data flow: a key (made by the caller with a secret, so that nobody can aim at a slot) -> its value, if it is younger than the table's
 * time. Owner: the caller owns the table and its memory. Each key has 8 places it can be in; where all are taken by living others, the oldest
 * of them is forgotten, and counted. */
#ifndef SALLYPORT_MEMO_H
#define SALLYPORT_MEMO_H

#include <stdint.h>

struct memo_entry {
	uint64_t key, until_ms; /* until_ms 0: free */
	uint32_t value;
};

struct memo {
	struct memo_entry *entries;
	unsigned sets; /* power of two; of 8 entries each */
	uint64_t life_ms, pushed_out;
};

int memo_init(struct memo *m, unsigned sets, uint64_t life_ms); /* 0 or -ENOMEM */
void memo_fini(struct memo *m);
/* Its value, or NULL. The pointer lives until the next memo_put(). */
uint32_t *memo_get(struct memo *m, uint64_t key, uint64_t now_ms);
/* Set, its time begins anew. */
void memo_put(struct memo *m, uint64_t key, uint32_t value, uint64_t now_ms);
void memo_forget(struct memo *m, uint64_t key);
/* One more of @key within the time since its first: the count, with this one. */
uint32_t memo_count(struct memo *m, uint64_t key, uint64_t now_ms);

#endif
