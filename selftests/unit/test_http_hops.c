/* selftests/unit/test_http_hops.c -- both hops read a stream of requests alike: the edge's gate, as it forwards, and the core's reading.
 *
 * In: the requests of selftests/data/http/torture, each with a path that leads to a relay, so that the gate passes it on. What the
 * gate forwards, and where it stops and why, is set against what http_kit.h (the calls of user/core_http_request.c) makes of the same
 * bytes. Out: a failure that names the file. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "selftests/unit/http_kit.h"
#include "user/gate_http.h"

#define DIR_NAME "selftests/data/http/torture"
#define RELAY	 "/ZXhhbXBsZS5jb20vaHR0cC9oLzgw" /* example.com/http/h/80 */
#define MOST	 (1u << 20)

static uint8_t text[MOST + sizeof(RELAY)];

static bool served(void *arg, struct span domain)
{
	(void)arg, (void)domain;
	return true;
}

static enum http_token_verdict token(void *arg, struct span domain, struct span t)
{
	(void)arg, (void)domain, (void)t;
	return TOKEN_OK;
}

/* The file with RELAY in front of its first path, where it has one. */
static size_t file_read(const char *name)
{
	char path[512];
	uint8_t *slash;
	size_t n;
	FILE *f;

	(void)snprintf(path, sizeof(path), DIR_NAME "/%s", name);
	f = fopen(path, "rb");
	assert_non_null(f);
	n = fread(text, 1, MOST, f);
	fclose(f);
	slash = memmem(text, n, " /", 2);
	if (!slash || memchr(text, ':', (size_t)(slash - text)))
		return n;
	slash++;
	memmove(slash + sizeof(RELAY) - 1, slash, n - (size_t)(slash - text));
	memcpy(slash, RELAY, sizeof(RELAY) - 1);
	return n + sizeof(RELAY) - 1;
}

/* What of @in the gate forwards; *why: of a refusal as malformed; *own: it refused for another reason, which is the gate's alone. */
static size_t gate_reads(struct span in, const char **why, bool *own)
{
	const struct gate_http_config c = {.limits = http_limits_default,
					   .requests_max = 1000,
					   .served = served,
					   .token = token,
					   .only_domain = SPAN("example.com")};
	struct gate_http g = {.forwarded = true}; /* somebody has logged on */
	static struct gate_out out;
	size_t n = 0;

	*why = NULL;
	*own = false;
	for (;;) {
		enum gate_verdict v = gate_http_next(&g, &c, span_cut(in, n, in.n), &out);

		if (v == GATE_FORWARD) {
			gate_http_sent(&g);
			n += out.used;
			continue;
		}
		if (v == GATE_CLOSE || v == GATE_REPLY) {
			*own = out.reason != GATE_MALFORMED && out.reason != GATE_TOO_LARGE;
			*why = *own ? NULL : out.detail;
		}
		return n;
	}
}

static void test_hops(void **state)
{
	static struct http_kit k;
	unsigned same = 0, refused = 0, own_way = 0;
	char line[1024];
	FILE *f = fopen(DIR_NAME "/VERDICTS", "r");

	(void)state;
	if (!f)
		skip();
	while (fgets(line, sizeof(line), f)) {
		char name[80], kind[32], want[200];
		const char *why;
		size_t n, passed;
		bool own;

		if (line[0] == '#' || sscanf(line, "%79[^\t]\t%31[^\t]", name, kind) != 2 ||
		    strcmp(kind, "request") != 0)
			continue;
		n = file_read(name);
		passed = gate_reads(span_of(text, n), &why, &own);
		http_kit_init(&k, true, HTTP_M_GET);
		http_kit_feed(&k, span_of(text, own ? passed : n));
		if (own) { /* what went on is whole and good */
			if (strstr(k.text, "refuse"))
				fail_msg("%s: forwarded, but the core says %s", name, k.text);
			own_way++;
			continue;
		}
		if (why)
			(void)snprintf(want, sizeof(want), "refuse %s ", why);
		if (why ? !strstr(k.text, want) : strstr(k.text, "refuse") != NULL)
			fail_msg("%s: the gate says %s, the core %s", name, why ? why : "go on",
				 k.text);
		same++;
		refused += why != NULL;
	}
	fclose(f);
	print_message("%u alike, %u of them refused; %u more refused by the gate alone\n", same,
		      refused, own_way);
	assert_true(same >= 150 && refused >= 100 && same - refused >= 20);
}

int main(void)
{
	static const struct CMUnitTest tests[] = {cmocka_unit_test(test_hops)};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
