/* selftests/unit/test_media_core.c -- media_core on the real loop over loopback, with an edge made of UDP sockets and a link that
 * only records what is sent. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>
#include <cmocka.h>

#include <sys/socket.h>
#include <sys/time.h>

#include "selftests/unit/media_kit.h"

#define COUNT(a) (sizeof(a) / sizeof((a)[0]))

/* ---- tests ---- */
static void check_punch(struct world *w, unsigned i, uint64_t flow, const uint8_t *key,
			uint64_t *counter)
{
	uint8_t buf[256];
	ssize_t n = take(w->edge_fd[i], buf, sizeof(buf), NULL);
	struct punch p;

	assert_in_range(n, 1, sizeof(buf));
	assert_int_equal(punch_parse(span_of(buf, (size_t)n), &p), 0);
	assert_int_equal(p.flow, flow);
	assert_true(p.counter > *counter);
	*counter = p.counter;
	assert_int_equal(punch_verify(span_of(buf, (size_t)n), key), 0);
}

static void test_media_allocate(void **state)
{
	struct addr client = local(0);
	uint64_t flow[2], counter[2] = {}, other = 0;
	uint8_t key[2][20], buf[256];
	struct world w;
	unsigned i;

	(void)state;
	world_new(&w, 0, 8, 100);
	assert_int_equal(media_core_open(w.m, 9, &w.edge, &client, true), 0);
	assert_int_equal(n_sent, 2);
	for (i = 0; i < 2; i++) {
		assert_int_equal(sent_allocate(i)->client_ip.len, 16);
		assert_memory_equal(sent_allocate(i)->client_ip.data, client.ip, 16);
		assert_int_equal(sent_allocate(i)->punch_key.len, 20);
		memcpy(key[i], sent_allocate(i)->punch_key.data, 20);
		flow[i] = sent_allocate(i)->flow;
	}
	assert_int_equal(sent_allocate(0)->rtcp_of, 0);
	assert_int_equal(sent_allocate(1)->rtcp_of, flow[0]);
	assert_memory_not_equal(key[0], key[1], 20);
	allocated(&w, flow[0], 0, "");
	assert_int_equal(w.opened, 0); /* both, not one */
	allocated(&w, flow[1], 1, "");
	assert_int_equal(w.opened, 1);
	assert_int_equal(w.last_medium, 9);
	assert_int_equal(w.addrs.outside_rtp.port, 40000);
	assert_int_equal(w.addrs.outside_rtcp.port, 40001);
	assert_int_equal(w.addrs.inside_rtp.port % 2, 0);
	assert_int_equal(w.addrs.inside_rtcp.port, w.addrs.inside_rtp.port + 1);
	run(&w, 20);
	check_punch(&w, 0, flow[0], key[0], &counter[0]);
	check_punch(&w, 1, flow[1], key[1], &counter[1]);
	assert_true(take(w.edge_fd[0], buf, sizeof(buf), NULL) < 0);
	run(&w, 300);
	check_punch(&w, 0, flow[0], key[0], &counter[0]);
	check_punch(&w, 1, flow[1], key[1], &counter[1]);
	assert_int_equal(punch_verify(span_of(buf, 68), key[1]), -EKEYREJECTED);
	punched(&w, flow[0]);
	run(&w, 300);
	assert_true(take(w.edge_fd[0], buf, sizeof(buf), NULL) < 0); /* the next one in 15 s */
	check_punch(&w, 1, flow[1], key[1], &counter[1]);
	allocated(&w, flow[0] ^ 1, 0, "");			     /* unknown */
	allocated_at(&w, &w.other, flow[0], "", &w.edge_addr[1], 1); /* not that edge's */
	assert_int_equal(w.m->count.unknown_flow, 2);
	assert_int_equal(media_core_live(w.m, "edge1", flow, 2), 2);
	assert_int_equal(media_core_live(w.m, "edge2", &other, 1), 0);
	world_free(&w);
}

