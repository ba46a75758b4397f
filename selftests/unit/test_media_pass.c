/* selftests/unit/test_media_pass.c -- media_pass on the real loop and records in memory, with doubles of the link and of next hops; two
 * sockets stand for an edge's inside ports. In: messages of the edge, calls of the SIP side, packets as the programs would count them.
 * Out: what the edge is told, flows in the records, punches and where they leave from, and that nothing is left. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>
#include <cmocka.h>

#include "user/maps_memory.h"
#include "user/media_pass_int.h"

#define SENT_MAX 64
#define HOPS	 32
#define PORTS	 40
#define JOINS	 8

struct link_peer {
	const char *name;
};

/* ---- doubles ---- */

static Sallyport__Link *sent[SENT_MAX];
static unsigned n_sent;

bool link_peer_takes(const struct link_peer *p, uint32_t feature)
{
	(void)p;
	return LINK_FEATURES & feature;
}

const char *link_peer_name(const struct link_peer *p)
{
	return p->name;
}

int link_send(struct link_peer *p, const Sallyport__Link *m)
{
	uint8_t buf[512];
	size_t n = sallyport__link__get_packed_size(m);

	assert_non_null(p);
	assert_in_range(n, 1, sizeof(buf));
	assert_true(n_sent < SENT_MAX);
	sallyport__link__pack(m, buf);
	sent[n_sent++] = sallyport__link__unpack(NULL, n, buf);
	return 0;
}

static void sent_clear(void)
{
	while (n_sent)
		sallyport__link__free_unpacked(sent[--n_sent], NULL);
}

/* An entry an address; nothing may be left of them. */
static struct {
	struct addr to;
	unsigned refs;
} hops[HOPS];
static bool no_routes;

int nexthop_get(struct nexthop *n, const struct addr *to, uint32_t *out_index)
{
	unsigned i;

	(void)n;
	if (no_routes)
		return -EHOSTUNREACH;
	for (i = 1; i < HOPS && hops[i].refs && !addr_ip_eq(&hops[i].to, to); i++)
		;
	assert_true(i < HOPS);
	hops[i].to = *to;
	hops[i].refs++;
	*out_index = i;
	return 0;
}

void nexthop_put(struct nexthop *n, uint32_t index)
{
	(void)n;
	assert_true(index < HOPS);
	if (!index)
		return;
	assert_true(hops[index].refs > 0);
	hops[index].refs--;
}

void nexthop_reserve(struct nexthop *n, uint32_t index)
{
	(void)n;
	(void)index;
}

void nexthop_reserve_end(struct nexthop *n)
{
	(void)n;
}

int nexthop_adopt(struct nexthop *n, uint32_t index, const struct addr *to, uint32_t *out_index)
{
	(void)index;
	return nexthop_get(n, to, out_index);
}

static unsigned hops_used(void)
{
	unsigned i, n = 0;

	for (i = 0; i < HOPS; i++)
		n += hops[i].refs;
	return n;
}

/* ---- the world around ---- */

struct world {
	struct loop *loop;
	struct media_pass *m;
	struct maps *maps;
	int memory;
	struct config_relay_pair pair;
	struct config_core_edge edges[2];
	struct config_core cfg;
	struct link_peer edge, other;
	struct loop_timer stop;
	unsigned opened, failed, silent;
	uint64_t last_medium;
	char reason[64];
	struct media_addrs addrs;
	int fd[4]; /* the edge's inside ports */
	struct addr at[4];
	struct addr client, phone;
};

static void on_opened(void *arg, uint64_t medium, const struct media_addrs *a)
{
	struct world *w = arg;

	w->opened++;
	w->last_medium = medium;
	w->addrs = *a;
}

static void on_failed(void *arg, uint64_t medium, const char *reason)
{
	struct world *w = arg;

	w->failed++;
	w->last_medium = medium;
	snprintf(w->reason, sizeof(w->reason), "%s", reason);
}

/* As the SIP side does: a call that is silent ends. */
static void on_silent(void *arg, uint64_t medium, uint32_t idle_ms)
{
	struct world *w = arg;

	assert_true(idle_ms >= 1000);
	w->silent++;
	w->last_medium = medium;
	media_pass_close(w->m, medium);
}

static const struct media_core_ops ops = {on_opened, on_failed, on_silent};

static void stop_fn(void *arg)
{
	loop_stop(((struct world *)arg)->loop);
}

