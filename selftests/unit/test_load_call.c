/* selftests/unit/test_load_call.c -- what an end of a call says, as our own parsers read it; what it makes of what the other side says. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <cmocka.h>

#include "sip/sdp.h"
#include "tools/load_calls.h"

static struct load_calls run = {
	.l = {.o = {.prefix = "u", .domain = "corp.example"}, .run_id = 0xabc}};
static struct load_client client = {.load = &run.l, .index = 7};
static struct addr local;

const struct addr *load_client_local(const struct load_client *c)
{
	(void)c;
	return &local;
}

static struct load_call call(bool caller)
{
	struct load_call k = {.run = &run,
			      .c = &client,
			      .slot = 0x1f,
			      .generation = 2,
			      .caller = caller,
			      .secure = true,
			      .mux = true,
			      .crypto_tag = 1,
			      .suite = SRTP_AES_CM_128_HMAC_SHA1_80,
			      .id = 0x1234,
			      .hold_ms = 1500,
			      .invite_cseq = 3,
			      .port = 41000,
			      .call_id = "0000000000001234@load"};

	assert_int_equal(addr_parse(SPAN("203.0.113.50:40000"), &local), 0);
	k.local = strdup("<sip:u7@corp.example>;tag=00000abc.1f.2");
	memset(k.key, 0x5a, sizeof(k.key));
	snprintf(k.to_user, sizeof(k.to_user), "v3");
	return k;
}

static void call_end(struct load_call *k)
{
	free(k->local);
	free(k->remote);
	free(k->target);
	free(k->routes);
}

static void parsed(const char *text, ssize_t n, struct sip_msg *m)
{
	enum sip_why why = SIP_OK;

	assert_true(n > 0);
	if (sip_msg_parse(span_of(text, (size_t)n), true, LOAD_BUF, m, &why) != n)
		fail_msg("%s: %.*s", sip_why_text(why), (int)n, text);
}

static void test_load_call_invite_to_answer(void **state)
{
	struct load_call k = call(true), callee = call(false);
	char text[LOAD_TEXT], answer[LOAD_TEXT];
	uint8_t key[SRTP_KEY_MAX] = {};
	static struct sip_msg m, r;
	unsigned slot, generation;
	uint32_t hold;
	bool by_caller;
	uint64_t id;

	(void)state;
	parsed(text, load_call_invite(&k, text, sizeof(text)), &m);
	assert_int_equal(m.method, SIP_M_INVITE);
	assert_int_equal(load_call_header(&m, &id, &hold, &by_caller), 0);
	assert_true(id == 0x1234 && hold == 1500 && !by_caller);
	assert_true(load_call_tag_read(m.from_tag, 0xabc, &slot, &generation));
	assert_true(slot == 0x1f && generation == 2);
	assert_false(load_call_tag_read(m.from_tag, 0xabd, &slot, &generation));
	/* The other end reads it, answers, and the first reads that. */
	callee.slot = 0x20;
	assert_int_equal(load_call_sdp_read(&callee, m.body, key), 0);
	assert_int_equal(callee.media.remote.port, 41000);
	assert_int_equal(key[29], 0x5a);
	assert_int_equal(key[30], 0);
	assert_int_equal(load_call_dialog(&callee, &m), 0);
	assert_string_equal(callee.target, "sip:u7@203.0.113.50:20007;transport=tls");
	parsed(answer, load_call_reply(&callee, &m, 200, "OK", true, answer, sizeof(answer)), &r);
	assert_true(load_call_tag_read(r.to_tag, 0xabc, &slot, &generation) && slot == 0x20);
	assert_int_equal(load_call_sdp_read(&k, r.body, key), 0);
	assert_int_equal(load_call_dialog(&k, &r), 0);
	call_end(&k);
	call_end(&callee);
}

static void message(struct sip_msg *m, const char *start, const char *headers)
{
	static char text[2048];
	int n = snprintf(text, sizeof(text),
			 "%s\r\nVia: SIP/2.0/TLS 192.0.2.1:5061;branch=z9hG4bKa\r\nFrom: "
			 "<sip:a@corp.example>;tag=a\r\nTo: <sip:b@corp.example>;tag=b\r\nCall-ID: "
			 "x\r\nCSeq: 3 INVITE\r\n%sContent-Length: 0\r\n\r\n",
			 start, headers);

	parsed(text, n, m);
}

