/* user/core_federation.c -- chat between servers: a stream's life, its two doors, its bytes. See core_federation.h. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "user/core_federation_impl.h"
#include "user/log.h"

#define PEEK_MS	   30000
#define DIAL_MS	   40000 /* an edge answers within 30 s */
#define CONNECT_MS 4000
#define TRIES	   4
#define QUEUE	   (256u << 10)

static const struct conn_ops link_ops, in_ops;

/* ---- life ---- */

static void enter(struct fed_stream *s)
{
	s->depth++;
}

static void leave(struct fed_stream *s)
{
	if (!--s->depth && s->gone)
		free(s);
}

static void peek_free(struct fed_stream *s)
{
	if (!s->peek)
		return;
	xmpp_reader_fini(&s->peek->reader);
	free(s->peek);
	s->peek = NULL;
}

static void end(struct fed_stream *s, bool orderly, const char *why)
{
	struct core_federation *f = s->f;
	char peer[ADDR_TEXT_MAX], reason[192];

	if (s->gone)
		return;
	s->gone = true;
	log_event(LOG_L_INFO, "federation-closed",
		  "stream=%llx direction=%s peer=%s ours=%s theirs=%s in=%llu out=%llu reason=%s",
		  (unsigned long long)s->id, s->out ? "out" : "in", addr_text(&s->peer, peer),
		  s->ours.n ? s->ours.text : "unknown", s->theirs.n ? s->theirs.text : "unknown",
		  (unsigned long long)s->pair.from_link, (unsigned long long)s->pair.to_link,
		  log_esc(span_str(why), reason, sizeof(reason)));
	if (s->prev)
		s->prev->next = s->next;
	else
		f->streams = s->next;
	if (s->next)
		s->next->prev = s->prev;
	f->n--;
	loop_timer_cancel(f->p.loop, &s->timer);
	peek_free(s);
	(orderly ? conn_close : conn_abort)(s->pair.in);
	if (s->pair.data)
		link_core_end(s->pair.data, orderly);
	s->pair = (struct core_pair){};
}

/* Refuse it in its own words, and count. */
static void refuse(struct fed_stream *s, uint64_t *count, const char *condition, const char *why)
{
	++*count;
	fed_refuse(s, s->out ? s->pair.in : s->pair.link, condition, why);
	end(s, true, why);
}

static void late(void *arg)
{
	struct fed_stream *s = arg;

	enter(s);
	if (s->state == FED_DIAL)
		refuse(s, &s->f->dial_failures, "remote-server-timeout",
		       "no edge has answered in time");
	else
		refuse(s, &s->f->bad, "connection-timeout", "it has said too little in time");
	leave(s);
}

static struct fed_stream *stream_new(struct core_federation *f, bool out)
{
	struct xmpp_setup setup = {
		.role = XMPP_INITIATING, .server = true, .limits = xmpp_limits_stranger};
	struct fed_stream *s;

	if (f->n >= f->p.cfg->limits.federation) {
		f->full++;
		return NULL;
	}
	s = calloc(1, sizeof(*s));
	if (s)
		s->peek = calloc(1, sizeof(*s->peek));
	if (!s || !s->peek) {
		free(s);
		return NULL;
	}
	s->f = f;
	s->out = out;
	s->timer = (struct loop_timer){.fn = late, .arg = s};
	if (loop_timer_set(f->p.loop, &s->timer, PEEK_MS)) {
		free(s->peek);
		free(s);
		return NULL;
	}
	xmpp_reader_init(&s->peek->reader, &setup);
	s->id = f->p.ops->id(f->p.arg);
	s->since_ms = loop_now_ms(f->p.loop);
	s->next = f->streams;
	if (s->next)
		s->next->prev = s;
	f->streams = s;
	f->n++;
	return s;
}

/* Both connections are there, and may be: what was looked at goes first. */
static void bytes_begin(struct fed_stream *s)
{
	struct conn *to = s->out ? s->pair.link : s->pair.in;
	char peer[ADDR_TEXT_MAX];

	log_event(LOG_L_INFO, "federation-open",
		  "stream=%llx direction=%s edge=%s peer=%s ours=%s theirs=%s",
		  (unsigned long long)s->id, s->out ? "out" : "in", s->edge,
		  addr_text(&s->peer, peer), s->ours.n ? s->ours.text : "unknown",
		  s->theirs.n ? s->theirs.text : "unknown");
	loop_timer_cancel(s->f->p.loop, &s->timer);
	if (s->peek->n)
		conn_write(to, span_of(s->peek->buf, s->peek->n));
	peek_free(s);
	s->state = FED_BYTES;
	conn_pause(s->pair.link, false);
	conn_pause(s->pair.in, false);
}

