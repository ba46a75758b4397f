/* tools/bench_ktls_show.c -- the table of tools/bench ktls, or its JSON. See bench_ktls.h.
 *
 * In: the costs of all runs. Out: text on stdout. Owner: none. */
#include <jansson.h>
#include <stdio.h>
#include <string.h>
#include <sys/utsname.h>

#include "tools/bench_ktls.h"

enum part { ALL, USER, SYSTEM };

double bench_units(const struct bench_job *j)
{
	double writes = (double)j->streams * j->writes;

	return j->echo ? 2 * writes : writes * j->size / (1 << 20);
}

static struct bench_spread spread(const struct bench_table *t, unsigned k,
				  const struct bench_lane *l, enum part part)
{
	double v[BENCH_ROUNDS_MAX];
	unsigned r;

	for (r = 0; r < t->rounds; r++) {
		const struct bench_cost *c = &l->cost[k][r];

		v[r] = part == USER ? c->user : part == SYSTEM ? c->system : c->user + c->system;
	}
	return bench_spread(v, t->rounds);
}

/* Of rung C in the same round. */
static struct bench_spread ratio(const struct bench_table *t, unsigned k,
				 const struct bench_lane *l)
{
	double v[BENCH_ROUNDS_MAX];
	unsigned r;

	for (r = 0; r < t->rounds; r++) {
		const struct bench_cost *c = &l->cost[k][r],
					*of = &t->lane[BENCH_LANES - 1].cost[k][r];

		v[r] = (c->user + c->system) / (of->user + of->system);
	}
	return bench_spread(v, t->rounds);
}

static bool emulated(void)
{
	char line[256];
	bool found = false;
	FILE *f = fopen("/proc/cpuinfo", "re");

	while (f && !found && fgets(line, sizeof(line), f))
		found = strstr(line, "QEMU TCG") || strstr(line, "QEMU Virtual CPU");
	if (f)
		fclose(f);
	return found;
}

/* ---- text ---- */

static const char tcg_note[] =
	"The CPU is QEMU's TCG: no figure is a performance. It translates instructions, and calls "
	"a function for each\n"
	"AES, GHASH and vector one, so ciphers weigh many times what they do on silicon and hide "
	"the rest; caches,\n"
	"branches, the bandwidth of copies and the price of entering the kernel are not in it.\n"
	"It can tell: that each rung carries the bytes, which of two with the same ciphers has the "
	"shorter code (A by pipe\n"
	"against A by copy), and roughly how user and system time share.\n"
	"It cannot tell: whether A is faster than C, whose ciphers are other code (OpenSSL's "
	"against the kernel's), nor from\n"
	"which size on a pipe pays.\n";

static void print_rows(const struct bench_table *t, unsigned k)
{
	const struct bench_lane *l;
	char all[48];

	printf("%-11srung  %-34s%-12s%-12s%s\n", k == BENCH_BULK ? "bulk" : "messages",
	       k == BENCH_BULK ? "us a MiB" : "us a message", "user", "system",
	       "C's of the same round = 1");
	for (l = t->lane; l < t->lane + BENCH_LANES; l++) {
		struct bench_spread s, r;

		if (!l->reached)
			continue;
		s = spread(t, k, l, ALL);
		r = ratio(t, k, l);
		snprintf(all, sizeof(all), "%.1f-%.1f-%.1f", s.min, s.median, s.max);
		printf("%-11s%c     %-34s%-12.1f%-12.1f%.2f-%.2f-%.2f\n", l->name, l->reached, all,
		       spread(t, k, l, USER).median, spread(t, k, l, SYSTEM).median, r.min,
		       r.median, r.max);
	}
}

static void print_text(const struct bench_table *t)
{
	const struct bench_job *bulk = &t->job[BENCH_BULK], *msg = &t->job[BENCH_MESSAGES];
	struct utsname u;

	uname(&u);
	printf("Linux %s, %s %s, %u rounds; CPU of the relay's process, min-median-max, and the "
	       "medians of its parts\n",
	       u.release, ktls_version_name(bulk->version), ktls_cipher_name(bulk->cipher),
	       t->rounds);
	printf("bulk: %u streams of %u-byte writes one way, %.1f MiB a run; messages: %u streams, "
	       "%u bytes there and back, %.0f a run\n",
	       bulk->streams, bulk->size, bench_units(bulk), msg->streams, msg->size,
	       bench_units(msg));
	print_rows(t, BENCH_BULK);
	print_rows(t, BENCH_MESSAGES);
	if (t->missing[0])
		printf("The other rungs are not to be had here: %s\n", t->missing);
	if (emulated())
		fputs(tcg_note, stdout);
}

/* ---- JSON ---- */

static void print_json(const struct bench_table *t)
{
	const struct bench_job *bulk = &t->job[BENCH_BULK], *msg = &t->job[BENCH_MESSAGES];
	json_t *rows = json_array(), *j;
	const struct bench_lane *l;
	struct utsname u;
	unsigned k;

	uname(&u);
	for (k = 0; k < BENCH_KINDS; k++)
		for (l = t->lane; l < t->lane + BENCH_LANES; l++) {
			const char rung[2] = {l->reached, 0};

			if (!l->reached)
				continue;
			j = json_pack("{s:s, s:s, s:s, s:o, s:o, s:o, s:o}", "of",
				      k == BENCH_BULK ? "mib" : "message", "lane", l->name, "rung",
				      rung, "us", bench_spread_json(spread(t, k, l, ALL)),
				      "user_us", bench_spread_json(spread(t, k, l, USER)),
				      "system_us", bench_spread_json(spread(t, k, l, SYSTEM)),
				      "of_c", bench_spread_json(ratio(t, k, l)));
			json_array_append_new(rows, j);
		}
	j = json_pack("{s:s, s:s, s:s, s:s, s:i, s:i, s:i, s:b, s:s, s:o}", "bench", "ktls",
		      "kernel", u.release, "version", ktls_version_name(bulk->version), "cipher",
		      ktls_cipher_name(bulk->cipher), "rounds", (int)t->rounds, "write_bytes",
		      (int)bulk->size, "message_bytes", (int)msg->size, "emulated", emulated(),
		      "missing", t->missing, "rows", rows);
	json_dumpf(j, stdout, JSON_INDENT(1));
	putchar('\n');
	json_decref(j);
}

void bench_show(const struct bench_table *t, bool json)
{
	(json ? print_json : print_text)(t);
}
