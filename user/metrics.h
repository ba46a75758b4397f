/* user/metrics.h -- OpenMetrics text (1.0), or Prometheus' older one (0.0.4), of what status and summaries say.
 *
 * Data flow: nodes_show() and the daemon's own status, both JSON -> one table (metrics_table.c): name, type, unit, help, the place of the
 * value, labels -> text. So a metric is the same number as `sallyctl -j status` or `nodes` has, and the same table is the
 * documentation (tools/metrics.md, by `sallyctl metrics --doc`). Every sample has the label `node`; others come from lists whose length the
 * configuration or this program bounds (reasons, rungs, services, peers, call servers), never from users.
 * Counters begin at 0 with the worker: a scraper sees a reset. A family without a sample is left out.
 * Owner rules: the text is the caller's. Nothing is kept. */
#ifndef SALLYPORT_METRICS_H
#define SALLYPORT_METRICS_H

#include <stdbool.h>
#include <stdio.h>

#include <jansson.h>

#define METRICS_MAX (8u << 20) /* bytes of an answer */

enum metric_type { METRIC_GAUGE, METRIC_COUNTER, METRIC_INFO };
/* Every node's summary; or the status of the node that is asked, if it has that role. */
enum metric_of { METRIC_NODES, METRIC_OWN, METRIC_EDGE, METRIC_CORE };

struct metric {
	const char *name; /* of the family: without _total, _info; with its unit */
	enum metric_type type;
	const char *
		unit; /* "seconds", "bytes", ...: what the name ends with; "": it is a count of what the name says */
	const char *help; /* NULL: further samples of the family above */
	enum metric_of of;
	/* Keys from the document's root, with dots; "*": each member (its key may be a label, "*-on": but that one); "links[]": each row
	 * of an array. At the end "=up", "!down": 1 or 0, whether a text is, or is not that. An info: "". */
	const char *path;
	/* "reason=*,peer=peer,direction:in": from the path's stars in their order, from a text of the innermost row that has it, fixed. */
	const char *labels;
	double scale; /* value x scale; 0: as it is */
};

extern const struct metric metrics_table[];
extern const unsigned metrics_table_n;

/* @nodes: nodes_show(); @status: of the first node in it. To be freed; NULL: no memory, or over METRICS_MAX. */
char *metrics_text(const json_t *nodes, const json_t *status, bool openmetrics, size_t *n);
/* The table, in Markdown. */
void metrics_doc(FILE *f);

#endif
