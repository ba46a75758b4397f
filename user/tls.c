/* user/tls.c -- contexts, handshakes and records by OpenSSL on the socket's own descriptor.
 *
 * In: PEM texts, a nonblocking socket, plaintext to send. Out: plaintext received, errnos with one meaning each, and a
 * text that tells an operator what was wrong. Owner: see user/tls.h; the descriptor is always the caller's. */
#include <errno.h>
#include <openssl/err.h>
#include <poll.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "user/addr.h"
#include "user/tls_impl.h"

/* Forward secret AEAD only for TLS 1.2; all suites of 1.3 are that. There SHA-256 comes first: with it, in hardware nearly everywhere, a
 * handshake's two dozen key derivations cost 10 us less than with SHA-384. A client that puts ChaCha20 first has no AES in hardware. */
#define TLS13_SUITES	 "TLS_AES_128_GCM_SHA256:TLS_AES_256_GCM_SHA384:TLS_CHACHA20_POLY1305_SHA256"
#define TLS12_CIPHERS	 "ECDHE+AESGCM:ECDHE+CHACHA20"
#define ALERT_REASON_MIN 1000 /* OpenSSL reports a received alert N as reason 1000 + N */
#define ALERT_REASON_MAX 1255

static int ex_index(void)
{
	static int index =
		-1; /* one number a process, from a registry that OpenSSL keeps a process */

	if (index < 0)
		index = SSL_get_ex_new_index(0, NULL, NULL, NULL, NULL);
	return index;
}

struct tls_conn *tls_conn_of(const SSL *ssl)
{
	return SSL_get_ex_data(ssl, ex_index());
}

void tls_why_set(struct tls_conn *t, const char *fmt, ...)
{
	va_list ap;

	if (!t->trouble)
		t->trouble = calloc(1, sizeof(*t->trouble));
	if (!t->trouble)
		return;
	va_start(ap, fmt);
	vsnprintf(t->trouble->why, TLS_WHY_MAX, fmt, ap);
	va_end(ap);
}

/* ---- contexts ---- */

/* Runs for each certificate of the chain; only when it fails do we look, since later the peer's certificate is gone. */
static int verify_cb(int ok, X509_STORE_CTX *store)
{
	SSL *ssl = X509_STORE_CTX_get_ex_data(store, SSL_get_ex_data_X509_STORE_CTX_idx());
	struct tls_conn *t = tls_conn_of(ssl);
	int err = X509_STORE_CTX_get_error(store);
	char names[sizeof(t->trouble->seen)] = "";

	if (ok || !t || t->refused)
		return ok;
	t->refused = true;
	tls_cert_names(X509_STORE_CTX_get0_cert(store), names, sizeof(names));
	if (err == X509_V_ERR_HOSTNAME_MISMATCH || err == X509_V_ERR_IP_ADDRESS_MISMATCH)
		tls_why_set(t, "certificate refused: wanted %s, got names %s",
			    t->want ? t->want : "?", *names ? names : "(none)");
	else
		tls_why_set(t, "certificate refused: %s (at depth %d, names %s)",
			    X509_verify_cert_error_string(err),
			    X509_STORE_CTX_get_error_depth(store), *names ? names : "(none)");
	if (t->trouble)
		memcpy(t->trouble->seen, names, sizeof(names));
	return 0;
}

static int alpn_select(SSL *ssl, const unsigned char **out, unsigned char *outlen,
		       const unsigned char *in, unsigned int inlen, void *arg)
{
	const struct tls_ctx *c = arg;
	unsigned char *found;

	(void)ssl;
	/* RFC 7301 section 3.2: no overlap is a fatal alert. */
	if (SSL_select_next_proto(&found, outlen, c->alpn, c->n_alpn, in, inlen) !=
	    OPENSSL_NPN_NEGOTIATED)
		return SSL_TLSEXT_ERR_ALERT_FATAL;
	*out = found;
	return SSL_TLSEXT_ERR_OK;
}

