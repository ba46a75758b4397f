/* selftests/unit/test_engine_target.c -- several addresses of one call server: which one a request goes to, and where it
 * goes on when that one fails. In: addresses, failures, answers of each of them, time. Out: messages by address. */
#include "selftests/unit/call_kit.h"

#define A "10.0.0.5:5060"
#define B "10.0.0.6:5060"
#define C "10.0.0.7:5060"

/* What the test's targets do about OPTIONS: 0 nothing, else the status. */
static struct bed {
	unsigned options[3], pings[3], knocks;
} bed;

static unsigned at_of(const struct addr *a)
{
	static const char *const names[] = {A, B, C};
	char text[ADDR_TEXT_MAX];
	unsigned i;

	for (i = 0; i < 3; i++)
		if (strcmp(addr_text(a, text), names[i]) == 0)
			return i;
	fail_msg("a message to %s", text);
	return 0;
}

static bool own(struct kit *k, const struct engine_action *a)
{
	unsigned at = at_of(&a->to);
	struct kit_msg m = {0};
	enum sip_why why;
	char from[ADDR_TEXT_MAX], text[2000];

	if (span_eq(a->data, SPAN("\r\n\r\n"))) {
		bed.knocks++;
		return true;
	}
	if (a->answer || !span_eq(span_cut(a->data, 0, 8), SPAN("OPTIONS ")))
		return false;
	bed.pings[at]++;
	assert_true(sip_msg_parse(a->data, true, 65536, &m.m, &why) > 0);
	if (bed.options[at]) {
		(void)snprintf(text, sizeof(text), "%u Whatever", bed.options[at]);
		kit_inside_from(k, addr_text(&a->to, from), "%s", kit_answer(k, &m, text, "p"));
	}
	return true;
}

static void targets(struct kit *k, unsigned n, const char *const at[], const unsigned prio[],
		    const unsigned weight[])
{
	struct engine_target t[3] = {0};
	unsigned i;

	for (i = 0; i < n; i++) {
		assert_int_equal(addr_parse(span_str(at[i]), &t[i].addr), 0);
		t[i].priority = (uint16_t)prio[i];
		t[i].weight = (uint16_t)weight[i];
	}
	engine_targets(k->e, 0, t, n, k->now);
	kit_drain(k);
}

static const char *const abc[] = {A, B, C};

/* A first, then B. */
static struct kit *kit_two(void)
{
	struct kit *k = kit_new();

	bed = (struct bed){.options = {200, 200, 200}};
	k->own = own;
	targets(k, 2, abc, (unsigned[]){1, 2}, (unsigned[]){0, 0});
	kit_time(k, 10);
	kit_stream(k, 1);
	return k;
}

static void kit_end(struct kit *k)
{
	kit_nothing(k);
	targets(k, 0, abc, NULL, NULL);
	kit_settled(k);
	kit_free(k);
}

static void lost(struct kit *k, const char *at, enum engine_failure how)
{
	struct addr a;

	assert_int_equal(addr_parse(span_str(at), &a), 0);
	engine_inside_failed(k->e, 0, &a, how, "test says so", k->now);
	kit_drain(k);
}

static struct kit_msg *request_at(struct kit *k, const char *at, const char *method)
{
	struct kit_msg *m = kit_inside_request(k, method);
	char text[ADDR_TEXT_MAX];

	assert_string_equal(addr_text(&m->a.to, text), at);
	return m;
}

static void message(struct kit *k, const char *branch)
{
	kit_client(k, 1,
		   "MESSAGE sip:bob@stand.test SIP/2.0\nVia: SIP/2.0/TLS a:1;branch=z9hG4bK%s\n"
		   "From: <sip:alice@stand.test>;tag=1\nTo: <sip:bob@stand.test>\nCall-ID: m\n"
		   "CSeq: 1 MESSAGE\nMax-Forwards: 70\n",
		   branch);
}

