/* user/media_core_data.c -- media packets through the core: link socket -> SRTP open -> inside, inside -> SRTP seal -> link socket.
 *
 * In: datagrams of the loop. What belongs to no flow, has the wrong shape or source, or comes before its keys is counted and dropped
 * here; the rest is collected, buffers kept, and transformed 64 at a time or at the end of the loop's round. Out: loop_send(). Where
 * the inside party is a leg of ours (media_core_join.c), what was opened goes on into the seal batch, in the same buffer.
 * Owner: media_core; a medium that goes away flushes first, so a batch never names one that is gone. */
#include <errno.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "bpf/quality.h"
#include "user/media_core_int.h"

void mc_udp_whole(int fd, const struct addr *bound)
{
	int v4 = IP_PMTUDISC_PROBE, v6 = IPV6_PMTUDISC_PROBE;

	if (addr_is_v4(bound))
		setsockopt(fd, IPPROTO_IP, IP_MTU_DISCOVER, &v4, sizeof(v4));
	else
		setsockopt(fd, IPPROTO_IPV6, IPV6_MTU_DISCOVER, &v6, sizeof(v6));
}

/* RFC 7983: 0..3 STUN, 20..63 DTLS, 128..191 RTP and RTCP. */
static bool media_shape(const struct loop_dgram *d)
{
	return d->n >= 8 && d->p[0] >> 6 == 2;
}

/* RFC 5761 section 4: on one port for both, packet types 192..223 are RTCP. */
static bool is_rtcp(const struct medium *d, bool own, const uint8_t *p)
{
	return own || (d->muxed && p[1] >= 192 && p[1] <= 223);
}

static void good_packet(struct medium *d)
{
	d->last_ms = loop_now_ms(d->m->p.loop);
	d->any = true;
}

static void give_back(struct media_core *m, struct mc_batch *b)
{
	unsigned i;

	for (i = 0; i < b->n; i++)
		if (b->buf[i] != MC_NO_BUF)
			loop_buf_put(m->p.loop, b->buf[i]);
	b->n = 0;
}

/* An opened packet to the inside: to a leg of ours as if it came in there, which counts what it refuses, or by the socket. */
static bool send_inside(struct media_core *m, struct mc_batch *b, unsigned i)
{
	struct srtp_packet *k = &b->pk[i];
	struct mc_leg *leg = b->leg[i];
	struct loop_dgram d = {.p = k->p, .n = k->n, .cap = k->cap, .buf = b->buf[i]};

	if (!leg->join)
		return leg->remote.port &&
		       !loop_send(m->p.loop, leg->fd, &leg->remote, span_of(k->p, k->n));
	d.from = leg->local;
	mc_on_inside(leg->join, &d);
	if (d.kept)
		b->buf[i] = MC_NO_BUF;
	return true;
}

/* RTP that was sent on; its header is clear before and behind the SRTP. */
static void hear(const struct mc_batch *b, unsigned i, struct flow_quality *q,
		 const uint32_t *clocks)
{
	const struct srtp_packet *k = &b->pk[i];
	struct rtp rtp;

	if (!k->rtcp && rtp_peek(k->p, k->p + k->n, &rtp) && quality_count(q, &rtp) &&
	    quality_clock(q, clocks, &rtp))
		quality_time(q, &rtp, b->at_ns[i]);
}

static void flush_open(struct media_core *m)
{
	struct mc_batch *b = &m->open;
	struct srtp_packet *k;
	struct medium *d;
	unsigned i;

	srtp_open(b->pk, b->n);
	for (i = 0; i < b->n; i++) {
		k = &b->pk[i];
		d = b->leg[i]->medium;
		if (k->result != SRTP_OK) {
			d->report.results[k->result]++;
			continue;
		}
		good_packet(d);
		if (k->rtcp && d->rtcp_on != b->flow[i]->rtcp) {
			d->rtcp_on = b->flow[i]->rtcp;
			mc_keep(d);
		}
		if (!send_inside(m, b, i)) {
			d->report.dropped_send++;
			continue;
		}
		b->leg[i]->in++;
		b->leg[i]->in_bytes += k->n;
		d->report.in_packets++;
		hear(b, i, &d->heard_in, d->clocks.in);
	}
	give_back(m, b);
}

