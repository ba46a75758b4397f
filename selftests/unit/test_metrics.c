/* selftests/unit/test_metrics.c -- the metrics writer: forms, paths, labels and their escaping, and the rules that names keep.
 *
 * Documents made by hand go in; whole lines are wanted. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <ctype.h>
#include <stdlib.h>
#include <string.h>

#include "user/metrics.h"

static const char nodes_text[] =
	"{\"nodes\":[{\"name\":\"e\",\"role\":\"edge\",\"version\":\"1\",\"age_ms\":0,\"media\":{"
	"\"packets_in\":7,\"packets_out\":8},"
	"\"refusals\":{\"tls\":0,\"a\\\"b\\\\c\\nd\":2},\"memory_kib\":3,\"cpu_s\":0.25,"
	"\"links\":[{\"peer\":\"c1\",\"state\":\"up\",\"up_s\":4},{\"peer\":\"c2\",\"state\":"
	"\"down\"}]},"
	"{\"name\":\"c1\",\"role\":\"core\",\"age_ms\":1500,\"cpu_s\":12345.678,\"refusals\":{"
	"\"tls\":1}}]}";
static const char status_text[] =
	"{\"name\":\"e\",\"dials\":{\"on\":true,\"open\":3,\"dns\":4},"
	"\"streams\":{\"services\":{\"sip\":{\"opened\":9},\"https\":{\"opened\":0}}},"
	"\"call_servers\":[{\"call_server\":\"k\",\"address\":\"x\",\"targets\":[{\"address\":\"10."
	"0.0.1:5060\",\"state\":\"not heard yet\"},"
	"{\"address\":\"10.0.0.2:5060\",\"state\":\"down\"}]}]}";

static char *text_of(bool open, const char *role, size_t *n)
{
	json_t *nodes = json_loads(nodes_text, 0, NULL), *status = json_loads(status_text, 0, NULL);
	char *text;

	assert_non_null(status);
	json_object_set_new(status, "role", json_string(role));

	assert_non_null(nodes);
	text = metrics_text(nodes, status, open, n);
	json_decref(nodes);
	json_decref(status);
	assert_non_null(text);
	return text;
}

static void wants(const char *text, const char *lines)
{
	if (!strstr(text, lines))
		fail_msg("not there: %s", lines);
}

static void test_metrics_openmetrics(void **state)
{
	size_t n;
	char *text = text_of(true, "edge", &n);

	(void)state;
	assert_int_equal(strlen(text), n);
	wants(text, "# TYPE sallyport_build info\n# HELP sallyport_build ");
	wants(text, "\nsallyport_build_info{node=\"e\",role=\"edge\",version=\"1\"} 1\n"
		    "sallyport_build_info{node=\"c1\",role=\"core\",version=\"\"} 1\n");
	wants(text,
	      "# TYPE sallyport_media_packets counter\n# UNIT sallyport_media_packets packets\n");
	wants(text, "\nsallyport_media_packets_total{node=\"e\",direction=\"in\"} 7\n"
		    "sallyport_media_packets_total{node=\"e\",direction=\"out\"} 8\n");
	wants(text, "sallyport_refusals_total{node=\"e\",reason=\"tls\"} 0\n"
		    "sallyport_refusals_total{node=\"e\",reason=\"a\\\"b\\\\c\\nd\"} 2\n"
		    "sallyport_refusals_total{node=\"c1\",reason=\"tls\"} 1\n");
	wants(text, "sallyport_report_age_seconds{node=\"c1\"} 1.5\n");
	wants(text, "sallyport_memory_bytes{node=\"e\"} 3072\n");
	wants(text, "sallyport_cpu_seconds_total{node=\"c1\"} 12345.678\n");
	wants(text, "sallyport_link_up{node=\"e\",peer=\"c1\"} "
		    "1\nsallyport_link_up{node=\"e\",peer=\"c2\"} 0\n");
	wants(text, "sallyport_link_uptime_seconds{node=\"e\",peer=\"c1\"} 4\n#");
	/* of the status: a bool and what is told otherwise are no counters; the innermost row that has the key */
	wants(text, "\nsallyport_dials_total{node=\"e\",result=\"dns\"} 4\n#");
	assert_null(strstr(text, "result=\"o"));
	wants(text, "sallyport_streams_opened_total{node=\"e\",service=\"sip\"} 9\n");
	assert_null(strstr(text, "call_server"));    /* a core's */
	assert_null(strstr(text, "sallyport_bans")); /* no sample, no family */
	assert_string_equal(text + n - 6, "# EOF\n");
	free(text);
}

