/* user/core_federation_show.c -- chat between servers, as `status` and `streams` show it. See core_federation.h.
 *
 * In: struct core_federation. Out: JSON, the caller's. */
#include <limits.h>
#include <stdio.h>

#include "user/core_federation_impl.h"
#include "user/summary.h"

void core_federation_sum(const struct core_federation *f, struct summary_streams *out)
{
	const struct fed_stream *s;

	for (s = f ? f->streams : NULL; s; s = s->next) {
		out->admitted += s->state == FED_BYTES;
		out->plain += s->state == FED_BYTES;
	}
}

uint64_t core_federation_refused(const struct core_federation *f, unsigned i, const char **name)
{
	switch (f ? i : UINT_MAX) {
	case 0:
		*name = "federation-denied";
		return f->denied;
	case 1:
		*name = "federation-malformed";
		return f->bad;
	case 2:
		*name = "federation-foreign";
		return f->foreign;
	case 3:
		*name = "federation-full";
		return f->full;
	default:
		*name = NULL;
		return 0;
	}
}

unsigned core_federation_count(const struct core_federation *f)
{
	return f ? f->n : 0;
}

json_t *core_federation_show(const struct core_federation *f)
{
	return json_pack("{s:b, s:i, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:s}", "on",
			 f->p.cfg->federation.domains_count > 0, "streams", (int)f->n, "in",
			 (json_int_t)f->in, "out", (json_int_t)f->out, "denied",
			 (json_int_t)f->denied, "malformed", (json_int_t)f->bad, "foreign",
			 (json_int_t)f->foreign, "refused_full", (json_int_t)f->full, "no_server",
			 (json_int_t)f->no_server, "dials", (json_int_t)f->dials, "dial_failures",
			 (json_int_t)f->dial_failures, "last_failure", f->last_failure);
}

void core_federation_rows(const struct core_federation *f, json_t *list)
{
	static const char *const states[] = {"first bytes", "dialling", "dialled", "connecting",
					     "open"};
	const struct fed_stream *s;
	char id[24], edge_id[24], peer[ADDR_TEXT_MAX];

	for (s = f ? f->streams : NULL; s; s = s->next) {
		snprintf(id, sizeof(id), "%llx", (unsigned long long)s->id);
		snprintf(edge_id, sizeof(edge_id), "%llx", (unsigned long long)s->edge_stream);
		json_array_append_new(
			list,
			json_pack("{s:s, s:s, s:s, s:s, s:s, s:b, s:s, s:s, s:s, s:I, s:I, s:I}",
				  "stream", id, "service", s->out ? "xmpp-dial" : "xmpp-server",
				  "edge", s->edge, "edge_stream", edge_id, "client",
				  addr_text(&s->peer, peer), "admitted", s->state == FED_BYTES,
				  "aors", s->ours.text, "server", s->theirs.text, "state",
				  states[s->state], "bytes_in", (json_int_t)s->pair.from_link,
				  "bytes_out", (json_int_t)s->pair.to_link, "age_s",
				  (json_int_t)((loop_now_ms(f->p.loop) - s->since_ms) / 1000)));
	}
}
