/* user/core_admin.c -- what sallyctl sees of the core: status, flows, streams, regs, calls, why. In: a request. Out: JSON made on the
 * spot from the parts' own views; nothing is kept. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "user/cdr.h"
#include "user/core_chat.h"
#include "user/core_int.h"
#include "user/core_pass.h"
#include "user/core_trace.h"
#include "user/keeper.h"
#include "user/quality_show.h"
#include "user/srtp.h"
#include "user/version.h"

static json_t *hex(uint64_t v)
{
	char text[24];

	snprintf(text, sizeof(text), "%llx", (unsigned long long)v);
	return json_string(text);
}

/* Words of a peer. They need not be UTF-8, and the end may be half a character: JSON would refuse the whole row. */
static json_t *words(const char *text)
{
	json_t *j = json_string(text);
	char safe[512];
	size_t i;

	if (j)
		return j;
	for (i = 0; i + 1 < sizeof(safe) && text && text[i]; i++)
		safe[i] = (unsigned char)text[i] < 0x80 ? text[i] : '?';
	safe[i] = 0;
	return json_string(safe);
}

static json_t *core_links(const struct core *c)
{
	json_t *list = json_array();
	unsigned i;

	for (i = 0; i < c->n_edges; i++) {
		const struct core_edge *e = &c->edges[i];
		uint64_t now = loop_now_ms(c->loop);
		int64_t ahead;

		json_array_append_new(
			list,
			json_pack("{s:s, s:s, s:i, s:I, s:s}", "edge", e->name, "state",
				  e->peer ? "up" : "down", "pool_idle",
				  e->peer ? (int)link_peer_idle(e->peer) : 0, "up_s",
				  e->peer ? (json_int_t)((now - link_peer_up_ms(e->peer)) / 1000)
					  : (json_int_t)0,
				  "sip_host", e->sip_host));
		if (e->peer && link_peer_clock(e->peer, &ahead))
			json_object_set_new(json_array_get(list, i), "clock_ahead_s",
					    json_integer(ahead));
	}
	return list;
}

static json_t *core_link_counts(const struct core *c)
{
	const struct link_stats *l = link_core_stats(c->link);

	return json_pack(
		"{s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:s, s:I}", "dials",
		(json_int_t)l->dials, "dial_errors", (json_int_t)l->dial_errors, "bad_frames",
		(json_int_t)l->bad_frames, "silent", (json_int_t)l->silent, "data_lost",
		(json_int_t)l->data_lost, "opens", (json_int_t)l->opens, "recycled",
		(json_int_t)l->recycled, "trimmed", (json_int_t)l->trimmed, "ends_closed",
		(json_int_t)l->ends_closed, "ends_late", (json_int_t)l->ends_late, "ends_bad",
		(json_int_t)l->ends_bad, "ends_unknown", (json_int_t)l->ends_unknown, "last_error",
		l->error, "last_error_s",
		(json_int_t)(l->error[0] ? (loop_now_ms(c->loop) - l->error_ms) / 1000 : 0));
}

static json_t *core_counts(const struct core *c)
{
	const struct engine_stats *s = engine_stats(c->engine);
	const struct loop_stats *l = loop_stats(c->loop);
	unsigned admitted, streams = core_streams_count(c->streams, &admitted);

	return json_pack(
		"{s:i, s:i, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I, "
		"s:I, s:I, s:I, s:I, s:I, s:I}",
		"streams", (int)streams, "streams_admitted", (int)admitted, "registrations",
		(json_int_t)s->bindings, "calls", (json_int_t)s->calls, "calls_total",
		(json_int_t)s->calls_total, "transactions", (json_int_t)s->transactions, "requests",
		(json_int_t)s->requests, "responses", (json_int_t)s->responses, "registers_ok",
		(json_int_t)s->registers_ok, "registers_refused", (json_int_t)s->registers_refused,
		"half_registered", (json_int_t)s->half_registered, "refused_identity",
		(json_int_t)s->refused_identity, "refused_route", (json_int_t)s->refused_route,
		"refused_plain_rtp", (json_int_t)s->refused_plain_rtp, "refused_token",
		(json_int_t)s->refused_token, "refused_full", (json_int_t)s->refused_full,
		"timeouts", (json_int_t)s->timeouts, "inside_send_errors",
		(json_int_t)c->inside_errors, "loop_rounds", (json_int_t)l->rounds, "loop_stale",
		(json_int_t)l->stale, "send_errors", (json_int_t)l->send_errors, "accept_errors",
		(json_int_t)l->accept_errors);
}

