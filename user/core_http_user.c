/* user/core_http_user.c -- what one user may ask for: requests a second and at once, over all streams and tokens. See
 * core_http.h.
 *
 * In: who asks. Out: yes, or which limit. Owner: the module; a user without requests is forgotten after 2 s. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "user/core_http_impl.h"

#define USER_FORGET_MS 2000

_Static_assert(CORE_HTTP_USER_ACTIVE < UPSTREAM_PER_TARGET,
	       "one user may not hold all of a server's connections");

static unsigned bucket_of(const uint8_t *p, size_t n)
{
	uint32_t h = 2166136261u;
	size_t i;

	for (i = 0; i < n; i++)
		h = (h ^ p[i]) * 16777619u;
	return (h ^ h >> 16) & (CORE_HTTP_BUCKETS - 1);
}

void core_http_users_sweep(struct core_http *h, bool all)
{
	uint64_t now = loop_now_ms(h->p.loop);
	struct core_http_user **at, *u;
	unsigned i;

	for (i = 0; h->stats.users && i < CORE_HTTP_BUCKETS; i++)
		for (at = &h->users[i]; (u = *at);) {
			if (!all && (u->active || now - u->seen_ms < USER_FORGET_MS)) {
				at = &u->next;
				continue;
			}
			*at = u->next;
			free(u);
			h->stats.users--;
		}
}

static unsigned rate_of(const struct core_http *h)
{
	return h->p.user_rate ? h->p.user_rate : CORE_HTTP_USER_RATE;
}

static struct core_http_user *user_get(struct core_http *h, const uint8_t *name, size_t n)
{
	unsigned b = bucket_of(name, n);
	struct core_http_user *u;

	for (u = h->users[b]; u; u = u->next)
		if (u->n == n && !memcmp(u->name, name, n))
			return u;
	if (h->stats.users >= CORE_HTTP_USERS)
		core_http_users_sweep(h, false);
	if (h->stats.users >= CORE_HTTP_USERS)
		return NULL;
	u = calloc(1, sizeof(*u) + n);
	if (!u)
		return NULL;
	memcpy(u->name, name, n);
	u->n = n;
	u->seen_ms = loop_now_ms(h->p.loop);
	u->allowance = 2000ull * rate_of(h);
	u->next = h->users[b];
	h->users[b] = u;
	h->stats.users++;
	return u;
}

int core_http_user_take(struct core_http *h, const char *who, const char *domain,
			struct core_http_user **out)
{
	uint8_t name[HTTP_TOKEN_USER_MAX + HTTP_TOKEN_DOMAIN_MAX];
	size_t a = strlen(who), b = strlen(domain);
	uint64_t now = loop_now_ms(h->p.loop), most = 2000ull * rate_of(h);
	struct core_http_user *u;

	memcpy(name, who, a + 1);
	memcpy(name + a + 1, domain, b);
	u = user_get(h, name, a + 1 + b);
	if (!u || u->active >= CORE_HTTP_USER_ACTIVE)
		return -EBUSY;
	u->allowance += (now - u->seen_ms) * rate_of(h);
	if (u->allowance > most)
		u->allowance = most;
	u->seen_ms = now;
	if (u->allowance < 1000)
		return -EAGAIN;
	u->allowance -= 1000;
	u->active++;
	h->stats.active++;
	*out = u;
	return 0;
}

void core_http_user_give(struct core_http *h, struct core_http_user *u)
{
	if (!u)
		return;
	u->active--;
	h->stats.active--;
}
