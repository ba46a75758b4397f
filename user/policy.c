/* user/policy.c -- see policy.h. In: configuration, a CSV file's text. Out: rules and answers. */
#include "user/policy.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define RULES_MAX 16384 /* of all sources */
#define GROUP_MAX 16

#define READ (ALLOW_METHOD(HTTP_M_GET) | ALLOW_METHOD(HTTP_M_HEAD))
#define WRITE \
	(READ | ALLOW_METHOD(HTTP_M_PUT) | ALLOW_METHOD(HTTP_M_POST) | ALLOW_METHOD(HTTP_M_DELETE))

struct policy {
	const struct config_https *cfg;
	const struct clusters *clusters;
	unsigned default_access;
	struct allow allow;
	unsigned cap;
	char **strings; /* names, hosts and paths of rules */
	unsigned n_strings, cap_strings;
	bool no_memory;
};

/* ---- access -------- */

static unsigned access_bits(const char *const *words, unsigned n)
{
	unsigned bits = 0, i;

	for (i = 0; i < n; i++)
		bits |= !strcmp(words[i], "sip")     ? POLICY_SIP
			: !strcmp(words[i], "https") ? POLICY_HTTPS
						     : POLICY_CHAT;
	return bits;
}

unsigned policy_access(const struct policy *p, struct span domain, struct span user)
{
	unsigned i;

	for (i = 0; i < p->cfg->users_count; i++) {
		const struct config_user *u = &p->cfg->users[i];

		if (span_ieq(user, span_str(u->user)) && span_ieq(domain, span_str(u->domain)))
			return access_bits((const char *const *)u->access, u->access_count);
	}
	return p->default_access;
}

/* ---- rules -------- */

/* A copy in small letters (of ASCII) if @small that lives as long as the policy; "" and p->no_memory. */
static const char *keep(struct policy *p, const char *text, bool small)
{
	char *copy = strdup(text), **grown, *c;

	if (copy && p->n_strings == p->cap_strings) {
		unsigned cap = p->cap_strings ? 2 * p->cap_strings : 64;

		grown = realloc(p->strings, cap * sizeof(*grown));
		if (grown) {
			p->strings = grown;
			p->cap_strings = cap;
		}
	}
	if (!copy || p->n_strings == p->cap_strings) {
		free(copy);
		p->no_memory = true;
		return "";
	}
	for (c = copy; small && *c; c++)
		*c = (char)span_lower((uint8_t)*c);
	p->strings[p->n_strings++] = copy;
	return copy;
}

static void add(struct policy *p, struct allow_rule r)
{
	struct allow_rule *grown;

	if (p->allow.n == p->cap) {
		p->cap = p->cap ? 2 * p->cap : 64;
		grown = realloc(p->allow.rules, p->cap * sizeof(*grown));
		if (!grown) {
			p->cap = p->allow.n;
			p->no_memory = true;
			return;
		}
		p->allow.rules = grown;
	}
	p->allow.rules[p->allow.n++] = r;
}

/* One that is generated: @what and the cluster in its name; for the users of each of the cluster's domains. */
static void add_known(struct policy *p, const struct cluster *k, const char *what,
		      struct allow_rule r)
{
	char name[128];
	unsigned i;

	snprintf(name, sizeof(name), "%s %s", what, k->name);
	r.name = keep(p, name, false);
	for (i = 0; i < k->n_domains; i++) {
		r.domain = k->domains[i];
		add(p, r);
	}
}

static void add_uds(struct policy *p, const struct cluster *k, unsigned group)
{
	unsigned i;

	for (i = 0; i < k->n_nodes; i++) {
		struct allow_rule r = {.https = k->nodes[i].https,
				       .host = k->nodes[i].host,
				       .port = k->nodes[i].port,
				       .group = group,
				       .methods = WRITE};

		r.path = "/cucm-uds/user/{user}";
		r.prefix = true;
		add_known(p, k, "uds-user", r);
		r.methods = READ;
		r.path = "/cucm-uds/users";
		add_known(p, k, "uds-users", r);
		r.prefix = false;
		r.path = "/cucm-uds/servers";
		add_known(p, k, "uds-servers", r);
		r.path = "/cucm-uds/version";
		add_known(p, k, "uds-version", r);
		r.path = "/cucm-uds/clusterUser";
		r.own_query = true;
		add_known(p, k, "uds-clusterUser", r);
	}
}

