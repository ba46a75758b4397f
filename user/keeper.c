/* user/keeper.c -- run the worker, replace it when it dies, stop it when asked. See keeper.h.
 *
 * In: a plan of descriptors, signals. Out: one worker process at a time. No thread, no peer's byte; one signalfd and poll(2). To signal
 * a worker of another uid without CAP_KILL, a short-lived child takes that uid first and sends the signal as its equal. */
#include "user/keeper.h"

#include <cap-ng.h>
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <linux/securebits.h>
#include <poll.h>
#include <pwd.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "user/log.h"

#define KEEPER_DEATHS	 5     /* so many deaths ... */
#define KEEPER_DEATHS_MS 10000 /* ... within this time ... */
#define KEEPER_DELAY_MS	 1000  /* ... and the next start waits this long */
#define KEEPER_STOP_MS	 5000  /* SIGTERM to SIGKILL */
#define KEEPER_EARLY_MS	 1000  /* a first worker that gives up before: its start-up failed */
#define KEEPER_ENV_MAX	 (KEEPER_FDS_MAX * 64)

struct keeper {
	struct keeper_plan *p;
	uid_t uid; /* of the worker */
	gid_t gid;
	bool change_user;
	sigset_t old_mask;
	int signals;
	pid_t worker;
	int life; /* writing end of the worker's pipe, while there is a worker */
	bool ending, replacing, survived;
	int status;
	uint64_t started_ms, start_due_ms, kill_due_ms; /* due: 0 = none */
	uint64_t deaths[KEEPER_DEATHS];
	unsigned n_deaths;
};

static uint64_t now_ms(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000 + (uint64_t)t.tv_nsec / 1000000;
}

/* systemd's protocol: one datagram to $NOTIFY_SOCKET; "@" stands for an abstract name. Nobody listening is no error. */
static void notify(const char *text)
{
	struct sockaddr_un sa = {.sun_family = AF_UNIX};
	const char *path = getenv("NOTIFY_SOCKET");
	size_t n = path ? strlen(path) : 0;
	int fd;

	if (!n || n >= sizeof(sa.sun_path))
		return;
	memcpy(sa.sun_path, path, n);
	if (path[0] == '@')
		sa.sun_path[0] = 0;
	fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return;
	if (sendto(fd, text, strlen(text), MSG_NOSIGNAL, (struct sockaddr *)&sa,
		   (socklen_t)(offsetof(struct sockaddr_un, sun_path) + n)) < 0)
		log_event(LOG_L_WARN, "notify-failed", "error=\"%s\"", strerror(errno));
	close(fd);
}

static int find_user(struct keeper *k)
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

/* Only what it takes to start a child as the service's user is kept. NOROOT: uid 0 alone gives an executed program nothing. */
static int drop_capabilities(struct keeper *k)
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

