/* selftests/unit/test_http_token.c -- session tokens: round trip, every flipped bit and cut refused, times, domains, rotation, cookies.
 * In: keys made here. Out: verdicts. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <errno.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "user/http_token_sign.h"
#include "user/wall.h"

#define NOW  1800000000ULL
#define N(a) (sizeof(a) / sizeof((a)[0]))

static struct http_token_signer *signer(int type)
{
	EVP_PKEY_CTX *ctx = EVP_PKEY_CTX_new_id(type, NULL);
	struct http_token_signer *s = NULL;
	BIO *bio = BIO_new(BIO_s_mem());
	EVP_PKEY *key = NULL;
	char why[256] = "", *pem;
	long n;

	assert_int_equal(EVP_PKEY_keygen_init(ctx), 1);
	assert_int_equal(EVP_PKEY_keygen(ctx, &key), 1);
	assert_int_equal(PEM_write_bio_PrivateKey(bio, key, NULL, NULL, 0, NULL, NULL), 1);
	n = BIO_get_mem_data(bio, &pem);
	if (http_token_signer_new(span_of(pem, (size_t)n), &s, why, sizeof(why))) {
		assert_non_null(strstr(why, "wanted an Ed25519 private key"));
		assert_non_null(strstr(why, "another kind"));
	}
	BIO_free(bio);
	EVP_PKEY_free(key);
	EVP_PKEY_CTX_free(ctx);
	return s;
}

static struct http_token_keys *keys_of(const struct http_token_signer *s)
{
	const struct http_token_key *key = http_token_signer_key(s);
	struct http_token_keys *k;

	assert_int_equal(http_token_keys_new(&k), 0);
	assert_int_equal(http_token_keys_add(k, span_of(key->kid, 8), span_of(key->public_key, 32)),
			 0);
	return k;
}

static struct http_token token(const char *user, const char *domain)
{
	struct http_token t = {.issued_s = NOW, .expires_s = NOW + 28800, .id = {1, 2, 3, 0xff}};

	snprintf(t.user, sizeof(t.user), "%s", user);
	snprintf(t.domain, sizeof(t.domain), "%s", domain);
	return t;
}

static enum http_token_verdict check(const struct http_token_keys *k, const char *text,
				     uint64_t now)
{
	struct http_token t;

	return http_token_check(k, span_str(text), SPAN("example.com"), now, &t);
}

static void test_token_round_trip(void **state)
{
	static const char *const users[] = {"anna",
					    "a",
					    "Anna.Lind@example.com",
					    "do\"main\\u",
					    "J\xc3\xb6rg M\xc3\xbcller",
					    "\xf0\x9f\x98\x80"};
	struct http_token_signer *s = signer(EVP_PKEY_ED25519);
	struct http_token_keys *k = keys_of(s);
	char text[HTTP_TOKEN_TEXT_MAX], longest[HTTP_TOKEN_USER_MAX], domain[HTTP_TOKEN_DOMAIN_MAX];
	struct http_token t, got;
	ssize_t n;
	size_t i;

	(void)state;
	for (i = 0; i < N(users); i++) {
		t = token(users[i], "example.com");
		n = http_token_sign(s, &t, text);
		assert_int_equal(n, strlen(text));
		assert_int_equal(strspn(text, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
					      "0123456789-_."),
				 strlen(text));
		memset(&got, 0x5a, sizeof(got));
		assert_int_equal(
			http_token_check(k, span_str(text), SPAN("EXAMPLE.com"), NOW, &got),
			TOKEN_OK);
		assert_string_equal(got.user, users[i]);
		assert_string_equal(got.domain, "example.com");
		assert_true(got.issued_s == NOW && got.expires_s == NOW + 28800);
		assert_memory_equal(got.id, t.id, 16);
		assert_int_equal(http_token_check(k, span_str(text), SPAN(""), NOW, &got),
				 TOKEN_OK);
	}
	/* The longest of everything fits. */
	memset(longest, '"', sizeof(longest) - 1);
	longest[sizeof(longest) - 1] = 0;
	memset(domain, 'd', sizeof(domain) - 1);
	domain[sizeof(domain) - 1] = 0;
	t = token(longest, domain);
	t.issued_s = 253402300798ULL;
	t.expires_s = 253402300799ULL;
	assert_in_range(http_token_sign(s, &t, text), 900, HTTP_TOKEN_TEXT_MAX - 1);
	assert_int_equal(http_token_check(k, span_str(text), span_str(domain), t.issued_s, &got),
			 TOKEN_OK);
	assert_string_equal(got.user, longest);
	http_token_keys_free(k);
	http_token_signer_free(s);
}

