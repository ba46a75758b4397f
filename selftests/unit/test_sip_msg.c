/* selftests/unit/test_sip_msg.c -- SIP messages: what is taken, what is refused and why, and that a stream may be cut anywhere. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <cmocka.h>

#include "selftests/unit/sip_spans.h"
#include "sip/write.h"

#define START "OPTIONS sip:bob@example.com SIP/2.0\r\n"
#define VIA   "Via: SIP/2.0/TLS h.example.com;branch=z9hG4bK1\r\n"
#define FROM  "From: <sip:alice@example.com>;tag=f1\r\n"
#define TO    "To: <sip:bob@example.com>\r\n"
#define CALL  "Call-ID: c1\r\n"
#define CSEQ  "CSeq: 1 OPTIONS\r\n"
#define FIVE  VIA FROM TO CALL CSEQ
#define END   "Content-Length: 0\r\n\r\n"

#define LEN(a) (sizeof(a) / sizeof((a)[0]))

static struct sip_msg msg, other;

static const char *const good[] = {
	START FIVE END,
	/* white space before the colon, folds, tabs, no space behind the colon, upper and lower case */
	START "vIA \t: SIP / 2.0 /\r\n\tTLS h.example.com ; branch = z9hG4bK1\r\n"
	      "FROM:\r\n <sip:alice@example.com>\r\n ;\r\n  tag\t=\r\n f1\r\n" TO CALL
	      "CSEQ:1\r\n OPTIONS  \r\n" END,
	/* compact forms */
	START "v: SIP/2.0/UDP h.example.com\r\nf: sip:alice@example.com;tag=f1\r\n"
	      "t: sip:bob@example.com\r\ni: c1\r\n" CSEQ "l: 0\r\nk: path\r\ns: subject\r\n\r\n",
	/* body, and bytes in it that would be wrong in a header */
	START FIVE "Content-Type: text/plain\r\nContent-Length: 6\r\n\r\n\r\n\r\n\n\x01",
	/* odd but sound values */
	START FIVE "X-Odd: ;;,,;;,;\r\nX-Empty:\r\nX-Blank: \t \r\nX-Fold:\r\n \r\n" END,
	START FIVE "Max-Forwards: 0068\r\nExpires: 4294967295\r\n" END,
	START FIVE "Subject: \xd0\x9f\xd1\x80\xd0\xb8\xd0\xb2\xd0\xb5\xd1\x82\r\n" END,
	/* unknown method, URI scheme, option; CSeq says the same method */
	"n!w.m-th_d%*+`'~ xyz:opaque?q=1 SIP/2.0\r\n" VIA FROM TO CALL
	"CSeq: 2147483647 n!w.m-th_d%*+`'~\r\nRequire: never-heard-of\r\n" END,
	"ACK tel:+15551234 sip/2.0\r\n" VIA FROM TO CALL "CSeq: 0 ACK\r\n" END,
	/* responses */
	"SIP/2.0 200 OK\r\n" FIVE END,
	"SIP/2.0 100 \r\n" FIVE END,
	"sip/2.0 699 \xc3\x9c"
	"ber voll; (\"\r\n" FIVE END,
	/* lists in one field and in several */
	START VIA "Via: SIP/2.0/TCP 192.0.2.1:5060, SIP/2.0/TLS [2001:db8::1]\r\n" FROM TO CALL CSEQ
		  "Route: <sip:a;lr>, <sip:b;lr>\r\nRoute: <sip:c>\r\n" END,
	START FIVE "Contact: *\r\n" END,
	START FIVE "Contact: <sip:a@h>;q=0.5, sip:b@h;expires=3\r\nm: \"x, <y>\" <sip:c@h>\r\n" END,
	START FIVE "Supported:\r\nSupported: a, b\r\n" END,
	START VIA FROM TO "Call-ID: a-.!%*_+`'~()<>:\\\"/[]?{}@b\r\n" CSEQ END,
};

static ssize_t parse(struct span in, struct sip_msg *m, enum sip_why *why)
{
	return sip_msg_parse(in, true, SIP_MESSAGE_MAX, m, why);
}

