/* user/xmpp_nodes.c -- see xmpp_nodes.h. In: configuration, look-ups, what became of connections. Out: a node. Owner: struct xmpp_nodes. */
#include "user/xmpp_nodes.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "user/log.h"

#define DOWN_FIRST_MS 1000
#define DOWN_MAX_MS   30000
#define RETRY_MS      2000 /* after a look-up that failed */

/* A name that is looked up: a configured node's host, or a domain by SRV. */
struct place {
	struct xmpp_cluster *cluster;
	char name[256];
	uint16_t port;
	struct xmpp_node *node; /* of a host; NULL: SRV */
	uint64_t due_ms;	/* when to ask again */
	bool asking, known, waited;
	unsigned n; /* SRV: its nodes */
	uint8_t nodes[DNS_TARGETS_MAX];
};

struct xmpp_cluster {
	struct xmpp_nodes *x;
	const struct config_xmpp_cluster *cfg;
	struct xmpp_node *nodes;
	unsigned n_nodes;
	struct place *places;
	unsigned n_places;
};

struct xmpp_nodes {
	struct xmpp_nodes_params p;
	struct xmpp_cluster *clusters;
	unsigned n_clusters;
};

/* ---- look-ups ---- */

static bool node_listed(const struct xmpp_cluster *k, const struct xmpp_node *n)
{
	unsigned i, j;

	for (i = 0; i < k->n_places; i++) {
		const struct place *p = &k->places[i];

		if (p->node == n)
			return true;
		for (j = 0; j < p->n; j++)
			if (&k->nodes[p->nodes[j]] == n)
				return true;
	}
	return false;
}

/* One that no name leads to any more, and no stream: its place is another's. */
static struct xmpp_node *node_spare(struct xmpp_cluster *k)
{
	unsigned i;

	for (i = 0; i < k->n_nodes; i++)
		if (!k->nodes[i].streams && !node_listed(k, &k->nodes[i]))
			return &k->nodes[i];
	return NULL;
}

static struct xmpp_node *node_of_addr(struct xmpp_cluster *k, const struct addr *a)
{
	struct xmpp_node *n;
	char text[ADDR_TEXT_MAX];
	unsigned i;

	for (i = 0; i < k->n_nodes; i++)
		if (addr_eq(&k->nodes[i].addrs[0], a))
			return &k->nodes[i];
	n = k->n_nodes < XMPP_NODES_MAX ? &k->nodes[k->n_nodes++] : node_spare(k);
	if (!n)
		return NULL;
	*n = (struct xmpp_node){};
	n->addrs[0] = *a;
	n->n_addrs = 1;
	n->port = a->port;
	snprintf(n->host, sizeof(n->host), "%s", addr_ip_text(a, text));
	return n;
}

static void take_service(struct place *p, const struct dns_target *t, unsigned n)
{
	struct xmpp_cluster *k = p->cluster;
	struct xmpp_node *node;
	unsigned i;

	p->n = 0;
	for (i = 0; i < n; i++) {
		node = node_of_addr(k, &t[i].addr);
		if (!node)
			break; /* 64 are enough */
		node->priority = t[i].priority;
		node->weight = t[i].weight;
		p->nodes[p->n++] = (uint8_t)(node - k->nodes);
	}
}

static void take_host(struct place *p, const struct dns_target *t, unsigned n)
{
	struct xmpp_node *node = p->node;
	unsigned i;

	node->n_addrs = n < XMPP_NODE_ADDRS ? n : XMPP_NODE_ADDRS;
	for (i = 0; i < node->n_addrs; i++) {
		node->addrs[i] = t[i].addr;
		node->addrs[i].port = node->port;
	}
	if (node->next_addr >= node->n_addrs)
		node->next_addr = 0;
}

static void place_found(void *arg, int err, const struct dns_target *t, unsigned n, unsigned ttl_s)
{
	struct place *p = arg;
	struct xmpp_nodes *x = p->cluster->x;
	bool waited = p->waited;

	p->asking = p->waited = false;
	if (err == -ECANCELED)
		return; /* the resolver's end */
	p->due_ms = loop_now_ms(x->p.loop) + (err ? RETRY_MS : ttl_s * 1000ull);
	p->known = true;
	if (err)
		log_event(LOG_L_WARN, "xmpp-look-up", "cluster=%s name=%s error=\"%s\"",
			  p->cluster->cfg->name, p->name, strerror(-err));
	else if (p->node)
		take_host(p, t, n);
	else
		take_service(p, t, n);
	if (waited)
		x->p.found(x->p.arg);
}

