/* xmpp/inner.c -- a child's text and name, by expat, and the first message of a SASL exchange. See inner.h.
 *
 * In: a start tag that sets the namespaces, then the element. Out: texts. Passwords that come by are wiped. */
#include "xmpp/inner.h"

#include <errno.h>

#include "xmpp/reader_int.h"
#include "user/base64.h"

#define INITIAL_MAX 8192 /* bytes of an initial response; tokens are long */

struct finder {
	struct span ns, name;
	bool own, any; /* the element's own text; any name of the namespace */
	char *buf;
	size_t cap, n;
	unsigned depth;
	bool in, found, too_long;
};

static void put(struct finder *f, const char *s, size_t n)
{
	if (n >= f->cap - f->n) {
		f->too_long = true;
		return;
	}
	memcpy(f->buf + f->n, s, n);
	f->n += n;
}

static void on_start(void *arg, const char *name, const char **atts)
{
	struct finder *f = arg;
	struct xmpp_qname q = xmpp_qname(name);

	(void)atts;
	f->depth++;
	if (f->own && f->depth == 2)
		f->in = f->found = true;
	if (f->own || f->found || f->depth != 3 || !span_eq(q.ns, f->ns))
		return;
	if (f->any) {
		put(f, (const char *)q.name.p, q.name.n);
		f->found = true;
	} else if (span_eq(q.name, f->name)) {
		f->in = f->found = true;
	}
}

static void on_end(void *arg, const char *name)
{
	struct finder *f = arg;

	(void)name;
	if (f->depth == (f->own ? 2 : 3))
		f->in = false;
	f->depth--;
}

static void on_text(void *arg, const char *s, int n)
{
	struct finder *f = arg;

	if (f->in && f->depth == (f->own ? 2 : 3))
		put(f, s, (size_t)n);
}

static ssize_t find(struct finder *f, struct span context, struct span element)
{
	XML_Parser p;
	bool good;

	if (!f->cap)
		return -E2BIG;
	if (!context.n || !element.n || context.n > INT32_MAX / 2 || element.n > INT32_MAX / 2)
		return -EBADMSG;
	p = xmpp_expat_new(NULL, 0);
	if (!p)
		return -ENOMEM;
	XML_SetUserData(p, f);
	XML_SetElementHandler(p, on_start, on_end);
	XML_SetCharacterDataHandler(p, on_text);
	good = XML_Parse(p, (const char *)context.p, (int)context.n, 0) == XML_STATUS_OK &&
	       XML_Parse(p, (const char *)element.p, (int)element.n, 0) == XML_STATUS_OK &&
	       f->depth == 1;
	XML_ParserFree(p);
	if (!good)
		return -EBADMSG;
	if (f->too_long)
		return -E2BIG;
	if (!f->found)
		return -ENOENT;
	f->buf[f->n] = 0;
	return (ssize_t)f->n;
}

ssize_t xmpp_inner_text(struct span context, struct span element, struct span ns, struct span name,
			char *buf, size_t n)
{
	struct finder f = {.ns = ns, .name = name, .own = !name.n, .buf = buf, .cap = n};

	return find(&f, context, element);
}

ssize_t xmpp_inner_name(struct span context, struct span element, struct span ns, char *buf,
			size_t n)
{
	struct finder f = {.ns = ns, .any = true, .buf = buf, .cap = n};

	return find(&f, context, element);
}

/* ---- SASL ---- */

/* A name for the log and for tables: no control character; "" where it is longer than we look at. */
static int name_take(struct span s, char *to)
{
	size_t i;

	for (i = 0; i < s.n; i++)
		if (s.p[i] < 0x20 || s.p[i] == 0x7f)
			return -EBADMSG;
	if (s.n >= XMPP_USER_MAX)
		return 0;
	memcpy(to, s.p, s.n);
	to[s.n] = 0;
	return 0;
}

/* "=2C" and "=3D" (RFC 5802 5.1); @s ends before a comma. */
static int saslname_take(struct span s, char *to)
{
	char plain[XMPP_USER_MAX];
	size_t n = 0, i;

	for (i = 0; i < s.n && n < sizeof(plain); i++) {
		if (s.p[i] != '=') {
			plain[n++] = (char)s.p[i];
			continue;
		}
		if (s.n - i < 3 || s.p[i + 1] < '2' || s.p[i + 1] > '3' ||
		    (s.p[i + 1] == '2' ? s.p[i + 2] != 'C' : s.p[i + 2] != 'D'))
			return -EBADMSG;
		plain[n++] = s.p[i + 1] == '2' ? ',' : '=';
		i += 2;
	}
	return name_take(span_of(plain, n), to);
}

