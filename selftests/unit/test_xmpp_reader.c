/* selftests/unit/test_xmpp_reader.c -- XMPP streams: headers, what is refused and by which stream error, boundaries in
 * every split, restarts, attributes of the elements before authentication. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <cmocka.h>

#include "selftests/unit/xmpp_kit.h"

#define LEN(a) (sizeof(a) / sizeof((a)[0]))
#define NS     "xmlns='jabber:client' xmlns:stream='http://etherx.jabber.org/streams'"
#define NS_S2S "xmlns='jabber:server' xmlns:stream='http://etherx.jabber.org/streams'"
#define TLS    "xmlns='urn:ietf:params:xml:ns:xmpp-tls'"
#define SASL   "xmlns='urn:ietf:params:xml:ns:xmpp-sasl'"

static const struct kit_way whole = {.cut = KIT_WHOLE};

static void test_reader_headers(void **state)
{
	static const struct {
		const struct xmpp_setup *setup;
		const char *in, *want; /* what the first line holds behind its offsets */
	} cases[] = {
		{&kit_client, "<stream:stream to='example.com' version='1.0' " NS ">",
		 " to=example.com domain=example.com version=1.0\n"},
		{&kit_client,
		 "<?xml version=\"1.0\"?>\r\n<stream:stream from='alice@example.com/x' "
		 "to='Example.COM.' version='1.0' xml:lang='en-GB' " NS ">",
		 " to=Example.COM. domain=example.com from=alice@example.com/x version=1.0 "
		 "lang=en-GB\n"},
		{&kit_client,
		 "<?xml version='1.0' encoding='utf-8' standalone='no'?><stream:stream "
		 "to='b\xc3\xbc"
		 "cher.example' version='1.1' id='mine' " NS ">",
		 " to=b\xc3\xbc"
		 "cher.example domain=xn--bcher-kva.example id=mine version=1.1\n"},
		{&kit_client,
		 " \n<stream:stream to='[2001:DB8::1]' version='01.00' " NS " a='b'\n>",
		 " to=[2001:DB8::1] domain=2001:db8::1 version=01.00\n"},
		{&kit_client,
		 "<stream:stream to='a&#46;b' version='1.0' xmlns:x='urn:x' x:to='c' " NS ">",
		 " to=a.b domain=a.b version=1.0\n"},
		{&kit_server,
		 "<stream:stream to='a.example' from='b.example' version='1.0' "
		 "xmlns:db='jabber:server:dialback' " NS_S2S ">",
		 " to=a.example domain=a.example from=b.example version=1.0\n"},
		{&kit_answer,
		 "<?xml version='1.0'?><stream:stream id='7' from='example.com' version='1.0' "
		 "to='alice@example.com' xml:lang='en' " NS ">",
		 " to=alice@example.com from=example.com id=7 version=1.0 lang=en\n"},
		{&kit_answer, "<stream:stream id='7' version='1.0' " NS ">", " id=7 version=1.0\n"},
	};
	char log[1024], want[1024];
	size_t i;

	(void)state;
	for (i = 0; i < LEN(cases); i++) {
		assert_int_equal(
			kit_read(cases[i].setup, span_str(cases[i].in), &whole, log, sizeof(log)),
			XMPP_MORE);
		snprintf(want, sizeof(want), "open 0+%zu%s", strlen(cases[i].in), cases[i].want);
		assert_string_equal(log, want);
	}
}

