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

struct queue {
	uint8_t *block;
	size_t head, len, cap;
};

static inline struct span queue_bytes(const struct queue *q)
{
	return (struct span){q->block ? q->block + q->head : NULL, q->len};
}

static inline void queue_fini(struct queue *q)
{
	free(q->block);
	*q = (struct queue){};
}

static inline void queue_take(struct queue *q, size_t n)
{
	q->head += n;
	q->len -= n;
	if (q->len == 0)
		queue_fini(q);
}

/* 0 or -ENOMEM, with the queue as it was. */
static inline int queue_add(struct queue *q, struct span data)
{
	size_t need = q->len + data.n, cap = q->cap ? q->cap : QUEUE_MIN;
	uint8_t *block;

	if (data.n == 0)
		return 0;
	if (q->head && q->head + need > q->cap) {
		memmove(q->block, q->block + q->head, q->len);
		q->head = 0;
	}
	while (cap < need)
		cap *= 2;
	if (cap != q->cap) {
		block = (uint8_t *)realloc(q->block, cap);
		if (!block)
			return -ENOMEM;
		q->block = block;
		q->cap = cap;
	}
	memcpy(q->block + q->head + q->len, data.p, data.n);
	q->len = need;
	return 0;
}

#endif
