/* user/edge.c -- the edge's worker: start in order, wire the link's messages to streams, flows and bans, run the loop. See edge.h.
 *
 * Everything comes in by descriptors that the keeper opened; before the first byte of a peer is read the sandbox is closed. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <unistd.h>

#include "user/bpf_plan.h"
#include "user/cert_files.h"
#include "user/edge_ask.h"
#include "user/edge_impl.h"
#include "user/keeper.h"
#include "user/log.h"
#include "user/maps_memory.h"
#include "user/media_user_socket.h"
#include "user/sockpool.h"
#include "user/trace.h"
#include "user/version.h"
#include "user/wall.h"

#define LOOP_ENTRIES 4096
#define LOOP_OPS     65536 /* two connections a stream, the link's, listeners */
#define RECV_BUFS    256   /* punches */
#define BUF_SIZE     2048
#define SECOND_MS    1000
#define BANS_SWEEP_S 60 /* bans of a worker that is gone end without us, but stay in the map */

/* ---- the link's words ---- */

static void core_up(void *arg, struct link_peer *p, const Sallyport__Link *hello)
{
	struct edge *e = arg;

	media_edge_up(e->media, p, hello->hello, loop_now_ms(e->loop));
	edge_drain_up(e, p);
}

static void core_down(void *arg, struct link_peer *p, const char *why)
{
	struct edge *e = arg;

	(void)why; /* logged by the link */
	edge_drain_down(e, p);
	edge_dials_down(e->dials, p);
	media_edge_down(e->media, p, loop_now_ms(e->loop));
}

static void on_ban(struct edge *e, const struct link_peer *p, const Sallyport__Ban *b)
{
	struct addr prefix = {};
	char quoted[80];
	unsigned len;
	int ret = -EINVAL;

	if (b->prefix_ip.len == 16) {
		memcpy(prefix.ip, b->prefix_ip.data, 16);
		/* As the address is 16 bytes on the link, a length may be told of all 128 bits or of IPv4's 32. */
		len = addr_is_v4(&prefix) && b->prefix_len >= 96 ? b->prefix_len - 96
								 : b->prefix_len;
		ret = ban_order(e->ban, &prefix, len, b->seconds,
				log_esc(span_str(b->reason), quoted, sizeof(quoted)),
				loop_now_ms(e->loop));
	}
	if (ret)
		log_event(LOG_L_WARN, "ban-refused", "core=%s error=%s", link_peer_name(p),
			  strerrorname_np(-ret));
}

static void core_message(void *arg, struct link_peer *p, const Sallyport__Link *m)
{
	struct edge *e = arg;

	if (media_edge_message(e->media, p, m, loop_now_ms(e->loop)) ||
	    streams_message(e->streams, p, m) || edge_dials_message(e->dials, p, m) ||
	    nodes_message(e->nodes, p, m) || edge_drain_message(e, p, m) ||
	    edge_ask_message(e, p, m))
		return;
	if (m->m_case == SALLYPORT__LINK__M_BAN)
		on_ban(e, p, m->ban);
	else if (m->m_case == SALLYPORT__LINK__M_TOKEN_KEYS)
		edge_services_token_keys(e, link_peer_name(p), m->token_keys);
	else
		log_event(LOG_L_WARN, "link-unexpected", "core=%s message=%d", link_peer_name(p),
			  (int)m->m_case);
}

static const struct link_ops link_ops = {.up = core_up, .down = core_down, .message = core_message};

/* ---- bans, time, punches ---- */

struct in_prefix {
	const struct addr *prefix;
	unsigned len;
	bool hit;
};

static void peer_in_prefix(void *arg, struct link_peer *p)
{
	struct in_prefix *i = arg;
	struct addr cut;

	if (addr_is_v4(link_peer_addr(p)) != addr_is_v4(i->prefix))
		return;
	prefix_cut(link_peer_addr(p), i->len, i->len, &cut);
	i->hit = i->hit || addr_ip_eq(&cut, i->prefix);
}

