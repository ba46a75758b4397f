/* user/xmpp_nodes.h -- the core's chat servers: which clusters there are, where their nodes are, which of them is well, which is next.
 *
 * Data flow: configuration -> clusters -> nodes: those that are configured, each with the addresses of its name; or for a cluster
 * without any, the targets of SRV _xmpp-client._tcp (_xmpps-client._tcp with direct TLS) of each domain (RFC 6120 3.2.1). Looked up at
 * start and again when the answer's time is over; what was known before stays in use until then, and where the look-up fails.
 * xmpp_nodes_pick() -> the node for a stream -> xmpp_node_ok() or _failed().
 *
 * The choice: nodes of the best priority that are well, in turn by weight; a node that failed is passed over for 1 s, doubling to 30 s while
 * it goes on to fail, unless no other is left. A user has a home: the node that rendezvous hashing of name and nodes gives
 * (xmpp_nodes_home()). It needs no memory, so every core, and the worker after this one, sends him to the same: where a session waits
 * for its resumption (XEP-0198), which no other node can give. Who logged in elsewhere, as his home was down, is remembered
 * by the caller (user/memo.h).
 *
 * Owner rules: owns clusters, nodes and what is being looked up; a struct xmpp_node lives as long as the whole. Nothing is called from
 * within xmpp_nodes_pick(); ops.found() comes when names were found (or not) that somebody waited for.
 * Limits: 64 nodes a cluster, 4 addresses a name. */
#ifndef SALLYPORT_XMPP_NODES_H
#define SALLYPORT_XMPP_NODES_H

#include <jansson.h>

#include "user/config.h"
#include "user/dns.h"
#include "user/loop.h"
#include "user/span.h"

#define XMPP_NODES_MAX	64
#define XMPP_NODE_ADDRS 4

struct xmpp_node {
	char host[256]; /* name, or address without a port */
	uint16_t port;
	struct addr addrs[XMPP_NODE_ADDRS];
	unsigned n_addrs, next_addr;
	unsigned priority, weight;
	long credit;
	uint64_t down_until, down_ms; /* 0: well */
	uint64_t streams, logins, failures;
	char why[128]; /* the last failure */
};

struct xmpp_cluster;
struct xmpp_nodes;

struct xmpp_nodes_params {
	struct loop *loop;
	struct dns *dns;
	const struct config_xmpp *cfg;
	void (*found)(void *arg);
	void *arg;
};
/* 0 or -ENOMEM. */
int xmpp_nodes_new(const struct xmpp_nodes_params *p, struct xmpp_nodes **out);
void xmpp_nodes_free(struct xmpp_nodes *x);

/* The cluster that serves @domain (ASCII, any case), or NULL. */
struct xmpp_cluster *xmpp_nodes_cluster(struct xmpp_nodes *x, struct span domain);
const struct config_xmpp_cluster *xmpp_cluster_config(const struct xmpp_cluster *k);
unsigned xmpp_cluster_index(const struct xmpp_cluster *k);

struct xmpp_tried { /* nodes that one stream had already */
	uint64_t set;
};
/* A node of @k for @domain that was not tried; @prefer if it is well and not tried. 0 and *out, whose .addrs[.next_addr] is to be dialled,
 * and it counts as tried; -EAGAIN: its names are being looked up, wait for ops.found(); -ENOENT: there is no (further) one. */
int xmpp_nodes_pick(struct xmpp_cluster *k, const char *domain, struct xmpp_node *prefer,
		    struct xmpp_tried *tried, struct xmpp_node **out);
/* Where user@domain is at home, whether or not it is well; NULL: a cluster of one, or nothing is known yet. */
struct xmpp_node *xmpp_nodes_home(struct xmpp_cluster *k, const char *domain, const char *user);
/* The node that see-other-host names: one of the cluster's, by name or address; @port 0: any. NULL: none of ours. */
struct xmpp_node *xmpp_nodes_find(struct xmpp_cluster *k, const char *host, uint16_t port);
unsigned xmpp_node_index(const struct xmpp_cluster *k, const struct xmpp_node *n);
struct xmpp_node *xmpp_node_at(struct xmpp_cluster *k, unsigned index);
bool xmpp_node_well(const struct xmpp_cluster *k, const struct xmpp_node *n);
void xmpp_node_ok(struct xmpp_node *n);
void xmpp_node_failed(struct xmpp_cluster *k, struct xmpp_node *n, const char *why);
/* [{"cluster", "domains", "nodes": [{"node", "address", "state", "streams", "logins", "failures", "last_failure"}]}] */
json_t *xmpp_nodes_show(const struct xmpp_nodes *x);

#endif
