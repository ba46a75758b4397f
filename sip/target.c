/* sip/target.c -- see target.h. In: addresses, news of them, time. Out: choices, OPTIONS, logs. Owns struct targets. */
#include "sip/target.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "sip/binding.h"
#include "sip/route.h"
#include "sip/txn.h"

#define TARGET_BUSY_MAX_S 300

static bool target_is_down(const struct engine *e, const struct target *t)
{
	return t->down_until > e->now;
}

static struct target *target_at(const struct engine *e, unsigned server, const struct addr *a)
{
	struct targets *v = &e->targets[server];
	unsigned i;

	for (i = 0; i < v->n; i++)
		if (addr_eq(&v->t[i].addr, a))
			return &v->t[i];
	return NULL;
}

struct target *target_of(const struct engine *e, unsigned server, const struct addr *from)
{
	struct targets *v = &e->targets[server];
	struct target *t = target_at(e, server, from);
	unsigned i, n = 0;

	for (i = 0; !t && i < v->n; i++)
		if (addr_ip_eq(&v->t[i].addr, from) && ++n > 1)
			return NULL;
	for (i = 0; !t && n && i < v->n; i++)
		if (addr_ip_eq(&v->t[i].addr, from))
			t = &v->t[i];
	return t;
}

/* ---- which one ---- */

/* FNV-1a and a mixer: the same in every core and after every restart, so that a user stays where he is. */
static uint64_t target_mix(uint64_t h)
{
	h = (h ^ h >> 30) * 0xbf58476d1ce4e5b9ull;
	h = (h ^ h >> 27) * 0x94d049bb133111ebull;
	return h ^ h >> 31;
}

uint64_t target_key(const char *aor)
{
	uint64_t h = 0xcbf29ce484222325ull;

	for (; *aor; aor++)
		h = (h ^ (uint8_t)*aor) * 0x100000001b3ull;
	return target_mix(h);
}

/* RFC 2782: of those in @left with the lowest priority one by weight, with @dice as chance. */
static unsigned target_draw(const struct targets *v, uint32_t left, uint64_t dice)
{
	unsigned i, first = 0, sum = 0, pick;

	while (!(left >> first & 1))
		first++;
	for (i = first; i < v->n && v->t[i].priority == v->t[first].priority; i++)
		sum += left >> i & 1 ? v->t[i].weight : 0u;
	dice %= sum + 1u;
	pick = first;
	for (i = first, sum = 0; i < v->n && v->t[i].priority == v->t[first].priority; i++) {
		if (!(left >> i & 1))
			continue;
		pick = i;
		sum += v->t[i].weight;
		if (sum >= dice)
			break;
	}
	return pick;
}

static bool target_tried(const struct target *t, const struct addr *tried, unsigned n)
{
	while (n--)
		if (addr_eq(&t->addr, &tried[n]))
			return true;
	return false;
}

bool target_pick(const struct engine *e, unsigned server, uint64_t key, const struct addr *tried,
		 unsigned n_tried, struct addr *out)
{
	const struct targets *v = &e->targets[server];
	uint32_t left = (1u << v->n) - 1;
	const struct target *down = NULL;

	while (left) {
		unsigned i = target_draw(v, left, key);
		const struct target *t = &v->t[i];

		left &= ~(1u << i);
		key = target_mix(key + 1);
		if (target_tried(t, tried, n_tried))
			continue;
		if (!target_is_down(e, t)) {
			*out = t->addr;
			return true;
		}
		if (!down)
			down = t;
	}
	if (!down)
		return false;
	*out = down->addr;
	return true;
}

struct peer target_peer(const struct engine *e, unsigned server, const struct sip_uri *next,
			const struct addr *before, uint64_t key)
{
	struct peer p = engine_peer_server(e, server);
	const struct target *t = NULL;
	struct addr a;

	if (next && (next->is_sip || next->is_sips) && addr_parse(next->host, &a) == 0) {
		a.port = next->port ? next->port : p.transport == ENGINE_TLS ? 5061 : 5060;
		t = target_at(e, server, &a);
	}
	if (!t && before->port) {
		t = target_at(e, server, before);
		t = t && target_is_down(e, t) ? NULL : t;
	}
	if (t)
		p.to = t->addr;
	else
		(void)target_pick(e, server, key, NULL, 0, &p.to);
	return p;
}

