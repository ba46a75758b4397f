/* sip/view.c -- what the engine shows of itself: bindings, calls, the addresses of record of a stream.
 *
 * In: the engine's tables. Out: views whose strings live until the next call into the engine. Changes nothing. */
#include <stdio.h>
#include <string.h>

#include "sip/binding.h"
#include "sip/call.h"

void engine_each_binding(const struct engine *e,
			 void (*fn)(void *arg, const struct engine_binding_view *v), void *arg)
{
	struct tnode *n = NULL;

	while ((n = table_walk(&e->bindings, n))) {
		const struct binding *b = table_entry(n, struct binding, node);
		const struct stream *s = binding_stream(b);
		struct engine_binding_view v = {
			.aor = b->user->aor,
			.instance = b->key,
			.contact = b->contact,
			.user_agent = b->user_agent,
			.server = e->c.servers[b->server].name,
			.stream = s ? s->id : 0,
			.expires_ms = b->expiry.due,
		};

		fn(arg, &v);
	}
}

void engine_each_call(const struct engine *e,
		      void (*fn)(void *arg, const struct engine_call_view *v), void *arg)
{
	static const char *const states[] = {"new", "early", "up", "ended"};
	struct tnode *n = NULL;

	while ((n = table_walk(&e->calls, n))) {
		const struct call *c = table_entry(n, struct call, node);
		const struct leg *caller = &c->leg[c->outbound ? SIDE_CLIENT : SIDE_INSIDE];
		const struct leg *callee = &c->leg[c->outbound ? SIDE_INSIDE : SIDE_CLIENT];
		struct engine_call_view v = {
			.call = c->id,
			.from = caller->uri ? caller->uri : "",
			.to = callee->uri ? callee->uri : "",
			.call_id = c->call_id ? c->call_id : "",
			.direction = c->outbound ? "out-in" : "in-out",
			.state = states[c->state],
			.user = c->user->aor,
			.stream = c->stream,
			.since_ms = c->since,
			.suite = offer_suite(c),
		};

		if (c->plain || c->state == CALL_ENDED)
			continue;
		v.n_media = offer_media(c, v.media);
		fn(arg, &v);
	}
}

static const struct binding *stream_first_binding(const struct stream *s, const char *aor)
{
	unsigned i;

	for (i = 0; i < s->n_bindings; i++)
		if (strcmp(s->bindings[i]->user->aor, aor) == 0)
			return s->bindings[i];
	return NULL;
}

const char *engine_stream_aors(const struct engine *e, uint64_t stream)
{
	const struct stream *s = engine_stream(e, stream);
	char *buf = ((struct engine *)(uintptr_t)e)->aors; /* scratch, not state */
	size_t o = 0;
	unsigned i;

	buf[0] = 0;
	for (i = 0; s && i < s->n_bindings; i++) {
		const char *aor = s->bindings[i]->user->aor;

		/* Once an address: at its first binding on this stream. */
		if (s->bindings[i] != stream_first_binding(s, aor) ||
		    o + strlen(aor) + 2 > sizeof(e->aors))
			continue;
		o += (size_t)snprintf(buf + o, sizeof(e->aors) - o, "%s%s", o ? "," : "", aor);
	}
	return buf;
}
