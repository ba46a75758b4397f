/* selftests/unit/test_config_https.c -- the core's https section: every value of the example, defaults, and each error with its line.
 *
 * Error table: in the example "find" is replaced by "with"; the error names the line on which "#!" then stands. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "user/config.h"

static char example[16384];

static int setup(void **state)
{
	FILE *f = fopen("tools/example-core.yaml", "r");
	size_t n = f ? fread(example, 1, sizeof(example) - 1, f) : 0;

	(void)state;
	example[n] = 0;
	if (f)
		fclose(f);
	return n > 0 && n < sizeof(example) - 1 ? 0 : -1;
}

static void test_https_example(void **state)
{
	char why[CONFIG_WHY_MAX] = "";
	struct config_core *c = NULL;
	const struct config_https *h;

	(void)state;
	if (config_core_load("f.yaml", example, strlen(example), &c, why))
		fail_msg("%s", why);
	h = &c->https;
	assert_int_equal(h->token_keys_count, 2);
	assert_string_equal(h->token_keys[0], "/etc/sallyport/session-2.pem");
	assert_int_equal(h->token_seconds, 28800);
	assert_string_equal(h->tls.ca, "/etc/sallyport/inside-ca.crt");
	assert_int_equal(h->clusters_count, 2);
	assert_string_equal(h->clusters[0].nodes[0], "cucm1.in.example.com:8443");
	assert_string_equal(h->clusters[0].nodes[1], "cucm2.in.example.com:8443");
	assert_string_equal(h->clusters[0].tftp[1], "198.51.100.31");
	assert_string_equal(h->clusters[0].voicemail[1], "unity2.in.example.com:443");
	assert_string_equal(h->clusters[1].scheme, "https");
	assert_int_equal(h->clusters[1].tftp_count + h->clusters[1].voicemail_count, 0);
	assert_int_equal(h->default_access_count, 3);
	assert_int_equal(h->users_count, 2);
	assert_int_equal(h->users[0].access_count, 0);
	assert_string_equal(h->users[1].access[0], "sip");
	assert_string_equal(h->allow[0].url, "https://files.in.example.com/home/{user}");
	assert_string_equal(h->allow[0].match, "prefix");
	assert_int_equal(h->allow[0].methods_count, 3);
	assert_string_equal(h->allow_csv, "/etc/sallyport/allow.csv");
	assert_true(h->logon.failures == 5 && h->logon.failures_user == 50 &&
		    h->logon.seconds == 60);
	config_core_free(c);
}

/* The example without its https section, with @https instead. */
static int load(const char *https, struct config_core **out, char why[CONFIG_WHY_MAX])
{
	char text[20000];

	snprintf(text, sizeof(text), "%.*s%s", (int)(strstr(example, "\nhttps:") + 1 - example),
		 example, https);
	return config_core_load("f.yaml", text, strlen(text), out, why);
}

static void test_https_absent_and_defaults(void **state)
{
	char why[CONFIG_WHY_MAX] = "";
	struct config_core *c = NULL;

	(void)state;
	assert_int_equal(load("", &c, why), 0);
	assert_int_equal(c->https.token_keys_count, 0);
	config_core_free(c);
	if (load("https:\n  token_keys: [/k]\n  clusters: [{name: a, domains: [example.com], "
		 "scheme: http,\n"
		 "    nodes: ['192.0.2.1', '[2001:DB8::1]']}]\n  allow: [{url: 'http://a/b'}]\n",
		 &c, why))
		fail_msg("%s", why);
	assert_string_equal(c->https.clusters[0].nodes[0], "192.0.2.1:8443");
	assert_string_equal(c->https.clusters[0].nodes[1], "[2001:db8::1]:8443");
	assert_int_equal(c->https.default_access_count, 3);
	assert_string_equal(c->https.default_access[2], "chat");
	assert_string_equal(c->https.allow[0].match, "exact");
	assert_int_equal(c->https.allow[0].methods_count, 0);
	assert_int_equal(c->https.token_seconds, 28800);
	config_core_free(c);
	/* Nobody, but for those who are listed. */
	if (load("https:\n  token_keys: [/k]\n  clusters: [{name: a, domains: [example.com], "
		 "scheme: http, nodes: "
		 "[a]}]\n  default_access: []\n",
		 &c, why))
		fail_msg("%s", why);
	assert_int_equal(c->https.default_access_count, 0);
	config_core_free(c);
}

