/* tools/host_choice.h -- which of this machine's addresses is towards clients, and which towards the core.
 *
 * Data flow: host_list() asks the kernel -> host_choose() takes what the operator said, and decides the rest where there is exactly one
 * sensible choice; else an error that lists the addresses and names the option. host_choose() is pure.
 * IPv6 addresses are taken only where the operator names them, or where there is no IPv4 at all. Plain values, no owner. */
#ifndef SALLYPORT_HOST_CHOICE_H
#define SALLYPORT_HOST_CHOICE_H

#include <stdbool.h>
#include <stddef.h>

#include "user/addr.h"

#define HOST_ADDRS_MAX 64
#define HOST_WHY_MAX   1024

struct host_addr {
	struct addr a; /* no port */
	char dev[16];
	bool is_private; /* RFC 1918, RFC 6598, RFC 4193: not of the internet */
	bool is_default; /* the default route leaves from it */
};

struct host_wish {	     /* texts of the options; NULL: not given */
	const char *public_; /* what clients are told: ours, or that of a static NAT in front */
	const char *outside, *inside;
};

struct host_choice {
	struct addr public_, outside, inside; /* outside and inside may be the same: one card */
	const char *outside_dev, *inside_dev; /* in the list */
};

/* Addresses of interfaces that are up, without loopback and link-local ones. Returns their number. */
unsigned host_list(struct host_addr out[HOST_ADDRS_MAX]);
/* 0 or -EINVAL with @why. */
int host_choose(const struct host_addr *all, unsigned n, const struct host_wish *w,
		struct host_choice *out, char why[HOST_WHY_MAX]);
/* The address of ours that packets to @to leave from; -EHOSTUNREACH and the like. */
int host_source(const struct addr *to, struct addr *out);

#endif
