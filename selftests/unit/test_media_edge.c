/* selftests/unit/test_media_edge.c -- the edge's flows against doubles of maps, netlink and link: allocate, punch, hello, adopt. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "user/media_edge_impl.h"

#define SLOTS 64

/* ---- doubles ---- */

struct maps {
	bool on[SLOTS];
	struct maps_flow flow[SLOTS];
	struct maps_flow_report report[SLOTS];
	unsigned reopened, updated, n_clocks;
	uint32_t clocks[2], clocks_slot;
	uint64_t until_ns;
};

struct link_peer {
	const char *name;
	unsigned n;
	Sallyport__Allocated allocated;
	Sallyport__Punched punched;
	Sallyport__FlowReport report;
	char error[32];
	uint8_t outside[16], inside[16], from[16];
	Sallyport__Quality quality_in;
	unsigned n_allocated, n_punched, n_report;
};

static struct maps maps;
static int routes[256]; /* references by last byte of the address */
static bool no_route;

uint32_t maps_slots(const struct maps *m)
{
	(void)m;
	return SLOTS;
}

void maps_slot_addrs(const struct maps *m, uint32_t slot, struct addr *outside, struct addr *inside)
{
	(void)m;
	addr_parse(slot < 32 ? SPAN("203.0.113.10") : SPAN("2001:db8::10"), outside);
	addr_parse(slot < 32 ? SPAN("192.0.2.10") : SPAN("2001:db8:1::10"), inside);
	outside->port = inside->port = (uint16_t)(36000 + slot % 32);
}

int maps_flow_install(struct maps *m, uint32_t slot, const struct maps_flow *f)
{
	assert_true(slot < SLOTS);
	if (m->on[slot])
		return -EEXIST;
	m->on[slot] = true;
	m->flow[slot] = *f;
	m->report[slot] = (struct maps_flow_report){};
	return 0;
}

int maps_flow_update(struct maps *m, uint32_t slot, const struct maps_flow *f)
{
	assert_true(m->on[slot]);
	m->flow[slot] = *f;
	m->updated++;
	return 0;
}

int maps_flow_reopen(struct maps *m, uint32_t slot, uint64_t until_ns)
{
	assert_true(m->on[slot]);
	m->reopened++;
	m->until_ns = until_ns;
	return 0;
}

static bool tapped[SLOTS];

int maps_flow_tap(struct maps *m, uint32_t slot, bool on)
{
	assert_true(m->on[slot]);
	tapped[slot] = on;
	return 0;
}

int maps_flow_clocks(struct maps *m, uint32_t slot, const uint32_t *in, unsigned n_in,
		     const uint32_t *out, unsigned n_out)
{
	assert_true(m->on[slot]);
	m->n_clocks++;
	m->clocks_slot = slot;
	m->clocks[0] = n_in ? in[n_in - 1] : 0;
	m->clocks[1] = n_out ? out[n_out - 1] : 0;
	return 0;
}

void maps_flow_free(struct maps *m, uint32_t slot)
{
	m->on[slot] = false;
}

int maps_flow_read(const struct maps *m, uint32_t slot, struct maps_flow_report *out)
{
	if (!m->on[slot])
		return -ENOENT;
	*out = m->report[slot];
	return 0;
}

void maps_flow_each(const struct maps *m,
		    void (*fn)(void *arg, uint32_t slot, const struct maps_flow *f), void *arg)
{
	uint32_t i;

	for (i = 0; i < SLOTS; i++)
		if (m->on[i])
			fn(arg, i, &m->flow[i]);
}

int nexthop_get(struct nexthop *n, const struct addr *to, uint32_t *out_index)
{
	(void)n;
	if (no_route)
		return -EHOSTUNREACH;
	*out_index = to->ip[15];
	routes[to->ip[15]]++;
	return 0;
}

static bool reserved[256];

void nexthop_reserve(struct nexthop *n, uint32_t index)
{
	(void)n;
	reserved[index] = true;
}

void nexthop_reserve_end(struct nexthop *n)
{
	(void)n;
	memset(reserved, 0, sizeof(reserved));
}

int nexthop_adopt(struct nexthop *n, uint32_t index, const struct addr *to, uint32_t *out_index)
{
	if (!no_route)
		assert_true(reserved[index]);
	return nexthop_get(n, to, out_index);
}

