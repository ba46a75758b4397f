/* user/edge_main.c -- sallyport-edge: the command line.
 *
 * In: -c FILE. Out: a keeper (edge_keeper.c) that runs the worker (edge.c), that worker, with -n a verdict on the file, or with
 * --unload no trace left in the kernel. */
#include <errno.h>
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>

#include "user/bpf_load.h"
#include "user/edge.h"
#include "user/keeper.h"
#include "user/lodge.h"
#include "user/log.h"
#include "user/version.h"

static int usage(int status)
{
	fputs("usage: sallyport-edge -c FILE            run (as root: opens sockets, keys and BPF, "
	      "then drops to the\n"
	      "                                         configured user)\n"
	      "       sallyport-edge -n -c FILE         check the configuration: 0 = good, 1 = "
	      "FILE:LINE and the error\n"
	      "       sallyport-edge --unload -c FILE   detach and unpin what a run left in the "
	      "kernel\n"
	      "       sallyport-edge --version\n",
	      status ? stderr : stdout);
	return status;
}

static enum log_level log_level(const char *name)
{
	static const char *const names[] = {"error", "warn", "info", "debug"};
	unsigned i;

	for (i = 0; i < 4; i++)
		if (strcmp(name, names[i]) == 0)
			return (enum log_level)i;
	return LOG_L_INFO;
}

static int worker(const char *name)
{
	char why[CONFIG_WHY_MAX] = "", *text = NULL;
	struct config_edge *cfg = NULL;
	size_t n = 0;
	int err = keeper_read("config", &text, &n), status;

	if (err)
		snprintf(why, sizeof(why), "%s: %s", name, strerror(-err));
	else
		err = config_edge_load(name, text, n, &cfg, why);
	free(text);
	if (err) {
		log_event(LOG_L_ERROR, "config", "reason=\"%s\"", why);
		lodge_refuse(why);
		return 1;
	}
	log_set_level(log_level(cfg->log));
	status = edge_run(cfg);
	config_edge_free(cfg);
	return status;
}

static int unload(const char *instance)
{
	int err = bpf_unload(instance);

	if (err == -ENOENT)
		fprintf(stderr, "%s: nothing is loaded\n", instance);
	else if (err)
		fprintf(stderr, "%s: %s\n", instance, strerror(-err));
	return err ? 1 : 0;
}

enum mode { MODE_RUN, MODE_CHECK, MODE_WORKER, MODE_UNLOAD, MODE_USAGE, MODE_HELP, MODE_VERSION };

static enum mode options(int argc, char **argv, const char **path)
{
	static const struct option longs[] = {{"worker", no_argument, NULL, 'W'},
					      {"unload", no_argument, NULL, 'U'},
					      {"version", no_argument, NULL, 'V'},
					      {"help", no_argument, NULL, 'h'},
					      {0}};
	enum mode mode = MODE_RUN;
	int c;

	while ((c = getopt_long(argc, argv, "c:nh", longs, NULL)) != -1) {
		if (c == 'c')
			*path = optarg;
		else if (c == 'n')
			mode = MODE_CHECK;
		else if (c == 'W')
			mode = MODE_WORKER;
		else if (c == 'U')
			mode = MODE_UNLOAD;
		else
			return c == 'h' ? MODE_HELP : c == 'V' ? MODE_VERSION : MODE_USAGE;
	}
	return *path && optind == argc ? mode : MODE_USAGE;
}

int main(int argc, char **argv)
{
	char why[CONFIG_WHY_MAX] = "";
	const char *path = NULL;
	enum mode mode = options(argc, argv, &path);
	struct config_edge *cfg;
	int status = 0;

	if (mode == MODE_VERSION)
		return puts("sallyport-edge " SALLYPORT_VERSION) < 0;
	if (mode == MODE_USAGE || mode == MODE_HELP)
		return usage(mode == MODE_USAGE ? 2 : 0);
	log_open("sallyport-edge", LOG_L_INFO);
	if (mode == MODE_WORKER) {
		prctl(PR_SET_NAME,
		      "sallyport-edge"); /* executed by descriptor it would be called by a number */
		return worker(path);
	}
	cfg = edge_file_read(path, why);
	if (!cfg) {
		fprintf(stderr, "%s\n", why);
		return 1;
	}
	if (mode == MODE_RUN) {
		log_set_level(log_level(cfg->log));
		return edge_keeper(path, cfg);
	}
	if (mode == MODE_UNLOAD)
		status = unload(cfg->instance);
	else
		printf("%s: good\n", path);
	config_edge_free(cfg);
	return status;
}
