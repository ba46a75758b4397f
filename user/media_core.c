/* user/media_core.c -- media of the core: open, set, close, and the timers that end an allocation or tell silence.
 *
 * In: the SIP side's calls, by medium id. Out: ops.opened/failed/silent, always as the last thing that a path does, because the
 * callee may open and close media. See media_core.h for the rules; media_core_int.h for who does what. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include <openssl/crypto.h>
#include <openssl/rand.h>

#include "user/media_core_int.h"

/* FNV-1a over a random start: edges choose ports, so the buckets must not be theirs to choose. */
uint64_t mc_hash(const struct media_core *m, const void *p, size_t n)
{
	const uint8_t *b = p;
	uint64_t h = m->hash_key;
	size_t i;

	for (i = 0; i < n; i++)
		h = (h ^ b[i]) * 0x100000001b3ULL;
	return h ^ h >> 32;
}

static struct medium **medium_bucket(const struct media_core *m, uint64_t id)
{
	return &m->by_id[mc_hash(m, &id, sizeof(id)) & m->mask];
}

static struct mc_flow **flow_bucket(const struct media_core *m, uint64_t id)
{
	return &m->by_flow[mc_hash(m, &id, sizeof(id)) & m->mask];
}

struct medium *mc_medium_find(const struct media_core *m, uint64_t id)
{
	struct medium *d = *medium_bucket(m, id);

	while (d && d->id != id)
		d = d->next;
	return d;
}

struct mc_flow *mc_flow_find(const struct media_core *m, uint64_t id)
{
	struct mc_flow *f = *flow_bucket(m, id);

	while (f && f->id != id)
		f = f->next_id;
	return f;
}

static int tables_init(struct media_core *m)
{
	uint32_t n = 64;

	while (n < 2 * m->p.media_max && n < 1u << 24)
		n *= 2;
	m->mask = n - 1;
	m->by_id = calloc(n, sizeof(*m->by_id));
	m->by_flow = calloc(n, sizeof(*m->by_flow));
	m->by_edge = calloc(n, sizeof(*m->by_edge));
	m->by_local = calloc(n, sizeof(*m->by_local));
	if (!m->by_id || !m->by_flow || !m->by_edge || !m->by_local)
		return -ENOMEM;
	return RAND_bytes((unsigned char *)&m->hash_key, sizeof(m->hash_key)) == 1 ? 0 : -EIO;
}

int media_core_new(const struct media_core_params *p, struct media_core **out)
{
	struct media_core *m = calloc(1, sizeof(*m));
	int r;

	if (!m)
		return -ENOMEM;
	m->p = *p;
	m->link_fd = p->link_fd;
	r = tables_init(m);
	if (!r)
		r = mc_ports_init(m);
	if (r)
		goto fail;
	mc_udp_whole(m->link_fd, &p->link_bind);
	mc_restore(m);
	r = mc_ports_settle(m);
	if (!r)
		r = loop_recv(p->loop, m->link_fd, mc_on_link, m, &m->link_rx);
	if (r)
		goto fail;
	r = loop_on_round(p->loop, mc_flush, m); /* last: it cannot be taken back */
	if (r)
		goto fail;
	*out = m;
	return 0;
fail:
	media_core_free(m);
	return r;
}

void media_core_free(struct media_core *m)
{
	if (!m)
		return;
	m->leaving = m->p.keep != NULL;
	while (m->list)
		mc_medium_free(m->list);
	loop_cancel(m->p.loop, &m->link_rx);
	free(m->pairs);
	free(m->by_id);
	free(m->by_flow);
	free(m->by_edge);
	free(m->by_local);
	free(m);
}

/* ---- ends ---- */
void mc_flow_fini(struct media_core *m, struct mc_flow *f)
{
	struct mc_flow **pp = flow_bucket(m, f->id);

	if (!f->id)
		return;
	if (!m->leaving)
		mc_free_flow(f);
	loop_timer_cancel(m->p.loop, &f->punch);
	mc_edge_unhash(m, f);
	for (; *pp; pp = &(*pp)->next_id) {
		if (*pp == f) {
			*pp = f->next_id;
			break;
		}
	}
}

void mc_medium_free(struct medium *d)
{
	struct media_core *m = d->m;
	struct medium **pp = medium_bucket(m, d->id);
	struct quality q;
	unsigned i;

	mc_flush(m);	 /* packets that wait name this medium */
	if (!m->leaving) /* first: whoever follows us must not take it up without its ports */
		mc_keep_drop(d);
	mc_join_del(d);
	loop_timer_cancel(m->p.loop, &d->timer);
	loop_timer_cancel(m->p.loop, &d->add_timer);
	quality_of(&d->heard_in, d->clocks.in, &q);
	summary_heard_add(&m->gone_heard, &q);
	quality_of(&d->heard_out, d->clocks.out, &q);
	summary_heard_add(&m->gone_heard, &q);
	for (i = 0; i < 2; i++) {
		m->gone_in += d->leg[i].in;
		m->gone_out += d->leg[i].out;
		loop_cancel(m->p.loop, &d->leg[i].rx);
		mc_flow_fini(m, &d->flow[i]);
	}
	if (d->pair != MC_NO_PAIR && !m->leaving)
		mc_pair_rest(m, d->pair);
	for (; *pp; pp = &(*pp)->next) {
		if (*pp == d) {
			*pp = d->next;
			break;
		}
	}
	*d->list_prev = d->list_next;
	if (d->list_next)
		d->list_next->list_prev = d->list_prev;
	m->n_media--;
	srtp_session_free(d->open);
	srtp_session_free(d->seal);
	OPENSSL_cleanse(d, sizeof(*d));
	free(d);
}

