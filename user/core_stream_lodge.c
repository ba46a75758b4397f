/* user/core_stream_lodge.c -- admitted streams that outlive the worker. See core_stream.h, user/lodge.h and user/conn_keep.h.
 *
 * In: a stream whose connection is in the kernel; or what the keeper held of an earlier worker's. Out: a slot with descriptor and record,
 * and the same stream in the next worker. Owner: the stream has its slot until it ends.
 *
 * A stream whose connection is not in the kernel gets its slot when the worker hands over, with a plain end of that connection, which this
 * process relays (user/conn_relay.h: what becomes of which bytes). */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "user/core_stream_impl.h"
#include "user/log.h"

enum { ROLE_CONN, ROLE_OUT, ROLE_IN };

/* Text of a record: ended, or it did not fit. */
static bool text_put(char *to, size_t n, const char *from)
{
	return memccpy(to, from, 0, n) != NULL;
}

/* 0 or -ENAMETOOLONG. */
static int record_fill(const struct core_stream *s, const char *host, uint16_t port,
		       struct core_stream_keep *r)
{
	*r = (struct core_stream_keep){.id = s->id,
				       .edge_stream = s->edge_stream,
				       .since_ms = s->since_ms,
				       .edge = lodge_name_hash(s->edge),
				       .base_in = conn_received(s->conn) - s->bytes_in,
				       .base_out = conn_sent(s->conn) - s->bytes_out,
				       .messages_in = s->messages_in,
				       .messages_out = s->messages_out,
				       .keepalives = s->keepalives,
				       .client = s->client,
				       .edge_port = port,
				       .echo = s->echo};
	/* Not to be gone on with until the connection writes its own state. */
	r->conn.rx_busy = 1;
	snprintf(r->tls, sizeof(r->tls), "%.39s", s->tls);
	return text_put(r->edge_host, sizeof(r->edge_host), host) ? 0 : -ENAMETOOLONG;
}

/* Worth to be gone on with, and in no slot yet. */
static bool lasting(const struct core_stream *s)
{
	return s->table->lodge && !s->keep && s->admitted && !s->ended && !s->doomed;
}

/* Where the secrets of its connection lie, if that has such. */
static void secrets_place(struct core_streams *t, uint32_t slot, struct core_stream_keep *k,
			  bool wanted)
{
	conn_keep_secrets(&k->conn, wanted ? lodge_extra(t->lodge, slot) : NULL);
}

static int slot_get(struct core_stream *s, int fd, const struct core_stream_keep *r)
{
	struct core_streams *t = s->table;
	int err = lodge_put(t->lodge, CORE_STREAM_LODGE_KIND, &fd, 1, r, sizeof(*r), &s->slot);

	if (err)
		return err;
	t->counts.lodged++;
	s->keep = lodge_record(t->lodge, s->slot);
	secrets_place(t, s->slot, s->keep, s->conn && conn_rekeys(s->conn));
	return 0;
}

static void not_lodged(struct core_streams *t, int err)
{
	if (err != -ENAMETOOLONG)
		t->again_ms = loop_now_ms(t->loop) + CORE_STREAM_AGAIN_MS;
	if (!t->again)
		*(err == -ENAMETOOLONG ? &t->counts.too_large : &t->counts.no_slot) += 1;
}

void core_stream_lodge(struct core_stream *s, const char *host, uint16_t port)
{
	struct core_stream_keep r;
	int err;

	if (!lasting(s) || !conn_keepable(s->conn))
		return;
	err = record_fill(s, host, port, &r);
	if (!err)
		err = slot_get(s, conn_fd(s->conn), &r);
	if (err)
		not_lodged(s->table, err);
	else
		conn_keep(s->conn, &s->keep->conn);
}

void core_stream_relay(struct core_stream *s, struct conn_relays *relays, const char *host,
		       uint16_t port)
{
	struct core_stream_keep r;
	int err, fd;

	if (!lasting(s))
		return;
	err = record_fill(s, host, port, &r);
	if (!err)
		err = conn_relay(relays, s->conn, &r.conn, &fd);
	if (err == -EPIPE) /* it is over anyway */
		return;
	if (!err) {
		s->conn = NULL;
		err = slot_get(s, fd, &r);
	} else {
		fd = -1;
	}
	if (!err)
		return;
	not_lodged(s->table, err);
	if (fd >= 0) {
		close(fd); /* which cuts it */
		link_core_leave(s->data);
		core_stream_forget(s);
	}
}

void core_stream_unlodge(struct core_stream *s)
{
	if (!s->keep)
		return;
	s->keep = NULL;
	s->table->counts.lodged--;
	conn_unkeep(s->conn);
	lodge_drop(s->table->lodge, s->slot);
}

const struct core_stream_counts *core_streams_counts(const struct core_streams *t)
{
	return &t->counts;
}

/* ---- the next worker ---- */

/* The edge and its client hear at once that the stream is over. */
static void fds_reset(const int fds[LODGE_ROLES])
{
	static const struct linger rst = {.l_onoff = 1};
	unsigned i;

	setsockopt(fds[ROLE_CONN], SOL_SOCKET, SO_LINGER, &rst, sizeof(rst));
	for (i = 0; i < LODGE_ROLES; i++)
		if (fds[i] >= 0)
			close(fds[i]);
}

static bool keep_good(const struct core_stream_keep *k)
{
	return k->id && conn_keep_good(&k->conn) && memchr(k->edge_host, 0, sizeof(k->edge_host)) &&
	       memchr(k->tls, 0, sizeof(k->tls)) && k->base_in <= k->conn.received &&
	       k->base_out <= k->conn.sent;
}

