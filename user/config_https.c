/* user/config_https.c -- the core's https section: schema, defaults, and what must hold between its fields. See config.h. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "user/config_lines.h"

#define HTTPS	struct config_https
#define CLUSTER struct config_cluster
#define USER	struct config_user
#define ALLOW	struct config_allow
#define tls_t	__typeof__(((HTTPS *)NULL)->tls)
#define logon_t __typeof__(((HTTPS *)NULL)->logon)

#define TOKEN_KEYS_MAX 8
#define CLUSTERS_MAX   64
#define NODES_MAX      32
#define ACCESS_WORDS   "sip|https|chat"
#define METHOD_WORDS   "GET|HEAD|POST|PUT|DELETE|OPTIONS|PATCH"

static const cyaml_schema_field_t cluster_fields[] = {
	CONFIG_STR(CLUSTER, name, "name", 0),
	CONFIG_LIST(CLUSTER, domains, "domains", 0, &config_string),
	CYAML_FIELD_SEQUENCE_COUNT("nodes", CYAML_FLAG_POINTER, CLUSTER, nodes, nodes_count,
				   &config_string, 1, NODES_MAX),
	CONFIG_STR(CLUSTER, scheme, "scheme", CYAML_FLAG_OPTIONAL),
	CYAML_FIELD_SEQUENCE_COUNT("tftp", CYAML_FLAG_POINTER | CYAML_FLAG_OPTIONAL, CLUSTER, tftp,
				   tftp_count, &config_string, 1, NODES_MAX),
	CYAML_FIELD_SEQUENCE_COUNT("voicemail", CYAML_FLAG_POINTER | CYAML_FLAG_OPTIONAL, CLUSTER,
				   voicemail, voicemail_count, &config_string, 1, NODES_MAX),
	CYAML_FIELD_END,
};
static const cyaml_schema_value_t cluster_schema = {
	CYAML_VALUE_MAPPING(CYAML_FLAG_DEFAULT, CLUSTER, cluster_fields)};

static const cyaml_schema_field_t user_fields[] = {
	CONFIG_STR(USER, user, "user", 0),
	CONFIG_STR(USER, domain, "domain", 0),
	CYAML_FIELD_SEQUENCE_COUNT("access", CYAML_FLAG_POINTER, USER, access, access_count,
				   &config_string, 0, 3),
	CYAML_FIELD_END,
};
static const cyaml_schema_value_t user_schema = {
	CYAML_VALUE_MAPPING(CYAML_FLAG_DEFAULT, USER, user_fields)};

static const cyaml_schema_field_t allow_fields[] = {
	CONFIG_STR(ALLOW, url, "url", 0),
	CONFIG_STR(ALLOW, match, "match", CYAML_FLAG_OPTIONAL),
	CONFIG_LIST(ALLOW, methods, "methods", CYAML_FLAG_OPTIONAL, &config_string),
	CONFIG_STR(ALLOW, domain, "domain", CYAML_FLAG_OPTIONAL),
	CYAML_FIELD_END,
};
static const cyaml_schema_value_t allow_schema = {
	CYAML_VALUE_MAPPING(CYAML_FLAG_DEFAULT, ALLOW, allow_fields)};

static const cyaml_schema_field_t tls_fields[] = {
	CONFIG_STR(tls_t, ca, "ca", 0),
	CYAML_FIELD_END,
};
static const cyaml_schema_field_t logon_fields[] = {
	CONFIG_UINT(logon_t, failures, "failures"),
	CONFIG_UINT(logon_t, failures_user, "failures_user"),
	CONFIG_UINT(logon_t, seconds, "seconds"),
	CYAML_FIELD_END,
};
const cyaml_schema_field_t config_https_fields[] = {
	CYAML_FIELD_SEQUENCE_COUNT("token_keys", CYAML_FLAG_POINTER, HTTPS, token_keys,
				   token_keys_count, &config_string, 1, TOKEN_KEYS_MAX),
	CONFIG_UINT(HTTPS, token_seconds, "token_seconds"),
	CONFIG_UINT(HTTPS, user_requests, "user_requests"),
	CONFIG_MAP(HTTPS, tls, "tls", CYAML_FLAG_OPTIONAL, tls_fields),
	CYAML_FIELD_SEQUENCE_COUNT("clusters", CYAML_FLAG_POINTER, HTTPS, clusters, clusters_count,
				   &cluster_schema, 1, CLUSTERS_MAX),
	CONFIG_LIST(HTTPS, users, "users", CYAML_FLAG_OPTIONAL, &user_schema),
	CYAML_FIELD_SEQUENCE_COUNT("default_access", CYAML_FLAG_POINTER | CYAML_FLAG_OPTIONAL,
				   HTTPS, default_access, default_access_count, &config_string, 0,
				   3),
	CONFIG_LIST(HTTPS, allow, "allow", CYAML_FLAG_OPTIONAL, &allow_schema),
	CONFIG_STR(HTTPS, allow_csv, "allow_csv", CYAML_FLAG_OPTIONAL),
	CONFIG_MAP(HTTPS, logon, "logon", CYAML_FLAG_OPTIONAL, logon_fields),
	CYAML_FIELD_END,
};

static const struct config_rule https_rules[] = {
	{CONFIG_AT(HTTPS, token_seconds), .kind = CONFIG_NUM32, .def = 28800, .min = 60,
	 .max = 604800},
	{CONFIG_AT(HTTPS, user_requests), .kind = CONFIG_NUM32, .def = 2000, .min = 1,
	 .max = 1000000},
	{CONFIG_AT(HTTPS, tls.ca), .kind = CONFIG_FILE, .optional = true},
	{CONFIG_AT(HTTPS, allow_csv), .kind = CONFIG_FILE, .optional = true},
	{CONFIG_AT(HTTPS, logon.failures), .kind = CONFIG_NUM32, .def = 5, .min = 0, .max = 1000},
	{CONFIG_AT(HTTPS, logon.failures_user), .kind = CONFIG_NUM32, .def = 50, .min = 0,
	 .max = 100000},
	{CONFIG_AT(HTTPS, logon.seconds), .kind = CONFIG_NUM32, .def = 60, .min = 1, .max = 86400},
};
static const struct config_rule cluster_rules[] = {
	{CONFIG_AT(CLUSTER, name), .kind = CONFIG_ID},
	{CONFIG_AT(CLUSTER, scheme), .kind = CONFIG_WORD, .text = "https", .words = "https|http"},
};
static const struct config_rule user_rules[] = {
	{CONFIG_AT(USER, domain), .kind = CONFIG_DOMAIN},
};
static const struct config_rule allow_rules[] = {
	{CONFIG_AT(ALLOW, match), .kind = CONFIG_WORD, .text = "exact", .words = "exact|prefix"},
	{CONFIG_AT(ALLOW, domain), .kind = CONFIG_DOMAIN, .optional = true},
};
#define N(a) ((unsigned)(sizeof(a) / sizeof((a)[0])))

static int cluster_check(struct config_ctx *c, HTTPS *h, unsigned i)
{
	CLUSTER *k = &h->clusters[i];
	char path[CONFIG_PATH_MAX], list[CONFIG_PATH_MAX + 16];
	int err;

	snprintf(path, sizeof(path), "https.clusters[%u]", i);
	err = config_rules(c, path, k, cluster_rules, N(cluster_rules));
	snprintf(list, sizeof(list), "%s.domains", path);
	if (!err)
		err = config_list(c, list, k->domains, k->domains_count, CONFIG_DOMAIN, 0);
	snprintf(list, sizeof(list), "%s.nodes", path);
	if (!err)
		err = config_list(c, list, k->nodes, k->nodes_count, CONFIG_HOSTPORT, 8443);
	snprintf(list, sizeof(list), "%s.tftp", path);
	if (!err)
		err = config_list(c, list, k->tftp, k->tftp_count, CONFIG_HOST, 0);
	snprintf(list, sizeof(list), "%s.voicemail", path);
	if (!err)
		err = config_list(c, list, k->voicemail, k->voicemail_count, CONFIG_HOSTPORT, 443);
	snprintf(list, sizeof(list), "%s.scheme", path);
	if (!err && !h->tls.ca && strcmp(k->scheme, "https") == 0)
		err = config_fail(c, list, "https needs https.tls.ca, which verifies the nodes");
	return err;
}

/* A node is in one cluster: by its name a user's home is found. */
static int nodes_unique(struct config_ctx *c, const HTTPS *h, unsigned i)
{
	const CLUSTER *k = &h->clusters[i];
	char path[CONFIG_PATH_MAX];
	unsigned j, a, b;

	for (j = 0; j < i; j++)
		for (a = 0; a < k->nodes_count; a++)
			for (b = 0; b < h->clusters[j].nodes_count; b++) {
				if (strcasecmp(k->nodes[a], h->clusters[j].nodes[b]))
					continue;
				snprintf(path, sizeof(path), "https.clusters[%u].nodes[%u]", i, a);
				return config_fail(c, path,
						   "\"%.64s\" already belongs to \"%.64s\"",
						   k->nodes[a], h->clusters[j].name);
			}
	return 0;
}

