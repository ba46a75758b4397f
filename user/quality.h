/* user/quality.h -- the quality of one direction's RTP as numbers: from a flow's record to JSON, and over the link.
 *
 * Data flow: bpf/quality.h fills struct flow_quality packet by packet (in BPF, on sockets, in a core) -> quality_of() -> struct quality ->
 * JSON of `flows` and `calls`, or FlowReport (edge) -> struct quality (core) -> JSON. Plain functions; nothing is kept.
 * What cannot be known is not told: jitter without a clock rate, and any loss where several sources share a flow (each change of source
 * hides what got lost between): then only received, restarts and ssrc mean something. */
#ifndef SALLYPORT_QUALITY_USER_H
#define SALLYPORT_QUALITY_USER_H

#include <stdbool.h>
#include <stdint.h>

struct flow_quality; /* bpf/abi.h */

#define QUALITY_CLOCKS 8 /* FLOW_CLOCKS */

struct quality {
	bool heard;	   /* a packet at all; else all is zero */
	bool mixed;	   /* sources alternate: loss, order and jitter are not known */
	bool timed;	   /* jitter is known */
	uint32_t ssrc;	   /* of the last packet, host order */
	uint32_t received; /* with duplicates */
	uint32_t expected, lost, reordered, duplicates, restarts;
	uint64_t jitter_ns; /* RFC 3550 6.4.1, now */
};

/* @clocks: what it is measured by, QUALITY_CLOCKS of FLOW_CLOCK(). */
void quality_of(const struct flow_quality *q, const uint32_t *clocks, struct quality *out);
/* Several flows as one: sums, the worst jitter, the first one's ssrc. */
void quality_add(struct quality *to, const struct quality *q);

#endif
