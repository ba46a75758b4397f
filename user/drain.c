/* user/drain.c -- whether this node drains, in memory of the keeper. See drain.h. In: the operator's word, what a worker
 * before left. Out: the same for the next one. The word: 0 off, else since when, in the loop's milliseconds, + 1. */
#include "user/drain.h"

#include <sys/mman.h>
#include <sys/stat.h>

#include "user/keeper.h"
#include "user/log.h"

#define DRAIN_BYTES 4096 /* a page: no more can be had */

int drain_plan(struct keeper_plan *p, char *why, size_t why_n)
{
	return keeper_memory(p, "drain", DRAIN_BYTES, why, why_n);
}

void drain_open(struct drain *d, uint64_t now_ms)
{
	int fd = keeper_fd("drain");
	struct stat st;
	uint64_t word;
	void *p;

	*d = (struct drain){0};
	if (fd < 0 || fstat(fd, &st) || st.st_size < DRAIN_BYTES)
		return;
	p = mmap(NULL, DRAIN_BYTES, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	if (p == MAP_FAILED)
		return;
	d->word = p;
	word = __atomic_load_n(d->word, __ATOMIC_ACQUIRE);
	d->on = word != 0;
	if (!d->on)
		return;
	d->since_ms = word - 1 < now_ms ? word - 1 : now_ms;
	log_event(LOG_L_WARN, "draining", "state=on since_s=%llu reason=\"kept from before\"",
		  (unsigned long long)(now_ms - d->since_ms) / 1000);
}

void drain_set(struct drain *d, bool on, uint64_t now_ms)
{
	if (d->on == on)
		return;
	d->on = on;
	d->since_ms = on ? now_ms : 0;
	if (d->word)
		__atomic_store_n(d->word, on ? now_ms + 1 : 0, __ATOMIC_RELEASE);
	log_event(LOG_L_WARN, "draining", "state=%s kept=%d", on ? "on" : "off", d->word != NULL);
}

void drain_close(struct drain *d)
{
	if (d->word)
		munmap(d->word, DRAIN_BYTES);
	*d = (struct drain){0};
}