static void answer_from(struct kit *k, const char *from, const struct kit_msg *m,
			const char *status)
{
	kit_inside_from(k, from, "%s", kit_answer(k, m, status, "s"));
}

/* One answer to the client, whatever the way; what the first target says later is too late. */
static void test_target_refused(void **state)
{
	struct kit *k = kit_two();
	struct kit_msg *first, *m;
	char via[2][300];

	(void)state;
	kit_register(k, 1, "alice");
	message(k, "r1");
	first = request_at(k, A, "MESSAGE");
	lost(k, A, ENGINE_REFUSED);
	m = request_at(k, B, "MESSAGE");
	(void)snprintf(via[0], 300, "%s", kit_hdr(k, first, "Via"));
	(void)snprintf(via[1], 300, "%s", kit_hdr(k, m, "Via"));
	assert_string_not_equal(via[0], via[1]);
	assert_int_equal(strlen(via[0]), strlen(via[1]));
	assert_string_equal(kit_hdr(k, m, "CSeq"), "1 MESSAGE");
	assert_string_equal(kit_hdr_n(k, m, "Via", 1), kit_hdr_n(k, first, "Via", 1));
	answer_from(k, A, first, "404 Late");
	kit_nothing(k);
	answer_from(k, B, m, "202 Accepted");
	(void)kit_client_answer(k, 1, 202);
	assert_non_null(
		strstr(k->logs, "event=request-moved server=kam method=MESSAGE from=" A " to=" B));
	assert_non_null(strstr(k->logs, "event=target-down server=kam address=" A
					" reason=\"test says so\""));
	kit_end(k);
}

/* Passed over until something comes of it again. */
static void test_target_comes_back(void **state)
{
	struct kit *k = kit_two();
	struct kit_msg *m;

	(void)state;
	kit_register(k, 1, "alice");
	bed.options[0] = 0;
	lost(k, A, ENGINE_REFUSED);
	message(k, "c1");
	m = request_at(k, B, "MESSAGE");
	answer_from(k, B, m, "200 OK");
	(void)kit_client_answer(k, 1, 200);
	kit_time(k, 20000);
	message(k, "c2");
	m = request_at(k, B, "MESSAGE");
	answer_from(k, B, m, "200 OK");
	(void)kit_client_answer(k, 1, 200);
	assert_in_range(bed.pings[0], 20,
			45);  /* it was asked now and then, each time as UDP wants it */
	bed.options[0] = 405; /* no, but it speaks */
	kit_time(k, 7000);
	assert_non_null(strstr(k->logs, "event=target-up server=kam address=" A));
	message(k, "c3");
	m = request_at(k, A, "MESSAGE");
	answer_from(k, A, m, "200 OK");
	(void)kit_client_answer(k, 1, 200);
	kit_end(k);
}

/* Nobody is passed over for ever: a verdict that nothing renews ends by time; and where all are down, each is tried. */
static void test_target_expires(void **state)
{
	struct kit *k = kit_two();
	struct kit_msg *m;

	(void)state;
	kit_register(k, 1, "alice");
	bed.options[0] = bed.options[1] = 0;
	lost(k, A, ENGINE_UNREACHABLE);
	lost(k, B, ENGINE_UNREACHABLE);
	message(k, "e1");
	(void)request_at(k, A, "MESSAGE");
	lost(k, A, ENGINE_REFUSED);
	(void)request_at(k, B, "MESSAGE");
	lost(k, B, ENGINE_REFUSED);
	m = kit_client_answer(k, 1, 503);
	assert_string_equal(kit_hdr(k, m, "Retry-After"), "10");
	kit_nothing(k);
	bed.options[1] = 200;
	kit_time(k, 40000);
	message(k, "e2");
	m = request_at(k, B, "MESSAGE"); /* A is silent: OPTIONS says so again and again */
	answer_from(k, B, m, "200 OK");
	(void)kit_client_answer(k, 1, 200);
	kit_end(k);
}

