/* selftests/unit/test_tls.c -- handshakes, refusals with their texts, ends and names, between two ends of a socket pair. */
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <poll.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>
#include <linux/tcp.h>
#include <cmocka.h>
#include <openssl/err.h>
#include <openssl/pem.h>

#include "selftests/unit/certs.h"
#include "user/tls_impl.h"

static struct cert ca, other_ca, good, expired, foreign, cn_only, client;

struct pair {
	struct tls_ctx *sctx, *cctx;
	struct tls_conn *s, *c;
	int fd[2], sret, cret;
};

static struct tls_ctx *ctx_make(struct tls_params *p)
{
	char why[TLS_WHY_MAX] = "";
	struct tls_ctx *c = NULL;

	if (tls_ctx_new(p, &c, why))
		fail_msg("%s", why);
	return c;
}

static void pair_open(struct pair *p, struct tls_params *s, struct tls_params *c, const char *name)
{
	int i, small = 4096;

	memset(p, 0, sizeof(*p));
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, p->fd), 0);
	for (i = 0; i < 2; i++)
		setsockopt(p->fd[i], SOL_SOCKET, SO_SNDBUF, &small, sizeof(small));
	s->server = true;
	p->sctx = ctx_make(s);
	p->cctx = ctx_make(c);
	assert_int_equal(tls_conn_new(p->sctx, p->fd[0], NULL, &p->s), 0);
	assert_int_equal(tls_conn_new(p->cctx, p->fd[1], name, &p->c), 0);
	p->sret = p->cret = -EAGAIN;
}

/* Both sides by turns, until both know. A side that failed closes its direction, as a connection does. */
static void pair_shake(struct pair *p)
{
	int i;

	for (i = 0; i < 100 && (p->sret == -EAGAIN || p->cret == -EAGAIN); i++) {
		if (p->cret == -EAGAIN)
			p->cret = tls_handshake(p->c);
		if (p->cret && p->cret != -EAGAIN)
			shutdown(p->fd[1], SHUT_WR);
		if (p->sret == -EAGAIN)
			p->sret = tls_handshake(p->s);
		if (p->sret && p->sret != -EAGAIN)
			shutdown(p->fd[0], SHUT_WR);
	}
}

static void pair_close(struct pair *p)
{
	tls_conn_free(p->s);
	tls_conn_free(p->c);
	tls_ctx_free(p->sctx);
	tls_ctx_free(p->cctx);
	close(p->fd[0]);
	close(p->fd[1]);
}

static void pair_good(struct pair *p)
{
	struct tls_params s = {.cert_pem = cert_pem(&good), .key_pem = cert_key(&good)};
	struct tls_params c = {.ca_pem = cert_pem(&ca)};

	pair_open(p, &s, &c, "gate.example");
	pair_shake(p);
	assert_int_equal(p->sret, 0);
	assert_int_equal(p->cret, 0);
}

static void test_tls_names_checked_by_the_client(void **state)
{
	static const struct {
		const struct cert *cert;
		const char *name;
		int ret;
		const char *why, *seen, *alert;
	} t[] = {
		{&good, "gate.example", 0, "", "", ""},
		{&good, "deep.wild.example", 0, "", "", ""},
		{&good, "192.0.2.7", 0, "", "", ""},
		{&good, "2001:db8::7", 0, "", "", ""},
		{&good, NULL, 0, "", "", ""},
		{&good, "other.example", -EKEYREJECTED,
		 "certificate refused: wanted other.example, got names gate.example, "
		 "*.wild.example, 192.0.2.7, "
		 "2001:db8::7",
		 "gate.example, *.wild.example, 192.0.2.7, 2001:db8::7",
		 "alert received: bad certificate"},
		{&good, "192.0.2.8", -EKEYREJECTED,
		 "certificate refused: wanted 192.0.2.8, got names gate.example", "gate.example",
		 "alert received: bad certificate"},
		{&good, "a.deep.wild.example", -EKEYREJECTED, "certificate refused: wanted a.deep",
		 "gate.example", "alert received: bad certificate"},
		{&cn_only, "gate.example", -EKEYREJECTED,
		 "certificate refused: wanted gate.example, got names (none)", "",
		 "alert received: bad certificate"},
		{&expired, "gate.example", -EKEYREJECTED,
		 "certificate refused: certificate has expired", "gate.example",
		 "alert received: certificate expired"},
		{&foreign, "gate.example", -EKEYREJECTED,
		 "certificate refused: unable to get local issuer certificate", "gate.example",
		 "alert received: unknown CA"},
	};
	struct pair p;
	size_t i;

	(void)state;
	for (i = 0; i < sizeof(t) / sizeof(t[0]); i++) {
		struct tls_params s = {.cert_pem = cert_pem(t[i].cert),
				       .key_pem = cert_key(t[i].cert)};
		struct tls_params c = {.ca_pem = cert_pem(&ca)};

		pair_open(&p, &s, &c, t[i].name);
		pair_shake(&p);
		assert_int_equal(p.cret, t[i].ret);
		assert_memory_equal(tls_why(p.c), t[i].why, strlen(t[i].why));
		assert_memory_equal(tls_refused_names(p.c), t[i].seen, strlen(t[i].seen));
		if (t[i].ret) {
			assert_int_equal(p.sret, -EPROTO);
			assert_string_equal(tls_why(p.s), t[i].alert);
			assert_int_equal(tls_handshake(p.c), -EKEYREJECTED); /* and stays so */
			assert_int_equal(tls_write(p.c, "x", 1), -EKEYREJECTED);
		}
		pair_close(&p);
	}
}

