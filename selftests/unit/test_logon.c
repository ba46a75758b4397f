/* selftests/unit/test_logon.c -- log on against clusters that answer by a table: passwords, homes, dead nodes, caches, limits,
 * cookies. In: requests. Out: answers, and who was asked how often. The clock is the test's. */
#include "selftests/unit/logon_kit.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define HERE  "203.0.113.7"
#define THERE "198.51.100.9"

static const char two[] =
	"  clusters:\n"
	"    - {name: hq, domains: [example.com, example.net], nodes: [cucm1, cucm2]}\n"
	"    - {name: branch, domains: [example.com], nodes: [cucm3, cucm4]}\n"
	"  users:\n"
	"    - {user: Mallory, domain: example.com, access: [sip]}\n";

static const struct kit_user users[] = {
	{"anna", "secret", "hq"},   {"Berta", "b:c d\xc3\xa9", "branch"}, {"mallory", "m", "hq"},
	{"lost", "l", "elsewhere"}, {"x y\xc3\xbc@z", "u", "branch"},	  {NULL, NULL, NULL}};

static struct http_token token_of(const struct kit *k, const char *set_cookie)
{
	struct http_token t = {};

	assert_int_equal(strncmp(set_cookie, "X-Auth=", 7), 0);
	assert_int_equal(http_token_check(k->keys,
					  span_of(set_cookie + 7, strcspn(set_cookie + 7, ";")),
					  SPAN("example.com"), KIT_NOW + kit_ms / 1000, &t),
			 TOKEN_OK);
	return t;
}

static void test_good_passwords(void **state)
{
	struct kit *k = kit_new(two, users);
	struct kit_answer a;
	struct http_token t;

	(void)state;
	a = kit_logon(k, HERE, "anna", "secret");
	assert_int_equal(a.a.status, 200);
	assert_int_equal(a.a.why, LOGON_PASSWORD);
	assert_true(a.a.admitted && !a.a.forget);
	assert_string_equal(a.a.user, "anna");
	assert_non_null(strstr(a.set_cookie, "; Domain=.example.com; Path=/; Secure; HttpOnly"));
	t = token_of(k, a.set_cookie);
	assert_string_equal(t.user, "anna");
	assert_string_equal(t.domain, "example.com");
	assert_true(t.expires_s - t.issued_s == 28800 && a.a.expires_s == t.expires_s);
	/* As the cluster spells it. */
	a = kit_logon(k, HERE, "ANNA", "secret");
	assert_int_equal(a.a.status, 200);
	assert_string_equal(token_of(k, a.set_cookie).user, "anna");
	/* Of the second cluster, with all that needs escapes. */
	a = kit_logon(k, HERE, "Berta", "b:c d\xc3\xa9");
	assert_int_equal(a.a.status, 200);
	a = kit_logon(k, HERE, "x y\xc3\xbc@z", "u");
	assert_int_equal(a.a.status, 200);
	assert_string_equal(token_of(k, a.set_cookie).user, "x y\xc3\xbc@z");
	kit_free(k);
}

