/* user/stream_show.c -- the streams as JSON for the admin socket. See stream_impl.h. Reads only. */
#include <stdio.h>

#include "user/stream_impl.h"
#include "user/summary.h"

#define SHOWN_MAX 4096 /* rows of one answer; the status has the true counts */

static const char *const rung_names[] = {
	[TLS_RUNG_A] = "kernel TLS",
	[TLS_RUNG_B] = "kernel TLS send",
	[TLS_RUNG_C] = "user TLS",
};

/* Streams of servers: nobody's TLS is ours. A connection that is relayed is the worker's before us. */
static bool is_plain(const struct stream *s)
{
	return !conn_tls(s->client) && !conn_relayed(s->client);
}

/* Admitted streams by the rung of their client's side. */
void streams_sum(const struct streams *t, struct summary_streams *out)
{
	const struct stream *s;
	const char *why;
	unsigned i;

	for (i = 0; i < STREAM_BUCKETS; i++)
		for (s = t->buckets[i]; s; s = s->hash_next) {
			if (s->state != STREAM_ADMITTED)
				continue;
			out->admitted++;
			if (is_plain(s))
				out->plain++;
			else
				out->rungs[conn_rung(s->client, &why)]++;
		}
}

unsigned streams_now(const struct streams *t, enum stream_service_id service)
{
	return t->counts[service].n;
}

uint64_t streams_refused(const struct streams *t, enum gate_reason reason)
{
	uint64_t n = 0;
	unsigned i;

	for (i = 0; i < STREAM_SERVICES; i++)
		n += t->counts[i].n_by_reason[reason];
	return n;
}

static json_t *rungs_json(const struct streams *t)
{
	struct summary_streams n = {};
	json_t *j = json_object();
	unsigned i;

	streams_sum(t, &n);
	for (i = 0; i <= TLS_RUNG_C; i++)
		json_object_set_new(j, rung_names[i], json_integer(n.rungs[i]));
	json_object_set_new(j, "plain", json_integer(n.plain));
	return j;
}

/* The rung of the worse side, and what keeps it there. */
static const char *stream_rung(const struct stream *s, const char **why)
{
	const char *why_core = "";
	enum tls_rung client = conn_rung(s->client, why),
		      core = s->core ? conn_rung(s->core, &why_core) : TLS_RUNG_C;

	if (s->state != STREAM_ADMITTED)
		*why = "it is not admitted yet";
	else if (conn_relayed(s->client))
		; /* whatever this worker could do */
	else if (s->use->ktls == KTLS_MODE_OFF)
		*why = s->use->ktls_off;
	else if (client == TLS_RUNG_A && core != TLS_RUNG_A)
		*why = why_core;
	return is_plain(s) ? "plain" : rung_names[client];
}

/* Counts of refusals by reason: of one service, or of all. */
static json_t *refused_json(const struct streams *t, unsigned from, unsigned to)
{
	json_t *j = json_object();
	uint64_t n;
	unsigned i, k;

	for (i = GATE_OK + 1; i < GATE_REASONS; i++) {
		for (n = 0, k = from; k < to; k++)
			n += t->counts[k].n_by_reason[i];
		json_object_set_new(j, gate_reason_name(i), json_integer((json_int_t)n));
	}
	return j;
}

static json_t *services_json(const struct streams *t)
{
	json_t *j = json_object();
	const struct stream_counts *c;
	unsigned i;

	for (i = 0; i < STREAM_SERVICES; i++) {
		c = &t->counts[i];
		if (t->p.use[i].service)
			json_object_set_new(j, t->p.use[i].service->name,
					    json_pack("{s:i,s:I,s:I,s:o}", "streams", (int)c->n,
						      "opened", (json_int_t)c->opened,
						      "admitted_total", (json_int_t)c->admitted,
						      "refused", refused_json(t, i, i + 1)));
	}
	return j;
}

