/* selftests/unit/test_federation_peek.c -- whom a server's first bytes want: SOCKS5 and stream headers, whole and in pieces; who may. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "user/core_federation_impl.h"

/* ---- what the module writes, and which domains are ours ---- */

static uint8_t wrote[4096];
static size_t n_wrote;

int conn_write(struct conn *c, struct span data)
{
	(void)c;
	assert_true(data.n <= sizeof(wrote) - n_wrote);
	memcpy(wrote + n_wrote, data.p, data.n);
	n_wrote += data.n;
	return 0;
}

struct xmpp_cluster *xmpp_nodes_cluster(struct xmpp_nodes *x, struct span domain)
{
	return span_eq(domain, SPAN("corp.example")) || span_eq(domain, SPAN("quiet.example"))
		       ? (struct xmpp_cluster *)x
		       : NULL;
}

static const char *federating[] = {"corp.example"};
static struct config_xmpp cfg = {.federation = {.domains = federating, .domains_count = 1}};
static struct xmpp_domain allow[1], deny[1];
static struct core_federation f = {.allow = allow, .deny = deny};
static struct fed_stream s;
static struct fed_peek peek;

static void begin(bool out)
{
	struct xmpp_setup setup = {
		.role = XMPP_INITIATING, .server = true, .limits = xmpp_limits_stranger};

	f.p.cfg = &cfg;
	f.p.nodes = (struct xmpp_nodes *)&cfg; /* only not NULL */
	memset(&peek, 0, sizeof(peek));
	xmpp_reader_init(&peek.reader, &setup);
	s = (struct fed_stream){.f = &f, .peek = &peek, .out = out, .id = 7};
	n_wrote = 0;
}

static int feed(struct span in, size_t step, const char **why)
{
	int ret = -EAGAIN;
	size_t n;

	*why = "";
	while (in.n && ret == -EAGAIN) {
		n = step < in.n ? step : in.n;
		memcpy(peek.buf + peek.n, in.p, n);
		peek.n += n;
		in = span_cut(in, n, in.n);
		ret = s.out ? fed_peek_out(&s, why) : fed_peek_in(&s, why);
	}
	return ret;
}

#define HEAD(fields)                                                                          \
	"<?xml version='1.0'?><stream:stream " fields " version='1.0' xmlns='jabber:server' " \
	"xmlns:db='jabber:server:dialback' xmlns:stream='http://etherx.jabber.org/streams'>"

static void test_peek_socks(void **state)
{
	static const struct {
		struct span in;
		int ret;
		struct span reply;
	} t[] = {
		{SPAN("\5\1\0\5\1\0\3\017Partner.example\x14\x95"), 1, SPAN("\5\0")},
		{SPAN("\5\2\2\0\5\1\0\3\017partner.example\x14\x95more"), 1, SPAN("\5\0")},
		{SPAN("\5\1\2"), -EACCES, SPAN("\5\xff")},
		{SPAN("\5\0"), -EACCES, SPAN("\5\xff")},
		{SPAN("\5\1\0\5\2\0\3\001a"), -EPROTO, SPAN("\5\0\5\7\0\1\0\0\0\0\0\0")},
		{SPAN("\5\1\0\5\1\0\1\177\0\0\1\x14\x95"), -EPROTO,
		 SPAN("\5\0\5\x8\0\1\0\0\0\0\0\0")},
		{SPAN("\5\1\0\5\1\0\3\017partner.example\0\x50"), -EPROTO,
		 SPAN("\5\0\5\2\0\1\0\0\0\0\0\0")},
		{SPAN("\5\1\0\5\1\0\3\011192.0.2.1\x14\x95"), -EPROTO,
		 SPAN("\5\0\5\2\0\1\0\0\0\0\0\0")},
		{SPAN("\5\1\0\5\1\0\3\0\x14\x95"), -EPROTO, SPAN("\5\0\5\2\0\1\0\0\0\0\0\0")},
		{SPAN("\4\1\x14\x95\0\0\0\1\0"), -EBADMSG, SPAN("")},
	};
	const char *why;
	size_t i, step;

	(void)state;
	for (i = 0; i < sizeof(t) / sizeof(t[0]); i++)
		for (step = 1; step < 64; step += 20) {
			begin(true);
			if (feed(t[i].in, step, &why) != t[i].ret)
				fail_msg("%zu, %zu bytes at a time: %s", i, step, why);
			assert_int_equal(n_wrote, t[i].reply.n);
			assert_memory_equal(wrote, t[i].reply.p, n_wrote);
			if (t[i].ret == 1)
				assert_string_equal(s.theirs.text, "partner.example");
			xmpp_reader_fini(&peek.reader);
		}
	begin(true);
	assert_int_equal(feed(t[1].in, 100, &why), 1);
	assert_int_equal(peek.n, 4); /* what is behind the request passes */
	assert_memory_equal(peek.buf, "more", 4);
	assert_true(fed_may(&s, &why)); /* from whom comes later */
	fed_socks_done(&s);
	assert_memory_equal(wrote, "\5\0\5\0\0\1\0\0\0\0\0\0", n_wrote);
	xmpp_reader_fini(&peek.reader);
}

