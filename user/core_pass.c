/* user/core_pass.c -- see core_pass.h. In: media.relay; descriptors of the keeper. Out: entries of the plan; struct media_pass. */
#include "user/core_pass.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/random.h>

#include "user/bpf_plan.h"
#include "user/core_int.h"
#include "user/log.h"
#include "user/media_pass.h"

/* ---- keeper ---- */

int core_pass_plan(struct keeper_plan *p, const struct config_core *cfg, char *why, size_t why_n)
{
	struct media_rung rungs[RUNG_PAIRS_MAX];
	struct maps_pair pairs[RUNG_PAIRS_MAX];
	struct bpf_load_params bp = {.instance = cfg->instance,
				     .pairs = pairs,
				     .rung = bpf_plan_wish(cfg->media.relay.rung)};
	int n, r;

	if (!cfg->media.relay.pairs_count) {
		r = bpf_unload(cfg->instance);
		if (r != -ENOENT &&
		    r != -EACCES) /* nothing there, or no right to have put it there */
			log_event(r ? LOG_L_WARN : LOG_L_INFO, "relay-removed",
				  "instance=%s result=\"%s\"", cfg->instance,
				  r ? strerror(-r) : "ok");
		return 0;
	}
	n = media_pass_pairs(cfg, pairs);
	if (n < 0) {
		snprintf(why, why_n, "media.relay.pairs: not an address");
		return n;
	}
	bp.n_pairs = (unsigned)n;
	r = bpf_plan(p, &bp, rungs, why, why_n);
	return r ? r : bpf_plan_rungs(p, rungs, why, why_n);
}

bool core_pass_same(const struct config_core *a, const struct config_core *b)
{
	unsigned i;

	if (strcmp(a->instance, b->instance) || strcmp(a->media.relay.rung, b->media.relay.rung) ||
	    a->media.relay.pairs_count != b->media.relay.pairs_count)
		return false;
	for (i = 0; i < a->media.relay.pairs_count; i++) {
		const struct config_relay_pair *p = &a->media.relay.pairs[i],
					       *q = &b->media.relay.pairs[i];

		if (strcmp(p->link, q->link) || strcmp(p->inside, q->inside) ||
		    strcmp(p->inside_advertise, q->inside_advertise) ||
		    p->link_first != q->link_first || p->inside_first != q->inside_first ||
		    p->ports != q->ports || p->joins != q->joins)
			return false;
	}
	return true;
}

/* ---- worker ---- */

static int pass_make(struct core *c, struct media_pass_params *mp, char *why, size_t why_n)
{
	struct maps_pair pairs[RUNG_PAIRS_MAX];
	int n = media_pass_pairs(c->cfg, pairs), r = n;

	if (n > 0)
		r = bpf_plan_rungs_read(mp->rungs);
	if (!r)
		r = bpf_plan_open(pairs, (unsigned)n, &c->maps);
	if (r) {
		snprintf(why, why_n, "media.relay: maps: %s", strerror(-r));
		return r;
	}
	maps_live_sweep(c->maps);
	r = nexthop_new(c->loop, c->maps, &c->nexthop);
	if (r) {
		snprintf(why, why_n, "media.relay: netlink: %s", strerror(-r));
		return r;
	}
	mp->maps = c->maps;
	mp->nexthop = c->nexthop;
	r = media_pass_new(mp, &c->pass);
	if (r)
		snprintf(why, why_n, "media.relay: %s", strerror(-r));
	return r;
}

int core_pass_start(struct core *c, const struct media_core_ops *ops, char *why, size_t why_n)
{
	struct media_pass_params mp = {.loop = c->loop, .cfg = c->cfg, .ops = ops, .arg = c};

	if (!c->cfg->media.relay.pairs_count)
		return 0;
	if (getrandom(&mp.seed, sizeof(mp.seed), 0) != sizeof(mp.seed)) {
		snprintf(why, why_n, "getrandom: %s", strerror(errno));
		return -errno;
	}
	return pass_make(c, &mp, why, why_n);
}

void core_pass_stop(struct core *c)
{
	media_pass_free(c->pass);
	nexthop_free(c->nexthop);
	maps_close(c->maps);
}
