/* user/stream_lodge.c -- admitted streams that outlive the worker. See stream_impl.h, user/lodge.h and user/conn_keep.h.
 *
 * In: a stream both of whose connections are in the kernel; or what the keeper held of an earlier worker's. Out: a slot with both
 * descriptors and a record, and the same stream in the next worker. Owner: the stream has the slot until it ends.
 *
 * An admitted stream with a connection that is not (OpenSSL has its TLS) ends with a worker that dies, but not with one that hands over: it
 * gets its slot then, with a plain end of that connection, which this process relays (user/conn_relay.h: what becomes of which bytes).
 *
 * The next worker's link to the core is a new one, so the stream goes on alone, as one does whose control connection is over: the core's
 * Admit, Revoke and CloseStream find it by id. Slot roles: 0 the client's connection, 1 the core's; at a hand-over 2 bytes towards the
 * core, 3 bytes towards the client. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "user/log.h"
#include "user/stream_impl.h"

enum { ROLE_CLIENT, ROLE_CORE, ROLE_TO_CORE, ROLE_TO_CLIENT };

/* Changes of this count in LODGE_VERSION. */
struct stream_keep {
	struct conn_keep client, core;
	uint64_t id, core_name;	    /* the name's hash: its place in the configuration may change */
	uint64_t base_in, base_out; /* received by a connection before the stream's count began */
	uint64_t cap_bytes, since_ms, deadline_ms;
	char sni[STREAM_SNI_MAX + 1];
	char tls_version[8], tls_cipher[30]; /* a connection that is adopted does not know them */
	uint8_t registered, service;	     /* enum stream_service_id */
};
_Static_assert(sizeof(struct stream_keep) <= LODGE_PAYLOAD, "a record");

enum { EXTRA_CLIENT, EXTRA_CORE, EXTRAS };
_Static_assert(sizeof(struct ktls_secrets) * EXTRAS <= LODGE_EXTRA, "a record");

static int core_by_hash(const struct streams *t, uint64_t hash)
{
	unsigned i;

	for (i = 0; i < t->p.cfg->link.cores_count; i++)
		if (lodge_name_hash(t->p.cfg->link.cores[i].name) == hash)
			return (int)i;
	return -1;
}

static void record_fill(const struct stream *s, struct stream_keep *r)
{
	const struct streams *t = s->all;

	r->id = s->id;
	r->core_name = lodge_name_hash(t->p.cfg->link.cores[s->core_index].name);
	r->base_in = conn_received(s->client) - s->bytes_in;
	r->base_out = conn_received(s->core) - s->bytes_out;
	r->cap_bytes = s->cap_bytes;
	r->since_ms = s->since_ms;
	r->deadline_ms = s->deadline.pos ? s->deadline.due_ms : 0;
	if (s->sni)
		memccpy(r->sni, s->sni, 0, STREAM_SNI_MAX);
	snprintf(r->tls_version, sizeof(r->tls_version), "%s", s->tls_version);
	snprintf(r->tls_cipher, sizeof(r->tls_cipher), "%s", s->tls_cipher);
	r->registered = s->registered;
	r->service = s->use->service->id;
	/* Not to be gone on with until both connections write their own state. */
	r->client.rx_busy = r->core.rx_busy = 1;
}

/* Where the secrets of both connections lie, if they have such. */
static void secrets_place(struct streams *t, uint32_t slot, struct stream_keep *k, bool client,
			  bool core)
{
	struct ktls_secrets *x = client || core ? lodge_extra(t->p.lodge, slot) : NULL;

	conn_keep_secrets(&k->client, client ? &x[EXTRA_CLIENT] : NULL);
	conn_keep_secrets(&k->core, core ? &x[EXTRA_CORE] : NULL);
}

/* It is worth to be gone on with, and may be. */
static bool lasting(const struct stream *s)
{
	return s->all->p.lodge && s->state == STREAM_ADMITTED && !s->close_reason &&
	       conn_fit(s->client) && conn_fit(s->core);
}