/* The same slices of another copy of the input. */
static void assert_same(const struct sip_msg *a, const struct sip_msg *b)
{
	unsigned i;

	assert_int_equal(a->request, b->request);
	assert_int_equal(a->method, b->method);
	assert_int_equal(a->status, b->status);
	assert_int_equal(a->cseq, b->cseq);
	assert_int_equal(a->max_forwards, b->max_forwards);
	assert_int_equal(a->n_headers, b->n_headers);
	assert_true(span_eq(a->whole, b->whole) && span_eq(a->body, b->body));
	assert_true(span_eq(a->from.whole, b->from.whole) && span_eq(a->to.whole, b->to.whole));
	assert_true(span_eq(a->via.whole, b->via.whole) && span_eq(a->call_id, b->call_id));
	for (i = 0; i < a->n_headers; i++) {
		assert_int_equal(a->headers[i].id, b->headers[i].id);
		assert_true(span_eq(a->headers[i].value, b->headers[i].value));
	}
}

static void test_msg_good(void **state)
{
	enum sip_why why = SIP_OK;
	size_t i;

	(void)state;
	for (i = 0; i < LEN(good); i++) {
		struct span in = span_str(good[i]);
		ssize_t n = parse(in, &msg, &why);

		if (n != (ssize_t)in.n)
			print_error("good[%zu]: %zd %s\n", i, n, sip_why_text(why));
		assert_int_equal(n, in.n);
		assert_true(msg_inside(&msg, in));
	}
}

/* Cut at any byte, in a heap block of just that size so that ASan sees a read behind it: "need more" until the last byte came, then
 * the same message whatever follows. */
static void test_msg_cut_anywhere(void **state)
{
	enum sip_why why;
	size_t i, cut;

	(void)state;
	for (i = 0; i < LEN(good); i++) {
		size_t n = strlen(good[i]);
		uint8_t *more = malloc(n + 4);

		assert_int_equal(parse(span_str(good[i]), &msg, &why), n);
		for (cut = 0; cut < n; cut++) {
			uint8_t *part = malloc(cut ? cut : 1);

			memcpy(part, good[i], cut);
			if (parse(span_of(part, cut), &other, &why) != -EAGAIN)
				fail_msg("good[%zu] cut at %zu: %s", i, cut, sip_why_text(why));
			free(part);
		}
		memcpy(more, good[i], n);
		memcpy(more + n, "\n\0 x", 4);
		assert_int_equal(parse(span_of(more, n + 4), &other, &why), n);
		assert_same(&msg, &other);
		free(more);
	}
}

#define BAD(why, text)                      \
	{                                   \
		text, sizeof(text) - 1, why \
	}