static void test_refusals(void **state)
{
	static const struct {
		const char *domain, *fields;
		unsigned status;
		enum logon_why why;
	} rows[] = {
		{"example.com", "", 401, LOGON_NOTHING},
		{"example.com", "Cookie: a=b\r\n", 401, LOGON_NOTHING},
		{"example.com", "Cookie: X-Auth=a; X-Auth=b\r\n", 401, LOGON_COOKIES},
		{"example.com", "Cookie: X-Auth=abc\r\n", 401, LOGON_TOKEN_BAD},
		{"example.com", "Authorization: Bearer abc\r\n", 401, LOGON_FORM},
		{"example.com", "Authorization: Basic abc\r\n", 401, LOGON_FORM},
		{"example.com", "Authorization: Basic YW5uYQ==\r\n", 401, LOGON_FORM}, /* anna */
		{"example.com", "Authorization: Basic OnNlY3JldA==\r\n", 401,
		 LOGON_FORM},							       /* :secret */
		{"example.com", "Authorization: Basic YS9iOmM=\r\n", 401, LOGON_FORM}, /* a/b:c */
		{"example.com", "Authorization: Basic Li46Yw==\r\n", 401, LOGON_FORM}, /* ..:c */
		{"example.com", "Authorization: Basic YQpiOmM=\r\n", 401, LOGON_FORM}, /* a\nb:c */
		{"example.com", "Authorization: Basic YTpiCmM=\r\n", 401, LOGON_FORM}, /* a:b\nc */
		{"example.org", "Authorization: Basic YW5uYTpzZWNyZXQ=\r\n", 403, LOGON_NO_DOMAIN},
		{"", "Authorization: Basic YW5uYTpzZWNyZXQ=\r\n", 403, LOGON_NO_DOMAIN},
	};
	struct kit *k = kit_new(two, users);
	struct kit_answer a;
	size_t i;

	(void)state;
	for (i = 0; i < KIT_N(rows); i++) {
		kit_ask(k, HTTP_PATH_EDGE_CONFIG, rows[i].domain, HERE, rows[i].fields, &a);
		kit_run(k);
		if (a.n != 1 || a.a.status != rows[i].status || a.a.why != rows[i].why)
			fail_msg("%s: %u %s", rows[i].fields, a.a.status, logon_why_text(a.a.why));
		assert_true(!a.a.admitted && !a.set_cookie[0] && a.a.forget == (a.a.status == 401));
	}
	assert_int_equal(logon_stats(k->logon)->asked_cluster_user,
			 0); /* nobody was troubled with these */
	a = kit_logon(k, HERE, "anna", "wrong");
	assert_true(a.a.status == 401 && a.a.why == LOGON_BAD_PASSWORD);
	assert_non_null(strstr(a.reason, ":8443 answered 401"));
	assert_string_equal(a.a.user, "anna");
	a = kit_logon(k, HERE, "nobody", "x");
	assert_true(a.a.status == 401 && a.a.why == LOGON_NO_USER);
	a = kit_logon(k, HERE, "mallory", "m");
	assert_true(a.a.status == 403 && a.a.why == LOGON_POLICY);
	a = kit_logon(k, HERE, "lost", "l");
	assert_true(a.a.status == 502 && a.a.why == LOGON_NO_HOME);
	assert_non_null(strstr(a.reason, "elsewhere"));
	kit_free(k);
}

/* Two clusters, the first one's first node dead: both clusters' users get in, and the others share the questions evenly. */
static void test_dead_node_even_spread(void **state)
{
	static struct kit_user many[61];
	static char names[60][8];
	struct kit *k;
	unsigned i, asked[3];

	(void)state;
	for (i = 0; i < 60; i++) {
		snprintf(names[i], sizeof(names[i]), "u%u", i);
		many[i] = (struct kit_user){names[i], "p", i % 2 ? "hq" : "branch"};
	}
	k = kit_new(two, many);
	kit_host(k, "cucm1")->err = -ECONNREFUSED;
	for (i = 0; i < 60; i++)
		assert_int_equal(kit_logon(k, HERE, names[i], "p").a.status, 200);
	asked[0] = kit_host(k, "cucm2")->cluster_user;
	asked[1] = kit_host(k, "cucm3")->cluster_user;
	asked[2] = kit_host(k, "cucm4")->cluster_user;
	assert_int_equal(asked[0] + asked[1] + asked[2], 60);
	for (i = 0; i < 3; i++)
		assert_in_range(asked[i], 19, 21);
	assert_int_equal(kit_host(k, "cucm1")->cluster_user, 1); /* once, then it is passed over */
	/* Some seconds later it is asked again; it is well. */
	kit_ms += CLUSTER_BAD_MS;
	kit_host(k, "cucm1")->err = 0;
	for (i = 0; i < 8; i++) {
		char name[8];

		snprintf(name, sizeof(name), "v%u", i);
		kit_logon(k, HERE, name, "p");
	}
	assert_in_range(kit_host(k, "cucm1")->cluster_user, 3, 6);
	kit_free(k);
}

