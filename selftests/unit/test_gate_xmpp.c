/* selftests/unit/test_gate_xmpp.c -- the chat gate: what is answered, forwarded and refused, by which stream error, at every split. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "selftests/unit/gate_xmpp_kit.h"

#define LEN(a) (sizeof(a) / sizeof((a)[0]))
#define LOG    (1 << 18)

#define HEAD_OF(to, more)                                                       \
	"<?xml version='1.0'?><stream:stream" to more " xmlns='jabber:client' " \
	"xmlns:stream='http://etherx.jabber.org/streams'>"
#define HEAD	 HEAD_OF(" to='example.com'", " version='1.0'")
#define HEAD_NET HEAD_OF(" to='example.net'", " version='1.0'")
#define STARTTLS "<starttls xmlns='urn:ietf:params:xml:ns:xmpp-tls'/>"
#define AUTH                                                                        \
	"<auth xmlns='urn:ietf:params:xml:ns:xmpp-sasl' mechanism='PLAIN'>AGEAYg==" \
	"</auth>"
#define RESPONSE "<response xmlns='urn:ietf:params:xml:ns:xmpp-sasl'>YQ==</response>"
#define IQ	 "<iq type='set' id='1'><bind xmlns='urn:ietf:params:xml:ns:xmpp-bind'/></iq>"

#define OURS_OF(from)                                                                \
	"<?xml version='1.0'?><stream:stream from='" from "' id='1d' version='1.0' " \
	"xml:lang='en' xmlns='jabber:client' xmlns:stream='http://etherx.jabber.org/streams'>"
#define OURS OURS_OF("example.com")
#define HOST OURS_OF("im.example.org")
#define FEATURES                                                                         \
	"<stream:features><starttls xmlns='urn:ietf:params:xml:ns:xmpp-tls'><required/>" \
	"</starttls></stream:features>"
#define PROCEED "<proceed xmlns='urn:ietf:params:xml:ns:xmpp-tls'/>"
/* The beginning of an error; its text follows. */
#define ERROR(condition) \
	"<stream:error><" condition " xmlns='urn:ietf:params:xml:ns:xmpp-streams'/>"

#define UP   "reply " OURS FEATURES "\ntls " PROCEED "\n"
#define GOES "forward example.com "

