/* user/edge_service.c -- what the edge serves to clients: per service its TLS, its gate's configuration and its listeners.
 *
 * In: the configuration, and the keeper's descriptors NAME.cert, NAME.key, listen.NAME.N. Out: struct stream_use for the streams.
 * Owner: struct edge has all of it. A service whose section is left out is off: no struct stream_use, no listener. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

#include "user/edge_impl.h"
#include "user/keeper.h"
#include "user/log.h"

static const struct edge_service {
	const char *name; /* of the section and of the descriptors */
	size_t off;
	const struct stream_service *service;
	const char *alpn;
} services[STREAM_SERVICES] = {
	[STREAM_SIP] = {"sip", offsetof(struct config_edge, sip), &gate_sip_service, NULL},
	[STREAM_HTTPS] = {"https", offsetof(struct config_edge, https), &gate_http_service,
			  "http/1.1"},
	[STREAM_XMPP] = {"xmpp", offsetof(struct config_edge, xmpp), &gate_xmpp_service,
			 "xmpp-client"},
	[STREAM_XMPP_SERVER] = {"xmpp-server", offsetof(struct config_edge, xmpp),
				&gate_federation_service, NULL},
};

static const struct config_service *config_of(const struct edge *e, unsigned i)
{
	return (const struct config_service *)((const char *)e->cfg + services[i].off);
}

static int tls_one(struct edge *e, unsigned i, char *why, size_t why_n)
{
	const struct config_service *c = config_of(e, i);
	struct tls_params p = {.server = true, .tickets = true, .alpn = services[i].alpn};
	struct stream_use *u = &e->use[i];
	char key[32];
	int err;

	snprintf(key, sizeof(key), "%s.ktls", services[i].name);
	err = ktls_policy(key, c->ktls, &e->ktls, &u->ktls, why, why_n);
	p.kernel = u->ktls != KTLS_MODE_OFF ? &e->ktls : NULL;
	if (!err)
		err = edge_tls_start(&p, services[i].name, false, &e->service_tls[i], why, why_n);
	ktls_why(&e->ktls, KTLS_1_3, KTLS_AES_128_GCM, KTLS_TX, e->ktls_off[i]);
	if (strcmp(c->ktls, "off") == 0)
		snprintf(e->ktls_off[i], sizeof(e->ktls_off[i]), "%s.ktls: off", services[i].name);
	u->tls = e->service_tls[i];
	u->ktls_off = e->ktls_off[i];
	u->ktls_after_seconds = c->ktls_after_seconds;
	u->ktls_after_bytes = c->ktls_after_bytes;
	return err;
}

static void xmpp_id(char out[GATE_XMPP_ID_MAX])
{
	uint64_t r[2] = {};

	/* Cannot fail: the pool was ready when the worker drew its seed. */
	if (getrandom(r, sizeof(r), 0) != sizeof(r))
		abort();
	snprintf(out, GATE_XMPP_ID_MAX, "%016llx%016llx", (unsigned long long)r[0],
		 (unsigned long long)r[1]);
}

/* The one domain that all cores together may announce; empty: there are more. */
static struct span only_domain(const struct config_edge *c)
{
	struct span only = {};
	unsigned i, k;

	for (i = 0; i < c->link.cores_count; i++)
		for (k = 0; k < c->link.cores[i].domains_count; k++) {
			struct span d = span_str(c->link.cores[i].domains[k]);

			if (only.n && !span_ieq(only, d))
				return (struct span){};
			only = d;
		}
	return only;
}

