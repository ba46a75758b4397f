/* selftests/unit/test_gate_federation.c -- which domain a server from outside wants, by stream header or ClientHello, at every split. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <cmocka.h>
#include <openssl/ssl.h>

#include "user/gate_federation.h"

#define LEN(a) (sizeof(a) / sizeof((a)[0]))
#define HEAD_OF(to)                                                              \
	"<?xml version='1.0'?><stream:stream to='" to "' from='other.example' "  \
	"version='1.0' xmlns='jabber:server' xmlns:db='jabber:server:dialback' " \
	"xmlns:stream='http://etherx.jabber.org/streams'>"
#define OURS                                                                 \
	"<?xml version='1.0'?><stream:stream from='im.example.org' id='1d' " \
	"version='1.0' xml:lang='en' xmlns='jabber:server' "                 \
	"xmlns:db='jabber:server:dialback' xmlns:stream='http://etherx.jabber.org/streams'>"

static bool served(void *arg, struct span domain)
{
	(void)arg;
	return span_eq(domain, SPAN("example.com"));
}

static void id(char out[GATE_XMPP_ID_MAX])
{
	snprintf(out, GATE_XMPP_ID_MAX, "1d");
}

static const struct gate_xmpp_config config = {.host = {(const uint8_t *)"im.example.org", 14},
					       .bytes = 65536,
					       .served = served,
					       .id = id};
static const struct stream_service *const v = &gate_federation_service;
static struct gate_out out;

static struct gate_federation *gate_new(void)
{
	struct gate_federation *g = calloc(1, v->gate_size);

	assert_non_null(g);
	assert_int_equal(v->init(g, &config, NULL), 0);
	return g;
}

static void gate_end(struct gate_federation *g)
{
	v->fini(g);
	assert_int_equal(g->reader.heap, 0);
	free(g);
}

/* All of @in in pieces of @step, nothing consumed until the last verdict. */
static enum gate_verdict feed(struct gate_federation *g, struct span in, size_t step)
{
	enum gate_verdict verdict = GATE_MORE;
	size_t n = 0;
	uint8_t *copy;

	while (verdict == GATE_MORE && n < in.n) {
		n = n + step < in.n ? n + step : in.n;
		copy = malloc(n);
		assert_non_null(copy);
		memcpy(copy, in.p, n);
		verdict = v->next(g, &config, span_of(copy, n), &out);
		assert_true(verdict != GATE_MORE || !out.used);
		if (verdict == GATE_FORWARD) { /* the same again, while a core is waited for */
			assert_true(out.forward.p == copy && out.forward.n == n && out.used == n);
			assert_true(span_eq(out.domain, SPAN("example.com")));
			assert_int_equal(v->next(g, &config, span_of(copy, n), &out), GATE_FORWARD);
			assert_true(out.forward.p == copy && out.used == n);
		}
		free(copy);
	}
	return verdict;
}

static size_t hello_of(const char *sni, const char *alpn, uint8_t *buf, size_t n)
{
	SSL_CTX *ctx = SSL_CTX_new(TLS_client_method());
	SSL *ssl = SSL_new(ctx);
	BIO *in = BIO_new(BIO_s_mem()), *bio = BIO_new(BIO_s_mem());
	int len;

	SSL_set_bio(ssl, in, bio);
	if (sni)
		SSL_set_tlsext_host_name(ssl, sni);
	if (alpn)
		SSL_set_alpn_protos(ssl, (const uint8_t *)alpn, (unsigned)strlen(alpn));
	SSL_connect(ssl);
	len = BIO_read(bio, buf, (int)n);
	assert_true(len > 0);
	SSL_free(ssl);
	SSL_CTX_free(ctx);
	return (size_t)len;
}

static void test_federation_forwards(void **state)
{
	static const size_t steps[] = {1, 3, 50, 4096};
	struct gate_federation *g;
	uint8_t hello[4096];
	struct span in[4] = {SPAN(HEAD_OF("example.com")), SPAN(HEAD_OF("EXAMPLE.com.") "<x/>")};
	size_t i, j;

	(void)state;
	in[2] = span_of(hello, hello_of("Example.com", "\x0bxmpp-server", hello, 2048));
	in[3] = span_of(hello + 2048, hello_of("example.com", NULL, hello + 2048, 2048));
	for (i = 0; i < LEN(in); i++)
		for (j = 0; j < LEN(steps); j++) {
			g = gate_new();
			assert_int_equal(feed(g, in[i], steps[j]), GATE_FORWARD);
			assert_string_equal(out.alpn, i < 2 ? "" : "xmpp-server");
			v->sent(g);
			/* From here on all passes. */
			assert_int_equal(v->next(g, &config, (struct span){}, &out), GATE_MORE);
			assert_int_equal(v->next(g, &config, SPAN("\x17\x03\x03<!--"), &out),
					 GATE_FORWARD);
			assert_int_equal(out.used, 7);
			/* And nothing of ours goes in between. */
			assert_int_equal(v->instead(g, &config, GATE_CAP_SECONDS, &out),
					 GATE_CLOSE);
			assert_int_equal(out.reply_n, 0);
			gate_end(g);
		}
}

