/* user/keeper_carrier.c -- see keeper_carrier.h. In: descriptors. Out: a socket that holds them; duplicates. */
#include "user/keeper_carrier.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define CARRIER_FDS 253 /* a message: the kernel's SCM_MAX_FD */

union carrier_control {
	struct cmsghdr align;
	char buf[CMSG_SPACE(CARRIER_FDS * sizeof(int))];
};

static int send_some(int to, int first, unsigned n)
{
	union carrier_control control = {.buf = {0}};
	char byte = 0;
	struct iovec iov = {&byte, 1};
	struct msghdr m = {.msg_iov = &iov,
			   .msg_iovlen = 1,
			   .msg_control = control.buf,
			   .msg_controllen = CMSG_SPACE(n * sizeof(int))};
	struct cmsghdr *c = CMSG_FIRSTHDR(&m);
	unsigned i;

	c->cmsg_level = SOL_SOCKET;
	c->cmsg_type = SCM_RIGHTS;
	c->cmsg_len = CMSG_LEN(n * sizeof(int));
	for (i = 0; i < n; i++)
		memcpy(CMSG_DATA(c) + i * sizeof(int), &(int){first + (int)i}, sizeof(int));
	return sendmsg(to, &m, MSG_DONTWAIT | MSG_NOSIGNAL) == 1 ? 0 : -errno;
}

int carrier_pack(int first, unsigned n)
{
	int pair[2], err = 0;

	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair))
		return -errno;
	while (n && !err) {
		unsigned k = n < CARRIER_FDS ? n : CARRIER_FDS;

		err = send_some(pair[0], first, k);
		first += (int)k;
		n -= k;
	}
	close(pair[0]); /* so that the end of the messages is seen as such */
	if (err)
		close(pair[1]);
	return err ? err : pair[1];
}

static int option(int fd, int what)
{
	int v = -1;
	socklen_t n = sizeof(v);

	return getsockopt(fd, SOL_SOCKET, what, &v, &n) ? -1 : v;
}

bool carrier_is(int fd)
{
	return option(fd, SO_DOMAIN) == AF_UNIX && option(fd, SO_TYPE) == SOCK_SEQPACKET;
}

/* One message, left where it is: *@fds gets room for it and *@n grows. 1; 0: there is none any more; a negative errno. */
static int look_at_one(int fd, int **fds, unsigned *n)
{
	union carrier_control control;
	char byte;
	struct iovec iov = {&byte, 1};
	struct msghdr m = {.msg_iov = &iov,
			   .msg_iovlen = 1,
			   .msg_control = control.buf,
			   .msg_controllen = sizeof(control.buf)};
	int *grown = realloc(*fds, (*n + CARRIER_FDS) * sizeof(int));
	struct cmsghdr *c;
	ssize_t got;

	if (!grown)
		return -ENOMEM;
	*fds = grown;
	got = recvmsg(fd, &m, MSG_PEEK | MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
	if (got <= 0)
		return got < 0 ? -errno : 0;
	for (c = CMSG_FIRSTHDR(&m); c; c = CMSG_NXTHDR(&m, c)) {
		if (c->cmsg_level != SOL_SOCKET || c->cmsg_type != SCM_RIGHTS)
			continue;
		memcpy(*fds + *n, CMSG_DATA(c), c->cmsg_len - CMSG_LEN(0));
		*n += (unsigned)((c->cmsg_len - CMSG_LEN(0)) / sizeof(int));
	}
	return m.msg_flags & MSG_CTRUNC ? -EMFILE : 1; /* no room for another descriptor */
}

int carrier_unpack(int fd, int **out)
{
	int *fds = NULL, err = 1, from = 0, off = -1;
	unsigned n = 0;

	if (setsockopt(fd, SOL_SOCKET, SO_PEEK_OFF, &from, sizeof(from)))
		return -errno;
	while (err > 0)
		err = look_at_one(fd, &fds, &n);
	(void)setsockopt(fd, SOL_SOCKET, SO_PEEK_OFF, &off, sizeof(off));
	if (!err) {
		*out = fds;
		return (int)n;
	}
	while (n)
		close(fds[--n]);
	free(fds);
	return err;
}
