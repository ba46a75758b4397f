/* selftests/bpf/cases.c -- the rows; see cases.h. Fields left out are the ordinary: RTP, TTL 64, from the latched client. */
#include <netinet/in.h>
#include <netinet/tcp.h>

#include "selftests/bpf/cases.h"

#define IN(f)  .pairs = BOTH, .flow = f
#define OUT(f) .pairs = BOTH, .flow = f, .outward = true
#define IN4    .pairs = V4, .flow = FLOW_LATCHED
#define IN6    .pairs = V6, .flow = FLOW_LATCHED

static const struct row forward[] = {
	{"rtp inwards", IN(FLOW_LATCHED), .want = R_FORWARD_IN},
	{"rtp outwards", OUT(FLOW_LATCHED), .want = R_FORWARD_OUT},
	{"rtcp inwards", IN(FLOW_LATCHED), .want = R_FORWARD_IN, .mod.body = BODY_RTCP},
	{"rtcp outwards", OUT(FLOW_LATCHED), .want = R_FORWARD_OUT, .mod.body = BODY_RTCP},
	{"shortest rtcp", IN(FLOW_LATCHED), .want = R_FORWARD_IN, .mod.body = BODY_RTCP_8},
	{"stun request of the client", IN(FLOW_LATCHED), .want = R_FORWARD_IN,
	 .mod.body = BODY_STUN_REQUEST},
	{"stun answer outwards", OUT(FLOW_LATCHED), .want = R_FORWARD_OUT,
	 .mod.body = BODY_STUN_ANSWER},
	{"dtls inwards", IN(FLOW_LATCHED), .want = R_FORWARD_IN, .mod.body = BODY_DTLS},
	{"odd length", IN(FLOW_LATCHED), .want = R_FORWARD_IN, .mod.body_len = 173},
	{"shortest rtp", IN(FLOW_LATCHED), .want = R_FORWARD_IN, .mod.body_len = 12},
	{"large", IN(FLOW_LATCHED), .want = R_FORWARD_IN, .mod.body_len = 1400},
	{"padded frame", IN(FLOW_LATCHED), .want = R_FORWARD_IN,
	 .mod = {.body = BODY_RTCP_8, .pad = 10}},
	{"ttl 2", IN(FLOW_LATCHED), .want = R_FORWARD_IN, .mod.ttl = 2},
	{"ttl 255", OUT(FLOW_LATCHED), .want = R_FORWARD_OUT, .mod.ttl = 255},
};

static const struct row hairpin[] = {
	{"same interface inwards", IN(FLOW_HAIRPIN), .want = R_FORWARD_IN},
	{"same interface outwards", OUT(FLOW_HAIRPIN), .want = R_FORWARD_OUT},
	{"same interface keeps its tag", IN(FLOW_HAIRPIN), .want = R_FORWARD_IN, .mod.tags = 1},
	{"same interface keeps two tags", OUT(FLOW_HAIRPIN), .want = R_FORWARD_OUT, .mod.tags = 2},
};

static const struct row tags[] = {
	{"one tag is cut off", IN(FLOW_LATCHED), .want = R_FORWARD_IN, .mod.tags = 1},
	{"two tags are cut off", IN(FLOW_LATCHED), .want = R_FORWARD_IN, .mod.tags = 2},
	{"two tags outwards", OUT(FLOW_LATCHED), .want = R_FORWARD_OUT, .mod.tags = 2},
	{"three tags pass", IN(FLOW_LATCHED), .want = R_PASS_NOT_IP, .mod.tags = 3},
	{"tag and options", IN4, .want = R_FORWARD_IN, .mod = {.tags = 1, .options = 3}},
	{"cut inside the tag", IN(FLOW_LATCHED), .want = R_PASS_SHORT,
	 .mod = {.tags = 1, .cut = 16}},
	{"cut inside the second tag", IN(FLOW_LATCHED), .want = R_PASS_SHORT,
	 .mod = {.tags = 2, .cut = 20}},
};

