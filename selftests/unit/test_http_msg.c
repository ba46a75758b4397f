/* selftests/unit/test_http_msg.c -- the head parser beside its torture table: what it reports, limits, refusals in words,
 * lists. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "http/msg.h"

#define LEN(a) (sizeof(a) / sizeof((a)[0]))

static struct http_head head;
static struct http_refusal why;

static ssize_t request(const char *s)
{
	return http_request_parse(span_str(s), &http_limits_default, &head, &why);
}

static void is(struct span s, const char *want)
{
	if (!span_eq(s, span_str(want)))
		fail_msg("\"%.*s\", not \"%s\"", (int)s.n, (const char *)s.p, want);
}

static void test_msg_request_fields(void **state)
{
	const char *s = "\r\nPOST https://[::1]:8443/a/../b?c=%20 HTTP/1.1\r\n"
			"Host: [0:0:0:0:0:0:0:1]:8443\r\nX-A:  b\t c \r\n"
			"Connection: Keep-Alive, x-a\r\nContent-Length: 42\r\n\r\nrest";
	const struct http_field *f;
	unsigned at;

	(void)state;
	assert_int_equal(request(s), strlen(s) - 4);
	assert_true(head.request && head.minor == 1 && head.method == HTTP_M_POST);
	is(head.method_text, "POST");
	assert_true(head.target.form == HTTP_ABSOLUTE && head.target.https);
	is(head.target.auth.host, "::1");
	assert_int_equal(head.target.auth.port, 8443);
	assert_true(head.target.auth.host_is_v6);
	is(head.target.path, "/a/../b");
	is(head.target.query, "c=%20");
	is(head.host.host, "0:0:0:0:0:0:0:1");
	is(head.start_line, "POST https://[::1]:8443/a/../b?c=%20 HTTP/1.1");
	assert_ptr_equal(head.whole.p, s + 2);
	assert_int_equal(head.whole.n, strlen(s) - 6);
	assert_true(head.has_length && head.length == 42 && !head.chunked);
	assert_true(head.says_keep_alive && !head.says_close && !head.says_upgrade);
	assert_int_equal(head.n_fields, 4);
	f = http_field_named(&head, SPAN("x-A"), 0, &at);
	assert_non_null(f);
	assert_int_equal(at, 1);
	is(f->name, "X-A");
	is(f->value, "b\t c");
	is(f->line, "X-A:  b\t c \r\n");
	assert_null(http_field_named(&head, SPAN("x-A"), 2, NULL));
	assert_non_null(http_field_find(&head, HTTP_H_HOST, 0, NULL));
	assert_true(http_field_has(&head, HTTP_H_CONNECTION, SPAN("X-a")));
	assert_false(http_field_has(&head, HTTP_H_CONNECTION, SPAN("X")));
}

static void test_msg_response_fields(void **state)
{
	const char *s = "HTTP/1.0 404 Not Found\r\nConnection: keep-alive\r\n\r\n";

	(void)state;
	assert_int_equal(http_response_parse(span_str(s), &http_limits_default, &head, &why),
			 strlen(s));
	assert_true(!head.request && head.minor == 0 && head.status == 404);
	is(head.reason, "Not Found");
	assert_true(head.says_keep_alive && !head.has_length);
}

/* The refusal says what was wanted, what came and where; bytes of the peer are escaped and cut. */
static void test_msg_refusal_text(void **state)
{
	static const struct {
		const char *in, *want;
		unsigned status, line;
	} cases[] = {
		{"GET / HTTP/1.1\r\nHost: a\n", /**/
		 "bare LF: wanted every line to end in CR LF, came \"Host: a\\n\" in line 2", 400,
		 2},
		{"GET / HTTP/1.1\r\nHost: a\r\nX : \x1b\r\n",
		 "control character: wanted text without control characters, came \"X : \\x1b\" in "
		 "line 3",
		 400, 3},
		{"GET / HTTP/1.1\r\n\r\n",
		 "Host missing: wanted a Host field in every HTTP/1.1 request in line 2", 400, 2},
		{"\r\nGET / HTTP/3.0\r\n",
		 "version: wanted HTTP/1.1 or HTTP/1.0, came \"GET / HTTP/3.0\\r\\n\" in line 1",
		 505, 1},
		{"GET http://a/ HTTP/1.1\r\nHost: \"\\\r\n\r\n",
		 "Host: wanted host or host:port, came \"Host: \\\"\\\\\\r\\n\" in line 2", 400, 2},
		{"GET /aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa\\ HTTP/1.1\r\n",
		 "request target: wanted a path and query of URI characters, others escaped as "
		 "%HH, came \"GET /aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa...\" in line 1",
		 400, 1},
	};
	char text[HTTP_REFUSAL_TEXT], little[8];
	unsigned i;

	(void)state;
	for (i = 0; i < LEN(cases); i++) {
		assert_int_equal(request(cases[i].in), -EBADMSG);
		assert_string_equal(http_refusal_text(&why, text, sizeof(text)), cases[i].want);
		assert_int_equal(why.status, cases[i].status);
		assert_int_equal(why.line, cases[i].line);
	}
	assert_string_equal(http_refusal_text(&why, little, sizeof(little)), "request");
}

