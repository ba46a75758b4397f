/* user/core_xmpp_show.c -- what sallyctl sees of the core's chat. In: struct core_xmpp. Out: JSON made on the spot. */
#include <limits.h>
#include <stdio.h>

#include "user/core_xmpp_impl.h"
#include "user/summary.h"

const char *xmpp_end_text(enum xmpp_end e)
{
	static const char *const texts[XMPP_ENDS] = {
		[XMPP_END_ADMITTED] = "in order",
		[XMPP_END_CLIENT] = "client left",
		[XMPP_END_REFUSED] = "client refused",
		[XMPP_END_DOMAIN] = "no such domain",
		[XMPP_END_SERVER] = "no server",
		[XMPP_END_ERROR] = "server's error",
		[XMPP_END_ATTEMPTS] = "failed attempts",
		[XMPP_END_TIME] = "too late",
		[XMPP_END_CUT] = "cut off",
		[XMPP_END_MEMORY] = "out of memory",
	};

	return e < XMPP_ENDS ? texts[e] : "unknown";
}

void core_xmpp_sum(const struct core_xmpp *x, struct summary_streams *out)
{
	const struct xmpp_stream *s;
	const char *why;

	for (s = x ? x->streams : NULL; s; s = s->next) {
		if (s->w)
			continue; /* not admitted */
		out->admitted++;
		out->rungs[conn_rung(s->pair.link, &why)]++;
	}
}

unsigned core_xmpp_count(const struct core_xmpp *x)
{
	return x ? x->n : 0;
}

uint64_t core_xmpp_refused(const struct core_xmpp *x, unsigned i, const char **name)
{
	switch (x ? i : UINT_MAX) {
	case 0:
		*name = "chat-full";
		return x->refused_full;
	case 1:
		*name = "chat-login";
		return x->failed;
	case 2:
		*name = "chat-denied";
		return x->denied;
	default:
		*name = NULL;
		return 0;
	}
}

json_t *core_xmpp_show(const struct core_xmpp *x)
{
	json_t *ends = json_object();
	unsigned i;

	if (!x) {
		json_decref(ends);
		return json_null();
	}
	for (i = 0; i < XMPP_ENDS; i++)
		json_object_set_new(ends, xmpp_end_text((enum xmpp_end)i),
				    json_integer((json_int_t)x->ends[i]));
	return json_pack("{s:i, s:i, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:o, s:o}",
			 "streams", (int)x->n, "admitted", (int)x->n_admitted, "opened",
			 (json_int_t)x->opened, "refused_full", (json_int_t)x->refused_full,
			 "logins", (json_int_t)x->logins, "login_failures", (json_int_t)x->failed,
			 "denied", (json_int_t)x->denied, "moved_home", (json_int_t)x->moved,
			 "redirects", (json_int_t)x->redirects, "bans", (json_int_t)x->bans,
			 "channel_binding_cut", (json_int_t)x->plus, "ends", ends, "clusters",
			 xmpp_nodes_show(x->nodes));
}

static json_t *row(const struct xmpp_stream *s, uint64_t now)
{
	char id[24], edge_id[24], client[ADDR_TEXT_MAX], node[280] = "none";
	enum tls_rung rung;
	const char *why;

	snprintf(id, sizeof(id), "%llx", (unsigned long long)s->id);
	snprintf(edge_id, sizeof(edge_id), "%llx", (unsigned long long)s->edge_stream);
	if (s->node)
		snprintf(node, sizeof(node), "%s:%u", s->node->host, s->node->port);
	rung = conn_rung(s->pair.link, &why);
	return json_pack(
		"{s:s, s:s, s:s, s:s, s:s, s:b, s:s, s:s, s:I, s:I, s:I, s:b, s:b, s:s, s:s, "
		"s:s}",
		"stream", id, "service", "xmpp", "edge", s->edge, "edge_stream", edge_id, "client",
		addr_text(&s->client, client), "admitted", !s->w, "aors", s->name ? s->name : "",
		"server", node, "bytes_in", (json_int_t)s->pair.from_link, "bytes_out",
		(json_int_t)s->pair.to_link, "age_s", (json_int_t)((now - s->since_ms) / 1000),
		"kept", false, "taken_over", false, "client_tls", s->tls, "rung",
		rung == TLS_RUNG_A   ? "kernel TLS"
		: rung == TLS_RUNG_B ? "kernel TLS send"
				     : "user TLS",
		"reason", why);
}

void core_xmpp_rows(const struct core_xmpp *x, json_t *list)
{
	const struct xmpp_stream *s;

	for (s = x ? x->streams : NULL; s; s = s->next)
		json_array_append_new(list, row(s, loop_now_ms(x->p.loop)));
}
