/* tools/doctor_setup.c -- configurations as the report tells them: what is to be there. See doctor_facts.h. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tools/doctor_facts.h"

#define FILE_MAX 262144u

void doctor_host_port(const char *text, char *host, size_t n, uint16_t *port)
{
	const char *colon = strrchr(text, ':');
	struct addr a;

	if (!addr_parse(span_str(text), &a)) {
		char ip[ADDR_TEXT_MAX];

		snprintf(host, n, "%s", addr_ip_text(&a, ip));
		if (a.port)
			*port = a.port;
		return;
	}
	snprintf(host, n, "%.*s", (int)(colon ? colon - text : (long)strlen(text)), text);
	if (colon)
		*port = (uint16_t)strtoul(colon + 1, NULL, 10);
}

/* "1.2.3.4:5" as the address alone. */
static json_t *ip_json(const char *text)
{
	char ip[ADDR_TEXT_MAX];
	struct addr a;

	return json_string(addr_parse(span_str(text), &a) ? text : addr_ip_text(&a, ip));
}

static void add_once(json_t *list, json_t *word)
{
	const json_t *have;
	size_t i;

	json_array_foreach(list, i, have)
	{
		if (json_equal(have, word)) {
			json_decref(word);
			return;
		}
	}
	json_array_append_new(list, word);
}

static void add_strings(json_t *list, const char *const *of, unsigned n)
{
	unsigned i;

	for (i = 0; i < n; i++)
		add_once(list, json_string(of[i]));
}

static void service(json_t *list, const char *what, const char *srv, const char *host,
		    unsigned port, const char *const *listen, unsigned n)
{
	json_t *where = json_array();

	add_strings(where, listen, n);
	json_array_append_new(list, json_pack("{s:s, s:s, s:s, s:i, s:o}", "what", what, "srv", srv,
					      "host", host, "port", (int)port, "listen", where));
}

#define LIST(l) (const char *const *)(l), l##_count

static json_t *services(const struct config_edge *c)
{
	json_t *list = json_array();

	service(list, "sip", "_sips._tcp", c->sip.host, c->sip.port, LIST(c->sip.listen));
	if (c->https.host)
		service(list, "https", "_collab-edge._tls", c->https.host, c->https.port,
			LIST(c->https.listen));
	if (c->xmpp.listen_count)
		service(list, "xmpp", "_xmpp-client._tcp", c->xmpp.host, c->xmpp.port,
			LIST(c->xmpp.listen));
	if (c->xmpp.tls_listen_count)
		service(list, "xmpps", "_xmpps-client._tcp", c->xmpp.host, c->xmpp.tls_port,
			LIST(c->xmpp.tls_listen));
	if (c->xmpp.federation.listen_count)
		service(list, "xmpp-server", "_xmpp-server._tcp", c->xmpp.host, 5269,
			LIST(c->xmpp.federation.listen));
	return list;
}

/* Where clients may be sent: what pairs advertise, and what services listen on, unless that is every address. */
static json_t *addresses(const struct config_edge *c)
{
	const struct config_service *const all[] = {&c->sip, &c->https, &c->xmpp};
	json_t *list = json_array();
	struct addr a;
	unsigned i, k;

	for (i = 0; i < c->media.pairs_count; i++)
		add_once(list, ip_json(c->media.pairs[i].outside_advertise));
	for (i = 0; i < sizeof(all) / sizeof(all[0]); i++)
		for (k = 0; k < all[i]->listen_count; k++)
			if (!addr_parse(span_str(all[i]->listen[k]), &a) && !addr_is_any(&a))
				add_once(list, ip_json(all[i]->listen[k]));
	return list;
}

static json_t *edge_domains(const struct config_edge *c)
{
	json_t *list = json_array();
	unsigned i;

	for (i = 0; i < c->link.cores_count; i++)
		add_strings(list, (const char *const *)c->link.cores[i].domains,
			    c->link.cores[i].domains_count);
	return list;
}

