/* selftests/bpf/rig_wire.c -- namespace, TAPs and routes; see rig_wire.h. Set up by ip(8): it is a test's wire, not a product's. */
#include <errno.h>
#include <fcntl.h>
#include <linux/if_tun.h>
#include <net/if.h>
#include <netinet/in.h>
#include <sched.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "selftests/bpf/rig_wire.h"

#define WIRES	   3
#define ROUTES_MAX (2 * RIG_PAIRS)

static const struct {
	const char *name;
	enum rig_hop hop;
} wires[WIRES] = {{"rig0", HOP_LO}, {"rig1", HOP_FAR}, {"rig2", HOP_NARROW}};

static int fds[WIRES];
static unsigned icmp;
static struct {
	struct addr to;
	enum rig_hop hop;
} routes[ROUTES_MAX];
static unsigned n_routes;

static int __attribute__((format(printf, 1, 2))) run(const char *fmt, ...)
{
	char cmd[256];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(cmd, sizeof(cmd), fmt, ap);
	va_end(ap);
	return system(cmd) ? -EIO : 0;
}

static int setting(const char *name, const char *value)
{
	char path[128];
	int fd;

	snprintf(path, sizeof(path), "/proc/sys/net/%s", name);
	fd = open(path, O_WRONLY | O_CLOEXEC);
	if (fd < 0 || write(fd, value, strlen(value)) < 0) {
		printf("wire: %s: %s\n", path, strerror(errno));
		return -EIO;
	}
	return close(fd);
}

static int tap_open(const char *name)
{
	struct ifreq r = {.ifr_flags = IFF_TAP | IFF_NO_PI};
	int fd = open("/dev/net/tun", O_RDWR | O_CLOEXEC | O_NONBLOCK);

	snprintf(r.ifr_name, sizeof(r.ifr_name), "%s", name);
	if (fd < 0 || ioctl(fd, TUNSETIFF, &r)) {
		printf("wire: no TAP device %s: %s\n", name, strerror(errno));
		return -errno;
	}
	return fd;
}

static int wire_up(unsigned i)
{
	const char *d = wires[i].name;

	fds[i] = tap_open(d);
	if (fds[i] < 0)
		return fds[i];
	if (run("ip link set %s address 02:00:00:00:%s addrgenmode none", d,
		i == 0	 ? "09:02"
		: i == 1 ? "01:01"
			 : "01:05"))
		return -EIO;
	if (wires[i].hop == HOP_NARROW && run("ip link set %s mtu %d", d, RIG_MTU))
		return -EIO;
	return run("ip link set %s up", d);
}

static int addresses(const struct rig *r)
{
	char text[ADDR_TEXT_MAX];
	int e = 0;

	for (int i = 0; i < 2 * RIG_PAIRS && !e; i++) {
		const struct addr *a = i & 1 ? &r->inside[i / 2] : &r->outside[i / 2];

		e = run("ip addr add %s/%s", addr_ip_text(a, text),
			addr_is_v4(a) ? "32 dev rig0" : "128 dev rig0 nodad");
	}
	return e;
}

/* Whom packets go to, on every wire: nobody there answers. */
static int neighbours(const struct rig *r)
{
	char text[ADDR_TEXT_MAX];
	int e = 0;

	for (int i = 0; i < 2 * RIG_PAIRS; i++)
		for (unsigned k = 0; k < WIRES && !e; k++) {
			const struct addr *a = i & 1 ? &r->core[i / 2] : &r->client[i / 2];

			if (wires[k].hop == HOP_NARROW && !addr_is_v4(a))
				continue;
			e = run("ip neigh replace %s lladdr 02:00:00:00:02:0%d dev %s nud "
				"permanent",
				addr_ip_text(a, text), wires[k].hop, wires[k].name);
		}
	return e;
}

