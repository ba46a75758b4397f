/* user/config_core_xmpp.c -- the xmpp section of the core's file: schema, defaults, and what must hold between its fields. See config.h.
 *
 * In: struct config_xmpp as libcyaml left it. Out: the same with defaults, or config_fail(). */
#include "user/config_int.h"
#include "user/ktls_policy.h"

#include <errno.h>
#include <stdio.h>

#define XMPP	       struct config_xmpp
#define CLUSTER	       struct config_xmpp_cluster
#define x_limits_t     __typeof__(((XMPP *)NULL)->limits)
#define x_federation_t __typeof__(((XMPP *)NULL)->federation)

static const cyaml_schema_field_t cluster_fields[] = {
	CONFIG_STR(CLUSTER, name, "name", 0),
	CONFIG_LIST(CLUSTER, domains, "domains", 0, &config_string),
	CONFIG_LIST(CLUSTER, nodes, "nodes", CYAML_FLAG_OPTIONAL, &config_string),
	CONFIG_STR(CLUSTER, tls, "tls", CYAML_FLAG_OPTIONAL),
	CONFIG_STR(CLUSTER, tls_name, "tls_name", CYAML_FLAG_OPTIONAL),
	CONFIG_STR(CLUSTER, ca, "ca", CYAML_FLAG_OPTIONAL),
	CONFIG_UINT(CLUSTER, server_port, "server_port"),
	CYAML_FIELD_END,
};
static const cyaml_schema_value_t cluster_schema = {
	CYAML_VALUE_MAPPING(CYAML_FLAG_DEFAULT, CLUSTER, cluster_fields)};
static const cyaml_schema_field_t limits_fields[] = {
	CONFIG_UINT(x_limits_t, streams, "streams"),
	CONFIG_UINT(x_limits_t, login_seconds, "login_seconds"),
	CONFIG_UINT(x_limits_t, attempts, "attempts"),
	CONFIG_UINT(x_limits_t, attempts_user, "attempts_user"),
	CONFIG_UINT(x_limits_t, attempts_address, "attempts_address"),
	CONFIG_UINT(x_limits_t, ban_seconds, "ban_seconds"),
	CONFIG_UINT(x_limits_t, federation, "federation"),
	CYAML_FIELD_END,
};
static const cyaml_schema_field_t federation_fields[] = {
	CONFIG_LIST(x_federation_t, domains, "domains", 0, &config_string),
	CONFIG_LIST(x_federation_t, allow, "allow", CYAML_FLAG_OPTIONAL, &config_string),
	CONFIG_LIST(x_federation_t, deny, "deny", CYAML_FLAG_OPTIONAL, &config_string),
	CONFIG_STR(x_federation_t, listen, "listen", CYAML_FLAG_OPTIONAL),
	CONFIG_LIST(x_federation_t, sources, "sources", CYAML_FLAG_OPTIONAL, &config_string),
	CYAML_FIELD_END,
};
const cyaml_schema_field_t config_xmpp_fields[] = {
	CONFIG_LIST(XMPP, clusters, "clusters", 0, &cluster_schema),
	CONFIG_LIST(XMPP, off, "off", CYAML_FLAG_OPTIONAL, &config_string),
	CONFIG_STR(XMPP, ktls, "ktls", CYAML_FLAG_OPTIONAL),
	CONFIG_MAP(XMPP, limits, "limits", CYAML_FLAG_OPTIONAL, limits_fields),
	CONFIG_MAP(XMPP, federation, "federation", CYAML_FLAG_OPTIONAL, federation_fields),
	CYAML_FIELD_END,
};

static const struct config_rule xmpp_rules[] = {
	{CONFIG_AT(XMPP, ktls), .kind = CONFIG_WORD, .text = "auto", .words = KTLS_WORDS},
	{CONFIG_AT(XMPP, limits.streams), .kind = CONFIG_NUM32, .def = 20000, .min = 1,
	 .max = 100000},
	{CONFIG_AT(XMPP, limits.login_seconds), .kind = CONFIG_NUM32, .def = 60, .min = 1,
	 .max = 3600},
	{CONFIG_AT(XMPP, limits.attempts), .kind = CONFIG_NUM32, .def = 5, .min = 1, .max = 100},
	{CONFIG_AT(XMPP, limits.attempts_user), .kind = CONFIG_NUM32, .def = 10, .min = 1,
	 .max = 10000},
	{CONFIG_AT(XMPP, limits.attempts_address), .kind = CONFIG_NUM32, .def = 50, .min = 1,
	 .max = 100000},
	{CONFIG_AT(XMPP, limits.ban_seconds), .kind = CONFIG_NUM32, .def = 300, .min = 1,
	 .max = 86400},
	{CONFIG_AT(XMPP, limits.federation), .kind = CONFIG_NUM32, .def = 1000, .min = 1,
	 .max = 10000},
	{CONFIG_AT(XMPP, federation.listen), .kind = CONFIG_ADDRPORT, .optional = true,
	 .def = 5270},
};
static const struct config_rule cluster_rules[] = {
	{CONFIG_AT(CLUSTER, name), .kind = CONFIG_ID},
	{CONFIG_AT(CLUSTER, tls), .kind = CONFIG_WORD, .text = "starttls",
	 .words = "starttls|direct|none"},
	{CONFIG_AT(CLUSTER, tls_name), .kind = CONFIG_HOST, .optional = true},
	{CONFIG_AT(CLUSTER, ca), .kind = CONFIG_FILE, .optional = true},
	{CONFIG_AT(CLUSTER, server_port), .kind = CONFIG_NUM16, .def = 5269, .min = 1,
	 .max = 65535},
};
#define N(a) ((unsigned)(sizeof(a) / sizeof((a)[0])))

