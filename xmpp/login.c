/* xmpp/login.c -- see login.h. In: bytes of the client, the caller's words. Out: events. Owner: the caller's
 * struct xmpp_login. */
#include "xmpp/login_int.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

static const struct xmpp_limits server_limits = {.header = 4096,
						 .stanza = 32768,
						 .token = 16384,
						 .attr_bytes = 8192,
						 .memory = 256u << 10,
						 .depth = 32,
						 .attrs = 32,
						 .namespaces = 64};

static void reader_new(struct xmpp_login *l, enum xmpp_side side)
{
	struct xmpp_setup s = {.role = side == XMPP_CLIENT ? XMPP_INITIATING : XMPP_RECEIVING,
			       .limits = side == XMPP_CLIENT ? xmpp_limits_stranger : server_limits,
			       .salt = l->salt};

	xmpp_reader_init(&l->reader[side], &s);
}

void xmpp_login_init(struct xmpp_login *l, const char *id, unsigned long salt)
{
	memset(l, 0, sizeof(*l));
	l->salt = salt;
	snprintf(l->id, sizeof(l->id), "%s", id);
	l->hold[XMPP_CLIENT].max = XMPP_LOGIN_CLIENT_MAX;
	l->hold[XMPP_SERVER].max = XMPP_LOGIN_SERVER_MAX;
	reader_new(l, XMPP_CLIENT);
	reader_new(l, XMPP_SERVER);
}

static void wipe(void *p, size_t n)
{
	if (p)
		explicit_bzero(p, n);
	free(p);
}

void xmpp_login_fini(struct xmpp_login *l)
{
	unsigned i;

	for (i = 0; i < 2; i++) {
		xmpp_reader_fini(&l->reader[i]);
		wipe(l->hold[i].p, l->hold[i].cap);
	}
	free(l->head);
	wipe(l->out, l->out_cap);
	memset(l, 0, sizeof(*l));
	l->state = ST_OVER;
}

/* ---- bytes that are held ---- */

size_t xmpp_login_room(const struct xmpp_login *l, enum xmpp_side side)
{
	const struct xmpp_hold *h = &l->hold[side];

	return h->max - (h->n - h->drop);
}

void login_settle(struct xmpp_hold *h)
{
	if (!h->drop)
		return;
	memmove(h->p, h->p + h->drop, h->n - h->drop);
	h->n -= h->drop;
	h->base += h->drop;
	h->drop = 0;
}

static int hold_grow(struct xmpp_hold *h, size_t want)
{
	size_t cap = h->cap ? h->cap : 1024;
	uint8_t *p;

	while (cap < want)
		cap *= 2;
	if (cap == h->cap)
		return 0;
	p = malloc(cap); /* not realloc(): what was there is wiped */
	if (!p)
		return -ENOMEM;
	memcpy(p, h->p ? h->p : p, h->n);
	wipe(h->p, h->cap);
	h->p = p;
	h->cap = cap;
	return 0;
}

int xmpp_login_put(struct xmpp_login *l, enum xmpp_side side, struct span in)
{
	struct xmpp_hold *h = &l->hold[side];

	if (in.n > xmpp_login_room(l, side))
		return -ENOBUFS;
	login_settle(h);
	if (hold_grow(h, h->n + in.n))
		return -ENOMEM;
	if (in.n)
		memcpy(h->p + h->n, in.p, in.n);
	h->n += in.n;
	return 0;
}

struct span xmpp_login_rest(struct xmpp_login *l, enum xmpp_side side)
{
	struct xmpp_hold *h = &l->hold[side];

	login_settle(h);
	return span_of(h->p, h->n);
}

void login_server_new(struct xmpp_login *l)
{
	struct xmpp_hold *h = &l->hold[XMPP_SERVER];

	xmpp_reader_fini(&l->reader[XMPP_SERVER]);
	reader_new(l, XMPP_SERVER);
	h->n = h->drop = 0;
	h->base = 0;
}

enum xmpp_event_kind login_read(struct xmpp_login *l, enum xmpp_side side, struct xmpp_event *e)
{
	struct xmpp_hold *h = &l->hold[side];
	size_t done = (size_t)(l->reader[side].at - h->base);