/* 0: it has a slot, or needs none. */
static int slot_get(struct stream *s)
{
	struct streams *t = s->all;
	struct stream_keep *k, r = {};
	int fds[2], ret;

	if (s->lodged || !lasting(s) || !conn_keepable(s->client) || !conn_keepable(s->core))
		return 0;
	record_fill(s, &r);
	fds[ROLE_CLIENT] = conn_fd(s->client);
	fds[ROLE_CORE] = conn_fd(s->core);
	ret = lodge_put(t->p.lodge, STREAMS_LODGE_KIND, fds, 2, &r, sizeof(r), &s->slot);
	if (ret) {
		t->lodge_again_ms = loop_now_ms(t->p.loop) + STREAM_LODGE_MS;
		return ret;
	}
	s->lodged = true;
	k = lodge_record(t->p.lodge, s->slot);
	secrets_place(t, s->slot, k, conn_rekeys(s->client), conn_rekeys(s->core));
	conn_keep(s->client, &k->client);
	conn_keep(s->core, &k->core);
	return 0;
}

void stream_lodge(struct stream *s)
{
	if (slot_get(s))
		s->all->not_lodged++;
}

void streams_lodge_again(struct streams *t)
{
	struct stream *s;
	unsigned i;

	t->lodge_again_ms = 0;
	for (i = 0; i < STREAM_BUCKETS; i++)
		for (s = t->buckets[i]; s; s = s->hash_next)
			if (slot_get(s))
				return;
}

/* What the core said of it since. */
void stream_lodge_update(struct stream *s)
{
	struct stream_keep *k;

	if (!s->lodged)
		return;
	k = lodge_record(s->all->p.lodge, s->slot);
	lodge_word_set(&k->cap_bytes, s->cap_bytes);
	lodge_word_set(&k->deadline_ms, s->deadline.pos ? s->deadline.due_ms : 0);
}

void stream_unlodge(struct stream *s)
{
	if (!s->lodged)
		return;
	s->lodged = false;
	if (s->client)
		conn_unkeep(s->client);
	if (s->core)
		conn_unkeep(s->core);
	lodge_drop(s->all->p.lodge, s->slot);
}

/* ---- the next worker ---- */

static void fd_reset(int fd)
{
	static const struct linger rst = {.l_onoff = 1};

	if (fd < 0)
		return;
	setsockopt(fd, SOL_SOCKET, SO_LINGER, &rst, sizeof(rst));
	close(fd);
}

static bool keep_good(const struct stream_keep *k)
{
	size_t i;

	for (i = 0; i < sizeof(k->sni) && k->sni[i]; i++)
		if (k->sni[i] <= ' ' || k->sni[i] >= 0x7f)
			return false;
	/* A client is on kernel TLS, or an older worker relays its plain bytes; or they are not ours to read. */
	return memchr(k->tls_version, 0, sizeof(k->tls_version)) &&
	       memchr(k->tls_cipher, 0, sizeof(k->tls_cipher)) && conn_keep_good(&k->client) &&
	       conn_keep_good(&k->core) &&
	       (k->client.tls.has[KTLS_TX] || k->client.pair || k->service == STREAM_XMPP_SERVER);
}

static int connections_adopt(struct stream *s, uint32_t slot, struct stream_keep *k,
			     const int fds[LODGE_ROLES])
{
	struct streams *t = s->all;
	struct conn_params cp = {
		.loop = t->p.loop,
		.tls = s->use->tls,
		.queue_max = STREAM_QUEUE,
		.ops = &stream_client_ops,
		.arg = s,
	};
	int ret;

	secrets_place(t, slot, k, k->client.tls.rekey, k->core.tls.rekey);
	ret = conn_adopt(&cp, fds[ROLE_CLIENT], fds[ROLE_TO_CLIENT], &k->client, &s->client);
	if (ret) {
		fd_reset(fds[ROLE_CORE]);
		if (fds[ROLE_TO_CORE] >= 0)
			close(fds[ROLE_TO_CORE]);
		return ret;
	}
	ret = link_edge_adopt(t->p.link, fds[ROLE_CORE], fds[ROLE_TO_CORE], &k->core, s->id,
			      &stream_core_ops, s, &s->data);
	if (ret) {
		conn_abort(s->client);
		s->client = NULL;
	}
	return ret;
}

