/* tools/ctl_invite.c -- `sallyctl invite`: see ctl_setup.h. In: the edge's configuration, a core's name. Out: a token, perhaps a line more
 * in edge.yaml, and the wait for the core; on a running edge by way of its worker. */
#include "tools/ctl_setup.h"

#include <errno.h>
#include <getopt.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "tools/join_wait.h"
#include "tools/setup_file.h"
#include "tools/stage.h"

#define RELOAD_TRIES 50 /* of 200 ms */

struct invite {
	const struct ctl_options *o;
	const char *dir, *core;
	const char *domains[JOIN_DOMAINS_MAX];
	unsigned n_domains;
	uint64_t seconds;
	bool no_wait;
	char path[JOIN_PATH_MAX];
	char *text;
	struct config_edge *cfg;
};

static int complain(const char *fmt, ...) __attribute__((format(printf, 1, 2)));
static int complain(const char *fmt, ...)
{
	va_list ap;

	fputs("sallyctl invite: ", stderr);
	va_start(ap, fmt);
	vfprintf(stderr, fmt, ap);
	va_end(ap);
	fputc('\n', stderr);
	return 1;
}

static int option(struct invite *v, int c)
{
	switch (c) {
	case 'c':
		v->core = optarg;
		return setup_is_name(optarg)
			       ? 0
			       : complain("--core: wanted a DNS name, got \"%s\"", optarg);
	case 'd':
		if (v->n_domains == JOIN_DOMAINS_MAX || !setup_is_name(optarg))
			return complain("--domain: wanted up to %d DNS names, got \"%s\"",
					JOIN_DOMAINS_MAX, optarg);
		v->domains[v->n_domains++] = optarg;
		return 0;
	case 'D':
		v->dir = optarg;
		return 0;
	case 'v':
		v->seconds = setup_seconds(optarg);
		return v->seconds ? 0 : complain("--valid: wanted 1s to 7d, got \"%s\"", optarg);
	case 'W':
		v->no_wait = true;
		return 0;
	default:
		return CTL_USAGE;
	}
}

static int parse(struct invite *v, int argc, char **argv)
{
	static const struct option longs[] = {
		{"core", required_argument, NULL, 'c'}, {"domain", required_argument, NULL, 'd'},
		{"dir", required_argument, NULL, 'D'},	{"valid", required_argument, NULL, 'v'},
		{"no-wait", no_argument, NULL, 'W'},	{NULL, 0, NULL, 0}};
	int c, err = 0;

	optind = 0; /* GNU: start afresh, with permutation */
	while (!err && (c = getopt_long(argc, argv, "", longs, NULL)) != -1)
		err = option(v, c);
	if (!err && optind != argc)
		err = CTL_USAGE;
	if (!err && !v->core && (v->n_domains || v->no_wait))
		err = complain("--core NAME is wanted with --domain and --no-wait");
	return err;
}

static int load(struct invite *v)
{
	char why[CONFIG_WHY_MAX];

	snprintf(v->path, sizeof(v->path), "%s/edge.yaml", v->dir);
	v->text = setup_read(v->path, why);
	if (v->text && !config_edge_load(v->path, v->text, strlen(v->text), &v->cfg, why))
		return 0;
	return complain("%s%s", why,
			v->text ? ""
				: "; sallyctl init edge makes it (or say where it is: --dir D)");
}

static const struct config_edge_core *known(const struct config_edge *cfg, const char *core)
{
	unsigned i;

	for (i = 0; i < cfg->link.cores_count; i++)
		if (!strcasecmp(cfg->link.cores[i].name, core))
			return &cfg->link.cores[i];
	return NULL;
}

/* ---- a core that is not in the file ---- */

static bool edge_knows(const char *admin, const char *core, pid_t *worker)
{
	json_t *a = ctl_ask(admin, "status", NULL, CTL_ASK_S), *row;
	bool found = false;
	size_t i;

	json_array_foreach(json_object_get(a, "links"), i, row)
	{
		const char *name = json_string_value(json_object_get(row, "core"));

		found = found || (name && !strcasecmp(name, core));
	}
	*worker = (pid_t)json_integer_value(json_object_get(a, "pid"));
	json_decref(a);
	return found;
}

static pid_t parent_of(pid_t pid)
{
	char path[64], line[256];
	int parent = 0;
	FILE *f;

	snprintf(path, sizeof(path), "/proc/%d/status", (int)pid);
	f = fopen(path, "re");
	while (f && fgets(line, sizeof(line), f))
		if (sscanf(line, "PPid: %d", &parent) == 1)
			break;
	if (f)
		fclose(f);
	return parent;
}

