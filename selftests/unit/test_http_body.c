/* selftests/unit/test_http_body.c -- body framing: which bytes are content, which framing, where the body ends, and its
 * limits. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "http/body.h"

#define LEN(a) (sizeof(a) / sizeof((a)[0]))

static struct http_head head;
static struct http_body body;
static struct http_refusal why;

static void request_begin(const char *fields, const struct http_limits *limits)
{
	static char s[256]; /* the head points into it */

	(void)snprintf(s, sizeof(s), "POST / HTTP/1.1\r\nHost: a\r\n%s\r\n", fields);
	assert_int_equal(http_request_parse(span_str(s), &http_limits_default, &head, &why),
			 strlen(s));
	http_body_request(&head, limits, &body);
}

static int response_begin(const char *line_and_fields, enum http_method asked, bool upgrade)
{
	static char s[256]; /* the head points into it */

	(void)snprintf(s, sizeof(s), "%s\r\n\r\n", line_and_fields);
	assert_int_equal(http_response_parse(span_str(s), &http_limits_default, &head, &why),
			 strlen(s));
	return http_body_response(&head, &(struct http_asked){asked, upgrade}, &http_limits_default,
				  &body, &why);
}

static void piece(const char *in, size_t framing, size_t content)
{
	struct http_piece p = {99, 99};

	assert_int_equal(http_body_next(&body, span_str(in), &p, &why), 0);
	if (p.framing != framing || p.content != content)
		fail_msg("\"%s\": %zu framing, %zu content", in, p.framing, p.content);
}

/* The pieces of a chunked body, and that the next message's bytes are left alone. */
static void test_body_chunked_pieces(void **state)
{
	(void)state;
	request_begin("Transfer-Encoding: chunked\r\n", &http_limits_default);
	assert_int_equal(body.framing, HTTP_BODY_CHUNKED);
	piece("", 0, 0);
	piece("5", 1, 0);
	piece("\r", 1, 0);
	piece("\nhe", 1, 2);
	assert_int_equal(body.left, 3);
	piece("llo\r\n3;a=b\r\nabc\r\n0\r\n\r\nGET", 0, 3);
	piece("\r\n3;a=b\r\nabc\r\n0\r\n\r\nGET", 9, 3);
	assert_false(body.done);
	piece("\r\n0\r\nX: y\r\n\r\nGET", 13, 0);
	assert_true(body.done);
	assert_int_equal(body.content, 8);
	assert_int_equal(body.overhead, 3 + 9 + 13);
	assert_int_equal(body.chunks, 3);
	piece("GET", 0, 0);
	assert_int_equal(http_body_eof(&body, &why), 0);
}

static void test_body_length(void **state)
{
	(void)state;
	request_begin("Content-Length: 5\r\n", &http_limits_default);
	assert_true(body.framing == HTTP_BODY_LENGTH && !body.done && body.left == 5);
	piece("ab", 0, 2);
	assert_int_equal(http_body_eof(&body, &why), -EBADMSG);
	assert_int_equal(why.why, HTTP_WHY_CUT_SHORT);
	assert_int_equal(why.status, 400);
	piece("cdefg", 0, 3);
	assert_true(body.done);
	piece("fg", 0, 0);
	assert_int_equal(http_body_eof(&body, &why), 0);
	request_begin("Content-Length: 0\r\n", &http_limits_default);
	assert_true(body.framing == HTTP_BODY_LENGTH && body.done);
	request_begin("", &http_limits_default);
	assert_true(body.framing == HTTP_BODY_NONE && body.done);
}

