/* Call records: lines reach the file whole and in order, a full disk waits, is counted and bounded, and what waits is written at the end;
 * what a line says. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include <fcntl.h>
#include <sys/mman.h>

#include "user/cdr.h"
#include "user/cdr_row.h"

struct rig {
	struct loop *loop;
	struct cdr *c;
	struct loop_timer stop;
};

static void stop(void *arg)
{
	loop_stop(((struct rig *)arg)->loop);
}

static void rig_up(struct rig *r, int fd)
{
	struct loop_params p = {.entries = 8, .ops_max = 8, .writes = true};

	*r = (struct rig){.stop = {.fn = stop, .arg = r}};
	if (loop_new(&p, &r->loop))
		skip();
	assert_int_equal(cdr_new(r->loop, fd, &r->c), 0);
}

static void run(struct rig *r, unsigned ms)
{
	loop_timer_set(r->loop, &r->stop, ms);
	assert_int_equal(loop_run(r->loop), 0);
}

static json_int_t count(const struct rig *r, const char *key)
{
	json_t *j = cdr_show(r->c);
	json_int_t v = json_integer_value(json_object_get(j, key));

	json_decref(j);
	return v;
}

/* Until nothing waits, however busy the machine is. */
static void run_dry(struct rig *r)
{
	unsigned i;

	for (i = 0; i < 500 && count(r, "waiting_bytes") > 0; i++)
		run(r, 20);
	assert_int_equal(count(r, "waiting_bytes"), 0);
}

static void put(struct rig *r, int i)
{
	cdr_put(r->c, json_pack("{s:i, s:s}", "n", i, "text", "\xc3\xa9\n"));
}

static void check_lines(int fd, int n)
{
	FILE *f = fdopen(dup(fd), "r");
	char line[256];
	json_t *j;
	int i;

	assert_non_null(f);
	rewind(f);
	for (i = 0; i < n; i++) {
		assert_non_null(fgets(line, sizeof(line), f));
		j = json_loads(line, 0, NULL);
		assert_int_equal(json_integer_value(json_object_get(j, "n")), i);
		json_decref(j);
	}
	assert_null(fgets(line, sizeof(line), f));
	fclose(f);
}

static void test_lines(void **state)
{
	int fd = memfd_create("cdr", 0), i;
	struct rig r;

	(void)state;
	rig_up(&r, fd);
	for (i = 0; i < 100; i++) {
		put(&r, i);
		if (i % 10 == 9)
			run(&r, 1);
	}
	run_dry(&r);
	check_lines(fd, 100);
	assert_int_equal(count(&r, "lines"), 100);
	assert_int_equal(count(&r, "waiting_bytes"), 0);
	put(&r, 100); /* under way, and behind it, when the worker hands over */
	put(&r, 101);
	cdr_free(r.c);
	check_lines(fd, 102);
	loop_free(r.loop);
	close(fd);
}

static void test_full_disk(void **state)
{
	int full = open("/dev/full", O_WRONLY), back, i;
	struct rig r;

	(void)state;
	rig_up(&r, full);
	put(&r, 0);
	for (i = 0; i < 500 && count(&r, "errors") == 0; i++)
		run(&r, 20);
	assert_true(count(&r, "errors") >= 1);
	assert_true(count(&r, "waiting_bytes") > 0);
	for (i = 1; i < 60000; i++)
		put(&r, i);
	assert_true(count(&r, "waiting_bytes") <= CDR_QUEUE + 100);
	assert_true(count(&r, "lost") > 0);
	assert_int_equal(count(&r, "lost") + count(&r, "lines"), 60000);
	back = memfd_create("cdr", 0); /* somebody made room: the same descriptor */
	assert_int_equal(dup2(back, full), full);
	run_dry(&r);
	check_lines(back, (int)count(&r, "lines"));
	cdr_free(r.c);
	loop_free(r.loop);
	close(full);
	close(back);
}

