/* user/slots.h -- which slots of the flow maps, and with them which ports, are free.
 *
 * In: address pairs and their ranges. Out: a slot with an even outside port for RTP, and right behind it the one for its RTCP (RFC 3550 11).
 * Slots are kept in couples: a couple rests SLOTS_REST_MS after its last flow, so that late packets of one call do not meet
 * the next. First freed, first given: ports go round. Owns its queues; no clock, no maps. */
#ifndef SALLYPORT_SLOTS_H
#define SALLYPORT_SLOTS_H

#include <stdbool.h>
#include <stdint.h>

#define SLOTS_REST_MS 30000

struct slots;

struct slots_pair {
	uint16_t outside_base, range;
};

int slots_new(const struct slots_pair *pairs, unsigned n_pairs,
	      struct slots **out); /* 0 or -ENOMEM, -EINVAL */
void slots_free(struct slots *s);
/* A flow that lives already; all of them before slots_start(). -EEXIST, -ERANGE. */
int slots_adopt(struct slots *s, uint32_t slot);
/* Open the queues, each pair's round beginning at a place that @seed chooses: a restarted worker does not know what rests. */
void slots_start(struct slots *s, uint64_t seed);
/* 0 or -ENOSPC: everything of this pair is in use or rests. */
int slots_take(struct slots *s, unsigned pair, uint64_t now_ms, uint32_t *out_slot);
/* The slot behind @rtp: -EEXIST when it is taken. */
int slots_take_next(struct slots *s, uint32_t rtp, uint32_t *out_slot);
void slots_give(struct slots *s, uint32_t slot, uint64_t now_ms);
unsigned slots_pair_of(const struct slots *s, uint32_t slot);
uint32_t slots_used(const struct slots *s);

#endif
