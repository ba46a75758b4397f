/* selftests/unit/test_http_write.c -- the writer: what it writes is what the parser reads, and nothing else can be made to
 * come out. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "http/write.h"

#define LEN(a) (sizeof(a) / sizeof((a)[0]))

static uint8_t buf[4096];
static struct http_out out;
static struct http_refusal why;

static void begin(void)
{
	http_out_init(&out, buf, sizeof(buf));
}

static void is_written(const char *want)
{
	ssize_t n = http_out_end(&out, &why);

	if (n != (ssize_t)strlen(want) || memcmp(buf, want, (size_t)n) != 0)
		fail_msg("%zd: %.*s", n, n > 0 ? (int)n : 0, (char *)buf);
}

static void test_write_request(void **state)
{
	(void)state;
	begin();
	http_out_request(&out, SPAN("POST"), SPAN("/a?b"));
	http_out_field(&out, SPAN("Host"), SPAN("example.com"));
	http_out_field(&out, SPAN("X-Empty"), SPAN(""));
	http_out_length(&out, UINT64_C(9223372036854775807));
	is_written("POST /a?b HTTP/1.1\r\nHost: example.com\r\nX-Empty: \r\n"
		   "Content-Length: 9223372036854775807\r\n\r\n");
}

static void test_write_response(void **state)
{
	(void)state;
	begin();
	http_out_response(&out, 404, SPAN("Not Found"));
	http_out_field(&out, SPAN("Connection"), SPAN("close"));
	http_out_chunked(&out);
	is_written("HTTP/1.1 404 Not Found\r\nConnection: close\r\n"
		   "Transfer-Encoding: chunked\r\n\r\n");
	begin();
	http_out_response(&out, 204, SPAN(""));
	is_written("HTTP/1.1 204 \r\n\r\n");
}

/* One bad value in an otherwise good head, in each place. */
static void test_write_injection(void **state)
{
	static const struct {
		const char *method, *target, *name, *value;
	} cases[] = {
		{"GET / HTTP/1.1\r\nX: y\r\n\r\nGET", "/", "X", "a"},
		{"GET ", "/", "X", "a"},
		{"", "/", "X", "a"},
		{"G\nT", "/", "X", "a"},
		{"get", "/", "X", "a"},
		{"GET", "/ HTTP/1.1\r\nX: y", "X", "a"},
		{"GET", "/a b", "X", "a"},
		{"GET", "/a\n", "X", "a"},
		{"GET", "", "X", "a"},
		{"GET", "*", "X", "a"},
		{"GET", "/a#b", "X", "a"},
		{"GET", "http://other/", "X", "a"},
		{"GET", "/", "X: y\r\nZ", "a"},
		{"GET", "/", "X ", "a"},
		{"GET", "/", " X", "a"},
		{"GET", "/", "", "a"},
		{"GET", "/", "X:", "a"},
		{"GET", "/", "X", "a\r\nSet-Cookie: b"},
		{"GET", "/", "X", "a\nb"},
		{"GET", "/", "X", "a\rb"},
		{"GET", "/", "X", "a\r\n b"},
		{"GET", "/", "X", "a\r\n\r\nGET / HTTP/1.1"},
		{"GET", "/", "X", "a\x01"},
		{"GET", "/", "X", "a\x7f"},
		{"GET", "/", "X", " a"},
		{"GET", "/", "X", "a\t"},
		{"GET", "/", "Content-Length", "5"},
		{"GET", "/", "content-length", "5"},
		{"GET", "/", "Transfer-Encoding", "chunked"},
		{"GET", "/", "Content_Length", "5"},
		{"GET", "/", "Host", "second"},
		{"GET", "/", "Connection", "close,"},
		{"GET", "/", "Connection", "Host"},
	};
	unsigned i;

	(void)state;
	for (i = 0; i < LEN(cases); i++) {
		begin();
		http_out_request(&out, span_str(cases[i].method), span_str(cases[i].target));
		http_out_field(&out, SPAN("Host"), SPAN("a"));
		http_out_field(&out, span_str(cases[i].name), span_str(cases[i].value));
		if (http_out_end(&out, &why) != -EINVAL)
			fail_msg("case %u was written: %.*s", i, (int)out.n, (char *)buf);
	}
	begin();
	http_out_request(&out, SPAN("GET"), SPAN("/"));
	http_out_field(&out, SPAN("Host"), SPAN("a"));
	http_out_field(&out, SPAN("X"), span_of("a\0b", 3));
	assert_int_equal(http_out_end(&out, &why), -EINVAL);
}

