/* user/upstream_target.c -- what upstreams know of a target: its addresses for as long as DNS says, how well it is, who waits
 * for it.
 *
 * In: struct upstream_target, DNS answers, what connections met. Out: which address to try. Owner: the upstream owns targets;
 * requests and connections hold counts of theirs, and one without either is forgotten when it grows old or room is needed. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "user/log.h"
#include "user/upstream_impl.h"

static unsigned bucket_of(const struct upstream_target *t, const char *tls_name)
{
	uint32_t h = 2166136261u ^ t->port ^ (t->tls ? 0x10000u : 0);
	const char *p;

	for (p = t->host; *p; p++)
		h = (h ^ (uint8_t)*p) * 16777619u;
	for (p = tls_name; *p; p++)
		h = (h ^ (uint8_t)*p) * 16777619u;
	return (h ^ h >> 16) & (UPSTREAM_BUCKETS - 1);
}

static void target_free(struct up_target *t)
{
	struct up_target **at = &t->u->bucket[bucket_of(&t->pub, t->pub.tls_name)];

	while (*at != t)
		at = &(*at)->next;
	*at = t->next;
	t->u->stats.targets--;
	while (t->idle)
		up_conn_drop(t->idle, true);
	t->u = NULL;
	if (!t->asking) /* else its answer finds it, and nobody */
		free(t);
}

static bool target_unused(const struct up_target *t)
{
	return !t->refs && !t->asking && !t->n_tunnels && t->n_conns == t->n_idle;
}

/* Make room: the target that has been without a request for the longest. */
static bool target_evict(struct upstream *u)
{
	struct up_target *t, *oldest = NULL;
	unsigned i;

	for (i = 0; i < UPSTREAM_BUCKETS; i++)
		for (t = u->bucket[i]; t; t = t->next)
			if (target_unused(t) && (!oldest || t->used_ms < oldest->used_ms))
				oldest = t;
	if (oldest)
		target_free(oldest);
	return oldest != NULL;
}

static struct up_target *target_new(struct upstream *u, const struct upstream_target *from,
				    const char *tls_name)
{
	size_t nh = strlen(from->host), nt = strlen(tls_name);
	struct up_target *t = calloc(1, sizeof(*t) + nh + nt + 2);
	struct addr literal;

	if (!t)
		return NULL;
	memcpy(t->text, from->host, nh + 1);
	memcpy(t->text + nh + 1, tls_name, nt + 1);
	t->u = u;
	t->pub = (struct upstream_target){t->text, from->port, from->tls, t->text + nh + 1};
	if (addr_parse(span_of(t->text, nh), &literal) == 0) {
		literal.port = from->port;
		t->addrs[0].addr = literal;
		t->n_addrs = 1;
		t->fresh_until_ms = t->stale_until_ms = UINT64_MAX;
	}
	return t;
}

int up_target_get(struct upstream *u, const struct upstream_target *from, struct up_target **out)
{
	const char *tls_name = from->tls_name ? from->tls_name : from->host;
	unsigned b = bucket_of(from, tls_name);
	struct up_target *t;

	for (t = u->bucket[b]; t; t = t->next)
		if (t->pub.port == from->port && t->pub.tls == from->tls &&
		    !strcmp(t->pub.host, from->host) && !strcmp(t->pub.tls_name, tls_name))
			break;
	if (!t) {
		if (!*from->host || strlen(from->host) > 255 || strlen(tls_name) > 255)
			return -EINVAL;
		if (u->stats.targets >= UPSTREAM_TARGETS && !target_evict(u)) {
			u->stats.targets_full++;
			return -ENOBUFS;
		}
		t = target_new(u, from, tls_name);
		if (!t)
			return -ENOMEM;
		t->next = u->bucket[b];
		u->bucket[b] = t;
		u->stats.targets++;
	}
	t->used_ms = loop_now_ms(u->p.loop);
	*out = t;
	return 0;
}

bool up_target_down(const struct up_target *t)
{
	return t->down_until_ms > loop_now_ms(t->u->p.loop);
}

/* ---- addresses ---- */

