/* selftests/unit/test_engine_call.c -- calls through the engine: both directions, media ports, ends before an answer,
 * limits. In: literal messages of both sides. Out: what the other side gets, media actions, and that nothing is left. */
#include "selftests/unit/call_kit.h"

static void test_call_out(void **state)
{
	struct kit *k = kit_new();
	struct kit_msg *m, *r;
	char route_a[300], route_b[300], key[100];

	(void)state;
	kit_stream(k, 1);
	kit_register(k, 1, "alice");
	kit_client(k, 1, INVITE_OUT CT_SDP OFFER_CLIENT);
	kit_client_answer(k, 1, 100);
	m = kit_inside_request(k, "INVITE");
	assert_int_equal(k->n_media, 1);
	assert_non_null(strstr(kit_body(m), "m=audio 37000 RTP/AVP 0\r\n"));
	assert_null(strstr(kit_body(m), "crypto"));
	assert_non_null(strstr(kit_body(m), "c=IN IP4 10.0.0.2\r\n"));
	assert_int_equal(m->m.max_forwards, 69);
	assert_non_null(
		strstr(kit_hdr_n(k, m, "Record-Route", 0), "@10.0.0.2:5070;transport=udp;lr>"));
	assert_non_null(strstr(kit_hdr_n(k, m, "Record-Route", 1),
			       "@edge.example.net:5061;transport=tls;lr>"));
	assert_non_null(strstr(kit_hdr_n(k, m, "Via", 1), "received=198.51.100.1"));
	assert_non_null(strstr(kit_hdr_n(k, m, "Via", 1), "rport=40001"));
	(void)snprintf(route_b, sizeof(route_b), "%s", kit_hdr_n(k, m, "Record-Route", 0));
	(void)snprintf(route_a, sizeof(route_a), "%s", kit_hdr_n(k, m, "Record-Route", 1));

	kit_inside(k, "%s", kit_answer(k, m, "180 Ringing", "b1"));
	kit_client_answer(k, 1, 180);
	kit_inside(k, "%sContact: <sip:bob@10.0.0.77:5060>\n" CT_SDP ANSWER_INSIDE,
		   kit_answer(k, m, "200 OK", "b1"));
	r = kit_client_answer(k, 1, 200);
	assert_non_null(strstr(kit_body(r), "m=audio 36000 RTP/SAVP 0\r\n"));
	assert_non_null(strstr(kit_body(r), "c=IN IP4 203.0.113.1\r\n"));
	assert_non_null(strstr(kit_body(r), "a=crypto:3 AES_CM_128_HMAC_SHA1_80 inline:"));
	assert_int_equal(k->media[0].sets, 1);
	assert_true(k->media[0].set.have_keys);
	assert_int_equal(k->media[0].set.open_suite, ENGINE_CM80);
	assert_int_equal(k->media[0].set.open_key[29], 0x1d);
	assert_int_equal(k->media[0].set.remote_rtp.port, 5000);
	assert_int_equal(k->media[0].set.remote_rtcp.port, 5001);
	assert_false(k->media[0].set.reopen);
	(void)snprintf(key, sizeof(key), "%.40s", strstr(kit_body(r), "inline:") + 7);

	/* A repeated 200 goes up as it went before: the same key. */
	kit_inside(k, "%sContact: <sip:bob@10.0.0.77:5060>\n" CT_SDP ANSWER_INSIDE,
		   kit_answer(k, m, "200 OK", "b1"));
	r = kit_client_answer(k, 1, 200);
	assert_non_null(strstr(kit_body(r), key));

	kit_client(k, 1,
		   "ACK sip:bob@10.0.0.77:5060 SIP/2.0\nVia: SIP/2.0/TLS "
		   "192.168.1.9:5061;branch=z9hG4bKk1;rport\nRoute: %s\nRoute: %s\n"
		   "From: <sip:alice@stand.test>;tag=a1\nTo: <sip:bob@stand.test>;tag=b1\nCall-ID: "
		   "c1\nCSeq: 1 ACK\nMax-Forwards: 70\n",
		   route_a, route_b);
	r = kit_inside_request(k, "ACK");
	assert_string_equal(kit_hdr(k, r, "Route"), "");
	assert_int_equal(engine_stats(k->e)->calls, 1);

	/* Hang-up from inside, with both of our Routes as the callee has them. */
	kit_inside(k,
		   "BYE sip:alice@192.168.1.9:5061;transport=tls SIP/2.0\nVia: SIP/2.0/UDP "
		   "10.0.0.5;branch=z9hG4bKb1\nRoute: %s, %s\n"
		   "From: <sip:bob@stand.test>;tag=b1\nTo: <sip:alice@stand.test>;tag=a1\nCall-ID: "
		   "c1\nCSeq: 1 BYE\nMax-Forwards: 69\n",
		   route_b, route_a);
	m = kit_client_request(k, 1, "BYE");
	assert_string_equal(kit_hdr(k, m, "Route"), "");
	assert_non_null(
		strstr(kit_hdr(k, m, "Via"), "SIP/2.0/TLS edge.example.net:5061;branch=z9hG4bK"));
	assert_int_equal(k->media[0].closes, 1);
	kit_client(k, 1, "%s", kit_answer(k, m, "200 OK", NULL));
	kit_inside_answer(k, 200);
	kit_nothing(k);
	kit_settled(k);
	assert_non_null(strstr(k->logs, "event=call-ended"));
	kit_free(k);
}

