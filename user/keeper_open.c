/* user/keeper_open.c -- what a keeper opens before it gives up its privileges, and how its worker finds it again.
 *
 * In: names, addresses, paths. Out: descriptors in a plan (keeper), by name from SALLYPORT_FDS (worker). The plan owns them for the
 * keeper's life; the worker owns its duplicates. */
#include "user/keeper.h"

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <netinet/in.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "user/addr.h"
#include "user/keeper_store.h"

#define KEEPER_BACKLOG 1024
/* The ring of a service that just ended lets go of its sockets a moment later. */
#define KEEPER_BIND_TRIES   20
#define KEEPER_BIND_WAIT_US 50000
#define KEEPER_FILE_MAX	    (1 << 20)
#define SEAL_SIZE	    (F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL)
#define SEAL_ALL	    (SEAL_SIZE | F_SEAL_WRITE)

static int fail(char *why, size_t why_n, const char *what, int err)
{
	snprintf(why, why_n, "%s: %s", what, strerror(-err));
	return err;
}

static struct keeper_fd_entry *entry_of(struct keeper_plan *p, const char *name)
{
	unsigned i;

	for (i = 0; i < p->n_fds; i++)
		if (strcmp(p->fds[i].name, name) == 0)
			return &p->fds[i];
	return NULL;
}

int keeper_add(struct keeper_plan *p, const char *name, int fd)
{
	struct keeper_fd_entry *e;

	if (fd < 0 || !*name || strpbrk(name, ",=") || entry_of(p, name))
		return -EINVAL;
	if (p->n_fds == KEEPER_FDS_MAX)
		return -ENOSPC;
	e = &p->fds[p->n_fds];
	if (strlen(name) >= sizeof(e->name))
		return -ENAMETOOLONG;
	if (fcntl(fd, F_SETFD, FD_CLOEXEC))
		return -errno;
	strcpy(e->name, name);
	e->fd = fd;
	e->was = 0;
	e->count = 0;
	e->outlives = e->taken = false;
	p->n_fds++;
	return 0;
}

int keeper_add_range(struct keeper_plan *p, const char *name, int first, unsigned n)
{
	int err = n ? keeper_add(p, name, first) : -EINVAL;

	if (err)
		return err;
	p->fds[p->n_fds - 1].count = n;
	return fcntl(first, F_SETFD, 0) ? -errno : 0;
}

/* Add @fd, or close it and say why not. */
static int add_or_close(struct keeper_plan *p, const char *name, int fd, char *why, size_t why_n)
{
	int err = keeper_add(p, name, fd);

	if (!err)
		return 0;
	close(fd);
	return fail(why, why_n, name, err);
}

/* A bound socket of @type, or a negative errno. */
static int bound_socket(const struct addr *a, int type)
{
	struct sockaddr_storage ss;
	socklen_t len = addr_to_sockaddr(a, &ss);
	int fd, one = 1, err = 0;

	fd = socket(ss.ss_family, type | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (fd < 0)
		return -errno;
	if (ss.ss_family == AF_INET6 &&
	    setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &one, sizeof(one)))
		err = -errno;
	/* Not for UDP: there it would let a second process share our port and take our datagrams. */
	if (!err && type == SOCK_STREAM &&
	    setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one)))
		err = -errno;
	if (!err && bind(fd, (struct sockaddr *)&ss, len))
		err = -errno;
	if (!err && type == SOCK_STREAM && listen(fd, KEEPER_BACKLOG))
		err = -errno;
	if (!err)
		return fd;
	close(fd);
	return err;
}