static void test_token_not_signed(void **state)
{
	static const char *const users[] = {"",
					    "a\nb",
					    "a\x7f",
					    "a\x1f",
					    "\xc2\x85",
					    "\xff",
					    "\xc3",
					    "\xc0\xaf",
					    "\xed\xa0\x80",
					    "\xf4\x90\x80\x80",
					    "\xe0\x80\xaf"};
	struct http_token_signer *s = signer(EVP_PKEY_ED25519);
	char text[HTTP_TOKEN_TEXT_MAX];
	struct http_token t;
	size_t i;

	(void)state;
	for (i = 0; i < N(users); i++) {
		assert_false(http_token_user_good(span_str(users[i])));
		t = token(users[i], "example.com");
		assert_int_equal(http_token_sign(s, &t, text), -EINVAL);
	}
	assert_false(http_token_user_good(span_of("a\0b", 3)));
	t = token("anna", "");
	assert_int_equal(http_token_sign(s, &t, text), -EINVAL);
	t = token("anna", "exa\"mple");
	assert_int_equal(http_token_sign(s, &t, text), -EINVAL);
	t = token("anna", "example.com");
	t.expires_s = t.issued_s;
	assert_int_equal(http_token_sign(s, &t, text), -EINVAL);
	http_token_signer_free(s);
}

/* Every bit of every byte, every cut, every character doubled or left out, and what was appended. */
static void test_token_changed(void **state)
{
	struct http_token_signer *s = signer(EVP_PKEY_ED25519);
	struct http_token_keys *k = keys_of(s);
	char text[HTTP_TOKEN_TEXT_MAX], bad[HTTP_TOKEN_TEXT_MAX + 8];
	struct http_token t = token("anna", "example.com"), got;
	unsigned verdicts[TOKEN_VERDICTS] = {};
	size_t n, i, bit;

	(void)state;
	n = (size_t)http_token_sign(s, &t, text);
	for (i = 0; i < n; i++)
		for (bit = 0; bit < 8; bit++) {
			enum http_token_verdict v;

			memcpy(bad, text, n);
			bad[i] = (char)(bad[i] ^ 1 << bit);
			v = http_token_check(k, span_of(bad, n), SPAN("example.com"), NOW, &got);
			assert_in_range(v, TOKEN_MALFORMED, TOKEN_BAD_SIGNATURE);
			verdicts[v]++;
		}
	assert_true(verdicts[TOKEN_MALFORMED] > 100 && verdicts[TOKEN_UNKNOWN_KEY] > 10 &&
		    verdicts[TOKEN_BAD_SIGNATURE] > 100);
	for (i = 0; i < n; i++) {
		assert_int_not_equal(http_token_check(k, span_of(text, i), SPAN(""), NOW, &got),
				     TOKEN_OK);
		memcpy(bad, text, i);
		memcpy(bad + i, text + i + 1, n - i - 1);
		assert_int_not_equal(http_token_check(k, span_of(bad, n - 1), SPAN(""), NOW, &got),
				     TOKEN_OK);
		memcpy(bad, text, i + 1);
		memcpy(bad + i + 1, text + i, n - i);
		assert_int_not_equal(http_token_check(k, span_of(bad, n + 1), SPAN(""), NOW, &got),
				     TOKEN_OK);
	}
	for (i = 0; i < 6; i++) {
		static const char *const tails[] = {"=", "A", ".", " ", "==", ".A"};

		snprintf(bad, sizeof(bad), "%s%s", text, tails[i]);
		assert_int_equal(check(k, bad, NOW), TOKEN_MALFORMED);
	}
	http_token_keys_free(k);
	http_token_signer_free(s);
}

