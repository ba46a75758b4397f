/* selftests/unit/test_engine_ringing_streams.c -- a call that only rings when its engine goes, and the client's stream outlives it: the
 * client hears of the end as well. The inside's part: test_engine_ringing.c. */
#include <errno.h>

#include "selftests/unit/ring_kit.h"

#define ACK_OUT                                                                          \
	"ACK sip:bob@stand.test SIP/2.0\nVia: SIP/2.0/TLS "                              \
	"192.168.1.9:5061;branch=z9hG4bKi1;rport\nFrom: <sip:alice@stand.test>;tag=a1\n" \
	"To: <sip:bob@stand.test>;tag=x\nCall-ID: c1\nCSeq: 1 ACK\nMax-Forwards: 70\n"

/* alice called: her phone has 500, and the inside its CANCEL. */
static void test_rings_streams_out(void **state)
{
	struct kit *k = ring_new(1);
	struct kit_msg *m = ring_out(k), *c;

	(void)state;
	ring_crash_but(k, 1, 1u << 1);
	c = kit_client_answer(k, 1, 500);
	assert_string_equal(kit_hdr(k, c, "Call-ID"), "c1");
	assert_string_equal(kit_hdr(k, c, "CSeq"), "1 INVITE");
	assert_non_null(strstr(kit_hdr(k, c, "Via"), "branch=z9hG4bKi1"));
	assert_string_equal(kit_hdr_n(k, c, "Via", 1), "");
	c = kit_at(kit_inside_request(k, "CANCEL"), RING_A);
	kit_inside(k, "%s", kit_answer(k, c, "200 OK", "b1"));
	kit_client(k, 1, ACK_OUT);
	kit_nothing(k);
	ring_terminated(k, m, "487 Request Terminated");
	kit_time(k, 40000);
	kit_nothing(k); /* over TLS nothing is repeated */
	/* And she may call again. */
	m = ring_out(k);
	kit_inside(k, "%s", kit_answer(k, m, "486 Busy Here", "b1"));
	(void)kit_inside_request(k, "ACK");
	(void)kit_client_answer(k, 1, 486);
	ring_end(k);
}

/* Her CANCEL crosses it, and so does the answer inside, which is taken back. */
static void test_rings_streams_out_late(void **state)
{
	struct kit *k = ring_new(1);
	struct kit_msg *m = ring_out(k), *c;

	(void)state;
	ring_crash_but(k, 1, 1u << 1);
	(void)kit_client_answer(k, 1, 500);
	c = kit_inside_request(k, "CANCEL");
	kit_inside(k, "%s", kit_answer(k, c, "200 OK", "b1"));
	kit_client(k, 1,
		   "CANCEL sip:bob@stand.test SIP/2.0\nVia: SIP/2.0/TLS "
		   "192.168.1.9:5061;branch=z9hG4bKi1;rport\nFrom: <sip:alice@stand.test>;tag=a1\n"
		   "To: <sip:bob@stand.test>\nCall-ID: c1\nCSeq: 1 CANCEL\nMax-Forwards: 70\n");
	(void)kit_client_answer(k, 1, 200);
	kit_nothing(k);
	kit_inside(k, "%s" CONTACT_B CT_SDP ANSWER_INSIDE, kit_answer(k, m, "200 OK", "b1"));
	(void)kit_inside_request(k, "ACK");
	m = kit_inside_request(k, "BYE");
	kit_inside(k, "%s", kit_answer(k, m, "200 OK", NULL));
	ring_end(k);
}

/* bob called: her phone stops ringing. */
static void test_rings_streams_in(void **state)
{
	struct kit *k = ring_new(1);
	struct kit_msg *m = ring_in(k), *c;

	(void)state;
	ring_crash_but(k, 1, 1u << 1);
	(void)kit_inside_answer(k, 480);
	assert_int_equal(ring_kept(k), 0);
	c = kit_client_request(k, 1, "CANCEL");
	assert_true(span_eq(c->m.ruri.whole, m->m.ruri.whole));
	assert_string_equal(kit_hdr(k, c, "Via"), kit_hdr(k, m, "Via"));
	assert_string_equal(kit_hdr(k, c, "From"), kit_hdr(k, m, "From"));
	assert_string_equal(kit_hdr(k, c, "To"), kit_hdr(k, m, "To"));
	assert_string_equal(kit_hdr(k, c, "CSeq"), "7 CANCEL");
	kit_client(k, 1, "%s", kit_answer(k, c, "200 OK", "a1"));
	ring_in_ack(k);
	kit_client(k, 1, "%s", kit_answer(k, m, "487 Request Terminated", "a1"));
	c = kit_client_request(k, 1, "ACK");
	assert_string_equal(kit_hdr(k, c, "Via"), kit_hdr(k, m, "Via"));
	assert_string_equal(kit_hdr(k, c, "To"), "<sip:alice@stand.test>;tag=a1");
	ring_end(k);
}

