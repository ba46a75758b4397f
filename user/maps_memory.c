/* user/maps_memory.c -- flow records, reasons and bans in a memfd. See maps_memory.h.
 *
 * In: the pairs, or a memfd of the same pairs. Out: a struct maps. Bans are one short list: they are looked at once a connection. */
#include "user/maps_memory.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "user/maps_impl.h"
#include "user/prefix.h"

#define MEMORY_MAGIC   "SPMEDIA"
#define MEMORY_REASONS 64

struct memory_ban {
	struct ban_key key;
	__u32 used;
	struct ban v;
};

/* Behind it: flows, then flow_state, as many as there are slots. */
struct maps_memory {
	char magic[8];
	__u32 abi, slots;
	__u64 reasons[MEMORY_REASONS];
	__u32 n_bans; /* places ever used: how far a search goes */
	__u32 pad;
	struct memory_ban bans[MAPS_MEMORY_BANS];
} __attribute__((aligned(64)));

_Static_assert(RELAY_REASON_COUNT <= MEMORY_REASONS, "a counter for each");
_Static_assert(sizeof(struct maps_memory) % 64 == 0, "flows begin on a cache line");

/* ---- operations ---- */

static int live_set(struct maps *m, uint64_t id, const struct live_flow *v)
{
	(void)m;
	(void)id;
	(void)v;
	return 0;
}

static void live_del(struct maps *m, uint64_t id)
{
	(void)m;
	(void)id;
}

static unsigned live_sweep(struct maps *m)
{
	(void)m;
	return 0;
}

static int next_hop_set(struct maps *m, uint32_t index, const struct next_hop *v)
{
	(void)m;
	(void)index;
	(void)v;
	return 0;
}

static struct memory_ban *ban_find(struct maps_memory *y, const struct ban_key *key)
{
	for (unsigned i = 0; i < y->n_bans; i++)
		if (y->bans[i].used && !memcmp(&y->bans[i].key, key, sizeof(*key)))
			return &y->bans[i];
	return NULL;
}

static struct memory_ban *ban_place(struct maps_memory *y)
{
	for (unsigned i = 0; i < y->n_bans; i++)
		if (!y->bans[i].used)
			return &y->bans[i];
	return y->n_bans < MAPS_MEMORY_BANS ? &y->bans[y->n_bans++] : NULL;
}

static int ban_set(struct maps *m, const struct ban_key *key, const struct ban *v)
{
	struct memory_ban *b = ban_find(m->memory, key);

	if (!b)
		b = ban_place(m->memory);
	if (!b)
		return -ENOSPC;
	b->key = *key;
	b->v = *v;
	b->used = 1;
	return 0;
}

static int ban_clear(struct maps *m, const struct ban_key *key)
{
	struct memory_ban *b = ban_find(m->memory, key);

	if (!b)
		return -ENOENT;
	b->used = 0;
	return 0;
}

static unsigned bans_expire(struct maps *m, uint64_t now_ns)
{
	struct maps_memory *y = m->memory;
	unsigned n = 0;

	for (unsigned i = 0; i < y->n_bans; i++) {
		if (!y->bans[i].used || y->bans[i].v.until_ns > now_ns)
			continue;
		y->bans[i].used = 0;
		n++;
	}
	while (y->n_bans && !y->bans[y->n_bans - 1].used)
		y->n_bans--;
	return n;
}

