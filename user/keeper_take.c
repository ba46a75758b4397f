/* user/keeper_take.c -- see keeper_store.h. In: descriptors by name, from the keeper before us. Out: those that are what is wanted now. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "user/keeper_store.h"
#include "user/lodge.h"

int keeper_take(struct keeper_plan *p, const char *name)
{
	unsigned i;
	int fd;

	for (i = 0; i < p->n_stored; i++) {
		if (p->stored[i].fd < 0 || strcmp(p->stored[i].name, name))
			continue;
		fd = p->stored[i].fd;
		p->stored[i].fd = -1;
		return fd;
	}
	return -1;
}

int keeper_take_all(struct keeper_plan *p, const char *name, unsigned max, int **out)
{
	unsigned i, n = 0;
	int *fds;

	for (i = 0; i < p->n_stored; i++)
		n += p->stored[i].fd >= 0 && !strcmp(p->stored[i].name, name);
	if (!n)
		return 0;
	if (n > max)
		return -E2BIG;
	fds = malloc(n * sizeof(*fds));
	if (!fds)
		return -ENOMEM;
	for (i = n = 0; i < p->n_stored; i++) {
		if (p->stored[i].fd < 0 || strcmp(p->stored[i].name, name))
			continue;
		fds[n++] = p->stored[i].fd;
		p->stored[i].fd = -1;
	}
	*out = fds;
	return (int)n;
}

void keeper_refuse(struct keeper_plan *p, const char *name, int fd, const char *why)
{
	unsigned i;

	if (fd >= 0)
		close(fd);
	for (i = 0; i < p->n_stored; i++) {
		if (p->stored[i].fd < 0 || strcmp(p->stored[i].name, name))
			continue;
		close(p->stored[i].fd);
		p->stored[i].fd = -1;
	}
	if (p->refused)
		p->refused(name, why);
}

static int socket_int(int fd, int what)
{
	int v = -1;
	socklen_t n = sizeof(v);

	return getsockopt(fd, SOL_SOCKET, what, &v, &n) ? -1 : v;
}

int keeper_take_socket(struct keeper_plan *p, const char *name, const struct addr *a, int type)
{
	int fd = keeper_take(p, name), flags;
	struct sockaddr_storage ss = {0};
	socklen_t n = sizeof(ss);
	const char *why = NULL;
	struct addr at;

	if (fd < 0)
		return -1;
	flags = fcntl(fd, F_GETFL);
	if (socket_int(fd, SO_TYPE) != type ||
	    (type == SOCK_STREAM && socket_int(fd, SO_ACCEPTCONN) != 1))
		why = "not a socket of that kind";
	else if (getsockname(fd, (struct sockaddr *)&ss, &n) ||
		 addr_from_sockaddr((struct sockaddr *)&ss, &at) || !addr_eq(&at, a))
		why = "of another address than the configuration's";
	else if (flags < 0 || !(flags & O_NONBLOCK))
		why = "a blocking socket";
	if (!why)
		return fd;
	keeper_refuse(p, name, fd, why);
	return -1;
}

int keeper_take_memory(struct keeper_plan *p, const char *name, uint64_t size, int seals)
{
	int fd = keeper_take(p, name);
	struct stat st;
	char why[96];

	if (fd < 0)
		return -1;
	if (fcntl(fd, F_GET_SEALS) != seals || fstat(fd, &st)) {
		snprintf(why, sizeof(why), "not a file of ours");
	} else if ((uint64_t)st.st_size != size) {
		snprintf(why, sizeof(why), "of %lld bytes, and %llu are wanted now",
			 (long long)st.st_size, (unsigned long long)size);
	} else {
		return fd;
	}
	keeper_refuse(p, name, fd, why);
	return -1;
}

void keeper_range_name(const char *name, char out[16])
{
	unsigned n = 0;

	do
		out[n++] = *name;
	while ((name = strchr(name, '.')) && *++name && n < 15);
	out[n] = 0;
}

void keeper_outlives(struct keeper_plan *p, bool taken)
{
	p->fds[p->n_fds - 1].outlives = true;
	p->fds[p->n_fds - 1].taken = taken;
}

void keeper_lodged_name(uint32_t slot, unsigned role, char out[8])
{
	static const char digits[] = "0123456789abcdefghijklmnopqrstuvwxyz";
	char back[8];
	unsigned n = 0, k = 0;

	do
		back[n++] = digits[slot % 36];
	while ((slot /= 36) && n < 5);
	out[k++] = digits[role % LODGE_ROLES];
	while (n)
		out[k++] = back[--n];
	out[k] = 0;
}

bool keeper_lodged_parse(const char *name, uint32_t *slot, unsigned *role)
{
	char again[8], *end;
	unsigned long v;

	if (name[0] < '0' || name[0] >= '0' + LODGE_ROLES || !name[1] || strlen(name) > 6)
		return false;
	v = strtoul(name + 1, &end, 36);
	if (*end || v >= LODGE_SLOTS_MAX)
		return false;
	*slot = (uint32_t)v;
	*role = (unsigned)(name[0] - '0');
	keeper_lodged_name(*slot, *role, again); /* one way to write it */
	return strcmp(name, again) == 0;
}
