/* user/keep.c -- see keep.h. In: records by kind and id. Out: the same, to this worker or the next. */
#include "user/keep.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#define KEEP_ALIGN 64
#define KEEP_HEAD  4096
#define KEEP_SPARE 1 /* where a record goes that replaces one */
#define NO_SLOT	   UINT32_MAX
#define FREE_SLOT  (UINT32_MAX - 1) /* in .next, while the file is scanned */

static const char keep_magic[8] = "SPSTATE";

struct keep_head {
	char magic[8];
	uint32_t version, kinds;
	uint64_t size;
	uint32_t deaths, pad;
	struct {
		uint32_t slots, data_max, small_max, pad;
	} kind[KEEP_KINDS_MAX];
};
_Static_assert(sizeof(struct keep_head) <= KEEP_HEAD, "the head's page");

struct slot {
	uint64_t id;
	uint64_t seq; /* of two valid ones of one id the higher counts */
	uint32_t valid, len;
	uint64_t pad;
	uint8_t data[];
};
_Static_assert(sizeof(struct slot) == 32, "header of a slot");

/* Slots of one size. */
struct keep_table {
	uint8_t *base;
	uint32_t data_max, stride, slots;
	uint32_t *next;	  /* free list and hash chains: by slot */
	uint32_t *bucket; /* by id; mask + 1 */
	uint32_t mask, free, used;
};

/* A kind's slots: small ones, if it has such, and large ones; a record is in one of them. */
enum { SMALL, LARGE, SIZES };
struct keep_set {
	struct keep_kind kind;
	struct keep_table of[SIZES];
	uint64_t too_large, no_slot;
};

struct keep {
	uint8_t *map;
	uint64_t size, seq;
	unsigned kinds, deaths;
	bool opened;
	struct keep_set t[KEEP_KINDS_MAX];
};

static uint32_t stride_of(uint32_t data_max)
{
	return (uint32_t)(sizeof(struct slot) + data_max + KEEP_ALIGN - 1) & ~(KEEP_ALIGN - 1u);
}

static uint64_t table_size(const struct keep_kind *k, unsigned which)
{
	uint32_t data_max = which == SMALL ? k->small_max : k->data_max;

	return data_max ? (uint64_t)stride_of(data_max) * (k->slots + KEEP_SPARE) : 0;
}

uint64_t keep_size(const struct keep_kind *kinds, unsigned n)
{
	uint64_t size = KEEP_HEAD;
	unsigned i;

	for (i = 0; i < n; i++)
		size += table_size(&kinds[i], SMALL) + table_size(&kinds[i], LARGE);
	return (size + 4095) & ~4095ull;
}

static struct slot *slot_at(const struct keep_table *t, uint32_t i)
{
	return (struct slot *)(t->base + (uint64_t)i * t->stride);
}

static uint32_t *bucket_of(const struct keep_table *t, uint64_t id)
{
	id *= 0x9e3779b97f4a7c15ull;
	return &t->bucket[(id >> 32) & t->mask];
}

static uint32_t slot_find(const struct keep_table *t, uint64_t id)
{
	uint32_t i = t->slots ? *bucket_of(t, id) : NO_SLOT;

	while (i != NO_SLOT && slot_at(t, i)->id != id)
		i = t->next[i];
	return i;
}

static void slot_link(struct keep_table *t, uint32_t i)
{
	uint32_t *b = bucket_of(t, slot_at(t, i)->id);

	t->next[i] = *b;
	*b = i;
	t->used++;
}

/* Its length goes last: a slot that is not valid and has one still holds bytes, maybe keys. */
static void slot_wipe(const struct keep_table *t, struct slot *s)
{
	__atomic_store_n(&s->valid, 0, __ATOMIC_RELEASE);
	explicit_bzero(s->data, s->len <= t->data_max ? s->len : t->data_max);
	__atomic_store_n(&s->len, 0, __ATOMIC_RELEASE);
}

/* Nobody finds it any more. */
static void slot_free(struct keep_table *t, uint32_t i)
{
	struct slot *s = slot_at(t, i);

	slot_wipe(t, s);
	t->next[i] = t->free;
	t->free = i;
}

static void slot_unlink(struct keep_table *t, uint32_t i)
{
	uint32_t *p = bucket_of(t, slot_at(t, i)->id);

	while (*p != i)
		p = &t->next[*p];
	*p = t->next[i];
	t->used--;
}

