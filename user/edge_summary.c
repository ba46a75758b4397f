/* user/edge_summary.c -- the edge in a page of numbers, for its admin port, its cores and sallyctl. See summary.h, nodes.h.
 *
 * In: counters of the worker's parts. Out: JSON. Owner: struct edge has the walk's last result, the nodes and the port. */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "user/edge_impl.h"
#include "user/keeper.h"
#include "user/metrics.h"

static json_t *links_of(const struct edge *e)
{
	json_t *list = json_array();
	unsigned i;

	for (i = 0; i < e->cfg->link.cores_count; i++) {
		const char *name = e->cfg->link.cores[i].name;
		const struct link_peer *p = link_edge_find(e->link, name);

		json_array_append_new(
			list,
			json_pack(
				"{s:s, s:s, s:I, s:i}", "peer", name, "state", p ? "up" : "down",
				"up_s",
				p ? (json_int_t)((loop_now_ms(e->loop) - link_peer_up_ms(p)) / 1000)
				  : (json_int_t)0,
				"pool_idle", p ? (int)link_peer_idle(p) : 0));
	}
	return list;
}

static json_t *refusals_of(const struct edge *e, bool zeros)
{
	json_t *o = json_object();
	const char *name;
	char key[48];
	uint64_t n;
	unsigned i;

	for (i = GATE_OK + 1; i < GATE_REASONS; i++)
		summary_count(o, gate_reason_name(i), streams_refused(e->streams, i), zeros);
	for (i = 0; n = media_edge_refused(e->media, i, &name), name; i++) {
		snprintf(key, sizeof(key), "media-%s", name);
		summary_count(o, key, n, zeros);
	}
	return o;
}

json_t *edge_certificates(const struct edge *e)
{
	static const char *const what[STREAM_SERVICES] = {
		[STREAM_SIP] = "sip", [STREAM_HTTPS] = "https", [STREAM_XMPP] = "xmpp"};
	json_t *list = json_array();
	unsigned i;

	for (i = 0; i < STREAM_SERVICES; i++)
		if (what[i])
			summary_certificate(list, what[i], e->service_tls[i]);
	summary_certificate(list, "link", e->link_tls);
	return list;
}

/* What is looked at one by one. */
static void walk(struct edge *e)
{
	uint64_t now = loop_now_ms(e->loop);

	if (!summary_walk_due(&e->walk, now))
		return;
	e->sum_streams = (struct summary_streams){};
	streams_sum(e->streams, &e->sum_streams);
	media_edge_sum(e->media, &e->sum_flows);
	e->walk.at_ms = now;
	e->walk.n = e->sum_streams.admitted + media_edge_count(e->media);
}

static json_t *edge_summary(void *arg, bool zeros)
{
	struct edge *e = arg;
	const struct ban_stats *b = ban_stats(e->ban);
	json_t *o = summary_new("edge", e->cfg->name, loop_now_ms(e->loop) - e->start_ms);
	unsigned now[STREAM_SERVICES], total = 0, i;

	walk(e);
	for (i = 0; i < STREAM_SERVICES; i++)
		total += now[i] = streams_now(e->streams, i);
	summary_set_flows(o, &e->sum_flows, true);
	json_object_set_new(o, "streams",
			    json_pack("{s:i, s:i, s:i, s:i, s:i, s:i}", "total", (int)total,
				      "admitted", (int)e->sum_streams.admitted, "sip",
				      (int)now[STREAM_SIP], "https", (int)now[STREAM_HTTPS], "xmpp",
				      (int)now[STREAM_XMPP], "federation",
				      (int)now[STREAM_XMPP_SERVER]));
	summary_set_streams(o, &e->sum_streams);
	json_object_set_new(o, "refusals", refusals_of(e, zeros));
	json_object_set_new(o, "bans",
			    json_pack("{s:i, s:I}", "active", (int)b->active, "total",
				      (json_int_t)(b->bans + b->from_core)));
	json_object_set_new(o, "certificates", edge_certificates(e));
	json_object_set_new(o, "links", links_of(e));
	summary_set_drain(o, e->drain.d.on ? edge_drain_show(e) : NULL);
	summary_set_process(o);
	return o;
}

static void each_peer(void *arg, void (*fn)(void *fn_arg, struct link_peer *p), void *fn_arg)
{
	link_edge_each(((struct edge *)arg)->link, fn, fn_arg);
}

static json_t *nodes_json(void *arg)
{
	return nodes_show(((struct edge *)arg)->nodes, false);
}

char *edge_metrics(void *arg, bool openmetrics, size_t *n)
{
	struct edge *e = arg;
	json_t *nodes = nodes_show(e->nodes, true), *status = edge_status(e);
	char *text = metrics_text(nodes, status, openmetrics, n);

	json_decref(nodes);
	json_decref(status);
	return text;
}

int edge_summary_start(struct edge *e, char *why, size_t why_n)
{
	struct nodes_params np = {.loop = e->loop,
				  .peer_role = "core",
				  .own = edge_summary,
				  .each_peer = each_peer,
				  .arg = e};
	struct admin_http_params hp = {.loop = e->loop,
				       .listen_fd = keeper_fd("listen.admin_http.0"),
				       .nodes = nodes_json,
				       .metrics = edge_metrics,
				       .arg = e};
	int err;

	summary_process_open();
	err = nodes_new(&np, &e->nodes);
	if (!err && hp.listen_fd >= 0)
		err = admin_http_new(&hp, &e->admin_http);
	if (err)
		snprintf(why, why_n, "admin_http: %s", strerror(-err));
	return err;
}
