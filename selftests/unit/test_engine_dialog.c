/* selftests/unit/test_engine_dialog.c -- dialogs through the engine: reconnecting, what a client may not do in one,
 * two passes of one call, subscriptions. In: literal messages of both sides. Out: what the other side gets, media
 * actions, and that nothing is left. */
#include "selftests/unit/call_kit.h"

/* The client's stream dies in a call; on a new one, not yet registered, it may hang up and nothing else. */
static void test_dialog_reconnect(void **state)
{
	struct up u = up_call(true);
	struct kit *k = u.k;
	struct kit_msg *m;

	(void)state;
	engine_stream_closed(k->e, 1, k->now);
	kit_drain(k);
	kit_nothing(k);
	assert_int_equal(engine_stats(k->e)->calls, 1);
	assert_int_equal(kit_media_live(k), 1);
	kit_stream(k, 2);
	up_client(&u, 2, "INFO", 2, "");
	(void)kit_client_answer(k, 2, 403);
	up_client(&u, 2, "BYE", 3, "");
	m = kit_inside_request(k, "BYE");
	assert_int_equal(k->media[0].closes, 1);
	kit_inside(k, "%s", kit_answer(k, m, "200 OK", NULL));
	(void)kit_client_answer(k, 2, 200);
	kit_nothing(k);
	kit_settled(k);
	kit_free(k);
}

/* Registered again from elsewhere: the server's requests find it, and media may move with it. */
static void test_dialog_new_stream(void **state)
{
	struct up u = up_call(false);
	struct kit *k = u.k;
	struct kit_msg *m;

	(void)state;
	kit_stream_from(k, 2, "192.0.2.44:5555");
	kit_register(k, 2, "alice");
	/* The window opens for the new address at once: its media will come from there. */
	assert_int_equal(k->media[0].sets, 2);
	assert_true(k->media[0].set.reopen);
	assert_int_equal(k->media[0].set.client.port, 5555);
	up_inside(&u, "INFO", 8, "");
	m = kit_client_request(k, 2, "INFO");
	kit_client(k, 2, "%s", kit_answer(k, m, "200 OK", NULL));
	(void)kit_inside_answer(k, 200);
	up_client(&u, 2, "INVITE", 3, CONTACT_A CT_SDP OFFER_AT("4000", "sendrecv", KEY_CLIENT));
	(void)kit_client_answer(k, 2, 100);
	m = kit_inside_request(k, "INVITE");
	kit_inside(k, "%s" CONTACT_B CT_SDP ANSWER_INSIDE, kit_answer(k, m, "200 OK", NULL));
	(void)kit_client_answer(k, 2, 200);
	assert_int_equal(k->media[0].sets, 3);
	assert_false(k->media[0].set.reopen); /* it was opened already */
	up_client(&u, 2, "ACK", 3, "");
	(void)kit_inside_request(k, "ACK");
	up_client(&u, 2, "BYE", 4, "");
	m = kit_inside_request(k, "BYE");
	kit_inside(k, "%s", kit_answer(k, m, "200 OK", NULL));
	(void)kit_client_answer(k, 2, 200);
	kit_nothing(k);
	kit_settled(k);
	kit_free(k);
}

static void test_dialog_dialog_refused(void **state)
{
	static const struct {
		const char *ruri, *route, *from, *reason;
	} rows[] = {
		{"sip:carol@10.0.0.88", "", "<sip:alice@stand.test>;tag=a1", "reason=target "},
		{"sip:bob@10.0.0.77:5060", "Route: <sip:10.0.0.99;lr>\n",
		 "<sip:alice@stand.test>;tag=a1", "reason=route "},
		{"sip:bob@10.0.0.77:5060", "", "<sip:boss@stand.test>;tag=a1", "reason=from "},
	};
	struct up u = up_call(true);
	struct kit *k = u.k;
	size_t i;

	(void)state;
	for (i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		kit_client(k, 1,
			   "MESSAGE %s SIP/2.0\nVia: SIP/2.0/TLS a:1;branch=z9hG4bKdr%u\nRoute: "
			   "%s\nRoute: %s\n%sFrom: %s\n"
			   "To: <sip:bob@stand.test>;tag=b1\nCall-ID: c1\nCSeq: 5 "
			   "MESSAGE\nMax-Forwards: 70\n",
			   rows[i].ruri, (unsigned)i, u.route_a, u.route_b, rows[i].route,
			   rows[i].from);
		(void)kit_client_answer(k, 1, 403);
		assert_non_null(strstr(k->logs, rows[i].reason));
	}
	/* A call's token does not open a new dialog. */
	kit_client(
		k, 1,
		"INVITE sip:bob@10.0.0.77:5060 SIP/2.0\nVia: SIP/2.0/TLS "
		"a:1;branch=z9hG4bKdn\nRoute: %s\nRoute: %s\nFrom: <sip:alice@stand.test>;tag=zz\n"
		"To: <sip:bob@stand.test>\nCall-ID: c9\nCSeq: 5 INVITE\nMax-Forwards: 70\n",
		u.route_a, u.route_b);
	(void)kit_client_answer(k, 1, 403);
	/* Nor does it serve another client. */
	kit_stream(k, 2);
	kit_register(k, 2, "eve");
	up_client(&u, 2, "INFO", 6, "");
	(void)kit_client_answer(k, 2, 403);
	kit_nothing(k);
	assert_int_equal(kit_media_live(k), 1);
	up_end(&u);
}

