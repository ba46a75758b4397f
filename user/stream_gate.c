/* user/stream_gate.c -- a stream before its admission: its service's gate, choice of the core, the link connection, caps. See stream_impl.h.
 *
 * Bytes come from the client's connection into the stream's bounded buffer; whole messages that the gate let through go to the core's data
 * connection, the gate's own replies go back. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "user/log.h"
#include "user/stream_impl.h"
#include "user/trace.h"

/* ---- whose domain ---- */

static bool core_has(const struct config_edge_core *c, struct span domain)
{
	unsigned i;

	for (i = 0; i < c->domains_count; i++)
		if (span_ieq(span_str(c->domains[i]), domain))
			return true;
	return false;
}

bool streams_serve(void *cfg, struct span domain)
{
	const struct config_edge *c = cfg;
	unsigned i;

	for (i = 0; i < c->link.cores_count; i++)
		if (core_has(&c->link.cores[i], domain))
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

	if (stream_core_index(a->t, link_peer_name(p)) >= 0 &&
	    (!a->found || link_peer_draining(a->found)))
		a->found = p;
}

/* The core for @domain (empty: any, its token names it), or NULL while there is none. One that drains only where all do. */
static struct link_peer *core_find(struct streams *t, struct span domain)
{
	struct any_core a = {t, NULL};
	struct link_peer *p;
	char lower[256];
	size_t i;

	if (!domain.n) {
		link_edge_each(t->p.link, any_core_up, &a);
		return a.found;
	}
	if (domain.n > sizeof(lower))
		return NULL;
	for (i = 0; i < domain.n; i++)
		lower[i] = (char)span_lower(domain.p[i]);
	p = link_edge_route(t->p.link, span_of(lower, domain.n));
	return p && stream_core_index(t, link_peer_name(p)) >= 0 ? p : NULL;
}

