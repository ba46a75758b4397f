/* user/link_edge_data.c -- the edge's data connections: idle in a core's pool, lent to a stream, and back when its end is agreed on.
 *
 * In: connections that said a valid Hello, streams that begin and end, the core's StreamIdle. Out: connections for streams.
 * Owner: the link owns the records all the time; from link_edge_open() to link_edge_end() the stream uses its connection. The peer owns
 * those that are idle or ending, and closes them when it goes. */
#include <errno.h>
#include <stdlib.h>
#include <unistd.h>

#include "user/link_impl.h"

/* ---- idle ---- */

static void idle_link(struct link_data *d)
{
	struct link_peer *p = d->owner;

	d->state = LINK_IDLE;
	d->prev = NULL;
	d->next = p->data;
	if (p->data)
		p->data->prev = d;
	p->data = d;
	p->n_idle++;
}

static void idle_unlink(struct link_data *d)
{
	struct link_peer *p = d->owner;

	if (d->prev)
		d->prev->next = d->next;
	else
		p->data = d->next;
	if (d->next)
		d->next->prev = d->prev;
	p->n_idle--;
	if (p->n_idle < p->idle_low)
		p->idle_low = p->n_idle;
}

static void idle_end(struct link_data *d, bool orderly)
{
	idle_unlink(d);
	(orderly ? conn_close : conn_abort)(d->conn);
	free(d);
}

static void idle_readable(void *arg)
{
	struct link_data *d = arg;
	struct link_peer *p = d->owner;
	uint8_t b;
	ssize_t n = conn_read(d->conn, &b, 1);

	if (n == -EAGAIN)
		return;
	/* Nothing may come before Open: whoever speaks now would put bytes in front of a client's stream. */
	if (n > 0)
		p->stats->early_bytes++;
	p->stats->data_lost++;
	idle_end(d, n == 0);
}

static void idle_down(void *arg, int err, const char *why)
{
	struct link_data *d = arg;

	(void)err, (void)why;
	((struct link_peer *)d->owner)->stats->data_lost++;
	idle_end(d, false);
}

static const struct conn_ops idle_ops = {.readable = idle_readable, .down = idle_down};

int link_edge_data_add(struct link_peer *p, struct conn *c)
{
	struct link_data *d = calloc(1, sizeof(*d));

	if (!d)
		return -ENOMEM;
	d->conn = c;
	d->loop = p->loop;
	d->owner = p;
	idle_link(d);
	conn_set_queue_max(c, LINK_DATA_QUEUE);
	link_climb(c, p->ktls);
	conn_set_ops(c, &idle_ops, d);
	return 0;
}

int link_edge_open(struct link_peer *p, const Sallyport__Open *o, const struct conn_ops *ops,
		   void *arg, struct link_data **out)
{
	Sallyport__Link m = SALLYPORT__LINK__INIT;
	struct link_data *d;
	uint8_t b;
	int ret;

	m.m_case = SALLYPORT__LINK__M_OPEN;
	m.open = (Sallyport__Open *)o;
	/* The newest first: it is the one that a firewall on the way least likely forgot. */
	while ((d = p->data)) {
		/* Where its end has come already, and only its event has not, the next one is taken. Open goes in one record with what the
		 * caller writes now. */
		ret = conn_read(d->conn, &b, 1) == -EAGAIN ? link_write_later(d->conn, &m, 0)
							   : -EPIPE;
		if (ret) {
			idle_end(d, false);
			if (ret == -EMSGSIZE)
				return ret;
			p->stats->data_lost++;
			continue;
		}
		idle_unlink(d);
		link_data_use(d, p, o->stream);
		d->ops = ops;
		d->arg = arg;
		conn_set_ops(d->conn, ops, arg);
		p->stats->opens++;
		*out = d;
		return 0;
	}
	p->stats->pool_empty++;
	return -EAGAIN;
}

