/* user/link_core_data.c -- the core's data connections: dialled ahead, idle until an edge's Open, a stream's, and idle again.
 *
 * In: how many an edge should have idle, its Open and StreamEnd. Out: ops.open() with a connection that became a stream's.
 * Owner: the link owns the records all the time; from ops.open() to link_core_end() the stream decides what happens to its one.
 *
 * They are dialled at once when too few are idle, bounded in flight and by rate, and back off when they fail. One that comes back
 * from a stream is idle like any other; the edge closes what is too much. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "user/link_core_impl.h"
#include "user/lodge.h"
#include "user/log.h"

#define DIALS_IN_FLIGHT \
	32 /* an edge; below its LINK_PENDING_MAX, so that two cores can fill up at once */
#define DIALS_A_MS 5

/* A StreamEnd whose Open is not here yet. */
struct link_early {
	struct link_early *next;
	uint64_t stream, bytes, since_ms;
	char abort[LINK_ABORT_MAX];
};

static const struct conn_ops data_ops;

/* ---- the pool ---- */

static void data_link(struct link_data *d)
{
	struct core_edge *e = d->owner;

	d->prev = NULL;
	d->next = e->data;
	if (e->data)
		e->data->prev = d;
	e->data = d;
	e->n_data++;
}

static void data_unlink(struct link_data *d)
{
	struct core_edge *e = d->owner;

	if (d->prev)
		d->prev->next = d->next;
	else
		e->data = d->next;
	if (d->next)
		d->next->prev = d->prev;
	e->n_data--;
	if (d->state == LINK_DIALING)
		e->n_dialing--;
	else if (e->peer)
		e->peer->n_idle--;
}

static struct conn *data_drop(struct link_data *d)
{
	struct conn *c = d->conn;

	data_unlink(d);
	link_rx_fini(&d->rx);
	free(d);
	return c;
}

static void data_idle(struct link_data *d)
{
	struct core_edge *e = d->owner;

	d->state = LINK_IDLE;
	d->idle_ms = loop_now_ms(e->core->p.loop);
	e->peer->n_idle++;
}

/* One was lost. At once the first time; one that lived for a while was only forgotten by something on the way. */
static void data_lost(struct link_data *d, const char *why)
{
	struct core_edge *e = d->owner;
	struct link_core *l = e->core;
	uint64_t now = loop_now_ms(l->p.loop);
	char r[LINK_REASON_MAX];

	log_event(LOG_L_INFO, "link-data-lost", "edge=%s reason=%s", e->cfg.name,
		  log_esc(span_str(why), r, sizeof(r)));
	l->stats.data_lost++;
	if (d->state == LINK_IDLE && now - d->idle_ms >= l->times.steady)
		e->data_retry_ms = 0;
	if (e->data_retry_ms)
		e->data_wait_ms = now + link_jitter(e->data_retry_ms);
	e->data_retry_ms = e->data_retry_ms ? e->data_retry_ms * 2 : l->times.retry_min;
	if (e->data_retry_ms > l->times.retry_max)
		e->data_retry_ms = l->times.retry_max;
	conn_abort(data_drop(d));
	link_core_fill(e);
}

static void data_up(void *arg)
{
	struct link_data *d = arg;
	struct core_edge *e = d->owner;
	Sallyport__Link m = SALLYPORT__LINK__INIT;
	Sallyport__Hello h = SALLYPORT__HELLO__INIT;

	h.version = LINK_VERSION;
	h.core = (char *)e->core->p.name;
	h.session = e->session;
	h.data = true;
	m.m_case = SALLYPORT__LINK__M_HELLO;
	m.hello = &h;
	if (link_write(d->conn, &m)) {
		data_lost(d, "hello could not be written");
		return;
	}
	link_climb(d->conn, e->core->p.ktls);
	e->n_dialing--;
	data_idle(d);
	link_core_fill(e);
}

/* ---- ends of streams ---- */

static void early_pop(struct core_edge *e)
{
	struct link_early *x = e->early;

	e->early = x->next;
	if (!e->early)
		e->early_end = NULL;
	e->n_early--;
	free(x);
}