static void test_call_in(void **state)
{
	struct kit *k = kit_new();
	struct kit_msg *m, *r;
	char route_a[300], route_b[300], answer[600], line[200];
	const char *p;

	(void)state;
	kit_stream(k, 1);
	kit_register(k, 1, "alice");
	kit_inside(k,
		   "INVITE sip:alice@192.168.1.9:5061;transport=tls SIP/2.0\nVia: SIP/2.0/UDP "
		   "10.0.0.5;branch=z9hG4bKx1\nRoute: %s\n"
		   "Record-Route: <sip:10.0.0.5;lr>\nFrom: <sip:bob@stand.test>;tag=b1\nTo: "
		   "<sip:alice@stand.test>\nCall-ID: c2\nCSeq: 7 INVITE\n"
		   "Contact: <sip:bob@10.0.0.77:5060>\nMax-Forwards: 69\n" CT_SDP ANSWER_INSIDE,
		   kit_path);
	r = kit_inside_answer(k, 100);
	assert_int_equal(r->a.to.port, 5060);
	m = kit_client_request(k, 1, "INVITE");
	assert_non_null(strstr(kit_body(m), "m=audio 36000 RTP/SAVP 0\r\n"));
	p = strstr(kit_body(m), "a=crypto:1 AEAD_AES_256_GCM inline:");
	assert_non_null(p);
	p = strstr(p, "a=crypto:2 AEAD_AES_128_GCM inline:");
	assert_non_null(p);
	p = strstr(p, "a=crypto:3 AES_CM_128_HMAC_SHA1_80 inline:");
	assert_non_null(p);
	assert_non_null(strstr(p, "a=crypto:4 AES_CM_128_HMAC_SHA1_32 inline:"));
	assert_non_null(strstr(kit_hdr_n(k, m, "Record-Route", 0), "@edge.example.net:5061"));
	assert_non_null(strstr(kit_hdr_n(k, m, "Record-Route", 1), "@10.0.0.2:5070"));
	assert_string_equal(kit_hdr_n(k, m, "Record-Route", 2), "<sip:10.0.0.5;lr>");
	(void)snprintf(route_a, sizeof(route_a), "%s", kit_hdr_n(k, m, "Record-Route", 0));
	(void)snprintf(route_b, sizeof(route_b), "%s", kit_hdr_n(k, m, "Record-Route", 1));

	/* Retransmissions are absorbed; 180 passes. */
	kit_inside(k,
		   "INVITE sip:alice@192.168.1.9:5061;transport=tls SIP/2.0\nVia: SIP/2.0/UDP "
		   "10.0.0.5;branch=z9hG4bKx1\nRoute: %s\n"
		   "From: <sip:bob@stand.test>;tag=b1\nTo: <sip:alice@stand.test>\nCall-ID: "
		   "c2\nCSeq: 7 INVITE\nMax-Forwards: 69\n",
		   kit_path);
	kit_inside_answer(k, 100);
	kit_client(k, 1, "%s", kit_answer(k, m, "180 Ringing", "a9"));
	kit_inside_answer(k, 180);
	kit_nothing(k);

	(void)snprintf(answer, sizeof(answer),
		       SDP_HEAD("192.168.1.9") "m=audio 4000 RTP/SAVP 0\na=crypto:3 "
					       "AES_CM_128_HMAC_SHA1_80 inline:" KEY_CLIENT "\n");
	kit_client(k, 1, "%sContact: <sip:alice@192.168.1.9:5061;transport=tls>\n" CT_SDP "%s",
		   kit_answer(k, m, "200 OK", "a9"), answer);
	r = kit_inside_answer(k, 200);
	assert_non_null(strstr(kit_body(r), "m=audio 37000 RTP/AVP 0\r\n"));
	assert_null(strstr(kit_body(r), "crypto"));
	assert_int_equal(k->media[0].set.open_suite, ENGINE_CM80);
	assert_int_equal(k->media[0].set.remote_rtp.port, 5000);
	kit_inside(k,
		   "ACK sip:alice@192.168.1.9:5061;transport=tls SIP/2.0\nVia: SIP/2.0/UDP "
		   "10.0.0.5;branch=z9hG4bKx2\nRoute: %s\nRoute: %s\n"
		   "From: <sip:bob@stand.test>;tag=b1\nTo: <sip:alice@stand.test>;tag=a9\nCall-ID: "
		   "c2\nCSeq: 7 ACK\nMax-Forwards: 69\n",
		   route_b, route_a);
	kit_client_request(k, 1, "ACK");
	kit_nothing(k);

	/* The client hangs up: its Route is ours, ours, then the server's. */
	(void)snprintf(line, sizeof(line), "<sip:10.0.0.5;lr>");
	kit_client(k, 1,
		   "BYE sip:bob@10.0.0.77:5060 SIP/2.0\nVia: SIP/2.0/TLS "
		   "192.168.1.9:5061;branch=z9hG4bKb9\nRoute: %s\nRoute: %s\nRoute: %s\n"
		   "From: <sip:alice@stand.test>;tag=a9\nTo: <sip:bob@stand.test>;tag=b1\nCall-ID: "
		   "c2\nCSeq: 1 BYE\nMax-Forwards: 70\n",
		   route_a, route_b, line);
	m = kit_inside_request(k, "BYE");
	assert_string_equal(kit_hdr(k, m, "Route"), "<sip:10.0.0.5;lr>");
	assert_int_equal(k->media[0].closes, 1);
	kit_inside(k, "%s", kit_answer(k, m, "200 OK", NULL));
	kit_client_answer(k, 1, 200);
	kit_nothing(k);
	kit_settled(k);
	kit_free(k);
}

