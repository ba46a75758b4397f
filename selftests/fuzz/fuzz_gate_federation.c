/* selftests/fuzz/fuzz_gate_federation.c -- the gate between servers on any bytes: every split gives the same verdict, and what it lets
 * through reads, for the server behind it, as a header or ClientHello for the domain that it said.
 *
 * In: the first bytes of a connection. Out: a trap on a broken rule. */
#include <stdio.h>
#include <stdlib.h>

#include "user/gate_federation.h"

#define MAX 20000
#define HOLD(x)                  \
	do {                     \
		if (!(x))        \
			abort(); \
	} while (0)

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static bool served(void *arg, struct span d)
{
	(void)arg;
	return span_eq(d, SPAN("example.com"));
}

static void id(char out[GATE_XMPP_ID_MAX])
{
	snprintf(out, GATE_XMPP_ID_MAX, "1d");
}

static const struct gate_xmpp_config config = {.host = {(const uint8_t *)"im.example.org", 14},
					       .bytes = 65536,
					       .salt = 1,
					       .served = served,
					       .id = id};

/* All of @in in pieces of @step. */
static enum gate_verdict run(struct span in, size_t step, struct gate_out *out)
{
	const struct stream_service *v = &gate_federation_service;
	struct gate_federation *g = calloc(1, v->gate_size);
	enum gate_verdict verdict = GATE_MORE;
	size_t n = 0;

	HOLD(g && v->init(g, &config, NULL) == 0);
	while (verdict == GATE_MORE && n < in.n) {
		n = n + step < in.n ? n + step : in.n;
		verdict = v->next(g, &config, span_cut(in, 0, n), out);
		HOLD(verdict == GATE_MORE || verdict == GATE_FORWARD || verdict == GATE_CLOSE);
		HOLD(verdict == GATE_FORWARD ? out->used == n : out->used == 0);
		HOLD(verdict != GATE_CLOSE || (out->reason != GATE_OK && out->reply_n));
	}
	v->fini(g);
	HOLD(g->reader.heap == 0);
	free(g);
	return verdict;
}

/* A second look at what was let through. */
static void hold_forward(struct span in, const char *alpn)
{
	const struct xmpp_setup setup = {
		.role = XMPP_INITIATING, .server = true, .limits = xmpp_limits_known, .salt = 2};
	struct tls_hello h = {};
	struct xmpp_domain d;
	struct xmpp_reader r;
	struct xmpp_event e;
	enum xmpp_jid_why jid_why;
	const char *why;

	if (*alpn) {
		HOLD(tls_hello_parse(in, &h, &why) > 0);
		HOLD(xmpp_domain_parse(h.sni, &d, &jid_why) == 0);
	} else {
		xmpp_reader_init(&r, &setup);
		HOLD(xmpp_reader_next(&r, in, &e) == XMPP_OPEN);
		d = e.to;
		xmpp_reader_fini(&r);
	}
	HOLD(served(NULL, xmpp_domain_span(&d)));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static struct gate_out out, again;
	struct span in = span_of(data, size);
	enum gate_verdict v;

	if (size > MAX)
		return 0;
	v = run(in, MAX, &out);
	if (v == GATE_FORWARD)
		hold_forward(in, out.alpn);
	HOLD(run(in, 1, &again) == v);
	HOLD(v == GATE_MORE || again.reason == out.reason);
	HOLD(v != GATE_CLOSE ||
	     (again.reply_n == out.reply_n && !memcmp(again.reply, out.reply, out.reply_n)));
	return 0;
}
