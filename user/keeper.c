/* user/keeper.c -- run the worker, replace it when it dies, stop it when asked. See keeper.h.
 *
 * In: a plan of descriptors, signals, the worker's channel. Out: one worker process at a time. No thread, no peer's
 * byte; one signalfd and poll(2). */
#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/signalfd.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "user/keeper_impl.h"
#include "user/keeper_store.h"
#include "user/log.h"

/* KEEPER_DEATHS deaths ... */
#define KEEPER_DEATHS_MS 10000 /* ... within this time ... */
#define KEEPER_DELAY_MS	 1000  /* ... and the next start waits this long */
#define KEEPER_STOP_MS	 5000  /* SIGTERM to SIGKILL */
#define KEEPER_STALL_MS	 10    /* the kernel has too many descriptors in flight */
#define KEEPER_EARLY_MS	 1000  /* a first worker that gives up before: its start-up failed */

uint64_t keeper_now_ms(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000 + (uint64_t)t.tv_nsec / 1000000;
}

static void start_worker(struct keeper *k)
{
	int err;

	k->start_due_ms = 0;
	lodge_head_again(k->p);
	err = keeper_child_start(k, &k->now, k->exe);
	if (err) {
		log_event(LOG_L_ERROR, "worker-start-failed", "error=\"%s\"", strerror(-err));
		k->start_due_ms = k->now.started_ms + KEEPER_DELAY_MS;
		return;
	}
	log_event(LOG_L_INFO, "worker-started", "pid=%d", k->now.pid);
	lodge_channel_give(k->hold, &k->now.ch);
}

static void stop_all(struct keeper *k, int sig)
{
	if (k->now.pid > 0)
		keeper_child_signal(k, k->now.pid, sig);
	keeper_turn_end(k, sig);
	k->kill_due_ms = keeper_now_ms() + KEEPER_STOP_MS;
}

/* When may the next worker start, after a death now? */
static uint64_t next_start(struct keeper *k, uint64_t now)
{
	uint64_t oldest;

	k->deaths[k->n_deaths++ % KEEPER_DEATHS] = now;
	if (k->n_deaths < KEEPER_DEATHS)
		return now;
	/* The slot after the newest is the oldest of the last five. */
	oldest = k->deaths[k->n_deaths % KEEPER_DEATHS];
	return now - oldest < KEEPER_DEATHS_MS ? now + KEEPER_DELAY_MS : now;
}

static void worker_died(struct keeper *k, int status)
{
	uint64_t now = keeper_now_ms(), lived = now - k->now.started_ms;
	bool gave_up = WIFEXITED(status) && WEXITSTATUS(status) != 0;

	k->now.pid = 0;
	close(k->now.life);
	lodge_channel_drain(k->hold, &k->now.ch, NULL, NULL);
	if (k->ending || (status == 0 && k->turn == TURN_HANDOVER && keeper_now_died(k)))
		return;
	log_event(LOG_L_ERROR, "worker-died", "%s=%d lived_ms=%llu",
		  WIFSIGNALED(status) ? "signal" : "status",
		  WIFSIGNALED(status) ? WTERMSIG(status) : WEXITSTATUS(status),
		  (unsigned long long)lived);
	if (keeper_now_died(k))
		return;
	if (!k->survived && gave_up && lived < KEEPER_EARLY_MS) {
		k->ending = true;
		k->status = WEXITSTATUS(status);
		return;
	}
	k->survived = true;
	k->start_due_ms = next_start(k, now);
	if (k->start_due_ms > now)
		log_event(LOG_L_ERROR, "worker-delayed", "deaths=%u delay_ms=%d", k->n_deaths,
			  KEEPER_DELAY_MS);
}

static void reap(struct keeper *k)
{
	int status;
	pid_t pid;

	while ((pid = waitpid(-1, &status, WNOHANG)) > 0)
		if (pid == k->now.pid)
			worker_died(k, status);
		else
			keeper_next_died(k, pid, status);
}

/* Descriptors were replaced: for the next worker, beside the one that runs or in place of one that is dead. */
static void reload_begin(struct keeper *k)
{
	char why[160];

	if (k->now.pid > 0) {
		if (!keeper_turn_begin(k, true, why, sizeof(why)))
			log_event(LOG_L_ERROR, "reload-refused", "kept=old reason=\"%s\"", why);
		return;
	}
	keeper_reopened(k->p, true); /* for the worker that is about to be started */
	if (k->p->reloaded)
		k->p->reloaded(k->p->arg, k->p, true);
}

/* Whether files that the plan watches were replaced. */
static void watch(struct keeper *k, uint64_t now, uint64_t *due)
{
	int err;

	if (!k->p->watch || k->ending)
		return;
	if (k->watch_due_ms <= now) {
		k->watch_due_ms = now + KEEPER_WATCH_MS;
		err = keeper_turn_free(k) ? k->p->watch(k->p->arg, k->p) : -EAGAIN;
		if (!err)
			reload_begin(k);
		else if (err != -EAGAIN)
			keeper_reopened(k->p, false);
	}
	if (!*due || k->watch_due_ms < *due)
		*due = k->watch_due_ms;
}

