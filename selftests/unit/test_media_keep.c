/* selftests/unit/test_media_keep.c -- media of a worker that is gone: the next one has the same flows, ports, keys and indices, carries on
 * what waited in the sockets before any link is up, takes no packet twice, and forgets what was closed. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#include "selftests/unit/media_kit.h"

static int state_fd = -1;
static struct keep_kind kinds[2];

static void keep_start(struct world *w)
{
	bool fresh;

	if (state_fd < 0) {
		kinds[0] = (struct keep_kind){"medium", 8, mc_keep_medium_max, 0};
		kinds[1] = (struct keep_kind){"session", 16, mc_keep_session_max, 0};
		state_fd = memfd_create("test", MFD_CLOEXEC);
		assert_int_equal(ftruncate(state_fd, (off_t)keep_size(kinds, 2)), 0);
	}
	assert_int_equal(keep_open(state_fd, kinds, 2, &w->keep, &fresh), 0);
}

static void kept_world(struct world *w)
{
	struct world fresh = {};

	keep_start(&fresh);
	world_new(w, 0, 8, 100); /* without: it clears the world */
	world_stop(w);
	w->keep = fresh.keep;
	world_start(w);
}

/* One worker ends, the next begins. */
static void next_worker(struct world *w, unsigned down_ms)
{
	world_stop(w);
	keep_close(w->keep);
	usleep(down_ms * 1000);
	keep_start(w);
	world_start(w);
}

static void kept_free(struct world *w)
{
	world_free(w);
	keep_close(w->keep);
	close(state_fd);
	state_fd = -1;
}

static uint32_t from_client(struct world *w, uint16_t seq, uint8_t buf[2048])
{
	uint32_t n = plain(buf, false, seq);

	assert_int_equal(transform(w->client_seal, buf, &n, false, true), SRTP_OK);
	give(w->edge_fd[0], &w->link_addr, buf, n);
	return n;
}

static void phone_hears(struct world *w, uint16_t seq)
{
	uint8_t got[2048], want[2048];
	uint32_t n = plain(want, false, seq);

	assert_int_equal(take(w->phone[0], got, sizeof(got), NULL), n);
	assert_memory_equal(got, want, n);
}

static void client_hears(struct world *w, uint16_t seq)
{
	uint8_t got[2048], want[2048];
	uint32_t n = plain(want, false, seq), len;
	ssize_t r;

	do { /* punches come by the same way */
		r = take(w->edge_fd[0], got, sizeof(got), NULL);
		assert_true(r > 0);
	} while (got[0] >> 6 != 2);
	len = (uint32_t)r;
	assert_int_equal(transform(w->client_open, got, &len, false, false), SRTP_OK);
	assert_int_equal(len, n);
	assert_memory_equal(got, want, n);
}

static void from_phone(struct world *w, uint16_t seq)
{
	uint8_t buf[2048];
	uint32_t n = plain(buf, false, seq);

	give(w->phone[0], &w->addrs.inside_rtp, buf, n);
}

static void test_keep_media_go_on(void **state)
{
	uint8_t replay[2048], buf[2048];
	uint32_t replay_n = 0;
	uint64_t flows[2], live[4];
	struct media_report r;
	struct world w;
	uint16_t i;

	(void)state;
	kept_world(&w);
	open_medium(&w, 77, true, flows);
	key_medium(&w, 77, SRTP_AES_CM_128_HMAC_SHA1_80);
	for (i = 0; i < 3; i++) {
		replay_n = from_client(&w, (uint16_t)(65533 + i), replay);
		from_phone(&w, (uint16_t)(65533 + i));
	}
	run(&w, 30);
	for (i = 0; i < 3; i++) {
		phone_hears(&w, (uint16_t)(65533 + i));
		client_hears(&w, (uint16_t)(65533 + i));
	}
	world_stop(&w);
	keep_close(w.keep);
	for (i = 0; i < 4; i++) { /* nobody is there; the sequence numbers wrap */
		from_client(&w, i, buf);
		from_phone(&w, i);
	}
	keep_start(&w);
	w.opened = w.failed = 0;
	world_start(&w);
	run(&w, 30);
	assert_int_equal(w.opened + w.failed, 0);
	for (i = 0; i < 4; i++) {
		phone_hears(&w, i);
		client_hears(&w, i);
	}
	assert_int_equal(media_core_live(w.m, "edge1", live, 4), 2);
	assert_true(live[0] == flows[0] || live[1] == flows[0]);
	give(w.edge_fd[0], &w.link_addr, replay, replay_n);
	run(&w, 30);
	assert_int_equal(media_core_report(w.m, 77, &r), 0);
	assert_int_equal(r.results[SRTP_REPLAY], 1);
	assert_int_equal(r.in_packets, 4);
	kept_free(&w);
}