/* Clusters without a common directory: the next cluster is asked. */
static void test_cluster_view(void **state)
{
	struct kit *k = kit_new(two, users);
	unsigned i;

	(void)state;
	for (i = 0; i < k->n_hosts; i++)
		k->hosts[i].local = true;
	for (i = 0; i < 4; i++) {
		kit_ms += 20 * 60000; /* homes are forgotten */
		assert_int_equal(kit_logon(k, HERE, i % 2 ? "anna" : "Berta",
					   i % 2 ? "secret" : "b:c d\xc3\xa9")
					 .a.status,
				 200);
	}
	/* The cluster of the user is dead: nobody can say 401. */
	kit_host(k, "cucm3")->err = kit_host(k, "cucm4")->err = -ETIMEDOUT;
	kit_ms += 20 * 60000;
	assert_int_equal(kit_logon(k, HERE, "Berta", "b:c d\xc3\xa9").a.status, 502);
	assert_int_equal(kit_logon(k, HERE, "anna", "secret").a.status, 200);
	kit_free(k);
}

/* All nodes dead, then alive: 502, never 401, and nothing of it is remembered. */
static void test_dead_is_not_401(void **state)
{
	struct kit *k = kit_new(two, users);
	struct kit_answer a;
	unsigned i, round;

	(void)state;
	for (round = 0; round < 30; round++) {
		for (i = 0; i < k->n_hosts; i++)
			switch (round % 3) {
			case 0:
				k->hosts[i].err = i % 2 ? -ECONNREFUSED : -EKEYREJECTED;
				break;
			case 1:
				k->hosts[i].err = 0;
				k->hosts[i].status = i % 2 ? 500 : 302;
				break;
			default:
				k->hosts[i].status = 0;
				k->hosts[i].body = i % 2 ? "<html/>"
							 : "<clusterUser><result "
							   "found=\"maybe\"/></clusterUser>";
			}
		a = kit_logon(k, HERE, "anna", "secret");
		assert_int_equal(a.a.status, 502);
		assert_int_equal(a.a.why, LOGON_NO_ANSWER);
		assert_true(a.a.retry_after_s > 0 && a.reason[0]);
		for (i = 0; i < k->n_hosts; i++)
			k->hosts[i].body = NULL;
	}
	for (i = 0; i < k->n_hosts; i++)
		k->hosts[i].err = 0;
	/* Not a failure of the user's: no limit was reached, no cache says no. All nodes are out, so all are tried. */
	assert_int_equal(kit_logon(k, HERE, "anna", "secret").a.status, 200);
	kit_free(k);
}

/* The home cluster's node answers, but not about this user. */
static void test_another_user_answered(void **state)
{
	struct kit *k = kit_new(
		"  clusters: [{name: hq, domains: [example.com], nodes: [cucm1, cucm2]}]\n", users);
	struct kit_answer a;

	(void)state;
	assert_int_equal(kit_logon(k, HERE, "anna", "secret").a.status,
			 200); /* the home is known from here on */
	kit_ms += LOGON_GOOD_MS;
	kit_host(k, "cucm1")->body = "<user><userName>berta</userName></user>";
	kit_host(k, "cucm2")->body = "<user><userName>berta</userName></user>";
	a = kit_logon(k, HERE, "anna", "secret");
	assert_int_equal(a.a.status, 502);
	assert_non_null(strstr(a.reason, "another user"));
	kit_host(k, "cucm1")->body = NULL;
	kit_host(k, "cucm1")->status = 403;
	kit_host(k, "cucm2")->err = -ECONNREFUSED;
	kit_host(k, "cucm2")->body = NULL;
	a = kit_logon(k, HERE, "anna", "secret");
	assert_true(a.a.status == 403 && a.a.why == LOGON_REFUSED);
	kit_free(k);
}

/* From memory the home was the wrong one: it is found again. */
static void test_moved_home(void **state)
{
	struct kit_user who[] = {{"anna", "secret", "hq"}, {NULL, NULL, NULL}};
	struct kit *k = kit_new(two, who);

	(void)state;
	assert_int_equal(kit_logon(k, HERE, "anna", "secret").a.status, 200);
	kit_ms += LOGON_GOOD_MS;
	who[0].home = "branch";
	assert_int_equal(kit_logon(k, HERE, "anna", "secret").a.status, 200);
	who[0].name = "gone";
	kit_ms += LOGON_GOOD_MS;
	assert_int_equal(kit_logon(k, HERE, "anna", "secret").a.why, LOGON_NO_USER);
	kit_free(k);
}

