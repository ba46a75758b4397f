/* selftests/unit/test_txn.c -- transactions by their timers (RFC 3261 section 17, RFC 6026), driven through the engine.
 * In: requests, answers, time. Out: what is sent when. The inside is UDP, the client's side a stream. */
#include "selftests/unit/engine_kit.h"

#define OUT(method, branch, more)                                                                 \
	method " sip:bob@stand.test SIP/2.0\nVia: SIP/2.0/TLS "                                   \
	       "192.168.1.9:5061;branch=z9hG4bK" branch "\n"                                      \
	       "From: <sip:alice@stand.test>;tag=1\nTo: <sip:bob@stand.test>\nCall-ID: t\nCSeq: " \
	       "1 " method "\nMax-Forwards: 70\n" more
#define IN(method, branch, more)                                                                  \
	method " sip:alice@192.168.1.9 SIP/2.0\nVia: SIP/2.0/UDP 10.0.0.5;branch=z9hG4bK" branch  \
	       "\nRoute: %s\n"                                                                    \
	       "From: <sip:bob@stand.test>;tag=1\nTo: <sip:alice@stand.test>\nCall-ID: t\nCSeq: " \
	       "1 " method "\nMax-Forwards: 70\n" more

static struct kit *kit_alice(void)
{
	struct kit *k = kit_new();

	kit_stream(k, 1);
	kit_register(k, 1, "alice");
	kit_time(k, 10000); /* the registration's own transactions are over */
	assert_int_equal(engine_stats(k->e)->transactions, 0);
	return k;
}

static unsigned count_inside(struct kit *k, const char *start)
{
	struct kit_msg *m;
	unsigned n = 0;

	while ((m = kit_to_inside(k)))
		n += strncmp(m->text, start, strlen(start)) == 0;
	return n;
}

/* Timers A and B: 0.5, 1, 2, 4, 8, 16 s apart, then 408 after 32 s. */
static void test_txn_invite_timeout(void **state)
{
	struct kit *k = kit_alice();
	static const unsigned at[] = {500, 1000, 2000, 4000, 8000, 16000};
	size_t i;

	(void)state;
	kit_client(k, 1, OUT("INVITE", "a", ""));
	(void)kit_client_answer(k, 1, 100);
	(void)kit_inside_request(k, "INVITE");
	for (i = 0; i < sizeof(at) / sizeof(at[0]); i++) {
		kit_time(k, at[i] - 1);
		kit_nothing(k);
		kit_time(k, 1);
		(void)kit_inside_request(k, "INVITE");
	}
	kit_time(k, 499);
	kit_nothing(k);
	kit_time(k, 1);
	(void)kit_client_answer(k, 1, 408);
	kit_nothing(k);
	assert_int_equal(engine_stats(k->e)->timeouts, 1);
	kit_client(k, 1,
		   "ACK sip:bob@stand.test SIP/2.0\nVia: SIP/2.0/TLS "
		   "192.168.1.9:5061;branch=z9hG4bKa\nFrom: <sip:alice@stand.test>;tag=1\n"
		   "To: <sip:bob@stand.test>;tag=9\nCall-ID: t\nCSeq: 1 ACK\nMax-Forwards: 70\n");
	kit_nothing(k);
	kit_settled(k);
	kit_free(k);
}

/* A provisional answer stops A and B; C cancels after 180 s, and 487 comes back. */
static void test_txn_timer_c(void **state)
{
	struct kit *k = kit_alice();
	struct kit_msg *m, *c;

	(void)state;
	kit_client(k, 1, OUT("INVITE", "c", ""));
	(void)kit_client_answer(k, 1, 100);
	m = kit_inside_request(k, "INVITE");
	kit_inside(k, "%s", kit_answer(k, m, "100 Trying", NULL));
	kit_inside(k, "%s", kit_answer(k, m, "180 Ringing", "b"));
	(void)kit_client_answer(k, 1, 180);
	kit_time(k, 179999);
	kit_nothing(k);
	kit_time(k, 1);
	c = kit_inside_request(k, "CANCEL");
	assert_string_equal(kit_hdr(k, c, "Via"), kit_hdr(k, m, "Via"));
	assert_string_equal(kit_hdr(k, c, "CSeq"), "1 CANCEL");
	assert_string_equal(kit_hdr(k, c, "To"), "<sip:bob@stand.test>");
	assert_string_equal(kit_hdr_n(k, c, "Via", 1), "");
	kit_inside(k, "%s", kit_answer(k, c, "200 OK", "b"));
	kit_inside(k, "%s", kit_answer(k, m, "487 Request Terminated", "b"));
	c = kit_inside_request(k, "ACK");
	assert_string_equal(kit_hdr(k, c, "To"), "<sip:bob@stand.test>;tag=b");
	(void)kit_client_answer(k, 1, 487);
	kit_nothing(k);
	kit_settled(k);
	kit_free(k);
}

