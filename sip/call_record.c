/* sip/call_record.c -- a call that stands, or another dialog, as a record; and back (record.h).
 *
 * In: struct call, or bytes. Out: bytes, or a call as it stood: both legs, the media in force with their keys, no transaction. What the
 * bytes do not say in full is refused whole. */
#include "sip/call.h"

#include <errno.h>
#include <stdlib.h>

#include "sip/medium.h"
#include "sip/record.h"

#define TEXT_MAX 4096

enum { CALL_PLAIN = 1, CALL_OUTBOUND = 2 };
enum { MEDIUM_RTCP = 1, MEDIUM_HOLD = 2, MEDIUM_PASS = 4 };

static void leg_record(struct record_out *o, const struct leg *l)
{
	record_put_text(o, l->uri);
	record_put_text(o, l->target);
	record_put_text(o, l->target_before);
	record_put_text(o, l->routes);
	record_put(o, l->cseq, 4);
}

static void leg_restore(struct record_in *in, struct leg *l)
{
	l->uri = record_get_text(in, URI_MAX);
	l->target = record_get_text(in, URI_MAX);
	l->target_before = record_get_text(in, URI_MAX);
	l->routes = record_get_text(in, URI_MAX);
	l->cseq = (uint32_t)record_get(in, 4);
}

static void medium_record(struct record_out *o, const struct medium *m)
{
	record_put(o, m->id, 8);
	record_put(o,
		   (m->with_rtcp ? MEDIUM_RTCP : 0u) | (m->hold ? MEDIUM_HOLD : 0u) |
			   (m->pass ? MEDIUM_PASS : 0u),
		   1);
	record_put_addr(o, &m->a.outside_rtp);
	record_put_addr(o, &m->a.outside_rtcp);
	record_put_addr(o, &m->a.inside_rtp);
	record_put_addr(o, &m->a.inside_rtcp);
	record_put(o, m->cur.open_suite, 1);
	record_put(o, m->cur.seal_suite, 1);
	record_put_bytes(o, m->cur.open_key, sizeof(m->cur.open_key));
	record_put_bytes(o, m->cur.seal_key, sizeof(m->cur.seal_key));
	record_put_addr(o, &m->cur.remote_rtp);
	record_put_addr(o, &m->cur.remote_rtcp);
	record_put_addr(o, &m->client_sdp);
	record_put_addr(o, &m->client_src);
}

static void medium_restore(struct record_in *in, struct medium *m)
{
	unsigned flags;

	m->id = record_get(in, 8);
	flags = (unsigned)record_get(in, 1);
	m->with_rtcp = flags & MEDIUM_RTCP;
	m->hold = flags & MEDIUM_HOLD;
	m->pass = flags & MEDIUM_PASS;
	m->ready = m->in_force = true;
	record_get_addr(in, &m->a.outside_rtp);
	record_get_addr(in, &m->a.outside_rtcp);
	record_get_addr(in, &m->a.inside_rtp);
	record_get_addr(in, &m->a.inside_rtcp);
	m->cur.have_keys = !m->pass;
	m->cur.open_suite = (enum engine_suite)record_get(in, 1);
	m->cur.seal_suite = (enum engine_suite)record_get(in, 1);
	record_get_bytes(in, m->cur.open_key, sizeof(m->cur.open_key));
	record_get_bytes(in, m->cur.seal_key, sizeof(m->cur.seal_key));
	record_get_addr(in, &m->cur.remote_rtp);
	record_get_addr(in, &m->cur.remote_rtcp);
	record_get_addr(in, &m->client_sdp);
	record_get_addr(in, &m->client_src);
	in->bad |=
		!m->id || m->cur.open_suite >= ENGINE_SUITES || m->cur.seal_suite >= ENGINE_SUITES;
}

