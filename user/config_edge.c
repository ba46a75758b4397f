/* user/config_edge.c -- the edge's file: schema, defaults, and what must hold between its fields. See config.h. */
#include "user/config_int.h"
#include "user/ktls_policy.h"
#include "user/trace.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#define PAIRS_MAX 8

#define link_t	 __typeof__(((struct config_edge *)NULL)->link)
#define sip_t	 struct config_service
#define media_t	 __typeof__(((struct config_edge *)NULL)->media)
#define limits_t __typeof__(((struct config_edge *)NULL)->limits)

static const cyaml_schema_field_t core_fields[] = {
	CONFIG_STR(struct config_edge_core, name, "name", 0),
	CONFIG_LIST(struct config_edge_core, domains, "domains", 0, &config_string),
	CYAML_FIELD_END,
};
static const cyaml_schema_value_t core_schema = {
	CYAML_VALUE_MAPPING(CYAML_FLAG_DEFAULT, struct config_edge_core, core_fields)};

static const cyaml_schema_field_t pair_fields[] = {
	CONFIG_STR(struct config_pair, outside, "outside", 0),
	CONFIG_STR(struct config_pair, outside_advertise, "outside_advertise", CYAML_FLAG_OPTIONAL),
	CONFIG_STR(struct config_pair, inside, "inside", 0),
	CONFIG_STR(struct config_pair, inside_advertise, "inside_advertise", CYAML_FLAG_OPTIONAL),
	CONFIG_UINT(struct config_pair, outside_first, "outside_first"),
	CONFIG_UINT(struct config_pair, inside_first, "inside_first"),
	CONFIG_UINT(struct config_pair, ports, "ports"),
	CYAML_FIELD_END,
};
static const cyaml_schema_value_t pair_schema = {
	CYAML_VALUE_MAPPING(CYAML_FLAG_DEFAULT, struct config_pair, pair_fields)};

static const cyaml_schema_field_t link_fields[] = {
	CONFIG_LIST(link_t, listen, "listen", 0, &config_string),
	CONFIG_MAP(link_t, tls, "tls", CYAML_FLAG_DEFAULT, config_tls_fields),
	CONFIG_STR(link_t, ktls, "ktls", CYAML_FLAG_OPTIONAL),
	CONFIG_LIST(link_t, cores, "cores", 0, &core_schema),
	CYAML_FIELD_END,
};
static const cyaml_schema_field_t certificate_fields[] = {
	CONFIG_STR(struct config_certificate, certificate, "certificate", 0),
	CONFIG_STR(struct config_certificate, key, "key", 0),
	CYAML_FIELD_END,
};
static const cyaml_schema_value_t certificate_schema = {
	CYAML_VALUE_MAPPING(CYAML_FLAG_DEFAULT, struct config_certificate, certificate_fields)};
#define SERVICE_TLS_FIELDS                                                                    \
	CONFIG_STR(struct config_tls_files, certificate, "certificate", CYAML_FLAG_OPTIONAL), \
		CONFIG_STR(struct config_tls_files, key, "key", CYAML_FLAG_OPTIONAL),         \
		CYAML_FIELD_SEQUENCE_COUNT(                                                   \
			"certificates", CYAML_FLAG_POINTER | CYAML_FLAG_OPTIONAL,             \
			struct config_tls_files, certificates, certificates_count,            \
			&certificate_schema, 1, CONFIG_CERTIFICATES_MAX)
