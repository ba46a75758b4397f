/* user/prefix.h -- how many of something a source prefix holds now, under a limit.
 *
 * In: an address, a prefix length and a tag. Out: yes or no. Used for streams that are not admitted (/24, /56) and for the flows of one
 * client address. An entry lives while its count is not 0, so the table is bounded by what it counts. */
#ifndef SALLYPORT_PREFIX_H
#define SALLYPORT_PREFIX_H

#include <stdint.h>

#include "user/addr.h"

struct prefix_counts;

/* The first bits of @a: @v4_len of an IPv4 address, @v6_len of an IPv6 one; the rest and the port become 0. Returns the length
 * that was used. */
unsigned prefix_cut(const struct addr *a, unsigned v4_len, unsigned v6_len, struct addr *out);

/* @seed: random, so that nobody chooses addresses that collide. 0 or -ENOMEM. */
int prefix_counts_new(uint64_t seed, struct prefix_counts **out);
void prefix_counts_free(struct prefix_counts *t);
/* One more of (@prefix, @tag): 0, -EDQUOT (@limit is reached, nothing changed), -ENOMEM. The caller cuts the address first. */
int prefix_counts_add(struct prefix_counts *t, const struct addr *prefix, uint32_t tag,
		      uint32_t limit);
void prefix_counts_sub(struct prefix_counts *t, const struct addr *prefix, uint32_t tag);
uint32_t prefix_counts_get(const struct prefix_counts *t, const struct addr *prefix, uint32_t tag);

#endif
