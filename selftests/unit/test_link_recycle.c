/* selftests/unit/test_link_recycle.c -- data connections used again: the agreed end, every way it can go wrong on either side, and that
 * no byte of one stream is ever another's. The other side's lies are told by link_send() in its place. */
#include "selftests/unit/link_kit.h"

#define STREAM 4711u

static const struct link_stats *es(const struct world *w)
{
	return link_edge_stats(w->edge);
}

static const struct link_stats *cs(const struct world *w)
{
	return link_core_stats(w->core);
}

static void tell_end(struct world *w, uint64_t id, uint64_t bytes, const char *abort)
{
	Sallyport__Link m = SALLYPORT__LINK__INIT;
	Sallyport__StreamEnd e = SALLYPORT__STREAM_END__INIT;

	e.stream = id;
	e.bytes_sent = bytes;
	e.abort = (char *)abort;
	m.m_case = SALLYPORT__LINK__M_STREAM_END;
	m.stream_end = &e;
	assert_int_equal(link_send(w->e.peer, &m), 0);
}

static void tell_idle(struct world *w, uint64_t id, uint64_t bytes)
{
	Sallyport__Link m = SALLYPORT__LINK__INIT;
	Sallyport__StreamIdle i = SALLYPORT__STREAM_IDLE__INIT;

	i.stream = id;
	i.bytes_sent = bytes;
	m.m_case = SALLYPORT__LINK__M_STREAM_IDLE;
	m.stream_idle = &i;
	assert_int_equal(link_send(w->c.peer, &m), 0);
}

static void edge_write(struct world *w, const char *text)
{
	assert_int_equal(conn_write(link_data_conn(w->s_edge), span_str(text)), 0);
}

static void core_write(struct world *w, const char *text)
{
	assert_int_equal(conn_write(link_data_conn(w->s_core), span_str(text)), 0);
}

static void edge_end(struct world *w, const char *abort)
{
	link_edge_end(w->s_edge, abort);
	w->s_edge = NULL;
}

static bool core_ended(struct world *w)
{
	return w->core_ends > 0;
}

static bool edge_ended(struct world *w)
{
	return w->edge_ends > 0;
}

static bool recycled(struct world *w)
{
	return es(w)->recycled > 0 && cs(w)->recycled > 0;
}

/* A core that held its stream reads again. */
static void core_goes_on(struct world *w)
{
	w->core_holds = false;
	if (w->s_core)
		conn_pause(link_data_conn(w->s_core), false);
}

/* A world whose stream is open with 12 bytes at the core and 4 at the edge. Ends take @end_ms at most. */
static void world_stream(struct world *w, unsigned end_ms)
{
	world_up(w);
	w->times.end = end_ms;
	link_edge_set_times(w->edge, &w->times);
	link_core_set_times(w->core, &w->times);
	open_stream(w);
}

/* Nothing hangs about on either side, and the link is up. */
static bool settled(struct world *w)
{
	return pool_full(w) && link_peer_idle(w->e.peer) == link_peer_idle(w->c.peer) &&
	       !w->e.peer->n_ending;
}

static void world_settle(struct world *w)
{
	assert_true(run_until(w, settled, 5000));
	assert_int_equal(w->e.downs + w->c.downs, 0);
	assert_null(link_data_find(w->e.peer, STREAM));
	assert_null(link_data_find(w->c.peer, STREAM));
	world_close(w);
}

/* ---- as it should be ---- */

static void test_recycle_clean(void **state)
{
	struct world w;
	unsigned dials;

	(void)state;
	world_stream(&w, 5000);
	assert_true(run_until(&w, pool_full, 2000));
	dials = (unsigned)cs(&w)->dials;
	edge_write(&w, "last");
	core_write(&w, "nobody reads this");
	edge_end(&w, NULL);
	assert_true(run_until(&w, recycled, 2000));
	assert_string_equal(w.got_core, "last");
	assert_int_equal(w.core_ends, 1);
	assert_int_equal(w.core_end, 0);
	assert_int_equal(link_peer_idle(w.e.peer), POOL + 1);
	/* the newest is taken first: this one again, and nothing of before is in it */
	w.got_core[0] = w.got_edge[0] = 0;
	open_stream(&w);
	assert_int_equal(w.s_edge->uses, 2);
	edge_end(&w, NULL);
	world_settle(&w);
	assert_int_equal(dials, 1 + POOL + 1);
}

