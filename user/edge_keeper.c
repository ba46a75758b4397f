/* user/edge_keeper.c -- what the edge's keeper opens before it gives up its privileges, and what it checks on SIGHUP.
 *
 * In: the configuration's paths and addresses. Out: a plan of descriptors, run by keeper.c. The plan lives as long as the process. Parses
 * configuration and PEM files, nothing from a peer. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>

#include "user/account.h"
#include "user/drain.h"
#include "user/edge.h"
#include "user/cert_files.h"
#include "user/edge_media.h"
#include "user/keep.h"
#include "user/keeper_store.h"
#include "user/ktls.h"
#include "user/lodge.h"
#include "user/log.h"
#include "user/trace_plan.h"
#include "user/media_edge.h"

#define NOFILE	    65536
#define LODGE_SLOTS 20480 /* one for every stream: its two connections, and pipes at a hand-over */

struct config_edge *edge_file_read(const char *path, char why[CONFIG_WHY_MAX])
{
	struct config_edge *cfg = NULL;
	size_t n = 0;
	char *text = cert_files_read(path, &n, why, CONFIG_WHY_MAX);

	if (!text || config_edge_load(path, text, n, &cfg, why))
		cfg = NULL;
	free(text);
	return cfg;
}

/* ---- what the keeper opens ---- */

/* Services that are off have no path. */
static unsigned certs_of(const struct config_edge *cfg, struct cert_names out[CERT_NAMES_MAX])
{
	const struct cert_names all[CERT_NAMES_MAX] = {{"link", &cfg->link.tls, true},
						       {"sip", &cfg->sip.tls, false},
						       {"https", &cfg->https.tls, false},
						       {"xmpp", &cfg->xmpp.tls, false}};
	unsigned i, n = 0;

	for (i = 0; i < CERT_NAMES_MAX; i++)
		if (all[i].tls->certificate)
			out[n++] = all[i];
	return n;
}

static int listen_all(struct keeper_plan *p, const char *prefix, const char **list, unsigned n,
		      char *why, size_t why_n)
{
	char name[48];
	unsigned i;
	int err = 0;

	for (i = 0; i < n && !err; i++) {
		snprintf(name, sizeof(name), "%s.%u", prefix, i);
		err = keeper_listen_tcp(p, name, list[i], why, why_n);
	}
	return err;
}

/* Everything that needs root or must outlive a worker. */
static int plan_fill(struct keeper_plan *p, const char *path, const struct config_edge *cfg,
		     struct cert_files *certs, char *why, size_t why_n)
{
	struct cert_names names[CERT_NAMES_MAX];
	int err = keeper_open_file(p, "config", path, why, why_n);

	if (cfg->link.cores_count > MEDIA_EDGE_CORES) {
		snprintf(why, why_n, "link.cores: %u of them, at most %u", cfg->link.cores_count,
			 MEDIA_EDGE_CORES);
		return -E2BIG;
	}
	if (cfg->sip.tls.ca)
		log_event(LOG_L_WARN, "setting-unused",
			  "name=sip.tls.ca reason=\"clients show no certificates; intermediate "
			  "ones belong into sip.tls.certificate\"");
	if (!err)
		err = cert_files_open(certs, p, names, certs_of(cfg, names), why, why_n);
	if (!err)
		err = listen_all(p, "listen.link", cfg->link.listen, cfg->link.listen_count, why,
				 why_n);
	if (!err)
		err = listen_all(p, "listen.sip", cfg->sip.listen, cfg->sip.listen_count, why,
				 why_n);
	if (!err)
		err = listen_all(p, "listen.https", cfg->https.listen, cfg->https.listen_count, why,
				 why_n);
	if (!err)
		err = listen_all(p, "listen.xmpp", cfg->xmpp.listen, cfg->xmpp.listen_count, why,
				 why_n);
	if (!err)
		err = listen_all(p, "listen.xmpps", cfg->xmpp.tls_listen,
				 cfg->xmpp.tls_listen_count, why, why_n);
	if (!err)
		err = listen_all(p, "listen.xmpp-server", cfg->xmpp.federation.listen,
				 cfg->xmpp.federation.listen_count, why, why_n);
	if (!err)
		err = account_listen_admin(p, cfg->admin, cfg->user, why, why_n);
	if (!err && cfg->admin_http)
		err = keeper_listen_tcp(p, "listen.admin_http.0", cfg->admin_http, why, why_n);
	if (!err)
		err = keeper_state(p, keep_size(NULL, 0), why, why_n);
	if (!err)
		err = trace_plan(p, cfg->trace_records, why, why_n);
	if (!err)
		err = edge_media_open(p, cfg, why, why_n);
	if (!err)
		err = drain_plan(p, why, why_n);
	return err ? err : lodge_plan(p, LODGE_SLOTS, why, why_n);
}

