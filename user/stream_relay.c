/* user/stream_relay.c -- moving a stream's bytes between its two connections, with back-pressure. See stream_impl.h.
 *
 * The moving itself is user/conn_move.h's. A clean end is passed on as a clean end, a truncation or reset as a reset. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "user/log.h"
#include "user/stream_impl.h"
#include "user/trace.h"

#define CLOSE_LINGER_MS \
	1000 /* CloseStream overtakes the core's last bytes; they get this long to arrive */
#define CLOSE_REASON_MAX 63
#define CLIMB_AGAIN_MS	 1000 /* a stream that is old enough, but not large enough */
static struct conn_way way_in(struct stream *s)
{
	return (struct conn_way){s->client,    s->core,	    &s->client_paused,
				 &s->bytes_in, &s->pipe_in, &s->bulk_in};
}

static struct conn_way way_out(struct stream *s)
{
	return (struct conn_way){s->core,	s->client,    &s->core_paused,
				 &s->bytes_out, &s->pipe_out, &s->bulk_out};
}

static const char *error_text(int err)
{
	return !err	       ? "closed"
	       : err == -EPIPE ? "truncated, FIN without close_notify"
			       : strerrordesc_np(-err);
}

void stream_over(struct stream *s, ssize_t n, const char *who)
{
	char reason[64];

	s->all->truncated += n == -EPIPE;
	snprintf(reason, sizeof(reason), "%s: %.48s", who, error_text((int)n));
	stream_end(s, n == 0, s->close_reason ? s->close_reason : reason);
}

void stream_relay_in(struct stream *s)
{
	const struct conn_way w = way_in(s);
	ssize_t n = conn_move(&s->all->mover, &w);

	if (n <= 0) {
		if (n < 0 || !stream_half(s, (struct span){}))
			stream_over(s, n, "client");
	} else if (s->cap_bytes && s->bytes_in > s->cap_bytes) {
		stream_refused(s, GATE_CAP_BYTES, "");
		stream_end(s, true, "cap-bytes");
	}
}

/* ---- one half is over ---- */

static void half_silent(void *arg)
{
	stream_end(arg, true, "the core went silent on a half-closed stream");
}

static void drain_over(void *arg)
{
	stream_end(arg, true, "the client takes its last bytes too slowly");
}

bool stream_half(struct stream *s, struct span last)
{
	struct streams *t = s->all;

	if (!s->use->service->in_order || !s->core || s->state == STREAM_HALF || s->close_reason)
		return false;
	if (stream_unpipe(t, s->core, &s->pipe_in))
		return false;
	s->step.fn = half_silent;
	if (loop_timer_set(t->p.loop, &s->step, STREAM_HALF_MS) || link_edge_half(s->data))
		return false;
	s->last = last.n ? malloc(last.n) : NULL;
	if (s->last) { /* without memory the stream ends all the same, just without a word */
		memcpy(s->last, last.p, last.n);
		s->last_n = last.n;
	}
	stream_unlodge(s);
	stream_gate_free(s);
	s->client_paused = false; /* for good, not for the core's queue */
	conn_pause(s->client, true);
	s->state = STREAM_HALF;
	return true;
}

/* The core has ended cleanly. Where bytes wait for the client, its connection stays until they are out. */
static bool drain(struct stream *s)
{
	struct streams *t = s->all;

	if (!s->core || stream_unpipe(t, s->client, &s->pipe_out))
		return false;
	if (s->last_n)
		conn_write(s->client, span_of(s->last, s->last_n));
	if (!conn_queued(s->client))
		return false;
	s->step.fn = drain_over;
	if (loop_timer_set(t->p.loop, &s->step, STREAM_DRAIN_MS))
		return false;
	stream_unlodge(s);
	stream_gate_free(s);
	conn_pipe_put(&t->mover.pipes, &s->pipe_in);
	link_edge_end(s->data, NULL);
	s->core = NULL;
	s->data = NULL;
	s->client_paused = false; /* for good, not for the core's queue */
	conn_pause(s->client, true);
	s->state = STREAM_HALF;
	return true;
}

void stream_relay_out(struct stream *s)
{
	const struct conn_way w = way_out(s);
	uint64_t before = s->bytes_out;
	ssize_t n = conn_move(&s->all->mover, &w);

	if (s->gate && s->use->service->answered && s->bytes_out > before)
		s->use->service->answered(s->gate);
	if (n > 0 && s->state == STREAM_HALF) {
		loop_timer_set(s->all->p.loop, &s->step, STREAM_HALF_MS); /* it was set before */
		if (link_edge_half_done(s->data))
			n = 0;
	}
	if (n < 0 || (n == 0 && !drain(s)))
		stream_over(s, n, "core");
}

