/* selftests/unit/test_draining.c -- the word that tells whether a node drains, from one worker to the next. In: the keeper's
 * memory. Out: the state that each worker finds. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "user/drain.h"
#include "user/keeper.h"

static void test_draining_outlives(void **state)
{
	static struct keeper_plan plan;
	char why[200] = "", text[64];
	struct drain d;

	(void)state;
	unsetenv("SALLYPORT_FDS");
	drain_open(&d, 1000); /* a keeper that has none */
	assert_false(d.on);
	drain_set(&d, true, 1000);
	assert_true(d.on && !d.word);
	drain_close(&d);

	assert_int_equal(drain_plan(&plan, why, sizeof(why)), 0);
	assert_string_equal(plan.fds[plan.n_fds - 1].name, "drain");
	assert_true(plan.fds[plan.n_fds - 1].outlives);
	snprintf(text, sizeof(text), "drain=%d", plan.fds[plan.n_fds - 1].fd);
	setenv("SALLYPORT_FDS", text, 1);
	drain_open(&d, 0);
	assert_true(d.word && !d.on);
	drain_set(&d, true, 0); /* since 0 is not off */
	drain_close(&d);
	drain_open(&d, 5000);
	assert_true(d.on);
	assert_int_equal(d.since_ms, 0);
	drain_set(&d, true, 6000); /* the same again */
	assert_int_equal(d.since_ms, 0);
	drain_set(&d, false, 7000);
	drain_set(&d, true, 8000);
	drain_close(&d);
	drain_open(&d, 7500); /* a clock that is behind: not before its time */
	assert_true(d.on);
	assert_int_equal(d.since_ms, 7500);
	drain_set(&d, false, 9000);
	drain_close(&d);
	drain_open(&d, 9500);
	assert_false(d.on);
	drain_close(&d);
}

int main(void)
{
	const struct CMUnitTest tests[] = {cmocka_unit_test(test_draining_outlives)};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