void nexthop_put(struct nexthop *n, uint32_t index)
{
	(void)n;
	if (index)
		assert_true(routes[index]-- > 0);
}

bool nexthop_show(const struct nexthop *n, uint32_t index, struct addr *gateway, uint32_t *ifindex,
		  const char **state)
{
	(void)n;
	*gateway = (struct addr){};
	*ifindex = index;
	*state = "reachable";
	return true;
}

const char *link_peer_name(const struct link_peer *p)
{
	return p->name;
}

int link_send(struct link_peer *p, const Sallyport__Link *m)
{
	if (m->m_case == SALLYPORT__LINK__M_ALLOCATED) {
		p->n_allocated++;
		p->allocated = *m->allocated;
		strcpy(p->error, m->allocated->error);
		if (m->allocated->outside_ip.len == 16) {
			memcpy(p->outside, m->allocated->outside_ip.data, 16);
			memcpy(p->inside, m->allocated->inside_ip.data, 16);
		}
	} else if (m->m_case == SALLYPORT__LINK__M_PUNCHED) {
		p->n_punched++;
		p->punched = *m->punched;
		memcpy(p->from, m->punched->from_ip.data, 16);
	} else {
		assert_int_equal(m->m_case, SALLYPORT__LINK__M_FLOW_REPORT);
		p->n_report++;
		p->report = *m->flow_report;
		if (p->report.quality_in)
			p->quality_in = *p->report.quality_in;
	}
	return 0;
}

/* ---- set-up ---- */

static struct config_pair pairs[2] = {
	{.outside = "203.0.113.10",
	 .outside_advertise = "198.51.100.1",
	 .inside = "192.0.2.10",
	 .outside_first = 36000,
	 .inside_first = 36000,
	 .ports = 32},
	{.outside = "2001:db8::10",
	 .inside = "2001:db8:1::10",
	 .outside_first = 36000,
	 .inside_first = 36000,
	 .ports = 32},
};
static struct config_edge_core cores[2] = {{.name = "core-a"}, {.name = "core-b"}};
static struct config_edge cfg = {
	.link = {.cores = cores, .cores_count = 2},
	.media = {.pairs = pairs, .pairs_count = 2},
	.limits = {.flows_stream = 4, .orphan_seconds = 300},
};
static struct link_peer core_a, core_b;
static struct media_edge *m;

static const uint8_t key1[PUNCH_KEY_LEN] = "key one key one key",
		     key2[PUNCH_KEY_LEN] = "key two key two key";

static struct media_edge *start(uint64_t now)
{
	struct media_edge_params p = {.maps = &maps, .cfg = &cfg, .seed = 5, .now_ms = now};
	p.rungs[0].rung = RUNG_XDP;
	p.rungs[1] = (struct media_rung){.rung = RUNG_TC, .why = "d0: no XDP"};
	struct media_edge *new = NULL;

	assert_int_equal(media_edge_new(&p, &new), 0);
	return new;
}

static void hello(struct link_peer *p, const uint64_t *ids, size_t n, uint64_t now)
{
	Sallyport__Hello h = SALLYPORT__HELLO__INIT;

	h.live_flow = (uint64_t *)ids;
	h.n_live_flow = n;
	media_edge_up(m, p, &h, now);
}

static int setup(void **state)
{
	(void)state;
	memset(&maps, 0, sizeof(maps));
	memset(routes, 0, sizeof(routes));
	no_route = false;
	core_a = (struct link_peer){.name = "core-a"};
	core_b = (struct link_peer){.name = "core-b"};
	m = start(1000);
	hello(&core_a, NULL, 0, 1000);
	hello(&core_b, NULL, 0, 1000);
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	media_edge_free(m);
	return 0;
}

static struct addr A(const char *text) {
	struct addr a = {};

	assert_int_equal(addr_parse(span_str(text), &a), 0);
	return a;
}

