/* user/conn.h -- one byte-stream connection on the loop: TCP with or without TLS, bounded both ways.
 *
 * Data flow: the loop says ready -> handshake where TLS -> ops.readable() -> the module pulls with conn_read(); conn_write()
 * goes to the socket at once as far as it takes it and the rest waits in the connection's bounded queue; ops.drained() says that the
 * queue is empty again. A module that does not read gives back-pressure by TCP.
 * Owner rules: the connection owns descriptor, TLS state, queue and timers from conn_new() on, also when it fails later. The
 * module owns the connection: it ends it with conn_close() (flush and close_notify, then free) or conn_abort() (RST).
 * After ops.down() nothing more is called, and the module must conn_abort() it (from within down() or later). No function
 * frees the connection behind the module's back, and no op is called from inside conn_write/conn_read. */
#ifndef SALLYPORT_CONN_H
#define SALLYPORT_CONN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "user/addr.h"
#include "user/loop.h"
#include "user/span.h"
#include "user/tls.h"

struct conn;

struct conn_ops {
	void (*up)(void *arg);	     /* connected and handshaken */
	void (*readable)(void *arg); /* call conn_read() until -EAGAIN */
	void (*drained)(void *arg);  /* the write queue became empty */
	/* Over: err 0 = clean end (close_notify or plain FIN) seen with everything read; else a negative errno and its text. */
	void (*down)(void *arg, int err, const char *why);
	void (*climbed)(void *arg); /* it is on rung A now; may be NULL */
};

struct conn_params {
	struct loop *loop;
	struct tls_ctx *tls;   /* NULL: plain TCP */
	const char *peer_name; /* tls.h */
	size_t queue_max;      /* bytes that conn_write() may leave queued, e.g. 256 KiB */
	unsigned handshake_ms; /* TCP connect and TLS handshake together; 0: 5,000 */
	bool link; /* over after 20 s without a sign of life: keepalive, TCP_USER_TIMEOUT */
	const struct addr *peer; /* conn_accept(): where it is known already */
	const struct conn_ops *ops;
	void *arg;
};

/* Take over an accepted descriptor (server side of TLS) or start to connect to @to (client side). 0 or negative errno; @fd is
 * closed also on failure. up() follows from the loop, on plain TCP as well. conn_write() before up() queues. */
int conn_accept(const struct conn_params *p, int fd, struct conn **out);
int conn_connect(const struct conn_params *p, const struct addr *to, struct conn **out);

/* The server's side of TLS begins on a plain connection that is up, behind @go, our word for it; what conn_read() gave before was plain,
 * and the caller has none of it left. up() follows once more; nothing is to be read or written until then. The client waits for @go
 * (RFC 6120 5.4.2): bytes that are here before it was written were not sent under TLS, and nobody may read them as if they were: -EPROTO.
 * 0, -EBUSY (bytes are queued, or @go does not fit), -EINVAL (not plain, not up), -EPIPE, -ENOMEM; the caller ends the connection then. */
int conn_start_tls(struct conn *c, struct tls_ctx *tls, struct span go, unsigned handshake_ms);
/* The client's side, on a connection that we made: as conn_params.tls with @peer_name. up() follows once more, or down(). The caller refuses
 * bytes that came behind the peer's word for it. 0, -EINVAL (not plain, not up, bytes are queued), -ENOMEM; then it is as it was. */
int conn_start_tls_to(struct conn *c, struct tls_ctx *tls, const char *peer_name,
		      unsigned handshake_ms);

/* Hand the connection to another module; allowed at any time, also within an op. If bytes wait to be read, readable() follows. */
void conn_set_ops(struct conn *c, const struct conn_ops *ops, void *arg);

/* > 0; 0: clean end; -EAGAIN; other negative errno: over. After 0 and after an error the caller knows: neither readable() nor
 * down() follows (after 0, a later failure of the sending side still gives down()). -EAGAIN also comes when one readable()
 * has had 256 KiB: then readable() follows in the next round. A readable() that reads nothing is not called again before
 * something new arrives or conn_pause(c, false). */
ssize_t conn_read(struct conn *c, void *buf, size_t n);
/* All of @data is taken or none: 0, -ENOBUFS (queue_max would be passed), -EPIPE (over; down() follows from the loop unless
 * the caller ends the connection, or knows already from conn_read()). */
int conn_write(struct conn *c, struct span data);
/* The same, but the bytes may wait up to @ms for others to go with them in one record: the next conn_write(), or time, sends them. */
int conn_write_later(struct conn *c, struct span data, unsigned ms);
void conn_set_queue_max(struct conn *c, size_t queue_max);
size_t conn_queued(const struct conn *c);
size_t conn_room(const struct conn *c); /* bytes that conn_write() would take now */
/* Stop and go on asking for readable(): back-pressure. A paused connection still gets down() when the peer resets it. */
void conn_pause(struct conn *c, bool paused);

/* Leave OpenSSL for kernel TLS as soon as nothing is in the way; @tx_only: only its sending half. Once is enough: it is tried again
 * with every turn of the connection, and given up for good when the kernel refuses. Of plain TCP and of a second call nothing comes. */
void conn_climb(struct conn *c, bool tx_only);
/* The rung, and what keeps it from the best one ("" on A; static). Plain TCP counts as A. */
enum tls_rung conn_rung(const struct conn *c, const char **why);

/* Bytes that conn_read() gave and conn_write() took so far. */
uint64_t conn_received(const struct conn *c);
uint64_t conn_sent(const struct conn *c);
/* Up, with no end seen and no failure: worth to be used further. */
bool conn_fit(const struct conn *c);
/* Over, as if the network had ended it: down() with this follows from the loop. @why lives as long as the connection. */
void conn_break(struct conn *c, int err, const char *why);

/* Flush, close_notify, FIN, wait for the peer's FIN, free: at most 2 s. The module must not use @c any more. NULL is fine in both. */
void conn_close(struct conn *c);
void conn_abort(struct conn *c);

/* Move bytes from @src to @dst inside the kernel, by way of @pipe (struct conn_pipe, below). > 0 bytes; -EAGAIN: @src has none now;
 * -ENOBUFS: @dst has no room, its drained() follows; -EOPNOTSUPP: read and write this time (a rung other than A, something queued, a
 * control record, the end or an error is next). Counts as read and written. Call it from readable(), as conn_read(). */
struct conn_pipe;
ssize_t conn_splice(struct conn *src, struct conn *dst, struct conn_pipe *pipe);

/* Pipes of this process, kept for use again: CONN_PIPES_IDLE at most. A pipe belongs to one direction of one stream while it holds
 * bytes; an empty one goes back. */
#define CONN_PIPES_IDLE 64
#define CONN_SPLICE_MAX (64u << 10) /* bytes in one at most */
struct conn_pipe {
	int in, out; /* -1: none */
	size_t n;    /* bytes in it */
};
struct conn_pipes {
	int idle[CONN_PIPES_IDLE][2];
	unsigned n_idle, n_used;
};
int conn_pipe_get(struct conn_pipes *pool, struct conn_pipe *pipe); /* 0 or negative errno */
void conn_pipe_put(struct conn_pipes *pool,
		   struct conn_pipe *pipe); /* one with bytes in it is closed */
void conn_pipes_fini(struct conn_pipes *pool);

const struct addr *conn_peer(const struct conn *c);
const struct addr *conn_local(const struct conn *c); /* known from up() on */
struct tls_conn *conn_tls(struct conn *c);	     /* NULL on plain TCP */

#endif
