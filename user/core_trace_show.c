/* user/core_trace_show.c -- the answer to "trace": what is asked for, this core's records, the edges' beside them. See core_trace.h. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "user/core_ask.h"
#include "user/core_trace.h"
#include "user/trace_query.h"
#include "user/trace_show.h"

#define ASK_STREAMS 64
#define ASK_FLOWS   256
#define USERS_MAX   16			  /* of one name, in as many domains */
#define NUMBER_MAX  ((json_int_t)1 << 52) /* of an edge: times are reckoned with it */

struct edge_wait {
	struct core_trace_run *run;
	const char *edge;
};

struct core_trace_run { /* one that waits for edges */
	struct core_trace_run *next;
	struct core *c;
	struct admin_ticket ticket;
	json_t *rows, *nodes;
	unsigned waits, cut;
	char arg[300];
	struct edge_wait of[]; /* by edge */
};

/* ---- what is asked for ---- */

static void user_add(struct trace_query *q, const char *user, size_t n, const char *domain)
{
	char aor[600];

	if (snprintf(aor, sizeof(aor), "%.*s@%s", (int)n, user, domain) < (int)sizeof(aor))
		trace_set_add(q, &q->users, trace_user(span_str(aor)));
}

struct live {
	struct core *c;
	struct trace_query *q;
	const char *call_id;
};

static void live_call(void *arg, const struct engine_call_view *v)
{
	struct live *l = arg;
	struct core_stream *s;
	unsigned i;

	if (!trace_set_has(&l->q->calls, v->call) &&
	    !(l->q->by_user ? trace_set_has(&l->q->users, trace_user(span_str(v->user)))
			    : !strcmp(v->call_id, l->call_id)))
		return;
	trace_set_add(l->q, &l->q->calls, v->call);
	trace_set_add(l->q, &l->q->users, trace_user(span_str(v->user)));
	trace_set_add(l->q, &l->q->dialogs, trace_hash(span_str(v->call_id)));
	s = core_stream_find(l->c->streams, v->stream);
	if (s)
		trace_set_add(l->q, &l->q->streams, s->edge_stream);
	for (i = 0; i < v->n_media && i < 8; i++)
		trace_set_add(l->q, &l->q->flows, v->media[i]);
}

static void live_binding(void *arg, const struct engine_binding_view *v)
{
	struct live *l = arg;
	uint64_t user = trace_user(span_str(v->aor));
	struct core_stream *s = core_stream_find(l->c->streams, v->stream);

	trace_set_add(l->q, &l->q->others, user);
	if (s && l->q->by_user && trace_set_has(&l->q->users, user))
		trace_set_add(l->q, &l->q->streams, s->edge_stream);
}

/* Flows of media that are open, whatever the ring still knows of them. */
static void live_flows(struct core *c, struct trace_query *q)
{
	json_t *rows = media_core_show(c->media), *row;
	uint64_t medium, flow;
	size_t i;

	media_pass_show(c->pass, rows);
	json_array_foreach(rows, i, row)
	{
		const char *m = json_string_value(json_object_get(row, "medium")),
			   *f = json_string_value(json_object_get(row, "flow"));

		if (m && f && trace_id_parse(m, &medium) && trace_id_parse(f, &flow) &&
		    trace_set_has(&q->flows, medium))
			trace_set_add(q, &q->flows, flow);
	}
	json_decref(rows);
}

