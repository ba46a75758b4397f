/* sip/dialog.c -- what a call records of its two legs, and requests of our own made from it.
 *
 * In: messages that made or refreshed the dialog. Out: checks of in-dialog requests; ACK and BYE. The call owns the
 * strings; each is at most URI_MAX, and a longer one counts as not known. */
#include "sip/call.h"

#include <stdio.h>
#include <stdlib.h>

#include "sip/route.h"
#include "sip/target.h"

static void dialog_set(char **p, struct span s)
{
	char *v = s.n && s.n <= URI_MAX ? strndup((const char *)s.p, s.n) : NULL;

	if (!v)
		return;
	free(*p);
	*p = v;
}

void leg_free(struct leg *l)
{
	free(l->uri);
	free(l->target);
	free(l->target_before);
	free(l->routes);
}

static void dialog_set_target(struct leg *l, const struct sip_msg *m)
{
	const struct sip_header *h = sip_header_find(m, SIP_H_CONTACT, 0, NULL);
	struct span rest = h ? h->value : SPAN("");
	struct sip_addr a;

	if (!h || sip_addr_next(&rest, &a) != 1 ||
	    (l->target && span_eq(span_str(l->target), a.uri.whole)))
		return;
	free(l->target_before);
	l->target_before = l->target;
	l->target = NULL;
	dialog_set(&l->target, a.uri.whole);
}

static void dialog_set_field(char **p, const struct sip_msg *m, enum sip_hdr id)
{
	const struct sip_header *h = sip_header_find(m, id, 0, NULL);

	if (h)
		dialog_set(p, h->value);
}

static bool dialog_is_token(const struct engine *e, const struct call *c, const struct sip_addr *a)
{
	struct token t;

	return a->uri.user.n && token_read(e, a->uri.user, &t) == 0 && t.kind == TOKEN_CALL &&
	       t.id == c->id;
}

/* Record-Route elements up to our own, one a line; an answer's are turned round (RFC 3261 12.1.1, 12.1.2). */
static void dialog_set_routes(const struct engine *e, const struct call *c, struct leg *l,
			      const struct sip_msg *m)
{
	struct sip_addr r[ROUTES_MAX];
	const struct sip_header *h;
	char text[URI_MAX + 1];
	unsigned at = 0, n = 0, i;
	size_t o = 0;
	bool ours = false;

	for (; !ours && (h = sip_header_find(m, SIP_H_RECORD_ROUTE, at, &at)); at++) {
		struct span rest = h->value;

		while (n < ROUTES_MAX && sip_addr_next(&rest, &r[n]) == 1) {
			ours = !m->request && dialog_is_token(e, c, &r[n]);
			if (ours)
				break;
			n++;
		}
	}
	for (i = 0; i < n; i++) {
		/* Unfolded: a line break inside one would end it for who reads them back. */
		ssize_t len =
			sip_unfold(r[m->request ? i : n - 1 - i].whole, text + o, URI_MAX - o);

		if (len < 0)
			return;
		o += (size_t)len;
		text[o++] = '\n';
	}
	text[o] = 0;
	free(l->routes);
	l->routes = strdup(text);
}

void dialog_from_request(const struct engine *e, struct call *c, enum side from,
			 const struct sip_msg *m)
{
	struct leg *l = &c->leg[from];

	dialog_set(&c->call_id, m->call_id);
	dialog_set_field(&l->uri, m, SIP_H_FROM);
	dialog_set_field(&c->leg[!from].uri, m, SIP_H_TO);
	dialog_set_target(l, m);
	dialog_set_routes(e, c, l, m);
	l->cseq = m->cseq;
}

void dialog_from_response(const struct engine *e, struct call *c, enum side from,
			  const struct sip_msg *m)
{
	struct leg *l = &c->leg[from];

	if (m->to_tag.n == 0)
		return;
	dialog_set_field(&l->uri, m, SIP_H_TO);
	dialog_set_target(l, m);
	dialog_set_routes(e, c, l, m);
}

