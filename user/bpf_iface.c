/* user/bpf_iface.c -- interfaces for the loader; see bpf_iface.h.
 *
 * XDP is attached in native mode only: generic mode copies every packet and is slower than what it would replace. */
#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <dirent.h>
#include <errno.h>
#include <ifaddrs.h>
#include <linux/if_ether.h>
#include <linux/if_link.h>
#include <linux/if_packet.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "user/bpf_iface.h"

#define PROBE_FRAMES	16
#define PROBE_FRAME_LEN 60
#define PROBE_ETHERTYPE 0x88b5 /* IEEE 802 local experimental */
#define PROBE_TRIES	3
#define PROBE_WAIT_MS	1200 /* some drivers refresh their counters once a second */
#define PROBE_POLL_MS	5
#define LINK_PREFIX	"link_"
#define LINK_PATH_MAX	256

/* ---- find -------------------------------------------------------------------------------------------------------- */

static int iface_add(struct bpf_ifaces *ifs, const char *name, uint32_t *out_index)
{
	struct bpf_iface *i;

	for (unsigned k = 0; k < ifs->n; k++) {
		if (!strcmp(ifs->list[k].name, name)) {
			*out_index = ifs->list[k].index;
			return 0;
		}
	}
	if (ifs->n == BPF_IFACES_MAX)
		return -ENOSPC;
	i = &ifs->list[ifs->n];
	memset(i, 0, sizeof(*i));
	snprintf(i->name, sizeof(i->name), "%s", name);
	i->index = if_nametoindex(name);
	if (!i->index)
		return -errno;
	*out_index = i->index;
	ifs->n++;
	return 0;
}

static void iface_mac(struct bpf_ifaces *ifs, const struct ifaddrs *all)
{
	for (const struct ifaddrs *e = all; e; e = e->ifa_next) {
		const struct sockaddr_ll *ll = (const void *)e->ifa_addr;

		if (!ll || ll->sll_family != AF_PACKET || ll->sll_halen != 6)
			continue;
		for (unsigned k = 0; k < ifs->n; k++)
			if (!strcmp(ifs->list[k].name, e->ifa_name))
				memcpy(ifs->list[k].mac, ll->sll_addr, 6);
	}
}

int bpf_iface_find(struct bpf_ifaces *ifs, const struct addr *a, uint32_t *out_index, char *why,
		   size_t why_n)
{
	const struct ifaddrs *e;
	struct ifaddrs *all;
	char text[ADDR_TEXT_MAX];
	struct addr have;
	int r = -EADDRNOTAVAIL;

	addr_ip_text(a, text);
	if (getifaddrs(&all)) {
		r = -errno;
		snprintf(why, why_n, "interfaces cannot be listed: %s", strerror(-r));
		return r;
	}
	for (e = all; e; e = e->ifa_next)
		if (e->ifa_addr && !addr_from_sockaddr(e->ifa_addr, &have) && addr_ip_eq(&have, a))
			break;
	if (!e) {
		snprintf(why, why_n, "no interface carries %s", text);
	} else if (!(e->ifa_flags & IFF_UP)) {
		snprintf(why, why_n, "interface %s (%s) is down", e->ifa_name, text);
		r = -ENETDOWN;
	} else {
		r = iface_add(ifs, e->ifa_name, out_index);
		if (r)
			snprintf(why, why_n, "interface %s: %s", e->ifa_name, strerror(-r));
		iface_mac(ifs, all);
	}
	freeifaddrs(all);
	return r;
}

/* ---- attach ------------------------------------------------------------------------------------------------------ */

/* bpffs refuses dots in names; an interface may have them. */
static void link_name(const char *iface, char *out, size_t n)
{
	snprintf(out, n, LINK_PREFIX "%s", iface);
	for (char *c = out; *c; c++)
		if (*c == '.')
			*c = ':';
}

