/* user/core_xmpp.c -- chat on the core: a stream's life, and its bytes once the client is admitted. See core_xmpp.h. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

#include "user/core_xmpp_impl.h"
#include "user/log.h"
#include "user/trace.h"

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
	conn_abort(s->pair.in);
	s->pair.in = NULL;
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
	trace_put(TRACE_STREAM_CLOSED, &(struct trace_ids){.stream = s->edge_stream}, 0, "%s: %s",
		  xmpp_end_text(how), why);
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
	(orderly ? conn_close : conn_abort)(s->pair.in);
	s->pair.in = NULL;
	link_core_end(s->pair.data, orderly);
	s->pair.data = NULL;
	s->pair.link = NULL;
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
	char peer[ADDR_TEXT_MAX];
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
	trace_put(TRACE_STREAM_OPEN, &(struct trace_ids){.stream = s->edge_stream}, 0,
		  "client %s xmpp edge %s", addr_text(&s->client, peer), edge);
	s->id = x->p.ops->id(x->p.arg);
	s->pair.data = d;
	s->pair.link = link_data_conn(d);
	s->next = x->streams;
	if (s->next)
		s->next->prev = s;
	x->streams = s;
	x->n++;
	link_data_set_ops(d, &xmpp_link_ops, s);
}

/* ---- bytes ---- */

static void link_to_node(struct xmpp_stream *s)
{
	ssize_t n = core_pair_from_link(&s->pair, &s->x->mover);

	if (n <= 0)
		xmpp_stream_end(s, n ? XMPP_END_CUT : XMPP_END_ADMITTED, n == 0,
				n ? link_data_why(s->pair.data, (int)n) : "closed by the client");
}

static void node_to_link(struct xmpp_stream *s)
{
	ssize_t n = core_pair_to_link(&s->pair, &s->x->mover);

	if (n <= 0)
		xmpp_stream_end(s, n ? XMPP_END_CUT : XMPP_END_ADMITTED, n == 0,
				n ? strerror((int)-n) : "closed by the server");
}

void xmpp_stream_bytes(struct xmpp_stream *s)
{
	s->x->n_admitted++;
	xmpp_waiting_free(s);
	conn_pause(s->pair.link, false);
	if (s->x->p.ktls != KTLS_MODE_OFF)
		conn_climb(s->pair.in, s->x->p.ktls == KTLS_MODE_TX);
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

static void drained(void *arg)
{
	struct xmpp_stream *s = arg;

	if (!s->w && !s->gone)
		core_pair_drained(&s->pair);
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
	.up = nothing, .readable = link_readable, .drained = drained, .down = link_down};

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
	.up = node_up, .readable = node_readable, .drained = drained, .down = node_down};

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

struct xmpp_nodes *core_xmpp_nodes(struct core_xmpp *x)
{
	return x->nodes;
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
