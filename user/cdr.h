/* user/cdr.h -- lines that are added to a file, without ever waiting for the disk: call records.
 *
 * Data flow: cdr_put() -> a buffer -> one write at a time on the loop (loop_write(): the kernel does it in a thread of its own where it would
 * block) -> the file, opened by the keeper for appending. What comes while a write is under way waits for the next one.
 * A full disk, or one that fails: the rest of that write is tried again every CDR_RETRY_MS, lines wait; beyond CDR_QUEUE bytes new ones are
 * left out, and counted. A line is whole in the file or not there, but for the last one before a machine dies.
 * Owner rules: owns its buffers and its timer; the descriptor is the keeper's. cdr_free() writes what waits, CDR_STOP_MS at most for one that is
 * under way. A worker that dies takes with it what it had not handed to the kernel: the lines of one round of the loop. */
#ifndef SALLYPORT_CDR_H
#define SALLYPORT_CDR_H

#include <jansson.h>

#include "user/loop.h"

#define CDR_QUEUE    (1u << 20)
#define CDR_RETRY_MS 1000
#define CDR_STOP_MS  2000

struct cdr;

/* @fd < 0: *out is NULL, which is fine everywhere: nothing is recorded. 0 or -ENOMEM. */
int cdr_new(struct loop *l, int fd, struct cdr **out);
void cdr_free(struct cdr *c);
/* Takes @row: an object, one line. */
void cdr_put(struct cdr *c, json_t *row);
/* {"lines", "lost", "errors", "waiting_bytes", "last_error"}; JSON null where there is none. */
json_t *cdr_show(const struct cdr *c);

/* "2026-11-30T22:43:37.123Z" */
#define CDR_TIME_MAX 32
const char *cdr_time(uint64_t ms, char out[CDR_TIME_MAX]);

#endif
