/* user/loop_dgram.c -- datagrams on the loop: multishot receive into provided buffers, sends from buffers of our own.
 *
 * In: loop_recv/loop_send from the modules, completions from user/loop.c. Out: struct loop_dgram to a module's function.
 * Owner: the loop owns all buffers; a module may keep a receive buffer until loop_buf_put(). A receive buffer holds the
 * kernel's header, LOOP_NAME_ROOM bytes for the sender, the control messages and then the payload. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "user/loop_impl.h"

static void buf_give(struct loop *l, uint32_t buf)
{
	io_uring_buf_ring_add(l->buf_ring, l->bufs + (size_t)buf * l->buf_size, l->buf_size,
			      (unsigned short)buf, io_uring_buf_ring_mask(l->n_bufs), 0);
	io_uring_buf_ring_advance(l->buf_ring, 1);
}

static int recv_bufs_init(struct loop *l, const struct loop_params *p)
{
	struct io_uring_buf_reg reg = {.ring_entries = p->recv_bufs, .bgid = LOOP_BUF_GROUP};
	uint32_t i;
	void *m;
	int ret;

	if (p->recv_bufs & (p->recv_bufs - 1) || p->recv_bufs > LOOP_BUFS_MAX ||
	    p->recv_control % 16 || p->recv_control > p->buf_size / 2)
		return -EINVAL;
	l->buf_ring_size = p->recv_bufs * sizeof(struct io_uring_buf);
	m = mmap(NULL, l->buf_ring_size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1,
		 0);
	if (m == MAP_FAILED)
		return -ENOMEM;
	l->buf_ring = m;
	l->bufs = aligned_alloc(64, ((size_t)p->recv_bufs * p->buf_size + 63) & ~(size_t)63);
	if (!l->bufs)
		return -ENOMEM;
	l->n_bufs = p->recv_bufs;
	reg.ring_addr = (uintptr_t)m;
	ret = io_uring_register_buf_ring(&l->ring, &reg, 0);
	if (ret)
		return ret;
	io_uring_buf_ring_init(l->buf_ring);
	for (i = 0; i < l->n_bufs; i++)
		buf_give(l, i);
	l->recv_msg.msg_namelen = LOOP_NAME_ROOM;
	l->recv_msg.msg_controllen = p->recv_control;
	return 0;
}

static int send_bufs_init(struct loop *l, const struct loop_params *p)
{
	uint32_t i;

	if (p->send_bufs > LOOP_SLOTS_MAX)
		return -EINVAL;
	l->outs = calloc(p->send_bufs, sizeof(*l->outs));
	l->out_data = reallocarray(NULL, p->send_bufs, p->buf_size);
	if (!l->outs || !l->out_data)
		return -ENOMEM;
	l->n_outs = p->send_bufs;
	for (i = 0; i < l->n_outs; i++) {
		l->outs[i].data = l->out_data + (size_t)i * p->buf_size;
		l->outs[i].next_free = i + 1 < l->n_outs ? i + 1 : LOOP_NO_SLOT;
	}
	l->free_out = 0;
	return 0;
}

int loop_dgram_init(struct loop *l, const struct loop_params *p)
{
	int ret = 0;

	l->free_out = LOOP_NO_SLOT;
	if (!p->recv_bufs && !p->send_bufs)
		return 0;
	if (p->buf_size < 256 || p->buf_size > 65536 + 64)
		return -EINVAL;
	l->buf_size = p->buf_size;
	if (p->recv_bufs)
		ret = recv_bufs_init(l, p);
	if (!ret && p->send_bufs)
		ret = send_bufs_init(l, p);
	return ret;
}

void loop_dgram_fini(struct loop *l)
{
	if (l->buf_ring)
		munmap(l->buf_ring, l->buf_ring_size);
	free(l->bufs);
	free(l->outs);
	free(l->out_data);
}

int loop_recv(struct loop *l, int fd, loop_dgram_fn *fn, void *arg, struct loop_handle *out)
{
	uint32_t slot;

	if (!l->n_bufs)
		return -EINVAL;
	slot = loop_op_new(l, LOOP_RECV, fd, arg);
	if (slot == LOOP_NO_SLOT)
		return -ENOBUFS;
	l->ops[slot].multi = true;
	l->ops[slot].fn.dgram = fn;
	return loop_op_start(l, slot, out);
}

void loop_recv_prep(struct loop *l, struct loop_op *op, struct io_uring_sqe *sqe)
{
	io_uring_prep_recvmsg_multishot(sqe, op->fd, &l->recv_msg, 0);
	sqe->flags |= IOSQE_BUFFER_SELECT;
	sqe->buf_group = LOOP_BUF_GROUP;
}

void loop_buf_put(struct loop *l, uint32_t buf)
{
	if (buf >= l->n_bufs)
		return;
	buf_give(l, buf);
	l->bufs_out--;
	if (l->bufs_out + 1 == l->n_bufs)
		l->rearm_due_ms = 0; /* receives that ran dry may go on */
}

