/* user/link_data.c -- a data connection while it carries a stream: found by the stream's id, its bytes counted. See link_impl.h.
 *
 * In: a connection on which an Open was written or read. Out: counts. Owner: link_edge_data.c or link_core_data.c. */
#include <stdlib.h>
#include <string.h>

#include "user/link_impl.h"

static char no_memory[] = "aborted"; /* there was none for the reason */

static struct link_data **bucket(struct link_peer *p, uint64_t stream)
{
	return &p->streams[stream & (LINK_STREAM_BUCKETS - 1)];
}

struct link_data *link_data_find(struct link_peer *p, uint64_t stream)
{
	struct link_data *d = *bucket(p, stream);

	while (d && d->stream != stream)
		d = d->next;
	return d;
}

void link_data_use(struct link_data *d, struct link_peer *p, uint64_t stream)
{
	struct link_data **at = bucket(p, stream);

	d->state = LINK_USED;
	d->peer = p;
	d->uses++;
	d->stream = stream;
	d->in_0 = conn_received(d->conn);
	d->out_0 = conn_sent(d->conn);
	d->end_known = d->half = false;
	d->timer = (struct loop_timer){}; /* a frame was read to its end: .rx holds nothing */
	d->ops = NULL;
	d->prev = NULL;
	d->next = *at;
	if (*at)
		(*at)->prev = d;
	*at = d;
}

void link_data_abort(struct link_data *d, const char *why)
{
	if (d->abort != no_memory)
		free(d->abort);
	d->abort = *why ? strndup(why, LINK_ABORT_MAX - 1) : NULL;
	if (*why && !d->abort)
		d->abort = no_memory;
}

void link_data_unuse(struct link_data *d)
{
	loop_timer_cancel(d->loop, &d->timer);
	d->rx = (struct link_rx){};
	link_data_abort(d, "");
	if (!d->peer)
		return;
	if (d->prev)
		d->prev->next = d->next;
	else
		*bucket(d->peer, d->stream) = d->next;
	if (d->next)
		d->next->prev = d->prev;
	d->prev = d->next = NULL;
	d->peer = NULL;
}

void link_data_orphan(struct link_peer *p, void (*ending)(struct link_data *d))
{
	struct link_data *d;
	unsigned i;

	for (i = 0; i < LINK_STREAM_BUCKETS; i++)
		while ((d = p->streams[i])) {
			p->streams[i] = d->next;
			if (d->next)
				d->next->prev = NULL;
			d->next = NULL;
			d->peer = NULL;
			if (d->state == LINK_ENDING)
				ending(d);
		}
}

uint64_t link_data_in(const struct link_data *d)
{
	return conn_received(d->conn) - d->in_0;
}

uint64_t link_data_out(const struct link_data *d)
{
	return conn_sent(d->conn) - d->out_0;
}

struct conn *link_data_conn(const struct link_data *d)
{
	return d->conn;
}
