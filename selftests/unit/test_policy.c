/* selftests/unit/test_policy.c -- access of users, rules made of the configuration and of CSV, groups; UDS answers; the
 * bounded table. In: https sections, bodies. Out: rules, verdicts, errors that name their place. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "user/policy.h"
#include "user/recent.h"
#include "user/uds_xml.h"

#define N(a) (sizeof(a) / sizeof((a)[0]))

static const char base[] =
	"name: core.example.com\ntoken_key: /k\nlink: {tls: {certificate: /c, key: /k, ca: /a}, "
	"edges: [{name: e, address: "
	"'192.0.2.1'}]}\nsip: {listen: '192.0.2.2:5060'}\ncall_servers: [{name: p, domains: "
	"[example.com], address: "
	"'192.0.2.3:5060'}]\nmedia: {inside: 192.0.2.2}\nhttps:\n  token_keys: [/k]\n  tls: {ca: "
	"/ca}\n"
	"  clusters:\n"
	"    - {name: hq, domains: [example.com], nodes: [CUCM1.in, cucm2.in], tftp: "
	"[198.51.100.30, TFTP2.in], voicemail: [unity1, unity2]}\n"
	"    - {name: net, domains: [example.net], nodes: ['[2001:db8::9]:9443'], scheme: http}\n";

struct kit {
	struct config_core *cfg;
	struct clusters *clusters;
	struct policy *policy;
};

static int make(struct kit *k, const char *yaml, const char *csv, char why[CONFIG_WHY_MAX])
{
	char text[8192];

	*k = (struct kit){};
	snprintf(text, sizeof(text), "%s%s", base, yaml);
	if (config_core_load("f", text, strlen(text), &k->cfg, why))
		fail_msg("%s", why);
	assert_int_equal(clusters_new(k->cfg, &k->clusters), 0);
	return policy_new(k->cfg, k->clusters, span_str(csv), &k->policy, why, CONFIG_WHY_MAX);
}

static void unmake(struct kit *k)
{
	policy_free(k->policy);
	clusters_free(k->clusters);
	config_core_free(k->cfg);
}

static const struct allow_rule *rule_for(const struct kit *k, const char *user, const char *domain,
					 const char *method, const char *url)
{
	const char *detail = "";
	struct allow_verdict v;
	struct allow_url u;
	struct allow_ask q = {.user = span_str(user), .domain = span_str(domain)};

	if (allow_url_parse(span_str(url), &u, &detail))
		fail_msg("%s: %s", url, detail);
	q.method = http_method_from_text(span_str(method));
	q.https = u.https;
	q.host = span_str(u.host);
	q.port = u.port;
	q.path = u.written;
	q.query = u.query;
	allow_match(policy_allow(k->policy), &q, &v);
	return v.rule;
}

static void test_policy_rules(void **state)
{
	static const struct {
		const char *user, *domain, *method, *url, *rule;
	} rows[] = {
		{"anna", "example.com", "GET", "https://cucm1.in:8443/cucm-uds/user/anna",
		 "uds-user hq"},
		{"anna", "Example.com", "PUT",
		 "https://cucm2.in:8443/cucm-uds/user/anna/speedDials", "uds-user hq"},
		{"anna", "example.com", "GET", "https://cucm2.in:8443/cucm-uds/users?name=b",
		 "uds-users hq"},
		{"anna", "example.com", "GET", "https://cucm2.in:8443/cucm-uds/servers",
		 "uds-servers hq"},
		{"anna", "example.com", "GET", "https://cucm2.in:8443/cucm-uds/version",
		 "uds-version hq"},
		{"anna", "example.com", "GET",
		 "https://cucm2.in:8443/cucm-uds/clusterUser?username=anna", "uds-clusterUser hq"},
		{"anna", "example.com", "GET", "http://198.51.100.30:6970/CSFANNA.cnf.xml",
		 "provisioning hq"},
		{"anna", "example.com", "GET", "https://tftp2.in:6972/jabber-config.xml",
		 "provisioning hq"},
		{"anna", "example.com", "GET", "https://unity2/vmrest/messages?read=false",
		 "voicemail hq"},
		{"anna", "example.com", "DELETE", "https://unity1/vmrest/messages/0:1",
		 "voicemail hq"},
		{"anna", "example.com", "GET", "https://files.in/home/anna/x", "allow[0]"},
		{"anna", "example.com", "PUT", "https://files.in/home/anna/x", "allow[0]"},
		{"anna", "example.com", "GET", "http://photos.in:8080/p", "allow[1]"},
		{"anna", "example.com", "GET", "https://csv.in/x/y", "allow_csv:3"},
		{"anna", "example.com", "POST", "https://csv.in/z", "allow_csv:4"},
		{"anna", "example.com", "GET", "https://csv.in/z", NULL},
		{"anna", "example.com", "POST", "http://photos.in:8080/p", NULL},
		{"anna", "example.com", "GET", "https://files.in/home/berta/x", NULL},
		{"anna", "example.net", "GET", "https://files.in/home/anna/x", NULL},
		{"anna", "example.com", "GET", "https://cucm1.in:8443/cucm-uds/user/berta", NULL},
		{"anna", "example.net", "GET", "https://cucm1.in:8443/cucm-uds/user/anna", NULL},
		{"anna", "example.com", "GET", "https://cucm1.in:8443/axl/", NULL},
		{"anna", "example.com", "GET", "https://unity1/vmrest/users", NULL},
		{"anna", "example.com", "GET", "https://unity1/vmrest/messages?userobjectid=1",
		 NULL},
		{"anna", "example.com", "PUT", "http://198.51.100.30:6970/CSFANNA.cnf.xml", NULL},
		{"anna", "example.com", "GET", "http://198.51.100.30:6970/CSFBERTA.cnf.xml", NULL},
		{"zoe", "example.net", "GET", "http://[2001:db8::9]:9443/cucm-uds/user/zoe",
		 "uds-user net"},
		{"zoe", "example.com", "GET", "http://[2001:db8::9]:9443/cucm-uds/user/zoe", NULL},
	};
	struct kit k;
	char why[CONFIG_WHY_MAX] = "";
	size_t i;

	(void)state;
	if (make(&k,
		 "  allow:\n    - {url: 'https://FILES.in/home/{user}', match: prefix, methods: "
		 "[GET, PUT], domain: example.com}\n"
		 "    - {url: 'http://photos.in:8080/p'}\n  allow_csv: /allow.csv\n",
		 "Url,HttpMethods,MatchType\n\nhttps://csv.in/x,,\nhttps://csv.in/"
		 "z,\"POST,PUT\",Exact\n",
		 why))
		fail_msg("%s", why);
	for (i = 0; i < N(rows); i++) {
		const struct allow_rule *r =
			rule_for(&k, rows[i].user, rows[i].domain, rows[i].method, rows[i].url);

		if (!r != !rows[i].rule || (r && strcmp(r->name, rows[i].rule) != 0))
			fail_msg("%s %s: %s", rows[i].method, rows[i].url, r ? r->name : "denied");
	}
	unmake(&k);
}

static void test_policy_groups(void **state)
{
	char why[CONFIG_WHY_MAX] = "";
	struct policy_host h[8];
	const struct allow_rule *r;
	struct kit k;

	(void)state;
	assert_int_equal(make(&k, "  allow: [{url: 'https://alone/'}]\n", "", why), 0);
	r = rule_for(&k, "anna", "example.com", "GET", "https://cucm2.in:8443/cucm-uds/user/anna");
	assert_int_equal(policy_group(k.policy, r, h, 8), 2);
	assert_string_equal(h[0].host, "cucm2.in");
	assert_string_equal(h[1].host, "cucm1.in");
	assert_true(h[1].port == 8443 && h[1].https);
	assert_int_equal(policy_group(k.policy, r, h, 1), 1);
	r = rule_for(&k, "anna", "example.com", "GET", "https://unity1/vmrest/version");
	assert_int_equal(policy_group(k.policy, r, h, 8), 2);
	assert_string_equal(h[1].host, "unity2");
	r = rule_for(&k, "anna", "example.com", "GET", "https://tftp2.in:6972/x.xml");
	assert_int_equal(policy_group(k.policy, r, h, 8), 2);
	assert_true(!strcasecmp(h[0].host, "tftp2.in") && !strcmp(h[1].host, "198.51.100.30") &&
		    h[1].port == 6972);
	r = rule_for(&k, "anna", "example.com", "GET", "https://alone/");
	assert_int_equal(policy_group(k.policy, r, h, 8), 0);
	unmake(&k);
}

static void test_policy_access(void **state)
{
	char why[CONFIG_WHY_MAX] = "";
	struct kit k;

	(void)state;
	assert_int_equal(make(&k,
			      "  default_access: [sip, https]\n  users:\n    - {user: anna, "
			      "domain: example.com, access: "
			      "[chat]}\n    - {user: bert, domain: example.com, access: []}\n",
			      "", why),
			 0);
	assert_int_equal(policy_access(k.policy, SPAN("example.com"), SPAN("zoe")),
			 POLICY_SIP | POLICY_HTTPS);
	assert_int_equal(policy_access(k.policy, SPAN("EXAMPLE.com"), SPAN("ANNA")), POLICY_CHAT);
	assert_int_equal(policy_access(k.policy, SPAN("example.com"), SPAN("bert")), 0);
	assert_int_equal(policy_access(k.policy, SPAN("example.net"), SPAN("bert")),
			 POLICY_SIP | POLICY_HTTPS);
	unmake(&k);
}

static void test_policy_errors(void **state)
{
	static const struct {
		const char *yaml, *csv, *want;
	} rows[] = {
		{"  allow: [{url: 'ftp://a/'}]\n", "",
		 "https.allow[0].url \"ftp://a/\": wanted http:// or https:// in front"},
		{"  allow: [{url: 'https://a/b?c=d'}]\n", "", "a rule's URL has no query"},
		{"  allow: [{url: 'https://a/b?'}]\n", "", "a rule's URL has no query"},
		{"  allow: [{url: 'https://a/x{user}'}]\n", "",
		 "braces that are not a whole segment"},
		{"  allow: [{url: 'https://a/../b'}]\n", "", "a dot segment"},
		{"  allow: [{url: 'https://a:0/'}]\n", "", "wanted host or host:port"},
		{"  allow_csv: /a.csv\n", "", "/a.csv:1: wanted a column Url"},
		{"  allow_csv: /a.csv\n", "Url\nhttps://a/\nhttps://b/x y\\\n",
		 "/a.csv:3: a separator of another kind"},
		{"  allow_csv: /a.csv\n", "Url,MatchType\nhttps://a/,regex\n",
		 "/a.csv:2: MatchType: wanted exact or prefix"},
		{"  allow_csv: /a.csv\n", "Url,HttpMethods\nhttps://a/,BREW\n",
		 "/a.csv:2: HttpMethods: wanted words of"},
		{"  allow_csv: /a.csv\n", "Url\nhttps://a/,GET\n",
		 "/a.csv:2: more fields than column names"},
	};
	char why[CONFIG_WHY_MAX];
	struct kit k;
	size_t i;

	(void)state;
	for (i = 0; i < N(rows); i++) {
		why[0] = 0;
		assert_int_equal(make(&k, rows[i].yaml, rows[i].csv, why), -EINVAL);
		if (!strstr(why, rows[i].want))
			fail_msg("wanted %s, got %s", rows[i].want, why);
		assert_null(k.policy);
		unmake(&k);
	}
}

/* Thousands of rules, a look-up by host. */
static void test_policy_many(void **state)
{
	char *csv = malloc(1 << 20), why[CONFIG_WHY_MAX] = "";
	size_t n = (size_t)sprintf(csv, "Url\n");
	struct kit k;
	unsigned i;

	(void)state;
	for (i = 0; i < 10000; i++)
		n += (size_t)sprintf(csv + n, "https://host%u.in/p\n", i);
	if (make(&k, "  allow_csv: /a.csv\n", csv, why))
		fail_msg("%s", why);
	for (i = 0; i < 10000; i += 37) {
		char url[64];

		snprintf(url, sizeof(url), "https://host%u.in/p/q", i);
		assert_non_null(rule_for(&k, "anna", "example.com", "GET", url));
	}
	assert_null(rule_for(&k, "anna", "example.com", "GET", "https://host10000.in/p"));
	unmake(&k);
	for (i = 10000; i < 17000; i++)
		n += (size_t)sprintf(csv + n, "https://host%u.in/p\n", i);
	assert_int_equal(make(&k, "  allow_csv: /a.csv\n", csv, why), -EINVAL);
	assert_non_null(strstr(why, "at most 16384 rules"));
	unmake(&k);
	free(csv);
}