/* ---- the data connection ---- */

static void core_readable(void *arg)
{
	struct stream *s = arg;

	if (s->state != STREAM_ENDED)
		stream_relay_out(s);
}

static void core_drained(void *arg)
{
	struct stream *s = arg;

	if (s->state == STREAM_ENDED || !s->client_paused)
		return;
	s->client_paused = false;
	conn_pause(s->client, false);
}

static void core_down(void *arg, int err, const char *why)
{
	struct stream *s = arg;

	(void)why; /* the same text, by its errno */
	if (s->state != STREAM_ENDED)
		stream_over(s, err, "core");
}

static void core_climbed(void *arg)
{
	stream_lodge(arg);
}

const struct conn_ops stream_core_ops = {
	.readable = core_readable,
	.drained = core_drained,
	.down = core_down,
	.climbed = core_climbed,
};

/* ---- the core's words ---- */

static void cap_over(void *arg)
{
	struct stream *s = arg;

	stream_refused(s, GATE_CAP_SECONDS, "");
	stream_end(s, true, "cap-seconds");
}

void stream_admit(struct stream *s, uint64_t max_bytes, uint32_t max_seconds)
{
	struct streams *t = s->all;
	char text[ADDR_TEXT_MAX];
	bool first = s->state != STREAM_ADMITTED;

	if (s->close_reason) /* the core has sent it away since */
		return;
	s->cap_bytes = max_bytes ? s->bytes_in + max_bytes : 0;
	loop_timer_cancel(t->p.loop, &s->deadline);
	s->deadline.fn = cap_over;
	if (max_seconds && loop_timer_set(t->p.loop, &s->deadline, max_seconds * 1000ull)) {
		stream_end(s, false, "out of memory");
		return;
	}
	stream_lodge_update(s);
	if (!first)
		return;
	stream_counts(s)->admitted += s->counted;
	stream_uncount(s);
	if (s->state == STREAM_HALF) /* late, but its bytes may take their time now */
		return;
	loop_timer_cancel(t->p.loop, &s->step);
	s->state = STREAM_ADMITTED;
	trace_put(TRACE_STREAM_ADMITTED, &(struct trace_ids){.stream = s->id}, 0, "%s", "");
	log_event(LOG_L_INFO, "stream-admitted", "stream=%llx peer=%s", (unsigned long long)s->id,
		  addr_text(&s->peer, text));
	/* What the gate had not passed yet; the core reads it with the same parser. */
	if (s->in_n && conn_write(s->core, span_of(s->in, s->in_n))) {
		stream_end(s, false, "core does not read");
		return;
	}
	stream_gate_free(s);
	conn_pause(s->client, false);
	stream_climb_start(s);
}

/* ---- the climb ---- */

static void climb(void *arg)
{
	struct stream *s = arg;
	struct streams *t = s->all;

	if (s->bytes_in + s->bytes_out < s->use->ktls_after_bytes)
		loop_timer_set(t->p.loop, &s->step, CLIMB_AGAIN_MS);
	else
		conn_climb(s->client, s->use->ktls == KTLS_MODE_TX);
}

/* A stream that ends soon is not worth a climb: it begins after an age. Without memory for the timer it just stays where it is. */
void stream_climb_start(struct stream *s)
{
	struct streams *t = s->all;

	if (!conn_tls(s->client)) /* it is in the kernel already */
		stream_lodge(s);
	if (s->use->ktls == KTLS_MODE_OFF)
		return;
	s->step.fn = climb;
	loop_timer_set(t->p.loop, &s->step, s->use->ktls_after_seconds * 1000ull);
}

void stream_deadline(struct stream *s, uint64_t due_ms)
{
	uint64_t now = loop_now_ms(s->all->p.loop);

	s->deadline.fn = cap_over;
	if (loop_timer_set(s->all->p.loop, &s->deadline, due_ms > now ? due_ms - now : 0))
		stream_end(s, false, "out of memory");
}

static void linger_over(void *arg)
{
	struct stream *s = arg;

	stream_end(s, true, s->close_reason);
}

void stream_core_close(struct stream *s, const char *reason)
{
	static const char *const none = "closed by the core";

	if (s->close_reason)
		return;
	s->close_reason = strndup(reason && *reason ? reason : none, CLOSE_REASON_MAX);
	stream_unlodge(s);
	loop_timer_cancel(s->all->p.loop, &s->deadline);
	s->deadline.fn = linger_over;
	if (!s->close_reason || loop_timer_set(s->all->p.loop, &s->deadline, CLOSE_LINGER_MS))
		stream_end(s, true, s->close_reason ? s->close_reason : none);
}