static const cyaml_schema_field_t sip_tls_fields[] = {
	SERVICE_TLS_FIELDS,
	CONFIG_STR(struct config_tls_files, ca, "ca", CYAML_FLAG_OPTIONAL),
	CYAML_FIELD_END,
};
static const cyaml_schema_field_t sip_fields[] = {
	CONFIG_LIST(sip_t, listen, "listen", 0, &config_string),
	CONFIG_STR(sip_t, host, "host", 0),
	CONFIG_UINT(sip_t, port, "port"),
	CONFIG_MAP(sip_t, tls, "tls", CYAML_FLAG_DEFAULT, sip_tls_fields),
	CONFIG_STR(sip_t, ktls, "ktls", CYAML_FLAG_OPTIONAL),
	CONFIG_UINT(sip_t, ktls_after_seconds, "ktls_after_seconds"),
	CONFIG_UINT(sip_t, ktls_after_bytes, "ktls_after_bytes"),
	CYAML_FIELD_END,
};
#define SERVICE_FIELDS                                                                  \
	CONFIG_STR(sip_t, host, "host", 0), CONFIG_UINT(sip_t, port, "port"),           \
		CONFIG_MAP(sip_t, tls, "tls", CYAML_FLAG_OPTIONAL, service_tls_fields), \
		CONFIG_STR(sip_t, ktls, "ktls", CYAML_FLAG_OPTIONAL),                   \
		CONFIG_UINT(sip_t, ktls_after_seconds, "ktls_after_seconds"),           \
		CONFIG_UINT(sip_t, ktls_after_bytes, "ktls_after_bytes")
static const cyaml_schema_field_t service_tls_fields[] = {
	SERVICE_TLS_FIELDS,
	CYAML_FIELD_END,
};
static const cyaml_schema_field_t https_fields[] = {
	CONFIG_LIST(sip_t, listen, "listen", 0, &config_string),
	SERVICE_FIELDS,
	CYAML_FIELD_END,
};
static const cyaml_schema_field_t federation_fields[] = {
	CONFIG_LIST(struct config_federation, listen, "listen", CYAML_FLAG_OPTIONAL,
		    &config_string),
	CONFIG_STR(struct config_federation, dial, "dial", CYAML_FLAG_OPTIONAL),
	CONFIG_STR(struct config_federation, dial_private, "dial_private", CYAML_FLAG_OPTIONAL),
	CONFIG_STR(struct config_federation, dns, "dns", CYAML_FLAG_OPTIONAL),
	CYAML_FIELD_END,
};
static const cyaml_schema_field_t xmpp_fields[] = {
	CONFIG_LIST(sip_t, listen, "listen", CYAML_FLAG_OPTIONAL, &config_string),
	CONFIG_LIST(sip_t, tls_listen, "tls_listen", CYAML_FLAG_OPTIONAL, &config_string),
	CONFIG_UINT(sip_t, tls_port, "tls_port"),
	CONFIG_MAP(sip_t, federation, "federation", CYAML_FLAG_OPTIONAL, federation_fields),
	SERVICE_FIELDS,
	CYAML_FIELD_END,
};
static const cyaml_schema_field_t media_fields[] = {
	CYAML_FIELD_SEQUENCE_COUNT("pairs", CYAML_FLAG_POINTER, media_t, pairs, pairs_count,
				   &pair_schema, 1, PAIRS_MAX),
	CONFIG_UINT(media_t, punch_port, "punch_port"),
	CONFIG_STR(media_t, rung, "rung", CYAML_FLAG_OPTIONAL),
	CYAML_FIELD_END,
};
static const cyaml_schema_field_t limits_fields[] = {
	CONFIG_UINT(limits_t, unadmitted_total, "unadmitted_total"),
	CONFIG_UINT(limits_t, unadmitted_prefix, "unadmitted_prefix"),
	CONFIG_UINT(limits_t, unadmitted_bytes, "unadmitted_bytes"),
	CONFIG_UINT(limits_t, unadmitted_seconds, "unadmitted_seconds"),
	CONFIG_UINT(limits_t, message_bytes, "message_bytes"),
	CONFIG_UINT(limits_t, http_head_seconds, "http_head_seconds"),
	CONFIG_UINT(limits_t, http_requests_unadmitted, "http_requests_unadmitted"),
	CONFIG_UINT(limits_t, handshake_ms, "handshake_ms"),
	CONFIG_UINT(limits_t, flows_stream, "flows_stream"),
	CONFIG_UINT(limits_t, orphan_seconds, "orphan_seconds"),
	CONFIG_UINT(limits_t, ban_score, "ban_score"),
	CONFIG_UINT(limits_t, ban_seconds, "ban_seconds"),
	CYAML_FIELD_END,
};
static const cyaml_schema_field_t edge_fields[] = {
	CONFIG_STR(struct config_edge, name, "name", 0),
	CONFIG_STR(struct config_edge, instance, "instance", CYAML_FLAG_OPTIONAL),
	CONFIG_STR(struct config_edge, user, "user", CYAML_FLAG_OPTIONAL),
	CONFIG_STR(struct config_edge, admin, "admin", CYAML_FLAG_OPTIONAL),
	CONFIG_STR(struct config_edge, admin_http, "admin_http", CYAML_FLAG_OPTIONAL),
	CONFIG_STR(struct config_edge, log, "log", CYAML_FLAG_OPTIONAL),
	CONFIG_UINT(struct config_edge, trace_records, "trace_records"),
	CONFIG_MAP(struct config_edge, link, "link", CYAML_FLAG_DEFAULT, link_fields),
	CONFIG_MAP(struct config_edge, sip, "sip", CYAML_FLAG_DEFAULT, sip_fields),
	CONFIG_MAP(struct config_edge, https, "https", CYAML_FLAG_OPTIONAL, https_fields),
	CONFIG_MAP(struct config_edge, xmpp, "xmpp", CYAML_FLAG_OPTIONAL, xmpp_fields),
	CONFIG_MAP(struct config_edge, media, "media", CYAML_FLAG_DEFAULT, media_fields),
	CONFIG_MAP(struct config_edge, limits, "limits", CYAML_FLAG_OPTIONAL, limits_fields),
	CYAML_FIELD_END,
};
static const cyaml_schema_value_t edge_schema = {
	CYAML_VALUE_MAPPING(CYAML_FLAG_POINTER, struct config_edge, edge_fields)};