/* ---- from outside: a server of ours ---- */

static void connect_next(struct fed_stream *s)
{
	struct core_federation *f = s->f;
	struct conn_params cp = {.loop = f->p.loop,
				 .queue_max = QUEUE,
				 .handshake_ms = CONNECT_MS,
				 .link = true,
				 .ops = &in_ops,
				 .arg = s};
	struct xmpp_node *n;
	struct addr to;

	s->state = FED_CONNECT;
	while (s->tries++ < TRIES &&
	       !xmpp_nodes_pick(s->cluster, s->ours.text, NULL, &s->tried, &n)) {
		to = n->addrs[n->next_addr];
		to.port = xmpp_cluster_config(s->cluster)->server_port;
		s->pair.in = NULL;
		if (!conn_connect(&cp, &to, &s->pair.in))
			return;
	}
	s->pair.in = NULL;
	refuse(s, &f->no_server, "remote-connection-failed",
	       "no server of this domain could be reached");
}

static void peeked_in(struct fed_stream *s)
{
	const char *why = "";
	int ret = fed_peek_in(s, &why);

	if (ret == -EAGAIN) {
		if (s->peek->n == FED_PEEK_MAX)
			refuse(s, &s->f->bad, "policy-violation", "a header that does not end");
		return;
	}
	if (ret < 0) {
		refuse(s, &s->f->bad, "bad-format", why);
		return;
	}
	s->cluster = xmpp_nodes_cluster(s->f->p.nodes, xmpp_domain_span(&s->ours));
	if (!s->cluster || !fed_may(s, &why)) {
		refuse(s, &s->f->denied, "policy-violation",
		       s->cluster ? why : "not a domain of ours");
		return;
	}
	conn_pause(s->pair.link, true);
	connect_next(s);
}

static void link_attach(struct fed_stream *s, const char *edge, struct link_data *d,
			const Sallyport__Open *o)
{
	snprintf(s->edge, sizeof(s->edge), "%s", edge);
	s->edge_stream = o->stream;
	s->pair.data = d;
	s->pair.link = link_data_conn(d);
	link_data_set_ops(d, &link_ops, s);
}

void core_federation_open(struct core_federation *f, const char *edge, struct link_data *d,
			  const Sallyport__Open *o)
{
	struct addr peer = {.port = (uint16_t)o->client_port};
	struct fed_stream *s = NULL;
	enum xmpp_jid_why why;

	if (o->client_ip.len == sizeof(peer.ip)) {
		memcpy(peer.ip, o->client_ip.data, sizeof(peer.ip));
		if (!fed_in_full(f, &peer))
			s = stream_new(f, false);
		else
			f->full++;
	}
	if (!s) {
		link_core_end(d, false);
		return;
	}
	f->in++;
	s->peer = peer;
	enter(s);
	link_attach(s, edge, d, o);
	if (xmpp_domain_parse(span_str(o->domain), &s->ours, &why))
		refuse(s, &f->bad, "host-unknown", "the edge named no domain");
	leave(s);
}

/* ---- from inside: the world ---- */

static void dial_next(struct fed_stream *s)
{
	struct core_federation *f = s->f;
	const char *edge;

	s->dial = ++f->next_dial;
	edge = f->p.ops->dial(f->p.arg, &s->edges_tried, s->dial, s->theirs.text);
	if (!edge) {
		refuse(s, &f->dial_failures, "remote-connection-failed", "no edge dials");
		return;
	}
	f->dials++;
	snprintf(s->edge, sizeof(s->edge), "%s", edge);
	s->state = FED_DIAL;
	loop_timer_set(f->p.loop, &s->timer, DIAL_MS);
}

static void peeked_out(struct fed_stream *s)
{
	const char *why = "";
	int ret = fed_peek_out(s, &why);

	if (ret == -EAGAIN) {
		if (s->peek->n == FED_PEEK_MAX)
			refuse(s, &s->f->bad, "policy-violation", "a header that does not end");
		return;
	}
	if (ret < 0) {
		refuse(s, &s->f->bad, "bad-format", why);
		return;
	}
	if (!fed_may(s, &why)) {
		refuse(s, &s->f->denied, "policy-violation", why);
		return;
	}
	conn_pause(s->pair.in, true);
	dial_next(s);
}

