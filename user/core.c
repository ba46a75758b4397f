/* user/core.c -- the core's worker: carries events to the SIP engine and its actions to everything else. See core.h. */
#include "user/core.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "user/cdr.h"
#include "user/core_ask.h"
#include "user/core_cdr.h"
#include "user/core_chat.h"
#include "user/core_int.h"
#include "user/core_trace.h"
#include "user/keeper.h"
#include "user/log.h"
#include "user/upstream.h"
#include "user/wall.h"

#define CORE_STREAMS_MAX 20000
#define CORE_TELL_MS \
	2 /* Admit and Revoke wait for others; the edge holds what comes before an Admit */

/* ---- actions ------------------------------------------------------------------------------------------------------------ */

struct core_edge *core_edge_find(struct core *c, const char *name)
{
	unsigned i;

	for (i = 0; i < c->n_edges; i++)
		if (!strcmp(c->edges[i].name, name))
			return &c->edges[i];
	return NULL;
}

void core_tell_edge(struct core *c, const char *edge, uint64_t edge_stream,
		    const Sallyport__Link *m, const char *what)
{
	struct core_edge *e = core_edge_find(c, edge);
	int err = e && e->peer ? link_send_later(e->peer, m, CORE_TELL_MS) : -ENOTCONN;

	if (err)
		log_event(LOG_L_WARN, "link-send", "edge=%s edge_stream=%llx what=%s error=\"%s\"",
			  edge, (unsigned long long)edge_stream, what, strerror(-err));
}

void core_tell_admitted(struct core *c, struct core_stream *s)
{
	Sallyport__Link m = SALLYPORT__LINK__INIT;
	Sallyport__Admit admit = SALLYPORT__ADMIT__INIT;

	admit.stream = s->edge_stream;
	m.m_case = SALLYPORT__LINK__M_ADMIT;
	m.admit = &admit;
	core_tell_edge(c, s->edge, s->edge_stream, &m, "admit");
}

static void core_admit(struct core *c, uint64_t id)
{
	struct core_stream *s = core_stream_find(c->streams, id);

	if (!s)
		return;
	s->admitted = true;
	core_trace_stream(s, TRACE_STREAM_ADMITTED, "");
	core_tell_admitted(c, s);
	core_lodge(c, s);
}

static void core_revoke(struct core *c, uint64_t id, const char *reason)
{
	struct core_stream *s = core_stream_find(c->streams, id);
	Sallyport__Link m = SALLYPORT__LINK__INIT;
	Sallyport__Revoke revoke = SALLYPORT__REVOKE__INIT;

	if (!s)
		return;
	s->admitted = false;
	core_trace_stream(s, TRACE_STREAM_REVOKED, reason);
	core_stream_unlodge(s);
	revoke.stream = s->edge_stream;
	revoke.reason = (char *)reason;
	m.m_case = SALLYPORT__LINK__M_REVOKE;
	m.revoke = &revoke;
	core_tell_edge(c, s->edge, s->edge_stream, &m, "revoke");
}

/* Whether a failed send tells that its target is away, so that all that waits for it should fail now. A full queue or socket, or one
 * datagram too large, tells only of this message: it is lost, and repeated or timed out by its transaction. The same goes for answers,
 * which go to where their request came from; and a stream that is over is told by inside's ops.failed(). */
static bool core_target_away(const struct engine_action *a, int err)
{
	return !a->answer && err != -EAGAIN && err != -ENOBUFS && err != -EMSGSIZE &&
	       err != -ENOMEM && err != -EPIPE;
}

static void core_send_inside(struct core *c, const struct engine_action *a)
{
	struct inside_out o = {.server = a->server,
			       .transport = a->transport,
			       .to = a->to,
			       .conn = a->inside_conn,
			       .answer = a->answer,
			       .data = a->data};
	int err = inside_send(c->inside, &o);
	char to[ADDR_TEXT_MAX];

	if (!err)
		return;
	c->inside_errors++;
	log_event(LOG_L_WARN, "inside-send", "server=%s address=%s error=\"%s\"",
		  c->cfg->call_servers[a->server].name,
		  a->to.port ? addr_text(&a->to, to) : "unknown", strerror(-err));
	if (core_target_away(a, err) && c->n_failed < CORE_FAILED_MAX)
		c->failed[c->n_failed++] =
			(struct core_failed){.server = a->server, .to = a->to, .err = err};
}

