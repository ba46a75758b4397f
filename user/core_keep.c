/* user/core_keep.c -- see core_keep.h. In: the configuration's limits, records of an earlier worker. Out: the keeper's plan; an engine and
 * a media_core that go on. */
#include "user/core_keep.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "user/bpf_plan.h"
#include "user/cdr.h"
#include "user/core_int.h"
#include "user/log.h"

#define BINDING_RECORD_MAX   1024
#define BINDING_RECORD_USUAL 352
#define CALL_RECORD_MAX	     4064 /* with its header a page */
#define INVITE_RECORD_MAX    4064
#define SETTLE_MS	     500 /* whoever lives so long was not killed by what it took up */
#define MEDIA_RATE	     50	 /* packets a second of an audio stream */
#define MEDIA_GAP_MS	     300 /* a worker may be away so long */
#define PACKET_BYTES	     1280 /* what a datagram of a call takes of a buffer, with the kernel's own */
#define LINK_BUF_MIN	     (4 << 20)
#define LINK_BUF_MAX	     (128 << 20)
#define INSIDE_BUF	     (64 << 10) /* the kernel doubles it: 100 packets */

_Static_assert((int)CORE_RECORD_BINDING == (int)ENGINE_RECORD_BINDING &&
		       (int)CORE_RECORD_CALL == (int)ENGINE_RECORD_CALL &&
		       (int)CORE_RECORD_INVITE == (int)ENGINE_RECORD_INVITE,
	       "the engine's numbers");

void core_keep_kinds(const struct config_core *cfg, struct keep_kind out[CORE_RECORDS])
{
	out[CORE_RECORD_BINDING] = (struct keep_kind){"binding", cfg->limits.bindings,
						      BINDING_RECORD_MAX, BINDING_RECORD_USUAL};
	out[CORE_RECORD_CALL] = (struct keep_kind){"call", cfg->limits.calls, CALL_RECORD_MAX, 0};
	out[CORE_RECORD_INVITE] = /* of calls that ring */
		(struct keep_kind){"invite", cfg->limits.calls, INVITE_RECORD_MAX, 0};
	out[CORE_RECORD_MEDIUM] =
		(struct keep_kind){"medium", cfg->media.max, mc_keep_medium_max, 0};
	out[CORE_RECORD_SESSION] = /* two a medium, and those that follow others */
		(struct keep_kind){"session", 2 * cfg->media.max + 64, mc_keep_session_max, 0};
	out[CORE_RECORD_PEAKS] = (struct keep_kind){"peaks", 1, sizeof(struct core_peaks), 0};
}

/* ---- keeper ---- */

static int link_buffer(const struct config_core *cfg)
{
	uint64_t n = (uint64_t)cfg->media.max * MEDIA_RATE * MEDIA_GAP_MS / 1000 * PACKET_BYTES / 2;

	return n < LINK_BUF_MIN ? LINK_BUF_MIN : n > LINK_BUF_MAX ? LINK_BUF_MAX : (int)n;
}

static int plan_link(struct keeper_plan *p, const struct config_core *cfg, char *why, size_t why_n)
{
	struct sockpool_wish w = {.name = "media.link",
				  .setting = "media.link",
				  .n = 1,
				  .step = 1,
				  .rcvbuf = link_buffer(cfg)};
	int err;

	if (addr_parse(span_str(cfg->media.link), &w.first) || !w.first.port) {
		snprintf(why, why_n, "media.link: wanted ADDRESS:PORT, got \"%s\"",
			 cfg->media.link);
		return -EINVAL;
	}
	w.end = w.first.port + 1u;
	err = sockpool_bind(p, &w, why, why_n);
	/* From now on, and whatever becomes of workers; what waits in one of a keeper before is not to be lost. */
	if (!err && sockpool_resting(p->fds[p->n_fds - 1].fd))
		err = sockpool_wake(p->fds[p->n_fds - 1].fd);
	return err;
}

/* Pairs for every medium and for those that rest a while after their call, as far as the range has them. */
static int plan_inside(struct keeper_plan *p, const struct config_core *cfg, char *why,
		       size_t why_n)
{
	struct sockpool_wish w = {
		.name = "media.inside", .setting = "media.max", .step = 2, .rcvbuf = INSIDE_BUF};
	uint32_t first = (cfg->media.first_port + 1u) & ~1u,
		 end = (uint32_t)cfg->media.first_port + cfg->media.ports,
		 pairs = cfg->media.max + cfg->media.max / 8 + 16;

	if (addr_parse(span_str(cfg->media.inside), &w.first)) {
		snprintf(why, why_n, "media.inside: wanted an address, got \"%s\"",
			 cfg->media.inside);
		return -EINVAL;
	}
	if (end > 65536 || end < first + 2) {
		snprintf(why, why_n,
			 "media: first_port %u and ports %u: wanted a pair of ports below 65536",
			 cfg->media.first_port, cfg->media.ports);
		return -EINVAL;
	}
	w.first.port = (uint16_t)first;
	w.end = end;
	w.n = 2 * (pairs < (end - first) / 2 ? pairs : (end - first) / 2);
	return sockpool_bind(p, &w, why, why_n);
}

int core_keep_plan(struct keeper_plan *p, const struct config_core *cfg, char *why, size_t why_n)
{
	struct keep_kind kinds[CORE_RECORDS];
	int err;

	core_keep_kinds(cfg, kinds);
	err = keeper_state(p, keep_size(kinds, CORE_RECORDS), why, why_n);
	if (!err)
		err = plan_link(p, cfg, why, why_n);
	return err ? err : plan_inside(p, cfg, why, why_n);
}

