/* selftests/unit/test_http_torture.c -- hard messages and what becomes of each, the same however they are cut, and in
 * tools/parse.
 *
 * In: selftests/data/http/torture, one direction of a connection a file, and its table VERDICTS (file, kind, verdicts).
 * Written from the grammar of RFC 9110 and 9112 and from published ways to smuggle requests. Out: a failure that names the
 * file. Two hops that run this code read different pieces of the same bytes, so equality over all cuts is what keeps them
 * together. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>
#include <cmocka.h>

#include "selftests/unit/http_kit.h"

#define DIR_NAME "selftests/data/http/torture"
#define CASES	 1024
#define CUTS	 24 /* random cuts a message */

struct torture {
	char file[80], kind[32], want[512];
	uint8_t *p; /* in a block of just its size, so that ASan sees a read behind it */
	size_t n;
};

static struct torture cases[CASES];
static unsigned n_cases;

static void torture_read(struct torture *t)
{
	char path[256];
	FILE *f;

	(void)snprintf(path, sizeof(path), DIR_NAME "/%s", t->file);
	f = fopen(path, "rb");
	if (!f)
		fail_msg("%s: %s", path, strerror(errno));
	assert_int_equal(fseek(f, 0, SEEK_END), 0);
	t->n = (size_t)ftell(f);
	rewind(f);
	t->p = malloc(t->n ? t->n : 1);
	assert_non_null(t->p);
	assert_int_equal(fread(t->p, 1, t->n, f), t->n);
	fclose(f);
}

static int torture_load(void **state)
{
	FILE *f = fopen(DIR_NAME "/VERDICTS", "r");
	char line[1024];

	(void)state;
	if (!f)
		return 0; /* not at the top of the tree: each test says so */
	while (fgets(line, sizeof(line), f)) {
		struct torture *t = &cases[n_cases];

		if (line[0] == '#')
			continue;
		assert_true(n_cases < CASES);
		if (sscanf(line, "%79[^\t]\t%31[^\t]\t%511[^\n]", t->file, t->kind, t->want) != 3)
			fail_msg("VERDICTS: %s", line);
		torture_read(t);
		n_cases++;
	}
	fclose(f);
	return 0;
}

static int torture_free(void **state)
{
	unsigned i;

	(void)state;
	for (i = 0; i < n_cases; i++)
		free(cases[i].p);
	return 0;
}

static void torture_need(void)
{
	if (!n_cases)
		skip();
}

static bool is_request(const struct torture *t)
{
	return strcmp(t->kind, "request") == 0;
}

/* "response", or "response:METHOD". */
static enum http_method asked(const struct torture *t)
{
	const char *m = strchr(t->kind, ':');

	return m ? http_method_from_text(span_str(m + 1)) : HTTP_M_GET;
}

static void kit_start(struct http_kit *k, const struct torture *t)
{
	http_kit_init(k, is_request(t), asked(t));
}

/* Every file is in the table, and there is enough of each kind. */
static void test_torture_table(void **state)
{
	unsigned files = 0, accepted = 0, i;
	const struct dirent *d;
	DIR *dir;

	(void)state;
	torture_need();
	dir = opendir(DIR_NAME);
	assert_non_null(dir);
	while ((d = readdir(dir)))
		files += strstr(d->d_name, ".http") != NULL;
	closedir(dir);
	for (i = 0; i < n_cases; i++)
		accepted += !strstr(cases[i].want, "refuse");
	assert_int_equal(files, n_cases);
	assert_true(accepted >= 75 && n_cases - accepted >= 150);
	print_message("%u messages, %u accepted, %u refused\n", n_cases, accepted,
		      n_cases - accepted);
}

static void test_torture_whole(void **state)
{
	static struct http_kit k;
	unsigned i;

	(void)state;
	torture_need();
	for (i = 0; i < n_cases; i++) {
		kit_start(&k, &cases[i]);
		http_kit_feed(&k, span_of(cases[i].p, cases[i].n));
		http_kit_end(&k);
		if (strcmp(k.text, cases[i].want) != 0)
			fail_msg("%s: %s\nwanted: %s", cases[i].file, k.detail, cases[i].want);
	}
}

static uint32_t torture_random(uint32_t *seed)
{
	*seed ^= *seed << 13;
	*seed ^= *seed >> 17;
	*seed ^= *seed << 5;
	return *seed;
}

/* Pieces of 1..@max bytes; @seed 0: all of @max bytes. Each in a block of its own size. */
static void torture_cut(const struct torture *t, size_t max, uint32_t seed, bool retry,
			const char *want)
{
	static struct http_kit k;
	size_t at = 0, n;

	kit_start(&k, t);
	k.retry = retry;
	while (at < t->n) {
		uint8_t *piece;

		n = seed ? 1 + torture_random(&seed) % max : max;
		n = n < t->n - at ? n : t->n - at;
		piece = malloc(n);
		assert_non_null(piece);
		memcpy(piece, t->p + at, n);
		http_kit_feed(&k, span_of(piece, n));
		free(piece);
		at += n;
	}
	http_kit_end(&k);
	if (strcmp(k.detail, want) != 0)
		fail_msg("%s in pieces of %zu, seed %u: %s\nas a whole: %s", t->file, max, seed,
			 k.detail, want);
}