/* "none", another algorithm's name, another key under our kid, a payload moved to another signature. */
static void test_token_forged(void **state)
{
	static const char *const rows[] = {
		"",
		".",
		"..",
		"...",
		"a.b.c",
		/* {"alg":"none"} with {"sub":"anna",...} and no signature */
		"eyJhbGciOiJub25lIn0.eyJzdWIiOiJhbm5hIn0.",
		/* {"alg":"HS256","typ":"JWT"} */
		"eyJhbGciOiJIUzI1NiIsInR5cCI6IkpXVCJ9.eyJzdWIiOiJhbm5hIn0."
		"AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"
		"AAAA",
	};
	struct http_token_signer *ours = signer(EVP_PKEY_ED25519),
				 *theirs = signer(EVP_PKEY_ED25519);
	struct http_token_keys *k = keys_of(ours);
	char a[HTTP_TOKEN_TEXT_MAX], b[HTTP_TOKEN_TEXT_MAX], mixed[2 * HTTP_TOKEN_TEXT_MAX];
	struct http_token t = token("anna", "example.com"), u = token("berta", "example.com");
	size_t i;

	(void)state;
	for (i = 0; i < N(rows); i++)
		assert_int_equal(check(k, rows[i], NOW), TOKEN_MALFORMED);
	http_token_sign(ours, &t, a);
	http_token_sign(theirs, &u, b);
	assert_int_equal(check(k, b, NOW), TOKEN_UNKNOWN_KEY);
	/* Our header, their payload and signature. */
	snprintf(mixed, sizeof(mixed), "%.*s%s", (int)(strchr(a, '.') - a), a, strchr(b, '.'));
	assert_int_equal(check(k, mixed, NOW), TOKEN_BAD_SIGNATURE);
	/* Their payload, our signature: another user's cookie. */
	http_token_sign(ours, &u, b);
	snprintf(mixed, sizeof(mixed), "%.*s%s", (int)(strrchr(b, '.') - b), b, strrchr(a, '.'));
	assert_int_equal(check(k, mixed, NOW), TOKEN_BAD_SIGNATURE);
	assert_int_equal(check(k, a, NOW), TOKEN_OK);
	http_token_keys_free(k);
	http_token_signer_free(ours);
	http_token_signer_free(theirs);
}

static void test_token_times_and_domains(void **state)
{
	struct http_token_signer *s = signer(EVP_PKEY_ED25519);
	struct http_token_keys *k = keys_of(s);
	struct http_token t = token("anna", "example.com"), got = {};
	char text[HTTP_TOKEN_TEXT_MAX];

	(void)state;
	http_token_sign(s, &t, text);
	assert_int_equal(check(k, text, NOW + 28799), TOKEN_OK);
	assert_int_equal(check(k, text, NOW + 28800), TOKEN_EXPIRED);
	assert_int_equal(check(k, text, UINT64_MAX - HTTP_TOKEN_SKEW_S), TOKEN_EXPIRED);
	assert_int_equal(check(k, text, NOW - HTTP_TOKEN_SKEW_S), TOKEN_OK);
	assert_int_equal(check(k, text, NOW - HTTP_TOKEN_SKEW_S - 1), TOKEN_NOT_YET);
	assert_int_equal(check(k, text, 0), TOKEN_NOT_YET);
	assert_int_equal(http_token_check(k, span_str(text), SPAN("example.net"), NOW, &got),
			 TOKEN_OTHER_DOMAIN);
	assert_string_equal(got.user, "anna");
	assert_int_equal(http_token_check(k, span_str(text), SPAN("b.example.com"), NOW, &got),
			 TOKEN_OTHER_DOMAIN);
	assert_int_equal(http_token_check(k, span_str(text), SPAN("example.co"), NOW, &got),
			 TOKEN_OTHER_DOMAIN);
	http_token_keys_free(k);
	http_token_signer_free(s);
}

