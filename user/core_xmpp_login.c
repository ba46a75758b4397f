/* user/core_xmpp_login.c -- a chat stream on the core until its client is admitted: carries bytes and connections to xmpp/login.h, and its
 * events to the client, the servers and the tables. See core_xmpp.h. */
#include <errno.h>
#include <openssl/hmac.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

#include "user/core_xmpp_impl.h"
#include "user/log.h"
#include "user/trace.h"

static void pump(struct xmpp_stream *s);

/* ---- tables ---- */

/* By a secret, so that nobody can choose where he lands. */
static uint64_t key_of(const struct core_xmpp *x, const char *kind, const char *name,
		       const struct addr *a)
{
	/* An IPv6 subscriber has a /64. */
	size_t ip_n = !a ? 0 : addr_is_v4(a) ? 16 : 8, n = strlen(name) + 1;
	uint8_t in[2 + 2 * XMPP_USER_MAX + 16], out[32] = {};
	unsigned out_n = sizeof(out);
	uint64_t key;

	in[0] = (uint8_t)kind[0];
	memcpy(in + 1, name, n);
	if (a)
		memcpy(in + 1 + n, a->ip, ip_n);
	HMAC(EVP_sha256(), x->secret, sizeof(x->secret), in, 1 + n + ip_n, out, &out_n);
	memcpy(&key, out, sizeof(key));
	return key ? key : 1;
}

/* "user@domain", ASCII case folded. */
static void full_name(const struct xmpp_stream *s, const char *user, char out[2 * XMPP_USER_MAX])
{
	size_t i;

	snprintf(out, 2 * XMPP_USER_MAX, "%s%s%s", user, strchr(user, '@') ? "" : "@",
		 strchr(user, '@') ? "" : s->w->l.domain.text);
	for (i = 0; out[i]; i++)
		out[i] = (char)span_lower((uint8_t)out[i]);
}

/* Where @user's sessions are: where he was last, if that was not at home, else at home. NULL: anywhere. */
static struct xmpp_node *place_of(const struct xmpp_stream *s, const char *user)
{
	struct core_xmpp *x = s->x;
	uint64_t now = loop_now_ms(x->p.loop);
	struct xmpp_node *home, *away = NULL;
	uint32_t *v;

	if (!user[0])
		return NULL;
	home = xmpp_nodes_home(s->cluster, s->w->l.domain.text, user);
	if (!home)
		return NULL;
	v = memo_get(&x->users, key_of(x, "user", user, NULL), now);
	if (v)
		away = xmpp_node_at(s->cluster, *v);
	return away && xmpp_node_well(s->cluster, away) ? away : home;
}

static void remember(struct xmpp_stream *s)
{
	struct core_xmpp *x = s->x;
	const char *user = s->w->user;
	struct xmpp_node *home;
	uint64_t key;

	s->name = strdup(user[0] ? user : s->w->l.domain.text);
	if (!user[0])
		return;
	memo_forget(&x->tries_user, s->w->try_key);
	home = xmpp_nodes_home(s->cluster, s->w->l.domain.text, user);
	key = key_of(x, "user", user, NULL);
	if (!home || home == s->node) {
		memo_forget(&x->users, key);
		return;
	}
	s->away_key = key;
	memo_put(&x->users, key, xmpp_node_index(s->cluster, s->node), loop_now_ms(x->p.loop));
}

/* ---- servers ---- */

static void fail(struct xmpp_stream *s, enum xmpp_end how, const char *condition, const char *text)
{
	s->w->how = how;
	xmpp_login_fail(&s->w->l, condition, text);
}

static bool is_off(const struct core_xmpp *x, const char *domain)
{
	unsigned i;

	for (i = 0; i < x->p.cfg->off_count; i++)
		if (strcasecmp(x->p.cfg->off[i], domain) == 0)
			return true;
	return false;
}

static int connect_to(struct xmpp_stream *s, struct xmpp_node *n)
{
	const struct config_xmpp_cluster *cfg = xmpp_cluster_config(s->cluster);
	bool direct = strcmp(cfg->tls, "direct") == 0;
	struct conn_params cp = {
		.loop = s->x->p.loop,
		.tls = direct ? s->x->p.tls[xmpp_cluster_index(s->cluster)] : NULL,
		.peer_name = cfg->tls_name ? cfg->tls_name : s->w->l.domain.text,
		.queue_max = XMPP_QUEUE,
		.handshake_ms = XMPP_DIAL_MS,
		.link = true, /* one that is silently gone is found within 20 s */
		.ops = &xmpp_node_ops,
		.arg = s,
	};
	int err = conn_connect(&cp, &n->addrs[n->next_addr], &s->pair.in);

	if (err) {
		s->pair.in = NULL;
		return err;
	}
	s->node = n;
	n->streams++;
	loop_timer_set(s->x->p.loop, &s->w->node_timer, XMPP_NODE_MS);
	return 0;
}

