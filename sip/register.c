/* sip/register.c -- REGISTER: what a client may register, which 200 admits it, and taking back what must not stand.
 *
 * In: REGISTER requests of clients and their answers. Out: forwarded REGISTERs with our Path, binding_confirm(), 403
 * in place of a 200 that does not admit, and a de-REGISTER of our own behind it. Owns nothing. */
#include "sip/route.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "sip/binding.h"
#include "sip/contact.h"
#include "sip/credentials.h"
#include "sip/drain.h"
#include "sip/target.h"

#define REG_EXPIRES_DFLT 3600
#define REG_EXPIRES_MAX	 86400
#define REG_CONTACTS_MAX 8

enum reg_kind { REG_QUERY, REG_BIND, REG_UNBIND, REG_UNBIND_ALL };

struct reg { /* one REGISTER as we understand it */
	enum reg_kind kind;
	char aor[AOR_MAX];
	int server;
	struct sip_addr contact; /* the live one */
	unsigned n_gone;
	struct sip_addr gone[REG_CONTACTS_MAX];
	bool outbound;
};

/* ---- reading ---- */

static uint32_t reg_header_expires(const struct sip_msg *m)
{
	const struct sip_header *h = sip_header_find(m, SIP_H_EXPIRES, 0, NULL);
	uint32_t v;

	return h && sip_number(h->value, UINT32_MAX, &v) == 0 ? v : REG_EXPIRES_DFLT;
}

static uint32_t reg_contact_expires(const struct sip_addr *a, uint32_t dflt)
{
	struct sip_param p;
	uint32_t v;

	if (!sip_param_find(a->params, SPAN("expires"), &p))
		return dflt;
	return sip_number(p.value, UINT32_MAX, &v) == 0 ? v : dflt;
}

/* NULL, or why it is refused: one live Contact a REGISTER, as RFC 5626 4.2 wants; any number of ended ones up to a
 * limit. */
static const char *reg_read_contacts(const struct sip_msg *m, struct reg *r)
{
	uint32_t dflt = reg_header_expires(m);
	const struct sip_header *h;
	struct sip_addr a;
	unsigned at = 0;
	int got;

	for (; (h = sip_header_find(m, SIP_H_CONTACT, at, &at)); at++) {
		struct span rest = h->value;

		if (span_eq(h->value, SPAN("*"))) {
			if (dflt != 0 || r->kind != REG_QUERY)
				return "contact";
			r->kind = REG_UNBIND_ALL;
			continue;
		}
		while ((got = sip_addr_next(&rest, &a)) == 1) {
			if (r->kind == REG_UNBIND_ALL ||
			    (r->kind == REG_BIND && reg_contact_expires(&a, dflt) > 0))
				return "contacts";
			if (reg_contact_expires(&a, dflt) > 0) {
				r->kind = REG_BIND;
				r->contact = a;
				continue;
			}
			if (r->n_gone == REG_CONTACTS_MAX)
				return "contacts";
			r->gone[r->n_gone++] = a;
			if (r->kind == REG_QUERY)
				r->kind = REG_UNBIND;
		}
		if (got < 0)
			return "contact";
	}
	return NULL;
}

/* Whether the device is one that calls can go to by its stream. Its user and address are its own choice (phones make
 * random ones, NAT makes any): they route nothing, the token does. But what the call server routes by itself would be a
 * forwarding to somebody else: an address of record, another scheme; so would a token of ours. */
static const char *reg_contact_why(const struct engine *e, const struct sip_uri *u)
{
	struct token t;

	if (!u->is_sip && !u->is_sips)
		return "contact-scheme";
	if (engine_server_of(e, u->host) >= 0)
		return "contact-domain";
	return token_read(e, u->user, &t) == -EBADMSG ? NULL : "contact-token";
}

static const char *reg_read(const struct engine *e, const struct sip_msg *m, struct reg *r)
{
	char from[AOR_MAX];
	struct sip_param p;
	const char *why;

	*r = (struct reg){.server = engine_server_of(e, m->ruri.host)};
	if (r->server < 0 || m->ruri.user.n)
		return "domain";
	if (sip_uri_aor(&m->to.uri, r->aor, sizeof(r->aor)) < 0 ||
	    sip_uri_aor(&m->from.uri, from, sizeof(from)) < 0)
		return "aor";
	if (strcmp(r->aor, from) != 0)
		return "third-party";
	if (!span_ieq(m->ruri.host, m->to.uri.host) || m->to.uri.user.n == 0)
		return "domain"; /* RFC 3261 10.2: of one domain, not merely of one call server */
	why = reg_read_contacts(m, r);
	if (!why && r->kind == REG_BIND)
		why = reg_contact_why(e, &r->contact.uri);
	/* Without Path a call server takes no part in outbound (RFC 5626 6): nor is there a 430 for it then. */
	r->outbound = !why && r->kind == REG_BIND && !e->c.servers[r->server].contact_mode &&
		      sip_option_has(m, SIP_H_SUPPORTED, SPAN("outbound")) &&
		      sip_param_find(r->contact.params, SPAN("reg-id"), &p);
	return why;
}