static void test_torture_cuts(void **state)
{
	static struct http_kit whole;
	uint32_t seed = 2463534242u;
	unsigned i, j;

	(void)state;
	torture_need();
	for (i = 0; i < n_cases; i++) {
		const struct torture *t = &cases[i];
		/* A long head byte by byte costs its square without http_head_retry(). */
		bool small = t->n <= 2048;

		kit_start(&whole, t);
		http_kit_feed(&whole, span_of(t->p, t->n));
		http_kit_end(&whole);
		torture_cut(t, 1, 0, true, whole.detail);
		if (small)
			torture_cut(t, 1, 0, false, whole.detail);
		for (j = 0; j < CUTS; j++)
			torture_cut(t, 1 + torture_random(&seed) % (small ? 24 : t->n),
				    torture_random(&seed), j % 2, whole.detail);
	}
}

/* What is accepted stays so with other bytes behind it, and no part of a head is a verdict. */
static void test_torture_prefixes(void **state)
{
	static struct http_head h;
	struct http_refusal why;
	unsigned i;
	size_t n;

	(void)state;
	torture_need();
	for (i = 0; i < n_cases; i++) {
		const struct torture *t = &cases[i];
		struct span in = span_of(t->p, t->n);
		ssize_t (*parse)(struct span s, const struct http_limits *l, struct http_head *out,
				 struct http_refusal *w) =
			is_request(t) ? http_request_parse : http_response_parse;
		ssize_t whole = parse(in, &http_limits_default, &h, &why);

		for (n = 0; whole > 0 && n < (size_t)whole && n < 4096; n++)
			if (parse(span_cut(in, 0, n), &http_limits_default, &h, &why) != -EAGAIN)
				fail_msg("%s: a verdict after %zu of %zd bytes", t->file, n, whole);
	}
}

static const char *torture_file;

static void torture_rewrite(struct http_kit *k, const struct http_head *h, struct span whole)
{
	const char *bad = http_kit_rewrite(h);

	(void)k;
	if (bad)
		fail_msg("%s: written anew: %s", torture_file, bad);
	if (!http_kit_inside(h, whole))
		fail_msg("%s: a slice outside of the head", torture_file);
}

/* parse(write(x)) == x, of every head that was accepted. */
static void test_torture_rewrite(void **state)
{
	static struct http_kit k;
	unsigned i;

	(void)state;
	torture_need();
	for (i = 0; i < n_cases; i++) {
		torture_file = cases[i].file;
		kit_start(&k, &cases[i]);
		k.head = torture_rewrite;
		http_kit_feed(&k, span_of(cases[i].p, cases[i].n));
	}
}

/* A copy of a table line as tools/parse prints it: a line a message. */
static void torture_lines(const struct torture *t, FILE *f)
{
	char want[512], line[768], mine[768], *one = want, *next;
	unsigned n = 1;

	(void)strcpy(want, t->want);
	for (; one; one = next, n++) {
		next = strstr(one, " | ");
		if (next) {
			*next = 0;
			next += 3;
		}
		if (n == 1)
			(void)snprintf(mine, sizeof(mine), "%s: %s\n", t->file, one);
		else
			(void)snprintf(mine, sizeof(mine), "%s#%u: %s\n", t->file, n, one);
		assert_non_null(fgets(line, sizeof(line), f));
		assert_string_equal(line, mine);
	}
}

static void torture_tool(const char *kind, const char *args)
{
	char cmd[512];
	unsigned i;
	FILE *f;

	(void)snprintf(cmd, sizeof(cmd),
		       "cd " DIR_NAME " && grep -P '\\t%s\\t' VERDICTS | cut -f1 | "
		       "xargs ../../../../tools/parse %s",
		       kind, args);
	f = popen(cmd, "r");
	assert_non_null(f);
	for (i = 0; i < n_cases; i++)
		if (strcmp(cases[i].kind, kind) == 0)
			torture_lines(&cases[i], f);
	assert_int_equal(pclose(f), 0);
}

static void test_torture_tool(void **state)
{
	(void)state;
	torture_need();
	torture_tool("request", "http-request");
	torture_tool("response", "http-response");
	torture_tool("response:HEAD", "-m HEAD http-response");
	torture_tool("response:CONNECT", "-m CONNECT http-response");
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_torture_table), cmocka_unit_test(test_torture_whole),
		cmocka_unit_test(test_torture_cuts),  cmocka_unit_test(test_torture_prefixes),
		cmocka_unit_test(test_torture_tool),  cmocka_unit_test(test_torture_rewrite),
	};

	return cmocka_run_group_tests(tests, torture_load, torture_free);
}
