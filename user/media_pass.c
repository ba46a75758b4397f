/* user/media_pass.c -- media that pass: open, set, close, their time, and the start. See media_pass.h for the rules.
 *
 * In: the SIP side's calls, by medium id. Out: ops.opened/failed/silent, always as the last thing that a path does, because the
 * callee may open and close media. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <openssl/crypto.h>
#include <openssl/rand.h>

#include "user/media_pass_int.h"

/* Both kinds of id are random and ours. */
static struct pass_medium **medium_bucket(const struct media_pass *m, uint64_t id)
{
	return &m->by_id[(uint32_t)id & m->mask];
}

static struct pass_flow **flow_bucket(const struct media_pass *m, uint64_t id)
{
	return &m->by_flow[(uint32_t)id & m->mask];
}

struct pass_medium *mp_medium_find(const struct media_pass *m, uint64_t id)
{
	struct pass_medium *d = *medium_bucket(m, id);

	while (d && d->id != id)
		d = d->next;
	return d;
}

struct pass_flow *mp_flow_find(const struct media_pass *m, uint64_t id)
{
	struct pass_flow *f = *flow_bucket(m, id);

	while (f && f->id != id)
		f = f->next_id;
	return f;
}

/* ---- begin and end of a medium ---- */

static void medium_timer(void *arg)
{
	mp_medium_failed(arg, "timeout");
}

struct pass_medium *mp_medium_new(struct media_pass *m, uint64_t id, const char *edge)
{
	struct pass_medium *d = calloc(1, sizeof(*d)), **pp = medium_bucket(m, id);
	unsigned i;

	if (!d)
		return NULL;
	d->m = m;
	d->id = id;
	d->set_ms = loop_now_ms(m->p.loop);
	snprintf(d->edge, sizeof(d->edge), "%s", edge);
	d->timer = (struct loop_timer){.fn = medium_timer, .arg = d};
	for (i = 0; i < 2; i++) {
		struct pass_flow *f = &d->flow[i];

		f->medium = d;
		f->rtcp = i == 1;
		f->slot = MP_NO_SLOT;
		f->fd = -1;
		f->punch = (struct loop_timer){.fn = mp_punch_fire, .arg = f};
	}
	d->next = *pp;
	*pp = d;
	d->list_next = m->list;
	d->list_prev = &m->list;
	if (m->list)
		m->list->list_prev = &d->list_next;
	m->list = d;
	m->n_media++;
	return d;
}

void mp_flow_name(struct pass_flow *f, uint64_t id)
{
	struct pass_flow **pp = flow_bucket(f->medium->m, id);

	f->id = id;
	f->next_id = *pp;
	*pp = f;
}

static void flow_fini(struct media_pass *m, struct pass_flow *f)
{
	struct pass_flow **pp = flow_bucket(m, f->id);

	loop_timer_cancel(m->p.loop, &f->punch);
	mp_free_flow(f);
	mp_flow_remove(f);
	for (; f->id && *pp; pp = &(*pp)->next_id) {
		if (*pp == f) {
			*pp = f->next_id;
			break;
		}
	}
}

void mp_medium_free(struct pass_medium *d)
{
	struct media_pass *m = d->m;
	struct pass_medium **pp = medium_bucket(m, d->id);
	unsigned i;

	loop_timer_cancel(m->p.loop, &d->timer);
	mp_join_end(d->join);
	for (i = 0; i < 2; i++)
		flow_fini(m, &d->flow[i]);
	for (; *pp != d; pp = &(*pp)->next)
		;
	*pp = d->next;
	*d->list_prev = d->list_next;
	if (d->list_next)
		d->list_next->list_prev = d->list_prev;
	m->n_media--;
	OPENSSL_cleanse(d, sizeof(*d));
	free(d);
}

void mp_medium_failed(struct pass_medium *d, const char *reason)
{
	struct media_pass *m = d->m;
	uint64_t id = d->id;
	char why[64];

	snprintf(why, sizeof(why), "%s", reason); /* may be the message's */
	mp_medium_free(d);
	m->count.failed++;
	m->p.ops->failed(m->p.arg, id, why);
}

static int flow_init(struct pass_flow *f)
{
	uint64_t id = 0;

	if (RAND_bytes((unsigned char *)&id, sizeof(id)) != 1 ||
	    RAND_bytes(f->punch_key, sizeof(f->punch_key)) != 1)
		return -EIO;
	if (!id || mp_flow_find(f->medium->m, id))
		return -EAGAIN;
	mp_flow_name(f, id);
	return 0;
}

int media_pass_open(struct media_pass *m, uint64_t medium, struct link_peer *edge,
		    const struct addr *client)
{
	struct pass_medium *d;
	unsigned i;
	int r = 0;

	if (!edge)
		return -ENOTCONN;
	if (!medium || mp_medium_find(m, medium) ||
	    strlen(link_peer_name(edge)) >= MP_EDGE_NAME_MAX)
		return -EINVAL;
	if (m->n_media >= m->p.cfg->media.max)
		return -ENOBUFS;
	d = mp_medium_new(m, medium, link_peer_name(edge));
	if (!d)
		return -ENOMEM;
	d->peer = edge;
	d->client = *client;
	for (i = 0; i < 2 && !r; i++)
		r = flow_init(&d->flow[i]);
	if (!r)
		r = loop_timer_set(m->p.loop, &d->timer, MP_ALLOCATE_MS);
	if (r) {
		mp_medium_free(d);
		return r;
	}
	mp_allocate(d, false);
	return 0;
}

