/* user/media_pass_link.c -- what core and edge tell each other about flows that pass, and their punches. See media_pass_int.h.
 *
 * In: Allocated, Punched and FlowReport of an edge, only about flows that we asked that edge for; link up and down. Out: Allocate,
 * Free; a punch from the flow's own port at once, every 250 ms until it is confirmed, then every 15 s. */
#include <errno.h>
#include <string.h>
#include <sys/socket.h>

#include <openssl/crypto.h>
#include <openssl/rand.h>

#include "user/media_pass_int.h"
#include "user/quality_show.h"
#include "user/trace.h"

static void tell(struct pass_medium *d, const Sallyport__Link *msg)
{
	if (d->peer && link_send(d->peer, msg))
		d->m->count.link_send++;
}

static void allocate_flow(struct pass_flow *f, bool reopen)
{
	Sallyport__Allocate a = SALLYPORT__ALLOCATE__INIT;
	Sallyport__Link msg = SALLYPORT__LINK__INIT;
	struct pass_medium *d = f->medium;

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

/* RTP first: the RTCP flow wants the port above it. Both at once, so that nobody takes that port in between. */
void mp_allocate(struct pass_medium *d, bool reopen)
{
	allocate_flow(&d->flow[0], reopen);
	allocate_flow(&d->flow[1], reopen);
}

void mp_clocks(struct pass_medium *d)
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

void mp_free_flow(struct pass_flow *f)
{
	Sallyport__Free fr = SALLYPORT__FREE__INIT;
	Sallyport__Link msg = SALLYPORT__LINK__INIT;

	if (!f->asked)
		return; /* an adopted one, before its edge's link was up: not in the hello then */
	fr.flow = f->id;
	msg.m_case = SALLYPORT__LINK__M_FREE;
	msg.free = &fr;
	tell(f->medium, &msg);
}

/* ---- punches ---- */

static int punch_send(struct pass_flow *f)
{
	struct punch p = {.flow = f->id, .counter = ++f->counter};
	struct sockaddr_storage ss;
	socklen_t len = addr_to_sockaddr(&f->edge, &ss);
	uint8_t tid[12], buf[PUNCH_MAX];
	size_t n = RAND_bytes(tid, sizeof(tid)) == 1 ? punch_build(&p, f->punch_key, tid, buf) : 0;

	if (!n)
		return -EIO;
	return sendto(mp_punch_fd(f), buf, n, MSG_DONTWAIT | MSG_NOSIGNAL, (struct sockaddr *)&ss,
		      len) == (ssize_t)n
		       ? 0
		       : -errno;
}

void mp_punch_fire(void *arg)
{
	struct pass_flow *f = arg;
	struct media_pass *m = f->medium->m;

	if (punch_send(f))
		m->count.punch_failed++;
	loop_timer_set(m->p.loop, &f->punch, f->punched ? MP_PUNCH_MS : MP_PUNCH_FAST_MS);
}

/* The edge tells of a source that changed; until then we do not know. */
void mp_punch_again(struct pass_flow *f)
{
	if (!f->allocated)
		return; /* when it is, it is punched */
	f->punched = false;
	mp_punch_fire(f);
}

/* ---- messages ---- */

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

static void on_error(struct pass_flow *f, const char *reason)
{
	if (!f->medium->opened) {
		mp_medium_failed(f->medium, reason);
		return;
	}
	f->medium->m->count.realloc_failed++; /* the silence that follows ends the call */
	f->allocated = false;
}

static void medium_opened(struct pass_medium *d)
{
	struct media_pass *m = d->m;
	struct media_addrs a;
	int r = mp_flows_install(d);

	if (r) {
		mp_medium_failed(d, r == -EHOSTUNREACH ? "no-route" : "no-ports");
		return;
	}
	loop_timer_cancel(m->p.loop, &d->timer);
	d->opened = true;
	d->set_ms = loop_now_ms(m->p.loop);
	m->count.opened++;
	mp_punch_fire(&d->flow[0]);
	mp_punch_fire(&d->flow[1]);
	a = (struct media_addrs){.outside_rtp = d->flow[0].outside,
				 .outside_rtcp = d->flow[1].outside,
				 .inside_rtp = mp_flow_inside(&d->flow[0]),
				 .inside_rtcp = mp_flow_inside(&d->flow[1])};
	m->p.ops->opened(m->p.arg, d->id, &a);
}

static void on_allocated(struct media_pass *m, struct pass_flow *f, const Sallyport__Allocated *a)
{
	struct pass_medium *d = f->medium;
	struct addr outside, edge;
	char text[ADDR_TEXT_MAX];

	if (a->error && *a->error) {
		on_error(f, a->error);
		return;
	}
	if (!get_addr(&a->outside_ip, a->outside_port, &outside) ||
	    !get_addr(&a->inside_ip, a->inside_port, &edge)) {
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
	if (!d->opened) {
		f->edge = edge;
		if (d->flow[0].allocated && d->flow[1].allocated)
			medium_opened(d);
		return;
	}
	if (!addr_eq(&edge, &f->edge)) {
		mp_flow_edge(f, &edge);
		mp_join_edge(f);
	}
	mp_punch_fire(f);
}

static void on_punched(struct media_pass *m, struct pass_flow *f, const Sallyport__Punched *p)
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
	loop_timer_set(m->p.loop, &f->punch, MP_PUNCH_MS);
}

static void on_report(struct pass_flow *f, const Sallyport__FlowReport *r)
{
	f->edge_in = r->packets_in;
	f->edge_out = r->packets_out;
	quality_from_link(r->quality_in, &f->heard_in);
	quality_from_link(r->quality_out, &f->heard_out);
	get_addr(&r->latched_ip, r->latched_port, &f->latched); /* none before the latch */
}

static uint64_t flow_of(const Sallyport__Link *msg)
{
	switch (msg->m_case) {
	case SALLYPORT__LINK__M_ALLOCATED:
		return msg->allocated->flow;
	case SALLYPORT__LINK__M_PUNCHED:
		return msg->punched->flow;
	case SALLYPORT__LINK__M_FLOW_REPORT:
		return msg->flow_report->flow;
	default:
		return 0;
	}
}

bool media_pass_message(struct media_pass *m, struct link_peer *p, const Sallyport__Link *msg)
{
	struct pass_flow *f = m ? mp_flow_find(m, flow_of(msg)) : NULL;

	/* An edge speaks only for flows that are on it. */
	if (!f || !f->id || f->medium->peer != p)
		return false;
	if (msg->m_case == SALLYPORT__LINK__M_ALLOCATED)
		on_allocated(m, f, msg->allocated);
	else if (msg->m_case == SALLYPORT__LINK__M_PUNCHED)
		on_punched(m, f, msg->punched);
	else
		on_report(f, msg->flow_report);
	return true;
}

/* An edge that started again knows no counter: under a new key, no punch that somebody kept is worth anything to it. */
static void keys_renew(struct pass_medium *d)
{
	uint8_t key[PUNCH_KEY_LEN];
	unsigned i;

	for (i = 0; i < 2; i++)
		if (RAND_bytes(key, sizeof(key)) == 1)
			memcpy(d->flow[i].punch_key, key, sizeof(key));
	OPENSSL_cleanse(key, sizeof(key));
}

void media_pass_link_up(struct media_pass *m, struct link_peer *p)
{
	struct pass_medium *d;

	for (d = m ? m->list : NULL; d; d = d->list_next) {
		if (strcmp(d->edge, link_peer_name(p)))
			continue;
		d->peer = p;
		keys_renew(d);
		mp_allocate(d, false);
		mp_clocks(d);
	}
}

void media_pass_link_down(struct media_pass *m, struct link_peer *p)
{
	struct pass_medium *d;

	for (d = m ? m->list : NULL; d; d = d->list_next)
		if (d->peer == p)
			d->peer = NULL;
}
