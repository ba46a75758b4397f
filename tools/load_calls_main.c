/* tools/load_calls_main.c -- `load calls`: options, signals, summary. See load_calls.h.
 *
 * SIGTERM or SIGINT: no more calls, wait for the ends, unregister, tell; SIGUSR1: whoever is to hang up does so now (with --begin: begin to
 * call, at first); SIGUSR2: tell how it stands. */
#include "tools/load_calls.h"

#include <errno.h>
#include <getopt.h>
#include <inttypes.h>
#include <jansson.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>

#define TICK_MS	  10
#define BUFS	  4096
#define EARLY_MAX 25 /* packets of an end that may go before a leg has latched: half a second */

static volatile sig_atomic_t got_term, got_usr1, got_usr2;

static void on_signal(int s)
{
	if (s == SIGUSR1)
		got_usr1 = 1;
	else if (s == SIGUSR2)
		got_usr2 = 1;
	else
		got_term = 1;
}

static struct loop_timer tick;

static void on_tick(void *arg)
{
	struct load_calls *r = arg;

	if (got_term)
		r->closing = true;
	if (got_usr1) {
		got_usr1 = 0;
		if (r->waits)
			load_calls_begin(r);
		else
			load_calls_hang_up(r);
	}
	if (got_usr2) {
		got_usr2 = 0;
		load_calls_print(r);
	}
	load_calls_tick(r);
	loop_timer_set(r->l.loop, &tick, TICK_MS);
}

/* ---- summary ------------------------------------------------------------------------------------------------------------- */

static json_t *media_json(const struct load_media_count *c)
{
	json_t *j = json_pack(
		"{s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:f, s:f}",
		"sent", (json_int_t)c->sent, "received", (json_int_t)c->received, "lost",
		(json_int_t)c->lost, "tail", (json_int_t)c->tail, "early", (json_int_t)c->early,
		"early_max", (json_int_t)c->early_max, "silent_ends", (json_int_t)c->silent_ends,
		"doubled", (json_int_t)c->doubled, "reordered", (json_int_t)c->reordered, "garbled",
		(json_int_t)c->verdicts[LOAD_GARBLED], "foreign",
		(json_int_t)(c->verdicts[LOAD_FOREIGN] + c->verdicts[LOAD_ECHO]), "stray",
		(json_int_t)c->stray, "auth_failed", (json_int_t)c->results[SRTP_AUTH],
		"gap_max_ms", (double)c->gap_us / 1000, "delay_max_ms",
		(double)c->delay_us_max / 1000);
	json_int_t refused = 0;
	unsigned i;

	for (i = SRTP_OK + 1; i < SRTP_RESULTS; i++)
		refused += i == SRTP_AUTH ? 0 : (json_int_t)c->results[i];
	json_object_set_new(j, "srtp_refused", json_integer(refused));
	return j;
}

static json_t *summary(const struct load_calls *r)
{
	double cpu = (double)r->l.cpu_ns / 1e9;
	json_t *reasons = json_object(), *suites = json_object();
	unsigned i;

	for (i = 0; i < LOAD_REASONS && r->reasons[i].n; i++)
		json_object_set_new(reasons, r->reasons[i].text,
				    json_integer((json_int_t)r->reasons[i].n));
	for (i = 0; i < SRTP_SUITES; i++)
		json_object_set_new(suites, srtp_suite_name((enum srtp_suite)i),
				    json_integer((json_int_t)r->suites[i]));
	json_object_set_new(suites, "plain", json_integer((json_int_t)r->plain));
	return json_pack(
		"{s:s, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:{s:I, s:I, s:I, s:I, s:I, s:I, s:o}, "
		"s:{s:I, s:I, s:I, s:I}, s:o, s:{s:f, s:f}, s:{s:o, s:o}, s:I, s:f, s:f, s:f}",
		"run", "calls", "registered", (json_int_t)r->l.setup_ok, "setup_failed",
		(json_int_t)r->l.setup_failed, "lost", (json_int_t)r->l.lost, "reconnected",
		(json_int_t)r->l.reconnected, "refreshed", (json_int_t)r->refreshed,
		"refresh_failed", (json_int_t)r->refresh_failed, "unregistered",
		(json_int_t)r->left, "calls", "placed", (json_int_t)r->placed, "answered",
		(json_int_t)r->answered, "failed", (json_int_t)r->failed, "taken",
		(json_int_t)r->taken, "taken_failed", (json_int_t)r->taken_failed, "refused",
		(json_int_t)r->refused, "reasons", reasons, "hangups", "sent",
		(json_int_t)r->bye_sent, "answered", (json_int_t)r->bye_answered, "received",
		(json_int_t)r->bye_received, "cut_short", (json_int_t)r->cut_short, "suites",
		suites, "answer_ms", "p50", load_percentile(&r->answer, 0.5), "p99",
		load_percentile(&r->answer, 0.99), "media", "callers",
		media_json(&r->mill.count[0]), "callees", media_json(&r->mill.count[1]),
		"send_refused",
		(json_int_t)(r->mill.send_refused + loop_stats(r->l.loop)->send_errors), "seconds",
		r->seconds, "cpu_s", cpu, "per_cpu_s",
		r->l.o.n_duts && cpu > 0 ? (double)r->answered / cpu : 0);
}

