/* user/media_pass_flow.c -- slots, sockets and map entries of flows that pass; those of an earlier worker. See media_pass_int.h.
 *
 * In: addresses. Out: entries in the maps, which the programs follow at once. Each flow in the maps carries a note from which a later
 * worker makes its record again. */
#include <errno.h>
#include <linux/filter.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <openssl/rand.h>

#include "user/log.h"
#include "user/media_pass_int.h"

/* Which edge, in 32 bits that do not change when the configuration names another one before it (FNV-1a). */
static uint32_t edge_note(const char *name)
{
	uint32_t h = 0x811c9dc5;

	for (; *name; name++)
		h = (h ^ (uint8_t)*name) * 0x01000193;
	return h;
}

/* ---- sockets ---- */

/* Takes nothing in: a datagram that the program passed up (an instant before its flow was on, a STUN request) is of no use here. */
static int socket_deaf(int fd)
{
	struct sock_filter none[] = {BPF_STMT(BPF_RET | BPF_K, 0)};
	struct sock_fprog prog = {.len = 1, .filter = none};

	return setsockopt(fd, SOL_SOCKET, SO_ATTACH_FILTER, &prog, sizeof(prog)) ? -errno : 0;
}

int mp_socket(const struct addr *bind_to)
{
	struct sockaddr_storage ss;
	socklen_t len = addr_to_sockaddr(bind_to, &ss);
	int fd = socket(ss.ss_family, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0), r, one = 1;

	if (fd < 0)
		return -errno;
	r = socket_deaf(fd);
	if (!r && ss.ss_family == AF_INET6 &&
	    setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &one, sizeof(one)))
		r = -errno;
	if (!r && bind(fd, (struct sockaddr *)&ss, len))
		r = -errno;
	if (!r)
		return fd;
	close(fd);
	return r;
}

/* ---- addresses ---- */

struct addr mp_flow_inside(const struct pass_flow *f)
{
	const struct media_pass *m = f->medium->m;
	const struct pass_pair *p = &m->relay[slots_pair_of(m->slots, f->slot)];
	struct addr a = p->inside;

	a.port = (uint16_t)(p->inside_base + f->slot - p->slot0);
	return a;
}

struct pass_flow *mp_inside_find(const struct media_pass *m, const struct addr *a)
{
	unsigned i;

	for (i = 0; i < m->n_relay && a->port; i++) {
		const struct pass_pair *p = &m->relay[i];
		uint16_t at = (uint16_t)(a->port - p->inside_base);

		if (addr_ip_eq(a, &p->inside) && at < p->range)
			return m->by_slot[p->slot0 + at];
	}
	return NULL;
}

static bool is_ours(const struct media_pass *m, const struct addr *a)
{
	unsigned i;

	for (i = 0; i < m->n_relay; i++)
		if (addr_ip_eq(a, &m->relay[i].inside) &&
		    (uint16_t)(a->port - m->relay[i].inside_base) < m->relay[i].range)
			return true;
	return false;
}

uint64_t mp_last_ms(const struct media_pass *m, uint32_t slot)
{
	struct maps_flow_report r;

	if (slot == MP_NO_SLOT || maps_flow_read(m->p.maps, slot, &r))
		return 0;
	return (r.last_in_ns > r.last_out_ns ? r.last_in_ns : r.last_out_ns) / 1000000u;
}

/* ---- slots ---- */

static struct addr link_addr(const struct media_pass *m, uint32_t slot)
{
	struct addr link, inside;

	maps_slot_addrs(m->p.maps, slot, &link, &inside);
	return link;
}

static int couple_bind(struct pass_medium *d, uint32_t rtp)
{
	struct media_pass *m = d->m;
	struct addr a = link_addr(m, rtp), b = link_addr(m, rtp + 1);
	int fd = mp_socket(&a), fd2 = fd < 0 ? fd : mp_socket(&b);

	if (fd2 < 0) {
		if (fd >= 0)
			close(fd);
		return fd2;
	}
	d->flow[0].slot = rtp;
	d->flow[1].slot = rtp + 1;
	d->flow[0].fd = fd;
	d->flow[1].fd = fd2;
	m->by_slot[rtp] = &d->flow[0];
	m->by_slot[rtp + 1] = &d->flow[1];
	return 0;
}

