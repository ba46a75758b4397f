/* sip/medium.c -- see medium.h. In: what offer.c decides, the caller's media events. Out: ENGINE_MEDIUM_* actions,
 * events for the call. Owns struct medium from open to close. */
#include "sip/medium.h"

#include <errno.h>
#include <stdlib.h>

#include "sip/call.h"

static struct medium *medium_find(const struct engine *e, uint64_t id)
{
	struct tnode *n = table_find(&e->media, id);

	return n ? table_entry(n, struct medium, node) : NULL;
}

struct medium *medium_open(struct engine *e, struct call *c, bool with_rtcp, bool pass)
{
	struct stream *s = call_stream(e, c);
	struct medium *m = s ? calloc(1, sizeof(*m)) : NULL;
	struct engine_action *a;

	if (!m)
		return NULL;
	m->id = engine_random64(e);
	m->call = c;
	m->with_rtcp = with_rtcp;
	m->pass = pass;
	a = engine_action(e, ENGINE_MEDIUM_OPEN, SPAN(""));
	if (!a || medium_find(e, m->id)) {
		free(m);
		return NULL;
	}
	a->medium = m->id;
	a->id = c->id;
	a->stream = s->id;
	a->with_rtcp = with_rtcp;
	a->pass = pass;
	table_add(&e->media, &m->node, m->id);
	return m;
}

int medium_part_rtcp(struct engine *e, struct medium *m)
{
	struct stream *s = call_stream(e, m->call);
	struct engine_action *a = s ? engine_action(e, ENGINE_MEDIUM_OPEN, SPAN("")) : NULL;

	if (!a)
		return -ENOMEM;
	a->medium = m->id;
	a->id = m->call->id;
	a->stream = s->id;
	a->with_rtcp = m->with_rtcp = m->parting = true;
	m->ready = false;
	return 0;
}

void medium_close(struct engine *e, struct medium *m)
{
	struct engine_action *a = engine_action(e, ENGINE_MEDIUM_CLOSE, SPAN(""));

	if (a) {
		a->medium = m->id;
		a->pass = m->pass;
	}
	table_del(&e->media, &m->node);
	explicit_bzero(m, sizeof(*m));
	free(m);
}

void medium_set(struct engine *e, struct medium *m, const struct engine_medium_set *set)
{
	struct engine_action *a = engine_action(e, ENGINE_MEDIUM_SET, SPAN(""));
	const struct stream *s = call_stream(e, m->call);

	m->silent = false;
	if (!a)
		return;
	a->medium = m->id;
	a->pass = m->pass;
	a->set = *set;
	if (s)
		a->set.client = s->client;
}

/* ---- media events ---- */

void engine_medium_opened(struct engine *e, uint64_t medium, const struct engine_medium_addrs *a,
			  uint64_t now_ms)
{
	struct medium *m = medium_find(e, medium);

	e->now = now_ms;
	if (!m || m->ready)
		return;
	m->ready = true;
	m->parting = false;
	m->a = *a;
	if (m->call->offer && !offer_waits(m->call))
		call_resume(e, m->call);
}

void engine_medium_failed(struct engine *e, uint64_t medium, const char *reason, uint64_t now_ms)
{
	struct medium *m = medium_find(e, medium);

	e->now = now_ms;
	if (!m)
		return;
	if (m->parting) { /* it goes on as it was; only the offer that wanted it fails */
		m->ready = true;
		m->with_rtcp = m->parting = false;
		if (!m->call->waiting)
			return;
	}
	call_media_failed(e, m->call, reason);
}

void engine_medium_silent(struct engine *e, uint64_t medium, uint64_t now_ms)
{
	struct medium *m = medium_find(e, medium);

	e->now = now_ms;
	if (!m)
		return;
	m->silent = true;
	call_silent(e, m->call);
}
