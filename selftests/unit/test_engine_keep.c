/* selftests/unit/test_engine_keep.c -- an engine that follows another: calls that stood go on and can be ended from both sides, bindings
 * wait for their devices, what was under way is gone (what rang: test_engine_ringing.c), and a record that is not whole is refused whole. */
#include "selftests/unit/call_kit.h"

static void back(struct up *u, uint64_t stream)
{
	kit_stream(u->k, stream);
	kit_register(u->k, stream, "alice");
}

static void test_keep_records(void **state)
{
	struct up u = up_call(true);

	(void)state;
	assert_int_equal(kit_kept(u.k, ENGINE_RECORD_CALL), 1);
	assert_int_equal(kit_kept(u.k, ENGINE_RECORD_BINDING), 1);
	assert_int_equal(kit_kept(u.k, ENGINE_RECORD_INVITE), 0);
	assert_int_equal(engine_stats(u.k->e)->not_kept[ENGINE_RECORD_CALL], 0);
	up_end(&u); /* and looks that no call is kept any more */
}

/* The client comes back and hangs up. */
static void bye_by_client(bool out)
{
	struct up u = up_call(out);
	struct kit_msg *m;

	kit_crash(u.k);
	assert_int_equal(u.k->restored, 2);
	assert_int_equal(u.k->not_restored, 0);
	assert_int_equal(engine_stats(u.k->e)->calls, 1);
	assert_int_equal(kit_media_live(u.k), 1);
	kit_nothing(u.k);
	back(&u, 3);
	up_client(&u, 3, "BYE", 20, "");
	m = kit_inside_request(u.k, "BYE");
	assert_int_equal(kit_media_live(u.k), 0);
	kit_inside(u.k, "%s", kit_answer(u.k, m, "200 OK", NULL));
	(void)kit_client_answer(u.k, 3, 200);
	kit_settled(u.k);
	kit_free(u.k);
}

static void test_keep_bye_by_client(void **state)
{
	(void)state;
	bye_by_client(true);
	bye_by_client(false);
}

static void bye_by_inside(bool out)
{
	struct up u = up_call(out);
	struct kit_msg *m;

	kit_crash(u.k);
	back(&u, 3);
	up_inside(&u, "BYE", 20, "");
	m = kit_client_request(u.k, 3, "BYE");
	assert_int_equal(kit_media_live(u.k), 0);
	kit_client(u.k, 3, "%s", kit_answer(u.k, m, "200 OK", NULL));
	(void)kit_inside_answer(u.k, 200);
	kit_settled(u.k);
	kit_free(u.k);
}

static void test_keep_bye_by_inside(void **state)
{
	(void)state;
	bye_by_inside(true);
	bye_by_inside(false);
}

/* Hang-up before the phone is back: it is told that nobody is there, and nothing stays. */
static void test_keep_bye_without_client(void **state)
{
	struct up u = up_call(true);

	(void)state;
	kit_crash(u.k);
	up_inside(&u, "BYE", 20, "");
	(void)kit_inside_answer(u.k, 480);
	assert_int_equal(kit_media_live(u.k), 0);
	kit_settled(u.k);
	kit_free(u.k);
}

/* The same keys stay in force for who goes on as before; a new key is taken. */
static void test_keep_reinvite(void **state)
{
	struct up u = up_call(true);
	struct kit_msg *m, *r;

	(void)state;
	kit_crash(u.k);
	back(&u, 3);
	up_client(&u, 3, "INVITE", 20, CONTACT_A CT_SDP OFFER_AT("4000", "sendonly", KEY_CLIENT));
	(void)kit_client_answer(u.k, 3, 100);
	m = kit_inside_request(u.k, "INVITE");
	assert_int_equal(u.k->n_media, 1); /* the same ports */
	assert_non_null(strstr(kit_body(m), "m=audio 37000 RTP/AVP 0\r\n"));
	kit_inside(u.k, "%s" CONTACT_B CT_SDP ANSWER_INSIDE, kit_answer(u.k, m, "200 OK", "b1"));
	r = kit_client_answer(u.k, 3, 200);
	assert_non_null(strstr(kit_body(r), "m=audio 36000 RTP/SAVP 0\r\n"));
	assert_int_equal(u.k->media[0].set.open_key[29], 0x1d);
	up_client(&u, 3, "ACK", 20, "");
	(void)kit_inside_request(u.k, "ACK");
	u.k->msg[u.k->n - 1].taken = true;
	kit_crash(u.k); /* and once more */
	assert_int_equal(engine_stats(u.k->e)->calls, 1);
	back(&u, 4);
	up_client(&u, 4, "BYE", 21, "");
	m = kit_inside_request(u.k, "BYE");
	kit_inside(u.k, "%s", kit_answer(u.k, m, "200 OK", NULL));
	(void)kit_client_answer(u.k, 4, 200);
	kit_settled(u.k);
	kit_free(u.k);
}

/* Its phone comes back from elsewhere: media may follow it. */
static void test_keep_client_moves(void **state)
{
	struct up u = up_call(true);
	unsigned sets;

	(void)state;
	kit_crash(u.k);
	sets = u.k->media[0].sets;
	kit_stream_from(u.k, 3, "192.0.2.99:40000");
	kit_register(u.k, 3, "alice");
	assert_int_equal(u.k->media[0].sets, sets + 1);
	assert_true(u.k->media[0].set.reopen);
	up_client(&u, 3, "BYE", 20, "");
	(void)kit_inside_request(u.k, "BYE");
	kit_free(u.k);
}

