/* selftests/unit/test_page.c -- the embedded status page: found by path alone, whole, and self-contained. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "user/page.h"

static const struct {
	const char *path, *file, *type;
} known[] = {
	{"/", "user/page/status.html", "text/html; charset=utf-8"},
	{"/status.css", "user/page/status.css", "text/css; charset=utf-8"},
	{"/draw.js", "user/page/draw.js", "text/javascript; charset=utf-8"},
	{"/samples.js", "user/page/samples.js", "text/javascript; charset=utf-8"},
	{"/status.js", "user/page/status.js", "text/javascript; charset=utf-8"},
	{"/icon.svg", "user/page/icon.svg", "image/svg+xml"},
};
#define KNOWN (sizeof(known) / sizeof(known[0]))

static bool holds(struct span s, const char *text)
{
	return memmem(s.p, s.n, text, strlen(text)) != NULL;
}

static void test_page_files_are_whole(void **state)
{
	static uint8_t disk[1 << 18];
	const struct page_file *p;
	size_t i, k, n;
	FILE *f;

	(void)state;
	assert_int_equal(page_files_n, KNOWN);
	for (i = 0; i < KNOWN; i++) {
		p = page_find(span_str(known[i].path));
		assert_non_null(p);
		assert_string_equal(p->type, known[i].type);
		assert_int_equal(strlen(p->etag), 34);
		assert_true(p->etag[0] == '"' && p->etag[33] == '"');
		for (k = 0; k < page_files_n; k++)
			assert_true(&page_files[k] == p || strcmp(page_files[k].etag, p->etag));
		f = fopen(known[i].file, "rb");
		assert_non_null(f); /* run from the top of the tree */
		n = fread(disk, 1, sizeof(disk), f);
		fclose(f);
		assert_true(span_eq(p->body, span_of(disk, n)));
	}
}

static void test_page_other_paths(void **state)
{
	static const char *const no[] = {
		"",	   "//",	   "/index.html", "/status.html",
		"/status", "/status.css/", "/STATUS.CSS", "/../status.css"};
	size_t i;

	(void)state;
	for (i = 0; i < sizeof(no) / sizeof(no[0]); i++)
		assert_null(page_find(span_str(no[i])));
	assert_null(page_find(span_of("/status.css\0", 12)));
}

/* What the policy would refuse is not in it, and neither is a way for a peer's words to become markup. */
static void test_page_self_contained(void **state)
{
	static const char *const no[] = {
		"https://",  "style=\"",	   "onclick",	     "onload=", "innerHTML",
		"outerHTML", "insertAdjacentHTML", "document.write", "eval(",	"@import",
		"url("};
	const struct page_file *p;
	size_t i, k;

	(void)state;
	for (i = 0; i < KNOWN; i++) {
		p = page_find(span_str(known[i].path));
		for (k = 0; k < sizeof(no) / sizeof(no[0]); k++)
			assert_false(holds(p->body, no[k]));
	}
	p = page_find(span_str("/"));
	assert_false(holds(p->body, "<style"));
	assert_false(holds(p->body, "<script>"));
	assert_false(holds(p->body, "http:"));
	assert_true(holds(p->body, "<link rel=\"stylesheet\" href=\"status.css\">"));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_page_files_are_whole),
		cmocka_unit_test(test_page_other_paths),
		cmocka_unit_test(test_page_self_contained),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