static bool end_known(struct world *w)
{
	return !strcmp(link_data_why(w->s_core, -ECONNABORTED), "client: reset");
}

static void test_recycle_abort_is_no_clean_end(void **state)
{
	struct world w;

	(void)state;
	world_stream(&w, 5000);
	edge_write(&w, "half a mess");
	w.core_holds = true; /* until the end is known: it is still told behind the bytes */
	edge_end(&w, "client: reset");
	assert_true(run_until(&w, end_known, 5000));
	run_until(&w, never, 20);
	assert_int_equal(w.core_ends, 0);
	core_goes_on(&w);
	assert_true(run_until(&w, recycled, 2000));
	assert_string_equal(w.got_core, "half a mess");
	assert_int_equal(w.core_end, -ECONNABORTED);
	world_settle(&w);
}

/* Control overtakes data: the end is here before the stream, with and without bytes in between. */
static void test_recycle_end_before_open(void **state)
{
	static const char *const texts[] = {"", "first bytes!"};
	struct world w;
	size_t i;

	(void)state;
	for (i = 0; i < 2; i++) {
		world_up(&w);
		tell_end(&w, STREAM, strlen(texts[i]), i ? "" : "cut");
		run_until(&w, never, 20);
		assert_int_equal(w.c.opens, 0);
		open_only(&w, STREAM);
		if (i)
			edge_write(&w, texts[i]);
		assert_true(run_until(&w, core_ended, 2000));
		assert_string_equal(w.got_core, texts[i]);
		assert_int_equal(w.core_end, i ? 0 : -ECONNABORTED);
		assert_int_equal(cs(&w)->recycled, 1);
		/* the edge had not ended it: there, this is a lie */
		assert_true(run_until(&w, edge_ended, 2000));
		assert_int_equal(w.edge_end, -EPROTO);
		assert_int_equal(es(&w)->ends_bad, 1);
		world_settle(&w);
	}
}

static void test_recycle_both_end_at_once(void **state)
{
	struct world w;

	(void)state;
	world_stream(&w, 5000);
	edge_end(&w, NULL);
	link_core_end(w.s_core, true);
	w.s_core = NULL;
	world_settle(&w);
	assert_int_equal(w.core_ends, 0);
}

static bool closed_by_core(struct world *w)
{
	return es(w)->ends_closed == 1 && pool_full(w);
}

static void test_recycle_core_ends_by_closing(void **state)
{
	struct world w;
	bool orderly;

	(void)state;
	for (orderly = false;; orderly = true) {
		world_stream(&w, 5000);
		link_core_end(w.s_core, orderly);
		w.s_core = NULL;
		assert_true(run_until(&w, edge_ended, 2000));
		assert_int_equal(w.edge_end, orderly ? 0 : -ECONNRESET);
		assert_true(closed_by_core(&w) || run_until(&w, closed_by_core, 2000));
		assert_int_equal(es(&w)->recycled, 0);
		world_settle(&w);
		if (orderly)
			break;
	}
}

/* ---- one half ends before the other ---- */

static bool answered(struct world *w)
{
	return strstr(w->got_edge, "answer") != NULL;
}

static bool core_cut(struct world *w)
{
	return w->core_end < 0;
}

/* A stream whose client has ended, and whose core knows it. */
static void world_half(struct world *w)
{
	world_stream(w, 5000);
	w->core_answers = true;
	edge_write(w, "last");
	assert_int_equal(link_edge_half(w->s_edge), 0);
	assert_int_equal(link_edge_half(w->s_edge), -ENOTCONN); /* once */
	assert_true(run_until(w, core_ended, 2000));
	assert_int_equal(w->core_end, 0);
	assert_string_equal(w->got_core, "last");
	assert_false(link_edge_half_done(w->s_edge));
}

static void core_ends_half(struct world *w)
{
	w->core_answers = false;
	link_core_end(w->s_core, true);
	w->s_core = NULL;
}