/* The cluster of @domain among the first @n, or NULL. */
static const CLUSTER *cluster_of(const XMPP *x, unsigned n, const char *domain)
{
	unsigned i, j;

	for (i = 0; i < n; i++)
		for (j = 0; j < x->clusters[i].domains_count; j++)
			if (strcasecmp(x->clusters[i].domains[j], domain) == 0)
				return &x->clusters[i];
	return NULL;
}

static int cluster_check(struct config_ctx *c, const XMPP *x, unsigned i)
{
	CLUSTER *k = &x->clusters[i];
	char path[CONFIG_PATH_MAX];
	const CLUSTER *other;
	unsigned j;
	int err;

	snprintf(path, sizeof(path), "xmpp.clusters[%u]", i);
	err = config_rules(c, path, k, cluster_rules, N(cluster_rules));
	if (err)
		return err;
	if (strcmp(k->tls, "none") && !k->ca)
		return config_fail(c, path, "tls: %s needs ca, what verifies the servers", k->tls);
	snprintf(path, sizeof(path), "xmpp.clusters[%u].domains", i);
	err = config_list(c, path, k->domains, k->domains_count, CONFIG_DOMAIN, 0);
	snprintf(path, sizeof(path), "xmpp.clusters[%u].nodes", i);
	if (!err)
		err = config_list(c, path, k->nodes, k->nodes_count, CONFIG_HOSTPORT,
				  strcmp(k->tls, "direct") == 0 ? 5223 : 5222);
	for (j = 0; j < k->domains_count && !err; j++) {
		other = cluster_of(x, i, k->domains[j]);
		snprintf(path, sizeof(path), "xmpp.clusters[%u].domains[%u]", i, j);
		if (other)
			err = config_fail(c, path, "\"%.64s\" already belongs to \"%.64s\"",
					  k->domains[j], other->name);
	}
	return err;
}

/* Each of @list is a domain of some cluster: a wrong letter would switch nothing. */
static int ours_check(struct config_ctx *c, const XMPP *x, const char *path, const char **list,
		      unsigned n)
{
	char one[CONFIG_PATH_MAX];
	unsigned i;
	int err = config_list(c, path, list, n, CONFIG_DOMAIN, 0);

	for (i = 0; i < n && !err; i++) {
		if (cluster_of(x, x->clusters_count, list[i]))
			continue;
		snprintf(one, sizeof(one), "%s[%u]", path, i);
		err = config_fail(c, one, "\"%.64s\" is no domain of xmpp.clusters", list[i]);
	}
	return err;
}

static int federation_check(struct config_ctx *c, XMPP *x)
{
	int err = ours_check(c, x, "xmpp.federation.domains", x->federation.domains,
			     x->federation.domains_count);

	if (!err)
		err = config_list(c, "xmpp.federation.allow", x->federation.allow,
				  x->federation.allow_count, CONFIG_DOMAIN, 0);
	if (!err)
		err = config_list(c, "xmpp.federation.deny", x->federation.deny,
				  x->federation.deny_count, CONFIG_DOMAIN, 0);
	if (!err)
		err = config_list(c, "xmpp.federation.sources", x->federation.sources,
				  x->federation.sources_count, CONFIG_ADDR, 0);
	if (!err && x->federation.listen && !x->federation.sources_count)
		err = config_fail(c, "xmpp.federation.listen",
				  "needs xmpp.federation.sources, the servers that may dial");
	return err;
}

int config_xmpp_check(struct config_ctx *c, XMPP *x)
{
	unsigned i;
	int err = config_rules(c, "xmpp", x, xmpp_rules, N(xmpp_rules));

	for (i = 0; i < x->clusters_count && !err; i++)
		err = cluster_check(c, x, i);
	if (!err)
		err = config_unique(c, "xmpp.clusters", x->clusters, x->clusters_count,
				    sizeof(*x->clusters));
	if (!err)
		err = ours_check(c, x, "xmpp.off", x->off, x->off_count);
	return err ? err : federation_check(c, x);
}
