/* tools/bench_stat.c -- see bench_stat.h. */
#include "tools/bench_stat.h"

#include <stdlib.h>
#include <string.h>

static int bench_cmp(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;

	return x < y ? -1 : x > y;
}

struct bench_spread bench_spread(const double *v, unsigned n)
{
	double s[BENCH_ROUNDS_MAX];

	memcpy(s, v, n * sizeof(*s));
	qsort(s, n, sizeof(*s), bench_cmp);
	return (struct bench_spread){s[0], n % 2 ? s[n / 2] : (s[n / 2 - 1] + s[n / 2]) / 2,
				     s[n - 1]};
}

struct bench_spread bench_rate(const struct lab_result *r, unsigned n)
{
	double v[BENCH_ROUNDS_MAX];
	unsigned i;

	for (i = 0; i < n; i++)
		v[i] = r[i].pps_per_cpu_s;
	return bench_spread(v, n);
}

struct bench_spread bench_ratio(const struct lab_result *a, const struct lab_result *b, unsigned n)
{
	double v[BENCH_ROUNDS_MAX];
	unsigned i;

	for (i = 0; i < n; i++)
		v[i] = a[i].pps_per_cpu_s / b[i].pps_per_cpu_s;
	return bench_spread(v, n);
}

double bench_loss(const struct lab_result *r, unsigned n)
{
	double v[BENCH_ROUNDS_MAX];
	unsigned i;

	for (i = 0; i < n; i++)
		v[i] = r[i].loss;
	return bench_spread(v, n).median;
}

json_t *bench_spread_json(struct bench_spread s)
{
	return json_pack("{s:f, s:f, s:f}", "min", s.min, "median", s.median, "max", s.max);
}
