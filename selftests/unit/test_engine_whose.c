/* selftests/unit/test_engine_whose.c -- a REGISTER is for the user himself: To, From, Contact, credentials and
 * Request-URI; and several devices of one user. In: literal messages. Out: refusals, bindings, what the 200 shows. */
#include "selftests/unit/engine_kit.h"

#define CHALLENGE "WWW-Authenticate: Digest realm=\"stand.test\", nonce=\"n1\", qop=\"auth\"\n"
#define MINE	  "<sip:alice@192.168.1.9:5061;transport=tls>"

struct reg { /* one REGISTER; NULL: what alice says */
	const char *ruri, *from, *to, *contact, *more, *cred;
};

static const char * or (const char *s, const char *dflt)
{
	return s ? s : dflt;
}

static void say(struct kit *k, const char *branch, const struct reg *r)
{
	kit_client(k, 1,
		   "REGISTER %s SIP/2.0\nVia: SIP/2.0/TLS 192.168.1.9:5061;branch=z9hG4bK%s\n"
		   "From: %s;tag=1\nTo: %s\nCall-ID: w\nCSeq: 1 REGISTER\nMax-Forwards: 70\n"
		   "Contact: %s\nExpires: 600\n%s%s",
		   or (r->ruri, "sip:stand.test"), branch, or (r->from, "<sip:alice@stand.test>"),
		   or (r->to, "<sip:alice@stand.test>"), or (r->contact, MINE), or (r->more, ""),
		   or (r->cred, ""));
}

/* A client that has been challenged: nonce n1 is alice's. */
static struct kit *challenged(void)
{
	struct kit *k = kit_new();
	struct kit_msg *m;

	kit_stream(k, 1);
	say(k, "first", &(struct reg){0});
	m = kit_inside_request(k, "REGISTER");
	kit_inside(k, "%s" CHALLENGE, kit_answer(k, m, "401 Unauthorized", "s"));
	(void)kit_client_answer(k, 1, 401);
	return k;
}

#define DIGEST(user)                             \
	"Authorization: Digest username=\"" user \
	"\", realm=\"stand.test\", nonce=\"n1\", response=\"x\"\n"

static void test_whose_refused(void **state)
{
	static const struct {
		struct reg r;
		const char *reason;
	} rows[] = {
		{{.to = "<sip:bob@stand.test>", .cred = DIGEST("alice")}, "third-party"},
		{{.from = "<sip:bob@stand.test>", .cred = DIGEST("alice")}, "third-party"},
		{{.to = "<sips:alice@stand.test>", .cred = DIGEST("alice")}, "third-party"},
		{{.to = "<sip:alice@second.test>", .cred = DIGEST("alice")}, "third-party"},
		/* one call server, two domains */
		{{.to = "<sip:alice@second.test>",
		  .from = "<sip:alice@second.test>",
		  .cred = DIGEST("alice")},
		 "domain"},
		{{.ruri = "sip:second.test", .cred = DIGEST("alice")}, "domain"},
		{{.ruri = "sip:alice@stand.test", .cred = DIGEST("alice")}, "domain"},
		{{.to = "<sip:stand.test>", .from = "<sip:stand.test>"}, "domain"},
		/* credentials of somebody else, though the nonce is alice's own */
		{{.cred = DIGEST("bob")}, "digest-user"},
		{{.cred = DIGEST("")}, "digest-user"},
		{{.cred = DIGEST("alice2")}, "digest-user"},
		{{.cred = DIGEST("alic")}, "digest-user"},
		{{.cred = DIGEST("Alice")}, "digest-user"},
		{{.cred = DIGEST("alice@second.test")}, "digest-user"},
		{{.cred = DIGEST("alice@stand.test.example")}, "digest-user"},
		{{.cred = DIGEST("alice") DIGEST("bob")}, "digest-user"},
		{{.cred = DIGEST("bob") DIGEST("alice")}, "digest-user"},
		{{.cred = "Proxy-" DIGEST("bob")}, "digest-user"},
		{{.cred = "Authorization: Digest realm=\"stand.test\", nonce=\"n1\"\n"},
		 "digest-user"},
		{{.cred = "Authorization: Digest username=\"alice\", userhash=true, "
			  "nonce=\"n1\"\n"},
		 "digest-user"},
		/* a Contact that is no device of his: forwarding to an address of record, to another scheme, to ourselves */
		{{.contact = "<sip:bob@stand.test>", .cred = DIGEST("alice")}, "contact-domain"},
		{{.contact = "<sip:alice@SECOND.test;transport=tls>", .cred = DIGEST("alice")},
		 "contact-domain"},
		{{.contact = "<sip:bob@other.test>", .cred = DIGEST("alice")}, "contact-domain"},
		{{.contact = "<tel:+4930123456>", .cred = DIGEST("alice")}, "contact-scheme"},
		{{.contact = "<mailto:bob@stand.test>", .cred = DIGEST("alice")}, "contact-scheme"},
	};
	char branch[16];
	size_t i;

	(void)state;
	for (i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct kit *k = challenged();
		uint64_t refused = engine_stats(k->e)->registers_refused;
		char want[64];

		(void)snprintf(branch, sizeof(branch), "r%zu", i);
		say(k, branch, &rows[i].r);
		(void)kit_client_answer(k, 1, 403);
		kit_nothing(k); /* the call server does not see it */
		(void)snprintf(want, sizeof(want), "reason=%s ", rows[i].reason);
		if (!strstr(k->logs, want))
			fail_msg("row %zu: wanted %s in\n%s", i, want, k->logs);
		assert_int_equal(engine_stats(k->e)->registers_refused, refused + 1);
		assert_int_equal(k->admits, 0);
		kit_settled(k);
		kit_free(k);
	}
}

