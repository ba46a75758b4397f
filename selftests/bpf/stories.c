/* selftests/bpf/stories.c -- sequences: windows, updates, slots used again, bans, interfaces, two CPUs at one latch. */
#include <errno.h>
#include <linux/bpf.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "selftests/bpf/relay.h"

#define SECOND 1000000000ull
#define RACES  200

static struct spec inward(const struct rig *r, int fam, enum rig_flow flow, uint16_t port)
{
	struct spec s = {.src = r->client[fam], .dst = r->outside[fam]};

	s.src.port = port;
	s.dst.port = (uint16_t)(RIG_OUTSIDE + flow);
	return s;
}

static struct spec outward(const struct rig *r, int fam, enum rig_flow flow)
{
	struct spec s = {.src = r->core[fam], .dst = r->inside[fam]};

	s.dst.port = (uint16_t)(RIG_INSIDE + flow);
	return s;
}

static void expect(struct rig *r, const char *step, const struct spec *s, enum relay_reason want)
{
	struct rig_result got = {0};
	int why = send_one(r, s, &got);

	check(why == (int)want, "%s: %s, wanted %s", step,
	      why < 0 ? "none or several" : maps_reason_name((unsigned)why),
	      maps_reason_name(want));
	if (want <= R_FORWARD_OUT)
		check(frame_checksums_right(got.frame, got.n, s->no_checksum), "%s: checksum",
		      step);
}

static struct maps_flow_report report(struct rig *r, uint32_t slot)
{
	struct maps_flow_report rep = {0};

	check(!maps_flow_read(r->maps, slot, &rep), "flow %u is on", slot);
	return rep;
}

static void story_window(struct rig *r, int fam)
{
	uint32_t slot = (uint32_t)fam * RIG_RANGE + FLOW_FRESH;
	struct spec a = inward(r, fam, FLOW_FRESH, 5004), b = inward(r, fam, FLOW_FRESH, 5010),
		    c = inward(r, fam, FLOW_FRESH, 5020), out = outward(r, fam, FLOW_FRESH);
	struct rig_result got;

	expect(r, "outwards before", &out, R_DROP_NOT_LATCHED);
	expect(r, "a latches", &a, R_FORWARD_IN);
	expect(r, "b is refused", &b, R_DROP_LATCHED);
	check(send_one(r, &out, &got) == R_FORWARD_OUT, "outwards to a");
	check(!maps_flow_reopen(r->maps, slot, rig_now() + 10 * SECOND), "reopen");
	expect(r, "a passes the open window", &a, R_FORWARD_IN);
	check(report(r, slot).window_open, "a did not close it");
	expect(r, "b takes the leg", &b, R_FORWARD_IN);
	check(report(r, slot).latched.port == 5010 && !report(r, slot).window_open,
	      "the leg is b's");
	expect(r, "a is refused", &a, R_DROP_LATCHED);
	expect(r, "c is refused", &c, R_DROP_LATCHED);
	expect(r, "outwards to b", &out, R_FORWARD_OUT);
	check(!maps_flow_reopen(r->maps, slot, rig_now() - SECOND / 10), "reopen in the past");
	expect(r, "c comes late", &c, R_DROP_LATCHED);
	check(report(r, slot).packets_in == 3 && report(r, slot).packets_out == 2,
	      "counters of both legs");
}

static void story_update(struct rig *r, int fam)
{
	uint32_t slot = (uint32_t)fam * RIG_RANGE + FLOW_NO_CORE;
	struct spec in = inward(r, fam, FLOW_NO_CORE, 5004), out = outward(r, fam, FLOW_NO_CORE);
	struct maps_flow_report rep;
	struct maps_flow f;

	expect(r, "before the punch", &in, R_DROP_NO_CORE);
	check(!maps_flow_get(r->maps, slot, &f), "get");
	f.core = r->core[fam];
	check(!maps_flow_update(r->maps, slot, &f), "core known");
	expect(r, "after the punch", &in, R_FORWARD_IN);
	expect(r, "and back", &out, R_FORWARD_OUT);
	f.core.port++;
	check(!maps_flow_update(r->maps, slot, &f), "core moves");
	expect(r, "its old port", &out, R_DROP_CORE);
	out.src.port++;
	expect(r, "its new port", &out, R_FORWARD_OUT);
	f.nh_in = HOP_NONE;
	check(!maps_flow_update(r->maps, slot, &f), "gateway lost");
	expect(r, "no gateway", &in, R_DROP_NO_NEXT_HOP);
	check(report(r, slot).packets_in == 1 && report(r, slot).latched.port == 5004,
	      "latch and counters stayed");
	f.client = fam ? rig_addr("2001:db8:f::8", 0) : rig_addr("198.51.100.9", 0);
	f.nh_in = HOP_FAR;
	check(!maps_flow_update(r->maps, slot, &f) &&
		      !maps_flow_reopen(r->maps, slot, rig_now() + 10 * SECOND),
	      "client moves");
	expect(r, "pinned source still passes", &in, R_FORWARD_IN);
	in.src = f.client;
	in.src.port = 6000;
	expect(r, "new address takes the leg", &in, R_FORWARD_IN);
	rep = report(r, slot);
	check(addr_eq(&rep.latched, &in.src), "latched to the new address");
}

