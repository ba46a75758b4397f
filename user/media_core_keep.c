/* user/media_core_keep.c -- media that outlive the worker: what is kept of them, and how the next worker takes them up again.
 *
 * Data flow: a medium opens, is set, hears a new source, moves on its edge -> mc_keep() -> its record in the keeper's file; a session's
 * indices are there from its first packet on, changed in place. Start: mc_restore() -> the same flows, ports, keys and indices; packets
 * that waited in the sockets go on at once, before any link is up. Allocate is repeated when the edge's link comes.
 * Owner: struct keep has the bytes; media_core decides when they go. A session's record is named by a random id in its medium's; a record
 * that no medium names is left over from between two steps and goes at start. */
#include <errno.h>
#include <stddef.h>
#include <stdlib.h>

#include <openssl/crypto.h>
#include <openssl/rand.h>

#include "user/keep.h"
#include "user/media_core_int.h"

enum session_mark {
	SESSION_NEW,
	SESSION_USED,
	SESSION_TAKEN /* up again by the worker that runs */
};

struct session_record {
	uint8_t suite, seal, mark, pad[5]; /* enum session_mark */
	uint8_t key[SRTP_KEY_MAX], pad2[2];
	uint64_t pad3;
	uint8_t state[SRTP_STATE_SIZE]; /* live */
};
_Static_assert(offsetof(struct session_record, state) % 8 == 0, "aligned");

struct flow_record {
	uint64_t id;
	uint8_t punch_key[PUNCH_KEY_LEN];
	uint8_t rtcp, allocated, pad[2];
	struct addr outside, edge, punched_from;
};

struct leg_record {
	struct addr remote, from;
	uint8_t latched, pad[3];
};

struct medium_record {
	char edge[MC_EDGE_NAME_MAX];
	struct addr client;
	uint32_t pair;
	uint8_t flows, muxed, rtcp_on, pad;
	uint64_t open, seal; /* ids of session records; 0: not keyed */
	struct flow_record flow[2];
	struct leg_record leg[2];
};

const uint32_t mc_keep_medium_max = sizeof(struct medium_record);
const uint32_t mc_keep_session_max = sizeof(struct session_record);

/* ---- write ---- */

/* Keys without their indices must not come back: under them the key stream would begin again. */
static bool keys_placed(const struct medium *d)
{
	return (!d->open || d->keep_open) && (!d->seal || d->keep_seal);
}

void mc_keep(struct medium *d)
{
	struct media_core *m = d->m;
	struct medium_record r = {.client = d->client,
				  .pair = d->pair,
				  .flows = d->adding ? 1 : (uint8_t)d->flows, /* asked again */
				  .muxed = d->muxed,
				  .rtcp_on = d->adding ? 0 : d->rtcp_on,
				  .open = d->keep_open,
				  .seal = d->keep_seal};
	unsigned i;

	if (!m->p.keep || !d->opened)
		return;
	if (!keys_placed(d)) {
		keep_del(m->p.keep, m->p.keep_medium, d->id);
		return;
	}
	memcpy(r.edge, d->edge, sizeof(r.edge));
	for (i = 0; i < 2; i++) {
		struct mc_flow *f = &d->flow[i];

		r.flow[i] = (struct flow_record){.id = f->id,
						 .rtcp = f->rtcp,
						 .allocated = f->allocated,
						 .outside = f->outside,
						 .edge = f->edge,
						 .punched_from = f->punched_from};
		memcpy(r.flow[i].punch_key, f->punch_key, PUNCH_KEY_LEN);
		r.leg[i] = (struct leg_record){.remote = d->leg[i].remote,
					       .from = d->leg[i].from,
					       .latched = d->leg[i].latched};
	}
	if (keep_put(m->p.keep, m->p.keep_medium, d->id, span_of(&r, sizeof(r))))
		m->count.not_kept++;
	OPENSSL_cleanse(&r, sizeof(r));
}

void mc_keep_drop(struct medium *d)
{
	struct keep *k = d->m->p.keep;

	if (!k)
		return;
	keep_del(k, d->m->p.keep_medium, d->id);
	keep_del(k, d->m->p.keep_session, d->keep_open);
	keep_del(k, d->m->p.keep_session, d->keep_seal);
}

/* A new session's place. 0: it has none, and will not outlive us. The one before goes when the medium's record names the new one. */
uint64_t mc_keep_session(struct media_core *m, struct srtp_session *s, enum srtp_suite suite,
			 const uint8_t *key, bool seal)
{
	struct session_record r = {.suite = (uint8_t)suite, .seal = seal}, *live;
	uint64_t id = 0;
	int err;

	if (!m->p.keep || RAND_bytes((unsigned char *)&id, sizeof(id)) != 1 || !id)
		return 0;
	memcpy(r.key, key, srtp_suite_key_len(suite));
	err = keep_put(m->p.keep, m->p.keep_session, id, span_of(&r, sizeof(r)));
	OPENSSL_cleanse(&r, sizeof(r));
	live = err ? NULL : keep_live(m->p.keep, m->p.keep_session, id);
	if (live &&
	    !srtp_session_place(s, span_of(key, srtp_suite_key_len(suite)), live->state, false)) {
		live->mark = SESSION_USED;
		return id;
	}
	if (live)
		keep_del(m->p.keep, m->p.keep_session, id);
	m->count.not_kept++;
	return 0;
}

/* ---- read ---- */

static int session_restore(struct media_core *m, uint64_t id, bool seal, struct srtp_session **out,
			   enum srtp_suite *suite, uint8_t key[SRTP_KEY_MAX])
{
	struct session_record *r = keep_live(m->p.keep, m->p.keep_session, id);
	struct srtp_session *s = NULL;
	struct span k;
	int err;

