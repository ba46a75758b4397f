/* user/bpf_plan.c -- see bpf_plan.h. In: what is to be loaded; in the worker, descriptors by name. Out: entries of the plan; maps. */
#include "user/bpf_plan.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "bpf/abi.h"

enum rung bpf_plan_wish(const char *word)
{
	static const char *const words[] = {"auto", "xdp", "tc", "user"};
	unsigned i;

	for (i = 0; strcmp(word, words[i]); i++)
		;
	return (enum rung)i;
}

int bpf_plan(struct keeper_plan *p, const struct bpf_load_params *bp,
	     struct media_rung out_rungs[RUNG_PAIRS_MAX], char *why, size_t why_n)
{
	struct maps_fds fds;
	const struct {
		const char *name;
		const int *fd;
	} names[] = {{"map.flows", &fds.flows},		{"map.flow_state", &fds.flow_state},
		     {"map.next_hops", &fds.next_hops}, {"map.bans", &fds.bans},
		     {"map.reasons", &fds.reasons},	{"map.live", &fds.live}};
	int err = bpf_load(bp, &fds, out_rungs, why, why_n);
	unsigned i;

	for (i = 0; i < sizeof(names) / sizeof(names[0]) && !err; i++) {
		err = keeper_add(p, names[i].name, *names[i].fd);
		if (err)
			snprintf(why, why_n, "%s: %s", names[i].name, strerror(-err));
	}
	return err;
}

int bpf_plan_rungs(struct keeper_plan *p, const struct media_rung rungs[RUNG_PAIRS_MAX], char *why,
		   size_t why_n)
{
	const uint32_t abi = SP_ABI;
	int err = keeper_data(p, "rungs", rungs, RUNG_PAIRS_MAX * sizeof(*rungs));

	if (!err)
		err = keeper_data(p, "abi", &abi, sizeof(abi));
	if (err)
		snprintf(why, why_n, "rungs: %s", strerror(-err));
	return err;
}

int bpf_plan_check(char *why, size_t why_n)
{
	int fd = keeper_fd("abi");
	uint32_t abi = 0;

	if (fd < 0 || (pread(fd, &abi, sizeof(abi), 0) == (ssize_t)sizeof(abi) && abi == SP_ABI))
		return 0;
	snprintf(why, why_n, "maps are of ABI %u, and this binary knows %u", abi, SP_ABI);
	return -EPROTO;
}

int bpf_plan_rungs_read(struct media_rung out[RUNG_PAIRS_MAX])
{
	char *bytes = NULL;
	size_t n = 0;
	int err = keeper_read("rungs", &bytes, &n);

	if (!err && n != RUNG_PAIRS_MAX * sizeof(*out))
		err = -EPROTO;
	if (!err)
		memcpy(out, bytes, n);
	free(bytes);
	return err;
}

int bpf_plan_open(const struct maps_pair *pairs, unsigned n_pairs, struct maps **out)
{
	struct maps_fds fds = {
		.flows = keeper_fd("map.flows"),
		.flow_state = keeper_fd("map.flow_state"),
		.next_hops = keeper_fd("map.next_hops"),
		.bans = keeper_fd("map.bans"),
		.reasons = keeper_fd("map.reasons"),
		.live = keeper_fd("map.live"),
	};

	return maps_open(&fds, pairs, n_pairs, out);
}