static void run(struct world *w, unsigned ms)
{
	w->stop = (struct loop_timer){.fn = stop_fn, .arg = w};
	assert_int_equal(loop_timer_set(w->loop, &w->stop, ms), 0);
	assert_int_equal(loop_run(w->loop), 0);
}

static struct addr addr_of(const char *text)
{
	struct addr a;

	assert_int_equal(addr_parse(span_str(text), &a), 0);
	return a;
}

static void worker_start(struct world *w)
{
	struct media_pass_params p = {
		.loop = w->loop, .cfg = &w->cfg, .maps = w->maps, .seed = 1, .ops = &ops, .arg = w};

	assert_int_equal(media_pass_new(&p, &w->m), 0);
}

static void worker_stop(struct world *w)
{
	unsigned i;

	media_pass_free(w->m);
	for (i = 0; i < HOPS; i++)
		hops[i].refs = 0; /* of the worker that is gone */
}

static int world_setup(void **state)
{
	static uint16_t base = 21000;
	struct loop_params lp = {.entries = 64, .ops_max = 64};
	struct maps_pair pairs[RUNG_PAIRS_MAX];
	struct world *w = calloc(1, sizeof(*w));
	struct sockaddr_storage ss;
	struct addr any = addr_of("127.0.0.1");
	socklen_t n;
	int i, n_pairs;

	assert_non_null(w);
	assert_int_equal(loop_new(&lp, &w->loop), 0);
	w->pair = (struct config_relay_pair){.link = "127.0.0.1",
					     .inside = "127.0.0.2",
					     .inside_advertise = "10.0.0.2",
					     .link_first = base,
					     .inside_first = 12000,
					     .ports = PORTS,
					     .joins = JOINS};
	base = (uint16_t)(base + PORTS + 2 * JOINS);
	w->edges[0].name = "edge1";
	w->edges[1].name = "edge2";
	w->edge.name = "edge1";
	w->other.name = "edge2";
	w->cfg.link.edges = w->edges;
	w->cfg.link.edges_count = 2;
	w->cfg.media.relay.pairs = &w->pair;
	w->cfg.media.relay.pairs_count = 1;
	w->cfg.media.max = 16;
	w->cfg.media.silence_seconds = 1;
	w->client = addr_of("198.51.100.7");
	w->phone = addr_of("10.0.0.77:5000");
	n_pairs = media_pass_pairs(&w->cfg, pairs);
	assert_int_equal(n_pairs, 2);
	w->memory = maps_memory_make(pairs, 2);
	assert_true(w->memory >= 0);
	assert_int_equal(maps_memory_open(w->memory, pairs, 2, &w->maps), 0);
	for (i = 0; i < 4; i++) {
		n = addr_to_sockaddr(&any, &ss);
		w->fd[i] = socket(AF_INET, SOCK_DGRAM | SOCK_NONBLOCK, 0);
		assert_int_equal(bind(w->fd[i], (struct sockaddr *)&ss, n), 0);
		n = sizeof(ss);
		assert_int_equal(getsockname(w->fd[i], (struct sockaddr *)&ss, &n), 0);
		assert_int_equal(addr_from_sockaddr((struct sockaddr *)&ss, &w->at[i]), 0);
	}
	worker_start(w);
	*state = w;
	return 0;
}

static unsigned flows_on(const struct world *w)
{
	struct maps_flow f;
	uint32_t i;
	unsigned n = 0;

	for (i = 0; i < maps_slots(w->maps); i++)
		n += maps_flow_get(w->maps, i, &f) == 0;
	return n;
}

/* Every test ends with nothing left: flows, next hops. */
static int world_teardown(void **state)
{
	struct world *w = *state;
	unsigned i;

	assert_int_equal(w->m->n_media, 0);
	assert_int_equal(w->m->n_joins, 0);
	assert_int_equal(flows_on(w), 0);
	assert_int_equal(hops_used(), 0);
	assert_int_equal(slots_used(w->m->slots), 0);
	media_pass_free(w->m);
	maps_close(w->maps);
	close(w->memory);
	for (i = 0; i < 4; i++)
		close(w->fd[i]);
	loop_free(w->loop);
	free(w);
	sent_clear();
	no_routes = false;
	return 0;
}

/* ---- what the edge says ---- */

