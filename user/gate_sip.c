/* user/gate_sip.c -- the edge's SIP gate. See gate_sip.h.
 *
 * Bytes come in from stream.c, verdicts go back; nothing is kept but the small struct gate_sip that the stream owns. Design 3: REGISTER by
 * its Request-URI, other requests by our topmost Route, else From. */
#include "user/gate_sip.h"

#include <errno.h>
#include <stdio.h>

#include "sip/answer.h"
#include "sip/keepalive.h"
#include "user/drain.h"

#define RETRY_STEP 256 /* bytes without a line end after which a message is looked at again */

static enum gate_verdict refuse(const struct sip_msg *m, struct gate_out *out,
				enum gate_reason reason, unsigned status, const char *phrase,
				const char *extra, bool close)
{
	out->reason = reason;
	out->reply_n = sip_answer_msg(m, status, phrase, extra, out->reply, sizeof(out->reply));
	return close ? GATE_CLOSE : GATE_REPLY;
}

/* ---- keepalives ---- */

/* Take and answer what keeps the connection alive between messages. GATE_FORWARD stands for: a message begins at out->used. */
static enum gate_verdict keepalive_next(struct gate_sip *g, struct span in, struct gate_out *out)
{
	ssize_t n;

	while (out->used < in.n) {
		n = sip_stream_keepalive(span_cut(in, out->used, in.n), &g->client, out->reply,
					 &out->reply_n);
		if (n == -EAGAIN)
			return GATE_MORE;
		if (n <= 0)
			return GATE_FORWARD;
		out->used += (size_t)n;
		g->tried = 0;
		if (++g->pongs > GATE_PONGS_MAX) {
			out->reply_n = 0;
			out->reason = GATE_DRIBBLE;
			return GATE_CLOSE;
		}
		if (out->reply_n)
			return GATE_REPLY;
	}
	return GATE_MORE;
}

/* ---- messages ---- */

/* A message that came incomplete is parsed again only when a line or RETRY_STEP bytes came in: byte by byte it would cost the square
 * of its length. In a body every byte may be the last one; GATE_WORK_MAX bounds that. */
static bool worth_a_try(struct gate_sip *g, struct span in)
{
	static const uint8_t end[4] = {'\r', '\n', '\r', '\n'};
	size_t from = g->tried < 3 ? 0 : g->tried - 3;

	if (!g->tried || in.n < g->tried) {
		g->body = false;
		from = 0;
	}
	if (!g->body)
		g->body = memmem(in.p + from, in.n - from, end, sizeof(end)) != NULL;
	return g->body || !g->tried || in.n - g->tried >= RETRY_STEP ||
	       memchr(in.p + g->tried, '\n', in.n - g->tried);
}

static bool uri_domain(const struct sip_uri *u, struct span *out)
{
	if ((!u->is_sip && !u->is_sips) || !u->host.n)
		return false;
	*out = u->host;
	return true;
}

/* Whether the topmost Route is ours. -EBADMSG: it cannot be read. */
static int route_is_ours(const struct gate_sip_config *c, const struct sip_msg *m)
{
	const struct sip_header *h = sip_header_find(m, SIP_H_ROUTE, 0, NULL);
	struct span rest;
	struct sip_addr a;

	if (!h)
		return 0;
	rest = h->value;
	if (sip_addr_next(&rest, &a) != 1)
		return -EBADMSG;
	return span_ieq(a.uri.host, c->host);
}

/* Which domain's core gets @m. The token in our Route names the core; every core that serves one of the message's domains can
 * check it. ACK and BYE with our Route go to any core then: From may be what the caller once dialled, and a phone that
 * reconnected must be able to hang up (design 3). */
static enum gate_reason domain_find(const struct gate_sip_config *c, const struct sip_msg *m,
				    bool ours, struct span *out)
{
	const struct sip_uri *const uris[] = {&m->from.uri, &m->ruri, &m->to.uri};
	struct span d = {};
	unsigned i;

	if (m->method == SIP_M_REGISTER || !ours) {
		if (!uri_domain(m->method == SIP_M_REGISTER ? &m->ruri : &m->from.uri, out))
			return GATE_NO_DOMAIN;
		return c->served(c->arg, *out) ? GATE_OK : GATE_UNSERVED;
	}
	for (i = 0; i < sizeof(uris) / sizeof(uris[0]); i++) {
		if (uri_domain(uris[i], &d) && c->served(c->arg, d)) {
			*out = d;
			return GATE_OK;
		}
	}
	*out = (struct span){};
	return m->method == SIP_M_ACK || m->method == SIP_M_BYE ? GATE_OK : GATE_UNSERVED;
}