static void test_half_answered(void **state)
{
	struct world w;

	(void)state;
	world_half(&w);
	core_write(&w, "the answer");
	assert_true(run_until(&w, answered, 2000));
	core_write(&w, ", and more");
	core_ends_half(&w);
	assert_true(run_until(&w, edge_ended, 2000));
	assert_int_equal(w.edge_end, 0);
	assert_string_equal(w.got_edge, "the answer, and more");
	assert_true(run_until(&w, recycled, 2000));
	assert_int_equal(es(&w)->ends_bad + cs(&w)->ends_bad, 0);
	/* and it serves another stream */
	w.got_core[0] = w.got_edge[0] = 0;
	open_stream(&w);
	assert_int_equal(w.s_edge->uses, 2);
	edge_end(&w, NULL);
	world_settle(&w);
}

/* The client is gone after all: the core hears of it, and nothing is agreed. */
static void test_half_cut_off(void **state)
{
	struct world w;

	(void)state;
	world_half(&w);
	core_write(&w, "the answer");
	edge_end(&w, "client: reset");
	assert_true(run_until(&w, core_cut, 2000));
	assert_int_equal(es(&w)->recycled, 0);
	world_settle(&w);
}

/* The edge does not want the rest: it is thrown away, and the end agreed on as ever, whoever is first. */
static void test_half_ended_early(void **state)
{
	struct world w;
	bool core_first;

	(void)state;
	for (core_first = false;; core_first = true) {
		world_half(&w);
		core_write(&w, "nobody reads this");
		if (core_first)
			core_ends_half(&w);
		edge_end(&w, NULL);
		if (!core_first)
			core_ends_half(&w);
		assert_true(run_until(&w, recycled, 2000));
		world_settle(&w);
		if (core_first)
			break;
	}
}

static void test_half_below_what_was_read(void **state)
{
	struct world w;

	(void)state;
	world_half(&w);
	tell_idle(&w, STREAM, 3);
	assert_true(run_until(&w, edge_ended, 2000));
	assert_int_equal(es(&w)->ends_bad, 1);
	assert_int_equal(es(&w)->recycled, 0);
	assert_true(run_until(&w, core_cut, 2000));
	world_settle(&w);
}

/* Its control connection is over: there is nobody to tell. */
static void test_half_alone(void **state)
{
	struct world w;

	(void)state;
	world_stream(&w, 5000);
	link_data_unuse(w.s_edge);
	assert_int_equal(link_edge_half(w.s_edge), -ENOTCONN);
	edge_end(&w, NULL);
	assert_true(run_until(&w, core_ended, 2000));
	world_settle(&w);
}

/* ---- the core's side, with an edge that lies or falls silent ---- */

static bool core_bad(struct world *w)
{
	return cs(w)->ends_bad == 1 && core_ended(w);
}

static void test_recycle_end_below_what_was_read(void **state)
{
	struct world w;

	(void)state;
	world_stream(&w, 5000);
	tell_end(&w, STREAM, 11, "");
	assert_true(run_until(&w, core_bad, 2000));
	assert_int_equal(w.core_end, -EPROTO);
	assert_true(run_until(&w, edge_ended, 2000)); /* aborted: never a clean end */
	assert_int_equal(w.edge_end, -ECONNRESET);
	world_settle(&w);
}

static void test_recycle_second_end(void **state)
{
	struct world w;

	(void)state;
	world_stream(&w, 5000);
	tell_end(&w, STREAM, 100, "");
	tell_end(&w, STREAM, 12, "");
	assert_true(run_until(&w, core_bad, 2000));
	assert_int_equal(w.core_end, -EPROTO);
	assert_true(run_until(&w, edge_ended, 2000));
	world_settle(&w);
}

static bool core_lost_one(struct world *w)
{
	return cs(w)->data_lost == 1;
}

/* Bytes behind the announced end are no part of the stream, nor of the next. */
static void test_recycle_more_than_announced(void **state)
{
	struct world w;

	(void)state;
	world_stream(&w, 5000);
	w.core_holds = true;
	edge_write(&w, "mine; and more");
	tell_end(&w, STREAM, 12 + 4, "");
	run_until(&w, never, 20);
	core_goes_on(&w);
	assert_true(run_until(&w, core_lost_one, 2000));
	assert_string_equal(w.got_core, "mine");
	assert_int_equal(w.core_end, 0);
	assert_true(logged("link-data-lost", "bad frame", "edge1.example"));
	assert_true(run_until(&w, edge_ended, 2000));
	world_settle(&w);
}

