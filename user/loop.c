/* user/loop.c -- the ring itself: operation slots, arming, the round (wait, completions, timers, round ends), cancelling.
 *
 * In: operations from the modules, completions from the kernel. Out: calls of the modules' functions.
 * Owner: the thread that made the loop. Every SQE comes from loop_sqe(), every submission from loop_submit() or the wait. */
#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "user/loop_impl.h"

static uint64_t user_data(enum loop_kind kind, uint32_t slot, uint32_t gen)
{
	return (uint64_t)kind << 56 | (uint64_t)slot << 32 | gen;
}

/* ---- making the ring ---- */

static int ring_init(struct loop *l, const struct loop_params *p)
{
	/* SINGLE_ISSUER and DEFER_TASKRUN are 6.0 and 6.1: they save interrupts, nothing depends on them. */
	static const unsigned flags[] = {IORING_SETUP_SINGLE_ISSUER | IORING_SETUP_DEFER_TASKRUN,
					 IORING_SETUP_COOP_TASKRUN, 0};
	struct io_uring_params up;
	size_t i;
	int ret = -EINVAL;

	for (i = 0; i < sizeof(flags) / sizeof(flags[0]) && ret == -EINVAL; i++) {
		up = (struct io_uring_params){.flags = flags[i] | IORING_SETUP_R_DISABLED |
						       IORING_SETUP_CQSIZE,
					      .cq_entries = p->entries * 4};
		ret = io_uring_queue_init_params(p->entries, &l->ring, &up);
	}
	if (ret)
		return ret;
	/* Without these a wait with a timeout needs an operation of its own, and completions get lost on overflow. */
	if ((up.features & (IORING_FEAT_EXT_ARG | IORING_FEAT_NODROP)) !=
	    (IORING_FEAT_EXT_ARG | IORING_FEAT_NODROP)) {
		io_uring_queue_exit(&l->ring);
		return -ENOSYS;
	}
	return 0;
}

/* The ring can do just this from now on, and no register call at all. liburing 2.3 declares helpers for both steps that
 * Debian's library does not export. */
static int ring_restrict_and_enable(struct loop *l, bool writes)
{
	static const uint8_t ops[] = {IORING_OP_POLL_ADD, IORING_OP_ACCEPT,	  IORING_OP_RECVMSG,
				      IORING_OP_SENDMSG,  IORING_OP_ASYNC_CANCEL, IORING_OP_WRITE};
	const size_t n = writes ? sizeof(ops) : sizeof(ops) - 1; /* the last one for who asked */
	struct io_uring_restriction r[sizeof(ops) + 2] = {};
	size_t i;
	int ret;

	for (i = 0; i < n; i++) {
		r[i].opcode = IORING_RESTRICTION_SQE_OP;
		r[i].sqe_op = ops[i];
	}
	r[i].opcode = IORING_RESTRICTION_SQE_FLAGS_ALLOWED;
	r[i].sqe_flags = IOSQE_BUFFER_SELECT;
	r[i + 1].opcode = IORING_RESTRICTION_REGISTER_OP;
	r[i + 1].register_op = IORING_REGISTER_ENABLE_RINGS;
	ret = io_uring_register((unsigned)l->ring.ring_fd, IORING_REGISTER_RESTRICTIONS, r,
				(unsigned)n + 2);
	if (ret)
		return ret;
	return io_uring_register((unsigned)l->ring.ring_fd, IORING_REGISTER_ENABLE_RINGS, NULL, 0);
}

static int slots_init(struct loop *l, uint32_t n)
{
	uint32_t i;

	if (n == 0 || n > LOOP_SLOTS_MAX)
		return -EINVAL;
	l->ops = calloc(n, sizeof(*l->ops));
	if (!l->ops)
		return -ENOMEM;
	l->n_ops = n;
	for (i = 0; i < n; i++) {
		l->ops[i].gen = 1;
		l->ops[i].next_free = i + 1 < n ? i + 1 : LOOP_NO_SLOT;
	}
	return 0;
}

