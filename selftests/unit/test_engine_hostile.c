/* selftests/unit/test_engine_hostile.c -- admitted clients that try to reach, learn or hold what is not theirs.
 * In: literal messages. Out: what the inside gets of them, counters, and that nothing is left. */
#include "selftests/unit/call_kit.h"

/* Call servers follow Via and Record-Route of an answer: a client has no say in them. */
static void test_hostile_answer_way_back(void **state)
{
	struct kit *k = kit_alice();
	struct kit_msg *m;
	char via[300], to[300];

	(void)state;
	kit_inside(k,
		   INVITE_IN
		   "Via: SIP/2.0/UDP 10.0.0.77;branch=z9hG4bKphone\n" CT_SDP ANSWER_INSIDE,
		   kit_path);
	(void)kit_inside_answer(k, 100);
	m = kit_client_request(k, 1, "INVITE");
	(void)snprintf(via, sizeof(via), "%s", kit_hdr(k, m, "Via"));
	(void)snprintf(to, sizeof(to), "%s", kit_hdr(k, m, "To"));
	kit_client(k, 1,
		   "SIP/2.0 200 OK\nVia: %s, SIP/2.0/UDP 10.9.9.9;branch=z9hG4bKx1\nv: SIP/2.0/UDP "
		   "10.9.9.8;branch=z9hG4bKy\nRecord-Route: <sip:10.9.9.7;lr>\n"
		   "From: <sip:bob@stand.test>;tag=b1\nTo: %s;tag=a1\nCall-ID: c1\nCSeq: 7 "
		   "INVITE\n" CONTACT_A CT_SDP ANSWER_CLIENT,
		   via, to);
	m = kit_inside_answer(k, 200);
	assert_null(strstr(m->text, "10.9.9."));
	assert_string_equal(kit_hdr_n(k, m, "Via", 0),
			    "SIP/2.0/UDP 10.0.0.5;branch=z9hG4bKx1;received=10.0.0.5");
	assert_string_equal(kit_hdr_n(k, m, "Via", 1), "SIP/2.0/UDP 10.0.0.77;branch=z9hG4bKphone");
	assert_string_equal(kit_hdr_n(k, m, "Via", 2), "");
	assert_non_null(strstr(kit_hdr_n(k, m, "Record-Route", 0), "@edge.example.net:5061"));
	assert_non_null(strstr(kit_hdr_n(k, m, "Record-Route", 1), "@10.0.0.2:5070"));
	assert_string_equal(kit_hdr_n(k, m, "Record-Route", 2), "<sip:10.0.0.5;lr>");
	assert_string_equal(kit_hdr_n(k, m, "Record-Route", 3), "");
	kit_nothing(k);
	kit_free(k);
}

/* A challenge would have the inside phone compute a digest of its password for the client. */
static void test_hostile_answer_challenge(void **state)
{
	static const char *const challenge =
		"WWW-Authenticate: Digest realm=\"stand.test\", nonce=\"1\"\n"
		"Proxy-Authenticate: Digest realm=\"stand.test\", nonce=\"1\"\n";
	struct up u = up_call(true);
	struct kit *k = u.k;
	struct kit_msg *m;

	(void)state;
	up_inside(&u, "BYE", 90,
		  "Authorization: Digest a=\"b\"\nProxy-Authorization: Digest a=\"b\"\n");
	m = kit_client_request(k, 1, "BYE");
	assert_string_equal(kit_hdr(k, m, "Authorization"), "");
	assert_string_equal(kit_hdr(k, m, "Proxy-Authorization"), "");
	kit_client(k, 1, "%s%s", kit_answer(k, m, "407 Proxy Authentication Required", NULL),
		   challenge);
	m = kit_inside_answer(k, 407);
	assert_string_equal(kit_hdr(k, m, "Proxy-Authenticate"), "");
	assert_string_equal(kit_hdr(k, m, "WWW-Authenticate"), "");
	/* A phone asks who tells it to restart. */
	kit_inside(
		k,
		"NOTIFY sip:alice@192.168.1.9 SIP/2.0\nVia: SIP/2.0/UDP 10.0.0.5;branch=z9hG4bKn\n"
		"Route: %s\nFrom: <sip:stand.test>;tag=1\nTo: <sip:alice@stand.test>\n"
		"Call-ID: n\nCSeq: 1 NOTIFY\nEvent: check-sync\nMax-Forwards: 70\n",
		kit_path);
	m = kit_client_request(k, 1, "NOTIFY");
	kit_client(k, 1, "%s%s", kit_answer(k, m, "401 Unauthorized", "a"), challenge);
	m = kit_inside_answer(k, 401);
	assert_string_not_equal(kit_hdr(k, m, "WWW-Authenticate"), "");
	kit_settled(k);
	kit_free(k);
}