static void keep_health(struct up_addr *to, const struct up_addr *old, unsigned n_old)
{
	unsigned i;

	for (i = 0; i < n_old; i++)
		if (addr_eq(&to->addr, &old[i].addr)) {
			to->down_until_ms = old[i].down_until_ms;
			to->fails = old[i].fails;
		}
}

/* IPv4 first, each family in the order of the answer. */
static void addrs_take(struct up_target *t, const struct dns_target *got, unsigned n)
{
	struct up_addr fresh[UPSTREAM_ADDRS] = {};
	unsigned i, k = 0, v6;

	for (v6 = 0; v6 < 2; v6++)
		for (i = 0; i < n && k < UPSTREAM_ADDRS; i++) {
			if (addr_is_v4(&got[i].addr) == (v6 == 1))
				continue;
			fresh[k].addr = got[i].addr;
			keep_health(&fresh[k++], t->addrs, t->n_addrs);
		}
	memcpy(t->addrs, fresh, sizeof(t->addrs));
	t->n_addrs = k;
}

static void on_addresses(void *arg, int err, const struct dns_target *got, unsigned n,
			 unsigned ttl_s)
{
	struct up_target *t = arg;
	uint64_t now;

	if (!t->u) {
		free(t);
		return;
	}
	now = loop_now_ms(t->u->p.loop);
	t->asking = false;
	t->dns_err = err;
	if (!err) {
		addrs_take(t, got, n);
		t->fresh_until_ms = now + (uint64_t)ttl_s * 1000;
		t->stale_until_ms = t->fresh_until_ms + UPSTREAM_TTL_STALE;
	} else {
		t->dns_again_ms = now + UPSTREAM_DNS_AGAIN;
	}
	up_target_serve(t);
}

int up_target_addrs(struct up_target *t)
{
	uint64_t now = loop_now_ms(t->u->p.loop);
	bool usable = t->n_addrs && now < t->stale_until_ms;
	int err;

	if (now < t->fresh_until_ms)
		return 0;
	if (!t->asking && now >= t->dns_again_ms) {
		err = t->u->p.dns ? dns_host(t->u->p.dns, t->pub.host, t->pub.port, on_addresses, t)
				  : -EIO;
		t->asking = !err;
		if (err && !usable)
			return err;
	}
	if (usable)
		return 0;
	return t->asking ? -EAGAIN : t->dns_err ? t->dns_err : -EIO;
}

int up_target_pick(const struct up_target *t, unsigned tried)
{
	uint64_t now = loop_now_ms(t->u->p.loop);
	int second = -1;
	unsigned i;

	for (i = 0; i < t->n_addrs; i++) {
		if (tried >> i & 1)
			continue;
		if (t->addrs[i].down_until_ms <= now)
			return (int)i;
		if (second < 0 || t->addrs[i].down_until_ms < t->addrs[second].down_until_ms)
			second = (int)i;
	}
	return second;
}

/* ---- health ---- */

static uint64_t down_ms(unsigned fails)
{
	uint64_t ms = fails > 5 ? UPSTREAM_DOWN_MAX : (uint64_t)UPSTREAM_DOWN_MIN << (fails - 1);

	return ms < UPSTREAM_DOWN_MAX ? ms : UPSTREAM_DOWN_MAX;
}

/* Many requests may meet the same failure at once: it counts once. */
void up_target_failed(struct up_target *t, const char *text)
{
	uint64_t now = loop_now_ms(t->u->p.loop);
	char esc[UPSTREAM_TEXT * 2];

	t->failures++;
	(void)snprintf(t->last_failure, sizeof(t->last_failure), "%s", text);
	if (t->down_until_ms > now)
		return;
	t->fails++;
	t->down_until_ms = now + down_ms(t->fails);
	log_event(LOG_L_WARN, "upstream-failed",
		  "target=%s:%u tls=%s passed_over_ms=%llu reason=%s", t->pub.host, t->pub.port,
		  t->pub.tls ? "yes" : "no", (unsigned long long)(t->down_until_ms - now),
		  log_esc(span_str(text), esc, sizeof(esc)));
}

