/* selftests/unit/test_engine_identity.c -- what clients may say and where they may send; what call servers may ask of
 * us. In: literal requests. Out: refusals with their reasons and counters, fields removed. */
#include "selftests/unit/engine_kit.h"

#define OUT(method, uri, from, more)                                                              \
	method " " uri " SIP/2.0\nVia: SIP/2.0/TLS 192.168.1.9:5061;branch=z9hG4bKm\nFrom: " from \
	       ";tag=1\n"                                                                         \
	       "To: <sip:bob@stand.test>\nCall-ID: id\nCSeq: 1 " method                           \
	       "\nMax-Forwards: 70\n" more
#define ALICE "<sip:alice@stand.test>"
#define BOB   "sip:bob@stand.test"

static struct kit *kit_alice(void)
{
	struct kit *k = kit_new();

	kit_stream(k, 1);
	kit_register(k, 1, "alice");
	return k;
}

static void test_identity_refused(void **state)
{
	static const struct {
		const char *request, *reason;
		unsigned status;
		bool route;
	} rows[] = {
		{OUT("MESSAGE", BOB, "<sip:boss@stand.test>", ""), "from", 403, false},
		{OUT("MESSAGE", BOB, "<sip:alice@other.test>", ""), "from", 403, false},
		{OUT("MESSAGE", BOB, "<sip:alice@stand.test.evil>", ""), "from", 403, false},
		{OUT("MESSAGE", BOB, "\"sip:alice@stand.test\" <sip:eve@stand.test>", ""), "from",
		 403, false},
		{OUT("MESSAGE", BOB, "<tel:+123>", ""), "from", 403, false},
		{OUT("MESSAGE", BOB, ALICE, "P-Preferred-Identity: <sip:boss@stand.test>\n"),
		 "preferred-identity", 403, false},
		{OUT("INVITE", BOB, "<sip:boss@stand.test>", ""), "from", 403, false},
		{OUT("MESSAGE", BOB, ALICE, "Route: <sip:10.0.0.9;lr>\n"), "route", 403, true},
		{OUT("MESSAGE", BOB, ALICE, "Route: <sip:10.0.0.2:5070;lr>\n"), "route", 403, true},
		{OUT("MESSAGE", BOB, ALICE,
		     "Route: <sip:edge.example.net:5061;lr>, <sip:10.0.0.9;lr>\n"),
		 "route", 403, true},
		{OUT("MESSAGE", BOB, ALICE,
		     "Route: <sip:edge.example.net:5061;lr>\nRoute: <sip:10.0.0.9;lr>\n"),
		 "route", 403, true},
		{OUT("MESSAGE", BOB, ALICE, "Route: <sip:EQAAAA@edge.example.net:5061;lr>\n"),
		 "token", 403, true},
		{OUT("MESSAGE", BOB, ALICE, "Route: <sip:edge.example.net:7777;lr>\n"), "route",
		 403, true},
	};
	char want[64];
	size_t i;

	(void)state;
	for (i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct kit *k = kit_alice();

		kit_client(k, 1, "%s", rows[i].request);
		(void)kit_client_answer(k, 1, rows[i].status);
		kit_nothing(k);
		(void)snprintf(want, sizeof(want), "reason=%s ", rows[i].reason);
		assert_non_null(strstr(k->logs, want));
		assert_int_equal(engine_stats(k->e)->refused_route, rows[i].route);
		assert_int_equal(engine_stats(k->e)->refused_identity, !rows[i].route);
		assert_int_equal(engine_stats(k->e)->refused_token,
				 strcmp(rows[i].reason, "token") == 0);
		kit_settled(k);
		kit_free(k);
	}
}

static void test_identity_passes(void **state)
{
	static const char *const rows[] = {
		OUT("MESSAGE", BOB, ALICE, ""),
		OUT("MESSAGE", BOB, "<sip:alice@STAND.test:5061;transport=tls>", ""),
		OUT("MESSAGE", BOB, "<sip:%61lice@stand.test>", ""),
		OUT("PUBLISH", BOB, ALICE, "P-Preferred-Identity: " ALICE "\n"),
		OUT("FLY", "sip:far@elsewhere.example", ALICE,
		    "Route: <sip:edge.example.net:5061;transport=tls;lr>\n"),
		OUT("MESSAGE", BOB, ALICE, "Route: <sip:stand.test;lr>\n"),
	};
	size_t i;

	(void)state;
	for (i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct kit *k = kit_alice();
		struct kit_msg *m;

		kit_client(k, 1, "%s", rows[i]);
		m = kit_to_inside(k);
		if (!m)
			fail_msg("row %zu: %s", i, k->logs);
		assert_non_null(m);
		assert_int_equal(m->a.server, 0);
		assert_int_equal(m->a.to.port, 0);
		assert_string_equal(kit_hdr(k, m, "Route"), "");
		assert_string_equal(kit_hdr(k, m, "Max-Forwards"), "69");
		kit_inside(k, "%s", kit_answer(k, m, "200 OK", "b"));
		(void)kit_client_answer(k, 1, 200);
		kit_nothing(k);
		kit_settled(k);
		kit_free(k);
	}
}

