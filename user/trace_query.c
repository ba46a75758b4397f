/* user/trace_query.c -- see trace_query.h. In: records. Out: yes or no. No allocation, no I/O. */
#include "user/trace_query.h"

static unsigned place_of(const struct trace_set *s, uint64_t id)
{
	unsigned i = (unsigned)((id * 0x9e3779b97f4a7c15ull) >> 32) & (TRACE_IDS_MAX - 1);

	while (s->slot[i] && s->slot[i] != id)
		i = (i + 1) & (TRACE_IDS_MAX - 1);
	return i;
}

bool trace_set_has(const struct trace_set *s, uint64_t id)
{
	return id && s->n && s->slot[place_of(s, id)] == id;
}

bool trace_set_add(struct trace_query *q, struct trace_set *s, uint64_t id)
{
	unsigned i;

	if (!id)
		return false;
	i = place_of(s, id);
	if (s->slot[i] == id)
		return true;
	if (s->n >= TRACE_IDS_MAX / 4 * 3) {
		q->full = true;
		return false;
	}
	s->slot[i] = id;
	s->n++;
	return true;
}

unsigned trace_set_list(const struct trace_set *s, uint64_t *out, unsigned max)
{
	unsigned i, n = 0;

	for (i = 0; i < TRACE_IDS_MAX && n < max; i++)
		if (s->slot[i])
			out[n++] = s->slot[i];
	return n;
}

static bool is_call(const struct trace_record *r)
{
	return r->what == TRACE_CALL_STARTED || r->what == TRACE_CALL_ANSWERED ||
	       r->what == TRACE_CALL_ENDED;
}

static bool is_media(const struct trace_record *r)
{
	return r->what >= TRACE_MEDIUM_OPEN && r->what <= TRACE_FLOW_FREED;
}

static bool is_registering(const struct trace_record *r)
{
	return r->what == TRACE_REGISTERED ||
	       (r->what == TRACE_SIP && !__builtin_memcmp(r->text, "REGISTER ", 9));
}

void trace_relate(void *query, const struct trace_record *r)
{
	struct trace_query *q = query;

	if (r->user && is_registering(r))
		trace_set_add(q, &q->others, r->user);
	if (is_call(r) && (trace_set_has(&q->calls, r->call) ||
			   (!q->by_user && trace_set_has(&q->dialogs, r->dialog)))) {
		trace_set_add(q, &q->users, r->user);
		trace_set_add(q, &q->calls, r->call);
		trace_set_add(q, &q->dialogs, r->dialog);
		trace_set_add(q, &q->streams, r->stream);
	}
	if (q->by_user && trace_set_has(&q->users, r->user)) {
		q->found = true;
		trace_set_add(q, &q->streams, r->stream);
		trace_set_add(q, &q->calls, r->call);
		trace_set_add(q, &q->dialogs, r->dialog);
	}
	if (q->by_user && r->what == TRACE_SIP && trace_set_has(&q->streams, r->stream) &&
	    !trace_set_has(&q->others, r->user))
		trace_set_add(q, &q->dialogs, r->dialog); /* whatever the call server calls him */
	if (is_media(r) && (trace_set_has(&q->calls, r->call) || trace_set_has(&q->flows, r->call)))
		trace_set_add(q, &q->flows, r->flow);
}

static bool sip_wanted(const struct trace_query *q, const struct trace_record *r)
{
	if (!trace_set_has(&q->users, r->user) && trace_set_has(&q->others, r->user))
		return false;
	if (trace_set_has(&q->dialogs, r->dialog))
		return true;
	return q->by_user &&
	       (trace_set_has(&q->users, r->user) || trace_set_has(&q->streams, r->stream));
}

bool trace_wanted(const struct trace_query *q, const struct trace_record *r)
{
	if (r->what == TRACE_SIP)
		return sip_wanted(q, r);
	if (trace_set_has(&q->calls, r->call) || trace_set_has(&q->flows, r->call) ||
	    trace_set_has(&q->flows, r->flow))
		return true;
	if (r->user)
		return q->by_user && trace_set_has(&q->users, r->user);
	return trace_set_has(&q->streams, r->stream) && !r->call;
}
