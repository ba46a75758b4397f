/* user/media_edge_flow.c -- one flow of an edge: table, allocate, move, free. See media_edge_impl.h.
 *
 * Allocate comes in; map entries and Allocated go out. A flow holds a slot, two next hops and a place in its client's count. */
#include <errno.h>
#include <stdlib.h>

#include "user/media_edge_impl.h"
#include "user/trace.h"

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

void media_flow_append(struct media_edge *m, struct flow *f)
{
	f->prev = m->last;
	f->next = NULL;
	*(m->last ? &m->last->next : &m->first) = f;
	m->last = f;
}

void media_flow_unlink(struct media_edge *m, struct flow *f)
{
	*(f->prev ? &f->prev->next : &m->first) = f->next;
	*(f->next ? &f->next->prev : &m->last) = f->prev;
}

struct flow *media_flow_new(struct media_edge *m, uint64_t id, uint32_t slot, uint64_t now_ms)
{
	struct flow *f = calloc(1, sizeof(*f)), **at = flow_at(m, id);

	if (!f)
		return NULL;
	f->id = id;
	f->slot = slot;
	f->report_ms = now_ms + REPORT_MS;
	*at = f;
	media_flow_append(m, f);
	m->n_flows++;
	return f;
}

struct addr media_client_ip(const struct addr *a)
{
	struct addr ip = *a;

	ip.port = 0;
	return ip;
}

/* Off the table; the slot in the maps is the caller's. */
static void flow_drop(struct media_edge *m, struct flow *f, uint64_t now_ms)
{
	struct flow **at = flow_at(m, f->id);
	struct addr ip = media_client_ip(&f->f.client);

	*at = f->hash_next;
	media_flow_unlink(m, f);
	m->n_flows--;
	prefix_counts_sub(m->by_client, &ip, f->f.core_index);
	nexthop_put(m->p.nexthop, f->f.nh_out);
	nexthop_put(m->p.nexthop, f->f.nh_in);
	slots_give(m->slots, f->slot, now_ms);
	explicit_bzero(f->key, sizeof(f->key));
	free(f);
}

void media_flow_free(struct media_edge *m, struct flow *f, uint64_t now_ms)
{
	struct maps_flow_report r;

	if (!maps_flow_read(m->p.maps, f->slot, &r)) {
		m->gone.packets_in += r.packets_in;
		m->gone.packets_out += r.packets_out;
		m->gone.bytes_in += r.bytes_in;
		m->gone.bytes_out += r.bytes_out;
		summary_heard_add(&m->gone_heard, &r.in);
		summary_heard_add(&m->gone_heard, &r.out);
	}
	media_flow_trace(m, f, true);
	maps_flow_free(m->p.maps, f->slot);
	flow_drop(m, f, now_ms);
	m->freed++;
}

/* ---- answers ---- */

static enum media_refusal refusal_of(const char *error)
{
	unsigned i = 0;

	while (i + 1 < MEDIA_REFUSALS && strcmp(media_refusal_name(i), error) != 0)
		i++;
	return i;
}

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
		m->refused[refusal_of(error)]++;
	}
	l.m_case = SALLYPORT__LINK__M_ALLOCATED;
	l.allocated = &a;
	link_send(p, &l);
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
	f = media_flow_new(m, a->flow, slot, now_ms);
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
	struct addr old = media_client_ip(&f->f.client);
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

static void trace_allocated(const struct media_edge *m, const struct flow *f, const char *how)
{
	struct addr outside = {}, inside = {};
	char text[ADDR_TEXT_MAX];

	maps_slot_addrs(m->p.maps, f->slot, &outside, &inside);
	trace_put(TRACE_FLOW_ALLOCATED, &(struct trace_ids){.flow = f->id}, 0,
		  "%s %s ports %u/%u rung %s", how, addr_ip_text(&f->f.client, text), outside.port,
		  inside.port, media_flow_rung_text(m, f));
}

void media_flow_allocate(struct media_edge *m, struct link_peer *p, uint32_t core,
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
	trace_allocated(m, f, moved ? "moved to" : f->confirm || f->punched ? "again" : "for");
	f->confirm = true;
	if (moved || a->reopen)
		maps_flow_reopen(m->p.maps, f->slot, (now_ms + REOPEN_MS) * 1000000ull);
	m->allocated++;
	allocated_send(m, p, a->flow, f, "");
}

void media_flow_route(struct media_edge *m, struct flow *f)
{
	struct maps_flow mf = f->f;

	if (mf.nh_out && (mf.nh_in || !mf.core.port))
		return;
	if (!mf.nh_out)
		nexthop_get(m->p.nexthop, &mf.client, &mf.nh_out);
	if (!mf.nh_in && mf.core.port)
		nexthop_get(m->p.nexthop, &mf.core, &mf.nh_in);
	if (mf.nh_out == f->f.nh_out && mf.nh_in == f->f.nh_in)
		return;
	f->f = mf;
	maps_flow_update(m->p.maps, f->slot, &mf);
}
