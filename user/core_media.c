/* user/core_media.c -- the core's media between the SIP engine and who carries them: media_core (ends SRTP), media_pass (passes it).
 *
 * In: the engine's actions about media, events of both carriers. Out: calls into the one that has the medium; events for the engine.
 * Owns nothing: struct core does. */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "user/core_int.h"
#include "user/core_pass.h"
#include "user/core_trace.h"
#include "user/keeper.h"
#include "user/log.h"

/* ---- actions ---- */

static void core_medium_open(struct core *c, const struct engine_action *a, uint64_t now)
{
	struct core_stream *s = core_stream_find(c->streams, a->stream);
	struct core_edge *e = s ? core_edge_find(c, s->edge) : NULL;
	int err;

	if (!s) {
		engine_medium_failed(c->engine, a->medium, "stream-gone", now);
		return;
	}
	if (!e || !e->peer) {
		engine_medium_failed(c->engine, a->medium, "link-down", now);
		return;
	}
	if (a->pass)
		err = media_pass_open(c->pass, a->medium, e->peer, &s->client);
	else if (media_core_has(c->media, a->medium))
		err = media_core_add_rtcp(c->media, a->medium);
	else
		err = media_core_open(c->media, a->medium, e->peer, &s->client, a->with_rtcp);
	if (err)
		engine_medium_failed(c->engine, a->medium,
				     err == -ENOBUFS ? "no-ports" : strerror(-err), now);
}

static void core_medium_set(struct core *c, const struct engine_action *a)
{
	struct media_set set = {
		.have_keys = a->set.have_keys,
		.open_suite = (enum srtp_suite)a->set.open_suite,
		.seal_suite = (enum srtp_suite)a->set.seal_suite,
		.remote_rtp = a->set.remote_rtp,
		.remote_rtcp = a->set.remote_rtcp,
		.client = a->set.client,
		.reopen = a->set.reopen,
	};
	int err;

	_Static_assert(sizeof(set.open_key) == sizeof(a->set.open_key), "one key size");
	_Static_assert(sizeof(set.clocks_in) == sizeof(a->set.clocks_in), "one length of lists");
	memcpy(set.clocks_in, a->set.clocks_in, sizeof(set.clocks_in));
	memcpy(set.clocks_out, a->set.clocks_out, sizeof(set.clocks_out));
	memcpy(set.open_key, a->set.open_key, sizeof(set.open_key));
	memcpy(set.seal_key, a->set.seal_key, sizeof(set.seal_key));
	err = a->pass ? media_pass_set(c->pass, a->medium, &set)
		      : media_core_set(c->media, a->medium, &set);
	explicit_bzero(&set, sizeof(set));
	if (err)
		log_event(LOG_L_WARN, "medium-set", "medium=%llx error=\"%s\"",
			  (unsigned long long)a->medium, strerror(-err));
}

static void core_medium_close(struct core *c, const struct engine_action *a)
{
	if (a->pass)
		media_pass_close(c->pass, a->medium);
	else
		media_core_close(c->media, a->medium);
}

void core_media_act(struct core *c, const struct engine_action *a, uint64_t now)
{
	core_trace_medium(c, a);
	if (a->kind == ENGINE_MEDIUM_OPEN)
		core_medium_open(c, a, now);
	else if (a->kind == ENGINE_MEDIUM_SET)
		core_medium_set(c, a);
	else
		core_medium_close(c, a);
}

/* ---- events ---- */

static void core_on_medium_opened(void *arg, uint64_t medium, const struct media_addrs *a)
{
	struct core *c = arg;
	struct engine_medium_addrs e = {.outside_rtp = a->outside_rtp,
					.outside_rtcp = a->outside_rtcp,
					.inside_rtp = a->inside_rtp,
					.inside_rtcp = a->inside_rtcp};

	engine_medium_opened(c->engine, medium, &e, loop_now_ms(c->loop));
	core_pump(c);
}

static void core_on_medium_failed(void *arg, uint64_t medium, const char *reason)
{
	struct core *c = arg;

	core_trace_medium_failed(medium, reason);
	engine_medium_failed(c->engine, medium, reason, loop_now_ms(c->loop));
	core_pump(c);
}

static void core_on_medium_silent(void *arg, uint64_t medium, uint32_t idle_ms)
{
	struct core *c = arg;

	(void)idle_ms;
	engine_medium_silent(c->engine, medium, loop_now_ms(c->loop));
	core_pump(c);
}

static const struct media_core_ops core_media_callbacks = {
	core_on_medium_opened, core_on_medium_failed, core_on_medium_silent};

/* ---- start ---- */

static int core_media_make(struct core *c, char *why, size_t why_n)
{
	const struct config_core *cfg = c->cfg;
	struct media_core_params mp = {
		.loop = c->loop,
		.link_fd = keeper_fd("media.link"),
		.keep = c->keep,
		.keep_medium = CORE_RECORD_MEDIUM,
		.keep_session = CORE_RECORD_SESSION,
		.silence_ms = cfg->media.silence_seconds * 1000,
		.media_max = cfg->media.max,
		.ops = &core_media_callbacks,
		.arg = c,
	};
	enum srtp_backend want = !strcmp(cfg->media.srtp, "fast")	? SRTP_FAST
				 : !strcmp(cfg->media.srtp, "libsrtp2") ? SRTP_LIBSRTP2
									: SRTP_AUTO;
	int err = srtp_init(want);

	if (err) {
		snprintf(why, why_n, "media.srtp: %s: %s", cfg->media.srtp, strerror(-err));
		return err;
	}
	if (addr_parse(span_str(cfg->media.link), &mp.link_bind) ||
	    addr_parse(span_str(cfg->media.inside_advertise), &mp.inside) ||
	    (addr_is_any(&mp.inside) && addr_parse(span_str(cfg->media.inside), &mp.inside)) ||
	    sockpool_get("media.inside", &mp.inside_sockets) || mp.link_fd < 0) {
		snprintf(why, why_n, "media: link, inside and inside_advertise must be addresses");
		return -EINVAL;
	}
	err = media_core_new(&mp, &c->media);
	if (err)
		snprintf(why, why_n, "media: %s: %s", cfg->media.link, strerror(-err));
	return err;
}

int core_media_start(struct core *c, char *why, size_t why_n)
{
	int err = core_media_make(c, why, why_n);

	return err ? err : core_pass_start(c, &core_media_callbacks, why, why_n);
}

void core_media_stop(struct core *c)
{
	media_core_free(c->media);
	core_pass_stop(c);
}
