/* selftests/fuzz/fuzz_uri.c -- any bytes as a URI, and two halves of them compared.
 *
 * Held: slices lie inside; a URI equals itself and equality is symmetric; the address of record parses again, is its own address
 * of record, and holds no control character; equal URIs have equal addresses of record. */
#include <errno.h>
#include <stdlib.h>

#include "selftests/unit/sip_spans.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define HOLD(x)                  \
	do {                     \
		if (!(x))        \
			abort(); \
	} while (0)

static ssize_t hold_aor(const struct sip_uri *u, char *aor, size_t cap)
{
	struct sip_uri again;
	char second[8192];
	ssize_t n = sip_uri_aor(u, aor, cap), i;

	if (n < 0)
		return n;
	HOLD(aor[n] == 0 && strlen(aor) == (size_t)n);
	for (i = 0; i < n; i++)
		HOLD(aor[i] > ' ' && aor[i] < 0x7f);
	HOLD(sip_uri_parse(span_of(aor, (size_t)n), &again) == 0);
	HOLD(again.port == 0 || !(u->is_sip || u->is_sips));
	HOLD(sip_uri_aor(&again, second, sizeof(second)) == n &&
	     memcmp(aor, second, (size_t)n) == 0);
	return n;
}

static void hold_params(struct span params)
{
	struct span rest = params;
	struct sip_param p, q;
	int r;

	while ((r = sip_param_next(&rest, &p)) == 1) {
		HOLD(span_inside(p.name, params) && span_inside(p.value, params) && p.name.n);
		HOLD(sip_param_find(params, p.name, &q) && span_eq(p.value, q.value));
	}
	HOLD(r == 0);
}

static bool hold_uri(struct span s, struct sip_uri *u, char *aor, size_t cap, ssize_t *n)
{
	if (sip_uri_parse(s, u))
		return false;
	HOLD(uri_inside(u, s) && sip_uri_equal(u, u));
	HOLD(!(u->is_sip || u->is_sips) || u->host.n);
	hold_params(u->params);
	*n = hold_aor(u, aor, cap);
	return true;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static char a_text[8192], b_text[8192];
	struct span in = span_of(data, size);
	const uint8_t *nl = size ? memchr(data, '\n', size) : NULL;
	size_t cut = nl ? (size_t)(nl - data) : size;
	struct sip_uri a, b;
	struct sip_addr addr;
	ssize_t an, bn;
	bool is_a, is_b;

	if (size > 4096)
		return 0;
	if (sip_addr_parse(in, &addr) == 0)
		HOLD(addr_inside(&addr, in));
	is_a = hold_uri(span_cut(in, 0, cut), &a, a_text, sizeof(a_text), &an);
	is_b = hold_uri(span_cut(in, cut + 1, size), &b, b_text, sizeof(b_text), &bn);
	if (!is_a || !is_b)
		return 0;
	HOLD(sip_uri_equal(&a, &b) == sip_uri_equal(&b, &a));
	if (sip_uri_equal(&a, &b) && an > 0 && bn > 0)
		HOLD(an == bn && memcmp(a_text, b_text, (size_t)an) == 0);
	return 0;
}
