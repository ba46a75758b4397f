/* tools/doctor_probes.c -- which servers are asked what, and all of them at once. See doctor_facts.h.
 *
 * In: a configuration, the addresses that DNS gave. Out: "probes". Threads of a round are joined before the next one. */
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tools/doctor_facts.h"

#define AT_ONCE	  32
#define HOST_ADDR 4 /* addresses of one host that are asked */

struct doctor_probes {
	struct doctor_probe *list;
	unsigned n;
};

struct doctor_probes *doctor_probes_new(void)
{
	struct doctor_probes *all = calloc(1, sizeof(*all));

	if (all)
		all->list = calloc(DOCTOR_PROBES_MAX, sizeof(*all->list));
	return all;
}

struct doctor_probe *doctor_probe_add(struct doctor_probes *all, enum doctor_kind kind,
				      const char *group, const struct addr *to)
{
	struct doctor_probe *p;

	if (all->n == DOCTOR_PROBES_MAX)
		return NULL;
	p = &all->list[all->n++];
	p->kind = kind;
	p->group = group;
	p->to = *to;
	return p;
}

static void *one(void *arg)
{
	doctor_probe_run(arg);
	return NULL;
}

static json_t *probe_json(const struct doctor_probe *p)
{
	static const char *const kinds[] = {"tcp",  "tls",   "http",	"https",   "edge",
					    "xmpp", "xmpps", "sip-udp", "sip-tcp", "sip-tls"};
	char at[ADDR_TEXT_MAX];
	json_t *row =
		json_pack("{s:s, s:s, s:s, s:s, s:s, s:s, s:s}", "group", p->group, "what", p->what,
			  "kind", kinds[p->kind], "host", p->host, "address", addr_text(&p->to, at),
			  "name", *p->name ? p->name : p->host, "error", p->error);

	json_object_set_new(row, "tls", json_string(p->tls));
	json_object_set_new(row, "names", json_string(p->names));
	json_object_set_new(row, "fingerprint", json_string(p->fingerprint));
	json_object_set_new(row, "answer", json_string(p->answer));
	if (p->date_s) {
		json_object_set_new(row, "date_s", json_integer(p->date_s));
		json_object_set_new(row, "asked_s", json_integer(p->asked_s));
	}
	return row;
}

void doctor_probes_run(struct doctor_probes *all, json_t *node)
{
	json_t *rows = json_array();
	pthread_t threads[AT_ONCE];
	unsigned i, k, n;

	for (i = 0; i < all->n; i += n) {
		n = all->n - i < AT_ONCE ? all->n - i : AT_ONCE;
		for (k = 0; k < n; k++)
			if (pthread_create(&threads[k], NULL, one, &all->list[i + k])) {
				threads[k] = 0;
				doctor_probe_run(&all->list[i + k]);
			}
		for (k = 0; k < n; k++)
			if (threads[k])
				pthread_join(threads[k], NULL);
	}
	for (i = 0; i < all->n; i++)
		json_array_append_new(rows, probe_json(&all->list[i]));
	json_object_set_new(node, "probes", rows);
	free(all->list);
	free(all);
}

/* ---- the edge's own listeners: is what they show what the files hold? ---- */

/* On this host: another machine that has the address would be asked else. */
static bool bound_here(const json_t *node, const char *address)
{
	const json_t *l;
	size_t i;

	json_array_foreach(json_object_get(node, "listeners"), i, l)
	{
		if (!strcmp(json_string_value(json_object_get(l, "address")), address))
			return json_is_true(json_object_get(l, "bound"));
	}
	return false;
}

static void own(struct doctor_probes *all, const json_t *node, enum doctor_kind kind,
		const char *what, const struct config_service *s, const char **listen, unsigned n,
		const char *ca)
{
	struct doctor_probe *p;
	struct addr a;
	uint16_t port;
	unsigned i;

	for (i = 0; i < n; i++) {
		if (addr_parse(span_str(listen[i]), &a) || !bound_here(node, listen[i]))
			continue;
		port = a.port;
		if (addr_is_any(&a)) /* all addresses: loopback is one of them */
			addr_parse(addr_is_v4(&a) ? SPAN("127.0.0.1") : SPAN("::1"), &a);
		a.port = port;
		p = doctor_probe_add(all, kind, "own", &a);
		if (!p)
			return;
		snprintf(p->what, sizeof(p->what), "%s", what);
		snprintf(p->host, sizeof(p->host), "%s", s->host);
		p->ca = ca;
	}
}

void doctor_plan_edge(struct doctor_probes *all, const json_t *node, const struct config_edge *c,
		      const char *ca)
{
	own(all, node, PROBE_TLS, "sip", &c->sip, c->sip.listen, c->sip.listen_count, ca);
	if (c->https.host)
		own(all, node, PROBE_TLS, "https", &c->https, c->https.listen,
		    c->https.listen_count, ca);
	if (c->xmpp.host)
		own(all, node, PROBE_TLS, "xmpp", &c->xmpp, c->xmpp.tls_listen,
		    c->xmpp.tls_listen_count, ca);
}

