/* user/gate_federation.h -- the gate of chat between servers: to which domain of ours does another organisation's server want?
 *
 * Data flow: the first bytes of a connection to port 5269 -> the stream header's "to" (RFC 6120 4.7.2), or, where they are a ClientHello,
 * its server name (XEP-0368) -> from the first byte on all goes to the core of that domain. TLS is between the two servers: certificates
 * and dialback are checked by them, and nothing is decided here but the way. So this gate takes no stream's end for it, and answers only
 * before it has let something through: by a stream error, or a TLS alert.
 * Owner rules: as gate_xmpp.h. Limits: a header of 2 KiB, a ClientHello of one record (16 KiB). */
#ifndef SALLYPORT_GATE_FEDERATION_H
#define SALLYPORT_GATE_FEDERATION_H

#include "user/gate_xmpp.h"
#include "user/tls_hello.h"

struct gate_federation { /* one connection's; private */
	struct xmpp_reader reader;
	bool known;  /* .domain is; all passes from here on */
	bool direct; /* it begins with TLS */
	bool passed; /* something went to the core, so nothing of ours may follow */
	struct xmpp_domain domain;
	char detail[GATE_XMPP_DETAIL];
};

/* As gate_xmpp_next(). GATE_FORWARD: out->alpn says "xmpp-server" where TLS began at once. */
enum gate_verdict gate_federation_next(struct gate_federation *g, const struct gate_xmpp_config *c,
				       struct span in, struct gate_out *out);

/* The service; its config is a struct gate_xmpp_config. Its TLS is never ours: listeners are plain. */
extern const struct stream_service gate_federation_service;

#endif
