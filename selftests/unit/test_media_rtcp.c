/* selftests/unit/test_media_rtcp.c -- RTCP of a muxed medium gets a flow of its own: both ways before, between and after, and when the
 * edge refuses, is away or does not answer. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "selftests/unit/media_kit.h"

/* The client's report number @seq by the edge's port @port; it arrives inside. */
static void report_in(struct world *w, unsigned port, uint16_t seq)
{
	uint8_t want[2048], buf[2048];
	uint32_t n = plain(want, true, seq), sn = n;

	memcpy(buf, want, n);
	assert_int_equal(transform(w->client_seal, buf, &sn, true, true), SRTP_OK);
	give(w->edge_fd[port], &w->link_addr, buf, sn);
	run(w, 10);
	assert_int_equal(take(w->phone[1], buf, sizeof(buf), NULL), n);
	assert_memory_equal(buf, want, n);
}

/* The phone's report comes out at the edge's port @port, and only there. */
static void report_out(struct world *w, unsigned port, uint16_t seq)
{
	uint8_t want[2048], buf[2048];
	uint32_t n = plain(want, true, seq), sn;
	ssize_t got;

	give(w->phone[1], &w->addrs.inside_rtcp, want, n);
	run(w, 10);
	assert_true(take(w->edge_fd[!port], buf, sizeof(buf), NULL) < 0);
	got = take(w->edge_fd[port], buf, sizeof(buf), NULL);
	assert_true(got > (ssize_t)n);
	sn = (uint32_t)got;
	assert_int_equal(transform(w->client_open, buf, &sn, true, false), SRTP_OK);
	assert_memory_equal(buf, want, n);
}

static void quiet(struct world *w)
{
	uint8_t buf[256];

	run(w, 10);
	while (take(w->edge_fd[0], buf, sizeof(buf), NULL) >= 0 ||
	       take(w->edge_fd[1], buf, sizeof(buf), NULL) >= 0)
		;
}

/* A muxed medium that has carried reports, and the second flow asked for. Returns the flow's id. */
static uint64_t begin(struct world *w, uint64_t flows[2])
{
	world_new(w, 0, 8, 100);
	open_medium(w, 1, false, flows);
	punched(w, flows[0]);
	key_medium(w, 1, SRTP_AES_CM_128_HMAC_SHA1_80);
	quiet(w);
	report_in(w, 0, 1);
	report_out(w, 0, 2);
	sent_clear();
	assert_int_equal(media_core_add_rtcp(w->m, 1), 0);
	assert_int_equal(n_sent, 1);
	assert_int_equal(sent_allocate(0)->rtcp_of, flows[0]);
	assert_int_equal(media_core_add_rtcp(w->m, 1), -EALREADY);
	report_in(w, 0, 3); /* meanwhile */
	report_out(w, 0, 4);
	return sent_allocate(0)->flow;
}

static void test_rtcp_added(void **state)
{
	uint64_t flows[2];
	struct world w;

	(void)state;
	flows[1] = begin(&w, flows);
	allocated(&w, flows[1], 1, "");
	assert_int_equal(w.opened, 2);
	assert_int_equal(w.addrs.outside_rtcp.port, 40001);
	punched(&w, flows[1]);
	quiet(&w);
	report_in(&w, 0, 5); /* the client has not changed over yet, or never will */
	report_out(&w, 0, 6);
	report_in(&w, 1, 7);
	report_out(&w, 1, 8);
	assert_int_equal(media_core_live(w.m, "edge1", flows, 2), 2);
	sent_clear();
	media_core_close(w.m, 1);
	assert_int_equal(n_sent, 2);
	world_free(&w);
}

static void test_rtcp_refused(void **state)
{
	uint64_t flows[2], live[2];
	struct world w;

	(void)state;
	flows[1] = begin(&w, flows);
	allocated(&w, flows[1], 1, "no-ports");
	assert_int_equal(w.failed, 1);
	assert_string_equal(w.reason, "no-ports");
	assert_int_equal(media_core_live(w.m, "edge1", live, 2), 1);
	report_in(&w, 0, 5);
	report_out(&w, 0, 6);
	media_core_link_down(w.m, &w.edge);
	assert_int_equal(media_core_add_rtcp(w.m, 1), -ENOTCONN);
	media_core_link_up(w.m, &w.edge);
	sent_clear();
	assert_int_equal(media_core_add_rtcp(w.m, 1), 0); /* again */
	allocated(&w, sent_allocate(0)->flow, 1, "");
	assert_int_equal(w.opened, 2);
	assert_int_equal(media_core_add_rtcp(w.m, 1),
			 0); /* an offer that came to nothing left it */
	assert_int_equal(w.opened, 3);
	assert_int_equal(media_core_add_rtcp(w.m, 2), -ENOENT);
	world_free(&w);
}

static void test_rtcp_no_answer(void **state)
{
	uint64_t flows[2];
	struct world w;

	(void)state;
	flows[1] = begin(&w, flows);
	run(&w, 5100);
	assert_int_equal(w.failed, 1);
	assert_string_equal(w.reason, "timeout");
	allocated(&w, flows[1], 1, ""); /* late */
	assert_int_equal(w.m->count.unknown_flow, 1);
	report_in(&w, 0, 5);
	report_out(&w, 0, 6);
	sent_clear();
	assert_int_equal(media_core_add_rtcp(w.m, 1), 0);
	media_core_close(w.m, 1); /* with its timer set */
	run(&w, 20);
	assert_int_equal(w.failed, 1);
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
		cmocka_unit_test(test_rtcp_added),
		cmocka_unit_test(test_rtcp_refused),
		cmocka_unit_test(test_rtcp_no_answer),
	};

	return cmocka_run_group_tests(tests, setup, NULL);
}
