/* sip/answer.c -- refusals written without a transaction. See answer.h. */
#include "sip/answer.h"

#include "sip/write.h"

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

size_t sip_answer_msg(const struct sip_msg *m, unsigned status, const char *phrase,
		      const char *extra, uint8_t *buf, size_t n)
{
	struct fields f = {};

	return fields_take(m, &f) ? reply_write(&f, status, phrase, extra, buf, n) : 0;
}

size_t sip_answer(struct span in, unsigned status, const char *phrase, const char *extra,
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