static void test_https_errors(void **state)
{
	static const struct {
		const char *find, *with, *want;
	} rows[] = {
		{"/etc/sallyport/session-1.pem", "session-1.pem #!",
		 "token_keys[1]: an absolute path wanted"},
		{"/etc/sallyport/session-1.pem", "/etc/sallyport/session-2.pem #!",
		 "is here twice"},
		{"token_seconds: 28800", "token_seconds: 59 #!", "60..604800 wanted"},
		{"ca: /etc/sallyport/inside-ca.crt", "ca: inside.crt #!",
		 "an absolute path wanted"},
		{"domains: [example.com]    # required; several", "domains: [example..com] #! ",
		 "a DNS name wanted"},
		{"cucm1.in.example.com,", "'cucm1:0', #!\n ", "port 1..65535 wanted"},
		{"nodes: [cucm3.in.example.com]", "nodes: [CUCM1.in.example.com] #!",
		 "already belongs to \"hq\""},
		{"- name: branch", "- name: hq #!", "is here twice"},
		{"scheme: https ", "scheme: ftp #!", "one of https|http wanted"},
		{"tftp: [198.51.100.30", "tftp: ['198.51.100.30:69' #!\n    ",
		 "without a port wanted"},
		{"access: [sip, https, chat]", "access: [sip, web] #!",
		 "one of sip|https|chat wanted"},
		{"user: kiosk", "user: MALLORY", "is here twice"},
		{"{user: kiosk, domain: example.com", "{user: kiosk, domain: example.net",
		 "a domain of https.clusters wanted"},
		{"access: [sip]}", "access: [sip, sip]} #!", "is here twice"},
		{"methods: [GET, HEAD, PUT]", "methods: [get] #!", "one of GET|HEAD"},
		{"match: prefix", "match: regex #!", "one of exact|prefix wanted"},
		{"domain: example.com       # only", "domain: example.org #! ",
		 "a domain of https.clusters wanted"},
		{"allow_csv: /etc", "allow_csv: etc", "an absolute path wanted"},
		{"failures: 5 ", "failures: 1001 #!", "0..1000 wanted"},
	};
	char text[20000], why[CONFIG_WHY_MAX], line[64];
	struct config_core *c = NULL;
	const char *at, *mark, *p;
	unsigned n;
	size_t i;

	(void)state;
	for (i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		at = strstr(strstr(example, "\nhttps:"), rows[i].find);
		if (!at)
			fail_msg("not in the example: %s", rows[i].find);
		snprintf(text, sizeof(text), "%.*s%s%s", (int)(at - example), example, rows[i].with,
			 at + strlen(rows[i].find));
		why[0] = 0;
		if (config_core_load("f.yaml", text, strlen(text), &c, why) != -EINVAL)
			fail_msg("taken: %s", rows[i].with);
		mark = strstr(text, "#!");
		for (n = 1, p = text; mark && p < mark; p++)
			n += *p == '\n';
		snprintf(line, sizeof(line), "f.yaml:%u: https.", n);
		if (!strstr(why, rows[i].want) || (mark && strncmp(why, line, strlen(line)) != 0))
			fail_msg("\"%s\": wanted %s ... %s, got %s", rows[i].with, line,
				 rows[i].want, why);
		assert_null(c);
	}
}

static void test_https_needs(void **state)
{
	char why[CONFIG_WHY_MAX] = "";
	struct config_core *c = NULL;

	(void)state;
	assert_int_equal(load("https:\n  token_keys: [/k]\n  clusters: [{name: a, domains: "
			      "[example.com], nodes: [a]}]\n",
			      &c, why),
			 -EINVAL);
	assert_non_null(strstr(why, "https.clusters[0].scheme: https needs https.tls.ca"));
	assert_int_equal(load("https:\n  token_keys: [/k]\n  clusters: [{name: a, domains: "
			      "[example.com], scheme: http, "
			      "nodes: [a]}]\n  allow: [{url: 'https://a/'}]\n",
			      &c, why),
			 -EINVAL);
	assert_non_null(strstr(why, "https.allow[0].url: https needs https.tls.ca"));
	assert_int_equal(load("https:\n  clusters: [{name: a, domains: [example.com], scheme: "
			      "http, nodes: [a]}]\n",
			      &c, why),
			 -EINVAL);
	assert_non_null(strstr(why, "token_keys"));
	assert_null(c);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_https_example),
		cmocka_unit_test(test_https_absent_and_defaults),
		cmocka_unit_test(test_https_errors),
		cmocka_unit_test(test_https_needs),
	};

	return cmocka_run_group_tests(tests, setup, NULL);
}