/* A header that the call server trusts does not pass in its compact form either, nor is it known by that in the
 * configuration. */
static void test_hostile_compact_trusted(void **state)
{
	static const char *const names[] = {"Referred-By", "y", "Subject", "X-Mine"};
	static const char *const domains[] = {"stand.test"};
	const struct engine_server server = {.name = "kam",
					     .transport = ENGINE_UDP,
					     .domains = domains,
					     .n_domains = 1,
					     .trusted_headers = names,
					     .n_trusted_headers = 4};
	struct kit *k = kit_new();
	struct kit_msg *m;

	(void)state;
	k->c.servers = &server;
	k->c.n_servers = 1;
	kit_restart(k);
	kit_stream(k, 1);
	kit_register(k, 1, "alice");
	kit_client(k, 1,
		   "MESSAGE sip:bob@stand.test SIP/2.0\nVia: SIP/2.0/TLS a:1;branch=z9hG4bKm\n"
		   "From: <sip:alice@stand.test>;tag=1\nTo: <sip:bob@stand.test>\nCall-ID: m\n"
		   "CSeq: 1 MESSAGE\nMax-Forwards: 70\nb: <sip:boss@stand.test>\nIDENTITY : 1\n"
		   "S\t:\n one\n two\nx-mine: 1\nu: kept\n");
	m = kit_inside_request(k, "MESSAGE");
	assert_string_equal(kit_hdr(k, m, "b"), "");
	assert_string_equal(kit_hdr(k, m, "Identity"), "");
	assert_string_equal(kit_hdr(k, m, "s"), "");
	assert_string_equal(kit_hdr(k, m, "X-Mine"), "");
	assert_string_equal(kit_hdr(k, m, "u"), "kept");
	kit_free(k);
}

/* No description passes in a dialog that has no media, nor outside any. */
static void test_hostile_sdp_elsewhere(void **state)
{
	static const char *const methods[] = {"INVITE", "UPDATE", "PRACK"};
	static const char *const plain = CT_SDP SDP_HEAD("10.9.9.9") "m=audio 4000 RTP/AVP 0\n";
	struct up u = {.k = kit_alice()};
	struct kit *k = u.k;
	struct kit_msg *m;
	unsigned i;

	(void)state;
	kit_client(k, 1,
		   "SUBSCRIBE sip:bob@stand.test SIP/2.0\nVia: SIP/2.0/TLS a:1;branch=z9hG4bKs\n"
		   "From: <sip:alice@stand.test>;tag=a1\nTo: <sip:bob@stand.test>\nCall-ID: c1\n"
		   "CSeq: 1 SUBSCRIBE\nEvent: presence\nMax-Forwards: 70\n" CONTACT_A);
	m = kit_inside_request(k, "SUBSCRIBE");
	up_routes(&u, m);
	kit_inside(k, "%s" CONTACT_B, kit_answer(k, m, "200 OK", "b1"));
	(void)kit_client_answer(k, 1, 200);
	u.out = true;
	for (i = 0; i < 3; i++) {
		up_client(&u, 1, methods[i], 2 + i, plain);
		(void)kit_client_answer(k, 1, 481);
		up_inside(&u, methods[i], 2 + i, plain);
		(void)kit_inside_answer(k, 481);
		if (i == 0)
			continue;
		kit_client(k, 1,
			   "%s sip:bob@stand.test SIP/2.0\nVia: SIP/2.0/TLS a:1;branch=z9hG4bKt%u\n"
			   "From: <sip:alice@stand.test>;tag=a1\nTo: <sip:bob@stand.test>\n"
			   "Call-ID: c2\nCSeq: 1 %s\nMax-Forwards: 70\n" CONTACT_A "%s",
			   methods[i], i, methods[i], plain);
		(void)kit_client_answer(k, 1, 481);
	}
	kit_nothing(k);
	assert_int_equal(k->n_media, 0);
	kit_free(k);
}

