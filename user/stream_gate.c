/* user/stream_gate.c -- a stream before its admission: gate, choice of the core, the link connection, caps. See stream_impl.h.
 *
 * Bytes come from the client's connection into the stream's bounded buffer; whole messages that the gate let through go to the core's data
 * connection, the gate's own replies go back. */
#include <errno.h>
#include <stdio.h>

#include "sip/answer.h"
#include "user/log.h"
#include "user/stream_impl.h"

#define RETRY_AFTER "Retry-After: 5\r\n"

/* ---- whose domain ---- */

static bool core_has(const struct config_edge_core *c, struct span domain)
{
	unsigned i;

	for (i = 0; i < c->domains_count; i++)
		if (span_ieq(span_str(c->domains[i]), domain))
			return true;
	return false;
}

bool stream_served(void *arg, struct span domain)
{
	const struct streams *t = arg;
	unsigned i;

	for (i = 0; i < t->p.cfg->link.cores_count; i++)
		if (core_has(&t->p.cfg->link.cores[i], domain))
			return true;
	return false;
}

struct any_core {
	const struct streams *t;
	struct link_peer *found;
};

static void any_core_up(void *arg, struct link_peer *p)
{
	struct any_core *a = arg;
	int i = stream_core_index(a->t, link_peer_name(p));

	if (i >= 0 && !(i < 32 && a->t->draining & 1u << i))
		a->found = p;
}

/* The core for @domain (empty: any, its token names it), or NULL while there is none. */
static struct link_peer *core_find(struct streams *t, struct span domain)
{
	struct any_core a = {t, NULL};
	struct link_peer *p;
	char lower[256];
	size_t i;
	int core;

	if (!domain.n) {
		link_edge_each(t->p.link, any_core_up, &a);
		return a.found;
	}
	if (domain.n > sizeof(lower))
		return NULL;
	for (i = 0; i < domain.n; i++)
		lower[i] = (char)span_lower(domain.p[i]);
	p = link_edge_route(t->p.link, span_of(lower, domain.n));
	core = p ? stream_core_index(t, link_peer_name(p)) : -1;
	return core < 0 || (core < 32 && t->draining & 1u << core) ? NULL : p;
}

static int core_open(struct stream *s, struct span domain)
{
	struct streams *t = s->all;
	struct link_peer *p = core_find(t, domain);
	Sallyport__Open o = SALLYPORT__OPEN__INIT;
	const struct addr *local = conn_local(s->client);
	char text[ADDR_TEXT_MAX];
	int ret;

	if (!p)
		return -ENOENT;
	o.stream = s->id;
	o.service = (char *)"sip";
	o.client_ip = (ProtobufCBinaryData){16, s->peer.ip};
	o.client_port = s->peer.port;
	o.local_ip = (ProtobufCBinaryData){16, (uint8_t *)local->ip};
	o.local_port = local->port;
	o.sni = s->sni ? s->sni : (char *)"";
	o.alpn = (char *)tls_alpn(conn_tls(s->client));
	o.tls_version = s->tls_version;
	o.tls_cipher = s->tls_cipher;
	ret = link_edge_open(p, &o, &stream_core_ops, s, &s->data);
	if (ret)
		return ret;
	s->core = link_data_conn(s->data);
	s->core_index = stream_core_index(t, link_peer_name(p));
	log_event(LOG_L_INFO, "stream-open", "stream=%llx peer=%s core=%s tls=%s cipher=%s",
		  (unsigned long long)s->id, addr_text(&s->peer, text), link_peer_name(p),
		  s->tls_version, s->tls_cipher);
	return 0;
}

/* ---- verdicts ---- */

static void consume(struct stream *s, size_t n)
{
	s->in_n -= n;
	memmove(s->in, s->in + n, s->in_n);
}

/* Stop reading; stream_gate_step() goes on. */
static void wait_begin(struct stream *s, enum stream_state state, unsigned ms)
{
	s->state = state;
	s->wait_ms = loop_now_ms(s->all->p.loop);
	conn_pause(s->client, true);
	if (loop_timer_set(s->all->p.loop, &s->step, ms))
		stream_end(s, false, "out of memory");
}

static void answer(struct stream *s, struct span reply)
{
	if (reply.n && conn_write(s->client, reply))
		stream_end(s, false, "client does not read");
}

static void answer_instead(struct stream *s, struct gate_out *out, enum gate_reason reason,
			   unsigned status, const char *phrase, const char *extra)
{
	size_t n = sip_answer(out->forward, status, phrase, extra, out->reply, sizeof(out->reply));

	stream_refused(s, reason, SIP_OK);
	consume(s, out->used);
	answer(s, span_of(out->reply, n));
}