static int fds_text(const struct keeper_plan *p, char *buf, size_t max)
{
	size_t at = 0;
	unsigned i;
	int n;

	buf[0] = 0;
	for (i = 0; i < p->n_fds; i++) {
		n = snprintf(buf + at, max - at, "%s%s=%d+%u", i ? "," : "", p->fds[i].name,
			     p->fds[i].fd, p->fds[i].count ? p->fds[i].count : 1);
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

/* The worker dies with its keeper. PR_SET_PDEATHSIG does not do it: the kernel checks that signal against the dying keeper, which has
 * neither the worker's uid nor CAP_KILL. So the worker owns the reading end of a pipe that raises SIGKILL when the keeper's end closes. */
static int child_life(int fd, pid_t parent)
{
	int flags = fcntl(fd, F_GETFL);

	if (flags < 0 || fcntl(fd, F_SETFD, 0) || fcntl(fd, F_SETOWN, getpid()) ||
	    fcntl(fd, F_SETSIG, SIGKILL) || fcntl(fd, F_SETFL, flags | O_ASYNC))
		return -errno;
	return getppid() == parent ? 0 : -ESRCH;
}

static _Noreturn void child(const struct keeper *k, int life, pid_t parent)
{
	static char text[KEEPER_ENV_MAX];
	int err = fds_text(k->p, text, sizeof(text));
	unsigned i;

	if (!err)
		err = child_credentials(k);
	if (!err)
		err = child_life(life, parent);
	for (i = 0; !err && i < k->p->n_fds; i++)
		if (fcntl(k->p->fds[i].fd, F_SETFD, 0))
			err = -errno;
	if (!err && setenv("SALLYPORT_FDS", text, 1))
		err = -errno;
	if (!err) {
		sigprocmask(SIG_SETMASK, &k->old_mask, NULL);
		execv("/proc/self/exe", k->p->worker_argv);
		err = -errno;
	}
	log_event(LOG_L_ERROR, "worker-start-failed", "error=\"%s\"", strerror(-err));
	_exit(1);
}

static void start_worker(struct keeper *k)
{
	pid_t self = getpid(), pid = -1;
	int life[2];

	k->start_due_ms = 0;
	k->started_ms = now_ms();
	if (pipe2(life, O_CLOEXEC) == 0) {
		pid = fork();
		if (pid == 0)
			child(k, life[0], self);
		close(life[0]);
		if (pid < 0)
			close(life[1]);
	}
	if (pid < 0) {
		log_event(LOG_L_ERROR, "worker-start-failed", "error=\"%s\"", strerror(errno));
		k->start_due_ms = k->started_ms + KEEPER_DELAY_MS;
		return;
	}
	k->worker = pid;
	k->life = life[1];
	log_event(LOG_L_INFO, "worker-started", "pid=%d", pid);
}

/* Signal the worker as its own user. Its pid cannot be another's: it is our child and not reaped yet. */
static void signal_worker(struct keeper *k, int sig)
{
	pid_t pid = fork();

	if (pid == 0) {
		if (k->change_user && setresuid(k->uid, k->uid, k->uid))
			_exit(1);
		_exit(kill(k->worker, sig) ? 1 : 0);
	}
	/* Waited for: it holds our listeners, and one that outlived us for a moment would keep the next start off its addresses. */
	if (pid < 0 || waitpid(pid, NULL, 0) < 0)
		log_event(LOG_L_ERROR, "signal-failed", "error=\"%s\"", strerror(errno));
}

static void stop_worker(struct keeper *k)
{
	if (k->worker <= 0 || k->kill_due_ms)
		return;
	signal_worker(k, SIGTERM);
	k->kill_due_ms = now_ms() + KEEPER_STOP_MS;
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
	uint64_t now = now_ms(), lived = now - k->started_ms;
	bool gave_up = WIFEXITED(status) && WEXITSTATUS(status) != 0;

	k->worker = 0;
	close(k->life);
	k->kill_due_ms = 0;
	if (k->ending || k->replacing) {
		k->replacing = false;
		k->start_due_ms = k->ending ? 0 : now;
		return;
	}
	log_event(LOG_L_ERROR, "worker-died", "%s=%d lived_ms=%llu",
		  WIFSIGNALED(status) ? "signal" : "status",
		  WIFSIGNALED(status) ? WTERMSIG(status) : WEXITSTATUS(status),
		  (unsigned long long)lived);
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
		if (pid == k->worker)
			worker_died(k, status);
}

static void reload(struct keeper *k)
{
	if (k->ending || !k->p->reload)
		return;
	if (k->p->reload(k->p->arg, k->p)) {
		log_event(LOG_L_ERROR, "reload-refused", "kept=old");
		return;
	}
	log_event(LOG_L_INFO, "reload", "worker=replaced");
	/* From here on there is a service to keep: a new worker that gives up at once is tried again, not taken for a bad start. */
	k->survived = true;
	if (k->worker > 0) {
		k->replacing = true;
		stop_worker(k);
	}
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
			stop_worker(k);
		}
	}
}

/* What is due is done; returns milliseconds until the next thing, -1 for none. */
static int do_due(struct keeper *k)
{
	uint64_t now = now_ms(), due;

	if (k->start_due_ms && k->start_due_ms <= now)
		start_worker(k);
	if (k->kill_due_ms && k->kill_due_ms <= now && k->worker > 0) {
		log_event(LOG_L_WARN, "worker-killed", "reason=\"did not stop within %d ms\"",
			  KEEPER_STOP_MS);
		signal_worker(k, SIGKILL);
		k->kill_due_ms = now + KEEPER_STOP_MS;
	}
	due = k->start_due_ms ? k->start_due_ms : k->kill_due_ms;
	now = now_ms();
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
	err = find_user(k);
	return err ? err : drop_capabilities(k);
}

int keeper_run(struct keeper_plan *p)
{
	struct keeper k = {.p = p, .signals = -1};
	struct pollfd pfd;
	int err = keeper_setup(&k);

	if (err) {
		log_event(LOG_L_ERROR, "start-failed", "reason=\"keeper: %s\"", strerror(-err));
		return 1;
	}
	k.start_due_ms = now_ms();
	pfd = (struct pollfd){.fd = k.signals, .events = POLLIN};
	do_due(&k);
	notify("READY=1");
	while (!k.ending || k.worker > 0) {
		if (poll(&pfd, 1, do_due(&k)) > 0)
			on_signal(&k);
	}
	notify("STOPPING=1");
	close(k.signals);
	sigprocmask(SIG_SETMASK, &k.old_mask, NULL);
	return k.status;
}
