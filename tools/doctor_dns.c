/* tools/doctor_dns.c -- names as a resolver gives them, by c-ares. See doctor_facts.h.
 *
 * In: what the node serves or needs. Out: "dns" rows: first SRV, all at once, then the addresses of what they and the configuration name. The
 * rows are borrowed by open questions until ares_destroy(). Limits: 512 rows; 1.5 s a try, 2 tries. */
#include <ares.h>
#include <arpa/nameser.h>
#include <errno.h>
#include <netdb.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/time.h>

#include "tools/doctor_facts.h"

#define ROWS_MAX 512
#define TRY_MS	 1500
#define TRIES	 2

static json_t *row_add(json_t *rows, const char *side, const char *use, const char *type,
		       const char *name, const char *server)
{
	json_t *row;
	size_t i;

	json_array_foreach(rows, i, row)
	{
		if (!strcmp(json_string_value(json_object_get(row, "name")), name) &&
		    !strcmp(json_string_value(json_object_get(row, "type")), type))
			return row;
	}
	if (json_array_size(rows) >= ROWS_MAX)
		return NULL;
	row = json_pack("{s:s, s:s, s:s, s:s, s:s, s:s}", "side", side, "for", use, "name", name,
			"type", type, "server", server ? server : "the system's", "error",
			"no answer in time");
	json_array_append_new(rows, row);
	return row;
}

/* ---- answers ---- */

static void row_error(json_t *row, int status)
{
	bool none = status == ARES_ENOTFOUND || status == ARES_ENODATA;

	json_object_set_new(row, "error",
			    json_string(status == ARES_SUCCESS ? ""
					: none		       ? "none"
							       : ares_strerror(status)));
}

static void on_srv(void *arg, int status, int timeouts, unsigned char *buf, int n)
{
	struct ares_srv_reply *list = NULL, *r;
	json_t *row = arg, *records = json_array();

	(void)timeouts;
	if (status == ARES_EDESTRUCTION) {
		json_decref(records);
		return;
	}
	if (status == ARES_SUCCESS)
		status = ares_parse_srv_reply(buf, n, &list);
	for (r = list; r; r = r->next)
		json_array_append_new(records,
				      json_pack("{s:s, s:i, s:i, s:i}", "host", r->host, "port",
						(int)r->port, "priority", (int)r->priority,
						"weight", (int)r->weight));
	if (list)
		ares_free_data(list);
	row_error(row, status);
	json_object_set_new(row, "records", records);
}

static void on_addresses(void *arg, int status, int timeouts, struct ares_addrinfo *res)
{
	json_t *row = arg, *list;
	struct ares_addrinfo_node *n;
	char text[ADDR_TEXT_MAX];
	struct addr a;

	(void)timeouts;
	if (status == ARES_EDESTRUCTION)
		return;
	list = json_array();
	for (n = res ? res->nodes : NULL; n; n = n->ai_next)
		if (!addr_from_sockaddr(n->ai_addr, &a))
			json_array_append_new(list, json_string(addr_ip_text(&a, text)));
	row_error(row, status);
	json_object_set_new(row, "addresses", list);
	if (res && res->cnames)
		json_object_set_new(row, "alias", json_string(res->cnames->name));
	if (res)
		ares_freeaddrinfo(res);
}

/* ---- asking ---- */

static int channel_open(ares_channel *out, const char *server)
{
	struct ares_options o = {.flags = ARES_FLAG_NOALIASES,
				 .timeout = TRY_MS,
				 .tries = TRIES,
				 .lookups = (char *)"b"};
	int mask = ARES_OPT_FLAGS | ARES_OPT_TIMEOUTMS | ARES_OPT_TRIES, err;
	char csv[ADDR_TEXT_MAX];
	struct addr a;

	/* The internet's view is the resolver's alone; without one named, also what the host's files say. */
	if (server)
		mask |= ARES_OPT_LOOKUPS;
	err = ares_init_options(out, &o, mask);
	if (err)
		return err;
	if (server && !addr_parse(span_str(server), &a)) {
		addr_text(&a, csv);
		err = ares_set_servers_ports_csv(*out, csv);
	} else if (server) {
		err = ARES_EBADSTR;
	}
	if (err)
		ares_destroy(*out);
	return err;
}