/* Open and the stream's bytes are on their way. Where the stream is gone, since we ended it ourselves, the entry just grows old. */
static void early_add(struct core_edge *e, const Sallyport__StreamEnd *m)
{
	struct link_core *l = e->core;
	uint64_t now = loop_now_ms(l->p.loop);
	struct link_early *x = calloc(1, sizeof(*x));

	while (e->early &&
	       (e->n_early >= LINK_EARLY_MAX || now - e->early->since_ms >= l->times.end)) {
		l->stats.ends_unknown++;
		early_pop(e);
	}
	if (!x) {
		l->stats.ends_unknown++;
		return;
	}
	*x = (struct link_early){.stream = m->stream, .bytes = m->bytes_sent, .since_ms = now};
	snprintf(x->abort, sizeof(x->abort), "%s", m->abort);
	*(e->early ? e->early_end : &e->early) = x;
	e->early_end = &x->next;
	e->n_early++;
}

static void data_late(void *arg)
{
	struct link_data *d = arg;

	if (link_data_in(d) == d->end && d->ops) { /* all was here before the stream knew its end */
		d->ops->readable(d->arg);
		return;
	}
	if (d->peer)
		d->peer->stats->ends_late++;
	conn_break(d->conn, -ETIMEDOUT, "the end that the edge announced never came");
}

/* The edge has said how many bytes the stream has, and how it ends. */
static void data_end(struct link_data *d, uint64_t bytes, const char *abort)
{
	struct link_peer *p = d->peer;

	if (d->end_known || bytes < link_data_in(d)) {
		p->stats->ends_bad++;
		conn_break(d->conn, -EPROTO,
			   d->end_known ? "a second StreamEnd"
					: "StreamEnd with fewer bytes than were read");
		return;
	}
	d->end_known = true;
	d->end = bytes;
	link_data_abort(d, abort);
	d->timer = (struct loop_timer){.fn = data_late, .arg = d};
	if (loop_timer_set(d->loop, &d->timer, bytes == link_data_in(d) ? 0 : p->times->end))
		conn_break(d->conn, -ENOMEM, "out of memory");
}

/* An end that came before the stream. */
static void early_take(struct core_edge *e, struct link_data *d)
{
	struct link_early **at = &e->early, *x;

	while (*at && (*at)->stream != d->stream)
		at = &(*at)->next;
	x = *at;
	if (!x)
		return;
	*at = x->next;
	if (!x->next)
		e->early_end = at;
	e->n_early--;
	data_end(d, x->bytes, x->abort);
	free(x);
}

void link_core_data_end(struct link_peer *p, const Sallyport__Link *m)
{
	struct link_data *d = link_data_find(p, m->stream_end->stream);

	if (d)
		data_end(d, m->stream_end->bytes_sent, m->stream_end->abort);
	else
		early_add(p->owner, m->stream_end);
}

ssize_t link_data_read(struct link_data *d, void *buf, size_t n)
{
	uint64_t left = d->end_known ? d->end - link_data_in(d) : n;
	ssize_t ret;

	if (left ==
	    0) { /* nothing of the stream's can come; paused, it is told of a reset all the same */
		conn_pause(d->conn, true);
		return d->abort ? -ECONNABORTED : 0;
	}
	ret = conn_read(d->conn, buf, left < n ? (size_t)left : n);
	/* Closed in order, but before its last bytes. */
	return ret == 0 && d->end_known ? -EPIPE : ret;
}

void link_data_set_ops(struct link_data *d, const struct conn_ops *ops, void *arg)
{
	d->ops = ops;
	d->arg = arg;
	conn_set_ops(d->conn, ops, arg);
}

const char *link_data_why(const struct link_data *d, int err)
{
	return err == -ECONNABORTED && d->abort ? d->abort : strerrordesc_np(-err);
}

