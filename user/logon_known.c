/* user/logon_known.c -- what the log on remembers: failures of users, verdicts about passwords, homes; see logon.h and
 * logon_int.h.
 *
 * In: domains, users, addresses, passwords: only as keyed hashes. Out: limits, and what was found out some time ago. */
#include <openssl/hmac.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "user/logon_int.h"

#define HOME_MS 600000 /* a user's home is remembered */

/* ---- keys -------- */

/* Of a kind and up to three texts; @small: the second without regard to ASCII case. */
void logon_key(const struct logon *l, char kind, const char *domain, const char *user,
	       struct span third, uint8_t out[RECENT_KEY])
{
	uint8_t text[8 + HTTP_TOKEN_DOMAIN_MAX + HTTP_TOKEN_USER_MAX + BASIC_PASSWORD_MAX + 64],
		mac[32];
	size_t n = 0, i;
	unsigned mac_n = sizeof(mac);

	text[n++] = (uint8_t)kind;
	for (i = 0; domain[i] && i < HTTP_TOKEN_DOMAIN_MAX; i++)
		text[n++] = span_lower((uint8_t)domain[i]);
	text[n++] = 0;
	for (i = 0; user[i] && i < HTTP_TOKEN_USER_MAX; i++)
		text[n++] = span_lower((uint8_t)user[i]);
	text[n++] = 0;
	if (third.n)
		memcpy(text + n, third.p, third.n);
	n += third.n;
	if (!HMAC(EVP_sha256(), l->secret, sizeof(l->secret), text, n, mac, &mac_n))
		abort(); /* without it one user's verdict could be another's */
	memcpy(out, mac, RECENT_KEY);
	explicit_bzero(text, n);
}

/* ---- limits -------- */

/* One more failure, of at most @max in the configured time? 0: taken; else the seconds until there is room. Each failure is
 * forgotten after time / max; pace->over_ms is when the last one is. */
static unsigned pace_take(const struct logon *l, struct recent *r, const uint8_t *key, unsigned max)
{
	uint64_t now = loop_now_ms(l->p.loop), all = (uint64_t)l->p.failures_seconds * 1000, each;
	struct pace *p;

	if (!max)
		return 0;
	each = all / max ? all / max : 1;
	p = recent_put(r, key);
	if (p->over_ms < now)
		p->over_ms = now;
	if (p->over_ms + each > now + all)
		return (unsigned)((p->over_ms + each - now - all + 999) / 1000);
	p->over_ms += each;
	return 0;
}

static void pace_give(const struct logon *l, struct recent *r, const uint8_t *key, unsigned max)
{
	struct pace *p = max ? recent_find(r, key) : NULL;
	uint64_t each = (uint64_t)l->p.failures_seconds * 1000;

	if (!p)
		return;
	each = each / max ? each / max : 1;
	p->over_ms = p->over_ms > each ? p->over_ms - each : 0;
}

/* Before a password goes to a cluster. LOGON_PASSWORD: go on. */
enum logon_why logon_limits_take(struct logon *l, struct ask *a)
{
	struct friend *f = recent_find(l->friends, a->pair);
	unsigned wait = pace_take(l, l->pairs, a->pair, l->p.failures_pair);

	if (wait) {
		a->reply.retry_after_s = wait;
		return LOGON_LIMIT_PAIR;
	}
	a->taken_user = !f || f->until_ms < loop_now_ms(l->p.loop);
	if (a->taken_user)
		wait = pace_take(l, l->users, a->user, l->p.failures_user);
	if (wait) {
		pace_give(l, l->pairs, a->pair, l->p.failures_pair);
		a->reply.retry_after_s = wait;
		return LOGON_LIMIT_USER;
	}
	a->taken = true;
	return LOGON_PASSWORD;
}

void logon_limits_give(struct logon *l, struct ask *a)
{
	if (!a->taken)
		return;
	a->taken = false;
	pace_give(l, l->pairs, a->pair, l->p.failures_pair);
	if (a->taken_user)
		pace_give(l, l->users, a->user, l->p.failures_user);
}

/* ---- what is known -------- */

struct cluster *logon_home_kept(struct logon *l, const char *domain, const char *user)
{
	uint8_t key[RECENT_KEY];
	struct home *h;

	logon_key(l, 'h', domain, user, SPAN(""), key);
	h = recent_find(l->homes, key);
	return h && h->until_ms > loop_now_ms(l->p.loop) ? h->cluster : NULL;
}

void logon_home_keep(struct logon *l, const char *domain, const char *user, struct cluster *home)
{
	uint8_t key[RECENT_KEY];
	struct home *h;

	logon_key(l, 'h', domain, user, SPAN(""), key);
	h = recent_put(l->homes, key);
	h->until_ms = loop_now_ms(l->p.loop) + HOME_MS;
	h->cluster = home;
}

void logon_home_drop(struct logon *l, const char *domain, const char *user)
{
	uint8_t key[RECENT_KEY];

	logon_key(l, 'h', domain, user, SPAN(""), key);
	recent_drop(l->homes, key);
}

/* A verdict is kept for a password that was judged, never for a question that nobody answered. */
void logon_verdict_keep(struct logon *l, const struct check *c, enum logon_why why,
			const char *user)
{
	bool good = why == LOGON_PASSWORD;
	struct verdict *v;

	if (!good && why != LOGON_BAD_PASSWORD && why != LOGON_NO_USER)
		return;
	v = recent_put(l->verdicts, c->key);
	v->good = good;
	v->until_ms = loop_now_ms(l->p.loop) + (good ? LOGON_GOOD_MS : LOGON_BAD_MS);
	snprintf(v->user, sizeof(v->user), "%s", good ? user : "");
}
