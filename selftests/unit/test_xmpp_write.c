/* selftests/unit/test_xmpp_write.c -- what the gateway says by itself: escaping, bounds, and that its own reader takes it. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

#include "xmpp/reader.h"

#define LEN(a) (sizeof(a) / sizeof((a)[0]))

static void test_write_escaped(void **state)
{
	static const struct {
		const char *in, *out; /* NULL: -EBADMSG */
	} cases[] = {
		{"", ""},
		{"abc", "abc"},
		{"<&>\"'", "&lt;&amp;&gt;&quot;&apos;"},
		{"a\tb\r\nc", "a&#9;b&#13;&#10;c"},
		{"]]>", "]]&gt;"},
		{"b\xc3\xbc\xe2\x82\xac\xf0\x9f\x98\x80", "b\xc3\xbc\xe2\x82\xac\xf0\x9f\x98\x80"},
		{"\x7f", "\x7f"},
		{"\x01", NULL},
		{"a\x0b", NULL},
		{"\xff", NULL},
		{"\xc3", NULL},
		{"\xc0\x80", NULL},
		{"\xed\xa0\x80", NULL},
		{"\xef\xbf\xbe", NULL},
		{"\xef\xbf\xbf", NULL},
	};
	char buf[64];
	struct xmpp_out o;
	size_t i, n;

	(void)state;
	for (i = 0; i < LEN(cases); i++) {
		xmpp_out_init(&o, buf, sizeof(buf));
		xmpp_out_escaped(&o, span_str(cases[i].in));
		if (!cases[i].out) {
			assert_int_equal(xmpp_out_end(&o), -EBADMSG);
			continue;
		}
		n = strlen(cases[i].out);
		assert_int_equal(xmpp_out_end(&o), n);
		assert_memory_equal(buf, cases[i].out, n);
		xmpp_out_init(&o, buf, n);
		xmpp_out_escaped(&o, span_str(cases[i].in));
		assert_int_equal(xmpp_out_end(&o), n);
		if (!n)
			continue;
		xmpp_out_init(&o, buf, n - 1);
		xmpp_out_escaped(&o, span_str(cases[i].in));
		xmpp_out_raw(&o, SPAN(""));
		assert_int_equal(xmpp_out_end(&o), -E2BIG);
	}
	xmpp_out_init(&o, buf, sizeof(buf));
	xmpp_out_escaped(&o, span_of("a\0b", 3));
	assert_int_equal(xmpp_out_end(&o), -EBADMSG);
}

/* A header, and then what @say writes, go through the reader; @r must be finished. */
static struct xmpp_event said(struct xmpp_reader *r, void (*say)(struct xmpp_out *))
{
	const struct xmpp_header h = {.id = SPAN("1'<"),
				      .from = SPAN("example.com"),
				      .version = SPAN("1.0"),
				      .lang = SPAN("en")};
	const struct xmpp_setup setup = {
		.role = XMPP_RECEIVING, .salt = 1, .limits = xmpp_limits_stranger};
	uint8_t buf[2048];
	struct xmpp_out o;
	struct xmpp_event e;
	struct span in;

	xmpp_out_init(&o, buf, sizeof(buf));
	xmpp_write_header(&o, &h);
	say(&o);
	assert_true(xmpp_out_end(&o) > 0);
	in = span_of(buf, o.n);
	xmpp_reader_init(r, &setup);
	assert_int_equal(xmpp_reader_next(r, in, &e), XMPP_OPEN);
	assert_true(span_eq(e.open.id, SPAN("1'<")));
	assert_int_equal(xmpp_reader_next(r, span_cut(in, e.used, in.n), &e), XMPP_STANZA);
	return e;
}

static void say_error(struct xmpp_out *o)
{
	xmpp_write_error(o, xmpp_why_condition(XMPP_WHY_COMMENT), SPAN("wanted <no> comment"));
}

static void say_sasl(struct xmpp_out *o)
{
	xmpp_write_sasl_failure(o, false, "temporary-auth-failure", SPAN("a & b"));
}

static void say_sasl2(struct xmpp_out *o)
{
	xmpp_write_sasl_failure(o, true, "temporary-auth-failure", SPAN("a & b"));
}

static void test_write_read(void **state)
{
	static const struct {
		void (*say)(struct xmpp_out *);
		enum xmpp_element element;
	} cases[] = {
		{say_error, XMPP_E_ERROR},
		{say_sasl, XMPP_E_FAILURE},
		{say_sasl2, XMPP_E_SASL2_FAILURE},
		{xmpp_write_features_tls, XMPP_E_FEATURES},
		{xmpp_write_starttls, XMPP_E_STARTTLS},
		{xmpp_write_proceed, XMPP_E_PROCEED},
		{xmpp_write_tls_failure, XMPP_E_TLS_FAILURE},
	};
	struct xmpp_reader r;
	size_t i;

	(void)state;
	for (i = 0; i < LEN(cases); i++) {
		assert_int_equal(said(&r, cases[i].say).element, cases[i].element);
		xmpp_reader_fini(&r);
	}
}

static void test_write_header(void **state)
{
	struct xmpp_header h = {.to = SPAN("a&b"), .version = SPAN("1.0")};
	char buf[512];
	struct xmpp_out o;

	(void)state;
	xmpp_out_init(&o, buf, sizeof(buf));
	xmpp_write_header(&o, &h);
	assert_true(span_eq(
		span_of(buf, o.n),
		SPAN("<?xml version='1.0'?><stream:stream to='a&amp;b' version='1.0' "
		     "xmlns='jabber:client' xmlns:stream='http://etherx.jabber.org/streams'>")));
	h = (struct xmpp_header){
		.from = SPAN("x"), .id = SPAN("i"), .lang = SPAN("en"), .server = true};
	xmpp_out_init(&o, buf, sizeof(buf));
	xmpp_write_header(&o, &h);
	assert_true(
		span_eq(span_of(buf, o.n),
			SPAN("<?xml version='1.0'?><stream:stream from='x' id='i' xml:lang='en' "
			     "xmlns='jabber:server' xmlns:db='jabber:server:dialback' "
			     "xmlns:stream='http://etherx.jabber.org/streams'>")));
	h.from = SPAN("x\x01");
	xmpp_out_init(&o, buf, sizeof(buf));
	xmpp_write_header(&o, &h);
	assert_int_equal(xmpp_out_end(&o), -EBADMSG);
}

static void test_write_error(void **state)
{
	char buf[512];
	struct xmpp_out o;
	size_t n, cap;

	(void)state;
	xmpp_out_init(&o, buf, sizeof(buf));
	xmpp_write_error(&o, "host-unknown", (struct span){});
	n = o.n;
	assert_true(span_eq(span_of(buf, n),
			    SPAN("<stream:error><host-unknown "
				 "xmlns='urn:ietf:params:xml:ns:xmpp-streams'/></stream:error>"
				 "</stream:stream>")));
	/* nothing that is cut is taken for whole */
	for (cap = 0; cap < n; cap++) {
		xmpp_out_init(&o, buf, cap);
		xmpp_write_error(&o, "host-unknown", (struct span){});
		assert_int_equal(xmpp_out_end(&o), -E2BIG);
		assert_true(o.n <= cap);
	}
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_write_escaped),
		cmocka_unit_test(test_write_read),
		cmocka_unit_test(test_write_header),
		cmocka_unit_test(test_write_error),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