static void test_off(void **state)
{
	struct cdr *c = (struct cdr *)1;
	json_t *j;

	(void)state;
	assert_int_equal(cdr_new(NULL, -1, &c), 0);
	assert_null(c);
	cdr_put(c, json_object());
	j = cdr_show(c);
	assert_true(json_is_null(j));
	json_decref(j);
	cdr_free(c);
}

static const char *text(const json_t *row, const char *key)
{
	const char *s = json_string_value(json_object_get(row, key));

	return s ? s : "none";
}

static struct engine_action ended(const char *reason, bool outbound, uint64_t answered_ms)
{
	struct engine_action a = {.kind = ENGINE_CALL, .id = 0xc1};

	a.call = (struct engine_call_event){.what = ENGINE_CALL_ENDED,
					    .outbound = outbound,
					    .started_ms = 1000,
					    .answered_ms = answered_ms,
					    .user = "sip:alice@example.com",
					    .from = "\"\xff\" <sip:alice@example.com>;tag=1",
					    .to = "<sip:bob@example.com>",
					    .call_id = "x1"};
	snprintf(a.text, sizeof(a.text), "%s", reason);
	return a;
}

static void test_row(void **state)
{
	json_t *flows = json_pack("[{s:s, s:i, s:s, s:s}]", "flow", "f1", "packets_in", 7,
				  "open_suite", "AES_CM_128_HMAC_SHA1_80", "client", "192.0.2.1:9");
	struct engine_action a = ended("bye-inside", true, 3500);
	json_t *r = cdr_row(&a, "hq", "edge1", 65250, 1700000065250, flows), *m;

	(void)state;
	assert_string_equal(text(r, "call"), "c1");
	assert_string_equal(text(r, "start"), "2023-11-14T22:13:21.000Z");
	assert_string_equal(text(r, "answer"), "2023-11-14T22:13:23.500Z");
	assert_string_equal(text(r, "end"), "2023-11-14T22:14:25.250Z");
	assert_int_equal(json_integer_value(json_object_get(r, "duration_ms")), 61750);
	assert_string_equal(text(r, "ended_by"), "inside");
	assert_int_equal(json_integer_value(json_object_get(r, "code")), 200);
	assert_string_equal(text(r, "from"), "\"?\" <sip:alice@example.com>;tag=1");
	m = json_array_get(json_object_get(r, "media"), 0);
	assert_int_equal(json_integer_value(json_object_get(m, "packets_in")), 7);
	assert_null(json_object_get(m, "client"));
	json_decref(r);
	json_decref(flows);
}

static void test_who_ended_it(void **state)
{
	static const struct {
		const char *reason;
		bool outbound;
		uint64_t answered;
		const char *by;
		int code; /* 0: null */
	} cases[] = {
		{"bye-client", false, 2000, "client", 200}, {"silence", true, 2000, "core", 200},
		{"status-486", true, 0, "inside", 486},	    {"status-486", false, 0, "client", 486},
		{"status-487", true, 0, "client", 487},	    {"status-487", false, 0, "inside", 487},
		{"plain-rtp", true, 0, "core", 0},
	};
	struct engine_action a;
	json_t *r;
	size_t i;

	(void)state;
	for (i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		a = ended(cases[i].reason, cases[i].outbound, cases[i].answered);
		r = cdr_row(&a, "hq", NULL, 5000, 1700000000000, NULL);
		assert_string_equal(text(r, "ended_by"), cases[i].by);
		assert_int_equal(json_integer_value(json_object_get(r, "code")), cases[i].code);
		assert_null(json_object_get(r, "edge"));
		assert_true(cases[i].answered || json_is_null(json_object_get(r, "answer")));
		json_decref(r);
	}
	a = ended("status-407", true, 0);
	assert_null(cdr_row(&a, "hq", NULL, 5000, 1700000000000, NULL));
	a = ended("bye-client", true, 2000);
	a.call.what = ENGINE_CALL_ANSWERED;
	assert_null(cdr_row(&a, "hq", NULL, 5000, 1700000000000, NULL));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_lines),	     cmocka_unit_test(test_full_disk),
		cmocka_unit_test(test_off),	     cmocka_unit_test(test_row),
		cmocka_unit_test(test_who_ended_it),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
