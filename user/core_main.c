/* user/core_main.c -- sallyport-core: command line, configuration, what the keeper opens; or the worker itself.
 *
 * In: -c FILE. Out: a keeper that runs the worker (core.c), with -n a verdict on the file, or with --unload no trace left in the
 * kernel. Ownership: the keeper's plan lives as long as the process. */
#include <errno.h>
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>

#include "user/account.h"
#include "user/bpf_load.h"
#include "user/cert_files.h"
#include "user/config.h"
#include "user/core.h"
#include "user/core_https.h"
#include "user/core_chat.h"
#include "user/core_pass.h"
#include "user/drain.h"
#include "user/core_keep.h"
#include "user/keeper_store.h"
#include "user/ktls.h"
#include "user/lodge.h"
#include "user/log.h"
#include "user/trace_plan.h"
#include "user/version.h"

#define CORE_FILES_BASE	 38000 /* streams of all services, link, call servers, servers for HTTPS */
#define CORE_LODGE_SLOTS 24576 /* streams' data connections, call servers' */
#define CORE_CONFIG_MAX	 262144u /* bytes of the configuration file */

static int core_usage(int status)
{
	fputs("usage: sallyport-core -c FILE            run (as root: opens sockets, keys and BPF, "
	      "then drops to the\n"
	      "                                         configured user)\n"
	      "       sallyport-core -n -c FILE         check the configuration: 0 = good, 1 = "
	      "FILE:LINE and the error\n"
	      "       sallyport-core --unload -c FILE   detach and unpin what media.relay left in "
	      "the kernel\n"
	      "       sallyport-core --version\n",
	      status ? stderr : stdout);
	return status;
}

static enum log_level core_log_level(const char *name)
{
	return !strcmp(name, "error")	? LOG_L_ERROR
	       : !strcmp(name, "warn")	? LOG_L_WARN
	       : !strcmp(name, "debug") ? LOG_L_DEBUG
					: LOG_L_INFO;
}

/* The configuration that the descriptor "config" holds. */
static struct config_core *core_load(const char *name, char why[CONFIG_WHY_MAX])
{
	struct config_core *cfg = NULL;
	char *text = NULL;
	size_t n = 0;
	int err = keeper_read("config", &text, &n);

	if (err)
		snprintf(why, CONFIG_WHY_MAX, "%s: %s", name, strerror(-err));
	else if (config_core_load(name, text, n, &cfg, why))
		cfg = NULL;
	free(text);
	return cfg;
}

/* The configuration in the file @path, before there is a keeper. */
static struct config_core *core_load_path(const char *path, char why[CONFIG_WHY_MAX])
{
	static char text[CORE_CONFIG_MAX + 1];
	struct config_core *cfg = NULL;
	FILE *f = fopen(path, "re");
	size_t n;

	if (!f) {
		snprintf(why, CONFIG_WHY_MAX, "%s: %s", path, strerror(errno));
		return NULL;
	}
	n = fread(text, 1, sizeof(text), f);
	fclose(f);
	if (n > CORE_CONFIG_MAX) {
		snprintf(why, CONFIG_WHY_MAX, "%s: wanted at most %u bytes", path, CORE_CONFIG_MAX);
		return NULL;
	}
	text[n] = 0;
	return config_core_load(path, text, n, &cfg, why) ? NULL : cfg;
}

static int core_worker(const char *name)
{
	char why[CONFIG_WHY_MAX] = "";
	struct config_core *cfg = core_load(name, why);
	int status;

	if (!cfg) {
		log_event(LOG_L_ERROR, "config", "reason=\"%s\"", why);
		lodge_refuse(why);
		return 1;
	}
	log_set_level(core_log_level(cfg->log));
	status = core_run(cfg);
	config_core_free(cfg);
	return status;
}

static unsigned core_certs(const struct config_core *cfg, struct cert_names out[CERT_NAMES_MAX])
{
	unsigned n = 0;

	out[n++] = (struct cert_names){"link", &cfg->link.tls, true};
	if (cfg->sip.tls.certificate)
		out[n++] = (struct cert_names){"sip", &cfg->sip.tls, true};
	return n;
}

