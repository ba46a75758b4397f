/* user/loop.h -- one io_uring a worker thread: readiness, accepts, datagrams and timers.
 *
 * Data flow: a module arms an operation on a descriptor; the loop queues the SQE and submits once a round
 * (io_uring_submit_and_wait); each CQE is looked up by slot and generation and the module's function is called. After all
 * CQEs of a round, the round-end functions run (a batch of media packets is transformed there). From 4 datagrams a millisecond
 * on, a round waits up to 0.5 ms to gather what comes in that time (32 at most).
 *
 * Owner rules:
 *  - The loop owns operation slots, receive buffers and send buffers. A module holds a struct loop_handle, never a pointer.
 *  - loop_cancel() ends an operation at once as the module sees it: its function is not called any more, whatever the
 *    kernel still delivers (a stale generation is dropped and counted). Cancel before closing the descriptor.
 *  - The module owns its descriptors, timers (intrusive) and arguments.
 *  - One thread: everything here is called from the thread that called loop_new(). No locks.
 *
 * The ring is created disabled, restricted to the operations used (IORING_REGISTER_RESTRICTIONS) and then enabled. There
 * is no other back end: where io_uring is refused, loop_new() fails with the errno and the caller says what to set. */
#ifndef SALLYPORT_LOOP_H
#define SALLYPORT_LOOP_H

#include <poll.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "user/addr.h"
#include "user/span.h"

struct loop;

/* {0, 0} is no operation. */
struct loop_handle {
	uint32_t slot;
	uint32_t gen;
};

struct loop_params {
	unsigned entries;   /* SQ entries; CQ is four times that */
	unsigned ops_max;   /* operation slots: one an armed poll, accept or receive */
	unsigned recv_bufs; /* datagram receive buffers (power of two); 0: no datagram receive */
	unsigned send_bufs; /* datagrams that may be in flight; 0: no datagram send */
	unsigned buf_size;  /* bytes of each, e.g. 2048 */
	bool writes;	    /* loop_write() is wanted; else the ring refuses it */
	unsigned
		recv_control; /* of a receive buffer: room for control messages, a multiple of 16; 0: none are wanted */
};

struct loop_stats {
	uint64_t rounds, cqes, stale; /* stale: completions of cancelled operations */
	uint64_t no_recv_buf,
		no_send_buf; /* ENOBUFS on receive; sends refused because all buffers were in flight */
	uint64_t send_errors; /* datagram sends that the kernel refused */
	uint64_t recv_errors,
		truncated; /* receives that failed (ICMP and the like); datagrams larger than a buffer */
	uint64_t accept_errors;
};

/* Also makes the process ignore SIGPIPE: OpenSSL writes to sockets with write(2).
 * Returns 0 or a negative errno: -ENOSYS/-EPERM/-EACCES when io_uring is off or forbidden. */
int loop_new(const struct loop_params *p, struct loop **out);
void loop_free(struct loop *l);
const struct loop_stats *loop_stats(const struct loop *l);

/* Run until loop_stop(). Returns 0 or a negative errno of io_uring itself. */
int loop_run(struct loop *l);
void loop_stop(struct loop *l);

/* Monotonic time, read once a round. */
uint64_t loop_now_ms(const struct loop *l);
/* Before loop_run(), after something that took long: read it anew. */
uint64_t loop_now_again(struct loop *l);

/* Readiness. @fn gets poll(2) bits, or a negative errno after which the operation is over. @multi stays armed; a
 * single-shot operation is over when @fn is called. Returns 0, -ENOBUFS (no slot). */
typedef void loop_poll_fn(void *arg, int revents);
int loop_poll(struct loop *l, int fd, short events, bool multi, loop_poll_fn *fn, void *arg,
	      struct loop_handle *out);

/* Multishot accept of nonblocking close-on-exec sockets; @fn owns @fd, or gets fd < 0 = -errno (still armed: EMFILE and
 * the like are retried after 100 ms). */
typedef void loop_accept_fn(void *arg, int fd);
int loop_accept(struct loop *l, int fd, loop_accept_fn *fn, void *arg, struct loop_handle *out);

/* Multishot datagram receive. The datagram and its buffer live until @fn returns, unless the module takes the buffer:
 * it sets d->kept and later gives it back with loop_buf_put(l, d->buf). Each kept buffer is one fewer to receive into. */