/* alice refers bob away, and his NOTIFY tells another Contact: that is where her BYE goes (RFC 5057 5.4). */
static void test_dialog_notify_refreshes(void **state)
{
	struct up u = up_call(true);
	struct kit *k = u.k;
	struct kit_msg *m;

	(void)state;
	up_client(&u, 1, "REFER", 2, CONTACT_A "Refer-To: <sip:carol@stand.test>\n");
	m = kit_inside_request(k, "REFER");
	kit_inside(k, "%s" CONTACT_B, kit_answer(k, m, "202 Accepted", NULL));
	(void)kit_client_answer(k, 1, 202);
	up_inside(&u, "NOTIFY", 2,
		  "Contact: <sip:bob@10.0.0.78:5062>\nEvent: refer\n"
		  "Subscription-State: terminated;reason=noresource\n");
	m = kit_client_request(k, 1, "NOTIFY");
	kit_client(k, 1, "%s", kit_answer(k, m, "200 OK", NULL));
	(void)kit_inside_answer(k, 200);
	kit_client(k, 1,
		   "BYE sip:bob@10.0.0.78:5062 SIP/2.0\nVia: SIP/2.0/TLS "
		   "192.168.1.9:5061;branch=z9hG4bKnb\nRoute: %s\nRoute: %s\n"
		   "From: <sip:alice@stand.test>;tag=a1\nTo: <sip:bob@stand.test>;tag=b1\nCall-ID: "
		   "c1\nCSeq: 3 BYE\nMax-Forwards: 70\n",
		   u.route_a, u.route_b);
	m = kit_inside_request(k, "BYE");
	kit_inside(k, "%s", kit_answer(k, m, "200 OK", NULL));
	(void)kit_client_answer(k, 1, 200);
	kit_nothing(k);
	kit_settled(k);
	kit_free(k);
}

