/* selftests/bpf/rig_wire.h -- a network namespace with three TAP devices, for a relay that gets its packets from the kernel's stack.
 *
 * In: whole frames, by rig0, which carries all of the rig's addresses. Out: the UDP frames that left by rig0, rig1 (the far side) or
 * rig2 (an MTU of RIG_MTU, IPv4 only). The routing table stands for the next hops of the BPF rungs. Enters the namespace for good. */
#ifndef SALLYPORT_TEST_RIG_WIRE_H
#define SALLYPORT_TEST_RIG_WIRE_H

#include "selftests/bpf/rig.h"

/* 0, or a negative errno after a message: no root, no TAP, no ip(8). */
int wire_open(const struct rig *r);
uint32_t wire_ifindex(void); /* of rig0 */
/* The way to @to from now on; HOP_NONE: there is none. */
void wire_route(const struct addr *to, enum rig_hop hop);
int wire_in(const uint8_t *frame, size_t n);
/* The next UDP frame that left and the hop it left by; 0: none. Others are counted by wire_others(). */
size_t wire_out(uint8_t frame[FRAME_MAX], enum rig_hop *hop);
unsigned wire_icmp(void); /* ICMP errors that left so far */

#endif