static const struct {
	const char *name, *plain, *tls, *sni;
	const char *want; /* the log's beginning, up to an error's text */
} cases[] = {
	/* before TLS */
	{"header", HEAD, NULL, NULL, "reply " OURS FEATURES "\nmore 0"},
	{"without an XML declaration",
	 "<stream:stream to='example.com' version='1.0' xmlns='jabber:client' "
	 "xmlns:stream='http://etherx.jabber.org/streams'>",
	 NULL, NULL, "reply " OURS FEATURES},
	{"the sender's bare JID comes back", /* RFC 6120 4.7.2 */
	 HEAD_OF(" to='example.com' from='a@example.com/r'", " version='1.0'"), NULL, NULL,
	 "reply <?xml version='1.0'?><stream:stream to='a@example.com' from='example.com' "},
	{"any spelling of the domain",
	 HEAD_OF(" to='B\xc3\x9c"
		 "cher.example.'",
		 " version='1.0'"),
	 NULL, NULL, "reply <?xml version='1.0'?><stream:stream from='xn--bcher-kva.example' "},
	{"host unknown", HEAD_OF(" to='other.org'", " version='1.0'"), NULL, NULL,
	 "close unserved-domain " HOST ERROR("host-unknown")},
	{"no to", HEAD_OF("", " version='1.0'"), NULL, NULL,
	 "close malformed " HOST ERROR("improper-addressing")},
	{"two to", HEAD_OF(" to='example.com' to='example.com'", " version='1.0'"), NULL, NULL,
	 "close malformed " HOST ERROR("not-well-formed")},
	{"to with a local part", HEAD_OF(" to='a@example.com'", " version='1.0'"), NULL, NULL,
	 "close malformed " HOST ERROR("improper-addressing")},
	{"before 1.0", HEAD_OF(" to='example.com'", ""), NULL, NULL,
	 "close malformed " HOST ERROR("unsupported-version")},
	{"a server's namespace",
	 "<stream:stream to='example.com' version='1.0' xmlns='jabber:server' "
	 "xmlns:stream='http://etherx.jabber.org/streams'>",
	 NULL, NULL, "close malformed " HOST ERROR("invalid-namespace")},
	{"a namespace of somebody else",
	 "<stream:stream to='example.com' version='1.0' xmlns='jabber:client' xmlns:stream='x'>",
	 NULL, NULL, "close malformed " HOST ERROR("invalid-namespace")},
	{"another encoding", "<?xml version='1.0' encoding='ISO-8859-1'?><stream:stream", NULL,
	 NULL, "close malformed " HOST ERROR("unsupported-encoding")},
	{"bad UTF-8", HEAD_OF(" to='example.com'", " id='\xc3\x28'"), NULL, NULL,
	 "close malformed " HOST ERROR("unsupported-encoding")},
	{"no XML", "GET / HTTP/1.1\r\n\r\n", NULL, NULL,
	 "close malformed " HOST ERROR("not-well-formed")},
	{"TLS where text is wanted", "\x16\x03\x01\x02", NULL, NULL,
	 "close malformed " HOST ERROR("not-well-formed")},
	{"no stream", "<iq/>", NULL, NULL, "close malformed " HOST ERROR("bad-format")},
	{"entities",
	 "<?xml version='1.0'?><!DOCTYPE x [<!ENTITY a '&a;&a;'>]><stream:stream to='&a;'>", NULL,
	 NULL, "close restricted-xml " HOST ERROR("restricted-xml")},
	{"comment", HEAD "<!-- -->", NULL, NULL,
	 "reply " OURS FEATURES "\nclose restricted-xml " ERROR("restricted-xml")},
	{"processing instruction", HEAD "<?x y?>", NULL, NULL,
	 "reply " OURS FEATURES "\nclose restricted-xml " ERROR("restricted-xml")},
	{"stanza before TLS", HEAD IQ, NULL, NULL,
	 "reply " OURS FEATURES "\nclose tls-required " ERROR("policy-violation")},
	{"SASL before TLS", HEAD AUTH, NULL, NULL,
	 "reply " OURS FEATURES "\nclose tls-required " ERROR("policy-violation")},
	{"starttls with something in it",
	 HEAD "<starttls xmlns='urn:ietf:params:xml:ns:xmpp-tls'><x/></starttls>", NULL, NULL,
	 "reply " OURS FEATURES "\nclose tls-required " ERROR("policy-violation")},
	{"starttls with an attribute",
	 HEAD "<starttls xmlns='urn:ietf:params:xml:ns:xmpp-tls' a='b'/>", NULL, NULL,
	 "reply " OURS FEATURES "\nclose tls-required " ERROR("policy-violation")},
	{"starttls of another namespace", HEAD "<starttls/>", NULL, NULL,
	 "reply " OURS FEATURES "\nclose tls-required " ERROR("policy-violation")},
	{"second header before TLS", HEAD HEAD, NULL, NULL, "reply " OURS FEATURES "\nclose "},
	{"leave before TLS", HEAD "</stream:stream>", NULL, NULL,
	 "reply " OURS FEATURES "\nclose ok </stream:stream>"},
	{"keepalives before TLS", HEAD " \n " STARTTLS, "", NULL, UP "more 0"},
	{"starttls in two tags",
	 HEAD "<starttls xmlns='urn:ietf:params:xml:ns:xmpp-tls'></starttls>", "", NULL,
	 UP "more 0"},
	/* after TLS */
	{"header after TLS", HEAD STARTTLS, HEAD, NULL, UP GOES HEAD "\nmore 0"},
	{"another domain after TLS", HEAD STARTTLS, HEAD_NET, NULL,
	 UP "close other-host " OURS ERROR("host-unknown")},
	{"SNI of the domain", HEAD STARTTLS, HEAD, "example.com", UP GOES HEAD "\nmore 0"},
	{"SNI of another domain of ours", HEAD STARTTLS, HEAD, "example.net",
	 UP "close other-host " OURS_OF("example.net") ERROR("host-unknown")},
	{"SNI of the edge", HEAD STARTTLS, HEAD, "im.example.org", UP GOES HEAD "\nmore 0"},
	{"SNI that is no name", HEAD STARTTLS, HEAD, "a b", UP GOES HEAD "\nmore 0"},
	{"starttls again", HEAD STARTTLS, HEAD STARTTLS, NULL,
	 UP GOES HEAD "\nclose not-authorized " ERROR("not-authorized")},
	/* TLS at once */
	{"direct", NULL, HEAD, "", GOES HEAD "\nmore 0"},
	{"direct, SNI in capitals", NULL, HEAD, "EXAMPLE.com", GOES HEAD "\nmore 0"},
	{"direct, SNI and to differ", NULL, HEAD_NET, "example.com",
	 "close other-host " OURS ERROR("host-unknown")},
	{"direct, to of nobody", NULL, HEAD_OF(" to='other.org'", " version='1.0'"), "",
	 "close unserved-domain " HOST ERROR("host-unknown")},
	{"direct, to of nobody, SNI of ours", NULL, HEAD_OF(" to='other.org'", " version='1.0'"),
	 "example.com", "close other-host " OURS ERROR("host-unknown")},
	{"domain as it came", NULL, HEAD_OF(" to='EXAMPLE.com'", " version='1.0'"), "",
	 GOES HEAD_OF(" to='EXAMPLE.com'", " version='1.0'")},
	{"SASL", NULL, HEAD AUTH " " RESPONSE, "", GOES HEAD AUTH " " RESPONSE "\nmore 0"},
	{"abort", NULL, HEAD AUTH "<abort xmlns='urn:ietf:params:xml:ns:xmpp-sasl'/>" AUTH, "",
	 GOES HEAD AUTH "<abort xmlns='urn:ietf:params:xml:ns:xmpp-sasl'/>" AUTH "\nmore 0"},
	{"SASL2", NULL,
	 HEAD "<authenticate xmlns='urn:xmpp:sasl:2' mechanism='X'><initial-response>YQ=="
	      "</initial-response></authenticate><response xmlns='urn:xmpp:sasl:2'/>",
	 "",
	 GOES HEAD "<authenticate xmlns='urn:xmpp:sasl:2' mechanism='X'><initial-response>YQ=="
		   "</initial-response></authenticate><response xmlns='urn:xmpp:sasl:2'/>\nmore 0"},
	{"what the server says", NULL, HEAD "<success xmlns='urn:ietf:params:xml:ns:xmpp-sasl'/>",
	 "", GOES HEAD "\nclose not-authorized " ERROR("not-authorized")},
	{"a new header behind SASL", NULL, HEAD AUTH HEAD, "", GOES HEAD AUTH HEAD "\nmore 0"},
	{"a new header without declaration", NULL,
	 HEAD AUTH "<stream:stream to='example.com' version='1.0' xmlns='jabber:client' "
		   "xmlns:stream='http://etherx.jabber.org/streams'>",
	 "",
	 GOES HEAD AUTH "<stream:stream to='example.com' version='1.0' xmlns='jabber:client' "
			"xmlns:stream='http://etherx.jabber.org/streams'>\nmore 0"},
	{"a new header for another domain", NULL, HEAD AUTH HEAD_NET, "",
	 GOES HEAD AUTH "\nclose other-host " ERROR("host-unknown")},
	{"a new header without SASL", NULL, HEAD HEAD, "", GOES HEAD "\nclose "},
	{"half a new header", NULL, HEAD AUTH "<stream", "", GOES HEAD AUTH "\nmore 7"},
	{"stanza before SASL", NULL, HEAD IQ, "",
	 GOES HEAD "\nclose not-authorized " ERROR("not-authorized")},
	{"stanza behind SASL", NULL, HEAD AUTH HEAD IQ, "",
	 GOES HEAD AUTH HEAD "\nclose not-authorized " ERROR("not-authorized")},
	{"resume before SASL", NULL, HEAD "<resume xmlns='urn:xmpp:sm:3' h='1' previd='x'/>", "",
	 GOES HEAD "\nclose not-authorized " ERROR("not-authorized")},
	{"compression", NULL,
	 HEAD
	 "<compress xmlns='http://jabber.org/protocol/compress'><method>zlib</method></compress>",
	 "", GOES HEAD "\nclose not-authorized " ERROR("not-authorized")},
	{"leave", NULL, HEAD "</stream:stream>", "", GOES HEAD "</stream:stream>\nmore 0"},
	{"nothing behind the leave", NULL, HEAD "</stream:stream>" IQ, "",
	 GOES HEAD "</stream:stream>\nmore 0"},
	{"text between", NULL, HEAD "hello", "",
	 GOES HEAD "\nclose malformed " ERROR("bad-format")},
	{"a stanza that does not end", NULL, HEAD "<auth", "", GOES HEAD "\nmore 5"},
	{"undeclared prefix", NULL, HEAD "<x:auth/>", "", GOES HEAD "\nclose malformed "},
};

