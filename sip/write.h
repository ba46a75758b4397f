/* sip/write.h -- building a message by copying slices and replacing some: span-preserving edits.
 *
 * In: a parsed message and a list of edits. Out: bytes in the caller's buffer. A header field that is not named by an edit is
 * copied byte for byte, in its order. No allocation: an overflow is remembered and told at the end. */
#ifndef SALLYPORT_SIP_WRITE_H
#define SALLYPORT_SIP_WRITE_H

#include "sip/sip.h"

struct sip_out { /* a bounded writer */
	uint8_t *p;
	size_t n, cap;
	bool overflow;
};

void sip_out_init(struct sip_out *o, void *buf, size_t cap);
void sip_out_span(struct sip_out *o, struct span s);
void sip_out_text(struct sip_out *o, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
/* "Name: value\r\n" */
void sip_out_header(struct sip_out *o, const char *name, struct span value);
/* Finish with Content-Length and body. Returns the total length or -E2BIG. */
ssize_t sip_out_body(struct sip_out *o, struct span body);

#endif
