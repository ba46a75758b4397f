/* selftests/unit/test_engine_streams.c -- an engine that follows another finds a client's stream still open: the client is as it was, for
 * calls to it and for what it says, and nobody else is. */
#include "selftests/unit/call_kit.h"

#include <errno.h>

#define MESSAGE(from)                                                               \
	"MESSAGE sip:bob@stand.test SIP/2.0\nVia: SIP/2.0/TLS "                     \
	"192.168.1.9:5061;branch=z9hG4bKm\nFrom: <sip:" from "@stand.test>;tag=1\n" \
	"To: <sip:bob@stand.test>\nCall-ID: id\nCSeq: 1 MESSAGE\nMax-Forwards: 70\n"

static const struct engine_stats *stats(const struct kit *k)
{
	return engine_stats(k->e);
}

/* A call from inside reaches @stream; hung up before it was answered. */
static void rings(struct kit *k, uint64_t stream)
{
	struct kit_msg *m;

	kit_inside(k, INVITE_IN CT_SDP ANSWER_INSIDE, kit_path);
	(void)kit_inside_answer(k, 100);
	m = kit_client_request(k, stream, "INVITE");
	kit_client(k, stream, "%s", kit_answer(k, m, "486 Busy Here", "a1"));
	(void)kit_client_request(k, stream, "ACK");
	(void)kit_inside_answer(k, 486);
	kit_inside(k,
		   "ACK sip:alice@192.168.1.9:5061;transport=tls SIP/2.0\n"
		   "Via: SIP/2.0/UDP 10.0.0.5;branch=z9hG4bKx1\nRoute: %s\n"
		   "From: <sip:bob@stand.test>;tag=b1\nTo: <sip:alice@stand.test>;tag=a1\n"
		   "Call-ID: c1\nCSeq: 7 ACK\nMax-Forwards: 69\n",
		   kit_path);
	kit_time(k, 40000); /* the next one has the same branch */
	kit_nothing(k);
}

/* Nobody is there to take it. */
static void nobody(struct kit *k)
{
	kit_inside(k, INVITE_IN CT_SDP ANSWER_INSIDE, kit_path);
	(void)kit_inside_answer(k, 480);
	kit_nothing(k);
}

static struct kit_kept *the_binding(struct kit *k)
{
	unsigned i;

	for (i = 0; i < KIT_KEPT; i++)
		if (k->kept[i].n && k->kept[i].record == ENGINE_RECORD_BINDING)
			return &k->kept[i];
	fail_msg("no binding is kept");
	return NULL;
}

static void test_streams_called_at_once(void **state)
{
	struct kit *k = kit_alice();

	(void)state;
	kit_crash_but(k, 1u << 1);
	assert_int_equal(k->restored, 1);
	assert_int_equal(stats(k)->admitted, 1);
	assert_true(engine_stream_admitted(k->e, 1));
	assert_string_equal(engine_stream_aors(k->e, 1), "sip:alice@stand.test");
	assert_int_equal(k->admits, 1); /* the edge knows */
	assert_int_equal(k->revokes, 0);
	kit_nothing(k);
	rings(k, 1);
	kit_crash_but(k, 1u << 1); /* and once more */
	rings(k, 1);
	kit_settled(k);
	kit_free(k);
}

static void test_streams_identity(void **state)
{
	struct kit *k = kit_alice();
	struct kit_msg *m;

	(void)state;
	kit_crash_but(k, 1u << 1);
	kit_client(k, 1, MESSAGE("boss"));
	(void)kit_client_answer(k, 1, 403);
	assert_int_equal(stats(k)->refused_identity, 1);
	kit_nothing(k);
	kit_client(k, 1, MESSAGE("alice"));
	m = kit_inside_request(k, "MESSAGE");
	kit_inside(k, "%s", kit_answer(k, m, "200 OK", "b1"));
	(void)kit_client_answer(k, 1, 200);
	kit_settled(k);
	kit_free(k);
}

static void test_streams_refresh(void **state)
{
	struct kit *k = kit_alice();

	(void)state;
	kit_crash_but(k, 1u << 1);
	kit_register(k, 1, "alice");
	assert_int_equal(k->admits, 1);
	assert_int_equal(stats(k)->bindings, 1);
	assert_int_equal(stats(k)->admitted, 1);
	kit_time(k, 550000);
	rings(k, 1);
	kit_time(k, 10001); /* then nobody stands for it any more */
	assert_int_equal(stats(k)->bindings, 0);
	assert_int_equal(k->revokes, 1);
	assert_false(engine_stream_admitted(k->e, 1));
	kit_client(k, 1, MESSAGE("alice"));
	(void)kit_client_answer(k, 1, 403);
	kit_settled(k);
	kit_free(k);
}

