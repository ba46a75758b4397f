/* user/lodge_wire.h -- what keeper and worker share of the lodge: the file's layout, and the messages on the channel between
 * them.
 *
 * In, out: one struct lodge_msg a datagram (AF_UNIX, SOCK_SEQPACKET), always of its full size, descriptors beside it.
 * Neither side ever waits for the other: every send is non-blocking. Only user/lodge*.c and user/keeper*.c include this;
 * everybody else sees user/lodge.h.
 * Owner rules: descriptors received belong to whoever called lodge_msg_recv(); those sent stay the sender's. */
#ifndef SALLYPORT_LODGE_WIRE_H
#define SALLYPORT_LODGE_WIRE_H

#include <stdbool.h>
#include <stdint.h>

#include "user/lodge.h"

#define LODGE_HEAD	4096u /* bytes before the first record */
#define LODGE_TEXT	240
#define LODGE_GIVEN_MAX 30

enum lodge_op {
	/* worker -> keeper */
	LODGE_PUT = 1, /* slot, role, one descriptor */
	LODGE_DROP,    /* slot: all its descriptors are closed */
	LODGE_DROP_FD, /* slot, role */
	LODGE_READY, /* text: our version. Everything is parsed and the state can be read: say GO */
	LODGE_REFUSE,  /* text: what keeps us from going on */
	LODGE_UPGRADE, /* start the binary anew beside me */
	LODGE_DONE,    /* all that I kept is the next one's now */
	/* keeper -> worker */
	LODGE_GO = 32,
	LODGE_GIVE,	/* n descriptors, given[0..n-1] */
	LODGE_END,	/* that was all */
	LODGE_LOST,	/* slot, role: this PUT could not be kept */
	LODGE_HANDOVER, /* text: the next one's version; slot: its pid; role: why it is here */
	LODGE_ANSWER,	/* text: why the upgrade was refused */
};

enum { LODGE_FOR_UPGRADE, LODGE_FOR_RELOAD };

struct lodge_msg {
	uint32_t op, slot, role, n;
	union {
		char text[LODGE_TEXT];
		struct lodge_given {
			uint32_t slot, role;
		} given[LODGE_GIVEN_MAX];
	};
};
_Static_assert(sizeof(struct lodge_msg) == 256, "one size for all");

/* The file: a head, then the records. The head's first part is the keeper's; .deaths and .high are the workers'. */
struct lodge_head {
	char magic[8];
	uint32_t version, payload, slots;
	uint32_t deaths; /* workers that took it up and did not settle */
	uint32_t high;	 /* slots from here on were never used */
	uint32_t pad;
};
_Static_assert(sizeof(struct lodge_head) <= LODGE_HEAD, "the head's page");
#define LODGE_MAGIC "SPLODGE"

enum lodge_state { LODGE_FREE, LODGE_INCOMPLETE, LODGE_COMPLETE };

struct lodge_record {
	uint32_t state; /* enum lodge_state: stored last, loaded first */
	uint16_t kind;
	uint16_t extra;	     /* lodge_extra() was called */
	uint32_t generation; /* rises with every put into this slot */
	uint32_t roles;	     /* bit per role: the keeper was sent its descriptor */
	/* By role, of that descriptor: the keeper may die, too, before it has read of a change, and its store would have another one. */
	uint64_t inode[LODGE_ROLES];
	uint8_t payload[LODGE_PAYLOAD];
};
_Static_assert(sizeof(struct lodge_record) == 48 + LODGE_PAYLOAD, "no holes");

/* Head, records, and from a page's beginning what they have more. */
static inline uint64_t lodge_extra_at(uint32_t slots)
{
	return (LODGE_HEAD + (uint64_t)slots * sizeof(struct lodge_record) + 4095) & ~4095ull;
}

static inline uint64_t lodge_file_size(uint32_t slots)
{
	return (lodge_extra_at(slots) + (uint64_t)slots * LODGE_EXTRA + 4095) & ~4095ull;
}

/* Send @m with @n descriptors. 0; -EAGAIN: the channel is full now; -ETOOMANYREFS, -ENOMEM, -ENOBUFS: so is the kernel, and
 * writability will not tell when that ends; -EPIPE, -ECONNRESET: nobody is there. */
int lodge_msg_send(int fd, const struct lodge_msg *m, const int *fds, unsigned n);
/* One message. 1 with *m, the descriptors in @fds (LODGE_GIVEN_MAX of them) and *n; 0: the other end is gone; -EAGAIN;
 * -EBADMSG: not of our size: whatever came with it is closed. *cut: descriptors did not fit into this process and are lost. */
int lodge_msg_recv(int fd, struct lodge_msg *m, int *fds, unsigned *n, bool *cut);
/* The message's text, with an end whatever came. */
const char *lodge_msg_text(struct lodge_msg *m);

#endif