static void story_slot(struct rig *r, int fam)
{
	uint32_t slot = (uint32_t)fam * RIG_RANGE + FLOW_LATCHED;
	struct spec in = inward(r, fam, FLOW_LATCHED, 5004),
		    other = inward(r, fam, FLOW_LATCHED, 7000);
	struct maps_flow f;

	expect(r, "first call", &in, R_FORWARD_IN);
	check(!maps_flow_get(r->maps, slot, &f), "get");
	check(maps_flow_install(r->maps, slot, &f) == -EEXIST, "slot is on");
	maps_flow_free(r->maps, slot);
	expect(r, "after the call", &in, R_DROP_SLOT_OFF);
	check(maps_flow_get(r->maps, slot, &f) == -ENOENT, "no flow");
	f.id = 9000 + slot;
	check(!maps_flow_install(r->maps, slot, &f), "second call");
	check(!report(r, slot).packets_in && !report(r, slot).latched.port, "starts empty");
	expect(r, "another port latches", &other, R_FORWARD_IN);
	expect(r, "the first call's does not", &in, R_DROP_LATCHED);
	f.client = r->client[!fam];
	maps_flow_free(r->maps, slot);
	check(maps_flow_install(r->maps, slot, &f) == -EINVAL, "client of the other family");
	check(maps_flow_install(r->maps, RIG_PAIRS * RIG_RANGE, &f) == -EINVAL,
	      "slot out of range");
}

static void story_ban(struct rig *r, int fam)
{
	struct spec media = inward(r, fam, FLOW_LATCHED, 5004), dns = media, syn = media, ack, http;
	unsigned len = fam ? 48 : 24;

	dns.dst.port = 53;
	syn.dst.port = RIG_SIP;
	syn.proto = IPPROTO_TCP;
	syn.tcp_flags = TH_SYN;
	ack = syn;
	ack.tcp_flags = TH_ACK;
	http = syn;
	http.dst.port = 80;
	expect(r, "syn", &syn, R_PASS_NOT_UDP);
	check(!maps_ban_set(r->maps, &r->client[fam], len, rig_now() + 60 * SECOND), "ban");
	expect(r, "syn, banned", &syn, R_DROP_BAN_TCP);
	expect(r, "ack of a connection, banned", &ack, R_PASS_NOT_UDP);
	expect(r, "syn to a port not ours, banned", &http, R_PASS_NOT_UDP);
	ack.tcp_flags = TH_SYN | TH_ACK;
	expect(r, "syn+ack, banned", &ack, R_PASS_NOT_UDP);
	expect(r, "udp without a flow, banned", &dns, R_DROP_BAN_UDP);
	expect(r, "latched flow, banned", &media, R_FORWARD_IN);
	media.dst.port = RIG_OUTSIDE + RIG_FLOWS;
	expect(r, "port without a flow, banned", &media, R_DROP_SLOT_OFF);
	dns.src = fam ? rig_addr("2001:db8:e::1", 53) : rig_addr("198.51.101.1", 53);
	expect(r, "outside the prefix", &dns, R_PASS_NO_FLOW);
	check(!maps_ban_set(r->maps, &r->client[fam], len, rig_now() - SECOND), "ban of the past");
	expect(r, "syn, ban over", &syn, R_PASS_NOT_UDP);
	check(!maps_ban_clear(r->maps, &r->client[fam], len), "clear");
	expect(r, "syn, cleared", &syn, R_PASS_NOT_UDP);
	check(maps_ban_set(r->maps, &r->client[fam], fam ? 129 : 33, 0) == -EINVAL,
	      "prefix too long");
	check(maps_ban_clear(r->maps, &r->client[fam], len) == -ENOENT, "nothing to clear");
}

