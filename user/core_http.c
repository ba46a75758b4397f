/* user/core_http.c -- clients' HTTPS streams on the core: life, bytes, time. See core_http.h.
 *
 * In: data connections from the link. Out: bytes for core_http_request.c and core_http_relay.c, and back. Owner: the module
 * owns streams and buffers; a buffer goes from stream to stream. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "user/core_http_impl.h"
#include "user/log.h"
#include "user/trace.h"

/* ---- buffers ---- */

static struct core_http_work *work_get(struct core_http *h)
{
	struct core_http_work *w = h->spare;

	if (w) {
		h->spare = w->next;
		h->n_spare--;
	} else {
		w = malloc(sizeof(*w));
		if (!w)
			return NULL;
	}
	w->next = NULL;
	w->up = NULL;
	w->user = NULL;
	w->n = w->used = w->tried = 0;
	w->head_there = false;
	w->out = (struct core_http_buf){.p = w->out_bytes, .cap = sizeof(w->out_bytes)};
	return w;
}

static void work_put(struct core_http *h, struct core_http_work *w)
{
	if (h->n_spare >= CORE_HTTP_SPARE) {
		free(w);
		return;
	}
	w->next = h->spare;
	h->spare = w;
	h->n_spare++;
}

void core_http_due(struct core_http_stream *s, unsigned ms)
{
	s->due_ms = ms ? loop_now_ms(s->h->p.loop) + ms : 0;
}

/* ---- the end ---- */

static void stream_free(struct core_http_stream *s)
{
	struct core_http *h = s->h;

	*(s->prev ? &s->prev->next : &h->streams) = s->next;
	if (s->next)
		s->next->prev = s->prev;
	h->stats.streams--;
	loop_timer_cancel(h->p.loop, &s->turn);
	if (s->w)
		work_put(h, s->w);
	free(s);
}

void core_http_end(struct core_http_stream *s, bool orderly, const char *reason)
{
	struct core_http *h = s->h;

	trace_put(TRACE_STREAM_CLOSED, &(struct trace_ids){.stream = s->edge_stream}, 0, "%s",
		  reason);
	log_event(LOG_L_DEBUG, "http-closed", "stream=%llx edge=%s client=%s reason=\"%s\"",
		  (unsigned long long)s->id, s->edge, s->client_text, reason);
	if (s->phase == HTTP_LOGON)
		logon_forget(h->p.logon, s);
	else if (s->phase == HTTP_CONFIG)
		edge_config_forget(h->p.edge_config, s);
	if (s->phase != HTTP_IDLE) {
		h->stats.outcomes[s->phase == HTTP_TUNNEL ? CORE_HTTP_TUNNELLED
							  : CORE_HTTP_CLIENT_GONE]++;
		upstream_close(s->w->up, s->phase == HTTP_TUNNEL && orderly);
		core_http_user_give(h, s->w->user);
	}
	link_core_end(s->data, orderly);
	stream_free(s);
}

/* ---- bytes ---- */

bool core_http_write(struct core_http_stream *s, struct span data)
{
	if (conn_write(s->conn, data) == 0) {
		s->bytes_out += data.n;
		s->h->stats.bytes_out += data.n;
		return true;
	}
	core_http_end(s, false, "the client is gone");
	return false;
}

/* What was done with goes, so that there is room behind the rest. */
static void make_room(struct core_http_work *w)
{
	if (w->head_there || !w->used)
		return;
	memmove(w->buf, w->buf + w->used, w->n - w->used);
	w->n -= w->used;
	w->used = 0;
}

