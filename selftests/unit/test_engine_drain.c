/* selftests/unit/test_engine_drain.c -- streams of an edge that drains: what is refused, what goes on, whose stream is closed
 * and when, which way a new call goes. In: registrations, calls, engine_drain(), time. Out: answers, closes, counts. */
#include "selftests/unit/call_kit.h"

#define ON   ENGINE_DRAIN_ON
#define ASK  ENGINE_DRAIN_ASK
#define MOVE ENGINE_DRAIN_MOVE
#define TICK 250

static void drain(struct kit *k, unsigned how)
{
	assert_int_equal(engine_drain(k->e, "edge1", how, k->now), 0);
	kit_drain(k);
}

static void other_edge(struct kit *k, uint64_t id)
{
	struct engine_stream s = {
		.id = id, .edge = "edge2", .edge_host = "edge2.example.net", .edge_port = 5061};

	assert_int_equal(addr_parse(SPAN("198.51.100.77:40000"), &s.client), 0);
	assert_int_equal(engine_stream_open(k->e, &s), 0);
}

static void left(struct kit *k, const char *edge, unsigned calls, unsigned phones)
{
	unsigned c, p;

	engine_drain_left(k->e, edge, &c, &p);
	assert_int_equal(c, calls);
	assert_int_equal(p, phones);
}

/* A request outside any dialog, as the test's own: @n makes it new. */
static void request(struct kit *k, const char *method, unsigned n, const char *more)
{
	kit_client(k, 1,
		   "%s sip:bob@stand.test SIP/2.0\nVia: SIP/2.0/TLS "
		   "192.168.1.9:5061;branch=z9hG4bKn%u;rport\n"
		   "From: <sip:alice@stand.test>;tag=n%u\nTo: <sip:bob@stand.test>\nCall-ID: n%u\n"
		   "CSeq: 1 %s\nMax-Forwards: 70\n%s" CONTACT_A "%s",
		   method, n, n, n, method, more,
		   strcmp(method, "INVITE") == 0 ? CT_SDP OFFER_CLIENT : "");
}

/* One REGISTER with instance and reg-id, credentials for the nonce that kit_register() got. */
static void register_once(struct kit *k, uint64_t stream, const char *user, unsigned reg_id,
			  unsigned n, uint64_t nonce)
{
	char id[120] = "";

	if (reg_id)
		snprintf(id, sizeof(id), ";+sip.instance=\"<urn:uuid:%s>\";reg-id=%u", user,
			 reg_id);
	kit_client(k, stream,
		   "REGISTER sip:stand.test SIP/2.0\nVia: SIP/2.0/TLS "
		   "192.168.1.9:5061;branch=z9hG4bKq%u;rport\nFrom: <sip:%s@stand.test>;tag=q\n"
		   "To: <sip:%s@stand.test>\nCall-ID: q-%u\nCSeq: %u REGISTER\nMax-Forwards: 70\n"
		   "Supported: outbound, path\nAuthorization: Digest username=\"%s\", "
		   "realm=\"stand.test\", nonce=\"n-%s-%u\", uri=\"sip:stand.test\", "
		   "response=\"x\"\nContact: <sip:%s@192.168.1.9:5061;transport=tls>%s\n"
		   "Expires: 600\n",
		   n, user, user, n, n, user, user, (unsigned)nonce, user, id);
}

static void registered(struct kit *k, uint64_t stream, const char *user)
{
	struct kit_msg *m = kit_inside_request(k, "REGISTER");

	snprintf(kit_path, sizeof(kit_path), "%s", kit_hdr(k, m, "Path"));
	kit_inside(k, "%sContact: <sip:%s@192.168.1.9:5061;transport=tls>;expires=600\n",
		   kit_answer(k, m, "200 OK", "s1"), user);
	(void)kit_client_answer(k, stream, 200);
}

static void refused(struct kit *k, uint64_t stream, const char *after)
{
	struct kit_msg *m = kit_client_answer(k, stream, 503);

	assert_string_equal(kit_hdr(k, m, "Retry-After"), after);
	kit_nothing(k);
}

