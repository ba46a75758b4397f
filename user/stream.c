/* user/stream.c -- life of a client's stream on the edge: accept under limits, handshake, end. See stream.h, stream_impl.h.
 *
 * Sockets come from the listeners; ended streams are reaped at the end of the loop's round. Logs one line an opened, refused and closed stream. */
#include <errno.h>
#include <malloc.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include "user/log.h"
#include "user/stream_impl.h"
#include "user/trace.h"

#define PREFIX_V4 24
#define PREFIX_V6 56
/* The heap's free pages go back so long after so many streams climbed, so not more often than that. */
#define TRIM_CLIMBS 8
#define TRIM_MS	    10000

const char *stream_state_name(enum stream_state s)
{
	static const char *const names[STREAM_STATES] = {
		"handshake", "gate", "wait-core", "hold", "admitted", "half-closed", "ended"};

	return s < STREAM_STATES ? names[s] : "unknown";
}

int stream_core_index(const struct streams *t, const char *name)
{
	unsigned i;

	for (i = 0; i < t->p.cfg->link.cores_count; i++)
		if (strcmp(t->p.cfg->link.cores[i].name, name) == 0)
			return (int)i;
	return -1;
}

static struct stream **slot_of(struct streams *t, uint64_t id)
{
	struct stream **s = &t->buckets[id & (STREAM_BUCKETS - 1)];

	while (*s && (*s)->id != id)
		s = &(*s)->hash_next;
	return s;
}

/* No longer one of those that are not admitted. */
void stream_uncount(struct stream *s)
{
	if (!s->counted)
		return;
	s->counted = false;
	s->all->n_unadmitted--;
	prefix_counts_sub(s->all->prefixes, &s->prefix, 0);
}

struct stream_counts *stream_counts(const struct stream *s)
{
	return &s->all->counts[s->use->service->id];
}

static void refusal_log(struct stream *s, enum gate_reason reason, const char *detail)
{
	char text[ADDR_TEXT_MAX], quoted[120];

	stream_counts(s)->n_by_reason[reason]++;
	trace_put(TRACE_STREAM_REFUSED, &(struct trace_ids){.stream = s->id}, 0, "client %s %s %s",
		  addr_text(&s->peer, text), gate_reason_name(reason), detail);
	log_event(LOG_L_WARN, "gate-refused", "stream=%llx service=%s reason=%s peer=%s detail=%s",
		  (unsigned long long)s->id, s->use->service->name, gate_reason_name(reason),
		  addr_text(&s->peer, text), log_esc(span_str(detail), quoted, sizeof(quoted)));
}

void stream_refused(struct stream *s, enum gate_reason reason, const char *detail)
{
	refusal_log(s, reason, detail);
	ban_add(s->all->p.ban, &s->peer, gate_reason_score(reason), gate_reason_name(reason),
		loop_now_ms(s->all->p.loop));
}

struct stream *streams_find(struct streams *t, uint64_t id)
{
	return *slot_of(t, id);
}

/* ---- end ---- */

void stream_forget(struct stream *s)
{
	struct streams *t = s->all;
	struct stream **at = slot_of(t, s->id);

	loop_timer_cancel(t->p.loop, &s->deadline);
	loop_timer_cancel(t->p.loop, &s->step);
	s->state = STREAM_ENDED;
	*at = s->hash_next;
	s->hash_next = t->ended;
	t->ended = s;
	t->n--;
	stream_counts(s)->n--;
}

void stream_end(struct stream *s, bool clean, const char *reason)
{
	struct streams *t = s->all;
	char text[ADDR_TEXT_MAX], quoted[80];

	if (s->state == STREAM_ENDED)
		return;
	log_event(LOG_L_INFO, "stream-closed",
		  "stream=%llx peer=%s state=%s clean=%d in=%llu out=%llu seconds=%llu reason=%s",
		  (unsigned long long)s->id, addr_text(&s->peer, text), stream_state_name(s->state),
		  clean, (unsigned long long)s->bytes_in, (unsigned long long)s->bytes_out,
		  (unsigned long long)(loop_now_ms(t->p.loop) - s->since_ms) / 1000,
		  log_esc(span_str(reason), quoted, sizeof(quoted)));
	trace_put(TRACE_STREAM_CLOSED, &(struct trace_ids){.stream = s->id}, 0,
		  "in %llu out %llu %s", (unsigned long long)s->bytes_in,
		  (unsigned long long)s->bytes_out, reason);
	stream_uncount(s);
	/* What is on its way goes out, as what is queued does. */
	if (clean && s->client && s->core) {
		stream_unpipe(t, s->client, &s->pipe_out);
		stream_unpipe(t, s->core, &s->pipe_in);
	}
	/* First: the core's connection may go on, for another stream, and with a state of its own. */
	stream_unlodge(s);
	(clean ? conn_close : conn_abort)(s->client);
	link_edge_end(s->data, clean ? NULL : reason);
	conn_pipe_put(&t->mover.pipes, &s->pipe_in);
	conn_pipe_put(&t->mover.pipes, &s->pipe_out);
	s->client = s->core = NULL;
	s->data = NULL;
	stream_forget(s);
}