static int open_socket(struct keeper_plan *p, const char *name, const char *text, int type,
		       char *why, size_t why_n)
{
	struct addr a;
	char what[128];
	int fd = -EINVAL, i, err;
	bool taken = false;

	if (!addr_parse(span_str(text), &a) && a.port) {
		fd = keeper_take_socket(p, name, &a, type);
		taken = fd >= 0;
		if (!taken)
			fd = bound_socket(&a, type);
	}
	for (i = 0; fd == -EADDRINUSE && i < KEEPER_BIND_TRIES; i++) {
		usleep(KEEPER_BIND_WAIT_US);
		fd = bound_socket(&a, type);
	}

	if (fd >= 0) {
		err = add_or_close(p, name, fd, why, why_n);
		if (!err)
			keeper_outlives(p, taken);
		return err;
	}
	snprintf(what, sizeof(what), "%s: cannot %s %s %.64s", name,
		 type == SOCK_STREAM ? "listen on" : "bind", type == SOCK_STREAM ? "tcp" : "udp",
		 text);
	return fail(why, why_n, what, fd);
}

int keeper_listen_tcp(struct keeper_plan *p, const char *name, const char *addr_text, char *why,
		      size_t why_n)
{
	return open_socket(p, name, addr_text, SOCK_STREAM, why, why_n);
}

int keeper_bind_udp(struct keeper_plan *p, const char *name, const char *addr_text, char *why,
		    size_t why_n)
{
	return open_socket(p, name, addr_text, SOCK_DGRAM, why, why_n);
}

/* @fd with @seals; or closed, and @err or why not. */
static int sealed(int fd, int seals, int err)
{
	if (!err && fcntl(fd, F_ADD_SEALS, seals))
		err = -errno;
	if (err)
		close(fd);
	return err ? err : fd;
}

/* What the file holds now, as a sealed file without a name: a worker that starts again after a crash must not read what an
 * operator is about to write in place, half done and not checked. */
static int file_copy(int from)
{
	char buf[4096];
	int fd = memfd_create("sallyport-file", MFD_CLOEXEC | MFD_ALLOW_SEALING), err = 0;
	size_t at = 0;
	ssize_t n = 1;

	if (fd < 0)
		return -errno;
	while (!err && n > 0) {
		n = read(from, buf, sizeof(buf));
		if (n < 0)
			err = -errno;
		else if (at + (size_t)n > KEEPER_FILE_MAX)
			err = -EFBIG;
		else if (n > 0 && write(fd, buf, (size_t)n) != n)
			err = -ENOSPC;
		at += n > 0 ? (size_t)n : 0;
	}
	explicit_bzero(buf, sizeof(buf));
	return sealed(fd, SEAL_ALL, err);
}

static int file_open(const char *path, char *why, size_t why_n)
{
	struct stat st;
	int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK), ret;

	if (fd < 0)
		return fail(why, why_n, path, -errno);
	if (fstat(fd, &st))
		ret = -errno;
	else
		ret = S_ISREG(st.st_mode) ? file_copy(fd) : -EINVAL;
	close(fd);
	return ret < 0 ? fail(why, why_n, path, ret) : ret;
}

int keeper_open_file(struct keeper_plan *p, const char *name, const char *path, char *why,
		     size_t why_n)
{
	int fd = file_open(path, why, why_n);

	return fd < 0 ? fd : add_or_close(p, name, fd, why, why_n);
}

/* @fd in place of what the entry @name has, until keeper_reopened(). */
static int entry_replace(struct keeper_plan *p, const char *name, int fd, char *why, size_t why_n)
{
	struct keeper_fd_entry *e = entry_of(p, name);

	if (!e) {
		close(fd);
		return fail(why, why_n, name, -ENOENT);
	}
	if (e->was)
		close(e->fd);
	else
		e->was = e->fd + 1;
	e->fd = fd;
	return 0;
}

int keeper_reopen_file(struct keeper_plan *p, const char *name, const char *path, char *why,
		       size_t why_n)
{
	int fd = file_open(path, why, why_n);

	return fd < 0 ? fd : entry_replace(p, name, fd, why, why_n);
}

