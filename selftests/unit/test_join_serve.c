/* selftests/unit/test_join_serve.c -- the edge's judgement of a joining core, with a clock of our own: who gets a certificate, and what all the
 * others are told; the files of `init` and `invite`. The records are real ones, in a temporary folder. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <openssl/pem.h>
#include <openssl/x509v3.h>

#include "tools/join_serve.h"
#include "tools/pki_cert.h"
#include "tools/setup_file.h"
#include "tools/stage.h"

#define NOW 1800000000u

static char dir[64];
static struct join_server s;
static const uint8_t exporter[JOIN_HASH] = {42};
static struct addr from;

static int setup(void **state)
{
	const char *san[] = {"edge.example.com"};
	struct pki_wish w = {san, 1, 30, NULL};

	(void)state;
	strcpy(dir, "/tmp/test_join_XXXXXX");
	assert_non_null(mkdtemp(dir));
	addr_parse(SPAN("198.51.100.7:4711"), &from);
	s = (struct join_server){.dir = dir, .name = "edge.example.com"};
	s.ca_key = pki_key_new();
	s.key = pki_key_new();
	s.ca = pki_ca_new(s.ca_key, "test CA", 30, NULL);
	s.cert = pki_cert_new(s.key, &w, s.ca, s.ca_key);
	return s.cert ? 0 : -1;
}

static int teardown(void **state)
{
	char cmd[128];

	(void)state;
	join_server_close(&s);
	snprintf(cmd, sizeof(cmd), "rm -rf %s", dir);
	return system(cmd);
}

/* PEM of a request for the key @key. */
static char *request_of(EVP_PKEY *key)
{
	X509_REQ *r = X509_REQ_new();
	BIO *b = BIO_new(BIO_s_mem());
	char *bytes, *text;
	long n;

	assert_true(X509_REQ_set_pubkey(r, key) &&
		    X509_REQ_sign(r, key, EVP_PKEY_is_a(key, "ED25519") ? NULL : EVP_sha256()) > 0);
	assert_true(PEM_write_bio_X509_REQ(b, r));
	n = BIO_get_mem_data(b, &bytes);
	text = strndup(bytes, (size_t)n);
	BIO_free(b);
	X509_REQ_free(r);
	return text;
}

static struct join_token token(uint64_t expires)
{
	const char *domains[] = {"example.com", "example.org"};
	struct join_token t;

	assert_int_equal(join_server_token(&s, "core.example.com", domains, 2, "192.0.2.10:7001",
					   expires, &t),
			 0);
	return t;
}

static json_t *question(const struct join_token *t, const char *pem)
{
	char id[JOIN_ID_MAX], hex[2 * JOIN_HASH + 1];
	uint8_t proof[JOIN_HASH];

	join_token_id(t->secret, id);
	join_proof(t->secret, exporter, span_str(pem), proof);
	join_hex(proof, JOIN_HASH, hex);
	return json_pack("{s:i,s:s,s:s,s:s}", "v", 1, "id", id, "request", pem, "proof", hex);
}

/* Takes @q. */
static void refused(json_t *q, const char *want)
{
	char core[JOIN_NAME_MAX] = "x";
	json_t *a = join_serve_answer(&s, q, exporter, &from, NOW, core);
	const char *error = json_string_value(json_object_get(a, "error"));

	assert_non_null(error);
	if (!strstr(error, want))
		fail_msg("wanted \"%s\", got \"%s\"", want, error);
	assert_true(*json_string_value(json_object_get(a, "mend")));
	assert_null(json_object_get(a, "certificate"));
	assert_string_equal(core, "");
	json_decref(a);
	json_decref(q);
}

