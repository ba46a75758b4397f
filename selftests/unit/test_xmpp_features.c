/* selftests/unit/test_xmpp_features.c -- <stream:features/> as servers send it, without what cannot work through a gateway. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <cmocka.h>

#include "selftests/unit/xmpp_kit.h"
#include "xmpp/features.h"

#define LEN(a) (sizeof(a) / sizeof((a)[0]))
#define HEAD                                                                                  \
	"<?xml version='1.0'?><stream:stream xml:lang='en' id='ad1ff1a5' from='example.com' " \
	"version='1.0' xmlns:stream='http://etherx.jabber.org/streams' xmlns='jabber:client'>"
#define SASL "xmlns='urn:ietf:params:xml:ns:xmpp-sasl'"
#define CB                                                                                        \
	"<sasl-channel-binding xmlns='urn:xmpp:sasl-cb:0'><channel-binding type='tls-exporter'/>" \
	"<channel-binding type='tls-unique'/></sasl-channel-binding>"

static const struct {
	const char *in, *out;
	struct xmpp_features found;
} cases[] = {
	/* Prosody 0.12 before TLS, and over TLS 1.2 */
	{"<stream:features><starttls xmlns='urn:ietf:params:xml:ns:xmpp-tls'><required/></starttls>"
	 "</stream:features>",
	 "<stream:features></stream:features>",
	 {.starttls = 1}},
	{"<stream:features><limits xmlns='urn:xmpp:stream-limits:0'><max-bytes>10000</max-bytes>"
	 "</limits><mechanisms " SASL "><mechanism>SCRAM-SHA-1-PLUS</mechanism><mechanism>"
	 "SCRAM-SHA-256-PLUS</mechanism><mechanism>SCRAM-SHA-1</mechanism><mechanism>SCRAM-SHA-256"
	 "</mechanism><mechanism>PLAIN</mechanism></mechanisms></stream:features>",
	 "<stream:features><limits xmlns='urn:xmpp:stream-limits:0'><max-bytes>10000</max-bytes>"
	 "</limits><mechanisms " SASL "><mechanism>SCRAM-SHA-1</mechanism><mechanism>SCRAM-SHA-256"
	 "</mechanism><mechanism>PLAIN</mechanism></mechanisms></stream:features>",
	 {.plus = 2, .mechanisms = 3}},
	/* ejabberd-like: XEP-0440 beside the mechanisms, other quotes, white space, empty elements */
	{"<stream:features>\n <mechanisms  xmlns=\"urn:ietf:params:xml:ns:xmpp-sasl\" >\n"
	 "  <mechanism >\n SCRAM-SHA-512-PLUS </mechanism\n>\n  "
	 "<mechanism>SCRAM-SHA-512</mechanism>"
	 "</mechanisms>" CB "<register xmlns='http://jabber.org/features/iq-register'/>"
	 "<c xmlns='http://jabber.org/protocol/caps' ver='a&amp;>b' node=\"'\"/></stream:features>",
	 "<stream:features>\n <mechanisms  xmlns=\"urn:ietf:params:xml:ns:xmpp-sasl\" >\n"
	 "  \n  <mechanism>SCRAM-SHA-512</mechanism>"
	 "</mechanisms><register xmlns='http://jabber.org/features/iq-register'/>"
	 "<c xmlns='http://jabber.org/protocol/caps' ver='a&amp;>b' node=\"'\"/></stream:features>",
	 {.plus = 1, .bindings = 1, .mechanisms = 1}},
	/* SASL2, with what may be done inline, and FAST (XEP-0388, 0386, 0198, 0484) */
	{"<stream:features><authentication "
	 "xmlns='urn:xmpp:sasl:2'><mechanism>SCRAM-SHA-256</mechanism>"
	 "<mechanism>SCRAM-SHA-256-PLUS</mechanism><inline><bind xmlns='urn:xmpp:bind:0'><inline>"
	 "<feature var='urn:xmpp:carbons:2'/><feature var='urn:xmpp:sm:3'/></inline></bind>"
	 "<fast xmlns='urn:xmpp:fast:0'><mechanism>HT-SHA-256-NONE</mechanism><mechanism>"
	 "HT-SHA-256-EXPR</mechanism><mechanism>HT-SHA-256-UNIQ</"
	 "mechanism><mechanism>HT-SHA-256-ENDP"
	 "</mechanism></fast></inline></authentication><mechanisms " SASL "><mechanism>"
	 "SCRAM-SHA-256-PLUS</mechanism><mechanism>SCRAM-SHA-256</mechanism></mechanisms>" CB
	 "</stream:features>",
	 "<stream:features><authentication "
	 "xmlns='urn:xmpp:sasl:2'><mechanism>SCRAM-SHA-256</mechanism>"
	 "<inline><bind xmlns='urn:xmpp:bind:0'><inline>"
	 "<feature var='urn:xmpp:carbons:2'/><feature var='urn:xmpp:sm:3'/></inline></bind>"
	 "<fast xmlns='urn:xmpp:fast:0'><mechanism>HT-SHA-256-NONE</mechanism></fast></inline>"
	 "</authentication><mechanisms " SASL "><mechanism>SCRAM-SHA-256</mechanism></mechanisms>"
	 "</stream:features>",
	 {.plus = 5, .bindings = 1, .mechanisms = 2}},
	/* prefixes, references and CDATA say the same as the usual form */
	{"<stream:features xmlns:t='urn:ietf:params:xml:ns:xmpp-tls'><t:starttls/><s:mechanisms "
	 "xmlns:s='urn:ietf:params:xml:ns:xmpp-sasl'><s:mechanism>SCRAM-SHA-1&#45;PLUS</"
	 "s:mechanism>"
	 "<s:mechanism><![CDATA[SCRAM-SHA-1-PLUS]]></s:mechanism><s:mechanism>x</s:mechanism>"
	 "</s:mechanisms></stream:features>",
	 "<stream:features xmlns:t='urn:ietf:params:xml:ns:xmpp-tls'><s:mechanisms "
	 "xmlns:s='urn:ietf:params:xml:ns:xmpp-sasl'><s:mechanism>x</s:mechanism>"
	 "</s:mechanisms></stream:features>",
	 {.starttls = 1, .plus = 2, .mechanisms = 1}},
	/* nothing is left to log in with */
	{"<stream:features><mechanisms " SASL "><mechanism>X-PLUS</mechanism></mechanisms>"
	 "</stream:features>",
	 "<stream:features><mechanisms " SASL "></mechanisms></stream:features>",
	 {.plus = 1}},
	/* names that only look like it, and after authentication there is nothing to cut */
	{"<stream:features><starttls xmlns='urn:x'/><mechanism>A-PLUS</mechanism><mechanisms " SASL
	 "><mechanism>PLUS</mechanism><mechanism>-PLUS</mechanism><mechanism>A-PLUS-B</mechanism>"
	 "<mechanism/></mechanisms></stream:features>",
	 NULL,
	 {.mechanisms = 4}},
	{"<stream:features><bind "
	 "xmlns='urn:ietf:params:xml:ns:xmpp-bind'><required/></bind><session "
	 "xmlns='urn:ietf:params:xml:ns:xmpp-session'><optional/></session><sm "
	 "xmlns='urn:xmpp:sm:3'>"
	 "<optional/></sm></stream:features>",
	 NULL,
	 {}},
	{"<stream:features/>", NULL, {}},
};

