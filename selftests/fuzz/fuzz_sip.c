/* selftests/fuzz/fuzz_sip.c -- any bytes as a SIP message, stream and datagram.
 *
 * Held: consumed bytes and slices lie inside the input; any prefix of an accepted message is "need more"; the bytes behind it do
 * not matter; a copy written header by header parses to the same fields. */
#include <errno.h>
#include <stdlib.h>

#include "selftests/unit/sip_spans.h"
#include "sip/sip.h"
#include "sip/write.h"

#define MAX 16384

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define HOLD(x)                  \
	do {                     \
		if (!(x))        \
			abort(); \
	} while (0)

static struct sip_msg msg, copy;

/* Something that differs from input to input, so that the cuts do. */
static size_t data_hash(struct span in)
{
	size_t h = in.n, i;

	for (i = 0; i < in.n; i += 7)
		h = h * 31 + in.p[i];
	return h;
}

static void hold_values(const struct sip_header *h)
{
	struct span rest = h->value, token, realm;
	struct sip_auth auth;
	struct sip_addr a;
	struct sip_via v;
	char text[512];
	ssize_t n;

	while (sip_token_next(&rest, &token) == 1)
		HOLD(span_inside(token, h->value) && token.n);
	rest = h->value;
	while (sip_addr_next(&rest, &a) == 1)
		HOLD(addr_inside(&a, h->value));
	rest = h->value;
	while (sip_via_next(&rest, &v) == 1)
		HOLD(via_inside(&v, h->value));
	if (sip_auth_parse(h->value, &auth) == 0 && sip_auth_param(&auth, SPAN("realm"), &realm))
		HOLD(span_inside(realm, h->value));
	n = sip_unfold(h->value, text, sizeof(text));
	HOLD(n < 0 || (text[n] == 0 && !memchr(text, '\n', (size_t)n)));
}

static void hold_copy(void)
{
	static uint8_t buf[2 * MAX];
	struct sip_out o;
	enum sip_why why;
	ssize_t n;
	unsigned i;

	sip_out_init(&o, buf, sizeof(buf));
	sip_out_span(&o, msg.start_line);
	sip_out_span(&o, SPAN("\r\n"));
	for (i = 0; i < msg.n_headers; i++)
		if (msg.headers[i].id != SIP_H_CONTENT_LENGTH)
			sip_out_span(&o, msg.headers[i].line);
	n = sip_out_body(&o, msg.body);
	HOLD(n > 0);
	/* A datagram may have 128 header fields without a Content-Length. */
	if (msg.n_headers == SIP_HEADERS_MAX)
		return;
	HOLD(sip_msg_parse(span_of(buf, (size_t)n), true, sizeof(buf), &copy, &why) == n);
	HOLD(copy.method == msg.method && copy.status == msg.status && copy.cseq == msg.cseq);
	HOLD(copy.request == msg.request && copy.max_forwards == msg.max_forwards);
	HOLD(span_eq(copy.call_id, msg.call_id) && span_eq(copy.from_tag, msg.from_tag));
	HOLD(span_eq(copy.to_tag, msg.to_tag) && span_eq(copy.via.branch, msg.via.branch));
	HOLD(span_eq(copy.from.uri.whole, msg.from.uri.whole) && span_eq(copy.body, msg.body));
}

static void hold_accepted(struct span in, bool stream, ssize_t n)
{
	static const unsigned parts[] = {0, 1, 3, 5, 7};
	size_t used = (size_t)n, i, cut;
	enum sip_why why;

	HOLD(used <= in.n && msg.whole.n <= used && msg.n_headers >= 5);
	HOLD(msg.whole.p + msg.whole.n == in.p + used && msg_inside(&msg, in));
	for (i = 0; i < msg.n_headers; i++)
		hold_values(&msg.headers[i]);
	hold_copy();
	if (!stream)
		return;
	HOLD(sip_msg_parse(span_cut(in, 0, used), true, MAX, &copy, &why) == n);
	for (i = 0; i < sizeof(parts) / sizeof(parts[0]); i++) {
		cut = used * parts[i] / 8 + (parts[i] ? data_hash(in) % 8 : 0);
		if (cut >= used)
			cut = used - 1;
		HOLD(sip_msg_parse(span_cut(in, 0, cut), true, MAX, &copy, &why) == -EAGAIN);
	}
	HOLD(sip_msg_parse(span_cut(in, 0, used - 1), true, MAX, &copy, &why) == -EAGAIN);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct span in = span_of(data, size);
	int mode;

	for (mode = 0; mode < 2; mode++) {
		enum sip_why why = SIP_OK;
		bool ping;
		ssize_t n = sip_msg_parse(in, mode, MAX, &msg, &why), k = sip_keepalive(in, &ping);

		HOLD(k == -EAGAIN || (k >= 0 && (size_t)k <= size));
		if (n > 0)
			hold_accepted(in, mode, n);
		else if (n == -EAGAIN)
			HOLD(mode && size <= 2 * MAX);
		else
			HOLD((n == -EBADMSG || n == -E2BIG) && why != SIP_OK && why < SIP_WHYS);
	}
	return 0;
}
