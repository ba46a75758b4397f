/* xmpp/jid.c -- addresses of XMPP entities. See jid.h.
 *
 * In: spans. Out: slices of them, and the comparable domain in the caller's struct. Parts are cut as RFC 7622 3.1 says:
 * the resource behind the first slash, then the localpart before the first at-sign. */
#include "xmpp/jid.h"

#include <errno.h>
#include <idn2.h>
#include <stdio.h>

#include "user/addr.h"
#include "user/utf8.h"

static const char *const why_texts[XMPP_JID_WHYS] = {
	[XMPP_JID_OK] = "ok",
	[XMPP_JID_LOCAL_EMPTY] = "empty localpart",
	[XMPP_JID_LOCAL_LONG] = "localpart too long",
	[XMPP_JID_LOCAL_CHAR] = "character in localpart",
	[XMPP_JID_DOMAIN_EMPTY] = "empty domain",
	[XMPP_JID_DOMAIN_LONG] = "domain too long",
	[XMPP_JID_DOMAIN_CHAR] = "character in domain",
	[XMPP_JID_DOMAIN_LABEL] = "label of domain empty or too long",
	[XMPP_JID_DOMAIN_IDN] = "internationalised domain",
	[XMPP_JID_DOMAIN_IP] = "IP address as domain",
	[XMPP_JID_RESOURCE_EMPTY] = "empty resource",
	[XMPP_JID_RESOURCE_LONG] = "resource too long",
	[XMPP_JID_RESOURCE_CHAR] = "character in resource",
	[XMPP_JID_UTF8] = "UTF-8",
};

const char *xmpp_jid_why_text(enum xmpp_jid_why why)
{
	return (unsigned)why < XMPP_JID_WHYS ? why_texts[why] : "unknown";
}

/* ---- localpart and resource ---- */

/* What neither profile allows, controls and noncharacters (RFC 8264 9.9, 9.10), and what can hide: in a localpart spaces (9.14),
 * general punctuation, characters that show as nothing (9.13) and private use are refused as well. */
static const struct {
	uint32_t from, to;
	bool local_only;
} forbidden[] = {
	{0x00, 0x1f, false},	    {0x20, 0x20, true},	      {0x7f, 0x9f, false},
	{0xa0, 0xa0, true},	    {0xad, 0xad, true},	      {0x34f, 0x34f, true},
	{0x61c, 0x61c, true},	    {0x115f, 0x1160, true},   {0x1680, 0x1680, true},
	{0x17b4, 0x17b5, true},	    {0x180b, 0x180f, true},   {0x2000, 0x206f, true},
	{0x3000, 0x3000, true},	    {0x3164, 0x3164, true},   {0xe000, 0xf8ff, true},
	{0xfdd0, 0xfdef, false},    {0xfe00, 0xfe0f, true},   {0xfeff, 0xfeff, true},
	{0xffa0, 0xffa0, true},	    {0xfff0, 0xfffb, true},   {0x1bca0, 0x1bca3, true},
	{0x1d173, 0x1d17a, true},   {0xe0000, 0xe0fff, true}, {0xf0000, 0xffffd, true},
	{0x100000, 0x10fffd, true},
};

static bool code_allowed(uint32_t c, bool local)
{
	size_t i;

	if ((c & 0xfffe) == 0xfffe)
		return false;
	if (local && c && c < 0x80 && strchr("\"&'/:<>@", (int)c))
		return false;
	for (i = 0; i < sizeof(forbidden) / sizeof(forbidden[0]); i++)
		if (c >= forbidden[i].from && c <= forbidden[i].to &&
		    (local || !forbidden[i].local_only))
			return false;
	return true;
}

static enum xmpp_jid_why part_check(struct span s, bool local)
{
	struct utf8 u = {};
	size_t i;

	if (s.n == 0)
		return local ? XMPP_JID_LOCAL_EMPTY : XMPP_JID_RESOURCE_EMPTY;
	if (s.n > XMPP_PART_MAX)
		return local ? XMPP_JID_LOCAL_LONG : XMPP_JID_RESOURCE_LONG;
	for (i = 0; i < s.n; i++) {
		if (!utf8_byte(&u, s.p[i]))
			return XMPP_JID_UTF8;
		if (!u.left && !code_allowed(u.code, local))
			return local ? XMPP_JID_LOCAL_CHAR : XMPP_JID_RESOURCE_CHAR;
	}
	return u.left ? XMPP_JID_UTF8 : XMPP_JID_OK;
}

