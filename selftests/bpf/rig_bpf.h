/* selftests/bpf/rig_bpf.h -- the rig of the BPF programs. Maps are written by user/maps.c; the XDP and the tc program share them. A
 * test run makes the skb for tc itself: linear, tags in the bytes, no checksum of a device. */
#ifndef SALLYPORT_TEST_RIG_BPF_H
#define SALLYPORT_TEST_RIG_BPF_H

#include "selftests/bpf/rig.h"

extern const struct rig_kind rig_xdp, rig_tc;

/* 0 or negative errno (-EPERM: may not load). Then set r->kind, and rig_reset(). */
int rig_bpf_open(struct rig *r);
void rig_bpf_close(struct rig *r);

#endif