static const struct row options[] = {
	{"one word of options", IN4, .want = R_FORWARD_IN, .mod.options = 1},
	{"all ten words of options", IN4, .want = R_FORWARD_IN, .mod.options = 10},
	{"options outwards", .pairs = V4, .flow = FLOW_LATCHED, .outward = true,
	 .want = R_FORWARD_OUT, .mod.options = 5},
	{"cut inside options", IN4, .want = R_PASS_SHORT, .mod = {.options = 10, .cut = 60}},
	{"header length 4 words", IN4, .want = R_PASS_HEADER, .mod.ihl = 4},
	{"version 5", IN(FLOW_LATCHED), .want = R_PASS_HEADER, .mod.version = 5},
	{"ip length under its header", IN4, .want = R_PASS_HEADER, .mod.ip_len_add = -190},
	{"hop-by-hop options", IN6, .want = R_PASS_EXTENSION, .mod.next_header = 255},
	{"routing header", IN6, .want = R_PASS_EXTENSION, .mod.next_header = 43},
	{"destination options", IN6, .want = R_PASS_EXTENSION, .mod.next_header = 60},
	{"fragment header", IN6, .want = R_PASS_FRAGMENT, .mod.next_header = 44},
};

static const struct row fragments[] = {
	{"first fragment to a media port", IN4, .want = R_DROP_FRAGMENT, .mod.frag = 0x2000},
	{"first fragment elsewhere", IN4, .where = TO_STACK, .want = R_PASS_FRAGMENT,
	 .mod.frag = 0x2000},
	{"second fragment", IN4, .want = R_PASS_FRAGMENT, .mod.frag = 0x2010},
	{"last fragment", IN4, .want = R_PASS_FRAGMENT, .mod.frag = 0x0010},
	{"don't fragment", IN4, .want = R_FORWARD_IN, .mod.frag = 0x4000},
};

static const struct row truncated[] = {
	{"cut after ethernet", IN(FLOW_LATCHED), .want = R_PASS_SHORT, .mod.cut = 14},
	{"cut inside ip", IN(FLOW_LATCHED), .want = R_PASS_SHORT, .mod.cut = 30},
	{"cut before udp", IN(FLOW_LATCHED), .want = R_PASS_SHORT, .mod.cut = 34},
	{"cut inside udp", IN(FLOW_LATCHED), .want = R_PASS_SHORT, .mod.cut = 40},
	{"cut inside the payload", IN(FLOW_LATCHED), .want = R_PASS_SHORT, .mod.cut = 100},
	{"ip length over the frame", IN(FLOW_LATCHED), .want = R_PASS_SHORT, .mod.ip_len_add = 1},
	{"ip ends inside udp", IN4, .want = R_DROP_LENGTH, .mod.ip_len_add = -176},
	{"ip ends inside the payload", IN(FLOW_LATCHED), .want = R_DROP_LENGTH,
	 .mod.ip_len_add = -10},
	{"udp length too long", IN(FLOW_LATCHED), .want = R_DROP_LENGTH, .mod.udp_len_add = 1},
	{"udp length too short", IN(FLOW_LATCHED), .want = R_DROP_LENGTH, .mod.udp_len_add = -1},
	{"udp length under its header", IN(FLOW_LATCHED), .want = R_DROP_LENGTH,
	 .mod.udp_len_add = -175},
	{"bad length elsewhere", IN(FLOW_LATCHED), .where = TO_STACK, .want = R_PASS_NO_FLOW,
	 .mod.udp_len_add = 1},
};

static const struct row checksum[] = {
	{"no checksum stays so", IN4, .want = R_FORWARD_IN, .mod.no_checksum = true},
	{"no checksum outwards", .pairs = V4, .flow = FLOW_LATCHED, .outward = true,
	 .want = R_FORWARD_OUT, .mod.no_checksum = true},
	{"no checksum over ipv6", IN6, .want = R_DROP_ZERO_CHECKSUM, .mod.no_checksum = true},
};

static const struct row ttl[] = {
	{"ttl 1 inwards", IN(FLOW_LATCHED), .want = R_DROP_TTL, .mod.ttl = 1},
	{"ttl 1 outwards", OUT(FLOW_LATCHED), .want = R_DROP_TTL, .mod.ttl = 1},
	{"ttl 0", IN(FLOW_LATCHED), .want = R_DROP_TTL, .mod.ttl_zero = true},
};