static const char *
allocate(struct link_peer *p, uint64_t id, const char *client, uint64_t rtcp_of, const uint8_t *key,
	 bool reopen, uint64_t now)
{
	Sallyport__Link l = SALLYPORT__LINK__INIT;
	Sallyport__Allocate a = SALLYPORT__ALLOCATE__INIT;
	struct addr c = A(client);
	unsigned before = p->n_allocated;

	a.flow = id;
	a.client_ip = (ProtobufCBinaryData){16, c.ip};
	a.punch_key = (ProtobufCBinaryData){PUNCH_KEY_LEN, (uint8_t *)key};
	a.rtcp_of = rtcp_of;
	a.reopen = reopen;
	l.m_case = SALLYPORT__LINK__M_ALLOCATE;
	l.allocate = &a;
	assert_true(media_edge_message(m, p, &l, now));
	assert_int_equal(p->n_allocated, before + 1);
	assert_int_equal(p->allocated.flow, id);
	return p->error;
}

static void release(struct link_peer *p, uint64_t id, uint64_t now)
{
	Sallyport__Link l = SALLYPORT__LINK__INIT;
	Sallyport__Free f = SALLYPORT__FREE__INIT;

	f.flow = id;
	l.m_case = SALLYPORT__LINK__M_FREE;
	l.free = &f;
	assert_true(media_edge_message(m, p, &l, now));
}

static void punch(uint64_t id, uint64_t counter, const uint8_t *key, const char *from)
{
	uint8_t buf[PUNCH_MAX], transaction[12] = {1};
	struct punch p = {id, counter};
	struct addr a = A(from);
	size_t n = punch_build(&p, key, transaction, buf);

	media_edge_punch(m, &a, span_of(buf, n));
}

static unsigned live(void)
{
	unsigned i, n = 0;

	for (i = 0; i < SLOTS; i++)
		n += maps.on[i];
	return n;
}

/* ---- tests ---- */

static void test_allocate_answer(void **state)
{
	struct addr want = A("198.51.100.1"), inside = A("192.0.2.10");

	(void)state;
	assert_string_equal(allocate(&core_a, 11, "203.0.113.77", 0, key1, false, 1000), "");
	assert_memory_equal(core_a.outside, want.ip, 16); /* advertised, not bound */
	assert_memory_equal(core_a.inside, inside.ip, 16);
	assert_int_equal(core_a.allocated.outside_port % 2, 0);
	assert_int_equal(maps.flow[0].id, 11);
	assert_int_equal(maps.flow[0].core.port, 0);
	assert_int_equal(maps.flow[0].nh_out, 77);
	assert_string_equal(allocate(&core_a, 12, "203.0.113.77", 11, key1, false, 1000), "");
	assert_int_equal(core_a.allocated.outside_port, 36001);
	assert_int_equal(live(), 2);
	/* idempotent */
	assert_string_equal(allocate(&core_a, 12, "203.0.113.77", 11, key1, false, 1000), "");
	assert_int_equal(core_a.allocated.outside_port, 36001);
	assert_int_equal(live(), 2);
	assert_int_equal(maps.reopened, 0);
	assert_string_equal(allocate(&core_a, 11, "203.0.113.77", 0, key1, true, 5000), "");
	assert_int_equal(maps.reopened, 1);
	assert_int_equal(maps.until_ns, 15000ull * 1000000);
	release(&core_a, 11, 5000);
	release(&core_a, 11, 5000);
	release(&core_a, 12, 5000);
	assert_int_equal(live(), 0);
	assert_int_equal(routes[77], 0);
}

static void test_allocate_family(void **state)
{
	struct addr v6 = A("2001:db8::10");

	(void)state;
	assert_string_equal(allocate(&core_a, 11, "2001:db8:9::5", 0, key1, false, 1000), "");
	assert_memory_equal(core_a.outside, v6.ip, 16);
	assert_true(maps.on[32]);
}

static void test_allocate_refusals(void **state)
{
	unsigned i;

	(void)state;
	assert_string_equal(allocate(&core_a, 0, "203.0.113.77", 0, key1, false, 1000),
			    "bad-request");
	assert_string_equal(allocate(&core_a, 5, "203.0.113.77", 99, key1, false, 1000),
			    "bad-request");
	no_route = true;
	assert_string_equal(allocate(&core_a, 5, "203.0.113.77", 0, key1, false, 1000), "no-route");
	no_route = false;
	for (i = 1; i <= 4; i++)
		assert_string_equal(allocate(&core_a, i, "203.0.113.77", 0, key1, false, 1000), "");
	assert_string_equal(allocate(&core_a, 5, "203.0.113.77", 0, key1, false, 1000), "user-cap");
	assert_string_equal(allocate(&core_b, 6, "203.0.113.77", 0, key1, false, 1000),
			    ""); /* another core's count */
	assert_string_equal(allocate(&core_b, 1, "203.0.113.77", 0, key1, false, 1000),
			    "bad-request"); /* another's flow */
	release(&core_b, 1, 1000);
	assert_int_equal(live(), 5);
	assert_int_equal(routes[77], 5);
	release(&core_a, 4, 1000);
	assert_string_equal(allocate(&core_a, 5, "203.0.113.77", 0, key1, false, 1000), "");
}

