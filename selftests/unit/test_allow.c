/* selftests/unit/test_allow.c -- the allow list: a table of requests against one set of rules, paths that have two readings,
 * URLs, CSV. In: rules, requests. Out: the rule, or why none and the nearest. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "http/allow.h"

#define N(a) (sizeof(a) / sizeof((a)[0]))
#define GET  ALLOW_METHOD(HTTP_M_GET)
#define READ (GET | ALLOW_METHOD(HTTP_M_HEAD))
#define WRITE \
	(READ | ALLOW_METHOD(HTTP_M_PUT) | ALLOW_METHOD(HTTP_M_POST) | ALLOW_METHOD(HTTP_M_DELETE))

static struct allow_rule rules[] = {
	{.name = "user",
	 .https = true,
	 .host = "uds",
	 .port = 8443,
	 .path = "/cucm-uds/user/{user}",
	 .prefix = true,
	 .methods = WRITE},
	{.name = "version",
	 .https = true,
	 .host = "uds",
	 .port = 8443,
	 .path = "/cucm-uds/version",
	 .methods = READ},
	{.name = "cluster",
	 .https = true,
	 .host = "uds",
	 .port = 8443,
	 .path = "/cucm-uds/clusterUser",
	 .own_query = true,
	 .methods = READ},
	{.name = "users",
	 .https = true,
	 .host = "uds",
	 .port = 8443,
	 .path = "/cucm-uds/users",
	 .methods = READ},
	{.name = "tftp", .host = "198.51.100.30", .port = 6970, .path = "/{file}", .methods = READ},
	{.name = "tftp-dir",
	 .host = "198.51.100.30",
	 .port = 6970,
	 .path = "/{any}/{file}",
	 .methods = READ},
	{.name = "mail",
	 .https = true,
	 .host = "unity",
	 .port = 443,
	 .path = "/vmrest/messages/",
	 .prefix = true,
	 .own_query = true,
	 .methods = WRITE},
	{.name = "files",
	 .https = true,
	 .host = "files",
	 .port = 443,
	 .path = "/",
	 .prefix = true,
	 .methods = READ},
	{.name = "net",
	 .https = true,
	 .host = "net",
	 .port = 443,
	 .path = "/a b",
	 .prefix = true,
	 .methods = READ,
	 .domain = "example.net"},
	{.name = "six", .host = "2001:db8::1", .port = 80, .path = "/x", .methods = READ},
};
static struct allow list = {rules, N(rules)};

static const struct row {
	const char *method, *url, *rule; /* rule: NULL is denied */
	enum allow_why why;
	const char *nearest;
} rows[] = {
	/* one's own */
	{"GET", "https://uds:8443/cucm-uds/user/anna", "user", ALLOW_OK, NULL},
	{"PUT", "https://uds:8443/cucm-uds/user/anna/speedDials", "user", ALLOW_OK, NULL},
	{"GET", "https://uds:8443/cucm-uds/user/Anna/devices?max=2", "user", ALLOW_OK, NULL},
	{"GET", "https://uds:8443/cucm-uds/user/%61nna/devices", "user", ALLOW_OK, NULL},
	{"GET", "https://uds:8443/cucm-uds/version", "version", ALLOW_OK, NULL},
	{"HEAD", "https://uds:8443/cucm-uds/users?name=berta", "users", ALLOW_OK, NULL},
	{"GET", "https://uds:8443/cucm-uds/clusterUser?username=anna", "cluster", ALLOW_OK, NULL},
	{"GET", "http://198.51.100.30:6970/jabber-config.xml", "tftp", ALLOW_OK, NULL},
	{"GET", "http://198.51.100.30:6970/CSFANNA.cnf.xml", "tftp", ALLOW_OK, NULL},
	{"GET", "http://198.51.100.30:6970/botanna.cnf.xml.sgn", "tftp", ALLOW_OK, NULL},
	{"GET", "http://198.51.100.30:6970/SEP001122334455.cnf.xml", "tftp", ALLOW_OK, NULL},
	{"GET", "http://198.51.100.30:6970/CSF.cnf.xml", "tftp", ALLOW_OK, NULL},
	{"GET", "http://198.51.100.30:6970/English_United_States/ringlist.xml", "tftp-dir",
	 ALLOW_OK, NULL},
	{"DELETE", "https://unity:443/vmrest/messages/0:1", "mail", ALLOW_OK, NULL},
	{"GET", "https://files/", "files", ALLOW_OK, NULL},
	{"GET", "https://files/a/b%20c/", "files", ALLOW_OK, NULL},
	{"GET", "http://[2001:DB8:0::1]/x", "six", ALLOW_OK, NULL},
	/* another one's */
	{"GET", "https://uds:8443/cucm-uds/user/berta", NULL, ALLOW_OTHER_USER, "user"},
	{"PUT", "https://uds:8443/cucm-uds/user/berta/credentials", NULL, ALLOW_OTHER_USER, "user"},
	{"GET", "https://uds:8443/cucm-uds/user/annab", NULL, ALLOW_OTHER_USER, "user"},
	{"GET", "https://uds:8443/cucm-uds/user/ann", NULL, ALLOW_OTHER_USER, "user"},
	{"GET", "https://uds:8443/cucm-uds/clusterUser?username=berta", NULL, ALLOW_OTHER_USER,
	 "cluster"},
	{"GET", "https://uds:8443/cucm-uds/clusterUser?username=anna&username=berta", NULL,
	 ALLOW_OTHER_USER, "cluster"},
	{"GET", "https://uds:8443/cucm-uds/clusterUser?User%6eame=%62erta", NULL, ALLOW_OTHER_USER,
	 "cluster"},
	{"GET", "https://uds:8443/cucm-uds/clusterUser?x=1;username=berta", NULL, ALLOW_OTHER_USER,
	 "cluster"},
	{"GET", "https://uds:8443/cucm-uds/clusterUser?username", NULL, ALLOW_OTHER_USER,
	 "cluster"},
	{"GET", "https://uds:8443/cucm-uds/clusterUser?username=%zz", NULL, ALLOW_OTHER_USER,
	 "cluster"},
	{"GET", "https://unity:443/vmrest/messages/0:1?userobjectid=7", NULL, ALLOW_OTHER_USER,
	 "mail"},
	{"GET", "http://198.51.100.30:6970/CSFBERTA.cnf.xml", NULL, ALLOW_OTHER_USER, "tftp"},
	{"GET", "http://198.51.100.30:6970/tabannaX.CNF.xml", NULL, ALLOW_OTHER_USER, "tftp"},
	{"GET", "https://net/a%20b", NULL, ALLOW_OTHER_USER, "net"},
	/* methods, paths, ports, hosts */
	{"POST", "https://uds:8443/cucm-uds/version", NULL, ALLOW_METHOD_NOT, "version"},
	{"PUT", "http://198.51.100.30:6970/jabber-config.xml", NULL, ALLOW_METHOD_NOT, "tftp"},
	{"BREW", "https://files/", NULL, ALLOW_METHOD_NOT, "files"},
	{"OPTIONS", "https://files/", NULL, ALLOW_METHOD_NOT, "files"},
	{"GET", "https://uds:8443/cucm-uds/user", NULL, ALLOW_OTHER_PATH, "user"},
	{"GET", "https://uds:8443/cucm-uds/user/", NULL, ALLOW_OTHER_PATH, "user"},
	{"GET", "https://uds:8443/cucm-uds/versions", NULL, ALLOW_OTHER_PATH, "version"},
	{"GET", "https://uds:8443/cucm-uds/version/", NULL, ALLOW_OTHER_PATH, "version"},
	{"GET", "https://uds:8443/cucm-uds/Version", NULL, ALLOW_OTHER_PATH, "version"},
	{"GET", "https://uds:8443/ccmadmin/", NULL, ALLOW_OTHER_PATH, "user"},
	{"GET", "https://uds:8443/", NULL, ALLOW_OTHER_PATH, "user"},
	{"GET", "https://unity:443/vmrest/messages", NULL, ALLOW_OTHER_PATH, "mail"},
	{"GET", "https://unity:443/vmrest/users", NULL, ALLOW_OTHER_PATH, "mail"},
	{"GET", "http://198.51.100.30:6970/a/b/c", NULL, ALLOW_OTHER_PATH, "tftp"},
	{"GET", "http://198.51.100.30:6970/.htpasswd", NULL, ALLOW_OTHER_PATH, "tftp"},
	{"GET", "http://198.51.100.30:6970/a%20b", NULL, ALLOW_OTHER_PATH, "tftp"},
	{"GET", "https://uds:443/cucm-uds/version", NULL, ALLOW_OTHER_PORT, "user"},
	{"GET", "http://uds:8443/cucm-uds/version", NULL, ALLOW_OTHER_PORT, "user"},
	{"GET", "https://198.51.100.30:6970/jabber-config.xml", NULL, ALLOW_OTHER_PORT, "tftp"},
	{"GET", "https://ud:8443/cucm-uds/version", NULL, ALLOW_NO_HOST, NULL},
	{"GET", "https://uds.in:8443/cucm-uds/version", NULL, ALLOW_NO_HOST, NULL},
	{"GET", "http://127.0.0.1/", NULL, ALLOW_NO_HOST, NULL},
	{"GET", "http://[::1]/", NULL, ALLOW_NO_HOST, NULL},
	/* two readings */
	{"GET", "https://uds:8443/cucm-uds/user/anna/../berta", NULL, ALLOW_PATH_FORM, NULL},
	{"GET", "https://uds:8443/cucm-uds/user/anna/./x", NULL, ALLOW_PATH_FORM, NULL},
	{"GET", "https://uds:8443/cucm-uds/user/anna/..", NULL, ALLOW_PATH_FORM, NULL},
	{"GET", "https://uds:8443/cucm-uds/user/anna/%2e%2e/berta", NULL, ALLOW_PATH_FORM, NULL},
	{"GET", "https://uds:8443/cucm-uds/user/anna/.%2E/berta", NULL, ALLOW_PATH_FORM, NULL},
	{"GET", "https://uds:8443/cucm-uds/user/anna/%252e%252e/berta", NULL, ALLOW_PATH_FORM,
	 NULL},
	{"GET", "https://uds:8443/cucm-uds/user/anna%2f..%2fberta", NULL, ALLOW_PATH_FORM, NULL},
	{"GET", "https://uds:8443/cucm-uds/user/anna%5c..%5cberta", NULL, ALLOW_PATH_FORM, NULL},
	{"GET", "https://uds:8443/cucm-uds/user/anna\\..\\berta", NULL, ALLOW_PATH_FORM, NULL},
	{"GET", "https://uds:8443/cucm-uds/user/anna/..;x/berta", NULL, ALLOW_PATH_FORM, NULL},
	{"GET", "https://uds:8443/cucm-uds/user/anna;x", NULL, ALLOW_PATH_FORM, NULL},
	{"GET", "https://uds:8443/cucm-uds/user/anna%3b/x", NULL, ALLOW_PATH_FORM, NULL},
	{"GET", "https://uds:8443//cucm-uds/version", NULL, ALLOW_PATH_FORM, NULL},
	{"GET", "https://uds:8443/cucm-uds//version", NULL, ALLOW_PATH_FORM, NULL},
	{"GET", "https://uds:8443/cucm-uds/version%00", NULL, ALLOW_PATH_FORM, NULL},
	{"GET", "https://uds:8443/cucm-uds/version%0d%0aX:1", NULL, ALLOW_PATH_FORM, NULL},
	{"GET", "https://uds:8443/cucm-uds/user/anna/%c0%ae%c0%ae/berta", NULL, ALLOW_PATH_FORM,
	 NULL},
	{"GET", "https://uds:8443/cucm-uds/user/anna/%e0%80%ae/berta", NULL, ALLOW_PATH_FORM, NULL},
	{"GET", "https://files/%ff", NULL, ALLOW_PATH_FORM, NULL},
	{"GET", "https://files/%c2%85", NULL, ALLOW_PATH_FORM, NULL},
	{"GET", "https://files/%7f", NULL, ALLOW_PATH_FORM, NULL},
	{"GET", "https://files/%2", NULL, ALLOW_PATH_FORM, NULL},
	{"GET", "https://files/%g0", NULL, ALLOW_PATH_FORM, NULL},
	{"GET", "https://files/a%23b", "files", ALLOW_OK, NULL},
};

