/* user/punch.c -- build and check the punch datagram. See punch.h for its form and its rules.
 *
 * In: flow, counter, key; or a datagram. Out: 68 bytes; or a verdict. There is one layout and no other is read: both ends are ours,
 * and what cannot vary cannot be misread. Pure functions, no owner. */
#include "user/punch.h"

#include <errno.h>

#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>

#define HEADER	   20
#define ATTR	   12 /* type, length, 8 bytes */
#define INTEGRITY  24 /* type, length, 20 bytes */
#define PUNCH_SIZE (HEADER + 2 * ATTR + INTEGRITY)

static const uint8_t head[8] = {0x00, 0x01, 0x00, PUNCH_SIZE - HEADER, 0x21, 0x12, 0xa4, 0x42};
static const uint8_t attr_flow[4] = {0xc5, 0xa0, 0x00, 0x08};
static const uint8_t attr_counter[4] = {0xc5, 0xa1, 0x00, 0x08};
static const uint8_t attr_integrity[4] = {0x00, 0x08, 0x00, 0x14};

static void put64(uint8_t *p, uint64_t v)
{
	int i;

	for (i = 7; i >= 0; i--, v >>= 8)
		p[i] = (uint8_t)v;
}

static uint64_t get64(const uint8_t *p)
{
	uint64_t v = 0;
	int i;

	for (i = 0; i < 8; i++)
		v = v << 8 | p[i];
	return v;
}

/* RFC 5389 section 15.4: over all before the attribute, with the header's length including it. */
static int integrity(const uint8_t *p, const uint8_t key[PUNCH_KEY_LEN], uint8_t out[20])
{
	unsigned n = 0;

	if (!HMAC(EVP_sha1(), key, PUNCH_KEY_LEN, p, PUNCH_SIZE - INTEGRITY, out, &n) || n != 20)
		return -EIO;
	return 0;
}

size_t punch_build(const struct punch *p, const uint8_t key[PUNCH_KEY_LEN],
		   const uint8_t transaction[12], uint8_t buf[PUNCH_MAX])
{
	memcpy(buf, head, sizeof(head));
	memcpy(buf + 8, transaction, 12);
	memcpy(buf + HEADER, attr_flow, 4);
	put64(buf + HEADER + 4, p->flow);
	memcpy(buf + HEADER + ATTR, attr_counter, 4);
	put64(buf + HEADER + ATTR + 4, p->counter);
	memcpy(buf + HEADER + 2 * ATTR, attr_integrity, 4);
	if (integrity(buf, key, buf + PUNCH_SIZE - 20))
		return 0;
	return PUNCH_SIZE;
}

int punch_parse(struct span in, struct punch *out)
{
	if (in.n != PUNCH_SIZE || memcmp(in.p, head, sizeof(head)) ||
	    memcmp(in.p + HEADER, attr_flow, 4) || memcmp(in.p + HEADER + ATTR, attr_counter, 4) ||
	    memcmp(in.p + HEADER + 2 * ATTR, attr_integrity, 4))
		return -EBADMSG;
	out->flow = get64(in.p + HEADER + 4);
	out->counter = get64(in.p + HEADER + ATTR + 4);
	return 0;
}

int punch_verify(struct span in, const uint8_t key[PUNCH_KEY_LEN])
{
	struct punch p;
	uint8_t want[20];

	if (punch_parse(in, &p) || integrity(in.p, key, want))
		return -EKEYREJECTED;
	return CRYPTO_memcmp(want, in.p + PUNCH_SIZE - 20, 20) ? -EKEYREJECTED : 0;
}
