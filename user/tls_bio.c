/* user/tls_bio.c -- OpenSSL's way to the socket: as its own socket BIO, with one difference.
 *
 * In: what OpenSSL reads and writes. Out: system calls on the caller's descriptor. Owner: the SSL owns the BIO, nobody the descriptor.
 *
 * The session ticket of TLS 1.3 goes out behind the handshake, in a segment of its own, shortly before the first answer. With
 * MSG_MORE the kernel keeps it for that answer, or for 200 ms (tcp(7), TCP_CORK): one packet and its acknowledgement fewer a client. */
#include <errno.h>
#include <sys/socket.h>

#include "user/tls_impl.h"

static int socket_write(BIO *b, const char *p, int n)
{
	struct tls_conn *t = BIO_get_data(b);
	int more = SSL_get_state(t->ssl) == TLS_ST_SW_SESSION_TICKET ? MSG_MORE : 0;
	ssize_t ret = send(t->fd, p, (size_t)n, MSG_NOSIGNAL | more);

	BIO_clear_retry_flags(b);
	if (ret < 0 && (errno == EAGAIN || errno == EINTR))
		BIO_set_retry_write(b);
	return (int)ret;
}

static int socket_read(BIO *b, char *p, int n)
{
	struct tls_conn *t = BIO_get_data(b);
	ssize_t ret = recv(t->fd, p, (size_t)n, 0);

	BIO_clear_retry_flags(b);
	if (ret < 0 && (errno == EAGAIN || errno == EINTR))
		BIO_set_retry_read(b);
	t->fin |= ret == 0;
	return (int)ret;
}

static long socket_ctrl(BIO *b, int cmd, long arg, void *p)
{
	const struct tls_conn *t = BIO_get_data(b);

	(void)arg, (void)p;
	if (cmd == BIO_CTRL_EOF)
		return t->fin;
	return cmd == BIO_CTRL_FLUSH;
}

int tls_bio_init(BIO_METHOD **out)
{
	BIO_METHOD *m = BIO_meth_new(BIO_TYPE_SOURCE_SINK, "socket");

	if (!m || !BIO_meth_set_write(m, socket_write) || !BIO_meth_set_read(m, socket_read) ||
	    !BIO_meth_set_ctrl(m, socket_ctrl)) {
		BIO_meth_free(m);
		return -ENOMEM;
	}
	*out = m;
	return 0;
}

int tls_bio_attach(struct tls_conn *t, int fd)
{
	BIO *b = BIO_new(t->ctx->socket);

	if (!b)
		return -ENOMEM;
	t->fd = fd;
	BIO_set_data(b, t);
	BIO_set_init(b, 1);
	SSL_set_bio(t->ssl, b, b);
	return 0;
}