/* RFC 3261 21.5.4: for as long as a 503 says, but no longer than 300 s; without that for this request only. */
static void test_target_busy(void **state)
{
	struct kit *k = kit_two();
	struct kit_msg *m;

	(void)state;
	kit_register(k, 1, "alice");
	message(k, "b1");
	answer_from(k, A, request_at(k, A, "MESSAGE"), "503 No");
	answer_from(k, B, request_at(k, B, "MESSAGE"), "200 OK");
	(void)kit_client_answer(k, 1, 200);
	kit_client(k, 1, INVITE_OUT CT_SDP OFFER_CLIENT);
	(void)kit_client_answer(k, 1, 100);
	m = request_at(k, A, "INVITE");
	kit_inside_from(k, A, "%sRetry-After: 9000 (tired);duration=1\n",
			kit_answer(k, m, "503 No", "s"));
	(void)request_at(k, A, "ACK");
	m = request_at(k, B, "INVITE");
	assert_non_null(strstr(kit_body(m), "RTP/AVP"));
	answer_from(k, B, m, "503 No"); /* the last one's is the answer */
	(void)request_at(k, B, "ACK");
	(void)kit_client_answer(k, 1, 503);
	kit_client(k, 1,
		   "ACK sip:bob@stand.test SIP/2.0\nVia: SIP/2.0/TLS "
		   "192.168.1.9:5061;branch=z9hG4bKi1;rport\nFrom: <sip:alice@stand.test>;tag=a1\n"
		   "To: <sip:bob@stand.test>;tag=s\nCall-ID: c1\nCSeq: 1 ACK\nMax-Forwards: 70\n");
	kit_time(k, 290000);
	kit_register(k, 1, "alice"); /* its OPTIONS are answered all the time, and still */
	message(k, "b2");
	answer_from(k, B, request_at(k, B, "MESSAGE"), "200 OK");
	(void)kit_client_answer(k, 1, 200);
	kit_time(k, 11000);
	message(k, "b3");
	answer_from(k, A, request_at(k, A, "MESSAGE"), "200 OK");
	(void)kit_client_answer(k, 1, 200);
	kit_end(k);
}

/* No answer to a request, then none to OPTIONS: silent. With an answer to that the request has its time. */
static void test_target_silent(void **state)
{
	struct kit *k = kit_two();
	struct kit_msg *first, *m;
	unsigned pings = 0;

	(void)state;
	kit_register(k, 1, "alice");
	message(k, "s1");
	first = request_at(k, A, "MESSAGE");
	pings = bed.pings[0];
	kit_time(k, 1100);
	assert_int_equal(bed.pings[0], pings + 1);
	kit_time(k, 10000);
	while ((m = kit_to_inside(k))) /* its own repetitions */
		assert_int_equal(at_of(&m->a.to), 0);
	answer_from(k, A, first, "200 OK");
	(void)kit_client_answer(k, 1, 200);
	bed.options[0] = 0;
	message(k, "s2");
	(void)request_at(k, A, "MESSAGE");
	kit_time(k, 4900);
	while ((m = kit_to_inside(k)))
		assert_int_equal(at_of(&m->a.to), 0);
	kit_time(k, 200);
	answer_from(k, B, request_at(k, B, "MESSAGE"), "200 OK");
	(void)kit_client_answer(k, 1, 200);
	assert_non_null(strstr(k->logs, "address=" A " reason=\"silent\""));
	/* B dies as well: nowhere left, so the request keeps its own time */
	bed.options[1] = 0;
	message(k, "s3");
	(void)request_at(k, B, "MESSAGE");
	kit_time(k, 31000);
	while ((m = kit_to_inside(k)))
		;
	assert_null(kit_to_client(k, 1));
	kit_time(k, 2000);
	(void)kit_client_answer(k, 1, 408);
	kit_end(k);
}

