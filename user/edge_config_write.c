/* user/edge_config_write.c -- facts as XML and JSON; see edge_config.h and edge_config_int.h. No state. */
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "user/edge_config_int.h"

const char *const edge_service_names[EDGE_SERVICES] = {
	[EDGE_TFTP_SRV] = "_cisco-phone-tftp",
	[EDGE_CUPLOGIN] = "_cuplogin",
	[EDGE_UDS] = "_cisco-uds",
};

struct xml { /* bounded; what does not fit is remembered by n > cap */
	char *p;
	size_t n, cap;
};

static void raw(struct xml *x, const char *s)
{
	size_t n = strlen(s);

	if (x->n + n <= x->cap)
		memcpy(x->p + x->n, s, n);
	x->n += n;
}

/* Text of an element. What comes in is ASCII, from the configuration, DNS and the edges' hellos; anything else is replaced, so
 * that no reader stops here. */
static void text(struct xml *x, const char *s)
{
	for (; *s; s++) {
		char one[2] = {*s, 0};

		switch (*s) {
		case '&':
			raw(x, "&amp;");
			break;
		case '<':
			raw(x, "&lt;");
			break;
		case '>':
			raw(x, "&gt;");
			break;
		case '"':
			raw(x, "&quot;");
			break;
		case '\'':
			raw(x, "&apos;");
			break;
		default:
			if ((unsigned char)*s < 0x20 || (unsigned char)*s > 0x7e)
				one[0] = '?';
			raw(x, one);
		}
	}
}

static void element(struct xml *x, const char *name, const char *value)
{
	raw(x, "<");
	raw(x, name);
	raw(x, ">");
	text(x, value);
	raw(x, "</");
	raw(x, name);
	raw(x, ">");
}

static void number(struct xml *x, const char *name, unsigned v)
{
	char digits[16];

	snprintf(digits, sizeof(digits), "%u", v);
	element(x, name, digits);
}

static void service(struct xml *x, const char *name, const struct edge_srv *s)
{
	unsigned i;

	raw(x, "<service>");
	element(x, "name", name);
	if (s->error)
		element(x, "error", s->error);
	for (i = 0; !s->error && i < s->n; i++) {
		raw(x, "<server>");
		number(x, "priority", s->records[i].priority);
		number(x, "weight", s->records[i].weight);
		number(x, "port", s->records[i].port);
		element(x, "address", s->records[i].host);
		raw(x, "</server>");
	}
	raw(x, "</service>");
}

static void tftp(struct xml *x, const struct edge_facts *f)
{
	unsigned i;

	raw(x, "<service>");
	element(x, "name", "tftpServer");
	if (!f->n_tftp)
		element(x, "error", "NameError");
	for (i = 0; i < f->n_tftp; i++)
		element(x, "address", f->tftp[i]);
	raw(x, "</service>");
}

static void server(struct xml *x, const char *host, unsigned port)
{
	raw(x, "<server>");
	element(x, "address", host);
	number(x, "tlsPort", port);
	raw(x, "</server>");
}

static bool serves(const char *host, uint16_t port)
{
	return host && *host && port;
}

/* The Route that a client loads at first: us, by the name that its edge is known by. */
static void route(const struct edge_config_edge *e, char *out, size_t n)
{
	bool v6 = strchr(e->sip_host, ':') && e->sip_host[0] != '[';

	snprintf(out, n, "<sip:%s%s%s:%u;transport=tls;lr>", v6 ? "[" : "", e->sip_host,
		 v6 ? "]" : "", e->sip_port);
}

static void edges(struct xml *x, const struct edge_facts *f)
{
	char uri[320];
	unsigned i;

	raw(x, "<sipEdgeServer>");
	for (i = 0; i < f->n_edges; i++)
		if (serves(f->edges[i].sip_host, f->edges[i].sip_port))
			server(x, f->edges[i].sip_host, f->edges[i].sip_port);
	raw(x, "</sipEdgeServer><sipRequest>");
	for (i = 0; i < f->n_edges; i++)
		if (serves(f->edges[i].sip_host, f->edges[i].sip_port)) {
			route(&f->edges[i], uri, sizeof(uri));
			element(x, "route", uri);
		}
	raw(x, "</sipRequest><xmppEdgeServer>");
	for (i = 0; i < f->n_edges; i++)
		if (serves(f->edges[i].xmpp_host, f->edges[i].xmpp_port))
			server(x, f->edges[i].xmpp_host, f->edges[i].xmpp_port);
	raw(x, "</xmppEdgeServer><httpEdgeServer>");
	for (i = 0; i < f->n_edges; i++)
		if (serves(f->edges[i].https_host, f->edges[i].https_port))
			server(x, f->edges[i].https_host, f->edges[i].https_port);
	raw(x, "</httpEdgeServer><turnEdgeServer/>");
}

