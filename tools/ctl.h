/* tools/ctl.h -- what sallyctl's commands share: options, asking a daemon, printing.
 *
 * Data flow: argv -> sallyctl.c takes the options and finds the command in its table -> the command's function asks a daemon over its
 * unix socket (ctl_ask: a line of JSON there, one back) -> tables for people (ctl_print) or JSON (ctl_print_json) on standard output,
 * errors on standard error. A command of its own file is tools/ctl_NAME.c with one function and one row in the table.
 *
 * Owner rules: nothing lives beyond the run; an answer belongs to who asked. Exit status: 0 answered, 1 failed or not found,
 * 2 wrong usage. */
#ifndef SALLYPORT_CTL_H
#define SALLYPORT_CTL_H

#include <stdbool.h>
#include <stddef.h>

#include <jansson.h>

#define CTL_ASK_S     10 /* seconds for an answer */
#define CTL_UPGRADE_S 25 /* the daemon's own limits are 20 together */

struct ctl_socket {
	const char *label, *path;
};

struct ctl_options {
	bool json;		      /* -j */
	bool chosen;		      /* -s SOCKET: @sockets is that one */
	struct ctl_socket sockets[2]; /* edge, core, without -s */
	unsigned n;
};

/* A command: argv[0] is its name, what follows is its own. Returns the exit status; CTL_USAGE has the usage of all printed, exit 2. */
#define CTL_USAGE (-1)
typedef int ctl_fn(const struct ctl_options *o, int argc, char **argv);

/* Ask for @cmd with @arg (or NULL). A new reference, an object with "error" where the daemon says so; or NULL with errno: nobody there, too
 * long, EPROTO for an answer that is no JSON or over 64 MiB. */
json_t *ctl_ask(const char *path, const char *cmd, const char *arg, int seconds);

/* tools/ctl_drain.c */
ctl_fn ctl_drain;

/* Names and agents come from peers: what a terminal would obey (C0, DEL, and C1 as UTF-8) is shown as '?'. Returns @buf. */
const char *ctl_plain(const char *s, char *buf, size_t n);
const char *ctl_cell(
	const json_t *v); /* one cell as text, made plain; lives until the call after next */
void ctl_print(const json_t *v, int indent);
void ctl_print_json(const json_t *v);

/* ---- commands of files of their own ---- */
ctl_fn ctl_capture_main;
ctl_fn ctl_trace_main;

#endif
