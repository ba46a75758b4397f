/* selftests/unit/test_engine_register.c -- REGISTER through the engine: what is forwarded, what admits, what is taken
 * back. In: literal messages. Out: admissions, forwarded messages, bindings. */
#include "selftests/unit/engine_kit.h"

#define REG(branch, cseq, more)                                                                    \
	"REGISTER sip:stand.test SIP/2.0\nVia: SIP/2.0/TLS 192.168.1.9:5061;branch=z9hG4bK" branch \
	";rport\n"                                                                                 \
	"From: <sip:alice@stand.test>;tag=r1\nTo: <sip:alice@stand.test>\nCall-ID: "               \
	"reg1\nCSeq: " cseq " REGISTER\n"                                                          \
	"Max-Forwards: 70\n" more
#define CONTACT "Contact: <sip:alice@192.168.1.9:5061;transport=tls>\n"
#define CRED_OF(user, n)                                                                \
	"Authorization: Digest username=\"" user "\", realm=\"stand.test\", nonce=\"" n \
	"\", uri=\"sip:stand.test\", response=\"x\"\n"
#define CRED(n) CRED_OF("alice", n)
#define CHALLENGE(n)                                                \
	"WWW-Authenticate: Digest realm=\"stand.test\", nonce=\"" n \
	"\", qop=\"auth,auth-int\", algorithm=MD5\n"
#define OK_CONTACT "Contact: <sip:alice@192.168.1.9:5061;transport=tls>;expires=600\n"

static struct kit *kit_with_stream(void)
{
	struct kit *k = kit_new();

	kit_stream(k, 1);
	return k;
}

/* One round: challenge with @nonce seen by the core. */
static void challenge(struct kit *k, uint64_t stream, const char *nonce)
{
	struct kit_msg *m;

	kit_client(k, stream, REG("chal", "1", CONTACT));
	m = kit_inside_request(k, "REGISTER");
	kit_inside(k,
		   "%sWWW-Authenticate: Digest realm=\"stand.test\", nonce=\"%s\", qop=\"auth\"\n",
		   kit_answer(k, m, "401 Unauthorized", "s"), nonce);
	(void)kit_client_answer(k, stream, 401);
}

static void test_register_forwarded(void **state)
{
	struct kit *k = kit_with_stream();
	struct kit_msg *m;

	(void)state;
	kit_client(
		k, 1,
		REG("f1", "1",
		    CONTACT
		    "Route: <sip:edge.example.net:5061;transport=tls;lr>\nPath: "
		    "<sip:evil@10.0.0.9;lr>\nX-Trusted-Edge: 1\n"
		    "P-Asserted-Identity: <sip:boss@stand.test>\nX-Other: stays\nExpires: 600\n"));
	m = kit_inside_request(k, "REGISTER");
	assert_int_equal(m->a.server, 0);
	assert_int_equal(m->a.transport, ENGINE_UDP);
	assert_int_equal(m->a.to.port, 0);
	assert_non_null(
		strstr(kit_hdr_n(k, m, "Via", 0), "SIP/2.0/UDP 10.0.0.2:5070;branch=z9hG4bK"));
	assert_non_null(strstr(kit_hdr_n(k, m, "Via", 1), "received=198.51.100.1;rport=40001"));
	assert_string_equal(kit_hdr(k, m, "Max-Forwards"), "69");
	assert_string_equal(kit_hdr(k, m, "Contact"), "<sip:alice@192.168.1.9:5061;transport=tls>");
	assert_non_null(strstr(kit_hdr(k, m, "Path"), "@10.0.0.2:5070;transport=udp;lr>"));
	assert_string_equal(kit_hdr_n(k, m, "Path", 1), "");
	assert_string_equal(kit_hdr(k, m, "Supported"), "path");
	assert_string_equal(kit_hdr(k, m, "Route"), "");
	assert_string_equal(kit_hdr(k, m, "X-Trusted-Edge"), "");
	assert_string_equal(kit_hdr(k, m, "P-Asserted-Identity"), "");
	assert_string_equal(kit_hdr(k, m, "X-Other"), "stays");
	kit_free(k);
}

