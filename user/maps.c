/* user/maps.c -- the flow records, whoever reads them; see maps.h and bpf/abi.h.
 *
 * flows and flow_state are mapped into memory: installing a flow is a handful of stores, with a release store of the status
 * (or of the one word that changes) last, because BPF on another CPU reads the record while it is written. The other tables
 * are behind maps_back: kernel maps (maps_bpf.c) or memory of the keeper (maps_memory.c). One writer: the worker's thread. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>

#include "user/maps_impl.h"

_Static_assert(sizeof(struct sp_ip) == sizeof(((struct addr *)0)->ip), "same 16 bytes");

#define REASON_NAME(name, text) text,
static const char *const reason_names[] = {RELAY_REASONS(REASON_NAME)};

/* ---- open and close ---------------------------------------------------------------------------------------------- */

static int maps_pairs(struct maps *m, const struct maps_pair *pairs, unsigned n)
{
	if (!n || n > SP_PAIRS_MAX)
		return -EINVAL;
	for (unsigned i = 0; i < n; i++) {
		if (!pairs[i].range)
			return -EINVAL;
		m->pairs[i] = pairs[i];
		m->first_slot[i] = m->slots;
		m->slots += pairs[i].range;
	}
	m->n_pairs = n;
	return 0;
}

int maps_new(const struct maps_back *back, const struct maps_pair *pairs, unsigned n_pairs,
	     struct maps **out)
{
	struct maps *m = calloc(1, sizeof(*m));
	int r;

	if (!m)
		return -ENOMEM;
	m->back = back;
	r = maps_pairs(m, pairs, n_pairs);
	if (r) {
		free(m);
		return r;
	}
	m->flows_bytes = m->slots * sizeof(struct flow);
	m->state_bytes = m->slots * sizeof(struct flow_state);
	*out = m;
	return 0;
}

void maps_close(struct maps *m)
{
	if (!m)
		return;
	m->back->close(m);
	free(m);
}

/* ---- slots and addresses ----------------------------------------------------------------------------------------- */

uint32_t maps_slots(const struct maps *m)
{
	return m->slots;
}

static unsigned maps_pair_of(const struct maps *m, uint32_t slot)
{
	unsigned i = m->n_pairs - 1;

	while (i && slot < m->first_slot[i])
		i--;
	return i;
}

void maps_slot_addrs(const struct maps *m, uint32_t slot, struct addr *outside, struct addr *inside)
{
	unsigned i = maps_pair_of(m, slot);
	uint32_t off = slot - m->first_slot[i];

	*outside = m->pairs[i].outside;
	*inside = m->pairs[i].inside;
	outside->port = (uint16_t)(m->pairs[i].outside_base + off);
	inside->port = (uint16_t)(m->pairs[i].inside_base + off);
}

static void addr_from_ip(struct addr *a, const struct sp_ip *ip, __be16 port)
{
	memcpy(a->ip, ip, sizeof(a->ip));
	a->port = ntohs(port);
}

static struct addr addr_from_ep4(const struct sp_ep4 *ep)
{
	struct sp_ip ip = {{0, 0, htonl(0xffff), ep->ip}};
	struct addr a;

	addr_from_ip(&a, &ip, ep->port);
	return a;
}

static struct sp_ep4 ep4_from_addr(const struct addr *a)
{
	struct sp_ep4 ep = {.port = htons(a->port)};

	if (addr_is_v4(a))
		memcpy(&ep.ip, a->ip + 12, 4);
	return ep;
}

/* One 8-byte store: BPF must not see the address of one and the port of the other. */
static void ep4_store(struct sp_ep4 *to, const struct addr *a)
{
	struct sp_ep4 ep = ep4_from_addr(a);
	uint64_t word;

	memcpy(&word, &ep, sizeof(word));
	__atomic_store_n((uint64_t *)(void *)to, word, __ATOMIC_RELEASE);
}

static void ip6_store(struct sp_ip *to, const struct addr *a)
{
	memcpy(to, a->ip, sizeof(*to));
}

/* An IPv6 endpoint takes several stores: port 0 (nothing is sent, nothing from there is taken) stands while they last. */
static void endpoint_store(struct sp_ep4 *ep, struct sp_ip *ip, const struct addr *a)
{
	struct addr none = *a;

	if (memcmp(ip, a->ip, sizeof(*ip))) {
		none.port = 0;
		ep4_store(ep, &none);
		ip6_store(ip, a);
	}
	ep4_store(ep, a);
}

