/* selftests/unit/ring_kit.c -- see ring_kit.h. In: what a test wants rung. Out: messages into the engine. */
#include "selftests/unit/ring_kit.h"

/* Whether the call servers live is not asked here. */
static bool own(struct kit *k, const struct engine_action *a)
{
	(void)k;
	return span_eq(a->data, SPAN("\r\n\r\n")) ||
	       span_eq(span_cut(a->data, 0, 8), SPAN("OPTIONS "));
}

void ring_targets(struct kit *k, unsigned n)
{
	static const char *const at[] = {RING_A, RING_B};
	struct engine_target t[2] = {{.priority = 1}, {.priority = 2}};
	unsigned i;

	for (i = 0; i < n; i++)
		assert_int_equal(addr_parse(span_str(at[i]), &t[i].addr), 0);
	engine_targets(k->e, 0, t, n, k->now);
	kit_drain(k);
}

struct kit *ring_new(unsigned n_targets)
{
	struct kit *k = kit_new();

	k->own = own;
	ring_targets(k, n_targets);
	kit_stream(k, 1);
	kit_register(k, 1, "alice");
	return k;
}

unsigned ring_kept(const struct kit *k)
{
	return kit_kept(k, ENGINE_RECORD_INVITE);
}

/* As in a core: where its call servers are, an engine hears after it was given what is kept. */
void ring_crash(struct kit *k, unsigned ended)
{
	ring_crash_but(k, ended, 0);
}

void ring_crash_but(struct kit *k, unsigned ended, unsigned streams)
{
	kit_crash_but(k, streams);
	assert_int_equal(k->restored, ended + kit_kept(k, ENGINE_RECORD_BINDING));
	assert_int_equal(k->not_restored, 0);
	assert_int_equal(engine_stats(k->e)->calls, 0);
	assert_int_equal(kit_media_live(k), 0);
	ring_targets(k, 1);
}

void ring_end(struct kit *k)
{
	kit_nothing(k);
	assert_int_equal(ring_kept(k), 0);
	ring_targets(k, 0);
	kit_settled(k);
	kit_free(k);
}

void kit_take_all(struct kit *k)
{
	unsigned i;

	for (i = 0; i < k->n; i++)
		k->msg[i].taken = true;
}

struct kit_msg *kit_at(struct kit_msg *m, const char *want)
{
	char text[ADDR_TEXT_MAX];

	assert_string_equal(addr_text(&m->a.to, text), want);
	return m;
}

/* alice calls: the INVITE as bob's call server got it. */
struct kit_msg *ring_out_invite(struct kit *k)
{
	kit_client(k, 1, INVITE_OUT CT_SDP OFFER_CLIENT);
	(void)kit_client_answer(k, 1, 100);
	return kit_inside_request(k, "INVITE");
}

struct kit_msg *ring_out(struct kit *k)
{
	struct kit_msg *m = ring_out_invite(k);

	kit_inside(k, "%s", kit_answer(k, m, "180 Ringing", "b1"));
	(void)kit_client_answer(k, 1, 180);
	assert_int_equal(ring_kept(k), 1);
	return m;
}

void ring_in_invite(struct kit *k)
{
	kit_inside(k, INVITE_IN CT_SDP ANSWER_INSIDE, kit_path);
	(void)kit_inside_answer(k, 100);
}

struct kit_msg *ring_in(struct kit *k)
{
	struct kit_msg *m;

	ring_in_invite(k);
	m = kit_client_request(k, 1, "INVITE");
	kit_client(k, 1, "%s", kit_answer(k, m, "180 Ringing", "a1"));
	(void)kit_inside_answer(k, 180);
	assert_int_equal(ring_kept(k), 1);
	return m;
}

void ring_in_ack(struct kit *k)
{
	kit_inside(k, RING_ACK_IN, kit_path);
}

/* The INVITE's answer, and its ACK on the same hop. */
void ring_terminated(struct kit *k, const struct kit_msg *invite, const char *status)
{
	struct kit_msg *m;

	kit_inside(k, "%s", kit_answer(k, invite, status, "b1"));
	m = kit_at(kit_inside_request(k, "ACK"), RING_A);
	assert_string_equal(kit_hdr(k, m, "Via"), kit_hdr(k, invite, "Via"));
	assert_string_equal(kit_hdr(k, m, "To"), "<sip:bob@stand.test>;tag=b1");
	assert_string_equal(kit_hdr(k, m, "CSeq"), "1 ACK");
	assert_int_equal(ring_kept(k), 0);
}
