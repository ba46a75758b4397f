/* user/keep.h -- records that outlive the worker: the keeper's state file, mapped by the worker.
 *
 * Data flow: a module encodes what must survive -> keep_put() -> the file (a memfd of the keeper). The worker that follows maps it again ->
 * keep_each() hands every record back. Parts that change with every packet (SRTP indices) are written in place: keep_live().
 * Layout: a head (magic, version, size of each kind's slots), then the slots of one kind after the other, each of one fixed size, or
 * first all small ones and then all large ones. A slot is free or holds one record. A record that is put again goes to another slot first, which is then made valid with one store, and only then is
 * the old slot freed: a worker may be killed between any two instructions, and the next finds the old record or the new one, whole.
 * Owner rules: the keeper owns the file and never looks into it; struct keep owns the mapping and the list of free slots, which is made
 * anew at start. One writer: the worker's thread. Pages of slots that were never used take no memory.
 * A record that kills whoever takes it up does so a few times only: see KEEP_DEATHS.
 * Limits: as many records of a kind as its layout says, and one more in flight; a record that is too large or has no slot is refused and counted. */
#ifndef SALLYPORT_KEEP_H
#define SALLYPORT_KEEP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "user/span.h"

#define KEEP_VERSION   5 /* of the file and of all records in it; another one is not read */
#define KEEP_KINDS_MAX 8
#define KEEP_DEATHS    5 /* so many workers that died before keep_settled(): the next begins empty */

struct keep;

struct keep_kind {
	const char *name;  /* "call", for counters */
	uint32_t slots;	   /* records at once */
	uint32_t data_max; /* bytes of a record */
	uint32_t
		small_max; /* what most of them fit into: such get smaller slots; 0: all slots are of one size */
};

/* Bytes of a file for @kinds: what the keeper makes it of. */
uint64_t keep_size(const struct keep_kind *kinds, unsigned n);
/* Whether keep_open() would take up what @fd holds (or it is empty), without a change to it: 0, or -EPROTO with @why. */
int keep_check(int fd, const struct keep_kind *kinds, unsigned n, char *why, size_t why_n);
/* Map @fd (not taken over). A file that is all zero, of another version or layout, or that KEEP_DEATHS workers died with,
 * begins empty: *out_fresh. 0, -EINVAL (size), -ENOMEM, ... */
int keep_open(int fd, const struct keep_kind *kinds, unsigned n, struct keep **out,
	      bool *out_fresh);
/* Workers before us that opened the file, and neither settled nor closed it; the last count before it was emptied. */
unsigned keep_deaths(const struct keep *k);
void keep_settled(struct keep *k); /* what was in the file did us no harm */
void keep_close(struct keep *k);   /* records stay */

/* Put record @id (not 0) of @kind, in place of the one it has. 0, -E2BIG, -ENOBUFS. Both refusals leave the old record where it is. */
int keep_put(struct keep *k, unsigned kind, uint64_t id, struct span data);
void keep_del(struct keep *k, unsigned kind, uint64_t id);
bool keep_get(const struct keep *k, unsigned kind, uint64_t id, struct span *out);
/* The record's bytes, to be written in place until keep_del() or the next keep_put() of it; NULL: no such record. */
void *keep_live(struct keep *k, unsigned kind, uint64_t id);
/* Every record of @kind; @fn may delete the one that it is given. */
void keep_each(struct keep *k, unsigned kind, void (*fn)(void *arg, uint64_t id, struct span data),
	       void *arg);

struct keep_stats {
	uint32_t records;
	uint64_t too_large, no_slot;
};
struct keep_stats keep_stats(const struct keep *k, unsigned kind);

#endif
