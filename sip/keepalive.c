/* sip/keepalive.c -- CRLF and STUN keepalives at the front of a SIP stream. See keepalive.h. */
#include "sip/keepalive.h"

#include <errno.h>

#include "sip/sip.h"

#define STUN_HEADER  20
#define STUN_MAX     128
#define STUN_COOKIE  0x2112a442u
#define STUN_XOR_MAP 0x0020

static void put16(uint8_t *p, unsigned v)
{
	p[0] = (uint8_t)(v >> 8);
	p[1] = (uint8_t)v;
}

/* Success response with XOR-MAPPED-ADDRESS (RFC 5389 sections 6 and 15.2). */
static size_t stun_answer(const uint8_t *req, const struct addr *peer, uint8_t *out)
{
	bool v4 = addr_is_v4(peer);
	size_t ip_n = v4 ? 4 : 16, i;
	const uint8_t *ip = v4 ? peer->ip + 12 : peer->ip;

	put16(out, 0x0101);
	put16(out + 2, (unsigned)(8 + ip_n));
	memcpy(out + 4, req + 4, 16);
	put16(out + 20, STUN_XOR_MAP);
	put16(out + 22, (unsigned)(4 + ip_n));
	out[24] = 0;
	out[25] = v4 ? 1 : 2;
	put16(out + 26, peer->port ^ (STUN_COOKIE >> 16));
	for (i = 0; i < ip_n; i++)
		out[28 + i] = ip[i] ^ req[4 + i]; /* cookie, then transaction id */
	return 28 + ip_n;
}

static ssize_t stun_keepalive(struct span in, const struct addr *peer, uint8_t *answer,
			      size_t *answer_n)
{
	static const uint8_t begin[8] = {0x00, 0x01, 0, 0, 0x21, 0x12, 0xa4, 0x42};
	size_t i, len;

	for (i = 0; i < in.n && i < sizeof(begin); i++)
		if (i != 2 && i != 3 && in.p[i] != begin[i])
			return 0;
	if (in.n < STUN_HEADER)
		return -EAGAIN;
	len = STUN_HEADER + (((size_t)in.p[2] << 8) | in.p[3]);
	if (len > STUN_MAX || len % 4)
		return 0;
	if (in.n < len)
		return -EAGAIN;
	*answer_n = stun_answer(in.p, peer, answer);
	return (ssize_t)len;
}

ssize_t sip_stream_keepalive(struct span in, const struct addr *peer,
			     uint8_t answer[SIP_KEEPALIVE_MAX], size_t *answer_n)
{
	bool ping = false;
	ssize_t used;

	*answer_n = 0;
	if (!in.n)
		return 0;
	if (in.p[0] == 0)
		return stun_keepalive(in, peer, answer, answer_n);
	used = sip_keepalive(in, &ping);
	if (used > 0 && ping) {
		memcpy(answer, "\r\n", 2);
		*answer_n = 2;
	}
	return used;
}
