/* tools/sallyctl.c -- ask the daemons what they do, and make the link's certificates.
 *
 * In: a command; for the daemons' commands one line of JSON to each unix socket and one line back. Out: tables for people or JSON
 * (-j). Exit 0: answered; 1: nothing answered or not found; 2: wrong usage. Owns nothing beyond the run. */
#include <errno.h>
#include <getopt.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>

#include "tools/ctl.h"
#include "tools/ctl_doctor.h"
#include "tools/ctl_nodes.h"
#include "tools/ctl_setup.h"
#include "tools/pki.h"

/* ---- commands --------------------------------------------------------------------------------------------------------------- */

/* Answers by label; what only the other daemon knows ("unknown command", "not found") is left out when one of two is asked. */
static json_t *ctl_collect(const struct ctl_options *o, const char *cmd, const char *arg,
			   unsigned *reached)
{
	json_t *all = json_object();
	unsigned i;

	*reached = 0;
	for (i = 0; i < o->n; i++) {
		json_t *a = ctl_ask(o->sockets[i].path, cmd, arg, CTL_ASK_S);

		if (!a) {
			if (o->n == 1 || (errno != ENOENT && errno != ECONNREFUSED))
				fprintf(stderr, "sallyctl: %s: %s\n", o->sockets[i].path,
					strerror(errno));
			continue;
		}
		++*reached;
		if (json_is_object(a) && json_object_get(a, "error")) {
			if (o->n == 1)
				fprintf(stderr, "sallyctl: %s\n",
					ctl_cell(json_object_get(a, "error")));
			json_decref(a);
			continue;
		}
		json_object_set_new(all, o->sockets[i].label, a);
	}
	return all;
}

/* A refused request, or a row that is neither in order nor without a certificate. */
static bool ctl_bad(const json_t *answer)
{
	const char *verdict = json_string_value(json_object_get(answer, "verdict"));
	const json_t *row;
	size_t i;

	json_array_foreach(answer, i, row)
	{
		const char *state = json_string_value(json_object_get(row, "state"));

		if (state && strcmp(state, "ok") != 0 && strcmp(state, "plain") != 0)
			return true;
	}
	return verdict && strcmp(verdict, "allowed") != 0;
}

/* "allow test METHOD URL [USER]", "allow check": only the core answers. */
static int ctl_allow(const struct ctl_options *o, int argc, char **argv)
{
	const char *path = o->sockets[o->n - 1].path;
	bool test = argc > 1 && !strcmp(argv[1], "test");
	char arg[4000] = "";
	json_t *a;
	int status;

	if (argc < 2 || (test ? argc < 4 || argc > 5 : argc != 2 || strcmp(argv[1], "check") != 0))
		return CTL_USAGE;
	if (test && (strchr(argv[2], ' ') || strchr(argv[3], ' ') ||
		     snprintf(arg, sizeof(arg), "%s %s %s", argv[2], argv[3],
			      argc > 4 ? argv[4] : "") >= (int)sizeof(arg)))
		return CTL_USAGE;
	a = ctl_ask(path, test ? "allow-test" : "allow-check", test ? arg : NULL,
		    test ? CTL_ASK_S : CTL_UPGRADE_S);
	if (!a) {
		fprintf(stderr, "sallyctl: %s: %s\n", path, strerror(errno));
		return 1;
	}
	status = ctl_bad(a) || json_object_get(a, "error") ? 1 : 0;
	if (o->json) {
		ctl_print_json(a);
	} else if (json_object_get(a, "error")) {
		fprintf(stderr, "sallyctl: %s\n", ctl_cell(json_object_get(a, "error")));
	} else {
		ctl_print(a, 0);
	}
	json_decref(a);
	return status;
}

static int ctl_show(const struct ctl_options *o, const char *cmd, const char *arg)
{
	unsigned reached;
	json_t *all = ctl_collect(o, cmd, arg, &reached), *v;
	const char *label;
	int status = json_object_size(all) ? 0 : 1;

	if (!reached)
		fprintf(stderr, "sallyctl: no daemon answered; is one running, and may you open "
				"its socket (-s SOCKET)?\n");
	else if (status && o->n > 1)
		fprintf(stderr, "sallyctl: %s%s%s: not found\n", cmd, arg ? " " : "",
			arg ? arg : "");
	if (o->json && !status) {
		ctl_print_json(all);
	} else {
		json_object_foreach(all, label, v)
		{
			printf("%s %s\n", label, cmd);
			ctl_print(v, 2);
		}
	}
	json_decref(all);
	return status;
}

