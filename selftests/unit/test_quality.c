/* selftests/unit/test_quality.c -- jitter and loss of whole streams against RFC 3550's own arithmetic, in doubles. */
#include <arpa/inet.h>
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>

#include <cmocka.h>

#include "bpf/quality.h"
#include "user/quality.h"

#define SECOND 1000000000.0

static struct rtp packet(uint16_t seq, uint32_t ts, uint32_t ssrc, uint8_t type)
{
	return (struct rtp){
		{htonl(0x80000000u | (uint32_t)type << 16 | seq), htonl(ts), htonl(ssrc)}};
}

static void feed(struct flow_quality *q, const uint32_t *clocks, const struct rtp *r, uint64_t at)
{
	if (quality_count(q, r) && quality_clock(q, clocks, r))
		quality_time(q, r, at);
}

/* Between 0 and 1; the same at each run. */
static double chance(void)
{
	return rand() / (RAND_MAX + 1.0);
}

/* RFC 3550 A.8's floating point form, in seconds. */
struct reference {
	double transit, jitter;
	bool any;
};

static void reference_feed(struct reference *f, double at, uint32_t ts, double hz)
{
	double transit = at - ts / hz, d = fabs(transit - f->transit);

	if (f->any)
		f->jitter += (d - f->jitter) / 16;
	f->transit = transit;
	f->any = true;
}

static void test_jitter_as_in_the_rfc(void **state)
{
	static const struct {
		uint32_t hz, step; /* timestamp units a packet */
		double spread;	   /* seconds */
	} cases[] =
		{
			{8000, 160, 0.004}, {8000, 80, 0.000020}, {16000, 320, 0.1},
			{44100, 882, 0.01}, {48000, 960, 0.002},  {90000, 3000, 0.030},
			{90000, 0, 0.001}, /* packets of one picture */
		};
	unsigned i, k;

	(void)state;
	for (i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		const uint32_t clocks[FLOW_CLOCKS] = {FLOW_CLOCK(96, cases[i].hz)};
		struct flow_quality q = {};
		struct reference f = {};
		struct quality out;

		for (k = 0; k < 2000; k++) {
			uint32_t ts = k * cases[i].step;
			double at = 1000 + (double)ts / cases[i].hz + chance() * cases[i].spread;
			struct rtp r = packet((uint16_t)(k + 65000), ts, 7, 96);

			feed(&q, clocks, &r, (uint64_t)(at * SECOND));
			reference_feed(&f, at, ts, cases[i].hz);
			quality_of(&q, clocks, &out);
			/* A unit of J is 64 ns, D is rounded to 1,024 ns, the old J's share to a unit. */
			assert_true(fabs((double)out.jitter_ns - f.jitter * SECOND) <= 1100);
		}
		assert_true(out.timed && !out.lost && out.received == 2000 && out.expected == 2000);
	}
}

/* A stream with losses, duplicates and reordering that a plain list of what came settles. */
static void test_counts_of_a_bad_network(void **state)
{
	enum { N = 200000 };
	const uint32_t clocks[FLOW_CLOCKS] = {FLOW_CLOCK(0, 8000)};
	uint8_t *times = calloc(N, 1);
	uint32_t k, lost = 0, duplicates = 0, late = 0, highest = 0, received = 0;
	struct flow_quality q = {};
	struct quality out;

	(void)state;
	assert_non_null(times);
	for (k = 0; k < N; k++) {
		uint32_t n = k;
		struct rtp r;

		if (k > 100 && k < N - 1 && chance() < 0.3)
			n = k - (uint32_t)(chance() * 60); /* in place of its own */
		r = packet((uint16_t)(n + 64000), n * 160, 7, 0);
		feed(&q, clocks, &r, 1 + k * 20000000ull);
		received++;
		if (times[n])
			duplicates++;
		else if (n < highest)
			late++;
		highest = n > highest ? n : highest;
		times[n] = 1;
	}
	for (k = 0; k < N; k++)
		lost += !times[k];
	quality_of(&q, clocks, &out);
	assert_true(lost > 1000 && duplicates > 1000 && late > 100);
	assert_int_equal(out.received, received);
	assert_int_equal(out.expected, N);
	assert_int_equal(out.lost, lost);
	assert_int_equal(out.duplicates, duplicates);
	assert_int_equal(out.reordered, late);
	assert_int_equal(out.restarts, 0);
	free(times);
}