/* Two ports of the next pair whose link address is of the edge's family. Such as somebody else has bound rest like used ones. */
static int couple_take(struct pass_medium *d)
{
	struct media_pass *m = d->m;
	uint64_t now = loop_now_ms(m->p.loop);
	unsigned i, tries = 0;
	uint32_t rtp, rtcp;
	int r;

	for (i = 0; i < m->n_relay && tries < MP_BIND_TRIES; i++) {
		unsigned pair = (m->next_pair + i) % m->n_relay;

		if (addr_is_v4(&m->pairs[pair].outside) != addr_is_v4(&d->flow[0].edge))
			continue;
		for (; tries < MP_BIND_TRIES && !slots_take(m->slots, pair, now, &rtp); tries++) {
			r = slots_take_next(m->slots, rtp, &rtcp);
			if (!r)
				r = couple_bind(d, rtp);
			if (!r) {
				m->next_pair = pair + 1;
				return 0;
			}
			slots_give(m->slots, rtp + 1, now);
			slots_give(m->slots, rtp, now);
			if (r != -EADDRINUSE)
				return -ENOBUFS;
		}
	}
	return -ENOBUFS;
}

void mp_flow_remove(struct pass_flow *f)
{
	struct media_pass *m = f->medium->m;

	if (f->fd >= 0)
		close(f->fd);
	f->fd = -1;
	if (f->slot == MP_NO_SLOT)
		return;
	mp_slot_gone(m, f->slot);
	maps_flow_free(m->p.maps, f->slot);
	nexthop_put(m->p.nexthop, f->f.nh_out);
	nexthop_put(m->p.nexthop, f->f.nh_in);
	m->by_slot[f->slot] = NULL;
	slots_give(m->slots, f->slot, loop_now_ms(m->p.loop));
	f->slot = MP_NO_SLOT;
}

/* ---- flows ---- */

static void note_make(const struct pass_flow *f, struct maps_note *out)
{
	const struct pass_medium *d = f->medium;

	*out = (struct maps_note){.medium = d->id,
				  .client = d->client,
				  .edge = edge_note(d->edge),
				  .flags = f->rtcp ? MP_NOTE_RTCP : 0};
	out->client.port = 0;
}

int mp_flows_install(struct pass_medium *d)
{
	struct media_pass *m = d->m;
	unsigned i;
	int r = couple_take(d);

	for (i = 0; i < 2 && !r; i++) {
		struct pass_flow *f = &d->flow[i];

		/* Nobody inside yet: what the edge sends waits for media_pass_set(). */
		f->f = (struct maps_flow){.id = f->id,
					  .client = f->edge,
					  .pinned = true,
					  .no_stun = true,
					  .loose = true};
		f->f.core.ip[10] = f->f.core.ip[11] = 0xff;
		note_make(f, &f->f.note);
		r = nexthop_get(m->p.nexthop, &f->edge, &f->f.nh_out);
		if (!r)
			r = maps_flow_install(m->p.maps, f->slot, &f->f);
	}
	return r; /* what was taken goes with the medium */
}

/* Write what changed; next hops of the old entry are given back, those of a refused one, too. */
static int flow_change(struct pass_flow *f, struct maps_flow *next)
{
	struct media_pass *m = f->medium->m;
	int r;

	note_make(f, &next->note);
	r = maps_flow_update(m->p.maps, f->slot, next);
	if (next->nh_out != f->f.nh_out)
		nexthop_put(m->p.nexthop, r ? next->nh_out : f->f.nh_out);
	if (next->nh_in != f->f.nh_in)
		nexthop_put(m->p.nexthop, r ? next->nh_in : f->f.nh_in);
	if (!r)
		f->f = *next;
	return r;
}

/* An entry of its own for @a, so that flow_change() can tell it from the old one even where it has the same number. */
static uint32_t hop(struct media_pass *m, const struct addr *a, uint32_t old)
{
	uint32_t index = 0;

	if (nexthop_get(m->p.nexthop, a, &index)) {
		m->count.no_route++;
		return 0;
	}
	if (index == old)
		nexthop_put(m->p.nexthop, index);
	return index;
}

void mp_flow_edge(struct pass_flow *f, const struct addr *edge)
{
	struct maps_flow next = f->f;

	f->edge = *edge;
	next.client = *edge;
	next.nh_out = hop(f->medium->m, edge, f->f.nh_out);
	if (flow_change(f, &next))
		f->medium->m->count.bad_family++;
}

int mp_flow_remote(struct pass_flow *f, const struct addr *remote)
{
	struct media_pass *m = f->medium->m;
	struct maps_flow next = f->f;
	bool ours = remote->port && is_ours(m, remote);

	if (addr_eq(remote, &f->f.core) && (f->f.nh_in || ours || !remote->port))
		return 0;
	next.core = *remote;
	next.nh_in = remote->port && !ours ? hop(m, remote, f->f.nh_in) : 0;
	if (remote->port && addr_is_v4(remote) != addr_is_v4(&m->relay[0].inside)) {
		if (next.nh_in != f->f.nh_in)
			nexthop_put(m->p.nexthop, next.nh_in);
		m->count.bad_family++;
		return -EAFNOSUPPORT;
	}
	return flow_change(f, &next);
}

