/* user/edge_dial.c -- a core's Dials. See edge_dial.h.
 *
 * In: Dial, answers of the resolver, connections that come up or do not. Out: streams, DialResults. */
#include "user/edge_dial.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "user/dial_target.h"
#include "user/log.h"
#include "xmpp/jid.h"

#define TARGET_MS   5000
#define POOL_MS	    2000 /* for a data connection */
#define POOL_AGAIN  100
#define QUEUE_BYTES 65536 /* as a stream's */
#define SERVER_PORT 5269

struct dial {
	struct edge_dials *all;
	struct dial *next, **prev;
	struct link_peer *peer; /* NULL: its link is over; only the resolver's answer is awaited */
	uint64_t id, due_ms, pool_ms;
	bool asked; /* the resolver's answer is to come */
	bool up;    /* .conn is; a data connection is awaited */
	char domain[XMPP_HOST_MAX + 1];
	struct dns_target targets[DNS_TARGETS_MAX];
	unsigned n_targets, at;
	struct conn *conn; /* NULL: none */
	int err;	   /* of the last target */
	struct loop_timer timer;
};

enum count {
	DONE,
	OFF,
	BAD_REQUEST,
	BUSY,
	NO_SUCH_DOMAIN,
	DNS,
	NO_ADDRESS,
	REFUSED,
	NO_ROUTE,
	TIMEOUT,
	NO_DATA,
	COUNTS
};
static const char *const names[COUNTS] = {"done",	    "off",     "bad-request", "busy",
					  "no-such-domain", "dns",     "no-address",  "refused",
					  "no-route",	    "timeout", "no-data"};

struct edge_dials {
	struct edge_dials_params p;
	struct dial *first;
	unsigned n;
	uint64_t random, counts[COUNTS];
};

/* ---- ends ---- */

static void answer(struct link_peer *p, uint64_t id, const char *error, uint64_t stream)
{
	Sallyport__Link m = SALLYPORT__LINK__INIT;
	Sallyport__DialResult r = SALLYPORT__DIAL_RESULT__INIT;

	r.dial = id;
	r.error = (char *)error;
	r.stream = stream;
	m.m_case = SALLYPORT__LINK__M_DIAL_RESULT;
	m.dial_result = &r;
	link_send(p, &m); /* a link that is over is told by its own down() */
}

static void unlink_dial(struct dial *d)
{
	*d->prev = d->next;
	if (d->next)
		d->next->prev = d->prev;
	d->all->n--;
}

/* Gone, but for what the resolver still holds of it. */
static void dial_free(struct dial *d)
{
	loop_timer_cancel(d->all->p.loop, &d->timer);
	conn_abort(d->conn);
	d->conn = NULL;
	d->peer = NULL;
	if (d->asked)
		return;
	unlink_dial(d);
	free(d);
}

static void refuse(struct edge_dials *all, struct link_peer *p, uint64_t id, const char *domain,
		   enum count why)
{
	char quoted[80];

	all->counts[why]++;
	log_event(LOG_L_WARN, "dial-failed", "core=%s dial=%llx domain=%s reason=%s",
		  link_peer_name(p), (unsigned long long)id,
		  log_esc(span_str(domain), quoted, sizeof(quoted)), names[why]);
	answer(p, id, names[why], 0);
}

static void dial_fail(struct dial *d, enum count why)
{
	refuse(d->all, d->peer, d->id, d->domain, why);
	dial_free(d);
}

static enum count count_of(int err)
{
	switch (err) {
	case -ETIMEDOUT:
		return TIMEOUT;
	case -ENETUNREACH:
	case -EHOSTUNREACH:
	case -EADDRNOTAVAIL:
	case -EAFNOSUPPORT:
		return NO_ROUTE;
	default:
		return REFUSED;
	}
}

/* ---- one target after the other ---- */

static void target_next(struct dial *d);

static void target_up(void *arg)
{
	struct dial *d = arg;
	struct edge_dials *all = d->all;
	uint64_t stream = 0, now = loop_now_ms(all->p.loop);
	int ret;

	if (!d->up)
		d->pool_ms = now;
	d->up = true;
	ret = streams_dialled(all->p.streams, d->peer, d->conn, d->id, d->domain, &stream);
	if (ret == -EAGAIN && now - d->pool_ms < POOL_MS &&
	    !loop_timer_set(all->p.loop, &d->timer, POOL_AGAIN))
		return;
	if (ret) {
		dial_fail(d, ret == -EUSERS ? BUSY : NO_DATA);
		return;
	}
	all->counts[DONE]++;
	d->conn = NULL; /* the stream's */
	answer(d->peer, d->id, "", stream);
	dial_free(d);
}

static void target_down(void *arg, int err, const char *why)
{
	struct dial *d = arg;

	(void)why;
	conn_abort(d->conn);
	d->conn = NULL;
	if (d->up) { /* while it waited for a data connection */
		dial_fail(d, NO_DATA);
		return;
	}
	d->err = err ? err : -ECONNRESET;
	target_next(d);
}

static const struct conn_ops target_ops = {.up = target_up, .down = target_down};

static void target_next(struct dial *d)
{
	struct edge_dials *all = d->all;
	struct conn_params cp = {.loop = all->p.loop,
				 .queue_max = QUEUE_BYTES,
				 .handshake_ms = TARGET_MS,
				 .ops = &target_ops,
				 .arg = d};

	while (d->at < d->n_targets) {
		d->err = conn_connect(&cp, &d->targets[d->at++].addr, &d->conn);
		if (!d->err)
			return;
		d->conn = NULL;
	}
	dial_fail(d, count_of(d->err));
}

