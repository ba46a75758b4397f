/* user/edge_media.c -- see edge_media.h.
 *
 * In: the configuration, what the kernel allows. Out: descriptors in the plan, the reason for the rung. Runs once, before privileges go. */
#include "user/edge_media.h"

#include <cap-ng.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include "user/bpf_plan.h"
#include "user/bpf_ports.h"
#include "user/keeper_store.h"
#include "user/log.h"
#include "user/maps_memory.h"
#include "user/media_edge.h"
#include "user/media_user.h"
#include "user/media_user_socket.h"
#include "user/sockpool.h"

#define DESCRIPTORS_ELSE 2048 /* listeners, maps, the first thousand streams */

/* What both ways of opening share. */
struct opening {
	struct keeper_plan *plan;
	const struct config_edge *cfg;
	struct maps_pair pairs[RUNG_PAIRS_MAX];
	unsigned n_pairs;
	uint16_t tcp_ports[BPF_LOAD_TCP_PORTS];
	struct bpf_load_params bpf;
	struct media_rung rungs[RUNG_PAIRS_MAX];
	char *why;
	size_t why_n;
};

/* One punch socket an inside address; several pairs may share one. */
static int punch_all(struct keeper_plan *p, const struct config_edge *cfg, char *why, size_t why_n)
{
	unsigned i, k, n = 0;
	char name[48], text[ADDR_TEXT_MAX];
	struct addr a, b;
	int err;

	for (i = 0; i < cfg->media.pairs_count; i++) {
		if (addr_parse(span_str(cfg->media.pairs[i].inside), &a))
			return -EINVAL;
		for (k = 0; k < i; k++)
			if (!addr_parse(span_str(cfg->media.pairs[k].inside), &b) &&
			    addr_ip_eq(&a, &b))
				break;
		if (k < i)
			continue;
		a.port = cfg->media.punch_port;
		snprintf(name, sizeof(name), "punch.%u", n++);
		err = keeper_bind_udp(p, name, addr_text(&a, text), why, why_n);
		if (err)
			return err;
	}
	return 0;
}

static unsigned ports_add(const char **list, unsigned n, uint16_t out[BPF_LOAD_TCP_PORTS],
			  unsigned have)
{
	struct addr a;
	unsigned i, k;

	for (i = 0; i < n; i++) {
		if (addr_parse(span_str(list[i]), &a))
			continue;
		for (k = 0; k < have && out[k] != a.port; k++)
			;
		if (k == have && have < BPF_LOAD_TCP_PORTS)
			out[have++] = a.port;
	}
	return have;
}

/* Of all listeners of the edge: a ban is one of every service. */
static unsigned ports_all(const struct config_edge *cfg, uint16_t out[BPF_LOAD_TCP_PORTS])
{
	const struct config_service *const services[] = {&cfg->sip, &cfg->https, &cfg->xmpp};
	unsigned n = ports_add(cfg->link.listen, cfg->link.listen_count, out, 0), i;

	for (i = 0; i < sizeof(services) / sizeof(services[0]); i++) {
		n = ports_add(services[i]->listen, services[i]->listen_count, out, n);
		n = ports_add(services[i]->tls_listen, services[i]->tls_listen_count, out, n);
	}
	return n;
}

/* ---- BPF ---- */

/* "; not permitted: CAP_BPF, CAP_PERFMON", or "" when nothing is missing. */
static void caps_missing(char *out, size_t n)
{
	static const struct {
		unsigned cap;
		const char *name;
	} caps[] = {{CAP_BPF, "CAP_BPF"},
		    {CAP_NET_ADMIN, "CAP_NET_ADMIN"},
		    {CAP_PERFMON, "CAP_PERFMON"}};
	size_t at = 0;
	unsigned i;

	out[0] = 0;
	if (capng_get_caps_process())
		return;
	for (i = 0; i < sizeof(caps) / sizeof(caps[0]) && at < n; i++)
		if (!capng_have_capability(CAPNG_EFFECTIVE, caps[i].cap))
			at += (size_t)snprintf(out + at, n - at, "%s%s",
					       at ? ", " : "; missing: ", caps[i].name);
}

/* ---- sockets ---- */

