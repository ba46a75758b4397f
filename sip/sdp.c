/* sip/sdp.c -- session descriptions parsed as slices. See sdp.h.
 *
 * In: a body's bytes. Out: struct sdp with what a media anchor needs to know; everything else is only checked to be lines. Strict
 * about what is used, so that the two ends of a call cannot read two different addresses or keys out of one description. */
#include "sip/sdp.h"

#include <errno.h>

#include "sip/scan.h"
#include "sip/sdp_line.h"

static const char *const why_texts[SDP_WHYS] = {
	[SDP_OK] = "ok",
	[SDP_WHY_LINE] = "line",
	[SDP_WHY_ORDER] = "order of lines",
	[SDP_WHY_VERSION] = "version",
	[SDP_WHY_ORIGIN] = "origin",
	[SDP_WHY_CONNECTION] = "connection",
	[SDP_WHY_MEDIA] = "media line",
	[SDP_WHY_TOO_MANY] = "too many media or crypto lines",
	[SDP_WHY_CRYPTO] = "crypto",
	[SDP_WHY_RTCP] = "rtcp",
};

const char *sdp_why_text(enum sdp_why w)
{
	return (unsigned)w < SDP_WHYS ? why_texts[w] : "unknown";
}

struct reading { /* of one description */
	struct sdp *s;
	struct sdp_media *m; /* the section that is being read; NULL: the session */
	bool origin, name, time;
	bool has_direction, media_direction, has_rtcp, rtcp_has_addr;
	bool ice, dtls; /* at session level: for every section */
	enum sdp_direction direction;
};

int sdp_line_next(struct span *rest, struct sdp_line *out)
{
	struct span line = scan_until(*rest, '\n');
	size_t whole = line.n < rest->n ? line.n + 1 : line.n;

	if (rest->n == 0)
		return 0;
	out->whole = span_cut(*rest, 0, whole);
	if (line.n && line.p[line.n - 1] == '\r')
		line.n--;
	if (line.n < 2 || line.p[0] < 'a' || line.p[0] > 'z' || line.p[1] != '=' ||
	    memchr(line.p, '\r', line.n) || memchr(line.p, 0, line.n))
		return -EBADMSG;
	out->type = (char)line.p[0];
	out->value = span_cut(line, 2, line.n);
	scan_skip(rest, whole);
	return 1;
}

void sdp_attribute(struct span line_value, struct span *name, struct span *value)
{
	*name = scan_until(line_value, ':');
	*value = span_cut(line_value, name->n + 1, line_value.n);
}

bool sdp_field(struct span *s, struct span *out)
{
	struct span f = scan_until(*s, ' ');

	scan_skip(s, f.n + 1);
	*out = f;
	return f.n > 0;
}

/* Printable ASCII without a space. */
static bool visible(struct span s)
{
	size_t i;

	for (i = 0; i < s.n; i++)
		if (s.p[i] <= ' ' || s.p[i] >= 0x7f)
			return false;
	return s.n > 0;
}

/* "IN IP4 address": @out is the address when it is a unicast literal of the family it claims, else *valid is false. */
static bool connection(struct span s, struct addr *out, bool *valid)
{
	struct span net, family, text;
	struct addr a = {};
	bool v6, literal;

	if (!sdp_field(&s, &net) || !sdp_field(&s, &family) || !visible(s) ||
	    !span_eq(net, SPAN("IN")))
		return false;
	v6 = span_eq(family, SPAN("IP6"));
	if (!v6 && !span_eq(family, SPAN("IP4")))
		return false;
	text = s;
	if (text.p[0] == '[')
		return false;
	literal = addr_parse(text, &a) == 0 && a.port == 0;
	if (literal && v6 != !!memchr(text.p, ':', text.n))
		return false;
	if (!literal && memchr(text.p, ':', text.n) && !memchr(text.p, '/', text.n))
		return false;
	*valid = literal && (addr_is_v4(&a) ? a.ip[12] < 224 : a.ip[0] != 0xff);
	*out = *valid ? a : (struct addr){};
	return true;
}

