/* selftests/unit/test_xmpp_limits.c -- what a peer cannot do to the stream reader: entity bombs, depth, sizes, counts, memory. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <cmocka.h>

#include "selftests/unit/xmpp_kit.h"

#define LEN(a) (sizeof(a) / sizeof((a)[0]))
#define S      xmpp_limits_stranger

/* expat 2.5.0 takes 11 KiB for a parser that has read a header and small stanzas. */
#define IDLE_MAX (20 << 10)
#define REST_MAX 512

static struct xmpp_event open_at_head(struct xmpp_reader *r, const struct xmpp_setup *setup)
{
	struct xmpp_event e;

	xmpp_reader_init(r, setup);
	assert_int_equal(xmpp_reader_next(r, SPAN(KIT_HEAD), &e), XMPP_OPEN);
	return e;
}

/* Feed @unit again and again, at most @times; the event that ended it. */
static struct xmpp_event feed(struct xmpp_reader *r, const char *unit, size_t times)
{
	struct span in = span_str(unit), left;
	struct xmpp_event e = {};
	size_t i;

	for (i = 0; i < times; i++) {
		for (left = in; left.n; left = span_cut(left, e.used, left.n)) {
			xmpp_reader_next(r, left, &e);
			if (e.kind == XMPP_REFUSED)
				return e;
		}
	}
	return e;
}

static void test_limits_defaults(void **state)
{
	(void)state;
	assert_memory_equal(&kit_client.limits, &xmpp_limits_stranger, sizeof(S));
	assert_true(sizeof(struct xmpp_reader) <= 1280);
}

static void test_limits_entity_bombs(void **state)
{
	static const char *const bombs[] = {
		"<!DOCTYPE lolz [<!ENTITY lol 'lol'><!ENTITY lol2 '&lol;&lol;&lol;&lol;&lol;'>]>"
		"<stream:stream a='&lol2;'>",
		"<?xml version='1.0'?><!DOCTYPE x SYSTEM 'http://192.0.2.1/x.dtd'><x/>",
		"<?xml version='1.0'?>\n<!DOCTYPE x PUBLIC '-//x' 'file:///etc/passwd'>",
		KIT_HEAD "<!DOCTYPE x [<!ENTITY a SYSTEM 'file:///etc/passwd'>]><a>&a;</a>",
		KIT_HEAD "<a><!DOCTYPE x [",
		KIT_HEAD "<a><!ENTITY % b 'c'>",
		KIT_HEAD "<a><!ATTLIST a b CDATA 'c'>",
		KIT_HEAD "<a><!ELEMENT a ANY>",
	};
	const struct kit_way way = {};
	char log[2048];
	size_t i;

	(void)state;
	for (i = 0; i < LEN(bombs); i++) {
		assert_int_equal(kit_read(&kit_client, span_str(bombs[i]), &way, log, sizeof(log)),
				 XMPP_REFUSED);
		assert_non_null(strstr(log, " document-type restricted-xml text="));
	}
}

static void test_limits_depth(void **state)
{
	struct xmpp_reader r;
	struct xmpp_event e;
	unsigned i;

	(void)state;
	open_at_head(&r, &kit_client);
	e = feed(&r, "<a>", S.depth);
	assert_int_equal(e.kind, XMPP_MORE);
	e = feed(&r, "<a>", 1);
	assert_int_equal(e.why, XMPP_WHY_DEPTH);
	assert_string_equal(xmpp_why_condition(e.why), "policy-violation");
	xmpp_reader_fini(&r);
	/* down and up again as often as it likes */
	open_at_head(&r, &kit_client);
	for (i = 0; i < 3; i++) {
		e = feed(&r, "<a>", S.depth);
		e = feed(&r, "</a>", S.depth);
		assert_int_equal(e.kind, XMPP_STANZA);
	}
	xmpp_reader_fini(&r);
}

