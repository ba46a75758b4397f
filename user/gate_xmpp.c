/* user/gate_xmpp.c -- the edge's chat gate. See gate_xmpp.h.
 *
 * In: bytes that the stream holds, from the last consumed one on. Out: verdicts. The reader has seen all bytes up to reader.at;
 * what it has seen and what is consumed differ by the element that is on its way. */
#include "user/gate_xmpp.h"

#include <stdio.h>

/* ---- refusals ---- */

/* Conditions of those that do not come from the reader; its own are xmpp_why_condition()'s. */
static const struct {
	enum gate_reason reason;
	const char *condition, *text;
} errors[] = {
	{GATE_UNSERVED, "host-unknown", "this domain is not served here"},
	{GATE_NO_DOMAIN, "host-unknown", "wanted a domain"},
	{GATE_OTHER_HOST, "host-unknown",
	 "another domain than before, or than in the TLS handshake"},
	{GATE_TLS_REQUIRED, "policy-violation", "STARTTLS is required"},
	{GATE_NOT_AUTHORIZED, "not-authorized", "authenticate first"},
	{GATE_ELEMENTS, "policy-violation", "too many tries on one stream"},
	{GATE_TOO_LARGE, "policy-violation", "too large before authentication"},
	{GATE_CAP_BYTES, "policy-violation", "too many bytes before authentication"},
	{GATE_CAP_SECONDS, "connection-timeout", "not authenticated in time"},
	{GATE_SLOW, "connection-timeout", "too slow"},
	{GATE_NO_CORE, "resource-constraint", "the server of this domain cannot be reached now"},
	{GATE_DRAINING, "system-shutdown", "this node is being taken out of service"},
	{GATE_NO_IDLE, "resource-constraint", "the server of this domain cannot be reached now"},
};

const char *gate_xmpp_condition(enum gate_reason reason, const char **text)
{
	size_t i;

	for (i = 0; i < sizeof(errors) / sizeof(errors[0]); i++)
		if (errors[i].reason == reason) {
			*text = errors[i].text;
			return errors[i].condition;
		}
	*text = gate_reason_name(reason);
	return "undefined-condition";
}

/* The detail says the rest. */
enum gate_reason gate_xmpp_reader_reason(enum xmpp_why why)
{
	switch (why) {
	case XMPP_WHY_DOCTYPE:
	case XMPP_WHY_ENTITY:
	case XMPP_WHY_COMMENT:
	case XMPP_WHY_PI:
		return GATE_RESTRICTED_XML;
	case XMPP_WHY_TOTAL_BYTES:
		return GATE_CAP_BYTES;
	case XMPP_WHY_HEADER_BYTES:
	case XMPP_WHY_STANZA_BYTES:
	case XMPP_WHY_TOKEN_BYTES:
	case XMPP_WHY_DEPTH:
	case XMPP_WHY_ATTRS:
	case XMPP_WHY_ATTR_BYTES:
	case XMPP_WHY_NAMESPACES:
	case XMPP_WHY_MEMORY:
		return GATE_TOO_LARGE;
	default:
		return GATE_MALFORMED;
	}
}

size_t gate_xmpp_error(bool owed, const struct xmpp_header *h, const char *condition,
		       struct span text, uint8_t *buf, size_t n)
{
	struct xmpp_out o;
	ssize_t ret;

	xmpp_out_init(&o, buf, n);
	if (owed)
		xmpp_write_header(&o, h);
	xmpp_write_error(&o, condition, text);
	ret = xmpp_out_end(&o);
	return ret > 0 ? (size_t)ret : 0;
}

static struct xmpp_header header_of(const struct gate_xmpp *g, const struct gate_xmpp_config *c)
{
	return (struct xmpp_header){
		.from = g->domain.n ? xmpp_domain_span(&g->domain) : c->host,
		.id = span_str(g->id),
		.version = SPAN("1.0"),
		.lang = SPAN("en"),
	};
}

static void error_write(const struct gate_xmpp *g, const struct gate_xmpp_config *c,
			const char *condition, struct span text, struct gate_out *out)
{
	const struct xmpp_header h = header_of(g, c);

	/* A stream error may only follow a header of the same side (RFC 6120 4.9.1.2). */
	out->reply_n =
		gate_xmpp_error(!g->answered, &h, condition, text, out->reply, sizeof(out->reply));
}

