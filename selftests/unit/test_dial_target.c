/* selftests/unit/test_dial_target.c -- addresses that a name from outside may not lead to, and the order of those that it may. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <cmocka.h>

#include "user/dial_target.h"

#define LEN(a) (sizeof(a) / sizeof((a)[0]))

static void test_dial_target_allowed(void **state)
{
	static const struct {
		const char *text;
		bool plain, private_too;
	} cases[] = {
		{"8.8.8.8", true, true},
		{"203.0.113.7", true, true},
		{"2001:db8::1", true, true},
		{"0.0.0.0", false, false},
		{"0.1.2.3", false, false},
		{"127.0.0.1", false, false},
		{"127.255.255.255", false, false},
		{"128.0.0.1", true, true},
		{"169.254.169.254", false, false},
		{"169.253.0.1", true, true},
		{"224.0.0.1", false, false},
		{"239.1.1.1", false, false},
		{"240.0.0.1", false, false},
		{"255.255.255.255", false, false},
		{"223.255.255.255", true, true},
		{"10.0.0.1", false, true},
		{"11.0.0.1", true, true},
		{"172.15.255.255", true, true},
		{"172.16.0.1", false, true},
		{"172.31.255.255", false, true},
		{"172.32.0.1", true, true},
		{"192.168.1.1", false, true},
		{"100.64.0.1", false, true},
		{"100.127.255.255", false, true},
		{"100.128.0.1", true, true},
		{"::", false, false},
		{"::1", false, false},
		{"::10.0.0.1", false, false},
		{"::ffff:127.0.0.1", false, false},
		{"::ffff:8.8.8.8", true, true},
		{"fe80::1", false, false},
		{"febf::1", false, false},
		{"fec0::1", false, true},
		{"ff02::1", false, false},
		{"fc00::1", false, true},
		{"fd12::1", false, true},
		{"fb00::1", true, true},
		{"64:ff9b::a00:1", false, true},
		{"2002:a00:1::1", false, true},
	};
	struct addr a;
	size_t i;

	(void)state;
	for (i = 0; i < LEN(cases); i++) {
		assert_int_equal(addr_parse(span_str(cases[i].text), &a), 0);
		if (dial_target_allowed(&a, false) != cases[i].plain ||
		    dial_target_allowed(&a, true) != cases[i].private_too)
			fail_msg("%s", cases[i].text);
	}
}

static void test_dial_target_order(void **state)
{
	unsigned first[4] = {}, i, j;
	uint64_t r;

	(void)state;
	for (r = 1; r <= 4000; r++) {
		struct dns_target t[] = {
			{.addr = {.port = 3}, .priority = 20, .weight = 0},
			{.addr = {.port = 0}, .priority = 10, .weight = 10},
			{.addr = {.port = 1}, .priority = 10, .weight = 30},
			{.addr = {.port = 2}, .priority = 10, .weight = 0},
		};
		unsigned seen = 0;

		dial_target_order(t, LEN(t), r * 0x9e3779b97f4a7c15u);
		for (i = 0; i < LEN(t); i++)
			seen |= 1u << t[i].addr.port;
		assert_int_equal(seen, 0xf); /* none lost, none double */
		assert_int_equal(t[3].addr.port, 3);
		for (j = 0; j < 3; j++)
			assert_int_equal(t[j].priority, 10);
		first[t[0].addr.port]++;
	}
	/* 11 : 31 : 1 of 43, within a third */
	assert_in_range(first[0], 680, 1370);
	assert_in_range(first[1], 1920, 3850);
	assert_in_range(first[2], 30, 160);
	dial_target_order(NULL, 0, 1);
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_dial_target_allowed),
		cmocka_unit_test(test_dial_target_order),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
