/* selftests/bpf/quality.c -- RTP packets in a row through a relay, and what its records then say of loss, order and jitter.
 *
 * Each step is one packet and the whole account after it, both ways. Arrival is the real clock's, so jitter is only asked what no delay of
 * this machine can change: is it known, is it far below or far above a minute's worth of deviation. Exact jitter: test_quality.c. */
#include "selftests/bpf/relay.h"

#include <stdio.h>
#include <string.h>

#define SSRC_A	 0x11223344u
#define SSRC_B	 0xa0b0c0d0u
#define PCMU	 0   /* 8,000 Hz */
#define EVENT	 101 /* no clock */
#define LONG_AGO 0xffffff60u
#define LARGE_NS 8000000000ull /* D at its limit counts for 137 s / 16 */

enum jitter { J_NONE, J_SMALL, J_LARGE, J_SAME };

struct step {
	const char *name;
	enum body body;
	uint16_t seq;
	uint32_t ts, ssrc;
	uint8_t type;
	uint32_t received, expected, lost, reordered, duplicates, restarts;
	enum jitter jitter;
};

static const struct step steps[] = {
	{"the first", BODY_RTP, 65533, LONG_AGO, SSRC_A, PCMU, 1, 1, 0, 0, 0, 0, J_SMALL},
	{"the next", BODY_RTP, 65534, LONG_AGO + 160, SSRC_A, PCMU, 2, 2, 0, 0, 0, 0, J_SMALL},
	{"RTCP", BODY_RTCP, 0, 0, 0, 0, 2, 2, 0, 0, 0, 0, J_SAME},
	{"RTCP, empty", BODY_RTCP_8, 0, 0, 0, 0, 2, 2, 0, 0, 0, 0, J_SAME},
	{"STUN", BODY_STUN_ANSWER, 0, 0, 0, 0, 2, 2, 0, 0, 0, 0, J_SAME},
	{"DTLS", BODY_DTLS, 0, 0, 0, 0, 2, 2, 0, 0, 0, 0, J_SAME},
	{"both counters wrap, two lost", BODY_RTP, 1, 480, SSRC_A, PCMU, 3, 5, 2, 0, 0, 0, J_SMALL},
	{"one of them late", BODY_RTP, 0, 320, SSRC_A, PCMU, 4, 5, 1, 1, 0, 0, J_SMALL},
	{"and again", BODY_RTP, 0, 320, SSRC_A, PCMU, 5, 5, 1, 1, 1, 0, J_SMALL},
	{"the highest again", BODY_RTP, 1, 480, SSRC_A, PCMU, 6, 5, 1, 1, 2, 0, J_SMALL},
	{"from before the wrap", BODY_RTP, 65535, 160, SSRC_A, PCMU, 7, 5, 0, 2, 2, 0, J_SMALL},
	{"a wild one", BODY_RTP, 20000, 0, SSRC_A, PCMU, 7, 5, 0, 2, 2, 0, J_SAME},
	{"back to order", BODY_RTP, 2, 640, SSRC_A, PCMU, 8, 6, 0, 2, 2, 0, J_SMALL},
	{"a jump", BODY_RTP, 30000, 800, SSRC_A, PCMU, 8, 6, 0, 2, 2, 0, J_SAME},
	{"a jump, confirmed", BODY_RTP, 30001, 960, SSRC_A, PCMU, 9, 7, 0, 2, 2, 1, J_SAME},
	{"ahead by 2,999", BODY_RTP, 33000, 1120, SSRC_A, PCMU, 10, 3006, 2998, 2, 2, 1, J_SMALL},
	{"very late", BODY_RTP, 32901, 960, SSRC_A, PCMU, 11, 3006, 2997, 3, 2, 1, J_SMALL},
	{"so late that nobody knows", BODY_RTP, 32901, 960, SSRC_A, PCMU, 12, 3006, 2996, 4, 2, 1,
	 J_SMALL},
	{"too late", BODY_RTP, 32900, 960, SSRC_A, PCMU, 12, 3006, 2996, 4, 2, 1, J_SAME},
	{"another source", BODY_RTP, 7, 0xffffffb0, SSRC_B, PCMU, 13, 3007, 2996, 4, 2, 2, J_SMALL},
	{"its timestamp wraps", BODY_RTP, 8, 80, SSRC_B, PCMU, 14, 3008, 2996, 4, 2, 2, J_SMALL},
	{"its timestamp leaps", BODY_RTP, 9, 8000080, SSRC_B, PCMU, 15, 3009, 2996, 4, 2, 2,
	 J_LARGE},
	{"a key is pressed", BODY_RTP, 10, 8000080, SSRC_B, EVENT, 16, 3010, 2996, 4, 2, 2, J_NONE},
	{"speech again", BODY_RTP, 11, 1, SSRC_B, PCMU, 17, 3011, 2996, 4, 2, 2, J_LARGE},
	{"and a third source", BODY_RTP, 500, 99, SSRC_A, PCMU, 18, 3012, 2996, 4, 2, 3, J_SMALL},
};