/* Provisioning files lie in the server's root, those of a language one folder down. */
static void add_tftp(struct policy *p, const struct cluster *k, unsigned group)
{
	unsigned i, https;

	for (i = 0; i < k->n_tftp; i++)
		for (https = 0; https < 2; https++) {
			struct allow_rule r = {.https = https,
					       .host = keep(p, k->tftp[i], true),
					       .port = https ? 6972 : 6970,
					       .group = group,
					       .methods = READ,
					       .path = "/{file}"};

			add_known(p, k, "provisioning", r);
			r.path = "/{any}/{file}";
			add_known(p, k, "provisioning", r);
		}
}

static void add_voicemail(struct policy *p, const struct cluster *k, unsigned group)
{
	static const char *const paths[] = {"/vmrest/messages", "/vmrest/mailbox"};
	unsigned i, j;

	for (i = 0; i < k->n_voicemail; i++) {
		struct allow_rule r = {.https = k->voicemail[i].https,
				       .host = k->voicemail[i].host,
				       .port = k->voicemail[i].port,
				       .group = group,
				       .methods = READ,
				       .path = "/vmrest/version"};

		add_known(p, k, "voicemail", r);
		r.prefix = r.own_query = true;
		r.methods = WRITE;
		for (j = 0; j < sizeof(paths) / sizeof(paths[0]); j++) {
			r.path = paths[j];
			add_known(p, k, "voicemail", r);
		}
	}
}

/* Groups by cluster: 1 + 3 x its place + what. policy_group() undoes that. */
enum { GROUP_UDS, GROUP_TFTP, GROUP_VOICEMAIL, GROUPS };

static void add_clusters(struct policy *p)
{
	unsigned i;

	for (i = 0; i < clusters_n(p->clusters); i++) {
		const struct cluster *k = clusters_at((struct clusters *)p->clusters, i);
		unsigned first = 1 + GROUPS * i;

		add_uds(p, k, first + GROUP_UDS);
		add_tftp(p, k, first + GROUP_TFTP);
		add_voicemail(p, k, first + GROUP_VOICEMAIL);
	}
}

/* A rule of the operator's. NULL or what is wrong with it. */
static const char *add_url(struct policy *p, struct span url, const char *name, struct allow_rule r)
{
	struct allow_url u;
	const char *fault = NULL;

	if (allow_url_parse(url, &u, &fault))
		return fault;
	if (memchr(url.p, '?', url.n)) /* url.n > 0: it was parsed */
		return "a rule's URL has no query";
	fault = allow_path_fault(u.path);
	if (fault)
		return fault;
	r.name = keep(p, name, false);
	r.https = u.https;
	r.host = keep(p, u.host, true);
	r.port = u.port;
	r.path = keep(p, u.path, false);
	add(p, r);
	return p->allow.n > RULES_MAX ? "at most 16384 rules in all" : NULL;
}

static int add_own(struct policy *p, char *why, size_t why_n)
{
	unsigned i, j;

	for (i = 0; i < p->cfg->allow_count; i++) {
		const struct config_allow *a = &p->cfg->allow[i];
		struct allow_rule r = {.prefix = strcmp(a->match, "prefix") == 0,
				       .domain = a->domain};
		const char *fault;
		char name[32];

		for (j = 0; j < a->methods_count; j++)
			r.methods |= allow_methods(span_str(a->methods[j]), ',');
		if (!r.methods)
			r.methods = READ;
		snprintf(name, sizeof(name), "allow[%u]", i);
		fault = add_url(p, span_str(a->url), name, r);
		if (fault) {
			snprintf(why, why_n, "https.%s.url \"%.100s\": %s", name, a->url, fault);
			return -EINVAL;
		}
	}
	return 0;
}