/* What was never needed since the last time is too much: the oldest of the pool, as the newest are taken first. */
void link_edge_data_trim(void *arg)
{
	struct link_peer *p = arg;
	unsigned keep = p->n_idle, i;
	struct link_data *d = p->data, *next;

	if (p->idle_low > p->pool)
		keep -= p->idle_low - p->pool;
	for (i = 0; d; d = next, i++) {
		next = d->next;
		if (i < keep)
			continue;
		p->stats->trimmed++;
		idle_end(d, true);
	}
	p->idle_low = p->n_idle;
	loop_timer_set(p->loop, &p->trim,
		       p->times->trim); /* its place in the heap is still there */
}

/* ---- ending ---- */

static void ending_close(struct link_data *d)
{
	void (*end)(struct conn * c) = d->abort ? conn_abort : conn_close;

	link_data_unuse(d);
	((struct link_peer *)d->owner)->n_ending--;
	end(d->conn);
	free(d);
}

static void ending_bad(struct link_data *d)
{
	((struct link_peer *)d->owner)->stats->ends_bad++;
	conn_abort(d->conn);
	d->conn = NULL; /* conn_close(NULL) is fine */
	ending_close(d);
}

/* Whether all that the core wrote is here. @d may be gone afterwards. */
static void ending_check(struct link_data *d)
{
	struct link_peer *p = d->owner;

	if (!d->end_known || link_data_in(d) < d->end)
		return;
	if (link_data_in(d) > d->end) {
		ending_bad(d);
		return;
	}
	link_data_unuse(d);
	p->n_ending--;
	idle_link(d);
	p->stats->recycled++;
	conn_set_ops(d->conn, &idle_ops, d); /* a byte too many is an early one there */
}

static void ending_readable(void *arg)
{
	struct link_data *d = arg;
	uint8_t buf[16384];
	ssize_t n = -EAGAIN;
	size_t want;

	for (;;) {
		want = sizeof(buf);
		if (d->end_known && d->end - link_data_in(d) < want)
			want = (size_t)(d->end - link_data_in(d));
		if (want == 0)
			break;
		n = conn_read(d->conn, buf, want);
		if (n <= 0)
			break;
	}
	if (want && n != -EAGAIN) {
		((struct link_peer *)d->owner)->stats->ends_closed++;
		ending_close(d);
	} else {
		ending_check(d);
	}
}

static void ending_down(void *arg, int err, const char *why)
{
	struct link_data *d = arg;

	(void)err, (void)why;
	((struct link_peer *)d->owner)->stats->ends_closed++;
	ending_close(d);
}

static void ending_late(void *arg)
{
	struct link_data *d = arg;

	((struct link_peer *)d->owner)->stats->ends_late++;
	ending_close(d);
}

/* The core has done with the stream, and says how much it wrote. */
void link_edge_data_idle(struct link_peer *p, const Sallyport__Link *m)
{
	struct link_data *d = link_data_find(p, m->stream_idle->stream);

	if (!d) { /* closed in the meantime */
		p->stats->ends_unknown++;
	} else if (d->half && !d->end_known && d->state == LINK_USED) {
		d->end_known = true;
		d->end = m->stream_idle->bytes_sent;
		d->ops->readable(d->arg);
	} else if (d->state != LINK_ENDING) { /* it would take the stream's bytes for frames */
		p->stats->ends_bad++;
		conn_break(d->conn, -EPROTO, "StreamIdle of a stream that goes on");
	} else if (d->end_known) {
		ending_bad(d);
	} else {
		d->end_known = true;
		d->end = m->stream_idle->bytes_sent;
		ending_check(d);
	}
}

