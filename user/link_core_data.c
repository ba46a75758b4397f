/* user/link_core_data.c -- the core's data connections: dialled ahead, idle until an edge's Open, then a stream's.
 *
 * In: how many an edge should have idle, its Open. Out: ops.open() with a connection that became a stream.
 * Owner: the link owns a data connection until ops.open().
 *
 * They are dialled at once when one is used or lost, bounded in flight and by rate, and back off when they fail. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "user/link_core_impl.h"
#include "user/log.h"

#define DIALS_IN_FLIGHT \
	32 /* an edge; below its LINK_PENDING_MAX, so that two cores can fill up at once */
#define DIALS_A_MS 5

static struct conn *data_drop(struct link_data *d)
{
	struct core_edge *e = d->owner;
	struct conn *c = d->conn;

	if (d->prev)
		d->prev->next = d->next;
	else
		e->data = d->next;
	if (d->next)
		d->next->prev = d->prev;
	e->n_data--;
	if (!d->idle)
		e->n_dialing--;
	else if (e->peer)
		e->peer->n_idle--;
	link_rx_fini(&d->rx);
	free(d);
	return c;
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
	if (d->idle && now - d->idle_ms >= l->times.steady)
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
	d->idle = true;
	d->idle_ms = loop_now_ms(e->core->p.loop);
	e->n_dialing--;
	e->peer->n_idle++;
	link_core_fill(e);
}

/* The connection becomes a stream. What follows the frame is still unread, and is the stream's. */
static void data_open(struct link_data *d, const Sallyport__Link *m)
{
	struct core_edge *e = d->owner;
	struct conn *c = data_drop(d);

	e->core->stats.opens++;
	e->data_retry_ms = 0;
	link_core_fill(e);
	e->core->p.ops->open(e->core->p.arg, e->peer, c, m->open);
}

static void data_readable(void *arg)
{
	struct link_data *d = arg;
	Sallyport__Link *m = NULL;
	char why[LINK_REASON_MAX];
	int ret = link_rx_read(&d->rx, d->conn, &m);

	if (ret == -EAGAIN)
		return;
	if (ret) {
		snprintf(why, sizeof(why), "%s", link_conn_why(d->conn, ret));
		data_lost(d, why);
		return;
	}
	if (m->m_case == SALLYPORT__LINK__M_OPEN) {
		data_open(d, m);
	} else {
		snprintf(why, sizeof(why), "%s",
			 m->m_case == SALLYPORT__LINK__M_CLOSE ? m->close->reason
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
	static const struct conn_ops ops = {
		.up = data_up, .readable = data_readable, .down = data_down};
	struct link_data *d = calloc(1, sizeof(*d));
	struct conn_params cp;
	int ret;

	if (!d)
		return -ENOMEM;
	link_core_conn_params(e, &ops, d, &cp);
	e->core->stats.dials++;
	ret = conn_connect(&cp, &e->cfg.address, &d->conn);
	if (ret) {
		e->core->stats.dial_errors++;
		free(d);
		return ret;
	}
	d->owner = e;
	d->next = e->data;
	if (e->data)
		e->data->prev = d;
	e->data = d;
	e->n_data++;
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
}