static const struct row latch[] = {
	{"first packet of the client", IN(FLOW_FRESH), .who = FROM_PEER_PORT, .want = R_FORWARD_IN},
	{"first packet of a stranger", IN(FLOW_FRESH), .who = FROM_STRANGER, .want = R_DROP_CLIENT},
	{"outwards before the latch", OUT(FLOW_FRESH), .want = R_DROP_NOT_LATCHED},
	{"other port, window closed", IN(FLOW_LATCHED), .who = FROM_PEER_PORT,
	 .want = R_DROP_LATCHED},
	{"stranger, window closed", IN(FLOW_LATCHED), .who = FROM_STRANGER, .want = R_DROP_LATCHED},
	{"pinned source, reopened", IN(FLOW_REOPENED), .want = R_FORWARD_IN},
	{"other port, reopened", IN(FLOW_REOPENED), .who = FROM_PEER_PORT, .want = R_FORWARD_IN},
	{"stranger, reopened", IN(FLOW_REOPENED), .who = FROM_STRANGER, .want = R_DROP_CLIENT},
	{"outwards, reopened", OUT(FLOW_REOPENED), .want = R_FORWARD_OUT},
	{"pinned source, time over", IN(FLOW_EXPIRED), .want = R_FORWARD_IN},
	{"other port, time over", IN(FLOW_EXPIRED), .who = FROM_PEER_PORT, .want = R_DROP_LATCHED},
	{"claimed by another cpu", IN(FLOW_CLAIMED), .want = R_DROP_LATCHING},
	{"outwards while claimed", OUT(FLOW_CLAIMED), .want = R_DROP_NOT_LATCHED},
	{"claim of an earlier generation", IN(FLOW_CLAIMED_STALE), .who = FROM_PEER_PORT,
	 .want = R_FORWARD_IN},
	{"latch of an earlier generation", IN(FLOW_STALE), .who = FROM_PEER_PORT,
	 .want = R_FORWARD_IN},
	{"earlier generation's source", IN(FLOW_STALE), .who = FROM_STRANGER,
	 .want = R_DROP_CLIENT},
	{"outwards on an earlier latch", OUT(FLOW_STALE), .want = R_DROP_NOT_LATCHED},
	{"the one port", IN(FLOW_ONE_PORT), .want = R_FORWARD_IN},
	{"not the one port", IN(FLOW_ONE_PORT), .who = FROM_PEER_PORT, .want = R_DROP_CLIENT},
	{"text does not latch", IN(FLOW_FRESH), .want = R_DROP_SHAPE, .mod.body = BODY_TEXT},
	{"stun latches", IN(FLOW_FRESH), .who = FROM_PEER_PORT, .want = R_FORWARD_IN,
	 .mod.body = BODY_STUN_REQUEST},
	{"dtls latches", IN(FLOW_FRESH), .want = R_FORWARD_IN, .mod.body = BODY_DTLS},
	{"latches before the punch", IN(FLOW_NO_CORE), .want = R_DROP_NO_CORE},
};

static const struct row shape[] = {
	{"text", IN(FLOW_LATCHED), .want = R_DROP_SHAPE, .mod.body = BODY_TEXT},
	{"text outwards", OUT(FLOW_LATCHED), .want = R_DROP_SHAPE, .mod.body = BODY_TEXT},
	{"empty", IN(FLOW_LATCHED), .want = R_DROP_SHAPE, .mod.body = BODY_EMPTY},
	{"four bytes", IN(FLOW_LATCHED), .want = R_DROP_SHAPE, .mod.body = BODY_SHORT},
	{"four bytes and padding", IN(FLOW_LATCHED), .want = R_DROP_SHAPE,
	 .mod = {.body = BODY_SHORT, .pad = 14}},
	{"rtp of 11 bytes", IN(FLOW_LATCHED), .want = R_DROP_SHAPE, .mod.body = BODY_RTP_11},
	{"stun without its cookie", IN(FLOW_LATCHED), .want = R_DROP_SHAPE,
	 .mod.body = BODY_STUN_COOKIE},
	{"stun of 19 bytes", IN(FLOW_LATCHED), .want = R_DROP_SHAPE,
	 .mod = {.body = BODY_STUN_ANSWER, .body_len = 19}},
	{"dtls of 12 bytes", IN(FLOW_LATCHED), .want = R_DROP_SHAPE,
	 .mod = {.body = BODY_DTLS, .body_len = 12}},
};