/* ---- domain ---- */

static bool ldh(uint8_t c)
{
	return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '-';
}

/* A name in its final form: labels of lower case letters, digits and inner hyphens (RFC 5890 2.3.1). Where the last label is all
 * digits it is meant as an IPv4 address and must be one, or it would be read in two ways. */
static enum xmpp_jid_why name_check(struct xmpp_domain *d)
{
	size_t i, start = 0;
	struct addr a;
	bool digits = true;

	if (d->n == 0)
		return XMPP_JID_DOMAIN_EMPTY;
	for (i = 0; i <= d->n; i++) {
		if (i < d->n && d->text[i] != '.') {
			if (!ldh((uint8_t)d->text[i]))
				return XMPP_JID_DOMAIN_CHAR;
			digits = digits && d->text[i] >= '0' && d->text[i] <= '9';
			continue;
		}
		if (i == start || i - start > 63)
			return XMPP_JID_DOMAIN_LABEL;
		if (d->text[start] == '-' || d->text[i - 1] == '-')
			return XMPP_JID_DOMAIN_CHAR;
		if (i < d->n)
			digits = true;
		start = i + 1;
	}
	if (!digits)
		return XMPP_JID_OK;
	d->literal = addr_parse(xmpp_domain_span(d), &a) == 0;
	return d->literal ? XMPP_JID_OK : XMPP_JID_DOMAIN_IP;
}

static enum xmpp_jid_why ipv6_parse(struct span s, struct xmpp_domain *out)
{
	char text[ADDR_TEXT_MAX];
	struct addr a;

	/* The brackets go first, so that no port can stand behind them. */
	if (s.n < 4 || s.p[s.n - 1] != ']' || s.p[1] == '[' || !memchr(s.p, ':', s.n) ||
	    addr_parse(span_cut(s, 1, s.n - 2), &a))
		return XMPP_JID_DOMAIN_IP;
	addr_ip_text(&a, text);
	out->n = (uint8_t)strlen(text);
	memcpy(out->text, text, out->n + 1u);
	out->literal = true;
	return XMPP_JID_OK;
}

/* Whether @s is ASCII without A-labels: then lower case is all there is to do. */
static bool is_plain(struct span s)
{
	size_t i;

	for (i = 0; i < s.n; i++) {
		if (s.p[i] >= 0x80)
			return false;
		if ((i == 0 || s.p[i - 1] == '.') && span_ieq(span_cut(s, i, 4), SPAN("xn--")))
			return false;
	}
	return true;
}

static enum xmpp_jid_why host_set(struct span s, struct xmpp_domain *out)
{
	size_t i;

	if (s.n && s.p[s.n - 1] == '.')
		s.n--;
	if (s.n > XMPP_HOST_MAX)
		return XMPP_JID_DOMAIN_LONG;
	for (i = 0; i < s.n; i++)
		out->text[i] = (char)span_lower(s.p[i]);
	out->text[s.n] = 0;
	out->n = (uint8_t)s.n;
	return name_check(out);
}

/* May @code stand in a domain that is mapped? What UTS 46 would drop without a trace may not: two names would be one. The
 * joiners are left to IDNA's own rules (RFC 5892 appendix A). */
static enum xmpp_jid_why idn_code(uint32_t code)
{
	if (code < 0x80)
		return ldh(span_lower((uint8_t)code)) || code == '.' ? XMPP_JID_OK
								     : XMPP_JID_DOMAIN_CHAR;
	if (code == 0x200c || code == 0x200d || code_allowed(code, true))
		return XMPP_JID_OK;
	return XMPP_JID_DOMAIN_IDN;
}

/* No IDN2_USE_STD3_ASCII_RULES: with it libidn2 2.3.3 does not refuse what maps to another character than letter, digit or
 * hyphen, it drops it, and a full-width slash is gone from the name. name_check() refuses them. */
