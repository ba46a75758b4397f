/* user/gate.h -- what the gates of all services say: verdicts and reasons. A gate is the small parser that reads a stream on the edge until
 * the core admits it: may these bytes go to a core, and to whose?
 *
 * In: what a client's stream holds now, from where the gate left off. Out: a verdict, and with it bytes to forward and the domain whose
 * core gets them, or the reply that the edge itself writes. A gate uses the core's own parser, so that both read a message alike.
 * Sans-I/O: no sockets, no logging; the stream owns the bytes, a verdict's spans point into them. Who calls it: stream_service.h. */
#ifndef SALLYPORT_GATE_H
#define SALLYPORT_GATE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "user/addr.h"
#include "user/span.h"

#define GATE_REPLY_MAX 4096 /* bytes of a reply; a longer one is not sent */
#define GATE_UNSERVED_MAX \
	3 /* messages for domains that are not served, then the stream is closed */

/* Why a stream or a message was refused; each counted, by service, and logged under its name. */
enum gate_reason {
	GATE_OK,
	/* by a gate */
	GATE_MALFORMED, /* the parser's own reason is beside it */
	GATE_TOO_LARGE,
	GATE_UNSERVED,	   /* domain not served here */
	GATE_NO_DOMAIN,	   /* none where the domain is looked for */
	GATE_NOT_ADMITTED, /* what only an admitted stream may send */
	GATE_RESPONSE,	   /* a response, to nothing that we asked */
	GATE_BUDGET,	   /* more requests than a stream may make before it is admitted */
	GATE_NO_TOKEN,	   /* neither a session's token nor a way to get one */
	GATE_TOKEN_TIME, /* a good token, but over (or not begun): a laptop that wakes up is no attacker */
	GATE_TOKEN_KEY,	   /* signed by a key that no core told of, or no token at all */
	GATE_TOKEN_DOMAIN, /* another domain's */
	GATE_TOKEN_FORGED, /* the signature is not its key's */
	GATE_DRIBBLE,	   /* it costs more than it says: a gate's own bound on work was passed */
	/* by the stream around it */
	GATE_OTHER_CORE, /* a message for another core than the stream's own */
	GATE_NO_CORE,	 /* the domain's core is away: 503 */
	GATE_NO_IDLE,	 /* its pool of connections is empty: 503 */
	GATE_TLS,	 /* TCP accepted, TLS handshake failed */
	GATE_CAP_BYTES,
	GATE_CAP_SECONDS,
	GATE_PREFIX_FULL, /* limits.unadmitted_prefix */
	GATE_TOTAL_FULL,  /* limits.unadmitted_total, or the table of streams */
	GATE_BANNED,	  /* accepted before the ban reached the kernel */
	GATE_SLOW,	  /* a message was begun and not ended within the service's seconds */
	/* by the chat gate (gate_xmpp.h) */
	GATE_RESTRICTED_XML, /* document type, entity, comment, processing instruction */
	GATE_TLS_REQUIRED,   /* anything but <starttls/> before TLS */
	GATE_INJECTION,	     /* bytes behind <starttls/>, before the handshake */
	GATE_OTHER_HOST,     /* "to" is not the domain of before, or of SNI */
	GATE_NOT_AUTHORIZED, /* anything but SASL before admission */
	GATE_ELEMENTS,	     /* of SASL, or headers, more than one stream may send */
	/* by the stream around it */
	GATE_DRAINING, /* this edge, or all cores of the domain, are being taken out of service (drain.h) */
	GATE_REASONS
};
const char *gate_reason_name(enum gate_reason r); /* "unserved-domain" */
/* What a refusal adds to the ban score of its source: 0 for what an honest client does after an outage. */
unsigned gate_reason_score(enum gate_reason r);

enum gate_verdict {
	GATE_MORE,    /* wait for more bytes; .used may still be > 0 */
	GATE_FORWARD, /* .forward to the core of .domain */
	GATE_REPLY,   /* write .reply (may be empty), go on behind .used */
	GATE_CLOSE,   /* write .reply (may be empty), close */
	GATE_STARTTLS, /* write .reply, then TLS; only on a stream that began without, and bytes behind .used end it */
};

struct gate_out {
	size_t used; /* of the input, from its front; what is forwarded lies within, or is elsewhere until the next call */
	struct span forward, domain; /* domain empty: the stream's core; where it has none, any */
	bool may_admit; /* with GATE_FORWARD: what goes to the core now can bring an Admit */
	bool old; /* with GATE_FORWARD: it belongs to what an earlier stream began, and passes while the edge drains */
	bool may_hold; /* refused only since there is no Admit: one that is on its way may still come */
	bool begun; /* with GATE_MORE: a message is begun (or the first one awaited), and must end in time */
	enum gate_reason reason; /* GATE_OK unless something was refused */
	const char
		*alpn; /* with GATE_FORWARD, static: what it speaks where its TLS is not ours; "" */
	const char *detail; /* static: what the parser had against it, for the log; "" */
	size_t reply_n;
	uint8_t reply[GATE_REPLY_MAX];
};

/* Nothing said yet; the reply's bytes are left as they are. */
static inline void gate_out_init(struct gate_out *out)
{
	out->used = out->reply_n = 0;
	out->forward = out->domain = (struct span){};
	out->may_admit = out->old = out->may_hold = out->begun = false;
	out->reason = GATE_OK;
	out->alpn = out->detail = "";
}

#endif
