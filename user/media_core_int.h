/* user/media_core_int.h -- what the parts of media_core share.
 *
 * media_core.c: media, their timers and the public calls. media_core_link.c: messages to and from edges, punching.
 * media_core_data.c: sockets' packets through SRTP. media_core_port.c: port pairs inside. media_core_keep.c: what outlives us.
 * media_core_join.c: legs that talk to legs of ours. media_core_rtcp.c: a second flow later. media_core_show.c: JSON, reports.
 * Owner: struct media_core owns all of it; one thread. */
#ifndef SALLYPORT_MEDIA_CORE_INT_H
#define SALLYPORT_MEDIA_CORE_INT_H

#include "bpf/abi.h"
#include "user/media_core.h"
#include "user/punch.h"
#include "user/summary.h"

#define MC_ALLOCATE_MS	 5000 /* then failed("timeout") */
#define MC_PUNCH_FAST_MS 250
#define MC_PUNCH_MS	 15000
#define MC_PORT_REST_MS	 5000
#define MC_NEVER	 UINT32_MAX
#define MC_NO_PAIR	 UINT32_MAX
#define MC_NO_BUF	 UINT32_MAX
#define MC_EDGE_NAME_MAX 128

struct medium;

/* Towards the client: a flow on the edge. */
struct mc_flow {
	uint64_t id, counter; /* of the last punch */
	struct medium *medium;
	uint8_t punch_key[PUNCH_KEY_LEN];
	bool rtcp, asked, allocated, punched, hashed;
	bool reopen; /* asked for, and not answered: asked again when the link comes back */
	struct addr outside, edge;	    /* the edge's public side; its inside port */
	struct addr punched_from, latched;  /* as the edge saw us; the client */
	uint64_t edge_in, edge_out;	    /* packets, by FlowReport, */
	struct quality heard_in, heard_out; /* and what of them was RTP */
	uint32_t edge_idle_ms;
	struct loop_timer punch;
	struct mc_flow *next_id, *next_edge;
};

/* Towards the inside: one socket. */
struct mc_leg {
	struct medium *medium;
	int fd;
	bool rtcp, latched;
	struct addr local, remote,
		from; /* advertised; named by media_core_set(); who really sends */
	struct loop_handle rx;
	uint64_t in, out;	      /* sent inside; sent to the client */
	uint64_t in_bytes, out_bytes; /* of them, UDP payload */
	struct mc_leg *join; /* the leg of ours that remote is: it is handed what would be sent */
	struct mc_leg *join_next, **join_prev, *joined_by; /* those that hand to the same; to us */
};

struct medium {
	struct media_core *m;
	uint64_t id;
	char edge[MC_EDGE_NAME_MAX];
	struct link_peer *peer; /* NULL while the link is down */
	struct addr client;
	unsigned flows;	 /* 1: RTCP, if any, comes on the RTP flow (RFC 5761) */
	bool muxed;	 /* was opened so: RTCP is told by its type on that flow */
	bool adding;	 /* the second flow is asked for, see media_core_rtcp.c */
	uint8_t rtcp_on; /* the flow that the client's RTCP came by last */
	struct loop_timer add_timer;
	struct mc_flow flow[2];
	struct mc_leg leg[2];
	uint32_t pair;
	bool opened, keyed;
	struct media_set set;
	struct srtp_session *open, *seal;
	uint64_t keep_open, keep_seal; /* ids of their records; 0: none */
	uint64_t last_ms;	       /* last good packet, opening or setting */
	uint64_t told_ms;	       /* the last_ms that silent() was told of */
	bool told, any;
	struct loop_timer timer; /* allocation, then silence */
	struct media_report report;
	struct flow_quality heard_in, heard_out; /* RTP of its own, from the edge and from inside */
	struct flow_clocks clocks;
	struct medium *next, *next_local, *list_next, **list_prev;
};

struct mc_pair {	  /* two inside ports */
	uint64_t free_ms; /* not to be used again before */
	int fd[2];
	uint16_t port; /* of the first */
	bool used;
};

struct mc_batch {
	unsigned n;
	struct srtp_packet pk[SRTP_BATCH_MAX];
	struct mc_leg *leg[SRTP_BATCH_MAX];
	struct mc_flow *flow[SRTP_BATCH_MAX];
	uint32_t buf[SRTP_BATCH_MAX];
	uint64_t at_ns[SRTP_BATCH_MAX]; /* CLOCK_MONOTONIC; 0: of no interest */
};