static const struct {
	const char *text;
	size_t n;
	enum sip_why why;
} bad[] = {
	/* start line */
	BAD(SIP_WHY_START_LINE, "OPTIONS\r\n" FIVE END),
	BAD(SIP_WHY_START_LINE, "OPTIONS sip:bob@example.com\r\n" FIVE END),
	BAD(SIP_WHY_METHOD, " OPTIONS sip:bob@example.com SIP/2.0\r\n" FIVE END),
	BAD(SIP_WHY_METHOD, "OPT(IONS sip:bob@example.com SIP/2.0\r\n" FIVE END),
	BAD(SIP_WHY_VERSION, "OPTIONS sip:bob@example.com SIP/2.0 \r\n" FIVE END),
	BAD(SIP_WHY_VERSION, "OPTIONS sip:bob@example.com  SIP/2.0\r\n" FIVE END),
	BAD(SIP_WHY_VERSION, "OPTIONS sip:bob@example.com SIP/7.0\r\n" FIVE END),
	BAD(SIP_WHY_VERSION, "OPTIONS sip:bob@example.com; lr SIP/2.0\r\n" FIVE END),
	BAD(SIP_WHY_VERSION, "GET / HTTP/1.1\r\nHost: x\r\n\r\n"),
	BAD(SIP_WHY_URI, "OPTIONS  SIP/2.0\r\n" FIVE END),
	BAD(SIP_WHY_URI, "OPTIONS <sip:bob@example.com> SIP/2.0\r\n" FIVE END),
	BAD(SIP_WHY_URI, "OPTIONS sip:bob@example.com?Route=%3Csip:x%3E SIP/2.0\r\n" FIVE END),
	BAD(SIP_WHY_URI, "OPTIONS bob@example.com SIP/2.0\r\n" FIVE END),
	BAD(SIP_WHY_VERSION, "SIP/7.0 200 OK\r\n" FIVE END),
	BAD(SIP_WHY_STATUS, "SIP/2.0 200\r\n" FIVE END),
	BAD(SIP_WHY_STATUS, "SIP/2.0 4294967301 big\r\n" FIVE END),
	BAD(SIP_WHY_STATUS, "SIP/2.0 099 low\r\n" FIVE END),
	BAD(SIP_WHY_STATUS, "SIP/2.0 700 high\r\n" FIVE END),
	BAD(SIP_WHY_STATUS, "SIP/2.0 2x0 OK\r\n" FIVE END),
	BAD(SIP_WHY_STATUS, "SIP/2.0  200 OK\r\n" FIVE END),
	/* line ends and control characters */
	BAD(SIP_WHY_BARE_LF, "OPTIONS sip:bob@example.com SIP/2.0\n" FIVE END),
	BAD(SIP_WHY_BARE_LF, START "Via: SIP/2.0/TLS h\n" FROM TO CALL CSEQ END),
	BAD(SIP_WHY_BARE_LF, START FIVE "X: a\n b\r\n" END),
	BAD(SIP_WHY_BARE_LF, START FIVE "X: a\rb\r\n" END),
	BAD(SIP_WHY_BARE_LF, START FIVE "X: a\r\r\n" END),
	BAD(SIP_WHY_BARE_LF, "\n" START FIVE END),
	BAD(SIP_WHY_BARE_LF, "\r" START FIVE END),
	BAD(SIP_WHY_BARE_LF, "\r\n\n" START FIVE END),
	BAD(SIP_WHY_HEADER_VALUE, START FIVE "X-A: a\0b\r\n" END),
	BAD(SIP_WHY_HEADER_VALUE, START FIVE "X-A: a\x01\r\n" END),
	BAD(SIP_WHY_HEADER_VALUE, START FIVE "X-A: a\x7f\r\n" END),
	BAD(SIP_WHY_HEADER_VALUE, START FIVE "X-\0A: a\r\n" END),
	BAD(SIP_WHY_HEADER_VALUE, START FIVE "Subject: \"\\\x07\"\r\n" END),
	/* header names */
	BAD(SIP_WHY_HEADER_NAME, START " folded: start\r\n" FIVE END),
	BAD(SIP_WHY_HEADER_NAME, START FIVE ": x\r\n" END),
	BAD(SIP_WHY_HEADER_NAME, START FIVE "No colon\r\n" END),
	BAD(SIP_WHY_HEADER_NAME, START FIVE "Nocolon\r\n" END),
	BAD(SIP_WHY_HEADER_NAME, START FIVE "B@d: x\r\n" END),
	BAD(SIP_WHY_HEADER_NAME, START FIVE "B\xc3\xa4: x\r\n" END),
	BAD(SIP_WHY_HEADER_NAME, START FIVE "Folded\r\n : x\r\n" END),
	BAD(SIP_WHY_HEADER_NAME, START FIVE "q: not a compact form\r\n" END),
	/* missing and twice */
	BAD(SIP_WHY_MISSING, START "\r\n"),
	BAD(SIP_WHY_MISSING, START FROM TO CALL CSEQ END),
	BAD(SIP_WHY_MISSING, START VIA TO CALL CSEQ END),
	BAD(SIP_WHY_MISSING, START VIA FROM CALL CSEQ END),
	BAD(SIP_WHY_MISSING, START VIA FROM TO CSEQ END),
	BAD(SIP_WHY_MISSING, START VIA FROM TO CALL END),
	BAD(SIP_WHY_DUPLICATE, START FIVE FROM END),
	BAD(SIP_WHY_DUPLICATE, START FIVE "f: <sip:x@h>\r\n" END),
	BAD(SIP_WHY_DUPLICATE, START FIVE TO END),
	BAD(SIP_WHY_DUPLICATE, START FIVE CALL END),
	BAD(SIP_WHY_DUPLICATE, START FIVE CSEQ END),
	BAD(SIP_WHY_DUPLICATE, START FIVE "Max-Forwards: 1\r\nMax-Forwards: 1\r\n" END),
	BAD(SIP_WHY_DUPLICATE, START FIVE "Expires: 1\r\nExpires: 1\r\n" END),
	BAD(SIP_WHY_DUPLICATE, START FIVE "c: a/b\r\nContent-Type: a/b\r\n" END),
	BAD(SIP_WHY_DUPLICATE, START FIVE "Session-Expires: 90\r\nx: 1800\r\n" END),
	/* Content-Length */
	BAD(SIP_WHY_CONTENT_LENGTH, START FIVE "\r\n"),
	BAD(SIP_WHY_DUPLICATE, START FIVE "Content-Length: 0\r\n" END),
	BAD(SIP_WHY_DUPLICATE, START FIVE "l: 0\r\n" END),
	BAD(SIP_WHY_CONTENT_LENGTH, START FIVE "Content-Length: -1\r\n\r\n"),
	BAD(SIP_WHY_CONTENT_LENGTH, START FIVE "Content-Length: +0\r\n\r\n"),
	BAD(SIP_WHY_CONTENT_LENGTH, START FIVE "Content-Length: 0, 0\r\n\r\n"),
	BAD(SIP_WHY_CONTENT_LENGTH, START FIVE "Content-Length: 0x4\r\n\r\n"),
	BAD(SIP_WHY_CONTENT_LENGTH, START FIVE "Content-Length: 0\r\n 4\r\n\r\nbody"),
	BAD(SIP_WHY_CONTENT_LENGTH, START FIVE "Content-Length:\r\n\r\n"),
	BAD(SIP_WHY_CONTENT_LENGTH, START FIVE "Content-Length: 00000000000\r\n\r\n"),
	/* required fields */
	BAD(SIP_WHY_VIA, START "Via:\r\n" FROM TO CALL CSEQ END),
	BAD(SIP_WHY_VIA, START VIA "Via: SIP/2.0/TLS\r\n" FROM TO CALL CSEQ END),
	BAD(SIP_WHY_VIA, START "Via: SIP/7.0/TLS h\r\n" FROM TO CALL CSEQ END),
	BAD(SIP_WHY_VIA, START "Via: SIP/2.0/TLS h, ;;,\r\n" FROM TO CALL CSEQ END),
	BAD(SIP_WHY_FROM, START VIA "From: <sip:a@h>;tag=\r\n" TO CALL CSEQ END),
	BAD(SIP_WHY_FROM, START VIA "From: <sip:a@h>;tag\r\n" TO CALL CSEQ END),
	BAD(SIP_WHY_FROM, START VIA "From: <sip:a@h>;tag=1;tag=2\r\n" TO CALL CSEQ END),
	BAD(SIP_WHY_FROM, START VIA "From: <sip:a@h>, <sip:b@h>\r\n" TO CALL CSEQ END),
	BAD(SIP_WHY_FROM, START VIA "From: \"open <sip:a@h>\r\n" TO CALL CSEQ END),
	BAD(SIP_WHY_TO, START VIA FROM "To:\r\n" CALL CSEQ END),
	BAD(SIP_WHY_TO, START VIA FROM "To: \"a\" \"b\" <sip:a@h>\r\n" CALL CSEQ END),
	BAD(SIP_WHY_TO, START VIA FROM "To: <sip:a@h>;tag=\"q\"\r\n" CALL CSEQ END),
	BAD(SIP_WHY_CALL_ID, START VIA FROM TO "Call-ID:\r\n" CSEQ END),
	BAD(SIP_WHY_CALL_ID, START VIA FROM TO "Call-ID: a b\r\n" CSEQ END),
	BAD(SIP_WHY_CALL_ID, START VIA FROM TO "Call-ID: a@\r\n" CSEQ END),
	BAD(SIP_WHY_CALL_ID, START VIA FROM TO "Call-ID: a@b@c\r\n" CSEQ END),
	BAD(SIP_WHY_CALL_ID, START VIA FROM TO "Call-ID: a,b\r\n" CSEQ END),
	BAD(SIP_WHY_CSEQ, START VIA FROM TO CALL "CSeq: 1 INVITE\r\n" END),
	BAD(SIP_WHY_CSEQ, START VIA FROM TO CALL "CSeq: 1 options\r\n" END),
	BAD(SIP_WHY_CSEQ, START VIA FROM TO CALL "CSeq: 1OPTIONS\r\n" END),
	BAD(SIP_WHY_CSEQ, START VIA FROM TO CALL "CSeq: OPTIONS\r\n" END),
	BAD(SIP_WHY_CSEQ, START VIA FROM TO CALL "CSeq: 1\r\n" END),
	BAD(SIP_WHY_CSEQ, START VIA FROM TO CALL "CSeq: 2147483648 OPTIONS\r\n" END),
	BAD(SIP_WHY_CSEQ, START VIA FROM TO CALL "CSeq: 4294967297 OPTIONS\r\n" END),
	BAD(SIP_WHY_CSEQ, START VIA FROM TO CALL "CSeq: 36893488147419103233 OPTIONS\r\n" END),
	BAD(SIP_WHY_CSEQ, START VIA FROM TO CALL "CSeq: 1 OPTIONS x\r\n" END),
	BAD(SIP_WHY_MAX_FORWARDS, START FIVE "Max-Forwards: 256\r\n" END),
	BAD(SIP_WHY_MAX_FORWARDS, START FIVE "Max-Forwards: -1\r\n" END),
	BAD(SIP_WHY_MAX_FORWARDS, START FIVE "Max-Forwards:\r\n" END),
	BAD(SIP_WHY_HEADER_VALUE, START FIVE "Expires: 4294967296\r\n" END),
	BAD(SIP_WHY_HEADER_VALUE, START FIVE "Expires: soon\r\n" END),
	BAD(SIP_WHY_HEADER_VALUE, START FIVE "Content-Type: text\r\n" END),
	BAD(SIP_WHY_HEADER_VALUE, START FIVE "Content-Type: text/\r\n" END),
	BAD(SIP_WHY_CONTACT, START FIVE "Contact:\r\n" END),
	BAD(SIP_WHY_CONTACT, START FIVE "Contact: *, <sip:a@h>\r\n" END),
	BAD(SIP_WHY_CONTACT, START FIVE "Contact: *\r\nContact: <sip:a@h>\r\n" END),
	BAD(SIP_WHY_CONTACT, START FIVE "Contact: <sip:a@h>\r\nContact: *\r\n" END),
	BAD(SIP_WHY_CONTACT, START FIVE "Contact: *\r\nContact: *\r\n" END),
	BAD(SIP_WHY_CONTACT, START FIVE "Contact: <sip:a@h>,\r\n" END),
	BAD(SIP_WHY_CONTACT, START FIVE "Contact: <sip:a@h>, ,<sip:b@h>\r\n" END),
	BAD(SIP_WHY_ROUTE, START FIVE "Route: sip:a;lr\r\n" END),
	BAD(SIP_WHY_ROUTE, START FIVE "Record-Route: <sip:a;lr\r\n" END),
	BAD(SIP_WHY_ROUTE, START FIVE "Path: <sip:a;lr> <sip:b>\r\n" END),
	BAD(SIP_WHY_ROUTE, START FIVE "Service-Route:\r\n" END),
};

