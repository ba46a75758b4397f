/* selftests/unit/test_base64.c -- base64.h and utf8.h: each form's one spelling, there and back, each kind of character. In: tables. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "user/base64.h"
#include "user/utf8.h"

static void test_base64_read(void **state)
{
	static const struct {
		const char *text;
		ssize_t strict, loose, url; /* bytes */
	} rows[] = {
		{"", 0, 0, 0},
		{"AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwd", 30, 30, 30},
		{"AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGw==", 28, 28, -1},
		{"AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGw", -1, 28, 28},
		{"AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGw=", -1, -1, -1},
		{"AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGx==", -1, -1, -1}, /* bits left over */
		{"AAE=", 2, 2, -1},
		{"AAF=", -1, -1, -1},
		{"AAEC-_QF", -1, -1, 6},
		{"AAEC+/QF", 6, 6, -1},
		{"AAEC+_QF", -1, -1, -1},
		{"A", -1, -1, -1},
		{"=", -1, -1, -1},
		{"==", -1, -1, -1},
		{"A===", -1, -1, -1},
		{"AA=A", -1, -1, -1},
		{"AA==AA==", -1, -1, -1},
		{"AA EC", -1, -1, -1},
		{"AAEC\n", -1, -1, -1},
	};
	uint8_t out[46];
	size_t i;

	(void)state;
	for (i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct span s = span_str(rows[i].text);
		const ssize_t got[] = {base64_read(s, BASE64, out, sizeof(out)),
				       base64_read(s, BASE64_LOOSE, out, sizeof(out)),
				       base64_read(s, BASE64URL, out, sizeof(out))};
		const ssize_t wanted[] = {rows[i].strict, rows[i].loose, rows[i].url};
		unsigned f;

		for (f = 0; f < 3; f++)
			if (got[f] != (wanted[f] < 0 ? -EBADMSG : wanted[f]))
				fail_msg("\"%s\", form %u: %zd, wanted %zd", rows[i].text, f,
					 got[f], wanted[f]);
	}
	assert_int_equal(base64_read(SPAN("AAECAwQF"), BASE64, out, 5), -EBADMSG);
	assert_int_equal(base64_read(SPAN("+/-_"), BASE64_ANY, out, 3), 3);
	assert_memory_equal(out, "\xfb\xff\xbf", 3);
}

static void test_base64_there_and_back(void **state)
{
	uint8_t in[64], out[64];
	char text[BASE64URL_CHARS(sizeof(in)) + 1];
	size_t n, i, chars;

	(void)state;
	for (n = 0; n <= sizeof(in); n++) {
		for (i = 0; i < n; i++)
			in[i] = (uint8_t)(i * 37 + n * 11);
		memset(text, '!', sizeof(text));
		chars = base64url_write(in, n, text);
		assert_int_equal(chars, BASE64URL_CHARS(n));
		assert_int_equal(text[chars], '!');
		assert_int_equal(base64_read(span_of(text, chars), BASE64URL, out, sizeof(out)), n);
		assert_memory_equal(in, out, n);
		/* in place */
		assert_int_equal(base64_read(span_of(text, chars), BASE64URL, text, sizeof(text)),
				 n);
		assert_memory_equal(in, text, n);
	}
}

static void test_utf8_char(void **state)
{
	static const struct {
		const char *text;
		size_t n;
	} rows[] = {
		{"", 0},
		{"a", 1},
		{" ", 1},
		{"\x1f", 0},
		{"\x7f", 0},
		{"\xc2\x80", 0}, /* C1 */
		{"\xc2\x9f", 0},
		{"\xc2\xa0", 2},
		{"\xc3\xa4x", 2},
		{"\xc3", 0},
		{"\xc0\xaf", 0}, /* overlong '/' */
		{"\xe0\x80\xaf", 0},
		{"\xe0\xa0\x80", 3},
		{"\xed\x9f\xbf", 3},
		{"\xed\xa0\x80", 0}, /* a surrogate */
		{"\xef\xbf\xbd", 3},
		{"\xf0\x9f\x98\x80", 4},
		{"\xf0\x8f\xbf\xbf", 0},
		{"\xf4\x8f\xbf\xbf", 4},
		{"\xf4\x90\x80\x80", 0},
		{"\xf5\x80\x80\x80", 0},
		{"\x80", 0},
		{"\xe2\x82", 0},
	};
	size_t i;

	(void)state;
	for (i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
		if (utf8_char(span_str(rows[i].text)) != rows[i].n)
			fail_msg("row %zu: %zu, wanted %zu", i, utf8_char(span_str(rows[i].text)),
				 rows[i].n);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_base64_read),
		cmocka_unit_test(test_base64_there_and_back),
		cmocka_unit_test(test_utf8_char),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
