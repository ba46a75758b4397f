/* xmpp/expat.c -- expat under the stream reader: its handlers, its memory. See reader.h.
 *
 * In: pieces of a document that reader.c cut. Out: depth, names and attributes in struct xmpp_reader, and the event that a
 * piece completed. All heap is counted for each reader and bounded by limits.memory; expat keeps every element and
 * attribute name that it ever saw, so without that a stream of new names would grow for ever. */
#include "xmpp/reader_int.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

/* Distributions brought the function to versions before 2.6.0, and a program that was built without it may run with a
 * library that has it, and defers: so neither the header nor a version tells, only the library that is there. One without
 * the function never defers. */
extern XML_Bool XML_SetReparseDeferralEnabled(XML_Parser parser, XML_Bool enabled)
	__attribute__((weak));

/* ---- memory ---- */

union block { /* in front of each allocation */
	size_t n;
	max_align_t align;
};

/* expat's allocator is not told for whom: the reader that this thread is working for. Set around each call of expat. */
static _Thread_local struct xmpp_reader *counted;

void *xmpp_memory_grow(struct xmpp_reader *r, void *p, size_t n)
{
	union block *b = p ? (union block *)p - 1 : NULL;
	size_t old = b ? b->n : 0, now = n + sizeof(*b), max = r->setup.limits.memory;

	if (now < n || (now > old && (r->heap >= max || now - old > max - r->heap)))
		return NULL;
	b = realloc(b, now);
	if (!b)
		return NULL;
	b->n = now;
	r->heap += now - old;
	if (r->heap > r->heap_peak)
		r->heap_peak = r->heap;
	return b + 1;
}

void xmpp_memory_free(struct xmpp_reader *r, void *p)
{
	union block *b = p ? (union block *)p - 1 : NULL;

	if (!b)
		return;
	r->heap -= b->n;
	free(b);
}

static void *memory_malloc(size_t n)
{
	return xmpp_memory_grow(counted, NULL, n);
}

static void *memory_realloc(void *p, size_t n)
{
	return xmpp_memory_grow(counted, p, n);
}

static void memory_free(void *p)
{
	xmpp_memory_free(counted, p);
}

static const XML_Memory_Handling_Suite memory = {memory_malloc, memory_realloc, memory_free};

/* Room for @n more bytes behind the @used of *p. */
static bool room(struct xmpp_reader *r, char **p, size_t used, size_t *cap, size_t n)
{
	size_t want = used + n;
	char *q;

	if (want <= *cap)
		return true;
	q = xmpp_memory_grow(r, *p, want);
	if (!q) {
		xmpp_refuse(r, XMPP_WHY_MEMORY, "wanted at most %zu bytes of memory",
			    r->setup.limits.memory);
		return false;
	}
	*p = q;
	*cap = want;
	return true;
}

bool xmpp_store(struct xmpp_reader *r, struct span s, uint32_t *at)
{
	if (!room(r, &r->store, r->store_n, &r->store_cap, s.n))
		return false;
	if (s.n)
		memcpy(r->store + r->store_n, s.p, s.n);
	*at = (uint32_t)r->store_n;
	r->store_n += s.n;
	return true;
}

/* ---- refusals ---- */

void xmpp_refuse(struct xmpp_reader *r, enum xmpp_why why, const char *fmt, ...)
{
	va_list ap;
	size_t i;
	int n;

	if (r->why != XMPP_OK)
		return;
	r->why = why;
	va_start(ap, fmt);
	n = vsnprintf(r->text, sizeof(r->text), fmt, ap);
	va_end(ap);
	r->text_n = (uint16_t)(n < 0			     ? 0
			       : (size_t)n < sizeof(r->text) ? (size_t)n
							     : sizeof(r->text) - 1);
	for (i = 0; i < r->text_n; i++)
		if (r->text[i] < 0x20 || r->text[i] > 0x7e)
			r->text[i] = '?';
	if (r->parser)
		XML_StopParser(r->parser, XML_FALSE);
}