/* Another client's stream that is open as well is not admitted by it. */
static void test_streams_not_admitted(void **state)
{
	struct kit *k = kit_alice();

	(void)state;
	kit_stream(k, 2);
	kit_crash_but(k, 1u << 2);
	assert_int_equal(stats(k)->admitted, 0);
	assert_false(engine_stream_admitted(k->e, 2));
	kit_client(k, 2, MESSAGE("alice"));
	(void)kit_client_answer(k, 2, 403);
	nobody(k);
	kit_settled(k);
	kit_free(k);
}

/* What did not outlive the worker is out of the record too: its number brings nothing back. */
static void test_streams_lost(void **state)
{
	struct kit *k = kit_alice();
	size_t n = the_binding(k)->n;

	(void)state;
	kit_crash(k);
	assert_int_equal(k->restored, 1);
	nobody(k);
	assert_int_equal(the_binding(k)->n, n - 27);
	kit_crash_but(k, 1u << 1);
	assert_int_equal(stats(k)->admitted, 0);
	nobody(k);
	kit_stream(k, 3);
	kit_register(k, 3, "alice");
	rings(k, 3);
	kit_settled(k);
	kit_free(k);
}

static void test_streams_closed_before(void **state)
{
	struct kit *k = kit_alice();
	size_t n = the_binding(k)->n;

	(void)state;
	engine_stream_closed(k->e, 1, k->now);
	kit_drain(k);
	assert_int_equal(the_binding(k)->n, n - 27);
	kit_crash_but(k, 1u << 1);
	assert_int_equal(stats(k)->admitted, 0);
	nobody(k);
	kit_settled(k);
	kit_free(k);
}

/* The newest of a device's streams has its calls, and a refresh on an older one does not change that. */
static void test_streams_newest(void **state)
{
	struct kit *k = kit_alice();

	(void)state;
	kit_stream(k, 2);
	kit_register(k, 2, "alice");
	kit_crash_but(k, 1u << 1 | 1u << 2);
	assert_int_equal(stats(k)->admitted, 2);
	rings(k, 2);
	kit_register(k, 1, "alice");
	rings(k, 2);
	kit_stream(k, 3);
	kit_register(k, 3, "alice");
	rings(k, 3);
	kit_crash_but(k, 1u << 1);
	rings(k, 1);
	engine_stream_closed(k->e, 1, k->now);
	kit_drain(k);
	nobody(k);
	kit_settled(k);
	kit_free(k);
}

/* A stream that carries a device's second user only by what is refreshed after the crash: its place is by its age, too. */
static void test_streams_late(void **state)
{
	struct kit *k = kit_alice();

	(void)state;
	kit_stream(k, 2);
	kit_stream(k, 3);
	kit_register(k, 3, "carol"); /* so that it is kept */
	kit_register(k, 1, "carol");
	kit_register(k, 2, "alice");
	kit_crash_but(k, 1u << 1 | 1u << 2 | 1u << 3);
	rings(k, 2);
	kit_register(k, 3, "alice");
	rings(k, 3);
	kit_register(k, 2, "alice");
	rings(k, 3);
	kit_settled(k);
	kit_free(k);
}

static void test_streams_two_users(void **state)
{
	struct kit *k = kit_alice();

	(void)state;
	kit_register(k, 1, "carol");
	kit_crash_but(k, 1u << 1);
	assert_int_equal(k->restored, 2);
	assert_int_equal(stats(k)->admitted, 1);
	assert_non_null(strstr(engine_stream_aors(k->e, 1), "sip:alice@stand.test"));
	assert_non_null(strstr(engine_stream_aors(k->e, 1), "sip:carol@stand.test"));
	kit_client(k, 1, MESSAGE("carol"));
	(void)kit_inside_request(k, "MESSAGE");
	engine_stream_closed(k->e, 1, k->now);
	kit_drain(k);
	assert_int_equal(stats(k)->admitted, 0);
	kit_free(k);
}