struct loop_dgram {
	struct addr from;
	uint8_t *p; /* payload; the module may write in place, up to @cap bytes */
	uint32_t n, cap;
	uint32_t buf; /* for loop_buf_put */
	bool kept;
	const uint8_t *
		control; /* control messages that the socket was told to add, aligned for struct cmsghdr */
	uint32_t control_n;
};
typedef void loop_dgram_fn(void *arg, struct loop_dgram *d);
int loop_recv(struct loop *l, int fd, loop_dgram_fn *fn, void *arg, struct loop_handle *out);
void loop_buf_put(struct loop *l, uint32_t buf);

/* Send one datagram: copied into a send buffer and submitted at the end of the round. @to NULL for a connected socket.
 * Returns 0, -ENOBUFS (all buffers in flight: counted), -EMSGSIZE. Later errors are counted. */
int loop_send(struct loop *l, int fd, const struct addr *to, struct span data);

/* The same with control messages (copied; -EMSGSIZE over LOOP_CONTROL_MAX) and a function that is told what became of it: bytes sent
 * or a negative errno. It is called once for every 0 returned, unless the loop is freed first. */
#define LOOP_CONTROL_MAX 64
typedef void loop_sent_fn(void *arg, uint64_t tag, int res);
struct loop_packet {
	const struct addr *to;
	struct span data;
	const void *control;
	size_t control_n;
	loop_sent_fn *fn; /* may be NULL */
	void *arg;
	uint64_t tag; /* the module's own */
};
int loop_send_packet(struct loop *l, int fd, const struct loop_packet *p);

/* Write to a regular file, at its end where it was opened so. The kernel does it in a thread of its own if it would block. @data is the
 * module's, and stays as it is until @fn was called, once, with what write(2) would have returned (a negative errno; less than asked for on
 * a disk that got full). Not to be cancelled. 0 or -ENOBUFS. */
typedef void loop_wrote_fn(void *arg, int res);
int loop_write(struct loop *l, int fd, struct span data, loop_wrote_fn *fn, void *arg,
	       struct loop_handle *out);
/* Behind loop_run(), or where a process lets go of everything: wait for that one, @ms at most. Other completions that come meanwhile are lost.
 * 0: its @fn was called; -ETIME. */
int loop_write_wait(struct loop *l, const struct loop_handle *h, unsigned ms);

/* End an operation; {0,0} and stale handles are ignored. Clears *h. */
void loop_cancel(struct loop *l, struct loop_handle *h);

/* Let go of descriptors that another process goes on with: the kernel is told to end every accept and, with @datagrams,
 * every datagram receive; what it took already is still delivered, and nothing is lost. @fn is called once, at the end of a
 * round: all of that is over, and with @datagrams every datagram sent has left, too. From here on such operations cannot be
 * armed: -ESHUTDOWN. Everything else goes on. To be called once without, then with @datagrams, or at once with. */
void loop_drain(struct loop *l, bool datagrams, void (*fn)(void *arg), void *arg);

/* A process that goes on with less than it had (loop_clear.c): nothing is armed, set or to be called any more, at once, and nobody is told;
 * whoever goes on arms anew. What loop_drain() forbade stays so. Descriptors may be closed right after. */
void loop_clear(struct loop *l);
/* The ring's own descriptor. */
int loop_fd(const struct loop *l);

/* Timers: intrusive, one due time each; setting a set timer moves it. They fire in loop_run(), once. */
struct loop_timer {
	uint64_t due_ms;
	uint32_t pos; /* 1 + place in the heap; 0: not set */
	void (*fn)(void *arg);
	void *arg;
};
int loop_timer_set(struct loop *l, struct loop_timer *t, uint64_t in_ms); /* 0 or -ENOMEM */
void loop_timer_cancel(struct loop *l, struct loop_timer *t);

/* Called after every round's completions and timers, in the order added (at most 8). */
int loop_on_round(struct loop *l, void (*fn)(void *arg), void *arg);

/* For what lives on the loop without an owner (a connection that flushes its last bytes): @fn is called once, at the start
 * of loop_free(). Intrusive; taking out one that is not in is fine. */
struct loop_at_free {
	struct loop_at_free *prev, *next;
	void (*fn)(void *arg);
	void *arg;
};
void loop_at_free_add(struct loop *l, struct loop_at_free *f);
void loop_at_free_del(struct loop_at_free *f);
bool loop_at_free_any(const struct loop *l); /* something is in */

#endif
