/* user/account.c -- the admin socket for the group of the worker's account. See account.h. */
#include "user/account.h"

#include <errno.h>
#include <grp.h>
#include <pwd.h>
#include <stdio.h>

int account_listen_admin(struct keeper_plan *p, const char *path, const char *user, char *why,
			 size_t why_n)
{
	const struct passwd *pw = getpwnam(user);
	const struct group *g = pw ? getgrgid(pw->pw_gid) : NULL;

	if (!g) {
		snprintf(
			why, why_n,
			"user: no account \"%.32s\" with a group; make one: useradd --system %.32s",
			user, user);
		return -ENOENT;
	}
	return keeper_listen_unix(p, "admin", path, g->gr_name, why, why_n);
}