/* In TLS 1.3 the client has finished when the server refuses it: it learns by its first read or write. */
static void test_tls_client_certificates(void **state)
{
	static const struct {
		const struct cert *cert;
		int sret;
		const char *swhy, *cwhy;
	} t[] = {
		{&client, 0, "", ""},
		{NULL, -EKEYREJECTED, "certificate refused: the peer sent none",
		 "alert received: certificate required"},
		{&foreign, -EKEYREJECTED,
		 "certificate refused: unable to get local issuer certificate",
		 "alert received: unknown CA"},
		{&expired, -EKEYREJECTED, "certificate refused: certificate has expired",
		 "alert received: certificate expired"},
	};
	char buf[256];
	struct pair p;
	size_t i;

	(void)state;
	for (i = 0; i < sizeof(t) / sizeof(t[0]); i++) {
		struct tls_params s = {.cert_pem = cert_pem(&good),
				       .key_pem = cert_key(&good),
				       .ca_pem = cert_pem(&ca),
				       .tls13_only = true,
				       .require_peer = true};
		struct tls_params c = {.ca_pem = cert_pem(&ca), .tls13_only = true};

		if (t[i].cert) {
			c.cert_pem = cert_pem(t[i].cert);
			c.key_pem = cert_key(t[i].cert);
		}
		pair_open(&p, &s, &c, "gate.example");
		pair_shake(&p);
		assert_int_equal(p.sret, t[i].sret);
		assert_memory_equal(tls_why(p.s), t[i].swhy, strlen(t[i].swhy));
		assert_int_equal(p.cret, 0);
		assert_string_equal(tls_version(p.c), "TLSv1.3");
		if (t[i].sret == 0) {
			assert_true(tls_peer_has_name(p.s, "core1.example"));
			assert_true(tls_peer_has_name(p.s, "CORE1.example"));
			assert_false(tls_peer_has_name(p.s, "client"));
			assert_false(tls_peer_has_name(p.s, ""));
			assert_string_equal(tls_peer_names(p.s, buf, sizeof(buf)), "core1.example");
			assert_string_equal(tls_own_names(p.cctx, buf, sizeof(buf)),
					    "core1.example");
			assert_int_equal(tls_read(p.c, buf, sizeof(buf)), -EAGAIN);
		} else {
			assert_int_equal(tls_read(p.c, buf, sizeof(buf)), -EPROTO);
			assert_string_equal(tls_why(p.c), t[i].cwhy);
		}
		pair_close(&p);
	}
}

/* The refused client writes first, into a socket that is closed already: the alert is still what it tells. */
static void test_tls_write_after_refusal_tells_the_alert(void **state)
{
	struct tls_params s = {.cert_pem = cert_pem(&good),
			       .key_pem = cert_key(&good),
			       .ca_pem = cert_pem(&ca),
			       .require_peer = true};
	struct tls_params c = {.ca_pem = cert_pem(&ca)};
	struct pair p;

	(void)state;
	pair_open(&p, &s, &c, "gate.example");
	pair_shake(&p);
	shutdown(p.fd[0], SHUT_RD);
	assert_int_equal(tls_write(p.c, "x", 1), -EPROTO);
	assert_string_equal(tls_why(p.c), "alert received: certificate required");
	pair_close(&p);
}