void gate_xmpp_refuse(struct gate_xmpp *g, const struct gate_xmpp_config *c,
		      enum gate_reason reason, struct gate_out *out)
{
	const char *condition = gate_xmpp_condition(reason, &out->detail);

	out->reason = reason;
	error_write(g, c, condition, span_str(out->detail), out);
}

static enum gate_verdict refuse(struct gate_xmpp *g, const struct gate_xmpp_config *c,
				enum gate_reason reason, struct gate_out *out)
{
	g->over = reason;
	out->may_hold = reason == GATE_NOT_AUTHORIZED && g->sasl;
	if (reason == GATE_INJECTION) {
		out->reason = reason;
		out->detail = "bytes behind <starttls/>";
	} else {
		gate_xmpp_refuse(g, c, reason, out);
	}
	return GATE_CLOSE;
}

static enum gate_verdict reader_refused(struct gate_xmpp *g, const struct gate_xmpp_config *c,
					const struct xmpp_event *e, struct gate_out *out)
{
	g->broken = true;
	snprintf(g->detail, sizeof(g->detail), "%s: %.*s", xmpp_why_text(e->why), (int)e->text.n,
		 (const char *)e->text.p);
	out->reason = gate_xmpp_reader_reason(e->why);
	out->detail = g->detail;
	error_write(g, c, xmpp_why_condition(e->why), e->text, out);
	return GATE_CLOSE;
}

/* ---- before TLS ---- */

/* The bare JID of @from, which the answer's "to" must be (RFC 6120 4.7.2). */
static struct span bare(struct span from)
{
	struct xmpp_jid j;
	enum xmpp_jid_why why;

	if (!from.n || xmpp_jid_parse(from, &j, &why))
		return (struct span){};
	return span_cut(from, 0, from.n - (j.resource.n ? j.resource.n + 1 : 0));
}

static enum gate_verdict plain_header(struct gate_xmpp *g, const struct gate_xmpp_config *c,
				      const struct xmpp_event *e, struct gate_out *out)
{
	struct xmpp_header h;
	struct xmpp_out o;
	ssize_t n;

	if (!c->served(c->arg, xmpp_domain_span(&e->to)))
		return refuse(g, c, GATE_UNSERVED, out);
	g->domain = e->to;
	h = header_of(g, c);
	h.to = bare(e->open.from);
	xmpp_out_init(&o, out->reply, sizeof(out->reply));
	xmpp_write_header(&o, &h);
	xmpp_write_features_tls(&o);
	n = xmpp_out_end(&o);
	if (n < 0)
		return refuse(g, c, GATE_TOO_LARGE, out);
	out->reply_n = (size_t)n;
	g->answered = true;
	return GATE_REPLY;
}

static enum gate_verdict plain_element(struct gate_xmpp *g, const struct gate_xmpp_config *c,
				       const struct xmpp_event *e, struct span in,
				       struct gate_out *out)
{
	struct xmpp_out o;

	if (e->element != XMPP_E_STARTTLS || e->n_attrs || e->inner_length)
		return refuse(g, c, GATE_TLS_REQUIRED, out);
	if (out->used < in.n)
		return refuse(g, c, GATE_INJECTION, out);
	xmpp_out_init(&o, out->reply, sizeof(out->reply));
	xmpp_write_proceed(&o);
	out->reply_n = (size_t)xmpp_out_end(&o);
	return GATE_STARTTLS;
}

/* ---- after TLS ---- */

static enum gate_verdict forward(struct gate_xmpp *g, struct span in, struct gate_out *out)
{
	g->waiting = out->used;
	out->forward = span_cut(in, 0, out->used);
	out->domain = xmpp_domain_span(&g->domain);
	out->may_admit = g->sasl;
	return GATE_FORWARD;
}

