/* tools/ctl_drain.c -- "sallyctl drain [on|off|status] [--wait [SECONDS]]": take a node out of service, and see when it is empty.
 *
 * In: the command; answers of the daemon to "drain" (user/drain.h). Out: what is left, as text or JSON. Exit 0: done as asked; with
 * --wait: nothing is left; 1: something is (it is said what), the daemon refused or is away; 2: wrong usage. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "tools/ctl.h"

#define LOOK_MS 500
#define AWAY_S	15 /* a worker that is replaced is away for a moment */

static long long now_s(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return ts.tv_sec;
}

static long long number(const json_t *a, const char *name)
{
	return json_integer_value(json_object_get(a, name));
}

static void left_text(const json_t *a, char *buf, size_t n)
{
	const json_t *s = json_object_get(a, "streams"), *flows = json_object_get(a, "flows_left");
	char media[48] = "";

	if (flows)
		snprintf(media, sizeof(media), ", %lld media flows", json_integer_value(flows));
	snprintf(buf, n,
		 "%lld calls%s, %lld chats, %lld chats of servers, %lld web connections; "
		 "%lld phones that are registered nowhere else",
		 number(a, "calls_left"), media, number(s, "xmpp"), number(s, "xmpp-server"),
		 number(s, "https"), number(a, "phones"));
}

static void show(const char *label, const json_t *a)
{
	const json_t *p, *peers = json_object_get(a, "peers_draining");
	char left[256];
	size_t i;

	if (!json_is_true(json_object_get(a, "on"))) {
		printf("%s: in service\n", label);
	} else {
		left_text(a, left, sizeof(left));
		printf("%s: draining for %lld s; left: %s\n", label, number(a, "since_s"), left);
		if (!json_is_true(json_object_get(a, "kept")))
			printf("%s: the keeper is of an older version: the drain ends with this "
			       "worker\n",
			       label);
	}
	json_array_foreach(peers, i, p) printf("%s: %s drains\n", label, ctl_cell(p));
}

static const char *error_of(const json_t *a)
{
	const json_t *err = json_object_get(a, "error");

	return !a ? strerror(errno) : err ? ctl_cell(err) : NULL;
}

/* 0: @i is the daemon to ask; 1: none or more answer. */
static int choose(const struct ctl_options *o, unsigned *out)
{
	unsigned i, n = 0;

	for (i = 0; i < o->n; i++) {
		json_t *a =
			o->n > 1 ? ctl_ask(o->sockets[i].path, "drain", "status", CTL_ASK_S) : NULL;

		if (a || o->n == 1) {
			*out = i;
			n++;
		}
		json_decref(a);
	}
	if (n != 1)
		fprintf(stderr, n ? "sallyctl: drain: both daemons run here: which one? (-s "
				    "SOCKET)\n"
				  : "sallyctl: no daemon answered; is one running, and may you "
				    "open its socket (-s SOCKET)?\n");
	return n == 1 ? 0 : 1;
}

static int status_all(const struct ctl_options *o)
{
	json_t *all = json_object(), *a;
	unsigned i;
	int n;

	for (i = 0; i < o->n; i++) {
		a = ctl_ask(o->sockets[i].path, "drain", "status", CTL_ASK_S);
		if (!a || error_of(a)) {
			if (o->n == 1 || a)
				fprintf(stderr, "sallyctl: %s: %s\n", o->sockets[i].path,
					error_of(a));
			json_decref(a);
			continue;
		}
		if (!o->json)
			show(o->sockets[i].label, a);
		json_object_set_new(all, o->sockets[i].label, a);
	}
	n = (int)json_object_size(all);
	if (o->json && n)
		ctl_print_json(all);
	if (!n && o->n > 1)
		fprintf(stderr, "sallyctl: no daemon answered; is one running, and may you open "
				"its socket (-s SOCKET)?\n");
	json_decref(all);
	return n ? 0 : 1;
}

/* Poll until nothing is left, or @seconds are over (-1: no end). Takes @a, the first answer, and gives back the last. */
static json_t *wait_empty(const struct ctl_options *o, const struct ctl_socket *at, json_t *a,
			  long long seconds)
{
	long long end = now_s() + seconds, seen = now_s();
	char left[256], before[256] = "";

	for (;;) {
		if (a && !error_of(a)) {
			seen = now_s();
			left_text(a, left, sizeof(left));
			if (!o->json && strcmp(left, before) != 0)
				printf("%s: left: %s\n", at->label, left);
			fflush(stdout);
			strcpy(before, left);
			if (json_is_true(json_object_get(a, "done")) ||
			    !json_is_true(json_object_get(a, "on")))
				return a;
		}
		if ((seconds >= 0 && now_s() >= end) || now_s() - seen > AWAY_S)
			return a;
		json_decref(a);
		nanosleep(&(struct timespec){.tv_nsec = LOOK_MS * 1000000l}, NULL);
		a = ctl_ask(at->path, "drain", "status", CTL_ASK_S);
	}
}

static int order(const struct ctl_options *o, const char *what, bool wait, long long seconds)
{
	const struct ctl_socket *at;
	unsigned i = 0;
	json_t *a;
	int status = 0;

	if (choose(o, &i))
		return 1;
	at = &o->sockets[i];
	a = ctl_ask(at->path, "drain", what, CTL_ASK_S);
	if (wait && a && !error_of(a))
		a = wait_empty(o, at, a, seconds);
	if (!a || error_of(a)) {
		fprintf(stderr, "sallyctl: %s: %s\n", at->path, error_of(a));
		json_decref(a);
		return 1;
	}
	if (o->json) {
		json_t *all = json_pack("{s:O}", at->label, a);

		ctl_print_json(all);
		json_decref(all);
	} else {
		show(at->label, a);
	}
	if (wait && !json_is_true(json_object_get(a, "done"))) {
		char left[256];

		left_text(a, left, sizeof(left));
		if (json_is_true(json_object_get(a, "on")))
			fprintf(stderr, "sallyctl: drain: the time is over; left: %s\n", left);
		else
			fprintf(stderr, "sallyctl: drain: this node is in service (drain on)\n");
		status = 1;
	}
	json_decref(a);
	return status;
}

int ctl_drain(const struct ctl_options *o, int argc, char **argv)
{
	const char *what = "status";
	long long seconds = -1;
	bool wait = false;
	char *end;
	int i = 1;

	if (i < argc && argv[i][0] != '-')
		what = argv[i++];
	if (strcmp(what, "on") != 0 && strcmp(what, "off") != 0 && strcmp(what, "status") != 0)
		return CTL_USAGE;
	if (i < argc && !strcmp(argv[i], "--wait")) {
		wait = true;
		i++;
		if (i < argc) {
			seconds = strtoll(argv[i], &end, 10);
			if (!argv[i][0] || *end || seconds < 0 || seconds > 31536000)
				return CTL_USAGE;
			i++;
		}
	}
	if (i != argc || (wait && !strcmp(what, "off")))
		return CTL_USAGE;
	if (!strcmp(what, "status") && !wait)
		return status_all(o);
	return order(o, what, wait, seconds);
}