/* Three keys one after the other: what the last but one signed is good until it leaves the set. */
static void test_token_rotation(void **state)
{
	struct http_token_signer *s[3];
	struct http_token_keys *k;
	char text[3][HTTP_TOKEN_TEXT_MAX];
	struct http_token t = token("anna", "example.com");
	const struct http_token_key *key;
	unsigned i;

	(void)state;
	assert_int_equal(http_token_keys_new(&k), 0);
	assert_null(http_token_keys_at(k, 0));
	for (i = 0; i < 3; i++) {
		s[i] = signer(EVP_PKEY_ED25519);
		http_token_sign(s[i], &t, text[i]);
	}
	/* The newest signs; the two before it still verify. */
	for (i = 3; i-- > 0;) {
		key = http_token_signer_key(s[i]);
		assert_int_equal(http_token_keys_add(k, SPAN(""), span_of(key->public_key, 32)), 0);
		assert_int_equal(http_token_keys_add(k, SPAN(""), span_of(key->public_key, 32)),
				 -EEXIST);
	}
	assert_memory_equal(http_token_keys_at(k, 0)->kid, http_token_signer_key(s[2])->kid, 8);
	for (i = 0; i < 3; i++)
		assert_int_equal(check(k, text[i], NOW), TOKEN_OK);
	/* The oldest is taken away. */
	http_token_keys_clear(k);
	for (i = 3; i-- > 1;)
		assert_int_equal(
			http_token_keys_add(k, SPAN(""),
					    span_of(http_token_signer_key(s[i])->public_key, 32)),
			0);
	assert_int_equal(check(k, text[0], NOW), TOKEN_UNKNOWN_KEY);
	assert_int_equal(check(k, text[1], NOW), TOKEN_OK);
	assert_int_equal(check(k, text[2], NOW), TOKEN_OK);
	http_token_keys_free(k);
	for (i = 0; i < 3; i++)
		http_token_signer_free(s[i]);
}

static void test_token_keys(void **state)
{
	struct http_token_signer *s = signer(EVP_PKEY_ED25519);
	const struct http_token_key *key = http_token_signer_key(s);
	struct http_token_signer *none = NULL;
	struct http_token_keys *k;
	uint8_t raw[32] = {0};
	char why[200];
	unsigned i;

	(void)state;
	assert_null(signer(EVP_PKEY_X25519));
	assert_int_equal(http_token_signer_new(SPAN("nonsense"), &none, why, sizeof(why)), -EINVAL);
	assert_non_null(strstr(why, "no private key that can be read"));
	assert_int_equal(http_token_signer_new(SPAN(""), &none, why, sizeof(why)), -EINVAL);
	assert_null(none);
	assert_int_equal(http_token_keys_new(&k), 0);
	assert_int_equal(http_token_keys_add(k, SPAN(""), span_of(key->public_key, 31)), -EINVAL);
	assert_int_equal(http_token_keys_add(k, span_of(key->kid, 7), span_of(key->public_key, 32)),
			 -EINVAL);
	assert_int_equal(http_token_keys_add(k, SPAN("12345678"), span_of(key->public_key, 32)),
			 -EINVAL);
	for (i = 0; i < HTTP_TOKEN_KEYS_MAX; i++) {
		raw[0] = (uint8_t)(i + 1);
		assert_int_equal(http_token_keys_add(k, SPAN(""), span_of(raw, 32)), 0);
	}
	assert_int_equal(http_token_keys_add(k, SPAN(""), span_of(key->public_key, 32)), -ENOSPC);
	http_token_keys_free(k);
	http_token_keys_free(NULL);
	http_token_signer_free(s);
	http_token_signer_free(NULL);
}

static void test_cookie_read(void **state)
{
	static const struct {
		const char *fields, *value;
		int err;
	} rows[] = {
		{"Cookie: X-Auth=abc\r\n", "abc", 0},
		{"Cookie: a=b; X-Auth=abc; c=d\r\n", "abc", 0},
		{"Cookie: a=b;X-Auth=abc;c=d\r\n", "abc", 0},
		{"Cookie: X-Auth=a=b\r\n", "a=b", 0}, /* judged by the token's reader */
		{"Cookie: x-auth=abc; X-Authx=1; aX-Auth=2\r\n", NULL, -ENOENT},
		{"", NULL, -ENOENT},
		{"Cookie: a=b\r\n", NULL, -ENOENT},
		{"Cookie: X-Auth=\r\n", NULL, -EBADMSG},
		{"Cookie: X-Auth\r\n", NULL, -EBADMSG},
		{"Cookie: X-Auth=abc; X-Auth=abc\r\n", NULL, -EBADMSG},
		{"Cookie: X-Auth=abc; X-Auth =def\r\n", NULL, -EBADMSG},
		{"Cookie: X-Auth=abc; X-Auth\r\n", NULL, -EBADMSG},
	};
	struct http_refusal why;
	struct http_head h;
	struct span value;
	char text[512];
	size_t i;

	(void)state;
	for (i = 0; i < N(rows); i++) {
		snprintf(text, sizeof(text), "GET / HTTP/1.1\r\nHost: e\r\n%s\r\n", rows[i].fields);
		assert_true(http_request_parse(span_str(text), &http_limits_default, &h, &why) > 0);
		assert_int_equal(http_token_cookie(&h, &value), rows[i].err);
		if (!rows[i].err)
			assert_true(span_eq(value, span_str(rows[i].value)));
	}
}