static enum gate_verdict tls_header(struct gate_xmpp *g, const struct gate_xmpp_config *c,
				    const struct xmpp_event *e, struct span in,
				    struct gate_out *out)
{
	if (g->domain.n && !xmpp_domain_equal(&g->domain, &e->to))
		return refuse(g, c, GATE_OTHER_HOST, out);
	if (!c->served(c->arg, xmpp_domain_span(&e->to)))
		return refuse(g, c, GATE_UNSERVED, out);
	if (g->headers == GATE_XMPP_HEADERS)
		return refuse(g, c, GATE_ELEMENTS, out);
	g->domain = e->to;
	g->headers++;
	g->answered = false;
	return forward(g, in, out);
}

static enum gate_verdict tls_element(struct gate_xmpp *g, const struct gate_xmpp_config *c,
				     const struct xmpp_event *e, struct span in,
				     struct gate_out *out)
{
	switch (e->element) {
	case XMPP_E_AUTH:
	case XMPP_E_RESPONSE:
	case XMPP_E_ABORT:
	case XMPP_E_SASL2_AUTHENTICATE:
	case XMPP_E_SASL2_RESPONSE:
	case XMPP_E_SASL2_NEXT:
	case XMPP_E_SASL2_TASK_DATA:
	case XMPP_E_SASL2_ABORT:
		break;
	default:
		return refuse(g, c, GATE_NOT_AUTHORIZED, out);
	}
	if (g->elements == GATE_XMPP_ELEMENTS)
		return refuse(g, c, GATE_ELEMENTS, out);
	g->elements++;
	g->sasl = true;
	return forward(g, in, out);
}

/* Behind SASL a new document may begin, and only a header does (RFC 6120 6.4.6): the reader must be told. -1: too little came
 * to tell. */
static int restarts(const struct gate_xmpp *g, struct span rest)
{
	static const struct {
		const char *begins;
		size_t n;
	} forms[] = {{"<?", 2}, {"<stream:stream", 14}};
	int ret = 0;
	size_t i, n;

	if (g->plain || !g->sasl || !g->reader.between || g->broken)
		return 0;
	for (i = 0; i < sizeof(forms) / sizeof(forms[0]); i++) {
		n = forms[i].n;
		if (rest.n >= n && memcmp(rest.p, forms[i].begins, n) == 0)
			return 1;
		if (rest.n < n && memcmp(rest.p, forms[i].begins, rest.n) == 0)
			ret = -1;
	}
	return ret;
}

/* ---- events ---- */

static enum gate_verdict closed(struct gate_xmpp *g, struct span in, struct gate_out *out)
{
	struct xmpp_out o;

	g->closed = true;
	if (!g->plain)
		return forward(g, in, out);
	xmpp_out_init(&o, out->reply, sizeof(out->reply));
	xmpp_write_close(&o);
	out->reply_n = (size_t)xmpp_out_end(&o);
	return GATE_CLOSE;
}

static enum gate_verdict event_next(struct gate_xmpp *g, const struct gate_xmpp_config *c,
				    const struct xmpp_event *e, struct span in,
				    struct gate_out *out)
{
	switch (e->kind) {
	case XMPP_OPEN:
		return g->plain ? plain_header(g, c, e, out) : tls_header(g, c, e, in, out);
	case XMPP_STANZA:
		return (g->plain ? plain_element : tls_element)(g, c, e, in, out);
	case XMPP_SPACE:
		return g->plain ? GATE_MORE : forward(g, in, out);
	case XMPP_CLOSE:
		return closed(g, in, out);
	case XMPP_REFUSED:
		return reader_refused(g, c, e, out);
	case XMPP_MORE:
		break;
	}
	return GATE_MORE;
}

static enum gate_verdict bytes_next(struct gate_xmpp *g, const struct gate_xmpp_config *c,
				    struct span in, struct gate_out *out)
{
	enum gate_verdict v = GATE_MORE;
	struct xmpp_event e;
	struct span rest;
	int again;

	do {
		rest = span_cut(in, (size_t)(g->reader.at - g->base), in.n);
		again = restarts(g, rest);
		if (again < 0 || (!rest.n && !g->broken))
			break;
		if (again > 0)
			xmpp_reader_restart(&g->reader);
		xmpp_reader_next(&g->reader, rest, &e);
		/* Before TLS nobody needs the bytes any more; after it they go on as a whole. */
		if (g->plain || (e.kind != XMPP_MORE && e.kind != XMPP_REFUSED))
			out->used = (size_t)(g->reader.at - g->base);
		v = event_next(g, c, &e, in, out);
	} while (v == GATE_MORE);
	if (v == GATE_CLOSE)
		out->used = 0;
	if (v != GATE_FORWARD) /* else with gate_xmpp_sent() */
		g->base += out->used;
	return v;
}

