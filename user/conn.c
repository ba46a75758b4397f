/* user/conn.c -- one byte-stream connection: connect, handshake, pull reads, bounded queue of writes, two ways to end.
 *
 * In: poll events and one timer from the loop; reads and writes of the module. Out: the module's ops.
 * Owner: the module owns the connection until conn_close() or conn_abort(); a connection that flushes its last bytes owns
 * itself (and is on the loop's at-free list).
 *
 * One multishot poll for both directions stays armed for life: its events are edges, so that a paused reader or a peer that
 * hung up costs nothing. What an edge told is kept in rd_ready until a read says -EAGAIN, or, on plain TCP, gives less than it could. */
#include <errno.h>
#include <netinet/tcp.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "user/conn_impl.h"

#define HANDSHAKE_MS 5000 /* all in milliseconds */
#define CLOSE_MS     2000
#define PAIR_MS \
	60000 /* from FIN on: whoever reads the rest is a process of ours, and tells by its own FIN that it has */
#define NEVER_MS (1ull << 40)
#define READ_BUDGET \
	(256u << 10) /* bytes one readable() may take before the others get their turn */
#define DISCARD_ROUNDS 16
/* Where TCP_USER_TIMEOUT is set the kernel does not count probes (tcp(7), TCP_KEEPCNT): it resets a connection that was idle for
 * so long when one is unanswered. So the first probe goes early enough for three before that, and a lost one costs nothing. */
#define KEEPALIVE_S   14
#define KEEP_INTERVAL 2
#define USER_TIMEOUT  20000

static void conn_event(void *arg, int revents);

/* ---- life ---- */

void conn_timer_update(struct conn *c)
{
	uint64_t now = loop_now_ms(c->loop), in = NEVER_MS;

	if (c->kicked)
		in = 0;
	else if (c->due_ms)
		in = c->due_ms > now ? c->due_ms - now : 0;
	loop_timer_set(c->loop, &c->timer, in);
}

void conn_kick(struct conn *c)
{
	c->kicked = true;
	conn_timer_update(c);
}

static void conn_destroy(void *arg)
{
	struct conn *c = arg;

	loop_cancel(c->loop, &c->poll);
	loop_timer_cancel(c->loop, &c->timer);
	if (c->state == CONN_CLOSING)
		loop_at_free_del(&c->at_free);
	tls_conn_free(c->tls);
	c->tls = NULL;
	c->keep = NULL;
	if (c->fd >= 0)
		close(c->fd);
	c->fd = -1;
	queue_fini(&c->queue);
	c->state = CONN_DOWN;
	if (c->in_op)
		c->gone = true;
	else
		free(c);
}

/* From now on nothing is read or written. down() is owed; whoever runs conn_turn() next pays it. */
void conn_fail(struct conn *c, int err, const char *why)
{
	if (c->state == CONN_DOWN || c->state == CONN_CLOSING)
		return;
	c->state = CONN_DOWN;
	c->due_ms = 0;
	c->err = err;
	c->why = why && *why ? why : strerrordesc_np(-err);
	c->refused |= err ==
		      -EKEYEXPIRED; /* all that came before was good: the alert goes out, and FIN */
	c->down_pending = true;
	loop_cancel(c->loop, &c->poll);
	conn_kick(c);
}

const char *conn_why(const struct conn *c)
{
	return c->tls ? tls_why(c->tls) : NULL;
}

/* ---- the ops; each returns false when the connection is gone or no longer the module's ---- */

static bool op_done(struct conn *c)
{
	c->in_op = false;
	if (c->keep && !c->gone)
		conn_busy_set(&c->keep->rx_busy, c->held);
	if (c->gone) {
		free(c);
		return false;
	}
	return c->state == CONN_UP;
}

bool conn_op(struct conn *c, void (*fn)(void *arg))
{
	c->in_op = true;
	c->progress = false;
	c->budget = READ_BUDGET;
	if (fn)
		fn(c->arg);
	return op_done(c);
}

static void op_down(struct conn *c)
{
	c->down_pending = false;
	c->in_op = true;
	if (c->ops->down)
		c->ops->down(c->arg, c->err, c->why);
	op_done(c);
}

/* ---- what happens on an event, by state ---- */

void conn_set_up(struct conn *c)
{
	c->state = CONN_UP;
	c->due_ms = 0;
	/* What came during the handshake gave its edge already. */
	c->rd_ready = true;
	conn_timer_update(c);
}

