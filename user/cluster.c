/* user/cluster.c -- see cluster.h. In: configuration, what became of questions. Out: whom to ask next. */
#include "user/cluster.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "user/addr.h"

struct clusters {
	struct cluster *all;
	unsigned n;
	unsigned turn; /* over all nodes of all clusters, one after the other */
};

/* ---- made once -------- */

/* @text: "host:port" or "[address]:port", as the configuration's loader left it. */
static void node_set(struct cluster_node *n, const char *text, bool https)
{
	const char *colon = strrchr(text, ':');
	char ip[ADDR_TEXT_MAX];
	struct addr a;
	size_t i, len;

	n->https = https;
	if (addr_parse(span_str(text), &a) == 0) {
		n->port = a.port;
		snprintf(n->host, sizeof(n->host), "%s", addr_ip_text(&a, ip));
		return;
	}
	len = colon ? (size_t)(colon - text) : strlen(text);
	for (i = 0; i < len && i + 1 < sizeof(n->host); i++)
		n->host[i] = (char)span_lower((uint8_t)text[i]);
	n->port = colon ? (uint16_t)strtoul(colon + 1, NULL, 10) : 0;
}

static struct cluster_node *nodes_new(const char *const *texts, unsigned n, bool https)
{
	struct cluster_node *nodes = calloc(n ? n : 1, sizeof(*nodes));
	unsigned i;

	for (i = 0; nodes && i < n; i++)
		node_set(&nodes[i], texts[i], https);
	return nodes;
}

static int cluster_set(struct cluster *k, const struct config_cluster *c)
{
	k->name = c->name;
	k->domains = (const char *const *)c->domains;
	k->n_domains = c->domains_count;
	k->https = strcmp(c->scheme, "https") == 0;
	k->tftp = (const char *const *)c->tftp;
	k->n_tftp = c->tftp_count;
	k->nodes = nodes_new((const char *const *)c->nodes, c->nodes_count, k->https);
	k->n_nodes = c->nodes_count;
	k->voicemail = nodes_new((const char *const *)c->voicemail, c->voicemail_count, k->https);
	k->n_voicemail = c->voicemail_count;
	return k->nodes && k->voicemail ? 0 : -ENOMEM;
}

int clusters_new(const struct config_core *cfg, struct clusters **out)
{
	const struct config_https *h = &cfg->https;
	struct clusters *c = calloc(1, sizeof(*c));
	unsigned i;

	if (!c)
		return -ENOMEM;
	c->all = calloc(h->clusters_count ? h->clusters_count : 1, sizeof(*c->all));
	for (i = 0; c->all && i < h->clusters_count; i++) {
		c->n++;
		if (cluster_set(&c->all[i], &h->clusters[i]))
			break;
	}
	if (!c->all || i < h->clusters_count) {
		clusters_free(c);
		return -ENOMEM;
	}
	*out = c;
	return 0;
}

void clusters_free(struct clusters *c)
{
	unsigned i;

	if (!c)
		return;
	for (i = 0; i < c->n; i++) {
		free(c->all[i].nodes);
		free(c->all[i].voicemail);
	}
	free(c->all);
	free(c);
}

unsigned clusters_n(const struct clusters *c)
{
	return c->n;
}

struct cluster *clusters_at(struct clusters *c, unsigned i)
{
	return i < c->n ? &c->all[i] : NULL;
}

bool cluster_serves(const struct cluster *k, struct span domain)
{
	unsigned i;

	for (i = 0; i < k->n_domains; i++)
		if (span_ieq(domain, span_str(k->domains[i])))
			return true;
	return false;
}

bool clusters_serve(const struct clusters *c, struct span domain)
{
	unsigned i;

	for (i = 0; i < c->n; i++)
		if (cluster_serves(&c->all[i], domain))
			return true;
	return false;
}

struct cluster *clusters_by_host(struct clusters *c, struct span domain, struct span host)
{
	unsigned i, j;

	for (i = 0; i < c->n; i++) {
		struct cluster *k = &c->all[i];

		if (!cluster_serves(k, domain))
			continue;
		for (j = 0; j < k->n_nodes; j++)
			if (span_ieq(host, span_str(k->nodes[j].host)))
				return k;
	}
	return NULL;
}

