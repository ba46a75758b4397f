/* user/edge_config.c -- see edge_config.h: who asks, what DNS said, and when all is there. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "user/edge_config_int.h"
#include "user/log.h"

#define BAD_MS	    10000 /* a failed look-up is kept */
#define PARAMS_MAX  16	  /* of a query */
#define WAITS_HOME  (1u << EDGE_SERVICES)
#define UDS_DEFAULT 1 /* priority and weight of a node that no SRV record names */

struct known { /* of one service of one domain */
	struct edge_srv srv;
	uint64_t until_ms;
	struct question *asked; /* NULL: not now */
};
struct question {
	struct edge_config *c; /* NULL: nobody wants the answer any more */
	struct domain *domain;
	enum edge_service service;
};
struct domain {
	const char *name;
	struct known known[EDGE_SERVICES];
};

struct making { /* one answer */
	struct making *next, *prev;
	struct edge_config *c;
	edge_config_done_fn *done; /* NULL: forgotten */
	void *arg;
	enum http_service_path what;
	unsigned status; /* 0: being made */
	unsigned waits;	 /* bits of services, and WAITS_HOME */
	struct domain *domain;
	char user[HTTP_TOKEN_USER_MAX];
	bool wanted[EDGE_SERVICES];
	const struct cluster *home;
	struct edge_config_edge edges[EDGE_CONFIG_EDGES];
	unsigned n_edges;
	char *strings; /* of the edges */
};

struct edge_config {
	struct edge_config_params p;
	struct domain *domains;
	unsigned n_domains;
	struct making *makings;
	unsigned open;
	struct loop_timer timer;
};

/* ---- bodies -------- */

/* Nodes of @k that are well, or all of them where none is. */
static void add_nodes(struct edge_srv *s, const struct cluster *k, uint64_t now, bool any,
		      unsigned priority)
{
	unsigned i;

	for (i = 0; i < k->n_nodes && s->n < DNS_TARGETS_MAX; i++) {
		if (!any && !cluster_node_well(&k->nodes[i], now))
			continue;
		s->records[s->n] = (struct dns_srv){.port = k->nodes[i].port,
						    .priority = (uint16_t)priority,
						    .weight = UDS_DEFAULT};
		snprintf(s->records[s->n].host, sizeof(s->records[s->n].host), "%s",
			 k->nodes[i].host);
		s->n++;
	}
}

/* Without a record: the nodes that we know, the user's home first. */
static void uds_nodes(const struct making *m, uint64_t now, struct edge_srv *out)
{
	struct clusters *all = m->c->p.clusters;
	unsigned i;
	int any;

	*out = (struct edge_srv){};
	for (any = 0; any < 2 && !out->n; any++)
		for (i = 0; i < clusters_n(all); i++) {
			struct cluster *k = clusters_at(all, i);

			if (cluster_serves(k, span_str(m->domain->name)))
				add_nodes(out, k, now, any,
					  m->home && k != m->home ? UDS_DEFAULT + 1 : UDS_DEFAULT);
		}
}

static const struct cluster_node *node_of(const struct making *m, const char *host)
{
	struct cluster *k =
		clusters_by_host(m->c->p.clusters, span_str(m->domain->name), span_str(host));
	unsigned i;

	for (i = 0; k && i < k->n_nodes; i++)
		if (span_ieq(span_str(k->nodes[i].host), span_str(host)))
			return &k->nodes[i];
	return NULL;
}

/* The record's targets that are nodes of ours and well: the relay would refuse others. */
static void uds_servers(const struct making *m, struct edge_srv *out)
{
	uint64_t now = loop_now_ms(m->c->p.loop);
	const struct edge_srv *from = &m->domain->known[EDGE_UDS].srv;
	unsigned i;

	*out = (struct edge_srv){};
	for (i = 0; !from->error && i < from->n; i++) {
		const struct cluster_node *n = node_of(m, from->records[i].host);

		if (n && cluster_node_well(n, now))
			out->records[out->n++] = from->records[i];
	}
	if (!out->n)
		uds_nodes(m, now, out);
}

static void add_tftp(struct edge_facts *f, const struct cluster *k)
{
	unsigned i;

	for (i = 0; i < k->n_tftp && f->n_tftp < DNS_TARGETS_MAX; i++)
		f->tftp[f->n_tftp++] = k->tftp[i];
}