static bool step_handshake(struct conn *c)
{
	int ret = c->tls ? tls_handshake(c->tls) : 0;

	if (ret == -EAGAIN)
		return false;
	if (ret) {
		c->refused = true;
		conn_fail(c, ret, conn_why(c));
		return false;
	}
	conn_set_up(c);
	return true;
}

static void connected(struct conn *c)
{
	struct sockaddr_storage ss;
	socklen_t n = sizeof(ss);

	if (getsockname(c->fd, (struct sockaddr *)&ss, &n) == 0)
		addr_from_sockaddr((struct sockaddr *)&ss, &c->local);
	c->state = CONN_HANDSHAKE;
}

static bool step_connect(struct conn *c, int revents)
{
	socklen_t n = sizeof(int);
	int err = 0;

	if (!(revents & (POLLOUT | POLLERR | POLLHUP)))
		return false;
	if (getsockopt(c->fd, SOL_SOCKET, SO_ERROR, &err, &n) || err) {
		conn_fail(c, -(err ? err : errno), NULL);
		return false;
	}
	connected(c);
	return true;
}

/* Discard what still comes, so that our FIN is not overtaken by a RST that takes the last bytes with it. */
static bool discard_done(struct conn *c)
{
	uint8_t junk[16384], control[64];
	struct iovec iov = {.iov_base = junk, .iov_len = sizeof(junk)};
	ssize_t ret;
	int i;

	for (i = 0; i < DISCARD_ROUNDS; i++) {
		/* With room for a type: kernel TLS gives nothing out behind a control record else. */
		struct msghdr m = {.msg_iov = &iov,
				   .msg_iovlen = 1,
				   .msg_control = control,
				   .msg_controllen = sizeof(control)};

		ret = recvmsg(c->fd, &m, MSG_DONTWAIT);
		if (ret < 0 && errno == EINTR)
			continue;
		if (ret <= 0)
			return ret == 0 || errno != EAGAIN;
	}
	conn_kick(c);
	return false;
}

static void step_closing(struct conn *c)
{
	int ret = c->shut ? 0 : conn_flush(c);

	if (ret == -EAGAIN)
		return;
	if (!ret && !c->shut && c->tls && !c->refused)
		ret = tls_close_notify(c->tls);
	if (ret == -EAGAIN)
		return;
	if (ret) {
		conn_destroy(c);
		return;
	}
	if (!c->shut) {
		shutdown(c->fd, SHUT_WR);
		c->shut = true;
		if (c->pair) { /* a close would look like a cut, and overtake what is not read yet */
			c->due_ms = loop_now_ms(c->loop) + PAIR_MS;
			conn_timer_update(c);
		}
	}
	if (discard_done(c))
		conn_destroy(c);
}

/* Pay what is owed to the module of an established connection, one thing after the other. */
static void step_up(struct conn *c)
{
	int ret;

	if ((queue_len(&c->queue) || c->was_queued) && c->due_ms <= loop_now_ms(c->loop)) {
		c->due_ms = 0;
		ret = conn_flush(c);
		if (ret && ret != -EAGAIN) {
			conn_fail(c, ret, conn_why(c));
			return;
		}
		if (!ret) {
			c->was_queued = false;
			if (!conn_op(c, c->ops->drained))
				return;
		}
	}
	if (c->rd_ready && !c->paused && !c->eof && !conn_op(c, c->ops->readable))
		return;
	if (c->rd_ready && !c->paused && c->progress)
		conn_kick(c);
	if (c->climb)
		conn_climb_try(c);
}

static void conn_turn(struct conn *c, int revents)
{
	if (c->state == CONN_CONNECTING && !step_connect(c, revents))
		return;
	if (c->state == CONN_HANDSHAKE && (!step_handshake(c) || !conn_op(c, c->ops->up)))
		return;
	if (c->state == CONN_UP)
		step_up(c);
	else if (c->state == CONN_CLOSING)
		step_closing(c);
}

static void conn_event(void *arg, int revents)
{
	struct conn *c = arg;
	socklen_t n = sizeof(int);
	int err = 0;

	if (revents < 0) {
		c->poll = (struct loop_handle){};
		conn_fail(c, revents, NULL);
		return;
	}
	c->hup |= (revents & (POLLRDHUP | POLLHUP | POLLERR)) != 0;
	c->dry = false;
	if (revents & (POLLIN | POLLRDHUP | POLLHUP | POLLERR))
		c->rd_ready = true;
	else if (c->tls && tls_wants(c->tls) == POLLOUT)
		c->rd_ready = true; /* a read that had to write first */
	/* A reset is told at once where nobody reads; a reader finds it behind the bytes that came before. */
	if (c->pair && revents & POLLHUP)
		revents |= POLLERR;
	if (revents & POLLERR && c->state == CONN_UP && (c->paused || c->eof)) {
		getsockopt(c->fd, SOL_SOCKET, SO_ERROR, &err, &n);
		conn_fail(c, err ? -err : -ECONNRESET, NULL);
		return;
	}
	conn_turn(c, revents);
}

