/* selftests/unit/test_engine_random.c -- long random walks: both sides, the media and the clock do what they like, and
 * in the end nothing is left: no transaction, call, binding; every medium opened once and closed once. In: a seed a
 * walk (printed when a walk fails). Out: the engine's counts. */
#include "selftests/unit/call_kit.h"

#define WALKS 120
#define STEPS 220

#define INSIDE_SAVP           \
	SDP_HEAD("10.0.0.77") \
	"m=audio 5000 RTP/SAVP 0\na=crypto:3 AES_CM_128_HMAC_SHA1_80 inline:" KEY_CLIENT "\n"

static unsigned rnd(struct kit *k, unsigned n)
{
	static uint64_t x;

	if (n == 0) {
		x = k->rnd;
		return 0;
	}
	x = x * 2862933555777941757ull + 3037000493ull;
	return (unsigned)(x >> 33) % n;
}

static const char *walk_sdp(struct kit *k, bool client)
{
	static const char *const from_client[] = {
		OFFER_CLIENT,
		ANSWER_CLIENT,
		OFFER_AT("4444", "sendonly", KEY_CLIENT),
		OFFER_CLIENT
		"m=video 4002 RTP/SAVP 96\na=crypto:1 AES_CM_128_HMAC_SHA1_80 inline:" KEY_CLIENT
		"\n",
		ANSWER_INSIDE,
		SDP_HEAD("192.168.1.9") "m=audio 0 RTP/SAVP 0\n",
		"v=0\n",
	};
	static const char *const from_inside[] = {
		ANSWER_INSIDE,
		ANSWER_INSIDE "a=inactive\n",
		SDP_HEAD("0.0.0.0") "m=audio 5000 RTP/AVP 0\n",
		ANSWER_INSIDE "m=video 5002 RTP/AVP 96\n",
		ANSWER_CLIENT,
		SDP_HEAD("10.0.0.77") "m=audio 0 RTP/AVP 0\n",
		"v=0\n",
	};
	/* Of a call server whose keys pass: SRTP and plain RTP in one session, in turns. */
	static const char *const from_secure[] = {
		INSIDE_SAVP,
		INSIDE_SAVP "a=inactive\n",
		ANSWER_INSIDE,
		INSIDE_SAVP "m=video 5002 RTP/AVP 96\n",
		ANSWER_INSIDE "m=video 5002 RTP/SAVP 96\na=crypto:1 AES_CM_128_HMAC_SHA1_80 "
			      "inline:" KEY_CLIENT "\n",
		INSIDE_SAVP "m=video 5002 RTP/SAVP 96\na=crypto:1 AES_CM_128_HMAC_SHA1_80 "
			    "inline:" KEY_CLIENT "\n",
		SDP_HEAD("10.0.0.77") "m=audio 0 RTP/SAVP 0\n",
	};
	unsigned i = rnd(k, 3) ? rnd(k, 2) : rnd(k, 7);

	if (!client && k->c.servers[0].pass)
		return from_secure[i];
	return client ? from_client[i] : from_inside[i];
}

/* Half of the messages carry a description; the other half end here. */
static const char *walk_body(struct kit *k, bool client)
{
	static char out[2000];

	if (rnd(k, 3) == 0)
		return "";
	(void)snprintf(out, sizeof(out), CT_SDP "%s", walk_sdp(k, client));
	return out;
}

static void walk_send(struct kit *k, uint64_t stream, const char *head, const char *body)
{
	if (stream)
		kit_client(k, stream, "%s%s", head, body);
	else
		kit_inside(k, "%s%s", head, body);
}

static void walk_answer(struct kit *k, const struct kit_msg *m)
{
	static const char *const status[] = {
		"100 Trying", "180 Ringing",   "183 Session Progress", "200 OK",   "200 OK",
		"200 OK",     "486 Busy Here", "401 Unauthorized",     "302 Moved"};
	char head[8000], tag[8];
	const char *how = status[rnd(k, 9)], *sdp = "";

	(void)snprintf(tag, sizeof(tag), "t%u", rnd(k, 6) ? 0 : rnd(k, 3));
	if (m->m.method == SIP_M_INVITE || m->m.method == SIP_M_UPDATE ||
	    m->m.method == SIP_M_PRACK)
		sdp = walk_body(k, m->stream != 0);
	(void)snprintf(head, sizeof(head), "%sContact: %s\n%s", kit_answer(k, m, how, tag),
		       m->stream ? "<sip:alice@192.168.1.9:5061;transport=tls>"
				 : "<sip:bob@10.0.0.77:5060>",
		       rnd(k, 4) ? "" : "Require: 100rel\nRSeq: 1\n");
	walk_send(k, m->stream, head, sdp);
	if (rnd(k, 5) == 0)
		walk_send(k, m->stream, head, sdp); /* again */
}