size_t edge_config_xml(const struct edge_facts *f, char *out, size_t cap)
{
	struct xml x = {out, 0, cap};
	unsigned i;

	raw(&x, "<?xml version='1.0' encoding='UTF-8'?>\n<getEdgeConfigResponse "
		"version=\"1.0\"><serviceConfig>");
	for (i = 0; i < EDGE_SERVICES; i++)
		if (f->wanted[i])
			service(&x, edge_service_names[i], &f->srv[i]);
	tftp(&x, f);
	raw(&x, "</serviceConfig><edgeConfig>");
	edges(&x, f);
	raw(&x, "<userUdsServer>");
	if (f->user_uds)
		server(&x, f->user_uds->host, f->user_uds->port);
	raw(&x, "</userUdsServer></edgeConfig></getEdgeConfigResponse>\n");
	return x.n <= cap ? x.n : 0;
}

/* No published description of this answer was found: the form is ours. */
size_t edge_config_sso_xml(char *out, size_t cap)
{
	struct xml x = {out, 0, cap};

	raw(&x, "<?xml version='1.0' encoding='UTF-8'?>\n<getEdgeSsoResponse "
		"version=\"1.0\"><sso>false</sso></getEdgeSsoResponse>\n");
	return x.n <= cap ? x.n : 0;
}

/* ---- JSON -------- */

static json_t *json_server(const char *host, unsigned port)
{
	return json_pack("{s:s, s:i}", "address", host, "tls_port", (int)port);
}

static json_t *json_service(const struct edge_srv *s)
{
	json_t *list = json_array();
	unsigned i;

	if (s->error) {
		json_decref(list);
		return json_pack("{s:s}", "error", s->error);
	}
	for (i = 0; i < s->n; i++)
		json_array_append_new(list,
				      json_pack("{s:s, s:i, s:i, s:i}", "address",
						s->records[i].host, "port", (int)s->records[i].port,
						"priority", (int)s->records[i].priority, "weight",
						(int)s->records[i].weight));
	return json_pack("{s:o}", "servers", list);
}

static json_t *json_edges(const struct edge_facts *f)
{
	json_t *sip = json_array(), *routes = json_array(), *https = json_array(),
	       *xmpp = json_array();
	char uri[320];
	unsigned i;

	for (i = 0; i < f->n_edges; i++) {
		const struct edge_config_edge *e = &f->edges[i];

		if (serves(e->sip_host, e->sip_port)) {
			json_array_append_new(sip, json_server(e->sip_host, e->sip_port));
			route(e, uri, sizeof(uri));
			json_array_append_new(routes, json_string(uri));
		}
		if (serves(e->https_host, e->https_port))
			json_array_append_new(https, json_server(e->https_host, e->https_port));
		if (serves(e->xmpp_host, e->xmpp_port) || serves(e->xmpp_host, e->xmpp_tls_port))
			json_array_append_new(xmpp,
					      json_pack("{s:s, s:i, s:i}", "address", e->xmpp_host,
							"starttls_port", (int)e->xmpp_port,
							"tls_port", (int)e->xmpp_tls_port));
	}
	return json_pack("{s:o, s:o, s:o, s:o, s:[]}", "sip", sip, "sip_routes", routes, "https",
			 https, "xmpp", xmpp, "turn");
}

static json_t *json_inside(const struct edge_facts *f)
{
	json_t *services = json_object(), *files = json_array();
	unsigned i;

	for (i = 0; i < EDGE_SERVICES; i++)
		if (f->wanted[i])
			json_object_set_new(services, edge_service_names[i],
					    json_service(&f->srv[i]));
	for (i = 0; i < f->n_tftp; i++)
		json_array_append_new(files, json_string(f->tftp[i]));
	return json_pack("{s:o, s:o, s:o}", "services", services, "tftp", files, "user_uds",
			 f->user_uds ? json_server(f->user_uds->host, f->user_uds->port)
				     : json_null());
}

size_t edge_config_json(const struct edge_facts *f, char *out, size_t cap)
{
	json_t *all = json_pack("{s:i, s:s, s:o}", "version", 1, "domain", f->domain, "edges",
				json_edges(f));
	size_t n;

	if (all && f->inside)
		json_object_set_new(all, "inside", json_inside(f));
	n = all ? json_dumpb(all, out, cap, JSON_COMPACT) : 0;
	json_decref(all);
	return n <= cap ? n : 0;
}