static void core_target_row(void *arg, const struct engine_target_view *t)
{
	json_t *row = arg, *targets = json_object_get(row, "targets");
	char at[ADDR_TEXT_MAX];

	json_object_set_new(row, "moved", json_integer((json_int_t)t->moved));
	json_array_append_new(targets,
			      json_pack("{s:s, s:s, s:i, s:i, s:s, s:I, s:I, s:I, s:I}", "address",
					addr_text(&t->t.addr, at), "state",
					!t->up	    ? "down"
					: !t->heard ? "not heard yet"
						    : "up",
					"priority", t->t.priority, "weight", t->t.weight,
					"last_failure", t->why, "failures", (json_int_t)t->failures,
					"registrations_lost", (json_int_t)t->losses,
					"passed_over_ms", (json_int_t)t->down_ms, "heard_ms_ago",
					(json_int_t)t->heard_ms));
}

/* The call servers as the transports see them, each with its targets as the engine does. */
static json_t *core_call_servers(const struct core *c)
{
	json_t *list = inside_show(c->inside), *row;
	size_t i;

	json_array_foreach(list, i, row)
	{
		json_object_set_new(row, "moved", json_integer(0));
		json_object_set_new(row, "targets", json_array());
		engine_each_target(c->engine, (unsigned)i, core_target_row, row);
	}
	return list;
}

json_t *core_status(struct core *c)
{
	return json_pack("{s:s, s:s, s:s, s:i, s:I, s:s, s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:o, "
			 "s:o, s:o, s:o*, s:o*, s:o*, s:o, s:o}",
			 "role", "core", "name", c->cfg->name, "version", SALLYPORT_VERSION, "pid",
			 (int)getpid(), "uptime_s",
			 (json_int_t)((loop_now_ms(c->loop) - c->started_ms) / 1000), "srtp",
			 srtp_backend_text(), "counters", core_counts(c), "media",
			 media_core_counters(c->media), "relay", media_pass_status(c->pass),
			 "links", core_links(c), "link", core_link_counts(c), "call_servers",
			 core_call_servers(c), "kept", core_keep_show(c), "kernel_tls",
			 ktls_show(&c->ktls), "certificates", core_certificates(c), "node_reports",
			 nodes_counts(c->nodes), "https", core_https_show(c), "xmpp",
			 core_chat_show(c), "admin_http", admin_http_show(c->admin_http), "drain",
			 core_drain_show(c), "call_records", cdr_show(c->cdr));
}

static json_t *core_cmd_status(void *arg, const json_t *req)
{
	(void)req;
	return core_status(arg);
}

static json_t *core_cmd_nodes(void *arg, const json_t *req)
{
	(void)req;
	return nodes_show(((struct core *)arg)->nodes, false);
}

static json_t *core_cmd_flows(void *arg, const json_t *req)
{
	const struct core *c = arg;
	json_t *flows = media_core_show(c->media);

	(void)req;
	media_pass_show(c->pass, flows);
	return flows;
}

struct core_list {
	struct core *c;
	json_t *list;
};