/* To the next node; where there is none, the client is told. */
static void dial(struct xmpp_stream *s)
{
	struct xmpp_waiting *w = s->w;
	struct xmpp_node *n;
	int err;

	w->node_good = false;
	for (;;) {
		if (w->tries >= XMPP_TRIES) {
			fail(s, XMPP_END_SERVER, "remote-connection-failed",
			     "no chat server could be reached");
			return;
		}
		err = xmpp_nodes_pick(s->cluster, w->l.domain.text, w->prefer, &w->tried, &n);
		if (err == -EAGAIN) {
			w->looking = true;
			return;
		}
		if (err) {
			fail(s, XMPP_END_SERVER, "remote-connection-failed",
			     w->tries ? "no chat server could be reached"
				      : "no address of a chat server is known");
			return;
		}
		w->tries++;
		err = connect_to(s, n);
		if (!err)
			return;
		xmpp_node_failed(s->cluster, n, strerror(-err));
	}
}

static void dial_first(struct xmpp_stream *s)
{
	const struct xmpp_login *l = &s->w->l;

	s->cluster = xmpp_nodes_cluster(s->x->nodes, xmpp_domain_span(&l->domain));
	if (!s->cluster || is_off(s->x, l->domain.text)) {
		fail(s, XMPP_END_DOMAIN, "host-unknown",
		     s->cluster ? "chat is off for this domain" : "not a domain of ours");
		return;
	}
	s->w->prefer = place_of(s, l->from);
	dial(s);
}

/* Its connection is over, or worth nothing. */
static void server_lost(struct xmpp_stream *s, const char *why)
{
	if (s->node && !s->w->node_good)
		xmpp_node_failed(s->cluster, s->node, why);
	xmpp_stream_drop_node(s);
	if (!xmpp_login_again(&s->w->l))
		fail(s, XMPP_END_SERVER, "remote-connection-failed", "the chat server is gone");
}

static void redirected(struct xmpp_stream *s, const struct xmpp_login_event *e)
{
	struct xmpp_waiting *w = s->w;
	struct xmpp_node *n = xmpp_nodes_find(s->cluster, e->host, e->port);
	char host[300];

	s->x->redirects++;
	log_event(LOG_L_INFO, "xmpp-redirect",
		  "stream=%llx cluster=%s node=%s to=%s port=%u known=%s",
		  (unsigned long long)s->id, xmpp_cluster_config(s->cluster)->name, s->node->host,
		  log_esc(span_str(e->host), host, sizeof(host)), e->port, n ? "yes" : "no");
	xmpp_stream_drop_node(s);
	if (!n || ++w->hops > XMPP_HOPS || !xmpp_login_again(&w->l)) {
		fail(s, XMPP_END_SERVER, "remote-connection-failed",
		     n ? "too many redirects between chat servers"
		       : "redirected to a server that is not one of ours");
		return;
	}
	w->prefer = n;
	w->tries = 0;
	w->tried.set &= ~(1ull << xmpp_node_index(s->cluster, n));
}

static void start_tls(struct xmpp_stream *s)
{
	const struct config_xmpp_cluster *cfg = xmpp_cluster_config(s->cluster);
	int err = conn_start_tls_to(s->pair.in, s->x->p.tls[xmpp_cluster_index(s->cluster)],
				    cfg->tls_name ? cfg->tls_name : s->w->l.domain.text,
				    XMPP_DIAL_MS);

	if (err)
		server_lost(s, strerror(-err));
}

/* ---- the client's exchange ---- */

static void trace_chat(const struct xmpp_stream *s, const char *user, const char *what,
		       const char *more)
{
	trace_put(TRACE_CHAT,
		  &(struct trace_ids){.user = trace_user(span_str(user ? user : "")),
				      .stream = s->edge_stream},
		  0, "%s%s%s", what, *more ? ": " : "", more);
}

