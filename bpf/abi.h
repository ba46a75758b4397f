/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/* bpf/abi.h -- every type that BPF programs and user space share; the layout of the pinned maps.
 *
 * Fixed-width types, explicit padding, -Wpadded is an error here. A change of any layout, a new reason too, raises SP_ABI and with it the
 * bpffs directory (/sys/fs/bpf/sallyport/<instance>/v<SP_ABI>/).
 *
 * Maps (key -> value; writer; reader; when entries die):
 *   flows       array, mmapable: slot -> struct flow. User space writes, BPF reads. A slot is written with state off, the
 *               fields, then on with a new generation; a freed slot rests 30 s before it is used again.
 *   flow_state  array, mmapable: slot -> struct flow_state. BPF writes (latch, counters, quality), user space reads and clears it
 *               between two generations, writes clocks at any time, and takes the latch itself where it knows the one source (on a
 *               core). Never in the same cache line as flows.
 *   next_hops   array: index -> struct next_hop. User space writes on route and neighbour events; 0 is never resolved.
 *   conf        array of one: struct relay_conf. The loader writes it at start.
 *   sides       array: 2 x pair + (0 outside, 1 inside) -> struct relay_side. The loader writes it at start.
 *   bans        LPM trie: struct ban_key -> struct ban. User space writes and expires; BPF ignores what is past its time.
 *   reasons     per-CPU array: enum relay_reason -> __u64 packets. BPF writes, user space reads and sums.
 *   ticks       per-CPU array of one: struct relay_tick. BPF only: the time, asked for once a jiffy; and the exact one, as often as needed.
 *   live        hash: flow id -> struct live_flow. User space only: it is what `bpftool map dump` shows.
 *   tap         ring buffer: struct tap_packet of flows with FLOW_TAP, from the XDP program. BPF writes; sallyctl reads, one at a time.
 *   tap_lost    array of one: __u64 packets that found no room there. BPF counts, sallyctl reads.
 *   tx          devmap hash: ifindex -> ifindex, the redirect targets. The loader writes it at start; not pinned.
 *
 * A start by another SP_ABI than the pinned one: the old directory's programs are detached and its maps unpinned once the new ones are loaded, so
 * that live calls lose their flows (bpf_load.c); a worker of another SP_ABI than its keeper's refuses to take over (bpf_plan_check), and
 * the old one stays. So an upgrade across ABIs is a restart. 2: quality and clocks in flow_state, taps.
 *
 * Addresses are 16 bytes in network order, IPv4 as ::ffff:a.b.c.d; the hot IPv4 words are kept beside them. */
#ifndef SALLYPORT_ABI_H
#define SALLYPORT_ABI_H

#include <linux/types.h>

#define SP_ABI 2

#define SP_PAIRS_MAX 8
#define SP_SIDES_MAX (2 * SP_PAIRS_MAX)
#define SP_SLOTS_MAX (SP_PAIRS_MAX * 65535u)
#define SP_NEXT_HOPS 1024
#define SP_BANS_MAX  65536
#define SP_TX_MAX    64
#define SP_TCP_PORTS 16

/* Every exit of the program, with its name in status and metrics. The order has a meaning: forwarded, answered, then passed to the
 * stack (from PASS_NOT_IP), then dropped (from DROP_LENGTH). */
#define RELAY_REASONS(X)                                                                           \
	X(FORWARD_IN, "forward_in")		/* client -> core */                               \
	X(FORWARD_OUT, "forward_out")		/* core -> client */                               \
	X(TOLD_TOO_BIG, "told_too_big")		/* over the egress MTU; ICMP went back */          \
	X(PASS_NOT_IP, "pass_not_ip")		/* ARP and whatever else */                        \
	X(PASS_SHORT, "pass_short")		/* ends inside a header: the stack's to judge */   \
	X(PASS_HEADER, "pass_header")		/* wrong version or header length */               \
	X(PASS_EXTENSION, "pass_extension")	/* IPv6 extension header */                        \
	X(PASS_FRAGMENT, "pass_fragment")	/* not of a media port, or not the first */        \
	X(PASS_NOT_UDP, "pass_not_udp")		/* TCP, ICMP, ... */                               \
	X(PASS_NO_FLOW, "pass_no_flow")		/* UDP to no media port */                         \
	X(PUNCH, "punch")			/* STUN request of a core, to the punch socket */  \
	X(DROP_LENGTH, "drop_length")		/* UDP and IP lengths contradict each other */     \
	X(DROP_FRAGMENT, "drop_fragment")	/* first fragment to a media port */               \
	X(DROP_INTERFACE, "drop_interface")	/* came in by another interface than its side's */ \
	X(DROP_SLOT_OFF, "drop_slot_off")	/* media port without a flow */                    \
	X(DROP_SHAPE, "drop_shape")		/* not RTP, RTCP, STUN or DTLS */                  \
	X(DROP_CLIENT, "drop_client")		/* window open, not the client's address */        \
	X(DROP_LATCHED, "drop_latched")		/* window closed, not the latched source */        \
	X(DROP_LATCHING, "drop_latching")	/* another CPU takes the leg at this instant */    \
	X(DROP_CORE, "drop_core")		/* on an inside port, not from the core */         \
	X(DROP_NO_CORE, "drop_no_core")		/* core not punched yet */                         \
	X(DROP_NOT_LATCHED, "drop_not_latched") /* client not heard yet */                         \
	X(DROP_NO_NEXT_HOP, "drop_no_next_hop") /* gateway unresolved */                           \
	X(DROP_TTL, "drop_ttl")			/* TTL or hop limit 1 or 0 */                      \
	X(DROP_TOO_BIG, "drop_too_big")		/* over the egress MTU */                          \
	X(DROP_ZERO_CHECKSUM, "drop_zero_checksum") /* UDP over IPv6 without checksum */           \
	X(DROP_NO_TX, "drop_no_tx")		    /* egress interface not one of ours */         \
	X(DROP_BAN_TCP, "drop_ban_tcp")		    /* SYN of a banned prefix */                   \
	X(DROP_BAN_UDP, "drop_ban_udp")		    /* banned prefix, no flow */