/* A call that stood is held by the stream that it was made on. */
static void hangs_up(bool out, bool client)
{
	struct up u = up_call(out);
	struct kit_msg *m;

	kit_crash_but(u.k, 1u << 1);
	assert_int_equal(u.k->restored, 2);
	assert_int_equal(kit_media_live(u.k), 1);
	kit_nothing(u.k);
	if (client) {
		up_client(&u, 1, "BYE", 20, "");
		m = kit_inside_request(u.k, "BYE");
		kit_inside(u.k, "%s", kit_answer(u.k, m, "200 OK", NULL));
		(void)kit_client_answer(u.k, 1, 200);
	} else {
		up_inside(&u, "BYE", 20, "");
		m = kit_client_request(u.k, 1, "BYE");
		kit_client(u.k, 1, "%s", kit_answer(u.k, m, "200 OK", NULL));
		(void)kit_inside_answer(u.k, 200);
	}
	assert_int_equal(kit_media_live(u.k), 0);
	kit_settled(u.k);
	kit_free(u.k);
}

static void test_streams_calls(void **state)
{
	(void)state;
	hangs_up(true, true);
	hangs_up(true, false);
	hangs_up(false, true);
	hangs_up(false, false);
}

/* ---- records ---- */

static int restored(const struct kit *k, const struct kit_kept *p, unsigned *admitted)
{
	struct engine_stream s = {.id = 1, .edge = "edge1", .edge_host = "edge.example.net"};
	struct engine *e;
	int err;

	assert_int_equal(engine_new(&k->c, k->now, &e), 0);
	assert_int_equal(engine_stream_open(e, &s), 0);
	s.id = 2;
	assert_int_equal(engine_stream_open(e, &s), 0);
	err = engine_restore(e, p->record, p->id, span_of(p->data, p->n), k->now);
	*admitted = (unsigned)engine_stats(e)->admitted;
	assert_int_equal(engine_stats(e)->bindings, err == 0);
	engine_free(e);
	return err;
}

/* The record's end: flags, expiry (8), who confirmed it (18), number of streams, their ids (8 each). */
static void test_streams_of_record(void **state)
{
	static const struct {
		uint8_t flags, n;
		uint64_t id[5];
		unsigned ids;
		int err;
		unsigned admitted;
	} rows[] = {
		{2, 1, {1}, 1, 0, 1},
		{3, 2, {1, 2}, 2, 0, 2},
		{2, 2, {2, 7}, 2, 0, 1},
		{2, 4, {1, 2, 3, 4}, 4, 0, 2},
		{2, 5, {1, 2, 3, 4, 5}, 5, -EBADMSG, 0},
		{2, 0, {0}, 0, -EBADMSG, 0},
		{2, 1, {0}, 1, -EBADMSG, 0},
		{2, 2, {2, 1}, 2, -EBADMSG, 0},
		{2, 2, {1, 1}, 2, -EBADMSG, 0},
		{2, 2, {1, 2}, 1, -EBADMSG, 0}, /* one is missing */
		{2, 1, {1, 2}, 2, -EBADMSG, 0}, /* one too many */
		{0, 1, {1}, 1, -EBADMSG, 0},
		{6, 1, {1}, 1, 0, 1},
		{4, 1, {1}, 1, -EBADMSG, 0},
		{10, 1, {1}, 1, -EBADMSG, 0},
	};
	struct kit *k = kit_alice();
	const struct kit_kept *was = the_binding(k);
	size_t flags = was->n - 36, i;
	struct kit_kept p = *was;
	unsigned admitted, j, b;

	(void)state;
	assert_int_equal(was->data[flags], 2);
	for (i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		p.data[flags] = rows[i].flags;
		p.n = flags + 27;
		p.data[p.n++] = rows[i].n;
		for (j = 0; j < rows[i].ids; j++)
			for (b = 0; b < 8; b++)
				p.data[p.n++] = (uint8_t)(rows[i].id[j] >> 8 * b);
		assert_int_equal(restored(k, &p, &admitted), rows[i].err);
		assert_int_equal(admitted, rows[i].admitted);
	}
	p.data[flags] = 0; /* as it was written before there were any streams in it */
	p.n = flags + 9;
	assert_int_equal(restored(k, &p, &admitted), 0);
	assert_int_equal(admitted, 0);
	kit_free(k);
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_streams_called_at_once),
		cmocka_unit_test(test_streams_identity),
		cmocka_unit_test(test_streams_refresh),
		cmocka_unit_test(test_streams_not_admitted),
		cmocka_unit_test(test_streams_lost),
		cmocka_unit_test(test_streams_closed_before),
		cmocka_unit_test(test_streams_newest),
		cmocka_unit_test(test_streams_late),
		cmocka_unit_test(test_streams_two_users),
		cmocka_unit_test(test_streams_calls),
		cmocka_unit_test(test_streams_of_record),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
