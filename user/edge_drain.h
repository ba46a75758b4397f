/* user/edge_drain.h -- the edge's part of drain.h: its own state, what its cores say of theirs, what is left.
 *
 * In: "drain on|off|status" of the admin socket, links that come and go, Drain of cores. Out: streams_drain(), Drain to cores,
 * JSON. Owner: struct edge_drain is in struct edge; its cores are those of the configuration. */
#ifndef SALLYPORT_EDGE_DRAIN_H
#define SALLYPORT_EDGE_DRAIN_H

#include <jansson.h>

#include "user/drain.h"
#include "user/link.h"

#define EDGE_DRAIN_SETTLE_MS 3000 /* a core that has not counted by then counts nothing */

struct edge;

struct edge_drain {
	struct drain d;
	struct edge_drain_core { /* by its place in the configuration */
		uint64_t up_ms;	 /* 0: its link is down */
		bool heard;	 /* it has counted since */
		uint32_t calls, phones;
	} * cores;
};

/* After the streams. 0, or -ENOMEM with @why. */
int edge_drain_start(struct edge *e, char *why, size_t why_n);
void edge_drain_free(struct edge *e);
void edge_drain_up(struct edge *e, struct link_peer *p);
void edge_drain_down(struct edge *e,
		     struct link_peer *p); /* @p is out of the link's list already */
bool edge_drain_message(struct edge *e, struct link_peer *p, const Sallyport__Link *m);

json_t *edge_drain_show(struct edge *e);
json_t *edge_drain_cmd(void *arg, const json_t *req);

#endif