static void test_caches(void **state)
{
	struct kit *k = kit_new(two, users);
	unsigned asked;

	(void)state;
	kit_logon(k, HERE, "anna", "secret");
	asked = logon_stats(k->logon)->asked_user;
	kit_ms += LOGON_GOOD_MS - 1;
	assert_int_equal(kit_logon(k, THERE, "anna", "secret").a.status, 200);
	assert_int_equal(logon_stats(k->logon)->asked_user, asked);
	kit_ms += 1;
	kit_logon(k, HERE, "anna", "secret");
	assert_int_equal(logon_stats(k->logon)->asked_user, asked + 1);
	/* A bad one: for seconds, and only this one. */
	assert_int_equal(kit_logon(k, HERE, "anna", "Secret").a.why, LOGON_BAD_PASSWORD);
	assert_int_equal(kit_logon(k, HERE, "anna", "Secret").a.why, LOGON_BAD_CACHED);
	assert_int_equal(logon_stats(k->logon)->asked_user, asked + 2);
	assert_int_equal(kit_logon(k, HERE, "anna", "secret").a.status, 200);
	kit_ms += LOGON_BAD_MS;
	assert_int_equal(kit_logon(k, HERE, "anna", "Secret").a.why, LOGON_BAD_PASSWORD);
	kit_free(k);
}

/* A client opens many connections at once: one question. */
static void test_joined(void **state)
{
	struct kit *k = kit_new(two, users);
	struct kit_answer a[20];
	unsigned i;

	(void)state;
	for (i = 0; i < 20; i++)
		kit_ask(k, HTTP_PATH_EDGE_CONFIG, "example.com", HERE, kit_basic("anna", "secret"),
			&a[i]);
	logon_forget(k->logon, &a[7]);
	kit_run(k);
	for (i = 0; i < 20; i++) {
		assert_int_equal(a[i].n, i != 7);
		if (i != 7)
			assert_int_equal(a[i].a.status, 200);
	}
	assert_int_equal(logon_stats(k->logon)->asked_user, 1);
	assert_int_equal(logon_stats(k->logon)->joined, 19);
	assert_int_equal(logon_stats(k->logon)->asks, 0);
	assert_int_equal(logon_stats(k->logon)->checks, 0);
	kit_free(k);
}

/* 10,000 bad passwords for one user from one address; a colleague behind the same address, and the user from elsewhere, log
 * on. */
static void test_ten_thousand(void **state)
{
	struct kit *k = kit_new(two, users);
	unsigned i, counts[600] = {};
	struct kit_answer a;
	char password[32];

	(void)state;
	for (i = 0; i < 10000; i++) {
		kit_ms += 10;
		snprintf(password, sizeof(password), "guess%u", i);
		a = kit_logon(k, HERE, "anna", password);
		counts[a.a.status]++;
		if (a.a.status == 429) {
			assert_int_equal(a.a.why, LOGON_LIMIT_PAIR);
			assert_in_range(a.a.retry_after_s, 1, 60);
		}
		if (i % 1000 == 500) {
			assert_int_equal(kit_logon(k, HERE, "Berta", "b:c d\xc3\xa9").a.status,
					 200);
			assert_int_equal(kit_logon(k, THERE, "anna", "secret").a.status, 200);
		}
	}
	/* In 100 s: five at once, then one in twelve seconds. */
	assert_in_range(counts[401], 5, 5 + 100 / 12 + 1);
	assert_int_equal(counts[401] + counts[429], 10000);
	assert_in_range(logon_stats(k->logon)->asked_user, 10, 50);
	kit_ms += 60000;
	assert_int_equal(kit_logon(k, HERE, "anna", "secret").a.status, 200);
	kit_free(k);
}

/* From many addresses: the user's own limit. Where the user was let in before it does not count. */
static void test_from_everywhere(void **state)
{
	struct kit *k = kit_new(two, users);
	unsigned i, limited = 0;
	struct kit_answer a;
	char from[32];

	(void)state;
	assert_int_equal(kit_logon(k, HERE, "anna", "secret").a.status, 200);
	kit_ms += LOGON_GOOD_MS;
	for (i = 0; i < 200; i++) {
		snprintf(from, sizeof(from), "198.51.100.%u", i + 1);
		a = kit_logon(k, from, "anna", from);
		limited += a.a.why == LOGON_LIMIT_USER;
		assert_true(a.a.status == 401 || a.a.why == LOGON_LIMIT_USER);
	}
	assert_int_equal(limited, 150);
	assert_int_equal(kit_logon(k, "192.0.2.77", "anna", "secret").a.status, 429);
	assert_int_equal(kit_logon(k, HERE, "anna", "secret").a.status, 200);
	/* Now it is cached for everybody who knows it. */
	assert_int_equal(kit_logon(k, "192.0.2.77", "anna", "secret").a.status, 200);
	kit_free(k);
}