static void test_register_admits(void **state)
{
	struct kit *k = kit_with_stream();
	struct kit_msg *m;

	(void)state;
	kit_client(k, 1, REG("a1", "1", CONTACT "Expires: 600\n"));
	m = kit_inside_request(k, "REGISTER");
	kit_inside(k, "%s" CHALLENGE("n1"), kit_answer(k, m, "401 Unauthorized", "s"));
	m = kit_client_answer(k, 1, 401);
	assert_string_equal(
		kit_hdr(k, m, "WWW-Authenticate"),
		"Digest realm=\"stand.test\", nonce=\"n1\", qop=\"auth\", algorithm=MD5");
	assert_string_equal(kit_hdr_n(k, m, "Via", 1), "");
	assert_int_equal(k->admits, 0);
	kit_client(k, 1, REG("a2", "2", CONTACT "Expires: 600\nUser-Agent: phone 1\n" CRED("n1")));
	m = kit_inside_request(k, "REGISTER");
	assert_non_null(strstr(kit_hdr(k, m, "Authorization"), "nonce=\"n1\""));
	kit_inside(k, "%s" OK_CONTACT "Service-Route: <sip:10.0.0.5;lr>\n",
		   kit_answer(k, m, "200 OK", "s"));
	m = kit_client_answer(k, 1, 200);
	assert_string_equal(kit_hdr(k, m, "Service-Route"), "");
	assert_int_equal(k->admits, 1);
	assert_string_equal(engine_stream_aors(k->e, 1), "sip:alice@stand.test");
	assert_int_equal(engine_stats(k->e)->bindings, 1);
	kit_nothing(k);
	/* A refresh does not admit again; the binding ends by time and takes the admission along. */
	kit_client(k, 1, REG("a3", "3", CONTACT "Expires: 600\n" CRED("n1")));
	m = kit_inside_request(k, "REGISTER");
	kit_inside(k, "%s" OK_CONTACT, kit_answer(k, m, "200 OK", "s"));
	(void)kit_client_answer(k, 1, 200);
	assert_int_equal(k->admits, 1);
	assert_int_equal(k->revokes, 0);
	kit_time(k, 599000);
	assert_int_equal(k->revokes, 0);
	kit_time(k, 2000);
	assert_int_equal(k->revokes, 1);
	assert_int_equal(engine_stats(k->e)->bindings, 0);
	assert_int_equal(engine_stats(k->e)->admitted, 0);
	kit_settled(k);
	kit_free(k);
}

/* A nonce that the server gave alice, in a REGISTER or an INVITE of hers, admits nobody else, whom it may take
 * without asking. */
static void test_register_nonce_of_another(void **state)
{
	static const char *const cred[] = {CRED_OF("eve", "n1"), CRED_OF("eve", "n2"),
					   "Authorization: Bearer token=\"abc\"\n"};
	struct kit *k = kit_with_stream();
	struct kit_msg *m;
	size_t i;

	(void)state;
	kit_register(k, 1, "alice");
	challenge(k, 1, "n1");
	kit_client(k, 1,
		   "MESSAGE sip:eve@stand.test SIP/2.0\nVia: SIP/2.0/TLS a:1;branch=z9hG4bKm\n"
		   "From: <sip:alice@stand.test>;tag=1\nTo: <sip:eve@stand.test>\nCall-ID: m\n"
		   "CSeq: 1 MESSAGE\nMax-Forwards: 70\n");
	m = kit_inside_request(k, "MESSAGE");
	kit_inside(k,
		   "%sProxy-Authenticate: Digest realm=\"stand.test\", nonce=\"n2\"\n"
		   "Proxy-Authenticate: Bearer realm=\"stand.test\"\n",
		   kit_answer(k, m, "407 Proxy Authentication Required", "s"));
	(void)kit_client_answer(k, 1, 407);
	kit_stream(k, 2);
	for (i = 0; i < sizeof(cred) / sizeof(cred[0]); i++) {
		kit_client(k, 2,
			   "REGISTER sip:stand.test SIP/2.0\nVia: SIP/2.0/TLS "
			   "a:1;branch=z9hG4bKe%zu\nFrom: <sip:eve@stand.test>;tag=1\n"
			   "To: <sip:eve@stand.test>\nCall-ID: e\nCSeq: %zu REGISTER\n"
			   "Contact: <sip:eve@192.168.1.7>\nMax-Forwards: 70\n%s",
			   i, i + 1, cred[i]);
		m = kit_inside_request(k, "REGISTER");
		kit_inside(k, "%sContact: <sip:eve@192.168.1.7>;expires=600\n",
			   kit_answer(k, m, "200 OK", "s"));
		(void)kit_client_answer(k, 2, 403);
		m = kit_inside_request(k, "REGISTER"); /* taken back */
		assert_string_equal(kit_hdr(k, m, "Expires"), "0");
		kit_inside(k, "%s", kit_answer(k, m, "200 OK", "s"));
	}
	assert_int_equal(k->admits, 1);
	assert_string_equal(engine_stream_aors(k->e, 2), "");
	kit_settled(k);
	kit_free(k);
}

