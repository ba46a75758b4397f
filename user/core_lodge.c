/* user/core_lodge.c -- the core's streams from one worker to the next: between core_stream.h, engine and link. See core_int.h.
 *
 * In: admitted streams; or slots of an earlier worker. Out: the same streams, admitted by the engine as they were, or ended. */
#include <stdio.h>

#include "user/core_trace.h"
#include "user/log.h"

void core_lodge(struct core *c, struct core_stream *s)
{
	const struct core_edge *e = core_edge_find(c, s->edge);

	if (e && e->sip_host[0]) /* it came over its link, so it was told */
		core_stream_lodge(s, e->sip_host, e->sip_port);
}

static void relay(void *arg, struct core_stream *s)
{
	struct core *c = arg;
	const struct core_edge *e = core_edge_find(c, s->edge);

	if (e && e->sip_host[0])
		core_stream_relay(s, c->turn.relays, e->sip_host, e->sip_port);
}

void core_lodge_leave(struct core *c)
{
	core_streams_each(c->streams, relay, c);
	core_streams_leave(c->streams);
}

static bool take(void *arg, uint32_t slot, uint32_t kind, const int fds[LODGE_ROLES], void *record)
{
	struct core *c = arg;
	struct engine_stream es = {};
	struct core_stream *s;

	if (kind != CORE_STREAM_LODGE_KIND)
		return false;
	if (core_stream_take(c->streams, c->link, slot, fds, record, &s, &es.edge_host,
			     &es.edge_port))
		return true; /* the slot is gone already */
	core_trace_stream_open(s);
	es.id = s->id;
	es.client = s->client;
	es.edge = s->edge;
	if (engine_stream_open(c->engine, &es))
		core_stream_doom(s, "engine is full");
	return true;
}

int core_lodge_take(struct core *c, char *why, size_t why_n)
{
	c->turn.take = take;
	core_streams_set_lodge(c->streams, c->turn.lodge);
	return handover_take(&c->turn, why, why_n);
}

/* What its client registered is over, or was never kept: it begins anew. */
static void check(void *arg, struct core_stream *s)
{
	struct core *c = arg;

	if (s->adopted && !s->doomed && !engine_stream_admitted(c->engine, s->id))
		core_stream_doom(s, "no registration of it outlived the worker");
}

void core_lodge_check(struct core *c)
{
	core_streams_each(c->streams, check, c);
}

struct lodge_repeat {
	struct core *c;
	const struct core_edge *e;
};

static void repeat(void *arg, struct core_stream *s)
{
	struct lodge_repeat *r = arg;

	if (s->adopted && s->admitted && core_edge_find(r->c, s->edge) == r->e)
		core_tell_admitted(r->c, s);
}

void core_lodge_link_up(struct core *c, const struct core_edge *e)
{
	struct lodge_repeat r = {c, e};

	core_streams_each(c->streams, repeat, &r);
}

json_t *core_lodge_show(const struct core *c)
{
	const struct core_stream_counts *n = core_streams_counts(c->streams);

	return json_pack("{s:i, s:i, s:I, s:I, s:I, s:I, s:I}", "records", (int)n->lodged, "of",
			 (int)lodge_stats(c->turn.lodge).slots, "too_large",
			 (json_int_t)n->too_large, "no_slot", (json_int_t)n->no_slot, "taken_over",
			 (json_int_t)n->taken, "lost_busy", (json_int_t)n->lost_busy, "lost",
			 (json_int_t)n->lost_other);
}
