/* The trace: the ring, what a record of a SIP message says, whose is what, the time line of two nodes, rows of a stranger. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

#include <sys/mman.h>

#include "user/trace_query.h"
#include "user/trace_show.h"
#include "user/trace_sip.h"

#define ALICE "sip:alice@example.com"
#define BOB   "sip:bob@example.com"

struct seen {
	unsigned n;
	struct trace_record r[2048];
};

static void see(void *arg, const struct trace_record *r)
{
	struct seen *s = arg;

	assert_true(s->n < 2048);
	s->r[s->n++] = *r;
}

static struct seen *all(void)
{
	static struct seen s;

	s.n = 0;
	trace_each(see, &s);
	return &s;
}

static void mark(uint64_t id)
{
	trace_put(TRACE_STREAM_ADMITTED, &(struct trace_ids){.stream = id}, 0, "%s", "");
}

static void test_ring_overwrites(void **state)
{
	struct trace_stats st;
	struct seen *s;
	unsigned i;

	(void)state;
	assert_int_equal(trace_open(-1, TRACE_RECORDS_MIN - 1), -EINVAL);
	assert_int_equal(trace_open(-1, TRACE_RECORDS_MIN), 0);
	assert_int_equal(all()->n, 0);
	for (i = 1; i <= 1000; i++)
		mark(i);
	s = all();
	st = trace_stats();
	assert_int_equal(s->n, TRACE_RECORDS_MIN / 2);
	assert_int_equal(s->r[0].stream, 1001 - TRACE_RECORDS_MIN / 2);
	assert_int_equal(s->r[s->n - 1].stream, 1000);
	assert_int_equal(st.overwritten, 1000 - TRACE_RECORDS_MIN / 2);
	assert_int_equal(st.reaches_ms, s->r[0].at_ms);
	assert_int_equal(st.records, TRACE_RECORDS_MIN);
	trace_close();
	mark(1); /* nowhere */
	assert_int_equal(all()->n, 0);
}

static struct span sip(char *buf, size_t n, const char *start, const char *from, const char *to,
		       const char *id, const char *cseq)
{
	int len = snprintf(
		buf, n,
		"%s\r\nVia: SIP/2.0/TLS 192.0.2.1;branch=z9hG4bKx\r\nf: \"A <x> \\\" "
		"B\" <%s;transport=tls>;tag=1\r\nTo: %s\r\nCall-ID: %s\r\nCSeq: %s\r\n"
		"Authorization: Digest username=\"secret\"\r\nContent-Length: 4\r\n\r\nbody",
		start, from, to, id, cseq);

	return span_of(buf, (size_t)len);
}

/* What comes all the time has a ring of its own, and order is one over both. */
static void test_ring_classes(void **state)
{
	char buf[1024];
	struct span m = sip(buf, sizeof(buf), "REGISTER sip:example.com SIP/2.0", ALICE, ALICE,
			    "c1", "7 REGISTER");
	struct seen *s;
	unsigned i;

	(void)state;
	assert_int_equal(trace_open(-1, TRACE_RECORDS_MIN), 0);
	mark(77);
	for (i = 0; i < 1000; i++)
		trace_sip(TRACE_FROM_CLIENT, 5, NULL, m);
	mark(78);
	s = all();
	assert_int_equal(s->n, TRACE_RECORDS_MIN / 2 + 2);
	assert_int_equal(s->r[0].stream, 77);
	assert_int_equal(s->r[s->n - 1].stream, 78);
	assert_int_equal(s->r[1].user, trace_user(SPAN(ALICE)));
	trace_close();
}