static void allocated(struct world *w, struct link_peer *from, uint64_t flow, unsigned i,
		      const char *error)
{
	Sallyport__Link l = SALLYPORT__LINK__INIT;
	Sallyport__Allocated a = SALLYPORT__ALLOCATED__INIT;
	struct addr outside = addr_of("203.0.113.1");

	a.flow = flow;
	a.error = (char *)error;
	a.outside_ip = (ProtobufCBinaryData){16, outside.ip};
	a.outside_port = 36000 + i;
	a.inside_ip = (ProtobufCBinaryData){16, w->at[i].ip};
	a.inside_port = w->at[i].port;
	l.m_case = SALLYPORT__LINK__M_ALLOCATED;
	l.allocated = &a;
	media_pass_message(w->m, from, &l);
}

static void punched(struct world *w, uint64_t flow)
{
	Sallyport__Link l = SALLYPORT__LINK__INIT;
	Sallyport__Punched p = SALLYPORT__PUNCHED__INIT;
	struct addr from = addr_of("127.0.0.1");

	p.flow = flow;
	p.from_ip = (ProtobufCBinaryData){16, from.ip};
	p.from_port = 1;
	l.m_case = SALLYPORT__LINK__M_PUNCHED;
	l.punched = &p;
	media_pass_message(w->m, &w->edge, &l);
}

/* The port that the newest punch at the edge's port @i left from; 0: none came. */
static uint16_t punch_port(struct world *w, unsigned i)
{
	struct sockaddr_storage ss;
	uint8_t buf[PUNCH_MAX];
	struct addr from = {};
	struct punch p;
	ssize_t n;

	for (;;) {
		socklen_t len = sizeof(ss);

		n = recvfrom(w->fd[i], buf, sizeof(buf), 0, (struct sockaddr *)&ss, &len);
		if (n < 0)
			return from.port;
		assert_int_equal(addr_from_sockaddr((struct sockaddr *)&ss, &from), 0);
		assert_int_equal(punch_parse(span_of(buf, (size_t)n), &p), 0);
	}
}

static void asked(unsigned i, uint64_t rtcp_of, bool reopen)
{
	assert_true(i < n_sent);
	assert_int_equal(sent[i]->m_case, SALLYPORT__LINK__M_ALLOCATE);
	assert_int_equal(sent[i]->allocate->rtcp_of, rtcp_of);
	assert_int_equal(sent[i]->allocate->reopen, reopen);
}

/* Medium @id at the edge's ports @at and @at + 1; its flow ids. */
static void open_medium(struct world *w, uint64_t id, unsigned at, uint64_t flows[2])
{
	unsigned before = w->opened;

	sent_clear();
	assert_int_equal(media_pass_open(w->m, id, &w->edge, &w->client), 0);
	assert_int_equal(n_sent, 2);
	flows[0] = sent[0]->allocate->flow;
	flows[1] = sent[1]->allocate->flow;
	asked(0, 0, false);
	asked(1, flows[0], false);
	allocated(w, &w->edge, flows[0], at, "");
	assert_int_equal(w->opened, before);
	allocated(w, &w->edge, flows[1], at + 1, "");
	assert_int_equal(w->opened, before + 1);
	assert_int_equal(w->last_medium, id);
	sent_clear();
}

static struct media_set set_to(const struct addr *rtp)
{
	struct media_set s = {.remote_rtp = *rtp, .remote_rtcp = *rtp};

	if (rtp->port)
		s.remote_rtcp.port++;
	return s;
}

static struct maps_flow flow_at(struct world *w, const struct addr *inside, uint32_t *slot)
{
	struct maps_flow f;

	*slot = (uint32_t)(inside->port - 12000);
	assert_int_equal(maps_flow_get(w->maps, *slot, &f), 0);
	return f;
}

/* ---- stories ---- */

