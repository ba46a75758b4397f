/* tools/ctl_trace.c -- "sallyctl trace": what happened to a user, a call, a stream, a flow or a client's address, in one time line.
 *
 * In: ARG; the daemon's answer {"nodes": [...], "events": [...]} (user/core_trace.h, user/edge_ask.h). Out: a line an event: time (UTC), node,
 * what, text; behind them a line a node: how far its ring reaches back, its clock against the core's, why it is missing. With -j the answer as
 * it is. The core knows more, so without -s it is asked first, and the edge where that finds nothing. Exit 1: nothing is known. */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "tools/ctl.h"

#define TRACE_WAIT_S 15 /* the core waits 5 s for its edges */

static const char *time_text(json_int_t ms, char out[40])
{
	time_t s = (time_t)(ms / 1000);
	struct tm tm;
	size_t n;

	if (!gmtime_r(&s, &tm))
		return strcpy(out, "?");
	n = strftime(out, 32, "%Y-%m-%d %H:%M:%S", &tm);
	snprintf(out + n, 40 - n, ".%03dZ", (int)(ms % 1000));
	return out;
}

static json_int_t number(const json_t *o, const char *key)
{
	return json_integer_value(json_object_get(o, key));
}

static void print_event(const json_t *e, const char *usual)
{
	const char *node = json_string_value(json_object_get(e, "node"));
	char at[40], name[64], what[32], text[256], id[32] = "";
	const char *flow = json_string_value(json_object_get(e, "flow")),
		   *stream = json_string_value(json_object_get(e, "stream"));

	if (flow || stream)
		snprintf(id, sizeof(id), "%s %.16s", flow ? "flow" : "stream",
			 flow ? flow : stream);
	printf("%s  %-20s %-15s %s%s%s\n", time_text(number(e, "at_ms"), at),
	       ctl_plain(node ? node : usual, name, sizeof(name)),
	       ctl_plain(json_string_value(json_object_get(e, "what")), what, sizeof(what)),
	       ctl_plain(json_string_value(json_object_get(e, "text")), text, sizeof(text)),
	       id[0] && text[0] ? ", " : "", id);
}

static void print_node(const json_t *n, FILE *f)
{
	const char *error = json_string_value(json_object_get(n, "error"));
	const json_t *ahead = json_object_get(n, "clock_ahead_ms");
	char name[64], why[128], at[40];

	ctl_plain(json_string_value(json_object_get(n, "node")), name, sizeof(name));
	if (error) {
		fprintf(f, "%s: no answer: %s\n", name, ctl_plain(error, why, sizeof(why)));
		return;
	}
	if (!number(n, "reaches_ms"))
		fprintf(f, "%s: nothing is recorded yet", name);
	else
		fprintf(f, "%s: recorded since %s, %lld older records overwritten", name,
			time_text(number(n, "reaches_ms"), at),
			(long long)number(n, "overwritten"));
	if (json_integer_value(ahead))
		fprintf(f, "; its clock is %lld ms %s (within %lld ms): taken into account",
			(long long)(json_integer_value(ahead) < 0 ? -json_integer_value(ahead)
								  : json_integer_value(ahead)),
			json_integer_value(ahead) < 0 ? "behind" : "ahead",
			(long long)number(n, "clock_within_ms"));
	fputc('\n', f);
}

static void print_trace(const json_t *a, const char *arg)
{
	const json_t *events = json_object_get(a, "events"), *nodes = json_object_get(a, "nodes"),
		     *v;
	const char *first = json_string_value(json_object_get(json_array_get(nodes, 0), "node"));
	FILE *f = json_array_size(events) ? stdout : stderr;
	size_t i;

	json_array_foreach(events, i, v)
	{
		print_event(v, first ? first : "");
	}
	if (!json_array_size(events))
		fprintf(stderr, "sallyctl: trace %s: nothing is known of it\n", arg);
	if (number(a, "cut"))
		fprintf(f, "%lld older events are left out\n", (long long)number(a, "cut"));
	json_array_foreach(nodes, i, v)
	{
		print_node(v, f);
	}
}

int ctl_trace_main(const struct ctl_options *o, int argc, char **argv)
{
	json_t *best = NULL, *a;
	const char *error = NULL;
	char why[256];
	unsigned i;
	int status = 1;

	if (argc != 2 || !argv[1][0])
		return CTL_USAGE;
	for (i = o->n; i-- > 0;) { /* the core is last in the list */
		a = ctl_ask(o->sockets[i].path, "trace", argv[1], TRACE_WAIT_S);
		if (!a && (o->n == 1 || (errno != ENOENT && errno != ECONNREFUSED)))
			fprintf(stderr, "sallyctl: %s: %s\n", o->sockets[i].path, strerror(errno));
		if (!a)
			continue;
		if (json_array_size(json_object_get(a, "events"))) {
			json_decref(best);
			best = a;
			status = 0;
			break;
		}
		if (!best || json_object_get(best, "error")) {
			json_decref(best);
			best = a;
		} else {
			json_decref(a);
		}
	}
	error = json_string_value(json_object_get(best, "error"));
	if (!best)
		fprintf(stderr, "sallyctl: no daemon answered; is one running, and may you open "
				"its socket (-s SOCKET)?\n");
	else if (o->json)
		ctl_print_json(best);
	else if (error)
		fprintf(stderr, "sallyctl: %s\n", ctl_plain(error, why, sizeof(why)));
	else
		print_trace(best, argv[1]);
	json_decref(best);
	return status;
}
