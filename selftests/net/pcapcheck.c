/* selftests/net/pcapcheck.c -- is every media packet on a wire SRTP under a negotiated key, and does it hide the audio?
 *
 *   pcapcheck --ports LO-HI [--ports ..] [--min-packets N] [--min-flows N] [--baresip-from A.B.C.D ..] --keys FILE PCAP...
 *
 * In: pcap files as tcpdump writes them (Ethernet), and the keys that the calls negotiated, a line `SUITE BASE64` each. Out: a JSON
 * object; exit 0 only if every UDP packet with a port in a range is STUN, or RTP or RTCP that is authentic under exactly one of
 * the keys, always the same for a flow, and if ciphertext equals the clear payload in no more bytes than chance would (n/256
 * plus five standard deviations). baresip 1.0.0 sends two RTCP packets in clear: an APP "PING" before its SRTP context exists and
 * a BYE after it is gone; these, and no others, are let off (and counted) from the addresses of --baresip-from. Everything is
 * bounded by the tables below; too many flows or keys is an error. */
#include <arpa/inet.h>
#include <errno.h>
#include <getopt.h>
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "selftests/net/srtpkit.h"

#define KEYS_MAX   64
#define FLOWS_MAX  128
#define RANGES_MAX 8
#define FRAME_MAX  4096

struct flow {
	uint32_t src, dst, ssrc;
	uint16_t sport, dport;
	srtp_t session[KEYS_MAX]; /* made when first needed */
	int key;		  /* index of the only one that fits; -1: none yet */
	uint64_t rtp, rtcp, bytes, equal;
	struct kit_meter meter;
};

struct check {
	struct kit_key keys[KEYS_MAX];
	unsigned n_keys;
	struct flow flows[FLOWS_MAX];
	unsigned n_flows;
	uint16_t lo[RANGES_MAX], hi[RANGES_MAX];
	unsigned n_ranges;
	uint32_t baresip[RANGES_MAX];
	unsigned n_baresip;
	uint64_t frames, plain_rtcp, stun, not_media, no_key, many_keys, key_changed, repeated,
		min_packets, min_flows;
};

static void die(const char *what, const char *arg)
{
	fprintf(stderr, "pcapcheck: %s %s\n", what, arg);
	exit(2);
}

static bool in_range(const struct check *c, uint16_t port)
{
	unsigned i;

	for (i = 0; i < c->n_ranges; i++)
		if (port >= c->lo[i] && port <= c->hi[i])
			return true;
	return false;
}

static struct flow *flow_of(struct check *c, const struct flow *want)
{
	struct flow *f;
	unsigned i;

	for (i = 0; i < c->n_flows; i++) {
		f = &c->flows[i];
		if (f->src == want->src && f->dst == want->dst && f->sport == want->sport &&
		    f->dport == want->dport && f->ssrc == want->ssrc)
			return f;
	}
	if (c->n_flows == FLOWS_MAX)
		die("too many flows in", "the capture");
	f = &c->flows[c->n_flows++];
	*f = *want;
	f->key = -1;
	return f;
}

/* One key on one packet, on a copy. The clear packet is left in @out. */
static srtp_err_status_t try_key(struct check *c, struct flow *f, unsigned k, const uint8_t *p,
				 size_t n, uint8_t *out, int *out_n)
{
	if (!f->session[k] && kit_session(&c->keys[k], true, &f->session[k]))
		die("libsrtp2 refuses a key of suite", c->keys[k].suite);
	memcpy(out, p, n);
	*out_n = (int)n;
	if (kit_is_rtcp(p, n))
		return srtp_unprotect_rtcp(f->session[k], out, out_n);
	return srtp_unprotect(f->session[k], out, out_n);
}

static void compare(struct flow *f, const uint8_t *wire, const uint8_t *clear, size_t n)
{
	size_t h = kit_rtp_header(clear, n), i;

	if (!h)
		return;
	for (i = h; i < n; i++)
		f->equal += wire[i] == clear[i];
	f->bytes += n - h;
	if ((clear[1] & 127) == 0)
		kit_meter_add(&f->meter, clear + h, n - h);
}

static bool baresip_plain(const struct check *c, const struct flow *w, const uint8_t *p, size_t n)
{
	unsigned i;

	if (p[1] != 203 && (p[1] != 204 || n < 12 || memcmp(p + 8, "PING", 4)))
		return false;
	for (i = 0; i < c->n_baresip; i++)
		if (c->baresip[i] == w->src)
			return true;
	return false;
}

