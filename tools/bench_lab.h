/* tools/bench_lab.h -- the bench's laboratory: lanes of generator -> device under test -> sink, and how their cost is read.
 *
 * A lane is two veth pairs: gN (generator) = dN (device under test, in), eN (device under test, out) = sN (sink). tools/bench makes the
 * namespaces; lab_open() attaches generator and sink and finds the threaded-NAPI kthreads. Cost of the device under test = schedstat
 * of dN's kthread and of all threads of a process named to it. Generator and sink run on cpu 0, the device under test on cpu 1.
 * Owner rules: the lab owns its BPF objects and links; namespaces are the script's. One thread. */
#ifndef SALLYPORT_BENCH_LAB_H
#define SALLYPORT_BENCH_LAB_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "bpf/bench.h"

#define LAB_LANES      3
#define LAB_FRAMES_MAX 200000

struct lab_lane {
	char ns[32], gen_if[16], in_if[16], out_if[16], sink_if[16];
	unsigned gen_index, in_index, out_index, sink_index;
	uint8_t gen_mac[6], in_mac[6], out_mac[6], sink_mac[6];
	pid_t napi_in, napi_sink;
};

struct lab_run {
	const struct lab_lane *lane;
	uint64_t packets;
	uint32_t frames; /* how many of the prepared frames are used */
	bool random, stamp;
	uint64_t pps; /* 0: flat out */
	pid_t dut;    /* a process that belongs to the device under test, or 0 */
};

struct lab_result {
	uint64_t sent, received;
	double loss, cpu_s, seconds, pps_per_cpu_s, p50_us, p99_us;
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
int lab_find_napi(struct lab_lane *lane); /* after a program is on dN: NAPI exists only then */
int lab_measure(struct lab *l, const struct lab_run *r, struct lab_result *out);

/* Ethernet, IPv4 and UDP with right checksums around @payload, BENCH_FRAME_LEN bytes in all. */
void lab_frame_build(struct bench_frame *f, const struct lab_lane *lane, uint32_t saddr,
		     uint16_t sport, uint32_t daddr, uint16_t dport, const uint8_t *payload);

/* tools/bench_rtpengine.c: a fresh rtpengine in lane 2 bridging @calls SRTP calls; fills frames. Returns its pid or negative errno. */
pid_t bench_rtpengine_start(struct lab *l, unsigned calls, unsigned frames_a_call);
void bench_rtpengine_stop(pid_t pid);

#endif
