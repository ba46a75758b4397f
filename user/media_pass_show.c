/* user/media_pass_show.c -- flows that pass, as operators see them. In: media_pass's state and the maps' counters, read only. Out: JSON
 * that the caller owns. */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>

#include "user/media_pass_int.h"
#include "user/quality_show.h"
#include "user/summary.h"

static void set_addr(json_t *o, const char *name, const struct addr *a)
{
	char t[ADDR_TEXT_MAX];

	json_object_set_new(o, name, a->port ? json_string(addr_text(a, t)) : json_null());
}

static void set_count(json_t *o, const char *name, uint64_t v)
{
	json_object_set_new(o, name, json_integer((json_int_t)v));
}

static void set_hex(json_t *o, const char *name, uint64_t v)
{
	char text[24];

	snprintf(text, sizeof(text), "%016" PRIx64, v);
	json_object_set_new(o, name, json_string(text));
}

static const char *state_of(const struct pass_flow *f)
{
	if (!f->medium->peer)
		return "link-down";
	if (!f->allocated)
		return "asked";
	return f->punched ? "punched" : "punching";
}

static const char *rung_text(const struct media_rung *r)
{
	return r->rung == RUNG_TC ? "tc" : "xdp-native";
}

static const char *rung_why(const struct media_rung *r)
{
	return r->rung == RUNG_TC ? r->why : "the best rung";
}

static struct quality quality_sum(const struct quality *joined, const struct quality *own)
{
	struct quality q = *joined;

	quality_add(&q, own);
	if (joined->timed)
		q.jitter_ns = joined->jitter_ns; /* what goes on now */
	return q;
}

/* As seen from @f's edge: in is what goes on from there. A join counts with both of its ends. */
static void show_packets(json_t *o, const struct pass_flow *f)
{
	const struct media_pass *m = f->medium->m;
	const struct pass_join *j = f->medium->join;
	struct maps_flow_report own = {}, joined = {};
	struct quality in, out;
	bool turned = j && j->end[1] == f->medium;
	uint64_t now = loop_now_ms(m->p.loop), last = mp_last_ms(m, f->slot), t;

	maps_flow_read(m->p.maps, f->slot, &own);
	if (j) {
		maps_flow_read(m->p.maps, j->flow[f->rtcp].slot, &joined);
		t = mp_last_ms(m, j->flow[f->rtcp].slot);
		last = t > last ? t : last;
	}
	set_count(o, "bytes_in", own.bytes_in + (turned ? joined.bytes_out : joined.bytes_in));
	set_count(o, "bytes_out", own.bytes_out + (turned ? joined.bytes_in : joined.bytes_out));
	set_addr(o, "remote_source", own.inside.port ? &own.inside : &f->f.core);
	set_count(o, "packets_in",
		  own.packets_in + (turned ? joined.packets_out : joined.packets_in));
	set_count(o, "packets_out",
		  own.packets_out + (turned ? joined.packets_in : joined.packets_out));
	in = quality_sum(turned ? &joined.out : &joined.in, &own.in);
	out = quality_sum(turned ? &joined.in : &joined.out, &own.out);
	json_object_set_new(o, "quality", quality_json(&in, &out));
	json_object_set_new(o, "edge_quality", quality_json(&f->heard_in, &f->heard_out));
	json_object_set_new(o, "idle_ms",
			    last ? json_integer((json_int_t)(now > last ? now - last : 0))
				 : json_null());
}

static void show_rung(json_t *o, const struct pass_flow *f)
{
	const struct media_pass *m = f->medium->m;
	const struct pass_join *j = f->medium->join;
	const struct media_rung *r =
		&m->p.rungs[slots_pair_of(m->slots, j ? j->flow[f->rtcp].slot : f->slot)];

	json_object_set_new(o, "rung", json_string(rung_text(r)));
	json_object_set_new(o, "reason", json_string(rung_why(r)));
}

static void show_flow(json_t *o, const struct pass_flow *f)
{
	const struct pass_medium *d = f->medium;
	const struct pass_join *j = d->join;
	struct addr inside = f->slot != MP_NO_SLOT ? mp_flow_inside(f) : (struct addr){};

	set_hex(o, "medium", d->id);
	set_hex(o, "flow", f->id);
	json_object_set_new(o, "kind", json_string(f->rtcp ? "rtcp" : "rtp"));
	json_object_set_new(o, "edge", json_string(d->edge));
	json_object_set_new(o, "state", json_string(state_of(f)));
	set_addr(o, "outside", &f->outside);
	set_addr(o, "edge_inside", &f->edge);
	set_addr(o, "client", &f->latched);
	set_addr(o, "punched_from", &f->punched_from);
	set_count(o, "edge_packets_in", f->edge_in);
	set_count(o, "edge_packets_out", f->edge_out);
	set_addr(o, "inside", &inside);
	set_addr(o, "remote", &f->f.core);
	json_object_set_new(o, "media", json_string("passthrough"));
	if (j)
		set_hex(o, "joined", j->end[j->end[0] == d]->flow[f->rtcp].id);
	else
		json_object_set_new(o, "joined", json_null());
	if (f->slot == MP_NO_SLOT)
		return;
	set_count(o, "slot", f->slot);
	show_packets(o, f);
	show_rung(o, f);
}

int media_pass_quality(const struct media_pass *m, uint64_t medium, struct quality *out_in,
		       struct quality *out_out)
{
	const struct pass_medium *d = m ? mp_medium_find(m, medium) : NULL;

