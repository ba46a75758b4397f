/* selftests/unit/test_media_join.c -- media_core's legs that are each other's remote: two clients behind an edge, each with ports of its
 * own, and a phone inside. */
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

#include "selftests/unit/media_kit.h"

#define LEN 172

struct side { /* one pass: a client, and the edge's ports of its flows */
	uint64_t id;
	struct media_addrs addrs;
	struct media_set set;
	struct srtp_session *seal, *open; /* the client's */
	int edge[2];
	unsigned flows;
};

struct pair {
	struct world w;
	struct side a, b;
};

static void side_open(struct pair *p, struct side *s, uint64_t id, bool rtcp)
{
	struct world *w = &p->w;
	struct addr client = local(0), at;
	uint8_t buf[256];
	uint64_t flow[2];
	unsigned i;

	sent_clear();
	s->id = id;
	s->flows = rtcp ? 2 : 1;
	assert_int_equal(media_core_open(w->m, id, &w->edge, &client, rtcp), 0);
	assert_int_equal(n_sent, s->flows);
	for (i = 0; i < s->flows; i++)
		flow[i] = sent_allocate(i)->flow;
	for (i = 0; i < s->flows; i++) {
		s->edge[i] = udp(&at);
		allocated_at(w, &w->edge, flow[i], "", &at, at.port);
		punched(w, flow[i]);
	}
	assert_int_equal(w->last_medium, id);
	s->addrs = w->addrs;
	run(w, 10);
	for (i = 0; i < s->flows; i++)
		while (take(s->edge[i], buf, sizeof(buf), NULL) >= 0)
			;
}

static void side_keys(struct pair *p, struct side *s, enum srtp_suite suite)
{
	struct span open = span_of(s->set.open_key, srtp_suite_key_len(suite)),
		    seal = span_of(s->set.seal_key, srtp_suite_key_len(suite));

	s->set.have_keys = true;
	s->set.open_suite = s->set.seal_suite = suite;
	memset(s->set.open_key, (int)s->id, sizeof(s->set.open_key));
	memset(s->set.seal_key, (int)s->id + 100, sizeof(s->set.seal_key));
	assert_int_equal(srtp_session_new(suite, open, true, &s->seal), 0);
	assert_int_equal(srtp_session_new(suite, seal, false, &s->open), 0);
	assert_int_equal(media_core_set(p->w.m, s->id, &s->set), 0);
}

static void set_remote(struct pair *p, struct side *s, const struct addr *rtp,
		       const struct addr *rtcp)
{
	s->set.remote_rtp = *rtp;
	s->set.remote_rtcp = *rtcp;
	assert_int_equal(media_core_set(p->w.m, s->id, &s->set), 0);
}

static struct medium *medium_of(struct pair *p, const struct side *s)
{
	struct medium *d = mc_medium_find(p->w.m, s->id);

	assert_non_null(d);
	return d;
}

/* Nothing comes in by the inside sockets of @s from here on: what does come was handed over. */
static void deafen(struct pair *p, struct side *s)
{
	unsigned i;

	for (i = 0; i < 2; i++)
		loop_cancel(p->w.loop, &medium_of(p, s)->leg[i].rx);
}

static void pair_open(struct pair *p, bool rtcp_a, bool rtcp_b)
{
	side_open(p, &p->a, 1, rtcp_a);
	side_open(p, &p->b, 2, rtcp_b);
	side_keys(p, &p->a, SRTP_AEAD_AES_256_GCM);
	side_keys(p, &p->b, SRTP_AES_CM_128_HMAC_SHA1_80);
}

static void pair_new(struct pair *p, bool rtcp_a, bool rtcp_b)
{
	memset(p, 0, sizeof(*p));
	world_new(&p->w, 0, 8, 100);
	pair_open(p, rtcp_a, rtcp_b);
}

static void join(struct pair *p)
{
	set_remote(p, &p->a, &p->b.addrs.inside_rtp, &p->b.addrs.inside_rtcp);
	set_remote(p, &p->b, &p->a.addrs.inside_rtp, &p->a.addrs.inside_rtcp);
}

static void side_free(struct side *s)
{
	unsigned i;

	for (i = 0; i < s->flows; i++)
		close(s->edge[i]);
	srtp_session_free(s->open);
	srtp_session_free(s->seal);
}

static void pair_free(struct pair *p)
{
	world_free(&p->w);
	side_free(&p->a);
	side_free(&p->b);
}

