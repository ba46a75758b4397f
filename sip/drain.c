/* sip/drain.c -- see drain.h. In: which edges drain, requests, time. Out: refusals, streams to close. Owns the list of edges. */
#include "sip/drain.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "sip/call.h"
#include "sip/txn.h"

struct drain_edge {
	struct drain_edge *next;
	unsigned how;
	char name[];
};

static bool drains(const struct stream *s)
{
	return s->edge->drain & ENGINE_DRAIN_ON;
}

/* ---- where a device is reached ---- */

/* The newest stream of @b whose edge does not drain. */
static struct stream *way_of(const struct binding *b)
{
	unsigned i;

	for (i = b->n_streams; i > 0; i--)
		if (!drains(b->streams[i - 1]))
			return b->streams[i - 1];
	return NULL;
}

/* One device: the same instance, whatever the reg-id. Without an instance nothing tells. */
static bool same_device(const struct binding *a, const struct binding *b)
{
	const char *end_a = strrchr(a->key, ';'), *end_b = strrchr(b->key, ';');

	return strncmp(a->key, "i:", 2) == 0 && end_a && end_b &&
	       end_a - a->key == end_b - b->key &&
	       strncmp(a->key, b->key, (size_t)(end_a - a->key)) == 0;
}

struct binding *drain_way(struct binding *b, struct stream **out)
{
	struct binding *other;

	*out = way_of(b);
	for (other = *out || !b->n_streams ? NULL : b->user->first; other; other = other->user_next)
		if (other != b && other->server == b->server && same_device(b, other)) {
			*out = way_of(other);
			if (*out)
				return other;
		}
	if (!*out)
		*out = binding_stream(b);
	return b;
}

static bool elsewhere(const struct stream *s)
{
	unsigned i;

	for (i = 0; i < s->n_bindings; i++) {
		struct stream *way;

		drain_way(s->bindings[i], &way);
		if (!way || drains(way))
			return false;
	}
	return s->n_bindings > 0;
}

/* ---- requests ---- */

static bool refuse(struct engine *e, const struct stream *s, const struct sip_msg *m,
		   const char *retry_after)
{
	struct peer up = engine_peer_stream(s->id);
	char from[96];

	e->stats.refused_draining++;
	engine_log(e, 2, "refused", "stream=%llx method=%s status=503 reason=draining from=%s",
		   (unsigned long long)s->id, sip_method_name(m->method),
		   engine_esc(m->from.uri.whole, from, sizeof(from)));
	txn_stateless(e, &up, m, 503, "Being Taken Out Of Service", retry_after);
	return true;
}

bool drain_refused(struct engine *e, struct stream *s, const struct sip_msg *m)
{
	bool lasts = m->method == SIP_M_INVITE || m->method == SIP_M_SUBSCRIBE ||
		     m->method == SIP_M_REFER;

	if (!drains(s) || !lasts)
		return false;
	/* RFC 3891: in the place of a call that runs */
	if (m->method == SIP_M_INVITE && sip_header_find(m, SIP_H_REPLACES, 0, NULL))
		return false;
	return refuse(e, s, m, DRAIN_RETRY_AFTER);
}

static bool call_counts(const struct call *c)
{
	return !c->plain && c->state != CALL_ENDED;
}

/* A call's requests may come to the client by its binding's newest stream, and from it by the one that the dialog's Route leads to. */
static unsigned call_streams(const struct engine *e, const struct call *c, struct stream *out[2])
{
	unsigned n = 0;

	if (!call_counts(c))
		return 0;
	out[n] = call_stream(e, c);
	n += out[n] != NULL;
	out[n] = engine_stream(e, c->stream);
	n += out[n] && (!n || out[n] != out[0]);
	return n;
}

static bool in_call(const struct engine *e, const struct stream *s)
{
	struct stream *by[2];
	struct tnode *n = NULL;
	unsigned i, calls = 0;

	for (i = 0; i < s->n_bindings; i++)
		calls += s->bindings[i]->user->calls;
	while (calls && (n = table_walk(&e->calls, n))) {
		unsigned k = call_streams(e, table_entry(n, struct call, node), by);

		while (k)
			if (by[--k] == s)
				return true;
	}
	return false;
}

bool drain_register_refused(struct engine *e, struct stream *s, const struct sip_msg *m)
{
	if (!drains(s) || s->edge->drain & ENGINE_DRAIN_MOVE)
		return false;
	if (!s->admitted)
		return refuse(e, s, m, DRAIN_RETRY_AFTER);
	if (in_call(e, s))
		return false;
	if (elsewhere(s))
		return refuse(e, s, m, DRAIN_RETRY_AFTER);
	if (!(s->edge->drain & ENGINE_DRAIN_ASK) || s->drain_asked)
		return false;
	s->drain_asked = true;
	return refuse(e, s, m, DRAIN_ASKED_AFTER);
}

