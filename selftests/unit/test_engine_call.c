/* selftests/unit/test_engine_call.c -- calls through the engine: both directions, offer/answer, ends, failures.
 * In: literal messages of both sides. Out: what the other side gets, media actions, and that nothing is left. */
#include "selftests/unit/engine_kit.h"

#define KEY_CLIENT   "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwd" /* 30 bytes 00..1d */
#define SDP_HEAD(ip) "v=0\no=- 1 1 IN IP4 " ip "\ns=-\nc=IN IP4 " ip "\nt=0 0\n"
#define OFFER_CLIENT                                                                     \
	SDP_HEAD("192.168.1.9")                                                          \
	"m=audio 4000 RTP/SAVP 0\na=crypto:3 AES_CM_128_HMAC_SHA1_80 inline:" KEY_CLIENT \
	"\na=rtpmap:0 PCMU/8000\n"
#define ANSWER_INSIDE SDP_HEAD("10.0.0.77") "m=audio 5000 RTP/AVP 0\na=rtpmap:0 PCMU/8000\n"
#define CT_SDP	      "Content-Type: application/sdp\n\n"

#define INVITE_OUT                                                                             \
	"INVITE sip:bob@stand.test SIP/2.0\nVia: SIP/2.0/TLS "                                 \
	"192.168.1.9:5061;branch=z9hG4bKi1;rport\n"                                            \
	"From: <sip:alice@stand.test>;tag=a1\nTo: <sip:bob@stand.test>\nCall-ID: c1\nCSeq: 1 " \
	"INVITE\nMax-Forwards: 70\n"                                                           \
	"Contact: <sip:alice@192.168.1.9:5061;transport=tls>\n"

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

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_call_out),
		cmocka_unit_test(test_call_in),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