void media_pass_close(struct media_pass *m, uint64_t medium)
{
	struct pass_medium *d = m ? mp_medium_find(m, medium) : NULL;

	if (!d)
		return;
	m->count.closed++;
	mp_medium_free(d);
}

static void clocks_set(struct pass_medium *d, const struct media_set *s)
{
	struct flow_clocks c;

	if (!s->clocks_in[0] && !s->clocks_out[0])
		return;
	memcpy(c.in, s->clocks_in, sizeof(c.in));
	memcpy(c.out, s->clocks_out, sizeof(c.out));
	if (!memcmp(&c, &d->clocks, sizeof(c)))
		return;
	d->clocks = c;
	maps_flow_clocks(d->m->p.maps, d->flow[0].slot, c.in, FLOW_CLOCKS, c.out, FLOW_CLOCKS);
	if (d->join && d->join->end[0] == d)
		mp_join_clocks(d->join);
	mp_clocks(d);
}

int media_pass_set(struct media_pass *m, uint64_t medium, const struct media_set *s)
{
	struct pass_medium *d = mp_medium_find(m, medium);
	int r, r2;

	if (!d)
		return -ENOENT;
	if (!d->opened)
		return -EAGAIN;
	r = mp_flow_remote(&d->flow[0], &s->remote_rtp);
	r2 = mp_flow_remote(&d->flow[1], &s->remote_rtcp);
	clocks_set(d, s);
	mp_join_review(d);
	/* A new description, a new silence: an answer after long ringing gets its time, and one that nothing follows is told. */
	d->set_ms = loop_now_ms(m->p.loop);
	d->told = false;
	if (s->client.port && !addr_ip_eq(&s->client, &d->client)) {
		d->client = s->client;
		d->client.port = 0;
		mp_allocate(d, true); /* a client that came back from elsewhere */
	} else if (s->reopen) {
		mp_allocate(d, true);
	}
	return r ? r : r2;
}

/* ---- time ---- */

static uint64_t last_ms(const struct pass_medium *d)
{
	uint64_t last = d->set_ms, t;
	unsigned i;

	for (i = 0; i < 2; i++) {
		t = mp_last_ms(d->m, d->flow[i].slot);
		last = t > last ? t : last;
		t = d->join ? mp_last_ms(d->m, d->join->flow[i].slot) : 0;
		last = t > last ? t : last;
	}
	return last;
}

static bool falls_silent(struct pass_medium *d, uint64_t now)
{
	uint64_t last = last_ms(d);

	if (now < last || now - last < d->m->p.cfg->media.silence_seconds * 1000ull ||
	    (d->told && d->told_ms == last))
		return false;
	d->told = true;
	d->told_ms = last;
	return true;
}

/* First all are looked at, then the silent ones are told of: whoever is told may close any of them. */
static void on_tick(void *arg)
{
	struct media_pass *m = arg;
	uint64_t now = loop_now_ms(m->p.loop);
	struct pass_medium *d;
	unsigned n = 0, i;

	loop_timer_set(m->p.loop, &m->tick, MP_TICK_MS);
	for (d = m->list; d; d = d->list_next) {
		if (!d->opened)
			continue;
		mp_flow_route(&d->flow[0]);
		mp_flow_route(&d->flow[1]);
		if (falls_silent(d, now))
			m->told[n++] = d->id;
	}
	for (i = 0; i < n; i++) {
		d = mp_medium_find(m, m->told[i]);
		if (!d)
			continue;
		m->count.silent++;
		m->p.ops->silent(m->p.arg, d->id, (uint32_t)(now - d->told_ms));
	}
}

/* ---- a worker that follows ---- */

bool media_pass_has(const struct media_pass *m, uint64_t medium)
{
	return m && mp_medium_find(m, medium);
}

void media_pass_each(struct media_pass *m, void (*fn)(void *arg, uint64_t medium), void *arg)
{
	struct pass_medium *d, *next;

	for (d = m ? m->list : NULL; d; d = next) {
		next = d->list_next;
		fn(arg, d->id);
	}
}

unsigned media_pass_live(const struct media_pass *m, const char *edge, uint64_t *ids, unsigned max)
{
	const struct pass_medium *d;
	unsigned i, n = 0;

	for (d = m ? m->list : NULL; d; d = d->list_next)
		for (i = 0; i < 2 && n < max && !strcmp(d->edge, edge); i++)
			ids[n++] = d->flow[i].id;
	return n;
}

/* ---- start ---- */

