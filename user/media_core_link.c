/* user/media_core_link.c -- what core and edge tell each other about flows, and the punch datagrams.
 *
 * In: Allocated, Punched and FlowReport of an edge, only about flows that we asked that edge for; link up and down. Out: Allocate,
 * Free; a punch from the link socket at once, every 250 ms until it is confirmed, then every 15 s. Flows are media_core's. */
#include <errno.h>
#include <string.h>

#include <openssl/crypto.h>
#include <openssl/rand.h>

#include "user/media_core_int.h"
#include "user/quality_show.h"
#include "user/trace.h"

static uint32_t edge_bucket(const struct media_core *m, const struct addr *a)
{
	uint8_t k[18];

	memcpy(k, a->ip, 16);
	memcpy(k + 16, &a->port, 2);
	return (uint32_t)mc_hash(m, k, sizeof(k)) & m->mask;
}

struct mc_flow *mc_edge_find(const struct media_core *m, const struct addr *a)
{
	struct mc_flow *f = m->by_edge[edge_bucket(m, a)];

	while (f && !addr_eq(&f->edge, a))
		f = f->next_edge;
	return f;
}

void mc_edge_unhash(struct media_core *m, struct mc_flow *f)
{
	struct mc_flow **pp = &m->by_edge[edge_bucket(m, &f->edge)];

	if (!f->hashed)
		return;
	for (; *pp; pp = &(*pp)->next_edge) {
		if (*pp == f) {
			*pp = f->next_edge;
			break;
		}
	}
	f->hashed = false;
}

void mc_edge_hash(struct media_core *m, struct mc_flow *f, const struct addr *a)
{
	struct mc_flow **pp;

	f->edge = *a;
	pp = &m->by_edge[edge_bucket(m, a)];
	f->next_edge = *pp;
	*pp = f;
	f->hashed = true;
}

static void tell(struct medium *d, const Sallyport__Link *msg)
{
	if (d->peer && link_send(d->peer, msg))
		d->m->count.link_send++;
}

static void allocate_flow(struct mc_flow *f, bool reopen)
{
	Sallyport__Allocate a = SALLYPORT__ALLOCATE__INIT;
	Sallyport__Link msg = SALLYPORT__LINK__INIT;
	struct medium *d = f->medium;

	a.flow = f->id;
	a.client_ip = (ProtobufCBinaryData){16, d->client.ip};
	a.punch_key = (ProtobufCBinaryData){sizeof(f->punch_key), f->punch_key};
	a.rtcp_of = f->rtcp ? d->flow[0].id : 0;
	f->reopen |= reopen;
	a.reopen = f->reopen;
	msg.m_case = SALLYPORT__LINK__M_ALLOCATE;
	msg.allocate = &a;
	f->asked = true;
	tell(d, &msg);
}

void mc_allocate_flow(struct mc_flow *f)
{
	allocate_flow(f, false);
}

/* RTP first: the RTCP flow wants the port above it. Both at once, so that nobody takes that port in between. */
void mc_allocate(struct medium *d, bool reopen)
{
	unsigned i;

	for (i = 0; i < d->flows; i++)
		allocate_flow(&d->flow[i], reopen);
}

void mc_clocks(struct medium *d)
{
	Sallyport__Clocks c = SALLYPORT__CLOCKS__INIT;
	Sallyport__Link msg = SALLYPORT__LINK__INIT;

	if (!d->peer || !link_peer_takes(d->peer, LINK_F_CLOCKS))
		return; /* an older edge would end the link for it */
	while (c.n_in < FLOW_CLOCKS && d->clocks.in[c.n_in])
		c.n_in++;
	while (c.n_out < FLOW_CLOCKS && d->clocks.out[c.n_out])
		c.n_out++;
	if (!c.n_in && !c.n_out)
		return; /* not known, or an earlier worker has told them: the edge keeps what it has */
	c.flow = d->flow[0].id;
	c.in = d->clocks.in;
	c.out = d->clocks.out;
	msg.m_case = SALLYPORT__LINK__M_CLOCKS;
	msg.clocks = &c;
	tell(d, &msg);
}