static void channel_wait(ares_channel c)
{
	ares_socket_t socks[ARES_GETSOCK_MAXNUM];
	struct pollfd p[ARES_GETSOCK_MAXNUM];
	struct timeval max = {.tv_sec = 1}, tv;
	unsigned mask;
	int i, n;

	for (;;) {
		mask = (unsigned)ares_getsock(c, socks, ARES_GETSOCK_MAXNUM);
		for (i = n = 0; i < ARES_GETSOCK_MAXNUM; i++) {
			/* ARES_GETSOCK_WRITABLE() shifts a signed 1 into the sign. */
			short events =
				(short)((mask >> i & 1 ? POLLIN : 0) |
					(mask >> (i + ARES_GETSOCK_MAXNUM) & 1 ? POLLOUT : 0));

			if (events)
				p[n++] = (struct pollfd){.fd = socks[i], .events = events};
		}
		if (!n)
			return;
		ares_timeout(c, &max, &tv);
		poll(p, (nfds_t)n, (int)(tv.tv_sec * 1000 + tv.tv_usec / 1000 + 1));
		for (i = 0; i < n; i++)
			ares_process_fd(c, p[i].revents & ~POLLOUT ? p[i].fd : ARES_SOCKET_BAD,
					p[i].revents & POLLOUT ? p[i].fd : ARES_SOCKET_BAD);
		if (!poll(p, (nfds_t)n, 0)) /* times that are over */
			ares_process_fd(c, ARES_SOCKET_BAD, ARES_SOCKET_BAD);
	}
}

/* Ask what is asked by no one yet: rows from @from on. */
static void ask_rows(json_t *rows, size_t from, const char *server)
{
	struct ares_addrinfo_hints hints = {.ai_family = AF_UNSPEC};
	ares_channel c;
	json_t *row;
	size_t i;
	int err = channel_open(&c, server);

	for (i = from; i < json_array_size(rows); i++) {
		const char *name;

		row = json_array_get(rows, i);
		name = json_string_value(json_object_get(row, "name"));
		if (err)
			json_object_set_new(row, "error", json_string(ares_strerror(err)));
		else if (!strcmp(json_string_value(json_object_get(row, "type")), "SRV"))
			ares_query(c, name, ns_c_in, ns_t_srv, on_srv, row);
		else
			ares_getaddrinfo(c, name, NULL, &hints, on_addresses, row);
	}
	if (err)
		return;
	channel_wait(c);
	ares_destroy(c);
}

/* ---- what is asked ---- */

static void host_add(json_t *rows, const char *side, const char *use, const char *host,
		     const char *server)
{
	struct addr a;

	if (*host && strcmp(host, ".") != 0 && addr_parse(span_str(host), &a))
		row_add(rows, side, use, "A", host, server);
}

static void clients_srv(json_t *rows, const json_t *node, const char *server)
{
	static const char *const inside_only[] = {"_cisco-uds._tcp", "_cuplogin._tcp"};
	const json_t *domain, *service;
	char name[600];
	size_t i, k;

	json_array_foreach(json_object_get(node, "domains"), i, domain)
	{
		json_array_foreach(json_object_get(node, "services"), k, service)
		{
			snprintf(name, sizeof(name), "%s.%s",
				 json_string_value(json_object_get(service, "srv")),
				 json_string_value(domain));
			row_add(rows, "outside",
				json_string_value(json_object_get(service, "what")), "SRV", name,
				server);
		}
		for (k = 0; k < sizeof(inside_only) / sizeof(inside_only[0]); k++) {
			snprintf(name, sizeof(name), "%s.%s", inside_only[k],
				 json_string_value(domain));
			row_add(rows, "outside", "inside only", "SRV", name, server);
		}
	}
}

