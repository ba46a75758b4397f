/* user/queue.h -- bytes that wait to be written: one block that grows up to what its owner allows.
 *
 * In: bytes added at the end. Out: bytes taken from the front. Owner: a connection (user/conn.c); an empty queue holds no
 * memory, so that an idle connection costs none. The limit is the owner's to check before it adds. */
#ifndef SALLYPORT_QUEUE_H
#define SALLYPORT_QUEUE_H

#include <errno.h>
#include <stdlib.h>

#include "user/span.h"

#define QUEUE_MIN 4096

struct queue_block {
	size_t head, len, cap; /* cap: bytes that .bytes has room for */
	uint8_t bytes[];
};

struct queue {
	struct queue_block *block;
};

static inline size_t queue_len(const struct queue *q)
{
	return q->block ? q->block->len : 0;
}

static inline struct span queue_bytes(const struct queue *q)
{
	return (struct span){q->block ? q->block->bytes + q->block->head : NULL, queue_len(q)};
}

static inline void queue_fini(struct queue *q)
{
	free(q->block);
	q->block = NULL;
}

static inline void queue_take(struct queue *q, size_t n)
{
	q->block->head += n;
	q->block->len -= n;
	if (q->block->len == 0)
		queue_fini(q);
}

/* 0 or -ENOMEM, with the queue as it was. */
static inline int queue_add(struct queue *q, struct span data)
{
	struct queue_block *b = q->block;
	size_t need = queue_len(q) + data.n, cap = b ? b->cap : QUEUE_MIN;

	if (data.n == 0)
		return 0;
	if (b && b->head && b->head + need > b->cap) {
		memmove(b->bytes, b->bytes + b->head, b->len);
		b->head = 0;
	}
	while (cap < need)
		cap *= 2;
	if (!b || cap != b->cap) {
		b = (struct queue_block *)realloc(q->block, sizeof(*b) + cap);
		if (!b)
			return -ENOMEM;
		if (!q->block)
			b->head = b->len = 0;
		b->cap = cap;
		q->block = b;
	}
	memcpy(b->bytes + b->head + b->len, data.p, data.n);
	b->len = need;
	return 0;
}

#endif