/* ---- time ---- */

static bool unneeded(const struct engine *e, const struct stream *s)
{
	return s->admitted && !s->closing && !s->drain_told && s->in_call != e->drain.turn &&
	       !s->n_txns && (s->edge->drain & ENGINE_DRAIN_MOVE || elsewhere(s));
}

static void mark_calls(struct engine *e)
{
	struct tnode *n = NULL;
	struct stream *by[2];

	e->drain.turn++;
	while ((n = table_walk(&e->calls, n))) {
		unsigned k = call_streams(e, table_entry(n, struct call, node), by);

		while (k)
			by[--k]->in_call = e->drain.turn;
	}
}

static void drain_tick(struct engine *e, void *owner)
{
	struct tnode *n = NULL;
	unsigned closed = 0;

	(void)owner;
	mark_calls(e);
	while (closed < DRAIN_A_TICK && (n = table_walk(&e->streams, n))) {
		struct stream *s = table_entry(n, struct stream, node);
		struct engine_action *a;

		if (!drains(s) || !unneeded(e, s))
			continue;
		a = engine_action(e, ENGINE_CLOSE_STREAM, SPAN(""));
		if (!a)
			break; /* no memory: counted there */
		a->stream = s->id;
		(void)snprintf(a->text, sizeof(a->text), "draining");
		s->drain_told = true;
		e->stats.drain_moved++;
		closed++;
	}
	timer_set(&e->timers, &e->drain.timer, e->now + DRAIN_TICK_MS);
}

/* ---- which edges ---- */

unsigned drain_how(const struct engine *e, const char *name)
{
	const struct drain_edge *d = e->drain.edges;

	while (d && strcmp(d->name, name) != 0)
		d = d->next;
	return d ? d->how : 0;
}

int engine_drain(struct engine *e, const char *edge, unsigned how, uint64_t now_ms)
{
	struct drain_edge *d = e->drain.edges, *any;
	struct edge_names *names;
	struct tnode *n = NULL;
	size_t len = strlen(edge) + 1;

	e->now = now_ms;
	while (d && strcmp(d->name, edge) != 0)
		d = d->next;
	if (!d && how) {
		d = calloc(1, sizeof(*d) + len);
		if (!d)
			return -ENOMEM;
		memcpy(d->name, edge, len);
		d->next = e->drain.edges;
		e->drain.edges = d;
	}
	if (!d || d->how == how)
		return 0;
	d->how = how;
	for (names = e->edges; names; names = names->next)
		if (strcmp(names->name, edge) == 0)
			names->drain = how;
	while (!how && (n = table_walk(&e->streams, n))) {
		struct stream *s = table_entry(n, struct stream, node);

		if (strcmp(s->edge->name, edge) == 0)
			s->drain_asked = false;
	}
	for (any = e->drain.edges; any && !any->how; any = any->next)
		;
	if (any)
		timer_set(&e->timers, &e->drain.timer, e->now + DRAIN_TICK_MS);
	else
		timer_stop(&e->timers, &e->drain.timer);
	return 0;
}

void engine_drain_left(const struct engine *e, const char *edge, unsigned *out_calls,
		       unsigned *out_phones)
{
	struct tnode *n = NULL;
	struct stream *by[2];

	*out_calls = *out_phones = 0;
	while ((n = table_walk(&e->calls, n))) {
		const struct call *c = table_entry(n, struct call, node);
		unsigned k = call_streams(e, c, by);
		bool here = !edge && call_counts(c);

		while (k && edge)
			here |= strcmp(by[--k]->edge->name, edge) == 0;
		*out_calls += here;
	}
	while ((n = table_walk(&e->bindings, n))) {
		struct binding *b = table_entry(n, struct binding, node);
		const struct stream *s = binding_stream(b);
		struct stream *way;

		if (!s || (edge && strcmp(s->edge->name, edge) != 0))
			continue;
		drain_way(b, &way);
		*out_phones += drains(way);
	}
}

int drain_init(struct engine *e)
{
	timer_init(&e->drain.timer, drain_tick, NULL);
	return timers_reserve(&e->timers, 1);
}

void drain_fini(struct engine *e)
{
	struct drain_edge *d;

	timer_stop(&e->timers, &e->drain.timer);
	while ((d = e->drain.edges)) {
		e->drain.edges = d->next;
		free(d);
	}
}