/* What an edge calls so is another thing. */
static void test_metrics_of_a_core(void **state)
{
	size_t n;
	char *text = text_of(true, "core", &n);

	(void)state;
	wants(text,
	      "sallyport_call_server_up{node=\"e\",call_server=\"k\",target=\"10.0.0.1:5060\"} 1\n"
	      "sallyport_call_server_up{node=\"e\",call_server=\"k\",target=\"10.0.0.2:5060\"} "
	      "0\n");
	assert_null(strstr(text, "sallyport_dials"));
	free(text);
}

static void test_metrics_text_0_0_4(void **state)
{
	size_t n;
	char *text = text_of(false, "edge", &n);

	(void)state;
	wants(text, "# TYPE sallyport_build_info gauge\n# HELP sallyport_build_info ");
	wants(text, "# TYPE sallyport_media_packets_total counter\n# HELP "
		    "sallyport_media_packets_total ");
	wants(text, "sallyport_refusals_total{node=\"e\",reason=\"a\\\"b\\\\c\\nd\"} 2\n");
	assert_null(strstr(text, "# UNIT"));
	assert_null(strstr(text, "EOF"));
	free(text);
}

static void test_metrics_long_label(void **state)
{
	char name[320] = "";
	json_t *nodes, *status = json_pack("{s:s}", "name", "e");
	char *text;
	size_t n;
	unsigned i;

	(void)state;
	for (i = 0; i < 100; i++)
		strcat(name, "\xe2\x82\xac"); /* 3 bytes each: 128 is within one */
	nodes = json_pack("{s:[{s:s, s:{s:i}}]}", "nodes", "name", "e", "refusals", name, 1);
	assert_non_null(nodes);
	text = metrics_text(nodes, status, true, &n);
	name[126] = 0;
	assert_non_null(strstr(text, name));
	assert_non_null(strstr(strstr(text, name), "\xac\"} 1\n"));
	free(text);
	json_decref(nodes);
	json_decref(status);
}

static bool name_ok(const char *s)
{
	for (; *s; s++)
		if (!islower((unsigned char)*s) && !isdigit((unsigned char)*s) && *s != '_')
			return false;
	return true;
}

/* Names and units as OpenMetrics wants them; families whole and once. */
static void test_metrics_table(void **state)
{
	unsigned i, k;

	(void)state;
	for (i = 0; i < metrics_table_n; i++) {
		const struct metric *m = &metrics_table[i];
		size_t n = strlen(m->name), unit = strlen(m->unit);

		if (!m->help) {
			assert_true(i > 0);
			continue;
		}
		if (strncmp(m->name, "sallyport_", 10) || !name_ok(m->name))
			fail_msg("%s: a name", m->name);
		if (unit && (n <= unit + 1 || strcmp(m->name + n - unit, m->unit) ||
			     m->name[n - unit - 1] != '_'))
			fail_msg("%s: does not end with its unit %s", m->name, m->unit);
		if (n > 6 && !strcmp(m->name + n - 6, "_total"))
			fail_msg("%s: the writer adds _total", m->name);
		if (strchr(m->help, '|') || m->help[strlen(m->help) - 1] == '.')
			fail_msg("%s: its help", m->name);
		for (k = 0; k < i; k++)
			if (!strcmp(metrics_table[k].name, m->name))
				fail_msg("%s: twice", m->name);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_metrics_openmetrics),
		cmocka_unit_test(test_metrics_of_a_core),
		cmocka_unit_test(test_metrics_text_0_0_4),
		cmocka_unit_test(test_metrics_long_label),
		cmocka_unit_test(test_metrics_table),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