static void test_load_call_routes(void **state)
{
	static const char rr[] =
		"Record-Route: <sip:1.example;lr>, <sip:2.example;lr>;x=y\r\n"
		"Record-Route: <sip:3.example;lr>\r\nContact: <sip:b@192.0.2.9:5090>\r\n";
	struct load_call k = call(true), callee = call(false);
	static struct sip_msg m, bye;
	char text[LOAD_TEXT];

	(void)state;
	message(&m, "SIP/2.0 200 OK", rr);
	assert_int_equal(load_call_dialog(&k, &m), 0);
	assert_string_equal(k.routes, "Route: <sip:3.example;lr>\r\nRoute: "
				      "<sip:2.example;lr>;x=y\r\nRoute: <sip:1.example;lr>\r\n");
	assert_string_equal(k.remote, "<sip:b@corp.example>;tag=b");
	message(&m, "INVITE sip:b@corp.example SIP/2.0", rr);
	assert_int_equal(load_call_dialog(&callee, &m), 0);
	assert_string_equal(callee.routes,
			    "Route: <sip:1.example;lr>\r\nRoute: "
			    "<sip:2.example;lr>;x=y\r\nRoute: <sip:3.example;lr>\r\n");
	assert_string_equal(callee.remote, "<sip:a@corp.example>;tag=a");
	k.media.sent = 75;
	parsed(text, load_call_in_dialog(&k, "BYE", 9, text, sizeof(text)), &bye);
	assert_int_equal(bye.method, SIP_M_BYE);
	assert_int_equal(bye.cseq, 9);
	assert_int_equal(load_call_sent(&bye), 75);
	assert_true(span_eq(bye.ruri.whole, SPAN("sip:b@192.0.2.9:5090")));
	assert_true(span_eq(bye.to_tag, SPAN("b")));
	/* No Contact: no dialog. */
	message(&m, "SIP/2.0 200 OK", "");
	assert_int_equal(load_call_dialog(&k, &m), -EBADMSG);
	call_end(&k);
	call_end(&callee);
}

static void test_load_call_header(void **state)
{
	static const struct {
		const char *line;
		int want;
	} cases[] = {
		{"X-Load: call=00000000000000ff;hold=20;by=caller\r\n", 0},
		{"X-Load: call=ff;hold=3600001;by=caller\r\n", -EBADMSG},
		{"X-Load: call=ff;by=caller\r\n", -EBADMSG},
		{"X-Load: \r\n", -EBADMSG},
		{"", -EBADMSG},
	};
	static struct sip_msg m;
	bool by_caller = false;
	uint32_t hold;
	uint64_t id;
	size_t i;

	(void)state;
	for (i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		message(&m, "INVITE sip:b@corp.example SIP/2.0", cases[i].line);
		if (load_call_header(&m, &id, &hold, &by_caller) != cases[i].want)
			fail_msg("case %zu", i);
	}
	assert_true(by_caller);
	message(&m, "SIP/2.0 200 OK", "X-Load-Sent: 12\r\n");
	assert_int_equal(load_call_sent(&m), 12);
	message(&m, "SIP/2.0 200 OK", "X-Load-Sent: -12\r\n");
	assert_int_equal(load_call_sent(&m), -1);
	message(&m, "SIP/2.0 200 OK", "");
	assert_int_equal(load_call_sent(&m), -1);
}

#define HEAD  "v=0\r\no=- 1 1 IN IP4 192.0.2.1\r\ns=-\r\nc=IN IP4 192.0.2.1\r\nt=0 0\r\n"
#define KEY80 "WlpaWlpaWlpaWlpaWlpaWlpaWlpaWlpaWlpaWlpa" /* 30 bytes of 0x5a */
#define GCM                                                       \
	"m=audio 4000 RTP/SAVP 0\r\na=crypto:2 AEAD_AES_128_GCM " \
	"inline:WlpaWlpaWlpaWlpaWlpaWlpaWlpaWlpaWlpaWg"

static void test_load_call_sdp(void **state)
{
	enum { GCM_128 = SRTP_AEAD_AES_128_GCM, CM_80 = SRTP_AES_CM_128_HMAC_SHA1_80 };
	static const struct {
		const char *what;
		int suite, want;
		const char *sdp;
	} cases[] = {
		{"the suite that is wanted, among others", CM_80, 0,
		 HEAD GCM "==\r\na=crypto:3 AES_CM_128_HMAC_SHA1_80 inline:" KEY80 "\r\n"},
		{"padded as it should be", GCM_128, 0, HEAD GCM "==\r\n"},
		{"not padded", GCM_128, 0, HEAD GCM "\r\n"},
		{"padded by half", GCM_128, -EBADMSG, HEAD GCM "=\r\n"},
		{"padded too much", GCM_128, -EBADMSG, HEAD GCM "===\r\n"},
		{"another suite", CM_80, -EBADMSG, HEAD GCM "==\r\n"},
		{"a short key", CM_80, -EBADMSG,
		 HEAD "m=audio 4000 RTP/SAVP 0\r\na=crypto:2 AES_CM_128_HMAC_SHA1_80 "
		      "inline:WlpaWlpaWlpaWlpaWlpaWlpaWlpaWlpaWlpaWg==\r\n"},
		{"plain", CM_80, -EBADMSG, HEAD "m=audio 4000 RTP/AVP 0\r\n"},
		{"refused", CM_80, -EBADMSG, HEAD "m=audio 0 RTP/SAVP 0\r\n"},
		{"none", CM_80, -EBADMSG, ""},
	};
	uint8_t key[SRTP_KEY_MAX];
	size_t i;

	(void)state;
	for (i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct load_call k = call(false);

		k.suite = (enum srtp_suite)cases[i].suite;
		if (load_call_sdp_read(&k, span_str(cases[i].sdp), key) != cases[i].want)
			fail_msg("%s", cases[i].what);
		if (!cases[i].want)
			assert_int_equal(k.crypto_tag, i ? 2 : 3);
		call_end(&k);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_load_call_invite_to_answer),
		cmocka_unit_test(test_load_call_routes),
		cmocka_unit_test(test_load_call_header),
		cmocka_unit_test(test_load_call_sdp),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
