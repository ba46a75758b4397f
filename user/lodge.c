/* user/lodge.c -- see lodge.h. In: connections of this worker. Out: records in the shared file, descriptors to the keeper,
 * in this order: record, descriptors, COMPLETE; and back: FREE, then the DROP. */
#include <errno.h>
#include <string.h>
#include <sys/stat.h>

#include "user/lodge_impl.h"

#define LODGE_AGAIN_MS 10 /* the kernel has too many descriptors in flight */

struct lodge_record *lodge_at(const struct lodge *l, uint32_t slot)
{
	return (struct lodge_record *)(l->map + LODGE_HEAD) + slot;
}

static uint8_t *extra_at(const struct lodge *l, uint32_t slot)
{
	return l->map + lodge_extra_at(l->slots) + (size_t)slot * LODGE_EXTRA;
}

void lodge_wipe(const struct lodge *l, uint32_t slot)
{
	struct lodge_record *r = lodge_at(l, slot);

	__atomic_store_n(&r->state, LODGE_FREE, __ATOMIC_RELEASE);
	r->roles = 0;
	if (r->extra)
		explicit_bzero(extra_at(l, slot), LODGE_EXTRA);
	r->extra = 0;
	explicit_bzero(r->payload, sizeof(r->payload));
}

uint64_t lodge_inode(int fd)
{
	struct stat st;

	return fstat(fd, &st) ? 0 : st.st_ino;
}

static bool slot_used(const struct lodge *l, uint32_t slot)
{
	return slot < l->slots && l->at[slot].used;
}

/* ---- what waits ---- */

static void wait_add(struct lodge *l, uint32_t slot)
{
	struct lodge_local *s = &l->at[slot];

	if (s->queued)
		return;
	s->queued = true;
	s->next = LODGE_NONE;
	if (l->wait_last == LODGE_NONE)
		l->wait_first = slot;
	else
		l->at[l->wait_last].next = slot;
	l->wait_last = slot;
	l->waiting++;
}

static uint32_t wait_pop(struct lodge *l)
{
	uint32_t slot = l->wait_first;

	l->wait_first = l->at[slot].next;
	if (l->wait_first == LODGE_NONE)
		l->wait_last = LODGE_NONE;
	l->at[slot].queued = false;
	l->waiting--;
	return slot;
}

static int send_one(struct lodge *l, enum lodge_op op, uint32_t slot, unsigned role, const int *fd)
{
	struct lodge_msg m = {
		.op = op, .slot = slot, .role = role, .n = lodge_at(l, slot)->generation};
	int err = lodge_msg_send(l->fd, &m, fd, fd ? 1 : 0);

	/* Nobody is there: the keeper is gone, and we are about to follow it. */
	return err == -EPIPE || err == -ECONNRESET ? 0 : err;
}

/* Everything the keeper is to know of a slot, in order: what goes, then what comes. 0, then slot_sent(); or a negative
 * errno: the rest waits. */
static int slot_send(struct lodge *l, uint32_t slot)
{
	struct lodge_record *r = lodge_at(l, slot);
	struct lodge_local *s = &l->at[slot];
	unsigned role;
	int err;

	if (s->drop)
		return send_one(l, LODGE_DROP, slot, 0, NULL);
	for (role = 0; role < LODGE_ROLES; role++) {
		uint8_t bit = (uint8_t)(1u << role);

		err = s->unput & bit ? send_one(l, LODGE_DROP_FD, slot, role, NULL) : 0;
		if (err)
			return err;
		s->unput &= (uint8_t)~bit;
		if (!(s->put & bit))
			continue;
		r->inode[role] = lodge_inode(s->fd[role]);
		err = send_one(l, LODGE_PUT, slot, role, &s->fd[role]);
		if (err)
			return err;
		s->put &= (uint8_t)~bit;
		__atomic_or_fetch(&r->roles, (uint32_t)bit, __ATOMIC_RELEASE);
	}
	return 0;
}

/* Nothing of it waits any more: it is whole, or free. */
static void slot_sent(struct lodge *l, uint32_t slot)
{
	struct lodge_local *s = &l->at[slot];

	if (s->drop) {
		s->drop = false;
		s->next = l->free;
		l->free = slot;
	} else if (!s->lost) {
		__atomic_store_n(&lodge_at(l, slot)->state, LODGE_COMPLETE, __ATOMIC_RELEASE);
	}
}

static void flush_again(void *arg)
{
	lodge_flush(arg);
}

static void writable_again(void *arg, int revents)
{
	struct lodge *l = arg;

	(void)revents; /* an error shows when sending */
	l->writable = (struct loop_handle){};
	lodge_flush(l);
}

/* Come back when the channel takes more. Without a loop, lodge_attach() does. */
static void flush_later(struct lodge *l, int err)
{
	if (!l->loop)
		return;
	if (err == -EAGAIN && (l->writable.gen || !loop_poll(l->loop, l->fd, POLLOUT, false,
							     writable_again, l, &l->writable)))
		return;
	l->again.fn = flush_again;
	l->again.arg = l;
	loop_timer_set(l->loop, &l->again, LODGE_AGAIN_MS);
}

void lodge_flush(struct lodge *l)
{
	int err = 0;

	while (!l->done && !err && l->wait_first != LODGE_NONE) {
		err = slot_send(l, l->wait_first);
		if (!err)
			slot_sent(l, wait_pop(l));
	}
	if (!err && l->leaving)
		err = lodge_done_now(l); /* the last thing here: nothing of us may be left */
	if (err)
		flush_later(l, err);
}

