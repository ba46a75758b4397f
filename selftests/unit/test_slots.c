/* selftests/unit/test_slots.c -- couples of ports: even RTP, RTCP behind it, rest, round, adoption. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>

#include <cmocka.h>

#include "user/slots.h"

static struct slots *make(uint16_t base0, uint16_t range, bool start)
{
	const struct slots_pair pairs[2] = {{base0, range}, {40000, range}};
	struct slots *s = NULL;

	assert_int_equal(slots_new(pairs, 2, &s), 0);
	if (start)
		slots_start(s, 0);
	return s;
}

static void test_slots_even_ports(void **state)
{
	static const struct {
		uint16_t base, range;
		unsigned couples;
		uint32_t first;
	} cases[] = {{36000, 8, 4, 0}, {36001, 8, 3, 1}, {36000, 7, 3, 0}, {36001, 7, 3, 1}};
	unsigned i, k;
	uint32_t slot = 0;

	(void)state;
	for (i = 0; i < 4; i++) {
		struct slots *s = make(cases[i].base, cases[i].range, true);

		for (k = 0; k < cases[i].couples; k++) {
			assert_int_equal(slots_take(s, 0, 0, &slot), 0);
			assert_int_equal(slot, cases[i].first + 2 * k);
			assert_int_equal((cases[i].base + slot) % 2, 0);
			assert_int_equal(slots_pair_of(s, slot), 0);
		}
		assert_int_equal(slots_take(s, 0, 1000000, &slot), -ENOSPC);
		assert_int_equal(slots_take(s, 1, 0, &slot), 0); /* the other pair's own */
		assert_int_equal(slots_pair_of(s, slot), 1);
		assert_int_equal(slots_used(s), cases[i].couples + 1);
		slots_free(s);
	}
}

static void test_slots_rtcp_behind(void **state)
{
	struct slots *s = make(36000, 8, true);
	uint32_t rtp = 0, rtcp = 0, other = 0;

	(void)state;
	assert_int_equal(slots_take(s, 0, 0, &rtp), 0);
	assert_int_equal(slots_take_next(s, rtp, &rtcp), 0);
	assert_int_equal(rtcp, rtp + 1);
	assert_int_equal(slots_take_next(s, rtp, &other), -EEXIST);
	assert_int_equal(slots_take_next(s, rtcp, &other), -ERANGE);
	assert_int_equal(slots_take_next(s, 2, &other), -EEXIST); /* its RTP is not there */
	slots_free(s);
}

/* A couple comes back 30 s after its last flow, behind those that were freed earlier. */
static void test_slots_rest(void **state)
{
	struct slots *s = make(36000, 4, true);
	uint32_t a = 0, b = 0, rtcp = 0, again = 99;

	(void)state;
	assert_int_equal(slots_take(s, 0, 0, &a), 0);
	assert_int_equal(slots_take_next(s, a, &rtcp), 0);
	assert_int_equal(slots_take(s, 0, 0, &b), 0);
	slots_give(s, a, 1000);
	assert_int_equal(slots_take(s, 0, 1000 + SLOTS_REST_MS, &again), -ENOSPC); /* RTCP lives */
	slots_give(s, b, 2000);
	slots_give(s, rtcp, 3000);
	slots_give(s, rtcp, 4000); /* twice is once */
	assert_int_equal(slots_used(s), 0);
	assert_int_equal(slots_take(s, 0, 1999 + SLOTS_REST_MS, &again), -ENOSPC);
	assert_int_equal(slots_take(s, 0, 2000 + SLOTS_REST_MS, &again), 0);
	assert_int_equal(again, b);
	assert_int_equal(slots_take(s, 0, 2999 + SLOTS_REST_MS, &again), -ENOSPC);
	assert_int_equal(slots_take(s, 0, 3000 + SLOTS_REST_MS, &again), 0);
	assert_int_equal(again, a);
	slots_free(s);
}

static void test_slots_adopt(void **state)
{
	struct slots *s = make(36000, 8, false);
	uint32_t slot = 0, seen = 0;
	unsigned n;

	(void)state;
	assert_int_equal(slots_adopt(s, 2), 0);
	assert_int_equal(slots_adopt(s, 2), -EEXIST);
	assert_int_equal(slots_adopt(s, 7), 0); /* an RTCP flow whose RTP is gone */
	assert_int_equal(slots_adopt(s, 16), -ERANGE);
	slots_start(s, 3);
	for (n = 0; slots_take(s, 0, 0, &slot) == 0; n++)
		seen |= 1u << slot;
	assert_int_equal(n, 2);
	assert_int_equal(seen, 1u << 0 | 1u << 4);
	slots_give(s, 2, 0);
	assert_int_equal(slots_take(s, 0, SLOTS_REST_MS, &slot), 0);
	assert_int_equal(slot, 2);
	slots_free(s);
}

static void test_slots_too_small(void **state)
{
	const struct slots_pair one = {36001, 2};
	struct slots *s = NULL;

	(void)state;
	assert_int_equal(slots_new(&one, 1, &s), -EINVAL);
	assert_null(s);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_slots_even_ports), cmocka_unit_test(test_slots_rtcp_behind),
		cmocka_unit_test(test_slots_rest),	 cmocka_unit_test(test_slots_adopt),
		cmocka_unit_test(test_slots_too_small),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