static bool core_in_prefix(void *arg, const struct addr *prefix, unsigned len)
{
	struct edge *e = arg;
	struct in_prefix i = {prefix, len, false};

	link_edge_each(e->link, peer_in_prefix, &i);
	return i.hit;
}

static bool link_banned(void *arg, const struct addr *peer)
{
	return maps_ban_hit(((struct edge *)arg)->maps, peer);
}

static void tick(void *arg)
{
	struct edge *e = arg;
	uint64_t now = loop_now_ms(e->loop);

	media_edge_tick(e->media, now);
	if (now - e->second_ms >= SECOND_MS) {
		e->second_ms = now;
		ban_tick(e->ban, now);
		if (++e->seconds % BANS_SWEEP_S == 0)
			maps_bans_expire(e->maps, now * 1000000ull);
	}
	loop_timer_set(e->loop, &e->tick,
		       MEDIA_EDGE_TICK_MS); /* its place in the heap is still there */
}

static void punch_in(void *arg, struct loop_dgram *d)
{
	struct edge *e = arg;

	media_edge_punch(e->media, &d->from, span_of(d->p, d->n));
}

/* ---- start ---- */

static bool edge_on_sockets(const struct edge *e)
{
	return e->rungs[0].rung == RUNG_USER; /* all pairs or none */
}

int edge_tls_start(struct tls_params *p, const char *name, bool ca, struct tls_ctx **out, char *why,
		   size_t why_n)
{
	const char *const ends[3] = {"cert", "key", ca ? "ca" : "more"};
	char *text[3] = {}, file[32], reason[TLS_WHY_MAX] = "";
	struct tls_pair more[CONFIG_CERTIFICATES_MAX];
	size_t n[3] = {};
	int i, err = 0;

	for (i = 0; i < 3 && !err; i++) {
		snprintf(file, sizeof(file), "%s.%s", name, ends[i]);
		err = keeper_read(file, &text[i], &n[i]);
		if (err)
			snprintf(why, why_n, "%s: %s", file, strerror(-err));
	}
	if (!err && !ca) {
		err = cert_files_more(text[2], n[2], more);
		if (err < 0)
			snprintf(why, why_n, "%s: %s", file, strerror(-err));
		p->more = more;
		p->n_more = err > 0 ? (unsigned)err : 0;
		err = err < 0 ? err : 0;
	}
	if (!err) {
		p->cert_pem = span_of(text[0], n[0]);
		p->key_pem = span_of(text[1], n[1]);
		p->ca_pem = ca ? span_of(text[2], n[2]) : (struct span){};
		err = tls_ctx_new(p, out, reason);
		if (err)
			snprintf(why, why_n, "%s.tls: %s", name, reason);
	}
	for (i = 0; i < 3; i++) {
		if (text[i])
			explicit_bzero(text[i], n[i]);
		free(text[i]);
	}
	p->more = NULL;
	p->n_more = 0;
	return err;
}

static int tls_both(struct edge *e, char *why, size_t why_n)
{
	struct tls_params link = {.server = true, .tls13_only = true, .require_peer = true};
	int err = ktls_policy("link.ktls", e->cfg->link.ktls, &e->ktls, &e->ktls_link, why, why_n);

	link.kernel = e->ktls_link != KTLS_MODE_OFF ? &e->ktls : NULL;
	if (!err)
		err = edge_tls_start(&link, "link", true, &e->link_tls, why, why_n);
	return err ? err : edge_services_start(e, why, why_n);
}

static int maps_start(struct edge *e, const struct maps_pair *pairs, unsigned n)
{
	if (edge_on_sockets(e))
		return maps_memory_open(keeper_fd("media.memory"), pairs, n, &e->maps);
	return bpf_plan_open(pairs, n, &e->maps);
}