static void test_msg_refused(void **state)
{
	size_t i;

	(void)state;
	for (i = 0; i < LEN(bad); i++) {
		enum sip_why why = SIP_OK;
		ssize_t n = parse(span_of(bad[i].text, bad[i].n), &msg, &why);

		if (n != -EBADMSG || why != bad[i].why)
			print_error("bad[%zu]: %zd %s\n%s\n", i, n, sip_why_text(why), bad[i].text);
		assert_int_equal(n, -EBADMSG);
		assert_int_equal(why, bad[i].why);
	}
}

/* What can never become a message is refused before its end comes. */
static void test_msg_refused_early(void **state)
{
	static const struct {
		const char *text;
		enum sip_why why;
	} early[] = {
		{"GET / HTTP/1.1\r\n", SIP_WHY_VERSION},
		{"SSH-2.0-x\r\n", SIP_WHY_START_LINE},
		{"OPTIONS sip:b@h SIP/2.0\n", SIP_WHY_BARE_LF},
		{START "Via: x\n", SIP_WHY_BARE_LF},
		{"\n", SIP_WHY_BARE_LF},
	};
	enum sip_why why;
	size_t i;

	(void)state;
	for (i = 0; i < LEN(early); i++) {
		assert_int_equal(parse(span_str(early[i].text), &msg, &why), -EBADMSG);
		assert_int_equal(why, early[i].why);
	}
	assert_int_equal(parse(span_of("\x16\x03\x01\0", 4), &msg, &why), -EBADMSG);
	assert_int_equal(why, SIP_WHY_HEADER_VALUE);
}

