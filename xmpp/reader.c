/* xmpp/reader.c -- one direction of an XMPP stream: where tags end, limits, events. See reader.h.
 *
 * In: bytes. Out: pieces for expat (expat.c), cut at fixed places of the stream, and events. The scanner only finds the
 * end of each tag: a '>' outside of quotes. In XML that expat takes it cannot be wrong, since '<' may stand nowhere but at
 * the start of a tag or in CDATA, and quotes in a tag only around attribute values. */
#include "xmpp/reader_int.h"

#include <errno.h>

const struct xmpp_limits xmpp_limits_stranger = {
	.header = 2048,
	.stanza = 16 << 10,
	.token = 4096,
	.attr_bytes = 1024,
	.memory = 64 << 10,
	.total = 64 << 10,
	.depth = 16,
	.attrs = 16,
	.namespaces = 16,
};

const struct xmpp_limits xmpp_limits_known = {
	.header = 4096,
	.stanza = 1 << 20,
	.token = 64 << 10,
	.attr_bytes = 32 << 10,
	.memory = 512 << 10,
	.total = 0,
	.depth = 128,
	.attrs = 64,
	.namespaces = 128,
};

static const struct {
	const char *text, *condition;
} whys[XMPP_WHYS] = {
	[XMPP_OK] = {"ok", "undefined-condition"},
	[XMPP_WHY_XML] = {"not-well-formed", "not-well-formed"},
	[XMPP_WHY_UTF8] = {"utf-8", "unsupported-encoding"},
	[XMPP_WHY_ENCODING] = {"encoding", "unsupported-encoding"},
	[XMPP_WHY_XML_VERSION] = {"xml-version", "not-well-formed"},
	[XMPP_WHY_PREFIX] = {"prefix", "bad-namespace-prefix"},
	[XMPP_WHY_DOCTYPE] = {"document-type", "restricted-xml"},
	[XMPP_WHY_ENTITY] = {"entity", "restricted-xml"},
	[XMPP_WHY_COMMENT] = {"comment", "restricted-xml"},
	[XMPP_WHY_PI] = {"processing-instruction", "restricted-xml"},
	[XMPP_WHY_ROOT] = {"no-stream-header", "bad-format"},
	[XMPP_WHY_NAMESPACE] = {"namespace", "invalid-namespace"},
	[XMPP_WHY_VERSION] = {"version", "unsupported-version"},
	[XMPP_WHY_TO] = {"to", "improper-addressing"},
	[XMPP_WHY_FROM] = {"from", "invalid-from"},
	[XMPP_WHY_ID] = {"id", "bad-format"},
	[XMPP_WHY_LANG] = {"lang", "bad-format"},
	[XMPP_WHY_TEXT] = {"text-between-stanzas", "bad-format"},
	[XMPP_WHY_HEADER_BYTES] = {"header-bytes", "policy-violation"},
	[XMPP_WHY_STANZA_BYTES] = {"stanza-bytes", "policy-violation"},
	[XMPP_WHY_TOTAL_BYTES] = {"total-bytes", "policy-violation"},
	[XMPP_WHY_TOKEN_BYTES] = {"token-bytes", "policy-violation"},
	[XMPP_WHY_DEPTH] = {"depth", "policy-violation"},
	[XMPP_WHY_ATTRS] = {"attributes", "policy-violation"},
	[XMPP_WHY_ATTR_BYTES] = {"attribute-bytes", "policy-violation"},
	[XMPP_WHY_NAMESPACES] = {"namespaces", "policy-violation"},
	[XMPP_WHY_MEMORY] = {"memory", "resource-constraint"},
};

const char *xmpp_why_text(enum xmpp_why why)
{
	return (unsigned)why < XMPP_WHYS ? whys[why].text : "unknown";
}

const char *xmpp_why_condition(enum xmpp_why why)
{
	return (unsigned)why < XMPP_WHYS ? whys[why].condition : "undefined-condition";
}

/* ---- scanner ---- */