static void case_run(const char *plain, const char *tls, const char *sni, size_t piece, bool twice,
		     char *log)
{
	const struct gate_kit k = {
		.plain = span_str(plain ? plain : ""),
		.tls = span_str(tls ? tls : ""),
		.starttls = plain != NULL,
		.sni = span_str(sni ? sni : ""),
		.piece = piece,
		.twice = twice,
	};

	gate_kit_run(&k, log, LOG);
}

static void test_gate_xmpp_cases(void **state)
{
	static const size_t pieces[] = {1, 2, 7, 60};
	static char log[LOG], again[LOG];
	size_t i, j;

	(void)state;
	for (i = 0; i < LEN(cases); i++) {
		case_run(cases[i].plain, cases[i].tls, cases[i].sni, 0, false, log);
		if (strncmp(log, cases[i].want, strlen(cases[i].want)))
			fail_msg("%s: wanted\n%s\ngot\n%s", cases[i].name, cases[i].want, log);
		for (j = 0; j < LEN(pieces); j++) {
			case_run(cases[i].plain, cases[i].tls, cases[i].sni, pieces[j], true,
				 again);
			if (strcmp(log, again))
				fail_msg("%s in pieces of %zu: wanted\n%s\ngot\n%s", cases[i].name,
					 pieces[j], log, again);
		}
	}
}

