/* selftests/unit/test_gate_http.c -- the HTTP gate: verdicts, reasons, replies and what is forwarded for each kind of request, the same at
 * every split of the bytes; tokens that are good, forged, over, of another domain or key.
 *
 * In: tables; a stream in the place of stream_gate.c. In them "{G}" stands for a good token, "{X}" an expired one, "{F}" a forged one, "{O}" one of
 * another domain, "{K}" one of an unknown key, "{2}" a good one of the second key; "^" is where what is forwarded begins, "~" where it ends. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "user/gate_http.h"
#include "user/http_token_sign.h"

#define NOW  1800000000ULL
#define N(a) (sizeof(a) / sizeof((a)[0]))

#define DOM	"/ZXhhbXBsZS5jb20" /* example.com */
#define DOM_UP	"/RVhBTVBMRS5jb20" /* EXAMPLE.com */
#define DOM_NET "/ZXhhbXBsZS5uZXQ" /* example.net, served too */
#define DOM_ORG "/b3RoZXIub3Jn"	   /* other.org, not served */
#define RELAY \
	"/ZXhhbXBsZS5jb20vaHR0cHMvdS5pbi5leGFtcGxlLmNvbS84NDQz/cucm-uds/users" /* u.in.example.com:8443 */
#define H      " HTTP/1.1\r\nHost: web.example.com:8443\r\n"
#define GET(p) "GET " p H
#define AUTH   "Authorization: Basic YTpi\r\n"
#define E      "\r\n"

static struct http_token_signer *signers[3]; /* the third one's key nobody told */
static struct http_token_keys *keys;
static bool no_keys;
static char tokens[128][HTTP_TOKEN_TEXT_MAX]; /* by their letter */

/* ---- tokens ---- */

static struct http_token_signer *signer_new(void)
{
	EVP_PKEY *key = EVP_PKEY_Q_keygen(NULL, NULL, "ED25519");
	struct http_token_signer *s = NULL;
	BIO *bio = BIO_new(BIO_s_mem());
	char why[256] = "", *pem;
	long n;

	assert_int_equal(PEM_write_bio_PrivateKey(bio, key, NULL, NULL, 0, NULL, NULL), 1);
	n = BIO_get_mem_data(bio, &pem);
	assert_int_equal(http_token_signer_new(span_of(pem, (size_t)n), &s, why, sizeof(why)), 0);
	BIO_free(bio);
	EVP_PKEY_free(key);
	return s;
}

static void token_make(char letter, unsigned signer, const char *domain, uint64_t from)
{
	struct http_token t = {.user = "alice", .issued_s = from, .expires_s = from + 28800};

	snprintf(t.domain, sizeof(t.domain), "%s", domain);
	assert_true(http_token_sign(signers[signer], &t, tokens[(int)letter]) > 0);
}

static int setup(void **state)
{
	char *forged;
	unsigned i;

	(void)state;
	if (http_token_keys_new(&keys))
		return -1;
	for (i = 0; i < N(signers); i++) {
		signers[i] = signer_new();
		if (i < 2 &&
		    http_token_keys_add(keys, (struct span){},
					span_of(http_token_signer_key(signers[i])->public_key, 32)))
			return -1;
	}
	token_make('G', 0, "example.com", NOW - 60);
	token_make('2', 1, "Example.com", NOW - 60);
	token_make('N', 0, "example.net", NOW - 60);
	token_make('X', 0, "example.com", NOW - 30000);
	token_make('Y', 0, "example.com", NOW + 3000);
	token_make('O', 0, "example.net", NOW - 60);
	token_make('K', 2, "example.com", NOW - 60);
	token_make('F', 0, "example.com", NOW - 60);
	forged = tokens['F'] + strlen(tokens['F']) - 10; /* in the signature; it stays base64url */
	*forged = *forged == 'A' ? 'B' : 'A';
	return 0;
}