/* One after the other: 0 if each that runs took its binary; what is not reached is left out if another one is. */
static int ctl_upgrade(const struct ctl_options *o, int argc, char **argv)
{
	unsigned i, reached = 0, refused = 0;
	json_t *all = json_object();
	const char *why;

	(void)argv;
	if (argc != 1)
		return CTL_USAGE;
	for (i = 0; i < o->n; i++) {
		json_t *a = ctl_ask(o->sockets[i].path, "upgrade", NULL, CTL_UPGRADE_S);

		if (!a) {
			if (o->n == 1 || (errno != ENOENT && errno != ECONNREFUSED)) {
				fprintf(stderr, "sallyctl: %s: %s\n", o->sockets[i].path,
					strerror(errno));
				refused++;
			}
			continue;
		}
		reached++;
		why = json_string_value(json_object_get(a, "error"));
		refused += why != NULL;
		if (why && !o->json)
			fprintf(stderr, "sallyctl: %s: %s\n", o->sockets[i].label,
				ctl_cell(json_object_get(a, "error")));
		else if (!o->json)
			printf("%s: version %s runs as process %lld, in place of %lld\n",
			       o->sockets[i].label, ctl_cell(json_object_get(a, "version")),
			       (long long)json_integer_value(json_object_get(a, "pid")),
			       (long long)json_integer_value(json_object_get(a, "pid_before")));
		json_object_set_new(all, o->sockets[i].label, a);
	}
	if (!reached && !refused)
		fprintf(stderr, "sallyctl: no daemon answered; is one running, and may you open "
				"its socket (-s SOCKET)?\n");
	if (o->json) {
		ctl_print_json(all);
	}
	json_decref(all);
	return reached && !refused ? 0 : 1;
}

/* ---- the table -------------------------------------------------------------------------------------------------------------- */

static int ctl_plain_show(const struct ctl_options *o, int argc, char **argv)
{
	return argc == 1 ? ctl_show(o, argv[0], NULL) : CTL_USAGE;
}

static int ctl_why(const struct ctl_options *o, int argc, char **argv)
{
	return argc == 2 ? ctl_show(o, argv[0], argv[1]) : CTL_USAGE;
}

static int ctl_pki(const struct ctl_options *o, int argc, char **argv)
{
	(void)o;
	return pki_main(argc, argv);
}

