/* selftests/unit/test_ban.c -- abuse score, bans with expiry, orders of a core, prefix counts; a double for the bans map. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>

#include <cmocka.h>

#include "user/ban.h"
#include "user/prefix.h"

static struct {
	unsigned set, cleared, len;
	struct addr prefix;
	uint64_t until_ns;
	int ret;
	bool hit;
} map;

int maps_ban_set(struct maps *m, const struct addr *prefix, unsigned len, uint64_t until_ns)
{
	(void)m;
	map.set++;
	map.prefix = *prefix;
	map.len = len;
	map.until_ns = until_ns;
	return map.ret;
}

int maps_ban_clear(struct maps *m, const struct addr *prefix, unsigned len)
{
	(void)m;
	map.cleared++;
	map.prefix = *prefix;
	map.len = len;
	return 0;
}

bool maps_ban_hit(struct maps *m, const struct addr *source)
{
	(void)m;
	(void)source;
	return map.hit;
}

static struct addr A(const char *text) {
	struct addr a = {};

	assert_int_equal(addr_parse(span_str(text), &a), 0);
	return a;
}

static bool
no_core(void *arg, const struct addr *prefix, unsigned len)
{
	struct addr core = A("198.51.100.9"), cut;

	(void)arg;
	if (!addr_is_v4(prefix))
		return false;
	prefix_cut(&core, len, len, &cut);
	return addr_ip_eq(&cut, prefix);
}

static struct ban *make(uint32_t score)
{
	struct ban_params p = {.score = score, .seconds = 300, .seed = 7, .exempt = no_core};
	struct ban *b = NULL;

	memset(&map, 0, sizeof(map));
	assert_int_equal(ban_new(&p, &b), 0);
	return b;
}

/* Without BPF it is the worker that has to refuse what an earlier worker banned. */
static void test_ban_of_an_earlier_worker(void **state)
{
	struct ban *b = make(5);
	struct addr a = A("203.0.113.7");

	(void)state;
	assert_false(ban_active(b, &a));
	map.hit = true;
	assert_true(ban_active(b, &a));
	ban_free(b);
}

static void test_ban_threshold(void **state)
{
	struct ban *b = make(5);
	struct addr a = A("203.0.113.7:1000"), other = A("203.0.113.8");
	unsigned i;

	(void)state;
	for (i = 0; i < 4; i++)
		assert_false(ban_add(b, &a, 1, "malformed", 1000));
	assert_false(ban_add(b, &a, 0, "not-admitted", 1000));
	assert_false(ban_add(b, &other, 1, "malformed", 1000)); /* another address, another score */
	assert_int_equal(map.set, 0);
	assert_true(ban_add(b, &a, 1, "malformed", 2000));
	assert_int_equal(map.set, 1);
	assert_int_equal(map.len, 32);
	assert_int_equal(map.until_ns, (2000ull + 300000) * 1000000);
	assert_true(ban_active(b, &a));
	assert_false(ban_active(b, &other));
	ban_tick(b, 301999);
	assert_int_equal(map.cleared, 0);
	ban_tick(b, 302000);
	assert_int_equal(map.cleared, 1);
	assert_false(ban_active(b, &a));
	assert_int_equal(ban_stats(b)->expired, 1);
	ban_free(b);
}

/* 60 s slide: what is older does not count, what is younger does, also across the window's border. */
static void test_ban_window(void **state)
{
	struct ban *b = make(10);
	struct addr a = A("203.0.113.7");
	unsigned i;

	(void)state;
	for (i = 0; i < 9; i++)
		assert_false(ban_add(b, &a, 1, "x", 1000));
	assert_false(ban_add(b, &a, 1, "x", 1000 + 120000));
	ban_free(b);

	b = make(10);
	assert_false(ban_add(b, &a, 1, "x", 1000));
	for (i = 0; i < 8; i++)
		assert_false(ban_add(b, &a, 1, "x", 60500));
	assert_true(ban_add(b, &a, 2, "x", 61500));
	ban_free(b);
}

static void test_ban_v6_prefix(void **state)
{
	struct ban *b = make(2);
	struct addr a = A("2001:db8:1:2::7"), same = A("2001:db8:1:2:ffff::1"),
		    other = A("2001:db8:1:3::7");

	(void)state;
	assert_false(ban_add(b, &a, 1, "x", 0));
	assert_true(ban_add(b, &same, 1, "x", 0));
	assert_int_equal(map.len, 64);
	assert_true(ban_active(b, &a));
	assert_false(ban_active(b, &other));
	ban_free(b);
}