enum scan {
	SCAN_TEXT,
	SCAN_LT,   /* behind < */
	SCAN_TAG,  /* in a tag */
	SCAN_QUOT, /* in an attribute value in "" */
	SCAN_APOS, /* in '' */
	SCAN_PI, /* in the XML declaration, or what stands in its place: quotes count for nothing there */
	SCAN_PI_1, /* behind ? */
	SCAN_BANG, /* behind <! */
	SCAN_CDATA,
	SCAN_CDATA_1, /* behind ] */
	SCAN_CDATA_2, /* behind ]] */
};

static bool is_space(uint8_t c)
{
	return c == ' ' || c == '\t' || c == '\r' || c == '\n';
}

/* Behind "<!": a CDATA section inside a stanza, or something that no stream may hold (RFC 6120 11.1). */
static enum scan scan_bang(struct xmpp_reader *r, uint8_t c)
{
	if (c == '-')
		xmpp_refuse(r, XMPP_WHY_COMMENT, "wanted no comment");
	else if (c != '[')
		xmpp_refuse(r, XMPP_WHY_DOCTYPE, "wanted no document type");
	else if (!r->open)
		xmpp_refuse(r, XMPP_WHY_XML, "wanted a stream header, came a CDATA section");
	else if (r->depth <= 1)
		xmpp_refuse(r, XMPP_WHY_TEXT, "wanted a stanza, came a CDATA section");
	return SCAN_CDATA;
}

static enum scan scan_tag(uint8_t c)
{
	return c == '>' ? SCAN_TEXT : c == '"' ? SCAN_QUOT : c == '\'' ? SCAN_APOS : SCAN_TAG;
}

/* Take @c; true: it ends a tag. */
static bool scan_next(struct xmpp_reader *r, uint8_t c)
{
	enum scan was = r->scan;

	switch (was) {
	case SCAN_TEXT:
		if (c == '<') {
			r->scan = SCAN_LT;
			r->tag = r->at;
		}
		return false;
	case SCAN_LT:
		if (c == '!') {
			r->scan = SCAN_BANG;
			return false;
		}
		/* Only the XML declaration, and that only as the first thing. */
		if (c == '?') {
			if (r->open || r->tag != r->mark)
				xmpp_refuse(r, XMPP_WHY_PI, "wanted no processing instruction");
			r->scan = SCAN_PI;
			return false;
		}
		r->scan = scan_tag(c);
		return r->scan == SCAN_TEXT;
	case SCAN_TAG:
		r->scan = scan_tag(c);
		return r->scan == SCAN_TEXT;
	case SCAN_QUOT:
	case SCAN_APOS:
		if (c == (was == SCAN_QUOT ? '"' : '\''))
			r->scan = SCAN_TAG;
		return false;
	case SCAN_PI:
	case SCAN_PI_1:
		r->scan = c == '?' ? SCAN_PI_1 : c == '>' && was == SCAN_PI_1 ? SCAN_TEXT : SCAN_PI;
		return r->scan == SCAN_TEXT;
	case SCAN_BANG:
		r->scan = scan_bang(r, c);
		return false;
	case SCAN_CDATA:
	case SCAN_CDATA_1:
		r->scan = c != ']' ? SCAN_CDATA : was == SCAN_CDATA ? SCAN_CDATA_1 : SCAN_CDATA_2;
		return false;
	case SCAN_CDATA_2:
		r->scan = c == '>' ? SCAN_TEXT : c == ']' ? SCAN_CDATA_2 : SCAN_CDATA;
		return false;
	}
	return false;
}

/* ---- limits ---- */

static bool over_total(struct xmpp_reader *r)
{
	uint64_t max = r->setup.limits.total;

	if (!max || r->at < max)
		return false;
	xmpp_refuse(r, XMPP_WHY_TOTAL_BYTES,
		    "wanted at most %llu bytes before authentication, came more",
		    (unsigned long long)max);
	return true;
}