static void test_identity_headers_removed(void **state)
{
	struct kit *k = kit_alice();
	struct kit_msg *m;

	(void)state;
	kit_client(k, 1,
		   OUT("MESSAGE", BOB, ALICE,
		       "P-Asserted-Identity: <sip:boss@stand.test>\nx-trusted-edge: "
		       "1\nRemote-Party-ID: <sip:boss@stand.test>\n"
		       "Path: <sip:a@b>\nX-Kept: 1\nP-Asserted-Identity: <tel:1>\n"));
	m = kit_inside_request(k, "MESSAGE");
	assert_string_equal(kit_hdr(k, m, "P-Asserted-Identity"), "");
	assert_string_equal(kit_hdr(k, m, "X-Trusted-Edge"), "");
	assert_string_equal(kit_hdr(k, m, "Remote-Party-ID"), "");
	assert_string_equal(kit_hdr(k, m, "Path"), "");
	assert_string_equal(kit_hdr(k, m, "X-Kept"), "1");
	kit_inside(k, "%sP-Asserted-Identity: <sip:bob@stand.test>\nX-Trusted-Edge: 2\n",
		   kit_answer(k, m, "200 OK", "b"));
	m = kit_client_answer(k, 1, 200);
	assert_string_equal(kit_hdr(k, m, "P-Asserted-Identity"), "<sip:bob@stand.test>");
	assert_string_equal(kit_hdr(k, m, "X-Trusted-Edge"), "2");
	/* The same goes for a client's answers. */
	kit_inside(k,
		   "MESSAGE sip:alice@192.168.1.9 SIP/2.0\nVia: SIP/2.0/UDP "
		   "10.0.0.5:5066;branch=z9hG4bKhr\nRoute: %s\nP-Asserted-Identity: <sip:x@y>\n"
		   "From: <sip:bob@stand.test>;tag=1\nTo: <sip:alice@stand.test>\nCall-ID: "
		   "hr\nCSeq: 1 MESSAGE\nMax-Forwards: 70\n",
		   kit_path);
	m = kit_client_request(k, 1, "MESSAGE");
	assert_string_equal(kit_hdr(k, m, "P-Asserted-Identity"), "<sip:x@y>");
	kit_client(k, 1, "%sP-Asserted-Identity: <sip:boss@stand.test>\nX-Trusted-Edge: 1\n",
		   kit_answer(k, m, "200 OK", "a"));
	m = kit_inside_answer(k, 200);
	assert_string_equal(kit_hdr(k, m, "P-Asserted-Identity"), "");
	assert_string_equal(kit_hdr(k, m, "X-Trusted-Edge"), "");
	assert_int_equal(m->a.to.port, 5066);
	kit_settled(k);
	kit_free(k);
}

static void test_identity_not_admitted(void **state)
{
	static const char *const methods[] = {"MESSAGE", "INVITE", "SUBSCRIBE",
					      "FLY",	 "BYE",	   "UPDATE"};
	struct kit *k = kit_new();
	struct kit_msg *m;
	size_t i;

	(void)state;
	kit_stream(k, 1);
	for (i = 0; i < sizeof(methods) / sizeof(methods[0]); i++) {
		kit_client(k, 1,
			   "%s sip:bob@stand.test SIP/2.0\nVia: SIP/2.0/TLS "
			   "a:1;branch=z9hG4bKn%u\nFrom: <sip:alice@stand.test>;tag=1\n"
			   "To: <sip:bob@stand.test>\nCall-ID: id\nCSeq: 1 %s\nMax-Forwards: 70\n",
			   methods[i], (unsigned)i, methods[i]);
		m = kit_client_answer(k, 1, 403);
		assert_true(span_eq(m->m.reason, SPAN("Register First")));
	}
	kit_client(k, 1,
		   "ACK sip:bob@stand.test SIP/2.0\nVia: SIP/2.0/TLS a:1;branch=z9hG4bKa\nFrom: "
		   "<sip:alice@stand.test>;tag=1\n"
		   "To: <sip:bob@stand.test>;tag=2\nCall-ID: id\nCSeq: 1 ACK\nMax-Forwards: 70\n");
	kit_nothing(k);
	/* OPTIONS is answered here, for whoever asks. */
	kit_client(k, 1,
		   "OPTIONS sip:stand.test SIP/2.0\nVia: SIP/2.0/TLS "
		   "a:1;branch=z9hG4bKo;rport\nFrom: <sip:x@y>;tag=1\n"
		   "To: <sip:stand.test>\nCall-ID: id\nCSeq: 1 OPTIONS\nMax-Forwards: 70\n");
	m = kit_client_answer(k, 1, 200);
	assert_non_null(strstr(kit_hdr(k, m, "Via"), "received=198.51.100.1;rport=40001"));
	assert_non_null(strstr(kit_hdr(k, m, "To"), ";tag="));
	kit_client(k, 1,
		   "OPTIONS sip:bob@far.test SIP/2.0\nVia: SIP/2.0/TLS a:1;branch=z9hG4bKp\nFrom: "
		   "<sip:x@y>;tag=1\n"
		   "To: <sip:stand.test>\nCall-ID: id\nCSeq: 1 OPTIONS\nMax-Forwards: 0\n");
	(void)kit_client_answer(k, 1, 200);
	kit_nothing(k);
	kit_free(k);
}