static void test_allocate_ports_end(void **state)
{
	char client[32];
	unsigned i;

	(void)state;
	for (i = 0; i < 16; i++) {
		snprintf(client, sizeof(client), "203.0.113.%u", 100 + i);
		assert_string_equal(allocate(&core_a, 100 + i, client, 0, key1, false, 1000), "");
	}
	assert_string_equal(allocate(&core_a, 50, "203.0.113.50", 0, key1, false, 1000),
			    "no-ports");
	assert_int_equal(routes[50], 0);
	release(&core_a, 103, 2000);
	assert_string_equal(allocate(&core_a, 50, "203.0.113.50", 0, key1, false, 31999),
			    "no-ports"); /* rests */
	assert_string_equal(allocate(&core_a, 50, "203.0.113.50", 0, key1, false, 32000), "");
}

static void test_allocate_moved_client(void **state)
{
	struct addr now = A("203.0.113.78");

	(void)state;
	assert_string_equal(allocate(&core_a, 11, "203.0.113.77", 0, key1, false, 1000), "");
	punch(11, 1, key1, "192.0.2.20:2776");
	assert_string_equal(allocate(&core_a, 11, "203.0.113.78", 0, key1, false, 1000), "");
	assert_true(addr_ip_eq(&maps.flow[0].client, &now));
	assert_int_equal(maps.flow[0].core.port, 2776);
	assert_int_equal(maps.reopened, 1);
	assert_int_equal(routes[77], 0);
	assert_int_equal(routes[78], 1);
	assert_string_equal(allocate(&core_a, 11, "2001:db8:9::5", 0, key1, false, 1000),
			    "bad-request");
	release(&core_a, 11, 1000);
	assert_int_equal(routes[78] + routes[20], 0);
}

static void test_punch_verified(void **state)
{
	struct addr core = A("192.0.2.20:2776");

	(void)state;
	allocate(&core_a, 11, "203.0.113.77", 0, key1, false, 1000);
	punch(11, 5, key1, "192.0.2.20:2776");
	assert_true(addr_eq(&maps.flow[0].core, &core));
	assert_int_equal(maps.flow[0].nh_in, 20);
	assert_int_equal(core_a.n_punched, 1);
	assert_int_equal(core_a.punched.flow, 11);
	assert_int_equal(core_a.punched.from_port, 2776);
	assert_memory_equal(core_a.from, core.ip, 16);
	punch(11, 6, key1, "192.0.2.20:2776"); /* a keepalive: nothing new to tell */
	assert_int_equal(core_a.n_punched, 1);
	punch(11, 7, key1, "192.0.2.21:40000"); /* a NAT that rebooted */
	assert_int_equal(core_a.n_punched, 2);
	assert_int_equal(maps.flow[0].core.port, 40000);
	assert_int_equal(routes[20], 0);
	assert_int_equal(routes[21], 1);
}

static void test_punch_refused(void **state)
{
	static const struct {
		uint64_t id, counter;
		const uint8_t *key;
		enum punch_result r;
	} cases[] = {
		{11, 5, key1, PUNCH_REPLAYED},
		{11, 4, key1, PUNCH_REPLAYED},
		{11, 6, key2, PUNCH_BAD_MAC},
		{99, 6, key1, PUNCH_UNKNOWN},
	};
	struct addr x = A("192.0.2.66:1");
	unsigned i;

	(void)state;
	allocate(&core_a, 11, "203.0.113.77", 0, key1, false, 1000);
	punch(11, 5, key1, "192.0.2.20:2776");
	for (i = 0; i < 4; i++) {
		uint64_t before = m->punches[cases[i].r];

		punch(cases[i].id, cases[i].counter, cases[i].key, "192.0.2.66:1");
		assert_int_equal(m->punches[cases[i].r], before + 1);
		assert_int_equal(maps.flow[0].core.port, 2776);
	}
	media_edge_punch(m, &x, SPAN("not STUN"));
	assert_int_equal(m->punches[PUNCH_MALFORMED], 1);
	/* A new key begins a new count; the same key does not. */
	allocate(&core_a, 11, "203.0.113.77", 0, key1, false, 1000);
	punch(11, 5, key1, "192.0.2.66:1");
	assert_int_equal(maps.flow[0].core.port, 2776);
	allocate(&core_a, 11, "203.0.113.77", 0, key2, false, 1000);
	punch(11, 1, key2, "192.0.2.20:2777");
	assert_int_equal(maps.flow[0].core.port, 2777);
}