/* A start tag that never ends: at the limit it is over, and memory never passes its own. */
static void test_limits_huge_attribute(void **state)
{
	static char chunk[65537];
	static const char *const begins[] = {"<a b='",	     "<a b=\"",	     "<",	"<a ",
					     "<a xmlns:b='", "<a>&",	     "<a b='&", "</a",
					     "<a b='>>>>",   "<a><b c='&#x", "<a>&#"};
	size_t i, before;

	(void)state;
	for (i = 0; i < LEN(begins); i++) {
		struct xmpp_setup setup = kit_client;
		struct xmpp_reader r;
		struct xmpp_event e;

		setup.limits.total = 0;
		setup.limits.stanza = 1 << 30;
		open_at_head(&r, &setup);
		memset(chunk, begins[i][strlen(begins[i]) - 1] == 'x' ? '1' : 'a',
		       sizeof(chunk) - 1);
		if (strchr(begins[i], '#'))
			memset(chunk, '1', sizeof(chunk) - 1);
		feed(&r, begins[i], 1);
		before = r.at;
		/* 1 GiB, if it would take it. */
		e = feed(&r, chunk, 1 << 14);
		assert_int_equal(e.kind, XMPP_REFUSED);
		assert_int_equal(e.why, XMPP_WHY_TOKEN_BYTES);
		assert_true(e.offset - before <= S.token + XMPP_PIECE);
		assert_true(r.heap_peak <= S.memory);
		assert_int_equal(r.heap, 0);
		xmpp_reader_fini(&r);
	}
}

static void test_limits_bytes(void **state)
{
	static char big[70000];
	static const struct kit_way way = {};
	struct xmpp_setup setup = kit_client;
	struct xmpp_reader r;
	struct xmpp_event e;
	char log[1024];
	int n;

	(void)state;
	/* a header: the last byte that fits, and one more */
	n = snprintf(big, sizeof(big), "%*s" KIT_HEAD, (int)(S.header - strlen(KIT_HEAD)), "");
	assert_int_equal(n, S.header);
	assert_int_equal(kit_read(&setup, span_str(big), &way, log, sizeof(log)), XMPP_MORE);
	assert_non_null(strstr(log, "open 0+2048 "));
	snprintf(big, sizeof(big), "%*s" KIT_HEAD, (int)(S.header + 1 - strlen(KIT_HEAD)), "");
	assert_int_equal(kit_read(&setup, span_str(big), &way, log, sizeof(log)), XMPP_REFUSED);
	assert_non_null(strstr(log, "refused 2048+0 header-bytes policy-violation"));
	/* a stanza: the same */
	open_at_head(&r, &setup);
	memset(big, 'x', sizeof(big));
	memcpy(big, "<a>", 3);
	memcpy(big + S.stanza - 4, "</a>", 5);
	assert_int_equal(xmpp_reader_next(&r, span_str(big), &e), XMPP_STANZA);
	assert_int_equal(e.length, S.stanza);
	memset(big, 'x', sizeof(big));
	memcpy(big, "<a>", 3);
	memcpy(big + S.stanza - 3, "</a>", 5);
	assert_int_equal(xmpp_reader_next(&r, span_str(big), &e), XMPP_REFUSED);
	assert_int_equal(e.why, XMPP_WHY_STANZA_BYTES);
	assert_int_equal(e.used, S.stanza);
	xmpp_reader_fini(&r);
	/* a tag */
	setup.limits.attr_bytes = S.token;
	open_at_head(&r, &setup);
	memset(big, ' ', sizeof(big));
	memcpy(big, "<a", 2);
	memcpy(big + S.token - 2, "/>", 3);
	assert_int_equal(xmpp_reader_next(&r, span_str(big), &e), XMPP_STANZA);
	memcpy(big + S.token - 2, " />", 4);
	assert_int_equal(xmpp_reader_next(&r, span_str(big), &e), XMPP_REFUSED);
	assert_int_equal(e.why, XMPP_WHY_TOKEN_BYTES);
	xmpp_reader_fini(&r);
}