static void link_path(const char *dir, const char *iface, char *out, size_t n)
{
	char name[IF_NAMESIZE + sizeof(LINK_PREFIX)];

	link_name(iface, name, sizeof(name));
	snprintf(out, n, "%s/%s", dir, name);
}

static int prog_id(int fd, uint32_t *out)
{
	struct bpf_prog_info info = {};
	uint32_t len = sizeof(info);

	if (bpf_obj_get_info_by_fd(fd, &info, &len))
		return -errno;
	*out = info.id;
	return 0;
}

/* The pinned link @fd now runs @prog_fd on this interface. A link whose device is gone reads ifindex 0 and stays dead; one
 * of another network namespace may show the same number, so the device is asked which program it has. */
static bool link_switched(const struct bpf_iface *i, int fd, int prog_fd)
{
	struct bpf_link_info info = {};
	uint32_t len = sizeof(info), want = 0, have = 0;

	if (bpf_obj_get_info_by_fd(fd, &info, &len) || info.xdp.ifindex != i->index)
		return false;
	if (bpf_link_update(fd, prog_fd, NULL))
		return false;
	return !prog_id(prog_fd, &want) &&
	       !bpf_xdp_query_id((int)i->index, XDP_FLAGS_DRV_MODE, &have) && want == have;
}

static void link_drop(int fd, const char *path)
{
	bpf_link_detach(
		fd); /* at once; unlink alone leaves it to a work queue. A dead link refuses: as well */
	unlink(path);
}

static int link_new(const struct bpf_iface *i, const char *path, int prog_fd, char *why,
		    size_t why_n)
{
	DECLARE_LIBBPF_OPTS(bpf_link_create_opts, opts, .flags = XDP_FLAGS_DRV_MODE);
	int fd = bpf_link_create(prog_fd, (int)i->index, BPF_XDP, &opts);
	int r = fd < 0 ? -errno : 0;

	if (r == -EOPNOTSUPP)
		snprintf(why, why_n,
			 "interface %s: its driver has no native XDP (generic XDP is not used)",
			 i->name);
	else if (r == -EBUSY || r == -EEXIST)
		snprintf(why, why_n, "interface %s: another XDP program is attached", i->name);
	else if (r)
		snprintf(why, why_n, "interface %s: XDP cannot be attached: %s", i->name,
			 strerror(-r));
	if (r)
		return r;
	if (bpf_obj_pin(fd, path)) {
		r = -errno;
		snprintf(why, why_n, "%s: %s", path, strerror(-r));
	}
	close(fd); /* the pin holds it */
	return r;
}

int bpf_iface_attach(const struct bpf_iface *i, const char *dir, int prog_fd, char *why,
		     size_t why_n)
{
	char path[LINK_PATH_MAX];
	int fd;

	link_path(dir, i->name, path, sizeof(path));
	fd = bpf_obj_get(path);
	if (fd >= 0) {
		bool good = link_switched(i, fd, prog_fd);

		if (!good)
			link_drop(fd, path);
		close(fd);
		if (good)
			return 0;
	}
	return link_new(i, path, prog_fd, why, why_n);
}

bool bpf_iface_linked(const struct bpf_iface *i, const char *dir)
{
	struct bpf_link_info info = {};
	uint32_t len = sizeof(info);
	char path[LINK_PATH_MAX];
	bool good;
	int fd;

	link_path(dir, i->name, path, sizeof(path));
	fd = bpf_obj_get(path);
	if (fd < 0)
		return false;
	good = !bpf_obj_get_info_by_fd(fd, &info, &len) && info.xdp.ifindex == i->index;
	close(fd);
	return good;
}

static bool link_kept(const char *name, const struct bpf_ifaces *keep)
{
	char wanted[IF_NAMESIZE + sizeof(LINK_PREFIX)];

	for (unsigned k = 0; keep && k < keep->n; k++) {
		link_name(keep->list[k].name, wanted, sizeof(wanted));
		if (!strcmp(wanted, name))
			return !keep->list[k].tc;
	}
	return false;
}