static void hold_text(const char *want)
{
	if (out.reply_n < strlen(want) || memcmp(out.reply, want, strlen(want)))
		fail_msg("wanted %s, got %.*s", want, (int)out.reply_n, (const char *)out.reply);
}

static void test_federation_refuses(void **state)
{
	static const struct {
		const char *in;
		enum gate_reason reason;
		const char *condition;
	} cases[] = {
		{HEAD_OF("other.example"), GATE_UNSERVED, "host-unknown"},
		{HEAD_OF("a@example.com"), GATE_MALFORMED, "improper-addressing"},
		{"<stream:stream to='example.com' version='1.0' xmlns='jabber:client' "
		 "xmlns:stream='http://etherx.jabber.org/streams'>",
		 GATE_MALFORMED, "invalid-namespace"},
		{"<!DOCTYPE x", GATE_RESTRICTED_XML, "restricted-xml"},
		{"GET / HTTP/1.1\r\n\r\n", GATE_MALFORMED, "not-well-formed"},
	};
	struct gate_federation *g;
	char want[600];
	size_t i, step;

	(void)state;
	for (i = 0; i < LEN(cases); i++)
		for (step = 1; step <= 4096; step += 4095) {
			g = gate_new();
			assert_int_equal(feed(g, span_str(cases[i].in), step), GATE_CLOSE);
			assert_int_equal(out.reason, cases[i].reason);
			snprintf(want, sizeof(want), OURS "<stream:error><%s ", cases[i].condition);
			hold_text(want);
			gate_end(g);
		}
	g = gate_new();
	assert_int_equal(v->instead(g, &config, GATE_CAP_SECONDS, &out), GATE_CLOSE);
	hold_text(OURS "<stream:error><connection-timeout ");
	gate_end(g);
	g = gate_new();
	assert_int_equal(feed(g, SPAN(HEAD_OF("example.com")), 4096), GATE_FORWARD);
	assert_int_equal(v->instead(g, &config, GATE_NO_CORE, &out), GATE_CLOSE);
	assert_non_null(memmem(out.reply, out.reply_n, "<stream:error><resource-constraint ", 35));
	gate_end(g);
	g = gate_new();
	assert_int_equal(feed(g, SPAN(HEAD_OF("example.com")), 4096), GATE_FORWARD);
	assert_int_equal(v->instead(g, &config, GATE_DRAINING, &out), GATE_CLOSE);
	assert_non_null(memmem(out.reply, out.reply_n, "<stream:error><system-shutdown ", 31));
	gate_end(g);
	out.reply_n = (size_t)v->busy(&config, out.reply, sizeof(out.reply));
	hold_text(OURS "<stream:error><resource-constraint ");
}

static void test_federation_refuses_tls(void **state)
{
	static const struct {
		const char *sni, *alpn;
		enum gate_reason reason;
		uint8_t alert;
	} cases[] = {
		{"other.example", NULL, GATE_UNSERVED, TLS_ALERT_UNKNOWN_NAME},
		{NULL, NULL, GATE_NO_DOMAIN, TLS_ALERT_UNKNOWN_NAME},
		{"example.com", "\x0bxmpp-client", GATE_MALFORMED, TLS_ALERT_UNKNOWN_ALPN},
	};
	struct gate_federation *g;
	uint8_t hello[2048];
	size_t i, n;

	(void)state;
	for (i = 0; i < LEN(cases); i++) {
		n = hello_of(cases[i].sni, cases[i].alpn, hello, sizeof(hello));
		g = gate_new();
		assert_int_equal(feed(g, span_of(hello, n), 1), GATE_CLOSE);
		assert_int_equal(out.reason, cases[i].reason);
		assert_int_equal(out.reply_n, TLS_ALERT_BYTES);
		assert_memory_equal(out.reply, "\x15\x03\x03\x00\x02\x02", 6);
		assert_int_equal(out.reply[6], cases[i].alert);
		assert_true(*out.detail);
		gate_end(g);
	}
	g = gate_new();
	assert_int_equal(feed(g, SPAN("\x16\x03\x01\x00\x04\x02\x00\x00\x00"), 1), GATE_CLOSE);
	assert_int_equal(out.reply[6], TLS_ALERT_DECODE);
	gate_end(g);
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_federation_forwards),
		cmocka_unit_test(test_federation_refuses),
		cmocka_unit_test(test_federation_refuses_tls),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