static void test_peek_header(void **state)
{
	static const char out[] = HEAD("from='corp.example' to='partner.example'");
	const char *why;
	size_t step;

	(void)state;
	for (step = 1; step < 200; step += 99) {
		begin(true);
		assert_int_equal(
			feed(SPAN(HEAD("from='corp.example' to='partner.example'")), step, &why),
			1);
		assert_string_equal(s.ours.text, "corp.example");
		assert_string_equal(s.theirs.text, "partner.example");
		assert_true(fed_may(&s, &why));
		assert_int_equal(peek.n, sizeof(out) - 1);
		xmpp_reader_fini(&peek.reader);
	}
	begin(true);
	assert_int_equal(feed(SPAN("\x16\3\1\2\0"), 9, &why), -EPROTO);
	xmpp_reader_fini(&peek.reader);
	begin(false);
	assert_int_equal(xmpp_domain_parse(SPAN("corp.example"), &s.ours, &(enum xmpp_jid_why){0}),
			 0);
	assert_int_equal(feed(SPAN(HEAD("from='partner.example' to='other.example'")), 999, &why),
			 -EBADMSG);
	xmpp_reader_fini(&peek.reader);
}

/* What stands behind SOCKS5 tells from whom, and to whom if it is somebody else than was named. */
static void test_peek_shown(void **state)
{
	static const struct {
		struct span in;
		int ret;
		bool may;
		const char *theirs;
	} t[] = {
		{SPAN(HEAD("from='corp.example' to='partner.example'")), 1, true,
		 "partner.example"},
		{SPAN(HEAD("from='quiet.example' to='partner.example'")), 1, false,
		 "partner.example"},
		{SPAN(HEAD("to='partner.example'")), 1, false, "partner.example"},
		{SPAN(HEAD("from='corp.example' to='spam.example'")), 1, false, "spam.example"},
		{SPAN("\x16\3\1"), 1, false, "partner.example"}, /* may be of quiet.example */
		{SPAN("\5\1\0"), -EBADMSG, false, "partner.example"},
		{SPAN(""), -EAGAIN, false, "partner.example"},
	};
	static const char *domains[] = {"corp.example", "quiet.example"};
	static struct config_xmpp_cluster cluster = {.domains = domains, .domains_count = 2};
	enum xmpp_jid_why jid_why;
	const char *why;
	size_t i;

	(void)state;
	cfg.clusters = &cluster;
	cfg.clusters_count = 1;
	cfg.federation.deny_count = 1;
	assert_int_equal(xmpp_domain_parse(SPAN("spam.example"), &deny[0], &jid_why), 0);
	for (i = 0; i < sizeof(t) / sizeof(t[0]); i++) {
		begin(true);
		assert_int_equal(feed(SPAN("\5\1\0\5\1\0\3\017partner.example\x14\x95"), 99, &why),
				 1);
		fed_socks_done(&s);
		memcpy(peek.buf, t[i].in.p, t[i].in.n);
		peek.n = t[i].in.n;
		assert_int_equal(fed_peek_shown(&s, &why), t[i].ret);
		assert_string_equal(s.theirs.text, t[i].theirs);
		if (t[i].ret == 1)
			assert_int_equal(fed_may(&s, &why), t[i].may);
		xmpp_reader_fini(&peek.reader);
	}
	cluster.domains_count = 1; /* all of ours federate */
	begin(true);
	peek.buf[0] = 0x16;
	peek.n = 1;
	assert_int_equal(xmpp_domain_parse(SPAN("partner.example"), &s.theirs, &jid_why), 0);
	assert_int_equal(fed_peek_shown(&s, &why), 1);
	assert_true(fed_may(&s, &why));
	xmpp_reader_fini(&peek.reader);
	cfg.clusters_count = 0;
	cfg.federation.deny_count = 0;
}