static void conn_timer(void *arg)
{
	struct conn *c = arg;
	bool late = c->state != CONN_UP && c->due_ms && loop_now_ms(c->loop) >= c->due_ms;

	c->kicked = false;
	if (late && c->state == CONN_CLOSING) {
		conn_destroy(c);
		return;
	}
	if (late) {
		c->due_ms = 0;
		conn_fail(c, -ETIMEDOUT,
			  c->state == CONN_CONNECTING ? "connect timed out"
						      : "TLS handshake timed out");
	}
	conn_timer_update(c);
	if (c->down_pending) {
		c->kicked = false;
		op_down(c);
	} else {
		conn_turn(c, 0);
	}
}

/* ---- making and ending ---- */

static void socket_options(int fd, bool link)
{
	static const struct {
		int level, name, value;
	} o[] = {{SOL_SOCKET, SO_KEEPALIVE, 1},
		 {IPPROTO_TCP, TCP_KEEPIDLE, KEEPALIVE_S},
		 {IPPROTO_TCP, TCP_KEEPINTVL, KEEP_INTERVAL},
		 {IPPROTO_TCP, TCP_KEEPCNT, 4},
		 {IPPROTO_TCP, TCP_USER_TIMEOUT, USER_TIMEOUT}};
	int one = 1;
	size_t i;

	/* None of these fails on a TCP socket; a kernel without one gives slower detection only. */
	setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
	for (i = 0; link && i < sizeof(o) / sizeof(o[0]); i++)
		setsockopt(fd, o[i].level, o[i].name, &o[i].value, sizeof(o[i].value));
}

int conn_new(const struct conn_params *p, int fd, const struct addr *peer, struct conn **out)
{
	struct conn *c = calloc(1, sizeof(*c));
	int ret = -ENOMEM;

	if (!c) {
		close(fd);
		return ret;
	}
	c->loop = p->loop;
	c->ops = p->ops;
	c->arg = p->arg;
	c->fd = fd;
	c->peer = *peer;
	c->link = p->link;
	conn_set_queue_max(c, p->queue_max);
	c->timer = (struct loop_timer){.fn = conn_timer, .arg = c};
	c->due_ms = loop_now_ms(p->loop) + (p->handshake_ms ? p->handshake_ms : HANDSHAKE_MS);
	socket_options(fd, p->link);
	if (p->tls)
		ret = tls_conn_new(p->tls, fd, p->peer_name, &c->tls);
	if (!p->tls || !ret)
		ret = loop_timer_set(c->loop, &c->timer, c->due_ms - loop_now_ms(p->loop));
	if (!ret)
		ret = loop_poll(c->loop, fd, POLLIN | POLLOUT | POLLRDHUP, true, conn_event, c,
				&c->poll);
	if (ret) {
		conn_destroy(c);
		return ret;
	}
	*out = c;
	return 0;
}

int conn_accept(const struct conn_params *p, int fd, struct conn **out)
{
	struct sockaddr_storage ss;
	socklen_t n = sizeof(ss);
	struct addr peer;
	int ret = 0;

	if (p->peer)
		peer = *p->peer;
	else
		ret = getpeername(fd, (struct sockaddr *)&ss, &n)
			      ? -errno
			      : addr_from_sockaddr((struct sockaddr *)&ss, &peer);
	if (ret) {
		close(fd);
		return ret;
	}
	ret = conn_new(p, fd, &peer, out);
	if (!ret)
		connected(*out);
	return ret;
}

int conn_connect(const struct conn_params *p, const struct addr *to, struct conn **out)
{
	struct sockaddr_storage ss;
	socklen_t n = addr_to_sockaddr(to, &ss);
	int fd = socket(ss.ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0), ret;

	if (fd < 0)
		return -errno;
	if (connect(fd, (struct sockaddr *)&ss, n) && errno != EINPROGRESS) {
		ret = -errno;
		close(fd);
		return ret;
	}
	return conn_new(p, fd, to, out);
}

