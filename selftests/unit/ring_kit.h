/* selftests/unit/ring_kit.h -- calls that only ring, for the tests of what becomes of them when their engine goes.
 *
 * In: the engine kit, with targets of the call server "kam". Out: an engine with alice on stream 1, her calls to bob inside and his
 * to her, not answered; crashes. */
#ifndef SALLYPORT_RING_KIT_H
#define SALLYPORT_RING_KIT_H

#include "selftests/unit/call_kit.h"

#define RING_A "10.0.0.5:5060"
#define RING_B "10.0.0.6:5060"
/* bob's for the answer to INVITE_IN: its argument is kit_path. */
#define RING_ACK_IN                                                                     \
	"ACK sip:alice@192.168.1.9:5061;transport=tls SIP/2.0\nVia: SIP/2.0/UDP "       \
	"10.0.0.5;branch=z9hG4bKx1\nRoute: %s\nFrom: <sip:bob@stand.test>;tag=b1\nTo: " \
	"<sip:alice@stand.test>;tag=x\nCall-ID: c1\nCSeq: 7 ACK\nMax-Forwards: 69\n"

struct kit *ring_new(unsigned n_targets); /* 1: RING_A; 2: then RING_B */
void ring_targets(struct kit *k, unsigned n);
/* An engine follows, takes up @ended INVITEs and all bindings, and then hears of RING_A; no call is left. */
void ring_crash(struct kit *k, unsigned ended);
void ring_crash_but(struct kit *k, unsigned ended, unsigned streams); /* kit_crash_but() */
unsigned ring_kept(const struct kit *k);			      /* INVITEs */
/* Nothing is left of anything. */
void ring_end(struct kit *k);
void kit_take_all(struct kit *k);
struct kit_msg *kit_at(struct kit_msg *m, const char *want); /* it went to that target */

/* alice calls bob: the INVITE as his call server got it; it rings. */
struct kit_msg *ring_out_invite(struct kit *k);
struct kit_msg *ring_out(struct kit *k);
/* bob calls alice: her 100; the INVITE as she got it, and it rings. */
void ring_in_invite(struct kit *k);
struct kit_msg *ring_in(struct kit *k);
void ring_in_ack(struct kit *k);
/* @status for @invite from inside gets its ACK there, and nothing is kept any more. */
void ring_terminated(struct kit *k, const struct kit_msg *invite, const char *status);

#endif
