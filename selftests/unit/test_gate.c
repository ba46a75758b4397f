/* selftests/unit/test_gate.c -- the SIP gate: verdict, reason and reply for each kind of message, at every split of its bytes. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "sip/answer.h"
#include "user/gate_sip.h"

#define MAX 4096

#define VIA "Via: SIP/2.0/TLS 192.0.2.7:40000;branch=z9hG4bK-1;rport\r\n"
#define IDS "Call-ID: c1@192.0.2.7\r\n"
#define TAIL                            \
	"Max-Forwards: 70\r\nContact: " \
	"<sip:alice@192.0.2.7:40000;transport=tls>\r\nContent-Length: 0\r\n\r\n"

#define MSG(method, ruri, from, to, extra)                                        \
	method " " ruri " SIP/2.0\r\n" VIA "From: " from "\r\nTo: " to "\r\n" IDS \
	       "CSeq: 1 " method "\r\n" extra TAIL

#define ALICE "<sip:alice@example.com>;tag=a1"
#define BOB   "<sip:bob@example.com>"
#define OURS  "Route: <sips:tok@SIP.example.com:5061;lr>\r\n"

static bool served(void *arg, struct span d)
{
	(void)arg;
	return span_ieq(d, SPAN("example.com")) || span_ieq(d, SPAN("example.net"));
}

static const struct gate_sip_config config = {
	.host = {(const uint8_t *)"sip.example.com", 15}, .message_max = MAX, .served = served};

static const struct {
	const char *name, *in;
	enum gate_verdict verdict;
	enum gate_reason reason;
	const char *domain; /* of GATE_FORWARD */
	const char *reply;  /* its beginning; NULL: nothing is written */
} cases[] = {
	{"register", MSG("REGISTER", "sip:example.com", ALICE, BOB, ""), GATE_FORWARD, GATE_OK,
	 "example.com", NULL},
	{"register: case of the domain", MSG("REGISTER", "sips:EXAMPLE.com", ALICE, BOB, ""),
	 GATE_FORWARD, GATE_OK, "EXAMPLE.com", NULL},
	{"register: by its Request-URI, not From", MSG("REGISTER", "sip:other.org", ALICE, BOB, ""),
	 GATE_REPLY, GATE_UNSERVED, NULL, "SIP/2.0 403 Domain Not Served Here\r\n"},
	{"register: From does not matter",
	 MSG("REGISTER", "sip:example.net", "<sip:x@other.org>;tag=1", BOB, ""), GATE_FORWARD,
	 GATE_OK, "example.net", NULL},
	{"register: our Route does not matter", MSG("REGISTER", "sip:other.org", ALICE, BOB, OURS),
	 GATE_REPLY, GATE_UNSERVED, NULL, "SIP/2.0 403 Domain Not Served Here\r\n"},
	{"options: by From", MSG("OPTIONS", "sip:sip.example.com", ALICE, BOB, ""), GATE_FORWARD,
	 GATE_OK, "example.com", NULL},
	{"options: From not served",
	 MSG("OPTIONS", "sip:example.com", "<sip:x@other.org>;tag=1", BOB, ""), GATE_REPLY,
	 GATE_UNSERVED, NULL, "SIP/2.0 403 "},
	{"options: tel From", MSG("OPTIONS", "sip:example.com", "<tel:+15550100>;tag=1", BOB, ""),
	 GATE_REPLY, GATE_NO_DOMAIN, NULL, "SIP/2.0 403 "},
	{"invite before admission", MSG("INVITE", "sip:bob@example.com", ALICE, BOB, ""),
	 GATE_REPLY, GATE_NOT_ADMITTED, NULL, "SIP/2.0 403 Register First\r\n"},
	{"invite: domain is told before admission",
	 MSG("INVITE", "sip:bob@example.com", "<sip:x@other.org>;tag=1", BOB, ""), GATE_REPLY,
	 GATE_UNSERVED, NULL, "SIP/2.0 403 Domain Not Served Here\r\n"},
	{"subscribe", MSG("SUBSCRIBE", "sip:bob@example.com", ALICE, BOB, ""), GATE_REPLY,
	 GATE_NOT_ADMITTED, NULL, "SIP/2.0 403 Register First\r\n"},
	{"message", MSG("MESSAGE", "sip:bob@example.com", ALICE, BOB, ""), GATE_REPLY,
	 GATE_NOT_ADMITTED, NULL, "SIP/2.0 403 "},
	{"extension method", MSG("FROB", "sip:bob@example.com", ALICE, BOB, ""), GATE_REPLY,
	 GATE_NOT_ADMITTED, NULL, "SIP/2.0 403 "},
	{"cancel", MSG("CANCEL", "sip:bob@example.com", ALICE, BOB, ""), GATE_REPLY,
	 GATE_NOT_ADMITTED, NULL, "SIP/2.0 403 "},
	{"bye by our Route, From served", MSG("BYE", "sip:bob@10.0.0.9", ALICE, BOB, OURS),
	 GATE_FORWARD, GATE_OK, "example.com", NULL},
	{"bye by our Route, From is what was dialled",
	 MSG("BYE", "sip:100@10.0.0.9", "<sip:100@10.0.0.1>;tag=1", "<sip:200@10.0.0.1>;tag=2",
	     OURS),
	 GATE_FORWARD, GATE_OK, "", NULL},
	{"bye without our Route",
	 MSG("BYE", "sip:100@10.0.0.9", "<sip:100@10.0.0.1>;tag=1", "<sip:200@10.0.0.1>;tag=2", ""),
	 GATE_REPLY, GATE_UNSERVED, NULL, "SIP/2.0 403 "},
	{"bye, first Route not ours",
	 MSG("BYE", "sip:100@10.0.0.9", "<sip:100@10.0.0.1>;tag=1", "<sip:200@10.0.0.1>;tag=2",
	     "Route: <sip:evil.org;lr>\r\n" OURS),
	 GATE_REPLY, GATE_UNSERVED, NULL, "SIP/2.0 403 "},
	{"ack by our Route",
	 MSG("ACK", "sip:100@10.0.0.9", "<sip:100@10.0.0.1>;tag=1", "<sip:200@10.0.0.1>;tag=2",
	     OURS),
	 GATE_FORWARD, GATE_OK, "", NULL},
	{"ack for nobody is not answered",
	 MSG("ACK", "sip:x@other.org", "<sip:x@other.org>;tag=1", BOB, ""), GATE_REPLY,
	 GATE_UNSERVED, NULL, NULL},
	{"invite by our Route still needs admission",
	 MSG("INVITE", "sip:bob@example.com", ALICE, BOB, OURS), GATE_REPLY, GATE_NOT_ADMITTED,
	 NULL, "SIP/2.0 403 Register First\r\n"},
	{"options by our Route, nothing served",
	 MSG("OPTIONS", "sip:x@other.org", "<sip:x@other.org>;tag=1", "<sip:y@other.org>", OURS),
	 GATE_REPLY, GATE_UNSERVED, NULL, "SIP/2.0 403 "},
	{"response",
	 "SIP/2.0 200 OK\r\n" VIA "From: " ALICE "\r\nTo: " BOB "\r\n" IDS
	 "CSeq: 1 OPTIONS\r\nContent-Length: 0\r\n\r\n",
	 GATE_CLOSE, GATE_RESPONSE, NULL, NULL},
	{"http", "GET / HTTP/1.1\r\nHost: example.com\r\n\r\n", GATE_CLOSE, GATE_MALFORMED, NULL,
	 NULL},
	{"two Call-IDs: nothing to answer to",
	 MSG("REGISTER", "sip:example.com", ALICE, BOB, "Call-ID: c2\r\n"), GATE_CLOSE,
	 GATE_MALFORMED, NULL, NULL},
	{"bad CSeq method",
	 "REGISTER sip:example.com SIP/2.0\r\n" VIA "From: " ALICE "\r\nTo: " BOB "\r\n" IDS
	 "CSeq: 1 INVITE\r\n" TAIL,
	 GATE_CLOSE, GATE_MALFORMED, NULL, "SIP/2.0 400 Bad Request ("},
	{"no Content-Length",
	 "OPTIONS sip:example.com SIP/2.0\r\n" VIA "From: " ALICE "\r\nTo: " BOB "\r\n" IDS
	 "CSeq: 1 OPTIONS\r\nMax-Forwards: 70\r\n\r\n",
	 GATE_CLOSE, GATE_MALFORMED, NULL, "SIP/2.0 400 Bad Request ("},
	{"malformed ack is not answered",
	 "ACK sip:example.com SIP/2.0\r\n" VIA "From: " ALICE "\r\nTo: " BOB "\r\n" IDS
	 "CSeq: x ACK\r\nContent-Length: 0\r\n\r\n",
	 GATE_CLOSE, GATE_MALFORMED, NULL, NULL},
	{"too large by Content-Length",
	 "REGISTER sip:example.com SIP/2.0\r\n" VIA "From: " ALICE "\r\nTo: " BOB "\r\n" IDS
	 "CSeq: 1 REGISTER\r\nMax-Forwards: 70\r\nContent-Length: 100000\r\n\r\n",
	 GATE_CLOSE, GATE_TOO_LARGE, NULL, "SIP/2.0 513 Message Too Large\r\n"},
	{"ping", "\r\n\r\n", GATE_REPLY, GATE_OK, NULL, "\r\n"},
	{"binary garbage", "\x16\x03\x01\x02 garbage \r\n\r\n", GATE_CLOSE, GATE_MALFORMED, NULL,
	 NULL},
};

