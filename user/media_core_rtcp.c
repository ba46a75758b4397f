/* user/media_core_rtcp.c -- RTCP of a medium that had one flow for both (RFC 5761) gets a flow of its own: a client that offers again
 * without rtcp-mux expects it on a port of its own from then on.
 *
 * In: media_core_add_rtcp(), the edge's answer. Out: a second flow of the medium, ops.opened() again; or ops.failed(), and the medium goes on
 * with one. RTCP still goes to the client by the flow that its own came by last, so nothing is lost whether or not the new description
 * comes into force. Owner: media_core; one addition a medium at a time, for MC_ALLOCATE_MS. */
#include <errno.h>

#include "user/media_core_int.h"

static void add_timeout(void *arg)
{
	mc_rtcp_failed(arg, "timeout");
}

int media_core_add_rtcp(struct media_core *m, uint64_t medium)
{
	struct medium *d = mc_medium_find(m, medium);
	int r;

	if (!d || !d->opened)
		return -ENOENT;
	if (d->flows == 2 && !d->adding) { /* added in an offer that came to nothing */
		mc_medium_opened(d);
		return 0;
	}
	if (d->flows == 2)
		return -EALREADY;
	if (!d->peer)
		return -ENOTCONN;
	mc_flush(m);
	r = mc_flow_init(d, 1);
	if (r)
		return r;
	d->flows = 2;
	d->adding = true;
	d->add_timer = (struct loop_timer){.fn = add_timeout, .arg = d};
	r = loop_timer_set(m->p.loop, &d->add_timer, MC_ALLOCATE_MS);
	if (r) {
		mc_rtcp_drop(d);
		return r;
	}
	mc_allocate_flow(&d->flow[1]);
	return 0;
}

void mc_rtcp_drop(struct medium *d)
{
	mc_flush(d->m); /* packets that wait may name the flow */
	loop_timer_cancel(d->m->p.loop, &d->add_timer);
	mc_flow_fini(d->m, &d->flow[1]);
	d->flow[1] = (struct mc_flow){};
	d->flows = 1;
	d->adding = false;
	d->rtcp_on = 0;
}

void mc_rtcp_failed(struct medium *d, const char *reason)
{
	struct media_core *m = d->m;

	mc_rtcp_drop(d);
	m->p.ops->failed(m->p.arg, d->id, reason);
}

void mc_rtcp_added(struct medium *d)
{
	d->adding = false;
	loop_timer_cancel(d->m->p.loop, &d->add_timer);
	mc_medium_opened(d);
}