static int teardown(void **state)
{
	unsigned i;

	(void)state;
	for (i = 0; i < N(signers); i++)
		http_token_signer_free(signers[i]);
	http_token_keys_free(keys);
	return 0;
}

static bool served(void *arg, struct span d)
{
	(void)arg;
	return span_ieq(d, SPAN("example.com")) || span_ieq(d, SPAN("example.net"));
}

static enum http_token_verdict judge(void *arg, struct span domain, struct span text)
{
	struct http_token t;

	(void)arg;
	return no_keys ? TOKEN_VERDICTS : http_token_check(keys, text, domain, NOW, &t);
}

static struct gate_http_config config(void)
{
	return (struct gate_http_config){
		.limits = http_limits_default, .requests_max = 5, .served = served, .token = judge};
}

/* ---- a stream ---- */

struct seen {
	char events
		[512]; /* a line a verdict: "forward DOMAIN", "reply STATUS REASON", "close STATUS REASON" */
	char forwarded[16384];
	size_t n;
	bool closed, begun;
};

static void note(struct seen *s, const char *what, const char *a, const char *b)
{
	size_t at = strlen(s->events);

	assert_true((size_t)snprintf(s->events + at, sizeof(s->events) - at, "%s%s %s%s%s",
				     at ? "|" : "", what, a, *b ? " " : "",
				     b) < sizeof(s->events) - at);
}

/* What the edge writes is HTTP, whole, and says that it closes if it does. */
static void note_reply(struct seen *s, const struct gate_out *out, bool closes)
{
	struct http_refusal why;
	struct http_head h;
	char status[8] = "-";
	ssize_t n;

	if (out->reply_n) {
		n = http_response_parse(span_of(out->reply, out->reply_n), &http_limits_default, &h,
					&why);
		assert_true(n > 0);
		assert_true(h.has_length);
		assert_true((size_t)n + h.length == out->reply_n || (size_t)n == out->reply_n);
		assert_int_equal(h.says_close, closes);
		assert_int_equal(h.status == 401,
				 http_field_find(&h, HTTP_H_WWW_AUTHENTICATE, 0, NULL) != NULL);
		assert_int_equal(h.status == 429 || h.status == 503,
				 http_field_find(&h, HTTP_H_RETRY_AFTER, 0, NULL) != NULL);
		snprintf(status, sizeof(status), "%u", h.status);
	}
	note(s, closes ? "close" : "reply", status, gate_reason_name(out->reason));
}

/* All of @in there is so far, from *at on. */
static void turn(struct gate_http *g, const struct gate_http_config *c, struct span in, size_t *at,
		 struct seen *s)
{
	static struct gate_out out, again;
	enum gate_verdict v;

	while (!s->closed) {
		v = gate_http_next(g, c, span_cut(in, *at, in.n), &out);
		assert_true(out.used <= in.n - *at);
		assert_true(v == GATE_MORE || v == GATE_CLOSE || out.used);
		if (v == GATE_MORE) {
			s->begun = out.begun;
			return;
		}
		if (v == GATE_FORWARD) {
			/* asked again, as a stream that waits for its core does, it says the same */
			assert_int_equal(gate_http_next(g, c, span_cut(in, *at, in.n), &again), v);
			assert_int_equal(again.used, out.used);
			assert_true(span_eq(again.forward, out.forward));
			assert_true(span_eq(again.domain, out.domain) &&
				    again.may_admit == out.may_admit);
			gate_http_sent(g);
			if (out.domain.n) {
				char d[256];

				snprintf(d, sizeof(d), "%.*s", (int)out.domain.n,
					 (const char *)out.domain.p);
				note(s, "forward", d, "");
				assert_true(out.may_admit);
			}
			assert_ptr_equal(out.forward.p, in.p + *at);
			assert_int_equal(out.forward.n, out.used);
			assert_true(s->n + out.forward.n <= sizeof(s->forwarded));
			memcpy(s->forwarded + s->n, out.forward.p, out.forward.n);
			s->n += out.forward.n;
			assert_int_equal(out.reply_n, 0);
		} else {
			assert_true(out.reason != GATE_OK);
			note_reply(s, &out, v == GATE_CLOSE);
			s->closed = v == GATE_CLOSE;
		}
		*at += out.used;
	}
}

