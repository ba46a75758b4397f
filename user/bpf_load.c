/* user/bpf_load.c -- load, attach, pin, adopt; see bpf_load.h.
 *
 * Order: look at the interfaces -> reserve ports -> bpffs -> maps (pinned ones reused by libbpf) -> program -> configuration
 * maps -> probe -> XDP links or tc filters. The program is loaded anew each time, so it is always this binary's; the maps carry on. */
#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "bpf/abi.h"
#include "bpf/tc_relay.skel.h"
#include "bpf/xdp_probe.skel.h"
#include "bpf/xdp_relay.skel.h"
#include "user/bpf_iface.h"
#include "user/bpf_load.h"
#include "user/bpf_pins.h"
#include "user/bpf_ports.h"
#include "user/bpf_tc.h"

struct loader {
	const struct bpf_load_params *p;
	char dir[BPF_PINS_DIR];
	struct bpf_ifaces ifaces;
	struct relay_conf conf;
	struct relay_side sides[SP_SIDES_MAX];
	struct xdp_relay_bpf *relay;
	struct xdp_probe_bpf *probe;
	struct tc_relay_bpf *tc; /* loaded when an interface needs it */
	bool fresh;		 /* nothing was pinned: take all back on failure */
};

/* libbpf's own words about a failure; its callback has no argument to keep them in. */
static _Thread_local char libbpf_said[160];

static int __attribute__((format(printf, 2, 0)))
libbpf_line(enum libbpf_print_level level, const char *fmt, va_list ap)
{
	/* It tries that first, and fails where it may do nothing at all. */
	bool aside = strstr(fmt, "RLIMIT_MEMLOCK (err");

	if (level == LIBBPF_WARN && !libbpf_said[0] && !aside) {
		vsnprintf(libbpf_said, sizeof(libbpf_said), fmt, ap);
		libbpf_said[strcspn(libbpf_said, "\n")] = 0;
	}
	return 0;
}

static int __attribute__((format(printf, 4, 5)))
fail(int r, char *why, size_t why_n, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(why, why_n, fmt, ap);
	va_end(ap);
	return r;
}

/* ---- configuration ------------------------------------------------------------------------------------------------ */

static void side_set(struct relay_side *s, const struct addr *ip, uint16_t base,
		     const struct addr *peer, uint16_t peer_base, uint16_t range)
{
	memcpy(&s->ip, ip->ip, sizeof(s->ip));
	memcpy(&s->peer_ip, peer->ip, sizeof(s->peer_ip));
	s->base = base;
	s->peer_base = peer_base;
	s->range = range;
	s->ipv6 = !addr_is_v4(ip);
	s->peer_ipv6 = !addr_is_v4(peer);
}

static bool sides_overlap(const struct relay_side *a, const struct relay_side *b)
{
	return !memcmp(&a->ip, &b->ip, sizeof(a->ip)) && a->base < b->base + b->range &&
	       b->base < a->base + a->range;
}

static int pair_set(struct loader *l, unsigned i, char *why, size_t why_n)
{
	const struct maps_pair *pair = &l->p->pairs[i];
	struct relay_side *out = &l->sides[2 * i], *in = out + 1;

	if (!pair->range || pair->outside_base + pair->range > 65536 ||
	    pair->inside_base + pair->range > 65536)
		return fail(-EINVAL, why, why_n,
			    "pair %u: port range ends beyond 65535 or is empty", i);
	side_set(out, &pair->outside, pair->outside_base, &pair->inside, pair->inside_base,
		 pair->range);
	side_set(in, &pair->inside, pair->inside_base, &pair->outside, pair->outside_base,
		 pair->range);
	in->inside = 1;
	out->first_slot = in->first_slot = l->conf.slots;
	l->conf.slots += pair->range;
	l->conf.key[2 * i] = out->ip.w[3];
	l->conf.key[2 * i + 1] = in->ip.w[3];
	for (unsigned k = 0; k < 2 * i + 2; k++)
		for (unsigned j = k + 1; j < 2 * i + 2; j++)
			if (sides_overlap(&l->sides[k], &l->sides[j]))
				return fail(-EINVAL, why, why_n,
					    "pair %u: its ports overlap those of a side with the "
					    "same address",
					    i);
	return 0;
}

