/* user/loop_clear.c -- the loop of a process that goes on with less than it had: everything is taken off it at once.
 *
 * In: nothing. Out: a loop on which nothing is armed or set, as new. Owner: what the modules had there is theirs, and is not told. */
#include "user/loop_impl.h"

static void ops_clear(struct loop *l)
{
	uint32_t slot;

	for (slot = 0; slot < l->n_ops; slot++) {
		struct loop_op *op = &l->ops[slot];

		op->listed = op->wants_arm = false;
		if (op->kind == LOOP_FREE)
			continue;
		if (!op->ending)
			loop_op_disarm(l, slot);
		op->ending = false;
		loop_op_end(l, slot);
	}
	l->ending = 0;
	l->rearm_head = LOOP_NO_SLOT;
	l->rearm_due_ms = UINT64_MAX;
}

void loop_clear(struct loop *l)
{
	struct loop_at_free *f;
	uint32_t i;

	ops_clear(l);
	for (i = 0; i < l->n_heap; i++)
		l->heap[i]->pos = 0;
	l->n_heap = 0;
	for (i = 0; i < l->n_outs; i++)
		l->outs[i].fn = NULL;
	l->n_round = 0;
	l->drained = NULL;
	while ((f = l->at_free.next) != &l->at_free)
		loop_at_free_del(f);
	loop_submit(l); /* descriptors are closed now: nothing unsent may name them */
}

bool loop_at_free_any(const struct loop *l)
{
	return l->at_free.next != &l->at_free;
}

int loop_fd(const struct loop *l)
{
	return l->ring.ring_fd;
}