static void story_interface(struct rig *r, int fam)
{
	struct spec in = inward(r, fam, FLOW_LATCHED, 5004), out = outward(r, fam, FLOW_LATCHED),
		    stun = out;
	uint32_t side = (uint32_t)fam * 2;

	stun.body = BODY_STUN_REQUEST;
	r->kind->interface(r, side, 5);
	r->kind->interface(r, side + 1, 5);
	expect(r, "inwards by the wrong interface", &in, R_DROP_INTERFACE);
	expect(r, "outwards by the wrong interface", &out, R_DROP_INTERFACE);
	expect(r, "punch by the wrong interface", &stun, R_DROP_INTERFACE);
	r->kind->interface(r, side, 0);
	r->kind->interface(r, side + 1, RIG_LO);
	expect(r, "any interface", &in, R_FORWARD_IN);
	expect(r, "the right interface", &out, R_FORWARD_OUT);
	r->kind->interface(r, side, RIG_LO);
}

/* Send the frame with @word as its last two bytes. Returns the UDP checksum that was emitted; counts a wrong one. */
static uint16_t sum_try(struct rig *r, uint8_t *frame, size_t n, size_t udp, uint16_t word,
			unsigned *bad)
{
	uint16_t be = htons(word), none = 0, emitted;
	struct rig_result got;

	memcpy(frame + n - 2, &be, 2);
	memcpy(frame + udp + 6, &none, 2);
	frame_udp_check(frame, udp);
	if (r->kind->fire(r, frame, n, &got) || got.verdict != XDP_REDIRECT ||
	    !frame_checksums_right(got.frame, got.n, false))
		++*bad;
	memcpy(&emitted, got.frame + udp + 6, 2);
	return ntohs(emitted);
}

/* Checksums over many payloads. The sum is linear in the last word: the word that equals the checksum emitted for 0 is the
 * one whose checksum comes out as 0, and has to be sent as 0xffff (RFC 768). */
static void story_sums(struct rig *r, int fam)
{
	struct spec in = inward(r, fam, FLOW_LATCHED, 5004);
	size_t udp = fam ? 54 : 34, n;
	uint8_t frame[FRAME_MAX];
	unsigned bad = 0;
	uint16_t zero;

	in.body_len = 174;
	n = frame_build(&in, frame);
	for (unsigned i = 0; i < 65536; i += 13)
		sum_try(r, frame, n, udp, (uint16_t)i, &bad);
	zero = sum_try(r, frame, n, udp, 0, &bad);
	sum_try(r, frame, n, udp, (uint16_t)(zero - 1), &bad);
	check(sum_try(r, frame, n, udp, zero, &bad) == 0xffff, "a sum of 0 is sent as 0xffff");
	sum_try(r, frame, n, udp, (uint16_t)(zero + 1), &bad);
	check(!bad, "%u of 5046 checksums wrong", bad);
}

struct racer {
	struct rig *r;
	struct spec s;
	pthread_barrier_t *start;
	int forwarded;
};

static void *race_run(void *arg)
{
	struct racer *me = arg;
	struct rig_result got;
	uint8_t frame[FRAME_MAX];
	size_t n = frame_build(&me->s, frame);

	pthread_barrier_wait(me->start);
	if (!me->r->kind->fire(me->r, frame, n, &got))
		me->forwarded = got.verdict == XDP_REDIRECT;
	return NULL;
}

/* Two sources at one fresh leg at the same instant: one of them has it. */
static void story_race(struct rig *r, int fam)
{
	unsigned bad = 0;

	for (int i = 0; i < RACES; i++) {
		uint32_t slot = (uint32_t)fam * RIG_RANGE + FLOW_FRESH;
		struct racer racers[2];
		struct maps_flow_report rep;
		pthread_barrier_t start;
		pthread_t t[2];

		rig_flow(r, fam, FLOW_FRESH);
		pthread_barrier_init(&start, NULL, 2);
		for (int k = 0; k < 2; k++) {
			racers[k] = (struct racer){
				.r = r,
				.s = inward(r, fam, FLOW_FRESH, (uint16_t)(5004 + k)),
				.start = &start};
			pthread_create(&t[k], NULL, race_run, &racers[k]);
		}
		for (int k = 0; k < 2; k++)
			pthread_join(t[k], NULL);
		pthread_barrier_destroy(&start);
		rep = report(r, slot);
		bad += racers[0].forwarded + racers[1].forwarded != 1;
		bad += !racers[rep.latched.port & 1].forwarded || rep.packets_in != 1;
	}
	check(!bad, "%u of %d races without one winner", bad, RACES);
}