/* The first packet that no key fits, for whoever has to find out why. */
static void complain(const struct check *c, const struct flow *w, const uint8_t *p, size_t n)
{
	char src[INET_ADDRSTRLEN], dst[INET_ADDRSTRLEN];
	size_t i;

	inet_ntop(AF_INET, &w->src, src, sizeof(src));
	inet_ntop(AF_INET, &w->dst, dst, sizeof(dst));
	fprintf(stderr,
		"pcapcheck: frame %" PRIu64 " %s:%u > %s:%u is authentic under no key:", c->frames,
		src, w->sport, dst, w->dport);
	for (i = 0; i < n && i < 48; i++)
		fprintf(stderr, " %02x", p[i]);
	fprintf(stderr, "\n");
}

static void media(struct check *c, struct flow *want, const uint8_t *p, size_t n)
{
	uint8_t clear[FRAME_MAX];
	bool rtcp = kit_is_rtcp(p, n);
	int fits = 0, which = -1, clear_n;
	srtp_err_status_t e;
	struct flow *f;
	unsigned k;

	if (kit_is_stun(p, n)) {
		c->stun++;
		return;
	}
	if (!rtcp && !kit_rtp_header(p, n)) {
		c->not_media++;
		return;
	}
	memcpy(&want->ssrc, p + (rtcp ? 4 : 8), 4);
	f = flow_of(c, want);
	for (k = 0; k < c->n_keys; k++) {
		e = try_key(c, f, k, p, n, clear, &clear_n);
		if (e == srtp_err_status_replay_fail || e == srtp_err_status_replay_old) {
			c->repeated++;
			return;
		}
		if (e != srtp_err_status_ok)
			continue;
		fits++;
		which = (int)k;
		if (!rtcp)
			compare(f, p, clear, (size_t)clear_n);
	}
	if (!fits && rtcp && baresip_plain(c, want, p, n)) {
		c->plain_rtcp++;
		return;
	}
	if (!fits && !c->no_key++)
		complain(c, want, p, n);
	c->many_keys += fits > 1;
	c->key_changed += fits == 1 && f->key >= 0 && f->key != which;
	if (fits)
		f->key = which;
	f->rtp += !rtcp;
	f->rtcp += rtcp;
}

static void frame(struct check *c, const uint8_t *p, size_t n)
{
	struct flow want = {0};
	size_t ihl, udp;

	c->frames++;
	if (n < 34 || p[12] != 8 || p[13] != 0 || p[14] >> 4 != 4 || p[23] != IPPROTO_UDP)
		return;
	ihl = 4u * (p[14] & 15);
	if (ihl < 20 || n < 14 + ihl + 8)
		return;
	memcpy(&want.src, p + 26, 4);
	memcpy(&want.dst, p + 30, 4);
	p += 14 + ihl;
	n -= 14 + ihl;
	want.sport = (uint16_t)(p[0] << 8 | p[1]);
	want.dport = (uint16_t)(p[2] << 8 | p[3]);
	udp = (size_t)(p[4] << 8 | p[5]);
	if (udp < 8 || udp > n || (!in_range(c, want.sport) && !in_range(c, want.dport)))
		return;
	media(c, &want, p + 8, udp - 8);
}

static void read_pcap(struct check *c, const char *path)
{
	uint8_t buf[FRAME_MAX];
	uint32_t head[6], rec[4];
	FILE *f = fopen(path, "rb");

	if (!f || fread(head, sizeof(head), 1, f) != 1)
		die("cannot read", path);
	if ((head[0] != 0xa1b2c3d4 && head[0] != 0xa1b23c4d) || (head[5] & 0xffff) != 1)
		die("not a pcap file of this machine's byte order, Ethernet:", path);
	while (fread(rec, sizeof(rec), 1, f) == 1) {
		if (rec[2] > sizeof(buf) || fread(buf, 1, rec[2], f) != rec[2])
			break; /* the last record may be cut when tcpdump was stopped */
		frame(c, buf, rec[2]);
	}
	fclose(f);
}

static void read_keys(struct check *c, const char *path)
{
	char line[256], suite[32], b64[80];
	FILE *f = fopen(path, "r");
	struct kit_key k;
	unsigned i;

	if (!f)
		die("cannot read", path);
	while (fgets(line, sizeof(line), f)) {
		if (sscanf(line, "%31s %79s", suite, b64) != 2 || kit_key_parse(suite, b64, &k))
			die("a key line is `SUITE BASE64`, not", line);
		for (i = 0; i < c->n_keys; i++)
			if (c->keys[i].n == k.n && !memcmp(c->keys[i].key, k.key, k.n))
				break;
		if (i < c->n_keys)
			continue; /* an SDP that was sent twice */
		if (c->n_keys == KEYS_MAX)
			die("too many keys in", path);
		c->keys[c->n_keys++] = k;
	}
	fclose(f);
}

