/* tools/join_store.h -- the edge's side of its tokens: which are open, which were used.
 *
 * Data flow: `init edge` and `invite` put a record into DIR/join/ID.open (mode 0600) -> a core that proves itself: join_store_take() renames it
 * to ID.used, which only one can do -> join_store_used() writes down who it was, and the secret is gone.
 * Owner rules: the folder is root's (0700). A record is a plain value; its secret is to be wiped. What ended more than 30 days ago is
 * removed by join_store_put(). Times are seconds since 1970. */
#ifndef SALLYPORT_JOIN_STORE_H
#define SALLYPORT_JOIN_STORE_H

#include <stddef.h>
#include <time.h>

#include "tools/join_token.h"

#define JOIN_DOMAINS_MAX 16
#define JOIN_PATH_MAX	 512

struct join_record {
	char id[JOIN_ID_MAX];
	char core[JOIN_NAME_MAX];
	char domains[JOIN_DOMAINS_MAX][JOIN_NAME_MAX];
	unsigned n_domains;
	uint64_t expires;
	uint8_t secret[JOIN_SECRET]; /* of an open one */
	uint64_t used;		     /* of a used one: when, */
	char by[ADDR_TEXT_MAX];	     /* and from where */
};

/* 0 or a negative errno. */
int join_store_put(const char *dir, const struct join_record *r);
/* 0: open (it may have ended: .expires); -EALREADY: used; -ENOENT; -EBADMSG: not a record. */
int join_store_get(const char *dir, const char *id, struct join_record *out);
/* Open to used: 0, or -EALREADY: somebody else did it. */
int join_store_take(const char *dir, const char *id);
int join_store_used(const char *dir, const struct join_record *r);
/* Every open one that has not ended at @now. Returns their number. */
unsigned join_store_each(const char *dir, uint64_t now,
			 void (*fn)(void *arg, const struct join_record *r), void *arg);

#endif
