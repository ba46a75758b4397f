/* user/config_core.c -- the core's file: schema, defaults, and what must hold between its fields. See config.h. */
#include "user/config_int.h"
#include "user/ktls_policy.h"
#include "user/trace.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#define link_t	 __typeof__(((struct config_core *)NULL)->link)
#define sip_t	 __typeof__(((struct config_core *)NULL)->sip)
#define media_t	 __typeof__(((struct config_core *)NULL)->media)
#define relay_t	 __typeof__(((struct config_core *)NULL)->media.relay)
#define limits_t __typeof__(((struct config_core *)NULL)->limits)

static const cyaml_schema_field_t edge_fields[] = {
	CONFIG_STR(struct config_core_edge, name, "name", 0),
	CONFIG_STR(struct config_core_edge, address, "address", 0),
	CONFIG_UINT(struct config_core_edge, pool, "pool"),
	CYAML_FIELD_END,
};
static const cyaml_schema_value_t edge_schema = {
	CYAML_VALUE_MAPPING(CYAML_FLAG_DEFAULT, struct config_core_edge, edge_fields)};

#define SERVER struct config_call_server
static const cyaml_schema_field_t server_fields[] = {
	CONFIG_STR(SERVER, name, "name", 0),
	CONFIG_LIST(SERVER, domains, "domains", 0, &config_string),
	CONFIG_STR(SERVER, address, "address", 0),
	CONFIG_STR(SERVER, transport, "transport", CYAML_FLAG_OPTIONAL),
	CONFIG_STR(SERVER, tls_name, "tls_name", CYAML_FLAG_OPTIONAL),
	CONFIG_LIST(SERVER, trusted_headers, "trusted_headers", CYAML_FLAG_OPTIONAL,
		    &config_string),
	CONFIG_STR(SERVER, mode, "mode", CYAML_FLAG_OPTIONAL),
	CONFIG_STR(SERVER, digest_user, "digest_user", CYAML_FLAG_OPTIONAL),
	CONFIG_LIST(SERVER, sources, "sources", CYAML_FLAG_OPTIONAL, &config_string),
	CONFIG_STR(SERVER, media, "media", CYAML_FLAG_OPTIONAL),
	CONFIG_STR(SERVER, registrations, "registrations", CYAML_FLAG_OPTIONAL),
	CYAML_FIELD_END,
};
static const cyaml_schema_value_t server_schema = {
	CYAML_VALUE_MAPPING(CYAML_FLAG_DEFAULT, SERVER, server_fields)};

static const cyaml_schema_field_t link_fields[] = {
	CONFIG_MAP(link_t, tls, "tls", CYAML_FLAG_DEFAULT, config_tls_fields),
	CONFIG_STR(link_t, ktls, "ktls", CYAML_FLAG_OPTIONAL),
	CONFIG_LIST(link_t, edges, "edges", 0, &edge_schema),
	CYAML_FIELD_END,
};
static const cyaml_schema_field_t sip_fields[] = {
	CONFIG_STR(sip_t, listen, "listen", 0),
	CONFIG_STR(sip_t, advertise, "advertise", CYAML_FLAG_OPTIONAL),
	CONFIG_STR(sip_t, tls_listen, "tls_listen", CYAML_FLAG_OPTIONAL),
	CONFIG_MAP(sip_t, tls, "tls", CYAML_FLAG_OPTIONAL, config_tls_fields),
	CYAML_FIELD_END,
};
#define PAIR struct config_relay_pair
static const cyaml_schema_field_t pair_fields[] = {
	CONFIG_STR(PAIR, link, "link", 0),
	CONFIG_STR(PAIR, inside, "inside", CYAML_FLAG_OPTIONAL),
	CONFIG_STR(PAIR, inside_advertise, "inside_advertise", CYAML_FLAG_OPTIONAL),
	CONFIG_UINT(PAIR, link_first, "link_first"),
	CONFIG_UINT(PAIR, inside_first, "inside_first"),
	CONFIG_UINT(PAIR, ports, "ports"),
	CONFIG_UINT(PAIR, joins, "joins"),
	CYAML_FIELD_END,
};
static const cyaml_schema_value_t pair_schema = {
	CYAML_VALUE_MAPPING(CYAML_FLAG_DEFAULT, PAIR, pair_fields)};