static void print_flow(const struct flow *f, bool comma)
{
	char src[INET_ADDRSTRLEN], dst[INET_ADDRSTRLEN];
	double seconds;
	unsigned hz = kit_meter_hz(&f->meter, &seconds);

	inet_ntop(AF_INET, &f->src, src, sizeof(src));
	inet_ntop(AF_INET, &f->dst, dst, sizeof(dst));
	printf("%s\n  {\"from\":\"%s:%u\",\"to\":\"%s:%u\",\"rtp\":%" PRIu64 ",\"rtcp\":%" PRIu64
	       ",\"key\":%d,\"bytes\":%" PRIu64 ",\"equal\":%" PRIu64
	       ",\"tone_hz\":%u,\"tone_seconds\":%.2f}",
	       comma ? "," : "", src, f->sport, dst, f->dport, f->rtp, f->rtcp, f->key, f->bytes,
	       f->equal, hz, seconds);
}

static int report(const struct check *c)
{
	uint64_t rtp = 0, rtcp = 0, bytes = 0, equal = 0, flows = 0;
	double chance, bound;
	unsigned i;
	bool ok;

	printf("{\"flows\":[");
	for (i = 0; i < c->n_flows; i++) {
		print_flow(&c->flows[i], i > 0);
		rtp += c->flows[i].rtp;
		rtcp += c->flows[i].rtcp;
		bytes += c->flows[i].bytes;
		equal += c->flows[i].equal;
		flows += c->flows[i].rtp > 0;
	}
	chance = (double)bytes / 256;
	bound = chance + 5 * sqrt(chance * 255 / 256);
	ok = !c->no_key && !c->many_keys && !c->key_changed && !c->not_media &&
	     rtp >= c->min_packets && flows >= c->min_flows && bytes && (double)equal <= bound;
	printf("],\n \"frames\":%" PRIu64 ",\"keys\":%u,\"rtp_flows\":%" PRIu64 ",\"rtp\":%" PRIu64
	       ",\"rtcp\":%" PRIu64 ",\"stun\":%" PRIu64 ",\"repeated\":%" PRIu64
	       ",\"plain_rtcp\":%" PRIu64 ",\"not_media\":%" PRIu64
	       ",\"authentic_under_no_key\":%" PRIu64 ",\"under_more_than_one\":%" PRIu64
	       ",\"key_changed\":%" PRIu64 ",\"bytes\":%" PRIu64 ",\"equal_to_clear\":%" PRIu64
	       ",\"chance\":%.0f,\"bound\":%.0f,\"ok\":%s}\n",
	       c->frames, c->n_keys, flows, rtp, rtcp, c->stun, c->repeated, c->plain_rtcp,
	       c->not_media, c->no_key, c->many_keys, c->key_changed, bytes, equal, chance, bound,
	       ok ? "true" : "false");
	return ok ? 0 : 1;
}

int main(int argc, char **argv)
{
	static const struct option o[] = {
		{"ports", 1, NULL, 'p'},	{"keys", 1, NULL, 'k'},
		{"min-packets", 1, NULL, 'n'},	{"min-flows", 1, NULL, 'f'},
		{"baresip-from", 1, NULL, 'b'}, {NULL, 0, NULL, 0},
	};
	static struct check c;
	unsigned lo, hi;
	int i;

	if (srtp_init() != srtp_err_status_ok)
		die("libsrtp2", "does not start");
	while ((i = getopt_long(argc, argv, "", o, NULL)) != -1) {
		if (i == '?' || (i == 'p' && (sscanf(optarg, "%u-%u", &lo, &hi) != 2 || lo > hi ||
					      hi > 65535 || c.n_ranges == RANGES_MAX)))
			die("usage: --ports LO-HI --keys FILE [--min-packets N] [--min-flows N]",
			    "PCAP...");
		if (i == 'p') {
			c.lo[c.n_ranges] = (uint16_t)lo;
			c.hi[c.n_ranges++] = (uint16_t)hi;
		}
		if (i == 'b' && (c.n_baresip == RANGES_MAX ||
				 inet_pton(AF_INET, optarg, &c.baresip[c.n_baresip++]) != 1))
			die("not an IPv4 address, or too many:", optarg);
		if (i == 'k')
			read_keys(&c, optarg);
		if (i == 'n')
			c.min_packets = strtoull(optarg, NULL, 10);
		if (i == 'f')
			c.min_flows = strtoull(optarg, NULL, 10);
	}
	for (i = optind; i < argc; i++)
		read_pcap(&c, argv[i]);
	return report(&c);
}
