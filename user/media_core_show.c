/* user/media_core_show.c -- media as operators see them: a report a medium, JSON a flow.
 *
 * In: media_core's state, read only. Out: struct media_report, or a JSON array that the caller owns; keys are never in it. */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>

#include "user/media_core_int.h"
#include "user/quality_show.h"
#include "user/summary.h"

static uint32_t idle_of(const struct medium *d)
{
	uint64_t ms;

	if (!d->any)
		return MC_NEVER;
	ms = loop_now_ms(d->m->p.loop) - d->last_ms;
	return ms < MC_NEVER ? (uint32_t)ms : MC_NEVER - 1;
}

int media_core_report(const struct media_core *m, uint64_t medium, struct media_report *out)
{
	const struct medium *d = mc_medium_find(m, medium);

	if (!d)
		return -ENOENT;
	*out = d->report;
	out->idle_ms = idle_of(d);
	out->joined = d->leg[0].join ? d->leg[0].join->medium->id : 0;
	return 0;
}

int media_core_quality(const struct media_core *m, uint64_t medium, struct quality *out_in,
		       struct quality *out_out)
{
	const struct medium *d = mc_medium_find(m, medium);

	if (!d)
		return -ENOENT;
	*out_in = d->flow[0].heard_in;
	*out_out = d->flow[0].heard_out;
	return 0;
}

static void set_addr(json_t *o, const char *name, const struct addr *a)
{
	char t[ADDR_TEXT_MAX];

	json_object_set_new(o, name, a->port ? json_string(addr_text(a, t)) : json_null());
}

static void set_count(json_t *o, const char *name, uint64_t v)
{
	json_object_set_new(o, name, json_integer((json_int_t)v));
}

static json_t *refused(const struct media_report *r)
{
	json_t *o = json_object();
	unsigned i;

	for (i = 1; i < SRTP_RESULTS; i++)
		if (r->results[i])
			set_count(o, srtp_result_name((enum srtp_result)i), r->results[i]);
	if (r->dropped_unkeyed)
		set_count(o, "unkeyed", r->dropped_unkeyed);
	if (r->dropped_source)
		set_count(o, "source", r->dropped_source);
	if (r->dropped_send)
		set_count(o, "send", r->dropped_send);
	if (r->dropped_shape)
		set_count(o, "shape", r->dropped_shape);
	return o;
}

static const char *state_of(const struct mc_flow *f)
{
	if (!f->medium->peer)
		return "link-down";
	if (!f->allocated)
		return "asked";
	return f->punched ? "punched" : "punching";
}

static void show_edge(json_t *o, const struct mc_flow *f)
{
	set_addr(o, "outside", &f->outside);
	set_addr(o, "edge_inside", &f->edge);
	set_addr(o, "client", &f->latched);
	set_addr(o, "punched_from", &f->punched_from);
	set_count(o, "edge_packets_in", f->edge_in);
	set_count(o, "edge_packets_out", f->edge_out);
}

static void set_joined(json_t *o, const struct mc_leg *leg)
{
	const struct mc_flow *f = mc_join_flow(leg);
	char text[17];

	if (f)
		snprintf(text, sizeof(text), "%016" PRIx64, f->id);
	json_object_set_new(o, "joined", f ? json_string(text) : json_null());
}

/* Ours: what came from the edge, from inside. The edge's: from the client, from us. */
static void show_quality(json_t *o, const struct medium *d, unsigned i)
{
	struct quality in = {}, out = {};

	if (!i) {
		quality_of(&d->heard_in, d->clocks.in, &in);
		quality_of(&d->heard_out, d->clocks.out, &out);
	}
	json_object_set_new(o, "quality", quality_json(&in, &out));
	json_object_set_new(o, "edge_quality",
			    quality_json(&d->flow[i].heard_in, &d->flow[i].heard_out));
}