static const cyaml_schema_field_t relay_fields[] = {
	CYAML_FIELD_SEQUENCE_COUNT("pairs", CYAML_FLAG_POINTER, relay_t, pairs, pairs_count,
				   &pair_schema, 1, CONFIG_RELAY_PAIRS_MAX),
	CONFIG_STR(relay_t, rung, "rung", CYAML_FLAG_OPTIONAL),
	CYAML_FIELD_END,
};
static const cyaml_schema_field_t media_fields[] = {
	CONFIG_STR(media_t, link, "link", CYAML_FLAG_OPTIONAL),
	CONFIG_STR(media_t, inside, "inside", 0),
	CONFIG_STR(media_t, inside_advertise, "inside_advertise", CYAML_FLAG_OPTIONAL),
	CONFIG_UINT(media_t, first_port, "first_port"),
	CONFIG_UINT(media_t, ports, "ports"),
	CONFIG_UINT(media_t, silence_seconds, "silence_seconds"),
	CONFIG_UINT(media_t, max, "max"),
	CONFIG_STR(media_t, srtp, "srtp", CYAML_FLAG_OPTIONAL),
	CONFIG_MAP(media_t, relay, "relay", CYAML_FLAG_OPTIONAL, relay_fields),
	CYAML_FIELD_END,
};
static const cyaml_schema_field_t limits_fields[] = {
	CONFIG_UINT(limits_t, message_bytes, "message_bytes"),
	CONFIG_UINT(limits_t, bindings, "bindings"),
	CONFIG_UINT(limits_t, calls, "calls"),
	CONFIG_UINT(limits_t, calls_user, "calls_user"),
	CYAML_FIELD_END,
};
static const cyaml_schema_field_t core_fields[] = {
	CONFIG_STR(struct config_core, name, "name", 0),
	CONFIG_STR(struct config_core, instance, "instance", CYAML_FLAG_OPTIONAL),
	CONFIG_STR(struct config_core, user, "user", CYAML_FLAG_OPTIONAL),
	CONFIG_STR(struct config_core, admin, "admin", CYAML_FLAG_OPTIONAL),
	CONFIG_STR(struct config_core, admin_http, "admin_http", CYAML_FLAG_OPTIONAL),
	CONFIG_STR(struct config_core, log, "log", CYAML_FLAG_OPTIONAL),
	CONFIG_UINT(struct config_core, trace_records, "trace_records"),
	CONFIG_STR(struct config_core, cdr, "cdr", CYAML_FLAG_OPTIONAL),
	CONFIG_STR(struct config_core, token_key, "token_key", 0),
	CONFIG_STR(struct config_core, dns, "dns", CYAML_FLAG_OPTIONAL),
	CONFIG_MAP(struct config_core, link, "link", CYAML_FLAG_DEFAULT, link_fields),
	CONFIG_MAP(struct config_core, sip, "sip", CYAML_FLAG_DEFAULT, sip_fields),
	CONFIG_LIST(struct config_core, call_servers, "call_servers", 0, &server_schema),
	CONFIG_MAP(struct config_core, media, "media", CYAML_FLAG_DEFAULT, media_fields),
	CONFIG_MAP(struct config_core, limits, "limits", CYAML_FLAG_OPTIONAL, limits_fields),
	CONFIG_MAP(struct config_core, xmpp, "xmpp", CYAML_FLAG_OPTIONAL, config_xmpp_fields),
	CONFIG_MAP(struct config_core, https, "https", CYAML_FLAG_OPTIONAL, config_https_fields),
	CYAML_FIELD_END,
};
static const cyaml_schema_value_t core_schema = {
	CYAML_VALUE_MAPPING(CYAML_FLAG_POINTER, struct config_core, core_fields)};

