/* selftests/unit/test_sip_uri.c -- SIP URIs: parts, what is refused, equality (RFC 3261 19.1.4), address of record. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

#include "selftests/unit/sip_spans.h"

#define LEN(a) (sizeof(a) / sizeof((a)[0]))

static void test_uri_parts(void **state)
{
	static const struct {
		const char *text, *user, *password, *host, *params, *headers;
		unsigned port;
		bool sips, v6;
	} cases[] = {
		{"sip:h", "", "", "h", "", "", 0, false, false},
		{"SIP:a@h", "a", "", "h", "", "", 0, false, false},
		{"sips:a:p&w@h.x:5061;lr;a=b?x=y&z=", "a", "p&w", "h.x", ";lr;a=b", "x=y&z=", 5061,
		 true, false},
		{"sip:a@[2001:db8::1]:65535", "a", "", "2001:db8::1", "", "", 65535, false, true},
		{"sip:[::ffff:1.2.3.4];x", "", "", "::ffff:1.2.3.4", ";x", "", 0, false, true},
		{"sip:;&=+$,?/~x@h", ";&=+$,?/~x", "", "h", "", "", 0, false, false},
		{"sip:a%40b%00%FFc@192.0.2.1", "a%40b%00%FFc", "", "192.0.2.1", "", "", 0, false,
		 false},
		{"sip:a:@h", "a", "", "h", "", "", 0, false, false},
		{"sip:a@h-1.9x.example.com.:1", "a", "", "h-1.9x.example.com.", "", "", 1, false,
		 false},
		{"sip:a@h;p=[x]/:&+$%20!~*'()", "a", "", "h", ";p=[x]/:&+$%20!~*'()", "", 0, false,
		 false},
		{"sip:a@h?b=%0d%0a[]/?:+$", "a", "", "h", "", "b=%0d%0a[]/?:+$", 0, false, false},
	};
	size_t i;

	(void)state;
	for (i = 0; i < LEN(cases); i++) {
		struct span in = span_str(cases[i].text);
		struct sip_uri u;

		if (sip_uri_parse(in, &u))
			fail_msg("%s", cases[i].text);
		assert_true(uri_inside(&u, in) && span_eq(u.whole, in));
		assert_true(span_eq(u.user, span_str(cases[i].user)));
		assert_true(span_eq(u.password, span_str(cases[i].password)));
		assert_true(span_eq(u.host, span_str(cases[i].host)));
		assert_true(span_eq(u.params, span_str(cases[i].params)));
		assert_true(span_eq(u.headers, span_str(cases[i].headers)));
		assert_int_equal(u.port, cases[i].port);
		assert_int_equal(u.is_sips, cases[i].sips);
		assert_int_equal(u.is_sip, !cases[i].sips);
		assert_int_equal(u.host_is_v6, cases[i].v6);
	}
}

static void test_uri_other_scheme(void **state)
{
	static const char *const good[] = {"tel:+1-555-1234;phone-context=example.com",
					   "urn:service:sos", "http://example.com/?a=b%20c&d",
					   "a+b-c.1:x"};
	struct sip_uri u;
	size_t i;

	(void)state;
	for (i = 0; i < LEN(good); i++) {
		assert_int_equal(sip_uri_parse(span_str(good[i]), &u), 0);
		assert_false(u.is_sip || u.is_sips);
		assert_int_equal(u.host.n, 0);
	}
}

static void test_uri_refused(void **state)
{
	static const char *const bad[] = {
		"",
		":",
		"sip",
		"sip:",
		":a@h",
		"1sip:h",
		"s_p:h",
		"tel:",
		"tel:a b",
		"tel:a%2",
		"tel:<a>",
		/* user part */
		"sip:@h",
		"sip::p@h",
		"sip:a@",
		"sip:a@@h",
		"sip:a@b@h",
		"sip:a b@h",
		"sip:a%@h",
		"sip:a%4@h",
		"sip:a%4g@h",
		"sip:a#b@h",
		"sip:\"a\"@h",
		"sip:a<@h",
		"sip:\xc3\xa4@h",
		"sip:a[@h",
		"sip:a:b:c@h",
		/* host and port */
		"sip:a@h:",
		"sip:a@h:0",
		"sip:a@h:65536",
		"sip:a@h:5x",
		"sip:a@h:000001",
		"sip:a@h:-1",
		"sip:a@-h",
		"sip:a@h-",
		"sip:a@.h",
		"sip:a@h..x",
		"sip:a@.",
		"sip:a@h_x",
		"sip:a@1.2.3",
		"sip:a@1.2.3.256",
		"sip:a@1.2.3.4.5",
		"sip:a@example.1com",
		"sip:a@[1.2.3.4]",
		"sip:a@[::1",
		"sip:a@::1",
		"sip:a@[]",
		"sip:a@[192.0.2.1:0]",
		"sip:a@[192.0.2.1]",
		"sip:a@[::1]x",
		"sip:a@[::1%25eth0]",
		"sip:a@[[::1]]",
		"sip:a@h\t",
		"sip:a@h ",
		" sip:a@h",
		"sip:a@h,",
		"sip:a@h/x",
		/* parameters and headers */
		"sip:a@h;",
		"sip:a@h;;x",
		"sip:a@h;=x",
		"sip:a@h;x=",
		"sip:a@h;x=\"q\"",
		"sip:a@h;x y",
		"sip:a@h;x;X",
		"sip:a@h;x=1;x=1",
		"sip:a@h;lr;%6Cr",
		"sip:a@h;x=%4",
		"sip:a@h;%zz",
		"sip:a@h?",
		"sip:a@h?x",
		"sip:a@h?=x",
		"sip:a@h?x=1&",
		"sip:a@h?x=1&&y=2",
		"sip:a@h?x=a=b",
		"sip:a@h?x=%g0",
		"sip:a@h?x=1;y",
	};
	struct sip_uri u;
	size_t i;

	(void)state;
	for (i = 0; i < LEN(bad); i++)
		if (sip_uri_parse(span_str(bad[i]), &u) != -EBADMSG)
			fail_msg("taken: %s", bad[i]);
	assert_int_equal(sip_uri_parse(span_of("sip:a\0b@h", 9), &u), -EBADMSG);
	assert_int_equal(sip_uri_parse(span_of("sip:a@h\0", 8), &u), -EBADMSG);
}