static void refuse_error(struct xmpp_reader *r, enum XML_Error e)
{
	switch (e) {
	case XML_ERROR_UNBOUND_PREFIX:
		xmpp_refuse(r, XMPP_WHY_PREFIX,
			    "wanted declared namespace prefixes, came one that is not");
		break;
	case XML_ERROR_UNDEFINED_ENTITY:
		xmpp_refuse(r, XMPP_WHY_ENTITY,
			    "wanted &amp; &lt; &gt; &quot; &apos;, came another entity");
		break;
	case XML_ERROR_NO_MEMORY:
		xmpp_refuse(r, XMPP_WHY_MEMORY, "wanted at most %zu bytes of memory",
			    r->setup.limits.memory);
		break;
	default:
		xmpp_refuse(r, XMPP_WHY_XML, "wanted well-formed XML, came: %s",
			    XML_ErrorString(e));
		break;
	}
}

/* ---- names ---- */

struct xmpp_qname xmpp_qname(const char *expat)
{
	struct xmpp_qname q = {.name = span_str(expat)};
	const char *sep = strchr(expat, '\n'), *second;

	if (!sep)
		return q;
	q.ns = span_of(expat, (size_t)(sep - expat));
	q.name = span_str(sep + 1);
	second = strchr(sep + 1, '\n');
	if (second) {
		q.name.n = (size_t)(second - sep - 1);
		q.prefix = span_str(second + 1);
	}
	return q;
}

/* ---- handlers ---- */

static void on_doctype(void *arg, const char *name, const char *sys, const char *pub, int subset)
{
	(void)sys, (void)pub, (void)subset;
	xmpp_refuse(arg, XMPP_WHY_DOCTYPE, "wanted no document type, came %.40s", name);
}

static void on_pi(void *arg, const char *target, const char *data)
{
	(void)data;
	xmpp_refuse(arg, XMPP_WHY_PI, "wanted no processing instruction, came %.40s", target);
}

static void on_comment(void *arg, const char *data)
{
	(void)data;
	xmpp_refuse(arg, XMPP_WHY_COMMENT, "wanted no comment");
}

static void on_declaration(void *arg, const char *version, const char *encoding, int standalone)
{
	(void)standalone;
	if (!version || strcmp(version, "1.0") != 0)
		xmpp_refuse(arg, XMPP_WHY_XML_VERSION, "wanted XML version 1.0, came %.20s",
			    version ? version : "none");
	else if (encoding && !span_ieq(span_str(encoding), SPAN("UTF-8")))
		xmpp_refuse(arg, XMPP_WHY_ENCODING, "wanted encoding UTF-8, came %.40s", encoding);
}

/* What the header declares is kept as a start tag, so that a parser that was given back can be made again. */
static void prime_add(struct xmpp_reader *r, const char *prefix, const char *uri)
{
	struct xmpp_out o;
	ssize_t n;

	if (!room(r, &r->prime, r->prime_n, &r->prime_cap,
		  32 + (prefix ? strlen(prefix) : 0) + 6 * strlen(uri)))
		return;
	xmpp_out_init(&o, r->prime + r->prime_n, r->prime_cap - r->prime_n);
	if (r->prime_n == 0)
		xmpp_out_raw(&o, SPAN("<stream:stream"));
	xmpp_out_raw(&o, SPAN(" xmlns"));
	if (prefix) {
		xmpp_out_raw(&o, SPAN(":"));
		xmpp_out_raw(&o, span_str(prefix));
	}
	xmpp_out_raw(&o, SPAN("='"));
	xmpp_out_escaped(&o, span_str(uri));
	xmpp_out_raw(&o, SPAN("'"));
	n = xmpp_out_end(&o);
	if (n < 0)
		xmpp_refuse(r, XMPP_WHY_XML, "wanted a namespace that can be written again");
	else
		r->prime_n += (size_t)n;
}

static void on_namespace(void *arg, const char *prefix, const char *uri)
{
	struct xmpp_reader *r = arg;

	if (r->why != XMPP_OK)
		return;
	if (++r->namespaces > r->setup.limits.namespaces) {
		xmpp_refuse(r, XMPP_WHY_NAMESPACES, "wanted at most %u namespace declarations",
			    r->setup.limits.namespaces);
		return;
	}
	if (r->depth || r->priming || !uri)
		return;
	if (!prefix)
		r->content = strcmp(uri, r->setup.server ? XMPP_NS_SERVER : XMPP_NS_CLIENT) == 0;
	prime_add(r, prefix, uri);
}