int loop_new(const struct loop_params *p, struct loop **out)
{
	struct loop *l = calloc(1, sizeof(*l));
	int ret;

	if (!l)
		return -ENOMEM;
	l->rearm_head = LOOP_NO_SLOT;
	l->rearm_due_ms = UINT64_MAX;
	l->sq_round = 1;
	l->batch = 1;
	l->now_ms = loop_clock_ms();
	l->at_free.next = l->at_free.prev = &l->at_free;
	ret = ring_init(l, p);
	if (ret) {
		free(l);
		return ret;
	}
	ret = slots_init(l, p->ops_max);
	if (!ret)
		ret = loop_dgram_init(l, p);
	if (!ret)
		ret = ring_restrict_and_enable(l, p->writes);
	if (ret) {
		loop_free(l);
		return ret;
	}
	signal(SIGPIPE, SIG_IGN);
	*out = l;
	return 0;
}

void loop_free(struct loop *l)
{
	struct loop_at_free *f;

	if (!l)
		return;
	while ((f = l->at_free.next) != &l->at_free) {
		loop_at_free_del(f);
		f->fn(f->arg);
	}
	io_uring_queue_exit(&l->ring);
	loop_dgram_fini(l);
	free(l->ops);
	free(l->heap);
	free(l);
}

void loop_at_free_add(struct loop *l, struct loop_at_free *f)
{
	f->next = &l->at_free;
	f->prev = l->at_free.prev;
	f->prev->next = f;
	l->at_free.prev = f;
}

void loop_at_free_del(struct loop_at_free *f)
{
	if (!f->next)
		return;
	f->prev->next = f->next;
	f->next->prev = f->prev;
	f->prev = f->next = NULL;
}

const struct loop_stats *loop_stats(const struct loop *l)
{
	return &l->stats;
}

uint64_t loop_now_ms(const struct loop *l)
{
	return l->now_ms;
}

uint64_t loop_now_again(struct loop *l)
{
	l->now_ms = loop_clock_ms();
	return l->now_ms;
}

/* ---- submission ---- */

static void submitted(struct loop *l)
{
	l->sq_round++;
	l->unsent = 0;
}

int loop_submit(struct loop *l)
{
	int ret;

	do {
		ret = io_uring_submit(&l->ring);
	} while (ret == -EINTR);
	submitted(l);
	return ret < 0 ? ret : 0;
}

struct io_uring_sqe *loop_sqe(struct loop *l, enum loop_kind kind, uint32_t slot, uint32_t gen)
{
	struct io_uring_sqe *sqe = io_uring_get_sqe(&l->ring);
	int ret = 0;

	if (!sqe) {
		ret = loop_submit(l);
		sqe = io_uring_get_sqe(&l->ring);
	}
	if (!sqe) {
		l->broken = ret ? ret : -EBUSY;
		return NULL;
	}
	io_uring_sqe_set_data64(sqe, user_data(kind, slot, gen));
	return sqe;
}

/* ---- operations ---- */

uint32_t loop_op_new(struct loop *l, enum loop_kind kind, int fd, void *arg)
{
	uint32_t slot = l->free_op;
	struct loop_op *op;

	if (slot == LOOP_NO_SLOT)
		return slot;
	op = &l->ops[slot];
	l->free_op = op->next_free;
	op->kind = (uint8_t)kind;
	op->fd = fd;
	op->arg = arg;
	op->multi = op->armed = op->wants_arm = op->ending = false;
	op->errors = 0;
	return slot;
}

void loop_op_end(struct loop *l, uint32_t slot)
{
	struct loop_op *op = &l->ops[slot];

	op->gen++;
	if (op->gen == 0)
		op->gen = 1; /* {0, 0} is no operation */
	op->kind = LOOP_FREE;
	op->armed = op->wants_arm = false;
	op->next_free = l->free_op;
	l->free_op = slot;
}