static void test_hello_frees_unlisted(void **state)
{
	const uint64_t listed[] = {11, 13, 99};

	(void)state;
	allocate(&core_a, 11, "203.0.113.77", 0, key1, false, 1000);
	allocate(&core_a, 12, "203.0.113.77", 0, key1, false, 1000);
	allocate(&core_a, 13, "203.0.113.77", 0, key1, false, 1000);
	allocate(&core_b, 20, "203.0.113.78", 0, key1, false, 1000);
	media_edge_down(m, &core_a, 2000);
	hello(&core_a, listed, 3, 3000);
	assert_non_null(media_flow_find(m, 11));
	assert_null(media_flow_find(m, 12));
	assert_non_null(media_flow_find(m, 13));
	assert_non_null(media_flow_find(m, 20));
	assert_int_equal(live(), 3);
}

static void test_orphans(void **state)
{
	struct link_peer newer = {.name = "core-a"};

	(void)state;
	allocate(&core_a, 11, "203.0.113.77", 0, key1, false, 1000);
	allocate(&core_b, 20, "203.0.113.78", 0, key1, false, 1000);
	media_edge_down(m, &core_a, 2000);
	media_edge_tick(m, 301999);
	assert_int_equal(live(), 2);
	media_edge_tick(m, 302000);
	assert_int_equal(live(), 1);
	assert_int_equal(m->freed_orphan, 1);
	/* The end of a connection that was replaced is not the core's end. */
	hello(&newer, NULL, 0, 302000);
	media_edge_down(m, &core_a, 302000);
	assert_ptr_equal(m->cores[0].peer, &newer);
}

static void test_reports(void **state)
{
	struct addr latched = A("203.0.113.77:4000");

	(void)state;
	allocate(&core_a, 11, "203.0.113.77", 0, key1, false, 1000);
	media_edge_tick(m, 2999);
	assert_int_equal(core_a.n_report, 0);
	media_edge_tick(m, 3000);
	assert_int_equal(core_a.n_report, 1);
	assert_int_equal(core_a.report.idle_ms, 0xffffffffu);
	assert_int_equal(core_a.report.latched_ip.len, 0);
	assert_true(!core_a.report.quality_in && !core_a.report.quality_out);
	maps.report[0] = (struct maps_flow_report){.packets_in = 7,
						   .packets_out = 9,
						   .last_in_ns = 1,
						   .latched = latched,
						   .in = {.heard = true,
							  .timed = true,
							  .ssrc = 0x80000001,
							  .received = 7,
							  .expected = 9,
							  .lost = 2,
							  .jitter_ns = 5000000000}};
	media_edge_tick(m, 3100);
	assert_int_equal(core_a.n_report, 1);
	media_edge_tick(m, 5000);
	assert_int_equal(core_a.n_report, 2);
	assert_int_equal(core_a.report.packets_in, 7);
	assert_int_equal(core_a.report.packets_out, 9);
	assert_int_equal(core_a.report.latched_port, 4000);
	assert_null(core_a.report.quality_out);
	assert_int_equal(core_a.quality_in.ssrc, 0x80000001);
	assert_int_equal(core_a.quality_in.received, 7);
	assert_int_equal(core_a.quality_in.expected, 9);
	assert_int_equal(core_a.quality_in.lost, 2);
	assert_true(core_a.quality_in.timed && core_a.quality_in.jitter_ns == 5000000000);
	assert_true(core_a.report.idle_ms > 0 && core_a.report.idle_ms != 0xffffffffu);
	media_edge_down(m, &core_a, 5000);
	media_edge_tick(m, 7000);
	assert_int_equal(core_a.n_report, 2);
}