static enum gate_verdict request_next(struct gate_sip *g, const struct gate_sip_config *c,
				      const struct sip_msg *m, struct gate_out *out)
{
	int ours = route_is_ours(c, m);

	out->may_admit = m->method == SIP_M_REGISTER;
	if (ours < 0) {
		out->detail = sip_why_text(SIP_WHY_ROUTE);
		return refuse(m, out, GATE_MALFORMED, 400, "Bad Route", "", true);
	}
	switch (domain_find(c, m, ours, &out->domain)) {
	case GATE_OK:
		break;
	case GATE_NO_DOMAIN:
		return refuse(m, out, GATE_NO_DOMAIN, 403, "No SIP Domain In Request", "", false);
	default:
		return refuse(m, out, GATE_UNSERVED, 403, "Domain Not Served Here", "",
			      ++g->unserved >= GATE_UNSERVED_MAX);
	}
	switch (m->method) {
	case SIP_M_ACK:
	case SIP_M_BYE:
		out->old = ours; /* a phone that reconnected must be able to hang up */
				 /* fall through */
	case SIP_M_REGISTER:
	case SIP_M_OPTIONS:
		out->forward = m->whole;
		return GATE_FORWARD;
	default:
		out->may_hold = true;
		return refuse(m, out, GATE_NOT_ADMITTED, 403, "Register First", "", false);
	}
}

static enum gate_verdict parse_failed(struct span in, ssize_t err, enum sip_why why,
				      struct gate_out *out)
{
	char phrase[64];

	out->detail = sip_why_text(why);
	out->reason = err == -E2BIG ? GATE_TOO_LARGE : GATE_MALFORMED;
	if (err == -E2BIG)
		snprintf(phrase, sizeof(phrase), "Message Too Large");
	else
		snprintf(phrase, sizeof(phrase), "Bad Request (%s)", sip_why_text(why));
	out->reply_n = sip_answer(in, err == -E2BIG ? 513 : 400, phrase, "", out->reply,
				  sizeof(out->reply));
	return GATE_CLOSE;
}

static enum gate_verdict message_next(struct gate_sip *g, const struct gate_sip_config *c,
				      struct span in, struct gate_out *out)
{
	struct sip_msg m;
	enum sip_why why = SIP_OK;
	ssize_t n;

	if (!worth_a_try(g, in))
		return GATE_MORE;
	n = sip_msg_parse(in, true, c->message_max, &m, &why);
	if (n == -EAGAIN) {
		g->tried = in.n;
		g->work += in.n;
		if (g->work <= GATE_WORK_MAX)
			return GATE_MORE;
		out->reason = GATE_DRIBBLE;
		return GATE_CLOSE;
	}
	g->tried = 0;
	if (n <= 0)
		return parse_failed(in, n, why, out);
	out->used += (size_t)n;
	if (!m.request) {
		out->reason = GATE_RESPONSE;
		out->may_hold = true; /* to a request of the core's, ahead of its Admit */
		return GATE_CLOSE;
	}
	return request_next(g, c, &m, out);
}

enum gate_verdict gate_sip_next(struct gate_sip *g, const struct gate_sip_config *c, struct span in,
				struct gate_out *out)
{
	enum gate_verdict v;

	gate_out_init(out);
	v = keepalive_next(g, in, out);
	if (v != GATE_FORWARD)
		return v;
	return message_next(g, c, span_cut(in, out->used, in.n), out);
}

/* ---- the service ---- */

static int sip_init(void *gate, const void *config, const struct addr *client)
{
	(void)config;
	((struct gate_sip *)gate)->client = *client;
	return 0;
}

static enum gate_verdict sip_next(void *gate, const void *config, struct span in,
				  struct gate_out *out)
{
	return gate_sip_next(gate, config, in, out);
}

static enum gate_verdict sip_instead(void *gate, const void *config, enum gate_reason reason,
				     struct gate_out *out)
{
	static const char *const no_core = "Retry-After: 5\r\n";
	static const char *const draining = "Retry-After: " DRAIN_RETRY_S "\r\n";
	unsigned status = 403;
	const char *phrase, *extra = "";

	(void)gate, (void)config;
	out->reply_n = 0;
	switch (reason) {
	case GATE_OTHER_CORE:
		phrase = "Another Domain On This Connection";
		break;
	case GATE_NO_CORE:
	case GATE_NO_IDLE:
		status = 503;
		phrase = reason == GATE_NO_IDLE ? "No Free Connection To The Core"
						: "No Core For This Domain";
		extra = no_core;
		break;
	case GATE_DRAINING:
		status = 503;
		phrase = "Being Taken Out Of Service";
		extra = draining;
		break;
	case GATE_TOO_LARGE:
		status = 513;
		phrase = "Message Too Large";
		out->detail = sip_why_text(SIP_WHY_TOO_LONG);
		break;
	default:
		return GATE_CLOSE;
	}
	out->reply_n =
		sip_answer(out->forward, status, phrase, extra, out->reply, sizeof(out->reply));
	return reason == GATE_TOO_LARGE || reason == GATE_DRAINING ? GATE_CLOSE : GATE_REPLY;
}

const struct stream_service gate_sip_service = {
	.id = STREAM_SIP,
	.name = "sip",
	.gate_size = sizeof(struct gate_sip),
	.init = sip_init,
	.next = sip_next,
	.instead = sip_instead,
};
