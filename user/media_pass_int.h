/* user/media_pass_int.h -- what the parts of media_pass share.
 *
 * media_pass.c: media, time, start. media_pass_flow.c: slots, sockets and map entries. media_pass_join.c: flows between two edges.
 * media_pass_link.c: messages to and from edges, punches. media_pass_show.c: JSON. Owner: struct media_pass owns all of it; one thread. */
#ifndef SALLYPORT_MEDIA_PASS_INT_H
#define SALLYPORT_MEDIA_PASS_INT_H

#include "bpf/abi.h"
#include "user/media_pass.h"
#include "user/punch.h"
#include "user/slots.h"
#include "user/summary.h"

#define MP_ALLOCATE_MS	 5000 /* then failed("timeout") */
#define MP_PUNCH_FAST_MS 250
#define MP_PUNCH_MS	 15000
#define MP_TICK_MS	 1000
#define MP_BIND_TRIES	 16 /* ports that others hold, in a row */
#define MP_NO_SLOT	 UINT32_MAX
#define MP_EDGE_NAME_MAX 128

#define MP_NOTE_RTCP 1u /* flags of a note */
#define MP_NOTE_JOIN 2u /* of the join's first medium */

struct pass_medium;
struct pass_join;

struct pass_flow {
	uint64_t id, counter; /* of the last punch */
	struct pass_medium *medium;
	uint8_t punch_key[PUNCH_KEY_LEN];
	bool rtcp, asked, allocated, punched;
	bool reopen; /* asked for, and not answered: asked again when the link comes back */
	struct addr outside, edge;	    /* the edge's public side; its inside port */
	struct addr punched_from, latched;  /* as the edge saw us; the client */
	uint64_t edge_in, edge_out;	    /* packets, by FlowReport, */
	struct quality heard_in, heard_out; /* and what of them was RTP */
	uint32_t slot;
	int fd;		    /* bound to the slot's link address: punches */
	struct maps_flow f; /* as it is in the maps */
	struct loop_timer punch;
	struct pass_flow *next_id;
};

struct pass_medium {
	struct media_pass *m;
	uint64_t id;
	char edge[MP_EDGE_NAME_MAX];
	struct link_peer *peer; /* NULL while the link is down */
	struct addr client;
	struct pass_flow flow[2]; /* RTP, RTCP */
	struct pass_join *join;	  /* NULL: its inside party is inside */
	struct flow_clocks clocks;
	bool opened;
	uint64_t set_ms;  /* opened, or set the last time */
	uint64_t told_ms; /* the last packet that silent() was told of */
	bool told;
	struct loop_timer timer; /* allocation */
	struct pass_medium *next, *list_next, **list_prev;
};

struct pass_join {
	struct pass_medium *end[2]; /* by the slot's outside and inside */
	struct {
		uint32_t slot;
		int fd[2]; /* of both sides */
		struct maps_flow f;
	} flow[2]; /* RTP, RTCP */
};

struct pass_pair {
	struct addr inside; /* advertised */
	uint32_t slot0;
	uint16_t inside_base, range;
};

struct media_pass {
	struct media_pass_params p;
	unsigned n_relay, n_pairs, next_pair; /* pairs of the configuration; with those of joins */
	struct maps_pair pairs[RUNG_PAIRS_MAX];
	struct pass_pair relay[CONFIG_RELAY_PAIRS_MAX];
	unsigned join_pair[CONFIG_RELAY_PAIRS_MAX][CONFIG_RELAY_PAIRS_MAX];
	struct slots *slots;
	struct pass_flow **by_slot; /* of the relay pairs */
	uint32_t n_slots;
	struct pass_medium *list, **by_id;
	struct pass_flow **by_flow;
	uint32_t mask; /* of both tables */
	unsigned n_media, n_joins, n_adopted;
	uint64_t gone_in, gone_out; /* packets of flows and joins that ended */
	struct summary_heard gone_heard;
	uint64_t *told; /* media_max ids: scratch of the tick */
	struct loop_timer tick;
	struct {
		uint64_t opened, failed, closed, silent, moved, realloc_failed, link_send,
			bad_message, punch_failed, no_route, bad_family, join_failed, not_adopted;
	} count;
};

/* media_pass.c */
struct pass_medium *mp_medium_find(const struct media_pass *m, uint64_t id);
struct pass_flow *mp_flow_find(const struct media_pass *m, uint64_t id);
struct pass_medium *mp_medium_new(struct media_pass *m, uint64_t id, const char *edge);
void mp_flow_name(struct pass_flow *f, uint64_t id); /* it is found by @id from here on */
void mp_medium_free(struct pass_medium *d);	     /* frees its flows on the edge, no op called */
void mp_medium_failed(struct pass_medium *d, const char *reason); /* frees @d, then ops.failed */

/* media_pass_flow.c */
/* Slots, sockets and map entries of both flows, whose edge addresses are known. 0, -ENOBUFS, -EHOSTUNREACH. */
int mp_flows_install(struct pass_medium *d);
void mp_flow_remove(struct pass_flow *f);
void mp_flow_edge(struct pass_flow *f,
		  const struct addr *edge); /* its inside port is another now */
int mp_flow_remote(struct pass_flow *f, const struct addr *remote); /* port 0: nobody */
void mp_flow_route(struct pass_flow *f); /* next hops that could not be had before */
int mp_socket(const struct addr *bind_to);
void mp_adopt(struct media_pass *m);
struct addr mp_flow_inside(const struct pass_flow *f); /* advertised */
struct pass_flow *mp_inside_find(const struct media_pass *m, const struct addr *a);
void mp_slot_gone(struct media_pass *m,
		  uint32_t slot); /* before it is freed: its packets count on */
uint64_t mp_last_ms(const struct media_pass *m, uint32_t slot); /* its last packet; 0: none */

/* media_pass_join.c */
/* @d's inside party is @d's no longer, or is a client now: begin, keep or end its join. */
void mp_join_clocks(struct pass_join *j); /* of its first end are known */
void mp_join_review(struct pass_medium *d);
void mp_join_end(struct pass_join *j);
void mp_join_forget(struct pass_join *j); /* ours of it only: the maps go on */
void mp_join_edge(struct pass_flow *f);	  /* after mp_flow_edge() */
void mp_join_adopt(struct media_pass *m, uint32_t slot, const struct maps_flow *mf);
void mp_join_adopted(struct media_pass *m); /* all of them: half ones end */
int mp_punch_fd(const struct pass_flow *f);

/* media_pass_link.c */
void mp_allocate(struct pass_medium *d, bool reopen);
void mp_clocks(struct pass_medium *d); /* tells the edge, of the RTP flow, what it is measured by */
void mp_free_flow(struct pass_flow *f);
void mp_punch_fire(void *arg);
void mp_punch_again(struct pass_flow *f); /* from another port than before */

#endif