void mc_medium_failed(struct medium *d, const char *reason)
{
	struct media_core *m = d->m;
	uint64_t id = d->id;
	char why[64];

	snprintf(why, sizeof(why), "%s", reason); /* may be the message's */
	mc_medium_free(d);
	m->p.ops->failed(m->p.arg, id, why);
}

void media_core_close(struct media_core *m, uint64_t medium)
{
	struct medium *d = mc_medium_find(m, medium);

	if (d)
		mc_medium_free(d);
}

/* ---- timers ---- */
static void silence_check(struct medium *d)
{
	struct media_core *m = d->m;
	uint64_t now = loop_now_ms(m->p.loop), idle = now - d->last_ms;

	if (idle < m->p.silence_ms) {
		loop_timer_set(m->p.loop, &d->timer, m->p.silence_ms - idle);
		return;
	}
	loop_timer_set(m->p.loop, &d->timer, m->p.silence_ms);
	if (d->told && d->told_ms == d->last_ms)
		return; /* of this silence already */
	d->told = true;
	d->told_ms = d->last_ms;
	m->p.ops->silent(m->p.arg, d->id, idle < MC_NEVER ? (uint32_t)idle : MC_NEVER - 1);
}

static void medium_timer(void *arg)
{
	struct medium *d = arg;

	if (d->opened)
		silence_check(d);
	else
		mc_medium_failed(d, "timeout");
}

void mc_medium_opened(struct medium *d)
{
	struct media_core *m = d->m;
	struct media_addrs a = {.outside_rtp = d->flow[0].outside, .inside_rtp = d->leg[0].local};

	a.inside_rtcp = d->leg[1].local;
	a.outside_rtcp = d->flow[d->flows - 1].outside;
	d->opened = true;
	d->last_ms = loop_now_ms(m->p.loop);
	loop_timer_cancel(m->p.loop, &d->timer);
	if (m->p.silence_ms)
		loop_timer_set(m->p.loop, &d->timer, m->p.silence_ms);
	mc_keep(d);
	m->p.ops->opened(m->p.arg, d->id, &a);
}

/* ---- open ---- */
void mc_flow_add(struct medium *d, unsigned i, uint64_t id)
{
	struct mc_flow *f = &d->flow[i], **pp = flow_bucket(d->m, id);

	f->id = id;
	f->medium = d;
	f->rtcp = i == 1;
	f->edge_idle_ms = MC_NEVER;
	f->punch.fn = mc_punch_fire;
	f->punch.arg = f;
	f->next_id = *pp;
	*pp = f;
}

int mc_flow_init(struct medium *d, unsigned i)
{
	struct mc_flow *f = &d->flow[i];
	uint64_t id;

	do {
		if (RAND_bytes((unsigned char *)&id, sizeof(id)) != 1 ||
		    RAND_bytes(f->punch_key, sizeof(f->punch_key)) != 1)
			return -EIO;
	} while (!id || mc_flow_find(d->m, id));
	mc_flow_add(d, i, id);
	return 0;
}

int mc_legs_start(struct medium *d)
{
	struct media_core *m = d->m;
	const struct mc_pair *p = &m->pairs[d->pair];
	int i, r;

	for (i = 0; i < 2; i++) {
		d->leg[i].medium = d;
		d->leg[i].rtcp = i == 1;
		d->leg[i].fd = p->fd[i];
		d->leg[i].local = m->p.inside;
		d->leg[i].local.port = (uint16_t)(p->port + i);
		r = loop_recv(m->p.loop, p->fd[i], mc_on_inside, &d->leg[i], &d->leg[i].rx);
		if (r)
			return r;
	}
	mc_join_add(d);
	return 0;
}

struct medium *mc_medium_new(struct media_core *m, uint64_t id, const char *edge)
{
	struct medium *d = calloc(1, sizeof(*d)), **pp = medium_bucket(m, id);

