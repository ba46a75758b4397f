/* selftests/unit/test_xmpp_jid.c -- JIDs (RFC 7622): parts, comparable domains, what is refused and why, equality, bare form. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <cmocka.h>

#include "xmpp/jid.h"

#define LEN(a) (sizeof(a) / sizeof((a)[0]))

static void test_jid_parts(void **state)
{
	static const struct {
		const char *text, *local, *domain, *resource, *host;
	} cases[] = {
		{"example.com", "", "example.com", "", "example.com"},
		{"juliet@example.com", "juliet", "example.com", "", "example.com"},
		{"juliet@example.com/foo", "juliet", "example.com", "foo", "example.com"},
		{"juliet@example.com/foo bar", "juliet", "example.com", "foo bar", "example.com"},
		{"juliet@example.com/foo@bar", "juliet", "example.com", "foo@bar", "example.com"},
		{"example.com/a/b//", "", "example.com", "a/b//", "example.com"},
		{"example.com/foo@bar", "", "example.com", "foo@bar", "example.com"},
		{"a.example.com/b@example.net", "", "a.example.com", "b@example.net",
		 "a.example.com"},
		{"foo\\20bar@example.com", "foo\\20bar", "example.com", "", "example.com"},
		{"fussball@example.com", "fussball", "example.com", "", "example.com"},
		{"fu\xc3\x9f"
		 "ball@example.com",
		 "fu\xc3\x9f"
		 "ball",
		 "example.com", "", "example.com"},
		{"\xcf\x80@example.com", "\xcf\x80", "example.com", "", "example.com"},
		{"\xf0\x90\x8d\x88@h/\xf0\x9f\x98\x80", "\xf0\x90\x8d\x88", "h", "\xf0\x9f\x98\x80",
		 "h"},
		{"king@example.com/\xe2\x99\x9a", "king", "example.com", "\xe2\x99\x9a",
		 "example.com"},
		{"a!#$%*+,-.;=?[\\]^_`{|}~@h", "a!#$%*+,-.;=?[\\]^_`{|}~", "h", "", "h"},
		{"h/\xc2\xa0", "", "h", "\xc2\xa0", "h"},
		/* domains in comparable form */
		{"Example.COM", "", "Example.COM", "", "example.com"},
		{"example.com.", "", "example.com.", "", "example.com"},
		{"a@EXAMPLE.com./r", "a", "EXAMPLE.com.", "r", "example.com"},
		{"localhost", "", "localhost", "", "localhost"},
		{"3com.example", "", "3com.example", "", "3com.example"},
		{"a--b.c-d", "", "a--b.c-d", "", "a--b.c-d"},
		{"b\xc3\xbc"
		 "cher.example",
		 "",
		 "b\xc3\xbc"
		 "cher.example",
		 "", "xn--bcher-kva.example"},
		{"B\xc3\x9c"
		 "CHER.example",
		 "",
		 "B\xc3\x9c"
		 "CHER.example",
		 "", "xn--bcher-kva.example"},
		{"bu\xcc\x88"
		 "cher.example",
		 "",
		 "bu\xcc\x88"
		 "cher.example",
		 "", "xn--bcher-kva.example"},
		{"xn--bcher-kva.example", "", "xn--bcher-kva.example", "", "xn--bcher-kva.example"},
		{"XN--BCHER-KVA.example", "", "XN--BCHER-KVA.example", "", "xn--bcher-kva.example"},
		{"fa\xc3\x9f.example", "", "fa\xc3\x9f.example", "", "xn--fa-hia.example"},
		{"\xe4\xbe\x8b\xe5\xad\x90.example", "", "\xe4\xbe\x8b\xe5\xad\x90.example", "",
		 "xn--fsqu00a.example"},
		{"a\xe3\x80\x82"
		 "example",
		 "",
		 "a\xe3\x80\x82"
		 "example",
		 "", "a.example"},
		{"b\xc3\xbc"
		 "cher.example.",
		 "",
		 "b\xc3\xbc"
		 "cher.example.",
		 "", "xn--bcher-kva.example"},
		{"\xef\xbd\x81.example", "", "\xef\xbd\x81.example", "", "a.example"},
		/* IP literals */
		{"192.0.2.1", "", "192.0.2.1", "", "192.0.2.1"},
		{"192.0.2.1.", "", "192.0.2.1.", "", "192.0.2.1"},
		{"a@192.0.2.1/b", "a", "192.0.2.1", "b", "192.0.2.1"},
		{"[2001:db8::1]", "", "[2001:db8::1]", "", "2001:db8::1"},
		{"a@[2001:DB8:0::0:1]/b", "a", "[2001:DB8:0::0:1]", "b", "2001:db8::1"},
		{"[::1]/[::2]", "", "[::1]", "[::2]", "::1"},
	};
	enum xmpp_jid_why why;
	struct xmpp_jid j;
	size_t i;

	(void)state;
	for (i = 0; i < LEN(cases); i++) {
		why = XMPP_JID_OK;
		if (xmpp_jid_parse(span_str(cases[i].text), &j, &why))
			fail_msg("%s: %s", cases[i].text, xmpp_jid_why_text(why));
		assert_true(span_eq(j.whole, span_str(cases[i].text)));
		assert_true(span_eq(j.local, span_str(cases[i].local)));
		assert_true(span_eq(j.domain, span_str(cases[i].domain)));
		assert_true(span_eq(j.resource, span_str(cases[i].resource)));
		assert_string_equal(j.host.text, cases[i].host);
		assert_int_equal(j.host.n, strlen(cases[i].host));
	}
}

