/* user/link_core.c -- the core's end of the link: dials every edge and keeps a control connection to it.
 *
 * In: the configured edges, frames of theirs. Out: peers that are up. Data connections are in link_core_data.c.
 * Owner: the link owns all its connections until ops.open(); an edge's record lives as long as the link.
 *
 * Dialling again waits 0.2 s, doubling to 5 s, with jitter, so that many cores do not come back at the same instant. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

#include "user/link_core_impl.h"
#include "user/log.h"

#define FAR_MS (1ull << 40)

uint64_t link_random64(void)
{
	uint64_t r = 0;

	/* Never blocks once the system is up, and 8 bytes are never cut short (getrandom(2)). */
	while (getrandom(&r, sizeof(r), 0) != (ssize_t)sizeof(r))
		;
	return r;
}

unsigned link_jitter(unsigned ms)
{
	return ms - (unsigned)(link_random64() % (ms / 4 + 1));
}

/* ---- the control connection ---- */

static void retry_later(struct core_edge *e)
{
	loop_timer_set(e->core->p.loop, &e->timer, link_jitter(e->retry_ms));
	e->retry_ms = e->retry_ms * 2 > e->core->times.retry_max ? e->core->times.retry_max
								 : e->retry_ms * 2;
}

/* The connection did not become a link. @event says who refused. */
static void control_failed(struct core_edge *e, const char *event, const char *why,
			   const char *names, const char *wanted)
{
	struct conn *c = e->conn;

	e->core->stats.dial_errors++;
	link_log_refused(&e->core->stats, loop_now_ms(e->core->p.loop), event, &e->cfg.address, why,
			 wanted, names);
	link_rx_fini(&e->rx);
	e->conn = NULL;
	link_refuse(c, why);
	retry_later(e);
}

/* The edge did not want us, or the network did not: the names in our certificate are what its operator must compare. */
static void control_refused_by_peer(struct core_edge *e, const char *why)
{
	char names[LINK_NAMES_TEXT];

	control_failed(e, "link-refused-by-peer", why,
		       tls_own_names(e->core->p.tls, names, sizeof(names)), NULL);
}

static void control_over(struct core_edge *e, int err, const char *reason)
{
	char why[LINK_REASON_MAX];

	snprintf(why, sizeof(why), "%s", reason);
	if (err == -EKEYREJECTED)
		control_failed(e, "link-refused", why, tls_refused_names(conn_tls(e->conn)),
			       e->cfg.name);
	else if (err == -EPROTO)
		control_refused_by_peer(e, why);
	else
		control_failed(e, "link-failed", why, NULL, e->cfg.name);
}

/* A lost peer's connection is closed by both sides; streams that were opened live on. */
static void peer_lost(struct link_peer *p, const char *why)
{
	struct core_edge *e = p->owner;
	struct link_core *l = e->core;
	struct conn *c = p->control;
	char r[LINK_REASON_MAX], a[ADDR_TEXT_MAX];

	log_event(LOG_L_WARN, "link-down", "edge=%s peer=%s reason=%s", p->name,
		  addr_text(&p->addr, a), log_esc(span_str(why), r, sizeof(r)));
	if (loop_now_ms(l->p.loop) - p->up_ms >= l->times.steady)
		e->retry_ms = l->times.retry_min;
	/* Another process has our name: taking the link back at once would be a fight for it. */
	if (strstr(why, "replaced by"))
		e->retry_ms = l->times.retry_max;
	link_core_data_close(e);
	e->peer = NULL;
	p->ops->down(p->arg, p, why);
	link_refuse(c, why);
	link_peer_free(p);
	retry_later(e);
}

