/* selftests/unit/test_engine_ringing.c -- a call that only rings when its engine goes: the one that follows ends it on the inside,
 * by CANCEL where a client called, by an answer where a client was called. What is kept for that: test_engine_ringing_kept.c. */
#include "selftests/unit/ring_kit.h"

/* RFC 3261 9.1: of the INVITE all that makes it its CANCEL. */
static struct kit_msg *canceled(struct kit *k, const struct kit_msg *invite)
{
	struct kit_msg *c = kit_at(kit_inside_request(k, "CANCEL"), RING_A);

	assert_true(span_eq(c->m.ruri.whole, invite->m.ruri.whole));
	assert_string_equal(kit_hdr(k, c, "Via"), kit_hdr(k, invite, "Via"));
	assert_string_equal(kit_hdr_n(k, c, "Via", 1), "");
	assert_string_equal(kit_hdr(k, c, "From"), kit_hdr(k, invite, "From"));
	assert_string_equal(kit_hdr(k, c, "To"), "<sip:bob@stand.test>");
	assert_string_equal(kit_hdr(k, c, "Call-ID"), "c1");
	assert_string_equal(kit_hdr(k, c, "CSeq"), "1 CANCEL");
	assert_string_equal(kit_hdr(k, c, "Route"), kit_hdr(k, invite, "Route"));
	assert_int_equal(c->m.body.n, 0);
	kit_inside(k, "%s", kit_answer(k, c, "200 OK", "b1"));
	return c;
}

static void test_ringing_out(void **state)
{
	struct kit *k = ring_new(1);
	struct kit_msg *m = ring_out(k);

	(void)state;
	ring_crash(k, 1);
	assert_non_null(strstr(k->logs, "direction=out-in user=\"sip:alice@stand.test\" "
					"call-id=\"c1\" reason=lost-with-worker"));
	(void)canceled(k, m);
	assert_int_equal(ring_kept(k), 1); /* a further engine would try again */
	ring_terminated(k, m, "487 Request Terminated");
	ring_end(k);
}

/* A CANCEL that is lost is repeated; the record goes with the transaction if nobody answers. */
static void test_ringing_out_silent(void **state)
{
	struct kit *k = ring_new(1);

	(void)state;
	(void)ring_out(k);
	ring_crash(k, 1);
	(void)kit_at(kit_inside_request(k, "CANCEL"), RING_A);
	kit_time(k, 501);
	(void)kit_at(kit_inside_request(k, "CANCEL"), RING_A);
	kit_time(k, 40000);
	kit_take_all(k);
	ring_end(k);
}

/* Without a provisional answer no CANCEL (RFC 3261 9.1), until there is one. */
static void test_ringing_out_unanswered(void **state)
{
	struct kit *k = ring_new(1);
	struct kit_msg *m = ring_out_invite(k);

	(void)state;
	assert_int_equal(ring_kept(k), 1);
	ring_crash(k, 1);
	kit_time(k, 3000);
	kit_nothing(k); /* not the INVITE again: nobody keeps its body */
	kit_inside(k, "%s", kit_answer(k, m, "180 Ringing", "b1"));
	(void)canceled(k, m);
	ring_terminated(k, m, "487 Request Terminated");
	ring_end(k);

	k = ring_new(1);
	m = ring_out_invite(k);
	ring_crash(k, 1);
	ring_terminated(k, m, "486 Busy Here");
	ring_end(k);

	k = ring_new(1);
	(void)ring_out_invite(k);
	ring_crash(k, 1);
	kit_time(k, 33000);
	ring_end(k);
}

/* The CANCEL crossed a 2xx: that dialog is taken back, and each fork's. */
static void taken_back(struct kit *k, const struct kit_msg *invite, const char *tag,
		       const char *contact, unsigned bye)
{
	char want[200], to[200];
	struct kit_msg *m;
	unsigned i;

	(void)snprintf(want, sizeof(want), "Contact: <%s>\n", contact);
	(void)snprintf(to, sizeof(to), "<sip:bob@stand.test>;tag=%s", tag);
	kit_inside(k, "%s%s" CT_SDP ANSWER_INSIDE, kit_answer(k, invite, "200 OK", tag), want);
	for (i = 0; i < 2; i++) {
		m = kit_at(kit_inside_request(k, i ? "BYE" : "ACK"), RING_A);
		assert_true(span_eq(m->m.ruri.whole, span_str(contact)));
		assert_string_equal(kit_hdr(k, m, "To"), to);
		assert_string_equal(kit_hdr(k, m, "From"), "<sip:alice@stand.test>;tag=a1");
		assert_string_equal(kit_hdr(k, m, "Call-ID"), "c1");
		assert_string_equal(kit_hdr(k, m, "Route"), "");
		assert_int_equal(m->m.cseq, i ? bye : 1);
	}
	kit_inside(k, "%s", kit_answer(k, m, "200 OK", NULL));
}