/* "alice", "alice@example.com", "sip:alice@example.com": a user. Hex digits: an id, and a user's name as well ("1001"). Else a Call-ID. */
static void query_fill(struct core *c, struct trace_query *q, const char *arg)
{
	struct live l = {.c = c, .q = q, .call_id = arg};
	const char *at = strchr(arg, '@');
	uint64_t id;
	unsigned i;

	if (at)
		trace_set_add(q, &q->users, trace_user(span_str(arg)));
	for (i = 0; !at && i < c->n_domains && i < USERS_MAX; i++)
		user_add(q, arg, strlen(arg), c->domains[i]);
	q->by_user = true;
	engine_each_binding(c->engine, live_binding, &l);
	engine_each_call(c->engine, live_call, &l);
	trace_each(trace_relate, q);
	if (!q->found && !q->streams.n && !q->calls.n) { /* nobody of that name: a call */
		memset(q, 0, sizeof(*q));
		engine_each_binding(c->engine, live_binding, &l);
		if (trace_id_parse(arg, &id)) {
			trace_set_add(q, &q->calls, id);
			trace_set_add(q, &q->streams, id);
			trace_set_add(q, &q->flows, id);
		}
		trace_set_add(q, &q->dialogs, trace_hash(span_str(arg)));
		engine_each_call(c->engine, live_call, &l);
		trace_each(trace_relate, q);
	}
	live_flows(c, q);
}

/* ---- rows ---- */

struct core_rows {
	const struct trace_query *q;
	const char *node;
	json_t *rows;
};

static void row_add(void *arg, const struct trace_record *r)
{
	struct core_rows *x = arg;

	if (trace_wanted(x->q, r))
		json_array_append_new(x->rows, trace_row(r, x->node));
}

static void run_unlink(struct core_trace_run *run)
{
	struct core_trace_run **at = &run->c->traces;

	while (*at && *at != run)
		at = &(*at)->next;
	if (*at)
		*at = run->next;
}

static json_t *run_answer(struct core_trace_run *run)
{
	unsigned cut;

	run->rows = trace_merge(run->rows, TRACE_ROWS_MAX, &cut);
	return json_pack("{s:s, s:o, s:o, s:i}", "trace", run->arg, "nodes", run->nodes, "events",
			 run->rows, "cut", (int)(run->cut + cut));
}

static void run_done(struct core_trace_run *run)
{
	struct core *c = run->c;
	struct admin_ticket t = run->ticket;
	json_t *j = run_answer(run);

	run_unlink(run);
	free(run);
	admin_answer(c->admin, t, j);
}

/* ---- edges ---- */

static json_int_t number_of(const json_t *o, const char *key)
{
	json_int_t v = json_integer_value(json_object_get(o, key));

	return v < 0 || v > NUMBER_MAX ? 0 : v;
}

static void edge_rows(struct core_trace_run *run, const char *edge, const struct core_answer *a)
{
	int64_t got = number_of(a->value, "got_ms"), now = number_of(a->value, "now_ms"),
		asked = (int64_t)a->asked_ms, answered = (int64_t)a->answered_ms;
	int64_t ahead = (got - asked + (now - answered)) / 2; /* RFC 5905 8: offset and delay */
	int64_t within = (answered - asked - (now - got)) / 2 + 1;
	json_int_t cut = number_of(a->value, "cut"), reaches;
	const json_t *rows = json_object_get(a->value, "rows"), *row;
	json_t *taken;
	size_t i;

	if (ahead <= within && -ahead <= within) /* no more than what cannot be told */
		ahead = 0;
	json_array_foreach(rows, i, row)
	{
		taken = i < 2 * TRACE_EDGE_ROWS_MAX ? trace_row_take(row, edge, ahead) : NULL;
		if (taken)
			json_array_append_new(run->rows, taken);
	}
	run->cut += cut < 1000000 ? (unsigned)cut : 1000000;
	reaches = number_of(a->value, "reaches_ms");
	json_array_append_new(run->nodes,
			      json_pack("{s:s, s:I, s:I, s:I, s:I, s:I}", "node", edge,
					"reaches_ms", reaches ? reaches - (json_int_t)ahead : 0,
					"records", number_of(a->value, "records"), "overwritten",
					number_of(a->value, "overwritten"), "clock_ahead_ms",
					(json_int_t)ahead, "clock_within_ms", (json_int_t)within));
}

