/* user/gate_sip.h -- the SIP gate. See gate.h and stream_service.h.
 *
 * In: the bytes of a SIP stream that is not admitted, from a message boundary on. Out: gate.h's verdict on the next message. REGISTER by its
 * Request-URI, other requests by our topmost Route, else From (design 3). Keepalives are answered by the edge. Owner: the stream has the struct. */
#ifndef SALLYPORT_GATE_SIP_H
#define SALLYPORT_GATE_SIP_H

#include "sip/sip.h"
#include "user/stream_service.h"

#define GATE_WORK_MAX \
	(4u << 20)	   /* bytes read again and again because a message comes in dribbles */
#define GATE_PONGS_MAX 256 /* keepalives answered on a stream that is not admitted */

struct gate_sip_config {
	struct span host; /* our advertised SIP name */
	size_t message_max;
	bool (*served)(void *arg, struct span domain);
	void *arg;
};

struct gate_sip { /* one stream's; zeroed, then .client */
	struct addr client;
	unsigned unserved, pongs;
	uint64_t work; /* bytes parsed in vain so far */
	size_t tried; /* length of the input at the last try that wanted more; 0: none of this message */
	bool body; /* and its header was whole then */
};

/* Look at @in and fill @out. To be called again with the rest behind out->used until GATE_MORE or GATE_CLOSE. */
enum gate_verdict gate_sip_next(struct gate_sip *g, const struct gate_sip_config *c, struct span in,
				struct gate_out *out);

/* The service; its config is a struct gate_sip_config. */
extern const struct stream_service gate_sip_service;

#endif