json_t *doctor_setup_edge(const struct config_edge *c)
{
	json_t *cores = json_array();
	unsigned i;

	for (i = 0; i < c->link.cores_count; i++)
		json_array_append_new(cores, json_string(c->link.cores[i].name));
	return json_pack("{s:s, s:s, s:o, s:o, s:o, s:o, s:s}", "role", "edge", "name", c->name,
			 "domains", edge_domains(c), "services", services(c), "addresses",
			 addresses(c), "cores", cores, "rung", c->media.rung);
}

json_t *doctor_setup_core(const struct config_core *c)
{
	json_t *edges = json_array(), *domains = json_array();
	unsigned i;

	for (i = 0; i < c->link.edges_count; i++)
		json_array_append_new(edges, json_pack("{s:s, s:s}", "name", c->link.edges[i].name,
						       "address", c->link.edges[i].address));
	for (i = 0; i < c->call_servers_count; i++)
		add_strings(domains, LIST(c->call_servers[i].domains));
	return json_pack("{s:s, s:s, s:o, s:o, s:s}", "role", "core", "name", c->name, "domains",
			 domains, "edges", edges, "rung",
			 c->media.relay.rung ? c->media.relay.rung : "auto");
}

json_t *doctor_setup_outside(const struct config_edge *c, const char *const *domains, unsigned n)
{
	static const struct {
		const char *what, *srv;
	} usual[] = {{"sip", "_sips._tcp"},
		     {"https", "_collab-edge._tls"},
		     {"xmpp", "_xmpp-client._tcp"},
		     {"xmpps", "_xmpps-client._tcp"}};
	json_t *list, *names;
	size_t i;

	if (c)
		return json_pack("{s:s, s:s, s:o, s:o, s:o}", "role", "outside", "name", c->name,
				 "domains", edge_domains(c), "services", services(c), "addresses",
				 addresses(c));
	list = json_array();
	names = json_array();
	for (i = 0; i < sizeof(usual) / sizeof(usual[0]); i++)
		service(list, usual[i].what, usual[i].srv, "", 0, NULL, 0);
	add_strings(names, domains, n);
	return json_pack("{s:s, s:s, s:o, s:o, s:o}", "role", "outside", "name",
			 n ? domains[0] : "", "domains", names, "services", list, "addresses",
			 json_array());
}

/* ---- files ---- */

static char *file_text(const char *path, size_t *n, char why[CONFIG_WHY_MAX])
{
	FILE *f = fopen(path, "re");
	char *text = f ? malloc(FILE_MAX) : NULL;

	if (!text) {
		snprintf(why, CONFIG_WHY_MAX, "%s: %s", path, strerror(errno));
		if (f)
			fclose(f);
		return NULL;
	}
	*n = fread(text, 1, FILE_MAX - 1, f);
	text[*n] = 0;
	fclose(f);
	return text;
}

/* A core's file has call servers, an edge's has none. */
static bool is_core(const char *text)
{
	return !strncmp(text, "call_servers:", 13) || strstr(text, "\ncall_servers:");
}

json_t *doctor_setup_file(const char *path, struct config_edge **edge, struct config_core **core)
{
	char why[CONFIG_WHY_MAX] = "";
	size_t n = 0;
	char *text = file_text(path, &n, why);
	bool as_core = text ? is_core(text) : strstr(path, "core") != NULL;
	json_t *node;

	if (text && as_core)
		config_core_load(path, text, n, core, why);
	else if (text)
		config_edge_load(path, text, n, edge, why);
	free(text);
	if (*core)
		node = doctor_setup_core(*core);
	else if (*edge)
		node = doctor_setup_edge(*edge);
	else
		node = json_pack("{s:s, s:s, s:s}", "role", as_core ? "core" : "edge", "name", "",
				 "error", why);
	json_object_set_new(node, "config", json_string(path));
	return node;
}
