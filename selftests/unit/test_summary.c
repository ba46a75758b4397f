/* selftests/unit/test_summary.c -- a node's report: what is taken of it, what is refused and why; reports that are kept; when walks are due.
 *
 * The reports here are those of a hostile edge: types, sizes, depth, names, keys twice. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "selftests/unit/certs.h"
#include "user/nodes.h"
#include "user/summary.h"
#include "user/wall.h"

#define WHO "\"name\":\"e.example\",\"role\":\"edge\""

static int take(const char *text, json_t **out, char why[SUMMARY_WHY_MAX])
{
	*out = NULL;
	return summary_take(span_str(text), "edge", "e.example", out, why);
}

static void test_summary_takes_known_keys(void **state)
{
	static const char *const same[] = {
		"{" WHO "}",
		"{" WHO ",\"version\":\"1.2\",\"uptime_s\":5,\"cpu_s\":1.5,\"memory_kib\":"
		"9007199254740992}",
		"{" WHO ",\"flows\":{\"xdp\":1,\"tc\":0},\"refusals\":{\"tls\":2,\"no-core\":1}}",
		"{" WHO ",\"certificates\":[{\"what\":\"sip\",\"name\":\"a "
		"b\",\"days_left\":-3,\"not_after\":0}],"
		"\"links\":[{\"peer\":\"c\",\"state\":\"up\"},{\"peer\":\"d\"}]}",
		"{" WHO ",\"drain\":{\"on\":true,\"since_s\":1},\"media\":{\"lost\":3,\"jitter_ms_"
		"max\":0.25}}",
	};
	char why[SUMMARY_WHY_MAX] = "";
	json_t *out, *in;
	size_t i;

	(void)state;
	for (i = 0; i < sizeof(same) / sizeof(same[0]); i++) {
		if (take(same[i], &out, why))
			fail_msg("%s: %s", same[i], why);
		in = json_loads(same[i], 0, NULL);
		assert_true(json_equal(in, out));
		json_decref(in);
		json_decref(out);
	}
	assert_int_equal(take("{" WHO
			      ",\"users\":[\"alice\"],\"calls\":{\"now\":1,\"who\":\"bob\"}}",
			      &out, why),
			 0);
	in = json_loads("{" WHO ",\"calls\":{\"now\":1}}", 0, NULL);
	assert_true(json_equal(in, out)); /* unknown keys are left out, at every level */
	json_decref(in);
	json_decref(out);
}

static void test_summary_refuses(void **state)
{
	static const struct {
		const char *text;
		int err;
		const char *why;
	} bad[] = {
		{"", -EBADMSG, "not JSON"},
		{"[]", -EBADMSG, "an object"},
		{"{" WHO "} x", -EBADMSG, "not JSON"},
		{"{\"name\":\"other\",\"role\":\"edge\"}", -EBADMSG, "those of the node"},
		{"{\"name\":\"e.example\",\"role\":\"core\"}", -EBADMSG, "those of the node"},
		{"{\"role\":\"edge\"}", -EBADMSG, "those of the node"},
		{"{" WHO ",\"name\":\"e.example\"}", -EBADMSG, "not JSON"}, /* twice */
		{"{" WHO ",\"uptime_s\":-1}", -EBADMSG, "uptime_s: wanted a count"},
		{"{" WHO ",\"uptime_s\":1.0}", -EBADMSG, "a count"},
		{"{" WHO ",\"uptime_s\":\"1\"}", -EBADMSG, "a count"},
		{"{" WHO ",\"uptime_s\":9007199254740993}", -EBADMSG, "a count"},
		{"{" WHO ",\"uptime_s\":99999999999999999999}", -EBADMSG, "not JSON"},
		{"{" WHO ",\"cpu_s\":1e300}", -EBADMSG, "a number"},
		{"{" WHO ",\"cpu_s\":true}", -EBADMSG, "a number"},
		{"{" WHO ",\"calls\":[]}", -EBADMSG, "an object"},
		{"{" WHO ",\"links\":{}}", -EBADMSG, "an array"},
		{"{" WHO ",\"links\":[1]}", -EBADMSG, "an object"},
		{"{" WHO ",\"links\":[{\"peer\":\"c\"},{\"peer\":\"c\"}]}", -EBADMSG,
		 "no row twice"},
		{"{" WHO ",\"links\":[{},{}]}", -EBADMSG, "no row twice"},
		{"{" WHO ",\"drain\":{\"on\":1}}", -EBADMSG, "true or false"},
		{"{" WHO ",\"version\":\"a\\nb\"}", -EBADMSG, "plain text"},
		{"{" WHO ",\"version\":\"\\u00e9\"}", -EBADMSG, "plain text"},
		{"{" WHO ",\"refusals\":{\"a\\u0001\":1}}", -EBADMSG, "plain characters"},
		{"{" WHO ",\"refusals\":{\"\":1}}", -EBADMSG, "plain characters"},
		{"{" WHO ",\"refusals\":{\"a\":\"1\"}}", -EBADMSG, "plain characters"},
		{"{" WHO ",\"links\":[{\"peer\":[1]}]}", -E2BIG, "3 levels"},
		{"{" WHO ",\"x\":\"\\\"[[[[\",\"y\":[[[[]]]]}", -E2BIG, "3 levels"},
	};
	char why[SUMMARY_WHY_MAX];
	json_t *out;
	size_t i;

	(void)state;
	for (i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		int err = take(bad[i].text, &out, why);

		if (err != bad[i].err || out || !strstr(why, bad[i].why))
			fail_msg("%s: %d %s", bad[i].text, err, why);
	}
	/* Brackets in a text are no levels. */
	assert_int_equal(take("{" WHO ",\"version\":\"[[[[[[\\\"{{{{{{\"}", &out, why), 0);
	json_decref(out);
}