static void ask(const char *method, const char *url, const char *domain, struct allow_verdict *v)
{
	static char path[8192];
	struct allow_ask q = {.user = SPAN("anna"), .domain = span_str(domain)};
	const char *detail = "", *at = strstr(url, "://") + 3;
	struct allow_url u;
	size_t n = strcspn(at, "/");

	/* The path itself is the matter of allow_match(). */
	snprintf(path, sizeof(path), "%.*s/", (int)(at + n - url), url);
	if (allow_url_parse(span_str(path), &u, &detail))
		fail_msg("%s: %s", url, detail);
	q.https = u.https;
	q.host = span_str(u.host);
	q.port = u.port;
	snprintf(path, sizeof(path), "%s", at + n);
	q.path = span_of(path, strcspn(path, "?"));
	if (path[q.path.n])
		q.query = span_str(path + q.path.n + 1);
	q.method = http_method_from_text(span_str(method));
	allow_match(&list, &q, v);
}

static void test_allow_table(void **state)
{
	struct allow_verdict v;
	size_t i;

	(void)state;
	for (i = 0; i < N(rows); i++) {
		const struct row *r = &rows[i];

		ask(r->method, r->url, "example.com", &v);
		if (v.why != r->why || !v.rule != !r->rule ||
		    (v.rule && strcmp(v.rule->name, r->rule) != 0))
			fail_msg("%s %s: %s (%s), rule %s", r->method, r->url,
				 allow_why_text(v.why), v.detail, v.rule ? v.rule->name : "none");
		if (!v.rule &&
		    (!v.nearest != !r->nearest || (v.nearest && v.why > ALLOW_OTHER_PATH &&
						   strcmp(v.nearest->name, r->nearest) != 0)))
			fail_msg("%s %s: nearest %s", r->method, r->url,
				 v.nearest ? v.nearest->name : "none");
		assert_true(v.why == ALLOW_PATH_FORM ? *v.detail : !*v.detail);
	}
}