static void deny(struct xmpp_stream *s, const char *condition, const char *text, const char *why)
{
	char peer[ADDR_TEXT_MAX], user[300];

	s->x->denied++;
	trace_chat(s, s->w->user, "log-in denied", why);
	log_event(LOG_L_WARN, "xmpp-denied", "stream=%llx client=%s user=%s reason=\"%s\"",
		  (unsigned long long)s->id, addr_text(&s->client, peer),
		  log_esc(span_str(s->w->user), user, sizeof(user)), why);
	xmpp_login_deny(&s->w->l, condition, text);
	if (++s->w->failed >= s->x->p.cfg->limits.attempts)
		fail(s, XMPP_END_ATTEMPTS, "policy-violation", "too many attempts");
}

/* Who begins to authenticate: may he, has he not tried too often, and is it his server? */
static void on_user(struct xmpp_stream *s, const struct xmpp_login_event *e)
{
	struct core_xmpp *x = s->x;
	struct xmpp_waiting *w = s->w;
	char proves[2 * XMPP_USER_MAX];
	struct xmpp_node *place;
	uint32_t *tries;

	w->tries = 0; /* those from here on are this exchange's */
	w->tried.set = 0;
	w->user[0] = 0;
	full_name(s, e->sasl.user, proves);
	if (e->sasl.user[0])
		full_name(s, e->sasl.as[0] ? e->sasl.as : e->sasl.user, w->user);
	w->try_key = key_of(x, "try", e->sasl.user[0] ? proves : "", &s->client);
	tries = memo_get(&x->tries_user, w->try_key, loop_now_ms(x->p.loop));
	if (!x->p.ops->may(x->p.arg, w->user[0] ? w->user : NULL, w->l.domain.text) ||
	    (w->user[0] && !x->p.ops->may(x->p.arg, proves, w->l.domain.text))) {
		deny(s, w->user[0] ? "not-authorized" : "invalid-mechanism", "",
		     w->user[0] ? "no access to chat" : "a mechanism that hides the user");
		return;
	}
	if (tries && *tries >= x->p.cfg->limits.attempts_user) {
		deny(s, "temporary-auth-failure", "too many failed attempts, try again later",
		     "too many failed attempts");
		return;
	}
	place = place_of(s, w->user);
	/* A server that was told us by another one knows better than we do. */
	if (!place || place == s->node || w->hops || !xmpp_node_well(s->cluster, place)) {
		xmpp_login_go(&w->l);
		return;
	}
	x->moved++;
	xmpp_stream_drop_node(s);
	w->prefer = place;
	xmpp_login_other(&w->l);
}

static void on_failed(struct xmpp_stream *s)
{
	struct core_xmpp *x = s->x;
	uint64_t now = loop_now_ms(x->p.loop), address = key_of(x, "address", "", &s->client);
	char peer[ADDR_TEXT_MAX], user[300];

	x->failed++;
	trace_chat(s, s->w->user, "log-in failed", "");
	log_event(LOG_L_INFO, "xmpp-login-failed", "stream=%llx client=%s user=%s",
		  (unsigned long long)s->id, addr_text(&s->client, peer),
		  log_esc(span_str(s->w->user), user, sizeof(user)));
	memo_count(&x->tries_user, s->w->try_key, now);
	if (memo_count(&x->tries_address, address, now) >= x->p.cfg->limits.attempts_address) {
		memo_forget(&x->tries_address, address);
		x->bans++;
		x->p.ops->ban(x->p.arg, s->edge, &s->client, x->p.cfg->limits.ban_seconds,
			      "chat: failed log-ins");
	}
	if (++s->w->failed >= x->p.cfg->limits.attempts)
		fail(s, XMPP_END_ATTEMPTS, "policy-violation", "too many failed attempts");
}

static void on_admit(struct xmpp_stream *s, struct span bytes)
{
	struct core_xmpp *x = s->x;
	char peer[ADDR_TEXT_MAX], user[300];
	struct span rest;

	x->logins++;
	s->node->logins++;
	x->p.ops->admit(x->p.arg, s->edge, s->edge_stream); /* it goes ahead of what needs it */
	conn_write(s->pair.link, bytes);
	rest = xmpp_login_rest(&s->w->l, XMPP_SERVER);
	if (rest.n)
		conn_write(s->pair.link, rest);
	rest = xmpp_login_rest(&s->w->l, XMPP_CLIENT);
	if (rest.n)
		conn_write(s->pair.in, rest);
	remember(s);
	trace_chat(s, s->name, "logged in", s->node->host);
	log_event(LOG_L_INFO, "xmpp-login", "stream=%llx edge=%s client=%s who=%s node=%s:%u",
		  (unsigned long long)s->id, s->edge, addr_text(&s->client, peer),
		  log_esc(span_str(s->name ? s->name : ""), user, sizeof(user)), s->node->host,
		  s->node->port);
	xmpp_stream_bytes(s);
}

