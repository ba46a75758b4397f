/* user/gate_federation.c -- the gate of chat between servers. See gate_federation.h.
 *
 * In: bytes from the first one on; nothing is consumed before the domain is known. Out: verdicts. */
#include "user/gate_federation.h"

#include <errno.h>
#include <stdio.h>

/* ---- refusals ---- */

/* In the words of who asks: an alert to a ClientHello, else a header and a stream error. */
static enum gate_verdict refuse(struct gate_federation *g, const struct gate_xmpp_config *c,
				enum gate_reason reason, uint8_t alert, const char *condition,
				struct span text, struct gate_out *out)
{
	char id[GATE_XMPP_ID_MAX];
	struct xmpp_header h;

	out->reason = reason;
	out->reply_n = 0;
	if (g->passed)
		return GATE_CLOSE;
	if (g->direct) {
		tls_alert_write(alert, out->reply);
		out->reply_n = TLS_ALERT_BYTES;
		return GATE_CLOSE;
	}
	c->id(id);
	h = (struct xmpp_header){
		.from = g->known ? xmpp_domain_span(&g->domain) : c->host,
		.id = span_str(id),
		.version = SPAN("1.0"),
		.lang = SPAN("en"),
		.server = true,
	};
	out->reply_n = gate_xmpp_error(true, &h, condition, text, out->reply, sizeof(out->reply));
	return GATE_CLOSE;
}

static enum gate_verdict refuse_own(struct gate_federation *g, const struct gate_xmpp_config *c,
				    enum gate_reason reason, uint8_t alert, struct gate_out *out)
{
	const char *condition = gate_xmpp_condition(reason, &out->detail);

	return refuse(g, c, reason, alert, condition, span_str(out->detail), out);
}

/* ---- whose domain ---- */

static enum gate_verdict hello_next(struct gate_federation *g, const struct gate_xmpp_config *c,
				    struct span in, struct gate_out *out)
{
	enum xmpp_jid_why jid_why;
	struct tls_hello h;
	ssize_t n;

	g->direct = true;
	n = tls_hello_parse(in, &h, &out->detail);
	if (n == -EAGAIN)
		return GATE_MORE;
	if (n < 0)
		return refuse(g, c, GATE_MALFORMED, TLS_ALERT_DECODE, "", SPAN(""), out);
	if (h.alpn.n && !tls_hello_alpn(&h, SPAN("xmpp-server"))) {
		out->detail = "ALPN without xmpp-server";
		return refuse(g, c, GATE_MALFORMED, TLS_ALERT_UNKNOWN_ALPN, "", SPAN(""), out);
	}
	if (!h.sni.n || xmpp_domain_parse(h.sni, &g->domain, &jid_why))
		return refuse_own(g, c, GATE_NO_DOMAIN, TLS_ALERT_UNKNOWN_NAME, out);
	if (!c->served(c->arg, xmpp_domain_span(&g->domain)))
		return refuse_own(g, c, GATE_UNSERVED, TLS_ALERT_UNKNOWN_NAME, out);
	g->known = true;
	return GATE_FORWARD;
}

static enum gate_verdict header_next(struct gate_federation *g, const struct gate_xmpp_config *c,
				     struct span in, struct gate_out *out)
{
	struct xmpp_event e;

	/* The reader's place is that of the input: nothing was consumed. */
	xmpp_reader_next(&g->reader, span_cut(in, (size_t)g->reader.at, in.n), &e);
	if (e.kind == XMPP_MORE)
		return GATE_MORE;
	if (e.kind == XMPP_REFUSED) {
		snprintf(g->detail, sizeof(g->detail), "%s: %.*s", xmpp_why_text(e.why),
			 (int)e.text.n, (const char *)e.text.p);
		out->detail = g->detail;
		return refuse(g, c, gate_xmpp_reader_reason(e.why), 0, xmpp_why_condition(e.why),
			      e.text, out);
	}
	/* XMPP_OPEN: nothing else comes first */
	if (!c->served(c->arg, xmpp_domain_span(&e.to)))
		return refuse_own(g, c, GATE_UNSERVED, 0, out);
	g->domain = e.to;
	g->known = true;
	xmpp_reader_fini(&g->reader);
	return GATE_FORWARD;
}

enum gate_verdict gate_federation_next(struct gate_federation *g, const struct gate_xmpp_config *c,
				       struct span in, struct gate_out *out)
{
	enum gate_verdict v = GATE_FORWARD;

	gate_out_init(out);
	if (!g->known)
		v = tls_hello_likely(in) && !g->reader.at ? hello_next(g, c, in, out)
							  : header_next(g, c, in, out);
	if (v != GATE_FORWARD)
		return v;
	if (!in.n)
		return GATE_MORE;
	out->used = in.n;
	out->forward = in;
	out->domain = xmpp_domain_span(&g->domain);
	out->alpn = g->direct ? "xmpp-server" : "";
	return GATE_FORWARD;
}

/* ---- the service ---- */

static int service_init(void *gate, const void *config, const struct addr *client)
{
	const struct gate_xmpp_config *c = config;
	struct gate_federation *g = gate;
	struct xmpp_setup setup = {
		.role = XMPP_INITIATING,
		.server = true,
		.limits = xmpp_limits_stranger,
		.salt = c->salt,
	};

	(void)client;
	xmpp_reader_init(&g->reader, &setup);
	return 0;
}

static void service_fini(void *gate)
{
	xmpp_reader_fini(&((struct gate_federation *)gate)->reader);
}

static enum gate_verdict service_next(void *gate, const void *config, struct span in,
				      struct gate_out *out)
{
	return gate_federation_next(gate, config, in, out);
}

static enum gate_verdict service_instead(void *gate, const void *config, enum gate_reason reason,
					 struct gate_out *out)
{
	return refuse_own(gate, config, reason, TLS_ALERT_INTERNAL, out);
}

static void service_sent(void *gate)
{
	((struct gate_federation *)gate)->passed = true;
}

static ssize_t service_busy(const void *config, uint8_t *buf, size_t n)
{
	const struct gate_xmpp_config *c = config;
	char id[GATE_XMPP_ID_MAX];
	struct xmpp_header h = {
		.from = c->host, .version = SPAN("1.0"), .lang = SPAN("en"), .server = true};

	c->id(id);
	h.id = span_str(id);
	return (ssize_t)gate_xmpp_error(true, &h, "resource-constraint",
					SPAN("too many connections"), buf, n);
}

const struct stream_service gate_federation_service = {
	.id = STREAM_XMPP_SERVER,
	.name = "xmpp-server",
	.gate_size = sizeof(struct gate_federation),
	.init = service_init,
	.fini = service_fini,
	.sent = service_sent,
	.next = service_next,
	.instead = service_instead,
	.busy = service_busy,
};
