/* tools/bench_uring.h -- what the files of tools/bench uring share: bench_uring.c (rounds, table), bench_uring_lanes.c (io_uring by hand,
 * epoll), bench_uring_loop.c (user/loop, as the daemons use it).
 *
 * Data flow: a peer process connects over 127.0.0.1 -> the lane under test accepts, or echoes, until it has done a stated number of
 * operations -> CPU of this process (io_uring's own threads are in it) a operation. Timers need no peer: a number of them is set
 * again and again, each for a pseudo-random time, until so many have fired.
 * Every lane does the same work, counted: connections accepted, bytes echoed, timers fired.
 *
 * Owner rules: a lane opens its ring, epoll or loop and closes it; sockets that it accepts are its own; the listener and the echo
 * connections are lent for a run. */
#ifndef SALLYPORT_TOOLS_BENCH_URING_H
#define SALLYPORT_TOOLS_BENCH_URING_H

#include <stdint.h>

#define BENCH_URING_CONNS  64 /* that echo, or are connected at once */
#define BENCH_URING_BYTES  64 /* of an echo */
#define BENCH_URING_TIMERS 2000
#define BENCH_URING_MS	   20 /* a timer is set for 1 to so many */

struct bench_uring_job {
	int listener;  /* accept: nonblocking */
	const int *fd; /* echo: BENCH_URING_CONNS connections, nonblocking */
	uint64_t ops;  /* connections, echoes or timers to be done */
};

/* 0; a negative errno, -EOPNOTSUPP and the like where this kernel has it not. */
typedef int bench_uring_fn(const struct bench_uring_job *j);

bench_uring_fn bench_uring_accept_loop, bench_uring_accept_multi, bench_uring_accept_single,
	bench_uring_accept_epoll;
bench_uring_fn bench_uring_echo_loop, bench_uring_echo_multi, bench_uring_echo_single,
	bench_uring_echo_epoll;
bench_uring_fn bench_uring_timer_loop, bench_uring_timer_ops, bench_uring_timer_fds;

/* The accepted connection is closed by RST, so that no port waits; the peer hears of it and connects again. */
void bench_uring_drop(int fd);
/* 1..BENCH_URING_MS; the same row for every lane. */
unsigned bench_uring_ms(uint32_t *seed);

#endif