static struct up_addr *addr_find(struct up_target *t, const struct addr *a)
{
	unsigned i;

	for (i = 0; i < t->n_addrs; i++)
		if (addr_eq(&t->addrs[i].addr, a))
			return &t->addrs[i];
	return NULL;
}

void up_addr_failed(struct up_target *t, const struct addr *a)
{
	uint64_t now = loop_now_ms(t->u->p.loop);
	struct up_addr *x = addr_find(t, a);

	if (!x || x->down_until_ms > now)
		return;
	x->fails++;
	x->down_until_ms = now + down_ms(x->fails);
}

void up_target_good(struct up_target *t, const struct addr *a)
{
	struct up_addr *x = addr_find(t, a);

	if (t->fails)
		log_event(LOG_L_INFO, "upstream-back", "target=%s:%u", t->pub.host, t->pub.port);
	t->answered = true;
	t->fails = 0;
	t->down_until_ms = 0;
	if (x) {
		x->fails = 0;
		x->down_until_ms = 0;
	}
}

/* ---- life ---- */

void up_target_serve(struct up_target *t)
{
	if (!t->queue.first)
		return;
	t->serve = t->u->serve = true;
	up_kick(t->u);
}

static void idle_sweep(struct up_target *t, uint64_t now)
{
	struct up_conn *c, *next;

	for (c = t->idle; c; c = next) {
		next = c->next;
		if (now - c->since_ms >= UPSTREAM_IDLE_MS)
			up_conn_drop(c, true);
	}
}

void up_target_sweep(struct upstream *u, uint64_t now)
{
	struct up_target *t, *next;
	unsigned i;

	for (i = 0; i < UPSTREAM_BUCKETS; i++)
		for (t = u->bucket[i]; t; t = next) {
			next = t->next;
			idle_sweep(t, now);
			if (target_unused(t) && now - t->used_ms >= UPSTREAM_FORGET_MS)
				target_free(t);
		}
}

void up_targets_free(struct upstream *u)
{
	unsigned i;

	for (i = 0; i < UPSTREAM_BUCKETS; i++)
		while (u->bucket[i])
			target_free(u->bucket[i]);
}

static json_t *target_addresses(const struct up_target *t)
{
	json_t *list = json_array();
	char text[ADDR_TEXT_MAX];
	unsigned i;

	for (i = 0; i < t->n_addrs; i++)
		json_array_append_new(list, json_string(addr_text(&t->addrs[i].addr, text)));
	return list;
}

/* Words of a peer need not be UTF-8. */
static json_t *words(const char *text)
{
	char safe[UPSTREAM_TEXT];
	size_t i;

	for (i = 0; i + 1 < sizeof(safe) && text[i]; i++)
		safe[i] = (unsigned char)text[i] < 0x80 ? text[i] : '?';
	safe[i] = 0;
	return json_string(safe);
}

static json_t *target_row(const struct up_target *t, uint64_t now)
{
	uint64_t over = t->down_until_ms > now ? t->down_until_ms - now : 0;
	bool down = over || (t->fails && !t->n_conns);

	return json_pack(
		"{s:s, s:i, s:s, s:s, s:o, s:i, s:i, s:i, s:I, s:I, s:o, s:I}", "host", t->pub.host,
		"port", t->pub.port, "scheme", t->pub.tls ? "https" : "http", "state",
		down	      ? "down"
		: t->answered ? "up"
			      : "not asked yet",
		"addresses", target_addresses(t), "connections", (int)t->n_conns, "idle",
		(int)t->n_idle, "tunnels", (int)t->n_tunnels, "requests", (json_int_t)t->requests,
		"failures", (json_int_t)t->failures, "last_failure", words(t->last_failure),
		"passed_over_ms", (json_int_t)over);
}

json_t *upstream_show(const struct upstream *u)
{
	uint64_t now = loop_now_ms(u->p.loop);
	json_t *list = json_array();
	const struct up_target *t;
	unsigned i;

	for (i = 0; i < UPSTREAM_BUCKETS; i++)
		for (t = u->bucket[i]; t; t = t->next)
			json_array_append_new(list, target_row(t, now));
	return list;
}