static void free_send(struct media_core *m, struct link_peer *p, uint64_t id)
{
	Sallyport__Free fr = SALLYPORT__FREE__INIT;
	Sallyport__Link msg = SALLYPORT__LINK__INIT;

	fr.flow = id;
	msg.m_case = SALLYPORT__LINK__M_FREE;
	msg.free = &fr;
	if (link_send(p, &msg))
		m->count.link_send++;
}

void mc_free_flow(struct mc_flow *f)
{
	if (f->asked && f->medium->peer)
		free_send(f->medium->m, f->medium->peer, f->id);
}

void mc_punch_fire(void *arg)
{
	struct mc_flow *f = arg;
	struct media_core *m = f->medium->m;
	uint64_t now = loop_now_ms(m->p.loop);
	struct punch p = {.flow = f->id};
	uint8_t tid[12], buf[PUNCH_MAX];
	size_t n;

	/* Time, so that it rises over the lives of workers, too. */
	f->counter = f->counter < now ? now : f->counter + 1;
	p.counter = f->counter;
	n = RAND_bytes(tid, sizeof(tid)) == 1 ? punch_build(&p, f->punch_key, tid, buf) : 0;

	if (!n || loop_send(m->p.loop, m->link_fd, &f->edge, span_of(buf, n)))
		m->count.punch_failed++;
	loop_timer_set(m->p.loop, &f->punch, f->punched ? MC_PUNCH_MS : MC_PUNCH_FAST_MS);
}

static bool get_addr(const ProtobufCBinaryData *ip, uint32_t port, struct addr *out)
{
	struct addr a = {.port = (uint16_t)port};

	if (ip->len != 16 || !port || port > 65535)
		return false;
	memcpy(a.ip, ip->data, 16);
	if (addr_is_any(&a))
		return false;
	*out = a;
	return true;
}

static bool all_allocated(const struct medium *d)
{
	unsigned i;

	for (i = 0; i < d->flows; i++)
		if (!d->flow[i].allocated)
			return false;
	return true;
}

/* The edge's inside port of @f is @a now. False: another edge's flow has it. */
static bool edge_set(struct media_core *m, struct mc_flow *f, const struct addr *a)
{
	struct mc_flow *old = mc_edge_find(m, a);

	if (old == f)
		return true;
	if (old && strcmp(old->medium->edge, f->medium->edge))
		return false;
	if (old) { /* the edge lost its state and gave the port again; the old flow is allocated anew, too */
		mc_edge_unhash(m, old);
		old->allocated = false;
	}
	mc_edge_unhash(m, f);
	mc_edge_hash(m, f, a);
	return true;
}

static void on_error(struct mc_flow *f, const char *reason)
{
	struct media_core *m = f->medium->m;

	if (!f->medium->opened) {
		mc_medium_failed(f->medium, reason);
		return;
	}
	if (f->medium->adding && f->rtcp) {
		mc_rtcp_failed(f->medium, reason);
		return;
	}
	m->count.realloc_failed++; /* the silence that follows ends the call */
	f->allocated = false;
}

static void on_allocated(struct media_core *m, struct mc_flow *f, const Sallyport__Allocated *a)
{
	struct medium *d = f->medium;
	struct addr outside, edge;
	char text[ADDR_TEXT_MAX];

	if (a->error && *a->error) {
		on_error(f, a->error);
		return;
	}
	if (!get_addr(&a->outside_ip, a->outside_port, &outside) ||
	    !get_addr(&a->inside_ip, a->inside_port, &edge) || !edge_set(m, f, &edge)) {
		m->count.bad_message++;
		on_error(f, "bad-address");
		return;
	}
	if (d->opened && f->outside.port && !addr_eq(&outside, &f->outside))
		m->count.moved++;
	f->outside = outside;
	f->allocated = true;
	trace_put(TRACE_FLOW_ALLOCATED, &(struct trace_ids){.call = d->id, .flow = f->id}, 0,
		  "%s edge %s outside %s", f->rtcp ? "rtcp" : "rtp", d->edge,
		  addr_text(&outside, text));
	f->punched = f->reopen = false;
	mc_punch_fire(f);
	if (d->adding && f->rtcp)
		mc_rtcp_added(d);
	else if (d->opened)
		mc_keep(d);
	else if (all_allocated(d))
		mc_medium_opened(d);
}