static void test_msg_fields(void **state)
{
	static const char text[] =
		"\r\n\r\n"
		"INVITE sips:bob@example.com:5061;lr SIP/2.0\r\n"
		"v: SIP/2.0/TLS [2001:db8::1]:5062;branch=z9hG4bK2;rport, "
		"SIP/2.0/UDP other\r\n" VIA
		"From: \"A, B\" <sip:alice;tag=no@example.com;tag=no>;x=y;TAG=f1\r\n"
		"To: sip:bob@example.com;tag=t1\r\n"
		"Call-ID: c@h\r\nMax-Forwards: 70\r\nCSeq: 7 INVITE\r\n"
		"Supported: 100rel,\r\n outbound\r\nk: Path\r\n"
		"X-One: a\r\nx-one: b\r\nContent-Length: 3\r\n\r\nabcREST";
	struct span in = span_str(text);
	const struct sip_header *h;
	enum sip_why why;
	unsigned at;

	(void)state;
	assert_int_equal(parse(in, &msg, &why), in.n - 4);
	assert_true(msg.request && msg.method == SIP_M_INVITE && msg.ruri.is_sips);
	assert_int_equal(msg.ruri.port, 5061);
	assert_true(span_eq(msg.ruri.params, SPAN(";lr")));
	assert_true(span_eq(msg.via.host, SPAN("2001:db8::1")) && msg.via.host_is_v6);
	assert_true(span_eq(msg.via.branch, SPAN("z9hG4bK2")) && msg.via.has_rport);
	assert_int_equal(msg.via.port, 5062);
	assert_true(span_eq(msg.from_tag, SPAN("f1")) && span_eq(msg.to_tag, SPAN("t1")));
	assert_true(span_eq(msg.from.display, SPAN("\"A, B\"")));
	assert_true(span_eq(msg.from.uri.user, SPAN("alice;tag=no")));
	assert_true(span_eq(msg.from.uri.params, SPAN(";tag=no")));
	assert_true(span_eq(msg.to.uri.whole, SPAN("sip:bob@example.com")));
	assert_int_equal(msg.max_forwards, 70);
	assert_int_equal(msg.cseq, 7);
	assert_true(span_eq(msg.body, SPAN("abc")));
	assert_true(span_eq(msg.start_line, SPAN("INVITE sips:bob@example.com:5061;lr SIP/2.0")));
	h = sip_header_find(&msg, SIP_H_VIA, 1, &at);
	assert_true(h && at == 1 && span_eq(h->line, SPAN(VIA)));
	assert_null(sip_header_find(&msg, SIP_H_VIA, 2, NULL));
	h = sip_header_named(&msg, SPAN("X-ONE"), 0, &at);
	assert_true(h && span_eq(h->value, SPAN("a")));
	h = sip_header_named(&msg, SPAN("X-ONE"), at + 1, NULL);
	assert_true(h && span_eq(h->value, SPAN("b")));
	assert_true(sip_option_has(&msg, SIP_H_SUPPORTED, SPAN("outbound")));
	assert_true(sip_option_has(&msg, SIP_H_SUPPORTED, SPAN("path")));
	assert_false(sip_option_has(&msg, SIP_H_SUPPORTED, SPAN("timer")));
	assert_false(sip_option_has(&msg, SIP_H_REQUIRE, SPAN("path")));
}

