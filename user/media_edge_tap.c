/* user/media_edge_tap.c -- leases of taps on flows (FLOW_TAP, bpf/abi.h). See media_edge.h.
 *
 * In: a flow, seconds, time. Out: the flag in the maps, off again when the lease is over. A flow that ends takes its tap with it. */
#include <errno.h>

#include "user/media_edge_impl.h"

static struct media_tap *tap_of(struct media_edge *m, uint64_t flow)
{
	unsigned i;

	for (i = 0; i < MEDIA_EDGE_TAPS; i++)
		if (m->taps[i].flow == flow)
			return &m->taps[i];
	return NULL;
}

static void tap_end(struct media_edge *m, struct media_tap *t)
{
	struct flow *f = media_flow_find(m, t->flow);

	if (f)
		maps_flow_tap(m->p.maps, f->slot, false);
	*t = (struct media_tap){};
	m->n_taps--;
}

int media_edge_tap(struct media_edge *m, uint64_t id, unsigned seconds, uint64_t now_ms)
{
	struct flow *f = id ? media_flow_find(m, id) : NULL;
	struct media_tap *t;

	if (!f)
		return -ENOENT;
	if (media_flow_rung(m, f) != RUNG_XDP)
		return -EOPNOTSUPP;
	t = tap_of(m, id);
	if (!seconds) {
		if (t)
			tap_end(m, t);
		return 0;
	}
	if (!t && !(t = tap_of(m, 0)))
		return -EBUSY;
	m->n_taps += !t->flow;
	m->tapped += !t->flow;
	if (seconds > MEDIA_EDGE_TAP_S)
		seconds = MEDIA_EDGE_TAP_S;
	*t = (struct media_tap){id, now_ms + seconds * 1000ull};
	return maps_flow_tap(m->p.maps, f->slot, true);
}

void media_taps_expire(struct media_edge *m, uint64_t now_ms)
{
	unsigned i;

	for (i = 0; i < MEDIA_EDGE_TAPS && m->n_taps; i++) {
		struct media_tap *t = &m->taps[i];

		if (!t->flow || (t->until_ms > now_ms && media_flow_find(m, t->flow)))
			continue;
		m->taps_expired++;
		tap_end(m, t);
	}
}