static void core_stream_row(void *arg, struct core_stream *s)
{
	struct core_list *l = arg;
	char client[ADDR_TEXT_MAX];
	uint64_t now = loop_now_ms(l->c->loop);
	const char *why;
	enum tls_rung rung = conn_rung(s->conn, &why);

	json_array_append_new(
		l->list,
		json_pack("{s:o, s:s, s:s, s:o, s:s, s:b, s:s, s:I, s:I, s:I, s:I, s:b, s:b, s:s, "
			  "s:s, "
			  "s:s}",
			  "stream", hex(s->id), "service", "sip", "edge", s->edge, "edge_stream",
			  hex(s->edge_stream), "client", addr_text(&s->client, client), "admitted",
			  s->admitted, "aors", engine_stream_aors(l->c->engine, s->id),
			  "messages_in", (json_int_t)s->messages_in, "messages_out",
			  (json_int_t)s->messages_out, "keepalives", (json_int_t)s->keepalives,
			  "age_s", (json_int_t)((now - s->since_ms) / 1000), "kept",
			  s->keep != NULL, "taken_over", s->adopted, "client_tls", s->tls, "rung",
			  rung == TLS_RUNG_A   ? "kernel TLS"
			  : rung == TLS_RUNG_B ? "kernel TLS send"
					       : "user TLS",
			  "reason", why));
}

static json_t *core_cmd_streams(void *arg, const json_t *req)
{
	struct core_list l = {.c = arg, .list = json_array()};

	(void)req;
	core_streams_each(l.c->streams, core_stream_row, &l);
	core_https_streams(l.c, l.list);
	core_chat_rows(l.c, l.list);
	return l.list;
}

/* The binding's key "i:<urn:...>;REG-ID" as its two columns; a binding by Contact alone has neither. */
static void core_instance(const char *key, char *instance, size_t n, const char **reg_id)
{
	const char *end = strrchr(key, ';');

	*reg_id = "";
	snprintf(instance, n, "none");
	if (strncmp(key, "i:", 2) || !end)
		return;
	snprintf(instance, n, "%.*s", (int)(end - key - 2), key + 2);
	*reg_id = end + 1;
}

static void core_binding_row(void *arg, const struct engine_binding_view *v)
{
	struct core_list *l = arg;
	uint64_t now = loop_now_ms(l->c->loop);
	char instance[256];
	const char *reg_id;

	core_instance(v->instance, instance, sizeof(instance), &reg_id);
	json_array_append_new(
		l->list,
		json_pack("{s:o, s:o, s:o, s:o, s:s, s:o, s:I, s:o}", "aor", words(v->aor),
			  "instance", words(instance), "reg_id", words(reg_id), "contact",
			  words(v->contact), "call_server", v->server, "stream",
			  v->stream ? hex(v->stream) : json_string("none"), "expires_s",
			  (json_int_t)(v->expires_ms > now ? (v->expires_ms - now) / 1000 : 0),
			  "user_agent", words(v->user_agent)));
}

static json_t *core_cmd_regs(void *arg, const json_t *req)
{
	struct core_list l = {.c = arg, .list = json_array()};

	(void)req;
	engine_each_binding(l.c->engine, core_binding_row, &l);
	return l.list;
}

/* The media of other calls that those of @v are joined to. */
static json_t *core_call_joined(const struct core *c, const struct engine_call_view *v)
{
	json_t *joined = json_array();
	struct media_report r;
	uint64_t id;
	unsigned i;

	for (i = 0; i < v->n_media && i < 8; i++) {
		id = media_core_report(c->media, v->media[i], &r)
			     ? media_pass_joined(c->pass, v->media[i])
			     : r.joined;
		if (id)
			json_array_append_new(joined, hex(id));
	}
	return joined;
}

/* By the edge's last reports, of all its media together. */
static json_t *core_call_quality(const struct core *c, const struct engine_call_view *v)
{
	struct quality in = {}, out = {}, i, o;
	unsigned k;

	for (k = 0; k < v->n_media && k < 8; k++) {
		if (media_core_quality(c->media, v->media[k], &i, &o) &&
		    media_pass_quality(c->pass, v->media[k], &i, &o))
			continue;
		quality_add(&in, &i);
		quality_add(&out, &o);
	}
	return quality_json(&in, &out);
}

