/* user/media_edge_show.c -- what is told about flows: FlowReport to the core, JSON to the admin socket. See media_edge_impl.h.
 *
 * Reads the maps' counters; changes nothing. */
#include <errno.h>
#include <stdio.h>
#include <time.h>

#include "user/media_edge_impl.h"
#include "user/quality_show.h"
#include "user/summary.h"
#include "user/trace.h"

#define NEVER	  0xffffffffu
#define SHOWN_MAX 10000 /* rows of one answer; the status has the true count */

static uint32_t idle_ms(const struct maps_flow_report *r)
{
	uint64_t last = r->last_in_ns > r->last_out_ns ? r->last_in_ns : r->last_out_ns;
	struct timespec ts;
	uint64_t now;

	if (!last)
		return NEVER;
	clock_gettime(CLOCK_MONOTONIC, &ts);
	now = (uint64_t)ts.tv_sec * 1000000000u + (uint64_t)ts.tv_nsec;
	if (now <= last)
		return 0;
	return (now - last) / 1000000u < NEVER ? (uint32_t)((now - last) / 1000000u) : NEVER - 1;
}

static void trace_counts(const struct flow *f, const struct maps_flow_report *r, bool freed)
{
	char text[QUALITY_TEXT_MAX];

	trace_put(freed ? TRACE_FLOW_FREED : TRACE_FLOW_COUNTS, &(struct trace_ids){.flow = f->id},
		  0, "packets in %llu out %llu %s", (unsigned long long)r->packets_in,
		  (unsigned long long)r->packets_out, quality_text(&r->in, &r->out, text));
}

void media_flow_trace(struct media_edge *m, struct flow *f, bool freed)
{
	struct maps_flow_report r = {};

	if (!maps_flow_read(m->p.maps, f->slot, &r))
		trace_counts(f, &r, freed);
}

/* What a report shows anyway. */
static void trace_report(struct flow *f, const struct maps_flow_report *r, uint64_t now_ms)
{
	char text[ADDR_TEXT_MAX];

	if (r->latched.port && !f->latched)
		trace_put(TRACE_FLOW_LATCHED, &(struct trace_ids){.flow = f->id}, 0, "client %s",
			  addr_text(&r->latched, text));
	f->latched = r->latched.port != 0;
	if (now_ms < f->counts_ms)
		return;
	if (f->counts_ms)
		trace_counts(f, r, false);
	f->counts_ms = now_ms + COUNTS_MS;
}

void media_flow_report(struct media_edge *m, struct flow *f, struct link_peer *p)
{
	Sallyport__Link l = SALLYPORT__LINK__INIT;
	Sallyport__FlowReport r = SALLYPORT__FLOW_REPORT__INIT;
	Sallyport__Quality in = SALLYPORT__QUALITY__INIT, out = SALLYPORT__QUALITY__INIT;
	struct maps_flow_report mr;

	if (maps_flow_read(m->p.maps, f->slot, &mr))
		return;
	trace_report(f, &mr, f->report_ms);
	r.flow = f->id;
	r.packets_in = mr.packets_in;
	r.packets_out = mr.packets_out;
	r.idle_ms = idle_ms(&mr);
	if (mr.latched.port) {
		r.latched_ip = (ProtobufCBinaryData){16, mr.latched.ip};
		r.latched_port = mr.latched.port;
	}
	if (mr.in.heard) {
		quality_to_link(&mr.in, &in);
		r.quality_in = &in;
	}
	if (mr.out.heard) {
		quality_to_link(&mr.out, &out);
		r.quality_out = &out;
	}
	l.m_case = SALLYPORT__LINK__M_FLOW_REPORT;
	l.flow_report = &r;
	if (link_send(p, &l))
		m->reports_lost++;
	else
		m->reports++;
}

unsigned media_edge_count(const struct media_edge *m)
{
	return m->n_flows;
}