/* ---- flows ------------------------------------------------------------------------------------------------------- */

/* The legs' families must be those of the slot's two addresses; these may differ from each other. */
static int flow_check(const struct maps *m, uint32_t slot, const struct maps_flow *f)
{
	struct addr outside, inside;

	if (slot >= m->slots || !f->id || f->nh_out >= SP_NEXT_HOPS || f->nh_in >= SP_NEXT_HOPS)
		return -EINVAL;
	maps_slot_addrs(m, slot, &outside, &inside);
	if (addr_is_v4(&f->client) != addr_is_v4(&outside))
		return -EINVAL;
	if (f->core.port && addr_is_v4(&f->core) != addr_is_v4(&inside))
		return -EINVAL;
	return 0;
}

static int live_write(struct maps *m, uint32_t slot, const struct maps_flow *f)
{
	struct live_flow l = {.slot = slot,
			      .generation = m->flows[slot].generation,
			      .core_index = f->core_index,
			      .client_port = f->client.port,
			      .core_port = f->core.port};
	struct addr outside, inside;
	char text[ADDR_TEXT_MAX];
	const struct {
		char *to;
		const struct addr *a;
	} cols[] = {{l.client, &f->client},
		    {l.outside, &outside},
		    {l.inside, &inside},
		    {l.core, &f->core}};

	maps_slot_addrs(m, slot, &outside, &inside);
	l.outside_port = outside.port;
	l.inside_port = inside.port;
	for (size_t i = 0; i < sizeof(cols) / sizeof(cols[0]); i++) {
		addr_ip_text(cols[i].a, text);
		memcpy(cols[i].to, text, strnlen(text, SP_IP_TEXT - 1)); /* the rest is zero */
	}
	return m->back->live_set(m, f->id, &l);
}

/* The leg is @a's, with no packet of it. While an IPv6 source is written port 0 stands: the way out drops, nothing goes astray. */
static void latch_pin(const struct flow *f, struct flow_state *s, const struct addr *a)
{
	endpoint_store(&s->latched, &s->latched6, a);
	__atomic_store_n(&s->latch, LATCH_WORD(f->generation, f->window, LATCH_VALID),
			 __ATOMIC_RELEASE);
}

static void note_write(struct flow_note *to, const struct maps_note *n)
{
	to->medium = n->medium;
	ip6_store(&to->client, &n->client);
	to->edge = n->edge;
	to->flags = n->flags;
}

static void flow_write(struct flow *to, const struct maps_flow *f)
{
	endpoint_store(&to->core, &to->core6, &f->core);
	ip6_store(&to->client6, &f->client);
	ep4_store(&to->client, &f->client);
	__atomic_store_n(&to->nh_out, f->nh_out, __ATOMIC_RELAXED);
	__atomic_store_n(&to->nh_in, f->nh_in, __ATOMIC_RELAXED);
	to->core_index = f->core_index;
	to->flags = (uint8_t)((f->no_stun ? FLOW_NO_STUN : 0) | (f->loose ? FLOW_LOOSE : 0) |
			      (to->flags & FLOW_TAP));
	note_write(&to->note, &f->note);
}

int maps_flow_install(struct maps *m, uint32_t slot, const struct maps_flow *f)
{
	struct flow *to;
	uint32_t generation;
	int r = flow_check(m, slot, f);

	if (r)
		return r;
	to = &m->flows[slot];
	if (to->status == FLOW_ON)
		return -EEXIST;
	generation = to->generation + 1;
	if (!generation) /* 0 is the latch word of a slot never used */
		generation = 1;
	memset(&m->state[slot], 0, sizeof(m->state[slot]));
	memset(to, 0, sizeof(*to));
	to->generation = generation;
	to->id = f->id;
	to->window = 1;
	flow_write(to, f);
	if (f->pinned)
		latch_pin(to, &m->state[slot], &f->client);
	r = live_write(m, slot, f);
	if (r)
		return r;
	__atomic_store_n(&to->status, FLOW_ON, __ATOMIC_RELEASE);
	return 0;
}

static bool endpoint_is(const struct flow *f, const struct addr *a)
{
	return ntohs(f->core.port) == a->port && !memcmp(&f->core6, a->ip, sizeof(f->core6));
}

