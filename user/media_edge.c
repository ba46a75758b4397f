/* user/media_edge.c -- the flows of an edge: allocate, free, reopen, punch, hello, time. See media_edge.h.
 *
 * Messages of the cores and punch datagrams come in; map entries and answers go out. Logs what ends flows by itself. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "user/log.h"
#include "user/media_edge_impl.h"

/* ---- table ---- */

static struct flow **flow_at(struct media_edge *m, uint64_t id)
{
	struct flow **f = &m->buckets[(id ^ id >> 32) & (FLOW_BUCKETS - 1)];

	while (*f && (*f)->id != id)
		f = &(*f)->hash_next;
	return f;
}

struct flow *media_flow_find(const struct media_edge *m, uint64_t id)
{
	return *flow_at((struct media_edge *)m, id);
}

static void list_add(struct media_edge *m, struct flow *f)
{
	f->prev = m->last;
	f->next = NULL;
	*(m->last ? &m->last->next : &m->first) = f;
	m->last = f;
}

static void list_del(struct media_edge *m, struct flow *f)
{
	*(f->prev ? &f->prev->next : &m->first) = f->next;
	*(f->next ? &f->next->prev : &m->last) = f->prev;
}

static struct flow *flow_new(struct media_edge *m, uint64_t id, uint32_t slot, uint64_t now_ms)
{
	struct flow *f = calloc(1, sizeof(*f)), **at = flow_at(m, id);

	if (!f)
		return NULL;
	f->id = id;
	f->slot = slot;
	f->report_ms = now_ms + REPORT_MS;
	*at = f;
	list_add(m, f);
	m->n_flows++;
	return f;
}

static struct addr client_ip(const struct addr *a)
{
	struct addr ip = *a;

	ip.port = 0;
	return ip;
}

/* Off the table; the slot in the maps is the caller's. */
static void flow_drop(struct media_edge *m, struct flow *f, uint64_t now_ms)
{
	struct flow **at = flow_at(m, f->id);
	struct addr ip = client_ip(&f->f.client);

	*at = f->hash_next;
	list_del(m, f);
	m->n_flows--;
	prefix_counts_sub(m->by_client, &ip, f->f.core_index);
	nexthop_put(m->p.nexthop, f->f.nh_out);
	nexthop_put(m->p.nexthop, f->f.nh_in);
	slots_give(m->slots, f->slot, now_ms);
	explicit_bzero(f->key, sizeof(f->key));
	free(f);
}

static void flow_free(struct media_edge *m, struct flow *f, uint64_t now_ms)
{
	maps_flow_free(m->p.maps, f->slot);
	flow_drop(m, f, now_ms);
	m->freed++;
}

/* ---- answers ---- */

static void allocated_send(struct media_edge *m, struct link_peer *p, uint64_t id,
			   const struct flow *f, const char *error)
{
	Sallyport__Link l = SALLYPORT__LINK__INIT;
	Sallyport__Allocated a = SALLYPORT__ALLOCATED__INIT;
	struct addr outside = {}, inside = {};
	unsigned pair;

	a.flow = id;
	a.error = (char *)error;
	if (f) {
		pair = slots_pair_of(m->slots, f->slot);
		maps_slot_addrs(m->p.maps, f->slot, &outside, &inside);
		a.outside_ip = (ProtobufCBinaryData){16, m->outside[pair].ip};
		a.outside_port = outside.port;
		a.inside_ip = (ProtobufCBinaryData){16, m->inside[pair].ip};
		a.inside_port = inside.port;
	} else {
		m->refused++;
	}
	l.m_case = SALLYPORT__LINK__M_ALLOCATED;
	l.allocated = &a;
	link_send(p, &l);
}

static void punched_send(struct media_edge *m, struct flow *f)
{
	struct link_peer *p = m->cores[f->f.core_index].peer;
	Sallyport__Link l = SALLYPORT__LINK__INIT;
	Sallyport__Punched a = SALLYPORT__PUNCHED__INIT;

	if (!p)
		return; /* its Allocate after hello asks for the next confirmation */
	a.flow = f->id;
	a.from_ip = (ProtobufCBinaryData){16, f->f.core.ip};
	a.from_port = f->f.core.port;
	l.m_case = SALLYPORT__LINK__M_PUNCHED;
	l.punched = &a;
	if (link_send(p, &l) == 0)
		f->confirm = false;
}

