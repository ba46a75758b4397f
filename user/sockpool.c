/* user/sockpool.c -- see sockpool.h. In: addresses and counts of the configuration. Out: bound sockets in a keeper's plan; in the
 * worker, sockets that are awake or resting. */
#include "user/sockpool.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/filter.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include "user/keeper_store.h"

/* The ring of a service that just ended lets go of its sockets a moment later. */
#define SOCKPOOL_BIND_TRIES   20
#define SOCKPOOL_BIND_WAIT_US 50000
#define SOCKPOOL_DRAIN_MAX    65536 /* datagrams: more than any buffer holds */

static int udp_bound(const struct addr *a, int rcvbuf)
{
	struct sockaddr_storage ss;
	socklen_t n = addr_to_sockaddr(a, &ss);
	int fd = socket(ss.ss_family, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0), on = 1, err;

	if (fd < 0)
		return -errno;
	if (setsockopt(fd, SOL_SOCKET, SO_RCVBUFFORCE, &rcvbuf, sizeof(rcvbuf)))
		setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &rcvbuf, sizeof(rcvbuf));
	if (ss.ss_family == AF_INET6)
		setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &on, sizeof(on));
	if (bind(fd, (struct sockaddr *)&ss, n) == 0)
		return fd;
	err = -errno;
	close(fd);
	return err;
}

/* A bound, resting socket as descriptor @at, inherited over exec. */
static int pool_socket(const struct sockpool_wish *w, uint32_t port, int at)
{
	struct addr a = w->first;
	int fd, got, err;

	a.port = (uint16_t)port;
	fd = udp_bound(&a, w->rcvbuf);
	if (fd < 0)
		return fd;
	got = fcntl(fd, F_DUPFD, at);
	err = got < 0 ? -errno : 0;
	close(fd);
	if (err)
		return err == -EINVAL ? -EMFILE : err; /* past RLIMIT_NOFILE */
	if (got == at)
		err = sockpool_rest(got);
	else
		err = -EEXIST;
	if (err)
		close(got);
	return err;
}

static void pool_close(int first, unsigned n)
{
	while (n)
		close(first + (int)--n);
}

/* The ports @port .. @port + step - 1, as the pool's next descriptors; all or none. */
static int pool_group(const struct sockpool_wish *w, uint32_t port, int at)
{
	unsigned i;
	int err;

	for (i = 0; i < w->step; i++) {
		err = pool_socket(w, port + i, at + (int)i);
		if (err) {
			pool_close(at, i);
			return err;
		}
	}
	return 0;
}

static int pool_fill(const struct sockpool_wish *w, int first, unsigned *out_n)
{
	uint32_t port = w->first.port;
	int err;

	for (*out_n = 0; *out_n < w->n && port + w->step <= w->end; port += w->step) {
		err = pool_group(w, port, first + (int)*out_n);
		if (!err)
			*out_n += w->step;
		else if (err != -EADDRINUSE)
			return err;
	}
	return *out_n < w->n ? -EADDRINUSE : 0;
}

/* The first of @n descriptors in a row that are free, above what the other openers still want. */
static int pool_base(unsigned n)
{
	int base = 2 * KEEPER_FDS_MAX, fd;

	for (fd = base; fd < base + (int)n; fd++)
		if (fcntl(fd, F_GETFD) >= 0)
			base = fd + 1;
	return base;
}

static int pool_fail(const struct sockpool_wish *w, unsigned n, int err, char *why, size_t why_n)
{
	struct rlimit r = {};
	char ip[ADDR_TEXT_MAX];

	if (err == -EMFILE) {
		getrlimit(RLIMIT_NOFILE, &r);
		snprintf(why, why_n,
			 "%s: wanted %u sockets, and descriptors end at %llu: raise the limit of "
			 "open files "
			 "(LimitNOFILE=) or lower %s",
			 w->name, w->n, (unsigned long long)r.rlim_cur, w->setting);
	} else if (err == -EADDRINUSE) {
		snprintf(why, why_n,
			 "%s: wanted %u free UDP ports of %s from %u to %u, got %u: widen the "
			 "range or "
			 "lower %s",
			 w->name, w->n, addr_ip_text(&w->first, ip), w->first.port, w->end - 1, n,
			 w->setting);
	} else {
		snprintf(why, why_n, "%s: udp %s: %s", w->name, addr_ip_text(&w->first, ip),
			 strerror(-err));
	}
	return err;
}

/* ---- those of a keeper before ---- */

struct pool_found {
	int fd;
	uint16_t port;
};

static int found_order(const void *a, const void *b)
{
	return (int)((const struct pool_found *)a)->port -
	       (int)((const struct pool_found *)b)->port;
}

/* Whether @fd is a UDP socket of @w's address and ports. */
static bool found_one(const struct sockpool_wish *w, int fd, struct pool_found *out)
{
	struct sockaddr_storage ss = {0};
	socklen_t n = sizeof(ss), m = sizeof(int);
	struct addr at;
	int type = 0;

	if (getsockopt(fd, SOL_SOCKET, SO_TYPE, &type, &m) || type != SOCK_DGRAM ||
	    getsockname(fd, (struct sockaddr *)&ss, &n) ||
	    addr_from_sockaddr((struct sockaddr *)&ss, &at) || !addr_ip_eq(&at, &w->first) ||
	    at.port < w->first.port || at.port >= w->end)
		return false;
	*out = (struct pool_found){fd, at.port};
	return true;
}

