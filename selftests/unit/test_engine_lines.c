/* selftests/unit/test_engine_lines.c -- a phone with several lines on one stream, and a call server that loses its registrations: which
 * news mean that, whose stream is closed for it, when, and how often. In: registrations, news of targets, calls, time. Out: closes. */
#include "selftests/unit/call_kit.h"

#define A	"10.0.0.5:5060"
#define B	"10.0.0.6:5060"
#define WAIT_MS 5000
#define GAP_MS	10
#define CALL_MS 120000

static struct bed {
	bool dead; /* OPTIONS get no answer */
	unsigned pings;
} bed;

static bool own(struct kit *k, const struct engine_action *a)
{
	struct kit_msg m = {0};
	enum sip_why why;
	char from[ADDR_TEXT_MAX];

	if (span_eq(a->data, SPAN("\r\n\r\n")))
		return true;
	if (a->answer || !span_eq(span_cut(a->data, 0, 8), SPAN("OPTIONS ")))
		return false;
	bed.pings++;
	assert_true(sip_msg_parse(a->data, true, 65536, &m.m, &why) > 0);
	if (!bed.dead)
		kit_inside_from(k, addr_text(&a->to, from), "%s", kit_answer(k, &m, "200 OK", "p"));
	return true;
}

static void targets(struct kit *k, unsigned n)
{
	static const char *const at[] = {A, B};
	struct engine_target t[2] = {0};
	unsigned i;

	for (i = 0; i < n; i++) {
		assert_int_equal(addr_parse(span_str(at[i]), &t[i].addr), 0);
		t[i].priority = (uint16_t)(i + 1);
	}
	engine_targets(k->e, 0, t, n, k->now);
	kit_drain(k);
}

/* A is there; stream 1 has the lines alice and bob, stream 2 just carol. */
static struct kit *kit_lines(void)
{
	struct kit *k = kit_new();

	bed = (struct bed){0};
	k->own = own;
	targets(k, 1);
	kit_time(k, 10);
	kit_stream(k, 1);
	kit_stream(k, 2);
	kit_register(k, 1, "alice");
	kit_register(k, 1, "bob");
	kit_register(k, 2, "carol");
	return k;
}

static void kit_end(struct kit *k)
{
	kit_nothing(k);
	targets(k, 0);
	kit_settled(k);
	kit_free(k);
}

static void news(struct kit *k, unsigned server, const char *at, enum engine_failure how)
{
	struct addr a;

	assert_int_equal(addr_parse(span_str(at), &a), 0);
	engine_inside_failed(k->e, server, &a, how, "test says so", k->now);
	kit_drain(k);
}

/* A has lost its registrations, and answers again. */
static void restart(struct kit *k)
{
	news(k, 0, A, ENGINE_REFUSED);
	kit_time(k, 3000); /* OPTIONS find it */
}

/* So many streams have been closed so far, and that is what the counter says. */
static void closed(struct kit *k, unsigned n)
{
	assert_int_equal(k->closes, n);
	assert_int_equal(engine_stats(k->e)->half_registered, n);
}

static void refresh(struct kit *k, uint64_t stream, const char *user)
{
	kit_register(k, stream, user);
	kit_time(k, WAIT_MS + GAP_MS);
}

static struct engine_target_view seen;

static void see(void *arg, const struct engine_target_view *t)
{
	(void)arg;
	seen = *t;
}

static uint64_t losses(struct kit *k)
{
	engine_each_target(k->e, 0, see, NULL);
	return seen.losses;
}

static void test_lines_first_alone(void **state)
{
	struct kit *k = kit_lines();

	(void)state;
	refresh(k, 1, "alice");
	closed(k, 0); /* nothing was lost */
	restart(k);
	assert_int_equal(losses(k), 1);
	kit_time(k, 60000);
	closed(k, 0); /* not before it refreshes: until then no line is back */
	refresh(k, 2, "carol");
	closed(k, 0); /* one line is all of it */
	kit_register(k, 1, "alice");
	kit_time(k, WAIT_MS - 1);
	closed(k, 0);
	kit_time(k, 1);
	closed(k, 1);
	assert_non_null(strstr(k->logs, "event=half-registered stream=1 server=kam "
					"lost=\"sip:bob@stand.test\" lines=2"));
	/* once, whatever it still says and whatever happens */
	refresh(k, 1, "alice");
	restart(k);
	refresh(k, 1, "alice");
	closed(k, 1);
	engine_stream_closed(k->e, 1, k->now);
	kit_drain(k);
	kit_stream(k, 3);
	kit_register(k, 3, "alice");
	kit_register(k, 3, "bob");
	kit_time(k, WAIT_MS + GAP_MS);
	refresh(k, 3, "alice");
	closed(k, 1); /* all is back */
	restart(k);
	refresh(k, 3, "bob"); /* any line may be the one that comes */
	closed(k, 2);
	assert_int_equal(losses(k), 3);
	kit_end(k);
}