static bool op_arm(struct loop *l, uint32_t slot)
{
	struct loop_op *op = &l->ops[slot];
	struct io_uring_sqe *sqe = loop_sqe(l, op->kind, slot, op->gen);

	if (!sqe)
		return false;
	if (op->kind == LOOP_POLL)
		io_uring_prep_poll_add(sqe, op->fd, (unsigned short)op->events);
	else if (op->kind == LOOP_ACCEPT)
		io_uring_prep_multishot_accept(sqe, op->fd, NULL, NULL,
					       SOCK_NONBLOCK | SOCK_CLOEXEC);
	else
		loop_recv_prep(l, op, sqe);
	if (op->kind == LOOP_POLL && op->multi)
		sqe->len = IORING_POLL_ADD_MULTI;
	op->sqe = sqe;
	op->arm_round = l->sq_round;
	op->armed = true;
	return true;
}

static bool op_is_drained(const struct loop *l, const struct loop_op *op)
{
	return op->kind == LOOP_ACCEPT ? l->no_accepts : op->kind == LOOP_RECV && l->no_recvs;
}

int loop_op_start(struct loop *l, uint32_t slot, struct loop_handle *out)
{
	if (op_is_drained(l, &l->ops[slot])) {
		loop_op_end(l, slot);
		return -ESHUTDOWN;
	}
	if (!op_arm(l, slot)) {
		loop_op_end(l, slot);
		return -ENOBUFS;
	}
	*out = (struct loop_handle){.slot = slot, .gen = l->ops[slot].gen};
	return 0;
}

int loop_poll(struct loop *l, int fd, short events, bool multi, loop_poll_fn *fn, void *arg,
	      struct loop_handle *out)
{
	uint32_t slot = loop_op_new(l, LOOP_POLL, fd, arg);

	if (slot == LOOP_NO_SLOT)
		return -ENOBUFS;
	l->ops[slot].events = events;
	l->ops[slot].multi = multi;
	l->ops[slot].fn.poll = fn;
	return loop_op_start(l, slot, out);
}

int loop_accept(struct loop *l, int fd, loop_accept_fn *fn, void *arg, struct loop_handle *out)
{
	uint32_t slot = loop_op_new(l, LOOP_ACCEPT, fd, arg);

	if (slot == LOOP_NO_SLOT)
		return -ENOBUFS;
	l->ops[slot].multi = true;
	l->ops[slot].fn.accept = fn;
	return loop_op_start(l, slot, out);
}

bool loop_op_disarm(struct loop *l, uint32_t slot)
{
	struct loop_op *op = &l->ops[slot];
	struct io_uring_sqe *sqe;

	if (!op->armed)
		return false;
	if (op->arm_round == l->sq_round) {
		io_uring_prep_cancel64(op->sqe, 0, 0);
		io_uring_sqe_set_data64(op->sqe, user_data(LOOP_CANCEL, 0, 0));
		return false;
	}
	sqe = loop_sqe(l, LOOP_CANCEL, 0, 0);
	if (sqe)
		io_uring_prep_cancel64(sqe, user_data(op->kind, slot, op->gen), 0);
	return sqe != NULL;
}

void loop_cancel(struct loop *l, struct loop_handle *h)
{
	struct loop_handle was = *h;
	struct loop_op *op;

	*h = (struct loop_handle){};
	if (was.gen == 0 || was.slot >= l->n_ops || l->ops[was.slot].gen != was.gen)
		return;
	op = &l->ops[was.slot];
	/* The caller may close the descriptor now, and its number may come back: nothing that is not submitted yet may
	 * still name it. An arming SQE is turned into a cancel of nothing, waiting sends go out first. */
	if (l->unsent)
		loop_submit(l);
	if (op->ending)
		l->ending--;
	else
		loop_op_disarm(l, was.slot);
	loop_op_end(l, was.slot);
}

void loop_drain(struct loop *l, bool datagrams, void (*fn)(void *arg), void *arg)
{
	uint32_t slot;

	l->no_accepts = true;
	l->no_recvs = datagrams;
	l->drained = fn;
	l->drained_arg = arg;
	for (slot = 0; slot < l->n_ops; slot++) {
		struct loop_op *op = &l->ops[slot];

		if (!op_is_drained(l, op) || op->ending)
			continue;
		op->wants_arm = false;
		op->ending = loop_op_disarm(l, slot);
		if (op->ending)
			l->ending++;
		else
			op->armed = false;
	}
	l->rearm_due_ms = 0; /* a round soon, if nothing is to end */
}