static int append_open(const char *path, char *why, size_t why_n)
{
	int fd = open(path, O_WRONLY | O_APPEND | O_CREAT | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC,
		      0640);
	struct stat st;

	if (fd < 0)
		return fail(why, why_n, path, -errno);
	/* O_NONBLOCK is for the opening, of what is no file. io_uring's write keeps to it where a disk cannot say that it would block: -EAGAIN. */
	if (fstat(fd, &st) || !S_ISREG(st.st_mode) || fcntl(fd, F_SETFL, O_APPEND)) {
		close(fd);
		return fail(why, why_n, path, -EINVAL);
	}
	return fd;
}

int keeper_open_append(struct keeper_plan *p, const char *name, const char *path, char *why,
		       size_t why_n)
{
	int fd = append_open(path, why, why_n);

	return fd < 0 ? fd : add_or_close(p, name, fd, why, why_n);
}

int keeper_reopen_append(struct keeper_plan *p, const char *name, const char *path, char *why,
			 size_t why_n)
{
	int fd = append_open(path, why, why_n);

	return fd < 0 ? fd : entry_replace(p, name, fd, why, why_n);
}

void keeper_reopened(struct keeper_plan *p, bool good)
{
	unsigned i;

	for (i = 0; i < p->n_fds; i++) {
		struct keeper_fd_entry *e = &p->fds[i];

		if (!e->was)
			continue;
		close(good ? e->was - 1 : e->fd);
		if (!good)
			e->fd = e->was - 1;
		e->was = 0;
	}
}

/* Take @path away if it is the socket of a keeper that is gone; -EADDRINUSE if one still answers there. */
static int clear_stale(const char *path, const struct sockaddr_un *sa)
{
	struct stat st;
	int fd, rc;

	if (lstat(path, &st))
		return errno == ENOENT ? 0 : -errno;
	if (!S_ISSOCK(st.st_mode))
		return -EEXIST;
	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (fd < 0)
		return -errno;
	rc = connect(fd, (const struct sockaddr *)sa, sizeof(*sa));
	rc = rc ? errno : 0;
	close(fd);
	if (rc != ECONNREFUSED)
		return -EADDRINUSE;
	return unlink(path) ? -errno : 0;
}

/* The folder, one level: /run is empty after a boot. */
static int make_folder(const char *path)
{
	char dir[sizeof(((struct sockaddr_un *)NULL)->sun_path)];
	char *slash;

	snprintf(dir, sizeof(dir), "%s", path);
	slash = strrchr(dir, '/');
	if (!slash || slash == dir)
		return 0;
	*slash = 0;
	return mkdir(dir, 0755) && errno != EEXIST ? -errno : 0;
}

static int unix_bind(int fd, const struct sockaddr_un *sa, const char *path, const struct group *g)
{
	mode_t old = umask(0177);
	int err = bind(fd, (const struct sockaddr *)sa, sizeof(*sa)) ? -errno : 0;

	umask(old);
	/* The mode opens last: until then nobody but us can connect. */
	if (!err && g && chown(path, (uid_t)-1, g->gr_gid))
		err = -errno;
	if (!err && chmod(path, 0660))
		err = -errno;
	if (!err && listen(fd, 16))
		err = -errno;
	return err;
}

int keeper_listen_unix(struct keeper_plan *p, const char *name, const char *path, const char *group,
		       char *why, size_t why_n)
{
	struct sockaddr_un sa = {.sun_family = AF_UNIX};
	const struct group *g = group ? getgrnam(group) : NULL;
	char what[256];
	int fd, err, i;

	snprintf(what, sizeof(what), "%s: cannot listen on %.150s", name, path);
	if (strlen(path) >= sizeof(sa.sun_path))
		return fail(why, why_n, what, -ENAMETOOLONG);
	if (group && !g) {
		snprintf(why, why_n, "%s: there is no group \"%.32s\"", name, group);
		return -ENOENT;
	}
	strcpy(sa.sun_path, path);
	err = make_folder(path);
	if (!err)
		err = clear_stale(path, &sa);
	for (i = 0; err == -EADDRINUSE && i < KEEPER_BIND_TRIES; i++) {
		usleep(KEEPER_BIND_WAIT_US);
		err = clear_stale(path, &sa);
	}
	if (err)
		return fail(why, why_n, what, err);
	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (fd < 0)
		return fail(why, why_n, what, -errno);
	err = unix_bind(fd, &sa, path, g);
	if (!err)
		return add_or_close(p, name, fd, why, why_n);
	close(fd);
	return fail(why, why_n, what, err);
}

