/* selftests/unit/test_sip_keepalive.c -- CRLF and STUN keepalives inside a SIP stream: what is taken, what is answered. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

#include "sip/keepalive.h"

static const uint8_t stun[20] = {0, 1, 0, 0, 0x21, 0x12, 0xa4, 0x42, 1,	 2,
				 3, 4, 5, 6, 7,	   8,	 9,    10,   11, 12};

static struct addr peer(const char *text)
{
	struct addr a;

	assert_int_equal(addr_parse(span_str(text), &a), 0);
	return a;
}

static void test_keepalive_crlf(void **state)
{
	struct addr p = peer("192.0.2.1:4000");
	uint8_t out[SIP_KEEPALIVE_MAX];
	size_t n = 99;

	(void)state;
	assert_int_equal(sip_stream_keepalive(SPAN("\r\n\r\nREGISTER"), &p, out, &n), 4);
	assert_int_equal(n, 2);
	assert_memory_equal(out, "\r\n", 2);
	assert_int_equal(sip_stream_keepalive(SPAN("\r\nREGISTER"), &p, out, &n), 2);
	assert_int_equal(n, 0);
	assert_int_equal(sip_stream_keepalive(SPAN("REGISTER"), &p, out, &n), 0);
	assert_int_equal(sip_stream_keepalive(SPAN("\r"), &p, out, &n), -EAGAIN);
}

static void test_keepalive_stun_split(void **state)
{
	struct addr p = peer("192.0.2.1:4000");
	uint8_t out[SIP_KEEPALIVE_MAX];
	size_t n, i;

	(void)state;
	for (i = 1; i < sizeof(stun); i++)
		assert_int_equal(sip_stream_keepalive(span_of(stun, i), &p, out, &n), -EAGAIN);
	assert_int_equal(sip_stream_keepalive(span_of(stun, sizeof(stun)), &p, out, &n), 20);
	assert_int_equal(n, 32);
	assert_int_equal(out[0] << 8 | out[1], 0x0101);
	assert_memory_equal(out + 4, stun + 4, 16);
	/* port 4000 = 0x0fa0 xor 0x2112; 192.0.2.1 xor 2112a442 */
	assert_memory_equal(out + 20, "\x00\x20\x00\x08\x00\x01\x2e\xb2\xe1\x12\xa6\x43", 12);
}

static void test_keepalive_stun_v6(void **state)
{
	struct addr p = peer("[2001:db8::1]:1");
	uint8_t out[SIP_KEEPALIVE_MAX];
	size_t n, i;

	(void)state;
	assert_int_equal(sip_stream_keepalive(span_of(stun, sizeof(stun)), &p, out, &n), 20);
	assert_int_equal(n, 44);
	assert_int_equal(out[25], 2);
	for (i = 0; i < 16; i++)
		assert_int_equal(out[28 + i] ^ stun[4 + i], p.ip[i]);
}

static void test_keepalive_stun_refused(void **state)
{
	struct addr p = peer("192.0.2.1:4000");
	uint8_t out[SIP_KEEPALIVE_MAX], bad[20];
	size_t n;

	(void)state;
	memcpy(bad, stun, sizeof(bad));
	bad[1] = 0x11; /* an indication */
	assert_int_equal(sip_stream_keepalive(span_of(bad, sizeof(bad)), &p, out, &n), 0);
	memcpy(bad, stun, sizeof(bad));
	bad[2] = 1; /* 256 bytes of attributes */
	assert_int_equal(sip_stream_keepalive(span_of(bad, sizeof(bad)), &p, out, &n), 0);
	bad[2] = 0;
	bad[3] = 3; /* not a multiple of four */
	assert_int_equal(sip_stream_keepalive(span_of(bad, sizeof(bad)), &p, out, &n), 0);
	memcpy(bad, stun, sizeof(bad));
	bad[4] = 0x22; /* no cookie */
	assert_int_equal(sip_stream_keepalive(span_of(bad, sizeof(bad)), &p, out, &n), 0);
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_keepalive_crlf),
		cmocka_unit_test(test_keepalive_stun_split),
		cmocka_unit_test(test_keepalive_stun_v6),
		cmocka_unit_test(test_keepalive_stun_refused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
