/* selftests/unit/test_ktls.c -- the climb to kernel TLS against OpenSSL on the other end, on TCP over 127.0.0.1.
 *
 * Where the kernel has no TLS (its module, or CONFIG_TLS) each connection must stay with OpenSSL, say why, and carry the same bytes. With
 * KTLS_EXPECT=1 in the environment (selftests/vm) that is a failure. Each case prints the rung it was on; /proc/net/tls_stat is the
 * kernel's word for it. KTLS_MIB: how much goes each way in the bulk case (default 1). */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>
#include <cmocka.h>

#include "selftests/unit/certs.h"
#include "user/ktls_policy.h"
#include "user/tls_impl.h"

static struct cert ca, leaf;
static struct ktls_probe probe;
static bool kernel; /* rung A is expected */

struct suite {
	enum ktls_version v;
	enum ktls_cipher c;
	const char *name;
};
static const struct suite suites[] = {
	{KTLS_1_2, KTLS_AES_128_GCM, "ECDHE-ECDSA-AES128-GCM-SHA256"},
	{KTLS_1_2, KTLS_AES_256_GCM, "ECDHE-ECDSA-AES256-GCM-SHA384"},
	{KTLS_1_2, KTLS_CHACHA20, "ECDHE-ECDSA-CHACHA20-POLY1305"},
	{KTLS_1_3, KTLS_AES_128_GCM, "TLS_AES_128_GCM_SHA256"},
	{KTLS_1_3, KTLS_AES_256_GCM, "TLS_AES_256_GCM_SHA384"},
	{KTLS_1_3, KTLS_CHACHA20, "TLS_CHACHA20_POLY1305_SHA256"},
};
#define N(a) (sizeof(a) / sizeof((a)[0]))

/* Ours is user/tls*; theirs is bare OpenSSL. Both nonblocking. */
struct pair {
	struct tls_ctx *ctx;
	struct tls_conn *ours;
	SSL_CTX *octx;
	SSL *theirs;
	int fd[2]; /* ours, theirs */
};

static void tcp_pair(int fd[2])
{
	struct sockaddr_in a = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	socklen_t n = sizeof(a);
	int l = socket(AF_INET, SOCK_STREAM, 0), i, mss = 1400;

	fd[1] = socket(AF_INET, SOCK_STREAM, 0);
	assert_true(l >= 0 && fd[1] >= 0);
	/* As on a wire: with loopback's segments a small buffer would wait for window probes. */
	setsockopt(l, IPPROTO_TCP, TCP_MAXSEG, &mss, sizeof(mss));
	setsockopt(fd[1], IPPROTO_TCP, TCP_MAXSEG, &mss, sizeof(mss));
	assert_int_equal(bind(l, (struct sockaddr *)&a, n), 0);
	assert_int_equal(listen(l, 1), 0);
	assert_int_equal(getsockname(l, (struct sockaddr *)&a, &n), 0);
	assert_int_equal(connect(fd[1], (struct sockaddr *)&a, n), 0);
	fd[0] = accept(l, NULL, NULL);
	assert_true(fd[0] >= 0);
	close(l);
	for (i = 0; i < 2; i++)
		assert_int_equal(fcntl(fd[i], F_SETFL, O_NONBLOCK), 0);
}

/* A counter of /proc/net/tls_stat; -1 without the file. */
static long tls_stat(const char *name)
{
	char key[64];
	long v, found = -1;
	FILE *f = fopen("/proc/net/tls_stat", "r");

	while (f && fscanf(f, "%63s %ld", key, &v) == 2)
		if (strcmp(key, name) == 0)
			found = v;
	if (f)
		fclose(f);
	return found;
}