void dialog_refresh(struct call *c, enum side from, const struct sip_msg *m)
{
	dialog_set_target(&c->leg[from], m);
}

/* Target refresh requests (RFC 5057 5.4): a client that was transferred may send its BYE to NOTIFY's Contact. */
static bool dialog_refreshes(enum sip_method m)
{
	return m == SIP_M_INVITE || m == SIP_M_UPDATE || m == SIP_M_SUBSCRIBE ||
	       m == SIP_M_NOTIFY || m == SIP_M_REFER;
}

void dialog_seen(struct call *c, enum side from, const struct sip_msg *m)
{
	struct leg *l = &c->leg[from];

	if (m->cseq > l->cseq)
		l->cseq = m->cseq;
	if (dialog_refreshes(m->method) || !l->target)
		dialog_set_target(l, m);
	if (!c->plain || m->from_tag.n == 0)
		return;
	/* NOTIFY may come before the 200 to SUBSCRIBE (RFC 6665 4.4.1) and then tells the tag. */
	dialog_set_field(&l->uri, m, SIP_H_FROM);
}

/* ---- checks ---- */

static bool dialog_next_route(const char **p, struct span *out)
{
	const char *end = *p ? strchr(*p, '\n') : NULL;

	if (!end)
		return false;
	*out = span_of(*p, (size_t)(end - *p));
	*p = end + 1;
	return true;
}

bool dialog_routes_ok(const struct call *c, enum side to, const struct routes *ri)
{
	const char *p = c->leg[to].routes;
	struct sip_addr a;
	struct span s;
	unsigned i;

	for (i = ri->ours; i < ri->n; i++)
		if (!dialog_next_route(&p, &s) || sip_addr_parse(s, &a) ||
		    !sip_uri_equal(&a.uri, &ri->r[i].uri))
			return false;
	return !dialog_next_route(&p, &s);
}

static bool dialog_uri_is(const char *text, const struct sip_uri *u)
{
	struct sip_uri t;

	return text && sip_uri_parse(span_str(text), &t) == 0 && sip_uri_equal(&t, u);
}

bool dialog_target_ok(const struct call *c, enum side to, const struct sip_uri *ruri)
{
	return dialog_uri_is(c->leg[to].target, ruri) ||
	       dialog_uri_is(c->leg[to].target_before, ruri);
}

bool dialog_from_ok(const struct call *c, enum side side, const struct sip_msg *m)
{
	const char *uri = c->leg[side].uri;
	struct sip_addr a;

	return uri && sip_addr_parse(span_str(uri), &a) == 0 && sip_uri_equal(&a.uri, &m->from.uri);
}

/* @uri: a From or To value. What is not known cannot be wrong. */
static bool dialog_tag_is(const char *uri, struct span tag)
{
	struct sip_param p;
	struct sip_addr a;

	if (!uri || sip_addr_parse(span_str(uri), &a))
		return true;
	return sip_param_find(a.params, SPAN("tag"), &p) ? span_eq(p.value, tag) : tag.n == 0;
}

bool dialog_tags_ok(const struct call *c, enum side from, const struct sip_msg *m)
{
	return c->state != CALL_UP || c->plain ||
	       (dialog_tag_is(c->leg[from].uri, m->from_tag) &&
		dialog_tag_is(c->leg[!from].uri, m->to_tag));
}

/* ---- requests of our own ---- */

struct dialog_own { /* one of them */
	const char *method;
	const char *from, *to; /* values with tags */
	uint32_t cseq;
};