static void print_media(const char *who, const struct load_media_count *c)
{
	if (!c->sent && !c->received)
		return;
	printf("media of %s: %" PRIu64 " sent, %" PRIu64 " heard, %" PRIu64 " lost, %" PRIu64
	       " at the end, %" PRIu64 " before a latch (at most %u); %" PRIu64 " doubled, %" PRIu64
	       " out of order, %" PRIu64 " garbled, %" PRIu64 " foreign, %" PRIu64
	       " not authentic; longest gap %.1f ms\n",
	       who, c->sent, c->received, c->lost, c->tail, c->early, c->early_max, c->doubled,
	       c->reordered, c->verdicts[LOAD_GARBLED],
	       c->verdicts[LOAD_FOREIGN] + c->verdicts[LOAD_ECHO], c->results[SRTP_AUTH],
	       (double)c->gap_us / 1000);
}

static void print_text(const struct load_calls *r)
{
	unsigned i;

	printf("%" PRIu64 " registered, %" PRIu64 " failed; %" PRIu64 " lost, %" PRIu64
	       " came back; %" PRIu64 " refreshed, %" PRIu64 " not; %" PRIu64 " unregistered\n",
	       r->l.setup_ok, r->l.setup_failed, r->l.lost, r->l.reconnected, r->refreshed,
	       r->refresh_failed, r->left);
	printf("calls: %" PRIu64 " placed, %" PRIu64 " answered, %" PRIu64 " failed; %" PRIu64
	       " taken, %" PRIu64 " failed, %" PRIu64 " refused; answer p50 %.1f ms, p99 %.1f ms\n",
	       r->placed, r->answered, r->failed, r->taken, r->taken_failed, r->refused,
	       load_percentile(&r->answer, 0.5), load_percentile(&r->answer, 0.99));
	printf("hang-ups: %" PRIu64 " sent, %" PRIu64 " answered, %" PRIu64 " received, %" PRIu64
	       " cut short\n",
	       r->bye_sent, r->bye_answered, r->bye_received, r->cut_short);
	for (i = 0; i < LOAD_REASONS && r->reasons[i].n; i++)
		printf("failed, %s: %" PRIu64 "\n", r->reasons[i].text, r->reasons[i].n);
	print_media("callers", &r->mill.count[0]);
	print_media("callees", &r->mill.count[1]);
	if (r->l.o.n_duts)
		printf("CPU of the devices under test: %.3f s in %.2f s\n",
		       (double)r->l.cpu_ns / 1e9, r->seconds);
}

static bool media_clean(const struct load_media_count *c)
{
	unsigned i;

	for (i = SRTP_OK + 1; i < SRTP_RESULTS; i++)
		if (c->results[i])
			return false;
	return !c->lost && !c->tail && !c->doubled && !c->silent_ends && !c->stray &&
	       !c->verdicts[LOAD_GARBLED] && !c->verdicts[LOAD_FOREIGN] &&
	       !c->verdicts[LOAD_ECHO] && c->early_max <= EARLY_MAX;
}

int load_calls_print(const struct load_calls *r)
{
	bool calls = !r->failed && !r->taken_failed && !r->l.setup_failed && !r->refresh_failed;
	bool strict = media_clean(&r->mill.count[0]) && media_clean(&r->mill.count[1]) &&
		      r->bye_sent == r->bye_answered && !r->refused && !r->cut_short &&
		      !r->mill.send_refused && r->left == r->l.setup_ok &&
		      (r->l.o.reconnect || !r->l.lost);

	if (r->l.o.json) {
		json_t *j = summary(r);

		json_dumpf(j, stdout, JSON_COMPACT | JSON_REAL_PRECISION(6));
		putchar('\n');
		json_decref(j);
	} else {
		print_text(r);
	}
	fflush(stdout);
	if (!calls || r->l.lost)
		fprintf(stderr, "load: last failure: %u %s; calls: %s\n", r->l.last_status,
			r->l.last_why, r->reasons[0].n ? r->reasons[0].text : "none");
	if (!calls)
		return 1;
	return r->o.strict && !strict ? 1 : r->answered == r->placed ? 0 : 1;
}

/* ---- options ------------------------------------------------------------------------------------------------------------- */

