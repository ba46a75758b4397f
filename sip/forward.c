/* sip/forward.c -- see forward.h. In: parsed messages. Out: bytes. Owns nothing. */
#include "sip/forward.h"

#include <errno.h>

/* A compact form under its full name, those of RFC 3515, 3841, 4474 and 6665 included, which have no id here. */
static struct span forward_full_name(struct span name)
{
	static const struct {
		char compact;
		const char *full;
	} others[] = {
		{'a', "Accept-Contact"}, {'d', "Request-Disposition"},
		{'j', "Reject-Contact"}, {'n', "Identity-Info"},
		{'s', "Subject"},	 {'u', "Allow-Events"},
		{'y', "Identity"},
	};
	enum sip_hdr id = sip_hdr_from_name(name);
	size_t i;

	if (id != SIP_H_OTHER)
		return span_str(sip_hdr_name(id));
	for (i = 0; name.n == 1 && i < sizeof(others) / sizeof(others[0]); i++)
		if ((char)span_lower(name.p[0]) == others[i].compact)
			return span_str(others[i].full);
	return name;
}

static bool forward_trusted(const struct engine_server *s, struct span name)
{
	unsigned i;

	if (!s || s->n_trusted_headers == 0)
		return false;
	name = forward_full_name(name);
	for (i = 0; i < s->n_trusted_headers; i++)
		if (span_ieq(name, forward_full_name(span_str(s->trusted_headers[i]))))
			return true;
	return false;
}

/* The topmost Via of a request with where it really came from (RFC 3261 18.2.1, RFC 3581 4). What the sender wrote as
 * received or rport value does not pass. */
static void forward_via_received(struct sip_out *o, const struct sip_via *v, const struct addr *src)
{
	struct span rest = v->params;
	struct sip_param p;
	char ip[ADDR_TEXT_MAX];

	sip_out_span(o, v->params.n ? span_of(v->whole.p, (size_t)(v->params.p - v->whole.p))
				    : v->whole);
	while (sip_param_next(&rest, &p) == 1) {
		if (span_ieq(p.name, SPAN("received")) || span_ieq(p.name, SPAN("rport")))
			continue;
		sip_out_text(o, ";");
		sip_out_span(o, p.name);
		if (p.has_value) {
			sip_out_text(o, "=");
			sip_out_span(o, p.value);
		}
	}
	sip_out_text(o, ";received=%s", addr_ip_text(src, ip));
	if (v->has_rport)
		sip_out_text(o, ";rport=%u", src->port);
}

static void forward_first_via(struct sip_out *o, const struct sip_header *h,
			      const struct sip_via *top, const struct addr *src)
{
	struct span rest = h->value;
	struct sip_via v;
	bool first = true;

	sip_out_span(o, h->name);
	sip_out_text(o, ": ");
	while (sip_via_next(&rest, &v) == 1) {
		if (first)
			forward_via_received(o, top, src);
		else
			sip_out_text(o, ", "), sip_out_span(o, v.whole);
		first = false;
	}
	sip_out_text(o, "\r\n");
}

/* What is left of the first Via field without its first element. */
static void forward_pop_via(struct sip_out *o, const struct sip_header *h)
{
	struct span rest = h->value;
	struct sip_via v;
	bool wrote = false;

	if (sip_via_next(&rest, &v) != 1)
		return;
	while (sip_via_next(&rest, &v) == 1) {
		sip_out_text(o, wrote ? ", " : "Via: ");
		sip_out_span(o, v.whole);
		wrote = true;
	}
	if (wrote)
		sip_out_text(o, "\r\n");
}

static bool forward_replaced(struct sip_out *o, const struct sip_msg *m, const struct edit *ed,
			     unsigned i)
{
	unsigned k;

	for (k = 0; k < ed->n_lines; k++) {
		if (ed->lines[k].index != i)
			continue;
		sip_out_span(o, m->headers[i].name);
		sip_out_text(o, ": ");
		sip_out_span(o, ed->lines[k].value);
		sip_out_text(o, "\r\n");
		return true;
	}
	return false;
}

static void forward_fields(struct sip_out *o, const struct sip_msg *m, const struct edit *ed)
{
	uint64_t drop = ed->drop | SIP_BIT(SIP_H_CONTENT_LENGTH);
	bool via = false;
	unsigned i;

	if (ed->new_body && ed->body.n == 0)
		drop |= SIP_BIT(SIP_H_CONTENT_TYPE);
	if (ed->max_forwards >= 0)
		drop |= SIP_BIT(SIP_H_MAX_FORWARDS);
	for (i = 0; i < m->n_headers; i++) {
		const struct sip_header *h = &m->headers[i];

		if (h->id == SIP_H_VIA && ed->way_back)
			continue;
		if (h->id == SIP_H_VIA && !via) {
			via = true;
			if (!m->request) {
				forward_pop_via(o, h);
				continue;
			}
			if (ed->received) {
				forward_first_via(o, h, &m->via, ed->received);
				continue;
			}
		}
		if (h->id != SIP_H_OTHER && (drop & SIP_BIT(h->id)))
			continue;
		if (forward_trusted(ed->trusted, h->name) || forward_replaced(o, m, ed, i))
			continue;
		sip_out_span(o, h->line);
	}
}

