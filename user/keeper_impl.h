/* user/keeper_impl.h -- what the keeper's files share: keeper.c (run, replace, stop) and keeper_child.c (privileges, fork,
 * exec, signals).
 *
 * In, out, owner rules: user/keeper.h. One thread; struct keeper lives in keeper_run(). */
#ifndef SALLYPORT_KEEPER_IMPL_H
#define SALLYPORT_KEEPER_IMPL_H

#include <limits.h>
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
	bool ready;
	char version[LODGE_TEXT], refused[LODGE_TEXT]; /* its own words */
};

/* One that handed over. */
struct keeper_old {
	pid_t pid;
	int life;
	uint64_t kill_due_ms; /* 0: it may stay */
};

enum keeper_turn {
	TURN_NONE,
	TURN_STARTING, /* .next runs, and has not said READY */
	TURN_READY,    /* it has; .now is to be told when it has all that it was given */
	TURN_HANDOVER, /* .now was told */
	TURN_REFUSED,  /* .next is about to end, and why is told then */
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
	bool ending, survived;
	int status;
	uint64_t start_due_ms, kill_due_ms; /* due: 0 = none */
	uint64_t watch_due_ms;
	uint64_t deaths[KEEPER_DEATHS];
	unsigned n_deaths;

	/* keeper_upgrade.c */
	char exe_path[PATH_MAX];
	int exe; /* binary of the last worker that was found good; -1: our own */
	enum keeper_turn turn;
	uint64_t turn_due_ms;
	struct keeper_worker next;
	bool done; /* .now said DONE */
	struct keeper_trial {
		bool on; /* until its worker is told to take over, or fails */
		bool reload;
		int exe;
	} trial;
	struct keeper_old old[2 * KEEPER_OLD_MAX];
	unsigned n_old;
};

/* keeper.c */
uint64_t keeper_now_ms(void);

/* keeper_child.c */
int keeper_find_user(struct keeper *k);
/* Only what it takes to start a child as the service's user is kept. */
int keeper_drop_capabilities(struct keeper *k);
/* Fork and execute the binary @exe (-1: our own) as a worker into the empty *w. 0 or negative errno. */
int keeper_child_start(struct keeper *k, struct keeper_worker *w, int exe);
/* Signal the worker @pid, not reaped yet, as its own user. */
void keeper_child_signal(const struct keeper *k, pid_t pid, int sig);

/* keeper_upgrade.c */
int keeper_upgrade_init(struct keeper *k);
void keeper_upgrade_fini(struct keeper *k);
/* Start the next worker beside .now. False with @why: nothing has changed. */
bool keeper_turn_begin(struct keeper *k, bool reload, char *why, size_t why_n);
/* Whether a turn may begin. */
bool keeper_turn_free(const struct keeper *k);
/* Read @w's channel. */
void keeper_hear(struct keeper *k, struct keeper_worker *w);
/* What is due; *due is lowered to the next time something is. */
void keeper_turn_step(struct keeper *k, uint64_t now, uint64_t *due);
/* A worker was reaped. False: it is none of these. */
bool keeper_next_died(struct keeper *k, pid_t pid, int status);
/* .now is dead. True: in a turn, and the next one has its place. */
bool keeper_now_died(struct keeper *k);
/* The service ends: no turn any more, and the others are signalled as well. */
void keeper_turn_end(struct keeper *k, int sig);
bool keeper_others(const struct keeper *k);

#endif
