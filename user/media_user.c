/* user/media_user.c -- one datagram in, one out. See media_user.h; the sockets' options are in media_user_socket.c.
 *
 * In: datagrams with their control messages, what became of sends. Out: datagrams, reasons, the flow's latch and counters. The order of
 * the checks is relay.bpf.h's. A packet's slot and direction go round with its send as a tag; a flow that ended meanwhile is not counted. */
#include "user/media_user.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "bpf/flow.h"
#include "bpf/quality.h"
#include "user/maps_memory.h"
#include "user/media_user_socket.h"

#define UDP_HEADER 8u

struct port { /* one socket */
	struct media_user *u;
	uint32_t slot;
	uint8_t pair, inside;
	int fd, out_fd; /* of the other side */
	struct loop_handle recv;
};

struct media_user {
	struct media_user_params p;
	struct maps_pair pairs[RUNG_PAIRS_MAX];
	uint32_t n_ports;
	struct port *ports;
};

struct arrival {
	const struct loop_dgram *d;
	struct media_user_meta meta;
	struct source src;
	struct sp_ip ip6;
	uint64_t now_ns;
	uint32_t ip_len; /* without IPv4 options, which no socket sees */
};

/* slot 32, inside 1, generation 15, length of the IP packet 16 */
static uint64_t tag_of(const struct port *p, uint32_t generation, uint32_t ip_len)
{
	return (uint64_t)p->slot << 32 | (uint64_t)p->inside << 31 |
	       (uint64_t)(generation & 0x7fff) << 16 | (ip_len & 0xffff);
}

static enum relay_reason refused(int err)
{
	switch (err) {
	case -EMSGSIZE:
		return R_DROP_TOO_BIG;
	case -ENETUNREACH:
	case -EHOSTUNREACH:
	case -ENETDOWN:
		return R_DROP_NO_NEXT_HOP;
	default:
		return R_DROP_NO_TX;
	}
}

static void sent(void *arg, uint64_t tag, int res)
{
	struct media_user *u = arg;
	uint32_t slot = (uint32_t)(tag >> 32);
	bool inside = tag >> 31 & 1;
	const struct flow *f = maps_memory_flow(u->p.maps, slot);
	struct flow_state *s = maps_memory_state(u->p.maps, slot);
	uint64_t now = loop_now_ms(u->p.loop) * 1000000u;

	if (res < 0) {
		maps_memory_count(u->p.maps, refused(res));
		return;
	}
	maps_memory_count(u->p.maps, inside ? R_FORWARD_OUT : R_FORWARD_IN);
	if ((f->generation & 0x7fff) != (tag >> 16 & 0x7fff) || f->status != FLOW_ON)
		return;
	if (inside)
		flow_count_out(s, now, tag & 0xffff);
	else
		flow_count_in(s, now, tag & 0xffff);
}

static struct addr endpoint(bool v4, const struct sp_ep4 *ep, const struct sp_ip *ip6)
{
	const struct sp_ip mapped = {{0, 0, MAPPED, ep->ip}};
	struct addr a = {.port = ntohs(ep->port)};

	memcpy(a.ip, v4 ? &mapped : ip6, sizeof(a.ip));
	return a;
}

static enum relay_reason forward(const struct port *p, const struct arrival *a,
				 const struct addr *to, uint32_t generation)
{
	uint8_t control[LOOP_CONTROL_MAX] = {};
	struct loop_packet out = {.to = to,
				  .data = span_of(a->d->p, a->d->n),
				  .control = control,
				  .fn = sent,
				  .arg = p->u,
				  .tag = tag_of(p, generation, a->ip_len)};

	if (a->meta.ttl <= 1)
		return R_DROP_TTL;
	out.control_n = media_user_control(addr_is_v4(to), a->meta.ttl - 1, a->meta.tos, control);
	return loop_send_packet(p->u->p.loop, p->out_fd, &out) ? R_DROP_NO_TX : PARSED;
}