static void test_limits_off(void **state)
{
	struct kit *k = kit_new("  clusters: [{name: hq, domains: [example.com], nodes: "
				"[cucm1]}]\n  logon: {failures: 0, "
				"failures_user: 0}\n",
				users);
	char password[32];
	unsigned i;

	(void)state;
	for (i = 0; i < 300; i++) {
		snprintf(password, sizeof(password), "guess%u", i);
		assert_int_equal(kit_logon(k, HERE, "anna", password).a.status, 401);
	}
	kit_free(k);
}

/* Our own bounds: the rest is told to come back. */
static void test_busy(void **state)
{
	struct kit *k = kit_new(two, users);
	static struct kit_answer a[LOGON_ASKS_MAX + 10];
	unsigned i, busy = 0;
	char name[16];

	(void)state;
	for (i = 0; i < LOGON_CHECKS_MAX + 20; i++) {
		snprintf(name, sizeof(name), "user%u", i);
		kit_ask(k, HTTP_PATH_EDGE_CONFIG, "example.com", HERE, kit_basic(name, "x"), &a[i]);
	}
	assert_int_equal(kit_waiting(), LOGON_CHECKS_MAX);
	kit_run(k);
	for (i = 0; i < LOGON_CHECKS_MAX + 20; i++)
		busy += a[i].n == 1 && a[i].a.status == 429 && a[i].a.why == LOGON_BUSY &&
			a[i].a.retry_after_s == 1;
	assert_int_equal(busy, 20);
	for (i = 0; i < KIT_N(a); i++)
		kit_ask(k, HTTP_PATH_EDGE_CONFIG, "example.com", HERE, kit_basic("anna", "secret"),
			&a[i]);
	kit_run(k);
	for (busy = 0, i = 0; i < KIT_N(a); i++)
		busy += a[i].a.status == 429;
	assert_int_equal(busy, 10);
	kit_free(k);
}

/* Freed with asks and questions under way: nobody is called. */
static void test_freed_early(void **state)
{
	struct kit *k = kit_new(two, users);
	struct kit_answer a, b;

	(void)state;
	kit_ask(k, HTTP_PATH_EDGE_CONFIG, "example.com", HERE, kit_basic("anna", "secret"), &a);
	kit_ask(k, HTTP_PATH_EDGE_CONFIG, "example.com", HERE, "", &b);
	kit_free(k);
	assert_int_equal(a.n + b.n, 0);
}

static void cookie_of(const struct kit_answer *a, char *out, size_t n)
{
	snprintf(out, n, "Cookie: a=b; %.*s\r\n", (int)strcspn(a->set_cookie, ";"), a->set_cookie);
}