static int sni_accept(SSL *ssl, int *alert, void *arg)
{
	(void)ssl, (void)alert, (void)arg;
	return SSL_TLSEXT_ERR_OK; /* accept any name: which service it means is decided later */
}

/* "a,b" to length-prefixed names. */
static int alpn_wire(struct tls_ctx *c, const char *list)
{
	size_t n;

	for (; list && *list; list += n + (list[n] == ',')) {
		n = strcspn(list, ",");
		if (n == 0 || n > 255 || c->n_alpn + n + 1 > sizeof(c->alpn))
			return -EINVAL;
		memcpy(c->alpn_text + c->n_alpn, list, n);
		c->alpn[c->n_alpn++] = (uint8_t)n;
		memcpy(c->alpn + c->n_alpn, list, n);
		c->n_alpn += (unsigned)n;
	}
	return 0;
}

static void ctx_options(struct tls_ctx *c, const struct tls_params *p)
{
	SSL_CTX_set_min_proto_version(c->ssl, p->tls13_only ? TLS1_3_VERSION : TLS1_2_VERSION);
	SSL_CTX_set_max_proto_version(c->ssl, TLS1_3_VERSION);
	SSL_CTX_set_options(c->ssl, SSL_OP_NO_RENEGOTIATION | SSL_OP_NO_COMPRESSION);
	SSL_CTX_set_mode(c->ssl, SSL_MODE_ENABLE_PARTIAL_WRITE |
					 SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER |
					 SSL_MODE_RELEASE_BUFFERS | SSL_MODE_NO_AUTO_CHAIN);
	SSL_CTX_set_session_cache_mode(c->ssl, SSL_SESS_CACHE_OFF);
	SSL_CTX_set_read_ahead(c->ssl, 0);
	SSL_CTX_set_max_early_data(c->ssl, 0);
	/* One: a client has one connection to come back with, gets another ticket then, and each costs 10 us and a packet. */
	SSL_CTX_set_num_tickets(c->ssl, p->tickets ? 1 : 0);
	if (!p->tickets)
		SSL_CTX_set_options(c->ssl, SSL_OP_NO_TICKET);
	if (!c->verify)
		SSL_CTX_set_verify(c->ssl, SSL_VERIFY_NONE, NULL);
	else
		SSL_CTX_set_verify(c->ssl, SSL_VERIFY_PEER | SSL_VERIFY_FAIL_IF_NO_PEER_CERT,
				   verify_cb);
	if (p->server)
		SSL_CTX_set_tlsext_servername_callback(c->ssl, sni_accept);
	if (p->server && c->n_alpn)
		SSL_CTX_set_alpn_select_cb(c->ssl, alpn_select, c);
}

static int ctx_setup(struct tls_ctx *c, const struct tls_params *p, char *why)
{
	static const unsigned char sid[] =
		"sallyport"; /* needed to resume where client certificates are asked for */
	int ret;

	if (alpn_wire(c, p->alpn)) {
		snprintf(why, TLS_WHY_MAX, "alpn: empty or too long");
		return -EINVAL;
	}
	if (p->require_peer && !p->ca_pem.n) {
		snprintf(why, TLS_WHY_MAX, "CA: needed to require a certificate");
		return -EINVAL;
	}
	c->ssl = SSL_CTX_new(p->server ? TLS_server_method() : TLS_client_method());
	if (!c->ssl || tls_bio_init(&c->socket) || ex_index() < 0 ||
	    SSL_CTX_set_cipher_list(c->ssl, TLS12_CIPHERS) != 1 ||

	    SSL_CTX_set_session_id_context(c->ssl, sid, sizeof(sid) - 1) != 1 ||
	    (!p->server && c->n_alpn && SSL_CTX_set_alpn_protos(c->ssl, c->alpn, c->n_alpn) != 0)) {
		snprintf(why, TLS_WHY_MAX, "OpenSSL: out of memory");
		return -EINVAL;
	}
	if (p->server &&
	    !p->tls13_only) { /* clients from anywhere; the link has few handshakes, and its own order */
		SSL_CTX_set_options(c->ssl,
				    SSL_OP_CIPHER_SERVER_PREFERENCE | SSL_OP_PRIORITIZE_CHACHA);
		if (SSL_CTX_set_ciphersuites(c->ssl, TLS13_SUITES) != 1) {
			snprintf(why, TLS_WHY_MAX, "OpenSSL: TLS 1.3 suites: not there");
			return -EINVAL;
		}
	}
	ctx_options(c, p);
	if (c->kernel)
		tls_track_ctx(c);
	ret = tls_pem_load(c, p, why);
	return ret ? ret : tls_sni_load(c, p, why);
}

