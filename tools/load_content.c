/* tools/load_content.c -- payloads that tell whose they are. See load_content.h.
 *
 * A payload: "SPLD", call (8), direction (1), three zeros, number (4), send time (4), all big-endian; then a pattern seeded by call,
 * direction and number, so that bytes of two packets mixed together are noticed. */
#include "tools/load_content.h"

#define PATTERN_AT 24

static uint64_t get(const uint8_t *p, unsigned n)
{
	uint64_t v = 0;

	while (n--)
		v = v << 8 | *p++;
	return v;
}

static void put(uint8_t *p, unsigned n, uint64_t v)
{
	while (n--) {
		p[n] = (uint8_t)v;
		v >>= 8;
	}
}

/* splitmix64 */
static uint64_t pattern_next(uint64_t *s)
{
	uint64_t z = *s += 0x9e3779b97f4a7c15ull;

	z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9ull;
	z = (z ^ z >> 27) * 0x94d049bb133111ebull;
	return z ^ z >> 31;
}

static void pattern(const struct load_tag *t, uint8_t p[LOAD_PAYLOAD - PATTERN_AT])
{
	uint64_t s = t->call ^ (uint64_t)t->dir << 63 ^ (uint64_t)t->number << 24, v;
	unsigned i;

	for (i = 0; i < LOAD_PAYLOAD - PATTERN_AT; i += 8) {
		v = pattern_next(&s);
		memcpy(p + i, &v, 8);
	}
}

void load_content_write(const struct load_tag *t, uint8_t p[LOAD_PAYLOAD])
{
	memcpy(p, "SPLD", 4);
	put(p + 4, 8, t->call);
	put(p + 12, 4, (uint32_t)t->dir << 24);
	put(p + 16, 4, t->number);
	put(p + 20, 4, t->sent_us);
	pattern(t, p + PATTERN_AT);
}

enum load_verdict load_content_check(struct span payload, const struct load_tag *want,
				     struct load_tag *out)
{
	uint8_t expected[LOAD_PAYLOAD - PATTERN_AT];
	const uint8_t *p = payload.p;
	struct load_tag t;

	if (payload.n != LOAD_PAYLOAD || memcmp(p, "SPLD", 4) != 0)
		return LOAD_GARBLED;
	t = (struct load_tag){.call = get(p + 4, 8),
			      .dir = p[12],
			      .number = (uint32_t)get(p + 16, 4),
			      .sent_us = (uint32_t)get(p + 20, 4)};
	if (get(p + 12, 4) != (uint32_t)t.dir << 24)
		return LOAD_GARBLED;
	pattern(&t, expected);
	if (memcmp(p + PATTERN_AT, expected, sizeof(expected)) != 0)
		return LOAD_GARBLED;
	if (t.call != want->call)
		return LOAD_FOREIGN;
	if (t.dir != want->dir)
		return LOAD_ECHO;
	*out = t;
	return LOAD_HEARD;
}

static uint64_t *seen_word(struct load_heard *h, uint32_t number)
{
	return &h->seen[number % LOAD_WINDOW / 64];
}

static void heard_forward(struct load_heard *h, uint32_t number)
{
	uint32_t n;

	if (number - h->top >= LOAD_WINDOW) {
		memset(h->seen, 0, sizeof(h->seen));
	} else {
		for (n = h->top + 1; n != number; n++)
			*seen_word(h, n) &= ~(1ull << n % 64);
	}
	h->top = number;
}

void load_heard_add(struct load_heard *h, uint32_t number)
{
	uint64_t bit = 1ull << number % 64;

	if (!h->any) {
		h->any = true;
		h->first = h->top = number;
	} else if (number > h->top) {
		heard_forward(h, number);
	} else if (h->top - number >= LOAD_WINDOW || *seen_word(h, number) & bit) {
		h->doubled++;
		return;
	} else {
		h->reordered++;
		if (number < h->first)
			h->first = number;
	}
	*seen_word(h, number) |= bit;
	h->received++;
}

uint32_t load_heard_early(const struct load_heard *h)
{
	return h->any ? h->first : 0;
}

uint32_t load_heard_lost(const struct load_heard *h, uint32_t sent)
{
	uint32_t could = sent > load_heard_early(h) ? sent - load_heard_early(h) : 0;

	return could > h->received ? could - h->received : 0;
}