	return xmpp_reader_next(&l->reader[side], span_of(h->p ? h->p + done : h->p, h->n - done),
				e);
}

struct span login_pass(struct xmpp_login *l, enum xmpp_side side)
{
	struct xmpp_hold *h = &l->hold[side];

	h->drop = (size_t)(l->reader[side].at - h->base);
	return span_of(h->p, h->drop);
}

struct span login_raw(const struct xmpp_login *l, enum xmpp_side side, const struct xmpp_event *e)
{
	const struct xmpp_hold *h = &l->hold[side];

	return span_of(h->p + (e->offset - h->base), (size_t)e->length);
}

int login_room(struct xmpp_login *l, size_t n)
{
	if (l->out_cap >= n)
		return 0;
	wipe(l->out, l->out_cap);
	l->out = malloc(n);
	l->out_cap = l->out ? n : 0;
	return l->out ? 0 : -ENOMEM;
}

/* ---- verdicts ---- */

enum xmpp_login_kind login_say(struct xmpp_login_event *out, enum xmpp_login_kind kind,
			       struct span bytes)
{
	out->kind = kind;
	out->bytes = bytes;
	return kind;
}

enum xmpp_login_kind login_more(struct xmpp_login_event *out)
{
	return login_say(out, XMPP_LOGIN_MORE, (struct span){});
}

void login_why(struct xmpp_login_event *out, const char *what, struct span text)
{
	snprintf(out->why, sizeof(out->why), "%s%s%.*s", what, text.n ? ": " : "",
		 (int)(text.n < 120 ? text.n : 120), text.n ? (const char *)text.p : "");
}

void xmpp_login_fail(struct xmpp_login *l, const char *condition, const char *text)
{
	if (l->state == ST_OVER)
		return;
	snprintf(l->condition, sizeof(l->condition), "%s", condition);
	snprintf(l->text, sizeof(l->text), "%s", text);
	l->state = ST_FAIL;
}

/* The stream error, behind a header of our own where the client has none (RFC 6120 4.9.1.2). */
static enum xmpp_login_kind fail_write(struct xmpp_login *l, struct xmpp_login_event *out)
{
	struct xmpp_header h = {.from = xmpp_domain_span(&l->domain),
				.id = span_str(l->id),
				.version = SPAN("1.0"),
				.lang = SPAN("en")};
	struct xmpp_out o;
	ssize_t n;

	l->state = ST_OVER;
	login_why(out, l->condition, span_str(l->text));
	if (login_room(l, 2048))
		return login_say(out, XMPP_LOGIN_END, (struct span){});
	xmpp_out_init(&o, l->out, l->out_cap);
	if (!l->passed)
		xmpp_write_header(&o, &h);
	xmpp_write_error(&o, l->condition, span_str(l->text));
	n = xmpp_out_end(&o);
	return login_say(out, XMPP_LOGIN_END, span_of(l->out, n > 0 ? (size_t)n : 0));
}

enum xmpp_login_kind login_fail_now(struct xmpp_login *l, const char *condition, const char *text,
				    struct xmpp_login_event *out)
{
	xmpp_login_fail(l, condition, text);
	return fail_write(l, out);
}

static enum xmpp_login_kind refuse(struct xmpp_login *l, const struct xmpp_event *e,
				   struct xmpp_login_event *out)
{
	char text[128];

	snprintf(text, sizeof(text), "%.*s", (int)(e->text.n < 120 ? e->text.n : 120),
		 e->text.n ? (const char *)e->text.p : "");
	return login_fail_now(l, xmpp_why_condition(e->why), text, out);
}

enum xmpp_login_kind login_end_with(struct xmpp_login *l, struct span bytes,
				    struct xmpp_login_event *out)
{
	struct xmpp_out o;

	l->state = ST_OVER;
	if (login_room(l, bytes.n + 64))
		return login_say(out, XMPP_LOGIN_END, (struct span){});
	xmpp_out_init(&o, l->out, l->out_cap);
	xmpp_out_raw(&o, bytes);
	xmpp_write_close(&o);
	return login_say(out, XMPP_LOGIN_END, span_of(l->out, o.n));
}