/* Client @s says packet @seq. */
static void say(struct pair *p, struct side *s, bool rtcp, uint16_t seq)
{
	uint8_t buf[2048];
	uint32_t n = LEN;

	plain(buf, rtcp, seq);
	assert_int_equal(transform(s->seal, buf, &n, rtcp, true), SRTP_OK);
	give(s->edge[rtcp && s->flows == 2], &p->w.link_addr, buf, n);
}

/* Client @s has heard packet @seq, under its own keys. */
static void heard(struct side *s, bool rtcp, uint16_t seq)
{
	uint8_t buf[2048], want[LEN];
	ssize_t got = take(s->edge[rtcp && s->flows == 2], buf, sizeof(buf), NULL);
	uint32_t n = (uint32_t)got;

	plain(want, rtcp, seq);
	assert_true(got > LEN);
	assert_int_equal(transform(s->open, buf, &n, rtcp, false), SRTP_OK);
	assert_int_equal(n, LEN);
	assert_memory_equal(buf, want, LEN);
}

static void heard_nothing(struct pair *p)
{
	uint8_t buf[2048];

	run(&p->w, 10);
	assert_true(take(p->a.edge[0], buf, sizeof(buf), NULL) < 0);
	assert_true(take(p->b.edge[0], buf, sizeof(buf), NULL) < 0);
	assert_true(take(p->w.phone[0], buf, sizeof(buf), NULL) < 0);
}

static struct media_report report(struct pair *p, const struct side *s)
{
	struct media_report r;

	assert_int_equal(media_core_report(p->w.m, s->id, &r), 0);
	return r;
}

/* "joined" of the flow with number @i of medium @s. */
static const char *shown(json_t *list, struct pair *p, const struct side *s, unsigned i)
{
	char id[17];
	json_t *row;
	size_t k;

	snprintf(id, sizeof(id), "%016llx", (unsigned long long)medium_of(p, s)->flow[i].id);
	json_array_foreach(list, k, row)
	{
		if (!strcmp(json_string_value(json_object_get(row, "flow")), id))
			return json_string_value(json_object_get(row, "joined"));
	}
	fail();
	return NULL;
}

/* ---- tests ---- */
static void both_ways(bool rtcp_a, bool rtcp_b)
{
	struct pair p;
	unsigned rtcp;
	uint16_t seq;

	pair_new(&p, rtcp_a, rtcp_b);
	join(&p);
	deafen(&p, &p.a);
	deafen(&p, &p.b);
	for (seq = 1; seq < 4; seq++) {
		for (rtcp = 0; rtcp < 2; rtcp++) {
			say(&p, &p.a, rtcp, seq);
			say(&p, &p.b, rtcp, (uint16_t)(seq + 100));
			run(&p.w, 10);
			heard(&p.b, rtcp, seq);
			heard(&p.a, rtcp, (uint16_t)(seq + 100));
		}
	}
	assert_int_equal(report(&p, &p.a).in_packets, 6);
	assert_int_equal(report(&p, &p.a).out_packets, 6);
	assert_int_equal(report(&p, &p.b).in_packets, 6);
	assert_int_equal(report(&p, &p.b).out_packets, 6);
	assert_int_equal(medium_of(&p, &p.a)->leg[1].in, 3);
	assert_int_equal(medium_of(&p, &p.b)->leg[1].out, 3);
	assert_in_range(report(&p, &p.b).idle_ms, 0, 1000);
	pair_free(&p);
}

static void test_join_both_ways(void **state)
{
	unsigned i;

	(void)state;
	for (i = 0; i < 4; i++) /* RTCP on its own port, on either side */
		both_ways(i & 1, i & 2);
}

/* More than a batch each way, so that either is flushed while the other one fills. */
static void test_join_burst(void **state)
{
	struct pair p;
	uint16_t i;

	(void)state;
	pair_new(&p, true, true);
	join(&p);
	for (i = 0; i < 120; i++) {
		say(&p, &p.a, false, i);
		say(&p, &p.b, false, (uint16_t)(i + 1000));
	}
	run(&p.w, 50);
	for (i = 0; i < 120; i++) {
		heard(&p.b, false, i);
		heard(&p.a, false, (uint16_t)(i + 1000));
	}
	assert_int_equal(loop_stats(p.w.loop)->no_recv_buf, 0);
	pair_free(&p);
}