/* The first part of a message. */
static int carried_in(struct core_stream *s, int pipe, bool wanted)
{
	size_t max = s->table->message_max;
	ssize_t n;

	if (pipe < 0)
		return wanted ? -ECANCELED : 0;
	s->buf = malloc(max);
	n = s->buf ? conn_carried(pipe, s->buf, max - 1) : -ENOMEM;
	if (!s->buf)
		close(pipe);
	if (n < 0)
		return (int)n;
	s->n = (size_t)n;
	return !n && wanted ? -ECANCELED : 0; /* who read it did not live long enough to say so */
}

static int stream_adopt(struct core_stream *s, struct link_core *l, uint32_t slot,
			const int fds[LODGE_ROLES], struct core_stream_keep *k)
{
	int err = carried_in(s, fds[ROLE_IN], k->conn.rx_along);

	if (err) {
		int left[LODGE_ROLES] = {fds[ROLE_CONN], fds[ROLE_OUT], -1, fds[3]};

		fds_reset(left);
		return err;
	}
	if (fds[3] >= 0) /* no role of ours */
		close(fds[3]);
	secrets_place(s->table, slot, k, k->conn.tls.rekey);
	err = link_core_adopt(l, s->edge, fds[ROLE_CONN], fds[ROLE_OUT], &k->conn, k->edge_stream,
			      &core_stream_conn_ops, s, &s->data);
	if (err)
		return err;
	s->conn = link_data_conn(s->data);
	conn_hold(s->conn, s->n > 0);
	return 0;
}

static void stream_fill(struct core_stream *s, const struct core_stream_keep *k)
{
	s->id = k->id;
	s->edge_stream = k->edge_stream;
	s->client = k->client;
	s->since_ms = k->since_ms;
	s->messages_in = k->messages_in;
	s->messages_out = k->messages_out;
	s->keepalives = k->keepalives;
	s->bytes_in = k->conn.received - k->base_in;
	s->bytes_out = k->conn.sent - k->base_out;
	s->admitted = s->adopted = true;
	s->echo = k->echo;
}

static void take_failed(struct core_streams *t, uint32_t slot, const struct core_stream_keep *k,
			int err)
{
	char peer[ADDR_TEXT_MAX];

	*(err == -ECANCELED ? &t->counts.lost_busy : &t->counts.lost_other) += 1;
	log_event(LOG_L_WARN, "stream-lost", "stream=%llx client=%s reason=\"%s\"",
		  (unsigned long long)k->id, addr_text(&k->client, peer),
		  err == -ECANCELED ? "bytes of it were in the hands of the worker that died"
		  : err == -ENOENT  ? "its edge is not configured"
				    : strerror(-err));
	lodge_drop(t->lodge, slot);
}

int core_stream_take(struct core_streams *t, struct link_core *l, uint32_t slot,
		     const int fds[LODGE_ROLES], void *record, struct core_stream **out,
		     const char **host, uint16_t *port)
{
	struct core_stream_keep *k = record;
	const char *edge = link_core_name(l, k->edge);
	struct core_stream *s = NULL;
	int err = 0;

	if (!keep_good(k))
		err = -EBADMSG;
	else if (!edge)
		err = -ENOENT;
	else if (!conn_keep_idle(&k->conn))
		err = -ECANCELED;
	else if (t->n >= t->max || core_stream_find(t, k->id))
		err = t->n >= t->max ? -ENOBUFS : -EEXIST;
	else if (!(s = core_stream_new(t, edge, k->tls)))
		err = -ENOMEM;
	if (err) {
		fds_reset(fds);
	} else {
		stream_fill(s, k);
		err = stream_adopt(s, l, slot, fds, k);
	}
	if (err) {
		take_failed(t, slot, k, err);
		core_stream_free(s);
		return err;
	}
	s->keep = k;
	s->slot = slot;
	t->counts.lodged++;
	t->counts.taken++;
	if (fds[ROLE_OUT] >= 0)
		lodge_fd_drop(t->lodge, slot, ROLE_OUT);
	if (fds[ROLE_IN] >= 0)
		lodge_fd_drop(t->lodge, slot, ROLE_IN);
	if (s->id > t->next_id)
		t->next_id = s->id;
	core_stream_insert(s);
	*out = s;
	*host = k->edge_host;
	*port = k->edge_port;
	return 0;
}

/* ---- hand-over ---- */

/* The first part of a message goes along. */
static int leave_in(struct core_stream *s)
{
	int pipe;

	if (!s->n)
		return 0;
	pipe = conn_carry(span_of(s->buf, s->n));
	if (pipe < 0)
		return pipe;
	/* Stays open until the process ends: it may be sent later. */
	return lodge_fd_add(s->table->lodge, s->slot, ROLE_IN, pipe);
}

static void stream_leave(void *arg, struct core_stream *s)
{
	struct core_streams *t = s->table;
	int pipe = -1, err;

	(void)arg;
	if (!s->keep)
		return;
	if (!lodge_held(t->lodge, s->slot)) { /* the keeper has not got it: it ends with us */
		core_stream_unlodge(s);
		return;
	}
	err = leave_in(s);
	link_core_leave(s->data);
	if (err)
		conn_abort(s->conn);
	else if (s->conn)
		err = conn_leave(s->conn, &pipe);
	if (!err && pipe >= 0)
		err = lodge_fd_add(t->lodge, s->slot, ROLE_OUT, pipe);
	if (err)
		lodge_drop(t->lodge, s->slot);
	t->counts.lodged--;
	core_stream_forget(s);
}

void core_streams_leave(struct core_streams *t)
{
	core_streams_each(t, stream_leave, NULL);
}
