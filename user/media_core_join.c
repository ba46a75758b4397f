/* user/media_core_join.c -- the two passes of a conversation between two outside users, joined: media_core's legs among themselves.
 *
 * In: the remote address of a leg, whenever media_core_set() gives it. Out: leg->join, the leg of ours that this address is: what the
 * leg would send there is handed to that leg by media_core_data.c, as if it had come in by its socket, with no datagram
 * in between. Each direction is joined by itself, so hold, transfer and a new description need no rule of their own: they
 * name another remote, and the leg sends it datagrams again. Where the other leg goes away, nobody is at that address any more: nothing
 * is sent until another one is named.
 * Owner: legs are their media's. A leg is in the list of the leg that it hands to, and a medium that goes away leaves all lists.
 * A medium that names itself as its remote is refused and counted: nothing is sent there. */
#include "user/media_core_int.h"

/* By the RTP port; the RTCP leg has the odd one above. */
static struct medium **local_bucket(const struct media_core *m, uint16_t port)
{
	return &m->by_local[(port >> 1) & m->mask];
}

static struct mc_leg *leg_of(const struct media_core *m, const struct addr *a)
{
	struct medium *d = *local_bucket(m, a->port);

	while (d && !addr_eq(&d->leg[a->port & 1].local, a))
		d = d->next_local;
	return d ? &d->leg[a->port & 1] : NULL;
}

static void leave(struct mc_leg *leg)
{
	if (!leg->join)
		return;
	*leg->join_prev = leg->join_next;
	if (leg->join_next)
		leg->join_next->join_prev = leg->join_prev;
	leg->join = NULL;
}

void mc_join_set(struct mc_leg *leg)
{
	struct media_core *m = leg->medium->m;
	struct mc_leg *to = leg->remote.port ? leg_of(m, &leg->remote) : NULL;

	leave(leg);
	if (!to)
		return;
	if (to->medium == leg->medium) {
		m->count.joined_self++;
		leg->remote = (struct addr){};
		return;
	}
	leg->join = to;
	leg->join_next = to->joined_by;
	leg->join_prev = &to->joined_by;
	if (to->joined_by)
		to->joined_by->join_prev = &leg->join_next;
	to->joined_by = leg;
}

void mc_join_add(struct medium *d)
{
	struct medium **pp = local_bucket(d->m, d->leg[0].local.port);

	d->next_local = *pp;
	*pp = d;
}

void mc_join_del(struct medium *d)
{
	struct medium **pp = local_bucket(d->m, d->leg[0].local.port);
	struct mc_leg *by;
	unsigned i;

	for (i = 0; i < 2; i++) {
		leave(&d->leg[i]);
		while ((by = d->leg[i].joined_by)) {
			leave(by);
			if (!d->m->leaving) /* its records are for the next worker as they are */
				by->remote = (struct addr){};
		}
	}
	for (; *pp; pp = &(*pp)->next_local) {
		if (*pp == d) {
			*pp = d->next_local;
			break;
		}
	}
}

const struct mc_flow *mc_join_flow(const struct mc_leg *leg)
{
	const struct medium *d = leg->join ? leg->join->medium : NULL;

	return d ? &d->flow[leg->join->rtcp ? d->rtcp_on : 0] : NULL;
}
