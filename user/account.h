/* user/account.h -- what follows from the worker's account. In: its name. Out: the admin socket, open for its primary group, in the
 * keeper's plan, which owns it. */
#ifndef SALLYPORT_ACCOUNT_H
#define SALLYPORT_ACCOUNT_H

#include <stddef.h>

#include "user/keeper.h"

/* 0 or a negative errno; @why names the account that is missing, or the path. */
int account_listen_admin(struct keeper_plan *p, const char *path, const char *user, char *why,
			 size_t why_n);

#endif