/* What came back is ICMP @type, @code from our address to the sender, told @mtu, and quotes the packet's beginning. */
static void told_check(const struct rig *r, const struct spec *s, const struct rig_result *got,
		       int fam, uint32_t mtu)
{
	size_t ip = fam ? 40 : 20, quoted = ip + 8, n = 14 + ip + 8 + quoted;
	uint8_t sent[FRAME_MAX];
	uint32_t told;

	frame_build(s, sent);
	check(got->verdict == XDP_REDIRECT && got->n == n, "answer of %zu bytes, wanted %zu",
	      got->n, n);
	check(!memcmp(got->frame, sent + 6, 6) && !memcmp(got->frame + 6, sent, 6) &&
		      !memcmp(got->frame + 12, sent + 12, 2),
	      "ethernet turned round");
	check(!memcmp(got->frame + (fam ? 22 : 26), s->dst.ip + (fam ? 0 : 12), fam ? 16 : 4) &&
		      !memcmp(got->frame + (fam ? 38 : 30), s->src.ip + (fam ? 0 : 12),
			      fam ? 16 : 4),
	      "addresses turned round");
	check(got->frame[14 + ip] == (fam ? 2 : 3) && got->frame[15 + ip] == (fam ? 0 : 4),
	      "type and code");
	memcpy(&told, got->frame + 14 + ip + 4, 4);
	check(ntohl(told) == mtu, "told an MTU of %u, wanted %u", ntohl(told), mtu);
	if (r->kind->quotes_sum) /* that checksum is another: bpf/tc_relay.bpf.c says why */
		quoted -= 2;
	check(!memcmp(got->frame + 14 + ip + 8, sent + 14, quoted), "quotes the packet");
	check(frame_icmp_right(got->frame, got->n), "checksums");
}

/* A kernel of 100 Hz ticks every 10 ms, and one answer a tick is allowed. */
static void tick_wait(void)
{
	const struct timespec nap = {.tv_nsec = 25000000};

	nanosleep(&nap, NULL);
}

static void story_too_big(struct rig *r, int fam)
{
	struct spec in = inward(r, fam, FLOW_NARROW, 5004), out = outward(r, fam, FLOW_NARROW),
		    other = in;
	struct rig_result got;
	unsigned told = 0;

	in.frag = out.frag = 0x4000;
	memcpy(in.src_mac, "\2\0\0\0\11\1", 6);
	memcpy(in.dst_mac, "\2\0\0\0\11\2", 6);
	tick_wait();
	check(send_one(r, &in, &got) == R_TOLD_TOO_BIG, "told inwards");
	told_check(r, &in, &got, fam, RIG_MTU);
	tick_wait();
	check(send_one(r, &out, &got) == R_TOLD_TOO_BIG, "told outwards");
	told_check(r, &out, &got, fam, RIG_MTU);
	tick_wait();
	in.body_len = 1400;
	check(send_one(r, &in, &got) == R_TOLD_TOO_BIG, "told of a large one");
	told_check(r, &in, &got, fam, RIG_MTU);
	for (int i = 0; i < 2000; i++)
		told += !r->kind->fire(r, got.frame, frame_build(&in, got.frame), &got) &&
			got.verdict == XDP_REDIRECT;
	check(told < 1000, "answers are limited: %u of 2000", told);
	other.src.port++;
	expect(r, "nothing is told to other sources", &other, R_DROP_LATCHED);
	check(!report(r, (uint32_t)fam * RIG_RANGE + FLOW_NARROW).packets_in,
	      "not counted as carried");
	in = inward(r, fam + 2, FLOW_NARROW,
		    5004); /* across families: what fits behind the longer or shorter header */
	in.frag = 0x4000;
	in.body_len = 300;
	tick_wait();
	check(send_one(r, &in, &got) == R_TOLD_TOO_BIG, "told across families");
	told_check(r, &in, &got, fam, fam ? RIG_MTU + 20 : RIG_MTU - 20);
}

