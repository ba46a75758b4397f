/* user/inside_stream.c -- TCP and TLS between the core and its call servers: one outgoing stream a target, accepted ones, framing.
 * See inside.h. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "user/inside_int.h"
#include "user/log.h"

static void inside_stream_end(struct inside_stream *s)
{
	struct inside *in = s->in;
	struct inside_stream **at = &in->streams;

	while (*at && *at != s)
		at = &(*at)->next;
	if (*at)
		*at = s->next;
	in->n_streams--;
	conn_abort(s->conn);
	free(s->buf);
	free(s);
}

/* Messages at the front of the buffer. false: the stream is over. */
static bool inside_stream_parse(struct inside_stream *s)
{
	struct engine_inside_src src = {
		.server = s->server, .transport = s->transport, .from = s->peer, .conn = s->id};
	size_t done = 0;

	while (done < s->n) {
		struct span rest = span_of(s->buf + done, s->n - done);
		enum sip_why why = SIP_OK;
		struct sip_msg m;
		bool ping = false;
		ssize_t used = sip_keepalive(rest, &ping);

		if (used > 0) {
			if (ping)
				conn_write(s->conn, SPAN("\r\n"));
			done += (size_t)used;
			continue;
		}
		used = sip_msg_parse(rest, true, s->in->p.message_max, &m, &why);
		if (used == -EAGAIN)
			break;
		if (used < 0) {
			inside_malformed(s->in, s->server, why);
			return false;
		}
		done += (size_t)used;
		s->in->servers[s->server].received++;
		s->in->p.ops->message(s->in->p.arg, &src, &m);
	}
	memmove(s->buf, s->buf + done, s->n - done);
	s->n -= done;
	return true;
}

/* Only a reset tells that the other end has forgotten the stream; -EPIPE is none: its FIN had come before. Nor is a way that is gone: that
 * tells nothing of who was at its end. */
static enum engine_failure inside_stream_how(const struct inside_stream *s, int err)
{
	if (err == -EHOSTUNREACH || err == -ENETUNREACH)
		return ENGINE_UNREACHABLE;
	if (s->up)
		return err == -ECONNRESET || err == -ETIMEDOUT ? ENGINE_RESET : ENGINE_CLOSED;
	return err == -ECONNREFUSED ? ENGINE_REFUSED : ENGINE_UNREACHABLE;
}

/* The stream is over: what waited for it must not wait for its time to run out. */
static void inside_stream_lost(struct inside_stream *s, int err, const char *why)
{
	enum engine_failure how = inside_stream_how(s, err);
	struct inside *in = s->in;
	struct addr peer = s->peer;
	unsigned server = s->server;
	bool tell = s->outgoing;
	char text[128], at[ADDR_TEXT_MAX];

	(void)snprintf(text, sizeof(text), "%s", why); /* it may be the connection's */
	log_event(LOG_L_INFO, "inside-stream-down", "server=%s transport=%s peer=%s reason=\"%s\"",
		  in->p.servers[server].name, inside_transport_names[s->transport],
		  addr_text(&peer, at), text);
	inside_stream_end(s);
	if (tell)
		inside_failed(in, server, &peer, how, text);
}

static void inside_stream_readable(void *arg)
{
	struct inside_stream *s = arg;

	for (;;) {
		ssize_t n = conn_read(s->conn, s->buf + s->n, s->in->p.message_max - s->n);

		if (n == -EAGAIN)
			return;
		if (n < 0) {
			inside_stream_lost(s, (int)n,
					   conn_tls(s->conn) ? tls_why(conn_tls(s->conn))
							     : strerror((int)-n));
			return;
		}
		if (n == 0) {
			inside_stream_lost(s, 0, "closed");
			return;
		}
		s->n += (size_t)n;
		if (!inside_stream_parse(s))
			break;
		if (s->n == s->in->p.message_max) {
			inside_malformed(s->in, s->server, SIP_WHY_TOO_LONG);
			break;
		}
	}
	inside_stream_lost(s, 0, "malformed");
}

static void inside_stream_down(void *arg, int err, const char *why)
{
	inside_stream_lost(arg, err, why ? why : err ? strerror(-err) : "closed");
}

static void inside_stream_up(void *arg)
{
	struct inside_stream *s = arg;
	char peer[ADDR_TEXT_MAX];

	s->up = true;
	log_event(LOG_L_INFO, "inside-stream-up", "server=%s transport=%s peer=%s",
		  s->in->p.servers[s->server].name, inside_transport_names[s->transport],
		  addr_text(&s->peer, peer));
}

static void inside_stream_drained(void *arg)
{
	(void)arg;
}

static const struct conn_ops inside_stream_ops = {
	.up = inside_stream_up,
	.readable = inside_stream_readable,
	.drained = inside_stream_drained,
	.down = inside_stream_down,
};

static struct inside_stream *inside_stream_new(struct inside *in, unsigned server,
					       enum engine_transport t)
{
	struct inside_stream *s;

