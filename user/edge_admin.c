/* user/edge_admin.c -- what sallyctl sees of the edge: status, flows, streams, why. In: a request. Out: JSON made on the spot from
 * the modules' own views; nothing is kept. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "user/edge_ask.h"
#include "user/edge_impl.h"
#include "user/keeper.h"
#include "user/version.h"

#define NEXT_HOPS 1024 /* nexthop.h: 1..1023 */

struct list {
	struct edge *e;
	json_t *a;
};

static void link_row(void *arg, struct link_peer *p)
{
	struct list *l = arg;
	uint64_t now = loop_now_ms(l->e->loop);
	char text[ADDR_TEXT_MAX];
	unsigned i = 0;
	int64_t ahead;

	while (strcmp(l->e->cfg->link.cores[i].name, link_peer_name(p)) !=
	       0) /* it was let in by it */
		i++;
	json_array_append_new(
		l->a, json_pack("{s:s,s:s,s:s,s:i,s:i,s:I}", "core", link_peer_name(p), "state",
				"up", "address", addr_text(link_peer_addr(p), text), "pool_idle",
				(int)link_peer_idle(p), "token_keys",
				(int)gate_http_keys_count(l->e->token_keys, i), "up_s",
				(json_int_t)((now - link_peer_up_ms(p)) / 1000)));
	if (link_peer_clock(p, &ahead))
		json_object_set_new(json_array_get(l->a, json_array_size(l->a) - 1),
				    "clock_ahead_s", json_integer(ahead));
}

/* Cores that are up, then the configured ones that are not. */
static json_t *links(struct edge *e)
{
	struct list l = {e, json_array()};
	size_t i, k, up;

	link_edge_each(e->link, link_row, &l);
	up = json_array_size(l.a);
	for (i = 0; i < e->cfg->link.cores_count; i++) {
		const char *name = e->cfg->link.cores[i].name;

		for (k = 0; k < up; k++)
			if (!strcmp(name, json_string_value(
						  json_object_get(json_array_get(l.a, k), "core"))))
				break;
		if (k == up)
			json_array_append_new(
				l.a, json_pack("{s:s,s:s}", "core", name, "state", "down"));
	}
	return l.a;
}

static void ban_row(void *arg, const struct addr *prefix, unsigned len, uint64_t until_ms)
{
	struct list *l = arg;
	uint64_t now = loop_now_ms(l->e->loop);
	char ip[ADDR_TEXT_MAX], text[ADDR_TEXT_MAX + 8];

	snprintf(text, sizeof(text), "%s/%u", addr_ip_text(prefix, ip), len);
	json_array_append_new(
		l->a, json_pack("{s:s,s:I}", "prefix", text, "seconds_left",
				(json_int_t)(until_ms > now ? (until_ms - now) / 1000 : 0)));
}

static json_t *bans(struct edge *e)
{
	const struct ban_stats *s = ban_stats(e->ban);
	struct list l = {e, json_array()};

	ban_each(e->ban, ban_row, &l);
	return json_pack("{s:i,s:I,s:I,s:I,s:I,s:I,s:I,s:I,s:o}", "active", (int)s->active,
			 "points", (json_int_t)s->points, "set", (json_int_t)s->bans, "from_core",
			 (json_int_t)s->from_core, "expired", (json_int_t)s->expired, "exempt",
			 (json_int_t)s->exempt, "full", (json_int_t)s->full, "failed",
			 (json_int_t)s->failed, "list", l.a);
}

static json_t *xdp_reasons(const struct edge *e)
{
	json_t *o = json_object();
	unsigned i;

	for (i = 0; i < maps_reasons(e->maps); i++)
		json_object_set_new(o, maps_reason_name(i),
				    json_integer((json_int_t)maps_reason_count(e->maps, i)));
	return o;
}

static json_t *loop_json(const struct edge *e)
{
	const struct loop_stats *l = loop_stats(e->loop);

	return json_pack("{s:I,s:I,s:I,s:I,s:I,s:I,s:I,s:I}", "rounds", (json_int_t)l->rounds,
			 "cqes", (json_int_t)l->cqes, "stale", (json_int_t)l->stale, "no_recv_buf",
			 (json_int_t)l->no_recv_buf, "recv_errors", (json_int_t)l->recv_errors,
			 "truncated", (json_int_t)l->truncated, "send_errors",
			 (json_int_t)l->send_errors, "accept_errors", (json_int_t)l->accept_errors);
}