/* Every refusal of a header, with the stream error of RFC 6120 4.9.3 that is sent for it. */
static void test_reader_headers_refused(void **state)
{
	static const struct {
		const struct xmpp_setup *setup;
		const char *in, *want;
	} cases[] = {
		{&kit_client, "<stream:stream to='a' to='b' version='1.0' " NS ">",
		 "not-well-formed not-well-formed"},
		{&kit_client, "<stream:stream version='1.0' " NS ">", "to improper-addressing"},
		{&kit_client, "<stream:stream to='' version='1.0' " NS ">",
		 "to improper-addressing"},
		{&kit_client, "<stream:stream to='a@b' version='1.0' " NS ">",
		 "to improper-addressing"},
		{&kit_client, "<stream:stream to='a/b' version='1.0' " NS ">",
		 "to improper-addressing"},
		{&kit_client, "<stream:stream to='a..b' version='1.0' " NS ">",
		 "to improper-addressing"},
		{&kit_client, "<stream:stream xmlns:x='urn:x' x:to='a' version='1.0' " NS ">",
		 "to improper-addressing"},
		{&kit_client, "<stream:stream to='a' from='@b' version='1.0' " NS ">",
		 "from invalid-from"},
		{&kit_client, "<stream:stream to='a' from='' version='1.0' " NS ">",
		 "from invalid-from"},
		{&kit_client, "<stream:stream to='a' " NS ">", "version unsupported-version"},
		{&kit_client, "<stream:stream to='a' version='0.9' " NS ">",
		 "version unsupported-version"},
		{&kit_client, "<stream:stream to='a' version='1' " NS ">",
		 "version unsupported-version"},
		{&kit_client, "<stream:stream to='a' version='1.' " NS ">",
		 "version unsupported-version"},
		{&kit_client, "<stream:stream to='a' version='1.0.0' " NS ">",
		 "version unsupported-version"},
		{&kit_client, "<stream:stream to='a' version='123456.0' " NS ">",
		 "version unsupported-version"},
		{&kit_client, "<stream:stream to='a' version=' 1.0' " NS ">",
		 "version unsupported-version"},
		{&kit_client, "<stream:stream to='a' version='1.0' xml:lang='e n' " NS ">",
		 "lang bad-format"},
		{&kit_client, "<stream:stream to='a' version='1.0' " NS_S2S ">",
		 "namespace invalid-namespace"},
		{&kit_server, "<stream:stream to='a' version='1.0' " NS ">",
		 "namespace invalid-namespace"},
		{&kit_client,
		 "<stream:stream to='a' version='1.0' "
		 "xmlns:stream='http://etherx.jabber.org/streams'>",
		 "namespace invalid-namespace"},
		{&kit_client,
		 "<stream:stream to='a' version='1.0' xmlns='jabber:client' "
		 "xmlns:stream='http://etherx.jabber.org/streams/'>",
		 "namespace invalid-namespace"},
		{&kit_client, "<stream to='a' version='1.0' xmlns='jabber:client'>",
		 "namespace invalid-namespace"},
		{&kit_client,
		 "<stream to='a' version='1.0' xmlns='http://etherx.jabber.org/streams'>",
		 "prefix bad-namespace-prefix"},
		{&kit_client,
		 "<s:stream to='a' version='1.0' xmlns='jabber:client' "
		 "xmlns:s='http://etherx.jabber.org/streams'>",
		 "prefix bad-namespace-prefix"},
		{&kit_client, "<stream:stream to='a' version='1.0' xmlns='jabber:client'>",
		 "prefix bad-namespace-prefix"},
		{&kit_client, "<stream:Stream to='a' version='1.0' " NS ">",
		 "no-stream-header bad-format"},
		{&kit_client, "<iq " NS ">", "no-stream-header bad-format"},
		{&kit_client, "<stream:stream to='a' version='1.0' " NS "/>",
		 "no-stream-header bad-format"},
		{&kit_answer, "<stream:stream from='a' version='1.0' " NS ">", "id bad-format"},
		{&kit_answer, "<stream:stream id='' version='1.0' " NS ">", "id bad-format"},
		{&kit_answer, "<stream:stream id='1' " NS ">", "version unsupported-version"},
		{&kit_answer, "<stream:stream id='1' from='a@b' version='1.0' " NS ">",
		 "from invalid-from"},
		/* what begins a document */
		{&kit_client, "GET / HTTP/1.1\r\n\r\n", "not-well-formed not-well-formed"},
		{&kit_client, "\x16\x03\x01\x02", "not-well-formed not-well-formed"},
		{&kit_client, "\xef\xbb\xbf<stream:stream>", "not-well-formed not-well-formed"},
		{&kit_client, "\xff\xfe<", "not-well-formed not-well-formed"},
		{&kit_client, " <?xml version='1.0'?>", "processing-instruction restricted-xml"},
		{&kit_client, "<?xml version='1.0'?><?xml version='1.0'?>",
		 "processing-instruction restricted-xml"},
		{&kit_client, "<?xml-stylesheet href='x'?>",
		 "processing-instruction restricted-xml"},
		{&kit_client, "<?xam it's?>" KIT_HEAD "<iq id='1'/>",
		 "processing-instruction restricted-xml"},
		{&kit_client, "<?xml version='1.1'?>", "xml-version not-well-formed"},
		{&kit_client, "<?xml version='1.0' encoding='UTF-16'?>",
		 "encoding unsupported-encoding"},
		{&kit_client, "<?xml version='1.0' encoding='US-ASCII'?>",
		 "encoding unsupported-encoding"},
		{&kit_client, "<?xml encoding='UTF-8'?>", "not-well-formed not-well-formed"},
		{&kit_client, "<!DOCTYPE stream [", "document-type restricted-xml"},
		{&kit_client, "<!-- x -->", "comment restricted-xml"},
		{&kit_client, "<![CDATA[x]]>", "not-well-formed not-well-formed"},
		{&kit_client, "<?xml version='1.0'?>x <stream:stream>",
		 "not-well-formed not-well-formed"},
	};
	char log[1024];
	size_t i;

	(void)state;
	for (i = 0; i < LEN(cases); i++) {
		enum xmpp_event_kind kind =
			kit_read(cases[i].setup, span_str(cases[i].in), &whole, log, sizeof(log));

		if (kind != XMPP_REFUSED || !strstr(log, cases[i].want) || !strstr(log, "text=w"))
			fail_msg("%s: wanted %s, came %s", cases[i].in, cases[i].want, log);
	}
	/* UTF-16 has a NUL in its first tag. */
	assert_int_equal(kit_read(&kit_client, span_of("<\0s\0", 4), &whole, log, sizeof(log)),
			 XMPP_REFUSED);
	assert_non_null(strstr(log, "refused 1+0 not-well-formed"));
}

