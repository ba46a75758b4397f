/* selftests/unit/test_tls_hello.c -- ClientHellos of a real client, cut at every byte, bent at every byte; and made-up ones. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <cmocka.h>
#include <openssl/ssl.h>

#include "user/tls_hello.h"

/* What OpenSSL's client says first. */
static size_t hello_of(const char *sni, const char *alpn, uint8_t *buf, size_t n)
{
	SSL_CTX *ctx = SSL_CTX_new(TLS_client_method());
	SSL *ssl = SSL_new(ctx);
	BIO *in = BIO_new(BIO_s_mem()), *out = BIO_new(BIO_s_mem());
	int len;

	SSL_set_bio(ssl, in, out);
	if (sni)
		assert_int_equal(SSL_set_tlsext_host_name(ssl, sni), 1);
	if (alpn)
		assert_int_equal(
			SSL_set_alpn_protos(ssl, (const uint8_t *)alpn, (unsigned)strlen(alpn)), 0);
	assert_int_equal(SSL_connect(ssl), -1);
	len = BIO_read(out, buf, (int)n);
	assert_true(len > 100);
	SSL_free(ssl);
	SSL_CTX_free(ctx);
	return (size_t)len;
}

static void test_tls_hello_real(void **state)
{
	uint8_t buf[4096];
	struct tls_hello h;
	const char *why;
	size_t n, i;

	(void)state;
	n = hello_of("im.example.com", "\x08http/1.1\x0bxmpp-server", buf, sizeof(buf));
	for (i = 0; i < n; i++)
		assert_int_equal(tls_hello_parse(span_of(buf, i), &h, &why), -EAGAIN);
	assert_int_equal(tls_hello_parse(span_of(buf, n), &h, &why), n);
	assert_true(span_eq(h.sni, SPAN("im.example.com")));
	assert_true(tls_hello_alpn(&h, SPAN("xmpp-server")) &&
		    tls_hello_alpn(&h, SPAN("http/1.1")));
	assert_false(tls_hello_alpn(&h, SPAN("xmpp")) || tls_hello_alpn(&h, SPAN("xmpp-server2")));
	assert_int_equal(tls_hello_parse(span_of(buf, sizeof(buf)), &h, &why), n);
	n = hello_of(NULL, NULL, buf, sizeof(buf));
	assert_int_equal(tls_hello_parse(span_of(buf, n), &h, &why), n);
	assert_true(!h.sni.n && !h.alpn.n && !tls_hello_alpn(&h, SPAN("xmpp-server")));
}

/* No bent byte leads outside; a heap block of its own for each lets a sanitizer see it. */
static void test_tls_hello_bent(void **state)
{
	static const uint8_t values[] = {0, 1, 2, 3, 16, 0x7f, 0x80, 0xff};
	uint8_t buf[4096], *copy;
	struct tls_hello h = {};
	const char *why;
	size_t n, i, j;
	ssize_t ret;

	(void)state;
	n = hello_of("im.example.com", "\x0bxmpp-server", buf, sizeof(buf));
	for (i = 0; i < n; i++)
		for (j = 0; j < sizeof(values); j++) {
			copy = malloc(n);
			assert_non_null(copy);
			memcpy(copy, buf, n);
			copy[i] = values[j];
			h = (struct tls_hello){};
			ret = tls_hello_parse(span_of(copy, n), &h, &why);
			assert_true(ret == -EAGAIN || ret == -EBADMSG ||
				    (ret > 0 && (size_t)ret <= n));
			if (ret < 0)
				assert_true(!h.sni.p && !h.alpn.p);
			else if (h.sni.n)
				assert_true(h.sni.p > copy && h.sni.p + h.sni.n <= copy + n);
			free(copy);
		}
}

#define FRONT "\x16\x03\x01\x00"
#define BODY                               \
	"\x03\x03"                         \
	"0123456789abcdef0123456789abcdef" \
	"\x00"                             \
	"\x00\x02\x13\x01"                 \
	"\x01\x00"

static void test_tls_hello_refused(void **state)
{
	static const struct {
		const char *bytes;
		size_t n;
		const char *why;
	} bad[] = {
#define CASE(bytes, why) {bytes, sizeof(bytes) - 1, why}
		CASE("<stream", "wanted a handshake record"),
		CASE("\x16<", "wanted TLS"),
		CASE("\x16\x03\x01\x40\x01", "record too long"),
		CASE("\x16\x03\x01\x00\x00", "wanted a ClientHello"),
		CASE("\x16\x03\x01\x00\x04\x02\x00\x00\x00", "wanted a ClientHello"),
		/* the message goes on in another record; two messages in one */
		CASE("\x16\x03\x01\x00\x04\x01\x00\x00\x30",
		     "wanted one ClientHello in one record"),
		CASE("\x16\x03\x01\x00\x08\x01\x00\x00\x00\x01\x00\x00\x00",
		     "wanted one ClientHello in one record"),
		CASE("\x16\x03\x01\x00\x04\x01\x00\x00\x00", "ClientHello: lengths"),
		CASE(FRONT "\x2e\x01\x00\x00\x2a" BODY "\x00", "ClientHello: lengths"),
		CASE(FRONT "\x30\x01\x00\x00\x2c" BODY "\x00\x01\x00", "extensions: lengths"),
		CASE(FRONT "\x37\x01\x00\x00\x33" BODY "\x00\x08\x00\x00\x00\x00\x00\x00\x00\x00",
		     "server name: lengths"),
		CASE(FRONT "\x3a\x01\x00\x00\x36" BODY
			   "\x00\x0b\x00\x00\x00\x07\x00\x05\x00\x00\x02"
			   "a\x80",
		     "server name: wanted printable ASCII"),
		CASE(FRONT "\x3e\x01\x00\x00\x3a" BODY
			   "\x00\x0f\x00\x00\x00\x0b\x00\x09\x00\x00\x02"
			   "aa\x00\x00\x01"
			   "b",
		     "server name: wanted one host name"),
		CASE(FRONT "\x35\x01\x00\x00\x31" BODY "\x00\x06\x00\x10\x00\x02\x00\x00",
		     "ALPN: lengths"),
		CASE(FRONT "\x36\x01\x00\x00\x32" BODY "\x00\x07\x00\x10\x00\x03\x00\x01\x00",
		     "ALPN: lengths"),
		CASE(FRONT "\x3f\x01\x00\x00\x3b" BODY "\x00\x10\x00\x10\x00\x04\x00\x02\x01"
			   "a\x00\x10\x00\x04\x00\x02\x01"
			   "a",
		     "an extension twice"),
	};
	struct tls_hello h;
	const char *why = "";
	ssize_t ret;
	size_t i;

	(void)state;
	for (i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		ret = tls_hello_parse(span_of(bad[i].bytes, bad[i].n), &h, &why);
		if (ret != -EBADMSG || strcmp(why, bad[i].why))
			fail_msg("%zu: wanted %s, got %zd %s", i, bad[i].why, ret, why);
	}
	/* without any extension */
	assert_int_equal(tls_hello_parse(span_of(FRONT "\x2d\x01\x00\x00\x29" BODY, 50), &h, &why),
			 50);
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_tls_hello_real),
		cmocka_unit_test(test_tls_hello_bent),
		cmocka_unit_test(test_tls_hello_refused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