static int media_start(struct edge *e, char *why, size_t why_n)
{
	struct ban_params bp = {
		.score = e->cfg->limits.ban_score,
		.seconds = e->cfg->limits.ban_seconds,
		.seed = e->seed,
		.exempt = core_in_prefix,
		.arg = e,
	};
	struct media_edge_params mp = {.cfg = e->cfg, .seed = e->seed, .now_ms = e->start_ms};
	struct maps_pair pairs[8];
	int n = media_edge_pairs(e->cfg, pairs), err = n < 0 ? n : 0;

	memcpy(mp.rungs, e->rungs, sizeof(mp.rungs));
	if (!err)
		err = maps_start(e, pairs, (unsigned)n);
	if (err) {
		snprintf(why, why_n, "maps: %s", strerror(-err));
		return err;
	}
	err = nexthop_new(e->loop, edge_on_sockets(e) ? NULL : e->maps, &e->nexthop);
	if (err) {
		snprintf(why, why_n, "netlink: %s", strerror(-err));
		return err;
	}
	maps_live_sweep(e->maps);
	maps_bans_expire(e->maps, e->start_ms * 1000000ull);
	bp.maps = mp.maps = e->maps;
	mp.nexthop = e->nexthop;
	err = ban_new(&bp, &e->ban);
	if (!err)
		err = media_edge_new(&mp, &e->media);
	if (err)
		snprintf(why, why_n, "media: %s", strerror(-err));
	return err;
}

static void punch_socket(void *arg, const struct addr *from, struct span data)
{
	media_edge_punch(((struct edge *)arg)->media, from, data);
}

/* After the flows of an earlier worker were adopted: what waits in the sockets is theirs. */
static int sockets_start(struct edge *e, char *why, size_t why_n)
{
	struct media_user_params up = {
		.loop = e->loop, .maps = e->maps, .punch = punch_socket, .arg = e};
	struct maps_pair pairs[8];
	struct sockpool pool;
	unsigned i, k;
	int n = media_edge_pairs(e->cfg, pairs), err = n < 0 ? n : 0;
	char name[48];

	up.pairs = pairs;
	up.n_pairs = n < 0 ? 0 : (unsigned)n;
	for (i = 0; i < 2 * up.n_pairs && !err; i++) {
		k = i & 1;
		snprintf(name, sizeof(name), "media.%s.%u", k ? "in" : "out", i / 2);
		err = sockpool_get(name, &pool);
		if (!err && pool.n != pairs[i / 2].range)
			err = -EPROTO;
		if (err) {
			snprintf(why, why_n, "%s: %s", name, strerror(-err));
			return err;
		}
		up.side[i / 2][k].first_fd = pool.first;
		up.side[i / 2][k].ifindex =
			media_user_ifindex(k ? &pairs[i / 2].inside : &pairs[i / 2].outside);
	}
	err = media_user_new(&up, &e->user);
	if (err)
		snprintf(why, why_n, "media sockets: %s", strerror(-err));
	return err;
}

static int link_start(struct edge *e, char *why, size_t why_n)
{
	struct link_edge_params lp = {
		.loop = e->loop,
		.tls = e->link_tls,
		.name = e->cfg->name,
		.sip_host = e->cfg->sip.host,
		.sip_port = e->cfg->sip.port,
		.https_host = e->cfg->https.host,
		.https_port = e->cfg->https.port,
		.xmpp_host = e->cfg->xmpp.host,
		.xmpp_port = e->cfg->xmpp.listen_count ? e->cfg->xmpp.port : 0,
		.xmpp_tls_port = e->cfg->xmpp.tls_listen_count ? e->cfg->xmpp.tls_port : 0,
		.n_cores = e->cfg->link.cores_count,
		.ops = &link_ops,
		.arg = e,
		.ktls = e->ktls_link,
		.banned = link_banned,
		.wall_s = wall_now_s,
	};
	struct streams_params sp = {.loop = e->loop, .cfg = e->cfg, .ban = e->ban, .seed = e->seed};
	unsigned i;
	int err = -ENOMEM;

	memcpy(sp.use, e->use, sizeof(sp.use));
	e->cores = calloc(e->cfg->link.cores_count, sizeof(*e->cores));
	for (i = 0; e->cores && i < e->cfg->link.cores_count; i++) {
		const struct config_edge_core *c = &e->cfg->link.cores[i];

		e->cores[i] = (struct link_edge_core){c->name, (const char *const *)c->domains,
						      c->domains_count};
	}
	lp.cores = e->cores;
	if (e->cores)
		err = link_edge_new(&lp, &e->link);
	sp.link = e->link;
	sp.lodge = e->turn.lodge;
	sp.relays = e->turn.relays;
	if (!err)
		err = streams_new(&sp, &e->streams);
	if (err)
		snprintf(why, why_n, "link: %s", strerror(-err));
	return err;
}