static void test_tls_alpn_and_sni(void **state)
{
	static const struct {
		const char *server, *client, *agreed;
		int cret;
	} t[] = {
		{"sip", "sip", "sip", 0},
		{"http/1.1,sip", "sip,http/1.1", "http/1.1", 0}, /* the server's order */
		{"sip", NULL, "", 0},
		{NULL, "sip", "", 0},
		{"sip", "h2", "", -EPROTO},
	};
	struct pair p;
	char name[64];
	size_t i;

	(void)state;
	for (i = 0; i < sizeof(t) / sizeof(t[0]); i++) {
		struct tls_params s = {.cert_pem = cert_pem(&good),
				       .key_pem = cert_key(&good),
				       .alpn = t[i].server};
		struct tls_params c = {.ca_pem = cert_pem(&ca), .alpn = t[i].client};

		pair_open(&p, &s, &c, "gate.example");
		pair_shake(&p);
		assert_int_equal(p.cret, t[i].cret);
		if (p.cret == 0) {
			assert_string_equal(tls_alpn(p.s), t[i].agreed);
			assert_string_equal(tls_alpn(p.c), t[i].agreed);
			assert_string_equal(tls_sni(p.s), "gate.example");
			assert_string_equal(tls_cipher(p.s), tls_cipher(p.c));
			snprintf(name, sizeof(name), "%s", tls_cipher(p.s));
			assert_ptr_equal(tls_known(p.sctx, name), tls_cipher(p.s));
			assert_string_equal(tls_known(p.sctx, tls_version(p.s)), tls_version(p.s));
			assert_string_equal(tls_known(p.sctx, "AES-128-GCM"), "");
		} else {
			assert_string_equal(tls_why(p.c),
					    "alert received: no application protocol");
		}
		pair_close(&p);
	}
}

static void test_tls_no_sni_for_addresses(void **state)
{
	struct tls_params s = {.cert_pem = cert_pem(&good), .key_pem = cert_key(&good)};
	struct tls_params c = {.ca_pem = cert_pem(&ca)};
	struct pair p;

	(void)state;
	pair_open(&p, &s, &c, "192.0.2.7");
	pair_shake(&p);
	assert_int_equal(p.cret, 0);
	assert_string_equal(tls_sni(p.s), "");
	pair_close(&p);
}

static void test_tls_versions(void **state)
{
	static const struct {
		bool only13;
		int max, cret;
		const char *version;
	} t[] = {
		{false, TLS1_2_VERSION, 0, "TLSv1.2"},	{false, TLS1_3_VERSION, 0, "TLSv1.3"},
		{true, TLS1_3_VERSION, 0, "TLSv1.3"},	{true, TLS1_2_VERSION, -EPROTO, NULL},
		{false, TLS1_1_VERSION, -EPROTO, NULL},
	};
	struct pair p;
	size_t i;

	(void)state;
	for (i = 0; i < sizeof(t) / sizeof(t[0]); i++) {
		struct tls_params s = {.cert_pem = cert_pem(&good),
				       .key_pem = cert_key(&good),
				       .tls13_only = t[i].only13};
		struct tls_params c = {.ca_pem = cert_pem(&ca)};

		pair_open(&p, &s, &c, "gate.example");
		SSL_set_security_level(p.c->ssl, 0);
		SSL_set_min_proto_version(p.c->ssl, TLS1_VERSION);
		SSL_set_max_proto_version(p.c->ssl, t[i].max);
		pair_shake(&p);
		assert_int_equal(p.cret, t[i].cret);
		if (t[i].version)
			assert_string_equal(tls_version(p.c), t[i].version);
		else
			assert_int_equal(p.sret, -EPROTO);
		pair_close(&p);
	}
}

static void test_tls_bytes_partial_writes_and_pending(void **state)
{
	static uint8_t out[200000], in[200000];
	size_t put = 0, got = 0, i;
	uint8_t *moved = NULL;
	bool was_full = false;
	struct pair p;
	ssize_t n;

	(void)state;
	for (i = 0; i < sizeof(out); i++)
		out[i] = (uint8_t)(i * 7 + (i >> 9));
	pair_good(&p);
	while (got < sizeof(in)) {
		/* after -EAGAIN the same bytes come again, from another address */
		while (put < sizeof(out)) {
			free(moved);
			moved = malloc(sizeof(out) - put);
			assert_non_null(moved);
			memcpy(moved, out + put, sizeof(out) - put);
			n = tls_write(p.c, moved, sizeof(out) - put);
			if (n < 0)
				break;
			put += (size_t)n;
		}
		if (put < sizeof(out)) {
			assert_int_equal(n, -EAGAIN);
			assert_int_equal(tls_wants(p.c), POLLOUT);
			was_full = true;
		}
		n = tls_read(p.s, in + got, 1000);
		if (n == -EAGAIN) {
			assert_int_equal(tls_wants(p.s), POLLIN);
			assert_false(tls_pending(p.s));
			continue;
		}
		assert_true(n > 0);
		got += (size_t)n;
		assert_int_equal(tls_pending(p.s),
				 n == 1000 && got % 16384 != 0 && got < sizeof(in));
	}
	free(moved);
	assert_true(was_full);
	assert_memory_equal(in, out, sizeof(out));
	assert_int_equal(tls_write(p.c, "", 0), 0);
	pair_close(&p);
}

