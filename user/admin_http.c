/* user/admin_http.c -- see admin_http.h. In: requests. Out: answers. What is said is made by the two functions of its parameters. */
#include "user/admin_http.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "http/write.h"
#include "user/conn.h"
#include "user/log.h"
#include "user/page.h"
#include "user/wall.h"

#define HEAD_MAX     16384
#define OUT_HEAD_MAX 1024
#define REQUEST_MS   5000
#define ANSWER_MS    10000
#define EVENT_MS     1000
#define STALLED	     15 /* events that could not be written, one after the other */

static const struct http_limits limits = {
	.head_max = HEAD_MAX,
	.start_max = 2048,
	.field_max = 8192,
	.fields_max = 64}; /* cookies of whatever else runs on localhost come too */

enum state { FREE, READING, WRITING, EVENTS };

struct http_client {
	struct admin_http *a;
	struct conn *conn;
	enum state state;
	struct loop_timer timer;
	size_t n, tried;
	unsigned stalled;
	uint8_t in[HEAD_MAX];
};

struct admin_http_stats {
	uint64_t requests, refused_host, refused, closed_slow, closed_full, events, events_skipped;
	unsigned conns, listeners; /* now; of events */
};

struct admin_http {
	struct admin_http_params p;
	struct admin_http_stats stats;
	struct loop_handle accept;
	struct loop_timer events; /* set while somebody listens */
	struct http_client clients[ADMIN_HTTP_CONNS];
};

/* ---- ends ----------------------------------------------------------------------------------------------------------------- */

static void client_free(struct http_client *c)
{
	struct admin_http *a = c->a;

	loop_timer_cancel(a->p.loop, &c->timer);
	a->stats.conns--;
	a->stats.listeners -= c->state == EVENTS;
	c->conn = NULL;
	c->state = FREE;
}

static void client_abort(struct http_client *c)
{
	conn_abort(c->conn);
	client_free(c);
}

static void client_close(struct http_client *c)
{
	conn_close(c->conn);
	client_free(c);
}

static void client_slow(void *arg)
{
	struct http_client *c = arg;

	c->a->stats.closed_slow++;
	client_abort(c);
}

/* ---- answers -------------------------------------------------------------------------------------------------------------- */

struct answer {
	unsigned status;
	const char *reason, *type, *etag; /* etag NULL: not to be kept by the browser */
	struct span body;
	bool head_only, endless; /* HEAD; events follow */
};

static void field(struct http_out *o, const char *name, const char *value)
{
	http_out_field(o, span_str(name), span_str(value));
}

/* For the page and for all that a browser might take for one. */
static void security_fields(struct http_out *o)
{
	field(o, "Content-Security-Policy", PAGE_CSP);
	field(o, "X-Content-Type-Options", "nosniff");
	field(o, "X-Frame-Options", "DENY");
	field(o, "Referrer-Policy", "no-referrer");
	field(o, "Cross-Origin-Resource-Policy", "same-origin");
}

static ssize_t answer_head(const struct answer *r, uint8_t *buf, size_t cap)
{
	struct http_refusal why;
	struct http_out o;
	char date[WALL_DATE_MAX];

	http_out_init(&o, buf, cap);
	http_out_response(&o, r->status, span_str(r->reason));
	field(&o, "Date", wall_date(wall_now_s(), date));
	field(&o, "Connection", "close");
	field(&o, "Cache-Control", r->etag ? "no-cache" : "no-store");
	security_fields(&o);
	if (r->status == 405)
		field(&o, "Allow", "GET, HEAD");
	if (r->etag)
		field(&o, "ETag", r->etag);
	if (r->status != 304)
		field(&o, "Content-Type", r->type);
	if (!r->endless && r->status != 304)
		http_out_length(&o, r->body.n);
	return http_out_end(&o, &why);
}