/* What must not admit: each row is a request and the server's answer to it. */
static void test_register_never_admits(void **state)
{
	static const struct {
		const char *request, *answer;
		unsigned client_gets;
		bool taken_back;
	} rows[] = {
		/* an unchallenged 200 */
		{REG("x1", "5", CONTACT), "200 OK\n" OK_CONTACT, 403, true},
		/* credentials for a nonce that this server never gave */
		{REG("x2", "5", CONTACT CRED("invented")), "200 OK\n" OK_CONTACT, 403, true},
		/* a wrong password */
		{REG("x3", "5", CONTACT CRED("n1")), "401 Unauthorized\n" CHALLENGE("n2"), 401,
		 false},
		{REG("x4", "5", CONTACT CRED("n1")), "403 Wrong user\n", 403, false},
		/* a 200 that does not confirm the Contact */
		{REG("x5", "5", CONTACT CRED("n1")), "200 OK\n", 403, true},
		{REG("x6", "5", CONTACT CRED("n1")),
		 "200 OK\nContact: <sip:alice@192.168.1.8:5061;transport=tls>;expires=600\n", 403,
		 true},
		{REG("x7", "5", CONTACT CRED("n1")),
		 "200 OK\nContact: <sip:alice@192.168.1.9:5061;transport=tls>;expires=0\n", 403,
		 true},
		/* queries and de-registrations: pass with credentials, not without */
		{REG("x8", "5", CRED("n1")), "200 OK\n" OK_CONTACT, 200, false},
		{REG("x9", "5", ""), "200 OK\n" OK_CONTACT, 403, false},
		{REG("xa", "5", CONTACT "Expires: 0\n" CRED("n1")), "200 OK\n", 200, false},
		{REG("xb", "5", "Contact: *\nExpires: 0\n" CRED("n1")), "200 OK\n", 200, false},
		{REG("xc", "5", CONTACT "Expires: 0\n"), "200 OK\n", 403, false},
		/* Bearer that nobody asked for */
		{REG("xd", "5", CONTACT "Authorization: Bearer token=\"abc\"\n"),
		 "200 OK\n" OK_CONTACT, 403, true},
	};
	size_t i;

	(void)state;
	for (i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct kit *k = kit_with_stream();
		struct kit_msg *m;
		char status[64];
		const char *rest = strchr(rows[i].answer, '\n') + 1;

		challenge(k, 1, "n1");
		kit_client(k, 1, "%s", rows[i].request);
		m = kit_inside_request(k, "REGISTER");
		(void)snprintf(status, sizeof(status), "%.*s", (int)(rest - rows[i].answer - 1),
			       rows[i].answer);
		kit_inside(k, "%s%s", kit_answer(k, m, status, "s"), rest);
		(void)kit_client_answer(k, 1, rows[i].client_gets);
		if (rows[i].taken_back) {
			m = kit_inside_request(k, "REGISTER");
			assert_string_equal(kit_hdr(k, m, "Contact"),
					    "<sip:alice@192.168.1.9:5061;transport=tls>;expires=0");
			assert_string_equal(kit_hdr(k, m, "Expires"), "0");
			assert_string_equal(kit_hdr(k, m, "CSeq"), "6 REGISTER");
			assert_string_equal(kit_hdr(k, m, "Call-ID"), "reg1");
			assert_string_equal(kit_hdr(k, m, "Authorization"), "");
			kit_inside(k, "%s", kit_answer(k, m, "200 OK", "s"));
		}
		kit_nothing(k);
		assert_int_equal(k->admits, 0);
		assert_string_equal(engine_stream_aors(k->e, 1), "");
		assert_int_equal(engine_stats(k->e)->bindings, 0);
		kit_settled(k);
		kit_free(k);
	}
}