/* A cancelled INVITE that gets no final answer ends with 487 here. */
static void test_txn_cancel_silence(void **state)
{
	struct kit *k = kit_alice();
	struct kit_msg *m;

	(void)state;
	kit_client(k, 1, OUT("INVITE", "s", ""));
	(void)kit_client_answer(k, 1, 100);
	m = kit_inside_request(k, "INVITE");
	kit_client(k, 1, OUT("CANCEL", "s", ""));
	(void)kit_client_answer(k, 1, 200);
	kit_nothing(k); /* not before a provisional answer: RFC 3261 9.1 */
	kit_inside(k, "%s", kit_answer(k, m, "100 Trying", NULL));
	(void)kit_inside_request(k, "CANCEL");
	kit_time(k, 32000);
	assert_int_equal(count_inside(k, "CANCEL "), 10);
	(void)kit_client_answer(k, 1, 487);
	kit_settled(k);
	kit_free(k);
}

static void test_txn_cancel_unknown(void **state)
{
	struct kit *k = kit_alice();

	(void)state;
	kit_client(k, 1, OUT("CANCEL", "u", ""));
	(void)kit_client_answer(k, 1, 481);
	kit_inside(k, IN("CANCEL", "u", ""), kit_path);
	(void)kit_inside_answer(k, 481);
	kit_nothing(k);
	kit_free(k);
}

/* Timer G repeats a refusal over UDP until ACK; the client's refusal is acknowledged hop by hop. */
static void test_txn_server_refusal(void **state)
{
	struct kit *k = kit_alice();
	struct kit_msg *m, *a;

	(void)state;
	kit_inside(k, IN("INVITE", "g", ""), kit_path);
	(void)kit_inside_answer(k, 100);
	m = kit_client_request(k, 1, "INVITE");
	kit_inside(k, IN("INVITE", "g", ""), kit_path);
	(void)kit_inside_answer(k, 100);
	kit_client(k, 1, "%s", kit_answer(k, m, "486 Busy Here", "a"));
	a = kit_client_request(k, 1, "ACK");
	assert_string_equal(kit_hdr(k, a, "Via"), kit_hdr(k, m, "Via"));
	assert_string_equal(kit_hdr(k, a, "To"), "<sip:alice@stand.test>;tag=a");
	a = kit_inside_answer(k, 486);
	kit_time(k, 3500); /* 0.5, 1.5, 3.5 s */
	assert_int_equal(count_inside(k, "SIP/2.0 486"), 3);
	kit_inside(k, IN("INVITE", "g", ""), kit_path);
	assert_int_equal(count_inside(k, "SIP/2.0 486"), 1);
	kit_inside(k,
		   "ACK sip:alice@192.168.1.9 SIP/2.0\nVia: SIP/2.0/UDP "
		   "10.0.0.5;branch=z9hG4bKg\nRoute: %s\nFrom: <sip:bob@stand.test>;tag=1\n"
		   "To: %s\nCall-ID: t\nCSeq: 1 ACK\nMax-Forwards: 70\n",
		   kit_path, kit_hdr(k, a, "To"));
	kit_time(k, 30000);
	kit_nothing(k);
	kit_settled(k);
	kit_free(k);
}