/* The ports of joins lie behind a pair's own, a stretch each for the pair with itself (twice) and with the other. */
static struct maps_pair join_pair(const struct config_core *cfg, const struct maps_pair *all,
				  unsigned i, unsigned j)
{
	const struct config_relay_pair *a = &cfg->media.relay.pairs[i],
				       *b = &cfg->media.relay.pairs[j];

	return (struct maps_pair){
		.outside = all[i].outside,
		.inside = all[j].outside,
		.outside_base = (uint16_t)(a->link_first + a->ports + (i == j ? 0 : 2 * a->joins)),
		.inside_base =
			(uint16_t)(b->link_first + b->ports + (i == j ? b->joins : 2 * b->joins)),
		.range = a->joins,
	};
}

int media_pass_pairs(const struct config_core *cfg, struct maps_pair out[RUNG_PAIRS_MAX])
{
	unsigned n = cfg->media.relay.pairs_count, i, j, at = n;

	if (!n || n > CONFIG_RELAY_PAIRS_MAX)
		return -EINVAL;
	for (i = 0; i < n; i++) {
		const struct config_relay_pair *c = &cfg->media.relay.pairs[i];

		out[i] = (struct maps_pair){.outside_base = c->link_first,
					    .inside_base = c->inside_first,
					    .range = c->ports};
		if (addr_parse(span_str(c->link), &out[i].outside) ||
		    addr_parse(span_str(c->inside), &out[i].inside))
			return -EINVAL;
	}
	for (i = 0; i < n; i++)
		for (j = i; j < n; j++)
			out[at++] = join_pair(cfg, out, i, j);
	return (int)at;
}

static int pairs_setup(struct media_pass *m)
{
	const struct config_core *cfg = m->p.cfg;
	struct slots_pair ranges[RUNG_PAIRS_MAX];
	int n = media_pass_pairs(cfg, m->pairs), r = 0;
	unsigned i, j, at;

	if (n < 0)
		return n;
	m->n_pairs = (unsigned)n;
	at = m->n_relay = cfg->media.relay.pairs_count;
	for (i = 0; i < m->n_pairs; i++) /* RTP on even ports of the side whose SDP tells them */
		ranges[i] = (struct slots_pair){m->pairs[i].inside_base, m->pairs[i].range};
	for (i = 0; i < m->n_relay && !r; i++) {
		struct pass_pair *p = &m->relay[i];

		*p = (struct pass_pair){.slot0 = m->n_slots,
					.inside_base = m->pairs[i].inside_base,
					.range = m->pairs[i].range};
		m->n_slots += p->range;
		r = addr_parse(span_str(cfg->media.relay.pairs[i].inside_advertise), &p->inside);
		for (j = i; j < m->n_relay; j++)
			m->join_pair[i][j] = m->join_pair[j][i] = at++;
	}
	return r ? r : slots_new(ranges, m->n_pairs, &m->slots);
}

static int tables_init(struct media_pass *m)
{
	uint32_t n = 64;

	while (n < 2 * m->p.cfg->media.max && n < 1u << 24)
		n *= 2;
	m->mask = n - 1;
	m->by_id = calloc(n, sizeof(*m->by_id));
	m->by_flow = calloc(n, sizeof(*m->by_flow));
	m->by_slot = calloc(m->n_slots, sizeof(*m->by_slot));
	/* Those adopted may be more than a smaller media.max allows now. */
	m->told = calloc(m->n_slots, sizeof(*m->told));
	return m->by_id && m->by_flow && m->by_slot && m->told ? 0 : -ENOMEM;
}

int media_pass_new(const struct media_pass_params *p, struct media_pass **out)
{
	struct media_pass *m = calloc(1, sizeof(*m));
	int r;

	if (!m)
		return -ENOMEM;
	m->p = *p;
	m->tick = (struct loop_timer){.fn = on_tick, .arg = m};
	r = pairs_setup(m);
	if (!r)
		r = tables_init(m);
	if (!r)
		r = loop_timer_set(p->loop, &m->tick, MP_TICK_MS);
	if (r) {
		media_pass_free(m);
		return r;
	}
	mp_adopt(m);
	slots_start(m->slots, p->seed);
	*out = m;
	return 0;
}

/* What is in the maps goes on, and the edges keep their flows: a worker follows. */
static void medium_forget(struct pass_medium *d)
{
	unsigned i;

	d->peer = NULL;
	for (i = 0; i < 2; i++) {
		loop_timer_cancel(d->m->p.loop, &d->flow[i].punch);
		if (d->flow[i].fd >= 0)
			close(d->flow[i].fd);
	}
	loop_timer_cancel(d->m->p.loop, &d->timer);
	mp_join_forget(d->join);
	OPENSSL_cleanse(d, sizeof(*d));
	free(d);
}

void media_pass_free(struct media_pass *m)
{
	struct pass_medium *d;

	if (!m)
		return;
	loop_timer_cancel(m->p.loop, &m->tick);
	while ((d = m->list)) {
		m->list = d->list_next;
		medium_forget(d);
	}
	slots_free(m->slots);
	free(m->by_id);
	free(m->by_flow);
	free(m->by_slot);
	free(m->told);
	free(m);
}