const char *media_refusal_name(enum media_refusal r)
{
	static const char *const names[MEDIA_REFUSALS] = {
		[REFUSED_BAD_REQUEST] = "bad-request",
		[REFUSED_NO_PORTS] = "no-ports",
		[REFUSED_NO_ROUTE] = "no-route",
		[REFUSED_USER_CAP] = "user-cap",
	};

	return names[r];
}

uint64_t media_edge_refused(const struct media_edge *m, unsigned i, const char **name)
{
	*name = i < MEDIA_REFUSALS ? media_refusal_name(i) : NULL;
	return *name ? m->refused[i] : 0;
}

void media_edge_sum(const struct media_edge *m, struct summary_flows *out)
{
	struct maps_flow_report r;
	const struct flow *f;

	*out = (struct summary_flows){.packets_in = m->gone.packets_in,
				      .packets_out = m->gone.packets_out,
				      .bytes_in = m->gone.bytes_in,
				      .bytes_out = m->gone.bytes_out,
				      .heard = m->gone_heard};
	for (f = m->first; f; f = f->next) {
		enum rung rung = m->p.rungs[slots_pair_of(m->slots, f->slot)].rung;

		out->xdp += rung == RUNG_XDP;
		out->tc += rung == RUNG_TC;
		out->user += rung == RUNG_USER;
		if (maps_flow_read(m->p.maps, f->slot, &r))
			continue;
		out->packets_in += r.packets_in;
		out->packets_out += r.packets_out;
		out->bytes_in += r.bytes_in;
		out->bytes_out += r.bytes_out;
		summary_flows_hear(out, &r.in);
		summary_flows_hear(out, &r.out);
	}
}

json_t *media_edge_status(const struct media_edge *m)
{
	json_t *punches = json_object(), *refused = json_object();
	unsigned i;

	for (i = 0; i < PUNCH_RESULTS; i++)
		json_object_set_new(punches, media_punch_name(i),
				    json_integer((json_int_t)m->punches[i]));
	for (i = 0; i < MEDIA_REFUSALS; i++)
		json_object_set_new(refused, media_refusal_name(i),
				    json_integer((json_int_t)m->refused[i]));
	return json_pack("{s:i,s:i,s:i,s:I,s:o,s:I,s:I,s:I,s:I,s:I,s:o,s:i,s:I,s:I}", "flows",
			 (int)m->n_flows, "slots", (int)maps_slots(m->p.maps), "adopted",
			 (int)m->n_adopted, "allocated", (json_int_t)m->allocated, "refused",
			 refused, "freed", (json_int_t)m->freed, "freed_unlisted",
			 (json_int_t)m->freed_hello, "freed_orphaned", (json_int_t)m->freed_orphan,
			 "reports", (json_int_t)m->reports, "reports_lost",
			 (json_int_t)m->reports_lost, "punches", punches, "tapped_now",
			 (int)m->n_taps, "tapped", (json_int_t)m->tapped, "taps_expired",
			 (json_int_t)m->taps_expired);
}

/* What a flow's packets wait for, worst first; "" when they go both ways. */
static const char *waits_for(const struct media_edge *m, const struct flow *f,
			     const struct maps_flow_report *r)
{
	const char *state = "";
	struct addr gw;
	uint32_t ifindex = 0;

	if (!f->f.core.port)
		return f->have_key ? "punch from the core" : "Allocate repeated by the core";
	if (!f->f.nh_out || !nexthop_show(m->p.nexthop, f->f.nh_out, &gw, &ifindex, &state) ||
	    !ifindex)
		return "next hop towards the client";
	if (!f->f.nh_in || !nexthop_show(m->p.nexthop, f->f.nh_in, &gw, &ifindex, &state) ||
	    !ifindex)
		return "next hop towards the core";
	if (!r->latched.port)
		return "first packet of the client";
	return "";
}

static const char *rung_text(const struct media_rung *r)
{
	static const char *const names[] = {"unknown", "xdp-native", "tc", "user"};

	return names[r->rung];
}

static const char *rung_why(const struct media_rung *r)
{
	return r->rung == RUNG_XDP ? "the best rung" : r->why;
}

