/* xmpp/write.c -- what a gateway says on an XMPP stream. See write.h.
 *
 * In: names and texts. Out: bytes in the caller's buffer; the first thing that does not fit or is no XML stops the writer. */
#include "xmpp/write.h"

#include <errno.h>

#include "user/utf8.h"

void xmpp_out_init(struct xmpp_out *o, void *buf, size_t cap)
{
	*o = (struct xmpp_out){.p = buf, .cap = cap};
}

void xmpp_out_raw(struct xmpp_out *o, struct span s)
{
	if (o->invalid || o->overflow || s.n > o->cap - o->n) {
		o->overflow = true;
		return;
	}
	if (s.n)
		memcpy(o->p + o->n, s.p, s.n);
	o->n += s.n;
}

static void text(struct xmpp_out *o, const char *s)
{
	xmpp_out_raw(o, span_str(s));
}

static const char *reference(uint8_t c)
{
	switch (c) {
	case '&':
		return "&amp;";
	case '<':
		return "&lt;";
	case '>':
		return "&gt;";
	case '"':
		return "&quot;";
	case '\'':
		return "&apos;";
	case '\t':
		return "&#9;";
	case '\n':
		return "&#10;";
	case '\r':
		return "&#13;";
	default:
		return NULL;
	}
}

void xmpp_out_escaped(struct xmpp_out *o, struct span s)
{
	struct utf8 u = {};
	const char *ref;
	size_t i;

	for (i = 0; i < s.n && !o->overflow; i++) {
		if (!utf8_byte(&u, s.p[i]))
			break;
		ref = reference(s.p[i]);
		if (ref)
			text(o, ref);
		else if (s.p[i] < 0x20 || (!u.left && (u.code == 0xfffe || u.code == 0xffff)))
			break;
		else
			xmpp_out_raw(o, span_cut(s, i, 1));
	}
	if (!o->overflow && (i < s.n || u.left))
		o->invalid = true;
}

ssize_t xmpp_out_end(const struct xmpp_out *o)
{
	if (o->invalid)
		return -EBADMSG;
	return o->overflow ? -E2BIG : (ssize_t)o->n;
}

static void attr(struct xmpp_out *o, const char *name, struct span value)
{
	if (!value.n)
		return;
	text(o, " ");
	text(o, name);
	text(o, "='");
	xmpp_out_escaped(o, value);
	text(o, "'");
}

void xmpp_write_header(struct xmpp_out *o, const struct xmpp_header *h)
{
	text(o, "<?xml version='1.0'?><stream:stream");
	attr(o, "to", h->to);
	attr(o, "from", h->from);
	attr(o, "id", h->id);
	attr(o, "version", h->version);
	attr(o, "xml:lang", h->lang);
	attr(o, "xmlns", h->server ? SPAN(XMPP_NS_SERVER) : SPAN(XMPP_NS_CLIENT));
	if (h->server)
		attr(o, "xmlns:db", SPAN(XMPP_NS_DIALBACK));
	attr(o, "xmlns:stream", SPAN(XMPP_NS_STREAM));
	text(o, ">");
}

/* "<CONDITION xmlns='NS'/><text ...>TEXT</text>" */
static void condition_out(struct xmpp_out *o, const char *condition, const char *ns,
			  const char *text_ns, struct span why)
{
	text(o, "<");
	text(o, condition);
	if (ns)
		attr(o, "xmlns", span_str(ns));
	text(o, "/>");
	if (!why.n)
		return;
	text(o, "<text");
	if (text_ns)
		attr(o, "xmlns", span_str(text_ns));
	attr(o, "xml:lang", SPAN("en"));
	text(o, ">");
	xmpp_out_escaped(o, why);
	text(o, "</text>");
}

void xmpp_write_close(struct xmpp_out *o)
{
	text(o, "</stream:stream>");
}

void xmpp_write_error(struct xmpp_out *o, const char *condition, struct span why)
{
	text(o, "<stream:error>");
	condition_out(o, condition, XMPP_NS_ERRORS, XMPP_NS_ERRORS, why);
	text(o, "</stream:error>");
	xmpp_write_close(o);
}

void xmpp_write_features_tls(struct xmpp_out *o)
{
	text(o, "<stream:features><starttls xmlns='" XMPP_NS_TLS
		"'><required/></starttls></stream:features>");
}

void xmpp_write_starttls(struct xmpp_out *o)
{
	text(o, "<starttls xmlns='" XMPP_NS_TLS "'/>");
}

void xmpp_write_proceed(struct xmpp_out *o)
{
	text(o, "<proceed xmlns='" XMPP_NS_TLS "'/>");
}

void xmpp_write_tls_failure(struct xmpp_out *o)
{
	text(o, "<failure xmlns='" XMPP_NS_TLS "'/>");
	xmpp_write_close(o);
}

void xmpp_write_sasl_failure(struct xmpp_out *o, bool sasl2, const char *condition, struct span why)
{
	text(o, "<failure");
	attr(o, "xmlns", sasl2 ? SPAN(XMPP_NS_SASL2) : SPAN(XMPP_NS_SASL));
	text(o, ">");
	/* XEP-0388: the condition is of the old namespace, <text/> of the new one. */
	condition_out(o, condition, sasl2 ? XMPP_NS_SASL : NULL, NULL, why);
	text(o, "</failure>");
}