static void pair_open(struct pair *p, const struct suite *s, bool server, bool tickets)
{
	struct tls_params tp = {.server = server, .tickets = tickets, .kernel = &probe};
	char why[TLS_WHY_MAX] = "";
	const SSL_METHOD *m = server ? TLS_client_method() : TLS_server_method();
	int version = s->v == KTLS_1_3 ? TLS1_3_VERSION : TLS1_2_VERSION;
	BIO *b;
	X509 *cert;
	EVP_PKEY *key;

	*p = (struct pair){};
	tcp_pair(p->fd);
	if (server) {
		tp.cert_pem = cert_pem(&leaf);
		tp.key_pem = cert_key(&leaf);
	} else {
		tp.ca_pem = cert_pem(&ca);
	}
	if (tls_ctx_new(&tp, &p->ctx, why))
		fail_msg("%s", why);
	if (server && tickets) /* more than we send ourselves */
		SSL_CTX_set_num_tickets(p->ctx->ssl, 2);
	p->octx = SSL_CTX_new(m);
	assert_non_null(p->octx);
	SSL_CTX_set_min_proto_version(p->octx, version);
	SSL_CTX_set_max_proto_version(p->octx, version);
	assert_int_equal(s->v == KTLS_1_3 ? SSL_CTX_set_ciphersuites(p->octx, s->name)
					  : SSL_CTX_set_cipher_list(p->octx, s->name),
			 1);
	if (!server) {
		b = BIO_new_mem_buf(leaf.cert, (int)leaf.n_cert);
		cert = PEM_read_bio_X509(b, NULL, NULL, NULL);
		BIO_free(b);
		b = BIO_new_mem_buf(leaf.key, (int)leaf.n_key);
		key = PEM_read_bio_PrivateKey(b, NULL, NULL, NULL);
		BIO_free(b);
		assert_int_equal(SSL_CTX_use_certificate(p->octx, cert), 1);
		assert_int_equal(SSL_CTX_use_PrivateKey(p->octx, key), 1);
		X509_free(cert);
		EVP_PKEY_free(key);
		SSL_CTX_set_num_tickets(p->octx, tickets ? 2 : 0);
	}
	p->theirs = SSL_new(p->octx);
	assert_int_equal(SSL_set_fd(p->theirs, p->fd[1]), 1);
	(server ? SSL_set_connect_state : SSL_set_accept_state)(p->theirs);
	assert_int_equal(tls_conn_new(p->ctx, p->fd[0], server ? NULL : "gate.example", &p->ours),
			 0);
}

static void pair_close(struct pair *p)
{
	tls_conn_free(p->ours);
	tls_ctx_free(p->ctx);
	SSL_free(p->theirs);
	SSL_CTX_free(p->octx);
	close(p->fd[0]);
	close(p->fd[1]);
}

static void wait_for(int fd, short events)
{
	struct pollfd p = {.fd = fd, .events = events};

	assert_int_equal(poll(&p, 1, 5000), 1);
}

static void pair_shake(struct pair *p)
{
	int i, ours = -EAGAIN, theirs = 0;

	for (i = 0; i < 1000 && (ours || theirs != 1); i++) {
		if (theirs != 1)
			theirs = SSL_do_handshake(p->theirs);
		if (ours == -EAGAIN)
			ours = tls_handshake(p->ours);
	}
	assert_int_equal(ours, 0);
	assert_int_equal(theirs, 1);
}

static const char *rung_name(struct pair *p)
{
	static const char *const names[] = {"A", "B", "C"};

	return names[tls_rung(p->ours)];
}

/* Climb; as far as it is expected. */
static void pair_climb(struct pair *p, const struct suite *s, bool tx_only)
{
	enum tls_rung want = !kernel ? TLS_RUNG_C : tx_only ? TLS_RUNG_B : TLS_RUNG_A;
	const char *why = NULL;
	int ret = tls_climb(p->ours, tx_only, &why);

	print_message("    %s %s: rung %s%s%s\n", ktls_version_name(s->v), ktls_cipher_name(s->c),
		      rung_name(p), ret ? ": " : "", ret && why ? why : "");
	assert_int_equal(tls_rung(p->ours), want);
	assert_int_equal(ret == 0, kernel);
	assert_true(!ret || why);
}

static void theirs_write(struct pair *p, const char *text)
{
	assert_int_equal(SSL_write(p->theirs, text, (int)strlen(text)), (int)strlen(text));
}

static void ours_reads(struct pair *p, const char *text)
{
	char buf[256];
	size_t n = 0;
	ssize_t ret;

	while (n < strlen(text)) {
		ret = tls_read(p->ours, buf + n, sizeof(buf) - n);
		if (ret == -EAGAIN) {
			wait_for(p->fd[0], POLLIN);
			continue;
		}
		if (ret <= 0)
			fail_msg("read gave %zd: %s", ret, tls_why(p->ours));
		n += (size_t)ret;
	}
	assert_int_equal(n, strlen(text));
	assert_memory_equal(buf, text, n);
}

static void ours_write(struct pair *p, const char *text)
{
	ssize_t ret = tls_write(p->ours, text, strlen(text));

	if (ret != (ssize_t)strlen(text))
		fail_msg("write gave %zd: %s", ret, tls_why(p->ours));
}

static void theirs_reads(struct pair *p, const char *text)
{
	char buf[256];
	size_t n = 0;
	int ret;

	while (n < strlen(text)) {
		ret = SSL_read(p->theirs, buf + n, (int)(sizeof(buf) - n));
		if (ret <= 0) {
			assert_int_equal(SSL_get_error(p->theirs, ret), SSL_ERROR_WANT_READ);
			wait_for(p->fd[1], POLLIN);
			continue;
		}
		n += (size_t)ret;
	}
	assert_memory_equal(buf, text, n);
}