/* A request in the dialog that an answer has just shown to its caller, by the Record-Route and Contact in it. */
static void walk_in_dialog(struct kit *k, const struct kit_msg *m, const char *method)
{
	static unsigned n;
	char head[8000], route[8][400];
	const char *contact = kit_hdr(k, m, "Contact");
	size_t o;
	int i, count = 0;

	while (count < 8 && *kit_hdr_n(k, m, "Record-Route", (unsigned)count)) {
		(void)snprintf(route[count], sizeof(route[0]), "%s",
			       kit_hdr_n(k, m, "Record-Route", (unsigned)count));
		count++;
	}
	o = (size_t)snprintf(
		head, sizeof(head), "%s %.*s SIP/2.0\nVia: SIP/2.0/%s x:1;branch=z9hG4bKw%u\n",
		method, contact[0] ? (int)strlen(contact) - 2 : 9,
		contact[0] ? contact + 1 : "sip:a@b.c", m->stream ? "TLS" : "UDP", ++n);
	for (i = count - 1; i >= 0; i--)
		o += (size_t)snprintf(head + o, sizeof(head) - o, "Route: %s\n", route[i]);
	(void)snprintf(
		head + o, sizeof(head) - o,
		"From: %s\nTo: %s\nCall-ID: %s\nCSeq: %u %s\nMax-Forwards: 70\nContact: %s\n",
		kit_hdr(k, m, "From"), kit_hdr(k, m, "To"), kit_hdr(k, m, "Call-ID"),
		strcmp(method, "ACK") ? m->m.cseq + rnd(k, 5) + 1 : m->m.cseq, method,
		m->stream ? "<sip:alice@192.168.1.9:5061;transport=tls>"
			  : "<sip:bob@10.0.0.77:5060>");
	walk_send(k, m->stream, head,
		  strcmp(method, "BYE") && strcmp(method, "INFO") ? walk_body(k, m->stream != 0)
								  : "");
}

static void walk_message(struct kit *k, struct kit_msg *m)
{
	static const char *const later[] = {"BYE", "INVITE", "UPDATE", "INFO"};

	if (m->m.request) {
		if (m->m.method != SIP_M_ACK)
			walk_answer(k, m);
		return;
	}
	if (m->m.method == SIP_M_INVITE && m->m.status / 100 == 2) {
		if (rnd(k, 8))
			walk_in_dialog(k, m, "ACK");
		if (rnd(k, 2))
			walk_in_dialog(k, m, later[rnd(k, 4)]);
	} else if (m->m.method == SIP_M_INVITE && m->m.status > 100 && m->m.status < 200 &&
		   rnd(k, 3) == 0) {
		walk_in_dialog(k, m, rnd(k, 2) ? "PRACK" : "UPDATE");
	}
}

static void walk_invite(struct kit *k, uint64_t stream, unsigned n)
{
	char head[2000];
	bool cancel = rnd(k, 4) == 0;
	const char *method = cancel ? "CANCEL" : "INVITE";

	if (stream)
		(void)snprintf(head, sizeof(head),
			       "%s sip:bob@stand.test SIP/2.0\nVia: SIP/2.0/TLS "
			       "a:1;branch=z9hG4bKq%u\nFrom: <sip:alice@stand.test>;tag=a%u\n"
			       "To: <sip:bob@stand.test>\nCall-ID: q%u\nCSeq: 1 %s\nMax-Forwards: "
			       "70\n" CONTACT_A,
			       method, n, n, n, method);
	else
		(void)snprintf(
			head, sizeof(head),
			"%s sip:alice@192.168.1.9:5061;transport=tls SIP/2.0\nVia: SIP/2.0/UDP "
			"10.0.0.5;branch=z9hG4bKp%u\nRoute: %s\n"
			"From: <sip:bob@stand.test>;tag=b%u\nTo: <sip:alice@stand.test>\nCall-ID: "
			"p%u\nCSeq: 1 %s\nMax-Forwards: 70\n" CONTACT_B,
			method, n, kit_path, n, n, method);
	walk_send(k, stream, head, cancel ? "" : walk_body(k, stream != 0));
}

