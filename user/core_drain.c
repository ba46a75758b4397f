/* user/core_drain.c -- see core_drain.h. */
#include "user/core_drain.h"

#include <string.h>

#include "user/core_chat.h"
#include "user/core_int.h"
#include "user/log.h"

/* ---- who drains, and what follows ---- */

/* Whether a phone of an edge that drains may have another way in. */
static bool somewhere_else(const struct core *c)
{
	unsigned i;

	for (i = 0; i < c->n_edges; i++) {
		const struct core_edge *e = &c->edges[i];

		if (e->peer && !e->draining && (!c->drain.d.on || e->other_core))
			return true;
	}
	return false;
}

static unsigned how(const struct core *c, const struct core_edge *e)
{
	unsigned bits = 0;

	if (!c->drain.d.on && !e->draining)
		return 0;
	bits = ENGINE_DRAIN_ON;
	if (somewhere_else(c))
		bits |= ENGINE_DRAIN_ASK;
	if (e->peer && !e->draining && e->other_core)
		bits |= ENGINE_DRAIN_MOVE;
	return bits;
}

static void tell(struct core *c, struct core_edge *e)
{
	Sallyport__Link m = SALLYPORT__LINK__INIT;
	Sallyport__Drain d = SALLYPORT__DRAIN__INIT;

	if (!e->peer)
		return;
	d.on = c->drain.d.on;
	engine_drain_left(c->engine, e->name, &d.calls, &d.phones);
	m.m_case = SALLYPORT__LINK__M_DRAIN;
	m.drain = &d;
	link_send(e->peer, &m); /* one that cannot be told is about to go */
}

static bool anything(const struct core *c)
{
	bool any = c->drain.d.on;
	unsigned i;

	for (i = 0; i < c->n_edges; i++)
		any |= c->edges[i].draining;
	return any;
}

static void engine_told(struct core *c)
{
	uint64_t now = loop_now_ms(c->loop);
	unsigned i;

	for (i = 0; i < c->n_edges; i++) {
		const struct core_edge *e = &c->edges[i];

		if (engine_drain(c->engine, e->name, how(c, e), now))
			log_event(LOG_L_ERROR, "drain", "edge=%s error=\"out of memory\"", e->name);
	}
}

/* The engine learns what is so now; all edges, or those that are concerned, what is left. */
static void apply(struct core *c, bool all)
{
	unsigned i;

	all |= c->drain.all;
	c->drain.all = c->drain.soon = false;
	c->drain.applied_ms = loop_now_ms(c->loop);
	engine_told(c);
	for (i = 0; i < c->n_edges; i++) {
		struct core_edge *e = &c->edges[i];

		if (e->draining != e->drain_logged)
			log_event(LOG_L_WARN, "edge-draining", "edge=%s state=%s", e->name,
				  e->draining ? "on" : "off");
		e->drain_logged = e->draining;
		if (all || c->drain.d.on || e->draining)
			tell(c, e);
	}
	if (!anything(c))
		loop_timer_cancel(c->loop, &c->drain.timer);
	else
		loop_timer_set(c->loop, &c->drain.timer, DRAIN_TELL_MS);
	core_pump(c);
}

/* An edge says how it is right after its HelloAck; one that does not is of an older version. */
static void again(void *arg)
{
	struct core *c = arg;
	uint64_t now = loop_now_ms(c->loop);
	unsigned i;

	for (i = 0; i < c->n_edges; i++) {
		struct core_edge *e = &c->edges[i];

		if (e->peer && !e->drain_heard && now - link_peer_up_ms(e->peer) >= DRAIN_TELL_MS)
			e->draining = e->other_core = false;
	}
	apply(c, false);
}

void core_drain_up(struct core *c, struct core_edge *e)
{
	e->drain_heard = false;
	apply(c, false);
}

void core_drain_down(struct core *c)
{
	apply(c,
	      false); /* the edge is as it was until it comes back; but no phone can go there now */
}