static void reload(struct keeper *k)
{
	if (k->ending || !k->p->reload)
		return;
	if (!keeper_turn_free(k)) {
		log_event(LOG_L_ERROR, "reload-refused",
			  "kept=old reason=\"workers are changing places now: once more, please\"");
		return;
	}
	if (k->p->reload(k->p->arg, k->p)) {
		keeper_reopened(k->p, false);
		log_event(LOG_L_ERROR, "reload-refused",
			  "kept=old reason=\"the configuration: see above\"");
		return;
	}
	reload_begin(k);
}

static void on_signal(struct keeper *k)
{
	struct signalfd_siginfo si;

	while (read(k->signals, &si, sizeof(si)) == (ssize_t)sizeof(si)) {
		if (si.ssi_signo == SIGCHLD) {
			reap(k);
		} else if (si.ssi_signo == SIGHUP) {
			reload(k);
		} else {
			k->ending = true;
			k->start_due_ms = 0;
			stop_all(k, SIGTERM);
		}
	}
}

/* What is due is done; returns milliseconds until the next thing, -1 for none. */
static int do_due(struct keeper *k)
{
	uint64_t now = keeper_now_ms(), due;

	if (k->start_due_ms && k->start_due_ms <= now)
		start_worker(k);
	if (k->kill_due_ms && k->kill_due_ms <= now) {
		log_event(LOG_L_WARN, "worker-killed", "reason=\"did not stop within %d ms\"",
			  KEEPER_STOP_MS);
		stop_all(k, SIGKILL);
	}
	due = k->start_due_ms ? k->start_due_ms : k->kill_due_ms;
	keeper_turn_step(k, now, &due);
	keeper_store_step(k->p, now, &due);
	watch(k, now, &due);
	now = keeper_now_ms();
	return !due ? -1 : due <= now ? 0 : (int)(due - now);
}

static int keeper_setup(struct keeper *k)
{
	sigset_t mask;
	int err;

	sigemptyset(&mask);
	sigaddset(&mask, SIGTERM);
	sigaddset(&mask, SIGINT);
	sigaddset(&mask, SIGHUP);
	sigaddset(&mask, SIGCHLD);
	if (sigprocmask(SIG_BLOCK, &mask, &k->old_mask))
		return -errno;
	k->signals = signalfd(-1, &mask, SFD_CLOEXEC | SFD_NONBLOCK);
	if (k->signals < 0)
		return -errno;
	err = keeper_find_user(k);
	if (!err)
		err = lodge_hold_new(k->p->lodge_slots, &k->hold);
	if (!err)
		err = keeper_store_lodge(k->p, k->hold);
	if (!err)
		err = keeper_upgrade_init(k);
	return err ? err : keeper_drop_capabilities(k);
}

static void pollfd_of(const struct lodge_channel *c, struct pollfd *out, int *ms)
{
	*out = (struct pollfd){.fd = c->fd,
			       .events = c->giving && !c->stalled ? POLLIN | POLLOUT : POLLIN};
	if (c->stalled && (*ms < 0 || *ms > KEEPER_STALL_MS))
		*ms = KEEPER_STALL_MS;
}

/* Signals and the workers' channels, until something is due. What a worker said counts before its death. */
static void hear(struct keeper *k)
{
	struct pollfd pfd[3] = {{.fd = k->signals, .events = POLLIN}};
	int ms = do_due(k);

	pollfd_of(&k->now.ch, &pfd[1], &ms);
	pollfd_of(&k->next.ch, &pfd[2], &ms);
	if (poll(pfd, 3, ms) < 0)
		return;
	if (pfd[2].revents)
		keeper_hear(k, &k->next);
	if (pfd[1].revents & ~POLLOUT)
		keeper_hear(k, &k->now);
	if (k->now.ch.giving)
		lodge_channel_write(k->hold, &k->now.ch);
	if (pfd[0].revents)
		on_signal(k);
}

int keeper_run(struct keeper_plan *p)
{
	struct keeper k = {.p = p, .signals = -1};
	int err = keeper_setup(&k);

	if (err) {
		log_event(LOG_L_ERROR, "start-failed", "reason=\"keeper: %s\"", strerror(-err));
		return 1;
	}
	keeper_store_begin(p);
	k.start_due_ms = keeper_now_ms();
	do_due(&k);
	keeper_store_say("READY=1");
	while (!k.ending || k.now.pid > 0 || keeper_others(&k))
		hear(&k);
	keeper_store_say("STOPPING=1");
	keeper_store_end(p);
	lodge_hold_free(k.hold);
	keeper_upgrade_fini(&k);
	close(k.signals);
	sigprocmask(SIG_SETMASK, &k.old_mask, NULL);
	return k.status;
}
