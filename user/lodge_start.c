/* user/lodge_start.c -- the worker's way in: map the file, say READY, wait for GO, take what is lodged; then the channel
 * goes to the loop.
 *
 * In: descriptors "lodge" and "lodge.state" of the keeper, its messages. Out: a struct lodge with every slot used, or free
 * and empty. */
#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "user/keep.h"
#include "user/lodge_impl.h"
#include "user/version.h"

/* ---- open ---- */

static int head_check(const struct lodge_head *h, uint64_t size, char *why, size_t why_n)
{
	if (memcmp(h->magic, LODGE_MAGIC, sizeof(h->magic))) {
		snprintf(why, why_n, "lodge.state: not a file of ours");
		return -EPROTO;
	}
	if (h->version != LODGE_VERSION) {
		snprintf(why, why_n,
			 "lodge.state is of version %u, and this binary knows %u: restart the "
			 "service instead",
			 h->version, LODGE_VERSION);
		return -EPROTO;
	}
	if (h->payload != LODGE_PAYLOAD || h->slots > LODGE_SLOTS_MAX ||
	    lodge_file_size(h->slots) != size) {
		snprintf(why, why_n,
			 "lodge.state: %u slots of %u bytes in %llu; wanted at most %u of %u",
			 h->slots, h->payload, (unsigned long long)size, LODGE_SLOTS_MAX,
			 LODGE_PAYLOAD);
		return -EPROTO;
	}
	return 0;
}

