/* selftests/bpf/rig.c -- see rig.h. */
#include <arpa/inet.h>
#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <errno.h>
#include <linux/pkt_cls.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "bpf/tc_relay.skel.h"
#include "bpf/xdp_relay.skel.h"
#include "selftests/bpf/rig.h"

#define SECOND 1000000000ull

struct addr rig_addr(const char *text, uint16_t port)
{
	struct addr a = {0};

	if (addr_parse(span_str(text), &a)) {
		fprintf(stderr, "bpf: bad address %s\n", text);
		abort();
	}
	a.port = port;
	return a;
}

uint64_t rig_now(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * SECOND + (uint64_t)t.tv_nsec;
}

void rig_macs(enum rig_hop hop, uint8_t src[6], uint8_t dst[6])
{
	const uint8_t s[6] = {2, 0, 0, 0, 1, (uint8_t)hop}, d[6] = {2, 0, 0, 0, 2, (uint8_t)hop};

	memcpy(src, s, 6);
	memcpy(dst, d, 6);
}

static void must(int r, const char *what)
{
	if (!r)
		return;
	fprintf(stderr, "bpf: %s: %s\n", what, strerror(-r));
	exit(1);
}

static void rig_sides(struct rig *r)
{
	struct relay_conf conf = {.sides = 2 * RIG_PAIRS,
				  .slots = RIG_PAIRS * RIG_RANGE,
				  .punch_port = htons(RIG_PUNCH),
				  .tcp_count = 1};
	int fd = bpf_map__fd(r->skel->maps.sides);
	uint32_t zero = 0;

	conf.tcp_port[0] = htons(RIG_SIP);
	for (uint32_t i = 0; i < 2 * RIG_PAIRS; i++) {
		const struct addr *own = i & 1 ? &r->inside[i / 2] : &r->outside[i / 2];
		const struct addr *peer = i & 1 ? &r->outside[i / 2] : &r->inside[i / 2];
		struct relay_side s = {.ifindex = RIG_LO,
				       .first_slot = i / 2 * RIG_RANGE,
				       .base = i & 1 ? RIG_INSIDE : RIG_OUTSIDE,
				       .peer_base = i & 1 ? RIG_OUTSIDE : RIG_INSIDE,
				       .range = RIG_RANGE,
				       .inside = i & 1,
				       .ipv6 = !addr_is_v4(own),
				       .peer_ipv6 = !addr_is_v4(peer)};

		memcpy(&s.ip, own->ip, 16);
		memcpy(&s.peer_ip, peer->ip, 16);
		conf.key[i] = s.ip.w[3];
		must(bpf_map_update_elem(fd, &i, &s, BPF_ANY), "sides");
	}
	must(bpf_map_update_elem(bpf_map__fd(r->skel->maps.conf), &zero, &conf, BPF_ANY), "conf");
}

void rig_side_ifindex(struct rig *r, uint32_t side, uint32_t ifindex)
{
	int fd = bpf_map__fd(r->skel->maps.sides);
	struct relay_side s;

	must(bpf_map_lookup_elem(fd, &side, &s), "sides");
	s.ifindex = ifindex;
	must(bpf_map_update_elem(fd, &side, &s, BPF_ANY), "sides");
}

static void rig_hops(struct rig *r)
{
	static const struct maps_next_hop hops[] = {
		[HOP_FAR] = {.ifindex = RIG_FAR, .mtu = 1500},	     [HOP_LO] = {.ifindex = RIG_LO},
		[HOP_NO_TX] = {.ifindex = 88, .mtu = 1500},	     [HOP_NONE] = {.ifindex = 0},
		[HOP_NARROW] = {.ifindex = RIG_FAR, .mtu = RIG_MTU},
	};
	uint32_t far = RIG_FAR, lo = RIG_LO;

	for (uint32_t i = HOP_FAR; i <= HOP_NARROW; i++) {
		struct maps_next_hop nh = hops[i];

		rig_macs(i, nh.src_mac, nh.dst_mac);
		must(maps_next_hop_set(r->maps, i, &nh), "next hop");
	}
	must(bpf_map_update_elem(bpf_map__fd(r->skel->maps.tx), &far, &lo, BPF_ANY), "tx");
	must(bpf_map_update_elem(bpf_map__fd(r->tc_skel->maps.tx), &far, &lo, BPF_ANY), "tx");
}

