/* selftests/unit/test_srtp_equal.c -- our SRTP back end against libsrtp2: the same bytes and the same verdicts, on both crypto
 * providers, all suites, RTP and RTCP, whatever the order, batch, wrap, replay or damage. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <cmocka.h>

#include "user/srtp_int.h"

#define ROOM 1600

static uint64_t seed = 1;

static uint32_t rnd(uint32_t below)
{
	seed ^= seed << 13;
	seed ^= seed >> 7;
	seed ^= seed << 17;
	return (uint32_t)(seed >> 32) % below;
}

struct packet {
	uint8_t p[ROOM];
	uint32_t n;
	bool rtcp;
};

struct side { /* one session by each back end under one key */
	struct srtp_session *fast, *lib;
};

static struct srtp_session *session(enum srtp_backend b, bool evp, enum srtp_suite s, bool seal,
				    uint8_t id)
{
	uint8_t key[SRTP_KEY_MAX];
	struct srtp_session *out = NULL;
	unsigned i;

	for (i = 0; i < sizeof(key); i++)
		key[i] = (uint8_t)(i * 13 + id);
	assert_int_equal(srtp_init(b), 0);
	if (b == SRTP_FAST)
		srtp_fast_force_evp(evp);
	assert_int_equal(srtp_session_new(s, span_of(key, srtp_suite_key_len(s)), seal, &out), 0);
	return out;
}

static struct side side_new(bool evp, enum srtp_suite s, bool seal, uint8_t id)
{
	struct side d = {session(SRTP_FAST, evp, s, seal, id),
			 session(SRTP_LIBSRTP2, evp, s, seal, id)};

	return d;
}

static void side_free(struct side *d)
{
	srtp_session_free(d->fast);
	srtp_session_free(d->lib);
}

/* A packet of @n bytes; CSRCs and extension as far as there is room. */
static void make(struct packet *k, uint32_t n, bool rtcp, uint16_t seq, uint32_t ssrc,
		 bool plain_head)
{
	uint32_t i, at = 12, x;

	memset(k->p, 0xee, sizeof(k->p));
	for (i = 0; i < n; i++)
		k->p[i] = (uint8_t)rnd(256);
	k->n = n;
	k->rtcp = rtcp;
	k->p[0] = rtcp ? 0x81 : 0x80;
	k->p[1] = rtcp ? 200 : 0;
	if (!rtcp) {
		k->p[2] = (uint8_t)(seq >> 8);
		k->p[3] = (uint8_t)seq;
	}
	for (i = 0; i < 4; i++)
		k->p[(rtcp ? 4 : 8) + i] = (uint8_t)(ssrc >> (24 - 8 * i));
	if (rtcp || plain_head)
		return;
	x = rnd(16);
	if (at + 4 * x <= n) {
		k->p[0] |= (uint8_t)x;
		at += 4 * x;
	}
	x = rnd(4);
	if (rnd(2) && at + 4 + 4 * x <= n) {
		k->p[0] |= 0x10;
		k->p[at + 2] = 0;
		k->p[at + 3] = (uint8_t)x;
	}
}

static enum srtp_result one(struct srtp_session *s, struct packet *k)
{
	struct srtp_packet sp = {.session = s, .p = k->p, .n = k->n, .cap = ROOM, .rtcp = k->rtcp};

	if (s->seal)
		srtp_seal(&sp, 1);
	else
		srtp_open(&sp, 1);
	k->n = sp.n;
	return sp.result;
}

static void same(const struct packet *a, const struct packet *b)
{
	assert_int_equal(a->n, b->n);
	assert_memory_equal(a->p, b->p, a->n);
}

static void sizes(bool evp, enum srtp_suite s, bool rtcp)
{
	struct side seal = side_new(evp, s, true, 1), open = side_new(evp, s, false, 1);
	struct packet plain, a, b;
	uint32_t n;

	for (n = 12; n <= 1500; n++) {
		make(&plain, n, rtcp, (uint16_t)n, 77, false);
		a = b = plain;
		assert_int_equal(one(seal.fast, &a), SRTP_OK);
		assert_int_equal(one(seal.lib, &b), SRTP_OK);
		same(&a, &b);
		assert_int_equal(a.n, n + srtp_suite_tag_len(s, rtcp) + (rtcp ? 4 : 0));
		assert_int_equal(one(open.fast, &a), SRTP_OK);
		assert_int_equal(one(open.lib, &b), SRTP_OK);
		same(&a, &plain);
		same(&b, &plain);
	}
	side_free(&seal);
	side_free(&open);
}

static void test_equal_sizes(void **state)
{
	unsigned i;

	(void)state;
	for (i = 0; i < SRTP_SUITES * 4; i++)
		sizes(i & 1, i / 4, i & 2);
}

/* ---- streams of packets in batches ---- */
#define LEGS  6
#define TOTAL 3000

struct leg {
	enum srtp_suite suite;
	struct side seal, open;
	uint32_t ssrc[3];
	uint32_t index[3]; /* where the source is, ROC included */
};