/* A sealed file without a name, of these bytes. */
static int data_file(const void *bytes, size_t n)
{
	int fd = memfd_create("sallyport-data", MFD_CLOEXEC | MFD_ALLOW_SEALING);

	if (fd < 0)
		return -errno;
	return sealed(fd, SEAL_ALL, write(fd, bytes, n) == (ssize_t)n ? 0 : -ENOSPC);
}

int keeper_data(struct keeper_plan *p, const char *name, const void *bytes, size_t n)
{
	int fd = data_file(bytes, n), err;

	err = fd < 0 ? fd : keeper_add(p, name, fd);
	if (err && fd >= 0)
		close(fd);
	return err;
}

int keeper_reopen_data(struct keeper_plan *p, const char *name, const void *bytes, size_t n,
		       char *why, size_t why_n)
{
	int fd = data_file(bytes, n);

	return fd < 0 ? fail(why, why_n, name, fd) : entry_replace(p, name, fd, why, why_n);
}

int keeper_memory(struct keeper_plan *p, const char *name, uint64_t size, char *why, size_t why_n)
{
	int fd = keeper_take_memory(p, name, size, SEAL_SIZE), err;
	bool taken = fd >= 0;
	char text[64];

	if (!taken) {
		snprintf(text, sizeof(text), "sallyport-%s", name);
		fd = memfd_create(text, MFD_CLOEXEC | MFD_ALLOW_SEALING);
		if (fd < 0)
			return fail(why, why_n, name, -errno);
		fd = sealed(fd, SEAL_SIZE, ftruncate(fd, (off_t)size) ? -errno : 0);
	}
	err = fd < 0 ? fail(why, why_n, name, fd) : add_or_close(p, name, fd, why, why_n);
	if (!err)
		keeper_outlives(p, taken);
	return err;
}

int keeper_state(struct keeper_plan *p, uint64_t size, char *why, size_t why_n)
{
	return keeper_memory(p, "state", size, why, why_n);
}

int keeper_fd_range(const char *name, unsigned *out_n)
{
	const char *p = getenv("SALLYPORT_FDS");
	size_t n = strlen(name);
	char *end;
	int fd;

	for (; p && *p; p = strchr(p, ',') ? strchr(p, ',') + 1 : NULL) {
		if (strncmp(p, name, n) || p[n] != '=')
			continue;
		fd = (int)strtol(p + n + 1, &end, 10);
		*out_n = *end == '+' ? (unsigned)strtoul(end + 1, NULL, 10) : 1u;
		return fd;
	}
	return -1;
}

int keeper_fd(const char *name)
{
	unsigned n;

	return keeper_fd_range(name, &n);
}

int keeper_read(const char *name, char **out, size_t *out_n)
{
	int fd = keeper_fd(name);
	struct stat st;
	size_t at = 0;
	char *buf;

	if (fd < 0)
		return -ENOENT;
	if (fstat(fd, &st))
		return -errno;
	if (st.st_size > KEEPER_FILE_MAX)
		return -EFBIG;
	buf = malloc((size_t)st.st_size + 1);
	if (!buf)
		return -ENOMEM;
	while (at < (size_t)st.st_size) {
		ssize_t n = pread(fd, buf + at, (size_t)st.st_size - at, (off_t)at);

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			break;
		at += (size_t)n;
	}
	if (at != (size_t)st.st_size) {
		explicit_bzero(buf, at);
		free(buf);
		return -EIO;
	}
	buf[at] = 0;
	*out = buf;
	*out_n = at;
	return 0;
}
