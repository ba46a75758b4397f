/* selftests/unit/test_engine_ringing_kept.c -- what is kept of calls that ring: it goes with the final answer, whoever gives it;
 * what is not whole, or not ours, is refused whole. */
#include <errno.h>

#include "selftests/unit/ring_kit.h"

/* What ends an INVITE ends its record: answers from below, of our own, no answer, CANCEL. */
static void test_ringing_forgotten(void **state)
{
	static const char *const finals[] = {"486 Busy Here", "302 Moved", "603 Decline"};
	struct kit *k = ring_new(1);
	struct kit_msg *m;
	unsigned i;

	(void)state;
	for (i = 0; i < 3; i++) {
		m = ring_out(k);
		kit_inside(k, "%s", kit_answer(k, m, finals[i], "b1"));
		(void)kit_inside_request(k, "ACK");
		(void)kit_client_answer(k, 1, (unsigned)atoi(finals[i]));
		assert_int_equal(ring_kept(k), 0);
		kit_time(k, 40000);
		m = ring_in(k);
		kit_client(k, 1, "%s", kit_answer(k, m, finals[i], "a1"));
		(void)kit_client_request(k, 1, "ACK");
		(void)kit_inside_answer(k, (unsigned)atoi(finals[i]));
		assert_int_equal(ring_kept(k), 0);
		ring_in_ack(k);
		kit_time(k, 40000);
	}
	(void)ring_in(k); /* nobody answers: timer C cancels, and then nobody answers that */
	kit_time(k, 300000);
	assert_int_equal(ring_kept(k), 0);
	kit_take_all(k);
	(void)ring_out(k);
	kit_time(k, 300000);
	assert_int_equal(ring_kept(k), 0);
	kit_take_all(k);
	ring_end(k);
}

/* Nor does one stay whose client's stream has closed: called, it has its answer; calling, its CANCEL is under way. */
static void test_ringing_stream_closes(void **state)
{
	struct kit *k = ring_new(1);
	struct kit_msg *m;

	(void)state;
	m = ring_out(k);
	ring_in_invite(k);
	(void)kit_client_request(k, 1, "INVITE");
	assert_int_equal(ring_kept(k), 2);
	engine_stream_closed(k->e, 1, k->now);
	kit_drain(k);
	assert_int_equal(ring_kept(k), 1);
	kit_take_all(k);
	ring_in_ack(k);
	ring_terminated(k, m, "487 Request Terminated");
	ring_end(k);
}

/* Cut anywhere, with a byte too many or of another kind: refused, and nothing of it stays. Nor is it taken twice, or beside its
 * call. */
static void refused(struct kit *k, const struct kit_kept *p, struct span data, int want)
{
	struct engine *e;
	unsigned kind;

	assert_int_equal(engine_new(&k->c, k->now, &e), 0);
	assert_int_equal(engine_restore(e, p->record, p->id, data, k->now), want);
	assert_int_equal(engine_stats(e)->transactions, 0);
	for (kind = 0; kind <= ENGINE_RECORDS; kind++)
		if (kind != ENGINE_RECORD_INVITE)
			assert_int_not_equal(
				engine_restore(e, (enum engine_record)kind, p->id, data, k->now),
				0);
	engine_free(e);
}

static void test_ringing_cut_records(void **state)
{
	struct kit *k = ring_new(1);
	struct engine *e;
	unsigned i, done = 0;
	size_t n;

	(void)state;
	(void)ring_out(k);
	ring_in_invite(k);
	for (i = 0; i < KIT_KEPT; i++) {
		struct kit_kept *p = &k->kept[i];

		if (!p->n || p->record != ENGINE_RECORD_INVITE)
			continue;
		for (n = 0; n <= p->n + 1; n++)
			if (n != p->n)
				refused(k, p, span_of(p->data, n), -EBADMSG);
		assert_int_equal(engine_new(&k->c, k->now, &e), 0);
		assert_int_equal(engine_restore(e, p->record, 0, span_of(p->data, p->n), k->now),
				 -EBADMSG);
		assert_int_equal(
			engine_restore(e, p->record, p->id, span_of(p->data, p->n), k->now), 0);
		assert_int_equal(
			engine_restore(e, p->record, p->id, span_of(p->data, p->n), k->now),
			-EEXIST);
		engine_free(e);
		done++;
	}
	assert_int_equal(done, 2);
	kit_free(k);
}

/* Its server is not configured any more, or is reached in another way; or its branch is of another key: not ours. */
static void test_ringing_other_core(void **state)
{
	static const struct engine_server other = {.name = "renamed"};
	struct engine_server tls;
	struct kit *k = ring_new(1);
	struct kit_kept *p = k->kept;

	(void)state;
	(void)ring_out(k);
	while (p->record != ENGINE_RECORD_INVITE || !p->n)
		p++;
	k->c.token_key = SPAN("another key of at least 32 bytes, is it?");
	refused(k, p, span_of(p->data, p->n), -EBADMSG);
	k->c.token_key = SPAN("0123456789abcdef0123456789abcdef");
	tls = k->c.servers[0];
	tls.transport = ENGINE_TLS;
	k->c.servers = &tls;
	k->c.n_servers = 1;
	refused(k, p, span_of(p->data, p->n), -EBADMSG);
	k->c.servers = &other;
	refused(k, p, span_of(p->data, p->n), -EBADMSG);
	kit_free(k);
}

/* One larger than any record is not kept and is counted; the call goes on. */
static void test_ringing_too_large(void **state)
{
	struct kit *k = ring_new(1);
	char name[9000];
	struct kit_msg *m;

	(void)state;
	memset(name, 'x', sizeof(name) - 1);
	name[sizeof(name) - 1] = 0;
	kit_inside(
		k,
		"INVITE sip:alice@192.168.1.9:5061;transport=tls SIP/2.0\nVia: SIP/2.0/UDP "
		"10.0.0.5;branch=z9hG4bKx1\nRoute: %s\nFrom: \"%s\" <sip:bob@stand.test>;tag=b1\n"
		"To: <sip:alice@stand.test>\nCall-ID: c1\nCSeq: 7 INVITE\n"
		"Contact: <sip:bob@10.0.0.77:5060>\nMax-Forwards: 69\n" CT_SDP ANSWER_INSIDE,
		kit_path, name);
	(void)kit_inside_answer(k, 100);
	assert_int_equal(ring_kept(k), 0);
	assert_int_equal(engine_stats(k->e)->not_kept[ENGINE_RECORD_INVITE], 1);
	m = kit_client_request(k, 1, "INVITE");
	kit_client(k, 1, "%s", kit_answer(k, m, "486 Busy Here", "a1"));
	(void)kit_client_request(k, 1, "ACK");
	(void)kit_inside_answer(k, 486);
	ring_in_ack(k);
	ring_end(k);
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_ringing_forgotten),
		cmocka_unit_test(test_ringing_stream_closes),
		cmocka_unit_test(test_ringing_cut_records),
		cmocka_unit_test(test_ringing_other_core),
		cmocka_unit_test(test_ringing_too_large),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
