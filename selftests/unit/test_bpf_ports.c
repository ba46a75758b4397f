/* selftests/unit/test_bpf_ports.c -- merging port ranges into the text of ip_local_reserved_ports. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "user/bpf_ports.h"

static void test_ports_merge_table(void **state)
{
	static const struct {
		const char *have;
		struct port_range add[2];
		unsigned n;
		int want;
		const char *text;
	} rows[] = {
		{"", {{36000, 59999}}, 1, 0, "36000-59999"},
		{"\n", {{36000, 59999}}, 1, 0, "36000-59999"},
		{"8080\n", {{36000, 59999}}, 1, 0, "8080,36000-59999"},
		{"8080,9148-9150\n", {{9140, 9148}}, 1, 0, "8080,9140-9150"},
		{"36000-59999\n", {{36000, 59999}}, 1, 0, "36000-59999"},
		{"36000-40000\n", {{40001, 40001}, {65535, 65535}}, 2, 0, "36000-40001,65535"},
		{"1\n", {{3, 3}, {2, 2}}, 2, 0, "1-3"},
		{"0-65535\n", {{5, 6}}, 1, 0, "0-65535"},
		{"65536\n", {{5, 6}}, 1, -EBADMSG, NULL},
		{"9-8\n", {{5, 6}}, 1, -EBADMSG, NULL},
		{"8080 9090\n", {{5, 6}}, 1, -EBADMSG, NULL},
		{"-5\n", {{5, 6}}, 1, -EBADMSG, NULL},
		{"5-\n", {{5, 6}}, 1, -EBADMSG, NULL},
		{"", {{6, 5}}, 1, -EINVAL, NULL},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		char out[64] = "untouched";
		int r = ports_merge(rows[i].have, rows[i].add, rows[i].n, out, sizeof(out));

		assert_int_equal(r, rows[i].want);
		assert_string_equal(out, r ? "untouched" : rows[i].text);
	}
}

static void test_ports_merge_limit(void **state)
{
	static const struct port_range one = {36000, 59999};
	char out[16];

	(void)state;
	assert_int_equal(ports_merge("", &one, 1, out, 12), 0);
	assert_string_equal(out, "36000-59999");
	assert_int_equal(ports_merge("", &one, 1, out, 11), -E2BIG);
	assert_int_equal(ports_merge("1,3,5,7,9,11,13\n", &one, 1, out, sizeof(out)), -E2BIG);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_ports_merge_table),
		cmocka_unit_test(test_ports_merge_limit),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