static void test_join_serve_good_then_used(void **state)
{
	struct join_token t = token(NOW + 10);
	EVP_PKEY *key = pki_key_new();
	char *pem = request_of(key), core[JOIN_NAME_MAX], path[256], id[JOIN_ID_MAX], *text;
	json_t *q = question(&t, pem), *a;
	struct stat st;
	X509 *x;

	(void)state;
	assert_int_equal(join_store_each(dir, NOW, NULL, NULL), 1);
	a = join_serve_answer(&s, q, exporter, &from, NOW, core);
	assert_string_equal(core, "core.example.com");
	assert_int_equal(json_array_size(json_object_get(a, "domains")), 2);
	x = pki_cert_parse(json_string_value(json_object_get(a, "certificate")));
	assert_non_null(x);
	assert_int_equal(X509_verify(x, s.ca_key), 1);
	assert_int_equal(X509_check_private_key(x, key), 1);
	assert_int_equal(X509_check_host(x, "core.example.com", 0, 0, NULL), 1);
	assert_int_equal(X509_check_host(x, "edge.example.com", 0, 0, NULL), 0);
	X509_free(x);
	json_decref(a);
	assert_int_equal(join_store_each(dir, NOW, NULL, NULL), 0);
	/* The secret is off the disk, and the record is root's alone. */
	join_token_id(t.secret, id);
	snprintf(path, sizeof(path), "%s/join/%s.used", dir, id);
	text = setup_read(path, (char[CONFIG_WHY_MAX]){});
	assert_non_null(text);
	assert_null(strstr(text, "secret"));
	assert_non_null(strstr(text, "198.51.100.7:4711"));
	free(text);
	assert_int_equal(stat(path, &st), 0);
	assert_int_equal(st.st_mode & 0777, 0600);
	refused(q, "used already, at 2027-01-15 08:00:00 UTC, from 198.51.100.7:4711");
	assert_int_equal(join_store_take(dir, id), -EALREADY);
	free(pem);
	EVP_PKEY_free(key);
}

static void test_join_serve_refused(void **state)
{
	struct join_token t = token(NOW + 10), late = token(NOW), forged = t;
	EVP_PKEY *key = pki_key_new(), *p256 = EVP_PKEY_Q_keygen(NULL, NULL, "EC", "P-256");
	char *pem = request_of(key), *other = request_of(p256);
	json_t *q;

	(void)state;
	refused(question(&late, pem), "ended at 2027-01-15 08:00:00 UTC");
	forged.secret[0] ^= 1;
	refused(question(&forged, pem), "does not know this token");
	q = question(&t, pem);
	json_object_set_new(q, "request", json_string(other)); /* not what was proved */
	refused(q, "changed on its way");
	q = question(&t, pem);
	json_object_set_new(q, "proof", json_string("00"));
	refused(q, "changed on its way");
	q = question(&t, pem);
	json_object_set_new(q, "id", json_string("../../etc/passwd"));
	refused(q, "not complete");
	q = question(&t, pem);
	json_object_set_new(q, "v", json_integer(2));
	refused(q, "version 1");
	q = question(&t, pem);
	json_object_set_new(q, "name", json_string("core9.example.com"));
	refused(q, "is for core.example.com, not for core9");
	q = question(&t, pem);
	json_object_set_new(q, "name", json_string("a\nb"));
	refused(q, "not complete");
	refused(question(&t, other), "Ed25519");
	refused(question(&t, "nonsense"), "Ed25519");
	refused(json_object(), "version 1");
	refused(json_array(), "version 1");
	/* None of these used it up. */
	assert_int_equal(join_store_each(dir, NOW, NULL, NULL), 1);
	free(pem);
	free(other);
	EVP_PKEY_free(key);
	EVP_PKEY_free(p256);
}

/* ---- files ---- */

static void put(const char *path, const char *text)
{
	FILE *f = fopen(path, "w");

	assert_non_null(f);
	fputs(text, f);
	fclose(f);
}

static void assert_file(const char *path, const char *text)
{
	char *got = setup_read(path, (char[CONFIG_WHY_MAX]){});

	assert_non_null(got);
	assert_string_equal(got, text);
	free(got);
}