static void admitted(const struct reg *r, const char *answer_contact)
{
	struct kit *k = challenged();
	struct kit_msg *m;

	say(k, "ok", r);
	m = kit_inside_request(k, "REGISTER");
	kit_inside(k, "%sContact: %s;expires=600\nPath: <sip:x@10.0.0.2:5070;lr>\n",
		   kit_answer(k, m, "200 OK", "s"), answer_contact);
	m = kit_client_answer(k, 1, 200);
	assert_string_equal(kit_hdr(k, m, "Path"), ""); /* nothing of the inside */
	assert_int_equal(k->admits, 1);
	kit_free(k);
}

static void test_whose_own(void **state)
{
	(void)state;
	admitted(&(struct reg){.cred = DIGEST("alice")}, MINE);
	admitted(&(struct reg){.cred = DIGEST("alice@stand.test")}, MINE);
	admitted(&(struct reg){.cred = DIGEST("alice@STAND.TEST")}, MINE);
	admitted(&(struct reg){.cred = DIGEST("al\\ice")}, MINE); /* a quoted pair */
	admitted(&(struct reg){.cred = DIGEST("alice"), .ruri = "sip:STAND.test"}, MINE);
	/* a Contact's user is the device's own choice */
	admitted(&(struct reg){.cred = DIGEST("alice"), .contact = "<sip:7f3a@192.168.1.9>"},
		 "<sip:7f3a@192.168.1.9>");
}

/* %HH in the address of record stands for the bytes of the name. */
static void test_whose_escaped(void **state)
{
	static const char *const names[] = {"a:b", "a%3ab"};
	struct kit *k = kit_new();
	struct kit_msg *m;
	unsigned i;

	(void)state;
	kit_stream(k, 1);
	for (i = 0; i < 2; i++) {
		kit_client(k, 1,
			   "REGISTER sip:stand.test SIP/2.0\nVia: SIP/2.0/TLS "
			   "a:1;branch=z9hG4bKe%u\nFrom: <sip:a%%3ab@stand.test>;tag=1\n"
			   "To: <sip:a%%3Ab@stand.test>\nCall-ID: e\nCSeq: 1 REGISTER\n"
			   "Contact: " MINE "\nMax-Forwards: 70\nAuthorization: Digest "
			   "username=\"%s\", nonce=\"q\"\n",
			   i, names[i]);
		if (i == 0) {
			m = kit_inside_request(k, "REGISTER");
			kit_inside(k, "%s", kit_answer(k, m, "403 Forbidden", "s"));
		}
		(void)kit_client_answer(k, 1, 403);
		kit_nothing(k);
	}
	kit_settled(k);
	kit_free(k);
}

/* digest_user: any leaves the name to the call server. */
static void test_whose_any_name(void **state)
{
	struct kit *k = challenged();
	struct engine_server servers[2];
	struct kit_msg *m;

	(void)state;
	memcpy(servers, k->c.servers, sizeof(servers));
	servers[0].any_digest_user = true;
	k->c.servers = servers;
	kit_restart(k);
	kit_stream(k, 1);
	say(k, "any", &(struct reg){.cred = DIGEST("line-0042")});
	m = kit_inside_request(k, "REGISTER");
	kit_inside(k, "%s" CHALLENGE, kit_answer(k, m, "401 Unauthorized", "s"));
	(void)kit_client_answer(k, 1, 401);
	say(k, "any2", &(struct reg){.cred = DIGEST("line-0042")});
	m = kit_inside_request(k, "REGISTER");
	assert_non_null(strstr(kit_hdr(k, m, "Authorization"), "line-0042"));
	kit_inside(k, "%sContact: " MINE ";expires=600\n", kit_answer(k, m, "200 OK", "s"));
	(void)kit_client_answer(k, 1, 200);
	assert_int_equal(k->admits, 1);
	kit_free(k);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_whose_refused),
		cmocka_unit_test(test_whose_own),
		cmocka_unit_test(test_whose_escaped),
		cmocka_unit_test(test_whose_any_name),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