static const struct config_rule core_rules[] = {
	{CONFIG_AT(struct config_core, name), .kind = CONFIG_DOMAIN},
	{CONFIG_AT(struct config_core, instance), .kind = CONFIG_ID, .text = "core"},
	{CONFIG_AT(struct config_core, user), .kind = CONFIG_ID, .text = "sallyport"},
	{CONFIG_AT(struct config_core, admin), .kind = CONFIG_FILE,
	 .text = "/run/sallyport/core.sock"},
	{CONFIG_AT(struct config_core, admin_http), .kind = CONFIG_LOOPBACK, .optional = true,
	 .def = 9062},
	{CONFIG_AT(struct config_core, log), .kind = CONFIG_WORD, .text = "info",
	 .words = "error|warn|info|debug"},
	{CONFIG_AT(struct config_core, cdr), .kind = CONFIG_FILE, .optional = true},
	{CONFIG_AT(struct config_core, trace_records), .kind = CONFIG_NUM32,
	 .def = TRACE_RECORDS_USUAL, .min = TRACE_RECORDS_MIN, .max = TRACE_RECORDS_MAX},
	{CONFIG_AT(struct config_core, token_key), .kind = CONFIG_FILE},
	{CONFIG_AT(struct config_core, dns), .kind = CONFIG_ADDRPORT, .optional = true, .def = 53},
	{CONFIG_AT(struct config_core, link.ktls), .kind = CONFIG_WORD, .text = "auto",
	 .words = KTLS_WORDS},
	{CONFIG_AT(struct config_core, link.tls.certificate), .kind = CONFIG_FILE},
	{CONFIG_AT(struct config_core, link.tls.key), .kind = CONFIG_FILE},
	{CONFIG_AT(struct config_core, link.tls.ca), .kind = CONFIG_FILE},
	{CONFIG_AT(struct config_core, sip.listen), .kind = CONFIG_ADDRPORT, .def = 5060},
	{CONFIG_AT(struct config_core, sip.advertise), .kind = CONFIG_HOSTPORT, .optional = true,
	 .def = 5060},
	{CONFIG_AT(struct config_core, sip.tls_listen), .kind = CONFIG_ADDRPORT, .optional = true,
	 .def = 5061},
	{CONFIG_AT(struct config_core, sip.tls.certificate), .kind = CONFIG_FILE, .optional = true},
	{CONFIG_AT(struct config_core, sip.tls.key), .kind = CONFIG_FILE, .optional = true},
	{CONFIG_AT(struct config_core, sip.tls.ca), .kind = CONFIG_FILE, .optional = true},
	{CONFIG_AT(struct config_core, media.link), .kind = CONFIG_ADDRPORT, .text = "0.0.0.0:2776",
	 .def = 2776},
	{CONFIG_AT(struct config_core, media.inside), .kind = CONFIG_ADDR},
	{CONFIG_AT(struct config_core, media.inside_advertise), .kind = CONFIG_ADDR,
	 .optional = true},
	{CONFIG_AT(struct config_core, media.first_port), .kind = CONFIG_NUM16, .def = 36000,
	 .min = 1024, .max = 65535},
	{CONFIG_AT(struct config_core, media.ports), .kind = CONFIG_NUM16, .def = 24000, .min = 2,
	 .max = 64512},
	{CONFIG_AT(struct config_core, media.silence_seconds), .kind = CONFIG_NUM32, .def = 60,
	 .min = 1, .max = 86400},
	{CONFIG_AT(struct config_core, media.max), .kind = CONFIG_NUM32, .def = 4000, .min = 1,
	 .max = 1000000},
	{CONFIG_AT(struct config_core, media.srtp), .kind = CONFIG_WORD, .text = "auto",
	 .words = "auto|fast|libsrtp2"},
	{CONFIG_AT(struct config_core, media.relay.rung), .kind = CONFIG_WORD, .text = "auto",
	 .words = "auto|xdp|tc"},
	{CONFIG_AT(struct config_core, limits.message_bytes), .kind = CONFIG_NUM32, .def = 32768,
	 .min = 1024, .max = 262144},
	{CONFIG_AT(struct config_core, limits.bindings), .kind = CONFIG_NUM32, .def = 20000,
	 .min = 1, .max = 1000000},
	{CONFIG_AT(struct config_core, limits.calls), .kind = CONFIG_NUM32, .def = 4000, .min = 1,
	 .max = 1000000},
	{CONFIG_AT(struct config_core, limits.calls_user), .kind = CONFIG_NUM32, .def = 16,
	 .min = 1, .max = 1000000},
};
static const struct config_rule edge_rules[] = {
	{CONFIG_AT(struct config_core_edge, name), .kind = CONFIG_DOMAIN},
	{CONFIG_AT(struct config_core_edge, address), .kind = CONFIG_ADDRPORT, .def = 7001},
	{CONFIG_AT(struct config_core_edge, pool), .kind = CONFIG_NUM32, .def = 16, .min = 1,
	 .max = 1024},
};
/* The transport first: it decides the address's default port. */
static const struct config_rule server_rules[] = {
	{CONFIG_AT(SERVER, name), .kind = CONFIG_ID},
	{CONFIG_AT(SERVER, transport), .kind = CONFIG_WORD, .text = "udp", .words = "udp|tcp|tls"},
	{CONFIG_AT(SERVER, mode), .kind = CONFIG_WORD, .text = "path", .words = "path|contact"},
	{CONFIG_AT(SERVER, digest_user), .kind = CONFIG_WORD, .text = "aor", .words = "aor|any"},
	{CONFIG_AT(SERVER, tls_name), .kind = CONFIG_HOST, .optional = true},
	{CONFIG_AT(SERVER, media), .kind = CONFIG_WORD, .text = "terminate",
	 .words = "terminate|passthrough"},
	{CONFIG_AT(SERVER, registrations), .kind = CONFIG_WORD, .text = "address",
	 .words = "address|connection"},
};
static const struct config_rule pair_rules[] = {
	{CONFIG_AT(PAIR, link), .kind = CONFIG_ADDR},
	{CONFIG_AT(PAIR, inside), .kind = CONFIG_ADDR, .optional = true},
	{CONFIG_AT(PAIR, inside_advertise), .kind = CONFIG_ADDR, .optional = true},
	{CONFIG_AT(PAIR, link_first), .kind = CONFIG_NUM16, .def = 12000, .min = 1024,
	 .max = 65535},
	{CONFIG_AT(PAIR, inside_first), .kind = CONFIG_NUM16, .def = 12000, .min = 1024,
	 .max = 65535},
	{CONFIG_AT(PAIR, ports), .kind = CONFIG_NUM16, .def = 16000, .min = 4, .max = 60000},
	{CONFIG_AT(PAIR, joins), .kind = CONFIG_NUM16, .def = 2000, .min = 4, .max = 30000},
};
#define N(a) ((unsigned)(sizeof(a) / sizeof((a)[0])))