static void test_stage_all_or_none(void **state)
{
	char a[128], b[128], c[128], old[140], why[STAGE_WHY_MAX];
	struct stage st = {};

	(void)state;
	snprintf(a, sizeof(a), "%s/f/a", dir);
	snprintf(b, sizeof(b), "%s/f/b", dir);
	snprintf(c, sizeof(c), "%s/f/c", dir);
	assert_int_equal(stage_add(&st, a, 0600, SPAN("1"), why), 0);
	assert_int_equal(stage_add(&st, b, 0600, SPAN("2"), why), 0);
	assert_int_equal(access(a, F_OK), -1);
	put(b, "somebody else's");
	assert_int_equal(stage_commit(&st, why), -EEXIST);
	assert_int_equal(access(a, F_OK), -1); /* taken back */
	assert_file(b, "somebody else's");
	stage_drop(&st);
	assert_int_equal(stage_add(&st, b, 0600, SPAN("2"), why), -EEXIST);
	assert_non_null(strstr(why, "--force"));
	st.force = true;
	assert_int_equal(stage_add(&st, b, 0640, SPAN("new"), why), 0);
	assert_int_equal(stage_add(&st, c, 0600, SPAN("3"), why), 0);
	assert_int_equal(stage_commit(&st, why), 0);
	stage_drop(&st);
	assert_file(b, "new");
	assert_file(c, "3");
	snprintf(old, sizeof(old), "%s.old", b);
	assert_file(old, "somebody else's");
}

static void test_setup_add_core(void **state)
{
	static const char
		before[] = "name: e\nlink: # ours\n  cores:\n    - name: a.example\n"
			   "      domains: [x.example] # why\n\n  # more\n  ktls: auto\n",
		after[] = "name: e\nlink: # ours\n  cores:\n    - name: a.example\n"
			  "      domains: [x.example] # why\n    - name: b.example\n"
			  "      domains: [y.example, z.example]\n\n  # more\n  ktls: auto\n",
		lists[] = "link:\n  cores:\n  - domains:\n    - x.example\n    name: a.example";
	const char *domains[] = {"y.example", "z.example"};
	char why[CONFIG_WHY_MAX], *got;

	(void)state;
	got = setup_add_core("f", before, "b.example", domains, 2, why);
	assert_non_null(got);
	assert_string_equal(got, after);
	free(got);
	got = setup_add_core("f", lists, "b.example", domains, 1, why);
	assert_non_null(got);
	assert_string_equal(got,
			    "link:\n  cores:\n  - domains:\n    - x.example\n    name: a.example\n"
			    "  - name: b.example\n    domains: [y.example]\n");
	free(got);
	assert_null(setup_add_core("f", "link: {cores: [{name: a, domains: [x]}]}\n", "b.example",
				   domains, 2, why));
	assert_non_null(strstr(why, "by hand"));
	assert_null(setup_add_core("f", "# \xc3\xa9\nlink:\n  cores:\n  - name: a\n", "b.example",
				   domains, 2, why));
	assert_null(setup_add_core("f", "sip: {}\n", "b.example", domains, 2, why));
	assert_null(setup_add_core("f", "link: [", "b.example", domains, 2, why));
}

static void test_setup_values(void **state)
{
	(void)state;
	assert_int_equal(setup_seconds("90"), 90);
	assert_int_equal(setup_seconds("30m"), 1800);
	assert_int_equal(setup_seconds("2h"), 7200);
	assert_int_equal(setup_seconds("7d"), 604800);
	assert_int_equal(setup_seconds("8d"), 0);
	assert_int_equal(setup_seconds("0"), 0);
	assert_int_equal(setup_seconds("-1"), 0);
	assert_int_equal(setup_seconds("1w"), 0);
	assert_int_equal(setup_seconds("99999999999999999999s"), 0);
	assert_true(setup_is_name("core-1.example.com"));
	assert_false(setup_is_name("a b") || setup_is_name("") || setup_is_name("a..b") ||
		     setup_is_name("-a") || setup_is_name("a]\nb: c"));
	assert_true(setup_is_path("/etc/sallyport"));
	assert_false(setup_is_path("etc") || setup_is_path("/a\"b") || setup_is_path("/a\nb"));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_join_serve_good_then_used, setup, teardown),
		cmocka_unit_test_setup_teardown(test_join_serve_refused, setup, teardown),
		cmocka_unit_test_setup_teardown(test_stage_all_or_none, setup, teardown),
		cmocka_unit_test(test_setup_add_core),
		cmocka_unit_test(test_setup_values),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