/* Ask, if it is time. */
static void place_ask(struct place *p)
{
	struct xmpp_cluster *k = p->cluster;
	struct xmpp_nodes *x = k->x;
	bool direct = strcmp(k->cfg->tls, "direct") == 0;
	struct addr literal;
	int err;

	if (p->asking || loop_now_ms(x->p.loop) < p->due_ms)
		return;
	if (p->node && addr_parse(span_str(p->name), &literal) == 0) {
		literal.port = p->port;
		p->node->addrs[0] = literal;
		p->node->n_addrs = 1;
		p->known = true;
		p->due_ms = UINT64_MAX;
		return;
	}
	p->asking = true;
	err = p->node ? dns_host(x->p.dns, p->name, p->port, place_found, p)
		      : dns_service(x->p.dns, direct ? "_xmpps-client._tcp" : "_xmpp-client._tcp",
				    p->name, p->port, place_found, p);
	if (err) {
		p->asking = false;
		p->due_ms = loop_now_ms(x->p.loop) + RETRY_MS;
	}
}

/* ---- choice ---- */

bool xmpp_node_well(const struct xmpp_cluster *k, const struct xmpp_node *n)
{
	return n->n_addrs && loop_now_ms(k->x->p.loop) >= n->down_until;
}

struct candidates {
	struct xmpp_node *n[XMPP_NODES_MAX];
	unsigned count;
};

static struct place *place_of(struct xmpp_cluster *k, const char *domain)
{
	unsigned i;

	for (i = 0; i < k->n_places; i++)
		if (strcasecmp(k->places[i].name, domain) == 0)
			return &k->places[i];
	return NULL;
}

/* The nodes for @domain whose addresses are known. 0, or -EAGAIN: none yet, but that will change. */
static int candidates_of(struct xmpp_cluster *k, const char *domain, struct candidates *c)
{
	bool waits = false;
	unsigned i;

	c->count = 0;
	for (i = 0; i < k->n_places; i++) {
		struct place *p = &k->places[i];

		if (!p->node && strcasecmp(p->name, domain))
			continue;
		place_ask(p);
		waits |= p->asking && !p->known;
		p->waited |= p->asking && !p->known;
		if (p->node && p->node->n_addrs)
			c->n[c->count++] = p->node;
	}
	if (!k->cfg->nodes_count) {
		const struct place *p = place_of(k, domain);

		for (i = 0; p && i < p->n; i++)
			c->n[c->count++] = &k->nodes[p->nodes[i]];
	}
	return !c->count && waits ? -EAGAIN : 0;
}

static bool had(const struct xmpp_cluster *k, const struct xmpp_tried *t, const struct xmpp_node *n)
{
	return t->set >> xmpp_node_index(k, n) & 1;
}

/* Of those that are left, by priority, in turn by weight: who has waited longest for its share. */
static struct xmpp_node *in_turn(struct xmpp_cluster *k, const struct candidates *c,
				 const struct xmpp_tried *t, bool well)
{
	unsigned best = UINT32_MAX, i;
	struct xmpp_node *pick = NULL;
	long total = 0;

	for (i = 0; i < c->count; i++)
		if (!had(k, t, c->n[i]) && (!well || xmpp_node_well(k, c->n[i])) &&
		    c->n[i]->priority < best)
			best = c->n[i]->priority;
	for (i = 0; i < c->count; i++) {
		struct xmpp_node *n = c->n[i];

		if (had(k, t, n) || (well && !xmpp_node_well(k, n)) || n->priority != best)
			continue;
		n->credit += (long)n->weight + 1;
		total += (long)n->weight + 1;
		if (!pick || n->credit > pick->credit)
			pick = n;
	}
	if (pick)
		pick->credit -= total;
	return pick;
}

int xmpp_nodes_pick(struct xmpp_cluster *k, const char *domain, struct xmpp_node *prefer,
		    struct xmpp_tried *tried, struct xmpp_node **out)
{
	struct candidates c;
	struct xmpp_node *n = NULL;
	int err = candidates_of(k, domain, &c);

	if (err)
		return err;
	if (prefer && !had(k, tried, prefer) && xmpp_node_well(k, prefer))
		n = prefer;
	if (!n)
		n = in_turn(k, &c, tried, true);
	if (!n)
		n = in_turn(k, &c, tried, false);
	if (!n)
		return -ENOENT;
	tried->set |= 1ull << xmpp_node_index(k, n);
	*out = n;
	return 0;
}