/* Up to @split at once, then the rest, or (0) byte by byte. */
static void feed(struct span in, size_t split, struct seen *s)
{
	const struct gate_http_config c = config();
	struct gate_http g = {};
	size_t at = 0, end = split ? split : 1;

	memset(s, 0, sizeof(*s));
	for (; end < in.n; end = split ? in.n : end + 1)
		turn(&g, &c, span_cut(in, 0, end), &at, s);
	turn(&g, &c, in, &at, s);
}

/* @text with its tokens in their places; *from, *to: what is forwarded: between the marks, or all, or none without "forward" in @events. */
static size_t expand(const char *text, const char *events, char *out, size_t max, size_t *from,
		     size_t *to)
{
	size_t n = 0;

	*from = 0;
	*to = SIZE_MAX;
	for (; *text; text++) {
		if (text[0] == '{' && text[2] == '}') {
			n += (size_t)snprintf(out + n, max - n, "%s", tokens[(int)text[1]]);
			text += 2;
		} else if (*text == '~') {
			*to = n;
		} else if (*text == '^') {
			*from = n;
		} else {
			out[n++] = *text;
		}
		assert_true(n < max);
	}
	if (*to == SIZE_MAX)
		*to = strstr(events, "forward") ? n : 0;
	return n;
}

struct row {
	const char *name, *in, *events;
};

static void check(const struct row *r)
{
	static struct seen s;
	char in[16384];
	size_t from, to, n = expand(r->in, r->events, in, sizeof(in), &from, &to), split;

	for (split = 0; split <= n; split += split < 120 || split + 120 > n ? 1 : 37) {
		feed(span_of(in, n), split, &s);
		if (strcmp(s.events, r->events) != 0)
			fail_msg("%s, split at %zu: wanted \"%s\", got \"%s\"", r->name, split,
				 r->events, s.events);
		if (s.n != to - from || memcmp(s.forwarded, in + from, s.n) != 0)
			fail_msg("%s, split at %zu: %zu bytes forwarded, wanted %zu", r->name,
				 split, s.n, to - from);
	}
}

static void check_all(const struct row *rows, size_t n)
{
	size_t i;

	for (i = 0; i < n; i++)
		check(&rows[i]);
}

/* ---- the tables ---- */