static void test_uri_limits(void **state)
{
	char text[2048] = "sip:h", label[300];
	struct sip_uri u;
	size_t at = 5, i;

	(void)state;
	for (i = 0; i < 64; i++) {
		text[at++] = ';';
		text[at++] = (char)('a' + i % 26);
		text[at++] = (char)('a' + i / 26);
	}
	assert_int_equal(sip_uri_parse(span_of(text, at), &u), 0);
	memcpy(text + at, ";zz", 3);
	assert_int_equal(sip_uri_parse(span_of(text, at + 3), &u), -EBADMSG);
	memset(label, 'a', sizeof(label));
	memcpy(label, "sip:", 4);
	assert_int_equal(sip_uri_parse(span_of(label, 4 + 63), &u), 0);
	assert_int_equal(sip_uri_parse(span_of(label, 4 + 64), &u), -EBADMSG);
}

static void test_uri_equal(void **state)
{
	static const struct {
		const char *a, *b;
		bool equal;
	} cases[] = {
		{"sip:%61lice@example.com;transport=TCP", "sip:alice@EXAMPLE.com;Transport=tcp",
		 true},
		{"sip:c@h", "sip:c@h;new=5", true},
		{"sip:c@h;a=1;b", "sip:c@h;b;A=1", true},
		{"sip:h;method=INVITE?to=a%40b&x=1", "SIP:h;method=invite?X=1&To=a%40b", true},
		{"sip:a:pw@h", "sip:a:p%77@h", true},
		{"sip:a@[2001:db8::1]", "sip:a@[2001:DB8:0:0::1]", true},
		{"tel:+1555", "TEL:+1555", true},
		{"sip:h?a=1&a=1&b=2", "sip:h?a=1&b=2&a=1", true},
		{"sip:a@h", "sips:a@h", false},
		{"sip:ALICE@h", "sip:alice@h", false},
		{"sip:a@h", "sip:a@h:5060", false},
		{"sip:a@h", "sip:a@h;transport=udp", false},
		{"sip:a@h;user=phone", "sip:a@h", false},
		{"sip:a@h;ttl=1", "sip:a@h", false},
		{"sip:a@h;maddr=1.2.3.4", "sip:a@h", false},
		{"sip:a@h;method=BYE", "sip:a@h", false},
		{"sip:a@h;x=1", "sip:a@h;x=2", false},
		{"sip:a@h;x", "sip:a@h;x=2", false},
		{"sip:a@h", "sip:a@h?s=1", false},
		{"sip:h?a=1&b=2", "sip:h?a=1&b=3", false},
		{"sip:h?a=1&a=1", "sip:h?a=1", false},
		{"sip:a@h1", "sip:a@h2", false},
		{"sip:a@h", "sip:h", false},
		{"sip:a:x@h", "sip:a@h", false},
		/* an escaped reserved character is not the bare one */
		{"sip:a%3Bb@h", "sip:a;b@h", false},
		{"sip:a%3Bb@h", "sip:a%3bb@h", true},
		{"sip:%2b1@h", "sip:+1@h", false},
		{"tel:+1555", "tel:+1556", false},
		{"sip:a@192.0.2.1", "sip:a@[::ffff:192.0.2.1]", false},
	};
	size_t i;

	(void)state;
	for (i = 0; i < LEN(cases); i++) {
		struct sip_uri a, b;

		assert_int_equal(sip_uri_parse(span_str(cases[i].a), &a), 0);
		assert_int_equal(sip_uri_parse(span_str(cases[i].b), &b), 0);
		if (sip_uri_equal(&a, &b) != cases[i].equal ||
		    sip_uri_equal(&b, &a) != cases[i].equal)
			fail_msg("%s %s", cases[i].a, cases[i].b);
		assert_true(sip_uri_equal(&a, &a) && sip_uri_equal(&b, &b));
	}
}

