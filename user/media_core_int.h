/* user/media_core_int.h -- what the parts of media_core share.
 *
 * media_core.c: media, their timers and the public calls. media_core_link.c: messages to and from edges, punching.
 * media_core_data.c: sockets' packets through SRTP. media_core_port.c: port pairs inside. media_core_show.c: JSON, reports.
 * Owner: struct media_core owns all of it; one thread. */
#ifndef SALLYPORT_MEDIA_CORE_INT_H
#define SALLYPORT_MEDIA_CORE_INT_H

#include "user/media_core.h"
#include "user/punch.h"

#define MC_ALLOCATE_MS	 5000 /* then failed("timeout") */
#define MC_PUNCH_FAST_MS 250
#define MC_PUNCH_MS	 15000
#define MC_PORT_REST_MS	 5000
#define MC_CLOSE_REST_MS 1000 /* a send of this round may still name the descriptor */
#define MC_NEVER	 UINT32_MAX
#define MC_NO_PAIR	 UINT32_MAX
#define MC_LINK_RCVBUF	 (4 << 20)
#define MC_INSIDE_RCVBUF (128 << 10)
#define MC_EDGE_NAME_MAX 128

struct medium;

/* Towards the client: a flow on the edge. */
struct mc_flow {
	uint64_t id, counter; /* of the last punch */
	struct medium *medium;
	uint8_t punch_key[PUNCH_KEY_LEN];
	bool rtcp, asked, allocated, punched, hashed;
	bool reopen; /* asked for, and not answered: asked again when the link comes back */
	struct addr outside, edge;	   /* the edge's public side; its inside port */
	struct addr punched_from, latched; /* as the edge saw us; the client */
	uint64_t edge_in, edge_out;	   /* packets, by FlowReport */
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
	uint64_t in, out; /* sent inside; sent to the client */
};

struct medium {
	struct media_core *m;
	uint64_t id;
	char edge[MC_EDGE_NAME_MAX];
	struct link_peer *peer; /* NULL while the link is down */
	struct addr client;
	unsigned flows; /* 1: RTCP, if any, comes on the RTP flow (RFC 5761) */
	struct mc_flow flow[2];
	struct mc_leg leg[2];
	uint32_t pair;
	bool opened, keyed;
	struct media_set set;
	struct srtp_session *open, *seal;
	uint64_t last_ms; /* last good packet, opening or setting */
	uint64_t told_ms; /* the last_ms that silent() was told of */
	bool told, any;
	struct loop_timer timer; /* allocation, then silence */
	struct media_report report;
	struct medium *next, *list_next, **list_prev;
};

struct mc_pair {	  /* two inside ports */
	uint64_t free_ms; /* not to be used again before */
	uint64_t close_ms;
	int fd[2];
	bool used;
	uint32_t next_close;
};

struct mc_batch {
	unsigned n;
	struct srtp_packet pk[SRTP_BATCH_MAX];
	struct mc_leg *leg[SRTP_BATCH_MAX];
	struct mc_flow *flow[SRTP_BATCH_MAX];
	uint32_t buf[SRTP_BATCH_MAX];
};

struct media_core {
	struct media_core_params p;
	int link_fd;
	struct loop_handle link_rx;
	unsigned n_media;
	struct medium *list, **by_id;
	struct mc_flow **by_flow, **by_edge;
	uint32_t mask; /* of all three tables */
	uint64_t hash_key;
	struct mc_pair *pairs;
	uint32_t n_pairs, next_pair, close_head, close_tail;
	struct loop_timer close_timer;
	struct mc_batch open, seal;
	struct {
		uint64_t unknown_source, unknown_flow, moved, realloc_failed, link_send,
			bad_message, punch_failed;
	} count;
};

/* media_core.c */
struct medium *mc_medium_find(const struct media_core *m, uint64_t id);
struct mc_flow *mc_flow_find(const struct media_core *m, uint64_t id);
void mc_medium_free(struct medium *d);	 /* frees its flows on the edge, no op called */
void mc_medium_opened(struct medium *d); /* tail calls ops.opened */
void mc_medium_failed(struct medium *d, const char *reason); /* frees @d, then ops.failed */
uint64_t mc_hash(const struct media_core *m, const void *p, size_t n);

/* media_core_link.c */
void mc_allocate(struct medium *d, bool reopen);
void mc_free_flow(struct mc_flow *f);
void mc_punch_fire(void *arg);
struct mc_flow *mc_edge_find(const struct media_core *m, const struct addr *a);
void mc_edge_unhash(struct media_core *m, struct mc_flow *f);

/* media_core_data.c */
int mc_udp_open(const struct addr *bind_to, int rcvbuf);
/* Datagrams leave whole whatever the stack has learned of the path: the edge carries no fragments, and counts and tells of each that is
 * too big. */
void mc_udp_whole(int fd, const struct addr *bound);
void mc_on_link(void *arg, struct loop_dgram *d);
void mc_on_inside(void *arg, struct loop_dgram *d);
void mc_flush(void *arg); /* both batches */

/* media_core_port.c */
int mc_ports_init(struct media_core *m);
void mc_ports_fini(struct media_core *m);
/* Open and bind a pair of sockets. 0 or -ENOBUFS. */
int mc_pair_take(struct media_core *m, uint32_t *out_pair, int out_fd[2], uint16_t *out_port);
void mc_pair_rest(struct media_core *m, uint32_t pair);

#endif