static const struct config_rule edge_rules[] = {
	{CONFIG_AT(struct config_edge, name), .kind = CONFIG_DOMAIN},
	{CONFIG_AT(struct config_edge, instance), .kind = CONFIG_ID, .text = "edge"},
	{CONFIG_AT(struct config_edge, user), .kind = CONFIG_ID, .text = "sallyport"},
	{CONFIG_AT(struct config_edge, admin), .kind = CONFIG_FILE,
	 .text = "/run/sallyport/edge.sock"},
	{CONFIG_AT(struct config_edge, admin_http), .kind = CONFIG_LOOPBACK, .optional = true,
	 .def = 9061},
	{CONFIG_AT(struct config_edge, log), .kind = CONFIG_WORD, .text = "info",
	 .words = "error|warn|info|debug"},
	{CONFIG_AT(struct config_edge, trace_records), .kind = CONFIG_NUM32,
	 .def = TRACE_RECORDS_USUAL, .min = TRACE_RECORDS_MIN, .max = TRACE_RECORDS_MAX},
	{CONFIG_AT(struct config_edge, link.tls.certificate), .kind = CONFIG_FILE},
	{CONFIG_AT(struct config_edge, link.tls.key), .kind = CONFIG_FILE},
	{CONFIG_AT(struct config_edge, link.tls.ca), .kind = CONFIG_FILE},
	{CONFIG_AT(struct config_edge, link.ktls), .kind = CONFIG_WORD, .text = "auto",
	 .words = KTLS_WORDS},
	{CONFIG_AT(struct config_edge, sip.ktls), .kind = CONFIG_WORD, .text = "auto",
	 .words = KTLS_WORDS},
	{CONFIG_AT(struct config_edge, sip.ktls_after_seconds), .kind = CONFIG_NUM32, .def = 2,
	 .min = 0, .max = 86400},
	{CONFIG_AT(struct config_edge, sip.ktls_after_bytes), .kind = CONFIG_NUM32, .def = 0,
	 .min = 0, .max = 1073741824},
	{CONFIG_AT(struct config_edge, sip.host), .kind = CONFIG_HOST},
	{CONFIG_AT(struct config_edge, sip.port), .kind = CONFIG_NUM16, .def = 5061, .min = 1,
	 .max = 65535},
	{CONFIG_AT(struct config_edge, sip.tls.certificate), .kind = CONFIG_FILE},
	{CONFIG_AT(struct config_edge, sip.tls.key), .kind = CONFIG_FILE},
	{CONFIG_AT(struct config_edge, sip.tls.ca), .kind = CONFIG_FILE, .optional = true},
	{CONFIG_AT(struct config_edge, media.punch_port), .kind = CONFIG_NUM16, .def = 2777,
	 .min = 1, .max = 65535},
	{CONFIG_AT(struct config_edge, media.rung), .kind = CONFIG_WORD, .text = "auto",
	 .words = "auto|xdp|tc|user"},
	{CONFIG_AT(struct config_edge, limits.unadmitted_total), .kind = CONFIG_NUM32, .def = 4096,
	 .min = 1, .max = 1000000},
	{CONFIG_AT(struct config_edge, limits.unadmitted_prefix), .kind = CONFIG_NUM32, .def = 128,
	 .min = 1, .max = 1000000},
	{CONFIG_AT(struct config_edge, limits.unadmitted_bytes), .kind = CONFIG_NUM32, .def = 65536,
	 .min = 1024, .max = 16777216},
	{CONFIG_AT(struct config_edge, limits.unadmitted_seconds), .kind = CONFIG_NUM32, .def = 30,
	 .min = 1, .max = 3600},
	{CONFIG_AT(struct config_edge, limits.message_bytes), .kind = CONFIG_NUM32, .def = 32768,
	 .min = 1024, .max = 262144},
	{CONFIG_AT(struct config_edge, limits.http_head_seconds), .kind = CONFIG_NUM32, .def = 10,
	 .min = 1, .max = 3600},
	{CONFIG_AT(struct config_edge, limits.http_requests_unadmitted), .kind = CONFIG_NUM32,
	 .def = 20, .min = 1, .max = 10000},
	{CONFIG_AT(struct config_edge, limits.handshake_ms), .kind = CONFIG_NUM32, .def = 5000,
	 .min = 100, .max = 60000},
	{CONFIG_AT(struct config_edge, limits.flows_stream), .kind = CONFIG_NUM32, .def = 2048,
	 .min = 1, .max = 65536},
	{CONFIG_AT(struct config_edge, limits.orphan_seconds), .kind = CONFIG_NUM32, .def = 300,
	 .min = 1, .max = 86400},
	{CONFIG_AT(struct config_edge, limits.ban_score), .kind = CONFIG_NUM32, .def = 50, .min = 1,
	 .max = 1000000},
	{CONFIG_AT(struct config_edge, limits.ban_seconds), .kind = CONFIG_NUM32, .def = 300,
	 .min = 1, .max = 604800},
};