static void core_log_action(struct core *c, const struct engine_action *a)
{
	core_trace_log(c, a);
	log_event((enum log_level)a->level, a->event, "%s", a->text);
}

static void core_close_stream(struct core *c, const struct engine_action *a)
{
	struct core_stream *s = core_stream_find(c->streams, a->stream);

	if (s) /* not from here: the stream may be the one whose message is being handled */
		core_stream_doom(s, a->text);
}

static void core_action(struct core *c, const struct engine_action *a, uint64_t now)
{
	switch (a->kind) {
	case ENGINE_SEND_STREAM:
		core_trace_client(c, a->stream, TRACE_TO_CLIENT, a->data);
		core_stream_send(c->streams, a->stream, a->data);
		break;
	case ENGINE_SEND_INSIDE:
		core_trace_inside(c, a->server, TRACE_TO_INSIDE, a->data);
		core_send_inside(c, a);
		break;
	case ENGINE_ADMIT:
		core_admit(c, a->stream);
		break;
	case ENGINE_REVOKE:
		core_revoke(c, a->stream, a->text);
		break;
	case ENGINE_CLOSE_STREAM:
		core_close_stream(c, a);
		break;
	case ENGINE_MEDIUM_OPEN:
	case ENGINE_MEDIUM_SET:
	case ENGINE_MEDIUM_CLOSE:
		core_media_act(c, a, now);
		break;
	case ENGINE_KEEP:
		keep_put(c->keep, a->record, a->id, a->data); /* counts what it refuses */
		break;
	case ENGINE_FORGET:
		keep_del(c->keep, a->record, a->id);
		break;
	case ENGINE_CALL:
		core_trace_call(c, a);
		core_cdr(c, a);
		break;
	case ENGINE_LOG:
		core_log_action(c, a);
		break;
	}
}

static void core_tick(void *arg);

/* Tell the engine of one target that could not be reached while actions were carried out. */
static bool core_tell_failed(struct core *c, uint64_t now)
{
	struct core_failed f;

	if (!c->n_failed)
		return false;
	f = c->failed[--c->n_failed];
	engine_inside_failed(c->engine, f.server, &f.to,
			     f.err == -ECONNREFUSED ? ENGINE_REFUSED : ENGINE_UNREACHABLE,
			     f.err == -ENOENT ? "no address is known" : strerror(-f.err), now);
	return true;
}

/* Carry out what the engine wants. Carrying out may give the engine news (a medium that fails at once), so the outermost call
 * goes on until nothing is left; calls from within only leave their news. */
void core_pump(struct core *c)
{
	uint64_t now = loop_now_ms(c->loop), due;
	struct engine_action a = {};

	if (c->pumping)
		return;
	c->pumping = true;
	do {
		while (engine_next_action(c->engine, &a))
			core_action(c, &a, now);
		explicit_bzero(&a.set, sizeof(a.set));
	} while (core_tell_failed(c, now));
	c->pumping = false;
	core_peaks(c);
	due = engine_next_due(c->engine);
	if (due == UINT64_MAX)
		loop_timer_cancel(c->loop, &c->timer);
	else
		loop_timer_set(c->loop, &c->timer, due > now ? due - now : 0);
}

static void core_tick(void *arg)
{
	struct core *c = arg;

	engine_tick(c->engine, loop_now_ms(c->loop));
	core_pump(c);
}

/* ---- events --------------------------------------------------------------------------------------------------------------- */

static void core_on_stream_message(void *arg, struct core_stream *s, const struct sip_msg *m)
{
	struct core *c = arg;

	core_trace_client(c, s->id, TRACE_FROM_CLIENT, m->whole);
	engine_stream_recv(c->engine, s->id, m, loop_now_ms(c->loop));
	core_pump(c);
}

static void core_on_stream_closed(void *arg, struct core_stream *s)
{
	struct core *c = arg;

	engine_stream_closed(c->engine, s->id, loop_now_ms(c->loop));
	core_pump(c);
}