static void answer_send(struct http_client *c, const struct answer *r)
{
	uint8_t head[OUT_HEAD_MAX];
	ssize_t n = answer_head(r, head, sizeof(head));
	bool body = !r->head_only && r->body.n;
	int err = n < 0 ? (int)n : 0;

	if (!err) {
		conn_set_queue_max(c->conn, (size_t)n + r->body.n);
		err = conn_write(c->conn, span_of(head, (size_t)n));
	}
	if (!err && body)
		err = conn_write(c->conn, r->body);
	if (err) {
		client_abort(c);
		return;
	}
	if (r->endless)
		return;
	c->state = WRITING;
	if (!conn_queued(c->conn))
		client_close(c);
	else if (loop_timer_set(c->a->p.loop, &c->timer, ANSWER_MS))
		client_abort(c);
}

static void answer_text(struct http_client *c, unsigned status, const char *reason,
			const char *text, bool head_only)
{
	answer_send(c, &(struct answer){.status = status,
					.reason = reason,
					.type = "text/plain; charset=utf-8",
					.body = span_str(text),
					.head_only = head_only});
}

/* ---- what is asked -------------------------------------------------------------------------------------------------------- */

static bool same_host(const struct http_authority *a)
{
	return a->host_is_v6 ? span_eq(a->host, SPAN("::1"))
			     : span_ieq(a->host, SPAN("localhost")) ||
				       span_eq(a->host, SPAN("127.0.0.1"));
}

/* By whatever name the request came, it is one of this host. */
static bool host_ok(const struct http_head *h)
{
	return h->host.whole.n && same_host(&h->host) &&
	       (h->target.form != HTTP_ABSOLUTE || same_host(&h->target.auth));
}

static void get_nodes(struct http_client *c, bool head_only)
{
	json_t *j = c->a->p.nodes(c->a->p.arg);
	char *text = json_dumps(j, JSON_COMPACT | JSON_REAL_PRECISION(15));

	json_decref(j);
	if (text)
		answer_send(c, &(struct answer){.status = 200,
						.reason = "OK",
						.type = "application/json",
						.body = span_str(text),
						.head_only = head_only});
	else
		answer_text(c, 500, "Internal Server Error", "no memory\n", head_only);
	free(text);
}

/* OpenMetrics, unless only the older text is named. */
static bool wants_openmetrics(const struct http_head *h)
{
	const struct http_field *f;
	bool plain = false;
	unsigned at = 0;

	while ((f = http_field_named(h, SPAN("Accept"), at, &at))) {
		if (memmem(f->value.p, f->value.n, "application/openmetrics-text", 28))
			return true;
		plain = plain || memmem(f->value.p, f->value.n, "text/plain", 10);
		at++;
	}
	return !plain;
}

static void get_metrics(struct http_client *c, const struct http_head *h, bool head_only)
{
	bool open = wants_openmetrics(h);
	size_t n = 0;
	char *text = c->a->p.metrics(c->a->p.arg, open, &n);

	if (text)
		answer_send(c, &(struct answer){
				       .status = 200,
				       .reason = "OK",
				       .type = open ? "application/openmetrics-text; "
						      "version=1.0.0; charset=utf-8"
						    : "text/plain; version=0.0.4; charset=utf-8",
				       .body = span_of(text, n),
				       .head_only = head_only});
	else
		answer_text(c, 500, "Internal Server Error", "no memory\n", head_only);
	free(text);
}

static void get_page(struct http_client *c, const struct http_head *h, bool head_only)
{
	const struct page_file *p = page_find(h->target.path);
	const struct http_field *f = http_field_find(h, HTTP_H_IF_NONE_MATCH, 0, NULL);
	bool same;

	if (!p) {
		answer_text(c, 404, "Not Found", "there is /, /metrics, /v1/nodes and /v1/events\n",
			    head_only);
		return;
	}
	same = f && span_eq(f->value, span_str(p->etag));
	answer_send(c, &(struct answer){.status = same ? 304 : 200,
					.reason = same ? "Not Modified" : "OK",
					.type = p->type,
					.etag = p->etag,
					.body = same ? (struct span){} : p->body,
					.head_only = head_only});
}

/* ---- events --------------------------------------------------------------------------------------------------------------- */

/* One event, to be freed; NULL: no memory. */
static char *event_make(struct admin_http *a, size_t *n)
{
	json_t *j = a->p.nodes(a->p.arg);
	char *json = json_dumps(j, JSON_COMPACT | JSON_REAL_PRECISION(15)), *text = NULL;
	int len;

	json_decref(j);
	if (!json)
		return NULL;
	len = asprintf(&text, "data: %s\n\n", json);
	free(json);
	*n = len < 0 ? 0 : (size_t)len;
	return len < 0 ? NULL : text;
}

