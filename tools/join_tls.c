/* tools/join_tls.c -- see join_tls.h. In: a socket. Out: one message each way, or why not. */
#include "tools/join_tls.h"

#include <errno.h>
#include <fcntl.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "tools/pki_cert.h"

#define EXPORTER "EXPORTER-sallyport-join"

struct join_conn {
	int fd;
	SSL_CTX *ctx;
	SSL *ssl;
	uint64_t due_ms;
	struct addr peer, local;
	uint8_t pin[JOIN_HASH];
	bool wrong_key;
};

static uint64_t now_ms(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000 + (uint64_t)t.tv_nsec / 1000000;
}

static int wait_for(struct join_conn *c, short events)
{
	struct pollfd p = {.fd = c->fd, .events = events};
	uint64_t now = now_ms();
	int n = c->due_ms > now ? poll(&p, 1, (int)(c->due_ms - now)) : 0;

	return n > 0 ? 0 : n == 0 ? -ETIMEDOUT : errno == EINTR ? 0 : -errno;
}

static int fail(char *why, int err, const char *what)
{
	snprintf(why, JOIN_WHY_MAX, "%s", what);
	return err;
}

/* After a call of OpenSSL that returned @ret <= 0: 0 to try again, or over. */
static int step(struct join_conn *c, int ret, char *why)
{
	unsigned long e = ERR_peek_error();
	const char *text = ERR_reason_error_string(e);
	int err, sys = errno;

	switch (SSL_get_error(c->ssl, ret)) {
	case SSL_ERROR_WANT_READ:
		err = wait_for(c, POLLIN);
		break;
	case SSL_ERROR_WANT_WRITE:
		err = wait_for(c, POLLOUT);
		break;
	case SSL_ERROR_ZERO_RETURN:
		return fail(why, -ECONNRESET, "the other side closed the connection");
	case SSL_ERROR_SYSCALL:
		if (!e)
			return fail(why, -ECONNRESET,
				    sys ? strerror(sys) : "the other side closed the connection");
		/* fall through */
	default:
		if (ERR_GET_REASON(e) == SSL_R_UNEXPECTED_EOF_WHILE_READING)
			return fail(why, -ECONNRESET, "the other side closed the connection");
		return fail(why, -EPROTO, text ? text : "TLS failed");
	}
	return err ? fail(why, err, err == -ETIMEDOUT ? "no answer in time" : strerror(-err)) : 0;
}

static int handshake(struct join_conn *c, char *why)
{
	int ret, err;

	for (;;) {
		ERR_clear_error();
		errno = 0;
		ret = SSL_do_handshake(c->ssl);
		if (ret == 1)
			return 0;
		err = step(c, ret, why);
		if (err)
			return err;
	}
}

/* Only the key counts: the handshake proves that the other side has it. */
static int pin_check(X509_STORE_CTX *store, void *arg)
{
	struct join_conn *c = arg;
	X509 *cert = X509_STORE_CTX_get0_cert(store);
	uint8_t hash[JOIN_HASH];

	c->wrong_key = !cert || !pki_key_hash(X509_get0_pubkey(cert), hash) ||
		       CRYPTO_memcmp(hash, c->pin, JOIN_HASH) != 0;
	if (c->wrong_key)
		X509_STORE_CTX_set_error(store, X509_V_ERR_APPLICATION_VERIFICATION);
	return !c->wrong_key;
}

static int alpn_select(SSL *ssl, const unsigned char **out, unsigned char *outlen,
		       const unsigned char *in, unsigned int inlen, void *arg)
{
	static const unsigned char ours[] = "\x0e" JOIN_ALPN;
	unsigned char *found;

	(void)ssl, (void)arg;
	if (SSL_select_next_proto(&found, outlen, ours, sizeof(ours) - 1, in, inlen) !=
	    OPENSSL_NPN_NEGOTIATED)
		return SSL_TLSEXT_ERR_ALERT_FATAL;
	*out = found;
	return SSL_TLSEXT_ERR_OK;
}

static bool alpn_is_ours(const struct join_conn *c)
{
	const unsigned char *p = NULL;
	unsigned n = 0;

	SSL_get0_alpn_selected(c->ssl, &p, &n);
	return n == sizeof(JOIN_ALPN) - 1 && memcmp(p, JOIN_ALPN, n) == 0;
}