static void test_msg_response(void **state)
{
	enum sip_why why;

	(void)state;
	assert_true(parse(SPAN("SIP/2.0 486 Busy Here\r\n" FIVE END), &msg, &why) > 0);
	assert_false(msg.request);
	assert_int_equal(msg.status, 486);
	assert_int_equal(msg.method, SIP_M_OPTIONS);
	assert_int_equal(msg.max_forwards, -1);
	assert_true(span_eq(msg.reason, SPAN("Busy Here")));
	assert_true(span_eq(msg.method_text, SPAN("OPTIONS")));
}

static void test_msg_datagram(void **state)
{
	static const struct {
		const char *text;
		ssize_t want; /* 0: all of it */
		size_t body;
		enum sip_why why;
	} cases[] = {
		{START FIVE "\r\n", 0, 0, SIP_OK},
		{START FIVE "\r\nto the end", 0, 10, SIP_OK},
		{START FIVE "Content-Length: 2\r\n\r\nokIGNORED", sizeof(START FIVE) + 22, 2,
		 SIP_OK},
		{START FIVE "Content-Length: 3\r\n\r\nok", -EBADMSG, 0, SIP_WHY_CONTENT_LENGTH},
		{START FIVE, -EBADMSG, 0, SIP_WHY_MISSING},
		{"\r\n\r\n", -EBADMSG, 0, SIP_WHY_START_LINE},
		{"\r\n" START FIVE "\r\n", -EBADMSG, 0, SIP_WHY_START_LINE},
		{"", -EBADMSG, 0, SIP_WHY_START_LINE},
	};
	size_t i;

	(void)state;
	for (i = 0; i < LEN(cases); i++) {
		struct span in = span_str(cases[i].text);
		enum sip_why why = SIP_OK;
		ssize_t n = sip_msg_parse(in, false, 65535, &msg, &why);

		if (n < 0)
			assert_int_equal(why, cases[i].why);
		else
			assert_int_equal(msg.body.n, cases[i].body);
		assert_int_equal(n, cases[i].want ? cases[i].want : (ssize_t)in.n);
	}
}

