/* sip/engine.c -- life of the engine: configuration, streams, the queue of actions, time, views.
 *
 * In: the caller's events. Out: the action queue. Messages are handed to route.c; media events to call.c. Owns the
 * tables and the scratch buffers; objects in the tables are owned by the file that made them. */
#include "sip/engine_int.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include "sip/binding.h"
#include "sip/call.h"
#include "sip/drain.h"
#include "sip/lines.h"
#include "sip/record.h"
#include "sip/target.h"
#include "sip/txn.h"

#define ENGINE_STREAMS_MAX 1000000
#define ENGINE_GROWTH	   8192 /* what our own fields may add to a message */

uint64_t engine_hash(const struct engine *e, struct span s)
{
	uint64_t h = e->seed;
	size_t i;

	for (i = 0; i < s.n; i++) {
		h = (h ^ s.p[i]) * 0x9e3779b97f4a7c15ull;
		h ^= h >> 29;
	}
	h = (h ^ s.n) * 0xbf58476d1ce4e5b9ull;
	return h ^ h >> 32;
}

uint64_t engine_random64(struct engine *e)
{
	uint64_t v = 0;

	while (v == 0)
		e->c.random(e->c.arg, &v, sizeof(v));
	return v;
}

void engine_random_text(struct engine *e, char *buf, size_t n)
{
	static const char hex[] = "0123456789abcdef";
	uint8_t b;
	size_t i;

	for (i = 0; i + 1 < n; i++) {
		e->c.random(e->c.arg, &b, 1);
		buf[i] = hex[b & 15];
	}
	buf[i] = 0;
}

const char *engine_uri_host(const char *host, char *buf, size_t n)
{
	bool bare_v6 = strchr(host, ':') && host[0] != '[';

	(void)snprintf(buf, n, bare_v6 ? "[%s]" : "%s", host);
	return buf;
}

int blob_set(struct blob *b, struct span s)
{
	uint8_t *p = malloc(s.n ? s.n : 1);

	if (!p)
		return -ENOMEM;
	if (s.n)
		memcpy(p, s.p, s.n);
	free(b->p);
	b->p = p;
	b->n = s.n;
	return 0;
}

void blob_free(struct blob *b)
{
	free(b->p);
	*b = (struct blob){0};
}

/* ---- actions ---- */

struct engine_action *engine_action(struct engine *e, enum engine_action_kind kind,
				    struct span data)
{
	struct pending *p = calloc(1, sizeof(*p));

	if (!p || (data.n && blob_set(&p->data, data))) {
		free(p);
		e->stats.refused_full++;
		return NULL;
	}
	p->a.kind = kind;
	p->a.data = blob_span(&p->data);
	*e->last = p;
	e->last = &p->next;
	return &p->a;
}

void engine_send(struct engine *e, const struct peer *to, struct span data)
{
	struct engine_action *a;

	if (to->kind == PEER_NONE || (to->kind == PEER_STREAM && !engine_stream(e, to->stream)))
		return;
	a = engine_action(e, to->kind == PEER_STREAM ? ENGINE_SEND_STREAM : ENGINE_SEND_INSIDE,
			  data);
	if (!a)
		return;
	a->answer = data.n > 8 && memcmp(data.p, "SIP/2.0 ", 8) == 0;
	a->stream = to->stream;
	a->server = to->server;
	a->transport = to->transport;
	a->to = to->to;
	a->inside_conn = to->conn;
}

void engine_log(struct engine *e, int level, const char *event, const char *fmt, ...)
{
	struct engine_action *a = engine_action(e, ENGINE_LOG, SPAN(""));
	va_list ap;

	if (!a)
		return;
	a->level = level;
	a->event = event;
	va_start(ap, fmt);
	(void)vsnprintf(a->text, sizeof(a->text), fmt, ap);
	va_end(ap);
}

const char *engine_esc(struct span s, char *buf, size_t n)
{
	size_t i, o = 0;

	if (n < 8) {
		buf[0] = 0;
		return buf;
	}
	buf[o++] = '"';
	for (i = 0; i < s.n; i++) {
		uint8_t c = s.p[i];

		if (o + 9 > n) { /* room for one escape, "...", the quote and the end */
			memcpy(buf + o, "...", 3);
			o += 3;
			break;
		}
		if (c < 0x20 || c > 0x7e || c == '"' || c == '\\')
			o += (size_t)snprintf(buf + o, 5, "\\x%02x", c);
		else
			buf[o++] = (char)c;
	}
	buf[o++] = '"';
	buf[o] = 0;
	return buf;
}