void stream_free(struct stream *s)
{
	if (!s)
		return;
	stream_gate_free(s);
	free(s->sni);
	free(s->close_reason);
	free(s->last);
	free(s);
}

static void reap(void *arg)
{
	struct streams *t = arg;
	struct stream *s;

	while ((s = t->ended)) {
		t->ended = s->hash_next;
		stream_free(s);
	}
	if (t->lodge_again_ms && loop_now_ms(t->p.loop) >= t->lodge_again_ms)
		streams_lodge_again(t);
}

static void deadline_over(void *arg)
{
	struct stream *s = arg;

	if (s->gate && s->state != STREAM_HANDSHAKE) {
		stream_gate_end(s, GATE_CAP_SECONDS);
		return;
	}
	stream_refused(s, GATE_CAP_SECONDS, "");
	stream_end(s, true, "cap-seconds");
}

/* ---- the client's connection ---- */

/* A name as the client says it, with nothing in it that a terminal, a log or JSON would stumble over (a stream with bytes that
 * are not UTF-8 could not be shown at all). NULL: none, or no memory. */
static char *sni_copy(const char *from)
{
	char *name = *from ? strndup(from, STREAM_SNI_MAX) : NULL, *p;

	for (p = name; p && *p; p++)
		*p = *p > ' ' && *p < 0x7f ? *p : '?';
	return name;
}

static void client_up(void *arg)
{
	struct stream *s = arg;
	struct tls_conn *tls = conn_tls(s->client);

	if (tls) {
		s->tls_version = tls_version(tls);
		s->tls_cipher = tls_cipher(tls);
		s->sni = sni_copy(tls_sni(tls));
	}
	if (!s->gate && stream_gate_new(s)) { /* it has one already where TLS began later */
		stream_end(s, false, "out of memory");
		return;
	}
	if (tls && s->use->service->tls)
		s->use->service->tls(s->gate, s->use->config, span_str(tls_sni(tls)));
	s->state = STREAM_GATE;
}

static void client_readable(void *arg)
{
	struct stream *s = arg;

	if (s->state == STREAM_ADMITTED)
		stream_relay_in(s);
	else if (s->state == STREAM_GATE)
		stream_gate_readable(s);
}

/* Our queue towards the client is empty: the core's bytes flow again. */
static void client_drained(void *arg)
{
	struct stream *s = arg;

	if (s->state == STREAM_HALF && !s->core) {
		stream_end(s, true, s->close_reason ? s->close_reason : "core: closed");
		return;
	}
	if (s->state == STREAM_ENDED || !s->core_paused)
		return;
	s->core_paused = false;
	conn_pause(s->core, false);
}

static void client_down(void *arg, int err, const char *why)
{
	struct stream *s = arg;

	if (s->state == STREAM_ENDED)
		return;
	if (s->state != STREAM_HANDSHAKE) {
		stream_over(s, err, "client");
		return;
	}
	/* Garbage and silence add to the score. A connection that was only opened and closed is a health check's, and an
	 * alert comes from a client that does not trust our certificate: that is ours to mend. */
	refusal_log(s, GATE_TLS, why);
	if ((err == -EPROTO || err == -ETIMEDOUT) && strncmp(why, "alert received", 14))
		ban_add(s->all->p.ban, &s->peer, gate_reason_score(GATE_TLS),
			gate_reason_name(GATE_TLS), loop_now_ms(s->all->p.loop));
	stream_end(s, false, why);
}

static void trim(void *arg)
{
	struct streams *t = arg;

	t->climbed = 0;
	malloc_trim(0);
}