static void test_dialog_both_outside(void **state)
{
	struct kit *k = kit_alice();
	struct kit_msg *m, *v, *r;
	char path[512], rr[5][300], body[4000];
	unsigned i;

	(void)state;
	kit_stream(k, 2);
	kit_register(k, 2, "bob");
	(void)snprintf(path, sizeof(path), "%s", kit_path);
	kit_client(k, 1, INVITE_OUT CT_SDP OFFER_CLIENT);
	(void)kit_client_answer(k, 1, 100);
	m = kit_inside_request(k, "INVITE");
	/* The call server sends it back in by bob's binding, with its Via and Record-Route on top. */
	(void)snprintf(body, sizeof(body), "%s", kit_body(m));
	for (i = 0; body[i]; i++)
		if (body[i] == '\r')
			memmove(body + i, body + i + 1, strlen(body + i));
	kit_inside(k,
		   "INVITE sip:bob@192.168.1.9:5061;transport=tls SIP/2.0\nVia: SIP/2.0/UDP "
		   "10.0.0.5;branch=z9hG4bKs1\nVia: %s\nVia: %s\nRoute: %s\n"
		   "Record-Route: <sip:10.0.0.5;lr>\nRecord-Route: %s\nRecord-Route: %s\nFrom: "
		   "<sip:alice@stand.test>;tag=a1\nTo: <sip:bob@stand.test>\n"
		   "Call-ID: c1\nCSeq: 1 INVITE\nMax-Forwards: 68\nContact: "
		   "<sip:alice@192.168.1.9:5061;transport=tls>\n" CT_SDP "%s",
		   kit_hdr_n(k, m, "Via", 0), kit_hdr_n(k, m, "Via", 1), path,
		   kit_hdr_n(k, m, "Record-Route", 0), kit_hdr_n(k, m, "Record-Route", 1), body);
	(void)kit_inside_answer(k, 100);
	v = kit_client_request(k, 2, "INVITE");
	assert_int_equal(k->n_media, 2);
	assert_int_equal(engine_stats(k->e)->calls, 2);
	for (i = 0; i < 5; i++)
		(void)snprintf(rr[i], sizeof(rr[i]), "%s", kit_hdr_n(k, v, "Record-Route", i));
	kit_client(k, 2,
		   "%sContact: <sip:bob@192.168.1.9:5061;transport=tls>\n" CT_SDP ANSWER_CLIENT,
		   kit_answer(k, v, "200 OK", "b1"));
	r = kit_inside_answer(k, 200);
	assert_int_equal(k->media[1].set.remote_rtp.port, 37000); /* the first pass's inside port */
	/* ... and back down to the first pass. */
	(void)snprintf(body, sizeof(body), "%s", kit_body(r));
	for (i = 0; body[i]; i++)
		if (body[i] == '\r')
			memmove(body + i, body + i + 1, strlen(body + i));
	kit_inside(k,
		   "SIP/2.0 200 OK\nVia: %s\nVia: %s\nRecord-Route: %s, %s, %s, %s, %s\nFrom: "
		   "<sip:alice@stand.test>;tag=a1\n"
		   "To: <sip:bob@stand.test>;tag=b1\nCall-ID: c1\nCSeq: 1 INVITE\nContact: "
		   "<sip:bob@192.168.1.9:5061;transport=tls>\n" CT_SDP "%s",
		   kit_hdr_n(k, m, "Via", 0), kit_hdr_n(k, m, "Via", 1), rr[0], rr[1], rr[2], rr[3],
		   rr[4], body);
	(void)kit_client_answer(k, 1, 200);
	assert_int_equal(k->media[0].set.remote_rtp.port, 37002);
	/* alice's ACK: her route set is the whole list turned round; two are the first pass's. */
	kit_client(k, 1,
		   "ACK sip:bob@192.168.1.9:5061;transport=tls SIP/2.0\nVia: SIP/2.0/TLS "
		   "a:1;branch=z9hG4bKak\nRoute: %s, %s, %s, %s, %s\n"
		   "From: <sip:alice@stand.test>;tag=a1\nTo: <sip:bob@stand.test>;tag=b1\nCall-ID: "
		   "c1\nCSeq: 1 ACK\nMax-Forwards: 70\n",
		   rr[4], rr[3], rr[2], rr[1], rr[0]);
	r = kit_inside_request(k, "ACK");
	assert_string_equal(kit_hdr_n(k, r, "Route", 0), "<sip:10.0.0.5;lr>");
	assert_string_equal(kit_hdr_n(k, r, "Route", 1), rr[1]);
	assert_string_equal(kit_hdr_n(k, r, "Route", 2), rr[0]);
	/* bob hangs up: through the second pass, the server, the first pass. */
	kit_client(k, 2,
		   "BYE sip:alice@192.168.1.9:5061;transport=tls SIP/2.0\nVia: SIP/2.0/TLS "
		   "b:1;branch=z9hG4bKby\nRoute: %s\nRoute: %s\nRoute: %s\nRoute: %s\nRoute: %s\n"
		   "From: <sip:bob@stand.test>;tag=b1\nTo: <sip:alice@stand.test>;tag=a1\nCall-ID: "
		   "c1\nCSeq: 1 BYE\nMax-Forwards: 70\n",
		   rr[0], rr[1], rr[2], rr[3], rr[4]);
	r = kit_inside_request(k, "BYE");
	assert_string_equal(kit_hdr_n(k, r, "Route", 0), "<sip:10.0.0.5;lr>");
	assert_string_equal(kit_hdr_n(k, r, "Route", 1), rr[3]);
	assert_int_equal(k->media[1].closes, 1);
	assert_int_equal(k->media[0].closes, 0);
	kit_inside(k,
		   "BYE sip:alice@192.168.1.9:5061;transport=tls SIP/2.0\nVia: SIP/2.0/UDP "
		   "10.0.0.5;branch=z9hG4bKs2\nRoute: %s\nRoute: %s\n"
		   "From: <sip:bob@stand.test>;tag=b1\nTo: <sip:alice@stand.test>;tag=a1\nCall-ID: "
		   "c1\nCSeq: 1 BYE\nMax-Forwards: 68\n",
		   rr[3], rr[4]);
	v = kit_client_request(k, 1, "BYE");
	kit_client(k, 1, "%s", kit_answer(k, v, "200 OK", NULL));
	(void)kit_inside_answer(k, 200);
	kit_inside(k, "%s", kit_answer(k, r, "200 OK", NULL));
	(void)kit_client_answer(k, 2, 200);
	kit_nothing(k);
	kit_settled(k);
	kit_free(k);
}