/* A hop count of 0 goes no further, whatever the method. */
static void test_hostile_max_forwards(void **state)
{
	struct up u = up_call(true);
	struct kit *k = u.k;

	(void)state;
	kit_client(k, 1,
		   "ACK sip:bob@10.0.0.77:5060 SIP/2.0\nVia: SIP/2.0/TLS a:1;branch=z9hG4bKak\n"
		   "Route: %s\nRoute: %s\nFrom: <sip:alice@stand.test>;tag=a1\n"
		   "To: <sip:bob@stand.test>;tag=b1\nCall-ID: c1\nCSeq: 1 ACK\nMax-Forwards: 0\n",
		   u.route_a, u.route_b);
	kit_nothing(k);
	kit_inside(k,
		   "OPTIONS sip:alice@192.168.1.9 SIP/2.0\nVia: SIP/2.0/UDP "
		   "10.0.0.5;branch=z9hG4bKo\nRoute: %s\nFrom: <sip:stand.test>;tag=1\nTo: "
		   "<sip:alice@stand.test>\nCall-ID: o\nCSeq: 1 OPTIONS\nMax-Forwards: 0\n",
		   kit_path);
	(void)kit_inside_answer(k, 200);
	kit_nothing(k);
	up_end(&u);
}

/* A stream that shows the dialog's token, but is not admitted for its user, may hang up; it does not get the
 * dialog's requests. */
static void test_hostile_token_of_another(void **state)
{
	struct up u = up_call(true);
	struct kit *k = u.k;

	(void)state;
	kit_stream(k, 7);
	up_client(&u, 7, "ACK", 1, "");
	(void)kit_inside_request(k, "ACK");
	engine_stream_closed(k->e, 1, k->now);
	kit_drain(k);
	up_inside(&u, "INFO", 20, "");
	(void)kit_inside_answer(k, 480);
	kit_nothing(k);
	up_client(&u, 7, "INFO", 2, "");
	(void)kit_client_answer(k, 7, 403);
	up_client(&u, 7, "BYE", 3, "");
	(void)kit_inside_request(k, "BYE");
	assert_int_equal(kit_media_live(k), 0);
	kit_free(k);
}

/* A BYE with another dialog's tags does not end this one, whose far end would not take it and stay. */
static void test_hostile_bye_tags(void **state)
{
	static const char *const tags[][2] = {{"a1", "b2"}, {"a2", "b1"}, {"b1", "a1"}};
	struct up u = up_call(true);
	struct kit *k = u.k;
	size_t i;

	(void)state;
	for (i = 0; i < 3; i++) {
		kit_client(k, 1,
			   "BYE sip:bob@10.0.0.77:5060 SIP/2.0\nVia: SIP/2.0/TLS "
			   "a:1;branch=z9hG4bKb%zu\nRoute: %s\nRoute: %s\n"
			   "From: <sip:alice@stand.test>;tag=%s\nTo: <sip:bob@stand.test>;tag=%s\n"
			   "Call-ID: c1\nCSeq: 2 BYE\nMax-Forwards: 70\n",
			   i, u.route_a, u.route_b, tags[i][0], tags[i][1]);
		(void)kit_client_answer(k, 1, 481);
		kit_inside(k,
			   "BYE sip:alice@192.168.1.9:5061;transport=tls SIP/2.0\nVia: "
			   "SIP/2.0/UDP 10.0.0.5;branch=z9hG4bKc%zu\nRoute: %s\nRoute: %s\n"
			   "From: <sip:bob@stand.test>;tag=%s\nTo: <sip:alice@stand.test>;tag=%s\n"
			   "Call-ID: c1\nCSeq: 80 BYE\nMax-Forwards: 69\n",
			   i, u.route_b, u.route_a, tags[i][1], tags[i][0]);
		(void)kit_inside_answer(k, 481);
	}
	kit_nothing(k);
	assert_int_equal(kit_media_live(k), 1);
	up_end(&u);
}

/* The client leaves while its INVITE waits for ports: the caller learns it at once, not after 32 s. */
static void test_hostile_gone_before_ports(void **state)
{
	struct kit *k = kit_alice();

	(void)state;
	k->hold_media = true;
	kit_inside(k, INVITE_IN CT_SDP ANSWER_INSIDE, kit_path);
	(void)kit_inside_answer(k, 100);
	engine_stream_closed(k->e, 1, k->now);
	engine_medium_opened(k->e, k->media[0].id, &k->media[0].a, k->now);
	kit_drain(k);
	(void)kit_inside_answer(k, 480);
	kit_nothing(k);
	kit_settled(k);
	kit_free(k);
}

