/* selftests/unit/test_maps.c -- user/maps.c over real maps, without any program. Skips where BPF maps may not be made. */
#include <bpf/bpf.h>
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#include <cmocka.h>

#include "bpf/abi.h"
#include "user/maps.h"

#define PAIRS 5
#define RANGE 24000
#define SLOTS (PAIRS * RANGE)

struct kit {
	struct maps_fds fds;
	struct maps_pair pairs[PAIRS];
	struct maps *m;
};

static struct addr text_addr(const char *text)
{
	struct addr a;

	assert_int_equal(addr_parse(span_str(text), &a), 0);
	return a;
}

static int map_make(enum bpf_map_type type, uint32_t key, uint32_t value, uint32_t n,
		    uint32_t flags)
{
	LIBBPF_OPTS(bpf_map_create_opts, opts, .map_flags = flags);

	return bpf_map_create(type, "test", key, value, n, &opts);
}

static int fds_make(struct maps_fds *f, uint32_t slots)
{
	f->flows = map_make(BPF_MAP_TYPE_ARRAY, 4, sizeof(struct flow), slots, BPF_F_MMAPABLE);
	f->flow_state =
		map_make(BPF_MAP_TYPE_ARRAY, 4, sizeof(struct flow_state), slots, BPF_F_MMAPABLE);
	f->next_hops = map_make(BPF_MAP_TYPE_ARRAY, 4, sizeof(struct next_hop), SP_NEXT_HOPS, 0);
	f->bans = map_make(BPF_MAP_TYPE_LPM_TRIE, sizeof(struct ban_key), sizeof(struct ban),
			   SP_BANS_MAX, BPF_F_NO_PREALLOC);
	f->reasons = map_make(BPF_MAP_TYPE_PERCPU_ARRAY, 4, 8, RELAY_REASON_COUNT, 0);
	f->live =
		map_make(BPF_MAP_TYPE_HASH, 8, sizeof(struct live_flow), slots, BPF_F_NO_PREALLOC);
	return f->flows < 0 ? f->flows : f->live < 0 ? f->live : 0;
}

static void fds_close(struct maps_fds *f)
{
	const int all[] = {f->flows, f->flow_state, f->next_hops, f->bans, f->reasons, f->live};

	for (size_t i = 0; i < sizeof(all) / sizeof(all[0]); i++)
		close(all[i]);
}

static int setup(void **state)
{
	static struct kit kit;
	struct rlimit all = {RLIM_INFINITY, RLIM_INFINITY};

	*state = NULL;
	setrlimit(RLIMIT_MEMLOCK, &all);
	if (fds_make(&kit.fds, SLOTS)) {
		printf("skip: test_maps: BPF maps cannot be made (needs CAP_BPF)\n");
		return 0;
	}
	for (unsigned i = 0; i < PAIRS; i++) {
		char text[32];

		snprintf(text, sizeof(text), "192.0.2.%u", i + 1);
		kit.pairs[i] = (struct maps_pair){.outside = text_addr(text),
						  .inside = text_addr("10.0.0.1"),
						  .outside_base = 36000,
						  .inside_base = 36000,
						  .range = RANGE};
		kit.pairs[i].inside.ip[15] = (uint8_t)(i + 1);
	}
	kit.pairs[4].outside = text_addr("2001:db8::1");
	kit.pairs[3].outside = text_addr("2001:db8::1");
	kit.pairs[4].inside = text_addr("fd00::1");
	assert_int_equal(maps_open(&kit.fds, kit.pairs, PAIRS, &kit.m), 0);
	*state = &kit;
	return 0;
}

static int teardown(void **state)
{
	struct kit *k = *state;

	if (!k)
		return 0;
	maps_close(k->m);
	fds_close(&k->fds);
	return 0;
}

static struct kit *kit_or_skip(void **state)
{
	if (!*state)
		skip();
	return *state;
}

static struct maps_flow flow_of(uint64_t id)
{
	return (struct maps_flow){.id = id,
				  .client = text_addr("198.51.100.7"),
				  .core = text_addr("10.0.0.9:2776"),
				  .nh_out = 1,
				  .nh_in = 2,
				  .core_index = 3};
}