/* On the maps of the XDP program, but for the redirect targets, which each has for itself. */
static int rig_load_tc(struct rig *r)
{
	struct bpf_map *m, *own;

	r->tc_skel = tc_relay_bpf__open();
	if (!r->tc_skel)
		return -errno;
	bpf_object__for_each_map(m, r->tc_skel->obj)
	{
		own = bpf_object__find_map_by_name(r->skel->obj, bpf_map__name(m));
		if (!bpf_map__is_internal(m) && m != r->tc_skel->maps.tx)
			must(bpf_map__reuse_fd(m, bpf_map__fd(own)), "shared maps");
	}
	return tc_relay_bpf__load(r->tc_skel);
}

static int rig_load(struct rig *r)
{
	int e;

	r->skel = xdp_relay_bpf__open();
	if (!r->skel)
		return -errno;
	bpf_map__set_max_entries(r->skel->maps.flows, RIG_PAIRS * RIG_RANGE);
	bpf_map__set_max_entries(r->skel->maps.flow_state, RIG_PAIRS * RIG_RANGE);
	bpf_map__set_max_entries(r->skel->maps.live, RIG_PAIRS * RIG_RANGE);
	e = xdp_relay_bpf__load(r->skel);
	if (!e)
		e = rig_load_tc(r);
	if (e)
		return e;
	r->fds = (struct maps_fds){.flows = bpf_map__fd(r->skel->maps.flows),
				   .flow_state = bpf_map__fd(r->skel->maps.flow_state),
				   .next_hops = bpf_map__fd(r->skel->maps.next_hops),
				   .bans = bpf_map__fd(r->skel->maps.bans),
				   .reasons = bpf_map__fd(r->skel->maps.reasons),
				   .live = bpf_map__fd(r->skel->maps.live)};
	return 0;
}

static void rig_addrs(struct rig *r)
{
	static const char *const outside[] = {"192.0.2.1", "2001:db8::1", "192.0.2.3",
					      "2001:db8::3"};
	static const char *const inside[] = {"10.0.0.1", "fd00::1", "fd00::3", "10.0.0.3"};

	for (int i = 0; i < RIG_PAIRS; i++) {
		bool out4 = i % 2 == 0, in4 = i == 0 || i == 3;

		r->outside[i] = rig_addr(outside[i], 0);
		r->inside[i] = rig_addr(inside[i], 0);
		r->client[i] = rig_addr(out4 ? "198.51.100.7" : "2001:db8:f::7", 5004);
		/* An IPv6 stranger differs before the last 32 bits, which are the key of the search. */
		r->stranger[i] = rig_addr(out4 ? "198.51.100.8" : "2001:db8:f:1::7", 5004);
		r->core[i] = rig_addr(in4 ? "10.0.0.9" : "fd00::9", 2776);
	}
}

int rig_open(struct rig *r)
{
	struct maps_pair pairs[RIG_PAIRS];
	int e = rig_load(r);

	if (e)
		return e;
	rig_addrs(r);
	for (int i = 0; i < RIG_PAIRS; i++)
		pairs[i] = (struct maps_pair){.outside = r->outside[i],
					      .inside = r->inside[i],
					      .outside_base = RIG_OUTSIDE,
					      .inside_base = RIG_INSIDE,
					      .range = RIG_RANGE};
	e = maps_open(&r->fds, pairs, RIG_PAIRS, &r->maps);
	if (e)
		return e;
	rig_sides(r);
	rig_hops(r);
	rig_reset(r);
	return 0;
}

void rig_close(struct rig *r)
{
	maps_close(r->maps);
	tc_relay_bpf__destroy(r->tc_skel);
	xdp_relay_bpf__destroy(r->skel);
}

void rig_latch(struct rig *r, uint32_t slot, uint64_t word, const struct addr *a)
{
	struct flow_state s = {.latch = word, .latched = {.port = htons(a->port)}};

	memcpy(&s.latched6, a->ip, 16);
	if (addr_is_v4(a))
		memcpy(&s.latched.ip, a->ip + 12, 4);
	must(bpf_map_update_elem(r->fds.flow_state, &slot, &s, BPF_ANY), "flow_state");
}

static uint32_t flow_generation(struct rig *r, uint32_t slot)
{
	struct flow f;

	must(bpf_map_lookup_elem(r->fds.flows, &slot, &f), "flows");
	return f.generation;
}

