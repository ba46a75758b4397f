/* tools/ctl_capture.c -- "sallyctl capture": the media packets of one call, and of nothing else, into a pcapng file.
 *
 * In: CALL: on a core the id of `sallyctl calls` or a Call-ID, on an edge a flow's id; the daemon's rows of it. Out: a file with an interface a
 * leg: on a core the RTP legs inside and the SRTP ones towards the edge, on an edge the outside and the inside leg of a flow. Payload is what
 * is on the wire: SRTP stays SRTP. The capture ends after -t seconds, -c packets, with the call, or by SIGINT; nothing is left behind.
 * A file that exists is not written over; mode 0600, as there is speech in it. */
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "tools/ctl.h"
#include "tools/ctl_capture.h"
#include "tools/pcapng.h"

#define CAPTURE_SECONDS_MAX 600
#define CAPTURE_PACKETS_MAX 1000000
#define LOOK_MS		    1000 /* from one look whether the call is still there to the next */

struct options {
	const char *call, *path, *socket;
	unsigned seconds;
	uint64_t packets;
};

static volatile sig_atomic_t interrupted;

static void on_signal(int sig)
{
	(void)sig;
	interrupted = 1;
}

bool capture_full(const struct capture *c)
{
	return c->packets >= c->max;
}

void capture_take(struct capture *c, unsigned leg, uint64_t at_ns, bool out, const void *data,
		  size_t kept, size_t len)
{
	const struct pcapng_packet p = {.interface = leg,
					.at_ns = at_ns,
					.len = (uint32_t)len,
					.kept = (uint32_t)kept,
					.out = out,
					.data = data};

	if (capture_full(c))
		return;
	c->packets++;
	c->last_ns = at_ns;
	c->legs[leg].packets++;
	pcapng_packet(c->f, &p);
}

/* ---- which legs ------------------------------------------------------------------------------------------------------------- */

static const char *text(const json_t *row, const char *key)
{
	const char *s = json_string_value(json_object_get(row, key));

	return s ? s : "";
}

static bool id_equal(const char *a, const char *b)
{
	char *end_a, *end_b;
	unsigned long long x = strtoull(a, &end_a, 16), y = strtoull(b, &end_b, 16);

	return *a && *b && !*end_a && !*end_b && x == y;
}

static void leg_add(struct capture *c, const json_t *row, const char *side, const char *key)
{
	struct capture_leg *l = &c->legs[c->n];
	struct addr a;

	if (c->n == CAPTURE_LEGS || addr_parse(span_str(text(row, key)), &a) || !a.port)
		return;
	*l = (struct capture_leg){.end = a,
				  .xdp = !strcmp(text(row, "rung"), "xdp-native"),
				  .flow = strtoull(text(row, "flow"), NULL, 16),
				  .inside = !strcmp(side, "inside")};
	snprintf(l->name, sizeof(l->name), "%s%s%s", text(row, "kind"),
		 *text(row, "kind") ? " " : "", side);
	snprintf(l->what, sizeof(l->what), "flow %.16s, %s, %s %.60s", text(row, "flow"),
		 l->xdp ? "as the XDP relay has it" : "as the stack has it",
		 !strcmp(key, "edge_inside") ? "the edge's" : "ours", text(row, key));
	c->n++;
}

/* @row is one of the call's. What a core passes as SRTP by XDP is to be had on the edge. */
static void legs_of(struct capture *c, const json_t *row)
{
	bool core = json_object_get(row, "edge_inside") != NULL;

	if (core && !strcmp(text(row, "rung"), "xdp-native")) {
		fprintf(stderr,
			"sallyctl: capture: flow %.16s passes by XDP here: capture it on the "
			"edge\n",
			text(row, "flow"));
	} else if (core) {
		leg_add(c, row, "inside", "inside");
		leg_add(c, row, "towards the edge", "edge_inside");
	} else {
		leg_add(c, row, "outside", "outside");
		leg_add(c, row, "inside", "inside");
	}
}

