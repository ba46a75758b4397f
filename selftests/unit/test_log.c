/* selftests/unit/test_log.c -- lines as they reach stderr: form, level, rate limit, escaping and cutting of peer bytes. */
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

#include "user/log.h"

static char got[65536];

/* Run @fn with stderr in a file; what it wrote is in got[]. */
static void capture(void (*fn)(void))
{
	FILE *f = tmpfile();
	int keep = dup(STDERR_FILENO);
	size_t n;

	assert_non_null(f);
	dup2(fileno(f), STDERR_FILENO);
	fn();
	dup2(keep, STDERR_FILENO);
	close(keep);
	rewind(f);
	n = fread(got, 1, sizeof(got) - 1, f);
	got[n] = 0;
	fclose(f);
}

static void two_levels(void)
{
	log_event(LOG_L_WARN, "gate-refused", "stream=%x reason=%s", 31, "size");
	log_event(LOG_L_DEBUG, "unseen", "a=1");
	log_event(LOG_L_INFO, "bare", "%s", "");
}

static void test_log_form(void **state)
{
	(void)state;
	log_open("sallyport-test", LOG_L_INFO);
	capture(two_levels);
	assert_string_equal(got,
			    "sallyport-test: level=warn event=gate-refused stream=1f reason=size\n"
			    "sallyport-test: level=info event=bare\n");
}

static void test_log_journal_prefix(void **state)
{
	(void)state;
	setenv("JOURNAL_STREAM", "1:2", 1);
	log_open("sallyport-test", LOG_L_WARN);
	unsetenv("JOURNAL_STREAM");
	capture(two_levels);
	assert_string_equal(got, "<4>level=warn event=gate-refused stream=1f reason=size\n");
}

static void forged(void)
{
	log_event(LOG_L_ERROR, "forged", "a=%s", "x\nlevel=error event=lie");
}

static void test_log_one_line(void **state)
{
	(void)state;
	log_open("t", LOG_L_INFO);
	capture(forged);
	assert_string_equal(got, "t: level=error event=forged a=x?level=error event=lie\n");
}

static void flood(void)
{
	int i;

	for (i = 0; i < 500; i++)
		log_event(LOG_L_INFO, "flood", "i=%d", i);
}

static void once(void)
{
	log_event(LOG_L_INFO, "flood", "i=last");
}

static void test_log_rate(void **state)
{
	struct timespec second = {1, 10000000};
	unsigned lines = 0, suppressed = 0;
	const char *p;

	(void)state;
	log_open("t", LOG_L_INFO);
	capture(flood);
	for (p = got; (p = strchr(p, '\n')); p++)
		lines++;
	/* The flood may cross a second's edge once, then 40 lines and the count of the first part. */
	assert_true(lines == 20 || lines == 40);
	nanosleep(&second, NULL); /* the limit is a second's; there is no state to wait on */
	capture(once);
	p = strstr(got, "suppressed=");
	assert_non_null(p);
	assert_int_equal(sscanf(p, "suppressed=%u", &suppressed), 1);
	assert_true(suppressed <= 480 && suppressed > 0);
	assert_non_null(strstr(got, "i=last"));
}

static void test_log_esc_table(void **state)
{
	static const struct {
		struct span in;
		size_t n;
		const char *want;
	} t[] = {
		{SPAN("abc"), 64, "\"abc\""},
		{SPAN(""), 64, "\"\""},
		{SPAN("a\"b\\c\n\xff"), 64, "\"a\\x22b\\x5cc\\x0a\\xff\""},
		{SPAN("abcdefghij"), 13, "\"abcdefghij\""},
		{SPAN("abcdefghij"), 12, "\"abcdef...\""},
		{SPAN("abc\x01"), 10, "\"abc\\x01\""},
		{SPAN("abc\x01"), 9, "\"abc...\""},
		{SPAN("abc"), 3, ""},
	};
	char buf[64];
	size_t i;

	(void)state;
	for (i = 0; i < sizeof(t) / sizeof(t[0]); i++)
		assert_string_equal(log_esc(t[i].in, buf, t[i].n), t[i].want);
}

static void test_log_esc_never_overruns(void **state)
{
	uint8_t in[64];
	char buf[96];
	size_t n, len, i;

	(void)state;
	for (i = 0; i < sizeof(in); i++)
		in[i] = (uint8_t)(i * 7);
	for (n = 0; n < sizeof(buf); n++) {
		for (len = 0; len <= sizeof(in); len++) {
			memset(buf, 0x5a, sizeof(buf));
			log_esc(span_of(in, len), buf, n);
			if (n)
				assert_true(strlen(buf) < n);
			for (i = n; i < sizeof(buf); i++)
				assert_int_equal(buf[i], 0x5a);
		}
	}
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_log_form),      cmocka_unit_test(test_log_journal_prefix),
		cmocka_unit_test(test_log_one_line),  cmocka_unit_test(test_log_rate),
		cmocka_unit_test(test_log_esc_table), cmocka_unit_test(test_log_esc_never_overruns),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
