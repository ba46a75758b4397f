/* user/bpf_load.h -- loads the edge's relay programs, pins what must outlive us, and hands out the maps' descriptors.
 *
 * In: the configured address pairs. Out: xdp_relay attached (native) to every interface that carries one of the addresses, or,
 * where redirected frames do not cross or a driver has no XDP, tc_relay to both interfaces of the pair, with the reason;
 * maps and links pinned under /sys/fs/bpf/sallyport/<instance>/v<SP_ABI>/, descriptors for the worker.
 * Run by the keeper, as root or with CAP_BPF, CAP_NET_ADMIN and CAP_PERFMON (and CAP_SYS_ADMIN where bpffs is not mounted
 * yet), in the network namespace of the addresses. What is pinned already is adopted: flows, latches and counters go on, and
 * the links are switched to the program of this binary without losing a packet. Changed pairs mean other slots: then
 * everything starts empty. `ip netns exec` gives each call a /sys of its own: enter a namespace with nsenter --net instead,
 * or pins end with the process. */
#ifndef SALLYPORT_BPF_LOAD_H
#define SALLYPORT_BPF_LOAD_H

#include <stddef.h>
#include <stdint.h>

#include "user/maps.h"
#include "user/rung.h"

#define BPF_LOAD_TCP_PORTS 16

struct bpf_load_params {
	const char *instance;	       /* 1..32 of a-z A-Z 0-9 _ - */
	const struct maps_pair *pairs; /* 1..8 */
	unsigned n_pairs;
	uint16_t punch_port; /* UDP, on each inside address */
	const uint16_t *
		tcp_ports; /* listeners that banned prefixes may not reach; at most BPF_LOAD_TCP_PORTS */
	unsigned n_tcp_ports;
	enum rung rung; /* RUNG_XDP: refuse where it cannot be had */
};

/* The part that needs no privilege: are the pairs possible, do interfaces that are up carry their addresses? 0 or negative errno with @why. */
int bpf_load_check(const struct bpf_load_params *p, char *why, size_t why_n);
/* Is a program on an interface of the pairs, which would see media before any socket does? @what names the first. */
bool bpf_load_left(const struct bpf_load_params *p, char *what, size_t n);
/* 0: *out_rungs has one of each pair, *out_fds are the caller's to close. Else a negative errno with @why naming the interface, address or step; what was
 * pinned before is left as it was, what this call created is gone. */
int bpf_load(const struct bpf_load_params *p, struct maps_fds *out_fds,
	     struct media_rung out_rungs[RUNG_PAIRS_MAX], char *why, size_t why_n);

/* Detach and unpin everything of @instance; tc filters in this network namespace. -ENOENT: there is nothing. */
int bpf_unload(const char *instance);

#endif