/* What was read with <starttls/> is told from what came later: only the former is an injection. */
static void test_gate_xmpp_injection(void **state)
{
	static const char *const behind[] = {"\n", "<", AUTH, HEAD, "\x16\x03\x01"};
	static char log[LOG];
	char plain[1024];
	size_t i;

	(void)state;
	for (i = 0; i < LEN(behind); i++) {
		snprintf(plain, sizeof(plain), HEAD STARTTLS "%s", behind[i]);
		case_run(plain, HEAD, NULL, 0, true, log);
		assert_string_equal(log, "reply " OURS FEATURES "\nclose starttls-injection");
		case_run(plain, HEAD, NULL, strlen(HEAD STARTTLS), true, log);
		assert_string_equal(log, UP GOES HEAD "\nmore 0"); /* the stream does not read it */
	}
}

/* An element again and again, without end, or until @until of them. */
static void many(const char *head, const char *unit, unsigned n, char *log)
{
	char *all = malloc(strlen(head) + n * strlen(unit) + 1), *p = all;

	assert_non_null(all);
	p = stpcpy(p, head);
	while (n--)
		p = stpcpy(p, unit);
	case_run(NULL, all, "", 0, false, log);
	free(all);
}

static void test_gate_xmpp_limits(void **state)
{
	static const struct {
		const char *head, *unit;
		unsigned n;
		const char *reason, *condition;
	} over[] = {
		{HEAD "<auth xmlns='urn:ietf:params:xml:ns:xmpp-sasl'>", "<a>", 40, "too-large",
		 "policy-violation"},
		{HEAD "<auth xmlns='urn:ietf:params:xml:ns:xmpp-sasl' mechanism='", "a", 1 << 20,
		 "too-large", "policy-violation"},
		{HEAD "<auth xmlns='urn:ietf:params:xml:ns:xmpp-sasl'>", "a", 1 << 20, "too-large",
		 "policy-violation"},
		{"<stream:stream to='", "a", 1 << 20, "too-large", "policy-violation"},
		{"", " ", 1 << 20, "too-large", "policy-violation"},
		{HEAD, " ", 1 << 20, "cap-bytes", "policy-violation"},
		{HEAD, RESPONSE, GATE_XMPP_ELEMENTS + 1, "elements", "policy-violation"},
		{HEAD AUTH, HEAD, GATE_XMPP_HEADERS, "elements", "policy-violation"},
	};
	static char log[LOG];
	char want[128], *close;
	size_t i;

	(void)state;
	for (i = 0; i < LEN(over); i++) {
		many(over[i].head, over[i].unit, over[i].n, log);
		close = strstr(log, "close ");
		snprintf(want, sizeof(want), "close %s ", over[i].reason);
		if (!close || strncmp(close, want, strlen(want)))
			fail_msg("%zu: wanted %s, got %.200s", i, want, close ? close : "none");
		snprintf(want, sizeof(want), "<stream:error><%s ", over[i].condition);
		assert_non_null(strstr(close, want));
	}
	many(HEAD, RESPONSE, GATE_XMPP_ELEMENTS, log);
	assert_null(strstr(log, "close"));
	many(HEAD AUTH, HEAD, GATE_XMPP_HEADERS - 1, log);
	assert_null(strstr(log, "close"));
}