/* ---- how it is ---- */

static void target_log(struct engine *e, unsigned server, const struct target *t, bool up)
{
	char at[ADDR_TEXT_MAX], why[80];

	engine_log(e, up ? 2 : 1, up ? "target-up" : "target-down", "server=%s address=%s%s%s",
		   e->c.servers[server].name, addr_text(&t->addr, at),
		   up ? "" : " reason=", up ? "" : engine_esc(span_str(t->why), why, sizeof(why)));
}

static void target_down(struct engine *e, unsigned server, struct target *t, uint64_t ms,
			const char *why)
{
	bool was = target_is_down(e, t), same = strcmp(t->why, why) == 0;

	t->failures++;
	t->down_until = e->now + ms;
	(void)snprintf(t->why, sizeof(t->why), "%s", why);
	if (!was || !same)
		target_log(e, server, t, false);
}

static void target_up(struct engine *e, unsigned server, struct target *t)
{
	if (!t->down_until)
		return;
	t->down_until = 0;
	t->told = false;
	target_log(e, server, t, true);
}

static void target_plan(struct engine *e, struct targets *v);
static void target_ping(struct engine *e, unsigned server, struct target *at);

void target_asked(struct engine *e, unsigned server, const struct addr *to)
{
	struct target *t = target_at(e, server, to);

	if (!t || t->asked)
		return;
	t->asked = e->now;
	target_plan(e, &e->targets[server]);
}

void target_heard(struct engine *e, unsigned server, const struct addr *from)
{
	struct target *t = target_of(e, server, from);

	if (!t)
		return;
	t->heard = e->now;
	t->asked = 0;
	t->spoke = true;
	t->ended = false;
	if (!t->told)
		target_up(e, server, t);
}

void target_busy(struct engine *e, unsigned server, const struct addr *to, uint32_t seconds)
{
	struct target *t = target_at(e, server, to);

	if (!t || !seconds)
		return;
	t->told = true;
	target_down(e, server, t,
		    1000ull * (seconds > TARGET_BUSY_MAX_S ? TARGET_BUSY_MAX_S : seconds),
		    "503 Service Unavailable");
}

bool target_failed(struct engine *e, unsigned server, const struct addr *to, const char *why)
{
	struct target *t = target_at(e, server, to);

	if (!t)
		return false;
	t->asked = 0;
	t->pinging = t->told = false;
	target_down(e, server, t, TARGET_DOWN_MS, why);
	target_plan(e, &e->targets[server]);
	return true;
}

void target_ended(struct engine *e, unsigned server, const struct addr *to, enum engine_failure how,
		  const char *why)
{
	struct target *t = target_at(e, server, to);
	char at[ADDR_TEXT_MAX], esc[80];

	if (!t || !t->spoke)
		return;
	if (how == ENGINE_CLOSED)
		t->ended = true;
	if ((how == ENGINE_CLOSED && !e->c.servers[server].per_connection) ||
	    (how == ENGINE_UNREACHABLE && !t->ended))
		return;
	t->spoke = t->ended = false;
	t->losses++;
	binding_target_lost(e, server, &t->addr);
	engine_log(e, 1, "registrations-lost", "server=%s address=%s losses=%llu reason=%s",
		   e->c.servers[server].name, addr_text(&t->addr, at),
		   (unsigned long long)t->losses, engine_esc(span_str(why), esc, sizeof(esc)));
}

void target_closed(struct engine *e, unsigned server, const struct addr *to)
{
	struct target *t = target_at(e, server, to);

	if (!t)
		return;
	t->pinging = false;
	t->asked = e->now; /* what was under way is asked for again, and OPTIONS after it */
	if (e->now - t->pinged >= TARGET_ASK_MS)
		target_ping(e, server, t); /* at once, while a process that went is not yet back */
	target_plan(e, &e->targets[server]);
}

