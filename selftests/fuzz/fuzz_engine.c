/* selftests/fuzz/fuzz_engine.c -- the SIP engine with a registered client: any messages of both sides in any order.
 *
 * In: records ended by 0xff. First byte: 'c' from the client, 's' from a stranger's stream, 'i' from the call server,
 * 't' time passes, 'f' ports fail from now on, 'd' the client's stream ends. In a message "\n" is CRLF and bytes 1 to
 * 5 stand for what a peer would know: our Path, the Via of our last request inwards and outwards, the two Record-Route
 * URIs. Out: a trap when something written does not parse, a trusted field passed, a medium was not closed once, or
 * something is left in the end. */
#include <stdio.h>
#include <stdlib.h>

#include "sip/engine.h"

#define MAX   8000
#define MEDIA 256
#define HOLD(x)                  \
	do {                     \
		if (!(x))        \
			abort(); \
	} while (0)

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

struct bed {
	struct engine *e;
	uint64_t now, rnd;
	bool no_ports;
	unsigned n_media;
	uint64_t media[MEDIA];
	bool closed[MEDIA];
	char known[6][600]; /* by placeholder */
	char text[MAX * 2];
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

/* Good enough to tell tokens apart; the real one is the caller's affair. */
static void bed_hmac(void *arg, struct span key, struct span data, uint8_t out[32])
{
	uint64_t h = 1469598103934665603ull;
	size_t i;

	(void)arg;
	for (i = 0; i < key.n; i++)
		h = (h ^ key.p[i]) * 1099511628211ull;
	for (i = 0; i < data.n; i++)
		h = (h ^ data.p[i]) * 1099511628211ull;
	for (i = 0; i < 32; i++) {
		h = (h ^ i) * 1099511628211ull;
		out[i] = (uint8_t)(h >> 56);
	}
}

static void bed_learn(struct bed *b, int at, const struct sip_msg *m, enum sip_hdr id, unsigned nth)
{
	const struct sip_header *h = NULL;
	unsigned i, pos = 0;

	for (i = 0; i <= nth; i++, pos++) {
		h = sip_header_find(m, id, pos, &pos);
		if (!h)
			return;
	}
	(void)span_copy(h->value, b->known[at], sizeof(b->known[at]));
}

static void bed_sent(struct bed *b, const struct engine_action *a)
{
	bool inside = a->kind == ENGINE_SEND_INSIDE;
	struct sip_msg m;
	enum sip_why why;

	if (sip_msg_parse(a->data, true, 65536, &m, &why) != (ssize_t)a->data.n) {
		fprintf(stderr, "%s:\n%.*s\n", sip_why_text(why), (int)a->data.n,
			(const char *)a->data.p);
		abort();
	}
	if (!m.request)
		return;
	HOLD(!inside || !sip_header_named(&m, SPAN("X-Trusted-Edge"), 0, NULL));
	bed_learn(b, inside ? 2 : 3, &m, SIP_H_VIA, 0);
	bed_learn(b, 1, &m, SIP_H_PATH, 0);
	bed_learn(b, 4, &m, SIP_H_RECORD_ROUTE, 0);
	bed_learn(b, 5, &m, SIP_H_RECORD_ROUTE, 1);
}

static void bed_medium(struct bed *b, const struct engine_action *a)
{
	struct engine_medium_addrs at = {};
	unsigned i;

	if (a->kind == ENGINE_MEDIUM_OPEN) {
		HOLD(b->n_media < MEDIA);
		b->media[b->n_media++] = a->medium;
		(void)addr_parse(SPAN("203.0.113.1:36000"), &at.outside_rtp);
		(void)addr_parse(SPAN("10.0.0.2:37000"), &at.inside_rtp);
		at.outside_rtcp = at.outside_rtp;
		at.inside_rtcp = at.inside_rtp;
		at.outside_rtcp.port++;
		at.inside_rtcp.port++;
		if (b->no_ports)
			engine_medium_failed(b->e, a->medium, "none", b->now);
		else
			engine_medium_opened(b->e, a->medium, &at, b->now);
		return;
	}
	for (i = 0; i < b->n_media && b->media[i] != a->medium; i++)
		;
	HOLD(i < b->n_media && !b->closed[i]);
	b->closed[i] = a->kind == ENGINE_MEDIUM_CLOSE;
}

static void bed_drain(struct bed *b)
{
	struct engine_action a;

	while (engine_next_action(b->e, &a)) {
		if (a.kind == ENGINE_SEND_STREAM || a.kind == ENGINE_SEND_INSIDE)
			bed_sent(b, &a);
		else if (a.kind == ENGINE_MEDIUM_OPEN || a.kind == ENGINE_MEDIUM_SET ||
			 a.kind == ENGINE_MEDIUM_CLOSE)
			bed_medium(b, &a);
	}
}

static void bed_time(struct bed *b, uint64_t ms)
{
	uint64_t end = b->now + ms;

	while (engine_next_due(b->e) <= end) {
		if (engine_next_due(b->e) > b->now)
			b->now = engine_next_due(b->e);
		engine_tick(b->e, b->now);
		bed_drain(b);
	}
	b->now = end;
}

static void bed_message(struct bed *b, char kind, struct span in)
{
	struct engine_inside_src src = {};
	struct sip_msg m;
	enum sip_why why;
	size_t i, o = 0;

	for (i = 0; i < in.n && o + 700 < sizeof(b->text); i++) {
		uint8_t c = in.p[i];

		if (c >= 1 && c <= 5)
			o += (size_t)snprintf(b->text + o, 600, "%s", b->known[c]);
		else if (c == '\n')
			b->text[o++] = '\r', b->text[o++] = '\n';
		else
			b->text[o++] = (char)c;
	}
	/* As a datagram, so that a mutated length does not end every message. */
	if (sip_msg_parse(span_of(b->text, o), false, sizeof(b->text), &m, &why) <= 0)
		return;
	(void)addr_parse(SPAN("10.0.0.5:5060"), &src.from);
	if (kind == 'i')
		engine_inside_recv(b->e, &src, &m, b->now);
	else
		engine_stream_recv(b->e, kind == 'c' ? 1 : 2, &m, b->now);
	bed_drain(b);
}

static void bed_stream(struct bed *b, uint64_t id)
{
	struct engine_stream s = {
		.id = id, .edge = "e", .edge_host = "edge.test", .edge_port = 5061};

	(void)addr_parse(SPAN("198.51.100.1:4000"), &s.client);
	(void)engine_stream_open(b->e, &s);
}

#define REG                                                                         \
	"From: <sip:alice@stand.test>;tag=1\nTo: <sip:alice@stand.test>\nCall-ID: " \
	"r\nMax-Forwards: 70\n"                                                     \
	"Contact: <sip:alice@192.168.1.9>;expires=600\n"

static void bed_register(struct bed *b)
{
	bed_message(b, 'c',
		    SPAN("REGISTER sip:stand.test SIP/2.0\nVia: SIP/2.0/TLS "
			 "a;branch=z9hG4bK1\nCSeq: 1 REGISTER\n" REG "\n"));
	bed_message(b, 'i',
		    SPAN("SIP/2.0 401 No\nVia: \2\nVia: SIP/2.0/TLS a;branch=z9hG4bK1\nCSeq: 1 "
			 "REGISTER\n"
			 "WWW-Authenticate: Digest realm=\"s\", nonce=\"n\"\n" REG "\n"));
	bed_message(b, 'c',
		    SPAN("REGISTER sip:stand.test SIP/2.0\nVia: SIP/2.0/TLS "
			 "a;branch=z9hG4bK2\nCSeq: 2 REGISTER\n"
			 "Authorization: Digest username=\"alice\", realm=\"s\", nonce=\"n\", "
			 "uri=\"sip:s\", response=\"x\"\n" REG "\n"));
	bed_message(b, 'i',
		    SPAN("SIP/2.0 200 OK\nVia: \2\nVia: SIP/2.0/TLS a;branch=z9hG4bK2\nCSeq: 2 "
			 "REGISTER\n" REG "\n"));
	HOLD(engine_stats(b->e)->admitted == 1);
}

static void bed_record(struct bed *b, struct span r)
{
	switch (r.p[0]) {
	case 'c':
	case 's':
	case 'i':
		bed_message(b, (char)r.p[0], span_cut(r, 1, MAX));
		break;
	case 't':
		bed_time(b, r.n > 1 ? r.p[1] * 200ull : 0);
		break;
	case 'f':
		b->no_ports = !b->no_ports;
		break;
	case 'd':
		engine_stream_closed(b->e, 1, b->now);
		bed_drain(b);
		break;
	default:
		break;
	}
}

static void bed_end(struct bed *b)
{
	unsigned i;

	engine_stream_closed(b->e, 1, b->now);
	engine_stream_closed(b->e, 2, b->now);
	bed_drain(b);
	bed_time(b, 40000);
	for (i = 0; i < b->n_media; i++)
		engine_medium_silent(b->e, b->media[i], b->now);
	bed_time(b, 16000000);
	HOLD(engine_stats(b->e)->transactions == 0 && engine_stats(b->e)->calls == 0 &&
	     engine_stats(b->e)->streams == 0);
	HOLD(engine_next_due(b->e) == UINT64_MAX || engine_stats(b->e)->bindings > 0);
	for (i = 0; i < b->n_media; i++)
		HOLD(b->closed[i]);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const char *const domains[] = {"stand.test"};
	static const char *const trusted[] = {"X-Trusted-Edge"};
	const struct engine_server server = {.name = "s",
					     .transport = ENGINE_UDP,
					     .domains = domains,
					     .n_domains = 1,
					     .trusted_headers = trusted,
					     .n_trusted_headers = 1,
					     .pass = size % 2};
	struct bed b = {.now = 1000, .rnd = 1};
	struct engine_config c = {
		.core_name = "c",
		.inside_host = "10.0.0.2",
		.inside_port = 5070,
		.servers = &server,
		.n_servers = 1,
		.token_key = SPAN("0123456789abcdef0123456789abcdef"),
		.bindings_max = 10,
		.calls_max = 10,
		.calls_user_max = 5,
		.transactions_max = 100,
		.message_max = MAX * 2,
		.random = bed_random,
		.hmac = bed_hmac,
		.arg = &b,
	};
	struct span in = span_of(data, size);

	HOLD(engine_new(&c, b.now, &b.e) == 0);
	bed_stream(&b, 1);
	bed_stream(&b, 2);
	bed_register(&b);
	while (in.n && b.n_media + 8 < MEDIA) {
		const uint8_t *end = memchr(in.p, 0xff, in.n);
		struct span r = span_cut(in, 0, end ? (size_t)(end - in.p) : in.n);

		in = span_cut(in, r.n + 1, in.n);
		if (r.n)
			bed_record(&b, r);
	}
	bed_end(&b);
	engine_free(b.e);
	return 0;
}
