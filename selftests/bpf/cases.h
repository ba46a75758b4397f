/* selftests/bpf/cases.h -- the packet table: one row is one packet to one flow, run for each pair of families that applies. */
#ifndef SALLYPORT_TEST_CASES_H
#define SALLYPORT_TEST_CASES_H

#include "selftests/bpf/rig.h"

enum who { FROM_PEER, FROM_PEER_PORT, FROM_STRANGER }; /* the peer: client inwards, core outwards */
enum where { TO_FLOW, TO_BELOW, TO_ABOVE, TO_STACK };

/* Bits of the rig's pairs. */
#define V4     1u
#define V6     2u
#define BOTH   3u
#define V4_V6  4u /* outside IPv4, inside IPv6 */
#define V6_V4  8u
#define ACROSS 12u

struct row {
	const char *name;
	unsigned pairs;
	enum rig_flow flow;
	bool outward; /* core -> client, to the inside address */
	enum who who;
	enum where where; /* TO_BELOW, TO_ABOVE: the ports beside the range; TO_STACK: port 53 */
	enum relay_reason want;
	struct spec mod; /* all but addresses and MACs */
};

struct group {
	const char *name;
	const struct row *rows;
	unsigned n;
};

extern const struct group groups[];
extern const unsigned groups_n;

#endif
