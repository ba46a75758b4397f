/* tools/load_media.c -- the wheel that sends and the batches that hear. See load_media.h. */
#include "tools/load_media.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/random.h>
#include <time.h>
#include <unistd.h>

#define TICK_MS	 2
#define RTP_HEAD 12

static uint64_t now_us(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000000u + (uint64_t)t.tv_nsec / 1000u;
}

static struct load_media_count *count_of(struct load_end *e)
{
	return &e->mill->count[e->hears.dir == 1 ? 0 : 1];
}

/* ---- hearing ------------------------------------------------------------------------------------------------------------- */

static void end_heard(struct load_end *e, const uint8_t *p, uint32_t n)
{
	struct load_media_count *c = count_of(e);
	uint64_t now = now_us();
	enum load_verdict v;
	struct load_tag t;
	uint32_t delay;

	v = n < RTP_HEAD ? LOAD_GARBLED
			 : load_content_check(span_of(p + RTP_HEAD, n - RTP_HEAD), &e->hears, &t);
	c->verdicts[v]++;
	if (v != LOAD_HEARD)
		return;
	load_heard_add(&e->heard, t.number);
	delay = (uint32_t)now - t.sent_us;
	if (delay > c->delay_us_max)
		c->delay_us_max = delay;
	if (e->last_us && now - e->last_us > e->gap_us)
		e->gap_us = now - e->last_us;
	e->last_us = now;
}

static void mill_open(struct load_mill *m)
{
	struct srtp_packet secure[SRTP_BATCH_MAX];
	unsigned i, n = 0, at[SRTP_BATCH_MAX];

	for (i = 0; i < m->n_in; i++) {
		if (!m->in[i].session)
			continue;
		at[n] = i;
		secure[n++] = m->in[i];
	}
	if (n)
		srtp_open(secure, n);
	for (i = 0; i < n; i++)
		m->in[at[i]] = secure[i];
	for (i = 0; i < m->n_in; i++) {
		if (m->in[i].session)
			count_of(m->in_end[i])->results[m->in[i].result]++;
		if (m->in[i].result == SRTP_OK)
			end_heard(m->in_end[i], m->in[i].p, m->in[i].n);
		loop_buf_put(m->loop, m->in_buf[i]);
	}
	m->n_in = 0;
}

static void mill_round(void *arg)
{
	struct load_mill *m = arg;
	unsigned i;

	if (m->n_in)
		mill_open(m);
	for (i = 0; i < m->n_dying[0]; i++)
		close(m->dying[0][i]);
	memcpy(m->dying[0], m->dying[1], m->n_dying[1] * sizeof(m->dying[1][0]));
	m->n_dying[0] = m->n_dying[1];
	m->n_dying[1] = 0;
}

static void end_dgram(void *arg, struct loop_dgram *d)
{
	struct load_end *e = arg;
	struct load_mill *m = e->mill;

	if (!addr_eq(&d->from, &e->remote)) {
		count_of(e)->stray++;
		return;
	}
	m->in[m->n_in] = (struct srtp_packet){
		.session = e->open, .p = d->p, .n = d->n, .cap = d->cap, .result = SRTP_OK};
	m->in_end[m->n_in] = e;
	m->in_buf[m->n_in++] = d->buf;
	d->kept = true;
	if (m->n_in == SRTP_BATCH_MAX)
		mill_open(m);
}

/* ---- sending ------------------------------------------------------------------------------------------------------------- */

static void mill_seal(struct load_mill *m)
{
	struct srtp_packet secure[SRTP_BATCH_MAX];
	unsigned i, n = 0, at[SRTP_BATCH_MAX];

	for (i = 0; i < m->n_out; i++) {
		if (!m->out[i].session)
			continue;
		at[n] = i;
		secure[n++] = m->out[i];
	}
	if (n)
		srtp_seal(secure, n);
	for (i = 0; i < n; i++)
		m->out[at[i]] = secure[i];
	for (i = 0; i < m->n_out; i++)
		if (m->out[i].result != SRTP_OK ||
		    loop_send(m->loop, m->out_end[i]->fd, &m->out_end[i]->remote,
			      span_of(m->out[i].p, m->out[i].n)))
			m->send_refused++;
	m->n_out = 0;
}

static void put_be(uint8_t *p, uint32_t v)
{
	p[0] = (uint8_t)(v >> 24);
	p[1] = (uint8_t)(v >> 16);
	p[2] = (uint8_t)(v >> 8);
	p[3] = (uint8_t)v;
}

static void end_unlink(struct load_end *e)
{
	if (!e->next)
		return;
	e->prev->next = e->next;
	e->next->prev = e->prev;
	e->prev = e->next = NULL;
}

static void end_packet(struct load_end *e)
{
	struct load_mill *m = e->mill;
	uint8_t *p = m->out_bytes[m->n_out];
	struct load_tag t = {e->hears.call, !e->hears.dir, e->sent, (uint32_t)now_us()};

	put_be(p, 0x80000000u | (e->sent ? 0 : 0x800000u) | e->seq++);
	put_be(p + 4, e->stamp);
	put_be(p + 8, e->ssrc);
	e->stamp += LOAD_PAYLOAD;
	load_content_write(&t, p + RTP_HEAD);
	m->out[m->n_out] = (struct srtp_packet){.session = e->seal,
						.p = p,
						.n = RTP_HEAD + LOAD_PAYLOAD,
						.cap = sizeof(m->out_bytes[0]),
						.result = SRTP_OK};
	m->out_end[m->n_out++] = e;
	count_of(e)->sent++;
	if (++e->sent == e->to_send)
		end_unlink(e);
	if (m->n_out == SRTP_BATCH_MAX)
		mill_seal(m);
}