/* ---- worker ---- */

/* No packet is handled any more: the indices stand, and whoever takes them up need not fear them. */
static void core_last(void *arg)
{
	struct core *c = arg;

	core_lodge_leave(c);
	cdr_free(c->cdr);
	c->cdr = NULL;
	trace_close(); /* the next worker writes there now */
	keep_settled(c->keep);
}

int core_keep_wait(struct core *c, char *why, size_t why_n)
{
	struct keep_kind kinds[CORE_RECORDS];
	char objection[160];
	int err;

	core_keep_kinds(c->cfg, kinds);
	err = keep_check(keeper_fd("state"), kinds, CORE_RECORDS, objection, sizeof(objection));
	if (!err)
		err = bpf_plan_check(objection, sizeof(objection));
	c->turn.loop = c->loop;
	c->turn.last = core_last;
	c->turn.arg = c;
	return handover_wait(&c->turn, err ? objection : NULL, why, why_n);
}

static void core_settled(void *arg)
{
	keep_settled(arg);
}

/* Written in place: each is one store. */
static void peaks_open(struct core *c)
{
	struct core_peaks none = {};

	c->peaks = keep_live(c->keep, CORE_RECORD_PEAKS, 1);
	if (!c->peaks && !keep_put(c->keep, CORE_RECORD_PEAKS, 1, span_of(&none, sizeof(none))))
		c->peaks = keep_live(c->keep, CORE_RECORD_PEAKS, 1);
	if (!c->peaks)
		c->peaks = &c->peaks_own;
}

int core_keep_open(struct core *c, char *why, size_t why_n)
{
	struct keep_kind kinds[CORE_RECORDS];
	int err;

	core_keep_kinds(c->cfg, kinds);
	err = keep_open(keeper_fd("state"), kinds, CORE_RECORDS, &c->keep, &c->keep_fresh);
	if (err)
		snprintf(why, why_n, "state file: %s", strerror(-err));
	if (err)
		return err;
	if (c->keep_fresh && keep_deaths(c->keep) >= KEEP_DEATHS)
		log_event(LOG_L_ERROR, "state-dropped",
			  "reason=\"%u workers died with it\" calls=ended bindings=gone",
			  keep_deaths(c->keep));
	peaks_open(c);
	c->settle = (struct loop_timer){.fn = core_settled, .arg = c->keep};
	return loop_timer_set(c->loop, &c->settle, SETTLE_MS);
}

struct restore {
	struct core *c;
	enum engine_record kind;
	unsigned n[ENGINE_RECORDS], refused, media_ended;
};

static void restore_one(void *arg, uint64_t id, struct span data)
{
	struct restore *x = arg;
	int err = engine_restore(x->c->engine, x->kind, id, data, loop_now_ms(x->c->loop));

	if (!err) {
		x->n[x->kind]++;
		return;
	}
	x->refused += err != -EEXIST && err != -ENOENT;
	keep_del(x->c->keep, x->kind, id);
}

/* Ports without a call: their call ended, or was not yet answered, when the worker died. */
static void medium_unknown(void *arg, uint64_t medium)
{
	struct restore *x = arg;

	if (engine_medium_known(x->c->engine, medium))
		return;
	media_core_close(x->c->media, medium);
	media_pass_close(x->c->pass, medium);
	x->media_ended++;
}

static void medium_lost(void *arg, uint64_t medium)
{
	struct restore *x = arg;

	if (!media_core_has(x->c->media, medium) && !media_pass_has(x->c->pass, medium))
		engine_medium_failed(x->c->engine, medium, "lost-with-worker",
				     loop_now_ms(x->c->loop));
}

json_t *core_keep_show(const struct core *c)
{
	struct keep_kind kinds[CORE_RECORDS];
	json_t *o = json_object();
	unsigned i;

	core_keep_kinds(c->cfg, kinds);
	for (i = 0; i < CORE_RECORD_PEAKS; i++) {
		struct keep_stats s = keep_stats(c->keep, i);

		if (i < (unsigned)ENGINE_RECORDS) /* beyond what any file would hold */
			s.too_large += engine_stats(c->engine)->not_kept[i];
		json_object_set_new(
			o, kinds[i].name,
			json_pack("{s:I, s:I, s:I, s:I}", "records", (json_int_t)s.records, "of",
				  (json_int_t)kinds[i].slots, "too_large", (json_int_t)s.too_large,
				  "no_slot", (json_int_t)s.no_slot));
	}
	json_object_set_new(o, "stream", core_lodge_show(c));
	return o;
}

void core_keep_restore(struct core *c)
{
	struct restore x = {.c = c};

	if (c->keep_fresh) { /* the maps may be older than the keeper */
		media_pass_each(c->pass, medium_unknown, &x);
		core_lodge_check(c);
		return;
	}
	for (x.kind = 0; x.kind < ENGINE_RECORDS; x.kind++)
		keep_each(c->keep, x.kind, restore_one, &x);
	media_core_each(c->media, medium_unknown, &x);
	media_pass_each(c->pass, medium_unknown, &x);
	engine_each_medium(c->engine, medium_lost, &x);
	core_lodge_check(c);
	log_event(LOG_L_WARN, "resumed",
		  "calls=%u bindings=%u refused=%u media_ended=%u ringing_ended=%u streams=%u",
		  x.n[ENGINE_RECORD_CALL], x.n[ENGINE_RECORD_BINDING], x.refused, x.media_ended,
		  x.n[ENGINE_RECORD_INVITE], (unsigned)engine_stats(c->engine)->admitted);
}
