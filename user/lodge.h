/* user/lodge.h -- descriptors of connections that outlive the worker, each slot with a record of what it is.
 *
 * Data flow: worker: lodge_put() writes a record into the shared file "lodge.state" and sends the descriptors to the keeper
 * over the worker's channel "lodge" -> keeper: user/lodge_hold.c keeps them by slot and role, and looks at nothing else ->
 * the worker dies, or hands over -> the next one waits for its GO (lodge_wait_go()), gets every descriptor from the keeper,
 * and lodge_take() gives each with its record to the module that knows its kind. Records are written in place: lodge_record().
 *
 * What a death leaves: a slot counts only if its state word says COMPLETE, which is stored last, with release order, when
 * all its descriptors are on their way; and only if every descriptor that the record names, by its inode, has arrived. Anything else is
 * dropped by the next worker. So between any two instructions of a worker there is the whole slot or none. Inside the
 * payload the user sees to that himself: one aligned word of up to 8 bytes changes at once (lodge_word_set()), two never do;
 * a word per direction that says "in flight", set before and cleared after a step that changes several things, tells the
 * next worker that this direction cannot be gone on with.
 *
 * Owner rules:
 *  - The keeper owns its duplicates from the PUT to the DROP; the worker its own. A connection ends when both are closed:
 *    close yours, then lodge_drop(); to abort with RST set SO_LINGER {1, 0} before: the keeper's close is the last one and
 *    obeys it. A FIN at once takes shutdown(2).
 *  - A descriptor that was given to lodge_put() or lodge_fd_add() stays open until lodge_drop() or lodge_fd_drop() of it;
 *    closing it right before that call, in the same function, is fine.
 *  - One thread. The file has one writer: the worker that has its GO, until it says lodge_done(). The keeper wrote the
 *    file's head and reads none of it.
 *  - Records hold keys: they are wiped when a slot is dropped.
 * Nothing waits: what the channel does not take now is remembered in the slot (one bit a role; there can be no more) and
 * sent when it is writable.
 * Limits: as many slots as the keeper's plan says (LODGE_SLOTS_MAX), LODGE_ROLES descriptors each, LODGE_PAYLOAD bytes. A
 * full table refuses with -ENOSPC. The head is written anew by the keeper before each worker that finds no other alive: what a
 * hostile one did to it ends with that. A keeper or worker without room for a descriptor (RLIMIT_NOFILE, which lodge_plan()
 * raises for both) loses that slot: counted, see lodge_held(). A record that kills whoever takes it up does so KEEP_DEATHS
 * times (user/keep.h); then a worker begins with none. */
#ifndef SALLYPORT_LODGE_H
#define SALLYPORT_LODGE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "user/keeper.h"

#define LODGE_VERSION	4 /* of the file and of all records in it; another one is not read */
#define LODGE_SLOTS_MAX 65536u
#define LODGE_ROLES	4 /* 0: the connection; 1 and up: pipes and the like */
#define LODGE_PAYLOAD	368
#define LODGE_EXTRA	192 /* more of a slot: takes memory only where it is used */

struct lodge;
struct loop;

/* ---- keeper ---- */

/* Add "lodge.state" for @slots to the plan, after everything else, and raise RLIMIT_NOFILE, for keeper and (inherited)
 * worker, to what the plan holds and LODGE_ROLES descriptors a slot if it is lower; where that is refused the limit is as
 * high as may be, and a warning says so. Before privileges go. 0, -EINVAL, or another negative errno with @why. */
int lodge_plan(struct keeper_plan *p, uint32_t slots, char *why, size_t why_n);
/* The head as it was made, before a worker starts that finds no other alive. Nothing of what is lodged changes. */
void lodge_head_again(const struct keeper_plan *p);

/* ---- worker: start and end ---- */

/* Map the file. 0; -ENOENT: this keeper has no lodge; -EPROTO: of another version or shape than this binary knows, *why says
 * which. */
int lodge_open(struct lodge **out, char *why, size_t why_n);
void lodge_close(struct lodge *l); /* slots stay */
/* Tell the keeper why this start fails, for whoever asked for it; then exit with a failure. Any time, without a struct lodge. */
void lodge_refuse(const char *why);
/* Say READY and wait for the GO: from here on files, maps and sockets are ours alone. A worker that follows a dead one, or
 * none, does not wait; one that is to take over waits until the other has let go. With an @objection (the state is of
 * another version) we would rather not: one that is to take over is ended then, and the worker before it goes on; one that
 * is alone gets its GO all the same, and begins empty. 0, -EPIPE: the keeper is gone. */