static void test_cookies(void **state)
{
	struct kit *k = kit_new(two, users), *other = kit_new(two, users);
	char cookie[HTTP_TOKEN_COOKIE_MAX], both[2 * HTTP_TOKEN_COOKIE_MAX];
	struct kit_answer a = kit_logon(k, HERE, "anna", "secret");
	struct http_token t;
	unsigned asked = logon_stats(k->logon)->asked_user;

	(void)state;
	cookie_of(&a, cookie, sizeof(cookie));
	kit_ask(k, HTTP_PATH_RELAY, "example.com", THERE, cookie, &a);
	kit_run(k);
	assert_true(a.a.status == 200 && a.a.why == LOGON_TOKEN && a.a.admitted);
	assert_string_equal(a.a.user, "anna");
	assert_string_equal(a.set_cookie, "");
	assert_int_equal(logon_stats(k->logon)->asked_user, asked);
	/* Beside it the service's own credentials: not ours to judge. */
	snprintf(both, sizeof(both), "%s%s", cookie, kit_basic("voicemail", "1234"));
	kit_ask(k, HTTP_PATH_RELAY, "example.com", THERE, both, &a);
	kit_run(k);
	assert_true(a.a.status == 200 && a.a.why == LOGON_TOKEN);
	/* At log on they are: another user takes over. */
	snprintf(both, sizeof(both), "%s%s", cookie, kit_basic("Berta", "b:c d\xc3\xa9"));
	kit_ask(k, HTTP_PATH_EDGE_CONFIG, "example.com", THERE, both, &a);
	kit_run(k);
	assert_int_equal(a.a.status, 200);
	assert_string_equal(token_of(k, a.set_cookie).user, "Berta");
	/* Another domain, another core's key. */
	kit_ask(k, HTTP_PATH_RELAY, "example.net", THERE, cookie, &a);
	kit_run(k);
	assert_true(a.a.status == 401 && a.a.why == LOGON_TOKEN_BAD && a.a.forget);
	assert_string_equal(a.reason, "of another domain");
	kit_ask(other, HTTP_PATH_RELAY, "example.com", THERE, cookie, &a);
	kit_run(other);
	assert_true(a.a.status == 401 && a.a.why == LOGON_TOKEN_BAD);
	assert_string_equal(a.reason, "unknown key");
	kit_free(other);
	/* A laptop wakes up: 401, whatever else it sends, and it counts nowhere. */
	kit_ms += 28800 * 1000ULL;
	snprintf(both, sizeof(both), "%s%s", cookie, kit_basic("anna", "of the voicemail"));
	for (unsigned i = 0; i < 100; i++) {
		kit_ask(k, HTTP_PATH_RELAY, "example.com", HERE, both, &a);
		kit_run(k);
		assert_true(a.a.status == 401 && a.a.why == LOGON_TOKEN_OLD);
	}
	assert_int_equal(kit_logon(k, HERE, "anna", "secret").a.status, 200);
	/* Policy holds for tokens, too. */
	snprintf(t.user, sizeof(t.user), "mallory");
	snprintf(t.domain, sizeof(t.domain), "example.com");
	t.issued_s = KIT_NOW;
	t.expires_s = KIT_NOW + 100000000;
	memset(t.id, 1, sizeof(t.id));
	assert_true(http_token_sign(k->signer, &t, both) > 0);
	snprintf(cookie, sizeof(cookie), "Cookie: X-Auth=%.1023s\r\n", both);
	kit_ask(k, HTTP_PATH_RELAY, "example.com", HERE, cookie, &a);
	kit_run(k);
	assert_true(a.a.status == 403 && a.a.why == LOGON_POLICY && !a.a.admitted);
	kit_free(k);
}

static void on_home(void *arg, const struct cluster *home)
{
	*(const char **)arg = home ? home->name : "none";
}

static void test_homes(void **state)
{
	struct kit *k = kit_new(two, users);
	const char *name = NULL;

	(void)state;
	assert_int_equal(logon_home(k->logon, "example.com", "Berta", on_home, &name), 0);
	assert_null(name);
	kit_run(k);
	assert_string_equal(name, "branch");
	name = NULL;
	assert_int_equal(logon_home(k->logon, "example.com", "berta", on_home, &name), 0);
	kit_run(k);
	assert_string_equal(name, "branch");
	assert_int_equal(logon_stats(k->logon)->asked_cluster_user, 1);
	logon_home(k->logon, "example.com", "nobody", on_home, &name);
	kit_run(k);
	assert_string_equal(name, "none");
	logon_home(k->logon, "example.com", "anna", on_home,
		   &name); /* under way when all is freed */
	kit_free(k);
	assert_string_equal(name, "none");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_good_passwords),
		cmocka_unit_test(test_refusals),
		cmocka_unit_test(test_dead_node_even_spread),
		cmocka_unit_test(test_cluster_view),
		cmocka_unit_test(test_dead_is_not_401),
		cmocka_unit_test(test_another_user_answered),
		cmocka_unit_test(test_moved_home),
		cmocka_unit_test(test_caches),
		cmocka_unit_test(test_joined),
		cmocka_unit_test(test_ten_thousand),
		cmocka_unit_test(test_from_everywhere),
		cmocka_unit_test(test_limits_off),
		cmocka_unit_test(test_busy),
		cmocka_unit_test(test_freed_early),
		cmocka_unit_test(test_cookies),
		cmocka_unit_test(test_homes),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