static bool core_late(struct world *w)
{
	return cs(w)->ends_late == 1 && core_ended(w);
}

static void test_recycle_end_never_reached(void **state)
{
	struct world w;

	(void)state;
	world_stream(&w, 50);
	tell_end(&w, STREAM, 13, "");
	assert_true(run_until(&w, core_late, 2000));
	assert_int_equal(w.core_end, -ETIMEDOUT);
	assert_true(run_until(&w, edge_ended, 2000));
	world_settle(&w);
}

/* The connection is closed in order, but its announced end was further on: that is cut off. */
static void test_recycle_closed_before_the_end(void **state)
{
	struct world w;

	(void)state;
	world_stream(&w, 5000);
	tell_end(&w, STREAM, 13, "");
	run_until(&w, never, 20);
	w.e.peer->send_err =
		-EPIPE; /* so the edge closes instead of agreeing; its peer does not notice */
	edge_end(&w, NULL);
	w.e.peer->send_err = 0;
	assert_true(run_until(&w, core_ended, 2000));
	assert_int_equal(w.core_end, -EPIPE);
	world_settle(&w);
}

static bool early_dropped(struct world *w)
{
	return cs(w)->ends_unknown == 10;
}

static void test_recycle_ends_of_unknown_streams(void **state)
{
	struct world w;
	unsigned i;

	(void)state;
	world_up(&w);
	for (i = 0; i < LINK_EARLY_MAX + 10; i++)
		tell_end(&w, 1000 + i, 0, "");
	assert_true(run_until(&w, early_dropped, 2000));
	/* the oldest went; the newest still waits for its stream */
	open_only(&w, 1000 + LINK_EARLY_MAX + 9);
	assert_true(run_until(&w, core_ended, 2000));
	assert_int_equal(w.core_end, 0);
	assert_true(run_until(&w, edge_ended, 2000));
	world_settle(&w);
}

static bool early_aged(struct world *w)
{
	if (cs(w)->ends_unknown)
		return true;
	tell_end(w, ++w->n_live, 0, "");
	return false;
}

static void test_recycle_unknown_ends_grow_old(void **state)
{
	struct world w;

	(void)state;
	world_up(&w);
	w.times.end = 30;
	link_core_set_times(w.core, &w.times);
	tell_end(&w, STREAM, 0, "");
	assert_true(run_until(&w, early_aged, 2000));
	world_settle(&w);
}

static bool opened_twice(struct world *w)
{
	return cs(w)->data_lost == 1;
}

static void test_recycle_open_of_an_open_stream(void **state)
{
	struct link_data *first;
	struct world w;

	(void)state;
	world_stream(&w, 5000);
	first = w.s_edge;
	open_only(&w, STREAM);
	assert_true(run_until(&w, opened_twice, 2000));
	assert_true(run_until(&w, edge_ended, 2000)); /* the second */
	assert_int_equal(w.c.opens, 1);
	assert_int_equal(w.core_ends, 0);
	w.s_edge = first;
	edge_end(&w, NULL);
	world_settle(&w);
}

/* ---- the edge's side, with a core that lies or falls silent ---- */

static bool edge_bad(struct world *w)
{
	return es(w)->ends_bad == 1;
}

static void test_recycle_idle_of_a_running_stream(void **state)
{
	struct world w;

	(void)state;
	world_stream(&w, 5000);
	tell_idle(&w, STREAM, 4);
	assert_true(run_until(&w, edge_ended, 2000));
	assert_int_equal(w.edge_end, -EPROTO);
	assert_int_equal(es(&w)->ends_bad, 1);
	assert_true(run_until(&w, core_ended, 2000));
	assert_int_equal(w.core_end, -ECONNRESET);
	world_settle(&w);
}

static bool core_knows_end(struct world *w)
{
	return w->s_core && w->s_core->end_known;
}

/* The stream is over on the edge and the core was told, but its half is in the case's hand. */
static void world_ending(struct world *w, unsigned end_ms, const char *abort)
{
	world_stream(w, end_ms);
	w->core_holds = true;
	edge_end(w, abort);
	assert_int_equal(w->e.peer->n_ending, 1);
	assert_true(run_until(w, core_knows_end, 2000));
}

