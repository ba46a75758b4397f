/* user/keeper_child.c -- the keeper's children: as whom they run, what they inherit, how they are signalled. See keeper.h.
 *
 * In: a plan. Out: a worker process with its pipe of life and its end of the channel "lodge". To signal a worker of another
 * uid without CAP_KILL, a short-lived child takes that uid first and sends the signal as its equal. */
#include <cap-ng.h>
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <linux/securebits.h>
#include <pwd.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "user/keeper_impl.h"
#include "user/keeper_store.h"
#include "user/log.h"

#define KEEPER_ENV_MAX (KEEPER_FDS_MAX * 64)

int keeper_find_user(struct keeper *k)
{
	const struct passwd *pw;

	if (!k->p->user)
		return 0;
	pw = getpwnam(k->p->user);
	if (!pw) {
		log_event(LOG_L_ERROR, "start-failed", "reason=\"no account named %s\"",
			  k->p->user);
		return -ENOENT;
	}
	k->uid = pw->pw_uid;
	k->gid = pw->pw_gid;
	k->change_user =
		k->uid !=
		geteuid(); /* started as the service's user: nothing to change, nothing to signal as another */
	return 0;
}

/* NOROOT: uid 0 alone gives an executed program nothing. */
int keeper_drop_capabilities(struct keeper *k)
{
	if (geteuid() != 0) {
		capng_clear(CAPNG_SELECT_CAPS);
		return k->change_user || capng_apply(CAPNG_SELECT_CAPS) ? -EPERM : 0;
	}
	if (prctl(PR_SET_SECUREBITS, SECBIT_NOROOT | SECBIT_NOROOT_LOCKED, 0, 0, 0))
		return -errno;
	capng_clear(CAPNG_SELECT_ALL);
	if (capng_updatev(CAPNG_ADD, (capng_type_t)(CAPNG_EFFECTIVE | CAPNG_PERMITTED), CAP_SETUID,
			  CAP_SETGID, -1))
		return -EINVAL;
	if (capng_apply(CAPNG_SELECT_ALL))
		return -EPERM;
	return 0;
}

static int fds_text(const struct keeper_plan *p, int lodge, int life, char *buf, size_t max)
{
	size_t at;
	unsigned i;
	int n = snprintf(buf, max, "lodge=%d,life=%d", lodge, life);

	at = (size_t)n;
	for (i = 0; i < p->n_fds; i++) {
		n = snprintf(buf + at, max - at, ",%s=%d+%u", p->fds[i].name, p->fds[i].fd,
			     p->fds[i].count ? p->fds[i].count : 1);
		if (n < 0 || (size_t)n >= max - at)
			return -ENOSPC;
		at += (size_t)n;
	}
	return 0;
}

static int child_credentials(const struct keeper *k)
{
	if (k->change_user && (setgroups(0, NULL) || setresgid(k->gid, k->gid, k->gid) ||
			       setresuid(k->uid, k->uid, k->uid)))
		return -errno;
	capng_clear(CAPNG_SELECT_CAPS);
	if (capng_apply(CAPNG_SELECT_CAPS))
		return -EPERM;
	return prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) ? -errno : 0;
}

/* The worker dies with its keeper. PR_SET_PDEATHSIG does not do it: the kernel checks that signal against the dying keeper,
 * which has neither the worker's uid nor CAP_KILL. So the worker owns the reading end of a pipe that raises SIGKILL when the
 * keeper's end closes. */
static int child_life(int fd, pid_t parent)
{
	int flags = fcntl(fd, F_GETFL);

	if (flags < 0 || fcntl(fd, F_SETFD, 0) || fcntl(fd, F_SETOWN, getpid()) ||
	    fcntl(fd, F_SETSIG, SIGKILL) || fcntl(fd, F_SETFL, flags | O_ASYNC))
		return -errno;
	return getppid() == parent ? 0 : -ESRCH;
}

static _Noreturn void child(const struct keeper *k, int exe, int life, int lodge, pid_t parent)
{
	static char text[KEEPER_ENV_MAX];
	int err = fds_text(k->p, lodge, life, text, sizeof(text));
	unsigned i;

	if (!err)
		err = child_credentials(k);
	if (!err)
		err = child_life(life, parent);
	for (i = 0; !err && i < k->p->n_fds; i++)
		if (fcntl(k->p->fds[i].fd, F_SETFD, 0))
			err = -errno;
	if (!err && fcntl(lodge, F_SETFD, 0))
		err = -errno;
	if (!err && (setenv("SALLYPORT_FDS", text, 1) || unsetenv("NOTIFY_SOCKET")))
		err = -errno;
	if (!err) {
		sigprocmask(SIG_SETMASK, &k->old_mask, NULL);
		if (exe >= 0) /* by descriptor: the folders' permissions do not matter */
			fexecve(exe, k->p->worker_argv, environ);
		else
			execv("/proc/self/exe", k->p->worker_argv);
		err = -errno;
	}
	log_event(LOG_L_ERROR, "worker-start-failed", "error=\"%s\"", strerror(-err));
	_exit(1);
}

int keeper_child_start(struct keeper *k, struct keeper_worker *w, int exe)
{
	pid_t self = getpid(), pid;
	int life[2], lodge, err;

	*w = (struct keeper_worker){.started_ms = keeper_now_ms(), .ch.fd = -1};
	err = lodge_channel_open(&w->ch, &lodge);
	if (err)
		return err;
	if (pipe2(life, O_CLOEXEC)) {
		err = -errno;
		goto out;
	}
	pid = fork();
	if (pid == 0)
		child(k, exe, life[0], lodge, self);
	err = pid < 0 ? -errno : 0;
	close(life[0]);
	if (err) {
		close(life[1]);
	} else {
		w->pid = pid;
		w->life = life[1];
		keeper_store_workers(k->p, (pid_t[]){k->now.pid, k->next.pid}, 2);
	}
out:
	close(lodge);
	if (err)
		lodge_channel_close(&w->ch);
	return err;
}

/* Its pid cannot be another's: it is our child and not reaped yet. */
void keeper_child_signal(const struct keeper *k, pid_t worker, int sig)
{
	pid_t pid = fork();

	if (pid == 0) {
		if (k->change_user && setresuid(k->uid, k->uid, k->uid))
			_exit(1);
		_exit(kill(worker, sig) ? 1 : 0);
	}
	/* Waited for: it holds our listeners, and one that outlived us for a moment would keep the next start off its addresses.
	 * */
	if (pid < 0 || waitpid(pid, NULL, 0) < 0)
		log_event(LOG_L_ERROR, "signal-failed", "error=\"%s\"", strerror(errno));
}