static void test_ringing_out_late_200(void **state)
{
	struct kit *k = ring_new(1);
	struct kit_msg *m = ring_out(k);

	(void)state;
	ring_crash(k, 1);
	(void)canceled(k, m);
	taken_back(k, m, "b1", "sip:bob@10.0.0.77:5060", 2);
	assert_int_equal(ring_kept(k), 0);
	taken_back(k, m, "b2", "sip:bob@10.0.0.78:5060", 3);
	ring_end(k);
}

/* And where it went to another target before: CANCEL for the branch there. */
static void test_ringing_out_moved(void **state)
{
	struct kit *k = ring_new(2);
	struct kit_msg *one = kit_at(ring_out_invite(k), RING_A), *m;
	char first[1200];
	struct addr a;

	(void)state;
	(void)snprintf(first, sizeof(first), "%s", kit_hdr(k, one, "Via"));
	assert_int_equal(addr_parse(SPAN(RING_A), &a), 0);
	engine_inside_failed(k->e, 0, &a, ENGINE_REFUSED, "test says so", k->now);
	kit_drain(k);
	m = kit_at(kit_inside_request(k, "INVITE"), RING_B);
	assert_string_not_equal(kit_hdr(k, m, "Via"), first);
	kit_inside_from(k, RING_B, "%s", kit_answer(k, m, "180 Ringing", "b1"));
	(void)kit_client_answer(k, 1, 180);
	assert_int_equal(ring_kept(k), 1);
	ring_crash(k, 1);
	one = kit_at(kit_inside_request(k, "CANCEL"), RING_B);
	assert_string_equal(kit_hdr(k, one, "Via"), kit_hdr(k, m, "Via"));
	kit_inside_from(k, RING_B, "%s", kit_answer(k, one, "200 OK", "b1"));
	kit_inside_from(k, RING_B, "%s", kit_answer(k, m, "487 Request Terminated", "b1"));
	(void)kit_at(kit_inside_request(k, "ACK"), RING_B);
	ring_end(k);
}

/* 480, until it is ACKed. */
static void test_ringing_in(void **state)
{
	struct kit *k = ring_new(1);
	struct kit_msg *m;

	(void)state;
	(void)ring_in(k);
	ring_crash(k, 1);
	m = kit_at(kit_inside_answer(k, 480), RING_A);
	assert_string_equal(kit_hdr(k, m, "Via"),
			    "SIP/2.0/UDP 10.0.0.5;branch=z9hG4bKx1;received=10.0.0.5");
	assert_string_equal(kit_hdr(k, m, "From"), "<sip:bob@stand.test>;tag=b1");
	assert_int_equal(m->m.to_tag.n, 16);
	assert_string_equal(kit_hdr(k, m, "CSeq"), "7 INVITE");
	assert_int_equal(ring_kept(k), 0);
	kit_time(k, 501);
	(void)kit_inside_answer(k, 480);
	kit_inside(k, INVITE_IN CT_SDP ANSWER_INSIDE,
		   kit_path); /* a late copy of it: the same answer */
	(void)kit_inside_answer(k, 480);
	ring_in_ack(k);
	kit_time(k, 10000);
	ring_end(k);
}

