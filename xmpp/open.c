/* xmpp/open.c -- is this start tag a stream header (RFC 6120 4.7, 4.8)? See reader.h.
 *
 * In: the tag as expat gives it; the namespaces it declares are already in struct xmpp_reader. Out: its fields in the
 * reader's store, or a refusal. */
#include "xmpp/reader_int.h"

#define NS_XML "http://www.w3.org/XML/1998/namespace"

static const char *const fields[XMPP_OPEN_FIELDS] = {
	[XMPP_OPEN_TO] = "to",		 [XMPP_OPEN_FROM] = "from", [XMPP_OPEN_ID] = "id",
	[XMPP_OPEN_VERSION] = "version", [XMPP_OPEN_LANG] = "lang",
};

/* The value of @field, or {NULL, 0} where it is absent. */
static struct span field_find(const char **atts, enum xmpp_open_field field)
{
	struct xmpp_qname q;

	for (; atts[0]; atts += 2) {
		q = xmpp_qname(atts[0]);
		if (span_eq(q.name, span_str(fields[field])) &&
		    span_eq(q.ns, field == XMPP_OPEN_LANG ? SPAN(NS_XML) : (struct span){}))
			return span_str(atts[1]);
	}
	return (struct span){};
}

static void name_check(struct xmpp_reader *r, const struct xmpp_qname *q)
{
	const char *content = r->setup.server ? XMPP_NS_SERVER : XMPP_NS_CLIENT;

	if (!span_eq(q->name, SPAN("stream")))
		xmpp_refuse(r, XMPP_WHY_ROOT, "wanted <stream:stream>, came <%.*s>",
			    (int)(q->name.n < 40 ? q->name.n : 40), (const char *)q->name.p);
	else if (!span_eq(q->ns, SPAN(XMPP_NS_STREAM)))
		xmpp_refuse(r, XMPP_WHY_NAMESPACE, "wanted xmlns:stream='%s', came '%.*s'",
			    XMPP_NS_STREAM, (int)(q->ns.n < 60 ? q->ns.n : 60),
			    q->ns.n ? (const char *)q->ns.p : "");
	else if (!span_eq(q->prefix, SPAN("stream")))
		xmpp_refuse(r, XMPP_WHY_PREFIX, "wanted <stream:stream>, came prefix '%.*s'",
			    (int)(q->prefix.n < 40 ? q->prefix.n : 40),
			    q->prefix.n ? (const char *)q->prefix.p : "");
	else if (!r->content)
		xmpp_refuse(r, XMPP_WHY_NAMESPACE,
			    "wanted xmlns='%s', came none or another content namespace", content);
}

/* Digits, a dot, digits, of at least 1.0 (RFC 6120 4.7.5: without it the peer speaks what was before). */
static void version_check(struct xmpp_reader *r, struct span s)
{
	struct span part[2] = {s, {}};
	const uint8_t *dot = s.n ? memchr(s.p, '.', s.n) : NULL;
	unsigned i, major = 0;
	size_t j;
	bool good = dot != NULL;

	if (dot) {
		part[0] = span_cut(s, 0, (size_t)(dot - s.p));
		part[1] = span_cut(s, part[0].n + 1, s.n);
	}
	for (i = 0; i < 2 && good; i++) {
		good = part[i].n >= 1 && part[i].n <= 5;
		for (j = 0; j < part[i].n && good; j++) {
			good = part[i].p[j] >= '0' && part[i].p[j] <= '9';
			major = i ? major : major * 10 + (unsigned)(part[i].p[j] - '0');
		}
	}
	if (!good || major < 1)
		xmpp_refuse(r, XMPP_WHY_VERSION, "wanted version='1.0', came '%.*s'",
			    (int)(s.n < 20 ? s.n : 20), s.n ? (const char *)s.p : "");
}

static void jid_check(struct xmpp_reader *r, enum xmpp_why why, struct span s, bool domain_only)
{
	const char *field = why == XMPP_WHY_TO ? "to" : "from";
	enum xmpp_jid_why jid_why = XMPP_JID_OK;
	struct xmpp_jid jid;

	if (xmpp_jid_parse(s, &jid, &jid_why))
		xmpp_refuse(r, why, "wanted a JID in %s, came '%.*s': %s", field,
			    (int)(s.n < 60 ? s.n : 60), (const char *)s.p,
			    xmpp_jid_why_text(jid_why));
	else if (domain_only && (jid.local.n || jid.resource.n))
		xmpp_refuse(r, why, "wanted a domain in %s, came '%.*s'", field,
			    (int)(s.n < 60 ? s.n : 60), (const char *)s.p);
}

static void lang_check(struct xmpp_reader *r, struct span s)
{
	bool good = s.n <= 64;
	size_t i;

	for (i = 0; i < s.n && good; i++)
		good = (span_lower(s.p[i]) >= 'a' && span_lower(s.p[i]) <= 'z') ||
		       (s.p[i] >= '0' && s.p[i] <= '9') || s.p[i] == '-';
	if (!good)
		xmpp_refuse(r, XMPP_WHY_LANG, "wanted a language tag in xml:lang, came '%.*s'",
			    (int)(s.n < 20 ? s.n : 20), (const char *)s.p);
}

void xmpp_open_check(struct xmpp_reader *r, const char *name, const char **atts)
{
	struct xmpp_qname q = xmpp_qname(name);
	bool initiating = r->setup.role == XMPP_INITIATING;
	struct span f[XMPP_OPEN_FIELDS];
	unsigned i;

	name_check(r, &q);
	for (i = 0; i < XMPP_OPEN_FIELDS; i++)
		f[i] = field_find(atts, (enum xmpp_open_field)i);
	version_check(r, f[XMPP_OPEN_VERSION]);
	if (f[XMPP_OPEN_TO].p)
		jid_check(r, XMPP_WHY_TO, f[XMPP_OPEN_TO], initiating);
	else if (initiating)
		xmpp_refuse(r, XMPP_WHY_TO, "wanted a domain in to, came none");
	if (f[XMPP_OPEN_FROM].p)
		jid_check(r, XMPP_WHY_FROM, f[XMPP_OPEN_FROM], !initiating);
	if (!initiating && !f[XMPP_OPEN_ID].n)
		xmpp_refuse(r, XMPP_WHY_ID, "wanted an id of the stream, came none");
	lang_check(r, f[XMPP_OPEN_LANG]);
	for (i = 0; i < XMPP_OPEN_FIELDS && r->why == XMPP_OK; i++) {
		r->attrs[i].value_n = (uint32_t)f[i].n;
		xmpp_store(r, f[i], &r->attrs[i].value);
	}
}
