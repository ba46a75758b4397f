/* user/cdr_row.c -- see cdr_row.h. */
#include "user/cdr_row.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "user/cdr.h"

/* Peers' words as JSON takes them. */
static json_t *words(const char *s)
{
	json_t *j = json_string(s);
	char *safe, *p;

	if (j)
		return j;
	safe = strdup(s);
	for (p = safe; p && *p; p++)
		if ((unsigned char)*p >= 0x80)
			*p = '?';
	j = safe ? json_string(safe) : json_string("");
	free(safe);
	return j;
}

/* Who ended it, and the status that it ended with (0: none): from why the engine says that it did. */
static const char *ended_by(const struct engine_action *a, unsigned *code)
{
	const char *callee = a->call.outbound ? "inside" : "client",
		   *caller = a->call.outbound ? "client" : "inside";

	*code = 0;
	if (!strcmp(a->text, "bye-client"))
		return "client";
	if (!strcmp(a->text, "bye-inside"))
		return "inside";
	if (strncmp(a->text, "status-", 7))
		return "core";
	*code = (unsigned)strtoul(a->text + 7, NULL, 10);
	return *code == 487 ? caller : callee; /* 487: it was cancelled */
}

static json_t *time_json(uint64_t at_ms, uint64_t now_ms, uint64_t utc_ms)
{
	char text[CDR_TIME_MAX];

	return at_ms ? json_string(cdr_time(utc_ms - (now_ms - at_ms), text)) : json_null();
}

static json_t *media_row(const json_t *flow)
{
	static const char *const keys[] = {"flow",
					   "kind",
					   "edge",
					   "rung",
					   "media",
					   "open_suite",
					   "seal_suite",
					   "packets_in",
					   "packets_out",
					   "bytes_in",
					   "bytes_out",
					   "quality",
					   "edge_packets_in",
					   "edge_packets_out",
					   "edge_quality"};
	json_t *o = json_object(), *v;
	size_t i;

	for (i = 0; i < sizeof(keys) / sizeof(keys[0]); i++) {
		v = json_object_get(flow, keys[i]);
		if (v)
			json_object_set(o, keys[i], v);
	}
	return o;
}

json_t *cdr_row(const struct engine_action *a, const char *server, const char *edge,
		uint64_t now_ms, uint64_t utc_ms, const json_t *flows)
{
	const struct engine_call_event *e = &a->call;
	json_t *media, *flow;
	const char *by;
	char id[24];
	unsigned code;
	size_t i;

	by = ended_by(a, &code);
	if (e->what != ENGINE_CALL_ENDED || code == 401 || code == 407)
		return NULL;
	media = json_array();
	json_array_foreach(flows, i, flow)
	{
		json_array_append_new(media, media_row(flow));
	}
	snprintf(id, sizeof(id), "%llx", (unsigned long long)a->id);
	return json_pack(
		"{s:s, s:o, s:s, s:o, s:o, s:o, s:s, s:s*, s:o, s:o, s:o, s:I, s:s, s:o, s:s, s:o}",
		"call", id, "call_id", words(e->call_id), "direction",
		e->outbound ? "out-in" : "in-out", "user", words(e->user), "from", words(e->from),
		"to", words(e->to), "server", server, "edge", edge, "start",
		time_json(e->started_ms, now_ms, utc_ms), "answer",
		time_json(e->answered_ms, now_ms, utc_ms), "end", time_json(now_ms, now_ms, utc_ms),
		"duration_ms", (json_int_t)(e->answered_ms ? now_ms - e->answered_ms : 0),
		"ended_by", by, "code",
		code		 ? json_integer(code)
		: e->answered_ms ? json_integer(200)
				 : json_null(),
		"reason", a->text, "media", media);
}