/* One packet from the client to the phone, by content. @rtcp_flow: the edge's port that it comes from. */
static void to_inside(struct world *w, unsigned edge_port, const struct addr *core, bool rtcp,
		      uint16_t seq)
{
	uint8_t want[2048], buf[2048];
	uint32_t n = plain(want, rtcp, seq), sn = n;
	struct addr from;

	memcpy(buf, want, n);
	assert_int_equal(transform(w->client_seal, buf, &sn, rtcp, true), SRTP_OK);
	assert_memory_not_equal(buf + 12, want + 12, n - 12);
	give(w->edge_fd[edge_port], core, buf, sn);
	run(w, 10);
	assert_int_equal(take(w->phone[rtcp], buf, sizeof(buf), &from), n);
	assert_memory_equal(buf, want, n);
	assert_true(addr_eq(&from, rtcp ? &w->addrs.inside_rtcp : &w->addrs.inside_rtp));
}

static void to_client(struct world *w, unsigned edge_port, bool rtcp, uint16_t seq)
{
	uint8_t want[2048], buf[2048];
	uint32_t n = plain(want, rtcp, seq), sn;
	ssize_t got;

	give(w->phone[rtcp], rtcp ? &w->addrs.inside_rtcp : &w->addrs.inside_rtp, want, n);
	run(w, 10);
	got = take(w->edge_fd[edge_port], buf, sizeof(buf), NULL);
	assert_true(got > (ssize_t)n);
	assert_memory_not_equal(buf + 12, want + 12, n - 12);
	sn = (uint32_t)got;
	assert_int_equal(transform(w->client_open, buf, &sn, rtcp, false), SRTP_OK);
	assert_int_equal(sn, n);
	assert_memory_equal(buf, want, n);
}

/* Takes the punches off the edge's ports and learns the core's link address from them. */
static struct addr settle(struct world *w, uint64_t flows[2], unsigned n)
{
	uint8_t buf[256];
	struct addr core = {};
	unsigned i;

	for (i = 0; i < n; i++)
		punched(w, flows[i]);
	run(w, 10);
	for (i = 0; i < n; i++)
		while (take(w->edge_fd[i], buf, sizeof(buf), &core) >= 0)
			;
	assert_int_not_equal(core.port, 0);
	return core;
}

static void both_ways(enum srtp_backend back, enum srtp_suite s, bool own_rtcp)
{
	struct media_report r;
	uint64_t flows[2];
	struct addr core;
	struct world w;
	uint16_t seq;

	assert_int_equal(srtp_init(back), 0);
	world_new(&w, 0, 8, 100);
	open_medium(&w, 1, own_rtcp, flows);
	core = settle(&w, flows, own_rtcp ? 2 : 1);
	key_medium(&w, 1, s);
	for (seq = 1; seq < 4; seq++) {
		to_inside(&w, 0, &core, false, seq);
		to_inside(&w, own_rtcp, &core, true, seq);
		to_client(&w, 0, false, seq);
		to_client(&w, own_rtcp, true, seq);
	}
	assert_int_equal(media_core_set(w.m, 1, &w.set), 0); /* the same keys: indices go on */
	to_inside(&w, 0, &core, false, 4);
	to_client(&w, 0, false, 4);
	assert_int_equal(media_core_report(w.m, 1, &r), 0);
	assert_int_equal(r.in_packets, 7);
	assert_int_equal(r.out_packets, 7);
	assert_in_range(r.idle_ms, 0, 1000);
	world_free(&w);
}

static void test_media_both_ways(void **state)
{
	unsigned i;

	(void)state;
	for (i = 0; i < SRTP_SUITES * 4; i++)
		both_ways(i & 1 ? SRTP_LIBSRTP2 : SRTP_FAST, i / 4, i & 2);
	assert_int_equal(srtp_init(SRTP_AUTO), 0);
}