static void test_gate_http_log_on(void **state)
{
	static const struct row rows[] = {
		{"configuration, no password yet",
		 GET(DOM "/get_edge_config?service_name=_cisco-uds") E, "forward example.com"},
		{"the same with a password and a slash", GET(DOM "/get_edge_config/") AUTH E,
		 "forward example.com"},
		{"domain in large letters", GET(DOM_UP "/get_edge_config") E,
		 "forward example.com"},
		{"another served domain", GET(DOM_NET "/get_edge_config") E, "forward example.net"},
		{"sign-on question", GET(DOM "/get_edge_sso?email=a") E, "forward example.com"},
		{"well-known, by the Host's name", GET("/.well-known/sallyport") E,
		 "forward example.com"},
		{"well-known, the domain itself",
		 "GET /.well-known/sallyport HTTP/1.1\r\nHost: EXAMPLE.net\r\n\r\n",
		 "forward EXAMPLE.net"},
		{"well-known, nobody's",
		 "GET /.well-known/sallyport HTTP/1.1\r\nHost: badexample.com\r\n\r\n",
		 "reply 404 no-domain"},
		{"well-known, an address",
		 "GET /.well-known/sallyport HTTP/1.1\r\nHost: [2001:db8::1]:8443\r\n\r\n",
		 "reply 404 no-domain"},
		{"relay with a password", GET(RELAY) AUTH E, "forward example.com"},
		{"relay with nothing", GET(RELAY) E, "reply 401 no-token"},
		{"and then a password", GET(RELAY) E "^" GET(RELAY) AUTH E,
		 "reply 401 no-token|forward example.com"},
		{"HEAD with nothing", "HEAD " RELAY H E, "reply 401 no-token"},
		{"nothing, and it closes", GET(RELAY) "Connection: close\r\n" E,
		 "close 401 no-token"},
		{"nothing, in HTTP/1.0", "GET " RELAY " HTTP/1.0\r\n\r\n", "close 401 no-token"},
		{"nothing, with a body", "POST " RELAY H "Content-Length: 3\r\n" E "abc",
		 "close 401 no-token"},
		{"nothing, with a chunked body",
		 "POST " RELAY H "Transfer-Encoding: chunked\r\n" E "0\r\n\r\n",
		 "close 401 no-token"},
		{"a CRLF ahead", "\r\n" GET(RELAY) AUTH E, "forward example.com"},
		{"absolute form", "GET https://web.example.com:8443" RELAY H AUTH E,
		 "forward example.com"},
		{"not served", GET(DOM_ORG "/get_edge_config") AUTH E, "reply 403 unserved-domain"},
		{"three of them",
		 GET(DOM_ORG "/get_edge_config") E GET("/") E GET(DOM_ORG "/get_edge_sso") E,
		 "reply 403 unserved-domain|reply 404 no-domain|close 403 unserved-domain"},
		{"no path of ours", GET("/index.html") E, "reply 404 no-domain"},
		{"a domain alone", GET(DOM) E, "reply 404 no-domain"},
		{"OPTIONS *", "OPTIONS * HTTP/1.1\r\nHost: x\r\n\r\n", "reply 404 no-domain"},
		{"CONNECT", "CONNECT a.example.com:443 HTTP/1.1\r\nHost: a.example.com:443\r\n\r\n",
		 "close 405 no-domain"},
	};

	(void)state;
	check_all(rows, N(rows));
}

#define COOKIE(t) "Cookie: a=1; X-Auth={" t "}; b=2\r\n"

static void test_gate_http_tokens(void **state)
{
	static const struct row rows[] = {
		{"good", GET(RELAY) COOKIE("G") E, "forward example.com"},
		{"good, of the second key", GET(RELAY) COOKIE("2") E, "forward example.com"},
		{"good, for the configuration", GET(DOM "/get_edge_config") COOKIE("G") E,
		 "forward example.com"},
		{"forged", GET(RELAY) COOKIE("F") E, "reply 401 token-forged"},
		{"forged, with a password", GET(RELAY) COOKIE("F") AUTH E,
		 "reply 401 token-forged"},
		{"forged, where none is needed", GET(DOM "/get_edge_sso") COOKIE("F") E,
		 "reply 401 token-forged"},
		{"over", GET(RELAY) COOKIE("X") E, "reply 401 token-expired"},
		{"over, for the configuration", GET(DOM "/get_edge_config") COOKIE("X") E,
		 "reply 401 token-expired"},
		{"over, with a password", GET(RELAY) COOKIE("X") AUTH E, "forward example.com"},
		{"not begun", GET(RELAY) COOKIE("Y") E, "reply 401 token-expired"},
		{"another domain's", GET(RELAY) COOKIE("O") E, "reply 401 token-other-domain"},
		{"another domain's, with a password", GET(RELAY) COOKIE("O") AUTH E,
		 "forward example.com"},
		{"that domain's own", GET(DOM_NET "/get_edge_config") COOKIE("N") E,
		 "forward example.net"},
		{"unknown key", GET(RELAY) COOKIE("K") E, "reply 401 token-unknown-key"},
		{"unknown key, with a password", GET(RELAY) COOKIE("K") AUTH E,
		 "forward example.com"},
		{"no token at all", GET(RELAY) "Cookie: X-Auth=6f0c\r\n" E,
		 "reply 401 token-unknown-key"},
		{"two cookies", GET(RELAY) "Cookie: X-Auth={G}; X-Auth={G}\r\n" E,
		 "close 400 malformed"},
		{"two fields", GET(RELAY) COOKIE("G") "Cookie: c=1\r\n" E, "close 400 malformed"},
		{"an empty one", GET(RELAY) "Cookie: X-Auth=\r\n" E, "close 400 malformed"},
		{"over, then a good one", GET(RELAY) COOKIE("X") E "^" GET(RELAY) COOKIE("G") E,
		 "reply 401 token-expired|forward example.com"},
		/* what follows is the core's to judge, so that answers keep their order */
		{"good, then none", GET(RELAY) COOKIE("G") E GET(RELAY) E,
		 "forward example.com|forward example.com"},
		{"good, then forged", GET(RELAY) COOKIE("G") E GET(RELAY) COOKIE("F") E,
		 "forward example.com|forward example.com"},
	};
	static const struct row untold[] = {
		{"no core told its keys: the core judges", GET(RELAY) COOKIE("G") E,
		 "forward example.com"},
		{"even this", GET(RELAY) COOKIE("F") E, "forward example.com"},
	};

	(void)state;
	check_all(rows, N(rows));
	no_keys = true;
	check_all(untold, N(untold));
	no_keys = false;
}

