/* user/keeper_store.h -- what outlives the keeper itself: descriptors in the service manager's store (systemd's FDSTORE, sd_notify(3)).
 *
 * Data flow: keeper_store_open() takes what the manager passes on (LISTEN_FDS, LISTEN_FDNAMES) into the plan's list -> the openers
 * (keeper_open.c, sockpool.c, lodge_hold.c, ...) ask there by name before they make something new, and look at what they get: address,
 * kind, size, seals; what does not fit is refused with its reason and made anew -> keeper_store_lodge() and keeper_store_begin(): lodged
 * connections (user/lodge_hold.h) come back, what nobody asked for is closed, what is not in the store yet goes there -> what is lodged
 * later is pushed (keeper_store_step()), and removed where it ends. So a keeper that is killed, or restarted by an operator, finds listeners, media sockets,
 * state files and connections as its worker left them, and its first worker goes on as any worker does that follows a dead one.
 * Without $NOTIFY_SOCKET nothing is pushed, and without LISTEN_FDS everything is made anew: as ever.
 *
 * Names in the store, by which it is read again: "store" (a small file: KEEPER_STORE_VERSION and whose it is), "worker" (pidfds), of a
 * single descriptor the plan's own name, of a range, which is there as one (keeper_carrier.h), the first letters of the name's parts
 * ("media.inside": "mi"), of a lodged descriptor its role (a digit) and slot (base 36). Short, since the kernel takes LISTEN_FDNAMES only
 * up to 128 KiB.
 * A store of another version or daemon is refused as a whole; files have versions of their own (user/keep.h, user/lodge.h).
 *
 * The earlier worker: it dies with its keeper (keeper_child.c), but may take a moment. What it wrote to is read by its successor only
 * when it is gone: its pidfd is in the store, and keeper_store_open() waits on it, STORE_GONE_MS at most; then the start fails.
 *
 * What is lost with a keeper all the same: what is lost with any worker (calls that only ring, what it had in its hands, streams whose
 * TLS is not the kernel's: their phones connect anew), connections of the last second, the plaintext relays of earlier workers. Nothing
 * is kept over a stop of the service or a boot: the manager closes its store. Without such a manager all of it is lost with the keeper,
 * but the flows in BPF.
 *
 * Owner rules: the manager has duplicates, and a connection ends when the last one closes: a lodged one is removed from the store
 * before the keeper closes its own. It is pushed only after STORE_LAZY_MS, so that short-lived ones do not trouble the manager.
 * The keeper waits for the manager where its socket is full (sd_notify() blocks); the worker never waits for the keeper.
 * Not stored: the admin socket (made anew on its path), control and idle link connections, BPF (pinned), half-told slots: a descriptor
 * that its record does not name by inode (lodge_wire.h) is closed by the next worker.
 * Limits: names of STORE_NAMES_MAX bytes in all; what is above is counted, logged once, and does not outlive the keeper. The manager's
 * own limit is FileDescriptorStoreMax=, which must be larger than all of it; what it refuses it logs itself. */
#ifndef SALLYPORT_KEEPER_STORE_H
#define SALLYPORT_KEEPER_STORE_H

#include <sys/types.h>

#include "user/addr.h"
#include "user/keeper.h"

#define KEEPER_STORE_VERSION 1
#define STORE_NAMES_MAX	     120000u
#define STORE_LAZY_MS	     1000
#define STORE_GONE_MS	     5000

struct lodge_hold;

/* ---- keeper_take.c: the plan's list; no manager needed ---- */

/* The descriptor of that name, the caller's from now on; -1: none. */
int keeper_take(struct keeper_plan *p, const char *name);
/* All of that name into *out (free() it), which may be more than @max: then none is taken. Their number; 0: none; -ENOMEM, -E2BIG. */
int keeper_take_all(struct keeper_plan *p, const char *name, unsigned max, int **out);
/* @fd of that name is not what is wanted: it is closed, the manager forgets all of that name, and a line says why. */
void keeper_refuse(struct keeper_plan *p, const char *name, int fd, const char *why);
/* A bound (and for SOCK_STREAM listening) socket of exactly that address; -1: none that fits. */
int keeper_take_socket(struct keeper_plan *p, const char *name, const struct addr *a, int type);
/* A memfd of @size bytes with the @seals; -1: none that fits. */
int keeper_take_memory(struct keeper_plan *p, const char *name, uint64_t size, int seals);
/* Name in the store of a range. @out: 16 bytes. */
void keeper_range_name(const char *name, char out[16]);
/* The plan's last entry outlives the keeper; @taken: it came from the store. */
void keeper_outlives(struct keeper_plan *p, bool taken);
/* The name of a lodged descriptor, and back. @out: 8 bytes. */
void keeper_lodged_name(uint32_t slot, unsigned role, char out[8]);
bool keeper_lodged_parse(const char *name, uint32_t *slot, unsigned *role);

/* ---- keeper_store.c ---- */

/* First of all; @daemon: whose store it is ("core"). 0; a negative errno with @why: the worker of an earlier keeper does not end. */
int keeper_store_open(struct keeper_plan *p, const char *daemon, char *why, size_t why_n);
/* The plan is whole. */
void keeper_store_begin(struct keeper_plan *p);
/* From now on what is lodged in @h is stored, and what an earlier keeper had there is back in it. @h lives on until keeper_store_end(). 0
 * or -ENOMEM. */
int keeper_store_lodge(struct keeper_plan *p, struct lodge_hold *h);
/* What is due is pushed; *due (0: never) is lowered to the next time something is. */
void keeper_store_step(struct keeper_plan *p, uint64_t now_ms, uint64_t *due);
/* What is stored stays so: whether this was the end only the manager knows. */
void keeper_store_end(struct keeper_plan *p);
/* These workers live, and no other (0: none). */
void keeper_store_workers(struct keeper_plan *p, const pid_t *pids, unsigned n);
/* "READY=1" and the like. Nobody listening is no error. */
void keeper_store_say(const char *text);

#endif