static void test_msg_limits(void **state)
{
	static char text[8192];
	enum sip_why why;
	size_t head = strlen(START FIVE END);
	unsigned i, n;
	int len;

	(void)state;
	/* to the byte */
	assert_int_equal(sip_msg_parse(SPAN(START FIVE END), true, head, &msg, &why), head);
	assert_int_equal(sip_msg_parse(SPAN(START FIVE END), true, head - 1, &msg, &why), -E2BIG);
	assert_int_equal(why, SIP_WHY_TOO_LONG);
	/* told by Content-Length, before the body came */
	assert_int_equal(
		sip_msg_parse(SPAN(START FIVE "l: 9999999999\r\n\r\n"), true, 32768, &msg, &why),
		-E2BIG);
	assert_int_equal(sip_msg_parse(SPAN(START FIVE "l: 1000\r\n\r\n"), true, 1000, &msg, &why),
			 -E2BIG);
	assert_int_equal(sip_msg_parse(SPAN(START FIVE "l: 700\r\n\r\n"), true, 1000, &msg, &why),
			 -EAGAIN);
	/* a head without end, and leading CRLFs without end */
	memset(text, 'a', sizeof(text));
	assert_int_equal(sip_msg_parse(span_of(text, 999), true, 1000, &msg, &why), -EAGAIN);
	assert_int_equal(sip_msg_parse(span_of(text, 1000), true, 1000, &msg, &why), -E2BIG);
	for (i = 0; i < sizeof(text); i++)
		text[i] = i % 2 ? '\n' : '\r';
	assert_int_equal(sip_msg_parse(span_of(text, 1002), true, 1000, &msg, &why), -E2BIG);
	/* SIP_HEADERS_MAX header fields and one more */
	for (n = SIP_HEADERS_MAX; n <= SIP_HEADERS_MAX + 1; n++) {
		len = snprintf(text, sizeof(text), "%s", START FIVE);
		for (i = 0; i < n - 6; i++)
			len += snprintf(text + len, sizeof(text) - (size_t)len, "X-%u: y\r\n", i);
		len += snprintf(text + len, sizeof(text) - (size_t)len, "%s", END);
		assert_int_equal(parse(span_of(text, (size_t)len), &msg, &why),
				 n == SIP_HEADERS_MAX ? len : -E2BIG);
	}
	assert_int_equal(why, SIP_WHY_TOO_MANY_HEADERS);
}

static void test_msg_pipelined(void **state)
{
	static const char two[] = START FIVE END "\r\n" START FIVE "l: 1\r\n\r\nx";
	size_t first = strlen(START FIVE END);
	struct span in = span_str(two);
	enum sip_why why;

	(void)state;
	assert_int_equal(parse(in, &msg, &why), first);
	in = span_cut(in, first, in.n);
	assert_int_equal(parse(in, &msg, &why), in.n);
	assert_true(span_eq(msg.body, SPAN("x")));
}

static void test_keepalive(void **state)
{
	static const struct {
		const char *text;
		ssize_t want;
		bool ping;
	} cases[] = {
		{"", -EAGAIN, false},	    {"\r", -EAGAIN, false}, {"\r\n", -EAGAIN, false},
		{"\r\n\r", -EAGAIN, false}, {"\r\n\r\n", 4, true},  {"\r\n\r\nX", 4, true},
		{"\r\nX", 2, false},	    {"\r\n\rX", 2, false},  {"\rX", 0, false},
		{"\n", 0, false},	    {"INVITE", 0, false},
	};
	size_t i;

	(void)state;
	for (i = 0; i < LEN(cases); i++) {
		bool ping = false;

		assert_int_equal(sip_keepalive(span_str(cases[i].text), &ping), cases[i].want);
		assert_int_equal(ping, cases[i].ping);
	}
}

