/* selftests/unit/test_sip_value.c -- header values: addresses, Via, parameters, tokens, numbers, credentials, folds. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

#include "selftests/unit/sip_spans.h"

#define LEN(a) (sizeof(a) / sizeof((a)[0]))

static void test_addr_list(void **state)
{
	static const struct {
		const char *display, *uri, *params;
	} want[] = {
		{"\"a, \\\"b\\\" <c>\"", "sip:x,y;z@h", ";q=\"1,2;3\";e"},
		{"", "sip:b@h", ";expires=3"},
		{"Plain Tok'en.s!", "tel:+1", ""},
		{"caller", "sip:c@[::1]:5", ""},
		{"\"fold\r\n \\ ed\"", "sips:d@h", "; a\r\n = b"},
	};
	struct span value = SPAN(
		"\"a, \\\"b\\\" <c>\"<sip:x,y;z@h>;q=\"1,2;3\";e\r\n\t, sip:b@h;expires=3,"
		"Plain Tok'en.s! <tel:+1> ,caller<sip:c@[::1]:5>,\"fold\r\n \\ ed\" <sips:d@h>; "
		"a\r\n = b ");
	struct span rest = value;
	struct sip_addr a, again;
	size_t i;

	(void)state;
	for (i = 0; i < LEN(want); i++) {
		assert_int_equal(sip_addr_next(&rest, &a), 1);
		assert_true(addr_inside(&a, value));
		assert_true(span_eq(a.display, span_str(want[i].display)));
		assert_true(span_eq(a.uri.whole, span_str(want[i].uri)));
		assert_true(span_eq(a.params, span_str(want[i].params)));
		assert_int_equal(sip_addr_parse(a.whole, &again), 0);
		assert_true(span_eq(again.whole, a.whole) && span_eq(again.params, a.params));
	}
	assert_int_equal(sip_addr_next(&rest, &a), 0);
	assert_int_equal(rest.n, 0);
}

static void test_addr_refused(void **state)
{
	static const char *const bad[] = {
		"*",
		"x",
		"<>",
		"< sip:a@h>",
		"<sip:a@h >",
		"<sip:a@h",
		"sip:a@h>",
		"<<sip:a@h>>",
		"\"a <sip:a@h>",
		"\"a\" b <sip:a@h>",
		"\"a\" sip:a@h",
		"a sip:a@h",
		"a@b <sip:a@h>",
		"a, b <sip:a@h>",
		"\xc3\xa4 <sip:a@h>",
		"sip:a@h?x=y",
		"sip:a;b@h",
		"sip:a@h x",
		"<sip:a@h> x",
		"<sip:a@h>;",
		"<sip:a@h>;;a",
		"<sip:a@h>;=a",
		"<sip:a@h>;a=",
		"<sip:a@h>;a=b c",
		"<sip:a@h>;a=\"b",
		"<sip:a@h>;a=b=c",
		"<sip:a@h>;a=b/c",
		"<sip:a@h>;a;A=1",
		"<sip:a@h>,",
		",<sip:a@h>",
		"<sip:a@h>,,<sip:b@h>",
		"<sip:a@h> <sip:b@h>",
		"\"a\x01\" <sip:a@h>",
		"\"a\\",
		"\"a\"",
		"<sip:a@h>;a\r\n=b\r\n",
	};
	struct span rest;
	struct sip_addr a;
	size_t i;
	int r;

	(void)state;
	for (i = 0; i < LEN(bad); i++) {
		rest = span_str(bad[i]);
		while ((r = sip_addr_next(&rest, &a)) == 1)
			;
		if (r != -EBADMSG)
			fail_msg("taken: %s", bad[i]);
	}
	rest = SPAN(" ");
	assert_int_equal(sip_addr_next(&rest, &a), 0);
	assert_int_equal(sip_addr_parse(SPAN(""), &a), -EBADMSG);
	assert_int_equal(sip_addr_parse(SPAN("<sip:a@h>, <sip:b@h>"), &a), -EBADMSG);
	assert_int_equal(sip_addr_parse(SPAN(" <sip:a@h> "), &a), 0);
}

static void test_via_list(void **state)
{
	struct span value = SPAN(
		"SIP/2.0/TLS h.example.com:5061;branch=z9hG4bKx;rport=7;received=2001:db8::9,"
		"sip / 2.0\r\n / wss\r\n [2001:db8::1] : 65535 ; RPORT ; Branch = b ; a=\"x,y\" , "
		"SIP/2.0/UDP 192.0.2.1;received=[::1];ttl=5;maddr=h");
	struct span rest = value;
	struct sip_via v;

	(void)state;
	assert_int_equal(sip_via_next(&rest, &v), 1);
	assert_true(via_inside(&v, value) && span_eq(v.protocol, SPAN("TLS")));
	assert_true(span_eq(v.host, SPAN("h.example.com")) && !v.host_is_v6 && v.port == 5061);
	assert_true(span_eq(v.branch, SPAN("z9hG4bKx")) &&
		    span_eq(v.received, SPAN("2001:db8::9")));
	assert_true(v.has_rport && v.rport == 7);
	assert_int_equal(sip_via_next(&rest, &v), 1);
	assert_true(via_inside(&v, value) && span_eq(v.protocol, SPAN("wss")));
	assert_true(span_eq(v.host, SPAN("2001:db8::1")) && v.host_is_v6 && v.port == 65535);
	assert_true(v.has_rport && v.rport == 0 && span_eq(v.branch, SPAN("b")));
	assert_int_equal(v.received.n, 0);
	assert_int_equal(sip_via_next(&rest, &v), 1);
	assert_true(span_eq(v.host, SPAN("192.0.2.1")) && v.port == 0 && !v.has_rport);
	assert_true(span_eq(v.received, SPAN("[::1]")) && v.branch.n == 0);
	assert_int_equal(sip_via_next(&rest, &v), 0);
}

static void test_via_refused(void **state)
{
	static const char *const bad[] = {
		"SIP/2.0/TLS",
		"SIP/2.0/TLS ",
		"SIP/2.0 TLS h",
		"SIP/2.0/ h",
		"SIP/2.1/TLS h",
		"XIP/2.0/TLS h",
		"SIP/2.0/TLS h:",
		"SIP/2.0/TLS h:0",
		"SIP/2.0/TLS h:65536",
		"SIP/2.0/TLS h:1:2",
		"SIP/2.0/TLS 1.2.3",
		"SIP/2.0/TLS [::1",
		"SIP/2.0/TLS ::1",
		"SIP/2.0/TLS a@h",
		"SIP/2.0/TLS <h>",
		"SIP/2.0/TLS h x",
		"SIP/2.0/TLS h;branch",
		"SIP/2.0/TLS h;branch=",
		"SIP/2.0/TLS h;branch=\"x\"",
		"SIP/2.0/TLS h;branch=a;branch=b",
		"SIP/2.0/TLS h;rport=",
		"SIP/2.0/TLS h;rport=0",
		"SIP/2.0/TLS h;rport=65536",
		"SIP/2.0/TLS h;rport;rport=1",
		"SIP/2.0/TLS h;received=name",
		"SIP/2.0/TLS h;received",
		"SIP/2.0/TLS h;received=1.2.3.4:5",
		"SIP/2.0/TLS h;",
		"SIP/2.0/TLS h,",
		",SIP/2.0/TLS h",
		"SIP/2.0/TLS h,,SIP/2.0/TLS h",
		"SIP/2.0/TLS h;a=b c",
	};
	struct span rest;
	struct sip_via v;
	size_t i;
	int r;

	(void)state;
	for (i = 0; i < LEN(bad); i++) {
		rest = span_str(bad[i]);
		while ((r = sip_via_next(&rest, &v)) == 1)
			;
		if (r != -EBADMSG)
			fail_msg("taken: %s", bad[i]);
	}
}

static void test_param_walk(void **state)
{
	struct span rest = SPAN(";a;b=c ; D = \"e;\\\"f\";g=[::1];h=%20/x");
	struct span all = rest;
	struct sip_param p;

	(void)state;
	assert_true(sip_param_next(&rest, &p) == 1 && span_eq(p.name, SPAN("a")) && !p.has_value);
	assert_true(sip_param_next(&rest, &p) == 1 && span_eq(p.value, SPAN("c")) && p.has_value);
	assert_true(sip_param_next(&rest, &p) == 1 && span_eq(p.value, SPAN("\"e;\\\"f\"")));
	assert_true(sip_param_next(&rest, &p) == 1 && span_eq(p.value, SPAN("[::1]")));
	assert_true(sip_param_next(&rest, &p) == 1 && span_eq(p.value, SPAN("%20/x")));
	assert_int_equal(sip_param_next(&rest, &p), 0);
	assert_true(sip_param_find(all, SPAN("d"), &p) && span_eq(p.name, SPAN("D")));
	assert_false(sip_param_find(all, SPAN("e"), &p));
	assert_false(sip_param_find(SPAN(""), SPAN("e"), &p));
}

static void test_param_refused(void **state)
{
	static const char *const bad[] = {
		"a", ";", ";;", ";a=", ";a==", ";a=\"", ";a=\"b\"c", ";a b", ";a=b,c", ";=b"};
	struct sip_param p;
	size_t i;

	(void)state;
	for (i = 0; i < LEN(bad); i++) {
		struct span rest = span_str(bad[i]);

		assert_int_equal(sip_param_next(&rest, &p) == 1 ? sip_param_next(&rest, &p)
								: -EBADMSG,
				 -EBADMSG);
	}
}

static void test_token_list(void **state)
{
	static const struct {
		const char *text;
		unsigned n;
		int last;
	} cases[] = {
		{"", 0, 0},
		{" ", 0, 0},
		{"a", 1, 0},
		{" a , b\r\n\t,c ", 3, 0},
		{",", 0, -EBADMSG},
		{"a,", 0, -EBADMSG},
		{"a,,b", 1, -EBADMSG},
		{"a b", 0, -EBADMSG},
		{"a,b;c", 1, -EBADMSG},
		{"\"a\"", 0, -EBADMSG},
	};
	size_t i;

	(void)state;
	for (i = 0; i < LEN(cases); i++) {
		struct span rest = span_str(cases[i].text), token;
		unsigned n = 0;
		int r;

		while ((r = sip_token_next(&rest, &token)) == 1)
			n++;
		assert_int_equal(r, cases[i].last);
		assert_int_equal(n, cases[i].n);
	}
}

static void test_number(void **state)
{
	static const struct {
		const char *text;
		uint32_t max, want;
		int r;
	} cases[] = {
		{"0", 0, 0, 0},
		{"0000000007", 7, 7, 0},
		{"4294967295", UINT32_MAX, UINT32_MAX, 0},
		{"4294967296", UINT32_MAX, 0, -EBADMSG},
		{"9999999999", UINT32_MAX, 0, -EBADMSG},
		{"00000000001", UINT32_MAX, 0, -EBADMSG},
		{"8", 7, 0, -EBADMSG},
		{"", 7, 0, -EBADMSG},
		{"+1", 7, 0, -EBADMSG},
		{"-1", 7, 0, -EBADMSG},
		{" 1", 7, 0, -EBADMSG},
		{"1 ", 7, 0, -EBADMSG},
		{"1x", 7, 0, -EBADMSG},
	};
	size_t i;

	(void)state;
	for (i = 0; i < LEN(cases); i++) {
		uint32_t v = 12345;

		assert_int_equal(sip_number(span_str(cases[i].text), cases[i].max, &v), cases[i].r);
		assert_int_equal(v, cases[i].r ? 12345 : cases[i].want);
	}
}

static void test_auth(void **state)
{
	struct sip_auth a;
	struct span v;

	(void)state;
	assert_int_equal(sip_auth_parse(SPAN("Digest\r\n username=\"a\\\"b, c\" ,realm = "
					     "\"\",\r\n\tqop=auth,NC=00000001"),
					&a),
			 0);
	assert_true(span_eq(a.scheme, SPAN("Digest")));
	assert_true(sip_auth_param(&a, SPAN("username"), &v) && span_eq(v, SPAN("a\\\"b, c")));
	assert_true(sip_auth_param(&a, SPAN("realm"), &v) && v.n == 0);
	assert_true(sip_auth_param(&a, SPAN("qop"), &v) && span_eq(v, SPAN("auth")));
	assert_true(sip_auth_param(&a, SPAN("nc"), &v) && span_eq(v, SPAN("00000001")));
	assert_false(sip_auth_param(&a, SPAN("nonce"), &v));
	assert_int_equal(sip_auth_parse(SPAN("Bearer eyJ.a-b_c~+/=="), &a), 0);
	assert_true(span_eq(a.rest, SPAN("eyJ.a-b_c~+/==")));
	assert_false(sip_auth_param(&a, SPAN("eyJ"), &v));
}

static void test_auth_refused(void **state)
{
	/* A nonce is found in none of these: twice, or rubbish before or behind it. */
	static const char *const bad[] = {
		"Digest nonce=\"1\", nonce=\"1\"",
		"Digest nonce=\"1\",",
		"Digest ,nonce=\"1\"",
		"Digest nonce=\"1\" x",
		"Digest nonce=\"1",
		"Digest x y, nonce=1",
		"Digest x=, nonce=1",
		"Digest nonce=a b",
	};
	struct sip_auth a;
	struct span v;
	size_t i;

	(void)state;
	for (i = 0; i < LEN(bad); i++) {
		assert_int_equal(sip_auth_parse(span_str(bad[i]), &a), 0);
		assert_false(sip_auth_param(&a, SPAN("nonce"), &v));
	}
	assert_int_equal(sip_auth_parse(SPAN(""), &a), -EBADMSG);
	assert_int_equal(sip_auth_parse(SPAN("Digest"), &a), -EBADMSG);
	assert_int_equal(sip_auth_parse(SPAN("Digest "), &a), -EBADMSG);
	assert_int_equal(sip_auth_parse(SPAN("Digest=x y"), &a), -EBADMSG);
}

static void test_unfold(void **state)
{
	char buf[16];

	(void)state;
	assert_int_equal(sip_unfold(SPAN("a \r\n\t b\r\n c  d"), buf, sizeof(buf)), 8);
	assert_string_equal(buf, "a b c  d");
	assert_int_equal(sip_unfold(SPAN("abc"), buf, 4), 3);
	assert_int_equal(sip_unfold(SPAN("abc"), buf, 3), -E2BIG);
	assert_int_equal(sip_unfold(SPAN(""), buf, 1), 0);
	assert_int_equal(sip_unfold(SPAN(""), buf, 0), -E2BIG);
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_addr_list),  cmocka_unit_test(test_addr_refused),
		cmocka_unit_test(test_via_list),   cmocka_unit_test(test_via_refused),
		cmocka_unit_test(test_param_walk), cmocka_unit_test(test_param_refused),
		cmocka_unit_test(test_token_list), cmocka_unit_test(test_number),
		cmocka_unit_test(test_auth),	   cmocka_unit_test(test_auth_refused),
		cmocka_unit_test(test_unfold),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
