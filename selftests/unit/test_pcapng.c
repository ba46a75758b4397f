/* A pcapng file block by block: lengths before and behind, options, padding, times; net/t_trace.sh has tshark read a real one. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "tools/pcapng.h"

struct block {
	uint32_t type, len;
	const uint8_t *body;
};

static uint32_t get32(const uint8_t *p)
{
	uint32_t v;

	memcpy(&v, p, 4);
	return v;
}

static uint16_t get16(const uint8_t *p)
{
	uint16_t v;

	memcpy(&v, p, 2);
	return v;
}

static struct block next(const uint8_t **at, const uint8_t *end)
{
	struct block b = {get32(*at), get32(*at + 4), *at + 8};

	assert_true(b.len >= 12 && b.len % 4 == 0 && *at + b.len <= end);
	assert_int_equal(get32(*at + b.len - 4), b.len);
	*at += b.len;
	return b;
}

/* The value of option @code behind the fixed part; *n its length. Checks that options end with the block. */
static const uint8_t *option(const struct block *b, size_t fixed, uint16_t code, uint16_t *n)
{
	const uint8_t *p = b->body + fixed, *end = b->body + b->len - 12, *found = NULL;

	while (p < end) {
		uint16_t c = get16(p), len = get16(p + 2);

		if (!c) {
			assert_int_equal(len, 0);
			assert_ptr_equal(p + 4, end);
			return found;
		}
		if (c == code && !found) {
			found = p + 4;
			*n = len;
		}
		p += 4 + ((len + 3) & ~3);
	}
	fail_msg("options without an end");
	return NULL;
}

static void test_blocks(void **state)
{
	uint8_t data[7] = {1, 2, 3, 4, 5, 6, 7};
	const uint64_t ns = 1700000000123456789ull;
	struct pcapng_packet p = {
		.interface = 1, .at_ns = ns, .len = 1400, .kept = 7, .out = true, .data = data};
	const uint8_t *at, *end, *o;
	char *bytes = NULL;
	struct block b;
	size_t size;
	uint16_t n;
	FILE *f = open_memstream(&bytes, &size);

	(void)state;
	pcapng_begin(f, "a test");
	pcapng_interface(f, PCAPNG_RAW, 2032, "rtp inside", "what it is");
	pcapng_interface(f, PCAPNG_ETHERNET, 2032, "x", "");
	pcapng_packet(f, &p);
	p.kept = 0;
	p.out = false;
	pcapng_packet(f, &p);
	pcapng_statistics(f, 1, ns, 2, 3);
	fclose(f);
	at = (const uint8_t *)bytes;
	end = at + size;

	b = next(&at, end);
	assert_int_equal(b.type, 0x0a0d0d0a);
	assert_int_equal(get32(b.body), 0x1a2b3c4d);
	assert_int_equal(get16(b.body + 4), 1);
	assert_int_equal(get16(b.body + 6), 0);
	o = option(&b, 16, 4, &n);
	assert_int_equal(n, 6);
	assert_memory_equal(o, "a test", 6);

	b = next(&at, end);
	assert_int_equal(b.type, 1);
	assert_int_equal(get16(b.body), 101);
	assert_int_equal(get32(b.body + 4), 2032);
	o = option(&b, 8, 2, &n);
	assert_int_equal(n, 10);
	assert_memory_equal(o, "rtp inside", 10);
	o = option(&b, 8, 9, &n);
	assert_int_equal(n, 1);
	assert_int_equal(*o, 9);
	b = next(&at, end);
	assert_int_equal(get16(b.body), 1);

	b = next(&at, end);
	assert_int_equal(b.type, 6);
	assert_int_equal(get32(b.body), 1);
	assert_true(((uint64_t)get32(b.body + 4) << 32 | get32(b.body + 8)) == ns);
	assert_int_equal(get32(b.body + 12), 7);
	assert_int_equal(get32(b.body + 16), 1400);
	assert_memory_equal(b.body + 20, data, 7);
	assert_int_equal(b.body[27], 0);
	o = option(&b, 28, 2, &n);
	assert_int_equal(get32(o), 2);
	b = next(&at, end);
	o = option(&b, 20, 2, &n);
	assert_int_equal(get32(o), 1);

	b = next(&at, end);
	assert_int_equal(b.type, 5);
	o = option(&b, 12, 4, &n);
	assert_int_equal(n, 8);
	assert_int_equal(o[0], 2);
	o = option(&b, 12, 5, &n);
	assert_int_equal(o[0], 3);
	assert_ptr_equal(at, end);
	free(bytes);
}

int main(void)
{
	const struct CMUnitTest tests[] = {cmocka_unit_test(test_blocks)};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
