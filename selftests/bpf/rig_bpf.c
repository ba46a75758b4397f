/* selftests/bpf/rig_bpf.c -- the XDP and the tc program, loaded but attached nowhere, fed by BPF_PROG_TEST_RUN. See rig.h. */
#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <errno.h>
#include <linux/pkt_cls.h>
#include <string.h>

#include "bpf/tc_relay.skel.h"
#include "bpf/xdp_relay.skel.h"
#include "selftests/bpf/rig_bpf.h"

struct rig_bpf {
	struct xdp_relay_bpf *skel;
	struct tc_relay_bpf *tc_skel;
	struct maps_fds fds;
};

static struct rig_bpf bpf;

static void rig_sides(struct rig *r)
{
	struct relay_conf conf = {.sides = 2 * RIG_PAIRS,
				  .slots = RIG_PAIRS * RIG_RANGE,
				  .punch_port = htons(RIG_PUNCH),
				  .tcp_count = 1};
	int fd = bpf_map__fd(bpf.skel->maps.sides);
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
		rig_must(bpf_map_update_elem(fd, &i, &s, BPF_ANY), "sides");
	}
	rig_must(bpf_map_update_elem(bpf_map__fd(bpf.skel->maps.conf), &zero, &conf, BPF_ANY),
		 "conf");
}

static void bpf_interface(struct rig *r, uint32_t side, uint32_t ifindex)
{
	int fd = bpf_map__fd(bpf.skel->maps.sides);
	struct relay_side s;

	(void)r;
	rig_must(bpf_map_lookup_elem(fd, &side, &s), "sides");
	s.ifindex = ifindex;
	rig_must(bpf_map_update_elem(fd, &side, &s, BPF_ANY), "sides");
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
		rig_must(maps_next_hop_set(r->maps, i, &nh), "next hop");
	}
	rig_must(bpf_map_update_elem(bpf_map__fd(bpf.skel->maps.tx), &far, &lo, BPF_ANY), "tx");
	rig_must(bpf_map_update_elem(bpf_map__fd(bpf.skel->maps.tx), &lo, &lo, BPF_ANY), "tx");
	rig_must(bpf_map_update_elem(bpf_map__fd(bpf.tc_skel->maps.tx), &far, &lo, BPF_ANY), "tx");
}

/* On the maps of the XDP program, but for the redirect targets, which each has for itself. */
static int rig_load_tc(void)
{
	struct bpf_map *m, *own;

	bpf.tc_skel = tc_relay_bpf__open();
	if (!bpf.tc_skel)
		return -errno;
	bpf_object__for_each_map(m, bpf.tc_skel->obj)
	{
		own = bpf_object__find_map_by_name(bpf.skel->obj, bpf_map__name(m));
		if (!bpf_map__is_internal(m) && m != bpf.tc_skel->maps.tx)
			rig_must(bpf_map__reuse_fd(m, bpf_map__fd(own)), "shared maps");
	}
	return tc_relay_bpf__load(bpf.tc_skel);
}

static int rig_load(void)
{
	int e;

	bpf.skel = xdp_relay_bpf__open();
	if (!bpf.skel)
		return -errno;
	bpf_map__set_max_entries(bpf.skel->maps.flows, RIG_PAIRS * RIG_RANGE);
	bpf_map__set_max_entries(bpf.skel->maps.flow_state, RIG_PAIRS * RIG_RANGE);
	bpf_map__set_max_entries(bpf.skel->maps.live, RIG_PAIRS * RIG_RANGE);
	e = xdp_relay_bpf__load(bpf.skel);
	if (!e)
		e = rig_load_tc();
	if (e)
		return e;
	bpf.fds = (struct maps_fds){.flows = bpf_map__fd(bpf.skel->maps.flows),
				    .flow_state = bpf_map__fd(bpf.skel->maps.flow_state),
				    .next_hops = bpf_map__fd(bpf.skel->maps.next_hops),
				    .bans = bpf_map__fd(bpf.skel->maps.bans),
				    .reasons = bpf_map__fd(bpf.skel->maps.reasons),
				    .live = bpf_map__fd(bpf.skel->maps.live)};
	return 0;
}

static void bpf_state_set(struct rig *r, uint32_t slot, const struct flow_state *s)
{
	(void)r;
	rig_must(bpf_map_update_elem(bpf.fds.flow_state, &slot, s, BPF_ANY), "flow_state");
}

static uint32_t bpf_generation(struct rig *r, uint32_t slot)
{
	struct flow f;

	(void)r;
	rig_must(bpf_map_lookup_elem(bpf.fds.flows, &slot, &f), "flows");
	return f.generation;
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

static int bpf_fire(struct rig *r, const uint8_t *frame, size_t n, struct rig_result *out)
{
	DECLARE_LIBBPF_OPTS(bpf_test_run_opts, opts, .data_in = frame, .data_size_in = (uint32_t)n,
			    .data_out = out->frame, .data_size_out = sizeof(out->frame),
			    .repeat = 1);

	bool tc = r->kind == &rig_tc;
	int fd = bpf_program__fd(tc ? bpf.tc_skel->progs.tc_relay : bpf.skel->progs.xdp_relay);

	if (bpf_prog_test_run_opts(fd, &opts))
		return -errno;
	out->verdict = tc ? verdict_of_tc(opts.retval) : opts.retval;
	out->n = opts.data_size_out;
	return 0;
}

const struct rig_kind rig_xdp = {
	.name = "xdp",
	.fire = bpf_fire,
	.state_set = bpf_state_set,
	.generation = bpf_generation,
	.interface = bpf_interface,
};
const struct rig_kind rig_tc = {
	.name = "tc",
	.headers_whole = true,
	.quotes_sum = true,
	.fire = bpf_fire,
	.state_set = bpf_state_set,
	.generation = bpf_generation,
	.interface = bpf_interface,
};

int rig_bpf_open(struct rig *r)
{
	struct maps_pair pairs[RIG_PAIRS];
	int e = rig_load();

	if (e)
		return e;
	rig_addrs(r);
	rig_pairs(r, pairs);
	e = maps_open(&bpf.fds, pairs, RIG_PAIRS, &r->maps);
	if (e)
		return e;
	rig_sides(r);
	rig_hops(r);
	return 0;
}

void rig_bpf_close(struct rig *r)
{
	maps_close(r->maps);
	tc_relay_bpf__destroy(bpf.tc_skel);
	xdp_relay_bpf__destroy(bpf.skel);
}