/* username sess-id sess-version IN IP4|IP6 address (RFC 8866 5.2) */
static bool origin(struct span s)
{
	struct span user, id, version;
	struct addr a;
	bool valid;

	if (!sdp_field(&s, &user) || !sdp_field(&s, &id) || !sdp_field(&s, &version))
		return false;
	return scan_run(id, SCAN_DIGIT) == id.n && scan_run(version, SCAN_DIGIT) == version.n &&
	       connection(s, &a, &valid);
}

static bool port(struct span s, uint16_t *out)
{
	uint32_t v;

	if (s.n > 5 || sip_number(s, 65535, &v))
		return false;
	*out = (uint16_t)v;
	return true;
}

static enum sdp_proto proto(struct span s)
{
	static const char *const names[] = {
		[SDP_RTP_AVP] = "RTP/AVP",
		[SDP_RTP_AVPF] = "RTP/AVPF",
		[SDP_RTP_SAVP] = "RTP/SAVP",
		[SDP_RTP_SAVPF] = "RTP/SAVPF",
	};
	unsigned i;

	for (i = 0; i < SDP_PROTO_OTHER; i++)
		if (span_eq(s, span_str(names[i])))
			return (enum sdp_proto)i;
	return SDP_PROTO_OTHER;
}

/* type port[/ports] proto format... (RFC 8866 5.14) */
static bool media_line(struct span s, struct sdp_media *m)
{
	struct span ports, rest, one;

	m->ports = 1;
	if (!sdp_field(&s, &m->type) || !visible(m->type) || !sdp_field(&s, &ports) ||
	    !sdp_field(&s, &m->proto_text) || !visible(m->proto_text))
		return false;
	one = scan_until(ports, '/');
	if (!port(one, &m->port))
		return false;
	if (one.n < ports.n &&
	    (!port(span_cut(ports, one.n + 1, ports.n), &m->ports) || m->ports == 0))
		return false;
	m->proto = proto(m->proto_text);
	m->formats = rest = s;
	do {
		if (!sdp_field(&rest, &one) || !visible(one))
			return false;
	} while (rest.n);
	return s.p[s.n - 1] != ' ';
}

/* RFC 4648 section 4, padded or not at all: RFC 4568 does not say, and rtpengine leaves padding out unless told otherwise. */
static bool base64(struct span s)
{
	size_t n = scan_run(s, SCAN_BASE64);

	if (n == s.n)
		return n > 0 && n % 4 != 1;
	if (n == 0 || s.n % 4 || s.n - n > 2)
		return false;
	return scan_until(s, '=').n == n && (s.n - n < 2 || s.p[n + 1] == '=') &&
	       (s.n == n || s.p[n] == '=');
}

static bool digits(struct span s, size_t max)
{
	return s.n && s.n <= max && scan_run(s, SCAN_DIGIT) == s.n;
}

/* ["2^"] digits */
static bool lifetime(struct span s)
{
	if (s.n > 2 && s.p[0] == '2' && s.p[1] == '^')
		scan_skip(&s, 2);
	return digits(s, 15);
}

/* KEY[|lifetime][|MKI:length] (RFC 4568 6.1) */
static bool inline_key(struct span s, struct sdp_crypto *c)
{
	struct span one;

	c->key_b64 = one = scan_until(s, '|');
	if (!base64(one))
		return false;
	while (one.n < s.n) {
		scan_skip(&s, one.n + 1);
		one = scan_until(s, '|');
		if (one.n && memchr(one.p, ':', one.n)) {
			struct span mki = scan_until(one, ':');

			if (c->has_mki || !digits(mki, 15) ||
			    !digits(span_cut(one, mki.n + 1, one.n), 3))
				return false;
			c->has_mki = true;
		} else {
			if (c->has_lifetime || c->has_mki || !lifetime(one))
				return false;
			c->has_lifetime = true;
		}
	}
	return true;
}

