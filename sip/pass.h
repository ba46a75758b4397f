/* sip/pass.h -- SRTP keys that pass from one party to the other: calls of a server whose media the core does not decrypt.
 *
 * In: a parsed m-line of an offer or an answer. Out: its a=crypto lines that may pass, as they came (RFC 4568); whether an answer
 * took one of those that were offered. Both ends make and read the keys; we see to it only that none of them switches the
 * encryption off, because a client's leg is always SRTP. No allocation; struct pass_offer is the caller's. */
#ifndef SALLYPORT_SIP_PASS_H
#define SALLYPORT_SIP_PASS_H

#include "sip/sdp.h"

struct pass_offer { /* what was offered: an answer repeats the tag and suite of one */
	unsigned n;
	uint32_t tag[SDP_CRYPTO_MAX];
	struct {
		uint8_t n;
		char text[40]; /* longer names than any that is registered do not pass */
	} suite[SDP_CRYPTO_MAX];
};

/* RTP/SAVP or RTP/SAVPF. */
bool pass_secure(const struct sdp_media *sm);
/* Lines that may pass: a suite that encrypts, and no parameter that ends encryption or authentication (RFC 4568 6.3). Returns
 * their number; @out holds whole lines of the message. */
unsigned pass_lines(const struct sdp_media *sm, struct span out[SDP_CRYPTO_MAX]);
/* Keep what @sm offers. False: nothing that may pass. */
bool pass_offer_read(const struct sdp_media *sm, struct pass_offer *out);
/* An answer's one line, which may pass and was offered (RFC 4568 5.1.3). */
bool pass_answer_ok(const struct pass_offer *o, const struct sdp_media *sm);

#endif