static int loader_plan(struct loader *l, char *why, size_t why_n)
{
	const struct bpf_load_params *p = l->p;

	if (!bpf_pins_named(p->instance) || !p->n_pairs || p->n_pairs > SP_PAIRS_MAX ||
	    p->n_tcp_ports > SP_TCP_PORTS)
		return fail(-EINVAL, why, why_n,
			    "instance name, number of pairs or of TCP ports out of bounds");
	for (unsigned i = 0; i < p->n_pairs; i++) {
		int r = pair_set(l, i, why, why_n);

		for (unsigned k = 0; !r && k < 2; k++)
			r = bpf_iface_find(&l->ifaces,
					   k ? &p->pairs[i].inside : &p->pairs[i].outside,
					   &l->sides[2 * i + k].ifindex, why, why_n);
		if (r)
			return r;
	}
	l->conf.sides = 2 * p->n_pairs;
	l->conf.punch_port = htons(p->punch_port);
	l->conf.tcp_count = (uint16_t)p->n_tcp_ports;
	for (unsigned i = 0; i < p->n_tcp_ports; i++)
		l->conf.tcp_port[i] = htons(p->tcp_ports[i]);
	bpf_pins_dir(p->instance, l->dir);
	return 0;
}

static int loader_ports(const struct loader *l, char *why, size_t why_n)
{
	struct port_range ranges[SP_SIDES_MAX];

	for (unsigned i = 0; i < l->conf.sides; i++)
		ranges[i] = (struct port_range){
			.first = l->sides[i].base,
			.last = (uint16_t)(l->sides[i].base + l->sides[i].range - 1)};
	return ports_reserve(ranges, l->conf.sides, why, why_n);
}

/* ---- maps and program --------------------------------------------------------------------------------------------- */

/* Same addresses and ports in the same order: pinned flows mean the same slots. The interface may have another number. */
static bool sides_same(const struct loader *l, int fd)
{
	for (uint32_t i = 0; i < SP_SIDES_MAX; i++) {
		struct relay_side have;

		if (bpf_map_lookup_elem(fd, &i, &have))
			return false;
		have.ifindex = l->sides[i].ifindex;
		if (memcmp(&have, &l->sides[i], sizeof(have)))
			return false;
	}
	return true;
}

static void adopt_or_clear(struct loader *l)
{
	char path[BPF_PINS_DIR + 8];
	int fd;

	snprintf(path, sizeof(path), "%s/sides", l->dir);
	fd = bpf_obj_get(path);
	l->fresh = fd < 0 || !sides_same(l, fd);
	if (fd >= 0)
		close(fd);
	if (l->fresh)
		bpf_pins_clear(l->dir);
}

static int maps_size(struct loader *l)
{
	char path[BPF_PINS_DIR + 32];
	struct bpf_map *m;
	int r = 0;

	bpf_map__set_max_entries(l->relay->maps.flows, l->conf.slots);
	bpf_map__set_max_entries(l->relay->maps.flow_state, l->conf.slots);
	bpf_map__set_max_entries(l->relay->maps.live, l->conf.slots);
	bpf_object__for_each_map(m, l->relay->obj)
	{
		/* Constants and redirect targets belong to the program; the kernel adds a flag to a devmap
		 * (BPF_F_RDONLY_PROG) that makes libbpf 1.1 refuse to use it again. */
		if (bpf_map__is_internal(m) || m == l->relay->maps.tx)
			continue;
		snprintf(path, sizeof(path), "%s/%s", l->dir, bpf_map__name(m));
		r = r ? r : bpf_map__set_pin_path(m, path);
	}
	return r;
}

static int programs_load(struct loader *l, char *why, size_t why_n)
{
	int r;

	libbpf_said[0] = 0;
	l->relay = xdp_relay_bpf__open();
	l->probe = xdp_probe_bpf__open();
	r = l->relay && l->probe ? maps_size(l) : -ENOMEM;
	if (!r)
		r = xdp_relay_bpf__load(l->relay);
	if (!r)
		r = xdp_probe_bpf__load(l->probe);
	if (r)
		return fail(r, why, why_n, "BPF programs cannot be loaded: %s: %s", strerror(-r),
			    libbpf_said);
	return 0;
}

static int targets_write(const struct loader *l, int tx)
{
	int r = 0;

	for (unsigned i = 0; i < l->ifaces.n && !r; i++)
		r = bpf_map_update_elem(tx, &l->ifaces.list[i].index, &l->ifaces.list[i].index,
					BPF_ANY);
	return r;
}

static int conf_write(const struct loader *l, char *why, size_t why_n)
{
	int sides = bpf_map__fd(l->relay->maps.sides), conf = bpf_map__fd(l->relay->maps.conf);
	uint32_t zero = 0;
	int r = 0;

	for (uint32_t i = 0; i < SP_SIDES_MAX && !r; i++)
		r = bpf_map_update_elem(sides, &i, &l->sides[i], BPF_ANY);
	if (!r)
		r = bpf_map_update_elem(conf, &zero, &l->conf, BPF_ANY);
	if (!r)
		r = targets_write(l, bpf_map__fd(l->relay->maps.tx));
	if (r)
		return fail(r, why, why_n, "BPF maps cannot be written: %s", strerror(-r));
	return 0;
}