enum {
	OPT_UDP = 256,
	OPT_LOCAL,
	OPT_TO,
	OPT_CALLERS,
	OPT_CALLS,
	OPT_RATE,
	OPT_AT_ONCE,
	OPT_ENDS,
	OPT_HOLD,
	OPT_HANGUP,
	OPT_SUITE,
	OPT_RECONNECT,
	OPT_REFRESH,
	OPT_STRICT,
	OPT_BEGIN
};

static const struct option options[] = {
	{"udp", 0, NULL, OPT_UDP},	   {"local", 1, NULL, OPT_LOCAL},
	{"to", 1, NULL, OPT_TO},	   {"callers", 1, NULL, OPT_CALLERS},
	{"calls", 1, NULL, OPT_CALLS},	   {"rate", 1, NULL, OPT_RATE},
	{"at-once", 1, NULL, OPT_AT_ONCE}, {"ends", 1, NULL, OPT_ENDS},
	{"hold", 1, NULL, OPT_HOLD},	   {"hangup", 1, NULL, OPT_HANGUP},
	{"suite", 1, NULL, OPT_SUITE},	   {"reconnect", 0, NULL, OPT_RECONNECT},
	{"refresh", 1, NULL, OPT_REFRESH}, {"strict", 0, NULL, OPT_STRICT},
	{"begin", 1, NULL, OPT_BEGIN},	   {}};

static void usage(void)
{
	fprintf(stderr,
		"usage: load calls -s ADDR:PORT -D DOMAIN [-H SERVER-NAME] [-a CA.pem] [-u PREFIX] "
		"[-n "
		"CLIENTS] [-w AT-ONCE] [-t SECONDS] [-p PID]... [-j]\n"
		"  --udp --local ADDR:PORT   clients inside: SIP over UDP to the call server, "
		"plain RTP; "
		"else TLS and SRTP\n"
		"  --to PREFIX[:COUNT[:FIRST]]  call users PREFIX<FIRST>.. in turns; without it "
		"only "
		"answer, until SIGTERM or -t\n"
		"  --callers COUNT[:FIRST]   which of our clients call (all)\n"
		"  --calls N --rate PER-SECOND --at-once N   how many calls, how fast, how many at "
		"a "
		"time (1, no limit, 1000)\n"
		"  --hold MS                 length of a call's media (2000)\n"
		"  --hangup caller|callee|both   who hangs up; both: in turns (both)\n"
		"  --suite NAME              an SRTP suite (all four in turns)\n"
		"  --reconnect               a lost connection is made again, its calls go on\n"
		"  --refresh PER-SECOND      REGISTERs besides (0); then calls are placed for all "
		"of -t\n"
		"  --begin USR1              call from that signal on, not once all are "
		"registered\n"
		"  --ends N                  ends of calls at once, ours and those we take (2048)\n"
		"  --strict                  exit 1 if any packet of media was lost, doubled, "
		"foreign, "
		"not authentic; any BYE not answered\n");
}

/* A:B:C as text and up to two numbers. */
static int split(char *arg, unsigned *a, unsigned *b)
{
	char *p = strchr(arg, ':'), *q = p ? strchr(p + 1, ':') : NULL;

	if (p)
		*p++ = 0;
	if (q)
		*q++ = 0;
	return (!p || load_uint(p, LOAD_CLIENTS_MAX, a)) &&
			       (!q || load_uint(q, LOAD_CLIENTS_MAX, b))
		       ? 0
		       : -EINVAL;
}

static int option_hangup(struct load_calls_opts *o, const char *arg)
{
	bool both = !strcmp(arg, "both");

	o->by_caller = both || !strcmp(arg, "caller");
	o->by_callee = both || !strcmp(arg, "callee");
	return o->by_caller || o->by_callee ? 0 : -EINVAL;
}

static int option_calls(struct load_calls_opts *o, int c, char *arg)
{
	enum srtp_suite s;
	unsigned none = 0;

	switch (c) {
	case OPT_TO:
		if (split(arg, &o->to_count, &o->to_first) || strlen(arg) >= sizeof(o->to))
			return -EINVAL;
		strcpy(o->to, arg);
		return o->to_count && *arg ? 0 : -EINVAL;
	case OPT_CALLERS:
		if (split(arg, &o->first, &none) || none)
			return -EINVAL;
		return load_uint(arg, LOAD_CLIENTS_MAX, &o->count) ? 0 : -EINVAL;
	case OPT_CALLS:
		return load_uint(arg, 10000000, &o->calls) ? 0 : -EINVAL;
	case OPT_RATE:
		return load_uint(arg, 10000, &o->rate) ? 0 : -EINVAL;
	case OPT_AT_ONCE:
		return load_uint(arg, LOAD_ENDS_MAX, &o->at_once) ? 0 : -EINVAL;
	case OPT_ENDS:
		return load_uint(arg, LOAD_ENDS_MAX, &o->ends) && o->ends ? 0 : -EINVAL;
	case OPT_HOLD:
		return load_uint(arg, LOAD_HOLD_MAX_MS, &o->hold_ms) && o->hold_ms >= LOAD_WHEEL
			       ? 0
			       : -EINVAL;
	case OPT_HANGUP:
		return option_hangup(o, arg);
	case OPT_SUITE:
		if (!srtp_suite_from_name(span_str(arg), &s))
			return -EINVAL;
		o->suite = (int)s;
		return 0;
	case OPT_REFRESH:
		return load_uint(arg, 100000, &o->refresh) ? 0 : -EINVAL;
	default:
		return -EINVAL;
	}
}