static void test_write_response_injection(void **state)
{
	static const struct {
		unsigned status;
		const char *reason, *name, *value;
	} cases[] = {
		{99, "a", "X", "a"},	      {600, "a", "X", "a"},	{1200, "a", "X", "a"},
		{200, "a\r\nX: y", "X", "a"}, {200, "a\n", "X", "a"},	{200, "a\r", "X", "a"},
		{200, "\x1b", "X", "a"},      {200, "a", "X", "a\r\n"}, {200, "a", "X\r", "a"},
	};
	unsigned i;

	(void)state;
	for (i = 0; i < LEN(cases); i++) {
		begin();
		http_out_response(&out, cases[i].status, span_str(cases[i].reason));
		http_out_field(&out, span_str(cases[i].name), span_str(cases[i].value));
		if (http_out_end(&out, &why) != -EINVAL)
			fail_msg("case %u was written", i);
	}
}

/* What the parser has against the whole is told. */
static void test_write_whole(void **state)
{
	(void)state;
	begin();
	http_out_request(&out, SPAN("GET"), SPAN("/"));
	assert_int_equal(http_out_end(&out, &why), -EINVAL);
	assert_int_equal(why.why, HTTP_WHY_HOST_MISSING);
	begin();
	http_out_response(&out, 204, SPAN("No Content"));
	http_out_chunked(&out);
	assert_int_equal(http_out_end(&out, &why), -EINVAL);
	assert_int_equal(why.why, HTTP_WHY_CONTENT);
	begin();
	http_out_response(&out, 200, SPAN("OK"));
	http_out_length(&out, UINT64_C(1) << 63);
	assert_int_equal(http_out_end(&out, &why), -EINVAL);
	begin();
	http_out_request(&out, SPAN("GET"), SPAN("http://a/"));
	http_out_field(&out, SPAN("Host"), SPAN("b"));
	assert_int_equal(http_out_end(&out, &why), -EINVAL);
	assert_int_equal(why.why, HTTP_WHY_HOST_DIFFERS);
}

static void test_write_order(void **state)
{
	(void)state;
	begin();
	http_out_field(&out, SPAN("Host"), SPAN("a"));
	http_out_request(&out, SPAN("GET"), SPAN("/"));
	assert_int_equal(http_out_end(&out, &why), -EPROTO);
	begin();
	http_out_request(&out, SPAN("GET"), SPAN("/"));
	http_out_response(&out, 200, SPAN("OK"));
	assert_int_equal(http_out_end(&out, &why), -EPROTO);
	begin();
	http_out_response(&out, 200, SPAN("OK"));
	http_out_length(&out, 1);
	http_out_chunked(&out);
	assert_int_equal(http_out_end(&out, &why), -EPROTO);
	begin();
	assert_int_equal(http_out_end(&out, &why), -EPROTO);
	begin();
	http_out_length(&out, 1);
	assert_int_equal(http_out_end(&out, &why), -EPROTO);
	begin();
	http_out_response(&out, 200, SPAN("OK"));
	assert_true(http_out_end(&out, &why) > 0);
	http_out_field(&out, SPAN("X"), SPAN("late"));
	assert_int_equal(http_out_end(&out, &why), -EPROTO);
}

/* Every buffer that is too small says so, and no byte is written behind its end. */
static void test_write_bounds(void **state)
{
	static const char want[] =
		"GET / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n";
	size_t cap;

	(void)state;
	for (cap = 0; cap <= sizeof(want) - 1; cap++) {
		uint8_t *p = malloc(cap ? cap : 1);
		ssize_t n;

		assert_non_null(p);
		http_out_init(&out, p, cap);
		http_out_request(&out, SPAN("GET"), SPAN("/"));
		http_out_field(&out, SPAN("Host"), SPAN("a"));
		http_out_chunked(&out);
		n = http_out_end(&out, &why);
		assert_int_equal(n, cap == sizeof(want) - 1 ? (ssize_t)cap : -E2BIG);
		if (n > 0)
			assert_memory_equal(p, want, cap);
		free(p);
	}
}

