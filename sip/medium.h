/* sip/medium.h -- one m-line's media: ports on the edge and inside, keys in force.
 *
 * In: opens, sets and closes by offer.c. Out: one ENGINE_MEDIUM_OPEN and one ENGINE_MEDIUM_CLOSE each,
 * ENGINE_MEDIUM_SET between, and another OPEN where RTCP is parted from RTP later. A medium belongs to the offer that opened it until that is finished, then to the call. */
#ifndef SALLYPORT_SIP_MEDIUM_H
#define SALLYPORT_SIP_MEDIUM_H

#include "sip/engine_int.h"

struct call;

struct medium {
	struct tnode node;
	uint64_t id;
	struct call *call;
	bool ready, with_rtcp, silent, in_force, hold;
	bool parting; /* with_rtcp was asked for, and the answer is not here */
	bool pass;    /* SRTP from end to end */
	struct engine_medium_addrs a;
	struct engine_medium_set cur; /* in force; have_keys: was set */
	struct addr client_sdp, client_src;
};

/* On the edge of the call's stream. NULL: no stream or no memory. */
struct medium *medium_open(struct engine *e, struct call *c, bool with_rtcp, bool pass);
/* The client does not mux RTCP any more (RFC 5761 5.1.1): not ready until RTCP has ports of its own. -ENOMEM. */
int medium_part_rtcp(struct engine *e, struct medium *m);
void medium_close(struct engine *e, struct medium *m);
void medium_set(struct engine *e, struct medium *m, const struct engine_medium_set *set);

#endif
