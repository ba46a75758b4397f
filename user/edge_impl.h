/* user/edge_impl.h -- the worker's parts, shared by edge.c (start, link ops), edge_service.c and edge_admin.c. */
#ifndef SALLYPORT_EDGE_IMPL_H
#define SALLYPORT_EDGE_IMPL_H

#include "user/admin.h"
#include "user/admin_http.h"
#include "user/ban.h"
#include "user/edge.h"
#include "user/edge_dial.h"
#include "user/edge_drain.h"
#include "user/gate_http.h"
#include "user/gate_http_keys.h"
#include "user/gate_sip.h"
#include "user/gate_federation.h"
#include "user/gate_xmpp.h"
#include "user/handover.h"
#include "user/link.h"
#include "user/media_edge.h"
#include "user/media_user.h"
#include "user/nexthop.h"
#include "user/nodes.h"
#include "user/prefix.h"
#include "user/stream.h"
#include "user/summary.h"

#define EDGE_PUNCH_MAX 8

struct edge {
	const struct config_edge *cfg;
	uint64_t seed, start_ms, second_ms, seconds;
	struct loop *loop;
	struct tls_ctx *link_tls, *service_tls[STREAM_SERVICES];
	struct ktls_probe ktls;
	enum ktls_mode ktls_link;
	struct stream_use use[STREAM_SERVICES]; /* as the streams have it */
	char ktls_off[STREAM_SERVICES][KTLS_WHY_MAX];
	struct gate_sip_config gate_sip;
	struct gate_xmpp_config gate_xmpp;
	struct gate_http_config gate_http;
	struct gate_http_keys *token_keys;
	struct maps *maps;
	struct nexthop *nexthop;
	struct ban *ban;
	struct link_edge_core *cores;
	struct link_edge *link;
	struct streams *streams;
	struct edge_dials *dials;
	struct edge_drain drain;
	struct media_edge *media;
	struct media_rung rungs[RUNG_PAIRS_MAX];
	struct media_user *user; /* rung user only */
	struct admin *admin;
	struct nodes *nodes;
	struct admin_http *admin_http;
	struct summary_walk walk; /* with the next two: what it found */
	struct summary_streams sum_streams;
	struct summary_flows sum_flows;
	struct edge_invite { /* edge_invite.c */
		bool waiting;
		int fd;
		struct loop_handle poll;
	} invite;
	struct handover turn;
	struct loop_timer tick;
	struct loop_handle punch[EDGE_PUNCH_MAX];
	unsigned n_punch;
};

/* Read "NAME.cert", ".key" and, with @ca, ".ca", else ".more" from the keeper. The key's text is wiped again. 0 or negative errno with @why. */
int edge_tls_start(struct tls_params *p, const char *name, bool ca, struct tls_ctx **out, char *why,
		   size_t why_n);

/* edge_service.c: e->use filled in from configuration and keeper; its listeners handed to the streams. 0 or negative errno with @why. */
int edge_services_start(struct edge *e, char *why, size_t why_n);
int edge_services_listen(struct edge *e, char *why, size_t why_n);
void edge_services_token_keys(struct edge *e, const char *core, const Sallyport__TokenKeys *m);
void edge_services_free(struct edge *e);

/* edge_invite.c: the admin command "invite", and the end of who waits. */
json_t *edge_invite(void *arg, const json_t *req);
void edge_invite_end(struct edge *e, const char *why);

int edge_admin_start(struct edge *e, char *why, size_t why_n);
json_t *edge_status(struct edge *e); /* `sallyctl status` */
/* edge_summary.c, edge_metrics(): /metrics of the admin port. */
json_t *edge_certificates(const struct edge *e);
int edge_summary_start(struct edge *e, char *why, size_t why_n);
char *edge_metrics(void *arg, bool openmetrics, size_t *n);

#endif