static void test_uds_paths(void **state)
{
	char out[UDS_PATH_MAX], longest[HTTP_TOKEN_USER_MAX];

	(void)state;
	assert_string_equal(uds_path_cluster_user("anna", out),
			    "/cucm-uds/clusterUser?username=anna");
	assert_string_equal(uds_path_user("a b&c=d@\xc3\xa9?#+", out),
			    "/cucm-uds/user/a%20b%26c%3Dd%40%C3%A9%3F%23%2B");
	memset(longest, '&', sizeof(longest) - 1);
	longest[sizeof(longest) - 1] = 0;
	assert_int_equal(strlen(uds_path_cluster_user(longest, out)), 31 + 3 * 127);
}

static void test_uds_answers(void **state)
{
	static const struct {
		const char *body, *home; /* home: NULL refused, "" not found */
	} rows[] = {
		{"<?xml version=\"1.0\"?><clusterUser uri=\"x\"><result found=\"true\" "
		 "uri=\"y\"/><homeCluster "
		 "serversUri=\"https://CUCM3.in:8443/cucm-uds/servers\">other</homeCluster></"
		 "clusterUser>",
		 "cucm3.in"},
		{"<clusterUser><result found=\"true\"/><homeCluster "
		 "serversUri=\"http://[2001:DB8::1]/\"/></clusterUser>",
		 "2001:db8::1"},
		{"<clusterUser><result found=\"false\"/></clusterUser>", ""},
		{"<clusterUser><result found=\"false\"/><homeCluster "
		 "serversUri=\"https://a/\"/></clusterUser>",
		 ""},
		{"<clusterUser><result found=\"true\"/></clusterUser>", NULL},
		{"<clusterUser><result found=\"TRUE\"/></clusterUser>", NULL},
		{"<clusterUser><result/></clusterUser>", NULL},
		{"<clusterUser/>", NULL},
		{"<clusterUser><a><result found=\"true\"/></a></clusterUser>", NULL},
		{"<clusterUser><result found=\"false\"/><result found=\"true\"/></clusterUser>",
		 NULL},
		{"<clusterUser><result found=\"true\"/><homeCluster "
		 "serversUri=\"https://a/\"/><homeCluster "
		 "serversUri=\"https://b/\"/></clusterUser>",
		 NULL},
		{"<clusterUser><result found=\"true\"/><homeCluster "
		 "serversUri=\"ldap://a/\"/></clusterUser>",
		 NULL},
		{"<clusterUser><result found=\"true\"/><homeCluster "
		 "serversUri=\"https://u:p@a/\"/></clusterUser>",
		 NULL},
		{"<clusterUser><result found=\"true\"/><homeCluster/></clusterUser>", NULL},
		{"<user/>", NULL},
		{"", NULL},
		{"<clusterUser>", NULL},
		{"<clusterUser><result found=\"false\"/></clusterUser><x/>", NULL},
		{"<!DOCTYPE clusterUser><clusterUser><result found=\"false\"/></clusterUser>",
		 NULL},
		{"<!DOCTYPE clusterUser [<!ENTITY a \"b\">]><clusterUser><result "
		 "found=\"false\"/></clusterUser>",
		 NULL},
		{"<clusterUser><result found=\"false\"/>&x;</clusterUser>", NULL},
		{"<clusterUser>\xff</clusterUser>", NULL},
		{"<clusterUser><a><a><a><a><a><a><a><a><a><a><a><a><a><a><a><a>", NULL},
	};
	struct uds_cluster_user u;
	const char *why;
	size_t i;
	int err;

	(void)state;
	for (i = 0; i < N(rows); i++) {
		why = NULL;
		err = uds_cluster_user(span_str(rows[i].body), &u, &why);
		if (err != (rows[i].home ? 0 : -EBADMSG) || !why != !err)
			fail_msg("%s: %d %s", rows[i].body, err, why);
		if (rows[i].home) {
			assert_string_equal(u.home, rows[i].home);
			assert_int_equal(u.found, rows[i].home[0] != 0);
		}
	}
}