static void test_recycle_idle_below_what_was_read(void **state)
{
	struct world w;

	(void)state;
	world_ending(&w, 5000, NULL);
	tell_idle(&w, STREAM, 3); /* 4 are read */
	assert_true(run_until(&w, edge_bad, 2000));
	assert_int_equal(w.e.peer->n_ending, 0);
	assert_int_equal(es(&w)->recycled, 0);
	core_goes_on(&w);
	assert_true(run_until(&w, core_ended, 2000));
	assert_int_equal(w.core_end, 0); /* all of it was there */
	world_settle(&w);
}

static void test_recycle_second_idle(void **state)
{
	struct world w;

	(void)state;
	world_ending(&w, 5000, NULL);
	tell_idle(&w, STREAM, 10); /* 6 are missing */
	tell_idle(&w, STREAM, 10);
	assert_true(run_until(&w, edge_bad, 2000));
	core_goes_on(&w);
	assert_true(run_until(&w, core_ended, 2000));
	world_settle(&w);
}

static bool edge_recycled(struct world *w)
{
	return es(w)->recycled == 1;
}

static bool edge_early(struct world *w)
{
	return es(w)->early_bytes == 1;
}

/* Bytes come in pieces: the connection is idle with the last one, not before, and one more is one too many. */
static void test_recycle_waits_for_the_last_byte(void **state)
{
	struct world w;

	(void)state;
	world_ending(&w, 5000, NULL);
	tell_idle(&w, STREAM, 10);
	core_write(&w, "12345");
	run_until(&w, never, 20);
	assert_int_equal(es(&w)->recycled, 0);
	core_write(&w, "6");
	assert_true(run_until(&w, edge_recycled, 2000));
	core_write(&w, "7");
	assert_true(run_until(&w, edge_early, 2000));
	core_goes_on(&w);
	assert_true(run_until(&w, core_ended, 2000));
	world_settle(&w);
}

static void test_recycle_one_byte_too_many(void **state)
{
	struct world w;

	(void)state;
	world_ending(&w, 5000, NULL);
	tell_idle(&w, STREAM, 10);
	core_write(&w, "1234567");
	assert_true(run_until(&w, edge_early, 2000));
	core_goes_on(&w);
	assert_true(run_until(&w, core_ended, 2000));
	world_settle(&w);
}

static bool edge_late(struct world *w)
{
	return es(w)->ends_late == 1;
}

/* The core never answers. What the core learns is what the stream's end was. */
static void test_recycle_no_answer(void **state)
{
	static const char *const aborts[] = {NULL, "client: reset"};
	struct world w;
	size_t i;

	(void)state;
	for (i = 0; i < 2; i++) {
		world_ending(&w, 50, aborts[i]);
		assert_true(run_until(&w, edge_late, 2000));
		assert_int_equal(w.e.peer->n_ending, 0);
		core_goes_on(&w);
		assert_true(core_ended(&w) || run_until(&w, core_ended, 2000));
		assert_int_equal(w.core_end == 0, aborts[i] == NULL && w.core_end != -ETIMEDOUT);
		tell_idle(&w, STREAM, 4); /* too late, and of nothing that we know */
		world_settle(&w);
	}
}

static bool edge_unknown(struct world *w)
{
	return es(w)->ends_unknown == 1;
}

static void test_recycle_idle_of_an_unknown_stream(void **state)
{
	struct world w;

	(void)state;
	world_stream(&w, 5000);
	tell_idle(&w, STREAM + 1, 0);
	assert_true(run_until(&w, edge_unknown, 2000));
	edge_end(&w, NULL);
	world_settle(&w);
}

static bool edge_closed(struct world *w)
{
	return es(w)->ends_closed == 1;
}

static void test_recycle_closed_while_ending(void **state)
{
	struct world w;
	bool orderly;

	(void)state;
	for (orderly = false;; orderly = true) {
		world_stream(&w, 5000);
		edge_end(&w, NULL);
		link_core_end(w.s_core, orderly); /* before it was told */
		w.s_core = NULL;
		assert_true(run_until(&w, edge_closed, 2000));
		assert_int_equal(es(&w)->recycled, 0);
		world_settle(&w);
		if (orderly)
			break;
	}
}

/* ---- limits ---- */

