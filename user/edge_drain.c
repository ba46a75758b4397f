/* user/edge_drain.c -- see edge_drain.h. Everything here happens when somebody says something; nothing is timed. */
#include "user/edge_drain.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "user/edge_impl.h"
#include "user/log.h"

static int core_place(const struct config_edge *cfg, const char *name)
{
	unsigned i;

	for (i = 0; i < cfg->link.cores_count; i++)
		if (!strcmp(cfg->link.cores[i].name, name))
			return (int)i;
	return -1;
}

static struct edge_drain_core *core_of(struct edge *e, const struct link_peer *p)
{
	int i = core_place(e->cfg, link_peer_name(p));

	return i < 0 ? NULL : &e->drain.cores[i];
}

/* ---- what cores are told ---- */

struct others {
	const struct link_peer *not_this;
	const struct config_edge_core *cfg; /* of .not_this */
	bool covered[256];
};

/* Every domain of .cfg that @p serves is covered by it. */
static void other_core(void *arg, struct link_peer *p)
{
	struct others *o = arg;
	unsigned i;

	if (p == o->not_this || link_peer_draining(p))
		return;
	for (i = 0; i < o->cfg->domains_count && i < 256; i++)
		o->covered[i] |= link_peer_serves(p, span_str(o->cfg->domains[i]));
}

/* Whether other cores would take in whoever is @p's now. Domains that @p may serve and does not, do not count. */
static bool others_serve(struct edge *e, struct link_peer *p)
{
	int at = core_place(e->cfg, link_peer_name(p));
	struct others o = {.not_this = p};
	unsigned i, n = 0;

	if (at < 0)
		return false;
	o.cfg = &e->cfg->link.cores[at];
	link_edge_each(e->link, other_core, &o);
	for (i = 0; i < o.cfg->domains_count; i++) {
		if (!link_peer_serves(p, span_str(o.cfg->domains[i])))
			continue;
		if (i >= 256 || !o.covered[i])
			return false;
		n++;
	}
	return n > 0;
}

static void tell(void *arg, struct link_peer *p)
{
	struct edge *e = arg;
	Sallyport__Link m = SALLYPORT__LINK__INIT;
	Sallyport__Drain d = SALLYPORT__DRAIN__INIT;

	d.on = e->drain.d.on;
	d.other = !d.on && others_serve(e, p);
	m.m_case = SALLYPORT__LINK__M_DRAIN;
	m.drain = &d;
	link_send(p, &m); /* one that cannot be told is about to go */
}

static void tell_all(struct edge *e)
{
	link_edge_each(e->link, tell, e);
}

void edge_drain_up(struct edge *e, struct link_peer *p)
{
	struct edge_drain_core *c = core_of(e, p);

	if (c)
		*c = (struct edge_drain_core){.up_ms = loop_now_ms(e->loop)};
	tell_all(e);
}

void edge_drain_down(struct edge *e, struct link_peer *p)
{
	struct edge_drain_core *c = core_of(e, p);

	if (c)
		*c = (struct edge_drain_core){0};
	tell_all(e);
}

bool edge_drain_message(struct edge *e, struct link_peer *p, const Sallyport__Link *m)
{
	struct edge_drain_core *c = core_of(e, p);
	bool changed;

	if (m->m_case != SALLYPORT__LINK__M_DRAIN)
		return false;
	if (c) {
		c->heard = true;
		c->calls = m->drain->calls;
		c->phones = m->drain->phones;
	}
	changed = link_peer_draining(p) != m->drain->on;
	if (!changed)
		return true;
	link_peer_drain(p, m->drain->on);
	log_event(LOG_L_WARN, "core-draining", "core=%s state=%s", link_peer_name(p),
		  m->drain->on ? "on" : "off");
	tell_all(e);
	return true;
}

/* ---- what is left ---- */

static void draining_row(void *arg, struct link_peer *p)
{
	if (link_peer_draining(p))
		json_array_append_new(arg, json_string(link_peer_name(p)));
}

json_t *edge_drain_show(struct edge *e)
{
	const struct edge_drain *d = &e->drain;
	uint64_t now = loop_now_ms(e->loop),
		 since = d->d.since_ms > e->start_ms ? d->d.since_ms : e->start_ms;
	json_t *peers = json_array();
	uint64_t calls = 0, phones = 0;
	unsigned n[STREAM_SERVICES], i, total = 0, flows = media_edge_count(e->media);
	bool settled = true;

	for (i = 0; i < e->cfg->link.cores_count; i++) {
		const struct edge_drain_core *c = &d->cores[i];

		calls += d->d.on && c->heard ? c->calls : 0;
		phones += d->d.on && c->heard ? c->phones : 0;
		settled &= !c->up_ms || c->heard;
	}
	settled |= now - since >= EDGE_DRAIN_SETTLE_MS;
	for (i = 0; i < STREAM_SERVICES; i++)
		total += n[i] = streams_count(e->streams, (enum stream_service_id)i);
	link_edge_each(e->link, draining_row, peers);
	return json_pack(
		"{s:b, s:I, s:b, s:b, s:I, s:I, s:I, s:I, s:{s:i, s:i, s:i, s:i}, s:o}", "on",
		d->d.on, "since_s", (json_int_t)(d->d.on ? (now - d->d.since_ms) / 1000 : 0),
		"kept", d->d.word != NULL, "done",
		d->d.on && settled && !calls && !flows && total == n[STREAM_SIP], "calls_left",
		(json_int_t)calls, "flows_left", (json_int_t)flows, "streams_left",
		(json_int_t)total, "phones", (json_int_t)phones, "streams", "sip",
		(int)n[STREAM_SIP], "https", (int)n[STREAM_HTTPS], "xmpp", (int)n[STREAM_XMPP],
		"xmpp-server", (int)n[STREAM_XMPP_SERVER], "peers_draining", peers);
}

/* ---- start, orders ---- */

json_t *edge_drain_cmd(void *arg, const json_t *req)
{
	const char *what = json_string_value(json_object_get(req, "arg"));
	struct edge *e = arg;
	unsigned i;

	if (what && (!strcmp(what, "on") || !strcmp(what, "off"))) {
		bool on = !strcmp(what, "on");

		if (on != e->drain.d.on)
			for (i = 0; i < e->cfg->link.cores_count; i++)
				e->drain.cores[i].heard = false;
		drain_set(&e->drain.d, on, loop_now_ms(e->loop));
		streams_drain(e->streams, on);
		tell_all(e);
	} else if (what && *what && strcmp(what, "status") != 0) {
		return json_pack("{s:s}", "error", "drain: wanted on, off or status");
	}
	return edge_drain_show(e);
}

int edge_drain_start(struct edge *e, char *why, size_t why_n)
{
	e->drain.cores = calloc(e->cfg->link.cores_count + 1, sizeof(*e->drain.cores));
	if (!e->drain.cores) {
		snprintf(why, why_n, "drain: %s", strerror(ENOMEM));
		return -ENOMEM;
	}
	drain_open(&e->drain.d, loop_now_ms(e->loop));
	streams_drain(e->streams, e->drain.d.on);
	return 0;
}

void edge_drain_free(struct edge *e)
{
	drain_close(&e->drain.d);
	free(e->drain.cores);
}