static void test_reader_refused(void **state)
{
	static const struct {
		const char *in, *want;
	} cases[] = {
		{"<a>&lol;</a>", "entity restricted-xml"},
		{"<a b='&lol;'/>", "entity restricted-xml"},
		{"<a>&#0;</a>", "not-well-formed not-well-formed"},
		{"<a>&#xFFFE;</a>", "not-well-formed not-well-formed"},
		{"<a>& </a>", "not-well-formed not-well-formed"},
		{"<a><!-- --></a>", "comment restricted-xml"},
		{"<!--", "comment restricted-xml"},
		{"<a><?x y?></a>", "processing-instruction restricted-xml"},
		{"<?xml version='1.0'?>", "processing-instruction restricted-xml"},
		{"<!DOCTYPE a>", "document-type restricted-xml"},
		{"<a><!ENTITY b 'c'></a>", "document-type restricted-xml"},
		{"<a><![INCLUDE[x]]></a>", "not-well-formed not-well-formed"},
		{"<a>]]></a>", "not-well-formed not-well-formed"},
		{"<p:a/>", "prefix bad-namespace-prefix"},
		{"<a p:b='c'/>", "prefix bad-namespace-prefix"},
		{"<a xmlns:p=''/>", "not-well-formed not-well-formed"},
		{"<a xmlns:xmlns='urn:x'/>", "not-well-formed not-well-formed"},
		{"<a b='1' b='2'/>", "not-well-formed not-well-formed"},
		{"<a xmlns:p='u' xmlns:q='u' p:b='1' q:b='2'/>", "not-well-formed not-well-formed"},
		{"<a></b>", "not-well-formed not-well-formed"},
		{"<a><b></a></b>", "not-well-formed not-well-formed"},
		{"<a b=c/>", "not-well-formed not-well-formed"},
		{"<a b='<'/>", "not-well-formed not-well-formed"},
		{"<a b='1'c='2'/>", "not-well-formed not-well-formed"},
		{"<a'>'>", "not-well-formed not-well-formed"},
		{"< a/>", "not-well-formed not-well-formed"},
		{"<>", "not-well-formed not-well-formed"},
		{"<a>\x01</a>", "not-well-formed not-well-formed"},
		{"</stream:strea>", "not-well-formed not-well-formed"},
		{"x", "text-between-stanzas bad-format"},
		{"&#32;", "text-between-stanzas bad-format"},
		{"<a/>x", "text-between-stanzas bad-format"},
		{"<![CDATA[ ]]>", "text-between-stanzas bad-format"},
		{"\xc2\xa0", "text-between-stanzas bad-format"},
		/* bad UTF-8: overlong, surrogate, above the last, cut, stray, in a name, in an attribute */
		{"<a>\xc0\xbc</a>", "utf-8 unsupported-encoding"},
		{"<a>\xe0\x80\xbc</a>", "utf-8 unsupported-encoding"},
		{"<a>\xed\xa0\x80</a>", "utf-8 unsupported-encoding"},
		{"<a>\xf4\x90\x80\x80</a>", "utf-8 unsupported-encoding"},
		{"<a>\xf5", "utf-8 unsupported-encoding"},
		{"<a>\xc3</a>", "utf-8 unsupported-encoding"},
		{"<a>\x80</a>", "utf-8 unsupported-encoding"},
		{"<a\xff/>", "utf-8 unsupported-encoding"},
		{"<a b='\xe9'/>", "utf-8 unsupported-encoding"},
		{"<a>\xef\xbf\xbe</a>", "not-well-formed not-well-formed"},
	};
	char in[1024], log[1024];
	size_t i;

	(void)state;
	for (i = 0; i < LEN(cases); i++) {
		snprintf(in, sizeof(in), KIT_HEAD "%s", cases[i].in);
		if (kit_read(&kit_client, span_str(in), &whole, log, sizeof(log)) != XMPP_REFUSED ||
		    !strstr(log, cases[i].want) || !strstr(log, "text=w"))
			fail_msg("%s: wanted %s, came %s", cases[i].in, cases[i].want, log);
	}
	snprintf(in, sizeof(in), KIT_HEAD "<a>_</a>");
	*strchr(in, '_') = 0;
	assert_int_equal(
		kit_read(&kit_client, span_of(in, sizeof(KIT_HEAD) + 7), &whole, log, sizeof(log)),
		XMPP_REFUSED);
	assert_non_null(strstr(log, "NUL"));
}

