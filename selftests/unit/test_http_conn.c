/* selftests/unit/test_http_conn.c -- connection rules: keep-alive, hop-by-hop fields, Expect, the websocket handshake. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "http/conn.h"

#define LEN(a) (sizeof(a) / sizeof((a)[0]))

static struct http_head req, resp;

static void parse(struct http_head *h, bool request, const char *line, const char *fields)
{
	static char bytes[2][512]; /* the heads point into them */
	char *s = bytes[request], text[HTTP_REFUSAL_TEXT];
	struct http_refusal why;
	ssize_t n;

	(void)snprintf(s, sizeof(bytes[0]), "%s\r\n%s%s\r\n", line, request ? "Host: a\r\n" : "",
		       fields);
	n = request ? http_request_parse(span_str(s), &http_limits_default, h, &why)
		    : http_response_parse(span_str(s), &http_limits_default, h, &why);
	if (n != (ssize_t)strlen(s))
		fail_msg("%s: %s", s, http_refusal_text(&why, text, sizeof(text)));
}

static void test_conn_persistent(void **state)
{
	static const struct {
		const char *version, *fields;
		bool want;
	} cases[] = {
		{"HTTP/1.1", "", true},
		{"HTTP/1.1", "Connection: close\r\n", false},
		{"HTTP/1.1", "Connection: CLOSE\r\n", false},
		{"HTTP/1.1", "Connection: x, close\r\n", false},
		{"HTTP/1.1", "Connection: x\r\nConnection: close\r\n", false},
		{"HTTP/1.1", "Connection: keep-alive\r\n", true},
		{"HTTP/1.1", "Connection: keep-alive, close\r\n", false},
		{"HTTP/1.1", "Connection: closed\r\n", true},
		{"HTTP/1.1", "Proxy-Connection: close\r\n", true},
		{"HTTP/1.0", "", false},
		{"HTTP/1.0", "Connection: Keep-Alive\r\n", true},
		{"HTTP/1.0", "Connection: keep-alive, close\r\n", false},
		{"HTTP/1.0", "Keep-Alive: timeout=5\r\n", false},
		{"HTTP/1.0", "Proxy-Connection: keep-alive\r\n", false},
	};
	char line[64];
	unsigned i;

	(void)state;
	for (i = 0; i < LEN(cases); i++) {
		(void)snprintf(line, sizeof(line), "GET / %s", cases[i].version);
		parse(&req, true, line, cases[i].fields);
		(void)snprintf(line, sizeof(line), "%s 200 OK", cases[i].version);
		parse(&resp, false, line, cases[i].fields);
		if (http_persistent(&req) != cases[i].want ||
		    http_persistent(&resp) != cases[i].want)
			fail_msg("%s %s", cases[i].version, cases[i].fields);
		parse(&req, true, "GET / HTTP/1.1", "");
		assert_int_equal(http_persists(&req, &resp, HTTP_BODY_LENGTH), cases[i].want);
		assert_false(http_persists(&req, &resp, HTTP_BODY_CLOSE));
		assert_false(http_persists(&req, &resp, HTTP_BODY_TUNNEL));
		parse(&req, true, "GET / HTTP/1.1", "Connection: close\r\n");
		assert_false(http_persists(&req, &resp, HTTP_BODY_CHUNKED));
	}
}

static void test_conn_hop_by_hop(void **state)
{
	static const struct {
		const char *name;
		bool hop;
	} want[] = {
		{"Host", false},
		{"Connection", true},
		{"x-mine", true},
		{"X-Other", false},
		{"Keep-Alive", true},
		{"Proxy-Connection", true},
		{"TE", true},
		{"Trailer", true},
		{"Upgrade", true},
		{"Transfer-Encoding", true},
		{"Proxy-Authorization", true},
		{"Authorization", false},
		{"Cookie", false},
		{"X-Second", true},
	};
	unsigned i;

	(void)state;
	parse(&req, true, "POST / HTTP/1.1",
	      "Connection: X-Mine, Upgrade\r\nx-mine: 1\r\nX-Other: 1\r\nKeep-Alive: 1\r\n"
	      "Proxy-Connection: a\r\nTE: trailers\r\nTrailer: a\r\nUpgrade: b\r\n"
	      "Transfer-Encoding: chunked\r\nProxy-Authorization: a b\r\n"
	      "Authorization: a b\r\nCookie: a=b\r\nX-Second: 1\r\nConnection: x-second\r\n");
	for (i = 0; i < LEN(want); i++) {
		const struct http_field *f =
			http_field_named(&req, span_str(want[i].name), 0, NULL);

		assert_non_null(f);
		if (http_hop_by_hop(&req, f) != want[i].hop)
			fail_msg("%s", want[i].name);
	}
}

