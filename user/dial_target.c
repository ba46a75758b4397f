/* user/dial_target.c -- see dial_target.h. */
#include "user/dial_target.h"

#include <string.h>

static bool in(const struct addr *a, const uint8_t *prefix, unsigned bits)
{
	unsigned i, n = bits / 8, rest = bits % 8;

	for (i = 0; i < n; i++)
		if (a->ip[i] != prefix[i])
			return false;
	return !rest || ((a->ip[n] ^ prefix[n]) & (0xff00 >> rest) & 0xff) == 0;
}

/* Addresses are 16 bytes, IPv4 mapped; prefix lengths count from the first of them. */
#define V4(a, b, bits)                                                        \
	{                                                                     \
		{0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, a, b}, 96 + (bits) \
	}

struct range {
	uint8_t prefix[16];
	unsigned bits;
};

static bool in_one(const struct addr *a, const struct range *r, size_t n)
{
	size_t i;

	for (i = 0; i < n; i++)
		if (in(a, r[i].prefix, r[i].bits))
			return true;
	return false;
}

bool dial_target_allowed(const struct addr *a, bool private_too)
{
	static const struct range never[] = {
		V4(0, 0, 8),	    /* this host */
		V4(127, 0, 8),	    /* loopback */
		V4(169, 254, 16),   /* link-local */
		V4(224, 0, 4),	    /* multicast */
		V4(240, 0, 4),	    /* reserved, and broadcast */
		{{0xfe, 0x80}, 10}, /* link-local */
		{{0xff}, 8},	    /* multicast */
	};
	static const struct range private[] = {
		V4(10, 0, 8),
		V4(172, 16, 12),
		V4(192, 168, 16),
		V4(100, 64, 10),
		{{0xfc}, 7},		     /* unique local */
		{{0xfe, 0xc0}, 10},	     /* site-local, as it once was */
		{{0, 0x64, 0xff, 0x9b}, 32}, /* NAT64: it leads to any IPv4 address */
		{{0x20, 0x02}, 16},	     /* and so does 6to4 */
	};
	static const uint8_t zero[12];

	/* ::, ::1 and IPv4-compatible; mapped ones are in the tables */
	if (memcmp(a->ip, zero, sizeof(zero)) == 0)
		return false;
	if (in_one(a, never, sizeof(never) / sizeof(never[0])))
		return false;
	return private_too || !in_one(a, private, sizeof(private) / sizeof(private[0]));
}

static uint64_t next_random(uint64_t *x)
{
	/* xorshift64: only to spread load */
	*x ^= *x << 13;
	*x ^= *x >> 7;
	*x ^= *x << 17;
	return *x;
}

void dial_target_order(struct dns_target *t, unsigned n, uint64_t random)
{
	struct dns_target tmp;
	unsigned i, j, k, sum, pick;

	random |= 1;
	for (i = 0; i < n; i++) {
		/* Best priority of what is left, and the sum of its weights; one more each, so that 0 is not never. */
		for (sum = 0, k = i, j = i; j < n; j++)
			if (t[j].priority < t[k].priority)
				k = j;
		for (j = i; j < n; j++)
			sum += t[j].priority == t[k].priority ? t[j].weight + 1u : 0;
		pick = (unsigned)(next_random(&random) % sum);
		for (j = i; t[j].priority != t[k].priority || pick > t[j].weight; j++)
			pick -= t[j].priority == t[k].priority ? t[j].weight + 1u : 0;
		tmp = t[i];
		t[i] = t[j];
		t[j] = tmp;
	}
}
