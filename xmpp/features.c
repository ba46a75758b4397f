/* xmpp/features.c -- cut elements from <stream:features/>. See features.h.
 *
 * In: a start tag that sets the namespaces, then the element. expat tells where elements begin and end; the cuts are made
 * in the bytes. */
#include "xmpp/features.h"

#include <errno.h>

#include "xmpp/reader_int.h"

#define NS_CHANNEL_BINDING "urn:xmpp:sasl-cb:0"
#define NS_FAST		   "urn:xmpp:fast:0"

enum kind { KIND_NONE, KIND_STARTTLS, KIND_BINDING, KIND_MECHANISM, KIND_FAST };

struct cutter {
	XML_Parser parser;
	uint64_t from; /* where the features begin in what expat gets */
	unsigned depth, children;
	bool is_features;
	enum kind kind; /* of the element that may be cut, at .at */
	unsigned at;
	uint64_t start;
	char text[64]; /* of a mechanism; a longer one has no name that could be known */
	size_t text_n;
	struct {
		uint64_t start, end;
	} cuts[XMPP_CUTS_MAX];
	unsigned n_cuts;
	bool too_many;
	struct xmpp_features found;
};

static enum kind kind_of(const struct xmpp_qname *q)
{
	bool mechanism = span_eq(q->name, SPAN("mechanism"));

	if (span_eq(q->ns, SPAN(XMPP_NS_TLS)) && span_eq(q->name, SPAN("starttls")))
		return KIND_STARTTLS;
	if (span_eq(q->ns, SPAN(NS_CHANNEL_BINDING)) &&
	    span_eq(q->name, SPAN("sasl-channel-binding")))
		return KIND_BINDING;
	if (mechanism &&
	    (span_eq(q->ns, SPAN(XMPP_NS_SASL)) || span_eq(q->ns, SPAN(XMPP_NS_SASL2))))
		return KIND_MECHANISM;
	return mechanism && span_eq(q->ns, SPAN(NS_FAST)) ? KIND_FAST : KIND_NONE;
}

static void on_start(void *arg, const char *name, const char **atts)
{
	struct cutter *c = arg;
	struct xmpp_qname q = xmpp_qname(name);

	(void)atts;
	c->depth++;
	if (c->depth == 2) {
		c->children++;
		c->is_features = xmpp_element_find(q.ns, q.name) == XMPP_E_FEATURES;
	}
	if (c->depth <= 2 || c->kind != KIND_NONE)
		return;
	c->kind = kind_of(&q);
	c->at = c->depth;
	c->start = (uint64_t)XML_GetCurrentByteIndex(c->parser);
	c->text_n = 0;
}

static void on_text(void *arg, const char *s, int n)
{
	struct cutter *c = arg;
	int i;

	for (i = 0; i < n; i++) {
		if (s[i] == ' ' || s[i] == '\t' || s[i] == '\r' || s[i] == '\n')
			continue;
		if (c->text_n < sizeof(c->text))
			c->text[c->text_n] = s[i];
		c->text_n++;
	}
}

static bool ends_with(const struct cutter *c, struct span end)
{
	return c->text_n <= sizeof(c->text) && c->text_n > end.n &&
	       span_ieq(span_of(c->text + c->text_n - end.n, end.n), end);
}

/* Whether the element that ends now goes; it is counted. */
static bool goes(struct cutter *c)
{
	switch (c->kind) {
	case KIND_NONE:
		return false;
	case KIND_STARTTLS:
		c->found.starttls++;
		return true;
	case KIND_BINDING:
		c->found.bindings++;
		return true;
	case KIND_MECHANISM:
		if (ends_with(c, SPAN("-PLUS"))) {
			c->found.plus++;
			return true;
		}
		c->found.mechanisms++;
		return false;
	case KIND_FAST:
		if (ends_with(c, SPAN("-ENDP")) || ends_with(c, SPAN("-UNIQ")) ||
		    ends_with(c, SPAN("-EXPR"))) {
			c->found.plus++;
			return true;
		}
		return false;
	}
	return false;
}

static void on_end(void *arg, const char *name)
{
	struct cutter *c = arg;

	(void)name;
	if (c->depth-- != c->at || c->kind == KIND_NONE)
		return;
	if (goes(c)) {
		if (c->n_cuts == XMPP_CUTS_MAX) {
			c->too_many = true;
			XML_StopParser(c->parser, XML_FALSE);
			return;
		}
		c->cuts[c->n_cuts].start = c->start - c->from;
		c->cuts[c->n_cuts].end = (uint64_t)XML_GetCurrentByteIndex(c->parser) +
					 (unsigned)XML_GetCurrentByteCount(c->parser) - c->from;
		c->n_cuts++;
	}
	c->kind = KIND_NONE;
}

static ssize_t cuts_copy(const struct cutter *c, struct span in, uint8_t *buf, size_t n)
{
	struct xmpp_out o;
	size_t at = 0;
	unsigned i;

	xmpp_out_init(&o, buf, n);
	for (i = 0; i < c->n_cuts; i++) {
		xmpp_out_raw(&o, span_cut(in, at, c->cuts[i].start - at));
		at = c->cuts[i].end;
	}
	xmpp_out_raw(&o, span_cut(in, at, in.n));
	return xmpp_out_end(&o);
}

ssize_t xmpp_features_rewrite(struct span context, struct span features, uint8_t *buf, size_t n,
			      struct xmpp_features *out)
{
	struct cutter c = {.from = context.n};
	ssize_t r = -EBADMSG;

	if (context.n == 0 || features.n == 0 || features.n > INT32_MAX / 2)
		return -EBADMSG;
	c.parser = xmpp_expat_new(NULL, 0);
	if (!c.parser)
		return -ENOMEM;
	XML_SetUserData(c.parser, &c);
	XML_SetElementHandler(c.parser, on_start, on_end);
	XML_SetCharacterDataHandler(c.parser, on_text);
	if (XML_Parse(c.parser, (const char *)context.p, (int)context.n, 0) != XML_STATUS_OK ||
	    XML_Parse(c.parser, (const char *)features.p, (int)features.n, 0) != XML_STATUS_OK)
		goto out;
	/* One element, and nothing behind it. */
	if (c.depth != 1 || c.children != 1 || !c.is_features || features.p[features.n - 1] != '>')
		goto out;
	r = cuts_copy(&c, features, buf, n);
	if (r >= 0)
		*out = c.found;
out:
	if (c.too_many)
		r = -E2BIG;
	XML_ParserFree(c.parser);
	return r;
}