static int clusters_check(struct config_ctx *c, HTTPS *h)
{
	unsigned i;
	int err = 0;

	for (i = 0; i < h->clusters_count && !err; i++) {
		err = cluster_check(c, h, i);
		if (!err)
			err = nodes_unique(c, h, i);
	}
	return err ? err
		   : config_unique(c, "https.clusters", h->clusters, h->clusters_count,
				   sizeof(CLUSTER));
}

/* Only domains that a cluster serves: another one would be a slip of the pen that lets somebody in. */
static int domain_served(struct config_ctx *c, const HTTPS *h, const char *path, const char *domain)
{
	unsigned i, j;

	for (i = 0; i < h->clusters_count; i++)
		for (j = 0; j < h->clusters[i].domains_count; j++)
			if (!strcasecmp(h->clusters[i].domains[j], domain))
				return 0;
	return config_fail(c, path, "a domain of https.clusters wanted, got \"%.64s\"", domain);
}

static int user_check(struct config_ctx *c, HTTPS *h, unsigned i)
{
	USER *u = &h->users[i];
	char path[CONFIG_PATH_MAX], list[CONFIG_PATH_MAX + 16];
	unsigned j;
	int err;

	snprintf(path, sizeof(path), "https.users[%u]", i);
	err = config_rules(c, path, u, user_rules, N(user_rules));
	snprintf(list, sizeof(list), "%s.domain", path);
	if (!err)
		err = domain_served(c, h, list, u->domain);
	snprintf(list, sizeof(list), "%s.user", path);
	for (j = 0; j < i && !err; j++)
		if (!strcasecmp(u->user, h->users[j].user) &&
		    !strcasecmp(u->domain, h->users[j].domain))
			err = config_fail(c, list, "\"%.64s\" of %.64s is here twice", u->user,
					  u->domain);
	if (!err && strlen(u->user) > 127)
		err = config_fail(c, list, "at most 127 bytes wanted");
	snprintf(list, sizeof(list), "%s.access", path);
	return err ? err : config_words(c, list, u->access, u->access_count, ACCESS_WORDS);
}

