/* selftests/unit/call_kit.c -- see call_kit.h. In: what a test wants sent. Out: messages into the engine. */
#include "selftests/unit/call_kit.h"

struct kit *kit_alice(void)
{
	struct kit *k = kit_new();

	kit_stream(k, 1);
	kit_register(k, 1, "alice");
	return k;
}

void up_routes(struct up *u, const struct kit_msg *m)
{
	bool out = strstr(kit_hdr_n(u->k, m, "Record-Route", 0), "@10.0.0.2") != NULL;

	(void)snprintf(u->route_a, sizeof(u->route_a), "%s",
		       kit_hdr_n(u->k, m, "Record-Route", out ? 1 : 0));
	(void)snprintf(u->route_b, sizeof(u->route_b), "%s",
		       kit_hdr_n(u->k, m, "Record-Route", out ? 0 : 1));
}

/* A request of alice's in the dialog (bob's tag b1, hers a1). */
void up_client(struct up *u, uint64_t stream, const char *method, unsigned cseq, const char *more)
{
	kit_client(u->k, stream,
		   "%s sip:bob@10.0.0.77:5060 SIP/2.0\nVia: SIP/2.0/TLS "
		   "192.168.1.9:5061;branch=z9hG4bKd%u\nRoute: %s\nRoute: %s\n%s"
		   "From: <sip:alice@stand.test>;tag=a1\nTo: <sip:bob@stand.test>;tag=b1\nCall-ID: "
		   "c1\nCSeq: %u %s\nMax-Forwards: 70\n%s",
		   method, ++u->n, u->route_a, u->route_b,
		   u->out ? "" : "Route: <sip:10.0.0.5;lr>\n", cseq, method, more);
}

void up_inside(struct up *u, const char *method, unsigned cseq, const char *more)
{
	kit_inside(u->k,
		   "%s sip:alice@192.168.1.9:5061;transport=tls SIP/2.0\nVia: SIP/2.0/UDP "
		   "10.0.0.5;branch=z9hG4bKe%u\nRoute: %s\nRoute: %s\n"
		   "From: <sip:bob@stand.test>;tag=b1\nTo: <sip:alice@stand.test>;tag=a1\nCall-ID: "
		   "c1\nCSeq: %u %s\nMax-Forwards: 69\n%s",
		   method, ++u->n, u->route_b, u->route_a, cseq, method, more);
}

struct up up_call(bool out)
{
	struct up u = {.k = kit_alice(), .out = out};
	struct kit *k = u.k;
	struct kit_msg *m;

	if (out) {
		kit_client(k, 1, INVITE_OUT CT_SDP OFFER_CLIENT);
		(void)kit_client_answer(k, 1, 100);
		m = kit_inside_request(k, "INVITE");
		up_routes(&u, m);
		kit_inside(k, "%s" CONTACT_B CT_SDP ANSWER_INSIDE,
			   kit_answer(k, m, "200 OK", "b1"));
		(void)kit_client_answer(k, 1, 200);
		up_client(&u, 1, "ACK", 1, "");
		(void)kit_inside_request(k, "ACK");
	} else {
		kit_inside(k, INVITE_IN CT_SDP ANSWER_INSIDE, kit_path);
		(void)kit_inside_answer(k, 100);
		m = kit_client_request(k, 1, "INVITE");
		up_routes(&u, m);
		kit_client(k, 1, "%s" CONTACT_A CT_SDP ANSWER_CLIENT,
			   kit_answer(k, m, "200 OK", "a1"));
		(void)kit_inside_answer(k, 200);
		up_inside(&u, "ACK", 7, "");
		(void)kit_client_request(k, 1, "ACK");
	}
	kit_nothing(k);
	assert_int_equal(kit_media_live(k), 1);
	assert_int_equal(engine_stats(k->e)->calls, 1);
	return u;
}

void up_end(struct up *u)
{
	struct kit_msg *m;

	up_inside(u, "BYE", 90, "");
	m = kit_client_request(u->k, 1, "BYE");
	kit_client(u->k, 1, "%s", kit_answer(u->k, m, "200 OK", NULL));
	(void)kit_inside_answer(u->k, 200);
	kit_nothing(u->k);
	assert_int_equal(kit_media_live(u->k), 0);
	kit_settled(u->k);
	kit_free(u->k);
}
