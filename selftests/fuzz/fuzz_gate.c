/* selftests/fuzz/fuzz_gate.c -- the gate on any bytes in any pieces: it ends, consumes what is there, forwards only what the parser takes.
 *
 * In: first byte: size of the pieces. Out: a trap on a broken rule. */
#include <stdlib.h>

#include "user/gate_sip.h"

#define MAX 4096
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

/* Whatever is forwarded reads the same on the next hop: one whole message that may come from somebody unknown. */
static void hold_forward(const struct gate_out *out)
{
	struct sip_msg m;
	enum sip_why why;

	HOLD(sip_msg_parse(out->forward, true, MAX, &m, &why) == (ssize_t)out->forward.n);
	HOLD(m.request && (m.method == SIP_M_REGISTER) == out->may_admit && !out->reply_n);
	HOLD(m.method == SIP_M_REGISTER || m.method == SIP_M_OPTIONS || m.method == SIP_M_ACK ||
	     m.method == SIP_M_BYE);
	HOLD(!out->domain.n || served(NULL, out->domain));
	HOLD(out->domain.n || m.method == SIP_M_ACK || m.method == SIP_M_BYE);
}

static void hold_reply(const struct gate_out *out)
{
	struct sip_msg m;
	enum sip_why why;

	HOLD(out->reply_n <= sizeof(out->reply));
	if (out->reply_n && out->reason == GATE_UNSERVED) {
		HOLD(sip_msg_parse(span_of(out->reply, out->reply_n), true, sizeof(out->reply), &m,
				   &why) == (ssize_t)out->reply_n);
		HOLD(!m.request && m.status == 403);
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static struct gate_out out;
	const struct gate_sip_config c = {
		.host = SPAN("sip.example.com"), .message_max = MAX, .served = served};
	struct gate_sip g = {};
	size_t at = 0, end = 0, step;
	enum gate_verdict v;

	if (!size)
		return 0;
	step = data[0] + 1u;
	data++;
	size--;
	addr_parse(SPAN("192.0.2.7:40000"), &g.client);
	while (end < size) {
		end = end + step < size ? end + step : size;
		do {
			v = gate_sip_next(&g, &c, span_of(data + at, end - at), &out);
			HOLD(out.used <= end - at);
			HOLD(v == GATE_MORE || v == GATE_CLOSE || out.used);
			at += out.used;
			if (v == GATE_FORWARD)
				hold_forward(&out);
			hold_reply(&out);
			if (v == GATE_CLOSE) {
				HOLD(out.reason != GATE_OK);
				return 0;
			}
		} while (v != GATE_MORE && at < end);
	}
	return 0;
}