static void test_keep_media_source_stays(void **state)
{
	uint64_t flows[2];
	uint8_t buf[2048];
	struct addr other_addr;
	struct media_report r;
	struct world w;
	int other = udp(&other_addr);

	(void)state;
	kept_world(&w);
	open_medium(&w, 5, false, flows);
	key_medium(&w, 5, SRTP_AEAD_AES_256_GCM);
	from_phone(&w, 1);
	run(&w, 30);
	client_hears(&w, 1);
	next_worker(&w, 5);
	give(other, &w.addrs.inside_rtp, buf, plain(buf, false, 9));
	from_phone(&w, 2);
	run(&w, 30);
	client_hears(&w, 2);
	assert_int_equal(media_core_report(w.m, 5, &r), 0);
	assert_int_equal(r.dropped_source, 1);
	close(other);
	kept_free(&w);
}

/* Its link comes back: the same flows are asked for, under new punch keys, and the counter has not gone back. */
static void test_keep_media_link_comes(void **state)
{
	uint64_t flows[2], counter = 0;
	uint8_t buf[256], key[PUNCH_KEY_LEN];
	struct world w;
	struct punch p;
	ssize_t n;

	(void)state;
	kept_world(&w);
	open_medium(&w, 5, false, flows);
	memcpy(key, sent_allocate(0)->punch_key.data, sizeof(key));
	run(&w, 30);
	n = take(w.edge_fd[0], buf, sizeof(buf), NULL);
	assert_int_equal(punch_parse(span_of(buf, (size_t)n), &p), 0);
	counter = p.counter;
	next_worker(&w, 5);
	sent_clear();
	media_core_link_up(w.m, &w.edge);
	assert_int_equal(n_sent, 1);
	assert_int_equal(sent_allocate(0)->flow, flows[0]);
	assert_memory_not_equal(sent_allocate(0)->punch_key.data, key, sizeof(key));
	allocated(&w, flows[0], 0, "");
	run(&w, 30);
	n = take(w.edge_fd[0], buf, sizeof(buf), NULL);
	assert_int_equal(punch_parse(span_of(buf, (size_t)n), &p), 0);
	assert_true(p.counter > counter);
	kept_free(&w);
}

/* A client that muxed RTCP, and has a second flow since: until its next description stands, its RTCP may still come by the first. */
static void test_keep_media_was_muxed(void **state)
{
	uint64_t flows[2];
	uint8_t buf[2048];
	struct media_report r;
	struct world w;
	uint32_t n;

	(void)state;
	kept_world(&w);
	open_medium(&w, 9, false, flows);
	key_medium(&w, 9, SRTP_AES_CM_128_HMAC_SHA1_80);
	sent_clear();
	assert_int_equal(media_core_add_rtcp(w.m, 9), 0);
	allocated(&w, sent_allocate(0)->flow, 1, "");
	next_worker(&w, 5);
	n = plain(buf, true, 1);
	assert_int_equal(transform(w.client_seal, buf, &n, true, true), SRTP_OK);
	give(w.edge_fd[0], &w.link_addr, buf, n);
	run(&w, 30);
	assert_int_equal(media_core_report(w.m, 9, &r), 0);
	assert_int_equal(r.results[SRTP_AUTH], 0);
	assert_int_equal(take(w.phone[1], buf, sizeof(buf), NULL), 172);
	kept_free(&w);
}

static void count_one(void *arg, uint64_t medium)
{
	(void)medium;
	++*(unsigned *)arg;
}

static void test_keep_media_closed_is_gone(void **state)
{
	uint64_t flows[2];
	unsigned n = 0;
	struct world w;

	(void)state;
	kept_world(&w);
	open_medium(&w, 1, true, flows);
	key_medium(&w, 1, SRTP_AES_CM_128_HMAC_SHA1_32);
	key_medium(&w, 1,
		   SRTP_AEAD_AES_128_GCM); /* new keys: the sessions before are not left behind */
	assert_int_equal(keep_stats(w.keep, 1).records, 2);
	media_core_close(w.m, 1);
	assert_int_equal(keep_stats(w.keep, 0).records, 0);
	assert_int_equal(keep_stats(w.keep, 1).records, 0);
	open_medium(&w, 2, false, flows);
	assert_int_equal(keep_put(w.keep, 1, 999, SPAN("between two steps")), 0);
	next_worker(&w, 5);
	assert_int_equal(keep_stats(w.keep, 1).records, 0);
	media_core_each(w.m, count_one, &n);
	assert_int_equal(n, 1);
	assert_true(media_core_has(w.m, 2));
	assert_false(media_core_has(w.m, 1));
	kept_free(&w);
}