static void test_limits_total(void **state)
{
	struct xmpp_setup setup = kit_client;
	struct xmpp_reader r;
	struct xmpp_event e;
	size_t i;

	(void)state;
	/* by white space alone */
	open_at_head(&r, &setup);
	e = feed(&r, " ", S.total);
	assert_int_equal(e.why, XMPP_WHY_TOTAL_BYTES);
	assert_int_equal(e.offset, S.total);
	assert_string_equal(xmpp_why_condition(e.why), "policy-violation");
	xmpp_reader_fini(&r);
	/* by restarts: the sum counts */
	xmpp_reader_init(&r, &setup);
	for (i = 0; i < S.total; i++) {
		if (xmpp_reader_next(&r, SPAN(KIT_HEAD), &e) != XMPP_OPEN)
			break;
		assert_int_equal(xmpp_reader_restart(&r), 0);
	}
	assert_int_equal(e.why, XMPP_WHY_TOTAL_BYTES);
	assert_int_equal(e.offset, S.total);
	xmpp_reader_fini(&r);
	/* after authentication other limits hold */
	open_at_head(&r, &setup);
	feed(&r, " ", S.total - r.at);
	assert_int_equal(r.at, S.total);
	xmpp_reader_limits(&r, &xmpp_limits_known);
	e = feed(&r, "<a/> ", 1000);
	assert_int_equal(e.kind, XMPP_SPACE);
	xmpp_reader_fini(&r);
}

static void test_limits_counts(void **state)
{
	char in[4096];
	struct xmpp_reader r;
	struct xmpp_event e;
	unsigned extra, i;
	size_t n;

	(void)state;
	for (extra = 0; extra < 2; extra++) {
		n = (size_t)snprintf(in, sizeof(in), "<a");
		for (i = 0; i < S.attrs + extra; i++)
			n += (size_t)snprintf(in + n, sizeof(in) - n, " a%u=''", i);
		snprintf(in + n, sizeof(in) - n, "/>");
		open_at_head(&r, &kit_client);
		xmpp_reader_next(&r, span_str(in), &e);
		assert_int_equal(e.kind, extra ? XMPP_REFUSED : XMPP_STANZA);
		assert_int_equal(e.why, extra ? XMPP_WHY_ATTRS : XMPP_OK);
		xmpp_reader_fini(&r);
		/* the header declares two */
		n = (size_t)snprintf(in, sizeof(in), "<a");
		for (i = 0; i < S.namespaces - 2 + extra; i++)
			n += (size_t)snprintf(in + n, sizeof(in) - n, " xmlns:a%u='u'", i);
		snprintf(in + n, sizeof(in) - n, "/>");
		open_at_head(&r, &kit_client);
		xmpp_reader_next(&r, span_str(in), &e);
		assert_int_equal(e.kind, extra ? XMPP_REFUSED : XMPP_STANZA);
		assert_int_equal(e.why, extra ? XMPP_WHY_NAMESPACES : XMPP_OK);
		/* they end with their element */
		if (!extra) {
			assert_int_equal(r.namespaces, 2);
			assert_int_equal(xmpp_reader_next(&r, span_str(in), &e), XMPP_STANZA);
		}
		xmpp_reader_fini(&r);
		n = (size_t)snprintf(in, sizeof(in), "<a b='%0*d'/>", (int)(S.attr_bytes + extra),
				     0);
		open_at_head(&r, &kit_client);
		xmpp_reader_next(&r, span_str(in), &e);
		assert_int_equal(e.kind, extra ? XMPP_REFUSED : XMPP_STANZA);
		assert_int_equal(e.why, extra ? XMPP_WHY_ATTR_BYTES : XMPP_OK);
		xmpp_reader_fini(&r);
		/* of an element whose attributes are kept */
		n = (size_t)snprintf(in, sizeof(in), "<auth");
		for (i = 0; i < XMPP_ATTRS - 1 + extra; i++)
			n += (size_t)snprintf(in + n, sizeof(in) - n, " a%u=''", i);
		snprintf(in + n, sizeof(in) - n,
			 " mechanism='X' xmlns='urn:ietf:params:xml:ns:xmpp-sasl'/>");
		open_at_head(&r, &kit_client);
		xmpp_reader_next(&r, span_str(in), &e);
		assert_int_equal(e.kind, extra ? XMPP_REFUSED : XMPP_STANZA);
		xmpp_reader_fini(&r);
	}
}