#define POST "POST " RELAY H AUTH
#define LEN  "Content-Length: 5\r\n" E "hello"
#define CH   "Transfer-Encoding: chunked\r\n" E

static void test_gate_http_bodies(void **state)
{
	static const struct row rows[] = {
		{"with its length", POST LEN, "forward example.com"},
		{"and another", POST LEN POST LEN, "forward example.com|forward example.com"},
		{"length 0", POST "Content-Length: 0\r\n" E GET(RELAY) E,
		 "forward example.com|forward example.com"},
		{"that is a request", POST "Content-Length: 19\r\n" E "GET / HTTP/1.1\r\n\r\nx",
		 "forward example.com"},
		{"cut short", POST "Content-Length: 50\r\n" E "hello", "forward example.com"},
		{"chunked", POST CH "5;x=\"y\"\r\nhello\r\n0\r\nA: b\r\n\r\n" POST LEN,
		 "forward example.com|forward example.com"},
		/* nothing of ours can stand inside the core's answer to it */
		{"a bad size", POST CH "~g\r\n", "forward example.com|close - malformed"},
		{"a bad size behind a good chunk", POST CH "5\r\nhello\r\n~-1\r\n",
		 "forward example.com|close - malformed"},
		{"expects to go on", POST "Expect: 100-continue\r\nContent-Length: 5\r\n" E,
		 "forward example.com"},
	};

	(void)state;
	check_all(rows, N(rows));
}