/* The URL itself is read by policy.c with the CSV's: it is checked there, by one reader. */
static int allow_check(struct config_ctx *c, HTTPS *h, unsigned i)
{
	ALLOW *a = &h->allow[i];
	char path[CONFIG_PATH_MAX], list[CONFIG_PATH_MAX + 16];
	int err;

	snprintf(path, sizeof(path), "https.allow[%u]", i);
	err = config_rules(c, path, a, allow_rules, N(allow_rules));
	snprintf(list, sizeof(list), "%s.methods", path);
	if (!err)
		err = config_words(c, list, a->methods, a->methods_count, METHOD_WORDS);
	snprintf(list, sizeof(list), "%s.domain", path);
	if (!err && a->domain)
		err = domain_served(c, h, list, a->domain);
	snprintf(list, sizeof(list), "%s.url", path);
	if (!err && !h->tls.ca && strncmp(a->url, "https:", 6) == 0)
		err = config_fail(c, list, "https needs https.tls.ca, which verifies the server");
	return err;
}

static int default_access(struct config_ctx *c, HTTPS *h)
{
	static const char *const all[] = {"sip", "https", "chat"};
	unsigned i;

	if (h->default_access || config_lines_has(c, "https.default_access"))
		return config_words(c, "https.default_access", h->default_access,
				    h->default_access_count, ACCESS_WORDS);
	h->default_access = calloc(N(all), sizeof(*h->default_access));
	for (i = 0; h->default_access && i < N(all); i++) {
		h->default_access[i] = strdup(all[i]);
		if (!h->default_access[i])
			break;
		h->default_access_count++;
	}
	return h->default_access_count == N(all)
		       ? 0
		       : config_fail(c, "https.default_access", "out of memory");
}

int config_https_check(struct config_ctx *c, HTTPS *h)
{
	unsigned i;
	int err;

	if (!h->token_keys_count)
		return 0;
	err = config_rules(c, "https", h, https_rules, N(https_rules));
	if (!err)
		err = config_list(c, "https.token_keys", h->token_keys, h->token_keys_count,
				  CONFIG_FILE, 0);
	if (!err)
		err = clusters_check(c, h);
	for (i = 0; i < h->users_count && !err; i++)
		err = user_check(c, h, i);
	if (!err)
		err = default_access(c, h);
	for (i = 0; i < h->allow_count && !err; i++)
		err = allow_check(c, h, i);
	return err;
}
