// SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only
/* bpf/bench.bpf.c -- tools/bench's own programs: a paced generator, a counting sink, the bare redirect it compares with.
 *
 * In: prebuilt frames in an array map, a rate. Out: frames redirected to an interface; counts and a latency histogram. Only the bench loads
 * this; the daemons never do. Live frames (BPF_PROG_TEST_RUN) recycle pages, so every byte is written again each time. */
#include <linux/bpf.h>
#include <linux/types.h>
#include <bpf/bpf_endian.h>
#include <bpf/bpf_helpers.h>

#include "bpf/bench.h"

char LICENSE[] SEC("license")
= "Dual BSD/GPL";

/* index -> frame; written once a run by the bench, read by bench_gen. */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(map_flags, BPF_F_MMAPABLE);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct bench_frame);
} frames SEC(".maps");

/* 0 -> out interface of the bare redirect. */
struct {
	__uint(type, BPF_MAP_TYPE_DEVMAP);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, __u32);
} bare_tx SEC(".maps");

struct bench_gen_state gen;
struct bench_sink_state sink;

static long bench_wait(__u32 i, void *arg)
{
	__u64 *until = arg;

	(void)i;
	return bpf_ktime_get_ns() >= *until;
}

/* Hold the first packet of each burst back until its time; a generator that fell behind by 1 ms gives that time up. */
static __always_inline void bench_pace(__u64 n)
{
	__u64 now, until;

	if (!gen.burst_ns || n % BENCH_BURST)
		return;
	now = bpf_ktime_get_ns();
	if (!gen.next_ns || now > gen.next_ns + 1000000)
		gen.next_ns = now;
	until = gen.next_ns;
	if (until > now)
		bpf_loop(1 << 20, bench_wait, &until, 0);
	gen.next_ns = until + gen.burst_ns;
}

static __always_inline __u32 bench_pick(__u64 n)
{
	if (gen.random)
		return bpf_get_prandom_u32() % gen.frames;
	return (__u32)(n % gen.frames);
}

/* The UDP checksum stays as it was: nobody on the way looks at it. */
static __always_inline void bench_rtp_step(struct bench_frame *f)
{
	__be16 *seq = (void *)(f->bytes + BENCH_RTP_AT + 2);
	__be32 *ts = (void *)(f->bytes + BENCH_RTP_AT + 4);

	*seq = bpf_htons(bpf_ntohs(*seq) + 1);
	*ts = bpf_htonl(bpf_ntohl(*ts) + BENCH_RTP_STEP);
}

SEC("xdp")
int bench_gen(struct xdp_md *ctx)
{
	void *data = (void *)(long)ctx->data, *end = (void *)(long)ctx->data_end;
	__u64 n = gen.sent++;
	struct bench_frame *f;
	__u32 index;

	if (!gen.frames || data + BENCH_FRAME_LEN > end)
		return XDP_DROP;
	bench_pace(n);
	index = bench_pick(n);
	f = bpf_map_lookup_elem(&frames, &index);
	if (!f)
		return XDP_DROP;
	if (gen.rtp)
		bench_rtp_step(f);
	__builtin_memcpy(data, f->bytes, BENCH_FRAME_LEN);
	if (gen.stamp)
		*(__u64 *)(data + BENCH_STAMP_AT) = bpf_ktime_get_ns();
	return bpf_redirect(f->ifindex ? f->ifindex : gen.ifindex, 0);
}

SEC("xdp")
int bench_sink(struct xdp_md *ctx)
{
	void *data = (void *)(long)ctx->data, *end = (void *)(long)ctx->data_end;
	__u64 delta;

	if (data + BENCH_COUNTED > end)
		return XDP_PASS;		/* neighbour discovery and the like */
	__sync_fetch_and_add(&sink.packets, 1); /* there may be a sink on either side */
	if (!sink.stamp || data + BENCH_STAMP_AT + 8 > end)
		return XDP_DROP;
	delta = (bpf_ktime_get_ns() - *(__u64 *)(data + BENCH_STAMP_AT)) / BENCH_BUCKET_NS;
	if (delta >= BENCH_BUCKETS)
		delta = BENCH_BUCKETS - 1;
	sink.buckets[delta & (BENCH_BUCKETS - 1)]++;
	return XDP_DROP;
}

SEC("xdp")
int bench_bare(struct xdp_md *ctx)
{
	(void)ctx;
	return bpf_redirect_map(&bare_tx, 0, XDP_PASS);
}

SEC("xdp")
int bench_pass(struct xdp_md *ctx)
{
	(void)ctx;
	return XDP_PASS;
}