static void test_gate_http_refused(void **state)
{
	static const struct row rows[] = {
		{"garbage", "\x16\x03\x01\x02\x01", "close 400 malformed"},
		{"SIP", "OPTIONS sip:a SIP/2.0\r\n\r\n", "close 400 malformed"},
		{"HTTP/0.9", "GET /\r\n", "close 400 malformed"},
		{"HTTP/2", "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", "close 505 malformed"},
		{"a version of the future", "GET / HTTP/2.0\r\nHost: x\r\n\r\n",
		 "close 505 malformed"},
		{"bare LF", "GET / HTTP/1.1\nHost: x\n\n", "close 400 malformed"},
		{"no Host", "GET / HTTP/1.1\r\n\r\n", "close 400 malformed"},
		{"two Hosts", GET("/") "Host: y\r\n" E, "close 400 malformed"},
		{"a folded line", GET("/") "A: b\r\n c\r\n" E, "close 400 malformed"},
		{"space before the colon", GET("/") "A : b\r\n" E, "close 400 malformed"},
		{"two lengths",
		 "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\nContent-Length: 1\r\n\r\nx",
		 "close 400 malformed"},
		{"length and chunked", POST "Content-Length: 5\r\n" CH, "close 400 malformed"},
		{"gzip, chunked", POST "Transfer-Encoding: gzip, chunked\r\n" E,
		 "close 501 malformed"},
		{"behind a good one", GET(RELAY) AUTH E "~GET  / HTTP/1.1\r\n\r\n",
		 "forward example.com|close 400 malformed"},
		{"behind a good one of HTTP/1.0, whose answer may end with the connection",
		 "GET " RELAY " HTTP/1.0\r\n" AUTH E "~GET  / HTTP/1.1\r\n\r\n",
		 "forward example.com|close - malformed"},
		{"another domain that is not served, behind a good one",
		 GET(RELAY) AUTH E "~" GET(DOM_ORG "/get_edge_sso") E,
		 "forward example.com|close 403 unserved-domain"},
		{"the sixth of five",
		 GET(RELAY) AUTH E GET(RELAY) AUTH E GET(RELAY) AUTH E GET(RELAY) AUTH E GET(RELAY)
			 AUTH E "~" GET(RELAY) AUTH E,
		 "forward example.com|forward example.com|forward example.com|forward "
		 "example.com|forward "
		 "example.com|close 429 request-budget"},
		{"those that the edge answers count as well",
		 GET(RELAY) E GET(RELAY) E GET(RELAY) E GET(RELAY) E GET(RELAY) E GET(RELAY) AUTH E,
		 "reply 401 no-token|reply 401 no-token|reply 401 no-token|reply 401 "
		 "no-token|reply 401 "
		 "no-token|close 429 request-budget"},
	};

	(void)state;
	check_all(rows, N(rows));
}

/* ---- limits ---- */

/* A head that never ends is refused at its limit, a line before that; what the core would say is said here. */
static void test_gate_http_long(void **state)
{
	static char in[40000];
	static struct seen s;
	size_t n, i;

	(void)state;
	n = (size_t)snprintf(in, sizeof(in), "GET /%08000d", 0);
	memset(in + n, 'a', 400);
	feed(span_of(in, n + 400), 1000, &s);
	assert_string_equal(s.events, "close 414 too-large");
	n = (size_t)snprintf(in, sizeof(in), GET("/"));
	for (i = 0; n < 33000; i++)
		n += (size_t)snprintf(in + n, sizeof(in) - n, "A%zu: %01000d\r\n", i, 0);
	feed(span_of(in, n), 20000, &s);
	assert_string_equal(s.events, "close 431 too-large");
	assert_false(strstr(s.events, "forward") != NULL);
}

/* A byte a call costs little: a head is read again when a line has ended, and the sum is bounded. */
static void test_gate_http_dribble(void **state)
{
	struct gate_http_config c = config();
	static char in[32768];
	struct gate_http g = {};
	struct gate_out out;
	enum gate_verdict v = GATE_MORE;
	size_t n = (size_t)snprintf(in, sizeof(in), GET(RELAY)), i;

	(void)state;
	while (n + 10 < sizeof(in)) { /* as many line ends as there can be */
		memcpy(in + n, "A:\r\n", 4);
		n += 4;
	}
	c.limits.fields_max = HTTP_FIELDS_MAX;
	for (i = 1; i < n && v == GATE_MORE; i++) {
		v = gate_http_next(&g, &c, span_of(in, i), &out);
		assert_true(out.begun);
	}
	assert_int_equal(v, GATE_CLOSE);
	assert_true(out.reason == GATE_DRIBBLE || out.reason == GATE_TOO_LARGE);
	assert_true(g.work <= GATE_HTTP_WORK_MAX + n);
}

