/* user/gate.c -- the edge's SIP gate. See gate.h.
 *
 * Bytes come in from stream.c, verdicts go back; nothing is kept but the small struct gate that the stream owns. Design 3: REGISTER by
 * its Request-URI, other requests by our topmost Route, else From. */
#include "user/gate.h"

#include <errno.h>
#include <stdio.h>

#include "sip/keepalive.h"
#include "sip/write.h"

#define RETRY_STEP 256 /* bytes without a line end after which a message is looked at again */

static const struct {
	const char *name;
	unsigned score;
} reasons[GATE_REASONS] = {
	[GATE_OK] = {"ok", 0},
	[GATE_MALFORMED] = {"malformed", 1},
	[GATE_TOO_LARGE] = {"too-large", 1},
	[GATE_UNSERVED] = {"unserved-domain", 1},
	[GATE_NO_DOMAIN] = {"no-domain", 1},
	[GATE_NOT_ADMITTED] = {"not-admitted", 0},
	[GATE_RESPONSE] = {"response", 1},
	[GATE_DRIBBLE] = {"dribble", 5},
	[GATE_OTHER_CORE] = {"other-core", 1},
	[GATE_NO_CORE] = {"no-core", 0},
	[GATE_TLS] = {"tls", 1},
	[GATE_CAP_BYTES] = {"cap-bytes", 1},
	[GATE_CAP_SECONDS] = {"cap-seconds", 0},
	[GATE_PREFIX_FULL] = {"prefix-full", 0},
	[GATE_TOTAL_FULL] = {"total-full", 0},
	[GATE_BANNED] = {"banned", 0},
};

const char *gate_reason_name(enum gate_reason r)
{
	return r < GATE_REASONS ? reasons[r].name : "unknown";
}

unsigned gate_reason_score(enum gate_reason r)
{
	return r < GATE_REASONS ? reasons[r].score : 0;
}

/* ---- replies ---- */

/* The header fields that a response copies, as lines with their CRLF. */
struct fields {
	struct span vias[16];
	unsigned n_vias;
	struct span from, to, call_id, cseq;
	bool twice; /* one of them came a second time: no telling whose transaction it is */
	bool ack, to_tagged;
};

static void field_once(struct fields *f, struct span *slot, struct span line)
{
	if (slot->n)
		f->twice = true;
	*slot = line;
}

static void field_add(struct fields *f, enum sip_hdr id, struct span line)
{
	switch (id) {
	case SIP_H_VIA:
		if (f->n_vias < sizeof(f->vias) / sizeof(f->vias[0]))
			f->vias[f->n_vias++] = line;
		else
			f->twice = true;
		break;
	case SIP_H_FROM:
		field_once(f, &f->from, line);
		break;
	case SIP_H_TO:
		field_once(f, &f->to, line);
		break;
	case SIP_H_CALL_ID:
		field_once(f, &f->call_id, line);
		break;
	case SIP_H_CSEQ:
		field_once(f, &f->cseq, line);
		break;
	default:
		break;
	}
}

/* One line up to its CRLF, which is part of it. Empty: no whole line is left, or it holds a byte that must not be echoed. */
static struct span line_next(struct span in)
{
	size_t i;

	for (i = 0; i + 1 < in.n; i++) {
		if (in.p[i] == '\r' && in.p[i + 1] == '\n')
			return span_cut(in, 0, i + 2);
		if ((in.p[i] < 0x20 && in.p[i] != '\t') || in.p[i] == 0x7f)
			break;
	}
	return (struct span){};
}

static bool tag_in(struct span line)
{
	size_t i, k;

	for (i = 0; i < line.n; i++) {
		if (line.p[i] != ';')
			continue;
		for (k = i + 1; k < line.n && (line.p[k] == ' ' || line.p[k] == '\t'); k++)
			;
		if (span_ieq(span_cut(line, k, 3), SPAN("tag")))
			return true;
	}
	return false;
}

/* From a message that did not parse: whole lines only, unfolded ones only, nothing twice. Not a second reading of SIP: what is found here
 * is only echoed to who sent it, and the stream is closed behind it. */
static bool fields_salvage(struct span in, struct fields *f)
{
	struct span line, name;
	size_t colon;

	for (; in.n >= 2 && in.p[0] == '\r' && in.p[1] == '\n'; in = span_cut(in, 2, in.n))
		;
	line = line_next(in);
	if (!line.n || span_ieq(span_cut(line, 0, 4), SPAN("SIP/")))
		return false;
	f->ack = span_eq(span_cut(line, 0, 4), SPAN("ACK "));
	for (in = span_cut(in, line.n, in.n); (line = line_next(in)).n > 2;
	     in = span_cut(in, line.n, in.n)) {
		if (line.p[0] == ' ' || line.p[0] == '\t')
			return false;
		for (colon = 0; colon < line.n && line.p[colon] != ':'; colon++)
			;
		for (name = span_cut(line, 0, colon);
		     name.n && (name.p[name.n - 1] == ' ' || name.p[name.n - 1] == '\t');)
			name.n--;
		field_add(f, sip_hdr_from_name(name), line);
	}
	f->to_tagged = tag_in(f->to);
	return true;
}

static bool fields_take(const struct sip_msg *m, struct fields *f)
{
	unsigned i;

	if (!m->request)
		return false;
	for (i = 0; i < m->n_headers; i++)
		field_add(f, m->headers[i].id, m->headers[i].line);
	f->ack = m->method == SIP_M_ACK;
	f->to_tagged = m->to_tag.n > 0;
	return true;
}