/* Its maps are the XDP program's, but for the redirect targets (see maps_size). */
static int tc_load(struct loader *l, char *why, size_t why_n)
{
	const struct bpf_map *theirs;
	struct bpf_map *m;
	int r = 0;

	libbpf_said[0] = 0;
	l->tc = tc_relay_bpf__open();
	if (!l->tc)
		return fail(-ENOMEM, why, why_n, "tc program cannot be opened");
	bpf_object__for_each_map(m, l->tc->obj)
	{
		theirs = bpf_object__find_map_by_name(l->relay->obj, bpf_map__name(m));
		if (!r && theirs && !bpf_map__is_internal(m) && m != l->tc->maps.tx)
			r = bpf_map__reuse_fd(m, bpf_map__fd(theirs));
	}
	if (!r)
		r = tc_relay_bpf__load(l->tc);
	if (!r)
		r = targets_write(l, bpf_map__fd(l->tc->maps.tx));
	if (r)
		return fail(r, why, why_n, "tc program cannot be loaded: %s: %s", strerror(-r),
			    libbpf_said);
	return 0;
}

/* What @r says of XDP on this interface decides its rung, or the start if XDP was asked for. */
static int iface_judge(const struct loader *l, struct bpf_iface *i, int r, const char *why)
{
	if (!r || l->p->rung == RUNG_XDP)
		return r;
	i->tc = true;
	snprintf(i->why, sizeof(i->why), "%s", why);
	return 0;
}

static struct bpf_iface *iface_of(struct loader *l, unsigned side)
{
	struct bpf_iface *i = l->ifaces.list;

	while (i->index != l->sides[side].ifindex)
		i++;
	return i;
}

/* A pair's two directions take the same rung, and so do pairs that share an interface. */
static void pairs_settle(struct loader *l)
{
	bool changed;

	do {
		changed = false;
		for (unsigned k = 0; k < l->p->n_pairs; k++) {
			struct bpf_iface *a = iface_of(l, 2 * k), *b = iface_of(l, 2 * k + 1);

			if (a->tc == b->tc)
				continue;
			changed = true;
			if (a->tc)
				memcpy(b->why, a->why, sizeof(b->why));
			else
				memcpy(a->why, b->why, sizeof(a->why));
			a->tc = b->tc = true;
		}
	} while (changed);
}

/* A link of an earlier start is switched to this program at once. Where there is none, nothing is redirected before all is known. */
static int xdp_try(struct loader *l, char *why, size_t why_n)
{
	int relay = bpf_program__fd(l->relay->progs.xdp_relay),
	    pass = bpf_program__fd(l->probe->progs.xdp_pass),
	    probe = bpf_program__fd(l->probe->progs.xdp_probe), r = 0;
	struct bpf_iface *i, *end = l->ifaces.list + l->ifaces.n;

	for (i = l->ifaces.list; i < end && !r; i++) {
		r = bpf_iface_attach(i, l->dir, bpf_iface_linked(i, l->dir) ? relay : pass, why,
				     why_n);
		r = iface_judge(l, i, r, why);
	}
	pairs_settle(l);
	for (i = l->ifaces.list; i < end && !r; i++) {
		if (i->tc)
			continue;
		r = iface_judge(l, i, bpf_iface_probe(i, probe, why, why_n), why);
		pairs_settle(l); /* what shares its rung need not wait for a probe of its own */
	}
	return r;
}

static int attach_all(struct loader *l, char *why, size_t why_n)
{
	int relay = bpf_program__fd(l->relay->progs.xdp_relay), r = 0;

	for (unsigned i = 0; i < l->ifaces.n && l->p->rung == RUNG_TC; i++)
		iface_judge(l, &l->ifaces.list[i], -EPERM, "rung: tc is configured");
	if (l->p->rung != RUNG_TC)
		r = xdp_try(l, why, why_n);
	for (unsigned i = 0; i < l->ifaces.n && !r; i++) {
		struct bpf_iface *ifc = &l->ifaces.list[i];

		if (ifc->tc && !l->tc)
			r = tc_load(l, why, why_n);
		if (!r && ifc->tc)
			r = tc_filter_put(ifc, l->dir, bpf_program__fd(l->tc->progs.tc_relay), why,
					  why_n);
		else if (!r)
			r = bpf_iface_attach(ifc, l->dir, relay, why, why_n);
	}
	if (r)
		return r;
	/* Last: an interface that changes its rung has both for an instant, and XDP comes first. */
	bpf_iface_release(l->dir, &l->ifaces);
	tc_filter_release(l->dir, &l->ifaces);
	return 0;
}