/* ---- the client ---- */

static void from_take(struct xmpp_login *l, struct span from)
{
	enum xmpp_jid_why why;
	struct xmpp_jid j;

	if (!from.n || xmpp_jid_parse(from, &j, &why) || !j.local.n ||
	    !xmpp_domain_equal(&j.host, &l->domain) ||
	    xmpp_jid_bare(&j, l->from, sizeof(l->from)) < 0)
		l->from[0] = 0;
}

static enum xmpp_login_kind client_header(struct xmpp_login *l, struct xmpp_login_event *out)
{
	struct xmpp_event e;

	switch (login_read(l, XMPP_CLIENT, &e)) {
	case XMPP_MORE:
		return login_more(out);
	case XMPP_OPEN:
		break;
	default:
		return refuse(l, &e, out);
	}
	l->domain = e.to;
	from_take(l, e.open.from);
	l->head_n = (size_t)e.length;
	l->head = malloc(l->head_n);
	if (!l->head)
		return login_fail_now(l, "resource-constraint", "out of memory", out);
	memcpy(l->head, login_raw(l, XMPP_CLIENT, &e).p, l->head_n);
	login_pass(l, XMPP_CLIENT);
	l->state = ST_DIALING;
	return login_say(out, XMPP_LOGIN_DIAL, (struct span){});
}

static enum xmpp_login_kind client_auth(struct xmpp_login *l, const struct xmpp_event *e,
					struct xmpp_login_event *out)
{
	l->sasl2 = e->element == XMPP_E_SASL2_AUTHENTICATE;
	if (l->exchange)
		return login_fail_now(l, "policy-violation", "a second exchange within the first",
				      out);
	l->pending = true;
	l->state = ST_USER;
	if (!xmpp_sasl_user(xmpp_reader_context(&l->reader[XMPP_CLIENT]),
			    login_raw(l, XMPP_CLIENT, e), l->sasl2,
			    xmpp_event_attr(e, SPAN("mechanism")), &out->sasl))
		return login_say(out, XMPP_LOGIN_USER, (struct span){});
	xmpp_login_deny(l, "malformed-request", "");
	return xmpp_login_next(l, out);
}

/* What a client may say before it has authenticated. */
static enum xmpp_login_kind client_element(struct xmpp_login *l, const struct xmpp_event *e,
					   struct xmpp_login_event *out)
{
	switch (e->element) {
	case XMPP_E_AUTH:
	case XMPP_E_SASL2_AUTHENTICATE:
		return client_auth(l, e, out);
	case XMPP_E_RESPONSE:
	case XMPP_E_SASL2_RESPONSE:
	case XMPP_E_SASL2_NEXT:
	case XMPP_E_SASL2_TASK_DATA:
	case XMPP_E_ABORT:
	case XMPP_E_SASL2_ABORT:
		if (!l->exchange)
			return login_fail_now(l, "policy-violation", "no exchange has begun", out);
		l->state = ST_SERVER;
		return login_say(out, XMPP_LOGIN_TO_SERVER, login_pass(l, XMPP_CLIENT));
	default:
		return login_fail_now(l, "not-authorized", xmpp_element_name(e->element), out);
	}
}

static enum xmpp_login_kind client_next(struct xmpp_login *l, struct xmpp_login_event *out)
{
	struct xmpp_event e;

	for (;;) {
		switch (login_read(l, XMPP_CLIENT, &e)) {
		case XMPP_MORE:
			return login_more(out);
		case XMPP_SPACE: /* a keepalive, but there is nothing to keep yet */
			login_pass(l, XMPP_CLIENT);
			login_settle(&l->hold[XMPP_CLIENT]);
			continue;
		case XMPP_STANZA:
			return client_element(l, &e, out);
		case XMPP_CLOSE:
			login_why(out, "closed by the client", (struct span){});
			out->by = XMPP_LOGIN_BY_CLIENT;
			return login_end_with(l, (struct span){}, out);
		default:
			return refuse(l, &e, out);
		}
	}
}