/* A stream with everything that may stand in one. */
static const char mixed[] =
	"<?xml version='1.0'?>\n" KIT_HEAD " \n"
	"<iq type='set' id='a&amp;b' from='a@b' x='y'><q xmlns='urn:q' a=\"1>2\" b='\"'>"
	"<![CDATA[</iq><x>]]]>]></q></iq>\r\n\t"
	"<message to='b@example.com'><body>1 > 0 &lt; 2 &#x1F600; \xf0\x9f\x98\x80</body></message>"
	"<x:a xmlns:x='urn:x' x:b='c'/ >"
	"";
static const char mixed_good[] =
	"<?xml version='1.0'?>\n" KIT_HEAD " \n"
	"<iq type='set' id='a&amp;b' from='a@b' x='y'><q xmlns='urn:q' a=\"1>2\" b='\"'>"
	"<![CDATA[</iq><x>]]]>]></q></iq>\r\n\t"
	"<message to='b@example.com'><body>1 > 0 &lt; 2 &#x1F600; \xf0\x9f\x98\x80</body></message>"
	"<x:a xmlns:x='urn:x' x:b='c'/><presence/><r xmlns='urn:xmpp:sm:3'></r>"
	"<long "
	"a='aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa'>"
	"bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb"
	"bb"
	"bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb"
	"bb"
	"bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb"
	"bb"
	"bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb"
	"bb"
	"bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb"
	"bb"
	"bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb"
	"bb"
	"<e/></long ></stream:stream> rest";

