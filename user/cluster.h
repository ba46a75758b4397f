/* user/cluster.h -- the call-server clusters that users of HTTPS belong to: nodes, their health, and whose turn it is.
 *
 * In: https.clusters of the configuration; from those who ask nodes, whether they answered. Out: an order to ask them in. A
 * node that failed is passed over for CLUSTER_BAD_MS, doubled with each further failure up to CLUSTER_BAD_MAX_MS, then tried
 * again; where all nodes are out, all are tried: what was true some seconds ago is no reason to refuse anybody. Several
 * clusters may serve one domain: a user's home is one of them.
 * Owner rules: owns copies of what it needs of the configuration; pointers to clusters and nodes live as long as it. No clock,
 * no I/O. */
#ifndef SALLYPORT_CLUSTER_H
#define SALLYPORT_CLUSTER_H

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>

#include "user/config.h"
#include "user/span.h"

#define CLUSTER_BAD_MS	   5000
#define CLUSTER_BAD_MAX_MS 60000
#define CLUSTERS_MAX	   64 /* as the configuration's */
#define CLUSTER_NODES_MAX  32

struct cluster_node {
	char host[256]; /* small letters; IPv6 canonical without brackets */
	uint16_t port;
	bool https;
	uint64_t bad_until_ms; /* 0: it is well */
	unsigned failed_in_row;
	uint64_t asked, failed; /* counters */
	char last_failure[160];
};

struct cluster {
	const char *name;
	const char *const *domains;
	unsigned n_domains;
	bool https;
	struct cluster_node *nodes;
	unsigned n_nodes, turn;
	const char *const *tftp; /* addresses or names */
	unsigned n_tftp;
	struct cluster_node *voicemail;
	unsigned n_voicemail;
};

struct clusters;

int clusters_new(const struct config_core *cfg, struct clusters **out); /* 0 or -ENOMEM */
void clusters_free(struct clusters *c);
unsigned clusters_n(const struct clusters *c);
struct cluster *clusters_at(struct clusters *c, unsigned i);

bool cluster_serves(const struct cluster *k, struct span domain); /* ASCII case-insensitive */
bool clusters_serve(const struct clusters *c, struct span domain);
/* The cluster of @domain with a node of this name or address; NULL. */
struct cluster *clusters_by_host(struct clusters *c, struct span domain, struct span host);

/* The node whose turn it is among all of the domain's clusters (*home gets its cluster): healthy ones one after the other.
 * NULL: no such domain. */
struct cluster_node *clusters_turn(struct clusters *c, struct span domain, uint64_t now_ms,
				   struct cluster **home);
/* Nodes of one cluster to ask one after the other: from @first on (NULL: the one whose turn it is), healthy ones before the
 * others. Returns how many. */
unsigned cluster_order(struct cluster *k, const struct cluster_node *first, uint64_t now_ms,
		       struct cluster_node *out[CLUSTER_NODES_MAX]);

void cluster_node_good(struct cluster_node *n);
void cluster_node_failed(struct cluster_node *n, uint64_t now_ms, const char *why);
bool cluster_node_well(const struct cluster_node *n, uint64_t now_ms);

json_t *clusters_show(const struct clusters *c, uint64_t now_ms); /* a row a node */

#endif