static void test_pass_life(void **state)
{
	struct world *w = *state;
	struct maps_flow_report r;
	struct media_set s = set_to(&w->phone);
	struct maps_flow f;
	uint64_t flows[2];
	uint32_t slot;
	char text[ADDR_TEXT_MAX];

	open_medium(w, 7, 0, flows);
	assert_string_equal(addr_ip_text(&w->addrs.inside_rtp, text), "10.0.0.2");
	assert_int_equal(w->addrs.inside_rtp.port % 2, 0);
	assert_int_equal(w->addrs.inside_rtcp.port, w->addrs.inside_rtp.port + 1);
	assert_int_equal(w->addrs.outside_rtp.port, 36000);
	assert_int_equal(w->addrs.outside_rtcp.port, 36001);
	f = flow_at(w, &w->addrs.inside_rtp, &slot);
	assert_int_equal(f.id, flows[0]);
	assert_true(addr_eq(&f.client, &w->at[0]));
	assert_int_equal(f.core.port, 0);
	assert_int_equal(maps_flow_read(w->maps, slot, &r), 0);
	assert_true(addr_eq(&r.latched, &w->at[0])); /* before its first packet */
	assert_false(r.window_open);
	/* Punches leave from the flow's own ports. */
	assert_int_equal(punch_port(w, 0), w->pair.link_first + slot);
	assert_int_equal(punch_port(w, 1), w->pair.link_first + slot + 1);
	run(w, 300);
	assert_int_not_equal(punch_port(w, 0), 0);
	punched(w, flows[0]);
	punched(w, flows[1]);
	run(w, 300);
	assert_int_equal(punch_port(w, 0), 0);

	assert_int_equal(media_pass_set(w->m, 7, &s), 0);
	f = flow_at(w, &w->addrs.inside_rtp, &slot);
	assert_true(addr_eq(&f.core, &w->phone));
	assert_true(f.loose && f.nh_in && f.nh_out);
	assert_int_equal(n_sent, 0);
	/* On hold nothing is sent inside; then another party. */
	s = set_to(&(struct addr){});
	assert_int_equal(media_pass_set(w->m, 7, &s), 0);
	assert_int_equal(flow_at(w, &w->addrs.inside_rtp, &slot).core.port, 0);
	w->phone.port = 6000;
	s = set_to(&w->phone);
	s.reopen = true;
	assert_int_equal(media_pass_set(w->m, 7, &s), 0);
	assert_int_equal(flow_at(w, &w->addrs.inside_rtp, &slot).core.port, 6000);
	assert_int_equal(n_sent, 2);
	asked(0, 0, true);
	asked(1, flows[0], true);
	/* Addresses of another family than ours are refused, and nothing is sent to the party before. */
	s = set_to(&w->phone);
	s.remote_rtp = addr_of("[2001:db8::1]:5000");
	assert_int_equal(media_pass_set(w->m, 7, &s), -EAFNOSUPPORT);
	sent_clear();
	media_pass_close(w->m, 7);
	media_pass_close(w->m, 7);
	assert_int_equal(n_sent, 2);
	assert_int_equal(sent[0]->m_case, SALLYPORT__LINK__M_FREE);
	assert_int_equal(media_pass_set(w->m, 7, &s), -ENOENT);
}

static void test_pass_refused(void **state)
{
	struct world *w = *state;
	uint64_t flows[2], id;
	unsigned i;

	assert_int_equal(media_pass_open(w->m, 1, NULL, &w->client), -ENOTCONN);
	assert_int_equal(media_pass_open(w->m, 0, &w->edge, &w->client), -EINVAL);
	assert_int_equal(media_pass_open(w->m, 1, &w->edge, &w->client), 0);
	assert_int_equal(media_pass_open(w->m, 1, &w->edge, &w->client), -EINVAL);
	flows[0] = sent[0]->allocate->flow;
	flows[1] = sent[1]->allocate->flow;
	/* Another edge does not speak for it. */
	allocated(w, &w->other, flows[0], 0, "");
	allocated(w, &w->other, flows[1], 1, "no-ports");
	assert_int_equal(w->failed + w->opened, 0);
	allocated(w, &w->edge, flows[0], 0, "");
	allocated(w, &w->edge, flows[1], 1, "no-ports");
	assert_int_equal(w->failed, 1);
	assert_string_equal(w->reason, "no-ports");
	assert_int_equal(sent[n_sent - 1]->m_case, SALLYPORT__LINK__M_FREE);
	/* No way to the edge. */
	sent_clear();
	no_routes = true;
	assert_int_equal(media_pass_open(w->m, 2, &w->edge, &w->client), 0);
	allocated(w, &w->edge, sent[0]->allocate->flow, 0, "");
	allocated(w, &w->edge, sent[1]->allocate->flow, 1, "");
	assert_string_equal(w->reason, "no-route");
	no_routes = false;
	/* Ports that somebody else has are passed over; when there are no more, that is said. */
	sent_clear();
	for (id = 10, i = 0; i < PORTS / 2 && w->failed == 2; i++, id++) {
		assert_int_equal(media_pass_open(w->m, id, &w->edge, &w->client),
				 i < w->cfg.media.max ? 0 : -ENOBUFS);
		if (i >= w->cfg.media.max)
			break;
		allocated(w, &w->edge, sent[n_sent - 2]->allocate->flow, 0, "");
		allocated(w, &w->edge, sent[n_sent - 1]->allocate->flow, 1, "");
	}
	assert_int_equal(w->opened, 16);
	sent_clear();
	for (id = 10; id < 26; id++)
		media_pass_close(w->m, id);
	/* All but a few rest now. */
	sent_clear();
	for (id = 30; w->failed == 2 && id < 40; id++) {
		assert_int_equal(media_pass_open(w->m, id, &w->edge, &w->client), 0);
		allocated(w, &w->edge, sent[n_sent - 2]->allocate->flow, 0, "");
		allocated(w, &w->edge, sent[n_sent - 1]->allocate->flow, 1, "");
	}
	assert_int_equal(w->failed, 3);
	assert_string_equal(w->reason, "no-ports");
	sent_clear();
	for (id = 30; id < 40; id++)
		media_pass_close(w->m, id);
}