/* Feed @in up to @split, then all of it, as a stream does. */
static enum gate_verdict feed(const char *in, size_t n, size_t split, struct gate_out *out)
{
	struct gate_sip g = {};
	enum gate_verdict v;

	assert_int_equal(addr_parse(SPAN("192.0.2.7:40000"), &g.client), 0);
	v = gate_sip_next(&g, &config, span_of(in, split), out);
	if (v != GATE_MORE)
		return v;
	assert_int_equal(out->used, 0);
	return gate_sip_next(&g, &config, span_of(in, n), out);
}

static void check(size_t i, size_t split)
{
	struct gate_out out;
	size_t n = strlen(cases[i].in);
	enum gate_verdict v = feed(cases[i].in, n, split, &out);

	if (v != cases[i].verdict || out.reason != cases[i].reason)
		fail_msg("%s, split at %zu: verdict %d reason %s (%s)", cases[i].name, split, v,
			 gate_reason_name(out.reason), out.detail);
	if (v == GATE_FORWARD) {
		assert_int_equal(out.used, n);
		assert_true(span_eq(out.forward, span_str(cases[i].in)));
		assert_true(span_eq(out.domain, span_str(cases[i].domain)));
		assert_int_equal(out.reply_n, 0);
	} else if (cases[i].reply) {
		assert_true(out.reply_n >= strlen(cases[i].reply));
		assert_memory_equal(out.reply, cases[i].reply, strlen(cases[i].reply));
	} else {
		assert_int_equal(out.reply_n, 0);
	}
}