static void test_jid_refused(void **state)
{
	static const struct {
		const char *text;
		enum xmpp_jid_why why;
	} cases[] = {
		{"", XMPP_JID_DOMAIN_EMPTY},
		{"a@", XMPP_JID_DOMAIN_EMPTY},
		{"a@/b", XMPP_JID_DOMAIN_EMPTY},
		{"/b", XMPP_JID_DOMAIN_EMPTY},
		{".", XMPP_JID_DOMAIN_EMPTY},
		{"@example.com", XMPP_JID_LOCAL_EMPTY},
		{"@", XMPP_JID_LOCAL_EMPTY},
		{"example.com/", XMPP_JID_RESOURCE_EMPTY},
		{"a@example.com/", XMPP_JID_RESOURCE_EMPTY},
		/* localpart: RFC 7622 3.3.1 and what PRECIS leaves out */
		{"\"a@h", XMPP_JID_LOCAL_CHAR},
		{"a&b@h", XMPP_JID_LOCAL_CHAR},
		{"a'@h", XMPP_JID_LOCAL_CHAR},
		{"a:b@h", XMPP_JID_LOCAL_CHAR},
		{"<a@h", XMPP_JID_LOCAL_CHAR},
		{"a>@h", XMPP_JID_LOCAL_CHAR},
		{"a b@h", XMPP_JID_LOCAL_CHAR},
		{" a@h", XMPP_JID_LOCAL_CHAR},
		{"a\t@h", XMPP_JID_LOCAL_CHAR},
		{"a\x7f@h", XMPP_JID_LOCAL_CHAR},
		{"a\xc2\x85@h", XMPP_JID_LOCAL_CHAR},
		{"a\xc2\xa0@h", XMPP_JID_LOCAL_CHAR},
		{"a\xc2\xad@h", XMPP_JID_LOCAL_CHAR},
		{"a\xe2\x80\x8b@h", XMPP_JID_LOCAL_CHAR}, /* zero width space */
		{"a\xe2\x80\xae@h", XMPP_JID_LOCAL_CHAR}, /* right-to-left override */
		{"a\xe3\x80\x80@h", XMPP_JID_LOCAL_CHAR}, /* ideographic space */
		{"a\xee\x80\x80@h", XMPP_JID_LOCAL_CHAR}, /* private use */
		{"a\xef\xb7\x90@h", XMPP_JID_LOCAL_CHAR}, /* noncharacter */
		{"a\xef\xbb\xbf@h", XMPP_JID_LOCAL_CHAR},
		{"a\xf3\xa0\x80\x81@h", XMPP_JID_LOCAL_CHAR}, /* tag character */
		{"a\xf0\x9f\xbf\xbe@h", XMPP_JID_LOCAL_CHAR},
		/* resource */
		{"h/\x01", XMPP_JID_RESOURCE_CHAR},
		{"h/a\nb", XMPP_JID_RESOURCE_CHAR},
		{"h/\x7f", XMPP_JID_RESOURCE_CHAR},
		{"h/\xc2\x80", XMPP_JID_RESOURCE_CHAR},
		{"h/\xef\xbf\xbf", XMPP_JID_RESOURCE_CHAR},
		/* UTF-8 */
		{"\xff@h", XMPP_JID_UTF8},
		{"\xc3@h", XMPP_JID_UTF8},
		{"h/\xed\xa0\x80", XMPP_JID_UTF8},
		{"h/\xc3", XMPP_JID_UTF8},
		{"\xc1\x81.example", XMPP_JID_UTF8},
		{"a.\xc3", XMPP_JID_UTF8},
		/* domain */
		{"a@b@c", XMPP_JID_DOMAIN_CHAR},
		{"a_b.example", XMPP_JID_DOMAIN_CHAR},
		{"a b.example", XMPP_JID_DOMAIN_CHAR},
		{"-a.example", XMPP_JID_DOMAIN_CHAR},
		{"a-.example", XMPP_JID_DOMAIN_CHAR},
		{"a.example-", XMPP_JID_DOMAIN_CHAR},
		{"a.example:5222", XMPP_JID_DOMAIN_CHAR},
		{"a.example\\", XMPP_JID_DOMAIN_CHAR},
		{"*.example", XMPP_JID_DOMAIN_CHAR},
		{"b\xc3\xbc"
		 "cher_x.example",
		 XMPP_JID_DOMAIN_CHAR},
		{"a..example", XMPP_JID_DOMAIN_LABEL},
		{".example", XMPP_JID_DOMAIN_LABEL},
		{"example..", XMPP_JID_DOMAIN_LABEL},
		{"xn--.example", XMPP_JID_DOMAIN_IDN},
		{"xn--a.example", XMPP_JID_DOMAIN_IDN},
		{"xn--bcher-kva\xc3\xbc.example", XMPP_JID_DOMAIN_IDN},
		/* libidn2 would drop them, and two names would be one */
		{"\xe2\x80\x8b.example", XMPP_JID_DOMAIN_IDN},
		{"exam\xe2\x80\x8bple.com", XMPP_JID_DOMAIN_IDN},
		{"exam\xc2\xadple.com", XMPP_JID_DOMAIN_IDN},
		{"exam\xef\xb8\x8fple.com", XMPP_JID_DOMAIN_IDN},
		{"example.com\xef\xbc\x8f", XMPP_JID_DOMAIN_CHAR},
		{"a\xef\xbc\xa0"
		 "example.com",
		 XMPP_JID_DOMAIN_CHAR},
		{"a\xe2\x84\x80.example", XMPP_JID_DOMAIN_CHAR}, /* a/c in one character */
		{"a\xe2\x82\xac.example", XMPP_JID_DOMAIN_IDN},
		{"a\xe2\x80\x8d"
		 "b.example",
		 XMPP_JID_DOMAIN_IDN}, /* joiner out of place */
		{"\xc2\xa0.example", XMPP_JID_DOMAIN_IDN},
		{"\xd7\x90"
		 "a.example",
		 XMPP_JID_DOMAIN_IDN},				/* against the Bidi rule */
		{"\xef\xbc\x8f.example", XMPP_JID_DOMAIN_CHAR}, /* full-width slash */
		{"\xcc\x88"
		 "a.example",
		 XMPP_JID_DOMAIN_IDN}, /* begins with a combining mark */
		{"1.2.3", XMPP_JID_DOMAIN_IP},
		{"192.0.2.256", XMPP_JID_DOMAIN_IP},
		{"1", XMPP_JID_DOMAIN_IP},
		{"example.1", XMPP_JID_DOMAIN_IP},
		{"\xef\xbc\x91.2.3.4", XMPP_JID_DOMAIN_IP}, /* full-width 1 */
		{"[", XMPP_JID_DOMAIN_IP},
		{"[]", XMPP_JID_DOMAIN_IP},
		{"[::1", XMPP_JID_DOMAIN_IP},
		{"[::1]:5222", XMPP_JID_DOMAIN_IP},
		{"[[::1]]", XMPP_JID_DOMAIN_IP},
		{"[192.0.2.1]", XMPP_JID_DOMAIN_IP},
		{"[fe80::1%eth0]", XMPP_JID_DOMAIN_IP},
		{"::1", XMPP_JID_DOMAIN_CHAR},
	};
	enum xmpp_jid_why why;
	struct xmpp_jid j;
	size_t i;

	(void)state;
	for (i = 0; i < LEN(cases); i++) {
		why = XMPP_JID_OK;
		if (xmpp_jid_parse(span_str(cases[i].text), &j, &why) != -EBADMSG ||
		    why != cases[i].why)
			fail_msg("%s: %s", cases[i].text, xmpp_jid_why_text(why));
	}
	assert_int_equal(xmpp_jid_parse(span_of("a\0b@h", 5), &j, &why), -EBADMSG);
	assert_int_equal(why, XMPP_JID_LOCAL_CHAR);
	assert_int_equal(xmpp_jid_parse(span_of("a\0b", 3), &j, &why), -EBADMSG);
	assert_int_equal(why, XMPP_JID_DOMAIN_CHAR);
	assert_int_equal(xmpp_jid_parse(span_of("\xc3\xbc\0b", 4), &j, &why), -EBADMSG);
	assert_int_equal(why, XMPP_JID_DOMAIN_CHAR);
	assert_int_equal(xmpp_jid_parse(span_of("h/a\0", 4), &j, &why), -EBADMSG);
	assert_int_equal(why, XMPP_JID_RESOURCE_CHAR);
}