/* A port that another process holds is passed over. */
static void test_pass_port_taken(void **state)
{
	struct world *w = *state;
	int fd[PORTS];
	uint64_t flows[2];
	uint32_t slot;
	unsigned i;

	for (i = 0; i < PORTS; i++) {
		struct addr a = addr_of("127.0.0.1");

		a.port = (uint16_t)(w->pair.link_first + i);
		fd[i] = i == 8 || i == 9 ? -1 : mp_socket(&a);
	}
	assert_int_equal(mp_socket(&(struct addr){.ip = {[10] = 0xff, 0xff, 127, 0, 0, 1},
						  .port = w->pair.link_first}),
			 -EADDRINUSE);
	/* At most MP_BIND_TRIES are tried for one. */
	for (i = 0; i < 3 && !w->opened; i++) {
		sent_clear();
		assert_int_equal(media_pass_open(w->m, 50 + i, &w->edge, &w->client), 0);
		flows[0] = sent[0]->allocate->flow;
		flows[1] = sent[1]->allocate->flow;
		allocated(w, &w->edge, flows[0], 0, "");
		allocated(w, &w->edge, flows[1], 1, "");
	}
	assert_int_equal(w->opened, 1);
	(void)flow_at(w, &w->addrs.inside_rtp, &slot);
	assert_int_equal(slot, 8);
	media_pass_close(w->m, w->last_medium);
	for (i = 0; i < PORTS; i++)
		if (fd[i] >= 0)
			close(fd[i]);
}

static void test_pass_timeout(void **state)
{
	struct world *w = *state;

	assert_int_equal(media_pass_open(w->m, 3, &w->edge, &w->client), 0);
	run(w, MP_ALLOCATE_MS + 200);
	assert_int_equal(w->failed, 1);
	assert_string_equal(w->reason, "timeout");
}

/* Packets that the programs counted keep it alive; without any it is told silent, once. */
static void test_pass_silence(void **state)
{
	struct world *w = *state;
	struct media_set s = set_to(&w->phone);
	uint64_t flows[2];
	uint32_t slot;
	unsigned i;

	open_medium(w, 4, 0, flows);
	assert_int_equal(media_pass_set(w->m, 4, &s), 0);
	(void)flow_at(w, &w->addrs.inside_rtp, &slot);
	for (i = 0; i < 4; i++) {
		maps_memory_state(w->maps, slot + 1)->last_out_ns =
			loop_now_ms(w->loop) * 1000000ull;
		run(w, 600);
	}
	assert_int_equal(w->silent, 0);
	run(w, 2500);
	assert_int_equal(w->silent, 1);
	assert_int_equal(w->last_medium, 4);
}

/* The link goes and comes: flows are allocated again, with the window if that was asked for meanwhile; other ports of the edge are
 * taken at once. */
