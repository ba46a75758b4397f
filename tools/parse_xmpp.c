/* tools/parse_xmpp.c -- tools/parse of XMPP streams. See parse_xmpp.h.
 *
 * In: a whole file, read twice: first for the verdict, then for the lines below it. Out: those lines. The reader is the
 * daemons' own. */
#include "tools/parse_xmpp.h"

#include <stdio.h>

#include "xmpp/reader.h"

static void put_header(const struct xmpp_event *e)
{
	parse_put_some("    ", "to", e->open.to);
	if (e->to.n)
		parse_put("    ", "domain", xmpp_domain_span(&e->to));
	parse_put_some("    ", "from", e->open.from);
	parse_put_some("    ", "id", e->open.id);
	parse_put_some("    ", "version", e->open.version);
	parse_put_some("    ", "lang", e->open.lang);
}

static void put_stanza(const struct xmpp_event *e)
{
	unsigned i;

	parse_put_some("    ", "namespace", e->ns);
	if (e->element != XMPP_E_OTHER)
		printf("    known as: %s\n", xmpp_element_name(e->element));
	printf("    inside: %llu %llu\n", (unsigned long long)e->inner,
	       (unsigned long long)e->inner_length);
	for (i = 0; i < e->n_attrs; i++) {
		parse_put("    ", "attribute", e->attrs[i].name);
		parse_put("      ", "value", e->attrs[i].value);
	}
}

static void put_event(const struct xmpp_event *e, bool verbose)
{
	static const char *const kinds[] = {"more", "open", "stanza", "space", "close", "refused"};

	if (e->kind == XMPP_REFUSED) {
		printf("  refused: %llu %s\n", (unsigned long long)e->offset,
		       xmpp_why_condition(e->why));
		parse_put("    ", "text", e->text);
		return;
	}
	printf("  %s: %llu %llu", kinds[e->kind], (unsigned long long)e->offset,
	       (unsigned long long)e->length);
	if (e->kind == XMPP_STANZA)
		parse_put(" ", "name", e->name);
	else
		putchar('\n');
	if (verbose && e->kind == XMPP_OPEN)
		put_header(e);
	if (verbose && e->kind == XMPP_STANZA)
		put_stanza(e);
}

static bool header_begins(struct span in)
{
	return span_eq(span_cut(in, 0, 5), SPAN("<?xml")) ||
	       span_eq(span_cut(in, 0, 14), SPAN("<stream:stream"));
}

/* Read all of @in. Returns why it is no accepted stream, or NULL; *out_end gets the end of the last whole event. */
static const char *stream_read(struct span in, const struct xmpp_setup *setup, bool print,
			       bool verbose, size_t *out_end)
{
	struct xmpp_reader r;
	struct xmpp_event e;
	enum xmpp_event_kind kind;
	size_t at = 0;

	*out_end = 0;
	xmpp_reader_init(&r, setup);
	do {
		/* White space before a header that begins a document is part of neither. */
		if (r.between && r.open && header_begins(span_cut(in, at, in.n)))
			xmpp_reader_restart(&r);
		kind = xmpp_reader_next(&r, span_cut(in, at, in.n), &e);
		at += e.used;
		if (kind != XMPP_MORE && kind != XMPP_REFUSED)
			*out_end = at;
		if (print && kind != XMPP_MORE)
			put_event(&e, verbose);
	} while (kind == XMPP_OPEN || kind == XMPP_STANZA || kind == XMPP_SPACE);
	xmpp_reader_fini(&r);
	if (kind == XMPP_REFUSED)
		return xmpp_why_text(e.why);
	if (*out_end == 0)
		return "incomplete";
	return kind == XMPP_MORE && at > *out_end ? "incomplete" : NULL;
}

void parse_xmpp(const char *file, struct span in, bool response, bool server, bool verbose)
{
	const struct xmpp_setup setup = {
		.role = response ? XMPP_RECEIVING : XMPP_INITIATING,
		.server = server,
		.limits = xmpp_limits_known,
		.salt = 1,
	};
	size_t end;
	const char *refused = stream_read(in, &setup, false, verbose, &end);

	parse_verdict(file, refused, end);
	stream_read(in, &setup, true, verbose, &end);
}