static void test_reader_boundaries(void **state)
{
	struct span in = span_str(mixed_good);
	struct xmpp_reader r;
	struct xmpp_event e;
	static const char *const stanzas[] = {"<iq ",	     "<message ", "<x:a ",
					      "<presence/>", "<r ",	  "<long "};
	enum xmpp_event_kind kind;
	size_t at = 0, n = 0;

	(void)state;
	xmpp_reader_init(&r, &kit_client);
	while ((kind = xmpp_reader_next(&r, span_cut(in, at, in.n), &e)) != XMPP_CLOSE) {
		assert_true(kind == XMPP_OPEN || kind == XMPP_STANZA || kind == XMPP_SPACE);
		assert_int_equal(e.offset, at);
		assert_int_equal(e.length, e.used);
		at += e.used;
		if (kind != XMPP_STANZA)
			continue;
		assert_memory_equal(in.p + e.offset, stanzas[n], strlen(stanzas[n]));
		assert_int_equal(in.p[e.offset + e.length - 1], '>');
		assert_true(e.inner >= e.offset && e.inner + e.inner_length <= at);
		n++;
	}
	assert_int_equal(n, LEN(stanzas));
	at += e.used;
	assert_memory_equal(in.p + at, " rest", 5);
	assert_memory_equal(in.p + e.offset, "</stream:stream>", 16);
	/* and nothing more is taken */
	assert_int_equal(xmpp_reader_next(&r, span_cut(in, at, in.n), &e), XMPP_CLOSE);
	assert_int_equal(e.used, 0);
	assert_false(xmpp_reader_rest(&r));
	assert_int_equal(xmpp_reader_restart(&r), -EINVAL);
	assert_int_equal(r.heap, 0);
	xmpp_reader_fini(&r);
}

static void test_reader_fields(void **state)
{
	char log[4096];

	(void)state;
	assert_int_equal(kit_read(&kit_client, span_str(mixed_good), &whole, log, sizeof(log)),
			 XMPP_CLOSE);
	assert_non_null(strstr(log, " iq name=iq ns=jabber:client inner="));
	assert_non_null(
		strstr(log, " attr=type value=set attr=id value=a&b attr=from value=a@b\n"));
	assert_non_null(strstr(log, " other name=a ns=urn:x inner="));
	assert_non_null(strstr(log, " presence name=presence ns=jabber:client inner="));
	assert_non_null(strstr(log, " sm:r name=r ns=urn:xmpp:sm:3 inner="));
}

static void hold_splits(const struct xmpp_setup *setup, struct span in, bool restart)
{
	static char first[65536], again[65536];
	struct kit_way way = {.cut = KIT_WHOLE, .restart = restart};
	enum xmpp_event_kind kind = kit_read(setup, in, &way, first, sizeof(first));
	unsigned i;

	for (i = 0; i < 40; i++) {
		way.cut = i == 0 ? KIT_BYTES : i == 1 ? KIT_WHOLE : KIT_RANDOM;
		way.rest = i % 2;
		way.seed = i;
		assert_int_equal(kit_read(setup, in, &way, again, sizeof(again)), kind);
		assert_string_equal(first, again);
	}
}

static void test_reader_splits(void **state)
{
	struct span good = span_str(mixed_good), bad = span_str(mixed);
	char first[8192], again[8192];
	size_t cut;

	(void)state;
	hold_splits(&kit_client, good, false);
	hold_splits(&kit_client, bad, false);
	/* in two parts, at every place */
	kit_read(&kit_client, good, &whole, first, sizeof(first));
	for (cut = 0; cut <= good.n; cut++) {
		struct xmpp_reader r;
		struct xmpp_event e;
		uint64_t taken = 0;
		size_t part;
		unsigned stanzas = 0;

		xmpp_reader_init(&r, &kit_client);
		for (part = 0; part < 2; part++) {
			struct span in =
				part ? span_cut(good, cut, good.n) : span_cut(good, 0, cut);
			enum xmpp_event_kind kind;

			do {
				kind = xmpp_reader_next(&r, in, &e);
				in = span_cut(in, e.used, in.n);
				taken += e.used;
				stanzas += kind == XMPP_STANZA;
			} while (kind != XMPP_MORE && kind != XMPP_CLOSE && kind != XMPP_REFUSED);
		}
		assert_int_equal(e.kind, XMPP_CLOSE);
		assert_int_equal(stanzas, 6);
		assert_int_equal(taken, good.n - 5);
		xmpp_reader_fini(&r);
	}
	kit_read(&kit_client, good, &whole, again, sizeof(again));
	assert_string_equal(first, again);
}