/* Without ACK timer H ends it after 32 s. */
static void test_txn_no_ack(void **state)
{
	struct kit *k = kit_alice();
	struct kit_msg *m;

	(void)state;
	kit_inside(k, IN("INVITE", "h", ""), kit_path);
	m = kit_client_request(k, 1, "INVITE");
	kit_client(k, 1, "%s", kit_answer(k, m, "603 Decline", "a"));
	(void)kit_client_request(k, 1, "ACK");
	kit_time(k, 31999);
	assert_int_equal(engine_stats(k->e)->transactions, 1);
	kit_time(k, 1);
	assert_int_equal(engine_stats(k->e)->transactions, 0);
	kit_free(k);
}

/* Timers E and F of a request that is not INVITE, J on the server side over UDP. */
static void test_txn_non_invite(void **state)
{
	struct kit *k = kit_alice();
	struct kit_msg *m;

	(void)state;
	kit_client(k, 1, OUT("MESSAGE", "e", ""));
	m = kit_inside_request(k, "MESSAGE");
	kit_time(k, 1500);
	assert_int_equal(count_inside(k, "MESSAGE "), 2);
	kit_inside(k, "%s", kit_answer(k, m, "100 Trying", NULL)); /* from now on every 4 s */
	kit_time(k, 2000);
	assert_int_equal(count_inside(k, "MESSAGE "), 1);
	kit_time(k, 8000);
	assert_int_equal(count_inside(k, "MESSAGE "), 2);
	kit_inside(k, "%s", kit_answer(k, m, "202 Accepted", "b"));
	(void)kit_client_answer(k, 1, 202);
	kit_inside(k, "%s", kit_answer(k, m, "202 Accepted", "b")); /* K absorbs */
	kit_nothing(k);
	kit_time(k, 5000);
	assert_int_equal(engine_stats(k->e)->transactions, 0);

	kit_inside(k, IN("MESSAGE", "j", ""), kit_path);
	m = kit_client_request(k, 1, "MESSAGE");
	kit_inside(k, IN("MESSAGE", "j", ""), kit_path); /* absorbed while pending */
	kit_nothing(k);
	kit_client(k, 1, "%s", kit_answer(k, m, "200 OK", "a"));
	(void)kit_inside_answer(k, 200);
	kit_time(k, 31000);
	kit_inside(k, IN("MESSAGE", "j", ""), kit_path);
	(void)kit_inside_answer(k, 200);
	kit_nothing(k);
	kit_time(k, 1000);
	assert_int_equal(engine_stats(k->e)->transactions, 0);
	kit_free(k);
}

/* Towards a stream nothing is repeated. */
static void test_txn_reliable(void **state)
{
	struct kit *k = kit_alice();

	(void)state;
	kit_inside(k, IN("MESSAGE", "r", ""), kit_path);
	(void)kit_client_request(k, 1, "MESSAGE");
	kit_time(k, 31999);
	kit_nothing(k);
	kit_time(k, 1);
	(void)kit_inside_answer(k, 408);
	kit_settled(k);
	kit_free(k);
}

/* The client's stream closes: what waits for it fails, what came from it is cancelled. */
static void test_txn_stream_closed(void **state)
{
	struct kit *k = kit_alice();
	struct kit_msg *m, *i;

	(void)state;
	kit_inside(k, IN("MESSAGE", "x", ""), kit_path);
	(void)kit_client_request(k, 1, "MESSAGE");
	kit_client(k, 1, OUT("INVITE", "y", ""));
	(void)kit_client_answer(k, 1, 100);
	i = kit_inside_request(k, "INVITE");
	kit_inside(k, "%s", kit_answer(k, i, "180 Ringing", "b"));
	(void)kit_client_answer(k, 1, 180);
	engine_stream_closed(k->e, 1, k->now);
	kit_drain(k);
	m = kit_inside_request(k, "CANCEL");
	(void)kit_inside_answer(k, 480);
	kit_inside(k, "%s", kit_answer(k, m, "200 OK", "b"));
	kit_inside(k, "%s", kit_answer(k, i, "487 Request Terminated", "b"));
	(void)kit_inside_request(k, "ACK");
	kit_nothing(k);
	kit_settled(k);
	assert_int_equal(engine_stats(k->e)->streams, 0);
	kit_free(k);
}