/* What an edge says costs a walk over calls and phones, and a line in the log: not more often than DRAIN_APPLY_MS, however often it
 * is said. What was said last counts. */
static void apply_soon(struct core *c, bool all)
{
	uint64_t now = loop_now_ms(c->loop), next = c->drain.applied_ms + DRAIN_APPLY_MS;

	c->drain.all |= all;
	if (!c->drain.applied_ms || now >= next)
		apply(c, false);
	else if (!c->drain.soon && !loop_timer_set(c->loop, &c->drain.timer, next - now))
		c->drain.soon = true;
}

bool core_drain_message(struct core *c, struct link_peer *p, const Sallyport__Link *m)
{
	struct core_edge *e = core_edge_find(c, link_peer_name(p));
	bool changed;

	if (m->m_case != SALLYPORT__LINK__M_DRAIN)
		return false;
	if (!e || e->peer != p)
		return true;
	changed = e->draining != m->drain->on;
	e->draining = m->drain->on;
	e->other_core = m->drain->other;
	e->drain_heard = true;
	apply_soon(c, changed);
	return true;
}

bool core_drain_edge(struct core *c, const char *edge)
{
	const struct core_edge *e = core_edge_find(c, edge);

	return c->drain.d.on || (e && e->draining);
}

/* ---- what is left ---- */

json_t *core_drain_show(struct core *c)
{
	const struct engine_stats *s = engine_stats(c->engine);
	unsigned calls, phones, admitted, sip = core_streams_count(c->streams, &admitted),
					  https = core_https_stream_count(c), xmpp, servers, i;
	json_t *peers = json_array();
	bool on = c->drain.d.on;

	core_chat_count(c, &xmpp, &servers);
	engine_drain_left(c->engine, NULL, &calls, &phones);
	for (i = 0; i < c->n_edges; i++)
		if (c->edges[i].draining && c->edges[i].peer)
			json_array_append_new(peers, json_string(c->edges[i].name));
	return json_pack(
		"{s:b, s:I, s:b, s:b, s:I, s:I, s:I, s:{s:i, s:i, s:i, s:i}, s:I, s:I, s:o}", "on",
		on, "since_s",
		(json_int_t)(on ? (loop_now_ms(c->loop) - c->drain.d.since_ms) / 1000 : 0), "kept",
		c->drain.d.word != NULL, "done", on && !calls && !https && !xmpp && !servers,
		"calls_left", (json_int_t)calls, "streams_left",
		(json_int_t)sip + https + xmpp + servers, "phones", (json_int_t)phones, "streams",
		"sip", (int)sip, "https", (int)https, "xmpp", (int)xmpp, "xmpp-server",
		(int)servers, "refused", (json_int_t)s->refused_draining, "moved",
		(json_int_t)s->drain_moved, "peers_draining", peers);
}

/* ---- start, orders ---- */

json_t *core_drain_cmd(void *arg, const json_t *req)
{
	const char *what = json_string_value(json_object_get(req, "arg"));
	struct core *c = arg;

	if (what && (!strcmp(what, "on") || !strcmp(what, "off"))) {
		drain_set(&c->drain.d, !strcmp(what, "on"), loop_now_ms(c->loop));
		apply(c, true);
	} else if (what && *what && strcmp(what, "status") != 0) {
		return json_pack("{s:s}", "error", "drain: wanted on, off or status");
	}
	return core_drain_show(c);
}

void core_drain_start(struct core *c)
{
	c->drain.timer = (struct loop_timer){.fn = again, .arg = c};
	drain_open(&c->drain.d, loop_now_ms(c->loop));
	if (!c->drain.d.on)
		return;
	engine_told(c); /* what it wants is done once everything has started */
	loop_timer_set(c->loop, &c->drain.timer, DRAIN_TELL_MS);
}

void core_drain_stop(struct core *c)
{
	if (c->loop && c->drain.timer.fn)
		loop_timer_cancel(c->loop, &c->drain.timer);
	drain_close(&c->drain.d);
}
