/* sip/record.c -- see record.h. In: owners that changed. Out: ENGINE_KEEP and ENGINE_FORGET, and the bytes of a record. Owns the list of
 * what changed in this turn; the owners' nodes are in it. */
#include "sip/record.h"

#include <errno.h>
#include <stdlib.h>

/* ---- bytes ---- */

void record_put(struct record_out *o, uint64_t v, unsigned bytes)
{
	unsigned i;

	if (o->cap - o->n < bytes) {
		o->overflow = true;
		return;
	}
	for (i = 0; i < bytes; i++)
		o->p[o->n++] = (uint8_t)(v >> 8 * i);
}

void record_put_bytes(struct record_out *o, const void *p, size_t n)
{
	if (o->cap - o->n < n) {
		o->overflow = true;
		return;
	}
	memcpy(o->p + o->n, p, n);
	o->n += n;
}

void record_put_span(struct record_out *o, struct span s)
{
	if (s.n > UINT16_MAX)
		o->overflow = true;
	record_put(o, s.n, 2);
	record_put_bytes(o, s.p, s.n);
}

void record_put_text(struct record_out *o, const char *s)
{
	record_put_span(o, span_str(s ? s : ""));
}

void record_put_addr(struct record_out *o, const struct addr *a)
{
	record_put_bytes(o, a->ip, sizeof(a->ip));
	record_put(o, a->port, 2);
}

static const uint8_t *record_take(struct record_in *in, size_t n)
{
	const uint8_t *p = in->p;

	if (in->bad || in->n < n) {
		in->bad = true;
		return NULL;
	}
	in->p += n;
	in->n -= n;
	return p;
}

uint64_t record_get(struct record_in *in, unsigned bytes)
{
	const uint8_t *p = record_take(in, bytes);
	uint64_t v = 0;
	unsigned i;

	for (i = 0; p && i < bytes; i++)
		v |= (uint64_t)p[i] << 8 * i;
	return v;
}

char *record_get_text(struct record_in *in, size_t max)
{
	size_t n = record_get(in, 2);
	const uint8_t *p = record_take(in, n);
	char *s;

	if (p && (n > max || memchr(p, 0, n)))
		in->bad = true;
	if (!p || !n || in->bad)
		return NULL;
	s = strndup((const char *)p, n);
	in->bad |= !s;
	return s;
}

struct span record_get_span(struct record_in *in)
{
	size_t n = record_get(in, 2);
	const uint8_t *p = record_take(in, n);

	return p ? span_of(p, n) : SPAN("");
}

void record_get_bytes(struct record_in *in, void *out, size_t n)
{
	const uint8_t *p = record_take(in, n);

	if (p)
		memcpy(out, p, n);
}

void record_get_addr(struct record_in *in, struct addr *a)
{
	record_get_bytes(in, a->ip, sizeof(a->ip));
	a->port = (uint16_t)record_get(in, 2);
}

int record_get_server(struct engine *e, struct record_in *in)
{
	char *name = record_get_text(in, 256);
	unsigned i;

	for (i = 0; name && i < e->c.n_servers; i++)
		if (strcmp(name, e->c.servers[i].name) == 0)
			break;
	free(name);
	return name && i < e->c.n_servers ? (int)i : -1;
}

/* ---- what changed ---- */

void record_touch(struct engine *e, struct record *r)
{
	if (!e->c.keep || r->queued)
		return;
	r->queued = true;
	r->next = e->touched;
	e->touched = r;
}

void record_unlink(struct engine *e, struct record *r)
{
	struct record **pp = &e->touched;

	if (!r->queued)
		return;
	while (*pp != r)
		pp = &(*pp)->next;
	*pp = r->next;
	r->queued = false;
}

void record_forget(struct engine *e, struct record *r)
{
	struct engine_action *a;

	record_unlink(e, r);
	if (!r->kept)
		return;
	a = engine_action(e, ENGINE_FORGET, SPAN(""));
	if (!a)
		return;
	a->record = r->kind;
	a->id = r->id;
	r->kept = false;
}

static bool record_write(struct engine *e, const struct record *r, struct record_out *o)
{
	switch (r->kind) {
	case ENGINE_RECORD_BINDING:
		return binding_record(e, r, o);
	case ENGINE_RECORD_CALL:
		return call_record(e, r, o);
	case ENGINE_RECORD_INVITE:
		return txn_record(e, r, o);
	case ENGINE_RECORDS:
		break;
	}
	return false;
}

bool record_next(struct engine *e, struct engine_action *out)
{
	struct record *r;

	while ((r = e->touched)) {
		struct record_out o = {.p = e->record, .cap = RECORD_MAX};

		e->touched = r->next;
		r->queued = false;
		if (!record_write(e, r, &o))
			continue; /* not one that is kept, yet */
		if (o.overflow) {
			e->stats.not_kept[r->kind] += !r->refused;
			r->refused = true;
			continue;
		}
		r->kept = true;
		*out = (struct engine_action){.kind = ENGINE_KEEP,
					      .record = r->kind,
					      .id = r->id,
					      .data = span_of(o.p, o.n)};
		return true;
	}
	return false;
}

int engine_restore(struct engine *e, enum engine_record kind, uint64_t id, struct span data,
		   uint64_t now_ms)
{
	struct record_in in = {.p = data.p, .n = data.n};

	e->now = now_ms;
	switch (kind) {
	case ENGINE_RECORD_BINDING:
		return binding_restore(e, id, &in);
	case ENGINE_RECORD_CALL:
		return call_restore(e, id, &in);
	case ENGINE_RECORD_INVITE:
		return txn_restore(e, id, &in);
	case ENGINE_RECORDS:
		break;
	}
	return -EBADMSG;
}