/* ---- what the core reaches ---- */

static void call_probe(struct doctor_probes *all, const struct config_core *c,
		       const struct config_call_server *s, const struct addr *to, const char *host)
{
	enum doctor_kind kind = !strcmp(s->transport, "tls")   ? PROBE_SIP_TLS
				: !strcmp(s->transport, "tcp") ? PROBE_SIP_TCP
							       : PROBE_SIP_UDP;
	struct doctor_probe *p = doctor_probe_add(all, kind, "call", to);

	if (!p)
		return;
	snprintf(p->what, sizeof(p->what), "%s", s->name);
	snprintf(p->host, sizeof(p->host), "%s", host);
	snprintf(p->name, sizeof(p->name), "%s", s->tls_name ? s->tls_name : host);
	snprintf(p->domain, sizeof(p->domain), "%s", s->domains[0]);
	p->ca = c->sip.tls.ca;
	p->cert = kind == PROBE_SIP_TLS ? c->sip.tls.certificate : NULL;
	p->key = c->sip.tls.key;
	if (!addr_parse(span_str(c->sip.listen), &p->from))
		p->from.port = 0;
}

static void call_host(struct doctor_probes *all, const json_t *node, const struct config_core *c,
		      const struct config_call_server *s, const char *host, uint16_t port)
{
	struct addr to[HOST_ADDR];
	unsigned i, n = doctor_addresses(node, host, port, to, HOST_ADDR);

	for (i = 0; i < n; i++)
		call_probe(all, c, s, &to[i], host);
}

/* The records that SRV of ....@suffix gave for @use; NULL: it was not asked. */
static const json_t *srv_records(const json_t *node, const char *suffix, const char *use)
{
	const json_t *row;
	size_t i;

	json_array_foreach(json_object_get(node, "dns"), i, row)
	{
		const char *name = json_string_value(json_object_get(row, "name"));
		size_t n = strlen(name), m = strlen(suffix);

		if (!strcmp(json_string_value(json_object_get(row, "type")), "SRV") &&
		    !strcmp(json_string_value(json_object_get(row, "for")), use) && n > m &&
		    name[n - m - 1] == '.' && !strcmp(name + n - m, suffix))
			return json_object_get(row, "records");
	}
	return NULL;
}

static void call_server(struct doctor_probes *all, const json_t *node, const struct config_core *c,
			const struct config_call_server *s)
{
	char host[256];
	const json_t *r, *records;
	uint16_t port = 0;
	size_t i;

	doctor_host_port(s->address, host, sizeof(host), &port);
	records = port ? NULL : srv_records(node, host, "call");
	if (!json_array_size(records)) {
		call_host(all, node, c, s, host,
			  port				 ? port
			  : !strcmp(s->transport, "tls") ? 5061
							 : 5060);
		return;
	}
	json_array_foreach(records, i, r)
	{
		call_host(all, node, c, s, json_string_value(json_object_get(r, "host")),
			  (uint16_t)json_integer_value(json_object_get(r, "port")));
	}
}

static void chat_host(struct doctor_probes *all, const json_t *node,
		      const struct config_xmpp_cluster *x, const char *domain, const char *host,
		      uint16_t port)
{
	enum doctor_kind kind = !strcmp(x->tls, "direct")     ? PROBE_XMPPS
				: !strcmp(x->tls, "starttls") ? PROBE_XMPP
							      : PROBE_TCP;
	struct addr to[HOST_ADDR];
	struct doctor_probe *p;
	unsigned i, n = doctor_addresses(node, host, port, to, HOST_ADDR);

	for (i = 0; i < n; i++) {
		p = doctor_probe_add(all, kind, "chat", &to[i]);
		if (!p)
			return;
		snprintf(p->what, sizeof(p->what), "%s", x->name);
		snprintf(p->host, sizeof(p->host), "%s", domain);
		snprintf(p->name, sizeof(p->name), "%s", x->tls_name ? x->tls_name : domain);
		snprintf(p->domain, sizeof(p->domain), "%s", domain);
		p->ca = x->ca;
	}
}

static void chat_cluster(struct doctor_probes *all, const json_t *node,
			 const struct config_xmpp_cluster *x)
{
	bool direct = !strcmp(x->tls, "direct");
	const json_t *r;
	char host[256];
	unsigned i;
	size_t k;

	for (i = 0; i < x->nodes_count; i++) {
		uint16_t port = direct ? 5223 : 5222;

		doctor_host_port(x->nodes[i], host, sizeof(host), &port);
		chat_host(all, node, x, x->domains[0], host, port);
	}
	for (i = 0; i < x->domains_count && !x->nodes_count; i++) {
		json_array_foreach(srv_records(node, x->domains[i], "chat"), k, r)
		{
			chat_host(all, node, x, x->domains[i],
				  json_string_value(json_object_get(r, "host")),
				  (uint16_t)json_integer_value(json_object_get(r, "port")));
		}
	}
}