	if (!r || r->mark != SESSION_USED || r->suite >= SRTP_SUITES || r->seal != seal)
		return -EBADMSG;
	*suite = (enum srtp_suite)r->suite;
	k = span_of(r->key, srtp_suite_key_len(*suite));
	err = srtp_session_new(*suite, k, seal, &s);
	if (!err)
		err = srtp_session_place(s, k, r->state, true);
	if (err) {
		srtp_session_free(s);
		return err;
	}
	memcpy(key, r->key, SRTP_KEY_MAX);
	r->mark = SESSION_TAKEN;
	*out = s;
	return 0;
}

static int keys_restore(struct medium *d, const struct medium_record *r)
{
	int err;

	if (!r->open || !r->seal)
		return 0;
	err = session_restore(d->m, r->open, false, &d->open, &d->set.open_suite, d->set.open_key);
	if (!err)
		err = session_restore(d->m, r->seal, true, &d->seal, &d->set.seal_suite,
				      d->set.seal_key);
	if (err)
		return err;
	d->keep_open = r->open;
	d->keep_seal = r->seal;
	d->keyed = true;
	return 0;
}

static int flow_restore(struct medium *d, const struct flow_record *r, unsigned i)
{
	struct mc_flow *f = &d->flow[i];

	if (!r->id || mc_flow_find(d->m, r->id))
		return -EBADMSG;
	mc_flow_add(d, i, r->id);
	memcpy(f->punch_key, r->punch_key, PUNCH_KEY_LEN);
	f->outside = r->outside;
	f->punched_from = r->punched_from;
	f->asked = true;
	f->allocated = r->allocated;
	if (r->edge.port)
		mc_edge_hash(d->m, f, &r->edge);
	return 0;
}

static int medium_restore(struct media_core *m, uint64_t id, const struct medium_record *r)
{
	struct medium *d;
	unsigned i;
	int err;

	if (r->flows < 1 || r->flows > 2 || r->muxed > 1 || r->rtcp_on >= r->flows ||
	    !memchr(r->edge, 0, sizeof(r->edge)) || mc_medium_find(m, id) ||
	    m->n_media >= m->p.media_max || mc_pair_adopt(m, r->pair))
		return -EBADMSG;
	d = mc_medium_new(m, id, r->edge);
	if (!d) {
		mc_pair_rest(m, r->pair);
		return -ENOMEM;
	}
	d->client = r->client;
	d->flows = r->flows;
	d->muxed = r->muxed;
	d->rtcp_on = r->rtcp_on;
	d->pair = r->pair;
	d->opened = true;
	d->last_ms = loop_now_ms(m->p.loop);
	err = keys_restore(d, r);
	for (i = 0; i < r->flows && !err; i++)
		err = flow_restore(d, &r->flow[i], i);
	for (i = 0; i < 2; i++) {
		d->leg[i].remote = r->leg[i].remote;
		d->leg[i].from = r->leg[i].from;
		d->leg[i].latched = r->leg[i].latched;
	}
	if (!err)
		err = mc_legs_start(d);
	if (!err && m->p.silence_ms)
		err = loop_timer_set(m->p.loop, &d->timer, m->p.silence_ms);
	if (err)
		mc_medium_free(d);
	return err;
}

static void restore_medium(void *arg, uint64_t id, struct span data)
{
	struct media_core *m = arg;
	struct medium_record r;
	int err = data.n == sizeof(r) ? 0 : -EBADMSG;

	if (!err) {
		memcpy(&r, data.p, sizeof(r));
		err = medium_restore(m, id, &r);
		OPENSSL_cleanse(&r, sizeof(r));
	}
	if (err) {
		m->count.lost++;
		keep_del(m->p.keep, m->p.keep_medium, id);
	} else {
		m->count.restored++;
	}
}

/* A worker that died while it took them up has left its mark. */
static void session_untake(void *arg, uint64_t id, struct span data)
{
	struct media_core *m = arg;
	struct session_record *r = (struct session_record *)data.p;

	if (data.n != sizeof(*r))
		keep_del(m->p.keep, m->p.keep_session, id);
	else if (r->mark == SESSION_TAKEN)
		r->mark = SESSION_USED;
}

static void restore_session(void *arg, uint64_t id, struct span data)
{
	struct media_core *m = arg;
	struct session_record *r = (struct session_record *)data.p;

	if (data.n == sizeof(*r) && r->mark == SESSION_TAKEN)
		r->mark = SESSION_USED;
	else
		keep_del(m->p.keep, m->p.keep_session, id);
}

void mc_restore(struct media_core *m)
{
	struct medium *d;

	if (!m->p.keep)
		return;
	keep_each(m->p.keep, m->p.keep_session, session_untake, m);
	keep_each(m->p.keep, m->p.keep_medium, restore_medium, m);
	keep_each(m->p.keep, m->p.keep_session, restore_session, m);
	for (d = m->list; d; d = d->list_next) { /* all are there now */
		mc_join_set(&d->leg[0]);
		mc_join_set(&d->leg[1]);
	}
}

void media_core_each(const struct media_core *m, void (*fn)(void *arg, uint64_t medium), void *arg)
{
	const struct medium *d, *next;

	for (d = m->list; d; d = next) {
		next = d->list_next;
		fn(arg, d->id);
	}
}

bool media_core_has(const struct media_core *m, uint64_t medium)
{
	return mc_medium_find(m, medium) != NULL;
}