static void test_jitter_needs_its_clock(void **state)
{
	const uint32_t none[FLOW_CLOCKS] = {}, pcmu[FLOW_CLOCKS] = {FLOW_CLOCK(0, 8000)},
		       wide[FLOW_CLOCKS] = {FLOW_CLOCK(9, 8000), FLOW_CLOCK(0, 16000)};
	struct rtp a = packet(1, 0, 7, 0), b = packet(2, 160, 7, 0), c = packet(3, 320, 7, 0),
		   d = packet(4, 480, 7, 0);
	struct flow_quality q = {};
	struct quality out;

	(void)state;
	feed(&q, none, &a, 1000000000);
	feed(&q, none, &b, 1025000000);
	quality_of(&q, none, &out);
	assert_true(!out.timed && !out.jitter_ns && out.received == 2);
	quality_of(&q, pcmu, &out);
	assert_false(out.timed); /* told since, but not measured by */
	feed(&q, pcmu, &c, 1045000000);
	feed(&q, pcmu, &d, 1081000000);
	quality_of(&q, pcmu, &out);
	assert_true(out.timed && llabs((long long)out.jitter_ns - 1000000) < 1100); /* 16 ms / 16 */
	quality_of(&q, wide, &out);
	assert_false(out.timed);
}

/* The lists of clocks are full, and the last one counts as well as the first. */
static void test_clock_is_found_wherever_it_is(void **state)
{
	uint32_t clocks[FLOW_CLOCKS], i;

	(void)state;
	for (i = 0; i < FLOW_CLOCKS; i++)
		clocks[i] = FLOW_CLOCK(100 + i, 8000 * (i + 1));
	for (i = 0; i <= FLOW_CLOCKS; i++) {
		struct rtp r = packet(1, 0, 7, (uint8_t)(100 + i));
		struct flow_quality q = {};

		assert_int_equal(quality_clock(&q, clocks, &r), i < FLOW_CLOCKS);
		assert_int_equal(q.tick, i < FLOW_CLOCKS ? QUALITY_TICK(8000 * (i + 1)) : 0);
	}
}

/* Two sources on one flow: what got lost cannot be told, so nothing is. */
static void test_mixed_sources_tell_no_loss(void **state)
{
	const uint32_t clocks[FLOW_CLOCKS] = {FLOW_CLOCK(0, 8000)};
	struct flow_quality q = {};
	struct quality out, sum = {};
	unsigned k;

	(void)state;
	for (k = 0; k < 400; k++) {
		struct rtp r = packet((uint16_t)(k / 2), k / 2 * 160, 1 + k % 2, 0);

		feed(&q, clocks, &r, 1 + k * 10000000ull);
	}
	quality_of(&q, clocks, &out);
	assert_true(out.heard && out.mixed && !out.timed);
	assert_int_equal(out.received, 400);
	assert_int_equal(out.restarts, 399);
	assert_int_equal(out.lost + out.expected + out.jitter_ns, 0);
	quality_add(&sum, &out);
	assert_true(sum.mixed);
}

static void test_sum_of_flows(void **state)
{
	struct quality a = {.heard = true,
			    .timed = true,
			    .ssrc = 1,
			    .received = 10,
			    .expected = 12,
			    .lost = 2,
			    .jitter_ns = 500},
		       b = {.heard = true,
			    .timed = true,
			    .ssrc = 2,
			    .received = 5,
			    .expected = 5,
			    .reordered = 1,
			    .duplicates = 1,
			    .restarts = 1,
			    .jitter_ns = 900},
		       none = {}, sum = {};

	(void)state;
	quality_add(&sum, &none);
	assert_false(sum.heard);
	quality_add(&sum, &a);
	quality_add(&sum, &b);
	quality_add(&sum, &none);
	assert_true(sum.heard && sum.timed && !sum.mixed);
	assert_int_equal(sum.ssrc, 1);
	assert_int_equal(sum.received, 15);
	assert_int_equal(sum.expected, 17);
	assert_int_equal(sum.lost, 2);
	assert_int_equal(sum.reordered, 1);
	assert_int_equal(sum.duplicates, 1);
	assert_int_equal(sum.restarts, 1);
	assert_int_equal(sum.jitter_ns, 900);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_jitter_as_in_the_rfc),
		cmocka_unit_test(test_counts_of_a_bad_network),
		cmocka_unit_test(test_jitter_needs_its_clock),
		cmocka_unit_test(test_clock_is_found_wherever_it_is),
		cmocka_unit_test(test_mixed_sources_tell_no_loss),
		cmocka_unit_test(test_sum_of_flows),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