	if (!d)
		return NULL;
	d->m = m;
	d->id = id;
	d->pair = MC_NO_PAIR;
	snprintf(d->edge, sizeof(d->edge), "%s", edge);
	d->timer.fn = medium_timer;
	d->timer.arg = d;
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

int media_core_open(struct media_core *m, uint64_t medium, struct link_peer *edge,
		    const struct addr *client, bool with_rtcp)
{
	struct medium *d;
	unsigned i;
	int r;

	if (!edge)
		return -ENOTCONN;
	if (!medium || mc_medium_find(m, medium) ||
	    strlen(link_peer_name(edge)) >= MC_EDGE_NAME_MAX)
		return -EINVAL;
	if (m->n_media >= m->p.media_max)
		return -ENOBUFS;
	d = mc_medium_new(m, medium, link_peer_name(edge));
	if (!d)
		return -ENOMEM;
	d->peer = edge;
	d->client = *client;
	d->flows = with_rtcp ? 2 : 1;
	d->muxed = !with_rtcp;
	d->rtcp_on = with_rtcp;
	d->last_ms = loop_now_ms(m->p.loop);
	r = mc_pair_take(m, &d->pair);
	if (!r)
		r = mc_legs_start(d);
	for (i = 0; i < d->flows && !r; i++)
		r = mc_flow_init(d, i);
	if (!r)
		r = loop_timer_set(m->p.loop, &d->timer, MC_ALLOCATE_MS);
	if (r) {
		mc_medium_free(d);
		return r;
	}
	mc_allocate(d, false);
	return 0;
}

/* ---- set ---- */
static int session_renew(struct medium *d, struct srtp_session **s, enum srtp_suite suite,
			 const uint8_t *key, bool seal)
{
	uint64_t *keep = seal ? &d->keep_seal : &d->keep_open, old = *keep;
	struct srtp_session *n = NULL;
	int r;

	if ((unsigned)suite >= SRTP_SUITES)
		return -EINVAL;
	r = srtp_session_new(suite, span_of(key, srtp_suite_key_len(suite)), seal, &n);
	if (r)
		return r;
	srtp_session_free(*s);
	*s = n;
	*keep = mc_keep_session(d->m, n, suite, key, seal);
	mc_keep(d);
	if (old)
		keep_del(d->m->p.keep, d->m->p.keep_session, old);
	return 0;
}

static bool key_same(enum srtp_suite a, const uint8_t *a_key, enum srtp_suite b,
		     const uint8_t *b_key)
{
	return a == b && (unsigned)a < SRTP_SUITES &&
	       !CRYPTO_memcmp(a_key, b_key, srtp_suite_key_len(a));
}

/* A session whose key stays keeps its indices: starting them again would use the key stream twice. */
static int keys_set(struct medium *d, const struct media_set *s)
{
	struct media_set *o = &d->set;
	int r;

	if (!d->open || !key_same(o->open_suite, o->open_key, s->open_suite, s->open_key)) {
		r = session_renew(d, &d->open, s->open_suite, s->open_key, false);
		if (r)
			return r;
		o->open_suite = s->open_suite;
		memcpy(o->open_key, s->open_key, SRTP_KEY_MAX);
	}
	if (!d->seal || !key_same(o->seal_suite, o->seal_key, s->seal_suite, s->seal_key)) {
		r = session_renew(d, &d->seal, s->seal_suite, s->seal_key, true);
		if (r)
			return r;
		o->seal_suite = s->seal_suite;
		memcpy(o->seal_key, s->seal_key, SRTP_KEY_MAX);
	}
	d->keyed = true;
	return 0;
}

static void remote_set(struct mc_leg *leg, const struct addr *a)
{
	if (!addr_eq(&leg->remote, a) && !addr_eq(&leg->from, a))
		leg->latched = false; /* another party, which may send from elsewhere */
	leg->remote = *a;
	mc_join_set(leg);
}

static void clocks_set(struct medium *d, const struct media_set *s)
{
	struct flow_clocks c;

	if (!s->clocks_in[0] && !s->clocks_out[0])
		return;
	memcpy(c.in, s->clocks_in, sizeof(c.in));
	memcpy(c.out, s->clocks_out, sizeof(c.out));
	if (!memcmp(&c, &d->clocks, sizeof(c)))
		return;
	d->clocks = c;
	d->heard_in.tick = d->heard_out.tick = 0; /* to be looked up again */
	mc_clocks(d);
}

int media_core_set(struct media_core *m, uint64_t medium, const struct media_set *s)
{
	struct medium *d = mc_medium_find(m, medium);
	int r = 0;

	if (!d)
		return -ENOENT;
	mc_flush(m); /* under the old keys and addresses */
	if (s->have_keys)
		r = keys_set(d, s);
	if (r)
		return r;
	remote_set(&d->leg[0], &s->remote_rtp);
	remote_set(&d->leg[1], &s->remote_rtcp);
	clocks_set(d, s);
	mc_keep(d);
	/* A new description, a new silence: an answer after long ringing gets its time, and one that nothing follows is told. */
	d->last_ms = loop_now_ms(m->p.loop);
	d->told = false;
	if (s->client.port && !addr_ip_eq(&s->client, &d->client)) {
		d->client = s->client;
		mc_keep(d);
		mc_allocate(d, true); /* a client that came back from elsewhere */
	} else if (s->reopen) {
		mc_allocate(d, true);
	}
	return 0;
}

unsigned media_core_live(struct media_core *m, const char *edge, uint64_t *ids, unsigned max)
{
	struct medium *d;
	unsigned i, n = 0;

	for (d = m->list; d; d = d->list_next) {
		if (strcmp(d->edge, edge))
			continue;
		for (i = 0; i < d->flows && n < max; i++)
			ids[n++] = d->flow[i].id;
	}
	return n;
}