static void test_join_shown(void **state)
{
	char id[17];
	struct pair p;
	json_t *a;

	(void)state;
	pair_new(&p, true, false);
	a = media_core_show(p.w.m);
	assert_null(shown(a, &p, &p.a, 0));
	json_decref(a);
	assert_int_equal(report(&p, &p.a).joined, 0);
	join(&p);
	assert_int_equal(report(&p, &p.a).joined, p.b.id);
	assert_int_equal(report(&p, &p.b).joined, p.a.id);
	a = media_core_show(p.w.m);
	snprintf(id, sizeof(id), "%016llx", (unsigned long long)medium_of(&p, &p.b)->flow[0].id);
	assert_string_equal(shown(a, &p, &p.a, 0), id);
	assert_string_equal(shown(a, &p, &p.a, 1), id); /* B's RTCP goes on the RTP flow */
	snprintf(id, sizeof(id), "%016llx", (unsigned long long)medium_of(&p, &p.a)->flow[0].id);
	assert_string_equal(shown(a, &p, &p.b, 0), id);
	json_decref(a);
	pair_free(&p);
}

/* Nobody else is heard at a joined leg, not even before its partner's first packet. */
static void test_join_stranger(void **state)
{
	uint8_t buf[LEN];
	struct pair p;

	(void)state;
	pair_new(&p, true, true);
	join(&p);
	plain(buf, false, 1);
	give(p.w.phone[0], &p.b.addrs.inside_rtp, buf, LEN);
	heard_nothing(&p);
	assert_int_equal(report(&p, &p.b).dropped_source, 1);
	say(&p, &p.a, false, 1);
	run(&p.w, 10);
	heard(&p.b, false, 1);
	give(p.w.phone[0], &p.b.addrs.inside_rtp, buf, LEN);
	heard_nothing(&p);
	assert_int_equal(report(&p, &p.b).dropped_source, 2);
	pair_free(&p);
}

/* A third leg that names a joined one is a stranger, too. */
static void test_join_third(void **state)
{
	struct side c = {0};
	struct pair p;

	(void)state;
	pair_new(&p, true, true);
	join(&p);
	side_open(&p, &c, 3, true);
	side_keys(&p, &c, SRTP_AEAD_AES_128_GCM);
	set_remote(&p, &c, &p.b.addrs.inside_rtp, &p.b.addrs.inside_rtcp);
	say(&p, &c, false, 1);
	heard_nothing(&p);
	assert_int_equal(report(&p, &p.b).dropped_source, 1);
	media_core_close(p.w.m, p.b.id); /* both lose their partner */
	assert_int_equal(report(&p, &p.a).joined, 0);
	assert_int_equal(report(&p, &c).joined, 0);
	say(&p, &c, false, 2);
	heard_nothing(&p);
	pair_free(&p);
	side_free(&c);
}

/* Hold: nothing is sent; resume; then a transfer to a phone inside. */
static void test_join_apart(void **state)
{
	static const struct addr none;
	uint8_t buf[2048], want[LEN];
	struct addr from;
	struct pair p;

	(void)state;
	pair_new(&p, true, true);
	join(&p);
	set_remote(&p, &p.a, &none, &none);
	say(&p, &p.a, false, 1);
	heard_nothing(&p);
	assert_int_equal(report(&p, &p.a).dropped_send, 1);
	join(&p);
	say(&p, &p.a, false, 2);
	run(&p.w, 10);
	heard(&p.b, false, 2);
	set_remote(&p, &p.a, &p.w.phone_addr[0], &none);
	assert_int_equal(report(&p, &p.a).joined, 0);
	say(&p, &p.a, false, 3);
	run(&p.w, 10);
	plain(want, false, 3);
	assert_int_equal(take(p.w.phone[0], buf, sizeof(buf), &from), LEN);
	assert_memory_equal(buf, want, LEN);
	assert_true(addr_eq(&from, &p.a.addrs.inside_rtp));
	give(p.w.phone[0], &p.a.addrs.inside_rtp, buf, LEN);
	run(&p.w, 10);
	heard(&p.a, false, 3);
	say(&p, &p.b, false, 4); /* still sends to A, who hears the phone now */
	heard_nothing(&p);
	assert_int_equal(report(&p, &p.a).dropped_source, 1);
	pair_free(&p);
}

