/* sip/text.c -- names of headers, methods and reasons; tokens, numbers, parameters and credentials of header values.
 *
 * In: spans of a message. Out: enums, or slices of the same bytes. Grammar: RFC 3261 section 25.1 and the documents that
 * registered each header field. Nothing is kept. */
#include "sip/scan.h"

#include <errno.h>

static const char *const why_texts[SIP_WHYS] = {
	[SIP_OK] = "ok",
	[SIP_WHY_START_LINE] = "start line",
	[SIP_WHY_VERSION] = "version",
	[SIP_WHY_METHOD] = "method",
	[SIP_WHY_STATUS] = "status code",
	[SIP_WHY_URI] = "request URI",
	[SIP_WHY_BARE_LF] = "bare CR or LF",
	[SIP_WHY_HEADER_NAME] = "header name",
	[SIP_WHY_HEADER_VALUE] = "header value",
	[SIP_WHY_TOO_MANY_HEADERS] = "too many headers",
	[SIP_WHY_TOO_LONG] = "too long",
	[SIP_WHY_DUPLICATE] = "duplicate header",
	[SIP_WHY_MISSING] = "missing header",
	[SIP_WHY_CONTENT_LENGTH] = "Content-Length",
	[SIP_WHY_VIA] = "Via",
	[SIP_WHY_FROM] = "From",
	[SIP_WHY_TO] = "To",
	[SIP_WHY_CALL_ID] = "Call-ID",
	[SIP_WHY_CSEQ] = "CSeq",
	[SIP_WHY_MAX_FORWARDS] = "Max-Forwards",
	[SIP_WHY_CONTACT] = "Contact",
	[SIP_WHY_ROUTE] = "Route, Record-Route, Path or Service-Route",
	[SIP_WHY_PARAMETER] = "parameter",
	[SIP_WHY_SDP] = "SDP",
};

const char *sip_why_text(enum sip_why why)
{
	return (unsigned)why < SIP_WHYS ? why_texts[why] : "unknown";
}

static const char *const methods[SIP_METHODS] = {
	[SIP_M_OTHER] = "",	     [SIP_M_INVITE] = "INVITE",	  [SIP_M_ACK] = "ACK",
	[SIP_M_BYE] = "BYE",	     [SIP_M_CANCEL] = "CANCEL",	  [SIP_M_REGISTER] = "REGISTER",
	[SIP_M_OPTIONS] = "OPTIONS", [SIP_M_PRACK] = "PRACK",	  [SIP_M_SUBSCRIBE] = "SUBSCRIBE",
	[SIP_M_NOTIFY] = "NOTIFY",   [SIP_M_PUBLISH] = "PUBLISH", [SIP_M_INFO] = "INFO",
	[SIP_M_REFER] = "REFER",     [SIP_M_MESSAGE] = "MESSAGE", [SIP_M_UPDATE] = "UPDATE",
};

const char *sip_method_name(enum sip_method m)
{
	return (unsigned)m < SIP_METHODS ? methods[m] : "";
}

enum sip_method sip_method_from_text(struct span s)
{
	unsigned i;

	/* Method names are case-sensitive (RFC 3261 7.1): "invite" is an extension method. */
	for (i = SIP_M_OTHER + 1; i < SIP_METHODS; i++)
		if (span_eq(s, span_str(methods[i])))
			return (enum sip_method)i;
	return SIP_M_OTHER;
}

