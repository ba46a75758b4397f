/* user/media_pass_join.c -- two media that are each other's inside party: carried from edge to edge. See media_pass_int.h.
 *
 * In: media whose inside party was set. Out: a couple of slots of a pair whose both sides are link addresses, and punches from there.
 * Each medium keeps its own slots: its inside party may be another one again (a transfer), and a later worker sees from them who is
 * joined with whom. While the edges learn the new ports, packets to the old ones find nobody and are dropped. */
#include <errno.h>
#include <stdlib.h>
#include <unistd.h>

#include <openssl/rand.h>

#include "user/log.h"
#include "user/media_pass_int.h"

static unsigned side_of(const struct pass_join *j, const struct pass_medium *d)
{
	return j->end[1] == d;
}

int mp_punch_fd(const struct pass_flow *f)
{
	const struct pass_join *j = f->medium->join;

	return j ? j->flow[f->rtcp].fd[side_of(j, f->medium)] : f->fd;
}

/* Who @d's inside party is, if it is another medium that has @d as its own. */
static struct pass_medium *partner_of(const struct pass_medium *d)
{
	struct pass_flow *f = mp_inside_find(d->m, &d->flow[0].f.core), *back;

	if (!f || f->rtcp || f->medium == d)
		return NULL;
	back = mp_inside_find(d->m, &f->f.core);
	return back == &d->flow[0] ? f->medium : NULL;
}

static unsigned relay_of(const struct pass_medium *d)
{
	return slots_pair_of(d->m->slots, d->flow[0].slot);
}

/* ---- end ---- */

static void sockets_close(struct pass_join *j, unsigned i)
{
	unsigned k;

	for (k = 0; k < 2; k++)
		if (j->flow[i].fd[k] >= 0)
			close(j->flow[i].fd[k]);
}

void mp_join_forget(struct pass_join *j)
{
	if (!j)
		return;
	j->end[0]->join = j->end[1]->join = NULL;
	sockets_close(j, 0);
	sockets_close(j, 1);
	free(j);
}

static void flow_end(struct media_pass *m, struct pass_join *j, unsigned i)
{
	sockets_close(j, i);
	if (j->flow[i].slot == MP_NO_SLOT)
		return;
	mp_slot_gone(m, j->flow[i].slot);
	maps_flow_free(m->p.maps, j->flow[i].slot);
	nexthop_put(m->p.nexthop, j->flow[i].f.nh_out);
	nexthop_put(m->p.nexthop, j->flow[i].f.nh_in);
	slots_give(m->slots, j->flow[i].slot, loop_now_ms(m->p.loop));
}

void mp_join_end(struct pass_join *j)
{
	struct media_pass *m;
	unsigned i, k;

	if (!j)
		return;
	m = j->end[0]->m;
	for (k = 0; k < 2; k++)
		j->end[k]->join = NULL;
	for (i = 0; i < 2; i++)
		flow_end(m, j, 1 - i); /* RTP last: a couple rests when both are free */
	for (k = 0; k < 2; k++)
		for (i = 0; i < 2; i++)
			mp_punch_again(&j->end[k]->flow[i]);
	m->n_joins--;
	free(j);
}

/* ---- begin ---- */

static struct pass_join *join_new(struct pass_medium *a, struct pass_medium *b)
{
	struct pass_join *j = calloc(1, sizeof(*j));
	unsigned i;

	if (!j)
		return NULL;
	j->end[0] = a;
	j->end[1] = b;
	for (i = 0; i < 2; i++) {
		j->flow[i].slot = MP_NO_SLOT;
		j->flow[i].fd[0] = j->flow[i].fd[1] = -1;
	}
	a->join = b->join = j;
	a->m->n_joins++;
	return j;
}

static int sockets_open(struct media_pass *m, struct pass_join *j, unsigned i)
{
	struct addr side[2];
	unsigned k;

	maps_slot_addrs(m->p.maps, j->flow[i].slot, &side[0], &side[1]);
	for (k = 0; k < 2; k++) {
		j->flow[i].fd[k] = mp_socket(&side[k]);
		if (j->flow[i].fd[k] < 0)
			return j->flow[i].fd[k];
	}
	return 0;
}

void mp_join_clocks(struct pass_join *j)
{
	const struct flow_clocks *c = &j->end[0]->clocks;

	maps_flow_clocks(j->end[0]->m->p.maps, j->flow[0].slot, c->in, FLOW_CLOCKS, c->out,
			 FLOW_CLOCKS);
}