static void slot_drop(struct keep_table *t, uint32_t i)
{
	slot_unlink(t, i);
	slot_free(t, i);
}

/* The table that has @id, and where; NULL: none has. */
static struct keep_table *set_find(const struct keep_set *set, uint64_t id, uint32_t *slot)
{
	unsigned which;

	for (which = SMALL; which < SIZES; which++) {
		*slot = slot_find(&set->of[which], id);
		if (*slot != NO_SLOT)
			return (struct keep_table *)&set->of[which];
	}
	return NULL;
}

static uint32_t set_used(const struct keep_set *set)
{
	return set->of[SMALL].used + set->of[LARGE].used;
}

/* ---- start ---- */

static int table_init(struct keep_table *t, const struct keep_kind *kind, unsigned which,
		      uint8_t *base)
{
	uint32_t i;

	t->base = base;
	t->data_max = which == SMALL ? kind->small_max : kind->data_max;
	t->free = NO_SLOT;
	if (!t->data_max)
		return 0;
	t->stride = stride_of(t->data_max);
	t->slots = kind->slots + KEEP_SPARE;
	for (t->mask = 63; t->mask < kind->slots;)
		t->mask = 2 * t->mask + 1;
	t->next = malloc(t->slots * sizeof(*t->next));
	t->bucket = malloc((t->mask + 1ull) * sizeof(*t->bucket));
	if (!t->next || !t->bucket)
		return -ENOMEM;
	for (i = 0; i <= t->mask; i++)
		t->bucket[i] = NO_SLOT;
	return 0;
}

/* Where the file has bytes: what no worker ever wrote is not read, since reading would give it memory. */
struct extent {
	int fd;
	uint64_t begin, end;
};

static bool extent_has(struct extent *x, uint64_t at)
{
	off_t begin, end;

	if (at < x->end)
		return at >= x->begin;
	begin = lseek(x->fd, (off_t)at, SEEK_DATA);
	end = begin < 0 ? -1 : lseek(x->fd, begin, SEEK_HOLE);
	if (end < 0) { /* no bytes from here on, or no such call: then all is read */
		x->begin = begin < 0 && errno == ENXIO ? UINT64_MAX : at;
		x->end = UINT64_MAX;
	} else {
		x->begin = (uint64_t)begin;
		x->end = (uint64_t)end;
	}
	return at >= x->begin;
}

static void slot_take_in(struct keep *k, struct keep_table *t, uint32_t i)
{
	struct slot *s = slot_at(t, i);
	uint32_t other;

	t->next[i] = FREE_SLOT;
	if (!s->valid || !s->id || s->len > t->data_max) {
		if (s->valid || s->len) /* its worker was killed when it wrote or wiped it */
			slot_wipe(t, s);
		return;
	}
	if (s->seq > k->seq)
		k->seq = s->seq;
	other = slot_find(t, s->id);
	if (other != NO_SLOT && slot_at(t, other)->seq > s->seq) {
		slot_wipe(t, s);
		return;
	}
	if (other != NO_SLOT) {
		slot_unlink(t, other);
		slot_wipe(t, slot_at(t, other));
		t->next[other] = FREE_SLOT;
	}
	slot_link(t, i);
}

static void table_scan(struct keep *k, struct keep_table *t, struct extent *x)
{
	uint32_t i;

	for (i = 0; i < t->slots; i++) {
		if (extent_has(x, (uint64_t)(t->base - k->map) + (uint64_t)i * t->stride))
			slot_take_in(k, t, i);
		else
			t->next[i] = FREE_SLOT;
	}
	for (i = t->slots; i-- > 0;) { /* the low ones are used first */
		if (t->next[i] != FREE_SLOT)
			continue;
		t->next[i] = t->free;
		t->free = i;
	}
}

/* Records that a worker left in both sizes when it was killed: the newer one counts. */
static void set_resolve(struct keep_set *set)
{
	struct keep_table *small = &set->of[SMALL], *large = &set->of[LARGE];
	uint32_t b, i, next, other;

	for (b = 0; small->slots && b <= small->mask; b++) {
		for (i = small->bucket[b]; i != NO_SLOT; i = next) {
			next = small->next[i];
			other = slot_find(large, slot_at(small, i)->id);
			if (other == NO_SLOT)
				continue;
			if (slot_at(large, other)->seq > slot_at(small, i)->seq)
				slot_drop(small, i);
			else
				slot_drop(large, other);
		}
	}
}