static void peer_up(struct core_edge *e, const Sallyport__Link *m)
{
	struct link_core *l = e->core;
	struct link_peer *p = link_peer_new(l->p.loop, e->conn, e->cfg.name, e->session);
	char a[ADDR_TEXT_MAX];

	if (!p) {
		control_failed(e, "link-failed", "out of memory", NULL, e->cfg.name);
		return;
	}
	link_rx_fini(&e->rx);
	e->conn = NULL;
	e->peer = p;
	p->times = &l->times;
	p->stats = &l->stats;
	p->ops = l->p.ops;
	p->arg = l->p.arg;
	p->owner = e;
	p->wall_s = l->p.wall_s;
	p->lost = peer_lost;
	p->accepts = LINK_BIT(CLOSE_STREAM) | LINK_BIT(ALLOCATED) | LINK_BIT(PUNCHED) |
		     LINK_BIT(FLOW_REPORT) | LINK_BIT(DRAIN) | LINK_BIT(STREAM_END) |
		     LINK_BIT(DIAL_RESULT) | LINK_BIT(NODE_REPORT) | LINK_BIT(ANSWER);
	p->features = m->hello_ack->features;
	p->end = link_core_data_end;
	e->data_retry_ms = 0;
	e->data_wait_ms = 0;
	e->tokens = LINK_DIALS_BURST;
	e->tokens_ms = loop_now_ms(l->p.loop);
	log_event(LOG_L_INFO, "link-up", "edge=%s peer=%s pool=%u", p->name, addr_text(&p->addr, a),
		  e->cfg.pool);
	link_climb(p->control, l->p.ktls);
	p->ops->up(p->arg, p, m);
	link_core_fill(e);
}

static void control_ack(struct core_edge *e, const Sallyport__Link *m)
{
	char why[LINK_REASON_MAX];

	if (m->hello_ack->version != LINK_VERSION) {
		snprintf(why, sizeof(why), "version: wanted %u, got %u", LINK_VERSION,
			 m->hello_ack->version);
		control_failed(e, "link-refused", why, NULL, e->cfg.name);
	} else if (strcmp(m->hello_ack->edge, e->cfg.name) != 0) {
		control_failed(e, "link-refused", "name in HelloAck", m->hello_ack->edge,
			       e->cfg.name);
	} else {
		loop_timer_set(e->core->p.loop, &e->timer, FAR_MS);
		peer_up(e, m);
	}
}

static void control_readable(void *arg)
{
	struct core_edge *e = arg;
	Sallyport__Link *m;
	int ret = link_rx_read(&e->rx, e->conn, &m);

	if (ret == -EAGAIN)
		return;
	if (ret) {
		control_over(e, ret, link_conn_why(e->conn, ret));
		return;
	}
	if (m->m_case == SALLYPORT__LINK__M_HELLO_ACK)
		control_ack(e, m);
	else if (m->m_case == SALLYPORT__LINK__M_CLOSE)
		control_refused_by_peer(e, m->close->reason);
	else
		control_failed(e, "link-refused", "a message other than HelloAck", NULL,
			       e->cfg.name);
	sallyport__link__free_unpacked(m, NULL);
}

static int hello_write(struct core_edge *e, const uint64_t *flows, size_t n)
{
	Sallyport__Link m = SALLYPORT__LINK__INIT;
	Sallyport__Hello h = SALLYPORT__HELLO__INIT;
	size_t done = 0;
	int ret;

	h.version = LINK_VERSION;
	h.core = (char *)e->core->p.name;
	h.session = e->session;
	h.pool = e->cfg.pool;
	h.features = LINK_FEATURES;
	h.domain = (char **)e->core->p.domains;
	h.n_domain = e->core->p.n_domains;
	m.m_case = SALLYPORT__LINK__M_HELLO;
	m.hello = &h;
	do {
		h.live_flow = (uint64_t *)flows + done;
		h.n_live_flow = n - done > LINK_FLOWS_A_HELLO ? LINK_FLOWS_A_HELLO : n - done;
		done += h.n_live_flow;
		h.more = done < n;
		ret = link_write(e->conn, &m);
		h.n_domain = 0;
	} while (!ret && done < n);
	return ret;
}

static void control_up(void *arg)
{
	struct core_edge *e = arg;
	struct link_core *l = e->core;
	uint64_t *flows = NULL;
	size_t n = 0;
	int ret = 0;

	conn_set_queue_max(e->conn, LINK_CONTROL_QUEUE);
	if (l->p.live_flows) {
		flows = calloc(LINK_FLOWS_MAX, sizeof(*flows));
		ret = flows ? 0 : -ENOMEM;
	}
	if (flows)
		n = l->p.live_flows(l->p.arg, e->cfg.name, flows, LINK_FLOWS_MAX);
	if (!ret)
		ret = hello_write(e, flows, n);
	free(flows);
	if (ret)
		control_failed(e, "link-failed", "hello could not be sent", NULL, e->cfg.name);
}