static void test_recycle_worn(void **state)
{
	struct world w;
	unsigned i;

	(void)state;
	world_up(&w);
	w.times.uses = 3;
	link_edge_set_times(w.edge, &w.times);
	for (i = 1; i <= 3; i++) {
		open_stream(&w);
		assert_true(run_until(&w, pool_full, 2000));
		assert_int_equal(w.s_edge->uses, i);
		edge_end(&w, NULL);
		assert_int_equal(es(&w)->ends_worn, i == 3);
		w.core_ends = 0;
		assert_true(run_until(&w, core_ended, 2000));
		assert_int_equal(w.core_end, 0);
		assert_true(run_until(&w, settled, 2000));
	}
	assert_int_equal(es(&w)->recycled, 2);
	world_settle(&w);
}

static void test_recycle_pool_full(void **state)
{
	struct world w;
	unsigned idle;

	(void)state;
	world_stream(&w, 5000);
	idle = w.e.peer->n_idle;
	w.e.peer->n_idle = LINK_POOL_MAX;
	edge_end(&w, NULL);
	w.e.peer->n_idle = idle;
	assert_int_equal(es(&w)->ends_full, 1);
	assert_true(run_until(&w, core_ended, 2000));
	assert_int_equal(w.core_end, 0);
	world_settle(&w);
}

/* ---- the link goes ---- */

static bool both_down(struct world *w)
{
	return w->e.downs > 0 && w->c.downs > 0;
}

/* Control is lost in each state of a stream's end: the stream still ends as it should, by closing. */
static void test_recycle_control_lost(void **state)
{
	static const char *const aborts[] = {NULL, "client: reset"};
	struct world w;
	unsigned i, when;

	(void)state;
	for (i = 0; i < 2; i++) {
		for (when = 0; when < 2; when++) {
			world_stream(&w, 5000);
			w.times.retry_min = w.times.retry_max = 60000;
			link_core_set_times(w.core, &w.times);
			w.core_holds = true;
			if (when == 1) /* the end is told, and lost with the rest, or not */
				edge_end(&w, aborts[i]);
			w.e.peer->lost(w.e.peer, "test");
			assert_true(run_until(&w, both_down, 2000));
			if (when == 0) {
				assert_non_null(w.s_edge);
				assert_null(w.s_edge->peer);
				edge_end(&w, aborts[i]);
			}
			core_goes_on(&w);
			assert_true(core_ended(&w) || run_until(&w, core_ended, 2000));
			assert_int_equal(w.core_end != 0, aborts[i] != NULL);
			assert_int_equal(es(&w)->recycled + cs(&w)->recycled, 0);
			world_close(&w);
		}
	}
}

static void test_recycle_stream_outlives_the_core_link(void **state)
{
	struct world w;

	(void)state;
	world_stream(&w, 50);
	tell_end(&w, STREAM, 100, ""); /* with a timer running */
	run_until(&w, never, 20);
	link_core_free(w.core);
	w.core = NULL;
	assert_true(run_until(&w, core_ended, 2000));
	assert_int_equal(w.core_end, -ETIMEDOUT);
	world_close(&w);
}

/* ---- no byte of one stream in another ---- */

#define LANES	16
#define HALVES	256 /* the core still has some that the edge has ended already */
#define STREAMS 600

struct lane {
	struct link_data *edge, *core;
	uint64_t id, core_id;
	uint32_t wrote, read, back, back_read;
};

static struct {
	struct world w;
	struct lane lane[LANES], core[HALVES];
	uint64_t next_id;
	unsigned clean, cut, opens, seed;
	bool open_failed;
} mix;

/* Byte @i of what a side writes on stream @id. */
static uint8_t mix_byte(uint64_t id, uint32_t i, bool back)
{
	uint64_t x = (id * 2 + back) * 0x9e3779b97f4a7c15ull + i * 0xbf58476d1ce4e5b9ull;

	return (uint8_t)(x >> 56 ^ x >> 24);
}

static void mix_write(struct conn *c, uint64_t id, uint32_t *at, bool back)
{
	uint8_t buf[3000];
	size_t n = 1 + (size_t)rand_r(&mix.seed) % sizeof(buf), i;

	if (conn_room(c) < n)
		return;
	for (i = 0; i < n; i++)
		buf[i] = mix_byte(id, *at + (uint32_t)i, back);
	if (conn_write(c, span_of(buf, n)) == 0)
		*at += (uint32_t)n;
}