uint32_t target_retry_after(const struct sip_msg *m)
{
	const struct sip_header *h = sip_header_find(m, SIP_H_RETRY_AFTER, 0, NULL);
	struct span s = h ? h->value : SPAN("");
	size_t i = 0;
	uint32_t v;

	while (i < s.n && s.p[i] >= '0' && s.p[i] <= '9')
		i++;
	return sip_number(span_cut(s, 0, i), UINT32_MAX, &v) ? 0 : v;
}

void target_pong(struct engine *e, const struct txn *t, const struct sip_msg *m)
{
	struct target *at = target_at(e, t->down.server, &t->down.to);

	if (!at)
		return;
	at->pinging = false;
	if (!m && (at->answers || at->asked) && at->heard < at->pinged) {
		if (target_failed(e, t->down.server, &t->down.to, "silent"))
			txn_target_gone(e, t->down.server, &t->down.to, TXN_GONE_SILENT);
	} else if (m && m->status == 503) {
		target_busy(e, t->down.server, &t->down.to,
			    target_retry_after(m) ? target_retry_after(m) : TARGET_DOWN_MS / 1000);
	} else if (m) {
		at->answers = true;
	}
	target_plan(e, &e->targets[t->down.server]);
}

/* ---- asking ---- */

static void target_ping(struct engine *e, unsigned server, struct target *at)
{
	struct peer down = engine_peer_server(e, server);
	char to[ADDR_TEXT_MAX], via[512], tag[17];
	struct txn *t = txn_new_own(e, SIP_M_OPTIONS);
	struct sip_out o;
	ssize_t n;

	at->pinged = e->now;
	if (!t)
		return;
	t->use = TXN_PING;
	t->down = down;
	t->down.to = at->addr;
	engine_random_text(e, tag, sizeof(tag));
	sip_out_init(&o, e->out, e->buf_cap);
	sip_out_text(&o, "OPTIONS sip:%s;transport=%s SIP/2.0\r\n%s", addr_text(&at->addr, to),
		     route_transport(down.transport, false),
		     route_via(e, &t->down, t->id, via, sizeof(via)));
	sip_out_text(&o, "Max-Forwards: 70\r\nFrom: <sip:%s>;tag=%s\r\nTo: <sip:%s>\r\n",
		     e->inside_host, tag, to);
	sip_out_text(&o, "Call-ID: %s-ping\r\nCSeq: 1 OPTIONS\r\n", tag);
	n = sip_out_body(&o, SPAN(""));
	at->pinging = n > 0;
	if (n > 0)
		txn_send(e, t, span_of(e->out, (size_t)n));
	else
		txn_client_end(e, t);
}

/* When to ask target @t next; the engine knows nothing of it before it has been asked once. */
static uint64_t target_ping_due(const struct engine *e, const struct target *t)
{
	uint64_t idle = (t->heard > t->pinged ? t->heard : t->pinged) + TARGET_IDLE_MS;

	if (t->pinging)
		return UINT64_MAX;
	if (!t->pinged)
		return e->now;
	if (target_is_down(e, t) && !t->told)
		return t->pinged + TARGET_RETRY_MS;
	if (t->asked && t->asked >= t->pinged && t->asked + TARGET_ASK_MS < idle)
		return t->asked + TARGET_ASK_MS;
	return idle;
}

static uint64_t target_knock_due(const struct target *t, enum engine_transport tr)
{
	uint64_t last = t->heard > t->knocked ? t->heard : t->knocked;

	return tr == ENGINE_UDP ? last + TARGET_KNOCK_MS : UINT64_MAX;
}

