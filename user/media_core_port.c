/* user/media_core_port.c -- pairs of UDP ports inside: RTP even, RTCP the odd one above.
 *
 * In: a wish for a pair. Out: two bound sockets. Pairs go round robin, so that a late packet of an old call seldom meets a new one; a pair
 * given back rests MC_PORT_REST_MS. Descriptors of resting pairs are ours for MC_CLOSE_REST_MS (the ring may still hold a send that
 * names them), those of used pairs are the medium's. */
#include <errno.h>
#include <stdlib.h>
#include <unistd.h>

#include "user/media_core_int.h"

#define BIND_TRIES 256 /* ports that others hold, in a row */

static void close_due(void *arg);

int mc_ports_init(struct media_core *m)
{
	uint32_t first = (m->p.inside_base + 1u) & ~1u,
		 end = (uint32_t)m->p.inside_base + m->p.inside_range;

	if (!m->p.inside_base || end > 65536 || end < first + 2)
		return -EINVAL;
	m->p.inside_base = (uint16_t)first;
	m->n_pairs = (end - first) / 2;
	m->pairs = calloc(m->n_pairs, sizeof(*m->pairs));
	if (!m->pairs)
		return -ENOMEM;
	m->close_head = m->close_tail = MC_NO_PAIR;
	m->close_timer.fn = close_due;
	m->close_timer.arg = m;
	return 0;
}

static void pair_close(struct mc_pair *p)
{
	close(p->fd[0]);
	close(p->fd[1]);
}

void mc_ports_fini(struct media_core *m)
{
	loop_timer_cancel(m->p.loop, &m->close_timer);
	for (; m->close_head != MC_NO_PAIR; m->close_head = m->pairs[m->close_head].next_close)
		pair_close(&m->pairs[m->close_head]);
	free(m->pairs);
}

static int pair_bind(struct media_core *m, uint32_t i, int fd[2])
{
	struct addr a = m->p.inside_bind;

	a.port = (uint16_t)(m->p.inside_base + 2 * i);
	fd[0] = mc_udp_open(&a, MC_INSIDE_RCVBUF);
	if (fd[0] < 0)
		return fd[0];
	a.port++;
	fd[1] = mc_udp_open(&a, MC_INSIDE_RCVBUF);
	if (fd[1] < 0) {
		close(fd[0]);
		return fd[1];
	}
	return 0;
}

int mc_pair_take(struct media_core *m, uint32_t *out_pair, int out_fd[2], uint16_t *out_port)
{
	uint64_t now = loop_now_ms(m->p.loop);
	uint32_t k, i;
	int fd[2], r, tries = 0;

	for (k = 0; k < m->n_pairs && tries < BIND_TRIES; k++) {
		i = (m->next_pair + k) % m->n_pairs;
		if (m->pairs[i].used || m->pairs[i].free_ms > now)
			continue;
		r = pair_bind(m, i, fd);
		tries++;
		if (r == -EADDRINUSE)
			continue;
		if (r)
			return -ENOBUFS;
		m->pairs[i].used = true;
		m->next_pair = (i + 1) % m->n_pairs;
		*out_pair = i;
		out_fd[0] = m->pairs[i].fd[0] = fd[0];
		out_fd[1] = m->pairs[i].fd[1] = fd[1];
		*out_port = (uint16_t)(m->p.inside_base + 2 * i);
		return 0;
	}
	return -ENOBUFS;
}

void mc_pair_rest(struct media_core *m, uint32_t pair)
{
	struct mc_pair *p = &m->pairs[pair];
	uint64_t now = loop_now_ms(m->p.loop);

	p->used = false;
	p->free_ms = now + MC_PORT_REST_MS;
	p->close_ms = now + MC_CLOSE_REST_MS;
	p->next_close = MC_NO_PAIR;
	if (m->close_head == MC_NO_PAIR)
		m->close_head = pair;
	else
		m->pairs[m->close_tail].next_close = pair;
	m->close_tail = pair;
	if (!m->close_timer.pos) /* out of memory: the next pair that rests tries again */
		loop_timer_set(m->p.loop, &m->close_timer, MC_CLOSE_REST_MS);
}

static void close_due(void *arg)
{
	struct media_core *m = arg;
	uint64_t now = loop_now_ms(m->p.loop);

	while (m->close_head != MC_NO_PAIR && m->pairs[m->close_head].close_ms <= now) {
		pair_close(&m->pairs[m->close_head]);
		m->close_head = m->pairs[m->close_head].next_close;
	}
	if (m->close_head != MC_NO_PAIR)
		loop_timer_set(m->p.loop, &m->close_timer, MC_CLOSE_REST_MS);
}