static void mix_check(const uint8_t *p, ssize_t n, uint64_t id, uint32_t *at, bool back)
{
	ssize_t i;

	for (i = 0; i < n; i++)
		assert_int_equal(p[i], mix_byte(id, (*at)++, back));
}

static void mix_core_over(struct lane *l, ssize_t n)
{
	mix.clean += n == 0;
	mix.cut += n != 0;
	link_core_end(l->core, n == 0);
	*l = (struct lane){};
}

static void mix_core_readable(void *arg)
{
	struct lane *l = arg;
	uint8_t buf[2048];
	ssize_t n;

	while ((n = link_data_read(l->core, buf, sizeof(buf))) > 0) {
		mix_check(buf, n, l->core_id, &l->read, false);
		if (rand_r(&mix.seed) % 2)
			mix_write(link_data_conn(l->core), l->core_id, &l->back, true);
	}
	if (n != -EAGAIN)
		mix_core_over(l, n);
}

static void mix_core_down(void *arg, int err, const char *why)
{
	(void)why;
	mix_core_over(arg, err);
}

static void mix_open(void *arg, struct link_peer *p, struct link_data *d, const Sallyport__Open *o)
{
	static const struct conn_ops ops = {.readable = mix_core_readable, .down = mix_core_down};
	struct lane *l = mix.core;

	(void)arg, (void)p;
	while (l < mix.core + HALVES && l->core)
		l++;
	if (l == mix.core + HALVES) {
		mix.open_failed = true;
		link_core_end(d, false);
		return;
	}
	mix.opens++;
	*l = (struct lane){.core = d, .core_id = o->stream};
	link_data_set_ops(d, &ops, l);
}

static void mix_edge_readable(void *arg)
{
	struct lane *l = arg;
	uint8_t buf[2048];
	ssize_t n;

	if (rand_r(&mix.seed) % 4 == 0)
		return; /* some of it is left for the end to discard */
	while ((n = conn_read(link_data_conn(l->edge), buf, sizeof(buf))) > 0)
		mix_check(buf, n, l->id, &l->back_read, true);
	assert_int_equal(n, -EAGAIN);
}

static void mix_edge_down(void *arg, int err, const char *why)
{
	(void)arg, (void)err;
	fail_msg("a stream's connection is down: %s", why);
}

static void mix_begin(struct lane *l)
{
	static const struct conn_ops ops = {.readable = mix_edge_readable, .down = mix_edge_down};
	static uint8_t ip[16];
	Sallyport__Open o = SALLYPORT__OPEN__INIT;

	*l = (struct lane){.id = ++mix.next_id};
	o.stream = l->id;
	o.service = (char *)"sip";
	o.client_ip = o.local_ip = (ProtobufCBinaryData){.len = 16, .data = ip};
	if (link_edge_open(mix.w.e.peer, &o, &ops, l, &l->edge))
		mix.next_id--; /* the pool grows */
}

static void mix_step(struct lane *l)
{
	if (!l->edge) {
		if (mix.next_id < STREAMS)
			mix_begin(l);
	} else if (rand_r(&mix.seed) % 4) {
		mix_write(link_data_conn(l->edge), l->id, &l->wrote, false);
	} else {
		link_edge_end(l->edge, rand_r(&mix.seed) % 2 ? "cut" : NULL);
		l->edge = NULL;
	}
}

static void mix_up(unsigned trim_ms)
{
	static struct link_ops ops;

	memset(&mix, 0, sizeof(mix));
	mix.seed = (unsigned)getpid();
	ops = c_ops;
	ops.open = mix_open;
	world_good(&mix.w);
	mix.w.times.trim = trim_ms;
	link_edge_set_times(mix.w.edge, &mix.w.times);
	dial(&mix.w, &mix.w.core, "core1.example", "edge1.example", &ops);
	assert_true(run_until(&mix.w, pool_full, 5000));
}

static bool mix_done(struct world *w)
{
	unsigned i, busy = 0;

	(void)w;
	for (i = 0; i < LANES / 2; i++) {
		mix_step(&mix.lane[i]);
		busy += mix.lane[i].edge != NULL;
	}
	return mix.next_id == STREAMS && !busy && mix.clean + mix.cut == STREAMS;
}