static int flow_begin(struct media_pass *m, struct pass_join *j, unsigned i)
{
	const struct pass_flow *a = &j->end[0]->flow[i], *b = &j->end[1]->flow[i];
	struct maps_flow f = {.client = a->edge, .core = b->edge, .pinned = true, .no_stun = true};
	int r = sockets_open(m, j, i);

	if (!r && RAND_bytes((unsigned char *)&f.id, sizeof(f.id)) != 1)
		r = -EIO;
	f.note = a->f.note;
	f.note.flags |= MP_NOTE_JOIN;
	if (r)
		return r;
	nexthop_get(m->p.nexthop, &a->edge, &f.nh_out);
	nexthop_get(m->p.nexthop, &b->edge, &f.nh_in);
	j->flow[i].f = f;
	r = maps_flow_install(m->p.maps, j->flow[i].slot, &f);
	if (!r && !i)
		mp_join_clocks(j);
	return r;
}

static int join_begin(struct media_pass *m, struct pass_join *j, unsigned pair)
{
	uint32_t rtp, rtcp;
	int r = slots_take(m->slots, pair, loop_now_ms(m->p.loop), &rtp);

	if (r)
		return r;
	j->flow[0].slot = rtp;
	r = slots_take_next(m->slots, rtp, &rtcp);
	if (r)
		return r;
	j->flow[1].slot = rtcp;
	r = flow_begin(m, j, 0);
	return r ? r : flow_begin(m, j, 1);
}

static void join_pair(struct pass_medium *d, struct pass_medium *other)
{
	struct media_pass *m = d->m;
	struct pass_medium *a = relay_of(d) <= relay_of(other) ? d : other;
	struct pass_medium *b = a == d ? other : d;
	struct pass_join *j = join_new(a, b);
	unsigned i, k;
	int r = j ? join_begin(m, j, m->join_pair[relay_of(a)][relay_of(b)]) : -ENOMEM;

	if (r) {
		m->count.join_failed++;
		log_event(LOG_L_WARN, "media-not-joined", "medium=%016llx with=%016llx error=%s",
			  (unsigned long long)a->id, (unsigned long long)b->id,
			  r == -ENOSPC ? "no-ports" : strerrorname_np(-r));
		mp_join_end(j);
		return;
	}
	for (k = 0; k < 2; k++)
		for (i = 0; i < 2; i++)
			mp_punch_again(&j->end[k]->flow[i]);
}

void mp_join_review(struct pass_medium *d)
{
	struct pass_medium *other = partner_of(d);

	if (d->join && (d->join->end[0] == other || d->join->end[1] == other))
		return;
	mp_join_end(d->join);
	if (other) {
		mp_join_end(other->join);
		join_pair(d, other);
	}
}

void mp_join_edge(struct pass_flow *f)
{
	struct pass_join *j = f->medium->join;
	struct media_pass *m = f->medium->m;
	struct maps_flow next;
	unsigned side;

	if (!j)
		return;
	side = side_of(j, f->medium);
	next = j->flow[f->rtcp].f;
	*(side ? &next.core : &next.client) = f->edge;
	nexthop_put(m->p.nexthop, side ? next.nh_in : next.nh_out);
	*(side ? &next.nh_in : &next.nh_out) = 0;
	nexthop_get(m->p.nexthop, &f->edge, side ? &next.nh_in : &next.nh_out);
	j->flow[f->rtcp].f = next;
	if (maps_flow_update(m->p.maps, j->flow[f->rtcp].slot, &next))
		m->count.bad_family++;
}

/* ---- of an earlier worker ---- */

void mp_join_adopt(struct media_pass *m, uint32_t slot, const struct maps_flow *mf)
{
	struct pass_medium *a = mp_medium_find(m, mf->note.medium);
	struct pass_medium *b = a && a->flow[0].slot != MP_NO_SLOT ? partner_of(a) : NULL;
	unsigned i = mf->note.flags & MP_NOTE_RTCP;
	struct pass_join *j = a ? a->join : NULL;

	if (b && !j && !b->join)
		j = join_new(a, b);
	if (!j || j->end[0] != a || j->flow[i].slot != MP_NO_SLOT || slots_adopt(m->slots, slot)) {
		m->count.not_adopted++;
		maps_flow_free(m->p.maps, slot);
		return;
	}
	j->flow[i].slot = slot;
	j->flow[i].f = *mf;
	j->flow[i].f.pinned = true;
	j->flow[i].f.nh_out = j->flow[i].f.nh_in = 0;
	nexthop_adopt(m->p.nexthop, mf->nh_out, &mf->client, &j->flow[i].f.nh_out);
	nexthop_adopt(m->p.nexthop, mf->nh_in, &mf->core, &j->flow[i].f.nh_in);
	if (j->flow[i].f.nh_out != mf->nh_out || j->flow[i].f.nh_in != mf->nh_in)
		maps_flow_update(m->p.maps, slot, &j->flow[i].f);
	(void)sockets_open(
		m, j,
		i); /* a side without one is not punched again: its edge keeps what it has learned */
}

void mp_join_adopted(struct media_pass *m)
{
	struct pass_medium *d;

	for (d = m->list; d; d = d->list_next)
		if (d->join &&
		    (d->join->flow[0].slot == MP_NO_SLOT || d->join->flow[1].slot == MP_NO_SLOT))
			mp_join_end(d->join);
}