/* Folds in a client's Record-Route do not become lines of what we write by it. */
static void test_hostile_folded_route(void **state)
{
	struct kit *k = kit_alice();
	struct kit_msg *m;

	(void)state;
	kit_client(k, 1,
		   INVITE_OUT "Record-Route: \"p\"\n <sip:192.168.1.1;lr>\n ;x=1, "
			      "<sip:192.168.1.2;lr>\n" CT_SDP OFFER_CLIENT);
	(void)kit_client_answer(k, 1, 100);
	m = kit_inside_request(k, "INVITE");
	kit_inside(k,
		   "SIP/2.0 200 OK\nVia: %s\nVia: %s\nFrom: <sip:alice@stand.test>;tag=a1\n"
		   "To: <sip:bob@stand.test>;tag=b1\nCall-ID: c1\nCSeq: 1 INVITE\n" CONTACT_B CT_SDP
			   ANSWER_INSIDE,
		   kit_hdr_n(k, m, "Via", 0), kit_hdr_n(k, m, "Via", 1));
	(void)kit_client_answer(k, 1, 200);
	engine_medium_silent(k->e, k->media[0].id, k->now);
	kit_drain(k);
	m = kit_client_request(k, 1, "BYE");
	assert_string_equal(kit_hdr_n(k, m, "Route", 0), "\"p\" <sip:192.168.1.1;lr> ;x=1");
	assert_string_equal(kit_hdr_n(k, m, "Route", 1), "<sip:192.168.1.2;lr>");
	assert_string_equal(kit_hdr_n(k, m, "Route", 2), "");
	kit_free(k);
}

/* A called client that answers for ever, each time as another branch, gets so many ACKs and BYEs and no more. */
static void test_hostile_answers_without_end(void **state)
{
	struct kit *k = kit_alice();
	struct kit_msg *m, *i;
	unsigned n, byes = 0;
	char tag[16];

	(void)state;
	kit_inside(k, INVITE_IN CT_SDP ANSWER_INSIDE, kit_path);
	(void)kit_inside_answer(k, 100);
	i = kit_client_request(k, 1, "INVITE");
	for (n = 0; n < 200; n++) {
		(void)snprintf(tag, sizeof(tag), "t%u", n);
		kit_client(k, 1, "%s" CONTACT_A CT_SDP ANSWER_CLIENT,
			   kit_answer(k, i, "200 OK", tag));
	}
	(void)kit_inside_answer(k, 200);
	while ((m = kit_to_client(k, 1)))
		byes += span_eq(m->m.method_text, SPAN("BYE"));
	assert_int_equal(byes, 32);
	assert_true(engine_stats(k->e)->transactions < 40);
	assert_int_equal(engine_stats(k->e)->refused_full, 200 - 1 - 32);
	kit_nothing(k);
	kit_free(k);
}

/* One user's instances do not fill the table of bindings. */
static void test_hostile_instances(void **state)
{
	struct kit *k = kit_alice();
	struct kit_msg *m;
	unsigned n, full = 0;

	(void)state;
	for (n = 1; n < 60; n++) {
		kit_stream(k, 1 + n);
		kit_client(k, 1 + n,
			   "REGISTER sip:stand.test SIP/2.0\nVia: SIP/2.0/TLS "
			   "a:1;branch=z9hG4bKi%u\nFrom: <sip:alice@stand.test>;tag=1\n"
			   "To: <sip:alice@stand.test>\nCall-ID: i%u\nCSeq: 1 REGISTER\n"
			   "Contact: <sip:a@192.168.1.9>;+sip.instance=\"<urn:x:%u>\"\n"
			   "Max-Forwards: 70\nAuthorization: Digest username=\"alice\", "
			   "realm=\"stand.test\", nonce=\"n-alice-1\", uri=\"sip:stand.test\", "
			   "response=\"x\"\n",
			   n, n, n);
		m = kit_inside_request(k, "REGISTER");
		kit_inside(k, "%sContact: <sip:a@192.168.1.9>;expires=60\n",
			   kit_answer(k, m, "200 OK", "s"));
		m = kit_to_client(k, 1 + n);
		full += m->m.status == 503;
		if (m->m.status != 503)
			continue;
		m = kit_inside_request(k, "REGISTER"); /* taken back */
		kit_inside(k, "%s", kit_answer(k, m, "200 OK", "s"));
	}
	kit_nothing(k);
	assert_int_equal(engine_stats(k->e)->bindings, 32);
	assert_int_equal(full, 59 + 1 - 32);
	kit_time(k, 700000);
	assert_int_equal(engine_stats(k->e)->bindings, 0);
	kit_settled(k);
	kit_free(k);
}

