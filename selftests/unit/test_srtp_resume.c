/* selftests/unit/test_srtp_resume.c -- a session that goes on from what an earlier one under its key left in memory: the same bytes as
 * one that was never interrupted, no index twice, no packet twice, over the wrap of the sequence number; on both back ends. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <cmocka.h>

#include "user/srtp_int.h"

#define ROOM  256
#define SSRCS 3

struct packet {
	uint8_t p[ROOM];
	uint32_t n;
	bool rtcp;
};

static struct span key_of(enum srtp_suite s)
{
	static uint8_t key[SRTP_KEY_MAX];
	unsigned i;

	for (i = 0; i < sizeof(key); i++)
		key[i] = (uint8_t)(i * 29 + 3);
	return span_of(key, srtp_suite_key_len(s));
}

static struct srtp_session *session(enum srtp_suite s, bool seal, void *place, bool resume)
{
	struct srtp_session *out = NULL;

	assert_int_equal(srtp_session_new(s, key_of(s), seal, &out), 0);
	if (place)
		assert_int_equal(srtp_session_place(out, key_of(s), place, resume), 0);
	return out;
}

static struct packet packet(bool rtcp, uint32_t ssrc, uint16_t seq)
{
	struct packet k = {.rtcp = rtcp, .n = rtcp ? 28 : 60};
	unsigned i;

	for (i = 0; i < k.n; i++)
		k.p[i] = (uint8_t)(seq + i);
	k.p[0] = 0x80;
	k.p[1] = rtcp ? 200 : 0;
	k.p[2] = (uint8_t)(rtcp ? 0 : seq >> 8);
	k.p[3] = (uint8_t)(rtcp ? 6 : seq);
	i = rtcp ? 4 : 8;
	k.p[i] = k.p[i + 1] = k.p[i + 2] = 0x55;
	k.p[i + 3] = (uint8_t)ssrc;
	return k;
}

static enum srtp_result run(struct srtp_session *s, struct packet *k)
{
	struct srtp_packet p = {.session = s, .p = k->p, .n = k->n, .cap = ROOM, .rtcp = k->rtcp};

	if (s->seal)
		srtp_seal(&p, 1);
	else
		srtp_open(&p, 1);
	k->n = p.n;
	return p.result;
}

/* The @i-th packet of a stream of three SSRCs, every seventh RTCP; sequence numbers wrap at the 120th. */
static struct packet nth(unsigned i)
{
	return packet(i % 7 == 6, i % SSRCS, (uint16_t)(65496 + i / SSRCS));
}

static void seal_both(enum srtp_suite s, unsigned n, unsigned cut)
{
	uint64_t place[SRTP_STATE_SIZE / 8];
	struct srtp_session *whole = session(s, true, NULL, false),
			    *part = session(s, true, place, false);
	unsigned i;

	for (i = 0; i < n; i++) {
		struct packet a = nth(i), b = a;

		if (i % cut == cut - 1) {
			srtp_session_free(part);
			part = session(s, true, place, true);
		}
		assert_int_equal(run(whole, &a), SRTP_OK);
		assert_int_equal(run(part, &b), SRTP_OK);
		assert_int_equal(a.n, b.n);
		assert_memory_equal(a.p, b.p, a.n);
	}
	srtp_session_free(whole);
	srtp_session_free(part);
}

static void open_both(enum srtp_suite s, unsigned n, unsigned cut)
{
	uint64_t place[SRTP_STATE_SIZE / 8];
	struct srtp_session *seal = session(s, true, NULL, false),
			    *open = session(s, false, place, false);
	struct packet last[30];
	unsigned i, k;

	for (i = 0; i < n; i++) {
		struct packet a = nth(i), plain = a;

		assert_int_equal(run(seal, &a), SRTP_OK);
		last[i % 30] = a;
		if (i % cut == cut - 1) {
			srtp_session_free(open);
			open = session(s, false, place, true);
			for (k = i > 29 ? i - 29 : 0; k < i;
			     k++) { /* all of them were taken before */
				struct packet again = last[k % 30];

				if (again.n)
					assert_int_equal(run(open, &again), SRTP_REPLAY);
			}
			if (i % 3 == 0) { /* lost while nobody was there */
				last[i % 30].n = 0;
				continue;
			}
		}
		assert_int_equal(run(open, &a), SRTP_OK);
		assert_int_equal(a.n, plain.n);
		assert_memory_equal(a.p, plain.p, a.n);
	}
	srtp_session_free(seal);
	srtp_session_free(open);
}

static void both(enum srtp_backend b, bool evp)
{
	unsigned s;

	assert_int_equal(srtp_init(b), 0);
	if (b == SRTP_FAST)
		srtp_fast_force_evp(evp);
	for (s = 0; s < SRTP_SUITES; s++) {
		seal_both((enum srtp_suite)s, 400, 11);
		seal_both((enum srtp_suite)s, 400, 121);
		open_both((enum srtp_suite)s, 400, 13);
		open_both((enum srtp_suite)s, 400, 119);
	}
}

static void test_resume_fast(void **state)
{
	(void)state;
	both(SRTP_FAST, false);
	both(SRTP_FAST, true);
	srtp_fast_force_evp(false);
}

static void test_resume_libsrtp2(void **state)
{
	(void)state;
	both(SRTP_LIBSRTP2, false);
}

static void test_resume_refuses_other_state(void **state)
{
	uint64_t place[SRTP_STATE_SIZE / 8] = {};
	struct srtp_session *o, *s;

	(void)state;
	assert_int_equal(srtp_init(SRTP_FAST), 0);
	s = session(SRTP_AES_CM_128_HMAC_SHA1_80, true, place, false);
	o = session(SRTP_AES_CM_128_HMAC_SHA1_80, false, NULL, false);
	assert_int_equal(srtp_session_place(o, key_of(SRTP_AES_CM_128_HMAC_SHA1_80), place, true),
			 -EBADMSG);
	((struct srtp_streams *)place)->n = SRTP_SSRC_MAX + 1;
	assert_int_equal(srtp_session_place(s, key_of(SRTP_AES_CM_128_HMAC_SHA1_80), place, true),
			 -EBADMSG);
	srtp_session_free(o);
	srtp_session_free(s);
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_resume_fast),
		cmocka_unit_test(test_resume_libsrtp2),
		cmocka_unit_test(test_resume_refuses_other_state),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
