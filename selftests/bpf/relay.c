/* selftests/bpf/relay.c -- the packet tables through both real programs by BPF_PROG_TEST_RUN.
 *
 * Arguments: BPF objects that have to load as well. Prints a line a group and `bpf: N passed, N failed, N skipped`. Exit: 0, 1, or 77 where BPF may not be loaded.
 * Frames under 14 bytes cannot be tried: the kernel does not take them for a test run. */
#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>

#include "selftests/bpf/relay.h"
#include "selftests/bpf/rig_bpf.h"

/* Every object named on the command line has to be accepted by this kernel's verifier. */
static void object_check(const char *path)
{
	struct bpf_object *o = bpf_object__open_file(path, NULL);
	int e = o ? bpf_object__load(o) : -errno;

	check(!e, "%s: %s", path, strerror(-e));
	printf("bpf %s: %s\n", path, e ? "refused" : "accepted");
	bpf_object__close(o);
}

int main(int argc, char **argv)
{
	struct rlimit all = {RLIM_INFINITY, RLIM_INFINITY};
	struct rig rig = {0};
	int e;

	setvbuf(stdout, NULL, _IOLBF, 0);
	setrlimit(RLIMIT_MEMLOCK, &all);
	e = rig_bpf_open(&rig);
	if (e) {
		printf("bpf: the relay program does not load: %s\n", strerror(-e));
		if (e == -EPERM)
			printf("bpf: 0 passed, 0 failed, 1 skipped\n");
		return e == -EPERM ? 77 : 1;
	}
	for (int i = 1; i < argc; i++)
		object_check(argv[i]);
	rig.kind = &rig_xdp;
	tables_run(&rig);
	rig.kind = &rig_tc;
	tables_run(&rig);
	rig_bpf_close(&rig);
	printf("bpf: %u packets; %u more that the kernel takes for no test run of tc\n",
	       totals.cases, totals.untried);
	printf("bpf: %u passed, %u failed, 0 skipped\n", totals.passed, totals.failed);
	return totals.failed ? 1 : 0;
}