/* What a read of ours ends with, after waiting for it. */
static ssize_t ours_end(struct pair *p)
{
	char buf[64];
	ssize_t ret;

	while ((ret = tls_read(p->ours, buf, sizeof(buf))) == -EAGAIN)
		wait_for(p->fd[0], POLLIN);
	return ret;
}

static void both_ways(struct pair *p)
{
	theirs_write(p, "from them");
	ours_reads(p, "from them");
	ours_write(p, "from us");
	theirs_reads(p, "from us");
}

/* ---- cases ---- */

static void test_ktls_probe_is_told(void **state)
{
	char why[KTLS_WHY_MAX], text[512] = "";
	json_t *j = ktls_show(&probe);
	enum ktls_mode mode;
	int ret;

	(void)state;
	print_message("    ulp: %s\n", probe.ulp ? strerrorname_np(probe.ulp) : "works");
	ktls_why(&probe, KTLS_1_3, KTLS_AES_128_GCM, KTLS_TX, why);
	ret = ktls_policy("sip.ktls", "on", &probe, &mode, text, sizeof(text));
	if (kernel) {
		assert_string_equal(why, "");
		assert_int_equal(json_array_size(json_object_get(j, "rung_a")), N(suites));
		assert_int_equal(json_array_size(json_object_get(j, "missing")), 0);
		assert_int_equal(ret, 0);
		assert_int_equal(mode, KTLS_MODE_BOTH);
	} else {
		assert_true(strlen(why) > 10);
		assert_int_equal(json_array_size(json_object_get(j, "rung_a")), 0);
		assert_int_equal(json_array_size(json_object_get(j, "missing")), 1);
		assert_int_equal(ret, -EOPNOTSUPP);
		assert_memory_equal(text, "sip.ktls: on, but ", 18);
		assert_non_null(strstr(text, why));
	}
	assert_int_equal(ktls_policy("sip.ktls", "auto", &probe, &mode, text, sizeof(text)), 0);
	assert_int_equal(mode, kernel ? KTLS_MODE_BOTH : KTLS_MODE_OFF);
	assert_int_equal(ktls_policy("sip.ktls", "off", &probe, &mode, text, sizeof(text)), 0);
	assert_int_equal(mode, KTLS_MODE_OFF);
	json_decref(j);
}

/* Both roles, with and without tickets, bytes before the climb and after it; the kernel counts as many as climbed. */
static void test_ktls_suites(void **state)
{
	long tx = tls_stat("TlsCurrTxSw"), rx = tls_stat("TlsCurrRxSw");
	struct pair p;
	size_t i;
	int k;

	(void)state;
	for (i = 0; i < N(suites); i++)
		for (k = 0; k < 8; k++) {
			pair_open(&p, &suites[i], k & 1, k & 2);
			pair_shake(&p);
			if (k & 4)
				both_ways(&p);
			pair_climb(&p, &suites[i], false);
			assert_int_equal(tls_stat("TlsCurrTxSw") - tx, kernel);
			assert_int_equal(tls_stat("TlsCurrRxSw") - rx, kernel);
			assert_string_equal(tls_version(p.ours), ktls_version_name(suites[i].v));
			assert_string_equal(tls_cipher(p.ours), suites[i].name);
			both_ways(&p);
			both_ways(&p);
			assert_int_equal(SSL_shutdown(p.theirs), 0);
			assert_int_equal(ours_end(&p), 0);
			ours_write(&p, "half-closed");
			theirs_reads(&p, "half-closed");
			assert_int_equal(tls_close_notify(p.ours), 0);
			wait_for(p.fd[1], POLLIN);
			assert_int_equal(SSL_shutdown(p.theirs), 1);
			pair_close(&p);
		}
}

/* The peer's first bytes lie behind its Finished in the same queue. */
static void test_ktls_data_with_finished(void **state)
{
	struct pair p;
	size_t i;
	int n;

	(void)state;
	for (i = 0; i < N(suites); i++) {
		pair_open(&p, &suites[i], true, true);
		for (n = 0; n < 100 && SSL_do_handshake(p.theirs) != 1; n++) {
			if (suites[i].v == KTLS_1_2 || n == 0)
				tls_handshake(p.ours);
		}
		assert_int_equal(SSL_is_init_finished(p.theirs), 1);
		theirs_write(&p, "at once");
		while (tls_handshake(p.ours) == -EAGAIN)
			wait_for(p.fd[0], POLLIN);
		pair_climb(&p, &suites[i], false);
		ours_reads(&p, "at once");
		both_ways(&p);
		pair_close(&p);
	}
}