static int copy_text(struct config_ctx *c, const char *path, const char **to, const char *from)
{
	*to = strdup(from);
	return *to ? 0 : config_fail(c, path, "out of memory");
}

static int edges_check(struct config_ctx *c, const struct config_core *k)
{
	char path[CONFIG_PATH_MAX];
	unsigned i;
	int err;

	for (i = 0; i < k->link.edges_count; i++) {
		snprintf(path, sizeof(path), "link.edges[%u]", i);
		err = config_rules(c, path, &k->link.edges[i], edge_rules, N(edge_rules));
		if (err)
			return err;
	}
	return config_unique(c, "link.edges", k->link.edges, k->link.edges_count,
			     sizeof(*k->link.edges));
}

/* A domain has one call server: the second would never be asked. */
static int domains_check(struct config_ctx *c, const struct config_core *k, unsigned i)
{
	const SERVER *s = &k->call_servers[i];
	char path[CONFIG_PATH_MAX];
	unsigned j, a, b;

	for (j = 0; j < i; j++)
		for (a = 0; a < s->domains_count; a++)
			for (b = 0; b < k->call_servers[j].domains_count; b++) {
				if (strcasecmp(s->domains[a], k->call_servers[j].domains[b]))
					continue;
				snprintf(path, sizeof(path), "call_servers[%u].domains[%u]", i, a);
				return config_fail(c, path,
						   "\"%.64s\" already belongs to \"%.64s\"",
						   s->domains[a], k->call_servers[j].name);
			}
	return 0;
}

static int server_lists(struct config_ctx *c, SERVER *s, unsigned i)
{
	char path[CONFIG_PATH_MAX];
	int err;

	snprintf(path, sizeof(path), "call_servers[%u].domains", i);
	err = config_list(c, path, s->domains, s->domains_count, CONFIG_HOST, 0);
	snprintf(path, sizeof(path), "call_servers[%u].trusted_headers", i);
	if (!err)
		err = config_list(c, path, s->trusted_headers, s->trusted_headers_count,
				  CONFIG_HEADER, 0);
	snprintf(path, sizeof(path), "call_servers[%u].sources", i);
	if (!err)
		err = config_list(c, path, s->sources, s->sources_count, CONFIG_ADDR, 0);
	return err;
}

