/* user/core_xmpp.c -- chat on the core: a stream's life, and its bytes once the client is admitted. See core_xmpp.h. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

#include "user/core_xmpp_impl.h"
#include "user/log.h"

#define MEMO_SETS 2048

/* ---- life ---- */

void xmpp_stream_enter(struct xmpp_stream *s)
{
	s->depth++;
}

void xmpp_stream_leave(struct xmpp_stream *s)
{
	if (--s->depth || !s->gone)
		return;
	free(s->name);
	free(s);
}

void xmpp_stream_drop_node(struct xmpp_stream *s)
{
	if (s->node)
		s->node->streams--;
	s->node = NULL;
	conn_abort(s->in);
	s->in = NULL;
}

static void unlink_stream(struct xmpp_stream *s)
{
	struct core_xmpp *x = s->x;

	if (s->prev)
		s->prev->next = s->next;
	else
		x->streams = s->next;
	if (s->next)
		s->next->prev = s->prev;
	x->n--;
	if (!s->w)
		x->n_admitted--;
}

void xmpp_stream_end(struct xmpp_stream *s, enum xmpp_end how, bool orderly, const char *why)
{
	struct core_xmpp *x = s->x;
	char peer[ADDR_TEXT_MAX], reason[192];

	if (s->gone)
		return;
	s->gone = true;
	x->ends[how]++;
	log_event(LOG_L_INFO, "xmpp-closed",
		  "stream=%llx edge=%s client=%s who=%s how=\"%s\" reason=%s",
		  (unsigned long long)s->id, s->edge, addr_text(&s->client, peer),
		  s->name ? s->name : "unknown", xmpp_end_text(how),
		  log_esc(span_str(why), reason, sizeof(reason)));
	unlink_stream(s);
	xmpp_waiting_free(s);
	if (s->away_key) /* his session waits there */
		memo_put(&x->users, s->away_key, xmpp_node_index(s->cluster, s->node),
			 loop_now_ms(x->p.loop));
	if (s->node)
		s->node->streams--;
	(orderly ? conn_close : conn_abort)(s->in);
	s->in = NULL;
	link_core_end(s->data, orderly);
	s->data = NULL;
	s->link = NULL;
}

static void refuse(struct link_data *d, const char *edge, const char *why)
{
	log_event(LOG_L_WARN, "xmpp-refused", "edge=%s reason=\"%s\"", edge, why);
	link_core_end(d, false);
}

static struct xmpp_stream *stream_new(struct core_xmpp *x, const char *edge,
				      const Sallyport__Open *o)
{
	size_t n_edge = strlen(edge) + 1;
	struct xmpp_stream *s;
	char tls[64];

	snprintf(tls, sizeof(tls), "%s %s", o->tls_version ? o->tls_version : "",
		 o->tls_cipher ? o->tls_cipher : "");
	s = calloc(1, sizeof(*s) + n_edge + strlen(tls) + 1);
	if (!s)
		return NULL;
	s->x = x;
	memcpy(s->text, edge, n_edge);
	strcpy(s->text + n_edge, tls);
	s->edge = s->text;
	s->tls = s->text + n_edge;
	s->edge_stream = o->stream;
	memcpy(s->client.ip, o->client_ip.data, 16);
	s->client.port = (uint16_t)o->client_port;
	s->since_ms = loop_now_ms(x->p.loop);
	return s;
}

void core_xmpp_open(struct core_xmpp *x, const char *edge, struct link_data *d,
		    const Sallyport__Open *o)
{
	struct xmpp_stream *s;

	if (o->client_ip.len != 16 || o->client_port > 65535) {
		refuse(d, edge, "no address of the client");
		return;
	}
	if (x->n >= x->p.cfg->limits.streams) {
		x->refused_full++;
		refuse(d, edge, "xmpp.limits.streams");
		return;
	}
	s = stream_new(x, edge, o);
	if (!s || xmpp_waiting_new(s)) {
		free(s);
		refuse(d, edge, "out of memory");
		return;
	}
	x->opened++;
	s->id = x->p.ops->id(x->p.arg);
	s->data = d;
	s->link = link_data_conn(d);
	s->next = x->streams;
	if (s->next)
		s->next->prev = s;
	x->streams = s;
	x->n++;
	link_data_set_ops(d, &xmpp_link_ops, s);
}

/* ---- bytes ---- */

/* From the client to its server: as conn_move(), but the stream's end is the edge's word, not the connection's. */
static void link_to_node(struct xmpp_stream *s)
{
	struct conn_mover *m = &s->x->mover;
	size_t room;
	ssize_t n;

	for (;;) {
		room = conn_room(s->in);
		if (room < CONN_MOVE_ROOM_MIN) {
			s->link_paused = true;
			conn_pause(s->link, true);
			return;
		}
		n = link_data_read(s->data, m->buf, room < sizeof(m->buf) ? room : sizeof(m->buf));
		if (n == -EAGAIN)
			return;
		if (n <= 0)
			break;
		s->bytes_in += (uint64_t)n;
		if (conn_write(s->in, span_of(m->buf, (size_t)n)))
			return; /* over: its own down() follows */
	}
	xmpp_stream_end(s, n ? XMPP_END_CUT : XMPP_END_ADMITTED, n == 0,
			n ? link_data_why(s->data, (int)n) : "closed by the client");
}