static void test_gate_verdicts(void **state)
{
	size_t i, split;

	(void)state;
	for (i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
		for (split = 0; split <= strlen(cases[i].in); split++)
			check(i, split);
}

/* A refusal is a response that the same parser takes, with what RFC 3261 8.2.6.2 copies, and one To tag. */
static void test_gate_reply_fields(void **state)
{
	static const char in[] =
		"INVITE sip:bob@example.com SIP/2.0\r\n" VIA
		"v: SIP/2.0/TCP 10.1.1.1;branch=z9hG4bK-2\r\n"
		"f: " ALICE "\r\nTo:\r\n " BOB "\r\n" IDS "CSeq: 7 INVITE\r\n" TAIL;
	struct gate_out out;
	struct sip_msg m;
	enum sip_why why;
	struct span first;

	(void)state;
	assert_int_equal(feed(in, strlen(in), strlen(in), &out), GATE_REPLY);
	assert_int_equal(sip_msg_parse(span_of(out.reply, out.reply_n), true, MAX, &m, &why),
			 out.reply_n);
	assert_false(m.request);
	assert_int_equal(m.status, 403);
	assert_true(span_eq(m.via.branch, SPAN("z9hG4bK-1")));
	assert_non_null(sip_header_find(&m, SIP_H_VIA, 1, NULL));
	assert_true(span_eq(m.from_tag, SPAN("a1")));
	assert_int_equal(m.cseq, 7);
	assert_true(m.to_tag.n >= 8);
	first = m.to_tag;
	assert_true(span_eq(m.call_id, SPAN("c1@192.0.2.7")));
	/* the same again: the same tag */
	{
		uint8_t copy[GATE_REPLY_MAX];
		struct sip_msg again;
		size_t n = sip_answer(span_of(in, strlen(in)), 503, "Later", "Retry-After: 5\r\n",
				      copy, sizeof(copy));

		assert_true(n > 0);
		assert_int_equal(sip_msg_parse(span_of(copy, n), true, MAX, &again, &why), n);
		assert_true(span_eq(again.to_tag, first));
		assert_int_equal(again.status, 503);
		assert_non_null(sip_header_find(&again, SIP_H_RETRY_AFTER, 0, NULL));
	}
}

/* A request with a To tag keeps it. */
static void test_gate_reply_keeps_to_tag(void **state)
{
	static const char in[] = MSG("BYE", "sip:x@other.org", "<sip:x@other.org>;tag=1",
				     "<sip:y@other.org>;tag=zz", "");
	struct gate_out out;
	struct sip_msg m;
	enum sip_why why;

	(void)state;
	assert_int_equal(feed(in, strlen(in), 0, &out), GATE_REPLY);
	assert_int_equal(sip_msg_parse(span_of(out.reply, out.reply_n), true, MAX, &m, &why),
			 out.reply_n);
	assert_true(span_eq(m.to_tag, SPAN("zz")));
}

static void test_gate_third_unserved_closes(void **state)
{
	static const char in[] =
		MSG("OPTIONS", "sip:x@other.org", "<sip:x@other.org>;tag=1", BOB, "");
	struct gate_sip g = {};
	struct gate_out out;
	unsigned i;

	(void)state;
	for (i = 1; i <= GATE_UNSERVED_MAX; i++) {
		assert_int_equal(gate_sip_next(&g, &config, span_str(in), &out),
				 i < GATE_UNSERVED_MAX ? GATE_REPLY : GATE_CLOSE);
		assert_int_equal(out.reason, GATE_UNSERVED);
		assert_true(out.reply_n > 0);
	}
}

/* CRLFs ahead of a message are swallowed, and two messages in one read come one by one. */
static void test_gate_pipeline(void **state)
{
	static const char one[] = MSG("REGISTER", "sip:example.com", ALICE, BOB, "");
	char in[3 * sizeof(one)];
	struct gate_sip g = {};
	struct gate_out out;
	size_t n;

	(void)state;
	n = (size_t)snprintf(in, sizeof(in), "\r\n%s%s\r\n\r\n", one, one);
	assert_int_equal(gate_sip_next(&g, &config, span_of(in, n), &out), GATE_FORWARD);
	assert_int_equal(out.used, strlen(one) + 2);
	assert_int_equal(out.forward.n, strlen(one));
	assert_int_equal(gate_sip_next(&g, &config, span_of(in + out.used, n - out.used), &out),
			 GATE_FORWARD);
	assert_int_equal(gate_sip_next(&g, &config, span_str("\r\n\r\n"), &out), GATE_REPLY);
	assert_int_equal(out.reason, GATE_OK);
	assert_int_equal(out.reply_n, 2);
}

static void test_gate_stun(void **state)
{
	static const uint8_t in[20] = {0, 1, 0, 0, 0x21, 0x12, 0xa4, 0x42, 1,  2,
				       3, 4, 5, 6, 7,	 8,    9,    10,   11, 12};
	struct gate_sip g = {};
	struct gate_out out;
	size_t i;

	(void)state;
	assert_int_equal(addr_parse(SPAN("192.0.2.7:40000"), &g.client), 0);
	for (i = 1; i < sizeof(in); i++)
		assert_int_equal(gate_sip_next(&g, &config, span_of(in, i), &out), GATE_MORE);
	assert_int_equal(gate_sip_next(&g, &config, span_of(in, sizeof(in)), &out), GATE_REPLY);
	assert_int_equal(out.used, sizeof(in));
	assert_int_equal(out.reply_n, 32);
	assert_memory_equal(out.reply, "\x01\x01\x00\x0c\x21\x12\xa4\x42", 8);
	assert_int_equal((out.reply[26] << 8 | out.reply[27]) ^ 0x2112, 40000);
	assert_int_equal(out.reply[28] ^ 0x21, 192);
}

/* Keepalives and dribbles are bounded. */
static void test_gate_dribble(void **state)
{
	static const char head[] =
		"REGISTER sip:example.com SIP/2.0\r\n" VIA "From: " ALICE "\r\nTo: " BOB "\r\n" IDS
		"CSeq: 1 REGISTER\r\nMax-Forwards: 70\r\nContent-Length: 3000\r\n\r\n";
	struct gate_sip_config wide = config;
	struct gate_sip g = {};
	struct gate_out out;
	uint8_t in[sizeof(head) + 3000];
	enum gate_verdict v = GATE_REPLY;
	size_t i, tries = 0;

	(void)state;
	for (i = 0; i <= GATE_PONGS_MAX && v == GATE_REPLY; i++)
		v = gate_sip_next(&g, &wide, SPAN("\r\n\r\n"), &out);
	assert_int_equal(v, GATE_CLOSE);
	assert_int_equal(out.reason, GATE_DRIBBLE);
	assert_int_equal(i, GATE_PONGS_MAX + 1);

	g = (struct gate_sip){};
	memcpy(in, head, strlen(head));
	memset(in + strlen(head), 'x', 3000);
	for (i = 1, v = GATE_MORE; v == GATE_MORE && i < strlen(head) + 3000; i++, tries++)
		v = gate_sip_next(&g, &wide, span_of(in, i), &out);
	assert_int_equal(v, GATE_CLOSE);
	assert_int_equal(out.reason, GATE_DRIBBLE);
	assert_true(g.work <= GATE_WORK_MAX + sizeof(in));
}

/* While the edge drains only what hangs up an old call may pass; all else that would be forwarded gets 503 and the end. */
static void test_gate_draining(void **state)
{
	static const struct {
		const char *in;
		bool old;
	} t[] = {
		{MSG("REGISTER", "sip:example.com", ALICE, BOB, ""), false},
		{MSG("OPTIONS", "sip:example.com", ALICE, BOB, OURS), false},
		{MSG("BYE", "sip:bob@10.0.0.9", ALICE, BOB, OURS), true},
		{MSG("ACK", "sip:bob@10.0.0.9", ALICE, BOB, OURS), true},
		{MSG("BYE", "sip:bob@10.0.0.9", ALICE, BOB, ""), false},
	};
	static struct gate_out out;
	char reply[GATE_REPLY_MAX + 1];
	size_t i;

	(void)state;
	for (i = 0; i < sizeof(t) / sizeof(t[0]); i++) {
		struct gate_sip g = {};

		assert_int_equal(gate_sip_next(&g, &config, span_str(t[i].in), &out), GATE_FORWARD);
		assert_int_equal(out.old, t[i].old);
		assert_int_equal(gate_sip_service.instead(&g, &config, GATE_DRAINING, &out),
				 GATE_CLOSE);
		snprintf(reply, sizeof(reply), "%.*s", (int)out.reply_n, (const char *)out.reply);
		if (strncmp(t[i].in, "ACK", 3) == 0)
			continue; /* nothing is answered to it */
		assert_int_equal(strncmp(reply, "SIP/2.0 503 ", 12), 0);
		assert_non_null(strstr(reply, "\r\nRetry-After: 30\r\n"));
	}
	assert_int_equal(gate_reason_score(GATE_DRAINING), 0);
	assert_string_equal(gate_reason_name(GATE_DRAINING), "draining");
}

static void test_gate_names(void **state)
{
	unsigned i, k;

	(void)state;
	for (i = 0; i < GATE_REASONS; i++)
		for (k = 0; k < i; k++)
			assert_string_not_equal(gate_reason_name(i), gate_reason_name(k));
	assert_int_equal(gate_reason_score(GATE_NOT_ADMITTED), 0);
	assert_true(gate_reason_score(GATE_MALFORMED) > 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_gate_verdicts),
		cmocka_unit_test(test_gate_reply_fields),
		cmocka_unit_test(test_gate_reply_keeps_to_tag),
		cmocka_unit_test(test_gate_third_unserved_closes),
		cmocka_unit_test(test_gate_pipeline),
		cmocka_unit_test(test_gate_stun),
		cmocka_unit_test(test_gate_dribble),
		cmocka_unit_test(test_gate_draining),
		cmocka_unit_test(test_gate_names),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