/* Every Via of the way there is on the way back. */
static void test_ringing_in_vias(void **state)
{
	struct kit *k = ring_new(1);
	struct kit_msg *m;

	(void)state;
	kit_inside(k,
		   "INVITE sip:alice@192.168.1.9:5061;transport=tls SIP/2.0\nv: SIP/2.0/UDP "
		   "10.0.0.5:5062;branch=z9hG4bKx1;rport, SIP/2.0/UDP 10.0.0.8;branch=z9hG4bKy\n"
		   "Via: SIP/2.0/TLS 10.0.0.77:5061;branch=z9hG4bKz\nRoute: %s\n"
		   "f: \"Bob, \\\"b\\\"\" <sip:bob@stand.test>;tag=b1\nt: <sip:alice@stand.test>\n"
		   "i: c1\nCSeq: 7 INVITE\nm: <sip:bob@10.0.0.77:5060>\nSubject: x\n"
		   "Max-Forwards: 69\n" CT_SDP ANSWER_INSIDE,
		   kit_path);
	(void)kit_inside_answer(k, 100);
	(void)kit_client_request(k, 1, "INVITE");
	ring_crash(k, 1);
	m = kit_at(kit_inside_answer(k, 480), RING_A); /* its source: rport */
	assert_string_equal(kit_hdr_n(k, m, "v", 0),
			    "SIP/2.0/UDP 10.0.0.5:5062;branch=z9hG4bKx1;received=10.0.0.5;"
			    "rport=5060, SIP/2.0/UDP 10.0.0.8;branch=z9hG4bKy");
	assert_string_equal(kit_hdr_n(k, m, "Via", 0),
			    "SIP/2.0/TLS 10.0.0.77:5061;branch=z9hG4bKz");
	assert_string_equal(kit_hdr(k, m, "f"), "\"Bob, \\\"b\\\"\" <sip:bob@stand.test>;tag=b1");
	assert_null(strstr(m->text, "Subject"));
	kit_time(k, 40000);
	kit_take_all(k);
	ring_end(k);
}

/* The caller inside gives up just then: its CANCEL is answered, its INVITE has been. */
static void test_ringing_in_cancel(void **state)
{
	struct kit *k = ring_new(1);

	(void)state;
	(void)ring_in(k);
	ring_crash(k, 1);
	(void)kit_inside_answer(k, 480);
	kit_inside(k,
		   "CANCEL sip:alice@192.168.1.9:5061;transport=tls SIP/2.0\nVia: SIP/2.0/UDP "
		   "10.0.0.5;branch=z9hG4bKx1\nRoute: %s\nFrom: <sip:bob@stand.test>;tag=b1\n"
		   "To: <sip:alice@stand.test>\nCall-ID: c1\nCSeq: 7 CANCEL\n",
		   kit_path);
	(void)kit_inside_answer(k, 200);
	ring_in_ack(k);
	ring_end(k);
}

/* The stream that it came on went with the engine, and where the call server is may be known a little later: again, until ACKed. */
static void test_ringing_in_stream(void **state)
{
	struct engine_inside_src src = {.server = 0, .transport = ENGINE_TCP, .conn = 5};
	struct kit *k = ring_new(1);
	struct kit_msg *m;

	(void)state;
	kit_inside_by(k, &src, "10.0.0.5:39000", INVITE_IN CT_SDP ANSWER_INSIDE, kit_path);
	m = kit_inside_answer(k, 100);
	assert_int_equal(m->a.inside_conn, 5);
	(void)kit_client_request(k, 1, "INVITE");
	ring_crash(k, 1);
	m = kit_at(kit_inside_answer(k, 480), "10.0.0.5:39000");
	assert_int_equal(m->a.transport, ENGINE_TCP);
	assert_true(m->a.answer);
	assert_int_equal(m->a.inside_conn, 0); /* a number of another engine's life */
	kit_time(k, 501);
	(void)kit_inside_answer(k, 480);
	src.conn = 1;
	kit_inside_by(k, &src, "10.0.0.5:39001", RING_ACK_IN, kit_path);
	kit_time(k, 10000);
	ring_end(k);
}

/* One INVITE forked to two phones is two, each with its answer. */
static void test_ringing_in_forks(void **state)
{
	struct kit *k = ring_new(1);
	char path[512];
	struct kit_msg *m;
	bool one, two;

	(void)state;
	(void)ring_in(k);
	kit_stream(k, 2);
	kit_register(k, 2, "dave");
	(void)snprintf(path, sizeof(path), "%s", kit_path);
	kit_inside(k,
		   "INVITE sip:dave@192.168.1.9:5061;transport=tls SIP/2.0\nVia: SIP/2.0/UDP "
		   "10.0.0.5;branch=z9hG4bKx2\nRoute: %s\nFrom: <sip:bob@stand.test>;tag=b1\n"
		   "To: <sip:alice@stand.test>\nCall-ID: c1\nCSeq: 7 INVITE\n"
		   "Contact: <sip:bob@10.0.0.77:5060>\nMax-Forwards: 69\n" CT_SDP ANSWER_INSIDE,
		   path);
	(void)kit_inside_answer(k, 100);
	(void)kit_client_request(k, 2, "INVITE");
	assert_int_equal(ring_kept(k), 2);
	ring_crash(k, 2);
	m = kit_inside_answer(k, 480);
	one = strstr(m->text, "z9hG4bKx1") != NULL;
	m = kit_inside_answer(k, 480);
	two = strstr(m->text, "z9hG4bKx2") != NULL;
	assert_true(one == two); /* in whatever order */
	kit_nothing(k);
	kit_time(k, 40000);
	kit_take_all(k);
	ring_end(k);
}