static void gate_forward(struct stream *s, struct gate_out *out)
{
	const struct config_edge *cfg = s->all->p.cfg;
	int ret;

	/* One core a stream: its data connection leads to one. */
	if (s->core && out->domain.n && !core_has(&cfg->link.cores[s->core_index], out->domain)) {
		answer_instead(s, out, GATE_OTHER_CORE, 403, "Another Domain On This Connection",
			       "");
		return;
	}
	ret = s->core ? 0 : core_open(s, out->domain);
	if (ret && !s->no_core) {
		wait_begin(s, STREAM_WAIT, STREAM_RETRY_MS);
		return;
	}
	s->no_core = false;
	if (ret) {
		answer_instead(s, out, GATE_NO_CORE, 503,
			       ret == -EAGAIN ? "No Free Connection To The Core"
					      : "No Core For This Domain",
			       RETRY_AFTER);
		return;
	}
	if (conn_write(s->core, out->forward)) {
		stream_end(s, false, "core does not read");
		return;
	}
	if (out->method == SIP_M_REGISTER) {
		s->registered = true;
		s->held = false;
	}
	consume(s, out->used);
}

/* A message that needs admission, after a REGISTER that may have just brought it: Admit travels on another connection than
 * the 200, so it may come a little later. So may the core's own requests be answered before it is here. Wait for it once, then
 * refuse. */
static bool gate_hold(struct stream *s, const struct gate_out *out)
{
	if ((out->reason != GATE_NOT_ADMITTED && out->reason != GATE_RESPONSE) || !s->registered ||
	    s->held)
		return false;
	wait_begin(s, STREAM_HOLD, STREAM_HOLD_MS);
	return true;
}

static void gate_run(struct stream *s)
{
	struct gate_out *out = &s->all->out;

	while (s->state == STREAM_GATE) {
		switch (gate_next(&s->gate, &s->all->gate, span_of(s->in, s->in_n), out)) {
		case GATE_MORE:
			consume(s, out->used);
			return;
		case GATE_FORWARD:
			gate_forward(s, out);
			break;
		case GATE_REPLY:
			if (gate_hold(s, out))
				return;
			if (out->reason != GATE_OK)
				stream_refused(s, out->reason, out->why);
			consume(s, out->used);
			answer(s, span_of(out->reply, out->reply_n));
			break;
		case GATE_CLOSE:
			if (gate_hold(s, out))
				return;
			stream_refused(s, out->reason, out->why);
			answer(s, span_of(out->reply, out->reply_n));
			stream_end(s, true, gate_reason_name(out->reason));
			return;
		}
	}
}

static void too_large(struct stream *s)
{
	struct gate_out *out = &s->all->out;
	size_t n = sip_answer(span_of(s->in, s->in_n), 513, "Message Too Large", "", out->reply,
			      sizeof(out->reply));

	stream_refused(s, GATE_TOO_LARGE, SIP_WHY_TOO_LONG);
	answer(s, span_of(out->reply, n));
	stream_end(s, true, gate_reason_name(GATE_TOO_LARGE));
}

void stream_gate_readable(struct stream *s)
{
	ssize_t n;

	while (s->state == STREAM_GATE) {
		n = conn_read(s->client, s->in + s->in_n, s->all->in_max - s->in_n);
		if (n == -EAGAIN)
			return;
		if (n <= 0) {
			stream_over(s, n, "client");
			return;
		}
		s->in_n += (size_t)n;
		s->bytes_in += (uint64_t)n;
		gate_run(s);
		if (s->state == STREAM_ENDED || s->state == STREAM_ADMITTED)
			return;
		if (s->state == STREAM_GATE && s->in_n == s->all->in_max) {
			too_large(s);
		} else if (s->cap_bytes && s->bytes_in > s->cap_bytes) {
			stream_refused(s, GATE_CAP_BYTES, SIP_OK);
			stream_end(s, true, "cap-bytes");
		}
	}
}

void stream_gate_step(void *arg)
{
	struct stream *s = arg;
	bool waiting = s->state == STREAM_WAIT;
	uint64_t began = s->wait_ms;

	if (s->state != STREAM_WAIT && s->state != STREAM_HOLD)
		return;
	if (s->state == STREAM_HOLD)
		s->held = true;
	else
		s->no_core =
			loop_now_ms(s->all->p.loop) - began >= STREAM_WAIT_MS - STREAM_RETRY_MS;
	s->state = STREAM_GATE;
	gate_run(s);
	if (s->state == STREAM_WAIT && waiting)
		s->wait_ms = began; /* still the same message */
	if (s->state == STREAM_GATE)
		conn_pause(s->client, false);
}