int maps_flow_update(struct maps *m, uint32_t slot, const struct maps_flow *f)
{
	int r = flow_check(m, slot, f);
	bool forget;

	if (r)
		return r;
	if (m->flows[slot].status != FLOW_ON)
		return -ENOENT;
	if (m->flows[slot].id != f->id)
		return -EINVAL;
	/* Another party inside: what was learned of the one before goes, once nothing new can be learned under the old name. */
	forget = f->loose && !endpoint_is(&m->flows[slot], &f->core);
	flow_write(&m->flows[slot], f);
	if (forget)
		__atomic_store_n(&m->state[slot].inside_latch, 0, __ATOMIC_RELEASE);
	if (f->pinned)
		latch_pin(&m->flows[slot], &m->state[slot], &f->client);
	return live_write(m, slot, f);
}

int maps_flow_reopen(struct maps *m, uint32_t slot, uint64_t until_ns)
{
	struct flow *f;

	if (slot >= m->slots)
		return -EINVAL;
	f = &m->flows[slot];
	if (f->status != FLOW_ON)
		return -ENOENT;
	/* The end first: between the two stores the old window, taken or not, has the new end, which opens nothing. */
	__atomic_store_n(&f->window_until_ns, until_ns, __ATOMIC_RELEASE);
	__atomic_store_n(&f->window, f->window + 1, __ATOMIC_RELEASE);
	return 0;
}

/* The programs keep the clock of a payload type that goes on: they are made to look again. */
static void clocks_write(struct flow_quality *q, uint32_t to[FLOW_CLOCKS], const uint32_t *from,
			 unsigned n)
{
	bool changed = false;

	for (unsigned i = 0; i < FLOW_CLOCKS; i++) {
		uint32_t v = i < n ? from[i] : 0;

		changed |= to[i] != v;
		__atomic_store_n(&to[i], v, __ATOMIC_RELAXED);
	}
	if (changed)
		__atomic_store_n(&q->tick, 0, __ATOMIC_RELEASE);
}

int maps_flow_clocks(struct maps *m, uint32_t slot, const uint32_t *in, unsigned n_in,
		     const uint32_t *out, unsigned n_out)
{
	struct flow_state *s;

	if (slot >= m->slots)
		return -EINVAL;
	if (m->flows[slot].status != FLOW_ON)
		return -ENOENT;
	s = &m->state[slot];
	clocks_write(&s->in, s->clocks.in, in, n_in);
	clocks_write(&s->out, s->clocks.out, out, n_out);
	return 0;
}

void maps_flow_free(struct maps *m, uint32_t slot)
{
	struct flow *f;

	if (slot >= m->slots || m->flows[slot].status != FLOW_ON)
		return;
	f = &m->flows[slot];
	__atomic_store_n(&f->status, FLOW_OFF, __ATOMIC_RELEASE);
	m->back->live_del(m, f->id);
}

int maps_flow_get(const struct maps *m, uint32_t slot, struct maps_flow *out)
{
	const struct flow *f;

	if (slot >= m->slots || m->flows[slot].status != FLOW_ON)
		return -ENOENT;
	f = &m->flows[slot];
	*out = (struct maps_flow){
		.id = f->id,
		.nh_out = f->nh_out,
		.nh_in = f->nh_in,
		.core_index = f->core_index,
		.no_stun = f->flags & FLOW_NO_STUN,
		.loose = f->flags & FLOW_LOOSE,
		.note = {.medium = f->note.medium, .edge = f->note.edge, .flags = f->note.flags}};
	addr_from_ip(&out->note.client, &f->note.client, 0);
	addr_from_ip(&out->client, &f->client6, f->client.port);
	addr_from_ip(&out->core, &f->core6, f->core.port);
	return 0;
}

int maps_flow_tap(struct maps *m, uint32_t slot, bool on)
{
	struct flow *f;

	if (slot >= m->slots || m->flows[slot].status != FLOW_ON)
		return -ENOENT;
	f = &m->flows[slot];
	__atomic_store_n(&f->flags, on ? f->flags | FLOW_TAP : f->flags & ~FLOW_TAP,
			 __ATOMIC_RELAXED);
	return 0;
}

static bool latch_is_valid(const struct flow *f, uint64_t word)
{
	return word >> 32 == f->generation && (word & LATCH_STEP_MASK) == LATCH_VALID;
}

static bool window_is_open(const struct flow *f, uint64_t word)
{
	struct timespec now;

	if (!latch_is_valid(f, word))
		return true;
	if ((word >> 2 & LATCH_WINDOW_MASK) == (f->window & LATCH_WINDOW_MASK))
		return false;
	clock_gettime(CLOCK_MONOTONIC, &now);
	return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec < f->window_until_ns;
}