static json_t *link_counts(const struct edge *e)
{
	const struct link_stats *l = link_edge_stats(e->link);

	return json_pack(
		"{s:I,s:I,s:I,s:I,s:I,s:I,s:I,s:I,s:I,s:I,s:I,s:I,s:I,s:I,s:I,s:I,s:I,s:I,s:I,s:s,"
		"s:I}",
		"accepted", (json_int_t)l->accepted, "banned", (json_int_t)l->banned, "refused",
		(json_int_t)l->refused, "no_hello", (json_int_t)l->no_hello, "early_bytes",
		(json_int_t)l->early_bytes, "bad_frames", (json_int_t)l->bad_frames, "silent",
		(json_int_t)l->silent, "replaced", (json_int_t)l->replaced, "data_lost",
		(json_int_t)l->data_lost, "pool_empty", (json_int_t)l->pool_empty, "opens",
		(json_int_t)l->opens, "recycled", (json_int_t)l->recycled, "trimmed",
		(json_int_t)l->trimmed, "ends_closed", (json_int_t)l->ends_closed, "ends_full",
		(json_int_t)l->ends_full, "ends_worn", (json_int_t)l->ends_worn, "ends_late",
		(json_int_t)l->ends_late, "ends_bad", (json_int_t)l->ends_bad, "ends_unknown",
		(json_int_t)l->ends_unknown, "last_error", l->error, "last_error_s",
		(json_int_t)(l->error[0] ? (loop_now_ms(e->loop) - l->error_ms) / 1000 : 0));
}

static json_t *next_hops(const struct edge *e)
{
	json_t *a = json_array();
	char text[ADDR_TEXT_MAX];
	struct addr gateway;
	uint32_t i, ifindex;
	const char *state;

	for (i = 1; i < NEXT_HOPS && !e->user; i++) /* sockets leave routes to the kernel */
		if (nexthop_show(e->nexthop, i, &gateway, &ifindex, &state))
			json_array_append_new(a,
					      json_pack("{s:i,s:s,s:i,s:s}", "index", (int)i,
							"gateway", addr_ip_text(&gateway, text),
							"ifindex", (int)ifindex, "state", state));
	return a;
}

json_t *edge_status(struct edge *e)
{
	return json_pack("{s:s,s:s,s:s,s:i,s:I,s:s,s:o,s:o,s:o,s:o,s:o,s:o,s:o,s:o,s:o,s:o,s:o,s:o,"
			 "s:o,s:o*,s:o}",
			 "role", "edge", "name", e->cfg->name, "version", SALLYPORT_VERSION, "pid",
			 (int)getpid(), "uptime_s",
			 (json_int_t)((loop_now_ms(e->loop) - e->start_ms) / 1000), "media_rung",
			 media_edge_rung(e->media), "media_pairs", media_edge_rungs(e->media),
			 "links", links(e), "streams", streams_status(e->streams), "media",
			 media_edge_status(e->media), "bans", bans(e), "xdp", xdp_reasons(e),
			 "loop", loop_json(e), "link", link_counts(e), "next_hops", next_hops(e),
			 "dials", edge_dials_status(e->dials), "kernel_tls", ktls_show(&e->ktls),
			 "certificates", edge_certificates(e), "node_reports",
			 nodes_counts(e->nodes), "admin_http", admin_http_show(e->admin_http),
			 "drain", edge_drain_show(e));
}

static json_t *cmd_status(void *arg, const json_t *req)
{
	(void)req;
	return edge_status(arg);
}

static json_t *cmd_nodes(void *arg, const json_t *req)
{
	(void)req;
	return nodes_show(((struct edge *)arg)->nodes, false);
}

static json_t *cmd_flows(void *arg, const json_t *req)
{
	(void)req;
	return media_edge_show(((struct edge *)arg)->media);
}

static json_t *cmd_streams(void *arg, const json_t *req)
{
	(void)req;
	return streams_show(((struct edge *)arg)->streams);
}

static json_t *cmd_why(void *arg, const json_t *req)
{
	const char *text = json_string_value(json_object_get(req, "arg"));
	struct edge *e = arg;
	uint64_t id;
	char *end = NULL;
	json_t *j;

	id = text && *text ? strtoull(text, &end, 16) : 0;
	if (!end || *end)
		return json_pack("{s:s}", "error",
				 "why: wanted the id of a stream or flow, in hex");
	j = streams_why(e->streams, id);
	if (!j)
		j = media_edge_why(e->media, id);
	if (j)
		return j;
	return json_pack("{s:s,s:s}", "error", "why: no stream or flow has this id on the edge",
			 "id", text);
}

static json_t *cmd_upgrade(void *arg, const json_t *req)
{
	(void)req;
	return handover_upgrade(&((struct edge *)arg)->turn);
}

int edge_admin_start(struct edge *e, char *why, size_t why_n)
{
	static const struct admin_cmd cmds[] = {
		{"status", cmd_status},	   {"flows", cmd_flows},     {"streams", cmd_streams},
		{"why", cmd_why},	   {"upgrade", cmd_upgrade}, {"nodes", cmd_nodes},
		{"drain", edge_drain_cmd}, {"invite", edge_invite},  {"trace", edge_trace_cmd},
		{"tap", edge_tap_cmd},
	};
	int fd = keeper_fd("admin"), err;

	if (fd < 0) {
		snprintf(why, why_n, "admin socket: the keeper gave none");
		return -ENOENT;
	}
	err = admin_new(e->loop, fd, cmds, sizeof(cmds) / sizeof(cmds[0]), e, &e->admin);
	e->turn.admin = e->admin;
	if (err)
		snprintf(why, why_n, "admin socket: %s", strerror(-err));
	return err;
}
