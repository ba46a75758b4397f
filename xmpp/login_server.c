/* xmpp/login_server.c -- what a server says before its client has authenticated. See login.h.
 *
 * In: its bytes, held by struct xmpp_login. Out: events. */
#include "xmpp/login_int.h"

#include <stdlib.h>

#include "xmpp/features.h"

/* It makes no sense, or is in no state to serve: the caller may try another one. */
static enum xmpp_login_kind bad_server(struct xmpp_login *l, struct xmpp_login_event *out,
				       const char *what, struct span text)
{
	login_why(out, what, text);
	l->hold[XMPP_SERVER].drop = l->hold[XMPP_SERVER].n;
	return login_say(out, XMPP_LOGIN_SERVER_BAD, (struct span){});
}

/* "host", "host:port", "[IPv6]:port" (RFC 6120 4.9.3.19). */
static bool elsewhere_parse(const char *text, struct xmpp_login_event *out)
{
	const char *colon = strrchr(text, ':'), *close = strrchr(text, ']');
	size_t n = strlen(text);
	long port = 0;
	char *end;

	if (colon && close ? colon > close : colon && colon == strchr(text, ':')) {
		port = strtol(colon + 1, &end, 10);
		if (*end || port < 1 || port > 65535)
			return false;
		n = (size_t)(colon - text);
	}
	if (text[0] == '[') {
		if (n < 3 || text[n - 1] != ']')
			return false;
		text++;
		n -= 2;
	}
	if (!n || n >= sizeof(out->host))
		return false;
	memcpy(out->host, text, n);
	out->host[n] = 0;
	out->port = (uint16_t)port;
	return true;
}

/* What is wrong with that server may not be wrong with another one. */
static bool worth_another(const char *condition)
{
	static const char *const names[] = {"connection-timeout",  "internal-server-error",
					    "resource-constraint", "remote-connection-failed",
					    "system-shutdown",	   "reset"};
	size_t i;

	for (i = 0; i < sizeof(names) / sizeof(names[0]); i++)
		if (strcmp(condition, names[i]) == 0)
			return true;
	return false;
}

/* A stream error: followed, taken for the server's own trouble, or passed on with what stands before it. */
static enum xmpp_login_kind server_error(struct xmpp_login *l, const struct xmpp_event *e,
					 struct xmpp_login_event *out)
{
	struct span context = xmpp_reader_context(&l->reader[XMPP_SERVER]);
	struct span error = login_raw(l, XMPP_SERVER, e), all = login_pass(l, XMPP_SERVER);
	char condition[48] = "stream error", text[300];
	bool free_to_go = !l->exchange || l->pending;

	(void)xmpp_inner_name(context, error, SPAN(XMPP_NS_ERRORS), condition, sizeof(condition));
	if (free_to_go && strcmp(condition, "see-other-host") == 0 &&
	    xmpp_inner_text(context, error, SPAN(XMPP_NS_ERRORS), SPAN("see-other-host"), text,
			    sizeof(text)) > 0 &&
	    elsewhere_parse(text, out)) {
		login_why(out, "see-other-host", span_str(text));
		return login_say(out, XMPP_LOGIN_ELSEWHERE, (struct span){});
	}
	if (free_to_go && worth_another(condition))
		return bad_server(l, out, "stream error", span_str(condition));
	login_why(out, "stream error from the server", span_str(condition));
	out->by = XMPP_LOGIN_BY_SERVER;
	return login_end_with(l, l->passed ? error : all, out);
}

