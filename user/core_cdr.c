/* user/core_cdr.c -- see core_cdr.h. */
#include "user/core_cdr.h"

#include "user/cdr.h"
#include "user/cdr_row.h"
#include "user/wall.h"

void core_cdr(struct core *c, const struct engine_action *a)
{
	struct core_stream *s = core_stream_find(c->streams, a->stream);
	json_t *flows, *row, *one;
	unsigned i;

	if (!c->cdr || a->call.what != ENGINE_CALL_ENDED)
		return;
	flows = json_array();
	for (i = 0; i < a->call.n_media; i++) {
		one = media_core_show_medium(c->media, a->call.media[i]);
		json_array_extend(flows, one);
		json_decref(one);
		media_pass_show_medium(c->pass, a->call.media[i], flows);
	}
	row = cdr_row(a, c->cfg->call_servers[a->server].name,
		      s ? s->edge
			: json_string_value(json_object_get(json_array_get(flows, 0), "edge")),
		      loop_now_ms(c->loop), wall_now_ms(), flows);
	json_decref(flows);
	if (row)
		cdr_put(c->cdr, row);
}