int tls_ctx_new(const struct tls_params *p, struct tls_ctx **out, char why[TLS_WHY_MAX])
{
	struct tls_ctx *c = calloc(1, sizeof(*c));
	int ret;

	if (!c) {
		snprintf(why, TLS_WHY_MAX, "out of memory");
		return -EINVAL;
	}
	ERR_clear_error();
	c->server = p->server;
	c->verify = p->server ? p->require_peer : p->ca_pem.n > 0;
	c->kernel = p->kernel && ktls_usable(p->kernel) ? p->kernel : NULL;
	ret = ctx_setup(c, p, why);
	if (ret) {
		tls_ctx_free(c);
		return ret;
	}
	*out = c;
	return 0;
}

void tls_ctx_free(struct tls_ctx *c)
{
	if (!c)
		return;
	tls_sni_free(c);
	SSL_CTX_free(c->ssl);
	BIO_meth_free(c->socket);
	free(c);
}

/* ---- connections ---- */

static int peer_name_set(struct tls_conn *t, const char *name)
{
	struct addr a;
	bool ip = addr_parse(span_str(name), &a) == 0;

	t->want = strdup(name);
	if (!t->want)
		return -ENOMEM;
	if (!ip && SSL_set_tlsext_host_name(t->ssl, name) != 1)
		return -EINVAL;
	if (!t->ctx->verify)
		return 0;
	SSL_set_hostflags(t->ssl, X509_CHECK_FLAG_NEVER_CHECK_SUBJECT);
	if (ip)
		return X509_VERIFY_PARAM_set1_ip_asc(SSL_get0_param(t->ssl), name) == 1 ? 0
											: -EINVAL;
	return SSL_set1_host(t->ssl, name) == 1 ? 0 : -EINVAL;
}

int tls_conn_new(struct tls_ctx *c, int fd, const char *peer_name, struct tls_conn **out)
{
	struct tls_conn *t = calloc(1, sizeof(*t));
	int ret = -ENOMEM;

	if (!t)
		return ret;
	ERR_clear_error();
	t->ctx = c;
	t->wants = POLLIN;
	t->ssl = SSL_new(c->ssl);
	if (!t->ssl || tls_bio_attach(t, fd) || SSL_set_ex_data(t->ssl, ex_index(), t) != 1)
		goto out;
	ret = peer_name && !c->server ? peer_name_set(t, peer_name) : 0;
	if (!ret && c->kernel)
		ret = tls_track_new(t);
	if (ret)
		goto out;
	if (c->server)
		SSL_set_accept_state(t->ssl);
	else
		SSL_set_connect_state(t->ssl);
	*out = t;
	return 0;
out:
	ERR_clear_error();
	tls_conn_free(t);
	return ret;
}

/* Memory of its own is wiped and given back. */
static void kernel_drop(struct tls_conn *t)
{
	if (t->kernel && !t->placed) {
		ktls_wipe(t->kernel);
		free(t->kernel);
	}
	t->kernel = NULL;
}

void tls_conn_free(struct tls_conn *t)
{
	if (!t)
		return;
	tls_track_free(t);
	SSL_free(t->ssl);
	if (!t->kernel)
		free(t->want);
	kernel_drop(t);
	free(t->trouble);
	free(t);
}