static int set_open(struct keep *k, struct keep_set *set, const struct keep_kind *kind,
		    struct extent *x, uint64_t *at)
{
	unsigned which;
	int err = 0;

	set->kind = *kind;
	for (which = SMALL; which < SIZES && !err; which++) {
		err = table_init(&set->of[which], kind, which, k->map + *at);
		if (!err)
			table_scan(k, &set->of[which], x);
		*at += table_size(kind, which);
	}
	if (!err)
		set_resolve(set);
	return err;
}

/* NULL: it fits; else why not. */
static const char *head_misfit(const struct keep_head *h, uint64_t size,
			       const struct keep_kind *kinds, unsigned n)
{
	unsigned i;

	if (memcmp(h->magic, keep_magic, sizeof(h->magic)))
		return "not a state file";
	if (h->version != KEEP_VERSION)
		return "another version";
	if (h->kinds != n || h->size != size)
		return "another layout";
	for (i = 0; i < n; i++)
		if (h->kind[i].slots != kinds[i].slots ||
		    h->kind[i].data_max != kinds[i].data_max ||
		    h->kind[i].small_max != kinds[i].small_max)
			return kinds[i].name;
	return NULL;
}

int keep_check(int fd, const struct keep_kind *kinds, unsigned n, char *why, size_t why_n)
{
	struct keep_head h;
	struct stat st;
	const char *misfit;

	if (fstat(fd, &st) || pread(fd, &h, sizeof(h), 0) != (ssize_t)sizeof(h)) {
		snprintf(why, why_n, "state: %s", strerror(errno));
		return -EPROTO;
	}
	if ((uint64_t)st.st_size != keep_size(kinds, n)) {
		snprintf(why, why_n, "state is of %llu bytes, and this binary wants %llu",
			 (unsigned long long)st.st_size, (unsigned long long)keep_size(kinds, n));
		return -EPROTO;
	}
	misfit = h.version ? head_misfit(&h, (uint64_t)st.st_size, kinds, n) : NULL;
	if (!misfit)
		return 0;
	if (h.version != KEEP_VERSION)
		snprintf(why, why_n, "state is of version %u, and this binary knows %u", h.version,
			 KEEP_VERSION);
	else
		snprintf(why, why_n, "state is of version %u, but its records differ: %s",
			 h.version, misfit);
	return -EPROTO;
}

static void head_write(struct keep_head *h, const struct keep *k, const struct keep_kind *kinds,
		       unsigned n)
{
	unsigned i;

	memset(h, 0, sizeof(*h));
	h->kinds = n;
	h->size = k->size;
	h->version = KEEP_VERSION;
	h->deaths = k->deaths + 1; /* until we settle */
	for (i = 0; i < n; i++) {
		h->kind[i].slots = kinds[i].slots;
		h->kind[i].data_max = kinds[i].data_max;
		h->kind[i].small_max = kinds[i].small_max;
	}
	memcpy(h->magic, keep_magic, sizeof(h->magic));
}

