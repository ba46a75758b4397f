/* tools/sallyctl.c -- ask the daemons what they do, and make the link's certificates.
 *
 * In: a command; for the daemons' commands one line of JSON to each unix socket and one line back. Out: tables for people or JSON
 * (-j). Exit 0: answered; 1: nothing answered or not found; 2: wrong usage. Owns nothing beyond the run. */
#include <errno.h>
#include <getopt.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/un.h>
#include <unistd.h>

#include <jansson.h>

#include "tools/pki.h"

#define ANSWER_MAX (64u * 1024 * 1024)
#define COLUMNS	   40
#define ASK_S	   10 /* for an answer */
#define UPGRADE_S  25 /* the daemon's own limits are 20 together */

struct ctl_socket {
	const char *label, *path;
};

static const struct ctl_socket default_sockets[] = {{"edge", "/run/sallyport/edge.sock"},
						    {"core", "/run/sallyport/core.sock"}};

static int ctl_usage(int status)
{
	fputs("usage: sallyctl [-j] [-s SOCKET] COMMAND\n"
	      "  status        links, counters, call servers\n"
	      "  flows         media flows: addresses, latch, packets each way, rung\n"
	      "  streams       clients' streams: state, bytes, TLS, rung\n"
	      "  regs          registered devices (core)\n"
	      "  calls         calls (core)\n"
	      "  why ID        one stream, flow or call: its rung and the reason\n"
	      "  allow test METHOD URL [USER[@DOMAIN]]   which rule lets an HTTPS client's request "
	      "through, or why none does (core): 0, else 1\n"
	      "  allow check   the certificate of each https server that rules name (core): 0 if "
	      "all "
	      "are good, else 1\n"
	      "  upgrade       start the installed binary as the next worker, which takes over "
	      "(edge, then core)\n"
	      "  pki init DIR --name CA-NAME | pki issue DIR NAME [--san NAME-OR-ADDRESS]... "
	      "[--days N] [--not-after YYYYMMDDHHMMSSZ] | pki show FILE\n"
	      "Without -s both daemons' default sockets are asked (/run/sallyport/edge.sock, "
	      "core.sock).\n",
	      status ? stderr : stdout);
	return status;
}

/* ---- asking ----------------------------------------------------------------------------------------------------------------- */

static int ctl_connect(const char *path, int seconds)
{
	struct sockaddr_un sun = {.sun_family = AF_UNIX};
	struct timeval tv = {.tv_sec = seconds};
	int fd;

	if (strlen(path) >= sizeof(sun.sun_path))
		return -ENAMETOOLONG;
	strcpy(sun.sun_path, path);
	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return -errno;
	setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &tv, sizeof(tv));
	if (connect(fd, (struct sockaddr *)&sun, sizeof(sun))) {
		int err = -errno;

		close(fd);
		return err;
	}
	return fd;
}

static json_t *ctl_read(int fd)
{
	char *text = NULL, *grown;
	size_t n = 0, cap = 0;
	json_t *answer = NULL;
	json_error_t err;
	ssize_t got;

	do {
		if (n == cap) {
			cap = cap ? 2 * cap : 65536;
			grown = cap <= ANSWER_MAX ? realloc(text, cap) : NULL;
			if (!grown)
				goto out;
			text = grown;
		}
		got = read(fd, text + n, cap - n);
		if (got > 0)
			n += (size_t)got;
	} while (got > 0);
	answer = json_loadb(text, n, 0, &err);
out:
	free(text);
	return answer;
}

/* A new reference, or NULL with errno. */
static json_t *ctl_ask(const char *path, const char *cmd, const char *arg, int seconds)
{
	json_t *req = json_pack("{s:s}", "cmd", cmd), *answer;
	int fd = ctl_connect(path, seconds);
	char *line;

	if (fd < 0) {
		json_decref(req);
		errno = -fd;
		return NULL;
	}
	if (arg)
		json_object_set_new(req, "arg", json_string(arg));
	line = json_dumps(req, JSON_COMPACT);
	json_decref(req);
	if (!line || dprintf(fd, "%s\n", line) < 0) {
		free(line);
		close(fd);
		return NULL;
	}
	free(line);
	answer = ctl_read(fd);
	close(fd);
	if (!answer)
		errno = EPROTO;
	return answer;
}

/* ---- tables ----------------------------------------------------------------------------------------------------------------- */

/* Names and agents come from peers: what a terminal would obey (C0, DEL, and C1 as UTF-8) is shown as '?'. */
static const char *ctl_plain(const char *s, char *buf, size_t n)
{
	size_t i;

	for (i = 0; s[i] && i + 1 < n; i++) {
		unsigned char c = (unsigned char)s[i], before = i ? (unsigned char)s[i - 1] : 0;
		bool c1 = before == 0xc2 && c >= 0x80 && c < 0xa0;

		buf[i] = c < ' ' || c == 0x7f || c1 ? '?' : s[i];
		if (c1)
			buf[i - 1] = '?';
	}
	buf[i] = 0;
	return buf;
}

