/* user/lodge_impl.h -- what the worker's two files of the lodge share: lodge.c (slots) and lodge_start.c (from the keeper's
 * plan to the take-over).
 *
 * In, out, owner rules: user/lodge.h. A slot's local half says what the keeper still has to be told. */
#ifndef SALLYPORT_LODGE_IMPL_H
#define SALLYPORT_LODGE_IMPL_H

#include "user/lodge_wire.h"
#include "user/loop.h"

#define LODGE_NONE UINT32_MAX

struct lodge_local {
	int fd[LODGE_ROLES];	  /* of what is to be put */
	uint32_t next;		  /* among the free, or among those that wait */
	uint8_t put, unput, lost; /* roles: PUT and DROP_FD not sent yet; PUT refused */
	bool used, drop, queued;
	bool seen; /* at lodge_take() */
};

struct lodge {
	int fd; /* the channel */
	uint8_t *map;
	size_t size;
	struct lodge_head *head;
	uint32_t slots, free, fresh; /* fresh: slots from here on were never used */
	uint32_t wait_first, wait_last, waiting, used;
	struct lodge_local *at;
	struct lodge_stats stats;
	unsigned deaths;
	bool handing; /* HANDOVER came */
	bool leaving; /* DONE is to follow what waits */
	bool done;    /* the file is not ours any more */
	lodge_answer_fn *answer;
	void *answer_arg;
	void (*handover)(void *arg), (*left)(void *arg);
	void *handover_arg, *left_arg;
	struct loop *loop;
	struct loop_handle readable, writable;
	struct loop_timer settle, again;
};

struct lodge_record *lodge_at(const struct lodge *l, uint32_t slot);
/* Of an open socket or pipe: no other has it as long as it is open. 0: none. */
uint64_t lodge_inode(int fd);
/* The slot counts no more and holds nothing more. */
void lodge_wipe(const struct lodge *l, uint32_t slot);
/* Tell the keeper to close all of it; then the slot is free. */
void lodge_forget(struct lodge *l, uint32_t slot);
/* Send what a slot has to tell now, or when the channel takes it. */
void lodge_tell(struct lodge *l, uint32_t slot);
/* Send what waits. */
void lodge_flush(struct lodge *l);
/* Nothing waits, and we are leaving: 0 (the caller's struct lodge may be gone), or a negative errno to come again. */
int lodge_done_now(struct lodge *l);
/* A word of the keeper. */
void lodge_hear(struct lodge *l, struct lodge_msg *m);
void lodge_role_lost(struct lodge *l, const struct lodge_msg *m);

#endif
