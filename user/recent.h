/* user/recent.h -- a bounded table that forgets what was not used for longest: log-on verdicts, failures of users, homes.
 *
 * In: keys of 16 bytes that nobody outside can choose (a keyed hash). Out: a value of a fixed size beside each. Owner rules:
 * owns its memory, all of it taken at once (touched as it fills); values live until their entry is dropped or pushed out by a
 * newer one. Wiped when freed and when dropped. No clock: what expires says so in its value. */
#ifndef SALLYPORT_RECENT_H
#define SALLYPORT_RECENT_H

#include <stddef.h>
#include <stdint.h>

#define RECENT_KEY 16

struct recent;

int recent_new(unsigned max, size_t value_size,
	       struct recent **out); /* 0, -EINVAL (no entries), -ENOMEM */
void recent_free(struct recent *r);
void *recent_find(struct recent *r, const uint8_t key[RECENT_KEY]); /* and used now; NULL */
/* The value of @key, all zero if it is new; then the one not used for longest is gone where the table was full. */
void *recent_put(struct recent *r, const uint8_t key[RECENT_KEY]);
void recent_drop(struct recent *r, const uint8_t key[RECENT_KEY]);
unsigned recent_n(const struct recent *r);
uint64_t recent_pushed_out(const struct recent *r);

#endif