/* Bytes behind <starttls/> are the caller's to refuse: they are not taken, whatever they are. */
static void test_reader_restart(void **state)
{
	static const char in[] =
		KIT_HEAD "<starttls " TLS "/><auth " SASL " mechanism='PLAIN'>AGEAYg==</auth>";
	struct span all = span_str(in), rest;
	struct xmpp_reader r;
	struct xmpp_event e;

	(void)state;
	xmpp_reader_init(&r, &kit_client);
	assert_int_equal(xmpp_reader_restart(&r), -EINVAL);
	assert_int_equal(xmpp_reader_next(&r, all, &e), XMPP_OPEN);
	assert_int_equal(e.namespaces, 2);
	rest = span_cut(all, e.used, all.n);
	assert_int_equal(xmpp_reader_next(&r, rest, &e), XMPP_STANZA);
	assert_int_equal(e.element, XMPP_E_STARTTLS);
	rest = span_cut(rest, e.used, rest.n);
	assert_memory_equal(rest.p, "<auth", 5);
	assert_int_equal(r.at, rest.p - all.p);
	assert_int_equal(xmpp_reader_restart(&r), 0);
	assert_int_equal(r.heap, 0);
	assert_int_equal(xmpp_reader_context(&r).n, 0);
	/* The new document must begin with a header of its own. */
	assert_int_equal(xmpp_reader_next(&r, rest, &e), XMPP_REFUSED);
	assert_int_equal(e.why, XMPP_WHY_ROOT);
	xmpp_reader_fini(&r);

	xmpp_reader_init(&r, &kit_client);
	assert_int_equal(xmpp_reader_next(&r, all, &e), XMPP_OPEN);
	rest = span_cut(all, e.used, all.n);
	assert_int_equal(xmpp_reader_next(&r, rest, &e), XMPP_STANZA);
	/* In the middle of something there is no restart. */
	assert_int_equal(xmpp_reader_next(&r, SPAN("<a"), &e), XMPP_MORE);
	assert_int_equal(xmpp_reader_restart(&r), -EINVAL);
	assert_false(xmpp_reader_rest(&r));
	xmpp_reader_fini(&r);
}

static void test_reader_restart_offsets(void **state)
{
	static const char in[] = KIT_HEAD
		"<starttls " TLS "/><?xml version='1.0'?>" KIT_HEAD "<auth " SASL
		" mechanism='SCRAM-SHA-1'>biws</auth> <response " SASL "/><success " SASL
		"/>" KIT_HEAD
		"<iq type='set' id='1'><bind xmlns='urn:ietf:params:xml:ns:xmpp-bind'/></iq>";
	struct kit_way way = {.restart = true};
	char log[4096];
	const char *second;

	(void)state;
	hold_splits(&kit_client, span_str(in), true);
	assert_int_equal(kit_read(&kit_client, span_str(in), &way, log, sizeof(log)), XMPP_MORE);
	second = strstr(log + 1, "\nopen ");
	assert_non_null(second);
	assert_int_equal(strtoull(second + 6, NULL, 10), strstr(in + 1, "<?xml") - in);
	/* Without a restart a header inside of a stream is just another element, and no whole one. */
	way.restart = false;
	assert_int_equal(kit_read(&kit_client, span_str(in), &way, log, sizeof(log)), XMPP_REFUSED);
}