static struct kit_msg *walk_pick(struct kit *k)
{
	unsigned i, tries;

	for (tries = 0; k->n && tries < 20; tries++) {
		i = rnd(k, k->n);
		if (k->msg[i].taken && rnd(k, 10))
			continue; /* now and then one is answered twice */
		k->msg[i].taken = true;
		return &k->msg[i];
	}
	return NULL;
}

static void walk_media(struct kit *k)
{
	struct kit_medium *m = k->n_media ? &k->media[rnd(k, k->n_media)] : NULL;

	if (!m)
		return;
	switch (rnd(k, 6)) {
	case 0:
		engine_medium_failed(k->e, m->id, "random", k->now);
		break;
	case 1:
		engine_medium_silent(k->e, m->id, k->now);
		break;
	default:
		engine_medium_opened(k->e, m->id, &m->a, k->now);
	}
	kit_drain(k);
}

static void walk_forget(struct kit *k)
{
	unsigned i;

	for (i = 0; i < k->n; i++)
		free(k->msg[i].text);
	k->n = 0;
}

/* One step; @stream is the client's current one. */
static uint64_t walk_step(struct kit *k, uint64_t stream, unsigned n)
{
	struct kit_msg *m;

	switch (rnd(k, 16)) {
	case 0:
	case 1:
		walk_invite(k, rnd(k, 2) ? stream : 0, n / 3);
		break;
	case 2:
		kit_time(k, rnd(k, 8) ? rnd(k, 3000) : rnd(k, 200000));
		break;
	case 3:
		if (rnd(k, 6))
			break;
		engine_stream_closed(k->e, stream, k->now);
		kit_drain(k);
		walk_forget(k);
		kit_time(
			k,
			40000); /* what was under way ends, so that the registration is seen alone */
		walk_forget(k);
		kit_stream(k, ++stream);
		kit_register(k, stream, "alice");
		break;
	case 4:
	case 5:
		walk_media(k);
		break;
	case 6:
		if (rnd(k, 30) == 0)
			engine_inside_failed(k->e, 0, &(struct addr){.port = 0}, ENGINE_UNREACHABLE,
					     "test", k->now);
		kit_drain(k);
		break;
	default:
		m = walk_pick(k);
		if (m)
			walk_message(k, m);
	}
	return stream;
}

static void walk_tell(void *arg, const struct engine_call_view *v)
{
	(void)arg;
	print_message("left: call %llx %s %s media %u since %llu\n", (unsigned long long)v->call,
		      v->direction, v->state, v->n_media, (unsigned long long)v->since_ms);
}

static void walk(unsigned seed)
{
	static struct engine_server servers[2];
	struct kit *k = kit_new();
	uint64_t stream = 1;
	unsigned i;

	k->rnd = seed * 7919 + 1;
	(void)rnd(k, 0);
	k->c.calls_max = 12;
	memcpy(servers, k->c.servers, sizeof(servers));
	servers[0].pass = seed % 3 == 0;
	k->c.servers = servers;
	kit_restart(k);
	kit_stream(k, stream);
	kit_register(k, stream, "alice");
	k->hold_media = seed % 2;
	for (i = 0; i < STEPS; i++)
		stream = walk_step(k, stream, i);
	engine_stream_closed(k->e, stream, k->now);
	kit_drain(k);
	walk_forget(k);
	/* Held and idle calls end by two hours of silence; calls whose media speak do not: make all silent. */
	kit_time(k, 40000);
	walk_forget(k);
	for (i = 0; i < k->n_media; i++)
		engine_medium_silent(k->e, k->media[i].id, k->now);
	kit_time(k, 8000000);
	engine_each_call(k->e, walk_tell, NULL);
	assert_int_equal(engine_stats(k->e)->bindings, 0);
	assert_int_equal(engine_stats(k->e)->admitted, 0);
	assert_int_equal(engine_stats(k->e)->streams, 0);
	kit_settled(k);
	assert_true(engine_next_due(k->e) == UINT64_MAX);
	kit_free(k);
}

static void test_engine_random(void **state)
{
	unsigned seed;

	(void)state;
	for (seed = 1; seed <= WALKS; seed++) {
		print_message("walk %u\n", seed);
		walk(seed);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_engine_random),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
