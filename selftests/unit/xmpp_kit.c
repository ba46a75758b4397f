/* selftests/unit/xmpp_kit.c -- read an XMPP stream in any split. See xmpp_kit.h. */
#include "selftests/unit/xmpp_kit.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#define LIMITS_STRANGER                                                                           \
	{                                                                                         \
		.header = 2048, .stanza = 16 << 10, .token = 4096, .attr_bytes = 1024,            \
		.memory = 64 << 10, .total = 64 << 10, .depth = 16, .attrs = 16, .namespaces = 16 \
	}

const struct xmpp_setup kit_client = {.limits = LIMITS_STRANGER, .salt = 1};
const struct xmpp_setup kit_answer = {.role = XMPP_RECEIVING, .limits = LIMITS_STRANGER, .salt = 1};
const struct xmpp_setup kit_server = {.server = true, .limits = LIMITS_STRANGER, .salt = 1};

struct log {
	char *p;
	size_t n, cap;
	uint64_t space_at, space_n;
	uint64_t next; /* where the next event begins: together they are the stream */
};

static void put(struct log *l, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
static void put(struct log *l, const char *fmt, ...)
{
	va_list ap;
	int n;

	va_start(ap, fmt);
	n = vsnprintf(l->p + l->n, l->cap - l->n, fmt, ap);
	va_end(ap);
	l->n = n > 0 && (size_t)n < l->cap - l->n ? l->n + (size_t)n : l->cap - 1;
}

static void put_span(struct log *l, const char *name, struct span s)
{
	if (s.n)
		put(l, " %s=%.*s", name, (int)(s.n < 200 ? s.n : 200), (const char *)s.p);
}

static void put_space(struct log *l)
{
	if (l->space_n)
		put(l, "space %llu+%llu\n", (unsigned long long)l->space_at,
		    (unsigned long long)l->space_n);
	l->space_n = 0;
}

static void put_event(struct log *l, const struct xmpp_event *e)
{
	static const char *const kinds[] = {"more", "open", "stanza", "space", "close", "refused"};
	unsigned i;

	if (e->kind != XMPP_REFUSED && (e->offset != l->next || e->length == 0))
		abort();
	l->next = e->offset + e->length;
	if (e->kind == XMPP_SPACE) {
		if (!l->space_n)
			l->space_at = e->offset;
		l->space_n += e->length;
		return;
	}
	put_space(l);
	if (e->kind == XMPP_MORE)
		return;
	put(l, "%s %llu+%llu", kinds[e->kind], (unsigned long long)e->offset,
	    (unsigned long long)e->length);
	put_span(l, "to", e->open.to);
	put_span(l, "domain", xmpp_domain_span(&e->to));
	put_span(l, "from", e->open.from);
	put_span(l, "id", e->open.id);
	put_span(l, "version", e->open.version);
	put_span(l, "lang", e->open.lang);
	if (e->kind == XMPP_STANZA) {
		put(l, " %s", xmpp_element_name(e->element));
		put_span(l, "name", e->name);
		put_span(l, "ns", e->ns);
		put(l, " inner=%llu+%llu", (unsigned long long)e->inner,
		    (unsigned long long)e->inner_length);
		for (i = 0; i < e->n_attrs; i++) {
			put_span(l, "attr", e->attrs[i].name);
			put_span(l, "value", e->attrs[i].value);
		}
	}
	if (e->kind == XMPP_REFUSED)
		put(l, " %s %s", xmpp_why_text(e->why), xmpp_why_condition(e->why));
	put_span(l, "text", e->text);
	put(l, "\n");
}

static bool restarts(const struct xmpp_event *e)
{
	return e->kind == XMPP_STANZA &&
	       (e->element == XMPP_E_STARTTLS || e->element == XMPP_E_PROCEED ||
		e->element == XMPP_E_SUCCESS || e->element == XMPP_E_COMPRESS);
}

static size_t cut_next(const struct kit_way *way, uint32_t *seed, size_t left)
{
	size_t n = left;

	if (way->cut == KIT_BYTES)
		n = 1;
	else if (way->cut == KIT_RANDOM) {
		*seed = *seed * 1664525 + 1013904223;
		n = 1 + (*seed >> 16) % 40;
	}
	return n < left ? n : left;
}

/* All events of one cut. */
static enum xmpp_event_kind cut_read(struct xmpp_reader *r, struct span in,
				     const struct kit_way *way, struct log *l)
{
	struct xmpp_event e;
	enum xmpp_event_kind kind;

	do {
		kind = xmpp_reader_next(r, in, &e);
		if (e.used > in.n || r->heap > r->setup.limits.memory)
			abort();
		if (kind != XMPP_MORE)
			put_event(l, &e);
		in = span_cut(in, e.used, in.n);
		if (restarts(&e) && way->restart && xmpp_reader_restart(r))
			abort();
		if (way->rest)
			xmpp_reader_rest(r);
	} while (kind != XMPP_MORE && kind != XMPP_CLOSE && kind != XMPP_REFUSED);
	if (kind == XMPP_MORE && in.n)
		abort();
	return kind;
}

enum xmpp_event_kind kit_read(const struct xmpp_setup *setup, struct span in,
			      const struct kit_way *way, char *log, size_t cap)
{
	struct log l = {.p = log, .cap = cap};
	enum xmpp_event_kind kind = XMPP_MORE;
	uint32_t seed = way->seed;
	struct xmpp_reader *r = malloc(sizeof(*r));
	uint8_t *block;
	size_t at = 0, n;

	if (!r)
		abort();
	xmpp_reader_init(r, setup);
	log[0] = 0;
	while (at < in.n && kind != XMPP_CLOSE && kind != XMPP_REFUSED) {
		n = cut_next(way, &seed, in.n - at);
		block = malloc(n);
		if (!block)
			abort();
		memcpy(block, in.p + at, n);
		kind = cut_read(r, span_of(block, n), way, &l);
		free(block);
		at += n;
	}
	put_space(&l);
	xmpp_reader_fini(r);
	if (r->heap != 0)
		abort();
	free(r);
	return kind;
}