static const struct row state[] = {
	{"port without a flow", IN(RIG_FLOWS), .want = R_DROP_SLOT_OFF},
	{"inside port without a flow", OUT(RIG_FLOWS), .want = R_DROP_SLOT_OFF},
	{"freed flow", IN(FLOW_FREED), .want = R_DROP_SLOT_OFF},
	{"punch to a freed flow", OUT(FLOW_FREED), .want = R_DROP_SLOT_OFF,
	 .mod.body = BODY_STUN_REQUEST},
	{"core not punched, outwards", OUT(FLOW_NO_CORE), .want = R_DROP_NO_CORE},
	{"not the core's address", OUT(FLOW_LATCHED), .who = FROM_STRANGER, .want = R_DROP_CORE},
	{"not the core's port", OUT(FLOW_LATCHED), .who = FROM_PEER_PORT, .want = R_DROP_CORE},
	{"no next hop inwards", IN(FLOW_NO_HOP), .want = R_DROP_NO_NEXT_HOP},
	{"no next hop outwards", OUT(FLOW_NO_HOP), .want = R_DROP_NO_NEXT_HOP},
	{"egress is none of ours", IN(FLOW_NO_TX), .want = R_DROP_NO_TX},
	{"over the mtu", .pairs = V4, .flow = FLOW_NARROW, .want = R_DROP_TOO_BIG},
	{"over the mtu, tagged", IN(FLOW_NARROW), .want = R_DROP_TOO_BIG,
	 .mod = {.tags = 1, .frag = 0x4000}},
	{"over the mtu, options", .pairs = V4, .flow = FLOW_NARROW, .want = R_DROP_TOO_BIG,
	 .mod = {.options = 1, .frag = 0x4000}},
	{"one byte over the mtu", .pairs = V4, .flow = FLOW_NARROW, .want = R_DROP_TOO_BIG,
	 .mod.body_len = RIG_MTU - 27},
	{"just the mtu", .pairs = V4, .flow = FLOW_NARROW, .want = R_FORWARD_IN,
	 .mod.body_len = RIG_MTU - 28},
};

static const struct row punch[] = {
	{"punch", OUT(FLOW_LATCHED), .want = R_PUNCH, .mod.body = BODY_STUN_REQUEST},
	{"punch from an unknown source", OUT(FLOW_NO_CORE), .who = FROM_STRANGER, .want = R_PUNCH,
	 .mod.body = BODY_STUN_REQUEST},
	{"punch, tagged", OUT(FLOW_FRESH), .want = R_PUNCH,
	 .mod = {.body = BODY_STUN_REQUEST, .tags = 1}},
	{"punch without checksum", .pairs = V4, .flow = FLOW_FRESH, .outward = true,
	 .want = R_PUNCH, .mod = {.body = BODY_STUN_REQUEST, .no_checksum = true}},
	{"punch with a wrong cookie", OUT(FLOW_LATCHED), .want = R_DROP_SHAPE,
	 .mod.body = BODY_STUN_COOKIE},
};

static const struct row unknown[] = {
	{"dns answer", IN(FLOW_LATCHED), .who = FROM_STRANGER, .where = TO_STACK,
	 .want = R_PASS_NO_FLOW},
	{"dns answer inside", OUT(FLOW_LATCHED), .where = TO_STACK, .want = R_PASS_NO_FLOW},
	{"port below the range", IN(FLOW_LATCHED), .where = TO_BELOW, .want = R_PASS_NO_FLOW},
	{"port above the range", IN(FLOW_LATCHED), .where = TO_ABOVE, .want = R_PASS_NO_FLOW},
	{"inside port below the range", OUT(FLOW_LATCHED), .where = TO_BELOW,
	 .want = R_PASS_NO_FLOW},
	{"inside port above the range", OUT(FLOW_LATCHED), .where = TO_ABOVE,
	 .want = R_PASS_NO_FLOW},
	{"tcp", IN(FLOW_LATCHED), .want = R_PASS_NOT_UDP,
	 .mod = {.proto = IPPROTO_TCP, .tcp_flags = TH_SYN}},
	{"tcp cut", IN(FLOW_LATCHED), .want = R_PASS_SHORT,
	 .mod = {.proto = IPPROTO_TCP, .ip_len_add = -4, .cut = 50}},
	{"icmp", IN4, .want = R_PASS_NOT_UDP, .mod.proto = IPPROTO_ICMP},
	{"icmpv6", IN6, .want = R_PASS_NOT_UDP, .mod.proto = IPPROTO_ICMPV6},
	{"arp", IN4, .want = R_PASS_NOT_IP, .mod.ethertype = 0x0806},
	{"length field instead of a type", IN4, .want = R_PASS_NOT_IP, .mod.ethertype = 0x0040},
};