/* What has never answered OPTIONS is silent only if it leaves a request alone as well. */
static void test_target_mute(void **state)
{
	struct kit *k = kit_new();

	(void)state;
	bed = (struct bed){.options = {0, 200}};
	k->own = own;
	targets(k, 2, abc, (unsigned[]){1, 2}, (unsigned[]){0, 0});
	kit_time(k, 60000);
	assert_null(strstr(k->logs, "target-down"));
	kit_stream(k, 1);
	kit_register(k, 1, "alice");
	message(k, "m1");
	(void)request_at(k, A, "MESSAGE");
	kit_time(k, 6000);
	while (bed.pings[0] && kit_to_inside(k))
		bed.pings[0]--;
	assert_non_null(strstr(k->logs, "address=" A " reason=\"silent\""));
	targets(k, 0, abc, NULL, NULL);
	kit_settled(k);
	kit_free(k);
}

static void test_target_invite(void **state)
{
	struct kit *k = kit_two();
	struct kit_msg *m;

	(void)state;
	kit_register(k, 1, "alice");
	/* 100 is no answer to the caller: it may go elsewhere */
	kit_client(k, 1, INVITE_OUT CT_SDP OFFER_CLIENT);
	(void)kit_client_answer(k, 1, 100);
	m = request_at(k, A, "INVITE");
	answer_from(k, A, m, "100 Trying");
	lost(k, A, ENGINE_REFUSED);
	m = request_at(k, B, "INVITE");
	answer_from(k, B, m, "180 Ringing");
	(void)kit_client_answer(k, 1, 180);
	/* 180 is */
	lost(k, B, ENGINE_REFUSED);
	(void)kit_client_answer(k, 1, 503);
	assert_int_equal(kit_media_live(k), 0);
	/* what its caller has taken back does not */
	kit_client(k, 1,
		   "INVITE sip:bob@stand.test SIP/2.0\nVia: SIP/2.0/TLS a:1;branch=z9hG4bKca\n"
		   "From: <sip:alice@stand.test>;tag=a2\nTo: <sip:bob@stand.test>\nCall-ID: c2\n"
		   "CSeq: 1 INVITE\nMax-Forwards: 70\n" CONTACT_A CT_SDP OFFER_CLIENT);
	(void)kit_client_answer(k, 1, 100);
	(void)request_at(k, A, "INVITE");
	kit_client(k, 1,
		   "CANCEL sip:bob@stand.test SIP/2.0\nVia: SIP/2.0/TLS a:1;branch=z9hG4bKca\n"
		   "From: <sip:alice@stand.test>;tag=a2\nTo: <sip:bob@stand.test>\nCall-ID: c2\n"
		   "CSeq: 1 CANCEL\nMax-Forwards: 70\n");
	(void)kit_client_answer(k, 1, 200);
	lost(k, A, ENGINE_REFUSED);
	(void)kit_to_client(k, 1);
	kit_end(k);
}

/* A stream that ends may be only that: the same target again, but only once. */
static void test_target_closed(void **state)
{
	struct kit *k = kit_two();

	(void)state;
	kit_register(k, 1, "alice");
	message(k, "k1");
	(void)request_at(k, A, "MESSAGE");
	lost(k, A, ENGINE_CLOSED);
	(void)request_at(k, A, "MESSAGE");
	lost(k, A, ENGINE_CLOSED);
	answer_from(k, B, request_at(k, B, "MESSAGE"), "200 OK");
	(void)kit_client_answer(k, 1, 200);
	message(k, "k2");
	answer_from(k, A, request_at(k, A, "MESSAGE"), "200 OK");
	(void)kit_client_answer(k, 1, 200);
	assert_null(strstr(k->logs, "target-down"));
	kit_end(k);
}

