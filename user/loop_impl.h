/* user/loop_impl.h -- what the three files of the loop share: the ring, the slots, the buffers and the timer heap.
 *
 * In: nothing; only user/loop*.c include it. Out: struct loop and the few calls between those files.
 * Owner: the loop of one thread. */
#ifndef SALLYPORT_LOOP_IMPL_H
#define SALLYPORT_LOOP_IMPL_H

#include <liburing.h>

#include "user/loop.h"

#define LOOP_SLOTS_MAX	     (1u << 24) /* user_data has 24 bits for the slot */
#define LOOP_ROUND_FNS	     8
#define LOOP_BATCH_MAX	     32
#define LOOP_BATCH_US	     500 /* what a datagram may wait for others to come */
#define LOOP_BATCH_WINDOW_MS 4
#define LOOP_RETRY_MS	     100 /* accept after EMFILE, receive after errors in a row */
#define LOOP_ERRORS_ROW	     8
#define LOOP_NAME_ROOM \
	32 /* of the sender's address in a receive buffer: keeps the payload on 16 bytes */
#define LOOP_BUF_GROUP 0
#define LOOP_BUFS_MAX  32768u /* the kernel's limit of a buffer ring */
#define LOOP_NO_SLOT   UINT32_MAX

/* user_data of an SQE: kind << 56 | slot << 32 | generation. */
enum loop_kind { LOOP_FREE, LOOP_POLL, LOOP_ACCEPT, LOOP_RECV, LOOP_SEND, LOOP_CANCEL, LOOP_WRITE };

/* An operation of a module. It is armed while the kernel (or the SQ, not yet submitted) holds it. */
struct loop_op {
	uint32_t gen;
	uint8_t kind; /* enum loop_kind */
	bool multi, armed;
	bool ending;	/* its last completion is what loop_drain() waits for */
	bool wants_arm; /* ended by the kernel; to be armed again by loop_rearm_all() */
	bool listed; /* on the rearm list (stays there when the slot is freed: the list is walked whole) */
	short events;
	unsigned errors; /* receives that failed in a row */
	int fd;
	uint64_t retry_ms; /* not to be armed again before */
	uint32_t next_free, next_rearm;
	struct io_uring_sqe *sqe; /* the SQE that arms it, while l->sq_round is arm_round */
	uint64_t arm_round;
	union {
		loop_poll_fn *poll;
		loop_accept_fn *accept;
		loop_dgram_fn *dgram;
		loop_wrote_fn *wrote;
	} fn;
	void *arg;
};

/* A datagram in flight: everything that the kernel may read until the completion. */
struct loop_out {
	struct msghdr msg;
	struct iovec iov;
	struct sockaddr_storage to;
	_Alignas(struct cmsghdr) uint8_t control[LOOP_CONTROL_MAX];
	uint32_t next_free;
	uint8_t *data;
	loop_sent_fn *fn;
	void *arg;
	uint64_t tag;
};

struct loop {
	struct io_uring ring;
	struct loop_stats stats;
	bool stop, in_timers;
	int broken; /* errno of a ring that takes no more SQEs; loop_run() returns it */
	uint64_t now_ms;
	uint64_t
		sq_round; /* rises with every submit: an op armed in this round is still only in our memory */
	unsigned unsent; /* sends in the SQ that are not submitted yet */

	/* How many datagrams a wait should gather: see loop_batch(). */
	uint64_t batch_since_ms;
	unsigned batch, batch_n;

	struct loop_op *ops;
	uint32_t n_ops, free_op, rearm_head;
	uint64_t rearm_due_ms; /* when to walk the rearm list; UINT64_MAX: not at all */

	struct io_uring_buf_ring *buf_ring;
	size_t buf_ring_size;
	uint8_t *bufs;
	uint32_t n_bufs, buf_size, bufs_out; /* bufs_out: held by modules or being delivered */
	struct msghdr recv_msg;		     /* shape of every multishot receive */

	struct loop_out *outs;
	uint8_t *out_data;
	uint32_t n_outs, free_out, outs_busy;

	bool no_accepts, no_recvs; /* loop_drain() */
	uint32_t ending;	   /* operations that are */
	void (*drained)(void *arg);
	void *drained_arg;

	struct loop_timer **heap;
	uint32_t n_heap, heap_max;

	struct {
		void (*fn)(void *arg);
		void *arg;
	} round[LOOP_ROUND_FNS];
	unsigned n_round;
	struct loop_at_free at_free; /* head of a ring */
};

/* An SQE with its user_data set, or NULL: the ring is broken. Submits when the SQ is full. */
struct io_uring_sqe *loop_sqe(struct loop *l, enum loop_kind kind, uint32_t slot, uint32_t gen);
int loop_submit(struct loop *l);
uint32_t loop_op_new(struct loop *l, enum loop_kind kind, int fd, void *arg);
void loop_write_done(struct loop *l, uint32_t slot, int res);
/* Arm the new op in @slot, and tell the handle. 0 or -ENOBUFS (the slot is given back). */
int loop_op_start(struct loop *l, uint32_t slot, struct loop_handle *out);
void loop_op_end(struct loop *l, uint32_t slot);
/* Whether the kernel is to end what is armed, and will say so. */
bool loop_op_disarm(struct loop *l, uint32_t slot);
/* The kernel ended a multishot operation: arm it again in @in_ms. */
void loop_op_rearm(struct loop *l, uint32_t slot, unsigned in_ms);
void loop_rearm_all(struct loop *l);

int loop_dgram_init(struct loop *l, const struct loop_params *p);
void loop_dgram_fini(struct loop *l);
void loop_recv_prep(struct loop *l, struct loop_op *op, struct io_uring_sqe *sqe);
/* @slot is LOOP_NO_SLOT for a stale completion: only the buffer goes back. */
void loop_recv_done(struct loop *l, uint32_t slot, const struct io_uring_cqe *cqe);
void loop_send_done(struct loop *l, uint32_t out, int res);

uint64_t loop_clock_ms(void);
/* Milliseconds until the next timer, 0 when it is due, UINT64_MAX without one. */
uint64_t loop_timers_wait(const struct loop *l, uint64_t now_ms);
void loop_timers_run(struct loop *l);

#endif