static void test_drain_requests(void **state)
{
	struct up u = up_call(true);
	struct kit *k = u.k;

	(void)state;
	drain(k, ON | ASK);
	request(k, "INVITE", 1, "");
	refused(k, 1, "30");
	request(k, "SUBSCRIBE", 2, "Event: dialog\n");
	refused(k, 1, "30");
	request(k, "REFER", 3, "Refer-To: <sip:bob@stand.test>\n");
	refused(k, 1, "30");
	assert_int_equal(engine_stats(k->e)->refused_draining, 3);
	assert_non_null(strstr(k->logs, "method=INVITE status=503 reason=draining"));
	/* what ends with its answer; what belongs to a call; what takes a call's place; a refresh beside a call */
	request(k, "MESSAGE", 4, "");
	kit_inside(k, "%s", kit_answer(k, kit_inside_request(k, "MESSAGE"), "200 OK", "m"));
	(void)kit_client_answer(k, 1, 200);
	up_client(&u, 1, "INFO", 5, "");
	kit_inside(k, "%s", kit_answer(k, kit_inside_request(k, "INFO"), "200 OK", NULL));
	(void)kit_client_answer(k, 1, 200);
	request(k, "INVITE", 5, "Replaces: c9;to-tag=1;from-tag=2\n");
	(void)kit_client_answer(k, 1, 100);
	kit_inside(k, "%s", kit_answer(k, kit_inside_request(k, "INVITE"), "486 Busy", "r"));
	(void)kit_inside_request(k, "ACK");
	(void)kit_client_answer(k, 1, 486);
	left(k, "edge1", 1, 1);
	left(k, "edge2", 0, 0);
	kit_time(k, 40000);
	register_once(k, 1, "alice", 0, 70, 1);
	registered(k, 1, "alice");
	assert_int_equal(engine_stats(k->e)->refused_draining, 3);
	assert_int_equal(k->closes, 0);
	/* undone */
	drain(k, 0);
	left(k, "edge1", 1, 0);
	request(k, "MESSAGE", 6, "");
	kit_inside(k, "%s", kit_answer(k, kit_inside_request(k, "MESSAGE"), "200 OK", "m"));
	(void)kit_client_answer(k, 1, 200);
	request(k, "SUBSCRIBE", 7, "Event: dialog\n");
	kit_inside(k, "%s", kit_answer(k, kit_inside_request(k, "SUBSCRIBE"), "489 No", "m"));
	(void)kit_client_answer(k, 1, 489);
	up_end(&u);
}

/* bob calls by @path, it comes by @stream, and is refused. */
static void called(struct kit *k, const char *path, uint64_t stream)
{
	kit_inside(k, INVITE_IN CT_SDP ANSWER_INSIDE, path);
	(void)kit_inside_answer(k, 100);
	kit_client(k, stream, "%s",
		   kit_answer(k, kit_client_request(k, stream, "INVITE"), "486 Busy", "x"));
	(void)kit_inside_answer(k, 486);
	(void)kit_client_request(k, stream, "ACK");
	kit_inside(k,
		   "ACK sip:alice@192.168.1.9:5061;transport=tls SIP/2.0\nVia: SIP/2.0/UDP "
		   "10.0.0.5;branch=z9hG4bKx1\nRoute: %s\nFrom: <sip:bob@stand.test>;tag=b1\nTo: "
		   "<sip:alice@stand.test>;tag=x\nCall-ID: c1\nCSeq: 7 ACK\nMax-Forwards: 69\n",
		   path);
	kit_nothing(k);
}

/* A phone that is reached by this edge only is asked once, and kept if it comes again. */
static void test_drain_asks_once(void **state)
{
	struct kit *k = kit_alice();
	unsigned n = 0;

	(void)state;
	drain(k, ON); /* no other edge is up: it cannot go anywhere */
	register_once(k, 1, "alice", 0, ++n, 1);
	registered(k, 1, "alice");
	drain(k, ON | ASK);
	register_once(k, 1, "alice", 0, ++n, 1);
	refused(k, 1, "5");
	register_once(k, 1, "alice", 0, ++n, 1);
	registered(k, 1, "alice");
	kit_time(k, 60000);
	assert_int_equal(k->closes, 0);
	/* it can be called all the time */
	called(k, kit_path, 1);
	kit_time(k, 40000);
	/* each drain asks anew; who leaves may */
	drain(k, 0);
	drain(k, ON | ASK);
	register_once(k, 1, "alice", 0, ++n, 1);
	refused(k, 1, "5");
	kit_client(k, 1,
		   "REGISTER sip:stand.test SIP/2.0\nVia: SIP/2.0/TLS a:1;branch=z9hG4bKe\n"
		   "From: <sip:alice@stand.test>;tag=1\nTo: <sip:alice@stand.test>\nCall-ID: e\n"
		   "CSeq: 9 REGISTER\nMax-Forwards: 70\n"
		   "Contact: <sip:alice@192.168.1.9:5061;transport=tls>;expires=0\n");
	kit_inside(k, "%s", kit_answer(k, kit_inside_request(k, "REGISTER"), "200 OK", "s"));
	(void)kit_client_answer(k, 1, 200);
	/* one that is not admitted yet is new */
	kit_stream(k, 5);
	register_once(k, 5, "alice", 0, ++n, 1);
	refused(k, 5, "30");
	assert_int_equal(engine_stats(k->e)->refused_draining, 3);
	kit_settled(k);
	kit_free(k);
}