static void test_tls_ends(void **state)
{
	uint8_t b[16];
	struct pair p;

	(void)state;
	/* close_notify is a clean end, and one direction only */
	pair_good(&p);
	assert_int_equal(tls_write(p.c, "bye", 3), 3);
	assert_int_equal(tls_close_notify(p.c), 0);
	shutdown(p.fd[1], SHUT_WR);
	assert_int_equal(tls_read(p.s, b, sizeof(b)), 3);
	assert_int_equal(tls_read(p.s, b, sizeof(b)), 0);
	assert_int_equal(tls_read(p.s, b, sizeof(b)), 0);
	assert_int_equal(tls_write(p.s, "rest", 4), 4);
	assert_int_equal(tls_read(p.c, b, sizeof(b)), 4);
	assert_int_equal(tls_close_notify(p.s), 0);
	assert_int_equal(tls_read(p.c, b, sizeof(b)), 0);
	pair_close(&p);

	/* FIN without it is a truncation */
	pair_good(&p);
	assert_int_equal(tls_write(p.c, "cut", 3), 3);
	shutdown(p.fd[1], SHUT_WR);
	assert_int_equal(tls_read(p.s, b, sizeof(b)), 3);
	assert_int_equal(tls_read(p.s, b, sizeof(b)), -EPIPE);
	assert_string_equal(tls_why(p.s), "truncated: connection closed without close_notify");
	assert_int_equal(tls_close_notify(p.s), -EPIPE);
	pair_close(&p);

	/* a broken record */
	pair_good(&p);
	assert_int_equal(send(p.fd[1], "\x17\x03\x03\x00\x18garbage garbage garbage!", 29, 0), 29);
	assert_int_equal(tls_read(p.s, b, sizeof(b)), -EPROTO);
	assert_memory_equal(tls_why(p.s), "protocol error: ", 16);
	assert_int_equal(tls_read(p.c, b, sizeof(b)), -EPROTO);
	assert_string_equal(tls_why(p.c), "alert received: bad record mac");
	pair_close(&p);

	/* not TLS at all, and gone during the handshake */
	pair_good(&p);
	tls_conn_free(p.s);
	tls_conn_free(p.c);
	close(p.fd[0]);
	close(p.fd[1]);
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, p.fd), 0);
	assert_int_equal(tls_conn_new(p.sctx, p.fd[0], NULL, &p.s), 0);
	assert_int_equal(tls_conn_new(p.cctx, p.fd[1], NULL, &p.c), 0);
	assert_int_equal(send(p.fd[1], "REGISTER sip:example.org SIP/2.0\r\n", 34, 0), 34);
	assert_int_equal(tls_handshake(p.s), -EPROTO);
	assert_int_equal(tls_close_notify(p.s), -EPROTO);
	tls_conn_free(p.s);
	while (recv(p.fd[0], b, sizeof(b), 0) > 0)
		;
	assert_int_equal(tls_conn_new(p.sctx, p.fd[0], NULL, &p.s), 0);
	/* before the handshake there is nothing to close */
	assert_int_equal(tls_close_notify(p.s), -EPROTO);
	shutdown(p.fd[1], SHUT_WR);
	assert_int_equal(tls_handshake(p.s), -ECONNRESET);
	assert_string_equal(tls_why(p.s), "connection closed during the handshake");
	pair_close(&p);
}

/* What is written when the other end has closed is no reset: its FIN came first. */
static void test_tls_write_after_close(void **state)
{
	struct pair p;

	(void)state;
	pair_good(&p);
	tls_conn_free(p.c);
	p.c = NULL;
	close(p.fd[1]);
	p.fd[1] = -1;
	assert_int_equal(tls_write(p.s, "late", 4), -EPIPE);
	assert_int_not_equal(tls_why(p.s)[0], 0);
	pair_close(&p);
}