static void test_maps_open_checks(void **state)
{
	struct kit *k = kit_or_skip(state);
	struct maps_fds other = k->fds;
	struct maps_pair big = k->pairs[0];
	struct maps_pair six[SP_PAIRS_MAX + 1] = {0};
	struct maps *m = NULL;

	other.flows = k->fds.next_hops;
	assert_int_equal(maps_open(&other, k->pairs, PAIRS, &m), -EPROTO);
	other = k->fds;
	other.live = -1;
	assert_int_equal(maps_open(&other, k->pairs, PAIRS, &m),
			 -EBADFD); /* the kernel's own choice */
	assert_int_equal(maps_open(&k->fds, &big, 0, &m), -EINVAL);
	assert_int_equal(maps_open(&k->fds, six, SP_PAIRS_MAX + 1, &m), -EINVAL);
	k->pairs[0].range = 65535; /* more slots than the map has */
	assert_int_equal(maps_open(&k->fds, k->pairs, PAIRS, &m), -EPROTO);
	k->pairs[0].range = RANGE;
	assert_null(m);
}

static void test_maps_slot_addresses(void **state)
{
	struct kit *k = kit_or_skip(state);
	static const struct {
		uint32_t slot;
		const char *outside, *inside;
	} rows[] = {
		{0, "192.0.2.1:36000", "10.0.0.1:36000"},
		{RANGE - 1, "192.0.2.1:59999", "10.0.0.1:59999"},
		{RANGE, "192.0.2.2:36000", "10.0.0.2:36000"},
		{2 * RANGE + 7, "192.0.2.3:36007", "10.0.0.3:36007"},
		{SLOTS - 1, "[2001:db8::1]:59999", "[fd00::1]:59999"},
	};

	assert_int_equal(maps_slots(k->m), SLOTS);
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		char text[ADDR_TEXT_MAX];
		struct addr o, in;

		maps_slot_addrs(k->m, rows[i].slot, &o, &in);
		assert_string_equal(addr_text(&o, text), rows[i].outside);
		assert_string_equal(addr_text(&in, text), rows[i].inside);
	}
}

static void test_maps_install_refuses(void **state)
{
	struct kit *k = kit_or_skip(state);
	struct maps_flow f = flow_of(1);

	assert_int_equal(maps_flow_install(k->m, SLOTS, &f), -EINVAL);
	assert_int_equal(maps_flow_install(k->m, 3 * RANGE, &f), -EINVAL); /* client is not IPv6 */
	assert_int_equal(maps_flow_install(k->m, 4 * RANGE, &f), -EINVAL);
	f.id = 0;
	assert_int_equal(maps_flow_install(k->m, 0, &f), -EINVAL);
	f = flow_of(1);
	f.nh_in = SP_NEXT_HOPS;
	assert_int_equal(maps_flow_install(k->m, 0, &f), -EINVAL);
	f = flow_of(1);
	f.core = text_addr("[fd00::9]:2776");
	assert_int_equal(maps_flow_install(k->m, 0, &f), -EINVAL);
	assert_int_equal(maps_flow_get(k->m, 0, &f), -ENOENT);
	f = flow_of(1);
	assert_int_equal(maps_flow_update(k->m, 0, &f), -ENOENT);
}

static uint8_t flow_flags(struct kit *k, uint32_t slot)
{
	struct flow f = {};

	assert_int_equal(bpf_map_lookup_elem(k->fds.flows, &slot, &f), 0);
	return f.flags;
}