/* Whatever is not what @state waits for. */
static enum xmpp_login_kind server_other(struct xmpp_login *l, const struct xmpp_event *e,
					 struct xmpp_login_event *out)
{
	switch (e->kind) {
	case XMPP_STANZA:
		if (e->element == XMPP_E_ERROR)
			return server_error(l, e, out);
		return bad_server(l, out, "unexpected element",
				  span_str(xmpp_element_name(e->element)));
	case XMPP_CLOSE:
		if (!l->passed)
			return bad_server(l, out, "it closed its stream", (struct span){});
		login_why(out, "closed by the server", (struct span){});
		out->by = XMPP_LOGIN_BY_SERVER;
		return login_end_with(l, (struct span){}, out);
	case XMPP_REFUSED:
		return bad_server(l, out, xmpp_why_text(e->why), e->text);
	default:
		return bad_server(l, out, "unexpected stream header", (struct span){});
	}
}

/* Our own header, to be answered with features: only TLS is asked for on it, so it says nothing about the client. */
enum xmpp_login_kind login_server_hello(struct xmpp_login *l, struct xmpp_login_event *out)
{
	struct xmpp_header h = {.to = xmpp_domain_span(&l->domain), .version = SPAN("1.0")};
	struct xmpp_out o;

	if (login_room(l, 1024))
		return login_fail_now(l, "resource-constraint", "out of memory", out);
	xmpp_out_init(&o, l->out, l->out_cap);
	xmpp_write_header(&o, &h);
	l->state = ST_OFFER;
	return login_say(out, XMPP_LOGIN_TO_SERVER, span_of(l->out, o.n));
}

enum xmpp_login_kind login_server_offer(struct xmpp_login *l, struct xmpp_login_event *out)
{
	struct xmpp_features found = {.starttls = 0};
	struct xmpp_event e;
	enum xmpp_event_kind kind;
	struct xmpp_out o;
	struct span f;

	do
		kind = login_read(l, XMPP_SERVER, &e);
	while (kind == XMPP_OPEN || kind == XMPP_SPACE);
	if (kind == XMPP_MORE)
		return login_more(out);
	if (kind != XMPP_STANZA || e.element != XMPP_E_FEATURES)
		return server_other(l, &e, out);
	f = login_raw(l, XMPP_SERVER, &e);
	if (login_room(l, f.n + 128))
		return login_fail_now(l, "resource-constraint", "out of memory", out);
	if (xmpp_features_rewrite(xmpp_reader_context(&l->reader[XMPP_SERVER]), f, l->out, f.n,
				  &found) < 0 ||
	    !found.starttls)
		return bad_server(l, out, "wanted <starttls/>, and it does not offer it",
				  (struct span){});
	login_pass(l, XMPP_SERVER);
	xmpp_out_init(&o, l->out, l->out_cap);
	xmpp_write_starttls(&o);
	l->state = ST_PROCEED;
	return login_say(out, XMPP_LOGIN_TO_SERVER, span_of(l->out, o.n));
}

enum xmpp_login_kind login_server_proceed(struct xmpp_login *l, struct xmpp_login_event *out)
{
	struct xmpp_hold *h = &l->hold[XMPP_SERVER];
	struct xmpp_event e;
	enum xmpp_event_kind kind;

	do
		kind = login_read(l, XMPP_SERVER, &e);
	while (kind == XMPP_SPACE);
	if (kind == XMPP_MORE)
		return login_more(out);
	if (kind != XMPP_STANZA || e.element != XMPP_E_PROCEED)
		return server_other(l, &e, out);
	if (l->reader[XMPP_SERVER].at - h->base < h->n)
		return bad_server(l, out, "bytes behind <proceed/>", (struct span){});
	login_server_new(l);
	l->state = ST_SHAKING;
	return login_say(out, XMPP_LOGIN_START_TLS, (struct span){});
}

/* Header and features: to the client, what cannot work cut out; of a second server it needs neither. */
static enum xmpp_login_kind features_pass(struct xmpp_login *l, const struct xmpp_event *e,
					  struct xmpp_login_event *out)
{
	const struct xmpp_hold *h = &l->hold[XMPP_SERVER];
	struct xmpp_features found = {.starttls = 0};
	struct span f = login_raw(l, XMPP_SERVER, e);
	size_t before = (size_t)(e->offset - h->base);
	ssize_t n;