static json_t *rows_of(json_t *answer)
{
	json_t *flows = json_object_get(answer, "flows");

	return json_is_array(answer) ? answer : flows;
}

/* The media ids of the call, or NULL: the daemon knows no such call (an edge knows none). */
static json_t *media_of(const struct options *o)
{
	json_t *calls = ctl_ask(o->socket, "calls", NULL, CTL_ASK_S), *row, *media = NULL;
	size_t i;

	json_array_foreach(json_is_array(calls) ? calls : NULL, i, row)
	{
		if (!id_equal(text(row, "call"), o->call) &&
		    strcmp(text(row, "call_id"), o->call) != 0)
			continue;
		if (!media)
			media = json_array();
		json_array_extend(media, json_object_get(row, "media"));
	}
	json_decref(calls);
	return media;
}

/* Legs into @c (not NULL), or only how many flows there are. */
static unsigned look(const struct options *o, struct capture *c)
{
	json_t *media = media_of(o), *answer = ctl_ask(o->socket, "flows", NULL, CTL_ASK_S), *row,
	       *m;
	unsigned n = 0;
	size_t i, k;

	json_array_foreach(rows_of(answer), i, row)
	{
		bool ours = !media && id_equal(text(row, "flow"), o->call);

		json_array_foreach(media, k, m)
		{
			ours |= id_equal(text(row, "medium"), json_string_value(m));
		}
		if (!ours)
			continue;
		n++;
		if (c)
			legs_of(c, row);
	}
	json_decref(media);
	json_decref(answer);
	return n;
}

/* ---- the run ---------------------------------------------------------------------------------------------------------------- */

static uint64_t clock_ms(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (uint64_t)ts.tv_sec * 1000 + (uint64_t)ts.tv_nsec / 1000000;
}

static const char *run(const struct options *o, struct capture *c, struct sniff *s, int s_fd,
		       struct tap *t, int t_fd)
{
	uint64_t now = clock_ms(), end = now + o->seconds * 1000ull, next = now + LOOK_MS;
	struct pollfd fds[2] = {{.fd = s_fd, .events = POLLIN}, {.fd = t_fd, .events = POLLIN}};

	for (;;) {
		now = clock_ms();
		if (interrupted)
			return "interrupted";
		if (capture_full(c))
			return "packets";
		if (now >= end)
			return "time";
		if (ferror(c->f))
			return "the file cannot be written";
		if (now >= next) {
			if (!look(o, NULL))
				return "the call ended";
			next = now + LOOK_MS;
		}
		now = next < end ? next - now : end - now;
		if (poll(fds, 2, (int)now) < 0 && errno != EINTR)
			return strerror(errno);
		if (s)
			sniff_read(s);
		if (t)
			tap_read(t);
	}
}

static int file_open(const char *path, FILE **out)
{
	int fd = !strcmp(path, "-")
			 ? dup(STDOUT_FILENO)
			 : open(path, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);

	*out = fd < 0 ? NULL : fdopen(fd, "wb");
	return *out ? 0 : -errno;
}

static void told(const struct ctl_options *o, const struct capture *c, const char *path,
		 const char *end)
{
	json_t *j, *legs = json_array();
	unsigned i;
	FILE *f = strcmp(path, "-") ? stdout : stderr;

	if (o->json && f == stdout) {
		for (i = 0; i < c->n; i++)
			json_array_append_new(legs,
					      json_pack("{s:s, s:s, s:I}", "leg", c->legs[i].name,
							"what", c->legs[i].what, "packets",
							(json_int_t)c->legs[i].packets));
		j = json_pack("{s:s, s:I, s:I, s:s, s:O}", "file", path, "packets",
			      (json_int_t)c->packets, "lost", (json_int_t)c->lost, "end", end,
			      "legs", legs);
		ctl_print_json(j);
		json_decref(j);
	} else {
		for (i = 0; i < c->n; i++)
			fprintf(f, "%8llu packets  %s: %s\n",
				(unsigned long long)c->legs[i].packets, c->legs[i].name,
				c->legs[i].what);
		fprintf(f, "%s: %llu packets, %llu lost for want of room; the end: %s\n", path,
			(unsigned long long)c->packets, (unsigned long long)c->lost, end);
	}
	json_decref(legs);
}