static void target_plan(struct engine *e, struct targets *v)
{
	enum engine_transport tr = e->c.servers[v->server].transport;
	uint64_t due = UINT64_MAX;
	unsigned i;

	for (i = 0; i < v->n; i++) {
		const struct target *t = &v->t[i];
		uint64_t at[3] = {target_ping_due(e, t), target_knock_due(t, tr),
				  t->down_until ? t->down_until : UINT64_MAX};
		unsigned k;

		for (k = 0; k < 3; k++)
			due = at[k] < due ? at[k] : due;
	}
	if (due == UINT64_MAX)
		timer_stop(&e->timers, &v->timer);
	else
		timer_set(&e->timers, &v->timer, due > e->now ? due : e->now + 1);
}

static void target_tick(struct engine *e, void *owner)
{
	struct targets *v = owner;
	struct peer to = engine_peer_server(e, v->server);
	unsigned i;

	for (i = 0; i < v->n; i++) {
		struct target *t = &v->t[i];

		if (t->down_until && t->down_until <= e->now)
			target_up(e, v->server, t);
		if (target_ping_due(e, t) <= e->now) {
			target_ping(e, v->server, t);
		} else if (target_knock_due(t, to.transport) <= e->now) {
			to.to = t->addr;
			t->knocked = e->now;
			engine_send(e, &to, SPAN("\r\n\r\n"));
		}
	}
	target_plan(e, v);
}

/* ---- life ---- */

int target_init(struct engine *e)
{
	unsigned i;

	e->targets = calloc(e->c.n_servers ? e->c.n_servers : 1, sizeof(*e->targets));
	if (!e->targets || timers_reserve(&e->timers, e->c.n_servers))
		return -ENOMEM;
	for (i = 0; i < e->c.n_servers; i++) {
		e->targets[i].server = i;
		timer_init(&e->targets[i].timer, target_tick, &e->targets[i]);
	}
	return 0;
}

void target_fini(struct engine *e)
{
	unsigned i;

	for (i = 0; e->targets && i < e->c.n_servers; i++)
		timer_stop(&e->timers, &e->targets[i].timer);
	free(e->targets);
	e->targets = NULL;
}

/* By priority; within one those without weight first (RFC 2782), then by address: no answer's order shows. */
static int target_order(const void *a, const void *b)
{
	const struct target *x = a, *y = b;

	if (x->priority != y->priority)
		return x->priority < y->priority ? -1 : 1;
	if (x->weight != y->weight)
		return x->weight < y->weight ? -1 : 1;
	if (!addr_ip_eq(&x->addr, &y->addr))
		return memcmp(x->addr.ip, y->addr.ip, sizeof(x->addr.ip));
	return (int)x->addr.port - (int)y->addr.port;
}

void engine_targets(struct engine *e, unsigned server, const struct engine_target *list, unsigned n,
		    uint64_t now_ms)
{
	struct targets *v = &e->targets[server];
	struct target new[ENGINE_TARGETS_MAX];
	unsigned i, k = 0;

	e->now = now_ms;
	for (i = 0; i < n && k < ENGINE_TARGETS_MAX; i++) {
		const struct target *old = target_at(e, server, &list[i].addr);

		new[k] = old ? *old : (struct target){.addr = list[i].addr};
		new[k].priority = list[i].priority;
		new[k].weight = list[i].weight;
		k++;
	}
	memcpy(v->t, new, k * sizeof(new[0]));
	v->n = k;
	qsort(v->t, v->n, sizeof(v->t[0]), target_order);
	target_plan(e, v);
}

void engine_each_target(const struct engine *e, unsigned server,
			void (*fn)(void *arg, const struct engine_target_view *t), void *arg)
{
	const struct targets *v = &e->targets[server];
	unsigned i;

	for (i = 0; i < v->n; i++) {
		const struct target *t = &v->t[i];
		bool down = target_is_down(e, t);
		struct engine_target_view view = {
			.t = {.addr = t->addr, .priority = t->priority, .weight = t->weight},
			.up = !down,
			.heard = t->heard != 0,
			.why = t->why,
			.down_ms = down ? t->down_until - e->now : 0,
			.heard_ms = t->heard ? e->now - t->heard : 0,
			.failures = t->failures,
			.losses = t->losses,
			.moved = v->moved,
		};

		fn(arg, &view);
	}
}