static void test_call_media_failed(void **state)
{
	struct kit *k = kit_alice();
	struct kit_msg *m;

	(void)state;
	k->hold_media = true;
	kit_client(k, 1,
		   INVITE_OUT CT_SDP OFFER_CLIENT
		   "m=video 4002 RTP/SAVP 96\na=crypto:1 AES_CM_128_HMAC_SHA1_80 inline:" KEY_CLIENT
		   "\n");
	(void)kit_client_answer(k, 1, 100);
	kit_nothing(k);
	assert_int_equal(k->n_media, 2);
	engine_medium_opened(k->e, k->media[0].id, &k->media[0].a, k->now);
	kit_drain(k);
	kit_nothing(k);
	engine_medium_failed(k->e, k->media[1].id, "no ports", k->now);
	kit_drain(k);
	m = kit_client_answer(k, 1, 503);
	assert_string_equal(kit_hdr(k, m, "Retry-After"), "10");
	kit_nothing(k);
	kit_settled(k);
	kit_free(k);
}

/* No answer about the ports, a CANCEL, a closed stream, while the INVITE waits. */
static void test_call_media_wait(void **state)
{
	unsigned i;

	(void)state;
	for (i = 0; i < 3; i++) {
		struct kit *k = kit_alice();

		k->hold_media = true;
		kit_client(k, 1, INVITE_OUT CT_SDP OFFER_CLIENT);
		(void)kit_client_answer(k, 1, 100);
		if (i == 0) {
			kit_time(k, 10000);
			(void)kit_client_answer(k, 1, 503);
		} else if (i == 1) {
			kit_client(k, 1,
				   "CANCEL sip:bob@stand.test SIP/2.0\nVia: SIP/2.0/TLS "
				   "192.168.1.9:5061;branch=z9hG4bKi1;rport\n"
				   "From: <sip:alice@stand.test>;tag=a1\nTo: "
				   "<sip:bob@stand.test>\nCall-ID: c1\nCSeq: 1 "
				   "CANCEL\nMax-Forwards: 70\n");
			(void)kit_client_answer(k, 1, 200);
			(void)kit_client_answer(k, 1, 487);
		} else {
			engine_stream_closed(k->e, 1, k->now);
			kit_drain(k);
		}
		assert_int_equal(k->media[0].closes, 1);
		/* What comes too late finds nothing. */
		engine_medium_opened(k->e, k->media[0].id, &k->media[0].a, k->now);
		engine_medium_failed(k->e, k->media[0].id, "late", k->now);
		engine_medium_silent(k->e, k->media[0].id, k->now);
		kit_drain(k);
		kit_nothing(k);
		kit_settled(k);
		kit_free(k);
	}
}

