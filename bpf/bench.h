/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/* bpf/bench.h -- what the bench's BPF programs and tools/bench_*.c share. Nothing here is part of the pinned layout (abi.h). */
#ifndef SALLYPORT_BENCH_H
#define SALLYPORT_BENCH_H

#include <linux/types.h>

#define BENCH_FRAME_LEN 224 /* Ethernet 14, IPv4 20, UDP 8, RTP 12 + 160, SRTP tag 10 */
#define BENCH_COUNTED	200 /* bytes from which on the sink counts a packet: no punch, no ARP */
#define BENCH_RTP_AT	42
#define BENCH_RTP_STEP	160 /* timestamp units a packet */
#define BENCH_STAMP_AT	64  /* in the payload: the time of sending */
#define BENCH_BURST	32
#define BENCH_BUCKETS	8192 /* of the latency histogram */
#define BENCH_BUCKET_NS 250

struct bench_frame {
	__u8 bytes[BENCH_FRAME_LEN];
	__u32 ifindex; /* where it goes; 0: where the run says */
	__u8 pad[28];  /* 256 in all: a frame never straddles a page in the map's mapping */
};
_Static_assert(sizeof(struct bench_frame) == 256, "frame entry");

struct bench_gen_state { /* written before a run, except sent and next_ns */
	__u64 sent, next_ns;
	__u64 burst_ns; /* time of BENCH_BURST packets at the wanted rate; 0: flat out */
	__u32 frames;	/* how many to choose from */
	__u32 random;	/* 1: in random order */
	__u32 ifindex, stamp;
	__u32 rtp; /* 1: each frame's sequence number and timestamp go on with each sending */
	__u32 pad;
};

struct bench_sink_state {
	__u64 packets;
	__u32 stamp, pad;
	__u64 buckets[BENCH_BUCKETS];
};

#endif