static void test_conn_expect(void **state)
{
	static const struct {
		const char *line, *fields;
		enum http_expect want;
	} cases[] = {
		{"PUT / HTTP/1.1", "", HTTP_EXPECT_NONE},
		{"PUT / HTTP/1.1", "Expect: 100-continue\r\nContent-Length: 1\r\n",
		 HTTP_EXPECT_CONTINUE},
		{"PUT / HTTP/1.1", "Expect: 100-Continue\r\nTransfer-Encoding: chunked\r\n",
		 HTTP_EXPECT_CONTINUE},
		{"PUT / HTTP/1.1", "Expect: 100-continue\r\nContent-Length: 0\r\n",
		 HTTP_EXPECT_NONE},
		{"PUT / HTTP/1.1", "Expect: 100-continue\r\n", HTTP_EXPECT_NONE},
		{"PUT / HTTP/1.0", "Expect: 100-continue\r\nContent-Length: 1\r\n",
		 HTTP_EXPECT_NONE},
		{"PUT / HTTP/1.1", "Expect: 200-ok\r\nContent-Length: 1\r\n", HTTP_EXPECT_UNKNOWN},
		{"PUT / HTTP/1.1", "Expect: 100-continue, x\r\nContent-Length: 1\r\n",
		 HTTP_EXPECT_UNKNOWN},
		{"PUT / HTTP/1.1", "Expect:\r\n", HTTP_EXPECT_UNKNOWN},
	};
	unsigned i;

	(void)state;
	for (i = 0; i < LEN(cases); i++) {
		parse(&req, true, cases[i].line, cases[i].fields);
		if (http_expect(&req) != cases[i].want)
			fail_msg("case %u: %d", i, http_expect(&req));
	}
}

#define KEY	"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
#define VERSION "Sec-WebSocket-Version: 13\r\n"
#define UP	"Upgrade: websocket\r\nConnection: Upgrade\r\n"

static void test_conn_websocket_request(void **state)
{
	static const struct {
		const char *line, *fields;
		enum http_websocket want;
	} cases[] = {
		{"GET / HTTP/1.1", UP KEY VERSION, HTTP_WS_OK},
		{"GET / HTTP/1.1",
		 "Upgrade: WebSocket\r\nConnection: keep-alive, upgrade\r\n" KEY VERSION,
		 HTTP_WS_OK},
		{"GET / HTTP/1.1", UP KEY VERSION "Content-Length: 0\r\n", HTTP_WS_OK},
		{"GET / HTTP/1.1", "", HTTP_WS_NONE},
		{"GET / HTTP/1.1", "Upgrade: h2c\r\nConnection: Upgrade\r\n", HTTP_WS_NONE},
		{"GET / HTTP/1.1", "Upgrade: \"websocket\"\r\nConnection: Upgrade\r\n",
		 HTTP_WS_NONE},
		{"GET / HTTP/1.1", KEY VERSION, HTTP_WS_NONE},
		{"GET / HTTP/1.1", "Upgrade: websocket\r\n" KEY VERSION, HTTP_WS_BAD},
		{"GET / HTTP/1.1", "Upgrade: websocket, h2c\r\nConnection: Upgrade\r\n" KEY VERSION,
		 HTTP_WS_BAD},
		{"GET / HTTP/1.1", "Upgrade: h2c\r\n" UP KEY VERSION, HTTP_WS_BAD},
		{"POST / HTTP/1.1", UP KEY VERSION, HTTP_WS_BAD},
		{"GET / HTTP/1.0", UP KEY VERSION, HTTP_WS_BAD},
		{"GET / HTTP/1.1", UP KEY VERSION "Content-Length: 1\r\n", HTTP_WS_BAD},
		{"GET / HTTP/1.1", UP KEY VERSION "Transfer-Encoding: chunked\r\n", HTTP_WS_BAD},
		{"GET / HTTP/1.1", UP VERSION, HTTP_WS_BAD},
		{"GET / HTTP/1.1", UP KEY, HTTP_WS_BAD},
		{"GET / HTTP/1.1", UP KEY VERSION VERSION, HTTP_WS_BAD},
		{"GET / HTTP/1.1", UP KEY "Sec-WebSocket-Version: 8\r\n", HTTP_WS_VERSION},
		{"GET / HTTP/1.1", UP KEY "Sec-WebSocket-Version: 013\r\n", HTTP_WS_VERSION},
		{"GET / HTTP/1.1", UP VERSION "Sec-WebSocket-Key:\r\n", HTTP_WS_BAD},
		{"GET / HTTP/1.1", UP VERSION "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ\r\n",
		 HTTP_WS_BAD},
		{"GET / HTTP/1.1", UP VERSION "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZR==\r\n",
		 HTTP_WS_BAD},
		{"GET / HTTP/1.1", UP VERSION "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ=A\r\n",
		 HTTP_WS_BAD},
		{"GET / HTTP/1.1", UP VERSION "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQAA\r\n",
		 HTTP_WS_BAD},
		{"GET / HTTP/1.1", UP VERSION "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==A===\r\n",
		 HTTP_WS_BAD},
		{"GET / HTTP/1.1", UP VERSION "Sec-WebSocket-Key: dGhl IHNhbXBsZSBub25jZQ=\r\n",
		 HTTP_WS_BAD},
	};
	unsigned i;

	(void)state;
	for (i = 0; i < LEN(cases); i++) {
		parse(&req, true, cases[i].line, cases[i].fields);
		if (http_websocket_request(&req) != cases[i].want)
			fail_msg("case %u: %d", i, http_websocket_request(&req));
	}
}

