/* selftests/bpf/rig_user.h -- the rig of the rung on sockets: user/media_user.c as the worker runs it, on real sockets.
 *
 * In: the frames of the packet tables, by a TAP device and the kernel's stack. Out: frames that the kernel made of what was sent, and
 * punches, which look like the frame that the BPF programs would have passed up. */
#ifndef SALLYPORT_TEST_RIG_USER_H
#define SALLYPORT_TEST_RIG_USER_H

#include "selftests/bpf/rig.h"

extern const struct rig_kind rig_user;

/* 0 or negative errno after a message. Sets r->kind. */
int rig_user_open(struct rig *r);
void rig_user_close(struct rig *r);

#endif