static void test_jid_lengths(void **state)
{
	static char text[4096];
	enum xmpp_jid_why why;
	struct xmpp_jid j;
	size_t i;

	(void)state;
	memset(text, 'a', sizeof(text));
	text[XMPP_PART_MAX] = '@';
	text[XMPP_PART_MAX + 2] = '/';
	assert_int_equal(xmpp_jid_parse(span_of(text, 2 * XMPP_PART_MAX + 3), &j, &why), 0);
	assert_int_equal(j.local.n, XMPP_PART_MAX);
	assert_int_equal(j.resource.n, XMPP_PART_MAX);
	assert_int_equal(xmpp_jid_parse(span_of(text, 2 * XMPP_PART_MAX + 4), &j, &why), -EBADMSG);
	assert_int_equal(why, XMPP_JID_RESOURCE_LONG);
	text[XMPP_PART_MAX] = 'a';
	text[XMPP_PART_MAX + 1] = '@';
	assert_int_equal(xmpp_jid_parse(span_of(text, XMPP_PART_MAX + 4), &j, &why), -EBADMSG);
	assert_int_equal(why, XMPP_JID_LOCAL_LONG);
	/* labels of 63 bytes, four of them less two: 253 */
	memset(text, 'a', sizeof(text));
	for (i = 63; i < 253; i += 64)
		text[i] = '.';
	assert_int_equal(xmpp_jid_parse(span_of(text, 253), &j, &why), 0);
	assert_int_equal(j.host.n, 253);
	text[253] = '.';
	assert_int_equal(xmpp_jid_parse(span_of(text, 254), &j, &why), 0);
	assert_int_equal(j.host.n, 253);
	text[253] = 'a';
	assert_int_equal(xmpp_jid_parse(span_of(text, 254), &j, &why), -EBADMSG);
	assert_int_equal(why, XMPP_JID_DOMAIN_LONG);
	text[63] = 'a';
	assert_int_equal(xmpp_jid_parse(span_of(text, 64), &j, &why), -EBADMSG);
	assert_int_equal(why, XMPP_JID_DOMAIN_LABEL);
	memset(text, 'a', sizeof(text));
	assert_int_equal(xmpp_jid_parse(span_of(text, XMPP_PART_MAX + 1), &j, &why), -EBADMSG);
	assert_int_equal(why, XMPP_JID_DOMAIN_LONG);
}