#define ACCEPT "Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n"

static void test_conn_websocket_response(void **state)
{
	static const struct {
		const char *line, *fields;
		enum http_websocket want;
	} cases[] = {
		{"HTTP/1.1 101 Switching Protocols", UP ACCEPT, HTTP_WS_OK},
		{"HTTP/1.1 200 OK", UP ACCEPT, HTTP_WS_NONE},
		{"HTTP/1.1 101 Switching Protocols", "Upgrade: h2c\r\nConnection: upgrade\r\n",
		 HTTP_WS_NONE},
		{"HTTP/1.1 101 Switching Protocols", UP, HTTP_WS_BAD},
		{"HTTP/1.1 101 Switching Protocols", "Upgrade: websocket\r\n" ACCEPT, HTTP_WS_BAD},
		{"HTTP/1.0 101 Switching Protocols", UP ACCEPT, HTTP_WS_BAD},
		{"HTTP/1.1 101 Switching Protocols",
		 UP "Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo\r\n", HTTP_WS_BAD},
		{"HTTP/1.1 101 Switching Protocols",
		 UP "Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOp=\r\n", HTTP_WS_BAD},
	};
	unsigned i;

	(void)state;
	for (i = 0; i < LEN(cases); i++) {
		parse(&resp, false, cases[i].line, cases[i].fields);
		if (http_websocket_response(&resp) != cases[i].want)
			fail_msg("case %u: %d", i, http_websocket_response(&resp));
	}
}

static void test_conn_asked(void **state)
{
	(void)state;
	parse(&req, true, "GET / HTTP/1.1", UP);
	assert_true(http_asked(&req).upgrade && http_asked(&req).method == HTTP_M_GET);
	parse(&req, true, "HEAD / HTTP/1.1", "Upgrade: websocket\r\n");
	assert_true(!http_asked(&req).upgrade && http_asked(&req).method == HTTP_M_HEAD);
	parse(&req, true, "GET / HTTP/1.1", "Connection: upgrade\r\n");
	assert_false(http_asked(&req).upgrade);
	parse(&req, true, "GET / HTTP/1.0", UP);
	assert_false(http_asked(&req).upgrade);
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_conn_persistent),
		cmocka_unit_test(test_conn_hop_by_hop),
		cmocka_unit_test(test_conn_expect),
		cmocka_unit_test(test_conn_websocket_request),
		cmocka_unit_test(test_conn_websocket_response),
		cmocka_unit_test(test_conn_asked),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