bool streams_take(struct streams *t, uint32_t slot, const int fds[LODGE_ROLES], void *record)
{
	struct stream_keep *k = record;
	struct stream *s = calloc(1, sizeof(*s));
	int ret = s ? 0 : -ENOMEM, core = core_by_hash(t, k->core_name);
	char text[ADDR_TEXT_MAX];

	if (!ret && (t->n >= STREAM_MAX || core < 0 || streams_find(t, k->id)))
		ret = core < 0 ? -ENOENT : -EEXIST;
	if (!ret && (k->service >= STREAM_SERVICES || !keep_good(k)))
		ret = -EBADMSG;
	if (!ret && !t->p.use[k->service].service) /* switched off since */
		ret = -ENOENT;
	if (!ret && k->client.tls.has[KTLS_TX] && !t->p.use[k->service].tls)
		ret = -EBADMSG; /* a service without TLS of ours */
	/* A client and a core that said nothing in the meantime: whatever was in the dead worker's hands is lost, so both must hear of it. */
	if (!ret && (!conn_keep_idle(&k->client) || !conn_keep_idle(&k->core)))
		ret = -ECANCELED;
	if (ret) {
		for (int i = ROLE_CLIENT; i <= ROLE_CORE; i++)
			fd_reset(fds[i]);
		for (int i = ROLE_TO_CORE; i <= ROLE_TO_CLIENT; i++)
			if (fds[i] >= 0)
				close(fds[i]);
		goto lost;
	}
	*s = (struct stream){.all = t,
			     .id = k->id,
			     .core_index = core,
			     .state = STREAM_ADMITTED,
			     .tls_version = "",
			     .tls_cipher = "",
			     .use = &t->p.use[k->service]};
	s->pipe_in = s->pipe_out = (struct conn_pipe){.in = -1, .out = -1};
	s->peer = k->client.peer;
	s->since_ms = k->since_ms;
	s->cap_bytes = k->cap_bytes;
	s->registered = k->registered;
	s->sni = k->sni[0] ? strndup(k->sni, sizeof(k->sni)) : NULL;
	stream_timers(s);
	ret = connections_adopt(s, slot, k, fds);
	if (ret)
		goto lost;
	s->core = link_data_conn(s->data);
	s->bytes_in = conn_received(s->client) - k->base_in;
	s->bytes_out = conn_received(s->core) - k->base_out;
	if (s->use->tls) { /* servers' streams have none */
		s->tls_version = tls_known(s->use->tls, k->tls_version);
		s->tls_cipher = tls_known(s->use->tls, k->tls_cipher);
	}
	s->lodged = true;
	s->slot = slot;
	for (int i = ROLE_TO_CORE; i <= ROLE_TO_CLIENT; i++)
		if (fds[i] >= 0)
			lodge_fd_drop(t->p.lodge, slot, (unsigned)i);
	streams_insert(s);
	if (k->deadline_ms)
		stream_deadline(s, k->deadline_ms);
	t->adopted++;
	return true;
lost:
	t->lost++;
	log_event(LOG_L_WARN, "stream-lost", "stream=%llx peer=%s reason=%s",
		  (unsigned long long)k->id, addr_text(&k->client.peer, text),
		  ret == -ECANCELED ? "\"bytes of it were in the hands of the worker that died\""
				    : strerrorname_np(-ret));
	stream_free(s);
	lodge_drop(t->p.lodge, slot);
	return true; /* all is closed here, by resets */
}

/* ---- hand-over ---- */

/* One side leaves; what it had queued goes along. */
static int leave(struct stream *s, struct conn *c, unsigned role)
{
	int pipe, ret = conn_leave(c, &pipe);

	if (ret || pipe < 0)
		return ret;
	ret = lodge_fd_add(s->all->p.lodge, s->slot, role, pipe);
	/* It may be sent later: then it stays open until the process ends. */
	return ret;
}