static void test_jid_equal(void **state)
{
	static const struct {
		const char *a, *b;
		bool equal;
	} cases[] = {
		{"alice@example.com", "alice@example.com", true},
		{"alice@example.com", "ALICE@Example.COM.", true},
		{"alice@example.com/a", "alice@example.com/b", true},
		{"alice@example.com/a", "alice@example.com", true},
		{"a@b\xc3\xbc"
		 "cher.example",
		 "a@xn--bcher-kva.example", true},
		{"a@B\xc3\x9c"
		 "CHER.example",
		 "a@xn--BCHER-kva.example", true},
		{"a@[2001:db8::1]", "a@[2001:DB8:0::1]", true},
		{"alice@example.com", "bob@example.com", false},
		{"alice@example.com", "example.com", false},
		{"alice@example.com", "alice@example.org", false},
		{"alice@example.com", "alice@a.example.com", false},
		{"fu\xc3\x9f@h", "fuss@h", false},
		/* differs where a server would not: refuses, never confuses */
		{"\xc3\x84@h", "\xc3\xa4@h", false},
		{"a@fa\xc3\x9f.example", "a@fass.example", false},
		{"a@192.0.2.1", "a@[::ffff:192.0.2.1]", true},
	};
	enum xmpp_jid_why why;
	size_t i;

	(void)state;
	for (i = 0; i < LEN(cases); i++) {
		struct xmpp_jid a, b;

		assert_int_equal(xmpp_jid_parse(span_str(cases[i].a), &a, &why), 0);
		assert_int_equal(xmpp_jid_parse(span_str(cases[i].b), &b, &why), 0);
		if (xmpp_jid_equal_bare(&a, &b) != cases[i].equal ||
		    xmpp_jid_equal_bare(&b, &a) != cases[i].equal)
			fail_msg("%s %s", cases[i].a, cases[i].b);
		assert_true(xmpp_jid_equal_bare(&a, &a));
	}
}

