/* selftests/fuzz/fuzz_http.c -- any bytes as one direction of an HTTP connection, as requests and as responses.
 *
 * Held: however the bytes are cut, heads, framing, content and refusals are the same; slices lie inside their head; an
 * accepted head written anew reads the same. Once with the default limits and once with small ones, so that those are met. */
#include <stdlib.h>

#include "selftests/unit/http_kit.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define HOLD(x)                  \
	do {                     \
		if (!(x))        \
			abort(); \
	} while (0)

static const struct http_limits small = {
	.head_max = 192,
	.start_max = 48,
	.field_max = 40,
	.fields_max = 5,
	.chunk_ext_max = 8,
	.trailer_max = 24,
	.trailer_fields = 2,
};

static struct http_kit whole, cut;

/* Something that differs from input to input, so that the cuts do. */
static uint32_t data_hash(const uint8_t *data, size_t size)
{
	uint32_t h = (uint32_t)size + 1;
	size_t i;

	for (i = 0; i < size; i++)
		h = h * 31 + data[i];
	return h ? h : 1;
}

static void hold_head(struct http_kit *k, const struct http_head *h, struct span in)
{
	unsigned i;

	(void)k;
	HOLD(http_kit_inside(h, in));
	HOLD(http_kit_rewrite(h) == NULL);
	HOLD(!(h->chunked && (h->has_length || h->minor == 0)));
	for (i = 0; i < h->n_fields; i++)
		(void)http_hop_by_hop(h, &h->fields[i]);
	if (h->request)
		HOLD(http_websocket_request(h) != HTTP_WS_OK || http_asked(h).upgrade);
	else
		(void)http_websocket_response(h);
	(void)http_expect(h);
}

static void start(struct http_kit *k, bool request, enum http_method asked,
		  const struct http_limits *limits)
{
	http_kit_init(k, request, asked);
	k->limits = *limits;
}

/* Pieces of 1..@max bytes. */
static void cut_feed(const uint8_t *data, size_t size, size_t max, uint32_t seed)
{
	size_t at = 0, n;

	while (at < size) {
		seed = seed * 1664525u + 1013904223u;
		n = 1 + (seed >> 8) % max;
		n = n < size - at ? n : size - at;
		http_kit_feed(&cut, span_of(data + at, n));
		at += n;
	}
	http_kit_end(&cut);
}

static void hold_cuts(const uint8_t *data, size_t size, bool request, enum http_method asked,
		      const struct http_limits *limits)
{
	uint32_t seed = data_hash(data, size);
	int i;

	start(&whole, request, asked, limits);
	whole.head = hold_head;
	http_kit_feed(&whole, span_of(data, size));
	http_kit_end(&whole);
	for (i = 0; i < 3; i++) {
		start(&cut, request, asked, limits);
		/* Byte by byte without it costs the square of the length. */
		cut.retry = i == 1 || size > 256;
		cut_feed(data, size, i == 0 ? 1 : i == 1 ? 16 : 1 + size / 3, seed + (uint32_t)i);
		HOLD(strcmp(whole.detail, cut.detail) == 0);
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	if (size > 4096)
		return 0;
	hold_cuts(data, size, true, HTTP_M_OTHER, &http_limits_default);
	hold_cuts(data, size, true, HTTP_M_OTHER, &small);
	hold_cuts(data, size, false, HTTP_M_GET, &http_limits_default);
	hold_cuts(data, size, false, HTTP_M_HEAD, &http_limits_default);
	hold_cuts(data, size, false, HTTP_M_CONNECT, &http_limits_default);
	hold_cuts(data, size, false, HTTP_M_GET, &small);
	return 0;
}