/* Only of the core's own flow; one that is not there is passed over. */
static void test_clocks(void **state)
{
	uint32_t in[2] = {8000 << 8 | 0x80, 48000 << 8 | 0xe0}, out[1] = {16000 << 8 | 0x89};
	Sallyport__Clocks c = SALLYPORT__CLOCKS__INIT;
	Sallyport__Link msg = SALLYPORT__LINK__INIT;

	(void)state;
	allocate(&core_a, 11, "203.0.113.77", 0, key1, false, 1000);
	hello(&core_b, NULL, 0, 1000);
	c = (Sallyport__Clocks){
		.base = c.base, .flow = 11, .in = in, .n_in = 2, .out = out, .n_out = 1};
	msg.m_case = SALLYPORT__LINK__M_CLOCKS;
	msg.clocks = &c;
	assert_true(media_edge_message(m, &core_b, &msg, 1000));
	assert_int_equal(maps.n_clocks, 0);
	assert_true(media_edge_message(m, &core_a, &msg, 1000));
	assert_int_equal(maps.n_clocks, 1);
	assert_int_equal(maps.clocks_slot, 0);
	assert_int_equal(maps.clocks[0], in[1]);
	assert_int_equal(maps.clocks[1], out[0]);
	c.flow = 12;
	assert_true(media_edge_message(m, &core_a, &msg, 1000));
	assert_int_equal(maps.n_clocks, 1);
}

/* A worker that dies leaves the maps; the next one goes on with them. */
static void test_adopt(void **state)
{
	const uint64_t listed[] = {11, 12};

	(void)state;
	allocate(&core_a, 11, "203.0.113.77", 0, key1, false, 1000);
	allocate(&core_a, 12, "203.0.113.77", 11, key1, false, 1000);
	punch(11, 5, key1, "192.0.2.20:2776");
	media_edge_free(m);
	memset(routes, 0, sizeof(routes));
	maps.report[0].packets_in = 70;
	m = start(9000);
	assert_int_equal(media_edge_count(m), 2);
	assert_int_equal(live(), 2);
	assert_int_equal(maps.flow[0].core.port, 2776);
	assert_int_equal(maps.flow[0].nh_in, 20);
	assert_int_equal(maps.flow[0].nh_out, 77);
	assert_int_equal(maps.report[0].packets_in, 70);
	punch(11, 6, key1, "192.0.2.20:2777"); /* no key yet */
	assert_int_equal(m->punches[PUNCH_NO_KEY], 1);
	assert_int_equal(maps.flow[0].core.port, 2776);
	hello(&core_a, listed, 2, 9000);
	assert_string_equal(allocate(&core_a, 11, "203.0.113.77", 0, key1, false, 9000), "");
	assert_int_equal(core_a.allocated.outside_port, 36000);
	punch(11, 7, key1, "192.0.2.20:2776");
	assert_int_equal(core_a.n_punched, 2); /* asked for by Allocate, though nothing moved */
	/* the ports of the adopted ones are not given again */
	assert_string_equal(allocate(&core_a, 13, "203.0.113.79", 0, key1, false, 9000), "");
	assert_true(core_a.allocated.outside_port >= 36002);
	release(&core_a, 11, 9000);
	release(&core_a, 12, 9000);
	release(&core_a, 13, 9000);
	assert_int_equal(live(), 0);
	assert_int_equal(routes[20] + routes[77] + routes[79], 0);
}

/* No route when the worker starts: the flow has its way again as soon as there is one. */
static void test_adopt_without_route(void **state)
{
	(void)state;
	allocate(&core_a, 11, "203.0.113.77", 0, key1, false, 1000);
	punch(11, 5, key1, "192.0.2.20:2776");
	media_edge_free(m);
	memset(routes, 0, sizeof(routes));
	no_route = true;
	m = start(9000);
	assert_int_equal(maps.flow[0].nh_out, 0);
	media_edge_tick(m, 11000);
	assert_int_equal(maps.flow[0].nh_out, 0);
	no_route = false;
	media_edge_tick(m, 13000);
	assert_int_equal(maps.flow[0].nh_out, 77);
	assert_int_equal(maps.flow[0].nh_in, 20);
	assert_int_equal(routes[77], 1);
}