static void test_media_burst(void **state)
{
	uint8_t buf[2048], got[2048];
	uint64_t flows[2];
	struct addr core;
	struct world w;
	uint32_t n;
	uint16_t i;

	(void)state;
	world_new(&w, 0, 8, 100);
	open_medium(&w, 1, true, flows);
	core = settle(&w, flows, 2);
	key_medium(&w, 1, SRTP_AES_CM_128_HMAC_SHA1_80);
	for (i = 0; i < 200; i++) {
		n = plain(buf, false, i);
		assert_int_equal(transform(w.client_seal, buf, &n, false, true), SRTP_OK);
		give(w.edge_fd[0], &core, buf, n);
		n = plain(buf, false, i);
		give(w.phone[0], &w.addrs.inside_rtp, buf, n);
	}
	run(&w, 50);
	for (i = 0; i < 200; i++) { /* all, in order */
		plain(buf, false, i);
		assert_int_equal(take(w.phone[0], got, sizeof(got), NULL), 172);
		assert_memory_equal(got, buf, 172);
		n = 182;
		assert_int_equal(take(w.edge_fd[0], got, sizeof(got), NULL), n);
		assert_int_equal(transform(w.client_open, got, &n, false, false), SRTP_OK);
		assert_memory_equal(got, buf, 172);
	}
	world_free(&w);
}

static void expect_silence(struct world *w)
{
	uint8_t buf[2048];
	unsigned i;

	run(w, 10);
	for (i = 0; i < 2; i++) {
		assert_true(take(w->phone[i], buf, sizeof(buf), NULL) < 0);
		assert_true(take(w->edge_fd[i], buf, sizeof(buf), NULL) < 0);
	}
}

static void test_media_dropped(void **state)
{
	uint8_t buf[2048];
	struct media_report r;
	uint64_t flows[2];
	struct addr core, stranger_addr;
	struct world w;
	uint32_t n;
	int stranger = udp(&stranger_addr);

	(void)state;
	world_new(&w, 0, 8, 100);
	open_medium(&w, 1, true, flows);
	core = settle(&w, flows, 2);
	n = plain(buf, false, 1);
	give(w.edge_fd[0], &core, buf, n); /* before the keys: both ways */
	give(w.phone[0], &w.addrs.inside_rtp, buf, n);
	expect_silence(&w);
	key_medium(&w, 1, SRTP_AEAD_AES_128_GCM);
	give(stranger, &core, buf, n);		     /* not an edge */
	give(stranger, &w.addrs.inside_rtp, buf, n); /* not who latched inside */
	give(w.edge_fd[0], &core, (const uint8_t *)"\0\1\0\0\x21\x12\xa4\x42........",
	     16);								     /* STUN */
	give(w.edge_fd[0], &core, (const uint8_t *)"\x16\xfe\xfd.............", 16); /* DTLS */
	give(w.edge_fd[0], &core, buf, 4);
	assert_int_equal(transform(w.client_seal, buf, &n, false, true), SRTP_OK);
	buf[20] ^= 1;
	give(w.edge_fd[0], &core, buf, n); /* damaged */
	expect_silence(&w);
	buf[20] ^= 1;
	give(w.edge_fd[0], &core, buf, n);
	give(w.edge_fd[0], &core, buf, n); /* replayed */
	run(&w, 10);
	assert_int_equal(take(w.phone[0], buf, sizeof(buf), NULL), 172);
	expect_silence(&w);
	assert_int_equal(media_core_report(w.m, 1, &r), 0);
	assert_int_equal(r.dropped_unkeyed, 2);
	assert_int_equal(r.dropped_source, 1);
	assert_int_equal(r.dropped_shape, 3);
	assert_int_equal(r.results[SRTP_AUTH], 1);
	assert_int_equal(r.results[SRTP_REPLAY], 1);
	assert_int_equal(r.in_packets, 1);
	assert_int_equal(w.m->count.unknown_source, 1);
	w.set.remote_rtp = stranger_addr; /* the SIP side names another: he takes over */
	assert_int_equal(media_core_set(w.m, 1, &w.set), 0);
	n = plain(buf, false, 2);
	give(stranger, &w.addrs.inside_rtp, buf, n);
	run(&w, 10);
	assert_int_equal(take(w.edge_fd[0], buf, sizeof(buf), NULL), 172 + 16);
	close(stranger);
	world_free(&w);
}