static void on_namespace_end(void *arg, const char *prefix)
{
	struct xmpp_reader *r = arg;

	(void)prefix;
	if (r->namespaces)
		r->namespaces--;
}

/* The tag that made an event is the end of the piece, or reader.c and expat do not read the same. */
static bool at_end_of_piece(struct xmpp_reader *r)
{
	XML_Index i = XML_GetCurrentByteIndex(r->parser);

	if (i >= 0 && (uint64_t)i + (unsigned)XML_GetCurrentByteCount(r->parser) == r->fed)
		return true;
	xmpp_refuse(r, XMPP_WHY_XML, "wanted the end of a tag where its bracket is");
	return false;
}

static bool element_within_limits(struct xmpp_reader *r, const char **atts)
{
	const struct xmpp_limits *l = &r->setup.limits;
	unsigned n = (unsigned)XML_GetSpecifiedAttributeCount(r->parser) / 2, i;
	size_t bytes = (size_t)XML_GetCurrentByteCount(r->parser);

	if (bytes > l->token)
		xmpp_refuse(r, XMPP_WHY_TOKEN_BYTES, "wanted a tag of at most %zu bytes, came %zu",
			    l->token, bytes);
	else if (r->depth > l->depth)
		xmpp_refuse(r, XMPP_WHY_DEPTH, "wanted at most %u elements inside each other",
			    l->depth);
	else if (n > l->attrs)
		xmpp_refuse(r, XMPP_WHY_ATTRS, "wanted at most %u attributes, came %u", l->attrs,
			    n);
	for (i = 0; i < n && r->why == XMPP_OK; i++) {
		bytes = strlen(atts[2 * i + 1]);
		if (bytes > l->attr_bytes)
			xmpp_refuse(r, XMPP_WHY_ATTR_BYTES,
				    "wanted an attribute of at most %zu bytes, came %zu",
				    l->attr_bytes, bytes);
	}
	return r->why == XMPP_OK;
}

static bool attr_kept(enum xmpp_element e, struct span name)
{
	switch (e) {
	case XMPP_E_OTHER:
		return false;
	case XMPP_E_IQ:
	case XMPP_E_MESSAGE:
	case XMPP_E_PRESENCE:
		return span_eq(name, SPAN("to")) || span_eq(name, SPAN("from")) ||
		       span_eq(name, SPAN("id")) || span_eq(name, SPAN("type"));
	default:
		return true;
	}
}

static void stanza_begin(struct xmpp_reader *r, const char *name, const char **atts)
{
	struct xmpp_qname q = xmpp_qname(name);
	struct span attr, value;
	uint32_t at;
	unsigned i;

	r->store_n = r->n_attrs = 0;
	r->inner = r->at;
	r->element = xmpp_element_find(q.ns, q.name);
	r->ns_n = (uint32_t)q.ns.n;
	r->name_n = (uint32_t)q.name.n;
	if (!xmpp_store(r, q.ns, &at) || !xmpp_store(r, q.name, &at))
		return;
	for (i = 0; atts[i]; i += 2) {
		attr = span_str(atts[i]);
		value = span_str(atts[i + 1]);
		if (strchr(atts[i], '\n') || !attr_kept(r->element, attr))
			continue;
		if (r->n_attrs == XMPP_ATTRS) {
			xmpp_refuse(r, XMPP_WHY_ATTRS, "wanted at most %u attributes of %s",
				    XMPP_ATTRS, xmpp_element_name(r->element));
			return;
		}
		if (!xmpp_store(r, attr, &r->attrs[r->n_attrs].name) ||
		    !xmpp_store(r, value, &r->attrs[r->n_attrs].value))
			return;
		r->attrs[r->n_attrs].name_n = (uint32_t)attr.n;
		r->attrs[r->n_attrs].value_n = (uint32_t)value.n;
		r->n_attrs++;
	}
}