void bpf_iface_release(const char *dir, const struct bpf_ifaces *keep)
{
	char path[LINK_PATH_MAX + 256];
	struct dirent *e;
	DIR *d = opendir(dir);

	while (d && (e = readdir(d))) {
		int fd;

		if (strncmp(e->d_name, LINK_PREFIX, sizeof(LINK_PREFIX) - 1) ||
		    link_kept(e->d_name, keep))
			continue;
		snprintf(path, sizeof(path), "%s/%s", dir, e->d_name);
		fd = bpf_obj_get(path);
		if (fd < 0)
			continue;
		link_drop(fd, path);
		close(fd);
	}
	if (d)
		closedir(d);
}

/* ---- probe ------------------------------------------------------------------------------------------------------- */

struct tx_count {
	uint32_t packets, dropped;
};

static int tx_read(const struct bpf_iface *i, struct tx_count *out)
{
	struct ifaddrs *all;
	int r = -ENODEV;

	if (getifaddrs(&all))
		return -errno;
	for (const struct ifaddrs *e = all; e; e = e->ifa_next) {
		const struct rtnl_link_stats *st = e->ifa_data;

		if (!e->ifa_addr || e->ifa_addr->sa_family != AF_PACKET || !st ||
		    strcmp(e->ifa_name, i->name))
			continue;
		*out = (struct tx_count){.packets = st->tx_packets, .dropped = st->tx_dropped};
		r = 0;
		break;
	}
	freeifaddrs(all);
	return r;
}

/* From and to the interface's own MAC: a switch filters it, a peer's stack ignores it. */
static int probe_send(const struct bpf_iface *i, int probe_fd)
{
	unsigned char frame[PROBE_FRAME_LEN] = {0};
	struct ethhdr *eth = (void *)frame;
	struct xdp_md ctx = {.data_end = sizeof(frame), .ingress_ifindex = i->index};
	DECLARE_LIBBPF_OPTS(bpf_test_run_opts, opts, .data_in = frame,
			    .data_size_in = sizeof(frame), .ctx_in = &ctx,
			    .ctx_size_in = sizeof(ctx), .repeat = PROBE_FRAMES,
			    .flags = BPF_F_TEST_XDP_LIVE_FRAMES);

	memcpy(eth->h_source, i->mac, 6);
	memcpy(eth->h_dest, i->mac, 6);
	eth->h_proto = htons(PROBE_ETHERTYPE);
	return bpf_prog_test_run_opts(probe_fd, &opts) ? -errno : 0;
}

/* 1: all frames were counted as sent and none as dropped; 0: not within the time; else negative errno. */
static int probe_once(const struct bpf_iface *i, int probe_fd)
{
	const struct timespec nap = {.tv_nsec = PROBE_POLL_MS * 1000000};
	struct tx_count before, now;
	int r = tx_read(i, &before);

	if (!r)
		r = probe_send(i, probe_fd);
	for (int ms = 0; !r && ms < PROBE_WAIT_MS; ms += PROBE_POLL_MS) {
		r = tx_read(i, &now);
		if (!r && now.packets - before.packets >= PROBE_FRAMES)
			return now.dropped == before.dropped;
		nanosleep(&nap, NULL);
	}
	return r;
}

int bpf_iface_probe(const struct bpf_iface *i, int probe_fd, char *why, size_t why_n)
{
	int r = 0;

	/* Other traffic may be dropped while we look: one clean try is enough. */
	for (int n = 0; n < PROBE_TRIES && !r; n++)
		r = probe_once(i, probe_fd);
	if (r > 0)
		return 0;
	if (r < 0) {
		snprintf(why, why_n, "interface %s: probe frames cannot be sent: %s", i->name,
			 strerror(-r));
		return r;
	}
	snprintf(why, why_n,
		 "interface %s: XDP redirect does not cross (peer without XDP or GRO; on veth: "
		 "ethtool -K PEER gro on)",
		 i->name);
	return -EHOSTUNREACH;
}