struct media_core {
	struct media_core_params p;
	int link_fd;
	struct loop_handle link_rx;
	unsigned n_media;
	struct medium *list, **by_id, **by_local;
	struct mc_flow **by_flow, **by_edge;
	uint32_t mask; /* of all four tables */
	uint64_t hash_key;
	struct mc_pair *pairs;
	uint32_t n_pairs, next_pair;
	uint64_t gone_in, gone_out; /* packets of media that ended */
	struct summary_heard gone_heard;
	bool leaving; /* the worker ends: records and the edge's flows stay */
	struct mc_batch open, seal;
	struct {
		uint64_t unknown_source, unknown_flow, moved, realloc_failed, link_send,
			bad_message, punch_failed, not_kept, restored, lost, joined_self, no_ports;
	} count;
};

/* media_core.c */
struct medium *mc_medium_find(const struct media_core *m, uint64_t id);
struct mc_flow *mc_flow_find(const struct media_core *m, uint64_t id);
void mc_medium_free(struct medium *d);		/* frees its flows on the edge, no op called */
int mc_flow_init(struct medium *d, unsigned i); /* under an id and a key of its own */
void mc_flow_fini(struct media_core *m, struct mc_flow *f);
void mc_medium_opened(struct medium *d);		     /* tail calls ops.opened */
void mc_medium_failed(struct medium *d, const char *reason); /* frees @d, then ops.failed */
struct medium *mc_medium_new(struct media_core *m, uint64_t id, const char *edge);
void mc_flow_add(struct medium *d, unsigned i, uint64_t id); /* flow @i of @d has that id */
int mc_legs_start(struct medium *d);			     /* its pair's sockets receive */
uint64_t mc_hash(const struct media_core *m, const void *p, size_t n);

/* media_core_link.c */
void mc_allocate(struct medium *d, bool reopen);
void mc_allocate_flow(struct mc_flow *f);
void mc_free_flow(struct mc_flow *f);
void mc_clocks(struct medium *d); /* tells the edge, of the RTP flow, what it is measured by */
void mc_punch_fire(void *arg);
struct mc_flow *mc_edge_find(const struct media_core *m, const struct addr *a);
void mc_edge_hash(struct media_core *m, struct mc_flow *f, const struct addr *a);
void mc_edge_unhash(struct media_core *m, struct mc_flow *f);

/* media_core_data.c */
/* Datagrams leave whole whatever the stack has learned of the path: the edge carries no fragments, and counts and tells of each that is
 * too big. */
void mc_udp_whole(int fd, const struct addr *bound);
void mc_on_link(void *arg, struct loop_dgram *d);
void mc_on_inside(void *arg, struct loop_dgram *d);
void mc_flush(void *arg); /* both batches */

/* media_core_rtcp.c */
void mc_rtcp_added(struct medium *d);			   /* tail calls ops.opened */
void mc_rtcp_failed(struct medium *d, const char *reason); /* tail calls ops.failed; @d goes on */
void mc_rtcp_drop(struct medium *d);

/* media_core_join.c */
void mc_join_add(struct medium *d); /* its inside addresses are known */
void mc_join_del(struct medium *d);
void mc_join_set(
	struct mc_leg *leg); /* after every change of leg->remote; nothing may wait in a batch */
const struct mc_flow *mc_join_flow(const struct mc_leg *leg); /* whose client gets it, or NULL */

/* media_core_port.c */
int mc_ports_init(struct media_core *m);
int mc_ports_settle(struct media_core *m); /* after mc_restore(): the pairs that nobody uses rest */
/* A pair of sockets, awake and empty. 0 or -ENOBUFS. */
int mc_pair_take(struct media_core *m, uint32_t *out_pair);
int mc_pair_adopt(struct media_core *m, uint32_t pair); /* 0 or -EBADMSG */
void mc_pair_rest(struct media_core *m, uint32_t pair);

/* media_core_keep.c */
void mc_keep(struct medium *d); /* something of it changed that must outlive us */
void mc_keep_drop(struct medium *d);
uint64_t mc_keep_session(struct media_core *m, struct srtp_session *s, enum srtp_suite suite,
			 const uint8_t *key, bool seal);
void mc_restore(struct media_core *m);

#endif