/* She had not even said 180: no CANCEL before she does (RFC 3261 9.1). */
static void test_rings_streams_in_unanswered(void **state)
{
	struct kit *k = ring_new(1);
	struct kit_msg *m, *c;

	(void)state;
	ring_in_invite(k);
	m = kit_client_request(k, 1, "INVITE");
	ring_crash_but(k, 1, 1u << 1);
	(void)kit_inside_answer(k, 480);
	ring_in_ack(k);
	kit_nothing(k);
	kit_client(k, 1, "%s", kit_answer(k, m, "180 Ringing", "a1"));
	c = kit_client_request(k, 1, "CANCEL");
	kit_client(k, 1, "%s", kit_answer(k, c, "200 OK", "a1"));
	kit_client(k, 1, "%s", kit_answer(k, m, "487 Request Terminated", "a1"));
	(void)kit_client_request(k, 1, "ACK");
	ring_end(k);
}

/* She has just answered. */
static void test_rings_streams_in_late_200(void **state)
{
	struct kit *k = ring_new(1);
	struct kit_msg *m = ring_in(k), *c;
	unsigned i;

	(void)state;
	ring_crash_but(k, 1, 1u << 1);
	(void)kit_inside_answer(k, 480);
	ring_in_ack(k);
	c = kit_client_request(k, 1, "CANCEL");
	kit_client(k, 1, "%s", kit_answer(k, c, "481 No Transaction", "a1"));
	kit_client(k, 1, "%s" CONTACT_A CT_SDP ANSWER_CLIENT, kit_answer(k, m, "200 OK", "a1"));
	for (i = 0; i < 2; i++) {
		c = kit_client_request(k, 1, i ? "BYE" : "ACK");
		assert_string_equal(kit_hdr(k, c, "To"), "<sip:alice@stand.test>;tag=a1");
		assert_string_equal(kit_hdr(k, c, "From"), "<sip:bob@stand.test>;tag=b1");
		assert_int_equal(c->m.cseq, i ? 8 : 7);
	}
	kit_client(k, 1, "%s", kit_answer(k, c, "200 OK", NULL));
	ring_end(k);
}

static struct kit_msg *both_ring(struct kit *k)
{
	struct kit_msg *m;

	(void)ring_in(k);
	m = ring_out_invite(k);
	kit_inside(k, "%s", kit_answer(k, m, "180 Ringing", "b1"));
	(void)kit_client_answer(k, 1, 180);
	assert_int_equal(ring_kept(k), 2);
	return m;
}

/* The stream ends while the end is under way; a phone says nothing at all; another engine follows in the middle of it. */
static void test_rings_streams_ends(void **state)
{
	struct kit *k = ring_new(1);
	struct kit_msg *m;

	(void)state;
	m = both_ring(k);
	ring_crash_but(k, 2, 1u << 1);
	engine_stream_closed(k->e, 1, k->now);
	kit_drain(k);
	kit_take_all(k);
	ring_in_ack(k);
	ring_terminated(k, m, "487 Request Terminated");
	ring_end(k);

	k = ring_new(1);
	(void)both_ring(k);
	ring_crash_but(k, 2, 1u << 1);
	kit_time(k, 80000);
	kit_take_all(k);
	ring_end(k);

	k = ring_new(1);
	m = ring_out(k);
	ring_crash_but(k, 1, 1u << 1);
	(void)kit_client_answer(k, 1, 500);
	kit_take_all(k);
	ring_crash_but(k, 1, 1u << 1);
	(void)kit_inside_request(k, "CANCEL");
	kit_nothing(k); /* she has her answer */
	kit_time(k, 40000);
	kit_take_all(k);
	ring_end(k);
}

/* Both hops are in the record: cut anywhere, it is refused whole. */
static void test_rings_streams_cut(void **state)
{
	struct kit *k = ring_new(1);
	struct engine_stream s = {.id = 1, .edge = "edge1", .edge_host = "edge.example.net"};
	struct engine *e;
	unsigned i;
	size_t n;

	(void)state;
	(void)ring_out(k);
	ring_in_invite(k);
	(void)kit_client_request(k, 1, "INVITE");
	assert_int_equal(ring_kept(k), 2);
	for (i = 0; i < KIT_KEPT; i++) {
		const struct kit_kept *p = &k->kept[i];

		if (!p->n || p->record != ENGINE_RECORD_INVITE)
			continue;
		for (n = 0; n <= p->n + 1; n++) {
			assert_int_equal(engine_new(&k->c, k->now, &e), 0);
			assert_int_equal(engine_stream_open(e, &s), 0);
			assert_int_equal(
				engine_restore(e, p->record, p->id, span_of(p->data, n), k->now),
				n == p->n ? 0 : -EBADMSG);
			assert_true(n == p->n || engine_stats(e)->transactions == 0);
			engine_free(e);
		}
	}
	kit_free(k);
}