static int dials_start(struct edge *e, char *why, size_t why_n)
{
	const struct config_federation *f = &e->cfg->xmpp.federation;
	struct edge_dials_params p = {.loop = e->loop, .streams = e->streams, .seed = e->seed};
	int err = 0;

	p.private_too = f->dial_private && strcmp(f->dial_private, "on") == 0;
	if (f->dial && strcmp(f->dial, "on") == 0)
		err = dns_new(e->loop, f->dns, &p.dns);
	if (!err)
		err = edge_dials_new(&p, &e->dials);
	if (err)
		snprintf(why, why_n, "xmpp.federation.dns: %s", strerror(-err));
	return err;
}

/* Every descriptor of the keeper named "@prefix.0", ".1", ...: at least one. */
static int each_fd(struct edge *e, const char *prefix, int (*take)(struct edge *e, int fd),
		   char *why, size_t why_n)
{
	char name[48];
	unsigned i;
	int fd, err;

	for (i = 0;; i++) {
		snprintf(name, sizeof(name), "%s.%u", prefix, i);
		fd = keeper_fd(name);
		if (fd < 0)
			break;
		err = take(e, fd);
		if (err) {
			snprintf(why, why_n, "%s: %s", name, strerror(-err));
			return err;
		}
	}
	if (i)
		return 0;
	snprintf(why, why_n, "%s.0: the keeper gave none", prefix);
	return -ENOENT;
}

static int take_link(struct edge *e, int fd)
{
	return link_edge_listen(e->link, fd);
}

static int take_punch(struct edge *e, int fd)
{
	if (e->n_punch == EDGE_PUNCH_MAX)
		return -ENOBUFS;
	return loop_recv(e->loop, fd, punch_in, e, &e->punch[e->n_punch++]);
}

static int loop_start(struct edge *e, char *why, size_t why_n)
{
	bool sockets = edge_on_sockets(e);
	struct loop_params lp = {
		.entries = LOOP_ENTRIES,
		.ops_max = LOOP_OPS,
		.recv_bufs = sockets ? MEDIA_USER_BUFS : RECV_BUFS,
		.send_bufs = sockets ? MEDIA_USER_SENDS : 0,
		.buf_size = BUF_SIZE,
		.recv_control = sockets ? MEDIA_USER_CONTROL : 0,
	};
	int err = loop_new(&lp, &e->loop);

	if (err)
		snprintf(
			why, why_n,
			"io_uring: %s (kernel.io_uring_disabled, or a container's seccomp profile)",
			strerror(-err));
	return err;
}

/* Clients in their TLS handshake: they finish it here. */
static bool clients_shake_hands(void *arg)
{
	json_t *s = streams_status(((struct edge *)arg)->streams);
	bool yes =
		json_integer_value(json_object_get(json_object_get(s, "states"), "handshake")) > 0;

	json_decref(s);
	return yes;
}

static bool take_up(void *arg, uint32_t slot, uint32_t kind, const int fds[LODGE_ROLES],
		    void *record)
{
	struct edge *e = arg;

	return kind == STREAMS_LODGE_KIND && streams_take(e->streams, slot, fds, record);
}

static void leave(void *arg)
{
	edge_invite_end(arg, "the next worker has the port");
	streams_leave(((struct edge *)arg)->streams);
	trace_close(); /* the next worker writes there now */
}

/* Nothing of an earlier worker's was touched so far. */
static int turn_wait(struct edge *e, char *why, size_t why_n)
{
	char objection[160];
	int err = bpf_plan_check(objection, sizeof(objection));

	e->turn.loop = e->loop;
	e->turn.busy = clients_shake_hands;
	e->turn.take = take_up;
	e->turn.last = leave;
	e->turn.arg = e;
	return handover_wait(&e->turn, err ? objection : NULL, why, why_n);
}