const char *media_edge_rung(const struct media_edge *m)
{
	unsigned i;

	for (i = 1; i < m->n_pairs; i++)
		if (m->p.rungs[i].rung != m->p.rungs[0].rung)
			return "mixed";
	return rung_text(&m->p.rungs[0]);
}

json_t *media_edge_rungs(const struct media_edge *m)
{
	json_t *a = json_array();
	char out[ADDR_TEXT_MAX], in[ADDR_TEXT_MAX];
	unsigned i;

	for (i = 0; i < m->n_pairs; i++)
		json_array_append_new(a, json_pack("{s:s,s:s,s:s,s:s}", "outside",
						   addr_ip_text(&m->pairs[i].outside, out),
						   "inside", addr_ip_text(&m->pairs[i].inside, in),
						   "rung", rung_text(&m->p.rungs[i]), "reason",
						   rung_why(&m->p.rungs[i])));
	return a;
}

static const struct media_rung *flow_rung(const struct media_edge *m, const struct flow *f)
{
	return &m->p.rungs[f->slot / m->pairs[0].range];
}

enum rung media_flow_rung(const struct media_edge *m, const struct flow *f)
{
	return flow_rung(m, f)->rung;
}

const char *media_flow_rung_text(const struct media_edge *m, const struct flow *f)
{
	return rung_text(flow_rung(m, f));
}

static json_t *flow_json(const struct media_edge *m, const struct flow *f)
{
	struct maps_flow_report r = {};
	struct addr outside = {}, inside = {};
	char id[20], client[ADDR_TEXT_MAX], core[ADDR_TEXT_MAX], out[ADDR_TEXT_MAX],
		in[ADDR_TEXT_MAX], latched[ADDR_TEXT_MAX] = "";
	const char *waits;

	maps_flow_read(m->p.maps, f->slot, &r);
	maps_slot_addrs(m->p.maps, f->slot, &outside, &inside);
	snprintf(id, sizeof(id), "%llx", (unsigned long long)f->id);
	if (r.latched.port)
		addr_text(&r.latched, latched);
	waits = waits_for(m, f, &r);
	return json_pack(
		"{s:s,s:i,s:s,s:s,s:s,s:s,s:s,s:s,s:b,s:I,s:I,s:I,s:I,s:I,s:o,s:s,s:s,s:s,s:b}",
		"flow", id, "slot", (int)f->slot, "core",
		m->p.cfg->link.cores[f->f.core_index].name, "client",
		addr_text(&f->f.client, client), "outside", addr_text(&outside, out), "inside",
		addr_text(&inside, in), "core_addr",
		f->f.core.port ? addr_text(&f->f.core, core) : "", "latched", latched,
		"window_open", r.window_open, "packets_in", (json_int_t)r.packets_in, "bytes_in",
		(json_int_t)r.bytes_in, "packets_out", (json_int_t)r.packets_out, "bytes_out",
		(json_int_t)r.bytes_out, "idle_ms",
		idle_ms(&r) == NEVER ? (json_int_t)-1 : (json_int_t)idle_ms(&r), "quality",
		quality_json(&r.in, &r.out), "rung", rung_text(flow_rung(m, f)), "state",
		*waits ? "waiting" : "established", "waits_for", waits, "keyed", f->have_key);
}

json_t *media_edge_show(const struct media_edge *m)
{
	json_t *a = json_array();
	const struct flow *f;

	for (f = m->first; f && json_array_size(a) < SHOWN_MAX; f = f->next)
		json_array_append_new(a, flow_json(m, f));
	return a;
}

json_t *media_edge_why(const struct media_edge *m, uint64_t id)
{
	const struct flow *f = media_flow_find(m, id);
	json_t *j;

	if (!f)
		return NULL;
	j = flow_json(m, f);
	json_object_set_new(j, "kind", json_string("flow"));
	json_object_set_new(j, "reason", json_string(rung_why(flow_rung(m, f))));
	return j;
}
