/* user/bpf_tc.c -- see bpf_tc.h. */
#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <errno.h>
#include <net/if.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "user/bpf_tc.h"

#define PRIORITY  23
#define PROG_NAME "tc_relay"

/* FNV-1a. Never 0, which would ask the kernel to choose. */
static uint32_t handle_of(const char *dir)
{
	uint32_t h = 2166136261u;

	for (; *dir; dir++)
		h = (h ^ (uint8_t)*dir) * 16777619u;
	return h >> 1 | 1;
}

/* 1: our filter is there, 0: nothing, -EBUSY: somebody else's. */
static int filter_there(int ifindex, const char *dir)
{
	DECLARE_LIBBPF_OPTS(bpf_tc_hook, hook, .ifindex = ifindex, .attach_point = BPF_TC_INGRESS);
	DECLARE_LIBBPF_OPTS(bpf_tc_opts, opts, .handle = handle_of(dir), .priority = PRIORITY);
	struct bpf_prog_info info = {};
	uint32_t len = sizeof(info);
	int fd, r;

	if (bpf_tc_query(&hook, &opts))
		return 0; /* also where there is no clsact qdisc */
	fd = bpf_prog_get_fd_by_id(opts.prog_id);
	r = fd >= 0 && !bpf_obj_get_info_by_fd(fd, &info, &len) && !strcmp(info.name, PROG_NAME);
	if (fd >= 0)
		close(fd);
	return r ? 1 : -EBUSY;
}

int tc_filter_put(const struct bpf_iface *i, const char *dir, int prog_fd, char *why, size_t why_n)
{
	DECLARE_LIBBPF_OPTS(bpf_tc_hook, hook, .ifindex = (int)i->index,
			    .attach_point = BPF_TC_INGRESS);
	DECLARE_LIBBPF_OPTS(bpf_tc_opts, opts, .handle = handle_of(dir), .priority = PRIORITY,
			    .prog_fd = prog_fd, .flags = BPF_TC_F_REPLACE);
	int r = bpf_tc_hook_create(&hook);

	if (r && r != -EEXIST) {
		snprintf(why, why_n, "interface %s: no clsact qdisc: %s", i->name, strerror(-r));
		return r;
	}
	if (filter_there((int)i->index, dir) < 0) {
		snprintf(why, why_n, "interface %s: another tc filter has priority %d, handle %x",
			 i->name, PRIORITY, handle_of(dir));
		return -EBUSY;
	}
	r = bpf_tc_attach(&hook, &opts);
	if (r)
		snprintf(why, why_n, "interface %s: tc filter cannot be attached: %s", i->name,
			 strerror(-r));
	return r;
}

bool tc_filter_seen(const struct bpf_iface *i, const char *dir)
{
	DECLARE_LIBBPF_OPTS(bpf_tc_hook, hook, .ifindex = (int)i->index,
			    .attach_point = BPF_TC_INGRESS);
	DECLARE_LIBBPF_OPTS(bpf_tc_opts, opts, .handle = handle_of(dir), .priority = PRIORITY);

	return !bpf_tc_query(&hook, &opts);
}

static bool kept(const struct bpf_ifaces *keep, uint32_t ifindex)
{
	for (unsigned k = 0; keep && k < keep->n; k++)
		if (keep->list[k].index == ifindex)
			return keep->list[k].tc;
	return false;
}

void tc_filter_release(const char *dir, const struct bpf_ifaces *keep)
{
	struct if_nameindex *all = if_nameindex();

	for (struct if_nameindex *i = all; i && i->if_index; i++) {
		DECLARE_LIBBPF_OPTS(bpf_tc_hook, hook, .ifindex = (int)i->if_index,
				    .attach_point = BPF_TC_INGRESS);
		DECLARE_LIBBPF_OPTS(bpf_tc_opts, opts, .handle = handle_of(dir),
				    .priority = PRIORITY);

		if (!kept(keep, i->if_index) && filter_there((int)i->if_index, dir) == 1)
			bpf_tc_detach(&hook, &opts);
	}
	if_freenameindex(all);
}