#define SERVICE_RULES                                                                            \
	{CONFIG_AT(sip_t, host), .kind = CONFIG_HOST},                                           \
		{CONFIG_AT(sip_t, tls.certificate), .kind = CONFIG_FILE, .optional = true},      \
		{CONFIG_AT(sip_t, tls.key), .kind = CONFIG_FILE, .optional = true},              \
		{CONFIG_AT(sip_t, ktls), .kind = CONFIG_WORD, .text = "auto",                    \
		 .words = KTLS_WORDS},                                                           \
		{CONFIG_AT(sip_t, ktls_after_seconds), .kind = CONFIG_NUM32, .def = 2, .min = 0, \
		 .max = 86400},                                                                  \
	{                                                                                        \
		CONFIG_AT(sip_t, ktls_after_bytes), .kind = CONFIG_NUM32, .def = 0, .min = 0,    \
						    .max = 1073741824                            \
	}
static const struct config_rule https_rules[] = {
	SERVICE_RULES,
	{CONFIG_AT(sip_t, port), .kind = CONFIG_NUM16, .def = 8443, .min = 1, .max = 65535},
};
static const struct config_rule xmpp_rules[] = {
	SERVICE_RULES,
	{CONFIG_AT(sip_t, port), .kind = CONFIG_NUM16, .def = 5222, .min = 1, .max = 65535},
	{CONFIG_AT(sip_t, tls_port), .kind = CONFIG_NUM16, .def = 5223, .min = 1, .max = 65535},
	{CONFIG_AT(sip_t, federation.dial), .kind = CONFIG_WORD, .text = "off", .words = "on|off"},
	{CONFIG_AT(sip_t, federation.dial_private), .kind = CONFIG_WORD, .text = "off",
	 .words = "on|off"},
	{CONFIG_AT(sip_t, federation.dns), .kind = CONFIG_ADDRPORT, .optional = true, .def = 53},
};