static void test_uds_user_answers(void **state)
{
	static const struct {
		const char *body, *name;
	} rows[] = {
		{"<user "
		 "uri=\"x\"><id>1</id><userName>anna</userName><firstName>A</firstName></user>",
		 "anna"},
		{"<user><userName>a&amp;b &#233;</userName></user>", "a&b \xc3\xa9"},
		{"<user><manager><userName>boss</userName></manager></user>", ""},
		{"<user/>", ""},
		{"<user><userName>a</userName><userName>b</userName></user>", NULL},
		{"<user><userName>a<b/></userName></user>", NULL},
		{"<user><userName>a&#10;b</userName></user>", NULL},
		{"<users/>", NULL},
		{"<html><body>log in", NULL},
	};
	char name[HTTP_TOKEN_USER_MAX], body[400];
	const char *why;
	size_t i;

	(void)state;
	for (i = 0; i < N(rows); i++) {
		int err = uds_user(span_str(rows[i].body), name, &why);

		if (err != (rows[i].name ? 0 : -EBADMSG))
			fail_msg("%s: %d", rows[i].body, err);
		if (rows[i].name)
			assert_string_equal(name, rows[i].name);
	}
	snprintf(body, sizeof(body), "<user><userName>%0128d</userName></user>", 0);
	assert_int_equal(uds_user(span_str(body), name, &why), -EBADMSG);
}

