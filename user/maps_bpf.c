/* user/maps_bpf.c -- the tables beside the flow records as kernel maps: next hops, bans, reasons, live. See maps_impl.h.
 *
 * In: descriptors that the keeper opened. Out: look-ups, updates and deletes by system call; nothing is created here. */
#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <errno.h>
#include <stdlib.h>
#include <sys/mman.h>

#include "user/maps_impl.h"

/* ---- what the descriptors are --------------------------------------------------------------------------------------- */

static int map_check(int fd, uint32_t key, uint32_t value, uint32_t entries)
{
	struct bpf_map_info info = {};
	uint32_t len = sizeof(info);

	if (bpf_obj_get_info_by_fd(fd, &info, &len))
		return -errno;
	if (info.key_size != key || info.value_size != value || info.max_entries < entries)
		return -EPROTO;
	return 0;
}

static int maps_check(const struct maps *m)
{
	const struct maps_fds *f = &m->fds;
	const struct {
		int fd;
		uint32_t key, value, entries;
	} want[] = {
		{f->flows, 4, sizeof(struct flow), m->slots},
		{f->flow_state, 4, sizeof(struct flow_state), m->slots},
		{f->next_hops, 4, sizeof(struct next_hop), SP_NEXT_HOPS},
		{f->bans, sizeof(struct ban_key), sizeof(struct ban), SP_BANS_MAX},
		{f->reasons, 4, 8, RELAY_REASON_COUNT},
		{f->live, 8, sizeof(struct live_flow), m->slots},
	};

	for (size_t i = 0; i < sizeof(want) / sizeof(want[0]); i++) {
		int r = map_check(want[i].fd, want[i].key, want[i].value, want[i].entries);

		if (r)
			return r;
	}
	return 0;
}

static int map_view(int fd, size_t bytes, void **out)
{
	void *p = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);

	if (p == MAP_FAILED)
		return -errno;
	*out = p;
	return 0;
}

/* ---- operations ---------------------------------------------------------------------------------------------------- */

static int live_set(struct maps *m, uint64_t id, const struct live_flow *v)
{
	return bpf_map_update_elem(m->fds.live, &id, v, BPF_ANY) ? -errno : 0;
}

static void live_del(struct maps *m, uint64_t id)
{
	bpf_map_delete_elem(m->fds.live, &id);
}

static unsigned live_sweep(struct maps *m)
{
	struct live_flow v;
	uint64_t key, next;
	unsigned i, n = 0;
	bool more;

	more = bpf_map_get_next_key(m->fds.live, NULL, &next) == 0;
	for (i = 0; more && i < m->slots; i++) {
		key = next;
		more = bpf_map_get_next_key(m->fds.live, &key, &next) == 0;
		if (bpf_map_lookup_elem(m->fds.live, &key, &v))
			continue;
		if (v.slot >= m->slots || m->flows[v.slot].status != FLOW_ON ||
		    m->flows[v.slot].id != key)
			n += !bpf_map_delete_elem(m->fds.live, &key);
	}
	return n;
}

static int next_hop_set(struct maps *m, uint32_t index, const struct next_hop *v)
{
	return bpf_map_update_elem(m->fds.next_hops, &index, v, BPF_ANY) ? -errno : 0;
}

static int ban_set(struct maps *m, const struct ban_key *key, const struct ban *v)
{
	return bpf_map_update_elem(m->fds.bans, key, v, BPF_ANY) ? -errno : 0;
}

static int ban_clear(struct maps *m, const struct ban_key *key)
{
	return bpf_map_delete_elem(m->fds.bans, key) ? -errno : 0;
}

static unsigned bans_expire(struct maps *m, uint64_t now_ns)
{
	struct ban_key key, next;
	struct ban v;
	unsigned i, n = 0;
	bool more;

	more = bpf_map_get_next_key(m->fds.bans, NULL, &next) == 0;
	for (i = 0; more && i < SP_BANS_MAX; i++) {
		key = next;
		more = bpf_map_get_next_key(m->fds.bans, &key, &next) == 0;
		if (!bpf_map_lookup_elem(m->fds.bans, &key, &v) && v.until_ns <= now_ns)
			n += !bpf_map_delete_elem(m->fds.bans, &key);
	}
	return n;
}

static uint64_t reason_count(const struct maps *m, unsigned reason)
{
	uint64_t sum = 0;

	if (bpf_map_lookup_elem(m->fds.reasons, &reason, m->per_cpu))
		return 0;
	for (int i = 0; i < m->cpus; i++)
		sum += m->per_cpu[i];
	return sum;
}

static void bpf_close(struct maps *m)
{
	if (m->flows)
		munmap(m->flows, m->flows_bytes);
	if (m->state)
		munmap(m->state, m->state_bytes);
	free(m->per_cpu);
}

static const struct maps_back bpf_back = {
	.live_set = live_set,
	.live_del = live_del,
	.live_sweep = live_sweep,
	.next_hop_set = next_hop_set,
	.ban_set = ban_set,
	.ban_clear = ban_clear,
	.bans_expire = bans_expire,
	.reason = reason_count,
	.close = bpf_close,
};

int maps_open(const struct maps_fds *fds, const struct maps_pair *pairs, unsigned n_pairs,
	      struct maps **out)
{
	struct maps *m = NULL;
	int r = maps_new(&bpf_back, pairs, n_pairs, &m);

	if (r)
		return r;
	m->fds = *fds;
	m->cpus = libbpf_num_possible_cpus();
	if (m->cpus < 0)
		r = m->cpus;
	else
		m->per_cpu = calloc((size_t)m->cpus, sizeof(*m->per_cpu));
	if (!r)
		r = m->per_cpu ? maps_check(m) : -ENOMEM;
	if (!r)
		r = map_view(fds->flows, m->flows_bytes, (void **)&m->flows);
	if (!r)
		r = map_view(fds->flow_state, m->state_bytes, (void **)&m->state);
	if (r)
		maps_close(m);
	else
		*out = m;
	return r;
}
