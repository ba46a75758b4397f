/* selftests/unit/test_sip_torture.c -- hard messages and what becomes of each: parser, gate, core and tools/parse say the same.
 *
 * In: selftests/data/sip/torture, a message a file, and its table VERDICTS. Written from the grammar of RFC 3261 section 25 on the themes
 * of RFC 4475 and RFC 5118. Out: a failure that names the file. */
#include <dirent.h>
#include <errno.h>
#include <unistd.h>

#include "selftests/unit/engine_kit.h"
#include "sip/keepalive.h"
#include "user/gate_sip.h"

#define DIR_NAME "selftests/data/sip/torture"
#define CASES	 1024
#define LEN(a)	 (sizeof(a) / sizeof((a)[0]))

struct torture {
	char file[80], reason[80], core[8]; /* reason: of a refusal, in the parser's words */
	bool datagram, accept;
	size_t consumed; /* of what is accepted */
	uint8_t *p;	 /* in a block of just its size, so that ASan sees a read behind it */
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

static void torture_line(const char *line)
{
	struct torture *t = &cases[n_cases];
	char how[16], verdict[16];

	assert_true(n_cases < CASES);
	if (sscanf(line, "%79[^\t]\t%15[^\t]\t%15[^\t]\t%79[^\t]\t%7[^\t]\t", t->file, how, verdict,
		   t->reason, t->core) != 5)
		fail_msg("VERDICTS: %s", line);
	t->datagram = strcmp(how, "datagram") == 0;
	t->accept = strcmp(verdict, "accept") == 0;
	t->consumed = t->accept ? strtoul(t->reason, NULL, 10) : 0;
	torture_read(t);
	n_cases++;
}

static int torture_load(void **state)
{
	FILE *f = fopen(DIR_NAME "/VERDICTS", "r");
	char line[512];

	(void)state;
	if (!f)
		return 0; /* not at the top of the tree: each test says so */
	while (fgets(line, sizeof(line), f))
		if (line[0] != '#')
			torture_line(line);
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
		files += strstr(d->d_name, ".sip") != NULL;
	closedir(dir);
	for (i = 0; i < n_cases; i++)
		accepted += cases[i].accept;
	assert_int_equal(files, n_cases);
	assert_true(accepted >= 100 && n_cases - accepted >= 100);
	print_message("%u messages, %u accepted, %u refused\n", n_cases, accepted,
		      n_cases - accepted);
}

static const char *torture_parse(const struct torture *t, struct sip_msg *m, ssize_t *n)
{
	enum sip_why why = SIP_OK;

	*n = sip_msg_parse(span_of(t->p, t->n), !t->datagram, SIP_MESSAGE_MAX, m, &why);
	return *n == -EAGAIN ? "incomplete" : sip_why_text(why);
}

static void test_torture_parser(void **state)
{
	struct sip_msg m;
	const char *why;
	unsigned i;
	ssize_t n;

	(void)state;
	torture_need();
	for (i = 0; i < n_cases; i++) {
		const struct torture *t = &cases[i];

		why = torture_parse(t, &m, &n);
		if (t->accept ? n != (ssize_t)t->consumed : n > 0 || strcmp(why, t->reason) != 0)
			fail_msg("%s: %zd, %s", t->file, n, why);
	}
}

static bool torture_served(void *arg, struct span domain)
{
	(void)arg, (void)domain;
	return true;
}

/* The edge's gate, from a stream that nobody knows yet. It must not see another message than the core will. */
static void torture_gate(const struct torture *t)
{
	static const struct gate_sip_config c = {.host = {(const uint8_t *)"edge.test", 9},
						 .message_max = SIP_MESSAGE_MAX,
						 .served = torture_served};
	static struct gate_out out;
	enum gate_verdict v;
	struct gate_sip g = {};
	size_t at = 0;

	assert_int_equal(addr_parse(SPAN("192.0.2.50:41000"), &g.client), 0);
	do { /* leading CRLFs are the gate's keepalives */
		v = gate_sip_next(&g, &c, span_of(t->p + at, t->n - at), &out);
		at += out.used;
	} while (v == GATE_REPLY && out.reason == GATE_OK);
	if (t->accept && (at != t->consumed || out.reason == GATE_MALFORMED ||
			  out.reason == GATE_TOO_LARGE || v == GATE_MORE))
		fail_msg("%s: the gate took %zu, %s", t->file, at, out.detail);
	if (t->accept)
		return;
	if (strcmp(t->reason, "incomplete") == 0)
		assert_int_equal(v, GATE_MORE);
	else if (v != GATE_CLOSE || strcmp(out.detail, t->reason) != 0)
		fail_msg("%s: the gate says %d, %s", t->file, v, out.detail);
}

static void test_torture_gate(void **state)
{
	unsigned i;

	(void)state;
	torture_need();
	for (i = 0; i < n_cases; i++)
		if (!cases[i].datagram)
			torture_gate(&cases[i]);
}

/* What the core makes of it: "fwd", or the status of its answer. */
static void torture_core(struct kit *k, const struct torture *t, char got[8])
{
	struct kit_msg *to;
	struct sip_msg m;
	ssize_t n;

	(void)torture_parse(t, &m, &n);
	assert_true(n > 0);
	engine_stream_recv(k->e, 1, &m, k->now);
	kit_drain(k);
	to = kit_to_inside(k);
	if (to) {
		if (!span_eq(to->m.method_text, m.method_text))
			fail_msg("%s: another method goes on: %s", t->file, to->text);
		(void)strcpy(got, "fwd");
		return;
	}
	do
		to = kit_to_client(k, 1);
	while (to && to->m.status == 100);
	assert_true(to && !to->m.request);
	(void)snprintf(got, 8, "%u", to->m.status);
}

static void test_torture_core(void **state)
{
	unsigned i;

	(void)state;
	torture_need();
	for (i = 0; i < n_cases; i++) {
		char got[8];
		struct kit *k;

		if (strcmp(cases[i].core, "-") == 0)
			continue;
		k = kit_new();
		k->c.message_max = SIP_MESSAGE_MAX;
		kit_restart(k);
		kit_stream(k, 1);
		kit_register(k, 1, "alice");
		torture_core(k, &cases[i], got);
		if (strcmp(got, cases[i].core) != 0)
			fail_msg("%s: the core says %s, not %s", cases[i].file, got, cases[i].core);
		engine_stream_closed(k->e, 1, k->now);
		kit_drain(k);
		kit_time(k, 8000000);
		kit_settled(k);
		kit_free(k);
	}
}

static void torture_tool(bool datagram)
{
	char line[512], want[512];
	unsigned i;
	FILE *f;

	f = popen(datagram ? "cd " DIR_NAME " && grep -P '\\tdatagram\\t' VERDICTS | cut -f1 | "
			     "xargs ../../../../tools/parse -d sip"
			   : "cd " DIR_NAME " && grep -P '\\tstream\\t' VERDICTS | cut -f1 | "
			     "xargs ../../../../tools/parse sip",
		  "r");
	assert_non_null(f);
	for (i = 0; i < n_cases; i++) {
		const struct torture *t = &cases[i];

		if (t->datagram != datagram)
			continue;
		(void)snprintf(want, sizeof(want), "%.79s: %s %.79s%s%zu\n", t->file,
			       t->accept ? "accept" : "refuse", t->accept ? "" : t->reason,
			       t->accept ? "consumed=" : " consumed=", t->consumed);
		assert_non_null(fgets(line, sizeof(line), f));
		assert_string_equal(line, want);
	}
	assert_int_equal(pclose(f), 0);
}

static void test_torture_tool(void **state)
{
	(void)state;
	torture_need();
	torture_tool(false);
	torture_tool(true);
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_torture_table), cmocka_unit_test(test_torture_parser),
		cmocka_unit_test(test_torture_gate),  cmocka_unit_test(test_torture_core),
		cmocka_unit_test(test_torture_tool),
	};

	return cmocka_run_group_tests(tests, torture_load, torture_free);
}