static void rungs_out(struct loader *l, struct media_rung out[RUNG_PAIRS_MAX])
{
	memset(out, 0, RUNG_PAIRS_MAX * sizeof(*out));
	for (unsigned k = 0; k < l->p->n_pairs; k++) {
		const struct bpf_iface *i = iface_of(l, 2 * k);

		out[k].rung = i->tc ? RUNG_TC : RUNG_XDP;
		snprintf(out[k].why, sizeof(out[k].why), "%s", i->why);
	}
}

static int fds_out(const struct loader *l, struct maps_fds *out)
{
	struct maps_fds f;
	const struct {
		int *to;
		const struct bpf_map *m;
	} all[] = {
		{&f.flows, l->relay->maps.flows},
		{&f.flow_state, l->relay->maps.flow_state},
		{&f.next_hops, l->relay->maps.next_hops},
		{&f.bans, l->relay->maps.bans},
		{&f.reasons, l->relay->maps.reasons},
		{&f.live, l->relay->maps.live},
	};

	for (unsigned i = 0; i < sizeof(all) / sizeof(all[0]); i++) {
		*all[i].to = fcntl(bpf_map__fd(all[i].m), F_DUPFD_CLOEXEC, 3);
		if (*all[i].to < 0) {
			int r = -errno;

			while (i--)
				close(*all[i].to);
			return r;
		}
	}
	*out = f;
	return 0;
}

int bpf_load_check(const struct bpf_load_params *p, char *why, size_t why_n)
{
	struct loader *l = calloc(1, sizeof(*l));
	int r;

	if (!l)
		return fail(-ENOMEM, why, why_n, "out of memory");
	l->p = p;
	r = loader_plan(l, why, why_n);
	free(l);
	return r;
}

bool bpf_load_left(const struct bpf_load_params *p, char *what, size_t n)
{
	struct loader *l = calloc(1, sizeof(*l));
	bool left = false;
	unsigned i;

	if (!l)
		return false;
	l->p = p;
	libbpf_set_print(libbpf_line);
	if (!loader_plan(l, what, n)) {
		for (i = 0; i < l->ifaces.n && !left; i++) {
			const struct bpf_iface *ifc = &l->ifaces.list[i];
			uint32_t id = 0;

			left = !bpf_xdp_query_id((int)ifc->index, 0, &id) && id;
			if (left)
				snprintf(what, n, "XDP program %u on %s", id, ifc->name);
			else if ((left = tc_filter_seen(ifc, l->dir)))
				snprintf(what, n, "a tc filter on %s", ifc->name);
		}
	}
	free(l);
	return left;
}

int bpf_unload(const char *instance)
{
	char dir[BPF_PINS_DIR];
	bool others;

	if (!bpf_pins_named(instance))
		return -EINVAL;
	libbpf_set_print(libbpf_line); /* it would tell of each device without a clsact qdisc */
	bpf_pins_dir(instance, dir);
	others = bpf_pins_clear_others(dir);
	if (!access(dir, F_OK))
		return bpf_pins_remove(dir);
	return others ? 0 : -errno;
}

int bpf_load(const struct bpf_load_params *p, struct maps_fds *out_fds,
	     struct media_rung out_rungs[RUNG_PAIRS_MAX], char *why, size_t why_n)
{
	struct loader *l = calloc(1, sizeof(*l));
	int r;

	if (!l)
		return fail(-ENOMEM, why, why_n, "out of memory");
	l->p = p;
	libbpf_set_print(libbpf_line);
	r = loader_plan(l, why, why_n);
	if (!r)
		r = loader_ports(l, why, why_n);
	if (!r)
		r = bpf_pins_mount(why, why_n);
	if (!r)
		r = bpf_pins_make(l->dir, why, why_n);
	if (r)
		goto out;
	adopt_or_clear(l);
	r = programs_load(l, why, why_n);
	if (!r)
		r = conf_write(l, why, why_n);
	if (!r)
		bpf_pins_clear_others(l->dir);
	if (!r)
		r = attach_all(l, why, why_n);
	if (!r)
		rungs_out(l, out_rungs);
	if (!r && (r = fds_out(l, out_fds)))
		fail(r, why, why_n, "descriptors: %s", strerror(-r));
	if (r && l->fresh)
		bpf_pins_remove(l->dir);
out:
	tc_relay_bpf__destroy(l->tc);
	xdp_relay_bpf__destroy(l->relay); /* NULL is fine; pins and links hold the rest */
	xdp_probe_bpf__destroy(l->probe);
	free(l);
	return r;
}