/* Each request of a dialog goes where its Route says, CANCEL and ACK where their INVITE went; B is not asked. */
static void test_target_dialog(void **state)
{
	struct kit *k = kit_two();
	struct up u = {.k = k, .out = true};
	struct kit_msg *m;

	(void)state;
	kit_register(k, 1, "alice");
	bed.options[0] = 0;
	lost(k, A, ENGINE_REFUSED);
	kit_client(k, 1, INVITE_OUT CT_SDP OFFER_CLIENT);
	(void)kit_client_answer(k, 1, 100);
	m = request_at(k, B, "INVITE");
	up_routes(&u, m);
	kit_inside_from(k, B, "%s" CONTACT_B CT_SDP ANSWER_INSIDE,
			kit_answer(k, m, "200 OK", "b1"));
	(void)kit_client_answer(k, 1, 200);
	kit_inside_from(k, A, "%s",
			"OPTIONS sip:core SIP/2.0\nVia: SIP/2.0/UDP "
			"10.0.0.5;branch=z9hG4bKup\nFrom: <sip:a>;tag=1\nTo: <sip:core>\n"
			"Call-ID: 1\nCSeq: 1 OPTIONS\nMax-Forwards: 7\n");
	(void)kit_inside_answer(k, 200);
	assert_non_null(strstr(k->logs, "target-up"));
	up_client(&u, 1, "ACK", 1, "");
	(void)request_at(k, B, "ACK"); /* no Route is left: where the dialog was made */
	up_client(&u, 1, "INFO", 2, "");
	m = request_at(k, B, "INFO");
	answer_from(k, B, m, "200 OK");
	(void)kit_client_answer(k, 1, 200);
	up_client(&u, 1, "INFO", 3, "");
	(void)request_at(k, B, "INFO");
	lost(k, B, ENGINE_REFUSED);
	(void)kit_client_answer(k, 1, 503);
	/* it is down, and nothing but its having been there before speaks for it */
	up_client(&u, 1, "BYE", 4, "");
	m = request_at(k, A, "BYE");
	answer_from(k, A, m, "200 OK");
	(void)kit_client_answer(k, 1, 200);
	kit_end(k);
}

static void test_target_route(void **state)
{
	struct kit *k = kit_two();
	struct up u = {.k = k};
	struct kit_msg *m;

	(void)state;
	kit_register(k, 1, "alice");
	/* a call from B, whose Record-Route is its address */
	kit_inside_from(k, B,
			"INVITE sip:alice@192.168.1.9 SIP/2.0\nVia: SIP/2.0/UDP "
			"10.0.0.6;branch=z9hG4bKx1\nRoute: %s\nRecord-Route: <sip:10.0.0.6;lr>\n"
			"From: <sip:bob@stand.test>;tag=b1\nTo: <sip:alice@stand.test>\n"
			"Call-ID: c1\nCSeq: 7 INVITE\n" CONTACT_B
			"Max-Forwards: 69\n" CT_SDP ANSWER_INSIDE,
			kit_path);
	m = kit_inside_answer(k, 100);
	m = kit_client_request(k, 1, "INVITE");
	up_routes(&u, m);
	kit_client(k, 1, "%s" CONTACT_A CT_SDP ANSWER_CLIENT, kit_answer(k, m, "200 OK", "a1"));
	(void)kit_inside_answer(k, 200);
	lost(k, B, ENGINE_REFUSED);
	kit_client(k, 1,
		   "BYE sip:bob@10.0.0.77:5060 SIP/2.0\nVia: SIP/2.0/TLS "
		   "192.168.1.9:5061;branch=z9hG4bKby\nRoute: %s, %s, <sip:10.0.0.6;lr>\n"
		   "From: <sip:alice@stand.test>;tag=a1\nTo: <sip:bob@stand.test>;tag=b1\n"
		   "Call-ID: c1\nCSeq: 2 BYE\nMax-Forwards: 70\n",
		   u.route_a, u.route_b);
	(void)request_at(k, B, "BYE"); /* down or not: it is what Route says */
	lost(k, B, ENGINE_REFUSED);
	(void)kit_client_answer(k, 1, 503);
	kit_end(k);
}