void mp_flow_route(struct pass_flow *f)
{
	struct media_pass *m = f->medium->m;
	struct maps_flow next = f->f;

	if (!next.nh_out)
		nexthop_get(m->p.nexthop, &next.client, &next.nh_out);
	if (!next.nh_in && next.core.port && !is_ours(m, &next.core))
		nexthop_get(m->p.nexthop, &next.core, &next.nh_in);
	if (next.nh_out != f->f.nh_out || next.nh_in != f->f.nh_in)
		flow_change(f, &next);
}

/* ---- flows of an earlier worker ---- */

static const char *edge_of(const struct media_pass *m, uint32_t note)
{
	unsigned i;

	for (i = 0; i < m->p.cfg->link.edges_count; i++)
		if (edge_note(m->p.cfg->link.edges[i].name) == note)
			return m->p.cfg->link.edges[i].name;
	return NULL;
}

/* The medium of a flow, made by the first of its two; NULL: not to be had. */
static struct pass_medium *medium_of(struct media_pass *m, const struct maps_flow *mf)
{
	struct pass_medium *d = mp_medium_find(m, mf->note.medium);
	const char *edge = edge_of(m, mf->note.edge);

	if (d || !edge || !mf->note.medium || strlen(edge) >= MP_EDGE_NAME_MAX)
		return d;
	d = mp_medium_new(m, mf->note.medium, edge);
	if (!d)
		return NULL;
	d->client = mf->note.client;
	d->opened = true;
	return d;
}

static int flow_adopt(struct media_pass *m, uint32_t slot, const struct maps_flow *mf)
{
	struct pass_medium *d = medium_of(m, mf);
	struct pass_flow *f = d ? &d->flow[mf->note.flags & MP_NOTE_RTCP] : NULL;
	struct addr a = link_addr(m, slot);
	int r;

	if (!f || f->slot != MP_NO_SLOT || mp_flow_find(m, mf->id))
		return -EINVAL;
	r = slots_adopt(m->slots, slot);
	if (r)
		return r;
	if (RAND_bytes(f->punch_key, sizeof(f->punch_key)) != 1)
		return -EIO;
	f->slot = slot;
	f->f = *mf;
	f->f.pinned = true;
	f->edge = mf->client;
	m->by_slot[slot] = f;
	mp_flow_name(f, mf->id);
	f->fd = mp_socket(
		&a); /* without one it is not punched again: the edge keeps what it has learned */
	f->f.nh_out = f->f.nh_in = 0;
	nexthop_adopt(m->p.nexthop, mf->nh_out, &mf->client, &f->f.nh_out);
	if (mf->core.port && !is_ours(m, &mf->core))
		nexthop_adopt(m->p.nexthop, mf->nh_in, &mf->core, &f->f.nh_in);
	if (f->f.nh_out != mf->nh_out || f->f.nh_in != mf->nh_in)
		maps_flow_update(m->p.maps, slot, &f->f);
	return 0;
}

static void adopt_own(void *arg, uint32_t slot, const struct maps_flow *mf)
{
	struct media_pass *m = arg;

	if (slot >= m->n_slots)
		return;
	if (flow_adopt(m, slot, mf)) {
		m->count.not_adopted++;
		log_event(LOG_L_WARN, "flow-not-adopted", "flow=%016llx slot=%u",
			  (unsigned long long)mf->id, slot);
		maps_flow_free(m->p.maps, slot);
		return;
	}
	m->n_adopted++;
}

static void adopt_joined(void *arg, uint32_t slot, const struct maps_flow *mf)
{
	struct media_pass *m = arg;

	if (slot >= m->n_slots)
		mp_join_adopt(m, slot, mf);
}

static void adopt_reserve(void *arg, uint32_t slot, const struct maps_flow *mf)
{
	struct media_pass *m = arg;

	(void)slot;
	nexthop_reserve(m->p.nexthop, mf->nh_out);
	nexthop_reserve(m->p.nexthop, mf->nh_in);
}

void mp_adopt(struct media_pass *m)
{
	struct pass_medium *d, *next;

	maps_flow_each(m->p.maps, adopt_reserve, m);
	maps_flow_each(m->p.maps, adopt_own, m);
	maps_flow_each(m->p.maps, adopt_joined, m);
	mp_join_adopted(m);
	nexthop_reserve_end(m->p.nexthop);
	for (d = m->list; d; d = next) { /* killed between the installs of its two flows */
		next = d->list_next;
		if (d->flow[0].slot == MP_NO_SLOT || d->flow[1].slot == MP_NO_SLOT)
			mp_medium_free(d);
	}
}
