/* tools/load_content.h -- what media of the load generator carries, and the exact judgement of what is heard.
 *
 * In: call, direction and number of a packet. Out: 160 bytes that no other packet of any call shares (a tag, then a pattern made from
 * it); on the other side a verdict, and by number what was lost, doubled or out of order. Pure functions, plain structs, no owner. */
#ifndef SALLYPORT_LOAD_CONTENT_H
#define SALLYPORT_LOAD_CONTENT_H

#include "user/span.h"

#define LOAD_PAYLOAD 160 /* 20 ms of PCMU */
#define LOAD_WINDOW \
	1024 /* numbers back from the highest that are told apart; older ones count as doubled */

struct load_tag {
	uint64_t call;
	uint8_t dir; /* 0: from the caller, 1: from the callee */
	uint32_t number;
	uint32_t sent_us; /* sender's monotonic clock, cut to 32 bits */
};

enum load_verdict {
	LOAD_HEARD,
	LOAD_GARBLED, /* no tag, or the pattern is not the tag's */
	LOAD_FOREIGN, /* another call's */
	LOAD_ECHO,    /* this call's, but our own direction */
	LOAD_VERDICTS
};

void load_content_write(const struct load_tag *t, uint8_t p[LOAD_PAYLOAD]);
/* @want: call and dir that should be heard. *out only on LOAD_HEARD. */
enum load_verdict load_content_check(struct span payload, const struct load_tag *want,
				     struct load_tag *out);

struct load_heard { /* one direction of one call, as its receiver counts it; zeroed is empty */
	bool any;
	uint32_t first, top; /* lowest and highest number heard */
	uint32_t received;   /* different ones */
	uint32_t doubled, reordered;
	uint64_t seen[LOAD_WINDOW / 64];
};

void load_heard_add(struct load_heard *h, uint32_t number);
/* Missing of numbers below @sent, from the first one heard on. What was sent before the first one heard is load_heard_early(): a
 * relay that latches has nowhere to send it. Nothing heard: all are missing, none early. */
uint32_t load_heard_lost(const struct load_heard *h, uint32_t sent);
uint32_t load_heard_early(const struct load_heard *h);

#endif