/* FNV-1a. A tag need not be secret here; a repeated request gets the same one (RFC 3261 8.2.7). */
static uint64_t tag_make(const struct fields *f)
{
	const struct span parts[] = {f->call_id, f->from, f->cseq};
	uint64_t h = 0xcbf29ce484222325u;
	size_t i, k;

	for (i = 0; i < 3; i++)
		for (k = 0; k < parts[i].n; k++)
			h = (h ^ parts[i].p[k]) * 0x100000001b3u;
	return h;
}

static size_t reply_write(const struct fields *f, unsigned status, const char *phrase,
			  const char *extra, uint8_t *buf, size_t n)
{
	struct span to = f->to;
	struct sip_out o;
	unsigned i;
	ssize_t len;

	if (f->ack || f->twice || !f->n_vias || !f->from.n || !f->to.n || !f->call_id.n ||
	    !f->cseq.n)
		return 0;
	sip_out_init(&o, buf, n);
	sip_out_text(&o, "SIP/2.0 %u %s\r\n", status, phrase);
	for (i = 0; i < f->n_vias; i++)
		sip_out_span(&o, f->vias[i]);
	sip_out_span(&o, f->from);
	while (to.n && (to.p[to.n - 1] <= ' '))
		to.n--;
	sip_out_span(&o, to);
	if (!f->to_tagged)
		sip_out_text(&o, ";tag=%016llx", (unsigned long long)tag_make(f));
	sip_out_text(&o, "\r\n");
	sip_out_span(&o, f->call_id);
	sip_out_span(&o, f->cseq);
	sip_out_text(&o, "%sServer: sallyport\r\n", extra);
	len = sip_out_body(&o, (struct span){});
	return len > 0 ? (size_t)len : 0;
}

size_t gate_answer(struct span in, unsigned status, const char *phrase, const char *extra,
		   uint8_t *buf, size_t n)
{
	struct sip_msg m;
	struct fields f = {};
	enum sip_why why;
	bool ok;

	if (sip_msg_parse(in, true, in.n, &m, &why) > 0)
		ok = fields_take(&m, &f);
	else
		ok = fields_salvage(in, &f);
	return ok ? reply_write(&f, status, phrase, extra, buf, n) : 0;
}

static enum gate_verdict refuse(const struct sip_msg *m, struct gate_out *out,
				enum gate_reason reason, unsigned status, const char *phrase,
				const char *extra, bool close)
{
	struct fields f = {};

	out->reason = reason;
	if (fields_take(m, &f))
		out->reply_n =
			reply_write(&f, status, phrase, extra, out->reply, sizeof(out->reply));
	return close ? GATE_CLOSE : GATE_REPLY;
}

/* ---- keepalives ---- */

/* Take and answer what keeps the connection alive between messages. GATE_FORWARD stands for: a message begins at out->used. */
static enum gate_verdict keepalive_next(struct gate *g, struct span in, struct gate_out *out)
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
static bool worth_a_try(struct gate *g, struct span in)
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
static int route_is_ours(const struct gate_config *c, const struct sip_msg *m)
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
static enum gate_reason domain_find(const struct gate_config *c, const struct sip_msg *m, bool ours,
				    struct span *out)
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

static enum gate_verdict request_next(struct gate *g, const struct gate_config *c,
				      const struct sip_msg *m, struct gate_out *out)
{
	int ours = route_is_ours(c, m);

	out->method = m->method;
	if (ours < 0) {
		out->why = SIP_WHY_ROUTE;
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
	case SIP_M_REGISTER:
	case SIP_M_OPTIONS:
	case SIP_M_ACK:
	case SIP_M_BYE:
		out->forward = m->whole;
		return GATE_FORWARD;
	default:
		return refuse(m, out, GATE_NOT_ADMITTED, 403, "Register First", "", false);
	}
}

static enum gate_verdict parse_failed(struct span in, ssize_t err, enum sip_why why,
				      struct gate_out *out)
{
	char phrase[64];

	out->why = why;
	out->reason = err == -E2BIG ? GATE_TOO_LARGE : GATE_MALFORMED;
	if (err == -E2BIG)
		snprintf(phrase, sizeof(phrase), "Message Too Large");
	else
		snprintf(phrase, sizeof(phrase), "Bad Request (%s)", sip_why_text(why));
	out->reply_n = gate_answer(in, err == -E2BIG ? 513 : 400, phrase, "", out->reply,
				   sizeof(out->reply));
	return GATE_CLOSE;
}

static enum gate_verdict message_next(struct gate *g, const struct gate_config *c, struct span in,
				      struct gate_out *out)
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
		return GATE_CLOSE;
	}
	return request_next(g, c, &m, out);
}

enum gate_verdict gate_next(struct gate *g, const struct gate_config *c, struct span in,
			    struct gate_out *out)
{
	enum gate_verdict v;

	out->used = out->reply_n = 0;
	out->forward = out->domain = (struct span){};
	out->method = SIP_M_OTHER;
	out->reason = GATE_OK;
	out->why = SIP_OK;
	v = keepalive_next(g, in, out);
	if (v != GATE_FORWARD)
		return v;
	return message_next(g, c, span_cut(in, out->used, in.n), out);
}