/* Deliver one datagram; one that was not whole is counted and seen by nobody. Returns whether the module keeps it. */
static bool dgram_deliver(struct loop *l, const struct loop_op *op, uint32_t buf, int res)
{
	uint8_t *base = l->bufs + (size_t)buf * l->buf_size;
	struct io_uring_recvmsg_out *o = io_uring_recvmsg_validate(base, res, &l->recv_msg);
	struct loop_dgram d = {.buf = buf};

	if (!o || o->flags & MSG_TRUNC) {
		l->stats.truncated++;
		return false;
	}
	if (o->namelen >= sizeof(sa_family_t))
		addr_from_sockaddr(io_uring_recvmsg_name(o), &d.from);
	l->batch_n++;
	d.control = base + sizeof(*o) + LOOP_NAME_ROOM;
	d.control_n = o->controllen;
	d.p = io_uring_recvmsg_payload(o, &l->recv_msg);
	d.n = io_uring_recvmsg_payload_length(o, res, &l->recv_msg);
	d.cap = l->buf_size - (uint32_t)(d.p - base);
	op->fn.dgram(op->arg, &d);
	return d.kept;
}

/* A multishot receive ended: no buffer, a full CQ, or an error that the socket reported (ICMP). */
static void recv_ended(struct loop *l, uint32_t slot, int res)
{
	struct loop_op *op = &l->ops[slot];

	if (res == -ENOBUFS)
		l->stats.no_recv_buf++;
	else if (res < 0)
		l->stats.recv_errors++;
	op->errors = res < 0 && res != -ENOBUFS ? op->errors + 1 : 0;
	/* Without a buffer loop_buf_put() wakes it; the delay is then only the upper bound. */
	loop_op_rearm(l, slot,
		      op->errors > LOOP_ERRORS_ROW || l->bufs_out == l->n_bufs ? LOOP_RETRY_MS : 0);
}

void loop_recv_done(struct loop *l, uint32_t slot, const struct io_uring_cqe *cqe)
{
	struct loop_op *op = slot == LOOP_NO_SLOT ? NULL : &l->ops[slot];
	uint32_t buf = cqe->flags >> IORING_CQE_BUFFER_SHIFT;
	uint32_t gen = op ? op->gen : 0;
	bool kept = false;

	if (cqe->flags & IORING_CQE_F_BUFFER && buf < l->n_bufs) {
		l->bufs_out++;
		if (op && cqe->res >= 0)
			kept = dgram_deliver(l, op, buf, cqe->res);
		if (!kept)
			loop_buf_put(l, buf);
	}
	if (!op || op->gen != gen || cqe->flags & IORING_CQE_F_MORE)
		return;
	recv_ended(l, slot, cqe->res);
}

int loop_send_packet(struct loop *l, int fd, const struct loop_packet *p)
{
	uint32_t i = l->free_out;
	struct io_uring_sqe *sqe;
	struct loop_out *o;

	if (p->data.n > l->buf_size || p->control_n > LOOP_CONTROL_MAX)
		return -EMSGSIZE;
	sqe = i == LOOP_NO_SLOT ? NULL : loop_sqe(l, LOOP_SEND, i, 0);
	if (!sqe) {
		l->stats.no_send_buf++;
		return -ENOBUFS;
	}
	o = &l->outs[i];
	l->free_out = o->next_free;
	l->outs_busy++;
	if (p->data.n)
		memcpy(o->data, p->data.p, p->data.n);
	o->iov = (struct iovec){.iov_base = o->data, .iov_len = p->data.n};
	o->msg = (struct msghdr){.msg_iov = &o->iov, .msg_iovlen = 1};
	if (p->to) {
		o->msg.msg_name = &o->to;
		o->msg.msg_namelen = addr_to_sockaddr(p->to, &o->to);
	}
	if (p->control_n) {
		memcpy(o->control, p->control, p->control_n);
		o->msg.msg_control = o->control;
		o->msg.msg_controllen = p->control_n;
	}
	o->fn = p->fn;
	o->arg = p->arg;
	o->tag = p->tag;
	io_uring_prep_sendmsg(sqe, fd, &o->msg, MSG_NOSIGNAL);
	l->unsent++;
	return 0;
}

int loop_send(struct loop *l, int fd, const struct addr *to, struct span data)
{
	const struct loop_packet p = {.to = to, .data = data};

	return loop_send_packet(l, fd, &p);
}

void loop_send_done(struct loop *l, uint32_t out, int res)
{
	struct loop_out *o;

	if (out >= l->n_outs)
		return;
	if (res < 0)
		l->stats.send_errors++;
	o = &l->outs[out];
	if (o->fn)
		o->fn(o->arg, o->tag, res);
	o->next_free = l->free_out;
	l->free_out = out;
	l->outs_busy--;
}
