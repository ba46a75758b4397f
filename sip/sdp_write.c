/* sip/sdp_write.c -- a session description rewritten for a media anchor. See sdp.h.
 *
 * In: a parsed description and an edit a section. Out: text in the caller's buffer, lines ending in CRLF. Every line that no edit
 * touches is copied in its order. One c= stands at session level, and one more in a section whose address is another. */
#include <errno.h>

#include "sip/scan.h"
#include "sip/sdp_line.h"
#include "sip/write.h"

/* Attributes that describe a transport or a key which ends at the anchor. RFC 5939's capabilities would offer them again by a
 * side door. */
static bool attribute_drop(struct span name)
{
	static const char *const names[] = {
		"crypto",	 "rtcp",      "rtcp-mux",
		"rtcp-mux-only", "candidate", "end-of-candidates",
		"fingerprint",	 "setup",     "remote-candidates",
		"tls-id",	 "key-mgmt",  "acap",
		"tcap",		 "pcfg",      "acfg",
	};
	size_t i;

	if (name.n >= 4 && span_ieq(span_cut(name, 0, 4), SPAN("ice-")))
		return true;
	for (i = 0; i < sizeof(names) / sizeof(names[0]); i++)
		if (span_ieq(name, span_str(names[i])))
			return true;
	return false;
}

static bool line_drop(const struct sdp_line *l)
{
	struct span name, value;

	if (l->type == 'c')
		return true;
	if (l->type != 'a')
		return false;
	sdp_attribute(l->value, &name, &value);
	return attribute_drop(name);
}

static void out_line(struct sip_out *o, const struct sdp_line *l)
{
	sip_out_span(o, span_of(&l->type, 1));
	sip_out_span(o, SPAN("="));
	sip_out_span(o, l->value);
	sip_out_span(o, SPAN("\r\n"));
}

static void out_address(struct sip_out *o, const struct addr *a)
{
	char text[ADDR_TEXT_MAX];

	sip_out_text(o, "IN IP%c %s\r\n", addr_is_v4(a) ? '4' : '6', addr_ip_text(a, text));
}

static void out_connection(struct sip_out *o, const struct addr *a)
{
	sip_out_span(o, SPAN("c="));
	out_address(o, a);
}

/* User name, session id and version stay: the version must rise by one with each change, and only its writer counts. */
static void out_origin(struct sip_out *o, struct span origin, const struct addr *a)
{
	struct span rest = origin, f;
	int i;

	for (i = 0; i < 3; i++)
		(void)sdp_field(&rest, &f);
	sip_out_span(o, SPAN("o="));
	sip_out_span(o, span_cut(origin, 0, origin.n - rest.n));
	out_address(o, a);
}

/* @a: NULL when there is no section, so nothing to anchor: addresses stay as they came. */
static void out_session(struct sip_out *o, const struct sdp *s, const struct addr *a)
{
	struct span rest = s->session;
	bool connected = !a;
	struct sdp_line l;

	while (sdp_line_next(&rest, &l) == 1) {
		/* sdp_parse made sure that a t= comes. */
		if (!connected && memchr("btrzka", l.type, 6)) {
			out_connection(o, a);
			connected = true;
		}
		if (a && l.type == 'o')
			out_origin(o, l.value, a);
		else if (!line_drop(&l) || (!a && l.type == 'c'))
			out_line(o, &l);
	}
}

/* RTP profiles over UDP by @secure; the feedback 'F' is kept. Anything else (RTP over TCP, udptl) keeps its name, and so does DTLS where
 * it is rejected: the answer must name what the offer named. */
static struct span profile(const struct sdp_media *m, const struct sdp_media_edit *e)
{
	struct span p = m->proto_text;
	bool dtls = span_eq(p, SPAN("UDP/TLS/RTP/SAVP")) || span_eq(p, SPAN("UDP/TLS/RTP/SAVPF"));
	bool feedback = p.n && p.p[p.n - 1] == 'F';

	if (m->proto == SDP_PROTO_OTHER && (!dtls || e->reject))
		return p;
	if (e->secure)
		return feedback ? SPAN("RTP/SAVPF") : SPAN("RTP/SAVP");
	return feedback ? SPAN("RTP/AVPF") : SPAN("RTP/AVP");
}

