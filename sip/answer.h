/* sip/answer.h -- the refusal of a request that no transaction was made for: malformed, too large, not for us.
 *
 * In: the request's bytes, well-formed or not, and a status. Out: the response's bytes (RFC 3261 8.2.6: Via, From, To, Call-ID and CSeq
 * copied as they came, a To tag added). Used by the edge's gate and by the core's streams. Pure functions, no owner. */
#ifndef SALLYPORT_SIP_ANSWER_H
#define SALLYPORT_SIP_ANSWER_H

#include "sip/sip.h"

#define SIP_ANSWER_MAX 4096 /* bytes of an answer; a longer one is not sent */

/* To the request at the start of @in, also when it is malformed, as long as these fields can be told apart. @extra: further header
 * lines with CRLF, or "". Returns the length, or 0: nothing can or may be answered (a response, an ACK, fields missing, too long). */
size_t sip_answer(struct span in, unsigned status, const char *phrase, const char *extra,
		  uint8_t *buf, size_t n);
/* The same to a request that parsed. */
size_t sip_answer_msg(const struct sip_msg *m, unsigned status, const char *phrase,
		      const char *extra, uint8_t *buf, size_t n);

#endif