/* What makes two registrations the same binding: +sip.instance and reg-id, else the Contact's user, host, port. */
static int reg_key(const struct sip_addr *a, char *buf, size_t n)
{
	struct sip_param inst, reg;
	int len;

	if (sip_param_find(a->params, SPAN("+sip.instance"), &inst) && inst.value.n > 2) {
		bool has = sip_param_find(a->params, SPAN("reg-id"), &reg) && reg.value.n;

		len = snprintf(buf, n, "i:%.*s;%.*s", (int)(inst.value.n - 2),
			       (const char *)inst.value.p + 1, has ? (int)reg.value.n : 0,
			       has ? (const char *)reg.value.p : "");
	} else {
		size_t i, host;

		len = snprintf(buf, n, "c:%.*s@", (int)a->uri.user.n, (const char *)a->uri.user.p);
		if (len < 0 || (size_t)len + a->uri.host.n + 8 >= n)
			return -E2BIG;
		host = (size_t)len;
		for (i = 0; i < a->uri.host.n; i++)
			buf[host + i] = (char)span_lower(a->uri.host.p[i]);
		len = (int)(host + i);
		len += snprintf(buf + len, n - (size_t)len, ":%u", a->uri.port);
	}
	return len < 0 || (size_t)len >= n ? -E2BIG : 0;
}

/* ---- the request ---- */

static void reg_refuse(struct engine *e, const struct peer *up, const struct sip_msg *m,
		       unsigned status, const char *text, const char *why)
{
	e->stats.registers_refused++;
	route_refuse(e, up, m, status, text, why);
}

/* ---- what the call server sees of the device ---- */

static int reg_binding_id(const struct engine *e, const struct reg *r, const struct sip_addr *a,
			  uint64_t *out)
{
	char key[URI_MAX];

	if (reg_key(a, key, sizeof(key)))
		return -E2BIG;
	*out = binding_id(e, r->aor, key);
	return 0;
}

static bool reg_contact_mode(const struct engine *e, const struct reg *r)
{
	return e->c.servers[r->server].contact_mode;
}

/* Mode `path`: calls come back by our Path. */
static int reg_path(const struct engine *e, const struct reg *r, const struct sip_msg *m,
		    struct sip_out *o)
{
	struct token path = {.kind = TOKEN_PATH};
	char tok[TOKEN_TEXT_MAX], uri[512];

	if (reg_binding_id(e, r, r->kind == REG_BIND ? &r->contact : &r->gone[0], &path.id))
		return -E2BIG;
	route_uri_inside(e, (unsigned)r->server, token_make(e, &path, tok), uri, sizeof(uri));
	uri[strlen(uri) - 1] = 0; /* the closing bracket, for ob */
	sip_out_text(o, "Path: %s%s>\r\n", uri, r->outbound ? ";ob" : "");
	if (!sip_option_has(m, SIP_H_SUPPORTED, SPAN("path")))
		sip_out_text(o, "Supported: path\r\n");
	return 0;
}

/* Mode `contact`: they come to the device's URI of ours. */
static int reg_contact(const struct engine *e, const struct reg *r, const struct sip_addr *a,
		       struct sip_out *o)
{
	char uri[CONTACT_URI_MAX];
	uint64_t id;

	if (reg_binding_id(e, r, a, &id))
		return -E2BIG;
	sip_out_text(o, "Contact: ");
	contact_write(o, a, span_str(contact_uri(e, (unsigned)r->server, id, uri)));
	sip_out_text(o, "\r\n");
	return 0;
}