/* alice's INVITE still waited for media ports: nobody inside knows of it, and she hears 500. Where nobody is left to hear, nothing. */
static void test_rings_streams_waiting(void **state)
{
	struct kit *k = ring_new(1);
	struct kit_msg *m;

	(void)state;
	k->hold_media = true;
	kit_client(k, 1, INVITE_OUT CT_SDP OFFER_CLIENT);
	(void)kit_client_answer(k, 1, 100);
	assert_int_equal(ring_kept(k), 1);
	ring_crash_but(k, 1, 1u << 1);
	m = kit_client_answer(k, 1, 500);
	assert_string_equal(kit_hdr(k, m, "Call-ID"), "c1");
	assert_non_null(strstr(kit_hdr(k, m, "Via"), "branch=z9hG4bKi1"));
	assert_int_equal(ring_kept(k), 0);
	kit_client(k, 1, ACK_OUT);
	ring_end(k);

	k = ring_new(1);
	k->hold_media = true;
	kit_client(k, 1, INVITE_OUT CT_SDP OFFER_CLIENT);
	(void)kit_client_answer(k, 1, 100);
	kit_crash(k);
	assert_int_equal(k->not_restored, 1);
	assert_int_equal(engine_stats(k->e)->transactions, 0);
	ring_targets(k, 1);
	ring_end(k);
}

static struct kit_kept *invite_kept(struct kit *k)
{
	struct kit_kept *p = k->kept;

	while (!p->n || p->record != ENGINE_RECORD_INVITE)
		p++;
	return p;
}

static void kept_again(struct kit *k, const struct kit_kept *was)
{
	struct kit_kept *p = k->kept;

	while (p->n)
		p++;
	*p = *was;
}

static void byes(struct kit *k)
{
	struct kit_msg *m;

	kit_time(k, 1);
	m = kit_client_request(k, 1, "BYE");
	kit_client(k, 1, "%s", kit_answer(k, m, "200 OK", NULL));
	m = kit_inside_request(k, "BYE");
	kit_inside(k, "%s", kit_answer(k, m, "200 OK", NULL));
	kit_nothing(k);
	kit_time(k, 40000);
	ring_end(k);
}

/* The engine went when the call was kept, and its 2xx perhaps not yet out: nobody is left in a call that the other does not know. */
static void test_rings_streams_answered(void **state)
{
	struct kit *k = ring_new(1);
	struct kit_kept was;
	struct kit_msg *m;

	(void)state;
	m = ring_in(k);
	was = *invite_kept(k);
	kit_client(k, 1, "%s" CONTACT_A CT_SDP ANSWER_CLIENT, kit_answer(k, m, "200 OK", "a1"));
	(void)kit_inside_answer(k, 200);
	assert_int_equal(ring_kept(k), 0);
	kept_again(k, &was);
	kit_crash_but(k, 1u << 1);
	assert_int_equal(k->not_restored, 1);
	ring_targets(k, 1);
	(void)kit_inside_answer(k, 480);
	ring_in_ack(k);
	byes(k);

	k = ring_new(1);
	m = ring_out(k);
	was = *invite_kept(k);
	kit_inside(k, "%s" CONTACT_B CT_SDP ANSWER_INSIDE, kit_answer(k, m, "200 OK", "b1"));
	(void)kit_client_answer(k, 1, 200);
	kept_again(k, &was);
	kit_crash_but(k, 1u << 1);
	assert_int_equal(k->not_restored, 1);
	ring_targets(k, 1);
	(void)kit_client_answer(k, 1, 500);
	kit_client(k, 1, ACK_OUT);
	byes(k);
}

/* The ports come, and its record is as any other's; or they do not, and it goes. */
static void test_rings_streams_waited(void **state)
{
	struct kit *k = ring_new(1);
	struct kit_msg *m;

	(void)state;
	k->hold_media = true;
	kit_client(k, 1, INVITE_OUT CT_SDP OFFER_CLIENT);
	(void)kit_client_answer(k, 1, 100);
	engine_medium_opened(k->e, k->media[0].id, &k->media[0].a, k->now);
	kit_drain(k);
	m = kit_inside_request(k, "INVITE");
	assert_int_equal(ring_kept(k), 1);
	ring_crash(k, 1);
	kit_inside(k, "%s", kit_answer(k, m, "180 Ringing", "b1"));
	m = kit_inside_request(k, "CANCEL");
	kit_inside(k, "%s", kit_answer(k, m, "481 No Transaction", "b1"));
	kit_time(k, 40000);
	ring_end(k);

	k = ring_new(1);
	k->hold_media = true;
	kit_client(k, 1, INVITE_OUT CT_SDP OFFER_CLIENT);
	(void)kit_client_answer(k, 1, 100);
	kit_time(k, 10000);
	(void)kit_client_answer(k, 1, 503);
	assert_int_equal(ring_kept(k), 0);
	kit_client(k, 1, ACK_OUT);
	ring_end(k);
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_rings_streams_out),
		cmocka_unit_test(test_rings_streams_out_late),
		cmocka_unit_test(test_rings_streams_in),
		cmocka_unit_test(test_rings_streams_in_unanswered),
		cmocka_unit_test(test_rings_streams_in_late_200),
		cmocka_unit_test(test_rings_streams_ends),
		cmocka_unit_test(test_rings_streams_cut),
		cmocka_unit_test(test_rings_streams_waiting),
		cmocka_unit_test(test_rings_streams_answered),
		cmocka_unit_test(test_rings_streams_waited),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