/* ---- allocate ---- */

/* A slot on the next pair of the client's address family; with rtcp_of the one behind that flow's. Returns NULL or the error. */
static const char *slot_choose(struct media_edge *m, const Sallyport__Allocate *a,
			       const struct addr *client, uint32_t core, uint64_t now_ms,
			       uint32_t *out)
{
	const struct flow *rtp;
	const char *why = "no-route";
	unsigned i, pair;

	if (a->rtcp_of) {
		rtp = media_flow_find(m, a->rtcp_of);
		if (!rtp || rtp->f.core_index != core || slots_take_next(m->slots, rtp->slot, out))
			return "bad-request";
		return NULL;
	}
	for (i = 0; i < m->n_pairs; i++) {
		pair = (m->next_pair + i) % m->n_pairs;
		if (addr_is_v4(&m->pairs[pair].outside) != addr_is_v4(client))
			continue;
		if (slots_take(m->slots, pair, now_ms, out) == 0) {
			m->next_pair = pair + 1;
			return NULL;
		}
		why = "no-ports";
	}
	return why;
}

static const char *flow_install(struct media_edge *m, const Sallyport__Allocate *a,
				const struct addr *client, uint32_t core, uint64_t now_ms,
				struct flow **out)
{
	struct maps_flow mf = {.id = a->flow, .client = *client, .core_index = core};
	uint32_t slot = 0;
	const char *why = "no-route";
	struct flow *f;

	if (prefix_counts_add(m->by_client, client, core, m->p.cfg->limits.flows_stream))
		return "user-cap";
	if (nexthop_get(m->p.nexthop, client, &mf.nh_out))
		goto no_route;
	why = slot_choose(m, a, client, core, now_ms, &slot);
	if (why)
		goto no_slot;
	f = flow_new(m, a->flow, slot, now_ms);
	why = "no-ports";
	if (!f)
		goto no_flow;
	f->f = mf;
	if (maps_flow_install(m->p.maps, slot, &mf)) {
		flow_drop(m, f, now_ms); /* gives back all three */
		return why;
	}
	*out = f;
	return NULL;
no_flow:
	slots_give(m->slots, slot, now_ms);
no_slot:
	nexthop_put(m->p.nexthop, mf.nh_out);
no_route:
	prefix_counts_sub(m->by_client, client, core);
	return why;
}

/* The client's signalling comes from another address now: only that one may latch from here on. */
static const char *flow_move_client(struct media_edge *m, struct flow *f, const struct addr *client)
{
	struct addr old = client_ip(&f->f.client);
	struct maps_flow mf = f->f;

	if (addr_is_v4(&old) != addr_is_v4(client))
		return "bad-request";
	if (prefix_counts_add(m->by_client, client, mf.core_index, m->p.cfg->limits.flows_stream))
		return "user-cap";
	if (nexthop_get(m->p.nexthop, client, &mf.nh_out)) {
		prefix_counts_sub(m->by_client, client, mf.core_index);
		return "no-route";
	}
	mf.client = *client;
	if (maps_flow_update(m->p.maps, f->slot, &mf)) {
		nexthop_put(m->p.nexthop, mf.nh_out);
		prefix_counts_sub(m->by_client, client, mf.core_index);
		return "bad-request";
	}
	nexthop_put(m->p.nexthop, f->f.nh_out);
	prefix_counts_sub(m->by_client, &old, mf.core_index);
	f->f = mf;
	return NULL;
}