static void test_register_refused(void **state)
{
	static const struct {
		const char *request;
		unsigned status;
		const char *reason;
	} rows[] = {
		{"REGISTER sip:stand.test SIP/2.0\nVia: SIP/2.0/TLS a:1;branch=z9hG4bKq1\nFrom: "
		 "<sip:eve@stand.test>;tag=1\n"
		 "To: <sip:alice@stand.test>\nCall-ID: q\nCSeq: 1 REGISTER\n" CONTACT,
		 403, "third-party"},
		{"REGISTER sip:elsewhere.test SIP/2.0\nVia: SIP/2.0/TLS "
		 "a:1;branch=z9hG4bKq2\nFrom: <sip:a@elsewhere.test>;tag=1\n"
		 "To: <sip:a@elsewhere.test>\nCall-ID: q\nCSeq: 1 REGISTER\n" CONTACT,
		 403, "domain"},
		{"REGISTER sip:stand.test SIP/2.0\nVia: SIP/2.0/TLS a:1;branch=z9hG4bKq3\nFrom: "
		 "<sip:a@other.test>;tag=1\n"
		 "To: <sip:a@other.test>\nCall-ID: q\nCSeq: 1 REGISTER\n" CONTACT,
		 403, "domain"},
		{REG("q4", "1", CONTACT "Route: <sip:10.0.0.9;lr>\n"), 403, "route"},
		{REG("q5", "1", CONTACT "Route: <sip:edge.example.net;lr>, <sip:10.0.0.9;lr>\n"),
		 403, "route"},
		{REG("q6", "1",
		     CONTACT
		     "Route: <sip:EwAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA@edge.example.net;lr>\n"),
		 403, "route"},
		{REG("q7", "1", CONTACT "Contact: <sip:alice@192.168.1.10>\n"), 403, "contacts"},
		{REG("q8", "1", "Contact: *\nExpires: 60\n"), 403, "contact"},
		{"REGISTER sip:stand.test SIP/2.0\nVia: SIP/2.0/TLS a:1;branch=z9hG4bKq9\nFrom: "
		 "<sip:alice@stand.test>;tag=1\n"
		 "To: <sip:alice@stand.test>\nCall-ID: q\nCSeq: 1 REGISTER\nMax-Forwards: "
		 "0\n" CONTACT,
		 483, "max-forwards"},
		{REG("qa", "1", CONTACT "Proxy-Require: gruu2\n"), 420, NULL},
		{"REGISTER sip:stand.test SIP/2.0\nVia: SIP/2.0/TLS a:1;branch=z9hG4bKqb\nFrom: "
		 "<sip:%6dallory@Stand.test>;tag=1\n"
		 "To: <sip:mallory@stand.test>\nCall-ID: q\nCSeq: 1 REGISTER\n" CONTACT,
		 403, "policy"},
	};
	char want[64];
	size_t i;

	(void)state;
	for (i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct kit *k = kit_with_stream();

		kit_client(k, 1, "%s", rows[i].request);
		(void)kit_client_answer(k, 1, rows[i].status);
		kit_nothing(k);
		(void)snprintf(want, sizeof(want), "reason=%s ",
			       rows[i].reason ? rows[i].reason : "");
		if (rows[i].reason)
			assert_non_null(strstr(k->logs, want));
		kit_settled(k);
		kit_free(k);
	}
}

/* A phone that reconnects with its cached nonce is admitted by one round trip; one that the core does not know gets
 * stale=true. */
static void test_register_cached_nonce(void **state)
{
	struct kit *k = kit_with_stream();
	struct kit_msg *m;

	(void)state;
	challenge(k, 1, "n1");
	engine_stream_closed(k->e, 1, k->now);
	kit_drain(k);
	kit_stream(k, 2);
	kit_client(k, 2, REG("c1", "2", CONTACT CRED("n1")));
	m = kit_inside_request(k, "REGISTER");
	kit_inside(k, "%s" OK_CONTACT, kit_answer(k, m, "200 OK", "s"));
	(void)kit_client_answer(k, 2, 200);
	assert_int_equal(k->admits, 1);

	kit_stream(k, 3);
	kit_client(k, 3, REG("c2", "3", CONTACT CRED("from-before")));
	m = kit_inside_request(k, "REGISTER");
	assert_string_equal(kit_hdr(k, m, "Authorization"), "");
	kit_inside(k, "%s" CHALLENGE("n3"), kit_answer(k, m, "401 Unauthorized", "s"));
	m = kit_client_answer(k, 3, 401);
	assert_non_null(strstr(kit_hdr(k, m, "WWW-Authenticate"), "nonce=\"n3\""));
	assert_non_null(strstr(kit_hdr(k, m, "WWW-Authenticate"), ", stale=true"));
	kit_free(k);
}