static const struct ctl_command {
	const char *name;
	ctl_fn *fn;
	const char *usage; /* lines of "  COMMAND  what it does" */
} commands[] = {
	{"status", ctl_plain_show, "  status        links, counters, call servers\n"},
	{"flows", ctl_plain_show,
	 "  flows         media flows: addresses, latch, packets each way, rung\n"},
	{"streams", ctl_plain_show, "  streams       clients' streams: state, bytes, TLS, rung\n"},
	{"regs", ctl_plain_show, "  regs          registered devices (core)\n"},
	{"calls", ctl_plain_show, "  calls         calls (core)\n"},
	{"why", ctl_why, "  why ID        one stream, flow or call: its rung and the reason\n"},
	{"trace", ctl_trace_main,
	 "  trace USER|CALL   what happened to a user (user@domain, or the part before the @) or a "
	 "call (id or Call-ID), on the core and its edges;\n"
	 "                on an edge: trace STREAM|FLOW|ADDRESS. 0: there is something, else 1\n"},
	{"capture", ctl_capture_main,
	 "  capture CALL [-w FILE] [-t SECONDS] [-c PACKETS]   media packets of a call's own legs "
	 "into a pcapng "
	 "file (as root, 60 s, 100,000 packets);\n"
	 "                on an edge: capture FLOW\n"},
	{"allow", ctl_allow,
	 "  allow test METHOD URL [USER[@DOMAIN]]   which rule lets an HTTPS client's request "
	 "through, or why none does (core): 0, else 1\n"
	 "  allow check   the certificate of each https server that rules name (core): 0 if all "
	 "are "
	 "good, else 1\n"},
	{"nodes", ctl_nodes_main,
	 "  nodes         both nodes in numbers: registrations, calls, flows, streams, refusals, "
	 "certificates, links\n"},
	{"metrics", ctl_metrics_main,
	 "  metrics --doc the metrics of the admin port (admin_http), as a table\n"},
	{"drain", ctl_drain,
	 "  drain [on|off|status] [--wait [SECONDS]]   take the node out of service: nothing new, "
	 "calls "
	 "and chats go on to their end\n"
	 "                --wait: until none is left (0), or the time is over (1)\n"},
	{"doctor", ctl_doctor_main,
	 "  doctor [--config FILE] [--all] [--dns ADDRESS] [--ca FILE] [--save FILE]   what would "
	 "stop a user: DNS, certificates, ports, link, clock, servers, kernel, limits; 0, else 1\n"
	 "  doctor --outside [--config EDGE-FILE | --domain DOMAIN] ...   what a client sees, from "
	 "here\n"
	 "  doctor --report FILE   the same of a report saved by --save, on any machine\n"},
	{"upgrade", ctl_upgrade,
	 "  upgrade       start the installed binary as the next worker, which takes over (edge, "
	 "then core)\n"},
	{"init", ctl_init,
	 "  init edge --domain D [--domain D2]... --self-signed | --cert FILE --key FILE "
	 "[--name N] [--host NAME] [--public ADDR] "
	 "[--outside ADDR] [--inside ADDR] [--core NAME] [--user U] [--dir DIR] [--valid 1h] "
	 "[--no-wait] [--force]\n"
	 "                make this host an edge: private CA, edge.yaml, a token; wait for its "
	 "core\n"},
	{"join", ctl_join,
	 "  join TOKEN|- --call-server HOST[:PORT] [--transport udp|tcp] [--mode path|contact] "
	 "[--edge ADDR[:PORT]] [--inside ADDR] "
	 "[--name N] [--user U] [--dir DIR] [--force]\n"
	 "                make this host the core that the token is for\n"
	 "  join TOKEN|- --renew [--edge ADDR[:PORT]] [--dir DIR]\n"
	 "                a new key and certificate for a core; the rest stays\n"},
	{"invite", ctl_invite,
	 "  invite [--core NAME [--domain D]... [--valid 1h] [--no-wait]] [--dir DIR]\n"
	 "                on an edge, running or not: a token for a core, and wait for it; or "
	 "wait for those that have one\n"},
	{"pki", ctl_pki,
	 "  pki init DIR --name CA-NAME | pki issue DIR NAME [--san NAME-OR-ADDRESS]... [--days N] "
	 "[--not-after YYYYMMDDHHMMSSZ] | pki show FILE\n"},
};

static int ctl_usage(int status)
{
	FILE *f = status ? stderr : stdout;
	size_t i;

	fputs("usage: sallyctl [-j] [-s SOCKET] COMMAND\n", f);
	for (i = 0; i < sizeof(commands) / sizeof(commands[0]); i++)
		fputs(commands[i].usage, f);
	fputs("Without -s both daemons' default sockets are asked (/run/sallyport/edge.sock, "
	      "core.sock).\n",
	      f);
	return status;
}

/* "/run/sallyport/edge.sock" -> "edge" */
static void ctl_label(const char *path, char *label, size_t n)
{
	const char *base = strrchr(path, '/');

	snprintf(label, n, "%s", base ? base + 1 : path);
	label[strcspn(label, ".")] = 0;
}

int main(int argc, char **argv)
{
	struct ctl_options o = {.sockets = {{"edge", "/run/sallyport/edge.sock"},
					    {"core", "/run/sallyport/core.sock"}},
				.n = 2};
	char label[64];
	size_t i;
	int c, status;

	signal(SIGPIPE, SIG_IGN); /* a daemon that goes away is an error to print */
	while ((c = getopt(argc, argv, "+js:h")) != -1) {
		if (c == 'j')
			o.json = true;
		else if (c == 's')
			ctl_label(optarg, label, sizeof(label)),
				o.chosen = true, o.n = 1,
				o.sockets[0] = (struct ctl_socket){label, optarg};
		else
			return ctl_usage(c == 'h' ? 0 : 2);
	}
	argc -= optind;
	argv += optind;
	for (i = 0; argc && i < sizeof(commands) / sizeof(commands[0]); i++) {
		if (strcmp(commands[i].name, argv[0]) != 0)
			continue;
		optind = 1; /* a command may have options of its own */
		status = commands[i].fn(&o, argc, argv);
		return status == CTL_USAGE ? ctl_usage(2) : status;
	}
	return ctl_usage(2);
}
