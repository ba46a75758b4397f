/* tools/doctor_probe.c -- one question to one server, blocking and bounded in time. See doctor_facts.h.
 *
 * In: struct doctor_probe. Out: its found fields: .error is the connection's or the protocol's, .tls the certificate's, .answer the server's
 * first line. Answers are never believed beyond that. Each wait takes STEP_MS at most, and all of them TALK_MS: a server that says a byte
 * now and then ends nothing. Called from a thread of its own. */
#include <errno.h>
#include <fcntl.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>
#include <poll.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "tools/doctor_cert.h"
#include "tools/doctor_facts.h"

#define STEP_MS	   4000 /* an answer behind the link, from a busy host */
#define TALK_MS	   8000
#define ALERT_MS   500
#define UDP_TRIES  4
#define UDP_TRY_MS 500
#define ANSWER_MAX 8192

struct talk {
	struct doctor_probe *p;
	int fd;
	SSL_CTX *ctx;
	SSL *ssl;
	uint64_t due_ms; /* of the whole talk */
};

__attribute__((format(printf, 2, 3))) static bool failed(struct talk *t, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(t->p->error, sizeof(t->p->error), fmt, ap);
	va_end(ap);
	return false;
}

static uint64_t now_ms(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000 + (uint64_t)t.tv_nsec / 1000000;
}

/* ---- connection ---- */

/* False: not within STEP_MS, or the talk's time is over. */
static bool talk_wait(const struct talk *t, short events)
{
	struct pollfd p = {.fd = t->fd, .events = events};
	uint64_t now = now_ms(), left = t->due_ms > now ? t->due_ms - now : 0;

	return left && poll(&p, 1, (int)(left < STEP_MS ? left : STEP_MS)) == 1;
}

/* OpenSSL returned @r: whether to call it once more. */
static bool talk_again(const struct talk *t, int r)
{
	switch (r > 0 ? SSL_ERROR_NONE : SSL_get_error(t->ssl, r)) {
	case SSL_ERROR_WANT_READ:
		return talk_wait(t, POLLIN);
	case SSL_ERROR_WANT_WRITE:
		return talk_wait(t, POLLOUT);
	default:
		return false;
	}
}