/* A medium that the caller lost ends its call, with BYE to both sides. */
static void test_keep_medium_lost(void **state)
{
	struct up u = up_call(true);

	(void)state;
	kit_crash(u.k);
	back(&u, 3);
	engine_medium_failed(u.k->e, u.k->media[0].id, "lost", u.k->now);
	kit_drain(u.k);
	(void)kit_client_request(u.k, 3, "BYE");
	(void)kit_inside_request(u.k, "BYE");
	assert_int_equal(kit_media_live(u.k), 0);
	kit_settled(u.k);
	kit_free(u.k);
}

/* RFC 4028: nobody refreshes the session any more, before or after. */
static void test_keep_session_expires(void **state)
{
	struct up u = up_call(true);
	struct kit_msg *m;

	(void)state;
	up_client(&u, 1, "UPDATE", 2, CONTACT_A "Session-Expires: 90\n");
	m = kit_inside_request(u.k, "UPDATE");
	kit_inside(u.k, "%s" CONTACT_B "Session-Expires: 90;refresher=uac\n",
		   kit_answer(u.k, m, "200 OK", NULL));
	(void)kit_client_answer(u.k, 1, 200);
	kit_time(u.k, 60000);
	kit_crash(u.k);
	kit_time(u.k, 59000);
	kit_nothing(u.k);
	kit_time(u.k, 1001);
	(void)kit_inside_request(u.k, "BYE");
	assert_non_null(strstr(u.k->logs, "reason=session-expired"));
	assert_int_equal(kit_media_live(u.k), 0);
	kit_settled(u.k);
	kit_free(u.k);
}

static void test_keep_binding_expires(void **state)
{
	struct kit *k = kit_alice();

	(void)state;
	kit_crash(k);
	assert_int_equal(engine_stats(k->e)->bindings, 1);
	kit_time(k, 4000000);
	assert_int_equal(engine_stats(k->e)->bindings, 0);
	assert_int_equal(kit_kept(k, ENGINE_RECORD_BINDING), 0);
	kit_free(k);
}

/* Cut anywhere, or with a byte too many: refused, and nothing of it stays. */
static void test_keep_cut_records(void **state)
{
	struct up u = up_call(true);
	struct engine *e;
	unsigned i;
	size_t n;

	(void)state;
	for (i = 0; i < KIT_KEPT; i++) {
		const struct kit_kept *p = &u.k->kept[i];

		for (n = 0; n < p->n; n++) {
			assert_int_equal(engine_new(&u.k->c, u.k->now, &e), 0);
			assert_int_not_equal(
				engine_restore(e, p->record, p->id, span_of(p->data, n), u.k->now),
				0);
			assert_int_equal(engine_stats(e)->calls + engine_stats(e)->bindings, 0);
			engine_free(e);
		}
		if (!p->n)
			continue;
		assert_int_equal(engine_new(&u.k->c, u.k->now, &e), 0);
		assert_int_not_equal(
			engine_restore(e, p->record, p->id, span_of(p->data, p->n + 1), u.k->now),
			0);
		assert_int_equal(
			engine_restore(e, p->record, p->id, span_of(p->data, p->n), u.k->now), 0);
		assert_int_not_equal(
			engine_restore(e, p->record, p->id, span_of(p->data, p->n), u.k->now), 0);
		engine_free(e);
	}
	up_end(&u);
}

static void medium_lost(void *arg, uint64_t medium)
{
	struct kit *k = arg;

	engine_medium_failed(k->e, medium, "lost-with-worker", k->now);
}

/* Audio and video, both lost with the worker: the first ends the call, and the second goes with it. */
static void test_keep_both_media_lost(void **state)
{
	struct kit *k = kit_alice();
	struct up u = {.k = k, .out = true};
	struct kit_msg *m;

	(void)state;
	kit_client(k, 1,
		   INVITE_OUT CT_SDP OFFER_CLIENT
		   "m=video 4002 RTP/SAVP 96\na=crypto:1 AES_CM_128_HMAC_SHA1_80 inline:" KEY_CLIENT
		   "\n");
	(void)kit_client_answer(k, 1, 100);
	m = kit_inside_request(k, "INVITE");
	up_routes(&u, m);
	kit_inside(k, "%s" CONTACT_B CT_SDP ANSWER_INSIDE "m=video 5002 RTP/AVP 96\n",
		   kit_answer(k, m, "200 OK", "b1"));
	(void)kit_client_answer(k, 1, 200);
	up_client(&u, 1, "ACK", 1, "");
	(void)kit_inside_request(k, "ACK");
	assert_int_equal(kit_media_live(k), 2);
	kit_crash(k);
	assert_int_equal(kit_media_live(k), 2);
	engine_each_medium(k->e, medium_lost, k);
	kit_drain(k);
	assert_int_equal(kit_media_live(k), 0);
	m = kit_inside_request(k, "BYE");
	kit_inside(k, "%s", kit_answer(k, m, "200 OK", NULL));
	assert_int_equal(engine_stats(k->e)->calls, 0);
	kit_settled(k);
	kit_free(k);
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_keep_records),
		cmocka_unit_test(test_keep_bye_by_client),
		cmocka_unit_test(test_keep_bye_by_inside),
		cmocka_unit_test(test_keep_bye_without_client),
		cmocka_unit_test(test_keep_reinvite),
		cmocka_unit_test(test_keep_client_moves),
		cmocka_unit_test(test_keep_medium_lost),
		cmocka_unit_test(test_keep_session_expires),
		cmocka_unit_test(test_keep_binding_expires),
		cmocka_unit_test(test_keep_cut_records),
		cmocka_unit_test(test_keep_both_media_lost),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
