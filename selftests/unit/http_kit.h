/* selftests/unit/http_kit.h -- one direction of a connection, fed in any cuts, and a transcript of what the HTTP code made
 * of it.
 *
 * In: bytes, in as many pieces as the caller likes, then the end. Out: text, a message each, equal for equal bytes however
 * they were cut; in the words of tools/parse. Heads are kept until they are whole, bodies are not. Shared by the unit
 * tests and the fuzz target. */
#ifndef SALLYPORT_HTTP_KIT_H
#define SALLYPORT_HTTP_KIT_H

#include "http/write.h"

#define HTTP_KIT_TEXT 4096
#define HTTP_KIT_HEAD 65536

struct http_kit {
	bool request, retry; /* retry: ask http_head_retry() before a head is parsed again */
	struct http_asked asked;
	struct http_limits limits;
	/* called for each head that was accepted (may be NULL) */
	void (*head)(struct http_kit *k, const struct http_head *h, struct span whole);

	char text[HTTP_KIT_TEXT];   /* "accept consumed=... | refuse ..." */
	char detail[HTTP_KIT_TEXT]; /* the same with refusals in full and a sum over the content */
	size_t text_n, detail_n;
	unsigned messages;
	bool in_body, stopped; /* after a refusal nothing more is read */
	ssize_t head_n;
	struct http_body body;
	uint32_t sum;
	uint8_t pending[HTTP_KIT_HEAD]; /* of a head */
	size_t n, tried;
};

void http_kit_init(struct http_kit *k, bool request, enum http_method asked);
void http_kit_feed(struct http_kit *k, struct span in);
/* The connection ends: what is incomplete becomes a refusal. */
void http_kit_end(struct http_kit *k);
/* Write @h anew and read that: NULL if it came out the same, else what differs. A request of HTTP/1.0 without Host cannot
 * be written. */
const char *http_kit_rewrite(const struct http_head *h);
/* Every slice of @h lies in @whole. */
bool http_kit_inside(const struct http_head *h, struct span whole);

#endif