static uint32_t flow_hop(enum rig_flow i)
{
	switch (i) {
	case FLOW_NO_HOP:
		return HOP_NONE;
	case FLOW_NO_TX:
		return HOP_NO_TX;
	case FLOW_NARROW:
		return HOP_NARROW;
	case FLOW_HAIRPIN:
		return HOP_LO;
	default:
		return HOP_FAR;
	}
}

static uint64_t flow_word(enum rig_flow i, uint32_t gen)
{
	switch (i) {
	case FLOW_FRESH:
	case FLOW_ONE_PORT:
	case FLOW_FREED:
		return 0;
	case FLOW_CLAIMED:
		return LATCH_WORD(gen, 1, LATCH_CLAIMED);
	case FLOW_CLAIMED_STALE:
		return LATCH_WORD(gen - 1, 1, LATCH_CLAIMED);
	case FLOW_STALE:
		return LATCH_WORD(gen - 1, 1, LATCH_VALID);
	default:
		return LATCH_WORD(gen, 1, LATCH_VALID);
	}
}

void rig_flow(struct rig *r, int pair, enum rig_flow i)
{
	uint32_t slot = (uint32_t)pair * RIG_RANGE + i;
	struct maps_flow f = {.id = slot + 1,
			      .client = r->client[pair],
			      .core = r->core[pair],
			      .nh_in = flow_hop(i),
			      .nh_out = flow_hop(i)};

	if (i != FLOW_ONE_PORT)
		f.client.port = 0;
	if (i == FLOW_NO_CORE)
		f.core.port = 0;
	maps_flow_free(r->maps, slot);
	must(maps_flow_install(r->maps, slot, &f), "install");
	rig_latch(r, slot, flow_word(i, flow_generation(r, slot)), &r->client[pair]);
	if (i == FLOW_REOPENED)
		must(maps_flow_reopen(r->maps, slot, rig_now() + 10 * SECOND), "reopen");
	if (i == FLOW_EXPIRED)
		must(maps_flow_reopen(r->maps, slot, rig_now() - SECOND / 10), "reopen");
	if (i == FLOW_FREED)
		maps_flow_free(r->maps, slot);
}

void rig_reset(struct rig *r)
{
	for (int pair = 0; pair < RIG_PAIRS; pair++)
		for (int i = 0; i < RIG_FLOWS; i++)
			rig_flow(r, pair, i);
}

uint32_t rig_back(const struct rig *r)
{
	return r->tc ? XDP_REDIRECT : XDP_TX;
}

static uint32_t verdict_of_tc(uint32_t v)
{
	switch ((int)v) {
	case TC_ACT_UNSPEC:
		return XDP_PASS;
	case TC_ACT_SHOT:
		return XDP_DROP;
	case TC_ACT_REDIRECT:
		return XDP_REDIRECT;
	default:
		return XDP_ABORTED;
	}
}

int rig_fire(struct rig *r, const uint8_t *frame, size_t n, struct rig_result *out)
{
	DECLARE_LIBBPF_OPTS(bpf_test_run_opts, opts, .data_in = frame, .data_size_in = (uint32_t)n,
			    .data_out = out->frame, .data_size_out = sizeof(out->frame),
			    .repeat = 1);

	int fd = bpf_program__fd(r->tc ? r->tc_skel->progs.tc_relay : r->skel->progs.xdp_relay);

	if (bpf_prog_test_run_opts(fd, &opts))
		return -errno;
	out->verdict = r->tc ? verdict_of_tc(opts.retval) : opts.retval;
	out->n = opts.data_size_out;
	return 0;
}

int rig_run(struct rig *r, const uint8_t *frame, size_t n, struct rig_result *out)
{
	uint64_t before[RELAY_REASON_COUNT];
	int hits = 0, e;

	for (unsigned i = 0; i < RELAY_REASON_COUNT; i++)
		before[i] = maps_reason_count(r->maps, i);
	e = rig_fire(r, frame, n, out);
	if (e)
		return e;
	out->reason = -1;
	for (unsigned i = 0; i < RELAY_REASON_COUNT; i++) {
		uint64_t d = maps_reason_count(r->maps, i) - before[i];

		hits += (int)d;
		if (d)
			out->reason = (int)i;
	}
	if (hits != 1)
		out->reason = -1;
	return 0;
}
