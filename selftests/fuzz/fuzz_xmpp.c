/* selftests/fuzz/fuzz_xmpp.c -- any bytes as an XMPP stream, and as <stream:features/>.
 *
 * Held: every split of the bytes gives the same events and the same refusal, at the same offsets, whether expat's memory
 * is given back in between or not; events lie end to end; memory stays within its limit and is all freed; where a stream
 * is taken, plain expat, given the same bytes at once, finds the same stanzas. Features that were rewritten have nothing
 * more to cut, and only lost bytes. */
#include <expat.h>
#include <stdlib.h>

#include "selftests/unit/xmpp_kit.h"
#include "xmpp/features.h"

#define MAX	    16384
#define STANZAS_MAX 4096

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define HOLD(x)                  \
	do {                     \
		if (!(x))        \
			abort(); \
	} while (0)

static uint32_t data_hash(struct span in)
{
	uint32_t h = (uint32_t)in.n;
	size_t i;

	for (i = 0; i < in.n; i++)
		h = h * 31 + in.p[i];
	return h;
}

static void hold_splits(const struct xmpp_setup *setup, struct span in)
{
	static char first[1 << 18], again[1 << 18];
	struct kit_way way = {};
	enum xmpp_event_kind kind;
	unsigned i;

	for (i = 0; i < 2; i++) {
		way = (struct kit_way){.cut = KIT_WHOLE, .restart = i};
		kind = kit_read(setup, in, &way, first, sizeof(first));
		way.cut = KIT_BYTES;
		HOLD(kit_read(setup, in, &way, again, sizeof(again)) == kind);
		HOLD(strcmp(first, again) == 0);
		way.cut = KIT_RANDOM;
		way.seed = data_hash(in);
		way.rest = true;
		HOLD(kit_read(setup, in, &way, again, sizeof(again)) == kind);
		HOLD(strcmp(first, again) == 0);
	}
}

/* ---- plain expat as the second opinion ---- */

struct stanzas {
	XML_Parser parser;
	unsigned depth, n;
	struct {
		uint64_t start, end;
	} at[STANZAS_MAX];
};

static void on_start(void *arg, const char *name, const char **atts)
{
	struct stanzas *s = arg;

	(void)name, (void)atts;
	if (s->depth++ == 1 && s->n < STANZAS_MAX)
		s->at[s->n].start = (uint64_t)XML_GetCurrentByteIndex(s->parser);
}

static void on_end(void *arg, const char *name)
{
	struct stanzas *s = arg;

	(void)name;
	if (--s->depth == 1 && s->n < STANZAS_MAX)
		s->at[s->n++].end = (uint64_t)XML_GetCurrentByteIndex(s->parser) +
				    (uint64_t)XML_GetCurrentByteCount(s->parser);
}

static void hold_expat(const struct xmpp_setup *setup, struct span in)
{
	static struct stanzas ours, theirs;
	struct xmpp_reader r;
	struct xmpp_event e;
	struct span left = in;

	ours.n = 0;
	theirs = (struct stanzas){};
	xmpp_reader_init(&r, setup);
	do {
		xmpp_reader_next(&r, left, &e);
		left = span_cut(left, e.used, left.n);
		if (e.kind == XMPP_STANZA && ours.n < STANZAS_MAX) {
			ours.at[ours.n].start = e.offset;
			ours.at[ours.n++].end = e.offset + e.length;
		}
	} while (e.kind == XMPP_OPEN || e.kind == XMPP_STANZA || e.kind == XMPP_SPACE);
	in.n -= left.n;
	xmpp_reader_fini(&r);
	if (e.kind == XMPP_REFUSED || in.n == 0)
		return;
	theirs.parser = XML_ParserCreateNS("UTF-8", '\n');
	HOLD(theirs.parser);
	XML_SetUserData(theirs.parser, &theirs);
	XML_SetElementHandler(theirs.parser, on_start, on_end);
	/* What waits for the end of its tag has not been judged yet. */
	if (e.kind == XMPP_CLOSE)
		HOLD(XML_Parse(theirs.parser, (const char *)in.p, (int)in.n, 1) == XML_STATUS_OK);
	else
		XML_Parse(theirs.parser, (const char *)in.p, (int)in.n, 0);
	HOLD(ours.n == theirs.n);
	HOLD(memcmp(ours.at, theirs.at, ours.n * sizeof(ours.at[0])) == 0);
	XML_ParserFree(theirs.parser);
}

/* ---- features ---- */

/* Whether @a can be made from @b by leaving bytes out. */
static bool is_cut_of(struct span a, struct span b)
{
	size_t i, j = 0;

	for (i = 0; i < b.n && j < a.n; i++)
		j += a.p[j] == b.p[i];
	return j == a.n;
}

static void hold_features(struct span in)
{
	static uint8_t once[MAX], twice[MAX];
	struct xmpp_features f;
	ssize_t n = xmpp_features_rewrite(SPAN(KIT_HEAD), in, once, sizeof(once), &f);

	if (n < 0)
		return;
	HOLD((size_t)n <= in.n && is_cut_of(span_of(once, (size_t)n), in));
	HOLD(xmpp_features_rewrite(SPAN(KIT_HEAD), span_of(once, (size_t)n), twice, sizeof(twice),
				   &f) == n);
	HOLD(f.starttls + f.plus + f.bindings == 0);
	HOLD(memcmp(once, twice, (size_t)n) == 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const struct xmpp_setup *const setups[] = {&kit_client, &kit_client, &kit_answer,
							  &kit_server};
	static uint8_t behind[MAX + sizeof(KIT_HEAD)];
	struct span in = span_of(data, size);
	const struct xmpp_setup *setup = setups[size % 4];

	if (size > MAX)
		return 0;
	hold_splits(setup, in);
	hold_expat(setup, in);
	/* and behind a good header, so that more gets past it */
	memcpy(behind, KIT_HEAD, sizeof(KIT_HEAD) - 1);
	if (size)
		memcpy(behind + sizeof(KIT_HEAD) - 1, data, size);
	in = span_of(behind, sizeof(KIT_HEAD) - 1 + size);
	hold_splits(&kit_client, in);
	hold_expat(&kit_client, in);
	hold_features(span_of(data, size));
	return 0;
}