/* One cell as text; the result lives until the call after next. */
static const char *ctl_cell(const json_t *v)
{
	static char texts[2][512];
	static unsigned turn;
	char *t = texts[turn ^= 1], *dump;

	switch (v ? json_typeof(v) : JSON_NULL) {
	case JSON_STRING:
		return ctl_plain(json_string_value(v), t, sizeof(texts[0]));
	case JSON_INTEGER:
		snprintf(t, sizeof(texts[0]), "%lld", (long long)json_integer_value(v));
		return t;
	case JSON_REAL:
		snprintf(t, sizeof(texts[0]), "%.3g", json_real_value(v));
		return t;
	case JSON_TRUE:
		return "yes";
	case JSON_FALSE:
		return "no";
	case JSON_NULL:
		return "-";
	default:
		dump = json_dumps(v, JSON_COMPACT);
		ctl_plain(dump ? dump : "?", t, sizeof(texts[0]));
		free(dump);
		return t;
	}
}

static unsigned ctl_columns(const json_t *rows, const char *names[COLUMNS], size_t widths[COLUMNS])
{
	unsigned n = 0, c;
	const char *key;
	json_t *row, *v;
	size_t i;

	json_array_foreach(rows, i, row)
	{
		json_object_foreach(row, key, v)
		{
			size_t w = strlen(ctl_cell(v));

			for (c = 0; c < n && strcmp(names[c], key); c++)
				;
			if (c == n && n == COLUMNS)
				continue;
			if (c == n) {
				names[n] = key;
				widths[n++] = strlen(key);
			}
			if (w > widths[c])
				widths[c] = w;
		}
	}
	return n;
}

static void ctl_print_rows(const json_t *rows, int indent)
{
	const char *names[COLUMNS];
	size_t widths[COLUMNS], i;
	unsigned n = ctl_columns(rows, names, widths), c;
	json_t *row;

	printf("%*s", indent, "");
	if (!json_array_size(rows))
		puts("(none)");
	for (c = 0; c < n; c++)
		printf("%-*s%s", c + 1 == n ? 0 : (int)widths[c], names[c],
		       c + 1 == n ? "\n" : "  ");
	json_array_foreach(rows, i, row)
	{
		printf("%*s", indent, "");
		for (c = 0; c < n; c++)
			printf("%-*s%s", c + 1 == n ? 0 : (int)widths[c],
			       ctl_cell(json_object_get(row, names[c])), c + 1 == n ? "\n" : "  ");
	}
}

static void ctl_print(const json_t *v, int indent);

static void ctl_print_object(const json_t *o, int indent)
{
	const char *key;
	size_t width = 0;
	json_t *v;

	json_object_foreach((json_t *)o, key, v) if (strlen(key) > width) width = strlen(key);
	json_object_foreach((json_t *)o, key, v)
	{
		if (json_is_object(v) ||
		    (json_is_array(v) &&
		     (!json_array_size(v) || json_is_object(json_array_get(v, 0))))) {
			printf("%*s%s:\n", indent, "", key);
			ctl_print(v, indent + 2);
		} else {
			printf("%*s%-*s  %s\n", indent, "", (int)width, key, ctl_cell(v));
		}
	}
}

static void ctl_print(const json_t *v, int indent)
{
	if (json_is_array(v))
		ctl_print_rows(v, indent);
	else if (json_is_object(v))
		ctl_print_object(v, indent);
	else
		printf("%s\n", ctl_cell(v));
}

/* ---- commands --------------------------------------------------------------------------------------------------------------- */

static bool ctl_command_known(const char *cmd)
{
	static const char *const known[] = {"status", "flows", "streams", "regs",
					    "calls",  "why",   "upgrade"};
	size_t i;

	for (i = 0; i < sizeof(known) / sizeof(known[0]); i++)
		if (!strcmp(known[i], cmd))
			return true;
	return false;
}