/* A 2xx that crosses the CANCEL of a client that has gone is acknowledged and ended. */
static void test_txn_late_answer(void **state)
{
	struct kit *k = kit_alice();
	struct kit_msg *m, *i;

	(void)state;
	kit_client(k, 1, OUT("INVITE", "l", "Contact: <sip:alice@192.168.1.9>\n"));
	(void)kit_client_answer(k, 1, 100);
	i = kit_inside_request(k, "INVITE");
	engine_stream_closed(k->e, 1, k->now);
	kit_drain(k);
	kit_nothing(k);
	kit_inside(k, "%sContact: <sip:bob@10.0.0.77>\nRecord-Route: <sip:10.0.0.5;lr>\n",
		   kit_answer(k, i, "200 OK", "b"));
	m = kit_inside_request(k, "ACK");
	assert_string_equal(kit_hdr(k, m, "CSeq"), "1 ACK");
	assert_int_equal(strncmp(m->text, "ACK sip:bob@10.0.0.77 SIP/2.0\r\n", 31), 0);
	m = kit_inside_request(k, "BYE");
	assert_string_equal(kit_hdr(k, m, "CSeq"), "2 BYE");
	assert_string_equal(kit_hdr(k, m, "To"), "<sip:bob@stand.test>;tag=b");
	assert_string_equal(kit_hdr(k, m, "From"), "<sip:alice@stand.test>;tag=1");
	kit_inside(k, "%s", kit_answer(k, m, "200 OK", NULL));
	kit_nothing(k);
	kit_settled(k);
	kit_free(k);
}

static void test_txn_server_gone(void **state)
{
	struct kit *k = kit_alice();
	struct kit_msg *m;

	(void)state;
	kit_client(k, 1, OUT("MESSAGE", "f", ""));
	(void)kit_inside_request(k, "MESSAGE");
	engine_inside_failed(k->e, 1, &(struct addr){.port = 0}, ENGINE_UNREACHABLE, "test",
			     k->now); /* another server */
	kit_drain(k);
	kit_nothing(k);
	engine_inside_failed(k->e, 0, &(struct addr){.port = 0}, ENGINE_UNREACHABLE, "test",
			     k->now);
	kit_drain(k);
	m = kit_client_answer(k, 1, 503);
	assert_string_equal(kit_hdr(k, m, "Retry-After"), "10");
	kit_settled(k);
	kit_free(k);
}

static void test_txn_full(void **state)
{
	struct kit *k = kit_alice();
	unsigned i;

	(void)state;
	for (i = 0; i < 65; i++) {
		kit_client(
			k, 1,
			"MESSAGE sip:bob@stand.test SIP/2.0\nVia: SIP/2.0/TLS "
			"a:1;branch=z9hG4bKz%u\nFrom: <sip:alice@stand.test>;tag=1\n"
			"To: <sip:bob@stand.test>\nCall-ID: t\nCSeq: 1 MESSAGE\nMax-Forwards: 70\n",
			i);
		if (i < 64)
			(void)kit_inside_request(k, "MESSAGE");
	}
	(void)kit_client_answer(k, 1, 503);
	kit_nothing(k);
	assert_int_equal(engine_stats(k->e)->transactions, 64);
	assert_int_equal(engine_stats(k->e)->refused_full, 1);
	kit_time(k, 33000);
	(void)count_inside(k, "");
	kit_client(k, 1, OUT("MESSAGE", "zz", ""));
	(void)kit_inside_request(k, "MESSAGE");
	kit_settled(k);
	kit_free(k);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_txn_invite_timeout),
		cmocka_unit_test(test_txn_timer_c),
		cmocka_unit_test(test_txn_cancel_silence),
		cmocka_unit_test(test_txn_cancel_unknown),
		cmocka_unit_test(test_txn_server_refusal),
		cmocka_unit_test(test_txn_no_ack),
		cmocka_unit_test(test_txn_non_invite),
		cmocka_unit_test(test_txn_reliable),
		cmocka_unit_test(test_txn_stream_closed),
		cmocka_unit_test(test_txn_late_answer),
		cmocka_unit_test(test_txn_server_gone),
		cmocka_unit_test(test_txn_full),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