static void test_reader_elements(void **state)
{
	static const struct {
		const char *in;
		enum xmpp_element element;
		const char *attr, *value;
	} cases[] = {
		{"<starttls " TLS "/>", XMPP_E_STARTTLS, "", ""},
		{"<auth " SASL " mechanism='PLAIN' xml:lang='en'>=</auth>", XMPP_E_AUTH,
		 "mechanism", "PLAIN"},
		{"<s:auth xmlns:s='urn:ietf:params:xml:ns:xmpp-sasl' mechanism='X'/>", XMPP_E_AUTH,
		 "mechanism", "X"},
		{"<response " SASL ">x</response>", XMPP_E_RESPONSE, "", ""},
		{"<abort " SASL "/>", XMPP_E_ABORT, "", ""},
		{"<authenticate xmlns='urn:xmpp:sasl:2' "
		 "mechanism='SCRAM-SHA-256'><initial-response>"
		 "biws</initial-response><user-agent id='x'/></authenticate>",
		 XMPP_E_SASL2_AUTHENTICATE, "mechanism", "SCRAM-SHA-256"},
		{"<next xmlns='urn:xmpp:sasl:2' task='TOTP'/>", XMPP_E_SASL2_NEXT, "task", "TOTP"},
		{"<compress xmlns='http://jabber.org/protocol/compress'><method>zlib</method>"
		 "</compress>",
		 XMPP_E_COMPRESS, "", ""},
		{"<enable xmlns='urn:xmpp:sm:3' resume='true' max='300'/>", XMPP_E_SM_ENABLE, "max",
		 "300"},
		{"<resume xmlns='urn:xmpp:sm:3' h='4' previd='&apos;x'/>", XMPP_E_SM_RESUME,
		 "previd", "'x"},
		{"<a xmlns='urn:xmpp:sm:2' h='4'/>", XMPP_E_SM_A, "h", "4"},
		{"<db:result xmlns:db='jabber:server:dialback' to='a' from='b'>k</db:result>",
		 XMPP_E_DB_RESULT, "from", "b"},
		{"<stream:error><conflict "
		 "xmlns='urn:ietf:params:xml:ns:xmpp-streams'/></stream:error>",
		 XMPP_E_ERROR, "", ""},
		{"<stream:features/>", XMPP_E_FEATURES, "", ""},
		{"<iq xmlns='jabber:server' to='b'/>", XMPP_E_IQ, "to", "b"},
		/* the same names elsewhere are nothing known */
		{"<starttls/>", XMPP_E_OTHER, "", ""},
		{"<auth mechanism='PLAIN'/>", XMPP_E_OTHER, "mechanism", ""},
		{"<iq xmlns='urn:x' to='b'/>", XMPP_E_OTHER, "to", ""},
		{"<Auth " SASL "/>", XMPP_E_OTHER, "", ""},
		{"<features/>", XMPP_E_OTHER, "", ""},
	};
	size_t i;

	(void)state;
	for (i = 0; i < LEN(cases); i++) {
		struct xmpp_reader r;
		struct xmpp_event e;

		xmpp_reader_init(&r, &kit_client);
		assert_int_equal(xmpp_reader_next(&r, SPAN(KIT_HEAD), &e), XMPP_OPEN);
		assert_int_equal(xmpp_reader_next(&r, span_str(cases[i].in), &e), XMPP_STANZA);
		if (e.element != cases[i].element)
			fail_msg("%s: %s", cases[i].in, xmpp_element_name(e.element));
		assert_true(span_eq(xmpp_event_attr(&e, span_str(cases[i].attr)),
				    span_str(cases[i].value)));
		xmpp_reader_fini(&r);
	}
}

static void test_reader_context(void **state)
{
	static const char head[] =
		"<stream:stream to='a' version='1.0' xmlns:q='urn:&apos;&lt;&amp;q' " NS ">";
	struct xmpp_reader r;
	struct xmpp_event e;

	(void)state;
	xmpp_reader_init(&r, &kit_client);
	assert_int_equal(xmpp_reader_next(&r, span_str(head), &e), XMPP_OPEN);
	assert_int_equal(e.namespaces, 3);
	/* The prefix is known to the parser that is made after a rest, and only what was declared. */
	assert_true(xmpp_reader_rest(&r));
	assert_null(r.parser);
	assert_int_equal(xmpp_reader_next(&r, SPAN("<q:a/>"), &e), XMPP_STANZA);
	assert_true(span_eq(e.ns, SPAN("urn:'<&q")));
	assert_true(span_eq(xmpp_reader_context(&r),
			    SPAN("<stream:stream xmlns:q='urn:&apos;&lt;&amp;q' " NS ">")));
	assert_true(xmpp_reader_rest(&r));
	assert_int_equal(xmpp_reader_next(&r, SPAN("<p:a/>"), &e), XMPP_REFUSED);
	assert_int_equal(e.why, XMPP_WHY_PREFIX);
	/* A refusal stands. */
	assert_int_equal(xmpp_reader_next(&r, SPAN("<a/>"), &e), XMPP_REFUSED);
	assert_int_equal(e.used, 0);
	assert_int_equal(e.why, XMPP_WHY_PREFIX);
	xmpp_reader_fini(&r);
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_reader_headers),
		cmocka_unit_test(test_reader_headers_refused),
		cmocka_unit_test(test_reader_refused),
		cmocka_unit_test(test_reader_boundaries),
		cmocka_unit_test(test_reader_fields),
		cmocka_unit_test(test_reader_splits),
		cmocka_unit_test(test_reader_restart),
		cmocka_unit_test(test_reader_restart_offsets),
		cmocka_unit_test(test_reader_elements),
		cmocka_unit_test(test_reader_context),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
