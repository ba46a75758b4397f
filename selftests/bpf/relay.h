/* selftests/bpf/relay.h -- what the mains, tables.c and stories.c share: checks, single packets, the list of stories. */
#ifndef SALLYPORT_TEST_RELAY_H
#define SALLYPORT_TEST_RELAY_H

#include "selftests/bpf/rig.h"

struct totals {
	unsigned cases, passed, failed, untried, not_applicable;
};

struct story { /* several packets in a row, for each family */
	const char *name;
	void (*run)(struct rig *r, int fam);
};

extern const struct story stories[];
extern const unsigned stories_n;

void story_quality(struct rig *r, int fam); /* quality.c */

extern struct totals totals;

void tables_run(struct rig *r); /* all rows and stories */
bool check(bool good, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
int send_one(struct rig *r, const struct spec *s, struct rig_result *got);

#endif