static void control_down(void *arg, int err, const char *why)
{
	control_over(arg, err, why);
}

static void control_dial(void *arg)
{
	static const struct conn_ops ops = {
		.up = control_up, .readable = control_readable, .down = control_down};
	struct core_edge *e = arg;
	struct conn_params cp;
	int ret;

	/* The timer is set all the time, so that setting it elsewhere cannot fail. A connection itself gives up after
	 * times.hello; this is the bound for connection and HelloAck together. */
	loop_timer_set(e->core->p.loop, &e->timer, e->peer ? FAR_MS : 2 * e->core->times.hello);
	if (e->peer)
		return;
	if (e->conn) { /* connected or not: no HelloAck in time */
		control_failed(e, "link-failed", "no HelloAck in time", NULL, e->cfg.name);
		return;
	}
	do {
		e->session = link_random64();
	} while (!e->session);
	link_core_conn_params(e, &ops, e, &cp);
	e->core->stats.dials++;
	ret = conn_connect(&cp, &e->cfg.address, &e->conn);
	if (ret) {
		e->core->stats.dial_errors++;
		e->conn = NULL;
		link_log_refused(&e->core->stats, loop_now_ms(e->core->p.loop), "link-failed",
				 &e->cfg.address, strerrordesc_np(-ret), e->cfg.name, NULL);
		retry_later(e);
		return;
	}
}

/* ---- life ---- */

static int params_check(const struct link_core_params *p)
{
	unsigned i;

	if (p->n_domains > LINK_DOMAINS_MAX || strlen(p->name) > LINK_DOMAIN_LEN)
		return -EINVAL;
	for (i = 0; i < p->n_domains; i++)
		if (!*p->domains[i] || strlen(p->domains[i]) > LINK_DOMAIN_LEN)
			return -EINVAL;
	for (i = 0; i < p->n_edges; i++)
		if (p->edges[i].pool > LINK_POOL_MAX)
			return -EINVAL;
	return 0;
}

static int edge_init(struct link_core *l, struct core_edge *e, const struct link_core_edge *cfg)
{
	e->core = l;
	e->cfg = *cfg;
	e->retry_ms = l->times.retry_min;
	e->timer = (struct loop_timer){.fn = control_dial, .arg = e};
	e->fill_timer = (struct loop_timer){.fn = link_core_fill_late, .arg = e};
	if (loop_timer_set(l->p.loop, &e->timer, 0) ||
	    loop_timer_set(l->p.loop, &e->fill_timer, l->times.retry_max))
		return -ENOMEM;
	return 0;
}

int link_core_new(const struct link_core_params *p, struct link_core **out)
{
	struct link_core *l;
	unsigned i;
	int ret = params_check(p);

	if (ret)
		return ret;
	l = calloc(1, sizeof(*l));
	if (!l)
		return -ENOMEM;
	l->p = *p;
	l->times = link_times_default;
	l->edges = calloc(p->n_edges ? p->n_edges : 1, sizeof(*l->edges));
	ret = l->edges ? 0 : -ENOMEM;
	for (i = 0; !ret && i < p->n_edges; i++)
		ret = edge_init(l, &l->edges[i], &p->edges[i]);
	if (ret) {
		link_core_free(l);
		return ret;
	}
	*out = l;
	return 0;
}

void link_core_free(struct link_core *l)
{
	struct core_edge *e;

	if (!l)
		return;
	for (e = l->edges; e && e < l->edges + l->p.n_edges; e++) {
		loop_timer_cancel(l->p.loop, &e->timer);
		loop_timer_cancel(l->p.loop, &e->fill_timer);
		link_core_data_close(e);
		if (e->peer)
			link_refuse(e->peer->control, "going down");
		link_peer_free(e->peer);
		conn_abort(e->conn);
		link_rx_fini(&e->rx);
	}
	free(l->edges);
	free(l);
}

void link_core_each(struct link_core *l, void (*fn)(void *arg, struct link_peer *p), void *arg)
{
	unsigned i;

	for (i = 0; i < l->p.n_edges; i++)
		if (l->edges[i].peer)
			fn(arg, l->edges[i].peer);
}

void link_core_set_times(struct link_core *l, const struct link_times *t)
{
	l->times = *t;
}

const struct link_stats *link_core_stats(const struct link_core *l)
{
	return &l->stats;
}