/* TAG SUITE KEY-PARAMS [SESSION-PARAMS]. 1: listed; 0: well-formed, but of a kind that we have no use for. */
static int crypto(struct span s, struct sdp_crypto *c)
{
	struct span tag, key, rest, one;

	if (!sdp_field(&s, &tag) || !digits(tag, 9) || sip_number(tag, UINT32_MAX, &c->tag) ||
	    !sdp_field(&s, &c->suite) || !visible(c->suite) || !sdp_field(&s, &key) ||
	    !visible(key))
		return -EBADMSG;
	for (rest = s; rest.n;)
		if (!sdp_field(&rest, &one) || !visible(one))
			return -EBADMSG;
	c->params = s;
	one = scan_until(key, ':');
	if (one.n == 0 || one.n == key.n)
		return -EBADMSG;
	/* Another key method, or several keys of one suite: only with MKI in every packet, which nobody sends us. */
	if (!span_ieq(one, SPAN("inline")) || memchr(key.p, ';', key.n))
		return 0;
	return inline_key(span_cut(key, one.n + 1, key.n), c) ? 1 : -EBADMSG;
}

static enum sdp_why crypto_line(struct sdp_media *m, struct span value, struct span line)
{
	struct sdp_crypto c = {.line = line};
	unsigned i;
	int r = crypto(value, &c);

	if (r <= 0)
		return r ? SDP_WHY_CRYPTO : SDP_OK;
	for (i = 0; i < m->n_crypto; i++)
		if (m->crypto[i].tag == c.tag)
			return SDP_WHY_CRYPTO;
	if (m->n_crypto == SDP_CRYPTO_MAX)
		return SDP_WHY_TOO_MANY;
	m->crypto[m->n_crypto++] = c;
	return SDP_OK;
}

/* PORT [IN IP4|IP6 address] (RFC 3605) */
static enum sdp_why rtcp_line(struct reading *r, struct span value)
{
	struct span p;
	bool valid;

	if (r->has_rtcp || !sdp_field(&value, &p) || !scan_port(p, &r->m->rtcp_port))
		return SDP_WHY_RTCP;
	r->has_rtcp = true;
	if (value.n == 0)
		return SDP_OK;
	if (!connection(value, &r->m->rtcp_addr, &valid) || !valid)
		return SDP_WHY_RTCP;
	r->rtcp_has_addr = true;
	return SDP_OK;
}

static bool direction(struct span name, enum sdp_direction *out)
{
	static const char *const names[] = {
		[SDP_SENDRECV] = "sendrecv",
		[SDP_SENDONLY] = "sendonly",
		[SDP_RECVONLY] = "recvonly",
		[SDP_INACTIVE] = "inactive",
	};
	unsigned i;

	for (i = 0; i <= SDP_INACTIVE; i++) {
		if (span_ieq(name, span_str(names[i]))) {
			*out = (enum sdp_direction)i;
			return true;
		}
	}
	return false;
}

/* The first of a section counts; another that says otherwise is refused. */
static enum sdp_why direction_line(struct reading *r, enum sdp_direction d)
{
	bool *has = r->m ? &r->media_direction : &r->has_direction;
	enum sdp_direction *at = r->m ? &r->m->direction : &r->direction;

	if (*has && *at != d)
		return SDP_WHY_LINE;
	*has = true;
	*at = d;
	return SDP_OK;
}

static enum sdp_why attribute_line(struct reading *r, const struct sdp_line *l)
{
	struct span name, value;
	enum sdp_direction d;

	sdp_attribute(l->value, &name, &value);
	if (direction(name, &d))
		return direction_line(r, d);
	if (span_ieq(name, SPAN("candidate")) || span_ieq(name, SPAN("ice-ufrag")) ||
	    span_ieq(name, SPAN("ice-pwd")))
		*(r->m ? &r->m->has_ice : &r->ice) = true;
	else if (span_ieq(name, SPAN("fingerprint")))
		*(r->m ? &r->m->has_dtls : &r->dtls) = true;
	else if (r->m && span_ieq(name, SPAN("rtcp-mux")))
		r->m->rtcp_mux = true;
	else if (r->m && span_ieq(name, SPAN("rtcp")))
		return rtcp_line(r, value);
	else if (r->m && span_ieq(name, SPAN("crypto")))
		return crypto_line(r->m, value, l->whole);
	return SDP_OK;
}

static enum sdp_why connection_line(struct reading *r, struct span value)
{
	bool *has = r->m ? &r->m->has_conn : &r->s->has_conn;