static int server_check(struct config_ctx *c, const struct config_core *k, unsigned i)
{
	SERVER *s = &k->call_servers[i];
	char path[CONFIG_PATH_MAX], host[ADDR_TEXT_MAX];
	struct config_rule address = {CONFIG_AT(SERVER, address), .kind = CONFIG_SRV, .def = 5060};
	struct addr a;
	bool tls;
	int err;

	snprintf(path, sizeof(path), "call_servers[%u]", i);
	err = config_rules(c, path, s, server_rules, N(server_rules));
	if (err)
		return err;
	tls = strcmp(s->transport, "tls") == 0;
	if (tls)
		address.def = 5061;
	err = config_rules(c, path, s, &address, 1);
	if (!err && !s->tls_name)
		err = copy_text(c, path, &s->tls_name,
				addr_parse(span_str(s->address), &a) ? s->address
								     : addr_ip_text(&a, host));
	if (!err)
		err = server_lists(c, s, i);
	if (err)
		return err;
	snprintf(path, sizeof(path), "call_servers[%u].transport", i);
	if (tls && !k->sip.tls.ca)
		return config_fail(c, path, "tls needs sip.tls (certificate, key, ca)");
	snprintf(path, sizeof(path), "call_servers[%u].media", i);
	if (strcmp(s->media, "passthrough") == 0 && !k->media.relay.pairs_count)
		return config_fail(c, path, "passthrough needs media.relay.pairs");
	snprintf(path, sizeof(path), "call_servers[%u].registrations", i);
	if (strcmp(s->registrations, "connection") == 0 && strcmp(s->transport, "udp") == 0)
		return config_fail(c, path, "connection needs transport tcp or tls, got udp");
	return domains_check(c, k, i);
}

static int servers_check(struct config_ctx *c, const struct config_core *k)
{
	unsigned i;
	int err;

	for (i = 0; i < k->call_servers_count; i++) {
		err = server_check(c, k, i);
		if (err)
			return err;
	}
	return config_unique(c, "call_servers", k->call_servers, k->call_servers_count,
			     sizeof(*k->call_servers));
}

static int sip_check(struct config_ctx *c, struct config_core *k)
{
	const struct config_tls_files *t = &k->sip.tls;
	unsigned n = !!t->certificate + !!t->key + !!t->ca;
	struct addr a, b;

	if (n && n != 3)
		return config_fail(c, "sip.tls", "certificate, key and ca are given together");
	if (k->sip.tls_listen && !n)
		return config_fail(c, "sip.tls_listen", "needs sip.tls (certificate, key, ca)");
	if (addr_parse(span_str(k->sip.listen), &a))
		return -EINVAL;
	if (k->sip.tls_listen && addr_parse(span_str(k->sip.tls_listen), &b) == 0 &&
	    addr_eq(&a, &b))
		return config_fail(c, "sip.tls_listen", "%s is sip.listen already", k->sip.listen);
	if (k->sip.advertise)
		return 0;
	if (addr_is_any(&a))
		return config_fail(c, "sip.advertise", "is required where sip.listen is %s",
				   k->sip.listen);
	return copy_text(c, "sip.advertise", &k->sip.advertise, k->sip.listen);
}

static int media_check(struct config_ctx *c, struct config_core *k)
{
	const media_t *m = &k->media;
	unsigned last = m->first_port + m->ports - 1U;
	struct addr a, inside;

	if (last > 65535)
		return config_fail(c, "media.ports", "%u ports from %u on end past 65535", m->ports,
				   m->first_port);
	if (addr_parse(span_str(m->link), &a) || addr_parse(span_str(m->inside), &inside))
		return -EINVAL;
	if (a.port >= m->first_port && a.port <= last &&
	    (addr_is_any(&a) || addr_ip_eq(&a, &inside)))
		return config_fail(c, "media.link", "port %u is one of media.first_port..%u",
				   a.port, last);
	if (m->inside_advertise)
		return 0;
	return copy_text(c, "media.inside_advertise", &k->media.inside_advertise, m->inside);
}

/* ---- media.relay: what BPF takes must not be anybody else's ---- */

struct taken { /* UDP ports of an address, and whose they are */
	struct addr at;
	unsigned first, last;
	char what[CONFIG_PATH_MAX];
};
#define TAKEN_MAX (3 + 2 * CONFIG_RELAY_PAIRS_MAX)

static int taken_add(struct config_ctx *c, struct taken *all, unsigned *n, const struct taken *t)
{
	unsigned i;

	if (t->last > 65535)
		return config_fail(c, t->what, "%u ports from %u on end past 65535",
				   t->last - t->first + 1, t->first);
	for (i = 0; i < *n; i++) {
		const struct taken *o = &all[i];

		if (t->last < o->first || o->last < t->first ||
		    !(addr_is_any(&o->at) || addr_ip_eq(&o->at, &t->at)))
			continue;
		return config_fail(c, t->what, "ports %u..%u are those of %s (%u..%u) as well",
				   t->first, t->last, o->what, o->first, o->last);
	}
	all[(*n)++] = *t;
	return 0;
}