#define RELAY_REASON_ENUM(name, text) R_##name,
enum relay_reason { RELAY_REASONS(RELAY_REASON_ENUM) RELAY_REASON_COUNT };
#undef RELAY_REASON_ENUM

enum flow_status { FLOW_OFF = 0, FLOW_ON = 1 };

enum flow_flag {		   /* none but the last on an edge */
		 FLOW_NO_STUN = 1, /* nobody punches: STUN requests end */
		 FLOW_LOOSE =
			 2, /* the inside leg takes one more source than core, the first that sends */
		 FLOW_TAP = 4, /* its packets are copied to tap; user space takes it off again */
};

/* A payload type with its clock rate in Hz; 0: no more entries. Type and mark in the low byte. */
#define FLOW_CLOCKS	     8
#define FLOW_CLOCK(type, hz) ((__u32)(hz) << 8 | 0x80 | ((type)&0x7f))
#define FLOW_CLOCK_HZ_MAX    0xffffffu
/* flow_quality.jitter and .tick */
#define QUALITY_JITTER_NS(j) ((__u64)(j) << 6) /* 1/16 of 1,024 ns */
#define QUALITY_TICK(hz)     ((1000000000ull << 8) / (hz))

/* Latch word: generation of the flow it belongs to (32 bits), window it was taken in (30 bits), then one of these. It is
 * one word so that one compare-and-swap claims a leg for one generation and one window. */
enum latch_step { LATCH_NONE = 0, LATCH_CLAIMED = 1, LATCH_VALID = 2 };
#define LATCH_STEP_MASK	      3u
#define LATCH_WINDOW_MASK     0x3fffffffu
#define LATCH_WORD(gen, w, s) ((__u64)(gen) << 32 | (__u64)((w)&LATCH_WINDOW_MASK) << 2 | (s))

#pragma GCC diagnostic push
#pragma GCC diagnostic error "-Wpadded"

struct sp_ip { /* as words, so that neither side needs byte loops */
	__be32 w[4];
};

struct sp_ep4 { /* one aligned 8-byte word: written and read whole */
	__be32 ip;
	__be16 port;
	__u16 pad;
};

struct flow_note { /* for a worker that follows; no program reads it. Zero on an edge */
	__u64 medium;
	struct sp_ip client; /* the one outside, whom the edge knows */
	__u32 edge, flags;
};

struct flow {
	/* 64 hot bytes: all that an IPv4 packet needs. */
	__u32 generation;
	__u8 status;		/* enum flow_status, written last */
	__u8 dscp_in, dscp_out; /* reserved */
	__u8 flags;		/* enum flow_flag */
	struct sp_ep4 client;	/* may latch; port 0: any. IPv6: only the port */
	struct sp_ep4 core;	/* port 0: not punched yet. IPv6: only the port */
	__u32 nh_out, nh_in;
	__u32 window; /* counts openings, from 1 */
	__u32 core_index;
	__u64 window_until_ns; /* of a reopened window */
	__u64 id;
	__u32 mtu_out, mtu_in; /* reserved: path MTU learned; 0: the next hop's */
	/* 64 cold bytes: IPv6, user space's own. */
	struct sp_ip client6, core6;
	struct flow_note note;
};

/* What bpf/quality.h has seen of one direction's RTP. Read while a packet changes it, two fields may differ by that packet. Zero: none yet. */
struct flow_quality {
	__u64 window;		     /* bit n: sequence number highest - n has come */
	__u64 at_ns;		     /* arrival of the packet that has timestamp; 0: none */
	__be32 ssrc;		     /* of the last packet */
	__u32 highest;		     /* sequence number, extended by its cycles */
	__u32 base;		     /* expected = highest - base + 1, over all restarts */
	__u32 received;		     /* with duplicates */
	__u32 reordered, duplicates; /* came late; came again */
	__u32 restarts;		     /* SSRC changes and jumps */
	__u32 bad;		     /* what would confirm a jump; over 65535: none seen */
	__u32 timestamp;
	__u32 jitter; /* QUALITY_JITTER_NS */
	__u32 tick;   /* QUALITY_TICK of type's clock; 0: it has none */
	__u8 type;    /* payload type of the last packet */
	__u8 pad[3];
};