static ssize_t dialog_write(struct engine *e, const struct call *c, enum side to,
			    const struct peer *down, uint64_t branch, const struct dialog_own *d)
{
	const char *p = c->leg[to].routes;
	struct sip_out o;
	struct span route;
	char via[512];

	sip_out_init(&o, e->out, e->buf_cap);
	sip_out_text(&o, "%s %s SIP/2.0\r\n%s", d->method, c->leg[to].target,
		     route_via(e, down, branch, via, sizeof(via)));
	sip_out_text(&o, "Max-Forwards: 70\r\n");
	while (dialog_next_route(&p, &route))
		sip_out_header(&o, "Route", route);
	sip_out_text(&o, "From: %s\r\nTo: %s\r\nCall-ID: %s\r\nCSeq: %u %s\r\n", d->from, d->to,
		     c->call_id, d->cseq, d->method);
	return sip_out_body(&o, SPAN(""));
}

/* The next hop of our own requests inwards, as target_peer() wants it. */
static const struct sip_uri *dialog_next(const struct leg *l, struct sip_addr *a, struct sip_uri *u)
{
	const char *p = l->routes;
	struct span route;

	if (dialog_next_route(&p, &route) && sip_addr_parse(route, a) == 0)
		return &a->uri;
	return l->target && sip_uri_parse(span_str(l->target), u) == 0 ? u : NULL;
}

static bool dialog_peer(const struct engine *e, const struct call *c, enum side to,
			struct peer *out)
{
	struct stream *s = to == SIDE_CLIENT ? call_stream(e, c) : NULL;
	struct sip_addr a;
	struct sip_uri u;

	if (to == SIDE_CLIENT && !s)
		return false;
	*out = to == SIDE_CLIENT ? engine_peer_stream(s->id)
				 : target_peer(e, c->server, dialog_next(&c->leg[to], &a, &u),
					       &c->inside_at, target_key(c->user->aor));
	return c->call_id && c->leg[0].uri && c->leg[1].uri && c->leg[to].target;
}

void dialog_bye(struct engine *e, struct call *c, enum side to)
{
	struct dialog_own d = {"BYE", c->leg[!to].uri, c->leg[to].uri, c->leg[!to].cseq + 1};
	struct peer down;
	struct txn *t;
	ssize_t n;

	if (!dialog_peer(e, c, to, &down))
		return;
	t = txn_new_own(e, SIP_M_BYE);
	if (!t)
		return;
	c->leg[!to].cseq++;
	t->down = down;
	n = dialog_write(e, c, to, &down, t->id, &d);
	if (n > 0)
		txn_send(e, t, span_of(e->out, (size_t)n));
	else
		txn_client_end(e, t);
}

void dialog_refuse_answer(struct engine *e, struct call *c, struct txn *t, const struct sip_msg *m)
{
	enum side to = t->down.kind == PEER_STREAM ? SIDE_CLIENT : SIDE_INSIDE;
	struct leg keep = c->leg[to];
	struct dialog_own d = {"ACK", c->leg[!to].uri, NULL, m->cseq};
	struct peer down;
	ssize_t n;

	/* Whose 2xx say a new tag each time would fill the table of transactions with our BYEs. */
	if (c->refused == CALL_REFUSALS_MAX) {
		e->stats.refused_full++;
		return;
	}
	c->refused++;
	/* The answer may be another branch's: its tag, target and routes for these two requests only. */
	c->leg[to] = (struct leg){.cseq = keep.cseq};
	if (t->initial)
		dialog_from_response(e, c, to, m);
	else
		dialog_set_field(&c->leg[to].uri, m, SIP_H_TO), dialog_set_target(&c->leg[to], m);
	if (!t->initial && keep.routes)
		c->leg[to].routes = strdup(keep.routes);
	d.to = c->leg[to].uri;
	if (dialog_peer(e, c, to, &down)) {
		n = dialog_write(e, c, to, &down, engine_random64(e), &d);
		if (n > 0)
			engine_send(e, &down, span_of(e->out, (size_t)n));
		dialog_bye(e, c, to);
	}
	leg_free(&c->leg[to]);
	c->leg[to] = keep;
}
