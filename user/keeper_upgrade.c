/* user/keeper_upgrade.c -- the next worker beside the old one, and what it takes to change places. See keeper.h, "Hand-over".
 *
 *                 READY                 .now has all            DONE, its death, or 5 s and SIGKILL
 *   STARTING --------------> READY -----------------> HANDOVER ------------------------------------> GO: .next is .now
 *      |  refuses, dies,       | .next dies               \ .next dies: a new one is started when .now is gone
 *      v  10 s                 v
 *   REFUSED, until it is dead: .now goes on; .now dies in STARTING or READY: GO at once
 *
 * In: words and deaths of workers, time. Out: one worker after another that is told GO; the reason where there is none. What
 * is tried (a binary, files that were opened anew) is kept from the HANDOVER on, and given up before. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "user/keeper_impl.h"
#include "user/log.h"

#define READY_MS    10000
#define HANDOVER_MS 5000
#define LEAVE_MS    5000 /* of one that was sent away: SIGTERM to SIGKILL */

int keeper_upgrade_init(struct keeper *k)
{
	ssize_t n;

	k->exe = k->trial.exe = -1;
	k->now.ch.fd = k->next.ch.fd = -1;
	if (k->p->exe) {
		snprintf(k->exe_path, sizeof(k->exe_path), "%s", k->p->exe);
		return 0;
	}
	n = readlink("/proc/self/exe", k->exe_path, sizeof(k->exe_path) - 1);
	if (n < 0)
		return -errno;
	k->exe_path[n] = 0;
	return 0;
}

void keeper_upgrade_fini(struct keeper *k)
{
	if (k->exe >= 0)
		close(k->exe);
}

static const char *turn_name(const struct keeper *k)
{
	return k->trial.reload ? "reload" : "upgrade";
}

/* ---- what is tried ---- */

static void trial_end(struct keeper *k, bool good)
{
	struct keeper_trial t = k->trial;

	if (!t.on)
		return;
	k->trial.on = false;
	k->trial.exe = -1;
	if (t.reload) {
		keeper_reopened(k->p, good);
		if (k->p->reloaded)
			k->p->reloaded(k->p->arg, k->p, good);
	} else {
		if (good ? k->exe >= 0 : t.exe >= 0)
			close(good ? k->exe : t.exe);
		k->exe = good ? t.exe : k->exe;
	}
}

static void answer(struct keeper *k, const char *why)
{
	struct lodge_msg m = {.op = LODGE_ANSWER};

	snprintf(m.text, sizeof(m.text), "%s", why);
	if (lodge_channel_say(&k->now.ch, &m))
		log_event(LOG_L_WARN, "upgrade-answer-lost", "pid=%d", k->now.pid);
}

/* Nothing has changed, and .next is gone. */
static void turn_refused(struct keeper *k, const char *why)
{
	char quoted[LODGE_TEXT];

	log_event(LOG_L_ERROR, k->trial.reload ? "reload-refused" : "upgrade-refused",
		  "kept=old reason=%s", log_esc(span_str(why), quoted, sizeof(quoted)));
	k->turn = TURN_NONE;
	if (!k->trial.reload)
		answer(k, why);
	trial_end(k, false);
}

/* It has touched nothing yet. */
static void turn_refuse(struct keeper *k, const char *why)
{
	if (why != k->next.refused)
		snprintf(k->next.refused, sizeof(k->next.refused), "%s", why);
	k->turn = TURN_REFUSED;
	k->turn_due_ms = keeper_now_ms() + LEAVE_MS;
	keeper_child_signal(k, k->next.pid, SIGKILL);
}

bool keeper_turn_free(const struct keeper *k)
{
	return k->turn == TURN_NONE && k->next.pid <= 0 && !k->trial.on && !k->ending;
}

bool keeper_turn_begin(struct keeper *k, bool reload, char *why, size_t why_n)
{
	int err, exe = reload ? -1 : open(k->exe_path, O_RDONLY | O_CLOEXEC);

	if (!reload && exe < 0) {
		snprintf(why, why_n, "cannot open %.150s: %s", k->exe_path, strerror(errno));
		return false;
	}
	k->trial = (struct keeper_trial){.on = true, .reload = reload, .exe = exe};
	err = keeper_child_start(k, &k->next, reload ? k->exe : exe);
	if (err) {
		snprintf(why, why_n, "the next worker cannot be started: %s", strerror(-err));
		trial_end(k, false);
		return false;
	}
	k->turn = TURN_STARTING;
	k->turn_due_ms = k->next.started_ms + READY_MS;
	log_event(LOG_L_INFO, "worker-next", "pid=%d for=%s binary=%s", k->next.pid, turn_name(k),
		  reload ? "same" : k->exe_path);
	return true;
}

