/* selftests/bpf/user.c -- the same packet tables through the rung on sockets, and what only that rung has to show.
 *
 * No BPF is needed. Rows that a socket cannot express are named and counted, and what happens to them instead is checked. Prints a line
 * a group and `user: N passed, N failed, N skipped`. Exit: 0, 1, or 77 where namespaces or TAP devices are not to be had. */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "selftests/bpf/relay.h"
#include "selftests/bpf/rig_user.h"
#include "selftests/bpf/rig_wire.h"

#define FIRST 800 /* bytes of UDP in the first fragment: a multiple of 8 */

static struct spec large(const struct rig *r, int fam)
{
	struct spec s = {.src = r->client[fam], .dst = r->outside[fam], .body_len = 1200};

	s.dst.port = RIG_OUTSIDE + FLOW_LATCHED;
	memcpy(s.src_mac, "\2\0\0\0\11\1", 6);
	memcpy(s.dst_mac, "\2\0\0\0\11\2", 6);
	return s;
}

static void sum4(uint8_t *ip)
{
	uint32_t sum = 0;

	memset(ip + 10, 0, 2);
	for (int i = 0; i < 20; i += 2)
		sum += (uint32_t)ip[i] << 8 | ip[i + 1];
	sum = (sum & 0xffff) + (sum >> 16);
	sum = ~(sum + (sum >> 16));
	ip[10] = (uint8_t)(sum >> 8);
	ip[11] = (uint8_t)sum;
}

/* The part of @frame's UDP from @at on as a fragment of its own. Returns its length. */
static size_t fragment(const uint8_t *frame, size_t n, bool v6, size_t at, uint8_t *out)
{
	size_t head = v6 ? 54 : 34, extra = v6 ? 8 : 0, part = n - head - at;
	uint16_t field;

	if (at + FIRST < n - head && part > FIRST)
		part = FIRST;
	memcpy(out, frame, head);
	memcpy(out + head + extra, frame + head + at, part);
	if (v6) {
		const uint8_t h[8] = {17, 0, (uint8_t)(at >> 8), (uint8_t)(at | !at), 0, 0, 0, 7};

		memcpy(out + head, h, 8);
		out[18] = (uint8_t)((part + 8) >> 8);
		out[19] = (uint8_t)(part + 8);
		out[20] = 44;
	} else {
		field = (uint16_t)(at / 8 | (at ? 0 : 0x2000));
		out[16] = (uint8_t)((part + 20) >> 8);
		out[17] = (uint8_t)(part + 20);
		out[19] ^= 1; /* the rows have left fragments behind */
		out[20] = (uint8_t)(field >> 8);
		out[21] = (uint8_t)field;
		sum4(out + 14);
	}
	return head + extra + part;
}

/* The stack puts a datagram together again, and says that it did: the BPF rungs drop at its first fragment. */
static void story_fragments(struct rig *r, int fam)
{
	struct spec s = large(r, fam);
	uint8_t frame[FRAME_MAX], part[FRAME_MAX];
	struct rig_result got = {0};
	size_t n = frame_build(&s, frame);

	check(!rig_run(r, part, fragment(frame, n, fam, 0, part), &got) && got.reason == -1,
	      "first fragment: nothing yet");
	check(!rig_run(r, part, fragment(frame, n, fam, FIRST, part), &got) &&
		      got.reason == R_DROP_FRAGMENT && !got.n,
	      "IPv%d, whole datagram: %d", fam ? 6 : 4, got.reason);
	check(!rig_run(r, frame, n, &got) && got.reason == R_FORWARD_IN, "unfragmented: %d",
	      got.reason);
	totals.cases += 3;
}

/* A port in the range never answers, with a flow or without; one beside it is the stack's, which does. */
static void story_silence(struct rig *r, int fam)
{
	struct spec s = large(r, fam);
	struct rig_result got;
	unsigned before = wire_icmp();
	uint8_t none[FRAME_MAX];
	enum rig_hop hop;

	s.dst.port = RIG_OUTSIDE + RIG_FLOWS;
	check(send_one(r, &s, &got) == R_DROP_SLOT_OFF, "no flow");
	s.dst.port = RIG_OUTSIDE + FLOW_NO_CORE;
	check(send_one(r, &s, &got) == R_DROP_NO_CORE, "no core");
	s.src = r->stranger[fam];
	check(send_one(r, &s, &got) == R_DROP_LATCHED, "stranger");
	check(wire_icmp() == before, "silent");
	s.src = r->client[fam];
	s.dst.port = RIG_OUTSIDE + RIG_RANGE;
	wire_route(&s.src, HOP_FAR);
	check(send_one(r, &s, &got) == -1 && !wire_out(none, &hop) && wire_icmp() == before + 1,
	      "beside the range: port unreachable");
}

static void story(struct rig *r, const char *name, void (*run)(struct rig *r, int fam))
{
	struct totals before = totals;

	for (int fam = 0; fam < 2; fam++) {
		rig_reset(r);
		run(r, fam);
	}
	printf("bpf user %-12s %3u packets, %u checks failed\n", name, totals.cases - before.cases,
	       totals.failed - before.failed);
}

int main(void)
{
	struct rig rig = {0};

	setvbuf(stdout, NULL, _IOLBF, 0);
	if (rig_user_open(&rig)) {
		printf("user: 0 passed, 0 failed, 1 skipped\n");
		return 77;
	}
	tables_run(&rig);
	story(&rig, "fragments", story_fragments);
	story(&rig, "silence", story_silence);
	rig_user_close(&rig);
	printf("user: %u packets; %u rows and stories more that a socket cannot express\n",
	       totals.cases, totals.not_applicable);
	printf("user: %u passed, %u failed, 0 skipped\n", totals.passed, totals.failed);
	return totals.failed ? 1 : 0;
}