static void reader_at_head(struct xmpp_reader *r)
{
	struct xmpp_event e;

	xmpp_reader_init(r, &kit_answer);
	assert_int_equal(xmpp_reader_next(r, SPAN(HEAD), &e), XMPP_OPEN);
}

static void test_features_rewrite(void **state)
{
	struct xmpp_reader r;
	uint8_t buf[4096];
	size_t i;

	(void)state;
	reader_at_head(&r);
	for (i = 0; i < LEN(cases); i++) {
		struct span in = span_str(cases[i].in);
		struct span want = cases[i].out ? span_str(cases[i].out) : in;
		struct xmpp_features f = {.plus = 99};
		struct xmpp_event e;
		ssize_t n;

		/* as the reader cuts it from the stream */
		assert_int_equal(xmpp_reader_next(&r, in, &e), XMPP_STANZA);
		assert_int_equal(e.element, XMPP_E_FEATURES);
		n = xmpp_features_rewrite(xmpp_reader_context(&r), in, buf, sizeof(buf), &f);
		assert_int_equal(n, want.n);
		assert_memory_equal(buf, want.p, want.n);
		assert_memory_equal(&f, &cases[i].found, sizeof(f));
		/* what is left is whole and has nothing more to cut */
		in = span_of(buf, (size_t)n);
		assert_int_equal(xmpp_reader_next(&r, in, &e), XMPP_STANZA);
		assert_int_equal(e.length, n);
		assert_int_equal(
			xmpp_features_rewrite(xmpp_reader_context(&r), want, buf, want.n, &f),
			want.n);
		assert_int_equal(f.starttls + f.plus + f.bindings, 0);
		assert_int_equal(
			xmpp_features_rewrite(xmpp_reader_context(&r), want, buf, want.n - 1, &f),
			-E2BIG);
	}
	xmpp_reader_fini(&r);
}

static void test_features_refused(void **state)
{
	static const char *const bad[] = {
		"",
		" ",
		"<stream:features>",
		"<stream:features/> ",
		"<stream:features/><stream:features/>",
		"<iq/>",
		"<features/>",
		"<x:features/>",
		"</stream:stream>",
		"<stream:features><a></stream:features>",
		"<stream:features>&x;</stream:features>",
	};
	struct xmpp_features f;
	struct xmpp_reader r;
	uint8_t buf[512];
	size_t i;

	(void)state;
	reader_at_head(&r);
	for (i = 0; i < LEN(bad); i++)
		if (xmpp_features_rewrite(xmpp_reader_context(&r), span_str(bad[i]), buf,
					  sizeof(buf), &f) != -EBADMSG)
			fail_msg("%s", bad[i]);
	assert_int_equal(xmpp_features_rewrite((struct span){}, SPAN("<stream:features/>"), buf,
					       sizeof(buf), &f),
			 -EBADMSG);
	xmpp_reader_fini(&r);
}

static void test_features_many(void **state)
{
	char in[8192], buf[8192];
	struct xmpp_features f;
	struct xmpp_reader r;
	unsigned extra, i;
	size_t n;

	(void)state;
	reader_at_head(&r);
	for (extra = 0; extra < 2; extra++) {
		n = (size_t)snprintf(in, sizeof(in), "<stream:features><mechanisms " SASL ">");
		for (i = 0; i < XMPP_CUTS_MAX + extra; i++)
			n += (size_t)snprintf(in + n, sizeof(in) - n,
					      "<mechanism>M%u-PLUS</mechanism>", i);
		snprintf(in + n, sizeof(in) - n, "</mechanisms></stream:features>");
		assert_int_equal(xmpp_features_rewrite(xmpp_reader_context(&r), span_str(in),
						       (uint8_t *)buf, sizeof(buf), &f) < 0,
				 extra);
	}
	assert_int_equal(xmpp_features_rewrite(xmpp_reader_context(&r), span_str(in),
					       (uint8_t *)buf, sizeof(buf), &f),
			 -E2BIG);
	xmpp_reader_fini(&r);
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_features_rewrite),
		cmocka_unit_test(test_features_refused),
		cmocka_unit_test(test_features_many),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