/* A record of which OpenSSL has read a part stays its own until the rest is there. */
static void test_ktls_waits_for_a_half_record(void **state)
{
	static const size_t parts[] = {3, 5, 12}; /* a header is 5 bytes */
	size_t part;
	uint8_t wire[512];
	const char *why = NULL;
	char buf[64];
	struct pair p;
	BIO *out;
	size_t i;
	int n;

	(void)state;
	for (i = 0; i < N(suites) * N(parts); i++) {
		part = parts[i % N(parts)];
		pair_open(&p, &suites[i / N(parts)], true, false);
		pair_shake(&p);
		out = BIO_new(BIO_s_mem());
		SSL_set0_wbio(p.theirs, out);
		theirs_write(&p, "two parts");
		n = BIO_read(out, wire, sizeof(wire));
		assert_true(n > 20);
		assert_int_equal(write(p.fd[1], wire, part), part);
		wait_for(p.fd[0], POLLIN);
		assert_int_equal(tls_read(p.ours, buf, sizeof(buf)), -EAGAIN);
		assert_int_equal(tls_climb(p.ours, false, &why), kernel ? -EAGAIN : -ENOTSUP);
		if (kernel)
			assert_string_equal(why, "a record is half read");
		assert_int_equal(write(p.fd[1], wire + part, (size_t)n - part), n - (int)part);
		ours_reads(&p, "two parts");
		pair_climb(&p, &suites[i / N(parts)], false);
		theirs_write(&p, "and one more");
		n = BIO_read(out, wire, sizeof(wire));
		assert_int_equal(write(p.fd[1], wire, (size_t)n), n);
		ours_reads(&p, "and one more");
		pair_close(&p);
	}
}

/* Rung B: the kernel sends, OpenSSL reads. */
static void test_ktls_sending_only(void **state)
{
	long tx = tls_stat("TlsCurrTxSw"), rx = tls_stat("TlsCurrRxSw");
	struct pair p;
	size_t i;
	int k;

	(void)state;
	for (i = 0; i < N(suites); i++)
		for (k = 0; k < 2; k++) {
			pair_open(&p, &suites[i], k, true);
			pair_shake(&p);
			both_ways(&p);
			pair_climb(&p, &suites[i], true);
			assert_int_equal(tls_stat("TlsCurrTxSw") - tx, kernel);
			assert_int_equal(tls_stat("TlsCurrRxSw") - rx, 0);
			both_ways(&p);
			if (suites[i].v == KTLS_1_3) {
				assert_int_equal(
					SSL_key_update(p.theirs, SSL_KEY_UPDATE_NOT_REQUESTED), 1);
				both_ways(&p);
			}
			assert_int_equal(SSL_shutdown(p.theirs), 0);
			assert_int_equal(ours_end(&p), 0);
			assert_int_equal(tls_close_notify(p.ours), 0);
			wait_for(p.fd[1], POLLIN);
			assert_int_equal(SSL_shutdown(p.theirs), 1);
			pair_close(&p);
		}
}

/* KeyUpdate of both kinds, many times; a kernel that keeps its first keys ends the connection and says why. */
static void test_ktls_key_update(void **state)
{
	static const int kinds[] = {SSL_KEY_UPDATE_NOT_REQUESTED, SSL_KEY_UPDATE_REQUESTED};
	struct pair p;
	size_t i;
	bool follows;
	int k, n, tx_only;

	(void)state;
	for (i = 0; i < N(suites); i++)
		for (k = 0; k < 4 && suites[i].v == KTLS_1_3; k++) {
			tx_only = k >> 1;
			follows = !kernel || !probe.of[KTLS_1_3][suites[i].c].rekey ||
				  (tx_only && kinds[k & 1] == SSL_KEY_UPDATE_NOT_REQUESTED);
			pair_open(&p, &suites[i], true, true);
			pair_shake(&p);
			pair_climb(&p, &suites[i], tx_only);
			for (n = 0; n < 20 && follows; n++) {
				assert_int_equal(SSL_key_update(p.theirs, kinds[k & 1]), 1);
				both_ways(&p);
				both_ways(&p);
			}
			if (!follows) {
				print_message("      this kernel takes no new keys: ");
				assert_int_equal(SSL_key_update(p.theirs, kinds[k & 1]), 1);
				theirs_write(&p, "lost");
				assert_int_equal(ours_end(&p), -EKEYEXPIRED);
				print_message("%s\n", tls_why(p.ours));
				assert_non_null(strstr(tls_why(p.ours), "keys"));
				assert_int_equal(tls_read(p.ours, &n, sizeof(n)), -EKEYEXPIRED);
			} else if (kernel && !tx_only) {
				assert_int_equal(tls_kernel(p.ours)->rekeys[KTLS_RX], 20);
				assert_int_equal(tls_kernel(p.ours)->rekeys[KTLS_TX],
						 kinds[k & 1] == SSL_KEY_UPDATE_REQUESTED ? 20 : 0);
			}
			pair_close(&p);
		}
}