static void test_names(void **state)
{
	static const struct {
		const char *name;
		enum sip_hdr id;
	} cases[] = {
		{"via", SIP_H_VIA},	     {"V", SIP_H_VIA},
		{"l", SIP_H_CONTENT_LENGTH}, {"X", SIP_H_SESSION_EXPIRES},
		{"rack", SIP_H_RACK},	     {"Vi", SIP_H_OTHER},
		{"Viaa", SIP_H_OTHER},	     {"", SIP_H_OTHER},
		{"s", SIP_H_OTHER},	     {"Min-SE", SIP_H_MIN_SE},
		{"Warning", SIP_H_WARNING},
	};
	unsigned i;

	(void)state;
	for (i = 0; i < LEN(cases); i++)
		assert_int_equal(sip_hdr_from_name(span_str(cases[i].name)), cases[i].id);
	for (i = SIP_H_OTHER + 1; i < SIP_HDRS; i++) {
		assert_true(strlen(sip_hdr_name((enum sip_hdr)i)) > 1);
		assert_int_equal(sip_hdr_from_name(span_str(sip_hdr_name((enum sip_hdr)i))), i);
	}
	for (i = SIP_M_OTHER + 1; i < SIP_METHODS; i++)
		assert_int_equal(
			sip_method_from_text(span_str(sip_method_name((enum sip_method)i))), i);
	assert_int_equal(sip_method_from_text(SPAN("invite")), SIP_M_OTHER);
	assert_int_equal(sip_method_from_text(SPAN("")), SIP_M_OTHER);
	for (i = 0; i < SIP_WHYS; i++)
		assert_true(sip_why_text((enum sip_why)i) && *sip_why_text((enum sip_why)i));
}

/* A copy with one header removed and one added keeps all others byte for byte. */
static void test_write_edit(void **state)
{
	static const char want[] = START "Via : new\r\n" VIA FROM TO CALL CSEQ
					 "X: a\r\n  b\r\nContent-Length: 2\r\n\r\nhi";
	uint8_t buf[1024];
	struct sip_out o;
	enum sip_why why;
	unsigned i;
	ssize_t n;

	(void)state;
	assert_true(parse(SPAN(START FIVE "X: a\r\n  b\r\n" END), &msg, &why) > 0);
	sip_out_init(&o, buf, sizeof(buf));
	sip_out_span(&o, msg.start_line);
	sip_out_text(&o, "\r\n");
	sip_out_header(&o, "Via ", SPAN("new"));
	for (i = 0; i < msg.n_headers; i++)
		if (msg.headers[i].id != SIP_H_CONTENT_LENGTH)
			sip_out_span(&o, msg.headers[i].line);
	n = sip_out_body(&o, SPAN("hi"));
	assert_int_equal(n, strlen(want));
	assert_memory_equal(buf, want, (size_t)n);
}

static void test_write_overflow(void **state)
{
	uint8_t buf[64];
	struct sip_out o;
	size_t cap;

	(void)state;
	for (cap = 0; cap < sizeof(buf); cap++) {
		uint8_t *small = malloc(cap ? cap : 1);
		ssize_t n;

		sip_out_init(&o, small, cap);
		sip_out_header(&o, "A", SPAN("b"));
		sip_out_text(&o, "%s: %d\r\n", "C", 1);
		n = sip_out_body(&o, SPAN("xyz"));
		assert_int_equal(n, cap < 36 ? -E2BIG : 36);
		assert_int_equal(o.overflow, cap < 36);
		free(small);
	}
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_msg_good),       cmocka_unit_test(test_msg_cut_anywhere),
		cmocka_unit_test(test_msg_refused),    cmocka_unit_test(test_msg_refused_early),
		cmocka_unit_test(test_msg_fields),     cmocka_unit_test(test_msg_response),
		cmocka_unit_test(test_msg_datagram),   cmocka_unit_test(test_msg_limits),
		cmocka_unit_test(test_msg_pipelined),  cmocka_unit_test(test_keepalive),
		cmocka_unit_test(test_names),	       cmocka_unit_test(test_write_edit),
		cmocka_unit_test(test_write_overflow),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