static void forward_request_line(struct sip_out *o, const struct sip_msg *m, struct span ruri)
{
	if (ruri.n == 0) {
		sip_out_span(o, m->start_line);
		return;
	}
	sip_out_span(o, m->method_text);
	sip_out_text(o, " ");
	sip_out_span(o, ruri);
	sip_out_text(o, " SIP/2.0");
}

ssize_t forward_request(const struct sip_msg *m, const struct edit *ed, void *buf, size_t cap)
{
	struct sip_out o;
	unsigned i;

	sip_out_init(&o, buf, cap);
	forward_request_line(&o, m, ed->ruri);
	sip_out_text(&o, "\r\n%s", ed->first ? ed->first : "");
	for (i = 0; i < ed->n_routes; i++)
		sip_out_header(&o, "Route", ed->routes[i].whole);
	if (ed->max_forwards >= 0)
		sip_out_text(&o, "Max-Forwards: %d\r\n", ed->max_forwards);
	forward_fields(&o, m, ed);
	return sip_out_body(&o, ed->new_body ? ed->body : m->body);
}

/* The Via fields of request @req as it went on, without ours, and the Record-Route of @sent. */
static void forward_way_back(struct sip_out *o, const struct sip_msg *req,
			     const struct sip_msg *sent, const struct addr *received)
{
	const struct sip_header *h;
	unsigned at = 0;

	for (; (h = sip_header_find(req, SIP_H_VIA, at, &at)); at++) {
		if (received)
			forward_first_via(o, h, &req->via, received);
		else
			sip_out_span(o, h->line);
		received = NULL;
	}
	for (at = 0; sent && (h = sip_header_find(sent, SIP_H_RECORD_ROUTE, at, &at)); at++)
		sip_out_span(o, h->line);
}

ssize_t forward_response(const struct sip_msg *m, const struct edit *ed, void *buf, size_t cap)
{
	struct sip_out o;

	sip_out_init(&o, buf, cap);
	sip_out_span(&o, m->start_line);
	sip_out_text(&o, "\r\n%s", ed->first ? ed->first : "");
	if (ed->way_back)
		forward_way_back(&o, ed->way_back, ed->records, ed->received);
	forward_fields(&o, m, ed);
	return sip_out_body(&o, ed->new_body ? ed->body : m->body);
}

ssize_t forward_answer(const struct sip_msg *req, const struct addr *received, unsigned status,
		       const char *reason, const char *tag, const char *more, void *buf, size_t cap)
{
	struct sip_out o;
	bool via = false;
	unsigned i;

	sip_out_init(&o, buf, cap);
	sip_out_text(&o, "SIP/2.0 %u %s\r\n", status, reason);
	for (i = 0; i < req->n_headers; i++) {
		const struct sip_header *h = &req->headers[i];

		if (h->id == SIP_H_VIA && !via && received) {
			forward_first_via(&o, h, &req->via, received);
			via = true;
		} else if (h->id == SIP_H_TO && tag && req->to_tag.n == 0) {
			sip_out_text(&o, "To: ");
			sip_out_span(&o, h->value);
			sip_out_text(&o, ";tag=%s\r\n", tag);
		} else if (h->id == SIP_H_VIA || h->id == SIP_H_FROM || h->id == SIP_H_TO ||
			   h->id == SIP_H_CALL_ID || h->id == SIP_H_CSEQ) {
			sip_out_span(&o, h->line);
		}
	}
	sip_out_text(&o, "%s", more ? more : "");
	return sip_out_body(&o, SPAN(""));
}

ssize_t forward_hop(const struct sip_msg *sent, const char *method, struct span to, void *buf,
		    size_t cap)
{
	struct sip_out o;
	unsigned i;

	sip_out_init(&o, buf, cap);
	sip_out_text(&o, "%s ", method);
	sip_out_span(&o, sent->ruri.whole);
	sip_out_text(&o, " SIP/2.0\r\nVia: ");
	sip_out_span(&o, sent->via.whole);
	sip_out_text(&o, "\r\nMax-Forwards: 70\r\n");
	for (i = 0; i < sent->n_headers; i++) {
		const struct sip_header *h = &sent->headers[i];

		if (h->id == SIP_H_TO && to.n)
			sip_out_header(&o, "To", to);
		else if (h->id == SIP_H_ROUTE || h->id == SIP_H_FROM || h->id == SIP_H_TO ||
			 h->id == SIP_H_CALL_ID)
			sip_out_span(&o, h->line);
	}
	sip_out_text(&o, "CSeq: %u %s\r\n", sent->cseq, method);
	return sip_out_body(&o, SPAN(""));
}