/* The stream's own refusals: behind our header while the core has said nothing on this document, else without one. */
static void test_gate_xmpp_refused_by_the_stream(void **state)
{
	static char log[LOG];
	struct gate_kit k = {.tls = SPAN(HEAD IQ), .no_core = true};

	(void)state;
	gate_kit_run(&k, log, sizeof(log));
	assert_memory_equal(log, "close no-core " OURS ERROR("resource-constraint"),
			    strlen("close no-core " OURS ERROR("resource-constraint")));
	k.no_core = false;
	k.silent = true;
	gate_kit_run(&k, log, sizeof(log));
	assert_memory_equal(
		log, GOES HEAD "\nclose not-authorized " OURS ERROR("not-authorized"),
		strlen(GOES HEAD "\nclose not-authorized " OURS ERROR("not-authorized")));
}

/* A reply reads as a stream: header, error, end. */
static void hold_error(const struct gate_out *out)
{
	const struct xmpp_setup setup = {.role = XMPP_RECEIVING, .limits = xmpp_limits_known};
	struct span rest = span_of(out->reply, out->reply_n);
	struct xmpp_reader r;
	struct xmpp_event e;

	assert_true(out->reply_n > 0 && out->reply_n <= sizeof(out->reply));
	xmpp_reader_init(&r, &setup);
	assert_int_equal(xmpp_reader_next(&r, rest, &e), XMPP_OPEN);
	rest = span_cut(rest, e.used, rest.n);
	assert_int_equal(xmpp_reader_next(&r, rest, &e), XMPP_STANZA);
	assert_int_equal(e.element, XMPP_E_ERROR);
	rest = span_cut(rest, e.used, rest.n);
	assert_int_equal(xmpp_reader_next(&r, rest, &e), XMPP_CLOSE);
	assert_int_equal(e.used, rest.n);
	xmpp_reader_fini(&r);
}