/* Its name in SOCKS5 told where to, its first bytes tell from whom. */
static void shown(struct fed_stream *s)
{
	const char *why = "";
	int ret = fed_peek_shown(s, &why);

	if (ret == -EAGAIN) {
		if (s->peek->n == FED_PEEK_MAX)
			refuse(s, &s->f->bad, "policy-violation", "a header that does not end");
		return;
	}
	if (ret < 0)
		refuse(s, &s->f->bad, "bad-format", why);
	else if (!fed_may(s, &why))
		refuse(s, &s->f->denied, "policy-violation", why);
	else
		bytes_begin(s);
}

static void show_begin(struct fed_stream *s)
{
	s->state = FED_SHOW;
	conn_pause(s->pair.link, true);
	fed_socks_done(s);
	loop_timer_set(s->f->p.loop, &s->timer, PEEK_MS);
	conn_pause(s->pair.in, false);
	shown(s);
}

static struct fed_stream *dial_find(struct core_federation *f, const char *edge, uint64_t dial)
{
	struct fed_stream *s = f->streams;

	while (s && (s->state != FED_DIAL || s->dial != dial || strcmp(s->edge, edge)))
		s = s->next;
	return s;
}

void core_federation_dialled(struct core_federation *f, const char *edge, struct link_data *d,
			     const Sallyport__Open *o)
{
	struct fed_stream *s = dial_find(f, edge, o->dial);

	if (!s) { /* too late, or another edge was asked */
		link_core_end(d, false);
		return;
	}
	enter(s);
	link_attach(s, edge, d, o);
	if (s->peek->kind == FED_SOCKS)
		show_begin(s);
	else
		bytes_begin(s);
	leave(s);
}

void core_federation_result(struct core_federation *f, const char *edge,
			    const Sallyport__DialResult *r)
{
	struct fed_stream *s = dial_find(f, edge, r->dial);
	char reason[64];

	if (!s || !*r->error)
		return; /* Open follows, or was here */
	snprintf(f->last_failure, sizeof(f->last_failure), "%s: %.40s", s->theirs.text, r->error);
	log_event(LOG_L_WARN, "federation-dial", "stream=%llx domain=%s error=%s",
		  (unsigned long long)s->id, s->theirs.text,
		  log_esc(span_str(r->error), reason, sizeof(reason)));
	enter(s);
	if (!strcmp(r->error, "off") || !strcmp(r->error, "busy"))
		dial_next(s); /* another edge may */
	else
		refuse(s, &f->dial_failures,
		       strcmp(r->error, "timeout") ? "remote-connection-failed"
						   : "remote-server-timeout",
		       "the other server could not be reached");
	leave(s);
}

static bool is_source(const struct core_federation *f, const struct addr *a)
{
	const struct config_xmpp *cfg = f->p.cfg;
	struct addr b;
	unsigned i;

	for (i = 0; i < cfg->federation.sources_count; i++)
		if (addr_parse(span_str(cfg->federation.sources[i]), &b) == 0 && addr_ip_eq(a, &b))
			return true;
	return false;
}

static void accepted(void *arg, int fd)
{
	struct core_federation *f = arg;
	struct conn_params cp = {
		.loop = f->p.loop, .queue_max = QUEUE, .link = true, .ops = &in_ops};
	struct sockaddr_storage ss;
	socklen_t n = sizeof(ss);
	struct fed_stream *s;
	struct addr from;
	char text[ADDR_TEXT_MAX];

	if (fd < 0)
		return;
	if (getpeername(fd, (struct sockaddr *)&ss, &n) ||
	    addr_from_sockaddr((struct sockaddr *)&ss, &from)) {
		close(fd);
		return;
	}
	if (!is_source(f, &from)) {
		f->foreign++;
		log_event(LOG_L_WARN, "federation-foreign", "from=%s", addr_text(&from, text));
		close(fd);
		return;
	}
	s = stream_new(f, true);
	if (!s) {
		close(fd);
		return;
	}
	f->out++;
	s->peer = from;
	cp.peer = &from;
	cp.arg = s;
	enter(s);
	if (conn_accept(&cp, fd, &s->pair.in)) {
		s->pair.in = NULL;
		end(s, false, "accept");
	}
	leave(s);
}

/* ---- events of the two connections ---- */

/* What is there goes to the peek buffer. True: look at it. */
static bool peek_read(struct fed_stream *s)
{
	struct fed_peek *p = s->peek;
	ssize_t n;

	n = s->out ? conn_read(s->pair.in, p->buf + p->n, FED_PEEK_MAX - p->n)
		   : link_data_read(s->pair.data, p->buf + p->n, FED_PEEK_MAX - p->n);
	if (n == -EAGAIN)
		return false;
	if (n <= 0) {
		s->f->bad++;
		end(s, n == 0, "it left before it was known where to");
		return false;
	}
	p->n += (size_t)n;
	return true;
}