static void test_allow_domain(void **state)
{
	struct allow_verdict v;

	(void)state;
	ask("GET", "https://net/a%20b/c", "Example.NET", &v);
	assert_non_null(v.rule);
	ask("GET", "https://net/a%20bc", "example.net", &v);
	assert_int_equal(v.why, ALLOW_OTHER_PATH);
}

static void test_allow_long(void **state)
{
	char url[6000] = "https://files/";
	struct allow_verdict v;

	(void)state;
	memset(url + 14, 'a', ALLOW_PATH_MAX - 1);
	url[14 + ALLOW_PATH_MAX - 1] = 0;
	ask("GET", url, "example.com", &v);
	assert_non_null(v.rule);
	strcat(url, "a");
	ask("GET", url, "example.com", &v);
	assert_int_equal(v.why, ALLOW_PATH_FORM);
	assert_string_equal(v.detail, "too long");
}

/* A name is cut where a device's name is full: 15 characters with its kind. */
static void test_allow_devices(void **state)
{
	static const struct {
		const char *user, *file;
		bool allowed;
	} devices[] = {
		{"anna.lind", "/CSFANNALIND.cnf.xml", true},
		{"anna.lind", "/CSFanna.lind.cnf.xml", true},
		{"anna.lind", "/CSFANNA.cnf.xml", false},
		{"maximilian.von.x", "/CSFMAXIMILIANVO.cnf.xml", true},
		{"maximilian.von.x", "/CSFMAXIMILIANV.cnf.xml", false},
		{"maximilian", "/CSFMAXIMILIANVO.cnf.xml", false},
		{"", "/CSFA.cnf.xml", false},
		{"anna", "/TCTANNA.cnf.xml.enc.sgn", true},
		{"anna", "/TCTBERTA.cnf.xml.enc.sgn", false},
		{"anna", "/CSFBERTA.jpg", true},
	};
	struct allow_verdict v;
	size_t i;

	(void)state;
	for (i = 0; i < N(devices); i++) {
		struct allow_ask q = {.user = span_str(devices[i].user),
				      .host = SPAN("198.51.100.30"),
				      .port = 6970,
				      .method = HTTP_M_GET,
				      .path = span_str(devices[i].file)};

		allow_match(&list, &q, &v);
		if (!v.rule != !devices[i].allowed)
			fail_msg("%s %s", devices[i].user, devices[i].file);
	}
}