	if (in->n_streams >= INSIDE_STREAMS) {
		in->full++;
		return NULL;
	}
	s = calloc(1, sizeof(*s));
	if (!s)
		return NULL;
	s->buf = malloc(in->p.message_max);
	if (!s->buf) {
		free(s);
		return NULL;
	}
	s->in = in;
	s->id = ++in->next_id;
	s->server = server;
	s->transport = t;
	s->next = in->streams;
	in->streams = s;
	in->n_streams++;
	return s;
}

static struct conn_params inside_conn_params(struct inside_stream *s)
{
	struct inside *in = s->in;
	bool tls = s->transport == ENGINE_TLS;

	return (struct conn_params){
		.loop = in->p.loop,
		.tls = !tls	     ? NULL
		       : s->outgoing ? in->p.tls_client
				     : in->p.tls_server,
		.peer_name = tls && s->outgoing ? in->p.servers[s->server].tls_name : NULL,
		.queue_max = INSIDE_QUEUE,
		.ops = &inside_stream_ops,
		.arg = s,
	};
}

static void inside_accepted(struct inside *in, int fd, enum engine_transport t)
{
	struct sockaddr_storage ss;
	socklen_t len = sizeof(ss);
	struct inside_stream *s;
	struct conn_params cp;
	struct addr from;
	char text[ADDR_TEXT_MAX];
	int server, err;

	if (fd < 0) {
		log_event(LOG_L_WARN, "inside-accept", "error=\"%s\"", strerror(-fd));
		return;
	}
	if (getpeername(fd, (struct sockaddr *)&ss, &len) ||
	    addr_from_sockaddr((struct sockaddr *)&ss, &from)) {
		close(fd);
		return;
	}
	server = inside_server_of(in, &from);
	if (server < 0) {
		in->foreign++;
		log_event(LOG_L_WARN, "inside-foreign", "from=%s transport=%s",
			  addr_text(&from, text), inside_transport_names[t]);
		close(fd);
		return;
	}
	s = inside_stream_new(in, (unsigned)server, t);
	if (!s) {
		close(fd);
		return;
	}
	s->peer = from;
	cp = inside_conn_params(s);
	err = conn_accept(&cp, fd, &s->conn);
	if (err) {
		log_event(LOG_L_WARN, "inside-accept", "error=\"%s\"", strerror(-err));
		s->conn = NULL;
		inside_stream_end(s);
	}
}

static void inside_accept_tcp(void *arg, int fd)
{
	inside_accepted(arg, fd, ENGINE_TCP);
}

static void inside_accept_tls(void *arg, int fd)
{
	inside_accepted(arg, fd, ENGINE_TLS);
}

static int inside_dial(struct inside *in, unsigned server, enum engine_transport t,
		       const struct addr *to, struct inside_stream **out)
{
	struct inside_stream *s = inside_stream_new(in, server, t);
	struct conn_params cp;
	int err;

	if (!s)
		return -ENOBUFS;
	s->outgoing = true;
	s->peer = *to;
	cp = inside_conn_params(s);
	err = conn_connect(&cp, &s->peer, &s->conn);
	if (err) {
		s->conn = NULL;
		inside_stream_end(s);
		return err;
	}
	*out = s;
	return 0;
}

int inside_stream_to(struct inside *in, unsigned server, enum engine_transport t,
		     const struct addr *to, struct inside_stream **out)
{
	struct inside_stream *s;

	for (s = in->streams; s; s = s->next) {
		if (!s->outgoing || s->server != server || s->transport != t ||
		    !addr_eq(&s->peer, to))
			continue;
		*out = s;
		return 0;
	}
	return inside_dial(in, server, t, to, out);
}

struct inside_stream *inside_stream_any(struct inside *in, unsigned server, const struct addr *to)
{
	struct inside_stream *s;

	for (s = in->streams; s; s = s->next)
		if (s->server == server && addr_ip_eq(&s->peer, to))
			return s;
	return NULL;
}

unsigned inside_stream_count(const struct inside *in, unsigned server)
{
	const struct inside_stream *s;
	unsigned n = 0;

	for (s = in->streams; s; s = s->next)
		n += s->server == server && s->outgoing && s->up;
	return n;
}

struct inside_stream *inside_stream_by_id(struct inside *in, uint64_t id)
{
	struct inside_stream *s;

	for (s = in->streams; s; s = s->next)
		if (s->id == id)
			return s;
	return NULL;
}

void inside_stream_end_all(struct inside *in)
{
	while (in->streams)
		inside_stream_end(in->streams);
}

int inside_stream_listen(struct inside *in)
{
	int err = 0;

	if (in->p.tcp_fd >= 0)
		err = loop_accept(in->p.loop, in->p.tcp_fd, inside_accept_tcp, in, &in->tcp);
	if (!err && in->p.tls_fd >= 0)
		err = loop_accept(in->p.loop, in->p.tls_fd, inside_accept_tls, in, &in->tls);
	return err;
}