static void core_on_stream_climbed(void *arg, struct core_stream *s)
{
	core_trace_rung(s);
	core_lodge(arg, s);
}

static void core_on_inside_message(void *arg, const struct engine_inside_src *src,
				   const struct sip_msg *m)
{
	struct core *c = arg;

	core_trace_inside(c, src->server, TRACE_FROM_INSIDE, m->whole);
	engine_inside_recv(c->engine, src, m, loop_now_ms(c->loop));
	core_pump(c);
}

static void core_on_inside_failed(void *arg, unsigned server, const struct addr *to,
				  enum engine_failure how, const char *why)
{
	struct core *c = arg;

	engine_inside_failed(c->engine, server, to, how, why, loop_now_ms(c->loop));
	core_pump(c);
}

static void core_on_inside_targets(void *arg, unsigned server, const struct engine_target *t,
				   unsigned n)
{
	struct core *c = arg;

	engine_targets(c->engine, server, t, n, loop_now_ms(c->loop));
	if (c->inside) /* at start core_run() does it */
		core_pump(c);
}

static void core_on_link_up(void *arg, struct link_peer *p, const Sallyport__Link *hello)
{
	struct core *c = arg;
	struct core_edge *e = core_edge_find(c, link_peer_name(p));

	if (!e || hello->m_case != SALLYPORT__LINK__M_HELLO_ACK)
		return;
	e->peer = p;
	snprintf(e->sip_host, sizeof(e->sip_host), "%s", hello->hello_ack->sip_host);
	e->sip_port = (uint16_t)hello->hello_ack->sip_port;
	snprintf(e->https_host, sizeof(e->https_host), "%s", hello->hello_ack->https_host);
	e->https_port = (uint16_t)hello->hello_ack->https_port;
	snprintf(e->xmpp_host, sizeof(e->xmpp_host), "%s", hello->hello_ack->xmpp_host);
	e->xmpp_port = (uint16_t)hello->hello_ack->xmpp_port;
	log_event(LOG_L_INFO, "link-up", "edge=%s sip=%s:%u", e->name, e->sip_host, e->sip_port);
	core_https_link_up(c, e);
	core_lodge_link_up(c, e);
	media_core_link_up(c->media, p);
	media_pass_link_up(c->pass, p);
	core_drain_up(c, e);
}

static void core_on_link_down(void *arg, struct link_peer *p, const char *why)
{
	struct core *c = arg;
	struct core_edge *e = core_edge_find(c, link_peer_name(p));

	log_event(LOG_L_WARN, "link-down", "edge=%s reason=\"%s\"", link_peer_name(p),
		  why ? why : "");
	media_core_link_down(c->media, p);
	media_pass_link_down(c->pass, p);
	core_asks_down(c->asks, p);
	if (e && e->peer == p)
		e->peer = NULL;
	core_drain_down(c);
}

static void core_on_link_message(void *arg, struct link_peer *p, const Sallyport__Link *m)
{
	struct core *c = arg;

	if (nodes_message(c->nodes, p, m) || core_chat_message(c, link_peer_name(p), m) ||
	    core_drain_message(c, p, m) || core_asks_message(c->asks, p, m))
		return;
	if (!media_pass_message(c->pass, p, m))
		media_core_message(c->media, p, m);
	core_pump(c);
}

static void core_open_sip(struct core *c, struct core_edge *e, struct link_data *d,
			  const Sallyport__Open *o)
{
	struct engine_stream es = {};
	struct core_stream *s;
	char peer[ADDR_TEXT_MAX];

	if (core_stream_open(c->streams, e->name, d, o, &s))
		return;
	core_trace_stream_open(s);
	es = (struct engine_stream){.id = s->id,
				    .client = s->client,
				    .edge = e->name,
				    .edge_host = e->sip_host,
				    .edge_port = e->sip_port};
	log_event(LOG_L_INFO, "stream-open", "stream=%llx edge=%s client=%s tls=\"%s\"",
		  (unsigned long long)s->id, e->name, addr_text(&s->client, peer), s->tls);
	if (engine_stream_open(c->engine, &es)) {
		core_stream_close(s, "engine is full");
		return;
	}
	core_stream_start(s);
}