bool core_http_fill(struct core_http_stream *s)
{
	struct core_http_work *w = s->w;
	ssize_t n;

	if (!w) {
		w = s->w = work_get(s->h);
		if (!w) {
			core_http_end(s, false, "out of memory");
			return false;
		}
	}
	make_room(w);
	s->more = false;
	while (!s->eof && w->n < sizeof(w->buf)) {
		n = link_data_read(s->data, w->buf + w->n, sizeof(w->buf) - w->n);
		if (n == -EAGAIN)
			return true;
		if (n == 0) { /* it may still listen (RFC 9112 9.6): what it asked is answered */
			s->eof = true;
			return true;
		}
		if (n < 0) {
			core_http_end(s, false, link_data_why(s->data, (int)n));
			return false;
		}
		w->n += (size_t)n;
		s->bytes_in += (uint64_t)n;
		s->h->stats.bytes_in += (uint64_t)n;
	}
	s->more = !s->eof;
	return true;
}

/* Between requests, with nothing read ahead. */
static void idle(struct core_http_stream *s)
{
	if (s->w)
		work_put(s->h, s->w);
	s->w = NULL;
	core_http_due(s, s->h->idle_ms);
}

static void on_turn(void *arg)
{
	core_http_step(arg);
}

void core_http_step_later(struct core_http_stream *s)
{
	if (loop_timer_set(s->h->p.loop, &s->turn, 0))
		core_http_end(s, false, "out of memory");
}

void core_http_step(struct core_http_stream *s)
{
	unsigned left = CORE_HTTP_TURN;

	for (;;) {
		if (s->phase >= HTTP_OPEN) {
			core_http_pump(s);
			return;
		}
		if (s->phase != HTTP_IDLE)
			return;
		if (conn_queued(s->conn)) { /* the answer before has not left */
			if (!s->due_ms)	    /* what comes meanwhile gives no more time */
				core_http_due(s, s->h->write_ms);
			return;
		}
		if (s->more && !core_http_fill(s))
			return;
		if ((!s->w || !s->w->n) && s->eof) {
			core_http_end(s, true, "closed by the client");
			return;
		}
		if (!s->w || !s->w->n) {
			idle(s);
			return;
		}
		if (!core_http_begin(s))
			return;
		if (!--left) {
			core_http_step_later(s);
			return;
		}
	}
}

static void on_readable(void *arg)
{
	struct core_http_stream *s = arg;
	bool first = !s->w;

	if (!core_http_fill(s))
		return;
	if (first && s->phase == HTTP_IDLE)
		s->due_ms = 0;
	core_http_step(s);
}

static void on_drained(void *arg)
{
	struct core_http_stream *s = arg;

	if (s->phase >= HTTP_SEND) {
		core_http_resume(s);
	} else if (s->phase == HTTP_IDLE) {
		s->due_ms = 0;
		core_http_step(s);
	}
}

static void on_down(void *arg, int err, const char *why)
{
	core_http_end(arg, err == 0, err ? (why ? why : strerrordesc_np(-err)) : "closed");
}

static void on_nothing(void *arg)
{
	(void)arg;
}

static const struct conn_ops stream_ops = {
	.up = on_nothing,
	.readable = on_readable,
	.drained = on_drained,
	.down = on_down,
};

/* ---- time ---- */

static void stream_late(struct core_http_stream *s)
{
	struct core_http_stats *st = &s->h->stats;

	if (s->phase == HTTP_IDLE && !s->w) {
		core_http_end(s, true, "idle");
	} else if (conn_queued(s->conn)) {
		st->slow_readers++;
		core_http_end(s, false, "the client does not read");
	} else if (s->phase == HTTP_IDLE) {
		st->slow_heads++;
		core_http_clear(s->w);
		(void)core_http_reply(s, 408, CORE_HTTP_CLIENT_GONE, "",
				      "The head of the request did not come in time.");
	} else {
		st->slow_bodies++;
		core_http_end(s, false, "the body did not go on");
	}
}

static void on_sweep(void *arg)
{
	struct core_http *h = arg;
	uint64_t now = loop_now_ms(h->p.loop);
	struct core_http_stream *s, *next;

	loop_timer_set(h->p.loop, &h->sweep, CORE_HTTP_SWEEP_MS);
	for (s = h->streams; s; s = next) {
		next = s->next;
		if (s->due_ms && now >= s->due_ms)
			stream_late(s);
	}
	core_http_users_sweep(h, false);
}