static void edge_missing(struct core_trace_run *run, const char *edge, const char *why)
{
	json_array_append_new(run->nodes, json_pack("{s:s, s:s}", "node", edge, "error", why));
}

static void edge_answered(void *arg, const struct core_answer *a)
{
	struct edge_wait *w = arg;
	struct core_trace_run *run = w->run;
	const char *why = a->why;

	if (a->value && !json_object_get(a->value, "now_ms"))
		why = "its answer is not of the form";
	if (a->value && !why && json_object_get(a->value, "error"))
		why = "it knows no such question";
	if (why)
		edge_missing(run, w->edge, why);
	else
		edge_rows(run, w->edge, a);
	if (!--run->waits)
		run_done(run);
}

/* "s=1f,2a;f=3b" of what may be there. */
static void ask_text(const struct trace_query *q, char *out, size_t n)
{
	uint64_t ids[ASK_FLOWS];
	unsigned i, k, count;
	size_t at = 0;

	for (k = 0; k < 2; k++) {
		count = trace_set_list(k ? &q->flows : &q->streams, ids,
				       k ? ASK_FLOWS : ASK_STREAMS);
		at += (size_t)snprintf(out + at, n - at, "%s=", k ? ";f" : "s");
		for (i = 0; i < count; i++)
			at += (size_t)snprintf(out + at, n - at, "%s%llx", i ? "," : "",
					       (unsigned long long)ids[i]);
	}
}

static void edges_ask(struct core_trace_run *run, const struct trace_query *q)
{
	char text[(ASK_STREAMS + ASK_FLOWS) * 17 + 16];
	struct core *c = run->c;
	unsigned i;

	ask_text(q, text, sizeof(text));
	for (i = 0; i < c->n_edges; i++) {
		struct edge_wait *w = &run->of[i];
		int err;

		*w = (struct edge_wait){run, c->edges[i].name};
		err = core_ask(c->asks, c->edges[i].peer, "trace", text, edge_answered, w);
		if (!err)
			run->waits++;
		else
			edge_missing(run, w->edge,
				     err == -ENOTCONN	  ? "its link is down"
				     : err == -EOPNOTSUPP ? "it is of an older version"
							  : strerror(-err));
	}
}

json_t *core_trace_cmd(void *core, const json_t *req)
{
	const char *arg = json_string_value(json_object_get(req, "arg"));
	struct core *c = core;
	struct trace_query *q;
	struct core_trace_run *run;
	struct core_rows x = {.node = c->cfg->name};
	json_t *j;

	if (!arg || !*arg || strlen(arg) >= sizeof(run->arg))
		return json_pack("{s:s}", "error",
				 "trace: wanted a user, or the id or Call-ID of a call");
	q = calloc(1, sizeof(*q));
	run = calloc(1, sizeof(*run) + c->n_edges * sizeof(run->of[0]));
	if (!q || !run) {
		free(q);
		free(run);
		return json_pack("{s:s}", "error", "trace: out of memory");
	}
	query_fill(c, q, arg);
	snprintf(run->arg, sizeof(run->arg), "%s", arg);
	run->c = c;
	run->rows = x.rows = json_array();
	run->nodes = json_array();
	x.q = q;
	trace_each(row_add, &x);
	json_array_append_new(run->nodes, trace_node(c->cfg->name));
	edges_ask(run, q);
	free(q);
	if (run->waits) {
		run->ticket = admin_later(c->admin);
		run->next = c->traces;
		c->traces = run;
		return NULL;
	}
	j = run_answer(run);
	free(run);
	return j;
}

/* The asks end with the loop's, so that nobody is told: what waits is freed here. */
void core_trace_stop(struct core *c)
{
	struct core_trace_run *run;

	while ((run = c->traces)) {
		c->traces = run->next;
		json_decref(run->rows);
		json_decref(run->nodes);
		free(run);
	}
}