bool engine_next_action(struct engine *e, struct engine_action *out)
{
	struct pending *p = e->first;

	if (e->popped) {
		blob_free(&e->popped->data);
		free(e->popped);
		e->popped = NULL;
	}
	if (record_next(e, out))
		return true;
	if (!p)
		return false;
	e->first = p->next;
	if (!e->first)
		e->last = &e->first;
	e->popped = p;
	*out = p->a;
	return true;
}

/* ---- life ---- */

static int engine_tables(struct engine *e)
{
	struct table *t[] = {&e->streams,   &e->bindings, &e->users, &e->txns_branch,
			     &e->txns_name, &e->calls,	  &e->media};
	size_t i;

	for (i = 0; i < sizeof(t) / sizeof(t[0]); i++)
		if (table_init(t[i]))
			return -ENOMEM;
	return binding_init(e) || lines_init(e) || drain_init(e) ? -ENOMEM : target_init(e);
}

int engine_new(const struct engine_config *c, uint64_t now_ms, struct engine **out)
{
	struct engine *e;
	uint8_t mac[32];

	if (c->token_key.n < 32 || c->n_servers == 0 || !c->random || !c->hmac || !c->inside_host ||
	    !c->core_name)
		return -EINVAL;
	e = calloc(1, sizeof(*e));
	if (!e)
		return -ENOMEM;
	e->c = *c;
	if (e->c.message_max == 0)
		e->c.message_max = SIP_MESSAGE_MAX;
	e->now = now_ms;
	e->last = &e->first;
	e->seed = engine_random64(e);
	e->buf_cap = e->c.message_max + ENGINE_GROWTH;
	e->out = malloc(e->buf_cap);
	e->sdp = malloc(e->buf_cap);
	e->body = malloc(e->buf_cap);
	e->record = malloc(RECORD_MAX);
	if (!e->out || !e->sdp || !e->body || !e->record || engine_tables(e)) {
		engine_free(e);
		return -ENOMEM;
	}
	(void)engine_uri_host(c->inside_host, e->inside_host, sizeof(e->inside_host));
	c->hmac(c->arg, c->token_key, span_str(c->core_name), mac);
	memcpy(e->core_id, mac, sizeof(e->core_id));
	*out = e;
	return 0;
}

/* An edge has few of them: one, and another one for a while when its own name changed. NULL: no memory. */
static struct edge_names *edge_names_get(struct engine *e, const struct engine_stream *in)
{
	const char *name = in->edge ? in->edge : "", *host = in->edge_host ? in->edge_host : "";
	size_t name_n = strlen(name) + 1, host_n = strlen(host) + 1;
	struct edge_names *n;

	for (n = e->edges; n; n = n->next)
		if (n->port == in->edge_port && !strcmp(n->name, name) && !strcmp(n->host, host))
			break;
	if (!n) {
		n = calloc(1, sizeof(*n) + name_n + host_n);
		if (!n)
			return NULL;
		memcpy(n->name, name, name_n);
		n->host = memcpy(n->name + name_n, host, host_n);
		n->port = in->edge_port;
		n->drain = drain_how(e, name);
		n->next = e->edges;
		e->edges = n;
	}
	n->refs++;
	return n;
}

static void edge_names_put(struct engine *e, struct edge_names *n)
{
	struct edge_names **at = &e->edges;

	if (--n->refs)
		return;
	while (*at != n)
		at = &(*at)->next;
	*at = n->next;
	free(n);
}

static void stream_free(struct engine *e, struct stream *s)
{
	lines_gone(e, s);
	table_del(&e->streams, &s->node);
	edge_names_put(e, s->edge);
	free(s->bindings);
	free(s);
}

