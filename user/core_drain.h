/* user/core_drain.h -- the core's part of drain.h: its own state, which of its edges drain, what the engine does with that.
 *
 * In: "drain on|off|status" of the admin socket, edges that come and go, their Drain, time. Out: engine_drain() for each edge,
 * Drain to edges with what is left, JSON. Owner: struct core_drain is in struct core, the state of each edge in struct
 * core_edge. */
#ifndef SALLYPORT_CORE_DRAIN_H
#define SALLYPORT_CORE_DRAIN_H

#include <jansson.h>

#include "user/drain.h"
#include "user/link.h"
#include "user/loop.h"

#define DRAIN_APPLY_MS 100 /* from one Drain of edges that is acted upon to the next */

struct core;
struct core_edge;

struct core_drain {
	struct drain d;
	struct loop_timer timer; /* while something drains, or .soon */
	uint64_t applied_ms;	 /* 0: never */
	bool soon;		 /* edges have said something since: the timer is set for it */
	bool all;		 /* and then all are to be told */
};

void core_drain_start(struct core *c); /* with engine and edges, before the first link */
void core_drain_stop(struct core *c);
void core_drain_up(struct core *c, struct core_edge *e);
void core_drain_down(struct core *c);
bool core_drain_message(struct core *c, struct link_peer *p, const Sallyport__Link *m);
/* Whether answers to clients of this edge end their connection. */
bool core_drain_edge(struct core *c, const char *edge);

json_t *core_drain_show(struct core *c);
json_t *core_drain_cmd(void *arg, const json_t *req);

#endif