static void test_pass_link(void **state)
{
	struct world *w = *state;
	struct media_set s = set_to(&w->phone);
	struct maps_flow_report r;
	uint64_t flows[2], live[4];
	uint32_t slot;

	open_medium(w, 5, 0, flows);
	assert_int_equal(media_pass_live(w->m, "edge1", live, 4), 2);
	assert_int_equal(live[0], flows[0]);
	assert_int_equal(media_pass_live(w->m, "edge1", live, 1), 1);
	assert_int_equal(media_pass_live(w->m, "edge2", live, 4), 0);
	media_pass_link_down(w->m, &w->edge);
	s.client = addr_of("198.51.100.8:1");
	assert_int_equal(media_pass_set(w->m, 5, &s), 0);
	assert_int_equal(n_sent, 0);
	media_pass_link_up(w->m, &w->other);
	assert_int_equal(n_sent, 0);
	media_pass_link_up(w->m, &w->edge);
	assert_int_equal(n_sent, 2);
	asked(0, 0, true);
	assert_int_equal(sent[0]->allocate->client_ip.data[15], 8);
	(void)punch_port(w, 0);
	allocated(w, &w->edge, flows[0], 2, "");
	allocated(w, &w->edge, flows[1], 3, "");
	(void)flow_at(w, &w->addrs.inside_rtp, &slot);
	assert_int_equal(maps_flow_read(w->maps, slot, &r), 0);
	assert_true(addr_eq(&r.latched, &w->at[2]));
	assert_int_equal(punch_port(w, 0), 0);
	assert_int_equal(punch_port(w, 2), w->pair.link_first + slot);
	assert_int_equal(w->m->count.moved, 2);
	/* An edge that has no ports now: the call lives, and its silence ends it. */
	allocated(w, &w->edge, flows[0], 0, "no-ports");
	assert_int_equal(w->failed, 0);
	assert_int_equal(w->m->count.realloc_failed, 1);
	media_pass_close(w->m, 5);
}

/* Two clients: each one's inside party is the other's port. */
static void join(struct world *w, struct addr inside[2], uint64_t flows[2][2])
{
	struct media_set s;

	open_medium(w, 21, 0, flows[0]);
	inside[0] = w->addrs.inside_rtp;
	open_medium(w, 22, 2, flows[1]);
	inside[1] = w->addrs.inside_rtp;
	s = set_to(&inside[0]);
	assert_int_equal(media_pass_set(w->m, 22, &s), 0);
	assert_int_equal(w->m->n_joins, 0);
	s = set_to(&inside[1]);
	assert_int_equal(media_pass_set(w->m, 21, &s), 0);
	assert_int_equal(w->m->n_joins, 1);
}

static void joined(struct world *w, uint32_t *slot)
{
	const struct pass_join *j = w->m->list->join;
	struct maps_flow f;
	struct addr link[2];

	assert_non_null(j);
	*slot = j->flow[0].slot;
	assert_true(*slot >= PORTS);
	assert_int_equal(maps_flow_get(w->maps, *slot, &f), 0);
	assert_true(addr_eq(&f.client, &j->end[0]->flow[0].edge));
	assert_true(addr_eq(&f.core, &j->end[1]->flow[0].edge));
	assert_false(f.loose);
	maps_slot_addrs(w->maps, *slot, &link[0], &link[1]);
	assert_int_equal(link[0].port, w->pair.link_first + *slot);
	assert_int_equal(link[1].port, w->pair.link_first + *slot + JOINS);
	assert_int_equal(flows_on(w), 6);
}

static void test_pass_join(void **state)
{
	struct world *w = *state;
	struct addr inside[2];
	uint64_t flows[2][2];
	struct media_set s;
	uint32_t slot;
	bool first;

	join(w, inside, flows);
	joined(w, &slot);
	first = w->m->list->join->end[0]->id == 21;
	/* Both edges learn the new ports. */
	assert_int_equal(punch_port(w, first ? 0 : 2), w->pair.link_first + slot);
	assert_int_equal(punch_port(w, first ? 2 : 0), w->pair.link_first + slot + JOINS);
	/* The same said again changes nothing. */
	s = set_to(&inside[1]);
	assert_int_equal(media_pass_set(w->m, 21, &s), 0);
	assert_int_equal(punch_port(w, 0), 0);
	/* Packets of the join are packets of both. */
	run(w, 700);
	maps_memory_state(w->maps, slot)->last_in_ns = loop_now_ms(w->loop) * 1000000ull;
	run(w, 700);
	assert_int_equal(w->silent, 0);
	/* Transferred to a phone inside: the own slot again, and its port. */
	s = set_to(&w->phone);
	(void)punch_port(w, 0);
	assert_int_equal(media_pass_set(w->m, 21, &s), 0);
	assert_int_equal(w->m->n_joins, 0);
	assert_int_equal(flows_on(w), 4);
	assert_int_equal(punch_port(w, 0), w->pair.link_first + inside[0].port - 12000);
	/* And back; then one of the two ends. */
	s = set_to(&inside[1]);
	assert_int_equal(media_pass_set(w->m, 21, &s), 0);
	assert_int_equal(w->m->n_joins, 1);
	media_pass_close(w->m, 22);
	assert_int_equal(w->m->n_joins, 0);
	assert_int_equal(flows_on(w), 2);
	media_pass_close(w->m, 21);
}