static bool talk_open(struct talk *t, int type)
{
	struct doctor_probe *p = t->p;
	struct sockaddr_storage ss;
	socklen_t n = addr_to_sockaddr(&p->to, &ss), en = sizeof(int);
	int err = 0;

	t->due_ms = now_ms() + TALK_MS;
	t->fd = socket(ss.ss_family, type | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (t->fd < 0)
		return failed(t, "%s", strerror(errno));
	if (!addr_is_any(&p->from) && addr_is_v4(&p->from) == addr_is_v4(&p->to)) {
		struct sockaddr_storage from;
		socklen_t fn = addr_to_sockaddr(&p->from, &from);

		if (bind(t->fd, (struct sockaddr *)&from, fn))
			return failed(t, "from our address: %s", strerror(errno));
	}
	if (connect(t->fd, (struct sockaddr *)&ss, n) && errno != EINPROGRESS)
		return failed(t, "%s", strerror(errno));
	if (!talk_wait(t, POLLOUT))
		return failed(t, "no answer to the connection within %d s", STEP_MS / 1000);
	if (getsockopt(t->fd, SOL_SOCKET, SO_ERROR, &err, &en) || err)
		return failed(t, "%s", strerror(err ? err : errno));
	return true;
}

static void talk_close(struct talk *t)
{
	if (t->ssl)
		SSL_shutdown(t->ssl);
	SSL_free(t->ssl);
	SSL_CTX_free(t->ctx);
	if (t->fd >= 0)
		close(t->fd);
}

static void names_text(const X509 *x, char *out, size_t n)
{
	json_t *list = doctor_cert_names(x), *v;
	size_t i, at = 0;

	out[0] = 0;
	json_array_foreach(list, i, v)
	{
		if (at < n)
			at += (size_t)snprintf(out + at, n - at, "%s%s", at ? ", " : "",
					       json_string_value(v));
	}
	json_decref(list);
	/* What is cut in the middle of a character would be no JSON, and what it is said in would be lost. */
	for (i = 0; out[i]; i++)
		if (out[i] < ' ' || out[i] > '~')
			out[i] = '?';
}

/* The chain and the name, after the handshake: all that is wrong, in words. */
static void peer_facts(struct talk *t)
{
	struct doctor_probe *p = t->p;
	const char *want = *p->name ? p->name : p->host;
	X509 *x = SSL_get1_peer_certificate(t->ssl);
	long verdict = SSL_get_verify_result(t->ssl);
	struct addr a;
	bool named;

	if (!x) {
		snprintf(p->tls, sizeof(p->tls), "it shows no certificate");
		return;
	}
	names_text(x, p->names, sizeof(p->names));
	doctor_cert_fingerprint(x, p->fingerprint);
	p->not_after = doctor_cert_time(X509_get0_notAfter(x));
	named = addr_parse(span_str(want), &a)
			? X509_check_host(x, want, 0, X509_CHECK_FLAG_NEVER_CHECK_SUBJECT, NULL) ==
				  1
			: X509_check_ip_asc(x, want, 0) == 1;
	if (verdict != X509_V_OK)
		snprintf(p->tls, sizeof(p->tls), "%s", X509_verify_cert_error_string(verdict));
	else if (!named)
		snprintf(p->tls, sizeof(p->tls), "wanted the name %.120s, it has %.120s", want,
			 *p->names ? p->names : "none");
	X509_free(x);
}

static bool talk_tls(struct talk *t)
{
	struct doctor_probe *p = t->p;
	X509_STORE *store = doctor_cert_store(p->ca);
	struct addr a;
	int r;

	t->ctx = store ? SSL_CTX_new(TLS_client_method()) : NULL;
	if (!t->ctx) {
		X509_STORE_free(store);
		return failed(t, "%s cannot be read as a list of CAs",
			      p->ca ? p->ca : "the system's list of CAs");
	}
	SSL_CTX_set_cert_store(t->ctx, store);
	SSL_CTX_set_verify(t->ctx, SSL_VERIFY_NONE,
			   NULL); /* judged afterwards, so that all is seen */
	if (p->cert && (SSL_CTX_use_certificate_chain_file(t->ctx, p->cert) != 1 ||
			SSL_CTX_use_PrivateKey_file(t->ctx, p->key, SSL_FILETYPE_PEM) != 1))
		return failed(t, "our certificate %s and its key cannot be used", p->cert);
	t->ssl = SSL_new(t->ctx);
	if (!t->ssl || !SSL_set_fd(t->ssl, t->fd))
		return failed(t, "out of memory");
	if (addr_parse(span_str(p->host), &a))
		SSL_set_tlsext_host_name(t->ssl, p->host);
	if (p->kind == PROBE_XMPPS)
		SSL_set_alpn_protos(t->ssl, (const unsigned char *)"\013xmpp-client", 12);
	do {
		ERR_clear_error();
		r = SSL_connect(t->ssl);
	} while (talk_again(t, r));
	if (r == 1) {
		peer_facts(t);
		return true;
	}
	switch (SSL_get_error(t->ssl, r)) {
	case SSL_ERROR_WANT_READ:
	case SSL_ERROR_WANT_WRITE:
		return failed(t, "no answer to the TLS handshake within %d s",
			      (now_ms() < t->due_ms ? STEP_MS : TALK_MS) / 1000);
	case SSL_ERROR_SSL:
		return failed(t, "TLS: %s",
			      ERR_reason_error_string(ERR_peek_last_error()) ?: "refused");
	default:
		return failed(t, "the connection ended in the TLS handshake");
	}
}

static bool talk_say(struct talk *t, const char *text)
{
	size_t n = strlen(text);
	ssize_t r = t->ssl ? SSL_write(t->ssl, text, (int)n) : send(t->fd, text, n, MSG_NOSIGNAL);

	return r == (ssize_t)n || failed(t, "the connection ended");
}

static ssize_t talk_read(struct talk *t, char *buf, size_t max)
{
	int r;

	if (!t->ssl)
		return talk_wait(t, POLLIN) ? recv(t->fd, buf, max, 0) : -1;
	do
		r = SSL_read(t->ssl, buf, (int)max);
	while (talk_again(t, r));
	return r;
}

/* Until @end is in it, or ANSWER_MAX. @buf is a string. */
static bool talk_hear(struct talk *t, const char *end, char *buf, size_t max)
{
	size_t n = 0;
	ssize_t r;

	buf[0] = 0;
	while (n + 1 < max && !strstr(buf, end)) {
		if (now_ms() >= t->due_ms)
			return failed(t, "its answer takes longer than %d s", TALK_MS / 1000);
		r = talk_read(t, buf + n, max - n - 1);
		if (r <= 0)
			return failed(t,
				      n	       ? "its answer ends too early"
				      : r == 0 ? "it closes the connection without an answer"
					       : "no answer within %d s",
				      STEP_MS / 1000);
		n += (size_t)r;
		buf[n] = 0;
	}
	return true;
}

static void first_line(struct doctor_probe *p, const char *buf)
{
	size_t i;

	snprintf(p->answer, sizeof(p->answer), "%.*s", (int)strcspn(buf, "\r\n"), buf);
	for (i = 0; p->answer[i]; i++)
		if (p->answer[i] < ' ' || p->answer[i] > '~')
			p->answer[i] = '?';
}

/* ---- protocols ---- */

static void base64url(const char *in, char *out)
{
	static const char abc[] =
		"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
	unsigned bits = 0, n = 0;

	for (; *in; in++) {
		bits = bits << 8 | (unsigned char)*in;
		for (n += 8; n >= 6; n -= 6)
			*out++ = abc[bits >> (n - 6) & 63];
	}
	if (n)
		*out++ = abc[bits << (6 - n) & 63];
	*out = 0;
}

static void http_date(struct doctor_probe *p, const char *head)
{
	const char *at = strcasestr(head, "\r\ndate:");
	struct tm tm = {};

	if (at && strptime(at + 7 + strspn(at + 7, " "), "%a, %d %b %Y %H:%M:%S GMT", &tm)) {
		p->date_s = (long long)timegm(&tm);
		p->asked_s = (long long)time(NULL);
	}
}

static void ask_http(struct talk *t)
{
	char path[400] = "/", req[1200], buf[ANSWER_MAX];
	struct doctor_probe *p = t->p;

	if (p->kind == PROBE_EDGE) {
		path[0] = '/';
		base64url(p->domain, path + 1);
		strcat(path, "/get_edge_config");
	}
	snprintf(req, sizeof(req),
		 "%s %s HTTP/1.1\r\nHost: %s:%u\r\nUser-Agent: sallyctl-doctor\r\nConnection: "
		 "close\r\n\r\n",
		 p->kind == PROBE_EDGE ? "GET" : "HEAD", path, p->host, p->to.port);
	if (!talk_say(t, req) || !talk_hear(t, "\r\n\r\n", buf, sizeof(buf)))
		return;
	first_line(p, buf);
	http_date(p, buf);
}

static void ask_sip(struct talk *t)
{
	static const char *const via[] = {
		[PROBE_SIP_UDP] = "UDP", [PROBE_SIP_TCP] = "TCP", [PROBE_SIP_TLS] = "TLS"};
	struct doctor_probe *p = t->p;
	const char *uri = *p->domain ? p->domain : p->host;
	struct sockaddr_storage ss;
	socklen_t n = sizeof(ss);
	char us[ADDR_TEXT_MAX], req[2000], buf[ANSWER_MAX];
	struct addr a = {};
	ssize_t got = 0;
	int i;

	getsockname(t->fd, (struct sockaddr *)&ss, &n);
	addr_from_sockaddr((struct sockaddr *)&ss, &a);
	addr_text(&a, us);
	snprintf(req, sizeof(req),
		 "OPTIONS sip:%s SIP/2.0\r\nVia: SIP/2.0/%s "
		 "%s;branch=z9hG4bKdoctor%u;rport\r\nMax-Forwards: 10\r\n"
		 "From: <sip:doctor@%s>;tag=d%u\r\nTo: <sip:%s>\r\nCall-ID: "
		 "doctor-%u-%d@%s\r\nCSeq: 1 OPTIONS\r\n"
		 "Contact: <sip:doctor@%s>\r\nUser-Agent: sallyctl-doctor\r\nContent-Length: "
		 "0\r\n\r\n",
		 uri, via[p->kind], us, a.port, uri, a.port, uri, a.port, (int)getpid(),
		 "doctor.invalid", us);
	if (p->kind != PROBE_SIP_UDP) {
		if (talk_say(t, req) && talk_hear(t, "\r\n\r\n", buf, sizeof(buf)))
			first_line(p, buf);
		return;
	}
	for (i = 0; i < UDP_TRIES && got <= 0; i++) {
		struct pollfd pf = {.fd = t->fd, .events = POLLIN};

		if (!talk_say(t, req))
			break;
		if (poll(&pf, 1, UDP_TRY_MS) != 1)
			continue;
		got = recv(t->fd, buf, sizeof(buf) - 1, 0);
		if (got < 0 && errno == ECONNREFUSED) {
			failed(t, "%s (ICMP)", strerror(errno));
			return;
		}
	}
	if (got <= 0) {
		failed(t, "no answer to OPTIONS within %d s", UDP_TRIES * UDP_TRY_MS / 1000);
		return;
	}
	p->error[0] = 0;
	buf[got] = 0;
	first_line(p, buf);
}

static bool xmpp_open(struct talk *t, char *buf, size_t n)
{
	struct doctor_probe *p = t->p;
	char head[600];

	snprintf(head, sizeof(head),
		 "<?xml version='1.0'?><stream:stream to='%s' version='1.0' xmlns='jabber:client' "
		 "xmlns:stream='http://etherx.jabber.org/streams'>",
		 *p->domain ? p->domain : p->host);
	return talk_say(t, head) && talk_hear(t, "</stream:features>", buf, n);
}

static void ask_xmpp(struct talk *t)
{
	char buf[ANSWER_MAX];

	if (t->p->kind == PROBE_XMPPS) {
		if (talk_tls(t) && xmpp_open(t, buf, sizeof(buf)))
			strcpy(t->p->answer, "stream features");
		return;
	}
	if (!xmpp_open(t, buf, sizeof(buf)))
		return;
	if (!strstr(buf, "<starttls")) {
		failed(t, "it does not offer STARTTLS");
		return;
	}
	if (talk_say(t, "<starttls xmlns='urn:ietf:params:xml:ns:xmpp-tls'/>") &&
	    talk_hear(t, ">", buf, sizeof(buf))) {
		if (!strstr(buf, "<proceed"))
			failed(t, "it refuses STARTTLS");
		else if (talk_tls(t) && xmpp_open(t, buf, sizeof(buf)))
			strcpy(t->p->answer, "stream features");
	}
}

/* What comes at once after the handshake: the edge waits for a Hello, an alert would not. */
static void ask_alert(struct talk *t)
{
	char c[2];

	t->due_ms = now_ms() + ALERT_MS;
	ERR_clear_error();
	if (talk_read(t, c, 1) <= 0 && ERR_peek_last_error())
		failed(t, "TLS: %s", ERR_reason_error_string(ERR_peek_last_error()));
}

void doctor_probe_run(struct doctor_probe *p)
{
	struct talk t = {.p = p, .fd = -1};
	bool tls = p->kind == PROBE_TLS || p->kind == PROBE_HTTPS || p->kind == PROBE_EDGE ||
		   p->kind == PROBE_SIP_TLS;

	if (talk_open(&t, p->kind == PROBE_SIP_UDP ? SOCK_DGRAM : SOCK_STREAM) &&
	    (!tls || talk_tls(&t))) {
		switch (p->kind) {
		case PROBE_HTTP:
		case PROBE_HTTPS:
		case PROBE_EDGE:
			ask_http(&t);
			break;
		case PROBE_SIP_UDP:
		case PROBE_SIP_TCP:
		case PROBE_SIP_TLS:
			ask_sip(&t);
			break;
		case PROBE_XMPP:
		case PROBE_XMPPS:
			ask_xmpp(&t);
			break;
		default: /* the connection, the handshake: that was it. A refused client certificate is told after it (TLS 1.3) */
			if (p->cert && !*p->tls)
				ask_alert(&t);
		}
	}
	talk_close(&t);
}
