/* user/conn_relay.h -- connections whose TLS stays with this process when it hands over, as OpenSSL's state cannot be given
 * away: the next process has plain ends of them, and this one lives on as what moves the bytes between.
 *
 * Data flow: peer == TLS == @c (ours) <-> our end of a pair -- the pair -- the other end, lodged with a struct conn_keep
 * whose tls.has are 0 and .pair is 1 -> conn_adopt() in the next process: a connection as any other, which an upgrade after
 * that passes on as it is. Here both sides are struct conn: what one gives the other gets, at most CONN_RELAY_QUEUE queued,
 * then the giver is paused (TCP and the pair's own buffers do the rest).
 *
 * What of the bytes at the hand-over, of a stream between connections C and D of which C is relayed:
 *  - read from C's TLS by the module, on the way to D: the module's, which has them in D's queue (or a pipe of conn_splice(),
 *    or a buffer of its own). It takes them there itself, before D leaves: D descriptor: conn_leave() carries its queue to
 *    the next process; D relayed too: the queue stays with D here, ahead of whatever the next process writes.
 *  - not read yet (TCP, the kernel's, OpenSSL's): stay with C, are read here, and come out of the pair.
 *  - written to C and queued there: stay, and go out ahead of what comes by the pair.
 * So nothing is copied at that moment, nothing can be lost or doubled, and order is kept in both directions. The counts go
 * on: the record begins with conn_received() and conn_sent() of C.
 *
 * How the pair tells its end. AF_UNIX and not TCP on loopback: for TCP the sandbox would have to allow listen(2), a port
 * would stand open for a moment, and a process that dies leaves FIN, which looks like a clean end. On an AF_UNIX stream an
 * end that was shut down for writing gives the other a bare end of file (POLLRDHUP), one that was closed also POLLHUP. So:
 * clean is shutdown(2) with the descriptor still open, and a cut is anything else: conn_abort(), exit, SIGKILL. Whoever ends
 * cleanly keeps the descriptor until the other side has said the same, i.e. has read everything, at most PAIR_MS (conn.c); a
 * reader that is slower, or a process that must go in between, makes it a cut: never the other way round. A cut is passed on
 * as RST, a clean end with close_notify, as everywhere (conn.h).
 *
 * Death: of the next process, by kill -9: the pair's end is lodged, its record says whether bytes were in its hands, as for
 * others. Of this one: all its relays are cut. After the hand-over nothing but the relays runs here: conn_relays_run().
 * Owner rules: the daemon owns struct conn_relays; a relay owns both its connections. From conn_relay() on @c is not the
 * module's any more. The descriptor for the next process is the caller's, to be closed when the keeper has it: a copy here
 * would hide that end's closing.
 * Limits: a relay costs two descriptors, one more poll of the loop, and what is queued. CONN_RELAY_MS after the hand-over
 * those that are left are cut, one every CONN_RELAY_GAP_MS, the oldest first. */
#ifndef SALLYPORT_CONN_RELAY_H
#define SALLYPORT_CONN_RELAY_H

#include "user/conn_keep.h"

#define CONN_RELAY_QUEUE 65536 /* bytes a direction, as the edge's streams */
/* A phone keeps its connection for ever, so an end is set: who upgrades does so to be rid of the old program, and of at most
 * KEEPER_OLD_MAX old workers each has the memory that it ever had. Ten minutes are longer than nearly every call. */
#define CONN_RELAY_MS	  (10u * 60 * 1000)
#define CONN_RELAY_GAP_MS 10 /* they all come again: not in one moment */

struct conn_relays;
struct conn_relays_stats {
	unsigned now;
	uint64_t clean, cut, late; /* ended; late: by the time limit, counted as cut as well */
};

int conn_relays_new(struct loop *loop, struct conn_relays **out); /* 0 or -ENOMEM */
void conn_relays_free(struct conn_relays *r); /* NULL is fine; what is left is cut */

/* @c is relayed from now on, and *k, *out_fd are the next process's half. 0; -EPIPE: its end is known already; or another
 * negative errno: then @c is the caller's as it was. Not from within one of its ops. */
int conn_relay(struct conn_relays *r, struct conn *c, struct conn_keep *k, int *out_fd);

/* The process has handed over: the loop is cleared (loop_clear()) of everything but the relays, which go on for @ms at most.
 * @over is called when the last one has ended, its last bytes and all. */
void conn_relays_run(struct conn_relays *r, unsigned ms, void (*over)(void *arg), void *arg);
/* Their descriptors, 2 * stats.now of them. */
void conn_relays_fds(const struct conn_relays *r, int *out);
struct conn_relays_stats conn_relays_stats(const struct conn_relays *r);

#endif