int lodge_wait_go(struct lodge *l, const char *objection);
/* Receive what the keeper has, once, after lodge_wait_go(). @fn gets each whole slot, and returns whether it takes it over:
 * then @fds (-1: no such role) are the caller's. What it does not take is closed and dropped; NULL takes none. It may use
 * lodge_record(), lodge_fd_*() and lodge_drop() of any slot that it took, and no lodge_put(). 0 or negative errno. */
typedef bool lodge_take_fn(void *arg, uint32_t slot, uint32_t kind, const int fds[LODGE_ROLES],
			   void *record);
int lodge_take(struct lodge *l, lodge_take_fn *fn, void *arg);
/* Workers before us that took it up, and neither settled nor handed over; the last count before it was emptied. */
unsigned lodge_deaths(const struct lodge *l);
/* From now on the channel is read and written by the loop; half a second later we have survived what we took up. */
int lodge_attach(struct lodge *l, struct loop *loop);

/* ---- worker: upgrade and hand-over ---- */

/* Ask the keeper to start the binary anew, from the path that it was started from itself, beside us. @fn gets the reason why
 * that was refused; or NULL with the next worker's version and pid, right before the hand-over. 0, -EBUSY: one is going on;
 * else a negative errno. */
typedef void lodge_answer_fn(void *arg, const char *refused, const char *version, int pid);
int lodge_upgrade(struct lodge *l, lodge_answer_fn *fn, void *arg);
/* The next worker stands ready and waits: @fn stops taking in, lodges what is to outlive us, and then, or later, says
 * lodge_done(). After 5 s without it we are killed. Without a function: lodge_done(), and the end of the process. */
void lodge_on_handover(struct lodge *l, void (*fn)(void *arg), void *arg);
/* Everything that is kept is the next one's now: what waits is sent, then DONE, then @left is called, which ends the process
 * or lives on with what it did not lodge (keeper.h: KEEPER_OLD_MAX). From then on nothing shared may be touched: state
 * files, maps, sockets. Slots cannot be: the calls here do nothing, and pointers into the file lead to private memory. @left
 * may call lodge_close(). */
void lodge_done(struct lodge *l, void (*left)(void *arg), void *arg);

/* ---- worker: slots ---- */

/* Lodge @n descriptors (roles 0..n-1) with a record of @record_n bytes (the rest is zero); @kind is the user's, not 0. 0
 * with the slot; -ENOSPC, -EINVAL, -ESHUTDOWN (after lodge_done()). What the channel did not take is sent later: until
 * lodge_held() the slot does not count. */
int lodge_put(struct lodge *l, uint32_t kind, const int fds[], unsigned n, const void *record,
	      size_t record_n, uint32_t *out_slot);
/* The slot's payload in the shared file, LODGE_PAYLOAD bytes on 16. */
void *lodge_record(struct lodge *l, uint32_t slot);
/* LODGE_EXTRA bytes more, zero unless they were written to, from a part of the file that takes no memory before the first such call. */
void *lodge_extra(struct lodge *l, uint32_t slot);
/* Whole: a next worker would get it. */
bool lodge_held(const struct lodge *l, uint32_t slot);
uint32_t lodge_generation(const struct lodge *l, uint32_t slot);
/* One more descriptor of a slot; the role must be free. 0, -EINVAL, -EEXIST. */
int lodge_fd_add(struct lodge *l, uint32_t slot, unsigned role, int fd);
void lodge_fd_drop(struct lodge *l, uint32_t slot, unsigned role);
void lodge_drop(struct lodge *l, uint32_t slot);

/* A name's hash for a record (FNV-1a): what configuration it belongs to, whose order and number may have changed. */
static inline uint64_t lodge_name_hash(const char *s)
{
	uint64_t h = 0xcbf29ce484222325u;

	for (; *s; s++)
		h = (h ^ (uint8_t)*s) * 0x100000001b3u;
	return h;
}

static inline void lodge_word_set(uint64_t *word, uint64_t v)
{
	__atomic_store_n(word, v, __ATOMIC_RELEASE);
}

struct lodge_stats {
	uint32_t slots, used, waiting; /* waiting: slots with something not sent yet */
	uint64_t put, taken, dropped;  /* dropped: at lodge_take() */
	uint64_t full;		       /* -ENOSPC */
	uint64_t later;		       /* sends that the channel did not take at once */
	uint64_t lost;		       /* descriptors that keeper or worker had no room for */
};
struct lodge_stats lodge_stats(const struct lodge *l);

#endif