/* A phone that registers the rest by itself keeps its stream, however long after the loss. */
static void test_lines_all(void **state)
{
	struct kit *k = kit_lines();

	(void)state;
	restart(k);
	kit_time(k, 30000);
	kit_register(k, 1, "alice");
	kit_time(k, WAIT_MS - 1);
	kit_register(k, 1, "bob");
	kit_time(k, 60000);
	closed(k, 0);
	refresh(k, 1, "alice");
	closed(k, 0);
	/* and one that ends its other line has one */
	restart(k);
	kit_register(k, 1, "alice");
	kit_client(k, 1,
		   "REGISTER sip:stand.test SIP/2.0\nVia: SIP/2.0/TLS a:1;branch=z9hG4bKe\n"
		   "From: <sip:bob@stand.test>;tag=1\nTo: <sip:bob@stand.test>\nCall-ID: e\n"
		   "CSeq: 9 REGISTER\nMax-Forwards: 70\n"
		   "Contact: <sip:bob@192.168.1.9:5061;transport=tls>;expires=0\n");
	kit_inside(k, "%s", kit_answer(k, kit_inside_request(k, "REGISTER"), "200 OK", "s"));
	(void)kit_client_answer(k, 1, 200);
	kit_time(k, 60000);
	closed(k, 0);
	kit_end(k);
}

/* A line that is on a newer stream is none of the old one. */
static void test_lines_moved(void **state)
{
	struct kit *k = kit_lines();

	(void)state;
	kit_stream(k, 3);
	kit_register(k, 3, "bob");
	restart(k);
	refresh(k, 1, "alice");
	refresh(k, 3, "bob");
	closed(k, 0);
	kit_end(k);
}

static void test_lines_news(void **state)
{
	static const struct {
		enum engine_failure how[3];
		unsigned n, closes;
		const char *what;
	} cases[] = {
		{{ENGINE_REFUSED}, 1, 1, "refused"},
		{{ENGINE_RESET}, 1, 1, "reset"},
		{{ENGINE_CLOSED}, 1, 0, "ended in order"},
		{{ENGINE_UNREACHABLE}, 1, 0, "no route"},
		{{ENGINE_CLOSED, ENGINE_REFUSED}, 2, 1, "ended, then refused"},
		{{ENGINE_CLOSED, ENGINE_UNREACHABLE}, 2, 1, "ended, then no way"},
		{{ENGINE_UNREACHABLE, ENGINE_CLOSED}, 2, 0, "no route, ended"},
		{{ENGINE_REFUSED, ENGINE_REFUSED, ENGINE_RESET}, 3, 1, "one loss"},
	};
	unsigned i, j;

	(void)state;
	for (i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct kit *k = kit_lines();

		bed.dead = true;
		for (j = 0; j < cases[i].n; j++)
			news(k, 0, A, cases[i].how[j]);
		bed.dead = false;
		kit_time(k, 35000);
		refresh(k, 1, "alice");
		if (k->closes != cases[i].closes || losses(k) != cases[i].closes)
			fail_msg("%s: %u closes, %u losses", cases[i].what, k->closes,
				 (unsigned)losses(k));
		closed(k, cases[i].closes);
		kit_end(k);
	}
}

/* Past the OPTIONS that an idle target gets. Returns how many there were so far. */
static unsigned idle(struct kit *k)
{
	unsigned pings;

	do {
		pings = bed.pings;
		kit_time(k, 1000);
	} while (bed.pings != pings);
	return pings;
}

/* A stream that ended in order is made anew at once; what answers then was there all the time. What ends each stream as soon as it is made
 * is not dialled without measure. */