static void test_media_close(void **state)
{
	uint64_t flows[2], next[2];
	struct media_addrs first;
	struct media_report r;
	uint8_t buf[2048];
	struct addr core;
	struct world w;
	uint32_t n;

	(void)state;
	world_new(&w, 0, 8, 100);
	open_medium(&w, 1, true, flows);
	core = settle(&w, flows, 2);
	key_medium(&w, 1, SRTP_AEAD_AES_128_GCM);
	first = w.addrs;
	sent_clear();
	media_core_close(w.m, 1);
	media_core_close(w.m, 1);
	assert_int_equal(n_sent, 2);
	assert_int_equal(sent[0]->m_case, SALLYPORT__LINK__M_FREE);
	assert_int_equal(sent[0]->free->flow, flows[0]);
	assert_int_equal(sent[1]->free->flow, flows[1]);
	assert_int_equal(media_core_report(w.m, 1, &r), -ENOENT);
	assert_int_equal(media_core_set(w.m, 1, &w.set), -ENOENT);
	assert_int_equal(media_core_live(w.m, "edge1", next, 2), 0);
	n = plain(buf, false, 1);
	give(w.edge_fd[0], &core, buf, n);
	expect_silence(&w);
	assert_int_equal(w.m->count.unknown_source, 1);
	allocated(&w, flows[0], 0, ""); /* late */
	assert_int_equal(w.opened, 1);
	open_medium(&w, 2, true, next);
	assert_int_not_equal(w.addrs.inside_rtp.port, first.inside_rtp.port); /* rests */
	run(&w, 1200); /* descriptors of 1 are closed by now */
	w.close_in_opened = true;
	open_medium(&w, 3, false, next);
	assert_int_equal(w.opened, 3);
	assert_int_equal(w.m->n_media, 1);
	world_free(&w);
}

static void test_media_failed(void **state)
{
	struct addr client = local(0);
	struct world w;

	(void)state;
	world_new(&w, 0, 3, 4); /* two pairs */
	assert_int_equal(media_core_open(w.m, 1, NULL, &client, true), -ENOTCONN);
	assert_int_equal(media_core_open(w.m, 0, &w.edge, &client, true), -EINVAL);
	assert_int_equal(media_core_open(w.m, 1, &w.edge, &client, true), 0);
	assert_int_equal(media_core_open(w.m, 1, &w.edge, &client, true), -EINVAL);
	allocated(&w, sent_allocate(0)->flow, 0, "no-ports");
	assert_int_equal(w.failed, 1);
	assert_string_equal(w.reason, "no-ports");
	assert_int_equal(w.last_medium, 1);
	assert_int_equal(w.m->n_media, 0);
	assert_int_equal(media_core_open(w.m, 2, &w.edge, &client, true), 0);
	assert_int_equal(media_core_open(w.m, 3, &w.edge, &client, true),
			 -ENOBUFS); /* ports: one rests */
	run(&w, 4500);
	assert_int_equal(w.failed, 1);
	run(&w, 1000);
	assert_int_equal(w.failed, 2);
	assert_string_equal(w.reason, "timeout");
	assert_int_equal(w.last_medium, 2);
	assert_int_equal(media_core_open(w.m, 4, &w.edge, &client, true),
			 0); /* 5 s are over for the first */
	media_core_close(w.m, 4);
	assert_int_equal(w.failed, 2);
	world_free(&w);
}

static void test_media_max(void **state)
{
	struct addr client = local(0);
	struct world w;

	(void)state;
	world_new(&w, 0, 2, 100);
	assert_int_equal(media_core_open(w.m, 1, &w.edge, &client, true), 0);
	assert_int_equal(media_core_open(w.m, 2, &w.edge, &client, true), 0);
	assert_int_equal(media_core_open(w.m, 3, &w.edge, &client, true), -ENOBUFS);
	media_core_close(w.m, 1);
	assert_int_equal(media_core_open(w.m, 3, &w.edge, &client, true), 0);
	world_free(&w);
}

