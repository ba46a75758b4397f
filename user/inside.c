/* user/inside.c -- UDP, TCP and TLS between the core and its call servers. See inside.h. */
#include "user/inside.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "user/conn.h"
#include "user/log.h"

#define INSIDE_STREAMS	   256
#define INSIDE_QUEUE	   (256u * 1024)
#define INSIDE_UDP_ROUND   64 /* datagrams read in one go: other descriptors get their turn */
#define INSIDE_SOURCES	   16
#define INSIDE_DNS_RETRY_S 10

struct inside_stream {
	struct inside *in;
	struct conn *conn;
	uint64_t id;
	unsigned server;
	enum engine_transport transport;
	bool outgoing;
	struct addr peer;
	uint8_t *buf;
	size_t n;
	struct inside_stream *next;
};

struct inside_server {
	struct inside *in;
	const struct config_call_server *cfg;
	enum engine_transport transport;
	struct addr sources[INSIDE_SOURCES];
	unsigned n_sources;
	struct addr targets[DNS_TARGETS_MAX];
	unsigned n_targets, current;
	bool by_name, asking;
	struct loop_timer refresh;
	struct inside_stream *out; /* the outgoing stream, or NULL */
	uint64_t sent, received, failures;
};

struct inside {
	struct inside_params p;
	struct inside_server *servers;
	struct inside_stream *streams;
	unsigned n_streams;
	uint64_t next_id;
	struct loop_handle udp, tcp, tls;
	uint8_t *dgram;
	uint64_t foreign, malformed, full;
};

static const char *const transport_names[] = {"udp", "tcp", "tls"};

/* Several call servers may share a host: then the port tells, where it is the one they are reached at. */
static bool inside_is_at(const struct addr *list, unsigned n, const struct addr *from, bool port)
{
	unsigned i;

	for (i = 0; i < n; i++)
		if (addr_ip_eq(&list[i], from) && (!port || list[i].port == from->port))
			return true;
	return false;
}

static int inside_server_of(const struct inside *in, const struct addr *from)
{
	unsigned i;

	for (i = 0; i < in->p.n_servers; i++)
		if (inside_is_at(in->servers[i].targets, in->servers[i].n_targets, from, true))
			return (int)i;
	for (i = 0; i < in->p.n_servers; i++) {
		const struct inside_server *s = &in->servers[i];

		if (inside_is_at(s->sources, s->n_sources, from, false) ||
		    inside_is_at(s->targets, s->n_targets, from, false))
			return (int)i;
	}
	return -1;
}

static void inside_malformed(struct inside *in, unsigned server, enum sip_why why)
{
	in->malformed++;
	log_event(LOG_L_WARN, "inside-malformed", "server=%s reason=\"%s\"",
		  in->p.servers[server].name, sip_why_text(why));
}

/* ---- UDP ------------------------------------------------------------------------------------------------------------ */

static void inside_udp_one(struct inside *in, const struct addr *from, size_t n)
{
	int server = inside_server_of(in, from);
	struct engine_inside_src src = {.transport = ENGINE_UDP, .from = *from};
	enum sip_why why = SIP_OK;
	struct sip_msg m;

	if (server < 0) {
		char text[ADDR_TEXT_MAX];

		in->foreign++;
		log_event(LOG_L_WARN, "inside-foreign", "from=%s transport=udp",
			  addr_text(from, text));
		return;
	}
	if (n <= 4) /* keepalives of 0, 2 or 4 bytes */
		return;
	in->servers[server].received++;
	src.server = (unsigned)server;
	if (sip_msg_parse(span_of(in->dgram, n), false, in->p.message_max, &m, &why) <= 0) {
		inside_malformed(in, src.server, why);
		return;
	}
	in->p.ops->message(in->p.arg, &src, &m);
}

static void inside_udp_ready(void *arg, int revents)
{
	struct inside *in = arg;
	unsigned i;

	if (revents < 0)
		log_event(LOG_L_ERROR, "inside-udp", "error=\"%s\"", strerror(-revents));
	for (i = 0; revents >= 0 && i < INSIDE_UDP_ROUND; i++) {
		struct sockaddr_storage ss;
		socklen_t len = sizeof(ss);
		struct addr from;
		ssize_t n = recvfrom(in->p.udp_fd, in->dgram, in->p.message_max,
				     MSG_DONTWAIT | MSG_TRUNC, (struct sockaddr *)&ss, &len);

		if (n < 0 && (errno == ECONNREFUSED || errno == EINTR))
			continue;
		if (n < 0)
			break;
		if (addr_from_sockaddr((struct sockaddr *)&ss, &from))
			continue;
		if ((size_t)n > in->p.message_max)
			in->malformed++;
		else
			inside_udp_one(in, &from, (size_t)n);
	}
	loop_poll(in->p.loop, in->p.udp_fd, POLLIN, false, inside_udp_ready, in, &in->udp);
}