static unsigned taps(void)
{
	unsigned i, n = 0;

	for (i = 0; i < SLOTS; i++)
		n += maps.on[i] && tapped[i];
	return n;
}

static void test_tap_leases(void **state)
{
	char client[32];
	unsigned i;

	(void)state;
	for (i = 1; i <= MEDIA_EDGE_TAPS; i++) {
		snprintf(client, sizeof(client), "203.0.113.%u", 50 + i); /* none has too many */
		allocate(&core_a, i, client, 0, key1, false, 1000);
	}
	allocate(&core_a, i, "203.0.113.51", 1, key1, false,
		 1000); /* its RTCP: even ports are used up */
	assert_int_equal(media_edge_tap(m, 0, 5, 1000), -ENOENT);
	assert_int_equal(media_edge_tap(m, 999, 5, 1000), -ENOENT);
	for (i = 1; i <= MEDIA_EDGE_TAPS; i++)
		assert_int_equal(media_edge_tap(m, i, i == 1 ? 5 : 999, 1000), 0);
	assert_int_equal(media_edge_tap(m, i, 5, 1000), -EBUSY);
	assert_int_equal(taps(), MEDIA_EDGE_TAPS);
	media_edge_tick(m, 5900);
	assert_int_equal(taps(), MEDIA_EDGE_TAPS);
	assert_int_equal(media_edge_tap(m, 1, 5, 5900), 0); /* longer */
	media_edge_tick(m, 6100);
	assert_int_equal(taps(), MEDIA_EDGE_TAPS);
	assert_int_equal(media_edge_tap(m, 2, 0, 6100), 0); /* given back; once more is fine */
	assert_int_equal(media_edge_tap(m, 2, 0, 6100), 0);
	assert_int_equal(taps(), MEDIA_EDGE_TAPS - 1);
	assert_int_equal(media_edge_tap(m, MEDIA_EDGE_TAPS + 1, 5, 6100), 0);
	media_edge_tick(m, 1000 + MEDIA_EDGE_TAP_S * 1000); /* nobody has more than that */
	assert_int_equal(taps(), 0);
	allocate(&core_a, 0x60, "2001:db8:2::77", 0, key1, false, 1000);
	assert_int_equal(media_edge_tap(m, 0x60, 5, 1000), -EOPNOTSUPP); /* on tc */
}

static void test_show(void **state)
{
	json_t *j, *list;

	(void)state;
	allocate(&core_a, 0xab, "203.0.113.77", 0, key1, false, 1000);
	j = media_edge_why(m, 0xab);
	assert_non_null(j);
	assert_string_equal(json_string_value(json_object_get(j, "waits_for")),
			    "punch from the core");
	assert_string_equal(json_string_value(json_object_get(j, "flow")), "ab");
	assert_string_equal(json_string_value(json_object_get(j, "rung")), "xdp-native");
	json_decref(j);
	punch(0xab, 1, key1, "192.0.2.20:2776");
	j = media_edge_why(m, 0xab);
	assert_string_equal(json_string_value(json_object_get(j, "waits_for")),
			    "first packet of the client");
	json_decref(j);
	assert_null(media_edge_why(m, 0xac));
	list = media_edge_rungs(m);
	assert_int_equal(json_array_size(list), 2);
	j = json_array_get(list, 1);
	assert_string_equal(json_string_value(json_object_get(j, "rung")), "tc");
	assert_string_equal(json_string_value(json_object_get(j, "reason")), "d0: no XDP");
	json_decref(list);
	assert_string_equal(media_edge_rung(m), "mixed");
	list = media_edge_show(m);
	assert_int_equal(json_array_size(list), 1);
	json_decref(list);
	j = media_edge_status(m);
	assert_int_equal(json_integer_value(json_object_get(j, "flows")), 1);
	json_decref(j);
}

#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		T(test_allocate_answer),
		T(test_allocate_family),
		T(test_allocate_refusals),
		T(test_allocate_ports_end),
		T(test_allocate_moved_client),
		T(test_punch_verified),
		T(test_punch_refused),
		T(test_hello_frees_unlisted),
		T(test_orphans),
		T(test_reports),
		T(test_clocks),
		T(test_adopt),
		T(test_adopt_without_route),
		T(test_tap_leases),
		T(test_show),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
