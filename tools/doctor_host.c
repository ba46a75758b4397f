/* tools/doctor_host.c -- this host: listeners, ports, clock, kernel, limits. See doctor_facts.h. Reads /proc and asks the kernel; changes
 * nothing, except that the kernel may load its tls module when root asks whether it has one, as the keepers do. */
#include <dirent.h>
#include <errno.h>
#include <linux/io_uring.h>
#include <linux/magic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/timex.h>
#include <sys/utsname.h>
#include <sys/vfs.h>
#include <unistd.h>

#include "tools/doctor_facts.h"
#include "user/ktls.h"

#define SOCKETS_MAX	 4096
#define TCP_LISTEN_STATE 0x0a

/* ---- sockets of this network namespace, as /proc/net tells them ---- */

struct bound {
	struct addr a;
	bool tcp;
};

static void bound_read(const char *path, bool tcp, struct bound *list, unsigned *n)
{
	FILE *f = fopen(path, "re");
	char line[400], ip[40];
	unsigned port, state, w[4], i;

	while (f && fgets(line, sizeof(line), f)) {
		struct bound *b = &list[*n];
		bool v4;

		if (*n == SOCKETS_MAX ||
		    sscanf(line, " %*u: %39[0-9A-F]:%x %*[0-9A-F]:%*x %x", ip, &port, &state) !=
			    3 ||
		    (tcp && state != TCP_LISTEN_STATE))
			continue;
		v4 = strlen(ip) == 8;
		*b = (struct bound){.tcp = tcp};
		if (sscanf(ip, v4 ? "%8x" : "%8x%8x%8x%8x", &w[0], &w[1], &w[2], &w[3]) < 1)
			continue;
		if (v4)
			b->a.ip[10] = b->a.ip[11] = 0xff;
		for (i = 0; i < (v4 ? 1u : 4u); i++) /* words in the host's order */
			memcpy(b->a.ip + (v4 ? 12 : 4 * i), &w[i], 4);
		b->a.port = (uint16_t)port;
		++*n;
	}
	if (f)
		fclose(f);
}

static struct bound *bound_all(unsigned *n)
{
	struct bound *list = calloc(SOCKETS_MAX + 1, sizeof(*list));

	*n = 0;
	if (!list)
		return NULL;
	bound_read("/proc/net/tcp", true, list, n);
	bound_read("/proc/net/tcp6", true, list, n);
	bound_read("/proc/net/udp", false, list, n);
	bound_read("/proc/net/udp6", false, list, n);
	return list;
}

/* A socket of all addresses serves an address, too. */
static bool serves(const struct bound *b, const struct addr *a, bool tcp)
{
	return b->tcp == tcp && b->a.port == a->port &&
	       (addr_ip_eq(&b->a, a) || addr_is_any(&b->a));
}

struct sockets {
	const struct bound *list;
	unsigned n;
	json_t *listeners, *media;
};

static void listener(struct sockets *s, const char *what, const char *address, bool tcp)
{
	bool bound = false;
	struct addr a;
	unsigned i;

	if (!address || addr_parse(span_str(address), &a))
		return;
	for (i = 0; i < s->n && !bound; i++)
		bound = serves(&s->list[i], &a, tcp);
	json_array_append_new(s->listeners,
			      json_pack("{s:s, s:s, s:s, s:b}", "what", what, "proto",
					tcp ? "tcp" : "udp", "address", address, "bound", bound));
}

static void listeners(struct sockets *s, const char *what, const char **list, unsigned n)
{
	unsigned i;

	for (i = 0; i < n; i++)
		listener(s, what, list[i], true);
}