/* expat keeps every name that it ever saw: a stream of new names must stay within its memory all the same, and live. */
static void test_limits_names(void **state)
{
	struct xmpp_setup setup = kit_client;
	struct xmpp_reader r;
	struct xmpp_event e;
	char in[256];
	unsigned i;

	(void)state;
	setup.limits.total = 0;
	open_at_head(&r, &setup);
	for (i = 0; i < 20000; i++) {
		snprintf(in, sizeof(in), "<e%u a%u='' xmlns:p%u='urn:%u'><p%u:f%u/></e%u>", i, i, i,
			 i, i, i, i);
		assert_int_equal(xmpp_reader_next(&r, span_str(in), &e), XMPP_STANZA);
	}
	assert_true(r.heap_peak <= setup.limits.memory);
	/* within one stanza there is no help: it ends */
	setup.limits.stanza = 1 << 30;
	xmpp_reader_limits(&r, &setup.limits);
	assert_int_equal(xmpp_reader_next(&r, SPAN("<a>"), &e), XMPP_MORE);
	for (i = 0; i < 100000 && e.kind == XMPP_MORE; i++) {
		snprintf(in, sizeof(in), "<n%u/>", i);
		xmpp_reader_next(&r, span_str(in), &e);
	}
	assert_int_equal(e.kind, XMPP_REFUSED);
	assert_int_equal(e.why, XMPP_WHY_MEMORY);
	assert_string_equal(xmpp_why_condition(e.why), "resource-constraint");
	assert_true(r.heap_peak <= setup.limits.memory);
	xmpp_reader_fini(&r);
}

static void test_limits_idle_memory(void **state)
{
	struct xmpp_reader r;
	size_t idle;

	(void)state;
	open_at_head(&r, &kit_client);
	feed(&r, "<iq type='get' id='1'><ping xmlns='urn:xmpp:ping'/></iq>", 10);
	idle = r.heap;
	assert_true(xmpp_reader_rest(&r));
	print_message("reader %zu bytes, expat %zu, at rest %zu\n", sizeof(r), idle, r.heap);
	assert_true(idle <= IDLE_MAX);
	assert_true(r.heap <= REST_MAX);
	assert_int_equal(feed(&r, "<presence/>", 1).kind, XMPP_STANZA);
	xmpp_reader_fini(&r);
	assert_int_equal(r.heap, 0);
}

/* Every size of memory limit: a refusal, never more memory, nothing leaked. */
static void test_limits_out_of_memory(void **state)
{
	struct xmpp_setup setup = kit_client;
	const struct kit_way way = {.rest = true};
	char log[4096], good[4096];
	enum xmpp_event_kind kind;
	size_t max;

	(void)state;
	kit_read(&kit_client, SPAN(KIT_HEAD "<iq id='1'/> <presence to='a'/></stream:stream>"),
		 &way, good, sizeof(good));
	for (max = 0; max < IDLE_MAX; max += 37) {
		setup.limits.memory = max;
		kind = kit_read(&setup,
				SPAN(KIT_HEAD "<iq id='1'/> <presence to='a'/></stream:stream>"),
				&way, log, sizeof(log));
		if (kind == XMPP_CLOSE)
			assert_string_equal(log, good);
		else
			assert_non_null(strstr(log, " memory resource-constraint text="));
	}
	assert_int_equal(kind, XMPP_CLOSE);
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_limits_defaults),
		cmocka_unit_test(test_limits_entity_bombs),
		cmocka_unit_test(test_limits_depth),
		cmocka_unit_test(test_limits_huge_attribute),
		cmocka_unit_test(test_limits_bytes),
		cmocka_unit_test(test_limits_total),
		cmocka_unit_test(test_limits_counts),
		cmocka_unit_test(test_limits_names),
		cmocka_unit_test(test_limits_idle_memory),
		cmocka_unit_test(test_limits_out_of_memory),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