/* Only a head that is begun runs against the clock. */
static void test_gate_http_begun(void **state)
{
	const struct gate_http_config c = config();
	static struct seen s;
	struct gate_http g = {};
	struct gate_out out;

	(void)state;
	assert_int_equal(gate_http_next(&g, &c, (struct span){}, &out), GATE_MORE);
	assert_false(out.begun);
	feed(SPAN("G"), 1, &s);
	assert_true(s.begun);
	feed(SPAN(GET(RELAY) AUTH E), 1, &s);
	assert_false(s.begun);
	feed(SPAN(POST "Content-Length: 50\r\n" E "hello"), 1, &s); /* a slow body: other limits */
	assert_false(s.begun);
	feed(SPAN(POST LEN "P"), 1, &s);
	assert_true(s.begun);
}

/* Frames that come between 101 and the Admit: refused only if that does not come. */
static void test_gate_http_websocket(void **state)
{
	const struct {
		struct span first;
		bool may_hold;
	} rows[] = {
		{SPAN(GET(RELAY) AUTH "Connection: Upgrade\r\nUpgrade: websocket\r\n"
				      "Sec-WebSocket-Version: 13\r\n"
				      "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n" E),
		 true},
		{SPAN(GET(RELAY) AUTH E), false},
	};
	const struct span frame = SPAN("\x81\x85\x37\xfa\x21\x3d\x7f\x9f\x4d\x51\x58");
	const struct gate_http_config c = config();
	struct gate_out out;
	unsigned i;

	(void)state;
	for (i = 0; i < N(rows); i++) {
		struct gate_http g = {};

		assert_int_equal(gate_http_next(&g, &c, rows[i].first, &out), GATE_FORWARD);
		assert_false(out.may_hold);
		gate_http_sent(&g);
		assert_int_equal(gate_http_next(&g, &c, frame, &out), GATE_CLOSE);
		assert_int_equal(out.reason, GATE_MALFORMED);
		assert_int_equal(out.may_hold, rows[i].may_hold);
	}
}

/* ---- what the stream around it refuses ---- */

static void test_gate_http_instead(void **state)
{
	static const struct {
		enum gate_reason reason;
		const char *events;
	} t[] = {
		{GATE_NO_CORE, "close 503 no-core"},	   {GATE_NO_IDLE, "close 503 no-idle"},
		{GATE_OTHER_CORE, "close 421 other-core"}, {GATE_TOO_LARGE, "close 431 too-large"},
		{GATE_CAP_BYTES, "close 413 cap-bytes"},   {GATE_SLOW, "close 408 slow"},
		{GATE_DRAINING, "close 503 draining"},
	};
	const struct gate_http_config c = config();
	struct gate_out out;
	size_t i;

	(void)state;
	for (i = 0; i < N(t); i++) {
		struct gate_http g = {};
		struct seen s = {};

		assert_int_equal(gate_http_next(&g, &c, SPAN(GET(RELAY) AUTH E), &out),
				 GATE_FORWARD);
		assert_int_equal(gate_http_service.instead(&g, &c, t[i].reason, &out), GATE_CLOSE);
		assert_true(*out.detail);
		note_reply(&s, &out, true);
		assert_string_equal(s.events, t[i].events);
	}
	assert_int_equal(gate_reason_score(GATE_TOKEN_TIME), 0);
	assert_int_equal(gate_reason_score(GATE_NO_TOKEN), 0);
	assert_int_equal(gate_reason_score(GATE_NO_CORE), 0);
	assert_int_equal(gate_reason_score(GATE_DRAINING), 0);
	assert_true(gate_reason_score(GATE_TOKEN_FORGED) > gate_reason_score(GATE_TOKEN_KEY));
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_gate_http_log_on), cmocka_unit_test(test_gate_http_tokens),
		cmocka_unit_test(test_gate_http_bodies), cmocka_unit_test(test_gate_http_refused),
		cmocka_unit_test(test_gate_http_long),	 cmocka_unit_test(test_gate_http_dribble),
		cmocka_unit_test(test_gate_http_begun),	 cmocka_unit_test(test_gate_http_websocket),
		cmocka_unit_test(test_gate_http_instead)};

	return cmocka_run_group_tests(tests, setup, teardown);
}
