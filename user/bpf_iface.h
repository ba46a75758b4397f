/* user/bpf_iface.h -- the loader's view of interfaces: who carries an address, attaching, probing.
 *
 * In: addresses, a loaded program. Out: pinned XDP links on interfaces that are known to forward. Used by bpf_load.c only. */
#ifndef SALLYPORT_BPF_IFACE_H
#define SALLYPORT_BPF_IFACE_H

#include <net/if.h>
#include <stddef.h>
#include <stdint.h>

#include "user/addr.h"
#include "user/rung.h"

#define BPF_IFACES_MAX 16

struct bpf_iface {
	char name[IF_NAMESIZE];
	uint32_t index;
	uint8_t mac[6];
	bool tc;		/* not on XDP, */
	char why[RUNG_WHY_MAX]; /* and why */
};

struct bpf_ifaces {
	struct bpf_iface list[BPF_IFACES_MAX];
	unsigned n;
};

/* Add the interface that carries @a (once); *out_index is its ifindex. -EADDRNOTAVAIL, -ENETDOWN. */
int bpf_iface_find(struct bpf_ifaces *ifs, const struct addr *a, uint32_t *out_index, char *why,
		   size_t why_n);
/* Attach @prog_fd natively by a link pinned in @dir, or switch the link that is pinned there. */
int bpf_iface_attach(const struct bpf_iface *i, const char *dir, int prog_fd, char *why,
		     size_t why_n);
/* A link that works is pinned in @dir. */
bool bpf_iface_linked(const struct bpf_iface *i, const char *dir);
/* Send probe frames out of @i by redirect with @probe_fd and see them counted as sent. -EHOSTUNREACH. */
int bpf_iface_probe(const struct bpf_iface *i, int probe_fd, char *why, size_t why_n);
/* Detach and unpin the links in @dir of other interfaces than those of @keep that are on XDP (NULL: all). */
void bpf_iface_release(const char *dir, const struct bpf_ifaces *keep);

#endif
