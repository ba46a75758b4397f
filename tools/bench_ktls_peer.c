/* tools/bench_ktls_peer.c -- clients and sinks of tools/bench ktls. See bench_ktls.h.
 *
 * In: jobs. Out: TLS streams from clients to sinks through the relay. Owner: the process; a thread its socket and its SSL. */
#include "tools/bench_ktls.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/tcp.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/ssl.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <unistd.h>

#define PATTERN 65521 /* prime: no record or segment begins twice in a row at the same byte */

struct peer {
	struct bench_job job;
	SSL_CTX *ctx[2]; /* client, server */
	uint16_t relay_port;
	int listener;
	pthread_mutex_t lock;
	pthread_cond_t changed;
	bool go, over, failed; /* over: the relay has moved all, and ends */
	unsigned done;
	uint8_t pattern[2 * PATTERN];
};

struct end {
	struct peer *p;
	int fd;
	SSL *ssl;
	uint64_t sent, got; /* also the place in the pattern */
	uint8_t buf[BENCH_SIZE_MAX];
};

/* ---- a thread's stream ---- */

static bool end_failed(const struct end *e, const char *what)
{
	const char *why = ERR_reason_error_string(ERR_peek_error());

	fprintf(stderr, "bench: %s: %s\n", what, why ? why : strerror(errno));
	(void)e;
	return false;
}

static bool end_send(struct end *e, size_t n)
{
	if (SSL_write(e->ssl, e->p->pattern + e->sent % PATTERN, (int)n) != (int)n)
		return end_failed(e, "a peer's write");
	e->sent += n;
	return true;
}

static bool end_read(struct end *e, size_t n)
{
	int ret;

	while (n) {
		ret = SSL_read(e->ssl, e->buf, (int)(n < sizeof(e->buf) ? n : sizeof(e->buf)));
		if (ret <= 0)
			return end_failed(e, "a peer's read");
		if (memcmp(e->buf, e->p->pattern + e->got % PATTERN, (size_t)ret)) {
			fprintf(stderr, "bench: other bytes than were sent\n");
			return false;
		}
		e->got += (uint64_t)ret;
		n -= (size_t)ret;
	}
	return true;
}