/* FNV-1a, ASCII case folded; and a finish that spreads the last bytes (MurmurHash3). */
static uint64_t hash(uint64_t h, const char *s)
{
	for (; *s; s++)
		h = (h ^ span_lower((uint8_t)*s)) * 0x100000001b3ull;
	return h * 31;
}

static uint64_t spread(uint64_t h)
{
	h = (h ^ (h >> 33)) * 0xff51afd7ed558ccdull;
	h = (h ^ (h >> 33)) * 0xc4ceb9fe1a85ec53ull;
	return h ^ (h >> 33);
}

struct xmpp_node *xmpp_nodes_home(struct xmpp_cluster *k, const char *domain, const char *user)
{
	uint64_t best = 0, h = hash(hash(0xcbf29ce484222325ull, user), domain), score;
	struct xmpp_node *home = NULL;
	unsigned first = UINT32_MAX, i;
	struct candidates c;
	char port[8];

	if (candidates_of(k, domain, &c) || c.count < 2)
		return NULL;
	for (i = 0; i < c.count; i++)
		if (c.n[i]->priority < first)
			first = c.n[i]->priority;
	for (i = 0; i < c.count; i++) {
		if (c.n[i]->priority != first)
			continue;
		snprintf(port, sizeof(port), ":%u", c.n[i]->port);
		score = spread(hash(hash(h, c.n[i]->host), port));
		if (!home || score > best) {
			home = c.n[i];
			best = score;
		}
	}
	return home;
}

struct xmpp_node *xmpp_nodes_find(struct xmpp_cluster *k, const char *host, uint16_t port)
{
	struct addr a;
	bool literal = addr_parse(span_str(host), &a) == 0;
	unsigned i, j;

	for (i = 0; i < k->n_nodes; i++) {
		struct xmpp_node *n = &k->nodes[i];

		if (port && port != n->port)
			continue;
		if (strcasecmp(n->host, host) == 0)
			return n;
		for (j = 0; literal && j < n->n_addrs; j++)
			if (addr_ip_eq(&n->addrs[j], &a))
				return n;
	}
	return NULL;
}

unsigned xmpp_node_index(const struct xmpp_cluster *k, const struct xmpp_node *n)
{
	return (unsigned)(n - k->nodes);
}

struct xmpp_node *xmpp_node_at(struct xmpp_cluster *k, unsigned index)
{
	return index < k->n_nodes ? &k->nodes[index] : NULL;
}

void xmpp_node_ok(struct xmpp_node *n)
{
	n->down_ms = n->down_until = 0;
}

void xmpp_node_failed(struct xmpp_cluster *k, struct xmpp_node *n, const char *why)
{
	uint64_t now = loop_now_ms(k->x->p.loop);

	n->failures++;
	snprintf(n->why, sizeof(n->why), "%s", why);
	if (n->n_addrs)
		n->next_addr = (n->next_addr + 1) % n->n_addrs;
	if (now < n->down_until)
		return; /* several streams saw the same */
	n->down_ms = n->down_ms ? n->down_ms * 2 : DOWN_FIRST_MS;
	if (n->down_ms > DOWN_MAX_MS)
		n->down_ms = DOWN_MAX_MS;
	n->down_until = now + n->down_ms;
	log_event(LOG_L_WARN, "xmpp-node-down", "cluster=%s node=%s:%u for_ms=%llu reason=\"%s\"",
		  k->cfg->name, n->host, n->port, (unsigned long long)n->down_ms, n->why);
}

/* ---- life ---- */

struct xmpp_cluster *xmpp_nodes_cluster(struct xmpp_nodes *x, struct span domain)
{
	unsigned i, j;

	for (i = 0; i < x->n_clusters; i++)
		for (j = 0; j < x->clusters[i].cfg->domains_count; j++)
			if (span_ieq(span_str(x->clusters[i].cfg->domains[j]), domain))
				return &x->clusters[i];
	return NULL;
}

const struct config_xmpp_cluster *xmpp_cluster_config(const struct xmpp_cluster *k)
{
	return k->cfg;
}

unsigned xmpp_cluster_index(const struct xmpp_cluster *k)
{
	return (unsigned)(k - k->x->clusters);
}

