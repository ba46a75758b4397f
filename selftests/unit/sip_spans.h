/* selftests/unit/sip_spans.h -- whether every slice of a parsed message lies inside the bytes it was parsed from.
 *
 * In: a message (or description) and its input. Out: true, or false for the first slice that does not. Shared by the unit tests and
 * the fuzz targets. */
#ifndef SALLYPORT_SIP_SPANS_H
#define SALLYPORT_SIP_SPANS_H

#include "sip/sdp.h"
#include "sip/sip.h"

static inline bool span_inside(struct span s, struct span in)
{
	return s.n == 0 || (s.p >= in.p && s.p + s.n <= in.p + in.n);
}

static inline bool uri_inside(const struct sip_uri *u, struct span in)
{
	return span_inside(u->whole, in) && span_inside(u->scheme, u->whole) &&
	       span_inside(u->user, u->whole) && span_inside(u->password, u->whole) &&
	       span_inside(u->host, u->whole) && span_inside(u->params, u->whole) &&
	       span_inside(u->headers, u->whole);
}

static inline bool addr_inside(const struct sip_addr *a, struct span in)
{
	return span_inside(a->whole, in) && span_inside(a->display, a->whole) &&
	       uri_inside(&a->uri, a->whole) && span_inside(a->params, a->whole);
}

static inline bool via_inside(const struct sip_via *v, struct span in)
{
	return span_inside(v->whole, in) && span_inside(v->protocol, v->whole) &&
	       span_inside(v->host, v->whole) && span_inside(v->params, v->whole) &&
	       span_inside(v->branch, v->params) && span_inside(v->received, v->params);
}

static inline bool msg_inside(const struct sip_msg *m, struct span in)
{
	unsigned i;

	for (i = 0; i < m->n_headers; i++) {
		const struct sip_header *h = &m->headers[i];

		if (!span_inside(h->line, m->whole) || !span_inside(h->name, h->line) ||
		    !span_inside(h->value, h->line))
			return false;
	}
	return span_inside(m->whole, in) && span_inside(m->start_line, m->whole) &&
	       span_inside(m->body, m->whole) && span_inside(m->method_text, m->whole) &&
	       span_inside(m->reason, m->start_line) && uri_inside(&m->ruri, m->start_line) &&
	       via_inside(&m->via, m->whole) && addr_inside(&m->from, m->whole) &&
	       addr_inside(&m->to, m->whole) && span_inside(m->from_tag, m->from.params) &&
	       span_inside(m->to_tag, m->to.params) && span_inside(m->call_id, m->whole) &&
	       span_inside(m->cseq_method, m->whole);
}

static inline bool sdp_inside(const struct sdp *s, struct span in)
{
	unsigned i, j;

	for (i = 0; i < s->n_media; i++) {
		const struct sdp_media *m = &s->media[i];

		if (!span_inside(m->lines, in) || !span_inside(m->type, m->lines) ||
		    !span_inside(m->proto_text, m->lines) || !span_inside(m->formats, m->lines))
			return false;
		for (j = 0; j < m->n_crypto; j++)
			if (!span_inside(m->crypto[j].line, m->lines) ||
			    !span_inside(m->crypto[j].suite, m->crypto[j].line) ||
			    !span_inside(m->crypto[j].key_b64, m->crypto[j].line) ||
			    !span_inside(m->crypto[j].params, m->crypto[j].line))
				return false;
	}
	return span_inside(s->whole, in) && span_inside(s->session, in) &&
	       span_inside(s->origin, s->session);
}

#endif
