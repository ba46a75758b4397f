/* user/maps_memory.h -- the records of bpf/abi.h without BPF: in one memfd that the keeper holds, for the rung on sockets.
 *
 * Data flow: maps_memory_make() (keeper, once) -> memfd of fixed size -> maps_memory_open() (each worker) gives the same struct maps as
 * on the BPF rungs, so that media_edge installs and adopts flows as ever -> media_user carries by the records themselves.
 * Owner rules: the memfd lives as long as its keeper; writer is the worker's one thread. What a BPF program would write (latch,
 * counters, reasons) media_user writes. There are no next hops (the kernel routes) and no live map (nothing would dump it).
 * Limits: MAPS_MEMORY_BANS bans; more are refused with -ENOSPC. */
#ifndef SALLYPORT_MAPS_MEMORY_H
#define SALLYPORT_MAPS_MEMORY_H

#include "bpf/abi.h"
#include "user/maps.h"

#define MAPS_MEMORY_BANS 1024

/* A descriptor, or a negative errno. */
int maps_memory_make(const struct maps_pair *pairs, unsigned n_pairs);
/* 0, -EPROTO (not of these pairs or of another ABI), other negative errno. @fd stays the caller's. */
int maps_memory_open(int fd, const struct maps_pair *pairs, unsigned n_pairs, struct maps **out);

/* For what carries packets. @slot < maps_slots(). */
const struct flow *maps_memory_flow(const struct maps *m, uint32_t slot);
struct flow_state *maps_memory_state(struct maps *m, uint32_t slot);
void maps_memory_count(struct maps *m, enum relay_reason why);

#endif
