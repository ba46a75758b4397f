/* sip/identity.c -- see identity.h. In: requests of clients. Out: verdicts. Owns nothing. */
#include "sip/identity.h"

#include <errno.h>

static bool identity_host_is(struct span host, const char *name)
{
	struct span n = span_str(name);

	if (n.n > 2 && n.p[0] == '[')
		n = span_cut(n, 1, n.n - 2);
	return span_ieq(host, n);
}

/* Whether @u names us by host and port: the edge's published name for a client, our own inside. */
static bool identity_is_us(const struct engine *e, const struct stream *s, const struct sip_uri *u)
{
	/* A client may know us by the edge's name or by a domain whose SRV record leads here. */
	if (s && u->user.n == 0 && engine_server_of(e, u->host) >= 0)
		return true;
	if (s)
		return identity_host_is(u->host, s->edge->host) &&
		       (u->port == 0 || u->port == s->edge->port);
	return identity_host_is(u->host, e->c.inside_host) &&
	       (u->port == 0 || u->port == e->c.inside_port || u->port == e->c.inside_tls_port);
}

/* 1: ours, 0: not, -EPERM: forged. A valid MAC makes a URI ours whatever host it names: it is consumed here. */
static int identity_ours(const struct engine *e, const struct stream *s, const struct sip_addr *a,
			 struct routes *out)
{
	struct token t;

	if (!a->uri.is_sip && !a->uri.is_sips)
		return 0;
	if (a->uri.user.n == 0)
		return identity_is_us(e, s, &a->uri);
	if (token_read(e, a->uri.user, &t) || (t.kind != TOKEN_PATH && t.kind != TOKEN_CALL)) {
		out->forged = identity_is_us(e, s, &a->uri);
		return out->forged ? -EPERM : 0;
	}
	if (out->has_token && (t.kind != out->token.kind || t.id != out->token.id))
		return 0; /* another pass through us: not this one's to consume */
	out->has_token = true;
	out->token = t;
	return 1;
}

int identity_routes(const struct engine *e, const struct stream *s, const struct sip_msg *m,
		    struct routes *out)
{
	const struct sip_header *h;
	bool leading = true;
	unsigned at = 0;
	int r;

	out->n = out->ours = 0;
	out->has_token = out->forged = false;
	for (; (h = sip_header_find(m, SIP_H_ROUTE, at, &at)); at++) {
		struct span rest = h->value;

		while ((r = sip_addr_next(&rest, &out->r[out->n])) == 1) {
			r = leading ? identity_ours(e, s, &out->r[out->n], out) : 0;
			if (r < 0)
				return r;
			leading = r == 1;
			out->ours += leading;
			if (++out->n == ROUTES_MAX)
				return -E2BIG;
		}
		if (r < 0)
			return -EPERM;
	}
	return 0;
}

bool identity_preferred(const struct stream *s, const struct sip_msg *m)
{
	const struct sip_header *h;
	char aor[AOR_MAX];
	unsigned at = 0;
	int r;

	for (; (h = sip_header_find(m, SIP_H_P_PREFERRED_IDENTITY, at, &at)); at++) {
		struct span rest = h->value;
		struct sip_addr a;

		while ((r = sip_addr_next(&rest, &a)) == 1)
			if (sip_uri_aor(&a.uri, aor, sizeof(aor)) < 0 || !binding_of_stream(s, aor))
				return false;
		if (r < 0)
			return false;
	}
	return true;
}

struct binding *identity_from(const struct stream *s, const struct sip_msg *m, const char **why)
{
	struct binding *b;
	char aor[AOR_MAX];

	if (!s->admitted) {
		*why = "not-admitted";
		return NULL;
	}
	if (sip_uri_aor(&m->from.uri, aor, sizeof(aor)) < 0 || !(b = binding_of_stream(s, aor))) {
		*why = "from";
		return NULL;
	}
	if (!identity_preferred(s, m)) {
		*why = "preferred-identity";
		return NULL;
	}
	return b;
}