struct flow_clocks { /* FLOW_CLOCK entries; user space writes */
	__u32 in[FLOW_CLOCKS], out[FLOW_CLOCKS];
};

struct flow_state {
	/* 64 hot bytes. Both directions on purpose in one line: the way out has to read the latch beside its counters. */
	__u64 latch;	       /* LATCH_WORD */
	struct sp_ep4 latched; /* IPv6: only the port */
	__u64 packets_in, bytes_in, last_in_ns;
	__u64 packets_out, bytes_out, last_out_ns;
	/* A line each: a packet touches the first and its direction's. */
	struct flow_quality in, out; /* client -> core, core -> client */
	struct flow_clocks clocks;
	/* 64 cold bytes. */
	struct sp_ip latched6;
	struct sp_ip inside6; /* of a loose inside leg: who sends beside flow.core */
	struct sp_ep4 inside;
	__u64 inside_latch; /* LATCH_WORD */
	__u64 pad[2];
};

struct next_hop {
	__u32 ifindex;		     /* 0: unresolved */
	__u16 mtu;		     /* 0: unknown, not checked */
	__u8 dst_mac[6], src_mac[6]; /* as in the frame */
	__u16 pad0;
	__u32 pad[3];
};

struct relay_side {
	struct sp_ip ip, peer_ip; /* of this side; of the pair's other side */
	__u32 ifindex;		  /* the interface that carries ip; 0: any */
	__u32 first_slot;
	__u16 base, peer_base, range; /* host order */
	__u8 inside;		      /* 0: towards clients, 1: towards cores */
	__u8 ipv6, peer_ipv6;
	__u8 pad0[3];
	__u32 pad[3];
};

struct relay_conf {
	__u32 sides, slots;
	__be32 key
		[SP_SIDES_MAX]; /* last 32 bits of each side's address: one cache line to search */
	__be16 punch_port;
	__u16 tcp_count;
	__be16 tcp_port[SP_TCP_PORTS]; /* where a banned prefix may not connect */
	__u32 pad;
};

struct relay_tick {
	__u64 jiffies, now_ns, told_jiffies;
	__u64 exact_ns;	     /* the clock, read for a packet; */
	__u32 left;	     /* so many more may take it for theirs, */
	__u32 share;	     /* of so many each time, */
	__u32 packets, pad0; /* by the number of packets in this jiffy so far */
	__u64 pad[2];
};

/* A packet of a tapped flow, as it came (its address and port are the flow's side) or as it left (the other side). */
#define TAP_SNAP 2032
#define TAP_RING (1u << 20)
struct tap_packet {
	__u64 flow, at_ns; /* CLOCK_MONOTONIC */
	__u32 len, kept;   /* of the frame; of it in data */
	__u8 inside, out;  /* at the side towards cores; 1: it leaves */
	__u16 pad;
	__u32 pad1;
	__u8 data[TAP_SNAP];
};

struct ban_key {
	__u32 prefix_len; /* of the 128 bits: IPv4's length + 96 */
	struct sp_ip ip;
};

struct ban {
	__u64 until_ns; /* CLOCK_MONOTONIC */
	__u64 hits;
};

#define SP_IP_TEXT 48
struct live_flow { /* ports in host order */
	char client[SP_IP_TEXT];
	char outside[SP_IP_TEXT];
	char inside[SP_IP_TEXT];
	char core[SP_IP_TEXT];
	__u16 client_port, outside_port, inside_port, core_port;
	__u32 slot, generation, core_index, pad;
};

#pragma GCC diagnostic pop

_Static_assert(sizeof(struct flow) == 128, "two cache lines");
_Static_assert(__builtin_offsetof(struct flow, client6) == 64, "hot part");
_Static_assert(sizeof(struct flow_quality) == 64, "one cache line");
_Static_assert(sizeof(struct flow_state) == 320, "five cache lines");
_Static_assert(__builtin_offsetof(struct flow_state, in) == 64, "hot part");
_Static_assert(__builtin_offsetof(struct flow_state, latched6) == 256, "cold part");
_Static_assert(sizeof(struct relay_tick) == 64, "one cache line");
_Static_assert(sizeof(struct next_hop) == 32, "two a cache line");
_Static_assert(sizeof(struct relay_side) == 64, "one cache line");
_Static_assert(sizeof(struct relay_conf) == 112, "no hidden padding");
_Static_assert(sizeof(struct ban_key) == 20, "kernel's bpf_lpm_trie_key with 16 bytes");
_Static_assert(sizeof(struct tap_packet) == 32 + TAP_SNAP, "no hidden padding");
_Static_assert(sizeof(struct live_flow) == 216, "no hidden padding");

#endif