int maps_flow_read(const struct maps *m, uint32_t slot, struct maps_flow_report *out)
{
	const struct flow_state *s;
	const struct flow *f;
	struct addr outside, inside;
	uint64_t word;

	if (slot >= m->slots || m->flows[slot].status != FLOW_ON)
		return -ENOENT;
	f = &m->flows[slot];
	s = &m->state[slot];
	word = __atomic_load_n(&s->latch, __ATOMIC_ACQUIRE);
	*out = (struct maps_flow_report){.packets_in = s->packets_in,
					 .bytes_in = s->bytes_in,
					 .packets_out = s->packets_out,
					 .bytes_out = s->bytes_out,
					 .last_in_ns = s->last_in_ns,
					 .last_out_ns = s->last_out_ns,
					 .window_open = window_is_open(f, word)};
	quality_of(&s->in, s->clocks.in, &out->in);
	quality_of(&s->out, s->clocks.out, &out->out);
	maps_slot_addrs(m, slot, &outside, &inside);
	if (latch_is_valid(f, __atomic_load_n(&s->inside_latch, __ATOMIC_ACQUIRE))) {
		if (addr_is_v4(&inside))
			out->inside = addr_from_ep4(&s->inside);
		else
			addr_from_ip(&out->inside, &s->inside6, s->inside.port);
	}
	if (!latch_is_valid(f, word))
		return 0;
	if (addr_is_v4(&outside))
		out->latched = addr_from_ep4(&s->latched);
	else
		addr_from_ip(&out->latched, &s->latched6, s->latched.port);
	return 0;
}

void maps_flow_each(const struct maps *m,
		    void (*fn)(void *arg, uint32_t slot, const struct maps_flow *f), void *arg)
{
	struct maps_flow f;

	for (uint32_t slot = 0; slot < m->slots; slot++)
		if (!maps_flow_get(m, slot, &f))
			fn(arg, slot, &f);
}

/* ---- next hops, bans, reasons ------------------------------------------------------------------------------------- */

int maps_next_hop_set(struct maps *m, uint32_t index, const struct maps_next_hop *nh)
{
	struct next_hop v = {.ifindex = nh->ifindex, .mtu = nh->mtu};

	if (!index || index >= SP_NEXT_HOPS)
		return -EINVAL;
	memcpy(v.src_mac, nh->src_mac, sizeof(v.src_mac));
	memcpy(v.dst_mac, nh->dst_mac, sizeof(v.dst_mac));
	return m->back->next_hop_set(m, index, &v);
}

static int ban_key(struct ban_key *key, const struct addr *prefix, unsigned len)
{
	bool v4 = addr_is_v4(prefix);

	if (len > (v4 ? 32 : 128))
		return -EINVAL;
	key->prefix_len = v4 ? len + 96 : len;
	memcpy(&key->ip, prefix->ip, sizeof(key->ip));
	return 0;
}

int maps_ban_set(struct maps *m, const struct addr *prefix, unsigned len, uint64_t until_ns)
{
	struct ban v = {.until_ns = until_ns};
	struct ban_key key;
	int r = ban_key(&key, prefix, len);

	if (r)
		return r;
	return m->back->ban_set(m, &key, &v);
}

int maps_ban_clear(struct maps *m, const struct addr *prefix, unsigned len)
{
	struct ban_key key;
	int r = ban_key(&key, prefix, len);

	if (r)
		return r;
	return m->back->ban_clear(m, &key);
}

unsigned maps_reasons(const struct maps *m)
{
	(void)m;
	return RELAY_REASON_COUNT;
}

const char *maps_reason_name(unsigned reason)
{
	return reason < RELAY_REASON_COUNT ? reason_names[reason] : "unknown";
}

uint64_t maps_reason_count(const struct maps *m, unsigned reason)
{
	return reason < RELAY_REASON_COUNT ? m->back->reason(m, reason) : 0;
}

unsigned maps_live_sweep(struct maps *m)
{
	return m->back->live_sweep(m);
}

unsigned maps_bans_expire(struct maps *m, uint64_t now_ns)
{
	return m->back->bans_expire(m, now_ns);
}

bool maps_ban_hit(struct maps *m, const struct addr *source)
{
	return m->back->ban_hit && m->back->ban_hit(m, source);
}