static bool over_bytes(struct xmpp_reader *r)
{
	size_t max = r->open ? r->setup.limits.stanza : r->setup.limits.header;

	if (over_total(r))
		return true;
	if (r->at - r->mark < max)
		return false;
	xmpp_refuse(r, r->open ? XMPP_WHY_STANZA_BYTES : XMPP_WHY_HEADER_BYTES,
		    "wanted a %s of at most %zu bytes, came more",
		    r->open ? "stanza" : "stream header", max);
	return true;
}

/* May @c be the next byte? True: it is looked at by the scanner and *end tells whether a tag ends with it. */
static bool byte_take(struct xmpp_reader *r, uint8_t c, bool *end)
{
	if (over_bytes(r))
		return false;
	if (r->at == r->mark && c != '<' && (r->open || !is_space(c))) {
		xmpp_refuse(r, r->open ? XMPP_WHY_TEXT : XMPP_WHY_XML,
			    "wanted '<' or white space, came byte 0x%02x", c);
		return false;
	}
	if (!utf8_byte(&r->utf8, c))
		xmpp_refuse(r, XMPP_WHY_UTF8, "wanted UTF-8, came byte 0x%02x", c);
	/* With a NUL expat could take the document for UTF-16. */
	else if (c == 0)
		xmpp_refuse(r, XMPP_WHY_XML, "wanted XML characters, came a NUL");
	else
		*end = scan_next(r, c);
	return r->why == XMPP_OK;
}

/* ---- events ---- */

static struct span stored(const struct xmpp_reader *r, uint32_t at, uint32_t n)
{
	return n ? span_of(r->store + at, n) : (struct span){};
}

static struct span open_field(const struct xmpp_reader *r, enum xmpp_open_field f)
{
	return stored(r, r->attrs[f].value, r->attrs[f].value_n);
}

static void event_open(struct xmpp_reader *r, struct xmpp_event *out)
{
	enum xmpp_jid_why why;

	r->open = true;
	r->prime[r->prime_n++] = '>'; /* prime_add() left room */
	out->open = (struct xmpp_header){
		.to = open_field(r, XMPP_OPEN_TO),
		.from = open_field(r, XMPP_OPEN_FROM),
		.id = open_field(r, XMPP_OPEN_ID),
		.version = open_field(r, XMPP_OPEN_VERSION),
		.lang = open_field(r, XMPP_OPEN_LANG),
		.server = r->setup.server,
	};
	out->namespaces = r->namespaces;
	if (r->setup.role == XMPP_INITIATING)
		xmpp_domain_parse(out->open.to, &out->to, &why);
}

static void event_stanza(struct xmpp_reader *r, struct xmpp_event *out)
{
	unsigned i;

	out->element = r->element;
	out->ns = stored(r, 0, r->ns_n);
	out->name = stored(r, r->ns_n, r->name_n);
	out->n_attrs = r->n_attrs;
	for (i = 0; i < r->n_attrs; i++) {
		out->attrs[i].name = stored(r, r->attrs[i].name, r->attrs[i].name_n);
		out->attrs[i].value = stored(r, r->attrs[i].value, r->attrs[i].value_n);
	}
	out->inner = r->inner;
	out->inner_length = r->inner_length;
	/* New names stay in expat until it is made anew. */
	if (r->heap > r->setup.limits.memory / 2)
		xmpp_expat_drop(r);
}

static void heap_free(struct xmpp_reader *r)
{
	xmpp_expat_drop(r);
	xmpp_memory_free(r, r->prime);
	xmpp_memory_free(r, r->store);
	r->prime = r->store = NULL;
	r->prime_n = r->prime_cap = r->store_n = r->store_cap = 0;
}

static enum xmpp_event_kind refused(struct xmpp_reader *r, struct xmpp_event *out)
{
	heap_free(r);
	out->kind = XMPP_REFUSED;
	out->offset = r->at;
	out->why = r->why;
	out->text = span_of(r->text, r->text_n);
	return XMPP_REFUSED;
}

