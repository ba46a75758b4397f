/* selftests/fuzz/fuzz_gate_xmpp.c -- the chat gate on any bytes: it ends, every split gives the same verdicts, and only headers, white space
 * and SASL are forwarded.
 *
 * In: first byte: bit 0: STARTTLS first, bit 1: SNI; a NUL ends what comes before TLS. Out: a trap on a broken rule. */
#include <stdio.h>
#include <stdlib.h>

#include "selftests/unit/gate_xmpp_kit.h"

#define LOG (1 << 18)

#define HOLD(x)                  \
	do {                     \
		if (!(x))        \
			abort(); \
	} while (0)

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static char log[LOG], again[LOG];
	struct gate_kit k = {.twice = true};
	enum gate_verdict v;
	struct span in;
	const uint8_t *end;

	if (!size)
		return 0;
	k.starttls = data[0] & 1;
	if (data[0] & 2)
		k.sni = SPAN("example.net");
	in = span_of(data + 1, size - 1);
	end = in.n ? memchr(in.p, 0, in.n) : NULL;
	if (k.starttls && end) {
		k.plain = span_cut(in, 0, (size_t)(end - in.p));
		k.tls = span_cut(in, k.plain.n + 1, in.n);
	} else {
		*(k.starttls ? &k.plain : &k.tls) = in;
	}
	v = gate_kit_run(&k, log, sizeof(log));
	/* Whether bytes behind <starttls/> were read with it depends on the split, and on nothing else. */
	if (v == GATE_CLOSE && strstr(log, "close starttls-injection"))
		return 0;
	k.piece = 1;
	HOLD(gate_kit_run(&k, again, sizeof(again)) == v);
	HOLD(strcmp(log, again) == 0);
	k.piece = 1 + (size_t)data[0] / 4;
	HOLD(gate_kit_run(&k, again, sizeof(again)) == v);
	HOLD(strcmp(log, again) == 0);
	return 0;
}
