/* selftests/unit/test_load_content.c -- payloads of the load generator: whose they are, and the exact count of what is missing. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <cmocka.h>

#include "tools/load_content.h"

static const struct load_tag mine = {.call = 0x1122334455667788, .dir = 1, .number = 0};

static void test_load_content_verdicts(void **state)
{
	static const struct {
		struct load_tag sent;
		int at; /* byte spoilt; -1: none */
		enum load_verdict want;
	} cases[] = {
		{{0x1122334455667788, 1, 7, 99}, -1, LOAD_HEARD},
		{{0x1122334455667788, 0, 7, 99}, -1, LOAD_ECHO},
		{{0x1122334455667789, 1, 7, 99}, -1, LOAD_FOREIGN},
		{{0x1122334455667788, 1, 7, 99}, 0, LOAD_GARBLED}, /* mark */
		{{0x1122334455667788, 1, 7, 99},
		 5,
		 LOAD_GARBLED}, /* call: the pattern is another's */
		{{0x1122334455667788, 1, 7, 99}, 12, LOAD_GARBLED},  /* direction */
		{{0x1122334455667788, 1, 7, 99}, 15, LOAD_GARBLED},  /* what is zero */
		{{0x1122334455667788, 1, 7, 99}, 19, LOAD_GARBLED},  /* number */
		{{0x1122334455667788, 1, 7, 99}, 24, LOAD_GARBLED},  /* pattern, its first byte */
		{{0x1122334455667788, 1, 7, 99}, 159, LOAD_GARBLED}, /* and its last */
		{{0x1122334455667788, 1, 7, 99}, 20, LOAD_HEARD}, /* the clock is in no pattern */
	};
	uint8_t p[LOAD_PAYLOAD];
	struct load_tag got;
	size_t i;

	(void)state;
	for (i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		load_content_write(&cases[i].sent, p);
		if (cases[i].at >= 0)
			p[cases[i].at] ^= 1;
		if (load_content_check(span_of(p, sizeof(p)), &mine, &got) != cases[i].want)
			fail_msg("case %zu", i);
		if (cases[i].want == LOAD_HEARD)
			assert_int_equal(got.number, 7);
	}
	load_content_write(&cases[0].sent, p);
	assert_int_equal(load_content_check(span_of(p, sizeof(p) - 1), &mine, &got), LOAD_GARBLED);
	assert_int_equal(load_content_check(span_of(p, 0), &mine, &got), LOAD_GARBLED);
}

/* No two packets share a pattern, not even neighbours. */
static void test_load_content_differs(void **state)
{
	uint8_t a[LOAD_PAYLOAD], b[LOAD_PAYLOAD];
	struct load_tag t = mine, u = mine;

	(void)state;
	load_content_write(&t, a);
	u.number = 1;
	load_content_write(&u, b);
	assert_memory_not_equal(a + 24, b + 24, 16);
	u = t;
	u.call++;
	load_content_write(&u, b);
	assert_memory_not_equal(a + 24, b + 24, 16);
	u = t;
	u.dir = 0;
	load_content_write(&u, b);
	assert_memory_not_equal(a + 24, b + 24, 16);
}

static void test_load_heard_counts(void **state)
{
	static const struct {
		const char *what;
		uint32_t numbers[12];
		unsigned n;
		uint32_t sent, received, lost, early, doubled, reordered;
	} cases[] = {
		{"all", {0, 1, 2, 3}, 4, 4, 4, 0, 0, 0, 0},
		{"nothing", {0}, 0, 5, 0, 5, 0, 0, 0},
		{"before the latch", {2, 3, 4}, 3, 5, 3, 0, 2, 0, 0},
		{"a hole", {0, 1, 3, 4}, 4, 5, 4, 1, 0, 0, 0},
		{"the end", {0, 1, 2}, 3, 6, 3, 3, 0, 0, 0},
		{"turned round", {0, 2, 1, 3}, 4, 4, 4, 0, 0, 0, 1},
		{"the first one late", {1, 0, 2}, 3, 3, 3, 0, 0, 0, 1},
		{"twice", {0, 1, 1, 2, 0}, 5, 3, 3, 0, 0, 2, 0},
		{"a long hole", {0, 5000, 5001}, 3, 5002, 3, 4999, 0, 0, 0},
		{"twice after a long hole", {0, 5000, 5000}, 3, 5001, 2, 4999, 0, 1, 0},
		{"older than the window", {0, 5000, 100}, 3, 5001, 2, 4999, 0, 1, 0},
		{"same place in the window",
		 {3, 3 + LOAD_WINDOW, 3 + LOAD_WINDOW},
		 3,
		 0,
		 2,
		 0,
		 3,
		 1,
		 0},
	};
	size_t i;
	unsigned j;

	(void)state;
	for (i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct load_heard h = {};

		for (j = 0; j < cases[i].n; j++)
			load_heard_add(&h, cases[i].numbers[j]);
		if (h.received != cases[i].received || h.doubled != cases[i].doubled ||
		    h.reordered != cases[i].reordered ||
		    load_heard_lost(&h, cases[i].sent) != cases[i].lost ||
		    load_heard_early(&h) != cases[i].early)
			fail_msg("%s: %u received, %u doubled, %u reordered, %u lost, %u early",
				 cases[i].what, h.received, h.doubled, h.reordered,
				 load_heard_lost(&h, cases[i].sent), load_heard_early(&h));
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_load_content_verdicts),
		cmocka_unit_test(test_load_content_differs),
		cmocka_unit_test(test_load_heard_counts),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
