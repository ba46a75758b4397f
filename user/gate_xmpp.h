/* user/gate_xmpp.h -- the edge's chat gate: may these bytes of a client that is not admitted go to a core, and to whose?
 *
 * Data flow: a client's bytes -> xmpp/reader.h -> one verdict a call. Before TLS (port 5222) the edge itself answers: its own stream
 * header and features for a served domain, then <proceed/> to exactly <starttls/> (RFC 6120 5.4.2). After TLS a header for that
 * domain is forwarded to its core, as it came; from there on the core answers, and only SASL (RFC 6120 6.4), SASL2 (XEP-0388) and
 * the new header behind them pass until the core admits. What is refused gets the stream error of RFC 6120 4.9.3 that fits, behind
 * a header of ours where none was sent. Bytes behind <starttls/> would be read by a careless receiver as if they had come under
 * TLS: such a connection is dropped without a word.
 *
 * Owner rules: sans-I/O: no clock, no sockets, no logging. The stream owns the gate (gate_xmpp_init, _fini) and the bytes; spans
 * of a verdict point into them or into the gate, until the next call. The gate owns what its reader allocates, at most 64 KiB.
 * A verdict is given again as long as its bytes were not consumed, so a stream can wait for a core, or hold a refusal.
 * Limits: xmpp_limits_stranger (header 2 KiB, stanza 16 KiB, depth 16, ...); config.bytes; GATE_XMPP_ELEMENTS, GATE_XMPP_HEADERS. */
#ifndef SALLYPORT_GATE_XMPP_H
#define SALLYPORT_GATE_XMPP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "user/span.h"
#include "user/stream_service.h"
#include "xmpp/reader.h"

#define GATE_XMPP_ELEMENTS 64 /* of SASL, on a stream that is not admitted */
#define GATE_XMPP_HEADERS  4  /* after TLS: the first and those behind an authentication */
#define GATE_XMPP_ID_MAX   33 /* hexadecimal digits and NUL */
#define GATE_XMPP_DETAIL   160

struct gate_xmpp_config {
	struct span host;   /* our advertised name: "from" where no domain of ours is known yet */
	uint64_t bytes;	    /* a stream may send until it is admitted */
	unsigned long salt; /* random: struct xmpp_setup */
	/* @domain: A-labels, lower case. */
	bool (*served)(void *arg, struct span domain);
	void *arg;
	/* Random hexadecimal digits: the id of a header of ours, which nobody may guess (RFC 6120 4.7.3). */
	void (*id)(char out[GATE_XMPP_ID_MAX]);
};

struct gate_xmpp { /* one stream's; private */
	struct xmpp_reader reader;
	bool plain;    /* TLS has not begun */
	bool answered; /* a header came from our side on this document: ours, or the core's */
	bool sasl;     /* something of SASL went to the core: an Admit may follow */
	bool closed;   /* the client ended its stream */
	bool broken;   /* the reader refused something */
	uint8_t elements, headers;
	size_t waiting; /* bytes that are to be forwarded, and did not go yet */
	uint64_t base;	/* offset in the stream of the input's first byte */
	enum gate_reason over;
	struct xmpp_domain domain; /* n 0: not known yet */
	char id[GATE_XMPP_ID_MAX];
	char detail[GATE_XMPP_DETAIL];
};

/* TLS is to come by <starttls/>, or has come already: then gate_xmpp_tls() follows at once. */
void gate_xmpp_init(struct gate_xmpp *g, const struct gate_xmpp_config *c);
void gate_xmpp_fini(struct gate_xmpp *g);
/* The handshake is over; @sni may be empty. A name that is served binds the stream to it; another one (the edge's own) tells
 * nothing. */
void gate_xmpp_tls(struct gate_xmpp *g, const struct gate_xmpp_config *c, struct span sni);
/* What was to be forwarded has gone, and the input moves on. */
void gate_xmpp_sent(struct gate_xmpp *g);
/* The core wrote something to the client: a header first, if one went to it. */
void gate_xmpp_answered(struct gate_xmpp *g);

/* Look at @in and fill @out. To be called again with what is behind out->used until GATE_MORE or GATE_CLOSE; with the same bytes after
 * GATE_FORWARD until gate_xmpp_sent(), and after a refusal. GATE_CLOSE with GATE_OK: the client took its leave. */
enum gate_verdict gate_xmpp_next(struct gate_xmpp *g, const struct gate_xmpp_config *c,
				 struct span in, struct gate_out *out);
/* Refused by the stream around the gate: no core, a cap, a table that is full. Fills .reply, .reason and .detail. */
void gate_xmpp_refuse(struct gate_xmpp *g, const struct gate_xmpp_config *c,
		      enum gate_reason reason, struct gate_out *out);

/* For a gate of streams between servers: how @why is counted; the condition and text of a @reason that is the gate's own. */
enum gate_reason gate_xmpp_reader_reason(enum xmpp_why why);
const char *gate_xmpp_condition(enum gate_reason reason, const char **text);
/* A header of ours, if it is @owed, then the error. Bytes, 0 where they do not fit. */
size_t gate_xmpp_error(bool owed, const struct xmpp_header *h, const char *condition,
		       struct span text, uint8_t *buf, size_t n);

/* The service; its config is a struct gate_xmpp_config. */
extern const struct stream_service gate_xmpp_service;

#endif