/* What OpenSSL held for it, some 20 KiB, lies free between what lives on, so the heap never shrinks by itself after many climbed at once. */
static void client_climbed(void *arg)
{
	struct stream *s = arg;
	struct streams *t = s->all;
	const char *why;
	enum tls_rung rung = conn_rung(s->client, &why);

	trace_put(TRACE_STREAM_RUNG, &(struct trace_ids){.stream = s->id}, 0, "client: %s",
		  rung == TLS_RUNG_A   ? "kernel TLS"
		  : rung == TLS_RUNG_B ? "kernel TLS send"
				       : "user TLS");

	if (++t->climbed >= TRIM_CLIMBS && !t->trim.pos)
		loop_timer_set(t->p.loop, &t->trim, TRIM_MS);
	stream_lodge(s);
}

const struct conn_ops stream_client_ops = {
	.up = client_up,
	.readable = client_readable,
	.drained = client_drained,
	.down = client_down,
	.climbed = client_climbed,
};

/* ---- accept ---- */

static int accept_check(struct streams *t, int fd, struct stream *s, enum gate_reason *why)
{
	struct sockaddr_storage ss;
	socklen_t n = sizeof(ss);

	*why = GATE_OK;
	if (getpeername(fd, (struct sockaddr *)&ss, &n) ||
	    addr_from_sockaddr((struct sockaddr *)&ss, &s->peer))
		return -ENOTCONN;
	prefix_cut(&s->peer, PREFIX_V4, PREFIX_V6, &s->prefix);
	if (ban_active(t->p.ban, &s->peer))
		*why = GATE_BANNED;
	else if (t->n >= STREAM_MAX || t->n_unadmitted >= t->p.cfg->limits.unadmitted_total)
		*why = GATE_TOTAL_FULL;
	else if (prefix_counts_add(t->prefixes, &s->prefix, 0, t->p.cfg->limits.unadmitted_prefix))
		*why = GATE_PREFIX_FULL;
	return *why == GATE_OK ? 0 : -EUSERS;
}

void stream_timers(struct stream *s)
{
	s->deadline = (struct loop_timer){.fn = deadline_over, .arg = s};
	s->step = (struct loop_timer){.fn = stream_gate_step, .arg = s};
}

void streams_insert(struct stream *s)
{
	struct stream **at = slot_of(s->all, s->id);

	s->hash_next = NULL;
	*at = s;
	s->all->n++;
	stream_counts(s)->n++;
}

static int stream_start(struct streams *t, struct stream *s, int fd, bool plain)
{
	struct conn_params cp = {
		.loop = t->p.loop,
		.tls = plain ? NULL : s->use->tls,
		.queue_max = STREAM_QUEUE,
		.handshake_ms = t->p.cfg->limits.handshake_ms,
		.peer = &s->peer,
		.ops = &stream_client_ops,
		.arg = s,
	};

	stream_timers(s);
	if (loop_timer_set(t->p.loop, &s->deadline,
			   t->p.cfg->limits.unadmitted_seconds * 1000ull)) {
		close(fd);
		return -ENOMEM;
	}
	return conn_accept(&cp, fd, &s->client);
}

/* As far as it goes in one piece: where the client has sent something already, our reset may overtake it. */
static void busy_tell(const struct stream_listener *l, int fd)
{
	uint8_t buf[1024];
	ssize_t n = l->use->service->busy(l->use->config, buf, sizeof(buf));

	if (n > 0)
		send(fd, buf, (size_t)n, MSG_DONTWAIT | MSG_NOSIGNAL);
}

static void accepted(void *arg, int fd)
{
	struct stream_listener *l = arg;
	struct streams *t = l->all;
	struct stream *s;
	enum gate_reason why = GATE_OK;

	if (fd < 0) {
		log_event(LOG_L_ERROR, "accept", "error=%s", strerrorname_np(-fd));
		return;
	}
	s = calloc(1, sizeof(*s));
	if (s) {
		s->all = t;
		s->use = l->use;
		s->tls_version = s->tls_cipher = "";
	}
	if (!s || accept_check(t, fd, s, &why)) {
		if (s && why != GATE_OK)
			refusal_log(s, why, "");
		if (l->plain && l->use->service->busy && why != GATE_BANNED)
			busy_tell(l, fd);
		close(fd);
		free(s);
		return;
	}
	s->id = t->next_id++;
	s->core_index = -1;
	s->pipe_in = s->pipe_out = (struct conn_pipe){.in = -1, .out = -1};
	s->since_ms = loop_now_ms(t->p.loop);
	s->cap_bytes = t->p.cfg->limits.unadmitted_bytes;
	s->counted = true;
	t->n_unadmitted++;
	if (stream_start(t, s, fd, l->plain)) {
		loop_timer_cancel(t->p.loop, &s->deadline);
		stream_uncount(s);
		free(s);
		return;
	}
	streams_insert(s);
	stream_counts(s)->opened++;
}

