/* selftests/unit/test_http_descriptor.c -- the path's first segment: what it names, what is refused, and that what is written reads back. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "http/descriptor.h"

#define LEN(a) (sizeof(a) / sizeof((a)[0]))

static enum http_descriptor_why try(const char *target, struct http_descriptor *d)
{
	enum http_descriptor_why why = HTTP_DESCRIPTOR_OK;
	struct http_target t;
	enum http_why w = http_target_parse(span_str(target), HTTP_M_GET, &t);
	int err;

	if (w != HTTP_OK)
		fail_msg("%s: %s", target, http_why_text(w));
	err = http_descriptor_parse(&t, d, &why);
	assert_int_equal(err, why == HTTP_DESCRIPTOR_OK ? 0 : -EBADMSG);
	return why;
}

/* "/BASE64(@text)@rest". */
static const char *path(const char *text, const char *rest)
{
	static const char digits[] =
		"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
	static char out[2048];
	size_t n = strlen(text), i, at = 0;
	uint32_t v;

	out[at++] = '/';
	for (i = 0; i < n; i += 3) {
		v = (uint32_t)(uint8_t)text[i] << 16;
		v |= i + 1 < n ? (uint32_t)(uint8_t)text[i + 1] << 8 : 0;
		v |= i + 2 < n ? (uint32_t)(uint8_t)text[i + 2] : 0;
		out[at++] = digits[v >> 18];
		out[at++] = digits[v >> 12 & 63];
		if (i + 1 < n)
			out[at++] = digits[v >> 6 & 63];
		if (i + 2 < n)
			out[at++] = digits[v & 63];
	}
	(void)snprintf(out + at, sizeof(out) - at, "%s", rest);
	return out;
}

static void test_descriptor_services(void **state)
{
	static const struct {
		const char *target, *domain;
		enum http_service_path what;
	} cases[] = {
		/* tbtp.com, from a published trace: without padding */
		{"/dGJ0cC5jb20/get_edge_config", "tbtp.com", HTTP_PATH_EDGE_CONFIG},
		{"/dGJ0cC5jb20/get_edge_config/", "tbtp.com", HTTP_PATH_EDGE_CONFIG},
		{"/dGJ0cC5jb20=/get_edge_config", "tbtp.com", HTTP_PATH_EDGE_CONFIG},
		{"/dGJ0cC5jb20%3D/get_edge_config/?service_name=_cisco-uds", "tbtp.com",
		 HTTP_PATH_EDGE_CONFIG},
		{"/dGJ0cC5jb20%3d/get_edge_sso?email=a", "tbtp.com", HTTP_PATH_EDGE_SSO},
		{"https://edge.example.com:8443/dGJ0cC5jb20/get_edge_sso/", "tbtp.com",
		 HTTP_PATH_EDGE_SSO},
		{"/VEJUUC5jb20/get_edge_config", "tbtp.com", HTTP_PATH_EDGE_CONFIG}, /* TBTP.com */
		{"/YS5i/get_edge_config", "a.b", HTTP_PATH_EDGE_CONFIG}, /* no padding due */
		{"/YS5iYw==/get_edge_config", "a.bc", HTTP_PATH_EDGE_CONFIG},
		{"/.well-known/sallyport", "", HTTP_PATH_WELL_KNOWN},
		{"/.well-known/sallyport?x", "", HTTP_PATH_WELL_KNOWN},
	};
	struct http_descriptor d;
	unsigned i;

	(void)state;
	for (i = 0; i < LEN(cases); i++) {
		enum http_descriptor_why why = try(cases[i].target, &d);

		if (why != HTTP_DESCRIPTOR_OK)
			fail_msg("%s: %s", cases[i].target, http_descriptor_why_text(why));
		assert_int_equal(d.what, cases[i].what);
		assert_string_equal(d.domain, cases[i].domain);
		assert_int_equal(d.rest.n, 0);
	}
}

