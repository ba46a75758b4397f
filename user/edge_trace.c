/* user/edge_trace.c -- the edge's part of "sallyctl trace": by streams and flows for a core, by stream, flow or client address for its own
 * operator. See edge_ask.h, user/trace.h. In: the ring. Out: JSON. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "bpf/abi.h"
#include "user/edge_ask.h"
#include "user/trace_query.h"
#include "user/trace_show.h"

struct edge_rows {
	struct trace_query *q;
	json_t *rows;
	unsigned cut;
	size_t n; /* of address */
	char address[ADDR_TEXT_MAX + 8];
};

/* Oldest first: beyond the limit the oldest goes. */
static void row_add(void *arg, const struct trace_record *r)
{
	struct edge_rows *x = arg;

	if (!trace_wanted(x->q, r))
		return;
	json_array_append_new(x->rows, trace_row(r, NULL));
	if (json_array_size(x->rows) >
	    2 * TRACE_EDGE_ROWS_MAX) { /* not one by one: each moves all */
		json_t *half = json_array();
		size_t i;

		for (i = TRACE_EDGE_ROWS_MAX; i < json_array_size(x->rows); i++)
			json_array_append(half, json_array_get(x->rows, i));
		json_decref(x->rows);
		x->rows = half;
		x->cut += TRACE_EDGE_ROWS_MAX;
	}
}

static json_t *answer(struct edge *e, struct trace_query *q)
{
	struct edge_rows x = {.q = q, .rows = json_array()};
	json_t *j = trace_node(e->cfg->name);
	unsigned cut = 0;

	trace_each(row_add, &x);
	x.rows = trace_merge(x.rows, TRACE_EDGE_ROWS_MAX, &cut);
	json_object_set_new(j, "rows", x.rows);
	json_object_set_new(j, "cut", json_integer((json_int_t)x.cut + cut));
	return j;
}

/* "s=1f,2a;f=3b" */
static void ids_read(struct trace_query *q, const char *arg)
{
	struct trace_set *set = NULL;
	char word[20];
	uint64_t id;
	size_t n;

	while (*arg) {
		if (arg[1] == '=' && (arg[0] == 's' || arg[0] == 'f')) {
			set = arg[0] == 's' ? &q->streams : &q->flows;
			arg += 2;
		}
		n = strcspn(arg, ",;");
		if (set && n && n < sizeof(word)) {
			memcpy(word, arg, n);
			word[n] = 0;
			if (trace_id_parse(word, &id))
				trace_set_add(q, set, id);
		}
		arg += n + (arg[n] != 0);
	}
}

json_t *edge_trace_ask(struct edge *e, const char *arg)
{
	struct trace_query *q = calloc(1, sizeof(*q));
	json_t *j = NULL;

	if (q) {
		ids_read(q, arg);
		j = answer(e, q);
	}
	free(q);
	return j ? j : json_pack("{s:s}", "error", "out of memory");
}

/* Streams that came from the address: "client 192.0.2.1:4711 ..." */
static void from_address(void *arg, const struct trace_record *r)
{
	struct edge_rows *x = arg;

	if (r->stream && !strncmp(r->text, x->address, x->n) &&
	    (r->text[x->n] == ':' || r->text[x->n] == ' ' || !r->text[x->n]))
		trace_set_add(x->q, &x->q->streams, r->stream);
}

json_t *edge_trace_cmd(void *edge, const json_t *req)
{
	const char *text = json_string_value(json_object_get(req, "arg"));
	struct trace_query *q = calloc(1, sizeof(*q));
	struct edge_rows x = {.q = q};
	struct edge *e = edge;
	char ip[ADDR_TEXT_MAX];
	struct addr a;
	uint64_t id;
	json_t *j;

	if (!q || !text) {
		free(q);
		return json_pack("{s:s}", "error",
				 "trace: wanted a stream, flow or client address");
	}
	if (!addr_parse(span_str(text), &a)) {
		addr_ip_text(&a, ip);
		x.n = (size_t)snprintf(x.address, sizeof(x.address), "client %s%s%s",
				       addr_is_v4(&a) ? "" : "[", ip, addr_is_v4(&a) ? "" : "]");
		trace_each(from_address, &x);
	} else if (trace_id_parse(text, &id)) {
		trace_set_add(q, &q->streams, id);
		trace_set_add(q, &q->flows, id);
	} else {
		free(q);
		return json_pack(
			"{s:s}", "error",
			"trace: wanted the id of a stream or flow, or a client's address: which "
			"user is who is known on the core only");
	}
	j = answer(e, q);
	free(q);
	return json_pack("{s:s, s:[o], s:O}", "trace", text, "nodes", j, "events",
			 json_object_get(j, "rows"));
}

json_t *edge_tap_cmd(void *edge, const json_t *req)
{
	const char *arg = json_string_value(json_object_get(req, "arg"));
	struct edge *e = edge;
	unsigned long long flow;
	char ring[128], lost[136];
	unsigned seconds = 0;
	int n = arg ? sscanf(arg, "%16llx %3u", &flow, &seconds) : 0, err = 0;

	if (n < 1)
		return json_pack("{s:s}", "error", "tap: wanted a flow and seconds");
	if (n == 2)
		err = media_edge_tap(e->media, flow, seconds, loop_now_ms(e->loop));
	if (err)
		return json_pack("{s:s}", "error",
				 err == -ENOENT	      ? "tap: no such flow"
				 : err == -EOPNOTSUPP ? "tap: the flow is not on the XDP rung"
				 : err == -EBUSY      ? "tap: too many flows are tapped already"
						      : strerror(-err));
	snprintf(ring, sizeof(ring), "/sys/fs/bpf/sallyport/%.40s/v%d/tap", e->cfg->instance,
		 SP_ABI);
	snprintf(lost, sizeof(lost), "%s_lost", ring);
	return json_pack("{s:s, s:s}", "ring", ring, "lost", lost);
}
