/* tools/stage.h -- several files that are written all or not at all.
 *
 * Data flow: stage_add() writes each text beside its place (PATH.new-PID, flushed to the disk) -> stage_commit() renames them, in order.
 * A place that is taken is an error, unless .force: then the old file is kept as PATH.old.
 * Owner rules: the caller has the struct; stage_drop() ends it in every case and removes what was not committed. At most STAGE_MAX
 * files. A program that is ended by a signal removes them too (stage_guard()). Folders are made, one level (mode 0755). Errors come with a sentence. */
#ifndef SALLYPORT_STAGE_H
#define SALLYPORT_STAGE_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

#include "user/span.h"

#define STAGE_MAX     12
#define STAGE_WHY_MAX 512

struct stage_file {
	char *path, *temp;
	bool had; /* something was there */
};

struct stage {
	bool force;
	struct stage_file files[STAGE_MAX];
	unsigned n;
};

/* 0, -EEXIST (taken, and not .force), or another negative errno; always with @why. */
int stage_add(struct stage *s, const char *path, mode_t mode, struct span text,
	      char why[STAGE_WHY_MAX]);
/* Whether stage_add() would say -EEXIST, before anything is made. */
int stage_check(const struct stage *s, const char *path, char why[STAGE_WHY_MAX]);
/* 0; or a negative errno, and everything is as it was before. */
int stage_commit(struct stage *s, char why[STAGE_WHY_MAX]);
void stage_drop(struct stage *s);
/* From here on SIGINT, SIGTERM and SIGHUP end the program without a trace of @s, which lives until the program ends; NULL: no longer. */
void stage_guard(struct stage *s);

#endif