static void on_start(void *arg, const char *name, const char **atts)
{
	struct xmpp_reader *r = arg;

	if (r->why != XMPP_OK)
		return;
	if (!r->priming && !element_within_limits(r, atts))
		return;
	if (r->depth == 0 && !r->priming) {
		r->store_n = r->n_attrs = 0;
		xmpp_open_check(r, name, atts);
		if (r->why == XMPP_OK && at_end_of_piece(r))
			r->pending = XMPP_OPEN;
	} else if (r->depth == 1) {
		stanza_begin(r, name, atts);
	}
	r->depth++;
}

static void on_end(void *arg, const char *name)
{
	struct xmpp_reader *r = arg;

	(void)name;
	if (r->why != XMPP_OK || --r->depth > 1 || !at_end_of_piece(r))
		return;
	if (r->depth == 1) {
		/* <a/> has no second tag: its only one began before what is inside. */
		r->inner_length = r->tag > r->inner ? r->tag - r->inner : 0;
		r->pending = XMPP_STANZA;
	} else if (r->pending == XMPP_OPEN) {
		xmpp_refuse(r, XMPP_WHY_ROOT,
			    "wanted a stream header, came one that closes itself");
	} else {
		r->pending = XMPP_CLOSE;
	}
}

/* ---- parser ---- */

XML_Parser xmpp_expat_new(const XML_Memory_Handling_Suite *suite, unsigned long salt)
{
	XML_Parser p = XML_ParserCreate_MM("UTF-8", suite, "\n");

	if (!p)
		return NULL;
	XML_SetReturnNSTriplet(p, 1);
	XML_SetHashSalt(p, salt);
	if (XML_SetReparseDeferralEnabled)
		XML_SetReparseDeferralEnabled(p, XML_FALSE);
	return p;
}

static int parser_make(struct xmpp_reader *r)
{
	counted = r;
	r->parser = xmpp_expat_new(&memory, r->setup.salt);
	counted = NULL;
	r->fed = 0;
	r->depth = r->namespaces = 0;
	if (!r->parser) {
		refuse_error(r, XML_ERROR_NO_MEMORY);
		return -EBADMSG;
	}
	XML_SetUserData(r->parser, r);
	XML_SetElementHandler(r->parser, on_start, on_end);
	XML_SetNamespaceDeclHandler(r->parser, on_namespace, on_namespace_end);
	XML_SetStartDoctypeDeclHandler(r->parser, on_doctype);
	XML_SetProcessingInstructionHandler(r->parser, on_pi);
	XML_SetCommentHandler(r->parser, on_comment);
	XML_SetXmlDeclHandler(r->parser, on_declaration);
	return 0;
}

static int parse(struct xmpp_reader *r, const void *p, size_t n)
{
	enum XML_Status status;

	r->fed += n;
	counted = r;
	status = XML_Parse(r->parser, p, (int)n, 0);
	counted = NULL;
	if (status != XML_STATUS_OK)
		refuse_error(r, XML_GetErrorCode(r->parser));
	return r->why == XMPP_OK ? 0 : -EBADMSG;
}

int xmpp_expat_feed(struct xmpp_reader *r, const uint8_t *p, size_t n)
{
	XML_Index i;

	if (!r->parser) {
		if (parser_make(r))
			return -EBADMSG;
		r->priming = r->open;
		if (r->open && parse(r, r->prime, r->prime_n))
			return -EBADMSG;
		r->priming = false;
	}
	r->pending = XMPP_MORE;
	if (parse(r, p, n))
		return -EBADMSG;
	/* What expat holds back is an unfinished token. */
	i = XML_GetCurrentByteIndex(r->parser);
	if (i >= 0 && r->fed - (uint64_t)i > r->setup.limits.token)
		xmpp_refuse(r, XMPP_WHY_TOKEN_BYTES,
			    "wanted a tag or reference of at most %zu bytes, came more",
			    r->setup.limits.token);
	return r->why == XMPP_OK ? 0 : -EBADMSG;
}

void xmpp_expat_drop(struct xmpp_reader *r)
{
	if (!r->parser)
		return;
	counted = r;
	XML_ParserFree(r->parser);
	counted = NULL;
	r->parser = NULL;
}