static void legs_new(struct leg *leg, bool evp)
{
	unsigned i, j;

	for (i = 0; i < LEGS; i++) {
		leg[i].suite = i % SRTP_SUITES;
		leg[i].seal = side_new(evp, leg[i].suite, true, (uint8_t)i);
		leg[i].open = side_new(evp, leg[i].suite, false, (uint8_t)i);
		for (j = 0; j < 3; j++) {
			leg[i].ssrc[j] = rnd(0xffffffff);
			leg[i].index[j] = rnd(0x8000);
		}
	}
}

static void legs_free(struct leg *leg)
{
	unsigned i;

	for (i = 0; i < LEGS; i++) {
		side_free(&leg[i].seal);
		side_free(&leg[i].open);
	}
}

/* Mostly the next one; now and then a jump, a step back or the same again. */
static uint16_t next_seq(uint32_t *index)
{
	uint32_t how = rnd(40), back = rnd(200);

	if (how == 0)
		*index += rnd(30000);
	else if (how == 1)
		return (uint16_t)(*index - (back < *index ? back : 0));
	else
		*index += 1 + (how < 8) * rnd(300);
	return (uint16_t)*index;
}

/* A random batch through the fast back end at once and through libsrtp2 packet by packet. Results and bytes are equal. */
static unsigned batch(struct srtp_session **fast, struct srtp_session **lib, struct packet *pk,
		      unsigned n, bool seal)
{
	struct srtp_packet sp[SRTP_BATCH_MAX];
	struct packet ref;
	enum srtp_result r;
	unsigned i, ok = 0;
	struct packet *orig = malloc(n * sizeof(*orig));

	assert_non_null(orig);
	memcpy(orig, pk, n * sizeof(*orig));
	for (i = 0; i < n; i++)
		sp[i] = (struct srtp_packet){.session = fast[i],
					     .p = pk[i].p,
					     .n = pk[i].n,
					     .cap = ROOM,
					     .rtcp = pk[i].rtcp};
	if (seal)
		srtp_seal(sp, n);
	else
		srtp_open(sp, n);
	for (i = 0; i < n; i++) {
		ref = orig[i];
		r = one(lib[i], &ref);
		assert_int_equal(sp[i].result, r);
		pk[i].n = sp[i].n;
		if (r == SRTP_OK) {
			same(&pk[i], &ref);
			ok++;
		} else {
			pk[i].n = 0;
		}
	}
	free(orig);
	return ok;
}

static void spoil(struct packet *k)
{
	if (rnd(20) == 0 && k->n)
		k->p[rnd(k->n)] ^= (uint8_t)(1 << rnd(8));
	if (rnd(100) == 0)
		k->n = rnd(k->n + 1);
}

/* Local disorder, doubles and damage, then in batches through both receivers. */
static unsigned receive(struct leg *leg, struct packet *pk, unsigned *who, unsigned total)
{
	struct srtp_session *fast[SRTP_BATCH_MAX], *lib[SRTP_BATCH_MAX];
	struct packet *out = malloc(SRTP_BATCH_MAX * sizeof(*out));
	unsigned i, k, from, n, at = 0, ok = 0;

	assert_non_null(out);
	while (at < total) {
		n = 1 + rnd(SRTP_BATCH_MAX);
		for (i = 0, k = 0; i < n && at < total; i++) {
			from = rnd(4) == 0 && at > 300 ? at - rnd(300) : at++;
			if (!pk[from].n)
				continue;
			out[k] = pk[from];
			spoil(&out[k]);
			fast[k] = leg[who[from]].open.fast;
			lib[k++] = leg[who[from]].open.lib;
		}
		ok += batch(fast, lib, out, k, false);
	}
	free(out);
	return ok;
}

static void streams(bool evp, uint64_t start)
{
	struct srtp_session *fast[SRTP_BATCH_MAX], *lib[SRTP_BATCH_MAX];
	struct packet *pk = calloc(TOTAL, sizeof(*pk));
	struct leg leg[LEGS];
	unsigned who[TOTAL], at, i, n, l, src, ok = 0;

	assert_non_null(pk);
	seed = start;
	legs_new(leg, evp);
	for (at = 0; at < TOTAL; at += n) {
		n = 1 + rnd(SRTP_BATCH_MAX);
		if (n > TOTAL - at)
			n = TOTAL - at;
		for (i = 0; i < n; i++) {
			l = who[at + i] = rnd(LEGS);
			src = rnd(3);
			make(&pk[at + i], 12 + rnd(300), rnd(8) == 0, next_seq(&leg[l].index[src]),
			     leg[l].ssrc[src], rnd(2));
			fast[i] = leg[l].seal.fast;
			lib[i] = leg[l].seal.lib;
		}
		ok += batch(fast, lib, pk + at, n, true);
	}
	assert_in_range(ok, TOTAL * 8 / 10, TOTAL);
	ok = receive(leg, pk, who, TOTAL);
	assert_in_range(ok, TOTAL * 6 / 10, TOTAL);
	legs_free(leg);
	free(pk);
}