/* The whole dial took too long; or, with a connection that is up, a data connection may be there now. */
static void dial_timer(void *arg)
{
	struct dial *d = arg;

	if (d->up)
		target_up(d);
	else
		dial_fail(d, TIMEOUT);
}

static void answered(void *arg, int err, const struct dns_target *targets, unsigned n,
		     unsigned ttl_s)
{
	struct dial *d = arg;
	unsigned i, somewhere = 0;

	(void)ttl_s;
	d->asked = false;
	if (!d->peer) { /* nobody waits for it any more */
		dial_free(d);
		return;
	}
	if (err) {
		dial_fail(d, err == -ENOENT ? NO_SUCH_DOMAIN : err == -ETIMEDOUT ? TIMEOUT : DNS);
		return;
	}
	for (i = 0; i < n; i++) {
		somewhere += targets[i].addr.port != 0; /* dial_new() asks for port 0 */
		if (targets[i].addr.port &&
		    dial_target_allowed(&targets[i].addr, d->all->p.private_too))
			d->targets[d->n_targets++] = targets[i];
	}
	if (!d->n_targets) {
		dial_fail(d, somewhere ? NO_ADDRESS : NO_SUCH_DOMAIN);
		return;
	}
	d->all->random = d->all->random * 6364136223846793005u + 1442695040888963407u;
	dial_target_order(d->targets, d->n_targets, d->all->random >> 16);
	target_next(d);
}

/* ---- the core's word ---- */

static bool domain_good(const char *text)
{
	enum xmpp_jid_why why;
	struct xmpp_domain d;

	return xmpp_domain_parse(span_str(text), &d, &why) == 0 && !d.literal &&
	       span_eq(xmpp_domain_span(&d), span_str(text));
}

static unsigned count_core(const struct edge_dials *all, const struct link_peer *p)
{
	const struct dial *d;
	unsigned n = 0;

	for (d = all->first; d; d = d->next)
		n += d->peer == p;
	return n;
}

static void dial_new(struct edge_dials *all, struct link_peer *p, const Sallyport__Dial *m)
{
	bool direct = strcmp(m->service, "xmpps-server") == 0;
	struct dial *d = calloc(1, sizeof(*d));
	int ret = d ? 0 : -ENOMEM;

	if (d) {
		d->all = all;
		d->peer = p;
		d->id = m->dial;
		d->timer = (struct loop_timer){.fn = dial_timer, .arg = d};
		snprintf(d->domain, sizeof(d->domain), "%s", m->domain);
		d->next = all->first;
		d->prev = &all->first;
		if (d->next)
			d->next->prev = &d->next;
		all->first = d;
		all->n++;
		d->asked = true;
		ret = loop_timer_set(all->p.loop, &d->timer, EDGE_DIAL_MS);
	}
	/* Without records there is no direct TLS (XEP-0368 3), and port 0 is nowhere. */
	if (!ret)
		ret = dns_service(all->p.dns, direct ? "_xmpps-server._tcp" : "_xmpp-server._tcp",
				  d->domain, direct ? 0 : SERVER_PORT, answered, d);
	if (!ret)
		return;
	if (d) {
		d->asked = false;
		dial_free(d);
	}
	refuse(all, p, m->dial, m->domain, BUSY);
}

bool edge_dials_message(struct edge_dials *d, struct link_peer *p, const Sallyport__Link *m)
{
	const Sallyport__Dial *o = m->dial;
	enum count why = COUNTS;

	if (m->m_case != SALLYPORT__LINK__M_DIAL)
		return false;
	if (!d->p.dns)
		why = OFF;
	else if ((strcmp(o->service, "xmpp-server") && strcmp(o->service, "xmpps-server")) ||
		 !domain_good(o->domain))
		why = BAD_REQUEST;
	else if (d->n >= EDGE_DIALS || count_core(d, p) >= EDGE_DIALS_CORE)
		why = BUSY;
	if (why != COUNTS)
		refuse(d, p, o->dial, o->domain, why);
	else
		dial_new(d, p, o);
	return true;
}

void edge_dials_down(struct edge_dials *d, const struct link_peer *p)
{
	struct dial *at, *next;

	for (at = d->first; at; at = next) {
		next = at->next;
		if (at->peer == p)
			dial_free(at);
	}
}

/* ---- the rest ---- */

int edge_dials_new(const struct edge_dials_params *p, struct edge_dials **out)
{
	struct edge_dials *d = calloc(1, sizeof(*d));

	if (!d)
		return -ENOMEM;
	d->p = *p;
	d->random = p->seed;
	*out = d;
	return 0;
}

void edge_dials_free(struct edge_dials *d)
{
	struct dial *at, *next;

	if (!d)
		return;
	for (at = d->first; at; at = next) {
		next = at->next;
		dial_free(at);
	}
	dns_free(d->p.dns); /* answers what is asked, by -ECANCELED */
	free(d);
}

json_t *edge_dials_status(const struct edge_dials *d)
{
	json_t *j = json_pack("{s:b,s:i}", "on", d->p.dns != NULL, "open", (int)d->n);
	unsigned i;

	for (i = 0; i < COUNTS; i++)
		json_object_set_new(j, names[i], json_integer((json_int_t)d->counts[i]));
	return j;
}
