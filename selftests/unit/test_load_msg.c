/* selftests/unit/test_load_msg.c -- what the load generator says: digest against RFC 2617's example, REGISTER as our own parser reads it. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <cmocka.h>

#include "tools/load.h"

static struct load load = {.o = {.prefix = "u", .domain = "corp.example"}, .run_id = 0xabc};
static struct load_client client = {.load = &load, .index = 7};

static void test_load_digest_rfc2617(void **state)
{
	char ha1[33], out[33];

	(void)state;
	load_ha1("Mufasa", "testrealm@host.com", "Circle Of Life", ha1);
	assert_string_equal(ha1, "939e7578ed9e3c518a452acee763bce9");
	load_digest(ha1, "dcd98b7102dd2f0e8b11d0f600bfb0c093", "GET", "/dir/index.html", 1,
		    "0a4f113b", out);
	assert_string_equal(out, "6629fae49393a05397450978507c4ef1");
	load_digest(ha1, "dcd98b7102dd2f0e8b11d0f600bfb0c093", "GET", "/dir/index.html", 1, NULL,
		    out);
	assert_string_equal(out, "670fd8c2df070c60b045671b8b24ff02");
}

static int challenge(const char *value)
{
	static struct sip_msg m;
	static char text[1024];
	enum sip_why why;
	int n = snprintf(
		text, sizeof(text),
		"SIP/2.0 401 Unauthorized\r\nVia: SIP/2.0/TLS 192.0.2.1:5061;branch=z9hG4bKa\r\n"
		"From: <sip:u7@corp.example>;tag=a\r\nTo: <sip:u7@corp.example>;tag=b\r\nCall-ID: "
		"x\r\n"
		"CSeq: 1 REGISTER\r\n%s%s%sContent-Length: 0\r\n\r\n",
		*value ? "WWW-Authenticate: " : "", value, *value ? "\r\n" : "");

	assert_int_equal(sip_msg_parse(span_of(text, (size_t)n), true, LOAD_BUF, &m, &why), n);
	return load_challenge(&client, &m);
}

static void test_load_challenge(void **state)
{
	static const struct {
		const char *value;
		int want;
	} cases[] = {
		{"Digest realm=\"corp.example\", nonce=\"n1\", qop=\"auth\"", 0},
		{"Digest realm=\"corp.example\", nonce=\"n1\", algorithm=MD5", 0},
		{"Digest realm=\"corp.example\", nonce=\"n1\", algorithm=SHA-256", -EBADMSG},
		{"Digest realm=\"corp.example\"", -EBADMSG},
		{"Bearer realm=\"corp.example\", nonce=\"n1\"", -EBADMSG},
		{"", -EBADMSG},
	};
	size_t i;

	(void)state;
	for (i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
		assert_int_equal(challenge(cases[i].value), cases[i].want);
}

static void test_load_register_reads_back(void **state)
{
	static const char *const with[] = {NULL, "Digest realm=\"r\", nonce=\"n1\", qop=\"auth\""};
	static struct sip_msg m;
	const struct sip_header *h;
	struct sip_auth a;
	struct addr local;
	char text[2048], want[33];
	enum sip_why why;
	struct span v;
	ssize_t n;
	size_t i;

	(void)state;
	assert_int_equal(addr_parse(SPAN("192.0.2.1:40000"), &local), 0);
	for (i = 0; i < 2; i++) {
		client.challenge.known = false;
		if (with[i])
			assert_int_equal(challenge(with[i]), 0);
		n = load_register(&client, &local, text, sizeof(text));
		assert_true(n > 0);
		assert_int_equal(sip_msg_parse(span_of(text, (size_t)n), true, LOAD_BUF, &m, &why),
				 n);
		assert_int_equal(m.method, SIP_M_REGISTER);
		assert_int_equal(m.cseq, i + 1);
		h = sip_header_find(&m, SIP_H_AUTHORIZATION, 0, NULL);
		assert_int_equal(h != NULL, with[i] != NULL);
	}
	assert_int_equal(sip_auth_parse(h->value, &a), 0);
	load_digest(client.challenge.ha1, "n1", "REGISTER", "sip:corp.example", 1, "00000abc0007",
		    want);
	assert_true(sip_auth_param(&a, SPAN("response"), &v));
	assert_true(span_eq(v, span_str(want)));
	assert_int_equal(load_register(&client, &local, text, 300), -E2BIG);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_load_digest_rfc2617),
		cmocka_unit_test(test_load_challenge),
		cmocka_unit_test(test_load_register_reads_back),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
