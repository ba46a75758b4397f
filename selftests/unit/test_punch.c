/* selftests/unit/test_punch.c -- the punch datagram: what is built verifies, and nothing that differs in one bit does. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <cmocka.h>

#include "user/punch.h"

static const uint8_t key[PUNCH_KEY_LEN] = "0123456789abcdefghi";
static const uint8_t transaction[12] = "transaction";
static const struct punch sample = {.flow = 0x0123456789abcdefULL,
				    .counter = 0xfedcba9876543210ULL};

static void test_punch_roundtrip(void **state)
{
	/* RFC 5389 section 6: type 1, length, magic cookie */
	static const uint8_t head[8] = {0, 1, 0, 48, 0x21, 0x12, 0xa4, 0x42};
	uint8_t buf[PUNCH_MAX];
	struct punch p;
	size_t n = punch_build(&sample, key, transaction, buf);

	(void)state;
	assert_int_equal(n, 68);
	assert_memory_equal(buf, head, 8);
	assert_memory_equal(buf + 8, transaction, 12);
	assert_int_equal(punch_parse(span_of(buf, n), &p), 0);
	assert_int_equal(p.flow, sample.flow);
	assert_int_equal(p.counter, sample.counter);
	assert_int_equal(punch_verify(span_of(buf, n), key), 0);
}

static void test_punch_every_bit(void **state)
{
	uint8_t buf[PUNCH_MAX], wrong[PUNCH_KEY_LEN];
	size_t n = punch_build(&sample, key, transaction, buf), i;

	(void)state;
	for (i = 0; i < n * 8; i++) {
		buf[i / 8] ^= (uint8_t)(1 << i % 8);
		assert_int_equal(punch_verify(span_of(buf, n), key), -EKEYREJECTED);
		buf[i / 8] ^= (uint8_t)(1 << i % 8);
	}
	for (i = 0; i < PUNCH_KEY_LEN * 8; i++) {
		memcpy(wrong, key, sizeof(wrong));
		wrong[i / 8] ^= (uint8_t)(1 << i % 8);
		assert_int_equal(punch_verify(span_of(buf, n), wrong), -EKEYREJECTED);
	}
	assert_int_equal(punch_verify(span_of(buf, n), key), 0);
}

static void test_punch_every_length(void **state)
{
	uint8_t buf[PUNCH_MAX] = {}, *cut;
	size_t n = punch_build(&sample, key, transaction, buf), i;
	struct punch p;

	(void)state;
	for (i = 0; i <= sizeof(buf); i++) {
		if (i == n)
			continue;
		cut = malloc(i ? i : 1);
		assert_non_null(cut);
		memcpy(cut, buf, i);
		assert_int_equal(punch_parse(span_of(cut, i), &p), -EBADMSG);
		assert_int_equal(punch_verify(span_of(cut, i), key), -EKEYREJECTED);
		free(cut);
	}
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_punch_roundtrip),
		cmocka_unit_test(test_punch_every_bit),
		cmocka_unit_test(test_punch_every_length),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