int tls_conn_adopt(struct tls_ctx *c, int fd, const struct ktls *k, struct tls_conn **out)
{
	struct tls_conn *t = calloc(1, sizeof(*t));

	if (!t)
		return -ENOMEM;
	t->kernel = ktls_new();
	if (!t->kernel) {
		free(t);
		return -ENOMEM;
	}
	ktls_copy(t->kernel, k);
	t->ctx = c;
	t->fd = fd;
	t->established = true;
	t->cipher_name = ktls_cipher_name(k->cipher);
	*out = t;
	return 0;
}

static int over(struct tls_conn *t, int err)
{
	t->over = (int16_t)err;
	t->wants = 0;
	ERR_clear_error();
	return err;
}

static const char *alert_name(int alert)
{
	/* OpenSSL 3.0's table ends before these (RFC 8446 section 6.2, RFC 7301 section 3.2). */
	switch (alert) {
	case SSL_AD_MISSING_EXTENSION:
		return "missing extension";
	case SSL_AD_CERTIFICATE_REQUIRED:
		return "certificate required";
	case SSL_AD_NO_APPLICATION_PROTOCOL:
		return "no application protocol";
	default:
		return SSL_alert_desc_string_long(alert);
	}
}

/* An error of the protocol: the oldest entry of OpenSSL's queue is the cause, the others say where it was noticed. */
static int ssl_fail(struct tls_conn *t)
{
	unsigned long e = ERR_peek_error();
	int reason = ERR_GET_REASON(e);
	const char *text = ERR_reason_error_string(e);

	if (reason == SSL_R_UNEXPECTED_EOF_WHILE_READING) {
		if (!t->established) {
			tls_why_set(t, "connection closed during the handshake");
			return over(t, -ECONNRESET);
		}
		tls_why_set(t, "truncated: connection closed without close_notify");
		return over(t, -EPIPE);
	}
	if (t->refused)
		return over(t, -EKEYREJECTED);
	if (reason == SSL_R_PEER_DID_NOT_RETURN_A_CERTIFICATE) {
		tls_why_set(t, "certificate refused: the peer sent none");
		return over(t, -EKEYREJECTED);
	}
	if (reason >= ALERT_REASON_MIN && reason <= ALERT_REASON_MAX)
		tls_why_set(t, "alert received: %s", alert_name(reason - ALERT_REASON_MIN));
	else
		tls_why_set(t, "protocol error: %s", text ? text : "unknown");
	return over(t, -EPROTO);
}

static int sys_fail(struct tls_conn *t, int err)
{
	if (err == 0) {
		tls_why_set(t, "connection closed");
		return over(t, -ECONNRESET);
	}
	tls_why_set(t, "connection lost: %s", strerror(err));
	if (err == ENOMEM || err == ENOBUFS)
		return over(t, -ENOMEM);
	/* Its FIN had come before, or there is no way there any more: not what a reset says. */
	if (t->established && (err == EPIPE || err == EHOSTUNREACH || err == ENETUNREACH))
		return over(t, -err);
	return over(t, -ECONNRESET);
}

/* What a call of OpenSSL that returned @ret <= 0 means. @err: errno right after it. */
static int conn_result(struct tls_conn *t, int ret, int err)
{
	switch (SSL_get_error(t->ssl, ret)) {
	case SSL_ERROR_WANT_READ:
		t->wants = POLLIN;
		return -EAGAIN;
	case SSL_ERROR_WANT_WRITE:
		t->wants = POLLOUT;
		return -EAGAIN;
	case SSL_ERROR_ZERO_RETURN:
		return 0;
	case SSL_ERROR_SYSCALL:
		return ERR_peek_error() ? ssl_fail(t) : sys_fail(t, err);
	default:
		return ssl_fail(t);
	}
}

int tls_handshake(struct tls_conn *t)
{
	int ret, err;

	if (t->over)
		return t->over;
	ERR_clear_error();
	errno = 0;
	ret = SSL_do_handshake(t->ssl);
	err = errno;
	if (ret == 1) {
		t->established = true;
		return 0;
	}
	ret = conn_result(t, ret, err);
	if (ret == 0) {
		tls_why_set(t, "closed by the peer during the handshake");
		ret = over(t, -ECONNRESET);
	}
	return ret;
}

short tls_wants(const struct tls_conn *t)
{
	return t->wants;
}