/* Back into the pool, if both sides are done with the stream. */
static bool data_recycle(struct link_data *d)
{
	struct link_peer *p = d->peer;
	Sallyport__Link m = SALLYPORT__LINK__INIT;
	Sallyport__StreamIdle idle = SALLYPORT__STREAM_IDLE__INIT;
	struct core_edge *e = d->owner;

	if (!p || !d->end_known || link_data_in(d) != d->end)
		return false;
	if (!conn_fit(d->conn) || e->n_data >= LINK_POOL_MAX) {
		p->stats->ends_closed++;
		return false;
	}
	idle.stream = d->stream;
	idle.bytes_sent = link_data_out(d);
	m.m_case = SALLYPORT__LINK__M_STREAM_IDLE;
	m.stream_idle = &idle;
	link_data_unuse(d);
	data_link(d);
	data_idle(d);
	p->stats->recycled++;
	/* What comes now is read as a frame: an Open, since the edge has all that it needs for it, or the connection is dropped. */
	conn_set_ops(d->conn, &data_ops, d);
	conn_pause(d->conn, false);
	link_send_later(p, &m,
			LINK_LATER_MS); /* a failure ends the peer, and with it this connection */
	return true;
}

static struct core_edge *edge_of_name(struct link_core *l, const char *name)
{
	unsigned i;

	for (i = 0; i < l->p.n_edges; i++)
		if (strcmp(l->edges[i].cfg.name, name) == 0)
			return &l->edges[i];
	return NULL;
}

const char *link_core_name(const struct link_core *l, uint64_t hash)
{
	unsigned i;

	for (i = 0; i < l->p.n_edges; i++)
		if (lodge_name_hash(l->edges[i].cfg.name) == hash)
			return l->edges[i].cfg.name;
	return NULL;
}

int link_core_adopt(struct link_core *l, const char *edge, int fd, int pipe, struct conn_keep *k,
		    uint64_t stream, const struct conn_ops *ops, void *arg, struct link_data **out)
{
	static const struct linger rst = {.l_onoff = 1};
	struct core_edge *e = edge_of_name(l, edge);
	struct link_data *d = e ? calloc(1, sizeof(*d)) : NULL;
	struct conn_params cp;
	int ret = e ? -ENOMEM : -ENOENT;

	if (d) {
		link_core_conn_params(e, ops, arg, &cp);
		ret = conn_adopt(&cp, fd, pipe, k, &d->conn);
	} else {
		setsockopt(fd, SOL_SOCKET, SO_LINGER, &rst, sizeof(rst));
		close(fd);
		if (pipe >= 0)
			close(pipe);
	}
	if (ret) {
		free(d);
		return ret;
	}
	d->loop = l->p.loop;
	d->owner = e;
	d->state = LINK_USED;
	d->stream = stream;
	d->ops = ops;
	d->arg = arg;
	*out = d;
	return 0;
}

void link_core_leave(struct link_data *d)
{
	link_data_unuse(d);
	free(d);
}

void link_core_end(struct link_data *d, bool orderly)
{
	if (data_recycle(d))
		return;
	link_data_unuse(d);
	(orderly ? conn_close : conn_abort)(d->conn);
	free(d);
}

/* ---- before a stream ---- */

/* The connection becomes a stream's. What follows the frame is still unread, and is the stream's. */
static void data_open(struct link_data *d, const Sallyport__Open *o)
{
	struct core_edge *e = d->owner;

	data_unlink(d);
	link_data_use(d, e->peer, o->stream);
	early_take(e, d);
	e->core->stats.opens++;
	e->data_retry_ms = 0;
	link_core_fill(e);
	e->core->p.ops->open(e->core->p.arg, e->peer, d, o);
}

/* Too many are idle: the edge has closed one. */
static bool data_trimmed(struct link_data *d, int err)
{
	struct core_edge *e = d->owner;

	if (err != -ENODATA || d->state != LINK_IDLE || e->n_data <= e->cfg.pool)
		return false;
	e->core->stats.trimmed++;
	conn_close(data_drop(d));
	return true;
}