static void test_summary_refuses_too_much(void **state)
{
	static char text[SUMMARY_MAX + 64];
	char why[SUMMARY_WHY_MAX];
	json_t *out;
	size_t n;
	unsigned i;

	(void)state;
	n = (size_t)snprintf(text, sizeof(text), "{" WHO ",\"x\":\"");
	memset(text + n, 'x', SUMMARY_MAX - n - 2);
	strcpy(text + SUMMARY_MAX - 2, "\"}");
	assert_int_equal(take(text, &out, why), 0); /* to the byte */
	json_decref(out);
	strcpy(text + SUMMARY_MAX - 2, "x\"}");
	assert_int_equal(take(text, &out, why), -E2BIG);

	n = (size_t)snprintf(text, sizeof(text), "{" WHO ",\"refusals\":{");
	for (i = 0; i < 65; i++)
		n += (size_t)snprintf(text + n, sizeof(text) - n, "%s\"r%u\":1", i ? "," : "", i);
	snprintf(text + n, sizeof(text) - n, "}}");
	assert_int_equal(take(text, &out, why), -EBADMSG);
	assert_non_null(strstr(why, "64 reasons"));

	n = (size_t)snprintf(text, sizeof(text), "{" WHO ",\"links\":[");
	for (i = 0; i < 65; i++)
		n += (size_t)snprintf(text + n, sizeof(text) - n, "%s{\"peer\":\"%u\"}",
				      i ? "," : "", i);
	snprintf(text + n, sizeof(text) - n, "]}");
	assert_int_equal(take(text, &out, why), -EBADMSG);
	assert_non_null(strstr(why, "64 rows"));
}

static void test_summary_walks_are_bounded(void **state)
{
	struct summary_walk w = {};

	(void)state;
	assert_true(summary_walk_due(&w, 5));
	w = (struct summary_walk){.at_ms = 1000, .n = 0};
	assert_true(summary_walk_due(&w, 1000)); /* nothing to walk over */
	w.n = 200;
	assert_false(summary_walk_due(&w, 1099));
	assert_true(summary_walk_due(&w, 1100));
	w.n = 10000;
	assert_false(summary_walk_due(&w, 5999));
	assert_true(summary_walk_due(&w, 6000));
}

