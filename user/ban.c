/* user/ban.c -- abuse score per source. See ban.h.
 *
 * The score is a sliding one: the points of the running minute and the part of the minute before that still lies within 60 s. Written to
 * maps.h; logs each ban and each end of one. */
#include "user/ban.h"

#include <errno.h>
#include <stdlib.h>

#include "user/log.h"
#include "user/prefix.h"

#define BUCKETS 1024
#define WAYS	8
#define V4_LEN	32
#define V6_LEN	64

struct score {
	struct addr source; /* cut; all zero: unused */
	uint64_t start_ms;  /* of the running window */
	uint32_t now, before;
};

struct entry {
	struct addr prefix;
	unsigned len; /* of its family */
	uint64_t until_ms;
};

struct ban {
	struct ban_params p;
	struct ban_stats stats;
	unsigned n;
	struct entry bans[BAN_MAX];
	struct score scores[BUCKETS][WAYS];
};

int ban_new(const struct ban_params *p, struct ban **out)
{
	struct ban *b = calloc(1, sizeof(*b));

	if (!b)
		return -ENOMEM;
	b->p = *p;
	*out = b;
	return 0;
}

void ban_free(struct ban *b)
{
	free(b);
}

const struct ban_stats *ban_stats(const struct ban *b)
{
	return &b->stats;
}

static bool within(const struct entry *e, const struct addr *a)
{
	struct addr cut;

	if (addr_is_v4(a) != addr_is_v4(&e->prefix))
		return false;
	prefix_cut(a, e->len, e->len, &cut);
	return addr_ip_eq(&cut, &e->prefix);
}

bool ban_active(const struct ban *b, const struct addr *source)
{
	unsigned i;

	if (maps_ban_hit(b->p.maps, source))
		return true;
	for (i = 0; i < b->n; i++)
		if (within(&b->bans[i], source))
			return true;
	return false;
}

static struct score *score_of(struct ban *b, const struct addr *source, uint64_t now_ms)
{
	uint64_t h = b->p.seed;
	struct score *row, *s;
	unsigned i;

	for (i = 0; i < 16; i++)
		h = (h ^ source->ip[i]) * 0x100000001b3u;
	row = b->scores[(h ^ h >> 32) % BUCKETS];
	for (s = row, i = 0; i < WAYS; i++) {
		if (addr_ip_eq(&row[i].source, source))
			return &row[i];
		if (row[i].start_ms < s->start_ms)
			s = &row[i];
	}
	*s = (struct score){.source = *source, .start_ms = now_ms};
	return s;
}

static uint32_t score_add(struct score *s, unsigned points, uint64_t now_ms)
{
	uint64_t age = now_ms - s->start_ms;

	if (age >= BAN_WINDOW_MS) {
		s->before = age < 2 * BAN_WINDOW_MS ? s->now : 0;
		s->now = 0;
		s->start_ms = age < 2 * BAN_WINDOW_MS ? s->start_ms + BAN_WINDOW_MS : now_ms;
		age = now_ms - s->start_ms;
	}
	s->now += points;
	return s->now + (uint32_t)(s->before * (BAN_WINDOW_MS - age) / BAN_WINDOW_MS);
}

static int ban_set(struct ban *b, const struct addr *prefix, unsigned len, uint32_t seconds,
		   const char *reason, uint64_t now_ms)
{
	char text[ADDR_TEXT_MAX];
	struct entry *e = b->bans;
	int err;

	while (e < b->bans + b->n && (e->len != len || !addr_ip_eq(&e->prefix, prefix)))
		e++;
	if (e == b->bans + BAN_MAX) {
		b->stats.full++;
		return -ENOSPC;
	}
	err = maps_ban_set(b->p.maps, prefix, len, (now_ms + seconds * 1000ull) * 1000000ull);
	if (err) {
		b->stats.failed++;
		log_event(LOG_L_ERROR, "ban-failed", "prefix=%s/%u error=%d",
			  addr_ip_text(prefix, text), len, err);
		return err;
	}
	if (e == b->bans + b->n)
		b->n++;
	*e = (struct entry){*prefix, len, now_ms + seconds * 1000ull};
	b->stats.bans++;
	b->stats.active = b->n;
	log_event(LOG_L_WARN, "ban", "prefix=%s/%u seconds=%u reason=%s",
		  addr_ip_text(prefix, text), len, seconds, reason);
	return 0;
}

bool ban_add(struct ban *b, const struct addr *source, unsigned points, const char *reason,
	     uint64_t now_ms)
{
	struct score *s;
	struct addr cut;
	unsigned len;

	if (!points)
		return false;
	b->stats.points += points;
	len = prefix_cut(source, V4_LEN, V6_LEN, &cut);
	s = score_of(b, &cut, now_ms);
	if (score_add(s, points, now_ms) < b->p.score)
		return false;
	if (b->p.exempt && b->p.exempt(b->p.arg, &cut, len)) {
		b->stats.exempt++;
		return false;
	}
	s->now = s->before = 0;
	return ban_set(b, &cut, len, b->p.seconds, reason, now_ms) == 0;
}

int ban_order(struct ban *b, const struct addr *prefix, unsigned len, uint32_t seconds,
	      const char *reason, uint64_t now_ms)
{
	bool v4 = addr_is_v4(prefix);
	struct addr cut;

	if (len > (v4 ? 32u : 128u) || len < (v4 ? 16u : 32u) || !seconds)
		return -EINVAL;
	prefix_cut(prefix, len, len, &cut);
	if (b->p.exempt && b->p.exempt(b->p.arg, &cut, len)) {
		b->stats.exempt++;
		return -EPERM;
	}
	b->stats.from_core++;
	return ban_set(b, &cut, len, seconds < BAN_LONGEST ? seconds : BAN_LONGEST, reason, now_ms);
}

void ban_tick(struct ban *b, uint64_t now_ms)
{
	char text[ADDR_TEXT_MAX];
	unsigned i = 0;

	while (i < b->n) {
		struct entry *e = &b->bans[i];

		if (e->until_ms > now_ms) {
			i++;
			continue;
		}
		/* -ENOENT: somebody cleared it by hand; it is over either way */
		maps_ban_clear(b->p.maps, &e->prefix, e->len);
		log_event(LOG_L_INFO, "ban-over", "prefix=%s/%u", addr_ip_text(&e->prefix, text),
			  e->len);
		b->stats.expired++;
		*e = b->bans[--b->n];
		b->stats.active = b->n;
	}
}

void ban_each(const struct ban *b,
	      void (*fn)(void *arg, const struct addr *prefix, unsigned len, uint64_t until_ms),
	      void *arg)
{
	unsigned i;

	for (i = 0; i < b->n; i++)
		fn(arg, &b->bans[i].prefix, b->bans[i].len, b->bans[i].until_ms);
}