/* ---- turns -------- */

bool cluster_node_well(const struct cluster_node *n, uint64_t now_ms)
{
	return now_ms >= n->bad_until_ms;
}

/* The first node behind the one that had the last turn, in the circle of all nodes, that serves @domain and is well (or any). */
static struct cluster_node *turn_next(struct clusters *c, struct span domain, uint64_t now_ms,
				      bool any, struct cluster **home)
{
	struct cluster_node *first = NULL;
	struct cluster *first_of = NULL;
	unsigned i, j, at = 0, first_at = 0;

	for (i = 0; i < c->n; i++) {
		struct cluster *k = &c->all[i];

		for (j = 0; j < k->n_nodes; j++) {
			at++;
			if (!cluster_serves(k, domain) ||
			    !(any || cluster_node_well(&k->nodes[j], now_ms)))
				continue;
			if (!first) {
				first = &k->nodes[j];
				first_of = k;
				first_at = at;
			}
			if (at <= c->turn)
				continue;
			c->turn = at;
			*home = k;
			return &k->nodes[j];
		}
	}
	if (first) { /* once round */
		c->turn = first_at;
		*home = first_of;
	}
	return first;
}

struct cluster_node *clusters_turn(struct clusters *c, struct span domain, uint64_t now_ms,
				   struct cluster **home)
{
	struct cluster_node *n = turn_next(c, domain, now_ms, false, home);

	return n ? n : turn_next(c, domain, now_ms, true, home);
}

/* The place of the node whose turn it is within @k: the next one that is well. */
static unsigned node_turn(struct cluster *k, uint64_t now_ms)
{
	unsigned i, at = k->turn;

	for (i = 0; i < k->n_nodes; i++) {
		at = (at + 1) % k->n_nodes;
		if (cluster_node_well(&k->nodes[at], now_ms))
			break;
	}
	k->turn = at;
	return at;
}

unsigned cluster_order(struct cluster *k, const struct cluster_node *first, uint64_t now_ms,
		       struct cluster_node *out[CLUSTER_NODES_MAX])
{
	unsigned from = first ? (unsigned)(first - k->nodes) : node_turn(k, now_ms), i, n = 0;
	int well;

	for (well = 1; well >= 0; well--)
		for (i = 0; i < k->n_nodes && n < CLUSTER_NODES_MAX; i++) {
			struct cluster_node *node = &k->nodes[(from + i) % k->n_nodes];

			if (cluster_node_well(node, now_ms) == well)
				out[n++] = node;
		}
	return n;
}

void cluster_node_good(struct cluster_node *n)
{
	n->bad_until_ms = 0;
	n->failed_in_row = 0;
}

void cluster_node_failed(struct cluster_node *n, uint64_t now_ms, const char *why)
{
	uint64_t ms = CLUSTER_BAD_MS;
	unsigned i;

	n->failed++;
	for (i = 0; i < n->failed_in_row && ms < CLUSTER_BAD_MAX_MS; i++)
		ms *= 2;
	n->failed_in_row++;
	n->bad_until_ms = now_ms + (ms < CLUSTER_BAD_MAX_MS ? ms : CLUSTER_BAD_MAX_MS);
	snprintf(n->last_failure, sizeof(n->last_failure), "%s", why);
}

json_t *clusters_show(const struct clusters *c, uint64_t now_ms)
{
	json_t *list = json_array();
	unsigned i, j;

	for (i = 0; i < c->n; i++)
		for (j = 0; j < c->all[i].n_nodes; j++) {
			const struct cluster_node *n = &c->all[i].nodes[j];

			json_array_append_new(
				list,
				json_pack("{s:s, s:s, s:i, s:s, s:s, s:I, s:I, s:s*}", "cluster",
					  c->all[i].name, "node", n->host, "port", (int)n->port,
					  "scheme", n->https ? "https" : "http", "state",
					  cluster_node_well(n, now_ms) ? "well" : "out", "asked",
					  (json_int_t)n->asked, "failed", (json_int_t)n->failed,
					  "last_failure",
					  n->last_failure[0] ? n->last_failure : NULL));
		}
	return list;
}