/* Everything that needs root or must outlive a worker. */
static int core_plan(struct keeper_plan *p, const struct config_core *cfg, struct cert_files *certs,
		     char *why, size_t why_n)
{
	struct cert_names names[CERT_NAMES_MAX];
	int err = cert_files_open(certs, p, names, core_certs(cfg, names), why, why_n);

	if (!err)
		err = keeper_open_file(p, "token_key", cfg->token_key, why, why_n);
	if (!err)
		err = core_https_plan(p, cfg, why, why_n);
	if (!err)
		err = keeper_bind_udp(p, "sip.udp", cfg->sip.listen, why, why_n);
	if (!err)
		err = keeper_listen_tcp(p, "sip.tcp", cfg->sip.listen, why, why_n);
	if (!err && cfg->sip.tls_listen)
		err = keeper_listen_tcp(p, "sip.tls", cfg->sip.tls_listen, why, why_n);
	if (!err)
		err = account_listen_admin(p, cfg->admin, cfg->user, why, why_n);
	if (!err && cfg->admin_http)
		err = keeper_listen_tcp(p, "listen.admin_http.0", cfg->admin_http, why, why_n);
	if (!err)
		err = core_keep_plan(p, cfg, why, why_n);
	if (!err)
		err = trace_plan(p, cfg->trace_records, why, why_n);
	if (!err && cfg->cdr)
		err = keeper_open_append(p, "cdr", cfg->cdr, why, why_n);
	if (!err)
		err = core_pass_plan(p, cfg, why, why_n);
	if (!err)
		err = core_chat_plan(p, cfg, why, why_n);
	if (!err)
		err = drain_plan(p, why, why_n);
	if (!err)
		err = lodge_plan(p, CORE_LODGE_SLOTS, why, why_n);
	return err;
}

struct core_start { /* what a reload is checked against */
	const char *path;
	struct config_core *cfg, *tried;
	struct cert_files certs;
};

static bool core_same(const char *a, const char *b)
{
	return a == b || (a && b && !strcmp(a, b));
}

/* The first setting that only a restart can change (the keeper dropped the privileges for it), or NULL. */
static const char *core_privileged_change(const struct config_core *a, const struct config_core *b)
{
	if (!core_same(a->user, b->user))
		return "user";
	if (!core_same(a->admin, b->admin))
		return "admin";
	if (!core_same(a->admin_http, b->admin_http))
		return "admin_http";
	if (!core_same(a->token_key, b->token_key))
		return "token_key";
	if (!core_same(a->sip.listen, b->sip.listen) ||
	    !core_same(a->sip.tls_listen, b->sip.tls_listen))
		return "sip.listen or sip.tls_listen";
	if (!core_same(a->link.tls.key, b->link.tls.key) ||
	    !core_same(a->link.tls.certificate, b->link.tls.certificate) ||
	    !core_same(a->link.tls.ca, b->link.tls.ca))
		return "link.tls";
	if (!core_same(a->sip.tls.key, b->sip.tls.key) ||
	    !core_same(a->sip.tls.certificate, b->sip.tls.certificate) ||
	    !core_same(a->sip.tls.ca, b->sip.tls.ca))
		return "sip.tls";
	if (!core_same(a->media.link, b->media.link) ||
	    !core_same(a->media.inside, b->media.inside) ||
	    a->media.first_port != b->media.first_port || a->media.ports != b->media.ports ||
	    a->media.max != b->media.max)
		return "media.link, inside, first_port, ports or max";
	if (a->limits.bindings != b->limits.bindings || a->limits.calls != b->limits.calls)
		return "limits.bindings or limits.calls";
	if (a->trace_records != b->trace_records)
		return "trace_records";
	if (!a->cdr != !b->cdr)
		return "cdr (begun or left out)";
	if (!core_pass_same(a, b))
		return "instance or media.relay";
	if (!core_chat_same(a, b))
		return "xmpp.clusters (their number, or a ca)";
	return NULL;
}

/* Whole or not at all: the file is good and asks for nothing that needs privilege, or the old one stays. */
static int core_reload(void *arg, struct keeper_plan *plan)
{
	struct cert_names names[CERT_NAMES_MAX];
	struct core_start *start = arg;
	char why[CONFIG_WHY_MAX] = "";
	struct config_core *cfg = core_load_path(start->path, why);
	const char *change = cfg ? core_privileged_change(start->cfg, cfg) : NULL;

	if (change)
		snprintf(why, sizeof(why), "%s changed: restart the service to apply it", change);
	if (!cfg || change ||
	    cert_files_reopen(&start->certs, plan, names, core_certs(cfg, names), why,
			      sizeof(why)) ||
	    core_https_reopen(plan, cfg, why, sizeof(why)) ||
	    (cfg->cdr && keeper_reopen_append(plan, "cdr", cfg->cdr, why, sizeof(why))) ||
	    keeper_reopen_file(plan, "config", start->path, why, sizeof(why))) {
		log_event(LOG_L_ERROR, "reload-refused", "reason=\"%s\"", why);
		if (cfg)
			config_core_free(cfg);
		return -EINVAL;
	}
	start->tried = cfg;
	return 0;
}

/* As a reload, but with the configuration that we have. */
static int core_watch(void *arg, struct keeper_plan *plan)
{
	struct cert_names names[CERT_NAMES_MAX];
	struct core_start *start = arg;

	return cert_files_watch(&start->certs, plan, names, core_certs(start->cfg, names));
}

static void core_reloaded(void *arg, struct keeper_plan *plan, bool good)
{
	struct core_start *start = arg;

	if (!start->tried) {
		cert_files_log(good);
		return;
	}
	config_core_free(good ? start->cfg : start->tried);
	if (good)
		start->cfg = start->tried;
	start->tried = NULL;
	plan->user = start->cfg->user; /* the same name, in memory that stays */
}