/* One closes: the other sends nothing, and joins a new partner. */
static void test_join_close(void **state)
{
	struct side gone;
	struct pair p;

	(void)state;
	pair_new(&p, true, true);
	join(&p);
	gone = p.b;
	media_core_close(p.w.m, p.b.id);
	assert_int_equal(report(&p, &p.a).joined, 0);
	say(&p, &p.a, false, 1);
	run(&p.w, 10);
	assert_int_equal(report(&p, &p.a).dropped_send, 1);
	assert_int_equal(report(&p, &p.a).in_packets, 0);
	side_free(&gone);
	p.b = (struct side){0};
	side_open(&p, &p.b, 4, false);
	side_keys(&p, &p.b, SRTP_AES_CM_128_HMAC_SHA1_32);
	join(&p);
	say(&p, &p.a, true, 2);
	say(&p, &p.b, false, 3);
	run(&p.w, 10);
	heard(&p.b, true, 2);
	heard(&p.a, false, 3);
	pair_free(&p);
}

static void test_join_self(void **state)
{
	struct pair p;

	(void)state;
	pair_new(&p, true, true);
	set_remote(&p, &p.a, &p.a.addrs.inside_rtp, &p.a.addrs.inside_rtcp);
	assert_int_equal(p.w.m->count.joined_self, 2);
	assert_int_equal(report(&p, &p.a).joined, 0);
	say(&p, &p.a, false, 1);
	heard_nothing(&p);
	set_remote(&p, &p.a, &p.a.addrs.inside_rtcp, &p.a.addrs.inside_rtp);
	say(&p, &p.a, false, 2);
	heard_nothing(&p);
	assert_int_equal(report(&p, &p.a).dropped_send, 2);
	pair_free(&p);
}

/* Before the other side's keys are known, what is handed over is counted there as unkeyed. */
static void test_join_unkeyed(void **state)
{
	struct side c = {0};
	struct pair p;

	(void)state;
	pair_new(&p, true, true);
	side_open(&p, &c, 3, true);
	set_remote(&p, &p.a, &c.addrs.inside_rtp, &c.addrs.inside_rtcp);
	say(&p, &p.a, false, 1);
	heard_nothing(&p);
	assert_int_equal(report(&p, &c).dropped_unkeyed, 1);
	pair_free(&p);
	side_free(&c);
}

/* The next worker joins them again, before any link is up. */
static void test_join_restored(void **state)
{
	struct keep_kind k[2] = {{"medium", 8, mc_keep_medium_max, 0},
				 {"session", 16, mc_keep_session_max, 0}};
	int fd = memfd_create("test", MFD_CLOEXEC);
	struct pair p = {0};
	bool fresh;

	(void)state;
	assert_int_equal(ftruncate(fd, (off_t)keep_size(k, 2)), 0);
	world_new(&p.w, 0, 8, 100); /* clears the world */
	world_stop(&p.w);
	assert_int_equal(keep_open(fd, k, 2, &p.w.keep, &fresh), 0);
	world_start(&p.w);
	pair_open(&p, true, false);
	join(&p);
	say(&p, &p.a, false, 1);
	run(&p.w, 10);
	heard(&p.b, false, 1);
	world_stop(&p.w);
	keep_close(p.w.keep);
	assert_int_equal(keep_open(fd, k, 2, &p.w.keep, &fresh), 0);
	world_start(&p.w);
	assert_int_equal(report(&p, &p.a).joined, p.b.id);
	deafen(&p, &p.a);
	deafen(&p, &p.b);
	say(&p, &p.a, false, 2);
	say(&p, &p.b, true, 3);
	run(&p.w, 10);
	heard(&p.b, false, 2);
	heard(&p.a, true, 3);
	pair_free(&p);
	keep_close(p.w.keep);
	close(fd);
}

static int setup(void **state)
{
	(void)state;
	return srtp_init(SRTP_AUTO);
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_join_both_ways), cmocka_unit_test(test_join_burst),
		cmocka_unit_test(test_join_shown),     cmocka_unit_test(test_join_stranger),
		cmocka_unit_test(test_join_third),     cmocka_unit_test(test_join_apart),
		cmocka_unit_test(test_join_close),     cmocka_unit_test(test_join_self),
		cmocka_unit_test(test_join_unkeyed),   cmocka_unit_test(test_join_restored),
	};

	return cmocka_run_group_tests(tests, setup, NULL);
}