int wire_open(const struct rig *r)
{
	int e = unshare(CLONE_NEWNET) ? -errno : 0;

	if (e) {
		printf("wire: no network namespace: %s\n", strerror(-e));
		return e;
	}
	if (run("ip -V >/dev/null 2>&1")) {
		printf("wire: no ip(8) here\n");
		return -ENOENT;
	}
	/* The way back is another one than the way in, and a flow label would be a hash. */
	e = setting("ipv4/conf/all/rp_filter", "0");
	if (!e)
		e = setting("ipv4/conf/default/rp_filter", "0");
	if (!e)
		e = setting("ipv6/auto_flowlabels", "0");
	if (!e)
		e = setting("ipv6/conf/default/router_solicitations", "0");
	if (!e)
		e = run("ip link set lo up");
	for (unsigned i = 0; i < WIRES && !e; i++)
		e = wire_up(i);
	if (!e)
		e = addresses(r);
	return e ? e : neighbours(r);
}

uint32_t wire_ifindex(void)
{
	return if_nametoindex(wires[0].name);
}

void wire_route(const struct addr *to, enum rig_hop hop)
{
	char text[ADDR_TEXT_MAX];
	unsigned i;

	/* NO_TX knows no equal: the kernel has one table for all. IPv6 does not take an MTU under 1280. */
	if (hop == HOP_NO_TX || (hop == HOP_NARROW && !addr_is_v4(to)))
		hop = HOP_FAR;
	for (i = 0; i < n_routes && !addr_ip_eq(&routes[i].to, to); i++)
		;
	if (i < n_routes && routes[i].hop == hop)
		return;
	addr_ip_text(to, text);
	if (hop == HOP_NONE)
		rig_must(
			run("ip route del %s 2>/dev/null; ip route add unreachable %s", text, text),
			"route");
	else
		rig_must(run("ip route del %s 2>/dev/null; ip route add %s dev %s", text, text,
			     hop == HOP_LO	 ? "rig0"
			     : hop == HOP_NARROW ? "rig2"
						 : "rig1"),
			 "route");
	if (i == n_routes && n_routes == ROUTES_MAX)
		rig_must(-ENOSPC, "routes");
	n_routes += i == n_routes;
	routes[i].to = *to;
	routes[i].hop = hop;
}

/* To rig0's address, whatever the rows say: a BPF program does not look at it. */
int wire_in(const uint8_t *frame, size_t n)
{
	uint8_t copy[FRAME_MAX];
	ssize_t put;

	memcpy(copy, frame, n);
	memcpy(copy, "\2\0\0\0\11\2", 6);
	put = write(fds[0], copy, n);

	return put == (ssize_t)n ? 0 : put < 0 ? -errno : -EIO;
}

enum what { WHAT_OTHER, WHAT_UDP, WHAT_ICMP_ERROR };

static enum what what_is(const uint8_t *f, size_t n)
{
	bool v4 = n >= 42 && f[12] == 8 && f[13] == 0;
	uint8_t proto;

	if (!v4 && (n < 62 || f[12] != 0x86 || f[13] != 0xdd))
		return WHAT_OTHER;
	proto = v4 ? f[23] : f[20];
	if (proto == IPPROTO_UDP)
		return WHAT_UDP;
	if (v4)
		return proto == IPPROTO_ICMP ? WHAT_ICMP_ERROR : WHAT_OTHER;
	return proto == IPPROTO_ICMPV6 && f[54] < 128 ? WHAT_ICMP_ERROR : WHAT_OTHER;
}

size_t wire_out(uint8_t frame[FRAME_MAX], enum rig_hop *hop)
{
	ssize_t n;

	for (unsigned i = 0; i < WIRES; i++) {
		while ((n = read(fds[i], frame, FRAME_MAX)) > 0) {
			enum what w = what_is(frame, (size_t)n);

			icmp += w == WHAT_ICMP_ERROR;
			if (w != WHAT_UDP)
				continue;
			*hop = wires[i].hop;
			return (size_t)n;
		}
	}
	return 0;
}

unsigned wire_icmp(void)
{
	return icmp;
}
