/* user/media_edge.h -- the flows of an edge: ports, map entries, punches, reports. No media packet passes here.
 *
 * Data flow: Allocate (link) -> slot and ports -> maps_flow_install() -> Allocated; punch datagram -> verified -> the flow's core
 * address -> Punched; Clocks -> what the flow's jitter is measured by; time -> FlowReport; Free, Hello or a core that stays away -> maps_flow_free().
 * Owner rules: owns its flow records and their slots; the maps hold the truth: a worker that starts adopts every live flow from
 * them. Keys and punch counters come again with the core's repeated Allocate; until then an adopted flow's punches are ignored and
 * its media flows on. Link peers are held from up() to down() only.
 * Limits: one flow a slot; limits.flows_stream a core and client address; REPORTS_TICK reports a tick. */
#ifndef SALLYPORT_MEDIA_EDGE_H
#define SALLYPORT_MEDIA_EDGE_H

#include <stdbool.h>
#include <stdint.h>

#include <jansson.h>

#include "user/config.h"
#include "user/link.h"
#include "user/maps.h"
#include "user/nexthop.h"
#include "user/rung.h"

#define MEDIA_EDGE_CORES 32u /* configured cores */

struct media_edge;

struct media_edge_params {
	struct maps *maps;
	struct nexthop *nexthop;
	const struct config_edge *cfg;
	struct media_rung rungs[RUNG_PAIRS_MAX]; /* of each pair */
	uint64_t seed;				 /* random */
	uint64_t now_ms;			 /* loop time, which is CLOCK_MONOTONIC */
};

int media_edge_pairs(const struct config_edge *cfg,
		     struct maps_pair out[8]); /* number of pairs or -EINVAL */
int media_edge_new(const struct media_edge_params *p, struct media_edge **out);
void media_edge_free(struct media_edge *m); /* flows in the maps live on */

/* From the link's ops. message() is true when it was ours (Allocate, Clocks, Free). */
void media_edge_up(struct media_edge *m, struct link_peer *p, const Sallyport__Hello *h,
		   uint64_t now_ms);
void media_edge_down(struct media_edge *m, struct link_peer *p, uint64_t now_ms);
bool media_edge_message(struct media_edge *m, struct link_peer *p, const Sallyport__Link *msg,
			uint64_t now_ms);
/* A datagram that BPF or the kernel brought to a punch socket. */
void media_edge_punch(struct media_edge *m, const struct addr *from, struct span data);
/* Every MEDIA_EDGE_TICK_MS. */
#define MEDIA_EDGE_TICK_MS 100
void media_edge_tick(struct media_edge *m, uint64_t now_ms);

/* Copies of the flow's packets for a capture, for so many seconds (at most MEDIA_EDGE_TAP_S; 0: no more); it ends by itself, with this worker too.
 * 0; -ENOENT (no such flow), -EBUSY (MEDIA_EDGE_TAPS already), -EOPNOTSUPP (not on XDP: a packet socket sees its packets). */
#define MEDIA_EDGE_TAPS	 16
#define MEDIA_EDGE_TAP_S 600
int media_edge_tap(struct media_edge *m, uint64_t id, unsigned seconds, uint64_t now_ms);

/* For the admin socket. */
/* For the summary, a walk over all flows: flows by rung, and what they and those before them carried. */
struct summary_flows;
void media_edge_sum(const struct media_edge *m, struct summary_flows *out);
uint64_t media_edge_refused(const struct media_edge *m, unsigned i,
			    const char **name); /* i from 0; *name NULL: no more */
unsigned media_edge_count(const struct media_edge *m);
json_t *media_edge_status(const struct media_edge *m);
const char *media_edge_rung(const struct media_edge *m); /* of all pairs, or "mixed" */
json_t *media_edge_rungs(const struct media_edge *m);	 /* array: each pair's, with its reason */
json_t *media_edge_show(const struct media_edge *m);	 /* array */
json_t *media_edge_why(const struct media_edge *m, uint64_t id); /* NULL: no such flow */

#endif