static const struct config_rule pair_rules[] = {
	{CONFIG_AT(struct config_pair, outside), .kind = CONFIG_ADDR},
	{CONFIG_AT(struct config_pair, outside_advertise), .kind = CONFIG_ADDR, .optional = true},
	{CONFIG_AT(struct config_pair, inside), .kind = CONFIG_ADDR},
	{CONFIG_AT(struct config_pair, inside_advertise), .kind = CONFIG_ADDR, .optional = true},
	{CONFIG_AT(struct config_pair, outside_first), .kind = CONFIG_NUM16, .def = 36000,
	 .min = 1024, .max = 65535},
	{CONFIG_AT(struct config_pair, inside_first), .kind = CONFIG_NUM16, .def = 36000,
	 .min = 1024, .max = 65535},
	{CONFIG_AT(struct config_pair, ports), .kind = CONFIG_NUM16, .def = 24000, .min = 2,
	 .max = 64512},
};

static const struct config_rule core_rules[] = {
	{CONFIG_AT(struct config_edge_core, name), .kind = CONFIG_DOMAIN},
};
#define N(a) ((unsigned)(sizeof(a) / sizeof((a)[0])))

struct side { /* one side of one pair: an address and the ports taken there */
	const char *address;
	unsigned first, last;
	const char *key;
	unsigned pair;
};

static int sides_overlap(struct config_ctx *c, const struct side *a, const struct side *b)
{
	char path[CONFIG_PATH_MAX];

	if (strcmp(a->address, b->address) || a->last < b->first || b->last < a->first)
		return 0;
	snprintf(path, sizeof(path), "media.pairs[%u].%s", a->pair, a->key);
	return config_fail(c, path, "ports %u..%u of %s overlap %u..%u of media.pairs[%u].%s",
			   a->first, a->last, a->address, b->first, b->last, b->pair, b->key);
}

/* An advertised address must be of the family of the bound one: static NAT does not cross families. */
static int pair_advertise(struct config_ctx *c, const char *prefix, const char *key,
			  const char *bound, const char **advertise)
{
	char path[CONFIG_PATH_MAX];
	struct addr a, b;

	if (!*advertise) {
		*advertise = strdup(bound);
		return *advertise ? 0 : config_fail(c, prefix, "out of memory");
	}
	snprintf(path, sizeof(path), "%s.%s", prefix, key);
	if (addr_parse(span_str(bound), &a) || addr_parse(span_str(*advertise), &b) ||
	    addr_is_v4(&a) != addr_is_v4(&b))
		return config_fail(c, path, "%s and %s are not of one address family", *advertise,
				   bound);
	return 0;
}