/* ---- life ---- */

static struct core_http_stream *stream_new(struct core_http *h, const char *edge, const char *tls)
{
	size_t ne = strlen(edge), nt = strlen(tls);
	struct core_http_stream *s = calloc(1, sizeof(*s) + ne + nt + 2);

	if (!s)
		return NULL;
	memcpy(s->text, edge, ne + 1);
	memcpy(s->text + ne + 1, tls, nt + 1);
	s->edge = s->text;
	s->tls = s->text + ne + 1;
	s->h = h;
	s->turn = (struct loop_timer){.fn = on_turn, .arg = s};
	s->next = h->streams;
	if (h->streams)
		h->streams->prev = s;
	h->streams = s;
	h->stats.streams++;
	h->stats.streams_total++;
	return s;
}

void core_http_open(struct core_http *h, const char *edge, struct link_data *d,
		    const Sallyport__Open *o)
{
	struct core_http_stream *s = NULL;
	char tls[128];

	(void)snprintf(tls, sizeof(tls), "%s %s", o->tls_version ? o->tls_version : "",
		       o->tls_cipher ? o->tls_cipher : "");
	if (o->client_ip.len == 16 && o->client_port <= 65535 &&
	    h->stats.streams < CORE_HTTP_STREAMS)
		s = stream_new(h, edge, tls);
	if (!s) {
		h->stats.streams_refused++;
		log_event(LOG_L_WARN, "stream-refused", "edge=%s service=https reason=\"%s\"", edge,
			  h->stats.streams >= CORE_HTTP_STREAMS ? "too many streams" : "bad Open");
		link_core_end(d, false);
		return;
	}
	s->data = d;
	s->conn = link_data_conn(d);
	s->id = ++h->next_id;
	s->edge_stream = o->stream;
	s->since_ms = loop_now_ms(h->p.loop);
	memcpy(s->client.ip, o->client_ip.data, 16);
	s->client.port = (uint16_t)o->client_port;
	(void)addr_ip_text(&s->client, s->client_text);
	trace_put(TRACE_STREAM_OPEN, &(struct trace_ids){.stream = s->edge_stream}, 0,
		  "client %s https edge %s", s->client_text, edge);
	core_http_due(s, s->h->head_ms);
	link_data_set_ops(d, &stream_ops, s);
}

int core_http_new(const struct core_http_params *p, struct core_http **out)
{
	struct core_http *h = calloc(1, sizeof(*h));
	int err;

	if (!h)
		return -ENOMEM;
	h->p = *p;
	h->head_ms = CORE_HTTP_HEAD_MS;
	h->body_ms = CORE_HTTP_BODY_MS;
	h->write_ms = CORE_HTTP_WRITE_MS;
	h->idle_ms = CORE_HTTP_IDLE_MS;
	h->next_id = 1ull << 60 | loop_now_ms(p->loop) * 1000; /* none of SIP's */
	h->sweep = (struct loop_timer){.fn = on_sweep, .arg = h};
	err = loop_timer_set(p->loop, &h->sweep, CORE_HTTP_SWEEP_MS);
	if (err) {
		free(h);
		return err;
	}
	*out = h;
	return 0;
}

void core_http_free(struct core_http *h)
{
	struct core_http_work *w;
	unsigned i;

	if (!h)
		return;
	while (h->streams)
		core_http_end(h->streams, false, "worker stops");
	while ((w = h->spare)) {
		h->spare = w->next;
		free(w);
	}
	core_http_users_sweep(h, true);
	for (i = 0; i < CORE_HTTP_MEMORIES; i++)
		free(h->memories[i]);
	loop_timer_cancel(h->p.loop, &h->sweep);
	free(h);
}

const struct core_http_stats *core_http_stats(const struct core_http *h)
{
	return &h->stats;
}