static void test_descriptor_relay(void **state)
{
	static const struct {
		const char *text, *behind;
		bool https;
		const char *host;
		unsigned port;
		bool v6;
		const char *rest;
	} cases[] = {
		{"steven.lab/https/cucm.steven.lab/6972", "/x?y=/z?", true, "cucm.steven.lab", 6972,
		 false, "/x?y=/z?"},
		{"steven.lab/https/10.48.36.215/8443", "/cucm-uds/user/a%2fb", true, "10.48.36.215",
		 8443, false, "/cucm-uds/user/a%2fb"},
		{"hpcl.co.in/http/10.15.0.33/6970", "/", false, "10.15.0.33", 6970, false, "/"},
		{"a.b/http/h/1", "", false, "h", 1, false, "/"},
		{"a.b/http/h/65535", "/?", false, "h", 65535, false, "/?"},
		{"A.B/https/HOST_1.In/80", "//x/../y", true, "host_1.in", 80, false, "//x/../y"},
		{"a.b/https/[2001:DB8:0::1]/443", "/", true, "2001:db8::1", 443, true, "/"},
		{"a.b/https/2001:db8::1/443", "/", true, "2001:db8::1", 443, true, "/"},
	};
	struct http_descriptor d;
	unsigned i;

	(void)state;
	for (i = 0; i < LEN(cases); i++) {
		const char *p = path(cases[i].text, cases[i].behind);
		enum http_descriptor_why why = try(p, &d);

		if (why != HTTP_DESCRIPTOR_OK)
			fail_msg("%s: %s", cases[i].text, http_descriptor_why_text(why));
		assert_int_equal(d.what, HTTP_PATH_RELAY);
		assert_int_equal(d.https, cases[i].https);
		assert_string_equal(d.host, cases[i].host);
		assert_int_equal(d.port, cases[i].port);
		assert_int_equal(d.host_is_v6, cases[i].v6);
		assert_true(span_eq(d.rest, span_str(cases[i].rest)));
		assert_true(span_eq(d.segment, span_of(p, strlen(p) - strlen(cases[i].behind))));
	}
}