static bool ban_hit(struct maps *m, const struct addr *source)
{
	struct maps_memory *y = m->memory;
	struct addr ip, cut;
	struct timespec now;
	uint64_t ns;

	if (!y->n_bans)
		return false;
	clock_gettime(CLOCK_MONOTONIC, &now);
	ns = (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
	for (unsigned i = 0; i < y->n_bans; i++) {
		struct memory_ban *b = &y->bans[i];
		unsigned len = b->key.prefix_len;

		if (!b->used || b->v.until_ns <= ns)
			continue;
		memcpy(ip.ip, &b->key.ip, sizeof(ip.ip));
		if (addr_is_v4(&ip) != addr_is_v4(source))
			continue;
		prefix_cut(source, len - 96, len, &cut);
		if (memcmp(cut.ip, ip.ip, sizeof(ip.ip)))
			continue;
		b->v.hits++;
		y->reasons[R_DROP_BAN_TCP]++;
		return true;
	}
	return false;
}

static uint64_t reason_count(const struct maps *m, unsigned reason)
{
	return m->memory->reasons[reason];
}

static void memory_close(struct maps *m)
{
	if (m->memory)
		munmap(m->memory, m->memory_bytes);
}

static const struct maps_back memory_back = {
	.live_set = live_set,
	.live_del = live_del,
	.live_sweep = live_sweep,
	.next_hop_set = next_hop_set,
	.ban_set = ban_set,
	.ban_clear = ban_clear,
	.bans_expire = bans_expire,
	.ban_hit = ban_hit,
	.reason = reason_count,
	.close = memory_close,
};

/* ---- make, open ---- */

static size_t memory_size(uint32_t slots)
{
	return sizeof(struct maps_memory) +
	       slots * (sizeof(struct flow) + sizeof(struct flow_state));
}

int maps_memory_make(const struct maps_pair *pairs, unsigned n_pairs)
{
	struct maps_memory head = {.magic = MEMORY_MAGIC, .abi = SP_ABI};
	struct maps *m = NULL;
	int err = maps_new(&memory_back, pairs, n_pairs, &m), fd;

	if (err)
		return err;
	head.slots = m->slots;
	maps_close(m);
	fd = memfd_create("sallyport-media", MFD_CLOEXEC | MFD_ALLOW_SEALING);
	if (fd < 0)
		return -errno;
	if (!ftruncate(fd, (off_t)memory_size(head.slots)) &&
	    pwrite(fd, &head, sizeof(head), 0) == (ssize_t)sizeof(head) &&
	    !fcntl(fd, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL))
		return fd;
	err = errno ? -errno : -EIO;
	close(fd);
	return err;
}

static int memory_check(const struct maps *m, const struct stat *st)
{
	struct maps_memory *y = m->memory;

	if (y->n_bans > MAPS_MEMORY_BANS)
		y->n_bans = MAPS_MEMORY_BANS;
	if (memcmp(y->magic, MEMORY_MAGIC, sizeof(y->magic)) || y->abi != SP_ABI ||
	    y->slots != m->slots || (size_t)st->st_size != m->memory_bytes)
		return -EPROTO;
	return 0;
}

int maps_memory_open(int fd, const struct maps_pair *pairs, unsigned n_pairs, struct maps **out)
{
	struct maps *m = NULL;
	struct stat st;
	void *p;
	int err = maps_new(&memory_back, pairs, n_pairs, &m);

	if (err)
		return err;
	m->memory_bytes = memory_size(m->slots);
	if (fstat(fd, &st))
		err = -errno;
	else if ((size_t)st.st_size < sizeof(struct maps_memory))
		err = -EPROTO;
	if (!err) {
		p = mmap(NULL, m->memory_bytes, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
		if (p == MAP_FAILED)
			err = -errno;
		else
			m->memory = p;
	}
	if (!err)
		err = memory_check(m, &st);
	if (err) {
		maps_close(m);
		return err;
	}
	m->flows = (struct flow *)(m->memory + 1);
	m->state = (struct flow_state *)(m->flows + m->slots);
	*out = m;
	return 0;
}

/* ---- for what carries packets ---- */

const struct flow *maps_memory_flow(const struct maps *m, uint32_t slot)
{
	return &m->flows[slot];
}

struct flow_state *maps_memory_state(struct maps *m, uint32_t slot)
{
	return &m->state[slot];
}

void maps_memory_count(struct maps *m, enum relay_reason why)
{
	m->memory->reasons[why]++;
}