static void mill_turn(void *arg)
{
	struct load_mill *m = arg;
	uint64_t now = loop_now_ms(m->loop);
	struct load_end *e, *next, *head;

	/* After a long stop of our own the missed packets follow at once, a second of them at most. */
	if (now - m->turned_ms > 1000)
		m->turned_ms = now - 1000;
	while (m->turned_ms < now) {
		head = &m->wheel[++m->turned_ms % LOAD_WHEEL];
		for (e = head->next; e != head; e = next) {
			next = e->next;
			end_packet(e);
		}
	}
	if (m->n_out)
		mill_seal(m);
	loop_timer_set(m->loop, &m->tick, TICK_MS);
}

int load_mill_init(struct load_mill *m, struct loop *loop)
{
	unsigned i;
	int err = srtp_init(SRTP_AUTO);

	*m = (struct load_mill){.loop = loop, .tick = {.fn = mill_turn, .arg = m}};
	for (i = 0; i < LOAD_WHEEL; i++)
		m->wheel[i].prev = m->wheel[i].next = &m->wheel[i];
	m->turned_ms = loop_now_ms(loop);
	if (!err)
		err = loop_on_round(loop, mill_round, m);
	return err ? err : loop_timer_set(loop, &m->tick, TICK_MS);
}

/* ---- one end ------------------------------------------------------------------------------------------------------------- */

int load_end_open(struct load_mill *m, struct load_end *e, const struct addr *ip,
		  const struct load_tag *hears, uint16_t *port)
{
	struct addr any = *ip, got;
	struct sockaddr_storage ss;
	socklen_t n;
	int err;

	any.port = 0;
	n = addr_to_sockaddr(&any, &ss);
	*e = (struct load_end){.mill = m, .hears = *hears};
	e->fd = socket(ss.ss_family, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (e->fd < 0)
		return -errno;
	if (bind(e->fd, (struct sockaddr *)&ss, n) ||
	    getsockname(e->fd, (struct sockaddr *)&ss, &(socklen_t){sizeof(ss)})) {
		err = -errno;
		goto out;
	}
	err = addr_from_sockaddr((struct sockaddr *)&ss, &got);
	if (!err)
		err = loop_recv(m->loop, e->fd, end_dgram, e, &e->recv);
	if (!err && getrandom(&e->ssrc, sizeof(e->ssrc), 0) != sizeof(e->ssrc))
		err = -EIO;
	e->seq =
		(e->ssrc >> 7) &
		0x7fff; /* RFC 3711 3.3.1: far from the wrap, or a first packet lost before the latch loses the ROC */
	e->stamp = e->ssrc * 2654435761u;
out:
	if (err)
		load_end_close(e);
	else
		*port = got.port;
	return err;
}

int load_end_keys(struct load_end *e, enum srtp_suite s, struct span open_key, struct span seal_key)
{
	int err = srtp_session_new(s, open_key, false, &e->open);

	return err ? err : srtp_session_new(s, seal_key, true, &e->seal);
}

void load_end_start(struct load_end *e, uint32_t to_send)
{
	struct load_end *head = &e->mill->wheel[(e->mill->turned_ms + 1) % LOAD_WHEEL];

	e->to_send = to_send;
	if (e->next || e->sent >= to_send)
		return;
	e->next = head;
	e->prev = head->prev;
	head->prev->next = e;
	head->prev = e;
}

void load_end_stop(struct load_end *e)
{
	end_unlink(e);
}

bool load_end_complete(const struct load_end *e)
{
	return e->heard.any && e->heard.top + 1 >= e->to_send &&
	       !load_heard_lost(&e->heard, e->to_send);
}

void load_end_count(struct load_end *e, int64_t peer_sent)
{
	struct load_media_count *c = count_of(e);
	uint32_t early, heard_to;

	if (e->mill->n_in)
		mill_open(e->mill);
	early = load_heard_early(&e->heard);
	heard_to = e->heard.any ? e->heard.top + 1 : 0;
	c->received += e->heard.received;
	c->doubled += e->heard.doubled;
	c->reordered += e->heard.reordered;
	c->lost += load_heard_lost(&e->heard, heard_to);
	c->early += early;
	c->tail += peer_sent > heard_to ? (uint64_t)peer_sent - heard_to : 0;
	c->silent_ends += !e->heard.any && peer_sent != 0;
	if (early > c->early_max)
		c->early_max = early;
	if (e->gap_us > c->gap_us)
		c->gap_us = e->gap_us;
}

void load_end_close(struct load_end *e)
{
	if (!e->mill)
		return;
	if (e->mill->n_in)
		mill_open(e->mill);
	if (e->mill->n_out)
		mill_seal(e->mill);
	end_unlink(e);
	loop_cancel(e->mill->loop, &e->recv);
	srtp_session_free(e->open);
	srtp_session_free(e->seal);
	if (e->fd >= 0 && e->mill->n_dying[1] < LOAD_DYING)
		e->mill->dying[1][e->mill->n_dying[1]++] = e->fd;
	else if (e->fd >= 0)
		close(e->fd);
	*e = (struct load_end){.fd = -1};
}
