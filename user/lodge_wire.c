/* user/lodge_wire.c -- see lodge_wire.h. In: messages and descriptors. Out: the same at the other end of the channel. */
#include "user/lodge_wire.h"

#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

union control {
	struct cmsghdr head; /* its alignment */
	char bytes[CMSG_SPACE(LODGE_GIVEN_MAX * sizeof(int))];
};

int lodge_msg_send(int fd, const struct lodge_msg *m, const int *fds, unsigned n)
{
	struct iovec iov = {.iov_base = (void *)m, .iov_len = sizeof(*m)};
	struct msghdr h = {.msg_iov = &iov, .msg_iovlen = 1};
	union control c = {};
	ssize_t got;

	if (n) {
		h.msg_control = c.bytes;
		h.msg_controllen = CMSG_SPACE(n * sizeof(int));
		c.head.cmsg_level = SOL_SOCKET;
		c.head.cmsg_type = SCM_RIGHTS;
		c.head.cmsg_len = CMSG_LEN(n * sizeof(int));
		memcpy(CMSG_DATA(&c.head), fds, n * sizeof(int));
	}
	do {
		got = sendmsg(fd, &h, MSG_DONTWAIT | MSG_NOSIGNAL);
	} while (got < 0 && errno == EINTR);
	return got < 0 ? -errno : 0;
}

static unsigned control_fds(struct msghdr *h, int *fds)
{
	struct cmsghdr *c = CMSG_FIRSTHDR(h);
	unsigned n;

	/* The kernel puts all descriptors of a message into one control message, and we ask for no other kind. */
	if (!c || c->cmsg_level != SOL_SOCKET || c->cmsg_type != SCM_RIGHTS)
		return 0;
	n = (unsigned)((c->cmsg_len - CMSG_LEN(0)) / sizeof(int));
	if (n > LODGE_GIVEN_MAX) /* the room given ends before */
		n = LODGE_GIVEN_MAX;
	memcpy(fds, CMSG_DATA(c), n * sizeof(int));
	return n;
}

int lodge_msg_recv(int fd, struct lodge_msg *m, int *fds, unsigned *n, bool *cut)
{
	struct iovec iov = {.iov_base = m, .iov_len = sizeof(*m)};
	union control c = {};
	struct msghdr h = {.msg_iov = &iov,
			   .msg_iovlen = 1,
			   .msg_control = c.bytes,
			   .msg_controllen = sizeof(c.bytes)};
	ssize_t got;

	*n = 0;
	*cut = false;
	do {
		got = recvmsg(fd, &h, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
	} while (got < 0 && errno == EINTR);
	if (got < 0)
		return errno == ECONNRESET ? 0 : -errno;
	*n = control_fds(&h, fds);
	*cut = h.msg_flags & MSG_CTRUNC;
	if (got == (ssize_t)sizeof(*m) && !(h.msg_flags & MSG_TRUNC))
		return 1;
	while (*n)
		close(fds[--*n]);
	return got == 0 ? 0 : -EBADMSG;
}

const char *lodge_msg_text(struct lodge_msg *m)
{
	m->text[LODGE_TEXT - 1] = 0;
	return m->text;
}