/* What a relay passes on: end-to-end fields in their order, and its own Host and framing. */
static void test_write_relay(void **state)
{
	static const char in[] =
		"POST /x HTTP/1.1\r\nHost: outside\r\nAccept: a/b\r\nConnection: X-Hop, "
		"keep-alive\r\n"
		"X-Hop: 1\r\nTE: trailers\r\nAuthorization: Basic YTpi\r\nUpgrade: h2c\r\n"
		"Content-Length: 5\r\nProxy-Authorization: Basic YTpi\r\nX-Last:  z \r\n\r\n";
	static struct http_head h;

	(void)state;
	assert_true(http_request_parse(span_str(in), &http_limits_default, &h, &why) > 0);
	begin();
	http_out_request(&out, h.method_text, SPAN("/y"));
	http_out_field(&out, SPAN("Host"), SPAN("inside"));
	http_out_fields(&out, &h, HTTP_H_AUTHORIZATION);
	http_out_length(&out, h.length);
	is_written("POST /y HTTP/1.1\r\nHost: inside\r\nAccept: a/b\r\nX-Last: z\r\n"
		   "Content-Length: 5\r\n\r\n");
}

/* Chunks that were written are read again, whatever their size. */
static void test_write_chunks(void **state)
{
	static const uint64_t sizes[] = {1, 15, 16, 255, 4096, UINT32_MAX, INT64_MAX - 0xffffffff};
	static const char head[] = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n";
	static struct http_head h;
	struct http_body b;
	struct http_piece p;
	char text[HTTP_CHUNK_MAX];
	ssize_t n;
	unsigned i;

	(void)state;
	assert_true(http_response_parse(span_str(head), &http_limits_default, &h, &why) > 0);
	for (i = 0; i < LEN(sizes); i++) {
		assert_int_equal(http_body_response(&h, &(struct http_asked){HTTP_M_GET, false},
						    &http_limits_default, &b, &why),
				 0);
		n = http_chunk_begin(text, sizeof(text), sizes[i]);
		assert_true(n > 0);
		assert_int_equal(http_body_next(&b, span_of(text, (size_t)n), &p, &why), 0);
		assert_true(p.framing == (size_t)n && b.left == sizes[i]);
		b.left = 1; /* as if the rest had passed */
		assert_int_equal(http_body_next(&b, SPAN("x"), &p, &why), 0);
		n = http_chunk_end(text, sizeof(text));
		assert_int_equal(http_body_next(&b, span_of(text, (size_t)n), &p, &why), 0);
		n = http_chunk_last(text, sizeof(text));
		assert_int_equal(http_body_next(&b, span_of(text, (size_t)n), &p, &why), 0);
		assert_true(b.done && p.framing == (size_t)n);
	}
	assert_int_equal(http_chunk_begin(text, sizeof(text), 0), -EINVAL);
	assert_int_equal(http_chunk_begin(text, sizeof(text), UINT64_MAX), -EINVAL);
	assert_int_equal(http_chunk_begin(text, 2, 1), -E2BIG);
	assert_int_equal(http_chunk_end(text, 1), -E2BIG);
	assert_int_equal(http_chunk_last(text, 4), -E2BIG);
	assert_int_equal(http_chunk_begin(text, sizeof(text), INT64_MAX), HTTP_CHUNK_MAX);
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_write_request),
		cmocka_unit_test(test_write_response),
		cmocka_unit_test(test_write_injection),
		cmocka_unit_test(test_write_response_injection),
		cmocka_unit_test(test_write_whole),
		cmocka_unit_test(test_write_order),
		cmocka_unit_test(test_write_bounds),
		cmocka_unit_test(test_write_relay),
		cmocka_unit_test(test_write_chunks),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