static void test_register_nonce_life(void **state)
{
	struct kit *k = kit_with_stream();
	struct kit_msg *m;

	(void)state;
	challenge(k, 1, "n1");
	kit_time(k, 3601000);
	kit_client(k, 1, REG("l1", "2", CONTACT CRED("n1")));
	m = kit_inside_request(k, "REGISTER");
	assert_string_equal(kit_hdr(k, m, "Authorization"), "");
	kit_inside(k, "%s" OK_CONTACT, kit_answer(k, m, "200 OK", "s"));
	(void)kit_client_answer(k, 1, 403);
	assert_int_equal(k->admits, 0);
	kit_free(k);
}

/* A nonce of one call server is worth nothing at another. */
static void test_register_nonce_server(void **state)
{
	struct kit *k = kit_with_stream();
	struct kit_msg *m;

	(void)state;
	challenge(k, 1, "n1");
	kit_client(
		k, 1,
		"REGISTER sip:other.test SIP/2.0\nVia: SIP/2.0/TLS a:1;branch=z9hG4bKo1\nFrom: "
		"<sip:a@other.test>;tag=1\n"
		"To: <sip:a@other.test>\nCall-ID: o\nCSeq: 1 REGISTER\nMax-Forwards: 70\n" CONTACT
			CRED_OF("a", "n1"));
	m = kit_inside_request(k, "REGISTER");
	assert_int_equal(m->a.server, 1);
	assert_int_equal(m->a.transport, ENGINE_TCP);
	assert_string_equal(kit_hdr(k, m, "Authorization"), "");
	assert_non_null(strstr(kit_hdr(k, m, "Via"), "SIP/2.0/TCP 10.0.0.2:5070"));
	kit_inside_tcp(k, 9, "%s" OK_CONTACT, kit_answer(k, m, "200 OK", "s"));
	(void)kit_client_answer(k, 1, 403);
	assert_int_equal(k->admits, 0);
	kit_free(k);
}

static void test_register_bearer(void **state)
{
	struct kit *k = kit_with_stream();
	struct kit_msg *m;

	(void)state;
	kit_client(k, 1, REG("b1", "1", CONTACT));
	m = kit_inside_request(k, "REGISTER");
	kit_inside(k, "%sProxy-Authenticate: Bearer realm=\"line\"\n",
		   kit_answer(k, m, "407 Proxy Authentication Required", "s"));
	(void)kit_client_answer(k, 1, 407);
	kit_client(k, 1, REG("b2", "2", CONTACT "Proxy-Authorization: Bearer token=\"abc\"\n"));
	m = kit_inside_request(k, "REGISTER");
	kit_inside(k, "%s" OK_CONTACT, kit_answer(k, m, "200 OK", "s"));
	(void)kit_client_answer(k, 1, 200);
	assert_int_equal(k->admits, 1);
	kit_free(k);
}

static void test_register_deregister(void **state)
{
	struct kit *k = kit_with_stream();
	struct kit_msg *m;

	(void)state;
	kit_register(k, 1, "alice");
	assert_int_equal(k->admits, 1);
	kit_client(k, 1, REG("d1", "9", CONTACT "Expires: 0\n" CRED("n-alice-1")));
	m = kit_inside_request(k, "REGISTER");
	kit_inside(k, "%s", kit_answer(k, m, "200 OK", "s"));
	(void)kit_client_answer(k, 1, 200);
	assert_int_equal(k->revokes, 1);
	assert_int_equal(engine_stats(k->e)->bindings, 0);
	assert_non_null(strstr(k->logs, "event=unregistered"));
	kit_free(k);
}

struct seen {
	unsigned n;
	struct engine_binding_view v;
	char agent[64];
};

