/* user/media_core.h -- the core's media: flows on edges, one socket towards them, ports inside, SRTP <-> RTP between.
 *
 * Data flow, outwards in: edge's inside port -> our one link socket (a flow is known by the edge's address and port) ->
 * collected over a loop round -> srtp_open(batch) -> the flow's own inside socket -> inside phone. Back: inside socket ->
 * srtp_seal(batch) -> link socket -> edge's inside port.
 * A medium is one m-line: an RTP flow, and an RTCP flow where RTCP has its own port.
 *
 * Owner rules: media_core owns sockets, flows and sessions; the SIP side holds ids only. Allocation is asynchronous:
 * media_core_open() -> ops.opened() or ops.failed(), once; the same for each media_core_add_rtcp(). After media_core_close() no op is called for that id, both flows are
 * freed on the edge (Free is repeated by the next hello if the link is down), keys are wiped.
 * Punching (STUN binding request, RFC 5389 shape, MESSAGE-INTEGRITY under the flow's key, attributes flow id and a rising counter)
 * starts at once, every 250 ms until Punched, then every 15 s.
 * What outlives the worker: sockets (the keeper's), and with a struct keep every opened medium with its flows, addresses, keys and SRTP
 * indices. A media_core that starts takes all of it up and goes on before any link is up; media_core_free() leaves it there.
 * Quality (bpf/quality.h) is measured on both sides: of RTP that was opened and sent inside, of RTP from inside that was sealed and sent. It
 * begins anew with a new worker; what the edge measures goes on.
 * RTP from inside is accepted from any source on the inside network until the first packet, then from that source only, unless
 * media_core_set() named another. Where the address named is an inside leg of ours (a conversation between two outside users), RTP or
 * RTCP is handed to that leg without a socket, by the same rules; a leg that such an address was named to takes from there only.
 * The loop calls us at the end of its rounds until it is freed: free media_core when the loop has stopped. Two receives a medium
 * and one for the link: ops_max of the loop has to hold 2 x media_max + 1. At most 128 receive buffers are kept at once. */
#ifndef SALLYPORT_MEDIA_CORE_H
#define SALLYPORT_MEDIA_CORE_H

#include <stdbool.h>
#include <stdint.h>

#include <jansson.h>

#include "user/addr.h"
#include "user/keep.h"
#include "user/link.h"
#include "user/loop.h"
#include "user/quality.h"
#include "user/sockpool.h"
#include "user/srtp.h"

struct media_core;

struct media_addrs {
	struct addr outside_rtp,
		outside_rtcp; /* the edge's advertised address: goes into SDP towards the client */
	struct addr inside_rtp,
		inside_rtcp; /* ours: goes into SDP towards the inside; rtcp port = rtp port + 1 */
};

struct media_set {
	bool have_keys; /* both directions are known */
	enum srtp_suite open_suite, seal_suite;
	uint8_t open_key[SRTP_KEY_MAX], seal_key[SRTP_KEY_MAX]; /* the client's, ours */
	struct addr remote_rtp,
		remote_rtcp; /* inside party; port 0: not known, nothing is sent there */
	struct addr client;  /* where the client's signalling comes from now; port 0: as before */
	bool reopen; /* the client's media address or port changed: open the edge's latch window */
	/* FLOW_CLOCK()s of what the client sends, of what goes to it; both empty: as before. */
	uint32_t clocks_in[QUALITY_CLOCKS], clocks_out[QUALITY_CLOCKS];
};

struct media_report {
	uint64_t in_packets, out_packets; /* client -> inside sent; inside -> client sent */
	uint64_t results[SRTP_RESULTS];	  /* refused packets by reason */
	uint64_t dropped_unkeyed, dropped_source, dropped_send;
	uint64_t dropped_shape; /* neither RTP nor RTCP: STUN, DTLS, anything else */
	uint64_t joined;	/* the medium that RTP goes to without a socket; 0: none */
	uint32_t idle_ms; /* since the last good packet of any direction; 0xffffffff: none yet */
};

struct media_core_ops {
	void (*opened)(void *arg, uint64_t medium, const struct media_addrs *a);
	void (*failed)(void *arg, uint64_t medium, const char *reason);
	/* No packet either way for @silence_ms (also when there never was one); called once a silence. */
	void (*silent)(void *arg, uint64_t medium, uint32_t idle_ms);
};

struct media_core_params {
	struct loop *loop;
	int link_fd;	       /* our socket towards edges, bound, e.g. to port 2776 */
	struct addr link_bind; /* its address */
	struct addr inside;    /* address of the inside legs as inside parties see it, port 0 */
	struct sockpool inside_sockets;	    /* pairs: an even port and the next */
	struct keep *keep;		    /* NULL: nothing outlives us */
	unsigned keep_medium, keep_session; /* its kinds */
	uint32_t silence_ms;
	unsigned media_max; /* bound of media at once */
	const struct media_core_ops *ops;
	void *arg;
};

int media_core_new(const struct media_core_params *p, struct media_core **out);
void media_core_free(struct media_core *m);

/* Ask edge @edge (by name; its current link_peer) for one m-line's flows. @medium: caller's id, never 0, never used again.
 * @client: source address that may latch. @with_rtcp: RTCP on a port of its own. 0, -ENOBUFS (media_max or no inside port),
 * -ENOTCONN (that edge's link is down). */
int media_core_open(struct media_core *m, uint64_t medium, struct link_peer *edge,
		    const struct addr *client, bool with_rtcp);
/* RTCP of a medium that was opened without @with_rtcp gets a flow of its own. 0 and ops.opened() again (at once where it has one), or
 * ops.failed(): then the medium goes on as it was. -ENOENT, -EALREADY (asked for), -ENOTCONN, -EIO, -ENOMEM. */
int media_core_add_rtcp(struct media_core *m, uint64_t medium);
/* Sessions are made anew only for a key that changed. 0, -ENOENT, -ENOMEM, -EIO. */
int media_core_set(struct media_core *m, uint64_t medium, const struct media_set *s);
/* An unknown medium is fine; after failed() there is nothing left to close. */
void media_core_close(struct media_core *m, uint64_t medium);

/* From the link's ops. */
void media_core_link_up(struct media_core *m,
			struct link_peer *p); /* repeats Allocate for that edge's live flows */
void media_core_link_down(struct media_core *m, struct link_peer *p);
void media_core_message(struct media_core *m, struct link_peer *p, const Sallyport__Link *msg);
unsigned media_core_live(struct media_core *m, const char *edge, uint64_t *ids, unsigned max);

/* Media that are there, also those taken up from an earlier worker; @fn may close the one it is given. */
void media_core_each(const struct media_core *m, void (*fn)(void *arg, uint64_t medium), void *arg);
bool media_core_has(const struct media_core *m, uint64_t medium);
/* Bytes of a record of each kind. */
extern const uint32_t mc_keep_medium_max, mc_keep_session_max;

/* The RTP flow as the edge sees it, by its last report: from the client, to it. -ENOENT. */
int media_core_quality(const struct media_core *m, uint64_t medium, struct quality *out_in,
		       struct quality *out_out);
int media_core_report(const struct media_core *m, uint64_t medium, struct media_report *out);
/* For the summary, a walk over all media: adds the rows of media_core_show(), and what media carried since the worker's start. */
struct summary_flows;
void media_core_sum(const struct media_core *m, struct summary_flows *out);
json_t *media_core_show(const struct media_core *m); /* array of flows for sallyctl */
json_t *media_core_show_medium(const struct media_core *m, uint64_t medium); /* those of one */
json_t *media_core_counters(const struct media_core *m); /* object: what belongs to no medium */

#endif
