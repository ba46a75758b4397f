/* selftests/bpf/relay.h -- what relay.c and stories.c share: checks, single packets, the list of stories. */
#ifndef SALLYPORT_TEST_RELAY_H
#define SALLYPORT_TEST_RELAY_H

#include "selftests/bpf/rig.h"

struct totals {
	unsigned cases, passed, failed, untried;
};

struct story { /* several packets in a row, for each family */
	const char *name;
	void (*run)(struct rig *r, int fam);
};

extern const struct story stories[];
extern const unsigned stories_n;

bool check(bool good, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
int send_one(struct rig *r, const struct spec *s, struct rig_result *got);

#endif
