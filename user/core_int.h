/* user/core_int.h -- the core worker's state, shared by its files: core.c (events and actions), core_media.c (those about media), core_start.c (values made from
 * the configuration at start), core_engine.c (the SIP engine and its services), core_admin.c (what sallyctl sees), core_trace.c,
 * core_cdr.c. Owner rules: see core.h. */
#ifndef SALLYPORT_CORE_INT_H
#define SALLYPORT_CORE_INT_H

#include "sip/engine.h"
#include "user/admin.h"
#include "user/admin_http.h"
#include "user/config.h"
#include "user/core_drain.h"
#include "user/core_https.h"
#include "user/core_keep.h"
#include "user/core_stream.h"
#include "user/dns.h"
#include "user/handover.h"
#include "user/inside.h"
#include "user/link.h"
#include "user/loop.h"
#include "user/maps.h"
#include "user/media_core.h"
#include "user/media_pass.h"
#include "user/nexthop.h"
#include "user/nodes.h"
#include "user/summary.h"
#include "user/tls.h"
#include "user/trace.h"

struct cdr;
struct core_asks;
struct core_federation;
struct core_trace_run;
struct core_xmpp;

#define CORE_SERVERS_MAX 64 /* call servers */
#define CORE_FAILED_MAX	 16 /* of one turn; what waits for a further one is ended by its own time */

struct core_edge {
	const char *name;
	struct link_peer *peer; /* NULL: its control connection is down */
	char sip_host[256];	/* what the edge advertises towards clients */
	uint16_t sip_port;
	char https_host[256], xmpp_host[256]; /* "" and 0: it does not serve that */
	uint16_t https_port, xmpp_port;
	/* core_drain.h: it drains; another core stands behind it, for all our domains; it has said so since its link is up */
	bool draining, other_core, drain_heard, drain_logged;
};

struct core {
	const struct config_core *cfg;
	struct loop *loop;
	struct tls_ctx *tls_link, *tls_inside_client, *tls_inside_server;
	struct ktls_probe ktls;
	enum ktls_mode ktls_link;
	struct core_streams *streams;
	struct engine *engine;
	struct media_core *media;
	struct media_pass *pass; /* with maps and nexthop: NULL where no call passes as SRTP */
	struct maps *maps;
	struct nexthop *nexthop;
	struct dns *dns;
	struct inside *inside;
	struct link_core *link;
	struct core_https *https; /* NULL: no https section */
	struct core_xmpp *xmpp; /* with tls_xmpp and federation: NULL where no chat is configured */
	struct core_federation *federation;
	struct tls_ctx **tls_xmpp;
	struct admin *admin;
	struct nodes *nodes;
	struct admin_http *admin_http;
	struct summary_walk walk; /* with the next two: what it found */
	struct summary_streams sum_streams;
	struct summary_flows sum_flows;
	struct core_peaks *peaks; /* in the keeper's memory, or peaks_own where it has no room */
	struct core_peaks peaks_own;
	struct cdr *cdr; /* NULL: no call records are wanted */
	struct core_asks *asks;
	struct core_trace_run *traces; /* that wait for edges */
	struct handover turn;
	struct core_drain drain;
	struct keep *keep;
	bool keep_fresh; /* no worker was there before us, or nothing of it is left */
	struct loop_timer settle;
	struct loop_timer timer; /* the engine's next due time */
	bool pumping;
	struct core_failed { /* not reached while actions were carried out */
		unsigned server;
		struct addr to;
		int err;
	} failed[CORE_FAILED_MAX];
	unsigned n_failed;
	uint64_t inside_errors;
	uint64_t started_ms;

	/* made at start, constant afterwards */
	struct core_edge *edges;
	struct link_core_edge *link_edges;
	unsigned n_edges;
	struct engine_server *servers;
	const char **domains;
	unsigned n_domains;
	char *token_key;
	size_t token_key_n;
	char inside_host[256];
	uint16_t inside_port, inside_tls_port;
};

/* Arrays, names and keys from the configuration. 0 or negative errno with @why. */
int core_start_values(struct core *c, char *why, size_t why_n);
void core_stop_values(struct core *c);
/* A context from the keeper's files "NAME.cert", "NAME.key", "NAME.ca"; the key's text is wiped. */
int core_tls_ctx(struct tls_params *p, const char *name, struct tls_ctx **out, char *why,
		 size_t why_n);
/* core_engine.c */
int core_make_engine(struct core *c, char *why, size_t why_n);
/* core.c */
struct core_edge *core_edge_find(struct core *c, const char *name);
/* Carry out what the engine wants, after each input. */
void core_pump(struct core *c);
/* Tell the edge something of its stream; one whose control is away learns it when the stream ends. */
void core_tell_edge(struct core *c, const char *edge, uint64_t edge_stream,
		    const Sallyport__Link *m, const char *what);
/* The stream's edge may let it through; also once more, what was said before may be lost with a worker or link. */
void core_tell_admitted(struct core *c, struct core_stream *s);
/* core_lodge.c: streams from one worker to the next. @s is admitted, or its connection could outlive us now; those that an earlier worker
 * left, before core_keep_restore(); and after it: which of them are still admitted; their edge is back; for sallyctl. */
void core_lodge(struct core *c, struct core_stream *s);
int core_lodge_take(struct core *c, char *why, size_t why_n);
void core_lodge_leave(struct core *c); /* the worker hands over: all go to the next one */
void core_lodge_check(struct core *c);
void core_lodge_link_up(struct core *c, const struct core_edge *e);
json_t *core_lodge_show(const struct core *c);
/* core_media.c: ENGINE_MEDIUM_* actions; both carriers of media. */
void core_media_act(struct core *c, const struct engine_action *a, uint64_t now);
int core_media_start(struct core *c, char *why, size_t why_n);
void core_media_stop(struct core *c);
int core_admin_start(struct core *c, char *why, size_t why_n);
json_t *core_status(struct core *c); /* `sallyctl status` */
/* core_summary.c; core_peaks(): after whatever may have made the counts rise. core_metrics(): /metrics of the admin port. */
json_t *core_certificates(const struct core *c);
int core_summary_start(struct core *c, char *why, size_t why_n);
void core_peaks(struct core *c);
char *core_metrics(void *arg, bool openmetrics, size_t *n);

#endif
