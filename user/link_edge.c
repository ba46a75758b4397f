/* user/link_edge.c -- the edge's end of the link: the cores that are connected.
 *
 * In: connections that said a valid Hello; calls of the stream and media modules. Out: peers that are up. What happens before a valid
 * Hello is in user/link_accept.c, data connections are in user/link_edge_data.c. Owner: the link owns peers. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "user/link_impl.h"
#include "user/log.h"

/* ---- peers ---- */

static void peer_unlink(struct link_edge *l, struct link_peer *p)
{
	if (p->prev)
		p->prev->next = p->next;
	else
		l->peers = p->next;
	if (p->next)
		p->next->prev = p->prev;
	p->prev = p->next = NULL;
}

/* The control connection is over. Streams that were opened live on, and end by closing. */
static void peer_lost(struct link_peer *p, const char *why)
{
	struct conn *c = p->control;
	char e[LINK_REASON_MAX], a[ADDR_TEXT_MAX];

	log_event(LOG_L_WARN, "link-down", "core=%s peer=%s reason=%s", p->name,
		  addr_text(&p->addr, a), log_esc(span_str(why), e, sizeof(e)));
	peer_unlink(p->owner, p);
	link_edge_data_close(p);
	p->ops->down(p->arg, p, why);
	link_peer_free(p);
	link_refuse(c, why);
}

static bool domain_allowed(const struct link_edge_core *cfg, const char *domain)
{
	unsigned i;

	for (i = 0; i < cfg->n_domains; i++)
		if (span_ieq(span_str(cfg->domains[i]), span_str(domain)))
			return true;
	return false;
}

static int peer_domains(struct link_peer *p, const struct link_edge_core *cfg,
			const Sallyport__Hello *h)
{
	char e[LINK_NAMES_TEXT];
	size_t i;

	p->domains = calloc(h->n_domain + 1, sizeof(*p->domains));
	if (!p->domains)
		return -ENOMEM;
	for (i = 0; i < h->n_domain; i++) {
		if (!domain_allowed(cfg, h->domain[i])) {
			log_event(LOG_L_WARN, "link-domain-refused", "core=%s domain=%s", p->name,
				  log_esc(span_str(h->domain[i]), e, sizeof(e)));
			continue;
		}
		p->domains[p->n_domains] = strdup(h->domain[i]);
		if (!p->domains[p->n_domains])
			return -ENOMEM;
		p->n_domains++;
	}
	return 0;
}

struct link_peer *link_edge_peer(struct link_edge *l, const char *name)
{
	struct link_peer *p;

	for (p = l->peers; p; p = p->next)
		if (strcmp(p->name, name) == 0)
			return p;
	return NULL;
}

static int peer_ack(struct link_edge *l, struct link_peer *p)
{
	Sallyport__Link m = SALLYPORT__LINK__INIT;
	Sallyport__HelloAck ack = SALLYPORT__HELLO_ACK__INIT;

	ack.version = LINK_VERSION;
	ack.edge = (char *)l->p.name;
	ack.sip_host = (char *)(l->p.sip_host ? l->p.sip_host : "");
	ack.sip_port = l->p.sip_port;
	ack.https_host = (char *)(l->p.https_host ? l->p.https_host : "");
	ack.https_port = l->p.https_port;
	ack.xmpp_host = (char *)(l->p.xmpp_host ? l->p.xmpp_host : "");
	ack.xmpp_port = l->p.xmpp_port;
	ack.xmpp_tls_port = l->p.xmpp_tls_port;
	ack.features = LINK_FEATURES;
	m.m_case = SALLYPORT__LINK__M_HELLO_ACK;
	m.hello_ack = &ack;
	return link_write(p->control, &m);
}

/* @c becomes the control connection of a new peer. The old one of the same name, if any, is replaced: the newest hello is
 * the core that restarted, the other one is a connection that nobody has noticed to be dead. */
