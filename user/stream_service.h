/* user/stream_service.h -- what makes a stream one of SIP, HTTPS or XMPP on the edge: its name, and its gate.
 *
 * Data flow: a client's bytes -> stream_gate.c keeps them until the service's gate says what becomes of them (gate.h) -> what is to be
 * forwarded goes to a core in a stream that Open calls by .name -> after Admit nobody asks the gate again, and its state is freed.
 * All else about a stream is the same for every service: accept, TLS, caps, routes to cores, moving bytes, kernel TLS, the lodge.
 * Owner rules: a service is a static, constant struct; a stream owns its gate's state, .gate_size bytes, from the end of its TLS handshake
 * (or, begun without TLS, from its start) to admission or its end. Gates do no I/O, and keep no span longer than a call. */
#ifndef SALLYPORT_STREAM_SERVICE_H
#define SALLYPORT_STREAM_SERVICE_H

#include "user/gate.h"

/* In the lodge's records: only added to. */
enum stream_service_id {
	STREAM_SIP,
	STREAM_HTTPS,
	STREAM_XMPP,
	STREAM_XMPP_SERVER, /* of servers: their TLS is not ours */
	STREAM_SERVICES
};

struct stream_service {
	enum stream_service_id id;
	const char *name; /* in Open, in logs, for sallyctl */
	size_t gate_size; /* of a gate's state, zeroed before .init */
	/* The core answers in the order of what it was asked, and a client may end its half and still listen (HTTP). So its clean end is passed
	 * on as just that (design 3), and what is refused once something went to the core is no reply in between: the core is told that the
	 * client has ended, and the reply, if there is one, goes out when the core has. */
	bool in_order;
	/* Bytes up to limits.unadmitted_bytes go to the core; then, if an Admit may come, the client waits for it, not beyond
	 * unadmitted_seconds. Otherwise one byte more ends the stream. */
	bool cap_waits;
	/* @config: the service's own, from struct stream_use. 0 or negative errno. */
	int (*init)(void *gate, const void *config, const struct addr *client);
	void (*fini)(void *gate); /* NULL: nothing to free */
	/* The TLS handshake is over; @sni: what the client sent, or empty. NULL: that tells the gate nothing. */
	void (*tls)(void *gate, const void *config, struct span sni);
	/* The core wrote to the client. NULL: that tells the gate nothing. */
	void (*answered)(void *gate);
	/* What a connection without TLS is told that gets no stream, since a table is full: bytes, or negative. NULL: nothing. */
	ssize_t (*busy)(const void *config, uint8_t *buf, size_t n);
	/* What the last GATE_FORWARD wanted has gone to the core, and the input moves on. Until then .next is asked again with the same
	 * bytes, and must say the same. NULL: there is no state that depends on it. */
	void (*sent)(void *gate);
	/* Look at @in and fill @out. Called again with the rest behind out->used until GATE_MORE, GATE_CLOSE or an Admit; after GATE_MORE
	 * when more bytes are there; and with the same bytes, once a stream has waited for an Admit. */
	enum gate_verdict (*next)(void *gate, const void *config, struct span in,
				  struct gate_out *out);
	/* @out was GATE_FORWARD and cannot be, or (GATE_TOO_LARGE, GATE_CAP_*, GATE_SLOW) the stream is to end: fill in a reply, and say
	 * whether it goes on (GATE_REPLY) or not (GATE_CLOSE). For the last ones out->forward is what the gate had not used. */
	enum gate_verdict (*instead)(void *gate, const void *config, enum gate_reason reason,
				     struct gate_out *out);
};

#endif
