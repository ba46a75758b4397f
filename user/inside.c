/* user/inside.c -- between the core and its call servers: which one it is, where it is, by which way. See inside.h. */
#include "user/inside.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "user/inside_int.h"
#include "user/log.h"

#define INSIDE_DNS_RETRY_S 10

const char *const inside_transport_names[3] = {"udp", "tcp", "tls"};

/* Several call servers may share a host: then the port tells, where it is the one they are reached at. */
static bool inside_is_at(const struct addr *list, unsigned n, const struct addr *from, bool port)
{
	unsigned i;

	for (i = 0; i < n; i++)
		if (addr_ip_eq(&list[i], from) && (!port || list[i].port == from->port))
			return true;
	return false;
}

int inside_server_of(const struct inside *in, const struct addr *from)
{
	unsigned i;

	for (i = 0; i < in->p.n_servers; i++)
		if (inside_is_at(in->servers[i].targets, in->servers[i].n_targets, from, true))
			return (int)i;
	for (i = 0; i < in->p.n_servers; i++) {
		const struct inside_server *s = &in->servers[i];

		if (inside_is_at(s->sources, s->n_sources, from, false) ||
		    inside_is_at(s->targets, s->n_targets, from, false))
			return (int)i;
	}
	return -1;
}

bool inside_is_target(const struct inside_server *v, const struct addr *at)
{
	unsigned i;

	for (i = 0; i < v->n_targets; i++)
		if (addr_eq(&v->targets[i], at))
			return true;
	return false;
}

void inside_malformed(struct inside *in, unsigned server, enum sip_why why)
{
	in->malformed++;
	log_event(LOG_L_WARN, "inside-malformed", "server=%s reason=\"%s\"",
		  in->p.servers[server].name, sip_why_text(why));
}

void inside_failed(struct inside *in, unsigned server, const struct addr *to,
		   enum engine_failure how, const char *why)
{
	in->servers[server].failures++;
	in->p.ops->failed(in->p.arg, server, to, how, why);
}

/* An answer whose stream is gone goes to a stream of its host, else to where requests go. */
static int inside_stream_send(struct inside *in, const struct inside_out *o)
{
	const struct inside_server *v = &in->servers[o->server];
	struct addr to = o->to;
	struct inside_stream *s = NULL;
	unsigned i;
	int err;

	if (o->answer)
		s = inside_stream_any(in, o->server, &to);
	for (i = 0; o->answer && !s && i < v->n_targets; i++)
		if (i == 0 || addr_ip_eq(&v->targets[i], &o->to))
			to = v->targets[i];
	if (!s && !to.port)
		return -ENOENT;
	if (!s) {
		err = inside_stream_to(in, o->server, o->transport, &to, &s);
		if (err)
			return err;
	}
	return conn_write(s->conn, o->data);
}

int inside_send(struct inside *in, const struct inside_out *o)
{
	struct inside_stream *s = o->conn ? inside_stream_by_id(in, o->conn) : NULL;

	in->servers[o->server].sent++;
	if (s)
		return conn_write(s->conn, o->data);
	if (o->transport != ENGINE_UDP)
		return inside_stream_send(in, o);
	return o->to.port ? inside_udp_send(in, &o->to, o->data) : -ENOENT;
}

/* ---- where a call server is ------------------------------------------------------------------------------------------- */

static void inside_ask(void *arg);

/* What the UDP socket cannot reach for its family is no target, unless there is nothing else. */
static bool inside_usable(const struct inside_server *v, const struct addr *a)
{
	return v->transport != ENGINE_UDP || !v->in->udp_v4_only || addr_is_v4(a);
}

static void inside_targets(struct inside_server *v, const struct dns_target *list, unsigned n)
{
	struct engine_target t[ENGINE_TARGETS_MAX];
	unsigned i, k = 0, usable = 0;

	_Static_assert(ENGINE_TARGETS_MAX == DNS_TARGETS_MAX, "one size of answer");
	for (i = 0; i < n; i++)
		usable += inside_usable(v, &list[i].addr);
	for (i = 0; i < n; i++) {
		if (usable && !inside_usable(v, &list[i].addr))
			continue;
		t[k] = (struct engine_target){.addr = list[i].addr,
					      .priority = list[i].priority,
					      .weight = list[i].weight};
		v->targets[k] = list[i].addr;
		k++;
	}
	v->n_targets = k;
	v->in->p.ops->targets(v->in->p.arg, (unsigned)(v - v->in->servers), t, k);
}