static struct join_conn *conn_new(int fd, bool server, unsigned ms)
{
	struct join_conn *c = calloc(1, sizeof(*c));

	if (!c) {
		close(fd);
		return NULL;
	}
	c->fd = fd;
	c->due_ms = now_ms() + ms;
	c->ctx = SSL_CTX_new(server ? TLS_server_method() : TLS_client_method());
	/* The groups keep a ClientHello small. */
	if (c->ctx && SSL_CTX_set_min_proto_version(c->ctx, TLS1_3_VERSION) &&
	    SSL_CTX_set1_groups_list(c->ctx, "X25519:P-256") && SSL_CTX_set_num_tickets(c->ctx, 0))
		return c;
	join_close(c);
	return NULL;
}

static int ssl_begin(struct join_conn *c)
{
	c->ssl = SSL_new(c->ctx);
	return c->ssl && SSL_set_fd(c->ssl, c->fd) == 1 ? 0 : -ENOMEM;
}

static void ends_of(struct join_conn *c)
{
	struct sockaddr_storage ss;
	socklen_t n = sizeof(ss);

	if (!getpeername(c->fd, (struct sockaddr *)&ss, &n))
		addr_from_sockaddr((struct sockaddr *)&ss, &c->peer);
	n = sizeof(ss);
	if (!getsockname(c->fd, (struct sockaddr *)&ss, &n))
		addr_from_sockaddr((struct sockaddr *)&ss, &c->local);
}

static int tcp_connect(struct join_conn *c, const struct addr *to, char *why)
{
	struct sockaddr_storage ss;
	socklen_t len = addr_to_sockaddr(to, &ss), n = sizeof(int);
	int err = connect(c->fd, (struct sockaddr *)&ss, len) ? errno : 0;

	if (err == EINPROGRESS) {
		err = -wait_for(c, POLLOUT);
		if (!err && getsockopt(c->fd, SOL_SOCKET, SO_ERROR, &err, &n))
			err = errno;
	}
	return err ? fail(why, -err, strerror(err)) : 0;
}