/* RFC 9112 6.3, by status and method. */
static void test_body_response_framing(void **state)
{
	static const struct {
		const char *head;
		enum http_method asked;
		bool upgrade;
		enum http_framing want;
		enum http_why why;
	} cases[] = {
		{"HTTP/1.1 200 OK", HTTP_M_GET, false, HTTP_BODY_CLOSE, HTTP_OK},
		{"HTTP/1.1 200 OK", HTTP_M_HEAD, false, HTTP_BODY_NONE, HTTP_OK},
		{"HTTP/1.1 200 OK\r\nContent-Length: 9", HTTP_M_HEAD, false, HTTP_BODY_NONE,
		 HTTP_OK},
		{"HTTP/1.1 404 No\r\nContent-Length: 9", HTTP_M_GET, false, HTTP_BODY_LENGTH,
		 HTTP_OK},
		{"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked", HTTP_M_POST, false,
		 HTTP_BODY_CHUNKED, HTTP_OK},
		{"HTTP/1.1 100 Go", HTTP_M_GET, false, HTTP_BODY_NONE, HTTP_OK},
		{"HTTP/1.1 100 Go", HTTP_M_CONNECT, false, HTTP_BODY_NONE, HTTP_OK},
		{"HTTP/1.1 199 Go", HTTP_M_GET, false, HTTP_BODY_NONE, HTTP_OK},
		{"HTTP/1.1 204 No", HTTP_M_GET, false, HTTP_BODY_NONE, HTTP_OK},
		{"HTTP/1.1 304 No\r\nContent-Length: 9", HTTP_M_GET, false, HTTP_BODY_NONE,
		 HTTP_OK},
		{"HTTP/1.1 200 OK", HTTP_M_CONNECT, false, HTTP_BODY_TUNNEL, HTTP_OK},
		{"HTTP/1.1 204 OK", HTTP_M_CONNECT, false, HTTP_BODY_TUNNEL, HTTP_OK},
		{"HTTP/1.1 299 OK\r\nContent-Length: 9", HTTP_M_CONNECT, false, HTTP_BODY_TUNNEL,
		 HTTP_WHY_CONTENT},
		{"HTTP/1.1 300 No\r\nContent-Length: 9", HTTP_M_CONNECT, false, HTTP_BODY_LENGTH,
		 HTTP_OK},
		{"HTTP/1.1 101 Up\r\nUpgrade: a\r\nConnection: upgrade", HTTP_M_GET, true,
		 HTTP_BODY_TUNNEL, HTTP_OK},
		{"HTTP/1.1 101 Up\r\nUpgrade: a\r\nConnection: upgrade", HTTP_M_GET, false,
		 HTTP_BODY_TUNNEL, HTTP_WHY_SWITCH},
		{"HTTP/1.1 101 Up", HTTP_M_HEAD, true, HTTP_BODY_TUNNEL, HTTP_WHY_SWITCH},
	};
	unsigned i;

	(void)state;
	for (i = 0; i < LEN(cases); i++) {
		int r = response_begin(cases[i].head, cases[i].asked, cases[i].upgrade);

		if (cases[i].why ? r != -EBADMSG || why.why != cases[i].why || why.status != 502
				 : r || body.framing != cases[i].want)
			fail_msg("case %u: %d, %s", i, r, http_framing_text(body.framing));
	}
}

static void test_body_until_close(void **state)
{
	(void)state;
	assert_int_equal(response_begin("HTTP/1.1 200 OK", HTTP_M_GET, false), 0);
	piece("0\r\n\r\n", 0, 5);
	assert_false(body.done);
	assert_int_equal(http_body_eof(&body, &why), 0);
	assert_int_equal(body.content, 5);
}

/* Once refused, always refused: nothing behind it can be read. */
static void test_body_refusal_stays(void **state)
{
	struct http_piece p = {};

	(void)state;
	request_begin("Transfer-Encoding: chunked\r\n", &http_limits_default);
	piece("2\r\nab", 3, 2);
	assert_int_equal(http_body_next(&body, SPAN("\rx"), &p, &why), -EBADMSG);
	assert_int_equal(why.why, HTTP_WHY_CHUNK_END);
	assert_true(span_eq(why.came, SPAN("x")));
	assert_int_equal(why.line, 0);
	assert_int_equal(http_body_next(&body, SPAN("\n0\r\n\r\n"), &p, &why), -EBADMSG);
	assert_int_equal(why.why, HTTP_WHY_CHUNK_END);
	assert_int_equal(http_body_eof(&body, &why), -EBADMSG);
	assert_int_equal(p.framing + p.content, 0);
}

static void test_body_limits(void **state)
{
	static const struct {
		const char *in;
		enum http_why why;
		unsigned status;
	} cases[] = {
		{"1;abc\r\nx\r\n1;abc\r\nx\r\n0\r\nA:b\r\n\r\n", HTTP_OK, 0},
		{"1;abc\r\nx\r\n1;abcd\r\nx\r\n", HTTP_WHY_CHUNK_EXT_LONG, 400},
		{"1;abcdefgh\r\n", HTTP_WHY_CHUNK_EXT_LONG, 400},
		{"0\r\nA:b\r\nC:\r\n\r\n", HTTP_WHY_TRAILER_LONG, 431},
		{"0\r\nA:bcde\r\n\r\n", HTTP_WHY_TRAILER_LONG, 431},
		{"00000000000000000\r\n", HTTP_WHY_CHUNK_LARGE, 400},
	};
	struct http_limits l = http_limits_default;
	unsigned i;

	(void)state;
	l.chunk_ext_max = 8;
	l.trailer_max = 6;
	l.trailer_fields = 1;
	for (i = 0; i < LEN(cases); i++) {
		struct span in = span_str(cases[i].in);
		struct http_piece p;
		int r = 0;

		request_begin("Transfer-Encoding: chunked\r\n", &l);
		while (!r && !body.done && in.n) {
			r = http_body_next(&body, in, &p, &why);
			in = span_cut(in, p.framing + p.content, in.n);
		}
		if (cases[i].why ? r != -E2BIG || why.why != cases[i].why ||
					   why.status != cases[i].status
				 : r || !body.done)
			fail_msg("case %u: %d, %s", i, r, http_why_text(why.why));
	}
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_body_chunked_pieces),
		cmocka_unit_test(test_body_length),
		cmocka_unit_test(test_body_response_framing),
		cmocka_unit_test(test_body_until_close),
		cmocka_unit_test(test_body_refusal_stays),
		cmocka_unit_test(test_body_limits),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
