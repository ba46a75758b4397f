/* user/edge_dial.h -- chat servers inside reach those of other organisations: the core asks, the edge looks up, connects, and hands over.
 *
 * Data flow: Dial of a core -> SRV (RFC 6120 3.2.1; for "xmpp-server" without records the name itself, port 5269: 3.2.2; XEP-0368 for
 * "xmpps-server") -> its targets by priority and weight (RFC 2782), one after the other -> the first connection that comes up, and a data
 * connection of that core, become a stream (streams_dialled()) -> DialResult. TLS is between the two servers; no byte is read here.
 * Which domains may be reached the core decides; this side keeps the core's users out of networks that only the edge can see: never
 * loopback, link-local, multicast; private addresses only where the configuration says so.
 * Owner rules: owns a dial until its stream begins, or it failed; then the connection is the stream's. One DialResult for each Dial, unless
 * the core's link is over first, which ends its dials.
 * Limits: EDGE_DIALS at once, EDGE_DIALS_CORE of one core; 5 s a target, 25 s in all; 2 s for a data connection. */
#ifndef SALLYPORT_EDGE_DIAL_H
#define SALLYPORT_EDGE_DIAL_H

#include <jansson.h>

#include "user/dns.h"
#include "user/stream.h"

#define EDGE_DIALS	256
#define EDGE_DIALS_CORE 64
#define EDGE_DIAL_MS	25000

struct edge_dials;

struct edge_dials_params {
	struct loop *loop;
	struct dns *
		dns; /* its own from here on; NULL: dialling is off, and every Dial is answered so */
	struct streams *streams;
	bool private_too; /* RFC 1918, fc00::/7 and what else is not of the internet, but not of this host or link */
	uint64_t seed; /* random: for the order of equal targets */
};

int edge_dials_new(const struct edge_dials_params *p, struct edge_dials **out); /* 0 or -ENOMEM */
/* Before the streams; it answers nobody any more. */
void edge_dials_free(struct edge_dials *d);
/* Dial of core @p; others are ignored. True: it was one. */
bool edge_dials_message(struct edge_dials *d, struct link_peer *p, const Sallyport__Link *m);
/* The link of core @p is over. */
void edge_dials_down(struct edge_dials *d, const struct link_peer *p);
json_t *edge_dials_status(const struct edge_dials *d);

#endif