/* @kernel: carried by BPF, so nobody else may have a port of it, and the sysctl keeps the kernel from giving one away. */
static void media(struct sockets *s, const char *what, const char *address, unsigned first,
		  unsigned ports, bool kernel)
{
	json_t *taken = json_array();
	struct addr a;
	unsigned i;

	for (i = 0; i < s->n && !addr_parse(span_str(address), &a); i++) {
		const struct bound *b = &s->list[i];

		if (kernel && !b->tcp && b->a.port >= first && b->a.port < first + ports &&
		    (addr_ip_eq(&b->a, &a) || addr_is_any(&b->a)))
			json_array_append_new(taken, json_integer(b->a.port));
	}
	json_array_append_new(s->media, json_pack("{s:s, s:s, s:i, s:i, s:b, s:o}", "what", what,
						  "address", address, "first", (int)first, "last",
						  (int)(first + ports - 1), "kernel", kernel,
						  "taken", taken));
}

static void edge_sockets(struct sockets *s, const struct config_edge *c, bool kernel)
{
	char punch[ADDR_TEXT_MAX];
	struct addr a;
	unsigned i;

	listeners(s, "link", c->link.listen, c->link.listen_count);
	listener(s, "status page", c->admin_http, true);
	listeners(s, "sip", c->sip.listen, c->sip.listen_count);
	listeners(s, "https", c->https.listen, c->https.listen_count);
	listeners(s, "xmpp", c->xmpp.listen, c->xmpp.listen_count);
	listeners(s, "xmpp (direct TLS)", c->xmpp.tls_listen, c->xmpp.tls_listen_count);
	listeners(s, "xmpp between servers", c->xmpp.federation.listen,
		  c->xmpp.federation.listen_count);
	for (i = 0; i < c->media.pairs_count; i++) {
		const struct config_pair *p = &c->media.pairs[i];

		if (!addr_parse(span_str(p->inside), &a)) {
			a.port = c->media.punch_port;
			listener(s, "punch", addr_text(&a, punch), false);
		}
		media(s, "outside", p->outside, p->outside_first, p->ports, kernel);
		media(s, "inside", p->inside, p->inside_first, p->ports, kernel);
	}
}

static void core_sockets(struct sockets *s, const struct config_core *c)
{
	unsigned i;

	listener(s, "status page", c->admin_http, true);
	listener(s, "sip", c->sip.listen, true);
	listener(s, "sip", c->sip.listen, false);
	listener(s, "sip (TLS)", c->sip.tls_listen, true);
	listener(s, "media towards edges", c->media.link, false);
	if (c->xmpp.federation.listen)
		listener(s, "xmpp between servers", c->xmpp.federation.listen, true);
	media(s, "inside", c->media.inside, c->media.first_port, c->media.ports, false);
	for (i = 0; i < c->media.relay.pairs_count; i++) {
		const struct config_relay_pair *p = &c->media.relay.pairs[i];

		media(s, "relay, inside", p->inside, p->inside_first, p->ports, true);
	}
}

static bool line_read(const char *path, char *buf, size_t n)
{
	FILE *f = fopen(path, "re");
	bool ok = f && fgets(buf, (int)n, f);

	if (f)
		fclose(f);
	if (ok)
		buf[strcspn(buf, "\n")] = 0;
	return ok;
}

static long number_read(const char *path, long missing)
{
	char buf[64];

	return line_read(path, buf, sizeof(buf)) ? strtol(buf, NULL, 10) : missing;
}

void doctor_sockets(json_t *node, const struct config_edge *edge, const struct config_core *core)
{
	const char *rung =
		json_string_value(json_object_get(json_object_get(node, "status"), "media_rung"));
	struct sockets s = {.listeners = json_array(), .media = json_array()};
	char reserved[8192] = "", range[64] = "";
	struct bound *list = bound_all(&s.n);
	int first = 32768, last = 60999;

	s.list = list;
	if (edge)
		edge_sockets(&s, edge,
			     strcmp(edge->media.rung, "user") != 0 &&
				     (!rung || strcmp(rung, "user") != 0));
	else
		core_sockets(&s, core);
	free(list);
	line_read("/proc/sys/net/ipv4/ip_local_reserved_ports", reserved, sizeof(reserved));
	if (line_read("/proc/sys/net/ipv4/ip_local_port_range", range, sizeof(range)))
		sscanf(range, "%d %d", &first, &last);
	json_object_set_new(node, "listeners", s.listeners);
	json_object_set_new(node, "ports",
			    json_pack("{s:s, s:i, s:i, s:o}", "reserved", reserved, "local_first",
				      first, "local_last", last, "media", s.media));
}