/* Every reason has its words and a status that the protocol knows; the longest refusal fits. */
static void test_msg_reasons(void **state)
{
	static const uint8_t ugly[64] = {0};
	char text[HTTP_REFUSAL_TEXT];
	unsigned i, j;

	(void)state;
	for (i = HTTP_OK + 1; i < HTTP_WHYS; i++) {
		struct http_refusal r = {(enum http_why)i, 400, 4000000000u,
					 span_of(ugly, sizeof(ugly))};

		assert_true(strlen(http_why_text(r.why)) > 2);
		assert_true(strlen(http_why_wanted(r.why)) > 3);
		http_refusal_text(&r, text, sizeof(text));
		assert_non_null(strstr(text, "...\" in line 4000000000"));
		for (j = HTTP_OK + 1; j < i; j++)
			assert_string_not_equal(http_why_text((enum http_why)j),
						http_why_text(r.why));
	}
	assert_string_equal(http_why_text(HTTP_WHYS), "unknown");
}

/* At the limit yes, one over it no; E2BIG and the status. */
static void test_msg_limits(void **state)
{
	static const char s[] = "GET /abc HTTP/1.1\r\nHost: a\r\nX-Y: abc\r\n\r\n";
	const struct http_limits fit = {
		.head_max = sizeof(s) - 1, .start_max = 17, .field_max = 8, .fields_max = 2};
	static const struct {
		int head, start, field, fields;
		enum http_why why;
		unsigned status;
	} cases[] = {
		{-1, 0, 0, 0, HTTP_WHY_HEAD_LONG, 431},	 {-22, 0, 0, 0, HTTP_WHY_START_LONG, 414},
		{-21, 0, 0, 0, HTTP_WHY_HEAD_LONG, 431}, {0, -1, 0, 0, HTTP_WHY_START_LONG, 414},
		{0, 0, -1, 0, HTTP_WHY_FIELD_LONG, 431}, {0, 0, 0, -1, HTTP_WHY_FIELDS, 431},
	};
	unsigned i;

	(void)state;
	assert_int_equal(http_request_parse(span_str(s), &fit, &head, &why), sizeof(s) - 1);
	for (i = 0; i < LEN(cases); i++) {
		struct http_limits l = fit;

		l.head_max += (size_t)(ssize_t)cases[i].head;
		l.start_max += (size_t)(ssize_t)cases[i].start;
		l.field_max += (size_t)(ssize_t)cases[i].field;
		l.fields_max += (unsigned)cases[i].fields;
		assert_int_equal(http_request_parse(span_str(s), &l, &head, &why), -E2BIG);
		if (why.why != cases[i].why || why.status != cases[i].status)
			fail_msg("case %u: %s, %u", i, http_why_text(why.why), why.status);
	}
}

/* A buffer of head_max bytes that is full is never told to wait: a caller with no more room would wait for ever. */
static void test_msg_full_buffer(void **state)
{
	struct http_limits l = http_limits_default;
	char s[64];
	size_t n;

	(void)state;
	memset(s, 'a', sizeof(s));
	memcpy(s, "GET / HTTP/1.1\r\nX: ", 19);
	l.head_max = sizeof(s);
	for (n = 0; n < sizeof(s); n++)
		assert_int_equal(http_request_parse(span_of(s, n), &l, &head, &why), -EAGAIN);
	assert_int_equal(http_request_parse(span_of(s, n), &l, &head, &why), -E2BIG);
	assert_int_equal(why.why, HTTP_WHY_HEAD_LONG);
	s[sizeof(s) - 1] = '\r';
	assert_int_equal(http_request_parse(span_of(s, n), &l, &head, &why), -E2BIG);
	assert_true(http_head_retry(span_of(s, n), n - 1, &l));
}

