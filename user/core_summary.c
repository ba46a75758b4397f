/* user/core_summary.c -- the core in a page of numbers, for its admin port, its edges and sallyctl. See summary.h, nodes.h.
 *
 * In: counters of the worker's parts. Out: JSON. Owner: struct core has the walk's last result, the nodes and the port. */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "user/core_federation.h"
#include "user/core_https_int.h"
#include "user/core_int.h"
#include "user/core_xmpp.h"
#include "user/keeper.h"
#include "user/metrics.h"

static json_t *links_of(const struct core *c)
{
	json_t *list = json_array();
	unsigned i;

	for (i = 0; i < c->n_edges; i++) {
		const struct link_peer *p = c->edges[i].peer;

		json_array_append_new(
			list,
			json_pack(
				"{s:s, s:s, s:I, s:i}", "peer", c->edges[i].name, "state",
				p ? "up" : "down", "up_s",
				p ? (json_int_t)((loop_now_ms(c->loop) - link_peer_up_ms(p)) / 1000)
				  : (json_int_t)0,
				"pool_idle", p ? (int)link_peer_idle(p) : 0));
	}
	return list;
}

/* What HTTPS refuses is what a client could have had otherwise. */
static void refusals_https(const struct core *c, json_t *o, bool zeros)
{
	static const enum core_http_outcome refused[] = {
		CORE_HTTP_MALFORMED, CORE_HTTP_NO_SERVICE,   CORE_HTTP_UNAUTHORISED,
		CORE_HTTP_DENIED,    CORE_HTTP_TOO_MANY,     CORE_HTTP_LOGON_FAILED,
		CORE_HTTP_BUSY,	     CORE_HTTP_SERVER_FAILED};
	const struct core_http_stats *s = c->https ? core_http_stats(c->https->http) : NULL;
	char key[48];
	unsigned i;
	char *p;

	for (i = 0; s && i < sizeof(refused) / sizeof(refused[0]); i++) {
		snprintf(key, sizeof(key), "https-%s", core_http_outcome_name(refused[i]));
		while ((p = strchr(key, '_')))
			*p = '-';
		summary_count(o, key, s->outcomes[refused[i]], zeros);
	}
}

static json_t *refusals_of(const struct core *c, bool zeros)
{
	const struct engine_stats *s = engine_stats(c->engine);
	json_t *o = json_object();
	const char *name;
	uint64_t n;
	unsigned i;

	summary_count(o, "registers", s->registers_refused, zeros);
	summary_count(o, "identity", s->refused_identity, zeros);
	summary_count(o, "route", s->refused_route, zeros);
	summary_count(o, "plain-rtp", s->refused_plain_rtp, zeros);
	summary_count(o, "token", s->refused_token, zeros);
	summary_count(o, "full", s->refused_full, zeros);
	summary_count(o, "draining", s->refused_draining, zeros);
	refusals_https(c, o, zeros);
	for (i = 0; n = core_xmpp_refused(c->xmpp, i, &name), name; i++)
		summary_count(o, name, n, zeros);
	for (i = 0; n = core_federation_refused(c->federation, i, &name), name; i++)
		summary_count(o, name, n, zeros);
	return o;
}

json_t *core_certificates(const struct core *c)
{
	json_t *list = json_array();

	if (c->tls_inside_server)
		summary_certificate(list, "sip", c->tls_inside_server);
	summary_certificate(list, "link", c->tls_link);
	return list;
}

static void stream_sum(void *arg, struct core_stream *s)
{
	struct summary_streams *out = arg;
	const char *why;

	if (!s->admitted)
		return;
	out->admitted++;
	out->rungs[conn_rung(s->conn, &why)]++;
}