int link_edge_peer_up(struct link_edge *l, struct conn *c, const struct link_edge_core *cfg,
		      const Sallyport__Link *hello)
{
	struct link_peer *old = link_edge_peer(l, cfg->name), *p;
	char a[ADDR_TEXT_MAX];

	if (old) {
		l->stats.replaced++;
		peer_lost(old, "replaced by a newer connection");
	}
	p = link_peer_new(l->p.loop, c, cfg->name, hello->hello->session);
	if (p)
		p->trim = (struct loop_timer){.fn = link_edge_data_trim, .arg = p};
	if (!p || peer_domains(p, cfg, hello->hello) ||
	    loop_timer_set(p->loop, &p->trim, l->times.trim)) {
		link_peer_free(p);
		return -ENOMEM;
	}
	p->times = &l->times;
	p->stats = &l->stats;
	p->ops = l->p.ops;
	p->arg = l->p.arg;
	p->owner = l;
	p->wall_s = l->p.wall_s;
	p->lost = peer_lost;
	p->end = link_edge_data_idle;
	p->pool = hello->hello->pool;
	p->ktls = l->p.ktls;
	p->seq = ++l->seq;
	p->accepts = LINK_BIT(ADMIT) | LINK_BIT(REVOKE) | LINK_BIT(CLOSE_STREAM) |
		     LINK_BIT(ALLOCATE) | LINK_BIT(CLOCKS) | LINK_BIT(FREE) | LINK_BIT(BAN) |
		     LINK_BIT(DRAIN) | LINK_BIT(TOKEN_KEYS) | LINK_BIT(STREAM_IDLE) |
		     LINK_BIT(DIAL) | LINK_BIT(NODE_REPORT) | LINK_BIT(ASK);
	p->features = hello->hello->features;
	p->next = l->peers;
	if (l->peers)
		l->peers->prev = p;
	l->peers = p;
	log_event(LOG_L_INFO, "link-up", "core=%s peer=%s domains=%u flows=%zu pool=%u", p->name,
		  addr_text(&p->addr, a), p->n_domains, hello->hello->n_live_flow,
		  hello->hello->pool);
	p->send_err = peer_ack(l, p); /* told by the timer, as any failed send */
	link_climb(c, p->ktls);
	p->ops->up(p->arg, p, hello);
	return 0;
}

struct link_peer *link_edge_find(struct link_edge *l, const char *core)
{
	return link_edge_peer(l, core);
}

bool link_peer_serves(const struct link_peer *p, struct span domain)
{
	unsigned i;

	for (i = 0; i < p->n_domains; i++)
		if (span_ieq(span_str(p->domains[i]), domain))
			return true;
	return false;
}

struct link_peer *link_edge_route(struct link_edge *l, struct span domain)
{
	struct link_peer *p, *best = NULL;

	for (p = l->peers; p; p = p->next) {
		if (best && (best->draining != p->draining ? p->draining : best->seq > p->seq))
			continue;
		if (link_peer_serves(p, domain))
			best = p;
	}
	return best;
}

void link_edge_each(struct link_edge *l, void (*fn)(void *arg, struct link_peer *p), void *arg)
{
	struct link_peer *p, *next;

	for (p = l->peers; p; p = next) {
		next = p->next;
		fn(arg, p);
	}
}

/* ---- life ---- */

int link_edge_new(const struct link_edge_params *p, struct link_edge **out)
{
	struct link_edge *l = calloc(1, sizeof(*l));

	if (!l)
		return -ENOMEM;
	l->p = *p;
	l->times = link_times_default;
	*out = l;
	return 0;
}

int link_edge_listen(struct link_edge *l, int fd)
{
	int ret;

	if (l->n_listeners == LINK_LISTENERS_MAX)
		return -ENOBUFS;
	ret = loop_accept(l->p.loop, fd, link_accept, l, &l->listeners[l->n_listeners]);
	if (!ret)
		l->n_listeners++;
	return ret;
}

void link_edge_free(struct link_edge *l)
{
	struct link_peer *p;

	if (!l)
		return;
	while (l->n_listeners)
		loop_cancel(l->p.loop, &l->listeners[--l->n_listeners]);
	link_pending_free_all(l);
	link_join_free_all(l);
	while ((p = l->peers) != NULL) {
		peer_unlink(l, p);
		link_edge_data_close(p);
		link_refuse(p->control, "going down");
		link_peer_free(p);
	}
	free(l);
}

void link_edge_set_times(struct link_edge *l, const struct link_times *t)
{
	l->times = *t;
}

const struct link_stats *link_edge_stats(const struct link_edge *l)
{
	return &l->stats;
}