static void inside_resolved(void *arg, int err, const struct dns_target *targets, unsigned n,
			    unsigned ttl_s)
{
	struct inside_server *v = arg;

	if (err == -ECANCELED)
		return;
	v->asking = false;
	if (err) {
		v->failures++;
		log_event(LOG_L_WARN, "inside-dns", "server=%s name=%s error=\"%s\"", v->cfg->name,
			  v->cfg->address, strerror(-err));
		ttl_s = INSIDE_DNS_RETRY_S; /* what was known stays in use meanwhile */
	} else {
		inside_targets(v, targets, n);
	}
	loop_timer_set(v->in->p.loop, &v->refresh, (uint64_t)ttl_s * 1000);
}

static void inside_ask(void *arg)
{
	static const char *const service[] = {"_sip._udp", "_sip._tcp", "_sips._tcp"};
	struct inside_server *v = arg;
	int err;

	if (v->asking)
		return;
	v->asking = true;
	err = dns_service(v->in->p.dns, service[v->transport], v->cfg->address,
			  v->transport == ENGINE_TLS ? 5061 : 5060, inside_resolved, v);
	if (err) {
		v->asking = false;
		loop_timer_set(v->in->p.loop, &v->refresh, INSIDE_DNS_RETRY_S * 1000);
	}
}

static int inside_server_init(struct inside *in, unsigned i, char *why, size_t why_n)
{
	struct inside_server *v = &in->servers[i];
	const struct config_call_server *c = &in->p.servers[i];
	struct dns_target one = {0};
	unsigned j;

	v->in = in;
	v->cfg = c;
	v->refresh = (struct loop_timer){.fn = inside_ask, .arg = v};
	v->transport = !strcmp(c->transport, "tls")   ? ENGINE_TLS
		       : !strcmp(c->transport, "tcp") ? ENGINE_TCP
						      : ENGINE_UDP;
	if (v->transport == ENGINE_TLS && !in->p.tls_client) {
		snprintf(why, why_n,
			 "call server %s: transport tls needs sip.tls (certificate, key, ca)",
			 c->name);
		return -EINVAL;
	}
	for (j = 0; j < c->sources_count; j++) {
		if (j == INSIDE_SOURCES || addr_parse(span_str(c->sources[j]), &v->sources[j])) {
			snprintf(why, why_n, "call server %s: source %s: wanted up to %u addresses",
				 c->name, c->sources[j], INSIDE_SOURCES);
			return -EINVAL;
		}
		v->n_sources++;
	}
	if (addr_parse(span_str(c->address), &one.addr) == 0) {
		if (!one.addr.port)
			one.addr.port = v->transport == ENGINE_TLS ? 5061 : 5060;
		inside_targets(v, &one, 1);
	} else {
		inside_ask(v);
	}
	return 0;
}

int inside_new(const struct inside_params *p, struct inside **out, char *why, size_t why_n)
{
	struct inside *in = calloc(1, sizeof(*in));
	unsigned i;
	int err = -ENOMEM;

	if (!in)
		return -ENOMEM;
	in->p = *p;
	in->servers = calloc(p->n_servers, sizeof(*in->servers));
	in->dgram = malloc(p->message_max);
	if (!in->servers || !in->dgram) {
		snprintf(why, why_n, "out of memory");
		goto out;
	}
	err = inside_udp_start(in);
	for (i = 0; !err && i < p->n_servers; i++)
		err = inside_server_init(in, i, why, why_n);
	if (!err)
		err = inside_stream_listen(in);
	if (!err) {
		*out = in;
		return 0;
	}
	if (!why[0])
		snprintf(why, why_n, "inside listeners: %s", strerror(-err));
out:
	inside_free(in);
	return err;
}

void inside_free(struct inside *in)
{
	unsigned i;

	if (!in)
		return;
	loop_cancel(in->p.loop, &in->udp);
	loop_cancel(in->p.loop, &in->tcp);
	loop_cancel(in->p.loop, &in->tls);
	inside_stream_end_all(in);
	for (i = 0; in->servers && i < in->p.n_servers; i++)
		loop_timer_cancel(in->p.loop, &in->servers[i].refresh);
	free(in->servers);
	free(in->dgram);
	free(in);
}

json_t *inside_show(const struct inside *in)
{
	json_t *list = json_array();
	unsigned i;

	for (i = 0; i < in->p.n_servers; i++) {
		const struct inside_server *v = &in->servers[i];

		json_array_append_new(
			list,
			json_pack("{s:s, s:s, s:s, s:i, s:I, s:I, s:I}", "call_server",
				  v->cfg->name, "transport", inside_transport_names[v->transport],
				  "address", v->n_targets ? v->cfg->address : "unresolved",
				  "streams", (int)inside_stream_count(in, i), "sent",
				  (json_int_t)v->sent, "received", (json_int_t)v->received,
				  "failures", (json_int_t)v->failures));
	}
	return list;
}