static void core_on_open(void *arg, struct link_peer *p, struct link_data *d,
			 const Sallyport__Open *o)
{
	struct core *c = arg;
	struct core_edge *e = core_edge_find(c, link_peer_name(p));

	if (!e)
		link_core_end(d, false);
	else if (!strcmp(o->service, "https"))
		core_https_open(c, e, d, o);
	else if (!core_chat_open(c, e->name, d, o))
		core_open_sip(c, e, d, o); /* refuses what is not its service */
}

static unsigned core_live_flows(void *arg, const char *edge, uint64_t *ids, unsigned max)
{
	struct core *c = arg;
	unsigned n = media_core_live(c->media, edge, ids, max);

	return n + media_pass_live(c->pass, edge, ids + n, max - n);
}

/* ---- start -------------------------------------------------------------------------------------------------------------- */

static const struct core_stream_ops core_stream_callbacks = {
	core_on_stream_message, core_on_stream_closed, core_on_stream_climbed};
static const struct inside_ops core_inside_callbacks = {
	core_on_inside_message, core_on_inside_failed, core_on_inside_targets};
static const struct link_ops core_link_callbacks = {core_on_link_up, core_on_link_down,
						    core_on_link_message, core_on_open};

static int core_make_tls(struct core *c, char *why, size_t why_n)
{
	struct tls_params p = {.tls13_only = true};
	int err;

	ktls_probe(&c->ktls);
	ktls_log(&c->ktls);
	err = ktls_policy("link.ktls", c->cfg->link.ktls, &c->ktls, &c->ktls_link, why, why_n);
	if (err)
		return err;
	p.kernel = c->ktls_link != KTLS_MODE_OFF ? &c->ktls : NULL;
	err = core_tls_ctx(&p, "link", &c->tls_link, why, why_n);
	if (err || !c->cfg->sip.tls.certificate)
		return err;
	p = (struct tls_params){0};
	err = core_tls_ctx(&p, "sip", &c->tls_inside_client, why, why_n);
	if (err)
		return err;
	p = (struct tls_params){.server = true, .tickets = true};
	return core_tls_ctx(&p, "sip", &c->tls_inside_server, why, why_n);
}

static int core_make_inside(struct core *c, char *why, size_t why_n)
{
	struct inside_params ip = {
		.loop = c->loop,
		.servers = c->cfg->call_servers,
		.n_servers = c->cfg->call_servers_count,
		.udp_fd = keeper_fd("sip.udp"),
		.tcp_fd = keeper_fd("sip.tcp"),
		.tls_fd = keeper_fd("sip.tls"),
		.tls_server = c->tls_inside_server,
		.tls_client = c->tls_inside_client,
		.message_max = c->cfg->limits.message_bytes,
		.ops = &core_inside_callbacks,
		.arg = c,
	};
	int err = dns_new(c->loop, c->cfg->dns, &c->dns);

	if (err) {
		snprintf(why, why_n, "dns: %s: %s", c->cfg->dns ? c->cfg->dns : "system resolver",
			 strerror(-err));
		return err;
	}
	ip.dns = c->dns;
	return inside_new(&ip, &c->inside, why, why_n);
}

static int core_make_link(struct core *c, char *why, size_t why_n)
{
	struct link_core_params lp = {
		.loop = c->loop,
		.tls = c->tls_link,
		.name = c->cfg->name,
		.domains = (const char *const *)c->domains,
		.n_domains = c->n_domains,
		.edges = c->link_edges,
		.n_edges = c->n_edges,
		.ktls = c->ktls_link,
		.live_flows = core_live_flows,
		.wall_s = wall_now_s,
		.ops = &core_link_callbacks,
		.arg = c,
	};
	int err = link_core_new(&lp, &c->link);

	if (err)
		snprintf(why, why_n, "link: %s", strerror(-err));
	return err;
}

