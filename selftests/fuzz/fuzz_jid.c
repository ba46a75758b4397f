/* selftests/fuzz/fuzz_jid.c -- any bytes as a JID, and two halves of them compared.
 *
 * Held: slices lie inside and put together are the text; the comparable domain parses to itself and holds nothing but
 * lower case letters, digits, dots, hyphens and colons; the bare JID parses to the same bare JID; equality is symmetric,
 * and equal JIDs have one bare form. */
#include <errno.h>
#include <stdlib.h>

#include "xmpp/jid.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define HOLD(x)                  \
	do {                     \
		if (!(x))        \
			abort(); \
	} while (0)

static bool inside(struct span s, struct span in)
{
	return s.n == 0 || (s.p >= in.p && s.p + s.n <= in.p + in.n);
}

static bool hold_jid(struct span s, struct xmpp_jid *j, char *bare, size_t cap)
{
	char second[2048];
	enum xmpp_jid_why why = XMPP_JID_OK;
	struct xmpp_jid again;
	ssize_t n;
	size_t i;

	if (xmpp_jid_parse(s, j, &why)) {
		HOLD(why != XMPP_JID_OK && why < XMPP_JID_WHYS);
		return false;
	}
	HOLD(inside(j->local, s) && inside(j->domain, s) && inside(j->resource, s));
	HOLD(j->domain.n && j->local.n <= XMPP_PART_MAX && j->resource.n <= XMPP_PART_MAX);
	HOLD(j->local.n + (j->local.n > 0) + j->domain.n + j->resource.n + (j->resource.n > 0) ==
	     s.n);
	HOLD(j->host.n && j->host.n <= XMPP_HOST_MAX && strlen(j->host.text) == j->host.n);
	for (i = 0; i < j->host.n; i++)
		HOLD(strchr("abcdefghijklmnopqrstuvwxyz0123456789.-:", j->host.text[i]));
	n = xmpp_jid_bare(j, bare, cap);
	HOLD(n > 0 && strlen(bare) == (size_t)n);
	HOLD(xmpp_jid_parse(span_of(bare, (size_t)n), &again, &why) == 0);
	HOLD(xmpp_jid_equal_bare(j, &again) && again.resource.n == 0);
	HOLD(strcmp(again.host.text, j->host.text) == 0);
	HOLD(xmpp_jid_bare(&again, second, sizeof(second)) == n && strcmp(bare, second) == 0);
	return true;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static char a_bare[2048], b_bare[2048];
	struct span in = span_of(data, size);
	const uint8_t *nl = size ? memchr(data, '\n', size) : NULL;
	size_t cut = nl ? (size_t)(nl - data) : size;
	struct xmpp_jid a, b;
	bool is_a, is_b;

	if (size > 8192)
		return 0;
	is_a = hold_jid(span_cut(in, 0, cut), &a, a_bare, sizeof(a_bare));
	is_b = hold_jid(span_cut(in, cut + 1, size), &b, b_bare, sizeof(b_bare));
	if (!is_a || !is_b)
		return 0;
	HOLD(xmpp_jid_equal_bare(&a, &b) == xmpp_jid_equal_bare(&b, &a));
	HOLD(xmpp_jid_equal_bare(&a, &b) == (strcmp(a_bare, b_bare) == 0));
	return 0;
}
