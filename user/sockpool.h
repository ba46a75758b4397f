/* user/sockpool.h -- UDP sockets that the keeper binds ahead of time, for media that must outlive the worker.
 *
 * Data flow: keeper: sockpool_bind() binds one socket a port, at consecutive ports and consecutive descriptors -> the worker inherits
 * them as "name=FIRST+COUNT" -> sockpool_get() -> sockpool_wake() before a socket carries a flow, sockpool_rest() after.
 * A resting IPv4 socket is connected to itself: the kernel queues nothing for it and answers strangers as a closed port does. A resting
 * IPv6 socket has a filter that drops everything. What comes in
 * while no worker runs waits in the buffer of an awake socket.
 * A keeper that follows another takes the same sockets out of the manager's store (user/keeper_store.h), if they are just those that
 * are wanted now: all of them or none.
 * Owner rules: the keeper owns the descriptors for its life; the worker has duplicates and never closes them. A worker that follows
 * another finds sockets as they were left, awake or resting, and sets each right.
 * Limits: @n sockets are descriptors of both processes; a port that somebody else holds leaves a gap in the ports, none in the
 * descriptors. The receive buffer is forced past net.core.rmem_max where the keeper may. */
#ifndef SALLYPORT_SOCKPOOL_H
#define SALLYPORT_SOCKPOOL_H

#include "user/addr.h"
#include "user/keeper.h"

struct sockpool {
	int first;  /* descriptor */
	unsigned n; /* sockets; each is bound, which port it has says sockpool_port() */
};

/* Keeper: bind up to @n sockets at @first.port and above, below @end; @step ports of each group stay together (2: an even port and
 * the next). 0; -EMFILE (*why names RLIMIT_NOFILE and @setting), -EADDRINUSE (fewer free ports than @n), others. */
struct sockpool_wish {
	const char *name;    /* "media.inside" */
	const char *setting; /* for errors: "media.max" */
	struct addr first;
	uint32_t end; /* first port that is not ours any more, at most 65536 */
	unsigned n, step;
	int rcvbuf; /* bytes; the kernel doubles it for its own */
};
int sockpool_bind(struct keeper_plan *p, const struct sockpool_wish *w, char *why, size_t why_n);

/* Worker. 0 or -ENOENT. */
int sockpool_get(const char *name, struct sockpool *out);
/* The socket's port, host order; 0: not a bound socket. */
uint16_t sockpool_port(int fd);
/* Take datagrams from now on; what was queued before is thrown away. 0 or negative errno. */
int sockpool_wake(int fd);
/* Take none. */
int sockpool_rest(int fd);
bool sockpool_resting(int fd);

#endif