static void core_call_row(void *arg, const struct engine_call_view *v)
{
	struct core_list *l = arg;
	json_t *media = json_array();
	uint64_t now = loop_now_ms(l->c->loop);
	unsigned i;

	for (i = 0; i < v->n_media && i < 8; i++)
		json_array_append_new(media, hex(v->media[i]));
	json_array_append_new(
		l->list,
		json_pack("{s:o, s:s, s:s, s:o, s:o, s:o, s:s, s:o, s:I, s:o, s:o, s:o, s:o}",
			  "call", hex(v->call), "direction", v->direction, "state", v->state,
			  "user", words(v->user), "from", words(v->from), "to", words(v->to),
			  "suite", v->suite, "stream", hex(v->stream), "age_s",
			  (json_int_t)((now - v->since_ms) / 1000), "call_id", words(v->call_id),
			  "media", media, "joined", core_call_joined(l->c, v), "quality",
			  core_call_quality(l->c, v)));
}

static json_t *core_cmd_calls(void *arg, const json_t *req)
{
	struct core_list l = {.c = arg, .list = json_array()};

	(void)req;
	engine_each_call(l.c->engine, core_call_row, &l);
	return l.list;
}

/* The row of @list whose @key is @id, as a new reference. */
static json_t *core_row(json_t *list, const char *key, const char *id)
{
	json_t *row, *found = NULL;
	size_t i;

	json_array_foreach(list, i, row)
	{
		const char *have = json_string_value(json_object_get(row, key));

		if (have && !strcmp(have, id))
			found = json_incref(row);
	}
	json_decref(list);
	return found;
}

static json_t *core_cmd_why(void *arg, const json_t *req)
{
	const char *id = json_string_value(json_object_get(req, "arg"));
	json_t *row;

	if (!id)
		return json_pack("{s:s}", "error", "why: wanted the id of a stream, flow or call");
	row = core_row(core_cmd_streams(arg, req), "stream", id);
	if (!row)
		row = core_row(core_cmd_flows(arg, req), "flow", id);
	if (!row)
		row = core_row(core_cmd_calls(arg, req), "call", id);
	if (row)
		return row;
	return json_pack("{s:s, s:s}", "error",
			 "why: no stream, flow or call has this id on the core", "id", id);
}

static json_t *core_cmd_upgrade(void *arg, const json_t *req)
{
	(void)req;
	return handover_upgrade(&((struct core *)arg)->turn);
}

static json_t *core_cmd_allow_test(void *arg, const json_t *req)
{
	return core_https_allow_test(arg, req);
}

static json_t *core_cmd_allow_check(void *arg, const json_t *req)
{
	(void)req;
	return core_https_allow_check(arg);
}

int core_admin_start(struct core *c, char *why, size_t why_n)
{
	static const struct admin_cmd cmds[] = {
		{"status", core_cmd_status},	     {"flows", core_cmd_flows},
		{"streams", core_cmd_streams},	     {"regs", core_cmd_regs},
		{"calls", core_cmd_calls},	     {"why", core_cmd_why},
		{"trace", core_trace_cmd},	     {"nodes", core_cmd_nodes},
		{"upgrade", core_cmd_upgrade},	     {"drain", core_drain_cmd},
		{"allow-test", core_cmd_allow_test}, {"allow-check", core_cmd_allow_check},
	};
	int fd = keeper_fd("admin"), err;

	if (fd < 0)
		return 0;
	err = admin_new(c->loop, fd, cmds, sizeof(cmds) / sizeof(cmds[0]), c, &c->admin);
	c->turn.admin = c->admin;
	if (err)
		snprintf(why, why_n, "admin socket: %s", strerror(-err));
	return err;
}