static void test_recent(void **state)
{
	struct recent *r;
	uint8_t key[RECENT_KEY] = {0};
	uint64_t *v;
	unsigned i;

	(void)state;
	assert_int_equal(recent_new(0, 8, &r), -EINVAL);
	assert_int_equal(recent_new(100, 8, &r), 0);
	for (i = 0; i < 1000; i++) {
		memcpy(key, &i, sizeof(i));
		v = recent_put(r, key);
		assert_true(*v == 0);
		*v = i;
		memset(key, 0, sizeof(key)); /* the first one stays in use */
		assert_non_null(recent_find(r, key));
	}
	assert_int_equal(recent_n(r), 100);
	assert_int_equal(recent_pushed_out(r), 900);
	for (i = 0; i < 1000; i++) {
		memcpy(key, &i, sizeof(i));
		v = recent_find(r, key);
		if (i == 0 || i > 900)
			assert_true(v && *v == i);
		else
			assert_null(v);
	}
	i = 950;
	memcpy(key, &i, sizeof(i));
	recent_drop(r, key);
	recent_drop(r, key);
	assert_null(recent_find(r, key));
	assert_int_equal(recent_n(r), 99);
	v = recent_put(r, key);
	assert_true(*v == 0);
	assert_int_equal(recent_n(r), 100);
	recent_free(r);
	recent_free(NULL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_policy_rules),  cmocka_unit_test(test_policy_groups),
		cmocka_unit_test(test_policy_access), cmocka_unit_test(test_policy_errors),
		cmocka_unit_test(test_policy_many),   cmocka_unit_test(test_uds_paths),
		cmocka_unit_test(test_uds_answers),   cmocka_unit_test(test_uds_user_answers),
		cmocka_unit_test(test_recent),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