static void see(void *arg, const struct engine_binding_view *v)
{
	struct seen *s = arg;

	s->n++;
	s->v = *v;
	(void)snprintf(s->agent, sizeof(s->agent), "%s", v->user_agent);
}

#define INSTANCE "Contact: <sip:alice@%s;transport=tls>;+sip.instance=\"<urn:uuid:1>\";reg-id=1\n"

/* The same device from another address and stream is the same binding, and its newest stream counts. */
static void test_register_instance(void **state)
{
	struct kit *k = kit_with_stream();
	struct kit_msg *m;
	struct seen seen = {0};
	char path[2][300];
	unsigned i;

	(void)state;
	challenge(k, 1, "n1");
	kit_stream(k, 2);
	for (i = 0; i < 2; i++) {
		char contact[200], branch[20];

		(void)snprintf(contact, sizeof(contact), INSTANCE,
			       i ? "192.168.7.7:1234" : "192.168.1.9:5061");
		(void)snprintf(branch, sizeof(branch), "z9hG4bKin%u", i);
		kit_client(
			k, 1 + i,
			"REGISTER sip:stand.test SIP/2.0\nVia: SIP/2.0/TLS a:1;branch=%s\nFrom: "
			"<sip:alice@stand.test>;tag=1\n"
			"To: <sip:alice@stand.test>\nCall-ID: in\nCSeq: %u REGISTER\nMax-Forwards: "
			"70\nSupported: outbound, path\nUser-Agent: ua %u\n%s" CRED("n1"),
			branch, 5 + i, i, contact);
		m = kit_inside_request(k, "REGISTER");
		assert_string_equal(kit_hdr_n(k, m, "Supported", 1), "");
		assert_non_null(strstr(kit_hdr(k, m, "Path"), ";lr;ob>"));
		(void)snprintf(path[i], sizeof(path[i]), "%s", kit_hdr(k, m, "Path"));
		kit_inside(k, "%s%sExpires: 100\n", kit_answer(k, m, "200 OK", "s"), contact);
		(void)kit_client_answer(k, 1 + i, 200);
	}
	assert_string_equal(path[0], path[1]);
	engine_each_binding(k->e, see, &seen);
	assert_int_equal(seen.n, 1);
	assert_int_equal(seen.v.stream, 2);
	assert_string_equal(seen.agent, "ua 1");
	assert_int_equal(seen.v.expires_ms, k->now + 100000);
	assert_string_equal(seen.v.server, "kam");
	/* The newest goes: the older one that still lives serves. */
	engine_stream_closed(k->e, 2, k->now);
	kit_drain(k);
	memset(&seen, 0, sizeof(seen));
	engine_each_binding(k->e, see, &seen);
	assert_int_equal(seen.v.stream, 1);
	engine_stream_closed(k->e, 1, k->now);
	kit_drain(k);
	/* No stream: 430, since its device speaks outbound; after it has expired still, by the ;ob of our Path. */
	for (i = 0; i < 2; i++) {
		kit_inside(k,
			   "INVITE sip:alice@192.168.7.7 SIP/2.0\nVia: SIP/2.0/UDP "
			   "10.0.0.5;branch=z9hG4bKnf%u\nRoute: %s\n"
			   "From: <sip:bob@stand.test>;tag=1\nTo: <sip:alice@stand.test>\nCall-ID: "
			   "nf\nCSeq: 1 INVITE\nMax-Forwards: 70\n",
			   i, path[0]);
		m = kit_inside_answer(k, 430);
		/* Its ACK has our tag and ends here. */
		kit_inside(k,
			   "ACK sip:alice@192.168.7.7 SIP/2.0\nVia: SIP/2.0/UDP "
			   "10.0.0.5;branch=z9hG4bKnf%u\nRoute: %s\n"
			   "From: <sip:bob@stand.test>;tag=1\nTo: %s\nCall-ID: nf\nCSeq: 1 "
			   "ACK\nMax-Forwards: 70\n",
			   i, path[0], kit_hdr(k, m, "To"));
		kit_time(k, 101000);
	}
	assert_int_equal(engine_stats(k->e)->bindings, 0);
	kit_nothing(k);
	kit_settled(k);
	kit_free(k);
}

