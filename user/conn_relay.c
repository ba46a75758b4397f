/* user/conn_relay.c -- see conn_relay.h. In: connections that cannot be handed over. Out: plain ends of them, and bytes both
 * ways. */
#include "user/conn_relay.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include "user/conn_impl.h"

#define ROOM_MIN 4096  /* less than this: the giver is paused until the queue is empty */
#define CHUNK	 16384 /* a TLS record */
#define SOCKBUF	 65536 /* of the pair, a direction */
#define LOOK_MS	 20    /* for the last bytes of the last one */

struct relay;
struct side {
	struct relay *relay;
	struct side *other;
	struct conn *c;
	bool paused; /* until the other's queue is empty */
};

struct relay {
	struct conn_relays *all;
	struct relay *prev, *next; /* oldest first */
	struct side tls, plain;
};

struct conn_relays {
	struct loop *loop;
	struct relay *first, *last;
	struct conn_relays_stats stats;
	bool running;
	uint64_t limit_ms;
	struct loop_timer timer;
	void (*over)(void *arg);
	void *arg;
};

/* ---- ends ---- */

static void timer_in(struct conn_relays *r, uint64_t ms)
{
	/* The heap had at least as many when the loop was cleared: it does not grow, and this does not fail. */
	loop_timer_set(r->loop, &r->timer, ms);
}

static void relay_end(struct relay *e, bool clean)
{
	struct conn_relays *r = e->all;

	*(e->prev ? &e->prev->next : &r->first) = e->next;
	*(e->next ? &e->next->prev : &r->last) = e->prev;
	*(clean ? &r->stats.clean : &r->stats.cut) += 1;
	r->stats.now--;
	(clean ? conn_close : conn_abort)(e->tls.c);
	(clean ? conn_close : conn_abort)(e->plain.c);
	free(e);
	if (r->running && !r->first)
		timer_in(r, 0);
}

static void all_over(struct conn_relays *r)
{
	r->running = false;
	loop_timer_cancel(r->loop, &r->timer);
	r->over(r->arg);
}

static void timer_due(void *arg)
{
	struct conn_relays *r = arg;
	uint64_t now = loop_now_ms(r->loop);

	if (!r->running)
		return;
	if (r->first && now >= r->limit_ms) {
		r->stats.late++;
		r->limit_ms = now + CONN_RELAY_GAP_MS;
		relay_end(r->first, false);
	}
	if (r->first)
		timer_in(r, r->limit_ms - now);
	else if (loop_at_free_any(r->loop)) /* a connection that still sends its last bytes */
		timer_in(r, LOOK_MS);
	else
		all_over(r);
}

/* ---- bytes ---- */

static void side_readable(void *arg)
{
	struct side *s = arg;
	uint8_t buf[CHUNK];
	size_t room;
	ssize_t n;

	for (;;) {
		room = conn_room(s->other->c);
		if (room < ROOM_MIN) {
			s->paused = true;
			conn_pause(s->c, true);
			return;
		}
		n = conn_read(s->c, buf, room < sizeof(buf) ? room : sizeof(buf));
		if (n == -EAGAIN)
			return;
		if (n <= 0) {
			relay_end(s->relay, n == 0);
			return;
		}
		if (conn_write(s->other->c, span_of(buf, (size_t)n)))
			return; /* its down() follows */
	}
}

static void side_drained(void *arg)
{
	struct side *giver = ((struct side *)arg)->other;

	if (!giver->paused)
		return;
	giver->paused = false;
	conn_pause(giver->c, false);
}

static void side_down(void *arg, int err, const char *why)
{
	(void)why;
	relay_end(((struct side *)arg)->relay, err == 0);
}

static const struct conn_ops ops = {
	.readable = side_readable, .drained = side_drained, .down = side_down};

/* ---- making ---- */

/* Our end of a new pair as a connection; the other end in *out_fd. */
static int pair_open(struct relay *e, const struct conn *c, int *out_fd)
{
	struct conn_params p = {
		.loop = e->all->loop, .queue_max = CONN_RELAY_QUEUE, .ops = &ops, .arg = &e->plain};
	int fd[2], size = SOCKBUF, ret;

	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, fd))
		return -errno;
	setsockopt(fd[0], SOL_SOCKET, SO_SNDBUF, &size, sizeof(size));
	setsockopt(fd[1], SOL_SOCKET, SO_SNDBUF, &size, sizeof(size));
	ret = conn_new(&p, fd[0], &c->peer, &e->plain.c);
	if (ret) {
		close(fd[1]);
		return ret;
	}
	e->plain.c->pair = true;
	e->plain.c->local = c->local;
	conn_set_up(e->plain.c);
	*out_fd = fd[1];
	return 0;
}

int conn_relay(struct conn_relays *r, struct conn *c, struct conn_keep *k, int *out_fd)
{
	struct relay *e;
	int ret;

	if (!conn_fit(c))
		return -EPIPE;
	e = calloc(1, sizeof(*e));
	if (!e)
		return -ENOMEM;
	e->all = r;
	e->tls = (struct side){.relay = e, .other = &e->plain, .c = c};
	e->plain = (struct side){.relay = e, .other = &e->tls};
	ret = pair_open(e, c, out_fd);
	if (ret) {
		free(e);
		return ret;
	}
	*k = (struct conn_keep){.received = c->received,
				.sent = c->sent,
				.peer = c->peer,
				.local = c->local,
				.link = c->link,
				.pair = 1};
	conn_unkeep(c);
	c->climb = false;
	c->held = false;
	conn_set_queue_max(c, CONN_RELAY_QUEUE);
	conn_set_ops(c, &ops, &e->tls);
	conn_pause(c, false);
	e->prev = r->last;
	*(r->last ? &r->last->next : &r->first) = e;
	r->last = e;
	r->stats.now++;
	return 0;
}

/* ---- the rest of the process ---- */

int conn_relays_new(struct loop *loop, struct conn_relays **out)
{
	struct conn_relays *r = calloc(1, sizeof(*r));

	if (!r)
		return -ENOMEM;
	r->loop = loop;
	r->timer = (struct loop_timer){.fn = timer_due, .arg = r};
	*out = r;
	return 0;
}

void conn_relays_free(struct conn_relays *r)
{
	if (!r)
		return;
	r->running = false;
	loop_timer_cancel(r->loop, &r->timer);
	while (r->first)
		relay_end(r->first, false);
	free(r);
}

void conn_relays_run(struct conn_relays *r, unsigned ms, void (*over)(void *arg), void *arg)
{
	struct relay *e, *next;

	loop_clear(r->loop);
	r->over = over;
	r->arg = arg;
	r->limit_ms = loop_now_ms(r->loop) + ms;
	r->running = true;
	timer_in(r, r->first ? ms : 0);
	for (e = r->first; e; e = next) {
		next = e->next;
		if (conn_again(e->tls.c) || conn_again(e->plain.c))
			relay_end(e, false);
	}
}

void conn_relays_fds(const struct conn_relays *r, int *out)
{
	const struct relay *e;

	for (e = r->first; e; e = e->next) {
		*out++ = e->tls.c->fd;
		*out++ = e->plain.c->fd;
	}
}

struct conn_relays_stats conn_relays_stats(const struct conn_relays *r)
{
	return r->stats;
}
