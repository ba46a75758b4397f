/* user/media_user.h -- media carried by UDP sockets in the worker: the rung without BPF, also where edge and core share a host.
 *
 * Data flow: datagram on the socket of a port (io_uring) -> slot = port -> bpf/flow.h's rules over flows and flow_state -> out by the
 * socket of the same slot on the pair's other side, TTL one less, TOS as it came; or a punch, to media_edge_punch(). Every datagram is
 * counted under the reasons of the BPF programs: forwarded ones when the kernel has taken them, else by the kernel's own word (no
 * route: drop_no_next_hop, over the MTU: drop_too_big, anything else: drop_no_tx). What a socket cannot do: answer with ICMP
 * (too big is dropped, never told), see a missing checksum, see what the stack has dropped before.
 * Owner rules: sockets are the keeper's, one a port and side, all awake; records are maps_memory's. What comes while no worker runs
 * waits in the sockets. Owns its receive operations. One thread.
 * Limits: MEDIA_USER_SOCKETS in all, so the configuration's range has to be small; MEDIA_USER_SENDS datagrams in flight. */
#ifndef SALLYPORT_MEDIA_USER_H
#define SALLYPORT_MEDIA_USER_H

#include "user/loop.h"
#include "user/maps.h"
#include "user/rung.h"

#define MEDIA_USER_SOCKETS 16384u
#define MEDIA_USER_RCVBUF  524288 /* 300 ms of a 4 Mbit/s video, by the kernel's way of counting */
/* What the loop has to be made with. */
#define MEDIA_USER_BUFS	   4096u
#define MEDIA_USER_SENDS   4096u
#define MEDIA_USER_CONTROL 112u /* TTL, TOS, interface, fragment size; IPv6's are the longer ones */

struct media_user;

struct media_user_side {
	int first_fd; /* the socket of the side's first port; the others follow */
	uint32_t
		ifindex; /* the interface that carries its address; 0: any. Loopback is always taken */
};

struct media_user_params {
	struct loop *loop;
	struct maps *maps; /* from maps_memory_open(), of the same pairs */
	const struct maps_pair *pairs;
	unsigned n_pairs;
	struct media_user_side side[RUNG_PAIRS_MAX][2]; /* outside, inside */
	void (*punch)(void *arg, const struct addr *from, struct span data);
	void *arg;
};

/* Wakes the sockets that rest and receives from all. 0, -ENOMEM, -ENOBUFS (loop without operations), or of a socket. */
int media_user_new(const struct media_user_params *p, struct media_user **out);
void media_user_free(struct media_user *u);

/* Keeper: what a socket has to tell with each datagram, and how it sends. 0 or negative errno. */
int media_user_socket(int fd, bool v4);

#endif