static int file_map(struct lodge *l, char *why, size_t why_n)
{
	int fd = keeper_fd("lodge.state");
	struct stat st = {};
	void *p;

	l->fd = keeper_fd("lodge");
	if (fd < 0 || l->fd < 0 || fstat(fd, &st)) {
		snprintf(why, why_n, "lodge: the keeper gave none");
		return -ENOENT;
	}
	if (st.st_size < (off_t)LODGE_HEAD) {
		snprintf(why, why_n, "lodge.state: only %lld bytes", (long long)st.st_size);
		return -EPROTO;
	}
	p = mmap(NULL, (size_t)st.st_size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	if (p == MAP_FAILED) {
		snprintf(why, why_n, "lodge.state: %s", strerror(errno));
		return -errno;
	}
	l->map = p;
	l->size = (size_t)st.st_size;
	l->head = p;
	return head_check(l->head, l->size, why, why_n);
}

int lodge_open(struct lodge **out, char *why, size_t why_n)
{
	struct lodge *l = calloc(1, sizeof(*l));
	int err;

	if (!l) {
		snprintf(why, why_n, "lodge: %s", strerror(ENOMEM));
		return -ENOMEM;
	}
	l->free = l->wait_first = l->wait_last = LODGE_NONE;
	err = file_map(l, why, why_n);
	if (!err) {
		l->slots = l->fresh = l->head->slots; /* none is free before lodge_take() */
		l->at = calloc(l->slots, sizeof(*l->at));
		err = l->at ? 0 : -ENOMEM;
	}
	if (err) {
		lodge_close(l);
		return err;
	}
	*out = l;
	return 0;
}

void lodge_close(struct lodge *l)
{
	if (!l)
		return;
	if (l->loop) {
		loop_cancel(l->loop, &l->readable);
		loop_cancel(l->loop, &l->writable);
		loop_timer_cancel(l->loop, &l->again);
		loop_timer_cancel(l->loop, &l->settle);
	}
	if (l->map)
		munmap(l->map, l->size);
	free(l->at);
	free(l);
}

unsigned lodge_deaths(const struct lodge *l)
{
	return l->deaths;
}

/* ---- words with the keeper ---- */

static int fd_wait(int fd, short events)
{
	struct pollfd p = {.fd = fd, .events = events};

	return poll(&p, 1, -1) < 0 && errno != EINTR ? -errno : 0;
}

/* Before there is a loop, waiting is allowed. */
static int word_say(int fd, enum lodge_op op, const char *text)
{
	struct lodge_msg m = {.op = op};
	int err;

	snprintf(m.text, sizeof(m.text), "%s", text);
	do {
		err = lodge_msg_send(fd, &m, NULL, 0);
		if (err == -EAGAIN)
			fd_wait(fd, POLLOUT);
	} while (err == -EAGAIN);
	return err;
}

void lodge_refuse(const char *why)
{
	int fd = keeper_fd("lodge");

	if (fd >= 0)
		word_say(fd, LODGE_REFUSE, why);
}

static int word_hear(struct lodge *l, struct lodge_msg *m, int *fds, unsigned *n, bool *cut)
{
	int got, err = 0;

	do {
		got = lodge_msg_recv(l->fd, m, fds, n, cut);
		if (got == -EAGAIN)
			err = fd_wait(l->fd, POLLIN);
	} while (got == -EAGAIN && !err);
	return err ? err : got == 0 ? -EPIPE : got < 0 ? got : 0;
}

int lodge_wait_go(struct lodge *l, const char *objection)
{
	int fds[LODGE_GIVEN_MAX], err;
	struct lodge_msg m;
	unsigned n;
	bool cut;

	if (objection)
		err = word_say(l->fd, LODGE_REFUSE, objection);
	else
		err = word_say(l->fd, LODGE_READY, SALLYPORT_VERSION);
	while (!err) {
		err = word_hear(l, &m, fds, &n, &cut);
		if (err || m.op == LODGE_GO)
			break;
		while (n)
			close(fds[--n]);
		err = -EPROTO;
	}
	return err;
}

/* ---- take ---- */

struct take {
	struct lodge *l;
	uint32_t end; /* behind the last slot that came */
	lodge_take_fn *fn;
	void *arg;
};

static void fds_close(int fds[LODGE_ROLES])
{
	unsigned i;

	for (i = 0; i < LODGE_ROLES; i++)
		if (fds[i] >= 0)
			close(fds[i]);
}

/* What the record does not name was still being added, and goes. Whether all that it names is there. */
static bool roles_match(struct lodge *l, uint32_t slot, int fds[LODGE_ROLES])
{
	const struct lodge_record *r = lodge_at(l, slot);
	uint32_t roles = r->roles;
	bool whole = roles != 0;
	unsigned i;

	for (i = 0; i < LODGE_ROLES; i++) {
		if (roles & 1u << i) {
			whole = whole && fds[i] >= 0 && lodge_inode(fds[i]) == r->inode[i];
		} else if (fds[i] >= 0) {
			close(fds[i]);
			fds[i] = -1;
			l->at[slot].unput |= (uint8_t)(1u << i);
		}
	}
	return whole;
}

static void take_slot(struct take *t, uint32_t slot, int fds[LODGE_ROLES])
{
	struct lodge *l = t->l;
	struct lodge_record *r;
	uint32_t state;

	if (slot >= l->slots || l->at[slot].seen) {
		fds_close(fds);
		return;
	}
	l->at[slot].seen = true;
	if (slot >= t->end)
		t->end = slot + 1;
	r = lodge_at(l, slot);
	state = __atomic_load_n(&r->state, __ATOMIC_ACQUIRE);
	if (state == LODGE_COMPLETE && t->fn && roles_match(l, slot, fds)) {
		l->at[slot].used = true;
		l->used++;
		if (t->fn(t->arg, slot, r->kind, fds, r->payload)) {
			l->stats.taken++;
			if (l->at[slot].unput)
				lodge_tell(l, slot);
			return;
		}
		l->at[slot].used = false;
		l->used--;
	}
	fds_close(fds);
	if (state != LODGE_FREE)
		l->stats.dropped++;
	lodge_forget(l, slot);
}

static void take_message(struct take *t, const struct lodge_msg *m, const int *got, unsigned n)
{
	unsigned i = 0, k;
	int fds[LODGE_ROLES];

	/* The keeper never splits a slot. */
	while (i < m->n && i < LODGE_GIVEN_MAX) {
		uint32_t slot = m->given[i].slot;

		for (k = 0; k < LODGE_ROLES; k++)
			fds[k] = -1;
		for (; i < m->n && i < LODGE_GIVEN_MAX && m->given[i].slot == slot; i++) {
			k = m->given[i].role;
			if (i >= n)
				t->l->stats.lost++; /* no descriptor free here */
			else if (k < LODGE_ROLES && fds[k] < 0)
				fds[k] = got[i];
			else
				close(got[i]);
		}
		take_slot(t, slot, fds);
	}
	for (; i < n; i++)
		close(got[i]);
}

/* Slots that the keeper has nothing of; it has something of none from @end on. */
static void take_rest(struct lodge *l, uint32_t end)
{
	uint32_t high = __atomic_load_n(&l->head->high, __ATOMIC_ACQUIRE), slot;

	l->fresh = high < l->slots ? high : l->slots;
	if (l->fresh < end) /* whatever the file says */
		l->fresh = end;
	for (slot = l->fresh; slot-- > 0;) { /* the low ones are used first */
		if (l->at[slot].seen)
			continue;
		if (lodge_at(l, slot)->state != LODGE_FREE)
			l->stats.dropped++;
		lodge_wipe(l, slot); /* its worker may have been killed before it did */
		l->at[slot].next = l->free;
		l->free = slot;
	}
}

int lodge_take(struct lodge *l, lodge_take_fn *fn, void *arg)
{
	struct take t = {.l = l, .fn = fn, .arg = arg};
	int fds[LODGE_GIVEN_MAX], err;
	struct lodge_msg m;
	unsigned n;
	bool cut;

	l->deaths = l->head->deaths;
	l->head->deaths = l->deaths >= KEEP_DEATHS ? 1 : l->deaths + 1;
	if (l->deaths >= KEEP_DEATHS)
		t.fn = NULL;
	do {
		err = word_hear(l, &m, fds, &n, &cut);
		if (!err && m.op == LODGE_GIVE)
			take_message(&t, &m, fds, n);
		else if (!err && m.op == LODGE_LOST)
			lodge_role_lost(l, &m);
	} while (!err && m.op != LODGE_END);
	if (!err)
		take_rest(l, t.end);
	return err;
}