static void node_to_link(struct xmpp_stream *s)
{
	struct conn_way w = {.src = s->in,
			     .dst = s->link,
			     .paused = &s->in_paused,
			     .count = &s->bytes_out,
			     .pipe = &s->x->no_pipe,
			     .bulk = &s->bulk};
	ssize_t n = conn_move(&s->x->mover, &w);

	if (n == 0)
		xmpp_stream_end(s, XMPP_END_ADMITTED, true, "closed by the server");
	else if (n < 0)
		xmpp_stream_end(s, XMPP_END_CUT, false, strerror((int)-n));
}

void xmpp_stream_bytes(struct xmpp_stream *s)
{
	s->x->n_admitted++;
	xmpp_waiting_free(s);
	conn_pause(s->link, false);
	if (s->x->p.ktls != KTLS_MODE_OFF)
		conn_climb(s->in, s->x->p.ktls == KTLS_MODE_TX);
}

/* ---- the client's side ---- */

static void link_readable(void *arg)
{
	struct xmpp_stream *s = arg;

	xmpp_stream_enter(s);
	if (s->w)
		xmpp_login_link_readable(s);
	if (!s->w && !s->gone) /* also what came behind the success */
		link_to_node(s);
	xmpp_stream_leave(s);
}

static void link_drained(void *arg)
{
	struct xmpp_stream *s = arg;

	if (!s->in_paused || !s->in)
		return;
	s->in_paused = false;
	conn_pause(s->in, false);
}

static void link_down(void *arg, int err, const char *why)
{
	struct xmpp_stream *s = arg;

	xmpp_stream_enter(s);
	xmpp_stream_end(s,
			s->w  ? XMPP_END_CLIENT
			: err ? XMPP_END_CUT
			      : XMPP_END_ADMITTED,
			err == 0, err ? (why ? why : strerror(-err)) : "closed by the client");
	xmpp_stream_leave(s);
}

static void nothing(void *arg)
{
	(void)arg;
}

const struct conn_ops xmpp_link_ops = {
	.up = nothing, .readable = link_readable, .drained = link_drained, .down = link_down};

/* ---- the node's side ---- */

static void node_up(void *arg)
{
	struct xmpp_stream *s = arg;

	xmpp_stream_enter(s);
	if (s->w)
		xmpp_login_node_up(s);
	xmpp_stream_leave(s);
}

static void node_readable(void *arg)
{
	struct xmpp_stream *s = arg;

	xmpp_stream_enter(s);
	if (s->w)
		xmpp_login_node_readable(s);
	if (!s->w && !s->gone)
		node_to_link(s);
	xmpp_stream_leave(s);
}

static void node_drained(void *arg)
{
	struct xmpp_stream *s = arg;

	if (!s->link_paused || !s->link)
		return;
	s->link_paused = false;
	conn_pause(s->link, false);
}

static void node_down(void *arg, int err, const char *why)
{
	struct xmpp_stream *s = arg;
	char text[192];

	(void)snprintf(text, sizeof(text), "%s",
		       why && *why ? why
		       : err	   ? strerror(-err)
				   : "closed by the server");
	xmpp_stream_enter(s);
	if (s->w)
		xmpp_login_node_down(s, text);
	else
		xmpp_stream_end(s, err ? XMPP_END_CUT : XMPP_END_ADMITTED, err == 0, text);
	xmpp_stream_leave(s);
}

const struct conn_ops xmpp_node_ops = {
	.up = node_up, .readable = node_readable, .drained = node_drained, .down = node_down};

/* ---- the whole ---- */

static void found(void *arg)
{
	xmpp_login_found(arg);
}

int core_xmpp_new(const struct core_xmpp_params *p, struct core_xmpp **out)
{
	struct core_xmpp *x = calloc(1, sizeof(*x));
	struct xmpp_nodes_params np = {
		.loop = p->loop, .dns = p->dns, .cfg = p->cfg, .found = found, .arg = x};
	int err = x ? 0 : -ENOMEM;

	if (err)
		return err;
	x->p = *p;
	x->mover.by = CONN_MOVE_COPY;
	x->no_pipe = (struct conn_pipe){.in = -1, .out = -1};
	if (getrandom(x->secret, sizeof(x->secret), 0) != sizeof(x->secret))
		err = -EIO;
	if (!err)
		err = memo_init(&x->users, MEMO_SETS, XMPP_REMEMBER_S * 1000ull);
	if (!err)
		err = memo_init(&x->tries_user, MEMO_SETS, XMPP_TRIES_S * 1000ull);
	if (!err)
		err = memo_init(&x->tries_address, MEMO_SETS, XMPP_TRIES_S * 1000ull);
	if (!err)
		err = xmpp_nodes_new(&np, &x->nodes);
	if (err)
		core_xmpp_free(x);
	else
		*out = x;
	return err;
}

void core_xmpp_free(struct core_xmpp *x)
{
	struct xmpp_stream *s;

	if (!x)
		return;
	while ((s = x->streams)) {
		xmpp_stream_enter(s);
		xmpp_stream_end(s, XMPP_END_CUT, false, "the worker ends");
		xmpp_stream_leave(s);
	}
	xmpp_nodes_free(x->nodes);
	memo_fini(&x->users);
	memo_fini(&x->tries_user);
	memo_fini(&x->tries_address);
	explicit_bzero(x->secret, sizeof(x->secret));
	free(x);
}