	if (!d)
		return -ENOENT;
	*out_in = d->flow[0].heard_in;
	*out_out = d->flow[0].heard_out;
	return 0;
}

uint64_t media_pass_joined(const struct media_pass *m, uint64_t medium)
{
	const struct pass_medium *d = m ? mp_medium_find(m, medium) : NULL;

	return d && d->join ? d->join->end[d->join->end[0] == d]->id : 0;
}

void media_pass_show(const struct media_pass *m, json_t *flows)
{
	const struct pass_medium *d;
	unsigned i;

	for (d = m ? m->list : NULL; d; d = d->list_next) {
		for (i = 0; i < 2; i++) {
			json_t *o = json_object();

			show_flow(o, &d->flow[i]);
			json_array_append_new(flows, o);
		}
	}
}

void mp_slot_gone(struct media_pass *m, uint32_t slot)
{
	struct maps_flow_report r = {};

	maps_flow_read(m->p.maps, slot, &r);
	m->gone_in += r.packets_in;
	m->gone_out += r.packets_out;
	summary_heard_add(&m->gone_heard, &r.in);
	summary_heard_add(&m->gone_heard, &r.out);
}

static void sum_slot(const struct media_pass *m, uint32_t slot, struct summary_flows *out)
{
	struct maps_flow_report r = {};

	maps_flow_read(m->p.maps, slot, &r);
	out->packets_in += r.packets_in;
	out->packets_out += r.packets_out;
	summary_flows_hear(out, &r.in);
	summary_flows_hear(out, &r.out);
}

void media_pass_sum(const struct media_pass *m, struct summary_flows *out)
{
	const struct pass_medium *d;
	unsigned i;

	out->packets_in += m ? m->gone_in : 0;
	out->packets_out += m ? m->gone_out : 0;
	out->heard.lost += m ? m->gone_heard.lost : 0;
	out->heard.reordered += m ? m->gone_heard.reordered : 0;
	for (d = m ? m->list : NULL; d; d = d->list_next) {
		const struct pass_join *j = d->join;

		for (i = 0; i < 2; i++) {
			if (d->flow[i].slot == MP_NO_SLOT)
				continue;
			uint32_t slot = j ? j->flow[i].slot : d->flow[i].slot;
			enum rung rung = m->p.rungs[slots_pair_of(m->slots, slot)].rung;

			out->tc += rung == RUNG_TC;
			out->xdp += rung != RUNG_TC;
			sum_slot(m, d->flow[i].slot, out);
			if (j && j->end[0] == d) /* once a join */
				sum_slot(m, slot, out);
		}
	}
}

void media_pass_show_medium(const struct media_pass *m, uint64_t medium, json_t *flows)
{
	const struct pass_medium *d = m ? mp_medium_find(m, medium) : NULL;
	unsigned i;

	for (i = 0; d && i < 2; i++) {
		json_t *o = json_object();

		show_flow(o, &d->flow[i]);
		json_array_append_new(flows, o);
	}
}

static json_t *show_rungs(const struct media_pass *m)
{
	json_t *a = json_array(), *o;
	char t[ADDR_TEXT_MAX];
	unsigned i;

	for (i = 0; i < m->n_pairs; i++) {
		const struct media_rung *r = &m->p.rungs[i];

		o = json_object();
		json_object_set_new(o, "link", json_string(addr_ip_text(&m->pairs[i].outside, t)));
		json_object_set_new(o, i < m->n_relay ? "inside" : "joined_to",
				    json_string(addr_ip_text(&m->pairs[i].inside, t)));
		json_object_set_new(o, "rung", json_string(rung_text(r)));
		json_object_set_new(o, "reason", json_string(rung_why(r)));
		json_array_append_new(a, o);
	}
	return a;
}

static json_t *show_reasons(const struct media_pass *m)
{
	json_t *o = json_object();
	unsigned i;

	for (i = 0; i < maps_reasons(m->p.maps); i++)
		set_count(o, maps_reason_name(i), maps_reason_count(m->p.maps, i));
	return o;
}

json_t *media_pass_status(const struct media_pass *m)
{
	json_t *o;

	if (!m)
		return json_null();
	o = json_object();
	set_count(o, "media", m->n_media);
	set_count(o, "joins", m->n_joins);
	set_count(o, "slots", maps_slots(m->p.maps));
	set_count(o, "slots_used", slots_used(m->slots));
	set_count(o, "adopted", m->n_adopted);
	set_count(o, "not_adopted", m->count.not_adopted);
	set_count(o, "opened", m->count.opened);
	set_count(o, "failed", m->count.failed);
	set_count(o, "closed", m->count.closed);
	set_count(o, "silent", m->count.silent);
	set_count(o, "moved", m->count.moved);
	set_count(o, "realloc_failed", m->count.realloc_failed);
	set_count(o, "link_send_failed", m->count.link_send);
	set_count(o, "bad_message", m->count.bad_message);
	set_count(o, "punch_failed", m->count.punch_failed);
	set_count(o, "no_route", m->count.no_route);
	set_count(o, "bad_family", m->count.bad_family);
	set_count(o, "join_failed", m->count.join_failed);
	json_object_set_new(o, "pairs", show_rungs(m));
	json_object_set_new(o, "packets", show_reasons(m));
	return o;
}