static bool end_tell(struct link_data *d)
{
	Sallyport__Link m = SALLYPORT__LINK__INIT;
	Sallyport__StreamEnd end = SALLYPORT__STREAM_END__INIT;

	end.stream = d->stream;
	end.bytes_sent = link_data_out(d);
	end.abort = d->abort ? d->abort : (char *)"";
	m.m_case = SALLYPORT__LINK__M_STREAM_END;
	m.stream_end = &end;
	/* many end at once: a record and a wake-up for all of them */
	return link_send_later(d->peer, &m, LINK_LATER_MS) == 0;
}

/* Tell the core that the stream is over; the answer decides. */
static bool ending_begin(struct link_data *d)
{
	static const struct conn_ops ops = {.readable = ending_readable, .down = ending_down};
	struct link_peer *p = d->peer;

	d->timer = (struct loop_timer){.fn = ending_late, .arg = d};
	if (loop_timer_set(d->loop, &d->timer, p->times->end))
		return false;
	if (!d->half && !end_tell(d))
		return false;
	d->state = LINK_ENDING;
	p->n_ending++;
	conn_set_ops(d->conn, &ops, d);
	conn_pause(d->conn, false);
	if (d->half) /* it may be known already */
		ending_check(d);
	return true;
}

static bool may_end(struct link_data *d)
{
	struct link_peer *p = d->peer;
	uint64_t *why = !conn_fit(d->conn)			   ? &p->stats->ends_closed
			: d->uses >= p->times->uses		   ? &p->stats->ends_worn
			: p->n_idle + p->n_ending >= LINK_POOL_MAX ? &p->stats->ends_full
								   : NULL;

	if (why)
		++*why;
	return !why;
}

/* A reset says no reason; the control connection does. */
static void abort_tell(struct link_data *d)
{
	Sallyport__Link m = SALLYPORT__LINK__INIT;
	Sallyport__CloseStream c = SALLYPORT__CLOSE_STREAM__INIT;

	c.stream = d->stream;
	c.reason = d->abort;
	m.m_case = SALLYPORT__LINK__M_CLOSE_STREAM;
	m.close_stream = &c;
	link_send(d->peer, &m);
}

int link_edge_adopt(struct link_edge *l, int fd, int pipe, struct conn_keep *k, uint64_t stream,
		    const struct conn_ops *ops, void *arg, struct link_data **out)
{
	struct link_data *d = calloc(1, sizeof(*d));
	struct conn_params cp = {.loop = l->p.loop,
				 .tls = l->p.tls,
				 .queue_max = LINK_DATA_QUEUE,
				 .link = true,
				 .ops = ops,
				 .arg = arg};
	int ret = -ENOMEM;

	if (d) {
		ret = conn_adopt(&cp, fd, pipe, k, &d->conn);
	} else {
		close(fd);
		if (pipe >= 0)
			close(pipe);
	}
	if (ret) {
		free(d);
		return ret;
	}
	d->loop = l->p.loop;
	d->state = LINK_USED;
	d->stream = stream;
	*out = d;
	return 0;
}

void link_edge_leave(struct link_data *d)
{
	link_data_unuse(d);
	free(d);
}

int link_edge_half(struct link_data *d)
{
	if (!d->peer || d->half || !conn_fit(d->conn) || !end_tell(d))
		return -ENOTCONN;
	d->half = true;
	return 0;
}

bool link_edge_half_done(const struct link_data *d)
{
	return d->half && d->end_known && link_data_in(d) >= d->end;
}

void link_edge_end(struct link_data *d, const char *abort)
{
	if (!d)
		return;
	if (abort)
		link_data_abort(d, *abort ? abort : "aborted");
	/* A second StreamEnd would be none: of a stream whose client had ended, only a clean end is agreed on. */
	if (d->peer && !(d->half && abort) && may_end(d) && ending_begin(d))
		return;
	if (d->peer && abort)
		abort_tell(d);
	link_data_unuse(d);
	(abort ? conn_abort : conn_close)(d->conn);
	free(d);
}

void link_edge_data_close(struct link_peer *p)
{
	while (p->data)
		idle_end(p->data, true);
	link_data_orphan(p, ending_close);
}