static const struct {
	const char *name;
	uint8_t n;
	char compact;
} headers[SIP_HDRS] = {
#define NAME(id, text, compact) [SIP_H_##id] = {text, sizeof(text) - 1, compact}
	NAME(OTHER, "", 0),
	NAME(VIA, "Via", 'v'),
	NAME(FROM, "From", 'f'),
	NAME(TO, "To", 't'),
	NAME(CALL_ID, "Call-ID", 'i'),
	NAME(CSEQ, "CSeq", 0),
	NAME(MAX_FORWARDS, "Max-Forwards", 0),
	NAME(CONTACT, "Contact", 'm'),
	NAME(ROUTE, "Route", 0),
	NAME(RECORD_ROUTE, "Record-Route", 0),
	NAME(PATH, "Path", 0),
	NAME(SERVICE_ROUTE, "Service-Route", 0),
	NAME(CONTENT_LENGTH, "Content-Length", 'l'),
	NAME(CONTENT_TYPE, "Content-Type", 'c'),
	NAME(CONTENT_ENCODING, "Content-Encoding", 'e'),
	NAME(EXPIRES, "Expires", 0),
	NAME(MIN_EXPIRES, "Min-Expires", 0),
	NAME(AUTHORIZATION, "Authorization", 0),
	NAME(PROXY_AUTHORIZATION, "Proxy-Authorization", 0),
	NAME(WWW_AUTHENTICATE, "WWW-Authenticate", 0),
	NAME(PROXY_AUTHENTICATE, "Proxy-Authenticate", 0),
	NAME(REQUIRE, "Require", 0),
	NAME(PROXY_REQUIRE, "Proxy-Require", 0),
	NAME(SUPPORTED, "Supported", 'k'),
	NAME(UNSUPPORTED, "Unsupported", 0),
	NAME(RACK, "RAck", 0),
	NAME(RSEQ, "RSeq", 0),
	NAME(SESSION_EXPIRES, "Session-Expires", 'x'),
	NAME(MIN_SE, "Min-SE", 0),
	NAME(REFER_TO, "Refer-To", 'r'),
	NAME(REFERRED_BY, "Referred-By", 'b'),
	NAME(REPLACES, "Replaces", 0),
	NAME(EVENT, "Event", 'o'),
	NAME(SUBSCRIPTION_STATE, "Subscription-State", 0),
	NAME(P_ASSERTED_IDENTITY, "P-Asserted-Identity", 0),
	NAME(P_PREFERRED_IDENTITY, "P-Preferred-Identity", 0),
	NAME(REMOTE_PARTY_ID, "Remote-Party-ID", 0),
	NAME(PRIVACY, "Privacy", 0),
	NAME(REASON, "Reason", 0),
	NAME(RETRY_AFTER, "Retry-After", 0),
	NAME(ALLOW, "Allow", 0),
	NAME(USER_AGENT, "User-Agent", 0),
	NAME(WARNING, "Warning", 0),
#undef NAME
};

const char *sip_hdr_name(enum sip_hdr id)
{
	return (unsigned)id < SIP_HDRS ? headers[id].name : "";
}

enum sip_hdr sip_hdr_from_name(struct span name)
{
	unsigned i;

	for (i = SIP_H_OTHER + 1; i < SIP_HDRS; i++) {
		if (name.n == 1 && headers[i].compact == (char)span_lower(name.p[0]))
			return (enum sip_hdr)i;
		if (name.n == headers[i].n && span_ieq(name, span_str(headers[i].name)))
			return (enum sip_hdr)i;
	}
	return SIP_H_OTHER;
}

int sip_number(struct span s, uint32_t max, uint32_t *out)
{
	uint64_t v = 0;
	size_t i;

	if (s.n == 0 || s.n > 10)
		return -EBADMSG;
	for (i = 0; i < s.n; i++) {
		if (!scan_is(s.p[i], SCAN_DIGIT))
			return -EBADMSG;
		v = v * 10 + (unsigned)(s.p[i] - '0');
	}
	if (v > max)
		return -EBADMSG;
	*out = (uint32_t)v;
	return 0;
}

int sip_token_next(struct span *rest, struct span *out)
{
	struct span s = scan_trim(*rest), token;

	if (s.n == 0) {
		*rest = s;
		return 0;
	}
	if (!scan_token(&s, &token))
		return -EBADMSG;
	scan_lws(&s);
	if (s.n && (!scan_byte(&s, ',') || s.n == 0))
		return -EBADMSG;
	*rest = s;
	*out = token;
	return 1;
}