/* A pair with an address on loopback: its other end is on this host, and no frame ever crosses a device. */
static bool pair_local(const struct opening *o, char *reason, size_t n)
{
	char text[ADDR_TEXT_MAX];
	unsigned i, k;

	for (i = 0; i < o->n_pairs; i++)
		for (k = 0; k < 2; k++) {
			const struct addr *a = k ? &o->pairs[i].inside : &o->pairs[i].outside;

			if (media_user_ifindex(a) != MEDIA_USER_LOOPBACK)
				continue;
			snprintf(reason, n, "media.pairs[%u]: %s is on loopback", i,
				 addr_ip_text(a, text));
			return true;
		}
	return false;
}

static int sockets_count(const struct opening *o, unsigned *out)
{
	struct rlimit r = {};
	unsigned i;

	*out = 0;
	for (i = 0; i < o->n_pairs; i++)
		*out += 2u * o->pairs[i].range;
	getrlimit(RLIMIT_NOFILE, &r);
	if (*out > MEDIA_USER_SOCKETS || *out + DESCRIPTORS_ELSE > r.rlim_cur) {
		snprintf(o->why, o->why_n,
			 "rung user takes a socket for every port of both sides: %u for "
			 "media.pairs, at most %u, and open files are limited to %llu (%u of them "
			 "for the rest): lower media.pairs[].ports",
			 *out, MEDIA_USER_SOCKETS, (unsigned long long)r.rlim_cur,
			 DESCRIPTORS_ELSE);
		return -E2BIG;
	}
	return 0;
}

/* The kernel doubles what it is asked for. */
static void buffer_check(int fd)
{
	int got = 0;
	socklen_t n = sizeof(got);

	if (getsockopt(fd, SOL_SOCKET, SO_RCVBUF, &got, &n) || got >= 2 * MEDIA_USER_RCVBUF)
		return;
	log_event(LOG_L_WARN, "receive-buffers",
		  "wanted=%d got=%d reason=\"no CAP_NET_ADMIN, and net.core.rmem_max is lower: "
		  "less may be held while a worker is replaced\"",
		  MEDIA_USER_RCVBUF, got / 2);
}

static int side_open(struct opening *o, unsigned pair, bool inside)
{
	const struct maps_pair *mp = &o->pairs[pair];
	char name[48];
	struct sockpool_wish w = {.name = name,
				  .setting = "media.pairs[].ports",
				  .first = inside ? mp->inside : mp->outside,
				  .n = mp->range,
				  .step = 1,
				  .rcvbuf = MEDIA_USER_RCVBUF};
	bool v4 = addr_is_v4(&w.first);
	unsigned i;
	int err, fd;

	snprintf(name, sizeof(name), "media.%s.%u", inside ? "in" : "out", pair);
	w.first.port = inside ? mp->inside_base : mp->outside_base;
	w.end = w.first.port + (uint32_t)mp->range;
	err = sockpool_bind(o->plan, &w, o->why, o->why_n);
	fd = o->plan->fds[o->plan->n_fds - 1].fd;
	for (i = 0; i < mp->range && !err; i++) {
		err = media_user_socket(fd + (int)i, v4);
		if (err)
			snprintf(o->why, o->why_n, "%s: socket options: %s", name, strerror(-err));
	}
	if (!err && !pair && !inside) /* all are alike */
		buffer_check(fd);
	return err;
}

/* Nobody else's socket can take a port that we have, but one that asks for any port may be in our way at the next start. */
static void ports_keep(const struct opening *o)
{
	struct port_range r[2 * RUNG_PAIRS_MAX];
	char why[160] = "";
	unsigned i;

	for (i = 0; i < 2 * o->n_pairs; i++) {
		const struct maps_pair *mp = &o->pairs[i / 2];

		r[i].first = i & 1 ? mp->inside_base : mp->outside_base;
		r[i].last = (uint16_t)(r[i].first + mp->range - 1);
	}
	if (ports_reserve(r, 2 * o->n_pairs, why, sizeof(why)))
		log_event(LOG_L_WARN, "ports-not-reserved", "reason=\"%s\"", why);
}

