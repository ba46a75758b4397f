/* selftests/bpf/rig.c -- what every rig has: addresses, flows in every state, one packet at a time. See rig.h. */
#include <arpa/inet.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

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

void rig_must(int r, const char *what)
{
	if (!r)
		return;
	fprintf(stderr, "bpf: %s: %s\n", what, strerror(-r));
	exit(1);
}

void rig_addrs(struct rig *r)
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

void rig_pairs(const struct rig *r, struct maps_pair out[RIG_PAIRS])
{
	for (int i = 0; i < RIG_PAIRS; i++)
		out[i] = (struct maps_pair){.outside = r->outside[i],
					    .inside = r->inside[i],
					    .outside_base = RIG_OUTSIDE,
					    .inside_base = RIG_INSIDE,
					    .range = RIG_RANGE};
}

void rig_latch(struct rig *r, uint32_t slot, uint64_t word, const struct addr *a)
{
	struct flow_state s = {.latch = word, .latched = {.port = htons(a->port)}};

	memcpy(&s.latched6, a->ip, 16);
	if (addr_is_v4(a))
		memcpy(&s.latched.ip, a->ip + 12, 4);
	r->kind->state_set(r, slot, &s);
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
	rig_must(maps_flow_install(r->maps, slot, &f), "install");
	rig_latch(r, slot, flow_word(i, r->kind->generation(r, slot)), &r->client[pair]);
	if (i == FLOW_REOPENED)
		rig_must(maps_flow_reopen(r->maps, slot, rig_now() + 10 * SECOND), "reopen");
	if (i == FLOW_EXPIRED)
		rig_must(maps_flow_reopen(r->maps, slot, rig_now() - SECOND / 10), "reopen");
	if (i == FLOW_FREED)
		maps_flow_free(r->maps, slot);
}

void rig_reset(struct rig *r)
{
	for (int pair = 0; pair < RIG_PAIRS; pair++)
		for (int i = 0; i < RIG_FLOWS; i++)
			rig_flow(r, pair, i);
}

int rig_run(struct rig *r, const uint8_t *frame, size_t n, struct rig_result *out)
{
	uint64_t before[RELAY_REASON_COUNT];
	int hits = 0, e;

	for (unsigned i = 0; i < RELAY_REASON_COUNT; i++)
		before[i] = maps_reason_count(r->maps, i);
	e = r->kind->fire(r, frame, n, out);
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
