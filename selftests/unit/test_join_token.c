/* selftests/unit/test_join_token.c -- the token of a join: its text and back, mistyped ones, what the proof depends on. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdio.h>
#include <string.h>

#include "tools/join_token.h"

static struct join_token sample(const char *address, const char *core)
{
	struct join_token t = {.expires = 1793400000};
	unsigned i;

	for (i = 0; i < JOIN_HASH; i++)
		t.pin[i] = (uint8_t)(i * 7 + 1);
	for (i = 0; i < JOIN_SECRET; i++)
		t.secret[i] = (uint8_t)(255 - i);
	snprintf(t.address, sizeof(t.address), "%s", address);
	snprintf(t.core, sizeof(t.core), "%s", core);
	return t;
}

static void test_join_token_round_trip(void **state)
{
	static const char *const cases[][2] = {
		{"192.0.2.10:7001", "core.example.com"},
		{"[2001:db8::10]:7001", "c"},
		{"1.2.3.4:1", "core-with-a-longer-name.site-7.example.org"},
	};
	char text[JOIN_TOKEN_MAX], padded[JOIN_TOKEN_MAX + 8], name[JOIN_NAME_MAX];
	struct join_token t, back;
	const char *why;
	unsigned i;

	(void)state;
	for (i = 0; i < 3; i++) {
		t = sample(cases[i][0], cases[i][1]);
		assert_int_equal(join_token_write(&t, text), 0);
		snprintf(padded, sizeof(padded), " \n%s\r\n", text);
		memset(&back, 0, sizeof(back));
		assert_int_equal(join_token_read(padded, &back, &why), 0);
		assert_memory_equal(&back, &t, sizeof(t));
	}
	/* Names of every length: the check has one of three lengths. */
	for (i = 1; i < JOIN_NAME_MAX; i++) {
		memset(name, 'a', i);
		name[i] = 0;
		t = sample("192.0.2.10:7001", name);
		assert_int_equal(join_token_write(&t, text), 0);
		assert_int_equal(join_token_read(text, &back, &why), 0);
		assert_string_equal(back.core, name);
	}
	t = sample("192.0.2.10:7001", "");
	assert_int_equal(join_token_write(&t, text), -EINVAL);
}

/* Any character changed, left out or added: told, and nothing read. */
static void test_join_token_mistyped(void **state)
{
	struct join_token t = sample("192.0.2.10:7001", "core.example.com"), back;
	char text[JOIN_TOKEN_MAX], bad[JOIN_TOKEN_MAX + 1];
	const char *why;
	size_t n, i;

	(void)state;
	assert_int_equal(join_token_write(&t, text), 0);
	n = strlen(text);
	memset(&back, 0x5a, sizeof(back));
	for (i = 0; i < n; i++) {
		strcpy(bad, text);
		bad[i] = bad[i] == 'A' ? 'B' : 'A';
		assert_int_equal(join_token_read(bad, &back, &why), -EINVAL);
		memmove(bad + i, text + i + 1, n - i);
		assert_int_equal(join_token_read(bad, &back, &why), -EINVAL);
		snprintf(bad, sizeof(bad), "%.*s-%s", (int)i, text, text + i);
		assert_int_equal(join_token_read(bad, &back, &why), -EINVAL);
		snprintf(bad, sizeof(bad), "%.*s", (int)i, text);
		assert_int_equal(join_token_read(bad, &back, &why), -EINVAL);
	}
	snprintf(bad, sizeof(bad), "%.*s %s", 40, text, text + 40);
	assert_int_equal(join_token_read(bad, &back, &why), -EINVAL);
	assert_string_equal(why, "more than one word");
	assert_int_equal(join_token_read("", &back, &why), -EINVAL);
	memset(bad, 'A', sizeof(bad));
	memcpy(bad, text, 11);
	bad[sizeof(bad) - 1] = 0;
	assert_int_equal(join_token_read(bad, &back, &why), -EINVAL);
	for (i = 0; i < sizeof(back); i++)
		assert_int_equal(((uint8_t *)&back)[i], 0x5a);
}

static void test_join_token_no_port(void **state)
{
	static const char *const bad[] = {"192.0.2.10", "edge.example.com:7001", "192.0.2.10:0"};
	struct join_token t, back;
	char text[JOIN_TOKEN_MAX];
	const char *why;
	unsigned i;

	(void)state;
	for (i = 0; i < 3; i++) {
		t = sample(bad[i], "core.example.com");
		assert_int_equal(join_token_write(&t, text), 0);
		assert_int_equal(join_token_read(text, &back, &why), -EINVAL);
	}
}

static void test_join_token_proof(void **state)
{
	struct join_token t = sample("192.0.2.10:7001", "core.example.com");
	uint8_t exporter[JOIN_HASH] = {1}, a[JOIN_HASH], b[JOIN_HASH];
	char id[JOIN_ID_MAX], other[JOIN_ID_MAX];

	(void)state;
	join_proof(t.secret, exporter, SPAN("request"), a);
	join_proof(t.secret, exporter, SPAN("request"), b);
	assert_memory_equal(a, b, JOIN_HASH);
	join_proof(t.secret, exporter, SPAN("requesT"), b);
	assert_memory_not_equal(a, b, JOIN_HASH);
	exporter[0] = 2; /* another connection */
	join_proof(t.secret, exporter, SPAN("request"), b);
	assert_memory_not_equal(a, b, JOIN_HASH);
	exporter[0] = 1;
	join_token_id(t.secret, id);
	assert_int_equal(strlen(id), 16);
	t.secret[15] ^= 1;
	join_proof(t.secret, exporter, SPAN("request"), b);
	assert_memory_not_equal(a, b, JOIN_HASH);
	join_token_id(t.secret, other);
	assert_string_not_equal(id, other);
}

static void test_join_token_hex(void **state)
{
	uint8_t bytes[3] = {0, 0x9f, 0xff}, back[3];
	char text[7];

	(void)state;
	join_hex(bytes, 3, text);
	assert_string_equal(text, "009fff");
	assert_int_equal(join_unhex(text, back, 3), 0);
	assert_memory_equal(back, bytes, 3);
	assert_int_equal(join_unhex("009ff", back, 3), -EINVAL);
	assert_int_equal(join_unhex("009FFF", back, 3), -EINVAL);
	assert_int_equal(join_unhex("009ffg", back, 3), -EINVAL);
	assert_int_equal(join_unhex(NULL, back, 3), -EINVAL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_join_token_round_trip),
		cmocka_unit_test(test_join_token_mistyped),
		cmocka_unit_test(test_join_token_no_port),
		cmocka_unit_test(test_join_token_proof),
		cmocka_unit_test(test_join_token_hex),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