/* The worker told us a number: nothing but an edge may be signalled for it. */
static bool is_edge(pid_t pid)
{
	static const char name[] = "/sallyport-edge";
	char path[64], exe[4096], *end;
	ssize_t n;

	snprintf(path, sizeof(path), "/proc/%d/exe", (int)pid);
	n = readlink(path, exe, sizeof(exe) - 1);
	if (n <= 0)
		return false;
	exe[n] = 0;
	end = strstr(exe, " (deleted)"); /* a package took its place */
	if (end)
		*end = 0;
	end = strrchr(exe, '/');
	return end && !strcmp(end, name);
}

/* As `systemctl reload` does it: the keeper is the worker's parent. 0 as well where nothing runs. */
static int reload(const struct invite *v, const char *admin)
{
	pid_t worker = 0, keeper;
	unsigned i;

	if (edge_knows(admin, v->core, &worker) || !worker)
		return 0;
	keeper = parent_of(worker);
	if (keeper <= 1 || !is_edge(keeper) || kill(keeper, SIGHUP))
		return complain(
			"sallyport-edge has to be told: systemctl reload sallyport-edge; then "
			"once more");
	for (i = 0; i < RELOAD_TRIES; i++) {
		usleep(200000);
		if (edge_knows(admin, v->core, &worker))
			return 0;
	}
	return complain("sallyport-edge does not take %s over: its log says why", v->path);
}

static int add_core(struct invite *v)
{
	struct stage s = {.force = true};
	char why[CONFIG_WHY_MAX] = "", *text;
	struct config_edge *cfg = NULL;
	struct stat st;
	unsigned i;
	int err;

	for (i = 0;
	     !v->n_domains && i < v->cfg->link.cores[0].domains_count && i < JOIN_DOMAINS_MAX; i++)
		v->domains[i] = v->cfg->link.cores[0].domains[i];
	v->n_domains = v->n_domains ? v->n_domains : i;
	text = setup_add_core(v->path, v->text, v->core, v->domains, v->n_domains, why);
	err = text ? config_edge_load(v->path, text, strlen(text), &cfg, why) : -EINVAL;
	if (!err && (!known(cfg, v->core) || stat(v->path, &st)))
		err = -EINVAL;
	if (!err)
		err = stage_add(&s, v->path, st.st_mode & 0777, span_str(text), why);
	if (!err)
		err = stage_commit(&s, why);
	stage_drop(&s);
	free(text);
	if (err) {
		config_edge_free(cfg);
		return complain("%s", *why ? why : "the core could not be added");
	}
	if (!v->o->json)
		printf("%s: %s is in link.cores now\n", v->path, v->core);
	/* The names of domains may be the old configuration's: it stays until the end. */
	config_edge_free(cfg);
	return 0;
}

int ctl_invite(const struct ctl_options *o, int argc, char **argv)
{
	struct invite v = {.o = o, .dir = SETUP_DIR, .seconds = 3600};
	const struct config_edge_core *core;
	char why[JOIN_WHY_MAX];
	struct join_server s = {};
	const char *admin;
	int err = parse(&v, argc, argv);

	if (err)
		return err;
	err = load(&v);
	if (err)
		goto out;
	admin = o->chosen ? o->sockets[0].path : v.cfg->admin;
	core = v.core ? known(v.cfg, v.core) : NULL;
	if (core && v.n_domains) {
		err = complain("%s is in %s already: change its domains there", v.core, v.path);
		goto out;
	}
	if (join_server_open(&s, v.dir, v.cfg, why)) {
		err = complain("%s", why);
		goto out;
	}
	if (v.core && !core)
		err = add_core(&v);
	if (!err && v.core)
		err = reload(&v, admin);
	if (err)
		goto out;
	if (!v.core)
		err = join_wait(o, &s, v.cfg, admin);
	else if (core)
		err = join_invite(o, &s, v.cfg, admin, core->name,
				  (const char *const *)core->domains,
				  core->domains_count < JOIN_DOMAINS_MAX ? core->domains_count
									 : JOIN_DOMAINS_MAX,
				  v.seconds, !v.no_wait);
	else
		err = join_invite(o, &s, v.cfg, admin, v.core, v.domains, v.n_domains, v.seconds,
				  !v.no_wait);
out:
	join_server_close(&s);
	config_edge_free(v.cfg);
	free(v.text);
	return err;
}
