/* user/lodge_hold.h -- the keeper's half of the lodge: descriptors by slot and role, and the channels to its workers.
 *
 * Data flow: a worker's PUT -> a descriptor in the table; DROP, DROP_FD -> closed; at a worker's start every descriptor goes
 * out again, GO first, END last. Of a message only op, slot, role and the number of descriptors are looked at, each against
 * its bounds; what does not fit is closed, counted and logged. Other words (READY, UPGRADE, ...) go to the caller's
 * function. The file "lodge.state" is made here and never read.
 * Owner rules: the table owns its descriptors until a DROP or lodge_hold_free(); a worker has duplicates. A channel owns its
 * end of the socket pair. Nothing waits: a worker that does not read gets the rest when its channel is writable. */
#ifndef SALLYPORT_LODGE_HOLD_H
#define SALLYPORT_LODGE_HOLD_H

#include "user/lodge_wire.h"

struct lodge_hold;

struct lodge_channel {
	int fd; /* our end; -1: none */
	bool giving;
	bool go_said;
	bool stalled;  /* try again in 10 ms: that it is writable means nothing now */
	uint32_t next; /* slot to give */
};

struct lodge_hold_stats {
	uint32_t descriptors;
	uint64_t bad;	  /* messages refused */
	uint64_t no_room; /* descriptors that did not fit into this process */
};

int lodge_hold_new(uint32_t slots, struct lodge_hold **out);
void lodge_hold_free(struct lodge_hold *h);
/* @fn is told of each descriptor that came (@here), or is about to be closed; not of lodge_hold_free(). */
typedef void lodge_changed_fn(void *arg, uint32_t slot, unsigned role, bool here);
void lodge_hold_watch(struct lodge_hold *h, lodge_changed_fn *fn, void *arg);
/* One of a keeper before, without a word to the watcher. False, and closed: no such place, or taken. */
bool lodge_hold_adopt(struct lodge_hold *h, uint32_t slot, unsigned role, int fd);
int lodge_hold_fd(const struct lodge_hold *h, uint32_t slot, unsigned role); /* -1: none */
const struct lodge_hold_stats *lodge_hold_stats(const struct lodge_hold *h);

/* A new channel; the worker's end in *out_worker, close-on-exec. 0 or negative errno. */
int lodge_channel_open(struct lodge_channel *c, int *out_worker);
void lodge_channel_close(struct lodge_channel *c);
/* Handle what came, at most a few hundred messages; @word gets what is not about slots (its text ends). False: the other end
 * is gone, and so is the channel now. */
typedef void lodge_word_fn(void *arg, struct lodge_msg *m);
bool lodge_channel_read(struct lodge_hold *h, struct lodge_channel *c, lodge_word_fn *word,
			void *arg);
/* Its worker is dead: all that it sent counts still. */
void lodge_channel_drain(struct lodge_hold *h, struct lodge_channel *c, lodge_word_fn *word,
			 void *arg);
/* GO, all that is lodged, END. Goes on in lodge_channel_write() while .giving. */
void lodge_channel_give(struct lodge_hold *h, struct lodge_channel *c);
void lodge_channel_write(struct lodge_hold *h, struct lodge_channel *c);
/* A word of ours. 0 or negative errno. */
int lodge_channel_say(struct lodge_channel *c, const struct lodge_msg *m);

#endif