static void test_dialog_subscribe(void **state)
{
	struct kit *k = kit_alice();
	struct up u = {.k = k, .out = true};
	struct kit_msg *m;

	(void)state;
	kit_client(k, 1,
		   "SUBSCRIBE sip:alice@stand.test SIP/2.0\nVia: SIP/2.0/TLS "
		   "a:1;branch=z9hG4bKsu\nFrom: <sip:alice@stand.test>;tag=a1\n"
		   "To: <sip:alice@stand.test>\nCall-ID: s1\nCSeq: 1 SUBSCRIBE\nMax-Forwards: "
		   "70\nEvent: message-summary\nExpires: 600\n" CONTACT_A);
	m = kit_inside_request(k, "SUBSCRIBE");
	up_routes(&u, m);
	assert_non_null(strstr(u.route_a, "@edge.example.net"));
	/* NOTIFY before the answer. */
	kit_inside(
		k,
		"NOTIFY sip:alice@192.168.1.9:5061;transport=tls SIP/2.0\nVia: SIP/2.0/UDP "
		"10.0.0.5;branch=z9hG4bKno\nRoute: %s\nRoute: %s\n"
		"From: <sip:alice@stand.test>;tag=n1\nTo: <sip:alice@stand.test>;tag=a1\nCall-ID: "
		"s1\nCSeq: 1 NOTIFY\nMax-Forwards: 69\n"
		"Contact: <sip:mwi@10.0.0.5>\nEvent: message-summary\nSubscription-State: active\n",
		u.route_b, u.route_a);
	(void)kit_client_request(k, 1, "NOTIFY");
	kit_inside(k, "%sContact: <sip:mwi@10.0.0.5>\nExpires: 600\n",
		   kit_answer(k, m, "200 OK", "n1"));
	(void)kit_client_answer(k, 1, 200);
	/* The refresh goes by the recorded set. */
	kit_client(k, 1,
		   "SUBSCRIBE sip:mwi@10.0.0.5 SIP/2.0\nVia: SIP/2.0/TLS "
		   "a:1;branch=z9hG4bKsv\nRoute: %s, %s\nFrom: <sip:alice@stand.test>;tag=a1\n"
		   "To: <sip:alice@stand.test>;tag=n1\nCall-ID: s1\nCSeq: 2 "
		   "SUBSCRIBE\nMax-Forwards: 70\nEvent: message-summary\nExpires: 0\n" CONTACT_A,
		   u.route_a, u.route_b);
	m = kit_inside_request(k, "SUBSCRIBE");
	kit_inside(k, "%s", kit_answer(k, m, "200 OK", NULL));
	(void)kit_client_answer(k, 1, 200);
	kit_inside(k,
		   "NOTIFY sip:alice@192.168.1.9:5061;transport=tls SIP/2.0\nVia: SIP/2.0/UDP "
		   "10.0.0.5;branch=z9hG4bKnp\nRoute: %s\nRoute: %s\n"
		   "From: <sip:alice@stand.test>;tag=n1\nTo: "
		   "<sip:alice@stand.test>;tag=a1\nCall-ID: s1\nCSeq: 2 NOTIFY\nMax-Forwards: 69\n"
		   "Event: message-summary\nSubscription-State: terminated;reason=timeout\n",
		   u.route_b, u.route_a);
	(void)kit_client_request(k, 1, "NOTIFY");
	assert_int_equal(k->n_media, 0);
	kit_settled(k);
	kit_free(k);
}

/* From inside: an in-dialog request of a call that nobody knows any more still reaches the client; an INVITE does
 * not. */
static void test_dialog_forgotten(void **state)
{
	struct up u = up_call(false);
	struct kit *k = u.k;

	(void)state;
	kit_restart(k); /* the core has lost its calls; media belong to the lost engine */
	k->n_media = 0;
	kit_stream(k, 1);
	kit_register(k, 1, "alice");
	up_inside(&u, "BYE", 9, "");
	(void)kit_client_request(k, 1, "BYE");
	up_inside(&u, "INVITE", 10, CT_SDP ANSWER_INSIDE);
	(void)kit_inside_answer(k, 481);
	up_client(&u, 1, "BYE", 9, "");
	(void)kit_client_answer(k, 1, 481);
	kit_nothing(k);
	kit_settled(k);
	kit_free(k);
}