static void data_readable(void *arg)
{
	struct link_data *d = arg;
	struct core_edge *e = d->owner;
	Sallyport__Link *m = NULL;
	char why[LINK_REASON_MAX];
	int ret = link_rx_read(&d->rx, d->conn, &m);

	if (ret == -EAGAIN || (ret && data_trimmed(d, ret)))
		return;
	if (ret) {
		snprintf(why, sizeof(why), "%s", link_conn_why(d->conn, ret));
		data_lost(d, why);
		return;
	}
	if (m->m_case == SALLYPORT__LINK__M_OPEN && !link_data_find(e->peer, m->open->stream)) {
		data_open(d, m->open);
	} else {
		snprintf(why, sizeof(why), "%s",
			 m->m_case == SALLYPORT__LINK__M_CLOSE	? m->close->reason
			 : m->m_case == SALLYPORT__LINK__M_OPEN ? "Open of a stream that is open"
								: "a message other than Open");
		data_lost(d, why);
	}
	sallyport__link__free_unpacked(m, NULL);
}

static void data_down(void *arg, int err, const char *why)
{
	char copy[LINK_REASON_MAX];

	(void)err;
	snprintf(copy, sizeof(copy), "%s", why);
	data_lost(arg, copy);
}

static const struct conn_ops data_ops = {
	.up = data_up, .readable = data_readable, .down = data_down};

void link_core_conn_params(const struct core_edge *e, const struct conn_ops *ops, void *arg,
			   struct conn_params *out)
{
	*out = (struct conn_params){.loop = e->core->p.loop,
				    .tls = e->core->p.tls,
				    .peer_name = e->cfg.name,
				    .queue_max = LINK_DATA_QUEUE,
				    .handshake_ms = e->core->times.hello,
				    .link = true,
				    .ops = ops,
				    .arg = arg};
}

static int data_dial(struct core_edge *e)
{
	struct link_data *d = calloc(1, sizeof(*d));
	struct conn_params cp;
	int ret;

	if (!d)
		return -ENOMEM;
	link_core_conn_params(e, &data_ops, d, &cp);
	e->core->stats.dials++;
	ret = conn_connect(&cp, &e->cfg.address, &d->conn);
	if (ret) {
		e->core->stats.dial_errors++;
		free(d);
		return ret;
	}
	d->loop = cp.loop;
	d->owner = e;
	data_link(d);
	e->n_dialing++;
	return 0;
}

static bool token_take(struct core_edge *e)
{
	uint64_t now = loop_now_ms(e->core->p.loop);

	e->tokens += (now - e->tokens_ms) * DIALS_A_MS;
	e->tokens_ms = now;
	if (e->tokens > LINK_DIALS_BURST)
		e->tokens = LINK_DIALS_BURST;
	if (!e->tokens)
		return false;
	e->tokens--;
	return true;
}

/* Dial until pool is full. Where a limit stops it: the next data_up() or the timer goes on. */
void link_core_fill(struct core_edge *e)
{
	struct loop *loop = e->core->p.loop;
	uint64_t now = loop_now_ms(loop);

	if (!e->peer)
		return;
	while (e->n_data < e->cfg.pool && e->n_dialing < DIALS_IN_FLIGHT) {
		if (now < e->data_wait_ms || !token_take(e)) {
			loop_timer_set(loop, &e->fill_timer,
				       now < e->data_wait_ms ? e->data_wait_ms - now : 1);
			return;
		}
		if (data_dial(e)) {
			loop_timer_set(loop, &e->fill_timer, link_jitter(e->core->times.retry_max));
			return;
		}
	}
}

void link_core_fill_late(void *arg)
{
	struct core_edge *e = arg;

	/* Set all the time, so that setting it elsewhere cannot fail. Looks after the pool now and then as well. */
	loop_timer_set(e->core->p.loop, &e->fill_timer, e->core->times.retry_max);
	link_core_fill(e);
}

void link_core_data_close(struct core_edge *e)
{
	while (e->data)
		conn_close(data_drop(e->data));
	while (e->early)
		early_pop(e);
	if (e->peer)
		link_data_orphan(e->peer,
				 NULL); /* this side's streams have no ending of their own */
}
