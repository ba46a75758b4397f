/* user/media_edge_impl.h -- what media_edge.c (allocate, free, punch, hello, time) and media_edge_show.c (admin, reports) share. */
#ifndef SALLYPORT_MEDIA_EDGE_IMPL_H
#define SALLYPORT_MEDIA_EDGE_IMPL_H

#include "user/media_edge.h"
#include "user/prefix.h"
#include "user/punch.h"
#include "user/slots.h"
#include "user/summary.h"

#define PAIRS_MAX    8
#define FLOW_BUCKETS 16384 /* power of two */
#define REPORT_MS    2000
#define COUNTS_MS    30000 /* a flow's counts in the trace */
#define REPORTS_TICK \
	1000 /* with more flows than 20 ticks' worth the reports of each come less often */
#define REOPEN_MS 10000

struct flow {
	struct flow *hash_next;
	struct flow *prev, *next; /* all flows, in the order of their next report */
	uint64_t id, counter, report_ms;
	uint32_t slot;
	struct maps_flow f; /* as it is in the maps */
	uint8_t key[PUNCH_KEY_LEN];
	bool have_key;
	bool punched;	    /* a verified punch since this worker knows the flow */
	bool confirm;	    /* the core waits for Punched */
	bool unlisted;	    /* not in the running Hello */
	bool latched;	    /* told to the trace */
	uint64_t counts_ms; /* when its counts go there again */
};

struct media_core_state {
	struct link_peer *peer; /* NULL: away */
	uint64_t away_ms;	/* since */
};

enum punch_result {
	PUNCH_OK,
	PUNCH_MALFORMED,
	PUNCH_UNKNOWN,
	PUNCH_NO_KEY,
	PUNCH_REPLAYED,
	PUNCH_BAD_MAC,
	PUNCH_RESULTS
};

enum media_refusal { /* of an Allocate; their names are its error on the link */
		     REFUSED_BAD_REQUEST,
		     REFUSED_NO_PORTS,
		     REFUSED_NO_ROUTE,
		     REFUSED_USER_CAP,
		     MEDIA_REFUSALS
};

struct media_edge {
	struct media_edge_params p;
	unsigned n_pairs, next_pair;
	struct maps_pair pairs[PAIRS_MAX];
	struct addr outside[PAIRS_MAX], inside[PAIRS_MAX]; /* advertised */
	struct slots *slots;
	struct prefix_counts *by_client; /* tag: core */
	struct media_core_state cores[MEDIA_EDGE_CORES];
	unsigned n_flows, n_adopted;
	struct flow *first, *last;
	struct flow *buckets[FLOW_BUCKETS];
	struct maps_flow_report gone; /* counts of flows that were freed */
	struct summary_heard gone_heard;
	uint64_t refused[MEDIA_REFUSALS];
	uint64_t allocated, freed, freed_hello, freed_orphan, reports, reports_lost, moved;
	uint64_t punches[PUNCH_RESULTS];
	struct media_tap {
		uint64_t flow, until_ms; /* flow 0: free */
	} taps[MEDIA_EDGE_TAPS];
	unsigned n_taps;
	uint64_t tapped, taps_expired;
};

/* media_edge_flow.c */
struct flow *media_flow_find(const struct media_edge *m, uint64_t id);
struct flow *media_flow_new(struct media_edge *m, uint64_t id, uint32_t slot, uint64_t now_ms);
void media_flow_append(struct media_edge *m, struct flow *f); /* to the list of reports */
void media_flow_unlink(struct media_edge *m, struct flow *f);
void media_flow_free(struct media_edge *m, struct flow *f, uint64_t now_ms); /* off the maps too */
void media_flow_allocate(struct media_edge *m, struct link_peer *p, uint32_t core,
			 const Sallyport__Allocate *a, uint64_t now_ms);
/* Next hops that could not be had when the flow was adopted. */
void media_flow_route(struct media_edge *m, struct flow *f);
struct addr media_client_ip(const struct addr *a); /* without its port */

/* media_edge_tap.c */
void media_taps_expire(struct media_edge *m, uint64_t now_ms);

/* media_edge_show.c */
void media_flow_report(struct media_edge *m, struct flow *f, struct link_peer *p);
/* The flow's counts, on its end and now and then, for the trace (user/trace.h). */
void media_flow_trace(struct media_edge *m, struct flow *f, bool freed);
enum rung media_flow_rung(const struct media_edge *m, const struct flow *f);
const char *media_flow_rung_text(const struct media_edge *m,
				 const struct flow *f); /* "xdp-native" */
const char *media_punch_name(enum punch_result r);
const char *media_refusal_name(enum media_refusal r);

#endif