static void test_descriptor_refused_text(void **state)
{
	static const struct {
		const char *text, *behind;
		enum http_descriptor_why why;
	} cases[] = {
		{"a.b", "", HTTP_DESCRIPTOR_SERVICE},
		{"a.b", "/", HTTP_DESCRIPTOR_SERVICE},
		{"a.b", "/get_edge_config//", HTTP_DESCRIPTOR_SERVICE},
		{"a.b", "/get_edge_config/x", HTTP_DESCRIPTOR_SERVICE},
		{"a.b", "/GET_EDGE_CONFIG", HTTP_DESCRIPTOR_SERVICE},
		{"a.b", "/get_edge_config%2f", HTTP_DESCRIPTOR_SERVICE},
		{"a.b.", "/get_edge_config", HTTP_DESCRIPTOR_DOMAIN},
		{"10.0.0.1", "/get_edge_config", HTTP_DESCRIPTOR_DOMAIN},
		{"[::1]", "/get_edge_config", HTTP_DESCRIPTOR_DOMAIN},
		{"a.b:80", "/get_edge_config", HTTP_DESCRIPTOR_DOMAIN},
		{"a..b", "/get_edge_config", HTTP_DESCRIPTOR_DOMAIN},
		{"a b", "/get_edge_config", HTTP_DESCRIPTOR_DOMAIN},
		{"a.b\n", "/get_edge_config", HTTP_DESCRIPTOR_DOMAIN},
		{"/https/h/1", "/", HTTP_DESCRIPTOR_DOMAIN},
		{"a.b/https", "/", HTTP_DESCRIPTOR_PARTS},
		{"a.b/https/h", "/", HTTP_DESCRIPTOR_PARTS},
		{"a.b/https/h/1/", "/", HTTP_DESCRIPTOR_PORT},
		{"a.b/https/h/1/x", "/", HTTP_DESCRIPTOR_PORT},
		{"a.b/HTTPS/h/1", "/", HTTP_DESCRIPTOR_PROTO},
		{"a.b/ftp/h/1", "/", HTTP_DESCRIPTOR_PROTO},
		{"a.b//h/1", "/", HTTP_DESCRIPTOR_PROTO},
		{"a.b/https//1", "/", HTTP_DESCRIPTOR_HOST},
		{"a.b/https/h./1", "/", HTTP_DESCRIPTOR_HOST},
		{"a.b/https/h:1/1", "/", HTTP_DESCRIPTOR_HOST},
		{"a.b/https/u@h/1", "/", HTTP_DESCRIPTOR_HOST},
		{"a.b/https/127.1/1", "/", HTTP_DESCRIPTOR_HOST},
		{"a.b/https/0x7f.0.0.1/1", "/", HTTP_DESCRIPTOR_HOST},
		{"a.b/https/::ffff:10.0.0.1/1", "/", HTTP_DESCRIPTOR_HOST},
		{"a.b/https/[::1]:1/1", "/", HTTP_DESCRIPTOR_HOST},
		{"a.b/https/[::1/1", "/", HTTP_DESCRIPTOR_HOST},
		{"a.b/https/[10.0.0.1]/1", "/", HTTP_DESCRIPTOR_HOST},
		{"a.b/https/h/", "/", HTTP_DESCRIPTOR_PORT},
		{"a.b/https/h/0", "/", HTTP_DESCRIPTOR_PORT},
		{"a.b/https/h/080", "/", HTTP_DESCRIPTOR_PORT},
		{"a.b/https/h/65536", "/", HTTP_DESCRIPTOR_PORT},
		{"a.b/https/h/1 ", "/", HTTP_DESCRIPTOR_PORT},
		{"a.b/https/h/1", "?x", HTTP_DESCRIPTOR_REST},
	};
	struct http_descriptor d = {.port = 7};
	unsigned i;

	(void)state;
	for (i = 0; i < LEN(cases); i++) {
		enum http_descriptor_why why = try(path(cases[i].text, cases[i].behind), &d);

		if (why != cases[i].why)
			fail_msg("%s %s: %s", cases[i].text, cases[i].behind,
				 http_descriptor_why_text(why));
		assert_int_equal(d.port, 7);
	}
}

static void test_descriptor_refused_base64(void **state)
{
	static const struct {
		const char *target;
		enum http_descriptor_why why;
	} cases[] = {
		{"/", HTTP_DESCRIPTOR_EMPTY},
		{"//get_edge_config", HTTP_DESCRIPTOR_EMPTY},
		{"https://h", HTTP_DESCRIPTOR_EMPTY},
		{"/.well-known/sallyport/", HTTP_DESCRIPTOR_BASE64},
		{"/dGJ0cC5jb20==/get_edge_config", HTTP_DESCRIPTOR_BASE64},
		{"/dGJ0cC5jb2=0/get_edge_config", HTTP_DESCRIPTOR_BASE64},
		{"/dGJ0cC5jb21/get_edge_config", HTTP_DESCRIPTOR_BASE64}, /* a bit is left over */
		{"/YS5iYx/get_edge_config", HTTP_DESCRIPTOR_BASE64},
		{"/YS5iYw=/get_edge_config", HTTP_DESCRIPTOR_BASE64}, /* half a padding */
		{"/YS5iYw===/get_edge_config", HTTP_DESCRIPTOR_BASE64},
		{"/YS5i====/get_edge_config", HTTP_DESCRIPTOR_BASE64},
		{"/====/get_edge_config", HTTP_DESCRIPTOR_BASE64},
		{"/YS5iY/get_edge_config", HTTP_DESCRIPTOR_BASE64},  /* six bits */
		{"/YS5%69/get_edge_config", HTTP_DESCRIPTOR_BASE64}, /* an escape that none needs */
		{"/YS5i~/get_edge_config", HTTP_DESCRIPTOR_BASE64},
		{"/YS5i%2F%2f%2b%2B/get_edge_config", HTTP_DESCRIPTOR_DOMAIN},
		{"/index.html", HTTP_DESCRIPTOR_BASE64},
	};
	struct http_descriptor d;
	unsigned i;

	(void)state;
	for (i = 0; i < LEN(cases); i++) {
		enum http_descriptor_why why = try(cases[i].target, &d);

		if (why != cases[i].why)
			fail_msg("%s: %s", cases[i].target, http_descriptor_why_text(why));
	}
}