static void test_id(char out[GATE_XMPP_ID_MAX])
{
	snprintf(out, GATE_XMPP_ID_MAX, "0123456789abcdef0123456789abcdef");
}

static void test_gate_xmpp_errors_are_streams(void **state)
{
	static const enum gate_reason reasons[] = {
		GATE_NO_CORE,	 GATE_NO_IDLE, GATE_CAP_BYTES, GATE_CAP_SECONDS, GATE_TOO_LARGE,
		GATE_OTHER_CORE, GATE_SLOW,    GATE_UNSERVED,  GATE_DRAINING,
	};
	const struct gate_xmpp_config c = {
		.host = SPAN("im.example.org"), .served = gate_kit_served, .id = test_id};
	const struct stream_service *v = &gate_xmpp_service;
	static struct gate_out out;
	struct gate_xmpp g;
	size_t i;

	(void)state;
	assert_int_equal(v->gate_size, sizeof(g));
	for (i = 0; i < LEN(reasons); i++) {
		assert_int_equal(v->init(&g, &c, NULL), 0);
		gate_out_init(&out);
		assert_int_equal(v->instead(&g, &c, reasons[i], &out), GATE_CLOSE);
		assert_int_equal(out.reason, reasons[i]);
		assert_true(out.detail && *out.detail);
		hold_error(&out);
		if (reasons[i] == GATE_DRAINING) /* RFC 6120 4.9.3.20 */
			assert_non_null(memmem(out.reply, out.reply_n, "<system-shutdown ", 17));
		v->fini(&g);
	}
	out.reply_n = (size_t)v->busy(&c, out.reply, sizeof(out.reply));
	hold_error(&out);
}

/* An Admit may be on its way behind SASL, and only there. */
static void test_gate_xmpp_hold(void **state)
{
	const struct gate_xmpp_config c = {
		.host = SPAN("im.example.org"), .served = gate_kit_served, .id = test_id};
	static struct gate_out out;
	struct gate_xmpp g;

	(void)state;
	gate_xmpp_init(&g, &c);
	gate_xmpp_tls(&g, &c, (struct span){});
	assert_int_equal(gate_xmpp_next(&g, &c, SPAN(HEAD), &out), GATE_FORWARD);
	gate_xmpp_sent(&g);
	assert_false(out.may_admit);
	assert_int_equal(gate_xmpp_next(&g, &c, SPAN(IQ), &out), GATE_CLOSE);
	assert_false(out.may_hold);
	gate_xmpp_fini(&g);
	gate_xmpp_init(&g, &c);
	gate_xmpp_tls(&g, &c, (struct span){});
	assert_int_equal(gate_xmpp_next(&g, &c, SPAN(HEAD AUTH IQ), &out), GATE_FORWARD);
	gate_xmpp_sent(&g);
	assert_int_equal(gate_xmpp_next(&g, &c, SPAN(AUTH IQ), &out), GATE_FORWARD);
	gate_xmpp_sent(&g);
	assert_true(out.may_admit);
	assert_int_equal(gate_xmpp_next(&g, &c, SPAN(IQ), &out), GATE_CLOSE);
	assert_true(out.may_hold && !out.used);
	assert_int_equal(gate_xmpp_next(&g, &c, SPAN(IQ), &out), GATE_CLOSE);
	assert_true(out.may_hold && !out.used && out.reason == GATE_NOT_AUTHORIZED);
	gate_xmpp_fini(&g);
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_gate_xmpp_cases),
		cmocka_unit_test(test_gate_xmpp_injection),
		cmocka_unit_test(test_gate_xmpp_limits),
		cmocka_unit_test(test_gate_xmpp_refused_by_the_stream),
		cmocka_unit_test(test_gate_xmpp_errors_are_streams),
		cmocka_unit_test(test_gate_xmpp_hold),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