static void flush_seal(struct media_core *m)
{
	struct mc_batch *b = &m->seal;
	struct srtp_packet *k;
	struct medium *d;
	unsigned i;

	srtp_seal(b->pk, b->n);
	for (i = 0; i < b->n; i++) {
		k = &b->pk[i];
		d = b->leg[i]->medium;
		if (k->result != SRTP_OK) {
			d->report.results[k->result]++;
			continue;
		}
		good_packet(d);
		if (loop_send(m->p.loop, m->link_fd, &b->flow[i]->edge, span_of(k->p, k->n))) {
			d->report.dropped_send++;
			continue;
		}
		b->leg[i]->out++;
		b->leg[i]->out_bytes += k->n;
		d->report.out_packets++;
		hear(b, i, &d->heard_out, d->clocks.out);
	}
	give_back(m, b);
}

void mc_flush(void *arg)
{
	struct media_core *m = arg;

	if (m->open.n)
		flush_open(m);
	if (m->seal.n)
		flush_seal(m);
}

static uint64_t now_ns(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

static void collect(struct media_core *m, struct mc_batch *b, struct srtp_session *s,
		    struct mc_flow *f, struct mc_leg *leg, struct loop_dgram *d)
{
	unsigned i = b->n++;

	b->pk[i] = (struct srtp_packet){
		.session = s, .p = d->p, .n = d->n, .cap = d->cap, .rtcp = leg->rtcp};
	b->flow[i] = f;
	b->leg[i] = leg;
	b->buf[i] = d->buf;
	b->at_ns[i] = leg->rtcp ? 0 : now_ns();
	d->kept = true;
	if (b->n < SRTP_BATCH_MAX)
		return;
	if (b == &m->open)
		flush_open(m); /* may fill the other one */
	else
		flush_seal(m);
}

/* From an edge. */
void mc_on_link(void *arg, struct loop_dgram *d)
{
	struct media_core *m = arg;
	struct mc_flow *f = mc_edge_find(m, &d->from);
	struct medium *md;

	if (!f) {
		m->count.unknown_source++;
		return;
	}
	md = f->medium;
	if (!media_shape(d))
		md->report.dropped_shape++;
	else if (!md->keyed)
		md->report.dropped_unkeyed++;
	else
		collect(m, &m->open, md->open, f, &md->leg[is_rtcp(md, f->rtcp, d->p)], d);
}

/* Anyone until the first packet, then that one; whom media_core_set() names takes it over. A leg of ours sends from where it is named. */
static bool source_ok(struct mc_leg *leg, const struct addr *from)
{
	if (leg->latched && addr_eq(&leg->from, from))
		return true;
	if ((leg->latched || leg->join) && !addr_eq(&leg->remote, from))
		return false;
	leg->latched = true;
	leg->from = *from;
	mc_keep(leg->medium);
	return true;
}

/* From inside, or handed over by a leg that is joined to this one. */
void mc_on_inside(void *arg, struct loop_dgram *d)
{
	struct mc_leg *leg = arg;
	struct medium *md = leg->medium;
	struct mc_flow *f;
	bool rtcp;

	if (!media_shape(d)) {
		md->report.dropped_shape++;
		return;
	}
	if (!source_ok(leg, &d->from)) {
		md->report.dropped_source++;
		return;
	}
	rtcp = is_rtcp(md, leg->rtcp, d->p);
	f = &md->flow[rtcp ? md->rtcp_on : 0];
	if (!md->keyed || !f->allocated) {
		md->report.dropped_unkeyed++;
		return;
	}
	collect(md->m, &md->m->seal, md->seal, f, &md->leg[rtcp], d);
}