static void test_allow_compile(void **state)
{
	static const char *const bad[] = {"",	      "a",	  "/a//b",  "/a/../b", "/a;b",
					  "/{users}", "/x{user}", "/a%20b", "/a?b=c",  "/\x01",
					  "/\xff",    "/a}",	  "/."};
	struct allow_rule r = {.name = "allow[0]", .host = "h", .port = 1, .methods = READ};
	struct allow one = {&r, 1}, none = {NULL, 0};
	struct allow_verdict v;
	struct allow_ask q = {
		.host = SPAN("h"), .port = 1, .path = SPAN("/"), .method = HTTP_M_GET};
	char why[256];
	size_t i;

	(void)state;
	for (i = 0; i < N(bad); i++) {
		r.path = bad[i];
		assert_int_equal(allow_compile(&one, why, sizeof(why)), -EINVAL);
		assert_non_null(strstr(why, "allow[0]: "));
	}
	r.path = "/{any}/{user}/{file}/";
	assert_int_equal(allow_compile(&one, why, sizeof(why)), 0);
	r.methods = 0;
	assert_int_equal(allow_compile(&one, why, sizeof(why)), -EINVAL);
	assert_int_equal(allow_compile(&none, why, sizeof(why)), 0);
	allow_match(&none, &q, &v);
	assert_int_equal(v.why, ALLOW_NO_HOST);
}

