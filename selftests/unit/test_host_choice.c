/* selftests/unit/test_host_choice.c -- which address is towards clients, which towards the core: decided only where there is one choice. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdio.h>
#include <string.h>

#include "tools/host_choice.h"

/* "ADDRESS[P][D] ...": P: private, D: the default route's. */
static unsigned list(const char *text, struct host_addr *out)
{
	unsigned n = 0;
	size_t len;

	for (; *text; text += len + strspn(text + len, " ")) {
		size_t a = strspn(text, "0123456789abcdef.:");

		len = strcspn(text, " ");
		out[n] = (struct host_addr){};
		assert_int_equal(addr_parse(span_of(text, a), &out[n].a), 0);
		out[n].is_private = memchr(text + a, 'P', len - a) != NULL;
		out[n].is_default = memchr(text + a, 'D', len - a) != NULL;
		snprintf(out[n].dev, sizeof(out[n].dev), "eth%u", n);
		n++;
	}
	return n;
}

static const struct {
	const char *have, *public_, *outside, *inside;
	const char *want; /* "OUTSIDE PUBLIC INSIDE", or a part of the question */
} cases[] = {
	/* one card, one address */
	{"192.0.2.1", NULL, NULL, NULL, "192.0.2.1 192.0.2.1 192.0.2.1"},
	{"10.0.0.1P", "203.0.113.5", NULL, NULL, "10.0.0.1 203.0.113.5 10.0.0.1"},
	{"192.0.2.1", NULL, NULL, "192.0.2.1", "192.0.2.1 192.0.2.1 192.0.2.1"},
	/* two: by what kind they are, by the default route, by what was said */
	{"203.0.113.1 10.0.0.1P", NULL, NULL, NULL, "203.0.113.1 203.0.113.1 10.0.0.1"},
	{"10.0.0.1P 10.1.0.1PD", NULL, NULL, NULL, "10.1.0.1 10.1.0.1 10.0.0.1"},
	{"10.0.0.1P 10.1.0.1P", NULL, NULL, NULL, "? --outside"},
	{"10.0.0.1P 10.1.0.1P", NULL, NULL, "10.0.0.1", "10.1.0.1 10.1.0.1 10.0.0.1"},
	{"10.0.0.1P 10.1.0.1P", NULL, "10.0.0.1", NULL, "10.0.0.1 10.0.0.1 10.1.0.1"},
	{"10.0.0.1P 10.1.0.1PD", "203.0.113.5", NULL, NULL, "10.1.0.1 203.0.113.5 10.0.0.1"},
	{"203.0.113.1 203.0.113.2", NULL, NULL, NULL, "? --outside"},
	{"203.0.113.1 203.0.113.2", "203.0.113.2", NULL, NULL,
	 "203.0.113.2 203.0.113.2 203.0.113.1"},
	/* three: only where the rest is clear */
	{"203.0.113.1 10.0.0.1P 10.1.0.1P", NULL, NULL, NULL, "? --inside"},
	{"203.0.113.1 10.0.0.1P 10.1.0.1P", NULL, NULL, "10.1.0.1",
	 "203.0.113.1 203.0.113.1 10.1.0.1"},
	{"203.0.113.1D 203.0.113.2 10.1.0.1P", NULL, NULL, NULL,
	 "203.0.113.1 203.0.113.1 10.1.0.1"},
	/* IPv6 only where it was asked for, or is all there is */
	{"192.0.2.1 2001:db8::1", NULL, NULL, NULL, "192.0.2.1 192.0.2.1 192.0.2.1"},
	{"192.0.2.1 2001:db8::1", "2001:db8::1", NULL, "192.0.2.1",
	 "2001:db8::1 2001:db8::1 192.0.2.1"},
	{"2001:db8::1", NULL, NULL, NULL, "2001:db8::1 2001:db8::1 2001:db8::1"},
	/* wrong */
	{"192.0.2.1", NULL, NULL, "192.0.2.9", "? --inside 192.0.2.9 is not an address of this"},
	{"192.0.2.1", NULL, "nonsense", NULL, "? --outside: wanted an IP address"},
	{"192.0.2.1", "192.0.2.9:5061", NULL, NULL, "? --public: wanted an IP address"},
	{"192.0.2.1", "2001:db8::9", "192.0.2.1", NULL, "? different families"},
	{"", NULL, NULL, NULL, "? this machine has none"},
};

static void test_host_choice_cases(void **state)
{
	char got[256], why[HOST_WHY_MAX], a[ADDR_TEXT_MAX], b[ADDR_TEXT_MAX], c[ADDR_TEXT_MAX];
	struct host_addr have[HOST_ADDRS_MAX];
	struct host_choice out;
	unsigned i, n;
	int err;

	(void)state;
	for (i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct host_wish w = {cases[i].public_, cases[i].outside, cases[i].inside};

		n = list(cases[i].have, have);
		err = host_choose(have, n, &w, &out, why);
		if (cases[i].want[0] == '?') {
			if (err != -EINVAL || !strstr(why, cases[i].want + 2))
				fail_msg("%u: %d, \"%s\"", i, err, err ? why : "");
			continue;
		}
		if (err)
			fail_msg("%u: %s", i, why);
		snprintf(got, sizeof(got), "%s %s %s", addr_ip_text(&out.outside, a),
			 addr_ip_text(&out.public_, b), addr_ip_text(&out.inside, c));
		assert_string_equal(got, cases[i].want);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {cmocka_unit_test(test_host_choice_cases)};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