static json_t *show_flow(const struct medium *d, unsigned i)
{
	const struct mc_flow *f = &d->flow[i];
	const struct mc_leg *leg = &d->leg[i];
	uint32_t idle = idle_of(d);
	char text[160];
	json_t *o = json_object();

	snprintf(text, sizeof(text), "%016" PRIx64, d->id);
	json_object_set_new(o, "medium", json_string(text));
	snprintf(text, sizeof(text), "%016" PRIx64, f->id);
	json_object_set_new(o, "flow", json_string(text));
	json_object_set_new(o, "kind",
			    json_string(i		? "rtcp"
					: d->flows == 1 ? "rtp+rtcp"
							: "rtp"));
	json_object_set_new(o, "edge", json_string(d->edge));
	json_object_set_new(o, "state", json_string(state_of(f)));
	show_edge(o, f);
	set_addr(o, "inside", &leg->local);
	set_addr(o, "remote", &leg->remote);
	set_addr(o, "remote_source", leg->latched ? &leg->from : &(struct addr){});
	set_joined(o, leg);
	json_object_set_new(o, "open_suite",
			    d->keyed ? json_string(srtp_suite_name(d->set.open_suite))
				     : json_null());
	json_object_set_new(o, "seal_suite",
			    d->keyed ? json_string(srtp_suite_name(d->set.seal_suite))
				     : json_null());
	/* on a flow for both, RTCP counts with it */
	set_count(o, "packets_in", leg->in + (d->flows == 1 ? d->leg[1].in : 0));
	set_count(o, "packets_out", leg->out + (d->flows == 1 ? d->leg[1].out : 0));
	set_count(o, "bytes_in", leg->in_bytes + (d->flows == 1 ? d->leg[1].in_bytes : 0));
	set_count(o, "bytes_out", leg->out_bytes + (d->flows == 1 ? d->leg[1].out_bytes : 0));
	show_quality(o, d, i);
	json_object_set_new(o, "refused", refused(&d->report)); /* of the medium */
	json_object_set_new(o, "idle_ms", idle == MC_NEVER ? json_null() : json_integer(idle));
	snprintf(text, sizeof(text), "user-socket (srtp %s)", srtp_backend_text());
	json_object_set_new(o, "rung", json_string(text));
	return o;
}

json_t *media_core_show(const struct media_core *m)
{
	const struct medium *d;
	json_t *a = json_array();
	unsigned i;

	for (d = m->list; d; d = d->list_next)
		for (i = 0; i < d->flows; i++)
			json_array_append_new(a, show_flow(d, i));
	return a;
}

void media_core_sum(const struct media_core *m, struct summary_flows *out)
{
	const struct medium *d;
	struct quality q;
	unsigned i;

	out->packets_in += m->gone_in;
	out->packets_out += m->gone_out;
	out->heard.lost += m->gone_heard.lost;
	out->heard.reordered += m->gone_heard.reordered;
	for (d = m->list; d; d = d->list_next) {
		out->terminated += d->flows;
		quality_of(&d->heard_in, d->clocks.in, &q);
		summary_flows_hear(out, &q);
		quality_of(&d->heard_out, d->clocks.out, &q);
		summary_flows_hear(out, &q);
		for (i = 0; i < 2; i++) {
			out->packets_in += d->leg[i].in;
			out->packets_out += d->leg[i].out;
		}
	}
}

json_t *media_core_show_medium(const struct media_core *m, uint64_t medium)
{
	const struct medium *d = mc_medium_find(m, medium);
	json_t *a = json_array();
	unsigned i;

	for (i = 0; d && i < d->flows; i++)
		json_array_append_new(a, show_flow(d, i));
	return a;
}

json_t *media_core_counters(const struct media_core *m)
{
	json_t *o = json_object();

	set_count(o, "media", m->n_media);
	set_count(o, "unknown_source", m->count.unknown_source);
	set_count(o, "unknown_flow", m->count.unknown_flow);
	set_count(o, "bad_message", m->count.bad_message);
	set_count(o, "moved",
		  m->count.moved); /* outside address not as before after an edge came back */
	set_count(o, "realloc_failed", m->count.realloc_failed);
	set_count(o, "link_send_failed", m->count.link_send);
	set_count(o, "punch_failed", m->count.punch_failed);
	set_count(o, "joined_self", m->count.joined_self);
	set_count(o, "no_ports", m->count.no_ports);
	set_count(o, "not_kept", m->count.not_kept); /* will not outlive this worker */
	set_count(o, "taken_up", m->count.restored); /* of the worker before */
	set_count(o, "not_taken_up", m->count.lost);
	return o;
}
