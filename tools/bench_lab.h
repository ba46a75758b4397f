/* tools/bench_lab.h -- the bench's laboratory: lanes of generator -> device under test -> sink, and how their cost is read.
 *
 * A lane is two veth pairs: gN (generator) = dN (device under test, in), eN (device under test, out) = sN (sink). tools/bench makes the
 * namespaces; lab_open() attaches generator and sink and finds the threaded-NAPI kthreads. Cost of the device under test = schedstat
 * of dN's kthread and of all threads of a process named to it. Generator and sink run on cpu 0, the device under test on cpu 1.
 * A lane may be used both ways (lab_attach_both): frames then come from sN as well, gN has a sink, too, and eN's kthread counts.
 * Owner rules: the lab owns its BPF objects and links; namespaces are the script's. One thread. */
#ifndef SALLYPORT_BENCH_LAB_H
#define SALLYPORT_BENCH_LAB_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "bpf/bench.h"

#define LAB_LANES      3
#define LAB_FRAMES_MAX 250000

struct lab_lane {
	char ns[32], gen_if[16], in_if[16], out_if[16], sink_if[16];
	unsigned gen_index, in_index, out_index, sink_index;
	uint8_t gen_mac[6], in_mac[6], out_mac[6], sink_mac[6];
	pid_t napi_in, napi_sink;
	bool both; /* traffic goes both ways: */
	pid_t napi_out, napi_gen;
};

struct lab_run {
	const struct lab_lane *lane;
	uint64_t packets;
	uint32_t frames; /* how many of the prepared frames are used */
	bool random, stamp;
	bool rtp;     /* RTP headers that go on: what a call's packets are like */
	uint64_t pps; /* 0: flat out */
	pid_t dut;    /* a process that belongs to the device under test, or 0 */
};

struct lab_result {
	uint64_t sent, received;
	double loss, cpu_s, seconds, pps_per_cpu_s, p50_us, p99_us;
	double behind; /* share not yet received when the last one was sent: what queues hide */
};

struct lab;

/* @name: prefix of the namespaces (NAME-g, NAME-0 ...) and suffix of the interfaces. 0 or negative errno after a message. */
int lab_open(const char *name, struct lab **out);
void lab_close(struct lab *l);
struct lab_lane *lab_lane(struct lab *l, unsigned i);
struct bench_frame *lab_frames(struct lab *l); /* LAB_FRAMES_MAX of them */
/* Enter the lane's namespace (or the generator's with NULL). */
int lab_enter(struct lab *l, const struct lab_lane *lane);
int lab_attach_bare(struct lab *l, const struct lab_lane *lane); /* bare redirect on dN to eN */
int lab_attach_pass(struct lab *l,
		    const struct lab_lane *lane); /* XDP_PASS on dN: packets become skbs */
/* XDP_PASS on dN and eN, a sink on gN as well. */
int lab_attach_both(struct lab *l, struct lab_lane *lane);
int lab_find_napi(struct lab_lane *lane); /* after a program is on dN: NAPI exists only then */
/* Start @argv in the lane's namespace on cpu 1, its output in DIR/LOG. Its pid or negative errno. */
pid_t lab_spawn(struct lab *l, const struct lab_lane *lane, char *const argv[], const char *log,
		const char *dir);
int lab_measure(struct lab *l, const struct lab_run *r, struct lab_result *out);

/* Ethernet, IPv4 and UDP with right checksums around @payload, BENCH_FRAME_LEN bytes in all. */
void lab_frame_build(struct bench_frame *f, const struct lab_lane *lane, uint32_t saddr,
		     uint16_t sport, uint32_t daddr, uint16_t dport, const uint8_t *payload);
#define LAB_PAYLOAD \
	(BENCH_FRAME_LEN - 42) /* of UDP: RTP 12 + 160 and SRTP's tag of 10, or RTP 12 + 170 */
/* LAB_PAYLOAD bytes of RTP, PCMU. */
void lab_rtp(uint8_t *p, uint16_t seq, uint32_t ssrc);
/* Make a built frame come from the sink's side, towards eN. */
void lab_frame_turn(struct bench_frame *f, const struct lab_lane *lane);

/* tools/bench_rtpengine.c: a fresh rtpengine in lane 2 bridging @calls SRTP calls; fills frames: @frames_a_call of SRTP, and where
 * @both as many of RTP from the other side, alternating. Returns its pid or negative errno. */
pid_t bench_rtpengine_start(struct lab *l, unsigned calls, unsigned frames_a_call, bool both);
void bench_rtpengine_stop(pid_t pid);

#endif