/* Descriptors for every client's stream and the sockets of the media; inherited by the worker. */
static void core_files(const struct config_core *cfg)
{
	rlim_t want = CORE_FILES_BASE +
		      (cfg->media.relay.pairs_count ? 8 : 4) * (rlim_t)cfg->media.max +
		      (cfg->xmpp.clusters_count ? 2 * (rlim_t)cfg->xmpp.limits.streams : 0);
	struct rlimit files = {want, want}, have;

	if (!getrlimit(RLIMIT_NOFILE, &have) && have.rlim_cur >= want)
		return;
	if (setrlimit(RLIMIT_NOFILE, &files) == 0)
		return;
	log_event(LOG_L_WARN, "nofile", "wanted=%llu got=%llu error=\"%s\"",
		  (unsigned long long)want, (unsigned long long)have.rlim_max, strerror(errno));
	have.rlim_cur = have.rlim_max;
	setrlimit(RLIMIT_NOFILE, &have);
}

static int core_keeper(const char *path, struct config_core *cfg)
{
	static struct keeper_plan plan; /* 14 KiB: too large for comfort on a stack */
	struct core_start start = {.path = path, .cfg = cfg};
	char *worker_argv[] = {(char *)"sallyport-core", (char *)"--worker", (char *)"-c",
			       (char *)path, NULL};
	char why[CONFIG_WHY_MAX] = "";
	struct ktls_probe probe;
	int status;

	ktls_probe(&probe); /* the kernel loads its module for us, not for the worker */
	core_files(cfg);
	plan.user = cfg->user;
	plan.worker_argv = worker_argv;
	plan.reload = core_reload;
	plan.reloaded = core_reloaded;
	plan.watch = core_watch;
	plan.arg = &start;
	if (keeper_store_open(&plan, "core", why, sizeof(why)) ||
	    keeper_open_file(&plan, "config", path, why, sizeof(why)) ||
	    core_plan(&plan, cfg, &start.certs, why, sizeof(why))) {
		log_event(LOG_L_ERROR, "start-failed", "reason=\"%s\"", why);
		return 1;
	}
	status = keeper_run(&plan);
	config_core_free(start.cfg);
	return status;
}

static int core_unload(const char *instance)
{
	int err = bpf_unload(instance);

	if (err == -ENOENT)
		fprintf(stderr, "%s: nothing is loaded\n", instance);
	else if (err)
		fprintf(stderr, "%s: %s\n", instance, strerror(-err));
	return err ? 1 : 0;
}

enum core_mode {
	CORE_RUN,
	CORE_CHECK,
	CORE_WORKER,
	CORE_UNLOAD,
	CORE_USAGE,
	CORE_HELP,
	CORE_VERSION
};

static enum core_mode core_options(int argc, char **argv, const char **path)
{
	static const struct option longs[] = {{"worker", no_argument, NULL, 'W'},
					      {"unload", no_argument, NULL, 'U'},
					      {"version", no_argument, NULL, 'V'},
					      {"help", no_argument, NULL, 'h'},
					      {0}};
	enum core_mode mode = CORE_RUN;
	int c;

	while ((c = getopt_long(argc, argv, "c:nh", longs, NULL)) != -1) {
		if (c == 'c')
			*path = optarg;
		else if (c == 'n')
			mode = CORE_CHECK;
		else if (c == 'W')
			mode = CORE_WORKER;
		else if (c == 'U')
			mode = CORE_UNLOAD;
		else
			return c == 'h' ? CORE_HELP : c == 'V' ? CORE_VERSION : CORE_USAGE;
	}
	return *path && optind == argc ? mode : CORE_USAGE;
}

int main(int argc, char **argv)
{
	char why[CONFIG_WHY_MAX] = "";
	const char *path = NULL;
	enum core_mode mode = core_options(argc, argv, &path);
	struct config_core *cfg;
	int status = 0;

	if (mode == CORE_VERSION)
		return puts("sallyport-core " SALLYPORT_VERSION) < 0;
	if (mode == CORE_USAGE || mode == CORE_HELP)
		return core_usage(mode == CORE_USAGE ? 2 : 0);
	log_open("sallyport-core", LOG_L_INFO);
	if (mode == CORE_WORKER) {
		prctl(PR_SET_NAME,
		      "sallyport-core"); /* executed by descriptor it would be called by a number */
		return core_worker(path);
	}
	cfg = core_load_path(path, why);
	if (!cfg) {
		fprintf(stderr, "%s\n", why);
		return 1;
	}
	if (mode == CORE_RUN) {
		log_set_level(core_log_level(cfg->log));
		return core_keeper(path, cfg);
	}
	if (mode == CORE_UNLOAD)
		status = core_unload(cfg->instance);
	else
		printf("%s: good\n", path);
	config_core_free(cfg);
	return status;
}