static void test_cookie_strip(void **state)
{
	static const char *const rows[][2] = {
		{"X-Auth=abc", ""},
		{"a=b; X-Auth=abc; c=d", "a=b; c=d"},
		{"a=b;X-Auth =abc;;c=d ", "a=b; c=d"},
		{"x-auth=1; X-Auth=2", "x-auth=1"},
		{"a=b", "a=b"},
		{"X-Auth", ""},
		{"", ""},
	};
	char out[64];
	ssize_t n;
	size_t i;

	(void)state;
	for (i = 0; i < N(rows); i++) {
		n = http_token_cookie_strip(span_str(rows[i][0]), out, sizeof(out));
		assert_true(n >= 0 && span_eq(span_of(out, (size_t)n), span_str(rows[i][1])));
	}
	assert_int_equal(http_token_cookie_strip(SPAN("abc=def; X-Auth=1; g=h"), out, 10), -E2BIG);
}

static void test_cookie_write(void **state)
{
	struct http_token t = token("anna", "example.com");
	char out[HTTP_TOKEN_COOKIE_MAX];

	(void)state;
	assert_string_equal(http_token_set_cookie(&t, "T", "edge.example.com", out),
			    "X-Auth=T; Expires=Fri, 15 Jan 2027 16:00:00 GMT; Domain=.example.com; "
			    "Path=/; Secure; "
			    "HttpOnly");
	/* Clients refuse a cookie for a domain that the host is not in. */
	assert_string_equal(
		http_token_set_cookie(&t, "T", "edge.example.net", out),
		"X-Auth=T; Expires=Fri, 15 Jan 2027 16:00:00 GMT; Path=/; Secure; HttpOnly");
	assert_null(strstr(http_token_set_cookie(&t, "T", "badexample.com", out), "Domain"));
}

static void test_wall_date(void **state)
{
	static const struct {
		uint64_t s;
		const char *text;
	} rows[] = {
		{0, "Thu, 01 Jan 1970 00:00:00 GMT"},
		{1445412480, "Wed, 21 Oct 2015 07:28:00 GMT"},
		{951782400, "Tue, 29 Feb 2000 00:00:00 GMT"},
		{951868800, "Wed, 01 Mar 2000 00:00:00 GMT"},
		{4107542399ULL, "Sun, 28 Feb 2100 23:59:59 GMT"},
		{4107542400ULL, "Mon, 01 Mar 2100 00:00:00 GMT"},
		{253402300799ULL, "Fri, 31 Dec 9999 23:59:59 GMT"},
		{UINT64_MAX, "Fri, 31 Dec 9999 23:59:59 GMT"},
	};
	char text[WALL_DATE_MAX];
	size_t i;

	(void)state;
	for (i = 0; i < N(rows); i++)
		assert_string_equal(wall_date(rows[i].s, text), rows[i].text);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_token_round_trip),
		cmocka_unit_test(test_token_not_signed),
		cmocka_unit_test(test_token_changed),
		cmocka_unit_test(test_token_forged),
		cmocka_unit_test(test_token_times_and_domains),
		cmocka_unit_test(test_token_rotation),
		cmocka_unit_test(test_token_keys),
		cmocka_unit_test(test_cookie_read),
		cmocka_unit_test(test_cookie_strip),
		cmocka_unit_test(test_cookie_write),
		cmocka_unit_test(test_wall_date),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