/* ---- reload ---- */

struct start { /* what a reload is checked against */
	const char *path;
	struct config_edge *cfg, *tried;
	struct cert_files certs;
};

static bool lists_equal(const char **a, unsigned n, const char **b, unsigned m)
{
	unsigned i;

	for (i = 0; i < n && i < m; i++)
		if (strcmp(a[i], b[i]))
			return false;
	return n == m;
}

static bool texts_equal(const char *a, const char *b)
{
	return a == b || (a && b && !strcmp(a, b));
}

static bool pairs_equal(const struct config_edge *a, const struct config_edge *b)
{
	unsigned i;

	if (a->media.pairs_count != b->media.pairs_count)
		return false;
	for (i = 0; i < a->media.pairs_count; i++) {
		const struct config_pair *p = &a->media.pairs[i], *q = &b->media.pairs[i];

		if (strcmp(p->outside, q->outside) || strcmp(p->inside, q->inside) ||
		    p->outside_first != q->outside_first || p->inside_first != q->inside_first ||
		    p->ports != q->ports)
			return false;
	}
	return true;
}

/* The order of cores is in the maps, as the owner of each live flow: a new one may only be added behind. */
static bool cores_kept(const struct config_edge *a, const struct config_edge *b)
{
	unsigned i;

	for (i = 0; i < a->link.cores_count; i++)
		if (i >= b->link.cores_count ||
		    strcmp(a->link.cores[i].name, b->link.cores[i].name))
			return false;
	return true;
}

/* The settings that only a restart can change, as the privileges for them are gone; "" for none. */
static void privileged_changes(const struct config_edge *a, const struct config_edge *b, char *out,
			       size_t n)
{
	const struct {
		const char *name;
		bool same;
	} checks[] = {
		{"user", !strcmp(a->user, b->user)},
		{"instance", !strcmp(a->instance, b->instance)},
		{"admin", !strcmp(a->admin, b->admin)},
		{"admin_http", texts_equal(a->admin_http, b->admin_http)},
		{"link.listen", lists_equal(a->link.listen, a->link.listen_count, b->link.listen,
					    b->link.listen_count)},
		{"sip.listen", lists_equal(a->sip.listen, a->sip.listen_count, b->sip.listen,
					   b->sip.listen_count)},
		{"https.listen", lists_equal(a->https.listen, a->https.listen_count,
					     b->https.listen, b->https.listen_count)},
		{"xmpp.listen", lists_equal(a->xmpp.listen, a->xmpp.listen_count, b->xmpp.listen,
					    b->xmpp.listen_count)},
		{"xmpp.tls_listen", lists_equal(a->xmpp.tls_listen, a->xmpp.tls_listen_count,
						b->xmpp.tls_listen, b->xmpp.tls_listen_count)},
		{"xmpp.federation.listen",
		 lists_equal(a->xmpp.federation.listen, a->xmpp.federation.listen_count,
			     b->xmpp.federation.listen, b->xmpp.federation.listen_count)},
		{"media.pairs", pairs_equal(a, b)},
		{"media.rung", !strcmp(a->media.rung, b->media.rung)},
		{"media.punch_port", a->media.punch_port == b->media.punch_port},
		{"link.cores (order)", cores_kept(a, b)},
		{"trace_records", a->trace_records == b->trace_records},
	};
	size_t at = 0, i;

	out[0] = 0;
	for (i = 0; i < sizeof(checks) / sizeof(checks[0]) && at < n; i++)
		if (!checks[i].same)
			at += (size_t)snprintf(out + at, n - at, "%s%s", at ? ", " : "",
					       checks[i].name);
}

