/* selftests/unit/gate_xmpp_kit.c -- see gate_xmpp_kit.h. */
#include "selftests/unit/gate_xmpp_kit.h"

#include <stdio.h>
#include <stdlib.h>

#define HOLD(x)                  \
	do {                     \
		if (!(x))        \
			abort(); \
	} while (0)

#define WAIT_MAX \
	(16384 + \
	 64) /* bytes of one stanza that is not whole, which a stream must be able to hold */

struct run {
	const struct gate_kit *k;
	struct gate_xmpp_config c;
	struct gate_xmpp g;
	struct gate_out out;
	char *log;
	size_t n, cap, waiting;
	char last[300]; /* domain of the last forward; empty: something else came last */
};

static void kit_id(char out[GATE_XMPP_ID_MAX])
{
	snprintf(out, GATE_XMPP_ID_MAX, "1d");
}

bool gate_kit_served(void *arg, struct span domain)
{
	(void)arg;
	return span_eq(domain, SPAN("example.com")) || span_eq(domain, SPAN("example.net")) ||
	       span_eq(domain, SPAN("xn--bcher-kva.example"));
}

static void put(struct run *r, struct span s)
{
	size_t n = s.n < r->cap - 1 - r->n ? s.n : r->cap - 1 - r->n;

	if (n)
		memcpy(r->log + r->n, s.p, n);
	r->n += n;
	r->log[r->n] = '\0';
}

static void line(struct run *r, const char *word, struct span text)
{
	if (r->n)
		put(r, SPAN("\n"));
	put(r, span_str(word));
	if (text.n)
		put(r, SPAN(" "));
	put(r, text);
	r->last[0] = '\0';
}

static void forwarded(struct run *r)
{
	char domain[300];

	snprintf(domain, sizeof(domain), "%.*s", (int)r->out.domain.n, r->out.domain.p);
	HOLD(gate_kit_served(NULL, r->out.domain));
	if (strcmp(domain, r->last)) {
		line(r, "forward", r->out.domain);
		put(r, SPAN(" "));
		snprintf(r->last, sizeof(r->last), "%s", domain);
	}
	put(r, r->out.forward);
}

static void closing(struct run *r)
{
	char word[64];

	snprintf(word, sizeof(word), "close %s", gate_reason_name(r->out.reason));
	line(r, word, span_of(r->out.reply, r->out.reply_n));
}

/* One verdict on the bytes that wait, asked for twice where it is to be the same. */
static enum gate_verdict verdict(struct run *r, struct span bytes)
{
	static struct gate_out first;
	enum gate_verdict v = gate_xmpp_next(&r->g, &r->c, bytes, &r->out);

	HOLD(r->out.used <= bytes.n && r->out.reply_n <= sizeof(r->out.reply));
	HOLD(v != GATE_FORWARD || r->out.used);
	if (!r->k->twice || (v != GATE_FORWARD && r->out.reason == GATE_OK))
		return v;
	first = r->out;
	HOLD(gate_xmpp_next(&r->g, &r->c, bytes, &r->out) == v);
	HOLD(r->out.used == first.used && r->out.reason == first.reason);
	HOLD(span_eq(r->out.forward, first.forward) && span_eq(r->out.domain, first.domain));
	HOLD(r->out.may_admit == first.may_admit && r->out.may_hold == first.may_hold);
	HOLD(r->out.reply_n == first.reply_n &&
	     memcmp(r->out.reply, first.reply, first.reply_n) == 0);
	return v;
}

/* All verdicts on @bytes; the last one. */
static enum gate_verdict verdicts(struct run *r, struct span bytes)
{
	enum gate_verdict v;
	bool header;

	do {
		v = verdict(r, bytes);
		header = v == GATE_FORWARD &&
			 memmem(r->out.forward.p, r->out.forward.n, "<stream", 7);
		if (v == GATE_FORWARD && r->k->no_core) {
			gate_xmpp_refuse(&r->g, &r->c, GATE_NO_CORE, &r->out);
			v = GATE_CLOSE;
		}
		if (v == GATE_FORWARD) {
			forwarded(r);
			gate_xmpp_sent(&r->g);
		} else if (v == GATE_REPLY)
			line(r, "reply", span_of(r->out.reply, r->out.reply_n));
		else if (v == GATE_STARTTLS)
			line(r, "tls", span_of(r->out.reply, r->out.reply_n));
		else if (v == GATE_CLOSE)
			closing(r);
		if (header && !r->k->silent)
			gate_xmpp_answered(&r->g);
		bytes = span_cut(bytes, r->out.used, bytes.n);
	} while (v == GATE_FORWARD || v == GATE_REPLY);
	r->waiting = bytes.n;
	return v;
}

static enum gate_verdict phase(struct run *r, struct span all)
{
	size_t step = r->k->piece ? r->k->piece : all.n, end = 0, begin = 0;
	enum gate_verdict v = GATE_MORE;
	uint8_t *copy;

	while (v == GATE_MORE && end < all.n) {
		end = end + step < all.n ? end + step : all.n;
		copy = malloc(end - begin);
		HOLD(copy);
		memcpy(copy, all.p + begin, end - begin);
		v = verdicts(r, span_of(copy, end - begin));
		begin = end - r->waiting;
		HOLD(v != GATE_MORE || r->waiting <= WAIT_MAX);
		free(copy);
	}
	return v;
}

enum gate_verdict gate_kit_run(const struct gate_kit *k, char *log, size_t cap)
{
	struct run *r = calloc(1, sizeof(*r));
	enum gate_verdict v = GATE_STARTTLS;
	char more[32];

	HOLD(r);
	r->k = k;
	r->log = log;
	r->cap = cap;
	log[0] = '\0';
	r->c = (struct gate_xmpp_config){
		.host = SPAN("im.example.org"),
		.bytes = k->bytes ? k->bytes : 65536,
		.salt = 1,
		.served = gate_kit_served,
		.id = kit_id,
	};
	gate_xmpp_init(&r->g, &r->c);
	if (k->starttls)
		v = phase(r, k->plain);
	if (v == GATE_STARTTLS) {
		gate_xmpp_tls(&r->g, &r->c, k->sni);
		v = phase(r, k->tls);
	}
	HOLD(v != GATE_STARTTLS || k->starttls);
	if (v == GATE_MORE) {
		snprintf(more, sizeof(more), "%zu", r->waiting);
		line(r, "more", span_str(more));
	}
	HOLD(r->g.reader.heap_peak <= xmpp_limits_stranger.memory);
	gate_xmpp_fini(&r->g);
	HOLD(r->g.reader.heap == 0);
	free(r);
	return v;
}