/* The end of a certificate that was made for so long, as days and as seconds since 1970. Of two with one first name there is a row. */
static void test_summary_certificate(void **state)
{
	static struct cert ca, cert, second;
	struct tls_pair more;
	struct tls_params p = {.server = true, .more = &more, .n_more = 1};
	json_t *list = json_array(), *row;
	struct tls_ctx *c;
	char why[TLS_WHY_MAX];
	long long end;

	(void)state;
	cert_make_ca("a CA", &ca);
	cert_make(&ca, "x", "DNS:first.example,DNS:second.example", false, &cert);
	p.cert_pem = cert_pem(&cert);
	p.key_pem = cert_key(&cert);
	cert_make(&ca, "x", "DNS:first.example,DNS:third.example", false, &second);
	more = (struct tls_pair){.cert_pem = cert_pem(&second), .key_pem = cert_key(&second)};
	assert_int_equal(tls_ctx_new(&p, &c, why), 0);
	summary_certificate(list, "sip", c);
	summary_certificate(list, "https", NULL);
	assert_int_equal(json_array_size(list), 1);
	row = json_array_get(list, 0);
	assert_string_equal(json_string_value(json_object_get(row, "name")), "first.example");
	end = json_integer_value(json_object_get(row, "not_after"));
	assert_in_range(end - (long long)wall_now_s(), 1, 400LL * 86400);
	assert_int_equal(json_integer_value(json_object_get(row, "days_left")),
			 (end - (long long)wall_now_s()) / 86400);
	tls_ctx_free(c);
	json_decref(list);
}

/* ---- reports that are kept ---- */

static json_t *own(void *arg, bool zeros)
{
	(void)arg;
	return json_pack("{s:s, s:b}", "name", "me", "zeros", zeros);
}

static void no_peers(void *arg, void (*fn)(void *fn_arg, struct link_peer *p), void *fn_arg)
{
	(void)arg, (void)fn, (void)fn_arg;
}

static unsigned long long count(struct nodes *n, const char *key)
{
	json_t *j = nodes_counts(n);
	unsigned long long v = (unsigned long long)json_integer_value(json_object_get(j, key));

	json_decref(j);
	return v;
}

static void test_nodes_keep_the_last_report(void **state)
{
	struct loop_params lp = {.entries = 8, .ops_max = 8};
	struct nodes_params p = {.peer_role = "edge", .own = own, .each_peer = no_peers};
	struct nodes *n;
	json_t *all, *list, *row;
	uint64_t now;

	(void)state;
	assert_int_equal(loop_new(&lp, &p.loop), 0);
	assert_int_equal(nodes_new(&p, &n), 0);
	now = loop_now_again(p.loop);
	nodes_report(n, "e2", SPAN("{\"name\":\"e2\",\"role\":\"edge\",\"uptime_s\":1}"),
		     now - 20000);
	nodes_report(n, "e1", SPAN("{\"name\":\"e1\",\"role\":\"edge\",\"uptime_s\":2}"),
		     now - 3000);
	nodes_report(n, "e1", SPAN("{\"name\":\"e1\",\"role\":\"edge\",\"uptime_s\":3}"),
		     now - 2001);
	nodes_report(n, "e1", SPAN("{\"name\":\"e1\",\"role\":\"edge\",\"uptime_s\":4}"),
		     now - 1500);
	nodes_report(n, "e1", SPAN("{\"name\":\"e2\",\"role\":\"edge\"}"),
		     now); /* says that it is e2 */
	nodes_report(n, "e3", SPAN("{}"), now);
	nodes_report(n, "e3", SPAN("{}"), now + 999); /* a bad one counts as well */
	assert_int_equal(count(n, "taken"), 3);
	assert_int_equal(count(n, "too_early"), 2);
	assert_int_equal(count(n, "refused"), 2);

	all = nodes_show(n, true);
	list = json_object_get(all, "nodes");
	assert_int_equal(json_array_size(list), 3); /* nothing of e3 */
	row = json_array_get(list, 0);
	assert_true(json_is_true(json_object_get(row, "zeros")));
	assert_true(json_is_false(json_object_get(row, "stale")));
	row = json_array_get(list, 1);
	assert_string_equal(json_string_value(json_object_get(row, "name")), "e1");
	assert_int_equal(json_integer_value(json_object_get(row, "uptime_s")), 4);
	row = json_array_get(list, 2);
	assert_int_equal(json_integer_value(json_object_get(row, "age_ms")), 20000);
	assert_true(json_is_true(json_object_get(row, "stale")));
	json_decref(all);
	nodes_free(n);
	loop_free(p.loop);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_summary_takes_known_keys),
		cmocka_unit_test(test_summary_refuses),
		cmocka_unit_test(test_summary_refuses_too_much),
		cmocka_unit_test(test_summary_walks_are_bounded),
		cmocka_unit_test(test_summary_certificate),
		cmocka_unit_test(test_nodes_keep_the_last_report),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
