/* user/core_http_show.c -- what sallyctl sees of HTTPS on the core. In: counters and streams. Out: JSON made on the spot. */
#include <stdio.h>
#include <string.h>

#include "user/core_http_impl.h"
#include "user/summary.h"

const char *core_http_outcome_name(enum core_http_outcome o)
{
	static const char *const names[CORE_HTTP_OUTCOMES] = {
		[CORE_HTTP_RELAYED] = "relayed",
		[CORE_HTTP_CONFIGURED] = "configured",
		[CORE_HTTP_TUNNELLED] = "tunnelled",
		[CORE_HTTP_MALFORMED] = "malformed",
		[CORE_HTTP_NO_SERVICE] = "no_service",
		[CORE_HTTP_UNAUTHORISED] = "unauthorised",
		[CORE_HTTP_DENIED] = "denied",
		[CORE_HTTP_TOO_MANY] = "too_many",
		[CORE_HTTP_LOGON_FAILED] = "logon_failed",
		[CORE_HTTP_SERVER_FAILED] = "server_failed",
		[CORE_HTTP_BUSY] = "busy",
		[CORE_HTTP_CUT] = "cut",
		[CORE_HTTP_CLIENT_GONE] = "client_gone",
	};

	return names[o];
}

static json_t *outcomes(const struct core_http *h)
{
	json_t *j = json_object();
	unsigned i;

	for (i = 0; i < CORE_HTTP_OUTCOMES; i++)
		json_object_set_new(j, core_http_outcome_name(i),
				    json_integer((json_int_t)h->stats.outcomes[i]));
	return j;
}

void core_http_sum(const struct core_http *h, struct summary_streams *out)
{
	const struct core_http_stream *s;
	const char *why;

	for (s = h->streams; s; s = s->next) {
		if (!s->admitted)
			continue;
		out->admitted++;
		out->rungs[conn_rung(s->conn, &why)]++;
	}
}

static json_t *upstream_counts(const struct upstream *u)
{
	static const char *const names[UPSTREAM_WHYS] = {
		[UPSTREAM_OK] = NULL,
		[UPSTREAM_NAME] = "no_address",
		[UPSTREAM_CONNECT] = "not_reached",
		[UPSTREAM_CERTIFICATE] = "certificate",
		[UPSTREAM_TLS] = "tls",
		[UPSTREAM_TIMEOUT] = "timeout",
		[UPSTREAM_BUSY] = "busy",
		[UPSTREAM_CUT] = "cut",
		[UPSTREAM_ANSWER] = "malformed",
	};
	const struct upstream_stats *s = upstream_stats(u);
	json_t *failures = json_object();
	unsigned i;

	for (i = 1; i < UPSTREAM_WHYS; i++)
		json_object_set_new(failures, names[i], json_integer((json_int_t)s->failures[i]));
	return json_pack("{s:I, s:I, s:I, s:I, s:I, s:o, s:I, s:I, s:I, s:i, s:i, s:i, s:i, s:i}",
			 "requests", (json_int_t)s->requests, "reused", (json_int_t)s->reused,
			 "dialed", (json_int_t)s->dialed, "failed_over", (json_int_t)s->failed_over,
			 "repeated", (json_int_t)s->repeated, "failures", failures, "targets_full",
			 (json_int_t)s->targets_full, "conns_full", (json_int_t)s->conns_full,
			 "waiters_full", (json_int_t)s->waiters_full, "known", (int)s->targets,
			 "connections", (int)s->conns, "idle", (int)s->idle, "tunnels",
			 (int)s->tunnels, "waiting", (int)s->waiters);
}

json_t *core_http_show(const struct core_http *h)
{
	const struct core_http_stats *s = &h->stats;

	return json_pack(
		"{s:i, s:I, s:I, s:i, s:i, s:I, s:o, s:I, s:I, s:I, s:I, s:I, s:I, s:I, "
		"s:I, s:o, s:o, s:o}",
		"streams", (int)s->streams, "streams_total", (json_int_t)s->streams_total,
		"streams_refused", (json_int_t)s->streams_refused, "active", (int)s->active,
		"users", (int)s->users, "requests", (json_int_t)s->requests, "outcomes",
		outcomes(h), "revoked", (json_int_t)s->revoked, "slow_heads",
		(json_int_t)s->slow_heads, "slow_bodies", (json_int_t)s->slow_bodies,
		"slow_readers", (json_int_t)s->slow_readers, "bytes_in", (json_int_t)s->bytes_in,
		"bytes_out", (json_int_t)s->bytes_out, "tokens_checked",
		(json_int_t)s->tokens_checked, "tokens_remembered",
		(json_int_t)s->tokens_remembered, "upstream", upstream_counts(h->p.upstream),
		"targets", upstream_show(h->p.upstream), "logon", logon_show(h->p.logon));
}

static const char *phase_text(const struct core_http_stream *s)
{
	static const char *const texts[] = {"idle",    "log on", "edge config", "connecting",
					    "request", "answer", "tunnel"};

	return texts[s->phase];
}

void core_http_streams(const struct core_http *h, json_t *list)
{
	uint64_t now = loop_now_ms(h->p.loop);
	const struct core_http_stream *s;
	char id[24], edge_id[24];
	const char *why;

	for (s = h->streams; s; s = s->next) {
		enum tls_rung rung = conn_rung(s->conn, &why);
		bool who = s->phase != HTTP_IDLE && *s->w->who;

		(void)snprintf(id, sizeof(id), "%llx", (unsigned long long)s->id);
		(void)snprintf(edge_id, sizeof(edge_id), "%llx",
			       (unsigned long long)s->edge_stream);
		json_array_append_new(
			list,
			json_pack("{s:s, s:s, s:s, s:s, s:s, s:b, s:s, s:s, s:I, s:I, s:I, s:I, "
				  "s:b, s:b, s:s, s:s, s:s}",
				  "stream", id, "service", "https", "edge", s->edge, "edge_stream",
				  edge_id, "client", s->client_text, "admitted", s->admitted,
				  "user", who ? s->w->who : "", "phase", phase_text(s),
				  "messages_in", (json_int_t)s->requests, "bytes_in",
				  (json_int_t)s->bytes_in, "bytes_out", (json_int_t)s->bytes_out,
				  "age_s", (json_int_t)((now - s->since_ms) / 1000), "kept", 0,
				  "taken_over", 0, "client_tls", s->tls, "rung",
				  rung == TLS_RUNG_A   ? "kernel TLS"
				  : rung == TLS_RUNG_B ? "kernel TLS send"
						       : "user TLS",
				  "reason", why));
	}
}