static int core_make(struct core *c, char *why, size_t why_n)
{
	struct loop_params lp = {
		.entries = 1024,
		.ops_max = 2 * CORE_STREAMS_MAX + 2 * c->cfg->media.max + UPSTREAM_CONNS + 1024 +
			   (c->cfg->xmpp.clusters_count ? 4 * c->cfg->xmpp.limits.streams : 0),
		.recv_bufs = 4096,
		.send_bufs = 4096,
		.buf_size = 2048,
		.writes = keeper_fd("cdr") >= 0};
	int err = core_start_values(c, why, why_n);

	if (err)
		return err;
	err = loop_new(&lp, &c->loop);
	if (err) {
		snprintf(why, why_n,
			 "io_uring: %s (kernel.io_uring_disabled must be 0, and a container's "
			 "seccomp profile must allow io_uring_*)",
			 strerror(-err));
		return err;
	}
	c->timer = (struct loop_timer){.fn = core_tick, .arg = c};
	err = core_streams_new(c->loop, c->cfg->limits.message_bytes, CORE_STREAMS_MAX,
			       &core_stream_callbacks, c, &c->streams);
	if (err) {
		snprintf(why, why_n, "streams: %s", strerror(-err));
		return err;
	}
	err = core_make_tls(c, why, why_n);
	if (!err)
		err = core_https_load(c, why, why_n);
	if (!err)
		err = core_keep_wait(c, why, why_n);
	c->started_ms = loop_now_ms(c->loop);
	if (!err)
		err = core_asks_new(c->loop, &c->asks);
	if (!err)
		err = trace_open(keeper_fd("trace"), c->cfg->trace_records);
	if (!err)
		err = cdr_new(c->loop, keeper_fd("cdr"), &c->cdr);
	if (!err)
		err = core_keep_open(c, why, why_n);
	if (!err)
		err = core_make_engine(c, why, why_n);
	if (!err)
		err = core_media_start(c, why, why_n);
	if (!err)
		err = core_make_link(c, why, why_n);
	if (!err) /* streams first: bindings find them */
		err = core_lodge_take(c, why, why_n);
	if (!err)
		core_keep_restore(c);
	if (!err)
		core_drain_start(c);
	if (!err)
		err = core_make_inside(c, why, why_n);
	if (!err)
		err = core_https_start(c, why, why_n);
	if (!err)
		err = core_chat_start(c, why, why_n);
	if (!err)
		err = core_admin_start(c, why, why_n);
	if (!err)
		err = core_summary_start(c, why, why_n);
	return err ? err : handover_attach(&c->turn, why, why_n);
}

static void core_free(struct core *c)
{
	handover_free(&c->turn);
	admin_free(c->admin);
	core_trace_stop(c);
	admin_http_free(c->admin_http);
	nodes_free(c->nodes);
	core_drain_stop(c);
	core_https_stop(c);
	link_core_free(c->link);
	core_asks_free(c->asks);
	core_streams_free(c->streams);
	inside_free(c->inside);
	dns_free(c->dns);
	core_chat_stop(c);
	core_media_stop(c);
	engine_free(c->engine);
	cdr_free(c->cdr);
	tls_ctx_free(c->tls_link);
	tls_ctx_free(c->tls_inside_client);
	tls_ctx_free(c->tls_inside_server);
	loop_free(c->loop);
	keep_close(c->keep);
	trace_close();
	core_stop_values(c);
	free(c);
}

int core_run(const struct config_core *cfg)
{
	char why[CONFIG_WHY_MAX] = "";
	struct core *c = calloc(1, sizeof(*c));
	int err;

	if (!c)
		return 1;
	c->cfg = cfg;
	err = core_make(c, why, sizeof(why));
	if (!err)
		err = sandbox_enter(why, sizeof(why));
	if (err) {
		log_event(LOG_L_ERROR, "start-failed", "reason=\"%s\"", why);
		lodge_refuse(why);
		core_free(c);
		return 1;
	}
	log_event(LOG_L_INFO, "started", "core=%s edges=%u domains=%u srtp=\"%s\"", cfg->name,
		  c->n_edges, c->n_domains, srtp_backend_text());
	core_pump(c);
	err = loop_run(c->loop);
	if (err)
		log_event(LOG_L_ERROR, "loop", "error=\"%s\"", strerror(-err));
	core_free(c);
	return err ? 1 : 0;
}