static void on_allocate(struct media_edge *m, struct link_peer *p, uint32_t core,
			const Sallyport__Allocate *a, uint64_t now_ms)
{
	struct flow *f = media_flow_find(m, a->flow);
	struct addr client = {};
	const char *why = NULL;
	bool moved;

	if (!a->flow || a->client_ip.len != 16 || a->punch_key.len != PUNCH_KEY_LEN ||
	    (f && f->f.core_index != core)) {
		allocated_send(m, p, a->flow, NULL, "bad-request");
		return;
	}
	memcpy(client.ip, a->client_ip.data, 16);
	moved = f && !addr_ip_eq(&f->f.client, &client);
	if (!f)
		why = flow_install(m, a, &client, core, now_ms, &f);
	else if (moved)
		why = flow_move_client(m, f, &client);
	if (why) {
		allocated_send(m, p, a->flow, NULL, why);
		return;
	}
	if (!f->have_key || memcmp(f->key, a->punch_key.data, PUNCH_KEY_LEN)) {
		memcpy(f->key, a->punch_key.data, PUNCH_KEY_LEN);
		f->have_key = true;
		f->counter = 0;
	}
	f->confirm = true;
	f->unlisted = false;
	if (moved || a->reopen)
		maps_flow_reopen(m->p.maps, f->slot, (now_ms + REOPEN_MS) * 1000000ull);
	m->allocated++;
	allocated_send(m, p, a->flow, f, "");
}

/* ---- punch ---- */

const char *media_punch_name(enum punch_result r)
{
	static const char *const names[PUNCH_RESULTS] = {"ok",	   "malformed", "unknown-flow",
							 "no-key", "replayed",	"bad-mac"};

	return names[r];
}

/* The core's address as the edge sees it, behind whatever NAT is between: from here on packets go there. */
static int flow_set_core(struct media_edge *m, struct flow *f, const struct addr *from)
{
	struct maps_flow mf = f->f;
	int ret;

	ret = nexthop_get(m->p.nexthop, from, &mf.nh_in);
	if (ret)
		return ret;
	mf.core = *from;
	ret = maps_flow_update(m->p.maps, f->slot, &mf);
	if (ret) {
		nexthop_put(m->p.nexthop, mf.nh_in);
		return ret;
	}
	nexthop_put(m->p.nexthop, f->f.nh_in);
	f->f = mf;
	return 0;
}

static enum punch_result punch_check(struct media_edge *m, struct span data, struct flow **out)
{
	struct punch p;
	struct flow *f;

	if (punch_parse(data, &p))
		return PUNCH_MALFORMED;
	f = media_flow_find(m, p.flow);
	if (!f)
		return PUNCH_UNKNOWN;
	if (!f->have_key)
		return PUNCH_NO_KEY;
	if (p.counter <= f->counter)
		return PUNCH_REPLAYED;
	if (punch_verify(data, f->key))
		return PUNCH_BAD_MAC;
	f->counter = p.counter;
	*out = f;
	return PUNCH_OK;
}

void media_edge_punch(struct media_edge *m, const struct addr *from, struct span data)
{
	struct flow *f = NULL;
	enum punch_result r = punch_check(m, data, &f);
	char text[ADDR_TEXT_MAX];
	bool moved;
	int ret;

	m->punches[r]++;
	if (r != PUNCH_OK)
		return;
	moved = !addr_eq(&f->f.core, from);
	if (moved) {
		ret = flow_set_core(m, f, from);
		if (ret) {
			log_event(LOG_L_WARN, "punch-no-route", "flow=%llx from=%s error=%s",
				  (unsigned long long)f->id, addr_text(from, text),
				  strerrorname_np(-ret));
			return;
		}
		m->moved += f->punched;
	}
	if (moved || !f->punched || f->confirm)
		punched_send(m, f);
	f->punched = true;
}

/* ---- hello, free ---- */

static int core_index(const struct media_edge *m, const struct link_peer *p)
{
	unsigned i;

	for (i = 0; i < m->p.cfg->link.cores_count && i < CORES_MAX; i++)
		if (strcmp(m->p.cfg->link.cores[i].name, link_peer_name(p)) == 0)
			return (int)i;
	return -1;
}

static void hello_listed(struct media_edge *m, uint32_t core, const Sallyport__Hello *h)
{
	struct flow *f;
	size_t i;

	for (i = 0; i < h->n_live_flow; i++) {
		f = media_flow_find(m, h->live_flow[i]);
		if (f && f->f.core_index == core)
			f->unlisted = false;
	}
}