static void test_tls_no_renegotiation_no_tickets(void **state)
{
	struct tls_params s = {.cert_pem = cert_pem(&good), .key_pem = cert_key(&good)};
	struct tls_params c = {.ca_pem = cert_pem(&ca)};
	uint8_t b[16];
	struct pair p;
	int i;

	(void)state;
	for (i = 0; i < 2; i++) {
		s.tickets = c.tickets = i;
		pair_open(&p, &s, &c, "gate.example");
		pair_shake(&p);
		assert_int_equal(p.cret, 0);
		/* tickets come behind the handshake: without them not a byte is waiting */
		assert_int_equal(recv(p.fd[1], b, 1, MSG_PEEK) > 0, i);
		pair_close(&p);
	}
	pair_open(&p, &s, &c, "gate.example");
	SSL_set_max_proto_version(p.c->ssl, TLS1_2_VERSION);
	pair_shake(&p);
	assert_int_equal(p.cret, 0);
	SSL_clear_options(p.c->ssl, SSL_OP_NO_RENEGOTIATION);
	assert_int_equal(SSL_renegotiate(p.c->ssl), 1);
	SSL_do_handshake(p.c->ssl);
	assert_int_equal(tls_read(p.s, b, sizeof(b)),
			 -EAGAIN); /* answered by a warning alert, not by a handshake */
	assert_int_equal(SSL_num_renegotiations(p.s->ssl), 0);
	ERR_clear_error();
	pair_close(&p);
}

static void test_tls_bad_pem(void **state)
{
	static const char junk[] = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n";
	char locked[4096], why[TLS_WHY_MAX];
	struct tls_ctx *c = NULL;
	EVP_PKEY *key = EVP_EC_gen("P-256");
	BIO *bio = BIO_new(BIO_s_mem());
	size_t i;
	int n;

	(void)state;
	assert_int_equal(PEM_write_bio_PrivateKey(bio, key, EVP_aes_128_cbc(),
						  (unsigned char *)"pw", 2, NULL, NULL),
			 1);
	n = BIO_read(bio, locked, sizeof(locked));
	assert_true(n > 0);
	BIO_free(bio);
	EVP_PKEY_free(key);
	{
		const struct {
			struct tls_params p;
			const char *why;
		} t[] = {
			{{.server = true}, "certificate: "},
			{{.server = true, .cert_pem = SPAN("hello"), .key_pem = cert_key(&good)},
			 "certificate: "},
			{{.cert_pem = span_of(junk, sizeof(junk) - 1), .key_pem = cert_key(&good)},
			 "certificate: "},
			{{.cert_pem = cert_pem(&good)}, "key: "},
			{{.cert_pem = cert_pem(&good), .key_pem = cert_key(&client)},
			 "key does not belong to the certificate: "},
			{{.cert_pem = cert_pem(&good), .key_pem = span_of(locked, (size_t)n)},
			 "key: "}, /* no prompt */
			{{.ca_pem = SPAN("none here")}, "CA: "},
			{{.server = true,
			  .cert_pem = cert_pem(&good),
			  .key_pem = cert_key(&good),
			  .require_peer = true},
			 "CA: needed"},
			{{.alpn = "a,,b"}, "alpn: "},
		};

		for (i = 0; i < sizeof(t) / sizeof(t[0]); i++) {
			assert_int_equal(tls_ctx_new(&t[i].p, &c, why), -EINVAL);
			assert_memory_equal(why, t[i].why, strlen(t[i].why));
		}
	}
	assert_null(c);
	assert_int_equal(ERR_peek_error(), 0);
}

/* A peer's names are cut to the room there is, and cannot carry control characters into a log line. */
static void test_tls_names_are_safe(void **state)
{
	struct cert odd;
	char buf[16];
	struct tls_params p = {.server = true};
	struct tls_ctx *c;

	(void)state;
	cert_make(&ca, "odd", "DNS:a\x01\"b c.example,DNS:second.example", false, &odd);
	p.cert_pem = cert_pem(&odd);
	p.key_pem = cert_key(&odd);
	c = ctx_make(&p);
	assert_string_equal(tls_own_names(c, buf, sizeof(buf)), "a?\"b?c.example");
	assert_string_equal(tls_own_names(c, buf, 4), "a?\"");
	assert_string_equal(tls_own_names(c, buf, 1), "");
	tls_ctx_free(c);
}