static void test_ban_order(void **state)
{
	static const struct {
		const char *prefix;
		unsigned len, seconds;
		int ret;
	} cases[] = {
		{"203.0.113.0", 24, 60, 0},	  {"203.0.113.7", 33, 60, -EINVAL},
		{"203.0.0.0", 15, 60, -EINVAL},	  {"203.0.113.7", 32, 0, -EINVAL},
		{"2001:db8::", 48, 60, 0},	  {"2001:db8::", 31, 60, -EINVAL},
		{"198.51.100.9", 32, 60, -EPERM}, {"198.51.100.0", 24, 60, -EPERM},
		{"192.0.2.1", 32, 4000000, 0},
	};
	struct ban *b = make(50);
	struct addr a = A("203.0.113.99");
	unsigned i;

	(void)state;
	for (i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct addr p = A(cases[i].prefix);

		assert_int_equal(
			ban_order(b, &p, cases[i].len, cases[i].seconds, "wrong passwords", 0),
			cases[i].ret);
	}
	assert_true(ban_active(b, &a));
	assert_int_equal(map.until_ns, BAN_LONGEST * 1000000000ull);
	assert_int_equal(ban_stats(b)->active, 3);
	assert_int_equal(ban_stats(b)->exempt, 2);
	ban_free(b);
}

/* A core that sits behind a banned address would be cut off at its next dial. */
static void test_ban_spares_cores(void **state)
{
	struct ban *b = make(1);
	struct addr core = A("198.51.100.9");

	(void)state;
	assert_false(ban_add(b, &core, 1, "malformed", 0));
	assert_int_equal(map.set, 0);
	assert_int_equal(ban_stats(b)->exempt, 1);
	ban_free(b);
}

static void test_ban_bounds(void **state)
{
	struct ban *b = make(1);
	struct addr a = A("10.0.0.0");
	unsigned i;

	(void)state;
	for (i = 0; i < BAN_MAX + 10; i++) {
		a.ip[14] = (uint8_t)(i >> 8);
		a.ip[15] = (uint8_t)i;
		assert_int_equal(ban_add(b, &a, 1, "x", 0), i < BAN_MAX);
	}
	assert_int_equal(ban_stats(b)->active, BAN_MAX);
	assert_int_equal(ban_stats(b)->full, 10);
	ban_tick(b, 300000);
	assert_int_equal(ban_stats(b)->active, 0);
	assert_int_equal(map.cleared, BAN_MAX);
	map.ret = -E2BIG; /* the kernel's map is full */
	assert_false(ban_add(b, &a, 1, "x", 0));
	assert_int_equal(ban_stats(b)->failed, 1);
	assert_false(ban_active(b, &a));
	ban_free(b);
}

static void test_prefix_cut(void **state)
{
	static const struct {
		const char *in, *out;
		unsigned v4, v6;
	} cases[] = {
		{"203.0.113.77:5", "203.0.113.0", 24, 56},
		{"203.0.113.77", "203.0.113.77", 32, 64},
		{"203.0.113.255", "203.0.113.240", 28, 56},
		{"203.0.113.77", "0.0.0.0", 0, 0},
		{"2001:db8:1:2ff:3::4", "2001:db8:1:200::", 24, 56},
		{"2001:db8::1", "2001:db8::1", 32, 128},
	};
	unsigned i;

	(void)state;
	for (i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct addr in = A(cases[i].in), want = A(cases[i].out), got;

		prefix_cut(&in, cases[i].v4, cases[i].v6, &got);
		assert_true(addr_eq(&got, &want));
	}
}

static void test_prefix_counts(void **state)
{
	struct prefix_counts *t = NULL;
	struct addr a = A("203.0.113.0"), b = A("203.0.114.0");

	(void)state;
	assert_int_equal(prefix_counts_new(1, &t), 0);
	assert_int_equal(prefix_counts_add(t, &a, 0, 2), 0);
	assert_int_equal(prefix_counts_add(t, &a, 0, 2), 0);
	assert_int_equal(prefix_counts_add(t, &a, 0, 2), -EDQUOT);
	assert_int_equal(prefix_counts_add(t, &a, 1, 2), 0); /* another tag */
	assert_int_equal(prefix_counts_add(t, &b, 0, 2), 0);
	assert_int_equal(prefix_counts_get(t, &a, 0), 2);
	prefix_counts_sub(t, &a, 0);
	prefix_counts_sub(t, &a, 0);
	prefix_counts_sub(t, &a, 0); /* of nothing */
	assert_int_equal(prefix_counts_get(t, &a, 0), 0);
	assert_int_equal(prefix_counts_add(t, &a, 0, 0), -EDQUOT);
	prefix_counts_free(t);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_ban_of_an_earlier_worker),
		cmocka_unit_test(test_ban_threshold),
		cmocka_unit_test(test_ban_window),
		cmocka_unit_test(test_ban_v6_prefix),
		cmocka_unit_test(test_ban_order),
		cmocka_unit_test(test_ban_spares_cores),
		cmocka_unit_test(test_ban_bounds),
		cmocka_unit_test(test_prefix_cut),
		cmocka_unit_test(test_prefix_counts),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