/* No ports for joins left: said, counted, and the call's silence ends it. */
static void test_pass_join_full(void **state)
{
	struct world *w = *state;
	struct addr inside[2];
	uint64_t flows[2][2];
	uint32_t slot, i;

	for (i = 0; i < JOINS / 2; i++)
		assert_int_equal(slots_take(w->m->slots, 1, 1000000, &slot), 0);
	open_medium(w, 21, 0, flows[0]);
	inside[0] = w->addrs.inside_rtp;
	open_medium(w, 22, 2, flows[1]);
	inside[1] = w->addrs.inside_rtp;
	media_pass_set(w->m, 22, &(struct media_set){.remote_rtp = inside[0]});
	media_pass_set(w->m, 21, &(struct media_set){.remote_rtp = inside[1]});
	assert_int_equal(w->m->n_joins, 0);
	assert_int_equal(w->m->count.join_failed, 1);
	for (i = 0; i < JOINS / 2; i++)
		slots_give(w->m->slots, PORTS + 2 * i, 1000000);
	media_pass_close(w->m, 21);
	media_pass_close(w->m, 22);
}

/* ---- a worker that follows ---- */

static void seen(void *arg, uint64_t medium)
{
	struct world *w = arg;

	w->last_medium += medium;
}

static void test_pass_adopt(void **state)
{
	struct world *w = *state;
	struct addr inside[2], own;
	uint64_t flows[2][2], third[2], live[8];
	struct media_set s = set_to(&w->phone);
	struct maps_flow_report before, after;
	struct maps_flow f;
	uint32_t slot, join_slot;

	join(w, inside, flows);
	joined(w, &join_slot);
	open_medium(w, 23, 0, third);
	own = w->addrs.inside_rtp;
	assert_int_equal(media_pass_set(w->m, 23, &s), 0);
	(void)flow_at(w, &own, &slot);
	maps_memory_state(w->maps, slot)->packets_in = 77;
	assert_int_equal(maps_flow_read(w->maps, slot, &before), 0);
	worker_stop(w);
	assert_int_equal(flows_on(w), 8); /* carried on meanwhile */
	sent_clear();
	worker_start(w);
	assert_int_equal(flows_on(w), 8);
	assert_int_equal(w->m->n_media, 3);
	assert_int_equal(w->m->n_joins, 1);
	assert_int_equal(w->m->n_adopted, 6);
	assert_int_equal(maps_flow_read(w->maps, slot, &after), 0);
	assert_memory_equal(&before, &after, sizeof(before));
	assert_true(media_pass_has(w->m, 21) && media_pass_has(w->m, 23));
	assert_false(media_pass_has(w->m, 24));
	w->last_medium = 0;
	media_pass_each(w->m, seen, w);
	assert_int_equal(w->last_medium, 21 + 22 + 23);
	assert_int_equal(media_pass_live(w->m, "edge1", live, 8), 6);
	/* It goes on as before: allocated again under a new key, punched from the same ports. */
	media_pass_link_up(w->m, &w->edge);
	assert_int_equal(n_sent, 6);
	(void)punch_port(w, 0);
	allocated(w, &w->edge, third[0], 0, "");
	assert_int_equal(punch_port(w, 0), w->pair.link_first + slot);
	allocated(w, &w->edge, flows[1][0], 2, "");
	assert_in_range(punch_port(w, 2), w->pair.link_first + PORTS,
			w->pair.link_first + PORTS + 2 * JOINS - 1);
	w->phone.port = 7000;
	s = set_to(&w->phone);
	assert_int_equal(media_pass_set(w->m, 23, &s), 0);
	f = flow_at(w, &own, &slot);
	assert_int_equal(f.core.port, 7000);
	sent_clear();
	media_pass_close(w->m, 23);
	assert_int_equal(n_sent, 2);
	media_pass_close(w->m, 21);
	media_pass_close(w->m, 22);
}

