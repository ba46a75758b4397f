/* user/gate.h -- the edge's SIP gate: may these bytes of a stream that is not admitted go to a core, and to whose?
 *
 * In: what a client's stream holds now, from a message boundary on. Out: a verdict, and with it the message to forward and
 * the domain whose core gets it, or the reply that the edge itself writes. Uses the core's own parser, so that both read a message alike.
 * Sans-I/O: no clock, no sockets, no logging; the stream owns the bytes, a verdict's spans point into them. After admission
 * the gate is not asked any more. */
#ifndef SALLYPORT_GATE_H
#define SALLYPORT_GATE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "sip/sip.h"
#include "user/addr.h"
#include "user/span.h"

#define GATE_REPLY_MAX 4096 /* bytes of a reply; a longer one is not sent */
#define GATE_UNSERVED_MAX \
	3 /* messages for domains that are not served, then the stream is closed */
#define GATE_WORK_MAX \
	(4u << 20)	   /* bytes read again and again because a message comes in dribbles */
#define GATE_PONGS_MAX 256 /* keepalives answered on a stream that is not admitted */

/* Why a stream or a message was refused; each counted and logged under its name. */
enum gate_reason {
	GATE_OK,
	/* by the gate */
	GATE_MALFORMED, /* the parser's own reason is beside it */
	GATE_TOO_LARGE,
	GATE_UNSERVED,	   /* domain not served here */
	GATE_NO_DOMAIN,	   /* no sip URI where the domain is looked for */
	GATE_NOT_ADMITTED, /* only REGISTER, OPTIONS, ACK and BYE before admission */
	GATE_RESPONSE,	   /* a response, to nothing that we asked */
	GATE_DRIBBLE,	   /* GATE_WORK_MAX or GATE_PONGS_MAX passed */
	/* by the stream around it */
	GATE_OTHER_CORE, /* a message for another core than the stream's own */
	GATE_NO_CORE,	 /* the domain's core is away or its pool is empty: 503 */
	GATE_TLS,	 /* TCP accepted, TLS handshake failed */
	GATE_CAP_BYTES,
	GATE_CAP_SECONDS,
	GATE_PREFIX_FULL, /* limits.unadmitted_prefix */
	GATE_TOTAL_FULL,  /* limits.unadmitted_total, or the table of streams */
	GATE_BANNED,	  /* accepted before the ban reached the kernel */
	GATE_REASONS
};
const char *gate_reason_name(enum gate_reason r); /* "unserved-domain" */
/* What a refusal adds to the ban score of its source: 0 for what an honest phone does after an outage. */
unsigned gate_reason_score(enum gate_reason r);

enum gate_verdict {
	GATE_MORE,    /* wait for more bytes; .used may still be > 0 */
	GATE_FORWARD, /* .forward to the core of .domain */
	GATE_REPLY,   /* write .reply (may be empty), go on behind .used */
	GATE_CLOSE,   /* write .reply (may be empty), close */
};

struct gate_config {
	struct span host; /* our advertised SIP name */
	size_t message_max;
	bool (*served)(void *arg, struct span domain);
	void *arg;
};

struct gate { /* one stream's; zeroed, then .client */
	struct addr client;
	unsigned unserved, pongs;
	uint64_t work; /* bytes parsed in vain so far */
	size_t tried; /* length of the input at the last try that wanted more; 0: none of this message */
	bool body; /* and its header was whole then */
};

struct gate_out {
	size_t used;
	struct span forward,
		domain; /* domain empty: any core, its token names it (RFC 3261 16.4) */
	enum sip_method method;
	enum gate_reason reason; /* GATE_OK unless something was refused */
	enum sip_why why;	 /* of GATE_MALFORMED and GATE_TOO_LARGE */
	size_t reply_n;
	uint8_t reply[GATE_REPLY_MAX];
};

/* Look at @in and fill @out. To be called again with the rest behind out->used until GATE_MORE or GATE_CLOSE. */
enum gate_verdict gate_next(struct gate *g, const struct gate_config *c, struct span in,
			    struct gate_out *out);

#endif