static enum xmpp_jid_why idn_parse(struct span s, struct xmpp_domain *out)
{
	const int flags = IDN2_NFC_INPUT | IDN2_NONTRANSITIONAL | IDN2_ALABEL_ROUNDTRIP;
	char name[XMPP_PART_MAX + 1];
	uint8_t *ascii = NULL;
	enum xmpp_jid_why why = XMPP_JID_OK;
	struct utf8 u = {};
	size_t i;

	for (i = 0; i < s.n && why == XMPP_JID_OK; i++) {
		if (!utf8_byte(&u, s.p[i]))
			return XMPP_JID_UTF8;
		if (!u.left)
			why = idn_code(u.code);
		name[i] = (char)span_lower(s.p[i]);
	}
	if (why != XMPP_JID_OK)
		return why;
	if (u.left)
		return XMPP_JID_UTF8;
	name[s.n] = 0;
	if (idn2_lookup_u8((const uint8_t *)name, &ascii, flags) != IDN2_OK)
		return XMPP_JID_DOMAIN_IDN;
	why = host_set(span_str((const char *)ascii), out);
	idn2_free(ascii);
	/* Digits of another script must not make an IP address. */
	return why == XMPP_JID_OK && out->literal ? XMPP_JID_DOMAIN_IP : why;
}

static enum xmpp_jid_why domain_parse(struct span s, struct xmpp_domain *out)
{
	*out = (struct xmpp_domain){};
	if (s.n == 0)
		return XMPP_JID_DOMAIN_EMPTY;
	if (s.n > XMPP_PART_MAX)
		return XMPP_JID_DOMAIN_LONG;
	if (s.p[0] == '[')
		return ipv6_parse(s, out);
	return is_plain(s) ? host_set(s, out) : idn_parse(s, out);
}

int xmpp_domain_parse(struct span s, struct xmpp_domain *out, enum xmpp_jid_why *why)
{
	struct xmpp_domain d;
	enum xmpp_jid_why w = domain_parse(s, &d);

	if (w != XMPP_JID_OK) {
		*why = w;
		return -EBADMSG;
	}
	*out = d;
	return 0;
}

/* ---- JIDs ---- */

int xmpp_jid_parse(struct span s, struct xmpp_jid *out, enum xmpp_jid_why *why)
{
	const uint8_t *slash = s.n ? memchr(s.p, '/', s.n) : NULL, *at;
	size_t bare = slash ? (size_t)(slash - s.p) : s.n;
	struct xmpp_jid j = {.whole = s, .domain = span_cut(s, 0, bare)};
	enum xmpp_jid_why w = XMPP_JID_OK;

	at = bare ? memchr(s.p, '@', bare) : NULL;
	if (at) {
		j.local = span_cut(s, 0, (size_t)(at - s.p));
		j.domain = span_cut(s, j.local.n + 1, bare - j.local.n - 1);
		w = part_check(j.local, true);
	}
	if (w == XMPP_JID_OK)
		w = domain_parse(j.domain, &j.host);
	if (w == XMPP_JID_OK && slash) {
		j.resource = span_cut(s, bare + 1, s.n);
		w = part_check(j.resource, false);
	}
	if (w != XMPP_JID_OK) {
		*why = w;
		return -EBADMSG;
	}
	*out = j;
	return 0;
}

bool xmpp_domain_equal(const struct xmpp_domain *a, const struct xmpp_domain *b)
{
	return a->literal == b->literal && span_eq(xmpp_domain_span(a), xmpp_domain_span(b));
}

bool xmpp_jid_equal_bare(const struct xmpp_jid *a, const struct xmpp_jid *b)
{
	return span_ieq(a->local, b->local) && xmpp_domain_equal(&a->host, &b->host);
}

ssize_t xmpp_jid_bare(const struct xmpp_jid *j, char *buf, size_t n)
{
	bool brackets = j->host.literal && memchr(j->host.text, ':', j->host.n);
	size_t local = j->local.n ? j->local.n + 1 : 0, i;
	int r;

	if (local >= n)
		return -E2BIG;
	for (i = 0; i < j->local.n; i++)
		buf[i] = (char)span_lower(j->local.p[i]);
	if (local)
		buf[i] = '@';
	r = snprintf(buf + local, n - local, brackets ? "[%s]" : "%s", j->host.text);
	return r < 0 || (size_t)r >= n - local ? -E2BIG : (ssize_t)local + r;
}
