/* tools/ctl_capture.h -- what the files of "sallyctl capture" share: ctl_capture.c (which legs, the file, the end), ctl_sniff.c (packets that
 * pass the host's stack), ctl_tap.c (packets that the XDP relay carries past it).
 *
 * Data flow: the daemon's `calls` and `flows` -> legs, each with an end that is its own -> both sources look for these ends only -> capture_take()
 * -> the file. Owner: ctl_capture.c; a source lives from _open to _close. */
#ifndef SALLYPORT_CTL_CAPTURE_H
#define SALLYPORT_CTL_CAPTURE_H

#include <stdbool.h>
#include <stdio.h>

#include "user/addr.h"

#define CAPTURE_LEGS 64
#define CAPTURE_SNAP 2032

struct capture_leg {
	struct addr
		end; /* of this leg alone: our address and port there, or (core, towards the edge) the edge's */
	bool xdp;      /* its packets do not pass the stack, but are to be tapped: */
	uint64_t flow; /* of this one, */
	bool inside;   /* at this side of it */
	char name[48], what[200];
	uint64_t packets;
};

struct capture {
	struct capture_leg legs[CAPTURE_LEGS];
	unsigned n;
	FILE *f;
	uint64_t packets, max, lost, last_ns;
};

/* @data: as the leg's kind of link has it. */
void capture_take(struct capture *c, unsigned leg, uint64_t at_ns, bool out, const void *data,
		  size_t kept, size_t len);
bool capture_full(const struct capture *c);

/* Legs without .xdp. The descriptor to poll, or a negative errno with @why. */
struct sniff;
int sniff_open(struct capture *c, struct sniff **out, char *why, size_t why_n);
void sniff_read(struct sniff *s);  /* what is there */
void sniff_close(struct sniff *s); /* adds to c->lost */
/* Legs with .xdp, the same; @socket: the edge's, @seconds: of the lease. */
struct tap;
int tap_open(struct capture *c, const char *socket, unsigned seconds, struct tap **out, char *why,
	     size_t why_n);
void tap_read(struct tap *t);
void tap_close(struct tap *t);

#endif