static void out_base64(struct sip_out *o, const uint8_t *p, size_t n)
{
	static const char digits[] =
		"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
	size_t i;

	for (i = 0; i < n; i += 3) {
		uint32_t v = (uint32_t)p[i] << 16 | (i + 1 < n ? (uint32_t)p[i + 1] << 8 : 0) |
			     (i + 2 < n ? p[i + 2] : 0);
		char four[4] = {digits[v >> 18], digits[v >> 12 & 63],
				i + 1 < n ? digits[v >> 6 & 63] : '=',
				i + 2 < n ? digits[v & 63] : '='};

		sip_out_span(o, span_of(four, 4));
	}
}

static void out_kept(struct sip_out *o, struct span line)
{
	while (line.n && (line.p[line.n - 1] == '\n' || line.p[line.n - 1] == '\r'))
		line.n--;
	sip_out_span(o, line);
	sip_out_span(o, SPAN("\r\n"));
}

static void out_attributes(struct sip_out *o, const struct sdp_media_edit *e)
{
	unsigned i;

	for (i = 0; i < e->n_crypto; i++) {
		sip_out_text(o, "a=crypto:%u %s inline:", e->crypto[i].tag, e->crypto[i].suite);
		out_base64(o, e->crypto[i].key, e->crypto[i].key_len);
		sip_out_span(o, SPAN("\r\n"));
	}
	for (i = 0; i < e->n_keep; i++)
		out_kept(o, e->keep[i]);
	/* RTCP one port above is what everybody takes for granted. */
	if (e->rtcp_port && e->rtcp_port != e->port + 1)
		sip_out_text(o, "a=rtcp:%u\r\n", e->rtcp_port);
	if (e->rtcp_mux)
		sip_out_span(o, SPAN("a=rtcp-mux\r\n"));
}

static void out_media_line(struct sip_out *o, const struct sdp_media *m,
			   const struct sdp_media_edit *e)
{
	sip_out_span(o, SPAN("m="));
	sip_out_span(o, m->type);
	sip_out_text(o, " %u ", e->reject ? 0 : e->port);
	sip_out_span(o, profile(m, e));
	sip_out_span(o, SPAN(" "));
	sip_out_span(o, m->formats);
	sip_out_span(o, SPAN("\r\n"));
}

static bool is_mid(const struct sdp_line *l)
{
	struct span name, value;

	sdp_attribute(l->value, &name, &value);
	return l->type == 'a' && span_ieq(name, SPAN("mid"));
}

static void out_media(struct sip_out *o, const struct sdp_media *m, const struct sdp_media_edit *e,
		      const struct addr *session)
{
	bool connected = e->reject || addr_ip_eq(&e->addr, session);
	struct span rest = m->lines;
	struct sdp_line l;

	out_media_line(o, m, e);
	(void)sdp_line_next(&rest, &l); /* m= itself */
	while (sdp_line_next(&rest, &l) == 1) {
		if (!connected && l.type != 'i') {
			out_connection(o, &e->addr);
			connected = true;
		}
		if (e->reject ? is_mid(&l) : !line_drop(&l))
			out_line(o, &l);
	}
	if (!connected)
		out_connection(o, &e->addr);
	if (!e->reject)
		out_attributes(o, e);
}

ssize_t sdp_rewrite(const struct sdp *s, const struct sdp_media_edit *edits, unsigned n, void *buf,
		    size_t cap)
{
	const struct addr *a = NULL;
	struct sip_out o;
	unsigned i;

	if (n != s->n_media)
		return -EINVAL;
	for (i = n; i-- > 0;)
		if (!edits[i].reject)
			a = &edits[i].addr;
	if (!a && n)
		a = &edits[0].addr;
	sip_out_init(&o, buf, cap);
	out_session(&o, s, a);
	for (i = 0; i < n; i++)
		out_media(&o, &s->media[i], &edits[i], a);
	return o.overflow ? -E2BIG : (ssize_t)o.n;
}
