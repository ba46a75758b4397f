/* user/summary.h -- what one node says of itself in a page of numbers: on the status page, to the other node, to `sallyctl nodes`.
 *
 * Data flow: a daemon's own counters -> edge_summary.c or core_summary.c -> one JSON object -> nodes.c: GET /v1/nodes, NodeReport over the
 * link. The other way a report comes from a machine that may be in the wrong hands (an edge stands in the DMZ): summary_take() reads at
 * most 32 KiB, nothing nested deeper than SUMMARY_DEPTH, and makes a new object of the keys it knows, each of its type and within its limits.
 * A known key of another type, a name that is not plain text, a key twice: the whole report is refused. Unknown keys are left out, so
 * that a newer node may say more.
 *
 * Its shape ("?": where the role or the configuration has it), all counts since the start of the node's worker but for peaks:
 *   name, role ("edge", "core"), version, uptime_s, memory_kib, cpu_s
 *   registrations? {now, peak}   calls? {now, peak, total}    core. Peaks outlive a worker's death, in the keeper's memory
 *   flows {xdp, tc, user, terminated}       rows of `sallyctl flows` by rung
 *   media {packets_in, packets_out, bytes_in?, bytes_out?, lost, reordered}   of all flows since the worker's start, those that are over too
 *         {jitter_ms_p50, jitter_ms_max}   of live flows' directions, RFC 3550 6.4.1, as it is now; the median in steps of 0.1 ms
 *   streams {total, admitted, sip, https, xmpp, federation}, rungs {kernel, kernel_send, user, plain} of the admitted ones
 *   drain {on, since_s?, calls_left?, streams_left?}   while it is on
 *   refusals {REASON: n}, bans? {active, total}, certificates [{what, name, days_left, not_after}], links [{peer, state, up_s, pool_idle}]
 * Numbers and names of nodes and services only: never a user's.
 *
 * Cost: everything is a counter but rungs, flows and media, which are a walk; struct summary_walk says how often it may be made.
 * Owner rules: the caller owns every object; nothing is kept here. */
#ifndef SALLYPORT_SUMMARY_H
#define SALLYPORT_SUMMARY_H

#include <jansson.h>

#include "user/quality.h"
#include "user/span.h"
#include "user/tls.h"

#define SUMMARY_MAX	   32768u /* bytes of a report: LINK_REPORT_MAX */
#define SUMMARY_DEPTH	   3	  /* objects and arrays in one another */
#define SUMMARY_WHY_MAX	   160
#define SUMMARY_JITTER	   1000 /* 0.1 ms each */
#define SUMMARY_WALK_A_SEC 2000 /* things that walks may look at, a second */

/* Streams of one node. */
struct summary_streams {
	unsigned total, admitted;
	unsigned rungs[TLS_RUNG_C + 1], plain; /* of admitted ones */
};
/* What was missed or came late in the RTP of flows that are over. */
struct summary_heard {
	uint64_t lost, reordered;
};
/* Flows of one node: rows by rung, what they carried, and how it came (bpf/quality.h), both directions. */
struct summary_flows {
	unsigned xdp, tc, user, terminated;
	uint64_t packets_in, packets_out, bytes_in, bytes_out;
	struct summary_heard heard;
	uint32_t timed; /* directions of live flows whose jitter is known */
	uint64_t jitter_max_ns;
	uint32_t jitter
		[SUMMARY_JITTER]; /* how many of them, by tenths of a millisecond; the last: that or more */
};

static inline void summary_heard_add(struct summary_heard *h, const struct quality *q)
{
	h->lost += q->lost;
	h->reordered += q->reordered;
}

/* Of a live flow. */
static inline void summary_flows_hear(struct summary_flows *f, const struct quality *q)
{
	uint64_t tenths = q->jitter_ns / 100000;

	summary_heard_add(&f->heard, q);
	if (!q->timed)
		return;
	f->timed++;
	f->jitter[tenths < SUMMARY_JITTER ? tenths : SUMMARY_JITTER - 1]++;
	if (q->jitter_ns > f->jitter_max_ns)
		f->jitter_max_ns = q->jitter_ns;
}

/* A walk over @n things may be repeated after n / SUMMARY_WALK_A_SEC seconds: 10,000 streams are looked at every 5 s, 200 every time. */
struct summary_walk {
	uint64_t at_ms; /* 0: never */
	unsigned n;
};
bool summary_walk_due(const struct summary_walk *w, uint64_t now_ms);

/* Parts of an own summary. Each is added to @o. */
json_t *summary_new(const char *role, const char *name, uint64_t uptime_ms);
void summary_set_streams(json_t *o, const struct summary_streams *s);
void summary_set_flows(json_t *o, const struct summary_flows *f, bool edge);
/* A count under @key of @o, which is left away when it is 0 and @zeros is not wanted. */
void summary_count(json_t *o, const char *key, uint64_t n, bool zeros);
/* A row of @list for each name of a certificate that @c may show; none without one. */
void summary_certificate(json_t *list, const char *what, const struct tls_ctx *c);
/* Takes what `sallyctl drain status` shows while it is on; NULL: off. */
void summary_set_drain(json_t *o, json_t *shown);
/* Before the sandbox is closed: what memory and CPU time are read from. Later: set them. */
void summary_process_open(void);
void summary_set_process(json_t *o);

/* A report of the node @name of @role. 0 and *out; -EBADMSG or -E2BIG with @why. */
int summary_take(struct span text, const char *role, const char *name, json_t **out,
		 char why[SUMMARY_WHY_MAX]);

#endif
