/* user/edge_media.h -- the keeper's part of an edge's media: which rung, and everything for it that needs privilege or must outlive a worker.
 *
 * In: the configuration. Out: in the plan "punch.N" and "rungs", then either "map.*" (XDP or tc: user/bpf_load.h) or "media.memory",
 * "media.out.N" and "media.in.N" (sockets: user/media_user.h). media.rung auto takes sockets where BPF cannot be had or a pair has
 * an address on loopback, and says so in the log and in each pair's reason. The plan owns the descriptors. */
#ifndef SALLYPORT_EDGE_MEDIA_H
#define SALLYPORT_EDGE_MEDIA_H

#include "user/config.h"
#include "user/keeper.h"

int edge_media_open(struct keeper_plan *p, const struct config_edge *cfg, char *why, size_t why_n);

#endif