static int pair_check(struct config_ctx *c, struct config_pair *all, unsigned i)
{
	struct config_pair *p = &all[i];
	char prefix[CONFIG_PATH_MAX], path[CONFIG_PATH_MAX + 16];
	int err;

	snprintf(prefix, sizeof(prefix), "media.pairs[%u]", i);
	err = config_rules(c, prefix, p, pair_rules, N(pair_rules));
	if (!err)
		err = pair_advertise(c, prefix, "outside_advertise", p->outside,
				     &p->outside_advertise);
	if (!err)
		err = pair_advertise(c, prefix, "inside_advertise", p->inside,
				     &p->inside_advertise);
	if (err)
		return err;
	snprintf(path, sizeof(path), "%s.ports", prefix);
	if (p->ports != all[0].ports)
		return config_fail(
			c, path,
			"every pair has the same number of ports: %u here, %u in media.pairs[0]",
			p->ports, all[0].ports);
	if (p->outside_first + p->ports > 65536 || p->inside_first + p->ports > 65536)
		return config_fail(c, path, "%u ports from %u on end past 65535", p->ports,
				   p->outside_first > p->inside_first ? p->outside_first
								      : p->inside_first);
	return 0;
}

static int pairs_check(struct config_ctx *c, const struct config_edge *e)
{
	struct side s[2 * PAIRS_MAX];
	unsigned i, j, n = 0;
	int err;

	for (i = 0; i < e->media.pairs_count; i++) {
		const struct config_pair *p = &e->media.pairs[i];

		err = pair_check(c, e->media.pairs, i);
		if (err)
			return err;
		if (e->media.punch_port >= p->inside_first &&
		    e->media.punch_port < p->inside_first + p->ports)
			return config_fail(c, "media.punch_port",
					   "%u is one of the ports of media.pairs[%u]",
					   e->media.punch_port, i);
		s[n++] = (struct side){p->outside, p->outside_first,
				       p->outside_first + p->ports - 1U, "outside", i};
		s[n++] = (struct side){p->inside, p->inside_first, p->inside_first + p->ports - 1U,
				       "inside", i};
	}
	for (i = 0; i < n; i++)
		for (j = 0; j < i; j++) {
			err = sides_overlap(c, &s[i], &s[j]);
			if (err)
				return err;
		}
	return 0;
}

static int cores_check(struct config_ctx *c, const struct config_edge *e)
{
	char path[CONFIG_PATH_MAX];
	unsigned i;
	int err;

	for (i = 0; i < e->link.cores_count; i++) {
		struct config_edge_core *k = &e->link.cores[i];

		snprintf(path, sizeof(path), "link.cores[%u]", i);
		err = config_rules(c, path, k, core_rules, N(core_rules));
		snprintf(path, sizeof(path), "link.cores[%u].domains", i);
		if (!err)
			err = config_list(c, path, k->domains, k->domains_count, CONFIG_HOST, 0);
		if (err)
			return err;
	}
	return config_unique(c, "link.cores", e->link.cores, e->link.cores_count,
			     sizeof(*e->link.cores));
}

static const struct config_rule certificate_rules[] = {
	{CONFIG_AT(struct config_certificate, certificate), .kind = CONFIG_FILE},
	{CONFIG_AT(struct config_certificate, key), .kind = CONFIG_FILE},
};

/* One certificate or a list of them; the first of the list stands in for the one. */
static int certificates_check(struct config_ctx *c, const char *service, struct config_tls_files *t)
{
	char path[CONFIG_PATH_MAX];
	unsigned i;
	int err = 0;

	snprintf(path, sizeof(path), "%s.tls", service);
	if (!t->certificates_count)
		return !t->certificate == !t->key
			       ? 0
			       : config_fail(c, path,
					     "wanted certificate and key, came one of them");
	snprintf(path, sizeof(path), "%s.tls.certificates", service);
	if (t->certificate || t->key)
		return config_fail(c, path,
				   "wanted certificate and key, or certificates, came both");
	for (i = 0; i < t->certificates_count && !err; i++) {
		snprintf(path, sizeof(path), "%s.tls.certificates[%u]", service, i);
		err = config_rules(c, path, &t->certificates[i], certificate_rules,
				   N(certificate_rules));
	}
	if (err)
		return err;
	t->certificate = strdup(t->certificates[0].certificate);
	t->key = strdup(t->certificates[0].key);
	return t->certificate && t->key ? 0 : config_fail(c, service, "out of memory");
}

