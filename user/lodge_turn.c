/* user/lodge_turn.c -- the worker's way on and out: the channel on the loop, an upgrade that is asked for, handing over.
 *
 * In: words of the keeper. Out: calls of the daemon's functions; DONE when nothing of ours waits any more. */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "user/lodge_impl.h"

#define LODGE_SETTLE_MS 500 /* whoever lives so long was not killed by what it took up */

/* ---- an upgrade that is asked for ---- */

int lodge_upgrade(struct lodge *l, lodge_answer_fn *fn, void *arg)
{
	struct lodge_msg m = {.op = LODGE_UPGRADE};
	int err;

	if (l->answer || l->handing)
		return -EBUSY;
	err = lodge_msg_send(l->fd, &m, NULL, 0);
	if (err)
		return err;
	l->answer = fn;
	l->answer_arg = arg;
	return 0;
}

static void answer(struct lodge *l, const char *refused, const char *version, int pid)
{
	lodge_answer_fn *fn = l->answer;

	l->answer = NULL;
	if (fn)
		fn(l->answer_arg, refused, version, pid);
}

/* ---- handing over ---- */

void lodge_on_handover(struct lodge *l, void (*fn)(void *arg), void *arg)
{
	l->handover = fn;
	l->handover_arg = arg;
}

static _Noreturn void leave(void *arg)
{
	(void)arg;
	_exit(0);
}

static void handover(struct lodge *l, struct lodge_msg *m)
{
	const char *text = lodge_msg_text(m);

	if (l->handing)
		return;
	l->handing = true;
	if (m->role == LODGE_FOR_RELOAD)
		answer(l, "the configuration was read anew meanwhile: ask again", NULL, 0);
	else
		answer(l, NULL, text, (int)m->slot);
	if (l->handover)
		l->handover(l->handover_arg);
	else
		lodge_done(l, leave, NULL);
}

/* The file is the next one's from here on. What of ours still points into it finds private memory. */
static void file_leave(struct lodge *l)
{
	if (l->done)
		return;
	l->head->deaths = 0;
	if (mmap(l->map, l->size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED,
		 -1, 0) == MAP_FAILED)
		_exit(1); /* rather none than two that write */
	l->done = true;
}

void lodge_done(struct lodge *l, void (*left)(void *arg), void *arg)
{
	l->left = left;
	l->left_arg = arg;
	l->leaving = true;
	lodge_flush(l);
}

int lodge_done_now(struct lodge *l)
{
	struct lodge_msg m = {.op = LODGE_DONE};
	void (*left)(void *arg) = l->left;
	void *arg = l->left_arg;
	int err;

	file_leave(l);
	err = lodge_msg_send(l->fd, &m, NULL, 0);
	if (err == -EAGAIN || err == -ENOMEM || err == -ENOBUFS)
		return err; /* the file is left all the same */
	l->leaving = false;
	if (l->loop) {
		loop_cancel(l->loop, &l->readable);
		loop_cancel(l->loop, &l->writable);
		loop_timer_cancel(l->loop, &l->again);
		loop_timer_cancel(l->loop, &l->settle);
	}
	left(arg);
	return 0;
}

/* ---- the loop ---- */

void lodge_hear(struct lodge *l, struct lodge_msg *m)
{
	if (m->op == LODGE_LOST)
		lodge_role_lost(l, m);
	else if (m->op == LODGE_ANSWER)
		answer(l, lodge_msg_text(m), NULL, 0);
}

static void channel_readable(void *arg, int revents)
{
	struct lodge *l = arg;
	int fds[LODGE_GIVEN_MAX], got;
	struct lodge_msg m;
	unsigned n;
	bool cut;

	if (revents < 0)
		return;
	while ((got = lodge_msg_recv(l->fd, &m, fds, &n, &cut)) > 0 || got == -EBADMSG) {
		while (n)
			close(fds[--n]);
		if (got > 0 && m.op == LODGE_HANDOVER) {
			handover(l, &m); /* the last word; it may have been the end of us */
			return;
		}
		if (got > 0)
			lodge_hear(l, &m);
	}
	if (got == 0) /* the keeper let go of us, or is gone; then we follow it */
		loop_cancel(l->loop, &l->readable);
}

static void settled(void *arg)
{
	((struct lodge *)arg)->head->deaths = 0;
}

int lodge_attach(struct lodge *l, struct loop *loop)
{
	int err;

	l->loop = loop;
	l->settle = (struct loop_timer){.fn = settled, .arg = l};
	err = loop_poll(loop, l->fd, POLLIN, true, channel_readable, l, &l->readable);
	if (!err)
		err = loop_timer_set(loop, &l->settle, LODGE_SETTLE_MS);
	if (!err)
		lodge_flush(l);
	return err;
}
