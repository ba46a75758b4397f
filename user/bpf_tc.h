/* user/bpf_tc.h -- tc_relay at the ingress of interfaces, as a filter of the clsact qdisc.
 *
 * In: a loaded program. Out: filters that stay when the process ends, as a pinned XDP link does; the kernel keeps them with the
 * interface, so nothing of them is pinned. Priority is ours, the handle is made from the instance's directory: each instance
 * has its own filter and finds it again. Works in the network namespace of the caller. Used by bpf_load.c only. */
#ifndef SALLYPORT_BPF_TC_H
#define SALLYPORT_BPF_TC_H

#include "user/bpf_iface.h"

/* Put our filter on @i, or replace the program of the one that is there, without a packet in between. -EBUSY: the place is
 * taken by a filter that is not ours. */
int tc_filter_put(const struct bpf_iface *i, const char *dir, int prog_fd, char *why, size_t why_n);
/* A filter is where ours would be. Asking needs no privilege. */
bool tc_filter_seen(const struct bpf_iface *i, const char *dir);
/* Take our filters off all interfaces but those of @keep that are on tc (NULL: all). The qdisc stays: others may use it. */
void tc_filter_release(const char *dir, const struct bpf_ifaces *keep);

#endif