static void test_kept_for_the_next_worker(void **state)
{
	int fd = memfd_create("trace", 0);
	struct trace_record *torn;
	struct seen *s;
	char *p;

	(void)state;
	assert_int_equal(ftruncate(fd, (off_t)trace_bytes(512)), 0);
	assert_int_equal(trace_open(fd, 512), 0);
	mark(1);
	mark(2);
	mark(3);
	p = mmap(NULL, trace_bytes(512), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	torn = (struct trace_record *)(p + 4096) + 1;
	assert_int_equal(torn->stream, 2);
	torn->what = TRACE_NONE; /* its worker died while it wrote */
	trace_close();
	assert_int_equal(trace_open(fd, 512), 0);
	mark(4);
	s = all();
	assert_int_equal(s->n, 3);
	assert_int_equal(s->r[1].stream, 3);
	assert_int_equal(s->r[2].stream, 4);
	assert_int_equal(trace_open(fd, 1024),
			 0); /* another number: memory of our own, not beyond the file's end */
	assert_int_equal(all()->n, 0);
	trace_close();
	munmap(p, trace_bytes(512));
	close(fd);
}

static void test_sip_fields(void **state)
{
	char buf[1024];
	struct trace_sip m;
	struct span in = sip(buf, sizeof(buf), "SIP/2.0 487 Request Terminated", ALICE,
			     "<sip:[2001:db8::1]>", "a b", "12 INVITE");

	(void)state;
	assert_true(trace_sip_scan(in, &m));
	assert_false(m.request);
	assert_int_equal(m.code, 487);
	assert_true(span_eq(m.method, SPAN("INVITE")));
	assert_true(span_eq(m.number, SPAN("12")));
	assert_true(span_eq(m.from, SPAN(ALICE)));
	assert_true(span_eq(m.call_id, SPAN("a b")));
	in = sip(buf, sizeof(buf), "\r\n\r\nBYE sip:x SIP/2.0", "sip:bob@[2001:db8::1]:5060",
		 "sip:bob@[2001:db8::1];tag=2", "c", "3 BYE");
	assert_true(trace_sip_scan(in, &m));
	assert_true(m.request);
	assert_true(span_eq(m.from, SPAN("sip:bob@[2001:db8::1]")));
	assert_true(span_eq(m.to, m.from));
	assert_false(trace_sip_scan(SPAN(""), &m));
	assert_false(trace_sip_scan(SPAN("\r\n\r\n"), &m));
	assert_false(trace_sip_scan(SPAN("OPTIONS x SIP/2.0\r\nFrom: a@b\r\n\r\n"), &m));
	assert_false(trace_sip_scan(SPAN("SIP/2.0 9"), &m));
}

static void test_users(void **state)
{
	uint64_t a = trace_user(SPAN(ALICE));

	(void)state;
	assert_int_not_equal(a, 0);
	assert_int_equal(a, trace_user(SPAN("alice@EXAMPLE.com")));
	assert_int_equal(a, trace_user(SPAN("sips:%61lice@example.com")));
	assert_int_not_equal(a, trace_user(SPAN("Alice@example.com")));
	assert_int_not_equal(a, trace_user(SPAN(BOB)));
	assert_int_equal(trace_user(SPAN("sip:example.com")), 0);
	assert_int_equal(trace_user(SPAN("")), 0);
}

static void put_sip(enum trace_way way, uint64_t stream, const char *start, const char *from,
		    const char *to, const char *id, const char *cseq)
{
	char buf[1024];

	trace_sip(way, stream, way == TRACE_FROM_CLIENT || way == TRACE_TO_CLIENT ? NULL : "hq",
		  sip(buf, sizeof(buf), start, from, to, id, cseq));
}

/* Alice (stream 10) calls bob (stream 20): two passes of one session through the core, then an inside phone calls alice. */
static void scene(void)
{
	const char *inv = "INVITE sip:bob@example.com SIP/2.0";
	uint64_t a = trace_user(SPAN(ALICE)), b = trace_user(SPAN(BOB)),
		 id = trace_hash(SPAN("x1"));

	assert_int_equal(trace_open(-1, 1024), 0);
	trace_put(TRACE_STREAM_OPEN, &(struct trace_ids){.stream = 0x10}, 0,
		  "client 192.0.2.1:1 sip");
	trace_put(TRACE_STREAM_OPEN, &(struct trace_ids){.stream = 0x20}, 0,
		  "client 192.0.2.2:1 sip");
	put_sip(TRACE_FROM_CLIENT, 0x10, "REGISTER sip:example.com SIP/2.0", ALICE, ALICE, "ra",
		"1 REGISTER");
	put_sip(TRACE_FROM_CLIENT, 0x20, "REGISTER sip:example.com SIP/2.0", BOB, BOB, "rb",
		"1 REGISTER");
	trace_put(TRACE_CALL_STARTED,
		  &(struct trace_ids){.user = a, .stream = 0x10, .call = 0xca, .dialog = id}, 0,
		  "out-in");
	put_sip(TRACE_FROM_CLIENT, 0x10, inv, ALICE, BOB, "x1", "1 INVITE");
	trace_put(TRACE_MEDIUM_OPEN,
		  &(struct trace_ids){.stream = 0x10, .call = 0xca, .flow = 0xaa}, 0, "%s", "");
	trace_put(TRACE_FLOW_ALLOCATED, &(struct trace_ids){.call = 0xaa, .flow = 0xf1}, 0, "%s",
		  "");
	put_sip(TRACE_TO_INSIDE, 0, inv, ALICE, BOB, "x1", "1 INVITE");
	put_sip(TRACE_FROM_INSIDE, 0, inv, ALICE, BOB, "x1", "1 INVITE");
	trace_put(TRACE_CALL_STARTED,
		  &(struct trace_ids){.user = b, .stream = 0x20, .call = 0xcb, .dialog = id}, 0,
		  "in-out");
	trace_put(TRACE_MEDIUM_OPEN,
		  &(struct trace_ids){.stream = 0x20, .call = 0xcb, .flow = 0xbb}, 0, "%s", "");
	trace_put(TRACE_FLOW_ALLOCATED, &(struct trace_ids){.call = 0xbb, .flow = 0xf2}, 0, "%s",
		  "");
	put_sip(TRACE_TO_CLIENT, 0x20, inv, ALICE, BOB, "x1", "1 INVITE");
	put_sip(TRACE_FROM_CLIENT, 0x20, "SIP/2.0 200 OK", ALICE, BOB, "x1", "1 INVITE");
	put_sip(TRACE_FROM_INSIDE, 0, "INVITE sip:1001@core SIP/2.0", "sip:desk@pbx",
		"sip:1001@example.com", "x2", "1 INVITE"); /* a number of alice's */
	put_sip(TRACE_TO_CLIENT, 0x10, "INVITE sip:alice@192.0.2.1 SIP/2.0", "sip:desk@pbx",
		"sip:1001@example.com", "x2", "1 INVITE");
	trace_put(TRACE_MEDIUM_CLOSED, &(struct trace_ids){.flow = 0xaa}, 0, "%s", "");
	trace_put(TRACE_STREAM_CLOSED, &(struct trace_ids){.stream = 0x10}, 0, "over");
	trace_put(TRACE_STREAM_CLOSED, &(struct trace_ids){.stream = 0x20}, 0, "over");
}

static unsigned wanted(const struct trace_query *q, char *out, size_t n)
{
	struct seen *s = all();
	size_t at = 0;
	unsigned i, k = 0;

	out[0] = 0;
	for (i = 0; i < s->n; i++) {
		if (!trace_wanted(q, &s->r[i]))
			continue;
		k++;
		at += (size_t)snprintf(
			out + at, n - at, "%s:%llx ", trace_what_name(s->r[i].what),
			(unsigned long long)(s->r[i].flow ? s->r[i].flow : s->r[i].stream));
	}
	return k;
}

static void test_whose(void **state)
{
	struct trace_query *q = calloc(1, sizeof(*q));
	char text[1024];
	uint64_t id;

	(void)state;
	scene();
	q->by_user = true;
	trace_set_add(q, &q->users, trace_user(SPAN(ALICE)));
	trace_each(trace_relate, q);
	wanted(q, text, sizeof(text));
	/* With the INVITE from inside that names a number of hers: it is in a dialog that her stream has. */
	assert_string_equal(
		text, "stream-open:10 sip:10 call-started:10 sip:10 medium-open:aa "
		      "flow-allocated:f1 sip:0 sip:0 sip:10 medium-closed:aa stream-closed:10 ");
	assert_int_equal(trace_set_list(&q->streams, &id, 1), 1);
	assert_int_equal(id, 0x10);
	memset(q, 0, sizeof(*q));
	trace_set_add(q, &q->calls, 0xcb); /* bob's pass */
	trace_each(trace_relate, q);
	wanted(q, text, sizeof(text));
	assert_string_equal(text, "stream-open:20 sip:0 call-started:20 medium-open:bb "
				  "flow-allocated:f2 sip:20 sip:20 stream-closed:20 ");
	memset(q, 0, sizeof(*q));
	trace_set_add(q, &q->dialogs, trace_hash(SPAN("x1"))); /* both */
	trace_each(trace_relate, q);
	assert_int_equal(wanted(q, text, sizeof(text)), 16);
	memset(q, 0, sizeof(*q));
	q->by_user = true;
	trace_set_add(q, &q->users, trace_user(SPAN("carol@example.com")));
	trace_each(trace_relate, q);
	assert_false(q->found);
	assert_int_equal(wanted(q, text, sizeof(text)), 0);
	free(q);
	trace_close();
}

static void test_sets_are_bounded(void **state)
{
	struct trace_query *q = calloc(1, sizeof(*q));
	uint64_t i;

	(void)state;
	for (i = 1; i <= 2 * TRACE_IDS_MAX; i++)
		trace_set_add(q, &q->flows, i);
	assert_true(q->full);
	assert_int_equal(q->flows.n, TRACE_IDS_MAX / 4 * 3);
	assert_true(trace_set_has(&q->flows, 1));
	assert_false(trace_set_has(&q->flows, 2 * TRACE_IDS_MAX));
	assert_false(trace_set_has(&q->flows, 0));
	free(q);
}

static json_t *row(json_int_t at, const char *text)
{
	return json_pack("{s:I, s:s, s:s, s:s}", "at_ms", at, "what", "sip", "text", text, "stream",
			 "a1");
}

/* The edge's clock is 5 s ahead: its events fall between ours. */
static void test_time_line(void **state)
{
	json_t *rows = json_array(), *edge, *r;
	char order[32] = "";
	unsigned cut;
	size_t i;

	(void)state;
	json_array_append_new(rows, row(1000, "a"));
	json_array_append_new(rows, row(1000, "b"));
	json_array_append_new(rows, row(3000, "e"));
	edge = row(6500, "c");
	json_array_append_new(rows, trace_row_take(edge, "edge1", 5000));
	json_decref(edge);
	edge = row(7000, "d");
	json_array_append_new(rows, trace_row_take(edge, "edge1", 5000));
	json_decref(edge);
	rows = trace_merge(rows, 10, &cut);
	assert_int_equal(cut, 0);
	json_array_foreach(rows, i, r)
	{
		strcat(order, json_string_value(json_object_get(r, "text")));
	}
	assert_string_equal(order, "abcde");
	rows = trace_merge(rows, 2, &cut);
	assert_int_equal(cut, 3);
	assert_int_equal(json_array_size(rows), 2);
	assert_string_equal(json_string_value(json_object_get(json_array_get(rows, 0), "text")),
			    "d");
	assert_string_equal(json_string_value(json_object_get(json_array_get(rows, 0), "node")),
			    "edge1");
	json_decref(rows);
}

static void refused(json_t *r)
{
	assert_null(trace_row_take(r, "edge1", 0));
	json_decref(r);
}

static void test_strangers_rows(void **state)
{
	json_t *good = json_pack("{s:I, s:s, s:s, s:s, s:s, s:s, s:s}", "at_ms", (json_int_t)1,
				 "what", "sip", "text", "t", "user", "alice", "node", "core1",
				 "flow", "00ff", "stream", "zz"),
	       *r;
	char longest[400];

	(void)state;
	r = trace_row_take(good, "edge1", 0);
	assert_non_null(r);
	assert_null(json_object_get(r, "user"));
	assert_null(json_object_get(r, "stream"));
	assert_string_equal(json_string_value(json_object_get(r, "node")), "edge1");
	assert_string_equal(json_string_value(json_object_get(r, "flow")), "ff");
	json_decref(r);
	json_decref(good);
	memset(longest, 'x', sizeof(longest) - 1);
	longest[sizeof(longest) - 1] = 0;
	refused(row(1, longest));
	refused(row(1, "\x1b[2J"));
	refused(row(1, "a\nb"));
	refused(row(-1, "a"));
	refused(json_array());
	refused(json_pack("{s:s, s:s, s:s}", "at_ms", "1", "what", "sip", "text", "t"));
	refused(json_pack("{s:I, s:i, s:s}", "at_ms", (json_int_t)1, "what", 1, "text", "t"));
}

static void test_rows(void **state)
{
	struct seen *s;
	json_t *r;

	(void)state;
	assert_int_equal(trace_open(-1, 1024), 0);
	put_sip(TRACE_TO_INSIDE, 0, "SIP/2.0 486 Busy Here", "sip:desk@pbx", ALICE, "x",
		"9 INVITE");
	trace_put(TRACE_STREAM_REFUSED, &(struct trace_ids){.stream = 0xab}, 0, "client %s",
		  "1.2.3.4:5 \x1b[0m\n");
	s = all();
	r = trace_row(&s->r[0], "core1");
	assert_string_equal(json_string_value(json_object_get(r, "text")),
			    "to inside hq: 486 to INVITE (CSeq 9)");
	assert_int_equal(json_integer_value(json_object_get(r, "code")), 486);
	assert_int_equal(s->r[0].user, trace_user(SPAN(ALICE)));
	json_decref(r);
	r = trace_row(&s->r[1], NULL);
	assert_string_equal(json_string_value(json_object_get(r, "text")),
			    "client 1.2.3.4:5 ?[0m?");
	assert_string_equal(json_string_value(json_object_get(r, "stream")), "ab");
	assert_null(json_object_get(r, "node"));
	json_decref(r);
	trace_close();
}

/* No bar: how long it takes is said, for the header's word that it costs little. */
static void test_cost(void **state)
{
	struct timespec a, b;
	char buf[1024];
	struct span m = sip(buf, sizeof(buf), "INVITE sip:bob@example.com SIP/2.0", ALICE, BOB,
			    "f81d4fae-7dec-11d0", "1 INVITE");
	const unsigned n = 100000;
	unsigned i;

	(void)state;
	assert_int_equal(trace_open(-1, TRACE_RECORDS_USUAL), 0);
	clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &a);
	for (i = 0; i < n; i++)
		trace_sip(TRACE_TO_INSIDE, i, "hq", m);
	clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &b);
	print_message("a SIP message: %.0f ns\n",
		      ((double)(b.tv_sec - a.tv_sec) * 1e9 + (double)(b.tv_nsec - a.tv_nsec)) / n);
	assert_int_equal(trace_stats().written, n);
	trace_close();
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_ring_overwrites),
		cmocka_unit_test(test_ring_classes),
		cmocka_unit_test(test_kept_for_the_next_worker),
		cmocka_unit_test(test_sip_fields),
		cmocka_unit_test(test_users),
		cmocka_unit_test(test_whose),
		cmocka_unit_test(test_sets_are_bounded),
		cmocka_unit_test(test_time_line),
		cmocka_unit_test(test_strangers_rows),
		cmocka_unit_test(test_rows),
		cmocka_unit_test(test_cost),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