/* What the kernel has taken. The time is that of our reading it, so jitter here has the worker's own delays in it. */
static void hear(const struct arrival *a, struct flow_quality *q, const __u32 *clocks)
{
	struct timespec now;
	struct rtp rtp;

	if (!rtp_peek(a->d->p, a->d->p + a->d->n, &rtp) || !quality_count(q, &rtp) ||
	    !quality_clock(q, clocks, &rtp))
		return;
	clock_gettime(CLOCK_MONOTONIC, &now);
	quality_time(q, &rtp, (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec);
}

/* client -> core */
static enum relay_reason carry_in(const struct port *p, const struct arrival *a,
				  const struct flow *f, struct flow_state *s, enum shape shape)
{
	enum relay_reason why = flow_in(f, s, a->now_ns, &a->src, shape);
	struct addr to;

	if (why != PARSED)
		return why;
	to = endpoint(addr_is_v4(&p->u->pairs[p->pair].inside), &f->core, &f->core6);
	why = forward(p, a, &to, f->generation);
	if (why == PARSED && shape == SHAPE_RTP)
		hear(a, &s->in, s->clocks.in);
	return why;
}

/* core -> client */
static enum relay_reason carry_out(const struct port *p, const struct arrival *a,
				   const struct flow *f, struct flow_state *s, enum shape shape)
{
	enum relay_reason why = flow_out(f, s, &a->src, shape);
	struct addr to;

	if (why == R_PUNCH)
		p->u->p.punch(p->u->p.arg, &a->d->from, span_of(a->d->p, a->d->n));
	if (why != PARSED)
		return why;
	to = endpoint(addr_is_v4(&p->u->pairs[p->pair].outside), &s->latched, &s->latched6);
	why = forward(p, a, &to, f->generation);
	if (why == PARSED && shape == SHAPE_RTP)
		hear(a, &s->out, s->clocks.out);
	return why;
}

static enum relay_reason carry(const struct port *p, const struct arrival *a)
{
	const struct flow *f = maps_memory_flow(p->u->p.maps, p->slot);
	struct flow_state *s = maps_memory_state(p->u->p.maps, p->slot);
	uint32_t want = p->u->p.side[p->pair][p->inside].ifindex;
	enum shape shape;

	if (a->meta.fragments)
		return R_DROP_FRAGMENT;
	if (want && a->meta.ifindex != want && a->meta.ifindex != MEDIA_USER_LOOPBACK)
		return R_DROP_INTERFACE;
	if (__atomic_load_n(&f->status, __ATOMIC_ACQUIRE) != FLOW_ON)
		return R_DROP_SLOT_OFF;
	shape = shape_of(a->d->p, a->d->p + a->d->n, a->d->n);
	return p->inside ? carry_out(p, a, f, s, shape) : carry_in(p, a, f, s, shape);
}

static void arrived(void *arg, struct loop_dgram *d)
{
	struct port *p = arg;
	struct arrival a = {
		.d = d,
		.src = {.ep = {.port = htons(d->from.port)}, .is6 = !addr_is_v4(&d->from)},
		.now_ns = loop_now_ms(p->u->p.loop) * 1000000u};
	enum relay_reason why;

	media_user_meta(d->control, d->control_n, &a.meta);
	memcpy(&a.ip6, d->from.ip, sizeof(a.ip6));
	a.src.ip6 = a.ip6.w;
	if (!a.src.is6)
		a.src.ep.ip = a.ip6.w[3];
	a.ip_len = d->n + UDP_HEADER + (a.src.is6 ? 40 : 20);
	why = carry(p, &a);
	if (why != PARSED)
		maps_memory_count(p->u->p.maps, why);
}

/* ---- start ---- */

static int port_start(struct media_user *u, uint32_t slot, unsigned pair, unsigned inside,
		      unsigned offset)
{
	struct port *p = &u->ports[u->n_ports++];
	const struct media_user_side *s = u->p.side[pair];
	int err;

	*p = (struct port){.u = u,
			   .slot = slot,
			   .pair = (uint8_t)pair,
			   .inside = (uint8_t)inside,
			   .fd = s[inside].first_fd + (int)offset,
			   .out_fd = s[!inside].first_fd + (int)offset};
	err = media_user_wake(p->fd);
	return err ? err : loop_recv(u->p.loop, p->fd, arrived, p, &p->recv);
}

int media_user_new(const struct media_user_params *p, struct media_user **out)
{
	struct media_user *u = calloc(1, sizeof(*u));
	uint32_t slot = 0;
	unsigned i, k;
	int err = 0;

	if (!u)
		return -ENOMEM;
	u->p = *p;
	memcpy(u->pairs, p->pairs, p->n_pairs * sizeof(*p->pairs));
	u->ports = calloc(maps_slots(p->maps), 2 * sizeof(*u->ports));
	if (!u->ports)
		err = -ENOMEM;
	for (i = 0; i < p->n_pairs && !err; i++)
		for (k = 0; k < p->pairs[i].range && !err; k++, slot++) {
			err = port_start(u, slot, i, 0, k);
			if (!err)
				err = port_start(u, slot, i, 1, k);
		}
	if (err)
		media_user_free(u);
	else
		*out = u;
	return err;
}

void media_user_free(struct media_user *u)
{
	if (!u)
		return;
	while (u->n_ports)
		loop_cancel(u->p.loop, &u->ports[--u->n_ports].recv);
	free(u->ports);
	free(u);
}
