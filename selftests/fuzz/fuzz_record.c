/* selftests/fuzz/fuzz_record.c -- what an engine before this one kept, as any bytes: an engine that takes them up.
 *
 * In: one byte 'b', 'c' or 'i' (binding, call, INVITE of a call that rings), then a record. Out: a trap when a refused record leaves
 * anything behind, when one that was taken is taken twice, when an INVITE ends without a word or its record stays, when a stream is
 * admitted without a binding, or when bindings or transactions are left after their time. */
#include <stdlib.h>

#include "sip/engine.h"

#define KEPT_MAX 8192
#define HOLD(x)                  \
	do {                     \
		if (!(x))        \
			abort(); \
	} while (0)

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

struct bed {
	struct engine *e;
	uint64_t rnd;
	unsigned kept, forgot, closed, media, sent;
};

static void bed_random(void *arg, void *buf, size_t n)
{
	struct bed *b = arg;
	uint8_t *p = buf;

	while (n--) {
		b->rnd = b->rnd * 6364136223846793005ull + 1442695040888963407ull;
		*p++ = (uint8_t)(b->rnd >> 33);
	}
}

/* Of no use but to give each binding an id: the target asks the engine which by trying. */
static void bed_hmac(void *arg, struct span key, struct span data, uint8_t out[32])
{
	(void)arg, (void)key, (void)data;
	memset(out, 7, 32);
}

static void bed_drain(struct bed *b)
{
	struct engine_action a;

	while (engine_next_action(b->e, &a)) {
		b->kept += a.kind == ENGINE_KEEP;
		b->forgot += a.kind == ENGINE_FORGET;
		b->closed += a.kind == ENGINE_MEDIUM_CLOSE;
		b->sent += a.kind == ENGINE_SEND_INSIDE;
	}
}

static void count_medium(void *arg, uint64_t medium)
{
	struct bed *b = arg;

	(void)medium;
	b->media++;
}

static void lose_medium(void *arg, uint64_t medium)
{
	struct bed *b = arg;

	engine_medium_failed(b->e, medium, "lost", 2000);
}

static void look(void *arg, const struct engine_call_view *v)
{
	HOLD(v->from && v->to && v->call_id && v->user && v->suite);
	++*(unsigned *)arg;
}

/* What it holds is shown, and ends. */
static void bed_end(struct bed *b)
{
	unsigned seen = 0;

	engine_each_call(b->e, look, &seen);
	b->media = 0;
	engine_each_medium(b->e, count_medium, b);
	HOLD(b->media == 0 || seen > 0);
	engine_each_medium(b->e, lose_medium, b);
	bed_drain(b);
	engine_tick(b->e, 1ull << 50);
	bed_drain(b);
	engine_tick(b->e, 1ull << 51);
	bed_drain(b);
	HOLD(engine_stats(b->e)->admitted == 0); /* with the binding that it was for */
	HOLD(engine_stats(b->e)->bindings == 0 && engine_stats(b->e)->transactions == 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const char *const domains[] = {"stand.test", "other.test"};
	static const struct engine_server servers[] = {
		{.name = "pbx", .domains = domains, .n_domains = 1},
		{.name = "pbx2", .domains = domains + 1, .n_domains = 1},
	};
	struct bed b = {.rnd = 1};
	struct engine_config c = {.core_name = "core1",
				  .inside_host = "10.0.0.2",
				  .inside_port = 5070,
				  .servers = servers,
				  .n_servers = 2,
				  .token_key = SPAN("0123456789abcdef0123456789abcdef"),
				  .bindings_max = 10,
				  .calls_max = 10,
				  .calls_user_max = 8,
				  .transactions_max = 100,
				  .message_max = 4000,
				  .keep = true,
				  .random = bed_random,
				  .hmac = bed_hmac,
				  .arg = &b};
	uint64_t id = 0x0707070707070707ull;
	enum engine_record kind;
	struct engine_stream s = {.edge = "edge1", .edge_host = "edge.test"};
	struct span r;
	int err;

	if (size < 1 || size > KEPT_MAX)
		return 0;
	kind = data[0] == 'b'	? ENGINE_RECORD_BINDING
	       : data[0] == 'i' ? ENGINE_RECORD_INVITE
				: ENGINE_RECORD_CALL;
	r = span_of(data + 1, size - 1);
	HOLD(engine_new(&c, 1000, &b.e) == 0);
	for (s.id = 1; s.id <= 2; s.id++) /* those that outlived the engine before */
		HOLD(engine_stream_open(b.e, &s) == 0);
	err = engine_restore(b.e, kind, id, r, 1000);
	if (err) {
		engine_each_medium(b.e, count_medium, &b);
		HOLD(engine_stats(b.e)->calls + engine_stats(b.e)->bindings == 0);
		HOLD(engine_stats(b.e)->transactions == 0);
		HOLD(engine_stats(b.e)->admitted == 0);
		HOLD(b.media == b.closed); /* told to be closed, or never there */
	} else {
		HOLD(engine_stats(b.e)->calls + engine_stats(b.e)->bindings ==
		     (kind != ENGINE_RECORD_INVITE));
		HOLD(engine_restore(b.e, kind, id, r, 1000) != 0); /* not twice */
	}
	bed_drain(&b);
	/* An answer, or CANCEL unless it has to wait for a provisional one. */
	HOLD(err || kind != ENGINE_RECORD_INVITE || b.sent || (r.p[0] & 3) == 1);
	bed_end(&b);
	HOLD(err || kind != ENGINE_RECORD_INVITE || b.forgot == 1);
	engine_free(b.e);
	return 0;
}
