/* user/media_core_port.c -- pairs of UDP sockets inside: RTP even, RTCP the odd port above.
 *
 * In: a wish for a pair. Out: two sockets of the keeper's pool, awake. Pairs go round robin, so that a late packet of an old call seldom
 * meets a new one; a pair given back rests MC_PORT_REST_MS at least. The descriptors are the keeper's: nothing here opens or closes one, so a call's ports
 * outlive the worker, and a set-up costs no socket. */
#include <errno.h>
#include <stdlib.h>

#include "user/media_core_int.h"

int mc_ports_init(struct media_core *m)
{
	uint32_t i;

	m->n_pairs = m->p.inside_sockets.n / 2;
	if (!m->n_pairs)
		return -EINVAL;
	m->pairs = calloc(m->n_pairs, sizeof(*m->pairs));
	if (!m->pairs)
		return -ENOMEM;
	for (i = 0; i < m->n_pairs; i++) {
		struct mc_pair *p = &m->pairs[i];

		p->fd[0] = m->p.inside_sockets.first + 2 * (int)i;
		p->fd[1] = p->fd[0] + 1;
		p->port = sockpool_port(p->fd[0]);
		if (!p->port || sockpool_port(p->fd[1]) != p->port + 1)
			return -EBADF;
	}
	return 0;
}

/* What an earlier worker left awake and nobody has taken again. */
int mc_ports_settle(struct media_core *m)
{
	uint32_t i;
	int r;

	for (i = 0; i < m->n_pairs; i++) {
		if (m->pairs[i].used)
			continue;
		r = sockpool_rest(m->pairs[i].fd[0]);
		if (!r)
			r = sockpool_rest(m->pairs[i].fd[1]);
		if (r)
			return r;
	}
	return 0;
}

int mc_pair_take(struct media_core *m, uint32_t *out_pair)
{
	uint64_t now = loop_now_ms(m->p.loop);
	uint32_t k, i;

	for (k = 0; k < m->n_pairs; k++) {
		i = (m->next_pair + k) % m->n_pairs;
		if (m->pairs[i].used || m->pairs[i].free_ms > now)
			continue;
		if (sockpool_wake(m->pairs[i].fd[0]) || sockpool_wake(m->pairs[i].fd[1]))
			return -ENOBUFS;
		m->pairs[i].used = true;
		m->next_pair = (i + 1) % m->n_pairs;
		*out_pair = i;
		return 0;
	}
	m->count.no_ports++;
	return -ENOBUFS;
}

/* As an earlier worker left it: awake, and with what came in meanwhile. */
int mc_pair_adopt(struct media_core *m, uint32_t pair)
{
	if (pair >= m->n_pairs || m->pairs[pair].used)
		return -EBADMSG;
	m->pairs[pair].used = true;
	return 0;
}

void mc_pair_rest(struct media_core *m, uint32_t pair)
{
	struct mc_pair *p = &m->pairs[pair];

	sockpool_rest(p->fd[0]);
	sockpool_rest(p->fd[1]);
	p->used = false;
	p->free_ms = loop_now_ms(m->p.loop) + MC_PORT_REST_MS;
}