/* The completion that says that an operation has ended; false: something came with it. */
static bool drain_ended(struct loop *l, struct loop_op *op, const struct io_uring_cqe *cqe)
{
	if (!op->ending || op->armed)
		return false;
	op->ending = false;
	l->ending--;
	return cqe->res < 0;
}

static void drain_check(struct loop *l)
{
	void (*fn)(void *arg) = l->drained;

	if (!fn || l->ending || (l->no_recvs && l->outs_busy))
		return;
	l->drained = NULL;
	fn(l->drained_arg);
}

void loop_op_rearm(struct loop *l, uint32_t slot, unsigned in_ms)
{
	struct loop_op *op = &l->ops[slot];

	if (op_is_drained(l, op))
		return;
	op->wants_arm = true;
	op->retry_ms = in_ms ? l->now_ms + in_ms : 0;
	if (op->retry_ms < l->rearm_due_ms)
		l->rearm_due_ms = op->retry_ms;
	if (op->listed)
		return;
	op->listed = true;
	op->next_rearm = l->rearm_head;
	l->rearm_head = slot;
}

void loop_rearm_all(struct loop *l)
{
	bool dry = l->n_bufs && l->bufs_out == l->n_bufs;
	uint32_t slot = l->rearm_head, next;
	struct loop_op *op;

	l->rearm_head = LOOP_NO_SLOT;
	l->rearm_due_ms = UINT64_MAX;
	for (; slot != LOOP_NO_SLOT; slot = next) {
		op = &l->ops[slot];
		next = op->next_rearm;
		op->listed = false;
		if (!op->wants_arm)
			continue;
		/* A receive that ran dry has retry_ms as well, but goes on as soon as there is a buffer. */
		if (op->retry_ms > l->now_ms && (dry || op->kind != LOOP_RECV || op->errors)) {
			loop_op_rearm(l, slot, (unsigned)(op->retry_ms - l->now_ms));
			continue;
		}
		op->wants_arm = false;
		op_arm(l, slot);
	}
}

/* ---- completions ---- */

static void poll_done(struct loop *l, uint32_t slot, int res)
{
	struct loop_op *op = &l->ops[slot];
	loop_poll_fn *fn = op->fn.poll;
	uint32_t gen = op->gen;
	void *arg = op->arg;

	if (res < 0 || !op->multi) {
		loop_op_end(l, slot);
		fn(arg, res);
		return;
	}
	fn(arg, res);
	if (op->gen == gen && !op->armed)
		loop_op_rearm(l, slot, 0);
}

static void accept_done(struct loop *l, uint32_t slot, int res)
{
	struct loop_op *op = &l->ops[slot];
	uint32_t gen = op->gen;

	if (res < 0)
		l->stats.accept_errors++;
	op->fn.accept(op->arg, res);
	if (op->gen == gen && !op->armed)
		loop_op_rearm(l, slot, res < 0 ? LOOP_RETRY_MS : 0);
}

/* Nobody waits for it any more; what it brought must not leak. */
static void stale_done(struct loop *l, unsigned kind, const struct io_uring_cqe *cqe)
{
	l->stats.stale++;
	if (kind == LOOP_ACCEPT && cqe->res >= 0)
		close(cqe->res);
	else if (kind == LOOP_RECV)
		loop_recv_done(l, LOOP_NO_SLOT, cqe);
}

static void cqe_handle(struct loop *l, const struct io_uring_cqe *cqe)
{
	unsigned kind = (unsigned)(cqe->user_data >> 56);
	uint32_t slot = (uint32_t)(cqe->user_data >> 32) & (LOOP_SLOTS_MAX - 1);
	uint32_t gen = (uint32_t)cqe->user_data;

	l->stats.cqes++;
	if (kind == LOOP_SEND) {
		loop_send_done(l, slot, cqe->res);
		return;
	}
	if (kind == LOOP_CANCEL)
		return;
	if (slot >= l->n_ops || l->ops[slot].gen != gen || l->ops[slot].kind != kind) {
		stale_done(l, kind, cqe);
		return;
	}
	l->ops[slot].armed = cqe->flags & IORING_CQE_F_MORE;
	if (drain_ended(l, &l->ops[slot], cqe))
		return;
	if (kind == LOOP_POLL)
		poll_done(l, slot, cqe->res);
	else if (kind == LOOP_ACCEPT)
		accept_done(l, slot, cqe->res);
	else if (kind == LOOP_WRITE)
		loop_write_done(l, slot, cqe->res);
	else
		loop_recv_done(l, slot, cqe);
}