static void test_allow_urls(void **state)
{
	static const struct {
		const char *url, *host, *path;
		unsigned port;
	} good[] = {
		{"https://a.b", "a.b", "/", 443},
		{"HTTP://A.b/c%20d", "a.b", "/c d", 80},
		{"http://a:6970/{user}/x", "a", "/{user}/x", 6970},
		{"https://[2001:DB8:0:0::1]:8443/", "2001:db8::1", "/", 8443},
		{"https://a?x", "a", "/", 443},
	};
	static const char *const bad[] = {
		"",
		"a/b",
		"ftp://a/",
		"https:///x",
		"https://a:0/",
		"https://a:70000/",
		"https://u@a/",
		"https://a b/",
		"https://a/../b",
		"https://a./",
		"https://[::ffff:1.2.3.4]/",
	};
	const char *detail;
	struct allow_url u;
	size_t i;

	(void)state;
	for (i = 0; i < N(good); i++) {
		if (allow_url_parse(span_str(good[i].url), &u, &detail))
			fail_msg("%s: %s", good[i].url, detail);
		assert_string_equal(u.host, good[i].host);
		assert_string_equal(u.path, good[i].path);
		assert_int_equal(u.port, good[i].port);
	}
	for (i = 0; i < N(bad); i++) {
		detail = NULL;
		if (!allow_url_parse(span_str(bad[i]), &u, &detail) || !detail)
			fail_msg("taken: %s", bad[i]);
	}
	assert_int_equal(allow_methods(SPAN("GET, PUT"), ','), GET | ALLOW_METHOD(HTTP_M_PUT));
	assert_int_equal(allow_methods(SPAN("GET|DELETE"), '|'), GET | ALLOW_METHOD(HTTP_M_DELETE));
	assert_int_equal(allow_methods(SPAN("GET,get"), ','), 0);
	assert_int_equal(allow_methods(SPAN("GET,"), ','), 0);
	assert_int_equal(allow_methods(SPAN("CONNECT"), ','), 0);
	assert_int_equal(allow_methods(SPAN(""), ','), 0);
}

static void test_allow_csv(void **state)
{
	static const char text[] =
		"\xef\xbb\xbfurl,HttpMethods,Deployment,MatchType,Description\r\n"
		"\r\n"
		"https://a/x,\"GET,PUT\",,prefix,\"say \"\"x\"\", y\"\r\n"
		"http://b/y\n"
		"\"https://c/z\",GET,Default,Exact,";
	static const char *const bad[] = {
		"",	      "HttpMethods\nGET\n", "Url,Url\na,b\n", "Url,Colour\n",
		"Url\na,b\n", "Url\n\"a\n\"\n",	    "Url\n\"a\"b\n",  "Url\na\"b\n",
	};
	struct allow_csv_row row;
	const char *detail;
	struct allow_csv c;
	size_t i;
	int r;

	(void)state;
	assert_int_equal(allow_csv_begin(&c, span_str(text), &detail), 0);
	assert_int_equal(allow_csv_next(&c, &row, &detail), 1);
	assert_int_equal(c.line, 3);
	assert_true(span_eq(row.fields[ALLOW_CSV_URL], SPAN("https://a/x")));
	assert_true(span_eq(row.fields[ALLOW_CSV_METHODS], SPAN("GET,PUT")));
	assert_true(span_eq(row.fields[ALLOW_CSV_MATCH], SPAN("prefix")));
	assert_int_equal(allow_csv_next(&c, &row, &detail), 1);
	assert_true(span_eq(row.fields[ALLOW_CSV_URL], SPAN("http://b/y")));
	assert_int_equal(row.fields[ALLOW_CSV_METHODS].n, 0);
	assert_int_equal(allow_csv_next(&c, &row, &detail), 1);
	assert_int_equal(c.line, 5);
	assert_true(span_eq(row.fields[ALLOW_CSV_URL], SPAN("https://c/z")));
	assert_int_equal(allow_csv_next(&c, &row, &detail), 0);
	for (i = 0; i < N(bad); i++) {
		detail = NULL;
		r = allow_csv_begin(&c, span_str(bad[i]), &detail);
		if (!r)
			r = allow_csv_next(&c, &row, &detail);
		if (r != -EBADMSG || !detail)
			fail_msg("taken: %s", bad[i]);
	}
}

static int setup(void **state)
{
	char why[256];

	(void)state;
	return allow_compile(&list, why, sizeof(why));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_allow_table),   cmocka_unit_test(test_allow_domain),
		cmocka_unit_test(test_allow_long),    cmocka_unit_test(test_allow_devices),
		cmocka_unit_test(test_allow_compile), cmocka_unit_test(test_allow_urls),
		cmocka_unit_test(test_allow_csv),
	};

	return cmocka_run_group_tests(tests, setup, NULL);
}