static void facts_of_clusters(const struct making *m, struct edge_facts *f)
{
	struct clusters *all = m->c->p.clusters;
	struct cluster_node *order[CLUSTER_NODES_MAX];
	struct cluster *home = (struct cluster *)m->home;
	unsigned i;

	if (home)
		add_tftp(f, home);
	for (i = 0; i < clusters_n(all); i++)
		if (cluster_serves(clusters_at(all, i), span_str(m->domain->name))) {
			if (!m->home)
				add_tftp(f, clusters_at(all, i));
			if (!home)
				home = clusters_at(all, i);
		}
	if (m->user[0] && home && cluster_order(home, NULL, loop_now_ms(m->c->p.loop), order))
		f->user_uds = order[0];
}

static size_t body(const struct making *m, char *out, size_t cap)
{
	struct edge_facts f = {.domain = m->domain->name,
			       .edges = m->edges,
			       .n_edges = m->n_edges,
			       .inside = m->user[0] != 0};

	if (m->what == HTTP_PATH_EDGE_SSO)
		return edge_config_sso_xml(out, cap);
	memcpy(f.wanted, m->wanted, sizeof(f.wanted));
	f.srv[EDGE_TFTP_SRV] = m->domain->known[EDGE_TFTP_SRV].srv;
	f.srv[EDGE_CUPLOGIN] = m->domain->known[EDGE_CUPLOGIN].srv;
	uds_servers(m, &f.srv[EDGE_UDS]);
	facts_of_clusters(m, &f);
	return m->what == HTTP_PATH_WELL_KNOWN ? edge_config_json(&f, out, cap)
					       : edge_config_xml(&f, out, cap);
}

/* ---- life of an answer -------- */

static void making_free(struct making *m)
{
	struct edge_config *c = m->c;

	if (m->next)
		m->next->prev = m->prev;
	if (m->prev)
		m->prev->next = m->next;
	else
		c->makings = m->next;
	c->open--;
	free(m->strings);
	free(m);
}

static void answer(struct making *m)
{
	static const char sorry[] = "The request cannot be answered.\n";
	const char *type =
		m->what == HTTP_PATH_WELL_KNOWN ? "application/json" : "text/xml; charset=utf-8";
	edge_config_done_fn *done = m->done;
	unsigned status = m->status ? m->status : 200;
	char *out = status == 200 ? malloc(EDGE_CONFIG_BODY_MAX) : NULL;
	size_t n = out ? body(m, out, EDGE_CONFIG_BODY_MAX) : 0;
	void *arg = m->arg;

	making_free(m);
	if (status == 200 && !n)
		status = 503;
	if (status == 200)
		done(arg, 200, type, span_of(out, n));
	else
		done(arg, status, "text/plain", span_of(sorry, sizeof(sorry) - 1));
	free(out);
}

/* Answer what is complete. A done() may forget, or ask for, others: from the start again. */
static void on_timer(void *arg)
{
	struct edge_config *c = arg;
	struct making *m = c->makings;

	while (m) {
		if (m->waits) {
			m = m->next;
			continue;
		}
		if (m->done)
			answer(m);
		else
			making_free(m);
		m = c->makings;
	}
}

static void complete(struct making *m)
{
	if (!m->waits)
		loop_timer_set(m->c->p.loop, &m->c->timer, 0);
}

/* ---- look-ups -------- */

static const char *error_text(int err)
{
	return err == -ENOENT ? "NameError" : err == -ETIMEDOUT ? "TimeoutError" : "ServerError";
}

static void on_srv(void *arg, int err, const struct dns_srv *records, unsigned n, unsigned ttl_s)
{
	struct question *q = arg;
	struct edge_config *c = q->c;
	struct known *k = c ? &q->domain->known[q->service] : NULL;
	struct making *m;

	if (k) {
		k->asked = NULL;
		k->srv.error = err ? error_text(err) : NULL;
		k->srv.n = err ? 0 : n;
		if (!err)
			memcpy(k->srv.records, records, n * sizeof(*records));
		k->until_ms = loop_now_ms(c->p.loop) + (err ? BAD_MS : 1000ULL * ttl_s);
		log_event(err ? LOG_L_INFO : LOG_L_DEBUG, "srv",
			  "service=%s domain=%s records=%u error=%s",
			  edge_service_names[q->service], q->domain->name, k->srv.n,
			  err ? k->srv.error : "");
	}
	for (m = c ? c->makings : NULL; m; m = m->next)
		if (m->domain == q->domain && m->waits & 1u << q->service) {
			m->waits &= ~(1u << q->service);
			complete(m);
		}
	free(q);
}