/* RFC 4028: Session-Expires is added where absent, and the caller refreshes if only it knows how. */
static void test_dialog_session_timer(void **state)
{
	static const struct {
		const char *request, *answer, *forwarded, *back, *require;
	} rows[] = {
		{"", "", "1800", "", ""},
		{"Supported: timer\n", "", "1800", "1800;refresher=uac", "timer"},
		{"Supported: timer\n", "Session-Expires: 900;refresher=uas\n", "1800",
		 "900;refresher=uas", ""},
		{"Session-Expires: 600\n", "", "600", "", ""},
	};
	size_t i;

	(void)state;
	for (i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct kit *k = kit_alice();
		struct kit_msg *m;

		kit_client(k, 1, INVITE_OUT "%s" CT_SDP OFFER_CLIENT, rows[i].request);
		(void)kit_client_answer(k, 1, 100);
		m = kit_inside_request(k, "INVITE");
		assert_string_equal(kit_hdr(k, m, "Session-Expires"), rows[i].forwarded);
		assert_string_equal(kit_hdr_n(k, m, "Session-Expires", 1), "");
		kit_inside(k, "%s%s" CONTACT_B CT_SDP ANSWER_INSIDE,
			   kit_answer(k, m, "200 OK", "b1"), rows[i].answer);
		m = kit_client_answer(k, 1, 200);
		assert_string_equal(kit_hdr(k, m, "Session-Expires"), rows[i].back);
		assert_string_equal(kit_hdr(k, m, "Require"), rows[i].require);
		kit_free(k);
	}
}

/* An INVITE or UPDATE of either party, answered with @answer. */
static void refresh(struct up *u, bool client, const char *method, unsigned cseq,
		    const char *answer)
{
	struct kit *k = u->k;
	struct kit_msg *m;

	if (client) {
		up_client(u, 1, method, cseq, CONTACT_A "Session-Expires: 90\n");
		m = kit_inside_request(k, method);
		kit_inside(k, "%s" CONTACT_B "%s", kit_answer(k, m, "200 OK", NULL), answer);
		(void)kit_client_answer(k, 1, 200);
	} else {
		up_inside(u, method, cseq, CONTACT_B "Session-Expires: 90\n");
		m = kit_client_request(k, 1, method);
		kit_client(k, 1, "%s" CONTACT_A "%s", kit_answer(k, m, "200 OK", NULL), answer);
		(void)kit_inside_answer(k, 200);
	}
}

/* Refreshed by either party a session goes on; by none it is over a third later, for who forgot to hang up. */
static void test_dialog_session_expires(void **state)
{
	struct up u = up_call(true);
	struct kit *k = u.k;
	struct kit_msg *m;
	unsigned i;

	(void)state;
	refresh(&u, true, "UPDATE", 2, "Session-Expires: 90;refresher=uac\n");
	for (i = 0; i < 6; i++) {
		kit_time(k, 80000);
		kit_nothing(k);
		refresh(&u, i % 2, "UPDATE", 10 + i, "x: 90;refresher=uac\n");
	}
	kit_time(k, 119000);
	kit_nothing(k);
	assert_int_equal(engine_stats(k->e)->calls, 1);
	kit_time(k, 1001);
	m = kit_client_request(k, 1, "BYE");
	kit_client(k, 1, "%s", kit_answer(k, m, "200 OK", NULL));
	m = kit_inside_request(k, "BYE");
	kit_inside(k, "%s", kit_answer(k, m, "200 OK", NULL));
	kit_nothing(k);
	assert_non_null(strstr(k->logs, "reason=session-expired"));
	assert_int_equal(kit_media_live(k), 0);
	kit_settled(k);
	kit_free(k);
	/* A 2xx that names no end takes it away. */
	u = up_call(false);
	k = u.k;
	refresh(&u, false, "UPDATE", 8, "Session-Expires: 90\n");
	refresh(&u, false, "UPDATE", 9, "");
	kit_time(k, 3600000);
	kit_nothing(k);
	up_end(&u);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_dialog_reconnect),
		cmocka_unit_test(test_dialog_new_stream),
		cmocka_unit_test(test_dialog_dialog_refused),
		cmocka_unit_test(test_dialog_notify_refreshes),
		cmocka_unit_test(test_dialog_both_outside),
		cmocka_unit_test(test_dialog_subscribe),
		cmocka_unit_test(test_dialog_forgotten),
		cmocka_unit_test(test_dialog_session_timer),
		cmocka_unit_test(test_dialog_session_expires),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
