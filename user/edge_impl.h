/* user/edge_impl.h -- the worker's parts, shared by edge.c (start, link ops) and edge_admin.c. */
#ifndef SALLYPORT_EDGE_IMPL_H
#define SALLYPORT_EDGE_IMPL_H

#include "user/admin.h"
#include "user/ban.h"
#include "user/edge.h"
#include "user/handover.h"
#include "user/link.h"
#include "user/media_edge.h"
#include "user/media_user.h"
#include "user/nexthop.h"
#include "user/prefix.h"
#include "user/stream.h"

#define EDGE_PUNCH_MAX 8

struct edge {
	const struct config_edge *cfg;
	uint64_t seed, start_ms, second_ms, seconds;
	struct loop *loop;
	struct tls_ctx *link_tls, *sip_tls;
	struct ktls_probe ktls;
	enum ktls_mode ktls_link, ktls_sip;
	struct maps *maps;
	struct nexthop *nexthop;
	struct ban *ban;
	struct link_edge_core *cores;
	struct link_edge *link;
	struct streams *streams;
	struct media_edge *media;
	struct media_rung rungs[RUNG_PAIRS_MAX];
	struct media_user *user; /* rung user only */
	struct admin *admin;
	struct handover turn;
	struct loop_timer tick;
	struct loop_handle punch[EDGE_PUNCH_MAX];
	unsigned n_punch;
};

int edge_admin_start(struct edge *e, char *why, size_t why_n);

#endif