static void test_call_busy_and_cancel(void **state)
{
	struct kit *k = kit_alice();
	struct kit_msg *m;

	(void)state;
	kit_client(k, 1, INVITE_OUT CT_SDP OFFER_CLIENT);
	(void)kit_client_answer(k, 1, 100);
	m = kit_inside_request(k, "INVITE");
	kit_inside(k, "%s", kit_answer(k, m, "486 Busy Here", "b1"));
	(void)kit_inside_request(k, "ACK");
	(void)kit_client_answer(k, 1, 486);
	assert_int_equal(k->media[0].closes, 1);
	assert_int_equal(engine_stats(k->e)->calls, 0);
	kit_nothing(k);

	kit_inside(k, INVITE_IN CT_SDP ANSWER_INSIDE, kit_path);
	(void)kit_inside_answer(k, 100);
	m = kit_client_request(k, 1, "INVITE");
	kit_client(k, 1, "%s", kit_answer(k, m, "180 Ringing", "a1"));
	(void)kit_inside_answer(k, 180);
	kit_inside(k,
		   "CANCEL sip:alice@192.168.1.9:5061;transport=tls SIP/2.0\nVia: SIP/2.0/UDP "
		   "10.0.0.5;branch=z9hG4bKx1\nRoute: %s\n"
		   "From: <sip:bob@stand.test>;tag=b1\nTo: <sip:alice@stand.test>\nCall-ID: "
		   "c1\nCSeq: 7 CANCEL\nMax-Forwards: 69\n",
		   kit_path);
	(void)kit_inside_answer(k, 200);
	kit_client(k, 1, "%s", kit_answer(k, kit_client_request(k, 1, "CANCEL"), "200 OK", "a1"));
	kit_client(k, 1, "%s", kit_answer(k, m, "487 Request Terminated", "a1"));
	(void)kit_client_request(k, 1, "ACK");
	(void)kit_inside_answer(k, 487);
	kit_nothing(k);
	assert_int_equal(k->media[1].closes, 1);
	kit_settled(k);
	kit_free(k);
}

static void test_call_silence(void **state)
{
	bool out;

	(void)state;
	for (out = false;; out = true) {
		struct up u = up_call(out);
		struct kit *k = u.k;
		struct kit_msg *m;

		engine_medium_silent(k->e, k->media[0].id, k->now);
		kit_drain(k);
		m = kit_inside_request(k, "BYE");
		assert_string_equal(kit_hdr(k, m, "From"), "<sip:alice@stand.test>;tag=a1");
		assert_string_equal(kit_hdr(k, m, "To"), "<sip:bob@stand.test>;tag=b1");
		assert_string_equal(kit_hdr(k, m, "Call-ID"), "c1");
		assert_string_equal(kit_hdr(k, m, "CSeq"), out ? "2 BYE" : "1 BYE");
		assert_string_equal(kit_hdr(k, m, "Route"), out ? "" : "<sip:10.0.0.5;lr>");
		assert_int_equal(strncmp(m->text, "BYE sip:bob@10.0.0.77:5060 SIP/2.0\r\n", 36), 0);
		kit_inside(k, "%s", kit_answer(k, m, "200 OK", NULL));
		m = kit_client_request(k, 1, "BYE");
		assert_int_equal(strncmp(m->text,
					 "BYE sip:alice@192.168.1.9:5061;transport=tls SIP/2.0\r\n",
					 54),
				 0);
		assert_string_equal(kit_hdr(k, m, "From"), "<sip:bob@stand.test>;tag=b1");
		assert_string_equal(kit_hdr(k, m, "CSeq"), out ? "1 BYE" : "8 BYE");
		kit_client(k, 1, "%s", kit_answer(k, m, "481 Gone", NULL));
		kit_nothing(k);
		assert_non_null(strstr(k->logs, "event=call-ended"));
		assert_non_null(strstr(k->logs, "reason=silence"));
		kit_settled(k);
		kit_free(k);
		if (out)
			break;
	}
}