static void test_media_silence(void **state)
{
	uint64_t flows[2];
	struct addr core;
	struct world w;

	(void)state;
	world_new(&w, 200, 8, 100);
	open_medium(&w, 1, false, flows);
	core = settle(&w, flows, 1);
	key_medium(&w, 1, SRTP_AEAD_AES_128_GCM);
	run(&w, 100);
	assert_int_equal(w.silent, 0);
	run(&w, 150);
	assert_int_equal(w.silent, 1); /* never a packet */
	run(&w, 450);
	assert_int_equal(w.silent, 1); /* once */
	/* A new description counts from its own time, and its silence is told again. */
	assert_int_equal(media_core_set(w.m, 1, &w.set), 0);
	run(&w, 120);
	assert_int_equal(w.silent, 1);
	run(&w, 280);
	assert_int_equal(w.silent, 2);
	to_inside(&w, 0, &core, false, 1);
	run(&w, 150);
	to_client(&w, 0, false, 1); /* either direction counts */
	run(&w, 150);
	assert_int_equal(w.silent, 2);
	run(&w, 300);
	assert_int_equal(w.silent, 3);
	media_core_close(w.m, 1);
	run(&w, 300);
	assert_int_equal(w.silent, 3);
	world_free(&w);
}

/* An edge that is not known to take Clocks would end the link for one. */
static void test_media_clocks(void **state)
{
	uint64_t flows[2];
	struct world w;

	(void)state;
	world_new(&w, 0, 8, 100);
	open_medium(&w, 1, true, flows);
	settle(&w, flows, 2);
	key_medium(&w, 1, SRTP_AEAD_AES_256_GCM);
	sent_clear();
	w.set.clocks_in[0] = FLOW_CLOCK(8, 8000);
	assert_int_equal(media_core_set(w.m, 1, &w.set), 0);
	assert_int_equal(n_sent, 1);
	assert_int_equal(sent[0]->m_case, SALLYPORT__LINK__M_CLOCKS);
	sent_clear();
	peer_features = LINK_F_REPORT;
	w.set.clocks_in[0] = FLOW_CLOCK(9, 8000);
	assert_int_equal(media_core_set(w.m, 1, &w.set), 0);
	assert_int_equal(n_sent, 0);
	peer_features = LINK_FEATURES;
	world_free(&w);
}

static void test_media_link_lost(void **state)
{
	struct link_peer again = {"edge1"}, *old;
	uint8_t key[PUNCH_KEY_LEN];
	uint64_t flows[2];
	struct addr moved;
	struct world w;
	int fd = udp(&moved);
	uint8_t buf[256];

	(void)state;
	world_new(&w, 0, 8, 100);
	open_medium(&w, 1, true, flows);
	settle(&w, flows, 2);
	key_medium(&w, 1, SRTP_AEAD_AES_256_GCM);
	old = &w.edge;
	memcpy(key, mc_flow_find(w.m, flows[0])->punch_key, sizeof(key));
	media_core_link_down(w.m, old);
	sent_clear();
	w.set.reopen = true;
	assert_int_equal(media_core_set(w.m, 1, &w.set), 0); /* nobody to tell */
	assert_int_equal(n_sent, 0);
	media_core_link_up(w.m, &w.other);
	assert_int_equal(n_sent, 0);
	media_core_link_up(w.m, &again);
	assert_int_equal(n_sent, 2);
	assert_int_equal(sent_allocate(0)->flow, flows[0]);
	assert_int_equal(sent_allocate(1)->rtcp_of, flows[0]);
	/* owed from the time without a link; and a punch of that time opens nothing at an edge that forgot its counter */
	assert_true(sent_allocate(0)->reopen);
	assert_memory_not_equal(sent_allocate(0)->punch_key.data, key, sizeof(key));
	allocated_at(&w, &again, flows[0], "", &moved, 45000);
	allocated_at(&w, &again, flows[1], "", &w.edge_addr[1], 40001);
	assert_int_equal(w.opened, 1);
	assert_int_equal(w.m->count.moved, 1);
	run(&w, 20);
	assert_int_equal(take(fd, buf, sizeof(buf), NULL), 68); /* punched at the new port */
	sent_clear();
	assert_int_equal(media_core_set(w.m, 1, &w.set), 0);
	assert_int_equal(n_sent, 2);
	assert_true(sent_allocate(0)->reopen);
	allocated_at(&w, &again, flows[1], "no-ports", &w.edge_addr[1], 40001);
	assert_int_equal(w.failed, 0); /* open already: silence will tell */
	assert_int_equal(w.m->count.realloc_failed, 1);
	allocated_at(&w, &again, flows[0], "", &moved, 45000);
	media_core_link_down(w.m, &again);
	sent_clear();
	media_core_link_up(w.m, &again);
	assert_false(sent_allocate(0)->reopen); /* answered */
	assert_true(sent_allocate(1)->reopen);
	close(fd);
	world_free(&w);
}