json_t *streams_status(const struct streams *t)
{
	uint64_t opened = 0, admitted = 0;
	unsigned n[STREAM_STATES] = {}, relayed = 0, i;
	json_t *states = json_object();
	const struct stream *s;

	for (i = 0; i < STREAM_BUCKETS; i++)
		for (s = t->buckets[i]; s; s = s->hash_next) {
			n[s->state]++;
			relayed += conn_relayed(s->client) || (s->core && conn_relayed(s->core));
		}
	for (i = 0; i < STREAM_ENDED; i++)
		json_object_set_new(states, stream_state_name(i), json_integer(n[i]));
	for (i = 0; i < STREAM_SERVICES; i++) {
		opened += t->counts[i].opened;
		admitted += t->counts[i].admitted;
	}
	return json_pack("{s:i,s:i,s:i,s:I,s:I,s:I,s:I,s:o,s:o,s:o,s:o,s:I,s:I,s:I,s:I}", "streams",
			 (int)t->n, "relayed", (int)relayed, "unadmitted", (int)t->n_unadmitted,
			 "opened", (json_int_t)opened, "admitted_total", (json_int_t)admitted,
			 "truncated", (json_int_t)t->truncated, "unknown_orders",
			 (json_int_t)t->unknown_orders, "states", states, "refused",
			 refused_json(t, 0, STREAM_SERVICES), "services", services_json(t), "rungs",
			 rungs_json(t), "spliced_bytes", (json_int_t)t->mover.spliced, "taken_over",
			 (json_int_t)t->adopted, "lost_with_worker", (json_int_t)t->lost,
			 "not_lodged", (json_int_t)t->not_lodged);
}

static const char *waits_for(const struct stream *s)
{
	static const char *const texts[STREAM_STATES] = {
		[STREAM_HANDSHAKE] = "TLS handshake",
		[STREAM_GATE] = "admission by the core",
		[STREAM_WAIT] = "a core for the domain, or an idle data connection",
		[STREAM_HOLD] = "an Admit that may be on its way",
		[STREAM_ADMITTED] = "",
		[STREAM_HALF] = "the core's end",
		[STREAM_ENDED] = "",
	};

	return s->state == STREAM_GATE && !s->core ? "a first message" : texts[s->state];
}

static json_t *stream_json(const struct stream *s)
{
	const struct streams *t = s->all;
	char id[20], peer[ADDR_TEXT_MAX];
	const char *why, *core_why, *rung = stream_rung(s, &why);

	snprintf(id, sizeof(id), "%llx", (unsigned long long)s->id);
	return json_pack("{s:s,s:s,s:s,s:s,s:s,s:b,s:s,s:I,s:I,s:I,s:s,s:s,s:s,s:s,s:s,s:s}",
			 "stream", id, "peer", addr_text(&s->peer, peer), "service",
			 s->use->service->name, "core",
			 s->core_index < 0 ? "" : t->p.cfg->link.cores[s->core_index].name, "state",
			 stream_state_name(s->state), "admitted", s->state == STREAM_ADMITTED,
			 "waits_for", waits_for(s), "bytes_in", (json_int_t)s->bytes_in,
			 "bytes_out", (json_int_t)s->bytes_out, "age_s",
			 (json_int_t)((loop_now_ms(t->p.loop) - s->since_ms) / 1000), "tls_version",
			 s->tls_version, "tls_cipher", s->tls_cipher, "sni", s->sni ? s->sni : "",
			 "rung", rung, "link_rung",
			 s->core ? rung_names[conn_rung(s->core, &core_why)] : "", "reason", why);
}

json_t *streams_show(const struct streams *t)
{
	json_t *a = json_array();
	const struct stream *s;
	unsigned i;

	for (i = 0; i < STREAM_BUCKETS; i++)
		for (s = t->buckets[i]; s && json_array_size(a) < SHOWN_MAX; s = s->hash_next)
			json_array_append_new(a, stream_json(s));
	return a;
}

json_t *streams_why(const struct streams *t, uint64_t id)
{
	const struct stream *s = t->buckets[id & (STREAM_BUCKETS - 1)];

	while (s && s->id != id)
		s = s->hash_next;
	return s ? stream_json(s) : NULL;
}