/* False: the connection is over. */
static bool event_send(struct http_client *c, struct span event)
{
	if (conn_queued(c->conn)) {
		c->a->stats.events_skipped++;
		if (++c->stalled < STALLED)
			return true;
		client_slow(c);
		return false;
	}
	c->stalled = 0;
	conn_set_queue_max(c->conn, event.n);
	if (conn_write(c->conn, event)) {
		client_abort(c);
		return false;
	}
	c->a->stats.events++;
	return true;
}

static void events_tick(void *arg)
{
	struct admin_http *a = arg;
	size_t n = 0;
	unsigned i;
	char *event = a->stats.listeners ? event_make(a, &n) : NULL;

	for (i = 0; i < ADMIN_HTTP_CONNS && event; i++)
		if (a->clients[i].state == EVENTS)
			event_send(&a->clients[i], span_of(event, n));
	free(event);
	if (a->stats.listeners)
		loop_timer_set(a->p.loop, &a->events, a->p.event_ms); /* its place is still there */
}

static void get_events(struct http_client *c, bool head_only)
{
	struct answer r = {.status = 200,
			   .reason = "OK",
			   .type = "text/event-stream",
			   .head_only = head_only,
			   .endless = true,
			   .body = SPAN("retry: 2000\n: one event a second\n\n")};
	struct admin_http *a = c->a;

	if (head_only) {
		r.endless = false;
		r.body = (struct span){};
		answer_send(c, &r);
		return;
	}
	if (a->stats.listeners == ADMIN_HTTP_EVENTS) {
		answer_text(c, 503, "Service Unavailable", "16 listen already\n", false);
		return;
	}
	loop_timer_cancel(a->p.loop, &c->timer);
	c->state = EVENTS;
	c->stalled = 0;
	a->stats.listeners++;
	answer_send(c, &r);
	if (c->state == EVENTS && a->stats.listeners == 1 &&
	    loop_timer_set(a->p.loop, &a->events, 0))
		client_abort(c);
}

/* ---- requests ------------------------------------------------------------------------------------------------------------- */

static void request(struct http_client *c, const struct http_head *h)
{
	bool head_only = h->method == HTTP_M_HEAD;
	struct span path = h->target.path;
	char quoted[128];

	c->a->stats.requests++;
	if (!host_ok(h)) {
		c->a->stats.refused_host++;
		log_event(LOG_L_WARN, "admin-http-host", "host=%s",
			  log_esc(h->host.whole, quoted, sizeof(quoted)));
		answer_text(c, 403, "Forbidden",
			    "Host: wanted localhost, 127.0.0.1 or [::1], with any port\n",
			    head_only);
		return;
	}
	if (h->method != HTTP_M_GET && !head_only) {
		c->a->stats.refused++;
		answer_text(c, 405, "Method Not Allowed", "GET or HEAD wanted\n", false);
	} else if (h->chunked || h->length) {
		c->a->stats.refused++;
		answer_text(c, 400, "Bad Request", "a request without content wanted\n", head_only);
	} else if (span_eq(path, SPAN("/metrics"))) {
		get_metrics(c, h, head_only);
	} else if (span_eq(path, SPAN("/v1/nodes"))) {
		get_nodes(c, head_only);
	} else if (span_eq(path, SPAN("/v1/events"))) {
		get_events(c, head_only);
	} else {
		get_page(c, h, head_only);
	}
}

static void refuse(struct http_client *c, const struct http_refusal *why)
{
	char text[HTTP_REFUSAL_TEXT + 1];
	size_t n;

	http_refusal_text(why, text, HTTP_REFUSAL_TEXT);
	n = strlen(text);
	text[n] = '\n';
	text[n + 1] = 0;
	c->a->stats.refused++;
	answer_text(c, why->status, http_reason(why->status), text, false);
}

static void request_try(struct http_client *c)
{
	struct span in = span_of(c->in, c->n);
	struct http_refusal why;
	struct http_head h;
	ssize_t n;

	if (c->tried && !http_head_retry(in, c->tried, &limits))
		return;
	n = http_request_parse(in, &limits, &h, &why);
	c->tried = c->n;
	if (n > 0)
		request(c, &h);
	else if (n != -EAGAIN)
		refuse(c, &why);
}