/* Ask, unless it is known or asked for already. */
static void look_up(struct making *m, enum edge_service s)
{
	struct edge_config *c = m->c;
	struct known *k = &m->domain->known[s];
	struct question *q;
	char name[300];
	int err;

	if (k->until_ms > loop_now_ms(c->p.loop))
		return;
	m->waits |= 1u << s;
	if (k->asked)
		return;
	q = calloc(1, sizeof(*q));
	if (q) {
		*q = (struct question){c, m->domain, s};
		k->asked = q;
		snprintf(name, sizeof(name), "%s._tcp.%s", edge_service_names[s], m->domain->name);
		err = dns_srv(c->p.dns, name, on_srv, q); /* may be answered already */
		if (!err)
			return;
		k->asked = NULL;
		free(q);
	}
	/* Not asked: nothing to keep. */
	k->srv = (struct edge_srv){.error = error_text(-EIO)};
	m->waits &= ~(1u << s);
}

static void on_home(void *arg, const struct cluster *home)
{
	struct making *m = arg;

	m->home = home;
	m->waits &= ~WAITS_HOME;
	complete(m);
}

/* ---- asking -------- */

/* Up to the first @c, which *rest loses with it. */
static struct span cut(struct span *rest, char c)
{
	const uint8_t *hit = rest->n ? memchr(rest->p, c, rest->n) : NULL;
	struct span one = span_cut(*rest, 0, hit ? (size_t)(hit - rest->p) : rest->n);

	*rest = span_cut(*rest, one.n + 1, rest->n);
	return one;
}

/* The byte that two hex digits at the start of @s stand for, or -1. */
static int hex(struct span s)
{
	static const char digits[] = "0123456789abcdef";
	const char *high, *low;

	if (s.n < 2 || !s.p[0] || !s.p[1])
		return -1;
	high = strchr(digits, span_lower(s.p[0]));
	low = strchr(digits, span_lower(s.p[1]));
	return high && low ? (int)(high - digits) << 4 | (int)(low - digits) : -1;
}

/* A parameter's value with its escapes undone; false: it cannot be read. Longer than any name of ours: cut, and so unknown. */
static bool unescape(struct span s, char *out, size_t cap)
{
	size_t i, n = 0;

	for (i = 0; i < s.n; i++) {
		int c = s.p[i];

		if (c == '%') {
			c = hex(span_cut(s, i + 1, 2));
			if (c < 0)
				return false;
			i += 2;
		}
		if (n + 1 < cap)
			out[n++] = (char)(c ? c : '?');
	}
	out[n] = 0;
	return true;
}

/* Which services: those named, of those that there are; none named: all. */
static bool query_read(struct span query, bool wanted[EDGE_SERVICES])
{
	bool any = false;
	unsigned n = 0;

	wanted[EDGE_TFTP_SRV] = true;
	while (query.n) {
		struct span one = cut(&query, '&'), name = cut(&one, '=');
		char value[64];

		if (++n > PARAMS_MAX || !unescape(one, value, sizeof(value)))
			return false;
		if (!span_eq(name, SPAN("service_name")))
			continue;
		any = true;
		wanted[EDGE_UDS] |= !strcmp(value, edge_service_names[EDGE_UDS]);
		wanted[EDGE_CUPLOGIN] |= !strcmp(value, edge_service_names[EDGE_CUPLOGIN]);
	}
	if (!any)
		wanted[EDGE_UDS] = wanted[EDGE_CUPLOGIN] = true;
	return true;
}

static struct domain *domain_of(struct edge_config *c, const char *name)
{
	unsigned i;

	for (i = 0; i < c->n_domains; i++)
		if (!strcasecmp(c->domains[i].name, name))
			return &c->domains[i];
	return NULL;
}

static const char *copy(char **at, const char *s)
{
	char *to = *at;

	if (!s)
		return NULL;
	*at = stpcpy(to, s) + 1;
	return to;
}

