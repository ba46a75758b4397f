/* selftests/fuzz/fuzz_https.c -- any bytes as what the core judges: URLs and paths, CSV rules, tokens, Basic credentials, UDS
 * answers.
 *
 * The first byte says which. Held: slices lie inside; a path that is let through lies in its rule's folder, has no dot segment
 * and no empty one; a token without our signature is never good; credentials that are read are spelt in one way; a home is a
 * host. */
#include <openssl/evp.h>
#include <stdlib.h>
#include <string.h>

#include "http/allow.h"
#include "user/basic.h"
#include "user/uds_xml.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define HOLD(x)                  \
	do {                     \
		if (!(x))        \
			abort(); \
	} while (0)

static void hold_path(const char *path)
{
	HOLD(path[0] == '/' && !strstr(path, "//") && !strstr(path, "/./") &&
	     !strstr(path, "/../"));
	HOLD(!strchr(path, '\\') && !strchr(path, ';') && !strchr(path, '%'));
	HOLD(strlen(path) < 2 || strcmp(path + strlen(path) - 2, "/.") != 0);
	HOLD(strlen(path) < 3 || strcmp(path + strlen(path) - 3, "/..") != 0);
	for (; *path; path++)
		HOLD((unsigned char)*path >= 0x20 && *path != 0x7f);
}

static void fuzz_url(struct span s)
{
	static struct allow_rule rules[] = {
		{.name = "a",
		 .https = true,
		 .host = "a",
		 .port = 443,
		 .path = "/own/{user}",
		 .prefix = true,
		 .methods = ALLOW_METHOD(HTTP_M_GET),
		 .own_query = true},
		{.name = "b",
		 .https = true,
		 .host = "a",
		 .port = 443,
		 .path = "/{any}/{file}",
		 .methods = ALLOW_METHOD(HTTP_M_GET)},
	};
	static char path[ALLOW_PATH_MAX + 1];
	struct allow all = {rules, 2};
	struct allow_ask q = {.user = SPAN("anna"),
			      .method = HTTP_M_GET,
			      .https = true,
			      .host = SPAN("a"),
			      .port = 443};
	struct allow_verdict v;
	const char *detail = NULL;
	struct allow_url u;
	char why[100];

	HOLD(!allow_compile(&all, why, sizeof(why)));
	if (!allow_url_parse(s, &u, &detail)) {
		HOLD(u.host[0] && u.port);
		hold_path(u.path);
	} else {
		HOLD(detail);
	}
	q.path = span_cut(s, 0,
			  (size_t)(s.n && memchr(s.p, '?', s.n)
					   ? (const uint8_t *)memchr(s.p, '?', s.n) - s.p
					   : (ssize_t)s.n));
	q.query = span_cut(s, q.path.n + 1, s.n);
	allow_match(&all, &q, &v);
	if (!v.rule)
		return;
	HOLD(allow_path_decode(q.path, path, sizeof(path), &detail) > 0);
	hold_path(path);
	HOLD(v.rule->prefix ? !strncasecmp(path, "/own/anna", 9) && (!path[9] || path[9] == '/')
			    : strchr(path + 1, '/') == strrchr(path, '/'));
}

static void fuzz_csv(struct span s)
{
	struct allow_csv_row row;
	const char *detail = NULL;
	struct allow_csv c;
	int r = allow_csv_begin(&c, s, &detail), i;

	while (!r && (r = allow_csv_next(&c, &row, &detail)) == 1) {
		for (i = 0; i < ALLOW_CSV_COLUMNS; i++)
			HOLD(!row.fields[i].n || (row.fields[i].p >= s.p &&
						  row.fields[i].p + row.fields[i].n <= s.p + s.n));
		allow_methods(row.fields[ALLOW_CSV_METHODS], ',');
		r = 0;
	}
	HOLD(!r || detail);
}

static void fuzz_token(struct span s)
{
	static struct http_token_keys *keys;
	static const uint8_t public[32] = {1, 2, 3};
	struct http_token t;
	char out[4096];

	if (!keys)
		HOLD(!http_token_keys_new(&keys) &&
		     !http_token_keys_add(keys, SPAN(""), span_of(public, 32)));
	HOLD(http_token_check(keys, s, SPAN(""), 1, &t) != TOKEN_OK);
	HOLD(http_token_cookie_strip(s, out, sizeof(out)) <= (ssize_t)(2 * s.n + 2));
}

static void fuzz_basic(struct span s)
{
	unsigned char again[BASIC_TEXT_MAX + 8];
	char raw[1024];
	struct basic b;
	const char *detail;
	int n;

	if (basic_parse(s, &b, &detail))
		return;
	HOLD(http_token_user_good(span_str(b.user)) && !strpbrk(b.user, "/\\%:"));
	n = snprintf(raw, sizeof(raw), "%s:%s", b.user, b.password);
	EVP_EncodeBlock(again, (const unsigned char *)raw, n);
	HOLD(!strcmp((const char *)again, b.text));
}

static void fuzz_uds(struct span s)
{
	char name[HTTP_TOKEN_USER_MAX];
	struct uds_cluster_user u;
	const char *why = NULL;

	if (!uds_cluster_user(s, &u, &why))
		HOLD(u.found == (u.home[0] != 0));
	else
		HOLD(why);
	if (!uds_user(s, name, &why))
		HOLD(!name[0] || http_token_user_good(span_str(name)));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct span s = span_of(data + (size ? 1 : 0), size ? size - 1 : 0);

	if (!size || size > 16384)
		return 0;
	switch (data[0] % 5) {
	case 0:
		fuzz_url(s);
		break;
	case 1:
		fuzz_csv(s);
		break;
	case 2:
		fuzz_token(s);
		break;
	case 3:
		fuzz_basic(s);
		break;
	default:
		fuzz_uds(s);
	}
	return 0;
}