static void test_equal_streams(void **state)
{
	unsigned i;

	(void)state;
	for (i = 0; i < 12; i++)
		streams(i & 1, 1000 + i);
}

/* One source, batches full of it, over five wraps, in order. */
static void test_equal_wraps(void **state)
{
	struct srtp_session *fast[SRTP_BATCH_MAX], *lib[SRTP_BATCH_MAX];
	struct packet *pk = calloc(SRTP_BATCH_MAX, sizeof(*pk));
	unsigned i, n, s;
	uint32_t index;
	struct side seal, open;

	(void)state;
	assert_non_null(pk);
	for (s = 0; s < SRTP_SUITES * 2; s++) {
		seal = side_new(s & 1, s / 2, true, 3);
		open = side_new(s & 1, s / 2, false, 3);
		for (index = 30000; index < 5 * 65536;) {
			for (n = 0; n < SRTP_BATCH_MAX; n++, index += 1 + 200 * (rnd(3) == 0))
				make(&pk[n], 40, false, (uint16_t)index, 9, false);
			for (i = 0; i < n; i++) {
				fast[i] = seal.fast;
				lib[i] = seal.lib;
			}
			assert_int_equal(batch(fast, lib, pk, n, true), n);
			for (i = 0; i < n; i++) {
				fast[i] = open.fast;
				lib[i] = open.lib;
			}
			assert_int_equal(batch(fast, lib, pk, n, false), n);
		}
		assert_in_range(srtp_streams_find(open.fast->streams, 9)->rtp_top >> 16, 4, 5);
		side_free(&seal);
		side_free(&open);
	}
	free(pk);
}

static void damage(bool evp, enum srtp_suite s, bool rtcp)
{
	struct side seal = side_new(evp, s, true, 4), open = side_new(evp, s, false, 4);
	struct packet good, a, b, *cut;
	enum srtp_result r;
	uint32_t i;

	make(&good, 72, rtcp, 500, 5, false);
	assert_int_equal(one(seal.fast, &good), SRTP_OK);
	for (i = 0; i < good.n * 8; i++) {
		a = b = good;
		a.p[i / 8] ^= (uint8_t)(1 << i % 8);
		b.p[i / 8] ^= (uint8_t)(1 << i % 8);
		r = one(open.fast, &a);
		assert_int_not_equal(r, SRTP_OK);
		assert_int_equal(one(open.lib, &b), r);
	}
	for (i = 0; i < good.n; i++) { /* in a block of just this length, for the sanitizer */
		struct srtp_packet sp = {.session = open.fast, .n = i, .cap = i, .rtcp = rtcp};

		cut = malloc(i + 1);
		sp.p = (uint8_t *)cut + 1;
		memcpy(sp.p, good.p, i);
		srtp_open(&sp, 1);
		assert_int_not_equal(sp.result, SRTP_OK);
		free(cut);
	}
	assert_int_equal(open.fast->streams->n, 0);
	a = good;
	assert_int_equal(one(open.fast, &a), SRTP_OK);
	a = b = good;
	assert_int_equal(one(open.fast, &a), SRTP_REPLAY);
	assert_int_equal(one(open.lib, &b), SRTP_OK);
	b = good;
	assert_int_equal(one(open.lib, &b), SRTP_REPLAY);
	side_free(&seal);
	side_free(&open);
}

static void test_equal_damage(void **state)
{
	unsigned i;

	(void)state;
	for (i = 0; i < SRTP_SUITES * 4; i++)
		damage(i & 1, i / 4, i & 2);
}

/* Twice in one batch, and a good one behind a bad one of the same index. */
static void test_equal_batch_order(void **state)
{
	struct srtp_packet sp[4];
	struct side seal, open;
	struct packet good, k[4];
	unsigned i, s;

	(void)state;
	for (s = 0; s < SRTP_SUITES * 2; s++) {
		seal = side_new(s & 1, s / 2, true, 5);
		open = side_new(s & 1, s / 2, false, 5);
		make(&good, 60, false, 1, 6, true);
		assert_int_equal(one(seal.lib, &good), SRTP_OK);
		for (i = 0; i < 4; i++) {
			k[i] = good;
			sp[i] = (struct srtp_packet){
				.session = open.fast, .p = k[i].p, .n = k[i].n, .cap = ROOM};
		}
		k[0].p[20] ^= 1;
		srtp_open(sp, 4);
		assert_int_equal(sp[0].result, SRTP_AUTH);
		assert_int_equal(sp[1].result, SRTP_OK);
		assert_int_equal(sp[2].result, SRTP_REPLAY);
		assert_int_equal(sp[3].result, SRTP_REPLAY);
		side_free(&seal);
		side_free(&open);
	}
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_equal_sizes),	  cmocka_unit_test(test_equal_streams),
		cmocka_unit_test(test_equal_wraps),	  cmocka_unit_test(test_equal_damage),
		cmocka_unit_test(test_equal_batch_order),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