/* After the binding has gone the same request is refused. */
static void test_identity_after_expiry(void **state)
{
	struct kit *k = kit_alice();

	(void)state;
	kit_time(k, 601000);
	kit_client(k, 1, OUT("MESSAGE", BOB, ALICE, ""));
	(void)kit_client_answer(k, 1, 403);
	kit_free(k);
}

static void test_identity_from_inside(void **state)
{
	static const struct {
		const char *route;
		unsigned status;
	} rows[] = {
		{"", 404},
		{"Route: <sip:EQAAAA@10.0.0.2:5070;lr>\n", 403},
		{"Route: <sip:10.0.0.2:5070;lr>\n", 404},
		{"Route: <sip:10.9.9.9;lr>\n", 404},
	};
	struct kit *k = kit_alice();
	size_t i;

	(void)state;
	for (i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		kit_inside(k,
			   "MESSAGE sip:alice@192.168.1.9 SIP/2.0\nVia: SIP/2.0/UDP "
			   "10.0.0.5;branch=z9hG4bKi%u\n%sFrom: <sip:bob@stand.test>;tag=1\n"
			   "To: <sip:alice@stand.test>\nCall-ID: hr\nCSeq: 1 "
			   "MESSAGE\nMax-Forwards: 70\n",
			   (unsigned)i, rows[i].route);
		(void)kit_inside_answer(k, rows[i].status);
	}
	/* Another call server may not use this one's binding. */
	kit_inside_tcp(
		k, 5,
		"MESSAGE sip:alice@192.168.1.9 SIP/2.0\nVia: SIP/2.0/TCP "
		"10.0.0.5;branch=z9hG4bKis\nRoute: %s\nFrom: <sip:bob@stand.test>;tag=1\n"
		"To: <sip:alice@stand.test>\nCall-ID: hr\nCSeq: 1 MESSAGE\nMax-Forwards: 70\n",
		kit_path);
	assert_int_equal(kit_inside_answer(k, 403)->a.inside_conn, 5);
	kit_inside(k, "OPTIONS sip:10.0.0.2:5070 SIP/2.0\nVia: SIP/2.0/UDP "
		      "10.0.0.5;branch=z9hG4bKio\nFrom: <sip:k@10.0.0.5>;tag=1\n"
		      "To: <sip:10.0.0.2>\nCall-ID: op\nCSeq: 1 OPTIONS\nMax-Forwards: 70\n");
	(void)kit_inside_answer(k, 200);
	kit_nothing(k);
	kit_free(k);
}

/* An answer with a branch that is not ours, or from where the request did not go, is dropped and counted. */
static void test_identity_stray_answers(void **state)
{
	struct kit *k = kit_alice();
	struct kit_msg *m;
	const char *ok;

	(void)state;
	kit_stream(k, 2);
	kit_inside(k,
		   "MESSAGE sip:alice@192.168.1.9 SIP/2.0\nVia: SIP/2.0/UDP "
		   "10.0.0.5;branch=z9hG4bKst\nRoute: %s\nFrom: <sip:bob@stand.test>;tag=1\n"
		   "To: <sip:alice@stand.test>\nCall-ID: hr\nCSeq: 1 MESSAGE\nMax-Forwards: 70\n",
		   kit_path);
	m = kit_client_request(k, 1, "MESSAGE");
	ok = kit_answer(k, m, "200 OK", "a");
	kit_client(k, 2, "%s", ok); /* another client */
	kit_inside(k, "%s", ok);
	kit_client(k, 1,
		   "SIP/2.0 200 OK\nVia: SIP/2.0/TLS "
		   "edge.example.net:5061;branch=z9hG4bKforged\nFrom: <sip:b@c>;tag=1\nTo: "
		   "<sip:a@b>;tag=2\n"
		   "Call-ID: hr\nCSeq: 1 MESSAGE\n");
	kit_nothing(k);
	/* Ours, but without the Via of whom it should go on to. */
	kit_client(k, 1,
		   "SIP/2.0 200 OK\nVia: %s\nFrom: <sip:bob@stand.test>;tag=1\nTo: "
		   "<sip:alice@stand.test>;tag=2\n"
		   "Call-ID: hr\nCSeq: 1 MESSAGE\n",
		   kit_hdr(k, m, "Via"));
	kit_nothing(k);
	assert_int_equal(engine_stats(k->e)->refused_token, 4);
	kit_client(k, 1, "%s", ok);
	(void)kit_inside_answer(k, 200);
	kit_settled(k);
	kit_free(k);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_identity_refused),
		cmocka_unit_test(test_identity_passes),
		cmocka_unit_test(test_identity_headers_removed),
		cmocka_unit_test(test_identity_not_admitted),
		cmocka_unit_test(test_identity_after_expiry),
		cmocka_unit_test(test_identity_from_inside),
		cmocka_unit_test(test_identity_stray_answers),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