enum gate_verdict gate_xmpp_next(struct gate_xmpp *g, const struct gate_xmpp_config *c,
				 struct span in, struct gate_out *out)
{
	gate_out_init(out);
	if (g->over != GATE_OK)
		return refuse(g, c, g->over, out);
	if (g->waiting) { /* for a core */
		out->used = g->waiting;
		return forward(g, in, out);
	}
	if (g->closed) { /* nothing follows a closed stream (RFC 6120 4.4) */
		out->used = in.n;
		g->base += in.n;
		return GATE_MORE;
	}
	return bytes_next(g, c, in, out);
}

/* ---- life ---- */

void gate_xmpp_init(struct gate_xmpp *g, const struct gate_xmpp_config *c)
{
	struct xmpp_setup setup = {
		.role = XMPP_INITIATING,
		.limits = xmpp_limits_stranger,
		.salt = c->salt,
	};

	*g = (struct gate_xmpp){.plain = true};
	setup.limits.total = c->bytes;
	c->id(g->id);
	xmpp_reader_init(&g->reader, &setup);
}

void gate_xmpp_fini(struct gate_xmpp *g)
{
	xmpp_reader_fini(&g->reader);
}

void gate_xmpp_tls(struct gate_xmpp *g, const struct gate_xmpp_config *c, struct span sni)
{
	struct xmpp_domain d;
	enum xmpp_jid_why why;

	/* Of a stream that began with TLS the reader has seen nothing, and begins a document anyway. */
	xmpp_reader_restart(&g->reader);
	g->plain = g->answered = false;
	if (!sni.n || xmpp_domain_parse(sni, &d, &why) || !c->served(c->arg, xmpp_domain_span(&d)))
		return;
	if (g->domain.n && !xmpp_domain_equal(&g->domain, &d))
		g->over = GATE_OTHER_HOST;
	g->domain = d;
}

void gate_xmpp_sent(struct gate_xmpp *g)
{
	g->base += g->waiting;
	g->waiting = 0;
}

void gate_xmpp_answered(struct gate_xmpp *g)
{
	g->answered = true;
}

/* ---- the service ---- */

static int service_init(void *gate, const void *config, const struct addr *client)
{
	(void)client;
	gate_xmpp_init(gate, config);
	return 0;
}

static void service_fini(void *gate)
{
	gate_xmpp_fini(gate);
}

static enum gate_verdict service_next(void *gate, const void *config, struct span in,
				      struct gate_out *out)
{
	return gate_xmpp_next(gate, config, in, out);
}

static enum gate_verdict service_instead(void *gate, const void *config, enum gate_reason reason,
					 struct gate_out *out)
{
	gate_xmpp_refuse(gate, config, reason, out);
	return GATE_CLOSE;
}

static void service_tls(void *gate, const void *config, struct span sni)
{
	gate_xmpp_tls(gate, config, sni);
}

static ssize_t service_busy(const void *config, uint8_t *buf, size_t n)
{
	const struct gate_xmpp_config *c = config;
	struct gate_xmpp g = {};
	struct xmpp_header h;

	c->id(g.id);
	h = header_of(&g, c);
	return (ssize_t)gate_xmpp_error(true, &h, "resource-constraint",
					SPAN("too many connections that are not authenticated"),
					buf, n);
}

static void service_sent(void *gate)
{
	gate_xmpp_sent(gate);
}

static void service_answered(void *gate)
{
	gate_xmpp_answered(gate);
}

const struct stream_service gate_xmpp_service = {
	.id = STREAM_XMPP,
	.name = "xmpp",
	.gate_size = sizeof(struct gate_xmpp),
	.init = service_init,
	.fini = service_fini,
	.next = service_next,
	.instead = service_instead,
	.tls = service_tls,
	.sent = service_sent,
	.answered = service_answered,
	.busy = service_busy,
};
