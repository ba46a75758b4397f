/* selftests/unit/test_token.c -- tokens: round trip, every changed character refused, other cores and keys refused.
 * In: ids, text. Out: verdicts. */
#include "selftests/unit/engine_kit.h"

#include <errno.h>

#include "sip/token.h"

static void test_token_round_trip(void **state)
{
	static const struct token rows[] = {
		{TOKEN_PATH, 1, 0},
		{TOKEN_PATH, UINT64_MAX, 0},
		{TOKEN_CALL, 0x0123456789abcdef, 0xfedcba9876543210},
		{TOKEN_BRANCH, 42, 0},
	};
	struct kit *k = kit_new();
	char text[TOKEN_TEXT_MAX];
	struct token t;
	size_t i, c;

	(void)state;
	for (i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		assert_ptr_equal(token_make(k->e, &rows[i], text), text);
		for (c = 0; text[c]; c++)
			assert_non_null(strchr(
				"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_",
				text[c]));
		assert_int_equal(token_read(k->e, span_str(text), &t), 0);
		assert_int_equal(t.kind, rows[i].kind);
		assert_true(t.id == rows[i].id && t.binding == rows[i].binding);
	}
	kit_free(k);
}

static void test_token_forged(void **state)
{
	struct kit *k = kit_new();
	struct token t = {TOKEN_CALL, 77, 78}, out = {TOKEN_PATH, 5, 6};
	char text[TOKEN_TEXT_MAX], bad[TOKEN_TEXT_MAX + 4];
	size_t i, n;

	(void)state;
	token_make(k->e, &t, text);
	n = strlen(text);
	for (i = 0; i < n; i++) {
		strcpy(bad, text);
		bad[i] = bad[i] == 'A' ? 'B' : 'A';
		assert_int_equal(token_read(k->e, span_str(bad), &out), -EBADMSG);
		strcpy(bad, text);
		bad[i] ^= 0x20; /* the other case is another token */
		if (bad[i] != text[i])
			assert_int_not_equal(token_read(k->e, span_str(bad), &out), 0);
		assert_int_equal(token_read(k->e, span_of(text, i), &out), -EBADMSG);
	}
	strcpy(bad, text);
	strcat(bad, "A");
	assert_int_equal(token_read(k->e, span_str(bad), &out), -EBADMSG);
	assert_int_equal(token_read(k->e, SPAN(""), &out), -EBADMSG);
	assert_int_equal(out.kind, TOKEN_PATH); /* written only on success */
	kit_free(k);
}

static void test_token_other_core(void **state)
{
	struct kit *k = kit_new();
	struct token t = {TOKEN_PATH, 5, 0}, out;
	char text[TOKEN_TEXT_MAX];

	(void)state;
	token_make(k->e, &t, text);
	k->c.core_name = "core2";
	kit_restart(k);
	assert_int_equal(token_read(k->e, span_str(text), &out), -ENOENT);
	k->c.core_name = "core1";
	k->c.token_key = SPAN("fedcba9876543210fedcba9876543210");
	kit_restart(k);
	assert_int_equal(token_read(k->e, span_str(text), &out), -EBADMSG);
	k->c.token_key = SPAN("0123456789abcdef0123456789abcdef");
	kit_restart(k); /* a restart of the same core: old tokens hold */
	assert_int_equal(token_read(k->e, span_str(text), &out), 0);
	kit_free(k);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_token_round_trip),
		cmocka_unit_test(test_token_forged),
		cmocka_unit_test(test_token_other_core),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
