/* selftests/fuzz/fuzz_gate_http.c -- the HTTP gate on any bytes in any pieces: it ends, consumes what is there, forwards only what the parser
 * takes, for a served domain, and says the same however the bytes are cut.
 *
 * In: first byte: size of the pieces. Out: a trap on a broken rule. */
#include <stdlib.h>

#include "user/gate_http.h"

#define HOLD(x)                  \
	do {                     \
		if (!(x))        \
			abort(); \
	} while (0)

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static bool served(void *arg, struct span d)
{
	(void)arg;
	return span_ieq(d, SPAN("example.com"));
}

/* Every verdict that there is, by the token's first letter. */
static enum http_token_verdict judge(void *arg, struct span domain, struct span text)
{
	(void)arg;
	HOLD(text.n && served(NULL, domain));
	return text.p[0] % (TOKEN_VERDICTS + 1);
}

struct run {
	size_t forwarded, heads, replies;
	enum gate_reason reason; /* of the end; GATE_OK: none */
	uint32_t hash;		 /* of what was forwarded */
};

static void hold_head(const struct gate_http_config *c, const struct gate_out *out)
{
	static struct http_head h;
	struct http_refusal why;

	HOLD(http_request_parse(out->forward, &c->limits, &h, &why) == (ssize_t)out->forward.n);
	HOLD(served(NULL, out->domain) && out->may_admit);
}

static void hold_reply(const struct gate_out *out)
{
	static struct http_head h;
	struct http_refusal why;

	HOLD(out->reply_n <= sizeof(out->reply) && out->reason != GATE_OK);
	if (out->reply_n)
		HOLD(http_response_parse(span_of(out->reply, out->reply_n), &http_limits_default,
					 &h, &why) > 0);
}

static struct run run(struct span in, size_t step)
{
	static struct gate_out out;
	const struct gate_http_config c = {.limits = {.head_max = 2048,
						      .start_max = 512,
						      .field_max = 1024,
						      .fields_max = 20,
						      .chunk_ext_max = 64,
						      .trailer_max = 128,
						      .trailer_fields = 4},
					   .requests_max = 6,
					   .served = served,
					   .token = judge,
					   .only_domain = SPAN("example.com")};
	struct gate_http g = {};
	struct run r = {.hash = 1};
	size_t at = 0, end = 0, i;
	enum gate_verdict v;

	while (end < in.n) {
		end = end + step < in.n ? end + step : in.n;
		if (end == in.n) /* what is late since it was not worth a look is judged now */
			g.tried = 0;
		do {
			v = gate_http_next(&g, &c, span_cut(in, at, end - at), &out);
			HOLD(out.used <= end - at);
			HOLD(v == GATE_MORE || v == GATE_CLOSE || out.used);
			if (v == GATE_FORWARD) {
				HOLD(!out.reply_n && out.forward.n == out.used);
				HOLD(out.domain.n || r.heads);
				if (out.domain.n) {
					hold_head(&c, &out);
					r.heads++;
				}
				for (i = 0; i < out.used; i++)
					r.hash = r.hash * 31 + out.forward.p[i];
				r.forwarded += out.used;
				gate_http_sent(&g);
			} else if (v != GATE_MORE) {
				hold_reply(&out);
				HOLD(v == GATE_CLOSE ||
				     !r.heads); /* nothing of ours stands between the core's answers */
				r.replies++;
			}
			at += out.used;
			if (v == GATE_CLOSE) {
				r.reason = out.reason;
				return r;
			}
		} while (v != GATE_MORE);
		HOLD(end - at < c.limits.head_max);
	}
	return r;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct run a, b;

	if (!size)
		return 0;
	a = run(span_of(data + 1, size - 1), size);
	b = run(span_of(data + 1, size - 1), data[0] + 1u);
	if (a.reason == GATE_DRIBBLE || b.reason == GATE_DRIBBLE)
		return 0;
	HOLD(a.forwarded == b.forwarded && a.hash == b.hash && a.heads == b.heads);
	HOLD(a.replies == b.replies && a.reason == b.reason);
	return 0;
}