/* The same for what the kernel said. */
static ssize_t kernel_result(struct tls_conn *t, ssize_t ret, short wants, const char *why)
{
	if (ret >= 0)
		return ret;
	t->wants = (uint8_t)wants & 7;
	if (ret == -EAGAIN)
		return ret;
	if (why)
		tls_why_set(t, "%s", why);
	else
		return sys_fail(t, (int)-ret);
	return over(t, (int)ret);
}

ssize_t tls_read(struct tls_conn *t, void *buf, size_t n)
{
	const char *why = NULL;
	size_t got = 0;
	ssize_t done;
	int ret, err;

	if (t->over)
		return t->over;
	if (!t->ssl) {
		done = ktls_read(t->kernel, t->fd, buf, n, &why);
		return kernel_result(t, done, POLLIN, why);
	}
	ERR_clear_error();
	errno = 0;
	ret = SSL_read_ex(t->ssl, buf, n, &got);
	err = errno;
	if (t->kernel && tls_climbed_read(t))
		return over(t, -EKEYEXPIRED);
	return ret == 1 ? (ssize_t)got : conn_result(t, ret, err);
}

/* The socket takes no more: perhaps because the peer refused us, and its alert is still to be read. In TLS 1.3 a client
 * learns only so that its certificate was not liked. */
static bool alert_waits(struct tls_conn *t)
{
	uint8_t b;
	int ret;

	ERR_clear_error();
	ret = SSL_peek(t->ssl, &b, 1);
	if (ret > 0 || SSL_get_error(t->ssl, ret) != SSL_ERROR_SSL)
		return false;
	return ERR_GET_REASON(ERR_peek_error()) >= ALERT_REASON_MIN && ssl_fail(t) != 0;
}

ssize_t tls_write(struct tls_conn *t, const void *buf, size_t n)
{
	const char *why = NULL;
	size_t put = 0;
	ssize_t done;
	int ret, err;

	if (t->over)
		return t->over;
	if (n == 0)
		return 0;
	if (t->kernel) {
		done = ktls_write(t->kernel, t->fd, buf, n, &why);
		return kernel_result(t, done, POLLOUT, why);
	}
	ERR_clear_error();
	errno = 0;
	ret = SSL_write_ex(t->ssl, buf, n, &put);
	err = errno;
	if (ret == 1)
		return (ssize_t)put;
	if (SSL_get_error(t->ssl, ret) == SSL_ERROR_SYSCALL && alert_waits(t))
		return t->over;
	ret = conn_result(t, ret, err);
	if (ret)
		return ret;
	tls_why_set(t, "write after close_notify");
	return over(t, -EPROTO);
}

bool tls_pending(const struct tls_conn *t)
{
	return !t->over && t->ssl && SSL_pending(t->ssl) > 0;
}

int tls_close_notify(struct tls_conn *t)
{
	int ret, err;

	if (t->over)
		return t->over;
	if (!t->established)
		return -EPROTO;
	if (t->kernel)
		return ktls_close_notify(t->kernel, t->fd);
	ERR_clear_error();
	errno = 0;
	ret = SSL_shutdown(t->ssl);
	err = errno;
	return ret >= 0 ? 0 : conn_result(t, ret, err);
}

/* ---- its kernel state ---- */

struct ktls *tls_kernel(struct tls_conn *t)
{
	return t->kernel;
}

void tls_kernel_place(struct tls_conn *t, struct ktls *where)
{
	static struct ktls nowhere; /* of connections that are over for want of memory */
	struct ktls *to = where;

	if (where ? t->kernel == where : !t->placed)
		return;
	if (!to)
		to = ktls_new();
	if (!to) {
		t->kernel = &nowhere;
		over(t, -ENOMEM);
		return;
	}
	ktls_copy(to, t->kernel);
	kernel_drop(t);
	t->kernel = to;
	t->placed = where != NULL;
}

void tls_kernel_leave(struct tls_conn *t)
{
	kernel_drop(t);
	t->want = NULL; /* it was a name that goes with .kernel */
}