/* Answers by label; what only the other daemon knows ("unknown command", "not found") is left out when one of two is asked. */
static json_t *ctl_collect(const struct ctl_socket *sockets, unsigned n, const char *cmd,
			   const char *arg, unsigned *reached)
{
	json_t *all = json_object();
	unsigned i;

	*reached = 0;
	for (i = 0; i < n; i++) {
		json_t *a = ctl_ask(sockets[i].path, cmd, arg, ASK_S);

		if (!a) {
			if (n == 1 || (errno != ENOENT && errno != ECONNREFUSED))
				fprintf(stderr, "sallyctl: %s: %s\n", sockets[i].path,
					strerror(errno));
			continue;
		}
		++*reached;
		if (json_is_object(a) && json_object_get(a, "error")) {
			if (n == 1)
				fprintf(stderr, "sallyctl: %s\n",
					ctl_cell(json_object_get(a, "error")));
			json_decref(a);
			continue;
		}
		json_object_set_new(all, sockets[i].label, a);
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
static int ctl_allow(const char *path, int argc, char **argv, bool json)
{
	bool test = argc > 1 && !strcmp(argv[1], "test");
	char arg[4000] = "";
	json_t *a;
	int status;

	if (argc < 2 || (test ? argc < 4 || argc > 5 : argc != 2 || strcmp(argv[1], "check") != 0))
		return ctl_usage(2);
	if (test && (strchr(argv[2], ' ') || strchr(argv[3], ' ') ||
		     snprintf(arg, sizeof(arg), "%s %s %s", argv[2], argv[3],
			      argc > 4 ? argv[4] : "") >= (int)sizeof(arg)))
		return ctl_usage(2);
	a = ctl_ask(path, test ? "allow-test" : "allow-check", test ? arg : NULL,
		    test ? ASK_S : UPGRADE_S);
	if (!a) {
		fprintf(stderr, "sallyctl: %s: %s\n", path, strerror(errno));
		return 1;
	}
	status = ctl_bad(a) || json_object_get(a, "error") ? 1 : 0;
	if (json) {
		json_dumpf(a, stdout, JSON_INDENT(1));
		putchar('\n');
	} else if (json_object_get(a, "error")) {
		fprintf(stderr, "sallyctl: %s\n", ctl_cell(json_object_get(a, "error")));
	} else {
		ctl_print(a, 0);
	}
	json_decref(a);
	return status;
}

static int ctl_show(const struct ctl_socket *sockets, unsigned n, const char *cmd, const char *arg,
		    bool json)
{
	unsigned reached;
	json_t *all = ctl_collect(sockets, n, cmd, arg, &reached), *v;
	const char *label;
	int status = json_object_size(all) ? 0 : 1;

	if (!reached)
		fprintf(stderr, "sallyctl: no daemon answered; is one running, and may you open "
				"its socket (-s SOCKET)?\n");
	else if (status && n > 1)
		fprintf(stderr, "sallyctl: %s%s%s: not found\n", cmd, arg ? " " : "",
			arg ? arg : "");
	if (json && !status) {
		json_dumpf(all, stdout, JSON_INDENT(1));
		putchar('\n');
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
static int ctl_upgrade(const struct ctl_socket *sockets, unsigned n, bool json)
{
	unsigned i, reached = 0, refused = 0;
	json_t *all = json_object();
	const char *why;

	for (i = 0; i < n; i++) {
		json_t *a = ctl_ask(sockets[i].path, "upgrade", NULL, UPGRADE_S);

		if (!a) {
			if (n == 1 || (errno != ENOENT && errno != ECONNREFUSED)) {
				fprintf(stderr, "sallyctl: %s: %s\n", sockets[i].path,
					strerror(errno));
				refused++;
			}
			continue;
		}
		reached++;
		why = json_string_value(json_object_get(a, "error"));
		refused += why != NULL;
		if (why && !json)
			fprintf(stderr, "sallyctl: %s: %s\n", sockets[i].label,
				ctl_cell(json_object_get(a, "error")));
		else if (!json)
			printf("%s: version %s runs as process %lld, in place of %lld\n",
			       sockets[i].label, ctl_cell(json_object_get(a, "version")),
			       (long long)json_integer_value(json_object_get(a, "pid")),
			       (long long)json_integer_value(json_object_get(a, "pid_before")));
		json_object_set_new(all, sockets[i].label, a);
	}
	if (!reached && !refused)
		fprintf(stderr, "sallyctl: no daemon answered; is one running, and may you open "
				"its socket (-s SOCKET)?\n");
	if (json) {
		json_dumpf(all, stdout, JSON_INDENT(1));
		putchar('\n');
	}
	json_decref(all);
	return reached && !refused ? 0 : 1;
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
	char label[64];
	struct ctl_socket one = {label, NULL};
	const char *arg = NULL;
	bool json = false;
	int c;

	signal(SIGPIPE, SIG_IGN); /* a daemon that goes away is an error to print */
	if (argc > 1 && !strcmp(argv[1], "pki"))
		return pki_main(argc - 1, argv + 1);
	while ((c = getopt(argc, argv, "+js:h")) != -1) {
		if (c == 'j')
			json = true;
		else if (c == 's')
			one.path = optarg;
		else
			return ctl_usage(c == 'h' ? 0 : 2);
	}
	if (optind < argc && !strcmp(argv[optind], "allow"))
		return ctl_allow(one.path ? one.path : default_sockets[1].path, argc - optind,
				 argv + optind, json);
	if (optind == argc || !ctl_command_known(argv[optind]))
		return ctl_usage(2);
	if (!strcmp(argv[optind], "why")) {
		if (optind + 2 != argc)
			return ctl_usage(2);
		arg = argv[optind + 1];
	} else if (optind + 1 != argc) {
		return ctl_usage(2);
	}
	if (one.path)
		ctl_label(one.path, label, sizeof(label));
	if (!strcmp(argv[optind], "upgrade"))
		return one.path ? ctl_upgrade(&one, 1, json)
				: ctl_upgrade(default_sockets, 2, json);
	if (one.path)
		return ctl_show(&one, 1, argv[optind], arg, json);
	return ctl_show(default_sockets, 2, argv[optind], arg, json);
}