/* A user stays with one target; many users share them by weight; a priority is used up before the next. */
static void test_target_weights(void **state)
{
	struct kit *k = kit_new();
	unsigned n[3] = {0}, i, again, at, first;
	struct kit_msg *m;

	(void)state;
	bed = (struct bed){.options = {200, 200, 200}};
	k->own = own;
	k->c.transactions_max = 5000;
	kit_restart(k);
	targets(k, 3, abc, (unsigned[]){5, 5, 1000}, (unsigned[]){30, 10, 60000});
	for (i = 0; i < 400; i++) {
		first = 9;
		for (again = 0; again < 2; again++) {
			kit_stream_from(k, 1 + 2 * i + again, "198.51.100.9:4000");
			kit_client(k, 1 + 2 * i + again,
				   "REGISTER sip:stand.test SIP/2.0\nVia: SIP/2.0/TLS "
				   "a:1;branch=z9hG4bKw\nFrom: <sip:u%u@stand.test>;tag=1\n"
				   "To: <sip:u%u@stand.test>\nCall-ID: %u-%u\nCSeq: 1 REGISTER\n"
				   "Max-Forwards: 70\nContact: <sip:u@192.168.1.9>\n",
				   i, i, i, again);
			m = kit_inside_request(k, "REGISTER");
			at = at_of(&m->a.to);
			assert_true(first == 9 || first == at);
			first = at;
		}
		n[first]++;
	}
	assert_in_range(n[0], 250, 350);
	assert_in_range(n[1], 50, 150);
	assert_int_equal(n[2], 0);
	targets(k, 0, abc, NULL, NULL);
	kit_free(k);
}

/* What is known of an address stays when DNS is asked again; another server's failure is its own. */
static void test_target_dns(void **state)
{
	struct kit *k = kit_two();
	struct kit_msg *m;
	struct addr a;

	(void)state;
	kit_register(k, 1, "alice");
	bed.options[0] = 0;
	lost(k, A, ENGINE_REFUSED);
	targets(k, 3, abc, (unsigned[]){1, 2, 3}, (unsigned[]){0, 0, 0});
	message(k, "d1");
	m = request_at(k, B, "MESSAGE");
	assert_int_equal(addr_parse(SPAN(B), &a), 0);
	engine_inside_failed(k->e, 1, &a, ENGINE_REFUSED, "another server's", k->now);
	kit_drain(k);
	kit_nothing(k);
	targets(k, 1, abc + 2, (unsigned[]){3}, (unsigned[]){0});
	answer_from(k, B, m, "200 OK"); /* under way still */
	(void)kit_client_answer(k, 1, 200);
	message(k, "d2");
	m = request_at(k, C, "MESSAGE");
	answer_from(k, C, m, "200 OK");
	(void)kit_client_answer(k, 1, 200);
	kit_end(k);
}

/* Over UDP an idle target is knocked at each second and asked each ten. */
static void test_target_idle(void **state)
{
	struct kit *k = kit_two();
	struct bed before;

	(void)state;
	kit_time(k, 10000);
	before = bed;
	kit_time(k, 60000);
	assert_in_range(bed.pings[0] - before.pings[0], 5, 7);
	assert_in_range(bed.pings[1] - before.pings[1], 5, 7);
	assert_in_range(bed.knocks - before.knocks, 100, 121);
	kit_end(k);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_target_refused), cmocka_unit_test(test_target_comes_back),
		cmocka_unit_test(test_target_expires), cmocka_unit_test(test_target_busy),
		cmocka_unit_test(test_target_silent),  cmocka_unit_test(test_target_mute),
		cmocka_unit_test(test_target_invite),  cmocka_unit_test(test_target_closed),
		cmocka_unit_test(test_target_dialog),  cmocka_unit_test(test_target_route),
		cmocka_unit_test(test_target_weights), cmocka_unit_test(test_target_dns),
		cmocka_unit_test(test_target_idle),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
