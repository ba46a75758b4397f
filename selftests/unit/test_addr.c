/* selftests/unit/test_addr.c -- addresses as text and sockaddr: what is taken, what is refused, round trips. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

#include "user/addr.h"

static void test_addr_roundtrip(void **state)
{
	static const char *const good[] = {"1.2.3.4", "1.2.3.4:5061", "::1", "[2001:db8::1]:65535",
					   "0.0.0.0:1"};
	char buf[ADDR_TEXT_MAX];
	struct sockaddr_storage ss;
	struct addr a, b;
	size_t i;

	(void)state;
	for (i = 0; i < sizeof(good) / sizeof(good[0]); i++) {
		assert_int_equal(addr_parse(span_str(good[i]), &a), 0);
		assert_string_equal(addr_text(&a, buf), good[i]);
		addr_to_sockaddr(&a, &ss);
		assert_int_equal(addr_from_sockaddr((struct sockaddr *)&ss, &b), 0);
		assert_true(addr_eq(&a, &b));
	}
}

static void test_addr_refused(void **state)
{
	static const char *const bad[] = {"",	      "host",	       "1.2.3",
					  "1.2.3.4:", "1.2.3.4:70000", "1.2.3.4:5x",
					  "[::1",     "[::1]5061",     "[1.2.3.4]:5",
					  "::1:5:",   "[::1]:",	       "1.2.3.4 ",
					  "[::1]:1:2"};
	struct addr a;
	size_t i;

	(void)state;
	for (i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		assert_int_equal(addr_parse(span_str(bad[i]), &a), -EINVAL);
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_addr_roundtrip),
		cmocka_unit_test(test_addr_refused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
