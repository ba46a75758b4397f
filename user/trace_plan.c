/* user/trace_plan.c -- see trace_plan.h. */
#include "user/trace_plan.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "user/keeper_store.h"
#include "user/trace.h"

#define SEALS (F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL)

int trace_plan(struct keeper_plan *p, unsigned records, char *why, size_t why_n)
{
	uint64_t size = trace_bytes(records);
	int fd = keeper_take_memory(p, "trace", size, SEALS), err = 0;
	bool taken = fd >= 0;

	if (!taken) {
		fd = memfd_create("sallyport-trace", MFD_CLOEXEC | MFD_ALLOW_SEALING);
		if (fd < 0 || ftruncate(fd, (off_t)size) || fcntl(fd, F_ADD_SEALS, SEALS))
			err = -errno;
	}
	if (!err)
		err = keeper_add(p, "trace", fd);
	if (err) {
		snprintf(why, why_n, "trace_records: %s", strerror(-err));
		if (fd >= 0)
			close(fd);
		return err;
	}
	keeper_outlives(p, taken);
	return 0;
}