/* Ends that are none, before and after data. */
static void test_ktls_ends(void **state)
{
	static const struct linger rst = {.l_onoff = 1};
	struct pair p;
	size_t i;
	int k;

	(void)state;
	for (i = 0; i < N(suites); i++)
		for (k = 0; k < 8; k++) {
			pair_open(&p, &suites[i], k & 1, false);
			pair_shake(&p);
			pair_climb(&p, &suites[i], false);
			if (k >= 2 && k < 6)
				theirs_write(&p, "data");
			if (k >= 4) {
				if (k < 6)
					ours_reads(&p, "data");
				setsockopt(p.fd[1], SOL_SOCKET, SO_LINGER, &rst, sizeof(rst));
				close(p.fd[1]);
				p.fd[1] = dup(p.fd[0]);
				assert_int_equal(ours_end(&p), -ECONNRESET);
			} else {
				shutdown(p.fd[1], SHUT_WR);
				if (k >= 2)
					ours_reads(&p, "data");
				assert_int_equal(ours_end(&p), -EPIPE);
				assert_string_equal(
					tls_why(p.ours),
					"truncated: connection closed without close_notify");
			}
			SSL_set_quiet_shutdown(p.theirs, 1);
			pair_close(&p);
		}
}

/* A flipped bit in each place of a record: nothing of it comes out. */
static void test_ktls_flipped_bits(void **state)
{
	uint8_t wire[512];
	char buf[64];
	struct pair p;
	BIO *out;
	size_t i;
	ssize_t ret;
	int n, at;

	(void)state;
	for (i = 0; i < N(suites); i++)
		for (at = 0; at < 40; at += 3) {
			pair_open(&p, &suites[i], true, false);
			pair_shake(&p);
			out = BIO_new(BIO_s_mem());
			SSL_set0_wbio(p.theirs, out);
			if (!at)
				pair_climb(&p, &suites[i], false);
			else if (kernel)
				assert_int_equal(tls_climb(p.ours, false, &(const char *){NULL}),
						 0);
			theirs_write(&p, "never to be seen");
			n = BIO_read(out, wire, sizeof(wire));
			assert_true(n > 20);
			wire[at % n] ^= 1;
			assert_int_equal(write(p.fd[1], wire, (size_t)n), n);
			/* A length that grew waits for more: give it. */
			assert_int_equal(write(p.fd[1], wire, (size_t)n), n);
			shutdown(p.fd[1], SHUT_WR);
			wait_for(p.fd[0], POLLIN);
			while ((ret = tls_read(p.ours, buf, sizeof(buf))) == -EAGAIN)
				usleep(1000);
			/* The kernel does not look at the outer type of TLS 1.3, which says nothing: what it gives out is authentic. */
			if (kernel && !at && suites[i].v == KTLS_1_3 && ret > 0) {
				assert_int_equal(ret, 16);
				assert_memory_equal(buf, "never to be seen", 16);
			} else {
				if (ret >= 0)
					fail_msg("byte %d: read gave %zd", at, ret);
				assert_true(*tls_why(p.ours));
			}
			pair_close(&p);
		}
}

/* Records by hand, from an end that is in the kernel, too. */
static void record_put(int fd, uint8_t type, const void *bytes, size_t n)
{
	union {
		struct cmsghdr align;
		uint8_t room[CMSG_SPACE(1)];
	} control = {};
	struct iovec iov = {.iov_base = (void *)(uintptr_t)bytes, .iov_len = n};
	struct msghdr m = {.msg_iov = &iov,
			   .msg_iovlen = 1,
			   .msg_control = &control,
			   .msg_controllen = sizeof(control.room)};
	struct cmsghdr *c = CMSG_FIRSTHDR(&m);

	c->cmsg_level = 282;
	c->cmsg_type = 1;
	c->cmsg_len = CMSG_LEN(1);
	*CMSG_DATA(c) = type;
	assert_int_equal(sendmsg(fd, &m, 0), (ssize_t)n);
}

struct hand {
	struct tls_ctx *sctx, *cctx;
	struct tls_conn *s, *c;
	int fd[2];
};