int conn_start_tls(struct conn *c, struct tls_ctx *tls, struct span go, unsigned handshake_ms)
{
	struct tls_conn *t = NULL;
	uint8_t early;
	int ret;

	if (c->tls || c->state != CONN_UP || c->eof)
		return -EINVAL;
	if (queue_len(&c->queue))
		return -EBUSY;
	ret = tls_conn_new(tls, c->fd, NULL, &t);
	if (!ret && recv(c->fd, &early, 1, MSG_PEEK | MSG_DONTWAIT) > 0)
		ret = -EPROTO;
	if (!ret)
		ret = conn_write(c, go);
	if (!ret && queue_len(&c->queue)) /* what is queued would go out under TLS */
		ret = -EBUSY;
	if (ret) {
		tls_conn_free(t);
		return ret;
	}
	c->tls = t;
	c->state = CONN_HANDSHAKE;
	c->due_ms = loop_now_ms(c->loop) + (handshake_ms ? handshake_ms : HANDSHAKE_MS);
	c->rd_ready = true;
	conn_kick(c); /* what the client sent already gave its edge */
	return 0;
}

int conn_start_tls_to(struct conn *c, struct tls_ctx *tls, const char *peer_name,
		      unsigned handshake_ms)
{
	int ret;

	if (c->state != CONN_UP || c->eof || c->tls || c->keep || queue_len(&c->queue))
		return -EINVAL;
	ret = tls_conn_new(tls, c->fd, peer_name, &c->tls);
	if (ret)
		return ret;
	c->state = CONN_HANDSHAKE;
	c->due_ms = loop_now_ms(c->loop) + (handshake_ms ? handshake_ms : HANDSHAKE_MS);
	conn_kick(c); /* the hello is ours to send */
	return 0;
}

void conn_close(struct conn *c)
{
	if (!c)
		return;
	if (c->state != CONN_UP && !c->refused) {
		conn_abort(c);
		return;
	}
	if (c->state == CONN_DOWN &&
	    loop_poll(c->loop, c->fd, POLLIN | POLLRDHUP, true, conn_event, c, &c->poll)) {
		conn_destroy(c);
		return;
	}
	conn_unkeep(c);
	c->state = CONN_CLOSING;
	if (c->refused)
		queue_fini(&c->queue);
	c->down_pending = false;
	c->due_ms = loop_now_ms(c->loop) + CLOSE_MS;
	c->at_free = (struct loop_at_free){.fn = conn_destroy, .arg = c};
	loop_at_free_add(c->loop, &c->at_free);
	conn_kick(c);
}

void conn_gone(struct conn *c)
{
	conn_destroy(c);
}

int conn_again(struct conn *c)
{
	c->poll = (struct loop_handle){};
	c->rd_ready = true; /* edges went by unseen */
	c->dry = false;
	conn_kick(c);
	return c->state == CONN_DOWN ? 0
				     : loop_poll(c->loop, c->fd, POLLIN | POLLOUT | POLLRDHUP, true,
						 conn_event, c, &c->poll);
}

void conn_abort(struct conn *c)
{
	static const struct linger rst = {.l_onoff = 1};

	if (!c)
		return;
	/* The alert that says why must reach the other end of the link, where an operator looks for it; or a peer that has done nothing
	 * wrong, but whose new keys this kernel cannot take. */
	if (c->refused && (c->link || c->err == -EKEYEXPIRED)) {
		conn_close(c);
		return;
	}
	if (!c->refused)
		setsockopt(c->fd, SOL_SOCKET, SO_LINGER, &rst, sizeof(rst));
	conn_destroy(c);
}

/* ---- small things ---- */

void conn_set_ops(struct conn *c, const struct conn_ops *ops, void *arg)
{
	c->ops = ops;
	c->arg = arg;
	if (c->rd_ready && c->state == CONN_UP)
		conn_kick(c);
}

void conn_pause(struct conn *c, bool paused)
{
	c->paused = paused;
	if (!paused && c->rd_ready && c->state == CONN_UP)
		conn_kick(c);
}

bool conn_fit(const struct conn *c)
{
	return c->state == CONN_UP && !c->eof;
}

void conn_break(struct conn *c, int err, const char *why)
{
	conn_fail(c, err, why);
}

const struct addr *conn_peer(const struct conn *c)
{
	return &c->peer;
}

const struct addr *conn_local(const struct conn *c)
{
	return &c->local;
}

struct tls_conn *conn_tls(struct conn *c)
{
	return c->tls;
}