static int option(struct load_calls *r, int c, char *arg)
{
	switch (c) {
	case OPT_UDP:
		r->l.o.udp = true;
		return 0;
	case OPT_LOCAL:
		return addr_parse(span_str(arg), &r->l.o.local);
	case OPT_RECONNECT:
		r->l.o.reconnect = true;
		return 0;
	case OPT_STRICT:
		r->o.strict = true;
		return 0;
	case OPT_BEGIN:
		r->waits = true;
		return strcmp(arg, "USR1") ? -EINVAL : 0;
	default:
		return c > 255 ? option_calls(&r->o, c, arg) : load_option(&r->l.o, c, arg);
	}
}

static int options_read(struct load_calls *r, int argc, char **argv)
{
	const struct load_opts *o = &r->l.o;
	int c;

	while ((c = getopt_long(argc, argv, "s:H:D:u:a:n:w:t:p:j", options, NULL)) != -1)
		if (option(r, c, optarg)) {
			fprintf(stderr, "load: not understood: %s\n", argv[optind - 1]);
			return -EINVAL;
		}
	if (r->o.refresh && r->o.calls == 1)
		r->o.calls = UINT32_MAX;
	r->waits = r->waits && r->o.to[0];
	return optind == argc && o->server.port && o->domain && o->clients && o->window &&
			       (!o->udp || o->local.port) &&
			       r->o.first + (r->o.count ? r->o.count : o->clients) <= o->clients
		       ? 0
		       : -EINVAL;
}

/* ---- start --------------------------------------------------------------------------------------------------------------- */

static int calls_open(struct load_calls *r)
{
	struct loop_params lp = {.entries = 4096,
				 .ops_max = r->o.ends + 64,
				 .recv_bufs = BUFS,
				 .send_bufs = BUFS,
				 .buf_size = LOAD_TEXT + 256};
	struct sigaction sa = {.sa_handler = on_signal};
	unsigned i;
	int err = load_open(&r->l, &lp, r->o.ends + LOAD_DYING / 8);

	if (err)
		return err;
	r->ends = calloc(r->o.ends, sizeof(*r->ends));
	r->live = calloc(r->o.ends, sizeof(*r->live));
	r->spare = calloc(r->o.ends, sizeof(*r->spare));
	if (!r->ends || !r->live || !r->spare)
		return -ENOMEM;
	for (i = 0; i < r->o.ends; i++)
		r->spare[r->n_spare++] = r->o.ends - 1 - i;
	sigaction(SIGTERM, &sa, NULL);
	sigaction(SIGINT, &sa, NULL);
	sigaction(SIGUSR1, &sa, NULL);
	sigaction(SIGUSR2, &sa, NULL);
	err = load_mill_init(&r->mill, r->l.loop);
	if (!err)
		err = loop_on_round(r->l.loop, load_calls_round, r);
	tick = (struct loop_timer){.fn = on_tick, .arg = r};
	return err ? err : loop_timer_set(r->l.loop, &tick, 0);
}

int load_calls_main(int argc, char **argv)
{
	static struct load_calls r = {
		.l = {.o = {.prefix = "u", .clients = 1, .window = 16, .seconds = 3600}},
		.o = {.to_count = 1,
		      .calls = 1,
		      .at_once = 1000,
		      .ends = 2048,
		      .hold_ms = 2000,
		      .by_caller = true,
		      .by_callee = true,
		      .suite = -1}};
	int err, rc = 1;

	if (options_read(&r, argc, argv)) {
		usage();
		return 2;
	}
	r.l.calls = &r;
	err = calls_open(&r);
	if (!err)
		err = loop_run(r.l.loop);
	if (err)
		fprintf(stderr, "load: %s\n", strerror(-err));
	else
		rc = load_calls_print(&r);
	while (r.n_live)
		load_call_free(&r.ends[r.live[0]]);
	load_close(&r.l);
	free(r.ends);
	free(r.live);
	free(r.spare);
	return rc;
}