static void test_descriptor_long(void **state)
{
	char text[1600], name[254];
	struct http_descriptor d;
	unsigned i;

	(void)state;
	for (i = 0; i < 253; i++)
		name[i] = i % 64 == 63 ? '.' : 'a';
	name[253] = 0;
	(void)snprintf(text, sizeof(text), "%s/https/%s/65535", name, name);
	assert_int_equal(try(path(text, "/"), &d), HTTP_DESCRIPTOR_OK);
	assert_string_equal(d.domain, name);
	assert_string_equal(d.host, name);
	memset(text, 'a', sizeof(text));
	text[1500] = 0;
	assert_int_equal(try(path(text, "/"), &d), HTTP_DESCRIPTOR_LONG);
	text[254] = 0;
	for (i = 63; i < 254; i += 64)
		text[i] = '.';
	assert_int_equal(try(path(text, "/get_edge_sso"), &d), HTTP_DESCRIPTOR_DOMAIN);
}

static void test_descriptor_written(void **state)
{
	static const char *const hosts[] = {"h", "10.0.0.1", "uds1.in.example.com", "2001:db8::1"};
	char buf[HTTP_DESCRIPTOR_MAX + 2], small[16];
	struct http_descriptor d;
	unsigned i;
	ssize_t n;

	(void)state;
	for (i = 0; i < LEN(hosts); i++) {
		n = http_descriptor_write("example.com", i & 1, span_str(hosts[i]), i == 3,
					  (uint16_t)(8443 + i), buf, sizeof(buf));
		assert_int_equal(n, strlen(buf));
		(void)strcat(buf, "/");
		assert_int_equal(try(buf, &d), HTTP_DESCRIPTOR_OK);
		assert_string_equal(d.domain, "example.com");
		assert_string_equal(d.host, hosts[i]);
		assert_int_equal(d.https, i & 1);
		assert_int_equal(d.port, 8443 + i);
	}
	assert_int_equal(http_descriptor_write("example.com", true, SPAN("h"), false, 1, small,
					       sizeof(small)),
			 -E2BIG);
}

/* CONNECT's and OPTIONS' own forms have no path. */
static void test_descriptor_forms(void **state)
{
	enum http_descriptor_why why = HTTP_DESCRIPTOR_OK;
	struct http_descriptor d;
	struct http_target t;

	(void)state;
	assert_int_equal(http_target_parse(SPAN("*"), HTTP_M_OPTIONS, &t), HTTP_OK);
	assert_int_not_equal(http_descriptor_parse(&t, &d, &why), 0);
	assert_int_equal(why, HTTP_DESCRIPTOR_FORM);
	assert_int_equal(http_target_parse(SPAN("h:1"), HTTP_M_CONNECT, &t), HTTP_OK);
	assert_int_not_equal(http_descriptor_parse(&t, &d, &why), 0);
	assert_int_equal(why, HTTP_DESCRIPTOR_FORM);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_descriptor_services),
		cmocka_unit_test(test_descriptor_relay),
		cmocka_unit_test(test_descriptor_refused_text),
		cmocka_unit_test(test_descriptor_refused_base64),
		cmocka_unit_test(test_descriptor_long),
		cmocka_unit_test(test_descriptor_written),
		cmocka_unit_test(test_descriptor_forms),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