/* ---- events ---- */

static void to_client(struct xmpp_stream *s, struct span bytes)
{
	if (conn_write(s->pair.link, bytes))
		xmpp_stream_end(s, XMPP_END_CLIENT, false, "the client does not read");
}

/* What was tried counts on until the client's next word: a server that offers everything and then dies of the <auth/> would get it for ever. */
static void on_features(struct xmpp_stream *s, const struct xmpp_login_event *e)
{
	s->w->node_good = true;
	loop_timer_cancel(s->x->p.loop, &s->w->node_timer);
	xmpp_node_ok(s->node);
	if (!e->plus)
		return;
	if (!s->x->plus++) /* RFC 5802 6: a client that could bind takes it for an attack */
		log_event(LOG_L_WARN, "xmpp-channel-binding",
			  "cluster=%s node=%s mechanisms=%u reason=\"it offers channel binding, "
			  "which cannot work through two TLS connections: switch it off there\"",
			  xmpp_cluster_config(s->cluster)->name, s->node->host, e->plus);
}

static void on_end(struct xmpp_stream *s, const struct xmpp_login_event *e)
{
	enum xmpp_end how = e->by == XMPP_LOGIN_BY_CLIENT   ? XMPP_END_CLIENT
			    : e->by == XMPP_LOGIN_BY_SERVER ? XMPP_END_ERROR
							    : s->w->how;

	if (e->bytes.n)
		conn_write(s->pair.link, e->bytes);
	xmpp_stream_end(s, how, true, e->why);
}

/* One event. False: nothing more to do now. */
static bool act(struct xmpp_stream *s)
{
	struct xmpp_login_event e;

	switch (xmpp_login_next(&s->w->l, &e)) {
	case XMPP_LOGIN_MORE:
		return false;
	case XMPP_LOGIN_DIAL:
		s->cluster ? dial(s) : dial_first(s);
		break;
	case XMPP_LOGIN_START_TLS:
		start_tls(s);
		break;
	case XMPP_LOGIN_TO_SERVER:
		if (!s->w->node_good &&
		    s->w->l.exchange) /* another one, whose features are known */
			on_features(s, &e);
		conn_write(s->pair.in, e.bytes); /* a failure is told by its down() */
		break;
	case XMPP_LOGIN_TO_CLIENT:
		if (!s->w->node_good && s->node)
			on_features(s, &e);
		to_client(s, e.bytes);
		break;
	case XMPP_LOGIN_USER:
		on_user(s, &e);
		break;
	case XMPP_LOGIN_FAILED:
		to_client(s, e.bytes);
		if (!s->gone)
			on_failed(s);
		break;
	case XMPP_LOGIN_ADMIT:
		on_admit(s, e.bytes);
		break;
	case XMPP_LOGIN_ELSEWHERE:
		redirected(s, &e);
		break;
	case XMPP_LOGIN_SERVER_BAD:
		server_lost(s, e.why);
		break;
	case XMPP_LOGIN_END:
		on_end(s, &e);
		break;
	}
	return true;
}

static void pump(struct xmpp_stream *s)
{
	while (!s->gone && s->w && act(s))
		;
	if (s->gone || !s->w)
		return;
	if (s->w->link_paused && xmpp_login_room(&s->w->l, XMPP_CLIENT)) {
		s->w->link_paused = false;
		conn_pause(s->pair.link, false);
	}
}

/* ---- from outside; each between xmpp_stream_enter() and _leave() ---- */

/* A turn's bytes of @side, then what they lead to. What was read may be a password: wiped. */
static bool take(struct xmpp_stream *s, enum xmpp_side side, uint8_t *buf, ssize_t n)
{
	int err = xmpp_login_put(&s->w->l, side, span_of(buf, (size_t)n));

	explicit_bzero(buf, (size_t)n);
	if (err) {
		xmpp_stream_end(s, XMPP_END_MEMORY, false, strerror(-err));
		return false;
	}
	pump(s);
	return !s->gone && s->w;
}