static int reg_contacts(const struct engine *e, const struct reg *r, struct sip_out *o)
{
	int err = r->kind == REG_BIND ? reg_contact(e, r, &r->contact, o) : 0;
	uint64_t live = 0, id;
	unsigned i;

	if (!err && r->kind == REG_BIND)
		err = reg_binding_id(e, r, &r->contact, &live);
	for (i = 0; !err && i < r->n_gone; i++) {
		err = reg_binding_id(e, r, &r->gone[i], &id);
		/* The same device under its address before: one URI of ours, which cannot come and go at once. */
		if (!err && (r->kind != REG_BIND || id != live))
			err = reg_contact(e, r, &r->gone[i], o);
	}
	return err;
}

/* ---- the request on its way ---- */

static ssize_t reg_write(struct engine *e, const struct txn *t, const struct reg *r,
			 const struct sip_msg *m)
{
	bool named = r->kind == REG_BIND || r->kind == REG_UNBIND;
	struct edit ed = EDIT_INIT;
	struct sip_out o;
	char via[512];

	sip_out_init(&o, e->sdp, e->buf_cap);
	sip_out_text(&o, "%s", route_via(e, &t->down, t->id, via, sizeof(via)));
	ed.drop = IDENTITY_DROP | SIP_BIT(SIP_H_ROUTE) | SIP_BIT(SIP_H_P_PREFERRED_IDENTITY);
	if (named && reg_contact_mode(e, r))
		ed.drop |= SIP_BIT(SIP_H_CONTACT);
	if (named && (reg_contact_mode(e, r) ? reg_contacts(e, r, &o) : reg_path(e, r, m, &o)))
		return -E2BIG;
	if (o.overflow || o.n == o.cap)
		return -E2BIG;
	e->sdp[o.n] = 0;
	ed.first = (char *)e->sdp;
	if (t->reg_stale)
		ed.drop |= SIP_BIT(SIP_H_AUTHORIZATION) | SIP_BIT(SIP_H_PROXY_AUTHORIZATION);
	ed.trusted = &e->c.servers[r->server];
	ed.received = txn_source(e, &t->up);
	ed.max_forwards = m->max_forwards < 0 ? 70 : m->max_forwards - 1;
	return forward_request(m, &ed, e->out, e->buf_cap);
}

/* By the policy of who runs us, whatever the call server thinks of them. */
static bool reg_may(const struct engine *e, const struct reg *r)
{
	struct span aor = span_str(r->aor), scheme = span_str(strchr(r->aor, ':') + 1);
	const uint8_t *at = memrchr(aor.p, '@', aor.n);

	if (!e->c.may_register || !at)
		return true;
	return e->c.may_register(e->c.arg, span_of(scheme.p, (size_t)(at - scheme.p)),
				 span_of(at + 1, aor.n - (size_t)(at + 1 - aor.p)));
}

void register_request(struct engine *e, struct stream *s, const struct sip_msg *m)
{
	struct peer up = engine_peer_stream(s->id);
	struct routes ri;
	struct reg r;
	const char *why = reg_read(e, m, &r);
	enum credentials cred;
	uint64_t nonce = 0;
	struct txn *t;
	ssize_t n;

	if (why) {
		reg_refuse(e, &up, m, 403, "Forbidden", why);
		return;
	}
	if (!reg_may(e, &r)) {
		reg_refuse(e, &up, m, 403, "Forbidden", "policy");
		return;
	}
	if (identity_routes(e, s, m, &ri) || ri.n != ri.ours) {
		e->stats.refused_route++;
		e->stats.refused_token += ri.forged;
		reg_refuse(e, &up, m, 403, "Forbidden", "route");
		return;
	}
	if (r.kind == REG_BIND && drain_register_refused(e, s, m)) {
		e->stats.registers_refused++;
		return;
	}
	cred = credentials_read(e, (unsigned)r.server, r.aor, m, &nonce);
	if (cred == CREDENTIALS_OTHER) {
		e->stats.refused_identity++;
		reg_refuse(e, &up, m, 403, "Forbidden", "digest-user");
		return;
	}
	t = txn_new_server(e, &up, m);
	if (!t) {
		reg_refuse(e, &up, m, 503, "Service Unavailable", "transactions-full");
		return;
	}
	t->use = TXN_REGISTER;
	t->down = engine_peer_server(e, (unsigned)r.server);
	t->key = target_key(r.aor);
	t->reg_known = cred == CREDENTIALS_KNOWN;
	t->reg_nonce = nonce;
	/* Credentials for a nonce that we have not seen cannot admit; without them the server gives a fresh one. */
	t->reg_stale = cred == CREDENTIALS_UNKNOWN;
	n = reg_write(e, t, &r, m);
	if (n > 0)
		txn_send(e, t, span_of(e->out, (size_t)n));
	else
		txn_reply(e, t, 513, "Message Too Large", NULL);
}