/* A flow that ended after Hello had listed it: the edge keeps it, reports it, and is told again. */
static void test_media_report_of_unknown(void **state)
{
	Sallyport__FlowReport r = SALLYPORT__FLOW_REPORT__INIT;
	Sallyport__Link l = SALLYPORT__LINK__INIT;
	uint64_t flows[2];
	struct world w;

	(void)state;
	world_new(&w, 0, 8, 100);
	open_medium(&w, 1, true, flows);
	media_core_link_down(w.m, &w.edge);
	sent_clear();
	media_core_close(w.m, 1);
	assert_int_equal(n_sent, 0);
	media_core_link_up(w.m, &w.edge);
	assert_int_equal(n_sent, 0);
	r.flow = flows[0];
	l.m_case = SALLYPORT__LINK__M_FLOW_REPORT;
	l.flow_report = &r;
	media_core_message(w.m, &w.edge, &l);
	assert_int_equal(n_sent, 1);
	assert_int_equal(sent[0]->m_case, SALLYPORT__LINK__M_FREE);
	assert_int_equal(sent[0]->free->flow, flows[0]);
	world_free(&w);
}

static void test_media_show(void **state)
{
	uint64_t flows[2];
	const char *rung;
	struct world w;
	json_t *a, *o;
	char *text;

	(void)state;
	world_new(&w, 0, 8, 100);
	open_medium(&w, 0x1f, true, flows);
	settle(&w, flows, 2);
	key_medium(&w, 0x1f, SRTP_AEAD_AES_256_GCM);
	a = media_core_show(w.m);
	assert_int_equal(json_array_size(a), 2);
	o = json_array_get(a, 0);
	assert_string_equal(json_string_value(json_object_get(o, "medium")), "000000000000001f");
	assert_string_equal(json_string_value(json_object_get(o, "edge")), "edge1");
	assert_string_equal(json_string_value(json_object_get(o, "state")), "punched");
	assert_string_equal(json_string_value(json_object_get(o, "outside")), "203.0.113.1:40000");
	assert_string_equal(json_string_value(json_object_get(o, "open_suite")),
			    "AEAD_AES_256_GCM");
	assert_true(json_is_null(json_object_get(o, "idle_ms")));
	rung = json_string_value(json_object_get(o, "rung"));
	assert_non_null(strstr(rung, "user-socket (srtp fast ("));
	assert_non_null(strstr(rung, srtp_backend_text()));
	text = json_dumps(a, 0);
	assert_null(strstr(text, "key"));
	free(text);
	json_decref(a);
	a = media_core_counters(w.m);
	assert_int_equal(json_integer_value(json_object_get(a, "media")), 1);
	json_decref(a);
	world_free(&w);
}

static int setup(void **state)
{
	(void)state;
	return srtp_init(SRTP_AUTO);
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_media_allocate),
		cmocka_unit_test(test_media_both_ways),
		cmocka_unit_test(test_media_burst),
		cmocka_unit_test(test_media_dropped),
		cmocka_unit_test(test_media_close),
		cmocka_unit_test(test_media_failed),
		cmocka_unit_test(test_media_max),
		cmocka_unit_test(test_media_silence),
		cmocka_unit_test(test_media_clocks),
		cmocka_unit_test(test_media_link_lost),
		cmocka_unit_test(test_media_report_of_unknown),
		cmocka_unit_test(test_media_show),
	};

	return cmocka_run_group_tests(tests, setup, NULL);
}