/* The edges may be gone, or called something else, when the answer is made. */
static int copy_edges(struct making *m, const struct edge_config_ask *ask)
{
	size_t n = 1;
	unsigned i;
	char *at;

	m->n_edges = ask->n_edges < EDGE_CONFIG_EDGES ? ask->n_edges : EDGE_CONFIG_EDGES;
	for (i = 0; i < m->n_edges; i++) {
		const struct edge_config_edge *e = &ask->edges[i];

		n += (e->sip_host ? strlen(e->sip_host) : 0) +
		     (e->https_host ? strlen(e->https_host) : 0) +
		     (e->xmpp_host ? strlen(e->xmpp_host) : 0) + 3;
	}
	at = m->strings = malloc(n);
	if (!at)
		return -ENOMEM;
	for (i = 0; i < m->n_edges; i++) {
		m->edges[i] = ask->edges[i];
		m->edges[i].sip_host = copy(&at, ask->edges[i].sip_host);
		m->edges[i].https_host = copy(&at, ask->edges[i].https_host);
		m->edges[i].xmpp_host = copy(&at, ask->edges[i].xmpp_host);
	}
	return 0;
}

/* What must be waited for; the status where nothing needs to be. */
static unsigned begin(struct making *m, const struct edge_config_ask *ask)
{
	unsigned i;

	if (m->c->open > EDGE_CONFIG_OPEN)
		return 503;
	m->domain = domain_of(m->c, ask->domain);
	if (!m->domain)
		return 403;
	if (m->what == HTTP_PATH_EDGE_SSO)
		return 0;
	if (!query_read(ask->query, m->wanted))
		return 400;
	if (m->what == HTTP_PATH_WELL_KNOWN && !m->user[0])
		return 0; /* nothing of the inside is told */
	for (i = 0; i < EDGE_SERVICES; i++)
		if (m->wanted[i])
			look_up(m, (enum edge_service)i);
	if (!m->user[0])
		return 0;
	m->waits |= WAITS_HOME;
	if (logon_home(m->c->p.logon, m->domain->name, m->user, on_home, m))
		m->waits &= ~WAITS_HOME; /* any node of the domain's does */
	return 0;
}

int edge_config_make(struct edge_config *c, const struct edge_config_ask *ask,
		     edge_config_done_fn *done, void *arg)
{
	struct making *m = calloc(1, sizeof(*m));

	if (!m || copy_edges(m, ask)) {
		free(m);
		return -ENOMEM;
	}
	m->c = c;
	m->done = done;
	m->arg = arg;
	m->what = ask->what;
	snprintf(m->user, sizeof(m->user), "%s", ask->user ? ask->user : "");
	m->next = c->makings;
	if (c->makings)
		c->makings->prev = m;
	c->makings = m;
	c->open++;
	m->status = begin(m, ask);
	complete(m);
	return 0;
}

void edge_config_forget(struct edge_config *c, void *arg)
{
	struct making *m;

	for (m = c->makings; m; m = m->next)
		if (m->arg == arg) {
			m->done = NULL; /* freed when nothing is under way for it */
			complete(m);
		}
}

/* ---- life -------- */

int edge_config_new(const struct edge_config_params *p, struct edge_config **out)
{
	struct edge_config *c = calloc(1, sizeof(*c));
	unsigned i, j, n = 0;

	if (!c)
		return -ENOMEM;
	c->p = *p;
	c->timer = (struct loop_timer){.fn = on_timer, .arg = c};
	for (i = 0; i < clusters_n(p->clusters); i++)
		n += clusters_at(p->clusters, i)->n_domains;
	c->domains = calloc(n ? n : 1, sizeof(*c->domains));
	if (!c->domains) {
		free(c);
		return -ENOMEM;
	}
	for (i = 0; i < clusters_n(p->clusters); i++)
		for (j = 0; j < clusters_at(p->clusters, i)->n_domains; j++)
			if (!domain_of(c, clusters_at(p->clusters, i)->domains[j]))
				c->domains[c->n_domains++].name =
					clusters_at(p->clusters, i)->domains[j];
	*out = c;
	return 0;
}

void edge_config_free(struct edge_config *c)
{
	unsigned i, j;

	if (!c)
		return;
	for (i = 0; i < c->n_domains; i++)
		for (j = 0; j < EDGE_SERVICES; j++)
			if (c->domains[i].known[j].asked)
				c->domains[i].known[j].asked->c = NULL;
	while (c->makings)
		making_free(c->makings);
	loop_timer_cancel(c->p.loop, &c->timer);
	free(c->domains);
	free(c);
}