static const char *csv_row(struct policy *p, const struct allow_csv *c,
			   const struct allow_csv_row *row)
{
	struct span match = row->fields[ALLOW_CSV_MATCH], methods = row->fields[ALLOW_CSV_METHODS];
	struct allow_rule r = {.prefix = !span_ieq(match, SPAN("exact")), .methods = READ};
	char name[64];

	if (r.prefix && match.n && !span_ieq(match, SPAN("prefix")))
		return "MatchType: wanted exact or prefix (the default)";
	if (methods.n)
		r.methods = allow_methods(methods, ',');
	if (!r.methods)
		return "HttpMethods: wanted words of GET, HEAD, POST, PUT, DELETE, OPTIONS, PATCH "
		       "with ',' between "
		       "them, in quotes";
	snprintf(name, sizeof(name), "allow_csv:%u", c->line);
	return add_url(p, row->fields[ALLOW_CSV_URL], name, r);
}

static int add_csv(struct policy *p, struct span text, char *why, size_t why_n)
{
	struct allow_csv_row row;
	struct allow_csv c;
	const char *fault = NULL;
	int r = allow_csv_begin(&c, text, &fault);

	while (!r || r == 1) {
		r = allow_csv_next(&c, &row, &fault);
		if (!r)
			return 0;
		if (r == 1)
			fault = csv_row(p, &c, &row);
		if (fault)
			break;
	}
	snprintf(why, why_n, "%s:%u: %s", p->cfg->allow_csv, c.line ? c.line : 1, fault);
	return -EINVAL;
}

int policy_new(const struct config_core *cfg, const struct clusters *clusters, struct span csv,
	       struct policy **out, char *why, size_t why_n)
{
	struct policy *p = calloc(1, sizeof(*p));
	int err = p ? 0 : -ENOMEM;

	if (p) {
		p->cfg = &cfg->https;
		p->clusters = clusters;
		p->default_access = access_bits((const char *const *)cfg->https.default_access,
						cfg->https.default_access_count);
		add_clusters(p);
		err = add_own(p, why, why_n);
	}
	if (!err && cfg->https.allow_csv)
		err = add_csv(p, csv, why, why_n);
	if (!err && p->no_memory)
		err = -ENOMEM;
	if (!err)
		err = allow_compile(&p->allow, why, why_n);
	if (!err) {
		*out = p;
		return 0;
	}
	if (err == -ENOMEM)
		snprintf(why, why_n, "https: out of memory");
	policy_free(p);
	return err;
}

void policy_free(struct policy *p)
{
	if (!p)
		return;
	while (p->n_strings)
		free(p->strings[--p->n_strings]);
	free(p->strings);
	free(p->allow.rules);
	free(p);
}

const struct allow *policy_allow(const struct policy *p)
{
	return &p->allow;
}

/* ---- groups -------- */

static unsigned group_members(const struct policy *p, const struct allow_rule *rule,
			      struct policy_host *out)
{
	struct clusters *clusters = (struct clusters *)p->clusters;
	const struct cluster *k = clusters_at(clusters, (rule->group - 1) / GROUPS);
	unsigned what = (rule->group - 1) % GROUPS, n = 0, i;

	for (i = 0; what == GROUP_UDS && i < k->n_nodes && n < GROUP_MAX; i++)
		out[n++] =
			(struct policy_host){k->nodes[i].host, k->nodes[i].port, k->nodes[i].https};
	for (i = 0; what == GROUP_TFTP && i < k->n_tftp && n < GROUP_MAX; i++)
		out[n++] = (struct policy_host){k->tftp[i], rule->port, rule->https};
	for (i = 0; what == GROUP_VOICEMAIL && i < k->n_voicemail && n < GROUP_MAX; i++)
		out[n++] = (struct policy_host){k->voicemail[i].host, k->voicemail[i].port,
						k->voicemail[i].https};
	return n;
}

unsigned policy_group(const struct policy *p, const struct allow_rule *rule,
		      struct policy_host *out, unsigned max)
{
	struct policy_host all[GROUP_MAX];
	unsigned n, i, first;

	if (!rule->group || !max)
		return 0;
	n = group_members(p, rule, all);
	for (first = 0; first < n; first++)
		if (all[first].port == rule->port && !strcasecmp(all[first].host, rule->host))
			break;
	if (first == n)
		return 0;
	for (i = 0; i < n && i < max; i++)
		out[i] = all[(first + i) % n];
	return i;
}