/* ---- the caller's words ---- */

void xmpp_login_up(struct xmpp_login *l, bool starttls)
{
	if (l->state != ST_DIALING && l->state != ST_SHAKING)
		return;
	login_server_new(l);
	l->server = true;
	l->state = starttls ? ST_PLAIN : ST_READY;
}

bool xmpp_login_again(struct xmpp_login *l)
{
	if (l->state == ST_OVER || l->state == ST_HEADER || (l->exchange && !l->pending))
		return false;
	login_server_new(l);
	l->server = l->exchange = false;
	if (l->state != ST_CLIENT && l->state != ST_USER && l->state != ST_FAIL &&
	    l->state != ST_DENY)
		l->state = ST_DIAL;
	return true;
}

void xmpp_login_go(struct xmpp_login *l)
{
	if (l->state == ST_USER)
		l->state = l->server ? ST_SEND : ST_DIAL;
}

void xmpp_login_other(struct xmpp_login *l)
{
	if (l->state != ST_USER)
		return;
	login_server_new(l);
	l->server = false;
	l->state = ST_DIAL;
}

void xmpp_login_deny(struct xmpp_login *l, const char *condition, const char *text)
{
	if (l->state != ST_USER)
		return;
	snprintf(l->condition, sizeof(l->condition), "%s", condition);
	snprintf(l->text, sizeof(l->text), "%s", text);
	login_answered(l);
	l->state = ST_DENY;
}

static enum xmpp_login_kind deny_write(struct xmpp_login *l, struct xmpp_login_event *out)
{
	struct xmpp_out o;
	ssize_t n;

	l->state = ST_CLIENT;
	if (login_room(l, 1024))
		return login_fail_now(l, "resource-constraint", "out of memory", out);
	xmpp_out_init(&o, l->out, l->out_cap);
	xmpp_write_sasl_failure(&o, l->sasl2, l->condition, span_str(l->text));
	n = xmpp_out_end(&o);
	return login_say(out, XMPP_LOGIN_TO_CLIENT, span_of(l->out, n > 0 ? (size_t)n : 0));
}

enum xmpp_login_kind xmpp_login_next(struct xmpp_login *l, struct xmpp_login_event *out)
{
	enum xmpp_login_kind kind;

	memset(out, 0, sizeof(*out));
	out->domain = &l->domain;
	login_settle(&l->hold[XMPP_CLIENT]);
	login_settle(&l->hold[XMPP_SERVER]);
	switch ((enum state)l->state) {
	case ST_HEADER:
		return client_header(l, out);
	case ST_DIAL:
		l->state = ST_DIALING;
		return login_say(out, XMPP_LOGIN_DIAL, (struct span){});
	case ST_PLAIN:
		return login_server_hello(l, out);
	case ST_OFFER:
		return login_server_offer(l, out);
	case ST_PROCEED:
		return login_server_proceed(l, out);
	case ST_READY:
		l->state = ST_FEATURES;
		return login_say(out, XMPP_LOGIN_TO_SERVER, span_of(l->head, l->head_n));
	case ST_FEATURES:
		return login_server_features(l, out);
	case ST_CLIENT:
		kind = l->server ? login_server_idle(l, out) : login_more(out);
		return kind == XMPP_LOGIN_MORE ? client_next(l, out) : kind;
	case ST_SEND: /* still held: as long as it has no answer another server may get it */
		l->state = ST_SERVER;
		l->exchange = true;
		return login_say(
			out, XMPP_LOGIN_TO_SERVER,
			span_of(l->hold[XMPP_CLIENT].p,
				(size_t)(l->reader[XMPP_CLIENT].at - l->hold[XMPP_CLIENT].base)));
	case ST_SERVER:
		return login_server_answer(l, out);
	case ST_DENY:
		return deny_write(l, out);
	case ST_FAIL:
		return fail_write(l, out);
	case ST_DIALING:
	case ST_SHAKING:
	case ST_USER:
	case ST_OVER:
		break;
	}
	return login_more(out);
}