static void header(const struct step *p, uint8_t rtp[12])
{
	uint16_t seq = htons(p->seq);
	uint32_t ts = htonl(p->ts), ssrc = htonl(p->ssrc);

	rtp[0] = 0x80;
	rtp[1] = p->type;
	memcpy(rtp + 2, &seq, 2);
	memcpy(rtp + 4, &ts, 4);
	memcpy(rtp + 8, &ssrc, 4);
}

static bool jitter_is(const struct quality *q, enum jitter want, uint64_t before)
{
	switch (want) {
	case J_NONE:
		return !q->timed && !q->jitter_ns;
	case J_SMALL:
		return q->timed && q->jitter_ns < LARGE_NS;
	case J_LARGE:
		return q->timed && q->jitter_ns >= LARGE_NS;
	default:
		return q->timed && q->jitter_ns == before;
	}
}

static void account_check(const char *way, const struct step *p, const struct quality *q,
			  uint64_t before)
{
	check(q->heard && !q->mixed && q->received == p->received && q->expected == p->expected &&
		      q->lost == p->lost && q->reordered == p->reordered &&
		      q->duplicates == p->duplicates && q->restarts == p->restarts,
	      "%s, %s: received %u of %u, lost %u, reordered %u, duplicates %u, restarts %u", way,
	      p->name, q->received, q->expected, q->lost, q->reordered, q->duplicates, q->restarts);
	check(jitter_is(q, p->jitter, before), "%s, %s: jitter %llu ns, known %d", way, p->name,
	      (unsigned long long)q->jitter_ns, q->timed);
}

static void one_way(struct rig *r, int fam, bool outwards)
{
	uint32_t slot = (uint32_t)fam * RIG_RANGE + FLOW_LATCHED;
	struct spec s = {.src = r->client[fam], .dst = r->outside[fam]};
	struct maps_flow_report rep = {0};
	struct rig_result got;
	uint8_t rtp[12];
	uint64_t before = 0;

	s.src.port = 5004;
	s.dst.port = RIG_OUTSIDE + FLOW_LATCHED;
	if (outwards) {
		s.src = r->core[fam];
		s.dst = r->inside[fam];
		s.dst.port = RIG_INSIDE + FLOW_LATCHED;
	}
	for (size_t i = 0; i < sizeof(steps) / sizeof(steps[0]); i++) {
		const struct step *p = &steps[i];

		header(p, rtp);
		s.body = p->body;
		s.rtp = p->body == BODY_RTP ? rtp : NULL;
		check(send_one(r, &s, &got) == (outwards ? R_FORWARD_OUT : R_FORWARD_IN),
		      "%s is forwarded", p->name);
		check(!maps_flow_read(r->maps, slot, &rep), "read");
		account_check(outwards ? "outwards" : "inwards", p, outwards ? &rep.out : &rep.in,
			      before);
		before = (outwards ? &rep.out : &rep.in)->jitter_ns;
	}
}

void story_quality(struct rig *r, int fam)
{
	static const uint32_t clocks[] = {FLOW_CLOCK(96, 48000), FLOW_CLOCK(PCMU, 8000)};
	uint32_t slot = (uint32_t)fam * RIG_RANGE + FLOW_LATCHED;
	struct spec refused = {.src = r->stranger[fam], .dst = r->outside[fam]};
	struct maps_flow_report rep = {0};
	struct rig_result got;

	check(!maps_flow_clocks(r->maps, slot, clocks, 2, clocks, 2), "clocks");
	one_way(r, fam, false);
	check(!maps_flow_read(r->maps, slot, &rep) && !rep.out.heard, "nothing came outwards yet");
	one_way(r, fam, true);
	refused.dst.port = RIG_OUTSIDE + FLOW_LATCHED;
	check(send_one(r, &refused, &got) == R_DROP_LATCHED, "a stranger's packet");
	check(!maps_flow_read(r->maps, slot, &rep) && rep.in.received == 18, "does not count");
	check(!maps_flow_clocks(r->maps, slot, NULL, 0, clocks, 1), "no clocks");
	check(!maps_flow_read(r->maps, slot, &rep) && !rep.in.timed && !rep.out.timed,
	      "no clock, no jitter");
}
