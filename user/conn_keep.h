/* user/conn_keep.h -- a connection that outlives the process: its descriptor is with the keeper (user/lodge.h), what else it is, in a
 * record that the next worker reads.
 *
 * Data flow: conn_keepable() -> conn_keep(): from then on the connection's kernel TLS state and byte counts live in the caller's record.
 * The process dies -> the next one: conn_adopt() of descriptor and record. The process hands over -> conn_leave(), and the same.
 * What of the bytes: those that the kernel has are safe, whatever happens to us. While we have any (read and not dealt with, or to be
 * written) .rx_busy or .tx_busy says so, set before and cleared after: a connection whose process died then cannot be gone on with,
 * since something would be missing or double; conn_adopt() refuses it. conn_leave() has no such loss: it puts what is queued into a pipe,
 * and says so in the record: a death before the keeper has that pipe, or after it was read, is found by the next one.
 * Owner rules: the record is the caller's memory, 8-byte aligned, and must stay until the connection ends, conn_unkeep() or conn_leave().
 * The module says conn_hold() while it keeps bytes over the end of readable() (the first half of a message). */
#ifndef SALLYPORT_CONN_KEEP_H
#define SALLYPORT_CONN_KEEP_H

#include "user/conn.h"
#include "user/ktls.h"

/* In a file that another version of us may read: LODGE_VERSION counts its changes. */
struct conn_keep {
	uint64_t received, sent;   /* as conn_received(), conn_sent() */
	uint32_t rx_busy, tx_busy; /* bytes are in the process's hands */
	struct ktls tls;	   /* .has all 0: plain bytes */
	struct addr peer, local;
	uint8_t link; /* as conn_params.link */
	uint8_t pair; /* as conn_relayed() */
	/* conn_leave() gave a pipe with what was queued; and the module one with what it held. Without them there is no going on. */
	uint8_t tx_along, rx_along;
};
_Static_assert(sizeof(struct conn_keep) == 104, "part of a record");

/* Up, with no end seen, and all its state in the kernel: rung A, or plain TCP. */
bool conn_keepable(const struct conn *c);
void conn_keep(struct conn *c, struct conn_keep *k);
/* Whether its keys can change: then a record needs a place for what the next ones come from, at most 2 GiB away, in the memory that the record
 * is in; said before conn_keep() and before conn_adopt(), by each process. NULL: there is none, and the keys stay as they are. */
bool conn_rekeys(const struct conn *c);
void conn_keep_secrets(struct conn_keep *k, struct ktls_secrets *where);
/* The record is not the connection's any more; also done by conn_close() and conn_abort(). */
void conn_unkeep(struct conn *c);
/* Plain bytes to a process before us that has its TLS: user/conn_relay.h. */
bool conn_relayed(const struct conn *c);
int conn_fd(const struct conn *c);
void conn_hold(struct conn *c, bool holds);

/* Of a record that lies with a dead worker: was nothing in its hands? */
bool conn_keep_idle(const struct conn_keep *k);
/* Is it one that conn_keep() can have written? Nothing else may be adopted. */
bool conn_keep_good(const struct conn_keep *k);
/* Take up a kept connection; @pipe: what conn_leave() gave, or -1. Up at once; readable() follows from the loop. @k becomes its record.
 * 0; -ECANCELED: it was busy, or what was to go along is not there; -EBADMSG: no record of ours; or another negative errno. Both
 * descriptors are the connection's, or closed (by RST). */
int conn_adopt(const struct conn_params *p, int fd, int pipe, struct conn_keep *k,
	       struct conn **out);
/* The process hands over: the connection ends here without a trace on the wire, and its record and descriptor are the next one's. What
 * was queued is in *out_pipe (its reading end; -1: nothing was). 0, or a negative errno: the queue fits into no pipe, and the connection
 * has been aborted. The caller closes *out_pipe when the keeper has it. */
int conn_leave(struct conn *c, int *out_pipe);
/* Bytes for the next process in a pipe: its reading end, or a negative errno; at most CONN_CARRY_MAX. And out again: all of it, @pipe is
 * closed; -ENOBUFS: more than @max. */
#define CONN_CARRY_MAX (512u << 10)
int conn_carry(struct span bytes);
ssize_t conn_carried(int pipe, void *buf, size_t max);

#endif