static void test_lines_idle(void **state)
{
	struct kit *k = kit_lines();
	unsigned pings, i;

	(void)state;
	for (i = 0; i < 3; i++) {
		pings = idle(k);
		news(k, 0, A, ENGINE_CLOSED);
		assert_int_equal(bed.pings, pings + 1);
		news(k, 0, A, ENGINE_UNREACHABLE); /* its answer was heard since */
	}
	pings = idle(k);
	for (i = 0; i < 50; i++)
		news(k, 0, A, ENGINE_CLOSED);
	assert_int_equal(bed.pings, pings + 1);
	kit_time(k, 40000);
	refresh(k, 1, "alice");
	closed(k, 0);
	assert_int_equal(losses(k), 0);
	kit_end(k);
}

/* Another call server's loss, or that of another target, is not this phone's; one of its own is, even if DNS names it no more. */
static void test_lines_targets(void **state)
{
	struct kit *k = kit_lines();

	(void)state;
	news(k, 1, A, ENGINE_REFUSED);
	refresh(k, 1, "alice");
	closed(k, 0);
	targets(k, 2);
	kit_time(k, 1000);
	news(k, 0, B, ENGINE_REFUSED);
	refresh(k, 1, "alice");
	closed(k, 0);
	restart(k);
	targets(k, 0);
	targets(k, 1);
	kit_time(k, 1000);
	refresh(k, 1, "alice");
	closed(k, 1);
	assert_int_equal(losses(k),
			 0); /* what was known of it went with it, but not of the lines */
	kit_end(k);
}

static void only_b(struct kit *k)
{
	struct engine_target t = {0};

	assert_int_equal(addr_parse(span_str(B), &t.addr), 0);
	engine_targets(k->e, 0, &t, 1, k->now);
	kit_drain(k);
}

/* A loss counts whether or not the address is a target when the phone refreshes; where there is no keeper as well. */
static void test_lines_dropped(void **state)
{
	unsigned keep;

	(void)state;
	for (keep = 0; keep < 2; keep++) {
		struct kit *k = kit_new();

		engine_free(k->e);
		k->c.keep = keep;
		assert_int_equal(engine_new(&k->c, k->now, &k->e), 0);
		bed = (struct bed){0};
		k->own = own;
		targets(k, 1);
		kit_time(k, 10);
		kit_stream(k, 1);
		kit_register(k, 1, "alice");
		kit_register(k, 1, "bob");
		restart(k);
		targets(k, 2);
		kit_time(k, 1000);
		only_b(k);
		refresh(k, 1, "alice");
		closed(k, 1);
		kit_end(k);
	}
}

static void kit_tied(struct kit *k, struct engine_server servers[2])
{
	memcpy(servers, k->c.servers, 2 * sizeof(*servers));
	servers[0].per_connection = true;
	k->c.servers = servers;
}

/* `registrations: connection`: they are gone with the core's worker, and with each end of its connection. */
static void test_lines_connection(void **state)
{
	struct engine_server servers[2];
	struct kit *k = kit_lines();

	(void)state;
	kit_tied(k, servers);
	kit_crash_but(k, 1u << 1 | 1u << 2);
	assert_int_equal(k->restored, 3);
	targets(k, 1);
	kit_time(k, 1000);
	refresh(k, 2, "carol");
	closed(k, 0);
	refresh(k, 1, "alice");
	closed(k, 1);
	kit_end(k);

	k = kit_lines();
	kit_tied(k, servers);
	kit_crash_but(k, 1u << 1 | 1u << 2);
	targets(k, 1);
	kit_register(k, 1, "alice");
	refresh(k, 1, "bob"); /* by itself, in time */
	closed(k, 0);
	news(k, 0, A, ENGINE_CLOSED);
	assert_int_equal(losses(k), 1);
	refresh(k, 1, "alice");
	closed(k, 1);
	kit_end(k);
}

