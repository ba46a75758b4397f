/* user/bpf_ports.c -- media ranges into ip_local_reserved_ports; see bpf_ports.h. Plain text in, plain text out. */
#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "user/bpf_ports.h"

#define PORTS_ALL  65536
#define PORTS_TEXT 4096 /* the kernel takes one page in one write */

static int port_number(const char **p, unsigned long *out)
{
	char *end;

	if (**p < '0' || **p > '9')
		return -EBADMSG;
	*out = strtoul(*p, &end, 10);
	*p = end;
	return *out < PORTS_ALL ? 0 : -EBADMSG;
}

static int ports_parse(const char *p, bool *set)
{
	while (*p && *p != '\n') {
		unsigned long first, last;
		int r = port_number(&p, &first);

		last = first;
		if (!r && *p == '-') {
			p++;
			r = port_number(&p, &last);
		}
		if (r || last < first)
			return -EBADMSG;
		memset(set + first, 1, last - first + 1);
		if (*p == ',')
			p++;
		else if (*p && *p != '\n')
			return -EBADMSG;
	}
	return 0;
}

static int ports_print(const bool *set, char *out, size_t n)
{
	size_t used = 0;

	out[0] = 0;
	for (int a = 0; a < PORTS_ALL; a++) {
		int b = a, r;

		if (!set[a])
			continue;
		while (b + 1 < PORTS_ALL && set[b + 1])
			b++;
		if (b > a)
			r = snprintf(out + used, n - used, "%s%d-%d", used ? "," : "", a, b);
		else
			r = snprintf(out + used, n - used, "%s%d", used ? "," : "", a);
		if (r < 0 || (size_t)r >= n - used)
			return -E2BIG;
		used += (size_t)r;
		a = b;
	}
	return 0;
}

int ports_merge(const char *text, const struct port_range *ranges, unsigned n, char *out,
		size_t out_n)
{
	bool *set = calloc(PORTS_ALL, sizeof(*set));
	int r = set ? ports_parse(text, set) : -ENOMEM;

	for (unsigned i = 0; !r && i < n; i++) {
		if (ranges[i].last < ranges[i].first)
			r = -EINVAL;
		else
			memset(set + ranges[i].first, 1,
			       (size_t)(ranges[i].last - ranges[i].first) + 1);
	}
	if (!r)
		r = ports_print(set, out, out_n);
	free(set);
	return r;
}

static int sysctl_read(char *buf, size_t n)
{
	int fd = open(PORTS_SYSCTL, O_RDONLY | O_CLOEXEC);
	ssize_t got = fd < 0 ? -1 : read(fd, buf, n - 1);
	int err = errno;

	if (fd >= 0)
		close(fd);
	if (got < 0)
		return -err;
	buf[got] = 0;
	return (size_t)got == n - 1 ? -E2BIG : 0;
}

static int sysctl_write(const char *text)
{
	size_t n = strlen(text);
	int fd = open(PORTS_SYSCTL, O_WRONLY | O_CLOEXEC);
	ssize_t put = fd < 0 ? -1 : write(fd, text, n);
	int r = put < 0 ? -errno : 0;

	if (fd >= 0)
		close(fd);
	return !r && (size_t)put != n ? -EIO : r;
}

int ports_reserve(const struct port_range *ranges, unsigned n, char *why, size_t why_n)
{
	char have[PORTS_TEXT], want[PORTS_TEXT];
	int r = sysctl_read(have, sizeof(have));

	if (!r)
		r = ports_merge(have, ranges, n, want, sizeof(want));
	have[strcspn(have, "\n")] = 0;
	if (!r && strcmp(have, want))
		r = sysctl_write(want);
	if (r)
		snprintf(why, why_n,
			 "media ports cannot be reserved (net.ipv4.ip_local_reserved_ports): %s",
			 strerror(-r));
	return r;
}