/* Now, or when the channel takes it; a slot that waits already keeps its order. */
void lodge_tell(struct lodge *l, uint32_t slot)
{
	int err;

	if (l->at[slot].queued)
		return;
	err = slot_send(l, slot);
	if (!err) {
		slot_sent(l, slot);
		return;
	}
	l->stats.later++;
	wait_add(l, slot);
	flush_later(l, err);
}

/* ---- slots ---- */

static uint32_t slot_new(struct lodge *l)
{
	uint32_t slot = l->free;

	if (slot != LODGE_NONE) {
		l->free = l->at[slot].next;
		return slot;
	}
	if (l->fresh == l->slots)
		return LODGE_NONE;
	slot = l->fresh++;
	/* before its record says anything */
	__atomic_store_n(&l->head->high, l->fresh, __ATOMIC_RELEASE);
	return slot;
}

int lodge_put(struct lodge *l, uint32_t kind, const int fds[], unsigned n, const void *record,
	      size_t record_n, uint32_t *out_slot)
{
	struct lodge_record *r;
	struct lodge_local *s;
	uint32_t slot;
	unsigned i;

	if (!kind || kind > UINT16_MAX || !n || n > LODGE_ROLES || record_n > LODGE_PAYLOAD)
		return -EINVAL;
	if (l->done)
		return -ESHUTDOWN;
	slot = slot_new(l);
	if (slot == LODGE_NONE) {
		l->stats.full++;
		return -ENOSPC;
	}
	r = lodge_at(l, slot);
	s = &l->at[slot];
	__atomic_store_n(&r->state, LODGE_INCOMPLETE, __ATOMIC_RELEASE);
	r->kind = (uint16_t)kind;
	r->generation++;
	r->roles = 0;
	if (record_n)
		memcpy(r->payload, record, record_n);
	memset(r->payload + record_n, 0, LODGE_PAYLOAD - record_n);
	*s = (struct lodge_local){.used = true, .seen = true};
	for (i = 0; i < n; i++)
		s->fd[i] = fds[i];
	s->put = (uint8_t)((1u << n) - 1);
	l->used++;
	l->stats.put++;
	lodge_tell(l, slot);
	*out_slot = slot;
	return 0;
}

void *lodge_record(struct lodge *l, uint32_t slot)
{
	return !l->done && slot_used(l, slot) ? lodge_at(l, slot)->payload : NULL;
}

void *lodge_extra(struct lodge *l, uint32_t slot)
{
	if (l->done || !slot_used(l, slot))
		return NULL;
	lodge_at(l, slot)->extra = 1;
	return extra_at(l, slot);
}

bool lodge_held(const struct lodge *l, uint32_t slot)
{
	return slot_used(l, slot) && !l->at[slot].lost &&
	       lodge_at(l, slot)->state == LODGE_COMPLETE;
}

uint32_t lodge_generation(const struct lodge *l, uint32_t slot)
{
	return slot_used(l, slot) ? lodge_at(l, slot)->generation : 0;
}

int lodge_fd_add(struct lodge *l, uint32_t slot, unsigned role, int fd)
{
	uint8_t bit = (uint8_t)(1u << role);
	struct lodge_local *s;

	if (l->done)
		return -ESHUTDOWN;
	if (role >= LODGE_ROLES || !slot_used(l, slot))
		return -EINVAL;
	s = &l->at[slot];
	if ((s->put | s->lost | lodge_at(l, slot)->roles) & bit)
		return -EEXIST;
	s->fd[role] = fd;
	s->put |= bit;
	lodge_tell(l, slot);
	return 0;
}

void lodge_fd_drop(struct lodge *l, uint32_t slot, unsigned role)
{
	uint8_t bit = (uint8_t)(1u << role);
	struct lodge_local *s;

	if (l->done || role >= LODGE_ROLES || !slot_used(l, slot))
		return;
	s = &l->at[slot];
	if (s->put & bit) { /* it never went */
		s->put &= (uint8_t)~bit;
	} else if (lodge_at(l, slot)->roles & bit || s->lost & bit) {
		__atomic_and_fetch(&lodge_at(l, slot)->roles, ~(uint32_t)bit, __ATOMIC_RELEASE);
		s->lost &= (uint8_t)~bit;
		s->unput |= bit;
	} else {
		return;
	}
	lodge_tell(l, slot);
}

void lodge_forget(struct lodge *l, uint32_t slot)
{
	struct lodge_local *s = &l->at[slot];
	bool queued = s->queued;
	uint32_t next = s->next;

	lodge_wipe(l, slot);
	*s = (struct lodge_local){.drop = true, .seen = true, .queued = queued, .next = next};
	lodge_tell(l, slot);
}

/* The keeper had no room for it. */
void lodge_role_lost(struct lodge *l, const struct lodge_msg *m)
{
	struct lodge_record *r;

	l->stats.lost++;
	if (!slot_used(l, m->slot) || m->role >= LODGE_ROLES)
		return;
	r = lodge_at(l, m->slot);
	if (r->generation != m->n) /* of one that is gone */
		return;
	__atomic_store_n(&r->state, LODGE_INCOMPLETE, __ATOMIC_RELEASE);
	r->roles &= ~(1u << m->role);
	l->at[m->slot].lost |= (uint8_t)(1u << m->role);
}

void lodge_drop(struct lodge *l, uint32_t slot)
{
	if (l->done || !slot_used(l, slot))
		return;
	l->used--;
	lodge_forget(l, slot);
}

struct lodge_stats lodge_stats(const struct lodge *l)
{
	struct lodge_stats s = l->stats;

	s.slots = l->slots;
	s.used = l->used;
	s.waiting = l->waiting;
	return s;
}
