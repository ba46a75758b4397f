/* sip/sdp_line.h -- the lines of a session description: what sdp.c and sdp_write.c share.
 *
 * In: a span of whole lines. Out: type letter and value of each, as slices. Private to sip/. No allocation, no owner. */
#ifndef SALLYPORT_SIP_SDP_LINE_H
#define SALLYPORT_SIP_SDP_LINE_H

#include "sip/sdp.h"

struct sdp_line {
	char type;
	struct span value; /* behind "x=", without the line end */
	struct span whole; /* with its line end */
};

/* 1: the next line; 0: no more; -EBADMSG. The last one may lack its line end: a multipart boundary takes it. */
int sdp_line_next(struct span *rest, struct sdp_line *out);
/* "name" and "value" of an attribute line's "name:value"; without a colon @value is empty. */
void sdp_attribute(struct span line_value, struct span *name, struct span *value);
/* Off the front of @s up to the next single space. False: the field is empty. */
bool sdp_field(struct span *s, struct span *out);

#endif