static void test_msg_retry(void **state)
{
	static uint8_t a[4096];

	(void)state;
	memset(a, 'a', sizeof(a));
	assert_true(http_head_retry(span_of(a, 1), 0, &http_limits_default));
	assert_false(http_head_retry(span_of(a, 2), 1, &http_limits_default));
	assert_false(http_head_retry(span_of(a, 2048), 1, &http_limits_default));
	assert_true(http_head_retry(span_of(a, 2049), 1, &http_limits_default));
	assert_true(http_head_retry(span_of(a, 1), 2, &http_limits_default));
	a[10] = '\n';
	assert_false(http_head_retry(span_of(a, 10), 9, &http_limits_default));
	assert_true(http_head_retry(span_of(a, 11), 10, &http_limits_default));
	assert_false(http_head_retry(span_of(a, 12), 11, &http_limits_default));
}

static void test_msg_token_list(void **state)
{
	static const struct {
		const char *in;
		int n; /* elements, then 0; or -EBADMSG somewhere */
	} cases[] = {
		{"", 0},	   {"a", 1},	      {"a,b", 2},	   {" a ,\tb ", 2},
		{"a, b,c", 3},	   {",", -EBADMSG},   {"a,", -EBADMSG},	   {"a,,b", -EBADMSG},
		{"a b", -EBADMSG}, {"a;b", -EBADMSG}, {"\"a\"", -EBADMSG},
	};
	unsigned i;

	(void)state;
	for (i = 0; i < LEN(cases); i++) {
		struct span rest = span_str(cases[i].in), one;
		int n = 0, r;

		while ((r = http_token_next(&rest, &one)) == 1)
			n++;
		assert_int_equal(r ? r : n, cases[i].n);
	}
}

static void test_msg_names(void **state)
{
	unsigned i;

	(void)state;
	for (i = HTTP_H_OTHER + 1; i < HTTP_HDRS; i++)
		assert_int_equal(http_hdr_from_name(span_str(http_hdr_name((enum http_hdr)i))), i);
	for (i = HTTP_M_OTHER + 1; i < HTTP_METHODS; i++)
		assert_int_equal(
			http_method_from_text(span_str(http_method_name((enum http_method)i))), i);
	assert_int_equal(http_method_from_text(SPAN("get")), HTTP_M_OTHER);
	assert_int_equal(http_hdr_from_name(SPAN("hOST")), HTTP_H_HOST);
	assert_true(http_hdr_alias(SPAN("x_FORWARDED-for")));
	assert_false(http_hdr_alias(SPAN("x_forwarded_fo")));
	assert_false(http_hdr_alias(SPAN("Host")));
	/* What frames a message may stand nowhere else, and not be taken away. */
	assert_true(http_hdr_no_trailer(HTTP_H_CONTENT_LENGTH) &&
		    http_hdr_no_trailer(HTTP_H_TRANSFER_ENCODING));
	assert_true(http_hdr_not_named(HTTP_H_CONTENT_LENGTH) &&
		    http_hdr_not_named(HTTP_H_TRANSFER_ENCODING));
	assert_false(http_hdr_hop_by_hop(HTTP_H_CONTENT_LENGTH));
}

static void test_msg_authority_same(void **state)
{
	static const struct {
		const char *a, *b;
		uint16_t port;
		bool same;
	} cases[] = {
		{"a", "A", 80, true},		{"a", "a:80", 80, true},
		{"a:443", "a", 80, false},	{"a", "b", 80, false},
		{"a", "a.", 80, false},		{"[::1]", "[0::1]:443", 443, true},
		{"[::1]", "[::2]", 443, false}, {"[::ffff:1.2.3.4]", "1.2.3.4", 80, false},
	};
	struct http_authority a, b;
	unsigned i;

	(void)state;
	for (i = 0; i < LEN(cases); i++) {
		assert_int_equal(http_authority_parse(span_str(cases[i].a), &a), 0);
		assert_int_equal(http_authority_parse(span_str(cases[i].b), &b), 0);
		if (http_authority_same(&a, &b, cases[i].port) != cases[i].same)
			fail_msg("%s and %s", cases[i].a, cases[i].b);
	}
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_msg_request_fields),
		cmocka_unit_test(test_msg_response_fields),
		cmocka_unit_test(test_msg_refusal_text),
		cmocka_unit_test(test_msg_reasons),
		cmocka_unit_test(test_msg_limits),
		cmocka_unit_test(test_msg_full_buffer),
		cmocka_unit_test(test_msg_retry),
		cmocka_unit_test(test_msg_token_list),
		cmocka_unit_test(test_msg_names),
		cmocka_unit_test(test_msg_authority_same),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