static void web_hosts(struct doctor_probes *all, const json_t *node, const struct config_core *c,
		      const struct config_cluster *k, const char **list, unsigned n_list,
		      uint16_t usual)
{
	struct addr to[HOST_ADDR];
	struct doctor_probe *p;
	char host[256];
	unsigned i, j, n;

	for (i = 0; i < n_list; i++) {
		uint16_t port = usual;

		doctor_host_port(list[i], host, sizeof(host), &port);
		n = doctor_addresses(node, host, port, to, HOST_ADDR);
		for (j = 0; j < n; j++) {
			p = doctor_probe_add(all,
					     strcmp(k->scheme, "http") ? PROBE_HTTPS : PROBE_HTTP,
					     "web", &to[j]);
			if (!p)
				return;
			snprintf(p->what, sizeof(p->what), "%s", k->name);
			snprintf(p->host, sizeof(p->host), "%s", host);
			p->ca = c->https.tls.ca;
		}
	}
}

/* Only where the daemon has no link: a question costs the edge a connection and a line in its log. */
static void link_edges(struct doctor_probes *all, const json_t *node, const struct config_core *c)
{
	const json_t *links = json_object_get(json_object_get(node, "status"), "links"), *l;
	struct doctor_probe *p;
	struct addr to;
	unsigned i;
	size_t k;

	for (i = 0; i < c->link.edges_count; i++) {
		bool up = false;

		json_array_foreach(links, k, l)
		{
			const char *name = json_string_value(json_object_get(l, "edge")),
				   *state = json_string_value(json_object_get(l, "state"));

			up = up || (name && state && !strcmp(name, c->link.edges[i].name) &&
				    !strcmp(state, "up"));
		}
		if (up || addr_parse(span_str(c->link.edges[i].address), &to))
			continue;
		p = doctor_probe_add(all, PROBE_TLS, "link", &to);
		if (!p)
			return;
		snprintf(p->what, sizeof(p->what), "%s", c->link.edges[i].name);
		snprintf(p->host, sizeof(p->host), "%s", c->link.edges[i].name);
		p->ca = c->link.tls.ca;
		p->cert = c->link.tls.certificate;
		p->key = c->link.tls.key;
	}
}

void doctor_plan_core(struct doctor_probes *all, const json_t *node, const struct config_core *c)
{
	unsigned i;

	link_edges(all, node, c);
	for (i = 0; i < c->call_servers_count; i++)
		call_server(all, node, c, &c->call_servers[i]);
	for (i = 0; i < c->xmpp.clusters_count; i++)
		chat_cluster(all, node, &c->xmpp.clusters[i]);
	for (i = 0; i < c->https.clusters_count; i++) {
		const struct config_cluster *k = &c->https.clusters[i];

		web_hosts(all, node, c, k, k->nodes, k->nodes_count, 8443);
		web_hosts(all, node, c, k, k->voicemail, k->voicemail_count, 443);
	}
}

/* ---- what clients use ---- */

static void client_host(struct doctor_probes *all, const json_t *node, const char *what,
			const char *domain, const char *host, uint16_t port, const char *ca)
{
	enum doctor_kind kind = !strcmp(what, "sip")	 ? PROBE_SIP_TLS
				: !strcmp(what, "https") ? PROBE_EDGE
				: !strcmp(what, "xmpp")	 ? PROBE_XMPP
				: !strcmp(what, "xmpps") ? PROBE_XMPPS
							 : PROBE_TCP;
	bool chat = kind == PROBE_XMPP || kind == PROBE_XMPPS;
	struct addr to[HOST_ADDR];
	struct doctor_probe *p;
	unsigned i, n = doctor_addresses(node, host, port, to, HOST_ADDR);

	for (i = 0; i < n; i++) {
		p = doctor_probe_add(all, kind, "client", &to[i]);
		if (!p)
			return;
		snprintf(p->what, sizeof(p->what), "%s of %s", what, domain);
		snprintf(p->host, sizeof(p->host), "%s", chat ? domain : host);
		snprintf(p->name, sizeof(p->name), "%s", chat ? domain : host);
		snprintf(p->domain, sizeof(p->domain), "%s", domain);
		p->ca = ca;
	}
}

/* Where DNS sends them; without SRV, where the configuration says. */
void doctor_plan_outside(struct doctor_probes *all, const json_t *node, const char *ca)
{
	const json_t *domain, *service, *records, *r;
	size_t i, k, j;

	json_array_foreach(json_object_get(node, "domains"), i, domain)
	{
		json_array_foreach(json_object_get(node, "services"), k, service)
		{
			const char *what = json_string_value(json_object_get(service, "what")),
				   *host = json_string_value(json_object_get(service, "host"));

			records = srv_records(node, json_string_value(domain), what);
			json_array_foreach(records, j, r)
			{
				client_host(
					all, node, what, json_string_value(domain),
					json_string_value(json_object_get(r, "host")),
					(uint16_t)json_integer_value(json_object_get(r, "port")),
					ca);
			}
			if (!json_array_size(records) && *host)
				client_host(all, node, what, json_string_value(domain), host,
					    (uint16_t)json_integer_value(
						    json_object_get(service, "port")),
					    ca);
		}
	}
}