static void client_readable(void *arg)
{
	struct http_client *c = arg;
	uint8_t waste[1024];
	ssize_t n;

	for (;;) {
		bool reading = c->state == READING;

		n = conn_read(c->conn, reading ? c->in + c->n : waste,
			      reading ? sizeof(c->in) - c->n : sizeof(waste));
		if (n == -EAGAIN)
			return;
		if (n <= 0 && c->state == WRITING && n == 0)
			return; /* it has said all, and still reads */
		if (n <= 0) {
			client_abort(c);
			return;
		}
		if (!reading)
			continue;
		c->n += (size_t)n;
		request_try(c);
		if (c->state == FREE)
			return;
	}
}

static void client_drained(void *arg)
{
	struct http_client *c = arg;

	if (c->state == WRITING)
		client_close(c);
}

static void client_down(void *arg, int err, const char *why)
{
	(void)err, (void)why;
	client_abort(arg);
}

static void client_up(void *arg)
{
	(void)arg;
}

/* ---- life ----------------------------------------------------------------------------------------------------------------- */

static void accepted(void *arg, int fd)
{
	static const struct conn_ops ops = {.up = client_up,
					    .readable = client_readable,
					    .drained = client_drained,
					    .down = client_down};
	struct admin_http *a = arg;
	struct conn_params p = {.loop = a->p.loop, .queue_max = OUT_HEAD_MAX, .ops = &ops};
	struct http_client *c = a->clients;

	if (fd < 0) {
		log_event(LOG_L_WARN, "admin-http-accept", "error=\"%s\"", strerror(-fd));
		return;
	}
	while (c < a->clients + ADMIN_HTTP_CONNS && c->state != FREE)
		c++;
	if (c == a->clients + ADMIN_HTTP_CONNS) {
		a->stats.closed_full++;
		close(fd);
		return;
	}
	p.arg = c;
	if (conn_accept(&p, fd, &c->conn))
		return;
	c->n = c->tried = 0;
	c->state = READING;
	a->stats.conns++;
	if (loop_timer_set(a->p.loop, &c->timer, REQUEST_MS))
		client_abort(c);
}

int admin_http_new(const struct admin_http_params *p, struct admin_http **out)
{
	struct admin_http *a = calloc(1, sizeof(*a));
	unsigned i;
	int err;

	if (!a)
		return -ENOMEM;
	a->p = *p;
	a->p.event_ms = p->event_ms ? p->event_ms : EVENT_MS;
	a->events = (struct loop_timer){.fn = events_tick, .arg = a};
	for (i = 0; i < ADMIN_HTTP_CONNS; i++) {
		a->clients[i].a = a;
		a->clients[i].timer = (struct loop_timer){.fn = client_slow, .arg = &a->clients[i]};
	}
	err = loop_accept(p->loop, p->listen_fd, accepted, a, &a->accept);
	if (err)
		free(a);
	else
		*out = a;
	return err;
}

void admin_http_free(struct admin_http *a)
{
	unsigned i;

	if (!a)
		return;
	loop_cancel(a->p.loop, &a->accept);
	loop_timer_cancel(a->p.loop, &a->events);
	for (i = 0; i < ADMIN_HTTP_CONNS; i++)
		if (a->clients[i].state != FREE)
			client_abort(&a->clients[i]);
	free(a);
}

json_t *admin_http_show(const struct admin_http *a)
{
	const struct admin_http_stats *s = a ? &a->stats : NULL;

	return s ? json_pack("{s:i, s:i, s:I, s:I, s:I, s:I, s:I, s:I, s:I}", "connections",
			     (int)s->conns, "listeners", (int)s->listeners, "requests",
			     (json_int_t)s->requests, "refused_host", (json_int_t)s->refused_host,
			     "refused", (json_int_t)s->refused, "closed_slow",
			     (json_int_t)s->closed_slow, "closed_full", (json_int_t)s->closed_full,
			     "events", (json_int_t)s->events, "events_skipped",
			     (json_int_t)s->events_skipped)
		 : NULL;
}