/* A pair on TCP: the ticket of TLS 1.3 waits for the server's first bytes and goes with them. */
static void tcp_pair(int fd[2])
{
	struct sockaddr_in a = {.sin_family = AF_INET, .sin_addr = {htonl(INADDR_LOOPBACK)}};
	socklen_t n = sizeof(a);
	int l = socket(AF_INET, SOCK_STREAM, 0), i, one = 1;

	assert_int_equal(bind(l, (struct sockaddr *)&a, n), 0);
	assert_int_equal(listen(l, 1), 0);
	assert_int_equal(getsockname(l, (struct sockaddr *)&a, &n), 0);
	fd[1] = socket(AF_INET, SOCK_STREAM, 0);
	assert_int_equal(connect(fd[1], (struct sockaddr *)&a, n), 0);
	fd[0] = accept(l, NULL, NULL);
	close(l);
	for (i = 0; i < 2; i++) {
		assert_int_equal(fcntl(fd[i], F_SETFL, O_NONBLOCK), 0);
		setsockopt(fd[i], IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
	}
}

static unsigned segments(int fd)
{
	struct tcp_info t = {};
	socklen_t n = sizeof(t);

	assert_int_equal(getsockopt(fd, IPPROTO_TCP, TCP_INFO, &t, &n), 0);
	return t.tcpi_data_segs_out;
}

static void test_tls_ticket_goes_with_the_answer(void **state)
{
	struct tls_params s = {.tickets = true}, c = {.ca_pem = cert_pem(&ca)};
	struct pair p;
	char b[16];
	int i;

	(void)state;
	s.cert_pem = cert_pem(&good);
	s.key_pem = cert_key(&good);
	pair_open(&p, &s, &c, "gate.example");
	tls_conn_free(p.s);
	tls_conn_free(p.c);
	close(p.fd[0]);
	close(p.fd[1]);
	tcp_pair(p.fd);
	assert_int_equal(tls_conn_new(p.sctx, p.fd[0], NULL, &p.s), 0);
	assert_int_equal(tls_conn_new(p.cctx, p.fd[1], "gate.example", &p.c), 0);
	for (i = 0; i < 10000 && (p.sret == -EAGAIN || p.cret == -EAGAIN); i++) {
		p.cret = p.cret ? tls_handshake(p.c) : 0;
		p.sret = p.sret ? tls_handshake(p.s) : 0;
	}
	assert_int_equal(p.sret, 0);
	assert_int_equal(p.cret, 0);
	assert_int_equal(tls_write(p.s, "answer", 6), 6);
	assert_int_equal(segments(p.fd[0]), 2); /* one flight of the handshake; ticket and answer */
	while (tls_read(p.c, b, sizeof(b)) == -EAGAIN)
		;
	assert_memory_equal(b, "answer", 6);
	pair_close(&p);
}

static int certs_make(void **state)
{
	(void)state;
	cert_make_ca("test CA", &ca);
	cert_make_ca("other CA", &other_ca);
	cert_make(&ca, "gate", "DNS:gate.example,DNS:*.wild.example,IP:192.0.2.7,IP:2001:db8::7",
		  false, &good);
	cert_make(&ca, "gate", "DNS:gate.example", true, &expired);
	cert_make(&ca, "gate.example", NULL, false, &cn_only);
	cert_make(&ca, "client", "DNS:core1.example", false, &client);
	cert_make(&other_ca, "gate", "DNS:gate.example", false, &foreign);
	return 0;
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_tls_names_checked_by_the_client),
		cmocka_unit_test(test_tls_client_certificates),
		cmocka_unit_test(test_tls_write_after_refusal_tells_the_alert),
		cmocka_unit_test(test_tls_alpn_and_sni),
		cmocka_unit_test(test_tls_no_sni_for_addresses),
		cmocka_unit_test(test_tls_versions),
		cmocka_unit_test(test_tls_bytes_partial_writes_and_pending),
		cmocka_unit_test(test_tls_ends),
		cmocka_unit_test(test_tls_write_after_close),
		cmocka_unit_test(test_tls_no_renegotiation_no_tickets),
		cmocka_unit_test(test_tls_bad_pem),
		cmocka_unit_test(test_tls_names_are_safe),
		cmocka_unit_test(test_tls_ticket_goes_with_the_answer),
	};

	signal(SIGPIPE, SIG_IGN);
	return cmocka_run_group_tests(tests, certs_make, NULL);
}
