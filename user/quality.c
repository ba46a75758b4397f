/* user/quality.c -- see quality.h. In: records. Out: numbers. */
#include "user/quality.h"

#include <arpa/inet.h>

#include "bpf/abi.h"

_Static_assert(QUALITY_CLOCKS == FLOW_CLOCKS, "one length of lists");

/* So many changes of source, and more than one in so many packets: they alternate. A call that is held or transferred has a handful. */
#define MIXED_MIN   16
#define MIXED_SHARE 32

static bool measured_by(const struct flow_quality *q, const uint32_t *clocks)
{
	unsigned i;

	if (!q->tick)
		return false;
	for (i = 0; i < FLOW_CLOCKS; i++)
		if ((clocks[i] & 0xff) == (0x80u | q->type))
			return q->tick == QUALITY_TICK(clocks[i] >> 8);
	return false;
}

void quality_of(const struct flow_quality *q, const uint32_t *clocks, struct quality *out)
{
	uint32_t unique;

	*out = (struct quality){.heard = q->received != 0};
	if (!out->heard)
		return;
	out->ssrc = ntohl(q->ssrc);
	out->received = q->received;
	out->restarts = q->restarts;
	out->mixed = q->restarts >= MIXED_MIN && q->restarts > q->received / MIXED_SHARE;
	if (out->mixed)
		return;
	out->expected = q->highest - q->base + 1;
	out->reordered = q->reordered;
	out->duplicates = q->duplicates;
	unique = q->received - q->duplicates;
	out->lost = out->expected > unique ? out->expected - unique : 0;
	out->timed = measured_by(q, clocks);
	out->jitter_ns = out->timed ? QUALITY_JITTER_NS(q->jitter) : 0;
}

void quality_add(struct quality *to, const struct quality *q)
{
	if (!q->heard)
		return;
	if (!to->heard)
		to->ssrc = q->ssrc;
	to->heard = true;
	to->mixed |= q->mixed;
	to->timed |= q->timed;
	to->received += q->received;
	to->expected += q->expected;
	to->lost += q->lost;
	to->reordered += q->reordered;
	to->duplicates += q->duplicates;
	to->restarts += q->restarts;
	if (q->jitter_ns > to->jitter_ns)
		to->jitter_ns = q->jitter_ns;
}