/* ---- those that handed over ---- */

static void old_forget(struct keeper *k, unsigned i)
{
	close(k->old[i].life); /* kills it, if it is not dead */
	k->n_old--;
	memmove(&k->old[i], &k->old[i + 1], (k->n_old - i) * sizeof(k->old[0]));
}

static void old_add(struct keeper *k, pid_t pid, int life)
{
	unsigned i, staying = 0;

	if (k->n_old == sizeof(k->old) / sizeof(k->old[0]))
		old_forget(k, 0);
	k->old[k->n_old++] = (struct keeper_old){.pid = pid, .life = life};
	for (i = k->n_old; i-- > 0;) {
		if (k->old[i].kill_due_ms || ++staying <= KEEPER_OLD_MAX)
			continue;
		log_event(LOG_L_WARN, "worker-sent-away",
			  "pid=%d reason=\"%d newer ones live on beside the worker\"",
			  k->old[i].pid, KEEPER_OLD_MAX);
		keeper_child_signal(k, k->old[i].pid, SIGTERM);
		k->old[i].kill_due_ms = keeper_now_ms() + LEAVE_MS;
	}
}

/* ---- changing places ---- */

static void next_takes_over(struct keeper *k)
{
	k->turn = TURN_NONE;
	k->done = false;
	k->kill_due_ms = 0;
	k->survived = true;
	if (k->next.pid <= 0) {
		k->start_due_ms = keeper_now_ms();
		return;
	}
	k->now = k->next;
	k->next = (struct keeper_worker){.ch.fd = -1};
	k->now.started_ms = keeper_now_ms();
	log_event(LOG_L_INFO, "worker-took-over", "pid=%d", k->now.pid);
	if (k->now.ready)
		trial_end(k, true);
	lodge_channel_give(k->hold, &k->now.ch);
}

bool keeper_now_died(struct keeper *k)
{
	if (k->turn == TURN_REFUSED)
		return false;
	if (k->turn == TURN_NONE) {
		trial_end(k, false); /* it had to take over before it was ready */
		return false;
	}
	next_takes_over(k);
	return true;
}

static void now_hands_over(struct keeper *k)
{
	struct lodge_msg m = {.op = LODGE_HANDOVER,
			      .slot = (uint32_t)k->next.pid,
			      .role = k->trial.reload ? LODGE_FOR_RELOAD : LODGE_FOR_UPGRADE};

	memcpy(m.text, k->next.version, sizeof(m.text));
	trial_end(k, true);
	/* One that cannot be told does not read, and is killed when its time is over. */
	if (lodge_channel_say(&k->now.ch, &m))
		log_event(LOG_L_WARN, "handover-lost", "pid=%d", k->now.pid);
	k->turn = TURN_HANDOVER;
	k->turn_due_ms = keeper_now_ms() + HANDOVER_MS;
}

static void now_is_done(struct keeper *k)
{
	log_event(LOG_L_INFO, "worker-handed-over", "pid=%d", k->now.pid);
	lodge_channel_close(&k->now.ch);
	old_add(k, k->now.pid, k->now.life);
	k->now.pid = 0;
	next_takes_over(k);
}

static void low(uint64_t *due, uint64_t t)
{
	if (!*due || t < *due)
		*due = t;
}

void keeper_turn_step(struct keeper *k, uint64_t now, uint64_t *due)
{
	unsigned i;

	if (k->turn == TURN_READY && (!k->now.ch.giving || k->turn_due_ms <= now))
		now_hands_over(k);
	if (k->turn == TURN_STARTING && k->turn_due_ms <= now)
		turn_refuse(k, "the next worker was not ready within 10 s");
	if (k->turn == TURN_HANDOVER && k->turn_due_ms <= now) {
		log_event(LOG_L_ERROR, "worker-killed",
			  "pid=%d reason=\"did not hand over within %d ms\"", k->now.pid,
			  HANDOVER_MS);
		keeper_child_signal(k, k->now.pid, SIGKILL);
		k->turn_due_ms = now + HANDOVER_MS;
	}
	if ((k->turn == TURN_REFUSED || k->ending) && k->next.pid > 0 && k->turn_due_ms <= now) {
		keeper_child_signal(k, k->next.pid, SIGKILL); /* it was not of its user yet */
		k->turn_due_ms = now + LEAVE_MS;
	}
	if (k->next.pid > 0 || k->turn != TURN_NONE)
		low(due, k->turn_due_ms);
	for (i = 0; i < k->n_old; i++) {
		if (!k->old[i].kill_due_ms)
			continue;
		if (k->old[i].kill_due_ms <= now) {
			keeper_child_signal(k, k->old[i].pid, SIGKILL);
			k->old[i].kill_due_ms = now + LEAVE_MS;
		}
		low(due, k->old[i].kill_due_ms);
	}
}