/* Two engines go before the callee's call server answers. */
static void test_ringing_twice(void **state)
{
	struct kit *k = ring_new(1);
	struct kit_msg *m = ring_out(k);

	(void)state;
	ring_crash(k, 1);
	(void)kit_at(kit_inside_request(k, "CANCEL"), RING_A);
	ring_crash(k, 1);
	(void)canceled(k, m);
	ring_terminated(k, m, "487 Request Terminated");
	ring_crash(k, 0);
	ring_end(k);
}

/* A caller that had cancelled already: once more. */
static void test_ringing_cancelled(void **state)
{
	struct kit *k = ring_new(1);
	struct kit_msg *m = ring_out(k);

	(void)state;
	kit_client(k, 1,
		   "CANCEL sip:bob@stand.test SIP/2.0\nVia: SIP/2.0/TLS "
		   "192.168.1.9:5061;branch=z9hG4bKi1;rport\nFrom: <sip:alice@stand.test>;tag=a1\n"
		   "To: <sip:bob@stand.test>\nCall-ID: c1\nCSeq: 1 CANCEL\n");
	(void)kit_client_answer(k, 1, 200);
	(void)kit_at(kit_inside_request(k, "CANCEL"), RING_A);
	ring_crash(k, 1);
	(void)canceled(k, m);
	ring_terminated(k, m, "487 Request Terminated");
	ring_end(k);
}

/* Before its ports are there: a caller inside has its 100. (Of a client's call only the client knows: test_rings_streams_waiting().) */
static void test_ringing_no_ports_yet(void **state)
{
	struct kit *k = ring_new(1);

	(void)state;
	k->hold_media = true;
	ring_in_invite(k);
	assert_int_equal(ring_kept(k), 1);
	ring_crash(k, 1);
	(void)kit_inside_answer(k, 480);
	ring_in_ack(k);
	ring_end(k);
}

/* An answer with an offer, which waits for ports: its 2xx was not ACKed, so it comes again. */
static void test_ringing_late_offer(void **state)
{
	struct kit *k = ring_new(1);
	struct kit_msg *m;

	(void)state;
	k->hold_media = true;
	kit_client(k, 1, INVITE_OUT);
	(void)kit_client_answer(k, 1, 100);
	m = kit_inside_request(k, "INVITE");
	kit_inside(k, "%s" CONTACT_B CT_SDP ANSWER_INSIDE, kit_answer(k, m, "200 OK", "b1"));
	kit_nothing(k);
	assert_int_equal(ring_kept(k), 1);
	ring_crash(k, 1);
	kit_nothing(k);
	taken_back(k, m, "b1", "sip:bob@10.0.0.77:5060", 2);
	ring_end(k);
}

/* An answer that is refused goes up as our own 488: the caller is done, the callee not before its own answer. */
static void test_ringing_refused_answer(void **state)
{
	struct kit *k = ring_new(1);
	struct kit_msg *m = ring_out_invite(k);

	(void)state;
	kit_inside(k, "%s" CT_SDP "v=0\nnonsense\n", kit_answer(k, m, "183 Progress", "b1"));
	(void)kit_client_answer(k, 1, 488);
	(void)kit_at(kit_inside_request(k, "CANCEL"), RING_A);
	ring_crash(k, 1);
	(void)canceled(k, m);
	ring_terminated(k, m, "487 Request Terminated");
	ring_end(k);
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_ringing_out),
		cmocka_unit_test(test_ringing_out_silent),
		cmocka_unit_test(test_ringing_out_unanswered),
		cmocka_unit_test(test_ringing_out_late_200),
		cmocka_unit_test(test_ringing_out_moved),
		cmocka_unit_test(test_ringing_in),
		cmocka_unit_test(test_ringing_in_vias),
		cmocka_unit_test(test_ringing_in_cancel),
		cmocka_unit_test(test_ringing_in_stream),
		cmocka_unit_test(test_ringing_in_forks),
		cmocka_unit_test(test_ringing_twice),
		cmocka_unit_test(test_ringing_cancelled),
		cmocka_unit_test(test_ringing_no_ports_yet),
		cmocka_unit_test(test_ringing_late_offer),
		cmocka_unit_test(test_ringing_refused_answer),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
