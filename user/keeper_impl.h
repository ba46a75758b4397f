/* user/keeper_impl.h -- what the keeper's files share: keeper.c (run, replace, stop) and keeper_child.c (privileges, fork,
 * exec, signals).
 *
 * In, out, owner rules: user/keeper.h. One thread; struct keeper lives in keeper_run(). */
#ifndef SALLYPORT_KEEPER_IMPL_H
#define SALLYPORT_KEEPER_IMPL_H

#include <signal.h>
#include <sys/types.h>

#include "user/keeper.h"
#include "user/lodge_hold.h"

#define KEEPER_DEATHS 5 /* see keeper.h */

struct keeper_worker {
	pid_t pid; /* 0: none */
	int life;  /* writing end of its pipe: when it closes the worker is killed */
	struct lodge_channel ch;
	uint64_t started_ms;
};

struct keeper {
	struct keeper_plan *p;
	uid_t uid; /* of the worker */
	gid_t gid;
	bool change_user;
	sigset_t old_mask;
	int signals;
	struct lodge_hold *hold;
	struct keeper_worker now;
	bool ending, replacing, survived;
	int status;
	uint64_t start_due_ms, kill_due_ms; /* due: 0 = none */
	uint64_t deaths[KEEPER_DEATHS];
	unsigned n_deaths;
};

/* keeper_child.c */
int keeper_find_user(struct keeper *k);
/* Only what it takes to start a child as the service's user is kept. */
int keeper_drop_capabilities(struct keeper *k);
/* Fork and execute a worker into the empty *w. 0 or negative errno. */
int keeper_child_start(struct keeper *k, struct keeper_worker *w);
/* Signal the worker @pid, not reaped yet, as its own user. */
void keeper_child_signal(const struct keeper *k, pid_t pid, int sig);

#endif
