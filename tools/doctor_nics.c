/* tools/doctor_nics.c -- the interfaces that carry media: XDP mode, MTU, offloads, rings. See doctor_facts.h. */
#include <bpf/libbpf.h>
#include <errno.h>
#include <ifaddrs.h>
#include <linux/ethtool.h>
#include <linux/if_link.h>
#include <linux/sockios.h>
#include <net/if.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "tools/doctor_facts.h"

static int ethtool(int fd, const char *dev, void *cmd)
{
	struct ifreq r = {};

	snprintf(r.ifr_name, sizeof(r.ifr_name), "%s", dev);
	r.ifr_data = cmd;
	return ioctl(fd, SIOCETHTOOL, &r);
}

static void flag(json_t *row, int fd, const char *dev, const char *key, unsigned cmd)
{
	struct ethtool_value v = {.cmd = cmd};

	if (!ethtool(fd, dev, &v))
		json_object_set_new(row, key, json_boolean(v.data));
}

static const char *xdp_mode(unsigned index)
{
	LIBBPF_OPTS(bpf_xdp_query_opts, q);

	if (!index || bpf_xdp_query((int)index, 0, &q))
		return "unknown";
	switch (q.attach_mode) {
	case XDP_ATTACHED_NONE:
		return "none";
	case XDP_ATTACHED_SKB:
		return "generic";
	case XDP_ATTACHED_HW:
		return "offload";
	case XDP_ATTACHED_MULTI:
		return q.skb_prog_id ? "generic" : "native";
	default:
		return "native";
	}
}

static json_t *nic(int fd, const char *dev, unsigned flags)
{
	struct ethtool_drvinfo drv = {.cmd = ETHTOOL_GDRVINFO};
	struct ethtool_ringparam ring = {.cmd = ETHTOOL_GRINGPARAM};
	json_t *row = json_pack("{s:s, s:[], s:b, s:s}", "name", dev, "addresses", "up",
				(flags & (IFF_UP | IFF_RUNNING)) == (IFF_UP | IFF_RUNNING), "xdp",
				xdp_mode(if_nametoindex(dev)));
	struct ifreq r = {};

	snprintf(r.ifr_name, sizeof(r.ifr_name), "%s", dev);
	if (!ioctl(fd, SIOCGIFMTU, &r))
		json_object_set_new(row, "mtu", json_integer(r.ifr_mtu));
	if (!ethtool(fd, dev, &drv))
		json_object_set_new(row, "driver", json_string(drv.driver));
	flag(row, fd, dev, "gro", ETHTOOL_GGRO);
	flag(row, fd, dev, "tx_checksum", ETHTOOL_GTXCSUM);
	if (!ethtool(fd, dev, &ring) && ring.rx_max_pending) {
		json_object_set_new(row, "rx_ring", json_integer(ring.rx_pending));
		json_object_set_new(row, "rx_ring_max", json_integer(ring.rx_max_pending));
	}
	return row;
}

static json_t *nic_named(json_t *list, const char *dev)
{
	json_t *row;
	size_t i;

	json_array_foreach(list, i, row)
	{
		if (!strcmp(json_string_value(json_object_get(row, "name")), dev))
			return row;
	}
	return NULL;
}

static bool among(const char *const *list, unsigned n, const struct addr *a)
{
	struct addr b;
	unsigned i;

	for (i = 0; i < n; i++)
		if (list[i] && !addr_parse(span_str(list[i]), &b) && addr_ip_eq(a, &b))
			return true;
	return false;
}

/* The address that packets to @edge leave from: media.link may be all addresses. */
static const char *towards(const char *edge, char buf[ADDR_TEXT_MAX])
{
	struct sockaddr_storage ss;
	struct addr a;
	socklen_t n;
	int fd;

	if (addr_parse(span_str(edge), &a))
		return NULL;
	n = addr_to_sockaddr(&a, &ss);
	fd = socket(ss.ss_family, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return NULL;
	a.port = 0;
	if (!connect(fd, (struct sockaddr *)&ss, n)) { /* nothing is sent */
		n = sizeof(ss);
		getsockname(fd, (struct sockaddr *)&ss, &n);
		addr_from_sockaddr((struct sockaddr *)&ss, &a);
		addr_ip_text(&a, buf);
	}
	close(fd);
	return buf;
}

static unsigned media_addresses(const struct config_edge *e, const struct config_core *c,
				char buf[ADDR_TEXT_MAX], const char *out[24])
{
	unsigned i, n = 0;

	for (i = 0; e && i < e->media.pairs_count && n + 2 <= 24; i++) {
		out[n++] = e->media.pairs[i].outside;
		out[n++] = e->media.pairs[i].inside;
	}
	if (!c)
		return n;
	out[n++] = c->media.link;
	out[n++] = c->media.inside;
	if (c->link.edges_count) /* of the first: cores have one way out to their edges */
		out[n++] = towards(c->link.edges[0].address, buf);
	for (i = 0; i < c->media.relay.pairs_count && n + 2 <= 24; i++) {
		out[n++] = c->media.relay.pairs[i].link;
		out[n++] = c->media.relay.pairs[i].inside;
	}
	return n;
}

void doctor_nics(json_t *node, const struct config_edge *edge, const struct config_core *core)
{
	int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	const char *wanted[24];
	char buf[ADDR_TEXT_MAX] = "";
	unsigned n = media_addresses(edge, core, buf, wanted);
	json_t *list = json_array(), *row;
	struct ifaddrs *all = NULL, *i;
	char text[ADDR_TEXT_MAX];
	struct addr a;

	if (fd < 0 || getifaddrs(&all))
		all = NULL;
	for (i = all; i; i = i->ifa_next) {
		if (!i->ifa_addr || addr_from_sockaddr(i->ifa_addr, &a) || !among(wanted, n, &a) ||
		    i->ifa_flags & IFF_LOOPBACK)
			continue;
		row = nic_named(list, i->ifa_name);
		if (!row) {
			row = nic(fd, i->ifa_name, i->ifa_flags);
			json_array_append_new(list, row);
		}
		json_array_append_new(json_object_get(row, "addresses"),
				      json_string(addr_ip_text(&a, text)));
	}
	if (all)
		freeifaddrs(all);
	if (fd >= 0)
		close(fd);
	json_object_set_new(node, "nics", list);
}