	if (l->passed) {
		login_pass(l, XMPP_SERVER);
		l->state = l->pending ? ST_SEND : ST_CLIENT;
		return xmpp_login_next(l, out);
	}
	if (login_room(l, before + f.n))
		return login_fail_now(l, "resource-constraint", "out of memory", out);
	memcpy(l->out, h->p, before);
	n = xmpp_features_rewrite(xmpp_reader_context(&l->reader[XMPP_SERVER]), f, l->out + before,
				  f.n, &found);
	if (n < 0)
		return bad_server(l, out, "features that cannot be read", (struct span){});
	if (found.plus && !found.mechanisms)
		return bad_server(l, out, "it offers only mechanisms with channel binding",
				  (struct span){});
	login_pass(l, XMPP_SERVER);
	l->passed = true;
	l->state = ST_CLIENT;
	out->plus = found.plus;
	return login_say(out, XMPP_LOGIN_TO_CLIENT, span_of(l->out, before + (size_t)n));
}

enum xmpp_login_kind login_server_features(struct xmpp_login *l, struct xmpp_login_event *out)
{
	struct xmpp_event e;

	for (;;) {
		switch (login_read(l, XMPP_SERVER, &e)) {
		case XMPP_MORE:
			return login_more(out);
		case XMPP_OPEN: /* held until the features are there: it may be sorry yet */
		case XMPP_SPACE:
			continue;
		case XMPP_STANZA:
			if (e.element == XMPP_E_FEATURES)
				return features_pass(l, &e, out);
			return server_other(l, &e, out);
		default:
			return server_other(l, &e, out);
		}
	}
}

/* While the client thinks a server has nothing to say but that it is over. */
enum xmpp_login_kind login_server_idle(struct xmpp_login *l, struct xmpp_login_event *out)
{
	struct xmpp_event e;

	for (;;) {
		switch (login_read(l, XMPP_SERVER, &e)) {
		case XMPP_MORE:
			return login_more(out);
		case XMPP_SPACE:
			login_pass(l, XMPP_SERVER);
			login_settle(&l->hold[XMPP_SERVER]);
			continue;
		default:
			return server_other(l, &e, out);
		}
	}
}

/* The first answer to an <auth/>: from now on the client depends on this server. */
void login_answered(struct xmpp_login *l)
{
	if (l->pending)
		login_pass(l, XMPP_CLIENT);
	l->pending = false;
}

enum xmpp_login_kind login_server_answer(struct xmpp_login *l, struct xmpp_login_event *out)
{
	struct xmpp_event e;
	enum xmpp_event_kind kind;

	while ((kind = login_read(l, XMPP_SERVER, &e)) == XMPP_SPACE) {
		login_pass(l, XMPP_SERVER);
		login_settle(&l->hold[XMPP_SERVER]);
	}
	if (kind == XMPP_MORE)
		return login_more(out);
	if (kind != XMPP_STANZA)
		return server_other(l, &e, out);
	switch (e.element) {
	case XMPP_E_CHALLENGE:
	case XMPP_E_SASL2_CHALLENGE:
	case XMPP_E_SASL2_CONTINUE:
	case XMPP_E_SASL2_TASK_DATA:
		login_answered(l);
		l->state = ST_CLIENT;
		return login_say(out, XMPP_LOGIN_TO_CLIENT, login_pass(l, XMPP_SERVER));
	case XMPP_E_FAILURE:
	case XMPP_E_SASL2_FAILURE:
		login_answered(l);
		l->exchange = false;
		l->state = ST_CLIENT;
		return login_say(out, XMPP_LOGIN_FAILED, login_pass(l, XMPP_SERVER));
	case XMPP_E_SUCCESS:
	case XMPP_E_SASL2_SUCCESS:
		login_answered(l);
		l->state = ST_OVER;
		return login_say(out, XMPP_LOGIN_ADMIT, login_pass(l, XMPP_SERVER));
	default:
		return server_other(l, &e, out);
	}
}