static enum xmpp_event_kind event(struct xmpp_reader *r, struct xmpp_event *out)
{
	out->kind = r->pending;
	out->offset = r->mark;
	out->length = r->at - r->mark;
	r->between = true;
	if (out->kind == XMPP_OPEN)
		event_open(r, out);
	else if (out->kind == XMPP_STANZA)
		event_stanza(r, out);
	else {
		r->closed = true;
		heap_free(r);
	}
	return out->kind;
}

static enum xmpp_event_kind space_next(struct xmpp_reader *r, struct span in,
				       struct xmpp_event *out)
{
	out->offset = r->at;
	while (out->used < in.n && is_space(in.p[out->used]) && !over_total(r)) {
		out->used++;
		r->at++;
	}
	out->length = out->used;
	/* A refusal comes with the next call, at its own offset. */
	if (out->used) {
		out->kind = XMPP_SPACE;
		return XMPP_SPACE;
	}
	return r->why == XMPP_OK ? XMPP_MORE : refused(r, out);
}

/* Give expat what waits and in[from..to). */
static int piece_feed(struct xmpp_reader *r, struct span in, size_t from, size_t to)
{
	size_t n = to - from;

	if (r->piece_n == 0)
		return xmpp_expat_feed(r, in.p + from, n);
	memcpy(r->piece + r->piece_n, in.p + from, n);
	n += r->piece_n;
	r->piece_n = 0;
	return xmpp_expat_feed(r, r->piece, n);
}

enum xmpp_event_kind xmpp_reader_next(struct xmpp_reader *r, struct span in, struct xmpp_event *out)
{
	size_t from = 0;
	bool end = false;

	*out = (struct xmpp_event){};
	if (r->why != XMPP_OK)
		return refused(r, out);
	if (r->closed) {
		out->kind = XMPP_CLOSE;
		out->offset = r->at;
		return XMPP_CLOSE;
	}
	if (r->between) {
		if (in.n == 0 || space_next(r, in, out) != XMPP_MORE)
			return out->kind;
		r->between = false;
		r->mark = r->at;
	}
	while (out->used < in.n) {
		if (!byte_take(r, in.p[out->used], &end))
			return refused(r, out);
		out->used++;
		r->at++;
		if (!end && r->piece_n + (out->used - from) < XMPP_PIECE)
			continue;
		if (piece_feed(r, in, from, out->used))
			return refused(r, out);
		from = out->used;
		if (r->pending != XMPP_MORE)
			return event(r, out);
	}
	if (from < in.n)
		memcpy(r->piece + r->piece_n, in.p + from, in.n - from);
	r->piece_n = (uint16_t)(r->piece_n + (in.n - from));
	return XMPP_MORE;
}

/* ---- the rest ---- */

void xmpp_reader_init(struct xmpp_reader *r, const struct xmpp_setup *setup)
{
	*r = (struct xmpp_reader){.setup = *setup};
}

void xmpp_reader_fini(struct xmpp_reader *r)
{
	heap_free(r);
}

int xmpp_reader_restart(struct xmpp_reader *r)
{
	if (!r->between || r->closed || r->why != XMPP_OK)
		return -EINVAL;
	heap_free(r);
	r->open = r->between = r->content = false;
	r->depth = r->namespaces = 0;
	r->mark = r->at;
	return 0;
}

void xmpp_reader_limits(struct xmpp_reader *r, const struct xmpp_limits *limits)
{
	r->setup.limits = *limits;
}

bool xmpp_reader_rest(struct xmpp_reader *r)
{
	if (!r->between || r->closed || r->why != XMPP_OK)
		return false;
	xmpp_expat_drop(r);
	xmpp_memory_free(r, r->store);
	r->store = NULL;
	r->store_n = r->store_cap = 0;
	return true;
}

struct span xmpp_reader_context(const struct xmpp_reader *r)
{
	return r->open ? span_of(r->prime, r->prime_n) : (struct span){};
}

struct span xmpp_event_attr(const struct xmpp_event *e, struct span name)
{
	unsigned i;

	for (i = 0; i < e->n_attrs; i++)
		if (span_eq(e->attrs[i].name, name))
			return e->attrs[i].value;
	return (struct span){};
}
