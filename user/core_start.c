/* user/core_start.c -- what the core makes of its configuration once, at start: names, addresses, keys, TLS contexts.
 * In: struct config_core and the keeper's descriptors. Out: the constant part of struct core, which owns it. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "user/core_int.h"
#include "user/keeper.h"

#define CORE_TOKEN_KEY_MIN 32

static void core_wipe(char *text, size_t n)
{
	if (text)
		explicit_bzero(text, n);
	free(text);
}

int core_tls_ctx(struct tls_params *p, const char *name, struct tls_ctx **out, char *why,
		 size_t why_n)
{
	char *cert = NULL, *key = NULL, *ca = NULL, file[32], reason[TLS_WHY_MAX] = "";
	size_t cert_n = 0, key_n = 0, ca_n = 0;
	int err;

	snprintf(file, sizeof(file), "%s.cert", name);
	err = keeper_read(file, &cert, &cert_n);
	snprintf(file, sizeof(file), "%s.key", name);
	if (!err)
		err = keeper_read(file, &key, &key_n);
	snprintf(file, sizeof(file), "%s.ca", name);
	if (!err)
		err = keeper_read(file, &ca, &ca_n);
	if (err) {
		snprintf(why, why_n, "%s.tls: certificate, key or ca: %s", name, strerror(-err));
		goto out;
	}
	p->cert_pem = span_of(cert, cert_n);
	p->key_pem = span_of(key, key_n);
	p->ca_pem = span_of(ca, ca_n);
	err = tls_ctx_new(p, out, reason);
	if (err)
		snprintf(why, why_n, "%s.tls: %s", name, reason);
out:
	core_wipe(key, key_n);
	free(cert);
	free(ca);
	return err;
}

/* The host and port that call servers see: sip.advertise, else the listener's own address. */
static int core_inside_name(struct core *c, char *why, size_t why_n)
{
	const char *text = c->cfg->sip.advertise ? c->cfg->sip.advertise : c->cfg->sip.listen;
	struct addr a;
	char *colon, ip[ADDR_TEXT_MAX];

	c->inside_port = 5060;
	c->inside_tls_port = 5061;
	if (c->cfg->sip.tls_listen && addr_parse(span_str(c->cfg->sip.tls_listen), &a) == 0 &&
	    a.port)
		c->inside_tls_port = a.port;
	if (addr_parse(span_str(text), &a) == 0) {
		if (addr_is_any(&a)) {
			snprintf(why, why_n,
				 "sip.listen is %s: sip.advertise must name the address that call "
				 "servers reach",
				 text);
			return -EINVAL;
		}
		addr_ip_text(&a, ip);
		snprintf(c->inside_host, sizeof(c->inside_host), addr_is_v4(&a) ? "%s" : "[%s]",
			 ip);
		c->inside_port = a.port ? a.port : 5060;
		return 0;
	}
	if (strlen(text) >= sizeof(c->inside_host))
		return -ENAMETOOLONG;
	strcpy(c->inside_host, text);
	colon = strchr(c->inside_host, ':');
	if (colon) {
		c->inside_port = (uint16_t)strtoul(colon + 1, NULL, 10);
		*colon = 0;
	}
	return 0;
}

/* Domains that only chat has are announced as well. */
static void core_values_chat(struct core *c)
{
	const struct config_xmpp *x = &c->cfg->xmpp;
	unsigned i, j, k;

	for (i = 0; i < x->clusters_count; i++)
		for (j = 0; j < x->clusters[i].domains_count; j++) {
			const char *d = x->clusters[i].domains[j];

			for (k = 0; k < c->n_domains && strcasecmp(c->domains[k], d); k++)
				;
			if (k == c->n_domains)
				c->domains[c->n_domains++] = d;
		}
}

static int core_values_servers(struct core *c, char *why, size_t why_n)
{
	const struct config_core *cfg = c->cfg;
	unsigned i, j, n = 0;

	if (cfg->call_servers_count > CORE_SERVERS_MAX) {
		snprintf(why, why_n, "call_servers: at most %u, got %u", CORE_SERVERS_MAX,
			 cfg->call_servers_count);
		return -EINVAL;
	}
	for (i = 0; i < cfg->call_servers_count; i++)
		n += cfg->call_servers[i].domains_count;
	for (i = 0; i < cfg->xmpp.clusters_count; i++)
		n += cfg->xmpp.clusters[i].domains_count;
	c->servers = calloc(cfg->call_servers_count, sizeof(*c->servers));
	c->domains = calloc(n + 1, sizeof(*c->domains));
	if (!c->servers || !c->domains)
		return -ENOMEM;
	for (i = 0; i < cfg->call_servers_count; i++) {
		const struct config_call_server *s = &cfg->call_servers[i];

		c->servers[i] = (struct engine_server){
			.name = s->name,
			.transport = !strcmp(s->transport, "tls")   ? ENGINE_TLS
				     : !strcmp(s->transport, "tcp") ? ENGINE_TCP
								    : ENGINE_UDP,
			.domains = (const char *const *)s->domains,
			.n_domains = s->domains_count,
			.trusted_headers = (const char *const *)s->trusted_headers,
			.n_trusted_headers = s->trusted_headers_count,
			.contact_mode = !strcmp(s->mode, "contact"),
			.any_digest_user = !strcmp(s->digest_user, "any"),
			.pass = !strcmp(s->media, "passthrough"),
			.per_connection = !strcmp(s->registrations, "connection"),
		};
		for (j = 0; j < s->domains_count; j++)
			c->domains[c->n_domains++] = s->domains[j];
	}
	core_values_chat(c);
	return 0;
}

static int core_values_edges(struct core *c, char *why, size_t why_n)
{
	const struct config_core *cfg = c->cfg;
	unsigned i;

	c->n_edges = cfg->link.edges_count;
	c->edges = calloc(c->n_edges + 1, sizeof(*c->edges));
	c->link_edges = calloc(c->n_edges + 1, sizeof(*c->link_edges));
	if (!c->edges || !c->link_edges)
		return -ENOMEM;
	for (i = 0; i < c->n_edges; i++) {
		const struct config_core_edge *e = &cfg->link.edges[i];

		c->edges[i].name = e->name;
		c->link_edges[i] = (struct link_core_edge){.name = e->name, .pool = e->pool};
		if (addr_parse(span_str(e->address), &c->link_edges[i].address)) {
			snprintf(why, why_n,
				 "link.edges: %s: address: wanted ADDRESS:PORT, got \"%s\"",
				 e->name, e->address);
			return -EINVAL;
		}
		if (!c->link_edges[i].address.port)
			c->link_edges[i].address.port = 7001;
	}
	return 0;
}

int core_start_values(struct core *c, char *why, size_t why_n)
{
	int err = core_inside_name(c, why, why_n);

	if (!err)
		err = core_values_servers(c, why, why_n);
	if (!err)
		err = core_values_edges(c, why, why_n);
	if (err)
		goto out;
	err = keeper_read("token_key", &c->token_key, &c->token_key_n);
	if (!err && c->token_key_n < CORE_TOKEN_KEY_MIN) {
		snprintf(why, why_n, "token_key: wanted a file of %u bytes or more, got %zu",
			 CORE_TOKEN_KEY_MIN, c->token_key_n);
		return -EINVAL;
	}
out:
	if (err && !why[0])
		snprintf(why, why_n, "start: %s", strerror(-err));
	return err;
}

void core_stop_values(struct core *c)
{
	core_wipe(c->token_key, c->token_key_n);
	free(c->servers);
	free(c->domains);
	free(c->edges);
	free(c->link_edges);
}