/* What the daemon's own sockets need. */
static unsigned taken_sockets(const struct config_core *k, struct taken *all)
{
	struct addr a;
	unsigned n = 0;

	if (addr_parse(span_str(k->sip.listen), &a) == 0)
		all[n++] = (struct taken){a, a.port, a.port, "sip.listen"};
	if (addr_parse(span_str(k->media.link), &a) == 0)
		all[n++] = (struct taken){a, a.port, a.port, "media.link"};
	if (addr_parse(span_str(k->media.inside), &a) == 0)
		all[n++] = (struct taken){a, k->media.first_port,
					  k->media.first_port + k->media.ports - 1U,
					  "media.first_port"};
	return n;
}

static int relay_pair_defaults(struct config_ctx *c, const char *path, const struct config_core *k,
			       PAIR *p)
{
	const char *shown = p->inside ? p->inside : k->media.inside_advertise;
	struct addr a, b;
	char key[CONFIG_PATH_MAX + 20];
	int err = 0;

	if (!p->inside_advertise)
		err = copy_text(c, path, &p->inside_advertise, shown);
	if (!err && !p->inside)
		err = copy_text(c, path, &p->inside, k->media.inside);
	if (err)
		return err;
	snprintf(key, sizeof(key), "%s.inside", path);
	if (addr_parse(span_str(p->inside), &a) || addr_parse(span_str(k->media.inside), &b) ||
	    addr_is_v4(&a) != addr_is_v4(&b))
		return config_fail(c, key, "wanted an address of media.inside's family, got %s",
				   p->inside);
	return 0;
}

static int relay_check(struct config_ctx *c, struct config_core *k)
{
	struct taken all[TAKEN_MAX];
	unsigned i, n = taken_sockets(k, all);
	char path[CONFIG_PATH_MAX];
	int err = 0;

	for (i = 0; i < k->media.relay.pairs_count && !err; i++) {
		PAIR *p = &k->media.relay.pairs[i];
		struct taken link = {.at = {}}, inside = {.at = {}};

		snprintf(path, sizeof(path), "media.relay.pairs[%u]", i);
		err = config_rules(c, path, p, pair_rules, N(pair_rules));
		if (!err)
			err = relay_pair_defaults(c, path, k, p);
		if (err || addr_parse(span_str(p->link), &link.at) ||
		    addr_parse(span_str(p->inside), &inside.at))
			return -EINVAL;
		link.first = p->link_first;
		if (p->joins != k->media.relay.pairs[0].joins) {
			snprintf(path, sizeof(path), "media.relay.pairs[%u].joins", i);
			return config_fail(
				c, path,
				"every pair has the same number of joins: %u here, %u in "
				"media.relay.pairs[0]",
				p->joins, k->media.relay.pairs[0].joins);
		}
		/* Twice for those with itself, once for each other pair. */
		link.last = link.first + p->ports + (1 + k->media.relay.pairs_count) * p->joins - 1;
		snprintf(link.what, sizeof(link.what), "media.relay.pairs[%u].link_first", i);
		inside.first = p->inside_first;
		inside.last = inside.first + p->ports - 1U;
		snprintf(inside.what, sizeof(inside.what), "media.relay.pairs[%u].inside_first", i);
		err = taken_add(c, all, &n, &link);
		if (!err)
			err = taken_add(c, all, &n, &inside);
	}
	return err;
}

int config_core_load(const char *name, const char *text, size_t n, struct config_core **out,
		     char why[CONFIG_WHY_MAX])
{
	struct config_ctx c = {.name = name, .why = why};
	struct config_core *k = NULL;
	int err;

	err = config_parse(&c, text, n, &core_schema, (void **)&k);
	if (!err)
		err = config_rules(&c, "", k, core_rules, N(core_rules));
	if (!err)
		err = edges_check(&c, k);
	if (!err)
		err = sip_check(&c, k);
	if (!err)
		err = servers_check(&c, k);
	if (!err)
		err = media_check(&c, k);
	if (!err)
		err = relay_check(&c, k);
	if (!err)
		err = config_xmpp_check(&c, &k->xmpp);
	if (!err)
		err = config_https_check(&c, &k->https);
	config_ctx_fini(&c);
	if (err)
		config_core_free(k);
	else
		*out = k;
	return err;
}

void config_core_free(struct config_core *c)
{
	struct config_ctx ctx = {};

	if (c)
		cyaml_free(config_cyaml(&ctx), &core_schema, c, 0);
}