	/* Several in a section are for layered multicast, which no anchor carries. */
	if (*has || !connection(value, r->m ? &r->m->conn : &r->s->conn,
				r->m ? &r->m->conn_valid : &r->s->conn_valid))
		return SDP_WHY_CONNECTION;
	*has = true;
	return SDP_OK;
}

/* What a section inherits and what defaults from its own lines. */
static enum sdp_why section_end(struct reading *r, const uint8_t *end)
{
	struct sdp_media *m = r->m;
	struct sdp *s = r->s;

	if (!m)
		return SDP_OK;
	m->lines.n = (size_t)(end - m->lines.p);
	if (!m->has_conn) {
		m->conn = s->conn;
		m->conn_valid = s->conn_valid;
		/* A section without any c= says nowhere where to send, unless it is rejected. */
		if (!s->has_conn && m->port)
			return SDP_WHY_CONNECTION;
	}
	if (!r->has_rtcp && m->port && m->port < 65535)
		m->rtcp_port = (uint16_t)(m->port + 1);
	if (!r->rtcp_has_addr)
		m->rtcp_addr = m->conn;
	if (!r->media_direction)
		m->direction = r->direction;
	m->has_ice |= r->ice;
	m->has_dtls |= r->dtls;
	return SDP_OK;
}

static enum sdp_why section_begin(struct reading *r, const struct sdp_line *l)
{
	enum sdp_why why;

	if (!r->m) {
		r->s->session.n = (size_t)(l->whole.p - r->s->whole.p);
		if (!r->origin || !r->name || !r->time)
			return SDP_WHY_ORDER;
	}
	why = section_end(r, l->whole.p);
	if (why)
		return why;
	if (r->s->n_media == SDP_MEDIA_MAX)
		return SDP_WHY_TOO_MANY;
	r->m = &r->s->media[r->s->n_media++];
	*r->m = (struct sdp_media){.lines = l->whole};
	r->media_direction = r->has_rtcp = r->rtcp_has_addr = false;
	return media_line(l->value, r->m) ? SDP_OK : SDP_WHY_MEDIA;
}

static enum sdp_why line_read(struct reading *r, const struct sdp_line *l)
{
	switch (l->type) {
	case 'm':
		return section_begin(r, l);
	case 'c':
		return connection_line(r, l->value);
	case 'a':
		return attribute_line(r, l);
	case 'o':
		if (r->m || r->origin)
			return SDP_WHY_ORDER;
		r->origin = true;
		r->s->origin = l->value;
		return origin(l->value) ? SDP_OK : SDP_WHY_ORIGIN;
	case 's':
		if (r->m || r->name)
			return SDP_WHY_ORDER;
		r->name = true;
		return SDP_OK;
	case 't':
		r->time = true;
		return r->m ? SDP_WHY_ORDER : SDP_OK;
	case 'u':
	case 'e':
	case 'p':
	case 'r':
	case 'z':
		return r->m ? SDP_WHY_ORDER : SDP_OK;
	case 'i':
	case 'b':
	case 'k':
		return SDP_OK;
	default:
		return SDP_WHY_LINE;
	}
}

int sdp_parse(struct span in, struct sdp *out, enum sdp_why *why)
{
	struct reading r = {.s = out, .direction = SDP_SENDRECV};
	enum sdp_why w = SDP_WHY_VERSION;
	struct span rest = in;
	struct sdp_line l;
	int n;

	memset(out, 0, sizeof(*out));
	out->whole = out->session = in;
	if (sdp_line_next(&rest, &l) == 1 && l.type == 'v' && span_eq(l.value, SPAN("0")))
		w = SDP_OK;
	while (!w && (n = sdp_line_next(&rest, &l)))
		w = n < 0 ? SDP_WHY_LINE : line_read(&r, &l);
	if (!w)
		w = section_end(&r, in.p + in.n);
	if (!w && (!r.origin || !r.name || !r.time))
		w = SDP_WHY_ORDER;
	if (!w)
		return 0;
	*why = w;
	return w == SDP_WHY_TOO_MANY ? -E2BIG : -EBADMSG;
}
