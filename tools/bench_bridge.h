/* tools/bench_bridge.h -- calls through a real core: the edge, the client and the call server around it in one thread.
 *
 * Data flow: link_edge (the real one) takes the core's connections -> a stream for each of four registered users, INVITEs with SRTP -> the core's
 * INVITEs at our UDP socket are answered with RTP -> the core's Allocate is answered with ports that nobody listens on. What then
 * goes over those ports is the caller's, who reads where in struct bridge_call. Left out of an edge's part: FlowReports (one a
 * flow every 2 s) and a check of the punches. Owner rules: the bridge owns its loop, sockets and calls. One thread. */
#ifndef SALLYPORT_BENCH_BRIDGE_H
#define SALLYPORT_BENCH_BRIDGE_H

#include <stdbool.h>
#include <stdint.h>

#include "user/addr.h"

#define BRIDGE_CALLS_MAX 2000
#define BRIDGE_KEY	 30 /* AES_CM_128_HMAC_SHA1_80, key and salt */

struct bridge_params {
	const char *pki;		  /* directory of `sallyctl pki` */
	const char *edge, *core, *domain; /* names */
	struct addr link_listen, sip;	  /* ours */
	struct addr edge_inside;	  /* address of the edge's inside ports */
	struct addr phones;		  /* of all phones inside */
	unsigned calls;
	bool joined; /* the call server has each two neighbours talk to each other, instead of to a phone */
};

struct bridge_call {
	struct addr core;   /* where the phone sends to */
	uint16_t edge_port; /* the edge's port, inside and outside */
	uint16_t phone_port;
	uint8_t client_key[BRIDGE_KEY];
	bool up;
};

struct bridge;

/* Sockets are made in the network namespace that the thread is in. 0 or negative errno after a message. */
int bridge_open(const struct bridge_params *p, struct bridge **out);
void bridge_close(struct bridge *b);
/* Wait for the core's link, register, set up all calls: 0, or -ETIMEDOUT after @seconds with a message. */
int bridge_up(struct bridge *b, unsigned seconds);
/* Serve the link for that long. */
void bridge_run(struct bridge *b, unsigned ms);
const struct bridge_call *bridge_call(const struct bridge *b, unsigned i);

#endif