/* As a core uses it: one source known from the start, which may change; no punches, so that STUN requests end. */
static void story_pinned(struct rig *r, int fam)
{
	uint32_t slot = (uint32_t)fam * RIG_RANGE + FLOW_FRESH;
	struct spec in = inward(r, fam, FLOW_FRESH, 5004), out = outward(r, fam, FLOW_FRESH),
		    stun = in;
	struct maps_flow f;
	struct rig_result got;

	check(!maps_flow_get(r->maps, slot, &f), "get");
	maps_flow_free(r->maps, slot);
	f.client.port = 5004;
	f.pinned = true;
	f.note = (struct maps_note){
		.medium = 0x1122334455667788u, .client = r->stranger[fam], .edge = 7, .flags = 9};
	f.note.client.port = 0;
	check(!maps_flow_install(r->maps, slot, &f), "install");
	check(report(r, slot).latched.port == 5004 && !report(r, slot).window_open,
	      "has the leg before its first packet");
	check(send_one(r, &out, &got) == R_FORWARD_OUT, "outwards at once");
	expect(r, "inwards", &in, R_FORWARD_IN);
	in.src.port++;
	expect(r, "not its port", &in, R_DROP_LATCHED);
	f.client.port++;
	check(!maps_flow_update(r->maps, slot, &f), "update");
	expect(r, "its new port", &in, R_FORWARD_IN);
	in.src.port--;
	expect(r, "its old port", &in, R_DROP_LATCHED);
	check(report(r, slot).packets_in == 2 && report(r, slot).packets_out == 1,
	      "counters stayed");
	memset(&f, 0, sizeof(f));
	check(!maps_flow_get(r->maps, slot, &f) && f.note.medium == 0x1122334455667788u &&
		      f.note.edge == 7 && f.note.flags == 9 &&
		      addr_ip_eq(&f.note.client, &r->stranger[fam]),
	      "the note is as it was");
	stun.body = BODY_STUN_REQUEST;
	stun.src.port++;
	expect(r, "stun on an edge", &stun, R_FORWARD_IN);
	f.pinned = f.no_stun = true;
	check(!maps_flow_update(r->maps, slot, &f), "no punches");
	expect(r, "stun inwards on a core", &stun, R_DROP_SHAPE);
	out.body = BODY_STUN_REQUEST;
	expect(r, "stun outwards on a core", &out, R_DROP_SHAPE);
	out.body = BODY_STUN_ANSWER;
	expect(r, "a stun answer", &out, R_FORWARD_OUT);
}

/* An inside party that sends from elsewhere than it said: one such source, until another party is named. */
static void story_loose(struct rig *r, int fam)
{
	uint32_t slot = (uint32_t)fam * RIG_RANGE + FLOW_LATCHED;
	struct spec named = outward(r, fam, FLOW_LATCHED), first = named, second = named;
	struct maps_flow_report rep;
	struct maps_flow f;

	first.src.port += 2;
	second.src = r->stranger[fam];
	second.src.port = named.src.port;
	expect(r, "strict", &first, R_DROP_CORE);
	check(!maps_flow_get(r->maps, slot, &f) && !f.loose, "get");
	f.loose = true;
	check(!maps_flow_update(r->maps, slot, &f), "update");
	check(!maps_flow_get(r->maps, slot, &f) && f.loose, "is loose");
	expect(r, "the named source", &named, R_FORWARD_OUT);
	check(!report(r, slot).inside.port, "it is not learned");
	expect(r, "the first other", &first, R_FORWARD_OUT);
	rep = report(r, slot);
	check(addr_eq(&rep.inside, &first.src), "that is");
	expect(r, "the second other", &second, R_DROP_CORE);
	expect(r, "the first again", &first, R_FORWARD_OUT);
	expect(r, "the named one still", &named, R_FORWARD_OUT);
	check(!maps_flow_update(r->maps, slot, &f), "update, nothing new");
	expect(r, "the second still not", &second, R_DROP_CORE);
	f.core.port += 4;
	check(!maps_flow_update(r->maps, slot, &f), "another party");
	check(!report(r, slot).inside.port, "forgotten");
	expect(r, "the second now", &second, R_FORWARD_OUT);
	expect(r, "the first no more", &first, R_DROP_CORE);
	named.src.port += 4;
	expect(r, "the new party", &named, R_FORWARD_OUT);
	f.core.port = 0;
	check(!maps_flow_update(r->maps, slot, &f), "nobody");
	expect(r, "nobody is named, nobody passes", &second, R_DROP_NO_CORE);
}

const struct story stories[] = {
	{"window", story_window}, {"update", story_update},	  {"slot", story_slot},
	{"ban", story_ban},	  {"interface", story_interface}, {"sums", story_sums},
	{"race", story_race},	  {"too big", story_too_big},	  {"pinned", story_pinned},
	{"loose", story_loose},	  {"quality", story_quality},
};
const unsigned stories_n = sizeof(stories) / sizeof(stories[0]);