/* What is looked at one by one. */
static void walk(struct core *c)
{
	uint64_t now = loop_now_ms(c->loop);

	if (!summary_walk_due(&c->walk, now))
		return;
	c->sum_streams = (struct summary_streams){};
	c->sum_flows = (struct summary_flows){};
	core_streams_each(c->streams, stream_sum, &c->sum_streams);
	if (c->https)
		core_http_sum(c->https->http, &c->sum_streams);
	core_xmpp_sum(c->xmpp, &c->sum_streams);
	core_federation_sum(c->federation, &c->sum_streams);
	media_core_sum(c->media, &c->sum_flows);
	media_pass_sum(c->pass, &c->sum_flows);
	c->walk.at_ms = now;
	c->walk.n = c->sum_streams.admitted + c->sum_flows.terminated + c->sum_flows.xdp +
		    c->sum_flows.tc;
}

static json_t *streams_of(const struct core *c)
{
	unsigned sip = core_streams_n(c->streams),
		 https = c->https ? core_http_stats(c->https->http)->streams : 0,
		 xmpp = core_xmpp_count(c->xmpp), federation = core_federation_count(c->federation);

	return json_pack("{s:i, s:i, s:i, s:i, s:i, s:i}", "total",
			 (int)(sip + https + xmpp + federation), "admitted",
			 (int)c->sum_streams.admitted, "sip", (int)sip, "https", (int)https, "xmpp",
			 (int)xmpp, "federation", (int)federation);
}

void core_peaks(struct core *c)
{
	const struct engine_stats *s = engine_stats(c->engine);

	if (s->bindings > c->peaks->registrations)
		c->peaks->registrations = s->bindings;
	if (s->calls > c->peaks->calls)
		c->peaks->calls = s->calls;
}

static json_t *core_summary(void *arg, bool zeros)
{
	struct core *c = arg;
	const struct engine_stats *s = engine_stats(c->engine);
	json_t *o = summary_new("core", c->cfg->name, loop_now_ms(c->loop) - c->started_ms);

	walk(c);
	core_peaks(c);
	json_object_set_new(o, "registrations",
			    json_pack("{s:I, s:I}", "now", (json_int_t)s->bindings, "peak",
				      (json_int_t)c->peaks->registrations));
	json_object_set_new(o, "calls",
			    json_pack("{s:I, s:I, s:I}", "now", (json_int_t)s->calls, "peak",
				      (json_int_t)c->peaks->calls, "total",
				      (json_int_t)s->calls_total));
	summary_set_flows(o, &c->sum_flows, false);
	json_object_set_new(o, "streams", streams_of(c));
	summary_set_streams(o, &c->sum_streams);
	json_object_set_new(o, "refusals", refusals_of(c, zeros));
	json_object_set_new(o, "certificates", core_certificates(c));
	json_object_set_new(o, "links", links_of(c));
	summary_set_drain(o, c->drain.d.on ? core_drain_show(c) : NULL);
	summary_set_process(o);
	return o;
}

static void each_peer(void *arg, void (*fn)(void *fn_arg, struct link_peer *p), void *fn_arg)
{
	link_core_each(((struct core *)arg)->link, fn, fn_arg);
}

static json_t *nodes_json(void *arg)
{
	return nodes_show(((struct core *)arg)->nodes, false);
}

char *core_metrics(void *arg, bool openmetrics, size_t *n)
{
	struct core *c = arg;
	json_t *nodes = nodes_show(c->nodes, true), *status = core_status(c);
	char *text = metrics_text(nodes, status, openmetrics, n);

	json_decref(nodes);
	json_decref(status);
	return text;
}

int core_summary_start(struct core *c, char *why, size_t why_n)
{
	struct nodes_params np = {.loop = c->loop,
				  .peer_role = "edge",
				  .own = core_summary,
				  .each_peer = each_peer,
				  .arg = c};
	struct admin_http_params hp = {.loop = c->loop,
				       .listen_fd = keeper_fd("listen.admin_http.0"),
				       .nodes = nodes_json,
				       .metrics = core_metrics,
				       .arg = c};
	int err;

	summary_process_open();
	err = nodes_new(&np, &c->nodes);
	if (!err && hp.listen_fd >= 0)
		err = admin_http_new(&hp, &c->admin_http);
	if (err)
		snprintf(why, why_n, "admin_http: %s", strerror(-err));
	return err;
}
