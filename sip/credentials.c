/* sip/credentials.c -- see credentials.h. In: messages. Out: verdicts, edited challenges. No state of its own. */
#include "sip/credentials.h"

#include "sip/binding.h"
#include "sip/scan.h"

/* One byte of a quoted string's value, its escape taken off. */
static uint8_t credentials_byte(struct span s, size_t *i)
{
	uint8_t c = s.p[(*i)++];

	return c == '\\' && *i < s.n ? s.p[(*i)++] : c;
}

/* Whether the username of Digest credentials is @aor's user, alone or with its host. The user of an address of record
 * may hold %HH, a username holds the bytes themselves. */
static bool credentials_name_is(struct span name, const char *aor)
{
	struct span rest = span_str(strchr(aor, ':') + 1), user = scan_until(rest, '@');
	struct span host = span_cut(rest, user.n + 1, rest.n);
	size_t i = 0, k = 0;

	while (i < name.n && k < user.n)
		if (credentials_byte(name, &i) != (scan_unit(user, &k) & 0xff))
			return false;
	if (k < user.n)
		return false;
	return i == name.n || (name.p[i] == '@' && span_ieq(span_cut(name, i + 1, name.n), host));
}

/* RFC 7616 3.4.4: a hashed name tells nothing here. */
static bool credentials_own(const struct sip_auth *a, const char *aor)
{
	struct span name, hash;

	if (sip_auth_param(a, SPAN("userhash"), &hash) && span_ieq(hash, SPAN("true")))
		return false;
	return sip_auth_param(a, SPAN("username"), &name) && credentials_name_is(name, aor);
}

/* Its key among the nonces; 0: nothing that could be known. A nonce given to somebody else tells nothing: a server may
 * challenge one user and take another at the core's word. */
static uint64_t credentials_key(const struct engine *e, unsigned server, const char *aor,
				const struct sip_auth *a)
{
	struct span nonce;

	if (span_ieq(a->scheme, SPAN("Bearer")))
		return nonce_key(e, server, "bearer", span_str(aor));
	if (span_ieq(a->scheme, SPAN("Digest")) && sip_auth_param(a, SPAN("nonce"), &nonce))
		return nonce_key(e, server, aor, nonce);
	return 0;
}

enum credentials credentials_read(const struct engine *e, unsigned server, const char *aor,
				  const struct sip_msg *m, uint64_t *out_key)
{
	enum credentials r = CREDENTIALS_NONE;
	unsigned i;

	for (i = 0; i < m->n_headers; i++) {
		const struct sip_header *h = &m->headers[i];
		struct sip_auth a;
		uint64_t key;

		if ((h->id != SIP_H_AUTHORIZATION && h->id != SIP_H_PROXY_AUTHORIZATION) ||
		    sip_auth_parse(h->value, &a))
			continue;
		if (!e->c.servers[server].any_digest_user && span_ieq(a.scheme, SPAN("Digest")) &&
		    !credentials_own(&a, aor))
			return CREDENTIALS_OTHER;
		key = credentials_key(e, server, aor, &a);
		if (key && nonce_known(e, key)) {
			*out_key = key;
			r = CREDENTIALS_KNOWN;
		} else if (r == CREDENTIALS_NONE) {
			r = CREDENTIALS_UNKNOWN;
		}
	}
	return r;
}

/* @value of a Digest challenge without auth-int in its qop (bodies are rewritten on the way) and with stale=true if
 * wanted. */
static bool credentials_edit(struct span value, const struct sip_auth *a, bool stale,
			     struct sip_out *o)
{
	struct span qop = SPAN(""), v, rest, tok;
	bool has_qop = sip_auth_param(a, SPAN("qop"), &qop), wrote = false;
	size_t at = has_qop ? (size_t)(qop.p - value.p) : value.n;

	if (sip_auth_param(a, SPAN("stale"), &v))
		stale = false;
	sip_out_span(o, span_cut(value, 0, at));
	for (rest = qop; has_qop && sip_token_next(&rest, &tok) == 1;) {
		if (span_ieq(tok, SPAN("auth-int")))
			continue;
		sip_out_text(o, wrote ? "," : "");
		sip_out_span(o, tok);
		wrote = true;
	}
	if (has_qop && !wrote)
		sip_out_text(o, "auth");
	if (has_qop)
		sip_out_span(o, span_cut(value, at + qop.n, value.n));
	if (stale)
		sip_out_text(o, ", stale=true");
	return !o->overflow;
}

void credentials_challenge(struct engine *e, unsigned server, const struct sip_msg *m, bool stale,
			   struct edit *ed, char *buf, size_t n)
{
	char aor[AOR_MAX];
	/* Whose: of a REGISTER From and To are the same. A BYE's From may be anybody's. */
	bool known = m->method != SIP_M_BYE && sip_uri_aor(&m->from.uri, aor, sizeof(aor)) > 0;
	unsigned i;

	for (i = 0; i < m->n_headers && ed->n_lines < EDIT_LINES_MAX; i++) {
		const struct sip_header *h = &m->headers[i];
		struct sip_out o;
		struct sip_auth a;
		struct span nonce;

		if ((h->id != SIP_H_WWW_AUTHENTICATE && h->id != SIP_H_PROXY_AUTHENTICATE) ||
		    sip_auth_parse(h->value, &a))
			continue;
		if (known && span_ieq(a.scheme, SPAN("Bearer")))
			nonce_seen(e, nonce_key(e, server, "bearer", span_str(aor)));
		if (!span_ieq(a.scheme, SPAN("Digest")))
			continue;
		if (known && sip_auth_param(&a, SPAN("nonce"), &nonce))
			nonce_seen(e, nonce_key(e, server, aor, nonce));
		sip_out_init(&o, buf, n);
		if (!credentials_edit(h->value, &a, stale, &o)) {
			ed->drop |= SIP_BIT(
				h->id); /* one too long to edit must not pass with auth-int in it */
			return;
		}
		ed->lines[ed->n_lines++] = (struct edit_line){i, span_of(buf, o.n)};
		buf += o.n;
		n -= o.n;
	}
}

void credentials_next(struct engine *e, unsigned server, const char *aor, const struct sip_msg *m)
{
	const struct sip_header *h = sip_header_named(m, SPAN("Authentication-Info"), 0, NULL);
	struct sip_auth a = {.scheme = SPAN("Digest")};
	struct span nonce;

	if (!h)
		return;
	a.rest = h->value;
	if (sip_auth_param(&a, SPAN("nextnonce"), &nonce))
		nonce_seen(e, nonce_key(e, server, aor, nonce));
}