/* What stands before the next @c, which is skipped. -EBADMSG: there is none. */
static int cut(struct span *s, uint8_t c, struct span *out)
{
	const uint8_t *end = s->n ? memchr(s->p, c, s->n) : NULL;

	if (!end)
		return -EBADMSG;
	*out = span_cut(*s, 0, (size_t)(end - s->p));
	*s = span_cut(*s, out->n + 1, s->n);
	return 0;
}

/* An authorization identity that is too long to look at: then nobody knows who it is. */
static void as_unknown(struct span as, struct xmpp_sasl *out)
{
	if (as.n && !out->as[0])
		out->user[0] = 0;
}

static int plain_user(struct span s, struct xmpp_sasl *out)
{
	struct span as, user;

	if (cut(&s, 0, &as) || cut(&s, 0, &user) || !user.n || !s.n)
		return -EBADMSG;
	if (name_take(as, out->as) || name_take(user, out->user))
		return -EBADMSG;
	as_unknown(as, out);
	return 0;
}

/* GS2 header, and for SCRAM the name behind it. */
static int gs2_user(struct span s, bool scram, struct xmpp_sasl *out)
{
	struct span binding, as, user;

	if (cut(&s, ',', &binding) || cut(&s, ',', &as))
		return -EBADMSG;
	if (as.n && (as.n < 3 || as.p[0] != 'a' || as.p[1] != '=' ||
		     saslname_take(span_cut(as, 2, as.n), out->as)))
		return -EBADMSG;
	if (!scram) { /* OAUTHBEARER: the token's own name is the server's to know */
		memcpy(out->user, out->as, sizeof(out->user));
		return 0;
	}
	if (cut(&s, ',', &user) || user.n < 3 || user.p[0] != 'n' || user.p[1] != '=')
		return -EBADMSG;
	if (saslname_take(span_cut(user, 2, user.n), out->user))
		return -EBADMSG;
	as_unknown(as, out);
	return 0;
}

static int first_message(struct span s, struct xmpp_sasl *out)
{
	struct span m = span_str(out->mechanism);

	if (span_eq(m, SPAN("PLAIN")))
		return plain_user(s, out);
	if (m.n > 6 && memcmp(m.p, "SCRAM-", 6) == 0)
		return gs2_user(s, true, out);
	return span_eq(m, SPAN("OAUTHBEARER")) ? gs2_user(s, false, out) : 0;
}

int xmpp_sasl_user(struct span context, struct span element, bool sasl2, struct span mechanism,
		   struct xmpp_sasl *out)
{
	struct xmpp_sasl found = {.user = ""};
	char text[INITIAL_MAX];
	ssize_t n;
	size_t i;
	int err = 0;

	for (i = 0; i < mechanism.n; i++)
		if (!(mechanism.p[i] >= 'A' && mechanism.p[i] <= 'Z') &&
		    !(mechanism.p[i] >= '0' && mechanism.p[i] <= '9') && mechanism.p[i] != '-' &&
		    mechanism.p[i] != '_')
			return -EBADMSG;
	if (!mechanism.n || mechanism.n > XMPP_MECHANISM_MAX)
		return -EBADMSG;
	memcpy(found.mechanism, mechanism.p, mechanism.n);
	n = xmpp_inner_text(context, element, sasl2 ? SPAN(XMPP_NS_SASL2) : (struct span){},
			    sasl2 ? SPAN("initial-response") : (struct span){}, text, sizeof(text));
	if (n > 0 && !(n == 1 && text[0] == '=')) { /* "=": empty (RFC 6120 6.4.2) */
		n = base64_read(span_of(text, (size_t)n), BASE64, text, sizeof(text));
		if (n > 0)
			err = first_message(span_of(text, (size_t)n), &found);
	}
	explicit_bzero(text, sizeof(text));
	if (n == -EBADMSG || err)
		return -EBADMSG;
	*out = found; /* without an initial response, or with one too long to look at, nothing is known */
	return 0;
}
