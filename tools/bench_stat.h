/* tools/bench_stat.h -- min, median and max over the rounds of a bench.
 *
 * In: a result a round. Out: spreads of rates, ratios and losses. Plain values, no owner. */
#ifndef SALLYPORT_BENCH_STAT_H
#define SALLYPORT_BENCH_STAT_H

#include <jansson.h>

#include "tools/bench_lab.h"

#define BENCH_ROUNDS_MAX 20 /* @n below is at most this */

struct bench_spread {
	double min, median, max;
};

struct bench_spread bench_spread(const double *v, unsigned n);
struct bench_spread bench_rate(const struct lab_result *r, unsigned n); /* packets a CPU-second */
/* Of the rates of the same round. */
struct bench_spread bench_ratio(const struct lab_result *a, const struct lab_result *b, unsigned n);
double bench_loss(const struct lab_result *r, unsigned n); /* median */
/* {"min", "median", "max"}; a new reference, for json_pack()'s o. */
json_t *bench_spread_json(struct bench_spread s);

#endif