/* Two flows of a device: new calls take the other one, and the one that nobody needs is closed. */
static void test_drain_other_flow(void **state)
{
	struct kit *k = kit_new();
	char path[512];

	(void)state;
	kit_stream(k, 1);
	other_edge(k, 2);
	kit_register(k, 1, "alice"); /* the nonce is known */
	register_once(k, 1, "alice", 1, 1, 1);
	registered(k, 1, "alice");
	snprintf(path, sizeof(path), "%s", kit_path);
	drain(k, ON | ASK);
	left(k, "edge1", 0, 2);
	kit_time(k, 4 * TICK);
	assert_int_equal(k->closes, 0);
	register_once(k, 2, "alice", 2, 2, 1);
	registered(k, 2, "alice");
	assert_string_not_equal(path, kit_path);
	left(k, "edge1", 0, 1); /* the Contact without an instance is nobody else's */
	called(k, path, 2);
	kit_time(k, 4 * TICK);
	assert_int_equal(k->closes, 0);
	/* that registration is over: nothing holds stream 1 any more */
	kit_client(k, 1,
		   "REGISTER sip:stand.test SIP/2.0\nVia: SIP/2.0/TLS a:1;branch=z9hG4bKe\n"
		   "From: <sip:alice@stand.test>;tag=1\nTo: <sip:alice@stand.test>\nCall-ID: e\n"
		   "CSeq: 9 REGISTER\nMax-Forwards: 70\n"
		   "Contact: <sip:alice@192.168.1.9:5061;transport=tls>;expires=0\n");
	kit_inside(k, "%s", kit_answer(k, kit_inside_request(k, "REGISTER"), "200 OK", "s"));
	(void)kit_client_answer(k, 1, 200);
	register_once(k, 1, "alice", 1, 3, 1);
	refused(k, 1, "30"); /* it is reached elsewhere: not asked, refused */
	kit_time(k, TICK);
	assert_int_equal(k->closes, 1);
	assert_int_equal(engine_stats(k->e)->drain_moved, 1);
	kit_time(k, 4 * TICK);
	assert_int_equal(k->closes, 1);
	left(k, NULL, 0, 0);
	kit_settled(k);
	kit_free(k);
}

/* A phone that came to another edge with a call by the one that drains: the call's stream stays to its end. */
static void test_drain_call_holds(void **state)
{
	struct up u = up_call(true);
	struct kit *k = u.k;

	(void)state;
	drain(k, ON | ASK);
	other_edge(k, 2);
	kit_register(k, 2, "alice");
	kit_time(k, 4 * TICK);
	assert_int_equal(k->closes, 0);
	left(k, "edge1", 1, 0);
	up_client(&u, 1, "BYE", 9, "");
	kit_inside(k, "%s", kit_answer(k, kit_inside_request(k, "BYE"), "200 OK", NULL));
	(void)kit_client_answer(k, 1, 200);
	kit_time(k, TICK);
	assert_int_equal(k->closes, 1);
	left(k, "edge1", 0, 0);
	kit_settled(k);
	kit_free(k);
}

/* A core that drains, another one behind the same edge: phones are moved at once, so many a tick, those in a call later. */
static void test_drain_core(void **state)
{
	struct up u = up_call(true);
	struct kit *k = u.k;
	char user[16];
	unsigned i;

	(void)state;
	for (i = 2; i < 42; i++) {
		kit_stream(k, i);
		snprintf(user, sizeof(user), "u%u", i);
		kit_register(k, i, user);
	}
	kit_stream(k, 50); /* not admitted */
	drain(k, ON | MOVE);
	kit_time(k, TICK);
	assert_int_equal(k->closes, 25);
	kit_time(k, TICK);
	assert_int_equal(k->closes, 40);
	kit_time(k, 8 * TICK);
	assert_int_equal(k->closes, 40);
	request(k, "INVITE", 1, "");
	refused(k, 1, "30");
	register_once(k, 50, "u2", 0, 1, 2); /* and then it is moved */
	registered(k, 50, "u2");
	kit_time(k, TICK);
	assert_int_equal(k->closes, 41);
	up_client(&u, 1, "BYE", 9, "");
	kit_inside(k, "%s", kit_answer(k, kit_inside_request(k, "BYE"), "200 OK", NULL));
	(void)kit_client_answer(k, 1, 200);
	kit_time(k, TICK);
	assert_int_equal(k->closes, 42);
	drain(k, 0);
	kit_settled(k);
	kit_free(k);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_drain_requests),	 cmocka_unit_test(test_drain_asks_once),
		cmocka_unit_test(test_drain_other_flow), cmocka_unit_test(test_drain_call_holds),
		cmocka_unit_test(test_drain_core),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
