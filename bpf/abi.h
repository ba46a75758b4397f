/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/* bpf/abi.h -- every type that BPF programs and user space share; the layout of the pinned maps.
 *
 * Fixed-width types, explicit padding, -Wpadded is an error here. A change of any layout raises SP_ABI, and with it the
 * bpffs directory (/sys/fs/bpf/sallyport/<instance>/v<SP_ABI>/).
 *
 * Maps (key -> value; writer; reader; when entries die):
 *   flows       array, mmapable: slot -> struct flow. User space writes, BPF reads. A slot is written with state off, the
 *               fields, then on with a new generation; a freed slot rests 30 s before it is used again.
 *   flow_state  array, mmapable: slot -> struct flow_state. BPF writes (latch, counters), user space reads and clears it
 *               between two generations. Never in the same cache line as flows.
 *   next_hops   array: index -> struct next_hop. User space writes on route and neighbour events.
 *   pairs       array: address pair -> struct addr_pair. Written once at start.
 *   ifaces      hash/array: see xdp_relay. Written once at start.
 *   bans        LPM trie: struct ban_key -> struct ban. User space writes and expires.
 *   reasons     per-CPU array: enum relay_reason -> __u64 packets. BPF writes, user space reads and sums.
 *   live        hash: flow id -> struct live_flow. User space only: it is what `bpftool map dump` shows.
 *   tx          devmap: ifindex-indexed redirect targets. Written once at start.
 *
 * Addresses are 16 bytes, IPv4 as ::ffff:a.b.c.d; the hot IPv4 words are kept beside them. */
#ifndef SALLYPORT_ABI_H
#define SALLYPORT_ABI_H

#include <linux/types.h>

#define SP_ABI 1

#endif