/* The records: of a keeper before, as long as they and all sockets are of the same pairs (@same). */
static int memory_open(struct opening *o, bool same)
{
	int fd = keeper_take(o->plan, "media.memory"), err;
	struct maps *m = NULL;
	bool taken = fd >= 0 && same && !maps_memory_open(fd, o->pairs, o->n_pairs, &m);

	maps_close(m);
	if (fd >= 0 && !taken)
		keeper_refuse(o->plan, "media.memory", fd, "of other pairs, or another version");
	if (!taken)
		fd = maps_memory_make(o->pairs, o->n_pairs);
	err = fd < 0 ? fd : keeper_add(o->plan, "media.memory", fd);
	if (err)
		snprintf(o->why, o->why_n, "media.memory: %s", strerror(-err));
	else
		keeper_outlives(o->plan, taken);
	return err;
}

static int user_open(struct opening *o, const char *reason)
{
	unsigned i, n;
	int err = sockets_count(o, &n);
	bool same = true;
	char left[160];

	if (err)
		return err;
	bpf_unload(o->cfg->instance);
	if (bpf_load_left(&o->bpf, left, sizeof(left)))
		log_event(LOG_L_WARN, "bpf-left",
			  "reason=\"%s sees media before our sockets do; if it is of an earlier "
			  "run: sallyport-edge --unload, as root\"",
			  left);
	ports_keep(o);
	for (i = 0; i < o->n_pairs && !err; i++) {
		err = side_open(o, i, false);
		same = same && !err && o->plan->fds[o->plan->n_fds - 1].taken;
		if (!err)
			err = side_open(o, i, true);
		same = same && !err && o->plan->fds[o->plan->n_fds - 1].taken;
		o->rungs[i].rung = RUNG_USER;
		snprintf(o->rungs[i].why, sizeof(o->rungs[i].why), "%s", reason);
	}
	if (!err)
		err = memory_open(o, same);
	if (!err)
		log_event(LOG_L_INFO, "media-rung", "rung=user sockets=%u reason=\"%s\"", n,
			  reason);
	return err;
}

/* ---- the choice ---- */

static int rung_open(struct opening *o)
{
	char reason[RUNG_WHY_MAX], caps[64];
	int err = bpf_load_check(&o->bpf, o->why, o->why_n);
	size_t at;

	if (err)
		return err;
	if (o->bpf.rung == RUNG_USER)
		return user_open(o, "media.rung is user");
	if (o->bpf.rung == RUNG_AUTO && pair_local(o, reason, sizeof(reason)))
		return user_open(o, reason);
	err = bpf_plan(o->plan, &o->bpf, o->rungs, o->why, o->why_n);
	if (!err || o->bpf.rung != RUNG_AUTO)
		return err;
	caps_missing(caps, sizeof(caps));
	snprintf(reason, sizeof(reason), "%.300s%s", o->why, caps);
	o->why[0] = 0;
	err = user_open(o, reason);
	at = strlen(o->why);
	if (err && at < o->why_n)
		snprintf(o->why + at, o->why_n - at, "; and not BPF: %s", reason);
	return err;
}

int edge_media_open(struct keeper_plan *p, const struct config_edge *cfg, char *why, size_t why_n)
{
	static struct opening o; /* its reasons are large */
	int n, err;

	memset(&o, 0, sizeof(o));
	o.plan = p;
	o.cfg = cfg;
	o.why = why;
	o.why_n = why_n;
	n = media_edge_pairs(cfg, o.pairs);
	if (n < 0) {
		snprintf(why, why_n, "media.pairs: not an address");
		return n;
	}
	o.n_pairs = (unsigned)n;
	o.bpf = (struct bpf_load_params){.instance = cfg->instance,
					 .pairs = o.pairs,
					 .n_pairs = o.n_pairs,
					 .punch_port = cfg->media.punch_port,
					 .tcp_ports = o.tcp_ports,
					 .rung = bpf_plan_wish(cfg->media.rung)};
	o.bpf.n_tcp_ports = ports_all(cfg, o.tcp_ports);
	err = punch_all(p, cfg, why, why_n);
	if (!err)
		err = rung_open(&o);
	return err ? err : bpf_plan_rungs(p, o.rungs, why, why_n);
}
