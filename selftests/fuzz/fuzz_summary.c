/* selftests/fuzz/fuzz_summary.c -- any bytes as the report of a node.
 *
 * Held: what is taken has the name and role of its sender, is taken again as the very same, and can be
 * written as metrics in both forms, each sample in one line. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "user/metrics.h"
#include "user/summary.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define HOLD(x)                  \
	do {                     \
		if (!(x))        \
			abort(); \
	} while (0)

static void hold_metrics(const json_t *report, bool open)
{
	json_t *nodes = json_pack("{s:[O]}", "nodes", report), *status = json_object();
	size_t n = 0;
	char *text = metrics_text(nodes, status, open, &n), *line;

	HOLD(text && strlen(text) == n);
	for (line = strtok(text, "\n"); line; line = strtok(NULL, "\n"))
		HOLD(!strncmp(line, "sallyport_", 10) || !strncmp(line, "# ", 2));
	free(text);
	json_decref(nodes);
	json_decref(status);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	char why[SUMMARY_WHY_MAX] = "", *text;
	json_t *report, *again;

	if (summary_take(span_of(data, size), "edge", "e", &report, why)) {
		HOLD(*why && memchr(why, 0, sizeof(why)));
		return 0;
	}
	text = json_dumps(report, JSON_COMPACT);
	HOLD(text && summary_take(span_str(text), "edge", "e", &again, why) == 0);
	HOLD(json_equal(report, again));
	hold_metrics(report, true);
	hold_metrics(report, false);
	free(text);
	json_decref(report);
	json_decref(again);
	return 0;
}