#define ACROSS_IN(f)  .pairs = ACROSS, .flow = f
#define ACROSS_OUT(f) .pairs = ACROSS, .flow = f, .outward = true

static const struct row across[] = {
	{"rtp inwards", ACROSS_IN(FLOW_LATCHED), .want = R_FORWARD_IN},
	{"rtp outwards", ACROSS_OUT(FLOW_LATCHED), .want = R_FORWARD_OUT},
	{"odd length", ACROSS_IN(FLOW_LATCHED), .want = R_FORWARD_IN, .mod.body_len = 33},
	{"latches", ACROSS_IN(FLOW_FRESH), .who = FROM_PEER_PORT, .want = R_FORWARD_IN},
	{"stranger", ACROSS_IN(FLOW_FRESH), .who = FROM_STRANGER, .want = R_DROP_CLIENT},
	{"not the core's port", ACROSS_OUT(FLOW_LATCHED), .who = FROM_PEER_PORT,
	 .want = R_DROP_CORE},
	{"punch", ACROSS_OUT(FLOW_NO_CORE), .want = R_PUNCH, .mod.body = BODY_STUN_REQUEST},
	{"two tags inwards", ACROSS_IN(FLOW_LATCHED), .want = R_FORWARD_IN, .mod.tags = 2},
	{"one tag outwards", ACROSS_OUT(FLOW_LATCHED), .want = R_FORWARD_OUT, .mod.tags = 1},
	{"same interface", ACROSS_IN(FLOW_HAIRPIN), .want = R_FORWARD_IN},
	{"same interface, tagged", ACROSS_IN(FLOW_HAIRPIN), .want = R_DROP_NO_TX, .mod.tags = 1},
	{"padded frame", ACROSS_IN(FLOW_LATCHED), .want = R_FORWARD_IN,
	 .mod = {.body = BODY_RTCP_8, .pad = 10}},
	{"options are left out", .pairs = V4_V6, .flow = FLOW_LATCHED, .want = R_FORWARD_IN,
	 .mod.options = 10},
	{"no checksum to IPv6", .pairs = V4_V6, .flow = FLOW_LATCHED, .want = R_DROP_ZERO_CHECKSUM,
	 .mod.no_checksum = true},
	{"no checksum from IPv6", .pairs = V6_V4, .flow = FLOW_LATCHED,
	 .want = R_DROP_ZERO_CHECKSUM, .mod.no_checksum = true},
	{"ttl 2", ACROSS_IN(FLOW_LATCHED), .want = R_FORWARD_IN, .mod.ttl = 2},
	{"ttl 1", ACROSS_OUT(FLOW_LATCHED), .want = R_DROP_TTL, .mod.ttl = 1},
	{"fits the mtu only before", .pairs = V4_V6, .flow = FLOW_NARROW, .want = R_DROP_TOO_BIG,
	 .mod.body_len = RIG_MTU - 28},
	{"fits the mtu only after", .pairs = V6_V4, .flow = FLOW_NARROW, .want = R_FORWARD_IN,
	 .mod.body_len = RIG_MTU - 28},
	{"just the mtu", .pairs = V4_V6, .flow = FLOW_NARROW, .want = R_FORWARD_IN,
	 .mod.body_len = RIG_MTU - 48},
};

#define GROUP(name)                                         \
	{                                                   \
#name, name, sizeof(name) / sizeof(name[0]) \
	}
const struct group groups[] = {
	GROUP(forward),	  GROUP(hairpin),  GROUP(tags),	   GROUP(options), GROUP(fragments),
	GROUP(truncated), GROUP(checksum), GROUP(ttl),	   GROUP(latch),   GROUP(shape),
	GROUP(state),	  GROUP(punch),	   GROUP(unknown), GROUP(across),
};
const unsigned groups_n = sizeof(groups) / sizeof(groups[0]);