static int inside_udp_send(struct inside *in, const struct addr *to, struct span data)
{
	struct sockaddr_storage ss;
	socklen_t len = addr_to_sockaddr(to, &ss);

	if (in->p.udp_fd < 0)
		return -ENOTCONN;
	if (sendto(in->p.udp_fd, data.p, data.n, MSG_DONTWAIT, (struct sockaddr *)&ss, len) < 0)
		return -errno;
	return 0;
}

/* ---- streams -------------------------------------------------------------------------------------------------------- */

static void inside_stream_end(struct inside_stream *s)
{
	struct inside *in = s->in;
	struct inside_stream **at = &in->streams;

	while (*at && *at != s)
		at = &(*at)->next;
	if (*at)
		*at = s->next;
	in->n_streams--;
	if (s->outgoing && in->servers[s->server].out == s)
		in->servers[s->server].out = NULL;
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

static void inside_stream_readable(void *arg)
{
	struct inside_stream *s = arg;

	for (;;) {
		ssize_t n = conn_read(s->conn, s->buf + s->n, s->in->p.message_max - s->n);

		if (n == -EAGAIN)
			return;
		if (n <= 0)
			break;
		s->n += (size_t)n;
		if (!inside_stream_parse(s))
			break;
		if (s->n == s->in->p.message_max) {
			inside_malformed(s->in, s->server, SIP_WHY_TOO_LONG);
			break;
		}
	}
	inside_stream_end(s);
}

static void inside_server_next(struct inside_server *v)
{
	v->failures++;
	if (v->n_targets > 1)
		v->current = (v->current + 1) % v->n_targets;
}

static void inside_stream_down(void *arg, int err, const char *why)
{
	struct inside_stream *s = arg;
	struct inside *in = s->in;
	unsigned server = s->server;
	bool tell = s->outgoing && err;

	log_event(LOG_L_INFO, "inside-stream-down", "server=%s transport=%s reason=\"%s\"",
		  in->p.servers[server].name, transport_names[s->transport], why ? why : "");
	inside_stream_end(s);
	if (tell) {
		inside_server_next(&in->servers[server]);
		in->p.ops->failed(in->p.arg, server, why ? why : "connection lost");
	}
}

static void inside_stream_up(void *arg)
{
	struct inside_stream *s = arg;
	char peer[ADDR_TEXT_MAX];

	log_event(LOG_L_INFO, "inside-stream-up", "server=%s transport=%s peer=%s",
		  s->in->p.servers[s->server].name, transport_names[s->transport],
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
			  addr_text(&from, text), transport_names[t]);
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

static int inside_dial(struct inside *in, unsigned server, enum engine_transport t)
{
	struct inside_server *v = &in->servers[server];
	struct inside_stream *s;
	struct conn_params cp;
	int err;

	if (!v->n_targets)
		return -ENOENT;
	s = inside_stream_new(in, server, t);
	if (!s)
		return -ENOBUFS;
	s->outgoing = true;
	s->peer = v->targets[v->current];
	cp = inside_conn_params(s);
	err = conn_connect(&cp, &s->peer, &s->conn);
	if (err) {
		s->conn = NULL;
		inside_stream_end(s);
		inside_server_next(v);
		return err;
	}
	v->out = s;
	return 0;
}

static struct inside_stream *inside_stream_by_id(struct inside *in, uint64_t id)
{
	struct inside_stream *s;

	for (s = in->streams; s; s = s->next)
		if (s->id == id)
			return s;
	return NULL;
}

int inside_send(struct inside *in, unsigned server, enum engine_transport t, const struct addr *to,
		uint64_t conn, struct span data)
{
	struct inside_server *v = &in->servers[server];
	struct inside_stream *s = conn ? inside_stream_by_id(in, conn) : NULL;
	int err;

	v->sent++;
	if (s)
		return conn_write(s->conn, data);
	if (t == ENGINE_UDP) {
		if (to && to->port)
			return inside_udp_send(in, to, data);
		return v->n_targets ? inside_udp_send(in, &v->targets[v->current], data) : -ENOENT;
	}
	if (!v->out) {
		err = inside_dial(in, server, t);
		if (err)
			return err;
	}
	return conn_write(v->out->conn, data);
}

/* ---- where a call server is ------------------------------------------------------------------------------------------- */

static void inside_ask(void *arg);

static void inside_resolved(void *arg, int err, const struct addr *targets, unsigned n,
			    unsigned ttl_s)
{
	struct inside_server *v = arg;

	if (err == -ECANCELED)
		return;
	v->asking = false;
	if (err) {
		v->failures++;
		log_event(LOG_L_WARN, "inside-dns", "server=%s name=%s error=\"%s\"", v->cfg->name,
			  v->cfg->address, strerror(-err));
		ttl_s = INSIDE_DNS_RETRY_S; /* what was known stays in use meanwhile */
	} else {
		memcpy(v->targets, targets, n * sizeof(*targets));
		v->n_targets = n;
		v->current = 0;
	}
	loop_timer_set(v->in->p.loop, &v->refresh, (uint64_t)ttl_s * 1000);
}

static void inside_ask(void *arg)
{
	static const char *const service[] = {"_sip._udp", "_sip._tcp", "_sips._tcp"};
	struct inside_server *v = arg;
	int err;

	if (v->asking)
		return;
	v->asking = true;
	err = dns_service(v->in->p.dns, service[v->transport], v->cfg->address,
			  v->transport == ENGINE_TLS ? 5061 : 5060, inside_resolved, v);
	if (err) {
		v->asking = false;
		loop_timer_set(v->in->p.loop, &v->refresh, INSIDE_DNS_RETRY_S * 1000);
	}
}

static int inside_server_init(struct inside *in, unsigned i, char *why, size_t why_n)
{
	struct inside_server *v = &in->servers[i];
	const struct config_call_server *c = &in->p.servers[i];
	unsigned j;

	v->in = in;
	v->cfg = c;
	v->refresh = (struct loop_timer){.fn = inside_ask, .arg = v};
	v->transport = !strcmp(c->transport, "tls")   ? ENGINE_TLS
		       : !strcmp(c->transport, "tcp") ? ENGINE_TCP
						      : ENGINE_UDP;
	if (v->transport == ENGINE_TLS && !in->p.tls_client) {
		snprintf(why, why_n,
			 "call server %s: transport tls needs sip.tls (certificate, key, ca)",
			 c->name);
		return -EINVAL;
	}
	for (j = 0; j < c->sources_count; j++) {
		if (j == INSIDE_SOURCES || addr_parse(span_str(c->sources[j]), &v->sources[j])) {
			snprintf(why, why_n, "call server %s: source %s: wanted up to %u addresses",
				 c->name, c->sources[j], INSIDE_SOURCES);
			return -EINVAL;
		}
		v->n_sources++;
	}
	if (addr_parse(span_str(c->address), &v->targets[0]) == 0) {
		if (!v->targets[0].port)
			v->targets[0].port = v->transport == ENGINE_TLS ? 5061 : 5060;
		v->n_targets = 1;
		return 0;
	}
	v->by_name = true;
	inside_ask(v);
	return 0;
}

int inside_new(const struct inside_params *p, struct inside **out, char *why, size_t why_n)
{
	struct inside *in = calloc(1, sizeof(*in));
	unsigned i;
	int err = -ENOMEM;

	if (!in)
		return -ENOMEM;
	in->p = *p;
	in->servers = calloc(p->n_servers, sizeof(*in->servers));
	in->dgram = malloc(p->message_max);
	if (!in->servers || !in->dgram) {
		snprintf(why, why_n, "out of memory");
		goto out;
	}
	for (i = 0; i < p->n_servers; i++) {
		err = inside_server_init(in, i, why, why_n);
		if (err)
			goto out;
	}
	err = 0;
	if (p->udp_fd >= 0)
		err = loop_poll(p->loop, p->udp_fd, POLLIN, false, inside_udp_ready, in, &in->udp);
	if (!err && p->tcp_fd >= 0)
		err = loop_accept(p->loop, p->tcp_fd, inside_accept_tcp, in, &in->tcp);
	if (!err && p->tls_fd >= 0)
		err = loop_accept(p->loop, p->tls_fd, inside_accept_tls, in, &in->tls);
	if (!err) {
		*out = in;
		return 0;
	}
	snprintf(why, why_n, "inside listeners: %s", strerror(-err));
out:
	inside_free(in);
	return err;
}

void inside_free(struct inside *in)
{
	unsigned i;

	if (!in)
		return;
	loop_cancel(in->p.loop, &in->udp);
	loop_cancel(in->p.loop, &in->tcp);
	loop_cancel(in->p.loop, &in->tls);
	while (in->streams)
		inside_stream_end(in->streams);
	for (i = 0; in->servers && i < in->p.n_servers; i++)
		loop_timer_cancel(in->p.loop, &in->servers[i].refresh);
	free(in->servers);
	free(in->dgram);
	free(in);
}

json_t *inside_show(const struct inside *in)
{
	json_t *list = json_array();
	char text[ADDR_TEXT_MAX];
	unsigned i;

	for (i = 0; i < in->p.n_servers; i++) {
		const struct inside_server *v = &in->servers[i];

		json_array_append_new(
			list,
			json_pack("{s:s, s:s, s:s, s:s, s:I, s:I, s:I}", "call_server",
				  v->cfg->name, "transport", transport_names[v->transport],
				  "address",
				  v->n_targets ? addr_text(&v->targets[v->current], text)
					       : "unresolved",
				  "stream",
				  v->transport == ENGINE_UDP ? "none"
				  : v->out		     ? "open"
							     : "closed",
				  "sent", (json_int_t)v->sent, "received", (json_int_t)v->received,
				  "failures", (json_int_t)v->failures));
	}
	return list;
}
