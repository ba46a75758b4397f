/* user/ban.h -- abuse score per source, ending in the kernel's ban map with an expiry.
 *
 * In: refusals of gate and streams (only what happened after a completed TCP handshake: a source address that cannot be forged) and the cores'
 * Ban messages. Out: entries of the bans map, which drop TCP SYNs to our ports and unknown UDP only: people behind the same
 * address who are already in stay in. A source is one IPv4 address or one IPv6 /64.
 * Owner rules: owns its table (fixed size, the oldest score of a bucket makes room) and the entries it set. No clock: times come in. */
#ifndef SALLYPORT_BAN_H
#define SALLYPORT_BAN_H

#include <stdbool.h>
#include <stdint.h>

#include "user/addr.h"
#include "user/maps.h"

#define BAN_MAX	      1024  /* bans at once; more are counted and not set */
#define BAN_WINDOW_MS 60000 /* what the score is counted over */
#define BAN_LONGEST   86400 /* seconds; longer ones from a core are cut to this */

struct ban;

struct ban_params {
	struct maps *maps;
	uint32_t score, seconds; /* limits.ban_score, limits.ban_seconds */
	uint64_t seed;		 /* random */
	/* Whether somebody who must not be banned is in there: a core. May be NULL. */
	bool (*exempt)(void *arg, const struct addr *prefix, unsigned len);
	void *arg;
};

struct ban_stats {
	uint64_t points, bans, from_core, expired, full, exempt, failed;
	unsigned active;
};

int ban_new(const struct ban_params *p, struct ban **out); /* 0 or -ENOMEM */
void ban_free(struct ban *b); /* bans in the map stay until they expire */
/* @points for what @source did; @reason ends in the log line when it is the last drop. True: it is banned now. */
bool ban_add(struct ban *b, const struct addr *source, unsigned points, const char *reason,
	     uint64_t now_ms);
/* A core's word. -EINVAL: prefix wider than an IPv4 /16 or IPv6 /32, or longer than its address. */
int ban_order(struct ban *b, const struct addr *prefix, unsigned len, uint32_t seconds,
	      const char *reason, uint64_t now_ms);
bool ban_active(const struct ban *b, const struct addr *source);
/* Once a second: end what is over. */
void ban_tick(struct ban *b, uint64_t now_ms);
const struct ban_stats *ban_stats(const struct ban *b);
/* @len: of the address's own family. */
void ban_each(const struct ban *b,
	      void (*fn)(void *arg, const struct addr *prefix, unsigned len, uint64_t until_ms),
	      void *arg);

#endif