/* ---- the round ---- */

/* Where datagrams come fast, waking for each costs more than handling it (and the transform behind works in batches): a wait
 * then gathers as many as half a millisecond brings. At less than 4 a millisecond every one is told at once. */
static void loop_batch(struct loop *l)
{
	uint64_t ms = l->now_ms - l->batch_since_ms;
	unsigned n;

	if (ms < LOOP_BATCH_WINDOW_MS)
		return;
	n = (unsigned)(l->batch_n / ms) * LOOP_BATCH_US / 1000;
	l->batch = n > LOOP_BATCH_MAX ? LOOP_BATCH_MAX : n > 1 ? n : 1;
	l->batch_n = 0;
	l->batch_since_ms = l->now_ms;
}

static int loop_wait(struct loop *l)
{
	uint64_t now = loop_clock_ms(), ms = loop_timers_wait(l, now);
	/* Sends complete while they are submitted: what is waited for comes on top of them. */
	unsigned need = l->batch > 1 ? l->batch + l->unsent : 1;
	struct __kernel_timespec ts;
	struct io_uring_cqe *cqe;
	int ret;

	if (l->rearm_due_ms != UINT64_MAX && (l->rearm_due_ms <= now || l->rearm_due_ms - now < ms))
		ms = l->rearm_due_ms <= now ? 0 : l->rearm_due_ms - now;
	ts.tv_sec = (int64_t)(ms / 1000);
	ts.tv_nsec = (int64_t)(ms % 1000) * 1000000;
	if (need > 1 && ms > 0)
		ts = (struct __kernel_timespec){.tv_nsec = LOOP_BATCH_US * 1000};
	ret = io_uring_submit_and_wait_timeout(&l->ring, &cqe, need,
					       need == 1 && ms == UINT64_MAX ? NULL : &ts, NULL);
	submitted(l);
	/* EBUSY and EAGAIN: the CQ overflowed or memory is short; reading completions is what helps. */
	if (ret >= 0 || ret == -ETIME || ret == -EINTR || ret == -EBUSY || ret == -EAGAIN)
		return 0;
	return ret;
}

static int loop_round(struct loop *l)
{
	struct io_uring_cqe *cqe, copy;
	unsigned n, i;
	int ret = loop_wait(l);

	if (ret)
		return ret;
	l->stats.rounds++;
	l->now_ms = loop_clock_ms();
	/* Only what is there now: a peer that keeps us busy must not starve the timers. */
	for (n = io_uring_cq_ready(&l->ring); n > 0 && io_uring_peek_cqe(&l->ring, &cqe) == 0;
	     n--) {
		copy = *cqe;
		io_uring_cqe_seen(&l->ring, cqe);
		cqe_handle(l, &copy);
	}
	loop_batch(l);
	loop_timers_run(l);
	for (i = 0; i < l->n_round; i++)
		l->round[i].fn(l->round[i].arg);
	drain_check(l);
	if (l->rearm_due_ms <= l->now_ms)
		loop_rearm_all(l);
	return l->broken;
}

int loop_run(struct loop *l)
{
	int ret = 0;

	l->now_ms = loop_clock_ms();
	while (!l->stop && !ret)
		ret = loop_round(l);
	l->stop = false;
	if (!ret)
		ret = loop_submit(l);
	return ret;
}

void loop_stop(struct loop *l)
{
	l->stop = true;
}

int loop_on_round(struct loop *l, void (*fn)(void *arg), void *arg)
{
	if (l->n_round == LOOP_ROUND_FNS)
		return -ENOBUFS;
	l->round[l->n_round].fn = fn;
	l->round[l->n_round++].arg = arg;
	return 0;
}