/* ---- clock, kernel, limits ---- */

static json_t *clock_facts(void)
{
	struct timex t = {};
	int state = adjtimex(&t);

	return json_pack("{s:b, s:I}", "synchronised", state >= 0 && state != TIME_ERROR,
			 "error_ms", (json_int_t)(t.maxerror / 1000));
}

static json_t *kernel_facts(void)
{
	struct io_uring_params p = {};
	struct ktls_probe probe;
	struct utsname u = {};
	char why[KTLS_WHY_MAX] = "";
	struct statfs fs;
	long fd = syscall(__NR_io_uring_setup, 2, &p);
	int err = fd < 0 ? errno : 0;

	if (fd >= 0)
		close((int)fd);
	uname(&u);
	ktls_probe(&probe);
	ktls_why(&probe, KTLS_1_3, KTLS_AES_128_GCM, KTLS_RX, why);
	return json_pack("{s:s, s:s, s:s, s:i, s:b, s:i}", "release", u.release, "tls", why,
			 "io_uring", err ? strerror(err) : "", "io_uring_disabled",
			 (int)number_read("/proc/sys/kernel/io_uring_disabled", 0), "bpffs",
			 !statfs("/sys/fs/bpf", &fs) && fs.f_type == BPF_FS_MAGIC, "bpf_jit",
			 (int)number_read("/proc/sys/net/core/bpf_jit_enable", 1));
}

static unsigned files_used(long pid)
{
	char path[64];
	unsigned n = 0;
	DIR *d;

	snprintf(path, sizeof(path), "/proc/%ld/fd", pid);
	d = opendir(path);
	while (d && readdir(d))
		n++;
	if (d)
		closedir(d);
	return n > 2 ? n - 2 : 0; /* "." and ".." */
}

static long limit_of(long pid, const char *name)
{
	char path[64], line[200];
	long v = -1;
	FILE *f;

	snprintf(path, sizeof(path), "/proc/%ld/limits", pid);
	f = fopen(path, "re");
	while (f && v == -1 && fgets(line, sizeof(line), f))
		if (!strncmp(line, name, strlen(name)))
			v = strstr(line + strlen(name), "unlimited") ==
					    line + strlen(name) + strspn(line + strlen(name), " ")
				    ? INT32_MAX
				    : strtol(line + strlen(name), NULL, 10);
	if (f)
		fclose(f);
	return v;
}

static json_t *limits_facts(const json_t *node)
{
	long pid =
		(long)json_integer_value(json_object_get(json_object_get(node, "status"), "pid"));
	json_t *o =
		json_pack("{s:I, s:I}", "conntrack",
			  (json_int_t)number_read("/proc/sys/net/netfilter/nf_conntrack_count", 0),
			  "conntrack_max",
			  (json_int_t)number_read("/proc/sys/net/netfilter/nf_conntrack_max", 0));
	long memlock = pid ? limit_of(pid, "Max locked memory") : -1;

	if (!pid)
		return o;
	json_object_set_new(o, "pid", json_integer(pid));
	json_object_set_new(o, "files", json_integer(limit_of(pid, "Max open files")));
	json_object_set_new(o, "files_used", json_integer(files_used(pid)));
	json_object_set_new(
		o, "memlock_kib",
		json_integer(memlock < 0 || memlock == INT32_MAX ? memlock : memlock / 1024));
	return o;
}

void doctor_host(json_t *node)
{
	json_object_set_new(node, "uid", json_integer((json_int_t)getuid()));
	json_object_set_new(node, "clock", clock_facts());
	json_object_set_new(node, "kernel", kernel_facts());
	json_object_set_new(node, "limits", limits_facts(node));
}