/* Kept is what both sides hold for a dialog: an answered call, or a dialog of another kind. */
bool call_record(const struct engine *e, const struct record *r, struct record_out *o)
{
	const struct call *c = record_owner(r, struct call);
	unsigned i, n = 0;

	if (c->plain ? !c->answered || c->state == CALL_ENDED : c->state != CALL_UP)
		return false;
	record_put(o, c->binding, 8);
	record_put_text(o, e->c.servers[c->server].name);
	record_put_text(o, c->user->aor);
	record_put(o, (c->plain ? CALL_PLAIN : 0u) | (c->outbound ? CALL_OUTBOUND : 0u), 1);
	record_put(o, c->since, 8);
	record_put(o, c->started, 8);
	record_put(o, c->timer.due, 8);
	record_put(o, c->session_end, 8);
	record_put(o, c->refused, 4);
	record_put_addr(o, &c->inside_at);
	record_put_text(o, c->call_id);
	record_put_text(o, c->to_tag);
	leg_record(o, &c->leg[0]);
	leg_record(o, &c->leg[1]);
	for (i = 0; i < SDP_MEDIA_MAX; i++)
		n += c->media[i] && c->media[i]->in_force;
	record_put(o, n, 1);
	for (i = 0; i < SDP_MEDIA_MAX; i++) {
		if (!c->media[i] || !c->media[i]->in_force)
			continue;
		record_put(o, i, 1);
		medium_record(o, c->media[i]);
	}
	return true;
}

static void media_restore(struct engine *e, struct call *c, struct record_in *in)
{
	unsigned n = (unsigned)record_get(in, 1), i;

	in->bad |= c->plain && n;
	while (n-- && !in->bad) {
		struct medium *m = calloc(1, sizeof(*m));

		i = (unsigned)record_get(in, 1);
		if (!m || in->bad || i >= SDP_MEDIA_MAX || c->media[i]) {
			in->bad = true;
			free(m);
			return;
		}
		medium_restore(in, m);
		if (in->bad || table_find(&e->media, m->id)) {
			in->bad = true;
			explicit_bzero(m, sizeof(*m));
			free(m);
			return;
		}
		m->call = c;
		c->media[i] = m;
		table_add(&e->media, &m->node, m->id);
	}
}

static void call_fields(struct engine *e, struct call *c, struct record_in *in)
{
	uint64_t due;
	char *aor;
	int server;
	unsigned flags;

	c->binding = record_get(in, 8);
	server = record_get_server(e, in);
	c->server = server < 0 ? 0 : (unsigned)server;
	aor = record_get_text(in, AOR_MAX - 1);
	c->user = aor ? user_get(e, aor) : NULL;
	free(aor);
	flags = (unsigned)record_get(in, 1);
	c->plain = flags & CALL_PLAIN;
	c->outbound = flags & CALL_OUTBOUND;
	c->answered = true;
	c->state = c->plain ? CALL_NEW : CALL_UP;
	c->since = record_get(in, 8);
	c->started = record_get(in, 8);
	due = record_get(in, 8);
	c->session_end = record_get(in, 8);
	c->refused = (unsigned)record_get(in, 4);
	record_get_addr(in, &c->inside_at);
	c->call_id = record_get_text(in, TEXT_MAX);
	c->to_tag = record_get_text(in, TEXT_MAX);
	leg_restore(in, &c->leg[0]);
	leg_restore(in, &c->leg[1]);
	in->bad |= server < 0 || !c->user || !c->call_id;
	/* Nothing waits longer than a timer that is set now: the record may be another clock's. */
	if (due > e->now + CALL_IDLE_MS)
		due = e->now + CALL_IDLE_MS;
	timer_set(&e->timers, &c->timer, due > e->now ? due : e->now);
}

int call_restore(struct engine *e, uint64_t id, struct record_in *in)
{
	struct call *c;

	if (!id || call_find(e, id) || e->stats.calls >= e->c.calls_max)
		return -EBADMSG;
	c = call_alloc(e, id);
	if (!c)
		return -ENOMEM;
	call_fields(e, c, in);
	if (!in->bad)
		media_restore(e, c, in);
	if (in->bad || in->n) {
		call_discard(e, c);
		return -EBADMSG;
	}
	c->record.kept = true;
	call_adopted(e, c);
	return 0;
}

/* ---- what the caller's media say ---- */

bool engine_medium_known(const struct engine *e, uint64_t medium)
{
	return table_find(&e->media, medium) != NULL;
}

/* @fn may end the call, and its other media with it. The call itself stays for its late messages. */
void engine_each_medium(struct engine *e, void (*fn)(void *arg, uint64_t medium), void *arg)
{
	struct tnode *n, *next;
	unsigned i;

	for (n = table_walk(&e->calls, NULL); n; n = next) {
		struct call *c = table_entry(n, struct call, node);

		next = table_walk(&e->calls, n);
		for (i = 0; i < SDP_MEDIA_MAX; i++)
			if (c->media[i])
				fn(arg, c->media[i]->id);
	}
}