static bool may(bool out, const char *ours, const char *theirs, enum fed_kind kind)
{
	enum xmpp_jid_why jid_why;
	const char *why = NULL;
	bool good;

	begin(out);
	peek.kind = kind;
	if (*ours)
		assert_int_equal(xmpp_domain_parse(span_str(ours), &s.ours, &jid_why), 0);
	if (*theirs)
		assert_int_equal(xmpp_domain_parse(span_str(theirs), &s.theirs, &jid_why), 0);
	good = fed_may(&s, &why);
	assert_true(good == !why);
	return good;
}

static void test_peek_may(void **state)
{
	static const char *one[] = {"x.example"};
	enum xmpp_jid_why why;

	(void)state;
	assert_true(may(false, "corp.example", "partner.example", FED_HEADER));
	assert_true(may(false, "corp.example", "", FED_TLS));
	assert_false(may(false, "quiet.example", "partner.example",
			 FED_HEADER)); /* federation is off there */
	assert_true(may(true, "", "partner.example", FED_SOCKS));
	assert_false(may(true, "", "partner.example", FED_HEADER));	      /* whose is it? */
	assert_false(may(true, "corp.example", "quiet.example", FED_HEADER)); /* both are ours */
	cfg.federation.deny = one;
	cfg.federation.deny_count = 1;
	assert_int_equal(xmpp_domain_parse(SPAN("x.example"), &deny[0], &why), 0);
	assert_true(may(false, "corp.example", "partner.example", FED_HEADER));
	assert_false(may(false, "corp.example", "X.example", FED_HEADER));
	assert_false(may(false, "corp.example", "", FED_TLS)); /* it could be anybody */
	cfg.federation.deny_count = 0;
	cfg.federation.allow = one;
	cfg.federation.allow_count = 1;
	allow[0] = deny[0];
	assert_false(may(true, "corp.example", "partner.example", FED_HEADER));
	assert_true(may(true, "corp.example", "x.example", FED_HEADER));
	assert_true(may(true, "", "x.example", FED_SOCKS));
	cfg.federation.allow_count = 0;
}

static void test_peek_refusal(void **state)
{
	struct conn *c = (struct conn *)&cfg; /* only not NULL */
	const char *why;

	(void)state;
	begin(true);
	assert_int_equal(feed(SPAN(HEAD("from='corp.example' to='x.example'")), 999, &why), 1);
	fed_refuse(&s, c, "policy-violation", "no");
	assert_non_null(memmem(wrote, n_wrote, "from='x.example'", 16));
	assert_non_null(memmem(wrote, n_wrote, "<policy-violation", 17));
	xmpp_reader_fini(&peek.reader);
	begin(true);
	assert_int_equal(feed(SPAN("\5\1\0\5\1\0\3\011x.example\x14\x95"), 999, &why), 1);
	n_wrote = 0;
	fed_refuse(&s, c, "remote-connection-failed", "no");
	assert_int_equal(n_wrote, 10);
	assert_int_equal(wrote[1], 1);
	xmpp_reader_fini(&peek.reader);
	begin(false);
	peek.kind = FED_TLS;
	fed_refuse(&s, c, "policy-violation", "no");
	assert_int_equal(n_wrote, 0);
	xmpp_reader_fini(&peek.reader);
}

static void test_in_full(void **state)
{
	static struct fed_stream in[8];
	struct addr a = {.ip = {[10] = 0xff, 0xff, 192, 0, 2, 1}}, b = a, v6 = {.ip = {0x20, 1}},
		    v6b = v6;
	unsigned i;

	(void)state;
	cfg.limits.federation = 8;
	b.ip[15] = 2;
	v6b.ip[15] = 9; /* the same /64 */
	for (i = 0; i < 8; i++) {
		in[i] = (struct fed_stream){.peer = a, .next = i + 1 < 8 ? &in[i + 1] : NULL};
		in[i].out = i >= 2;
	}
	f.streams = in;
	assert_true(fed_in_full(&f, &a)); /* two of eight are a quarter */
	assert_false(fed_in_full(&f, &b));
	in[0].peer = in[1].peer = v6;
	assert_true(fed_in_full(&f, &v6b));
	assert_false(fed_in_full(&f, &a)); /* those of ours to him do not count */
	for (i = 0; i < 6; i++) {
		in[i].out = false;
		in[i].peer.ip[1] = (uint8_t)i;
	}
	assert_true(fed_in_full(&f, &b)); /* six of eight: the rest is for ours */
	cfg.limits.federation = 1;
	f.streams = NULL;
	assert_false(fed_in_full(&f, &a));
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_peek_socks),   cmocka_unit_test(test_peek_header),
		cmocka_unit_test(test_peek_shown),   cmocka_unit_test(test_peek_may),
		cmocka_unit_test(test_peek_refusal), cmocka_unit_test(test_in_full),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