/* A call server by name alone is found by SRV (RFC 3263); with a port, by its addresses. */
static void core_names(json_t *rows, const struct config_core *c, const char *server)
{
	char host[256], name[600];
	unsigned i, k;
	uint16_t port;

	for (i = 0; i < c->call_servers_count; i++) {
		const struct config_call_server *s = &c->call_servers[i];

		port = 0;
		doctor_host_port(s->address, host, sizeof(host), &port);
		host_add(rows, "inside", "call", host, server);
		snprintf(name, sizeof(name), "%s.%s",
			 !strcmp(s->transport, "tls")	? "_sips._tcp"
			 : !strcmp(s->transport, "tcp") ? "_sip._tcp"
							: "_sip._udp",
			 host);
		if (!port)
			row_add(rows, "inside", "call", "SRV", name, server);
	}
	for (i = 0; i < c->xmpp.clusters_count; i++) {
		const struct config_xmpp_cluster *x = &c->xmpp.clusters[i];

		for (k = 0; k < x->nodes_count; k++) {
			doctor_host_port(x->nodes[k], host, sizeof(host), &port);
			host_add(rows, "inside", "chat", host, server);
		}
		for (k = 0; k < x->domains_count && !x->nodes_count; k++) {
			snprintf(name, sizeof(name), "%s.%s",
				 !strcmp(x->tls, "direct") ? "_xmpps-client._tcp"
							   : "_xmpp-client._tcp",
				 x->domains[k]);
			row_add(rows, "inside", "chat", "SRV", name, server);
		}
	}
}

static void web_list(json_t *rows, const char **list, unsigned n, const char *server)
{
	char host[256];
	uint16_t port;
	unsigned i;

	for (i = 0; i < n; i++) {
		doctor_host_port(list[i], host, sizeof(host), &port);
		host_add(rows, "inside", "web", host, server);
	}
}

static void core_web_names(json_t *rows, const struct config_core *c, const char *server)
{
	unsigned i;

	for (i = 0; i < c->https.clusters_count; i++) {
		const struct config_cluster *k = &c->https.clusters[i];

		web_list(rows, k->nodes, k->nodes_count, server);
		web_list(rows, k->tftp, k->tftp_count, server);
		web_list(rows, k->voicemail, k->voicemail_count, server);
	}
}

/* Hosts of SRV answers and of services, of the same side and for the same. */
static void srv_hosts(json_t *rows, const json_t *node, const char *server)
{
	size_t i, k, n = json_array_size(rows);
	const json_t *service, *record;

	for (i = 0; i < n; i++) {
		json_t *row = json_array_get(rows, i);
		const char *use = json_string_value(json_object_get(row, "for"));

		json_array_foreach(json_object_get(row, "records"), k, record)
		{
			if (strcmp(use, "inside only") != 0)
				host_add(rows, json_string_value(json_object_get(row, "side")), use,
					 json_string_value(json_object_get(record, "host")),
					 server);
		}
	}
	json_array_foreach(json_object_get(node, "services"), i, service)
	{
		host_add(rows, "outside", json_string_value(json_object_get(service, "what")),
			 json_string_value(json_object_get(service, "host")), server);
	}
}

static bool answered(const json_t *rows)
{
	const json_t *row;
	size_t i;

	json_array_foreach(rows, i, row)
	{
		const char *error = json_string_value(json_object_get(row, "error"));

		if (!*error || !strcmp(error, "none"))
			return true;
	}
	return false;
}

void doctor_dns(json_t *node, const char *server, const struct config_core *cfg)
{
	json_t *rows = json_array();
	size_t n;

	if (cfg) {
		core_names(rows, cfg, server);
		core_web_names(rows, cfg, server);
	} else {
		clients_srv(rows, node, server);
	}
	ask_rows(rows, 0, server);
	n = json_array_size(rows);
	if (n && !answered(rows)) { /* the rest would be waited for in vain */
		json_object_set_new(node, "dns", rows);
		return;
	}
	srv_hosts(rows, node, server);
	ask_rows(rows, n, server);
	json_object_set_new(node, "dns", rows);
}

unsigned doctor_addresses(const json_t *node, const char *host, uint16_t port, struct addr *out,
			  unsigned n)
{
	const json_t *row, *ip;
	unsigned have = 0;
	size_t i, k;

	if (!addr_parse(span_str(host), &out[0])) {
		out[0].port = port;
		return 1;
	}
	json_array_foreach(json_object_get(node, "dns"), i, row)
	{
		if (strcmp(json_string_value(json_object_get(row, "name")), host) != 0 ||
		    strcmp(json_string_value(json_object_get(row, "type")), "A") != 0)
			continue;
		json_array_foreach(json_object_get(row, "addresses"), k, ip)
		{
			if (have < n && !addr_parse(span_str(json_string_value(ip)), &out[have]))
				out[have++].port = port;
		}
	}
	return have;
}
