/* user/link_accept.c -- the edge's end of the link before a valid Hello: who is it, and may it come in?
 *
 * In: accepted connections. Out: a peer that is up, an idle data connection, or a Close that says why not.
 * Owner: link_edge; a connection is pending from accept to a valid Hello: at most LINK_PENDING_MAX, each a few seconds. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "user/link_impl.h"

struct link_pending {
	struct link_pending *prev, *next;
	struct link_edge *edge;
	struct conn *conn;
	struct link_rx rx;
	struct loop_timer timer;
	bool known;		/* its certificate is one of our cores' */
	Sallyport__Link *hello; /* merged from all that came */
};

/* Forget the record; the connection is the caller's. */
static struct conn *pending_free(struct link_pending *d)
{
	struct link_edge *l = d->edge;
	struct conn *c = d->conn;

	if (d->prev)
		d->prev->next = d->next;
	else
		l->pending = d->next;
	if (d->next)
		d->next->prev = d->prev;
	l->n_pending--;
	loop_timer_cancel(l->p.loop, &d->timer);
	link_rx_fini(&d->rx);
	if (d->hello)
		sallyport__link__free_unpacked(d->hello, NULL);
	free(d);
	return c;
}

static void pending_refuse(struct link_pending *d, const char *reason)
{
	d->edge->stats.refused++;
	link_refuse(pending_free(d), reason);
}

/* All configured names, for the text of a refusal. */
static const char *names_wanted(const struct link_edge *l, char *buf, size_t n)
{
	size_t len = 0;
	unsigned i;

	buf[0] = 0;
	for (i = 0; i < l->p.n_cores && len < n; i++)
		len += (size_t)snprintf(buf + len, n - len, "%s%s", i ? ", " : "",
					l->p.cores[i].name);
	return buf;
}

static void pending_refuse_name(struct link_pending *d, const char *wanted)
{
	char names[LINK_REASON_MAX / 2], reason[LINK_NAMES_TEXT];

	tls_peer_names(conn_tls(d->conn), names, sizeof(names));
	link_log_refused(&d->edge->stats, loop_now_ms(d->edge->p.loop), "link-refused",
			 conn_peer(d->conn), "name", wanted, names);
	snprintf(reason, sizeof(reason), "name: wanted %.200s, certificate has %s", wanted,
		 *names ? names : "none");
	pending_refuse(d, reason);
}

static void pending_up(void *arg)
{
	struct link_pending *d = arg;
	struct link_edge *l = d->edge;
	char wanted[LINK_REASON_MAX];
	unsigned i;

	for (i = 0; i < l->p.n_cores; i++)
		if (tls_peer_has_name(conn_tls(d->conn), l->p.cores[i].name))
			break;
	d->known = i < l->p.n_cores;
	if (!d->known)
		pending_refuse_name(d, names_wanted(l, wanted, sizeof(wanted)));
}

static void pending_reject(struct link_pending *d, const char *reason)
{
	link_log_refused(&d->edge->stats, loop_now_ms(d->edge->p.loop), "link-refused",
			 conn_peer(d->conn), reason, "a valid Hello", NULL);
	pending_refuse(d, reason);
}

/* The core that says Hello must be one of ours, and its certificate must say the same. */
static const struct link_edge_core *hello_core(struct link_pending *d, const Sallyport__Hello *h)
{
	struct link_edge *l = d->edge;
	char wanted[LINK_REASON_MAX];
	unsigned i;

	for (i = 0; i < l->p.n_cores; i++)
		if (strcmp(l->p.cores[i].name, h->core) == 0)
			break;
	if (i < l->p.n_cores && tls_peer_has_name(conn_tls(d->conn), h->core))
		return &l->p.cores[i];
	if (i < l->p.n_cores)
		pending_refuse_name(d, h->core);
	else
		pending_refuse_name(d, names_wanted(l, wanted, sizeof(wanted)));
	return NULL;
}

static void hello_data(struct link_pending *d, const Sallyport__Hello *h)
{
	struct link_peer *p = link_edge_peer(d->edge, h->core);

	if (!p || p->session != h->session)
		pending_refuse(d, "session: no such control connection");
	else if (p->n_idle >= LINK_POOL_MAX)
		pending_refuse(d, "pool: full");
	else if (link_edge_data_add(p, d->conn))
		pending_refuse(d, "out of memory");
	else
		pending_free(d);
}

/* The last Hello of a session is here. */
static void hello_done(struct link_pending *d)
{
	const struct link_edge_core *cfg;
	Sallyport__Link *m = d->hello;
	struct link_edge *l = d->edge;
	struct conn *c;

	cfg = hello_core(d, m->hello);
	if (!cfg)
		return;
	if (m->hello->data) {
		hello_data(d, m->hello);
		return;
	}
	d->hello = NULL;
	c = pending_free(d);
	if (link_edge_peer_up(l, c, cfg, m))
		link_refuse(c, "out of memory");
	sallyport__link__free_unpacked(m, NULL);
}