static void place_node(struct xmpp_cluster *k, struct place *p, const char *hostport)
{
	struct xmpp_node *n = &k->nodes[k->n_nodes++];
	struct addr a;
	char ip[ADDR_TEXT_MAX];
	const char *colon = strrchr(hostport, ':');

	if (addr_parse(span_str(hostport), &a) == 0) {
		snprintf(n->host, sizeof(n->host), "%s", addr_ip_text(&a, ip));
		n->port = a.port;
	} else { /* "name:port": the configuration's normal form */
		snprintf(n->host, sizeof(n->host), "%.*s", (int)(colon - hostport), hostport);
		n->port = (uint16_t)strtoul(colon + 1, NULL, 10);
	}
	p->node = n;
	p->port = n->port;
	snprintf(p->name, sizeof(p->name), "%s", n->host);
}

static int cluster_init(struct xmpp_nodes *x, struct xmpp_cluster *k,
			const struct config_xmpp_cluster *cfg)
{
	unsigned i, n = cfg->nodes_count;

	k->x = x;
	k->cfg = cfg;
	if (n > XMPP_NODES_MAX)
		n = XMPP_NODES_MAX;
	k->nodes = calloc(n ? n : XMPP_NODES_MAX, sizeof(*k->nodes));
	k->n_places = n ? n : cfg->domains_count;
	k->places = calloc(k->n_places, sizeof(*k->places));
	if (!k->nodes || !k->places)
		return -ENOMEM;
	for (i = 0; i < k->n_places; i++) {
		struct place *p = &k->places[i];

		p->cluster = k;
		if (n) {
			place_node(k, p, cfg->nodes[i]);
		} else {
			p->port = strcmp(cfg->tls, "direct") == 0 ? 5223 : 5222;
			snprintf(p->name, sizeof(p->name), "%s", cfg->domains[i]);
		}
		if (n || i < 16)
			place_ask(p); /* the other domains when somebody comes for them */
	}
	return 0;
}

int xmpp_nodes_new(const struct xmpp_nodes_params *p, struct xmpp_nodes **out)
{
	struct xmpp_nodes *x = calloc(1, sizeof(*x));
	unsigned i;
	int err = 0;

	if (!x)
		return -ENOMEM;
	x->p = *p;
	x->clusters = calloc(p->cfg->clusters_count + 1, sizeof(*x->clusters));
	if (!x->clusters)
		err = -ENOMEM;
	for (i = 0; i < p->cfg->clusters_count && !err; i++) {
		x->n_clusters++;
		err = cluster_init(x, &x->clusters[i], &p->cfg->clusters[i]);
	}
	if (err)
		xmpp_nodes_free(x);
	else
		*out = x;
	return err;
}

/* The owner frees the resolver first: it calls back for what is open. */
void xmpp_nodes_free(struct xmpp_nodes *x)
{
	unsigned i;

	if (!x)
		return;
	for (i = 0; i < x->n_clusters; i++) {
		free(x->clusters[i].nodes);
		free(x->clusters[i].places);
	}
	free(x->clusters);
	free(x);
}

static json_t *node_show(const struct xmpp_cluster *k, const struct xmpp_node *n)
{
	char name[280], at[ADDR_TEXT_MAX] = "unknown";

	snprintf(name, sizeof(name), "%s:%u", n->host, n->port);
	if (n->n_addrs)
		addr_text(&n->addrs[n->next_addr], at);
	return json_pack("{s:s, s:s, s:s, s:I, s:I, s:I, s:s}", "node", name, "address", at,
			 "state",
			 !n->n_addrs		? "no address"
			 : xmpp_node_well(k, n) ? "up"
						: "down",
			 "streams", (json_int_t)n->streams, "logins", (json_int_t)n->logins,
			 "failures", (json_int_t)n->failures, "last_failure", n->why);
}

json_t *xmpp_nodes_show(const struct xmpp_nodes *x)
{
	json_t *list = json_array();
	unsigned i, j;

	for (i = 0; i < x->n_clusters; i++) {
		const struct xmpp_cluster *k = &x->clusters[i];
		json_t *nodes = json_array();

		for (j = 0; j < k->n_nodes; j++)
			json_array_append_new(nodes, node_show(k, &k->nodes[j]));
		json_array_append_new(list, json_pack("{s:s, s:i, s:o}", "cluster", k->cfg->name,
						      "domains", (int)k->cfg->domains_count,
						      "nodes", nodes));
	}
	return list;
}