static void test_keep_media_bad_records(void **state)
{
	uint64_t flows[2];
	uint8_t *live;
	struct world w;

	(void)state;
	kept_world(&w);
	open_medium(&w, 1, true, flows);
	key_medium(&w, 1, SRTP_AEAD_AES_128_GCM);
	open_medium(&w, 2, false, flows);
	live = keep_live(w.keep, 0, 1);
	memset(live, 0xff, 200); /* no end of the name, no such pair */
	assert_int_equal(keep_put(w.keep, 0, 3, SPAN("short")), 0);
	next_worker(&w, 5);
	assert_int_equal(w.m->count.lost, 2);
	assert_int_equal(w.m->count.restored, 1);
	assert_int_equal(keep_stats(w.keep, 0).records, 1);
	assert_int_equal(keep_stats(w.keep, 1).records, 0);
	kept_free(&w);
}

/* Reports by a flow of their own and by the first one, to where the client's came from last: of a medium that began with one. */
static void test_keep_media_muxed(void **state)
{
	uint8_t want[2048], buf[2048];
	uint64_t flows[2];
	struct world w;
	uint32_t n, sn;
	unsigned by;

	(void)state;
	kept_world(&w);
	open_medium(&w, 1, false, flows);
	key_medium(&w, 1, SRTP_AES_CM_128_HMAC_SHA1_80);
	sent_clear();
	assert_int_equal(media_core_add_rtcp(w.m, 1), 0);
	allocated(&w, sent_allocate(0)->flow, 1, "");
	assert_int_equal(w.opened, 2);
	for (by = 0; by < 2; by++) {
		next_worker(&w, 5);
		n = sn = plain(want, true, (uint16_t)(10 + by));
		memcpy(buf, want, n);
		assert_int_equal(transform(w.client_seal, buf, &sn, true, true), SRTP_OK);
		give(w.edge_fd[by], &w.link_addr, buf, sn);
		run(&w, 30);
		assert_int_equal(take(w.phone[1], buf, sizeof(buf), NULL), n);
		assert_memory_equal(buf, want, n);
		next_worker(&w, 5);
		while (take(w.edge_fd[by], buf, sizeof(buf), NULL) >= 0)
			; /* punches */
		give(w.phone[1], &w.addrs.inside_rtcp, want, n);
		run(&w, 30);
		assert_true(take(w.edge_fd[by], buf, sizeof(buf), NULL) > (ssize_t)n);
	}
	kept_free(&w);
}

/* A second flow that was asked for, and no answer yet: asked for again when it is wanted again, and the edge is not told of the first. */
static void test_keep_media_adding(void **state)
{
	uint64_t flows[2], live[4];
	struct world w;

	(void)state;
	kept_world(&w);
	open_medium(&w, 6, false, flows);
	assert_int_equal(media_core_add_rtcp(w.m, 6), 0);
	key_medium(&w, 6, SRTP_AES_CM_128_HMAC_SHA1_80); /* kept meanwhile */
	next_worker(&w, 5);
	assert_int_equal(media_core_live(w.m, "edge1", live, 4), 1);
	media_core_link_up(w.m, &w.edge);
	sent_clear();
	assert_int_equal(media_core_add_rtcp(w.m, 6), 0);
	assert_int_equal(n_sent, 1);
	kept_free(&w);
}

/* Keys without their indices do not come back: the key stream would begin again. */
static void test_keep_media_keys_without_place(void **state)
{
	uint64_t flows[2], id;
	struct world w;

	(void)state;
	kept_world(&w);
	open_medium(&w, 7, false, flows);
	for (id = 100; !keep_put(w.keep, 1, id, SPAN("full")); id++)
		;
	key_medium(&w, 7, SRTP_AES_CM_128_HMAC_SHA1_80);
	assert_true(w.m->count.not_kept > 0);
	next_worker(&w, 5);
	assert_false(media_core_has(w.m, 7));
	kept_free(&w);
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_keep_media_go_on),
		cmocka_unit_test(test_keep_media_source_stays),
		cmocka_unit_test(test_keep_media_link_comes),
		cmocka_unit_test(test_keep_media_was_muxed),
		cmocka_unit_test(test_keep_media_closed_is_gone),
		cmocka_unit_test(test_keep_media_bad_records),
		cmocka_unit_test(test_keep_media_muxed),
		cmocka_unit_test(test_keep_media_adding),
		cmocka_unit_test(test_keep_media_keys_without_place),
	};

	if (srtp_init(SRTP_AUTO))
		return 1;
	return cmocka_run_group_tests(tests, NULL, NULL);
}