/* Free what core @core did not list: it forgot it, or was told to free it while the link was down. */
static void hello_over(struct media_edge *m, uint32_t core, uint64_t now_ms)
{
	struct flow *f, *next;
	uint64_t before = m->freed_hello;

	m->cores[core].hello_ms = 0;
	for (f = m->first; f; f = next) {
		next = f->next;
		if (f->f.core_index != core || !f->unlisted)
			continue;
		flow_free(m, f, now_ms);
		m->freed_hello++;
	}
	if (m->freed_hello != before)
		log_event(LOG_L_INFO, "flows-unlisted", "core=%s freed=%llu",
			  m->p.cfg->link.cores[core].name,
			  (unsigned long long)(m->freed_hello - before));
}

void media_edge_up(struct media_edge *m, struct link_peer *p, const Sallyport__Hello *h,
		   uint64_t now_ms)
{
	int core = core_index(m, p);
	struct flow *f;

	if (core < 0)
		return;
	m->cores[core] = (struct media_core_state){.peer = p, .hello_ms = now_ms + HELLO_GRACE_MS};
	for (f = m->first; f; f = f->next)
		if (f->f.core_index == (uint32_t)core)
			f->unlisted = true;
	hello_listed(m, (uint32_t)core, h);
}

void media_edge_down(struct media_edge *m, struct link_peer *p, uint64_t now_ms)
{
	int core = core_index(m, p);

	if (core < 0 || m->cores[core].peer != p) /* a newer connection took over */
		return;
	m->cores[core] = (struct media_core_state){.away_ms = now_ms};
}

bool media_edge_message(struct media_edge *m, struct link_peer *p, const Sallyport__Link *msg,
			uint64_t now_ms)
{
	int core = core_index(m, p);
	struct flow *f;

	if (core < 0 || m->cores[core].peer != p)
		return false;
	if (msg->m_case == SALLYPORT__LINK__M_HELLO) {
		hello_listed(m, (uint32_t)core, msg->hello);
		return true;
	}
	if (m->cores[core].hello_ms)
		hello_over(m, (uint32_t)core, now_ms);
	if (msg->m_case == SALLYPORT__LINK__M_ALLOCATE) {
		on_allocate(m, p, (uint32_t)core, msg->allocate, now_ms);
		return true;
	}
	if (msg->m_case != SALLYPORT__LINK__M_FREE)
		return false;
	f = media_flow_find(m, msg->free->flow);
	if (f && f->f.core_index == (uint32_t)core)
		flow_free(m, f, now_ms);
	return true;
}

/* ---- time ---- */

static void orphans_free(struct media_edge *m, uint32_t core, uint64_t now_ms)
{
	struct flow *f, *next;
	uint64_t before = m->freed_orphan;

	for (f = m->first; f; f = next) {
		next = f->next;
		if (f->f.core_index != core)
			continue;
		flow_free(m, f, now_ms);
		m->freed_orphan++;
	}
	if (m->freed_orphan != before)
		log_event(LOG_L_WARN, "flows-orphaned", "core=%s freed=%llu away_seconds=%llu",
			  m->p.cfg->link.cores[core].name,
			  (unsigned long long)(m->freed_orphan - before),
			  (unsigned long long)(now_ms - m->cores[core].away_ms) / 1000);
}

void media_edge_tick(struct media_edge *m, uint64_t now_ms)
{
	uint64_t orphan_ms = m->p.cfg->limits.orphan_seconds * 1000ull;
	unsigned i, n;
	struct flow *f;

	for (i = 0; i < m->p.cfg->link.cores_count && i < CORES_MAX; i++) {
		if (m->cores[i].peer && m->cores[i].hello_ms && now_ms >= m->cores[i].hello_ms)
			hello_over(m, i, now_ms);
		else if (!m->cores[i].peer && now_ms - m->cores[i].away_ms >= orphan_ms)
			orphans_free(m, i, now_ms);
	}
	for (n = 0; n < REPORTS_TICK && (f = m->first) && f->report_ms <= now_ms; n++) {
		list_del(m, f);
		f->report_ms = now_ms + REPORT_MS;
		list_add(m, f);
		if (m->cores[f->f.core_index].peer)
			media_flow_report(m, f, m->cores[f->f.core_index].peer);
	}
}