void engine_free(struct engine *e)
{
	struct table *t[7];
	struct engine_action a;
	struct tnode *n;
	size_t i;

	if (!e)
		return;
	e->c.keep = false; /* what is kept stays for the next one */
	if (e->media.slots) {
		txn_free_all(e);
		call_free_all(e);
		binding_fini(e);
		while ((n = table_walk(&e->streams, NULL)))
			stream_free(e, table_entry(n, struct stream, node));
	}
	lines_fini(e);
	drain_fini(e);
	target_fini(e);
	free(e->nonces);
	while (engine_next_action(e, &a))
		;
	t[0] = &e->streams, t[1] = &e->bindings, t[2] = &e->users, t[3] = &e->txns_branch;
	t[4] = &e->txns_name, t[5] = &e->calls, t[6] = &e->media;
	for (i = 0; i < 7; i++)
		table_fini(t[i]);
	timers_fini(&e->timers);
	free(e->out);
	free(e->sdp);
	free(e->body);
	if (e->record)
		explicit_bzero(e->record, RECORD_MAX);
	free(e->record);
	free(e);
}

/* ---- streams ---- */

struct stream *engine_stream(const struct engine *e, uint64_t id)
{
	struct tnode *n = table_find(&e->streams, engine_hash(e, span_of(&id, sizeof(id))));

	for (; n; n = table_find_next(n)) {
		struct stream *s = table_entry(n, struct stream, node);

		if (s->id == id)
			return s->closing ? NULL : s;
	}
	return NULL;
}

int engine_stream_open(struct engine *e, const struct engine_stream *in)
{
	struct stream *s;

	if (engine_stream(e, in->id))
		return -EEXIST;
	if (e->streams.n >= ENGINE_STREAMS_MAX) {
		e->stats.refused_full++;
		return -ENOBUFS;
	}
	s = calloc(1, sizeof(*s));
	if (!s)
		return -ENOMEM;
	s->id = in->id;
	s->client = in->client;
	s->edge = edge_names_get(e, in);
	if (!s->edge) {
		free(s);
		return -ENOMEM;
	}
	table_add(&e->streams, &s->node, engine_hash(e, span_of(&s->id, sizeof(s->id))));
	e->stats.streams = e->streams.n;
	return 0;
}

bool engine_stream_admitted(const struct engine *e, uint64_t stream)
{
	const struct stream *s = engine_stream(e, stream);

	return s && s->admitted;
}

void engine_stream_closed(struct engine *e, uint64_t stream, uint64_t now_ms)
{
	struct stream *s = engine_stream(e, stream);

	e->now = now_ms;
	if (!s)
		return;
	s->closing = true;
	binding_stream_gone(e, s);
	txn_stream_gone(e, s);
	stream_free(e, s);
	e->stats.streams = e->streams.n;
}

/* ---- servers ---- */

int engine_server_of(const struct engine *e, struct span domain)
{
	unsigned i, k;

	for (i = 0; i < e->c.n_servers; i++)
		for (k = 0; k < e->c.servers[i].n_domains; k++)
			if (span_ieq(domain, span_str(e->c.servers[i].domains[k])))
				return (int)i;
	return -1;
}

struct peer engine_peer_server(const struct engine *e, unsigned server)
{
	return (struct peer){
		.kind = PEER_INSIDE, .server = server, .transport = e->c.servers[server].transport};
}

void engine_inside_failed(struct engine *e, unsigned server, const struct addr *to,
			  enum engine_failure how, const char *why, uint64_t now_ms)
{
	e->now = now_ms;
	target_ended(e, server, to, how, why);
	if (how == ENGINE_CLOSED || how == ENGINE_RESET) {
		txn_target_gone(e, server, to, TXN_GONE_CLOSED);
		target_closed(e, server, to);
	} else {
		(void)target_failed(e, server, to, why);
		txn_target_gone(e, server, to, TXN_GONE_FAILED);
	}
}

/* ---- time and views ---- */

void engine_tick(struct engine *e, uint64_t now_ms)
{
	struct timer *t;

	e->now = now_ms;
	while ((t = timers_due(&e->timers, now_ms)))
		t->fn(e, t->owner);
}

uint64_t engine_next_due(const struct engine *e)
{
	return timers_next(&e->timers);
}

const struct engine_stats *engine_stats(const struct engine *e)
{
	return &e->stats;
}