/* Those of sip are the default of the other services. */
static int certificates_copy(struct config_tls_files *to, const struct config_tls_files *from)
{
	unsigned i;

	to->certificate = strdup(from->certificate);
	to->key = strdup(from->key);
	if (!to->certificate || !to->key)
		return -ENOMEM;
	if (!from->certificates_count)
		return 0;
	to->certificates = calloc(from->certificates_count, sizeof(*to->certificates));
	if (!to->certificates)
		return -ENOMEM;
	to->certificates_count = from->certificates_count;
	for (i = 0; i < from->certificates_count; i++) {
		to->certificates[i].certificate = strdup(from->certificates[i].certificate);
		to->certificates[i].key = strdup(from->certificates[i].key);
		if (!to->certificates[i].certificate || !to->certificates[i].key)
			return -ENOMEM;
	}
	return 0;
}

/* A service that may be left out: @s is all zero then, and stays so. */
static int service_check(struct config_ctx *c, const char *name, struct config_service *s,
			 const struct config_service *sip, uint32_t port,
			 const struct config_rule *rules, unsigned n)
{
	char path[CONFIG_PATH_MAX];
	int err;

	if (!s->host)
		return 0;
	err = certificates_check(c, name, &s->tls);
	if (!err)
		err = config_rules(c, name, s, rules, n);
	snprintf(path, sizeof(path), "%s.listen", name);
	if (!err)
		err = config_list(c, path, s->listen, s->listen_count, CONFIG_ADDRPORT, port);
	if (err || s->tls.certificate)
		return err;
	return certificates_copy(&s->tls, &sip->tls) ? config_fail(c, name, "out of memory") : 0;
}

static int xmpp_check(struct config_ctx *c, struct config_edge *e)
{
	int err = service_check(c, "xmpp", &e->xmpp, &e->sip, 5222, xmpp_rules, N(xmpp_rules));

	if (!err && e->xmpp.host && !e->xmpp.listen_count && !e->xmpp.tls_listen_count)
		return config_fail(c, "xmpp",
				   "wanted listen (STARTTLS), tls_listen or both, came none");
	if (!err)
		err = config_list(c, "xmpp.tls_listen", e->xmpp.tls_listen,
				  e->xmpp.tls_listen_count, CONFIG_ADDRPORT, 5223);
	return err ? err
		   : config_list(c, "xmpp.federation.listen", e->xmpp.federation.listen,
				 e->xmpp.federation.listen_count, CONFIG_ADDRPORT, 5269);
}

int config_edge_load(const char *name, const char *text, size_t n, struct config_edge **out,
		     char why[CONFIG_WHY_MAX])
{
	struct config_ctx c = {.name = name, .why = why};
	struct config_edge *e = NULL;
	int err;

	err = config_parse(&c, text, n, &edge_schema, (void **)&e);
	if (!err && (e->sip.tls.certificates_count || !e->sip.tls.certificate == !e->sip.tls.key))
		err = certificates_check(&c, "sip", &e->sip.tls);
	if (!err)
		err = config_rules(&c, "", e, edge_rules, N(edge_rules));
	if (!err)
		err = config_list(&c, "link.listen", e->link.listen, e->link.listen_count,
				  CONFIG_ADDRPORT, 7001);
	if (!err)
		err = config_list(&c, "sip.listen", e->sip.listen, e->sip.listen_count,
				  CONFIG_ADDRPORT, 5061);
	if (!err)
		err = service_check(&c, "https", &e->https, &e->sip, 8443, https_rules,
				    N(https_rules));
	if (!err)
		err = xmpp_check(&c, e);
	if (!err)
		err = cores_check(&c, e);
	if (!err)
		err = pairs_check(&c, e);
	config_ctx_fini(&c);
	if (err)
		config_edge_free(e);
	else
		*out = e;
	return err;
}

void config_edge_free(struct config_edge *c)
{
	struct config_ctx ctx = {};

	if (c)
		cyaml_free(config_cyaml(&ctx), &edge_schema, c, 0);
}
