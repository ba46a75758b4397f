/* sip/contact.c -- see contact.h. In: messages. Out: URIs and fields. Owns nothing. */
#include "sip/contact.h"

#include <stdio.h>

#include "sip/binding.h"
#include "sip/call.h"
#include "sip/route.h"

const char *contact_uri(const struct engine *e, unsigned server, uint64_t binding,
			char buf[CONTACT_URI_MAX])
{
	struct token t = {.kind = TOKEN_CONTACT, .id = binding};
	enum engine_transport tr = e->c.servers[server].transport;
	char tok[TOKEN_TEXT_MAX];

	(void)snprintf(buf, CONTACT_URI_MAX, "sip:%s@%s:%u;transport=%s", token_make(e, &t, tok),
		       e->inside_host, tr == ENGINE_TLS ? e->c.inside_tls_port : e->c.inside_port,
		       route_transport(tr, false));
	return buf;
}

bool contact_read(const struct engine *e, const struct sip_uri *u, uint64_t *binding)
{
	struct token t;

	if ((!u->is_sip && !u->is_sips) || token_read(e, u->user, &t) || t.kind != TOKEN_CONTACT)
		return false;
	*binding = t.id;
	return true;
}

void contact_write(struct sip_out *o, const struct sip_addr *a, struct span uri)
{
	size_t before = (size_t)(a->uri.whole.p - a->whole.p);
	bool bare = before == 0; /* an addr-spec: what follows are the field's parameters */

	sip_out_span(o, span_cut(a->whole, 0, before));
	sip_out_text(o, bare ? "<" : "");
	sip_out_span(o, uri);
	sip_out_text(o, bare ? ">" : "");
	sip_out_span(o, span_cut(a->whole, before + a->uri.whole.n, a->whole.n));
}

static bool contact_is_own(const struct engine *e, const struct sip_uri *u)
{
	return (u->is_sip || u->is_sips) && engine_server_of(e, u->host) < 0;
}

/* One field's value. False: it is not a list of Contacts. */
static bool contact_value(const struct engine *e, struct span value, const char *uri,
			  struct sip_out *o)
{
	struct sip_addr a;
	bool first = true;
	int r;

	for (; (r = sip_addr_next(&value, &a)) == 1; first = false) {
		sip_out_text(o, first ? "" : ", ");
		if (contact_is_own(e, &a.uri))
			contact_write(o, &a, span_str(uri));
		else
			sip_out_span(o, a.whole);
	}
	return r == 0 && !o->overflow;
}

bool contact_hide(const struct engine *e, unsigned server, uint64_t binding,
		  const struct sip_msg *m, struct edit *ed, char *buf, size_t n)
{
	char uri[CONTACT_URI_MAX];
	const struct sip_header *h;
	unsigned at = 0;

	if (!m->request && m->status >= 300)
		return true;
	contact_uri(e, server, binding, uri);
	for (; (h = sip_header_find(m, SIP_H_CONTACT, at, &at)); at++) {
		struct sip_out o;

		sip_out_init(&o, buf, n);
		if (ed->n_lines == EDIT_LINES_MAX || !contact_value(e, h->value, uri, &o))
			return false;
		ed->lines[ed->n_lines++] = (struct edit_line){at, span_of(buf, o.n)};
		buf += o.n;
		n -= o.n;
	}
	return true;
}

struct span contact_target(const struct engine *e, const struct call *c, const struct sip_uri *u)
{
	const struct binding *b;
	uint64_t id;

	if (!contact_read(e, u, &id))
		return SPAN("");
	if (c && c->binding == id && c->leg[SIDE_CLIENT].target)
		return span_str(c->leg[SIDE_CLIENT].target);
	b = binding_find(e, id);
	return b ? span_str(b->contact) : SPAN("");
}