static void hand_open(struct hand *h)
{
	struct tls_params sp = {.server = true,
				.cert_pem = cert_pem(&leaf),
				.key_pem = cert_key(&leaf),
				.kernel = &probe};
	struct tls_params cp = {.ca_pem = cert_pem(&ca), .kernel = &probe};
	char why[TLS_WHY_MAX];
	const char *w;
	int i, s = -EAGAIN, c = -EAGAIN;

	tcp_pair(h->fd);
	assert_int_equal(tls_ctx_new(&sp, &h->sctx, why), 0);
	assert_int_equal(tls_ctx_new(&cp, &h->cctx, why), 0);
	assert_int_equal(tls_conn_new(h->sctx, h->fd[0], NULL, &h->s), 0);
	assert_int_equal(tls_conn_new(h->cctx, h->fd[1], "gate.example", &h->c), 0);
	for (i = 0; i < 1000 && (s || c); i++) {
		if (c)
			c = tls_handshake(h->c);
		if (s)
			s = tls_handshake(h->s);
	}
	assert_int_equal(s | c, 0);
	assert_int_equal(tls_climb(h->s, false, &w), 0);
	assert_int_equal(tls_climb(h->c, false, &w), 0);
}

static void hand_close(struct hand *h)
{
	tls_conn_free(h->s);
	tls_conn_free(h->c);
	tls_ctx_free(h->sctx);
	tls_ctx_free(h->cctx);
	close(h->fd[0]);
	close(h->fd[1]);
}

static ssize_t hand_read(struct hand *h, char *buf, size_t n)
{
	ssize_t ret;

	while ((ret = tls_read(h->s, buf, n)) == -EAGAIN)
		wait_for(h->fd[0], POLLIN);
	return ret;
}

static void test_ktls_control_records(void **state)
{
	static const uint8_t canceled[] = {1, 90}, fatal[] = {2, 80}, closing[] = {1, 0};
	static const uint8_t ticket[] = {4, 0, 0, 3, 1, 2, 3}, hello[] = {1, 0, 0, 1, 0};
	static const struct {
		uint8_t type;
		const void *bytes;
		size_t n;
		int ret;
		const char *why;
	} bad[] = {
		{21, fatal, 2, -EPROTO, "alert received: internal error"},
		{22, hello, 5, -EPROTO, "a handshake message that has no place here"},
		{24, hello, 5, -EPROTO, "a record of an unknown type"},
		{21, closing, 2, 0, ""},
	};
	char buf[64];
	struct hand h;
	size_t i;

	(void)state;
	if (!kernel)
		skip();
	hand_open(&h);
	for (i = 0; i < 200; i++) {
		assert_int_equal(tls_write(h.c, "data", 4), 4);
		record_put(h.fd[1], i & 1 ? 21 : 22, i & 1 ? canceled : ticket, i & 1 ? 2 : 7);
		record_put(h.fd[1], 23, "", 0);
	}
	for (i = 0; i < 200; i++) {
		assert_int_equal(hand_read(&h, buf, 4), 4);
		assert_memory_equal(buf, "data", 4);
	}
	/* A ticket in pieces. */
	for (i = 0; i < sizeof(ticket); i++)
		record_put(h.fd[1], 22, ticket + i, 1);
	assert_int_equal(tls_write(h.c, "more", 4), 4);
	assert_int_equal(hand_read(&h, buf, sizeof(buf)), 4);
	/* Without end it is no peer but a load. */
	for (i = 0; i < 40; i++)
		record_put(h.fd[1], 21, canceled, 2);
	assert_int_equal(hand_read(&h, buf, sizeof(buf)), -EPROTO);
	assert_string_equal(tls_why(h.s), "too many records without data in a row");
	hand_close(&h);
	for (i = 0; i < N(bad); i++) {
		hand_open(&h);
		assert_int_equal(tls_write(h.c, "ok", 2), 2);
		record_put(h.fd[1], bad[i].type, bad[i].bytes, bad[i].n);
		assert_int_equal(hand_read(&h, buf, sizeof(buf)), 2);
		assert_int_equal(hand_read(&h, buf, sizeof(buf)), bad[i].ret);
		assert_string_equal(tls_why(h.s), bad[i].why);
		hand_close(&h);
	}
}