static void test_recycle_mixes_nothing(void **state)
{
	(void)state;
	mix_up(60000);
	print_message("seed %u\n", mix.seed);
	assert_true(run_until(&mix.w, mix_done, 60000));
	assert_int_equal(mix.opens, STREAMS);
	assert_true(mix.clean > STREAMS / 4 && mix.cut > STREAMS / 4);
	assert_false(mix.open_failed);
	assert_true(run_until(&mix.w, settled, 5000));
	assert_int_equal(cs(&mix.w)->recycled, STREAMS);
	assert_int_equal(es(&mix.w)->recycled, STREAMS);
	assert_int_equal(es(&mix.w)->ends_bad + cs(&mix.w)->ends_bad + es(&mix.w)->early_bytes, 0);
	/* control, the pool, and what was open or ending at once: not one a stream */
	assert_true(cs(&mix.w)->dials <= 1 + POOL + 4 * LANES);
	world_close(&mix.w);
}

static bool trimmed(struct world *w)
{
	return es(w)->trimmed > 0 && cs(w)->trimmed == es(w)->trimmed && settled(w) &&
	       link_peer_idle(w->e.peer) == POOL;
}

static bool mix_opened(struct world *w)
{
	return mix.opens == mix.next_id && pool_full(w);
}

/* Many at once make the pool grow; when they are not needed any more, it shrinks, and the core dials no new ones for them. */
static void test_recycle_trim(void **state)
{
	uint64_t dials;
	unsigned i;

	(void)state;
	mix_up(300);
	for (i = 0; i < 2 * POOL; i++) {
		mix_begin(&mix.lane[i]);
		assert_non_null(mix.lane[i].edge);
		assert_true(run_until(&mix.w, mix_opened, 5000));
	}
	for (i = 0; i < 2 * POOL; i++)
		link_edge_end(mix.lane[i].edge, NULL);
	dials = cs(&mix.w)->dials;
	assert_true(run_until(&mix.w, trimmed, 5000));
	assert_int_equal(cs(&mix.w)->dials, dials);
	assert_int_equal(cs(&mix.w)->data_lost + es(&mix.w)->data_lost, 0);
	world_close(&mix.w);
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_recycle_clean),
		cmocka_unit_test(test_recycle_abort_is_no_clean_end),
		cmocka_unit_test(test_recycle_end_before_open),
		cmocka_unit_test(test_recycle_both_end_at_once),
		cmocka_unit_test(test_recycle_core_ends_by_closing),
		cmocka_unit_test(test_half_answered),
		cmocka_unit_test(test_half_cut_off),
		cmocka_unit_test(test_half_ended_early),
		cmocka_unit_test(test_half_below_what_was_read),
		cmocka_unit_test(test_half_alone),
		cmocka_unit_test(test_recycle_end_below_what_was_read),
		cmocka_unit_test(test_recycle_second_end),
		cmocka_unit_test(test_recycle_more_than_announced),
		cmocka_unit_test(test_recycle_end_never_reached),
		cmocka_unit_test(test_recycle_closed_before_the_end),
		cmocka_unit_test(test_recycle_ends_of_unknown_streams),
		cmocka_unit_test(test_recycle_unknown_ends_grow_old),
		cmocka_unit_test(test_recycle_open_of_an_open_stream),
		cmocka_unit_test(test_recycle_idle_of_a_running_stream),
		cmocka_unit_test(test_recycle_idle_below_what_was_read),
		cmocka_unit_test(test_recycle_second_idle),
		cmocka_unit_test(test_recycle_waits_for_the_last_byte),
		cmocka_unit_test(test_recycle_one_byte_too_many),
		cmocka_unit_test(test_recycle_no_answer),
		cmocka_unit_test(test_recycle_idle_of_an_unknown_stream),
		cmocka_unit_test(test_recycle_closed_while_ending),
		cmocka_unit_test(test_recycle_worn),
		cmocka_unit_test(test_recycle_pool_full),
		cmocka_unit_test(test_recycle_trim),
		cmocka_unit_test(test_recycle_control_lost),
		cmocka_unit_test(test_recycle_stream_outlives_the_core_link),
		cmocka_unit_test(test_recycle_mixes_nothing),
	};

	return cmocka_run_group_tests(tests, certs_make, NULL);
}