/* ---- the answer ---- */

/* Whether element @a of a 200 is the Contact of @r. */
static bool reg_is_contact(const struct engine *e, const struct reg *r, const struct sip_addr *a)
{
	uint64_t id, have;

	if (!reg_contact_mode(e, r))
		return sip_uri_equal(&a->uri, &r->contact.uri);
	return contact_read(e, &a->uri, &have) && reg_binding_id(e, r, &r->contact, &id) == 0 &&
	       id == have;
}

/* Seconds that the 200 grants to the Contact of @r; 0: it does not confirm it. */
static uint32_t reg_confirmed(const struct engine *e, const struct reg *r, const struct sip_msg *m)
{
	uint32_t dflt = reg_header_expires(m), v;
	const struct sip_header *h;
	struct sip_addr a;
	unsigned at = 0;

	for (; (h = sip_header_find(m, SIP_H_CONTACT, at, &at)); at++) {
		struct span rest = h->value;

		while (sip_addr_next(&rest, &a) == 1) {
			if (!reg_is_contact(e, r, &a))
				continue;
			v = reg_contact_expires(&a, dflt);
			return v > REG_EXPIRES_MAX ? REG_EXPIRES_MAX : v;
		}
	}
	return 0;
}

/* The device's own URI for element @a of a 200: as its REGISTER has just said it, or said it before. */
static struct span reg_own_uri(const struct engine *e, const struct reg *r,
			       const struct sip_addr *a)
{
	const struct binding *b;
	uint64_t id, have;

	if (!contact_read(e, &a->uri, &id))
		return a->uri.whole;
	if (r->kind == REG_BIND && reg_binding_id(e, r, &r->contact, &have) == 0 && id == have)
		return r->contact.uri.whole;
	b = binding_find(e, id);
	return b && strcmp(b->user->aor, r->aor) == 0 ? span_str(b->contact) : a->uri.whole;
}

bool register_contacts(struct engine *e, const struct txn *t, const struct sip_msg *m,
		       struct edit *ed)
{
	const struct sip_header *h;
	struct sip_msg req;
	struct sip_addr a;
	struct sip_out o;
	enum sip_why why;
	struct reg r;
	unsigned at = 0;

	if (m->status / 100 != 2 || !e->c.servers[t->down.server].contact_mode)
		return true;
	if (sip_msg_parse(blob_span(&t->req), false, t->req.n, &req, &why) <= 0 ||
	    reg_read(e, &req, &r))
		return false;
	sip_out_init(&o, e->sdp, e->buf_cap);
	for (; (h = sip_header_find(m, SIP_H_CONTACT, at, &at)); at++) {
		struct span rest = h->value;

		while (sip_addr_next(&rest, &a) == 1) {
			sip_out_text(&o, "Contact: ");
			contact_write(&o, &a, reg_own_uri(e, &r, &a));
			sip_out_text(&o, "\r\n");
		}
	}
	if (o.overflow || o.n == o.cap)
		return false;
	e->sdp[o.n] = 0;
	ed->first = (char *)e->sdp;
	ed->drop |= SIP_BIT(SIP_H_CONTACT);
	return true;
}

/* The request of @t once more with Expires 0 and the next CSeq: takes back the binding that an unchallenged 200 has
 * made. */
static void reg_take_back(struct engine *e, const struct txn *t, const struct reg *r,
			  const struct sip_msg *m)
{
	struct txn *own = txn_new_own(e, SIP_M_REGISTER);
	struct span uri = r->contact.uri.whole;
	char via[512], ours[CONTACT_URI_MAX];
	struct sip_out o;
	uint64_t id = 0;
	unsigned i;
	ssize_t n;

	if (!own)
		return;
	own->down = t->down;
	sip_out_init(&o, e->out, e->buf_cap);
	sip_out_span(&o, m->start_line);
	sip_out_text(&o, "\r\n%s", route_via(e, &own->down, own->id, via, sizeof(via)));
	if (!reg_contact_mode(e, r))
		(void)reg_path(e, r, m, &o);
	else if (reg_binding_id(e, r, &r->contact, &id) == 0)
		uri = span_str(contact_uri(e, (unsigned)r->server, id, ours));
	sip_out_text(&o, "Max-Forwards: 70\r\n");
	for (i = 0; i < m->n_headers; i++) {
		enum sip_hdr h = m->headers[i].id;

		if (h == SIP_H_FROM || h == SIP_H_TO || h == SIP_H_CALL_ID)
			sip_out_span(&o, m->headers[i].line);
	}
	sip_out_text(&o, "CSeq: %u REGISTER\r\nContact: <", m->cseq + 1);
	sip_out_span(&o, uri);
	sip_out_text(&o, ">;expires=0\r\nExpires: 0\r\n");
	n = sip_out_body(&o, SPAN(""));
	if (n > 0)
		txn_send(e, own, span_of(e->out, (size_t)n));
	else
		txn_client_end(e, own);
}