/* Whole or not at all: the files are good and ask for nothing that needs privilege, or the old ones stay. */
static int reload(void *arg, struct keeper_plan *plan)
{
	struct cert_names names[CERT_NAMES_MAX];
	struct start *s = arg;
	char why[CONFIG_WHY_MAX] = "", changes[200] = "";
	struct config_edge *cfg = edge_file_read(s->path, why);
	int err = cfg ? 0 : -EINVAL;

	if (cfg)
		privileged_changes(s->cfg, cfg, changes, sizeof(changes));
	if (changes[0]) {
		snprintf(why, sizeof(why), "changed: %s; restart the service to apply it", changes);
		err = -EPERM;
	}
	if (!err)
		err = cert_files_reopen(&s->certs, plan, names, certs_of(cfg, names), why,
					sizeof(why));
	if (!err)
		err = keeper_reopen_file(plan, "config", s->path, why, sizeof(why));
	if (err) {
		log_event(LOG_L_ERROR, "reload-failed", "reason=\"%s\"", why);
		config_edge_free(cfg);
		return err;
	}
	s->tried = cfg;
	return 0;
}

/* Certificates were replaced: as a reload, but with the configuration that we have, whatever stands in its file by now. */
static int watch(void *arg, struct keeper_plan *plan)
{
	struct cert_names names[CERT_NAMES_MAX];
	struct start *s = arg;

	return cert_files_watch(&s->certs, plan, names, certs_of(s->cfg, names));
}

static void reloaded(void *arg, struct keeper_plan *plan, bool good)
{
	struct start *s = arg;

	if (!s->tried) {
		cert_files_log(good);
		return;
	}
	config_edge_free(good ? s->cfg : s->tried);
	if (good)
		s->cfg = s->tried;
	s->tried = NULL;
	plan->user = s->cfg->user; /* the same name, in memory that stays */
}

/* Two descriptors a stream. In a container the hard limit may be all there is. */
static void nofile_raise(void)
{
	struct rlimit now, want = {NOFILE, NOFILE};

	if (setrlimit(RLIMIT_NOFILE, &want) == 0 || getrlimit(RLIMIT_NOFILE, &now))
		return;
	now.rlim_cur = now.rlim_max < NOFILE ? now.rlim_max : NOFILE;
	setrlimit(RLIMIT_NOFILE, &now);
	if (now.rlim_cur < NOFILE)
		log_event(LOG_L_WARN, "nofile", "wanted=%d got=%llu", NOFILE,
			  (unsigned long long)now.rlim_cur);
}

int edge_keeper(const char *path, struct config_edge *cfg)
{
	static struct keeper_plan plan; /* 14 KiB: too large for comfort on a stack */
	struct start start = {.path = path, .cfg = cfg};
	char *worker_argv[] = {(char *)"sallyport-edge", (char *)"--worker", (char *)"-c",
			       (char *)path, NULL};
	char why[CONFIG_WHY_MAX] = "";
	struct ktls_probe probe;
	int status = 1;

	ktls_probe(&probe); /* the kernel loads its module for us, not for the worker */
	plan.user = cfg->user;
	plan.worker_argv = worker_argv;
	plan.reload = reload;
	plan.reloaded = reloaded;
	plan.watch = watch;
	plan.arg = &start;
	nofile_raise();
	if (keeper_store_open(&plan, "edge", why, sizeof(why)) ||
	    plan_fill(&plan, path, cfg, &start.certs, why, sizeof(why)))
		log_event(LOG_L_ERROR, "start-failed", "reason=\"%s\"", why);
	else
		status = keeper_run(&plan);
	config_edge_free(start.cfg);
	return status;
}