static void test_uri_aor(void **state)
{
	static const struct {
		const char *text, *aor;
	} cases[] = {
		{"sip:alice@example.com", "sip:alice@example.com"},
		{"SIPS:Al%69ce:pw@EXAMPLE.com:5061;lr?x=y", "sips:Alice@example.com"},
		{"sip:example.com;x", "sip:example.com"},
		{"sip:a@[2001:DB8:0:0::1]:5", "sip:a@[2001:db8::1]"},
		{"sip:%2B1555@h", "sip:+1555@h"},
		/* would end the user, split it, or vanish in a string */
		{"sip:a%40evil@h", "sip:a%40evil@h"},
		{"sip:a%00@h", "sip:a%00@h"},
		{"sip:a%0d%0ab@h", "sip:a%0D%0Ab@h"},
		{"sip:a%3ab@h", "sip:a%3Ab@h"},
		{"sip:%2561@h", "sip:%2561@h"},
		{"sip:%c3%A4%20%22%3c%3E%23@h", "sip:%C3%A4%20%22%3C%3E%23@h"},
		{"TEL:+1555;x=Y", "tel:+1555;x=Y"},
	};
	char buf[64];
	struct sip_uri u;
	size_t i, n;

	(void)state;
	for (i = 0; i < LEN(cases); i++) {
		assert_int_equal(sip_uri_parse(span_str(cases[i].text), &u), 0);
		n = strlen(cases[i].aor);
		assert_int_equal(sip_uri_aor(&u, buf, sizeof(buf)), n);
		assert_string_equal(buf, cases[i].aor);
		assert_int_equal(sip_uri_aor(&u, buf, n + 1), n);
		assert_int_equal(sip_uri_aor(&u, buf, n), -E2BIG);
		assert_int_equal(sip_uri_aor(&u, buf, 0), -E2BIG);
	}
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_uri_parts),   cmocka_unit_test(test_uri_other_scheme),
		cmocka_unit_test(test_uri_refused), cmocka_unit_test(test_uri_limits),
		cmocka_unit_test(test_uri_equal),   cmocka_unit_test(test_uri_aor),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