void xmpp_login_link_readable(struct xmpp_stream *s)
{
	struct conn_mover *m = &s->x->mover;
	size_t room;
	ssize_t n;

	do {
		room = xmpp_login_room(&s->w->l, XMPP_CLIENT);
		if (!room) {
			s->w->link_paused = true;
			conn_pause(s->pair.link, true);
			return;
		}
		n = link_data_read(s->pair.data, m->buf,
				   room < sizeof(m->buf) ? room : sizeof(m->buf));
		if (n == -EAGAIN)
			return;
		if (n <= 0) {
			xmpp_stream_end(s, XMPP_END_CLIENT, n == 0,
					n ? link_data_why(s->pair.data, (int)n)
					  : "closed by the client");
			return;
		}
		s->pair.from_link += (uint64_t)n;
	} while (take(s, XMPP_CLIENT, m->buf, n));
}

void xmpp_login_node_readable(struct xmpp_stream *s)
{
	struct conn_mover *m = &s->x->mover;
	struct conn *in = s->pair.in;
	size_t room;
	ssize_t n;

	do {
		room = xmpp_login_room(&s->w->l, XMPP_SERVER);
		n = room ? conn_read(in, m->buf, room < sizeof(m->buf) ? room : sizeof(m->buf))
			 : -ENOBUFS;
		if (n == -EAGAIN)
			return;
		if (n <= 0) {
			server_lost(s, n == -ENOBUFS
					       ? "it says too much before anybody has logged in"
				       : n ? strerror((int)-n)
					   : "closed by the server");
			pump(s);
			return;
		}
		s->pair.to_link += (uint64_t)n;
	} while (take(s, XMPP_SERVER, m->buf, n) && s->pair.in == in);
}

void xmpp_login_node_up(struct xmpp_stream *s)
{
	bool starttls = strcmp(xmpp_cluster_config(s->cluster)->tls, "starttls") == 0;

	xmpp_login_up(&s->w->l, starttls && !conn_tls(s->pair.in));
	pump(s);
}

void xmpp_login_node_down(struct xmpp_stream *s, const char *why)
{
	server_lost(s, why);
	pump(s);
}

void xmpp_login_found(struct core_xmpp *x)
{
	struct xmpp_stream *s, *next;

	for (s = x->streams; s; s = next) {
		next = s->next;
		if (!s->w || !s->w->looking)
			continue;
		s->w->looking = false;
		xmpp_stream_enter(s);
		dial(s);
		pump(s);
		xmpp_stream_leave(s);
	}
}

static void late(void *arg)
{
	struct xmpp_stream *s = arg;

	xmpp_stream_enter(s);
	fail(s, XMPP_END_TIME, "connection-timeout", "not authenticated in time");
	pump(s);
	xmpp_stream_leave(s);
}

static void node_late(void *arg)
{
	struct xmpp_stream *s = arg;

	if (!s->node || s->w->node_good)
		return;
	xmpp_stream_enter(s);
	server_lost(s, "it does not say what it offers");
	pump(s);
	xmpp_stream_leave(s);
}

int xmpp_waiting_new(struct xmpp_stream *s)
{
	struct xmpp_waiting *w = calloc(1, sizeof(*w));
	uint64_t r[3];
	char id[33];

	if (!w || getrandom(r, sizeof(r), 0) != sizeof(r)) {
		free(w);
		return -ENOMEM;
	}
	snprintf(id, sizeof(id), "%016llx%016llx", (unsigned long long)r[0],
		 (unsigned long long)r[1]);
	xmpp_login_init(&w->l, id, (unsigned long)r[2]);
	w->how = XMPP_END_REFUSED;
	w->timer = (struct loop_timer){.fn = late, .arg = s};
	w->node_timer = (struct loop_timer){.fn = node_late, .arg = s};
	if (loop_timer_set(s->x->p.loop, &w->timer, s->x->p.cfg->limits.login_seconds * 1000ull)) {
		xmpp_login_fini(&w->l);
		free(w);
		return -ENOMEM;
	}
	s->w = w;
	return 0;
}

void xmpp_waiting_free(struct xmpp_stream *s)
{
	if (!s->w)
		return;
	loop_timer_cancel(s->x->p.loop, &s->w->timer);
	loop_timer_cancel(s->x->p.loop, &s->w->node_timer);
	xmpp_login_fini(&s->w->l);
	explicit_bzero(s->w, sizeof(*s->w));
	free(s->w);
	s->w = NULL;
}