/* They are as many as are wanted, each group whole, and lie in a row from @first on in the end. NULL, or why not. */
static const char *found_move(const struct sockpool_wish *w, struct pool_found *f, int first)
{
	unsigned i;

	qsort(f, w->n, sizeof(*f), found_order);
	for (i = 0; i < w->n; i++)
		if ((f[i].port - w->first.port) % w->step != i % w->step ||
		    (i % w->step && f[i].port != f[i - 1].port + 1))
			return "not in groups of the ports that are wanted now";
	for (i = 0; i < w->n; i++) {
		int got = fcntl(f[i].fd, F_DUPFD, first + (int)i);

		if (got != first + (int)i) {
			if (got >= 0)
				close(got);
			while (i)
				close(first + (int)--i);
			return "no descriptors in a row are free";
		}
	}
	return NULL;
}

/* Whether the pool is there already, awake or resting as its worker left it. */
static bool pool_taken(struct keeper_plan *p, const struct sockpool_wish *w, int first)
{
	struct pool_found *f;
	const char *why = NULL;
	char name[16];
	unsigned i;
	int *fds, n;

	keeper_range_name(w->name, name);
	n = keeper_take_all(p, name, w->n, &fds);
	if (n == 0)
		return false;
	if (n < 0) {
		keeper_refuse(p, name, -1, n == -E2BIG ? "more than are wanted now" : "no memory");
		return false;
	}
	f = calloc(w->n, sizeof(*f));
	if (!f || (unsigned)n < w->n)
		why = f ? "fewer than are wanted now" : "no memory";
	for (i = 0; !why && i < w->n; i++)
		if (!found_one(w, fds[i], &f[i]))
			why = "of another address or port than the configuration's";
	if (!why)
		why = found_move(w, f, first);
	for (i = 0; i < (unsigned)n; i++)
		close(fds[i]);
	if (why)
		keeper_refuse(p, name, -1, why);
	free(f);
	free(fds);
	return !why;
}

int sockpool_bind(struct keeper_plan *p, const struct sockpool_wish *w, char *why, size_t why_n)
{
	int first = pool_base(w->n), err = w->n && w->step && w->n % w->step == 0 ? 0 : -EINVAL;
	bool taken = !err && pool_taken(p, w, first);
	unsigned n = taken ? w->n : 0, i;

	if (!err && !taken)
		err = pool_fill(w, first, &n);
	for (i = 0; err == -EADDRINUSE && i < SOCKPOOL_BIND_TRIES; i++) {
		pool_close(first, n);
		usleep(SOCKPOOL_BIND_WAIT_US);
		err = pool_fill(w, first, &n);
	}
	if (!err)
		err = keeper_add_range(p, w->name, first, n);
	if (!err) {
		keeper_outlives(p, taken);
		return 0;
	}
	pool_close(first, n);
	return pool_fail(w, n, err, why, why_n);
}

int sockpool_get(const char *name, struct sockpool *out)
{
	struct sockpool s;

	s.first = keeper_fd_range(name, &s.n);
	if (s.first < 0)
		return -ENOENT;
	*out = s;
	return 0;
}

uint16_t sockpool_port(int fd)
{
	union {
		struct sockaddr_storage ss;
		struct sockaddr_in v4;
		struct sockaddr_in6 v6;
	} u;
	socklen_t n = sizeof(u);

	if (getsockname(fd, (struct sockaddr *)&u, &n))
		return 0;
	return ntohs(u.ss.ss_family == AF_INET6 ? u.v6.sin6_port : u.v4.sin_port);
}

/* Disconnecting an IPv6 socket leaves its peer's address in place (seen on 6.18): it would hear that one for ever. So those rest behind
 * a filter that drops all, which is silent. */
static int filter_put(int fd)
{
	struct sock_filter none = BPF_STMT(BPF_RET | BPF_K, 0);
	const struct sock_fprog p = {.len = 1, .filter = &none};

	return setsockopt(fd, SOL_SOCKET, SO_ATTACH_FILTER, &p, sizeof(p)) ? -errno : 0;
}

static int filter_off(int fd)
{
	int none = 0;

	if (setsockopt(fd, SOL_SOCKET, SO_DETACH_FILTER, &none, sizeof(none)) && errno != ENOENT)
		return -errno;
	return 0;
}

static int peer_off(int fd)
{
	struct sockaddr none = {.sa_family = AF_UNSPEC};

	return connect(fd, &none, sizeof(none)) ? -errno : 0;
}

/* By itself it takes nothing out of the buffer: the bound address stays, so only the peer is forgotten. */
int sockpool_wake(int fd)
{
	struct sockaddr_storage ss;
	socklen_t n = sizeof(ss);
	unsigned i;
	char b;

	if (getsockname(fd, (struct sockaddr *)&ss, &n))
		return -errno;
	for (i = 0; i < SOCKPOOL_DRAIN_MAX; i++)
		if (recv(fd, &b, 1, MSG_DONTWAIT) < 0 && errno == EAGAIN)
			break;
	return ss.ss_family == AF_INET6 ? filter_off(fd) : peer_off(fd);
}

int sockpool_rest(int fd)
{
	struct sockaddr_storage ss;
	socklen_t n = sizeof(ss);

	if (getsockname(fd, (struct sockaddr *)&ss, &n))
		return -errno;
	if (ss.ss_family == AF_INET6)
		return filter_put(fd);
	return connect(fd, (struct sockaddr *)&ss, n) ? -errno : 0;
}

bool sockpool_resting(int fd)
{
	struct sockaddr_storage ss;
	socklen_t n = sizeof(ss), filter = 0;

	if (!getpeername(fd, (struct sockaddr *)&ss, &n))
		return true;
	return !getsockopt(fd, SOL_SOCKET, SO_GET_FILTER, NULL, &filter) && filter;
}