static void test_register_unavailable(void **state)
{
	struct kit *k = kit_with_stream();

	(void)state;
	kit_register(k, 1, "alice");
	engine_stream_closed(k->e, 1, k->now);
	kit_drain(k);
	kit_inside(k,
		   "MESSAGE sip:alice@192.168.1.9 SIP/2.0\nVia: SIP/2.0/UDP "
		   "10.0.0.5;branch=z9hG4bKun\nRoute: %s\n"
		   "From: <sip:bob@stand.test>;tag=1\nTo: <sip:alice@stand.test>\nCall-ID: "
		   "un\nCSeq: 1 MESSAGE\nMax-Forwards: 70\n",
		   kit_path);
	(void)kit_inside_answer(k, 480);
	kit_settled(k);
	kit_free(k);
}

static void test_register_timeout(void **state)
{
	struct kit *k = kit_with_stream();
	struct kit_msg *m;
	unsigned sent = 1;

	(void)state;
	kit_client(k, 1, REG("t1", "1", CONTACT));
	m = kit_inside_request(k, "REGISTER");
	kit_time(k, 33000);
	while ((m = kit_to_inside(k)))
		sent++;
	assert_int_equal(
		sent,
		11); /* RFC 3261 17.1.2.2: at 0, 0.5, 1.5, 3.5, 7.5, then every 4 s before 32 s */
	(void)kit_client_answer(k, 1, 408);
	kit_settled(k);
	kit_free(k);
}

static void test_register_full(void **state)
{
	struct kit *k = kit_with_stream();
	struct kit_msg *m;
	unsigned i;

	(void)state;
	k->c.bindings_max = 1;
	k->c.transactions_max = 20;
	kit_restart(k);
	kit_stream(k, 1);
	kit_register(k, 1, "alice");
	kit_stream(k, 2);
	for (i = 0; i < 2; i++) {
		kit_client(k, 2,
			   "REGISTER sip:stand.test SIP/2.0\nVia: SIP/2.0/TLS "
			   "a:1;branch=z9hG4bKfu%u\nFrom: <sip:bob@stand.test>;tag=1\n"
			   "To: <sip:bob@stand.test>\nCall-ID: fu\nCSeq: 1 "
			   "REGISTER\nMax-Forwards: 70\nContact: <sip:bob@192.168.1.3>\n%s",
			   i, i ? CRED_OF("bob", "n1") : "");
		m = kit_inside_request(k, "REGISTER");
		kit_inside(k, "%s%s", kit_answer(k, m, i ? "200 OK" : "401 Unauthorized", "s"),
			   i ? "Contact: <sip:bob@192.168.1.3>;expires=60\n" : CHALLENGE("n1"));
		if (i == 0)
			(void)kit_client_answer(k, 2, 401);
	}
	m = kit_client_answer(k, 2, 503);
	assert_string_equal(kit_hdr(k, m, "Retry-After"), "60");
	(void)kit_inside_request(k, "REGISTER"); /* what the server has made is taken back */
	/* A client that is not admitted may have 8 pending. */
	kit_stream(k, 3);
	for (i = 0; i < 9; i++)
		kit_client(k, 3,
			   "REGISTER sip:stand.test SIP/2.0\nVia: SIP/2.0/TLS "
			   "a:1;branch=z9hG4bKp%u\nFrom: <sip:c@stand.test>;tag=1\n"
			   "To: <sip:c@stand.test>\nCall-ID: p\nCSeq: 1 REGISTER\nMax-Forwards: "
			   "70\n" CONTACT,
			   i);
	m = kit_client_answer(k, 3, 503);
	assert_string_equal(kit_hdr(k, m, "Retry-After"), "10");
	assert_true(engine_stats(k->e)->refused_full >= 2);
	kit_settled(k);
	kit_free(k);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_register_forwarded),
		cmocka_unit_test(test_register_admits),
		cmocka_unit_test(test_register_nonce_of_another),
		cmocka_unit_test(test_register_never_admits),
		cmocka_unit_test(test_register_refused),
		cmocka_unit_test(test_register_cached_nonce),
		cmocka_unit_test(test_register_nonce_life),
		cmocka_unit_test(test_register_nonce_server),
		cmocka_unit_test(test_register_bearer),
		cmocka_unit_test(test_register_deregister),
		cmocka_unit_test(test_register_instance),
		cmocka_unit_test(test_register_unavailable),
		cmocka_unit_test(test_register_timeout),
		cmocka_unit_test(test_register_full),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
