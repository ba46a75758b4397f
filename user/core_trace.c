/* user/core_trace.c -- what the core records. See core_trace.h; the answer is core_trace_show.c's. */
#include "user/core_trace.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "user/quality_show.h"

static uint64_t edge_id(struct core *c, uint64_t stream)
{
	const struct core_stream *s = stream ? core_stream_find(c->streams, stream) : NULL;

	return s ? s->edge_stream : 0;
}

void core_trace_stream_open(const struct core_stream *s)
{
	char client[ADDR_TEXT_MAX];

	trace_put(s->adopted ? TRACE_STREAM_TAKEN : TRACE_STREAM_OPEN,
		  &(struct trace_ids){.stream = s->edge_stream}, 0, "client %s sip edge %s",
		  addr_text(&s->client, client), s->edge);
}

void core_trace_stream(const struct core_stream *s, enum trace_what what, const char *text)
{
	trace_put(what, &(struct trace_ids){.stream = s->edge_stream}, 0, "%s", text);
}

void core_trace_rung(const struct core_stream *s)
{
	const char *why;
	enum tls_rung rung = conn_rung(s->conn, &why);

	core_trace_stream(s, TRACE_STREAM_RUNG,
			  rung == TLS_RUNG_A   ? "link: kernel TLS"
			  : rung == TLS_RUNG_B ? "link: kernel TLS send"
					       : "link: user TLS");
}

void core_trace_client(struct core *c, uint64_t stream, enum trace_way way, struct span msg)
{
	trace_sip(way, edge_id(c, stream), NULL, msg);
}

void core_trace_inside(const struct core *c, unsigned server, enum trace_way way, struct span msg)
{
	trace_sip(way, 0, c->cfg->call_servers[server].name, msg);
}

/* ---- from the engine's log ---- */

/* The value of @key in "key=value key=\"va\\x20lue\"": empty where there is none. Escapes are undone only as far as a user's name has them. */
static struct span value_of(const char *text, const char *key, char *buf, size_t n)
{
	size_t k = strlen(key), at = 0;
	const char *p = text;
	unsigned x;

	while (p && strncmp(p, key, k)) {
		p = strchr(p, ' ');
		p = p ? p + 1 : NULL;
	}
	p = p ? p + k : "";
	if (*p == '"') {
		for (p++; *p && *p != '"' && at + 1 < n; p++) {
			if (p[0] == '\\' && p[1] == 'x' && sscanf(p + 2, "%2x", &x) == 1) {
				buf[at++] = (char)x;
				p += 3;
			} else {
				buf[at++] = *p;
			}
		}
	} else {
		for (; *p && *p != ' ' && at + 1 < n; p++)
			buf[at++] = *p;
	}
	buf[at] = 0;
	return span_of(buf, at);
}

void core_trace_log(struct core *c, const struct engine_action *a)
{
	static const struct {
		const char *event;
		enum trace_what what;
	} events[] = {{"registered", TRACE_REGISTERED},	  {"unregistered", TRACE_UNREGISTERED},
		      {"half-registered", TRACE_REFUSED}, {"refused", TRACE_REFUSED},
		      {"call-refused", TRACE_REFUSED},	  {"media-failed", TRACE_MEDIUM_FAILED}};
	char user[160], id[24], call[24], reason[48], expires[12];
	struct trace_ids ids = {.user = 0};
	size_t i = 0;

	while (i < sizeof(events) / sizeof(events[0]) && strcmp(events[i].event, a->event))
		i++;
	if (i == sizeof(events) / sizeof(events[0]))
		return;
	ids.user = trace_user(value_of(a->text, "user=", user, sizeof(user)));
	value_of(a->text, "stream=", id, sizeof(id));
	ids.stream = edge_id(c, strtoull(id, NULL, 16));
	value_of(a->text, "call=", call, sizeof(call));
	ids.call = strtoull(call, NULL, 16);
	value_of(a->text, "reason=", reason, sizeof(reason));
	if (value_of(a->text, "expires=", expires, sizeof(expires)).n)
		trace_put(events[i].what, &ids, 0, "for %s s", expires);
	else
		trace_put(events[i].what, &ids, 0, "%s%s%s", a->event, reason[0] ? ": " : "",
			  reason);
}

/* ---- calls and media ---- */

void core_trace_call(struct core *c, const struct engine_action *a)
{
	const struct engine_call_event *e = &a->call;
	struct trace_ids ids = {.user = trace_user(span_str(e->user)),
				.stream = edge_id(c, a->stream),
				.call = a->id,
				.dialog = trace_hash(span_str(e->call_id))};

	trace_put(e->what == ENGINE_CALL_STARTED    ? TRACE_CALL_STARTED
		  : e->what == ENGINE_CALL_ANSWERED ? TRACE_CALL_ANSWERED
						    : TRACE_CALL_ENDED,
		  &ids, 0, "%s%s%s", e->outbound ? "out-in" : "in-out", *a->text ? " " : "",
		  a->text);
}

static void counts_text(struct core *c, uint64_t medium, char *out, size_t n)
{
	struct quality in = {}, back = {};
	char text[QUALITY_TEXT_MAX];
	struct media_report r;
	uint64_t refused = 0;
	unsigned i;

	out[0] = 0;
	if (media_core_report(c->media, medium, &r))
		return;
	for (i = 1; i < SRTP_RESULTS; i++)
		refused += r.results[i];
	media_core_quality(c->media, medium, &in, &back);
	snprintf(out, n, "packets in %llu out %llu refused %llu %s",
		 (unsigned long long)r.in_packets, (unsigned long long)r.out_packets,
		 (unsigned long long)refused, quality_text(&in, &back, text));
}

void core_trace_medium(struct core *c, const struct engine_action *a)
{
	char text[TRACE_TEXT_MAX];

	if (a->kind == ENGINE_MEDIUM_OPEN) {
		trace_put(TRACE_MEDIUM_OPEN,
			  &(struct trace_ids){.stream = edge_id(c, a->stream),
					      .call = a->id,
					      .flow = a->medium},
			  0, "%s", a->pass ? "passes as SRTP" : "SRTP ends here");
	} else if (a->kind == ENGINE_MEDIUM_CLOSE) {
		counts_text(c, a->medium, text, sizeof(text));
		trace_put(TRACE_MEDIUM_CLOSED, &(struct trace_ids){.flow = a->medium}, 0, "%s",
			  text);
	}
}

void core_trace_medium_failed(uint64_t medium, const char *reason)
{
	trace_put(TRACE_MEDIUM_FAILED, &(struct trace_ids){.flow = medium}, 0, "%s", reason);
}
