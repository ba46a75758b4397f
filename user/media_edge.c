/* user/media_edge.c -- the flows of an edge: punches, hello, time, start. See media_edge.h; one flow's life is in media_edge_flow.c.
 *
 * Messages of the cores and punch datagrams come in; map entries and answers go out. Logs what ends flows by itself. */
#include <errno.h>
#include <stdlib.h>

#include "user/log.h"
#include "user/media_edge_impl.h"
#include "user/trace.h"

/* ---- punch ---- */

const char *media_punch_name(enum punch_result r)
{
	static const char *const names[PUNCH_RESULTS] = {"ok",	   "malformed", "unknown-flow",
							 "no-key", "replayed",	"bad-mac"};

	return names[r];
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
			log_event(LOG_L_WARN, "punch-no-route", "flow=%llx from=%s error=%s%s",
				  (unsigned long long)f->id, addr_text(from, text),
				  strerrorname_np(-ret),
				  ret == -EADDRINUSE ? " reason=\"the core is on this host: set "
						       "media.rung: user\""
						     : "");
			return;
		}
		m->moved += f->punched;
	}
	if (moved || !f->punched)
		trace_put(TRACE_FLOW_PUNCHED, &(struct trace_ids){.flow = f->id}, 0, "core %s",
			  addr_text(from, text));
	if (moved || !f->punched || f->confirm)
		punched_send(m, f);
	f->punched = true;
}

/* ---- hello, free ---- */

static int core_index(const struct media_edge *m, const struct link_peer *p)
{
	unsigned i;

	for (i = 0; i < m->p.cfg->link.cores_count && i < MEDIA_EDGE_CORES; i++)
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
static void unlisted_free(struct media_edge *m, uint32_t core, uint64_t now_ms)
{
	struct flow *f, *next;
	uint64_t before = m->freed_hello;

	for (f = m->first; f; f = next) {
		next = f->next;
		if (f->f.core_index != core || !f->unlisted)
			continue;
		media_flow_free(m, f, now_ms);
		m->freed_hello++;
	}
	if (m->freed_hello != before)
		log_event(LOG_L_INFO, "flows-unlisted", "core=%s freed=%llu",
			  m->p.cfg->link.cores[core].name,
			  (unsigned long long)(m->freed_hello - before));
}

/* The link merges a Hello in several parts, so @h lists all. */
void media_edge_up(struct media_edge *m, struct link_peer *p, const Sallyport__Hello *h,
		   uint64_t now_ms)
{
	int core = core_index(m, p);
	struct flow *f;

	if (core < 0)
		return;
	m->cores[core] = (struct media_core_state){.peer = p};
	for (f = m->first; f; f = f->next)
		f->unlisted = f->f.core_index == (uint32_t)core;
	hello_listed(m, (uint32_t)core, h);
	unlisted_free(m, (uint32_t)core, now_ms);
}

void media_edge_down(struct media_edge *m, struct link_peer *p, uint64_t now_ms)
{
	int core = core_index(m, p);

	if (core < 0 || m->cores[core].peer != p) /* a newer connection took over */
		return;
	m->cores[core] = (struct media_core_state){.away_ms = now_ms};
}

static void clocks_take(struct media_edge *m, uint32_t core, const Sallyport__Clocks *c)
{
	const struct flow *f = media_flow_find(m, c->flow);

	if (f && f->f.core_index == core)
		maps_flow_clocks(m->p.maps, f->slot, c->in, (unsigned)c->n_in, c->out,
				 (unsigned)c->n_out);
}

bool media_edge_message(struct media_edge *m, struct link_peer *p, const Sallyport__Link *msg,
			uint64_t now_ms)
{
	int core = core_index(m, p);
	struct flow *f;

	if (core < 0 || m->cores[core].peer != p)
		return false;
	if (msg->m_case == SALLYPORT__LINK__M_ALLOCATE) {
		media_flow_allocate(m, p, (uint32_t)core, msg->allocate, now_ms);
		return true;
	}
	if (msg->m_case == SALLYPORT__LINK__M_CLOCKS) {
		clocks_take(m, (uint32_t)core, msg->clocks);
		return true;
	}
	if (msg->m_case != SALLYPORT__LINK__M_FREE)
		return false;
	f = media_flow_find(m, msg->free->flow);
	if (f && f->f.core_index == (uint32_t)core)
		media_flow_free(m, f, now_ms);
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
		media_flow_free(m, f, now_ms);
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

	for (i = 0; i < m->p.cfg->link.cores_count && i < MEDIA_EDGE_CORES; i++) {
		if (!m->cores[i].peer && now_ms - m->cores[i].away_ms >= orphan_ms)
			orphans_free(m, i, now_ms);
	}
	if (m->n_taps)
		media_taps_expire(m, now_ms);
	for (n = 0; n < REPORTS_TICK && (f = m->first) && f->report_ms <= now_ms; n++) {
		media_flow_unlink(m, f);
		f->report_ms = now_ms + REPORT_MS;
		media_flow_append(m, f);
		media_flow_route(m, f);
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
	struct addr ip = media_client_ip(&mf->client);
	struct maps_flow now = *mf;
	struct flow *f = NULL;

	if (mf->core_index >= m->p.cfg->link.cores_count || mf->core_index >= MEDIA_EDGE_CORES ||
	    media_flow_find(m, mf->id) || slots_adopt(m->slots, slot) ||
	    !(f = media_flow_new(m, mf->id, slot, m->p.now_ms))) {
		log_event(LOG_L_WARN, "flow-not-adopted", "flow=%llx slot=%u",
			  (unsigned long long)mf->id, slot);
		maps_flow_free(m->p.maps, slot);
		return;
	}
	maps_flow_tap(m->p.maps, slot, false); /* whose lease was the earlier worker's */
	prefix_counts_add(m->by_client, &ip, mf->core_index, UINT32_MAX);
	now.nh_out = now.nh_in = 0; /* without a route: media_flow_route() tries again */
	nexthop_adopt(m->p.nexthop, mf->nh_out, &ip, &now.nh_out);
	if (now.core.port)
		nexthop_adopt(m->p.nexthop, mf->nh_in, &now.core, &now.nh_in);
	f->f = now;
	if (now.nh_out != mf->nh_out || now.nh_in != mf->nh_in)
		maps_flow_update(m->p.maps, slot, &now);
	m->n_adopted++;
}

static void adopt_reserve(void *arg, uint32_t slot, const struct maps_flow *mf)
{
	struct media_edge *m = arg;

	(void)slot;
	nexthop_reserve(m->p.nexthop, mf->nh_out);
	nexthop_reserve(m->p.nexthop, mf->nh_in);
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
	for (i = 0; i < MEDIA_EDGE_CORES; i++)
		m->cores[i].away_ms = p->now_ms;
	maps_flow_each(p->maps, adopt_reserve, m);
	maps_flow_each(p->maps, adopt, m);
	nexthop_reserve_end(p->nexthop);
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
		media_flow_unlink(m, f);
		explicit_bzero(f->key, sizeof(f->key));
		free(f);
	}
	slots_free(m->slots);
	prefix_counts_free(m->by_client);
	free(m);
}