static void test_maps_flow_life(void **state)
{
	struct kit *k = kit_or_skip(state);
	struct maps_flow f = flow_of(77), got;
	struct maps_flow_report rep;
	struct live_flow live;

	assert_int_equal(maps_flow_install(k->m, 5, &f), 0);
	assert_int_equal(maps_flow_install(k->m, 5, &f), -EEXIST);
	assert_int_equal(maps_flow_get(k->m, 5, &got), 0);
	assert_int_equal(got.id, 77);
	assert_true(addr_eq(&got.client, &f.client) && addr_eq(&got.core, &f.core));
	assert_int_equal(got.nh_out, 1);
	assert_int_equal(got.nh_in, 2);
	assert_int_equal(got.core_index, 3);
	assert_int_equal(maps_flow_read(k->m, 5, &rep), 0);
	assert_true(rep.window_open);
	assert_int_equal(rep.latched.port, 0);

	assert_int_equal(bpf_map_lookup_elem(k->fds.live, &f.id, &live), 0);
	assert_string_equal(live.client, "198.51.100.7");
	assert_string_equal(live.outside, "192.0.2.1");
	assert_string_equal(live.core, "10.0.0.9");
	assert_int_equal(live.outside_port, 36005);
	assert_int_equal(live.core_port, 2776);
	assert_int_equal(live.slot, 5);

	f.core = text_addr("10.0.0.10:2777");
	assert_int_equal(maps_flow_tap(k->m, 5, true), 0);
	assert_int_equal(maps_flow_update(k->m, 5, &f), 0);
	assert_true(flow_flags(k, 5) & FLOW_TAP); /* until it is taken off */
	assert_int_equal(maps_flow_tap(k->m, 5, false), 0);
	assert_false(flow_flags(k, 5) & FLOW_TAP);
	assert_int_equal(maps_flow_tap(k->m, 6, true), -ENOENT);
	assert_int_equal(bpf_map_lookup_elem(k->fds.live, &f.id, &live), 0);
	assert_string_equal(live.core, "10.0.0.10");
	f.id = 78;
	assert_int_equal(maps_flow_update(k->m, 5, &f), -EINVAL);
	f.id = 77;
	maps_flow_free(k->m, 5);
	assert_int_equal(maps_flow_read(k->m, 5, &rep), -ENOENT);
	assert_int_equal(bpf_map_lookup_elem(k->fds.live, &f.id, &live), -ENOENT);
	maps_flow_free(k->m, 5); /* again: nothing happens */
}

/* What BPF would have written: latch and counters, for the present generation and for an earlier one. */
static void test_maps_report(void **state)
{
	struct kit *k = kit_or_skip(state);
	struct maps_flow f = flow_of(9);
	struct flow_state s = {.latched = {.ip = htonl(0xc6336407), .port = htons(5004)},
			       .packets_in = 3,
			       .bytes_in = 600,
			       .last_out_ns = 12345};
	struct maps_flow_report rep;
	struct flow raw;
	uint32_t slot = 6;

	assert_int_equal(maps_flow_install(k->m, slot, &f), 0);
	assert_int_equal(bpf_map_lookup_elem(k->fds.flows, &slot, &raw), 0);
	s.latch = LATCH_WORD(raw.generation, 1, LATCH_VALID);
	assert_int_equal(bpf_map_update_elem(k->fds.flow_state, &slot, &s, BPF_ANY), 0);
	assert_int_equal(maps_flow_read(k->m, slot, &rep), 0);
	assert_false(rep.window_open);
	assert_int_equal(rep.latched.port, 5004);
	assert_true(addr_ip_eq(&rep.latched, &f.client));
	assert_int_equal(rep.packets_in, 3);
	assert_int_equal(rep.bytes_in, 600);
	assert_int_equal(rep.last_out_ns, 12345);
	assert_int_equal(maps_flow_reopen(k->m, slot, UINT64_MAX), 0);
	assert_int_equal(maps_flow_read(k->m, slot, &rep), 0);
	assert_true(rep.window_open);
	assert_int_equal(rep.latched.port, 5004);

	s.latch = LATCH_WORD(raw.generation - 1, 1, LATCH_VALID);
	assert_int_equal(bpf_map_update_elem(k->fds.flow_state, &slot, &s, BPF_ANY), 0);
	assert_int_equal(maps_flow_read(k->m, slot, &rep), 0);
	assert_int_equal(rep.latched.port, 0);
	maps_flow_free(k->m, slot);
	assert_int_equal(maps_flow_install(k->m, slot, &f), 0);
	assert_int_equal(maps_flow_read(k->m, slot, &rep), 0);
	assert_int_equal(rep.packets_in, 0);
	maps_flow_free(k->m, slot);
	assert_int_equal(maps_flow_reopen(k->m, slot, 1), -ENOENT);
}

static void each_count(void *arg, uint32_t slot, const struct maps_flow *f)
{
	assert_int_equal(f->id, slot + 1);
	++*(unsigned *)arg;
}