/* What a worker left half done, or what nobody can be asked about, ends. */
static void test_pass_adopt_odd(void **state)
{
	struct world *w = *state;
	uint64_t flows[2][2], other[2];
	struct addr inside[2];
	uint32_t slot, join_slot;
	struct maps_flow f;

	join(w, inside, flows);
	joined(w, &join_slot);
	open_medium(w, 25, 0, other);
	f = flow_at(w, &w->addrs.inside_rtp, &slot);
	maps_flow_free(w->maps, slot + 1);  /* 25 has no RTCP */
	maps_flow_free(w->maps, join_slot); /* the join no RTP */
	f.note.edge++;
	f.note.medium = 26;
	f.id = 99;
	assert_int_equal(maps_flow_install(w->maps, 38, &f),
			 0); /* of an edge that is not configured */
	worker_stop(w);
	worker_start(w);
	assert_int_equal(w->m->n_media, 2);
	assert_int_equal(w->m->n_joins, 0);
	assert_int_equal(flows_on(w), 4);
	media_pass_close(w->m, 21);
	media_pass_close(w->m, 22);
}

/* Two pairs: each has its joins with itself and with the other, and no port of an address has two uses. */
static void test_pass_pairs(void **state)
{
	struct config_relay_pair pairs[2] = {
		{"127.0.0.1", "127.0.0.2", "127.0.0.2", 12000, 12000, 100, 10},
		{"::1", "127.0.0.2", "127.0.0.2", 12000, 14000, 200, 10},
	};
	struct config_core cfg = {
		.media.relay.pairs = pairs, .media.relay.pairs_count = 2, .media.max = 1};
	struct maps_pair out[RUNG_PAIRS_MAX];
	struct {
		struct addr a;
		unsigned first, last;
	} side[2 * RUNG_PAIRS_MAX];
	unsigned i, k, base;

	(void)state;
	assert_int_equal(media_pass_pairs(&cfg, out), 5);
	for (i = 0; i < 5; i++) {
		assert_int_equal(out[i].range, i == 0 ? 100 : i == 1 ? 200 : 10);
		side[2 * i].a = out[i].outside;
		side[2 * i].first = out[i].outside_base;
		side[2 * i + 1].a = out[i].inside;
		side[2 * i + 1].first = out[i].inside_base;
		side[2 * i].last = side[2 * i].first + out[i].range - 1;
		side[2 * i + 1].last = side[2 * i + 1].first + out[i].range - 1;
	}
	for (i = 0; i < 10; i++) {
		base = 12000 + (addr_is_v4(&side[i].a) ? 100 : 200);
		if (i > 3) /* joins: within what the configuration takes of the link's side */
			assert_in_range(side[i].first, base, base + 20);
		for (k = 0; k < i; k++)
			assert_true(!addr_ip_eq(&side[i].a, &side[k].a) ||
				    side[i].first > side[k].last || side[k].first > side[i].last);
	}
	cfg.media.relay.pairs_count = 0;
	assert_int_equal(media_pass_pairs(&cfg, out), -EINVAL);
}

/* NULL is a core without media.relay. */
static void test_pass_none(void **state)
{
	Sallyport__Link l = SALLYPORT__LINK__INIT;
	struct link_peer p = {"e"};
	uint64_t ids[2];
	json_t *a = json_array(), *s;

	(void)state;
	media_pass_close(NULL, 1);
	media_pass_link_up(NULL, &p);
	media_pass_link_down(NULL, &p);
	assert_false(media_pass_message(NULL, &p, &l));
	assert_false(media_pass_has(NULL, 1));
	assert_int_equal(media_pass_live(NULL, "e", ids, 2), 0);
	media_pass_show(NULL, a);
	assert_int_equal(json_array_size(a), 0);
	s = media_pass_status(NULL);
	assert_true(json_is_null(s));
	json_decref(a);
	json_decref(s);
	media_pass_free(NULL);
}

#define STORY(f) cmocka_unit_test_setup_teardown(f, world_setup, world_teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		STORY(test_pass_life),
		STORY(test_pass_refused),
		STORY(test_pass_port_taken),
		STORY(test_pass_timeout),
		STORY(test_pass_silence),
		STORY(test_pass_link),
		STORY(test_pass_join),
		STORY(test_pass_join_full),
		STORY(test_pass_adopt),
		STORY(test_pass_adopt_odd),
		cmocka_unit_test(test_pass_pairs),
		cmocka_unit_test(test_pass_none),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