static void moved(struct fed_stream *s, ssize_t n, const char *who)
{
	if (n == 0)
		end(s, true, who);
	else if (n < 0)
		end(s, false, strerror((int)-n));
}

static void link_readable(void *arg)
{
	struct fed_stream *s = arg;

	enter(s);
	while (!s->gone && s->state == FED_PEEK && peek_read(s))
		peeked_in(s);
	if (!s->gone && s->state == FED_BYTES)
		moved(s, core_pair_from_link(&s->pair, &s->f->mover), "closed by the other server");
	leave(s);
}

static void in_readable(void *arg)
{
	struct fed_stream *s = arg;

	enter(s);
	while (!s->gone && s->out && s->state == FED_PEEK && peek_read(s))
		peeked_out(s);
	while (!s->gone && s->state == FED_SHOW && peek_read(s))
		shown(s);
	if (!s->gone && s->state == FED_BYTES)
		moved(s, core_pair_to_link(&s->pair, &s->f->mover), "closed by our server");
	leave(s);
}

static void in_up(void *arg)
{
	struct fed_stream *s = arg;

	if (s->out)
		return;
	enter(s);
	s->f->p.ops->admit(s->f->p.arg, s->edge, s->edge_stream);
	bytes_begin(s);
	leave(s);
}

static void drained(void *arg)
{
	struct fed_stream *s = arg;

	if (s->state == FED_BYTES && !s->gone)
		core_pair_drained(&s->pair);
}

#define DOWN_TEXT 160

static void down_text(int err, const char *why, char text[DOWN_TEXT])
{
	if (!why || !*why)
		why = err ? strerror(-err) : "closed";
	(void)snprintf(text, DOWN_TEXT, "%s", why);
}

static void link_down(void *arg, int err, const char *why)
{
	struct fed_stream *s = arg;
	char text[DOWN_TEXT];

	down_text(err, why, text);
	enter(s);
	end(s, err == 0, text);
	leave(s);
}

static void in_down(void *arg, int err, const char *why)
{
	struct fed_stream *s = arg;
	char text[DOWN_TEXT];

	down_text(err, why, text);
	enter(s);
	if (s->state == FED_CONNECT) {
		snprintf(s->f->last_failure, sizeof(s->f->last_failure), "%s: %.80s", s->ours.text,
			 text);
		conn_abort(s->pair.in);
		connect_next(s);
	} else {
		end(s, err == 0, text);
	}
	leave(s);
}

static void nothing(void *arg)
{
	(void)arg;
}

static const struct conn_ops link_ops = {
	.up = nothing, .readable = link_readable, .drained = drained, .down = link_down};
static const struct conn_ops in_ops = {
	.up = in_up, .readable = in_readable, .drained = drained, .down = in_down};

/* ---- the whole ---- */

static int domains_parse(const char *const *names, unsigned n, struct xmpp_domain **out)
{
	enum xmpp_jid_why why;
	unsigned i;

	*out = calloc(n + 1, sizeof(**out));
	if (!*out)
		return -ENOMEM;
	for (i = 0; i < n; i++)
		if (xmpp_domain_parse(span_str(names[i]), &(*out)[i], &why))
			return -EINVAL;
	return 0;
}

int core_federation_new(const struct core_federation_params *p, struct core_federation **out)
{
	const struct config_xmpp *cfg = p->cfg;
	struct core_federation *f = calloc(1, sizeof(*f));
	int err;

	if (!f)
		return -ENOMEM;
	f->p = *p;
	f->mover.by = CONN_MOVE_COPY;
	f->next_dial = p->ops->id(p->arg) << 24; /* not those of the worker before */
	err = domains_parse((const char *const *)cfg->federation.allow, cfg->federation.allow_count,
			    &f->allow);
	if (!err)
		err = domains_parse((const char *const *)cfg->federation.deny,
				    cfg->federation.deny_count, &f->deny);
	if (!err && p->fd >= 0)
		err = loop_accept(p->loop, p->fd, accepted, f, &f->accept);
	if (err)
		core_federation_free(f);
	else
		*out = f;
	return err;
}

void core_federation_free(struct core_federation *f)
{
	struct fed_stream *s;

	if (!f)
		return;
	while ((s = f->streams)) {
		enter(s);
		end(s, false, "the worker ends");
		leave(s);
	}
	loop_cancel(f->p.loop, &f->accept);
	free(f->allow);
	free(f->deny);
	free(f);
}
