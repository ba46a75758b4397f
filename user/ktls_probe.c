/* user/ktls_probe.c -- what this kernel's TLS can do, by trying it. See ktls.h.
 *
 * In: nothing. Out: an errno a version, cipher and direction. Owner: the sockets live within ktls_probe(). */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "user/ktls.h"

#ifndef TCP_ULP
#define TCP_ULP 31
#endif

#define PROBE_WAIT_MS 2000

/* A connected pair on 127.0.0.1: @p[0] sends, @p[1] receives. */
static int tcp_pair(int p[2])
{
	struct sockaddr_in a = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	socklen_t n = sizeof(a);
	int listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), ret = 0;

	p[0] = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	p[1] = -1;
	if (listener < 0 || p[0] < 0 || bind(listener, (struct sockaddr *)&a, n) ||
	    listen(listener, 1) || getsockname(listener, (struct sockaddr *)&a, &n) ||
	    connect(p[0], (struct sockaddr *)&a, n))
		ret = -errno;
	if (!ret)
		p[1] = accept4(listener, NULL, NULL, SOCK_CLOEXEC);
	if (!ret && p[1] < 0)
		ret = -errno;
	if (listener >= 0)
		close(listener);
	if (ret && p[0] >= 0)
		close(p[0]);
	return ret;
}

/* A byte through both directions' keys. */
static int record_through(int p[2], struct ktls *from, struct ktls *to)
{
	struct pollfd pfd = {.fd = p[1], .events = POLLIN};
	const char *why = NULL;
	char c = 0;
	ssize_t ret = ktls_write(from, p[0], "p", 1, &why);

	if (ret < 0)
		return (int)-ret;
	if (poll(&pfd, 1, PROBE_WAIT_MS) != 1)
		return ETIMEDOUT;
	ret = ktls_read(to, p[1], &c, 1, &why);
	return ret < 0 ? (int)-ret : ret == 1 && c == 'p' ? 0 : EBADMSG;
}

static void suite_probe(struct ktls_probe *out, enum ktls_version v, enum ktls_cipher c)
{
	struct ktls from = {.version = v, .cipher = c}, to = from;
	struct ktls_keys keys = {.key = {1, 2, 3}, .iv = {4, 5, 6}};
	int p[2], ret = tcp_pair(p);

	out->of[v][c].rekey = EBUSY;
	if (ret) {
		out->of[v][c].dir[KTLS_RX] = out->of[v][c].dir[KTLS_TX] = -ret;
		return;
	}
	ret = ktls_start(&from, p[0], NULL, &keys);
	out->of[v][c].dir[KTLS_TX] = -ret;
	/* Its own sending direction comes with it: what a connection gets. */
	ret = ktls_start(&to, p[1], &keys, &keys);
	out->of[v][c].dir[KTLS_RX] = -ret;
	if (!out->of[v][c].dir[KTLS_RX] && !out->of[v][c].dir[KTLS_TX])
		out->of[v][c].dir[KTLS_RX] = record_through(p, &from, &to);
	if (v == KTLS_1_3 && !out->of[v][c].dir[KTLS_RX]) {
		ret = ktls_start(&to, p[1], &keys, &keys);
		out->of[v][c].rekey = -ret;
	}
	close(p[0]);
	close(p[1]);
}

int ktls_probe(struct ktls_probe *out)
{
	int p[2], ret = tcp_pair(p);
	unsigned v, c;

	*out = (struct ktls_probe){};
	if (!ret) {
		if (setsockopt(p[0], IPPROTO_TCP, TCP_ULP, "tls", sizeof("tls")))
			out->ulp = errno;
		close(p[0]);
		close(p[1]);
	} else {
		out->ulp = -ret;
	}
	for (v = 0; v < KTLS_VERSIONS; v++)
		for (c = 0; c < KTLS_CIPHERS; c++) {
			if (!out->ulp) {
				suite_probe(out, v, c);
				continue;
			}
			out->of[v][c].dir[KTLS_RX] = out->of[v][c].dir[KTLS_TX] = out->ulp;
			out->of[v][c].rekey = out->ulp;
		}
	return ret;
}

bool ktls_usable(const struct ktls_probe *p)
{
	unsigned v, c;

	for (v = 0; v < KTLS_VERSIONS; v++)
		for (c = 0; c < KTLS_CIPHERS; c++)
			if (!p->of[v][c].dir[KTLS_TX])
				return true;
	return false;
}

const char *ktls_version_name(enum ktls_version v)
{
	return v == KTLS_1_3 ? "TLSv1.3" : "TLSv1.2";
}

const char *ktls_cipher_name(enum ktls_cipher c)
{
	static const char *const names[KTLS_CIPHERS] = {"AES-128-GCM", "AES-256-GCM",
							"ChaCha20-Poly1305"};

	return names[c];
}

const char *ktls_why(const struct ktls_probe *p, enum ktls_version v, enum ktls_cipher c,
		     enum ktls_dir d, char buf[KTLS_WHY_MAX])
{
	int err = p->ulp ? p->ulp : p->of[v][c].dir[d];
	const char *name = err ? strerrorname_np(err) : "";

	if (p->ulp == ENOENT)
		snprintf(buf, KTLS_WHY_MAX,
			 "ENOENT: the kernel has no tls module loaded: modprobe tls, and a line "
			 "tls in "
			 "/etc/modules-load.d/; or it is built without CONFIG_TLS");
	else if (p->ulp)
		snprintf(buf, KTLS_WHY_MAX, "%s: TCP_ULP tls is refused", name);
	else if (err == ENOENT)
		snprintf(buf, KTLS_WHY_MAX, "ENOENT: the kernel has no %s: modprobe %s",
			 ktls_cipher_name(c), c == KTLS_CHACHA20 ? "chacha20poly1305" : "gcm");
	else if (err)
		snprintf(buf, KTLS_WHY_MAX, "%s: the kernel refuses %s %s to %s",
			 name ? name : "error", ktls_version_name(v), ktls_cipher_name(c),
			 d == KTLS_RX ? "receive" : "send");
	else
		buf[0] = 0;
	return buf;
}