/* All at once: after a part of it the record would say that nothing is in our hands. */
int stream_unpipe(struct streams *t, struct conn *dst, struct conn_pipe *pipe)
{
	_Static_assert(sizeof(t->mover.buf) >= CONN_SPLICE_MAX, "a pipe's bytes");
	ssize_t n;

	if (!pipe->n)
		return 0;
	conn_set_queue_max(dst, CONN_CARRY_MAX);
	n = read(pipe->out, t->mover.buf, sizeof(t->mover.buf));
	if (n != (ssize_t)pipe->n)
		return -EIO;
	pipe->n = 0;
	return conn_write(dst, span_of(t->mover.buf, (size_t)n));
}

/* One side's descriptor for a slot that is made only now. A relayed connection is the stream's no more. */
static int side_part(struct streams *t, struct conn **c, struct conn_keep *k, int *out_fd)
{
	int ret;

	if (conn_keepable(*c)) { /* a copy: the channel may take it later than we leave */
		*out_fd = fcntl(conn_fd(*c), F_DUPFD_CLOEXEC, 0);
		return *out_fd < 0 ? -errno : 0;
	}
	ret = conn_relay(t->p.relays, *c, k, out_fd);
	if (!ret)
		*c = NULL;
	return ret;
}

/* What is the stream's still leaves by its own descriptor. */
static int kept_leave(struct stream *s, struct conn *c, struct conn_keep *k, unsigned role)
{
	if (!c)
		return 0;
	conn_keep(c, k);
	return leave(s, c, role);
}

/* Not in its slot yet: at least one side is to be relayed. The descriptors stay open until the process ends, or is nothing but relays. */
static int leave_apart(struct stream *s)
{
	struct streams *t = s->all;
	struct conn *core = s->core;
	struct stream_keep *k, r = {};
	int fds[2], ret;

	record_fill(s, &r);
	ret = side_part(t, &s->client, &r.client, &fds[ROLE_CLIENT]);
	if (ret)
		return ret;
	ret = side_part(t, &core, &r.core, &fds[ROLE_CORE]);
	if (ret) {
		close(fds[ROLE_CLIENT]); /* which cuts the client's, if it is relayed */
		return ret;
	}
	link_edge_leave(s->data);
	s->data = NULL;
	s->core = core;
	ret = lodge_put(t->p.lodge, STREAMS_LODGE_KIND, fds, 2, &r, sizeof(r), &s->slot);
	if (ret) {
		close(fds[ROLE_CLIENT]);
		close(fds[ROLE_CORE]);
		conn_abort(s->client);
		conn_abort(s->core);
		s->client = s->core = NULL;
		return ret;
	}
	k = lodge_record(t->p.lodge, s->slot);
	secrets_place(t, s->slot, k, s->client && conn_rekeys(s->client),
		      s->core && conn_rekeys(s->core));
	ret = kept_leave(s, s->client, &k->client, ROLE_TO_CLIENT) |
	      kept_leave(s, s->core, &k->core, ROLE_TO_CORE);
	if (ret)
		lodge_drop(t->p.lodge, s->slot);
	s->client = s->core = NULL;
	return ret;
}

void stream_leave(struct stream *s)
{
	struct streams *t = s->all;
	struct conn *core = s->core;
	int ret;

	/* One that the keeper has not got yet, or had no room for, cannot be left: we close what it was to be sent. */
	if (!lasting(s) || (s->lodged && !lodge_held(t->p.lodge, s->slot)) ||
	    stream_unpipe(t, s->core, &s->pipe_in) || stream_unpipe(t, s->client, &s->pipe_out)) {
		stream_end(s, false, "the worker hands over");
		return;
	}
	if (s->lodged) {
		link_edge_leave(s->data);
		ret = leave(s, s->client, ROLE_TO_CLIENT) | leave(s, core, ROLE_TO_CORE);
		if (ret) /* neither is carried on: the descriptors' last owner is the keeper */
			lodge_drop(t->p.lodge, s->slot);
	} else {
		ret = leave_apart(s);
	}
	*(ret ? &t->lost : &t->left) += 1;
	if (ret && !s->lodged) {
		stream_end(s, false, "the worker hands over, and could not hand this over");
		return;
	}
	s->lodged = false;
	s->client = s->core = NULL;
	s->data = NULL;
	stream_forget(s);
}