static int keep_map(struct keep *k, int fd, uint64_t want)
{
	struct stat st;
	void *p;

	if (fstat(fd, &st))
		return -errno;
	if ((uint64_t)st.st_size != want)
		return -EINVAL;
	p = mmap(NULL, want, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	if (p == MAP_FAILED)
		return -errno;
	k->map = p;
	k->size = want;
	return 0;
}

static void keep_empty(struct keep *k, int fd)
{
	if (fallocate(fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 0, (off_t)k->size))
		explicit_bzero(k->map, k->size);
}

unsigned keep_deaths(const struct keep *k)
{
	return k->deaths;
}

void keep_settled(struct keep *k)
{
	((struct keep_head *)k->map)->deaths = 0;
}

int keep_open(int fd, const struct keep_kind *kinds, unsigned n, struct keep **out, bool *out_fresh)
{
	struct keep *k = n <= KEEP_KINDS_MAX ? calloc(1, sizeof(*k)) : NULL;
	struct extent x = {.fd = fd};
	uint64_t at = KEEP_HEAD;
	bool fresh;
	unsigned i;
	int err;

	if (!k)
		return n <= KEEP_KINDS_MAX ? -ENOMEM : -EINVAL;
	err = keep_map(k, fd, keep_size(kinds, n));
	if (err)
		goto fail;
	fresh = head_misfit((struct keep_head *)k->map, k->size, kinds, n) != NULL;
	if (!fresh)
		k->deaths = ((struct keep_head *)k->map)->deaths;
	if (((struct keep_head *)k->map)->version && (fresh || k->deaths >= KEEP_DEATHS)) {
		keep_empty(k, fd); /* nothing of it may be read later */
		fresh = true;
	}
	for (i = 0; i < n && !err; i++) {
		k->kinds = i + 1;
		err = set_open(k, &k->t[i], &kinds[i], &x, &at);
	}
	if (err)
		goto fail;
	head_write((struct keep_head *)k->map, k, kinds, n);
	if (k->deaths >= KEEP_DEATHS)
		((struct keep_head *)k->map)->deaths = 1;
	k->opened = true;
	*out_fresh = fresh;
	*out = k;
	return 0;
fail:
	keep_close(k);
	return err;
}

void keep_close(struct keep *k)
{
	unsigned i;

	if (!k)
		return;
	if (k->opened)
		keep_settled(k);
	for (i = 0; i < k->kinds * SIZES; i++) {
		free(k->t[i / SIZES].of[i % SIZES].next);
		free(k->t[i / SIZES].of[i % SIZES].bucket);
	}
	if (k->map)
		munmap(k->map, k->size);
	free(k);
}

/* ---- records ---- */

static bool fits_small(const struct keep_kind *k, size_t n)
{
	return k->small_max && n <= k->small_max;
}

int keep_put(struct keep *k, unsigned kind, uint64_t id, struct span data)
{
	struct keep_set *set = &k->t[kind];
	struct keep_table *t = &set->of[fits_small(&set->kind, data.n) ? SMALL : LARGE], *had;
	uint32_t old, i = t->free;
	struct slot *s;

	if (data.n > set->kind.data_max) {
		set->too_large++;
		return -E2BIG;
	}
	had = set_find(set, id, &old);
	if (i == NO_SLOT || (!had && set_used(set) >= set->kind.slots)) {
		set->no_slot++;
		return -ENOBUFS;
	}
	t->free = t->next[i];
	s = slot_at(t, i);
	s->id = id;
	s->seq = ++k->seq;
	s->len = (uint32_t)data.n;
	if (data.n)
		memcpy(s->data, data.p, data.n);
	__atomic_store_n(&s->valid, 1, __ATOMIC_RELEASE);
	if (had)
		slot_drop(had, old);
	slot_link(t, i);
	return 0;
}

void keep_del(struct keep *k, unsigned kind, uint64_t id)
{
	uint32_t i;
	struct keep_table *t = set_find(&k->t[kind], id, &i);

	if (t)
		slot_drop(t, i);
}

bool keep_get(const struct keep *k, unsigned kind, uint64_t id, struct span *out)
{
	uint32_t i;
	const struct keep_table *t = set_find(&k->t[kind], id, &i);

	if (t)
		*out = span_of(slot_at(t, i)->data, slot_at(t, i)->len);
	return t != NULL;
}

void *keep_live(struct keep *k, unsigned kind, uint64_t id)
{
	uint32_t i;
	const struct keep_table *t = set_find(&k->t[kind], id, &i);

	return t ? slot_at(t, i)->data : NULL;
}

static void table_each(const struct keep_table *t,
		       void (*fn)(void *arg, uint64_t id, struct span data), void *arg)
{
	uint32_t b, i, next;

	for (b = 0; t->slots && b <= t->mask; b++) {
		for (i = t->bucket[b]; i != NO_SLOT; i = next) {
			next = t->next[i];
			fn(arg, slot_at(t, i)->id,
			   span_of(slot_at(t, i)->data, slot_at(t, i)->len));
		}
	}
}

void keep_each(struct keep *k, unsigned kind, void (*fn)(void *arg, uint64_t id, struct span data),
	       void *arg)
{
	table_each(&k->t[kind].of[SMALL], fn, arg);
	table_each(&k->t[kind].of[LARGE], fn, arg);
}

struct keep_stats keep_stats(const struct keep *k, unsigned kind)
{
	const struct keep_set *set = &k->t[kind];

	return (struct keep_stats){
		.records = set_used(set), .too_large = set->too_large, .no_slot = set->no_slot};
}