static void test_jid_bare(void **state)
{
	static const struct {
		const char *text, *bare;
	} cases[] = {
		{"Alice@Example.com/x", "alice@example.com"},
		{"Example.com", "example.com"},
		{"a@[2001:DB8::1]", "a@[2001:db8::1]"},
		{"a@192.0.2.1/b", "a@192.0.2.1"},
		{"\xc3\x84@b\xc3\xbc"
		 "cher.example",
		 "\xc3\x84@xn--bcher-kva.example"},
	};
	enum xmpp_jid_why why;
	struct xmpp_jid j;
	char buf[64];
	size_t i, n;

	(void)state;
	for (i = 0; i < LEN(cases); i++) {
		assert_int_equal(xmpp_jid_parse(span_str(cases[i].text), &j, &why), 0);
		n = strlen(cases[i].bare);
		assert_int_equal(xmpp_jid_bare(&j, buf, sizeof(buf)), n);
		assert_string_equal(buf, cases[i].bare);
		assert_int_equal(xmpp_jid_bare(&j, buf, n + 1), n);
		assert_int_equal(xmpp_jid_bare(&j, buf, n), -E2BIG);
		assert_int_equal(xmpp_jid_bare(&j, buf, 0), -E2BIG);
		assert_int_equal(xmpp_jid_bare(&j, buf, 1), -E2BIG);
	}
}

static void test_jid_domain(void **state)
{
	enum xmpp_jid_why why;
	struct xmpp_domain a, b;

	(void)state;
	assert_int_equal(xmpp_domain_parse(SPAN("Example.com."), &a, &why), 0);
	assert_int_equal(xmpp_domain_parse(SPAN("example.com"), &b, &why), 0);
	assert_true(xmpp_domain_equal(&a, &b));
	assert_int_equal(xmpp_domain_parse(SPAN("a@example.com"), &a, &why), -EBADMSG);
	assert_int_equal(xmpp_domain_parse(SPAN("example.com/a"), &a, &why), -EBADMSG);
	assert_int_equal(xmpp_domain_parse(SPAN(""), &a, &why), -EBADMSG);
	/* written only on success */
	assert_true(xmpp_domain_equal(&a, &b));
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_jid_parts),   cmocka_unit_test(test_jid_refused),
		cmocka_unit_test(test_jid_lengths), cmocka_unit_test(test_jid_equal),
		cmocka_unit_test(test_jid_bare),    cmocka_unit_test(test_jid_domain),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