/* Another process would take the descriptor and struct ktls. */
static void test_ktls_adopted(void **state)
{
	struct tls_conn *heir;
	struct ktls *copy;
	struct pair p;
	size_t i;

	(void)state;
	if (!kernel)
		skip();
	for (i = 0; i < N(suites); i++) {
		pair_open(&p, &suites[i], true, true);
		pair_shake(&p);
		pair_climb(&p, &suites[i], false);
		both_ways(&p);
		if (suites[i].v == KTLS_1_3 && !probe.of[KTLS_1_3][suites[i].c].rekey) {
			assert_int_equal(SSL_key_update(p.theirs, SSL_KEY_UPDATE_REQUESTED), 1);
			both_ways(&p);
		}
		copy = ktls_new();
		assert_non_null(copy);
		ktls_copy(copy, tls_kernel(p.ours));
		tls_conn_free(p.ours);
		assert_int_equal(tls_conn_adopt(p.ctx, p.fd[0], copy, &heir), 0);
		ktls_wipe(copy);
		free(copy);
		p.ours = heir;
		both_ways(&p);
		if (suites[i].v == KTLS_1_3 && !probe.of[KTLS_1_3][suites[i].c].rekey) {
			assert_int_equal(SSL_key_update(p.theirs, SSL_KEY_UPDATE_REQUESTED), 1);
			both_ways(&p);
		}
		assert_int_equal(SSL_shutdown(p.theirs), 0);
		assert_int_equal(ours_end(&p), 0);
		pair_close(&p);
	}
}

/* The record limit: new keys where the kernel takes them, else the end with its reason. */
static void test_ktls_record_limit(void **state)
{
	struct pair p;
	size_t i;

	(void)state;
	if (!kernel)
		skip();
	for (i = 0; i < N(suites); i++) {
		pair_open(&p, &suites[i], true, true);
		pair_shake(&p);
		pair_climb(&p, &suites[i], false);
		both_ways(&p);
		tls_kernel(p.ours)->records = KTLS_RECORDS_MAX - 2;
		both_ways(&p);
		if (tls_kernel(p.ours)->rekey) {
			both_ways(&p);
			assert_int_equal(tls_kernel(p.ours)->rekeys[KTLS_TX], 1);
			both_ways(&p);
		} else {
			assert_int_equal(tls_write(p.ours, "x", 1), -EKEYEXPIRED);
			assert_non_null(strstr(tls_why(p.ours), "one key may protect"));
		}
		pair_close(&p);
	}
}

/* ---- bulk ---- */

static uint8_t pattern(uint64_t at)
{
	return (uint8_t)(at * 131 + (at >> 8) * 7 + (at >> 16));
}

static void bulk(struct pair *p, uint64_t total)
{
	static uint8_t out[40000], in[70000];
	uint64_t sent[2] = {}, got[2] = {}, i;
	ssize_t ret;
	size_t n;

	while (got[0] < total || got[1] < total) {
		struct pollfd pf[2] = {{.fd = p->fd[0], .events = POLLIN},
				       {.fd = p->fd[1], .events = POLLIN}};

		n = total - sent[0] < sizeof(out) ? (size_t)(total - sent[0]) : sizeof(out);
		for (i = 0; i < n; i++)
			out[i] = pattern(sent[0] + i);
		ret = n ? tls_write(p->ours, out, n) : -EAGAIN;
		if (ret != -EAGAIN && ret <= 0)
			fail_msg("write gave %zd: %s", ret, tls_why(p->ours));
		sent[0] += ret > 0 ? (uint64_t)ret : 0;
		n = total - sent[1] < 16384 ? (size_t)(total - sent[1]) : 16384;
		for (i = 0; i < n; i++)
			out[i] = pattern(~(sent[1] + i));
		ret = n ? SSL_write(p->theirs, out, (int)n) : 0;
		sent[1] += ret > 0 ? (uint64_t)ret : 0;
		poll(pf, 2, 10);
		while ((ret = tls_read(p->ours, in, 1 + (size_t)(got[0] * 7919 % sizeof(in)))) >
		       0) {
			for (i = 0; i < (uint64_t)ret; i++)
				if (in[i] != pattern(~(got[0] + i)))
					fail_msg("byte %llu from them is wrong",
						 (unsigned long long)(got[0] + i));
			got[0] += (uint64_t)ret;
		}
		if (ret != -EAGAIN)
			fail_msg("read gave %zd: %s", ret, tls_why(p->ours));
		while ((ret = SSL_read(p->theirs, in, sizeof(in))) > 0) {
			for (i = 0; i < (uint64_t)ret; i++)
				if (in[i] != pattern(got[1] + i))
					fail_msg("byte %llu from us is wrong",
						 (unsigned long long)(got[1] + i));
			got[1] += (uint64_t)ret;
		}
	}
	assert_int_equal(got[0], total);
	assert_int_equal(got[1], total);
}