static bool end_open(struct end *e, bool server)
{
	struct sockaddr_in a = {.sin_family = AF_INET,
				.sin_port = htons(e->p->relay_port),
				.sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	int one = 1;

	e->fd = server ? accept(e->p->listener, NULL, NULL) : socket(AF_INET, SOCK_STREAM, 0);
	if (e->fd < 0 || (!server && connect(e->fd, (struct sockaddr *)&a, sizeof(a))))
		return end_failed(e, "a peer's socket");
	setsockopt(e->fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
	e->ssl = SSL_new(e->p->ctx[server]);
	if (!e->ssl || SSL_set_fd(e->ssl, e->fd) != 1 ||
	    (server ? SSL_accept : SSL_connect)(e->ssl) != 1)
		return end_failed(e, "a peer's handshake");
	return true;
}

static bool client_run(struct end *e)
{
	const struct bench_job *j = &e->p->job;
	uint32_t i;

	if (!end_open(e, false))
		return false;
	pthread_mutex_lock(&e->p->lock);
	while (!e->p->go)
		pthread_cond_wait(&e->p->changed, &e->p->lock);
	pthread_mutex_unlock(&e->p->lock);
	for (i = 0; i < j->writes; i++)
		if (!end_send(e, j->size) || (j->echo && !end_read(e, j->size)))
			return false;
	return true;
}

static bool sink_run(struct end *e)
{
	const struct bench_job *j = &e->p->job;
	uint32_t i;

	if (!end_open(e, true))
		return false;
	for (i = 0; i < j->writes; i++)
		if (!end_read(e, j->size) || (j->echo && !end_send(e, j->size)))
			return false;
	return true;
}

/* Nobody closes before all are done and the relay knows. */
static void end_thread(struct peer *p, bool (*run)(struct end *e))
{
	struct end e = {.p = p, .fd = -1};
	bool ok = run(&e);

	pthread_mutex_lock(&p->lock);
	p->done++;
	p->failed |= !ok;
	pthread_cond_broadcast(&p->changed);
	while (!(p->over && p->done == 2 * p->job.streams) && !p->failed)
		pthread_cond_wait(&p->changed, &p->lock);
	pthread_mutex_unlock(&p->lock);
	SSL_free(e.ssl);
	if (e.fd >= 0)
		close(e.fd);
}

static void *client_thread(void *arg)
{
	end_thread(arg, client_run);
	return NULL;
}

static void *sink_thread(void *arg)
{
	end_thread(arg, sink_run);
	return NULL;
}

/* ---- a job ---- */

static SSL_CTX *context(const struct bench_peer *b, const struct bench_job *j, bool server)
{
	static const char *const suites[KTLS_VERSIONS][KTLS_CIPHERS] = {
		[KTLS_1_2] = {"ECDHE-ECDSA-AES128-GCM-SHA256", "ECDHE-ECDSA-AES256-GCM-SHA384",
			      "ECDHE-ECDSA-CHACHA20-POLY1305"},
		[KTLS_1_3] = {"TLS_AES_128_GCM_SHA256", "TLS_AES_256_GCM_SHA384",
			      "TLS_CHACHA20_POLY1305_SHA256"},
	};
	SSL_CTX *c = SSL_CTX_new(server ? TLS_server_method() : TLS_client_method());
	int version = j->version == KTLS_1_3 ? TLS1_3_VERSION : TLS1_2_VERSION;
	BIO *cert = BIO_new_mem_buf(b->cert, -1), *key = BIO_new_mem_buf(b->key, -1);
	X509 *x = PEM_read_bio_X509(cert, NULL, NULL, NULL);
	EVP_PKEY *k = PEM_read_bio_PrivateKey(key, NULL, NULL, NULL);
	const char *suite = suites[j->version][j->cipher];

	SSL_CTX_set_min_proto_version(c, version);
	SSL_CTX_set_max_proto_version(c, version);
	SSL_CTX_set_num_tickets(c, 0);
	if ((j->version == KTLS_1_3 ? SSL_CTX_set_ciphersuites
				    : SSL_CTX_set_cipher_list)(c, suite) != 1 ||
	    (server && (SSL_CTX_use_certificate(c, x) != 1 || SSL_CTX_use_PrivateKey(c, k) != 1))) {
		SSL_CTX_free(c);
		c = NULL;
	}
	EVP_PKEY_free(k);
	X509_free(x);
	BIO_free(cert);
	BIO_free(key);
	return c;
}

/* Wait for a word of the relay, and pass it on. */
static void hear(struct peer *p, int fd, bool *word)
{
	char c;

	if (read(fd, &c, 1) != 1)
		_exit(0); /* the relay is gone: with whatever threads wait for */
	pthread_mutex_lock(&p->lock);
	*word = true;
	pthread_cond_broadcast(&p->changed);
	pthread_mutex_unlock(&p->lock);
}

static bool job_run(struct peer *p, const struct bench_peer *b)
{
	pthread_t threads[2 * BENCH_STREAMS_MAX];
	unsigned n = 0, i;

	p->go = p->over = false;
	p->done = 0;
	for (i = 0; i < 2; i++)
		p->ctx[i] = context(b, &p->job, i == 1);
	p->failed = !p->ctx[0] || !p->ctx[1];
	for (; n < 2 * p->job.streams && !p->failed; n++)
		if (pthread_create(&threads[n], NULL, n % 2 ? client_thread : sink_thread, p))
			break;
	if (n < 2 * p->job.streams) {
		pthread_mutex_lock(&p->lock);
		p->failed = true;
		pthread_cond_broadcast(&p->changed);
		pthread_mutex_unlock(&p->lock);
	}
	hear(p, b->to, &p->go);
	hear(p, b->to, &p->over);
	for (i = 0; i < n; i++)
		pthread_join(threads[i], NULL);
	for (i = 0; i < 2; i++)
		SSL_CTX_free(p->ctx[i]);
	return write(b->from, p->failed ? "F" : "D", 1) == 1;
}

static void peer_main(struct peer *p, const struct bench_peer *b)
{
	unsigned i;

	prctl(PR_SET_PDEATHSIG, SIGKILL);
	signal(SIGPIPE, SIG_IGN);
	for (i = 0; i < sizeof(p->pattern); i++)
		p->pattern[i] = (uint8_t)((i % PATTERN) * 2654435761u >> 13);
	while (read(b->to, &p->job, sizeof(p->job)) == sizeof(p->job) && job_run(p, b))
		;
	_exit(0);
}

/* ---- the caller's side ---- */

static int certificate(struct bench_peer *b)
{
	EVP_PKEY *k = EVP_EC_gen("P-256");
	X509 *x = X509_new();
	BIO *cert = BIO_new(BIO_s_mem()), *key = BIO_new(BIO_s_mem());
	int ret = -EINVAL, n, m;

	ASN1_INTEGER_set(X509_get_serialNumber(x), 1);
	X509_gmtime_adj(X509_getm_notBefore(x), -3600);
	X509_gmtime_adj(X509_getm_notAfter(x), 86400);
	X509_NAME_add_entry_by_txt(X509_get_subject_name(x), "CN", MBSTRING_ASC,
				   (const unsigned char *)"bench", -1, -1, 0);
	X509_set_issuer_name(x, X509_get_subject_name(x));
	if (k && X509_set_pubkey(x, k) && X509_sign(x, k, EVP_sha256()) &&
	    PEM_write_bio_X509(cert, x) &&
	    PEM_write_bio_PrivateKey(key, k, NULL, NULL, 0, NULL, NULL)) {
		n = BIO_read(cert, b->cert, sizeof(b->cert) - 1);
		m = BIO_read(key, b->key, sizeof(b->key) - 1);
		ret = n > 0 && m > 0 ? 0 : -EINVAL;
	}
	BIO_free(cert);
	BIO_free(key);
	X509_free(x);
	EVP_PKEY_free(k);
	return ret;
}

int bench_peer_start(struct bench_peer *b, uint16_t relay_port)
{
	static struct peer p = {.lock = PTHREAD_MUTEX_INITIALIZER,
				.changed = PTHREAD_COND_INITIALIZER};
	struct sockaddr_in a = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	socklen_t n = sizeof(a);
	int to[2], from[2], ret = certificate(b);

	if (ret)
		return ret;
	p.relay_port = relay_port;
	p.listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (p.listener < 0 || bind(p.listener, (struct sockaddr *)&a, n) ||
	    listen(p.listener, BENCH_STREAMS_MAX) ||
	    getsockname(p.listener, (struct sockaddr *)&a, &n) || pipe(to) || pipe(from))
		return -errno;
	b->sink_port = ntohs(a.sin_port);
	b->pid = fork();
	if (b->pid < 0)
		return -errno;
	if (b->pid == 0) {
		close(to[1]);
		close(from[0]);
		b->to = to[0];
		b->from = from[1];
		peer_main(&p, b);
	}
	close(p.listener);
	close(to[0]);
	close(from[1]);
	b->to = to[1];
	b->from = from[0];
	return 0;
}

int bench_peer_job(const struct bench_peer *b, const struct bench_job *j)
{
	return write(b->to, j, sizeof(*j)) == sizeof(*j) ? 0 : -EPIPE;
}

int bench_peer_go(const struct bench_peer *b)
{
	return write(b->to, "G", 1) == 1 ? 0 : -EPIPE;
}

int bench_peer_end(const struct bench_peer *b)
{
	char c;

	if (write(b->to, "E", 1) != 1)
		return -EPIPE;
	return read(b->from, &c, 1) == 1 && c == 'D' ? 0 : -EBADMSG;
}