/* After a restart the dialog goes on, but no description of the inside passes in it. */
static void test_hostile_ack_after_restart(void **state)
{
	struct up u = up_call(true);
	struct kit *k = u.k;
	struct kit_msg *m;

	(void)state;
	kit_restart(k);
	kit_stream(k, 1);
	kit_register(k, 1, "alice");
	up_inside(&u, "ACK", 20, CT_SDP ANSWER_INSIDE);
	m = kit_client_request(k, 1, "ACK");
	assert_string_equal(kit_body(m), "");
	assert_string_equal(kit_hdr(k, m, "Content-Type"), "");
	up_inside(&u, "UPDATE", 21, CT_SDP ANSWER_INSIDE);
	(void)kit_inside_answer(k, 481);
	kit_nothing(k);
	kit_free(k);
}

/* What has failed lives on for 32 s, so one client's failures must not fill the tables for all. */
static void test_hostile_failures_without_end(void **state)
{
	struct kit *k = kit_new();
	struct kit_msg *m;
	unsigned i, full = 0;

	(void)state;
	k->c.calls_user_max = 1; /* 16 + 64 calls that linger; the table has room for 100 */
	kit_restart(k);
	kit_stream(k, 1);
	kit_register(k, 1, "alice");
	kit_stream(k, 2);
	kit_register(k, 2, "carol");
	for (i = 0; i < 600; i++) {
		kit_client(
			k, 1,
			"%s sip:bob@stand.test SIP/2.0\nVia: SIP/2.0/TLS a:1;branch=z9hG4bKm%u\n"
			"From: <sip:alice@stand.test>;tag=1\nTo: <sip:bob@stand.test>\nCall-ID: m\n"
			"CSeq: %u %s\nMax-Forwards: 70\n" CONTACT_A,
			i < 200 ? "INVITE" : "MESSAGE", i, i + 1, i < 200 ? "INVITE" : "MESSAGE");
		m = kit_to_inside(k);
		if (m)
			kit_inside(k, "%s", kit_answer(k, m, "404 Not Found", "s"));
		while ((m = kit_to_inside(k)))
			assert_int_equal(m->m.method, SIP_M_ACK);
		while ((m = kit_to_client(k, 1)))
			full += m->m.status == 503;
		if (i == 199)
			assert_in_range(full, 115, 125);
	}
	assert_in_range(full, 121, 140);
	assert_in_range(engine_stats(k->e)->transactions, 400, 512);
	kit_client(k, 2,
		   "INVITE sip:bob@stand.test SIP/2.0\nVia: SIP/2.0/TLS a:1;branch=z9hG4bKc\n"
		   "From: <sip:carol@stand.test>;tag=1\nTo: <sip:bob@stand.test>\nCall-ID: c\n"
		   "CSeq: 1 INVITE\nMax-Forwards: 70\n" CONTACT_A);
	(void)kit_client_answer(k, 2, 100);
	(void)kit_inside_request(k, "INVITE");
	kit_settled(k);
	kit_free(k);
}

/* With the highest CSeq there would be none left for the BYE that ends a silent call. */
static void test_hostile_cseq(void **state)
{
	struct up u = up_call(true);
	struct kit *k = u.k;
	struct kit_msg *m;

	(void)state;
	up_client(&u, 1, "INFO", 2147483647, "");
	(void)kit_client_answer(k, 1, 400);
	up_client(&u, 1, "INFO", 2147482623, "");
	m = kit_inside_request(k, "INFO");
	kit_inside(k, "%s", kit_answer(k, m, "200 OK", NULL));
	(void)kit_client_answer(k, 1, 200);
	engine_medium_silent(k->e, k->media[0].id, k->now);
	kit_drain(k);
	m = kit_inside_request(k, "BYE");
	assert_int_equal(m->m.cseq, 2147482624);
	kit_free(k);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_hostile_answer_way_back),
		cmocka_unit_test(test_hostile_answer_challenge),
		cmocka_unit_test(test_hostile_compact_trusted),
		cmocka_unit_test(test_hostile_sdp_elsewhere),
		cmocka_unit_test(test_hostile_max_forwards),
		cmocka_unit_test(test_hostile_token_of_another),
		cmocka_unit_test(test_hostile_bye_tags),
		cmocka_unit_test(test_hostile_answers_without_end),
		cmocka_unit_test(test_hostile_instances),
		cmocka_unit_test(test_hostile_gone_before_ports),
		cmocka_unit_test(test_hostile_folded_route),
		cmocka_unit_test(test_hostile_ack_after_restart),
		cmocka_unit_test(test_hostile_failures_without_end),
		cmocka_unit_test(test_hostile_cseq),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