/* Add the flows of @m to what came before. 0 or -EBADMSG, -ENOMEM. Takes @m. */
static int hello_merge(struct link_pending *d, Sallyport__Link *m)
{
	Sallyport__Hello *h = m->hello, *first;
	uint64_t *flows;
	int ret = -EBADMSG;

	if (!d->hello) {
		d->hello = m;
		return h->session && !(h->data && h->more) ? 0 : -EBADMSG;
	}
	first = d->hello->hello;
	if (h->session != first->session || h->data || strcmp(h->core, first->core) != 0 ||
	    first->n_live_flow + h->n_live_flow > LINK_FLOWS_MAX)
		goto out;
	ret = -ENOMEM;
	flows = reallocarray(first->live_flow, first->n_live_flow + h->n_live_flow + 1,
			     sizeof(*flows));
	if (!flows)
		goto out;
	if (h->n_live_flow)
		memcpy(flows + first->n_live_flow, h->live_flow, h->n_live_flow * sizeof(*flows));
	first->live_flow = flows;
	first->n_live_flow += h->n_live_flow;
	first->more = h->more;
	ret = 0;
out:
	sallyport__link__free_unpacked(m, NULL);
	return ret;
}

/* False: the record is gone. */
static bool pending_take(struct link_pending *d, Sallyport__Link *m)
{
	char reason[64];
	uint32_t version;

	if (m->m_case != SALLYPORT__LINK__M_HELLO) {
		sallyport__link__free_unpacked(m, NULL);
		pending_reject(d, "hello: expected");
		return false;
	}
	version = m->hello->version;
	if (version != LINK_VERSION) {
		sallyport__link__free_unpacked(m, NULL);
		snprintf(reason, sizeof(reason), "version: wanted %u, got %u", LINK_VERSION,
			 version);
		pending_reject(d, reason);
		return false;
	}
	if (hello_merge(d, m)) {
		pending_reject(d, "hello: malformed");
		return false;
	}
	if (d->hello->hello->more)
		return true;
	hello_done(d);
	return false;
}

static void pending_down(void *arg, int err, const char *why)
{
	struct link_pending *d = arg;
	char names[LINK_NAMES_TEXT], wanted[LINK_REASON_MAX];

	if (err == -ETIMEDOUT)
		d->edge->stats.no_hello++;
	else
		d->edge->stats.refused++;
	if (err == -EKEYREJECTED)
		link_log_refused(&d->edge->stats, loop_now_ms(d->edge->p.loop), "link-refused",
				 conn_peer(d->conn), why,
				 names_wanted(d->edge, wanted, sizeof(wanted)),
				 tls_refused_names(conn_tls(d->conn)));
	else
		link_log_refused(&d->edge->stats, loop_now_ms(d->edge->p.loop), "link-failed",
				 conn_peer(d->conn), why, NULL,
				 tls_own_names(d->edge->p.tls, names, sizeof(names)));
	conn_abort(pending_free(d));
}

static void pending_readable(void *arg)
{
	struct link_pending *d = arg;
	Sallyport__Link *m;
	int ret;

	while ((ret = link_rx_read(&d->rx, d->conn, &m)) == 0)
		if (!pending_take(d, m))
			return;
	if (ret == -EBADMSG) {
		d->edge->stats.bad_frames++;
		pending_reject(d, "bad frame");
	} else if (ret != -EAGAIN) {
		pending_down(d, ret, link_conn_why(d->conn, ret));
	}
}

static void pending_late(void *arg)
{
	struct link_pending *d = arg;

	d->edge->stats.no_hello++;
	pending_reject(d, "hello: none in time");
}

/* All places are taken. Who has shown no certificate for the longest time makes room: silent strangers must not keep a core
 * out. False: all are cores. */
static bool pending_make_room(struct link_edge *l)
{
	struct link_pending *d, *oldest = NULL;

	for (d = l->pending; d; d = d->next)
		if (!d->known)
			oldest = d;
	if (oldest)
		conn_abort(pending_free(oldest));
	return oldest != NULL;
}

static bool banned(const struct link_edge *l, int fd)
{
	struct sockaddr_storage ss;
	socklen_t n = sizeof(ss);
	struct addr peer;

	return l->p.banned && !getpeername(fd, (struct sockaddr *)&ss, &n) &&
	       !addr_from_sockaddr((struct sockaddr *)&ss, &peer) && l->p.banned(l->p.arg, &peer);
}

void link_accept(void *arg, int fd)
{
	struct link_edge *l = arg;

	if (fd < 0)
		return; /* the loop counts and tries again */
	l->stats.accepted++;
	if (banned(l, fd)) {
		l->stats.banned++;
		close(fd);
	} else if (!link_join_look(l, fd)) {
		link_accept_core(l, fd);
	}
}

void link_accept_core(struct link_edge *l, int fd)
{
	static const struct conn_ops ops = {
		.up = pending_up, .readable = pending_readable, .down = pending_down};
	struct conn_params cp = {.loop = l->p.loop,
				 .tls = l->p.tls,
				 .queue_max = LINK_DATA_QUEUE,
				 .handshake_ms = l->times.hello,
				 .link = true,
				 .ops = &ops};
	struct link_pending *d = NULL;

	l->stats.over_pending += l->n_pending >= LINK_PENDING_MAX;
	if (l->n_pending < LINK_PENDING_MAX || pending_make_room(l))
		d = calloc(1, sizeof(*d));
	if (!d) {
		close(fd);
		return;
	}
	d->edge = l;
	d->timer = (struct loop_timer){.fn = pending_late, .arg = d};
	cp.arg = d;
	if (loop_timer_set(l->p.loop, &d->timer, l->times.hello)) {
		close(fd);
		free(d);
		return;
	}
	if (conn_accept(&cp, fd, &d->conn)) {
		loop_timer_cancel(l->p.loop, &d->timer);
		free(d);
		return;
	}
	d->next = l->pending;
	if (l->pending)
		l->pending->prev = d;
	l->pending = d;
	l->n_pending++;
}

void link_pending_free_all(struct link_edge *l)
{
	while (l->pending)
		conn_abort(pending_free(l->pending));
}
