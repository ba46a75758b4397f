/* user/trace_show.c -- see trace_show.h. In: records, rows. Out: JSON that the caller owns. */
#include "user/trace_show.h"

#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define ROW_TEXT_MAX 200

static void set_hex(json_t *o, const char *name, uint64_t v)
{
	char text[24];

	if (!v)
		return;
	snprintf(text, sizeof(text), "%llx", (unsigned long long)v);
	json_object_set_new(o, name, json_string(text));
}

/* "INVITE 1 hq" as it went. */
static void sip_text(const struct trace_record *r, char *out, size_t n)
{
	char method[24] = "", number[12] = "", server[TRACE_TEXT_MAX] = "", where[96];
	int got = sscanf(r->text, "%23s %11s %71s", method, number, server);

	if (r->way == TRACE_FROM_CLIENT || r->way == TRACE_TO_CLIENT)
		snprintf(where, sizeof(where), "%s client",
			 r->way == TRACE_FROM_CLIENT ? "from" : "to");
	else
		snprintf(where, sizeof(where), "%s inside%s%s",
			 r->way == TRACE_FROM_INSIDE ? "from" : "to", got > 2 ? " " : "", server);
	if (r->code)
		snprintf(out, n, "%s: %u to %s (CSeq %s)", where, r->code, method, number);
	else
		snprintf(out, n, "%s: %s (CSeq %s)", where, method, number);
}

json_t *trace_row(const struct trace_record *r, const char *node)
{
	char text[ROW_TEXT_MAX];
	json_t *o = json_object();

	if (r->what == TRACE_SIP)
		sip_text(r, text, sizeof(text));
	else
		snprintf(text, sizeof(text), "%.*s", TRACE_TEXT_MAX - 1, r->text);
	json_object_set_new(o, "at_ms", json_integer((json_int_t)r->at_ms));
	if (node)
		json_object_set_new(o, "node", json_string(node));
	json_object_set_new(o, "what", json_string(trace_what_name(r->what)));
	json_object_set_new(o, "text", json_string(text));
	if (r->code)
		json_object_set_new(o, "code", json_integer(r->code));
	set_hex(o, "stream", r->stream);
	if (r->what >= TRACE_MEDIUM_OPEN && r->what <= TRACE_MEDIUM_CLOSED) {
		set_hex(o, "call", r->call);
		set_hex(o, "medium", r->flow);
	} else if (r->what >= TRACE_FLOW_ALLOCATED && r->what <= TRACE_FLOW_FREED) {
		set_hex(o, "medium", r->call);
		set_hex(o, "flow", r->flow);
	} else {
		set_hex(o, "call", r->call);
	}
	return o;
}

static const char *text_of(const json_t *row, const char *key, size_t max)
{
	const json_t *v = json_object_get(row, key);
	const char *s = json_string_value(v);
	size_t i, n = s ? json_string_length(v) : 0;

	for (i = 0; i < n; i++)
		if (s[i] < ' ' || s[i] > '~')
			return NULL;
	return s && n <= max ? s : NULL;
}

json_t *trace_row_take(const json_t *row, const char *node, int64_t ahead_ms)
{
	static const char *const ids[] = {"stream", "flow"};
	const char *what = text_of(row, "what", 24), *text = text_of(row, "text", ROW_TEXT_MAX),
		   *id;
	const json_t *at = json_object_get(row, "at_ms"), *code = json_object_get(row, "code");
	json_int_t ms = json_integer_value(at);
	uint64_t v;
	json_t *o;
	unsigned i;

	if (!what || !text || !json_is_integer(at) || ms < 0 || ms > (json_int_t)1 << 52)
		return NULL;
	o = json_pack("{s:I, s:s, s:s, s:s}", "at_ms", ms - (json_int_t)ahead_ms, "node", node,
		      "what", what, "text", text);
	if (o && json_is_integer(code))
		json_object_set_new(o, "code", json_integer(json_integer_value(code)));
	for (i = 0; o && i < 2; i++) {
		id = text_of(row, ids[i], 16);
		if (id && trace_id_parse(id, &v))
			set_hex(o, ids[i], v);
	}
	return o;
}

/* ---- the time line ---- */

struct placed {
	json_int_t at;
	size_t place; /* so that the order within a millisecond is kept */
	json_t *row;
};

static int earlier(const void *x, const void *y)
{
	const struct placed *a = x, *b = y;

	if (a->at != b->at)
		return a->at < b->at ? -1 : 1;
	return a->place < b->place ? -1 : 1;
}

json_t *trace_merge(json_t *rows, unsigned max, unsigned *cut)
{
	size_t n = json_array_size(rows), i, from;
	struct placed *p = calloc(n ? n : 1, sizeof(*p));
	json_t *out = json_array();

	*cut = 0;
	if (!p || !out) {
		free(p);
		json_decref(out);
		return rows;
	}
	for (i = 0; i < n; i++) {
		p[i].row = json_array_get(rows, i);
		p[i].at = json_integer_value(json_object_get(p[i].row, "at_ms"));
		p[i].place = i;
	}
	qsort(p, n, sizeof(*p), earlier);
	from = n > max ? n - max : 0;
	*cut = (unsigned)from;
	for (i = from; i < n; i++)
		json_array_append(out, p[i].row);
	free(p);
	json_decref(rows);
	return out;
}

json_t *trace_node(const char *node)
{
	struct trace_stats s = trace_stats();

	return json_pack("{s:s, s:I, s:I, s:I}", "node", node, "reaches_ms",
			 (json_int_t)s.reaches_ms, "records", (json_int_t)s.records, "overwritten",
			 (json_int_t)s.overwritten);
}

bool trace_id_parse(const char *text, uint64_t *out)
{
	size_t i, n = strlen(text);

	for (i = 0; i < n; i++)
		if (!isxdigit((unsigned char)text[i]))
			return false;
	if (!n || n > 16)
		return false;
	*out = strtoull(text, NULL, 16);
	return *out != 0;
}