/* Not in a call; but a call does not hold it up for ever. */
static void test_lines_call(void **state)
{
	unsigned longer;

	(void)state;
	for (longer = 0; longer < 2; longer++) {
		struct up u = up_call(true);
		struct kit *k = u.k;
		struct kit_msg *m;

		bed = (struct bed){0};
		k->own = own;
		targets(k, 1);
		kit_time(k, 10);
		kit_register(k, 1, "alice");
		kit_register(k, 1, "bob");
		restart(k);
		kit_register(k, 1, "alice");
		kit_time(k, 60000);
		closed(k, 0);
		if (longer) {
			kit_time(k, CALL_MS - 60000 - 1);
			closed(k, 0);
			kit_time(k, 1);
			closed(k, 1);
		}
		up_client(&u, 1, "BYE", 20, "");
		m = kit_inside_request(k, "BYE");
		kit_inside(k, "%s", kit_answer(k, m, "200 OK", NULL));
		(void)kit_client_answer(k, 1, 200);
		kit_time(k, WAIT_MS + 1);
		closed(k, 1);
		kit_end(k);
	}
}

/* Many at once: one after the other; one that leaves meanwhile is not waited for. */
static void test_lines_rate(void **state)
{
	struct kit *k = kit_lines();
	char user[32];
	unsigned i, n;

	(void)state;
	for (i = 10; i < 30; i++) {
		kit_stream(k, i);
		for (n = 0; n < 2; n++) {
			(void)snprintf(user, sizeof(user), "u%u-%u", i, n);
			kit_register(k, i, user);
		}
	}
	restart(k);
	for (i = 10; i < 30; i++) {
		(void)snprintf(user, sizeof(user), "u%u-0", i);
		kit_register(k, i, user);
	}
	engine_stream_closed(k->e, 10, k->now); /* the first, one within, the last */
	engine_stream_closed(k->e, 20, k->now);
	engine_stream_closed(k->e, 29, k->now);
	kit_time(k, WAIT_MS);
	closed(k, 1);
	kit_time(k, 5 * GAP_MS);
	closed(k, 6);
	kit_time(k, 1000);
	closed(k, 17);
	kit_end(k);
}

/* After the worker's restart: the phone is back with all its lines, or has not come at all. */
static void test_lines_crash(void **state)
{
	struct kit *k = kit_lines();

	(void)state;
	restart(k);
	kit_register(k, 1, "alice");
	kit_crash(k);
	assert_int_equal(k->restored, 3);
	targets(k, 1);
	restart(k); /* first heard of by its refusal: that tells nothing */
	assert_int_equal(losses(k), 0);
	kit_stream(k, 5);
	refresh(k, 5, "alice"); /* bob's binding is there, and reached by no stream */
	refresh(k, 5, "bob");
	closed(k, 0);
	restart(k);
	refresh(k, 5, "alice");
	closed(k, 1);
	kit_end(k);
}

/* The phone's stream outlived the worker. What was lost before is lost still, and a loss after it is one, too. */
static void test_lines_kept(void **state)
{
	struct kit *k = kit_lines();

	(void)state;
	restart(k);
	kit_crash_but(k, 1u << 1 | 1u << 2);
	assert_int_equal(k->restored, 3);
	targets(k, 1);
	kit_time(k, WAIT_MS);
	closed(k, 0); /* nothing is known to be half of it, yet */
	refresh(k, 2, "carol");
	refresh(k, 1, "alice");
	kit_time(k, WAIT_MS);
	closed(k, 1);
	kit_end(k);

	k = kit_lines();
	restart(k);
	kit_register(k, 1, "alice");
	refresh(k, 1, "bob"); /* by itself, in time */
	kit_crash_but(k, 1u << 1 | 1u << 2);
	targets(k, 1);
	refresh(k, 1, "alice");
	kit_time(k, WAIT_MS);
	closed(k, 0);
	kit_crash_but(k, 1u << 1 | 1u << 2);
	targets(k, 1);
	kit_time(k, 10);
	restart(k);
	refresh(k, 1, "bob");
	kit_time(k, WAIT_MS);
	closed(k, 1);
	kit_end(k);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_lines_first_alone), cmocka_unit_test(test_lines_all),
		cmocka_unit_test(test_lines_moved),	  cmocka_unit_test(test_lines_news),
		cmocka_unit_test(test_lines_idle),	  cmocka_unit_test(test_lines_targets),
		cmocka_unit_test(test_lines_call),	  cmocka_unit_test(test_lines_rate),
		cmocka_unit_test(test_lines_crash),	  cmocka_unit_test(test_lines_kept),
		cmocka_unit_test(test_lines_dropped),	  cmocka_unit_test(test_lines_connection),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