static int core_open(struct stream *s, const struct gate_out *out)
{
	struct streams *t = s->all;
	struct span domain = out->domain;
	struct link_peer *p = core_find(t, domain);
	Sallyport__Open o = SALLYPORT__OPEN__INIT;
	const struct addr *local = conn_local(s->client);
	const struct tls_conn *tls = conn_tls(s->client);
	char text[ADDR_TEXT_MAX], name[256];
	int ret;

	if (!p)
		return -ENOENT;
	if (link_peer_draining(p) && !out->old)
		return -ESHUTDOWN;
	o.stream = s->id;
	o.service = (char *)s->use->service->name;
	o.client_ip = (ProtobufCBinaryData){16, s->peer.ip};
	o.client_port = s->peer.port;
	o.local_ip = (ProtobufCBinaryData){16, (uint8_t *)local->ip};
	o.local_port = local->port;
	o.sni = s->sni ? s->sni : (char *)"";
	o.alpn = (char *)(tls ? tls_alpn(tls) : out->alpn);
	o.tls_version = (char *)s->tls_version;
	o.tls_cipher = (char *)s->tls_cipher;
	snprintf(name, sizeof(name), "%.*s", (int)domain.n, (const char *)domain.p);
	o.domain = name;
	ret = link_edge_open(p, &o, &stream_core_ops, s, &s->data);
	if (ret)
		return ret;
	s->core = link_data_conn(s->data);
	s->core_index = stream_core_index(t, link_peer_name(p));
	trace_put(TRACE_STREAM_OPEN, &(struct trace_ids){.stream = s->id}, 0,
		  "client %s %s %s core %s", addr_text(&s->peer, text), s->use->service->name,
		  s->tls_version, link_peer_name(p));
	log_event(LOG_L_INFO, "stream-open",
		  "stream=%llx service=%s peer=%s core=%s tls=%s cipher=%s",
		  (unsigned long long)s->id, s->use->service->name, addr_text(&s->peer, text),
		  link_peer_name(p), s->tls_version, s->tls_cipher);
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

/* The reply is the last that this client gets from us. */
static void last_word(struct stream *s, const struct gate_out *out, enum gate_reason reason)
{
	struct span reply = span_of(out->reply, out->reply_n);

	if (stream_half(s, reply)) /* the core's answers go first */
		return;
	answer(s, reply);
	stream_end(s, true, reason == GATE_OK ? "left" : gate_reason_name(reason));
}

/* What the gate wants to have forwarded cannot be. */
static void answer_instead(struct stream *s, struct gate_out *out, enum gate_reason reason)
{
	enum gate_verdict v = s->use->service->instead(s->gate, s->use->config, reason, out);

	stream_refused(s, reason, out->detail);
	if (v == GATE_CLOSE) {
		last_word(s, out, reason);
		return;
	}
	consume(s, out->used);
	answer(s, span_of(out->reply, out->reply_n));
}

void stream_gate_end(struct stream *s, enum gate_reason reason)
{
	struct gate_out *out = &s->all->out;

	gate_out_init(out);
	out->forward = span_of(s->in, s->in_n);
	s->use->service->instead(s->gate, s->use->config, reason, out);
	stream_refused(s, reason, out->detail);
	last_word(s, out, reason);
}

static void gate_forward(struct stream *s, struct gate_out *out)
{
	const struct config_edge *cfg = s->all->p.cfg;
	int ret;

	/* One core a stream: its data connection leads to one. */
	if (s->core && out->domain.n && !core_has(&cfg->link.cores[s->core_index], out->domain)) {
		answer_instead(s, out, GATE_OTHER_CORE);
		return;
	}
	ret = s->core ? 0 : s->all->draining && !out->old ? -ESHUTDOWN : core_open(s, out);
	if (ret == -ESHUTDOWN) {
		answer_instead(s, out, GATE_DRAINING);
		return;
	}
	if (ret && !s->no_core) {
		wait_begin(s, STREAM_WAIT, STREAM_RETRY_MS);
		return;
	}
	s->no_core = false;
	if (ret) {
		answer_instead(s, out, ret == -EAGAIN ? GATE_NO_IDLE : GATE_NO_CORE);
		return;
	}
	if (conn_write(s->core, out->forward)) {
		stream_end(s, false, "core does not read");
		return;
	}
	if (out->may_admit) {
		s->registered = true;
		s->held = false;
	}
	if (s->use->service->sent)
		s->use->service->sent(s->gate);
	consume(s, out->used);
}

/* A message that needs admission, after one that may have just brought it: Admit travels on another connection than
 * the answer, so it may come a little later. So may the core's own requests be answered before it is here. Wait for it once, then
 * refuse. */
static bool gate_hold(struct stream *s, const struct gate_out *out)
{
	if (!out->may_hold || !s->registered || s->held)
		return false;
	wait_begin(s, STREAM_HOLD, STREAM_HOLD_MS);
	return true;
}

/* A refusal after which the client would come again, with a password: it had better go elsewhere at once. */
static bool refused_draining(struct stream *s, struct gate_out *out)
{
	enum gate_reason r = out->reason;

	if (s->core || !s->all->draining ||
	    (r != GATE_NO_TOKEN && r != GATE_TOKEN_TIME && r != GATE_TOKEN_KEY &&
	     r != GATE_TOKEN_DOMAIN))
		return false;
	answer_instead(s, out, GATE_DRAINING);
	return true;
}

/* In a message: so much time until its end. Between messages: none. */
static void message_timer(struct stream *s, bool begun)
{
	if (!begun)
		loop_timer_cancel(s->all->p.loop, &s->step);
	else if (!s->step.pos && s->use->message_ms &&
		 loop_timer_set(s->all->p.loop, &s->step, s->use->message_ms))
		stream_end(s, false, "out of memory");
}

/* What came behind its last plain message was not protected, and would be read as if it were. */
static void gate_starttls(struct stream *s, struct gate_out *out)
{
	int ret = -EPROTO;

	consume(s, out->used);
	s->state = STREAM_HANDSHAKE;
	if (!s->in_n)
		ret = conn_start_tls(s->client, s->use->tls, span_of(out->reply, out->reply_n),
				     s->all->p.cfg->limits.handshake_ms);
	if (ret == -EPROTO) {
		stream_refused(s, GATE_INJECTION, "bytes ahead of TLS");
		stream_end(s, false, gate_reason_name(GATE_INJECTION));
	} else if (ret) {
		stream_end(s, false, "TLS could not begin");
	}
}

static void gate_run(struct stream *s)
{
	struct gate_out *out = &s->all->out;

	while (s->state == STREAM_GATE) {
		enum gate_verdict v = s->use->service->next(s->gate, s->use->config,
							    span_of(s->in, s->in_n), out);

		if (v != GATE_MORE) /* a message has ended */
			message_timer(s, false);
		switch (v) {
		case GATE_MORE:
			consume(s, out->used);
			message_timer(s, out->begun);
			return;
		case GATE_FORWARD:
			gate_forward(s, out);
			break;
		case GATE_REPLY:
			if (gate_hold(s, out) || refused_draining(s, out))
				return;
			if (out->reason != GATE_OK)
				stream_refused(s, out->reason, out->detail);
			consume(s, out->used);
			answer(s, span_of(out->reply, out->reply_n));
			break;
		case GATE_CLOSE:
			if (gate_hold(s, out) || refused_draining(s, out))
				return;
			if (out->reason != GATE_OK)
				stream_refused(s, out->reason, out->detail);
			last_word(s, out, out->reason);
			return;
		case GATE_STARTTLS:
			gate_starttls(s, out);
			return;
		}
	}
}

int stream_gate_new(struct stream *s)
{
	const struct stream_service *v = s->use->service;
	int ret = -ENOMEM;

	s->in = malloc(s->use->in_max);
	s->gate = calloc(1, v->gate_size);
	if (s->in && s->gate)
		ret = v->init(s->gate, s->use->config, &s->peer);
	if (ret) {
		free(s->gate); /* one that did not begin has nothing to end */
		s->gate = NULL;
		stream_gate_free(s);
	}
	return ret;
}

void stream_gate_free(struct stream *s)
{
	if (s->gate && s->use->service->fini)
		s->use->service->fini(s->gate);
	free(s->gate);
	free(s->in);
	s->gate = s->in = NULL;
	s->in_n = 0;
}

/* How much may be read now; 0: nothing before an Admit. */
static size_t gate_room(const struct stream *s)
{
	size_t room = s->use->in_max - s->in_n;
	uint64_t left = s->cap_bytes - s->bytes_in;

	return s->use->service->cap_waits && s->cap_bytes && left < room ? (size_t)left : room;
}

/* After a look of the gate: what it has left must still grow. */
static void gate_bounds(struct stream *s)
{
	if (s->in_n == s->use->in_max) {
		stream_gate_end(s, GATE_TOO_LARGE);
	} else if (s->use->service->cap_waits && s->registered && !gate_room(s)) {
		message_timer(s, false); /* the client has no say in how long this takes */
		conn_pause(s->client, true);
	} else if (s->cap_bytes && (s->bytes_in > s->cap_bytes || !gate_room(s))) {
		stream_gate_end(s, GATE_CAP_BYTES);
	}
}

/* A cap may be larger than what the core's connection queues: its drained() goes on then. */
static bool core_full(struct stream *s)
{
	if (!s->use->service->cap_waits || !s->core || conn_room(s->core) >= s->use->in_max)
		return false;
	s->client_paused = true;
	conn_pause(s->client, true);
	return true;
}

void stream_gate_readable(struct stream *s)
{
	ssize_t n;

	while (s->state == STREAM_GATE && gate_room(s)) {
		if (core_full(s))
			return;
		n = conn_read(s->client, s->in + s->in_n, gate_room(s));
		if (n == -EAGAIN)
			return;
		if (n <= 0) {
			if (n < 0 || !stream_half(s, (struct span){}))
				stream_over(s, n, "client");
			return;
		}
		s->in_n += (size_t)n;
		s->bytes_in += (uint64_t)n;
		gate_run(s);
		if (s->state == STREAM_GATE)
			gate_bounds(s);
	}
}

void stream_gate_step(void *arg)
{
	struct stream *s = arg;
	bool waiting = s->state == STREAM_WAIT;
	uint64_t began = s->wait_ms;

	if (s->state == STREAM_GATE)
		stream_gate_end(s, GATE_SLOW);
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
	if (s->state == STREAM_GATE) {
		conn_pause(s->client, false);
		gate_bounds(s);
	}
}