/* ---- words ---- */

struct hearing {
	struct keeper *k;
	struct keeper_worker *w;
};

static void refused_word(struct keeper *k, struct keeper_worker *w, const struct lodge_msg *m)
{
	char quoted[LODGE_TEXT];

	memcpy(w->refused, m->text, sizeof(w->refused));
	if (w == &k->next && k->turn == TURN_STARTING) {
		turn_refuse(k, w->refused);
		return;
	}
	log_event(LOG_L_ERROR, "worker-refused", "pid=%d reason=%s", w->pid,
		  log_esc(span_str(w->refused), quoted, sizeof(quoted)));
	if (w == &k->now &&
	    k->trial.on) /* the one before it died meanwhile: what that had is kept */
		keeper_child_signal(k, w->pid, SIGKILL);
}

static void upgrade_word(struct keeper *k)
{
	char why[LODGE_TEXT] = "another one is going on";

	if (!keeper_turn_free(k) || !keeper_turn_begin(k, false, why, sizeof(why))) {
		log_event(LOG_L_ERROR, "upgrade-refused", "kept=old reason=\"%s\"", why);
		answer(k, why);
	}
}

static void word(void *arg, struct lodge_msg *m)
{
	const struct hearing *h = arg;
	struct keeper *k = h->k;
	struct keeper_worker *w = h->w;

	if (m->op == LODGE_READY && !w->ready) {
		w->ready = true;
		memcpy(w->version, m->text, sizeof(w->version));
		if (w == &k->now)
			trial_end(k, true);
		else if (k->turn == TURN_STARTING)
			k->turn = TURN_READY;
	} else if (m->op == LODGE_REFUSE) {
		refused_word(k, w, m);
	} else if (m->op == LODGE_UPGRADE && w == &k->now) {
		upgrade_word(k);
	} else if (m->op == LODGE_DONE && w == &k->now && k->turn == TURN_HANDOVER) {
		k->done = true; /* not from here: its channel is being read */
	} else {
		log_event(LOG_L_WARN, "worker-word", "pid=%d op=%u reason=\"not now\"", w->pid,
			  m->op);
	}
}

void keeper_hear(struct keeper *k, struct keeper_worker *w)
{
	struct hearing h = {k, w};

	lodge_channel_read(k->hold, &w->ch, word, &h);
	if (k->done)
		now_is_done(k);
}

/* ---- deaths, the end ---- */

static void dead_word(void *arg, struct lodge_msg *m)
{
	struct keeper_worker *w = arg;

	if (m->op == LODGE_REFUSE)
		memcpy(w->refused, m->text, sizeof(w->refused));
}

static bool next_died(struct keeper *k, int status)
{
	char why[LODGE_TEXT];

	k->next.pid = 0;
	close(k->next.life);
	lodge_channel_drain(k->hold, &k->next.ch, dead_word, &k->next);
	if (k->next.refused[0])
		memcpy(why, k->next.refused, sizeof(why));
	else
		snprintf(why, sizeof(why),
			 "the next worker ended with %s %d: its log lines say more",
			 WIFSIGNALED(status) ? "signal" : "status",
			 WIFSIGNALED(status) ? WTERMSIG(status) : WEXITSTATUS(status));
	if (k->turn == TURN_STARTING || k->turn == TURN_READY || k->turn == TURN_REFUSED)
		turn_refused(k, why);
	else if (k->turn == TURN_HANDOVER)
		log_event(LOG_L_ERROR, "worker-died", "next=yes reason=\"%s\"", why);
	return true;
}

bool keeper_next_died(struct keeper *k, pid_t pid, int status)
{
	unsigned i;

	if (pid == k->next.pid)
		return next_died(k, status);
	for (i = 0; i < k->n_old && k->old[i].pid != pid; i++)
		;
	if (i == k->n_old)
		return false;
	log_event(LOG_L_INFO, "worker-left", "pid=%d %s=%d", pid,
		  WIFSIGNALED(status) ? "signal" : "status",
		  WIFSIGNALED(status) ? WTERMSIG(status) : WEXITSTATUS(status));
	old_forget(k, i);
	return true;
}

void keeper_turn_end(struct keeper *k, int sig)
{
	unsigned i;

	k->turn = TURN_NONE;
	k->done = false;
	trial_end(k, false);
	if (k->next.pid > 0)
		keeper_child_signal(k, k->next.pid, SIGKILL);
	k->turn_due_ms = keeper_now_ms() + LEAVE_MS;
	for (i = 0; i < k->n_old; i++)
		keeper_child_signal(k, k->old[i].pid, sig);
}

bool keeper_others(const struct keeper *k)
{
	return k->next.pid > 0 || k->n_old;
}