/* Tiny receive buffers on both ends: every write is cut somewhere. */
static void test_ktls_bulk_with_slow_readers(void **state)
{
	const char *mib = getenv("KTLS_MIB");
	uint64_t total = (mib ? strtoull(mib, NULL, 10) : 1) << 20;
	int small = 16384, k, i;
	struct pair p;
	size_t s;

	(void)state;
	for (s = 0; s < N(suites); s++)
		for (k = 0; k < 2; k++) {
			pair_open(&p, &suites[s], k, k);
			SSL_set_mode(p.theirs, SSL_MODE_ENABLE_PARTIAL_WRITE |
						       SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER);
			for (i = 0; i < 2; i++) {
				setsockopt(p.fd[i], SOL_SOCKET, SO_RCVBUF, &small, sizeof(small));
				setsockopt(p.fd[i], SOL_SOCKET, SO_SNDBUF, &small, sizeof(small));
			}
			pair_shake(&p);
			pair_climb(&p, &suites[s], false);
			bulk(&p, total);
			pair_close(&p);
		}
}

/* As conn_close() ends a connection whose socket is full: all that was written, close_notify and the FIN arrive, in this order. */
static void test_ktls_end_behind_a_full_socket(void **state)
{
	static uint8_t out[16384], in[16384];
	static const int buffers[] = {4096, 16384, 40000};
	struct pair p;
	size_t i, b, size, round;

	(void)state;
	for (i = 0; i < N(suites); i += 3)
		for (b = 0; b < N(buffers); b++)
			for (round = 0; round < 24; round++) {
				uint64_t sent = 0, got = 0, total = 100000 + 7919 * round;
				bool told = false;
				int ret = 0;
				ssize_t n;

				pair_open(&p, &suites[i], true, false);
				setsockopt(p.fd[0], SOL_SOCKET, SO_SNDBUF, &buffers[b],
					   sizeof(int));
				setsockopt(p.fd[1], SOL_SOCKET, SO_RCVBUF, &buffers[b],
					   sizeof(int));
				pair_shake(&p);
				tls_climb(p.ours, false, &(const char *){NULL});
				for (;;) {
					size = total - sent < sizeof(out) ? (size_t)(total - sent)
									  : sizeof(out);
					n = size    ? tls_write(p.ours, out, size)
					    : !told ? tls_close_notify(p.ours)
						    : 1;
					if (n >= 0 && size)
						sent += (uint64_t)n;
					else if (n == 0)
						told = shutdown(p.fd[0], SHUT_WR) == 0;
					else if (n < 0)
						assert_int_equal(n, -EAGAIN);
					if (n > 0 && size)
						continue;
					ret = SSL_read(p.theirs, in, sizeof(in));
					if (ret > 0)
						got += (uint64_t)ret;
					else if (SSL_get_error(p.theirs, ret) ==
						 SSL_ERROR_WANT_READ)
						wait_for(p.fd[1], POLLIN);
					else
						break;
				}
				if (got != total || !SSL_get_shutdown(p.theirs))
					fail_msg("%s, buffers of %d: %llu of %llu bytes, and %s",
						 suites[i].name, buffers[b],
						 (unsigned long long)got, (unsigned long long)total,
						 SSL_get_shutdown(p.theirs) ? "the end" : "no end");
				pair_close(&p);
			}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_ktls_probe_is_told),
		cmocka_unit_test(test_ktls_suites),
		cmocka_unit_test(test_ktls_data_with_finished),
		cmocka_unit_test(test_ktls_waits_for_a_half_record),
		cmocka_unit_test(test_ktls_sending_only),
		cmocka_unit_test(test_ktls_key_update),
		cmocka_unit_test(test_ktls_ends),
		cmocka_unit_test(test_ktls_flipped_bits),
		cmocka_unit_test(test_ktls_control_records),
		cmocka_unit_test(test_ktls_adopted),
		cmocka_unit_test(test_ktls_record_limit),
		cmocka_unit_test(test_ktls_end_behind_a_full_socket),
		cmocka_unit_test(test_ktls_bulk_with_slow_readers),
	};
	const char *expect = getenv("KTLS_EXPECT");

	signal(SIGPIPE, SIG_IGN);
	cert_make_ca("test CA", &ca);
	cert_make(&ca, "gate", "DNS:gate.example", false, &leaf);
	ktls_probe(&probe);
	kernel = ktls_usable(&probe);
	if (expect && *expect == '1' && !kernel) {
		fprintf(stderr, "KTLS_EXPECT=1, but the kernel's TLS does not work: %s\n",
			strerrorname_np(probe.ulp));
		return 1;
	}
	return cmocka_run_group_tests(tests, NULL, NULL);
}