static int capture(const struct ctl_options *o, const struct options *p, struct capture *c)
{
	char why[256] = "";
	struct sniff *s = NULL;
	struct tap *t = NULL;
	int s_fd = -1, t_fd = -1, err;
	bool xdp = false, stack = false;
	const char *end;
	unsigned i;

	for (i = 0; i < c->n; i++)
		*(c->legs[i].xdp ? &xdp : &stack) = true;
	if (stack)
		s_fd = sniff_open(c, &s, why, sizeof(why));
	if (xdp && !why[0])
		t_fd = tap_open(c, p->socket, p->seconds, &t, why, sizeof(why));
	err = why[0] ? -EPERM : file_open(p->path, &c->f);
	if (err) {
		fprintf(stderr, "sallyctl: capture: %s%s%s\n", why[0] ? why : p->path,
			why[0] ? "" : ": ", why[0] ? "" : strerror(-err));
		sniff_close(s);
		tap_close(t);
		return 1;
	}
	pcapng_begin(c->f, "sallyctl capture");
	for (i = 0; i < c->n; i++)
		pcapng_interface(c->f, c->legs[i].xdp ? PCAPNG_ETHERNET : PCAPNG_RAW, CAPTURE_SNAP,
				 c->legs[i].name, c->legs[i].what);
	fflush(c->f);
	end = run(p, c, s, s_fd, t, t_fd);
	sniff_close(s);
	tap_close(t);
	for (i = 0; i < c->n;
	     i++) /* which leg the lost ones were of nobody knows: told with the first */
		pcapng_statistics(c->f, i, c->last_ns, c->legs[i].packets, i ? 0 : c->lost);
	err = ferror(c->f);
	if (fclose(c->f) || err) {
		fprintf(stderr, "sallyctl: capture: %s: not written whole\n", p->path);
		return 1;
	}
	told(o, c, p->path, end);
	return 0;
}

static bool number(const char *s, unsigned long long max, unsigned long long *out)
{
	char *end;

	errno = 0;
	*out = strtoull(s, &end, 10);
	return *s >= '0' && *s <= '9' && !*end && !errno && *out >= 1 && *out <= max;
}

int ctl_capture_main(const struct ctl_options *o, int argc, char **argv)
{
	struct options p = {.seconds = 60, .packets = 100000};
	static struct capture c;
	char name[64];
	unsigned long long v;
	unsigned i;
	int opt;

	optind = 0; /* anew: the command's own */
	while ((opt = getopt(argc, argv, "w:t:c:")) != -1) {
		if (opt == 'w')
			p.path = optarg;
		else if (opt == 't' && number(optarg, CAPTURE_SECONDS_MAX, &v))
			p.seconds = (unsigned)v;
		else if (opt == 'c' && number(optarg, CAPTURE_PACKETS_MAX, &v))
			p.packets = v;
		else
			return CTL_USAGE;
	}
	if (optind + 1 != argc || strlen(argv[optind]) > 256)
		return CTL_USAGE;
	p.call = argv[optind];
	for (i = o->n; i-- > 0 && !c.n;) { /* the core is last, and knows calls */
		p.socket = o->sockets[i].path;
		look(&p, &c);
	}
	if (!c.n) {
		fprintf(stderr,
			"sallyctl: capture %s: no call (core) or flow (edge) with media has this "
			"id now\n",
			p.call);
		return 1;
	}
	if (!p.path) {
		snprintf(name, sizeof(name), "call-%.40s.pcapng", p.call);
		for (i = 0; name[i]; i++)
			if (name[i] == '/' || name[i] < ' ')
				name[i] = '_';
		p.path = name;
	}
	c.max = p.packets;
	signal(SIGINT, on_signal);
	signal(SIGTERM, on_signal);
	return capture(o, &p, &c);
}