static void reg_forget(struct engine *e, const struct reg *r)
{
	char key[URI_MAX], live[URI_MAX] = "";
	struct binding *b;
	unsigned i;

	if (r->kind == REG_BIND)
		(void)reg_key(&r->contact, live, sizeof(live));
	if (r->kind == REG_UNBIND_ALL)
		binding_remove_user(e, r->aor, "client");
	for (i = 0; i < r->n_gone; i++) {
		if (reg_key(&r->gone[i], key, sizeof(key)) || strcmp(key, live) == 0)
			continue; /* the same device under a new address */
		b = binding_find(e, binding_id(e, r->aor, key));
		if (b)
			binding_remove(e, b, "client");
	}
}

/* NULL: the stream is admitted for the binding of @r. Else why not; *full: there is no room for it. */
static const char *reg_admit(struct engine *e, struct txn *t, struct stream *s, const struct reg *r,
			     const struct sip_msg *req, const struct sip_msg *m, bool *full)
{
	const struct sip_header *agent = sip_header_find(req, SIP_H_USER_AGENT, 0, NULL);
	uint32_t granted = reg_confirmed(e, r, m);
	char key[URI_MAX];
	struct binding_new b = {
		.aor = r->aor,
		.key = key,
		.server = t->down.server,
		.at = t->down.to,
		.contact = r->contact.uri.whole,
		.user_agent = agent ? agent->value : SPAN(""),
		.outbound = r->outbound,
		.expires_s = granted,
	};

	if (!t->reg_known)
		return "unchallenged";
	if (granted == 0)
		return "unconfirmed";
	if (reg_key(&r->contact, key, sizeof(key)))
		return "contact";
	*full = binding_confirm(e, s, &b) != 0;
	return *full ? "bindings-full" : NULL;
}

static void reg_ok(struct engine *e, struct txn *t, struct stream *s, const struct reg *r,
		   const struct sip_msg *req, const struct sip_msg *m)
{
	const char *why = NULL;
	bool full = false;
	char esc[128];

	if (r->kind == REG_BIND)
		why = reg_admit(e, t, s, r, req, m, &full);
	else if (!t->reg_known && !binding_of_stream(s, r->aor))
		why = "unchallenged";
	if (!why) {
		if (t->reg_known)
			nonce_seen(e, t->reg_nonce);
		credentials_next(e, t->down.server, r->aor, m);
		reg_forget(e, r);
		e->stats.registers_ok++;
		route_back(e, t, m, false, SPAN(""));
		return;
	}
	e->stats.registers_refused++;
	engine_log(e, 1, "refused", "stream=%llx method=REGISTER status=403 reason=%s user=%s",
		   (unsigned long long)s->id, why, engine_esc(span_str(r->aor), esc, sizeof(esc)));
	if (r->kind == REG_BIND)
		reg_take_back(e, t, r, req);
	if (full)
		txn_reply(e, t, 503, "Service Unavailable", "Retry-After: 60\r\n");
	else
		txn_reply(e, t, 403, "Forbidden", NULL);
}

void register_response(struct engine *e, struct txn *t, const struct sip_msg *m)
{
	struct stream *s = t->up.kind == PEER_STREAM ? engine_stream(e, t->up.stream) : NULL;
	struct sip_msg req;
	enum sip_why why;
	struct reg r;

	if (m->status < 200 || m->status > 299) {
		if (m->status >= 300 && m->status != 401 && m->status != 407)
			e->stats.registers_refused++;
		route_back(e, t, m, false, SPAN(""));
		return;
	}
	if (sip_msg_parse(blob_span(&t->req), false, t->req.n, &req, &why) <= 0 ||
	    reg_read(e, &req, &r))
		return; /* it was read once already: cannot fail */
	if (s)
		reg_ok(e, t, s, &r, &req, m);
	else if (r.kind == REG_BIND && !t->reg_known)
		reg_take_back(e, t, &r, &req); /* the client has left */
}