int join_dial(const struct addr *to, const uint8_t pin[JOIN_HASH], unsigned ms,
	      struct join_conn **out, char why[JOIN_WHY_MAX])
{
	static const unsigned char alpn[] = "\x0e" JOIN_ALPN;
	int fd = socket(addr_is_v4(to) ? AF_INET : AF_INET6,
			SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	struct join_conn *c = fd >= 0 ? conn_new(fd, false, ms) : NULL;
	int err;

	if (!c)
		return fail(why, -ENOMEM, fd < 0 ? strerror(errno) : "out of memory");
	memcpy(c->pin, pin, JOIN_HASH);
	SSL_CTX_set_verify(c->ctx, SSL_VERIFY_PEER, NULL);
	SSL_CTX_set_cert_verify_callback(c->ctx, pin_check, c);
	err = tcp_connect(c, to, why);
	if (err)
		goto out;
	ends_of(c);
	err = ssl_begin(c);
	if (err || SSL_set_alpn_protos(c->ssl, alpn, sizeof(alpn) - 1) != 0) {
		err = fail(why, -ENOMEM, "out of memory");
		goto out;
	}
	SSL_set_connect_state(c->ssl);
	err = handshake(c, why);
	if (err && c->wrong_key)
		err = fail(why, -EKEYREJECTED, "its key is another one");
	else if (!err && !alpn_is_ours(c))
		err = fail(why, -ENOPROTOOPT, "nobody there waits for a core");
	if (!err) {
		*out = c;
		return 0;
	}
out:
	join_close(c);
	return err;
}

int join_accept(int fd, X509 *cert, EVP_PKEY *key, unsigned ms, struct join_conn **out,
		char why[JOIN_WHY_MAX])
{
	struct join_conn *c = conn_new(fd, true, ms);
	int err = -ENOMEM, flags;

	if (!c)
		return fail(why, err, "out of memory");
	flags = fcntl(fd, F_GETFL);
	if (flags < 0 || fcntl(fd, F_SETFL, flags | O_NONBLOCK) ||
	    SSL_CTX_use_certificate(c->ctx, cert) != 1 ||
	    SSL_CTX_use_PrivateKey(c->ctx, key) != 1) {
		fail(why, err, "the link's certificate cannot be used");
		goto out;
	}
	SSL_CTX_set_alpn_select_cb(c->ctx, alpn_select, NULL);
	ends_of(c);
	err = ssl_begin(c);
	if (err) {
		fail(why, err, "out of memory");
		goto out;
	}
	SSL_set_accept_state(c->ssl);
	err = handshake(c, why);
	if (!err && !alpn_is_ours(c))
		err = fail(why, -EPROTO, "not a core that joins");
	if (!err) {
		*out = c;
		return 0;
	}
out:
	join_close(c);
	return err;
}

void join_close(struct join_conn *c)
{
	if (!c)
		return;
	if (c->ssl && SSL_is_init_finished(c->ssl))
		SSL_shutdown(c->ssl);
	SSL_free(c->ssl);
	SSL_CTX_free(c->ctx);
	close(c->fd);
	ERR_clear_error();
	free(c);
}

static int write_all(struct join_conn *c, const void *bytes, size_t n, char *why)
{
	size_t put;
	int ret, err;

	for (;;) {
		ERR_clear_error();
		errno = 0;
		ret = SSL_write_ex(c->ssl, bytes, n, &put); /* all or nothing: no partial writes */
		if (ret == 1)
			return 0;
		err = step(c, ret, why);
		if (err)
			return err;
	}
}

static int read_all(struct join_conn *c, uint8_t *bytes, size_t n, char *why)
{
	size_t at = 0, got;
	int ret, err;

	while (at < n) {
		ERR_clear_error();
		errno = 0;
		ret = SSL_read_ex(c->ssl, bytes + at, n - at, &got);
		err = ret == 1 ? 0 : step(c, ret, why);
		if (err)
			return err;
		at += ret == 1 ? got : 0;
	}
	return 0;
}

int join_send(struct join_conn *c, const json_t *message, unsigned ms, char why[JOIN_WHY_MAX])
{
	size_t n = json_dumpb(message, NULL, 0, JSON_COMPACT);
	uint8_t *bytes = n && n <= JOIN_BYTES_MAX ? malloc(4 + n) : NULL;
	int err;

	if (!bytes)
		return fail(why, -EMSGSIZE, "the message is too long");
	bytes[0] = 0;
	bytes[1] = 0;
	bytes[2] = (uint8_t)(n >> 8);
	bytes[3] = (uint8_t)n;
	json_dumpb(message, (char *)bytes + 4, n, JSON_COMPACT);
	c->due_ms = now_ms() + ms;
	err = write_all(c, bytes, 4 + n, why);
	free(bytes);
	return err;
}

int join_receive(struct join_conn *c, unsigned ms, json_t **out, char why[JOIN_WHY_MAX])
{
	uint8_t head[4], *bytes;
	json_error_t e;
	size_t n;
	int err;

	c->due_ms = now_ms() + ms;
	err = read_all(c, head, sizeof(head), why);
	if (err)
		return err;
	n = (size_t)head[2] << 8 | head[3];
	if (head[0] || head[1] || !n || n > JOIN_BYTES_MAX)
		return fail(why, -EBADMSG, "a message of a wrong length came");
	bytes = malloc(n);
	err = bytes ? read_all(c, bytes, n, why) : fail(why, -ENOMEM, "out of memory");
	if (!err) {
		*out = json_loadb((char *)bytes, n, JSON_REJECT_DUPLICATES, &e);
		if (!*out)
			err = fail(why, -EBADMSG, "a message came that is no JSON");
	}
	free(bytes);
	return err;
}

int join_exporter(struct join_conn *c, uint8_t out[JOIN_HASH])
{
	return SSL_export_keying_material(c->ssl, out, JOIN_HASH, EXPORTER, sizeof(EXPORTER) - 1,
					  NULL, 0, 0) == 1
		       ? 0
		       : -EPROTO;
}

X509 *join_peer_cert(const struct join_conn *c)
{
	return SSL_get0_peer_certificate(c->ssl);
}

const struct addr *join_peer(const struct join_conn *c)
{
	return &c->peer;
}

const struct addr *join_local(const struct join_conn *c)
{
	return &c->local;
}
