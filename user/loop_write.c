/* user/loop_write.c -- writes to files on the loop. See loop.h.
 *
 * In: bytes of a module. Out: what became of them. An operation slot each, given back before the module is told. */
#include "user/loop_impl.h"

#include <errno.h>

int loop_write(struct loop *l, int fd, struct span data, loop_wrote_fn *fn, void *arg,
	       struct loop_handle *out)
{
	uint32_t slot = loop_op_new(l, LOOP_WRITE, fd, arg);
	struct io_uring_sqe *sqe;

	if (slot == LOOP_NO_SLOT)
		return -ENOBUFS;
	sqe = loop_sqe(l, LOOP_WRITE, slot, l->ops[slot].gen);
	if (!sqe) {
		loop_op_end(l, slot);
		return -ENOBUFS;
	}
	io_uring_prep_write(sqe, fd, data.p, (unsigned)data.n, (uint64_t)-1);
	l->ops[slot].fn.wrote = fn;
	*out = (struct loop_handle){.slot = slot, .gen = l->ops[slot].gen};
	return 0;
}

void loop_write_done(struct loop *l, uint32_t slot, int res)
{
	loop_wrote_fn *fn = l->ops[slot].fn.wrote;
	void *arg = l->ops[slot].arg;

	loop_op_end(l, slot);
	fn(arg, res);
}

int loop_write_wait(struct loop *l, const struct loop_handle *h, unsigned ms)
{
	struct __kernel_timespec ts = {.tv_sec = ms / 1000,
				       .tv_nsec = (int64_t)(ms % 1000) * 1000000};
	uint64_t want = (uint64_t)LOOP_WRITE << 56 | (uint64_t)h->slot << 32 | h->gen;
	struct io_uring_cqe *cqe;
	int res;

	if (!h->gen || h->slot >= l->n_ops || l->ops[h->slot].gen != h->gen)
		return 0;
	loop_submit(l);
	for (;;) {
		res = io_uring_wait_cqe_timeout(&l->ring, &cqe, &ts);
		if (res == -EINTR)
			continue;
		if (res)
			return res;
		res = cqe->res;
		if (cqe->user_data == want)
			break;
		io_uring_cqe_seen(&l->ring, cqe);
	}
	io_uring_cqe_seen(&l->ring, cqe);
	loop_write_done(l, h->slot, res);
	return 0;
}