/* Both header and URI parameters come through here, so a value may hold what either allows. */
int sip_param_next(struct span *rest, struct sip_param *out)
{
	const unsigned classes = SCAN_TOKEN | SCAN_UNRESERVED | SCAN_PARAM | SCAN_HOST;
	struct span s = scan_trim(*rest);
	struct sip_param p = {};
	size_t n;

	if (s.n == 0) {
		*rest = s;
		return 0;
	}
	if (!scan_byte(&s, ';'))
		return -EBADMSG;
	scan_lws(&s);
	n = scan_run(s, SCAN_TOKEN | SCAN_UNRESERVED | SCAN_PARAM);
	p.name = span_cut(s, 0, n);
	scan_skip(&s, n);
	scan_lws(&s);
	p.value = span_cut(s, 0, 0);
	if (n == 0)
		return -EBADMSG;
	if (scan_byte(&s, '=')) {
		scan_lws(&s);
		p.has_value = true;
		if (s.n && s.p[0] == '"') {
			if (!scan_quoted(&s, &p.value))
				return -EBADMSG;
		} else {
			n = scan_run(s, classes);
			if (n == 0)
				return -EBADMSG;
			p.value = span_cut(s, 0, n);
			scan_skip(&s, n);
		}
		scan_lws(&s);
	}
	if (s.n && s.p[0] != ';')
		return -EBADMSG;
	*rest = s;
	*out = p;
	return 1;
}

bool sip_param_find(struct span params, struct span name, struct sip_param *out)
{
	struct sip_param p;

	while (sip_param_next(&params, &p) == 1) {
		if (span_ieq(p.name, name)) {
			*out = p;
			return true;
		}
	}
	return false;
}

int sip_auth_parse(struct span value, struct sip_auth *out)
{
	struct span s = scan_trim(value), scheme;

	if (!scan_token(&s, &scheme) || scan_lws_run(s) == 0)
		return -EBADMSG;
	scan_lws(&s);
	if (s.n == 0)
		return -EBADMSG;
	out->scheme = scheme;
	out->rest = s;
	return 0;
}

/* One auth-param and the comma behind it. */
static bool auth_param_one(struct span *s, struct span *name, struct span *value)
{
	if (!scan_token(s, name))
		return false;
	scan_lws(s);
	if (!scan_byte(s, '='))
		return false;
	scan_lws(s);
	if (s->n && s->p[0] == '"') {
		if (!scan_quoted(s, value))
			return false;
		*value = span_cut(*value, 1, value->n - 2);
	} else if (!scan_token(s, value)) {
		return false;
	}
	scan_lws(s);
	if (s->n == 0)
		return true;
	if (!scan_byte(s, ','))
		return false;
	scan_lws(s);
	return s->n > 0;
}

bool sip_auth_param(const struct sip_auth *a, struct span name, struct span *out)
{
	struct span s = scan_trim(a->rest), n, v, hit = {};
	bool found = false;

	/* To the end even when it was found: two nonces, or rubbish behind it, could be read otherwise by the next hop. */
	while (s.n) {
		if (!auth_param_one(&s, &n, &v))
			return false;
		if (!span_ieq(n, name))
			continue;
		if (found)
			return false;
		found = true;
		hit = v;
	}
	if (found)
		*out = hit;
	return found;
}

ssize_t sip_unfold(struct span value, char *buf, size_t n)
{
	size_t i = 0, len = 0, lws;

	while (i < value.n) {
		lws = scan_lws_run(span_cut(value, i, value.n));
		if (len + 1 >= n)
			return -E2BIG;
		if (lws && memchr(value.p + i, '\r', lws)) {
			buf[len++] = ' ';
			i += lws;
		} else {
			buf[len++] = (char)value.p[i++];
		}
	}
	if (n == 0)
		return -E2BIG;
	buf[len] = 0;
	return (ssize_t)len;
}