static void test_call_limits(void **state)
{
	struct kit *k = kit_new();
	struct kit_msg *m;
	unsigned i;

	(void)state;
	k->c.calls_user_max = 2;
	kit_restart(k);
	kit_stream(k, 1);
	kit_register(k, 1, "alice");
	for (i = 0; i < 3; i++)
		kit_client(k, 1,
			   "INVITE sip:bob@stand.test SIP/2.0\nVia: SIP/2.0/TLS "
			   "a:1;branch=z9hG4bKli%u\nFrom: <sip:alice@stand.test>;tag=a1\n"
			   "To: <sip:bob@stand.test>\nCall-ID: l%u\nCSeq: 1 INVITE\nMax-Forwards: "
			   "70\n" CT_SDP OFFER_CLIENT,
			   i, i);
	(void)kit_client_answer(k, 1, 100);
	(void)kit_client_answer(k, 1, 100);
	m = kit_client_answer(k, 1, 503);
	assert_string_equal(kit_hdr(k, m, "Retry-After"), "10");
	assert_int_equal(engine_stats(k->e)->refused_full, 1);
	assert_int_equal(k->n_media, 2);
	kit_settled(k);
	kit_free(k);
}

static void test_call_multipart(void **state)
{
	struct kit *k = kit_alice();
	struct kit_msg *m;

	(void)state;
	kit_client(k, 1,
		   INVITE_OUT
		   "Content-Type: multipart/mixed;boundary=\"xx\"\n\n--xx\nContent-Type: "
		   "application/sdp\n\n" OFFER_CLIENT
		   "\n--xx\nContent-Type: text/plain\n\nhello\n--xx--\n");
	(void)kit_client_answer(k, 1, 100);
	m = kit_inside_request(k, "INVITE");
	assert_non_null(
		strstr(kit_body(m), "--xx\r\nContent-Type: application/sdp\r\n\r\nv=0\r\n"));
	assert_non_null(strstr(kit_body(m), "m=audio 37000 RTP/AVP 0\r\n"));
	assert_non_null(strstr(kit_body(m),
			       "\r\n--xx\r\nContent-Type: text/plain\r\n\r\nhello\r\n--xx--\r\n"));
	assert_null(strstr(kit_body(m), "crypto"));
	kit_free(k);
}

static void test_call_body_unread(void **state)
{
	static const char *const rows[] = {
		"Content-Type: application/sdp\nContent-Encoding: gzip\n\nxxxx",
		"Content-Type: multipart/mixed\n\n--a\n",
		"Content-Type: multipart/mixed;boundary=a\n\n--a\nContent-Type: "
		"application/sdp\nContent-Transfer-Encoding: base64\n\ndj0w\n--a--\n",
		"\nv=0\n",
	};
	size_t i;

	(void)state;
	for (i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct kit *k = kit_alice();

		kit_client(k, 1, INVITE_OUT "%s", rows[i]);
		(void)kit_client_answer(k, 1, 100);
		(void)kit_client_answer(k, 1, 415);
		kit_nothing(k);
		kit_settled(k);
		kit_free(k);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_call_out),
		cmocka_unit_test(test_call_in),
		cmocka_unit_test(test_call_media_failed),
		cmocka_unit_test(test_call_media_wait),
		cmocka_unit_test(test_call_busy_and_cancel),
		cmocka_unit_test(test_call_silence),
		cmocka_unit_test(test_call_limits),
		cmocka_unit_test(test_call_multipart),
		cmocka_unit_test(test_call_body_unread),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