/* ---- start ---- */

static int address_read(const char *text, struct addr *out)
{
	return text ? addr_parse(span_str(text), out) : -EINVAL;
}

int media_edge_pairs(const struct config_edge *cfg, struct maps_pair out[8])
{
	unsigned i;

	if (!cfg->media.pairs_count || cfg->media.pairs_count > PAIRS_MAX)
		return -EINVAL;
	for (i = 0; i < cfg->media.pairs_count; i++) {
		const struct config_pair *c = &cfg->media.pairs[i];

		if (address_read(c->outside, &out[i].outside) ||
		    address_read(c->inside, &out[i].inside))
			return -EINVAL;
		out[i].outside_base = c->outside_first;
		out[i].inside_base = c->inside_first;
		out[i].range = c->ports;
	}
	return (int)cfg->media.pairs_count;
}

/* A flow that an earlier worker installed: references and counts again, the map entry as it is. */
static void adopt(void *arg, uint32_t slot, const struct maps_flow *mf)
{
	struct media_edge *m = arg;
	struct addr ip = client_ip(&mf->client);
	struct maps_flow now = *mf;
	struct flow *f = NULL;

	if (mf->core_index >= m->p.cfg->link.cores_count || mf->core_index >= CORES_MAX ||
	    media_flow_find(m, mf->id) || slots_adopt(m->slots, slot) ||
	    !(f = flow_new(m, mf->id, slot, m->p.now_ms))) {
		log_event(LOG_L_WARN, "flow-not-adopted", "flow=%llx slot=%u",
			  (unsigned long long)mf->id, slot);
		maps_flow_free(m->p.maps, slot);
		return;
	}
	prefix_counts_add(m->by_client, &ip, mf->core_index, UINT32_MAX);
	/* This worker's next hops have their own numbers; unresolved until netlink answers, which it does at once. */
	now.nh_out = now.nh_in = 0;
	nexthop_get(m->p.nexthop, &ip, &now.nh_out);
	if (now.core.port)
		nexthop_get(m->p.nexthop, &now.core, &now.nh_in);
	f->f = now;
	maps_flow_update(m->p.maps, slot, &now);
	m->n_adopted++;
}

static int pairs_setup(struct media_edge *m)
{
	const struct config_edge *cfg = m->p.cfg;
	struct slots_pair ranges[PAIRS_MAX];
	int n = media_edge_pairs(cfg, m->pairs), i;

	if (n < 0)
		return n;
	m->n_pairs = (unsigned)n;
	for (i = 0; i < n; i++) {
		const struct config_pair *c = &cfg->media.pairs[i];

		ranges[i] = (struct slots_pair){c->outside_first, c->ports};
		m->outside[i] = m->pairs[i].outside;
		m->inside[i] = m->pairs[i].inside;
		if ((c->outside_advertise && address_read(c->outside_advertise, &m->outside[i])) ||
		    (c->inside_advertise && address_read(c->inside_advertise, &m->inside[i])))
			return -EINVAL;
	}
	return slots_new(ranges, m->n_pairs, &m->slots);
}

int media_edge_new(const struct media_edge_params *p, struct media_edge **out)
{
	struct media_edge *m = calloc(1, sizeof(*m));
	unsigned i;
	int ret;

	if (!m)
		return -ENOMEM;
	m->p = *p;
	ret = pairs_setup(m);
	if (!ret)
		ret = prefix_counts_new(p->seed, &m->by_client);
	if (ret) {
		media_edge_free(m);
		return ret;
	}
	for (i = 0; i < CORES_MAX; i++)
		m->cores[i].away_ms = p->now_ms;
	maps_flow_each(p->maps, adopt, m);
	slots_start(m->slots, m->n_adopted ? p->seed : 0);
	*out = m;
	return 0;
}

void media_edge_free(struct media_edge *m)
{
	struct flow *f;

	if (!m)
		return;
	while ((f = m->first)) {
		list_del(m, f);
		explicit_bzero(f->key, sizeof(f->key));
		free(f);
	}
	slots_free(m->slots);
	prefix_counts_free(m->by_client);
	free(m);
}
