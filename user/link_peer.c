/* user/link_peer.c -- a control connection that is up: messages both ways, health, silence, and how it ends.
 *
 * In: frames of the other machine, messages of this one. Out: ops.message(), and lost() of the side that owns the peer.
 * Owner: link_edge or link_core; the peer owns its frame buffer and timer. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "user/link_impl.h"
#include "user/log.h"

const struct link_times link_times_default = {.hello = 5000,
					      .health = 5000,
					      .silence = 20000,
					      .retry_min = 200,
					      .retry_max = 5000,
					      .steady = 10000,
					      .end = 10000,
					      .trim = 30000,
					      .uses = 10000};

const char *link_peer_name(const struct link_peer *p)
{
	return p->name;
}

uint64_t link_peer_session(const struct link_peer *p)
{
	return p->session;
}

const struct addr *link_peer_addr(const struct link_peer *p)
{
	return &p->addr;
}

unsigned link_peer_idle(const struct link_peer *p)
{
	return p->n_idle;
}

bool link_peer_takes(const struct link_peer *p, uint32_t feature)
{
	return p->features & feature;
}

uint64_t link_peer_up_ms(const struct link_peer *p)
{
	return p->up_ms;
}

bool link_peer_draining(const struct link_peer *p)
{
	return p->draining;
}

void link_peer_drain(struct link_peer *p, bool on)
{
	p->draining = on;
}

bool link_peer_clock(const struct link_peer *p, int64_t *out_ahead_s)
{
	if (p->clock_told)
		*out_ahead_s = p->ahead_s;
	return p->clock_told;
}

const char *link_conn_why(struct conn *c, int err)
{
	const char *why = conn_tls(c) ? tls_why(conn_tls(c)) : "";

	if (err == -ENODATA)
		return "closed by the peer";
	if (err == -EBADMSG)
		return "bad frame";
	return *why ? why : strerrordesc_np(-err);
}

void link_refuse(struct conn *c, const char *reason)
{
	Sallyport__Link m = SALLYPORT__LINK__INIT;
	Sallyport__Close close = SALLYPORT__CLOSE__INIT;

	close.reason = (char *)reason;
	m.m_case = SALLYPORT__LINK__M_CLOSE;
	m.close = &close;
	link_write(c, &m); /* the connection ends in any case */
	conn_close(c);
}

void link_log_refused(struct link_stats *s, uint64_t now_ms, const char *event,
		      const struct addr *peer, const char *reason, const char *wanted,
		      const char *names)
{
	char r[LINK_REASON_MAX], w[LINK_NAMES_TEXT], n[LINK_NAMES_TEXT], a[ADDR_TEXT_MAX];

	log_esc(span_str(reason), r, sizeof(r));
	log_esc(span_str(wanted ? wanted : ""), w, sizeof(w));
	log_esc(span_str(names ? names : ""), n, sizeof(n));
	addr_text(peer, a);
	s->error_ms = now_ms;
	snprintf(s->error, sizeof(s->error), "%s: %.200s%s%.150s%s%.150s", a, r,
		 wanted ? ", wanted " : "", w,
		 !names	  ? ""
		 : wanted ? ", seen "
			  : ", our own names ",
		 n);
	if (wanted && names)
		log_event(LOG_L_WARN, event, "peer=%s reason=%s wanted=%s seen=%s", a, r, w, n);
	else if (wanted)
		log_event(LOG_L_WARN, event, "peer=%s reason=%s wanted=%s", a, r, w);
	else
		log_event(LOG_L_WARN, event, "peer=%s reason=%s own_names=%s", a, r, n);
}

void link_climb(struct conn *c, enum ktls_mode mode)
{
	if (mode != KTLS_MODE_OFF)
		conn_climb(c, mode == KTLS_MODE_TX);
}

/* ---- sending ---- */

static int sent(struct link_peer *p, int ret)
{
	if (ret && ret != -EMSGSIZE) {
		p->send_err = ret;
		loop_timer_set(p->loop, &p->timer,
			       0); /* it is set all the time: moving cannot fail */
	}
	return ret;
}

int link_send(struct link_peer *p, const Sallyport__Link *m)
{
	return p->send_err ? p->send_err : sent(p, link_write(p->control, m));
}

int link_send_later(struct link_peer *p, const Sallyport__Link *m, unsigned ms)
{
	return p->send_err ? p->send_err : sent(p, link_write_later(p->control, m, ms));
}