/* What is the service's own. */
static void gate_setup(struct edge *e, unsigned i)
{
	const struct config_edge *c = e->cfg;
	struct stream_use *u = &e->use[i];

	switch (i) {
	case STREAM_SIP:
		e->gate_sip = (struct gate_sip_config){.host = span_str(c->sip.host),
						       .message_max = c->limits.message_bytes,
						       .served = streams_serve,
						       .arg = (void *)c};
		u->config = &e->gate_sip;
		u->in_max =
			c->limits.message_bytes + 1024u; /* CRLFs ahead of the longest message */
		break;
	case STREAM_HTTPS:
		e->gate_http = (struct gate_http_config){
			.limits = http_limits_default,
			.requests_max = c->limits.http_requests_unadmitted,
			.served = streams_serve,
			.served_arg = (void *)c,
			.token = gate_http_keys_judge,
			.token_arg = e->token_keys,
			.only_domain = only_domain(c),
		};
		u->config = &e->gate_http;
		u->in_max = http_limits_default.head_max;
		u->message_ms = c->limits.http_head_seconds * 1000u;
		break;
	case STREAM_XMPP_SERVER:
		u->config = &e->gate_xmpp;
		u->in_max = TLS_HELLO_MAX + 1024u;
		u->ktls = KTLS_MODE_OFF;
		u->ktls_off = "its TLS is between the servers";
		break;
	case STREAM_XMPP:
		e->gate_xmpp =
			(struct gate_xmpp_config){.host = span_str(c->xmpp.host),
						  .bytes = c->limits.unadmitted_bytes,
						  .salt = (unsigned long)(e->seed ^ e->seed >> 32),
						  .served = streams_serve,
						  .arg = (void *)c,
						  .id = xmpp_id};
		u->config = &e->gate_xmpp;
		/* the longest element that the gate lets pass, and white space ahead of it */
		u->in_max = xmpp_limits_stranger.stanza + 1024u;
		break;
	default:
		break;
	}
}

static bool federation_is_on(const struct config_federation *f)
{
	return f->listen_count || (f->dial && strcmp(f->dial, "on") == 0);
}

int edge_services_start(struct edge *e, char *why, size_t why_n)
{
	unsigned i;
	int err = gate_http_keys_new(e->cfg, &e->token_keys);

	if (err)
		snprintf(why, why_n, "out of memory");
	for (i = 0; i < STREAM_SERVICES && !err; i++) {
		if (!config_of(e, i)->host)
			continue;
		if (i == STREAM_XMPP_SERVER && !federation_is_on(&e->cfg->xmpp.federation))
			continue;
		e->use[i].service = services[i].service;
		err = !e->use[i].service	? -EOPNOTSUPP
		      : i == STREAM_XMPP_SERVER ? 0
						: tls_one(e, i, why, why_n);
		if (err == -EOPNOTSUPP)
			snprintf(why, why_n, "%s: this build has no gate for it", services[i].name);
		else if (!err)
			gate_setup(e, i);
	}
	return err;
}

static int listen_at(struct edge *e, unsigned i, const char *prefix, bool plain, char *why,
		     size_t why_n)
{
	char name[48];
	unsigned k;
	int fd, err = 0;

	for (k = 0; !err; k++) {
		snprintf(name, sizeof(name), "listen.%s.%u", prefix, k);
		fd = keeper_fd(name);
		if (fd < 0)
			return 0;
		err = streams_listen(e->streams, fd, i, plain);
		if (err)
			snprintf(why, why_n, "%s: %s", name, strerror(-err));
	}
	return err;
}

int edge_services_listen(struct edge *e, char *why, size_t why_n)
{
	unsigned i;
	int err = 0;

	for (i = 0; i < STREAM_SERVICES && !err; i++)
		if (e->use[i].service)
			err = listen_at(e, i, services[i].name, i >= STREAM_XMPP, why, why_n);
	if (!err && e->use[STREAM_XMPP].service)
		err = listen_at(e, STREAM_XMPP, "xmpps", false, why, why_n);
	return err;
}

void edge_services_token_keys(struct edge *e, const char *core, const Sallyport__TokenKeys *m)
{
	unsigned i = 0;
	int err;

	while (i < e->cfg->link.cores_count && strcmp(e->cfg->link.cores[i].name, core) != 0)
		i++;
	err = gate_http_keys_set(e->token_keys, i, m);
	log_event(err ? LOG_L_ERROR : LOG_L_INFO, "token-keys",
		  "core=%s keys=%zu taken=%d error=%s", core, m->n_key, !err,
		  err ? strerrorname_np(-err) : "");
}

void edge_services_free(struct edge *e)
{
	unsigned i;

	gate_http_keys_free(e->token_keys);
	for (i = 0; i < STREAM_SERVICES; i++)
		tls_ctx_free(e->service_tls[i]);
}