/* ---- the core's words ---- */

bool streams_message(struct streams *t, struct link_peer *p, const Sallyport__Link *m)
{
	int core = stream_core_index(t, link_peer_name(p));
	struct stream *s;
	uint64_t id;

	switch (m->m_case) {
	case SALLYPORT__LINK__M_ADMIT:
		id = m->admit->stream;
		break;
	case SALLYPORT__LINK__M_REVOKE:
		id = m->revoke->stream;
		break;
	case SALLYPORT__LINK__M_CLOSE_STREAM:
		id = m->close_stream->stream;
		break;
	default:
		return false;
	}
	s = *slot_of(t, id);
	if (!s || !s->core || s->core_index != core) { /* it just ended, or is another core's */
		t->unknown_orders++;
		return true;
	}
	if (m->m_case == SALLYPORT__LINK__M_ADMIT)
		stream_admit(s, m->admit->max_bytes, m->admit->max_seconds);
	else if (m->m_case == SALLYPORT__LINK__M_CLOSE_STREAM)
		stream_core_close(s, m->close_stream->reason);
	else /* nobody framed the bytes that passed, so no message boundary is known: the client comes again, through the gate */
		stream_core_close(s, "revoked");
	return true;
}

/* ---- table ---- */

int streams_new(const struct streams_params *p, struct streams **out)
{
	struct streams *t = calloc(1, sizeof(*t));
	unsigned i;
	int ret;

	if (!t)
		return -ENOMEM;
	t->p = *p;
	t->trim = (struct loop_timer){.fn = trim, .arg = t};
	t->next_id = p->seed << 32 | 1;
	for (i = 0; i < STREAM_SERVICES; i++) {
		snprintf(t->counts[i].ktls_off, sizeof(t->counts[i].ktls_off), "%s",
			 p->use[i].ktls_off ? p->use[i].ktls_off : "");
		t->p.use[i].ktls_off = t->counts[i].ktls_off;
	}
	ret = prefix_counts_new(p->seed, &t->prefixes);
	if (!ret)
		ret = loop_on_round(p->loop, reap, t);
	if (ret) {
		prefix_counts_free(t->prefixes);
		free(t);
		return ret;
	}
	*out = t;
	return 0;
}

int streams_listen(struct streams *t, int fd, enum stream_service_id service, bool plain)
{
	static const int on = 1, idle = 60;
	struct stream_listener *l = &t->listeners[t->n_listeners];
	int ret;

	if (t->n_listeners == STREAM_LISTENERS)
		return -ENOBUFS;
	if (!t->p.use[service].service)
		return -ENOENT;
	*l = (struct stream_listener){.all = t, .use = &t->p.use[service], .plain = plain};
	/* Accepted sockets inherit both. A client that vanished must not hold its stream for ever; its own keepalives are the core's
	 * business. */
	setsockopt(fd, SOL_SOCKET, SO_KEEPALIVE, &on, sizeof(on));
	setsockopt(fd, IPPROTO_TCP, TCP_KEEPIDLE, &idle, sizeof(idle));
	ret = loop_accept(t->p.loop, fd, accepted, l, &l->handle);
	if (!ret)
		t->n_listeners++;
	return ret;
}

void streams_drain(struct streams *t, bool on)
{
	t->draining = on;
}

unsigned streams_count(const struct streams *t, enum stream_service_id service)
{
	const struct stream *s;
	unsigned i, n = 0;

	for (i = 0; i < STREAM_BUCKETS; i++)
		for (s = t->buckets[i]; s; s = s->hash_next)
			n += s->core && s->use->service->id == service;
	return n;
}

void streams_stop(struct streams *t)
{
	unsigned i;

	for (i = 0; i < t->n_listeners; i++)
		loop_cancel(t->p.loop, &t->listeners[i].handle);
}

void streams_leave(struct streams *t)
{
	unsigned i;

	for (i = 0; i < STREAM_BUCKETS; i++)
		while (t->buckets[i])
			stream_leave(t->buckets[i]);
}

void streams_free(struct streams *t)
{
	unsigned i;

	if (!t)
		return;
	streams_stop(t);
	for (i = 0; i < STREAM_BUCKETS; i++)
		while (t->buckets[i])
			stream_end(t->buckets[i], true, "shutdown");
	reap(t);
	loop_timer_cancel(t->p.loop, &t->trim);
	conn_pipes_fini(&t->mover.pipes);
	prefix_counts_free(t->prefixes);
	free(t);
}
