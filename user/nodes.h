/* user/nodes.h -- the nodes that this one knows: itself, and those it has a link to.
 *
 * Data flow: own() makes this node's summary (user/summary.h) -> every 5 s to each peer that takes it, as a NodeReport. Peers' reports ->
 * summary_take() -> kept, one a peer, with the time it came. Both -> nodes_show(): GET /v1/nodes, `sallyctl nodes`, metrics.
 * Owner rules: owns the last report of each peer (at most NODES_MAX, names are those of the configuration) and its timer. A peer that is
 * away keeps its last report, which is stale after 15 s. A report within a second of the one before is not looked at: counted. */
#ifndef SALLYPORT_NODES_H
#define SALLYPORT_NODES_H

#include <jansson.h>

#include "user/link.h"
#include "user/loop.h"

#define NODES_MAX	256 /* peers */
#define NODES_REPORT_MS 5000
#define NODES_STALE_MS	15000

struct nodes;

struct nodes_params {
	struct loop *loop;
	const char *peer_role; /* of the other side: "edge", "core" */
	/* A new reference; @zeros: with the refusals that never were. */
	json_t *(*own)(void *arg, bool zeros);
	void (*each_peer)(void *arg, void (*fn)(void *fn_arg, struct link_peer *p), void *fn_arg);
	void *arg;
};

int nodes_new(const struct nodes_params *p, struct nodes **out); /* 0 or negative errno */
void nodes_free(struct nodes *n);
/* True: it was a NodeReport, which is dealt with. */
bool nodes_message(struct nodes *n, struct link_peer *p, const Sallyport__Link *m);
/* {"at_ms": UTC, "nodes": [own, peers by name]}; @zeros as above. A new reference. */
json_t *nodes_show(struct nodes *n, bool zeros);
/* For status: reports sent, not sent (queue full, too large), taken, refused, too_early. */
json_t *nodes_counts(const struct nodes *n);

/* A report for tests: as nodes_message() does. */
void nodes_report(struct nodes *n, const char *name, struct span text, uint64_t now_ms);

#endif