static void health_send(struct link_peer *p)
{
	Sallyport__Link m = SALLYPORT__LINK__INIT;
	Sallyport__Health h = SALLYPORT__HEALTH__INIT;

	h.now_ms = loop_now_ms(p->loop);
	h.wall_s = p->wall_s ? p->wall_s() : 0;
	m.m_case = SALLYPORT__LINK__M_HEALTH;
	m.health = &h;
	p->last_health_ms = h.now_ms;
	link_send(p, &m);
}

static void peer_timer(void *arg)
{
	struct link_peer *p = arg;
	uint64_t now = loop_now_ms(p->loop), silent = now - p->last_rx_ms;

	if (p->send_err) {
		p->lost(p, p->send_err == -ENOBUFS ? "the peer does not read"
						   : link_conn_why(p->control, p->send_err));
		return;
	}
	if (silent >= p->times->silence) {
		p->stats->silent++;
		p->lost(p, "silence");
		return;
	}
	if (now - p->last_health_ms >= p->times->health)
		health_send(p);
	loop_timer_set(p->loop, &p->timer,
		       p->send_err				       ? 0
		       : p->times->silence - silent < p->times->health ? p->times->silence - silent
								       : p->times->health);
}

/* ---- receiving ---- */

/* False: the peer is gone. */
static bool peer_take(struct link_peer *p, const Sallyport__Link *m)
{
	char why[LINK_REASON_MAX];

	p->last_rx_ms = loop_now_ms(p->loop);
	if (m->m_case == SALLYPORT__LINK__M_HEALTH) {
		if (p->wall_s && m->health->wall_s) {
			p->clock_told = true;
			p->ahead_s = (int64_t)(p->wall_s() - m->health->wall_s);
		}
		return true;
	}
	if (m->m_case == SALLYPORT__LINK__M_CLOSE) {
		snprintf(why, sizeof(why), "closed by the peer: %s", m->close->reason);
		p->lost(p, why);
		return false;
	}
	if (!(p->accepts & 1ull << m->m_case)) {
		p->stats->bad_frames++;
		p->lost(p, "a message that this side does not take");
		return false;
	}
	if (m->m_case == SALLYPORT__LINK__M_STREAM_END ||
	    m->m_case == SALLYPORT__LINK__M_STREAM_IDLE)
		p->end(p, m);
	else
		p->ops->message(p->arg, p, m);
	return true;
}

static void control_readable(void *arg)
{
	struct link_peer *p = arg;
	Sallyport__Link *m;
	bool there = true;
	int ret = 0;

	while (there && (ret = link_rx_read(&p->rx, p->control, &m)) == 0) {
		there = peer_take(p, m);
		sallyport__link__free_unpacked(m, NULL);
	}
	if (!there || ret == -EAGAIN)
		return;
	if (ret == -EBADMSG)
		p->stats->bad_frames++;
	p->lost(p, link_conn_why(p->control, ret));
}

static void control_down(void *arg, int err, const char *why)
{
	struct link_peer *p = arg;

	(void)err;
	p->lost(p, why);
}

struct link_peer *link_peer_new(struct loop *loop, struct conn *c, const char *name,
				uint64_t session)
{
	static const struct conn_ops ops = {.readable = control_readable, .down = control_down};
	struct link_peer *p = calloc(1, sizeof(*p));

	if (!p)
		return NULL;
	p->name = strdup(name);
	p->timer = (struct loop_timer){.fn = peer_timer, .arg = p};
	p->loop = loop;
	if (!p->name || loop_timer_set(loop, &p->timer, 0)) {
		link_peer_free(p);
		return NULL;
	}
	p->control = c;
	p->session = session;
	p->addr = *conn_peer(c);
	p->up_ms = p->last_rx_ms = p->last_health_ms = loop_now_ms(loop);
	conn_set_queue_max(c, LINK_CONTROL_QUEUE);
	conn_set_ops(c, &ops, p);
	return p;
}

void link_peer_free(struct link_peer *p)
{
	unsigned i;

	if (!p)
		return;
	loop_timer_cancel(p->loop, &p->timer);
	loop_timer_cancel(p->loop, &p->trim);
	link_rx_fini(&p->rx);
	for (i = 0; i < p->n_domains; i++)
		free(p->domains[i]);
	free(p->domains);
	free(p->name);
	free(p);
}