/* A worker that starts anew sees what the last one installed. */
static void test_maps_each_after_restart(void **state)
{
	struct kit *k = kit_or_skip(state);
	static const uint32_t slots[] = {0, RANGE - 1, RANGE, 3 * RANGE - 1};
	struct maps *again;
	unsigned seen = 0;

	for (unsigned i = 0; i < 4; i++) {
		struct maps_flow f = flow_of(slots[i] + 1);

		assert_int_equal(maps_flow_install(k->m, slots[i], &f), 0);
	}
	assert_int_equal(maps_open(&k->fds, k->pairs, PAIRS, &again), 0);
	maps_flow_each(again, each_count, &seen);
	assert_int_equal(seen, 4);
	for (unsigned i = 0; i < 4; i++)
		maps_flow_free(again, slots[i]);
	seen = 0;
	maps_flow_each(k->m, each_count, &seen);
	assert_int_equal(seen, 0);
	maps_close(again);
}

/* A worker killed between live and the flow's status, both ways, leaves an entry that nobody would ever delete. */
static void test_maps_live_sweep(void **state)
{
	struct kit *k = kit_or_skip(state);
	const struct live_flow off = {.slot = 5}, beyond = {.slot = PAIRS * RANGE},
			       others = {.slot = 3};
	struct maps_flow f = flow_of(77);
	struct live_flow v;
	uint64_t id;

	assert_int_equal(maps_flow_install(k->m, 3, &f), 0);
	id = 1001;
	assert_int_equal(bpf_map_update_elem(k->fds.live, &id, &off, BPF_ANY), 0);
	id = 1002;
	assert_int_equal(bpf_map_update_elem(k->fds.live, &id, &beyond, BPF_ANY), 0);
	id = 1003;
	assert_int_equal(bpf_map_update_elem(k->fds.live, &id, &others, BPF_ANY), 0);
	assert_int_equal(maps_live_sweep(k->m), 3);
	assert_int_equal(maps_live_sweep(k->m), 0);
	assert_int_equal(bpf_map_lookup_elem(k->fds.live, &f.id, &v), 0);
	assert_int_equal(v.slot, 3);
	maps_flow_free(k->m, 3);
}

static void test_maps_hops_bans_reasons(void **state)
{
	struct kit *k = kit_or_skip(state);
	struct maps_next_hop nh = {.ifindex = 4,
				   .src_mac = {2, 0, 0, 0, 0, 1},
				   .dst_mac = {2, 0, 0, 0, 0, 2},
				   .mtu = 1400};
	struct addr net = text_addr("198.51.100.0");
	struct next_hop raw;
	uint32_t index = 1023;
	struct ban ban;
	struct ban_key key = {.prefix_len = 96 + 24};

	assert_int_equal(maps_next_hop_set(k->m, 0, &nh), -EINVAL);
	assert_int_equal(maps_next_hop_set(k->m, 1024, &nh), -EINVAL);
	assert_int_equal(maps_next_hop_set(k->m, index, &nh), 0);
	assert_int_equal(bpf_map_lookup_elem(k->fds.next_hops, &index, &raw), 0);
	assert_int_equal(raw.ifindex, 4);
	assert_int_equal(raw.mtu, 1400);
	assert_memory_equal(raw.dst_mac, nh.dst_mac, 6);
	assert_memory_equal(raw.src_mac, nh.src_mac, 6);

	memcpy(&key.ip, net.ip, 16);
	assert_int_equal(maps_ban_set(k->m, &net, 24, 99), 0);
	assert_int_equal(bpf_map_lookup_elem(k->fds.bans, &key, &ban), 0);
	assert_int_equal(ban.until_ns, 99);
	assert_int_equal(maps_ban_clear(k->m, &net, 24), 0);
	assert_int_equal(maps_ban_clear(k->m, &net, 24), -ENOENT);
	assert_int_equal(maps_ban_set(k->m, &net, 33, 99), -EINVAL);

	assert_int_equal(maps_reasons(k->m), RELAY_REASON_COUNT);
	assert_string_equal(maps_reason_name(R_DROP_SLOT_OFF), "drop_slot_off");
	assert_string_equal(maps_reason_name(RELAY_REASON_COUNT), "unknown");
	assert_int_equal(maps_reason_count(k->m, R_FORWARD_IN), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_maps_open_checks),
		cmocka_unit_test(test_maps_slot_addresses),
		cmocka_unit_test(test_maps_install_refuses),
		cmocka_unit_test(test_maps_flow_life),
		cmocka_unit_test(test_maps_report),
		cmocka_unit_test(test_maps_each_after_restart),
		cmocka_unit_test(test_maps_live_sweep),
		cmocka_unit_test(test_maps_hops_bans_reasons),
	};

	return cmocka_run_group_tests(tests, setup, teardown);
}