static void on_punched(struct media_core *m, struct mc_flow *f, const Sallyport__Punched *p)
{
	char text[ADDR_TEXT_MAX];

	if (!get_addr(&p->from_ip, p->from_port, &f->punched_from)) {
		m->count.bad_message++;
		return;
	}
	if (f->punched)
		return;
	f->punched = true;
	trace_put(TRACE_FLOW_PUNCHED, &(struct trace_ids){.call = f->medium->id, .flow = f->id}, 0,
		  "edge sees us as %s", addr_text(&f->punched_from, text));
	mc_keep(f->medium);
	loop_timer_set(m->p.loop, &f->punch, MC_PUNCH_MS);
}

static void on_report(struct mc_flow *f, const Sallyport__FlowReport *r)
{
	f->edge_in = r->packets_in;
	f->edge_out = r->packets_out;
	f->edge_idle_ms = r->idle_ms;
	quality_from_link(r->quality_in, &f->heard_in);
	quality_from_link(r->quality_out, &f->heard_out);
	get_addr(&r->latched_ip, r->latched_port, &f->latched); /* none before the latch */
}

/* An edge speaks only for flows that are on it. */
static struct mc_flow *flow_of(struct media_core *m, struct link_peer *p, uint64_t id)
{
	struct mc_flow *f = mc_flow_find(m, id);

	if (f && f->medium->peer == p)
		return f;
	m->count.unknown_flow++;
	return NULL;
}

void media_core_message(struct media_core *m, struct link_peer *p, const Sallyport__Link *msg)
{
	struct mc_flow *f;

	switch (msg->m_case) {
	case SALLYPORT__LINK__M_ALLOCATED:
		f = flow_of(m, p, msg->allocated->flow);
		if (f)
			on_allocated(m, f, msg->allocated);
		break;
	case SALLYPORT__LINK__M_PUNCHED:
		f = flow_of(m, p, msg->punched->flow);
		if (f)
			on_punched(m, f, msg->punched);
		break;
	case SALLYPORT__LINK__M_FLOW_REPORT:
		f = flow_of(m, p, msg->flow_report->flow);
		if (f)
			on_report(f, msg->flow_report);
		else if (!mc_flow_find(m, msg->flow_report->flow))
			free_send(m, p,
				  msg->flow_report
					  ->flow); /* it ended between our Hello and its answer */
		break;
	default: /* other modules' */
		break;
	}
}

/* An edge that started again knows no counter: under a new key, no punch that somebody kept is worth anything to it. */
static void keys_renew(struct medium *d)
{
	uint8_t key[PUNCH_KEY_LEN];
	unsigned i;

	for (i = 0; i < d->flows; i++)
		if (RAND_bytes(key, sizeof(key)) == 1)
			memcpy(d->flow[i].punch_key, key, sizeof(key));
	OPENSSL_cleanse(key, sizeof(key));
}

void media_core_link_up(struct media_core *m, struct link_peer *p)
{
	struct medium *d;

	for (d = m->list; d; d = d->list_next) {
		if (strcmp(d->edge, link_peer_name(p)))
			continue;
		d->peer = p;
		keys_renew(d);
		mc_allocate(d, false);
		mc_clocks(d);
	}
}

void media_core_link_down(struct media_core *m, struct link_peer *p)
{
	struct medium *d;

	for (d = m->list; d; d = d->list_next)
		if (d->peer == p)
			d->peer = NULL;
}