static int edge_start(struct edge *e, char *why, size_t why_n)
{
	int err;

	if (getrandom(&e->seed, sizeof(e->seed), 0) != sizeof(e->seed)) {
		snprintf(why, why_n, "getrandom: %s", strerror(errno));
		return -errno;
	}
	err = bpf_plan_rungs_read(e->rungs);
	if (err) {
		snprintf(why, why_n, "rungs: %s", strerror(-err));
		return err;
	}
	err = loop_start(e, why, why_n);
	if (err)
		return err;
	e->tick = (struct loop_timer){.fn = tick, .arg = e};
	ktls_probe(&e->ktls);
	ktls_log(&e->ktls);
	err = tls_both(e, why, why_n);
	if (!err)
		err = turn_wait(e, why, why_n);
	e->start_ms = e->second_ms = loop_now_ms(e->loop);
	if (!err)
		err = trace_open(keeper_fd("trace"), e->cfg->trace_records);
	if (!err)
		err = media_start(e, why, why_n);
	if (!err && edge_on_sockets(e))
		err = sockets_start(e, why, why_n);
	if (!err)
		err = link_start(e, why, why_n);
	if (!err)
		err = edge_drain_start(e, why, why_n);
	if (!err)
		err = dials_start(e, why, why_n);
	if (!err)
		err = each_fd(e, "punch", take_punch, why, why_n);
	if (!err)
		err = each_fd(e, "listen.link", take_link, why, why_n);
	if (!err)
		err = edge_services_listen(e, why, why_n);
	if (!err)
		err = edge_admin_start(e, why, why_n);
	if (!err)
		err = edge_summary_start(e, why, why_n);
	if (!err)
		err = handover_attach(&e->turn, why, why_n);
	if (!err)
		err = loop_timer_set(e->loop, &e->tick, MEDIA_EDGE_TICK_MS);
	return err ? err : sandbox_enter(why, why_n);
}

static void edge_stop(struct edge *e)
{
	unsigned i;

	handover_free(&e->turn);
	edge_invite_end(e, "going down");
	admin_free(e->admin);
	admin_http_free(e->admin_http);
	nodes_free(e->nodes);
	edge_dials_free(e->dials);
	edge_drain_free(e);
	streams_free(e->streams);
	link_edge_free(e->link);
	media_user_free(e->user);
	media_edge_free(e->media);
	ban_free(e->ban);
	nexthop_free(e->nexthop);
	maps_close(e->maps);
	trace_close();
	tls_ctx_free(e->link_tls);
	edge_services_free(e);
	if (e->loop) {
		for (i = 0; i < e->n_punch; i++)
			loop_cancel(e->loop, &e->punch[i]);
		loop_timer_cancel(e->loop, &e->tick);
	}
	loop_free(e->loop);
	free(e->cores);
}

int edge_run(const struct config_edge *cfg)
{
	struct edge e = {.cfg = cfg};
	char why[CONFIG_WHY_MAX] = "";
	int err = edge_start(&e, why, sizeof(why));

	if (err) {
		log_event(LOG_L_ERROR, "start-failed", "reason=\"%s\"", why);
		lodge_refuse(why);
	} else {
		log_event(LOG_L_INFO, "start",
			  "version=%s name=%s pid=%d media=%s streams=\"%s\" "
			  "slots=%u flows_adopted=%u",
			  SALLYPORT_VERSION, cfg->name, (int)getpid(), media_edge_rung(e.media),
			  e.use[STREAM_SIP].ktls == KTLS_MODE_OFF  ? "user TLS"
			  : e.use[STREAM_SIP].ktls == KTLS_MODE_TX ? "kernel TLS send"
								   : "kernel TLS",
			  maps_slots(e.maps), media_edge_count(e.media));
		err = loop_run(e.loop);
		if (err)
			log_event(LOG_L_ERROR, "loop", "error=%s", strerrorname_np(-err));
	}
	edge_stop(&e);
	return err ? 1 : 0;
}
